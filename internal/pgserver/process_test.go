package pgserver

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// helper is another process that owns a server.
type helper struct {
	cmd        *exec.Cmd
	stdin      io.WriteCloser
	pid        int
	uid        int
	url        string
	firstWords string
}

// startHelper runs the test binary as a process that owns a server in dir.
func startHelper(t *testing.T, binary, dir string, who *syscall.Credential) *helper {
	t.Helper()
	h := &helper{cmd: exec.CommandContext(t.Context(), binary)}
	h.cmd.Env = append(os.Environ(), helperEnv+"="+dir)
	h.cmd.Dir = "/"
	h.cmd.Stderr = t.Output()
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: who}
	var err error
	if h.stdin, err = h.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = h.cmd.Process.Kill()
		_ = h.cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("helper said nothing: %v", err)
	}
	h.firstWords = line
	_, _ = fmt.Sscanf(line, "ready %d %d %s", &h.pid, &h.uid, &h.url)
	if address, err := url.Parse(h.url); err == nil && h.url != "" {
		// Nothing starts again in the directory of a helper that a test kills.
		t.Cleanup(func() { removeSocketDir(address.Query().Get("host")) })
	}
	return h
}

func self(t *testing.T) string {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func tryConnect(t *testing.T, address string) error {
	t.Helper()
	ctx := limit(t, actionLimit)
	conn, err := pgx.Connect(ctx, address)
	if err == nil {
		_ = conn.Close(ctx)
	}
	return err
}

func TestKilledOwnerTakesTheServerAlongAndTheNextStartServes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	h := startHelper(t, self(t), dir, nil)
	if h.pid == 0 {
		t.Fatalf("helper: %s", h.firstWords)
	}
	exec1(t, h.url, "CREATE TABLE kept AS SELECT 'row'::text AS v")
	l, err := newLayout(dir)
	if err != nil {
		t.Fatal(err)
	}
	st, err := l.readState()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait()
	// Started at once, so it may meet the orphan on its way out.
	s := start(t, dir)
	if alive(h.pid) {
		t.Errorf("postmaster %d of the killed owner still lives", h.pid)
	}
	if got := query(t, s.SuperuserURL("postgres"), "SELECT v FROM kept"); got != "row" {
		t.Errorf("row = %q", got)
	}
	if !socketDirGone(st.SocketDir) {
		t.Errorf("socket directory %s of the killed owner left behind", st.SocketDir)
	}
}

// TestOwnerKilledAtAnyMomentOfItsStart kills the owner after growing delays, so
// that initdb, the start of the server and its first moments are all hit.
func TestOwnerKilledAtAnyMomentOfItsStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	for delay := time.Duration(0); delay < 1500*time.Millisecond; delay += 60 * time.Millisecond {
		cmd := exec.CommandContext(t.Context(), self(t))
		cmd.Env = append(os.Environ(), helperEnv+"="+dir)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		<-time.After(delay)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = stdin.Close()
	}
	s := start(t, dir)
	if got := query(t, s.SuperuserURL("postgres"), "SELECT 'ok'"); got != "ok" {
		t.Errorf("query = %q", got)
	}
	stop(t, s)
	s = start(t, dir)
	stop(t, s)
	entries, err := os.ReadDir(filepath.Join(dir, "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		switch e.Name() {
		case "data", "lock", "superuser.password":
		default:
			t.Errorf("left behind: %s", e.Name())
		}
	}
}

func TestKilledOwnerAloneEndsTheServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	h := startHelper(t, self(t), dir, nil)
	if h.pid == 0 {
		t.Fatalf("helper: %s", h.firstWords)
	}
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the postmaster ends with its owner", func() bool { return !alive(h.pid) })
	if _, err := os.Stat(filepath.Join(clusterOf(dir), "postmaster.pid")); !os.IsNotExist(err) {
		t.Errorf("pid file after a stop by the kernel's signal: %v", err)
	}
}

func TestSecondProcessAttachesAndIsRefusedAStart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	if _, ok, err := Attach(dir); ok || err != nil {
		t.Fatalf("attach before any server: %v %v", ok, err)
	}
	h := startHelper(t, self(t), dir, nil)
	address, ok, err := AttachTo(dir, "template1")
	if err != nil || !ok {
		t.Fatalf("attach: %v %v", ok, err)
	}
	if got := query(t, address, "SELECT current_database()||' '||current_user"); got != "template1 tributary" {
		t.Errorf("attached to %q", got)
	}
	second := startHelper(t, self(t), dir, nil)
	if !strings.Contains(second.firstWords, ErrAlreadyRunning.Error()) || !strings.Contains(second.firstWords, strconv.Itoa(h.cmd.Process.Pid)) {
		t.Errorf("second process said %q, want the refusal and the first one's process id", second.firstWords)
	}
	_ = h.stdin.Close()
	if err := h.cmd.Wait(); err != nil {
		t.Fatalf("owner's clean stop: %v", err)
	}
	if _, ok, err := Attach(dir); ok || err != nil {
		t.Errorf("attach after the stop: %v %v", ok, err)
	}
}

func TestRootHandsTheServerToAnotherAccount(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	dir := filepath.Join(reachableDir(t), "data")
	s := start(t, dir)
	if uid, _ := ownerOf(t, clusterOf(dir)); uid == 0 {
		t.Error("the cluster belongs to root")
	}
	if uid, _ := ownerOf(t, "/proc/"+strconv.Itoa(s.PID())); uid == 0 {
		t.Error("the server runs as root")
	}
	if uid, _ := ownerOf(t, filepath.Join(dir, "postgres")); uid != 0 {
		t.Error("more than the cluster was given away")
	}
}

func TestRootRefusesADirectoryTheServerCannotReach(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	closed := filepath.Join(reachableDir(t), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := Start(limit(t, startLimit), Config{DataDir: filepath.Join(closed, "data")})
	unreachable, ok := err.(*UnreachableDirError) //nolint:errorlint // Start returns it unwrapped so that callers can print its fields
	if !ok {
		t.Fatalf("start = %v, want an unreachable directory", err)
	}
	if unreachable.Dir != closed || !strings.Contains(err.Error(), "chmod o+x "+closed) {
		t.Errorf("message = %v, want %s and the remedy", err, closed)
	}
}

func TestOrdinaryAccountRunsItsOwnServer(t *testing.T) {
	t.Parallel()
	requireRoot(t)
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(nobody.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	base := reachableDir(t)
	binary := filepath.Join(base, "helper")
	copyFile(t, self(t), binary)
	dir := filepath.Join(base, "home")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	h := startHelper(t, binary, filepath.Join(dir, "data"), &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)})
	if h.pid == 0 || h.uid != int(uid) {
		t.Fatalf("helper: %s", h.firstWords)
	}
	if got := query(t, h.url, "SELECT 'ok'"); got != "ok" {
		t.Errorf("query = %q", got)
	}
	if server, _ := ownerOf(t, "/proc/"+strconv.Itoa(h.pid)); server != int(uid) {
		t.Errorf("server runs as %d, want %d", server, uid)
	}
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the postmaster ends with its owner", func() bool { return !alive(h.pid) })
}

func TestEnvironmentOfTheCallerDoesNotReachTheServer(t *testing.T) {
	t.Setenv("PGPORT", "6000")
	t.Setenv("PGDATA", "/nonexistent")
	t.Setenv("SOME_TOKEN", "do-not-inherit")
	s := start(t, filepath.Join(reachableDir(t), "data"))
	if got := query(t, s.SuperuserURL("postgres"), "SELECT 'ok'"); got != "ok" {
		t.Errorf("query = %q", got)
	}
	environ, err := os.ReadFile("/proc/" + strconv.Itoa(s.PID()) + "/environ")
	if err != nil {
		t.Skipf("reading the server's environment needs /proc: %v", err)
	}
	if strings.Contains(string(environ), "do-not-inherit") {
		t.Error("the server inherited a variable of ours")
	}
}

func requireRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("TEST_REQUIRE") != "" {
		t.Fatal("changing accounts needs root, and TEST_REQUIRE forbids to skip")
	}
	t.Skip("changing accounts needs root")
}

// copyFile leaves the writing to another process: a child that a test running beside this one forks would inherit the
// open file, and the copy could not be run while it lives (ETXTBSY).
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "cp", from, to).CombinedOutput(); err != nil {
		t.Fatalf("copying the test program: %v: %s", err, out)
	}
	if err := os.Chmod(to, 0o755); err != nil {
		t.Fatal(err)
	}
}

// TestStopCutsOpenConnections holds a transaction open, which a fast shutdown
// must not wait for.
func TestStopCutsOpenConnections(t *testing.T) {
	t.Parallel()
	s := start(t, filepath.Join(reachableDir(t), "data"))
	ctx := limit(t, actionLimit)
	conn, err := pgx.Connect(ctx, s.SuperuserURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "BEGIN; CREATE TABLE open_work ()"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(ctx); err != nil {
		t.Fatalf("stopping: %v", err)
	}
	if _, err := conn.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("the connection outlived the server")
	}
}
