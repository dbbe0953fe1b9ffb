package oauthflow_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

func rsaKey(t *testing.T) (*rsa.PrivateKey, secret.Text) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key, secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
}

func ecKey(t *testing.T) (*ecdsa.PrivateKey, secret.Text) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, secret.New(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// fieldRefused wants a *RefusedError of the field.
func fieldRefused(t *testing.T, err error, field string) *oauthflow.RefusedError {
	t.Helper()
	e, ok := errors.AsType[*oauthflow.RefusedError](err)
	if !ok || e.Field != field {
		t.Fatalf("got %v, want a refusal of %s", err, field)
	}
	return e
}

func TestOARegistrations(t *testing.T) {
	t.Parallel()
	t.Run("OA-1 redirect URI", testRedirectURI)
	t.Run("OA-3 a client of another provider", testForeignClient)
	t.Run("OA-17 discovery", testDiscovery)
	t.Run("OA-18 assertions", testAssertions)
	t.Run("OA-30 another server", testAnotherServer)
	t.Run("OA-30 another client", testAnotherClient)
	t.Run("OA-31 no port scan", testNoPortScan)
}

func testRedirectURI(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	a, err := r.regs.Draft(t.Context(), r.by, oauthflow.Draft{Name: "google", Provider: "google"})
	if err != nil || a.RedirectURI != publicURL+"/oauth/callback/"+a.ID.String() || a.State != oauthflow.RegistrationDraft {
		t.Fatalf("got %+v, %v", a, err)
	}
	if _, err := r.flows.Start(t.Context(), oauthflow.StartParams{Registration: a.ID, By: r.by}); err == nil {
		t.Error("a draft starts a consent")
	}
	if u := r.reg.RedirectURI; u == a.RedirectURI || uuid.MustParse(u[len(publicURL+"/oauth/callback/"):]) != r.reg.ID {
		t.Errorf("redirect URI %s", u)
	}
}

func testForeignClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	save := oauthflow.SaveParams{ID: r.reg.ID, Digest: r.reg.Digest, ClientID: "1-abc.apps.googleusercontent.com", Credentials: oauthflow.Credentials{Secret: secret.New("x")}, Force: true}
	_, _, err := r.regs.Save(t.Context(), r.by, save)
	if e := fieldRefused(t, err, "client_id"); !strings.Contains(e.Problem, "Google") {
		t.Errorf("got %v", e)
	}
	before := r.server.Count("token")
	gitea, err := r.regs.Draft(t.Context(), r.by, oauthflow.Draft{Name: "github", Provider: "github-oauth"})
	if err != nil {
		t.Fatal(err)
	}
	r.db.MustExec(t, `UPDATE client_registration SET client_id = 'Ov23liShared' WHERE id = $1`, gitea.ID)
	save.ClientID = "Ov23liShared"
	_, _, err = r.regs.Save(t.Context(), r.by, save)
	fieldRefused(t, err, "client_id")
	if r.server.Count("token") != before {
		t.Error("a secret was sent for a client that is not this server's")
	}
}

func testDiscovery(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	draft := oauthflow.Draft{Name: "found", Issuer: r.server.URL, AllowHosts: []string{r.server.Host()}}
	admin := r.by
	admin.Owner = false
	if _, err := r.regs.Draft(t.Context(), admin, draft); !errors.Is(err, oauthflow.ErrOwner) {
		t.Errorf("an admin adds a server: %v", err)
	}
	found, err := r.regs.Draft(t.Context(), r.by, draft)
	if err != nil {
		t.Fatal(err)
	}
	if p := found.Profile; p.Endpoints.Token != r.server.URL+"/token" || !p.RequireIss || !slices.Equal(p.Hosts(), []string{r.server.Host()}) {
		t.Errorf("got %+v", p)
	}
	save := oauthflow.SaveParams{ID: found.ID, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New(r.server.ClientSecret)}}
	_, _, err = r.regs.Save(t.Context(), r.by, save)
	fieldRefused(t, err, "hosts")
	save.Digest = found.Digest
	if _, _, err = r.regs.Save(t.Context(), r.by, save); err != nil {
		t.Errorf("confirmed: %v", err)
	}
	for name, m := range map[string]map[string]any{
		"other issuer":   {"issuer": "https://other.example"},
		"slash":          {"issuer": r.server.URL + "/"},
		"plain endpoint": {"token_endpoint": "http://id.example.com/token"},
		"metadata host":  {"token_endpoint": "https://169.254.169.254/token"},
		"no PKCE":        {"code_challenge_methods_supported": []string{"plain"}},
	} {
		r.server.Set(func(b *oauthtest.Behaviour) { b.Metadata = m })
		draft.Name = "refused"
		if _, err := r.regs.Draft(t.Context(), r.by, draft); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func testAssertions(t *testing.T) {
	t.Parallel()
	rsaPrivate, rsaText := rsaKey(t)
	ecPrivate, ecText := ecKey(t)
	for alg, k := range map[string]struct {
		public any
		text   secret.Text
	}{"RS256": {&rsaPrivate.PublicKey, rsaText}, "PS256": {&rsaPrivate.PublicKey, rsaText}, "ES256": {&ecPrivate.PublicKey, ecText}} {
		t.Run(alg, func(t *testing.T) {
			t.Parallel()
			b := oauthtest.Generic()
			b.Auth, b.Key = "private_key_jwt", k.public
			s := oauthtest.New(t, b)
			doc := s.Profile(t, "", func(m map[string]any) {
				m["client_auth"], m["jwt"] = "private_key_jwt", map[string]any{"alg": alg, "life": "1h"}
			})
			p, err := oauthflow.ParseProfile(doc, oauthflow.Rules{LoopbackHTTP: true, PrivateAddresses: true})
			if err != nil {
				t.Fatal(err)
			}
			client := oauthflow.Client{
				Registration: &oauthflow.Registration{Profile: p, ClientID: s.ClientID, AllowHosts: []string{s.Host()}},
				Credentials:  oauthflow.Credentials{PrivateKey: k.text, KeyID: "key-1"},
			}
			c := oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true})
			for range 2 {
				if _, err := c.ClientCredentials(t.Context(), client, nil, oauthflow.GrantParams{}, nil); err != nil {
					t.Fatal(err)
				}
			}
			log := s.Log("token")
			first, second := log[0].Claims, log[1].Claims
			if first["jti"] == second["jti"] || first["aud"] != s.URL || first["kid"] != "key-1" || first["alg"] != alg {
				t.Errorf("claims %v, then %v", first, second)
			}
			if life := first["exp"].(float64) - first["iat"].(float64); life > (5 * time.Minute).Seconds() {
				t.Errorf("life of %v s", life)
			}
		})
	}
	t.Run("a metadata document that names another server's endpoint", func(t *testing.T) {
		t.Parallel()
		b := oauthtest.Generic()
		b.Auth, b.Key = "private_key_jwt", &rsaPrivate.PublicKey
		evil, honest := oauthtest.New(t, b), oauthtest.New(t, b)
		evil.Set(func(b *oauthtest.Behaviour) { b.Metadata = map[string]any{"token_endpoint": honest.URL + "/token"} })
		r := newRig(t, oauthtest.Generic(), "", nil)
		reg, err := r.regs.Draft(t.Context(), r.by, oauthflow.Draft{
			Name: "evil", Issuer: evil.URL, ClientAuth: oauthflow.AuthPrivateKey, AllowHosts: []string{evil.Host(), honest.Host()},
		})
		if err != nil {
			t.Fatal(err)
		}
		client := oauthflow.Client{Registration: reg, Credentials: oauthflow.Credentials{PrivateKey: rsaText}}
		client.Registration.ClientID = honest.ClientID
		_, _ = r.client.ClientCredentials(t.Context(), client, nil, oauthflow.GrantParams{}, nil)
		if log := honest.Log("token"); len(log) != 1 || log[0].Claims["aud"] != evil.URL {
			t.Errorf("requests %+v", log)
		}
	})
	t.Run("service account", testServiceAccount)
}

func testServiceAccount(t *testing.T) {
	t.Parallel()
	key, text := rsaKey(t)
	b := oauthtest.Google()
	b.Key = &key.PublicKey
	r := newRig(t, b, "google", func(m map[string]any) { m["jwt"].(map[string]any)["audience"] = "https://oauth2.googleapis.com/token" })
	elsewhere := oauthtest.New(t, b)
	good := map[string]any{
		"type": "service_account", "client_email": "sync@project.iam.gserviceaccount.com", "client_id": "1157", "private_key_id": "kid-7", "private_key": text.Reveal(),
		"token_uri": elsewhere.URL + "/token",
	}
	file := func(edit map[string]any) secret.Text {
		m := map[string]any{}
		maps.Copy(m, good)
		maps.Copy(m, edit)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return secret.New(string(raw))
	}
	save := func(f secret.Text) error {
		_, _, err := r.regs.Save(t.Context(), r.by, oauthflow.SaveParams{ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{ServiceAccount: f}})
		return err
	}
	for name, f := range map[string]secret.Text{
		"another type": file(map[string]any{"type": "authorized_user"}), "no key": file(map[string]any{"private_key": ""}), "no id": file(map[string]any{"private_key_id": nil}),
		"a broken key": file(map[string]any{"private_key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"}), "no JSON": secret.New("{"), "no address": file(map[string]any{"client_email": "x"}),
	} {
		if e := fieldRefused(t, save(f), "service_account"); strings.Contains(e.Error(), "BEGIN") {
			t.Errorf("%s: %v", name, e)
		}
	}
	if err := save(file(nil)); err != nil {
		t.Fatal(err)
	}
	res, err := r.flows.CreateServerGrant(t.Context(), oauthflow.ServerGrantParams{
		Registration: r.reg.ID, By: r.by, Kind: oauthflow.GrantJWTBearer, Scopes: []string{"https://www.googleapis.com/auth/drive.readonly"},
		Params: oauthflow.GrantParams{ActFor: "ada@example.com"}, Plan: plan("sa"),
	})
	if err != nil || !strings.Contains(res.Account, "ada@example.com") {
		t.Fatalf("got %+v, %v", res, err)
	}
	log := r.server.Log("token")
	claims := log[len(log)-1].Claims
	if claims["sub"] != "ada@example.com" || claims["iss"] != "sync@project.iam.gserviceaccount.com" || claims["kid"] != "kid-7" || claims["aud"] != "https://oauth2.googleapis.com/token" {
		t.Errorf("claims %v", claims)
	}
	if elsewhere.Count("token") != 0 {
		t.Error("the file's token_uri was used")
	}
}

// testAnotherServer: nothing that was made for one server goes to another.
func testAnotherServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	res := r.connect(t, plan("a"))
	evil := oauthtest.New(t, oauthtest.Generic())
	draft := r.draft(evil, "reg", evil.Profile(t, "", nil))
	admin := r.by
	admin.Owner = false
	if _, err := r.regs.Change(t.Context(), admin, r.reg.ID, draft); !errors.Is(err, oauthflow.ErrOwner) {
		t.Fatalf("an admin points a registration elsewhere: %v", err)
	}
	pending := r.start(t, plan("b"))
	changed, err := r.regs.Change(t.Context(), r.by, r.reg.ID, draft)
	if err != nil || changed.State != oauthflow.RegistrationDraft || changed.ClientID != "" || len(changed.CredentialKinds) != 0 {
		t.Fatalf("got %+v, %v", changed, err)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM credential WHERE secret_ct IS NOT NULL`) + pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM client_registration WHERE credential_ct IS NOT NULL`); n != 0 {
		t.Errorf("%d secrets are still stored", n)
	}
	if r.state(t, "a") != "needs_reauth" {
		t.Errorf("connection is %s", r.state(t, "a"))
	}
	_, err = r.back(t, pending)
	flowRefused(t, err, oauthflow.FlowUnknownState)
	if _, err := r.regs.Check(t.Context(), r.reg.ID); err != nil {
		t.Error(err)
	}
	if evil.Count("token")+evil.Count("revoke")+evil.Count("userinfo") != 0 {
		t.Errorf("requests at the other server: %+v", evil.Log("token"))
	}
	// Renewing starts anew: the other server's ids of accounts mean others.
	if g, err := r.store.GrantByID(t.Context(), res.Grant); err != nil || g.ClosedAt == nil {
		t.Errorf("got %+v, %v", g, err)
	}
}

func testAnotherClient(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.connect(t, plan("a"))
	save := oauthflow.SaveParams{ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New(r.server.ClientSecret)}}
	if _, checks, err := r.regs.Save(t.Context(), r.by, save); err != nil || r.state(t, "a") != "active" || !checks[0].OK {
		t.Fatalf("the same client again: %v, %+v, connection %s", err, checks, r.state(t, "a"))
	}
	wrong := save
	wrong.Credentials.Secret = secret.New("wrong")
	_, checks, err := r.regs.Save(t.Context(), r.by, wrong)
	fieldRefused(t, err, "client credentials")
	if len(checks) == 0 || checks[0].OK || checks[0].Unclear || checks[0].Remedy == "" || !strings.Contains(checks[0].Came, "invalid_client") {
		t.Errorf("checks %+v", checks)
	}
	r.connect(t, plan("b")) // the stored secret is still the right one
	r.server.ClientID = "client-other"
	save.ClientID = "client-other"
	if _, _, err := r.regs.Save(t.Context(), r.by, save); err != nil || r.state(t, "a") != "needs_reauth" {
		t.Errorf("another client: %v, connection %s", err, r.state(t, "a"))
	}
}

// testNoPortScan: an address inside the network is refused in the same words whether or not something answers there.
func testNoPortScan(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	silent := "http://127.0.0.1:1"
	words := func(issuer string, allow ...string) string {
		_, err := r.regs.Draft(t.Context(), r.by, oauthflow.Draft{Name: "x", Issuer: issuer, AllowHosts: allow})
		if err == nil {
			t.Fatalf("%s was accepted", issuer)
		}
		return strings.ReplaceAll(err.Error(), strings.TrimPrefix(issuer, "http://"), "HOST")
	}
	r.server.Set(func(b *oauthtest.Behaviour) { b.Metadata = map[string]any{"issuer": 1} })
	if answers, none := words(r.server.URL, "10.0.0.1:1"), words(silent, "10.0.0.1:1"); answers != none {
		t.Errorf("told apart:\n%s\n%s", answers, none)
	}
	if r.server.Count("metadata") != 0 {
		t.Error("an address that nobody opened was called")
	}
	if answers, none := words(r.server.URL), words(silent); answers != none {
		t.Errorf("told apart:\n%s\n%s", answers, none)
	}
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(_ string, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
	})
	if answers, none := words(r.server.URL, r.server.Host()), words(silent, "127.0.0.1:1"); answers != none {
		t.Errorf("told apart where it may be called:\n%s\n%s", answers, none)
	}
	words("https://169.254.169.254", "169.254.0.0/16")
}

// TestWarnings: credentials that end soon are told 30 days ahead.
func TestWarnings(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	for text, at := range map[string]*time.Time{
		"": new(time.Now().Add(31 * 24 * time.Hour)), "expire on": new(time.Now().Add(29 * 24 * time.Hour)), "expired on": new(time.Now().Add(-time.Hour)),
	} {
		save := oauthflow.SaveParams{ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, ExpiresAt: at}
		if _, _, err := r.regs.Save(t.Context(), r.by, save); err != nil {
			t.Fatal(err)
		}
		list, err := r.regs.Warnings(t.Context())
		if err != nil || (len(list) > 0) != (text != "") || len(list) > 0 && !strings.Contains(list[0].Text, text) {
			t.Errorf("%q: %+v, %v", text, list, err)
		}
	}
}
