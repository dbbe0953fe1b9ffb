package oauthflow_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

// TestOAMeanwhile: of two that change one thing at a time, the later never undoes what it has not seen.
func TestOAMeanwhile(t *testing.T) {
	t.Parallel()
	t.Run("OA-30 hosts that were opened meanwhile", testHostsMeanwhile)
	t.Run("OA-30 a secret that was saved meanwhile", testSecretMeanwhile)
	t.Run("OA-30 changes at once", testChangesAtOnce)
	t.Run("OA-30 a refusal stands when hosts change", testRefusalStands)
	t.Run("OA-5 a grant that was renewed meanwhile", testRenewedMeanwhile)
	t.Run("OA-5 the same tokens again", testSameTokensMeanwhile)
	t.Run("OA-5 a grant that ended meanwhile", testEndedMeanwhile)
	t.Run("OA-24 a consent while another is discarded", testDiscardedMeanwhile)
	t.Run("OA-24 a consent before another is discarded", testDiscardedAfter)
}

// hosts returns what is open for the registration and at which generation.
func (r *rig) hosts(t *testing.T) ([]string, int64) {
	t.Helper()
	reg, err := r.store.RegistrationByID(t.Context(), r.reg.ID)
	if err != nil {
		t.Fatal(err)
	}
	return reg.AllowHosts, reg.CredentialGen
}

// before calls fn once, before the server answers the next request at the endpoint.
func (r *rig) before(endpoint string, fn func()) {
	var done atomic.Bool
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(at string, _ http.ResponseWriter, _ *http.Request) bool {
			if at == endpoint && done.CompareAndSwap(false, true) {
				fn()
			}
			return false
		}
	})
}

// changed wants ErrRegistrationChanged, with what to do.
func changed(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, oauthflow.ErrRegistrationChanged) || !strings.Contains(err.Error(), "look at it again") {
		t.Errorf("got %v, want a conflict that says what to do", err)
	}
}

func testHostsMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	draft := r.draft(r.server, "reg", r.server.Profile(t, "", nil))
	draft.AllowHosts = append(draft.AllowHosts, "10.0.0.1:443")
	r.before("token", func() { // the live check of the save
		if _, err := r.regs.Change(t.Context(), r.by, r.reg.ID, draft); err != nil {
			t.Error(err)
		}
	})
	_, _, err := r.regs.Save(t.Context(), r.by, oauthflow.SaveParams{
		ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New(r.server.ClientSecret)},
	})
	changed(t, err)
	if got, gen := r.hosts(t); !slices.Equal(got, draft.AllowHosts) || gen != r.reg.CredentialGen+1 {
		t.Errorf("open are %v at generation %d, want what an owner opened", got, gen)
	}
	r.connect(t, plan("a")) // the secret opens at its new generation
	draft.AllowHosts = draft.AllowHosts[:1]
	if _, err := r.regs.Change(t.Context(), r.by, r.reg.ID, draft); err != nil {
		t.Fatal(err)
	}
	if got, gen := r.hosts(t); !slices.Equal(got, draft.AllowHosts) || gen != r.reg.CredentialGen+2 {
		t.Errorf("open are %v at generation %d, want them closed", got, gen)
	}
	if r.state(t, "a") != "active" {
		t.Error("a connection was harmed")
	}
	r.connect(t, plan("b"))
}

func testSecretMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	draft := oauthflow.Draft{Name: "found", Issuer: r.server.URL, AllowHosts: []string{r.server.Host()}}
	found, err := r.regs.Draft(t.Context(), r.by, draft)
	if err != nil {
		t.Fatal(err)
	}
	save := oauthflow.SaveParams{ID: found.ID, Digest: found.Digest, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New("old")}, Force: true}
	if _, _, err := r.regs.Save(t.Context(), r.by, save); err != nil {
		t.Fatal(err)
	}
	r.before("metadata", func() { // the change looks the server up
		save.Credentials.Secret = secret.New(r.server.ClientSecret)
		if _, _, err := r.regs.Save(t.Context(), r.by, save); err != nil {
			t.Error(err)
		}
	})
	draft.AllowHosts = append(draft.AllowHosts, "10.0.0.1:443")
	_, err = r.regs.Change(t.Context(), r.by, found.ID, draft)
	changed(t, err)
	r.reg = found
	r.connect(t, plan("a")) // with the secret that was saved
	if got, _ := r.hosts(t); len(got) != 1 {
		t.Errorf("open are %v", got)
	}
}

func testChangesAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	document := r.server.Profile(t, "", nil)
	var wg sync.WaitGroup
	errs := make(chan error, 12)
	for i := range 12 {
		wg.Go(func() {
			if i%2 == 0 {
				_, err := r.regs.Change(t.Context(), r.by, r.reg.ID, r.draft(r.server, "reg", document))
				errs <- err
				return
			}
			_, _, err := r.regs.Save(t.Context(), r.by, oauthflow.SaveParams{ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, Force: true})
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	won := int64(0)
	for err := range errs {
		if err == nil {
			won++
			continue
		}
		changed(t, err)
	}
	if _, gen := r.hosts(t); won == 0 || gen != r.reg.CredentialGen+won {
		t.Errorf("%d changes were said to be saved, and the generation moved from %d to %d", won, r.reg.CredentialGen, gen)
	}
	r.connect(t, plan("a"))
}

// testRefusalStands: the provider refuses the client while an owner opens a host for it.
func testRefusalStands(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	draft := oauthflow.Draft{Name: "found", Issuer: r.server.URL, AllowHosts: []string{r.server.Host()}}
	found, err := r.regs.Draft(t.Context(), r.by, draft)
	if err != nil {
		t.Fatal(err)
	}
	save := oauthflow.SaveParams{ID: found.ID, Digest: found.Digest, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New(r.server.ClientSecret)}}
	if _, _, err := r.regs.Save(t.Context(), r.by, save); err != nil {
		t.Fatal(err)
	}
	r.before("metadata", func() {
		r.db.MustExec(t, `UPDATE client_registration SET state = 'rejected', state_reason = 'invalid_client' WHERE id = $1`, found.ID)
	})
	draft.AllowHosts = append(draft.AllowHosts, "10.0.0.1:443")
	if _, err := r.regs.Change(t.Context(), r.by, found.ID, draft); err != nil {
		t.Fatal(err)
	}
	if got := pgtest.Scalar[string](t, r.db, `SELECT state || ' ' || state_reason FROM client_registration WHERE id = $1`, found.ID); got != "rejected invalid_client" {
		t.Errorf("got %s", got)
	}
}

// testRenewedMeanwhile: a consent that asked for less, before another gave more, does not take that away.
func testRenewedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	a := r.connect(t, plan("a", "files.read"))
	renew := oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: a.Grant}
	early, same := r.startWith(t, renew), r.startWith(t, renew)
	more := renew
	more.Plan = plan("b", "files.read", "groups.read")
	b, err := r.back(t, r.startWith(t, more))
	if err != nil || b.Grant != a.Grant || b.Epoch != 2 {
		t.Fatalf("got %+v, %v", b, err)
	}
	held, revoked := r.pair(t, a.Grant), r.server.Count("revoke")
	_, err = r.back(t, early)
	flowRefused(t, err, oauthflow.FlowReplaced)
	if now := r.pair(t, a.Grant); now.Refresh.Reveal() != held.Refresh.Reveal() || !r.server.Alive(held.Refresh.Reveal()) || r.state(t, "b") != "active" {
		t.Error("the later consent's tokens or scopes are gone")
	}
	if r.server.Count("revoke") == revoked {
		t.Error("tokens that nobody keeps were not revoked")
	}

	// Another account's consent is not what was confirmed before the renewal either.
	other := renew
	other.Plan.OtherAccount = true
	r.server.Set(func(b *oauthtest.Behaviour) { b.Subject, b.Account = "user-2", "Bob" })
	elsewhere := r.startWith(t, other)
	r.server.Set(func(b *oauthtest.Behaviour) { b.Subject, b.Account = "user-1", "Ada" })
	if _, err := r.back(t, r.startWith(t, renew)); err != nil {
		t.Fatal(err)
	}
	_, err = r.back(t, elsewhere)
	flowRefused(t, err, oauthflow.FlowReplaced)

	// One that gives all that the grant has is as good as the other.
	r.db.MustExec(t, `UPDATE oauth_grant SET scopes = '{files.read}' WHERE id = $1`, a.Grant)
	if again, err := r.back(t, same); err != nil || again.Grant != a.Grant || !again.Renewed {
		t.Errorf("got %+v, %v", again, err)
	}
}

// testSameTokensMeanwhile: a provider that gives the same tokens again has not given any that may be thrown away.
func testSameTokensMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	before := r.server.Count("revoke")
	answer := `{"access_token":"at-same","refresh_token":"rt-same","token_type":"Bearer","expires_in":3600,"scope":"SCOPE"}`
	var scope string
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			switch endpoint {
			case "token":
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(strings.Replace(answer, "SCOPE", scope, 1)))
			case "userinfo":
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write([]byte(`{"sub":"user-1","name":"Ada","email":"ada@example.com"}`))
			default:
				return false
			}
			return true
		}
	})
	scope = "files.read groups.read"
	a := r.connect(t, plan("a", "files.read"))
	renew := oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: a.Grant}
	early := r.startWith(t, renew)
	if _, err := r.back(t, r.startWith(t, renew)); err != nil {
		t.Fatal(err)
	}
	scope = "files.read"
	_, err := r.back(t, early)
	flowRefused(t, err, oauthflow.FlowReplaced)
	if n := r.server.Count("revoke") - before; n != 0 {
		t.Errorf("%d revocations of tokens that are in use", n)
	}
}

// testEndedMeanwhile: a consent for a grant that was revoked meanwhile makes no other behind the back of who revoked it.
func testEndedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	a := r.connect(t, plan("a", "files.read"))
	alone := r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: a.Grant})
	connected := r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: a.Grant, Plan: oauthflow.Plan{Connection: a.Connection}})
	if _, err := r.grants.Revoke(t.Context(), r.by, a.Grant); err != nil {
		t.Fatal(err)
	}
	_, err := r.back(t, alone)
	flowRefused(t, err, oauthflow.FlowReplaced)
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM oauth_grant`); n != 1 {
		t.Errorf("%d grants", n)
	}
	if r.stored(t) != 0 {
		t.Error("tokens of a grant that was revoked are stored")
	}
	// A connection that needs one gets another.
	res, err := r.back(t, connected)
	if err != nil || res.Grant == a.Grant || r.state(t, "a") != "active" {
		t.Errorf("got %+v, %v; the connection is %s", res, err, r.state(t, "a"))
	}
}

// takenName begins a consent for a connection whose name is taken before it ends, so that its tokens are discarded.
func (r *rig) takenName(t *testing.T) func() error {
	t.Helper()
	to := r.start(t, plan("taken"))
	if _, err := r.store.CreateConnection(t.Context(), store.NewConnection{Name: "taken", Source: "fake"}); err != nil {
		t.Fatal(err)
	}
	return func() error {
		_, err := r.back(t, to)
		return err
	}
}

// testDiscardedMeanwhile: no consent is stored whose tokens end with those of another consent, which are discarded.
func testDiscardedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Google(), "google", nil)
	late := r.start(t, plan("late"))
	discarded := r.takenName(t)
	var inside error
	r.before("revoke", func() { _, inside = r.back(t, late) }) // before the provider acts on it
	flowRefused(t, discarded(), oauthflow.FlowPlan)
	if r.server.Count("revoke") == 0 {
		t.Fatal("nothing was discarded")
	}
	flowRefused(t, inside, oauthflow.FlowClosing)
	if n := r.stored(t); n != 0 {
		t.Errorf("%d pairs are stored, which have ended", n)
	}
	if again := r.connect(t, plan("again")); !r.server.Alive(r.pair(t, again.Grant).Access.Reveal()) {
		t.Error("the tokens of the next consent are dead")
	}
}

// testDiscardedAfter: a consent that is stored first keeps the provider from being asked.
func testDiscardedAfter(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Google(), "google", nil)
	discarded := r.takenName(t)
	var kept *oauthflow.Result
	r.before("userinfo", func() { kept = r.connect(t, plan("kept")) })
	flowRefused(t, discarded(), oauthflow.FlowPlan)
	if n := r.server.Count("revoke"); n != 0 || !r.server.Alive(r.pair(t, kept.Grant).Access.Reveal()) {
		t.Errorf("%d revocations; the stored consent was harmed", n)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM account_revoking`); n != 0 {
		t.Errorf("%d marks of revocations that were not made", n)
	}
}
