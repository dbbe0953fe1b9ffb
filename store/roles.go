package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/migrations"
)

// Roles are the database roles of an instance. Roles belong to the whole
// cluster, so their names carry the database's name.
type Roles struct {
	// Owner has the tables and does DDL; no login.
	Owner string
	// App is the service's login: rows, never structure.
	App string
	// SearchDefiner owns the query functions and nothing else; no login.
	SearchDefiner string
	// Reader may execute the query functions; SQL logins are its members.
	Reader string
}

func rolesOf(prefix, database string) Roles {
	if prefix == "" {
		prefix = database
	}
	return Roles{
		Owner:         prefix + "_owner",
		App:           prefix + "_app",
		SearchDefiner: prefix + "_search_definer",
		Reader:        prefix + "_reader",
	}
}

const minVector = "0.8"

// prepare makes what only the role of the URL may make: roles, schemas, the
// extension. Each step is skipped where its result stands, so that a role with
// few rights can repeat it after the one-time script.
func (m *migrator) prepare(ctx context.Context) error {
	if err := m.createRoles(ctx); err != nil {
		return err
	}
	db := pgx.Identifier{m.conn.Config().Database}.Sanitize()
	owner := pgx.Identifier{m.roles.Owner}.Sanitize()
	var have int
	err := m.conn.QueryRow(ctx, `
		SELECT count(*) FROM pg_namespace
		WHERE nspname IN ('tributary', $1) AND pg_has_role(nspowner, 'USAGE')`, RiverSchema).Scan(&have)
	if err != nil {
		return fmt.Errorf("reading schemas: %w", err)
	}
	if have < 2 {
		// In one transaction: schemas that stand mean that the rest is done.
		err := pgx.BeginFunc(ctx, m.conn, func(tx pgx.Tx) error {
			for _, q := range []string{
				`CREATE SCHEMA IF NOT EXISTS tributary AUTHORIZATION ` + owner,
				`CREATE SCHEMA IF NOT EXISTS ` + RiverSchema + ` AUTHORIZATION ` + owner,
				`REVOKE ALL ON SCHEMA public FROM PUBLIC`,
				`GRANT USAGE ON SCHEMA public TO PUBLIC`,
				`REVOKE ALL ON DATABASE ` + db + ` FROM PUBLIC`,
				`GRANT CONNECT ON DATABASE ` + db + ` TO ` + pgx.Identifier{m.roles.App}.Sanitize() + `, ` + pgx.Identifier{m.roles.Reader}.Sanitize(),
			} {
				if _, err := tx.Exec(ctx, q); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("creating schemas: %w (run the one-time script of docs/database.md as a superuser)", err)
		}
	}
	return m.prepareVector(ctx)
}

func (m *migrator) createRoles(ctx context.Context) error {
	for _, r := range []struct{ name, options, set string }{
		{m.roles.Owner, "NOLOGIN", ""},
		// The statements of the service are short: compiling one takes longer than it runs.
		{m.roles.App, "LOGIN", "jit = off"},
		{m.roles.SearchDefiner, "NOLOGIN", ""},
		{m.roles.Reader, "NOLOGIN", ""},
	} {
		if len(r.name) > 63 {
			return &InputError{Field: "DATABASE_URL", Problem: fmt.Sprintf("names a database whose role %q would be longer than 63 characters", r.name)}
		}
		var exists bool
		if err := m.conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, r.name).Scan(&exists); err != nil {
			return fmt.Errorf("reading roles: %w", err)
		}
		if exists {
			continue
		}
		name := pgx.Identifier{r.name}.Sanitize()
		q := `CREATE ROLE ` + name + ` NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS ` + r.options
		if r.set != "" {
			q += `; ALTER ROLE ` + name + ` SET ` + r.set
		}
		if _, err := m.conn.Exec(ctx, q); err != nil && !alreadyThere(err) {
			return fmt.Errorf("creating role %s: %w (run the one-time script of docs/database.md as a superuser)", r.name, err)
		}
	}
	if err := m.grantRole(ctx, m.roles.SearchDefiner, m.roles.Owner); err != nil {
		return err
	}
	if m.opts.AppPassword == "" {
		return nil
	}
	var q string
	if err := m.conn.QueryRow(ctx, `SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text)`, m.roles.App, m.opts.AppPassword).Scan(&q); err != nil {
		return fmt.Errorf("setting the password of role %s: %w", m.roles.App, err)
	}
	if _, err := m.conn.Exec(ctx, q); err != nil {
		return fmt.Errorf("setting the password of role %s: %w", m.roles.App, err)
	}
	return nil
}

func (m *migrator) grantRole(ctx context.Context, role, to string) error {
	var member bool
	if err := m.conn.QueryRow(ctx, `SELECT pg_has_role($1, $2, 'MEMBER')`, to, role).Scan(&member); err != nil {
		return fmt.Errorf("reading role members: %w", err)
	}
	if member {
		return nil
	}
	q := `GRANT ` + pgx.Identifier{role}.Sanitize() + ` TO ` + pgx.Identifier{to}.Sanitize()
	if _, err := m.conn.Exec(ctx, q); err != nil && !alreadyThere(err) {
		return fmt.Errorf("granting role %s: %w", role, err)
	}
	return nil
}

// alreadyThere reports a loss against another migrator of the same cluster,
// which was making the same role for another database.
func alreadyThere(err error) bool {
	var pe *pgconn.PgError
	return errors.As(err, &pe) && (pe.Code == "42710" || pe.Code == "23505" || pe.Code == "XX000")
}

func (m *migrator) prepareVector(ctx context.Context) error {
	var have *string
	err := m.conn.QueryRow(ctx, `SELECT (SELECT extversion FROM pg_extension WHERE extname = 'vector')`).Scan(&have)
	if err != nil {
		return fmt.Errorf("reading extensions: %w", err)
	}
	if have == nil {
		if _, err := m.conn.Exec(ctx, `CREATE EXTENSION IF NOT EXISTS vector SCHEMA public`); err != nil {
			return fmt.Errorf("creating extension vector: %w (install pgvector %s or newer on the database server)", err, minVector)
		}
	}
	var ok bool
	err = m.conn.QueryRow(ctx, `
		SELECT string_to_array(regexp_replace(extversion, '[^0-9.].*', ''), '.')::int[] >= string_to_array($1, '.')::int[]
		FROM pg_extension WHERE extname = 'vector'`, minVector).Scan(&ok)
	if err != nil {
		return fmt.Errorf("reading the version of extension vector: %w", err)
	}
	if !ok {
		return fmt.Errorf("extension vector is older than %s: install a newer pgvector, then run ALTER EXTENSION vector UPDATE", minVector)
	}
	return nil
}

// applyRoutines applies migrations/routines when their text, the roles they name,
// or the tables that they grant rights on changed, and records what stands then;
// and when what stands is not what was recorded. It reports whether it did.
func (m *migrator) applyRoutines(ctx context.Context, version int64) (bool, error) {
	names, err := fs.Glob(migrations.FS, "routines/*.sql")
	if err != nil {
		return false, fmt.Errorf("listing routines: %w", err)
	}
	fill := strings.NewReplacer(
		"{{owner}}", pgx.Identifier{m.roles.Owner}.Sanitize(), "{{app}}", pgx.Identifier{m.roles.App}.Sanitize(),
		"{{search_definer}}", pgx.Identifier{m.roles.SearchDefiner}.Sanitize(), "{{reader}}", pgx.Identifier{m.roles.Reader}.Sanitize())
	h := sha256.New()
	bodies := make([]string, len(names))
	for i, name := range names {
		raw, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			return false, fmt.Errorf("reading routine: %w", err)
		}
		bodies[i] = fill.Replace(string(raw))
		h.Write([]byte(bodies[i]))
	}
	text := h.Sum(nil)
	applied := false
	err = pgx.BeginFunc(ctx, m.pool, func(tx pgx.Tx) error {
		var same bool
		var jobs int64
		if err := tx.QueryRow(ctx, `SELECT max(version) FROM `+RiverSchema+`.river_migration`).Scan(&jobs); err != nil {
			return fmt.Errorf("reading the version of the job tables: %w", err)
		}
		sum := sumOf(text, version, jobs)
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM setting WHERE key = 'routines.sha256' AND value = $1)`, sum).Scan(&same)
		if err != nil {
			return fmt.Errorf("reading settings: %w", err)
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO setting (key, value) VALUES
				('schema.version', $1), ('role.owner', $2), ('role.app', $3), ('role.search_definer', $4), ('role.reader', $5), ('routines.sha256', $6)
			ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE setting.value <> excluded.value`,
			strconv.FormatInt(version, 10), m.roles.Owner, m.roles.App, m.roles.SearchDefiner, m.roles.Reader, sum)
		if err != nil {
			return fmt.Errorf("writing settings: %w", err)
		}
		recorded, err := recordedCatalog(ctx, tx)
		if err != nil {
			return err
		}
		have, err := readCatalog(ctx, tx, m.roles)
		if err != nil || same && recorded != nil && len(recorded.differences(have)) == 0 {
			return err
		}
		for i, body := range bodies {
			if _, err := tx.Exec(ctx, body); err != nil {
				return fmt.Errorf("applying %s: %w", names[i], err)
			}
		}
		applied = true
		if have, err = readCatalog(ctx, tx, m.roles); err != nil {
			return err
		}
		if !same || recorded == nil {
			return recordCatalog(ctx, tx, have)
		}
		// SECURITY: what somebody changed beside the routines does not become right by migrating again.
		for _, problem := range recorded.differences(have) {
			m.opts.Log.Warn("something in the database is not as a migration left it, and cannot be put back by migrating", "problem", problem)
		}
		return nil
	})
	return applied, err
}

// sumOf is the sum of routines and of the migrations beneath them.
func sumOf(routines []byte, schema, jobs int64) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%x %d %d", routines, schema, jobs))
	return hex.EncodeToString(sum[:])
}
