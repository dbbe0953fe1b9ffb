-- +goose NO TRANSACTION
-- Which revisions a run made, and a check that only new rows had to pass.

-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS revision_run ON tributary.revision (run_id);
ALTER TABLE tributary.sync_run VALIDATE CONSTRAINT sync_run_kind_check;

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
