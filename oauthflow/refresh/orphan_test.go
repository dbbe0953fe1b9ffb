package refresh_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/oauthflow/refresh"
)

// deadAttempt leaves an open attempt on a grant, of a process that was last seen ago.
func (r *rig) deadAttempt(grant uuid.UUID, ago time.Duration) uuid.UUID {
	r.tb.Helper()
	id := uuid.New()
	r.db.MustExec(r.tb, `INSERT INTO refresh_process (holder, heartbeat_at) VALUES ($1, clock() - $2::interval)`, id.String(), ago)
	r.db.MustExec(r.tb, `INSERT INTO refresh_attempt (id, grant_id, epoch, gen, rt_hmac, holder) VALUES ($1, $2, 1, 0, $3, $4)`, id, grant, []byte("another token"), id.String())
	return id
}

func (r *rig) outcome(attempt uuid.UUID) string {
	r.tb.Helper()
	return pgtest.Scalar[string](r.tb, r.db, `SELECT outcome FROM refresh_attempt WHERE id = '`+attempt.String()+`'`)
}

// beats waits until a keeper has shown n more heartbeats.
func (r *rig) beats(k *refresh.Keeper, n int) {
	r.tb.Helper()
	last := ""
	until(r.tb, 30*time.Second, "heartbeats", func() bool {
		var at string
		_ = r.db.Owner.QueryRow(context.Background(), `SELECT coalesce(max(heartbeat_at)::text, '') FROM refresh_process WHERE holder = $1`, k.Holder()).Scan(&at)
		if at != last {
			last = at
			n--
		}
		return n < 0
	})
}

// slow is a keeper's timing whose process does not know who lives before the test is over.
func slow() refresh.Timing {
	t := quick()
	t.Quiet, t.Silent = 5*time.Minute, 4*time.Minute
	return t
}

// oldServer is a database that has run for a long time.
type oldServer struct{ refresh.Store }

func (s oldServer) InRow(ctx context.Context, grant uuid.UUID, fn func(tx refresh.Tx) error) error {
	return s.Store.InRow(ctx, grant, func(tx refresh.Tx) error {
		if r := tx.Row(); r != nil {
			r.ServerAge = 24 * time.Hour
		}
		return fn(tx)
	})
}

// TestRF2Orphan: what a process leaves open that died makes no process wait that starts later.
func TestRF2Orphan(t *testing.T) {
	t.Parallel()
	t.Run("RF-2 a young process is not blocked by a dead one, class G", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "G")
		g := r.consent(-time.Minute)
		dead := r.deadAttempt(g, time.Hour)
		young := r.keeper(r.config(slow()))
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		if a, err := young.Access(ctx, g); err == nil {
			t.Fatalf("got generation %d although nobody has told that the process is dead", a.Gen)
		}
		elder := r.running(r.config(quick()))
		until(t, 30*time.Second, "the attempt to be closed", func() bool { return r.outcome(dead) == "orphaned" })
		until(t, 30*time.Second, "the count", func() bool { return elder.Stats().Orphaned == 1 })
		if a := mustAccess(t, young, g); a.Gen != 1 || young.Stats().Sent != 1 {
			t.Errorf("generation %d, %d requests of its own", a.Gen, young.Stats().Sent)
		}
		r.mustBeSound(g)
	})
	t.Run("RF-2 who has just started closes nothing", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "G")
		dead := r.deadAttempt(r.consent(time.Hour), time.Hour)
		cfg := r.config(slow())
		cfg.Store = oldServer{cfg.Store}
		r.beats(r.running(cfg), 5)
		if got := r.outcome(dead); got != "" {
			t.Errorf("closed as %q", got)
		}
	})
	t.Run("RF-2 the attempt of a living process stays open", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "G")
		g := r.consent(-time.Minute)
		cfg := r.config(calm())
		held, goOn := make(chan struct{}), make(chan struct{})
		at(&cfg, refresh.BeforeSettle, func() { close(held); <-goOn })
		k := r.running(cfg)
		got := make(chan error, 1)
		go func() { _, err := k.Access(context.Background(), g); got <- err }()
		<-held
		elder := r.running(r.config(quick()))
		gone := r.deadAttempt(g, time.Hour)
		until(t, 30*time.Second, "a sweep", func() bool { return r.outcome(gone) == "orphaned" })
		r.beats(elder, 5)
		if v := r.row(g); v.Open != 1 {
			t.Errorf("row %+v", v)
		}
		close(goOn)
		if err := <-got; err != nil {
			t.Error(err)
		}
		r.mustBeSound(g)
	})
}

// TestRF5Orphan: an attempt that was closed because its process was silent settles like any other, and is open again
// when the process comes back.
func TestRF5Orphan(t *testing.T) {
	t.Parallel()
	for _, class := range []string{"G", "F"} {
		t.Run("RF-5 the pair of an orphaned attempt is stored, class "+class, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, class)
			g := r.consent(-time.Minute)
			cfg := r.config(calm())
			var attempt uuid.UUID
			at(&cfg, refresh.BeforeSettle, func() {
				attempt = pgtest.Scalar[uuid.UUID](t, r.db, `SELECT id FROM refresh_attempt`)
				r.running(r.config(quick()))
				until(t, 30*time.Second, "the attempt to be closed", func() bool { return r.outcome(attempt) == "orphaned" })
			})
			a := mustAccess(t, r.keeper(cfg), g) // without Run: it shows no heartbeat
			if a.Gen != 1 || r.server.count() != 1 || r.outcome(attempt) != "rotated" {
				t.Errorf("generation %d after %d requests, outcome %q", a.Gen, r.server.count(), r.outcome(attempt))
			}
			r.mustBeSound(g)
		})
	}
	t.Run("RF-5 a process that comes back opens what it has in hand", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, "G")
		g := r.consent(-time.Minute)
		cfg := r.config(calm())
		at(&cfg, refresh.BeforeSettle, func() {
			r.db.MustExec(t, `UPDATE refresh_attempt SET outcome = 'orphaned', t1 = clock()`)
			until(t, 30*time.Second, "the attempt to be open again", func() bool { return r.row(g).Open == 1 })
		})
		if a := mustAccess(t, r.running(cfg), g); a.Gen != 1 {
			t.Errorf("generation %d", a.Gen)
		}
		if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM refresh_attempt WHERE outcome = 'rotated' AND t1 IS NOT NULL`); n != 1 {
			t.Errorf("%d attempts rotated", n)
		}
		r.mustBeSound(g)
	})
}
