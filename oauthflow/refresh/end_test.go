package refresh_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"tributary/connectors"
	"tributary/internal/pgserver"
	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// TestClosing: a pair that comes after the disconnect is kept apart, and never used.
func TestClosing(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	cfg := r.config(calm())
	at(&cfg, refresh.BeforeSettle, func() {
		r.db.MustExec(t, `UPDATE credential SET state = 'closing' WHERE grant_id = $1`, g)
		r.db.MustExec(t, `UPDATE connection SET state = 'closing' WHERE grant_id = $1`, g)
	})
	_, err := r.keeper(cfg).Access(t.Context(), g)
	wantClass(t, err, connectors.GrantLost)
	if v := r.row(g); v.State != "closing" || v.Gen != 0 || v.Spares != 1 || v.Connection != "closing" {
		t.Errorf("row %+v", v)
	}
	sealed := pgtest.Scalar[[]byte](t, r.db, `SELECT secret_ct FROM credential_spare WHERE epoch = -1`)
	late, err := oauthflow.OpenLate(r.ring, g, -1, 0, sealed)
	if err != nil || late.Pair.Refresh.Reveal() != refreshToken(g.String(), 1) || late.Subject != g.String() || late.Digest == "" {
		t.Errorf("kept %+v, %v", late, err)
	}
	r.db.MustExec(t, `UPDATE credential SET state = 'needs_reauth', fail_class = 'revoked' WHERE grant_id = $1`, g)
	if err := r.keeper(r.config(calm())).Sweep(t.Context()); err != nil || r.row(g).State != "needs_reauth" {
		t.Errorf("it was promoted: %v, row %+v", err, r.row(g))
	}
}

// TestReviveGrants: saving a registration that was refused makes its grants active again.
func TestReviveGrants(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	r.server.setPlan(func(n int, _ string) fault {
		if n == 1 {
			return fault{status: 401, code: "invalid_client"}
		}
		return fault{}
	})
	k := r.keeper(r.config(calm()))
	for range 2 { // the second asks nobody
		_, err := k.Access(t.Context(), g)
		wantClass(t, err, connectors.ClientRejected)
	}
	if got := pgtest.Scalar[string](t, r.db, `SELECT state FROM client_registration`); got != "rejected" {
		t.Errorf("the registration is %s", got)
	}
	if v := r.row(g); v.State != "config_error" || v.Connection != "config_error" || r.server.count() != 1 {
		t.Errorf("row %+v after %d requests", v, r.server.count())
	}
	if err := pgx.BeginFunc(t.Context(), r.store.Pool(), func(tx pgx.Tx) error { return r.store.ReviveGrantsTx(t.Context(), tx, r.registration) }); err != nil {
		t.Fatal(err)
	}
	if v := r.row(g); v.State != "active" || v.Connection != "active" {
		t.Errorf("saved: %+v", v)
	}
	if a := mustAccess(t, k, g); a.Gen != 1 {
		t.Errorf("generation %d", a.Gen)
	}
}

// TestSavedMeanwhile: a refusal of credentials that were replaced while the request was on its way says nothing about the
// new ones.
func TestSavedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	r.server.setPlan(func(n int, _ string) fault {
		if n == 1 {
			return fault{status: 401, code: "invalid_client"}
		}
		return fault{}
	})
	cfg := r.config(calm())
	at(&cfg, refresh.BeforeOutcome, func() { r.db.MustExec(t, `UPDATE client_registration SET credential_gen = credential_gen + 1`) })
	k := r.keeper(cfg)
	if a := accessUntil(t, k, g, 30*time.Second); a.Gen != 1 || r.server.count() != 2 {
		t.Errorf("generation %d after %d requests", a.Gen, r.server.count())
	}
	if got := pgtest.Scalar[string](t, r.db, `SELECT state FROM client_registration`); got != "active" {
		t.Errorf("the registration is %s", got)
	}
	r.mustBeSound(g)
}

// TestRF3Restored : in a database that was restored from a copy, every token that may be used up starts uncertain, once.
func TestRF3Restored(t *testing.T) {
	t.Parallel()
	for class, uncertain := range map[string]bool{"N": false, "G": true, "S": true, "F": true} {
		t.Run("RF-3 restored, class "+class, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, class)
			g, between := r.consent(30*time.Minute), r.consent(30*time.Minute)
			r.db.MustExec(t, `UPDATE oauth_grant SET kind = 'client_credentials' WHERE id = $1`, between)
			if err := r.store.Credentials().Heartbeat(t.Context(), "first", nil); err != nil {
				t.Fatal(err)
			}
			if v := r.row(g); v.Phase != "idle" {
				t.Fatalf("at the first start: %+v", v)
			}
			r.restore(t)
			k := r.running(r.config(quick()))
			phase := func(g uuid.UUID) bool { v := r.row(g); return v.Phase == "uncertain" && v.MaybeSent }
			if uncertain {
				until(t, 30*time.Second, "an uncertain row", func() bool { return phase(g) })
			} else if err := r.store.Credentials().Heartbeat(t.Context(), "second", nil); err != nil {
				t.Fatal(err)
			}
			if phase(g) != uncertain || phase(between) {
				t.Errorf("row %+v, one between servers %+v", r.row(g), r.row(between))
			}
			// The row was marked a little before the event was recorded.
			marked := pgtest.Scalar[time.Time](t, r.db, `SELECT coalesce((SELECT lease_until FROM credential WHERE grant_id = $1), clock())`, g)
			if a := mustAccess(t, k, g); a.Gen != 0 || r.server.count() != 0 {
				t.Errorf("the valid token is not used: generation %d", a.Gen)
			}
			r.expire(g)
			if a := accessUntil(t, k, g, 30*time.Second); a.Gen != 1 {
				t.Errorf("generation %d", a.Gen)
			}
			// G as well: the time in which its replaced token answers began no later than the token was obtained.
			after := pgtest.Scalar[float64](t, r.db, `SELECT extract(epoch FROM min(t0) - $1::timestamptz)::float8 FROM refresh_attempt`, marked)
			if uncertain && after < quick().Quiet.Seconds() {
				t.Errorf("presented %.3f s after the database was found to be another", after)
			}
			if err := r.store.Credentials().Heartbeat(t.Context(), "third", nil); err != nil || phase(g) {
				t.Errorf("uncertain again: %v, %+v", err, r.row(g))
			}
			if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM audit_event WHERE action = 'database.history_changed'`); n != 1 {
				t.Errorf("%d audit events", n)
			}
			r.mustBeSound(g)
		})
	}
}

// restore puts the rig on a copy of its database.
func (r *rig) restore(t *testing.T) {
	t.Helper()
	r.store.Close()
	r.db.Pool.Close()
	r.db.Owner.Close()
	r.db = pgtest.Empty(t, r.db.Name)
	pool, err := pgxpool.New(t.Context(), r.db.OwnerURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	r.db.Owner = pool
	r.store = openStore(t, r.db.URL)
}

// TestRF3Timeline : the first claim in a timeline that a failover began finds its row uncertain, before any heartbeat.
func TestRF3Timeline(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	begin := func() *pgserver.Server {
		srv, err := pgserver.Start(ctx, pgserver.Config{DataDir: dir, Settings: map[string]string{"fsync": "off", "max_connections": "40", "restore_command": "false"}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = srv.Stop(context.WithoutCancel(ctx)) })
		return srv
	}
	srv := begin()
	if _, err := store.Migrate(ctx, srv.SuperuserURL("postgres"), store.MigrateOptions{RolePrefix: scratchRoles, AppPassword: "test"}); err != nil {
		t.Fatal(err)
	}
	r := newRigOn(t, "F", scratch(t, srv))
	g := r.consent(-time.Minute)
	if a := mustAccess(t, r.keeper(r.config(calm())), g); a.Gen != 1 {
		t.Fatalf("generation %d", a.Gen)
	}
	r.store.Close()
	r.db.Owner.Close()
	if err := srv.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	// PostgreSQL recovers to the end of its log and begins timeline 2, as a promoted standby does.
	if err := os.WriteFile(filepath.Join(dir, "postgres", "data", "recovery.signal"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	r.db = scratch(t, begin())
	until(t, time.Minute, "the end of the recovery", func() bool { return pgtest.Scalar[bool](t, r.db, `SELECT NOT pg_is_in_recovery()`) })
	r.store = openStore(t, r.db.URL)
	r.expire(g)
	timing := quick()
	timing.Quiet = 3 * time.Second
	k := r.keeper(r.config(timing)) // without Run: nothing but the claim looks
	until(t, 30*time.Second, "an uncertain row", func() bool {
		short, stop := context.WithTimeout(ctx, 500*time.Millisecond)
		defer stop()
		_, _ = k.Access(short, g)
		phase := ""
		err := r.db.Owner.QueryRow(ctx, `SELECT phase FROM credential`).Scan(&phase)
		return err == nil && phase != "idle"
	})
	if v := r.row(g); v.Phase != "uncertain" || !v.MaybeSent || r.server.count() != 1 {
		t.Errorf("row %+v after %d requests", v, r.server.count())
	}
	if a := accessUntil(t, k, g, 30*time.Second); a.Gen != 2 {
		t.Errorf("generation %d", a.Gen)
	}
	r.mustBeSound(g)
}
