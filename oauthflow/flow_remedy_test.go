package oauthflow_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// TestOACodeComesBack: OA-33: a code and a state that a server repeats in its answer are in no text and no event.
func TestOACodeComesBack(t *testing.T) {
	t.Parallel()
	server := oauthtest.Generic()
	server.Iss = true
	r := newRig(t, server, "", nil)
	for field, want := range map[string]oauthflow.FlowCode{
		"error": oauthflow.FlowProviderError, "error_description": oauthflow.FlowUnavailable, "iss": oauthflow.FlowIssuer,
	} {
		to := with(r.start(t, plan("a")), func(q url.Values) {
			q.Set("code", "a-code/of-letters") // and so not hidden for looking like a token
			if field != "iss" {
				q.Set("error", "server_error")
			}
			q.Set(field, "about "+q.Get("code")+" and "+url.QueryEscape(q.Get("code"))+" and "+q.Get("state"))
		})
		_, err := r.back(t, to)
		e := flowRefused(t, err, want)
		if !strings.Contains(e.Came, "about") {
			t.Errorf("%s: what the provider said is missing: %q", field, e.Came)
		}
		shown := strings.Join([]string{e.Error(), e.Title, e.Sent, e.Came, e.Remedy}, " ") + pgtest.Scalar[string](t, r.db, `SELECT string_agg(x::text, ' ') FROM audit_event x`)
		for _, hidden := range []string{"a-code/of-letters", "a-code%2Fof-letters", to.Query().Get("state")} {
			if strings.Contains(shown, hidden) {
				t.Errorf("%s: %q is shown", field, hidden)
			}
		}
	}
}

// TestPQOneGrant: a provider that keeps one grant for an account and an application.
func TestPQOneGrant(t *testing.T) {
	t.Parallel()
	t.Run("PQ-15 Gitea, one grant for an account", testGiteaAccount)
	t.Run("PQ-15 Gitea, a grant with other scopes", testGiteaOtherScopes)
	t.Run("PQ-15 Gitea, the scopes of the first consent", testGiteaFirstScopes)
}

func testGiteaAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Gitea(), "gitea", nil)
	a, b := r.connect(t, plan("a", "read:repository")), r.connect(t, plan("b", "read:repository"))
	if a.Grant != b.Grant || b.Epoch != 2 {
		t.Fatalf("two grants for one account: %+v, %+v", a, b)
	}
	out, err := r.grants.Disconnect(t.Context(), r.by, a.Connection)
	if err != nil || !out.Detached || !slices.Equal(out.Others, []string{"b"}) || r.state(t, "b") != "active" {
		t.Errorf("the first leaves: %+v, %v, b is %s", out, err, r.state(t, "b"))
	}
	if !r.server.Alive(r.pair(t, b.Grant).Refresh.Reveal()) {
		t.Error("the other connection was harmed")
	}
	out, err = r.grants.Disconnect(t.Context(), r.by, b.Connection)
	if err != nil || out.Detached || !out.Done || out.ManageURL == "" || !strings.Contains(out.Note, "remove the access at the provider") || r.stored(t) != 0 {
		t.Errorf("the last leaves: %+v, %v, %d pairs", out, err, r.stored(t))
	}
}

// testGiteaOtherScopes: waiting does not help against the scopes of an earlier consent.
func testGiteaOtherScopes(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Gitea(), "gitea", nil)
	answer := func(q url.Values) {
		q.Del("code")
		q.Set("error", "server_error")
		q.Set("error_description", "a grant exists with different scope")
	}
	_, err := r.back(t, with(r.start(t, plan("a", "read:repository")), answer))
	e := flowRefused(t, err, oauthflow.FlowScopeRefused)
	if manage := r.reg.Profile.Revocation.ManageURL; manage == "" || !strings.Contains(e.Remedy, "Remove the access of the application at "+manage) {
		t.Errorf("the remedy is %q", e.Remedy)
	}
	other := newRig(t, oauthtest.Generic(), "", nil) // a grant of each consent: nothing is to be removed
	_, err = other.back(t, with(other.start(t, plan("a")), answer))
	flowRefused(t, err, oauthflow.FlowUnavailable)
}
