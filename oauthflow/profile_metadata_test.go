package oauthflow_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"tributary/oauthflow"
)

// discovered returns a profile that knows its issuer alone.
func discovered(t testing.TB, issuer string) *oauthflow.Profile {
	return custom(t, func(m map[string]any) {
		m["issuer"], m["discovery"], m["endpoints"] = issuer, "oauth", map[string]any{}
		m["revocation"] = map[string]any{"style": "rfc7009", "reach": "token"}
	})
}

func document(t testing.TB, edit func(map[string]any)) []byte {
	t.Helper()
	m := map[string]any{
		"issuer": "https://id.acme.example/t1", "authorization_endpoint": "https://id.acme.example/a", "token_endpoint": "https://id.acme.example/t",
		"revocation_endpoint": "https://id.acme.example/r", "jwks_uri": "https://keys.acme.example/k", "token_endpoint_auth_methods_supported": []string{"client_secret_basic"},
		"code_challenge_methods_supported": []string{"plain", "S256"}, "response_types_supported": []string{"code"},
	}
	if edit != nil {
		edit(m)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestOA17 takes endpoints from the issuer's own document, and refuses every other.
func TestOA17(t *testing.T) {
	t.Parallel()
	p := discovered(t, "https://id.acme.example/t1")
	got, err := p.WithMetadata(document(t, nil), oauthflow.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if got.Endpoints.Token != "https://id.acme.example/t" || got.Endpoints.Revoke != "https://id.acme.example/r" || got.Discovery != oauthflow.DiscoveryNone || got.RequireIss {
		t.Errorf("got %+v", got)
	}
	if hosts := got.Hosts(); !slices.Equal(hosts, []string{"id.acme.example", "keys.acme.example"}) {
		t.Errorf("hosts to confirm: %v", hosts)
	}
	if p.Endpoints.Token != "" || p.Digest() == got.Digest() {
		t.Error("the profile without endpoints was changed, or has the digest of the one with them")
	}
	if got, err := p.WithMetadata(document(t, at("authorization_response_iss_parameter_supported", true)), oauthflow.Rules{}); err != nil || !got.RequireIss {
		t.Errorf("iss advertised: got %+v, %v", got, err)
	}
	if got, err := p.WithMetadata(document(t, at("revocation_endpoint", nil)), oauthflow.Rules{}); err != nil || got.Revocation.Style != oauthflow.RevokeNone {
		t.Errorf("no revocation: got %+v, %v", got, err)
	}
	pinned := custom(t, func(m map[string]any) { m["issuer"] = "https://id.acme.example/t1" })
	if got, err := pinned.WithMetadata(document(t, nil), oauthflow.Rules{}); err != nil || got.Endpoints.Token != "https://id.acme.example/token" {
		t.Errorf("an endpoint that the profile states was replaced: %+v, %v", got, err)
	}
	refused := map[string]func(map[string]any){
		"another issuer":           at("issuer", "https://id.acme.example/t2"),
		"issuer with a slash":      at("issuer", "https://id.acme.example/t1/"),
		"issuer in another case":   at("issuer", "https://ID.acme.example/t1"),
		"issuer with default port": at("issuer", "https://id.acme.example:443/t1"),
		"no issuer":                at("issuer", nil),
		"issuer a list":            at("issuer", []string{"https://id.acme.example/t1"}),
		"http endpoint":            at("token_endpoint", "http://id.acme.example/t"),
		"metadata address":         at("token_endpoint", "https://169.254.169.254/t"),
		"this machine":             at("jwks_uri", "https://127.0.0.1:5432/"),
		"Google's token endpoint":  at("token_endpoint", "https://oauth2.googleapis.com/token"),
		"no token endpoint":        at("token_endpoint", nil),
		"placeholder":              at("token_endpoint", "{base}/t"),
		"other authentication":     at("token_endpoint_auth_methods_supported", []string{"client_secret_post"}),
		"plain PKCE only":          at("code_challenge_methods_supported", []string{"plain"}),
		"state in the endpoint":    at("authorization_endpoint", "https://id.acme.example/a?state=1"),
	}
	for rule, edit := range refused {
		if got, err := p.WithMetadata(document(t, edit), oauthflow.Rules{}); err == nil || got != nil {
			t.Errorf("%s: accepted", rule)
		}
	}
	for rule, raw := range map[string][]byte{
		"issuer twice": []byte(strings.Replace(string(document(t, nil)), "{", `{"issuer":"https://evil.example",`, 1)), "HTML": []byte("<html>"), "empty": nil, "huge": make([]byte, oauthflow.MaxAnswer+1),
	} {
		if _, err := p.WithMetadata(raw, oauthflow.Rules{}); err == nil {
			t.Errorf("%s: accepted", rule)
		}
	}
}

func TestMetadataPaths(t *testing.T) {
	t.Parallel()
	got, err := discovered(t, "https://id.acme.example/t1").MetadataPaths(oauthflow.Rules{})
	want := []string{"https://id.acme.example/.well-known/oauth-authorization-server/t1", "https://id.acme.example/t1/.well-known/openid-configuration"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	got, err = discovered(t, "https://id.acme.example/").MetadataPaths(oauthflow.Rules{})
	if err != nil || got[1] != "https://id.acme.example/.well-known/openid-configuration" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := custom(t, nil).MetadataPaths(oauthflow.Rules{}); err == nil {
		t.Errorf("without an issuer: %v", got)
	}
}
