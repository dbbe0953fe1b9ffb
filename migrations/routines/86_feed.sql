-- The feed: what a key with right export reads of the connections that it
-- lists, whole and with their ACLs. Its functions decide by the session's key
-- alone. What is hidden, and what lies in a connection that is closing or whose
-- time is over, never leaves.

-- outbox_wakes wakes whoever gives positions.
CREATE OR REPLACE FUNCTION tributary.outbox_wakes() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  PERFORM pg_notify('tributary_outbox', '');
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER outbox_wakes AFTER INSERT ON tributary.outbox
FOR EACH STATEMENT EXECUTE FUNCTION tributary.outbox_wakes();

-- membership_told writes to the outbox which pairs a statement touched, whoever
-- ran it. A connection that goes tells nothing: it is gone as a whole.
CREATE OR REPLACE FUNCTION tributary.membership_told() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO tributary.outbox (kind, connection_id, detail)
  SELECT 'membership', x.connection_id, jsonb_agg(jsonb_build_array(x.group_id, x.member_id))
  FROM (SELECT t.*, (row_number() OVER (PARTITION BY t.connection_id) - 1) / 1000 AS part FROM touched t
        JOIN tributary.connection c ON c.id = t.connection_id AND c.state <> 'closing') x
  GROUP BY x.connection_id, x.part;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER membership_added AFTER INSERT ON tributary.membership
REFERENCING NEW TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION tributary.membership_told();
CREATE OR REPLACE TRIGGER membership_removed AFTER DELETE ON tributary.membership
REFERENCING OLD TABLE AS touched FOR EACH STATEMENT EXECUTE FUNCTION tributary.membership_told();

-- connection_returns tells all of a connection again whose time was over and is
-- not any more: consumers have dropped it meanwhile.
CREATE OR REPLACE FUNCTION tributary.connection_returns() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  INSERT INTO tributary.outbox (kind, connection_id, document_id)
  SELECT 'show', NEW.id, d.id FROM tributary.document d WHERE d.connection_id = NEW.id AND d.hidden_reason IS NULL ORDER BY d.id;
  INSERT INTO tributary.outbox (kind, connection_id, detail)
  SELECT 'membership', NEW.id, jsonb_agg(jsonb_build_array(x.group_id, x.member_id))
  FROM (SELECT m.*, (row_number() OVER () - 1) / 1000 AS part FROM tributary.membership m WHERE m.connection_id = NEW.id) x
  GROUP BY x.part;
  RETURN NULL;
END
$$;
CREATE OR REPLACE TRIGGER connection_returns AFTER UPDATE OF expires_at, at_expiry ON tributary.connection
FOR EACH ROW WHEN (OLD.at_expiry = 'hide' AND OLD.expires_at <= tributary.clock()
  AND NOT (NEW.at_expiry = 'hide' AND NEW.expires_at IS NOT NULL AND NEW.expires_at <= tributary.clock()))
EXECUTE FUNCTION tributary.connection_returns();

-- feed_scope is what the session's key may read whole: the connections that it
-- lists and that may be read. known is false for every other session.
-- SECURITY: only a key of its own with right export and listed connections is
-- known; a key that stands for a reader is not.
CREATE OR REPLACE FUNCTION tributary.feed_scope(OUT known boolean, OUT conns uuid[])
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
  who record;
  listed uuid[];
  at timestamptz := tributary.clock();
BEGIN
  known := false; conns := '{}';
  SELECT * INTO who FROM tributary.session_identity();
  IF who.key_id IS NULL OR who.reader_id IS NOT NULL OR who.principals IS NOT NULL THEN RETURN; END IF;
  SELECT k.connections INTO listed FROM tributary.api_key k
  WHERE k.id = who.key_id AND k.mode = 'own' AND 'export' = ANY (k.rights) AND NOT k.all_connections
    AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > at);
  IF NOT FOUND THEN RETURN; END IF;
  known := true;
  SELECT coalesce(array_agg(c.id), '{}') INTO conns FROM tributary.connection c
  WHERE c.id = ANY (listed) AND c.state <> 'closing' AND c.realm_id IS NOT NULL
    AND NOT (c.at_expiry = 'hide' AND c.expires_at IS NOT NULL AND c.expires_at <= at);
END
$$;

-- feed_status says how far the feed is and what the key reads; it gives no row
-- where the session's key may not read the feed. covers says that what the key
-- named by former listed includes what this key lists.
CREATE OR REPLACE FUNCTION tributary.feed_status(former uuid)
RETURNS TABLE (key_id uuid, head bigint, dropped bigint, profile smallint, covers boolean, connections jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT i.key_id, h.position, h.dropped,
    (SELECT p.id FROM tributary.embedding_profile p WHERE p.state = 'active'),
    coalesce((SELECT f.connections @> k.connections FROM tributary.api_key f WHERE f.id = $1), false),
    coalesce((SELECT jsonb_agg(jsonb_build_object('id', c.id, 'name', c.name, 'source', c.source, 'permissions_as_of', c.permissions_as_of,
        'hide_after', c.permissions_as_of + c.max_permission_age,
        'stale', NOT coalesce(c.permissions_as_of > tributary.clock() - c.max_permission_age, false)) ORDER BY c.name)
      FROM tributary.connection c WHERE c.id = ANY (s.conns)), '[]')
  FROM tributary.feed_scope() s
  CROSS JOIN tributary.session_identity() i
  JOIN tributary.api_key k ON k.id = i.key_id
  CROSS JOIN tributary.feed_head h
  WHERE s.known
$$;

-- feed_changes are the rows of the outbox after a position and up to another.
CREATE OR REPLACE FUNCTION tributary.feed_changes(after bigint, upto bigint, most int)
RETURNS TABLE (place bigint, kind text, connection_id uuid, document_id uuid, added int[], removed int[], detail jsonb, chunks int)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT o.position, o.kind, o.connection_id, o.document_id, o.added, o.removed, o.detail,
    CASE WHEN o.kind IN ('revision', 'embed') THEN cardinality(o.added)
         WHEN o.kind IN ('show', 'hide') THEN (SELECT d.chunk_count FROM tributary.document d WHERE d.id = o.document_id) END
  FROM tributary.feed_scope() s
  JOIN tributary.outbox o ON o.connection_id = ANY (s.conns)
  WHERE o.position > $1 AND o.position <= $2 ORDER BY o.position LIMIT least($3, 10000)
$$;

-- feed_list is a page of the documents that may leave, by id.
CREATE OR REPLACE FUNCTION tributary.feed_list(after uuid, most int)
RETURNS TABLE (document_id uuid, chunks int)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
SET enable_sort = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
  SELECT d.id, d.chunk_count FROM tributary.document d
  WHERE ($1 IS NULL OR d.id > $1) AND d.hidden_reason IS NULL AND d.connection_id = ANY ((SELECT s.conns FROM tributary.feed_scope() s)::uuid[])
  ORDER BY d.id LIMIT least($2, 10000)
$$;

-- feed_documents are the documents that may leave among those named.
CREATE OR REPLACE FUNCTION tributary.feed_documents(ids uuid[])
RETURNS TABLE (document_id uuid, connection_id uuid, external_id text, revision int, title text, url text, path text, kind text,
  media_type text, lang text, source_updated_at timestamptz, acl bigint, chunk_ids int[], starts int[], ends int[], starts_cp int[], ends_cp int[])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT d.id, d.connection_id, d.external_id, d.revision, d.title, d.url, d.path, d.kind, d.media_type, d.lang, d.source_updated_at,
         d.acl_set_id, v.chunk_ids, v.starts, v.ends, v.starts_cp, v.ends_cp
  FROM tributary.feed_scope() s
  JOIN tributary.document d ON d.id = ANY ($1) AND d.connection_id = ANY (s.conns) AND d.hidden_reason IS NULL
  JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision
$$;

-- feed_chunks are chunks of documents that may leave: all of those of whole,
-- and of the others those that are named and stand.
CREATE OR REPLACE FUNCTION tributary.feed_chunks(whole uuid[], documents uuid[], chunks int[])
RETURNS TABLE (document_id uuid, chunk_id int, hash bytea, text text, context text, heading_path text[], tokens int, lang text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
  SELECT c.document_id, c.id, c.identity, c.text, c.context, c.heading_path, c.tokens, c.lang
  FROM (SELECT w.d, k.id FROM unnest($1) w (d) JOIN tributary.chunk k ON k.document_id = w.d
        UNION SELECT u.d, u.c FROM unnest($2, $3) u (d, c)) x (d, c)
  JOIN tributary.feed_documents($1 || $2) f ON f.document_id = x.d
  JOIN tributary.chunk c ON c.document_id = x.d AND c.id = x.c
$$;

-- feed_vectors are the vectors of chunks of documents that may leave.
CREATE OR REPLACE FUNCTION tributary.feed_vectors(profile smallint, documents uuid[], chunks int[])
RETURNS TABLE (document_id uuid, chunk_id int, embedding real[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM tributary.embedding_profile p WHERE p.id = profile) THEN RETURN; END IF;
  RETURN QUERY EXECUTE format(
    'SELECT v.document_id, v.chunk_id, v.v::real[]
     FROM unnest($1, $2) x (d, c)
     JOIN tributary.%I v ON v.document_id = x.d AND v.chunk_id = x.c
     JOIN tributary.feed_documents($1) f ON f.document_id = x.d', 'vec_' || profile)
  USING documents, chunks;
END
$$;

-- feed_sets are the entries of ACL sets that a document which may leave has. A
-- set without entries gives one row without principal.
CREATE OR REPLACE FUNCTION tributary.feed_sets(ids bigint[])
RETURNS TABLE (acl bigint, need_mask bigint, clause smallint, principal_id bigint, kind text, external_id text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT a.id, a.need_mask, e.clause, p.id, p.kind, p.external_id
  FROM tributary.feed_scope() s
  JOIN tributary.acl_set a ON a.id = ANY ($1)
    AND EXISTS (SELECT FROM tributary.document d WHERE d.acl_set_id = a.id AND d.connection_id = ANY (s.conns) AND d.hidden_reason IS NULL)
  LEFT JOIN tributary.acl_entry e ON e.set_id = a.id
  LEFT JOIN tributary.principal p ON p.id = e.principal_id
  ORDER BY a.id, e.clause, p.id
$$;

-- feed_members is a page of memberships, after one of them.
CREATE OR REPLACE FUNCTION tributary.feed_members(connection uuid, member bigint, grp bigint, most int)
RETURNS TABLE (connection_id uuid, member_id bigint, group_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT m.connection_id, m.member_id, m.group_id FROM tributary.feed_scope() s
  JOIN tributary.membership m ON m.connection_id = ANY (s.conns)
  WHERE (m.connection_id, m.member_id, m.group_id) > ($1, $2, $3)
  ORDER BY m.connection_id, m.member_id, m.group_id LIMIT least($4, 10000)
$$;

-- feed_pairs says of pairs whether they stand.
CREATE OR REPLACE FUNCTION tributary.feed_pairs(connections uuid[], groups bigint[], members bigint[])
RETURNS TABLE (connection_id uuid, group_id bigint, member_id bigint, stands boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT x.c, x.g, x.m, EXISTS (SELECT FROM tributary.membership m WHERE m.connection_id = x.c AND m.member_id = x.m AND m.group_id = x.g)
  FROM tributary.feed_scope() s
  JOIN (SELECT DISTINCT u.c, u.g, u.m FROM unnest($1, $2, $3) u (c, g, m)) x ON x.c = ANY (s.conns)
$$;

-- feed_principals is what a reader holds in each connection that the session's
-- key reads whole; known is false for a reader that is unknown or disabled.
CREATE OR REPLACE FUNCTION tributary.feed_principals(reader uuid, names text[], OUT known boolean, OUT conns uuid[], OUT held bigint[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
DECLARE
  s record;
  p record;
  seeds bigint[];
BEGIN
  known := false; conns := '{}'; held := '{}';
  SELECT * INTO s FROM tributary.feed_scope();
  IF NOT s.known OR NOT EXISTS (SELECT FROM tributary.reader r WHERE r.id = reader AND r.disabled_at IS NULL) THEN RETURN; END IF;
  known := true;
  SELECT coalesce(array_agg(l.principal_id), '{}') INTO seeds FROM tributary.reader_principal l WHERE l.reader_id = reader;
  SELECT * INTO p FROM tributary.search_closure(seeds, true, false, s.conns, names, NULL);
  conns := p.conns; held := p.held;
END
$$;
