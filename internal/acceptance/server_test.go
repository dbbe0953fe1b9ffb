package acceptance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors/folder"
	"tributary/internal/pgserver"
	"tributary/jobs"
	"tributary/store"
)

const (
	ownPrefix   = "acceptance"
	ownPassword = "acceptance"
	ownTemplate = "acceptance_template"
)

// ownServer is a PostgreSQL that belongs to one test, which may kill it.
type ownServer struct {
	t   *testing.T
	cfg pgserver.Config
	pg  *pgserver.Server
	n   int

	// mu guards what other goroutines ask for: the log, and where pg listens.
	mu  sync.Mutex
	log bytes.Buffer
}

// Write keeps the server's log.
func (s *ownServer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

// severe returns the lines of the server's log that an admin is alarmed by.
func (s *ownServer) severe() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for line := range strings.Lines(s.log.String()) {
		if strings.Contains(line, "level=ERROR") {
			b.WriteString("\n" + line)
		}
	}
	return b.String()
}

// newServer starts a server under dir and makes a migrated template with the
// built-in profile.
func newServer(t *testing.T, dir string, settings map[string]string) *ownServer {
	t.Helper()
	all := map[string]string{"max_connections": "60", "shared_buffers": "128MB", "jit": "off"}
	maps.Copy(all, settings)
	s := &ownServer{t: t, cfg: pgserver.Config{DataDir: filepath.Join(dir, "pg"), Settings: all}}
	s.cfg.Log = slog.New(slog.NewTextHandler(s, nil))
	s.start()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		_ = s.pg.Stop(ctx)
	})
	s.exec("postgres", `CREATE DATABASE `+ownTemplate)
	_, err := store.Migrate(t.Context(), s.pg.SuperuserURL(ownTemplate), store.MigrateOptions{RolePrefix: ownPrefix, AppPassword: ownPassword})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Config{URL: s.url(ownTemplate), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := st.EnsureProfile(t.Context(), jobs.BuiltinProfile()); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *ownServer) start() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	pg, err := pgserver.Start(ctx, s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.pg = pg
	s.mu.Unlock()
}

// kill ends the postmaster with SIGKILL, waits until it is gone and starts it
// again.
func (s *ownServer) kill() {
	s.t.Helper()
	if err := syscall.Kill(s.pg.PID(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.t.Fatal(err)
	}
	<-s.pg.Done()
	s.start()
}

// connected makes a database with one connection, "tree", to dir.
func (s *ownServer) connected(dir string) string {
	s.t.Helper()
	return s.connectedTo(store.NewConnection{Name: "tree", Source: folder.Source, Settings: map[string]string{"path": dir}})
}

// connectedTo makes a database with one connection.
func (s *ownServer) connectedTo(c store.NewConnection) string {
	s.t.Helper()
	s.n++
	name := fmt.Sprintf("t_%d", s.n)
	s.exec("postgres", `CREATE DATABASE `+name+` TEMPLATE `+ownTemplate)
	st, err := store.Open(s.t.Context(), store.Config{URL: s.url(name), MaxConns: 2})
	if err != nil {
		s.t.Fatal(err)
	}
	defer st.Close()
	if _, err = st.CreateConnection(s.t.Context(), c); err != nil {
		s.t.Fatal(err)
	}
	return name
}

// url is the address of a database for the role app.
func (s *ownServer) url(db string) string {
	u, err := url.Parse(s.pg.SuperuserURL(db))
	if err != nil {
		s.t.Fatal(err)
	}
	u.User = url.UserPassword(ownPrefix+"_app", ownPassword)
	return u.String()
}

func (s *ownServer) exec(db, sql string) {
	s.t.Helper()
	conn, err := pgx.Connect(s.t.Context(), s.pg.SuperuserURL(db))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(s.t.Context(), sql); err != nil {
		s.t.Fatalf("executing %s: %v", sql, err)
	}
}

// open connects to a database as a superuser, with the product's search path.
func (s *ownServer) open(db string) *pgx.Conn {
	s.t.Helper()
	cfg, err := pgx.ParseConfig(s.pg.SuperuserURL(db))
	if err != nil {
		s.t.Fatal(err)
	}
	cfg.RuntimeParams["search_path"] = "tributary, public"
	conn, err := pgx.ConnectConfig(s.t.Context(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// serverDir is a directory in which a server may live that runs as another
// account.
func serverDir(t *testing.T) string {
	t.Helper()
	dir := openDir(t)
	if _, err := os.Stat(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

// superURL is a superuser's address of a database.
func (s *ownServer) superURL(db string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pg.SuperuserURL(db)
}

// restart is `pg_ctl restart -m immediate`: the postmaster and its children end
// without a checkpoint, and recover.
func (s *ownServer) restart() {
	s.t.Helper()
	if err := syscall.Kill(s.pg.PID(), syscall.SIGQUIT); err != nil && !errors.Is(err, syscall.ESRCH) {
		s.t.Fatal(err)
	}
	<-s.pg.Done()
	s.start()
}
