package oauthflow_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

// gated has consents go through the gate that refreshes go through.
func (r *rig) gated(o store.GateOptions) oauthflow.Gate {
	g := r.store.Gate(o)
	r.flows = oauthflow.NewFlows(oauthflow.FlowsConfig{Store: r.store, Vault: r.ring, Client: r.client, Gate: g, PublicURL: publicURL})
	return g
}

// TestGate: a consent goes through the limit and the breaker of its token endpoint.
func TestGate(t *testing.T) {
	t.Parallel()
	t.Run("an open breaker", testGateOpen)
	t.Run("a turn that comes soon", testGateSoon)
	t.Run("what a consent reports", testGateReports)
}

// testGateOpen: nothing is sent, and the person is told when to come back.
func testGateOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	g := r.gated(store.GateOptions{})
	key := "token:" + r.reg.ID.String()
	if wait, _, err := g.Enter(t.Context(), key); err != nil || wait != 0 {
		t.Fatalf("got %v, %v", wait, err)
	}
	if err := g.Leave(t.Context(), key, oauthflow.CallEnd{Failed: true, RetryAfter: 90 * time.Second, Reason: "HTTP 503"}); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	_, err := r.back(t, r.start(t, plan("a")))
	e := flowRefused(t, err, oauthflow.FlowHeldBack)
	if !strings.Contains(e.Remedy, "again in 1m30s") || !strings.Contains(e.Came, "HTTP 503") || e.Status != http.StatusServiceUnavailable || time.Since(start) > 4*time.Second {
		t.Errorf("got %+v after %s", e, time.Since(start))
	}
	if r.tokens() != 0 {
		t.Errorf("%d token requests, want 0", r.tokens())
	}
	_, err = r.flows.CreateServerGrant(t.Context(), oauthflow.ServerGrantParams{Registration: r.reg.ID, By: r.by, Kind: oauthflow.GrantClientCredentials, Plan: plan("b")})
	flowRefused(t, err, oauthflow.FlowHeldBack)
	if n := r.server.Count("token"); n != 2 { // the checks of the registration
		t.Errorf("%d requests at the token endpoint, want 2", n)
	}
}

// testGateSoon: a short wait is waited, and the consent goes on.
func testGateSoon(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	g := r.gated(store.GateOptions{})
	if err := leaveAfter(t, g, r.reg.ID, time.Second); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	if _, err := r.back(t, r.start(t, plan("a"))); err != nil || time.Since(start) < 500*time.Millisecond {
		t.Errorf("got %v after %s", err, time.Since(start))
	}
	if r.tokens() != 1 {
		t.Errorf("%d token requests, want 1", r.tokens())
	}
}

// leaveAfter has the endpoint of a registration ask to wait.
func leaveAfter(t *testing.T, g oauthflow.Gate, registration uuid.UUID, wait time.Duration) error {
	t.Helper()
	key := "token:" + registration.String()
	if _, _, err := g.Enter(t.Context(), key); err != nil {
		return err
	}
	return g.Leave(t.Context(), key, oauthflow.CallEnd{RetryAfter: wait, Reason: "it asked"})
}

// testGateReports: a refused client opens the breaker at once, a refused code does not, and a good answer closes it.
func testGateReports(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.gated(store.GateOptions{Failures: 2})
	open := func() bool {
		t.Helper()
		return pgtest.Scalar[bool](t, r.db, `SELECT EXISTS (SELECT FROM outbound_limit WHERE key = $1 AND state = 'open')`, "token:"+r.reg.ID.String())
	}
	to := r.start(t, plan("a"))
	q := to.Query()
	q.Set("code", "made-up")
	to.RawQuery = q.Encode()
	_, err := r.back(t, to)
	flowRefused(t, err, oauthflow.FlowCodeRefused)
	if open() {
		t.Error("a wrong code opened the breaker")
	}
	r.connect(t, plan("a"))
	if open() {
		t.Error("a good answer opened the breaker")
	}
	right := r.server.ClientSecret
	r.server.ClientSecret = "rotated"
	_, err = r.back(t, r.start(t, plan("b")))
	flowRefused(t, err, oauthflow.FlowClientRefused)
	if !open() {
		t.Error("a refused client leaves the breaker closed")
	}
	r.server.ClientSecret = right
	save := oauthflow.SaveParams{ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New(right)}}
	if _, _, err := r.regs.Save(t.Context(), r.by, save); err != nil {
		t.Fatal(err)
	}
	for _, answer := range []func(http.ResponseWriter){
		func(w http.ResponseWriter) { w.WriteHeader(http.StatusBadGateway) },
		func(w http.ResponseWriter) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		},
	} {
		r.server.Set(func(b *oauthtest.Behaviour) {
			b.After = func(w http.ResponseWriter, _ *http.Request) bool { answer(w); return true }
		})
		if open() {
			t.Error("one failure opened the breaker")
		}
		if _, err = r.back(t, r.start(t, plan("b"))); err == nil {
			t.Error("no failure")
		}
	}
	if !open() {
		t.Error("a 502 and a lost answer leave the breaker closed")
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM audit_event WHERE outcome = $1`, audit.Refused); n != 4 {
		t.Errorf("%d refusals are recorded, want 4", n)
	}
}
