-- The keyword list of a search. Scores use the chunk, its headings and titles,
-- and how rare a word is among the matches the reader sees: nothing else.

-- search_languages are the text search configurations that stored documents
-- use, found by hopping over the index on document.lang.
CREATE OR REPLACE FUNCTION tributary.search_languages() RETURNS SETOF text
LANGUAGE sql STABLE
AS $$
  WITH RECURSIVE l (lang) AS (
    SELECT min(d.lang) FROM tributary.document d
    UNION ALL
    SELECT (SELECT min(d.lang) FROM tributary.document d WHERE d.lang > l.lang) FROM l WHERE l.lang IS NOT NULL
  )
  SELECT l.lang FROM l WHERE l.lang IS NOT NULL
  UNION SELECT 'simple'
$$;

-- search_terms reads the query once for each language: its words (at most 32)
-- with their places, all of them joined by "and", and the phrase. A language
-- in which it has no words gives no row.
CREATE OR REPLACE FUNCTION tributary.search_terms(query text)
RETURNS TABLE (lang text, config regconfig, words tsquery[], places int[], every tsquery, phrase tsquery)
LANGUAGE sql STABLE
AS $$
  SELECT l.lang, c.config, w.words, w.places, w.every, phraseto_tsquery(c.config, tributary.search_words(query, false))
  FROM tributary.search_languages() l (lang)
  JOIN pg_catalog.pg_ts_config t ON t.cfgname = l.lang AND t.cfgnamespace = 'pg_catalog'::regnamespace
  CROSS JOIN LATERAL (SELECT t.oid::regconfig AS config) c
  CROSS JOIN LATERAL (
    SELECT array_agg(q.word ORDER BY q.place, q.word::text) AS words,
           array_agg(q.place ORDER BY q.place, q.word::text) AS places,
           string_agg(q.word::text, ' & ' ORDER BY q.place, q.word::text)::tsquery AS every
    FROM (SELECT ('''' || replace(replace(u.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS word, u.positions[1]::int AS place
          FROM unnest(to_tsvector(c.config, tributary.search_words(query, false))) u
          ORDER BY u.positions[1], u.lexeme LIMIT 32) q
  ) w
  WHERE w.words IS NOT NULL
$$;

-- search_slots is the query for all languages at once: slot i is what the i-th
-- place asks for in any of them (variants says how many forms), and every any
-- language's full set of words. Forms of another language match next to
-- nothing, and one pass over the index serves all.
CREATE OR REPLACE FUNCTION tributary.search_slots(query text, OUT slots tsquery[], OUT variants int[], OUT every tsquery, OUT whole text)
LANGUAGE sql STABLE
AS $$
  WITH t AS MATERIALIZED (SELECT * FROM tributary.search_terms($1)),
  s AS (
    SELECT u.place, count(DISTINCT u.word::text)::int AS n, string_agg(DISTINCT u.word::text, ' | ')::tsquery AS slot
    FROM t, unnest(t.words, t.places) u (word, place) GROUP BY u.place
  )
  SELECT (SELECT array_agg(s.slot ORDER BY s.place) FROM (SELECT * FROM s ORDER BY s.place LIMIT 32) s),
         (SELECT array_agg(s.n ORDER BY s.place) FROM (SELECT * FROM s ORDER BY s.place LIMIT 32) s),
         (SELECT string_agg(DISTINCT '(' || t.every::text || ')', ' | ')::tsquery FROM t),
         (SELECT 'CASE c.lang ' || string_agg(format('WHEN %L THEN c.tsv @@ %L::tsquery', t.lang, t.every), ' ' ORDER BY t.lang) || ' ELSE false END' FROM t)
$$;

-- search_join is the text that keeps a query on chunk c to what may be seen:
-- the documents $1, or a probe of each.
CREATE OR REPLACE FUNCTION tributary.search_join(listed boolean) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN $1 THEN 'JOIN unnest($1) d (id) ON d.id = c.document_id'
              ELSE 'CROSS JOIN LATERAL tributary.search_allows(c.document_id, $2, $3, $4, $5, $6, $7) a' END
$$;

-- search_seen counts the visible chunks that match, up to most.
CREATE OR REPLACE FUNCTION tributary.search_seen(
  wanted tsquery, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, most int)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT FROM tributary.chunk c %s WHERE c.tsv @@ %L::tsquery LIMIT %s) x',
    tributary.search_join(ids IS NOT NULL), wanted, most)
  INTO n USING ids, conns, held, types, paths, updated_after, contains;
  RETURN n;
END
$$;

-- search_breadth decides which matches are ranked: core is every word if that
-- gives depth chunks, else every word or any rare one. fill is asked besides
-- where core does not give depth: any word. A word is rare that stands in
-- fewer than common visible chunks; common words alone would rank much of what
-- is stored.
CREATE OR REPLACE FUNCTION tributary.search_breadth(
  slots tsquery[], every tsquery, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, depth int, common int,
  OUT core tsquery, OUT fill tsquery)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  slot tsquery;
BEGIN
  core := every;
  IF tributary.search_seen(core, ids, conns, held, types, paths, updated_after, contains, depth) >= depth THEN RETURN; END IF;
  IF cardinality(slots) > 1 THEN
    FOREACH slot IN ARRAY slots LOOP
      fill := CASE WHEN fill IS NULL THEN slot ELSE fill || slot END;
      IF tributary.search_seen(slot, ids, conns, held, types, paths, updated_after, contains, common) BETWEEN 1 AND common - 1 THEN
        core := core || slot;
      END IF;
    END LOOP;
    IF tributary.search_seen(core, ids, conns, held, types, paths, updated_after, contains, depth) >= depth THEN fill := NULL; END IF;
  END IF;
END
$$;

-- search_ranked is the matches with the rank of each word times its rarity
-- among the matches, best first. The statement is made for the words of the
-- query, because one pass over the matches reads each text search vector once.
-- total is how many matches were ranked.
CREATE OR REPLACE FUNCTION tributary.search_ranked(
  query text, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb,
  depth int, most int, common int, top int)
RETURNS TABLE (document_id uuid, chunk_id int, lang text, whole boolean, base float8, total bigint)
LANGUAGE plpgsql STABLE ROWS 200
AS $$
#variable_conflict use_column
DECLARE
  q record;
  b record;
  w record;
  pick text := format('SELECT c.document_id, c.id, c.lang, c.tsv || '''' AS tsv FROM tributary.chunk c %s WHERE', tributary.search_join(ids IS NOT NULL));
BEGIN
  SELECT * INTO q FROM tributary.search_slots(query);
  IF q.slots IS NULL THEN RETURN; END IF;
  SELECT * INTO b FROM tributary.search_breadth(q.slots, q.every, ids, conns, held, types, paths, updated_after, contains, depth, common);
  SELECT string_agg(format('%s * ts_rank(''{0.1,0.2,0.4,1.0}'', c.tsv, %L::tsquery)::float8 AS r%s', x.n, x.slot, x.i), ', ') AS ranks,
         string_agg(format('ln(1 + count(*)::float8 / greatest(1, count(*) FILTER (WHERE m.r%1$s > 0))) AS i%1$s', x.i), ', ') AS rarities,
         string_agg(format('m.r%1$s * f.i%1$s', x.i), ' + ') AS sum,
         string_agg(format('f.i%s', x.i), ' + ') AS norm
  INTO w FROM unnest(q.slots, q.variants) WITH ORDINALITY x (slot, n, i);
  pick := format('(%s c.tsv @@ %L::tsquery LIMIT %s)', pick, b.core, most)
    || CASE WHEN b.fill IS NULL THEN '' ELSE format(' UNION ALL (%s c.tsv @@ %L::tsquery AND NOT c.tsv @@ %L::tsquery LIMIT %s)',
         pick, b.fill, b.core, greatest(depth, common)) END;
  RETURN QUERY EXECUTE format(
    'WITH m AS MATERIALIZED (SELECT c.document_id, c.id, c.lang, %s AS whole, %s FROM (%s) c),
          f AS MATERIALIZED (SELECT count(*) AS n, %s FROM m)
     SELECT m.document_id, m.id, m.lang, m.whole, (%s) / (%s), f.n FROM m, f ORDER BY m.whole DESC, 5 DESC, 1, 2 LIMIT %s',
    q.whole, w.ranks, pick, w.rarities, w.sum, w.norm, top)
  USING ids, conns, held, types, paths, updated_after, contains;
END
$$;

-- likeness compares what is asked with a heading or title: the share of the
-- words asked that stand in it, times the share of its words that are asked.
CREATE OR REPLACE FUNCTION tributary.likeness(config regconfig, words tsquery[], heading text) RETURNS float8
LANGUAGE sql STABLE
AS $$
  SELECT count(*) FILTER (WHERE h.v @@ w.word)::float8 / cardinality($2)
       * least(1, count(*) FILTER (WHERE h.v @@ w.word)::float8 / greatest(1, length(h.v)))
  FROM (SELECT to_tsvector($1, tributary.search_words(left($3, 1000), false)) AS v OFFSET 0) h, unnest($2) w (word)
  GROUP BY h.v
$$;

-- search_keyword is the list, best first. Chunks with every word stand above
-- chunks with some. Inside, words count by their rank in the chunk (heading
-- lines weigh ten times) and their rarity; then the phrase, and headings and
-- titles that say what was asked, decide. heading is how far the nearest
-- heading or the title says it. cut says that a limit kept matches from being
-- ranked.
CREATE OR REPLACE FUNCTION tributary.search_keyword(
  query text, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb,
  depth int, most int, common int)
RETURNS TABLE (document_id uuid, chunk_id int, score float8, heading float8, cut boolean)
LANGUAGE sql STABLE ROWS 100
AS $$
  WITH r AS MATERIALIZED (
    SELECT * FROM tributary.search_ranked($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, greatest($9, 200))
  ), t AS MATERIALIZED (SELECT * FROM tributary.search_terms($1))
  SELECT f.document_id, f.chunk_id,
         f.whole::int + 0.5 * f.base + 0.5 * (c.tsv @@ t.phrase)::int + h.heading + 0.4 * h.title,
         greatest(h.heading, h.title),
         f.total >= $10
  FROM r f
  JOIN t ON t.lang = f.lang
  JOIN tributary.chunk c ON c.document_id = f.document_id AND c.id = f.chunk_id
  JOIN tributary.document d ON d.id = f.document_id
  CROSS JOIN LATERAL (
    SELECT coalesce(tributary.likeness(t.config, t.words, c.heading_path[cardinality(c.heading_path)]), 0) AS heading,
           coalesce(tributary.likeness(t.config, t.words, d.title), 0) AS title OFFSET 0) h
  ORDER BY 3 DESC, 1, 2 LIMIT $9
$$;
