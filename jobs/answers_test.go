package jobs

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/store"
)

// TestAnswers: a connection finds what it was told with the same grant, not longer than an hour, and nobody else's.
func TestAnswers(t *testing.T) {
	t.Parallel()
	a := newAnswers()
	now := time.Now()
	a.now = func() time.Time { return now }
	conn, grant := store.Connection{ID: uuid.New()}, connectors.Grant{Provider: "p", Subject: "1"}
	mine := a.of(conn, grant)
	if mine.Kept("k") != nil {
		t.Error("something is kept before anything was said")
	}
	mine.Keep("k", connectors.Answer{ETag: "1", Body: []byte("one")})
	mine.Keep("k", connectors.Answer{ETag: "2", Body: []byte("two")})
	if got := a.of(conn, grant).Kept("k"); got == nil || got.ETag != "2" || string(got.Body) != "two" {
		t.Errorf("kept %+v", got)
	}
	for name, other := range map[string]connectors.Answers{
		"another connection": a.of(store.Connection{ID: uuid.New()}, grant), "another account": a.of(conn, connectors.Grant{Provider: "p", Subject: "2"}),
		"another provider": a.of(conn, connectors.Grant{Provider: "q", Subject: "1"}),
	} {
		if other.Kept("k") != nil {
			t.Errorf("%s is told it", name)
		}
	}
	now = now.Add(answerAge + time.Second)
	if mine.Kept("k") != nil || a.bytes != 0 || a.order.Len() != 0 {
		t.Errorf("it is kept for longer than %s", answerAge)
	}
}

// TestAnswersAreBounded: what was asked for longest ago goes first, and nothing too large is kept.
func TestAnswersAreBounded(t *testing.T) {
	t.Parallel()
	a := newAnswers()
	mine := a.of(store.Connection{}, connectors.Grant{})
	body := bytes.Repeat([]byte("x"), maxAnswer)
	for i := range 300 {
		mine.Keep(fmt.Sprint(i), connectors.Answer{Body: body})
		if mine.Kept("0") == nil {
			t.Fatalf("what is asked for all the time is gone after %d", i)
		}
		if a.bytes > maxAnswers {
			t.Fatalf("%d bytes are kept", a.bytes)
		}
	}
	if mine.Kept("1") != nil || mine.Kept("299") == nil || a.order.Len() != len(a.byKey) {
		t.Errorf("kept %d in order, %d by key", a.order.Len(), len(a.byKey))
	}
	mine.Keep("299", connectors.Answer{Body: append(body, 'x')})
	if mine.Kept("299") != nil {
		t.Error("what is too large is kept, or the one before it")
	}
}
