//go:build linux

package acceptance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	permCommandLimit = 2 * time.Minute
	permStopLimit    = 45 * time.Second
	permPoll         = 20 * time.Millisecond
)

// permProgram is the built program with a data directory of its own, driven as
// a person does it.
type permProgram struct {
	t      *testing.T
	dir    string // open to everybody
	bin    string
	env    []string
	client *http.Client
}

// permOpenDir returns a directory whose ancestors are open to every account;
// those of t.TempDir are not.
func permOpenDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "tributary-acceptance-") //nolint:usetesting // see above
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// permBuild builds the program.
func permBuild(t *testing.T) *permProgram {
	t.Helper()
	dir := permOpenDir(t)
	p := &permProgram{t: t, dir: dir, bin: filepath.Join(dir, "tributary"), client: &http.Client{Timeout: time.Minute}}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", p.bin, "tributary/cmd/tributary")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, out)
	}
	t.Cleanup(p.client.CloseIdleConnections)
	return p.site("first")
}

// site returns the same program with another data directory.
func (p *permProgram) site(name string, env ...string) *permProgram {
	p.t.Helper()
	home := filepath.Join(p.dir, name)
	if err := os.Mkdir(home, 0o755); err != nil {
		p.t.Fatal(err)
	}
	s := *p
	s.env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + os.Getenv("TMPDIR"), "TRIBUTARY_DATA_DIR=" + filepath.Join(home, "data"),
		"TRIBUTARY_ADDR=" + permFreeAddr(p.t), "TRIBUTARY_METRICS_ADDR=off",
	}, env...)
	return &s
}

func permFreeAddr(t *testing.T) string {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// setting returns a variable of the environment; the last one holds.
func (p *permProgram) setting(name string) string {
	for _, v := range slices.Backward(p.env) {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}

// permResult is what a command left.
type permResult struct {
	code           int
	stdout, stderr string
}

func (p *permProgram) run(args ...string) permResult {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), permCommandLimit)
	defer cancel()
	return p.finish(exec.CommandContext(ctx, p.bin, args...))
}

// finish runs a prepared command in the site's environment to its end.
func (p *permProgram) finish(cmd *exec.Cmd) permResult {
	p.t.Helper()
	cmd.Env, cmd.Dir = append(cmd.Env, p.env...), p.dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	var exit *exec.ExitError
	if err := cmd.Run(); err != nil && !errors.As(err, &exit) {
		p.t.Fatalf("running %v: %v", cmd.Args, err)
	}
	return permResult{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// must is run for a command that has to end with 0.
func (p *permProgram) must(args ...string) permResult {
	p.t.Helper()
	r := p.run(args...)
	if r.code != 0 {
		p.t.Fatalf("tributary %s: exit code %d\nstdout: %s\nstderr: %s", strings.Join(args, " "), r.code, r.stdout, r.stderr)
	}
	return r
}

// permJSON is must for a command that ends with 0 and prints JSON.
func permJSON[T any](p *permProgram, args ...string) T {
	p.t.Helper()
	return permDecode[T](p.t, p.must(append(args, "--json")...).stdout)
}

func permDecode[T any](t *testing.T, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %.400s", err, text)
	}
	return v
}

// permDaemon is a process that stays.
type permDaemon struct {
	t      *testing.T
	cmd    *exec.Cmd
	out    *permBuffer
	exited chan struct{}
}

type permBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *permBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *permBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs a command that stays until it is stopped or the test ends.
func (p *permProgram) start(args ...string) *permDaemon {
	p.t.Helper()
	return p.startCommand(exec.Command(p.bin, args...))
}

func (p *permProgram) startCommand(cmd *exec.Cmd) *permDaemon {
	p.t.Helper()
	cmd.Env, cmd.Dir = append(cmd.Env, p.env...), p.dir
	d := &permDaemon{t: p.t, cmd: cmd, out: &permBuffer{}, exited: make(chan struct{})}
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		defer close(d.exited)
		_ = d.cmd.Wait()
	}()
	p.t.Cleanup(func() {
		select {
		case <-d.exited:
		default:
			d.signal(syscall.SIGINT)
		}
	})
	return d
}

// up starts the server and waits until it answers.
func (p *permProgram) up() *permDaemon {
	p.t.Helper()
	d := p.start("up")
	d.await("is running at")
	return d
}

func (d *permDaemon) ended() bool {
	select {
	case <-d.exited:
		return true
	default:
		return false
	}
}

// await waits until the output contains text.
func (d *permDaemon) await(text string) {
	d.t.Helper()
	permWait(d.t, "output "+text, func() bool {
		ended := d.ended()
		said := strings.Contains(d.out.String(), text)
		if ended && !said {
			d.t.Fatalf("the process ended without saying %q:\n%s", text, d.out)
		}
		return said
	})
}

// signal sends a signal and returns the exit code; -1 is a death by signal.
func (d *permDaemon) signal(sig os.Signal) int {
	d.t.Helper()
	_ = d.cmd.Process.Signal(sig)
	return d.wait()
}

// wait returns the exit code of a process that ends by itself.
func (d *permDaemon) wait() int {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(permStopLimit):
		_ = d.cmd.Process.Kill()
		<-d.exited
		d.t.Errorf("%v did not end within %s:\n%s", d.cmd.Args, permStopLimit, d.out)
	}
	return d.cmd.ProcessState.ExitCode()
}

// permWait polls an observable condition.
func permWait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.NewTimer(permCommandLimit)
	defer deadline.Stop()
	tick := time.NewTicker(permPoll)
	defer tick.Stop()
	for !cond() {
		select {
		case <-deadline.C:
			t.Fatalf("waited %s for %s", permCommandLimit, what)
		case <-tick.C:
		}
	}
}

// ask sends a request with a key and decodes an answer of status 200 into out.
func (p *permProgram) ask(ctx context.Context, key, method, path string, body, out any) (int, error) {
	var payload io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, err
		}
		payload = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.setting("TRIBUTARY_ADDR")+path, payload)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	resp, err := p.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return resp.StatusCode, err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return resp.StatusCode, fmt.Errorf("reading answer of %s: %w", path, err)
	}
	return resp.StatusCode, nil
}
