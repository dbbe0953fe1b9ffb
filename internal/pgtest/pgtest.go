// Package pgtest gives every test a migrated PostgreSQL database of its own.
//
// One scratch server serves a test binary; it is started at the first use and
// stopped by [Main]. Databases are copies of one migrated template, and all of
// them share one set of roles, because roles belong to the cluster.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tributary/internal/pgserver"
	"tributary/store"
)

const (
	rolePrefix  = "tributary_test"
	appPassword = "test"
	template    = "tributary_template"
)

type cluster struct {
	server *pgserver.Server
	dir    string
	err    error
	once   sync.Once
}

//nolint:gochecknoglobals // one scratch server per test binary is the purpose
var shared cluster

// Main runs the tests and stops the scratch server: call it from TestMain, as
// os.Exit(pgtest.Main(m)).
func Main(m *testing.M) int {
	code := m.Run()
	if shared.server != nil {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := shared.server.Stop(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "stopping scratch PostgreSQL:", err)
			code = max(code, 1)
		}
	}
	if shared.dir != "" {
		_ = os.RemoveAll(shared.dir)
	}
	return code
}

func (c *cluster) start() {
	c.dir, c.err = os.MkdirTemp("", "tributary-pg-")
	if c.err != nil {
		return
	}
	// The server may run as another account, which has to reach its directory.
	if c.err = os.Chmod(c.dir, 0o755); c.err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c.server, c.err = pgserver.Start(ctx, pgserver.Config{
		DataDir: filepath.Join(c.dir, "data"),
		Settings: map[string]string{
			"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
			"max_connections": "300", "shared_buffers": "256MB", "jit": "off", "max_wal_size": "2GB",
		},
	})
	if c.err != nil {
		return
	}
	if c.err = c.exec(ctx, `CREATE DATABASE `+template); c.err != nil {
		return
	}
	_, c.err = store.Migrate(ctx, c.server.SuperuserURL(template), store.MigrateOptions{RolePrefix: rolePrefix, AppPassword: appPassword})
}

func (c *cluster) exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, c.server.SuperuserURL("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// DB is a database that belongs to one test.
type DB struct {
	Name string
	// URL is the role app's, OwnerURL the role owner's, SuperURL a superuser's.
	URL, OwnerURL, SuperURL string
	// Pool and Owner are pools on URL and OwnerURL.
	Pool, Owner *pgxpool.Pool
}

// New returns a migrated, empty database that is dropped when the test ends.
func New(tb testing.TB) *DB {
	tb.Helper()
	db := Empty(tb, template)
	db.Pool, db.Owner = open(tb, db.URL), open(tb, db.OwnerURL)
	return db
}

// Empty returns a database copied from the template database of that name, or
// from PostgreSQL's own when it is "". It has no pools.
func Empty(tb testing.TB, from string) *DB {
	tb.Helper()
	shared.once.Do(shared.start)
	if shared.err != nil {
		tb.Fatalf("starting scratch PostgreSQL: %v\nInstall it with scripts/setup.sh --for test.", shared.err)
	}
	var b [6]byte
	_, _ = rand.Read(b[:])
	db := &DB{Name: "t_" + hex.EncodeToString(b[:])}
	sql := `CREATE DATABASE ` + db.Name
	if from != "" {
		sql += ` TEMPLATE ` + from
	}
	ctx := context.Background()
	if err := shared.exec(ctx, sql); err != nil {
		tb.Fatalf("creating test database: %v", err)
	}
	tb.Cleanup(func() {
		if err := shared.exec(context.Background(), `DROP DATABASE `+db.Name+` WITH (FORCE)`); err != nil {
			tb.Errorf("dropping test database: %v", err)
		}
	})
	db.SuperURL = shared.server.SuperuserURL(db.Name)
	db.URL = as(tb, db.SuperURL, rolePrefix+"_app", appPassword)
	db.OwnerURL = withParams(tb, db.SuperURL, map[string]string{"role": rolePrefix + "_owner", "search_path": "tributary,public"})
	return db
}

// RolePrefix is the prefix of the roles that all test databases share.
func RolePrefix() string { return rolePrefix }

func as(tb testing.TB, raw, user, password string) string {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatalf("reading scratch URL: %v", err)
	}
	u.User = url.UserPassword(user, password)
	u.RawQuery = mergeParams(u.Query(), map[string]string{"search_path": "tributary,public"})
	return u.String()
}

func withParams(tb testing.TB, raw string, params map[string]string) string {
	tb.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		tb.Fatalf("reading scratch URL: %v", err)
	}
	u.RawQuery = mergeParams(u.Query(), params)
	return u.String()
}

func mergeParams(q url.Values, params map[string]string) string {
	for k, v := range params {
		q.Set(k, v)
	}
	return q.Encode()
}

func open(tb testing.TB, url string) *pgxpool.Pool {
	tb.Helper()
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		tb.Fatalf("reading scratch URL: %v", err)
	}
	pc.MaxConns = 8
	pool, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		tb.Fatalf("opening test database: %v", err)
	}
	tb.Cleanup(pool.Close)
	return pool
}

// SetClock makes tributary.clock() return at, until Advance or SetClock moves
// it.
func (db *DB) SetClock(tb testing.TB, at time.Time) {
	tb.Helper()
	db.MustExec(tb, `CREATE TABLE IF NOT EXISTS test_clock (at timestamptz NOT NULL)`)
	db.MustExec(tb, `GRANT SELECT ON test_clock TO PUBLIC`)
	db.MustExec(tb, `DELETE FROM test_clock`)
	db.MustExec(tb, `INSERT INTO test_clock VALUES ($1)`, at)
	db.MustExec(tb, `CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT at FROM tributary.test_clock'`)
}

// Advance moves the clock that SetClock installed.
func (db *DB) Advance(tb testing.TB, d time.Duration) {
	tb.Helper()
	db.MustExec(tb, `UPDATE test_clock SET at = at + make_interval(secs => $1)`, d.Seconds())
}

// ReadOnly makes the role app's sessions refuse writes, or take them again, and
// ends those that it has.
func (db *DB) ReadOnly(tb testing.TB, on bool) {
	tb.Helper()
	set := `ALTER ROLE ` + rolePrefix + `_app IN DATABASE ` + db.Name + ` RESET default_transaction_read_only`
	if on {
		set = `ALTER ROLE ` + rolePrefix + `_app IN DATABASE ` + db.Name + ` SET default_transaction_read_only = on`
	}
	end := `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '` + db.Name + `' AND usename = '` + rolePrefix + `_app'`
	for _, sql := range []string{set, end} {
		if err := shared.exec(context.Background(), sql); err != nil {
			tb.Fatalf("executing %s: %v", sql, err)
		}
	}
}

// Full makes inserts into tables fail as on a disk without room, or no more.
func (db *DB) Full(tb testing.TB, on bool, tables ...string) {
	tb.Helper()
	db.MustExec(tb, `CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; END $$`)
	for _, table := range tables {
		if on {
			db.MustExec(tb, `CREATE TRIGGER full_disk BEFORE INSERT ON `+table+` EXECUTE FUNCTION full_disk()`)
		} else {
			db.MustExec(tb, `DROP TRIGGER full_disk ON `+table)
		}
	}
}

// MustExec runs sql as the role owner.
func (db *DB) MustExec(tb testing.TB, sql string, args ...any) {
	tb.Helper()
	if _, err := db.Owner.Exec(context.Background(), sql, args...); err != nil {
		tb.Fatalf("executing %s: %v", sql, err)
	}
}

// Scalar returns the single value of a query run as the role owner.
func Scalar[T any](tb testing.TB, db *DB, sql string, args ...any) T {
	tb.Helper()
	var v T
	if err := db.Owner.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		tb.Fatalf("querying %s: %v", sql, err)
	}
	return v
}
