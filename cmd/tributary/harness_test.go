package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	commandLimit = 2 * time.Minute
	startLimit   = 3 * time.Minute
	stopLimit    = 45 * time.Second
	pollInterval = 20 * time.Millisecond
)

// program builds the binary once for all tests.
type program struct {
	once sync.Once
	dir  string
	path string
	err  error
}

var built program

func (p *program) build() {
	p.dir, p.err = os.MkdirTemp("", "tributary-bin-")
	if p.err != nil {
		return
	}
	p.path = filepath.Join(p.dir, "tributary")
	cmd := exec.Command("go", "build", "-o", p.path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		p.err = fmt.Errorf("building: %w\n%s", err, out)
	}
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range []string{built.dir, settled.dir} {
		if dir != "" {
			_ = os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

func binary(t *testing.T) string {
	t.Helper()
	built.once.Do(built.build)
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// site is an instance as a user has it: a data directory and an environment.
type site struct {
	t   *testing.T
	dir string
	env []string
}

// newSite returns a site without anything in it.
func newSite(t *testing.T, env ...string) *site {
	t.Helper()
	dir := openTempDir(t)
	return &site{t: t, dir: dir, env: append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + os.Getenv("TMPDIR"), "GOCACHE=" + filepath.Join(dir, "go-cache"),
		"TRIBUTARY_DATA_DIR=" + filepath.Join(dir, "data"), "TRIBUTARY_ADDR=" + freeAddr(t), "TRIBUTARY_METRICS_ADDR=off",
	}, env...)}
}

// settled is a data directory whose managed database was made by a command.
var settled struct {
	once sync.Once
	dir  string
	err  error
}

// newSettledSite returns a site in which a command was run before, so that its
// managed database stands: to make one takes longer than many tests do.
func newSettledSite(t *testing.T, env ...string) *site {
	t.Helper()
	program, s := binary(t), newSite(t, env...)
	settled.once.Do(func() {
		if settled.dir, settled.err = os.MkdirTemp("", "tributary-settled-"); settled.err != nil { //nolint:usetesting // it outlives the test
			return
		}
		if settled.err = os.Chmod(settled.dir, 0o755); settled.err != nil {
			return
		}
		cmd := exec.Command(program, "connections", "list")
		cmd.Env = append(slices.Clone(s.env), "HOME="+settled.dir, "TRIBUTARY_DATA_DIR="+filepath.Join(settled.dir, "data"))
		if out, err := cmd.CombinedOutput(); err != nil {
			settled.err = fmt.Errorf("making a database: %w\n%s", err, out)
		}
	})
	if settled.err != nil {
		t.Fatal(settled.err)
	}
	if out, err := exec.CommandContext(t.Context(), "cp", "-Rp", filepath.Join(settled.dir, "data"), s.setting("TRIBUTARY_DATA_DIR")).CombinedOutput(); err != nil {
		t.Fatalf("copying a database: %v\n%s", err, out)
	}
	return s
}

// openTempDir returns a directory that the database's account can reach;
// t.TempDir lies under a closed one.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tributary-e2e-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func freeAddr(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// setting returns an environment variable of the site.
func (s *site) setting(name string) string {
	return (&app{environ: s.env}).env(name)
}

// result is what a command left.
type result struct {
	code           int
	stdout, stderr string
}

// run executes a command line to its end.
func (s *site) run(args ...string) result {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), commandLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(s.t), args...)
	cmd.Env, cmd.Dir = s.env, s.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatalf("running %v: %v", args, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must is run for a command that has to end with code.
func (s *site) must(code int, args ...string) result {
	s.t.Helper()
	r := s.run(args...)
	if r.code != code {
		s.t.Fatalf("tributary %s: exit code %d, want %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), r.code, code, r.stdout, r.stderr)
	}
	return r
}

// mustJSON is must for a command that prints JSON.
func mustJSON[T any](s *site, code int, args ...string) T {
	s.t.Helper()
	r := s.must(code, append(args, "--json")...)
	var v T
	if err := json.Unmarshal([]byte(r.stdout), &v); err != nil {
		s.t.Fatalf("tributary %s: %v\n%s", strings.Join(args, " "), err, r.stdout)
	}
	return v
}

// write puts files into a directory of the site, made readable for everybody.
func (s *site) write(dir string, files map[string]string) string {
	s.t.Helper()
	root := filepath.Join(s.dir, dir)
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			s.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			s.t.Fatal(err)
		}
	}
	return root
}

// daemon is a process that stays.
type daemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *lockedBuffer
	exited chan struct{}
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a command that stays until the test ends.
func (s *site) start(args ...string) *daemon {
	s.t.Helper()
	cmd := exec.Command(binary(s.t), args...)
	cmd.Env, cmd.Dir = s.env, s.dir
	return s.startCommand(cmd)
}

func (s *site) startCommand(cmd *exec.Cmd) *daemon {
	s.t.Helper()
	d := &daemon{t: s.t, cmd: cmd, out: &lockedBuffer{}, exited: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	go func() {
		defer close(d.exited)
		_ = d.cmd.Wait()
	}()
	s.t.Cleanup(func() {
		select {
		case <-d.exited:
		default:
			d.stop()
		}
	})
	return d
}

// await waits until the output contains text.
func (d *daemon) await(text string) {
	d.t.Helper()
	waitUntil(d.t, startLimit, "output "+text, func() bool {
		select {
		case <-d.exited:
			if !strings.Contains(d.out.String(), text) {
				d.t.Fatalf("the process ended without saying %q:\n%s", text, d.out)
			}
		default:
		}
		return strings.Contains(d.out.String(), text)
	})
}

// stop asks the process to end as Ctrl-C does and returns its exit code.
func (d *daemon) stop() int { return d.signal(syscall.SIGINT) }

func (d *daemon) signal(sig os.Signal) int {
	d.t.Helper()
	_ = d.cmd.Process.Signal(sig)
	select {
	case <-d.exited:
	case <-time.After(stopLimit):
		_ = d.cmd.Process.Kill()
		<-d.exited
		d.t.Errorf("the process did not stop within %s:\n%s", stopLimit, d.out)
	}
	return d.cmd.ProcessState.ExitCode()
}

// waitUntil polls an observable condition.
func waitUntil(t *testing.T, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("waited %s for %s", limit, what)
		case <-tick.C:
		}
	}
}

// postmaster returns the process id of the site's managed PostgreSQL.
func postmaster(t *testing.T, s *site) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.setting("TRIBUTARY_DATA_DIR"), "postgres", "data", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}
