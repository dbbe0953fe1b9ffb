package store_test

import (
	"errors"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestClaimWhileTheHolderHandsOver: a run whose holder lets go of it at this very
// moment is not taken over from it: the log names nobody who was not silent.
func TestClaimWhileTheHolderHandsOver(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	tx, err := r.db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var mine uint32
	if err := tx.QueryRow(t.Context(), `UPDATE sync_run SET state = 'queued', worker = '' RETURNING pg_current_xact_id()::xid`).Scan(&mine); err != nil {
		t.Fatal(err)
	}
	claimed := make(chan error, 1)
	go func() {
		_, err := r.store.ClaimRun(t.Context(), run.ID, "second", 0)
		claimed <- err
	}()
	waits := func() bool {
		return pgtest.Scalar[bool](t, r.db, `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid = $1)`, mine)
	}
	for deadline := time.Now().Add(2 * time.Second); !waits(); {
		if time.Now().After(deadline) {
			t.Fatal("the claim does not wait for the row")
		}
	}
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-claimed; !errors.Is(err, store.ErrConflict) {
		t.Errorf("claiming what changes hands: %v", err)
	}
	if _, err := r.store.ClaimRun(t.Context(), run.ID, "second", 0); err != nil {
		t.Error(err)
	}
	if got := pgtest.Scalar[string](t, r.db, `SELECT string_agg(code, ' ' ORDER BY id) FROM run_event`); got != "slice_started slice_started" {
		t.Errorf("the log says %q", got)
	}
}

// TestBatchIsASignOfLife: whoever commits a batch lives at its end, however long
// it took to write.
func TestBatchIsASignOfLife(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	r.db.SetClock(t, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	r.db.MustExec(t, `CREATE FUNCTION takes_long() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN UPDATE tributary.test_clock SET at = at + interval '2 minutes'; RETURN NULL; END $$`)
	run := s.start(t, store.Content)
	r.db.MustExec(t, `CREATE TRIGGER takes_long AFTER INSERT ON revision EXECUTE FUNCTION takes_long()`)
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("a", readable("u"), "text")}})
	if age := pgtest.Scalar[float64](t, r.db, `SELECT extract(epoch FROM clock() - heartbeat_at)::float8 FROM sync_run`); age != 0 {
		t.Errorf("at the end of a batch the last sign of life is %.0f s old", age)
	}
}
