package pgtest_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"tributary/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// TestFindSecretsFindsEveryForm, in every kind of column and in files, and nothing else.
func TestFindSecretsFindsEveryForm(t *testing.T) {
	t.Parallel()
	const canary = "canary/4f+1d9c=b7e3"
	db := pgtest.New(t)
	find := func(paths ...string) []string {
		t.Helper()
		hits, err := pgtest.FindSecrets(context.Background(), db.SuperURL, map[string]string{"the canary": canary}, paths...)
		if err != nil {
			t.Fatal(err)
		}
		return hits
	}
	if hits := find(); len(hits) != 0 {
		t.Fatalf("in an empty database: %v", hits)
	}
	for name, sql := range map[string]string{
		"text":  `INSERT INTO audit_event (actor_kind, actor, authenticated, action, outcome) VALUES ('cli', 'x' || $1, false, 'a.b', 'ok')`,
		"json":  `INSERT INTO audit_event (actor_kind, actor, authenticated, action, outcome, detail) VALUES ('cli', 'x', false, 'a.b', 'ok', jsonb_build_object('k', $1::text))`,
		"bytea": `INSERT INTO setup_token (token_hash, expires_at) VALUES (convert_to('ab' || $1, 'UTF8'), clock())`,
		"job":   `INSERT INTO river.river_job (args, kind, max_attempts, state) VALUES (jsonb_build_object('token', $1::text), 'k', 1, 'available')`,
	} {
		before := len(find())
		db.MustExec(t, sql, canary)
		if hits := find(); len(hits) != before+1 {
			t.Errorf("%s: %v", name, hits)
		}
	}
	base := find()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"plain": "a " + canary, "hex": hex.EncodeToString([]byte("xx" + canary + "y")), "url": "?t=" + url.QueryEscape(canary),
		"base64 0": base64.StdEncoding.EncodeToString([]byte(canary)), "base64 1": base64.RawURLEncoding.EncodeToString([]byte("x" + canary + "yy")),
		"base64 2": base64.StdEncoding.EncodeToString([]byte("user:" + canary)), "json": `{"a":"canary\/4f+1d9c=b7e3"}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if hits := find(path); len(hits) != len(base)+1 {
			t.Errorf("%s is not found: %s", name, text)
		}
	}
	if hits := find(dir); len(hits) != len(base)+7 {
		t.Errorf("of a directory: %v", hits)
	}
	if _, err := pgtest.FindSecrets(context.Background(), db.SuperURL, map[string]string{"short": "abc"}); err == nil {
		t.Error("a secret of three characters was looked for")
	}
}
