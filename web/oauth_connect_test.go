package web_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

func testContinuePage(t *testing.T) {
	o := newOAuthRig(t)
	p := o.begin(o.ada, "files")
	link, err := url.Parse(p.link(t))
	if err != nil || link.Host != o.provider.Host() || p.header.Get("Location") != "" {
		t.Errorf("link %v, %v, Location %q", link, err, p.header.Get("Location"))
	}
	q := link.Query()
	if q.Get("code_challenge_method") != "S256" || q.Get("redirect_uri") != o.reg.RedirectURI || q.Get("scope") != "files.read groups.read" || len(q.Get("state")) < 22 {
		t.Errorf("the request: %v", q)
	}
	p.says(t, http.StatusOK, "Continue to "+o.provider.Host(), "Reads the documents.", "Reads who may see them.")
}

func testTicketPage(t *testing.T) {
	o := newOAuthRig(t)
	cli := oauthflow.By{Actor: o.by.Actor}
	cli.Actor.Name = "root@build <b>"
	plan := oauthflow.Plan{Name: "files", Source: "fakedrive", Needed: []string{"files.read"}, Settings: map[string]string{"corner": "<i>north</i>"}}
	ticket := func() string {
		link, _, err := oauthflow.NewFlows(oauthflow.FlowsConfig{Store: o.store, Vault: o.ring, PublicURL: o.server.URL}).MakeTicket(t.Context(), oauthflow.StartParams{Registration: o.reg.ID, By: cli, Plan: plan})
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimPrefix(link.Reveal(), o.server.URL)
	}
	path := ticket()
	visitor := o.browser()
	p := visitor.get(path)
	if p.status != http.StatusSeeOther || p.location() != "/signin?next="+path {
		t.Fatalf("a visitor: %d to %q", p.status, p.location())
	}
	if p := visitor.post("/signin", "name", "ada", "password", goodPassword, "next", path); p.location() != path {
		t.Fatalf("signing in leads to %q", p.location())
	}
	p = visitor.get(path)
	p.says(t, http.StatusOK, "root@build <b> asked for this on the command line", "files", "Fake Drive", o.provider.Host(), "<i>north</i>", "Reads the documents.", "in your name, ada")
	if n := pgtest.Scalar[int](t, o.db, `SELECT count(*) FROM oauth_flow`); n != 0 {
		t.Error("looking at the page starts a consent")
	}
	to := o.provider.Browser(visitor.post(path).link(t))
	o.land(t, visitor, to).says(t, http.StatusOK, "Connected", "files")
	visitor.get(path).says(t, http.StatusNotFound, "This link is over", "Ask for a new one")
	visitor.post(path).says(t, http.StatusNotFound, "This link is over")
	o.account("aud", store.RoleAuditor)
	plan.Name = "others"
	o.signedIn("aud").get(ticket()).says(t, http.StatusForbidden, "role admin")
	late := ticket()
	o.db.MustExec(t, `UPDATE connect_ticket SET expires_at = clock() - interval '1 second'`)
	o.ada.get(late).says(t, http.StatusNotFound, "This link is over")
}

func testNoOpenRedirect(t *testing.T) {
	o := newOAuthRig(t)
	for _, to := range []string{"//evil.example", "/\\evil.example", "https:evil.example", "https://evil.example/", "/connections%0d%0aSet-Cookie:x=1", "/signout", "/connections/../evil", "/oauth/result", "javascript:alert(1)"} {
		visitor := o.browser()
		if p := visitor.post("/signin", "name", "ada", "password", goodPassword, "next", to); p.location() != "/" {
			t.Errorf("signing in with next=%q leads to %q", to, p.location())
		}
		if o.web.Returns(to) {
			t.Errorf("a consent returns to %q", to)
		}
	}
	for _, to := range []string{"/connections", "/connections/files", "/registrations/" + o.reg.ID.String(), "/grants"} {
		if !o.web.Returns(to) {
			t.Errorf("a consent does not return to %q", to)
		}
	}
}

func testConnectForm(t *testing.T) {
	o := newOAuthRig(t)
	o.connected(t)
	o.begin(o.ada, "files").says(t, http.StatusUnprocessableEntity, `a connection named "files" exists`)
	for name, tc := range map[string]struct {
		fields []string
		says   string
	}{
		"a setting is missing":     {[]string{"name", "x"}, "Corner: is missing"},
		"a number that is none":    {[]string{"name", "x", "set.corner", "n", "set.depth", "deep"}, "Depth: must be a whole number"},
		"a choice that is none":    {[]string{"name", "x", "set.corner", "n", "set.mode", "c"}, "Mode: must be one of a, b"},
		"two lines":                {[]string{"name", "x", "set.corner", "n\nm"}, "must be one line"},
		"a way that has no secret": {[]string{"name", "x", "set.corner", "n", "kind", "jwt_bearer"}, "How access is given"},
		"a bad name":               {[]string{"name", "Not a name", "set.corner", "n"}, "must be 1 to 63 of a-z"},
	} {
		fields := append([]string{"source", "fakedrive", "registration", o.reg.ID.String(), "kind", "authorization_code"}, tc.fields...)
		p := o.ada.post("/connect", fields...)
		if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.text(), tc.says) {
			t.Errorf("%s: %d\n%s", name, p.status, p.text())
		}
	}
	if p := o.ada.post("/connect", "source", "folder", "registration", o.reg.ID.String(), "kind", "authorization_code"); p.status != http.StatusBadRequest {
		t.Errorf("a source without consent: %d", p.status)
	}
	p := o.ada.post("/connect", "source", "fakedrive", "registration", o.reg.ID.String(), "kind", "client_credentials", "name", "whole", "set.corner", "south", "include", "a/**\n\n b ")
	if p.status != http.StatusSeeOther || p.location() != "/oauth/result" {
		t.Fatalf("the client itself: %d\n%s", p.status, p.text())
	}
	o.ada.get("/oauth/result").says(t, http.StatusOK, "Connected", "whole")
	k, err := o.store.Connection(t.Context(), "whole")
	if err != nil || !slices.Equal(k.Selection.Include, []string{"a/**", "b"}) {
		t.Errorf("connection %+v, %v", k.Selection, err)
	}
}

func testServerGrantAgain(t *testing.T) {
	o := newOAuthRig(t)
	o.ada.post("/connect", "source", "fakedrive", "registration", o.reg.ID.String(), "kind", "client_credentials", "name", "whole", "set.corner", "south")
	k, err := o.store.Connection(t.Context(), "whole")
	if err != nil {
		t.Fatal(err)
	}
	p := o.ada.post("/connections/whole/grant-again")
	if p.status != http.StatusSeeOther || !strings.HasPrefix(p.location(), "/connect?source=fakedrive&registration=") {
		t.Fatalf("granting again: %d to %q", p.status, p.location())
	}
	o.ada.get(p.location()).says(t, http.StatusOK, "The connection whole gets a grant again", "The client itself")
	// Without any grant a registration is chosen first.
	o.db.MustExec(t, `UPDATE connection SET grant_id = NULL, state = 'needs_reauth' WHERE id = $1`, k.ID)
	o.ada.get("/connections/whole").has(t, `action="/connections/whole/grant-again"`)
	p = o.ada.post("/connections/whole/grant-again")
	if p.location() != "/connect?connection=whole" {
		t.Fatalf("granting again: %d to %q", p.status, p.location())
	}
	p = o.ada.get(p.location())
	p.says(t, http.StatusOK, "Connect whole again", "Connect through drive")
	p.has(t, "&amp;connection=whole")
	p = o.ada.post("/connect", "source", "fakedrive", "registration", o.reg.ID.String(), "kind", "authorization_code", "connection", "whole")
	o.land(t, o.ada, o.provider.Browser(p.link(t))).says(t, http.StatusOK, "Connected", "whole")
	if now, err := o.store.Connection(t.Context(), "whole"); err != nil || now.GrantID == nil || now.State != store.StateActive || now.Settings["corner"] != "south" {
		t.Errorf("connection %+v, %v", now, err)
	}
	o.ada.get("/connect?connection=nowhere").says(t, http.StatusNotFound, "There is no such connection")
}

func testHostileTexts(t *testing.T) {
	o := newOAuthRig(t)
	for _, text := range hostileTexts() {
		to := o.consent(t, o.ada, "files")
		to.RawQuery = url.Values{"state": {to.Query().Get("state")}, "iss": {o.provider.URL}, "error": {text}, "error_description": {text}}.Encode()
		harmless(t, text, o.land(t, o.ada, to))
	}
	for i, text := range hostileTexts() {
		o.provider.Set(func(b *oauthtest.Behaviour) { b.Account, b.Subject = text, "user-"+strings.Repeat("x", i+1) })
		name := "k" + strings.Repeat("x", i)
		o.land(t, o.ada, o.consent(t, o.ada, name))
		k, err := o.store.Connection(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/oauth/result", "/grants/" + k.GrantID.String(), "/connections/" + name, "/connections/" + name + "/disconnect"} {
			harmless(t, text, o.ada.get(path))
		}
	}
	for _, path := range []string{"/grants", "/connections", "/audit", "/", "/registrations/" + o.reg.ID.String()} {
		for _, text := range hostileTexts() {
			harmless(t, text, o.ada.get(path))
		}
	}
}

func hostileTexts() []string {
	return []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `javascript:alert(1)`, `<a href="https://evil.example">click</a>`,
		"line\r\nSet-Cookie: x=1", "\x1b[31mred\x1b[0m", "\u202egnp.exe", "&lt;script&gt;", "{{ .Secret }}", strings.Repeat("w ", 300),
	}
}

// harmless fails where a text of others is more than text.
func harmless(t *testing.T, text string, p page) {
	t.Helper()
	for _, mark := range []string{"<script>", "<img", "onerror=alert(1)>", `href="https://evil`, `href="javascript`, "\x1b", "\u202e", "\r"} {
		if strings.Contains(p.body, mark) {
			t.Errorf("%.40q: the page (%d) holds %q", text, p.status, mark)
		}
	}
	if p.header.Get("Set-Cookie") == "x=1" || p.status >= http.StatusInternalServerError && p.status != http.StatusBadGateway {
		t.Errorf("%.40q: %d %v", text, p.status, p.header)
	}
}

func testNoSecretShown(t *testing.T) {
	o := newOAuthRig(t)
	to := o.consent(t, o.ada, "files")
	secrets := map[string]string{"code": to.Query().Get("code"), "state": to.Query().Get("state"), "client secret": o.provider.ClientSecret, "session": o.ada.secretOf()}
	o.land(t, o.ada, to)
	k, err := o.store.Connection(t.Context(), "files")
	if err != nil {
		t.Fatal(err)
	}
	ct := pgtest.Scalar[[]byte](t, o.db, `SELECT secret_ct FROM credential WHERE grant_id = $1`, *k.GrantID)
	pair, err := oauthflow.OpenPair(o.ring, oauthflow.PairPlace(*k.GrantID, 1, 0, oauthflow.FieldTokens), ct)
	if err != nil {
		t.Fatal(err)
	}
	secrets["access token"], secrets["refresh token"] = pair.Access.Reveal(), pair.Refresh.Reveal()
	grant, reg := "/grants/"+k.GrantID.String(), "/registrations/"+o.reg.ID.String()
	var shown strings.Builder
	for _, path := range []string{"/", "/oauth/result", "/connections", "/connections/files", "/connections/files/disconnect", "/grants", grant, "/registrations", reg, reg + "/change", "/audit", "/connect"} {
		p := o.ada.get(path)
		if p.status != http.StatusOK {
			t.Errorf("%s: %d", path, p.status)
		}
		shown.WriteString(p.body)
	}
	check := o.ada.post(grant + "/check")
	check.says(t, http.StatusOK, "The provider accepts the token (status 200)", "It is that of Ada")
	refresh := o.ada.post(grant + "/refresh")
	if refresh.status != http.StatusSeeOther || refresh.location() != grant+"?done=refreshed" {
		t.Errorf("refreshing: %d to %q\n%s", refresh.status, refresh.location(), refresh.text())
	}
	checked := o.ada.post(reg + "/check")
	checked.says(t, http.StatusOK, "confirmed")
	// What fails says no more.
	o.provider.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(_ string, w http.ResponseWriter, r *http.Request) bool {
			_ = r.ParseForm()
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_request","error_description":"` + r.Form.Get("refresh_token") + r.Header.Get("Authorization") + `"}`))
			return true
		}
	})
	failed := o.ada.post(grant + "/refresh")
	if failed.status != http.StatusUnprocessableEntity {
		t.Errorf("a refresh that fails: %d\n%s", failed.status, failed.text())
	}
	shown.WriteString(check.body + refresh.body + checked.body + failed.body + o.ada.post(grant+"/check").body + o.ada.get(grant).body)
	log := o.log.String()
	for name, value := range secrets {
		if value == "" || strings.Contains(shown.String(), value) {
			t.Errorf("a page shows the %s (%d characters)", name, len(value))
		}
		if strings.Contains(log, value) {
			t.Errorf("the log holds the %s", name)
		}
	}
	hits, err := pgtest.FindSecrets(t.Context(), o.db.URL, secrets)
	if err != nil || len(hits) > 0 {
		t.Errorf("the database holds %v, %v", hits, err)
	}
}
