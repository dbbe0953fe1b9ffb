package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/settings"
	"tributary/store"
)

// submit sends a form of the site's pages, as a browser does.
func (s *site) submit(path string, fields url.Values) (status int, body string) {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "http://"+s.setting("TRIBUTARY_ADDR")+path, strings.NewReader(fields.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	req.Header.Set("Accept", "text/html")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

// auditLog lists what is recorded as "action kind:actor target".
func (s *site) auditLog() []string {
	s.t.Helper()
	a := &app{environ: s.env, stdout: io.Discard, stderr: io.Discard}
	cfg, err := settings.Load(settings.Source{Environ: s.env, UID: os.Geteuid()})
	if err != nil {
		s.t.Fatal(err)
	}
	var list []string
	err = a.withStore(s.t.Context(), cfg, func(ctx context.Context, st *store.Store) error {
		rows, err := st.Pool().Query(ctx, `SELECT action || ' ' || actor_kind || ':' || actor || ' ' || authenticated || ' ' || target FROM audit_event ORDER BY id`)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return list
}

// TestUsers goes from an empty instance to its people: the token of the first
// owner, and what tributary users does.
func TestUsers(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t)
	up := s.start("up")
	up.await("tributary users setup-token makes another")
	file := filepath.Join(s.setting("TRIBUTARY_DATA_DIR"), "setup-token")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.TrimSpace(string(raw))
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v, %v", info.Mode(), err)
	}
	if len(first) < 26 || strings.Count(up.out.String(), first) != 1 || strings.Contains(up.out.String(), "/setup?") || strings.Contains(up.out.String(), "/setup#") {
		t.Errorf("up says %s", up.out)
	}
	// Another token ends the one before.
	again := mustJSON[struct{ Token, URL string }](s, exitOK, "users", "setup-token")
	form := url.Values{"token": {first}, "name": {"ada"}, "password": {"wild horses drink tea"}, "again": {"wild horses drink tea"}}
	if status, body := s.submit("/setup", form); status != http.StatusForbidden {
		t.Errorf("the token from before: %d\n%s", status, body)
	}
	form.Set("token", again.Token)
	if status, body := s.submit("/setup", form); status != http.StatusSeeOther {
		t.Fatalf("set-up: %d\n%s", status, body)
	}
	if _, err := os.Stat(file); !os.IsNotExist(err) {
		t.Errorf("the token's file is left: %v", err)
	}
	if status, _ := s.submit("/setup", form); status != http.StatusNotFound {
		t.Errorf("set-up afterwards: %d", status)
	}
	s.must(exitConflict, "users", "setup-token")
	checkUsers(t, s)

	cli := (&app{environ: s.env}).cliActor().Name
	log := s.auditLog()
	for _, want := range []string{
		"setup.token system:start true ", "setup.token cli:" + cli + " false ", "setup.redeem anonymous:set-up token true ada", "account.create cli:" + cli + " false bob",
		"account.role cli:" + cli + " false bob", "account.disable cli:" + cli + " false bob", "account.password cli:" + cli + " false bob", "account.delete cli:" + cli + " false bob",
	} {
		if !slices.Contains(log, want) {
			t.Errorf("the audit log lacks %q:\n%s", want, strings.Join(log, "\n"))
		}
	}
	if !strings.Contains(cli, "@") {
		t.Errorf("the actor is %q", cli)
	}
	// A start with accounts offers no set-up.
	if code := up.stop(); code != exitOK {
		t.Errorf("up ended with %d", code)
	}
	if err := os.WriteFile(file, []byte("old\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	second := s.start("up")
	second.await("is running at")
	waitUntil(t, startLimit, "the old token's file to go", func() bool {
		_, err := os.Stat(file)
		return os.IsNotExist(err)
	})
	if strings.Contains(second.out.String(), "token") {
		t.Errorf("the second start says %s", second.out)
	}
}

func checkUsers(t *testing.T, s *site) {
	t.Helper()
	type made struct {
		store.Account
		Password string
	}
	bob := mustJSON[made](s, exitOK, "users", "create", "Bob", "--role", "auditor")
	if bob.Name != "bob" || bob.Role != store.RoleAuditor || len(bob.Password) < 26 || bob.PasswordExpiresAt == nil {
		t.Errorf("made %+v", bob.Account)
	}
	signIn := func(password string) int {
		status, _ := s.submit("/signin", url.Values{"name": {"bob"}, "password": {password}, "next": {""}})
		return status
	}
	if status := signIn(bob.Password); status != http.StatusSeeOther {
		t.Errorf("with the one-time password: %d", status)
	}
	if list := s.must(exitOK, "users", "list"); strings.Contains(list.stdout, bob.Password) || !strings.Contains(list.stdout, "one-time password for") {
		t.Errorf("the list: %s", list.stdout)
	}
	s.must(exitConflict, "users", "create", "bob")
	s.must(exitUsage, "users", "create", "carl", "--role", "root")
	s.must(exitNotFound, "users", "show", "nobody")
	s.must(exitOK, "users", "set-role", "bob", "admin")
	weak, good := filepath.Join(s.dir, "weak"), filepath.Join(s.dir, "good")
	for path, text := range map[string]string{weak: "tributarybob\n", good: "green bicycles fly\nsecond line\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.must(exitUsage, "users", "reset-password", "bob", "--password-file", weak)
	s.must(exitUsage, "users", "reset-password", "bob", "--password-file", filepath.Join(s.dir, "none"))
	s.must(exitOK, "tokens", "create", "bobs", "--account", "bob", "--role", "auditor")
	r := mustJSON[struct {
		made

		Ended store.Ended
	}](s, exitOK, "users", "reset-password", "bob", "--password-file", good)
	if r.Password != "" || r.PasswordExpiresAt != nil || r.Sessions != 0 || r.Ended != (store.Ended{Sessions: 1, Tokens: 1}) {
		t.Errorf("reset: %+v", r)
	}
	if status := signIn("green bicycles fly"); status != http.StatusSeeOther {
		t.Errorf("with the password of the file: %d", status)
	}
	if r := s.must(exitOK, "users", "disable", "bob"); r.stdout != "Disabled account bob: 1 session ended, 0 admin tokens revoked.\n" {
		t.Errorf("disabling says %q", r.stdout)
	}
	if status := signIn("green bicycles fly"); status != http.StatusUnauthorized {
		t.Errorf("disabled: %d", status)
	}
	s.must(exitConflict, "users", "disable", "ada")
	s.must(exitConflict, "users", "set-role", "ada", "admin")
	s.must(exitConflict, "users", "delete", "ada")
	s.must(exitOK, "users", "enable", "bob")
	s.must(exitOK, "users", "end-sessions", "bob")
	s.must(exitOK, "users", "delete", "bob")
	s.must(exitNotFound, "users", "show", "bob")
}
