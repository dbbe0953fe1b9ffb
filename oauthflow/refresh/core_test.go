package refresh_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// TestAccessUsesAValidToken: nothing is asked for while the token lasts longer than the skew.
func TestAccessUsesAValidToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(30 * time.Minute)
	k := r.keeper(r.config(calm()))
	if a := mustAccess(t, k, g); a.Token.Reveal() != atOf(g, 0) || a.Gen != 0 || a.Epoch != 1 || a.Type != "bearer" || a.Expires == nil {
		t.Errorf("got %+v", a)
	}
	if n := r.server.count(); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestAccessRefreshesAtExpiry: the expired pair is replaced whole, and every caller of the process gets the new one from
// one request.
func TestAccessRefreshesAtExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	k := r.keeper(r.config(calm()))
	const callers = 50
	errs := make(chan error, callers)
	for range callers {
		go func() {
			a, err := k.Access(context.Background(), g)
			if err == nil && a.Token.Reveal() != atOf(g, 1) {
				err = errTest
			}
			errs <- err
		}()
	}
	for range callers {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := r.server.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	v := r.row(g)
	if v.Gen != 1 || v.Phase != "idle" || v.State != "active" || r.token(g) != 1 || v.Left < 50*time.Minute || v.Open != 0 {
		t.Errorf("row %+v, token %d", v, r.token(g))
	}
}

// TestRF6 : a refusal that is not the row's own, or that comes while another attempt wins, ends nothing.
func TestRF6(t *testing.T) {
	t.Parallel()
	t.Run("RF-6 the loser is refused while the winner commits", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "S")
		g := r.consent(-time.Minute)
		// The loser's request is held at the server; its lease ends, another process replays and wins, and then the
		// loser is refused.
		release := make(chan struct{})
		r.server.setPlan(func(n int, _ string) fault {
			if n == 1 {
				<-release
				return fault{code: "invalid_grant"}
			}
			return fault{}
		})
		timing := calm()
		slow := timing
		slow.Send, slow.Lease = 20*time.Second, 40*time.Second
		loserCfg := r.config(slow)
		loser := r.keeper(loserCfg)
		lost := make(chan error, 1)
		go func() {
			_, err := loser.Access(context.Background(), g)
			lost <- err
		}()
		until(t, 30*time.Second, "the loser's request", func() bool { return r.server.count() == 1 })
		// The lease ends by the database's clock, and the loser's process is taken for dead.
		r.db.MustExec(t, `UPDATE credential SET lease_until = clock() - interval '1 hour' WHERE grant_id = $1`, g)
		r.db.MustExec(t, `UPDATE refresh_process SET heartbeat_at = clock() - interval '1 hour'`)
		winner := r.running(r.config(timing))
		a := accessUntil(t, winner, g, 30*time.Second)
		close(release)
		if err := <-lost; err != nil {
			t.Errorf("the loser: %v, want the winner's token", err)
		}
		v := r.row(g)
		if v.State != "active" || v.Gen != 1 || a.Token.Reveal() != atOf(g, 1) || v.Connection != "active" {
			t.Errorf("row %+v", v)
		}
	})
	t.Run("RF-6 a spurious refusal heals by the late pair", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "S")
		g := r.consent(-time.Minute)
		k := r.keeper(r.config(calm()))
		r.server.setPlan(func(int, string) fault { return fault{code: "invalid_grant"} })
		_, err := k.Access(context.Background(), g)
		wantClass(t, err, connectors.GrantLost)
		v := r.row(g)
		if v.State != "needs_reauth" || v.Class != "revoked" || v.Gen != 0 || v.Connection != "needs_reauth" || v.Reason == "" {
			t.Errorf("row %+v", v)
		}
	})
}

// TestRF9 : what each answer of a token endpoint does to a grant.
func TestRF9(t *testing.T) {
	t.Parallel()
	all := newRig(t, "F")
	var faults sync.Map
	plan := func(_ int, grant string) fault {
		f, _ := faults.Load(grant)
		return f.(fault)
	}
	all.server.setPlan(plan)
	for name, c := range map[string]struct {
		fault fault
		class connectors.Class
		want  row
	}{
		"RF-9 invalid_grant needs consent":                 {fault{code: "invalid_grant"}, connectors.GrantLost, row{State: "needs_reauth", Class: "revoked", Phase: "idle", Connection: "needs_reauth"}},
		"RF-9 invalid_client needs another registration":   {fault{status: 401, code: "invalid_client"}, connectors.ClientRejected, row{State: "config_error", Class: "client_rejected", Phase: "idle", Connection: "config_error"}},
		"RF-9 unauthorized_client likewise":                {fault{code: "unauthorized_client"}, connectors.ClientRejected, row{State: "config_error", Class: "client_rejected", Phase: "idle", Connection: "config_error"}},
		"RF-9 an unknown error is tried again":             {fault{code: "policy_changed"}, connectors.Transient, row{State: "active", Class: "unknown", Phase: "idle", Connection: "active", Failures: 1}},
		"RF-9 invalid_scope is no lost grant":              {fault{code: "invalid_scope"}, connectors.Transient, row{State: "active", Class: "unknown", Phase: "idle", Connection: "active", Failures: 1}},
		"RF-9 invalid_request is no lost grant":            {fault{code: "invalid_request"}, connectors.Transient, row{State: "active", Class: "unknown", Phase: "idle", Connection: "active", Failures: 1}},
		"RF-9 429 waits":                                   {fault{status: 429, code: "slow_down", retryAfter: "7"}, connectors.RateLimited, row{State: "active", Class: "unavailable", Phase: "idle", Connection: "active", Failures: 1}},
		"RF-9 503 waits":                                   {fault{status: 503, code: "invalid_grant"}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "idle", Connection: "active", Failures: 1}},
		"RF-9 500 may have used up the token":              {fault{status: 500, code: "invalid_grant"}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "uncertain", MaybeSent: true, Connection: "active", Failures: 1}},
		"RF-9 502 may have used up the token":              {fault{status: 502}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "uncertain", MaybeSent: true, Connection: "active", Failures: 1}},
		"RF-9 504 may have used up the token":              {fault{status: 504}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "uncertain", MaybeSent: true, Connection: "active", Failures: 1}},
		"RF-9 a reset may have used up the token":          {fault{resetBefore: true}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "uncertain", MaybeSent: true, Connection: "active", Failures: 1}},
		"RF-9 half an answer may have used up the token":   {fault{truncate: true}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "uncertain", MaybeSent: true, Connection: "active", Failures: 1}},
		"RF-9 a timeout may have used up the token":        {fault{after: time.Second}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "uncertain", MaybeSent: true, Connection: "active", Failures: 1}},
		"RF-9 a 404 without an error may have used it up":  {fault{status: http.StatusNotFound}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "uncertain", MaybeSent: true, Connection: "active", Failures: 1}},
		"RF-9 temporarily_unavailable in a 400 only waits": {fault{code: "temporarily_unavailable"}, connectors.Transient, row{State: "active", Class: "unavailable", Phase: "idle", Connection: "active", Failures: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := all.here(t)
			if c.class == connectors.ClientRejected { // a registration of its own: another's rejection is not waited for
				r = newRig(t, "F")
				r.server.setPlan(plan)
			}
			g := r.consent(-time.Minute)
			faults.Store(g.String(), c.fault)
			timing := calm()
			if c.fault.after > 0 {
				timing = quick()
			}
			timing.Retry, timing.RetryMost, timing.RetryDown = time.Minute, time.Hour, 10*time.Minute
			k := r.keeper(r.config(timing))
			_, err := k.Access(context.Background(), g)
			wantClass(t, err, c.class)
			if c.fault.retryAfter == "7" && connectors.RetryAfterOf(err) != 7*time.Second {
				t.Errorf("retry after %s", connectors.RetryAfterOf(err))
			}
			v := r.row(g)
			got := row{State: v.State, Class: v.Class, Phase: v.Phase, MaybeSent: v.MaybeSent, Connection: v.Connection, Failures: v.Failures}
			if got != c.want {
				t.Errorf("row\n got %+v\nwant %+v", got, c.want)
			}
			if v.Open != 0 || v.Attempts != 1 || v.Gen != 0 {
				t.Errorf("open %d, attempts %d, gen %d", v.Open, v.Attempts, v.Gen)
			}
			if n := r.server.countOf(g); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			if c.want.Failures == 1 && v.NextTry < 30*time.Second {
				t.Errorf("next try in %s", v.NextTry)
			}
		})
	}
}

// TestNeverSent: a request that cannot have reached the server leaves nothing uncertain.
func TestNeverSent(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	r.server.http.Close()
	k := r.keeper(r.config(calm()))
	_, err := k.Access(context.Background(), g)
	wantClass(t, err, connectors.Transient)
	if v := r.row(g); v.Phase != "idle" || v.MaybeSent || v.State != "active" || v.Failures != 1 {
		t.Errorf("row %+v", v)
	}
}

// TestMasterKey: without the right key every call says so, and nothing is written.
func TestMasterKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	other := newRig(t, "F")
	g := r.consent(-time.Minute)
	before := r.row(g)
	for name, vault := range map[string]oauthflow.Vault{"missing": nil, "another": other.ring} {
		cfg := r.config(calm())
		cfg.Vault = vault
		k := r.keeper(cfg)
		_, err := k.Access(context.Background(), g)
		if !errors.Is(err, refresh.ErrMasterKey) || connectors.ClassOf(err) != connectors.Transient {
			t.Errorf("%s key: %v", name, err)
		}
	}
	after := r.row(g)
	before.Left, after.Left, before.NextTry, after.NextTry = 0, 0, 0, 0
	if before != after || r.server.count() != 0 {
		t.Errorf("row %+v, was %+v", after, before)
	}
}
