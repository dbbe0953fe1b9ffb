package jobs

import (
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// Deleting every row of the job queue while runs are under way loses nothing:
// each goes on, and the next times come.
func TestLosingTheJobQueueLosesNothing(t *testing.T) {
	t.Parallel()
	w := small(60)
	w.SetPageSize(5)
	e := newEngine(t, w, func(c *Config) {
		c.Workers, c.Tick, c.Takeover, c.HandOver, c.Heartbeat = 2, 200*time.Millisecond, time.Second, 200*time.Millisecond, 200*time.Millisecond
		c.Connectors = map[string]connectors.Connector{reference.Source: slow{w.Connector(), 20 * time.Millisecond, 0}}
	})
	ids := e.crowd("c", 12)
	e.start()
	for i := range 6 {
		eventually(t, "runs are under way", func() bool {
			return pgtest.Scalar[int64](t, e.db, `SELECT coalesce(sum((counts ->> 'pages')::int), 0) FROM sync_run WHERE lane = 'content'`) > int64(10*i)
		})
		e.db.MustExec(t, `DELETE FROM river.river_job`)
	}
	eventually(t, "every connection is synced", func() bool {
		return pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM connection WHERE id = ANY($1) AND content_as_of IS NOT NULL AND permissions_as_of IS NOT NULL`, ids) == int64(len(ids))
	})
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM document WHERE connection_id = ANY($1)`, ids); n != 60*int64(len(ids)) {
		t.Errorf("%d documents, want %d", n, 60*len(ids))
	}
	e.db.MustExec(t, `DELETE FROM river.river_job`)
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock()`)
	eventually(t, "the next times come", func() bool {
		return pgtest.Scalar[int64](t, e.db, `SELECT count(DISTINCT connection_id) FROM sync_run WHERE connection_id = ANY($1) AND lane = 'content' AND kind = 'changes' AND state = 'succeeded'`, ids) == int64(len(ids))
	})
}

// Due work is found where no process leads: the ticks of the queue do not come.
func TestDueWorkIsFoundWithoutALeader(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(5), func(c *Config) { c.Tick, c.Repair = time.Hour, 100*time.Millisecond })
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock() + interval '1 day'`)
	// Another process leads, and does nothing.
	e.db.MustExec(t, `INSERT INTO river.river_leader (name, leader_id, elected_at, expires_at) VALUES ('default', 'hung', now(), now() + interval '1 day')`)
	e.start()
	e.db.MustExec(t, `DELETE FROM river.river_job`)
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock()`)
	eventually(t, "both lanes have succeeded", func() bool { return e.finished(store.Content) && e.finished(store.Permissions) })
}

// However often triggers come together, a lane has one run and one slice.
func TestManyTriggersMakeOneRun(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(3))
	other, err := New(e.runner.cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, _ := e.store.Connection(t.Context(), "world")
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Go(func() {
			r := e.runner
			if i%2 == 1 {
				r = other
			}
			var err error
			switch i % 5 {
			case 0:
				err = r.enqueueDue(t.Context())
			case 1:
				_, _, err = r.RequestKind(t.Context(), conn, store.RunSnapshot, "manual")
			case 2:
				_, _, err = r.Request(t.Context(), conn, store.Permissions, "manual", false)
			default:
				_, _, err = r.Request(t.Context(), conn, store.Content, "manual", false)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for what, sql := range map[string]string{"runs": `SELECT count(*) FROM sync_run`, "slices": `SELECT count(*) FROM river.river_job WHERE kind = 'sync_slice'`} {
		if n := pgtest.Scalar[int64](t, e.db, sql); n != 2 {
			t.Errorf("100 triggers made %d %s, want one for each lane", n, what)
		}
	}
}

// Processes that are stopped and started while a connection syncs lose nothing:
// what is stored only grows, and each stop is quick.
func TestRollingRestartLosesNothing(t *testing.T) {
	t.Parallel()
	w := small(80)
	w.SetPageSize(4)
	e := newEngine(t, w, func(c *Config) {
		c.Workers, c.Tick, c.Heartbeat, c.HandOver = 1, 100*time.Millisecond, 200*time.Millisecond, 200*time.Millisecond
		c.Connectors = map[string]connectors.Connector{reference.Source: slow{w.Connector(), 100 * time.Millisecond, 0}}
	})
	stored := func() int64 {
		return pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM document`)
	}
	last := int64(-1)
	for range 6 {
		r, err := New(e.runner.cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		before := stored()
		eventually(t, "this process brings something", func() bool { return stored() > before })
		begun := time.Now()
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took > 20*time.Second {
			t.Errorf("stopping took %s", took)
		}
		if n := stored(); n < last || n < before {
			t.Fatalf("%d documents, there were %d", n, last)
		} else {
			last = n
		}
		if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM sync_run WHERE state = 'running' OR worker <> '' OR state = 'failed'`); n != 0 {
			t.Fatalf("after a stop %d runs are held, or failed", n)
		}
	}
	e.start()
	eventually(t, "the sync has ended", func() bool { return e.finished(store.Content) })
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM sync_run WHERE lane = 'content' AND kind = 'snapshot'`); n != 1 {
		t.Errorf("%d snapshots for one sync", n)
	}
	e.wantTruth()
}

// A run that a job is to begin soon is not given another one, however long it
// waits for a slot; a job that is due much later, or was due and is not made
// available, keeps none from a run whose holder died.
func TestWaitingRunIsNotEnqueuedTwice(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(1))
	conn, _ := e.store.Connection(t.Context(), "world")
	run, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	adopt := func() int64 {
		t.Helper()
		if err := e.runner.adoptOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		return pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM river.river_job WHERE kind = 'sync_slice'`)
	}
	e.db.MustExec(t, `UPDATE sync_run SET queued_at = clock() - interval '10 minutes', waiting_since = clock() - interval '10 minutes'`)
	if n := adopt(); n != 1 {
		t.Fatalf("%d slices for a run that waits", n)
	}
	e.db.MustExec(t, `UPDATE river.river_job SET scheduled_at = now() + interval '1 hour', state = 'scheduled'`)
	e.db.MustExec(t, `UPDATE sync_run SET state = 'running', worker = 'elsewhere:1:dead', heartbeat_at = clock() - interval '5 minutes'`)
	if n := adopt(); n != 2 {
		t.Fatalf("%d slices for run %s, whose holder died", n, run.ID)
	}
	e.db.MustExec(t, `UPDATE river.river_job SET scheduled_at = now() - interval '10 seconds', state = 'retryable'`)
	if n := adopt(); n != 2 {
		t.Fatalf("%d slices, and two were due a moment ago", n)
	}
	e.db.MustExec(t, `UPDATE river.river_job SET scheduled_at = now() - interval '1 minute'`)
	if n := adopt(); n != 3 {
		t.Fatalf("%d slices, and the two were due a minute ago and nobody made them available", n)
	}
}

// A listing that was cut short proves nothing: the reconcile stays due.
func TestPartialListingDoesNotPostponeTheReconcile(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(5))
	run := e.must(store.Content, store.RunSucceeded)
	for complete, moved := range map[bool]bool{false: false, true: true} {
		e.db.MustExec(t, `UPDATE sync_run SET complete = $1`, complete)
		e.db.MustExec(t, `UPDATE schedule SET reconcile_at = clock() - interval '1 hour'`)
		err := pgx.BeginFunc(t.Context(), e.db.Pool, func(tx pgx.Tx) error { return e.store.PostponeReconcileTx(t.Context(), tx, run) })
		if err != nil {
			t.Fatal(err)
		}
		if got := pgtest.Scalar[bool](t, e.db, `SELECT reconcile_at > clock() FROM schedule WHERE lane = 'content'`); got != moved {
			t.Errorf("after a listing with complete %v the reconcile was moved: %v", complete, got)
		}
	}
}
