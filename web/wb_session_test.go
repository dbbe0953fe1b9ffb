package web_test

import (
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestWB shows the rules of sessions and sign-in over HTTP.
func TestWB(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T){
		"WB-1 cookie on https":                     testCookieHTTPS,
		"WB-1 cookie on loopback http":             testCookieHTTP,
		"WB-1 a planted secret is not adopted":     testFixation,
		"WB-1 signing in again ends the session":   testRotation,
		"WB-1 a session is over after sign-out":    testSignOut,
		"WB-1 a disabled account is out at once":   testDisabled,
		"WB-1 idle and absolute end":               testExpiry,
		"WB-1 use is noted once a minute":          testTouch,
		"WB-1 a new password ends every session":   testPasswordEndsSessions,
		"WB-1 an owner ends somebody's sessions":   testOwnerEndsSessions,
		"WB-1 others of one's own sessions end":    testEndOthers,
		"WB-1 secrets are stored hashed":           testHashedSecrets,
		"WB-1 a one-time password opens one page":  testOneTimePassword,
		"WB-1 pages are not cached":                testNoStore,
		"WB-2 cross-site requests change nothing":  testForgery,
		"WB-2 reading has no side effect":          testReading,
		"WB-2 forms hold their fields and no more": testForms,
		"WB-3 headers on every answer":             testHeaders,
		"WB-4 ten thousand guesses in an hour":     testGuesses,
		"WB-4 guesses at the same time":            testParallelGuesses,
		"WB-4 guessing from many addresses slows":  testManyAddresses,
		"WB-4 one answer to every wrong sign-in":   testUniform,
		"WB-4 one time for every wrong sign-in":    testTiming,
		"WB-4 refusals fill no audit log":          testRefusalsBounded,
		"WB-4 obvious passwords are refused":       testObvious,
		"WB-5 one of a hundred set-ups":            testParallelSetups,
		"WB-5 set-up is over with an account":      testSetupOver,
		"WB-5 tokens end":                          testSetupTokenEnds,
		"WB-7 every route has its roles":           testRoles,
		"WB-7 the last owner stays":                testLastOwner,
		"WB-14 other hosts reach nothing":          testHosts,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func sessionCookie(t *testing.T, p page) *http.Cookie {
	t.Helper()
	if len(p.cookie) != 1 {
		t.Fatalf("status %d sets %d cookies: %v", p.status, len(p.cookie), p.cookie)
	}
	return p.cookie[0]
}

func testCookieHTTPS(t *testing.T) {
	r := newRig(t, true, nil)
	r.account("ada", store.RoleOwner)
	b := r.browser()
	c := sessionCookie(t, b.signIn("ada"))
	if c.Name != "__Host-tributary" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.Value) < 22 || c.MaxAge != 0 {
		t.Errorf("cookie %q", c.Raw)
	}
	if !b.isSignedIn() {
		t.Error("the cookie does not sign in")
	}
	// The name for plain http counts for nothing here.
	other := r.browser()
	other.plant(c.Value)
	if other.isSignedIn() {
		t.Error("a cookie without the prefix signs in")
	}
}

func testCookieHTTP(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	c := sessionCookie(t, r.browser().signIn("ada"))
	if c.Name != "tributary" || c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("cookie %q", c.Raw)
	}
}

func testFixation(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	planted := strings.Repeat("A", 43)
	victim, attacker := r.browser(), r.browser()
	victim.plant(planted)
	attacker.plant(planted)
	victim.signIn("ada")
	if got := victim.secretOf(); got == planted || got == "" {
		t.Errorf("the session's secret is %q", got)
	}
	if attacker.isSignedIn() {
		t.Error("the planted secret signs in")
	}
	if !victim.isSignedIn() {
		t.Error("signing in over a planted cookie is not possible")
	}
}

func testRotation(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	b := r.signedIn("ada")
	old := b.secretOf()
	b.signIn("ada")
	if b.secretOf() == old {
		t.Error("the secret is the same after signing in again")
	}
	thief := r.browser()
	thief.plant(old)
	if thief.isSignedIn() {
		t.Error("the secret from before signs in")
	}
}

func testSignOut(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	b := r.signedIn("ada")
	old := b.secretOf()
	if p := b.post("/signout"); p.status != http.StatusSeeOther || b.secretOf() != "" {
		t.Errorf("signing out: %d, cookie %q", p.status, b.secretOf())
	}
	b.plant(old)
	p := b.get("/account")
	if p.status != http.StatusSeeOther || p.location() != "/signin?next=/account" {
		t.Errorf("the secret after sign-out: %d to %q", p.status, p.location())
	}
	if b.secretOf() != "" {
		t.Error("the browser keeps the secret of no session")
	}
	if !slices.ContainsFunc(r.events(), func(e string) bool { return strings.HasPrefix(e, "session.end ok account:ada ") }) {
		t.Errorf("the audit log: %v", r.events())
	}
}

func testDisabled(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	bob := r.account("bob", store.RoleAdmin)
	b := r.signedIn("bob")
	cli := audit.Actor{Kind: audit.CLI, Name: "root@host"}
	if _, err := r.store.DisableAccount(t.Context(), cli, bob.ID); err != nil {
		t.Fatal(err)
	}
	// Not within a second, but with the very next request.
	if p := b.get("/account"); p.status != http.StatusSeeOther || !strings.HasPrefix(p.location(), "/signin") {
		t.Errorf("reading: %d", p.status)
	}
	b.plant(strings.Repeat("B", 43))
	if p := b.post("/account/sessions/end-others"); p.status != http.StatusUnauthorized {
		t.Errorf("acting: %d", p.status)
	}
	if p := r.browser().signIn("bob"); p.status != http.StatusUnauthorized {
		t.Errorf("signing in: %d", p.status)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM web_session w JOIN account a ON a.id = w.account_id WHERE a.name = 'bob'`); n != 0 {
		t.Errorf("%d sessions are left", n)
	}
	if !slices.Contains(r.events(), "account.disable ok cli:root@host bob") {
		t.Errorf("the audit log: %v", r.events())
	}
	// A session whose row outlived the account's end is none.
	if err := r.store.EnableAccount(t.Context(), cli, bob.ID); err != nil {
		t.Fatal(err)
	}
	b = r.signedIn("bob")
	r.db.MustExec(t, `UPDATE account SET disabled_at = clock() WHERE name = 'bob'`)
	if b.isSignedIn() {
		t.Error("a disabled account is signed in")
	}
}

func testExpiry(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	r.db.SetClock(t, time.Date(2031, 5, 1, 8, 0, 0, 0, time.UTC))
	idle, busy := r.signedIn("ada"), r.signedIn("ada")
	for range 25 {
		r.db.Advance(t, 29*time.Minute)
		if !busy.isSignedIn() && pgtest.Scalar[bool](t, r.db, `SELECT clock() < '2031-05-01 20:00+00'`) {
			t.Fatalf("a session that is used ended at %s", pgtest.Scalar[time.Time](t, r.db, `SELECT clock()`))
		}
		if pgtest.Scalar[bool](t, r.db, `SELECT clock() > '2031-05-01 08:30+00' AND clock() < '2031-05-01 09:00+00'`) && idle.isSignedIn() {
			t.Error("a session lives on without a request")
		}
	}
	if busy.isSignedIn() {
		t.Error("a session lives longer than twelve hours")
	}
}

func testTouch(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	r.db.SetClock(t, time.Date(2031, 5, 1, 8, 0, 0, 0, time.UTC))
	b := r.signedIn("ada")
	seen := func() time.Time { return pgtest.Scalar[time.Time](t, r.db, `SELECT last_seen_at FROM web_session`) }
	first := seen()
	r.db.Advance(t, 50*time.Second)
	b.get("/account")
	if !seen().Equal(first) {
		t.Error("a request within the minute is noted")
	}
	r.db.Advance(t, 20*time.Second)
	b.get("/account")
	if got := seen().Sub(first); got != 70*time.Second {
		t.Errorf("noted after %s", got)
	}
}

func testPasswordEndsSessions(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	here, there := r.signedIn("ada"), r.signedIn("ada")
	old := here.secretOf()
	if p := here.post("/account/password", "current", "not the password", "password", "green bicycles fly", "again", "green bicycles fly"); p.status != http.StatusUnprocessableEntity || !there.isSignedIn() {
		t.Errorf("with a wrong password: %d", p.status)
	}
	p := here.post("/account/password", "current", goodPassword, "password", "green bicycles fly", "again", "green bicycles fly")
	if p.status != http.StatusSeeOther || !here.isSignedIn() || there.isSignedIn() || here.secretOf() == old {
		t.Errorf("got %d; signed in here %v, there %v", p.status, here.isSignedIn(), there.isSignedIn())
	}
	if p := r.browser().signIn("ada"); p.status != http.StatusUnauthorized {
		t.Errorf("the password from before: %d", p.status)
	}
}

func testOwnerEndsSessions(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	bob := r.account("bob", store.RoleAdmin)
	owner, b1, b2 := r.signedIn("ada"), r.signedIn("bob"), r.signedIn("bob")
	if p := owner.post("/users/" + bob.ID.String() + "/end-sessions"); p.status != http.StatusSeeOther {
		t.Errorf("got %d", p.status)
	}
	if b1.isSignedIn() || b2.isSignedIn() || !owner.isSignedIn() {
		t.Error("the wrong sessions ended")
	}
}

func testEndOthers(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	r.account("bob", store.RoleAuditor)
	here, there, bob := r.signedIn("ada"), r.signedIn("ada"), r.signedIn("bob")
	here.post("/account/sessions/end-others")
	if !here.isSignedIn() || there.isSignedIn() || !bob.isSignedIn() {
		t.Errorf("here %v, there %v, bob %v", here.isSignedIn(), there.isSignedIn(), bob.isSignedIn())
	}
}

func testHashedSecrets(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	b := r.signedIn("ada")
	b.get("/users")
	dump := r.state()
	if !strings.Contains(dump, "web_session: {") {
		t.Fatal("the dump holds no session")
	}
	for what, text := range map[string]string{"the session's secret": b.secretOf(), "the password": goodPassword} {
		// Bytes are dumped in hexadecimal.
		if strings.Contains(dump, text) || strings.Contains(dump, hex.EncodeToString([]byte(text))) {
			t.Errorf("the database holds %s", what)
		}
		if strings.Contains(r.log.String(), text) {
			t.Errorf("the log holds %s", what)
		}
	}
}

func testOneTimePassword(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	r.db.SetClock(t, time.Now())
	owner := r.signedIn("ada")
	given := func(p page) string {
		t.Helper()
		_, rest, ok := strings.Cut(p.body, `<pre class="secret"><code>`)
		text, _, _ := strings.Cut(rest, "<")
		if p.status != http.StatusOK || !ok || len(text) < 26 {
			t.Fatalf("got %d\n%s", p.status, p.body)
		}
		return text
	}
	once := given(owner.post("/users", "name", "bob", "role", "admin", "password", ""))
	b := r.browser()
	if p := b.post("/signin", "name", "bob", "password", once); p.status != http.StatusSeeOther {
		t.Fatalf("signing in: %d", p.status)
	}
	for _, path := range []string{"/", "/account"} {
		if p := b.get(path); p.status != http.StatusSeeOther || p.location() != "/account/password" {
			t.Errorf("%s: %d to %q", path, p.status, p.location())
		}
	}
	if p := b.post("/account/sessions/end-others"); p.status != http.StatusForbidden {
		t.Errorf("an act: %d", p.status)
	}
	if p := b.post("/account/password", "current", once, "password", once, "again", once); p.status != http.StatusUnprocessableEntity {
		t.Errorf("the same password again: %d", p.status)
	}
	b.post("/account/password", "current", once, "password", goodPassword, "again", goodPassword)
	if !b.isSignedIn() {
		t.Error("not signed in with an own password")
	}
	// One that is not used in time opens nothing.
	bob, err := r.store.Account(t.Context(), "bob")
	if err != nil {
		t.Fatal(err)
	}
	late := given(owner.post("/users/" + bob.ID.String() + "/reset-password"))
	if b.isSignedIn() {
		t.Error("the session outlived the password")
	}
	r.db.Advance(t, 73*time.Hour)
	if p := r.browser().post("/signin", "name", "bob", "password", late); p.status != http.StatusUnauthorized {
		t.Errorf("after 73 hours: %d", p.status)
	}
}

func testNoStore(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	b := r.signedIn("ada")
	for _, info := range r.web.Table() {
		if info.Method != http.MethodGet || info.Access == "public" || info.Access == "key" {
			continue
		}
		p := b.get(fill(info.Path))
		if p.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", info.Path, p.header.Get("Cache-Control"))
		}
	}
}
