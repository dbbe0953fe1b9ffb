package web_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/internal/pgtest"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

// TestOA shows the rules of consent over HTTP: every way in which one ends leads to a page that says what to do.
func TestOA(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T){
		"OA-1 the answer of another provider":           testMixUpPage,
		"OA-2 another session":                          testOtherSessionPage,
		"OA-2 no session":                               testSignedOutPage,
		"OA-2 strangers fill no audit log":              testStrangersBounded,
		"OA-2 another account in the same browser":      testOtherAccountHere,
		"OA-2 a role that was taken away":               testRoleTaken,
		"OA-2 a password for one use":                   testOneTimeCallback,
		"OA-5 a replayed state":                         testReplayPage,
		"OA-5 an expired state":                         testExpiredPage,
		"OA-7 a token in the address":                   testTokenInAddress,
		"OA-8 no open redirect":                         testNoOpenRedirect,
		"OA-9 the token endpoint does not answer":       testTimeoutPage,
		"OA-10 an unticked permission":                  testUntickedPage,
		"PQ-15 the scopes of the first consent":         testFirstScopesPage,
		"OA-10 a permission more":                       testBroaderPage,
		"OA-27 headers, and no code in the address":     testCallbackHeaders,
		"OA-27 the outcome belongs to one session":      testOutcomeBound,
		"OA-33 hostile texts of a provider":             testHostileTexts,
		"OA-35 a form is no answer":                     testCallbackPost,
		"OA-36 a link and no redirect":                  testContinuePage,
		"OA-36 a ticket of the command line":            testTicketPage,
		"OA-15 no secret in any page or log":            testNoSecretShown,
		"a consent that succeeds":                       testConnectedPage,
		"a consent that is denied":                      testDeniedPage,
		"a grant between servers again":                 testServerGrantAgain,
		"a wrong secret":                                testWrongSecretPage,
		"a wrong redirect URI":                          testRedirectURIPage,
		"an account that is not named":                  testUserinfoPage,
		"a renewal by another account of the provider":  testRenewalByAnother,
		"a name that is taken, and fields that are not": testConnectForm,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func testConnectedPage(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	before := o.provider.Count("token")
	p := o.land(t, o.ada, to)
	p.says(t, http.StatusOK, "Connected", "files", "Ada", "files.read granted", "groups.read granted", "First sync begins when you start it", "Go on")
	if k := o.finished(t); k.State != store.StateActive {
		t.Errorf("the set-up is finished, and the connection is %s", k.State)
	}
	p = o.ada.get("/oauth/result")
	p.says(t, http.StatusOK, "Connected", "First sync is about to start", "Open the connection")
	if p.header.Get("Refresh") != "5" {
		t.Error("the page does not look again for the first sync")
	}
	k, err := o.store.Connection(t.Context(), "files")
	if err != nil || k.Settings["corner"] != "north" || k.Settings["shared"] != "false" || k.Settings["mode"] != "" {
		t.Errorf("connection %+v, %v", k, err)
	}
	o.ada.get("/connections/files").says(t, http.StatusOK, "files", "active", "Ada", "Sync now")
	o.ada.get("/connections").says(t, http.StatusOK, "files", "active", "Ada")
	o.ada.get("/grants").says(t, http.StatusOK, "Ada", "drive", "active", "files")
	if n := o.provider.Count("token") - before; n != 1 {
		t.Errorf("%d token requests", n)
	}
}

func testDeniedPage(t *testing.T) {
	o := newOAuthRig(t)
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Deny = "access_denied" })
	p := o.land(t, o.ada, o.consent(t, o.ada, "files"))
	p.says(t, http.StatusOK, "The consent was not given", "What we sent", "What came back access_denied: the person said no", "Choose Allow", "Start again")
	o.none(t)
	// The button starts the same consent again, with what was filled in.
	p.has(t, `action="/connect"`, `name="name" value="files"`, `name="set.corner" value="north"`)
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Deny = "" })
	o.begin(o.ada, "files").link(t)
}

func testUntickedPage(t *testing.T) {
	o := newOAuthRig(t)
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Unticked = []string{"groups.read"} })
	p := o.land(t, o.ada, o.consent(t, o.ada, "files"))
	p.says(t, http.StatusOK, "Connected, but permissions are missing", "Not granted: groups.read", "groups.read needed, not granted", "Grant again")
	p.has(t, `action="/connections/files/grant-again"`)
	o.ada.get("/connections/files").says(t, http.StatusOK, "set-up is not finished", "Not granted: groups.read.", "Grant again")
	o.finished(t)
	o.ada.get("/connections/files").says(t, http.StatusOK, "degraded", "groups.read", "Grant again")
	o.ada.get("/").says(t, http.StatusOK, "Files is degraded")
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Unticked = nil })
	p = o.land(t, o.ada, o.provider.Browser(o.ada.post("/connections/files/grant-again").link(t)))
	p.says(t, http.StatusOK, "Granted again", "groups.read granted")
	k, err := o.store.Connection(t.Context(), "files")
	if err != nil || k.State != store.StateActive {
		t.Errorf("after granting again: %s, %v", k.State, err)
	}
}

// testFirstScopesPage: where granting again gives the same again, the page says what is to be done before.
func testFirstScopesPage(t *testing.T) {
	o := newOAuthRig(t)
	o.reg = o.register(t, "forge", func(m map[string]any) {
		m["revocation"], m["grant_per"] = map[string]any{"style": "none", "manage_url": "https://manage.example.com/"}, "account"
	})
	o.provider.Set(func(b *oauthtest.Behaviour) { b.NoScope, b.KeepsScopes = true, true })
	o.provider.Granted("user-1", "files.read")
	p := o.land(t, o.ada, o.consent(t, o.ada, "files"))
	p.says(t, http.StatusOK, "Connected, but permissions are missing", "Not granted: groups.read", "Remove the access of the application at the provider first, then grant again")
	p.has(t, `href="https://manage.example.com/"`)
	o.finished(t)
	o.ada.get("/connections/files").says(t, http.StatusOK, "degraded", "remove the access of the application at https://manage.example.com/ first")
	o.provider.Forget("user-1")
	o.land(t, o.ada, o.provider.Browser(o.ada.post("/connections/files/grant-again").link(t))).says(t, http.StatusOK, "Granted again", "groups.read granted")
}

func testBroaderPage(t *testing.T) {
	o := newOAuthRig(t)
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Extra = []string{"files.write"} })
	o.land(t, o.ada, o.consent(t, o.ada, "files")).says(t, http.StatusOK, "Granted without being asked for: files.write", "files.write granted, not asked for")
}

func testWrongSecretPage(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	o.provider.ClientSecret = "another one"
	p := o.land(t, o.ada, to)
	p.says(t, http.StatusBadGateway, "The provider refuses the client credentials", "invalid_client", "enter the client ID and the secret again", "Open the registration")
	p.has(t, `class="button" href="/registrations/`+o.reg.ID.String()+`"`)
	o.none(t)
	// The page of the registration says so before it is saved, too.
	p = o.ada.post("/registrations/"+o.reg.ID.String()+"/save", "client_id", o.provider.ClientID, "secret", "still wrong", "digest", o.reg.Digest)
	p.says(t, http.StatusUnprocessableEntity, "Nothing was saved: the provider does not confirm it", "What we sent a made-up authorization code", "invalid_client", "What to do", "refused")
	if strings.Contains(p.body, "still wrong") {
		t.Error("the page shows the secret again")
	}
}

func testRedirectURIPage(t *testing.T) {
	o := newOAuthRig(t)
	// Most providers show a page of their own; the page before says what to do then.
	p := o.begin(o.ada, "files")
	p.says(t, http.StatusOK, "If Fake shows an error instead", "redirect URI")
	p.has(t, `value="`+o.reg.RedirectURI+`"`)
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Deny = "redirect_uri_mismatch" })
	p = o.land(t, o.ada, o.provider.Browser(p.link(t)))
	p.says(t, http.StatusBadGateway, "The redirect URI is not the one that is registered", "copy the redirect URI", "Start again", "Open the registration")
	p.has(t, `value="`+o.reg.RedirectURI+`"`)
	o.ada.get("/registrations/"+o.reg.ID.String()).has(t, `value="`+o.reg.RedirectURI+`"`, `data-copy="redirect-uri"`, `<script type="module" src="/app.js"`)
}

func testExpiredPage(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	o.db.MustExec(t, `UPDATE oauth_flow SET expires_at = clock() - interval '1 second'`)
	before := o.provider.Count("token")
	p := o.land(t, o.ada, to)
	p.says(t, http.StatusBadRequest, "This consent took longer than ten minutes", "Start again")
	p.has(t, `name="name" value="files"`)
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
	o.none(t)
}

func testReplayPage(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	o.land(t, o.ada, to).says(t, http.StatusOK, "Connected")
	before := o.provider.Count("token")
	o.land(t, o.ada, to).says(t, http.StatusBadRequest, "This consent was used already", "Start again")
	if o.provider.Count("token") != before {
		t.Error("the code was sent again")
	}
}

func testOtherSessionPage(t *testing.T) {
	o := newOAuthRig(t)
	o.account("mallory", store.RoleAdmin)
	attacker := o.signedIn("mallory")
	to := o.consent(t, attacker, "mallorys-own") // a name that no link of the menu holds
	before := o.provider.Count("token")
	p := o.land(t, o.ada, to)
	p.says(t, http.StatusForbidden, "This consent was started in another session", "If somebody sent you the link, do not use it", "Start again")
	if strings.Contains(p.body, "mallorys-own") {
		t.Error("the page tells of somebody else's connection")
	}
	// The code is thrown away: the attacker cannot use it either.
	o.land(t, attacker, to).says(t, http.StatusBadRequest, "This consent was used already")
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
	if _, err := o.store.Connection(t.Context(), "mallorys-own"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the connection: %v", err)
	}
	if !slices.ContainsFunc(o.events(), func(e string) bool { return strings.HasPrefix(e, "oauth.fixation refused account:ada") }) {
		t.Errorf("the audit log: %v", o.events())
	}
}

func testSignedOutPage(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	before := o.provider.Count("token")
	victim := o.browser()
	p := o.land(t, victim, to)
	p.says(t, http.StatusForbidden, "You are not signed in here", "start the connection again", "Sign in")
	p.has(t, `href="/signin?next=/connect"`)
	if len(victim.cookies()) != 0 {
		t.Errorf("cookies %v", victim.cookies())
	}
	o.land(t, o.ada, to).says(t, http.StatusBadRequest, "This consent was used already")
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
}

func testStrangersBounded(t *testing.T) {
	o := newOAuthRig(t)
	stranger := o.browser()
	refused := 0
	for range 200 {
		if p := stranger.get("/oauth/callback/" + o.reg.ID.String() + "?state=x&code=y"); p.status == http.StatusTooManyRequests {
			refused++
		}
	}
	if n := pgtest.Scalar[int](t, o.db, `SELECT count(*) FROM audit_event WHERE action LIKE 'oauth.%'`); n > 121 || refused < 50 { // two minutes at most
		t.Errorf("%d events of strangers, %d of 200 refused", n, refused)
	}
}

func testOtherAccountHere(t *testing.T) {
	o := newOAuthRig(t)
	o.account("bob", store.RoleAdmin)
	b := o.signedIn("bob")
	to := o.consent(t, b, "files")
	before := o.provider.Count("token")
	b.signIn("ada")
	// The session of bob has ended, and what was under way in it with it.
	o.land(t, b, to).says(t, http.StatusBadRequest, "This consent was used already, or was not started here")
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
	o.none(t)
}

func testRoleTaken(t *testing.T) {
	o := newOAuthRig(t)
	bob := o.account("bob", store.RoleAdmin)
	b := o.signedIn("bob")
	to := o.consent(t, b, "files")
	before := o.provider.Count("token")
	o.db.MustExec(t, `UPDATE account SET role = 'auditor' WHERE id = $1`, bob.ID)
	b.get(to.RequestURI()).says(t, http.StatusForbidden, "This needs the role admin")
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
	o.none(t)
}

func testOneTimeCallback(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	before := o.provider.Count("token")
	o.db.MustExec(t, `UPDATE account SET password_expires_at = clock() + interval '1 hour'`)
	o.land(t, o.ada, to).says(t, http.StatusForbidden, "You are not signed in here")
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
	o.none(t)
}

func testMixUpPage(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	other, err := o.store.RegistrationNamed(t.Context(), "drive")
	if err != nil {
		t.Fatal(err)
	}
	p := o.ada.post("/registrations", "provider", "google", "name", "honest")
	honest := strings.TrimPrefix(p.location(), "/registrations/")
	if honest == other.ID.String() || p.status != http.StatusSeeOther {
		t.Fatalf("drafting: %d to %q", p.status, p.location())
	}
	before := o.provider.Count("token")
	to.Path = "/oauth/callback/" + honest
	p = o.land(t, o.ada, to)
	p.says(t, http.StatusForbidden, "The answer belongs to another provider's consent", "Do not start it again before you know why", "Open the audit log")
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
	o.ada.get("/audit?action=oauth").says(t, http.StatusOK, "oauth.mixup", "refused")
}

func testTokenInAddress(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	q := to.Query()
	q.Set("access_token", "tok-0123456789abcdefghijklmn")
	to.RawQuery = q.Encode()
	before := o.provider.Count("token")
	o.land(t, o.ada, to).says(t, http.StatusBadRequest, "The answer holds a token in its address", "revoke that token")
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
}

func testTimeoutPage(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	before := o.provider.Count("token")
	o.provider.Set(func(b *oauthtest.Behaviour) {
		b.After = func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done() // until the client has given up
			return true
		}
	})
	p := o.land(t, o.ada, to)
	p.says(t, http.StatusGatewayTimeout, "The provider did not answer in time", "not sent a second time", "Start again")
	p.has(t, `name="name" value="files"`)
	if n := o.provider.Count("token") - before; n != 1 {
		t.Errorf("%d token requests", n)
	}
	o.none(t)
}

func testUserinfoPage(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	o.provider.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			if endpoint == "userinfo" {
				w.WriteHeader(http.StatusForbidden)
			}
			return endpoint == "userinfo"
		}
	})
	o.land(t, o.ada, to).says(t, http.StatusBadGateway, "The provider did not say whose account it is", "Keep the permissions ticked that show your account", "Start again")
	o.none(t)
}

func testRenewalByAnother(t *testing.T) {
	o := newOAuthRig(t)
	k := o.connected(t)
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Subject, b.Account = "user-2", "Eve" })
	p := o.land(t, o.ada, o.provider.Browser(o.ada.post("/connections/files/grant-again").link(t)))
	p.says(t, http.StatusConflict, "The consent was given by another account", "a request to renew the grant of Ada", "a consent of Eve", "Change to the other account")
	p.has(t, `action="/connections/files/grant-again"`, `name="other" value="yes"`)
	if now, err := o.store.Connection(t.Context(), "files"); err != nil || *now.GrantID != *k.GrantID {
		t.Errorf("the connection changed hands: %v", err)
	}
	p = o.land(t, o.ada, o.provider.Browser(o.ada.post("/connections/files/grant-again", "other", "yes").link(t)))
	p.says(t, http.StatusOK, "Eve")
	if now, err := o.store.Connection(t.Context(), "files"); err != nil || *now.GrantID == *k.GrantID {
		t.Errorf("the confirmed change did not happen: %v", err)
	}
}

func testCallbackHeaders(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	b := o.ada
	p := b.get(to.RequestURI())
	want := map[string]string{
		"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "Location": "/oauth/result",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
	}
	for name, value := range want {
		if got := p.header.Values(name); len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q", name, got)
		}
	}
	if p.status != http.StatusSeeOther || p.body != "" {
		t.Errorf("status %d with %q", p.status, p.body)
	}
	if len(p.cookie) != 1 || p.cookie[0].Name != "tributary-result" || !p.cookie[0].HttpOnly || p.cookie[0].SameSite != http.SameSiteLaxMode {
		t.Errorf("cookies %v", p.cookie)
	}
	r := b.get("/oauth/result")
	for name, value := range want {
		if name != "Location" && r.header.Get(name) != value {
			t.Errorf("the page behind it: %s is %q", name, r.header.Get(name))
		}
	}
	for _, secret := range []string{to.Query().Get("code"), to.Query().Get("state")} {
		if strings.Contains(r.body, secret) || strings.Contains(p.cookie[0].Value, secret) {
			t.Error("the code or the state goes on")
		}
	}
}

func testOutcomeBound(t *testing.T) {
	o := newOAuthRig(t)
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Deny = "access_denied" })
	p := o.ada.get(o.consent(t, o.ada, "files").RequestURI())
	value := p.cookie[0].Value
	o.account("bob", store.RoleAdmin)
	bob := o.signedIn("bob")
	bob.plantOutcome(value)
	if p := bob.get("/oauth/result"); p.status != http.StatusSeeOther || p.location() != "/connections" {
		t.Errorf("somebody else's outcome: %d to %q", p.status, p.location())
	}
	o.ada.get("/oauth/result").says(t, http.StatusOK, "The consent was not given")
	text, mac, _ := strings.Cut(value, ".")
	for name, planted := range map[string]string{"another text": "e30." + mac, "no seal": text, "an empty seal": text + ".", "nothing": ""} {
		o.ada.plantOutcome(planted)
		if p := o.ada.get("/oauth/result"); p.status != http.StatusSeeOther {
			t.Errorf("%s: %d", name, p.status)
		}
	}
}

func testCallbackPost(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	before := o.provider.Count("token")
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPut} {
		req := o.ada.request(method, to.Path, to.RawQuery)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		req.Header.Set("Origin", o.provider.URL)
		if p := o.ada.send(req); p.status != http.StatusMethodNotAllowed || p.header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, Allow %q", method, p.status, p.header.Get("Allow"))
		}
	}
	if o.provider.Count("token") != before {
		t.Error("the code was sent")
	}
	o.land(t, o.ada, to).says(t, http.StatusOK, "Connected")
}
