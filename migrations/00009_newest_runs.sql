-- +goose NO TRANSACTION
-- The newest runs of all connections, and how many of a day failed, without
-- reading the others.

-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS sync_run_newest ON tributary.sync_run (queued_at DESC, id DESC) INCLUDE (state);

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
