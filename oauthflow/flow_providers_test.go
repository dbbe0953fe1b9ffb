package oauthflow_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/oauthflow/refresh"
)

func TestPQConsent(t *testing.T) {
	t.Parallel()
	t.Run("PQ-1 Google", testGoogle)
	t.Run("PQ-1 Google, one grant for an account", testGoogleAccount)
	t.Run("PQ-1 Google, a second consent with fewer scopes", testGoogleFewer)
	t.Run("PQ-1 Google, seven days of an app in Testing", testGoogleTesting)
	t.Run("PQ-1 Google, the grant after the hundredth", testGoogleHundred)
	t.Run("PQ-4 GitHub OAuth app, a second consent with fewer scopes", testGitHubFewer)
	t.Run("PQ-4 GitHub OAuth app", testGitHubOAuth)
	t.Run("PQ-5 GitHub App", testGitHubApp)
	t.Run("PQ-15 Gitea", testGitea)
}

// refresh presents the refresh token of a grant, as the engine does.
func (r *rig) refresh(t *testing.T, p oauthflow.Pair) (*oauthflow.Token, error) {
	t.Helper()
	return r.client.Refresh(t.Context(), r.oauthClient(), p.Refresh, nil, oauthflow.GrantParams{}, nil)
}

func (r *rig) oauthClient() oauthflow.Client {
	return oauthflow.Client{Registration: r.reg, Credentials: oauthflow.Credentials{Secret: secret.New(r.server.ClientSecret)}}
}

// lost wants a definitive error of class GrantLost.
func lost(t *testing.T, err error, code string) {
	t.Helper()
	te, ok := errors.AsType[*oauthflow.TokenError](err)
	if !ok || te.Class != connectors.GrantLost || te.Code != code || !te.Definitive {
		t.Errorf("got %+v, want a lost grant with %s", err, code)
	}
}

func testGoogle(t *testing.T) {
	t.Parallel()
	const drive = "https://www.googleapis.com/auth/drive.readonly"
	r := newRig(t, oauthtest.Google(), "google", nil)
	res := r.connect(t, plan("a", drive))
	if q := r.server.Log("authorize")[0].Form; q["access_type"] != "offline" || q["prompt"] != "consent" || q["scope"] != "openid email "+drive {
		t.Errorf("authorization request %v", q)
	}
	if len(res.Missing)+len(res.Broader) != 0 || res.Account != "ada@example.com" {
		t.Errorf("got %+v", res)
	}
	first := r.pair(t, res.Grant)
	token, err := r.refresh(t, first)
	if err != nil || token.Rotated || !token.Refresh.Equal(first.Refresh) {
		t.Errorf("a refresh without a new token keeps the old: %+v, %v", token, err)
	}
	again, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: res.Grant}))
	if err != nil || !r.pair(t, again.Grant).Refresh.IsSet() {
		t.Errorf("the second consent gave no refresh token: %v", err)
	}
	if r.server.Count("revoke") != 0 {
		t.Error("a renewal revoked the account's grant")
	}
	r.server.Set(func(b *oauthtest.Behaviour) { b.Unticked = []string{drive} })
	if again, err = r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: res.Grant})); err != nil || again.Degraded["a"] == nil || r.state(t, "a") != "degraded" {
		t.Errorf("an unticked scope: %+v, %v", again, err)
	}
	_, err = r.refresh(t, oauthflow.Pair{Refresh: secret.New("one that died after seven days, or was pushed out by the hundredth")})
	lost(t, err, "invalid_grant")
}

// testGoogleAccount: what one account granted is one grant, which ends once nobody uses it.
func testGoogleAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Google(), "google", nil)
	a, b := r.connect(t, plan("a")), r.connect(t, plan("b"))
	if a.Grant != b.Grant || b.Epoch != 2 {
		t.Fatalf("two grants for one account: %+v, %+v", a, b)
	}
	out, err := r.grants.Disconnect(t.Context(), r.by, a.Connection)
	if err != nil || !out.Detached || !slices.Equal(out.Others, []string{"b"}) || r.server.Count("revoke") != 0 {
		t.Errorf("the first leaves: %+v, %v, %d revocations", out, err, r.server.Count("revoke"))
	}
	if err := r.grants.Tend(t.Context()); err != nil || r.server.Count("revoke") != 0 {
		t.Errorf("afterwards: %v, %d revocations", err, r.server.Count("revoke"))
	}
	if g, err := r.store.GrantByID(t.Context(), b.Grant); err != nil || g.Health.State != oauthflow.GrantActive {
		t.Errorf("the grant that lives on: %+v, %v", g, err)
	}
	if !r.server.Alive(r.pair(t, b.Grant).Access.Reveal()) || r.state(t, "b") != "active" || r.state(t, "a") != "closing" {
		t.Error("the other connection was harmed")
	}
	refresh := r.pair(t, b.Grant).Refresh.Reveal()
	out, err = r.grants.Disconnect(t.Context(), r.by, b.Connection)
	if err != nil || out.Detached || !out.Revoked || !out.Done || r.server.Alive(refresh) {
		t.Errorf("the last leaves: %+v, %v", out, err)
	}
	for _, q := range r.server.Log("revoke") {
		if len(q.Form) != 0 {
			t.Errorf("revocation with %v", q.Form)
		}
	}
}

func testGitHubOAuth(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.GitHubOAuth(), "github-oauth", nil)
	res := r.connect(t, plan("a", "repo", "read:org"))
	g, err := r.store.GrantByID(t.Context(), res.Grant)
	if err != nil || g.Health.AccessExpires != nil || g.Health.Refreshable || g.Health.IdleExpires != nil {
		t.Errorf("a token without end: %+v, %v", g, err)
	}
	if !slices.Equal(res.Granted, []string{"read:user", "repo", "read:org"}) || len(res.Missing) != 0 {
		t.Errorf("scopes with commas: %v", res.Granted)
	}
	// Expiry is optional for these apps: what the answer says counts.
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.NoExpiry, b.NoRefresh, b.Life, b.Rotation = false, false, 8*time.Hour, "S"
	})
	if res = r.connect(t, plan("b")); res.Epoch != 2 {
		t.Errorf("got %+v", res)
	}
	if g, err = r.store.GrantByID(t.Context(), res.Grant); err != nil || g.Health.AccessExpires == nil || !g.Health.Refreshable {
		t.Errorf("a token with an end: %+v, %v", g, err)
	}
	to := r.start(t, plan("c"))
	q := to.Query()
	q.Set("code", "made-up")
	to.RawQuery = q.Encode()
	_, err = r.back(t, to)
	if e := flowRefused(t, err, oauthflow.FlowCodeRefused); !strings.Contains(e.Came, "bad_verification_code") || !strings.Contains(e.Came, "HTTP 200") {
		t.Errorf("an error with status 200: %+v", e)
	}
	secret := r.server.ClientSecret
	r.server.ClientSecret = "rotated"
	_, err = r.back(t, r.start(t, plan("c")))
	flowRefused(t, err, oauthflow.FlowClientRefused)
	r.server.ClientSecret = secret
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.After = func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Type", "application/x-www-form-urlencoded")
			_, _ = io.WriteString(w, "error=redirect_uri_mismatch&error_description=no")
			return true
		}
	})
	_, err = r.back(t, r.start(t, plan("c")))
	flowRefused(t, err, oauthflow.FlowRedirectURI)
}

func testGitHubApp(t *testing.T) {
	t.Parallel()
	key, pem := rsaKey(t)
	b := oauthtest.GitHubApp()
	b.Key = &key.PublicKey
	r := newRig(t, b, "github-app", nil)
	res := r.connect(t, plan("a"))
	first := r.pair(t, res.Grant)
	g, err := r.store.GrantByID(t.Context(), res.Grant)
	if err != nil || g.Health.IdleExpires == nil || time.Until(*g.Health.IdleExpires) < 4000*time.Hour {
		t.Errorf("the life of the refresh token is not kept: %+v, %v", g, err)
	}
	token, err := r.refresh(t, first)
	if err != nil || !token.Rotated || token.ExpiresIn != 8*time.Hour || r.server.Alive(first.Access.Reveal()) {
		t.Errorf("got %+v, %v", token, err)
	}
	_, err = r.refresh(t, first)
	lost(t, err, "bad_refresh_token")
	if _, _, err := r.regs.Save(t.Context(), r.by, oauthflow.SaveParams{
		ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, Subject: "12345", Credentials: oauthflow.Credentials{PrivateKey: pem},
	}); err != nil {
		t.Fatal(err)
	}
	server := oauthflow.ServerGrantParams{Registration: r.reg.ID, By: r.by, Kind: oauthflow.GrantInstallation, Params: oauthflow.GrantParams{InstallationID: "1"}, Plan: plan("b")}
	res, err = r.flows.CreateServerGrant(t.Context(), server)
	if err != nil || !slices.Equal(res.Granted, []string{"contents:read", "issues:read"}) {
		t.Fatalf("installation: %+v, %v", res, err)
	}
	if g, err = r.store.GrantByID(t.Context(), res.Grant); err != nil || !g.Health.Refreshable || g.Health.AccessExpires == nil || time.Until(*g.Health.AccessExpires) < 50*time.Minute {
		t.Errorf("got %+v, %v", g, err)
	}
	claims := r.server.Log("installation")
	if last := claims[len(claims)-1].Claims; last["iss"] != "12345" || last["aud"] != nil || last["sub"] != nil || last["alg"] != "RS256" {
		t.Errorf("claims %v", last)
	}
	server.Plan, server.Params.InstallationID = plan("c"), "2"
	_, err = r.flows.CreateServerGrant(t.Context(), server)
	flowRefused(t, err, oauthflow.FlowCodeRefused)
	server.Params.InstallationID = "1/../../x"
	if _, err = r.flows.CreateServerGrant(t.Context(), server); err == nil {
		t.Error("an installation that is no number")
	}
}

func testGitea(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Gitea(), "gitea", nil)
	checks, err := r.regs.Check(t.Context(), r.reg.ID)
	if err != nil || len(checks) != 1 || checks[0].OK || !checks[0].Unclear || !strings.Contains(checks[0].Came, "answers alike") || checks[0].Remedy == "" {
		t.Errorf("a check that cannot tell says so: %+v, %v", checks, err)
	}
	right := r.server.ClientSecret
	r.server.ClientSecret = "another"
	_, err = r.back(t, r.start(t, plan("a")))
	if e := flowRefused(t, err, oauthflow.FlowCodeRefused); !strings.Contains(e.Remedy, "the client secret is wrong") {
		t.Errorf("a wrong secret: %+v", e)
	}
	r.server.ClientSecret = right
	res := r.connect(t, plan("a", "read:repository"))
	first := r.pair(t, res.Grant)
	for range 2 { // the old refresh token goes on
		if token, err := r.refresh(t, first); err != nil || !token.Rotated || !r.server.Alive(first.Refresh.Reveal()) {
			t.Errorf("got %+v, %v", token, err)
		}
	}
	_, err = r.refresh(t, oauthflow.Pair{Refresh: secret.New("unknown")})
	lost(t, err, "unauthorized_client")
	out, err := r.grants.Disconnect(t.Context(), r.by, res.Connection)
	if err != nil || out.Revoked || !out.Done || out.ManageURL == "" || !strings.Contains(out.Note, "remove the access at the provider") {
		t.Errorf("got %+v, %v", out, err)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM credential WHERE secret_ct IS NOT NULL`); n != 0 {
		t.Error("tokens are still stored")
	}
	if got := pgtest.Scalar[uuid.UUID](t, r.db, `SELECT id FROM oauth_grant WHERE closed_at IS NOT NULL`); got != res.Grant {
		t.Error("the grant is not closed")
	}
}

// testGoogleFewer: the second connection of an account does not take the first one's scopes away.
func testGoogleFewer(t *testing.T) {
	t.Parallel()
	const drive, users = "https://www.googleapis.com/auth/drive.readonly", "https://www.googleapis.com/auth/admin.directory.user.readonly"
	r := newRig(t, oauthtest.Google(), "google", nil)
	a := r.connect(t, plan("a", drive))
	b := r.connect(t, plan("b", users))
	if a.Grant != b.Grant || len(b.Degraded)+len(b.Missing) != 0 || len(b.Broader) != 0 || r.state(t, "a") != "active" || r.state(t, "b") != "active" {
		t.Errorf("got %+v, connections %s and %s", b, r.state(t, "a"), r.state(t, "b"))
	}
	if !slices.Contains(b.Granted, drive) || !slices.Contains(b.Granted, users) {
		t.Errorf("granted %v", b.Granted)
	}
	if asked := r.server.Log("authorize")[1].Form["scope"]; strings.Contains(asked, drive) {
		t.Errorf("asked for %q: more than the second connection needs", asked)
	}
}

// testGitHubFewer: where an answer names the scopes of the newest consent alone, the first connection says what it
// lacks, and granting again asks for what both need.
func testGitHubFewer(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.GitHubOAuth(), "github-oauth", nil)
	a := r.connect(t, plan("a", "repo"))
	b := r.connect(t, plan("b", "read:org"))
	if a.Grant != b.Grant || !slices.Equal(b.Degraded["a"], []string{"repo"}) || r.state(t, "a") != "degraded" || r.state(t, "b") != "active" {
		t.Fatalf("got %+v, connections %s and %s", b, r.state(t, "a"), r.state(t, "b"))
	}
	again, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: b.Grant}))
	if err != nil || len(again.Degraded) != 0 || r.state(t, "a") != "active" || r.state(t, "b") != "active" {
		t.Errorf("granted again: %+v, %v, connections %s and %s", again, err, r.state(t, "a"), r.state(t, "b"))
	}
}

// walled wants a lost grant whose note tells of the provider's walls.
func walled(t *testing.T, err error) {
	t.Helper()
	lost(t, err, "invalid_grant")
	te, ok := errors.AsType[*oauthflow.TokenError](err)
	if !ok {
		return
	}
	for _, wall := range []string{"invalid_grant", "seven days", "Testing", "publish it", "a hundred newer ones", "six months"} {
		if !strings.Contains(te.Note(), wall) {
			t.Errorf("the note tells nothing of %q: %s", wall, te.Note())
		}
	}
}

// testGoogleTesting: a refresh token of an app in Testing dies seven days after its consent, without a word before.
func testGoogleTesting(t *testing.T) {
	t.Parallel()
	b := oauthtest.Google()
	b.RefreshLife = 7 * 24 * time.Hour
	r := newRig(t, b, "google", nil)
	p := r.pair(t, r.connect(t, plan("a")).Grant)
	r.server.Age(b.RefreshLife - time.Minute)
	if _, err := r.refresh(t, p); err != nil {
		t.Fatalf("on the seventh day: %v", err)
	}
	r.server.Age(time.Minute)
	_, err := r.refresh(t, p)
	walled(t, err)

	// The grant says it, and its connection.
	r.db.MustExec(t, `UPDATE credential SET at_expires = clock() - interval '1 minute'`)
	keeper, err := refresh.New(refresh.Config{
		Store: r.store.Credentials(), Vault: r.ring, SpoolDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		Sender: &refresh.TokenSender{Tokens: r.client, Client: func(context.Context, uuid.UUID) (oauthflow.Client, error) { return r.oauthClient(), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := keeper.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	if _, err := keeper.Access(t.Context(), pgtest.Scalar[uuid.UUID](t, r.db, `SELECT id FROM oauth_grant`)); connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("got %v", err)
	}
	for _, q := range []string{`SELECT fail_note FROM credential`, `SELECT state_reason FROM connection`} {
		if note := pgtest.Scalar[string](t, r.db, q); !strings.Contains(note, "publish it, or make it Internal") || r.state(t, "a") != "needs_reauth" {
			t.Errorf("%s: %q, connection %s", q, note, r.state(t, "a"))
		}
	}
}

// testGoogleHundred: one grant more than a hundred ends the oldest, without a word.
func testGoogleHundred(t *testing.T) {
	t.Parallel()
	b := oauthtest.Google()
	b.MaxGrants = 100
	r := newRig(t, b, "google", func(m map[string]any) { m["grant_per"] = "consent" })
	oldest := r.pair(t, r.connect(t, plan("a")).Grant)
	for range b.MaxGrants - 1 { // other consents of the same account, which are not ours to see
		code := r.server.Browser(r.link(t)).Query().Get("code")
		if _, err := r.client.Code(t.Context(), r.oauthClient(), oauthflow.CodeRequest{Code: secret.New(code), Verifier: secret.New(verifier), RedirectURI: r.reg.RedirectURI}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.refresh(t, oldest); err != nil {
		t.Fatalf("of a hundred: %v", err)
	}
	newest := r.connect(t, plan("b"))
	_, err := r.refresh(t, oldest)
	walled(t, err)
	if _, err := r.refresh(t, r.pair(t, newest.Grant)); err != nil {
		t.Errorf("the newest: %v", err)
	}
}

// verifier is that of link.
const verifier = "a-verifier-of-more-than-forty-three-characters-0123456789"

// link is an authorization request of the registration, made elsewhere.
func (r *rig) link(t *testing.T) string {
	t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"client_id": {r.server.ClientID}, "redirect_uri": {r.reg.RedirectURI}, "response_type": {"code"}, "state": {"x"}, "access_type": {"offline"}, "prompt": {"consent"},
		"code_challenge_method": {"S256"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])},
	}
	return r.server.URL + "/authorize?" + q.Encode()
}
