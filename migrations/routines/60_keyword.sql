-- The keyword list of a search. Scores use the chunk, its headings and titles,
-- and how rare a word is among the matches the reader sees: nothing else.

-- What a release before had in another form.
DROP FUNCTION IF EXISTS tributary.search_slots(text),
  tributary.search_seen(tsquery, uuid[], uuid[], bigint[], text[], text[], timestamptz, jsonb, int),
  tributary.search_breadth(tsquery[], tsquery, uuid[], uuid[], bigint[], text[], text[], timestamptz, jsonb, int, int),
  tributary.search_ranked(text, uuid[], uuid[], bigint[], text[], text[], timestamptz, jsonb, int, int, int, int);

-- search_case is an expression over a chunk c that depends on its language:
-- pattern with the query of that language, otherwise what a language gets that
-- has none. Languages with the same query share a branch.
CREATE OR REPLACE FUNCTION tributary.search_case(langs text[], queries tsquery[], pattern text, otherwise text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  out text := '';
  x record;
BEGIN
  FOR x IN SELECT u.q, array_agg(u.l ORDER BY u.l) AS langs FROM unnest(langs, queries) u (l, q) WHERE u.q IS NOT NULL GROUP BY u.q ORDER BY u.q LOOP
    out := out || format(' WHEN c.lang = ANY (%L) THEN ', x.langs)
      || replace(replace(pattern, '{n}', ((numnode(x.q) + 1) / 2)::text), '{q}', format('%L::tsquery', x.q));
  END LOOP;
  IF out = '' THEN RETURN otherwise; END IF;
  RETURN 'CASE' || out || ' ELSE ' || otherwise || ' END';
END
$$;

-- search_slots is the query for all languages at once: slot i is what the i-th
-- place asks for in any of them, which one pass over the index finds; matches
-- and ranks are expressions that take a chunk by its own language. every and
-- whole are the same of all words, must and kept of what must and must not be
-- there; must is NULL where a language has nothing that must. langs, words and
-- phrases are search_terms.
CREATE OR REPLACE FUNCTION tributary.search_slots(query text,
  OUT slots tsquery[], OUT matches text[], OUT ranks text[], OUT every tsquery, OUT whole text, OUT must tsquery, OUT kept text,
  OUT langs text[], OUT words text[], OUT phrases tsquery[])
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  t record;
BEGIN
  SELECT array_agg(x.lang) AS langs, array_agg(x.words::text) AS words, array_agg(x.places::text) AS places, array_agg(x.phrase) AS phrases,
         array_agg(x.every) AS every, array_agg(x.must) AS must, array_agg(x.never) AS never,
         string_agg(DISTINCT '(' || x.every::text || ')', ' | ')::tsquery AS any_every,
         CASE WHEN count(x.must) = count(*) THEN string_agg(DISTINCT '(' || x.must::text || ')', ' | ')::tsquery END AS any_must
  INTO t FROM tributary.search_terms(query) x;
  langs := t.langs; words := t.words; phrases := t.phrases; every := t.any_every; must := t.any_must;
  SELECT array_agg(s.slot ORDER BY s.place),
         array_agg(tributary.search_case(s.langs, s.words, 'c.tsv @@ {q}', 'false') ORDER BY s.place),
         array_agg(tributary.search_case(s.langs, s.words, '{n} * ts_rank(''{0.1,0.2,0.4,1.0}'', c.tsv, {q})::float8', '0') ORDER BY s.place)
  INTO slots, matches, ranks
  FROM (SELECT p.place, coalesce(min(p.word::text) FILTER (WHERE l.lang = 'simple' AND p.place > 0), string_agg(DISTINCT p.word::text, ' | '))::tsquery AS slot,
               array_agg(l.lang) AS langs, array_agg(p.word) AS words
        FROM unnest(t.langs, t.words, t.places) l (lang, words, places), unnest(l.words::tsquery[], l.places::int[]) p (word, place)
        GROUP BY p.place) s;
  whole := tributary.search_case(t.langs, t.every, 'c.tsv @@ {q}', 'false');
  kept := concat_ws(' AND ', tributary.search_case(t.langs, t.must, 'c.tsv @@ {q}', 'true'),
    'NOT ' || nullif(tributary.search_case(t.langs, t.never, 'c.tsv @@ {q}', 'false'), 'false'));
END
$$;

-- search_join is the text that keeps a query on chunk c to what may be seen:
-- the documents $1, or a probe of each.
CREATE OR REPLACE FUNCTION tributary.search_join(listed boolean) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT CASE WHEN $1 THEN 'JOIN unnest($1) d (id) ON d.id = c.document_id'
              ELSE 'CROSS JOIN LATERAL tributary.search_allows(c.document_id, $2, $3, $4, $5, $6, $7) a' END
$$;

-- search_pick is the statement that finds visible chunks: wanted for the index,
-- exact for each of them. A text search vector is read from its row once.
CREATE OR REPLACE FUNCTION tributary.search_pick(wanted tsquery, exact text, listed boolean, most int) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT format('SELECT c.* FROM (SELECT c.document_id, c.id, c.lang, c.tsv || '''' AS tsv FROM tributary.chunk c %s WHERE c.tsv @@ %L::tsquery OFFSET 0) c WHERE %s LIMIT %s',
    tributary.search_join($3), $1, $2, $4)
$$;

-- search_seen counts the visible chunks that match, up to most.
CREATE OR REPLACE FUNCTION tributary.search_seen(
  wanted tsquery, exact text, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, most int)
RETURNS bigint
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  n bigint;
BEGIN
  EXECUTE format('SELECT count(*) FROM (%s) x', tributary.search_pick(wanted, exact, ids IS NOT NULL, most))
  INTO n USING ids, conns, held, types, paths, updated_after, contains;
  RETURN n;
END
$$;

-- search_breadth decides which matches are ranked: core is every word if that
-- gives depth chunks, else every word or any rare one. fill is asked besides
-- where core does not give depth: any word. A word is rare that stands in
-- fewer than common visible chunks; common words alone would rank much of what
-- is stored. Of at most 1,000 documents every match is core. in_core and in_fill are the exact conditions of both.
CREATE OR REPLACE FUNCTION tributary.search_breadth(
  slots tsquery[], matches text[], every tsquery, whole text, must tsquery, kept text, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb, depth int, common int,
  OUT core tsquery, OUT in_core text, OUT fill tsquery, OUT in_fill text)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  slot tsquery;
  wanted text := whole;
  rare tsquery := every;
  counts bigint[];
BEGIN
  core := coalesce(must && every, every);
  in_core := format('(%s) AND %s', whole, kept);
  IF cardinality(slots) = 1 THEN RETURN; END IF;
  IF ids IS NULL OR cardinality(ids) > 1000 THEN
    -- Where fewer than common chunks match at all, one look tells everything.
    FOR i IN 1 .. cardinality(slots) LOOP
      slot := coalesce(slot || slots[i], slots[i]);
    END LOOP;
    EXECUTE format('SELECT ARRAY[count(*), count(*) FILTER (WHERE %s)%s] FROM (%s) c', whole,
      (SELECT string_agg(format(', count(*) FILTER (WHERE %s)', m), '' ORDER BY n) FROM unnest(matches) WITH ORDINALITY x (m, n)),
      tributary.search_pick(coalesce(must && slot, slot), format('(%s) AND %s', array_to_string(matches, ' OR '), kept), ids IS NOT NULL, common))
    INTO counts USING ids, conns, held, types, paths, updated_after, contains;
    IF counts[2] >= depth THEN RETURN; END IF;
    IF counts[1] < common THEN
      FOR i IN 1 .. cardinality(slots) LOOP
        CONTINUE WHEN counts[i + 2] = 0;
        rare := rare || slots[i];
        wanted := wanted || ' OR ' || matches[i];
      END LOOP;
      core := coalesce(must && rare, rare);
      in_core := format('(%s) AND %s', wanted, kept);
      RETURN;
    END IF;
  END IF;
  IF tributary.search_seen(core, in_core, ids, conns, held, types, paths, updated_after, contains, depth) >= depth THEN RETURN; END IF;
  IF cardinality(ids) <= 1000 THEN
    -- So few are ranked sooner than counted.
    FOR i IN 1 .. cardinality(slots) LOOP
      rare := rare || slots[i];
    END LOOP;
    core := coalesce(must && rare, rare);
    in_core := format('(%s OR %s) AND %s', whole, array_to_string(matches, ' OR '), kept);
    RETURN;
  END IF;
  FOR i IN 1 .. cardinality(slots) LOOP
    slot := coalesce(must && slots[i], slots[i]);
    fill := coalesce(fill || slots[i], slots[i]);
    in_fill := concat_ws(' OR ', in_fill, matches[i]);
    IF tributary.search_seen(slot, format('%s AND %s', matches[i], kept), ids, conns, held, types, paths, updated_after, contains, common)
      BETWEEN 1 AND common - 1 THEN
      rare := rare || slots[i];
      wanted := wanted || ' OR ' || matches[i];
    END IF;
  END LOOP;
  core := coalesce(must && rare, rare);
  in_core := format('(%s) AND %s', wanted, kept);
  IF tributary.search_seen(core, in_core, ids, conns, held, types, paths, updated_after, contains, depth) >= depth THEN
    fill := NULL;
    RETURN;
  END IF;
  fill := coalesce(must && fill, fill);
  in_fill := format('(%s) AND NOT (%s) AND %s', in_fill, wanted, kept);
END
$$;

-- search_ranked is the matches with the rank of each word times its rarity
-- among the matches, best first. The statement is made for the words of the
-- query, because one pass over the matches reads each text search vector once.
-- total is how many matches were ranked.
CREATE OR REPLACE FUNCTION tributary.search_ranked(
  slots tsquery[], matches text[], ranks text[], every tsquery, in_whole text, must tsquery, kept text, ids uuid[],
  conns uuid[], held bigint[], types text[], paths text[], updated_after timestamptz, contains jsonb,
  depth int, most int, common int, top int)
RETURNS TABLE (document_id uuid, chunk_id int, lang text, whole boolean, base float8, total bigint)
LANGUAGE plpgsql STABLE ROWS 200
AS $$
#variable_conflict use_column
DECLARE
  b record;
  w record;
BEGIN
  SELECT * INTO b FROM tributary.search_breadth(slots, matches, every, in_whole, must, kept,
    ids, conns, held, types, paths, updated_after, contains, depth, common);
  SELECT string_agg(format('%s AS r%s', x.r, x.i), ', ') AS ranks,
         string_agg(format('ln(1 + count(*)::float8 / greatest(1, count(*) FILTER (WHERE m.r%1$s > 0))) AS i%1$s', x.i), ', ') AS rarities,
         string_agg(format('m.r%1$s * f.i%1$s', x.i), ' + ') AS sum,
         string_agg(format('f.i%s', x.i), ' + ') AS norm
  INTO w FROM unnest(ranks) WITH ORDINALITY x (r, i);
  RETURN QUERY EXECUTE format(
    'WITH m AS MATERIALIZED (SELECT c.document_id, c.id, c.lang, %s AS whole, %s FROM ((%s)%s) c),
          f AS MATERIALIZED (SELECT count(*) AS n, %s FROM m)
     SELECT m.document_id, m.id, m.lang, m.whole, (%s) / (%s), f.n FROM m, f ORDER BY m.whole DESC, 5 DESC, 1, 2 LIMIT %s',
    in_whole, w.ranks, tributary.search_pick(b.core, b.in_core, ids IS NOT NULL, most),
    CASE WHEN b.fill IS NULL THEN '' ELSE ' UNION ALL (' || tributary.search_pick(b.fill, b.in_fill, ids IS NOT NULL, CASE WHEN ids IS NULL THEN greatest(depth, common) ELSE most END) || ')' END,
    w.rarities, w.sum, w.norm, top)
  USING ids, conns, held, types, paths, updated_after, contains;
END
$$;

-- search_keep drops from a list the chunks that the phrases and exclusions of
-- the query keep out.
CREATE OR REPLACE FUNCTION tributary.search_keep(query text, INOUT documents uuid[], INOUT chunks int[], INOUT distances float8[])
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  kept text;
BEGIN
  IF query IS NULL OR query !~ '["“”„‟＂]|(^|\s)[-－]' THEN RETURN; END IF;
  SELECT s.kept INTO kept FROM tributary.search_slots(query) s;
  IF kept IS NULL OR kept = 'true' THEN RETURN; END IF;
  EXECUTE format(
    'SELECT coalesce(array_agg(x.d ORDER BY x.n), ''{}''), coalesce(array_agg(x.c ORDER BY x.n), ''{}''), coalesce(array_agg(x.v ORDER BY x.n), ''{}'')
     FROM unnest($1, $2, $3) WITH ORDINALITY x (d, c, v, n) JOIN tributary.chunk c ON c.document_id = x.d AND c.id = x.c WHERE %s', kept)
  INTO documents, chunks, distances USING documents, chunks, distances;
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
LANGUAGE plpgsql STABLE ROWS 100
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  q record;
BEGIN
  SELECT * INTO q FROM tributary.search_slots(query);
  IF q.slots IS NULL THEN RETURN; END IF;
  RETURN QUERY
  WITH r AS MATERIALIZED (
    SELECT * FROM tributary.search_ranked(q.slots, q.matches, q.ranks, q.every, q.whole, q.must, q.kept,
      ids, conns, held, types, paths, updated_after, contains, depth, most, common, greatest(depth, 200))
  ), t AS MATERIALIZED (
    SELECT u.lang, ('pg_catalog.' || quote_ident(u.lang))::regconfig AS config, u.words::tsquery[] AS words, u.phrase
    FROM unnest(q.langs, q.words, q.phrases) u (lang, words, phrase)
  )
  SELECT f.document_id, f.chunk_id,
         f.whole::int + 0.5 * f.base + 0.5 * (c.tsv @@ t.phrase)::int + h.heading + 0.4 * h.title,
         greatest(h.heading, h.title),
         f.total >= most
  FROM r f
  JOIN t ON t.lang = f.lang
  JOIN tributary.chunk c ON c.document_id = f.document_id AND c.id = f.chunk_id
  JOIN tributary.document d ON d.id = f.document_id
  CROSS JOIN LATERAL (
    SELECT coalesce(tributary.likeness(t.config, t.words, c.heading_path[cardinality(c.heading_path)]), 0) AS heading,
           coalesce(tributary.likeness(t.config, t.words, d.title), 0) AS title OFFSET 0) h
  ORDER BY 3 DESC, 1, 2 LIMIT depth;
END
$$;
