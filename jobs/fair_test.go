package jobs

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/extract"
	"tributary/internal/pgtest"
	"tributary/store"
)

// crowd makes n connections to the world whose names begin with name, each with
// what the patterns include.
func (e *engine) crowd(name string, n int, include ...string) []uuid.UUID {
	e.t.Helper()
	var ids []uuid.UUID
	for i := range n {
		c, err := e.store.CreateConnection(e.t.Context(), store.NewConnection{
			Name: fmt.Sprintf("%s-%03d", name, i), Source: reference.Source, Settings: e.world.Settings(), Selection: connectors.Selection{Include: include},
		})
		if err != nil {
			e.t.Fatal(err)
		}
		ids = append(ids, c.ID)
	}
	return ids
}

// another starts one more process on the engine's database.
func (e *engine) another() *Runner {
	e.t.Helper()
	s, err := store.Open(e.t.Context(), store.Config{URL: e.db.URL, Purpose: store.Worker, MaxConns: 6})
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(s.Close)
	cfg := e.runner.cfg
	cfg.Store, cfg.Extractor = s, extract.New(extract.Config{})
	r, err := New(cfg)
	if err != nil {
		e.t.Fatal(err)
	}
	if err := r.Start(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			e.t.Error(err)
		}
	})
	return r
}

// fairness is how long 100 connections share two slots, and with which turns.
type fairness struct {
	// documents is how much a large connection has: at six a second, more than
	// it can get through.
	documents      int
	handOver, tick time.Duration
	lasts          time.Duration
}

// fairnessOf is with turns of half a second instead of ten, until every small
// connection has had one; with TEST_FAIR_MINUTES, which `make soak-fair` sets, it
// is with the times that ship, for so long.
func fairnessOf(t *testing.T) fairness {
	t.Helper()
	text := os.Getenv("TEST_FAIR_MINUTES")
	if text == "" {
		return fairness{documents: 300, handOver: 500 * time.Millisecond, tick: 200 * time.Millisecond}
	}
	minutes, err := strconv.Atoi(text)
	if err != nil || minutes < 1 {
		t.Fatalf("reading TEST_FAIR_MINUTES: %q is no number of minutes", text)
	}
	return fairness{documents: 400*minutes + 300, lasts: time.Duration(minutes) * time.Minute}
}

// 100 connections of very different size share two workers of one slot each: ten
// of them hold both slots for as long as this lasts, and the ninety others, which
// have one document and are due every minute, wait for a minute at most.
func TestSmallConnectionsDoNotWaitBehindLargeOnes(t *testing.T) {
	t.Parallel()
	size := fairnessOf(t)
	w := small(size.documents)
	w.SetPageSize(1)
	e := newEngine(t, w, func(c *Config) {
		c.Workers, c.Tick, c.HandOver = 1, size.tick, size.handOver
		c.Connectors = map[string]connectors.Connector{reference.Source: slow{w.Connector(), 150 * time.Millisecond, 0}}
	})
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock() + interval '1 day'`)
	large := e.crowd("large", 10)
	few := e.crowd("small", 90, "doc-007")
	e.db.MustExec(t, `UPDATE schedule SET every = interval '1 minute' WHERE connection_id = ANY($1) AND lane = 'content'`, few)
	e.start()
	e.another()
	const (
		done = `SELECT count(DISTINCT connection_id) FROM sync_run WHERE connection_id = ANY($1) AND lane = 'content' AND state = 'succeeded'`
		// What waits still counts with what it has waited.
		wait = `SELECT extract(epoch FROM max(coalesce(started_at, clock()) - queued_at))::float8 FROM sync_run WHERE connection_id = ANY($1) AND lane = 'content'`
	)
	begun, tick := time.Now(), time.NewTicker(50*time.Millisecond)
	defer tick.Stop()
	for pgtest.Scalar[int64](t, e.db, done, few) < int64(len(few)) || time.Since(begun) < size.lasts {
		if n := pgtest.Scalar[int64](t, e.db, done, few); time.Since(begun) > size.lasts+100*time.Second {
			t.Fatalf("%d of %d small connections still wait behind large ones", int64(len(few))-n, len(few))
		}
		<-tick.C
	}
	longest := pgtest.Scalar[float64](t, e.db, wait, few)
	t.Logf("for %s, in %d runs, a small connection waited for %.1f s at most; large ones read %d pages in %d slices", time.Since(begun).Round(time.Second),
		pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM sync_run WHERE connection_id = ANY($1) AND lane = 'content' AND started_at IS NOT NULL`, few), longest,
		pgtest.Scalar[int64](t, e.db, `SELECT sum((counts ->> 'pages')::int)::bigint FROM sync_run WHERE connection_id = ANY($1) AND lane = 'content'`, large),
		pgtest.Scalar[int64](t, e.db, `SELECT sum(slices)::bigint FROM sync_run WHERE connection_id = ANY($1) AND lane = 'content'`, large))
	if longest > 60 {
		t.Errorf("a small connection waited for %.1f s", longest)
	}
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM sync_run WHERE connection_id = ANY($1) AND lane = 'content' AND slices > 0 AND (counts ->> 'pages')::int > 0`, large); n != int64(len(large)) {
		t.Errorf("%d of %d large connections got a turn", n, len(large))
	}
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM sync_run WHERE connection_id = ANY($1) AND lane = 'content' AND state <> 'queued' AND state <> 'running'`, large); n != 0 {
		t.Errorf("%d large connections are done already: they were not large", n)
	}
	eventually(t, "every connection has its permissions", func() bool {
		return pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM connection WHERE permissions_as_of IS NULL`) <= 1 // the engine's own is not due
	})
}

func TestTurns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		waiting, slots int
		want           time.Duration
	}{
		{0, 4, 0}, {1, 4, 10 * time.Second}, {12, 4, 10 * time.Second}, {24, 4, 5 * time.Second}, {100, 2, time.Second}, {5, 0, 6 * time.Second},
	} {
		if got := turnOf(10*time.Second, c.waiting, c.slots); got != c.want {
			t.Errorf("%d wait for %d slots: a turn is %s, want %s", c.waiting, c.slots, got, c.want)
		}
	}
}

// While content that takes eight hours holds every slot, each permission run
// begins when it is due, and no connection's permissions are ever stale.
func TestLongSnapshotDelaysNoPermissions(t *testing.T) {
	t.Parallel()
	w := small(40)
	w.SetPageSize(5)
	e := newEngine(t, w, func(c *Config) { c.Workers = 1 })
	e.db.SetClock(t, start2026())
	e.must(store.Permissions, store.RunSucceeded)
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock() + interval '1 day'`)
	conn, _ := e.store.Connection(t.Context(), "world")
	w.Fail(reference.FaultOn{Kind: connectortest.Slow, Page: 3, Times: 1})
	content, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	e.start()
	if err := w.AwaitHeld(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Mend)
	e.timetable(func(tt *store.Timetable) { tt.PermissionsEvery = 10 * time.Minute })
	for step := range 48 {
		e.db.Advance(t, 10*time.Minute+31*time.Second)
		if err := e.runner.tick(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, fmt.Sprintf("permission run %d has ended", step+1), func() bool {
			return pgtest.Scalar[bool](t, e.db, `SELECT permissions_as_of = clock() AND NOT EXISTS (SELECT FROM sync_run WHERE lane = 'permissions' AND state IN ('queued', 'running')) FROM connection`)
		})
	}
	if run, err := e.store.Run(t.Context(), content.ID); err != nil || run.State != store.RunRunning || run.Slices != 1 {
		t.Fatalf("meanwhile the snapshot was %s in slice %d, %v", run.State, run.Slices, err)
	}
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM sync_run WHERE lane = 'permissions' AND state = 'succeeded'`); n != 49 {
		t.Errorf("%d permission runs, want 49", n)
	}
	w.Mend()
	eventually(t, "the snapshot has ended", func() bool { return e.finished(store.Content) })
	e.wantTruth()
}

// 10,000 due schedules are enqueued, each once. The ten seconds that this may
// take count where nothing else runs beside, in the long form.
func TestManyDueSchedules(t *testing.T) {
	t.Parallel()
	limit := time.Minute
	if os.Getenv("TEST_FAIR_MINUTES") != "" {
		limit = 10 * time.Second
	}
	e := newEngine(t, small(1))
	e.db.SetClock(t, start2026()) // the full hour must not come between the question and the look at it
	e.db.MustExec(t, `INSERT INTO connection (name, source) SELECT 'c-' || i, 'reference' FROM generate_series(1, 4999) i`)
	e.db.MustExec(t, `INSERT INTO schedule (connection_id, lane, every) SELECT id, lane, interval '15 minutes' FROM connection, unnest(ARRAY['content', 'permissions']) lane ON CONFLICT DO NOTHING`)
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock(), cron = CASE WHEN lane = 'content' THEN '@hourly' ELSE '' END`)
	e.db.MustExec(t, `ANALYZE`)
	begun := time.Now()
	if err := e.runner.enqueueDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	t.Logf("10,000 schedules took %s", took)
	if took > limit {
		t.Errorf("10,000 schedules took %s, want at most %s", took, limit)
	}
	for what, sql := range map[string]string{
		"runs":           `SELECT count(*) FROM sync_run WHERE state = 'queued'`,
		"jobs":           `SELECT count(DISTINCT args ->> 'run_id') FROM river.river_job WHERE kind = 'sync_slice'`,
		"jobs in all":    `SELECT count(*) FROM river.river_job WHERE kind = 'sync_slice'`,
		"times to come":  `SELECT count(*) FROM schedule WHERE next_run_at > clock()`,
		"in their lanes": `SELECT count(*) FROM sync_run r JOIN river.river_job j ON j.args ->> 'run_id' = r.id::text AND (j.queue = 'permissions') = (r.lane = 'permissions')`,
	} {
		if n := pgtest.Scalar[int64](t, e.db, sql); n != 10000 {
			t.Errorf("%s: %d, want 10,000", what, n)
		}
	}
	if err := e.runner.enqueueDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM sync_run`); n != 10000 {
		t.Errorf("after another look there are %d runs", n)
	}
}

// No transaction is open while a source is waited for.
func TestNoTransactionSpansTheSource(t *testing.T) {
	t.Parallel()
	for _, place := range []connectortest.Place{connectortest.OnListing, connectortest.OnBody, connectortest.OnGroups, connectortest.OnACL} {
		t.Run(string(place), func(t *testing.T) {
			t.Parallel()
			w := small(20)
			e := newEngine(t, w)
			w.Fail(reference.FaultOn{On: place, Kind: connectortest.Slow, Times: 1})
			e.start()
			if err := w.AwaitHeld(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(w.Mend)
			other := store.Content
			if place == connectortest.OnGroups {
				other = store.Permissions
			}
			eventually(t, "nothing is in a transaction", func() bool {
				return pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND application_name LIKE 'tributary-%' AND xact_start IS NOT NULL`) == 0
			})
			if oldest := pgtest.Scalar[float64](t, e.db, `SELECT coalesce(extract(epoch FROM max(clock_timestamp() - xact_start)), 0)::float8 FROM pg_stat_activity
				WHERE datname = current_database() AND application_name LIKE 'tributary-%'`); oldest > 10 {
				t.Errorf("a transaction is %.1f s old", oldest)
			}
			w.Mend()
			eventually(t, "the run goes on", func() bool { return e.finished(other) })
		})
	}
}

// A slice hands over in the middle of a page too: what it stored of the page is
// not opened again, and nothing is counted twice.
func TestLongPageIsHandedOver(t *testing.T) {
	t.Parallel()
	w := small(60)
	w.SetPageSize(100)
	e := newEngine(t, w, func(c *Config) {
		c.Parallel, c.BytesInFlight, c.Slice, c.HandOver = 2, 256<<10, 150*time.Millisecond, 100*time.Millisecond
		c.Connectors = map[string]connectors.Connector{reference.Source: slow{w.Connector(), 0, 60 * time.Millisecond}}
	})
	run := e.must(store.Content, store.RunSucceeded)
	opened := e.world.Counts().Bodies
	t.Logf("%d slices opened %d bodies", run.Slices, opened)
	if run.Slices < 2 || run.Attempt != 0 {
		t.Errorf("%d slices, %d attempts: the page was not handed over", run.Slices, run.Attempt)
	}
	if opened > 60+run.Slices {
		t.Errorf("%d slices opened %d bodies of 60 documents", run.Slices, opened)
	}
	if c := run.Counts; c.Listed != 60 || c.Added != 60 || c.Pages != 1 {
		t.Errorf("the run did %+v", c)
	}
	e.wantTruth()
	if run := e.must(store.Content, store.RunSucceeded); run.Kind != store.RunChanges {
		t.Errorf("after it came a %s", run.Kind)
	}
}

// A source that asks for an hour holds no worker: the others go on.
func TestRateLimitedRunHoldsNoWorker(t *testing.T) {
	t.Parallel()
	w := small(6)
	e := newEngine(t, w, func(c *Config) { c.Workers, c.Tick = 1, 100*time.Millisecond })
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock() + interval '1 day' WHERE lane = 'permissions'`)
	w.Fail(reference.FaultOn{Kind: connectortest.RateLimited, Times: 1, RetryAfter: time.Hour})
	e.start()
	limited := func() bool {
		return pgtest.Scalar[bool](t, e.db, `SELECT EXISTS (SELECT FROM sync_run WHERE state = 'queued' AND worker = '' AND error_class = 'rate_limited'
			AND next_try_at BETWEEN clock() + interval '50 minutes' AND clock() + interval '61 minutes')`)
	}
	eventually(t, "the run waits", limited)
	others := e.crowd("other", 5)
	eventually(t, "the others are synced", func() bool {
		return pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM connection WHERE id = ANY($1) AND content_as_of IS NOT NULL`, others) == 5
	})
	if !limited() {
		t.Error("the run did not wait for its hour")
	}
	conn, _ := e.store.Connection(t.Context(), "world")
	if run, made, err := e.runner.Request(t.Context(), conn, store.Content, "manual", false); err != nil || made || run.NextTryAt == nil || !limited() {
		t.Errorf("asking for it does not wait for what the source asked: made %v, next try %v, %v", made, run.NextTryAt, err)
	}
}
