package interop

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

const callbackURL = "http://127.0.0.1:8080/oauth/callback/test"

// TestServers shows what the servers do by themselves, without any code of ours: what the other tests rely on.
func TestServers(t *testing.T) {
	t.Parallel()
	each(t, options{}, func(t *testing.T, s *server) {
		t.Run("publishes metadata", func(t *testing.T) {
			t.Parallel()
			m := s.metadata(t)
			if m.Issuer != s.issuer || m.Iss != s.iss || !slices.Contains(m.PKCE, "S256") {
				t.Errorf("metadata = %+v", m)
			}
		})
		t.Run("names itself in answers, or says that it does not", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{Redirect: callbackURL})
			for _, deny := range []bool{false, true} {
				b := newBrowser(t, ann)
				b.deny = deny
				q := b.visit(s.authorizeURL(t, c, nil), c.Redirect).Query()
				if q.Has("iss") != s.iss || s.iss && q.Get("iss") != s.issuer {
					t.Errorf("deny %v: iss = %q", deny, q["iss"])
				}
				if q.Get("state") != "state-1" || q.Has("code") == deny || deny && q.Get("error") != "access_denied" {
					t.Errorf("deny %v: answer = %v", deny, q)
				}
			}
		})
		t.Run("rotates, and a reused token ends the family", func(t *testing.T) { testReuse(t, s) })
		t.Run("revokes", func(t *testing.T) { testRevocation(t, s) })
		t.Run("checks the code verifier", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{Redirect: callbackURL})
			other := strings.Repeat("A", len(challenge))
			at := newBrowser(t, ann).visit(s.authorizeURL(t, c, map[string]string{"code_challenge": other}), c.Redirect)
			if got := s.redeem(t, c, at.Query().Get("code")); got.status != 400 || got.Error != "invalid_grant" {
				t.Errorf("a code of another challenge: %d %s", got.status, got.Error)
			}
		})
		t.Run("gives refresh tokens without being asked for consent, or not", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{Redirect: callbackURL})
			at := newBrowser(t, ann).visit(s.authorizeURL(t, c, map[string]string{"prompt": ""}), c.Redirect)
			if got := s.redeem(t, c, at.Query().Get("code")); got.status != 200 || (got.Refresh == "") != s.offlineByPrompt {
				t.Errorf("%d %s, refresh token: %v", got.status, got.Error, got.Refresh != "")
			}
		})
		t.Run("ends with one consent the other of the same browser, or not", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{Redirect: callbackURL})
			b := newBrowser(t, ann)
			first, second := s.connect(t, c, b), s.connect(t, c, b)
			s.revoke(t, c, first.Refresh)
			if s.active(t, c, second.Access) == s.sharedGrant {
				t.Errorf("the second token is active: %v", !s.sharedGrant)
			}
		})
		t.Run("says whose a token without openid is, or not", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{Redirect: callbackURL})
			at := newBrowser(t, ann).visit(s.authorizeURL(t, c, map[string]string{"scope": readFiles}), c.Redirect)
			got := s.redeem(t, c, at.Query().Get("code"))
			status := call(t, http.MethodGet, s.metadata(t).Userinfo, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+got.Access) }, nil, nil)
			if (status != http.StatusOK) != s.openID {
				t.Errorf("userinfo: status %d", status)
			}
		})
		t.Run("redeems a code once", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{Redirect: callbackURL})
			code := newBrowser(t, ann).visit(s.authorizeURL(t, c, nil), c.Redirect).Query().Get("code")
			if got := s.redeem(t, c, code); got.status != 200 {
				t.Fatalf("first: %d %s", got.status, got.Error)
			}
			if got := s.redeem(t, c, code); got.status != 400 || got.Error != "invalid_grant" {
				t.Errorf("again: %d %s", got.status, got.Error)
			}
		})
		t.Run("gives what stays ticked", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{Redirect: callbackURL})
			b := newBrowser(t, bob)
			b.untick = []string{writeFiles}
			scopes := strings.Fields(s.connect(t, c, b).Scope)
			if !slices.Contains(scopes, readFiles) || slices.Contains(scopes, writeFiles) {
				t.Errorf("scopes = %v", scopes)
			}
		})
		t.Run("gives a client a token of its own", func(t *testing.T) {
			t.Parallel()
			c := s.register(t, client{})
			form := map[string][]string{"grant_type": {"client_credentials"}, "scope": {readFiles}}
			got := s.token(t, c, form)
			if got.status != 200 || got.Refresh != "" || !strings.EqualFold(got.Type, "bearer") || !s.active(t, c, got.Access) {
				t.Errorf("client credentials: %d %s, refresh token %v", got.status, got.Error, got.Refresh != "")
			}
			c.Secret += "x"
			if got := s.token(t, c, form); got.status != 401 || got.Error != "invalid_client" {
				t.Errorf("a wrong secret: %d %s", got.status, got.Error)
			}
		})
	})
}

func testReuse(t *testing.T, s *server) {
	t.Parallel()
	c := s.register(t, client{Redirect: callbackURL})
	first := s.connect(t, c, newBrowser(t, ann))
	if first.status != 200 || first.Refresh == "" {
		t.Fatalf("connecting: %d %s", first.status, first.Error)
	}
	second := s.refresh(t, c, first.Refresh)
	if second.status != 200 || second.Refresh == "" || second.Refresh == first.Refresh || second.Access == first.Access {
		t.Fatalf("refreshing: %d %s", second.status, second.Error)
	}
	if !s.active(t, c, second.Access) {
		t.Fatal("the new access token is not active")
	}
	if got := s.refresh(t, c, first.Refresh); got.status != 400 || got.Error != "invalid_grant" {
		t.Errorf("the used token: %d %s", got.status, got.Error)
	}
	if got := s.refresh(t, c, second.Refresh); got.status != 400 || got.Error != "invalid_grant" {
		t.Errorf("its successor: %d %s", got.status, got.Error)
	}
	if s.active(t, c, second.Access) {
		t.Error("the access token outlives its family")
	}
	if again := s.connect(t, c, newBrowser(t, ann)); !s.active(t, c, again.Access) {
		t.Errorf("a new consent: %d %s", again.status, again.Error)
	}
}

func testRevocation(t *testing.T, s *server) {
	t.Parallel()
	c := s.register(t, client{Redirect: callbackURL})
	kept := s.connect(t, c, newBrowser(t, bob))
	gone := s.connect(t, c, newBrowser(t, ann))
	s.revoke(t, c, gone.Refresh)
	if s.active(t, c, gone.Access) {
		t.Error("the access token outlives its refresh token")
	}
	if got := s.refresh(t, c, gone.Refresh); got.Error != "invalid_grant" {
		t.Errorf("the revoked token: %d %s", got.status, got.Error)
	}
	s.revoke(t, c, gone.Refresh) // RFC 7009 §2.2: an unknown token is no error
	if !s.active(t, c, kept.Access) {
		t.Error("another person's token is gone too")
	}
}

// TestLateRotation shows oidc-provider as it is by itself: a confidential client keeps its refresh token until most of
// its life has passed.
func TestLateRotation(t *testing.T) {
	t.Parallel()
	s := startNode(t, options{rotateLate: true})
	c := s.register(t, client{Redirect: callbackURL})
	first := s.connect(t, c, newBrowser(t, ann))
	second := s.refresh(t, c, first.Refresh)
	if second.status != 200 || second.Refresh != first.Refresh || second.Access == first.Access {
		t.Errorf("refreshing: %d %s, the same token: %v", second.status, second.Error, second.Refresh == first.Refresh)
	}
	if notes := s.tokenRequests(t, "refresh_token"); len(notes) != 1 || notes[0].RefreshToken != digest(first.Refresh) || notes[0].Status != 200 {
		t.Errorf("notes = %+v", notes)
	}
}
