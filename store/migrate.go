package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"tributary/migrations"
)

// RiverSchema is the schema of River's own tables.
const RiverSchema = "river"

// migrateLock serialises migrators of one database; advisory locks are per
// database.
const migrateLock int64 = 0x7472696275746172 // "tributar"

// lockPatience is how long a migration keeps trying to get a table lock, three
// seconds at a time, so that it never queues in front of live traffic.
const lockPatience = 2 * time.Minute

// MigrateOptions says how a database is brought up to date.
type MigrateOptions struct {
	// RolePrefix begins the names of the roles; "" is the database's name.
	RolePrefix string
	// AppPassword is set as the password of the role app; "" leaves it.
	AppPassword string
	Log         *slog.Logger
}

// MigrateReport says what Migrate did.
type MigrateReport struct {
	// From and To are schema versions; they are equal when nothing was to do.
	From, To int64
	Roles    Roles
	// Routines is true when the query functions and privileges were applied.
	Routines bool
}

// Migrate brings the database at url to this binary's schema: roles, the
// vector extension, River's tables, the numbered migrations and the routines,
// under one lock. It may be killed at any point and run again. The role of url
// is a superuser, or one that the documented one-time script set up.
func Migrate(ctx context.Context, url string, opts MigrateOptions) (MigrateReport, error) {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return MigrateReport{}, fmt.Errorf("connecting to migrate: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := lockMigrations(ctx, conn); err != nil {
		return MigrateReport{}, err
	}
	m := &migrator{conn: conn, opts: opts, roles: rolesOf(opts.RolePrefix, conn.Config().Database)}
	if err := m.prepare(ctx); err != nil {
		return MigrateReport{}, err
	}
	pool, err := ownerPool(ctx, url, m.roles.Owner)
	if err != nil {
		return MigrateReport{}, err
	}
	defer pool.Close()
	m.pool = pool
	return m.run(ctx)
}

// lockMigrations takes the migration lock for the life of conn. Nothing is
// held in a transaction, so a waiting migrator blocks nobody.
func lockMigrations(ctx context.Context, conn *pgx.Conn) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var ok bool
		if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, migrateLock).Scan(&ok); err != nil {
			return fmt.Errorf("locking migrations: %w", err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for another migration: %w", ctx.Err())
		case <-tick.C:
		}
	}
}

func ownerPool(ctx context.Context, url, owner string) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading migration URL: %w", err)
	}
	pc.MaxConns = 4
	pc.ConnConfig.RuntimeParams["role"] = owner
	pc.ConnConfig.RuntimeParams["search_path"] = "tributary, public"
	pc.ConnConfig.RuntimeParams["lock_timeout"] = "3000"
	pc.ConnConfig.RuntimeParams["client_min_messages"] = "warning"
	// What a killed migrator was executing ends with it.
	pc.ConnConfig.RuntimeParams["client_connection_check_interval"] = "1000"
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("opening migration pool: %w", err)
	}
	return pool, nil
}

type migrator struct {
	conn  *pgx.Conn     // the role of the URL; holds the lock
	pool  *pgxpool.Pool // the role owner
	roles Roles
	opts  MigrateOptions
}

func (m *migrator) run(ctx context.Context) (report MigrateReport, err error) { //nolint:nonamedreturns // closing reports into it
	report.Roles = m.roles
	db := stdlib.OpenDBFromPool(m.pool)
	defer func() { err = errors.Join(err, db.Close()) }()
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations.FS,
		goose.WithTableName("goose_version"), goose.WithDisableGlobalRegistry(true), goose.WithSlog(m.opts.Log))
	if err != nil {
		return report, fmt.Errorf("reading migrations: %w", err)
	}
	if report.From, err = provider.GetDBVersion(ctx); err != nil {
		return report, fmt.Errorf("reading schema version: %w", err)
	}
	want, err := wantVersion()
	if err != nil {
		return report, err
	}
	if report.From > want {
		// A newer release was here: its functions are not this one's to replace.
		m.opts.Log.Info("the database is newer than this program", "have", report.From, "want", want)
		report.To = report.From
		return report, nil
	}
	if err := m.checkSums(ctx); err != nil {
		return report, err
	}
	if err := m.retryLocked(ctx, "migrating job tables", m.migrateRiver); err != nil {
		return report, err
	}
	if err := m.retryLocked(ctx, "repairing indexes", m.repairIndexes); err != nil {
		return report, err
	}
	err = m.retryLocked(ctx, "migrating schema", func(ctx context.Context) error {
		_, err := provider.Up(ctx)
		return err
	})
	if err != nil {
		return report, err
	}
	if err := m.recordSums(ctx); err != nil {
		return report, err
	}
	if report.To, err = provider.GetDBVersion(ctx); err != nil {
		return report, fmt.Errorf("reading schema version: %w", err)
	}
	err = m.retryLocked(ctx, "applying routines", func(ctx context.Context) (err error) {
		report.Routines, err = m.applyRoutines(ctx, report.To)
		return err
	})
	if err != nil {
		return report, err
	}
	return report, m.rebuildWords(ctx)
}

func (m *migrator) migrateRiver(ctx context.Context) error {
	rm, err := rivermigrate.New(riverpgxv5.New(m.pool), &rivermigrate.Config{Schema: RiverSchema, Logger: m.opts.Log})
	if err != nil {
		return fmt.Errorf("reading job migrations: %w", err)
	}
	// Not MigrateTx: new enum values cannot be used in the transaction that
	// adds them (PostgreSQL: ALTER TYPE, Notes).
	_, err = rm.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}

// retryLocked repeats fn while it fails for want of a table lock.
func (m *migrator) retryLocked(ctx context.Context, what string, fn func(context.Context) error) error {
	deadline := time.Now().Add(lockPatience)
	for {
		err := fn(ctx)
		var pe *pgconn.PgError
		if err == nil {
			return nil
		}
		if !errors.As(err, &pe) || pe.Code != "55P03" || time.Now().After(deadline) {
			return fmt.Errorf("%s: %w", what, err)
		}
		m.opts.Log.Info("waiting for a table lock", "while", what)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// checkSums refuses a database whose applied migrations differ from the
// embedded ones.
func (m *migrator) checkSums(ctx context.Context) error {
	_, err := m.pool.Exec(ctx, `CREATE TABLE IF NOT EXISTS migration_sum (name text PRIMARY KEY, sha256 bytea NOT NULL)`)
	if err != nil {
		return fmt.Errorf("preparing migration sums: %w", err)
	}
	sums, err := migrationSums()
	if err != nil {
		return err
	}
	rows, err := m.pool.Query(ctx, `SELECT name, sha256 FROM migration_sum ORDER BY name`)
	if err != nil {
		return fmt.Errorf("comparing migration sums: %w", err)
	}
	var name string
	var applied []byte
	_, err = pgx.ForEachRow(rows, []any{&name, &applied}, func() error {
		if sum, ok := sums[name]; ok && !bytes.Equal(sum, applied) {
			return fmt.Errorf("migration %s differs from the one that was applied: install the release that belongs to this database, or restore its backup", name)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("comparing migration sums: %w", err)
	}
	return nil
}

// recordSums remembers the migrations that are applied. One that failed, or was
// interrupted, may still be mended by a later release.
func (m *migrator) recordSums(ctx context.Context) error {
	sums, err := migrationSums()
	if err != nil {
		return err
	}
	for name, sum := range sums {
		if _, err := m.pool.Exec(ctx, `INSERT INTO migration_sum (name, sha256) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING`, name, sum); err != nil {
			return fmt.Errorf("recording migration sums: %w", err)
		}
	}
	return nil
}

func migrationSums() (map[string][]byte, error) {
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing migrations: %w", err)
	}
	sums := make(map[string][]byte, len(names))
	for _, name := range names {
		body, err := fs.ReadFile(migrations.FS, name)
		if err != nil {
			return nil, fmt.Errorf("reading migration: %w", err)
		}
		sum := sha256.Sum256(body)
		sums[name] = sum[:]
	}
	return sums, nil
}

// repairIndexes rebuilds what an interrupted CREATE INDEX CONCURRENTLY left
// invalid, and drops what an interrupted rebuild left beside the index it was
// for (PostgreSQL, REINDEX: the suffixes _ccnew and _ccold).
func (m *migrator) repairIndexes(ctx context.Context) error {
	rows, err := m.pool.Query(ctx, `
		SELECT format('%I.%I', n.nspname, c.relname), c.relname ~ '_cc(new|old)[0-9]*$'
		FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE NOT i.indisvalid AND n.nspname IN ('tributary', $1) ORDER BY 2 DESC, 1`, RiverSchema)
	if err != nil {
		return fmt.Errorf("looking for invalid indexes: %w", err)
	}
	type index struct {
		name     string
		leftover bool
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (index, error) {
		var x index
		err := row.Scan(&x.name, &x.leftover)
		return x, err
	})
	if err != nil {
		return fmt.Errorf("looking for invalid indexes: %w", err)
	}
	for _, x := range list {
		sql := `REINDEX INDEX CONCURRENTLY ` + x.name
		if x.leftover {
			sql = `DROP INDEX CONCURRENTLY IF EXISTS ` + x.name
		}
		m.opts.Log.Warn("repairing an index that an interrupted migration left invalid", "index", x.name)
		if _, err := m.pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("repairing index %s: %w", x.name, err)
		}
	}
	return nil
}

// MigrationStatus is one numbered migration.
type MigrationStatus struct {
	Version   int64      `json:"version"`
	Name      string     `json:"name"`
	AppliedAt *time.Time `json:"applied_at"`
}

// Migrations lists the numbered migrations and when they were applied.
func Migrations(ctx context.Context, url string) ([]MigrationStatus, error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	applied := map[int64]time.Time{}
	rows, err := conn.Query(ctx, `SELECT version_id, tstamp FROM tributary.goose_version WHERE is_applied`)
	if err == nil {
		var v int64
		var at time.Time
		_, err = pgx.ForEachRow(rows, []any{&v, &at}, func() error { applied[v] = at; return nil })
	}
	var pe *pgconn.PgError
	if err != nil && (!errors.As(err, &pe) || (pe.Code != "42P01" && pe.Code != "3F000")) {
		return nil, fmt.Errorf("reading applied migrations: %w", err)
	}
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return nil, fmt.Errorf("listing migrations: %w", err)
	}
	var out []MigrationStatus
	for _, name := range names {
		v, err := goose.NumericComponent(name)
		if err != nil {
			return nil, fmt.Errorf("reading migration name %q: %w", name, err)
		}
		st := MigrationStatus{Version: v, Name: name}
		if at, ok := applied[v]; ok {
			st.AppliedAt = &at
		}
		out = append(out, st)
	}
	return out, nil
}

// SchemaError says that the database is older than the binary.
type SchemaError struct{ Have, Want int64 }

// Error names the remedy.
func (e *SchemaError) Error() string {
	return "the database has schema version " + strconv.FormatInt(e.Have, 10) + " and this program needs " +
		strconv.FormatInt(e.Want, 10) + ": run `tributary migrate up` with MIGRATE_DATABASE_URL"
}

func checkSchema(ctx context.Context, pool *pgxpool.Pool) error {
	want, err := wantVersion()
	if err != nil {
		return err
	}
	var have int64
	err = pool.QueryRow(ctx, `SELECT value::bigint FROM setting WHERE key = 'schema.version'`).Scan(&have)
	var pe *pgconn.PgError
	switch {
	case errors.As(err, &pe) && (pe.Code == "42P01" || pe.Code == "3F000"), errors.Is(err, pgx.ErrNoRows):
		return &SchemaError{Have: 0, Want: want}
	case err != nil:
		return fmt.Errorf("reading schema version: %w", err)
	case have < want:
		return &SchemaError{Have: have, Want: want}
	}
	return nil
}

func wantVersion() (int64, error) {
	names, err := fs.Glob(migrations.FS, "*.sql")
	if err != nil {
		return 0, fmt.Errorf("listing migrations: %w", err)
	}
	var want int64
	for _, name := range names {
		v, err := goose.NumericComponent(name)
		if err != nil {
			return 0, fmt.Errorf("reading migration name %q: %w", name, err)
		}
		want = max(want, v)
	}
	return want, nil
}
