package oauthflow_test

import (
	"context"
	"errors"
	"testing"

	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

// silentStore stores a consent, and loses the database's word that it did.
type silentStore struct{ *store.Store }

func (s silentStore) SaveConsent(ctx context.Context, c oauthflow.Consent) (oauthflow.ConsentResult, error) {
	_, err := s.Store.SaveConsent(ctx, c)
	return oauthflow.ConsentResult{}, errors.Join(err, errors.New("the connection was closed"))
}

// TestUnconfirmedConsentIsNotRevoked: a COMMIT of unknown outcome may have stored the tokens.
func TestUnconfirmedConsentIsNotRevoked(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.flows = oauthflow.NewFlows(oauthflow.FlowsConfig{Store: silentStore{r.store}, Vault: r.ring, Client: r.client, PublicURL: publicURL})
	before := r.server.Count("revoke")
	_, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Plan: plan("a")}))
	fe, ok := errors.AsType[*oauthflow.FlowError](err)
	if !ok || fe.Code != oauthflow.FlowNotSaved {
		t.Fatalf("got %v", err)
	}
	if n := r.server.Count("revoke") - before; n != 0 {
		t.Errorf("%d revocations of tokens that are stored", n)
	}
	if c, err := r.store.Connection(t.Context(), "a"); err != nil || c.GrantID == nil || c.State != store.StateActive {
		t.Errorf("the connection: %+v %v", c, err)
	}
}
