-- Which principals verified addresses make a reader. The columns email compare
-- bytes: what is not plain ASCII, or not in normal form, is never stored there.

-- email_matches joins readers with the users of realms by address: one row for
-- each. problem is '' where that makes the reader the principal; otherwise it
-- says why the address maps to nobody.
-- SECURITY: an address counts only where the source says that it is verified
-- and an admin enabled mapping for the connection. An address that two users of
-- a realm or two readers have, and a user with addresses of two readers, map to
-- nobody, whichever connection of the realm says so.
-- of narrows it to these principals; NULL is everybody. What decides about them
-- is looked at whole all the same.
DROP FUNCTION IF EXISTS tributary.email_matches();
CREATE OR REPLACE FUNCTION tributary.email_matches(of bigint[])
RETURNS TABLE (realm_id bigint, principal_id bigint, reader_id uuid, email text, problem text)
LANGUAGE sql STABLE
AS $$
  WITH said AS (
    SELECT p.realm_id, p.id AS principal_id, e.email, bool_or(c.map_email) AS mapped
    FROM tributary.principal_email e
    JOIN tributary.connection c ON c.id = e.connection_id
    JOIN tributary.principal p ON p.id = e.principal_id AND p.realm_id = c.realm_id AND p.kind = 'user'
    WHERE e.verified AND e.email IN (SELECT r.email FROM tributary.reader_email r)
      -- The array lets the addresses be looked up one by one where $1 is known.
      AND ($1 IS NULL OR e.email = ANY (ARRAY(SELECT x.email FROM tributary.principal_email x WHERE x.principal_id = ANY ($1))))
    GROUP BY p.realm_id, p.id, e.email
  ), pairs AS (
    SELECT s.*, r.reader_id,
           count(*) OVER (PARTITION BY s.realm_id, s.email, r.reader_id) AS users,
           count(*) OVER (PARTITION BY s.principal_id, s.email) AS readers,
           min(r.reader_id::text) OVER (PARTITION BY s.principal_id) <> max(r.reader_id::text) OVER (PARTITION BY s.principal_id) AS torn
    FROM said s JOIN tributary.reader_email r ON r.email = s.email
  )
  SELECT p.realm_id, p.principal_id, p.reader_id, p.email,
         CASE WHEN p.users > 1 THEN 'several accounts of the realm have the address'
              WHEN p.readers > 1 THEN 'several readers have the address'
              WHEN p.torn THEN 'the account has addresses of several readers'
              WHEN NOT p.mapped THEN 'mapping by e-mail is off'
              ELSE '' END
  FROM pairs p
  WHERE $1 IS NULL OR p.principal_id = ANY ($1)
$$;

-- map_emails makes the links with how = 'email' those that email_matches gives.
-- It runs in every transaction that changes evidence, an address of a reader or
-- the switch of a connection; the last of two such transactions sees both.
-- emails and people narrow it to who has one of the addresses or is one of the
-- people: those of a change. NULL is everybody.
DROP FUNCTION IF EXISTS tributary.map_emails();
CREATE OR REPLACE FUNCTION tributary.map_emails(emails text[], people bigint[], OUT made bigint, OUT ended bigint)
LANGUAGE plpgsql
SET plan_cache_mode = force_custom_plan
AS $$
DECLARE
  of bigint[];
BEGIN
  PERFORM tributary.lock_emails();
  IF emails IS NOT NULL THEN
    of := ARRAY(SELECT e.principal_id FROM tributary.principal_email e WHERE e.email = ANY (emails)
                UNION SELECT unnest(people));
  END IF;
  WITH want AS MATERIALIZED (
    SELECT DISTINCT m.reader_id, m.principal_id FROM tributary.email_matches(of) m WHERE m.problem = ''
  ), stands AS MATERIALIZED (
    SELECT l.reader_id, l.principal_id, l.how FROM tributary.reader_principal l WHERE of IS NULL OR l.principal_id = ANY (of)
  ), gone AS (
    DELETE FROM tributary.reader_principal l
    USING (SELECT s.reader_id, s.principal_id FROM stands s WHERE s.how = 'email' EXCEPT SELECT w.reader_id, w.principal_id FROM want w) x
    WHERE l.reader_id = x.reader_id AND l.principal_id = x.principal_id AND l.how = 'email'
    RETURNING 1
  ), more AS (
    INSERT INTO tributary.reader_principal (reader_id, principal_id, how)
    SELECT x.reader_id, x.principal_id, 'email'
    FROM (SELECT w.reader_id, w.principal_id FROM want w EXCEPT SELECT s.reader_id, s.principal_id FROM stands s) x ORDER BY 1, 2
    ON CONFLICT DO NOTHING RETURNING 1
  )
  SELECT (SELECT count(*) FROM more), (SELECT count(*) FROM gone) INTO made, ended;
END
$$;

-- lock_emails is taken first by transactions that end with map_emails, so that
-- they wait for each other and not in a circle.
CREATE OR REPLACE FUNCTION tributary.lock_emails() RETURNS void
LANGUAGE sql
AS $$ SELECT pg_advisory_xact_lock(7308604875709836641) $$; -- "email_ma"
