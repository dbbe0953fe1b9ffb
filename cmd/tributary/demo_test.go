package main

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"tributary/internal/demo/player"
	"tributary/internal/secret"
	"tributary/store"
)

// demoEnv gives a site a sandbox and a master key of its own.
func demoEnv(t *testing.T) []string {
	t.Helper()
	return []string{"TRIBUTARY_SANDBOX_ADDR=" + freeAddr(t), "TRIBUTARY_MASTER_KEY_FILE=" + filepath.Join(openTempDir(t), "keys", "master.key")}
}

// sandboxURL is the address of the site's sandbox.
func (s *site) sandboxURL() string {
	_, port, _ := strings.Cut(s.setting("TRIBUTARY_SANDBOX_ADDR"), ":")
	return "http://localhost:" + port
}

// checkDrive looks at what the demo did with Sandbox Drive: one question has two answers, on the command line and over
// HTTP, and the password that it printed signs in.
func checkDrive(t *testing.T, s *site, out string) {
	t.Helper()
	for _, want := range []string{"Connected Sandbox Drive as demo-drive", "Synced demo-drive: 214 documents"} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not say %q:\n%s", want, out)
		}
	}
	_, tour, _ := strings.Cut(out, "asked by two people of Sandbox Drive:\n")
	lines := strings.SplitN(tour, "\n", 3)
	if len(lines) < 3 || !strings.Contains(shell(t, s, lines[0]), "Salary review 2027: decision") {
		t.Fatalf("the first command of the drive's tour does not find the answer:\n%s", tour)
	}
	if got := shell(t, s, lines[1]); strings.Contains(got, "Salary review 2027: decision") || !strings.Contains(got, "/drive/items/") {
		t.Errorf("the second command finds what its reader may not read, or nothing: %s", got)
	}
	titles := map[string]string{}
	for name, key := range demoKeys(t, out) {
		status, body := s.post(key, `{"query":"What was decided about salaries for 2027?","k":3}`)
		var answer store.SearchResponse
		if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK || len(answer.Results) == 0 {
			t.Fatalf("%s: status %d: %s", name, status, body)
		}
		titles[name] = answer.Results[0].Title
	}
	if titles["demo-priya"] != "Salary review 2027: decision" || titles["demo-greta"] == titles["demo-priya"] {
		t.Errorf("over HTTP the two people get %v", titles)
	}
	signInAs(t, s, demoAdmin, demoPassword(t, out))
}

func demoKeys(t *testing.T, out string) map[string]string {
	t.Helper()
	keys := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^  (demo-[a-z]+)  (trib_\S+)$`).FindAllStringSubmatch(out, -1) {
		keys[m[1]] = m[2]
	}
	if len(keys) != 2 {
		t.Fatalf("the demo printed %d keys:\n%s", len(keys), out)
	}
	return keys
}

func demoPassword(t *testing.T, out string) string {
	t.Helper()
	m := regexp.MustCompile(`as demo-admin with\n\n  (\S+)\n`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("the demo printed no password:\n%s", out)
	}
	return m[1]
}

func signInAs(t *testing.T, s *site, name, password string) {
	t.Helper()
	p := playerOf(t, s, name, password)
	if err := p.SignIn(t.Context()); err != nil {
		t.Error(err)
	}
}

func playerOf(t *testing.T, s *site, name, password string) *player.Player {
	t.Helper()
	p, err := player.New(player.Config{
		Public: "http://" + s.setting("TRIBUTARY_ADDR"), Sandbox: s.sandboxURL(), Admin: name, Password: secret.New(password), Name: "drive", Person: "anna",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// checkDriveStands looks at a second start: it makes nothing again and prints no secret.
func checkDriveStands(t *testing.T, s *site, out string) {
	t.Helper()
	for _, not := range []string{"Synced", "trib_", "Made the first account", "Connected Sandbox Drive", "leaving"} {
		if strings.Contains(out, not) {
			t.Errorf("the second start says %q:\n%s", not, out)
		}
	}
	if !strings.Contains(out, "asked by two people of Sandbox Drive:") {
		t.Errorf("the second start does not show the drive:\n%s", out)
	}
	if list := mustJSON[[]store.Account](s, exitOK, "users", "list"); len(list) != 1 {
		t.Errorf("after two starts there are %d accounts", len(list))
	}
	if n := strings.Count(s.fetch(s.sandboxURL()+"/clients"), "/remove\""); n != 1 {
		t.Errorf("after two starts the sandbox knows %d clients", n)
	}
}

// TestDemoDriveGoesOn starts the demo where an earlier start had made its account and nothing else.
func TestDemoDriveGoesOn(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t, demoEnv(t)...)
	s.must(exitOK, "users", "create", demoAdmin, "--role", "owner")
	up := s.start("up", "--demo")
	up.await("Connected Sandbox Drive as demo-drive")
	signInAs(t, s, demoAdmin, demoPassword(t, up.out.String()))
}

// TestDemoDriveActsForNobody starts the demo on an instance that has people.
func TestDemoDriveActsForNobody(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t, demoEnv(t)...)
	s.must(exitOK, "users", "create", "ada", "--role", "owner")
	up := s.start("up", "--demo")
	up.await("the demo does not act for them")
	if list := mustJSON[[]store.Account](s, exitOK, "users", "list"); len(list) != 1 {
		t.Errorf("the demo made accounts: %+v", list)
	}
}

// TestDemoPortTaken says which setting names the sandbox's port.
func TestDemoPortTaken(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t, demoEnv(t)...)
	r := s.run("up", "--demo", "--sandbox-addr", s.setting("TRIBUTARY_ADDR"))
	if r.code != exitUsage || !strings.Contains(r.stderr, "TRIBUTARY_SANDBOX_ADDR") || !strings.Contains(r.stderr, "taken") {
		t.Errorf("exit code %d: %s", r.code, r.stderr)
	}
}
