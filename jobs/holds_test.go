package jobs

import (
	"fmt"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestApprovedHoldIsPurgedByAJob of any worker, by the tick alone and while the
// connection is paused; a hold that is finished, or not approved, gets no job.
func TestApprovedHoldIsPurgedByAJob(t *testing.T) {
	t.Parallel()
	w := small(60)
	e := newEngine(t, w, func(c *Config) { c.Tick = 200 * time.Millisecond })
	e.must(store.Content, store.RunSucceeded)
	for i := range 30 {
		w.Lose(fmt.Sprintf("doc-%03d", i))
	}
	if run := e.everything(); run.Counts.Held != 30 {
		t.Fatalf("%+v", run.Counts)
	}
	holds, err := e.store.Holds(t.Context(), store.HoldFilter{State: store.HoldOpen})
	if err != nil || len(holds) != 1 {
		t.Fatalf("%d holds: %v", len(holds), err)
	}
	if err := e.store.SetPaused(t.Context(), e.conn.ID, true); err != nil {
		t.Fatal(err)
	}
	e.start()
	ticks := func(n int) func() bool {
		return func() bool {
			return pgtest.Scalar[bool](t, e.db, `SELECT count(*) >= $1 FROM river.river_job WHERE kind = 'tick' AND state = 'completed'`, n)
		}
	}
	jobs := func() int {
		return pgtest.Scalar[int](t, e.db, `SELECT count(*) FROM river.river_job WHERE kind = 'purge_held'`)
	}
	eventually(t, "ticks have passed", ticks(2))
	if n := jobs(); n != 0 || len(e.documents()) != 60 {
		t.Fatalf("%d jobs for a hold that nobody approved, and %d documents are shown", n, len(e.documents()))
	}
	if _, err := e.store.ApproveHold(t.Context(), holds[0].ID, "ann"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the hold is finished", func() bool {
		return pgtest.Scalar[bool](t, e.db, `SELECT finished_at IS NOT NULL AND purged = 30 FROM deletion_hold`)
	})
	made := jobs()
	eventually(t, "the job is over", func() bool {
		return pgtest.Scalar[bool](t, e.db, `SELECT bool_and(state = 'completed') FROM river.river_job WHERE kind = 'purge_held'`)
	})
	e.db.MustExec(t, `DELETE FROM river.river_job WHERE kind = 'purge_held'`)
	eventually(t, "further ticks have passed", ticks(pgtest.Scalar[int](t, e.db, `SELECT count(*)::int + 2 FROM river.river_job WHERE kind = 'tick' AND state = 'completed'`)))
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*) FROM document`); made != 1 || jobs() != 0 || n != 30 {
		t.Errorf("%d jobs, %d more once it was finished, and %d documents are stored", made, jobs(), n)
	}
	e.wantTruth()
}
