-- The siblings of search: everything else that reads content, through the same
-- predicate. An id that is hidden and an id that does not exist give no row.

DROP FUNCTION IF EXISTS tributary.readable(uuid);

-- readable is the document if the session's identity may see it, for the
-- entrance tool, whose read of it is recorded.
CREATE OR REPLACE FUNCTION tributary.readable(document_id uuid, tool text) RETURNS SETOF tributary.document
LANGUAGE plpgsql STABLE ROWS 1
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
  s record;
BEGIN
  SELECT * INTO s FROM tributary.search_scope(NULL, NULL);
  RETURN QUERY SELECT v.* FROM tributary.visible_documents(s.conns, s.held) v WHERE v.id = readable.document_id;
  PERFORM tributary.note_read(tool, CASE WHEN FOUND THEN ARRAY[readable.document_id] END);
END
$$;

-- document describes one document.
CREATE OR REPLACE FUNCTION tributary.document(id uuid)
RETURNS TABLE (
  document_id uuid, connection_id uuid, connection text, source text, external_id text, revision int, source_revision text,
  title text, url text, path text, container text, kind text, media_type text, lang text, author text, metadata jsonb,
  source_created_at timestamptz, source_updated_at timestamptz, chunk_count int, updated_at timestamptz, permissions_as_of timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT d.id, d.connection_id, c.name, c.source, d.external_id, d.revision, d.source_revision,
         d.title, d.url, d.path, d.container, d.kind, d.media_type, d.lang, d.author, d.metadata,
         d.source_created_at, d.source_updated_at, d.chunk_count, d.updated_at, c.permissions_as_of
  FROM tributary.readable($1, 'document') d JOIN tributary.connection c ON c.id = d.connection_id
$$;

-- document_text is the canonical text of the current revision with its layout:
-- chunk_ids in order, and where each lies in bytes and code points.
CREATE OR REPLACE FUNCTION tributary.document_text(id uuid)
RETURNS TABLE (document_id uuid, revision int, text text, chunk_ids int[], starts int[], ends int[], starts_cp int[], ends_cp int[])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT d.id, v.number, v.text, v.chunk_ids, v.starts, v.ends, v.starts_cp, v.ends_cp
  FROM tributary.readable($1, 'text') d JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision
$$;

-- document_chunks are the chunks of the current revision in order, from 1.
CREATE OR REPLACE FUNCTION tributary.document_chunks(id uuid)
RETURNS TABLE (
  document_id uuid, chunk_id int, place int, revision int, text text, context text, heading_path text[], tokens int, lang text,
  start_ int, end_ int, start_cp int, end_cp int)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT d.id, c.id, l.at::int, d.revision, c.text, c.context, c.heading_path, c.tokens, c.lang,
         v.starts[l.at], v.ends[l.at], v.starts_cp[l.at], v.ends_cp[l.at]
  FROM tributary.readable($1, 'chunks') d
  JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision
  CROSS JOIN LATERAL unnest(v.chunk_ids) WITH ORDINALITY l (id, at)
  JOIN tributary.chunk c ON c.document_id = d.id AND c.id = l.id
  ORDER BY l.at
$$;

-- neighbours are the chunks that stand up to before places in front of a chunk
-- and up to after places behind it; the chunk itself is not among them.
CREATE OR REPLACE FUNCTION tributary.neighbours(document_id uuid, chunk_id int, before int, after int)
RETURNS TABLE (
  distance int, document_id_ uuid, chunk_id_ int, revision int, text text, context text, heading_path text[],
  start_ int, end_ int, start_cp int, end_cp int)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT (l.at - m.at)::int, d.id, c.id, d.revision, c.text, c.context, c.heading_path,
         v.starts[l.at], v.ends[l.at], v.starts_cp[l.at], v.ends_cp[l.at]
  FROM tributary.readable($1, 'neighbours') d
  JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision
  CROSS JOIN LATERAL (SELECT array_position(v.chunk_ids, $2) AS at) m
  JOIN LATERAL generate_series(greatest(1, m.at - least($3, 100)), least(cardinality(v.chunk_ids), m.at + least($4, 100))) l (at) ON l.at <> m.at
  JOIN tributary.chunk c ON c.document_id = d.id AND c.id = v.chunk_ids[l.at]
  ORDER BY l.at
$$;

-- chunk is one chunk of the current revision with what a citation needs.
CREATE OR REPLACE FUNCTION tributary.chunk(document_id uuid, chunk_id int)
RETURNS TABLE (
  document_id_ uuid, chunk_id_ int, place int, revision int, text text, context text, heading_path text[], tokens int, lang text,
  start_ int, end_ int, start_cp int, end_cp int,
  connection text, source text, title text, url text, path text, media_type text, source_updated_at timestamptz, permissions_as_of timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
  SELECT d.id, c.id, l.at, d.revision, c.text, c.context, c.heading_path, c.tokens, c.lang,
         v.starts[l.at], v.ends[l.at], v.starts_cp[l.at], v.ends_cp[l.at],
         n.name, n.source, d.title, d.url, d.path, d.media_type, d.source_updated_at, n.permissions_as_of
  FROM tributary.readable($1, 'chunk') d
  JOIN tributary.connection n ON n.id = d.connection_id
  JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision
  CROSS JOIN LATERAL (SELECT array_position(v.chunk_ids, $2) AS at) l
  JOIN tributary.chunk c ON c.document_id = d.id AND c.id = v.chunk_ids[l.at]
$$;

-- section is the text around a chunk that stands under the same heading,
-- headings below it included: the chunks beside it, outwards, while they
-- belong to it and all of it has at most most code points. Where the chunk has
-- no heading, so has the section. whole says that nothing was left off.
CREATE OR REPLACE FUNCTION tributary.section(document_id uuid, chunk_id int, most int)
RETURNS TABLE (
  document_id_ uuid, chunk_ids int[], heading_path text[], text text, start_ int, end_ int, start_cp int, end_cp int, whole boolean)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  v tributary.revision;
  own text[];
  lo int; hi int;
  up boolean := true; down boolean := true;
  cut boolean := false;
BEGIN
  SELECT r.* INTO v FROM tributary.readable(section.document_id, 'section') d
  JOIN tributary.revision r ON r.document_id = d.id AND r.number = d.revision;
  lo := array_position(v.chunk_ids, section.chunk_id);
  IF lo IS NULL THEN RETURN; END IF;
  hi := lo;
  SELECT c.heading_path INTO own FROM tributary.chunk c WHERE c.document_id = v.document_id AND c.id = section.chunk_id;
  WHILE up OR down LOOP
    down := down AND tributary.under_heading(v.document_id, v.chunk_ids[hi + 1], own);
    IF down AND v.ends_cp[hi + 1] - v.starts_cp[lo] > most THEN down := false; cut := true; END IF;
    IF down THEN hi := hi + 1; END IF;
    up := up AND tributary.under_heading(v.document_id, v.chunk_ids[lo - 1], own);
    IF up AND v.ends_cp[hi] - v.starts_cp[lo - 1] > most THEN up := false; cut := true; END IF;
    IF up THEN lo := lo - 1; END IF;
  END LOOP;
  RETURN QUERY SELECT v.document_id, v.chunk_ids[lo:hi], own, substr(v.text, v.starts_cp[lo] + 1, v.ends_cp[hi] - v.starts_cp[lo]),
    v.starts[lo], v.ends[hi], v.starts_cp[lo], v.ends_cp[hi], NOT cut;
END
$$;

-- under_heading says whether a chunk stands under a heading path, {} being what
-- stands in front of every heading.
CREATE OR REPLACE FUNCTION tributary.under_heading(document_id uuid, chunk_id int, path text[]) RETURNS boolean
LANGUAGE sql STABLE
AS $$
  SELECT EXISTS (
    SELECT FROM tributary.chunk c WHERE c.document_id = $1 AND c.id = $2
      AND CASE WHEN cardinality($3) = 0 THEN cardinality(c.heading_path) = 0 ELSE c.heading_path[1:cardinality($3)] = $3 END)
$$;

-- lineage says where a chunk comes from: chunk, revision, run, connection, and
-- the versions of what made it.
CREATE OR REPLACE FUNCTION tributary.lineage(document_id uuid, chunk_id int)
RETURNS TABLE (
  document_id_ uuid, chunk_id_ int, identity bytea, external_id text, revision int, source_revision text, content_hash bytea,
  extractor text, chunker text, ingested_at timestamptz, run_id uuid, run_kind text, run_started_at timestamptz,
  connection_id uuid, connection text, source text, profiles jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
  p record;
  hash bytea;
  found jsonb := '[]';
BEGIN
  IF NOT EXISTS (SELECT FROM tributary.readable(lineage.document_id, 'lineage')) THEN RETURN; END IF;
  FOR p IN SELECT e.id, e.name, e.model, e.version, e.dimensions FROM tributary.embedding_profile e
    WHERE to_regclass(format('tributary.%I', 'vec_' || e.id)) IS NOT NULL ORDER BY e.id LOOP
    EXECUTE format('SELECT v.input_hash FROM tributary.%I v WHERE v.document_id = $1 AND v.chunk_id = $2', 'vec_' || p.id)
    INTO hash USING lineage.document_id, lineage.chunk_id;
    CONTINUE WHEN hash IS NULL;
    found := found || jsonb_build_object('profile', p.name, 'model', p.model, 'version', p.version,
      'dimensions', p.dimensions, 'input_hash', encode(hash, 'hex'));
  END LOOP;
  RETURN QUERY
  SELECT d.id, c.id, c.identity, d.external_id, v.number, v.source_revision, v.content_hash, v.extractor, v.chunker, v.created_at,
         v.run_id, r.kind, r.started_at, n.id, n.name, n.source, found
  FROM tributary.document d
  JOIN tributary.chunk c ON c.document_id = d.id AND c.id = lineage.chunk_id
  JOIN tributary.revision v ON v.document_id = d.id AND v.number = d.revision AND c.id = ANY (v.chunk_ids)
  JOIN tributary.connection n ON n.id = d.connection_id
  LEFT JOIN tributary.sync_run r ON r.id = v.run_id
  WHERE d.id = lineage.document_id;
END
$$;

-- embeddings are the stored vectors of chunks, for those that may be seen.
CREATE OR REPLACE FUNCTION tributary.embeddings(profile smallint, documents uuid[], chunks int[])
RETURNS TABLE (document_id uuid, chunk_id int, embedding real[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
  s record;
BEGIN
  IF cardinality(documents) > 1000 THEN PERFORM tributary.bad_input('documents', 'must be at most 1000'); END IF;
  IF NOT EXISTS (SELECT FROM tributary.embedding_profile p WHERE p.id = profile) THEN
    PERFORM tributary.bad_input('profile', 'is not an embedding profile');
  END IF;
  SELECT * INTO s FROM tributary.search_scope(NULL, NULL);
  RETURN QUERY EXECUTE format(
    'SELECT v.document_id, v.chunk_id, v.v::real[]
     FROM unnest($1, $2) x (d, c)
     JOIN tributary.%I v ON v.document_id = x.d AND v.chunk_id = x.c
     JOIN tributary.visible_documents($3, $4) o ON o.id = x.d', 'vec_' || profile)
  USING documents, chunks, s.conns, s.held;
  IF NOT tributary.by_service() THEN
    PERFORM tributary.note_read('embeddings', ARRAY(
      SELECT o.id FROM unnest(documents) x (id) JOIN tributary.visible_documents(s.conns, s.held) o ON o.id = x.id));
  END IF;
END
$$;
