package acceptance

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tributary/store"
)

// nobody is an account that owns nothing.
const nobody = 65534

// A directory that cannot be read blocks what is below it and nothing else: no
// document there is inferred to be deleted. Root reads everything, so a process
// of another account syncs.
func TestUnreadableDirectory(t *testing.T) {
	t.Parallel()
	privileged(t, os.Geteuid() == 0, "this test needs root: it starts a process of another account")
	dir := openDir(t)
	for _, sub := range []string{"open", "closed"} {
		for i := range 15 {
			write(t, filepath.Join(dir, sub, fmt.Sprintf("page-%02d.md", i)), fmt.Sprintf("# Page %d\n\nIn the %s directory.\n", i, sub))
		}
	}
	write(t, filepath.Join(dir, "open", "secret.md"), "# Secret\n\nNot for everybody.\n")
	if err := os.Chmod(filepath.Join(dir, "open", "secret.md"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	db := s.connected(dir)
	startHelper(t, s.url(db)).wait(t)
	conn := s.open(db)
	if n := scalar[int](t, conn, `SELECT count(*) FROM document WHERE hidden_reason IS NULL`); n != 31 {
		t.Fatalf("root syncs %d documents, want 31", n)
	}
	if err := os.Chmod(filepath.Join(dir, "closed"), 0o700); err != nil {
		t.Fatal(err)
	}
	runs := syncAs(t, nobody, tcpURL(t, s.url(db)))
	if r := runs[0]; r.State != store.RunPartial || r.Counts.Blocked != 1 || !strings.Contains(r.Error, "could not be listed") {
		t.Errorf("with a closed directory the run ended %s: %s, %+v", r.State, r.Error, r.Counts)
	}
	if n := scalar[int](t, conn, `SELECT count(*) FROM document WHERE hidden_reason IS NULL AND external_id LIKE 'closed/%'`); n != 15 {
		t.Errorf("%d documents of the closed directory are left, want 15", n)
	}
	if n := scalar[int](t, conn, `SELECT count(*) FROM document WHERE hidden_reason IS NULL AND external_id LIKE 'open/page%'`); n != 15 {
		t.Errorf("%d documents of the open directory are left, want 15", n)
	}
	wantWhole(t, conn)
}

// A file that the syncing account cannot read has its reason, and the rest is
// synced.
func TestUnreadableFile(t *testing.T) {
	t.Parallel()
	privileged(t, os.Geteuid() == 0, "this test needs root: it starts a process of another account")
	dir := openDir(t)
	for i := range 15 {
		write(t, filepath.Join(dir, fmt.Sprintf("page-%02d.md", i)), fmt.Sprintf("# Page %d\n\nOpen to all.\n", i))
	}
	if err := os.Chmod(filepath.Join(dir, "page-03.md"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	db := s.connected(dir)
	syncAs(t, nobody, tcpURL(t, s.url(db)))
	conn := s.open(db)
	if n := scalar[int](t, conn, `SELECT count(*) FROM document`); n != 14 {
		t.Errorf("%d documents are stored, want 14", n)
	}
	reason := scalar[string](t, conn, `SELECT string_agg(external_id || ': ' || reason, ';') FROM (SELECT external_id, reason FROM skip UNION ALL SELECT external_id, reason FROM quarantine) x`)
	if !strings.HasPrefix(reason, "page-03.md: ") || !strings.Contains(strings.ToLower(reason), "permission") {
		t.Errorf("the closed file is listed as %q", reason)
	}
}

// syncAs runs the sync helper as another account and returns its runs.
func syncAs(t *testing.T, uid uint32, url string) []store.Run {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// The test binary lies in a directory of its own account.
	text, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	dir := openDir(t)
	binary := filepath.Join(dir, "helper")
	if err := os.WriteFile(binary, text, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", envHelper + "=" + helperSync, envURL + "=" + url}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if e, ok := err.(*exec.ExitError); ok { //nolint:errorlint // Output documents the bare type
			exit = e
			t.Fatalf("helper: %v: %s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var runs []store.Run
	if err := json.Unmarshal(out, &runs); err != nil {
		t.Fatal(err)
	}
	return runs
}

// tcpURL lends a server's socket, which is closed to other accounts, to a port
// of this machine for the time of the test.
func tcpURL(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	socket := filepath.Join(q.Get("host"), ".s.PGSQL."+q.Get("port"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go relay(client, socket)
		}
	}()
	q.Del("host")
	q.Del("port")
	u.Host, u.RawQuery = l.Addr().String(), q.Encode()
	return u.String()
}

func relay(client net.Conn, socket string) {
	defer client.Close()
	server, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		server.Close()
	}()
	_, _ = io.Copy(client, server)
}
