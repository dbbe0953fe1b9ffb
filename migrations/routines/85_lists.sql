-- The siblings of search that speak of many documents at once: count, list and
-- export, after the same filters.

-- visible_count is how many documents and chunks may be seen after the filters.
CREATE OR REPLACE FUNCTION tributary.visible_count(filters jsonb DEFAULT '{}', OUT documents bigint, OUT chunks bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  f record; s record;
BEGIN
  SELECT * INTO f FROM tributary.search_filters(filters);
  SELECT * INTO s FROM tributary.search_scope(f.names, f.sources);
  SELECT count(*), coalesce(sum(v.chunk_count), 0) INTO documents, chunks
  FROM tributary.visible_stream(s.conns, s.held) v
  WHERE tributary.filter_matches(v.kind, v.media_type, v.path, coalesce(v.source_updated_at, v.updated_at), v.metadata,
                                 f.types, f.paths, f.updated_after, f.contains);
END
$$;

-- visible_page is the ids of the first most visible documents behind last, in
-- id order. Up to search.list_cap documents are streamed and sorted. Where there are more,
-- ids are walked in order and each is asked: what is seen is dense then, ids
-- being random. The settings keep the stream stoppable and the walk in order.
CREATE OR REPLACE FUNCTION tributary.visible_page(
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb,
  last uuid, most int)
RETURNS uuid[]
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_custom_plan
SET enable_hashjoin = off
SET enable_mergejoin = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
AS $$
DECLARE
  ids uuid[];
  cap int := tributary.search_option(tributary.search_options('{}'), 'list_cap', 20000, 0, 10000000);
BEGIN
  SELECT array_agg(x.id ORDER BY x.id) INTO ids FROM (
    SELECT v.id FROM tributary.visible_stream(conns, held) v
    WHERE (last IS NULL OR v.id > last)
      AND tributary.filter_matches(v.kind, v.media_type, v.path, coalesce(v.source_updated_at, v.updated_at), v.metadata,
                                   types, paths, updated_after, contains)
    LIMIT cap + 1) x;
  IF cardinality(ids) > cap THEN
    SELECT array_agg(x.id ORDER BY x.id) INTO ids FROM (
      SELECT d.id FROM tributary.document d
      CROSS JOIN LATERAL tributary.search_allows(d.id, conns, held, types, paths, updated_after, contains) a
      WHERE d.id > coalesce(last, '00000000-0000-0000-0000-000000000000')
      ORDER BY d.id LIMIT most) x;
  END IF;
  RETURN coalesce(ids[1:most], '{}');
END
$$;

-- visible_list pages through the documents that may be seen, in id order,
-- after the document named last.
CREATE OR REPLACE FUNCTION tributary.visible_list(filters jsonb, last uuid, most int)
RETURNS TABLE (document_id uuid, connection text, title text, url text, path text, kind text, media_type text, revision int,
  chunk_count int, source_updated_at timestamptz, updated_at timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  f record; s record;
  ids uuid[];
BEGIN
  SELECT * INTO f FROM tributary.search_filters(filters);
  SELECT * INTO s FROM tributary.search_scope(f.names, f.sources);
  ids := tributary.visible_page(s.conns, s.held, f.types, f.paths, f.updated_after, f.contains, last, least(greatest(most, 1), 1001));
  PERFORM tributary.note_read('list', ids);
  RETURN QUERY
  SELECT d.id, c.name, d.title, d.url, d.path, d.kind, d.media_type, d.revision, d.chunk_count, d.source_updated_at, d.updated_at
  FROM unnest(ids) x (id)
  JOIN tributary.document d ON d.id = x.id
  JOIN tributary.connection c ON c.id = d.connection_id
  ORDER BY d.id;
END
$$;

-- visible_export is visible_list with all there is of each document: its fields
-- and its chunks in order. It ends early once the documents given have bytes of
-- text together; more says that another stands behind.
CREATE OR REPLACE FUNCTION tributary.visible_export(filters jsonb, last uuid, most int, bytes bigint)
RETURNS TABLE (
  document_id uuid, connection_id uuid, connection text, source text, external_id text, revision int, source_revision text,
  title text, url text, path text, container text, kind text, media_type text, lang text, author text, metadata jsonb,
  source_created_at timestamptz, source_updated_at timestamptz, chunk_count int, updated_at timestamptz, permissions_as_of timestamptz,
  chunks json, more boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  f record; s record;
  ids uuid[];
  size bigint := 0;
  n int := least(greatest(most, 1), 1000);
  given int := 0;
BEGIN
  SELECT * INTO f FROM tributary.search_filters(filters);
  SELECT * INTO s FROM tributary.search_scope(f.names, f.sources);
  ids := tributary.visible_page(s.conns, s.held, f.types, f.paths, f.updated_after, f.contains, last, n + 1);
  FOR i IN 1 .. least(n, cardinality(ids)) LOOP
    SELECT size + octet_length(v.text) INTO size
    FROM tributary.document d JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision WHERE d.id = ids[i];
    RETURN QUERY
    SELECT d.id, d.connection_id, c.name, c.source, d.external_id, d.revision, d.source_revision,
           d.title, d.url, d.path, d.container, d.kind, d.media_type, d.lang, d.author, d.metadata,
           d.source_created_at, d.source_updated_at, d.chunk_count, d.updated_at, c.permissions_as_of,
           (SELECT coalesce(json_agg(json_build_object('chunk_id', d.id || ':' || k.id, 'place', l.at, 'text', k.text, 'context', k.context,
                     'heading_path', k.heading_path, 'tokens', k.tokens, 'language', k.lang,
                     'start', v.starts[l.at], 'end', v.ends[l.at], 'start_cp', v.starts_cp[l.at], 'end_cp', v.ends_cp[l.at]) ORDER BY l.at), '[]')
            FROM unnest(v.chunk_ids) WITH ORDINALITY l (id, at)
            JOIN tributary.chunk k ON k.document_id = d.id AND k.id = l.id),
           i < cardinality(ids)
    FROM tributary.document d
    JOIN tributary.connection c ON c.id = d.connection_id
    JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision
    WHERE d.id = ids[i];
    given := i;
    EXIT WHEN size >= bytes;
  END LOOP;
  PERFORM tributary.note_read('export', ids[1:given]);
END
$$;
