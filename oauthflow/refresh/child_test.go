package refresh_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/seal"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// childEnv makes the test binary a process of its own, as it says.
const childEnv = "TEST_REFRESH_CHILD"

// order is what a child process does.
type order struct {
	URL, Server, Key, Spool string
	Registration            uuid.UUID
	Timing                  refresh.Timing
	Conns                   int32

	// Calls and Parallel are of each round; a round begins with a line on standard input that names the grant.
	Calls, Parallel int

	// Grant is worked on until the process ends at Point: by kill -9, or by SIGSTOP, after which it goes on.
	Grant uuid.UUID
	Point refresh.Point
	Stop  bool
}

// result is what a child says of a round.
type result struct {
	OK     int
	Errors []string
	Tokens map[string]int
}

func child() {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &o); err != nil {
		fail(err)
	}
	s, err := store.Open(context.Background(), store.Config{URL: o.URL, MaxConns: o.Conns})
	if err != nil {
		fail(err)
	}
	ring, err := seal.Open(o.Key, seal.Options{})
	if err != nil {
		fail(err)
	}
	cfg := refresh.Config{Store: s.Credentials(), Vault: ring, Sender: sender(o.Server, o.Registration), SpoolDir: o.Spool, Timing: o.Timing}
	if o.Point != "" {
		o.arm(&cfg)
	}
	k, err := refresh.New(cfg)
	if err != nil {
		fail(err)
	}
	go func() { _ = k.Run(context.Background()) }()
	if o.Calls > 0 {
		o.rounds(k)
		return
	}
	fmt.Fprintln(os.Stdout, "ready")
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		_, _ = k.Access(ctx, o.Grant)
		cancel()
		<-time.After(5 * time.Millisecond)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stdout, "broken:", err)
	os.Exit(3)
}

// brokenStore is a database that fails while broken is set.
type brokenStore struct {
	refresh.Store
	broken atomic.Bool
}

func (b *brokenStore) InRow(ctx context.Context, grant uuid.UUID, fn func(tx refresh.Tx) error) error {
	if b.broken.Load() {
		return errTest
	}
	return b.Store.InRow(ctx, grant, fn)
}

// arm ends the process at o.Point, the first time it is reached.
func (o *order) arm(cfg *refresh.Config) {
	b := &brokenStore{Store: cfg.Store}
	cfg.Store = b
	spools := o.Point == refresh.BeforeSpool || o.Point == refresh.InSpool || o.Point == refresh.AfterSpool || o.Point == refresh.BeforeSpoolRemove
	var once sync.Once
	cfg.Fail = func(p refresh.Point) {
		if spools && p == refresh.AfterBody {
			b.broken.Store(true)
		}
		if p == refresh.AfterSpool && o.Point == refresh.BeforeSpoolRemove {
			b.broken.Store(false)
		}
		if p == o.Point {
			once.Do(func() {
				if !o.Stop {
					killed()
				}
				// Kill returns before every thread stands still; what follows waits for the end of the pause.
				resumed := make(chan os.Signal, 1)
				signal.Notify(resumed, syscall.SIGCONT)
				_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
				<-resumed
			})
		}
	}
}

func (o *order) rounds(k *refresh.Keeper) {
	fmt.Fprintln(os.Stdout, "ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		grant, err := uuid.Parse(in.Text())
		if err != nil {
			fail(err)
		}
		out := result{Tokens: map[string]int{}}
		var mu sync.Mutex
		var next atomic.Int64
		var wg sync.WaitGroup
		for range o.Parallel {
			wg.Go(func() {
				for next.Add(1) <= int64(o.Calls) {
					ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
					a, err := k.Access(ctx, grant)
					cancel()
					mu.Lock()
					if err != nil {
						out.Errors = append(out.Errors, err.Error())
					} else {
						out.OK++
						out.Tokens[a.Token.Reveal()]++
					}
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		raw, _ := json.Marshal(out)
		fmt.Fprintln(os.Stdout, string(raw))
	}
}

// process is a child that runs.
type process struct {
	tb  testing.TB
	cmd *exec.Cmd
	in  *bufio.Writer
	out *bufio.Scanner
}

func (r *rig) order(timing refresh.Timing) order {
	return order{URL: r.db.URL, Server: r.server.http.URL, Key: r.ring.Path(), Spool: r.spool, Registration: r.registration, Timing: timing, Conns: 6}
}

// start runs a child and waits until it is ready.
func start(tb testing.TB, o order) *process {
	tb.Helper()
	raw, err := json.Marshal(o)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(raw))
	in, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		cancel()
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Wait()
	})
	p := &process{tb: tb, cmd: cmd, in: bufio.NewWriter(in), out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 1<<22)
	if !p.out.Scan() { // it may end before it is ready
		return p
	}
	if line := p.out.Text(); line != "ready" {
		tb.Fatalf("child: %s", line)
	}
	return p
}

// round tells a child to begin a round, result reads its end.
func (p *process) round(grant uuid.UUID) {
	fmt.Fprintln(p.in, grant)
	_ = p.in.Flush()
}

func (p *process) result() result {
	p.tb.Helper()
	if !p.out.Scan() {
		p.tb.Fatalf("child ended: %v", p.out.Err())
	}
	var r result
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		p.tb.Fatalf("child: %s", p.out.Text())
	}
	return r
}

// ended waits until the process was killed, and reports whether it was within limit.
func (p *process) ended(limit time.Duration) bool {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for p.out.Scan() {
		}
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// stopped reports whether the process is stopped by a signal.
func (p *process) stopped() bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return false
	}
	_, rest, ok := strings.Cut(string(raw), ") ")
	return ok && strings.HasPrefix(rest, "T")
}
