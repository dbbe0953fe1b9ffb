package store_test

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	osuser "os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
)

// startPgBouncer runs PgBouncer in session mode before the database, as docs/database.md says, and returns the address of
// the role app through it. TEST_PGBOUNCER names the program where it is not installed.
func startPgBouncer(t *testing.T, db *pgtest.DB) string {
	t.Helper()
	program := os.Getenv("TEST_PGBOUNCER")
	for _, p := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if found, err := exec.LookPath(p); program == "" && err == nil {
			program = found
		}
	}
	if program == "" {
		const remedy = "PgBouncer is not installed: apt-get install pgbouncer, or name the program in TEST_PGBOUNCER"
		if os.Getenv("TEST_REQUIRE") != "" {
			t.Fatal(remedy)
		}
		t.Skip(remedy)
	}
	at, err := pgx.ParseConfig(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	app := pgtest.Scalar[string](t, db, `SELECT value FROM setting WHERE key = 'role.app'`)
	super, err := pgx.Connect(t.Context(), db.SuperURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = super.Close(context.WithoutCancel(t.Context())) }()
	for _, set := range []string{"search_path = tributary, public", "statement_timeout = '60s'", "lock_timeout = '3s'", "idle_in_transaction_session_timeout = '15s'"} {
		if _, err := super.Exec(t.Context(), fmt.Sprintf(`ALTER ROLE %s IN DATABASE %s SET %s`, pgx.Identifier{app}.Sanitize(), pgx.Identifier{at.Database}.Sanitize(), set)); err != nil {
			t.Fatal(err)
		}
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	_ = l.Close()
	config := filepath.Join(t.TempDir(), "pgbouncer.ini")
	err = os.WriteFile(config, fmt.Appendf(nil, `[databases]
* = host=%s port=%d user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = session
default_pool_size = 4
ignore_startup_parameters = search_path,statement_timeout,lock_timeout,idle_in_transaction_session_timeout
`, at.Host, at.Port, at.User, at.Password, port), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-q", config}
	if os.Geteuid() == 0 { // it does not run as root; the server's account may use its socket
		args = []string{"-q", "-u", ownerOf(t, at.Host), config}
	}
	cmd := exec.Command(program, args...)
	var out lockedLog
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	through := &url.URL{Scheme: "postgres", User: url.User(app), Host: net.JoinHostPort("127.0.0.1", port), Path: "/" + at.Database, RawQuery: "sslmode=disable"}
	for deadline := time.Now().Add(20 * time.Second); ; {
		conn, err := pgx.Connect(t.Context(), through.String())
		if err == nil {
			_ = conn.Close(t.Context())
			return through.String()
		}
		if time.Now().After(deadline) {
			t.Fatalf("PgBouncer does not answer: %v\n%s", err, &out)
		}
	}
}

// ownerOf returns the account whose directory a server's socket is in, nobody's where it has none.
func ownerOf(t *testing.T, host string) string {
	t.Helper()
	info, err := os.Stat(host)
	if err != nil {
		return "nobody"
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "nobody"
	}
	account, err := osuser.LookupId(strconv.Itoa(int(stat.Uid)))
	if err != nil {
		t.Fatal(err)
	}
	return account.Username
}

// TestPE4ThroughAPooler: behind PgBouncer in session mode, where one server connection serves many clients in turn, nobody
// inherits an identity, and the start-up check finds everything as it was left.
func TestPE4ThroughAPooler(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, crowdWorld())
	through := startPgBouncer(t, f.db)
	answered, asked := int64(0), 0
	for range 5 {
		s, log := crowdStore(t, through)
		if err := s.CheckDatabase(t.Context()); err != nil {
			t.Fatalf("the start-up check through the pooler: %v", err)
		}
		n := questions(1500) / 5
		answered += crowdAsks(t, s, rows, n)
		asked += n
		s.Close()
		if strings.Contains(log.String(), "still names somebody") {
			t.Errorf("an identity outlived its transaction:\n%.300s", log)
		}
		leaveIdentity(t, through, rows.readers[0])
	}
	t.Logf("%d questions, %d answered", asked, answered)
	if answered < int64(asked)/4 {
		t.Errorf("%d of %d questions were answered: too few to mean anything", answered, asked)
	}
}

// leaveIdentity leaves an identity on a session, whose server connection the next client gets.
func leaveIdentity(t *testing.T, through string, reader uuid.UUID) {
	t.Helper()
	for _, first := range []bool{true, false} {
		conn, err := pgx.Connect(t.Context(), through)
		if err != nil {
			t.Fatal(err)
		}
		var left string
		if err := conn.QueryRow(t.Context(), `SELECT coalesce(current_setting('tributary.reader', true), '')`).Scan(&left); err != nil || left != "" {
			t.Errorf("a session begins with the identity %q (%v)", left, err)
		}
		if first {
			if _, err := conn.Exec(t.Context(), `SELECT set_config('tributary.reader', $1, false)`, reader.String()); err != nil {
				t.Fatal(err)
			}
		}
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
