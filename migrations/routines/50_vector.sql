-- The vector list of a search: the nearest visible chunks by cosine distance.

-- Reading a vector loads the extension's library, without which its settings
-- are unknown and only a superuser may attach them to a function.
DO $$ BEGIN PERFORM '[1]'::public.halfvec; END $$;

-- search_vector_exact looks at every chunk of the documents ids or, where ids
-- is NULL, of all visible ones. Adding 0.0 keeps HNSW out.
CREATE OR REPLACE FUNCTION tributary.search_vector_exact(
  qvec public.halfvec, profile smallint, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, depth int)
RETURNS TABLE (document_id uuid, chunk_id int, distance float8)
LANGUAGE plpgsql STABLE ROWS 100
AS $$
DECLARE
  source text := CASE WHEN ids IS NOT NULL THEN 'tributary.%I v WHERE v.document_id = ANY ($2)' ELSE
    '(SELECT v.id FROM tributary.visible_stream($3, $4) v WHERE tributary.filter_matches(v.kind, v.media_type, v.path,
       coalesce(v.source_updated_at, v.updated_at), v.metadata, $5, $6, $7, $8)) d
     JOIN tributary.%I v ON v.document_id = d.id' END;
BEGIN
  RETURN QUERY EXECUTE format(
    'SELECT v.document_id, v.chunk_id, (v.v OPERATOR(public.<=>) $1) + 0.0
     FROM ' || source || '
     ORDER BY 3, 1, 2 LIMIT $9', 'vec_' || profile)
  USING qvec, ids, conns, held, types, paths, updated_after, contains, depth;
END
$$;

DROP FUNCTION IF EXISTS tributary.search_vector_allowed(uuid[], int[], float8[], uuid[], bigint[], text[], text[], timestamptz, jsonb);

-- search_vector_allowed keeps, of a list of chunks, the nearest first, those of
-- documents that may be seen and pass the filters. It looks at as many as should
-- hold depth of them, and at the others only where these did not.
CREATE OR REPLACE FUNCTION tributary.search_vector_allowed(
  INOUT documents uuid[], INOUT chunks int[], INOUT distances float8[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, depth int, share float8,
  OUT looked int)
LANGUAGE plpgsql STABLE
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
  d uuid[] := documents; c int[] := chunks; v float8[] := distances;
  n int := least(cardinality(documents), ceil(1.3 * depth / greatest(share, 1e-6)));
  part record;
BEGIN
  documents := '{}'; chunks := '{}'; distances := '{}'; looked := 0;
  LOOP
    SELECT array_agg(u.d) AS ds, array_agg(u.c) AS cs, array_agg(u.v) AS vs INTO part
    FROM (SELECT x.d, array_agg(x.c) AS cs, array_agg(x.v) AS vs
          FROM unnest(d[looked + 1:n], c[looked + 1:n], v[looked + 1:n]) x (d, c, v) GROUP BY x.d) g
    CROSS JOIN LATERAL tributary.search_allows(g.d, conns, held, types, paths, updated_after, contains) a
    CROSS JOIN LATERAL (SELECT g.d, m.c, m.v FROM unnest(g.cs, g.vs) m (c, v)) u;
    documents := documents || part.ds; chunks := chunks || part.cs; distances := distances || part.vs;
    looked := n;
    EXIT WHEN n = cardinality(d) OR cardinality(documents) >= greatest(depth, n * share / 2);
    n := cardinality(d);
  END LOOP;
END
$$;

DROP FUNCTION IF EXISTS tributary.search_vector_near(public.halfvec, smallint, uuid[], bigint[], text[], text[], timestamptz, jsonb, int, float8, int, int);

-- search_vector_near takes the nearest chunks from the HNSW index, one and a
-- half ef at first, keeps the visible ones, and takes more until depth are
-- visible. Where they were rarer than half their share of what is stored, it
-- goes on until twice as many brought none that is nearer: a walk that comes
-- from far away enters the reader's part of the space anywhere, not where it is
-- nearest to the question. good is false when the walk says little about the
-- reader's chunks: it ended short, or fewer than a quarter of the expected
-- share were visible, among as many as 16 were expected in, in all that were
-- taken then, or after thin_after candidates. That happens to readers whose
-- documents lie elsewhere in the space.
CREATE OR REPLACE FUNCTION tributary.search_vector_near(
  qvec public.halfvec, profile smallint,
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb,
  depth int, share float8, thin_after int, ef int,
  OUT documents uuid[], OUT chunks int[], OUT distances float8[], OUT good boolean)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET hnsw.iterative_scan = 'relaxed_order'
SET hnsw.ef_search = 200
AS $$
DECLARE
  take int := 1.5 * ef;
  taken int;
  looked int;
  found int;
  -- How many of the nearest should hold 16 that are visible, and how far they reach.
  enough int := least(ceil(16 / greatest(share, 1e-6)), 100000000);
  reach float8;
  thin boolean;
  -- The depth-th distance now, and when fewer were taken.
  last float8; before float8;
BEGIN
  LOOP
    PERFORM set_config('hnsw.ef_search', least(take, 1000)::text, true);
    EXECUTE format(
      'SELECT count(*), coalesce(array_agg(x.d), ''{}''), coalesce(array_agg(x.c), ''{}''), coalesce(array_agg(x.v), ''{}'')
       FROM (SELECT n.* FROM (SELECT v.document_id AS d, v.chunk_id AS c, v.v OPERATOR(public.<=>) $1 AS v
             FROM tributary.%I v ORDER BY v.v OPERATOR(public.<=>) $1 LIMIT $2) n ORDER BY n.v) x', 'vec_' || profile)
    INTO taken, documents, chunks, distances USING qvec, take;
    reach := distances[enough];
    SELECT * INTO documents, chunks, distances, looked
    FROM tributary.search_vector_allowed(documents, chunks, distances, conns, held, types, paths, updated_after, contains, depth, share);
    found := cardinality(documents);
    before := last;
    last := (SELECT d FROM unnest(distances) d ORDER BY d OFFSET depth - 1 LIMIT 1);
    thin := (SELECT count(*) < 4 FROM unnest(distances) d WHERE d <= reach) AND reach IS NOT NULL
      OR (looked >= thin_after OR looked * share >= 16) AND found < looked * share / 4;
    good := found >= depth AND NOT thin;
    EXIT WHEN thin OR taken < take OR good AND (found >= looked * share / 2 OR last = before);
    take := CASE WHEN good THEN 2 * taken ELSE taken * least(4, greatest(1.2, 1.3 * depth / greatest(found, 1))) END;
  END LOOP;
END
$$;
