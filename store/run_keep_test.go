package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestOldRunsAreForgotten: by age, but never the last ones, the last complete
// listing, or a run that a revision names.
func TestOldRunsAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	r.db.SetClock(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	keep := store.RunRetention{Age: 10 * 24 * time.Hour, Last: 3}
	named := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: named, Documents: documentsNamed("a", 1), Quarantine: []store.QuarantineWrite{{ExternalID: "q", Path: "q", Reason: "broken"}}})
	s.end(t, named)
	day := func(f func(run store.Run)) store.Run {
		t.Helper()
		r.db.Advance(t, 24*time.Hour)
		run := s.start(t, store.Content)
		if f != nil {
			f(run)
		}
		s.end(t, run)
		return run
	}
	whole := day(func(run store.Run) {
		s.mustWrite(t, &store.Batch{Run: run, Page: &store.PageEnd{Next: []byte(`{"n":1}`), Complete: true}})
	})
	old := day(nil)
	var young []uuid.UUID
	for range 3 {
		young = append(young, day(nil).ID)
	}
	exists := func(id uuid.UUID) (run, log bool) {
		t.Helper()
		return pgtest.Scalar[bool](t, r.db, fmt.Sprintf(`SELECT EXISTS (SELECT FROM sync_run WHERE id = '%s')`, id)),
			pgtest.Scalar[bool](t, r.db, fmt.Sprintf(`SELECT EXISTS (SELECT FROM run_event WHERE run_id = '%[1]s') OR EXISTS (SELECT FROM run_item WHERE run_id = '%[1]s')`, id))
	}
	r.db.Advance(t, 5*24*time.Hour+time.Hour)
	if n, err := r.store.ForgetRuns(t.Context(), keep); err != nil || n != 1 {
		t.Fatalf("after ten days: %d, %v", n, err)
	}
	r.db.Advance(t, 100*24*time.Hour)
	for want := 1; want >= 0; want-- {
		if n, err := r.store.ForgetRuns(t.Context(), keep); err != nil || n != want {
			t.Fatalf("forgot %d, want %d: %v", n, want, err)
		}
	}
	for what, c := range map[string]struct {
		id       uuid.UUID
		run, log bool
	}{
		"a run that a revision names": {named.ID, true, false}, "an old run": {old.ID, false, false},
		"the last complete listing": {whole.ID, true, true}, "a run of the last": {young[0], true, true},
	} {
		if run, log := exists(c.id); run != c.run || log != c.log {
			t.Errorf("%s: run %v, log %v", what, run, log)
		}
	}
}
