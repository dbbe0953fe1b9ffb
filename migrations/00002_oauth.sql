-- Accounts and sessions of the web pages; client registrations, grants and
-- their credentials; consent flows; limits of outbound calls; the audit log.
-- Columns that end in _ct are sealed by internal/seal and open only for their
-- own row, generation and field; columns that end in _hash are SHA-256 of a
-- random secret.

-- +goose Up

CREATE TABLE account (
  id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name                text NOT NULL UNIQUE CHECK (name = lower(name) AND name <> ''),
  role                text NOT NULL CHECK (role IN ('owner', 'admin', 'auditor')),
  -- NULL: cannot sign in by password.
  password_hash       text,
  password_changed_at timestamptz,
  -- Set for a password that somebody else knows: it opens nothing but the page that changes it, and nothing after this.
  password_expires_at timestamptz,
  disabled_at         timestamptz,
  last_sign_in_at     timestamptz,
  created_at          timestamptz NOT NULL DEFAULT clock()
);

CREATE TABLE web_session (
  id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  account_id   uuid NOT NULL REFERENCES account ON DELETE CASCADE,
  secret_hash  bytea NOT NULL UNIQUE,
  created_at   timestamptz NOT NULL DEFAULT clock(),
  last_seen_at timestamptz NOT NULL DEFAULT clock(),
  expires_at   timestamptz NOT NULL,
  ip           text NOT NULL DEFAULT '',
  user_agent   text NOT NULL DEFAULT ''
);
CREATE INDEX ON web_session (account_id);

-- The one-time token of the first admin; the row goes with its use.
CREATE TABLE setup_token (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  token_hash bytea NOT NULL,
  expires_at timestamptz NOT NULL
);

-- Failed sign-ins by account name and address; both are hashed.
CREATE TABLE sign_in_throttle (
  key_hash   bytea PRIMARY KEY,
  failures   int NOT NULL,
  last_at    timestamptz NOT NULL,
  next_at    timestamptz NOT NULL
);

-- A value that only the right master key opens.
CREATE TABLE seal_check (
  one        boolean PRIMARY KEY DEFAULT true CHECK (one),
  value bytea NOT NULL
);

CREATE TABLE client_registration (
  id                    uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  name                  text NOT NULL UNIQUE CHECK (name ~ '^[a-z0-9][a-z0-9._-]{0,62}$'),
  provider              text NOT NULL,
  -- The provider's profile with every endpoint, as it was confirmed.
  profile               jsonb NOT NULL,
  endpoints_digest      text NOT NULL,
  base_url              text NOT NULL DEFAULT '',
  redirect_uri          text NOT NULL,
  client_id             text NOT NULL DEFAULT '',
  -- For GitHub Apps the app's id, for service accounts their address.
  subject               text NOT NULL DEFAULT '',
  credential_kinds      text[] NOT NULL DEFAULT '{}' CHECK (credential_kinds <@ ARRAY['secret', 'private_key', 'service_account']),
  credential_gen        bigint NOT NULL DEFAULT 0,
  credential_ct         bytea,
  credential_expires_at timestamptz,
  -- host:port or networks that an owner opened beyond the public internet.
  allow_hosts           text[] NOT NULL DEFAULT '{}',
  state                 text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'active', 'rejected')),
  state_reason          text NOT NULL DEFAULT '',
  created_by            text NOT NULL DEFAULT '',
  created_at            timestamptz NOT NULL DEFAULT clock(),
  updated_at            timestamptz NOT NULL DEFAULT clock()
);

CREATE TABLE oauth_grant (
  id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  registration_id uuid NOT NULL REFERENCES client_registration,
  kind            text NOT NULL CHECK (kind IN ('authorization_code', 'client_credentials', 'jwt_bearer', 'installation')),
  -- The provider's immutable id of the account, '' while unknown.
  subject         text COLLATE "C" NOT NULL DEFAULT '',
  account         text NOT NULL DEFAULT '',
  asked_scopes    text[] NOT NULL DEFAULT '{}',
  scopes          text[] NOT NULL DEFAULT '{}',
  scopes_stated   boolean NOT NULL DEFAULT true,
  -- What else obtains or uses its tokens: installation id, person to act for, hosts of the token answer.
  params          jsonb NOT NULL DEFAULT '{}',
  consented_by    uuid REFERENCES account ON DELETE SET NULL,
  consented_at    timestamptz NOT NULL DEFAULT clock(),
  -- When it ends by the admin's wish, and what becomes of the documents.
  expires_at      timestamptz,
  at_expiry       text NOT NULL DEFAULT 'keep' CHECK (at_expiry IN ('keep', 'hide')),
  -- Until then a revocation of all that the account granted may reach the provider.
  revoking_until  timestamptz,
  closed_at       timestamptz,
  close_note      text NOT NULL DEFAULT '',
  created_at      timestamptz NOT NULL DEFAULT clock()
);
CREATE INDEX ON oauth_grant (registration_id, subject);

-- The token pair of a grant. epoch counts consents, gen counts pairs; every
-- write names both.
CREATE TABLE credential (
  grant_id        uuid PRIMARY KEY REFERENCES oauth_grant ON DELETE CASCADE,
  epoch           int NOT NULL DEFAULT 1,
  gen             bigint NOT NULL DEFAULT 0,
  secret_ct       bytea,
  at_expires      timestamptz,
  obtained_at     timestamptz NOT NULL DEFAULT clock(),
  idle_expires    timestamptz,
  absolute_expires timestamptz,
  phase           text NOT NULL DEFAULT 'idle' CHECK (phase IN ('idle', 'in_flight', 'uncertain')),
  maybe_sent      boolean NOT NULL DEFAULT false,
  t_first         timestamptz,
  attempt_id      uuid,
  holder          text,
  lease_until     timestamptz,
  -- A resource server said 401 to this generation.
  rejected_gen    bigint,
  -- The attempt that obtained the pair; NULL after a consent or the promotion of a spare.
  pair_attempt    uuid,
  -- There is something to refresh with: a refresh token, or a client that asks for itself.
  refreshable     boolean NOT NULL DEFAULT true,
  failures        int NOT NULL DEFAULT 0,
  first_failed_at timestamptz,
  next_try        timestamptz NOT NULL DEFAULT clock(),
  state           text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'needs_reauth', 'config_error', 'closing')),
  state_since     timestamptz NOT NULL DEFAULT clock(),
  fail_class      text NOT NULL DEFAULT '',
  fail_note       text NOT NULL DEFAULT '',
  updated_at      timestamptz NOT NULL DEFAULT clock()
);
CREATE INDEX ON credential (lease_until) WHERE phase = 'in_flight';

-- Pairs that came late or in parallel.
CREATE TABLE credential_spare (
  attempt_id uuid PRIMARY KEY,
  grant_id   uuid NOT NULL REFERENCES oauth_grant ON DELETE CASCADE,
  epoch      int NOT NULL,
  base_gen   bigint NOT NULL,
  secret_ct  bytea NOT NULL,
  rt_hmac    bytea NOT NULL,
  at_expires timestamptz,
  at         timestamptz NOT NULL DEFAULT clock()
);
CREATE INDEX ON credential_spare (grant_id);

-- Every presentation of a refresh token, written before it is sent. rt_hmac
-- tells whether two attempts used one token, without telling the token.
CREATE TABLE refresh_attempt (
  id          uuid PRIMARY KEY,
  -- The order in which the attempts of a grant were claimed.
  seq         bigint GENERATED ALWAYS AS IDENTITY,
  grant_id    uuid NOT NULL REFERENCES oauth_grant ON DELETE CASCADE,
  epoch       int NOT NULL,
  gen         bigint NOT NULL,
  rt_hmac     bytea NOT NULL,
  holder      text NOT NULL,
  replay      boolean NOT NULL DEFAULT false,
  outcome     text NOT NULL DEFAULT '' CHECK (outcome IN ('', 'rotated', 'spare', 'discarded', 'not_sent', 'refused', 'lost', 'orphaned')),
  http_status int,
  error       text NOT NULL DEFAULT '',
  t0          timestamptz NOT NULL DEFAULT clock(),
  t1          timestamptz
);
CREATE INDEX ON refresh_attempt (grant_id, rt_hmac);
CREATE INDEX ON refresh_attempt (holder) WHERE outcome = '';

-- Processes that refresh, and when each was last seen connected.
CREATE TABLE refresh_process (
  holder       text PRIMARY KEY,
  started_at   timestamptz NOT NULL DEFAULT clock(),
  heartbeat_at timestamptz NOT NULL DEFAULT clock()
);

-- The history of commits that the credentials were last used in: cluster,
-- timeline, database and table.
CREATE TABLE credential_origin (
  one   boolean PRIMARY KEY DEFAULT true CHECK (one),
  value text NOT NULL
);
INSERT INTO credential_origin (value) VALUES ('');

-- A consent that is under way; the row is deleted by the callback that uses it.
CREATE TABLE oauth_flow (
  state_hash       bytea PRIMARY KEY,
  registration_id  uuid NOT NULL REFERENCES client_registration ON DELETE CASCADE,
  endpoints_digest text NOT NULL,
  issuer           text NOT NULL,
  redirect_uri     text NOT NULL,
  account_id       uuid NOT NULL REFERENCES account ON DELETE CASCADE,
  session_id       uuid NOT NULL REFERENCES web_session ON DELETE CASCADE,
  -- A consent again for this grant, of this epoch.
  grant_id         uuid REFERENCES oauth_grant ON DELETE CASCADE,
  grant_epoch      int,
  -- The connection to make: name, source, settings, selection, schedule.
  plan             jsonb NOT NULL DEFAULT '{}',
  scopes           text[] NOT NULL DEFAULT '{}',
  verifier_ct      bytea NOT NULL,
  return_to        text NOT NULL DEFAULT '',
  created_at       timestamptz NOT NULL DEFAULT clock(),
  expires_at       timestamptz NOT NULL
);
CREATE INDEX ON oauth_flow (expires_at);

-- A link of the command line that starts a flow in somebody's session.
CREATE TABLE connect_ticket (
  ticket_hash     bytea PRIMARY KEY,
  registration_id uuid NOT NULL REFERENCES client_registration ON DELETE CASCADE,
  grant_id        uuid REFERENCES oauth_grant ON DELETE CASCADE,
  requested_by    text NOT NULL,
  plan            jsonb NOT NULL DEFAULT '{}',
  created_at      timestamptz NOT NULL DEFAULT clock(),
  expires_at      timestamptz NOT NULL
);

ALTER TABLE connection
  ADD COLUMN grant_id uuid REFERENCES oauth_grant,
  ADD COLUMN needed_scopes text[] NOT NULL DEFAULT '{}',
  ADD COLUMN expires_at timestamptz,
  ADD COLUMN at_expiry text NOT NULL DEFAULT 'keep' CHECK (at_expiry IN ('keep', 'hide'));
CREATE INDEX ON connection (grant_id);

-- Token buckets and breakers of outbound calls, by what they protect:
-- 'token:' and registration for token endpoints, 'api:' and registration for
-- APIs.
CREATE TABLE outbound_limit (
  key           text PRIMARY KEY,
  tokens        double precision NOT NULL DEFAULT 0,
  refilled_at   timestamptz NOT NULL DEFAULT clock(),
  -- Nothing goes out before; a server asked for it, or the breaker is open.
  blocked_until timestamptz,
  state         text NOT NULL DEFAULT 'closed' CHECK (state IN ('closed', 'open', 'half_open')),
  failures      int NOT NULL DEFAULT 0,
  opened_at     timestamptz,
  probe_until   timestamptz,
  reason        text NOT NULL DEFAULT ''
);

-- Append-only: no role but the owner of the schema may change or delete rows,
-- and the trigger refuses that too.
CREATE TABLE audit_event (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at            timestamptz NOT NULL DEFAULT clock(),
  actor_kind    text NOT NULL CHECK (actor_kind IN ('account', 'cli', 'system', 'anonymous', 'key')),
  actor         text NOT NULL,
  authenticated boolean NOT NULL,
  ip            text NOT NULL DEFAULT '',
  action        text NOT NULL CHECK (action ~ '^[a-z_]+(\.[a-z_]+)+$'),
  target_kind   text NOT NULL DEFAULT '',
  target        text NOT NULL DEFAULT '',
  outcome       text NOT NULL CHECK (outcome IN ('ok', 'refused', 'failed')),
  detail        jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX ON audit_event (at);
CREATE INDEX ON audit_event (target_kind, target, id);
CREATE INDEX ON audit_event (action, id);

-- +goose StatementBegin
CREATE FUNCTION audit_event_is_final() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  RAISE EXCEPTION 'audit events are never changed or deleted' USING ERRCODE = '42501';
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_event_is_final BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_event
  FOR EACH STATEMENT EXECUTE FUNCTION audit_event_is_final();

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
