package deploy

import (
	"bytes"
	"context"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgserver"
	"tributary/store"
)

const limit = 90 * time.Second

// server starts a PostgreSQL of its own, because roles belong to a whole server.
func server(t *testing.T) *pgserver.Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "deploy-test-*") //nolint:usetesting // t.TempDir lies under a 0700 directory, which the server's account may not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	s, err := pgserver.Start(ctx, pgserver.Config{DataDir: filepath.Join(dir, "data"), Settings: map[string]string{"fsync": "off"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stopping the server: %v", err)
		}
	})
	return s
}

func runRoles(t *testing.T, s *pgserver.Server, env ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(s.Installation().BinDir, "psql"), "--no-psqlrc", "--quiet", "--file", "roles.sql", s.SuperuserURL("docs"))
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func connect(t *testing.T, address string) (*pgx.Conn, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	conn, err := pgx.Connect(ctx, address)
	if err == nil {
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
	}
	return conn, err
}

func as(t *testing.T, s *pgserver.Server, role, password string) string {
	t.Helper()
	u, err := url.Parse(s.SuperuserURL("docs"))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(role, password)
	return u.String()
}

func TestRolesScriptLetsTheServiceRunWithoutASuperuser(t *testing.T) {
	t.Parallel()
	s := server(t)
	super, err := connect(t, s.SuperuserURL("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := super.Exec(t.Context(), "CREATE DATABASE docs"); err != nil {
		t.Fatal(err)
	}
	if out, err := runRoles(t, s, "APP_PASSWORD=first"); err == nil || !strings.Contains(out, "MIGRATE_PASSWORD is not set") {
		t.Errorf("without a password: %v\n%s", err, out)
	}
	passwords := []string{"APP_PASSWORD=it's", `MIGRATE_PASSWORD=a\b"c`}
	for _, time := range []string{"first", "second"} {
		if out, err := runRoles(t, s, passwords...); err != nil || out != "" {
			t.Fatalf("%s run: %v\n%s", time, err, out)
		}
	}
	report, err := store.Migrate(t.Context(), as(t, s, "docs_migrate", `a\b"c`), store.MigrateOptions{})
	if err != nil {
		t.Fatalf("migrating as docs_migrate: %v", err)
	}
	if report.To == 0 || report.Roles.App != "docs_app" {
		t.Errorf("report = %+v", report)
	}
	app, err := connect(t, as(t, s, "docs_app", "it's"))
	if err != nil {
		t.Fatalf("connecting as docs_app: %v", err)
	}
	if _, err := app.Exec(t.Context(), "CREATE TABLE tributary.own ()"); err == nil {
		t.Error("docs_app may create tables")
	}
	var powerful int
	err = super.QueryRow(t.Context(), `SELECT count(*) FROM pg_roles WHERE rolname LIKE 'docs\_%' AND (rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls)`).Scan(&powerful)
	if err != nil || powerful != 0 {
		t.Errorf("roles with rights over the server: %d, %v", powerful, err)
	}
	// A repeated script after the migration changes nothing that the service needs.
	if out, err := runRoles(t, s, passwords...); err != nil {
		t.Fatalf("run after the migration: %v\n%s", err, out)
	}
	if _, err := store.Migrate(t.Context(), as(t, s, "docs_migrate", `a\b"c`), store.MigrateOptions{}); err != nil {
		t.Errorf("migrating again: %v", err)
	}
}

func TestSecretsAreRandomPrivateAndKept(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "secrets")
	makeSecrets := func() map[string]string {
		t.Helper()
		if out, err := exec.CommandContext(t.Context(), "./make-secrets.sh", dir).CombinedOutput(); err != nil {
			t.Fatalf("make-secrets.sh: %v\n%s", err, out)
		}
		files := map[string]string{}
		for _, name := range []string{"postgres_password", "app_password", "migrate_password", "database_url", "migrate_database_url"} {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files[name] = string(text)
		}
		return files
	}
	first := makeSecrets()
	info, err := os.Stat(dir)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("directory: %v %v", info.Mode(), err)
	}
	if len(first["app_password"]) != 48 || first["app_password"] == first["migrate_password"] || first["app_password"] == first["postgres_password"] {
		t.Error("passwords are short or equal")
	}
	for file, role := range map[string]string{"database_url": "app", "migrate_database_url": "migrate"} {
		u, err := url.Parse(first[file])
		if err != nil {
			t.Fatal(err)
		}
		password, _ := u.User.Password()
		if u.User.Username() != "tributary_"+role || password != first[role+"_password"] || u.Path != "/tributary" {
			t.Errorf("%s names %s at %s", file, u.User.Username(), u.Path)
		}
	}
	for name, text := range makeSecrets() {
		if text != first[name] {
			t.Errorf("a second run changed %s", name)
		}
	}
}
