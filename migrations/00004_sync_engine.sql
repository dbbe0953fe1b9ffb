-- Schedules by cron and with quiet hours, held deletions, what a run did item by
-- item, erasure with its receipt, exclusions, notices, pushed documents, workers
-- and the tokens of the admin API.

-- +goose Up

-- Schedules. cron stands in place of every, in the connection's time zone. The
-- reconcile of lane content has times of its own beside its changes.
ALTER TABLE schedule
  ADD COLUMN cron            text NOT NULL DEFAULT '',
  ADD COLUMN reconcile_every interval CHECK (reconcile_every >= interval '10 seconds'),
  ADD COLUMN reconcile_cron  text NOT NULL DEFAULT '',
  ADD COLUMN reconcile_at    timestamptz;
UPDATE schedule SET reconcile_every = interval '7 days', reconcile_at = clock() + random() * interval '7 days' WHERE lane = 'content';
CREATE INDEX schedule_reconcile ON schedule (reconcile_at);

ALTER TABLE connection
  ADD COLUMN time_zone   text NOT NULL DEFAULT 'UTC',
  -- [{"days": ["mon"], "from": "22:00", "to": "06:00"}]: no content run begins then.
  ADD COLUMN quiet_hours jsonb NOT NULL DEFAULT '[]',
  -- What a run may cost and how much of it may fail, where it differs from the defaults.
  ADD COLUMN limits      jsonb NOT NULL DEFAULT '{}',
  -- True from when less was selected until a complete listing of that was swept.
  ADD COLUMN narrowed    boolean NOT NULL DEFAULT false,
  -- How many documents an admin confirmed to be hidden by that; NULL is nobody did.
  ADD COLUMN confirmed   bigint;

ALTER TABLE sync_run DROP CONSTRAINT sync_run_kind_check;
ALTER TABLE sync_run ADD CONSTRAINT sync_run_kind_check
  CHECK (kind IN ('snapshot', 'changes', 'reconcile', 'permissions', 'push')) NOT VALID;
ALTER TABLE sync_run
  -- How many items the run will list, where that is known.
  ADD COLUMN expected bigint,
  -- Its counts at its last few heartbeats, for how fast it goes:
  -- [{"at": seconds, "listed": n, "documents": n, "bytes": n}].
  ADD COLUMN samples  jsonb NOT NULL DEFAULT '[]',
  -- What it remembers of its pages, from slice to slice: loops and limits.
  ADD COLUMN guard jsonb NOT NULL DEFAULT '{}',
  -- When the slice that works on it, or waits, was asked for: how long it starves.
  ADD COLUMN waiting_since timestamptz,
  -- When a batch was committed last: a run that shows heartbeats and no batches is stuck.
  ADD COLUMN progress_at timestamptz;

-- What happened in a run, in order, for people.
CREATE TABLE run_event (
  run_id  uuid NOT NULL REFERENCES sync_run ON DELETE CASCADE,
  id      bigint GENERATED ALWAYS AS IDENTITY,
  at      timestamptz NOT NULL DEFAULT clock(),
  level   text NOT NULL CHECK (level IN ('info', 'warning', 'error')),
  code    text NOT NULL,
  message text NOT NULL,
  PRIMARY KEY (run_id, id)
);

-- What a run took away, gave back or could not read. What it added and updated
-- stands in revision.run_id. Erasure takes these rows too.
CREATE TABLE run_item (
  run_id        uuid NOT NULL REFERENCES sync_run ON DELETE CASCADE,
  id            bigint GENERATED ALWAYS AS IDENTITY,
  at            timestamptz NOT NULL DEFAULT clock(),
  op            text NOT NULL CHECK (op IN ('hidden', 'purged', 'restored', 'refused', 'quarantined')),
  connection_id uuid NOT NULL,
  document_id   uuid,
  external_id   text COLLATE "C" NOT NULL,
  path          text NOT NULL,
  reason        text NOT NULL,
  PRIMARY KEY (run_id, id)
);
CREATE INDEX run_item_document ON run_item (document_id);

-- Deletions that a listing inferred and that wait for an admin.
CREATE TABLE deletion_hold (
  id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  connection_id uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  run_id        uuid NOT NULL,
  listing       bigint NOT NULL,
  -- many: more than the cap allows; empty: the listing had nothing; narrowed: the selection became smaller.
  reason        text NOT NULL CHECK (reason IN ('many', 'empty', 'narrowed')),
  state         text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'approved', 'rejected', 'superseded')),
  documents     bigint NOT NULL,
  -- How many documents the connection had then.
  total         bigint NOT NULL,
  purged        bigint NOT NULL DEFAULT 0,
  -- How many were found again before they were purged.
  kept          bigint NOT NULL DEFAULT 0,
  created_at    timestamptz NOT NULL DEFAULT clock(),
  decided_at    timestamptz,
  decided_by    text NOT NULL DEFAULT '',
  finished_at   timestamptz
);
CREATE UNIQUE INDEX deletion_hold_open ON deletion_hold (connection_id) WHERE state = 'open';
CREATE INDEX deletion_hold_recent ON deletion_hold (connection_id, created_at DESC);
CREATE TABLE held_document (
  hold_id     uuid NOT NULL REFERENCES deletion_hold ON DELETE CASCADE,
  document_id uuid NOT NULL,
  PRIMARY KEY (hold_id, document_id)
);
CREATE INDEX held_document_document ON held_document (document_id);

-- What a container lies in, where containers nest and their ids are no paths:
-- who is below one that could not be listed, or is no longer chosen.
CREATE TABLE container (
  connection_id uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  id            text NOT NULL,
  parent        text NOT NULL,
  PRIMARY KEY (connection_id, id)
);
CREATE INDEX container_parent ON container (connection_id, parent);

-- Items that are not ingested because an admin said so. Of what was erased only
-- the hash of its id is kept: SHA-256 of the connection's id and the item's.
CREATE TABLE exclusion (
  connection_id uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  id_hash       bytea NOT NULL CHECK (length(id_hash) = 32),
  external_id   text COLLATE "C",
  path          text NOT NULL DEFAULT '',
  why           text NOT NULL CHECK (why IN ('excluded', 'erased')),
  reason        text NOT NULL DEFAULT '',
  by            text NOT NULL DEFAULT '',
  at            timestamptz NOT NULL DEFAULT clock(),
  PRIMARY KEY (connection_id, id_hash)
);

-- A quarantined item that an admin wants tried again.
ALTER TABLE quarantine ADD COLUMN retry_at timestamptz;

-- Erasures. They outlive the connection: the receipt is what is left of it.
CREATE TABLE erasure (
  id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  connection_id uuid NOT NULL,
  connection    text NOT NULL,
  source        text NOT NULL,
  scope         text NOT NULL CHECK (scope IN ('document', 'selection', 'connection')),
  -- What is erased, without text of the source: ids of documents by hash.
  target        jsonb NOT NULL DEFAULT '{}',
  state         text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'erasing', 'verifying', 'done', 'failed')),
  fence         bigint NOT NULL DEFAULT 0,
  worker        text NOT NULL DEFAULT '',
  requested_by  text NOT NULL DEFAULT '',
  requested_at  timestamptz NOT NULL DEFAULT clock(),
  started_at    timestamptz,
  heartbeat_at  timestamptz,
  finished_at   timestamptz,
  -- How many rows of each table were removed so far.
  removed       jsonb NOT NULL DEFAULT '{}',
  error         text NOT NULL DEFAULT '',
  receipt       jsonb
);
CREATE INDEX erasure_open ON erasure (requested_at) WHERE state IN ('queued', 'erasing', 'verifying');
CREATE UNIQUE INDEX erasure_connection ON erasure (connection_id) WHERE scope = 'connection' AND state IN ('queued', 'erasing', 'verifying');

-- What an erasure was about: our own ids, and the ids at the source by hash. The
-- proof needs no more, and it holds no text of the source.
CREATE TABLE erasure_item (
  erasure_id  uuid NOT NULL REFERENCES erasure ON DELETE CASCADE,
  id_hash     bytea NOT NULL,
  -- NULL for an item that was listed and never stored.
  document_id uuid,
  PRIMARY KEY (erasure_id, id_hash)
);
-- A document that is being erased is hidden at once.
ALTER TABLE document DROP CONSTRAINT document_hidden_reason_check;
ALTER TABLE document ADD CONSTRAINT document_hidden_reason_check
  CHECK (hidden_reason IN ('absent', 'deleted', 'refused', 'quarantined', 'erased')) NOT VALID;

-- What an admin should know and do: one open row for each cause.
CREATE TABLE notice (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  connection_id uuid REFERENCES connection ON DELETE CASCADE,
  -- What it is about beside the connection: a lane, a profile, a registration.
  subject       text NOT NULL DEFAULT '',
  code          text NOT NULL CHECK (code ~ '^[a-z][a-z0-9_]*$'),
  severity      text NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
  detail        text NOT NULL,
  remedy        text NOT NULL,
  since         timestamptz NOT NULL DEFAULT clock(),
  last_at       timestamptz NOT NULL DEFAULT clock(),
  cleared_at    timestamptz
);
CREATE UNIQUE INDEX notice_open ON notice (coalesce(connection_id, '00000000-0000-0000-0000-000000000000'), code, subject) WHERE cleared_at IS NULL;
CREATE INDEX notice_recent ON notice (since DESC);

-- The processes that work on jobs.
CREATE TABLE worker (
  name       text PRIMARY KEY,
  version    text NOT NULL,
  kinds      text[] NOT NULL,
  slots      int NOT NULL,
  started_at timestamptz NOT NULL DEFAULT clock(),
  seen_at    timestamptz NOT NULL DEFAULT clock()
);

-- Tokens of the admin API. What one may do is what its role and its account's both allow.
CREATE TABLE admin_token (
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name         text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  role         text NOT NULL CHECK (role IN ('owner', 'admin', 'auditor')),
  account_id   uuid REFERENCES account ON DELETE CASCADE,
  secret_hash  bytea NOT NULL UNIQUE,
  hint         text NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT clock(),
  expires_at   timestamptz,
  last_used_at timestamptz,
  revoked_at   timestamptz
);

ALTER TABLE audit_event DROP CONSTRAINT audit_event_actor_kind_check;
ALTER TABLE audit_event ADD CONSTRAINT audit_event_actor_kind_check
  CHECK (actor_kind IN ('account', 'cli', 'system', 'anonymous', 'key', 'token')) NOT VALID;

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
