package visibility

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"tributary/internal/oracle"
	"tributary/store"
)

// tally counts checks. A check is whether one route gave one document to one
// asker; an answer that refuses everything, or counts it, is one check.
type tally struct {
	mu                 sync.Mutex
	checks, seen, near int64
	routes, features   map[string]int64
}

func newTally() *tally { return &tally{routes: map[string]int64{}, features: map[string]int64{}} }

// made returns the number of checks.
func (t *tally) made() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.checks
}

// add adds what o counted.
func (t *tally) add(o *tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checks, t.seen, t.near = t.checks+o.checks, t.seen+o.seen, t.near+o.near
	for k, n := range o.routes {
		t.routes[k] += n
	}
	for k, n := range o.features {
		t.features[k] += n
	}
}

// whole counts an answer that speaks of all documents at once.
func (t *tally) whole(route string) {
	t.checks++
	t.routes[route]++
}

// feature counts what decided about a document for a key.
func (t *tally) feature(w oracle.World, d int, mode store.KeyMode, against []string) {
	x := w.Documents[d]
	what := "far"
	switch len(against) {
	case 0:
		what = "visible"
		t.features["visible with a key of mode "+string(mode)]++
		for name, ok := range map[string]bool{
			"several clauses": len(x.AllOf) > 1, "33 clauses or more": len(x.AllOf) > 32, "a denial of others": len(x.Deny) > 0,
			"a source that pushes": w.Connections[x.Connection].Pushed,
		} {
			if ok {
				t.features["visible with "+name]++
			}
		}
	case 1:
		what = "only " + against[0]
	}
	t.features[what]++
}

// missing lists what a million checks always meet and these did not.
func (t *tally) missing() []string {
	var out []string
	for _, what := range []string{
		"far", "only clause", "only denied", "only gone", "only hidden", "only nobody", "only out of the key's reach", "only over",
		"only unknown", "visible with 33 clauses or more", "visible with a denial of others", "visible with a key of mode assertion",
		"visible with a key of mode bound", "visible with a key of mode trusted", "visible with a source that pushes",
		"visible with several clauses",
	} {
		if t.features[what] == 0 {
			out = append(out, what)
		}
	}
	return out
}

func sorted(m map[string]int64) []string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%s %d", k, m[k]))
	}
	return out
}
