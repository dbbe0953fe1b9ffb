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

-- search_terms reads the query once for each language: its words in order (at
-- most 32), all of them, any of them, and the phrase. A language in which it
-- has no words gives no row.
CREATE OR REPLACE FUNCTION tributary.search_terms(query text)
RETURNS TABLE (lang text, config regconfig, words tsquery[], every tsquery, anyone tsquery, phrase tsquery)
LANGUAGE sql STABLE
AS $$
  SELECT l.lang, c.config, w.words, w.every, w.anyone, phraseto_tsquery(c.config, query)
  FROM tributary.search_languages() l (lang)
  JOIN pg_catalog.pg_ts_config t ON t.cfgname = l.lang AND t.cfgnamespace = 'pg_catalog'::regnamespace
  CROSS JOIN LATERAL (SELECT t.oid::regconfig AS config) c
  CROSS JOIN LATERAL (
    SELECT array_agg(q.word ORDER BY q.at, q.word::text) AS words,
           string_agg(q.word::text, ' & ' ORDER BY q.at, q.word::text)::tsquery AS every,
           string_agg(q.word::text, ' | ' ORDER BY q.at, q.word::text)::tsquery AS anyone
    FROM (SELECT ('''' || replace(replace(u.lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS word, u.positions[1] AS at
          FROM unnest(to_tsvector(c.config, query)) u
          ORDER BY u.positions[1], u.lexeme LIMIT 32) q
  ) w
  WHERE w.words IS NOT NULL
$$;

-- search_matches finds the visible chunks that match all words (tight) or any
-- word, with the rank of each word. It looks at the documents ids, or where
-- ids is NULL asks each match; at most most rows are found.
CREATE OR REPLACE FUNCTION tributary.search_matches(
  query text, tight boolean, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, most int)
RETURNS TABLE (document_id uuid, chunk_id int, lang text, whole boolean, ranks float4[])
LANGUAGE plpgsql STABLE ROWS 1000
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
  t record;
  arms text[] := '{}';
BEGIN
  FOR t IN SELECT * FROM tributary.search_terms(query) LOOP
    arms := arms || format(
      'SELECT c.document_id, c.id, c.lang, c.tsv @@ %L::tsquery,
         ARRAY(SELECT ts_rank(''{0.1,0.2,0.4,1.0}'', c.tsv, w.word) FROM unnest(%L::tsquery[]) WITH ORDINALITY w (word, at) ORDER BY w.at)
       FROM (SELECT c.document_id, c.id, c.lang, c.tsv || '''' AS tsv FROM tributary.chunk c %s WHERE c.lang = %L AND c.tsv @@ %L::tsquery LIMIT %s) c',
      t.every, t.words,
      CASE WHEN ids IS NOT NULL THEN 'JOIN unnest($1) d (id) ON d.id = c.document_id'
           ELSE 'CROSS JOIN LATERAL tributary.search_allows(c.document_id, $2, $3, $4, $5, $6, $7) a' END,
      t.lang, CASE WHEN tight THEN t.every ELSE t.anyone END, most);
  END LOOP;
  IF cardinality(arms) = 0 THEN RETURN; END IF;
  RETURN QUERY EXECUTE array_to_string(arms, ' UNION ALL ')
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
  FROM (SELECT to_tsvector($1, left($3, 1000)) AS v OFFSET 0) h, unnest($2) w (word)
  GROUP BY h.v
$$;

-- search_keyword is the list, best first. Chunks with every word stand above
-- chunks with some. Inside, words count by their rank in the chunk (heading
-- lines weigh ten times) and their rarity among the matches; then the phrase,
-- and headings and titles that say what was asked, decide.
CREATE OR REPLACE FUNCTION tributary.search_keyword(
  query text, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, depth int, most int)
RETURNS TABLE (document_id uuid, chunk_id int, score float8, cut boolean)
LANGUAGE plpgsql STABLE ROWS 100
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
  tight boolean := true;
  n bigint;
BEGIN
  SELECT count(*) INTO n FROM (
    SELECT FROM tributary.search_matches(query, true, ids, conns, held, types, paths, updated_after, contains, depth)) x;
  tight := n >= depth;
  RETURN QUERY
  WITH m AS MATERIALIZED (
    SELECT * FROM tributary.search_matches(query, tight, ids, conns, held, types, paths, updated_after, contains, most)
  ), total AS MATERIALIZED (SELECT count(*)::float8 AS n FROM m),
  rarity AS MATERIALIZED (
    SELECT m.lang, w.at, ln(1 + (SELECT t.n FROM total t) / greatest(1, count(*) FILTER (WHERE w.rank > 0))) AS idf
    FROM m, unnest(m.ranks) WITH ORDINALITY w (rank, at) GROUP BY m.lang, w.at
  ), weight AS MATERIALIZED (
    SELECT r.lang, array_agg(r.idf ORDER BY r.at) AS idf, sum(r.idf) AS whole FROM rarity r GROUP BY r.lang
  ), first AS MATERIALIZED (
    SELECT m.document_id, m.chunk_id, m.lang, m.whole,
           (SELECT sum(a.rank * a.idf) FROM unnest(m.ranks, w.idf) a (rank, idf)) / w.whole AS base
    FROM m JOIN weight w ON w.lang = m.lang
    ORDER BY m.whole DESC, 5 DESC, 1, 2 LIMIT greatest(depth, 200)
  )
  SELECT f.document_id, f.chunk_id,
         f.whole::int + 0.5 * f.base + 0.5 * (c.tsv @@ t.phrase)::int
           + 1.0 * tributary.likeness(t.config, t.words, c.heading_path[cardinality(c.heading_path)])
           + 0.4 * tributary.likeness(t.config, t.words, d.title),
         (SELECT t.n FROM total t) >= most
  FROM first f
  JOIN tributary.search_terms(query) t ON t.lang = f.lang
  JOIN tributary.chunk c ON c.document_id = f.document_id AND c.id = f.chunk_id
  JOIN tributary.document d ON d.id = f.document_id
  ORDER BY 3 DESC, 1, 2 LIMIT depth;
END
$$;
