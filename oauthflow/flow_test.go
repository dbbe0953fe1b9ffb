package oauthflow_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// TestConsent is the plain way: one consent makes a grant, a sealed pair and a connection that is due.
func TestConsent(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	res := r.connect(t, plan("a", "files.read"))
	if res.Account != "Ada" || res.Subject != "user-1" || res.Epoch != 1 || res.Renewed || len(res.Missing)+len(res.Broader) > 0 || res.Name != "a" {
		t.Errorf("got %+v", res)
	}
	p := r.pair(t, res.Grant)
	if !r.server.Alive(p.Access.Reveal()) || !r.server.Alive(p.Refresh.Reveal()) || p.Expires == nil {
		t.Errorf("the stored pair is not the one that was given")
	}
	g, err := r.store.GrantByID(t.Context(), res.Grant)
	if err != nil || g.Health.State != oauthflow.GrantActive || !g.Health.Refreshable || !slices.Equal(g.Scopes, []string{"files.read"}) {
		t.Errorf("got %+v, %v", g, err)
	}
	if r.state(t, "a") != "active" || r.audited(t, "oauth.start") != 1 || r.audited(t, "oauth.consent") != 1 {
		t.Errorf("connection is %s, events %d and %d", r.state(t, "a"), r.audited(t, "oauth.start"), r.audited(t, "oauth.consent"))
	}
	if r.tokens() != 1 {
		t.Errorf("%d token requests", r.tokens())
	}
}

// tokens returns how many codes were redeemed, or tried.
func (r *rig) tokens() int { return redeemed(r.server) }

func redeemed(s *oauthtest.Server) int {
	n := 0
	for _, q := range s.Log("token") {
		if q.GrantType == "authorization_code" {
			n++
		}
	}
	return n - 1 // the check of the registration
}

// attack is a callback that must be refused before anything is sent.
func (r *rig) attack(t *testing.T, code oauthflow.FlowCode, to *url.URL) {
	t.Helper()
	before := r.tokens()
	_, err := r.back(t, to)
	flowRefused(t, err, code)
	if n := r.tokens() - before; n != 0 {
		t.Errorf("%d token requests, want 0", n)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM oauth_grant`); n != 0 {
		t.Errorf("%d grants", n)
	}
}

func TestOA(t *testing.T) {
	t.Parallel()
	t.Run("OA-1 mix-up", testMixUp)
	t.Run("OA-1 changed endpoints", testChangedEndpoints)
	t.Run("OA-2 fixation", testFixation)
	t.Run("OA-4 issuer", testIssuer)
	t.Run("OA-5 state", testState)
	t.Run("OA-5 fifty callbacks at once", testStateRace)
	t.Run("OA-6 PKCE", testPKCE)
	t.Run("OA-7 tokens in the address", testTokenInURL)
	t.Run("OA-8 open redirect", testOpenRedirect)
	t.Run("OA-9 timeout", testTimeout)
	t.Run("OA-6 a code of another transaction", testInjectedCode)
	t.Run("OA-9 a server that hangs", testHanging)
	t.Run("OA-10 scopes", testScopes)
	t.Run("OA-12 one way of client authentication, once", testOneStyle)
	t.Run("OA-13 redirecting token endpoint", testRedirectingToken)
	t.Run("OA-15 nothing is told", testNothingTold)
	t.Run("OA-16 certificates", testCertificates)
	t.Run("OA-16 a slow-loris token endpoint", testSlowLoris)
	t.Run("OA-20 resources", testResources)
	t.Run("OA-33 hostile texts", testHostileTexts)
	t.Run("OA-36 ticket", testTicket)
}

// testMixUp: a malicious server A sends the browser on to the honest H with A's state and H's redirect URI.
func testMixUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	evil := oauthtest.New(t, oauthtest.Generic())
	other := r.register(t, "evil", evil, "", nil)
	started, err := r.flows.Start(t.Context(), oauthflow.StartParams{Registration: other.ID, By: r.by, Plan: plan("a")})
	if err != nil {
		t.Fatal(err)
	}
	link, err := url.Parse(started.AuthorizationURL)
	if err != nil {
		t.Fatal(err)
	}
	honest, err := url.Parse(r.server.URL + "/authorize")
	if err != nil {
		t.Fatal(err)
	}
	honest.RawQuery = with(link, func(q url.Values) {
		q.Set("client_id", r.server.ClientID)
		q.Set("redirect_uri", r.reg.RedirectURI)
	}).RawQuery
	r.attack(t, oauthflow.FlowMixUp, r.server.Browser(honest.String()))
	if n := redeemed(evil); n != 0 {
		t.Errorf("%d token requests at the malicious server", n)
	}
	if r.audited(t, "oauth.mixup") != 1 {
		t.Error("no event oauth.mixup")
	}
}

func testChangedEndpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	to := r.start(t, plan("a"))
	r.db.MustExec(t, `UPDATE client_registration SET endpoints_digest = 'other'`)
	r.attack(t, oauthflow.FlowChanged, to)
	r.db.MustExec(t, `UPDATE client_registration SET endpoints_digest = $1, redirect_uri = 'http://127.0.0.1:8080/oauth/callback/x'`, r.reg.Digest)
	_, err := r.flows.Start(t.Context(), oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Plan: plan("a")})
	flowRefused(t, err, oauthflow.FlowMoved)
}

// testFixation: the victim opens a link that the attacker's session made.
func testFixation(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	victim := r.signIn(t, "victim")
	second := r.by
	second.Session = r.session(t, r.by.Account)
	mixed := victim
	mixed.Session = r.by.Session
	for name, by := range map[string]oauthflow.By{"another account": victim, "nobody": {}, "another session of the same account": second, "another account in that session": mixed} {
		to := r.start(t, plan("a"))
		before := r.tokens()
		_, err := r.flows.Callback(t.Context(), r.reg.ID.String(), to.RawQuery, by)
		if e := flowRefused(t, err, oauthflow.FlowOtherSession); e.Status != http.StatusForbidden || e.Plan != nil {
			t.Errorf("%s: got %+v", name, e)
		}
		if r.tokens() != before {
			t.Errorf("%s: the code was redeemed", name)
		}
		r.attack(t, oauthflow.FlowUnknownState, to) // the state is used up, for its owner too
	}
	if r.audited(t, "oauth.fixation") != 4 {
		t.Errorf("%d events", r.audited(t, "oauth.fixation"))
	}
}

func testIssuer(t *testing.T) {
	t.Parallel()
	required := func(m map[string]any) { m["require_iss"] = true }
	r := newRig(t, oauthtest.Generic(), "", required)
	right := r.server.URL
	for name, iss := range map[string][]string{
		"missing": nil, "slash": {right + "/"}, "other": {"https://evil.example"}, "case": {strings.Replace(right, "http", "HTTP", 1)}, "empty": {""},
	} {
		t.Run(name, func(t *testing.T) {
			change := func(q url.Values) { q["iss"] = iss }
			r.attack(t, oauthflow.FlowIssuer, with(r.start(t, plan("a")), change))
			r.attack(t, oauthflow.FlowIssuer, with(r.start(t, plan("a")), func(q url.Values) { change(q); q.Set("error", "access_denied"); q.Del("code") }))
		})
	}
	r.attack(t, oauthflow.FlowMalformed, with(r.start(t, plan("a")), func(q url.Values) { q["iss"] = []string{right, right} }))
	if _, err := r.back(t, r.start(t, plan("a"))); err != nil {
		t.Errorf("the right issuer: %v", err)
	}
	t.Run("not advertised, but sent", func(t *testing.T) {
		r := newRig(t, oauthtest.Generic(), "", nil)
		r.attack(t, oauthflow.FlowIssuer, with(r.start(t, plan("a")), func(q url.Values) { q.Set("iss", "https://evil.example") }))
		if _, err := r.back(t, with(r.start(t, plan("a")), func(q url.Values) { q.Del("iss") })); err != nil {
			t.Errorf("without iss: %v", err)
		}
	})
	t.Run("none configured", func(t *testing.T) {
		r := newRig(t, oauthtest.Generic(), "", func(m map[string]any) { m["issuer"] = "" })
		r.attack(t, oauthflow.FlowMalformed, with(r.start(t, plan("a")), func(q url.Values) { q["iss"] = []string{"a", "b"} }))
		if _, err := r.back(t, with(r.start(t, plan("a")), func(q url.Values) { q.Set("iss", "https://whoever.example") })); err != nil {
			t.Errorf("nothing to compare with: %v", err)
		}
	})
}

func testState(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.db.SetClock(t, time.Now())
	set := func(states ...string) func(url.Values) { return func(q url.Values) { q["state"] = states } }
	to := r.start(t, plan("a"))
	if len(to.Query().Get("state")) < 43 {
		t.Errorf("state %q has fewer than 256 bits", to.Query().Get("state"))
	}
	r.attack(t, oauthflow.FlowMalformed, with(to, set()))
	r.attack(t, oauthflow.FlowMalformed, with(to, set("")))
	r.attack(t, oauthflow.FlowMalformed, with(to, set(to.Query().Get("state"), to.Query().Get("state"))))
	r.attack(t, oauthflow.FlowMalformed, with(to, set(strings.Repeat("x", 201))))
	r.attack(t, oauthflow.FlowUnknownState, with(to, set("foreign")))
	r.attack(t, oauthflow.FlowMalformed, with(to, func(q url.Values) { q.Add("code", "second") }))
	r.attack(t, oauthflow.FlowMalformed, with(to, func(q url.Values) { q.Add("x", "1"); q.Add("x", "2") }))
	late := r.start(t, plan("a"))
	r.db.Advance(t, oauthflow.FlowLife)
	r.attack(t, oauthflow.FlowExpired, late)
	if secrets := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM oauth_flow f WHERE f::text LIKE '%' || $1 || '%'`, to.Query().Get("state")); secrets != 0 {
		t.Error("the state is stored as it is")
	}
	good := r.start(t, plan("a"))
	if _, err := r.back(t, good); err != nil {
		t.Fatal(err)
	}
	before := r.tokens()
	_, err := r.back(t, good)
	flowRefused(t, err, oauthflow.FlowUnknownState)
	if r.tokens() != before {
		t.Error("a replay is redeemed")
	}
}

func testStateRace(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	to := r.start(t, plan("a"))
	var wg sync.WaitGroup
	var mu sync.Mutex
	won := 0
	for range 50 {
		wg.Go(func() {
			if _, err := r.back(t, to); err == nil {
				mu.Lock()
				won++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if won != 1 || r.tokens() != 1 {
		t.Errorf("%d callbacks won with %d token requests, want 1 and 1", won, r.tokens())
	}
}

func testPKCE(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	started, err := r.flows.Start(t.Context(), oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Plan: plan("a")})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(started.AuthorizationURL)
	if err != nil || u.Query().Get("code_challenge_method") != "S256" || len(u.Query().Get("code_challenge")) != 43 {
		t.Errorf("authorization URL %s", u)
	}
	// A code of another transaction is injected: the server refuses it, and it is not tried again.
	first, second := r.start(t, plan("a")), r.start(t, plan("a"))
	before := r.tokens()
	_, err = r.back(t, with(first, func(q url.Values) { q.Set("code", second.Query().Get("code")) }))
	flowRefused(t, err, oauthflow.FlowCodeRefused)
	if n := r.tokens() - before; n != 1 {
		t.Errorf("%d token requests, want 1", n)
	}
	// A server that would do without gets the parameters all the same.
	r.server.Set(func(b *oauthtest.Behaviour) { b.RequireS2 = false })
	r.connect(t, plan("a"))
	for _, q := range r.server.Log("authorize") {
		if q.Form["code_challenge_method"] != "S256" {
			t.Error("an authorization request without S256")
		}
	}
}

func testTokenInURL(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	for _, name := range []string{"access_token", "id_token", "refresh_token", "token_type"} {
		r.attack(t, oauthflow.FlowTokenInURL, with(r.start(t, plan("a")), func(q url.Values) { q.Set(name, "x") }))
	}
	r.attack(t, oauthflow.FlowMalformed, with(r.start(t, plan("a")), func(q url.Values) { q.Del("code") }))
	r.attack(t, oauthflow.FlowMalformed, with(r.start(t, plan("a")), func(q url.Values) { q.Set("code", "a\x00b") }))
}

func testOpenRedirect(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	for to, want := range map[string]string{
		"/grants": "/grants", "/connections/a": "/connections/a", "/grants?x=1": "/grants?x=1",
		"//evil.example": "", `/\evil.example`: "", "https:evil.example": "", "https://evil.example/grants": "", "/%0d%0aLocation:x": "", "/grants%2f..": "",
		"/unknown": "", "grants": "", "": "", "/grants\r\nx": "", "javascript:alert(1)": "", "/grants//evil.example": "", "/grants?to=//evil.example": "", "///evil.example": "",
	} {
		if want == "" {
			want = oauthflow.DefaultReturn
		}
		at := r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, ReturnTo: to})
		res, err := r.back(t, at)
		if err != nil || res.ReturnTo != want {
			t.Errorf("%q: returns to %q, %v", to, res.ReturnTo, err)
		}
	}
}

func testTimeout(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.After = func(w http.ResponseWriter, _ *http.Request) bool { // it took the code, and says nothing
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
			return true
		}
	})
	_, err := r.back(t, r.start(t, plan("a")))
	if e := flowRefused(t, err, oauthflow.FlowTimeout); !strings.Contains(e.Remedy, "Start the connection again") {
		t.Errorf("got %+v", e)
	}
	if r.tokens() != 1 {
		t.Errorf("%d token requests, want 1", r.tokens())
	}
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.After = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "500")
			_, _ = w.Write([]byte(`{"access_token":"x`))
			return true
		}
	})
	_, err = r.back(t, r.start(t, plan("a")))
	flowRefused(t, err, oauthflow.FlowTimeout)
	if r.tokens() != 2 {
		t.Errorf("%d token requests, want 2", r.tokens())
	}
}

func testScopes(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.server.Set(func(b *oauthtest.Behaviour) { b.Unticked, b.Extra = []string{"groups.read"}, []string{"admin"} })
	res := r.connect(t, plan("a", "files.read", "groups.read"))
	if !slices.Equal(res.Missing, []string{"groups.read"}) || !slices.Equal(res.Broader, []string{"admin"}) || r.state(t, "a") != "degraded" {
		t.Errorf("got %+v, connection %s", res, r.state(t, "a"))
	}
	if reason := pgtest.Scalar[string](t, r.db, `SELECT state_reason FROM connection`); !strings.Contains(reason, "groups.read") {
		t.Errorf("reason %q names no scope", reason)
	}
	r.db.MustExec(t, `UPDATE connection SET feed_cursor = '{"at":7}'`)
	r.server.Set(func(b *oauthtest.Behaviour) { b.Unticked, b.Extra = nil, nil })
	old := r.pair(t, res.Grant)
	again, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: res.Grant}))
	if err != nil || !again.Renewed || again.Grant != res.Grant || again.Epoch != 2 || r.state(t, "a") != "active" {
		t.Errorf("granted again: %+v, %v, connection %s", again, err, r.state(t, "a"))
	}
	if cursor := pgtest.Scalar[string](t, r.db, `SELECT feed_cursor::text FROM connection`); cursor != `{"at":7}` {
		t.Errorf("cursor is %s", cursor)
	}
	if r.server.Alive(old.Refresh.Reveal()) {
		t.Error("the pair of the older consent still works at the provider")
	}
	if !r.server.Alive(r.pair(t, res.Grant).Access.Reveal()) {
		t.Error("the new pair does not work")
	}
	t.Run("absent is as requested", func(t *testing.T) {
		r.server.Set(func(b *oauthtest.Behaviour) { b.NoScope = true })
		if res := r.connect(t, plan("b", "files.read")); len(res.Missing) != 0 || !slices.Equal(res.Granted, []string{"files.read"}) {
			t.Errorf("got %+v", res)
		}
	})
}

func testRedirectingToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	other := oauthtest.New(t, oauthtest.Generic())
	for _, status := range []int{301, 302, 303, 307, 308} {
		r.server.Set(func(b *oauthtest.Behaviour) {
			b.After = func(w http.ResponseWriter, q *http.Request) bool {
				http.Redirect(w, q, other.URL+"/token", status)
				return true
			}
		})
		_, err := r.back(t, r.start(t, plan("a")))
		flowRefused(t, err, oauthflow.FlowTokenAnswer)
	}
	if other.Count("token") != 0 || r.tokens() != 5 {
		t.Errorf("%d requests at the other host, %d at the first", other.Count("token"), r.tokens())
	}
}

// testNothingTold looks for secrets in every error and in every row of the database.
func testNothingTold(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.server.ClientSecret = "letters-alone" // and so not hidden for looking like a token
	saved, _, err := r.regs.Save(t.Context(), r.by, oauthflow.SaveParams{ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New("letters-alone")}})
	if err != nil {
		t.Fatal(err)
	}
	r.reg = saved
	to := with(r.start(t, plan("a")), func(q url.Values) { q.Set("code", "a-code-of-letters") })
	canaries := []string{r.server.ClientSecret, to.Query().Get("code"), to.Query().Get("state")}
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.After = func(w http.ResponseWriter, q *http.Request) bool {
			canaries = append(canaries, q.PostForm.Get("code_verifier"))
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_request","error_description":"code ` + q.PostForm.Get("code") + ` verifier ` + q.PostForm.Get("code_verifier") + ` secret ` + r.server.ClientSecret + `\u001b[31m\u202e"}`))
			return true
		}
	})
	_, err = r.back(t, to)
	e := flowRefused(t, err, oauthflow.FlowProviderError)
	r.server.Set(func(b *oauthtest.Behaviour) { b.After = nil })
	res := r.connect(t, plan("a"))
	p := r.pair(t, res.Grant)
	canaries = append(canaries, p.Access.Reveal(), p.Refresh.Reveal())
	shown := strings.Join([]string{e.Error(), e.Title, e.Sent, e.Came, e.Remedy}, " ")
	for _, table := range []string{"audit_event", "oauth_flow", "oauth_grant", "credential", "client_registration", "connection", "connect_ticket"} {
		shown += pgtest.Scalar[string](t, r.db, `SELECT coalesce(string_agg(x::text, ' '), '') FROM `+table+` x`)
	}
	for i, c := range canaries {
		if len(c) < 8 || strings.Contains(shown, c) || strings.Contains(shown, url.QueryEscape(c)) {
			t.Errorf("secret %d is shown", i)
		}
	}
	if strings.ContainsAny(e.Came, "\x1b\u202e") || !strings.Contains(e.Came, "verifier") {
		t.Errorf("not cleaned: %q", e.Came)
	}
}
