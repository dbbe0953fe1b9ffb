-- +goose NO TRANSACTION
-- Who is linked to a person or a group, and which keys are a reader's, without
-- reading the others.

-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS reader_principal_principal ON tributary.reader_principal (principal_id, reader_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS api_key_reader ON tributary.api_key (reader_id) WHERE reader_id IS NOT NULL;

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
