package acceptance

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors/sandbox"
	"tributary/store"
)

// chaosSize says how much a chaos test does: `make chaos` asks for all of it.
type chaosSize struct {
	documents, kills, restarts int
	// pause is the longest time between two blows.
	pause time.Duration
	// patience bounds what has to happen by itself.
	patience time.Duration
}

func sizeOfChaos() chaosSize {
	if os.Getenv("TEST_CHAOS") == "full" {
		return chaosSize{documents: 10_000, kills: 40, restarts: 20, pause: 2 * time.Second, patience: 10 * time.Minute}
	}
	return chaosSize{documents: 600, kills: 5, restarts: 3, pause: 400 * time.Millisecond, patience: 3 * time.Minute}
}

// chaos is a drive, a PostgreSQL, a wire between that and workers, and the
// workers.
type chaos struct {
	t     *testing.T
	size  chaosSize
	s     *ownServer
	wire  *wire
	drive *httpDrive
	db    string
	alive []*worker
}

func newChaos(t *testing.T, s *ownServer, d *httpDrive) *chaos {
	t.Helper()
	c := &chaos{t: t, size: sizeOfChaos(), s: s, drive: d, wire: newWire(t, s)}
	c.db = s.connectedTo(store.NewConnection{Name: "drive", Source: sandbox.Source})
	t.Cleanup(func() {
		for _, w := range c.alive {
			w.kill()
		}
	})
	return c
}

// worker is a process that works on jobs.
type worker struct {
	cmd     *exec.Cmd
	said    string // the file of its error output
	done    chan struct{}
	stopped bool
}

// quick are the times of workers in tests that cannot wait for the defaults.
func quick() []string {
	return []string{envHeartbeat + "=500ms", envTakeover + "=3s", envTick + "=500ms"}
}

// work starts a worker at an address of the database.
func (c *chaos) work(url string, env ...string) *worker {
	c.t.Helper()
	self, err := os.Executable()
	if err != nil {
		c.t.Fatal(err)
	}
	return c.workFrom(self, url, env...)
}

// workFrom starts a worker whose program is a file.
func (c *chaos) workFrom(program, url string, env ...string) *worker {
	c.t.Helper()
	said, err := os.CreateTemp(c.t.TempDir(), "worker")
	if err != nil {
		c.t.Fatal(err)
	}
	defer said.Close()
	w := &worker{cmd: exec.Command(program), said: said.Name(), done: make(chan struct{})}
	w.cmd.Env = append(os.Environ(), envHelper+"="+helperWork, envURL+"="+url, envDrive+"="+c.drive.addr, envToken+"="+c.drive.token)
	w.cmd.Env = append(w.cmd.Env, env...)
	w.cmd.Stderr = said
	if err := w.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	go func() {
		defer close(w.done)
		_ = w.cmd.Wait()
	}()
	c.alive = append(c.alive, w)
	return w
}

func (w *worker) signal(s syscall.Signal) { _ = w.cmd.Process.Signal(s) }

// lastWords are the end of what a worker said.
func (w *worker) lastWords() string {
	text, err := os.ReadFile(w.said)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-3000):])
}

// stop freezes a worker, cont lets it go on.
func (w *worker) stop() { w.signal(syscall.SIGSTOP); w.stopped = true }
func (w *worker) cont() { w.signal(syscall.SIGCONT); w.stopped = false }

func (w *worker) kill() {
	w.signal(syscall.SIGKILL)
	<-w.done
}

// mark is the part of a holder's name that tells this process.
func (w *worker) mark() string { return ":" + strconv.Itoa(w.cmd.Process.Pid) + ":" }

// crashed fails the test if a worker has ended that nobody killed.
func (c *chaos) crashed(w *worker) {
	c.t.Helper()
	select {
	case <-w.done:
		c.t.Fatalf("a worker ended by itself: %s", w.lastWords())
	default:
	}
}

// await asks until the answer is true, through whatever the server suffers.
func (c *chaos) await(within time.Duration, what, sql string, args ...any) time.Duration {
	c.t.Helper()
	took, ok, last := c.comes(within, sql, args...)
	if !ok {
		for _, w := range c.alive {
			c.t.Logf("a worker said: %s", w.lastWords())
		}
		c.t.Fatalf("not within %s: %s (%v)", within, what, last)
	}
	return took
}

// comes reports whether the answer becomes true, when, and what asking met last.
func (c *chaos) comes(within time.Duration, sql string, args ...any) (took time.Duration, ok bool, last error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(c.t.Context(), within)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := c.ask(ctx, sql, args...)
		if ok {
			return time.Since(began), true, nil
		}
		if err != nil && ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return 0, false, last
		case <-tick.C:
		}
	}
}

func (c *chaos) ask(ctx context.Context, sql string, args ...any) (bool, error) {
	cfg, err := pgx.ParseConfig(c.s.superURL(c.db))
	if err != nil {
		return false, err
	}
	cfg.RuntimeParams["search_path"] = "tributary, public"
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return false, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var ok *bool
	err = conn.QueryRow(ctx, sql, args...).Scan(&ok)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return ok != nil && *ok, err
}

// settled waits until both lanes have been through and nothing is left to do.
func (c *chaos) settled() time.Duration {
	c.t.Helper()
	return c.await(c.size.patience, "both lanes succeed and nothing is live", `
		SELECT count(DISTINCT lane) FILTER (WHERE state = 'succeeded') = 2 AND NOT bool_or(state IN ('queued', 'running')) FROM sync_run`)
}

// began waits until some documents are stored and the content run goes on.
func (c *chaos) began() {
	c.t.Helper()
	c.await(c.size.patience, "the first documents are stored", `
		SELECT EXISTS (SELECT FROM document) AND EXISTS (SELECT FROM sync_run WHERE lane = 'content' AND state IN ('queued', 'running'))`)
}

// verdict compares the store with that of a run which nobody disturbed.
func (c *chaos) verdict(want []string) {
	c.t.Helper()
	conn := c.s.open(c.db)
	defer conn.Close(context.Background())
	wantWhole(c.t, conn)
	wantSame(c.t, contents(c.t, conn), want)
}

// inPeace returns what one worker stores that nobody disturbs.
func inPeace(t *testing.T, s *ownServer, d *httpDrive) []string {
	t.Helper()
	c := newChaos(t, s, d)
	w := c.work(s.url(c.db), quick()...)
	took := c.settled()
	conn := s.open(c.db)
	defer conn.Close(context.Background())
	wantWhole(t, conn)
	want := contents(t, conn)
	if n := scalar[int](t, conn, `SELECT count(*) FROM document WHERE hidden_reason IS NULL`); n != c.size.documents {
		t.Fatalf("in peace %d documents are stored, want %d", n, c.size.documents)
	}
	w.kill()
	t.Logf("in peace %d documents take %s", c.size.documents, took.Round(time.Millisecond))
	return want
}
