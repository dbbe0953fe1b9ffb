-- Everything lives in schema tributary; pgvector in public; River's tables in
-- schema river. The migrator runs this as the role owner. Privileges and the
-- functions of the query path are in routines/, applied after every migration.

-- +goose Up

-- clock is the time of every row. Tests replace it; nothing else does.
-- +goose StatementBegin
CREATE FUNCTION clock() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE
AS $$ SELECT clock_timestamp() $$;
-- +goose StatementEnd

-- to_tsv is the text search vector of a chunk: words of a heading line weigh A.
-- It is immutable because a stored column depends on it; a change of its body
-- needs a migration that rebuilds chunk.tsv.
-- +goose StatementBegin
CREATE FUNCTION to_tsv(lang text, txt text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  config regconfig := CASE WHEN lang = 'simple' THEN 'pg_catalog.simple'::regconfig
                           ELSE ('pg_catalog.' || quote_ident(lang))::regconfig END;
  eol int;
BEGIN
  IF left(txt, 1) <> '#' THEN
    RETURN to_tsvector(config, txt);
  END IF;
  eol := position(E'\n' IN txt);
  IF eol = 0 THEN
    RETURN setweight(to_tsvector(config, txt), 'A');
  END IF;
  RETURN setweight(to_tsvector(config, left(txt, eol)), 'A') || to_tsvector(config, substr(txt, eol + 1));
END
$$;
-- +goose StatementEnd

CREATE TABLE setting (
  key   text PRIMARY KEY,
  value text NOT NULL
);

CREATE TABLE realm (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  source      text NOT NULL,
  external_id text COLLATE "C" NOT NULL,
  UNIQUE (source, external_id)
);

CREATE TABLE principal (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  realm_id    bigint NOT NULL REFERENCES realm,
  kind        text NOT NULL CHECK (kind IN ('user', 'group', 'domain', 'anyone', 'public', 'key')),
  external_id text COLLATE "C" NOT NULL,
  name        text NOT NULL DEFAULT '',
  UNIQUE (realm_id, kind, external_id)
);

CREATE TABLE connection (
  id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name                text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  source              text NOT NULL,
  realm_id            bigint REFERENCES realm,
  settings            jsonb NOT NULL DEFAULT '{}',
  selection           jsonb NOT NULL DEFAULT '{}',
  selection_version   int NOT NULL DEFAULT 1,
  state               text NOT NULL DEFAULT 'active'
    CHECK (state IN ('active', 'degraded', 'throttled', 'needs_reauth', 'config_error', 'paused', 'failed', 'closing')),
  state_reason        text NOT NULL DEFAULT '',
  state_since         timestamptz NOT NULL DEFAULT clock(),
  throttled_until     timestamptz,
  feed_cursor         json,
  permissions_as_of   timestamptz,
  content_as_of       timestamptz,
  max_permission_age  interval NOT NULL DEFAULT '24 hours',
  created_at          timestamptz NOT NULL DEFAULT clock(),
  updated_at          timestamptz NOT NULL DEFAULT clock()
);

CREATE TABLE schedule (
  connection_id uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  lane          text NOT NULL CHECK (lane IN ('content', 'permissions')),
  every         interval NOT NULL CHECK (every >= interval '10 seconds'),
  next_run_at   timestamptz NOT NULL DEFAULT clock(),
  PRIMARY KEY (connection_id, lane)
);
CREATE INDEX schedule_due ON schedule (next_run_at);

-- acl_version orders permission evidence: a run draws one before it reads
-- anything, and never overwrites what a later one wrote.
CREATE SEQUENCE acl_version;
-- listing numbers one walk of a selection from the zero cursor to its end,
-- across the runs that continue it.
CREATE SEQUENCE listing;

CREATE TABLE sync_run (
  id                uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  connection_id     uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  lane              text NOT NULL CHECK (lane IN ('content', 'permissions')),
  kind              text NOT NULL CHECK (kind IN ('snapshot', 'changes', 'reconcile', 'permissions')),
  state             text NOT NULL DEFAULT 'queued'
    CHECK (state IN ('queued', 'running', 'succeeded', 'partial', 'failed', 'cancelled', 'superseded')),
  cause             text NOT NULL DEFAULT 'schedule',
  fence             bigint NOT NULL DEFAULT 0,
  worker            text NOT NULL DEFAULT '',
  heartbeat_at      timestamptz,
  attempt           int NOT NULL DEFAULT 0,
  slices            int NOT NULL DEFAULT 0,
  next_try_at       timestamptz,
  cancel_requested  boolean NOT NULL DEFAULT false,
  approve_deletions boolean NOT NULL DEFAULT false,
  selection_version int NOT NULL,
  acl_version       bigint NOT NULL DEFAULT nextval('acl_version'),
  listing           bigint NOT NULL DEFAULT nextval('listing'),
  cursor            json,
  feed_start        json,
  blocked           jsonb NOT NULL DEFAULT '[]',
  complete          boolean NOT NULL DEFAULT false,
  counts            jsonb NOT NULL DEFAULT '{}',
  error_class       text NOT NULL DEFAULT '',
  error             text NOT NULL DEFAULT '',
  queued_at         timestamptz NOT NULL DEFAULT clock(),
  started_at        timestamptz,
  finished_at       timestamptz
);
CREATE UNIQUE INDEX sync_run_live ON sync_run (connection_id, lane) WHERE state IN ('queued', 'running');
CREATE INDEX sync_run_recent ON sync_run (connection_id, lane, queued_at DESC);

CREATE TABLE acl_set (
  id        bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
  hash      bytea NOT NULL UNIQUE,
  need_mask bigint NOT NULL
);
-- Set 0 is unknown: nobody.
INSERT INTO acl_set (id, hash, need_mask) VALUES (0, '\x', 0);

CREATE TABLE acl_entry (
  set_id       bigint NOT NULL REFERENCES acl_set ON DELETE CASCADE,
  principal_id bigint NOT NULL REFERENCES principal,
  clause       smallint NOT NULL CHECK (clause BETWEEN 0 AND 40),
  PRIMARY KEY (set_id, principal_id, clause)
);
CREATE INDEX acl_entry_principal ON acl_entry (principal_id, set_id, clause);

CREATE TABLE membership (
  connection_id uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  member_id     bigint NOT NULL REFERENCES principal,
  group_id      bigint NOT NULL REFERENCES principal,
  PRIMARY KEY (connection_id, member_id, group_id)
);

-- Tables that are keyed by document have no foreign keys to it: purge_documents
-- is the one place that removes documents.
CREATE TABLE document (
  id                uuid PRIMARY KEY,
  connection_id     uuid NOT NULL,
  external_id       text COLLATE "C" NOT NULL,
  source_revision   text NOT NULL,
  content_hash      bytea NOT NULL,
  revision          int NOT NULL,
  title             text NOT NULL,
  url               text NOT NULL,
  path              text NOT NULL,
  container         text NOT NULL,
  kind              text NOT NULL,
  media_type        text NOT NULL,
  lang              text NOT NULL,
  author            text NOT NULL,
  metadata          jsonb NOT NULL,
  source_created_at timestamptz,
  source_updated_at timestamptz,
  acl_set_id        bigint NOT NULL,
  acl_version       bigint NOT NULL,
  hidden_reason     text CHECK (hidden_reason IN ('absent', 'deleted', 'refused', 'quarantined')),
  hidden_at         timestamptz,
  chunk_count       int NOT NULL,
  next_chunk_id     int NOT NULL,
  created_at        timestamptz NOT NULL,
  updated_at        timestamptz NOT NULL,
  UNIQUE (connection_id, external_id)
);
CREATE INDEX document_acl_set ON document (acl_set_id);
CREATE INDEX document_lang ON document (lang);

CREATE TABLE revision (
  document_id     uuid NOT NULL,
  number          int NOT NULL,
  source_revision text NOT NULL,
  content_hash    bytea NOT NULL,
  run_id          uuid NOT NULL,
  extractor       text NOT NULL,
  chunker         text NOT NULL,
  created_at      timestamptz NOT NULL,
  -- What follows is NULL once a newer revision stands.
  text            text COMPRESSION lz4,
  chunk_ids       int[],
  starts          int[],
  ends            int[],
  starts_cp       int[],
  ends_cp         int[],
  PRIMARY KEY (document_id, number)
);

CREATE TABLE chunk (
  document_id  uuid NOT NULL,
  id           int NOT NULL,
  identity     bytea NOT NULL,
  text         text COMPRESSION lz4 NOT NULL,
  context      text NOT NULL,
  heading_path text[] NOT NULL,
  tokens       int NOT NULL,
  lang         text NOT NULL,
  tsv          tsvector GENERATED ALWAYS AS (to_tsv(lang, text)) STORED,
  PRIMARY KEY (document_id, id)
);
CREATE INDEX chunk_tsv ON chunk USING gin (tsv);

CREATE TABLE embedding_profile (
  id            smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name          text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  kind          text NOT NULL CHECK (kind IN ('hashing', 'openai')),
  model         text NOT NULL,
  dimensions    int NOT NULL CHECK (dimensions BETWEEN 1 AND 4000),
  url           text NOT NULL DEFAULT '',
  api_key_file  text NOT NULL DEFAULT '',
  settings      jsonb NOT NULL DEFAULT '{}',
  state         text NOT NULL DEFAULT 'building' CHECK (state IN ('building', 'active', 'retired')),
  version       int NOT NULL DEFAULT 1,
  error         text NOT NULL DEFAULT '',
  filled        boolean NOT NULL DEFAULT false,
  drainer       text NOT NULL DEFAULT '',
  drainer_until timestamptz,
  created_at    timestamptz NOT NULL DEFAULT clock()
);
CREATE UNIQUE INDEX embedding_profile_active ON embedding_profile (state) WHERE state = 'active';

CREATE TABLE embed_todo (
  profile_id  smallint NOT NULL,
  document_id uuid NOT NULL,
  chunk_id    int NOT NULL,
  input_hash  bytea NOT NULL,
  tokens      int NOT NULL,
  attempts    int NOT NULL DEFAULT 0,
  next_try_at timestamptz NOT NULL,
  claim       uuid,
  error       text NOT NULL DEFAULT '',
  PRIMARY KEY (profile_id, document_id, chunk_id)
);
CREATE INDEX embed_todo_due ON embed_todo (profile_id, next_try_at, document_id, chunk_id);
CREATE INDEX embed_todo_input ON embed_todo (profile_id, input_hash);
CREATE INDEX embed_todo_document ON embed_todo (document_id);

-- create_vector_table makes vec_<profile>, the one table shape that is created
-- at run time. It is owned by owner, so that the role app needs no DDL.
-- +goose StatementBegin
CREATE FUNCTION create_vector_table(profile smallint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = tributary, public, pg_temp
AS $$
DECLARE
  n int;
  t text := 'vec_' || profile;
BEGIN
  SELECT dimensions INTO STRICT n FROM embedding_profile WHERE id = profile;
  IF to_regclass('tributary.' || t) IS NOT NULL THEN RETURN; END IF;
  EXECUTE format('CREATE TABLE %I (document_id uuid NOT NULL, chunk_id int NOT NULL, input_hash bytea NOT NULL, v halfvec(%s) NOT NULL, PRIMARY KEY (document_id, chunk_id))', t, n);
  EXECUTE format('ALTER TABLE %I ALTER COLUMN v SET STORAGE PLAIN', t);
  EXECUTE format('CREATE INDEX %I ON %I (input_hash)', t || '_input', t);
  EXECUTE format('CREATE INDEX %I ON %I USING hnsw (v halfvec_cosine_ops)', t || '_hnsw', t);
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO %I', t, (SELECT value FROM setting WHERE key = 'role.app'));
  EXECUTE format('GRANT SELECT ON %I TO %I', t, (SELECT value FROM setting WHERE key = 'role.search_definer'));
END
$$;
-- +goose StatementEnd

CREATE TABLE seen (
  connection_id uuid NOT NULL,
  listing       bigint NOT NULL,
  document_id   uuid NOT NULL
);
CREATE INDEX seen_listing ON seen (connection_id, listing, document_id);

CREATE TABLE skip (
  connection_id uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  external_id   text COLLATE "C" NOT NULL,
  path          text NOT NULL,
  reason        text NOT NULL,
  listing       bigint NOT NULL,
  PRIMARY KEY (connection_id, external_id)
);

CREATE TABLE quarantine (
  connection_id   uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  external_id     text COLLATE "C" NOT NULL,
  path            text NOT NULL,
  source_revision text NOT NULL,
  class           text NOT NULL,
  reason          text NOT NULL,
  attempts        int NOT NULL DEFAULT 1,
  run_id          uuid NOT NULL,
  first_at        timestamptz NOT NULL DEFAULT clock(),
  last_at         timestamptz NOT NULL DEFAULT clock(),
  PRIMARY KEY (connection_id, external_id)
);

CREATE TABLE outbox (
  id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  kind        text NOT NULL CHECK (kind IN ('revision', 'hide', 'show', 'purge', 'acl', 'membership')),
  connection_id uuid NOT NULL,
  document_id uuid,
  revision    int,
  added       int[],
  removed     int[],
  at          timestamptz NOT NULL DEFAULT clock()
);

CREATE TABLE reader (
  id          uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name        text NOT NULL UNIQUE,
  kind        text NOT NULL DEFAULT 'person' CHECK (kind IN ('person', 'application')),
  disabled_at timestamptz,
  created_at  timestamptz NOT NULL DEFAULT clock()
);

CREATE TABLE reader_principal (
  reader_id    uuid NOT NULL REFERENCES reader ON DELETE CASCADE,
  principal_id bigint NOT NULL REFERENCES principal,
  how          text NOT NULL CHECK (how IN ('manual', 'setup', 'consent', 'email', 'import')),
  created_at   timestamptz NOT NULL DEFAULT clock(),
  PRIMARY KEY (reader_id, principal_id)
);

CREATE TABLE api_key (
  id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name            text NOT NULL UNIQUE,
  secret_hash     bytea NOT NULL UNIQUE,
  hint            text NOT NULL,
  reader_id       uuid REFERENCES reader ON DELETE CASCADE,
  principal_id    bigint REFERENCES principal,
  rights          text[] NOT NULL CHECK (rights <@ ARRAY['search', 'documents', 'export', 'push']),
  all_connections boolean NOT NULL DEFAULT false,
  connections     uuid[] NOT NULL DEFAULT '{}',
  created_at      timestamptz NOT NULL DEFAULT clock(),
  expires_at      timestamptz,
  last_used_at    timestamptz,
  revoked_at      timestamptz
);

-- Which reader an SQL login is; see current_reader() in routines/.
CREATE TABLE sql_login (
  login     name PRIMARY KEY,
  reader_id uuid NOT NULL REFERENCES reader ON DELETE CASCADE
);

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
