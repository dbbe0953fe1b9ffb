package consenttest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"tributary/internal/sandbox"
	"tributary/jobs"
	"tributary/store"
)

// TestLongSync: a first sync of three hours with tokens of five minutes, both lanes at work, loses no document, and
// presents no refresh token twice. Time passes by requests to the source.
func TestLongSync(t *testing.T) {
	t.Parallel()
	const (
		files = 1200
		step  = 9 * time.Second
		life  = 5 * time.Minute
		want  = 3 * time.Hour
	)
	clock, db := newSimulated(t)
	d := startDrive(t, files, func(c *sandbox.Config) { c.Clock = clock.now })
	d.Faults().Set(func(o *sandbox.Options) { o.TokenLife = life })
	d.setFront(func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if _, download := item(r); download {
			clock.advance(step)
		}
		return false
	})
	r := newRig(t, db, d, parts{clock: clock, limits: quick(), jobs: func(c *jobs.Config) {
		c.Slice, c.Takeover = 400*time.Millisecond, 24*time.Hour
	}})
	res := r.connect()
	began := clock.elapsed()
	if err := r.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	run := r.finished(store.Content, time.Minute)
	took := clock.elapsed() - began
	if run.State != store.RunSucceeded || run.Counts.Added != files || run.Counts.Quarantined != 0 {
		t.Errorf("the run ended %s (%s): %+v", run.State, run.Error, run.Counts)
	}
	r.wantWhole(files)
	r.wantState(res.Grant, "active", store.StateActive)
	n := d.once(t)
	r.outcomes()
	if took < want || n < int(want/life) {
		t.Errorf("the sync took %s with %d refreshes, want %s and %d", took, n, want, want/life)
	}
	if all, most := d.downloads(); all < files || most > 2 {
		t.Errorf("%d downloads, at most %d of one file", all, most)
	}
	if run.Slices < 2 {
		t.Errorf("the sync ran in %d slices; it should have handed over", run.Slices)
	}
	all, _ := d.downloads()
	t.Logf("%s of simulated time, %d slices, %d refreshes, %d downloads of %d files, %d refused as 401", took, run.Slices, n, all, files, d.refused())
}

// finished waits for the end of the last run of a lane.
func (r *rig) finished(lane store.Lane, within time.Duration) store.Run {
	r.t.Helper()
	var run store.Run
	eventually(r.t, within, "the run has ended", func() bool {
		runs, err := r.store.Runs(context.Background(), store.RunFilter{Connection: r.connection().ID, Lane: lane, Limit: 1})
		if err != nil || len(runs) == 0 || runs[0].State.Live() {
			return false
		}
		run = runs[0]
		return true
	})
	return run
}
