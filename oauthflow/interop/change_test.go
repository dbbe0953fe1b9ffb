package interop

import (
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/store"
)

// hostOf is what an owner opens for a server on this machine.
func hostOf(t *testing.T, s *server) []string {
	t.Helper()
	u, err := url.Parse(s.issuer)
	if err != nil {
		t.Fatal(err)
	}
	return []string{u.Host}
}

// TestAnotherServerGetsNothing points a registration with a live grant at another server: neither the secret nor a token
// goes there, and a consent that is under way ends without a token request.
func TestAnotherServerGetsNothing(t *testing.T) {
	t.Parallel()
	in := newInstance(t)
	a, b := startNode(t, options{alwaysRefresh: true}), startZitadel(t, options{})
	r, c := in.add(t, a, "moved")
	res := in.mustConnect(t, newBrowser(t, ann), asked(r, "moved"))
	held := in.pair(t, res.Grant)
	_, underWay := in.consent(t, newBrowser(t, bob), asked(r, "under-way"))
	requests := func() int { return len(a.requests(t)) + len(b.requests(t)) }

	to := oauthflow.Draft{Issuer: b.issuer, AllowHosts: append(hostOf(t, a), hostOf(t, b)...)}
	admin := in.by
	admin.Owner = false
	if _, err := in.registrations.Change(t.Context(), admin, r.ID, to); !errors.Is(err, oauthflow.ErrOwner) {
		t.Errorf("an admin: %v", err)
	}
	moved, err := in.registrations.Change(t.Context(), in.by, r.ID, to)
	if err != nil || moved.ClientID != "" || moved.State != oauthflow.RegistrationDraft {
		t.Fatalf("changed: %+v, %v", moved, err)
	}
	before := requests()
	_, err = in.flows.Callback(t.Context(), r.ID.String(), underWay, in.by)
	if fe, ok := errors.AsType[*oauthflow.FlowError](err); !ok || fe.Code != oauthflow.FlowChanged && fe.Code != oauthflow.FlowUnknownState {
		t.Errorf("the consent under way: %v", err)
	}
	_, err = in.flows.Start(t.Context(), oauthflow.StartParams{Registration: r.ID, By: in.by, Plan: plan("new", readFiles)})
	wantFlowError(t, err, oauthflow.FlowIncomplete)
	in.expire(t)
	if _, err := in.keeper.Access(t.Context(), res.Grant); connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("the old grant: %v", err)
	}
	if err := in.grants.Tend(t.Context()); err != nil {
		t.Errorf("tending: %v", err)
	}
	if _, _, err := in.registrations.Save(t.Context(), in.by, oauthflow.SaveParams{ID: r.ID, Digest: moved.Digest, ClientID: c.ID}); err == nil {
		t.Error("saved with the secret of the other server")
	}
	if n := requests() - before; n != 0 {
		t.Errorf("%d requests", n)
	}
	for _, token := range []string{held.Access.Reveal(), held.Refresh.Reveal(), c.Secret} {
		if where := in.find(t, token); where != "" {
			t.Errorf("a secret is in %s", where)
		}
	}
}

// TestSecretRotatedAtTheServer refuses the client at a refresh: the registration is named, nothing is asked again, and the
// new secret revives what was stopped, without a consent.
func TestSecretRotatedAtTheServer(t *testing.T) {
	t.Parallel()
	in, s := newInstance(t), startZitadel(t, options{})
	r, c := in.add(t, s, "rotated")
	res := in.mustConnect(t, newBrowser(t, ann), asked(r, "rotated"))
	c = s.newSecret(c)
	in.expire(t)
	if _, err := in.keeper.Access(t.Context(), res.Grant); connectors.ClassOf(err) != connectors.ClientRejected {
		t.Fatalf("with the old secret: %v", err)
	}
	if health, state, reason := in.state(t, res.Grant, res.Connection); health.State != oauthflow.GrantConfigError || state != store.StateConfigError || reason == "" {
		t.Errorf("grant %s, connection %s: %q", health.State, state, reason)
	}
	n := len(s.tokenRequests(t, "refresh_token"))
	if _, err := in.keeper.Access(t.Context(), res.Grant); connectors.ClassOf(err) != connectors.ClientRejected {
		t.Errorf("again: %v", err)
	}
	if again := len(s.tokenRequests(t, "refresh_token")) - n; again != 0 {
		t.Errorf("%d more requests", again)
	}
	if _, checks, err := in.save(t, r, c); err != nil {
		t.Fatalf("%v: %+v", err, checks)
	}
	token, err := in.keeper.Access(t.Context(), res.Grant)
	if err != nil || !s.active(t, c, token.Token.Reveal()) {
		t.Errorf("with the new secret: %v", err)
	}
	if health, state, _ := in.state(t, res.Grant, res.Connection); health.State != oauthflow.GrantActive || state != store.StateActive {
		t.Errorf("grant %s, connection %s", health.State, state)
	}
}

// TestTicket starts a consent from a link of the command line, once, in a session.
func TestTicket(t *testing.T) {
	t.Parallel()
	in, s := newInstance(t), startZitadel(t, options{})
	r, _ := in.add(t, s, "ticket")
	p := oauthflow.StartParams{Registration: r.ID, By: oauthflow.By{Actor: in.by.Actor, Owner: true}, Plan: plan("ticket", "openid", "offline_access", readFiles)}
	link, _, err := in.flows.MakeTicket(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	ticket, ok := strings.CutPrefix(link.Reveal(), publicURL+"/connect/")
	if !ok {
		t.Fatal("the link is not one of this instance")
	}
	_, err = in.flows.RedeemTicket(t.Context(), secret.New(ticket), oauthflow.By{Actor: in.by.Actor, Account: uuid.New()}, "")
	wantFlowError(t, err, oauthflow.FlowOtherSession)
	started, err := in.flows.RedeemTicket(t.Context(), secret.New(ticket), in.by, "")
	if err != nil {
		t.Fatal(err)
	}
	query := newBrowser(t, ann).visit(started.AuthorizationURL, r.RedirectURI).RawQuery
	res, err := in.flows.Callback(t.Context(), r.ID.String(), query, in.by)
	if err != nil || res.Name != "ticket" || res.Subject != ann {
		t.Errorf("connected: %+v, %v", res, err)
	}
	_, err = in.flows.RedeemTicket(t.Context(), secret.New(ticket), in.by, "")
	wantFlowError(t, err, oauthflow.FlowTicket)
}
