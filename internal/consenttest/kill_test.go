package consenttest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/internal/sandbox"
	"tributary/jobs"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// What a worker process is told.
const (
	envURL = "CONSENT_URL"
	envDir = "CONSENT_DIR"
)

// hasty are the durations of a refresh, with tokens of three seconds.
func hasty() refresh.Timing {
	return refresh.Timing{Send: 2 * time.Second, Lease: 3 * time.Second, Quiet: 4 * time.Second, Heartbeat: 500 * time.Millisecond, Silent: 2 * time.Second}
}

// workerHelper is a worker process: it works until its standard input ends.
func workerHelper(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, err := open(ctx, parts{
		url: os.Getenv(envURL), dir: os.Getenv(envDir), timing: hasty(), limits: store.GateOptions{API: store.Rate{PerSecond: 25, Burst: 5}},
		log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		jobs: func(c *jobs.Config) {
			c.Tick, c.Heartbeat, c.Takeover = 300*time.Millisecond, time.Second, 3*time.Second
		},
	})
	if err != nil {
		return err
	}
	keeping := make(chan error, 1)
	go func() { keeping <- in.keeper.Run(ctx) }()
	if err := in.runner.Start(ctx); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	cancel()
	return errors.Join(err, <-keeping, in.close()) //nolint:contextcheck // what is under way ends after ctx
}

// worker is a process that a test started.
type worker struct {
	cmd   *exec.Cmd
	input io.Closer
	log   *strings.Builder
	done  chan struct{}
	once  sync.Once
}

func startWorker(t *testing.T, url, dir string) *worker {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	w := &worker{cmd: exec.Command(self), log: &strings.Builder{}, done: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), envHelper+"="+helperWorker, envURL+"="+url, envDir+"="+dir)
	w.cmd.Stderr = w.log
	if w.input, err = w.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		_ = w.cmd.Wait()
	}()
	t.Cleanup(w.kill)
	return w
}

// kill ends the process as the kernel does when memory is short.
func (w *worker) kill() {
	w.once.Do(func() { _ = w.cmd.Process.Kill() })
	<-w.done
}

// end lets the process stop by itself.
func (w *worker) end(t *testing.T) {
	t.Helper()
	_ = w.input.Close()
	select {
	case <-w.done:
	case <-time.After(30 * time.Second):
		t.Error("the worker does not stop")
	}
	if state := w.cmd.ProcessState; state != nil && !state.Success() {
		t.Errorf("the worker ended with %s: %s", state, w.log)
	}
}

// TestKilledWorker: of three workers two are killed in the middle of a download, with tokens of three seconds. The run
// goes on where it was, no document is lost, and the grant lives.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	const files = 240
	d := startDrive(t, files)
	d.Faults().Set(func(o *sandbox.Options) { o.TokenLife = 3 * time.Second })
	db, dir := pgtest.New(t), t.TempDir()
	r := newRig(t, db, d, parts{dir: dir, timing: hasty()})
	res := r.connect()
	first, _, err := r.runner.Request(t.Context(), r.connection(), store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	var killed []int
	for _, at := range []int{files / 4, files / 2} {
		reached := make(chan struct{})
		d.setFront(holdAt(d, at, reached))
		w := startWorker(t, db.URL, dir)
		select {
		case <-reached:
		case <-time.After(time.Minute):
			w.kill()
			t.Fatalf("the worker does not come to download %d: %s", at, w.log)
		}
		// A pair that was given out is lost with the process that has not stored it yet: that is another test's.
		eventually(t, time.Minute, "every pair that was given out is stored", func() bool {
			return pgtest.Scalar[int](t, db, `SELECT count(*)::int FROM refresh_attempt WHERE outcome = 'rotated'`) == d.Seen().Refreshes
		})
		w.kill()
		all, _ := d.downloads()
		killed = append(killed, all)
	}
	d.setFront(nil)
	last := startWorker(t, db.URL, dir)
	run := r.finished(store.Content, time.Minute)
	last.end(t)
	if run.ID != first.ID || run.State != store.RunSucceeded {
		t.Errorf("run %s ended %s (%s), want %s succeeded", run.ID, run.State, run.Error, first.ID)
	}
	r.wantWhole(files)
	d.reachedOnce(t) // what the front held when its worker was killed is sent again
	if _, err := r.keeper.Refresh(t.Context(), res.Grant); err != nil {
		t.Errorf("the grant after the kills: %v", err)
	}
	r.wantState(res.Grant, "active", store.StateActive)
	all, most := d.downloads()
	if len(killed) != 2 || killed[0] < files/4-1 || all > files+2*100 {
		t.Errorf("killed after %v downloads; %d in all", killed, all)
	}
	t.Logf("killed after %v downloads; %d downloads of %d files (at most %d of one), %d slices, %d refreshes, %d refused as 401",
		killed, all, files, most, run.Slices, d.reachedOnce(t), d.refused())
}

// holdAt answers nothing any more once n files were given out, and drops what waits when its client goes.
func holdAt(d *drive, n int, reached chan<- struct{}) func(http.ResponseWriter, *http.Request, []byte) bool {
	var once sync.Once
	return func(_ http.ResponseWriter, r *http.Request, _ []byte) bool {
		if all, _ := d.downloads(); all < n {
			return false
		}
		if _, download := item(r); download {
			once.Do(func() { close(reached) })
		}
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}
