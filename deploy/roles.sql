-- The one-time script for a PostgreSQL server of your own: makes what only a
-- superuser may make, so that Tributary itself never needs to be one. It may be
-- run again at any time.
--
--   createdb tributary
--   APP_PASSWORD=... MIGRATE_PASSWORD=... psql --file deploy/roles.sql tributary
--
-- The roles' names begin with the database's name, because roles belong to the
-- whole server:
--   DB_owner           owns the tables, no login
--   DB_search_definer  owns the query functions, no login
--   DB_reader          may call the query functions, no login
--   DB_app             DATABASE_URL: rows, never structure
--   DB_migrate         MIGRATE_DATABASE_URL: acts as DB_owner, used by `tributary migrate up`

\set ON_ERROR_STOP on
\getenv app_password APP_PASSWORD
\getenv migrate_password MIGRATE_PASSWORD
\if :{?app_password}
\else
	\warn 'APP_PASSWORD is not set: set it to the password of the role that DATABASE_URL names.'
	SELECT 'APP_PASSWORD is not set'::int;
\endif
\if :{?migrate_password}
\else
	\warn 'MIGRATE_PASSWORD is not set: set it to the password of the role that MIGRATE_DATABASE_URL names.'
	SELECT 'MIGRATE_PASSWORD is not set'::int;
\endif

BEGIN;

SET LOCAL client_min_messages = warning;
-- Passwords stand in statements below; they must not reach the server's log.
SET LOCAL log_statement = 'none';
SET LOCAL log_min_duration_statement = -1;
SET LOCAL log_min_error_statement = 'panic';
SET LOCAL password_encryption = 'scram-sha-256';

SELECT format('CREATE ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS %s', current_database() || suffix, login)
FROM (VALUES ('_owner', 'NOLOGIN'), ('_search_definer', 'NOLOGIN'), ('_reader', 'NOLOGIN'), ('_app', 'LOGIN'), ('_migrate', 'LOGIN')) AS r (suffix, login)
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_database() || suffix)
\gexec

SELECT format('ALTER ROLE %I PASSWORD %L', current_database() || suffix, password)
FROM (VALUES ('_app', :'app_password'), ('_migrate', :'migrate_password')) AS r (suffix, password)
\gexec

-- The statements of the service are short: compiling one takes longer than it runs.
SELECT format('ALTER ROLE %I SET jit = off', current_database() || '_app')
\gexec

SELECT format('GRANT %I TO %I', current_database() || role, current_database() || member)
FROM (VALUES ('_search_definer', '_owner'), ('_owner', '_migrate')) AS r (role, member)
\gexec

CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;

SELECT format('CREATE SCHEMA IF NOT EXISTS %I AUTHORIZATION %I', schema, current_database() || '_owner')
FROM (VALUES ('tributary'), ('river')) AS s (schema)
\gexec

REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO PUBLIC;
SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database())
\gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), current_database() || suffix)
FROM (VALUES ('_app'), ('_reader'), ('_migrate')) AS r (suffix)
\gexec

COMMIT;
