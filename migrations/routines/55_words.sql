-- The words of a query, in each language of what is stored.

-- What a release before had in another form.
DROP FUNCTION IF EXISTS tributary.search_terms(text);

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

-- search_parse takes a query apart: words, prefixes (migrat*), phrases in
-- quotes, and what must not stand there (-word, -"a phrase"). Words of phrases
-- are words too. What fits none of this is words: nothing is an error, and
-- exclusions alone are words.
CREATE OR REPLACE FUNCTION tributary.search_parse(query text, OUT words text, OUT prefixes text[], OUT phrases text[], OUT never text[])
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  m text[];
  stem tsvector;
BEGIN
  words := ''; prefixes := '{}'; phrases := '{}'; never := '{}';
  FOR m IN SELECT regexp_matches(translate(normalize(query, NFKC), '“”„‟', '""""'), '(-?)"([^"]*)"|([^\s"]+)', 'g') LOOP
    IF m[1] = '-' OR m[3] ~ '^-[^-+*/\\[:digit:][:space:]]' THEN
      never := never || coalesce(m[2], substr(m[3], 2));
      CONTINUE;
    END IF;
    IF m[3] ~ '\*+[),.;:!?]*$' THEN
      m[3] := regexp_replace(m[3], '\*+[),.;:!?]*$', '');
      stem := to_tsvector('simple', tributary.search_words(m[3], false));
      IF length(m[3]) > 1 AND length(stem) = 1 AND cardinality(prefixes) < 8 THEN
        prefixes := prefixes || tsvector_to_array(stem);
        CONTINUE;
      END IF;
    END IF;
    words := words || ' ' || coalesce(m[2], m[3]);
    IF m[2] IS NOT NULL AND cardinality(phrases) < 8 THEN phrases := phrases || m[2]; END IF;
  END LOOP;
  IF cardinality(prefixes) = 0 AND words !~ '\S' THEN
    words := array_to_string(never, ' '); never := '{}';
  END IF;
  never := never[1:32];
END
$$;

-- search_phrase is the words of txt in order. A run of letters without spaces
-- may go on where txt ends. That a language has none of the words is no notice.
CREATE OR REPLACE FUNCTION tributary.search_phrase(config regconfig, txt text) RETURNS tsquery
LANGUAGE plpgsql IMMUTABLE
SET client_min_messages = warning
AS $$
DECLARE
  w text := tributary.search_words(btrim(txt), true);
  q tsquery;
BEGIN
  -- Of pairs at the end the last letter alone goes; one that is alone begins a word.
  IF w ~ '[^ ] [^ ]+ $' THEN RETURN phraseto_tsquery(config, regexp_replace(w, ' [^ ]+ $', '')); END IF;
  q := phraseto_tsquery(config, w);
  IF w ~ '  [^ ]+ $' AND numnode(q) > 0 THEN RETURN (q::text || ':*')::tsquery; END IF;
  RETURN q;
END
$$;

-- search_lexeme is a lexeme as text of a tsquery.
CREATE OR REPLACE FUNCTION tributary.search_lexeme(lexeme text, prefix boolean) RETURNS text
LANGUAGE sql IMMUTABLE
AS $$ SELECT '''' || replace(replace($1, '\', '\\'), '''', '''''') || CASE WHEN $2 THEN ''':*' ELSE '''' END $$;

-- search_prefix is the forms of words that begin so. Where a stemmer makes a
-- word shorter than what was asked ("migratio*"), its stem is found by trying
-- what words end in.
CREATE OR REPLACE FUNCTION tributary.search_prefix(config regconfig, prefix text) RETURNS SETOF text
LANGUAGE sql IMMUTABLE
AS $$
  SELECT tributary.search_lexeme($2, true)
  UNION
  SELECT tributary.search_lexeme(l, false)
  FROM unnest(tsvector_to_array(to_tsvector($1, (SELECT string_agg($2 || e, ' ') FROM unnest(string_to_array(
    ',n,on,ion,tion,ation,ations,s,e,es,ed,d,ing,ng,g,ly,y,al,l,ity,ty,ment,ent,nt,t,ness,ess,able,ble,er,r,ers,en,em,ern,ung,ungen,ngen,'
    'heit,keit,lich,isch,sch,te,ten,st,ement,ez,ité,té,eur,euse,ique,ant,é,ée,és,ons,ación,ción,ón,aciones,mente,idad,dad,ando,ado,ar,ir,ido,'
    'os,as,o,a,i,zione,zioni,ção,ções,dade,ing,het,ene,ning,а,ы,и,у,ю,я,ой,ом,е,ов,ам,ами,ах,ия,ии,ию,ий,ая,ое,ые,ого,ить,ать,ет,ение,ения,ость,ости', ',')) e)))) l
  WHERE $1 <> 'simple'::regconfig AND NOT starts_with(l, $2)
$$;

-- search_forms is every word of the query (at most 32, by place) in every
-- language that PostgreSQL knows.
CREATE OR REPLACE FUNCTION tributary.search_forms(query text) RETURNS TABLE (lang text, place int, word text)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH p AS MATERIALIZED (SELECT tributary.search_words(p.words, false) AS words, p.prefixes FROM tributary.search_parse(query) p),
  f AS (
    SELECT g.cfgname::text AS lang, u.positions[1]::int AS place,
           tributary.search_lexeme(u.lexeme, tributary.search_words(u.lexeme, true) = '  ' || u.lexeme || ' ') AS word
    FROM p, pg_catalog.pg_ts_config g, unnest(to_tsvector(g.oid::regconfig, p.words)) u
    WHERE g.cfgnamespace = 'pg_catalog'::regnamespace
    UNION ALL
    SELECT l.lang, x.n::int - 100, tributary.search_prefix(('pg_catalog.' || quote_ident(l.lang))::regconfig, x.prefix)
    FROM p, unnest(p.prefixes) WITH ORDINALITY x (prefix, n), tributary.search_languages() l (lang)
  )
  SELECT f.lang, f.place, f.word FROM f
  WHERE f.place IN (SELECT s.place FROM f s WHERE s.lang = 'simple' ORDER BY s.place LIMIT 32);
END
$$;

-- search_terms is the query for each language of stored documents: its words
-- with their places, all of them joined by "and", all of them in order, the
-- phrases that must be there and what must not. A document whose language is
-- not known may be in any: its words are the forms of all languages. So what
-- one chunk matches depends on its own language, and not on what others store.
-- A language in which the query has no words gives no row.
CREATE OR REPLACE FUNCTION tributary.search_terms(query text)
RETURNS TABLE (lang text, config regconfig, words tsquery[], places int[], every tsquery, phrase tsquery, must tsquery, never tsquery)
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH p AS MATERIALIZED (SELECT * FROM tributary.search_parse(query)),
  w AS (
    SELECT l.lang, f.place, string_agg(DISTINCT f.word, ' | ' ORDER BY f.word) AS word
    FROM tributary.search_languages() l (lang) JOIN tributary.search_forms(query) f ON f.lang = l.lang OR l.lang = 'simple' AND f.place > 0
    GROUP BY l.lang, f.place
  )
  SELECT t.lang, c.config, t.words, t.places, t.every, tributary.search_phrase(c.config, p.words), m.must, n.never
  FROM (SELECT w.lang, array_agg(w.word::tsquery ORDER BY w.place) AS words, array_agg(w.place ORDER BY w.place) AS places,
               string_agg('(' || w.word || ')', ' & ' ORDER BY w.place)::tsquery AS every
        FROM w GROUP BY w.lang) t
  CROSS JOIN p
  CROSS JOIN LATERAL (SELECT ('pg_catalog.' || quote_ident(t.lang))::regconfig AS config) c
  CROSS JOIN LATERAL (SELECT string_agg('(' || q::text || ')', ' & ')::tsquery AS must
                      FROM unnest(p.phrases) x, tributary.search_phrase(c.config, x) q WHERE numnode(q) > 0) m
  CROSS JOIN LATERAL (SELECT string_agg('(' || q::text || ')', ' | ')::tsquery AS never
                      FROM unnest(p.never) x, tributary.search_phrase(c.config, x) q WHERE numnode(q) > 0) n;
END
$$;
