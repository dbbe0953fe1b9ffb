package oauthflow_test

import (
	"context"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

// moving is a store whose registration is pointed elsewhere at one moment.
type moving struct {
	*store.Store
	once          sync.Once
	before, after func()
}

func (m *moving) RegistrationByID(ctx context.Context, id uuid.UUID) (*oauthflow.Registration, error) {
	if m.before != nil {
		m.once.Do(m.before)
	}
	r, err := m.Store.RegistrationByID(ctx, id)
	if m.after != nil {
		m.once.Do(m.after)
	}
	return r, err
}

// point makes an owner point the rig's registration at another server and enter a client there.
func (r *rig) point(t *testing.T, to *oauthtest.Server) {
	t.Helper()
	changed, err := r.regs.Change(t.Context(), r.by, r.reg.ID, r.draft(to, "reg", to.Profile(t, "", nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = r.regs.Save(t.Context(), r.by, oauthflow.SaveParams{ID: r.reg.ID, Digest: changed.Digest, ClientID: to.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New("of the other")}, Force: true})
	if err != nil {
		t.Fatal(err)
	}
}

// TestOAElsewhere: a registration that is pointed elsewhere while something is under way (OA-30).
func TestOAElsewhere(t *testing.T) {
	t.Parallel()
	t.Run("OA-30 the other server's secret is not sent to the first", func(t *testing.T) {
		t.Parallel()
		r, other := newRig(t, oauthtest.Generic(), "", nil), oauthtest.New(t, oauthtest.Generic())
		to := r.start(t, plan("a"))
		before := r.server.Count("token")
		flows := oauthflow.NewFlows(oauthflow.FlowsConfig{Store: &moving{Store: r.store, after: func() { r.point(t, other) }}, Vault: r.ring, Client: r.client, PublicURL: publicURL})
		_, err := flows.Callback(t.Context(), filepath.Base(to.Path), to.RawQuery, r.by)
		flowRefused(t, err, oauthflow.FlowChanged)
		if n := r.server.Count("token") - before; n != 0 {
			t.Errorf("%d token requests to the first server, with the secret of the other", n)
		}
	})
	t.Run("OA-30 the first server's tokens are not revoked at the other", func(t *testing.T) {
		t.Parallel()
		r, other := newRig(t, oauthtest.Generic(), "", nil), oauthtest.New(t, oauthtest.Generic())
		res := r.connect(t, plan("a"))
		event := audit.Event{Actor: r.by.Actor, Action: "grant.revoke", Outcome: audit.OK}
		if err := r.store.BeginClosing(t.Context(), res.Grant, "test", event); err != nil {
			t.Fatal(err)
		}
		checks := 0
		grants := oauthflow.NewGrants(oauthflow.GrantsConfig{Vault: r.ring, Client: r.client, Store: &moving{Store: r.store, before: func() {
			r.point(t, other)
			checks = other.Count("revoke")
		}}})
		if _, err := grants.CloseGrant(t.Context(), res.Grant); err != nil {
			t.Fatal(err)
		}
		if n := other.Count("revoke") - checks; n != 0 {
			t.Errorf("%d tokens were sent to the other server", n)
		}
	})
	t.Run("OA-30 another address of the instance drops the grants, whatever the endpoints", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, oauthtest.Generic(), "", nil)
		r.connect(t, plan("a"))
		draft := r.draft(r.server, "reg", r.server.Profile(t, "", nil))
		draft.BaseURL = "https://files.example.com"
		changed, err := r.regs.Change(t.Context(), r.by, r.reg.ID, draft)
		if err != nil || changed.State != oauthflow.RegistrationDraft || r.state(t, "a") != "needs_reauth" {
			t.Errorf("got %+v, %v; connection %s", changed, err, r.state(t, "a"))
		}
	})
}

// TestGivenAgain: a provider that answers another consent with the tokens that it gave before does not lose them.
func TestGivenAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	var answer string
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			switch endpoint {
			case "token":
				answer = `{"access_token":"always-the-same-access","refresh_token":"always-the-same-refresh","token_type":"Bearer","expires_in":3600,"scope":"files.read"}`
			case "userinfo":
				answer = `{"sub":"1","name":"someone"}`
			default:
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte(answer))
			return true
		}
	})
	grant, before := r.connect(t, plan("a")).Grant, r.server.Count("revoke")
	res, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: grant}))
	if err != nil || !res.Renewed {
		t.Fatalf("got %+v, %v", res, err)
	}
	if n := r.server.Count("revoke") - before; n != 0 {
		t.Errorf("%d revocations of the tokens in use", n)
	}
}
