-- +goose NO TRANSACTION
-- The members of a group, each once, however many connections know of it.

-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS membership_of_group ON tributary.membership (group_id, member_id, connection_id);
DROP INDEX CONCURRENTLY IF EXISTS tributary.membership_group;

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
