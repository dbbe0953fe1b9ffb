package sandbox_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/sandbox"
)

func TestConsentGivesWhatWasTicked(t *testing.T) {
	t.Parallel()
	r := start(t)
	u, err := r.Browser().Consent(r.authorizeURL(), "bob", "groups.read")
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if q.Get("iss") != r.URL || q.Get("state") != "s t&1" || len(q["iss"]) != 1 || u.Host != "127.0.0.1:8080" || u.Path != "/oauth/callback/r1" {
		t.Errorf("sent back to %s", u)
	}
	tk, status := r.token(codeForm(q.Get("code")))
	if status != http.StatusOK || tk.Scope != "account.read files.read" || tk.TokenType != "Bearer" || tk.ExpiresIn != 3600 {
		t.Fatalf("status %d: %+v", status, tk)
	}
	wantStatus(t, "items", r.get("/api/v1/items", tk.AccessToken), http.StatusOK)
	wantStatus(t, "about", r.get("/api/v1/about", tk.AccessToken), http.StatusOK)
	a := r.get("/api/v1/groups", tk.AccessToken)
	wantStatus(t, "groups without the scope", a, http.StatusForbidden)
	if h := a.header.Get("WWW-Authenticate"); h != `Bearer realm="Sandbox Drive", error="insufficient_scope", scope="groups.read"` {
		t.Errorf("WWW-Authenticate %q", h)
	}
	u, err = r.Browser().Deny(r.authorizeURL(), "bob")
	if err != nil || u.Query().Get("error") != "access_denied" || u.Query().Get("iss") != r.URL || u.Query().Get("state") != "s t&1" {
		t.Errorf("denied: %v %v", u, err)
	}
}

func TestAuthorizationRequests(t *testing.T) {
	t.Parallel()
	r := start(t)
	set := func(k string, v ...string) func(url.Values) { return func(q url.Values) { q[k] = v } }
	for _, tc := range []struct {
		name   string
		change func(url.Values)
		want   string // the error at the client; "" is a page that tells the person alone
	}{
		{"an unknown client is told to the person", set("client_id", "sb-nobody"), ""},
		{"a repeated client is told to the person", set("client_id", r.id, r.id), ""},
		{"an address that is not registered is told to the person", set("redirect_uri", redirectURI+"/"), ""},
		{"an address is compared to the letter", set("redirect_uri", strings.Replace(redirectURI, "http:", "HTTP:", 1)), ""},
		{"an address with one more parameter is another", set("redirect_uri", redirectURI+"?x=1"), ""},
		{"a missing address is told to the person", set("redirect_uri"), ""},
		{"the implicit grant is not served", set("response_type", "token"), "unsupported_response_type"},
		{"fragments are not served", set("response_mode", "fragment"), "invalid_request"},
		{"no challenge", set("code_challenge"), "invalid_request"},
		{"the plain challenge", set("code_challenge_method", "plain"), "invalid_request"},
		{"a challenge without method", set("code_challenge_method"), "invalid_request"},
		{"a challenge that is no SHA-256", set("code_challenge", "abc"), "invalid_request"},
		{"a repeated state", set("state", "a", "b"), "invalid_request"},
		{"an unknown scope", set("scope", "files.read files.write"), "invalid_scope"},
		{"no scope", set("scope", " "), "invalid_scope"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			b := r.Browser()
			if err := b.SignIn("bob"); err != nil {
				t.Fatal(err)
			}
			a, err := b.Get(r.authorizeURL(tc.change))
			if err != nil {
				t.Fatal(err)
			}
			if tc.want == "" {
				if a.Status != http.StatusBadRequest || a.Location != "" {
					t.Errorf("status %d to %q", a.Status, a.Location)
				}
				return
			}
			u, err := url.Parse(a.Location)
			if err != nil || a.Status != http.StatusSeeOther || u.Query().Get("error") != tc.want || u.Query().Get("iss") != r.URL || u.Query().Has("code") {
				t.Errorf("status %d to %q", a.Status, a.Location)
			}
		})
	}
}

func TestConsentForms(t *testing.T) {
	t.Parallel()
	r := start(t)
	b := r.Browser()
	a, err := b.Get(r.authorizeURL())
	if err != nil || a.Status != http.StatusSeeOther || !strings.HasPrefix(a.Location, "/signin?next=") {
		t.Fatalf("without a sign-in: %d %q %v", a.Status, a.Location, err)
	}
	if err := b.SignIn("bob"); err != nil {
		t.Fatal(err)
	}
	page, err := b.Get(r.authorizeURL())
	if err != nil {
		t.Fatal(err)
	}
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' http://127.0.0.1:8080;") {
		t.Errorf("the form's answer may not lead to the client: %q", csp)
	}
	form := url.Values{"form_token": {page.Field("form_token")}, "request": {page.Field("request")}, "decision": {"allow"}}
	if a, err := b.Post("/oauth/authorize", form); err != nil || a.Status != http.StatusBadRequest || !strings.Contains(a.Body, "Tick at least one line") {
		t.Errorf("nothing ticked: %d %v", a.Status, err)
	}
	form["scope"] = []string{"files.read", "files.write"}
	a, err = b.Post("/oauth/authorize", form)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(a.Location)
	if err != nil {
		t.Fatal(err)
	}
	if tk, _ := r.token(codeForm(u.Query().Get("code"))); tk.Scope != "files.read" {
		t.Errorf("a scope that was not asked for: %+v", tk)
	}
	form.Set("request", strings.Replace(form.Get("request"), "redirect_uri=http", "redirect_uri=https", 1))
	if a, err := b.Post("/oauth/authorize", form); err != nil || a.Status != http.StatusBadRequest || a.Location != "" {
		t.Errorf("an address changed in the form: %d %q %v", a.Status, a.Location, err)
	}
}

func TestCodes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(r *rig, form url.Values)
	}{
		{"another verifier", func(_ *rig, f url.Values) { f.Set("code_verifier", verifier+"x") }},
		{"no verifier", func(_ *rig, f url.Values) { f.Del("code_verifier") }},
		{"another address", func(_ *rig, f url.Values) { f.Set("redirect_uri", redirectURI+"/") }},
		{"no address", func(_ *rig, f url.Values) { f.Del("redirect_uri") }},
		{"a minute later", func(r *rig, _ url.Values) { r.clock.advance(time.Minute) }},
		{"an unknown code", func(_ *rig, f url.Values) { f.Set("code", "sbc_unknown") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t)
			form := codeForm(r.code("bob"))
			tc.change(r, form)
			if tk, status := r.token(form); status != http.StatusBadRequest || tk.Error != "invalid_grant" || tk.AccessToken != "" {
				t.Errorf("status %d: %+v", status, tk)
			}
		})
	}
	t.Run("another client's code is unknown and stays good", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		form, id, secret := codeForm(r.code("bob")), r.id, r.secret
		var err error
		if r.id, r.secret, err = r.Register(redirectURI); err != nil {
			t.Fatal(err)
		}
		if tk, _ := r.token(form); tk.Error != "invalid_grant" {
			t.Errorf("%+v", tk)
		}
		r.id, r.secret = id, secret
		if _, status := r.token(form); status != http.StatusOK {
			t.Errorf("its own client: status %d", status)
		}
	})
	t.Run("a second use ends the tokens of the first", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		form := codeForm(r.code("bob"))
		tk, _ := r.token(form)
		wantStatus(t, "before", r.get("/api/v1/about", tk.AccessToken), http.StatusOK)
		if again, _ := r.token(form); again.Error != "invalid_grant" {
			t.Errorf("%+v", again)
		}
		wantStatus(t, "after", r.get("/api/v1/about", tk.AccessToken), http.StatusUnauthorized)
		if tk, _ := r.token(refreshForm(tk.RefreshToken)); tk.Error != "invalid_grant" {
			t.Errorf("%+v", tk)
		}
		if r.Seen().Reused != 1 {
			t.Errorf("%+v", r.Seen())
		}
	})
}

func TestRefresh(t *testing.T) {
	t.Parallel()
	r := start(t)
	first := r.connect("bob")
	second, status := r.token(refreshForm(first.RefreshToken))
	if status != http.StatusOK || second.RefreshToken == "" || second.RefreshToken == first.RefreshToken || second.AccessToken == first.AccessToken {
		t.Fatalf("status %d: %+v", status, second)
	}
	wantStatus(t, "the old access token lives on", r.get("/api/v1/about", first.AccessToken), http.StatusOK)
	form := refreshForm(second.RefreshToken)
	form.Set("scope", "account.read admin")
	if tk, _ := r.token(form); tk.Error != "invalid_scope" {
		t.Errorf("more scopes: %+v", tk)
	}
	form.Set("scope", "account.read")
	third, _ := r.token(form)
	if third.Scope != "account.read" {
		t.Fatalf("fewer scopes: %+v", third)
	}
	wantStatus(t, "a narrowed token", r.get("/api/v1/items", third.AccessToken), http.StatusForbidden)
	fourth, _ := r.token(refreshForm(third.RefreshToken))
	if fourth.Scope != "account.read files.read groups.read" {
		t.Errorf("narrowing is for one token: %+v", fourth)
	}
	other := r.connect("ann")
	if tk, status := r.token(refreshForm(first.RefreshToken)); status != http.StatusBadRequest || tk.Error != "invalid_grant" {
		t.Fatalf("status %d: %+v", status, tk)
	}
	for _, tk := range []tokens{first, second, third, fourth} {
		wantStatus(t, "a token of the family after a reuse", r.get("/api/v1/about", tk.AccessToken), http.StatusUnauthorized)
	}
	if tk, _ := r.token(refreshForm(fourth.RefreshToken)); tk.Error != "invalid_grant" {
		t.Errorf("the newest refresh token after a reuse: %+v", tk)
	}
	wantStatus(t, "another consent", r.get("/api/v1/about", other.AccessToken), http.StatusOK)
	r.clock.advance(721 * time.Hour)
	if tk, _ := r.token(refreshForm(other.RefreshToken)); tk.Error != "invalid_grant" {
		t.Errorf("unused for a month: %+v", tk)
	}
}

func TestOneOfManyPresentationsWins(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, form := range map[string]url.Values{"code": codeForm(r.code("bob")), "refresh token": refreshForm(r.connect("ann").RefreshToken)} {
		var won, lost atomic.Int32
		var group sync.WaitGroup
		for range 32 {
			group.Go(func() {
				switch tk, status := r.token(form); {
				case status == http.StatusOK:
					won.Add(1)
				case tk.Error == "invalid_grant":
					lost.Add(1)
				}
			})
		}
		group.Wait()
		if won.Load() != 1 || lost.Load() != 31 {
			t.Errorf("%s: %d won and %d lost", name, won.Load(), lost.Load())
		}
	}
}

func TestTokenEndpointRefusals(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, tc := range []struct {
		name   string
		form   url.Values
		change func(*http.Request)
		status int
		code   string
	}{
		{"a wrong secret", url.Values{"grant_type": {"client_credentials"}}, func(q *http.Request) { q.SetBasicAuth(r.id, "wrong") }, 401, "invalid_client"},
		{"an unknown client", url.Values{"grant_type": {"client_credentials"}}, func(q *http.Request) { q.SetBasicAuth("x", r.secret) }, 401, "invalid_client"},
		{"the secret in the body", url.Values{"grant_type": {"client_credentials"}, "client_id": {r.id}, "client_secret": {r.secret}}, func(q *http.Request) { q.Header.Del("Authorization") }, 401, "invalid_client"},
		{"JSON", url.Values{}, func(q *http.Request) { q.Header.Set("Content-Type", "application/json") }, 400, "invalid_request"},
		{"a repeated parameter", url.Values{"grant_type": {"client_credentials", "client_credentials"}}, nil, 400, "invalid_request"},
		{"the password grant", url.Values{"grant_type": {"password"}}, nil, 400, "unsupported_grant_type"},
		{"no grant type", url.Values{}, nil, 400, "unsupported_grant_type"},
		{"an unknown scope", url.Values{"grant_type": {"client_credentials"}, "scope": {"all"}}, nil, 400, "invalid_scope"},
		{"an access token as a refresh token", refreshForm(r.organisation()), nil, 400, "invalid_grant"},
		{"a life of nothing", url.Values{"grant_type": {"client_credentials"}, "token_life": {"0"}}, nil, 400, "invalid_request"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.change == nil {
				tc.change = func(*http.Request) {}
			}
			a := r.post("/oauth/token", tc.form, tc.change)
			wantStatus(t, "answer", a, tc.status)
			var tk tokens
			a.json(t, &tk)
			if tk.Error != tc.code || a.header.Get("Cache-Control") != "no-store" || (tc.status == 401) != strings.HasPrefix(a.header.Get("WWW-Authenticate"), "Basic") {
				t.Errorf("%+v %v", tk, a.header)
			}
			if strings.Contains(a.body, r.secret) {
				t.Error("the answer tells the secret")
			}
		})
	}
	wantStatus(t, "GET", r.get("/oauth/token", ""), http.StatusMethodNotAllowed)
}

func TestClientCredentialsSpeakForTheOrganisation(t *testing.T) {
	t.Parallel()
	r := start(t)
	a := r.post("/oauth/token", url.Values{"grant_type": {"client_credentials"}, "scope": {"files.read account.read"}})
	var tk tokens
	a.json(t, &tk)
	if tk.RefreshToken != "" || tk.Scope != "account.read files.read" || strings.Contains(a.body, "refresh_token") {
		t.Errorf("%s", a.body)
	}
	var list struct{ Items []struct{ ID string } }
	r.get("/api/v1/items", tk.AccessToken).json(t, &list)
	if len(list.Items) != 9 {
		t.Errorf("%d items", len(list.Items))
	}
	var about struct{ Account struct{ ID, Name string } }
	r.get("/api/v1/about", tk.AccessToken).json(t, &about)
	if about.Account.ID != "client:"+r.id {
		t.Errorf("%+v", about)
	}
}

func TestTokenLife(t *testing.T) {
	t.Parallel()
	r := start(t)
	form := url.Values{"grant_type": {"client_credentials"}}
	life := func() int { tk, _ := r.token(form); return tk.ExpiresIn }
	if n := life(); n != 3600 {
		t.Errorf("by default %d", n)
	}
	form.Set("token_life", "7")
	if n := life(); n != 7 {
		t.Errorf("by request %d", n)
	}
	r.Faults().Set(func(o *sandbox.Options) { o.TokenLife = time.Second })
	if n := life(); n != 1 {
		t.Errorf("by switch %d", n)
	}
	tk, _ := r.token(form)
	wantStatus(t, "at once", r.get("/api/v1/about", tk.AccessToken), http.StatusOK)
	r.clock.advance(time.Second)
	a := r.get("/api/v1/about", tk.AccessToken)
	wantStatus(t, "a second later", a, http.StatusUnauthorized)
	if !strings.Contains(a.header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("%v", a.header)
	}
	r.Faults().Clear()
	tk, _ = r.token(url.Values{"grant_type": {"client_credentials"}})
	r.Faults().Advance(time.Hour)
	wantStatus(t, "after a jump in time", r.get("/api/v1/about", tk.AccessToken), http.StatusUnauthorized)
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	r := start(t)
	tk := r.connect("bob")
	for _, unknown := range []string{"nothing", "sbr_unknown"} {
		wantStatus(t, "an unknown token", r.post("/oauth/revoke", url.Values{"token": {unknown}}), http.StatusOK)
	}
	other := start(t)
	stranger := func(q *http.Request) { q.SetBasicAuth(other.id, other.secret) }
	wantStatus(t, "a stranger", r.post("/oauth/revoke", url.Values{"token": {tk.RefreshToken}}, stranger), http.StatusUnauthorized)
	id, secret, err := r.Register(redirectURI)
	if err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "another client", r.post("/oauth/revoke", url.Values{"token": {tk.RefreshToken}}, func(q *http.Request) { q.SetBasicAuth(id, secret) }), http.StatusOK)
	wantStatus(t, "still there", r.get("/api/v1/about", tk.AccessToken), http.StatusOK)
	wantStatus(t, "another client's refresh token", r.post("/oauth/token", refreshForm(tk.RefreshToken), func(q *http.Request) { q.SetBasicAuth(id, secret) }), http.StatusBadRequest)
	next, _ := r.token(refreshForm(tk.RefreshToken))
	wantStatus(t, "an access token", r.post("/oauth/revoke", url.Values{"token": {tk.AccessToken}}), http.StatusOK)
	wantStatus(t, "that one has ended", r.get("/api/v1/about", tk.AccessToken), http.StatusUnauthorized)
	wantStatus(t, "the other has not", r.get("/api/v1/about", next.AccessToken), http.StatusOK)
	wantStatus(t, "a refresh token", r.post("/oauth/revoke", url.Values{"token": {next.RefreshToken}, "token_type_hint": {"access_token"}}), http.StatusOK)
	wantStatus(t, "its access tokens have ended", r.get("/api/v1/about", next.AccessToken), http.StatusUnauthorized)
	if tk, _ := r.token(refreshForm(next.RefreshToken)); tk.Error != "invalid_grant" {
		t.Errorf("%+v", tk)
	}
	wantStatus(t, "no token", r.post("/oauth/revoke", url.Values{}), http.StatusBadRequest)
}

func TestIntrospectionAndUserinfo(t *testing.T) {
	t.Parallel()
	r := start(t)
	tk := r.connect("bob")
	ask := func(token string, change ...func(*http.Request)) map[string]any {
		var m map[string]any
		r.post("/oauth/introspect", url.Values{"token": {token}}, change...).json(t, &m)
		return m
	}
	m := ask(tk.AccessToken)
	if m["active"] != true || m["sub"] != "bob" || m["client_id"] != r.id || m["iss"] != r.URL || m["exp"].(float64)-m["iat"].(float64) != 3600 {
		t.Errorf("%v", m)
	}
	if m := ask(tk.RefreshToken); m["active"] != true || m["token_type"] != nil {
		t.Errorf("%v", m)
	}
	id, secret, err := r.Register(redirectURI)
	if err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string]map[string]any{
		"unknown": ask("x"), "another client": ask(tk.AccessToken, func(q *http.Request) { q.SetBasicAuth(id, secret) }),
	} {
		if m["active"] != false || len(m) != 1 {
			t.Errorf("%s: %v", what, m)
		}
	}
	r.token(refreshForm(tk.RefreshToken))
	r.clock.advance(time.Hour)
	for what, m := range map[string]map[string]any{"expired": ask(tk.AccessToken), "spent": ask(tk.RefreshToken)} {
		if m["active"] != false {
			t.Errorf("%s: %v", what, m)
		}
	}
	var info map[string]any
	fresh := r.connect("bob")
	r.get("/oauth/userinfo", fresh.AccessToken).json(t, &info)
	if info["sub"] != "bob" || info["email"] != "bob@small.example" || info["email_verified"] != true || info["name"] != "Bob <b>" {
		t.Errorf("%v", info)
	}
	wantStatus(t, "userinfo without a token", r.get("/oauth/userinfo", ""), http.StatusUnauthorized)
	wantStatus(t, "a token in the address", r.get("/oauth/userinfo?access_token="+fresh.AccessToken, ""), http.StatusUnauthorized)
	narrow := r.connect("bob", "account.read")
	wantStatus(t, "userinfo without the scope", r.get("/oauth/userinfo", narrow.AccessToken), http.StatusForbidden)
}

func TestPeopleWhoLeftHaveNoAccess(t *testing.T) {
	t.Parallel()
	r := start(t)
	tk := r.connect("bob")
	if err := r.Browser().SignIn("old"); err == nil {
		t.Error("somebody who left signed in")
	}
	if err := r.World().SetActive("bob", false); err != nil {
		t.Fatal(err)
	}
	wantStatus(t, "the token of somebody who left", r.get("/api/v1/items", tk.AccessToken), http.StatusUnauthorized)
}

// TestServerIsWhatTheProfileSays compares the server with the profile by which Tributary speaks to it.
func TestServerIsWhatTheProfileSays(t *testing.T) {
	t.Parallel()
	r := start(t)
	b, err := os.ReadFile("../../oauthflow/profiles/sandbox.json")
	if err != nil {
		t.Fatal(err)
	}
	var profile struct {
		Issuer     string
		RequireIss bool `json:"require_iss"`
		Endpoints  map[string]string
		ClientAuth string `json:"client_auth"`
		PKCE       string `json:"pkce"`
		Grants     []string
		Scopes     struct{ Known []struct{ Name string } }
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(string(b), "{base}", r.URL)), &profile); err != nil {
		t.Fatal(err)
	}
	var meta map[string]any
	a := r.get("/.well-known/oauth-authorization-server", "")
	a.json(t, &meta)
	for key, name := range map[string]string{
		"authorization_endpoint": "authorize", "token_endpoint": "token", "revocation_endpoint": "revoke",
		"introspection_endpoint": "introspect", "userinfo_endpoint": "userinfo",
	} {
		if meta[key] != profile.Endpoints[name] || profile.Endpoints[name] == "" {
			t.Errorf("%s is %v, in the profile %q", key, meta[key], profile.Endpoints[name])
		}
	}
	lists := map[string][]string{
		"token_endpoint_auth_methods_supported": {profile.ClientAuth}, "code_challenge_methods_supported": {profile.PKCE}, "grant_types_supported": profile.Grants,
	}
	for _, s := range profile.Scopes.Known {
		lists["scopes_supported"] = append(lists["scopes_supported"], s.Name)
	}
	for key, values := range lists {
		for _, v := range values {
			if !strings.Contains(a.body, strconv.Quote(v)) || meta[key] == nil {
				t.Errorf("%s lacks %q", key, v)
			}
		}
	}
	if meta["issuer"] != profile.Issuer || meta["authorization_response_iss_parameter_supported"] != profile.RequireIss {
		t.Errorf("issuer %v, iss %v", meta["issuer"], meta["authorization_response_iss_parameter_supported"])
	}
}
