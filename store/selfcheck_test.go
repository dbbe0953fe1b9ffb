package store_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
	"tributary/store"
)

// guarded is a migrated database with roles of its own, which a test may spoil.
type guarded struct {
	t             *testing.T
	super         *pgx.Conn
	superURL, url string
	prefix        string
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	// Roles are the cluster's: they can go when the database that knows them is gone.
	admin := pgtest.New(t)
	var b [4]byte
	_, _ = rand.Read(b[:])
	g := &guarded{t: t, prefix: "g" + hex.EncodeToString(b[:])}
	t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), admin.SuperURL)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close(context.Background()) }()
		for _, role := range []string{"_owner", "_app", "_search_definer", "_reader", "_stranger"} {
			if _, err := conn.Exec(context.Background(), `DROP ROLE IF EXISTS `+g.prefix+role); err != nil {
				t.Error(err)
			}
		}
	})
	db := pgtest.Empty(t, "")
	g.superURL = db.SuperURL
	g.migrate()
	var err error
	if g.super, err = pgx.Connect(t.Context(), db.SuperURL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = g.super.Close(context.Background()) })
	u, err := url.Parse(db.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(g.prefix+"_app", "p")
	g.url = u.String()
	return g
}

func (g *guarded) migrate() store.MigrateReport {
	g.t.Helper()
	report, err := store.Migrate(g.t.Context(), g.superURL, store.MigrateOptions{RolePrefix: g.prefix, AppPassword: "p"})
	if err != nil {
		g.t.Fatal(err)
	}
	return report
}

func (g *guarded) exec(sql string) {
	g.t.Helper()
	for one := range strings.SplitSeq(strings.ReplaceAll(sql, "{", g.prefix+"_"), ";;") {
		if _, err := g.super.Exec(g.t.Context(), one); err != nil {
			g.t.Fatalf("%s: %v", one, err)
		}
	}
}

// check opens the database as a process would, and looks.
func (g *guarded) check(url string) error {
	g.t.Helper()
	s, err := store.Open(g.t.Context(), store.Config{URL: url})
	if err != nil {
		g.t.Fatal(err)
	}
	defer s.Close()
	return s.CheckDatabase(g.t.Context())
}

// TestASpoiledDatabaseIsRefused: each way to widen who reads what is named, and
// migrating again puts back what is its own (PE-3).
func TestASpoiledDatabaseIsRefused(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	if err := g.check(g.url); err != nil {
		t.Fatalf("control: %v", err)
	}
	if report := g.migrate(); report.Routines {
		t.Error("routines are applied again though nothing changed")
	}
	for _, tc := range []struct{ attack, undo, want string }{
		// What a superuser has to take away.
		{`ALTER ROLE {app BYPASSRLS`, `ALTER ROLE {app NOBYPASSRLS`, "{app is above row security"},
		{`ALTER ROLE {app SUPERUSER`, `ALTER ROLE {app NOSUPERUSER`, "{app is a superuser"},
		{`ALTER ROLE {reader BYPASSRLS`, `ALTER ROLE {reader NOBYPASSRLS`, "{reader is above row security"},
		{`ALTER ROLE {search_definer LOGIN`, `ALTER ROLE {search_definer NOLOGIN`, "{search_definer is a login"},
		{`GRANT {owner TO {app`, `REVOKE {owner FROM {app`, "{app is a member of what it must not be through {owner"},
		{`GRANT {search_definer TO {reader`, `REVOKE {search_definer FROM {reader`, "{reader is a member of what it must not be through {search_definer"},
		{`GRANT pg_read_all_data TO {reader`, `REVOKE pg_read_all_data FROM {reader`, "through pg_read_all_data"},
		{`CREATE ROLE {stranger SUPERUSER;;GRANT {stranger TO {app`, `DROP ROLE {stranger`, "{app is a superuser through {stranger"},
		// What migrating puts back.
		{`GRANT SELECT ON tributary.chunk TO {reader`, "", "table tributary.chunk has rights with {reader:SELECT"},
		{`GRANT SELECT ON tributary.document TO PUBLIC`, "", "table tributary.document has rights with PUBLIC:SELECT"},
		{`GRANT SELECT (text) ON tributary.chunk TO {reader`, "", "with {reader:SELECT(text)"},
		{`GRANT SELECT ON tributary.api_key TO {search_definer`, "", "table tributary.api_key has rights with {search_definer:SELECT"},
		{`GRANT INSERT ON tributary.setting TO {app`, "", "table tributary.setting has rights with {app:INSERT"},
		{`GRANT CREATE ON SCHEMA tributary TO {app`, "", "schema tributary has rights with {app:CREATE"},
		{`GRANT EXECUTE ON FUNCTION tributary.session_seeds() TO {reader`, "", "function tributary.session_seeds("},
		{`GRANT EXECUTE ON FUNCTION tributary.visible_count TO PUBLIC`, "", "with PUBLIC:EXECUTE"},
		{`REVOKE EXECUTE ON FUNCTION tributary.visible_count FROM {app`, "", "without {app:EXECUTE"},
		{`ALTER FUNCTION tributary.visible_count OWNER TO {owner`, "", "belongs to {owner and not to {search_definer"},
		{`ALTER FUNCTION tributary.visible_count SECURITY INVOKER`, "", "function tributary.visible_count"},
		{`ALTER FUNCTION tributary.visible_count RESET search_path`, "", "has another definition"},
		{`CREATE OR REPLACE FUNCTION tributary.current_reader() RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, tributary, public, pg_temp AS 'SELECT id FROM tributary.reader LIMIT 1'`, "", "function tributary.current_reader() has another definition"},
		// What only a person can put back.
		{
			`CREATE FUNCTION tributary.everything() RETURNS SETOF tributary.chunk LANGUAGE sql SECURITY DEFINER AS 'SELECT * FROM tributary.chunk'`,
			`DROP FUNCTION tributary.everything()`, "function tributary.everything() is not one of ours",
		},
		{`ALTER TABLE tributary.chunk OWNER TO {app`, `ALTER TABLE tributary.chunk OWNER TO {owner;;GRANT SELECT, INSERT, UPDATE, DELETE ON tributary.chunk TO {app`, "table tributary.chunk belongs to {app"},
		{
			`INSERT INTO tributary.embedding_profile (name, kind, model, dimensions) VALUES ('v', 'hashing', 'v', 8);;SELECT tributary.create_vector_table(max(id)::smallint) FROM tributary.embedding_profile;;GRANT SELECT ON tributary.vec_1 TO {reader`,
			`REVOKE SELECT ON tributary.vec_1 FROM {reader`, "vector tables have rights with {reader:SELECT",
		},
	} {
		g.exec(tc.attack)
		var unsafe *store.UnsafeError
		err := g.check(g.url)
		if want := strings.ReplaceAll(tc.want, "{", g.prefix+"_"); !errors.As(err, &unsafe) || unsafe.Remedy == "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", tc.attack, err, want)
		}
		if tc.undo != "" {
			g.exec(tc.undo)
		} else if report := g.migrate(); !report.Routines {
			t.Errorf("%s: migrating put nothing back", tc.attack)
		}
		if err := g.check(g.url); err != nil {
			t.Fatalf("after %s was put back: %v", tc.attack, err)
		}
	}
	if err := g.check(g.superURL); err == nil || !strings.Contains(err.Error(), "TRIBUTARY_DATABASE_URL") {
		t.Errorf("as a superuser: %v", err)
	}
}

// TestMigratingDoesNotBlessWhatWasChanged: a function that no routine owns stays named after migrating again.
func TestMigratingDoesNotBlessWhatWasChanged(t *testing.T) {
	t.Parallel()
	g := newGuarded(t)
	g.exec(`CREATE OR REPLACE FUNCTION tributary.clock() RETURNS timestamptz LANGUAGE sql STABLE AS $$SELECT '2000-01-01'::timestamptz$$`)
	g.migrate()
	if err := g.check(g.url); err == nil || !strings.Contains(err.Error(), "function tributary.clock() has another definition") {
		t.Errorf("a clock that stands still: %v", err)
	}
}
