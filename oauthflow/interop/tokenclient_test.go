package interop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
)

// rules are those of an instance that allows http to this machine.
var rules = oauthflow.Rules{LoopbackHTTP: true}

// profileOf is a profile that knows the server's issuer alone, with the endpoints that the server publishes. edit
// changes the document that an owner would write.
func profileOf(t *testing.T, s *server, edit func(map[string]any)) *oauthflow.Profile {
	t.Helper()
	doc := map[string]any{
		"name": "interop", "title": "Interop", "hosting": "fixed", "grants": []string{"authorization_code", "client_credentials"},
		"issuer": s.issuer, "discovery": "oidc", "client_auth": "client_secret_basic", "pkce": "S256",
		"request": map[string]any{"body": "form"}, "scopes": map[string]any{"separator": " ", "answer_separator": " "},
		"refresh": map[string]any{"rotation": "F"}, "revocation": map[string]any{"style": "rfc7009", "reach": "grant"}, "grant_per": "consent",
	}
	if edit != nil {
		edit(doc)
	}
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	p, err := oauthflow.ParseProfile(raw, rules)
	if err != nil {
		t.Fatal(err)
	}
	paths, err := p.MetadataPaths(rules)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, paths[0], http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	document, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("metadata: status %d, %v", resp.StatusCode, err)
	}
	if p, err = p.WithMetadata(document, rules); err != nil {
		t.Fatal(err)
	}
	return p
}

// asClient is the client as our token client uses it.
func asClient(t *testing.T, p *oauthflow.Profile, c client) oauthflow.Client {
	t.Helper()
	return oauthflow.Client{
		Registration: &oauthflow.Registration{ID: uuid.New(), Profile: p, Digest: p.Digest(), ClientID: c.ID, RedirectURI: c.Redirect, AllowHosts: p.Hosts()},
		Credentials:  oauthflow.Credentials{Secret: secret.New(c.Secret)},
	}
}

func newTokenClient() *oauthflow.TokenClient {
	return oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true})
}

// TestTokenClient speaks to servers that others wrote.
func TestTokenClient(t *testing.T) {
	t.Parallel()
	each(t, options{}, func(t *testing.T, s *server) {
		t.Run("code, refresh, reuse", func(t *testing.T) { testClientRefresh(t, s) })
		t.Run("revocation, with either token", func(t *testing.T) { testClientRevoke(t, s) })
		t.Run("client credentials", func(t *testing.T) { testClientCredentials(t, s) })
		t.Run("private_key_jwt", func(t *testing.T) { testPrivateKey(t, s) })
		t.Run("a code with another verifier", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{Redirect: callbackURL})
			code := newBrowser(t, ann).visit(s.authorizeURL(t, c, nil), c.Redirect).Query().Get("code")
			_, err := newTokenClient().Code(t.Context(), asClient(t, profileOf(t, s, nil), c), oauthflow.CodeRequest{
				Code: secret.New(code), RedirectURI: c.Redirect, Verifier: secret.New(strings.Repeat("b", 43)),
			}, nil)
			wantTokenError(t, err, connectors.GrantLost, "invalid_grant")
		})
	})
}

// connectOurs obtains tokens with our token client.
func connectOurs(t *testing.T, s *server, c client, oc oauthflow.Client) *oauthflow.Token {
	t.Helper()
	code := newBrowser(t, ann).visit(s.authorizeURL(t, c, nil), c.Redirect).Query().Get("code")
	token, err := newTokenClient().Code(t.Context(), oc, oauthflow.CodeRequest{
		Code: secret.New(code), Verifier: secret.New(verifier), RedirectURI: c.Redirect, Scopes: []string{readFiles},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func wantTokenError(t *testing.T, err error, class connectors.Class, code string) {
	t.Helper()
	te, ok := errors.AsType[*oauthflow.TokenError](err)
	if !ok || te.Class != class || te.Code != code || !te.Definitive {
		t.Errorf("got %v (%+v), want %v %s, definitive", err, te, class, code)
	}
}

func testClientRefresh(t *testing.T, s *server) {
	t.Parallel()
	c := s.register(t, client{Redirect: callbackURL})
	p := profileOf(t, s, nil)
	if p.RequireIss != s.iss {
		t.Errorf("iss required: %v", p.RequireIss)
	}
	oc := asClient(t, p, c)
	first := connectOurs(t, s, c, oc)
	if !first.Refresh.IsSet() || first.ExpiresIn <= 0 || !first.ScopesStated || !slices.Contains(first.Scopes, writeFiles) || first.Type != "bearer" {
		t.Errorf("first token: %+v", first)
	}
	tc := newTokenClient()
	info, err := tc.Userinfo(t.Context(), oc.Registration, first.Access)
	if err != nil || info.Subject != ann {
		t.Errorf("account: %+v, %v", info, err)
	}
	var trace oauthflow.Trace
	second, err := tc.Refresh(t.Context(), oc, first.Refresh, first.Scopes, oauthflow.GrantParams{}, &trace)
	if err != nil || !second.Rotated || !trace.MaybeSent() || second.Access.Equal(first.Access) {
		t.Fatalf("refresh: %+v, %v", second, err)
	}
	_, err = tc.Refresh(t.Context(), oc, first.Refresh, first.Scopes, oauthflow.GrantParams{}, nil)
	wantTokenError(t, err, connectors.GrantLost, "invalid_grant")
	_, err = tc.Refresh(t.Context(), oc, second.Refresh, first.Scopes, oauthflow.GrantParams{}, nil)
	wantTokenError(t, err, connectors.GrantLost, "invalid_grant")
	if s.active(t, c, second.Access.Reveal()) {
		t.Error("the family lives on")
	}
}

func testClientRevoke(t *testing.T, s *server) {
	t.Parallel()
	c := s.register(t, client{Redirect: callbackURL})
	oc := asClient(t, profileOf(t, s, nil), c)
	tc := newTokenClient()
	token := connectOurs(t, s, c, oc)
	if err := tc.Revoke(t.Context(), oc, token.Access, oauthflow.HintAccess); err != nil || s.active(t, c, token.Access.Reveal()) {
		t.Errorf("access token: %v", err)
	}
	if err := tc.Revoke(t.Context(), oc, token.Refresh, oauthflow.HintRefresh); err != nil {
		t.Errorf("refresh token: %v", err)
	}
	if err := tc.Revoke(t.Context(), oc, token.Refresh, oauthflow.HintRefresh); err != nil {
		t.Errorf("a dead token: %v", err)
	}
	_, err := tc.Refresh(t.Context(), oc, token.Refresh, token.Scopes, oauthflow.GrantParams{}, nil)
	wantTokenError(t, err, connectors.GrantLost, "invalid_grant")
	oc.Credentials.Secret = secret.New("wrong")
	if err := tc.Revoke(t.Context(), oc, token.Refresh, oauthflow.HintRefresh); connectorsClass(err) != connectors.ClientRejected {
		t.Errorf("a wrong secret: %v", err)
	}
}

// connectorsClass is the class of an error of our token client.
func connectorsClass(err error) connectors.Class {
	if te, ok := errors.AsType[*oauthflow.TokenError](err); ok {
		return te.Class
	}
	return connectors.ClassOf(err)
}

func testClientCredentials(t *testing.T, s *server) {
	t.Parallel()
	c := s.register(t, client{})
	oc := asClient(t, profileOf(t, s, nil), c)
	token, err := newTokenClient().ClientCredentials(t.Context(), oc, []string{readFiles}, oauthflow.GrantParams{}, nil)
	if err != nil || token.Refresh.IsSet() || !s.active(t, c, token.Access.Reveal()) {
		t.Errorf("token %+v, %v", token, err)
	}
	oc.Credentials.Secret = secret.New(c.Secret + "x")
	_, err = newTokenClient().ClientCredentials(t.Context(), oc, []string{readFiles}, oauthflow.GrantParams{}, nil)
	wantTokenError(t, err, connectors.ClientRejected, "invalid_client")
}

// testPrivateKey authenticates with assertions whose audience is the issuer, one string (OA-18).
func testPrivateKey(t *testing.T, s *server) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	public, err := key.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	coordinate := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	jwks, err := json.Marshal(map[string]any{"keys": []map[string]string{{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "key-7", "x": coordinate(public[1:33]), "y": coordinate(public[33:]),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	c := s.register(t, client{Redirect: callbackURL, JWKS: jwks, Auth: "private_key_jwt"})
	p := profileOf(t, s, func(doc map[string]any) {
		doc["client_auth"] = "private_key_jwt"
		doc["jwt"] = map[string]any{"alg": "ES256", "life": "1m"}
	})
	oc := asClient(t, p, c)
	oc.Credentials = oauthflow.Credentials{PrivateKey: secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))), KeyID: "key-7"}
	token := connectOurs(t, s, c, oc)
	tc := newTokenClient()
	next, err := tc.Refresh(t.Context(), oc, token.Refresh, token.Scopes, oauthflow.GrantParams{}, nil)
	if err != nil {
		t.Fatalf("refresh: %v", err)
	}
	elsewhere := *p
	elsewhere.JWT.Audience = "https://elsewhere.example"
	registration := *oc.Registration
	registration.Profile = &elsewhere
	if _, err := tc.Refresh(t.Context(), oauthflow.Client{Registration: &registration, Credentials: oc.Credentials}, next.Refresh, token.Scopes, oauthflow.GrantParams{}, nil); err == nil {
		t.Error("an assertion for another server is accepted: the audience is not what made the others good")
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if der, err = x509.MarshalPKCS8PrivateKey(other); err != nil {
		t.Fatal(err)
	}
	mine := oc.Credentials
	oc.Credentials.PrivateKey = secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
	if _, err := tc.Refresh(t.Context(), oc, next.Refresh, token.Scopes, oauthflow.GrantParams{}, nil); err == nil {
		t.Error("another key is accepted")
	}
	oc.Credentials = mine
	if err := tc.Revoke(t.Context(), oc, next.Refresh, oauthflow.HintRefresh); err != nil {
		t.Errorf("revocation: %v", err)
	}
}
