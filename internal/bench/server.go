package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgserver"
	"tributary/jobs"
	"tributary/store"
)

const (
	rolePrefix  = "bench"
	appPassword = "bench"
	template    = "bench_template"
)

// server is the scratch PostgreSQL. Its settings are those of a production
// machine of this size; nothing that makes a commit durable is switched off.
type server struct {
	pg  *pgserver.Server
	dir string
	n   int
}

func startServer(ctx context.Context, buffers string) (*server, error) {
	dir, err := os.MkdirTemp("", "tributary-bench-")
	if err != nil {
		return nil, fmt.Errorf("creating data directory: %w", err)
	}
	// The server may run as another account, which has to reach its directory.
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // holds only the server's own 0700 directory
		return nil, fmt.Errorf("creating data directory: %w", err)
	}
	s := &server{dir: dir}
	s.pg, err = pgserver.Start(ctx, pgserver.Config{DataDir: filepath.Join(dir, "data"), Settings: map[string]string{
		"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on",
		"shared_buffers": buffers, "maintenance_work_mem": "1GB", "work_mem": "64MB", "max_wal_size": "8GB",
		"effective_cache_size": "12GB", "max_parallel_workers_per_gather": "0", "random_page_cost": "1.1", "jit": "off",
		"checkpoint_timeout": "30min",
	}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting scratch PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	if err := s.makeTemplate(ctx); err != nil {
		return nil, errors.Join(err, s.stop(ctx))
	}
	return s, nil
}

// stop ends the server, also when ctx has ended, and removes its data.
func (s *server) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	return errors.Join(s.pg.Stop(ctx), os.RemoveAll(s.dir))
}

// makeTemplate migrates a database and gives it the built-in profile.
func (s *server) makeTemplate(ctx context.Context) error {
	if err := s.exec(ctx, "postgres", `CREATE DATABASE `+template); err != nil {
		return err
	}
	_, err := store.Migrate(ctx, s.pg.SuperuserURL(template), store.MigrateOptions{RolePrefix: rolePrefix, AppPassword: appPassword})
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Config{URL: s.appURL(template), MaxConns: 2})
	if err != nil {
		return err
	}
	defer st.Close()
	_, err = st.EnsureProfile(ctx, jobs.BuiltinProfile())
	return err
}

// database makes a migrated database, with or without the HNSW index.
func (s *server) database(ctx context.Context, hnsw bool) (string, error) {
	s.n++
	name := "bench_" + strconv.Itoa(s.n)
	if err := s.exec(ctx, "postgres", `CREATE DATABASE `+name+` TEMPLATE `+template); err != nil {
		return "", err
	}
	if hnsw {
		return name, nil
	}
	return name, s.exec(ctx, name, `DROP INDEX tributary.vec_1_hnsw`)
}

func (s *server) drop(ctx context.Context, name string) error {
	return s.exec(ctx, "postgres", `DROP DATABASE `+name+` WITH (FORCE)`)
}

func (s *server) exec(ctx context.Context, db, sql string) error {
	conn, err := pgx.Connect(ctx, s.pg.SuperuserURL(db))
	if err != nil {
		return fmt.Errorf("connecting to scratch PostgreSQL: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("preparing scratch database: %w", err)
	}
	return nil
}

func (s *server) appURL(db string) string {
	u, err := url.Parse(s.pg.SuperuserURL(db))
	if err != nil {
		return "" // pgserver's own URL parses
	}
	u.User = url.UserPassword(rolePrefix+"_app", appPassword)
	return u.String()
}

// openStore opens a store that records reads as a service does: in the
// background. stop closes it.
func (s *server) openStore(ctx context.Context, db string) (st *store.Store, stop func(), err error) { //nolint:nonamedreturns // says what is what
	st, err = store.Open(ctx, store.Config{URL: s.appURL(db), Purpose: store.Web})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = st.KeepReads(ctx) // ends with ctx
	}()
	return st, func() { cancel(); <-done; st.Close() }, nil
}
