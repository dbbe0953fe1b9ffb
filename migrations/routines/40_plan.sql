-- The planner's first question: do the visible documents, after all filters,
-- hold few enough chunks to look at every one?

-- search_stream streams the visible documents until their chunks pass the cap.
-- over says that there are more; ids and chunks are whole only where it is
-- false. It asks for a number of documents and, while their chunks are fewer
-- than the cap, for more. PostgreSQL would rather read all of document and hash
-- it: nested loops are what makes the stream stoppable. Without filters the index
-- on acl_set_id holds all that is asked.
CREATE OR REPLACE FUNCTION tributary.search_stream(
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, cap int,
  OUT ids uuid[], OUT chunks bigint, OUT over boolean)
LANGUAGE plpgsql STABLE
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
  most bigint := cap / 8 + 1;
  filtered boolean := types IS NOT NULL OR paths IS NOT NULL OR updated_after IS NOT NULL OR contains IS NOT NULL;
BEGIN
  LOOP
    IF filtered THEN
      SELECT coalesce(array_agg(d.id), '{}'), coalesce(sum(d.chunk_count), 0) INTO ids, chunks FROM (
        SELECT v.id, v.chunk_count FROM tributary.visible_stream(conns, held) v
        WHERE v.chunk_count > 0
          AND tributary.filter_matches(v.kind, v.media_type, v.path, coalesce(v.source_updated_at, v.updated_at), v.metadata,
                                       types, paths, updated_after, contains)
        LIMIT most) d;
    ELSE
      SELECT coalesce(array_agg(d.id), '{}'), coalesce(sum(d.chunk_count), 0) INTO ids, chunks FROM (
        SELECT v.id, v.chunk_count FROM tributary.visible_stream(conns, held) v
        WHERE v.chunk_count > 0 LIMIT most) d;
    END IF;
    over := chunks > cap;
    EXIT WHEN over OR cardinality(ids) < most;
    most := most * 4;
  END LOOP;
END
$$;

-- search_allows is the visibility and the filters of one document.
CREATE OR REPLACE FUNCTION tributary.search_allows(
  document_id uuid, conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb)
RETURNS TABLE (ok boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT true FROM tributary.visible_documents($2, $3) v
  WHERE v.id = $1
    AND tributary.filter_matches(v.kind, v.media_type, v.path, coalesce(v.source_updated_at, v.updated_at), v.metadata, $4, $5, $6, $7)
$$;
