package refreshmodel

import (
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
)

// ErrBound says that an exploration needs more states than Config.MaxStates.
var ErrBound = errors.New("exploring the refresh model: MaxStates reached, raise it")

// Result is what an exploration found.
type Result struct {
	States int            // distinct states reached
	Steps  int            // transitions taken
	Depth  int            // length of the longest shortest history
	Reauth int            // states that need a new consent
	Taken  map[string]int // steps taken, by name
	Broken *Violation     // nil when every invariant holds
}

// Violation is a broken invariant and a shortest history that breaks it.
type Violation struct {
	Rule    string
	History []string
}

// kind says what a transition is to the question whether a row gets stuck.
type kind uint8

const (
	normal kind = iota // the algorithm, the server, time and recovery
	fault              // uses up the fault budget
	event              // an admin's act
)

// model is one exploration.
type model struct {
	cfg    Config
	emit   func(label string, s state, k kind)
	broken string // set by fail during one transition
	seed   maphash.Seed
	states []state
	parent []int32          // the state from which a state was first reached
	index  map[uint64]int32 // hash, or the next free number after it, to state
	edges  []edge           // fault-free
}

type edge struct{ from, to int32 }

func (m *model) is(x Mutant) bool { return m.cfg.Mutant == x }

// fail records that the transition being computed breaks an invariant.
func (m *model) fail(rule string) {
	if m.broken == "" {
		m.broken = rule
	}
}

// Explore visits every state that cfg allows, breadth first, and stops at the first broken invariant.
func Explore(cfg Config) (Result, error) {
	if cfg.Processes < 1 || cfg.Processes > maxProcs || cfg.Gens < 1 || cfg.Gens > 3 || cfg.Faults < 0 || cfg.Faults > 3 {
		return Result{}, fmt.Errorf("exploring the refresh model: bounds %+v: want 1 to 3 processes, 1 to 3 generations, 0 to 3 faults", cfg)
	}
	m := &model{cfg: cfg, seed: maphash.MakeSeed(), index: map[uint64]int32{}}
	m.add(m.initial(), -1)
	res := Result{Taken: map[string]int{}}
	level := 1
	for at := 0; at < len(m.states); at++ {
		if at == level {
			res.Depth++
			level = len(m.states)
		}
		if len(m.states) > cfg.MaxStates {
			return res, ErrBound
		}
		broken, label := m.expand(int32(at), &res)
		if broken != "" {
			res.States = len(m.states)
			res.Broken = &Violation{Rule: broken, History: append(m.history(int32(at)), label)}
			return res, nil
		}
	}
	res.States = len(m.states)
	for i := range m.states {
		if m.states[i].status == statusReauth {
			res.Reauth++
		}
	}
	if at := m.stuck(); at >= 0 {
		res.Broken = &Violation{Rule: ruleStuck, History: m.history(at)}
	}
	return res, nil
}

// initial is the state after a consent.
func (m *model) initial() state {
	s := state{faults: uint8(m.cfg.Faults)} //nolint:gosec // at most 3
	if m.cfg.Consent {
		s.consents = 1
	}
	if m.cfg.Disconnect {
		s.disconnects = 1
	}
	for i := range m.cfg.Processes {
		s.procs[i].calm = true
	}
	return s
}

// next calls visit for every transition out of s.
func (m *model) next(s state, visit func(label string, s state, k kind)) {
	m.emit = visit
	for i := range m.cfg.Processes {
		m.steps(s, i)
		m.environment(s, i)
	}
	m.world(s)
}

// expand adds the successors of a state and returns the first broken invariant, with the step that breaks it.
func (m *model) expand(at int32, res *Result) (broken, label string) {
	m.next(m.states[at], func(step string, t state, k kind) {
		res.Steps++
		res.Taken[step]++
		if m.broken == "" {
			m.broken = m.invariant(&t)
		}
		if m.broken != "" && broken == "" {
			broken, label = m.broken, step
		}
		m.broken = ""
		t.canonical(m.cfg.Processes)
		to := m.add(t, at)
		if k == normal {
			m.edges = append(m.edges, edge{at, to})
		}
	})
	return broken, label
}

// add returns the number of a state. The hash only finds it: states are compared whole.
func (m *model) add(s state, from int32) int32 {
	h := maphash.Comparable(m.seed, s)
	for {
		i, ok := m.index[h]
		if !ok {
			break
		}
		if m.states[i] == s {
			return i
		}
		h++
	}
	i := int32(len(m.states)) //nolint:gosec // MaxStates bounds it
	m.index[h] = i
	m.states = append(m.states, s)
	m.parent = append(m.parent, from)
	return i
}

// history lists the steps that lead to a state.
func (m *model) history(at int32) []string {
	var list []string
	for m.parent[at] >= 0 {
		from, want, label := m.parent[at], m.states[at], ""
		m.next(m.states[from], func(step string, t state, _ kind) {
			t.canonical(m.cfg.Processes)
			if label == "" && t == want {
				label = step
			}
		})
		list = append(list, label)
		at = from
	}
	slices.Reverse(list)
	m.broken = ""
	return list
}

// stuck returns a state from which no fault-free history leads to a settled one, or -1.
func (m *model) stuck() int32 {
	start := make([]int32, len(m.states)+1)
	for _, e := range m.edges {
		start[e.to+1]++
	}
	for i := 1; i < len(start); i++ {
		start[i] += start[i-1]
	}
	fill := slices.Clone(start)
	back := make([]int32, len(m.edges))
	for _, e := range m.edges {
		back[fill[e.to]] = e.from
		fill[e.to]++
	}
	ok := make([]bool, len(m.states))
	var queue []int32
	for i := range m.states {
		if m.settled(&m.states[i]) {
			ok[i] = true
			queue = append(queue, int32(i))
		}
	}
	for len(queue) > 0 {
		to := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, from := range back[start[to]:start[to+1]] {
			if !ok[from] {
				ok[from] = true
				queue = append(queue, from)
			}
		}
	}
	return int32(slices.Index(ok, false)) //nolint:gosec // MaxStates bounds it
}
