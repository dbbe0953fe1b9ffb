package refresh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/jobs"
	"tributary/oauthflow/refresh"
)

// TestFailuresToBeat : how other programs lose grants, each as it was reported, and that it does not happen here.
func TestFailuresToBeat(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*testing.T){
		"oauth2-proxy 3456: a lock that ends before the provider answers":      lockShorterThanProvider,
		"Floway 340: a lost compare-and-set drops the rotation":                lostCompareAndSet,
		"souz 711: a pair is saved in pieces":                                  savedInPieces,
		"opencodex 1397: the intent is cleared before the pair is stored":      intentClearedFirst,
		"airbyte 82783: a snapshot of the token goes stale":                    staleSnapshot,
		"airbyte 82719: a check drops the rotated token":                       checkDropsToken,
		"pipeshub 3058: a used token counts as a revocation":                   usedTokenIsNoRevocation,
		"executor 1377: the store is away after the rotation":                  storeAwayAfterRotation,
		"nango 2859: a lock is held while the provider is asked":               lockHeldWhileAsking,
		"sourcegraph 37260: ten seconds before expiry are too few":             skewTooShort,
		"atproto 5411: a lost answer ends a single-use token, and it says so":  lostResponse,
		"a spare of the later attempt replaces the earlier, where both answer": laterSibling,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

func lockShorterThanProvider(t *testing.T) {
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	r.server.setPlan(func(int, string) fault { return fault{after: 1200 * time.Millisecond} })
	timing := quick() // the lease outlives the request, and a heartbeat the claim
	timing.Send, timing.Lease = 2*time.Second, 3*time.Second
	var wg sync.WaitGroup
	for range 3 {
		k := r.running(r.config(timing))
		wg.Go(func() { accessUntil(t, k, g, 30*time.Second) })
	}
	wg.Wait()
	if n := r.server.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

// at runs fn once when a keeper reaches a point.
func at(cfg *refresh.Config, point refresh.Point, fn func()) {
	var once sync.Once
	cfg.Fail = func(p refresh.Point) {
		if p == point {
			once.Do(fn)
		}
	}
}

// forget makes every process look dead, and ends every lease.
func (r *rig) forget() {
	r.db.MustExec(r.tb, `UPDATE refresh_process SET heartbeat_at = clock() - interval '1 hour'`)
	r.db.MustExec(r.tb, `UPDATE credential SET lease_until = clock() - interval '1 hour', next_try = clock() WHERE phase <> 'idle'`)
}

func lostCompareAndSet(t *testing.T) {
	r := newRig(t, "N")
	g := r.consent(-time.Minute)
	other := r.keeper(r.config(quick()))
	cfg := r.config(quick())
	at(&cfg, refresh.BeforeSettle, func() {
		r.forget()
		accessUntil(t, other, g, 30*time.Second)
	})
	k := r.keeper(cfg)
	accessUntil(t, k, g, 30*time.Second)
	if v := r.row(g); v.Gen != 1 || v.Spares != 1 || v.State != "active" || v.Open != 0 {
		t.Errorf("row %+v, want the pair of the second as a spare", v)
	}
}

func laterSibling(t *testing.T) {
	r := newRig(t, "G")
	r.server.grace = time.Hour
	r.register()
	g := r.consent(-time.Minute)
	// The first is taken for dead while its answer is in its hands; the second presents the same token and gets a
	// newer pair, and before it stores that, the first wakes up and stores its own.
	timing := quick()
	timing.Quiet, timing.Send, timing.Lease = time.Millisecond, 10*time.Second, 20*time.Second
	firstCfg, secondCfg := r.config(timing), r.config(timing)
	goOn, firstDone := make(chan struct{}), make(chan struct{})
	at(&firstCfg, refresh.BeforeSettle, func() { <-goOn })
	at(&secondCfg, refresh.BeforeSettle, func() { close(goOn); <-firstDone })
	first, second := r.keeper(firstCfg), r.keeper(secondCfg)
	go func() {
		defer close(firstDone)
		_, _ = first.Access(context.Background(), g)
	}()
	until(t, 30*time.Second, "the first request", func() bool { return r.server.count() == 1 })
	until(t, 30*time.Second, "the second request", func() bool {
		r.forget()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_, _ = second.Access(ctx, g)
		return r.server.count() == 2
	})
	<-firstDone
	until(t, 30*time.Second, "both pairs", func() bool { return r.row(g).Spares == 1 })
	if v := r.row(g); v.Gen != 2 || r.token(g) != 2 || v.State != "active" || v.Phase != "idle" {
		t.Errorf("row %+v holds token %d, want the newer one, 2", v, r.token(g))
	}
}

func savedInPieces(t *testing.T) {
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(calm())
	at(&cfg, refresh.InSettle, func() {
		if v := r.row(g); v.Gen != 0 || r.token(g) != 0 || v.Left > 0 {
			t.Errorf("before T2 commits: %+v, token %d", v, r.token(g))
		}
	})
	a := mustAccess(t, r.keeper(cfg), g)
	if v := r.row(g); v.Gen != 1 || r.token(g) != 1 || v.Left < 50*time.Minute || a.Token.Reveal() != atOf(g, 1) {
		t.Errorf("after it: %+v, token %d", v, r.token(g))
	}
}

func intentClearedFirst(t *testing.T) {
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(calm())
	var seen []string
	cfg.Fail = func(p refresh.Point) { seen = append(seen, string(p)+" "+r.row(g).Phase) }
	mustAccess(t, r.keeper(cfg), g)
	want := "before_t1 idle, in_t1 idle, after_t1 in_flight, before_write in_flight, after_write in_flight, after_headers in_flight, after_body in_flight, before_t2 in_flight, in_t2 in_flight, after_t2 idle"
	if got := strings.Join(seen, ", "); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func staleSnapshot(t *testing.T) {
	r := newRig(t, "F")
	g := r.consent(30 * time.Minute)
	k, other := r.keeper(r.config(calm())), r.keeper(r.config(calm()))
	old := mustAccess(t, k, g)
	if _, err := other.Refresh(context.Background(), g); err != nil {
		t.Fatal(err)
	}
	// A 401 on the old token finds the new one, and asks for none.
	a, err := k.Rejected(context.Background(), g, old)
	if err != nil || a.Gen != 1 || a.Token.Reveal() != atOf(g, 1) || r.server.count() != 1 {
		t.Errorf("got %v (%v), %d requests", a.Gen, err, r.server.count())
	}
	// And one on the new token asks once, for any number of callers.
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if got, err := k.Rejected(context.Background(), g, a); err != nil || got.Gen != 2 {
				t.Errorf("got generation %d, %v", got.Gen, err)
			}
		})
	}
	wg.Wait()
	if n := r.server.count(); n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	raw, err := json.Marshal(jobs.RefreshArgs{})
	if err != nil || string(raw) != "{}" {
		t.Errorf("the job carries %s", raw)
	}
}

func checkDropsToken(t *testing.T) {
	r := newRig(t, "F")
	g := r.consent(30 * time.Minute)
	check := r.keeper(r.config(calm()))
	if a, err := check.Refresh(context.Background(), g); err != nil || a.Gen != 1 {
		t.Fatalf("generation %d, %v", a.Gen, err)
	}
	r.expire(g)
	if a := mustAccess(t, r.keeper(r.config(calm())), g); a.Gen != 2 {
		t.Errorf("generation %d", a.Gen)
	}
	r.mustBeSound(g)
}

func usedTokenIsNoRevocation(t *testing.T) {
	r := newRig(t, "S")
	g := r.consent(-time.Minute)
	other := r.keeper(r.config(calm()))
	cfg := r.config(calm())
	at(&cfg, refresh.BeforeWrite, func() {
		// Another process rotates first: this one's token is used up when it arrives.
		r.db.MustExec(t, `UPDATE credential SET phase = 'idle', attempt_id = NULL WHERE grant_id = $1`, g)
		accessUntil(t, other, g, 30*time.Second)
	})
	a := mustAccess(t, r.keeper(cfg), g)
	if v := r.row(g); v.State != "active" || v.Connection != "active" || a.Gen != 1 || r.server.count() != 2 {
		t.Errorf("row %+v after %d requests", v, r.server.count())
	}
}

func storeAwayAfterRotation(t *testing.T) {
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(calm())
	b := &brokenStore{Store: cfg.Store}
	cfg.Store = b
	at(&cfg, refresh.AfterBody, func() { b.broken.Store(true) })
	k, err := refresh.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, err = k.Access(context.Background(), g)
	wantClass(t, err, connectors.Transient)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := k.Close(ctx); err != nil { // the process ends
		t.Fatal(err)
	}
	files := spooled(t, r.spool)
	if len(files) != 1 {
		t.Fatalf("spool: %v", files)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil || bytes.Contains(raw, []byte("rt-")) || bytes.Contains(raw, []byte("at-"+g.String())) {
		t.Errorf("the spool shows a token (%v)", err)
	}
	file, _ := os.Stat(files[0])
	dir, _ := os.Stat(r.spool)
	if file.Mode().Perm() != 0o600 || dir.Mode().Perm() != 0o700 {
		t.Errorf("modes %s, %s", file.Mode(), dir.Mode())
	}
	next := r.running(r.config(calm()))
	if a := accessUntil(t, next, g, 30*time.Second); a.Gen != 1 {
		t.Errorf("generation %d", a.Gen)
	}
	until(t, 30*time.Second, "the spool to empty", func() bool { return len(spooled(t, r.spool)) == 0 })
	if n := r.server.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	r.mustBeSound(g)
}

func lockHeldWhileAsking(t *testing.T) {
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(calm())
	at(&cfg, refresh.AfterWrite, func() {
		var held int
		err := r.db.Owner.QueryRow(context.Background(), `
			SELECT (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%')
				+ (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&held)
		if err != nil || held != 0 {
			t.Errorf("%d transactions or advisory locks are held while the provider is asked (%v)", held, err)
		}
	})
	mustAccess(t, r.keeper(cfg), g)
}

func skewTooShort(t *testing.T) {
	r := newRig(t, "F")
	k := r.keeper(r.config(calm()))
	g := r.consent(45 * time.Second) // of an hour
	if a := mustAccess(t, k, g); a.Gen != 1 {
		t.Error("a token with 45 s left was handed out")
	}
	short := r.consent(20 * time.Second)
	r.db.MustExec(t, `UPDATE credential SET obtained_at = at_expires - interval '30 seconds' WHERE grant_id = $1`, short)
	if a := mustAccess(t, k, short); a.Gen != 0 {
		t.Error("a token of 30 s was refreshed after 10 s")
	}
}

func lostResponse(t *testing.T) {
	r := newRig(t, "S")
	g := r.consent(30 * time.Second) // inside the skew, and valid
	r.server.setPlan(func(n int, _ string) fault { return fault{resetAfter: n == 1} })
	k := r.running(r.config(quick()))
	for range 3 {
		if a := mustAccess(t, k, g); a.Gen != 0 {
			t.Fatalf("generation %d", a.Gen)
		}
	}
	if v := r.row(g); v.Phase != "uncertain" || v.State != "active" || r.server.count() != 1 {
		t.Errorf("while the access token is valid: %+v, %d requests", v, r.server.count())
	}
	r.expire(g)
	r.db.MustExec(t, `UPDATE credential SET next_try = clock()`)
	until(t, 30*time.Second, "the end", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		_, _ = k.Access(ctx, g)
		return r.row(g).State == "needs_reauth"
	})
	v := r.row(g)
	if v.Class != "lost_response" || v.Connection != "needs_reauth" || !strings.Contains(v.Reason, "an answer of the provider was lost") || r.server.count() != 2 {
		t.Errorf("row %+v after %d requests", v, r.server.count())
	}
}
