-- +goose NO TRANSACTION
-- Which revisions a run made, who is a member of what without knowing the
-- connection (for principals that are erased), and checks that only new rows had
-- to pass.

-- +goose Up
CREATE INDEX CONCURRENTLY IF NOT EXISTS revision_run ON tributary.revision (run_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS membership_member ON tributary.membership (member_id);
CREATE INDEX CONCURRENTLY IF NOT EXISTS membership_group ON tributary.membership (group_id);
ALTER TABLE tributary.sync_run VALIDATE CONSTRAINT sync_run_kind_check;
ALTER TABLE tributary.audit_event VALIDATE CONSTRAINT audit_event_actor_kind_check;
ALTER TABLE tributary.document VALIDATE CONSTRAINT document_hidden_reason_check;

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
