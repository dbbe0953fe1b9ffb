package store_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
)

// TestPE16EveryEntranceIsTheLoginsOwn: each function that an SQL login may call gives it what its reader may see, whatever
// it sets; a login that is mapped to nobody gets nothing. A function that this test does not call fails it.
func TestPE16EveryEntranceIsTheLoginsOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rows := mustStore(t, f, twoReaders())
	mine, hidden := rows.documents[0], rows.documents[1]
	calls := map[string]string{
		"current_reader": `SELECT 1 FROM tributary.current_reader() r WHERE r = '%[2]s' AND '%[1]s' <> ''`,
		"search":         `SELECT * FROM tributary.search('common', NULL, NULL, 'keyword', 100) WHERE document_id = '%[1]s'`,
		"document":       `SELECT * FROM tributary.document('%[1]s')`, "document_text": `SELECT * FROM tributary.document_text('%[1]s')`,
		"document_chunks": `SELECT * FROM tributary.document_chunks('%[1]s')`, "neighbours": `SELECT * FROM tributary.neighbours('%[1]s', 1, 5, 5)`,
		"chunk": `SELECT * FROM tributary.chunk('%[1]s', 1)`, "section": `SELECT * FROM tributary.section('%[1]s', 1, 8000)`,
		"lineage":       `SELECT * FROM tributary.lineage('%[1]s', 1)`,
		"embeddings":    fmt.Sprintf(`SELECT * FROM tributary.embeddings(%d::smallint, ARRAY['%%[1]s'::uuid], ARRAY[1])`, rows.profile),
		"visible_count": `SELECT 1 FROM tributary.visible_count() c WHERE c.documents = 1 AND '%[1]s' = '` + mine.String() + `'`,
		"visible_list":  `SELECT * FROM tributary.visible_list('{}', NULL, 1000) WHERE document_id = '%[1]s'`, "visible_export": `SELECT * FROM tributary.visible_export('{}', NULL, 100, 1000000) WHERE document_id = '%[1]s'`,
	}
	mapped, nobody := sqlLogin(t, f.db, &rows.readers[0]), sqlLogin(t, f.db, nil)
	callable := names(t, mapped, `SELECT DISTINCT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'tributary'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE') ORDER BY 1`)
	if want := slices.Sorted(maps.Keys(calls)); !slices.Equal(callable, want) {
		t.Errorf("an SQL login may call %v, and these are tried: %v", callable, want)
	}
	f.db.MustExec(t, fmt.Sprintf(`INSERT INTO vec_%d SELECT document_id, id, '', '[1,2,3,4,5,6,7,8]' FROM chunk ON CONFLICT DO NOTHING`, rows.profile))
	ask := func(conn *pgx.Conn, name, sql string, document, reader any) int {
		rows, err := conn.Query(t.Context(), fmt.Sprintf(sql, document, reader))
		n := 0
		if err == nil {
			for rows.Next() {
				n++
			}
			err = rows.Err()
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	forgeries := []string{
		`SELECT 1`, fmt.Sprintf(`SET tributary.reader = '%s'`, rows.readers[1]), fmt.Sprintf(`SET tributary.principals = '{%d}'`, rows.principals[1]),
		fmt.Sprintf(`SELECT set_config('tributary.reader', '%s', false)`, rows.readers[1]), `RESET ALL`, `SET ROLE ` + pgtest.RolePrefix() + `_reader`, `SET search_path = pg_temp, tributary, public`,
	}
	checks := 0
	for _, forge := range forgeries {
		for _, conn := range []*pgx.Conn{mapped, nobody} {
			if _, err := conn.Exec(t.Context(), forge); err != nil {
				t.Fatalf("%s: %v", forge, err)
			}
			for name, sql := range calls {
				sees := ask(conn, name, sql, mine, rows.readers[0]) > 0
				if sees != (conn == mapped) {
					t.Errorf("after %q %s gives the login its own: %v", forge, name, sees)
				}
				if name != "current_reader" && ask(conn, name, sql, hidden, rows.readers[1]) > 0 || name == "current_reader" && ask(conn, name, sql, mine, rows.readers[1]) > 0 {
					t.Errorf("after %q %s gives the login another's", forge, name)
				}
				checks += 2
			}
		}
	}
	t.Logf("%d calls of %d entrances", checks, len(calls))
	// What is not an entrance is denied, and so is every table.
	for _, sql := range []string{
		`SELECT * FROM tributary.visible_documents('{}', '{}')`, `SELECT * FROM tributary.session_identity()`, `SELECT * FROM tributary.feed_status()`, `SELECT * FROM tributary.document`,
		`SELECT * FROM tributary.chunk`, `SELECT * FROM tributary.sql_login`, `UPDATE tributary.sql_login SET login = session_user`,
	} {
		if _, err := mapped.Exec(t.Context(), sql); err == nil || !strings.Contains(err.Error(), "denied") && !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func names(t *testing.T, conn *pgx.Conn, sql string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}
