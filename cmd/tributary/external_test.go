package main

import (
	"context"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgserver"
)

// scratchServer starts a PostgreSQL of the test's own with one empty database.
func scratchServer(t *testing.T, dir, database string) *pgserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	server, err := pgserver.Start(ctx, pgserver.Config{DataDir: filepath.Join(dir, "server"), Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopLimit)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Errorf("stopping the scratch server: %v", err)
		}
	})
	conn, err := pgx.Connect(ctx, server.SuperuserURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{database}.Sanitize()); err != nil {
		t.Fatal(err)
	}
	return server
}

// TestDatabaseOfOnesOwn uses a configured database: nothing is started beside
// it, and a superuser's migration makes the role app with the password that
// TRIBUTARY_DATABASE_URL names.
func TestDatabaseOfOnesOwn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := scratchServer(t, s.dir, "wiki")
	super := server.SuperuserURL("wiki")
	u, err := url.Parse(super)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("wiki_app", "p@ss w/rd")
	plain := slices.Clone(s.env)
	s.env = slices.Concat(plain, []string{"TRIBUTARY_DATABASE_URL=" + u.String(), "TRIBUTARY_MIGRATE_DATABASE_URL=" + super})

	s.must(exitSchema, "migrate", "status")
	if r := s.must(exitOK, "migrate", "up"); !strings.Contains(r.stdout, "Migrated from version 0") {
		t.Errorf("migrate up says %s", r.stdout)
	}
	if r := s.must(exitOK, "migrate", "up"); !strings.Contains(r.stdout, "up to date") {
		t.Errorf("the second migrate up says %s", r.stdout)
	}
	s.must(exitOK, "migrate", "status")
	up := s.start("up")
	up.await("on the configured database")
	checkDoctor(t, s, verdictOK)
	if code := up.stop(); code != exitOK {
		t.Errorf("up ended with %d:\n%s", code, up.out)
	}
	if entries, err := filepath.Glob(filepath.Join(s.setting("TRIBUTARY_DATA_DIR"), "postgres", "*")); err != nil || len(entries) > 0 {
		t.Errorf("a managed database was made: %v, %v", entries, err)
	}
	refusesSpoiled(t, s, super)

	s.env = slices.Concat(plain, []string{"TRIBUTARY_DATABASE_URL=" + super})
	if r := s.must(exitFailure, "doctor"); !strings.Contains(r.stdout, "is a superuser") {
		t.Errorf("doctor accepts a superuser: %s", r.stdout)
	}
	if r := s.must(exitUsage, "connections", "list"); !strings.Contains(r.stderr, "wiki_app") {
		t.Errorf("a role that nobody is found for: %s", r.stderr)
	}
	u.User = url.UserPassword("wiki_app", "wrong-hunter2")
	s.env = slices.Concat(plain, []string{"TRIBUTARY_DATABASE_URL=" + u.String()})
	if r := s.must(exitDatabase, "connections", "list"); strings.Contains(r.stderr, "hunter2") || !strings.Contains(r.stderr, "password authentication failed") {
		t.Errorf("a wrong password: %s", r.stderr)
	}
}

// refusesSpoiled: no process starts on a database whose roles or functions were
// changed, and each says what (PE-3).
func refusesSpoiled(t *testing.T, s *site, super string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), super)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	for _, x := range [][3]string{
		{`ALTER ROLE wiki_app BYPASSRLS`, `ALTER ROLE wiki_app NOBYPASSRLS`, "wiki_app is above row security (BYPASSRLS)"},
		{`GRANT SELECT ON tributary.chunk TO wiki_reader`, `REVOKE SELECT ON tributary.chunk FROM wiki_reader`, "table tributary.chunk has rights with wiki_reader:SELECT"},
	} {
		if _, err := conn.Exec(t.Context(), x[0]); err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"serve", "worker"} {
			if r := s.must(exitFailure, command); !strings.Contains(r.stderr, x[2]) {
				t.Errorf("%s after %s says %s", command, x[0], r.stderr)
			}
		}
		if _, err := conn.Exec(t.Context(), x[1]); err != nil {
			t.Fatal(err)
		}
	}
}
