package store_test

import (
	"context"
	"io/fs"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
	"tributary/migrations"
)

// mutants are faults of the query path, one each, that the comparison with the
// oracle must notice. old stands in one routine file; world is where it shows.
var mutants = []struct {
	world             int
	name, old, mutant string
}{
	{2, "connection clause dropped", `JOIN tributary.document d ON d.acl_set_id = x.set_id AND d.connection_id = ($1)[x.n]`, `JOIN tributary.document d ON d.acl_set_id = x.set_id`},
	{2, "another connection's principals decide", `array_position($1, d.connection_id)::bigint AS n`, `1::bigint AS n`},
	{2, "a membership of any connection counts", `JOIN tributary.membership m ON m.connection_id = p.conn AND m.member_id = p.principal_id`, `JOIN tributary.membership m ON m.member_id = p.principal_id`},
	{2, "what is held in one connection counts in all", `WHERE e.set_id = $1 AND (e.principal_id << 16 | $2) = ANY ($3)`, `WHERE e.set_id = $1 AND e.principal_id IN (SELECT h >> 16 FROM unnest($3) h)`},
	{0, "or instead of and between clauses", `= (SELECT s.need_mask FROM tributary.acl_set s WHERE s.id = $1 AND s.need_mask > 0)`, `& (SELECT s.need_mask FROM tributary.acl_set s WHERE s.id = $1 AND s.need_mask > 0) > 0`},
	{1, "denial skipped", `WHERE e.set_id = $1 AND (e.principal_id << 16 | $2) = ANY ($3)`, `WHERE e.set_id = $1 AND e.clause > 0 AND (e.principal_id << 16 | $2) = ANY ($3)`},
	{1, "denial that an allowance outweighs", `WHEN 0 THEN -1::bigint`, `WHEN 0 THEN 0`},
	{1, "unknown is public", `AND s.need_mask > 0),`, `AND s.need_mask >= 0) OR $1 = 0,`},
	{9, "empty clause is true", `= (SELECT s.need_mask FROM tributary.acl_set s`, `= (SELECT s.need_mask & coalesce((SELECT bit_or(1::bigint << y.clause) FROM tributary.acl_entry y WHERE y.set_id = s.id AND y.clause > 0), 0) FROM tributary.acl_set s`},
	{2, "32-bit shift", `1::bigint << e.clause END`, `(1 << e.clause)::bigint END`},
	{3, "groups of groups ignored", `SELECT p.conn, p.realm_id, g.id
    FROM p
`, `SELECT p.conn, p.realm_id, g.id
    FROM (SELECT * FROM p WHERE p.principal_id = ANY (who.seeds) OR (SELECT x.kind FROM tributary.principal x WHERE x.id = p.principal_id) = 'public') p
`},
	{0, "a group of another realm counts", `JOIN tributary.principal g ON g.id = m.group_id AND g.realm_id = p.realm_id`, `JOIN tributary.principal g ON g.id = m.group_id`},
	{0, "a link of another realm counts", `FROM tributary.principal s JOIN asked a ON a.realm_id = s.realm_id
`, `FROM tributary.principal s JOIN asked a ON true
`},
	{13, "public of any realm", `JOIN tributary.principal s ON s.realm_id = a.realm_id AND s.kind = 'public'`, `JOIN tributary.principal s ON s.kind = 'public'`},
	{68, "public for keys without reader", `WHERE who.everybody AND a.young`, `WHERE a.young`},
	{10, "too old is still served", `coalesce(c.permissions_as_of > at - c.max_permission_age, false) AS young`, `true AS young`},
	{10, "never read is served", `coalesce(c.permissions_as_of > at - c.max_permission_age, false) AS young`, `coalesce(c.permissions_as_of > at - c.max_permission_age, true) AS young`},
	{53, "closing is served", `WHERE c.state <> 'closing' AND c.realm_id IS NOT NULL`, `WHERE c.realm_id IS NOT NULL`},
	{2, "hidden is served by id", `WHERE d.hidden_reason IS NULL AND c.n IS NOT NULL AND a.visible`, `WHERE c.n IS NOT NULL AND a.visible`},
	{2, "hidden is served by search", `[x.n]
  WHERE d.hidden_reason IS NULL`, `[x.n]
  WHERE true`},
	{1, "documents counted twice", `WHERE a.visible AND a.first = e.principal_id`, `WHERE a.visible`},
	{0, "neighbours unchecked", `FROM tributary.readable($1, 'neighbours') d
  JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision
  CROSS JOIN LATERAL (SELECT array_position`, `FROM (SELECT * FROM tributary.document x WHERE x.id = $1) d
  JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision
  CROSS JOIN LATERAL (SELECT array_position`},
	{0, "count unchecked", `SELECT count(*), coalesce(sum(v.chunk_count), 0) INTO documents, chunks
  FROM tributary.visible_stream(s.conns, s.held) v`, `SELECT count(*), coalesce(sum(v.chunk_count), 0) INTO documents, chunks
  FROM tributary.document v`},
	{0, "lineage unchecked", `IF NOT EXISTS (SELECT FROM tributary.readable(lineage.document_id, 'lineage')) THEN RETURN; END IF;`, ``},
	{2, "the key's connections ignored", `AND (who.all_connections OR c.id = ANY (who.connections))`, ``},
	{8, "a dead key works", `WHERE k.id = who.key_id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > tributary.clock())`, `WHERE k.id = who.key_id`},
	{1, "a key names any reader", `IF bound.reader_id IS DISTINCT FROM who.reader_id OR who.reader_id IS NULL THEN RETURN; END IF;`, `IF who.reader_id IS NULL THEN RETURN; END IF;`},
	{15, "a disabled reader works", `WHERE r.id = who.reader_id AND r.disabled_at IS NULL`, `WHERE r.id = who.reader_id`},
	{1, "bare principals beside a reader", `IF who.principals IS NOT NULL AND (who.reader_id IS NOT NULL OR who.key_id IS NOT NULL) THEN RETURN; END IF;`, `IF who.principals IS NOT NULL THEN known := true; all_connections := true; everybody := true; seeds := who.principals; RETURN; END IF;`},
	{1, "pending of everybody", `CROSS JOIN LATERAL tributary.search_allows(t.document_id, conns, held, types, paths, updated_after, contains) a`, ``},
	{1, "HNSW without probe", `CROSS JOIN LATERAL tributary.search_allows(g.d, conns, held, types, paths, updated_after, contains) a`, ``},
	{1, "full text without probe", `ELSE 'CROSS JOIN LATERAL tributary.search_allows(c.document_id, $2, $3, $4, $5, $6, $7) a' END`, `ELSE '' END`},
}

// firstDifference returns the number of the first world in which the query
// path differs from the oracle, beginning with the one that is expected to
// show it, or -1.
func (f *fixture) firstDifference(expected int) int {
	if f.compare(genWorld().Example(expected)) != "" {
		return expected
	}
	for i := range worldsPerMutant {
		if f.compare(genWorld().Example(i)) != "" {
			return i
		}
	}
	return -1
}

// worldsPerMutant is how many worlds a mutant may survive.
const worldsPerMutant = 150

// TestOracleCatchesMutants proves that the comparison can fail: every fault
// above makes it differ.
func TestOracleCatchesMutants(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	conn, err := pgx.Connect(context.Background(), f.db.SuperURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	files := routineFiles(t)
	for _, m := range mutants {
		name := ""
		for file, text := range files {
			if strings.Contains(text, m.old) {
				name = file
			}
		}
		if name == "" {
			t.Errorf("%s: nothing to mutate: the routine has changed", m.name)
			continue
		}
		apply(t, conn, strings.Replace(files[name], m.old, m.mutant, 1))
		caught := f.firstDifference(m.world)
		apply(t, conn, files[name])
		if caught < 0 {
			t.Errorf("%s: survived %d worlds", m.name, worldsPerMutant)
		} else if caught != m.world {
			t.Logf("%s: caught by world %d", m.name, caught)
		}
	}
	if diff := f.compare(genWorld().Example(0)); diff != "" {
		t.Fatalf("after undoing the mutants: %s", diff)
	}
}

func routineFiles(tb testing.TB) map[string]string {
	tb.Helper()
	names, err := fs.Glob(migrations.FS, "routines/*.sql")
	if err != nil {
		tb.Fatal(err)
	}
	files := map[string]string{}
	for _, name := range names {
		raw, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			tb.Fatal(err)
		}
		files[name] = string(raw)
	}
	return files
}

// apply replaces functions in place; owner and rights stay.
func apply(tb testing.TB, conn *pgx.Conn, sql string) {
	tb.Helper()
	prefix := pgtest.RolePrefix()
	for _, r := range []string{"owner", "app", "search_definer", "reader"} {
		sql = strings.ReplaceAll(sql, "{{"+r+"}}", prefix+"_"+r)
	}
	if _, err := conn.Exec(context.Background(), `SET search_path = tributary, public; `+sql); err != nil {
		tb.Fatalf("applying a routine: %v", err)
	}
}
