-- The search itself: lists, fusion, and the facts of the answer.

-- search_vector is the vector list by the plan that fits: exact while the
-- visible chunks are few, HNSW otherwise, and exact again where HNSW was thin
-- or short.
CREATE OR REPLACE FUNCTION tributary.search_vector(
  qvec public.halfvec, profile smallint, ids uuid[], seen bigint,
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb,
  depth int, options jsonb,
  OUT documents uuid[], OUT chunks int[], OUT distances float8[], OUT plan text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  near record;
  stored float8;
BEGIN
  plan := 'exact';
  IF ids IS NULL THEN
    SELECT greatest(c.reltuples, seen) INTO stored FROM pg_catalog.pg_class c
    WHERE c.oid = to_regclass(format('tributary.%I', 'vec_' || profile));
    SELECT * INTO near FROM tributary.search_vector_near(
      qvec, profile, conns, held, types, paths, updated_after, contains, depth, seen / stored,
      tributary.search_option(options, 'thin_after', 2000, 1, 1000000),
      tributary.search_option(options, 'ef_search', 300, 1, 1000));
    IF near.good THEN
      SELECT array_agg(x.d ORDER BY x.v, x.d, x.c), array_agg(x.c ORDER BY x.v, x.d, x.c), array_agg(x.v ORDER BY x.v, x.d, x.c)
      INTO documents, chunks, distances
      FROM (SELECT u.* FROM unnest(near.documents, near.chunks, near.distances) u (d, c, v) ORDER BY u.v, u.d, u.c LIMIT depth) x;
      plan := 'iterative';
      RETURN;
    END IF;
    plan := 'iterative, then exact';
  END IF;
  SELECT coalesce(array_agg(x.document_id ORDER BY x.n), '{}'), coalesce(array_agg(x.chunk_id ORDER BY x.n), '{}'),
         coalesce(array_agg(x.distance ORDER BY x.n), '{}')
  INTO documents, chunks, distances
  FROM (SELECT e.*, row_number() OVER () AS n
        FROM tributary.search_vector_exact(qvec, profile, ids, conns, held, types, paths, updated_after, contains, depth) e) x;
END
$$;

-- search_weights is what each list of a hybrid search counts: 0 leaves it out.
CREATE OR REPLACE FUNCTION tributary.search_weights(options jsonb, OUT keyword float8, OUT vector float8, OUT heading float8)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  w jsonb := coalesce(nullif(options -> 'weights', 'null'), '{}');
  bad text;
BEGIN
  keyword := 1; vector := 1; heading := 1;
  IF w = '{}' THEN RETURN; END IF;
  IF jsonb_typeof(w) <> 'object' THEN PERFORM tributary.bad_input('weights', 'must be an object of keyword, vector and heading'); END IF;
  SELECT min(x.key) INTO bad FROM jsonb_each(w) x WHERE x.key NOT IN ('keyword', 'vector', 'heading');
  IF bad IS NOT NULL THEN
    PERFORM tributary.bad_input('weights', format('%s is not a list; use keyword, vector or heading', left(to_json(bad)::text, 80)));
  END IF;
  SELECT min(x.key) INTO bad FROM jsonb_each(w) x
  WHERE x.value <> 'null' AND CASE WHEN jsonb_typeof(x.value) = 'number' THEN x.value::numeric NOT BETWEEN 0 AND 10 ELSE true END;
  IF bad IS NOT NULL THEN PERFORM tributary.bad_input('weights.' || bad, 'must be a number from 0 to 10'); END IF;
  keyword := coalesce((w ->> 'keyword')::float8, 1);
  vector := coalesce((w ->> 'vector')::float8, 1);
  heading := coalesce((w ->> 'heading')::float8, 1);
  IF keyword + vector + heading = 0 THEN PERFORM tributary.bad_input('weights', 'must not all be 0'); END IF;
END
$$;

DROP FUNCTION IF EXISTS tributary.search_fuse(text, uuid[], int[], float8[], float8[], uuid[], int[], float8[]);

-- search_fuse merges the lists by reciprocal rank (Cormack, Clarke and
-- Büttcher, SIGIR 2009): a place n in a list gives weight / (rrf_k + n). The
-- keyword matches under a heading or title that says what was asked are a third
-- list, so that a place named in the question outranks places that use its
-- words. Of documents that are one item of the source seen through several
-- connections, the one that stands first is kept. Chunks of equal score stand
-- in the order of keyword score, distance and id.
CREATE OR REPLACE FUNCTION tributary.search_fuse(
  mode text, kw_documents uuid[], kw_chunks int[], kw_scores float8[], headings float8[],
  vec_documents uuid[], vec_chunks int[], distances float8[], keyword float8, vector float8, heading float8, rrf_k int)
RETURNS TABLE (document_id uuid, chunk_id int, score float8, keyword_score float8, distance float8)
LANGUAGE sql STABLE ROWS 100
AS $$
  WITH fused AS (
    SELECT coalesce(k.d, v.d) AS d, coalesce(k.c, v.c) AS c, k.s AS ks, v.s AS vs,
           CASE $1 WHEN 'keyword' THEN k.s WHEN 'vector' THEN 1 - v.s
                   ELSE coalesce($9 / ($12 + k.n), 0) + coalesce($10 / ($12 + v.n), 0)
                     + CASE WHEN k.h >= 0.6 THEN $11 / ($12 + k.named) ELSE 0 END END AS score
    FROM (SELECT x.* FROM (SELECT u.*, count(*) FILTER (WHERE u.h >= 0.6) OVER (ORDER BY u.n) AS named
                           FROM unnest($2, $3, $4, $5) WITH ORDINALITY u (d, c, s, h, n)) x
          WHERE $1 <> 'hybrid' OR $9 > 0 OR x.h >= 0.6) k
    FULL JOIN unnest($6, $7, $8) WITH ORDINALITY v (d, c, s, n) ON v.d = k.d AND v.c = k.c
  ), placed AS (
    SELECT f.*, row_number() OVER (ORDER BY f.score DESC, f.ks DESC NULLS LAST, f.vs, f.d, f.c) AS n,
           n.source, n.realm_id, x.external_id
    FROM fused f
    JOIN tributary.document x ON x.id = f.d
    JOIN tributary.connection n ON n.id = x.connection_id
  ), chosen AS (
    SELECT p.*, first_value(p.d) OVER (PARTITION BY p.source, p.realm_id, p.external_id ORDER BY p.n) AS winner FROM placed p
  )
  SELECT c.d, c.c, c.score, c.ks, c.vs FROM chosen c WHERE c.d = c.winner ORDER BY c.n
$$;

-- search_run runs both lists deep enough for k results and fuses them. cut
-- says that more matches exist than were ranked.
CREATE OR REPLACE FUNCTION tributary.search_run(
  query text, qvec public.halfvec, profile smallint, mode text, k int, ids uuid[], seen bigint,
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, options jsonb,
  OUT documents uuid[], OUT chunks int[], OUT scores float8[], OUT keyword_scores float8[], OUT distances float8[],
  OUT plan text, OUT cut boolean)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  depth int := greatest(tributary.search_option(options, 'overfetch', 50, 1, 10000), 2 * k);
  most int := tributary.search_option(options, 'match_cap', 30000, 1, 10000000);
  kd uuid[]; kc int[]; ks float8[]; kh float8[];
  rrf_k int := tributary.search_option(options, 'rrf_k', 60, 1, 1000);
  v record;
  w record;
  met int;
BEGIN
  SELECT * INTO w FROM tributary.search_weights(options);
  LOOP
    met := 0;
    kd := '{}'; kc := '{}'; ks := '{}'; kh := '{}'; cut := false; plan := 'none';
    IF mode = 'keyword' OR mode = 'hybrid' AND w.keyword + w.heading > 0 THEN
      SELECT coalesce(array_agg(x.document_id ORDER BY x.n), '{}'), coalesce(array_agg(x.chunk_id ORDER BY x.n), '{}'),
             coalesce(array_agg(x.score ORDER BY x.n), '{}'), coalesce(array_agg(x.heading ORDER BY x.n), '{}'),
             coalesce(bool_or(x.cut), false)
      INTO kd, kc, ks, kh, cut
      FROM (SELECT q.*, row_number() OVER () AS n
            FROM tributary.search_keyword(query, ids, conns, held, types, paths, updated_after, contains, depth,
              greatest(most, depth), tributary.search_option(options, 'common', 1000, 1, 1000000)) q) x;
    END IF;
    SELECT '{}'::uuid[] AS documents, '{}'::int[] AS chunks, '{}'::float8[] AS distances, 'none'::text AS plan INTO v;
    IF qvec IS NOT NULL AND (mode = 'vector' OR mode = 'hybrid' AND w.vector > 0) THEN
      SELECT * INTO v FROM tributary.search_vector(
        qvec, profile, ids, seen, conns, held, types, paths, updated_after, contains, depth, options);
      met := cardinality(v.documents);
      IF mode = 'hybrid' THEN
        SELECT x.documents, x.chunks, x.distances, v.plan INTO v FROM tributary.search_keep(query, v.documents, v.chunks, v.distances) x;
      END IF;
    END IF;
    plan := v.plan;
    SELECT coalesce(array_agg(f.document_id ORDER BY f.n), '{}'), coalesce(array_agg(f.chunk_id ORDER BY f.n), '{}'),
           coalesce(array_agg(f.score ORDER BY f.n), '{}'), coalesce(array_agg(f.keyword_score ORDER BY f.n), '{}'),
           coalesce(array_agg(f.distance ORDER BY f.n), '{}')
    INTO documents, chunks, scores, keyword_scores, distances
    FROM (SELECT u.*, row_number() OVER () AS n
          FROM tributary.search_fuse(mode, kd, kc, ks, kh, v.documents, v.chunks, v.distances,
            w.keyword, w.vector, w.heading, rrf_k) u) f
    WHERE f.n <= k;
    EXIT WHEN cardinality(documents) >= k OR (cardinality(kd) < depth AND met < depth);
    depth := depth * 4;
  END LOOP;
END
$$;

-- search_pending counts the visible chunks that wait for a vector of the
-- profile, up to most.
CREATE OR REPLACE FUNCTION tributary.search_pending(
  profile smallint, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, most int)
RETURNS bigint
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  n bigint;
BEGIN
  IF NOT EXISTS (SELECT FROM tributary.embed_todo t WHERE t.profile_id = profile) THEN RETURN 0; END IF;
  IF ids IS NOT NULL THEN
    SELECT count(*) INTO n FROM tributary.embed_todo t JOIN unnest(ids) d (id) ON d.id = t.document_id WHERE t.profile_id = profile;
  ELSE
    SELECT count(*) INTO n FROM (
      SELECT FROM tributary.embed_todo t
      CROSS JOIN LATERAL tributary.search_allows(t.document_id, conns, held, types, paths, updated_after, contains) a
      WHERE t.profile_id = profile LIMIT most) x;
  END IF;
  RETURN n;
END
$$;

DROP FUNCTION IF EXISTS tributary.search_freshness(uuid[], bigint[]);

-- search_freshness says, for the connections of which the reader sees at least
-- one document, how old their permissions are, and whether one is stale: older
-- than twice its permissions interval. answered are documents that the reader
-- was found to see: their connections are not asked again.
CREATE OR REPLACE FUNCTION tributary.search_freshness(answered uuid[], conns uuid[], held bigint[], OUT as_of jsonb, OUT stale boolean)
LANGUAGE plpgsql STABLE
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
  seen uuid[] := ARRAY(SELECT DISTINCT d.connection_id FROM unnest(answered) a JOIN tributary.document d ON d.id = a);
  n int;
  part bigint[];
  c record;
BEGIN
  as_of := '{}'; stale := false;
  FOR n IN 1 .. cardinality(conns) LOOP
    IF conns[n] <> ALL (seen) THEN
      SELECT array_agg(h) INTO part FROM unnest(held) h WHERE h & 65535 = n;
      PERFORM FROM tributary.visible_stream(conns, part) LIMIT 1;
      CONTINUE WHEN NOT FOUND;
    END IF;
    SELECT x.name, x.permissions_as_of,
           x.permissions_as_of < tributary.clock() - 2 * (SELECT s.every FROM tributary.schedule s
             WHERE s.connection_id = x.id AND s.lane = 'permissions') AS old
    INTO c FROM tributary.connection x WHERE x.id = conns[n];
    as_of := as_of || jsonb_build_object(c.name, c.permissions_as_of);
    stale := stale OR coalesce(c.old, false);
  END LOOP;
END
$$;

-- search_check complains of what search cannot work with.
CREATE OR REPLACE FUNCTION tributary.search_check(query text, qvec public.halfvec, profile smallint, mode text, k int, options jsonb)
RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  n int;
  bad text;
BEGIN
  IF mode IS NULL OR mode NOT IN ('hybrid', 'vector', 'keyword') THEN
    PERFORM tributary.bad_input('mode', 'must be hybrid, vector or keyword');
  END IF;
  IF k IS NULL OR k NOT BETWEEN 1 AND 1001 THEN PERFORM tributary.bad_input('k', 'must be 1 to 1000'); END IF;
  IF mode <> 'vector' AND (query IS NULL OR query !~ '\S') THEN PERFORM tributary.bad_input('query', 'must not be empty'); END IF;
  IF length(query) > 10000 THEN PERFORM tributary.bad_input('query', 'must have at most 10000 characters'); END IF;
  IF mode = 'vector' AND qvec IS NULL THEN PERFORM tributary.bad_input('qvec', 'is needed in mode vector'); END IF;
  IF qvec IS NOT NULL AND mode <> 'keyword' THEN
    SELECT p.dimensions INTO n FROM tributary.embedding_profile p WHERE p.id = profile;
    IF n IS NULL THEN PERFORM tributary.bad_input('profile', 'is not an embedding profile'); END IF;
    IF n <> public.vector_dims(qvec) THEN
      PERFORM tributary.bad_input('qvec', format('has %s dimensions and the profile has %s', public.vector_dims(qvec), n));
    END IF;
  END IF;
  IF jsonb_typeof(coalesce(options, '{}')) <> 'object' THEN PERFORM tributary.bad_input('options', 'must be an object'); END IF;
  options := options - ARRAY['state', 'exact_cap', 'overfetch', 'ef_search', 'thin_after', 'match_cap', 'common', 'pending_cap', 'weights', 'rrf_k'];
  IF options <> '{}' THEN
    SELECT min(x) INTO bad FROM jsonb_object_keys(options) x;
    PERFORM tributary.bad_input('options', format('%s is not an option', left(to_json(bad)::text, 80)));
  END IF;
END
$$;

-- search answers a question with the chunks that the session's identity may
-- see, best first, never fewer than min(k, candidates). The filters apply
-- before ranking. Option state adds a first row, rank 0, whose column state
-- says complete, pending and permissions_as_of, from the same snapshot.
CREATE OR REPLACE FUNCTION tributary.search(
  query text, qvec public.halfvec, profile smallint, mode text DEFAULT 'hybrid', k int DEFAULT 10,
  filters jsonb DEFAULT '{}', options jsonb DEFAULT '{}')
RETURNS TABLE (
  rank int, document_id uuid, chunk_id int, revision int, connection_id uuid, connection text, text text, context text,
  heading_path text[], title text, url text, path text, start_ int, end_ int, start_cp int, end_cp int,
  score float8, keyword_score float8, vector_distance float8, state jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
SET plan_cache_mode = force_generic_plan
SET jit = off
SET max_parallel_workers_per_gather = 0
SET work_mem = '64MB'
AS $$
#variable_conflict use_column
DECLARE
  f record; s record; d record; r record;
  began timestamptz := clock_timestamp();
  streamed timestamptz; ranked timestamptz;
BEGIN
  PERFORM tributary.search_check(query, qvec, profile, mode, k, options);
  options := tributary.search_options(options);
  SELECT * INTO f FROM tributary.search_filters(filters);
  SELECT * INTO s FROM tributary.search_scope(f.names, f.sources);
  -- Making plans takes longer than a small search. They are kept, unless much is
  -- held: what is looked up in a list that is known beforehand is hashed.
  IF cardinality(s.held) > 100 THEN PERFORM set_config('plan_cache_mode', 'force_custom_plan', true); END IF;
  SELECT * INTO d FROM tributary.search_stream(s.conns, s.held, f.types, f.paths, f.updated_after, f.contains,
    tributary.search_option(options, 'exact_cap', 30000, 0, 10000000));
  streamed := clock_timestamp();
  IF d.over THEN d.ids := NULL; END IF;
  SELECT * INTO r FROM tributary.search_run(query, qvec, profile, mode, k, d.ids, d.chunks,
    s.conns, s.held, f.types, f.paths, f.updated_after, f.contains, options);
  ranked := clock_timestamp();
  PERFORM tributary.note_read('search', r.documents, true);
  IF options -> 'state' = 'true' THEN
    RETURN QUERY SELECT 0, NULL::uuid, NULL::int, NULL::int, NULL::uuid, NULL::text, NULL::text, NULL::text,
      NULL::text[], NULL::text, NULL::text, NULL::text, NULL::int, NULL::int, NULL::int, NULL::int,
      NULL::float8, NULL::float8, NULL::float8,
      tributary.search_state(profile,
        CASE WHEN mode = 'hybrid' AND (tributary.search_weights(options)).vector = 0 THEN 'keyword' ELSE mode END, qvec IS NULL, r.cut, s.too_old, r.documents, d.ids,
        s.conns, s.held, f.types, f.paths, f.updated_after, f.contains, options) || tributary.search_plan(r.plan, d.over, d.chunks, began, streamed, ranked);
  END IF;
  RETURN QUERY
  SELECT x.n::int, x.d, x.c, o.revision, o.connection_id, n.name, c.text, c.context,
         c.heading_path, o.title, o.url, o.path, v.starts[l.at], v.ends[l.at], v.starts_cp[l.at], v.ends_cp[l.at],
         x.score, x.ks, x.vs, NULL::jsonb
  FROM unnest(r.documents, r.chunks, r.scores, r.keyword_scores, r.distances) WITH ORDINALITY x (d, c, score, ks, vs, n)
  JOIN tributary.document o ON o.id = x.d
  JOIN tributary.connection n ON n.id = o.connection_id
  JOIN tributary.chunk c ON c.document_id = x.d AND c.id = x.c
  JOIN tributary.revision v ON v.document_id = x.d AND v.number = o.revision
  CROSS JOIN LATERAL (SELECT array_position(v.chunk_ids, x.c) AS at) l
  ORDER BY x.n;
END
$$;

-- search_plan is how a search was made: how the vectors were searched, how many
-- chunks the stream of visible documents met and whether there are more, and
-- how long the parts took.
-- SECURITY: it tells of what others can see. The service keeps it from its
-- callers; to every other login it says nothing.
CREATE OR REPLACE FUNCTION tributary.search_plan(
  plan text, over boolean, chunks bigint, began timestamptz, streamed timestamptz, ranked timestamptz)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  IF NOT tributary.by_service() THEN RETURN '{}'; END IF;
  RETURN jsonb_build_object('plan', jsonb_build_object('vector', plan, 'more', over, 'chunks', chunks,
    'stream_ms', extract(epoch FROM streamed - began) * 1000, 'rank_ms', extract(epoch FROM ranked - streamed) * 1000));
END
$$;

DROP FUNCTION IF EXISTS tributary.search_state(smallint, text, boolean, text, boolean, boolean, uuid[],
  uuid[], bigint[], text[], text[], timestamptz, jsonb, jsonb);

-- search_state is what search says about its answer as a whole, in which the
-- documents answered stand.
CREATE OR REPLACE FUNCTION tributary.search_state(
  profile smallint, mode text, no_vector boolean, cut boolean, too_old boolean, answered uuid[], ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, options jsonb)
RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  fresh record;
  pending bigint;
BEGIN
  SELECT * INTO fresh FROM tributary.search_freshness(answered, conns, held);
  pending := coalesce(tributary.search_pending(profile, ids, conns, held, types, paths, updated_after, contains,
    tributary.search_option(options, 'pending_cap', 100000, 1, 10000000)), 0);
  RETURN jsonb_build_object(
    'complete', NOT (fresh.stale OR cut OR too_old OR (mode <> 'keyword' AND (pending > 0 OR no_vector))),
    'pending', pending, 'permissions_as_of', fresh.as_of,
    'unlinked', fresh.as_of = '{}' AND NOT EXISTS (SELECT FROM tributary.session_seeds() i WHERE cardinality(i.seeds) > 0));
END
$$;
