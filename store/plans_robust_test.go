package store_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
)

// large fills a database with 100,000 documents of 500 connections.
func large(t *testing.T) *pgtest.DB {
	t.Helper()
	db := pgtest.New(t)
	newProfile(t, db)
	db.MustExec(t, `DROP INDEX vec_1_hnsw`)
	for _, sql := range []string{
		`INSERT INTO connection (name, source) SELECT 'c' || i, 'test' FROM generate_series(1, 500) i`,
		`INSERT INTO schedule (connection_id, lane, every, next_run_at) SELECT id, lane, '5 minutes', clock() + random() * interval '5 minutes' FROM connection, unnest(ARRAY['content', 'permissions']) lane`,
		`INSERT INTO sync_run (connection_id, lane, kind, state, selection_version, queued_at) SELECT id, 'content', 'snapshot', CASE WHEN i = 1 THEN 'running' ELSE 'succeeded' END, 1, clock() - i * interval '1 hour' FROM connection, generate_series(1, 20) i`,
		`INSERT INTO acl_set (hash, need_mask) SELECT decode(md5(i::text), 'hex'), 2 FROM generate_series(1, 50000) i`,
		`INSERT INTO realm (source, external_id) VALUES ('test', 'x')`,
		`INSERT INTO principal (realm_id, kind, external_id) SELECT r.id, 'user', i::text FROM realm r, generate_series(1, 50000) i`,
		`INSERT INTO acl_entry SELECT s.id, p.id, 1 FROM acl_set s JOIN principal p ON p.external_id = s.id::text WHERE s.id <> 0`,
		`INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind, media_type, lang, author, metadata,
			acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
		 SELECT gen_random_uuid(), c.id, 'item ' || i, '1', '\x00', 1, 't', '', 'p', '', 'file', 'text/plain', 'simple', '', '{}', 1 + i % 50000, 1, 1, 1, now(), now()
		 FROM connection c, generate_series(1, 200) i`,
		`INSERT INTO revision (document_id, number, source_revision, content_hash, run_id, extractor, chunker, created_at) SELECT id, 1, '1', '\x00', id, '', '', now() FROM document`,
		`INSERT INTO seen SELECT connection_id, 1, id FROM document`,
		`INSERT INTO quarantine (connection_id, external_id, path, source_revision, class, reason, run_id) SELECT connection_id, external_id, '', '', '', '', id FROM document WHERE random() < 0.05`,
		`INSERT INTO skip (connection_id, external_id, path, reason, listing) SELECT connection_id, 'skipped ' || external_id, '', '', 1 FROM document`,
		`INSERT INTO vec_1 SELECT id, 0, decode(md5(id::text), 'hex'), '[1,2,3,4,5,6,7,8]' FROM document`,
		`INSERT INTO embed_todo (profile_id, document_id, chunk_id, input_hash, tokens, next_try_at) SELECT 1, id, 1, decode(md5(id::text), 'hex'), 5, now() FROM document`,
		`DROP INDEX chunk_tsv`,
		`INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang) SELECT id, 1, '\x00', 'text', '', '{}', 1, 'simple' FROM document`,
		`ANALYZE`,
	} {
		db.MustExec(t, sql)
	}
	return db
}

// TestHotStatementsUseIndexes at 100,000 documents, in the generic plans that
// prepared statements settle on.
func TestHotStatementsUseIndexes(t *testing.T) {
	t.Parallel()
	db := large(t)
	list, _ := statements(t, map[string]string{"vectorTable()": "vec_1", "table": "vec_1"})
	conn, err := db.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), `SET plan_cache_mode = force_generic_plan`); err != nil {
		t.Fatal(err)
	}
	parameter := regexp.MustCompile(`\$(\d+)`)
	scan := regexp.MustCompile(`Seq Scan on (document|revision|chunk|seen|embed_todo|vec_1|quarantine|skip|acl_set|acl_entry|principal|sync_run)\b`)
	checked := 0
	for i, s := range list {
		file, _, _ := strings.Cut(s.at, ":")
		if !hot(file, s.sql) {
			continue
		}
		checked++
		n := 0
		for _, m := range parameter.FindAllStringSubmatch(s.sql, -1) {
			var k int
			_, _ = fmt.Sscan(m[1], &k)
			n = max(n, k)
		}
		if _, err := conn.Exec(t.Context(), fmt.Sprintf("PREPARE s%d AS %s", i, s.sql)); err != nil {
			t.Fatalf("%s: %v", s.at, err)
		}
		execute := fmt.Sprintf("EXPLAIN EXECUTE s%d", i)
		if n > 0 {
			execute += "(" + strings.TrimSuffix(strings.Repeat("NULL, ", n), ", ") + ")"
		}
		rows, err := conn.Query(t.Context(), execute)
		if err != nil {
			t.Fatalf("%s: %v", s.at, err)
		}
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", s.at, err)
		}
		if text := strings.Join(plan, "\n"); scan.MatchString(text) {
			t.Errorf("%s reads a whole table:\n%s\n%s", s.at, s.sql, text)
		}
	}
	if checked < 30 {
		t.Errorf("only %d statements were checked", checked)
	}
}

// hot reports whether a statement runs with every page, tick or drain.
func hot(file, sql string) bool {
	switch file {
	case "batch.go", "batch_documents.go", "batch_rest.go", "batch_chunks.go", "known.go", "acl.go", "principal.go", "sweep.go":
		return !strings.Contains(sql, "FROM embedding_profile")
	case "embedtodo.go":
		return strings.Contains(sql, "embed_todo") && !strings.Contains(sql, "FROM embedding_profile")
	case "schedule.go":
		return strings.Contains(sql, "FROM schedule")
	case "runs.go":
		return strings.Contains(sql, "sync_run") && !strings.Contains(sql, "LIMIT $3")
	}
	return false
}
