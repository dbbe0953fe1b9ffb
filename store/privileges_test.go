package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
)

// TestAppHasNoDDLAndNoFiles: a stolen service password reaches rows only.
func TestAppHasNoDDLAndNoFiles(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	for _, sql := range []string{
		`DROP TABLE tributary.document`, `TRUNCATE tributary.document`, `ALTER TABLE tributary.document ADD x int`,
		`CREATE TABLE tributary.x (x int)`, `CREATE TABLE public.x (x int)`, `CREATE SCHEMA x`, `CREATE FUNCTION tributary.x() RETURNS int LANGUAGE sql AS 'SELECT 1'`,
		`COPY (SELECT 1) TO PROGRAM 'true'`, `COPY tributary.setting FROM PROGRAM 'true'`, `COPY (SELECT 1) TO '/tmp/x'`, `COPY tributary.setting FROM '/etc/passwd'`,
		`SELECT pg_read_file('/etc/passwd')`, `SELECT pg_ls_dir('.')`, `SELECT lo_import('/etc/passwd')`, `SELECT pg_read_binary_file('/etc/passwd')`,
		`UPDATE tributary.setting SET value = 'x' WHERE key = 'role.app'`, `DELETE FROM tributary.goose_version`,
		`CREATE OR REPLACE FUNCTION tributary.clock() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'`,
		`SET ROLE ` + pgtest.RolePrefix() + `_owner`, `SET ROLE ` + pgtest.RolePrefix() + `_search_definer`, `SET SESSION AUTHORIZATION ` + pgtest.RolePrefix() + `_owner`,
		`CREATE ROLE x`, `ALTER ROLE ` + pgtest.RolePrefix() + `_app SUPERUSER`, `ALTER SYSTEM SET fsync = off`, `CREATE EXTENSION pg_trgm`,
		`UPDATE tributary.read_event SET tool = ''`, `DELETE FROM tributary.read_event`, `TRUNCATE tributary.read_event`,
		`INSERT INTO tributary.read_event (id, tool, documents) OVERRIDING SYSTEM VALUE VALUES (1, 'text', '{}')`,
		`INSERT INTO tributary.sql_read VALUES (1)`, `SELECT nextval('tributary.sql_read_call')`, `SELECT setval('tributary.sql_read_call', 1)`,
		`SELECT * FROM tributary.visible_documents('{}', '{}')`, `SELECT * FROM tributary.search_scope(NULL, NULL)`,
	} {
		if _, err := db.Pool.Exec(context.Background(), sql); err == nil {
			t.Errorf("app may %s", sql)
		} else if code := sqlState(err); code != "42501" {
			t.Errorf("%s: refused with %s, want insufficient_privilege: %v", sql, code, err)
		}
	}
}

// TestReaderMayOnlyExecute: an SQL login reads no table at all.
func TestReaderMayOnlyExecute(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	newProfile(t, db)
	role := pgtest.RolePrefix() + "_reader"
	held := list(t, db, `
		SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('tributary', 'river') AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
		  AND (CASE c.relkind WHEN 'S' THEN has_sequence_privilege($1, c.oid, 'USAGE, SELECT, UPDATE')
		       ELSE has_table_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
		            OR has_any_column_privilege($1, c.oid, 'SELECT, INSERT, UPDATE, REFERENCES') END)`, role)
	if len(held) > 0 {
		t.Errorf("reader has rights on %s", strings.Join(held, ", "))
	}
	want := []string{"chunk", "current_reader", "document", "document_chunks", "document_text", "embeddings", "lineage", "neighbours", "search", "section", "visible_count", "visible_export", "visible_list"}
	got := list(t, db, `SELECT DISTINCT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'tributary'::regnamespace AND has_function_privilege($1, p.oid, 'EXECUTE') ORDER BY 1`, role)
	if !slices.Equal(got, want) {
		t.Errorf("reader may execute\n%v, want\n%v", got, want)
	}
}

// TestSearchDefinerOwnsOnlyTheQueryPath and may read, but write nothing: it adds
// to the record of reads by SQL logins.
func TestSearchDefinerOwnsOnlyTheQueryPath(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	newProfile(t, db)
	role := pgtest.RolePrefix() + "_search_definer"
	if owned := list(t, db, `SELECT c.relname::text FROM pg_class c WHERE pg_get_userbyid(c.relowner) = $1`, role); len(owned) > 0 {
		t.Errorf("search_definer owns %v", owned)
	}
	writes := list(t, db, `
		SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('tributary', 'river') AND c.relkind IN ('r', 'p')
		  AND c.relname <> 'sql_read' AND has_table_privilege($1, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')`, role)
	if len(writes) > 0 {
		t.Errorf("search_definer may write %v", writes)
	}
	adds := list(t, db, `
		SELECT DISTINCT x.relname FROM (
			SELECT c.relname::text, c.relkind, c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('tributary', 'river')) x
		WHERE x.relkind IN ('r', 'p') AND has_any_column_privilege($1, x.oid, 'INSERT, UPDATE') OR x.relkind = 'S' AND has_sequence_privilege($1, x.oid, 'USAGE, UPDATE') ORDER BY 1`, role)
	if !slices.Equal(adds, []string{"read_event", "sql_read", "sql_read_call"}) {
		t.Errorf("search_definer may add to %v", adds)
	}
	// SECURITY: a definer function without a fixed search path runs the
	// caller's objects with the owner's rights.
	loose := list(t, db, `
		SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'tributary'::regnamespace AND p.prosecdef
		  AND NOT coalesce(p.proconfig::text LIKE '%search_path=%pg_temp%', false)`)
	if len(loose) > 0 {
		t.Errorf("definer functions without a fixed search_path that ends in pg_temp: %v", loose)
	}
	strangers := list(t, db, `
		SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'tributary'::regnamespace AND p.prosecdef
		  AND pg_get_userbyid(p.proowner) <> $1 AND p.proname NOT IN ('create_vector_table', 'forget_reads', 'forget_questions')`, role)
	if len(strangers) > 0 {
		t.Errorf("definer functions of another owner: %v", strangers)
	}
	public := list(t, db, `SELECT p.proname::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE p.pronamespace = 'tributary'::regnamespace AND a.grantee = 0`)
	if len(public) > 0 {
		t.Errorf("PUBLIC may execute %v", public)
	}
	var secret bool
	for _, r := range []string{role, pgtest.RolePrefix() + "_reader"} {
		if err := db.Owner.QueryRow(context.Background(), `SELECT has_column_privilege($1, 'tributary.api_key', 'secret_hash', 'SELECT')`, r).Scan(&secret); err != nil || secret {
			t.Errorf("%s may read secret hashes: %v %v", r, secret, err)
		}
	}
}

// TestRolesAreOrdinary: nothing of ours is a superuser or escapes row security.
func TestRolesAreOrdinary(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t)
	bad := list(t, db, `SELECT rolname::text FROM pg_roles WHERE rolname LIKE $1 AND (rolsuper OR rolbypassrls OR rolcreaterole OR rolcreatedb OR rolreplication)`,
		strings.ReplaceAll(pgtest.RolePrefix(), "_", `\_`)+`\_%`)
	if len(bad) > 0 {
		t.Errorf("roles with more rights than they need: %v", bad)
	}
}

func list(tb testing.TB, db *pgtest.DB, sql string, args ...any) []string {
	tb.Helper()
	rows, err := db.Owner.Query(context.Background(), sql, args...)
	if err != nil {
		tb.Fatal(err)
	}
	out, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func sqlState(err error) string {
	var state interface{ SQLState() string }
	if errors.As(err, &state) {
		return state.SQLState()
	}
	return fmt.Sprintf("%T", err)
}
