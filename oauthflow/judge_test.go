package oauthflow_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/oauthflow/refresh"
)

// keeper returns one that asks the rig's server.
func (r *rig) keeper(t *testing.T) *refresh.Keeper {
	t.Helper()
	k, err := refresh.New(refresh.Config{
		Store: r.store.Credentials(), Vault: r.ring, SpoolDir: t.TempDir(),
		Sender: &refresh.TokenSender{Tokens: r.client, Client: func(context.Context, uuid.UUID) (oauthflow.Client, error) { return r.oauthClient(), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return k
}

// userinfoAnswers makes the account endpoint answer with a status; 0 is its own answer.
func (r *rig) userinfoAnswers(status int) {
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			if endpoint != "userinfo" || status == 0 {
				return false
			}
			w.WriteHeader(status)
			return true
		}
	})
}

// TestRefusedByOneResource: a 401 of a resource does not end a grant that the provider stands by.
func TestRefusedByOneResource(t *testing.T) {
	t.Parallel()
	t.Run("a token that nothing can replace", testRefusedBare)
	t.Run("a token that was renewed", testRefusedRenewed)
}

func testRefusedBare(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.GitHubOAuth(), "github-oauth", nil)
	g := r.connect(t, plan("a")).Grant
	k := r.keeper(t)
	used, err := k.Access(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	state := func() string { return pgtest.Scalar[string](t, r.db, `SELECT state FROM credential`) }
	for status, class := range map[int]connectors.Class{http.StatusServiceUnavailable: connectors.Transient, http.StatusTooManyRequests: connectors.RateLimited} {
		r.userinfoAnswers(status)
		if _, err := k.Rejected(t.Context(), g, used); connectors.ClassOf(err) != class || state() != "active" {
			t.Errorf("the account endpoint answers %d: %v, grant %s", status, err, state())
		}
	}
	for _, status := range []int{0, http.StatusForbidden} {
		r.userinfoAnswers(status)
		same, err := k.Rejected(t.Context(), g, used)
		if err != nil || same.Gen != used.Gen || same.Token.Reveal() != used.Token.Reveal() || state() != "active" {
			t.Errorf("generation %d, %v, grant %s", same.Gen, err, state())
		}
		if lives, err := k.Lives(t.Context(), g, same); err != nil || !lives {
			t.Errorf("lives %t, %v", lives, err)
		}
	}
	r.userinfoAnswers(http.StatusUnauthorized)
	if _, err := k.Rejected(t.Context(), g, used); connectors.ClassOf(err) != connectors.GrantLost || state() != "needs_reauth" || r.state(t, "a") != "needs_reauth" {
		t.Errorf("the provider refuses it too: %v, grant %s, connection %s", err, state(), r.state(t, "a"))
	}
	if _, err := k.Lives(t.Context(), g, used); connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("got %v", err)
	}
}

func testRefusedRenewed(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	g := r.connect(t, plan("a")).Grant
	k := r.keeper(t)
	used, err := k.Access(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	next, err := k.Rejected(t.Context(), g, used)
	if err != nil || next.Gen != used.Gen+1 {
		t.Fatalf("generation %d, %v", next.Gen, err)
	}
	for status, want := range map[int]bool{0: true, http.StatusForbidden: true, http.StatusUnauthorized: false} {
		r.userinfoAnswers(status)
		if lives, err := k.Lives(t.Context(), g, next); err != nil || lives != want {
			t.Errorf("the account endpoint answers %d: lives %t, %v", status, lives, err)
		}
	}
	// One that came to its end, or was replaced, is refused for that reason.
	r.userinfoAnswers(http.StatusUnauthorized)
	ended, past := next, time.Now().Add(-time.Minute)
	ended.Expires = &past
	for _, over := range []oauthflow.Access{ended, used} {
		if lives, err := k.Lives(t.Context(), g, over); connectors.ClassOf(err) != connectors.Transient || lives {
			t.Errorf("generation %d that is over: lives %t, %v", over.Gen, lives, err)
		}
	}
	r.userinfoAnswers(http.StatusBadGateway)
	if lives, err := k.Lives(t.Context(), g, next); connectors.ClassOf(err) != connectors.Transient || lives {
		t.Errorf("lives %t, %v", lives, err)
	}
	// Where nobody can be asked, the token endpoint has just said it.
	r.userinfoAnswers(http.StatusUnauthorized)
	r.db.MustExec(t, `UPDATE oauth_grant SET subject = ''`)
	if lives, err := k.Lives(t.Context(), g, next); err != nil || !lives {
		t.Errorf("lives %t, %v", lives, err)
	}
	if s := pgtest.Scalar[string](t, r.db, `SELECT state FROM credential`); s != "active" || r.state(t, "a") != "active" {
		t.Errorf("grant %s, connection %s", s, r.state(t, "a"))
	}
}
