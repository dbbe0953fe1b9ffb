-- Guards of consents and of the audit log.

-- +goose Up

-- A revocation of tokens that no grant was made of, which may end all that the
-- account granted. A consent of that account which began before its end is not
-- stored.
CREATE TABLE account_revoking (
  id              uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  registration_id uuid NOT NULL REFERENCES client_registration ON DELETE CASCADE,
  subject         text COLLATE "C" NOT NULL,
  until           timestamptz NOT NULL
);
CREATE INDEX ON account_revoking (registration_id, subject);

-- The time of an event is the database's, whoever writes it. Its number is too:
-- the service has no right to write that column.
-- +goose StatementBegin
CREATE FUNCTION audit_event_at() RETURNS trigger
LANGUAGE plpgsql SET search_path = tributary, pg_temp
AS $$
BEGIN
  NEW.at := tributary.clock();
  RETURN NEW;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER audit_event_at BEFORE INSERT ON audit_event
  FOR EACH ROW EXECUTE FUNCTION audit_event_at();

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
