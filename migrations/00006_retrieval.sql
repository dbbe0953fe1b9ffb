-- Who readers are and how they are found at sources, how keys name them, who
-- read what, and the feed of changes.

-- +goose Up

-- search_words writes runs of letters without spaces between words (Chinese,
-- Japanese, Korean, Thai, Lao, Khmer, Burmese) as overlapping pairs, which text
-- search then takes for words, and with ends the last letter of each run by
-- itself, so that every letter begins a word. Full-width and half-width letters
-- become ordinary ones. A letter is what a reader sees as one: with its marks.
-- Chunks hold what it returned: a change of its body needs a new wordsVersion.
-- +goose StatementBegin
CREATE FUNCTION search_words(txt text, ends boolean) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  -- Thai, Lao, Burmese, Khmer, Kana, Bopomofo, Han: a line may break anywhere.
  joined constant text := '\u0E01-\u0E3A\u0E40-\u0E4E\u0E81-\u0ECE\u1000-\u103F\u1050-\u108F\u109A-\u109D\u1780-\u17D3\u17D7\u17DC\u17DD\u3005-\u3007\u3041-\u3096\u3099-\u309F\u30A1-\u30FA\u30FC-\u312F\u31A0-\u31BF\u31F0-\u31FF\u3400-\u4DBF\u4E00-\u9FFF\uA9E0-\uA9FE\uAA60-\uAA7F\uF900-\uFAFF\U00020000-\U000323AF';
  hangul constant text := '\uAC00-\uD7A3';
  marks constant text := '\u0E31\u0E33-\u0E3A\u0E47-\u0E4E\u0EB1\u0EB3-\u0EBC\u0EC8-\u0ECE\u102B-\u103E\u1056-\u1059\u105E-\u1060\u1062-\u1064\u1067-\u106D\u1071-\u1074\u1082-\u108D\u109A-\u109D\u17B4-\u17D3\u17DD\u3099\u309A';
BEGIN
  IF octet_length(txt) = length(txt) THEN RETURN txt; END IF;
  IF txt ~ '[\u2E80-\u2FDF\u3200-\u33FF\uFB00-\uFB06\uFF01-\uFFEE]' THEN txt := normalize(txt, NFKC); END IF;
  IF txt !~ ('[' || joined || hangul || ']') THEN RETURN txt; END IF;
  -- Line breaks and invisible separators inside a run are no gaps.
  txt := regexp_replace(translate(txt, E'\u0001\u0002', ''), '([' || joined || '])(?:[\u200B-\u200D\u2060]+|\n)(?=[' || joined || '])', '\1', 'g');
  -- ABC becomes (A AB BC C), of which the first goes, and the last unless ends.
  txt := regexp_replace(txt, '([' || joined || hangul || ']+)', E'\u0001\\1\u0002', 'g');
  txt := regexp_replace(txt, '([' || joined || hangul || '][' || marks || ']*)', '\1 \1', 'g');
  txt := regexp_replace(txt, E'\u0001[^ ]+ ', '  ', 'g');
  IF NOT ends THEN txt := regexp_replace(txt, E'([^ ]) [^ ]+\u0002', '\1 ', 'g'); END IF;
  RETURN translate(txt, E'\u0002', ' ');
END
$$;
-- +goose StatementEnd

-- to_tsv is the text search vector of a chunk: words of a heading line weigh A.
-- It is immutable because a stored column depends on it; a change of its body
-- needs a new wordsVersion, by which migrating rebuilds chunk.tsv.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION to_tsv(lang text, txt text) RETURNS tsvector
LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE
AS $$
DECLARE
  config regconfig := CASE WHEN lang = 'simple' THEN 'pg_catalog.simple'::regconfig
                           ELSE ('pg_catalog.' || quote_ident(lang))::regconfig END;
  eol int;
BEGIN
  IF left(txt, 1) <> '#' THEN
    RETURN to_tsvector(config, tributary.search_words(txt, true));
  END IF;
  eol := position(E'\n' IN txt);
  IF eol = 0 THEN
    RETURN setweight(to_tsvector(config, tributary.search_words(txt, true)), 'A');
  END IF;
  RETURN setweight(to_tsvector(config, tributary.search_words(left(txt, eol), true)), 'A')
    || to_tsvector(config, tributary.search_words(substr(txt, eol + 1), true));
END
$$;
-- +goose StatementEnd

-- Who a reader is to an identity provider; the subject is compared byte for byte.
CREATE TABLE reader_identity (
  issuer     text COLLATE "C" NOT NULL,
  subject    text COLLATE "C" NOT NULL,
  reader_id  uuid NOT NULL REFERENCES reader ON DELETE CASCADE,
  how        text NOT NULL CHECK (how IN ('manual', 'import')),
  created_at timestamptz NOT NULL DEFAULT clock(),
  PRIMARY KEY (issuer, subject)
);
CREATE INDEX reader_identity_reader ON reader_identity (reader_id);

-- An address that somebody who may say so confirmed to be the reader's. It maps
-- to principals only in realms where an admin enabled that.
CREATE TABLE reader_email (
  reader_id  uuid NOT NULL REFERENCES reader ON DELETE CASCADE,
  email      text COLLATE "C" NOT NULL,
  how        text NOT NULL CHECK (how IN ('manual', 'import')),
  created_at timestamptz NOT NULL DEFAULT clock(),
  PRIMARY KEY (reader_id, email)
);
CREATE INDEX reader_email_email ON reader_email (email);

-- What a source says of its people. Evidence per connection: the set is replaced
-- by each complete reading of groups.
CREATE TABLE principal_email (
  connection_id uuid NOT NULL REFERENCES connection ON DELETE CASCADE,
  principal_id  bigint NOT NULL REFERENCES principal,
  email         text COLLATE "C" NOT NULL,
  verified      boolean NOT NULL,
  PRIMARY KEY (connection_id, principal_id, email)
);
CREATE INDEX principal_email_email ON principal_email (email);
CREATE INDEX principal_email_principal ON principal_email (principal_id);

-- Readers are mapped by verified e-mail in the connection's realm.
ALTER TABLE connection ADD COLUMN map_email boolean NOT NULL DEFAULT false;

-- How a key names its reader: bound to one; by a signed assertion with each
-- request; as a trusted backend by plain id; or nobody's, which sees what was
-- shared with the key.
ALTER TABLE api_key
  ADD COLUMN mode text NOT NULL DEFAULT 'bound' CHECK (mode IN ('bound', 'assertion', 'trusted', 'own')),
  ADD COLUMN per_minute int CHECK (per_minute BETWEEN 1 AND 1000000),
  ADD COLUMN created_by text NOT NULL DEFAULT '',
  -- The secret before the last rotation, while it still counts.
  ADD COLUMN previous_hash bytea,
  ADD COLUMN previous_until timestamptz,
  -- When it named unusually many readers, and how many.
  ADD COLUMN alarmed_at timestamptz,
  ADD COLUMN alarm_readers int NOT NULL DEFAULT 0,
  ADD CHECK ((previous_hash IS NULL) = (previous_until IS NULL));
CREATE UNIQUE INDEX api_key_previous ON api_key (previous_hash) WHERE previous_hash IS NOT NULL;
UPDATE api_key SET mode = 'own' WHERE reader_id IS NULL;
ALTER TABLE api_key ADD CHECK ((mode = 'bound') = (reader_id IS NOT NULL));
ALTER TABLE api_key ADD CHECK (mode <> 'trusted' OR (NOT all_connections AND expires_at IS NOT NULL));

-- The public keys that may sign assertions of a key.
CREATE TABLE key_signer (
  key_id     uuid NOT NULL REFERENCES api_key ON DELETE CASCADE,
  kid        text NOT NULL,
  algorithm  text NOT NULL CHECK (algorithm IN ('EdDSA', 'ES256', 'RS256', 'PS256')),
  public_key bytea NOT NULL, -- PKIX, DER
  created_at timestamptz NOT NULL DEFAULT clock(),
  PRIMARY KEY (key_id, kid)
);

-- Assertions that were used, until they expire by themselves.
CREATE TABLE assertion_used (
  key_id   uuid NOT NULL REFERENCES api_key ON DELETE CASCADE,
  jti_hash bytea NOT NULL,
  until    timestamptz NOT NULL,
  PRIMARY KEY (key_id, jti_hash)
);
CREATE INDEX assertion_used_until ON assertion_used (until);

-- Who read which documents. Written in batches; lost says how many reads before
-- this row could not be written.
CREATE TABLE read_event (
  id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at                timestamptz NOT NULL DEFAULT clock(),
  reader_id         uuid,
  key_id            uuid,
  actor             text NOT NULL DEFAULT '', -- a bare principal, an SQL login, an admin who views as a reader
  tool              text NOT NULL,
  documents         uuid[] NOT NULL,
  permissions_as_of jsonb NOT NULL DEFAULT '{}',
  query             text,
  lost              bigint NOT NULL DEFAULT 0
);
CREATE INDEX read_event_at ON read_event (at);
CREATE INDEX read_event_documents ON read_event USING gin (documents);
CREATE INDEX read_event_reader ON read_event (reader_id, id) WHERE reader_id IS NOT NULL;
CREATE INDEX read_event_lost ON read_event (at) WHERE lost > 0;

-- The feed. A row says what changed and holds none of it; the one sequencer
-- gives committed rows their positions, without gaps. Of kind membership, detail
-- lists pairs of group and member.
ALTER TABLE outbox DROP CONSTRAINT outbox_kind_check;
ALTER TABLE outbox ADD CONSTRAINT outbox_kind_check
  CHECK (kind IN ('revision', 'fields', 'embed', 'hide', 'show', 'purge', 'acl', 'membership', 'stale')) NOT VALID;
ALTER TABLE outbox
  ADD COLUMN position bigint,
  ADD COLUMN detail   jsonb;
CREATE UNIQUE INDEX outbox_position ON outbox (position);
CREATE INDEX outbox_waiting ON outbox (id) WHERE position IS NULL;

-- How far the feed is: its last position, and the last that was dropped because
-- of its age. Whoever gives positions holds this row.
CREATE TABLE feed_head (
  one          boolean PRIMARY KEY DEFAULT true CHECK (one),
  position     bigint NOT NULL DEFAULT 0,
  dropped      bigint NOT NULL DEFAULT 0,
  sequenced_at timestamptz NOT NULL DEFAULT clock()
);
INSERT INTO feed_head DEFAULT VALUES;
-- Whether the feed says that the connection's permissions are too old.
ALTER TABLE connection ADD COLUMN told_stale boolean NOT NULL DEFAULT true;

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
