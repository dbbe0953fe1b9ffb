package refresh_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// doubtfulStore commits, and says of one transaction that it failed.
type doubtfulStore struct {
	refresh.Store
	armed atomic.Bool
}

func (d *doubtfulStore) InRow(ctx context.Context, grant uuid.UUID, fn func(tx refresh.Tx) error) error {
	err := d.Store.InRow(ctx, grant, fn)
	if err == nil && d.armed.CompareAndSwap(true, false) {
		return errTest
	}
	return err
}

// TestUnknownClaim: a claim whose commit is in doubt sends nothing, and is released where it is found.
func TestUnknownClaim(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(quick())
	d := &doubtfulStore{Store: cfg.Store}
	cfg.Store = d
	d.armed.Store(true)
	k := r.keeper(cfg)
	_, err := k.Access(t.Context(), g)
	wantClass(t, err, connectors.Transient)
	if v := r.row(g); r.server.count() != 0 || v.Phase != "idle" || v.MaybeSent || v.Open != 0 {
		t.Errorf("%d requests, row %+v", r.server.count(), v)
	}
	if a := mustAccess(t, k, g); a.Gen != 1 {
		t.Errorf("generation %d", a.Gen)
	}
}

// TestUnknownSettle: T2 that committed and is repeated finds that, and leaves no spare.
func TestUnknownSettle(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(quick())
	d := &doubtfulStore{Store: cfg.Store}
	cfg.Store = d
	at(&cfg, refresh.BeforeSettle, func() { d.armed.Store(true) })
	k := r.running(cfg)
	if a := accessUntil(t, k, g, 10*time.Second); a.Gen != 1 {
		t.Errorf("generation %d", a.Gen)
	}
	until(t, 5*time.Second, "the spool to empty", func() bool { return len(spooled(t, r)) == 0 })
	if v := r.row(g); v.Gen != 1 || v.Spares != 0 || v.Open != 0 || r.server.count() != 1 {
		t.Errorf("row %+v after %d requests", v, r.server.count())
	}
}

// TestLivingHolder: while the process that sent a request shows that it lives, nobody presents its token again, however
// long its lease is over.
func TestLivingHolder(t *testing.T) {
	t.Parallel()
	for _, class := range []string{"G", "S", "F"} {
		t.Run("class "+class, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, class)
			r.server.grace = time.Hour
			r.register()
			g := r.consent(-time.Minute)
			release := make(chan struct{})
			r.server.setPlan(func(n int, _ string) fault {
				if n == 1 {
					<-release
				}
				return fault{}
			})
			slow := quick()
			slow.Send, slow.Lease = 20*time.Second, 40*time.Second
			holder, other := r.running(r.config(slow)), r.running(r.config(quick()))
			got := make(chan error, 1)
			go func() {
				_, err := holder.Access(context.Background(), g)
				got <- err
			}()
			until(t, 5*time.Second, "the request", func() bool { return r.server.count() == 1 })
			r.db.MustExec(t, `UPDATE credential SET lease_until = clock() - interval '1 hour' WHERE grant_id = $1`, g)
			begin := time.Now()
			until(t, 10*time.Second, "twice Q", func() bool {
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
				_, _ = other.Access(ctx, g)
				return time.Since(begin) > 2*quick().Quiet
			})
			if n := r.server.count(); n != 1 || r.row(g).Phase != "uncertain" {
				t.Errorf("%d requests, row %+v", n, r.row(g))
			}
			close(release)
			if err := <-got; err != nil {
				t.Error(err)
			}
			r.mustBeSound(g)
		})
	}
}

// TestNewcomerWaits: a process that was started a moment ago cannot know who lives, and presents nothing again before
// Q has passed.
func TestNewcomerWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Hour)
	r.db.MustExec(t, `UPDATE credential SET phase = 'uncertain', maybe_sent = true, t_first = clock() - interval '1 hour', lease_until = clock() - interval '1 hour' WHERE grant_id = $1`, g)
	begin := time.Now()
	k := r.running(r.config(quick()))
	a := accessUntil(t, k, g, 10*time.Second)
	if d := time.Since(begin); d < quick().Quiet || a.Gen != 1 {
		t.Errorf("presented again after %s, generation %d", d, a.Gen)
	}
}

// TestRefusedReplayStaysUncertain: a 503 for a replay says nothing about the first presentation.
func TestRefusedReplayStaysUncertain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "N")
	g := r.consent(-time.Minute)
	r.server.setPlan(func(n int, _ string) fault {
		if n == 1 {
			return fault{resetBefore: true}
		}
		return fault{status: 503, code: "temporarily_unavailable"}
	})
	k := r.keeper(r.config(quick()))
	until(t, 5*time.Second, "the refused replay", func() bool {
		_, _ = k.Access(context.Background(), g)
		return r.server.count() >= 2
	})
	if v := r.row(g); v.Phase != "uncertain" || !v.MaybeSent || v.State != "active" {
		t.Errorf("row %+v", v)
	}
}

// TestSpares: of the spares of a grant that needs consent the newest is promoted that no attempt has presented and that
// is of the present consent.
func TestSpares(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		epoch     int
		presented bool
		state     string
		want      string
	}{
		"a late pair heals":                      {1, false, "needs_reauth", "active"},
		"one that was presented does not":        {1, true, "needs_reauth", "needs_reauth"},
		"one of an older consent does not":       {0, false, "needs_reauth", "needs_reauth"},
		"one on a grant that is closing neither": {1, false, "closing", "closing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, "F")
			g := r.consent(-time.Minute)
			k := r.keeper(r.config(quick()))
			ct, err := oauthflow.SealPair(r.ring, oauthflow.PairPlace(g, c.epoch, 0, oauthflow.FieldSpare), oauthflow.Pair{Access: secret.New(atOf(g, 1)), Refresh: secret.New(refreshToken(g.String(), 1)), Type: "bearer"})
			if err != nil {
				t.Fatal(err)
			}
			mac := []byte("of spare " + g.String())
			r.db.MustExec(t, `INSERT INTO credential_spare (attempt_id, grant_id, epoch, base_gen, secret_ct, rt_hmac) VALUES (gen_random_uuid(), $1, $2, 0, $3, $4)`, g, c.epoch, ct, mac)
			if c.presented {
				r.db.MustExec(t, `INSERT INTO refresh_attempt (id, grant_id, epoch, gen, rt_hmac, holder, outcome) VALUES (gen_random_uuid(), $1, 1, 1, $2, 'x', 'lost')`, g, mac)
			}
			r.db.MustExec(t, `UPDATE credential SET state = $2 WHERE grant_id = $1`, g, c.state)
			if err := k.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if v := r.row(g); v.State != c.want || c.want == "active" && r.token(g) != 1 {
				t.Errorf("row %+v", v)
			}
		})
	}
}

// TestOwnSpoolFirst: while a pair of a grant is in the spool and cannot be stored, its older token is not presented;
// other grants are not held up.
func TestOwnSpoolFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g, other := r.consent(-time.Minute), r.consent(-time.Minute)
	attempt := uuid.New()
	head, err := json.Marshal(map[string]any{"tributary_spool": 1, "attempt": attempt, "grant": g, "epoch": 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(r.spool, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(r.spool, attempt.String()+".pair"), append(head, "\ndamaged"...), 0o600); err != nil {
		t.Fatal(err)
	}
	k := r.keeper(r.config(quick()))
	_, err = k.Access(t.Context(), g)
	wantClass(t, err, connectors.Transient)
	if n := r.server.count(); n != 0 {
		t.Errorf("%d requests", n)
	}
	if a := mustAccess(t, k, other); a.Gen != 1 {
		t.Errorf("generation %d", a.Gen)
	}
	if len(spooled(t, r)) != 1 {
		t.Error("the damaged file was deleted")
	}
}

// TestShortGrace: where the old token answers for too short a time for another process, the holder presents it again
// inside its own lease, and records that.
func TestShortGrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, "G")
	r.server.grace = time.Second // less than L + Silent + D
	r.register()
	g := r.consent(-time.Minute)
	r.server.setPlan(func(n int, _ string) fault { return fault{resetAfter: n == 1} })
	a := mustAccess(t, r.keeper(r.config(quick())), g)
	v := r.row(g)
	if a.Gen != 1 || r.server.count() != 2 || v.Lost != 1 || v.Attempts != 2 || v.Open != 0 {
		t.Errorf("generation %d after %d requests, row %+v", a.Gen, r.server.count(), v)
	}
	r.mustBeSound(g)
}

// TestTooLateToSend: a claim that has grown older than L - D before the request sends nothing, and leaves nothing
// uncertain.
func TestTooLateToSend(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(quick())
	at(&cfg, refresh.AfterClaim, func() { <-time.After(quick().Lease - quick().Send + 100*time.Millisecond) })
	k := r.keeper(cfg)
	_, err := k.Access(t.Context(), g)
	wantClass(t, err, connectors.Transient)
	if v := r.row(g); r.server.count() != 0 || v.Phase != "idle" || v.MaybeSent {
		t.Errorf("%d requests, row %+v", r.server.count(), v)
	}
}
