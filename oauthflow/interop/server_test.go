package interop

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// options are how a server is started; the zero value rotates every refresh token.
type options struct {
	access, refresh time.Duration // how long tokens live: one minute and one hour where they are 0
	alwaysRefresh   bool          // offline_access is not needed for a refresh token, nor prompt=consent
	rotateLate      bool          // refresh tokens are replaced when the server finds them old, as oidc-provider does by itself
}

// client is an OAuth client as an admin registers it at a server.
type client struct {
	ID, Secret string
	Redirect   string // "" is a client that acts for itself: client credentials
	JWKS       json.RawMessage
	Auth       string // token_endpoint_auth_method; "" is client_secret_basic
}

// request is what a server noted of one that it answered.
type request struct {
	Path         string `json:"path"`
	Status       int    `json:"status"`
	GrantType    string `json:"grant_type"`
	RefreshToken string `json:"refresh_token"` // its digest
	Challenge    string `json:"code_challenge_method"`
	Error        string `json:"error"`
}

// server is a running authorization server.
type server struct {
	issuer string
	traits
	register func(*testing.T, client) client
	requests func(*testing.T) []request
	// newSecret replaces a client's secret; nil where a test cannot do that.
	newSecret func(client) client
	// narrow takes a scope away from every grant, as of its next refresh; nil where a test cannot do that.
	narrow func(scope string)
}

// traits are what the standards leave to a server, and these two answer differently.
type traits struct {
	// iss: it names itself in authorization answers (RFC 9207).
	iss bool
	// offlineByPrompt: it leaves offline_access out of what it gives where prompt=consent was not asked for (OpenID
	// Connect Core §11), and gives no refresh token then.
	offlineByPrompt bool
	// sharedGrant: consents of one person in one browser are one grant, which a revocation ends as a whole.
	sharedGrant bool
	// openID: userinfo refuses a token without the scope openid, or for another resource.
	openID bool
}

// kinds are the servers that every test runs against.
var kinds = []struct {
	name  string
	start func(*testing.T, options) *server
}{{"oidc-provider", startNode}, {"zitadel", startZitadel}}

// each runs a test against every server.
func each(t *testing.T, o options, f func(*testing.T, *server)) {
	t.Helper()
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			f(t, kind.start(t, o))
		})
	}
}

// The people at the servers, and the scopes besides those of OpenID Connect.
const (
	ann  = "ann"
	bob  = "bob"
	cleo = "cleo"

	readFiles  = "files.read"
	writeFiles = "files.write"

	resource = "https://files.example/" // where oidc-provider has those scopes too
)

func passwordOf(login string) string { return "password of " + login }

func accounts() map[string]string {
	return map[string]string{ann: passwordOf(ann), bob: passwordOf(bob), cleo: passwordOf(cleo)}
}

func (o options) orDefaults() options {
	if o.access == 0 {
		o.access = time.Minute
	}
	if o.refresh == 0 {
		o.refresh = time.Hour
	}
	return o
}

// digest is how refresh tokens appear in a server's notes.
func digest(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

// tokenRequests returns the server's notes of its token endpoint, by grant type.
func (s *server) tokenRequests(t *testing.T, grantType string) []request {
	t.Helper()
	var out []request
	for _, r := range s.requests(t) {
		if r.GrantType == grantType {
			out = append(out, r)
		}
	}
	return out
}

// metadata is the part of a server's metadata that the tests call directly.
type metadata struct {
	Issuer     string   `json:"issuer"`
	Authorize  string   `json:"authorization_endpoint"`
	Token      string   `json:"token_endpoint"`
	Revoke     string   `json:"revocation_endpoint"`
	Introspect string   `json:"introspection_endpoint"`
	Userinfo   string   `json:"userinfo_endpoint"`
	Register   string   `json:"registration_endpoint"`
	Iss        bool     `json:"authorization_response_iss_parameter_supported"`
	PKCE       []string `json:"code_challenge_methods_supported"`
}

func (s *server) metadata(t *testing.T) metadata {
	t.Helper()
	var m metadata
	if status := call(t, http.MethodGet, s.issuer+"/.well-known/openid-configuration", nil, nil, &m); status != http.StatusOK {
		t.Fatalf("metadata: status %d", status)
	}
	return m
}

// call sends a request and reads a JSON answer.
func call(t *testing.T, method, address string, auth func(*http.Request), form url.Values, into any) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if auth != nil {
		auth(req)
	}
	return send(t, req, into)
}

func send(t *testing.T, req *http.Request, into any) int {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > 0 && into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			t.Fatalf("%s %s answers %d with %q: %v", req.Method, req.URL.Path, resp.StatusCode, body, err)
		}
	}
	return resp.StatusCode
}

// basic is client authentication by RFC 6749 §2.3.1.
func (c client) basic(req *http.Request) {
	req.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
}

// answer is what a token endpoint says.
type answer struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Scope   string `json:"scope"`
	Error   string `json:"error"`
	status  int
}

// token asks the token endpoint without any code of ours.
func (s *server) token(t *testing.T, c client, form url.Values) answer {
	t.Helper()
	var a answer
	a.status = call(t, http.MethodPost, s.metadata(t).Token, c.basic, form, &a)
	return a
}

func (s *server) refresh(t *testing.T, c client, token string) answer {
	t.Helper()
	return s.token(t, c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// active reports whether the server introspects a token as active (RFC 7662 §2.2).
func (s *server) active(t *testing.T, c client, token string) bool {
	t.Helper()
	var a struct {
		Active bool `json:"active"`
	}
	if status := call(t, http.MethodPost, s.metadata(t).Introspect, c.basic, url.Values{"token": {token}}, &a); status != http.StatusOK {
		t.Fatalf("introspection: status %d", status)
	}
	return a.Active
}

// revoke ends a refresh token (RFC 7009 §2.1).
func (s *server) revoke(t *testing.T, c client, token string) {
	t.Helper()
	form := url.Values{"token": {token}, "token_type_hint": {"refresh_token"}}
	if status := call(t, http.MethodPost, s.metadata(t).Revoke, c.basic, form, nil); status != http.StatusOK {
		t.Fatalf("revocation: status %d", status)
	}
}

// verifier is a fixed code verifier of the tests that bypass our code, with its challenge (RFC 7636 appendix B).
const (
	verifier  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func TestTheChallengeIsOfTheVerifier(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte(verifier))
	if got := base64.RawURLEncoding.EncodeToString(sum[:]); got != challenge {
		t.Fatalf("challenge = %s", got)
	}
}

// authorizeURL is where a person is sent, without any code of ours; extra replaces parameters, an empty value removes.
func (s *server) authorizeURL(t *testing.T, c client, extra map[string]string) string {
	t.Helper()
	q := url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {c.Redirect}, "state": {"state-1"},
		"scope": {"openid offline_access " + readFiles + " " + writeFiles}, "prompt": {"consent"},
		"code_challenge": {challenge}, "code_challenge_method": {"S256"},
	}
	for k, v := range extra {
		q.Set(k, v)
		if v == "" {
			q.Del(k)
		}
	}
	return s.metadata(t).Authorize + "?" + q.Encode()
}

// connect obtains tokens without any code of ours.
func (s *server) connect(t *testing.T, c client, b *browser) answer {
	t.Helper()
	at := b.visit(s.authorizeURL(t, c, nil), c.Redirect)
	return s.redeem(t, c, at.Query().Get("code"))
}

func (s *server) redeem(t *testing.T, c client, code string) answer {
	t.Helper()
	return s.token(t, c, url.Values{
		"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.Redirect}, "code_verifier": {verifier},
	})
}
