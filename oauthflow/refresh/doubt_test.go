package refresh_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/seal"
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
	if a := accessUntil(t, k, g, 30*time.Second); a.Gen != 1 {
		t.Errorf("generation %d", a.Gen)
	}
	until(t, 30*time.Second, "the spool to empty", func() bool { return len(spooled(t, r.spool)) == 0 })
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
			until(t, 30*time.Second, "the request", func() bool { return r.server.count() == 1 })
			r.db.MustExec(t, `UPDATE credential SET lease_until = clock() - interval '1 hour' WHERE grant_id = $1`, g)
			begin := time.Now()
			until(t, 30*time.Second, "twice Q", func() bool {
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
	a := accessUntil(t, k, g, 30*time.Second)
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
	until(t, 30*time.Second, "the refused replay", func() bool {
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
	all := newRig(t, "F")
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
			r := all.here(t)
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

// leave writes a file into the spool as a process leaves one that could not store the pair of token 1.
func (r *rig) leave(vault oauthflow.Vault, g uuid.UUID, damage func(raw []byte) []byte) string {
	r.tb.Helper()
	attempt := uuid.New()
	head, err := json.Marshal(map[string]any{"tributary_spool": 1, "attempt": attempt, "grant": g, "epoch": 1})
	if err != nil {
		r.tb.Fatal(err)
	}
	sum := sha256.Sum256(head)
	place := seal.Context{Purpose: "spool", ID: hex.EncodeToString(sum[:]), Field: oauthflow.FieldTokens}
	ct, err := oauthflow.SealPair(vault, place, oauthflow.Pair{Access: secret.New(atOf(g, 1)), Refresh: secret.New(refreshToken(g.String(), 1)), Type: "bearer"})
	if err != nil {
		r.tb.Fatal(err)
	}
	if err := os.MkdirAll(r.spool, 0o700); err != nil {
		r.tb.Fatal(err)
	}
	file := filepath.Join(r.spool, attempt.String()+".pair")
	if err := os.WriteFile(file, damage(slices.Concat(head, []byte("\n"), ct)), 0o600); err != nil {
		r.tb.Fatal(err)
	}
	return file
}

// here is the rig for a part of its test, with a spool of its own.
func (r *rig) here(t *testing.T) *rig {
	t.Helper()
	part := *r
	part.tb, part.spool = t, filepath.Join(t.TempDir(), "spool")
	return &part
}

func whole(raw []byte) []byte { return raw }

// TestOwnSpoolFirst: while a pair of a grant is in the spool and cannot be stored, its older token is not presented;
// other grants are not held up. What can be stored is, before anything is asked for.
func TestOwnSpoolFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g, other, stored := r.consent(-time.Minute), r.consent(-time.Minute), r.consent(-time.Minute)
	another, err := seal.Create(filepath.Join(t.TempDir(), "another.key"), seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	file := r.leave(another, g, whole)
	r.leave(r.ring, stored, whole)
	k := r.keeper(r.config(calm()))
	_, err = k.Access(t.Context(), g)
	wantClass(t, err, connectors.Transient)
	if n := r.server.count(); n != 0 {
		t.Errorf("%d requests", n)
	}
	if a := mustAccess(t, k, other); a.Gen != 1 {
		t.Errorf("generation %d", a.Gen)
	}
	if a := mustAccess(t, k, stored); a.Token.Reveal() != atOf(stored, 1) || r.server.count() != 1 {
		t.Errorf("generation %d after %d requests", a.Gen, r.server.count())
	}
	if left := spooled(t, r.spool); len(left) != 1 || left[0] != file {
		t.Errorf("the spool holds %v", left)
	}
	// A key that does not come back within a day is taken for lost.
	old := time.Now().Add(-25 * time.Hour)
	if err := os.Chtimes(file, old, old); err != nil {
		t.Fatal(err)
	}
	if a := mustAccess(t, k, g); a.Gen != 1 {
		t.Errorf("generation %d", a.Gen)
	}
}

// TestDamagedSpool: a file that cannot be read is set aside, is told of, and holds up nobody.
func TestDamagedSpool(t *testing.T) {
	t.Parallel()
	all := newRig(t, "F")
	for name, c := range map[string]struct {
		damage func(raw []byte) []byte
		named  bool // the file still says whose it is
	}{
		"a changed byte": {func(raw []byte) []byte { raw[len(raw)-1] ^= 1; return raw }, true},
		"a changed head": {func(raw []byte) []byte { return bytes.Replace(raw, []byte(`"epoch":1`), []byte(`"epoch":2`), 1) }, true},
		"half of it":     {func(raw []byte) []byte { return raw[:bytes.IndexByte(raw, '\n')+4] }, true},
		"nothing of it":  {func([]byte) []byte { return nil }, false},
		"something else": {func([]byte) []byte { return []byte("{}\n") }, false},
		"another's attempt": {func(raw []byte) []byte {
			return append([]byte(`{"tributary_spool":1,"attempt":"`+uuid.NewString()+`"}`), raw...)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := all.here(t)
			g := r.consent(-time.Minute)
			file := r.leave(r.ring, g, c.damage)
			if a := mustAccess(t, r.keeper(r.config(calm())), g); a.Gen != 1 || r.server.countOf(g) != 1 {
				t.Errorf("generation %d after %d requests", a.Gen, r.server.countOf(g))
			}
			if _, err := os.Stat(filepath.Join(r.spool, "damaged", filepath.Base(file))); err != nil {
				t.Error(err)
			}
			var told int
			if err := r.db.Owner.QueryRow(t.Context(), `SELECT count(*) FROM audit_event WHERE target = $1 AND detail ->> 'outcome' = 'spool_damaged'`, g.String()).Scan(&told); err != nil || told == 0 && c.named {
				t.Errorf("%d audit events, %v", told, err)
			}
			r.mustBeSound(g)
		})
	}
}

// youngServer is a database server that was started a moment ago.
type youngServer struct {
	refresh.Store
	started atomic.Pointer[time.Time]
}

func (s *youngServer) start(at time.Time) { s.started.Store(&at) }

func (s *youngServer) age() time.Duration { return time.Since(*s.started.Load()) }

func (s *youngServer) InRow(ctx context.Context, grant uuid.UUID, fn func(tx refresh.Tx) error) error {
	return s.Store.InRow(ctx, grant, func(tx refresh.Tx) error {
		if row := tx.Row(); row != nil {
			row.ServerAge = s.age()
		}
		return fn(tx)
	})
}

// TestYoungServer: a database server that was started a moment ago has not seen the heartbeats of the living; nothing is
// presented again before it has run for Q, however long this process has been connected.
func TestYoungServer(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	cfg := r.config(quick())
	young := &youngServer{Store: cfg.Store}
	young.start(time.Now().Add(time.Hour))
	cfg.Store = young
	k := r.running(cfg)
	connected := time.Now()
	until(t, 30*time.Second, "Q", func() bool { return time.Since(connected) > quick().Quiet+quick().Heartbeat*2 })
	young.start(time.Now())
	g := r.consent(-time.Hour)
	r.db.MustExec(t, `UPDATE credential SET phase = 'uncertain', maybe_sent = true, t_first = clock() - interval '1 hour', lease_until = clock() - interval '1 hour' WHERE grant_id = $1`, g)
	a := accessUntil(t, k, g, 30*time.Second)
	if d := young.age(); d < quick().Quiet || a.Gen != 1 {
		t.Errorf("presented again %s after the server's start, generation %d", d, a.Gen)
	}
}

// TestShortGrace: where the old token answers for too short a time for another process, the holder presents it again
// inside its own lease, and records that.
func TestShortGrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, "G")
	timing := quick()
	timing.Send, timing.Lease = 2*time.Second, 10*time.Second
	r.server.grace = timing.Lease // less than L + Silent + D
	r.register()
	g := r.consent(-time.Minute)
	r.server.setPlan(func(n int, _ string) fault { return fault{resetAfter: n == 1} })
	a := mustAccess(t, r.keeper(r.config(timing)), g)
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
