-- The record of who read what. The service writes the reads of its own callers
-- and says whose they are. Of every other login the entrances write it
-- themselves, in the login's transaction: what cannot be recorded is not
-- answered.

-- by_service says whether this session is the service's own login.
CREATE OR REPLACE FUNCTION tributary.by_service() RETURNS boolean
LANGUAGE plpgsql STABLE
AS $$
BEGIN
  RETURN session_user IS NOT DISTINCT FROM (SELECT s.value FROM tributary.setting s WHERE s.key = 'role.app');
END
$$;

-- note_read records that the entrance tool hands documents to this session. It
-- does nothing for the service's own login. Where no document is handed out,
-- there is a read only if a question was asked. Questions are not kept.
CREATE OR REPLACE FUNCTION tributary.note_read(tool text, documents uuid[], question boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  ids uuid[];
  as_of jsonb;
BEGIN
  IF tributary.by_service() THEN RETURN; END IF;
  IF current_setting('transaction_read_only')::boolean THEN
    RAISE EXCEPTION 'reads are recorded, and this transaction is read-only'
      USING ERRCODE = '25006', HINT = 'Ask in a transaction that may write: SET default_transaction_read_only = off, or BEGIN READ WRITE.';
  END IF;
  SELECT coalesce(array_agg(DISTINCT x ORDER BY x), '{}') INTO ids FROM unnest(documents) x;
  IF cardinality(ids) = 0 AND NOT question THEN RETURN; END IF;
  SELECT coalesce(jsonb_object_agg(c.name, c.permissions_as_of), '{}') INTO as_of FROM tributary.connection c
  WHERE c.id IN (SELECT d.connection_id FROM tributary.document d WHERE d.id = ANY (ids));
  PERFORM tributary.write_read(tool, ids, as_of);
END
$$;

-- write_read is the one function of the query path that writes.
-- SECURITY: who reads is the session's, and no argument. The transaction has its
-- id before it takes a number, so that whoever counts knows when it ended.
CREATE OR REPLACE FUNCTION tributary.write_read(tool text, documents uuid[], as_of jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  PERFORM pg_current_xact_id();
  INSERT INTO tributary.sql_read (call) VALUES (nextval('tributary.sql_read_call'));
  INSERT INTO tributary.read_event (reader_id, actor, tool, documents, permissions_as_of)
  SELECT i.reader_id, 'sql:' || session_user, tool, documents, as_of FROM tributary.session_identity() i;
END
$$;

-- count_sql_reads counts the reads of which SQL logins took the record away, by
-- rolling back, and writes how many there were. What is on its way is counted
-- when it has ended. After a crash PostgreSQL leaves out up to 32 numbers, which
-- count too.
CREATE OR REPLACE FUNCTION tributary.count_sql_reads() RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  c tributary.sql_read_count;
  n bigint := 0;
  last bigint;
BEGIN
  -- Before this transaction has an id: whoever has taken one of these numbers has a smaller one.
  SELECT CASE WHEN s.is_called THEN s.last_value ELSE 0 END INTO last FROM tributary.sql_read_call s;
  SELECT * INTO c FROM tributary.sql_read_count FOR UPDATE SKIP LOCKED;
  IF NOT FOUND THEN RETURN 0; END IF;
  -- An id of the future is one of before the database was restored.
  IF c.upto > c.counted AND (c.until < pg_snapshot_xmin(pg_current_snapshot()) OR c.until > pg_snapshot_xmax(pg_current_snapshot())) THEN
    n := c.upto - c.counted - (SELECT count(*) FROM tributary.sql_read r WHERE r.call > c.counted AND r.call <= c.upto);
    DELETE FROM tributary.sql_read r WHERE r.call <= c.upto;
    IF n > 0 THEN INSERT INTO tributary.read_event (actor, tool, documents, lost) VALUES ('sql', 'lost', '{}', n); END IF;
    c.counted := c.upto;
  END IF;
  IF c.upto = c.counted THEN
    c.upto := greatest(last, c.counted);
    c.until := pg_current_xact_id();
  END IF;
  UPDATE tributary.sql_read_count SET counted = c.counted, upto = c.upto, until = c.until;
  RETURN n;
END
$$;

-- forget_reads deletes records that are older than keep, at most most of them.
-- SECURITY: the service may change and delete records by this function and the
-- next only, and none of the last day.
CREATE OR REPLACE FUNCTION tributary.forget_reads(keep interval, most int) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
DECLARE
  n bigint;
BEGIN
  DELETE FROM tributary.read_event WHERE id = ANY (ARRAY(
    SELECT e.id FROM tributary.read_event e WHERE e.at < tributary.clock() - greatest(keep, interval '1 day') ORDER BY e.at LIMIT most));
  GET DIAGNOSTICS n = ROW_COUNT;
  RETURN n;
END
$$;

-- forget_questions takes the questions out of records: those that the documents
-- answered and those that the reader asked. It waits for whoever is writing some,
-- and whoever writes later finds documents and reader gone.
CREATE OR REPLACE FUNCTION tributary.forget_questions(documents uuid[], reader uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, tributary, public, pg_temp
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(tributary.questions_lock());
  UPDATE tributary.read_event e SET query = NULL WHERE e.documents && forget_questions.documents AND e.query IS NOT NULL;
  UPDATE tributary.read_event e SET query = NULL WHERE e.reader_id = forget_questions.reader AND e.query IS NOT NULL;
END
$$;

-- questions_lock is held, shared, by a transaction that writes questions.
CREATE OR REPLACE FUNCTION tributary.questions_lock() RETURNS bigint
LANGUAGE sql IMMUTABLE
AS $$ SELECT x'7175657374696f6e'::bigint $$;
