package web_test

import (
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/store"
	"tributary/web"
)

// routeAccess is who may use every address. A route that is not listed here
// fails the test, and so does one that is listed and not served.
func routeAccess() map[string]string {
	return map[string]string{
		"GET /":             "visitor",
		"GET /style.css":    "public",
		"GET /icon.svg":     "public",
		"GET /icons.svg":    "public",
		"GET /app.js":       "public",
		"GET /favicon.ico":  "public",
		"GET /healthz":      "public",
		"GET /readyz":       "public",
		"GET /openapi.json": "public",
		"GET /signin":       "visitor",
		"POST /signin":      "visitor",
		"POST /signout":     "visitor",
		"GET /setup":        "visitor",
		"POST /setup":       "visitor",

		"POST /v1/search":               "key",
		"GET /v1/documents":             "key",
		"GET /v1/count":                 "key",
		"GET /v1/export":                "key",
		"GET /v1/documents/:id":         "key",
		"GET /v1/documents/:id/text":    "key",
		"GET /v1/documents/:id/chunks":  "key",
		"GET /v1/chunks/:id":            "key",
		"GET /v1/chunks/:id/neighbours": "key",
		"GET /v1/chunks/:id/lineage":    "key",

		"GET /v1/feed":                   "key",
		"GET /v1/readers/:id/principals": "key",

		"PUT /v1/push/:connection/documents/:id":    "key",
		"DELETE /v1/push/:connection/documents/:id": "key",
		"PUT /v1/push/:connection/groups/:id":       "key",
		"DELETE /v1/push/:connection/groups/:id":    "key",
		"POST /v1/push/:connection/batch":           "key",

		"GET /account":                      "auditor",
		"GET /account/password":             "auditor",
		"POST /account/password":            "auditor",
		"POST /account/sessions/end-others": "auditor",

		"GET /users":                     "owner",
		"POST /users":                    "owner",
		"GET /users/:id":                 "owner",
		"POST /users/:id/role":           "owner",
		"POST /users/:id/disable":        "owner",
		"POST /users/:id/enable":         "owner",
		"POST /users/:id/end-sessions":   "owner",
		"POST /users/:id/reset-password": "owner",
		"POST /users/:id/delete":         "owner",
	}
}

// fill puts an id in the place of every parameter.
func fill(path string) string {
	parts := strings.Split(path, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, ":") {
			parts[i] = "0b9e1e0e-7c0f-4f7e-9d0a-3f6b8a0f2c11"
		}
	}
	return strings.Join(parts, "/")
}

func testRoles(t *testing.T) {
	r := newRig(t, false, nil)
	want := routeAccess()
	got := map[string]string{}
	for _, info := range r.web.Table() {
		got[info.Method+" "+info.Path] = info.Access
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if want[name] != got[name] {
			t.Errorf("%s is for %q, the table says %q", name, got[name], want[name])
		}
	}
	for name := range want {
		if got[name] == "" {
			t.Errorf("%s is in the table and not served", name)
		}
	}
	for _, info := range r.web.Routed() {
		method := info.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if got[method+" "+info.Path] == "" {
			t.Errorf("%s %s is served without an access", info.Method, info.Path)
		}
	}
	rank := map[string]int{"visitor": 0, "auditor": 1, "admin": 2, "owner": 3}
	users := map[string]*browser{}
	for _, role := range store.AccountRoles() {
		r.account(string(role), role)
		users[string(role)] = r.signedIn(string(role))
	}
	users["visitor"] = r.browser()
	for _, info := range r.web.Table() {
		if rank[info.Access] == 0 && info.Access != "key" {
			continue
		}
		for who, b := range users {
			var p page
			switch info.Method {
			case http.MethodGet:
				p = b.get(fill(info.Path))
			case http.MethodPost:
				p = b.post(fill(info.Path))
			default:
				req := b.request(info.Method, fill(info.Path), "")
				req.Header.Set("Sec-Fetch-Site", "same-origin")
				p = b.send(req)
			}
			name := info.Method + " " + info.Path + " as " + who
			toSignIn := p.status == http.StatusUnauthorized || (p.status == http.StatusSeeOther && strings.HasPrefix(p.location(), "/signin"))
			switch {
			case info.Access == "key" || who == "visitor":
				if !toSignIn {
					t.Errorf("%s: got %d to %q", name, p.status, p.location())
				}
			case rank[who] < rank[info.Access]:
				if p.status != http.StatusForbidden {
					t.Errorf("%s: got %d, want 403", name, p.status)
				}
			case toSignIn || p.status == http.StatusForbidden || p.status >= 500:
				t.Errorf("%s: got %d to %q", name, p.status, p.location())
			}
		}
	}
}

func testForgery(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	b := r.signedIn("ada")
	before := r.state()
	set := func(pairs ...string) func(http.Header) {
		return func(h http.Header) {
			for i := 0; i < len(pairs); i += 2 {
				h.Set(pairs[i], pairs[i+1])
			}
		}
	}
	form := "application/x-www-form-urlencoded"
	attacks := map[string]func(http.Header){
		"a form of another site":               set("Content-Type", form, "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"),
		"a form of a neighbouring host":        set("Content-Type", form, "Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"),
		"a form of nowhere":                    set("Content-Type", form),
		"an address that was typed":            set("Content-Type", form, "Sec-Fetch-Site", "none"),
		"a form of a sandboxed frame":          set("Content-Type", form, "Origin", "null"),
		"another site without fetch data":      set("Content-Type", form, "Origin", "https://evil.example"),
		"a typed address that says it is ours": set("Content-Type", form, "Sec-Fetch-Site", "none", "Origin", r.server.URL),
		"another site that says it is ours":    set("Content-Type", form, "Sec-Fetch-Site", "cross-site", "Origin", r.server.URL),
		"JSON as text":                         set("Content-Type", "text/plain", "Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"),
		"a method in a header":                 set("Content-Type", form, "Sec-Fetch-Site", "cross-site", "X-HTTP-Method-Override", "PUT"),
		"a key beside the cookie":              set("Content-Type", "application/json", "Sec-Fetch-Site", "cross-site", "Authorization", "Bearer trib_x"),
	}
	n := 0
	for _, info := range r.web.Table() {
		if info.Method == http.MethodGet {
			continue
		}
		for name, attack := range attacks {
			req := b.request(info.Method, fill(info.Path), `{"query":"x"}`)
			attack(req.Header)
			if p := b.send(req); p.status != http.StatusForbidden {
				t.Errorf("%s %s, %s: got %d", info.Method, info.Path, name, p.status)
			}
			n++
		}
		// The same without an attack comes through: what refused was the proof.
		if info.Access == "key" || info.Path == "/signout" {
			continue
		}
		if p := b.post(fill(info.Path)); p.status == http.StatusForbidden && info.Path != "/setup" {
			t.Errorf("%s %s of our own page: got %d", info.Method, info.Path, p.status)
		}
		req := b.request(info.Method, fill(info.Path), "x")
		set("Content-Type", "text/plain", "Sec-Fetch-Site", "same-origin")(req.Header)
		if p := b.send(req); p.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s %s with text of our own page: got %d", info.Method, info.Path, p.status)
		}
		req = b.request(info.Method, fill(info.Path), "")
		set("Content-Type", form, "Origin", r.server.URL)(req.Header)
		if p := b.send(req); p.status == http.StatusForbidden && info.Path != "/setup" {
			t.Errorf("%s %s of our origin: got %d", info.Method, info.Path, p.status)
		}
	}
	if n < 100 {
		t.Errorf("only %d attacks", n)
	}
	if !b.isSignedIn() {
		t.Error("the session ended")
	}
	strip := func(s string) string {
		var keep []string
		for line := range strings.Lines(s) {
			// Our own empty sign-ins were refused and counted.
			if !strings.Contains(line, "session.refused") && !strings.Contains(line, `"key_hash"`) && !strings.HasPrefix(line, "sign_in_throttle") && !strings.HasPrefix(line, "audit_event") {
				keep = append(keep, line)
			}
		}
		return strings.Join(keep, "")
	}
	if after := r.state(); strip(after) != strip(before) {
		t.Errorf("something changed:\n%s\nbefore:\n%s", strip(after), strip(before))
	}
}

func testReading(t *testing.T) {
	r := newRig(t, false, nil)
	ada := r.account("ada", store.RoleOwner)
	b := r.signedIn("ada")
	before := r.state()
	for _, info := range r.web.Table() {
		if info.Method != http.MethodGet {
			continue
		}
		for _, path := range []string{fill(info.Path), strings.ReplaceAll(info.Path, ":id", ada.ID.String())} {
			for _, method := range []string{http.MethodGet, http.MethodHead} {
				req := b.request(method, path+"?_method=POST", "")
				req.Header.Set("X-HTTP-Method-Override", "POST")
				req.Header.Set("X-HTTP-Method", "DELETE")
				b.send(req)
				anonymous := r.browser()
				anonymous.send(anonymous.request(method, path, ""))
			}
		}
	}
	if after := r.state(); after != before {
		t.Errorf("reading changed something:\n%s\nbefore:\n%s", after, before)
	}
}

func testForms(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	bob := r.account("bob", store.RoleAuditor)
	b := r.signedIn("ada")
	path := "/users/" + bob.ID.String() + "/role"
	if p := b.post(path, "role", "admin", "name", "mallory"); p.status != http.StatusBadRequest {
		t.Errorf("a field more: %d", p.status)
	}
	req := b.request(http.MethodPost, path, "role=admin&role=owner")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	if p := b.send(req); p.status != http.StatusBadRequest {
		t.Errorf("a field twice: %d", p.status)
	}
	if p := b.post(path+"?role=owner", "role", "nobody"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("another role: %d", p.status)
	}
	if p := b.post(path+"?role=owner", "role", "admin"); p.status != http.StatusSeeOther {
		t.Errorf("the form: %d", p.status)
	}
	if a, err := r.store.Account(t.Context(), "bob"); err != nil || a.Role != store.RoleAdmin {
		t.Errorf("bob is %s, %v", a.Role, err)
	}
	if p := b.post("/signin", "name", strings.Repeat("a", 70<<10)); p.status != http.StatusRequestEntityTooLarge || !strings.Contains(p.body, "<h1>Too large</h1>") {
		t.Errorf("a large form: %d", p.status)
	}
}

func testHeaders(t *testing.T) {
	r := newRig(t, true, func(c *web.Config) { c.Store = panicky{c.Store.(*store.Store)} })
	ada := r.account("ada", store.RoleOwner)
	signedIn, visitor := r.signedIn("ada"), r.browser()
	want := map[string]string{
		"Content-Security-Policy":   "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":    "nosniff",
		"Referrer-Policy":           "no-referrer",
		"Strict-Transport-Security": "max-age=31536000",
	}
	seen := map[int]int{}
	check := func(name string, p page) {
		t.Helper()
		seen[p.status]++
		for header, value := range want {
			if got := p.header.Values(header); len(got) != 1 || got[0] != value {
				t.Errorf("%s (%d): %s is %q", name, p.status, header, got)
			}
		}
		for header := range p.header {
			if strings.HasPrefix(header, "Access-Control-") || header == "Server" {
				t.Errorf("%s: header %s", name, header)
			}
		}
		if p.header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no request id", name)
		}
		body := strings.NewReplacer(`xmlns="http://www.w3.org/2000/svg"`, "", `<script type="module" src="/app.js">`, "").Replace(p.body)
		for _, mark := range []string{"<script", "style=", "onclick", "http://", "goroutine", "secret_table"} {
			if strings.Contains(body, mark) {
				t.Errorf("%s (%d): the page holds %q", name, p.status, mark)
			}
		}
	}
	for _, info := range r.web.Table() {
		for _, b := range []*browser{signedIn, visitor} {
			for _, path := range []string{fill(info.Path), strings.ReplaceAll(info.Path, ":id", ada.ID.String())} {
				if info.Method == http.MethodGet {
					check(info.Method+" "+path, b.get(path))
				} else if info.Path != "/signout" && !strings.HasSuffix(path, "end-sessions") && !strings.HasSuffix(path, "reset-password") {
					check(info.Method+" "+path, b.post(path))
				}
				check("OPTIONS "+path, b.send(b.request(http.MethodOptions, path, "")))
			}
		}
	}
	check("a page that does not exist", visitor.get("/no/such/page"))
	check("another method", visitor.post("/style.css"))
	check("TRACE", visitor.send(visitor.request(http.MethodTrace, "/", "")))
	req := visitor.request(http.MethodGet, "/", "")
	req.Host = "evil.example"
	check("another host", visitor.send(req))
	for _, status := range []int{200, 303, 401, 403, 404, 405, 415, 421, 422, 500} {
		if status != 403 && status != 415 && seen[status] == 0 {
			t.Errorf("no answer with status %d was seen: %v", status, seen)
		}
	}
}

// panicky fails where the overview reads.
type panicky struct{ *store.Store }

func (panicky) Connections(context.Context) ([]store.Connection, error) { panic("secret_table") }

func TestReturnPath(t *testing.T) {
	t.Parallel()
	s := web.New(web.Config{PublicURL: mustURL("http://127.0.0.1:8080"), Store: &fakeStore{}, Accounts: nobody{}})
	for _, good := range []string{"/", "/account", "/users", "/users/" + uuid.NewString()} {
		if got := s.ReturnPath(good); got != good {
			t.Errorf("%q leads to %q", good, got)
		}
	}
	for _, bad := range []string{
		"", "//evil.example", `/\evil.example`, `\\evil`, "https:evil", "https://evil.example", "javascript:alert(1)", "/users\r\nSet-Cookie: a=b", "/users/%0d%0aX: y",
		"/users/..", "/users/../signout", "/signout", "/signin", "/setup", "/users?x=y", "/users#x", "/users/", "/Users", "/v1/search", "/style.css", "/nowhere",
		"/users/" + strings.Repeat("a", 300), "users", " /users", "/users ", "/users/a b", "/\t/evil", "/%2fevil", "/users/id/disable", "/.//evil",
	} {
		if got := s.ReturnPath(bad); got != "" {
			t.Errorf("%q leads to %q", bad, got)
		}
	}
}

// FuzzReturnPath: whatever it is given, signing in leads to a page of this
// server's own list.
func FuzzReturnPath(f *testing.F) {
	s := web.New(web.Config{PublicURL: mustURL("http://127.0.0.1:8080"), Store: &fakeStore{}, Accounts: nobody{}})
	for _, seed := range []string{"/", "/users/1", "//evil", `/\evil`, "/users/%2e%2e", "https:evil", "/users/\x00"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := s.ReturnPath(next)
		if got == "" {
			return
		}
		w := httptest.NewRecorder()
		http.Redirect(w, httptest.NewRequest(http.MethodGet, "/", nil), got, http.StatusSeeOther)
		if got != next || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\\r\n\t?#%@: ") || w.Header().Get("Location") != next {
			t.Fatalf("%q leads to %q", next, got)
		}
	})
}

func testHosts(t *testing.T) {
	r := newRig(t, false, nil)
	r.account("ada", store.RoleOwner)
	b := r.signedIn("ada")
	for _, info := range r.web.Table() {
		for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1.evil.example", "127.0.0.1", "127.0.0.1:1", "[::1]:80", ""} {
			req := b.request(info.Method, fill(info.Path), "")
			req.Host = host
			if host == "" {
				req.Host = " "
			}
			req.Header.Set("Sec-Fetch-Site", "same-origin")
			req.Header.Set("X-Forwarded-Host", strings.TrimPrefix(r.server.URL, "http://"))
			req.Header.Set("Forwarded", "host="+strings.TrimPrefix(r.server.URL, "http://"))
			p := b.send(req)
			probe := (info.Path == "/healthz" || info.Path == "/readyz") && !strings.Contains(host, "evil") && host != ""
			if p.status != http.StatusMisdirectedRequest && p.status != http.StatusBadRequest && !probe {
				t.Errorf("%s %s for host %q: got %d", info.Method, info.Path, host, p.status)
			}
		}
		// What a proxy or a stranger says the host is shows nowhere.
		req := b.request(http.MethodGet, "/signin", "")
		for _, name := range []string{"X-Forwarded-Host", "X-Forwarded-Server", "X-Original-Host", "Forwarded"} {
			req.Header.Set(name, "evil.example")
		}
		req.Header.Set("X-Forwarded-Proto", "gopher")
		p := b.send(req)
		if strings.Contains(p.body, "evil.example") || strings.Contains(p.location(), "evil.example") || strings.Contains(p.body, "gopher") {
			t.Errorf("a forwarded host shows: %s", p.body)
		}
	}
	metrics := web.NewMetrics().Handler("127.0.0.1:9090", func(context.Context) error { return nil })
	for _, path := range []string{"/metrics", "/healthz", "/readyz", "/"} {
		req := httptest.NewRequest(http.MethodGet, path, nil)
		req.Host = "evil.example:9090"
		w := httptest.NewRecorder()
		metrics.ServeHTTP(w, req)
		if w.Code != http.StatusMisdirectedRequest {
			t.Errorf("metrics %s for another host: %d", path, w.Code)
		}
	}
}

func testLastOwner(t *testing.T) {
	r := newRig(t, false, nil)
	ada := r.account("ada", store.RoleOwner)
	b := r.signedIn("ada")
	self := "/users/" + ada.ID.String()
	for _, p := range []page{b.post(self + "/disable"), b.post(self+"/role", "role", "admin"), b.post(self+"/delete", "confirm", "ada")} {
		if p.status != http.StatusUnprocessableEntity {
			t.Errorf("got %d\n%s", p.status, p.body)
		}
	}
	bob := r.account("bob", store.RoleOwner)
	if p := b.post("/users/"+bob.ID.String()+"/delete", "confirm", "bo"); p.status != http.StatusUnprocessableEntity {
		t.Errorf("deleting without confirmation: %d", p.status)
	}
	if p := b.post("/users/"+bob.ID.String()+"/delete", "confirm", "bob"); p.status != http.StatusSeeOther {
		t.Errorf("deleting: %d", p.status)
	}
	if a, err := r.store.Account(t.Context(), "ada"); err != nil || a.Role != store.RoleOwner || a.DisabledAt != nil || !b.isSignedIn() {
		t.Errorf("ada is %+v, %v", a, err)
	}
}
