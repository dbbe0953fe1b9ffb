package jobs

import (
	"slices"
	"testing"
	"time"

	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/store"
)

// codes returns the codes of a run's log.
func (e *engine) codes(run store.Run) []string {
	e.t.Helper()
	list, err := e.store.RunEvents(e.t.Context(), run.ID, 0, 100)
	if err != nil {
		e.t.Fatal(err)
	}
	var codes []string
	for _, ev := range list {
		codes = append(codes, ev.Code)
	}
	return codes
}

// TestRunsTellHowTheyWent: waits, expired cursors, sweeps and holds stand in the
// logs of runs, and a listing knows what to expect after a whole one.
func TestRunsTellHowTheyWent(t *testing.T) {
	t.Parallel()
	w := small(40)
	e := newEngine(t, w)
	w.Fail(reference.FaultOn{Kind: connectortest.RateLimited, RetryAfter: time.Second, Times: 1})
	first := e.runKind(store.RunSnapshot)
	if got := e.codes(first); !slices.Equal(got, []string{"slice_started", "throttled", "slice_started", "ended"}) || first.Expected != nil {
		t.Errorf("the first listing: %v, expected %v", got, first.Expected)
	}
	w.Delete("doc-001")
	w.Put("doc-002", "# Two\n\nIs edited.\n", reference.Readers(reference.Everyone()))
	w.Fail(reference.FaultOn{On: connectortest.OnFeed, Kind: connectortest.ExpiredCursor})
	run, _, err := e.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: e.conn.ID, Lane: store.Content, Kind: store.RunChanges}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if run, err = e.runner.RunHere(t.Context(), run.ID, nil); err != nil || run.State != store.RunSuperseded {
		t.Fatalf("a run whose cursor expired is %s, %v", run.State, err)
	}
	if got := e.codes(run); !slices.Equal(got, []string{"slice_started", "cursor_expired", "ended"}) {
		t.Errorf("a run whose cursor expired: %v", got)
	}
	second := e.runKind(store.RunSnapshot) // the one that follows
	if got := e.codes(second); !slices.Equal(got, []string{"slice_started", "swept", "ended"}) || second.Expected == nil || *second.Expected != 40 || second.Counts.Listed != 39 {
		t.Errorf("the second listing: %v, expected %v, %+v", got, second.Expected, second.Counts)
	}
	hidden, err := e.store.RunItems(t.Context(), second.ID, store.ItemHidden, 0, 10)
	if err != nil || len(hidden) != 1 || hidden[0].ExternalID != "doc-001" {
		t.Errorf("hidden by the second listing: %+v, %v", hidden, err)
	}
	for _, it := range w.Truth()[:20] {
		w.Lose(it.ID)
	}
	third := e.runKind(store.RunSnapshot)
	if got := e.codes(third); !slices.Equal(got, []string{"slice_started", "held", "ended"}) || *third.Expected != 39 {
		t.Errorf("a listing that lacks half: %v, expected %d", got, *third.Expected)
	}
}
