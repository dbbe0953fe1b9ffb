-- Filters and options come as JSON; these functions check and take them apart.
-- Every complaint is SQLSTATE 22023 with the message "field: problem".

CREATE OR REPLACE FUNCTION tributary.bad_input(field text, problem text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
AS $$
BEGIN
  RAISE EXCEPTION '%: %', field, problem USING ERRCODE = '22023';
END
$$;

-- filter_strings is a filter that is one string or an array of strings, NULL
-- where the filter is absent.
CREATE OR REPLACE FUNCTION tributary.filter_strings(filters jsonb, field text) RETURNS text[]
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  v jsonb := filters -> field;
  list text[];
BEGIN
  IF v IS NULL OR v = 'null' THEN RETURN NULL; END IF;
  IF jsonb_typeof(v) = 'string' THEN v := jsonb_build_array(v); END IF;
  IF jsonb_typeof(v) <> 'array' OR EXISTS (SELECT FROM jsonb_array_elements(v) e WHERE jsonb_typeof(e) <> 'string') THEN
    PERFORM tributary.bad_input('filters.' || field, 'must be a string or an array of strings');
  END IF;
  SELECT array_agg(e) INTO list FROM jsonb_array_elements_text(v) e;
  IF coalesce(cardinality(list), 0) NOT BETWEEN 1 AND 100 THEN
    PERFORM tributary.bad_input('filters.' || field, 'must name 1 to 100 values; leave it out to match everything');
  END IF;
  IF EXISTS (SELECT FROM unnest(list) e WHERE length(e) NOT BETWEEN 1 AND 1000) THEN
    PERFORM tributary.bad_input('filters.' || field, 'each value must have 1 to 1000 characters');
  END IF;
  RETURN list;
END
$$;

-- path_regex turns a path filter into an anchored regular expression. Without
-- *, ? and [ it is a prefix; otherwise a glob over the whole path, in which *
-- and ? stay inside a path segment, ** crosses segments, and [abc] or [!abc]
-- is one character.
CREATE OR REPLACE FUNCTION tributary.path_regex(pattern text) RETURNS text
LANGUAGE plpgsql IMMUTABLE
AS $$
DECLARE
  re text := '^';
  m text[];
  rest text := pattern;
BEGIN
  IF pattern !~ '[*?[]' THEN
    RETURN '^' || regexp_replace(pattern, '([^[:alnum:]_])', '\\\1', 'g');
  END IF;
  WHILE rest <> '' LOOP
    m := regexp_match(rest, '^(\*\*/|\*\*|\*|\?|\[!?[^][\\]+\]|.)', 's');
    rest := substr(rest, length(m[1]) + 1);
    re := re || CASE
      WHEN m[1] = '**/' THEN '(?:.*/)?'
      WHEN m[1] = '**' THEN '.*'
      WHEN m[1] = '*' THEN '[^/]*'
      WHEN m[1] = '?' THEN '[^/]'
      WHEN m[1] ~ '^\[!' THEN '[^/' || substr(m[1], 3)
      WHEN m[1] ~ '^\[.' THEN '[' || regexp_replace(substr(m[1], 2), '^\^', '\\^')
      ELSE regexp_replace(m[1], '([^[:alnum:]_])', '\\\1')
    END;
  END LOOP;
  re := re || '$';
  PERFORM '' ~ re;
  RETURN re;
EXCEPTION WHEN invalid_regular_expression THEN
  PERFORM tributary.bad_input('filters.path', 'is not a glob; use *, **, ?, [abc] or a plain prefix');
END
$$;

-- search_filters takes filters apart: {connection, source, type, path,
-- updated_after, metadata}.
CREATE OR REPLACE FUNCTION tributary.search_filters(filters jsonb,
  OUT names text[], OUT sources text[], OUT types text[], OUT paths text[], OUT updated_after timestamptz, OUT contains jsonb)
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  f jsonb := coalesce(filters, '{}');
  bad text;
BEGIN
  IF f = '{}' THEN RETURN; END IF;
  IF jsonb_typeof(f) <> 'object' THEN PERFORM tributary.bad_input('filters', 'must be an object'); END IF;
  SELECT min(x) INTO bad FROM jsonb_object_keys(f) x
  WHERE x NOT IN ('connection', 'source', 'type', 'path', 'updated_after', 'metadata');
  IF bad IS NOT NULL THEN
    PERFORM tributary.bad_input('filters', format('%s is not a filter; use connection, source, type, path, updated_after or metadata', left(to_json(bad)::text, 80)));
  END IF;
  names := tributary.filter_strings(f, 'connection');
  sources := tributary.filter_strings(f, 'source');
  types := tributary.filter_strings(f, 'type');
  SELECT array_agg(tributary.path_regex(p)) INTO paths FROM unnest(tributary.filter_strings(f, 'path')) p;
  IF f -> 'updated_after' <> 'null' THEN
    BEGIN
      IF jsonb_typeof(f -> 'updated_after') <> 'string' OR f ->> 'updated_after' !~ '^\d{4}-\d\d-\d\d' THEN
        RAISE invalid_datetime_format;
      END IF;
      updated_after := (f ->> 'updated_after')::timestamptz;
    EXCEPTION WHEN data_exception THEN
      PERFORM tributary.bad_input('filters.updated_after', 'must be a time such as 2026-01-31T00:00:00Z');
    END;
  END IF;
  IF f -> 'metadata' <> 'null' THEN
    contains := f -> 'metadata';
    IF jsonb_typeof(contains) <> 'object' THEN
      PERFORM tributary.bad_input('filters.metadata', 'must be an object of names and values');
    END IF;
  END IF;
END
$$;

-- search_options is what the settings search.NAME say, with what options say in
-- their place.
CREATE OR REPLACE FUNCTION tributary.search_options(options jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN (SELECT coalesce(jsonb_object_agg(substr(s.key, 8), s.value), '{}') FROM tributary.setting s WHERE s.key LIKE 'search.%')
    || jsonb_strip_nulls(coalesce(options, '{}'));
END
$$;

-- search_option is a whole number of options, else the default; it is checked
-- against its bounds.
CREATE OR REPLACE FUNCTION tributary.search_option(options jsonb, name text, standard int, low int, high int) RETURNS int
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v text := options ->> name;
BEGIN
  IF v IS NULL THEN RETURN standard; END IF;
  IF v !~ '^\d{1,9}$' OR v::int NOT BETWEEN low AND high THEN
    PERFORM tributary.bad_input('options.' || name, format('must be a whole number from %s to %s', low, high));
  END IF;
  RETURN v::int;
END
$$;
