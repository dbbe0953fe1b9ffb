-- What SQL logins read is recorded in their own transactions, which they may
-- roll back. What is missing then is counted.

-- +goose Up
-- The calls that were recorded. A number is taken for good and its row goes with
-- the transaction: numbers without a row are reads of which no record is left.
CREATE SEQUENCE sql_read_call;
CREATE TABLE sql_read (
  call bigint PRIMARY KEY
);

-- How far calls were counted, and how far the next count goes: up to a number
-- whose transaction has ended when every one up to until has.
CREATE TABLE sql_read_count (
  one     boolean PRIMARY KEY DEFAULT true CHECK (one),
  counted bigint NOT NULL DEFAULT 0,
  upto    bigint NOT NULL DEFAULT 0,
  until   xid8 NOT NULL DEFAULT '0'
);
INSERT INTO sql_read_count DEFAULT VALUES;

-- The stream of visible documents asks the index alone.
DROP INDEX document_acl_set;
CREATE INDEX document_acl_set ON document (acl_set_id) INCLUDE (id, connection_id, hidden_reason, chunk_count);

-- +goose Down
-- Migrations only go forward: restore a backup instead.
SELECT 1;
