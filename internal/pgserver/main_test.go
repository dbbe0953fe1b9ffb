package pgserver

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"
)

const (
	helperEnv   = "PGSERVER_TEST_HELPER_DIR"
	startLimit  = 60 * time.Second
	actionLimit = 30 * time.Second
)

// TestMain turns the test binary into the process that owns a server when the
// helper variable is set; tests kill that process.
func TestMain(m *testing.M) {
	if dir := os.Getenv(helperEnv); dir != "" {
		os.Exit(ownServer(dir))
	}
	code := m.Run()
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// ownServer starts a server, says so on standard output, and stops it when
// standard input ends.
func ownServer(dir string) int {
	s, err := Start(context.Background(), Config{DataDir: dir, Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		return 1
	}
	fmt.Fprintln(os.Stdout, "ready", s.PID(), os.Geteuid(), s.SuperuserURL("postgres"))
	_, _ = os.Stdin.Read(make([]byte, 1))
	if err := s.Stop(context.Background()); err != nil {
		fmt.Fprintln(os.Stdout, "error", err)
		return 1
	}
	return 0
}

// reachableDir is a directory that every account can enter, unlike t.TempDir,
// and that is deleted with the test.
func reachableDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgserver-test-*") //nolint:usetesting // t.TempDir lies under a 0700 directory, which the server's account may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string) *Server {
	t.Helper()
	s, err := Start(limit(t, startLimit), Config{DataDir: dir, Log: testLog(t)})
	if err != nil {
		t.Fatalf("starting in %s: %v", dir, err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), actionLimit)
	defer cancel()
	_ = s.Stop(ctx)
}

func limit(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// query runs sql on its own connection and returns the first column of the first row.
func query(t *testing.T, url, sql string) string {
	t.Helper()
	ctx := limit(t, actionLimit)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	var value string
	if err := conn.QueryRow(ctx, sql).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func exec1(t *testing.T, url, sql string) {
	t.Helper()
	ctx := limit(t, actionLimit)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatalf("connecting: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func eventually(t *testing.T, what string, ask func() bool) {
	t.Helper()
	if !poll(limit(t, actionLimit), ask) {
		t.Fatalf("did not happen within %v: %s", actionLimit, what)
	}
}

func ownerOf(t *testing.T, path string) (int, os.FileMode) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		t.Fatalf("no owner for %s", path)
	}
	return int(st.Uid), info.Mode().Perm()
}

// socketDirs lists the socket directories of server processes that these tests made.
func socketDirGone(dir string) bool {
	_, err := os.Stat(dir)
	return os.IsNotExist(err)
}

func clusterOf(dir string) string { return filepath.Join(dir, "postgres", "data") }
