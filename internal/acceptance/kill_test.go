package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"tributary/store"
)

const (
	killDocuments = 2000
	usualKills    = 5
	killPatience  = 3 * time.Minute
)

// kills is how often the tests kill: TEST_KILLS, which `make test-kill` sets.
func kills(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv("TEST_KILLS"))
	if err != nil || n < 1 {
		return usualKills
	}
	return n
}

// helper is a process that syncs the connection "tree" of a database.
type helper struct {
	cmd      *exec.Cmd
	out, err bytes.Buffer
	done     chan error
}

func startHelper(t *testing.T, url string) *helper {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	h := &helper{cmd: exec.Command(self), done: make(chan error, 1)}
	h.cmd.Env = append(os.Environ(), envHelper+"="+helperSync, envURL+"="+url)
	h.cmd.Stdout, h.cmd.Stderr = &h.out, &h.err
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { h.done <- h.cmd.Wait() }()
	return h
}

// wait waits for the end of a helper that nobody disturbs: both lanes succeed.
func (h *helper) wait(t *testing.T) {
	t.Helper()
	select {
	case err := <-h.done:
		if err != nil {
			t.Fatalf("helper: %v: %s", err, h.err.String())
		}
	case <-time.After(killPatience):
		_ = h.cmd.Process.Kill()
		t.Fatalf("the helper did not end within %s: %s", killPatience, h.err.String())
	}
	var runs []store.Run
	if err := json.Unmarshal(h.out.Bytes(), &runs); err != nil {
		t.Fatalf("reading the helper's runs: %v", err)
	}
	for _, r := range runs {
		if r.State != store.RunSucceeded {
			t.Fatalf("a run of the helper ended %s: %s", r.State, r.Error)
		}
	}
}

// ended waits for d, or for the helper's end, and reports which came first.
func (h *helper) ended(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-h.done:
		return true
	case <-timer.C:
		return false
	}
}

// undisturbed syncs dir in peace; it returns the contents of the store and how
// long it took.
func undisturbed(t *testing.T, s *ownServer, dir string) ([]string, time.Duration) {
	t.Helper()
	db := s.connected(dir)
	began := time.Now()
	startHelper(t, s.url(db)).wait(t)
	took := time.Since(began)
	conn := s.open(db)
	wantWhole(t, conn)
	want := contents(t, conn)
	if n := scalar[int](t, conn, `SELECT count(*) FROM document`); n != killDocuments {
		t.Fatalf("an undisturbed run stores %d documents, want %d", n, killDocuments)
	}
	_ = conn.Close(context.Background())
	return want, took
}

// disturb kills in cycles until kill was called n times: each cycle syncs one
// fresh database to its end and compares it with want. kill gets the helper at
// a random moment and must leave it ended.
func disturb(t *testing.T, s *ownServer, dir string, n int, want []string, took time.Duration, kill func(h *helper)) {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d kills, seed %d, an undisturbed run takes %s", n, seed, took.Round(time.Millisecond))
	r := rand.New(rand.NewPCG(seed, 1))
	for killed := 0; killed < n; {
		db := s.connected(dir)
		inCycle := 0
		for killed < n {
			h := startHelper(t, s.url(db))
			if h.ended(time.Duration(r.Float64() * float64(took) * 0.6)) {
				break
			}
			kill(h)
			killed++
			inCycle++
		}
		startHelper(t, s.url(db)).wait(t)
		conn := s.open(db)
		wantWhole(t, conn)
		wantSame(t, contents(t, conn), want)
		slices := scalar[int](t, conn, `SELECT sum(slices) FROM sync_run WHERE lane = 'content'`)
		_ = conn.Close(context.Background())
		t.Logf("cycle with %d kills: %d slices, the same store", inCycle, slices)
		s.exec("postgres", `DROP DATABASE `+db+` WITH (FORCE)`)
		if t.Failed() {
			return
		}
	}
}

// A kill -9 of the process at any moment leaves every document whole, and the
// next run continues: the final store equals that of an undisturbed run.
func TestKillOfTheProcess(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	makeTree(t, dir, killDocuments)
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	want, took := undisturbed(t, s, dir)
	disturb(t, s, dir, kills(t), want, took, func(h *helper) {
		_ = h.cmd.Process.Kill()
		<-h.done
	})
}

// The same with the postmaster: PostgreSQL recovers, and a new process
// continues.
func TestKillOfThePostmaster(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	makeTree(t, dir, killDocuments)
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	want, took := undisturbed(t, s, dir)
	disturb(t, s, dir, kills(t), want, took, func(h *helper) {
		s.kill()
		// The helper's database is gone: it says so and ends, or waits to try
		// again and is stopped.
		if !h.ended(5 * time.Second) {
			_ = h.cmd.Process.Kill()
			<-h.done
		}
	})
}
