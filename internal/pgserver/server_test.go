package pgserver

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestStartMakesAClusterWithPgvectorAndKeepsItsRows(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	s := start(t, dir)
	url := s.SuperuserURL("postgres")
	exec1(t, url, "CREATE EXTENSION vector; CREATE TABLE kept (v vector(3)); INSERT INTO kept VALUES ('[1,2,3]')")
	for setting, want := range map[string]string{
		"listen_addresses": "", "fsync": "on", "data_checksums": "on", "server_encoding": "UTF8", "unix_socket_permissions": "0700",
	} {
		if got := query(t, url, "SELECT current_setting('"+setting+"')"); got != want {
			t.Errorf("%s = %q, want %q", setting, got, want)
		}
	}
	if err := s.Stop(limit(t, actionLimit)); err != nil {
		t.Fatalf("stopping: %v", err)
	}
	if err := s.Err(); err != nil {
		t.Errorf("Err after a clean stop = %v", err)
	}
	if !socketDirGone(s.socketDir) {
		t.Errorf("socket directory %s left behind", s.socketDir)
	}
	s = start(t, dir)
	if got := query(t, s.SuperuserURL("postgres"), "SELECT v::text FROM kept"); got != "[1,2,3]" {
		t.Errorf("row after restart = %s", got)
	}
}

func TestPasswordIsAskedForAndKeptPrivate(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	s := start(t, dir)
	for _, name := range []string{"superuser.password", "server.json", "lock"} {
		uid, mode := ownerOf(t, filepath.Join(dir, "postgres", name))
		if uid != os.Geteuid() || mode != 0o600 {
			t.Errorf("%s: uid %d mode %o, want ours and 600", name, uid, mode)
		}
	}
	if _, mode := ownerOf(t, clusterOf(dir)); mode != 0o700 {
		t.Errorf("cluster mode %o, want 700", mode)
	}
	if _, mode := ownerOf(t, s.socketDir); mode != 0o700 {
		t.Errorf("socket directory mode %o, want 700", mode)
	}
	left, err := filepath.Glob(filepath.Join(dir, "postgres", handOverPrefix+"*"))
	if err != nil || len(left) > 0 {
		t.Errorf("password hand-over file left: %v %v", left, err)
	}
	wrong := connectURL(s.socketDir, "wrong", "postgres")
	if err := tryConnect(t, wrong); err == nil || !strings.Contains(err.Error(), "password authentication") {
		t.Errorf("connecting with a wrong password: %v", err)
	}
}

func TestSecondStartOnTheSameDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	s := start(t, dir)
	_, err := Start(limit(t, startLimit), Config{DataDir: dir})
	if !errors.Is(err, ErrAlreadyRunning) {
		t.Fatalf("second start: %v, want ErrAlreadyRunning", err)
	}
	if !strings.Contains(err.Error(), "TRIBUTARY_DATA_DIR") {
		t.Errorf("message names no remedy: %v", err)
	}
	if got := query(t, s.SuperuserURL("postgres"), "SELECT 'alive'"); got != "alive" {
		t.Errorf("first server after the refusal: %q", got)
	}
}

func TestClusterServedByAStrangerIsRefused(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	s := start(t, dir)
	// Without our lock and state the running server is a stranger's.
	for _, name := range []string{"server.json", "lock"} {
		if err := os.Remove(filepath.Join(dir, "postgres", name)); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Start(limit(t, startLimit), Config{DataDir: dir})
	if !errors.Is(err, ErrAlreadyRunning) {
		t.Fatalf("start beside a stranger's server: %v, want ErrAlreadyRunning", err)
	}
	if got := query(t, s.SuperuserURL("postgres"), "SELECT 'alive'"); got != "alive" {
		t.Errorf("stranger's server after the refusal: %q", got)
	}
}

func TestKilledPostmasterIsSeenAndRecovered(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	s := start(t, dir)
	exec1(t, s.SuperuserURL("postgres"), "CREATE TABLE kept AS SELECT 'row'::text AS v")
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s.Done():
	case <-limit(t, actionLimit).Done():
		t.Fatal("Done is not closed after the postmaster was killed")
	}
	if err := s.Err(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("Err = %v, want the signal named", err)
	}
	s = start(t, dir)
	if got := query(t, s.SuperuserURL("postgres"), "SELECT v FROM kept"); got != "row" {
		t.Errorf("row after recovery = %q", got)
	}
}

func TestMajorMismatchIsRefusedWithTheRemedy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ version, want string }{
		"newer than installed": {"99", "postgresql-99-pgvector"},
		"older than supported": {"14", "pg_dumpall"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(reachableDir(t), "data")
			if err := os.MkdirAll(clusterOf(dir), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(clusterOf(dir), "PG_VERSION"), []byte(tc.version+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Start(limit(t, startLimit), Config{DataDir: dir})
			if _, ok := errors.AsType[*VersionMismatchError](err); !ok {
				t.Fatalf("start = %v, want a version mismatch", err)
			}
			if !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "PostgreSQL "+tc.version) {
				t.Errorf("message = %v, want %q and the version in it", err, tc.want)
			}
		})
	}
}

func TestMissingInstallationSaysHowToInstall(t *testing.T) {
	t.Parallel()
	_, err := Start(limit(t, startLimit), Config{DataDir: filepath.Join(reachableDir(t), "data"), BinDir: t.TempDir()})
	if _, ok := errors.AsType[*NotFoundError](err); !ok {
		t.Fatalf("start = %v, want not found", err)
	}
	if !strings.Contains(err.Error(), "scripts/setup-postgres.sh") {
		t.Errorf("message names no remedy: %v", err)
	}
}

func TestLongDataDirectoryWorks(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), strings.Repeat("long-name-", 12), strings.Repeat("second-part-", 8))
	s := start(t, dir)
	if got := query(t, s.SuperuserURL("postgres"), "SELECT current_setting('data_directory')"); len(got) < 200 || !strings.HasSuffix(got, "/postgres/data") {
		t.Errorf("data_directory = %q", got)
	}
}

func TestRelativeDataDirectoryIsResolvedAtStart(t *testing.T) {
	base := reachableDir(t)
	t.Chdir(base)
	s := start(t, "relative/data")
	if _, err := os.Stat(filepath.Join(base, "relative/data/postgres/data/PG_VERSION")); err != nil {
		t.Errorf("cluster is elsewhere: %v", err)
	}
	if got := query(t, s.SuperuserURL("postgres"), "SELECT 'ok'"); got != "ok" {
		t.Errorf("query = %q", got)
	}
}

func TestSettingsReachTheServerAndCannotOpenIt(t *testing.T) {
	t.Parallel()
	s, err := Start(limit(t, startLimit), Config{
		DataDir:  filepath.Join(reachableDir(t), "data"),
		Settings: map[string]string{"work_mem": "7MB", "listen_addresses": "*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	url := s.SuperuserURL("postgres")
	if got := query(t, url, "SHOW work_mem"); got != "7MB" {
		t.Errorf("work_mem = %q", got)
	}
	if got := query(t, url, "SHOW listen_addresses"); got != "" {
		t.Errorf("listen_addresses = %q, want none", got)
	}
}

func TestRefusedSettingIsNamedAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	_, err := Start(limit(t, startLimit), Config{DataDir: dir, Settings: map[string]string{"no_such_setting": "1"}})
	if err == nil || !strings.Contains(err.Error(), "no_such_setting") {
		t.Fatalf("start = %v, want the setting named", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres", "server.json")); !os.IsNotExist(err) {
		t.Errorf("state file left behind: %v", err)
	}
	start(t, dir) // the lock was given back
}

func TestCancelledStartLeavesNoServer(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Start(ctx, Config{DataDir: dir}); err == nil {
		t.Fatal("start with a cancelled context succeeded")
	}
	start(t, dir)
}

func TestInterruptedInitdbIsDoneAgain(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	half := filepath.Join(dir, "postgres", unfinishedPrefix+"1")
	if err := os.MkdirAll(half, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(half, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	if got := query(t, s.SuperuserURL("postgres"), "SELECT 'ok'"); got != "ok" {
		t.Errorf("query = %q", got)
	}
	if _, err := os.Stat(half); !os.IsNotExist(err) {
		t.Errorf("unfinished cluster left behind: %v", err)
	}
}

func TestLostPasswordFileIsNotReplaced(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(reachableDir(t), "data")
	s := start(t, dir)
	stop(t, s)
	if err := os.Remove(filepath.Join(dir, "postgres", "superuser.password")); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(limit(t, startLimit), Config{DataDir: dir}); err == nil || !strings.Contains(err.Error(), "superuser.password") {
		t.Fatalf("start = %v, want the missing file named", err)
	}
}
