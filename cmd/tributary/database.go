package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgserver"
	"tributary/internal/settings"
	"tributary/store"
)

// managedName is the database in the managed PostgreSQL; role names begin with
// it.
const managedName = "tributary"

const (
	managedStopTimeout = 30 * time.Second
	attachPatience     = 10 * time.Second
	goneTimeout        = 3 * time.Second
)

// database is where the store lives: the configured one, or the managed one.
type database struct {
	// url is the role app's.
	url string
	// migrateURL is a role that may change the schema; "" where there is none.
	migrateURL string
	// server is the managed PostgreSQL when this process runs it.
	server *pgserver.Server
	// managed is true for the managed PostgreSQL, whoever runs it.
	managed bool
}

// gone reports whether the managed PostgreSQL of this process has ended.
func (d *database) gone() bool {
	if d.server == nil {
		return false
	}
	select {
	case <-d.server.Done():
		return true
	default:
		return false
	}
}

// close stops the managed PostgreSQL if this process runs it.
func (d *database) close(ctx context.Context, log *slog.Logger) {
	if d.server == nil || d.gone() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), managedStopTimeout)
	defer cancel()
	if err := d.server.Stop(ctx); err != nil {
		log.Warn("stopping the managed PostgreSQL", "error", err)
	}
}

// configuredDatabase returns the database of DATABASE_URL.
func configuredDatabase(s settings.Settings) *database {
	return &database{url: s.DatabaseURL.Reveal(), migrateURL: s.MigrateDatabaseURL.Reveal()}
}

// openDatabase finds the database for a command: the configured one, else the
// managed one of a running process, else the managed one started for as long as
// the command runs.
func (a *app) openDatabase(ctx context.Context, s settings.Settings, log *slog.Logger) (*database, error) {
	if s.DatabaseURL.IsSet() {
		return configuredDatabase(s), nil
	}
	if err := refuseLoneMigrateURL(s); err != nil {
		return nil, err
	}
	return a.openManaged(ctx, s, log)
}

// openManaged attaches to the managed database, or starts it. While another
// process holds the data directory and its database does not answer, it is
// starting, and will soon, or stopping, and will leave the start to this one.
func (a *app) openManaged(ctx context.Context, s settings.Settings, log *slog.Logger) (*database, error) {
	patience := time.NewTimer(attachPatience)
	defer patience.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		d, err := attachManaged(s)
		if d != nil || err != nil {
			return d, err
		}
		d, err = a.startManaged(ctx, s, log)
		if !errors.Is(err, pgserver.ErrAlreadyRunning) {
			return d, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-patience.C:
			return nil, err
		case <-tick.C:
		}
	}
}

func refuseLoneMigrateURL(s settings.Settings) error {
	if s.MigrateDatabaseURL.IsSet() && !s.DatabaseURL.IsSet() {
		return &settings.Error{
			Setting: "TRIBUTARY_DATABASE_URL", Problem: "is not set, but TRIBUTARY_MIGRATE_DATABASE_URL is",
			Remedy: "set it to the same database as the role app",
		}
	}
	return nil
}

// attachManaged returns the managed database that another process runs, nil if
// none does.
func attachManaged(s settings.Settings) (*database, error) {
	super, ok, err := pgserver.AttachTo(s.DataDir, managedName)
	if err != nil {
		return nil, &databaseError{err}
	}
	if !ok {
		return nil, nil //nolint:nilnil // nil is "none", and the only caller asks for it
	}
	return managedDatabase(super)
}

// startManaged starts the managed PostgreSQL and brings its schema up to date:
// it belongs to this program alone.
func (a *app) startManaged(ctx context.Context, s settings.Settings, log *slog.Logger) (*database, error) {
	if _, err := os.Stat(s.DataDir); errors.Is(err, os.ErrNotExist) {
		a.notef("tributary: creating the managed local database in %s\n", s.DataDir)
	}
	server, err := pgserver.Start(ctx, pgserver.Config{DataDir: s.DataDir, Log: quietPostgres(log)})
	if err != nil {
		return nil, &databaseError{err}
	}
	d, err := prepareManaged(ctx, server, log)
	if err != nil {
		(&database{server: server}).close(ctx, log)
		return nil, err
	}
	return d, nil
}

func prepareManaged(ctx context.Context, server *pgserver.Server, log *slog.Logger) (*database, error) {
	if err := createDatabase(ctx, server.SuperuserURL("postgres")); err != nil {
		return nil, &databaseError{err}
	}
	d, err := managedDatabase(server.SuperuserURL(managedName))
	if err != nil {
		return nil, err
	}
	d.server = server
	if _, err := migrate(ctx, d, log); err != nil {
		return nil, err
	}
	return d, nil
}

// createDatabase makes the managed database where it does not exist.
func createDatabase(ctx context.Context, maintenanceURL string) error {
	conn, err := pgx.Connect(ctx, maintenanceURL)
	if err != nil {
		return fmt.Errorf("connecting to the managed PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, managedName).Scan(&exists); err != nil {
		return fmt.Errorf("looking for database %s: %w", managedName, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{managedName}.Sanitize()); err != nil {
		return fmt.Errorf("creating database %s: %w", managedName, err)
	}
	return nil
}

// managedDatabase derives the addresses of the managed database from its
// superuser's.
func managedDatabase(super string) (*database, error) {
	u, err := url.Parse(super)
	if err != nil {
		return nil, errors.New("reading the managed database's address: it is malformed")
	}
	password, _ := u.User.Password()
	app := *u
	app.User = url.UserPassword(managedName+"_app", appPassword(password))
	return &database{url: app.String(), migrateURL: super, managed: true}, nil
}

// appPassword derives the password of the managed database's role app, so that
// it needs no file of its own.
func appPassword(superuserPassword string) string {
	mac := hmac.New(sha256.New, []byte(superuserPassword))
	mac.Write([]byte("tributary: password of the role app"))
	return hex.EncodeToString(mac.Sum(nil))
}

// migrate brings the schema of d up to date with the role of migrateURL. Where
// the role app cannot connect yet, it gets the password that d.url names.
func migrate(ctx context.Context, d *database, log *slog.Logger) (store.MigrateReport, error) {
	opts := store.MigrateOptions{Log: log}
	if u, err := url.Parse(d.url); err == nil && d.url != d.migrateURL && (d.managed || !connects(ctx, d.url)) {
		opts.AppPassword, _ = u.User.Password()
	}
	return store.Migrate(ctx, d.migrateURL, opts)
}

func connects(ctx context.Context, address string) bool {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return false
	}
	return conn.Close(ctx) == nil
}

// withStore opens the store for a command and closes everything behind it.
func (a *app) withStore(ctx context.Context, s settings.Settings, fn func(ctx context.Context, st *store.Store) error) error {
	log := a.logger(false)
	d, st, err := a.reachStore(ctx, s, log)
	if err != nil {
		return err
	}
	a.alone, a.cleanURL = d.server != nil, d.migrateURL
	defer d.close(ctx, log)
	defer a.awaitOthers(ctx, d)
	defer st.Close()
	return stillThere(ctx, d, fn(ctx, st))
}

// reachStore opens the database and its store. A managed database that another
// command runs may end between the two: then it is this one's turn to run it.
func (a *app) reachStore(ctx context.Context, s settings.Settings, log *slog.Logger) (*database, *store.Store, error) {
	for deadline := time.Now().Add(attachPatience); ; {
		d, err := a.openDatabase(ctx, s, log)
		if err != nil {
			return nil, nil, err
		}
		st, err := openStore(ctx, d, store.CLI, d.migrateURL, a.readAudit(s), log)
		if err == nil {
			return d, st, nil
		}
		attached := d.managed && d.server == nil
		if !attached || ctx.Err() != nil || time.Now().After(deadline) || connects(ctx, d.url) {
			err = stillThere(ctx, d, err)
			d.close(ctx, log)
			return nil, nil, err
		}
	}
}

// stillThere returns what ended a command: err, or that its database has gone,
// as the managed one does with the process that runs it.
func stillThere(ctx context.Context, d *database, err error) error {
	code := exitCode(ctx, err)
	if err == nil || ctx.Err() != nil || (code != exitFailure && (code != exitDatabase || !d.managed)) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, goneTimeout)
	defer cancel()
	if connects(ctx, d.url) {
		return err
	}
	// Not wrapped: of a connection that broke while it was made, its own message
	// would speak of settings.
	return &databaseError{fmt.Errorf("the database no longer answers; what was committed stays, run the command again: %s", describe(err))}
}

// readAudit says how reads are recorded, and that those of a command are of who runs it.
func (a *app) readAudit(s settings.Settings) store.ReadAudit {
	return store.ReadAudit{Actor: a.cliActor().Name, Queries: s.ReadAuditQueries, Strict: s.ReadAuditStrict}
}

// openStore opens the store of d. It refuses another role than app: the query
// path believes that one alone when it says for whom it asks, so that with
// another every answer would be empty.
func openStore(ctx context.Context, d *database, purpose store.Purpose, cleanURL string, reads store.ReadAudit, log *slog.Logger) (*store.Store, error) {
	st, err := store.Open(ctx, store.Config{URL: d.url, Purpose: purpose, Log: log, Program: version, Clean: cleaner(cleanURL), ReadAudit: reads})
	if err != nil {
		return nil, err
	}
	var role, app string
	err = st.Pool().QueryRow(ctx, `SELECT session_user::text, value FROM setting WHERE key = 'role.app'`).Scan(&role, &app)
	switch {
	case err != nil:
		err = fmt.Errorf("reading the service's role: %w", err)
	case role != app:
		err = &settings.Error{
			Setting: "TRIBUTARY_DATABASE_URL", Problem: "connects as " + role + ", and the service's role is " + app,
			Remedy: "name " + app + " here, and keep " + role + " for TRIBUTARY_MIGRATE_DATABASE_URL",
		}
	}
	if err != nil {
		st.Close()
		return nil, err
	}
	return st, nil
}

// awaitOthers waits, before this command stops the managed database that it
// started, for other commands that have found and use it.
func (a *app) awaitOthers(ctx context.Context, d *database) {
	if d.server == nil || d.gone() {
		return
	}
	conn, err := pgx.Connect(ctx, d.migrateURL)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		var others int
		err := conn.QueryRow(ctx, `
			SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()`).Scan(&others)
		if err != nil || others == 0 {
			return
		}
		if n == 10 {
			a.notef("tributary: done; waiting for another command that uses the database\n")
		}
		select {
		case <-ctx.Done():
			return
		case <-d.server.Done():
			return
		case <-tick.C:
		}
	}
}
