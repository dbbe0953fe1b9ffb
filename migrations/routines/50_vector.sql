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

-- search_vector_near walks the HNSW index from the nearest chunk outwards and
-- asks for every candidate whether it is visible, until it has depth of them,
-- soon or among twice ef candidates at least. Where they were rarer than half
-- their share of what is stored, it goes on until as many candidates again, at
-- least ef, brought none that is nearer: a
-- walk that comes from far away enters the reader's part of the space anywhere,
-- not where it is nearest to the question. good is false when the walk says
-- little about the reader's chunks: it ended short, or fewer than a quarter of
-- the expected share were visible where 16 were expected or after thin_after
-- candidates, which happens to readers whose documents lie elsewhere in the
-- space.
CREATE OR REPLACE FUNCTION tributary.search_vector_near(
  qvec public.halfvec, profile smallint,
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb,
  depth int, share float8, thin_after int, ef int,
  OUT documents uuid[], OUT chunks int[], OUT distances float8[], OUT visited int, OUT good boolean)
LANGUAGE plpgsql STABLE
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET hnsw.iterative_scan = 'relaxed_order'
SET hnsw.ef_search = 200
AS $$
DECLARE
  r record;
  found int := 0;
  -- The depth-th distance when the walk last looked, whether anything nearer
  -- came since, and where it looks again.
  farthest float8;
  nearer boolean;
  next_look int := 0;
BEGIN
  PERFORM set_config('hnsw.ef_search', ef::text, true);
  documents := '{}'; chunks := '{}'; distances := '{}'; visited := 0; good := false;
  FOR r IN EXECUTE format(
    'SELECT v.document_id, v.chunk_id, v.v OPERATOR(public.<=>) $1 AS distance,
       EXISTS (SELECT FROM tributary.search_allows(v.document_id, $2, $3, $4, $5, $6, $7)) AS ok
     FROM tributary.%I v ORDER BY v.v OPERATOR(public.<=>) $1', 'vec_' || profile)
    USING qvec, conns, held, types, paths, updated_after, contains
  LOOP
    visited := visited + 1;
    IF r.ok THEN
      found := found + 1;
      documents := documents || r.document_id;
      chunks := chunks || r.chunk_id;
      distances := distances || r.distance;
      nearer := nearer OR r.distance < farthest;
    END IF;
    EXIT WHEN found >= depth AND (visited <= ef / 2 OR (visited >= 2 * ef AND found >= visited * share / 2));
    IF found >= depth AND visited >= next_look THEN
      EXIT WHEN NOT nearer;
      SELECT d INTO farthest FROM unnest(distances) d ORDER BY d OFFSET depth - 1 LIMIT 1;
      nearer := false;
      next_look := visited + greatest(ef, visited);
    END IF;
    IF (visited >= thin_after OR visited * share >= 16) AND found < visited * share / 4 THEN RETURN; END IF;
  END LOOP;
  good := found >= depth;
END
$$;
