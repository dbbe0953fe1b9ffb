package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"

	"tributary/internal/assertion"
	"tributary/store"
	"tributary/web"
)

// signing is a registered key pair of a program.
type signing struct {
	private *ecdsa.PrivateKey
	signer  assertion.Signer
	n       int
}

func newSigning(t *testing.T) *signing {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	s := &signing{private: private}
	if s.signer, err = assertion.NewSigner(string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), "", ""); err != nil {
		t.Fatal(err)
	}
	return s
}

// sign returns an assertion of its own, with what change changes.
func (s *signing) sign(t *testing.T, audience, subject string, change func(*jwt.Claims)) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: s.private}, (&jose.SignerOptions{}).WithHeader("kid", s.signer.KeyID))
	if err != nil {
		t.Fatal(err)
	}
	s.n++
	c := jwt.Claims{
		Subject: subject, Audience: jwt.Audience{audience}, ID: strings.Repeat("j", s.n),
		IssuedAt: jwt.NewNumericDate(time.Now()), Expiry: jwt.NewNumericDate(time.Now().Add(4 * time.Minute)),
	}
	if change != nil {
		change(&c)
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// asked is what the API answers to a search with headers.
type asked struct {
	status    int
	body      string
	challenge string
	retry     string
}

// ask searches as a program does, on a server of the rig.
func ask(t *testing.T, server, key string, readers ...string) asked {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server+"/v1/search", strings.NewReader(`{"query":"tides"}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	for _, r := range readers {
		req.Header.Add("Tributary-Reader", r)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := resp.Write(&b); err != nil {
		t.Fatal(err)
	}
	return asked{resp.StatusCode, b.String(), resp.Header.Get("WWW-Authenticate"), resp.Header.Get("Retry-After")}
}

// TestHowAReaderIsNamed holds each mode of key against each way to name a reader (PE-7, RFC 6750 §3.1).
func TestHowAReaderIsNamed(t *testing.T) {
	t.Parallel()
	p := newPushRig(t, nil)
	wiki := []uuid.UUID{p.conns["wiki"].ID}
	reader, err := p.store.CreateReader(t.Context(), "ada-reads", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := p.store.CreateReader(t.Context(), "gone", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.store.DisableReader(t.Context(), gone.ID); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(time.Hour)
	pair, stranger := newSigning(t), newSigning(t)
	search := []string{store.RightSearch}
	keys := map[store.KeyMode]string{
		store.KeyBound:     p.makeKey("bound", store.CreateKeyParams{Rights: search, Connections: wiki, ReaderID: &reader.ID}),
		store.KeyOwn:       p.makeKey("own", store.CreateKeyParams{Rights: search, Connections: wiki}),
		store.KeyAssertion: p.makeKey("signed", store.CreateKeyParams{Rights: search, Connections: wiki, Mode: store.KeyAssertion, Signers: []assertion.Signer{pair.signer}}),
		store.KeyTrusted:   p.makeKey("trusted", store.CreateKeyParams{Rights: search, Connections: wiki, Mode: store.KeyTrusted, ExpiresAt: &end}),
	}
	id, public := reader.ID.String(), p.server.URL
	used := pair.sign(t, public, id, nil)
	good := func() string { return pair.sign(t, public, id, nil) }
	changed := func(change func(*jwt.Claims)) string { return pair.sign(t, public, id, change) }
	const token, scope = `error="invalid_token"`, `error="insufficient_scope"`
	for _, tc := range []struct {
		what    string
		mode    store.KeyMode
		readers []string
		status  int
		code    string
		says    string
	}{
		{"bound, no header", store.KeyBound, nil, 200, "", ""},
		{"bound, its own reader", store.KeyBound, []string{id}, 403, "insufficient_scope", scope},
		{"bound, an assertion", store.KeyBound, []string{good()}, 403, "insufficient_scope", scope},
		{"own, no header", store.KeyOwn, nil, 200, "", ""},
		{"own, a reader", store.KeyOwn, []string{id}, 403, "insufficient_scope", scope},
		{"assertion", store.KeyAssertion, []string{used}, 200, "", ""},
		{"assertion, again", store.KeyAssertion, []string{used}, 401, "assertion_refused", token},
		{"assertion, no header", store.KeyAssertion, nil, 401, "assertion_refused", token},
		{"assertion, an empty header", store.KeyAssertion, []string{""}, 401, "assertion_refused", token},
		{"assertion, two headers", store.KeyAssertion, []string{good(), good()}, 401, "assertion_refused", token},
		{"assertion, a plain id", store.KeyAssertion, []string{id}, 403, "insufficient_scope", scope},
		{"assertion, of a stranger", store.KeyAssertion, []string{stranger.sign(t, public, id, nil)}, 401, "assertion_refused", token},
		{"assertion, alg none", store.KeyAssertion, []string{"eyJhbGciOiJub25lIn0." + strings.Split(good(), ".")[1] + "."}, 401, "assertion_refused", token},
		{"assertion, for elsewhere", store.KeyAssertion, []string{pair.sign(t, "https://elsewhere.example.org", id, nil)}, 401, "assertion_refused", token},
		{"assertion, expired", store.KeyAssertion, []string{changed(func(c *jwt.Claims) {
			c.IssuedAt, c.Expiry = jwt.NewNumericDate(time.Now().Add(-5*time.Minute)), jwt.NewNumericDate(time.Now().Add(-time.Minute))
		})}, 401, "assertion_refused", token},
		{"assertion, for an hour", store.KeyAssertion, []string{changed(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(time.Now().Add(time.Hour)) })}, 401, "assertion_refused", token},
		{"assertion, nobody", store.KeyAssertion, []string{pair.sign(t, public, uuid.NewString(), nil)}, 403, "reader_unknown", ""},
		{"assertion, a disabled reader", store.KeyAssertion, []string{pair.sign(t, public, gone.ID.String(), nil)}, 403, "reader_unknown", ""},
		{"trusted", store.KeyTrusted, []string{id}, 200, "", ""},
		{"trusted, no header", store.KeyTrusted, nil, 401, "assertion_refused", token},
		{"trusted, an assertion", store.KeyTrusted, []string{good()}, 403, "insufficient_scope", scope},
		{"trusted, two readers", store.KeyTrusted, []string{id, gone.ID.String()}, 401, "assertion_refused", token},
		{"trusted, by name", store.KeyTrusted, []string{"ada-reads"}, 403, "reader_unknown", ""},
		{"trusted, nobody", store.KeyTrusted, []string{uuid.NewString()}, 403, "reader_unknown", ""},
		{"trusted, a disabled reader", store.KeyTrusted, []string{gone.ID.String()}, 403, "reader_unknown", ""},
	} {
		a := ask(t, public, keys[tc.mode], tc.readers...)
		if a.status != tc.status || !strings.Contains(a.body, tc.code) || !strings.Contains(a.challenge, tc.says) || a.status == 200 && a.challenge != "" {
			t.Errorf("%s: %d with challenge %q\n%s", tc.what, a.status, a.challenge, a.body)
		}
		for _, secret := range []string{keys[tc.mode], used} {
			if strings.Contains(a.body, secret) {
				t.Errorf("%s: the answer repeats a credential", tc.what)
			}
		}
	}
	if a := ask(t, public, "trib_"+strings.Repeat("x", 43)); a.status != 401 || !strings.Contains(a.challenge, token) {
		t.Errorf("an unknown key: %d %q", a.status, a.challenge)
	}
}

// TestWhatEndsEndsWithTheNextRequest on every process (WB-6).
func TestWhatEndsEndsWithTheNextRequest(t *testing.T) {
	t.Parallel()
	p := newPushRig(t, nil)
	other, err := store.Open(t.Context(), store.Config{URL: p.db.URL, Purpose: store.Web})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	second := httptest.NewUnstartedServer(nil)
	second.Config.Handler = judging(t, web.New(web.Config{PublicURL: &url.URL{Scheme: "http", Host: second.Listener.Addr().String()}, Store: other, Accounts: other}).Handler())
	second.Start()
	t.Cleanup(second.Close)
	servers := []string{p.server.URL, second.URL}
	reader, err := p.store.CreateReader(t.Context(), "ada-reads", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	end, id := time.Now().Add(time.Hour), reader.ID.String()
	for what, tc := range map[string]struct {
		mode   store.KeyMode
		change func(name string) error
		status int
	}{
		"a revoked key": {store.KeyBound, func(name string) error { return p.store.RevokeKey(t.Context(), name) }, 401},
		"a rotated key": {store.KeyBound, func(name string) error { _, _, err := p.store.RotateKey(t.Context(), name, 0); return err }, 401},
		"an expired key": {store.KeyTrusted, func(name string) error {
			p.db.MustExec(t, `UPDATE api_key SET expires_at = clock() WHERE name = $1`, name)
			return nil
		}, 401},
		"a revoked trusted key":   {store.KeyTrusted, func(name string) error { return p.store.RevokeKey(t.Context(), name) }, 401},
		"a disabled bound reader": {store.KeyBound, func(string) error { return p.store.DisableReader(t.Context(), reader.ID) }, 401},
		"a disabled named reader": {store.KeyTrusted, func(string) error { return p.store.DisableReader(t.Context(), reader.ID) }, 403},
	} {
		k := store.CreateKeyParams{Rights: []string{store.RightSearch}, Connections: []uuid.UUID{p.conns["wiki"].ID}, Mode: tc.mode, ExpiresAt: &end}
		var named []string
		if tc.mode == store.KeyBound {
			k.ReaderID = &reader.ID
		} else {
			named = []string{id}
		}
		name := strings.ReplaceAll(what, " ", "-")
		key := p.makeKey(name, k)
		for _, server := range servers {
			if a := ask(t, server, key, named...); a.status != 200 {
				t.Errorf("%s, before: %d\n%s", what, a.status, a.body)
			}
		}
		if err := tc.change(name); err != nil {
			t.Fatal(err)
		}
		for i, server := range servers {
			if a := ask(t, server, key, named...); a.status != tc.status {
				t.Errorf("%s, server %d: %d, want %d\n%s", what, i+1, a.status, tc.status, a.body)
			}
		}
		if err := p.store.EnableReader(t.Context(), reader.ID); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAKeyIsBounded: a key that asks more often than it may waits, and no other key does.
func TestAKeyIsBounded(t *testing.T) {
	t.Parallel()
	p := newPushRig(t, func(c *web.Config) { c.KeyPerMinute = 60 })
	six := 6
	few := p.makeKey("few", store.CreateKeyParams{Rights: []string{store.RightSearch}, AllConnections: true, PerMinute: &six})
	usual := p.makeKey("usual", store.CreateKeyParams{Rights: []string{store.RightSearch}, AllConnections: true})
	if a := ask(t, p.server.URL, few); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	a := ask(t, p.server.URL, few)
	if a.status != 429 || !strings.Contains(a.body, "rate_limited") || (a.retry != "10" && a.retry != "9") {
		t.Errorf("the second request within ten seconds: %d, Retry-After %q\n%s", a.status, a.retry, a.body)
	}
	statuses := map[int]int{}
	for range 20 {
		statuses[ask(t, p.server.URL, usual).status]++
	}
	if statuses[200] < 10 || statuses[429] < 1 {
		t.Errorf("a key with the usual limit of ten at once: %v", statuses)
	}
}

// TestATrustedKeyThatNamesManyRaisesANotice, once, and goes on.
func TestATrustedKeyThatNamesManyRaisesANotice(t *testing.T) {
	t.Parallel()
	p := newPushRig(t, func(c *web.Config) { c.ReadersPerMinute = 3 })
	end := time.Now().Add(time.Hour)
	key := p.makeKey("backend", store.CreateKeyParams{Rights: []string{store.RightSearch}, Connections: []uuid.UUID{p.conns["wiki"].ID}, Mode: store.KeyTrusted, ExpiresAt: &end})
	for i := range 6 {
		r, err := p.store.CreateReader(t.Context(), "reader-"+strings.Repeat("x", i), store.Person)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if a := ask(t, p.server.URL, key, r.ID.String()); a.status != 200 {
				t.Fatalf("%d %s", a.status, a.body)
			}
		}
		list, err := p.store.Notices(t.Context(), store.NoticeFilter{Code: store.NoticeKeyNamesMany})
		if err != nil || (len(list) == 1) != (i >= 3) || i >= 3 && (list[0].Subject != "backend" || !strings.Contains(list[0].Detail, "4 readers")) {
			t.Errorf("after %d readers: %+v %v", i+1, list, err)
		}
	}
}
