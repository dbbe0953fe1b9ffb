package refresh_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tributary/internal/pgserver"
	"tributary/internal/pgtest"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// proxy is a wire to PostgreSQL that can be cut.
type proxy struct {
	tb       testing.TB
	listener net.Listener
	target   string

	mu    sync.Mutex
	down  bool
	conns map[net.Conn]bool
}

// through returns a database URL that goes through a proxy.
func through(tb testing.TB, raw string) (*proxy, string) {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	q := u.Query()
	port := q.Get("port")
	if port == "" {
		port = "5432"
	}
	p := &proxy{tb: tb, target: filepath.Join(q.Get("host"), ".s.PGSQL."+port), conns: map[net.Conn]bool{}}
	dir := shortDir(tb)
	if p.listener, err = net.Listen("unix", filepath.Join(dir, ".s.PGSQL."+port)); err != nil {
		tb.Fatal(err)
	}
	q.Set("host", dir)
	u.RawQuery = q.Encode()
	go p.serve()
	tb.Cleanup(func() { p.listener.Close(); p.cut() })
	return p, u.String()
}

func (p *proxy) serve() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		go p.carry(conn)
	}
}

func (p *proxy) carry(conn net.Conn) {
	defer conn.Close()
	p.mu.Lock()
	target, down := p.target, p.down
	p.mu.Unlock()
	if down { // what knocks meanwhile does not reach the server
		return
	}
	up, err := net.Dial("unix", target)
	if err != nil {
		return
	}
	defer up.Close()
	p.mu.Lock()
	if p.down {
		p.mu.Unlock()
		return
	}
	p.conns[conn], p.conns[up] = true, true
	p.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, c := range [][2]net.Conn{{conn, up}, {up, conn}} {
		go func() { _, _ = io.Copy(c[1], c[0]); done <- struct{}{} }()
	}
	<-done
	p.mu.Lock()
	delete(p.conns, conn)
	delete(p.conns, up)
	p.mu.Unlock()
}

// cut ends every connection and lets none come up.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// steps are the points of one undisturbed refresh.
func steps() []refresh.Point {
	return []refresh.Point{
		refresh.BeforeClaim, refresh.InClaim, refresh.AfterClaim, refresh.BeforeWrite, refresh.AfterWrite, refresh.AfterHeaders, refresh.AfterBody,
		refresh.BeforeSettle, refresh.InSettle, refresh.AfterSettle,
	}
}

// TestRF3 : the database goes away between any two steps of a refresh, and comes back. What the provider gave out is
// stored, and nothing is presented twice without a record.
func TestRF3(t *testing.T) {
	t.Parallel()
	outage := time.Duration(scale(t, "TEST_RF3_OUTAGE_MS", 1200)) * time.Millisecond
	for _, class := range []string{"S", "F"} {
		all := newRig(t, class)
		for _, point := range steps() {
			t.Run(fmt.Sprintf("RF-3 cut off at %s, class %s", point, class), func(t *testing.T) {
				t.Parallel()
				r := all.here(t)
				g := r.consent(-time.Minute)
				wire, u := through(t, r.db.URL)
				cfg := r.config(quick())
				s := openStore(t, u)
				cfg.Store = s.Credentials()
				reached := make(chan struct{})
				at(&cfg, point, func() { wire.cut(); close(reached) })
				k := r.running(cfg)
				accessPast(t, k, g, reached)
				gone := time.Now()
				until(t, outage+5*time.Second, "the outage", func() bool { return time.Since(gone) > outage })
				wire.mend()
				accessUntil(t, k, g, time.Minute)
				until(t, 30*time.Second, "the spool to empty", func() bool { return len(spooled(t, r.spool)) == 0 })
				r.mustBeSound(g)
			})
		}
	}
}

// accessPast asks for a token until a point of the refresh was reached, at which the database went away.
func accessPast(t *testing.T, k *refresh.Keeper, grant uuid.UUID, reached <-chan struct{}) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		_, err := k.Access(ctx, grant)
		cancel()
		select {
		case <-reached:
			return
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("the point was not reached: %v", err)
		}
	}
}

// TestRF3Killed : PostgreSQL itself is killed between claim and send, and between answer and T2.
func TestRF3Killed(t *testing.T) {
	t.Parallel()
	for _, point := range []refresh.Point{refresh.AfterClaim, refresh.BeforeSettle} {
		t.Run("RF-3 PostgreSQL is killed at "+string(point), func(t *testing.T) {
			t.Parallel()
			dir := shortDir(t)
			begin := func() *pgserver.Server {
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				srv, err := pgserver.Start(ctx, pgserver.Config{DataDir: dir, Settings: map[string]string{"fsync": "off", "max_connections": "40"}})
				if err != nil {
					t.Fatal(err)
				}
				return srv
			}
			srv := begin()
			var mu sync.Mutex
			t.Cleanup(func() {
				ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
				defer cancel()
				mu.Lock()
				defer mu.Unlock()
				_ = srv.Stop(ctx)
			})
			ctx := context.Background()
			if _, err := store.Migrate(ctx, srv.SuperuserURL("postgres"), store.MigrateOptions{RolePrefix: scratchRoles, AppPassword: "test"}); err != nil {
				t.Fatal(err)
			}
			r := newRigOn(t, "F", scratch(t, srv))
			g := r.consent(-time.Minute)
			cfg := r.config(quick())
			reached := make(chan struct{})
			at(&cfg, point, func() { _ = syscall.Kill(srv.PID(), syscall.SIGKILL); <-srv.Done(); close(reached) })
			// A new server has a socket of its own, which the pool finds through a name that stays.
			wire, u := through(t, r.db.URL)
			s := openStore(t, u)
			cfg.Store = s.Credentials()
			k := r.running(cfg)
			accessPast(t, k, g, reached)
			next := begin()
			mu.Lock()
			srv = next
			mu.Unlock()
			wire.move(t, next.SuperuserURL("postgres"))
			r.db = scratch(t, next)
			accessUntil(t, k, g, time.Minute)
			r.mustBeSound(g)
		})
	}
}

const scratchRoles = "rf3"

// scratch is the database of a server that a test runs itself.
func scratch(tb testing.TB, srv *pgserver.Server) *pgtest.DB {
	tb.Helper()
	u, err := url.Parse(srv.SuperuserURL("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "tributary,public")
	app := *u
	app.User, app.RawQuery = url.UserPassword(scratchRoles+"_app", "test"), q.Encode()
	q.Set("role", scratchRoles+"_owner")
	u.RawQuery = q.Encode()
	pool, err := pgxpool.New(context.Background(), u.String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	return &pgtest.DB{URL: app.String(), OwnerURL: u.String(), Owner: pool}
}

// move sends what comes from here on to another server.
func (p *proxy) move(tb testing.TB, raw string) {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = filepath.Join(u.Query().Get("host"), filepath.Base(p.target))
}

// shortDir is a directory whose name fits into the address of a socket, and that another account may enter.
func shortDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "rf3-") //nolint:usetesting // the name of a test's own directory is too long for a socket
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	return dir
}
