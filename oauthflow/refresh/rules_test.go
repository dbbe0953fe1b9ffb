package refresh_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// TestRF8 : a database whose clock is ten minutes off this process's, either way, changes nothing.
func TestRF8(t *testing.T) {
	t.Parallel()
	for name, shift := range map[string]string{"RF-8 ahead": "10 minutes", "RF-8 behind": "-10 minutes"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "F")
			r.server.life = 5 * time.Minute
			r.db.MustExec(t, `CREATE OR REPLACE FUNCTION clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$ SELECT clock_timestamp() + interval '`+shift+`' $$`)
			g := r.consent(-time.Minute)
			timing := quick()
			timing.Send, timing.Lease = 5*time.Second, 10*time.Second
			k := r.running(r.config(timing))
			for range 5 {
				if a := mustAccess(t, k, g); a.Gen != 1 {
					t.Fatalf("generation %d", a.Gen)
				}
			}
			if n := r.server.count(); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			r.expire(g)
			if a := mustAccess(t, k, g); a.Gen != 2 || r.server.count() != 2 {
				t.Errorf("generation %d after %d requests", a.Gen, r.server.count())
			}
			// A lost answer takes the same time as ever.
			r.expire(g)
			r.server.setPlan(func(n int, _ string) fault { return fault{resetBefore: n == 3} })
			lost := time.Now()
			accessUntil(t, k, g, 30*time.Second)
			if d := time.Since(lost); d < quick().Quiet {
				t.Errorf("presented again after %s", d)
			}
			r.mustBeSound(g)
		})
	}
}

// TestWithoutRefreshToken: such a token is used to its end, and then consent is needed.
func TestWithoutRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, "N")
	k := r.keeper(r.config(calm()))
	bare := func(left time.Duration) uuid.UUID {
		g := r.consent(left)
		pair := oauthflow.Pair{Access: secretText(atOf(g, 0)), Type: "bearer"}
		ct, err := oauthflow.SealPair(r.ring, oauthflow.PairPlace(g, 1, 0, oauthflow.FieldTokens), pair)
		if err != nil {
			t.Fatal(err)
		}
		r.db.MustExec(t, `UPDATE credential SET secret_ct = $2 WHERE grant_id = $1`, g, ct)
		return g
	}
	g := bare(20 * time.Second)
	if a := mustAccess(t, k, g); a.Gen != 0 {
		t.Errorf("generation %d", a.Gen)
	}
	r.expire(g)
	_, err := k.Access(t.Context(), g)
	wantClass(t, err, connectors.GrantLost)
	if v := r.row(g); v.State != "needs_reauth" || v.Class != "expired" || v.Connection != "needs_reauth" {
		t.Errorf("row %+v", v)
	}
	forever := bare(0)
	r.db.MustExec(t, `UPDATE credential SET at_expires = NULL WHERE grant_id = $1`, forever)
	a := mustAccess(t, k, forever)
	_, err = k.Rejected(t.Context(), forever, a)
	wantClass(t, err, connectors.GrantLost)
	if v := r.row(forever); v.State != "needs_reauth" || v.Class != "revoked" {
		t.Errorf("row %+v", v)
	}
	if r.server.count() != 0 {
		t.Errorf("%d requests", r.server.count())
	}
}

// TestUnknownExpiry: a token whose life nobody stated is used until a 401.
func TestUnknownExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	r.server.life = 0
	g := r.consent(-time.Minute)
	k := r.keeper(r.config(calm()))
	a := mustAccess(t, k, g)
	if b := mustAccess(t, k, g); a.Gen != 1 || b.Gen != 1 || a.Expires != nil {
		t.Errorf("generations %d, %d, expires %v", a.Gen, b.Gen, a.Expires)
	}
	if b, err := k.Rejected(t.Context(), g, a); err != nil || b.Gen != 2 {
		t.Errorf("generation %d, %v", b.Gen, err)
	}
}

// TestOnUncertainReauth: with this setting a single-use token is never presented again.
func TestOnUncertainReauth(t *testing.T) {
	t.Parallel()
	r := newRig(t, "S")
	g := r.consent(-time.Minute)
	r.server.setPlan(func(int, string) fault { return fault{resetBefore: true} })
	cfg := r.config(quick())
	cfg.OnUncertainReauth = true
	k := r.running(cfg)
	until(t, 30*time.Second, "needs_reauth", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, _ = k.Access(ctx, g)
		return r.row(g).State == "needs_reauth"
	})
	if v := r.row(g); v.Class != "lost_response" || r.server.count() != 1 {
		t.Errorf("row %+v after %d requests", v, r.server.count())
	}
}

// TestNewConsent: a pair of an older consent is discarded.
func TestNewConsent(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(calm())
	at(&cfg, refresh.BeforeSettle, func() {
		ct, err := oauthflow.SealPair(r.ring, oauthflow.PairPlace(g, 2, 0, oauthflow.FieldTokens), oauthflow.Pair{Access: secretText("at-new"), Refresh: secretText(refreshToken(g.String(), 1)), Type: "bearer"})
		if err != nil {
			t.Error(err)
		}
		r.db.MustExec(t, `UPDATE credential SET epoch = 2, gen = 0, secret_ct = $2, at_expires = clock() + interval '1 hour', obtained_at = clock(), phase = 'idle', attempt_id = NULL WHERE grant_id = $1`, g, ct)
	})
	a := mustAccess(t, r.keeper(cfg), g)
	if v := r.row(g); a.Epoch != 2 || a.Token.Reveal() != "at-new" || v.Gen != 0 || v.Spares != 0 {
		t.Errorf("epoch %d, row %+v", a.Epoch, v)
	}
}

// TestTroubled: the same unknown refusal for a day is shown on working connections, and tried again all the same; what
// heals the grant heals them.
func TestTroubled(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	r.server.setPlan(func(int, string) fault { return fault{code: "policy_changed"} })
	k := r.keeper(r.config(calm()))
	try := func() {
		r.db.MustExec(t, `UPDATE credential SET next_try = clock()`)
		_, _ = k.Access(t.Context(), g)
	}
	for range 11 {
		try()
	}
	if v := r.row(g); v.Connection != "active" || v.Failures != 11 {
		t.Errorf("after some minutes: %+v", v)
	}
	r.db.MustExec(t, `UPDATE credential SET first_failed_at = clock() - interval '25 hours'`)
	try()
	if v := r.row(g); v.Connection != "degraded" || v.State != "active" || !strings.Contains(v.Reason, "policy_changed") {
		t.Errorf("after a day: %+v", v)
	}
	r.server.setPlan(nil)
	try()
	if v := r.row(g); v.Connection != "active" || v.Reason != "" || v.Failures != 0 || v.Gen != 1 {
		t.Errorf("healed: %+v", v)
	}
}

// TestConnectionsFollow: with a grant that needs consent its connections stop, but for those that an admin paused; what
// heals the grant makes them due at once.
func TestConnectionsFollow(t *testing.T) {
	t.Parallel()
	r := newRig(t, "S")
	g := r.consent(-time.Minute)
	r.db.MustExec(t, `INSERT INTO connection (name, source, grant_id, state) VALUES ('paused', 'fake', $1, 'paused')`, g)
	states := func() string {
		var s string
		if err := r.db.Owner.QueryRow(t.Context(), `SELECT string_agg(state, ' ' ORDER BY name = 'paused') FROM connection WHERE grant_id = $1`, g).Scan(&s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	cfg := r.config(quick())
	wake := make(chan struct{})
	at(&cfg, refresh.BeforeSettle, func() { <-wake })
	late := r.keeper(cfg)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = late.Access(context.Background(), g)
	}()
	until(t, 30*time.Second, "the request", func() bool { return r.server.count() == 1 })
	other := r.running(r.config(quick()))
	until(t, 30*time.Second, "a refused replay", func() bool {
		r.forget()
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, _ = other.Access(ctx, g)
		return r.row(g).State == "needs_reauth"
	})
	if got := states(); got != "needs_reauth paused" {
		t.Errorf("connections %q", got)
	}
	close(wake) // the late pair heals
	<-done
	var due bool
	if err := r.db.Owner.QueryRow(t.Context(), `SELECT next_run_at <= clock() FROM schedule s JOIN connection c ON c.id = s.connection_id WHERE c.grant_id = $1`, g).Scan(&due); err != nil {
		t.Fatal(err)
	}
	if got := states(); got != "active paused" || !due || r.row(g).State != "active" {
		t.Errorf("connections %q, due %v, row %+v", got, due, r.row(g))
	}
}

// TestDue: what is refreshed ahead of time, and what is not.
func TestDue(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	k := r.keeper(r.config(calm()))
	set := func(sql string, left time.Duration) uuid.UUID {
		g := r.consent(left)
		if sql != "" {
			r.db.MustExec(t, sql, g)
		}
		return g
	}
	want := map[uuid.UUID]string{
		set("", time.Minute):  "its token is near its end",
		set("", -time.Minute): "its token has expired",
		set(`UPDATE credential SET idle_expires = clock() + interval '10 minutes', at_expires = NULL, obtained_at = clock() - interval '1 day' WHERE grant_id = $1`, 0):                                                                        "its refresh token dies unused",
		set(`WITH p AS (UPDATE connection SET state = 'paused' WHERE grant_id = $1) UPDATE credential SET idle_expires = clock() + interval '10 minutes', at_expires = NULL, obtained_at = clock() - interval '1 day' WHERE grant_id = $1`, 0): "a paused connection keeps its grant alive",
	}
	not := map[uuid.UUID]string{
		set("", 50*time.Minute): "its token is young",
		set(`UPDATE connection SET state = 'paused' WHERE grant_id = $1`, -time.Minute):                           "its connection is paused",
		set(`UPDATE connection SET grant_id = NULL WHERE grant_id = $1`, -time.Minute):                            "no connection uses it",
		set(`UPDATE credential SET next_try = clock() + interval '1 minute' WHERE grant_id = $1`, -time.Minute):   "it has to wait",
		set(`UPDATE credential SET state = 'needs_reauth' WHERE grant_id = $1`, -time.Minute):                     "it needs consent",
		set(`UPDATE credential SET phase = 'in_flight', lease_until = clock() WHERE grant_id = $1`, -time.Minute): "it is in flight",
		set(`UPDATE credential SET refreshable = false WHERE grant_id = $1`, -time.Minute):                        "there is nothing to refresh with",
		set(`UPDATE oauth_grant SET expires_at = clock() - interval '1 minute' WHERE id = $1`, -time.Minute):      "its end has come",
		set(`UPDATE credential SET at_expires = NULL WHERE grant_id = $1`, 0):                                     "nobody knows its token's life",
	}
	got, err := k.Due(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range got {
		if why, bad := not[g]; bad {
			t.Errorf("due although %s", why)
		}
		delete(want, g)
	}
	for _, why := range want {
		t.Errorf("not due although %s", why)
	}
	// Jitter: a herd that was connected at once spreads over 72 to 88 % of the life.
	r.db.MustExec(t, `DELETE FROM credential`)
	const herd = 200
	for range herd {
		set("", 12*time.Minute) // at 80 % of an hour
	}
	if got, err = k.Due(t.Context(), 1000); err != nil || len(got) < herd/4 || len(got) > herd*3/4 {
		t.Errorf("%d of %d are due at 80 %% (%v)", len(got), herd, err)
	}
	r.db.MustExec(t, `INSERT INTO outbound_limit (key, blocked_until) VALUES ('token:' || $1::text, clock() + interval '1 minute')`, r.registration)
	if got, err = k.Due(t.Context(), 1000); err != nil || len(got) != 0 {
		t.Errorf("%d are due at an endpoint that is held back (%v)", len(got), err)
	}
}

// TestBetweenServers: a grant without a person asks for a new token, from one process, and needs no refresh token.
func TestBetweenServers(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	r.db.MustExec(t, `UPDATE oauth_grant SET kind = 'client_credentials' WHERE id = $1`, g)
	r.db.MustExec(t, `UPDATE credential SET secret_ct = NULL, at_expires = NULL WHERE grant_id = $1`, g)
	s := &asking{fail: 1}
	cfg := r.config(quick())
	cfg.Sender = s
	k := r.running(cfg)
	a := accessUntil(t, k, g, 30*time.Second) // the first answer is lost, which uses up nothing
	if a.Gen != 1 || a.Token.Reveal() != "at-2" {
		t.Errorf("generation %d", a.Gen)
	}
	if a = mustAccess(t, k, g); a.Gen != 1 || s.asked != 2 {
		t.Errorf("generation %d after %d requests", a.Gen, s.asked)
	}
}

type asking struct{ asked, fail int }

func (s *asking) Send(_ context.Context, r refresh.Request, trace *oauthflow.Trace) (*oauthflow.Token, error) {
	trace.MarkSent()
	s.asked++
	if s.asked <= s.fail {
		return nil, errTest
	}
	if r.Pair.Refresh.IsSet() {
		return nil, errTest
	}
	return &oauthflow.Token{Access: secretText("at-2"), Type: "bearer", ExpiresIn: time.Hour}, nil
}
