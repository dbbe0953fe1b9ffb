package oauthflow_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
)

const (
	sentRefresh = "sent-refresh-7f2a"
	sentCode    = "sent-code/with+signs=9"
	jsonType    = "application/json"
)

func asked() oauthflow.Asked {
	return oauthflow.Asked{Refresh: secret.New(sentRefresh), Scopes: []string{"a", "b"}, Secrets: []secret.Text{secret.New(sentCode)}}
}

// custom returns a valid profile of an owner's, changed by edit.
func custom(t testing.TB, edit func(map[string]any)) *oauthflow.Profile {
	t.Helper()
	p, err := parseCustom(t, edit, oauthflow.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func shipped(t testing.TB, name string) *oauthflow.Profile {
	t.Helper()
	all, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	if all[name] == nil {
		t.Fatalf("no shipped profile %q", name)
	}
	return all[name]
}

// answer sends one answer through the parser.
func answer(p *oauthflow.Profile, status int, contentType, body string) (*oauthflow.Token, error) {
	return oauthflow.ParseToken(p, asked(), status, http.Header{"Content-Type": {contentType}}, strings.NewReader(body))
}

func refusal(t *testing.T, err error) *oauthflow.TokenError {
	t.Helper()
	e, ok := errors.AsType[*oauthflow.TokenError](err)
	if !ok {
		t.Fatalf("got %v, want a TokenError", err)
	}
	return e
}

// TestOA14 has a case for each rule of OA-14 on what an answer may be.
func TestOA14(t *testing.T) {
	t.Parallel()
	plain := custom(t, nil)
	text := custom(t, func(m map[string]any) {
		m["answer"] = map[string]any{"content_types": map[string]any{"text/plain": "form", "text/html": "json", "": "json"}}
	})
	lax := custom(t, func(m map[string]any) {
		m["answer"] = map[string]any{"token_types": []string{"bot", "user"}, "token_type_optional": true}
	})
	nested := custom(t, func(m map[string]any) { m["answer"] = map[string]any{"token_path": "data.user"} })
	const ok = `{"access_token":"at","token_type":"bearer"}`
	cases := []struct {
		rule        string
		p           *oauthflow.Profile
		contentType string
		body        string
		problem     oauthflow.Problem // none: a token whose access token is "at"
	}{
		{"JSON", plain, jsonType, ok, ""},
		{"JSON with a charset", plain, "application/json; charset=UTF-8", ok, ""},
		{"JSON of a suffix", plain, "application/vnd.x+json", ok, ""},
		{"JSON after a byte order mark", plain, jsonType, "\xef\xbb\xbf" + ok, ""},
		{"form where the profile says so", text, "text/plain", "access_token=at&token_type=bearer", ""},
		{"JSON under a wrong type where the profile says so", text, "text/html; charset=utf-8", ok, ""},
		{"no content type where the profile says so", text, "", ok, ""},
		{"form of another profile", plain, "application/x-www-form-urlencoded", "access_token=at&token_type=bearer", oauthflow.ProblemType},
		{"JSON under a wrong type of another profile", plain, "text/html", ok, oauthflow.ProblemType},
		{"no content type of another profile", plain, "", ok, oauthflow.ProblemType},
		{"at the token path", nested, jsonType, `{"access_token":"no","data":{"user":` + ok + `}}`, ""},
		{"nothing at the token path", nested, jsonType, ok, oauthflow.ProblemNoToken},
		{"duplicate key", plain, jsonType, `{"access_token":"at","token_type":"bearer","access_token":"other"}`, oauthflow.ProblemMalformed},
		{"duplicate key by escape", plain, jsonType, `{"access_token":"at","token_type":"bearer","access\u005ftoken":"other"}`, oauthflow.ProblemMalformed},
		{"duplicate key inside", plain, jsonType, `{"access_token":"at","token_type":"bearer","x":{"y":1,"y":2}}`, oauthflow.ProblemMalformed},
		{"duplicate key in a form", text, "text/plain", "access_token=at&token_type=bearer&access_token=b", oauthflow.ProblemMalformed},
		{"another case is another key", plain, jsonType, `{"Access_Token":"at","token_type":"bearer"}`, oauthflow.ProblemNoToken},
		{"NUL in a value", plain, jsonType, `{"access_token":"at","token_type":"bearer","x":"\u0000"}`, oauthflow.ProblemMalformed},
		{"NUL in a key", plain, jsonType, `{"access_token":"at","token_type":"bearer","\u0000":1}`, oauthflow.ProblemMalformed},
		{"NUL byte", plain, jsonType, "{\"access_token\":\"at\",\"token_type\":\"bearer\"}\x00", oauthflow.ProblemMalformed},
		{"NUL in a form", text, "text/plain", "access_token=at&token_type=bearer&x=%00", oauthflow.ProblemMalformed},
		{"invalid UTF-8", plain, jsonType, "{\"access_token\":\"at\",\"token_type\":\"bearer\",\"x\":\"\xff\"}", oauthflow.ProblemMalformed},
		{"two documents", plain, jsonType, ok + ok, oauthflow.ProblemMalformed},
		{"a list", plain, jsonType, `[` + ok + `]`, oauthflow.ProblemMalformed},
		{"null", plain, jsonType, `null`, oauthflow.ProblemMalformed},
		{"empty", plain, jsonType, ``, oauthflow.ProblemMalformed},
		{"cut JSON", plain, jsonType, ok[:len(ok)-1], oauthflow.ProblemMalformed},
		{"nested deep", plain, jsonType, `{"x":` + strings.Repeat("[", 100000), oauthflow.ProblemMalformed},
		{"nested deep and whole", plain, jsonType, `{"access_token":"at","token_type":"bearer","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, oauthflow.ProblemMalformed},
		{"exactly 1 MiB", plain, jsonType, ok + strings.Repeat(" ", oauthflow.MaxAnswer-len(ok)), ""},
		{"1 MiB and a byte", plain, jsonType, ok + strings.Repeat(" ", oauthflow.MaxAnswer-len(ok)+1), oauthflow.ProblemTooLarge},
		{"no access token", plain, jsonType, `{"token_type":"bearer"}`, oauthflow.ProblemNoToken},
		{"empty access token", plain, jsonType, `{"access_token":"","token_type":"bearer"}`, oauthflow.ProblemNoToken},
		{"access token a number", plain, jsonType, `{"access_token":7,"token_type":"bearer"}`, oauthflow.ProblemNoToken},
		{"access token with a line end", plain, jsonType, `{"access_token":"at\r\nX: y","token_type":"bearer"}`, oauthflow.ProblemNoToken},
		{"access token beyond ASCII", plain, jsonType, `{"access_token":"ät","token_type":"bearer"}`, oauthflow.ProblemNoToken},
		{"refresh token a number", plain, jsonType, `{"access_token":"at","token_type":"bearer","refresh_token":7}`, oauthflow.ProblemNoToken},
		{"type in any case", plain, jsonType, `{"access_token":"at","token_type":"BeArEr"}`, ""},
		{"type DPoP", plain, jsonType, `{"access_token":"at","token_type":"DPoP"}`, ""},
		{"type mac", plain, jsonType, `{"access_token":"at","token_type":"mac"}`, oauthflow.ProblemTokenType},
		{"type a number", plain, jsonType, `{"access_token":"at","token_type":1}`, oauthflow.ProblemTokenType},
		{"type absent", plain, jsonType, `{"access_token":"at"}`, oauthflow.ProblemTokenType},
		{"type empty", plain, jsonType, `{"access_token":"at","token_type":""}`, oauthflow.ProblemTokenType},
		{"type absent where the profile allows", lax, jsonType, `{"access_token":"at"}`, ""},
		{"type that the profile lists", lax, jsonType, `{"access_token":"at","token_type":"Bot"}`, ""},
		{"type that the profile does not list", lax, jsonType, `{"access_token":"at","token_type":"app"}`, oauthflow.ProblemTokenType},
		{"error null is none", plain, jsonType, `{"access_token":"at","token_type":"bearer","error":null}`, ""},
		{"error empty is none", plain, jsonType, `{"access_token":"at","token_type":"bearer","error":""}`, ""},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			t.Parallel()
			got, err := answer(c.p, http.StatusOK, c.contentType, c.body)
			if c.problem == "" {
				if err != nil || got.Access.Reveal() != "at" {
					t.Fatalf("got %+v, %v", got, err)
				}
				return
			}
			if e := refusal(t, err); got != nil || e.Problem != c.problem || e.Definitive || e.Class != connectors.Unknown {
				t.Errorf("got %+v, want %q, not definitive", e, c.problem)
			}
		})
	}
	t.Run("cut off while reading", func(t *testing.T) {
		t.Parallel()
		_, err := oauthflow.ParseToken(plain, asked(), 200, http.Header{"Content-Type": {jsonType}}, io.MultiReader(strings.NewReader(ok), iotest.ErrReader(io.ErrUnexpectedEOF)))
		if e := refusal(t, err); e.Problem != oauthflow.ProblemCutOff || e.Definitive {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("an endless body is not read", func(t *testing.T) {
		t.Parallel()
		endless := &counter{}
		_, err := oauthflow.ParseToken(plain, asked(), 200, http.Header{"Content-Type": {jsonType}}, endless)
		if e := refusal(t, err); e.Problem != oauthflow.ProblemTooLarge || endless.n > oauthflow.MaxAnswer+1 {
			t.Errorf("read %d bytes, got %+v", endless.n, e)
		}
	})
}

// counter is an endless body of blanks.
type counter struct{ n int }

func (c *counter) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = ' '
	}
	c.n += len(b)
	return len(b), nil
}

func TestOA14Expiry(t *testing.T) {
	t.Parallel()
	p := custom(t, nil)
	for value, want := range map[string]time.Duration{
		`3600`: time.Hour, `"3600"`: time.Hour, `" 3600 "`: time.Hour, `3599.5`: 3599 * time.Second, `"3599.5"`: 3599 * time.Second, `3.6e3`: time.Hour,
		`null`: 0, `0`: 0, `-5`: 0, `"-5"`: 0, `-0.1`: 0, `""`: 0, `"soon"`: 0, `"NaN"`: 0, `"-Inf"`: 0, `true`: 0, `{}`: 0, `[]`: 0,
		`31536000`: oauthflow.MaxLife, `31536001`: oauthflow.MaxLife, `1e308`: oauthflow.MaxLife, `1e999`: oauthflow.MaxLife, `"Inf"`: oauthflow.MaxLife, `9223372036854775808`: oauthflow.MaxLife,
	} {
		got, err := answer(p, 200, jsonType, `{"access_token":"at","token_type":"bearer","expires_in":`+value+`}`)
		if err != nil || got.ExpiresIn != want {
			t.Errorf("expires_in %s: got %+v, %v, want %s", value, got, err, want)
		}
	}
	got, err := answer(p, 200, jsonType, `{"access_token":"at","token_type":"bearer"}`)
	if err != nil || got.ExpiresIn != 0 {
		t.Errorf("absent: got %+v, %v", got, err)
	}
}

func TestOA14Refresh(t *testing.T) {
	t.Parallel()
	p := custom(t, nil)
	for name, c := range map[string]struct {
		field, want string
		rotated     bool
	}{
		"absent keeps the old": {``, sentRefresh, false},
		"empty keeps the old":  {`,"refresh_token":""`, sentRefresh, false},
		"null keeps the old":   {`,"refresh_token":null`, sentRefresh, false},
		"the same is the old":  {`,"refresh_token":"` + sentRefresh + `"`, sentRefresh, false},
		"another is new":       {`,"refresh_token":"new-one"`, "new-one", true},
	} {
		got, err := answer(p, 200, jsonType, `{"access_token":"at","token_type":"bearer"`+c.field+`}`)
		if err != nil || got.Refresh.Reveal() != c.want || got.Rotated != c.rotated {
			t.Errorf("%s: got %q, rotated %t, %v", name, got.Refresh.Reveal(), got.Rotated, err)
		}
	}
}

func TestOA10Scopes(t *testing.T) {
	t.Parallel()
	p, comma := custom(t, nil), shipped(t, "github-oauth")
	for name, c := range map[string]struct {
		p      *oauthflow.Profile
		field  string
		want   []string
		stated bool
	}{
		"absent is as asked":          {p, ``, []string{"a", "b"}, false},
		"null is as asked":            {p, `,"scope":null`, []string{"a", "b"}, false},
		"empty is none":               {p, `,"scope":""`, nil, true},
		"blanks separate":             {p, `,"scope":"a  c a"`, []string{"a", "c"}, true},
		"commas separate at GitHub":   {comma, `,"scope":"repo,read:org"`, []string{"repo", "read:org"}, true},
		"what is no scope is dropped": {p, `,"scope":"a \u202eb c\u001b[31m"`, []string{"a"}, true},
	} {
		got, err := answer(c.p, 200, jsonType, `{"access_token":"at","token_type":"bearer"`+c.field+`}`)
		if err != nil || !slices.Equal(got.Scopes, c.want) || got.ScopesStated != c.stated {
			t.Errorf("%s: got %v, %v", name, got, err)
		}
	}
}

// TestOA30 lets a token answer name the hosts of the profile's patterns, and no other.
func TestOA30(t *testing.T) {
	t.Parallel()
	p := custom(t, func(m map[string]any) {
		m["answer"] = map[string]any{"hosts": map[string]any{"instance_url": []string{"*.api.example.org", "api.example.org"}}}
	})
	for value, want := range map[string]string{
		"https://eu1.api.example.org": "eu1.api.example.org", "https://api.example.org/": "api.example.org", "eu.api.example.org": "eu.api.example.org",
		"https://evil.example": "", "https://evilapi.example.org": "", "https://api.example.org.evil.example": "", "http://eu1.api.example.org": "",
		"https://u:p@eu1.api.example.org": "", "https://eu1.api.example.org:8443": "", "https://evil.example#.api.example.org": "", "//eu1.api.example.org": "",
		"https://evil.example/.api.example.org": "", "evil.example\\.api.example.org": "", "evil.example?.api.example.org": "", ".api.example.org": "", "": "",
	} {
		got, err := answer(p, 200, jsonType, fmt.Sprintf(`{"access_token":"at","token_type":"bearer","instance_url":%q}`, value))
		if want == "" {
			if e := refusal(t, err); e.Problem != oauthflow.ProblemHost {
				t.Errorf("%s: got %+v", value, e)
			}
			continue
		}
		if err != nil || got.Hosts["instance_url"] != want {
			t.Errorf("%s: got %+v, %v", value, got, err)
		}
	}
}

// TestRF9 gives every error of every shipped profile its class.
func TestRF9(t *testing.T) {
	t.Parallel()
	const oauthError = `{"error":"%s"}`
	cases := []struct {
		profile    string
		status     int
		code       string
		class      connectors.Class
		definitive bool
	}{
		{"custom", 400, "invalid_grant", connectors.GrantLost, true},
		{"custom", 401, "invalid_client", connectors.ClientRejected, true},
		{"custom", 400, "unauthorized_client", connectors.ClientRejected, true},
		{"custom", 400, "invalid_scope", connectors.ScopeDenied, true},
		{"custom", 400, "unsupported_grant_type", connectors.Invalid, true},
		{"custom", 400, "temporarily_unavailable", connectors.Transient, true},
		{"custom", 400, "slow_down", connectors.RateLimited, true},
		{"custom", 400, "invalid_request", connectors.Unknown, true},
		{"custom", 400, "never_heard_of", connectors.Unknown, true},
		{"custom", 200, "invalid_grant", connectors.GrantLost, true},
		{"custom", 200, "never_heard_of", connectors.Unknown, true},
		{"custom", 429, "invalid_grant", connectors.RateLimited, true},
		{"custom", 503, "invalid_grant", connectors.Transient, true},
		{"custom", 500, "invalid_grant", connectors.Transient, false},
		{"custom", 502, "", connectors.Transient, false},
		{"custom", 504, "", connectors.Transient, false},
		{"custom", 401, "", connectors.Unknown, false},
		{"custom", 307, "", connectors.Unknown, false},
		{"google", 400, "invalid_grant", connectors.GrantLost, true},
		{"google", 401, "deleted_client", connectors.ClientRejected, true},
		{"google", 401, "disabled_client", connectors.ClientRejected, true},
		{"google", 403, "org_internal", connectors.ClientRejected, true},
		{"google", 400, "admin_policy_enforced", connectors.ClientRejected, true},
		{"google", 400, "redirect_uri_mismatch", connectors.Invalid, true},
		{"google", 403, "rate_limit_exceeded", connectors.RateLimited, true},
		{"google", 400, "internal_failure", connectors.Transient, true},
		{"google", 500, "internal_failure", connectors.Transient, false},
		{"github-oauth", 200, "bad_verification_code", connectors.GrantLost, true},
		{"github-oauth", 200, "incorrect_client_credentials", connectors.ClientRejected, true},
		{"github-oauth", 200, "redirect_uri_mismatch", connectors.Invalid, true},
		{"github-oauth", 200, "application_suspended", connectors.ClientRejected, true},
		{"github-oauth", 200, "unverified_user_email", connectors.Invalid, true},
		{"github-app", 200, "bad_refresh_token", connectors.GrantLost, true},
		{"github-app", 502, "bad_refresh_token", connectors.Transient, false},
		{"gitea", 400, "unauthorized_client", connectors.GrantLost, true},
		{"gitea", 400, "invalid_client", connectors.ClientRejected, true},
		{"gitea", 503, "", connectors.Transient, true},
		{"sandbox", 400, "invalid_grant", connectors.GrantLost, true},
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%s %d %s", c.profile, c.status, c.code), func(t *testing.T) {
			t.Parallel()
			p := custom(t, nil)
			if c.profile != "custom" {
				p = shipped(t, c.profile)
			}
			body, contentType := fmt.Sprintf(oauthError, c.code), jsonType
			if c.code == "" {
				body, contentType = "<html>sorry</html>", "text/html"
			}
			_, err := answer(p, c.status, contentType, body)
			if e := refusal(t, err); e.Class != c.class || e.Definitive != c.definitive || e.Status != c.status || e.Code != c.code {
				t.Errorf("got %+v (class %s), want class %s, definitive %t", e, e.Class, c.class, c.definitive)
			}
		})
	}
	t.Run("an error that is an object", func(t *testing.T) {
		t.Parallel()
		_, err := answer(custom(t, nil), 200, jsonType, `{"access_token":"at","token_type":"bearer","error":{"code":401}}`)
		if e := refusal(t, err); e.Class != connectors.Unknown || e.Code != "" {
			t.Errorf("got %+v", e)
		}
	})
}

// TestOA15: whatever a server writes, no error shows what we sent or what looks like a token.
func TestOA15(t *testing.T) {
	t.Parallel()
	p := custom(t, nil)
	const fresh = "ya29A0ARrdaM8x7Zk3Qq9w0TnEw"
	for _, text := range []string{sentRefresh, "token " + sentRefresh + " is dead", "code=" + sentCode, "x=" + url.QueryEscape(sentCode), fresh, "your token is '" + fresh + "'"} {
		for _, body := range []string{
			fmt.Sprintf(`{"error":"invalid_grant","error_description":%q}`, text),
			fmt.Sprintf(`{"error":%q}`, text),
			fmt.Sprintf(`{"access_token":%q,"token_type":"mac","refresh_token":%q}`, fresh, sentRefresh),
			text,
		} {
			for _, status := range []int{200, 400, 500} {
				_, err := answer(p, status, jsonType, body)
				e := refusal(t, err)
				shown := fmt.Sprintf("%v %+v %#v", err, *e, *e)
				for _, secret := range []string{sentRefresh, sentCode, url.QueryEscape(sentCode), fresh} {
					if strings.Contains(shown, secret) {
						t.Errorf("HTTP %d %s: shown in %s", status, body, shown)
					}
				}
			}
		}
	}
	got, err := answer(p, 200, jsonType, `{"access_token":"`+fresh+`","token_type":"bearer","id_token":"`+fresh+`"}`)
	if shown := fmt.Sprintf("%v %+v %#v %v", got, *got, *got, err); strings.Contains(shown, fresh) || strings.Contains(shown, sentRefresh) {
		t.Errorf("a token shows itself: %s", shown)
	}
}

func TestOA33(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain text.":                             "plain text.",
		"two\r\nlines\tand more":                  "two lines and more",
		"\x1b[31mred\x1b[0m":                      "red",
		"\u009b1mbold":                            "bold",
		"\x1b]8;;https://evil.example\x1b\\click": "click",
		"\x1b":                              "",
		"\x1b[":                             "",
		"a\u202eb\u200bc\u2066d":            "abcd",
		`say "hi" \ there`:                  "say hi there",
		"nul\x00byte\x7f":                   "nulbyte",
		"<script>x</script>":                "<script>x</script>",
		strings.Repeat("ab ", 100):          strings.Repeat("ab ", 67)[:200],
		"AADSTS70008 expired, see the docs": "AADSTS70008 expired, see the docs",
	} {
		if got := oauthflow.CleanText(in); got != want {
			t.Errorf("CleanText(%q) = %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"José Núñez 株式会社":           "José Núñez 株式会社",
		"Ada\r\nlevel=error":        "Ada level=error",
		"Ada\u202egnp.exe":          "Adagnp.exe",
		"\x1b]0;title\x07Ada":       "Ada",
		"a\x00b\u200bc\ufeffd\xffe": "abcde",
		strings.Repeat("é", 300):    strings.Repeat("é", 200),
	} {
		if got := oauthflow.CleanName(in); got != want {
			t.Errorf("CleanName(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	all, err := oauthflow.Shipped()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(200, jsonType, `{"access_token":"at","token_type":"bearer","refresh_token":"","expires_in":"3599.5","scope":"a,b"}`)
	f.Add(200, "application/x-www-form-urlencoded", "access_token=at&token_type=bearer&expires_in=-1")
	f.Add(200, jsonType, `{"error":"bad_refresh_token","error_description":"`+sentRefresh+`"}`)
	f.Add(400, jsonType, `{"error":"invalid_grant"}`)
	f.Add(500, "text/html", "<html>")
	f.Fuzz(func(t *testing.T, status int, contentType, body string) {
		for name, p := range all {
			got, err := answer(p, status, contentType, body)
			if (got == nil) == (err == nil) {
				t.Fatalf("%s: token %v, error %v", name, got, err)
			}
			if err != nil {
				e, ok := errors.AsType[*oauthflow.TokenError](err)
				if !ok || len(e.Code) > 200 || len(e.Description) > 200 || strings.ContainsAny(e.Error()+e.Description, "\r\n\x1b\x00") || strings.Contains(fmt.Sprintf("%+v", *e), sentRefresh) {
					t.Fatalf("%s: %v", name, err)
				}
				if e.Class == connectors.GrantLost && status >= 500 {
					t.Fatalf("%s: HTTP %d means a lost grant", name, status)
				}
				continue
			}
			if !got.Refresh.IsSet() || !got.Access.IsSet() || got.ExpiresIn < 0 || got.ExpiresIn > oauthflow.MaxLife || status < 200 || status > 299 {
				t.Fatalf("%s: HTTP %d gave access %t, refresh %t, life %s", name, status, got.Access.IsSet(), got.Refresh.IsSet(), got.ExpiresIn)
			}
		}
	})
}
