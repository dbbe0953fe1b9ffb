package oauthflow_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/oauthflow"
)

var update = flag.Bool("update", false, "write the golden files")

// parseCustom parses a minimal profile of an owner's, changed by edit.
func parseCustom(t testing.TB, edit func(map[string]any), r oauthflow.Rules) (*oauthflow.Profile, error) {
	t.Helper()
	m := map[string]any{
		"name": "acme", "title": "Acme", "hosting": "fixed", "grants": []string{"authorization_code"},
		"endpoints":   map[string]any{"authorize": "https://id.acme.example/authorize", "token": "https://id.acme.example/token"},
		"client_auth": "client_secret_basic", "pkce": "S256", "request": map[string]any{"body": "form"},
		"scopes":     map[string]any{"separator": " ", "answer_separator": " "},
		"refresh":    map[string]any{"rotation": "S"},
		"revocation": map[string]any{"style": "none"},
		"grant_per":  "consent",
	}
	if edit != nil {
		edit(m)
	}
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return oauthflow.ParseProfile(raw, r)
}

// at sets a value by its dotted path.
func at(path string, v any) func(map[string]any) {
	return func(m map[string]any) {
		names := strings.Split(path, ".")
		for _, n := range names[:len(names)-1] {
			next, ok := m[n].(map[string]any)
			if !ok {
				next = map[string]any{}
				m[n] = next
			}
			m = next
		}
		m[names[len(names)-1]] = v
	}
}

// TestProfileRefused has a profile for each rule; the error names the field.
func TestProfileRefused(t *testing.T) {
	t.Parallel()
	cases := []struct {
		rule, path string
		value      any
		names      string
	}{
		{"unknown field", "tokn", 1, `"tokn"`},
		{"unknown field inside", "endpoints.tokn", "x", `"endpoints.tokn"`},
		{"unknown field in a list", "scopes.known", []any{map[string]any{"name": "a", "reason": "b", "why": 1}}, `"scopes.known.0.why"`},
		{"field in another case", "Title", "x", `"Title"`},
		{"name of a shipped one", "name", "google", "name:"},
		{"name with blanks", "name", "a b", "name:"},
		{"title with a line end", "title", "a\nb", "title:"},
		{"OA-12 no client authentication", "client_auth", "", "client_auth:"},
		{"OA-12 automatic client authentication", "client_auth", "auto", "client_auth:"},
		{"OA-6 plain PKCE", "pkce", "plain", "pkce:"},
		{"OA-6 public client without PKCE", "client_auth", "none", ""},
		{"OA-7 implicit", "grants", []string{"implicit"}, "grants:"},
		{"OA-7 password", "grants", []string{"password"}, "grants:"},
		{"OA-17 http", "endpoints.token", "http://id.acme.example/token", "endpoints.token:"},
		{"OA-17 no scheme", "endpoints.token", "id.acme.example/token", "endpoints.token:"},
		{"OA-17 another scheme", "endpoints.token", "ftp://id.acme.example/token", "endpoints.token:"},
		{"OA-17 user in the URL", "endpoints.token", "https://u:p@id.acme.example/token", "endpoints.token:"},
		{"OA-17 fragment", "endpoints.authorize", "https://id.acme.example/a#x", "endpoints.authorize:"},
		{"OA-17 line end", "endpoints.token", "https://id.acme.example/\ntoken", "endpoints.token:"},
		{"OA-17 backslash", "endpoints.token", `https://id.acme.example\@evil.example/`, "endpoints.token:"},
		{"OA-17 metadata address", "endpoints.token", "https://169.254.169.254/token", "endpoints.token:"},
		{"OA-17 mapped metadata address", "endpoints.token", "https://[::ffff:169.254.169.254]/token", "endpoints.token:"},
		{"OA-17 mapped unspecified address", "endpoints.token", "https://[::ffff:0.0.0.0]/token", "endpoints.token:"},
		{"OA-17 loopback", "endpoints.token", "https://127.0.0.1:5432/token", "endpoints.token:"},
		{"OA-17 localhost", "endpoints.token", "https://localhost/token", "endpoints.token:"},
		{"OA-17 private address", "endpoints.token", "https://10.0.0.1/token", "endpoints.token:"},
		{"OA-17 unspecified address", "endpoints.token", "https://0.0.0.0/token", "endpoints.token:"},
		{"OA-17 decimal address", "endpoints.token", "https://2130706433/token", "endpoints.token:"},
		{"OA-17 octal address", "endpoints.token", "https://0177.0.0.1/token", "endpoints.token:"},
		{"OA-17 hexadecimal address", "endpoints.token", "https://0x7f.1/token", "endpoints.token:"},
		{"OA-17 single label", "endpoints.token", "https://intranet/token", "endpoints.token:"},
		{"OA-17 dot at the end", "endpoints.token", "https://id.acme.example./token", "endpoints.token:"},
		{"OA-17 upper case", "endpoints.token", "https://ID.acme.example/token", "endpoints.token:"},
		{"OA-17 letters beyond ASCII", "endpoints.token", "https://іd.acme.example/token", "endpoints.token:"},
		{"OA-17 issuer over http", "issuer", "http://id.acme.example", "issuer:"},
		{"OA-17 discovery without issuer", "discovery", "oidc", "issuer:"},
		{"OA-4 iss required without issuer", "require_iss", true, "issuer:"},
		{"OA-3 token endpoint beside Google's", "endpoints.authorize", "https://accounts.google.com/o/oauth2/v2/auth", "endpoints:"},
		{"missing token endpoint", "endpoints.token", "", "endpoints.token:"},
		{"base in a fixed profile", "endpoints.token", "{base}/token", "endpoints.token:"},
		{"unknown placeholder", "endpoints.token", "https://id.acme.example/{tenant}/token", "endpoints.token:"},
		{"OA-32 in the endpoint's query", "endpoints.authorize", "https://id.acme.example/a?State=1", "endpoints.authorize:"},
		{"grant without an installation endpoint", "grants", []string{"authorization_code", "installation"}, "endpoints.installation:"},
		{"JWT without algorithm", "grants", []string{"jwt_bearer"}, "jwt.alg:"},
		{"JWT signed with none", "jwt.alg", "none", "jwt.alg:"},
		{"token request sets the grant type", "request.params.grant_type", "x", "request.params:"},
		{"token request sets a credential", "request.params.client_secret", "x", "request.params:"},
		{"token request sets Authorization", "request.headers.authorization", "x", "request.headers:"},
		{"token request sets Host", "request.headers.host", "x", "request.headers:"},
		{"rotation unknown", "refresh.rotation", "X", "refresh.rotation:"},
		{"grace without rotation G", "refresh.grace", "10m", "refresh.grace:"},
		{"negative duration", "refresh.idle_expiry", "-1h", "duration"},
		{"revocation without endpoint", "revocation", map[string]any{"style": "rfc7009", "reach": "grant"}, "endpoints.revoke:"},
		{"error class unknown", "errors", []any{map[string]any{"code": "x", "class": "bug"}}, "errors.0:"},
		{"RF-9 status alone means grant lost", "errors", []any{map[string]any{"status": 401, "class": "grant_lost"}}, "errors.0:"},
		{"OA-30 pattern of everything", "answer.hosts.u", []string{"*"}, "answer.hosts.u:"},
		{"OA-30 pattern of a top domain", "answer.hosts.u", []string{"*.com"}, "answer.hosts.u:"},
		{"OA-30 no pattern", "answer.hosts.u", []string{}, "answer.hosts.u:"},
		{"scope without a reason", "scopes.known", []any{map[string]any{"name": "a"}}, "scopes.known:"},
		{"client id pattern of everything", "client_ids", []string{"*"}, "client_ids:"},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			edit := at(c.path, c.value)
			if c.names == "" { // needs two changes
				c.names = "pkce:"
				edit = func(m map[string]any) { at(c.path, c.value)(m); m["pkce"] = "broken" }
			}
			_, err := parseCustom(t, edit, oauthflow.Rules{})
			if err == nil || !strings.Contains(err.Error(), c.names) {
				t.Errorf("got %v, want an error that names %s", err, c.names)
			}
		})
	}
	for rule, raw := range map[string]string{
		"field twice": `{"name":"a","name":"b"}`, "list": `[]`, "empty": ``, "text after it": `{} {}`, "object for a text": `{"name":{"a":1}}`, "text for an object": `{"endpoints":"x"}`, "list for a text": `{"name":["a"]}`,
	} {
		if _, err := oauthflow.ParseProfile([]byte(raw), oauthflow.Rules{}); err == nil {
			t.Errorf("%s: accepted", rule)
		}
	}
}

// TestOA32 refuses each parameter that the flow sets, in any case, where the profile is saved.
func TestOA32(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "request", "request_uri", "State", "SCOPE", "Code_Challenge"} {
		if _, err := parseCustom(t, at("authorize.params."+key, "x"), oauthflow.Rules{}); err == nil || !strings.Contains(err.Error(), `"`+key+`"`) {
			t.Errorf("%s: got %v, want an error that names it", key, err)
		}
	}
	for _, key := range []string{"prompt", "access_type", "audience", "owner"} {
		if _, err := parseCustom(t, at("authorize.params."+key, "x"), oauthflow.Rules{}); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestRulesAllow(t *testing.T) {
	t.Parallel()
	both := func(host string) func(map[string]any) {
		return func(m map[string]any) {
			m["endpoints"] = map[string]any{"authorize": host + "/a", "token": host + "/t"}
		}
	}
	for _, c := range []struct {
		host string
		r    oauthflow.Rules
		ok   bool
	}{
		{"http://127.0.0.1:8090", oauthflow.Rules{LoopbackHTTP: true}, true},
		{"http://localhost:8090", oauthflow.Rules{LoopbackHTTP: true}, true},
		{"http://[::1]:8090", oauthflow.Rules{LoopbackHTTP: true}, true},
		{"http://10.0.0.1", oauthflow.Rules{LoopbackHTTP: true, PrivateAddresses: true}, false},
		{"http://127.0.0.1", oauthflow.Rules{PrivateAddresses: true}, false},
		{"https://10.0.0.1", oauthflow.Rules{PrivateAddresses: true}, true},
		{"https://10.0.0.1", oauthflow.Rules{LoopbackHTTP: true}, false},
		{"https://169.254.169.254", oauthflow.Rules{LoopbackHTTP: true, PrivateAddresses: true}, false},
		{"http://localhost.evil.example", oauthflow.Rules{LoopbackHTTP: true}, false},
	} {
		if _, err := parseCustom(t, both(c.host), c.r); (err == nil) != c.ok {
			t.Errorf("%s with %+v: %v", c.host, c.r, err)
		}
	}
}

// TestOA3 keeps a client of one provider from the endpoints of another.
func TestOA3(t *testing.T) {
	t.Parallel()
	all, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	own := custom(t, nil)
	gitea, err := all["gitea"].At("https://git.example.org", oauthflow.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	used := []oauthflow.ClientUse{{ClientID: "plain-id", Profile: all["github-oauth"]}, {ClientID: "shared", Profile: gitea}}
	for _, c := range []struct {
		rule string
		p    *oauthflow.Profile
		id   string
		ok   bool
	}{
		{"Google's client at own endpoints", own, "12-ab.apps.googleusercontent.com", false},
		{"Google's client at a Gitea", gitea, "12-ab.apps.googleusercontent.com", false},
		{"Google's client at Google", all["google"], "12-ab.apps.googleusercontent.com", true},
		{"GitHub's client at own endpoints", own, "Iv23abc", false},
		{"a registered client of GitHub at own endpoints", own, "plain-id", false},
		{"a registered client of GitHub at GitHub", all["github-oauth"], "plain-id", true},
		{"an id that two self-hosted servers gave", own, "shared", true},
		{"a new id", own, "new", true},
	} {
		if err := oauthflow.CheckClient(c.p, c.id, used, all); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.rule, err)
		}
	}
}

// TestDigestFollowsEveryAddress: whatever changes where secrets go changes the digest (OA-30).
func TestDigestFollowsEveryAddress(t *testing.T) {
	t.Parallel()
	seen := map[string]string{custom(t, nil).Digest(): "unchanged"}
	for path, v := range map[string]any{
		"issuer": "https://id.acme.example", "endpoints.authorize": "https://id.acme.example/2", "endpoints.token": "https://id.acme.example/2", "endpoints.revoke": "https://id.acme.example/2",
		"endpoints.introspect": "https://id.acme.example/2", "endpoints.userinfo": "https://id.acme.example/2", "endpoints.jwks": "https://id.acme.example/2", "client_auth": "client_secret_post",
	} {
		d := custom(t, at(path, v)).Digest()
		if other, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", path, other)
		}
		seen[d] = path
	}
	if custom(t, at("title", "Other")).Digest() != custom(t, nil).Digest() {
		t.Error("the title changes the digest")
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	gitea := shipped(t, "gitea")
	p, err := gitea.At("https://git.example.org/sub/", oauthflow.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Endpoints.Token != "https://git.example.org/sub/login/oauth/access_token" || p.Revocation.ManageURL != "https://git.example.org/sub/user/settings/applications" || p.Hosting != oauthflow.HostingFixed {
		t.Errorf("got %+v", p)
	}
	if !strings.HasPrefix(gitea.Endpoints.Token, "{base}") {
		t.Error("the shipped profile was changed")
	}
	for _, bad := range []string{"", "git.example.org", "http://git.example.org", "https://git.example.org?x=1", "https://a:b@git.example.org", "https://169.254.169.254", "https://{base}.example"} {
		if _, err := gitea.At(bad, oauthflow.Rules{}); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
	if _, err := shipped(t, "google").At("https://evil.example", oauthflow.Rules{}); err == nil {
		t.Error("Google at another address: accepted")
	}
	sandbox, err := shipped(t, "sandbox").At("http://localhost:8090", oauthflow.Rules{LoopbackHTTP: true})
	if err != nil || sandbox.Issuer != "http://localhost:8090" {
		t.Errorf("got %+v, %v", sandbox, err)
	}
}

// TestPQ has a case for each row of provider behaviour that the shipped profiles hold.
func TestPQ(t *testing.T) {
	t.Parallel()
	t.Run("1 Google", func(t *testing.T) {
		t.Parallel()
		p := shipped(t, "google")
		if p.Authorize.Params["access_type"] != "offline" || p.Authorize.Params["prompt"] != "consent" {
			t.Errorf("no refresh token without access_type=offline and prompt=consent: %v", p.Authorize.Params)
		}
		if p.Refresh.Rotation != oauthflow.RotationNone || time.Duration(p.Refresh.IdleExpiry) != 180*24*time.Hour {
			t.Errorf("refresh: %+v", p.Refresh)
		}
		tok, err := answer(p, 200, jsonType, `{"access_token":"at","token_type":"Bearer","expires_in":3599,"scope":"openid https://www.googleapis.com/auth/userinfo.email"}`)
		if err != nil || tok.Refresh.Reveal() != sentRefresh || tok.Rotated {
			t.Errorf("a refresh answer has no refresh token, and the old one stays: %+v, %v", tok, err)
		}
		need := []string{"openid", "email", "https://www.googleapis.com/auth/drive.readonly"}
		if got := p.Missing(need, tok.Scopes); !slices.Equal(got, need[2:]) {
			t.Errorf("unticked: got %v", got)
		}
	})
	t.Run("4 GitHub OAuth app", func(t *testing.T) {
		t.Parallel()
		p := shipped(t, "github-oauth")
		const form = "application/x-www-form-urlencoded; charset=utf-8"
		tok, err := answer(p, 200, form, "access_token=gho_x&scope=repo%2Cread%3Aorg&token_type=bearer")
		if err != nil || tok.Access.Reveal() != "gho_x" || !slices.Equal(tok.Scopes, []string{"repo", "read:org"}) || tok.ExpiresIn != 0 {
			t.Errorf("form: %+v, %v", tok, err)
		}
		_, err = answer(p, 200, form, "error=bad_verification_code&error_description=The+code+passed+is+incorrect+or+expired.")
		if e := refusal(t, err); e.Code != "bad_verification_code" || e.Description != "The code passed is incorrect or expired." || !e.Definitive {
			t.Errorf("error with 200: %+v", e)
		}
		tok, err = answer(p, 200, jsonType, `{"access_token":"at","token_type":"bearer","expires_in":28800,"refresh_token":"ghr_n","refresh_token_expires_in":15897600}`)
		if err != nil || tok.ExpiresIn != 8*time.Hour || !tok.Rotated || tok.RefreshExpiresIn != 184*24*time.Hour {
			t.Errorf("an app whose tokens expire: %+v, %v", tok, err)
		}
		if p.Request.Headers["Accept"] != jsonType || !p.Refresh.None {
			t.Errorf("got %+v, %+v", p.Request, p.Refresh)
		}
		if got := p.Missing([]string{"read:org", "user:email", "repo"}, []string{"admin:org", "user", "public_repo"}); !slices.Equal(got, []string{"repo"}) {
			t.Errorf("missing: %v", got)
		}
	})
	t.Run("5 GitHub App", func(t *testing.T) {
		t.Parallel()
		p := shipped(t, "github-app")
		if p.Refresh.Rotation != oauthflow.RotationStrict || !slices.Contains(p.Grants, oauthflow.GrantInstallation) || p.JWT.Alg != "RS256" || time.Duration(p.JWT.Life) > 10*time.Minute {
			t.Errorf("got %+v", p)
		}
	})
	t.Run("15 Gitea", func(t *testing.T) {
		t.Parallel()
		p := shipped(t, "gitea")
		if p.Hosting != oauthflow.HostingInstance || p.Revocation.Style != oauthflow.RevokeNone || p.Revocation.ManageURL == "" || p.Endpoints.Revoke != "" || p.Refresh.Rotation != oauthflow.RotationNone {
			t.Errorf("got %+v", p)
		}
	})
}

// TestShippedGolden holds the shipped profiles, as the program reads them, to what was reviewed.
func TestShippedGolden(t *testing.T) {
	t.Parallel()
	all, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "profiles.golden.json", string(raw)+"\n")
	for name := range all {
		if _, err := os.Stat(filepath.Join("profiles", name+".json")); err != nil {
			t.Errorf("profile %s is in a file of another name", name)
		}
	}
}

// golden holds a text to what was reviewed.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; look at it, then run: go test ./oauthflow -update", file)
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, name := range []string{"google", "gitea", "github-app"} {
		raw, err := os.ReadFile(filepath.Join("profiles", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(strings.Replace(string(raw), `"`+name+`"`, `"other"`, 1)))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := oauthflow.ParseProfile(raw, oauthflow.Rules{})
		if err != nil {
			return
		}
		if p.Hosting == oauthflow.HostingFixed {
			for _, u := range []string{p.Endpoints.Authorize, p.Endpoints.Token, p.Endpoints.Revoke} {
				if u != "" && !strings.HasPrefix(u, "https://") {
					t.Fatalf("accepted endpoint %q", u)
				}
			}
		}
	})
}
