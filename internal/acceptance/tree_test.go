package acceptance

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/jobs"
	"tributary/store"
)

// makeTree makes n small documents in directories of fifty, always the same.
func makeTree(t *testing.T, dir string, n int) {
	t.Helper()
	r := rand.New(rand.NewPCG(7, 7))
	words := strings.Fields("harbour ledger valley engine copper winter signal garden bridge letter market window river stone lantern orchard")
	for i := range n {
		var b strings.Builder
		fmt.Fprintf(&b, "# Note %d\n\n", i)
		for p := range 1 + r.IntN(3) {
			fmt.Fprintf(&b, "## Part %d of note %d\n\n", p, i)
			for range 40 {
				b.WriteString(words[r.IntN(len(words))] + " ")
			}
			b.WriteString("\n\n")
		}
		write(t, filepath.Join(dir, fmt.Sprintf("box-%02d", i/50), fmt.Sprintf("note-%04d.md", i)), b.String())
	}
}

// contents is what a store holds, without ids and times: one line for each
// document, chunk, vector, permission, outbox row and run, in order.
func contents(t *testing.T, q querier) []string {
	t.Helper()
	return column[string](t, q, `
		WITH acl AS (
		  SELECT s.id, s.need_mask || ':' || coalesce(string_agg(e.clause || '=' || r.source || '/' || r.external_id || '/' || p.kind || '/' || p.external_id, ','
		           ORDER BY e.clause, p.kind, p.external_id), '') AS said
		  FROM acl_set s LEFT JOIN acl_entry e ON e.set_id = s.id LEFT JOIN principal p ON p.id = e.principal_id LEFT JOIN realm r ON r.id = p.realm_id
		  GROUP BY s.id)
		SELECT line FROM (
		  SELECT concat_ws('|', d.external_id, 'document', c.name, d.source_revision, encode(d.content_hash, 'hex'), d.revision, d.title, d.url, d.path, d.container, d.kind,
		           d.media_type, d.lang, d.author, d.metadata, d.source_updated_at, coalesce(d.hidden_reason, '-'), d.chunk_count, d.next_chunk_id, acl.said) AS line
		  FROM document d JOIN connection c ON c.id = d.connection_id JOIN acl ON acl.id = d.acl_set_id
		  UNION ALL
		  SELECT concat_ws('|', d.external_id, 'revision', r.number, r.source_revision, encode(r.content_hash, 'hex'), r.extractor, r.chunker, c.name, md5(r.text), r.chunk_ids,
		           r.starts, r.ends, r.starts_cp, r.ends_cp)
		  FROM revision r JOIN document d ON d.id = r.document_id JOIN sync_run s ON s.id = r.run_id JOIN connection c ON c.id = s.connection_id
		  UNION ALL
		  SELECT concat_ws('|', d.external_id, 'chunk', k.id, encode(k.identity, 'hex'), md5(k.text), md5(k.context), k.heading_path, k.tokens, k.lang, md5(k.tsv::text),
		           encode(v.input_hash, 'hex'), md5(v.v::text))
		  FROM chunk k JOIN document d ON d.id = k.document_id LEFT JOIN vec_1 v ON v.document_id = k.document_id AND v.chunk_id = k.id
		  UNION ALL
		  SELECT concat_ws('|', coalesce(d.external_id, '-'), 'outbox', o.kind, o.revision, o.added, o.removed)
		  FROM outbox o LEFT JOIN document d ON d.id = o.document_id WHERE o.kind NOT IN ('stale', 'embed') -- when those are told is a matter of time
		  UNION ALL
		  SELECT concat_ws('|', '-', 'membership', m.kind, m.external_id, g.kind, g.external_id)
		  FROM membership JOIN principal m ON m.id = member_id JOIN principal g ON g.id = group_id
		  UNION ALL
		  SELECT concat_ws('|', '-', 'problem', external_id, reason) FROM skip
		  UNION ALL
		  SELECT concat_ws('|', '-', 'problem', external_id, reason) FROM quarantine) x
		ORDER BY line COLLATE "C"`)
}

// wantSame compares two stores by content.
func wantSame(t *testing.T, got, want []string) {
	t.Helper()
	if slices.Equal(got, want) {
		return
	}
	count := map[string]int{}
	for _, line := range want {
		count[line]--
	}
	for _, line := range got {
		count[line]++
	}
	shown := 0
	for _, line := range slices.Sorted(maps.Keys(count)) {
		if count[line] == 0 {
			continue
		}
		if shown++; shown > 12 {
			break
		}
		t.Errorf("%+d: %.300s", count[line], line)
	}
	t.Errorf("the store has %d lines, that of an undisturbed run %d", len(got), len(want))
}

// The comparison of two stores sees what a kill could have spoiled.
func TestContentsNoticeEveryDifference(t *testing.T) {
	t.Parallel()
	for what, sql := range map[string]string{
		"a document twice":        `INSERT INTO document SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'external_id', 'twice.md'))).* FROM document d LIMIT 1`,
		"a lost chunk":            `DELETE FROM chunk WHERE ctid = (SELECT min(ctid) FROM chunk)`,
		"a lost vector":           `DELETE FROM vec_1 WHERE ctid = (SELECT min(ctid) FROM vec_1)`,
		"a vector of other words": `UPDATE vec_1 SET v = (SELECT v FROM vec_1 x WHERE x.input_hash <> vec_1.input_hash LIMIT 1) WHERE ctid = (SELECT min(ctid) FROM vec_1)`,
		"an ACL of nobody":        `UPDATE document SET acl_set_id = 0 WHERE ctid = (SELECT min(ctid) FROM document)`,
		"a hidden document":       `UPDATE document SET hidden_reason = 'absent' WHERE ctid = (SELECT min(ctid) FROM document)`,
		"a second revision":       `UPDATE revision SET number = 2 WHERE ctid = (SELECT min(ctid) FROM revision)`,
		"another extractor":       `UPDATE revision SET extractor = 'other/1' WHERE ctid = (SELECT min(ctid) FROM revision)`,
		"an outbox row twice":     `INSERT INTO outbox (kind, connection_id, document_id, revision, added, removed) SELECT kind, connection_id, document_id, revision, added, removed FROM outbox LIMIT 1`,
		"a lost membership":       `DELETE FROM membership WHERE ctid = (SELECT min(ctid) FROM membership)`,
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			makeTree(t, dir, 5)
			s := newSite(t, jobs.BuiltinProfile())
			conn := s.connect(dir)
			s.must(conn, store.Content, store.RunSucceeded)
			s.must(conn, store.Permissions, store.RunSucceeded)
			before := contents(t, s.db.Owner)
			s.db.MustExec(t, sql)
			if slices.Equal(before, contents(t, s.db.Owner)) {
				t.Error("the comparison does not see it")
			}
		})
	}
}
