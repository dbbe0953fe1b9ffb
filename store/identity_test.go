package store_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/oracle"
	"tributary/internal/pgtest"
	"tributary/store"
)

// twoReaders is a world in which reader 0 sees document 0 and reader 1 sees
// documents 1 and 2.
func twoReaders() oracle.World {
	return oracle.World{
		Connections: []oracle.Connection{{Realm: 0}},
		Principals:  []oracle.Principal{{Realm: 0}, {Realm: 0}},
		Documents: []oracle.Document{
			{Known: true, AllOf: [][]int{{0}}},
			{Known: true, AllOf: [][]int{{1}}},
			{Known: true, AllOf: [][]int{{1}}},
		},
		Readers: []oracle.Reader{{Links: []int{0}}, {Links: []int{1}}},
	}
}

const countVisible = `SELECT documents FROM tributary.visible_count()`

func mustStore(tb testing.TB, f *fixture, w oracle.World) worldRows {
	tb.Helper()
	rows, err := storeWorld(tb.Context(), f.db.Pool, f.profile, w)
	if err != nil {
		tb.Fatal(err)
	}
	return rows
}

func TestIdentityIsNobodyUnlessSet(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, f.db.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	count := func(want int, when string) {
		t.Helper()
		var n int
		if err := conn.QueryRow(ctx, countVisible).Scan(&n); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		if n != want {
			t.Errorf("%s: %d documents, want %d", when, n, want)
		}
	}
	count(0, "never set")
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, `SELECT set_config('tributary.reader', $1, true)`, rows.readers[1].String()); err != nil {
		t.Fatal(err)
	}
	count(2, "set in the transaction")
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	count(0, "after the transaction, where the setting is ''")
	for _, name := range []string{"reader", "key"} {
		if _, err := conn.Exec(ctx, `SELECT set_config('tributary.`+name+`', 'not an id', false)`); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := conn.QueryRow(ctx, countVisible).Scan(&n); err == nil && n > 0 {
			t.Errorf("garbage in tributary.%s shows %d documents", name, n)
		}
		if _, err := conn.Exec(ctx, `RESET ALL`); err != nil {
			t.Fatal(err)
		}
	}
}

// sqlLogin makes a login of the role reader, mapped to a reader or to nobody.
func sqlLogin(tb testing.TB, db *pgtest.DB, reader *uuid.UUID) *pgx.Conn {
	tb.Helper()
	ctx := context.Background()
	super, err := pgx.Connect(ctx, db.SuperURL)
	if err != nil {
		tb.Fatal(err)
	}
	var b [6]byte
	_, _ = rand.Read(b[:])
	name := "tributary_test_login_" + hex.EncodeToString(b[:])
	exec := func(sql string, args ...any) {
		if _, err := super.Exec(ctx, sql, args...); err != nil {
			tb.Fatalf("%s: %v", sql, err)
		}
	}
	exec(`CREATE ROLE ` + name + ` LOGIN PASSWORD 'test' IN ROLE ` + pgtest.RolePrefix() + `_reader`)
	tb.Cleanup(func() {
		exec(`DROP OWNED BY ` + name)
		exec(`DROP ROLE ` + name)
		_ = super.Close(ctx)
	})
	if reader != nil {
		exec(`INSERT INTO tributary.sql_login VALUES ($1, $2)`, name, *reader)
	}
	u, err := url.Parse(db.URL)
	if err != nil {
		tb.Fatal(err)
	}
	u.User = url.UserPassword(name, "test")
	conn, err := pgx.Connect(ctx, u.String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(ctx) })
	return conn
}

func TestSQLLoginCannotForgeAReader(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	ctx := context.Background()
	mapped, unmapped := sqlLogin(t, f.db, &rows.readers[0]), sqlLogin(t, f.db, nil)
	for _, forge := range []string{
		``,
		fmt.Sprintf(`SELECT set_config('tributary.reader', '%s', false)`, rows.readers[1]),
		fmt.Sprintf(`SET tributary.reader = '%s'`, rows.readers[1]),
		fmt.Sprintf(`SET tributary.principals = '{%d,%d}'`, rows.principals[0], rows.principals[1]),
		`RESET ALL`,
		`SET ROLE ` + pgtest.RolePrefix() + `_reader`,
		`SET search_path = pg_temp, tributary, public`,
	} {
		for conn, want := range map[*pgx.Conn]int{mapped: 1, unmapped: 0} {
			if forge != "" {
				if _, err := conn.Exec(ctx, forge); err != nil {
					t.Fatalf("%s: %v", forge, err)
				}
			}
			var n, found int
			if err := conn.QueryRow(ctx, countVisible).Scan(&n); err != nil {
				t.Fatal(err)
			}
			if err := conn.QueryRow(ctx, `SELECT count(*) FROM tributary.search('common', NULL, NULL, 'keyword', 100)`).Scan(&found); err != nil {
				t.Fatal(err)
			}
			if n != want || found != 2*want {
				t.Errorf("after %q: %d documents and %d chunks, want %d documents", forge, n, found, want)
			}
		}
	}
	for _, role := range []string{"_app", "_owner", "_search_definer"} {
		if _, err := mapped.Exec(ctx, `SET ROLE `+pgtest.RolePrefix()+role); err == nil {
			t.Errorf("an SQL login may become %s", role)
		}
	}
	// A temporary object must not stand in for one of the query path's own.
	if _, err := mapped.Exec(ctx, `SET search_path = pg_temp, tributary, public; CREATE TEMP TABLE setting (key text, value text)`); err == nil {
		if _, err := mapped.Exec(ctx, `INSERT INTO pg_temp.setting VALUES ('role.app', session_user)`); err != nil {
			t.Fatal(err)
		}
		if _, err := mapped.Exec(ctx, fmt.Sprintf(`SET tributary.reader = '%s'`, rows.readers[1])); err != nil {
			t.Fatal(err)
		}
		var n int
		if err := mapped.QueryRow(ctx, countVisible).Scan(&n); err != nil || n != 1 {
			t.Errorf("with a temporary table named setting: %d documents, %v", n, err)
		}
	}
}

func TestIdentityNeverStaysOnAPooledConnection(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	ctx := context.Background()
	for i := range 40 {
		cctx, cancel := context.WithCancel(ctx)
		if i%3 == 0 {
			cancel()
		}
		_, err := f.store.Search(cctx, rows.identity(oracle.Asker{Reader: i % 2, Key: -1}), store.SearchRequest{Query: "common", Mode: store.Keyword})
		cancel()
		if err != nil && i%3 != 0 {
			t.Fatal(err)
		}
		var left string
		if err := f.store.Pool().QueryRow(ctx, `SELECT coalesce(current_setting('tributary.reader', true), '')`).Scan(&left); err != nil {
			t.Fatal(err)
		}
		if left != "" {
			t.Fatalf("a pooled connection still carries reader %s", left)
		}
	}
}
