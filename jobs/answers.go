package jobs

import (
	"container/list"
	"sync"
	"time"

	"tributary/connectors"
	"tributary/store"
)

// Bounds of what is kept of sources' answers, in memory only.
const (
	maxAnswer  = 256 << 10
	maxAnswers = 32 << 20
	// answerAge bounds how long a source's word is taken that an answer still
	// holds: then it is asked for whole.
	answerAge = time.Hour
)

// answers keeps those of all connections, and forgets what was asked for longest
// ago.
type answers struct {
	mu    sync.Mutex
	byKey map[answerKey]*list.Element
	order list.List // of *keptAnswer, the latest first
	bytes int
	now   func() time.Time
}

type answerKey struct{ of, key string }

type keptAnswer struct {
	at     answerKey
	answer connectors.Answer
	since  time.Time
}

func newAnswers() *answers {
	return &answers{byKey: map[answerKey]*list.Element{}, now: time.Now}
}

// of returns the answers that a connection got with a grant: what was said to
// another account is none of them.
func (a *answers) of(c store.Connection, g connectors.Grant) connectors.Answers {
	return answersOf{all: a, of: c.ID.String() + " " + g.Provider + " " + g.Subject}
}

type answersOf struct {
	all *answers
	of  string
}

// Kept implements connectors.Answers.
func (v answersOf) Kept(key string) *connectors.Answer {
	a := v.all
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.byKey[answerKey{v.of, key}]
	if e == nil {
		return nil
	}
	k := e.Value.(*keptAnswer) //nolint:forcetypeassert // the list holds nothing else
	if a.now().Sub(k.since) > answerAge {
		a.drop(e)
		return nil
	}
	a.order.MoveToFront(e)
	return &k.answer
}

// Keep implements connectors.Answers.
func (v answersOf) Keep(key string, answer connectors.Answer) {
	a := v.all
	a.mu.Lock()
	defer a.mu.Unlock()
	at := answerKey{v.of, key}
	if e := a.byKey[at]; e != nil {
		a.drop(e)
	}
	if len(answer.Body) > maxAnswer {
		return
	}
	k := &keptAnswer{at: at, answer: answer, since: a.now()}
	a.byKey[at] = a.order.PushFront(k)
	for a.bytes += k.size(); a.bytes > maxAnswers; {
		a.drop(a.order.Back())
	}
}

func (a *answers) drop(e *list.Element) {
	k := a.order.Remove(e).(*keptAnswer) //nolint:forcetypeassert // the list holds nothing else
	delete(a.byKey, k.at)
	a.bytes -= k.size()
}

// size is what an answer takes in memory, about.
func (k *keptAnswer) size() int {
	const overhead = 256
	return len(k.answer.Body) + len(k.at.key) + len(k.at.of) + overhead
}
