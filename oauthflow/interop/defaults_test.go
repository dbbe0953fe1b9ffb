package interop

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"

	"tributary/oauthflow"
)

// TestIssuerAloneDefaults connects to servers that follow OpenID Connect to the letter, with nothing but the scopes of the
// connection asked for: who it is must be known, and a refresh token be there.
func TestIssuerAloneDefaults(t *testing.T) {
	t.Parallel()
	each(t, options{}, func(t *testing.T, s *server) {
		in := newInstance(t)
		r, c := in.add(t, s, "server")
		res := in.mustConnect(t, newBrowser(t, ann), oauthflow.StartParams{Registration: r.ID, Plan: plan("plain", readFiles)})
		if res.Subject != ann || len(res.Broader) > 0 {
			t.Errorf("account %q, broader %v", res.Subject, res.Broader)
		}
		if !in.pair(t, res.Grant).Refresh.IsSet() {
			t.Fatal("no refresh token: the connection would end with its first access token")
		}
		in.expire(t)
		if token, err := in.keeper.Access(t.Context(), res.Grant); err != nil || !s.active(t, c, token.Token.Reveal()) {
			t.Errorf("after expiry: %v", err)
		}
	})
}

// TestGrantAgainWhileTheOldLives has one person consent twice in one browser: what the second consent gave must not end
// with what it replaced.
func TestGrantAgainWhileTheOldLives(t *testing.T) {
	t.Parallel()
	each(t, options{alwaysRefresh: true}, func(t *testing.T, s *server) {
		in := newInstance(t)
		r, c := in.add(t, s, "server")
		b := newBrowser(t, ann)
		res := in.mustConnect(t, b, asked(r, "again"))
		p := asked(r, "")
		p.Grant, p.Plan = res.Grant, oauthflow.Plan{Connection: res.Connection, Needed: []string{readFiles, writeFiles}}
		again := in.mustConnect(t, b, p)
		token, err := in.keeper.Access(t.Context(), again.Grant)
		if err != nil || !s.active(t, c, token.Token.Reveal()) {
			t.Errorf("the token of the second consent is dead: %v", err)
		}
		in.expire(t)
		if token, err := in.keeper.Access(t.Context(), again.Grant); err != nil || !s.active(t, c, token.Token.Reveal()) {
			t.Errorf("its refresh token is dead: %v", err)
		}
	})
}

// TestWrongSecretIsToldWhenSaved finds a wrong secret before anybody consents, whatever a server checks first.
func TestWrongSecretIsToldWhenSaved(t *testing.T) {
	t.Parallel()
	each(t, options{}, func(t *testing.T, s *server) {
		in := newInstance(t)
		r := in.draft(t, s, "wrong")
		c := s.register(t, client{Redirect: r.RedirectURI})
		c.Secret += "x"
		_, checks, err := in.save(t, r, c)
		if refused, ok := errors.AsType[*oauthflow.RefusedError](err); !ok || len(refused.Checks) == 0 {
			t.Errorf("saved: %v, %+v", err, checks)
		}
	})
}

// TestServerGrantsOfOtherScopes makes two connections with one client: neither loses its scopes to the other.
func TestServerGrantsOfOtherScopes(t *testing.T) {
	t.Parallel()
	each(t, options{}, func(t *testing.T, s *server) {
		in := newInstance(t)
		r := in.draft(t, s, "client", oauthflow.GrantClientCredentials)
		r, _, err := in.save(t, r, s.register(t, client{}))
		if err != nil {
			t.Fatal(err)
		}
		connect := func(name, scope string) *oauthflow.Result {
			res, err := in.flows.CreateServerGrant(t.Context(), oauthflow.ServerGrantParams{
				Registration: r.ID, By: in.by, Kind: oauthflow.GrantClientCredentials, Plan: plan(name, scope),
			})
			if err != nil {
				t.Fatal(err)
			}
			return res
		}
		first := connect("reads", readFiles)
		second := connect("writes", writeFiles)
		for _, res := range []*oauthflow.Result{first, second} {
			if _, state, reason := in.state(t, res.Grant, res.Connection); state != "active" {
				t.Errorf("connection %s is %s: %s", res.Name, state, reason)
			}
		}
	})
}

// TestResource asks for tokens of one resource (RFC 8707): they are no good at userinfo, and who it is comes otherwise.
func TestResource(t *testing.T) {
	t.Parallel()
	in, s := newInstance(t), startNode(t, options{})
	r, c := in.add(t, s, "server")
	p := asked(r, "resource")
	p.Plan.Resource = resource
	res := in.mustConnect(t, newBrowser(t, ann), p)
	in.expire(t)
	if token, err := in.keeper.Access(t.Context(), res.Grant); err != nil || !s.active(t, c, token.Token.Reveal()) {
		t.Errorf("after expiry: %v", err)
	}
}

// TestOneOfTwoConnections disconnects one of two that one person made in one browser: the other goes on.
func TestOneOfTwoConnections(t *testing.T) {
	t.Parallel()
	each(t, options{alwaysRefresh: true}, func(t *testing.T, s *server) {
		in := newInstance(t)
		r, c := in.add(t, s, "server")
		testOneOfTwo(t, in, s, r, c)
	})
}

func testOneOfTwo(t *testing.T, in *instance, s *server, r *oauthflow.Registration, c client) {
	t.Helper()
	b := newBrowser(t, ann)
	one := in.mustConnect(t, b, asked(r, "one"))
	two := in.mustConnect(t, b, asked(r, "two"))
	out, err := in.grants.Disconnect(t.Context(), in.by, one.Connection)
	if err != nil || !out.Done {
		t.Fatalf("disconnected: %+v, %v", out, err)
	}
	if token, err := in.keeper.Access(t.Context(), two.Grant); err != nil || !s.active(t, c, token.Token.Reveal()) {
		t.Errorf("the other connection's token is dead (%s): %v", out.Note, err)
	}
}

// TestOneOfTwoConnectionsOfNobodyKnown is the same where the server does not say whose a token is.
func TestOneOfTwoConnectionsOfNobodyKnown(t *testing.T) {
	t.Parallel()
	in, s := newInstance(t), startNode(t, options{alwaysRefresh: true})
	m := s.metadata(t)
	doc, err := json.Marshal(map[string]any{
		"name": "nobody", "title": "Nobody", "hosting": "fixed", "grants": []string{"authorization_code"}, "issuer": s.issuer, "require_iss": true,
		"endpoints":   map[string]any{"authorize": m.Authorize, "token": m.Token, "revoke": m.Revoke},
		"client_auth": "client_secret_basic", "pkce": "S256", "request": map[string]any{"body": "form"},
		"scopes": map[string]any{"separator": " ", "answer_separator": " "}, "refresh": map[string]any{"rotation": "F"},
		"revocation": map[string]any{"style": "rfc7009", "reach": "grant"}, "grant_per": "consent",
	})
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(s.issuer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := in.registrations.Draft(t.Context(), in.by, oauthflow.Draft{Name: "nobody", Document: doc, AllowHosts: []string{u.Host}})
	if err != nil {
		t.Fatal(err)
	}
	c := s.register(t, client{Redirect: r.RedirectURI})
	if r, _, err = in.save(t, r, c); err != nil {
		t.Fatal(err)
	}
	testOneOfTwo(t, in, s, r, c)
}

// TestNewSecretKeepsWhatIsMissing revives a connection whose client was refused: the scope that it lacks is still lacking.
func TestNewSecretKeepsWhatIsMissing(t *testing.T) {
	t.Parallel()
	in, s := newInstance(t), startZitadel(t, options{})
	r, c := in.add(t, s, "server")
	b := newBrowser(t, ann)
	b.untick = []string{writeFiles}
	res := in.mustConnect(t, b, oauthflow.StartParams{Registration: r.ID, Plan: plan("lacks", readFiles, writeFiles), Scopes: openID()})
	c = s.newSecret(c)
	in.expire(t)
	if _, err := in.keeper.Access(t.Context(), res.Grant); err == nil {
		t.Fatal("the old secret is good")
	}
	if _, _, err := in.save(t, r, c); err != nil {
		t.Fatal(err)
	}
	if _, state, reason := in.state(t, res.Grant, res.Connection); state != "degraded" || !strings.Contains(reason, writeFiles) {
		t.Errorf("connection is %s: %q", state, reason)
	}
}

// TestScopesNarrowedByARefresh loses a needed scope with a refresh (RFC 6749 §6: the answer says which are left).
func TestScopesNarrowedByARefresh(t *testing.T) {
	t.Parallel()
	in, s := newInstance(t), startZitadel(t, options{})
	r, _ := in.add(t, s, "server")
	res := in.mustConnect(t, newBrowser(t, ann), asked(r, "narrowed"))
	s.narrow(readFiles)
	in.expire(t)
	if _, err := in.keeper.Access(t.Context(), res.Grant); err != nil {
		t.Fatal(err)
	}
	if _, state, reason := in.state(t, res.Grant, res.Connection); state != "degraded" || !strings.Contains(reason, readFiles) {
		t.Errorf("connection is %s: %q", state, reason)
	}
}
