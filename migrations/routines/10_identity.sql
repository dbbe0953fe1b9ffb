-- Who asks, and what they hold. None of these functions takes a reader as an
-- argument: identity comes from the session alone.

-- session_identity says for whom this session asks. The settings
-- tributary.reader, tributary.key and tributary.principals are honoured only
-- where session_user is the service's own login; every other login is the
-- reader that sql_login maps it to. NULL and '' name nobody.
CREATE OR REPLACE FUNCTION tributary.session_identity(OUT reader_id uuid, OUT key_id uuid, OUT principals bigint[])
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
BEGIN
  IF session_user = (SELECT s.value FROM tributary.setting s WHERE s.key = 'role.app') THEN
    reader_id := nullif(current_setting('tributary.reader', true), '')::uuid;
    key_id := nullif(current_setting('tributary.key', true), '')::uuid;
    principals := nullif(current_setting('tributary.principals', true), '')::bigint[];
  ELSE
    SELECT l.reader_id INTO session_identity.reader_id FROM tributary.sql_login l WHERE l.login = session_user;
  END IF;
END
$$;

-- current_reader is the reader for whom this session asks, NULL for nobody, for
-- a bare principal and for a disabled reader.
CREATE OR REPLACE FUNCTION tributary.current_reader() RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT r.id FROM tributary.session_identity() i JOIN tributary.reader r ON r.id = i.reader_id
  WHERE r.disabled_at IS NULL
$$;

-- session_seeds is what the session's identity holds before memberships count:
-- principals, whether public principals are held too, and the connections
-- that a key allows. Only five combinations name somebody: a reader, a reader
-- with a key bound to it, a reader with a key that names readers (by assertion
-- or trusted), a key of its own without reader, and bare principals.
-- SECURITY: anything else, a disabled reader and a revoked or expired key hold
-- nothing.
CREATE OR REPLACE FUNCTION tributary.session_seeds(
  OUT known boolean, OUT seeds bigint[], OUT everybody boolean, OUT all_connections boolean, OUT connections uuid[])
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
  who record;
  bound record;
BEGIN
  known := false; seeds := '{}'; everybody := false; all_connections := false; connections := '{}';
  SELECT * INTO who FROM tributary.session_identity();
  IF who.principals IS NOT NULL AND (who.reader_id IS NOT NULL OR who.key_id IS NOT NULL) THEN RETURN; END IF;
  IF who.key_id IS NOT NULL THEN
    SELECT k.mode, k.reader_id, k.principal_id, k.all_connections, k.connections INTO bound
    FROM tributary.api_key k
    WHERE k.id = who.key_id AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > tributary.clock());
    IF NOT FOUND THEN RETURN; END IF;
    CASE bound.mode
      WHEN 'bound' THEN IF bound.reader_id IS DISTINCT FROM who.reader_id OR who.reader_id IS NULL THEN RETURN; END IF;
      WHEN 'assertion', 'trusted' THEN IF who.reader_id IS NULL THEN RETURN; END IF;
      WHEN 'own' THEN IF who.reader_id IS NOT NULL THEN RETURN; END IF;
      ELSE RETURN;
    END CASE;
    all_connections := bound.all_connections;
    connections := bound.connections;
    IF who.reader_id IS NULL THEN
      known := true;
      seeds := array_remove(ARRAY[bound.principal_id], NULL);
      RETURN;
    END IF;
  ELSE
    all_connections := true;
  END IF;
  IF who.reader_id IS NOT NULL THEN
    PERFORM FROM tributary.reader r WHERE r.id = who.reader_id AND r.disabled_at IS NULL;
    IF NOT FOUND THEN RETURN; END IF;
    SELECT coalesce(array_agg(rp.principal_id), '{}') INTO seeds
    FROM tributary.reader_principal rp WHERE rp.reader_id = who.reader_id;
  ELSIF who.principals IS NOT NULL THEN
    seeds := array_remove(who.principals, NULL);
  ELSE
    RETURN;
  END IF;
  known := true;
  everybody := true;
END
$$;

-- search_closure is P: for every connection that may be asked (allowed by the
-- key, named by the filters, not closing, permissions young enough), the
-- closure of seeds over that connection's own membership rows. A principal
-- of another realm than the connection's never counts. Where documents are
-- pushed, every user of the realm is anyone of it: no source lists them. conns numbers the
-- connections from 1; an element of held is principal << 16 | number. too_old
-- says that a connection in which a seed lives is hidden by the age of its
-- permissions.
CREATE OR REPLACE FUNCTION tributary.search_closure(
  seeds bigint[], everybody boolean, all_connections boolean, connections uuid[], names text[], sources text[],
  OUT conns uuid[], OUT held bigint[], OUT too_old boolean)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  who record;
  at timestamptz := tributary.clock();
BEGIN
  conns := '{}'; held := '{}'; too_old := false;
  SELECT $1 AS seeds, $2 AS everybody, $3 AS all_connections, $4 AS connections INTO who;
  WITH RECURSIVE asked AS MATERIALIZED (
    SELECT c.id, c.realm_id, c.source = 'push' AS pushed, coalesce(c.permissions_as_of > at - c.max_permission_age, false) AS young
    FROM tributary.connection c
    WHERE c.state <> 'closing' AND c.realm_id IS NOT NULL
      AND NOT (c.at_expiry = 'hide' AND c.expires_at IS NOT NULL AND c.expires_at <= at)
      AND (who.all_connections OR c.id = ANY (who.connections))
      AND (names IS NULL OR c.name = ANY (names) OR c.id::text = ANY (names))
      AND (sources IS NULL OR c.source = ANY (sources))
  ), p (conn, realm_id, principal_id) AS (
    (SELECT a.id, a.realm_id, s.id
     FROM tributary.principal s JOIN asked a ON a.realm_id = s.realm_id
     WHERE s.id = ANY (who.seeds) AND a.young
     UNION
     SELECT a.id, a.realm_id, s.id
     FROM asked a JOIN tributary.principal s ON s.realm_id = a.realm_id AND s.kind = 'public'
     WHERE who.everybody AND a.young
     UNION
     SELECT a.id, a.realm_id, y.id
     FROM tributary.principal s JOIN asked a ON a.realm_id = s.realm_id
     JOIN tributary.principal y ON y.realm_id = a.realm_id AND y.kind = 'anyone'
     WHERE s.id = ANY (who.seeds) AND s.kind = 'user' AND a.pushed AND a.young)
    UNION
    SELECT p.conn, p.realm_id, g.id
    FROM p
    JOIN tributary.membership m ON m.connection_id = p.conn AND m.member_id = p.principal_id
    JOIN tributary.principal g ON g.id = m.group_id AND g.realm_id = p.realm_id
  ), numbered AS (
    SELECT p.conn, p.principal_id, dense_rank() OVER (ORDER BY p.conn) AS n FROM p
  )
  SELECT coalesce((SELECT array_agg(x.conn ORDER BY x.n) FROM (SELECT DISTINCT n.conn, n.n FROM numbered n) x), '{}'),
         coalesce((SELECT array_agg(n.principal_id << 16 | n.n ORDER BY n.n, n.principal_id) FROM numbered n), '{}'),
         EXISTS (SELECT FROM asked a JOIN tributary.principal s ON s.realm_id = a.realm_id AND s.id = ANY (who.seeds)
                 WHERE NOT a.young)
  INTO conns, held, too_old;
  IF cardinality(conns) > 65535 THEN
    RAISE EXCEPTION 'filters.connection: name at most 65535 connections' USING ERRCODE = '22023';
  END IF;
END
$$;

-- search_scope is what the session's identity holds; see search_closure.
CREATE OR REPLACE FUNCTION tributary.search_scope(names text[], sources text[],
  OUT conns uuid[], OUT held bigint[], OUT too_old boolean)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  who record;
  s record;
BEGIN
  conns := '{}'; held := '{}'; too_old := false;
  SELECT * INTO who FROM tributary.session_seeds();
  IF NOT who.known THEN RETURN; END IF;
  SELECT * INTO s FROM tributary.search_closure(who.seeds, who.everybody, who.all_connections, who.connections, names, sources);
  conns := s.conns; held := s.held; too_old := s.too_old;
END
$$;
