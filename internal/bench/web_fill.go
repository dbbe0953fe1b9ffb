package main

import (
	"context"
	"fmt"

	"tributary/oauthflow"
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
	profile, err := webProfile()
	if err != nil {
		return err
	}
	for _, sql := range []string{
		`INSERT INTO tributary.realm (id, source, external_id) OVERRIDING SYSTEM VALUE SELECT n, 'folder', 'realm-' || n FROM generate_series(1, 10) n`,
		fmt.Sprintf(`INSERT INTO tributary.connection (name, source, realm_id, content_as_of, permissions_as_of)
			SELECT 'c-' || n, 'folder', 1 + n %% 10, tributary.clock(), tributary.clock() FROM generate_series(1, %d) n`, webConnections),
		`INSERT INTO tributary.schedule (connection_id, lane, every, next_run_at) SELECT c.id, l, interval '15 minutes', tributary.clock() + interval '1 day' FROM tributary.connection c, unnest(ARRAY['content', 'permissions']) l ON CONFLICT DO NOTHING`,
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
				tributary.clock() - n * interval '9 seconds', tributary.clock() - n * interval '9 seconds', tributary.clock() - n * interval '8.9 seconds', '{"listed": 200, "added": 3, "updated": 2}'
			FROM generate_series(1, %d) n JOIN LATERAL (SELECT id FROM tributary.connection k WHERE k.name = 'c-' || (1 + n %% %d)) c ON true`, webRuns, webConnections),
		documentsSQL(chunks / chunksPerDoc), vectorsSQL,
		peopleSQL(), aroundSQL(), grantsSQL(profile),
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
			SELECT m.id, p.id, 'd-' || m.n, '1', '\x01', 1, CASE WHEN m.n %% 2 = 0 THEN 'Document ' WHEN m.n < %[1]d / 2 THEN 'Oldest document ' ELSE 'A document ' END || m.n, 'https://bench.invalid/' || m.n, '/folder-' || m.n %% 97 || '/document-' || m.n || '.md', '', 'page', 'text/markdown', 'english', '', '{}',
				s.id, 1, %[2]d, %[2]d + 1, clock_timestamp(), clock_timestamp() - (%[1]d - m.n) * interval '1 second'
			FROM made m JOIN place p ON p.n = m.n %% %[3]d JOIN sets s ON s.n = m.n %% %[4]d;
		INSERT INTO tributary.revision (document_id, number, source_revision, content_hash, run_id, extractor, chunker, created_at, text, chunk_ids, starts, ends, starts_cp, ends_cp)
			SELECT m.id, 1, '1', '\x01', r.id, '', '', clock_timestamp(), repeat('This chunk says what it has to say about its subject.' || E'\n\n', %[2]d), x.ids, x.starts, x.ends, x.starts, x.ends
			FROM made m JOIN place p ON p.n = m.n %% %[3]d
			JOIN LATERAL (SELECT id FROM tributary.sync_run r WHERE r.connection_id = p.id ORDER BY queued_at DESC LIMIT 1) r ON true,
				(SELECT array_agg(k) AS ids, array_agg((k - 1) * 55) AS starts, array_agg((k - 1) * 55 + 53) AS ends FROM generate_series(1, %[2]d) k) x;
		INSERT INTO tributary.chunk (document_id, id, identity, text, context, heading_path, tokens, lang)
			SELECT m.id, k, decode(md5(m.n || '-' || k), 'hex'), 'This chunk says what it has to say about its subject, ' || m.n || '.', '', '{}', 12, 'english' FROM made m, generate_series(1, %[2]d) k`, documents, chunksPerDoc, webConnections, webGroups)
}

// vectorsSQL gives every chunk a vector, so that nothing is embedded while pages are looked at. No page asks for the
// nearest: they have no index.
const vectorsSQL = `DROP INDEX tributary.vec_1_hnsw;
	INSERT INTO tributary.vec_1 (document_id, chunk_id, input_hash, v)
		SELECT c.document_id, c.id, c.identity, x.v FROM tributary.chunk c, (SELECT array_agg(0.05::real)::public.halfvec AS v FROM generate_series(1, 384)) x;
	UPDATE tributary.embedding_profile SET filled = true`

// peopleSQL stores readers, of whom every fifth is linked to nobody, and keys.
func peopleSQL() string {
	return fmt.Sprintf(`
		INSERT INTO tributary.reader (name) SELECT 'reader-' || n FROM generate_series(1, %[1]d) n;
		INSERT INTO tributary.reader_principal (reader_id, principal_id, how)
			SELECT r.id, p.id, 'manual' FROM generate_series(1, %[1]d) n JOIN tributary.reader r ON r.name = 'reader-' || n JOIN tributary.principal p ON p.external_id = 'p-' || n WHERE n %% 5 > 0;
		INSERT INTO tributary.principal_email (connection_id, principal_id, email, verified)
			SELECT DISTINCT ON (m.member_id) m.connection_id, m.member_id, p.external_id || '@example.com', true
			FROM tributary.membership m JOIN tributary.principal p ON p.id = m.member_id ORDER BY m.member_id, m.connection_id;
		INSERT INTO tributary.reader_email (reader_id, email, how) SELECT r.id, r.name || '@example.com', 'import' FROM tributary.reader r;
		INSERT INTO tributary.api_key (name, secret_hash, hint, reader_id, rights)
			SELECT 'key-' || n, decode(md5('key' || n), 'hex'), 'abcd', r.id, '{search,documents}' FROM generate_series(1, 2000) n JOIN tributary.reader r ON r.name = 'reader-' || n;
		INSERT INTO tributary.account (name, role) SELECT 'account-' || n, 'auditor' FROM generate_series(1, 200) n`, webPeople)
}

// aroundSQL stores what happens around documents: events, notices, jobs, what was held, quarantined, erased and read.
func aroundSQL() string {
	return `
		INSERT INTO tributary.audit_event (at, actor_kind, actor, authenticated, action, target_kind, target, outcome)
			SELECT tributary.clock() - n * interval '1 second', 'account', 'account-' || n % 200, true, CASE n % 9 WHEN 0 THEN 'connection.sync' WHEN 1 THEN 'key.create' ELSE 'session.create' END,
				'connection', 'c-' || n % 500, 'ok' FROM generate_series(1, 200000) n;
		INSERT INTO tributary.read_event (at, reader_id, tool, documents, query)
			SELECT tributary.clock() - n * interval '10 seconds', r.id, 'search', '{}', 'subject' FROM generate_series(1, 100000) n JOIN tributary.reader r ON r.name = 'reader-' || 1 + n % 5000;
		INSERT INTO tributary.notice (connection_id, code, severity, detail, remedy, cleared_at)
			SELECT c.id, 'run_stuck', 'warning', 'a run stands still', 'look at it', CASE WHEN n > 1 THEN tributary.clock() END FROM tributary.connection c, generate_series(1, 20) n;
		INSERT INTO tributary.quarantine (connection_id, external_id, path, source_revision, class, reason, run_id)
			SELECT c.id, 'q-' || n, '/bad/' || n, '1', 'transient', 'cannot be read', gen_random_uuid() FROM tributary.connection c, generate_series(1, 20000) n WHERE c.name = 'c-1';
		INSERT INTO tributary.deletion_hold (connection_id, run_id, listing, reason, documents, total)
			SELECT c.id, gen_random_uuid(), 1, 'many', 100, 200 FROM tributary.connection c WHERE c.name = 'c-1';
		UPDATE tributary.document d SET hidden_reason = 'absent', hidden_at = tributary.clock() FROM tributary.connection c WHERE c.id = d.connection_id AND c.name = 'c-1';
		INSERT INTO tributary.held_document (hold_id, document_id) SELECT h.id, d.id FROM tributary.deletion_hold h JOIN tributary.document d ON d.connection_id = h.connection_id;
		INSERT INTO tributary.erasure (connection_id, connection, source, scope, state, requested_by, finished_at)
			SELECT c.id, c.name, c.source, 'document', 'done', 'account-1', tributary.clock() FROM tributary.connection c;
		INSERT INTO tributary.run_item (run_id, op, connection_id, external_id, path, reason)
			SELECT r.id, 'refused', r.connection_id, 'q-' || n, '/bad/' || n, 'cannot be read'
			FROM (SELECT r.* FROM tributary.sync_run r JOIN tributary.connection c ON c.id = r.connection_id WHERE c.name = 'c-1' ORDER BY queued_at DESC LIMIT 1) r, generate_series(1, 20000) n;
		INSERT INTO tributary.run_event (run_id, level, code, message)
			SELECT run_id, 'info', 'slice_started', 'slice ' || n FROM (SELECT DISTINCT run_id FROM tributary.run_item) r, generate_series(1, 2000) n;
		INSERT INTO river.river_job (kind, args, max_attempts, state, queue, attempt, finalized_at)
			SELECT 'sync_slice', '{}', 1, CASE WHEN n % 100 = 0 THEN 'discarded' ELSE 'completed' END::river.river_job_state, 'default', 1, now() FROM generate_series(1, 50000) n`
}

// webProfile is the profile of the registrations that pages list.
func webProfile() ([]byte, error) {
	raw, err := oauthflow.StoreProfile(&oauthflow.Profile{
		Name: "bench", Title: "Bench", Hosting: oauthflow.HostingFixed, Grants: []oauthflow.GrantType{oauthflow.GrantCode}, ClientAuth: oauthflow.AuthPost, PKCE: oauthflow.PKCES256,
		Endpoints: oauthflow.Endpoints{Authorize: "https://id.bench.invalid/a", Token: "https://id.bench.invalid/t"}, //nolint:gosec // addresses
		Request:   oauthflow.TokenRequest{Body: oauthflow.BodyForm},
		Scopes:    oauthflow.ScopeRule{Separator: " ", AnswerSeparator: " "}, Refresh: oauthflow.RefreshRule{Rotation: oauthflow.RotationStrict},
		Revocation: oauthflow.Revocation{Style: oauthflow.RevokeNone}, GrantPer: oauthflow.PerAccount,
	})
	if err != nil {
		return nil, fmt.Errorf("making a profile: %w", err)
	}
	return raw, nil
}

// grantsSQL stores registrations, and a grant for each of 200 connections.
func grantsSQL(profile []byte) string {
	return fmt.Sprintf(`
		INSERT INTO tributary.client_registration (name, provider, profile, endpoints_digest, redirect_uri, client_id, state)
			SELECT 'registration-' || n, 'bench', $profile$%s$profile$, '', '', 'c', 'active' FROM generate_series(1, 20) n;
		INSERT INTO tributary.oauth_grant (registration_id, kind, subject, account, scopes)
			SELECT r.id, 'authorization_code', r.name || n, 'account ' || n, '{read}' FROM tributary.client_registration r, generate_series(1, 10) n;
		INSERT INTO tributary.credential (grant_id, at_expires, refreshable, next_try) SELECT id, tributary.clock() + interval '1 year', false, tributary.clock() + interval '1 year' FROM tributary.oauth_grant;
		UPDATE tributary.connection c SET grant_id = g.id FROM (SELECT id, row_number() OVER (ORDER BY id) AS n FROM tributary.oauth_grant) g WHERE c.name = 'c-' || g.n`, profile)
}
