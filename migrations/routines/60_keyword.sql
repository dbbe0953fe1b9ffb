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

-- search_join is the text that keeps a query on chunk c to what may be seen:
-- the documents $1, or a probe of each.
CREATE OR REPLACE FUNCTION tributary.search_join(listed boolean) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN $1 THEN 'JOIN unnest($1) d (id) ON d.id = c.document_id'
              ELSE 'CROSS JOIN LATERAL tributary.search_allows(c.document_id, $2, $3, $4, $5, $6, $7) a' END
$$;

-- search_seen counts the visible chunks of a language that match, up to most.
CREATE OR REPLACE FUNCTION tributary.search_seen(
  lang text, wanted tsquery, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, most int)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (SELECT FROM tributary.chunk c %s WHERE c.lang = %L AND c.tsv @@ %L::tsquery LIMIT %s) x',
    tributary.search_join(ids IS NOT NULL), lang, wanted, most)
  INTO n USING ids, conns, held, types, paths, updated_after, contains;
  RETURN n;
END
$$;

-- search_breadth decides, for each language, which matches are ranked: core is
-- every word if that gives depth chunks, else every word or any rare one. fill
-- is asked besides where core does not give depth: any word. A word is rare
-- that stands in fewer than common visible chunks; common words alone would
-- rank much of what is stored.
CREATE OR REPLACE FUNCTION tributary.search_breadth(
  query text, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, depth int, common int)
RETURNS TABLE (lang text, words tsquery[], every tsquery, core tsquery, fill tsquery)
LANGUAGE plpgsql STABLE
AS $$
#variable_conflict use_column
DECLARE
  t record;
  word tsquery;
  n bigint := 0;
  cores jsonb := '{}';
  rare tsquery;
BEGIN
  FOR t IN SELECT * FROM tributary.search_terms(query) LOOP
    n := n + tributary.search_seen(t.lang, t.every, ids, conns, held, types, paths, updated_after, contains, depth);
    cores := cores || jsonb_build_object(t.lang, t.every::text);
  END LOOP;
  IF n < depth THEN
    n := 0;
    FOR t IN SELECT * FROM tributary.search_terms(query) LOOP
      rare := t.every;
      FOREACH word IN ARRAY t.words LOOP
        CONTINUE WHEN tributary.search_seen(t.lang, word, ids, conns, held, types, paths, updated_after, contains, common) NOT BETWEEN 1 AND common - 1;
        rare := rare || word;
      END LOOP;
      n := n + tributary.search_seen(t.lang, rare, ids, conns, held, types, paths, updated_after, contains, depth);
      cores := cores || jsonb_build_object(t.lang, rare::text);
    END LOOP;
  END IF;
  RETURN QUERY SELECT t.lang, t.words, t.every, (cores ->> t.lang)::tsquery, CASE WHEN n < depth THEN t.anyone END
  FROM tributary.search_terms(query) t;
END
$$;

-- search_ranked is the matches with the rank of each word times its rarity
-- among the matches, the best top of each language. Statements are made for
-- the words of the query, because one pass over the matches reads each text
-- search vector once. total is how many matches were ranked.
CREATE OR REPLACE FUNCTION tributary.search_ranked(
  query text, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb,
  depth int, most int, common int, top int)
RETURNS TABLE (document_id uuid, chunk_id int, lang text, whole boolean, base float8, total bigint)
LANGUAGE plpgsql STABLE ROWS 200
AS $$
#variable_conflict use_column
DECLARE
  t record;
  w record;
  arms text[] := '{}';
  pick text := format('SELECT c.document_id, c.id, c.tsv || '''' AS tsv FROM tributary.chunk c %s WHERE c.lang = ', tributary.search_join(ids IS NOT NULL));
BEGIN
  FOR t IN SELECT * FROM tributary.search_breadth(query, ids, conns, held, types, paths, updated_after, contains, depth, common) LOOP
    SELECT string_agg(format('ts_rank(''{0.1,0.2,0.4,1.0}'', c.tsv, %L::tsquery)::float8 AS r%s', x.word, x.i), ', ') AS ranks,
           string_agg(format('ln(1 + count(*)::float8 / greatest(1, count(*) FILTER (WHERE m.r%1$s > 0))) AS i%1$s', x.i), ', ') AS rarities,
           string_agg(format('m.r%1$s * f.i%1$s', x.i), ' + ') AS sum,
           string_agg(format('f.i%s', x.i), ' + ') AS norm
    INTO w FROM unnest(t.words) WITH ORDINALITY x (word, i);
    arms := arms || format(
      '(WITH m AS MATERIALIZED (SELECT c.document_id, c.id, c.tsv @@ %L::tsquery AS whole, %s FROM (%s) c),
             f AS MATERIALIZED (SELECT count(*) AS n, %s FROM m)
        SELECT m.document_id, m.id, %L::text, m.whole, (%s) / (%s), f.n FROM m, f ORDER BY m.whole DESC, 5 DESC, 1, 2 LIMIT %s)',
      t.every, w.ranks,
      format('(%s %L AND c.tsv @@ %L::tsquery LIMIT %s)', pick, t.lang, t.core, most)
        || CASE WHEN t.fill IS NULL THEN '' ELSE format(' UNION ALL (%s %L AND c.tsv @@ %L::tsquery AND NOT c.tsv @@ %L::tsquery LIMIT %s)',
             pick, t.lang, t.fill, t.core, greatest(depth, common)) END,
      w.rarities, t.lang, w.sum, w.norm, top);
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
  FROM (SELECT * FROM r ORDER BY r.whole DESC, r.base DESC, r.document_id, r.chunk_id LIMIT greatest($9, 200)) f
  JOIN t ON t.lang = f.lang
  JOIN tributary.chunk c ON c.document_id = f.document_id AND c.id = f.chunk_id
  JOIN tributary.document d ON d.id = f.document_id
  CROSS JOIN LATERAL (
    SELECT coalesce(tributary.likeness(t.config, t.words, c.heading_path[cardinality(c.heading_path)]), 0) AS heading,
           coalesce(tributary.likeness(t.config, t.words, d.title), 0) AS title OFFSET 0) h
  ORDER BY 3 DESC, 1, 2 LIMIT $9
$$;
