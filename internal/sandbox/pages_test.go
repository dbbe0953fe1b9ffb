package sandbox_test

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"tributary/internal/sandbox"
	"tributary/internal/sandbox/company"
	"tributary/internal/sandbox/sandboxtest"
)

func signedIn(t *testing.T, r *rig, person string) *sandboxtest.Browser {
	t.Helper()
	b := r.Browser()
	if err := b.SignIn(person); err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t *testing.T, b *sandboxtest.Browser, path string, status int) sandboxtest.Answer {
	t.Helper()
	a, err := b.Get(path)
	if err != nil || a.Status != status {
		t.Fatalf("%s: status %d %v, want %d", path, a.Status, err, status)
	}
	return a
}

// submit sends a form with the form token of the page at path.
func submit(t *testing.T, b *sandboxtest.Browser, path, to string, values url.Values, status int) sandboxtest.Answer {
	t.Helper()
	if values == nil {
		values = url.Values{}
	}
	values.Set("form_token", open(t, b, path, http.StatusOK).Field("form_token"))
	a, err := b.Post(to, values)
	if err != nil || a.Status != status {
		t.Fatalf("%s: status %d %v, want %d", to, a.Status, err, status)
	}
	return a
}

func TestOtherHostsAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, host := range []string{"evil.example", "127.0.0.1" + r.URL[strings.LastIndex(r.URL, ":"):], "localhost", "localhost:1"} {
		for _, path := range []string{"/", "/oauth/authorize", "/api/v1/about", "/style.css", "/.well-known/oauth-authorization-server"} {
			a := r.get(path, "", func(q *http.Request) { q.Host = host })
			wantStatus(t, host+path, a, http.StatusMisdirectedRequest)
		}
	}
	wantStatus(t, "in other letters", r.get("/", "", func(q *http.Request) { q.Host = strings.ToUpper(strings.TrimPrefix(r.URL, "http://")) }), http.StatusOK)
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	t.Parallel()
	r := start(t)
	b := signedIn(t, r, "ann")
	for _, path := range []string{"/", "/signin", "/account", "/clients", "/switches", "/drive", "/drive/items/plan", "/drive/items/rules", "/drive/trash", "/nothing", r.authorizeURL()} {
		a, err := b.Get(path)
		if err != nil {
			t.Fatal(err)
		}
		csp := a.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none'; style-src 'self'; form-action 'self'") || !strings.Contains(csp, "frame-ancestors 'none'") ||
			a.Header.Get("X-Content-Type-Options") != "nosniff" || a.Header.Get("Referrer-Policy") != "no-referrer" || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", path, a.Header)
		}
		if strings.Contains(a.Body, "<script") || strings.Contains(a.Body, " style=") {
			t.Errorf("%s: a script or a style in the page", path)
		}
	}
}

// TestFormsOfOtherSitesAreRefused sends every form without its token, with another browser's, and as a browser sends it
// from another site.
func TestFormsOfOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.connect("ann")
	b, other := signedIn(t, r, "ann"), signedIn(t, r, "bob")
	theirs := open(t, other, "/account", 200).Field("form_token")
	if theirs == "" {
		t.Fatal("no form token")
	}
	forms := []string{
		"/signin", "/signout", "/account/remove", "/clients", "/clients/" + r.id + "/remove", "/switches", "/oauth/authorize", "/drive/new",
		"/drive/items/rules/edit", "/drive/items/rules/rename", "/drive/items/rules/move", "/drive/items/rules/share", "/drive/items/rules/unshare",
		"/drive/items/rules/access", "/drive/items/rules/delete", "/drive/items/rules/restore",
	}
	for _, path := range forms {
		for what, token := range map[string]string{"none": "", "another's": theirs} {
			a, err := b.Post(path, url.Values{"form_token": {token}, "name": {"x"}, "text": {"x"}, "do": {"start-over"}, "redirect_uris": {redirectURI}})
			if err != nil || a.Status != http.StatusForbidden {
				t.Errorf("%s with the token %s: %d %v", path, what, a.Status, err)
			}
		}
		a := r.post(path, url.Values{}, func(q *http.Request) { q.Header.Set("Sec-Fetch-Site", "cross-site") })
		if wantStatus(t, path, a, http.StatusForbidden); !strings.Contains(a.body, "another site") {
			t.Errorf("%s: %s", path, a.body)
		}
	}
	if it, _ := r.World().Item("rules"); it.Revision != 1 || it.Deleted || len(r.World().Items()) != 9 {
		t.Errorf("a refused form did something: %+v", it)
	}
}

func TestSigningInChangesTheCookie(t *testing.T) {
	t.Parallel()
	r := start(t)
	b := r.Browser()
	before := open(t, b, "/signin", 200)
	planted, _, _ := strings.Cut(before.Header.Get("Set-Cookie"), ";")
	if err := b.SignIn("ann"); err != nil {
		t.Fatal(err)
	}
	if c := before.Header.Get("Set-Cookie"); !strings.Contains(c, "HttpOnly") || !strings.Contains(c, "SameSite=Lax") || !strings.HasPrefix(c, "sandbox_drive=") {
		t.Errorf("cookie %q", c)
	}
	wantStatus(t, "the cookie from before", r.get("/account", "", func(q *http.Request) { q.Header.Set("Cookie", planted) }), http.StatusSeeOther)
	open(t, b, "/account", 200)
	submit(t, b, "/account", "/signout", nil, http.StatusSeeOther)
	open(t, b, "/account", http.StatusSeeOther)
}

func TestSigningInLeadsNowhereElse(t *testing.T) {
	t.Parallel()
	r := start(t)
	for next, want := range map[string]string{
		"/drive?x=1": "/drive?x=1", "//evil.example": "/", `/\evil.example`: "/", "https://evil.example": "/", "https:evil.example": "/", "": "/",
		"/\t/evil.example": "/", "drive": "/", "/drive\r\nX: y": "/",
	} {
		a := submit(t, r.Browser(), "/signin", "/signin", url.Values{"person": {"bob"}, "next": {next}}, http.StatusSeeOther)
		if a.Location != want {
			t.Errorf("%q leads to %q, want %q", next, a.Location, want)
		}
	}
}

// TestHostileNamesAreText puts markup wherever a person can write.
func TestHostileNamesAreText(t *testing.T) {
	t.Parallel()
	r := start(t)
	b := signedIn(t, r, "ann")
	corpus := []string{
		`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' autofocus onfocus=alert(1) x='`, `javascript:alert(1)`, `</textarea><script>alert(1)</script>`,
		`</title><svg onload=alert(1)>`, `{{.FormToken}}`, "\u202e<b>gpj.exe", `&lt;script&gt;`, `</pre><iframe srcdoc=x>`, `-->]]><x y=z>`,
	}
	for i, hostile := range corpus {
		id := fmt.Sprintf("h%d", i)
		_, err := r.World().Create(company.Item{
			ID: id, Kind: "file", Name: hostile, Body: hostile, Description: hostile, AuthorID: "ann", MediaType: "text/html",
			Entries: []company.Entry{{Kind: "user", ID: "ann", Role: "owner"}, {Kind: "user", ID: hostile, Role: "reader"}, {Kind: "user", ID: "bob", Role: "reader"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		a := submit(t, b, "/clients", "/clients", url.Values{"name": {hostile}, "redirect_uris": {"https://app.example.org/?" + url.QueryEscape(hostile)}}, http.StatusCreated)
		m := regexp.MustCompile(`id="client-id">([^<]+)<`).FindStringSubmatch(a.Body)
		if m == nil {
			t.Fatalf("%q: no client", hostile)
		}
		consent := r.authorizeURL(func(q url.Values) {
			q.Set("client_id", m[1])
			q.Set("redirect_uri", "https://app.example.org/?"+url.QueryEscape(hostile))
			q.Set("state", hostile)
		})
		signin, err := r.Browser().Get("/signin?next=" + url.QueryEscape("/"+hostile))
		if err != nil {
			t.Fatal(err)
		}
		bodies := map[string]string{"the new client": a.Body, "sign-in": signin.Body}
		for _, path := range []string{"/clients", "/drive", "/drive/items/" + id, consent, "/drive/items/" + url.PathEscape(hostile)} {
			got, err := b.Get(path)
			if err != nil {
				t.Fatal(err)
			}
			bodies[path] = got.Body
		}
		bob := signedIn(t, r, "bob")
		bodies["as a reader"] = open(t, bob, "/drive/items/"+id, 200).Body
		for where, body := range bodies {
			if found := foreignMarkup(t, body); found != "" {
				t.Errorf("%q makes %s on %s", hostile, found, where)
			}
		}
		if !strings.Contains(bodies["/drive/items/"+id], "<h1>") {
			t.Errorf("%q: no page", hostile)
		}
	}
}

// foreignMarkup returns an element or attribute of the page that our templates never write.
func foreignMarkup(t *testing.T, body string) string {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		if slices.Contains([]string{"script", "img", "svg", "iframe", "x", "b", "style"}, n.Data) {
			return "<" + n.Data + ">"
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || strings.HasPrefix(strings.TrimSpace(strings.ToLower(a.Val)), "javascript:") && (a.Key == "href" || a.Key == "action") {
				return a.Key + "=" + a.Val
			}
		}
	}
	return ""
}

func TestTheDriveByHand(t *testing.T) {
	t.Parallel()
	r := start(t)
	bob := signedIn(t, r, "bob")
	open(t, bob, "/drive/items/minutes", http.StatusNotFound)
	open(t, bob, "/drive/items/nope", http.StatusNotFound)
	submit(t, bob, "/drive", "/drive/items/rules/edit", url.Values{"text": {"x"}}, http.StatusNotFound) // a reader, no writer
	submit(t, bob, "/drive", "/drive/items/minutes/edit", url.Values{"text": {"x"}}, http.StatusNotFound)
	submit(t, bob, "/drive", "/drive/new", url.Values{"kind": {"file"}, "name": {"x"}, "parent": {"board"}}, http.StatusNotFound)

	submit(t, bob, "/drive/items/plan", "/drive/items/plan/edit", url.Values{"text": {"one\r\ntwo"}}, http.StatusSeeOther)
	submit(t, bob, "/drive/items/plan", "/drive/items/plan/rename", url.Values{"name": {"Plan B.md"}}, http.StatusSeeOther)
	submit(t, bob, "/drive/items/plan", "/drive/items/plan/share", url.Values{"who": {"group:g-board"}, "role": {"reader"}}, http.StatusSeeOther)
	submit(t, bob, "/drive/items/plan", "/drive/items/plan/unshare", url.Values{"who": {"user:eve"}}, http.StatusSeeOther)
	if it, _ := r.World().Item("plan"); it.Body != "one\ntwo" || it.Name != "Plan B.md" || it.Revision != 3 || r.World().CanRead("eve", "plan") || !r.World().CanRead("ann", "plan") {
		t.Errorf("%+v", it)
	}
	submit(t, bob, "/drive/items/plan", "/drive/items/plan/access", url.Values{"restricted": {"1"}}, http.StatusSeeOther)
	if it, _ := r.World().Item("plan"); !it.Restricted || it.Inherit {
		t.Errorf("%+v", it)
	}
	submit(t, bob, "/drive", "/drive/items/plan/share", url.Values{"who": {"robot:x"}, "role": {"reader"}}, http.StatusNotFound) // bob shut himself out
	a := submit(t, bob, "/drive", "/drive/new", url.Values{"kind": {"folder"}, "name": {"Mine"}}, http.StatusSeeOther)
	mine := strings.TrimPrefix(a.Location, "/drive/items/")
	if r.World().CanRead("ann", mine) || !r.World().CanWrite("bob", mine) {
		t.Error("what bob makes at the root is bob's alone")
	}
	submit(t, bob, "/drive", "/drive/items/diary/move", url.Values{"parent": {"board"}}, http.StatusNotFound)
	submit(t, bob, "/drive", "/drive/items/diary/move", url.Values{"parent": {mine}}, http.StatusSeeOther)
	submit(t, bob, a.Location, "/drive/items/"+mine+"/delete", nil, http.StatusSeeOther)
	open(t, bob, "/drive/items/diary", http.StatusNotFound)
	if trash := open(t, signedIn(t, r, "ann"), "/drive/trash", 200); strings.Contains(trash.Body, "Mine") {
		t.Error("another's deleted folder is shown")
	}
	submit(t, bob, "/drive/trash", "/drive/items/"+mine+"/restore", nil, http.StatusSeeOther)
	open(t, bob, "/drive/items/diary", http.StatusOK)
}

func TestClientsByHandAndByProgram(t *testing.T) {
	t.Parallel()
	r := start(t)
	b := r.Browser()
	a := submit(t, b, "/clients", "/clients", url.Values{"name": {"By hand"}, "redirect_uris": {redirectURI + "\r\nhttps://two.example.org/cb"}, "token_life": {"5"}}, http.StatusCreated)
	m := regexp.MustCompile(`(?s)id="client-id">([^<]+)<.*id="client-secret">([^<]+)<`).FindStringSubmatch(a.Body)
	if m == nil {
		t.Fatalf("%s", a.Body)
	}
	r.id, r.secret = m[1], m[2]
	if tk, status := r.token(url.Values{"grant_type": {"client_credentials"}}); status != 200 || tk.ExpiresIn != 5 {
		t.Errorf("%d %+v", status, tk)
	}
	if again := open(t, b, "/clients", 200); strings.Contains(again.Body, m[2]) || !strings.Contains(again.Body, m[1]) {
		t.Error("the secret is shown a second time, or the client is not")
	}
	tk := r.connect("bob")
	submit(t, b, "/clients", "/clients/"+r.id+"/remove", nil, http.StatusSeeOther)
	wantStatus(t, "a removed client's token", r.get("/api/v1/about", tk.AccessToken), http.StatusUnauthorized)
	wantStatus(t, "a removed client", r.post("/oauth/token", url.Values{"grant_type": {"client_credentials"}}), http.StatusUnauthorized)

	asJSON := func(body string) answer {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.URL+"/clients", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/json")
		return send(req)
	}
	got := asJSON(`{"client_name": "By program", "redirect_uris": ["` + redirectURI + `"], "token_life": 9}`)
	wantStatus(t, "as JSON", got, http.StatusCreated)
	var made struct {
		ID     string `json:"client_id"`
		Secret string `json:"client_secret"`
	}
	got.json(t, &made)
	r.id, r.secret = made.ID, made.Secret
	if tk, _ := r.token(url.Values{"grant_type": {"client_credentials"}}); tk.ExpiresIn != 9 {
		t.Errorf("%+v", tk)
	}
	list := r.get("/clients", "", func(q *http.Request) { q.Header.Set("Accept", "application/json") })
	if !strings.Contains(list.body, made.ID) || strings.Contains(list.body, "secret") {
		t.Errorf("%s", list.body)
	}
	for _, body := range []string{
		`{`, `{}`, `{"client_name": "x", "redirect_uris": []}`, `{"client_name": "x", "redirect_uris": ["http://example.org/cb"]}`,
		`{"client_name": "x", "redirect_uris": ["https://a.example/#f"]}`, `{"client_name": "x", "redirect_uris": ["/cb"]}`,
		`{"client_name": "x", "redirect_uris": ["javascript:alert(1)"]}`, `{"client_name": "x", "redirect_uris": ["https://u@a.example/"]}`,
		`{"client_name": "x", "redirect_uris": ["` + redirectURI + `"], "token_life": -1}`,
	} {
		if a := asJSON(body); a.status != http.StatusBadRequest || !strings.Contains(a.body, "invalid_client_metadata") {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	if _, _, err := r.Register("not an address"); err == nil {
		t.Error("Register took what is no address")
	}
}

func TestAccountsShowAndEndAccess(t *testing.T) {
	t.Parallel()
	r := start(t)
	tk := r.connect("bob")
	bob, ann := signedIn(t, r, "bob"), signedIn(t, r, "ann")
	grant := open(t, bob, "/account", 200).Field("grant")
	if grant == "" || strings.Contains(open(t, ann, "/account", 200).Body, grant) {
		t.Fatalf("grant %q", grant)
	}
	submit(t, ann, "/account", "/account/remove", url.Values{"grant": {grant}}, http.StatusSeeOther)
	wantStatus(t, "ann cannot remove bob's", r.get("/api/v1/about", tk.AccessToken), http.StatusOK)
	submit(t, bob, "/account", "/account/remove", url.Values{"grant": {grant}}, http.StatusSeeOther)
	wantStatus(t, "bob can", r.get("/api/v1/about", tk.AccessToken), http.StatusUnauthorized)
}

func TestSwitchesByHand(t *testing.T) {
	t.Parallel()
	r := start(t)
	b := r.Browser()
	set := func(status int, pairs ...string) sandboxtest.Answer {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return submit(t, b, "/switches", "/switches", v, status)
	}
	set(303, "do", "fault", "kind", "token-503", "next", "1", "every", "0")
	wantStatus(t, "by hand", r.post("/oauth/token", url.Values{}), 503)
	set(303, "do", "fault", "kind", "content-403", "item", "plan")
	wantStatus(t, "one item", r.get("/api/v1/items/plan/content", r.organisation()), 403)
	set(303, "do", "options", "token_life", "3s", "delay", "1s", "retry_after", "4s", "rate_burst", "7", "rate_per_second", "0", "feed_length", "5", "redirect_to", "http://x.example/")
	if o := r.Faults().Options(); o.TokenLife.Seconds() != 3 || o.RateBurst != 7 || o.RatePerSecond != 0 || o.FeedLength != 5 || o.RedirectTo != "http://x.example/" || o.RetryAfter.Seconds() != 4 {
		t.Errorf("%+v", o)
	}
	set(303, "do", "advance", "by", "90m")
	if r.Faults().Options().Jump.Minutes() != 90 {
		t.Error("the clock did not jump")
	}
	token := feedStart(t, r, r.organisation())
	set(303, "do", "expire-feed")
	wantStatus(t, "the feed", r.get("/api/v1/changes?page_token="+token, r.organisation()), http.StatusGone)
	set(303, "do", "expire-pages")
	if err := r.World().Delete("rules"); err != nil {
		t.Fatal(err)
	}
	set(303, "do", "start-over")
	set(303, "do", "clear")
	if it, _ := r.World().Item("rules"); it.Deleted || r.Faults().Options().TokenLife != 0 || r.Faults().Hits(sandbox.TokenError503) != 0 {
		t.Errorf("%+v %+v", it, r.Faults().Options())
	}
	for _, bad := range [][]string{
		{"do", "nothing"},
		{"do", "fault", "kind", "nothing"},
		{"do", "fault", "kind", "token-503", "next", "-1"},
		{"do", "fault", "kind", "token-503", "item", "plan"},
		{"do", "fault", "kind", "content-403", "item", "nope"},
		{"do", "advance", "by", "-1h"},
		{"do", "advance", "by", "soon"},
		{"do", "options", "token_life", "long"},
	} {
		if a := set(400, bad...); !strings.Contains(a.Body, `role="alert"`) {
			t.Errorf("%v: nothing is said", bad)
		}
	}
}
