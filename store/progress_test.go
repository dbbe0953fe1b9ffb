package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/store"
)

// documentsNamed returns n documents.
func documentsNamed(prefix string, n int) []store.DocumentWrite {
	var out []store.DocumentWrite
	for i := range n {
		out = append(out, document(fmt.Sprintf("%s%02d", prefix, i), readable("u"), fmt.Sprintf("text %s %d", prefix, i)))
	}
	return out
}

// progressOf reads a run and its progress.
func progressOf(t *testing.T, s *store.Store, id uuid.UUID) (store.Run, store.Progress) {
	t.Helper()
	run, err := s.Run(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Progress(t.Context(), run)
	if err != nil {
		t.Fatal(err)
	}
	return run, p
}

// TestProgressIsThatOfTheLastMinute: the rate comes from the samples within the
// last minute, and the time left from it and the last complete listing.
func TestProgressIsThatOfTheLastMinute(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	r.db.SetClock(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	first := s.start(t, store.Content)
	if n, err := r.store.ExpectListing(t.Context(), first); err != nil || n != nil {
		t.Fatalf("a first listing expects %v, %v", n, err)
	}
	s.mustWrite(t, &store.Batch{Run: first, Documents: documentsNamed("a", 20), Counts: store.Counts{Listed: 20}, Page: &store.PageEnd{Next: []byte(`{"n":1}`), Complete: true}})
	r.db.Advance(t, 10*time.Second)
	if _, p := progressOf(t, r.store, first.ID); p.Basis != store.BasisUnknown || p.Expected != nil || p.Left != nil || p.DocumentsPerSecond != 2 {
		t.Errorf("a first listing: %+v", p)
	}
	s.end(t, first)
	second := s.start(t, store.Content)
	if n, err := r.store.ExpectListing(t.Context(), second); err != nil || n == nil || *n != 20 {
		t.Fatalf("a second listing expects %v, %v", n, err)
	}
	// Ten slow minutes, then ten items in thirty seconds.
	for range 40 {
		r.db.Advance(t, 15*time.Second)
		if err := r.store.Heartbeat(t.Context(), second.ID, second.Fence); err != nil {
			t.Fatal(err)
		}
	}
	r.db.Advance(t, 15*time.Second)
	s.mustWrite(t, &store.Batch{Run: second, Counts: store.Counts{Listed: 10, Unchanged: 10, Bytes: 1200}})
	r.db.Advance(t, 15*time.Second)
	run, p := progressOf(t, r.store, second.ID)
	// The oldest sample of the last 75 seconds is 75 seconds old.
	if p.Left == nil || *p.Left != 75*time.Second || p.BytesPerSecond != 16 || p.Elapsed != 630*time.Second || p.Basis != store.BasisListing {
		t.Errorf("progress: %+v, left %v", p, p.Left)
	}
	text, err := json.Marshal(p)
	if want := `{"listed":10,"expected":20,"basis":"last listing","done":{"listed":10,"unchanged":10,"bytes":1200},"documents_per_second":0.13,"bytes_per_second":16,"elapsed_seconds":630,"left_seconds":75}`; err != nil || string(text) != want {
		t.Errorf("%s\nwant\n%s", text, want)
	}
	s.mustWrite(t, &store.Batch{Run: second, Counts: store.Counts{Listed: 15, Unchanged: 15}})
	if _, p := progressOf(t, r.store, second.ID); p.Left != nil {
		t.Errorf("more items than expected leave %v", p.Left)
	}
	if err := r.store.ReleaseRun(t.Context(), run, store.Release{State: store.RunQueued}, nil); err != nil {
		t.Fatal(err)
	}
	if _, p := progressOf(t, r.store, second.ID); p.Left != nil || p.DocumentsPerSecond != 0 {
		t.Errorf("a run that waits goes at %v", p.DocumentsPerSecond)
	}
}

// TestExpectedLeavesOutWhatWasPassed: a listing that continues another expects the rest of it.
func TestExpectedLeavesOutWhatWasPassed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	first := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: first, Documents: documentsNamed("a", 6), Page: &store.PageEnd{Next: []byte(`{"n":1}`), Complete: true}})
	s.end(t, first)
	known, err := r.store.KnownDocuments(t.Context(), s.conn, []string{"a00", "a01"})
	if err != nil {
		t.Fatal(err)
	}
	r.db.MustExec(t, `DELETE FROM seen`)
	second := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: second, Seen: []uuid.UUID{known["a00"].ID, known["a01"].ID}, Page: &store.PageEnd{Next: []byte(`{"n":1}`)}})
	if err := r.store.ReleaseRun(t.Context(), second, store.Release{State: store.RunFailed, Err: errors.New("lost")}, nil); err != nil {
		t.Fatal(err)
	}
	third := s.start(t, store.Content)
	if n, err := r.store.ExpectListing(t.Context(), third); err != nil || n == nil || *n != 4 {
		t.Fatalf("the rest of a listing expects %v, %v", n, err)
	}
}

// TestRunLogTellsTheSlices: claims, take-overs, waits and the end stand in the log.
func TestRunLogTellsTheSlices(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	next := func(how store.Release) {
		t.Helper()
		if err := r.store.ReleaseRun(t.Context(), run, how, nil); err != nil {
			t.Fatal(err)
		}
		if !how.State.Live() {
			return
		}
		var err error
		if run, err = r.store.ClaimRun(t.Context(), run.ID, "second", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	next(store.Release{State: store.RunQueued})
	next(store.Release{State: store.RunQueued, Class: connectors.RateLimited, Err: errors.New("busy"), RetryIn: time.Minute})
	var err error
	if run, err = r.store.ClaimRun(t.Context(), run.ID, "third", -time.Second); err != nil {
		t.Fatal(err)
	}
	next(store.Release{State: store.RunPartial, Err: errors.New("one is quarantined")})
	list, err := r.store.RunEvents(t.Context(), run.ID, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, e := range list {
		got += e.Level + " " + e.Code + ": " + e.Message + "\n"
	}
	want := `info slice_started: slice 1 of a snapshot run at test
info handed_over: slice 1 ended with 0 listed, +0 ~0 -0 !0: another goes on
info slice_started: slice 2 of a snapshot run at second
warning throttled: the source asks to wait 1m0s: busy
info slice_started: slice 3 of a snapshot run at second
warning taken_over: second showed no heartbeat: third goes on with slice 4
warning ended: partial: 0 listed, +0 ~0 -0 !0: one is quarantined
`
	if got != want {
		t.Errorf("the log is\n%swant\n%s", got, want)
	}
}

// TestCancelRun ends what nobody holds and asks whoever holds the rest.
func TestCancelRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	if err := r.store.CancelRun(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.store.Heartbeat(t.Context(), run.ID, run.Fence); !errors.Is(err, store.ErrFenced) {
		t.Errorf("the holder of a cancelled run: %v", err)
	}
	if err := r.store.ReleaseRun(t.Context(), run, store.Release{State: store.RunCancelled}, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.store.CancelRun(t.Context(), run.ID); !errors.Is(err, store.ErrConflict) {
		t.Errorf("cancelling what has ended: %v", err)
	}
	waiting, _, err := r.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: s.conn, Lane: store.Content, Kind: store.RunSnapshot}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.CancelRun(t.Context(), waiting.ID); err != nil {
		t.Fatal(err)
	}
	if run, _ := progressOf(t, r.store, waiting.ID); run.State != store.RunCancelled || run.FinishedAt == nil {
		t.Errorf("a run that nobody held is %s", run.State)
	}
	if err := r.store.CancelRun(t.Context(), uuid.New()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("cancelling nothing: %v", err)
	}
}
