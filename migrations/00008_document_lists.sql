-- +goose NO TRANSACTION
-- Admins find documents by words, connection and state, the newest first.

-- +goose Up
-- document_words are the words of a document's title, path and id at the source.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tributary.document_words(title text, path text, external_id text) RETURNS tsvector
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
  SELECT to_tsvector('pg_catalog.simple'::regconfig, tributary.search_words(
    translate(left(title, 2000) || ' ' || left(path, 2000) || ' ' || left(external_id, 2000), E'!"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~', repeat(' ', 32)), true))
$$;
-- +goose StatementEnd

-- document_query is the query for documents that have all of the words, or
-- longer ones that begin so.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION tributary.document_query(words text) RETURNS tsquery
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$
  SELECT coalesce(to_tsquery('pg_catalog.simple'::regconfig, string_agg(quote_literal(w) || ':*', ' & ')), '')
  FROM regexp_split_to_table(tributary.search_words(translate(words, E'!"#$%&''()*+,-./:;<=>?@[\\]^_`{|}~', repeat(' ', 32)), false), '\s+') w
  WHERE w <> ''
$$;
-- +goose StatementEnd

CREATE INDEX CONCURRENTLY IF NOT EXISTS document_recent ON tributary.document (updated_at, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS document_recent_of ON tributary.document (connection_id, updated_at, id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS document_hidden ON tributary.document (updated_at, id) WHERE hidden_reason IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS document_words ON tributary.document USING gin (tributary.document_words(title, path, external_id));

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
