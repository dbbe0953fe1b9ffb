package main

import (
	"context"
	"fmt"
)

// What stands in the store of runWeb besides its chunks.
const (
	webConnections = 500
	webRuns        = 100_000
	webPeople      = 5_000
	webGroups      = 1_000
)

// fillWeb stores connections, runs with their items, documents with their chunks, people, groups, readers, notices and
// what else pages list.
func fillWeb(ctx context.Context, s *server, db string, chunks int) error {
	for _, sql := range []string{
		`INSERT INTO tributary.realm (id, source, external_id) OVERRIDING SYSTEM VALUE SELECT n, 'folder', 'realm-' || n FROM generate_series(1, 10) n`,
		fmt.Sprintf(`INSERT INTO tributary.connection (name, source, realm_id, content_as_of, permissions_as_of)
			SELECT 'c-' || n, 'folder', 1 + n %% 10, tributary.clock(), tributary.clock() FROM generate_series(1, %d) n`, webConnections),
		`INSERT INTO tributary.schedule (connection_id, lane, every) SELECT c.id, l, interval '15 minutes' FROM tributary.connection c, unnest(ARRAY['content', 'permissions']) l ON CONFLICT DO NOTHING`,
		fmt.Sprintf(`INSERT INTO tributary.principal (realm_id, kind, external_id, name)
			SELECT 1 + n %% 10, CASE WHEN n <= %[1]d THEN 'user' ELSE 'group' END, 'p-' || n, 'Principal ' || n FROM generate_series(1, %[1]d + %[2]d) n`, webPeople, webGroups),
		`INSERT INTO tributary.membership (connection_id, member_id, group_id)
			SELECT c.id, u.id, g.id FROM tributary.principal g JOIN tributary.principal u ON u.realm_id = g.realm_id AND u.kind = 'user' AND (u.id + g.id) % 50 = 0
			JOIN LATERAL (SELECT id FROM tributary.connection k WHERE k.realm_id = g.realm_id ORDER BY k.name LIMIT 1) c ON true WHERE g.kind = 'group'`,
		`INSERT INTO tributary.acl_set (hash, need_mask) SELECT decode(lpad(to_hex(g.id), 16, '0'), 'hex'), 2 FROM tributary.principal g WHERE g.kind = 'group'`,
		`INSERT INTO tributary.acl_entry (set_id, principal_id, clause) SELECT s.id, g.id, 1 FROM tributary.principal g JOIN tributary.acl_set s ON s.hash = decode(lpad(to_hex(g.id), 16, '0'), 'hex') WHERE g.kind = 'group'`,
		fmt.Sprintf(`INSERT INTO tributary.sync_run (connection_id, lane, kind, state, cause, selection_version, queued_at, started_at, finished_at, counts)
			SELECT c.id, CASE WHEN n %% 2 = 0 THEN 'content' ELSE 'permissions' END, CASE WHEN n %% 2 = 0 THEN 'snapshot' ELSE 'permissions' END,
				CASE WHEN n %% 50 = 0 THEN 'failed' WHEN n %% 20 = 0 THEN 'partial' ELSE 'succeeded' END, 'schedule', 1,
				tributary.clock() - n * interval '1 minute', tributary.clock() - n * interval '1 minute', tributary.clock() - n * interval '59 seconds', '{"listed": 200, "added": 3, "updated": 2}'
			FROM generate_series(1, %d) n JOIN LATERAL (SELECT id FROM tributary.connection k WHERE k.name = 'c-' || (1 + n %% %d)) c ON true`, webRuns, webConnections),
		documentsSQL(chunks / chunksPerDoc),
		`VACUUM ANALYZE`,
	} {
		if err := s.exec(ctx, db, sql); err != nil {
			return err
		}
	}
	return nil
}

// documentsSQL stores documents of ten chunks each.
func documentsSQL(documents int) string {
	return fmt.Sprintf(`
		CREATE TEMP TABLE place AS SELECT row_number() OVER (ORDER BY name) - 1 AS n, id, realm_id FROM tributary.connection;
		CREATE INDEX ON place (n);
		CREATE TEMP TABLE sets AS SELECT row_number() OVER (ORDER BY id) - 1 AS n, id FROM tributary.acl_set WHERE id > 0;
		CREATE INDEX ON sets (n);
		CREATE TEMP TABLE made AS SELECT gen_random_uuid() AS id, n FROM generate_series(1, %[1]d) n;
		INSERT INTO tributary.document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind, media_type, lang, author, metadata,
				acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
			SELECT m.id, p.id, 'd-' || m.n, '1', '\x01', 1, 'Document ' || m.n, 'https://bench.invalid/' || m.n, '/folder-' || m.n %% 97 || '/document-' || m.n || '.md', '', 'page', 'text/markdown', 'english', '', '{}',
				s.id, 1, %[2]d, %[2]d + 1, clock_timestamp(), clock_timestamp()
			FROM made m JOIN place p ON p.n = m.n %% %[3]d JOIN sets s ON s.n = m.n %% %[4]d;
		INSERT INTO tributary.revision (document_id, number, source_revision, content_hash, run_id, extractor, chunker, created_at, text, chunk_ids, starts, ends, starts_cp, ends_cp)
			SELECT m.id, 1, '1', '\x01', r.id, '', '', clock_timestamp(), repeat('This chunk says what it has to say about its subject.' || E'\n\n', %[2]d), x.ids, x.starts, x.ends, x.starts, x.ends
			FROM made m JOIN place p ON p.n = m.n %% %[3]d
			JOIN LATERAL (SELECT id FROM tributary.sync_run r WHERE r.connection_id = p.id ORDER BY queued_at DESC LIMIT 1) r ON true,
				(SELECT array_agg(k) AS ids, array_agg((k - 1) * 55) AS starts, array_agg((k - 1) * 55 + 53) AS ends FROM generate_series(1, %[2]d) k) x;
		INSERT INTO tributary.chunk (document_id, id, identity, text, context, heading_path, tokens, lang)
			SELECT m.id, k, decode(md5(m.n || '-' || k), 'hex'), 'This chunk says what it has to say about its subject.', '', '{}', 12, 'english' FROM made m, generate_series(1, %[2]d) k`, documents, chunksPerDoc, webConnections, webGroups)
}
