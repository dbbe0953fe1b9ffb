package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/internal/seal"
	"tributary/internal/secret"
	"tributary/internal/settings"
	"tributary/oauthflow"
)

// sealRegistration stores a client registration with a sealed secret, as the pages do.
func sealRegistration(t *testing.T, s *site, keyFile string) uuid.UUID {
	t.Helper()
	loaded, err := settings.Load(settings.Source{Environ: s.env, UID: os.Geteuid()})
	if err != nil {
		t.Fatal(err)
	}
	d, err := attachManaged(loaded)
	if err != nil || d == nil {
		t.Fatalf("the managed database does not run: %v", err)
	}
	ring, err := seal.Open(keyFile, seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	id := uuid.New()
	ct, err := oauthflow.SealCredentials(ring, oauthflow.RegistrationPlace(id, 1), oauthflow.Credentials{Secret: secret.New("s")})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	_, err = conn.Exec(t.Context(), `
		INSERT INTO tributary.client_registration (id, name, provider, profile, endpoints_digest, redirect_uri, credential_gen, credential_ct)
		VALUES ($1, 'reg', 'sandbox', '{}', 'd', 'http://x/', 1, $2)`, id, ct)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// findingOf runs doctor and returns one of its findings.
func findingOf(t *testing.T, s *site, check string) finding {
	t.Helper()
	r := s.run("doctor", "--json")
	var list []finding
	if err := json.Unmarshal([]byte(r.stdout), &list); err != nil {
		t.Fatalf("%v: %s", err, r.stdout)
	}
	for _, f := range list {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("doctor has no check %q: %s", check, r.stdout)
	return finding{}
}

// TestMasterKeyFromTheCommandLine: made by the first start, rotated while up runs, lost and found, replaced.
func TestMasterKeyFromTheCommandLine(t *testing.T) {
	t.Parallel()
	key := filepath.Join(openTempDir(t), "keys", "master.key")
	s := newSite(t, "TRIBUTARY_MASTER_KEY_FILE="+key)
	up := s.start("up")
	up.await("is running at")
	sealRegistration(t, s, key)

	type status struct {
		Keys []keyRow `json:"keys"`
	}
	first := mustJSON[status](s, exitOK, "master-key", "status")
	if len(first.Keys) != 1 || first.Keys[0].Rows != 2 {
		t.Fatalf("status: %+v", first)
	}
	done := mustJSON[rotated](s, exitOK, "master-key", "rotate", "--retire")
	old := first.Keys[0].ID
	if done.Key == old || done.Resealed != 2 || !strings.Contains(done.Stay[old], "wait until") {
		t.Errorf("rotate: %+v", done)
	}
	if f := findingOf(t, s, "sealed values"); f.Verdict != verdictFail || !strings.Contains(f.Detail, "volume") {
		t.Errorf("OA-34: key and database share a volume, and doctor says %+v", f)
	}
	events := mustJSON[[]audit.Event](s, exitOK, "audit", "list", "--action", "master_key")
	var told []string // the newest first
	for _, e := range events {
		told = append(told, e.Action+" "+e.Detail["phase"]+" "+e.Target.ID)
		if e.Actor.Authenticated || !strings.Contains(e.Actor.Name, "@") {
			t.Errorf("audit: %+v", e)
		}
	}
	if want := []string{"master_key.retire begin ", "master_key.rotate end " + done.Key, "master_key.rotate begin " + old}; !slices.Equal(told, want) {
		t.Errorf("audit: %q, want %q", told, want)
	}
	if code := up.stop(); code != exitOK {
		t.Errorf("up ended with %d:\n%s", code, up.out)
	}

	move(t, key, key+".away")
	up = s.start("up")
	up.await("is running at")
	if out := up.out.String(); !strings.Contains(out, key) || !strings.Contains(out, "no master key file") {
		t.Errorf("up says nothing of the missing key:\n%s", out)
	}
	if _, err := os.Stat(key); !errors.Is(err, os.ErrNotExist) {
		t.Error("another key was made for an instance that has one")
	}
	s.must(exitOK, "readers", "create", "ada")
	s.must(exitOK, "search", "--as", "ada", "anything")
	if f := findingOf(t, s, "sealed values"); f.Verdict != verdictFail || !strings.Contains(f.Detail, key) {
		t.Errorf("without the key doctor says %+v", f)
	}
	if r := s.must(exitFailure, "master-key", "rotate"); !strings.Contains(r.stderr, "no master key file") {
		t.Errorf("rotate without the key: %s", r.stderr)
	}
	s.must(exitUsage, "master-key", "replace")
	if r := s.must(exitOK, "master-key", "replace", "--forget-sealed"); !strings.Contains(r.stdout, "1 sealed values were forgotten") {
		t.Errorf("replace: %s", r.stdout)
	}
	s.must(exitConflict, "master-key", "create")
	if f := findingOf(t, s, "sealed values"); f.Verdict != verdictOK {
		t.Errorf("after the replacement doctor says %+v", f)
	}
	if code := up.stop(); code != exitOK {
		t.Errorf("up ended with %d:\n%s", code, up.out)
	}
}

func move(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// TestAuditTextsAreClean: OA-33 and log injection: nothing in a row can end the line, steer the terminal or turn the
// text round.
func TestAuditTextsAreClean(t *testing.T) {
	t.Parallel()
	hostile := "a\r\n2030-01-01 root \x1b[31mred\x1b]0;title\x07 \u202eevil\u0000\u200b"
	var out strings.Builder
	a := &app{stdout: &out}
	err := a.printEvents([]audit.Event{{
		ID: 1, Actor: audit.Actor{Kind: audit.Account, Name: hostile, IP: hostile, Authenticated: true}, Action: "oauth.refused",
		Target: audit.Target{Kind: "grant", ID: hostile}, Outcome: audit.Refused, Detail: map[string]string{hostile: hostile},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(out.String(), "\n"); lines != 2 {
		t.Errorf("%d lines, want the head and one: %q", lines, out.String())
	}
	if strings.ContainsAny(out.String(), "\r\x1b\x07\x00\u202e\u200b") {
		t.Errorf("the terminal would be steered: %q", out.String())
	}
}

func clockOf(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func TestParseMoment(t *testing.T) {
	t.Parallel()
	now := clockOf(t, "2030-01-31T12:00:00Z")
	for in, want := range map[string]string{
		"24h": "2030-01-30T12:00:00Z", "30d": "2030-01-01T12:00:00Z", "2030-01-02": "2030-01-02T00:00:00Z",
		"2030-01-02 03:04:05": "2030-01-02T03:04:05Z", "2030-01-02T03:04:05+01:00": "2030-01-02T02:04:05Z",
	} {
		if got, err := parseMoment("--since", in, now); err != nil || !got.Equal(clockOf(t, want)) {
			t.Errorf("%s: got %v %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"yesterday", "-1h", "12", "2030-13-01"} {
		if _, err := parseMoment("--since", in, now); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}
