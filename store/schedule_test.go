package store_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/store"
)

// TestRequestMeetsTheTick asks for a run while the tick is making one of the
// same lane: the second to come finds the first's.
func TestRequestMeetsTheTick(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	ctx := t.Context()
	type outcome struct {
		made bool
		err  error
	}
	asked := make(chan outcome, 1)
	first := true
	n, err := r.store.ClaimDue(ctx, 10, func(d store.Due) store.RunKind {
		if first {
			first = false
			go func() {
				_, made, err := r.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: s.conn, Lane: d.Lane, Kind: store.RunSnapshot},
					func(ctx context.Context, tx pgx.Tx, _ store.Run) error {
						return r.store.PostponeTx(ctx, tx, s.conn, d.Lane)
					})
				asked <- outcome{made, err}
			}()
			waitFor(t, r.db, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database())`)
		}
		return store.RunSnapshot
	}, func(_ context.Context, _ pgx.Tx, runs []store.Started) error {
		if len(runs) != 2 {
			t.Errorf("the tick made %d runs, want one of each lane", len(runs))
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Fatalf("the tick made %d runs: %v", n, err)
	}
	if got := <-asked; got.err != nil || got.made {
		t.Errorf("asking made a run: %v, and ended with %v", got.made, got.err)
	}
}
