package sandbox_test

import (
	"net/http"
	"testing"
)

func TestConsentGivesTokens(t *testing.T) {
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
