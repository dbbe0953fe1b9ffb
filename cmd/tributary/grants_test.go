package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/demo/player"
	"tributary/internal/secret"
	"tributary/store"
)

const grantsPassword = "plover-ledge-27-quartz"

// grantSite is a running site with an owner who is signed in in a browser.
type grantSite struct {
	*site
	player *player.Player
}

func newGrantSite(t *testing.T) *grantSite {
	t.Helper()
	s := newSettledSite(t, demoEnv(t)...)
	s.start("up").await("Sandbox Drive, a provider")
	file := filepath.Join(s.write("secrets", map[string]string{"password": grantsPassword + "\n"}), "password")
	s.must(exitOK, "users", "create", "ada", "--role", "owner", "--password-file", file)
	g := &grantSite{site: s, player: playerOf(t, s, "ada", grantsPassword)}
	if err := g.player.SignIn(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

// client registers a client at the sandbox and returns its id and a file with its secret.
func (s *grantSite) client(redirect string) (id, file string) {
	s.t.Helper()
	status, body := s.send(http.MethodPost, s.sandboxURL()+"/clients", "", fmt.Sprintf(`{"client_name":"t","redirect_uris":[%q]}`, redirect))
	var c struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	if err := json.Unmarshal(body, &c); err != nil || status != http.StatusCreated {
		s.t.Fatalf("registering a client: status %d: %s", status, body)
	}
	return c.ID, filepath.Join(s.write("secrets", map[string]string{"client": c.Secret + "\n"}), "client")
}

// consent runs a connect command, follows its link in the browser, and returns what the command says.
func (s *grantSite) consent(args ...string) string {
	s.t.Helper()
	d := s.start(append([]string{"connect", "sandbox"}, args...)...)
	d.await("Waiting;")
	link := regexp.MustCompile(`http://\S+/connect/\S+`).FindString(d.out.String())
	if err := s.player.Ticket(s.t.Context(), secret.New(link)); err != nil {
		s.t.Fatalf("%v\n%s", err, d.out)
	}
	d.await("It syncs by itself")
	<-d.exited
	if code := d.cmd.ProcessState.ExitCode(); code != exitOK {
		s.t.Errorf("connect ended with %d:\n%s", code, d.out)
	}
	return d.out.String()
}

// TestGrantsOnTheCommandLine goes from an empty instance to a connection and back to nothing by commands alone, but for
// the consent.
func TestGrantsOnTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newGrantSite(t)
	made := mustJSON[registrationView](s.site, exitOK, "registrations", "create", "try", "--provider", "sandbox", "--base-url", s.sandboxURL(), "--private")
	if made.State != "draft" || !strings.HasPrefix(made.RedirectURI, "http://"+s.setting("TRIBUTARY_ADDR")+"/oauth/callback/") {
		t.Fatalf("the registration is %+v", made)
	}
	if out := s.must(exitOK, "registrations", "show", "try").stdout; !strings.Contains(out, made.RedirectURI) || !strings.Contains(out, s.sandboxURL()+"/clients") {
		t.Errorf("show does not say what to do at the provider:\n%s", out)
	}
	id, file := s.client(made.RedirectURI)
	wrong := filepath.Join(s.write("secrets", map[string]string{"wrong": "not-the-secret\n"}), "wrong")
	if r := s.must(exitUsage, "registrations", "update", "try", "--client-id", id, "--secret-file", wrong); !strings.Contains(r.stdout, "refused") || !strings.Contains(r.stdout, "what to do") {
		t.Errorf("a wrong secret: %s%s", r.stdout, r.stderr)
	}
	saved := mustJSON[registrationView](s.site, exitOK, "registrations", "update", "try", "--client-id", id, "--secret-file", file)
	if saved.State != "active" || len(saved.Checks) == 0 {
		t.Errorf("saved as %+v", saved)
	}
	s.must(exitOK, "registrations", "check", "try")

	if out := s.consent("--name", "drive"); !strings.Contains(out, "Connected drive as anna.lindqvist@larkwater.example") {
		t.Errorf("connect says:\n%s", out)
	}
	s.must(exitOK, "sync", "drive", "--wait")
	checkReaders(t, s)
	checkChoosing(t, s)
	checkGrant(t, s)
	checkGrantEnds(t, s)
	checkDisconnect(t, s)
	checkCLIAudit(t, s)
}

// checkGrant looks at a grant that works; nothing that is printed is a token.
func checkGrant(t *testing.T, s *grantSite) {
	t.Helper()
	list := mustJSON[[]grantView](s.site, exitOK, "grants", "list")
	if len(list) != 1 || list[0].State != "active" || len(list[0].Connections) != 1 {
		t.Fatalf("the grants are %+v", list)
	}
	for _, args := range [][]string{
		{"show", list[0].ID[:8]},
		{"check", "drive"},
		{"check", "drive", "--url", s.sandboxURL() + "/api/v1/about"},
		{"refresh", "drive"},
		{"expire", "drive", "--at", "90d", "--documents", "hide"},
		{"show", "drive", "--json"},
	} {
		r := s.run(append([]string{"grants"}, args...)...)
		if r.code != exitOK {
			t.Errorf("grants %v: exit code %d: %s%s", args, r.code, r.stdout, r.stderr)
		}
		if strings.Contains(r.stdout+r.stderr, "sba_") || strings.Contains(r.stdout+r.stderr, "sbr_") {
			t.Errorf("grants %v prints a token", args)
		}
	}
	if got := mustJSON[grantView](s.site, exitOK, "grants", "show", "drive"); got.ExpiresAt == nil || got.AtExpiry != "hide" {
		t.Errorf("after expire the grant is %+v", got)
	}
	if r := s.run("grants", "check", "drive", "--url", "http://"+s.setting("TRIBUTARY_ADDR")+"/"); r.code == exitOK || strings.Contains(r.stdout, "answered") {
		t.Errorf("OA-21: a token went to another host: %s%s", r.stdout, r.stderr)
	}
	s.must(exitUsage, "grants", "expire", "drive", "--at", "yesterday")
	s.must(exitUsage, "grants", "expire", "drive", "--at", "2001-01-01")
	s.must(exitNotFound, "grants", "show", "nobody")
}

// checkChoosing takes folders out and puts them in again.
func checkChoosing(t *testing.T, s *grantSite) {
	t.Helper()
	count := func() int {
		return len(mustJSON[[]json.RawMessage](s.site, exitOK, "documents", "list", "--as", "sandbox:anna.lindqvist@larkwater.example", "--connection", "drive", "--limit", "500"))
	}
	all := count()
	top := mustJSON[choices](s.site, exitOK, "connections", "browse", "drive")
	named := func(id string) int {
		return slices.IndexFunc(top.List, func(c connectors.Choice) bool { return c.ID == id })
	}
	at, other := named("folder-engineering"), named("folder-handbook")
	if at < 0 || other < 0 || top.More || !top.List[at].HasChildren {
		t.Fatalf("at the top there is %+v", top)
	}
	first := top.List[at]
	if below := mustJSON[choices](s.site, exitOK, "connections", "browse", "drive", first.ID); len(below.List) == 0 {
		t.Error("there is nothing below the first folder")
	}
	tree := s.must(exitOK, "connections", "choose", "drive", "--all").stdout
	if !strings.Contains(tree, "[ ]") || !strings.Contains(tree, "\n[ ]    ") || !strings.Contains(tree, "Everything is synced") {
		t.Errorf("the tree is\n%s", tree)
	}
	if out := s.must(exitOK, "connections", "choose", "drive", "--set", first.ID, "--yes").stdout; !strings.Contains(out, "1 container is chosen") || !strings.Contains(out, "new containers beside it are not") {
		t.Errorf("choosing says %s", out)
	}
	s.must(exitOK, "sync", "drive", "--wait")
	some := count()
	if some == 0 || some >= all {
		t.Errorf("%d documents of %d are left", some, all)
	}
	if out := s.must(exitOK, "connections", "choose", "drive").stdout; !strings.Contains(out, "[x]") {
		t.Errorf("what is chosen is not marked:\n%s", out)
	}
	for _, wrong := range [][]string{
		{"--everything", "--add", "x"}, {"--set", "x", "--remove", first.ID}, {"--remove", "nosuch"}, {"--remove", first.ID}, {"--add", ""},
	} {
		s.must(exitUsage, append([]string{"connections", "choose", "drive"}, wrong...)...)
	}
	if out := s.must(exitOK, "connections", "choose", "drive", "--add", top.List[other].ID, "--add", first.ID).stdout; !strings.Contains(out, "2 containers") {
		t.Errorf("choosing says %s", out)
	}
	if out := s.must(exitOK, "connections", "choose", "drive", "--everything").stdout; !strings.Contains(out, "also what is created later") {
		t.Errorf("choosing says %s", out)
	}
	if out := s.must(exitOK, "connections", "choose", "drive", "--everything").stdout; !strings.Contains(out, "Nothing is changed") {
		t.Errorf("choosing the same says %s", out)
	}
	s.must(exitOK, "sync", "drive", "--wait")
	if again := count(); again != all {
		t.Errorf("%d documents of %d are back", again, all)
	}
	s.must(exitUsage, "connections", "update", "drive")
	s.must(exitUsage, "connections", "update", "drive", "--set", "link_sharing=everybody")
	s.must(exitUsage, "connections", "update", "drive", "--exclude", "[")
	s.must(exitOK, "connections", "update", "drive", "--set", "link_sharing=anyone", "--exclude", "**/*.csv", "--yes")
	got := mustJSON[store.Connection](s.site, exitOK, "connections", "show", "drive")
	if got.Settings["link_sharing"] != "anyone" || len(got.Selection.Exclude) != 1 {
		t.Errorf("updated to %+v", got)
	}
	s.must(exitOK, "connections", "update", "drive", "--set", "link_sharing=", "--exclude", "")
	if got := mustJSON[store.Connection](s.site, exitOK, "connections", "show", "drive"); len(got.Settings)+len(got.Selection.Exclude) != 0 {
		t.Errorf("updated to %+v", got)
	}
}

// checkGrantEnds revokes a grant and grants again: the documents stay, and the connection is the same.
func checkGrantEnds(t *testing.T, s *grantSite) {
	t.Helper()
	s.must(exitUsage, "grants", "revoke", "drive")
	if r := s.must(exitOK, "grants", "revoke", "drive", "--yes"); !strings.Contains(r.stdout, "revoked") {
		t.Errorf("revoke says %s", r.stdout)
	}
	before := mustJSON[store.Connection](s.site, exitOK, "connections", "show", "drive")
	if before.State != store.StateNeedsReauth {
		t.Errorf("after the revocation the connection is %s", before.State)
	}
	s.consent("--again", "drive")
	after := mustJSON[store.Connection](s.site, exitOK, "connections", "show", "drive")
	if after.ID != before.ID || after.State != store.StateActive {
		t.Errorf("granted again, the connection is %+v, before %+v", after, before)
	}
	s.must(exitOK, "grants", "check", "drive")
}

// checkDisconnect ends everything, and connects as the client itself.
func checkDisconnect(t *testing.T, s *grantSite) {
	t.Helper()
	s.must(exitConflict, "registrations", "delete", "try")
	if r := s.must(exitUsage, "connections", "delete", "drive", "--yes"); !strings.Contains(r.stderr, "disconnect") {
		t.Errorf("delete says %s", r.stderr)
	}
	s.must(exitUsage, "connections", "disconnect", "drive")
	if r := s.must(exitOK, "connections", "disconnect", "drive", "--yes"); !strings.Contains(r.stdout, "revoked the grant") {
		t.Errorf("disconnect says %s", r.stdout)
	}
	s.must(exitNotFound, "connections", "show", "drive")

	if r := s.must(exitOK, "connect", "sandbox", "--name", "all", "--client-credentials", "--registration", "try"); !strings.Contains(r.stdout, "Connected all as client") {
		t.Errorf("connect says %s", r.stdout)
	}
	s.must(exitOK, "sync", "all", "--wait")
	s.must(exitOK, "connections", "disconnect", "all", "--yes")
	s.must(exitOK, "registrations", "delete", "try")
}

func checkCLIAudit(t *testing.T, s *grantSite) {
	t.Helper()
	seen := map[string]bool{}
	for _, e := range mustJSON[[]audit.Event](s.site, exitOK, "audit", "list", "--limit", "1000") {
		if e.Actor.Kind == audit.CLI {
			seen[e.Action] = true
		}
	}
	for _, want := range []string{
		"registration.create", "registration.save", "oauth.ticket", "oauth.consent", "grant.check", "grant.refresh", "grant.expiry", "grant.revoke",
		"connection.change", "connection.disconnect", "connection.map_email", "reader.link", "reader.import", "reader.identity_add", "reader.identity_remove",
		"reader.email_add", "reader.email_remove", "reader.delete", "connection.delete", "registration.delete",
	} {
		if !seen[want] {
			t.Errorf("the audit log does not know %s by the command line", want)
		}
	}
}

// TestRegistrationsAskFirst looks at what is refused before anything is saved.
func TestRegistrationsAskFirst(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t, demoEnv(t)...)
	if err := os.WriteFile(filepath.Join(s.dir, "empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start("up").await("is running at")
	s.must(exitOK, "registrations", "create", "g", "--provider", "google")
	for _, c := range []struct {
		name string
		code int
		says string
		args []string
	}{
		{"no server is named", exitUsage, "--provider", []string{"registrations", "create", "x"}},
		{"two are", exitUsage, "one of", []string{"registrations", "create", "x", "--provider", "google", "--issuer", "https://id.example.com"}},
		{"a provider that is not known", exitUsage, "provider", []string{"registrations", "create", "x", "--provider", "nosuch"}},
		{"a private address that nobody opened", exitUsage, "", []string{"registrations", "create", "x", "--provider", "gitea", "--base-url", "http://10.0.0.1"}},
		{"a name that is taken", exitConflict, "", []string{"registrations", "create", "g", "--provider", "google"}},
		{"a secret that is empty", exitUsage, "empty", []string{"registrations", "update", "g", "--client-id", "1-x.apps.googleusercontent.com", "--secret-file", "empty"}},
		{"nothing to change", exitUsage, "nothing to change", []string{"registrations", "update", "g"}},
		{"elsewhere without --yes", exitUsage, "--yes", []string{"registrations", "update", "g", "--provider", "gitea", "--base-url", "https://git.example.com"}},
		{"a source without a registration", exitNotFound, "registrations create", []string{"connect", "sandbox", "--name", "d"}},
		{"a registration at another provider", exitUsage, "sandbox", []string{"connect", "sandbox", "--name", "d", "--registration", "g"}},
		{"a registration that is not there", exitNotFound, "registrations list", []string{"connect", "sandbox", "--name", "d", "--registration", "h"}},
		{"two ways at once", exitUsage, "one of", []string{"connect", "sandbox", "--name", "d", "--client-credentials", "--service-account"}},
		{"--act-for alone", exitUsage, "--service-account", []string{"connect", "sandbox", "--name", "d", "--act-for", "x"}},
	} {
		if r := s.run(c.args...); r.code != c.code || !strings.Contains(r.stderr, c.says) {
			t.Errorf("%s: exit code %d, want %d: %s", c.name, r.code, c.code, r.stderr)
		}
	}
	for _, args := range [][]string{{"providers", "list"}, {"providers", "show", "gitea"}, {"registrations", "list"}, {"grants", "list"}} {
		s.must(exitOK, args...)
	}
}
