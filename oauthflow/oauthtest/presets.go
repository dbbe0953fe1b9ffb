package oauthtest

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"tributary/oauthflow"
)

// Generic is a server by the standards, which rotates refresh tokens and ends a family when an old one comes again.
func Generic() Behaviour {
	return Behaviour{Auth: "client_secret_basic", Rotation: "F", Iss: true, RequireS2: true, Subject: "user-1", Account: "Ada"}
}

// Google is PQ-1.
func Google() Behaviour {
	return Behaviour{
		Auth: "client_secret_post", Rotation: "N", OfflineOnly: true, Subject: "108", Account: "ada@example.com",
		ScopeAlias: map[string]string{"email": "https://www.googleapis.com/auth/userinfo.email"},
	}
}

// GitHubOAuth is PQ-4: an OAuth app whose tokens do not expire.
func GitHubOAuth() Behaviour {
	return Behaviour{
		Auth: "client_secret_post", Form: true, CommaScopes: true, NoRefresh: true, NoExpiry: true, Subject: "583231", Account: "octocat",
		Errors: map[string]string{"invalid_grant": "bad_verification_code", "invalid_client": "incorrect_client_credentials"},
	}
}

// GitHubApp is PQ-5: user tokens of eight hours, and refresh tokens of six months that are used once.
func GitHubApp() Behaviour {
	return Behaviour{
		Auth: "client_secret_post", Form: true, CommaScopes: true, Rotation: "S", Life: 8 * time.Hour, RefreshExpiry: 4380 * time.Hour, Subject: "583231", Account: "octocat",
		Errors: map[string]string{"invalid_grant": "bad_refresh_token", "invalid_client": "incorrect_client_credentials"},
	}
}

// Gitea is PQ-15: a refresh gives a new token and keeps the old; nothing can be revoked; a second consent has the scopes of
// the first, which only the introspection tells.
func Gitea() Behaviour {
	return Behaviour{
		Auth: "client_secret_post", Rotation: "R", Subject: "7", Account: "ada", NoScope: true, KeepsScopes: true,
		Errors: map[string]string{"invalid_grant": "unauthorized_client", "invalid_client": "unauthorized_client"},
	}
}

// Profile returns a document for ParseProfile: the shipped profile of that name with its endpoints at this server; ""
// is a plain profile. edit changes it.
func (s *Server) Profile(tb testing.TB, shipped string, edit func(map[string]any)) []byte {
	tb.Helper()
	m := map[string]any{
		"title": "Fake", "hosting": "fixed", "grants": []string{"authorization_code", "client_credentials"}, "client_auth": "client_secret_basic", "pkce": "S256",
		"issuer": s.URL, "request": map[string]any{"body": "form"}, "scopes": map[string]any{"separator": " ", "answer_separator": " "},
		"refresh": map[string]any{"rotation": "F"}, "revocation": map[string]any{"style": "rfc7009", "reach": "token"}, "grant_per": "consent",
		"endpoints": map[string]any{"authorize": "", "token": "", "revoke": "", "introspect": "", "userinfo": ""},
	}
	if shipped != "" {
		all, err := oauthflow.Shipped()
		if err != nil || all[shipped] == nil {
			tb.Fatalf("no shipped profile %q: %v", shipped, err)
		}
		m = map[string]any{}
		if err := json.Unmarshal(must(json.Marshal(all[shipped])), &m); err != nil {
			tb.Fatal(err)
		}
		if m["issuer"] != "" {
			m["issuer"] = s.URL
		}
		m["client_ids"] = nil
	}
	m["name"], m["hosting"] = "fake-"+shipped+"x", "fixed"
	for name, v := range m["endpoints"].(map[string]any) { //nolint:forcetypeassert // it is one above
		path := map[string]string{"jwks": "", "installation": "/installations/{installation_id}/access_tokens"}
		at, known := path[name]
		if !known {
			at = "/" + name
		}
		switch {
		case shipped != "" && v == "":
			at = ""
		case name == "revoke" && strings.HasPrefix(shipped, "github-"):
			at = "/revoke/{client_id}"
		}
		if at != "" {
			at = s.URL + at
		}
		m["endpoints"].(map[string]any)[name] = at //nolint:forcetypeassert // it is one above
	}
	if setup, ok := m["setup"].(map[string]any); ok {
		setup["console_url"] = ""
	}
	if revocation, ok := m["revocation"].(map[string]any); ok && shipped != "" {
		revocation["manage_url"] = "https://manage.example.com/"
	}
	if edit != nil {
		edit(m)
	}
	return must(json.Marshal(m))
}
