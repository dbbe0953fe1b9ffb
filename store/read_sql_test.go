package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/internal/oracle"
	"tributary/internal/pgtest"
	"tributary/store"
)

// sqlReads are the entrances for SQL logins: how each is asked for a document,
// and as which tool it is recorded. Without a tool it hands out nothing of a
// document.
func sqlReads(doc uuid.UUID) map[string]struct{ ask, tool string } {
	type read = struct{ ask, tool string }
	return map[string]read{
		"search":          {`SELECT document_id, text FROM tributary.search('common', NULL, NULL, 'keyword', 100)`, "search"},
		"document":        {fmt.Sprintf(`SELECT * FROM tributary.document('%s')`, doc), "document"},
		"document_text":   {fmt.Sprintf(`SELECT * FROM tributary.document_text('%s')`, doc), "text"},
		"document_chunks": {fmt.Sprintf(`SELECT (tributary.document_chunks('%s')).text LIMIT 1`, doc), "chunks"},
		"neighbours":      {fmt.Sprintf(`SELECT * FROM tributary.neighbours('%s', 1, 1, 1)`, doc), "neighbours"},
		"chunk":           {fmt.Sprintf(`SELECT * FROM tributary.chunk('%s', 1)`, doc), "chunk"},
		"section":         {fmt.Sprintf(`SELECT * FROM tributary.section('%s', 1, 1000)`, doc), "section"},
		"lineage":         {fmt.Sprintf(`SELECT * FROM tributary.lineage('%s', 1)`, doc), "lineage"},
		"embeddings":      {fmt.Sprintf(`SELECT * FROM tributary.embeddings((SELECT 1::smallint), ARRAY['%s']::uuid[], ARRAY[1])`, doc), "embeddings"},
		"visible_list":    {`SELECT count(*) FROM tributary.visible_list('{}', NULL, 100)`, "list"},
		"visible_export":  {`DECLARE c NO SCROLL CURSOR WITH HOLD FOR SELECT * FROM tributary.visible_export('{}', NULL, 100, 1000000)`, "export"},
		"visible_count":   {`SELECT * FROM tributary.visible_count('{}')`, ""},
		"current_reader":  {`SELECT tributary.current_reader()`, ""},
	}
}

// TestSQLLoginsLeaveRecords: each function that an SQL login may call, and that
// hands documents out, writes who was given which; a new one is missing here.
func TestSQLLoginsLeaveRecords(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	doc, hidden := rows.documents[0], rows.documents[4]
	conn, nobody := sqlLogin(t, f.db, &rows.readers[0]), sqlLogin(t, f.db, nil)
	entrances := sqlReads(doc)
	for _, name := range list(t, f.db, `
		SELECT DISTINCT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'tributary'::regnamespace AND has_function_privilege($1, p.oid, 'EXECUTE')`, pgtest.RolePrefix()+"_reader") {
		if _, ok := entrances[name]; !ok {
			t.Errorf("%s can be called by SQL logins: say how it is recorded, or that it hands out nothing", name)
		}
	}
	for name, e := range entrances {
		before := len(reads(t, s, store.ReadFilter{Limit: 1000}))
		mustExec(t, conn, e.ask)
		got := reads(t, s, store.ReadFilter{Limit: 1000})
		if want := before + min(1, len(e.tool)); len(got) != want {
			t.Errorf("%s: %d records more, want %d", name, len(got)-before, want-before)
			continue
		}
		if e.tool == "" {
			continue
		}
		r := got[0]
		if r.Tool != e.tool || r.ReaderID == nil || *r.ReaderID != rows.readers[0] || r.Actor != "sql:"+conn.Config().User || r.KeyID != nil || r.Query != nil || !slices.Contains(r.Documents, doc) {
			t.Errorf("%s is recorded as %+v", name, r)
		}
		if at := r.PermissionsAsOf["c0"]; at == nil || time.Since(*at) > time.Hour || time.Since(r.At) > time.Hour {
			t.Errorf("%s: permissions of %v, at %v", name, r.PermissionsAsOf, r.At)
		}
		if slices.Contains(r.Documents, hidden) {
			t.Errorf("%s is recorded with what was not handed out", name)
		}
	}
	before := len(reads(t, s, store.ReadFilter{Limit: 1000}))
	for _, e := range sqlReads(hidden) {
		mustExec(t, nobody, e.ask)
	}
	if got := reads(t, s, store.ReadFilter{Limit: 1000}); len(got) != before+1 || got[0].Tool != "search" || got[0].ReaderID != nil || len(got[0].Documents) > 0 {
		t.Errorf("of nobody: %+v: a question is a record, and nothing else", got[:len(got)-before])
	}
}

func mustExec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// TestReadOnlySQLIsRefused: what cannot be recorded is not answered.
func TestReadOnlySQLIsRefused(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	conn := sqlLogin(t, f.db, &rows.readers[0])
	mustExec(t, conn, `SET default_transaction_read_only = on`)
	for name, e := range sqlReads(rows.documents[0]) {
		_, err := conn.Exec(t.Context(), e.ask)
		var pe *pgconn.PgError
		if refused := errors.As(err, &pe) && pe.Code == "25006" && strings.Contains(pe.Message, "reads are recorded") && strings.Contains(pe.Hint, "READ WRITE"); refused != (e.tool != "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := reads(t, s, store.ReadFilter{}); len(got) > 0 {
		t.Errorf("recorded %+v", got)
	}
}

// TestSQLLoginsCannotTouchTheRecord: neither read it, nor change it, nor write
// what they did not read, nor write as another.
func TestSQLLoginsCannotTouchTheRecord(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	conn := sqlLogin(t, f.db, &rows.readers[0])
	ask := sqlReads(rows.documents[0])["document"].ask
	mustExec(t, conn, ask)
	for _, sql := range []string{
		`SELECT * FROM tributary.read_event`, `DELETE FROM tributary.read_event`, `UPDATE tributary.read_event SET tool = ''`, `TRUNCATE tributary.read_event`,
		`INSERT INTO tributary.read_event (tool, documents) VALUES ('text', '{}')`, `COPY tributary.read_event (tool, documents) FROM STDIN`,
		`SELECT * FROM tributary.sql_read`, `DELETE FROM tributary.sql_read`, `INSERT INTO tributary.sql_read VALUES (7)`, `UPDATE tributary.sql_read_count SET counted = 9`,
		`SELECT nextval('tributary.sql_read_call')`, `SELECT setval('tributary.sql_read_call', 1)`, `SELECT * FROM tributary.sql_read_call`,
		`SELECT tributary.note_read('text', '{}', true)`, `SELECT tributary.write_read('text', '{}', '{}')`, `SELECT tributary.count_sql_reads()`,
		`SELECT tributary.forget_reads('0', 1)`, `SELECT tributary.forget_questions(NULL, NULL)`, `ALTER TABLE tributary.read_event DISABLE TRIGGER ALL`,
	} {
		if _, err := conn.Exec(t.Context(), sql); err == nil || sqlState(err) != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
	mustExec(t, conn, fmt.Sprintf(`SET tributary.reader = '%s'`, rows.readers[1]))
	mustExec(t, conn, `SET application_name = 'tributary-web'`)
	mustExec(t, conn, ask)
	got := reads(t, s, store.ReadFilter{})
	if len(got) != 2 || *got[0].ReaderID != rows.readers[0] || got[0].Actor != "sql:"+conn.Config().User {
		t.Errorf("recorded %+v", got)
	}
}

// TestReadsRolledBackAreCounted, when their transactions have ended, and none
// that is on its way or was recorded.
func TestReadsRolledBackAreCounted(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	conn, other := sqlLogin(t, f.db, &rows.readers[0]), sqlLogin(t, f.db, &rows.readers[1])
	ask := sqlReads(rows.documents[0])["document"].ask
	// Transactions of other databases of the server delay the count.
	counted := func(want int64) {
		t.Helper()
		var n int64
		for calls, deadline := 0, time.Now().Add(time.Minute); calls < 3 || n < want && time.Now().Before(deadline); calls++ {
			lost, err := s.CountSQLReads(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n += lost
		}
		if n != want {
			t.Errorf("%d reads were counted as lost, want %d", n, want)
		}
	}
	counted(0)
	for _, sql := range []string{`BEGIN`, ask, `ROLLBACK`, `BEGIN`, ask, `SAVEPOINT s`, ask, `ROLLBACK TO s`, `COMMIT`, ask} {
		mustExec(t, conn, sql)
	}
	// What one simple message holds is a transaction, too.
	if _, err := conn.PgConn().Exec(t.Context(), ask+`; SELECT 1 / 0`).ReadAll(); sqlState(err) != "22012" {
		t.Fatal(err)
	}
	search := sqlReads(rows.documents[0])["search"].ask
	mustExec(t, other, `BEGIN`)
	mustExec(t, other, search)
	counted(0)
	mustExec(t, other, `COMMIT`)
	counted(3)
	counted(0)
	for _, sql := range []string{`BEGIN`, search, `ROLLBACK`} {
		mustExec(t, other, sql)
	}
	counted(1)
	var lost, kept int64
	for _, r := range reads(t, s, store.ReadFilter{}) {
		if lost += r.Lost; r.Lost == 0 {
			kept++
		}
	}
	if lost != 4 || kept != 3 {
		t.Errorf("%d records and %d losses, want 3 and 4", kept, lost)
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*) FROM sql_read`); n != 0 {
		t.Errorf("%d numbers are kept after they were counted", n)
	}
	if _, _, err := s.EvaluateNotices(t.Context()); err != nil {
		t.Fatal(err)
	}
	notices, err := s.Notices(t.Context(), store.NoticeFilter{Code: "read_audit_losses"})
	if err != nil || len(notices) != 1 || !strings.HasPrefix(notices[0].Detail, "4 reads") {
		t.Errorf("notices %+v, %v", notices, err)
	}
	// After a restore the ids of transactions begin anew.
	mustExec(t, conn, `BEGIN`)
	mustExec(t, conn, ask)
	mustExec(t, conn, `ROLLBACK`)
	f.db.MustExec(t, `UPDATE sql_read_count SET upto = counted + 1, until = '9000000000000'`)
	counted(1)
}

// TestTheServiceLeavesNoSQLRecord: what it asks by the same functions it records
// by itself, once.
func TestTheServiceLeavesNoSQLRecord(t *testing.T) {
	t.Parallel()
	f, rows, s := readsRig(t, store.ReadAudit{})
	who := rows.identity(oracle.Asker{Reader: 0, Key: -1})
	for tool, read := range contentReads(s, rows.documents[0]) {
		if err := read(t.Context(), who); err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
	}
	if got, want := len(reads(t, s, store.ReadFilter{})), len(contentReads(s, uuid.Nil)); got != want {
		t.Errorf("%d records of %d reads", got, want)
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*) FROM sql_read`); n != 0 {
		t.Errorf("%d reads of the service were numbered", n)
	}
}
