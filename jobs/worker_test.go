package jobs

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/embed/embedtest"
	"tributary/internal/pgtest"
	"tributary/store"
)

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("still not: %s", what)
		case <-tick.C:
		}
	}
}

func (e *engine) start() {
	e.t.Helper()
	if err := e.runner.Start(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := e.runner.Stop(ctx); err != nil {
			e.t.Error(err)
		}
	})
}

func (e *engine) finished(lane store.Lane) bool {
	runs, err := e.store.Runs(e.t.Context(), store.RunFilter{Connection: e.conn.ID, Lane: lane, Limit: 1})
	return err == nil && len(runs) == 1 && runs[0].State == store.RunSucceeded
}

func TestScheduleRunsBothLanes(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(25))
	e.start()
	eventually(t, "both lanes have succeeded", func() bool { return e.finished(store.Content) && e.finished(store.Permissions) })
	e.wantTruth()
	e.wantReaders()
}

// A run whose holder died is taken over, and schedules survive the loss of
// every job row.
func TestDeadHoldersRunIsTakenOver(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(25), func(c *Config) { c.Tick = 200 * time.Millisecond; c.Takeover = time.Second })
	conn, _ := e.store.Connection(t.Context(), "world")
	run, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.store.ClaimRun(t.Context(), run.ID, "elsewhere:1:dead", time.Minute); err != nil {
		t.Fatal(err)
	}
	e.db.MustExec(t, `DELETE FROM river.river_job`)
	e.start()
	eventually(t, "the run has succeeded", func() bool { return e.finished(store.Content) })
	e.wantTruth()
}

func TestStopHandsOver(t *testing.T) {
	t.Parallel()
	w := small(60)
	w.SetPageSize(5)
	e := newEngine(t, w)
	w.Fail(reference.FaultOn{Kind: connectortest.Slow, Page: 6, Times: 1})
	if err := e.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.AwaitHeld(t.Context()); err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		defer cancel()
		stopped <- e.runner.Stop(ctx)
	}()
	<-e.runner.stopping
	w.Mend()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	runs, err := e.store.Runs(t.Context(), store.RunFilter{Connection: e.conn.ID, Lane: store.Content})
	if err != nil || len(runs) != 1 {
		t.Fatalf("%d runs, %v", len(runs), err)
	}
	if r := runs[0]; r.State == store.RunRunning || r.Worker != "" || r.State == store.RunFailed {
		t.Fatalf("after stop the run is %s, held by %q", r.State, r.Worker)
	}
	next, err := New(e.runner.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if run, err := next.RunHere(t.Context(), runs[0].ID, nil); err != nil || run.State != store.RunSucceeded || run.Counts.Added != 60 {
		t.Fatalf("the next process: %s %+v, %v", run.State, run.Counts, err)
	}
	e.wantTruth()
}

// Every chunk gets its right vector and none is paid for twice, whatever the
// endpoint does short of losing an answer.
func TestDrainerPaysOnce(t *testing.T) {
	t.Parallel()
	srv := embedtest.New(embedtest.Options{})
	t.Cleanup(srv.Close)
	e := newEngine(t, small(90))
	p, err := e.store.CreateProfile(t.Context(), store.Profile{
		Name: "remote", Kind: store.ProfileOpenAI, Model: "m", Dimensions: 8, URL: srv.URL, Settings: map[string]string{SettingBatchInputs: "16"},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.must(store.Content, store.RunSucceeded)
	e.db.SetClock(t, time.Now())
	srv.Next(
		embedtest.Fault{Status: 429, RetryAfter: "1"}, embedtest.Fault{Reverse: true}, embedtest.Fault{Drop: []int{2, 5}},
		embedtest.Fault{Dimensions: 9}, embedtest.Fault{Status: 503}, embedtest.Fault{Status: 429, RetryAfter: "2"},
	)
	eventually(t, "the profile is whole", func() bool {
		if err := e.runner.DrainHere(t.Context()); err != nil {
			t.Fatal(err)
		}
		e.db.Advance(t, time.Hour)
		_, waits, err := e.store.NextTodo(t.Context(), p.ID)
		return err == nil && !waits
	})
	if twice := srv.DeliveredTwice(); len(twice) != 0 {
		t.Errorf("%d inputs were paid for twice", len(twice))
	}
	chunks := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM chunk`)
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM vec_2`); n != chunks || chunks == 0 {
		t.Fatalf("%d vectors of %d chunks", n, chunks)
	}
	rows, err := e.db.Owner.Query(t.Context(), `SELECT CASE c.context WHEN '' THEN c.text ELSE c.context || E'\n\n' || c.text END, v.v::real[] FROM chunk c JOIN vec_2 v ON v.document_id = c.document_id AND v.chunk_id = c.id`)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
		Input  string
		Vector []float32
	}])
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stored {
		for i, want := range embedtest.Vector(s.Input, 8) {
			if math.Abs(float64(s.Vector[i]-want)) > 1e-3 {
				t.Fatalf("a chunk has the vector %v, want %v", s.Vector, embedtest.Vector(s.Input, 8))
			}
		}
	}
	// A document that moves is not paid for again.
	paid := srv.Requests()
	e.world.Put("copy", "# Document 1\n\nIts text speaks of topic 1.\n", reference.Readers(reference.Everyone()))
	run := e.must(store.Content, store.RunSucceeded)
	if err := e.runner.DrainHere(t.Context()); err != nil {
		t.Fatal(err)
	}
	if srv.Requests() != paid || run.Counts.VectorsReused == 0 {
		t.Fatalf("a copy cost %d requests: %+v", srv.Requests()-paid, run.Counts)
	}
}
