package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/browsertest"
	"tributary/internal/settings"
	"tributary/store"
)

// newcomer is somebody with a browser in front of an empty instance.
type newcomer struct {
	*site
	b    *browsertest.Browser
	shot int
	// axe is its script; judged are the pages that were judged in views, seen is how many views that were together. Pages
	// that as looked at are told apart, "" is the owner.
	axe, as      string
	views        []browsertest.View
	judged, seen int
}

func (n *newcomer) public() string { return "http://" + n.setting("TRIBUTARY_ADDR") }

func (n *newcomer) look(name string) {
	n.shot++
	n.b.Shot(string(rune('a'+n.shot-1)) + "-" + name)
}

// TestChromiumFromEmptyToSynced does in a browser what a new admin does, by what the pages show, then each way in which a
// consent ends badly, and then looks at a page of every kind.
func TestChromiumFromEmptyToSynced(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	s := newSite(t, demoEnv(t)...)
	up := s.start("up")
	up.await("Sandbox Drive, a provider")
	up.await("paste this token")
	n := &newcomer{site: s, b: b, axe: browsertest.AxeSource(t), views: browsertest.Views()}
	n.setUp(t, up.out.String())
	redirect := n.draft("sandbox")
	id, secret := n.clientAt(redirect)
	registration := n.enter(id, secret)
	n.look("registration")
	n.connect("drive")
	b.Press("Allow")
	b.See("Connected")
	n.look("connected")
	n.firstSync()
	n.checkSynced(t)

	n.unticked(registration)
	n.denied(registration)
	n.expired(t, registration)
	n.wrongRedirect()
	n.wrongSecret()
	n.walk(t)
	n.byKeyboard(t)
	n.withoutScripts(t)
}

// setUp makes the first account with the token that the server printed.
func (n *newcomer) setUp(t *testing.T, out string) {
	t.Helper()
	m := regexp.MustCompile(`paste this token:\n\n  (\S+)\n`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("no token in:\n%s", out)
	}
	n.b.Open(n.public() + "/")
	n.judge(t, "/ welcome")
	n.b.Press("Set up this instance")
	n.judge(t, "/setup")
	n.b.Fill("Set-up token", m[1])
	n.b.Fill("Your name here", "ada")
	n.b.Fill("New password", grantsPassword)
	n.b.Fill("The same password again", grantsPassword)
	n.b.Press("Make my account")
	n.b.See("Nothing is connected yet")
	n.judge(t, "/ empty")
}

// signIn signs in on the page for it.
func (n *newcomer) signIn(name, password string) {
	n.b.Fill("Name", name)
	n.b.Fill("Password", password)
	n.b.Press("Sign in")
}

// makeAccount makes an account on the page Users, and returns the password that the next page shows.
func (n *newcomer) makeAccount(t *testing.T, name, role string) string {
	t.Helper()
	n.b.Fill("Name", name)
	n.b.Tick(role)
	n.b.Press("Make the account")
	n.b.See("One-time password for " + name)
	m := regexp.MustCompile(`It is not shown again\.\s+(\S+)\s`).FindStringSubmatch(n.b.Text())
	if m == nil {
		t.Fatalf("no password on the page:\n%s", n.b.Text())
	}
	return m[1]
}

// firstPassword replaces a password that is for one use.
func (n *newcomer) firstPassword(oneTime string) {
	n.b.Fill("Password so far", oneTime)
	n.b.Fill("New password", grantsPassword)
	n.b.Fill("The same password again", grantsPassword)
	n.b.Press("Change the password")
}

// draft makes a registration at the sandbox and returns its redirect URI, by the button that copies it.
func (n *newcomer) draft(name string) string {
	n.b.Open(n.public() + "/registrations")
	n.b.Press("Add a registration")
	n.b.Press("Choose Sandbox Drive")
	n.b.Fill("Name of the registration", name)
	n.b.Fill("Address of Sandbox Drive", n.sandboxURL())
	n.b.Tick("This address is in a private network, or on this machine")
	n.b.Press("Go on")
	n.b.Push("Copy")
	n.b.See("Copied")
	n.look("draft-" + name)
	return n.b.Value("redirect-uri")
}

// clientAt registers a client on the sandbox's own page, which the registration links to, and comes back.
func (n *newcomer) clientAt(redirect string) (id, secret string) {
	back := n.b.Address()
	n.b.Press(n.sandboxURL() + "/clients")
	n.b.Fill("Name", "Tributary")
	n.b.Fill("Redirect URIs, one a line", redirect)
	n.b.Press("Register")
	id, secret = n.b.Value("client-id"), n.b.Value("client-secret")
	n.look("client")
	n.b.Open(back)
	return id, secret
}

// enter enters the client, and returns the address of the registration.
func (n *newcomer) enter(id, secret string) string {
	n.b.Fill("Client ID", id)
	n.b.Fill("Client secret", secret)
	n.b.Tick("These are the right hosts")
	n.b.Press("Check and save")
	return strings.TrimSuffix(n.b.Address(), "/save")
}

// connect goes from the page of a registration to the sandbox's consent page.
func (n *newcomer) connect(name string) {
	n.b.Press("Connect sandbox")
	n.b.Fill("Name of the connection", name)
	n.b.Press("Go on")
	n.b.Press("Continue to localhost")
	if strings.Contains(n.b.Address(), "/signin") {
		n.b.Press("Anna Lindqvist")
	}
	n.b.See("access?")
}

// firstSync goes from the consent to the first sync: what is synced, the plan, which is left and come back to, the schedule,
// and the button that starts it.
func (n *newcomer) firstSync() {
	n.b.Press("Go on")
	n.b.See("Step 2 of 5")
	n.look("choose")
	n.b.Press("Save and go on")
	n.b.See("What the first sync would do")
	n.b.See("Who will be able to read this")
	n.b.See("214")
	n.look("plan")
	n.b.Open(n.public() + "/connections/drive")
	n.b.See("Its set-up is not finished: nothing is synced yet.")
	n.look("unfinished")
	n.b.Press("Go on with the set-up")
	n.b.Press("Schedule")
	n.b.See("Step 4 of 5")
	n.look("schedule")
	n.b.Press("Save and go on")
	n.look("start")
	n.b.Press("Start the first sync")
	n.b.See("This page shows how far it is.")
	n.b.See("214 added")
	n.b.See("The last 1 run: 1 done")
	n.look("synced")
}

// checkSynced asks for what was synced.
func (n *newcomer) checkSynced(t *testing.T) {
	t.Helper()
	if got := mustJSON[store.Connection](n.site, exitOK, "connections", "show", "drive"); got.State != store.StateActive || got.ContentAsOf == nil {
		t.Errorf("the connection is %+v", got)
	}
	n.must(exitOK, "readers", "create", "anna", "--link", "sandbox:anna")
	key := mustJSON[struct{ Secret string }](n.site, exitOK, "keys", "create", "k", "--reader", "anna", "--connections", "all").Secret
	status, body := n.post(key, `{"query":"What was decided about salaries for 2027?"}`)
	var answer store.SearchResponse
	if err := json.Unmarshal(body, &answer); err != nil || status != http.StatusOK || len(answer.Results) == 0 {
		t.Errorf("the search answers %d: %s", status, body)
	}
}

// unticked: a permission that is not given is named, and one button asks again.
func (n *newcomer) unticked(registration string) {
	n.b.Open(registration)
	n.connect("part")
	n.b.Untick("Read the people and groups of your organisation")
	n.b.Press("Allow")
	n.b.See("Connected, but permissions are missing")
	n.b.See("Not granted: groups.read")
	n.look("unticked")
	n.b.Press("Grant again")
	n.b.Press("Continue to localhost")
	n.b.Press("Allow")
	n.b.See("Granted again")
}

// denied: the page says so, and one button starts again.
func (n *newcomer) denied(registration string) {
	n.b.Open(registration)
	n.connect("denied")
	n.b.Press("Deny")
	n.b.See("The consent was not given")
	n.b.See("What to do")
	n.b.See("Choose Allow on the provider's page")
	n.look("denied")
	n.b.Press("Start again")
	n.b.Press("Continue to localhost")
	n.b.Press("Allow")
	n.b.See("Connected")
}

// expired: a consent that took too long is refused, and one button starts again.
func (n *newcomer) expired(t *testing.T, registration string) {
	t.Helper()
	n.b.Open(registration)
	n.connect("late")
	n.age(t)
	n.b.Press("Allow")
	n.b.See("took longer than ten minutes")
	n.b.See("Start the connection again")
	n.look("expired")
	n.b.Press("Start again")
	n.b.Press("Continue to localhost")
	n.b.Press("Allow")
	n.b.See("Connected")
}

// age makes every consent that is under way older than it may be.
func (n *newcomer) age(t *testing.T) {
	t.Helper()
	n.exec(t, `UPDATE tributary.oauth_flow SET expires_at = now() - interval '1 second'`)
}

// exec changes rows in the database of the instance; none is an error.
func (n *newcomer) exec(t *testing.T, sql string) {
	t.Helper()
	loaded, err := settings.Load(settings.Source{Environ: n.env, UID: os.Geteuid()})
	if err != nil {
		t.Fatal(err)
	}
	d, err := attachManaged(loaded)
	if err != nil || d == nil {
		t.Fatalf("the managed database does not run: %v", err)
	}
	conn, err := pgx.Connect(t.Context(), d.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	tag, err := conn.Exec(t.Context(), sql)
	if err != nil || tag.RowsAffected() == 0 {
		t.Fatalf("%s: %d rows: %v", sql, tag.RowsAffected(), err)
	}
}

// wrongRedirect: the sandbox shows its own page, and the page before said what that means and what to enter.
func (n *newcomer) wrongRedirect() {
	redirect := n.draft("elsewhere")
	n.enter(n.clientAt(redirect + "/other"))
	n.b.Press("Connect sandbox")
	n.b.Fill("Name of the connection", "nowhere")
	n.b.Press("Go on")
	n.b.See("means that the client there does not match the registration here")
	n.look("before-wrong-redirect")
	if n.b.Value("redirect-uri") != redirect {
		n.t.Errorf("the page names %s", n.b.Value("redirect-uri"))
	}
	n.b.Press("Continue to localhost")
	n.b.See("This program is not registered for this address")
	n.b.See("the redirect URI must be the same to the letter")
	n.look("wrong-redirect")
}

// wrongSecret: nothing is saved, and the page says what to enter; saved all the same, the consent ends on a page that
// leads there.
func (n *newcomer) wrongSecret() {
	redirect := n.draft("mistyped")
	id, secret := n.clientAt(redirect)
	n.enter(id, "wrong-"+secret)
	n.b.See("Nothing was saved")
	n.b.See("What to do")
	n.look("wrong-secret")
	n.b.Fill("Client secret", "wrong-"+secret)
	n.b.Tick("These are the right hosts")
	n.b.Tick("Save although a check failed")
	n.b.Press("Check and save")
	n.connect("mistyped")
	n.b.Press("Allow")
	n.b.See("The provider refuses the client credentials")
	n.look("client-refused")
	n.b.Press("Open the registration")
	n.b.Fill("Client secret", secret)
	n.b.Press("Check and save")
	n.connect("mistyped")
	n.b.Press("Allow")
	n.b.See("Connected")
}
