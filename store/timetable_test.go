package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

func TestTimetable(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	ctx := t.Context()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	r.db.SetClock(t, now)
	get := func() store.Timetable {
		t.Helper()
		tt, err := r.store.Timetable(ctx, s.conn)
		if err != nil {
			t.Fatal(err)
		}
		return tt
	}
	tt := get()
	if tt.ContentEvery != 15*time.Minute || tt.PermissionsEvery != 5*time.Minute || tt.ReconcileEvery != 7*24*time.Hour || tt.TimeZone != "UTC" || tt.ReconcileNext != nil {
		t.Fatalf("a new connection has %+v", tt)
	}
	permissions := tt.PermissionsNext
	tt.ContentEvery, tt.ContentCron, tt.TimeZone = time.Hour, "30 9 * * mon-fri", "Asia/Tokyo"
	tt.Quiet = []store.QuietHours{{Days: []string{"sun"}, From: "20:00", To: "23:00"}}
	event := audit.Event{Actor: audit.Actor{Kind: audit.System, Name: "test"}, Action: "connection.schedule", Target: audit.Target{Kind: "connection", ID: s.conn.String()}, Outcome: audit.OK}
	if err := r.store.SetTimetable(ctx, s.conn, tt, event); err != nil {
		t.Fatal(err)
	}
	tt = get()
	if tt.ContentEvery != 0 || tt.ContentCron != "30 9 * * mon-fri" || tt.TimeZone != "Asia/Tokyo" || len(tt.Quiet) != 1 {
		t.Fatalf("read back: %+v", tt)
	}
	if first := time.Date(2026, 11, 23, 0, 30, 0, 0, time.UTC); tt.ContentNext.Before(first) || tt.ContentNext.After(first.Add(time.Minute)) {
		t.Errorf("content is next due at %s, want Monday 9:30 in Tokyo", tt.ContentNext)
	}
	if tt.QuietUntil == nil || !tt.QuietUntil.Equal(now.Add(2*time.Hour)) {
		t.Errorf("quiet until %v, want two hours from now", tt.QuietUntil)
	}
	if tt.PermissionsNext.Equal(permissions) || tt.PermissionsNext.After(now.Add(6*time.Minute)) {
		t.Errorf("permissions are next due at %s: another zone reckons anew", tt.PermissionsNext)
	}
	// A binary of the version before knows only the interval: the longest gap.
	if every := pgtest.Scalar[time.Duration](t, r.db, `SELECT every FROM schedule WHERE lane = 'content'`); every != 3*24*time.Hour {
		t.Errorf("beside the cron expression stands %s", every)
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM audit_event WHERE action = 'connection.schedule'`); n != 1 {
		t.Errorf("%d events", n)
	}
	// Only what changes is reckoned anew, and what is empty is the default.
	r.db.Advance(t, time.Minute)
	was := get()
	tt = was
	tt.PermissionsEvery, tt.ReconcileCron = 0, "@weekly"
	if err := r.store.SetTimetable(ctx, s.conn, tt); err != nil {
		t.Fatal(err)
	}
	if tt = get(); !tt.ContentNext.Equal(was.ContentNext) || !tt.PermissionsNext.Equal(was.PermissionsNext) || tt.PermissionsEvery != 5*time.Minute || tt.ReconcileEvery != 0 {
		t.Errorf("after a change of the reconcile: %+v, was %+v", tt, was)
	}
	for field, change := range map[string]func(*store.Timetable){
		"changes":     func(tt *store.Timetable) { tt.ContentCron = "0 0 30 2 *" },
		"permissions": func(tt *store.Timetable) { tt.PermissionsCron, tt.PermissionsEvery = "", time.Second },
		"reconcile":   func(tt *store.Timetable) { tt.ReconcileCron = "CRON_TZ=UTC @daily" },
		"time_zone":   func(tt *store.Timetable) { tt.TimeZone = "Mars/Olympus" },
		"quiet":       func(tt *store.Timetable) { tt.Quiet = []store.QuietHours{{From: "00:00", To: "24:00"}} },
	} {
		bad := tt
		change(&bad)
		var in *store.InputError
		if err := r.store.SetTimetable(ctx, s.conn, bad); !errors.As(err, &in) || in.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
	if again := get(); fmt.Sprint(again) != fmt.Sprint(tt) {
		t.Errorf("a refused timetable changed %+v to %+v", tt, again)
	}
	if _, err := r.store.Timetable(ctx, uuid.New()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown connection: %v", err)
	}
}

// A run that no worker takes is starved; one whose worker lives and commits no
// page is stuck; one that waits for what it was told to wait for is neither.
func TestStarvedAndStuck(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	r.db.SetClock(t, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	facts := func() string {
		t.Helper()
		if _, _, err := r.store.EvaluateNotices(t.Context()); err != nil {
			t.Fatal(err)
		}
		return pgtest.Scalar[string](t, r.db, `SELECT format('%s starved, %s stuck', count(*) FILTER (WHERE code = 'run_starved'), count(*) FILTER (WHERE code = 'run_stuck'))
			FROM notice WHERE cleared_at IS NULL`)
	}
	expect := func(when, want string) {
		t.Helper()
		if got := facts(); got != want {
			t.Fatalf("%s: %s, want %s", when, got, want)
		}
	}
	run, _, err := r.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: s.conn, Lane: store.Content, Kind: store.RunSnapshot}, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.db.Advance(t, 4*time.Minute)
	expect("soon", "0 starved, 0 stuck")
	r.db.Advance(t, 2*time.Minute)
	expect("nobody took it", "1 starved, 0 stuck")
	if run, err = r.store.ClaimRun(t.Context(), run.ID, "w", time.Minute); err != nil {
		t.Fatal(err)
	}
	expect("taken", "0 starved, 0 stuck")
	beat := func(d time.Duration) {
		t.Helper()
		r.db.Advance(t, d)
		if err := r.store.Heartbeat(t.Context(), run.ID, run.Fence); err != nil {
			t.Fatal(err)
		}
	}
	beat(20 * time.Minute)
	page := func(n int) {
		t.Helper()
		if _, err := s.write(t.Context(), &store.Batch{Run: run, Page: &store.PageEnd{Next: connectors.Cursor(fmt.Sprint(n))}}); err != nil {
			t.Fatal(err)
		}
	}
	page(1)
	beat(20 * time.Minute)
	expect("a page twenty minutes ago", "0 starved, 0 stuck")
	beat(11 * time.Minute)
	expect("no page for half an hour", "0 starved, 1 stuck")
	page(2)
	expect("another page", "0 starved, 0 stuck")
	// The source asks for an hour: nobody is to blame.
	if err := r.store.ReleaseRun(t.Context(), run, store.Release{State: store.RunQueued, Class: connectors.RateLimited, Err: errors.New("429"), RetryIn: time.Hour}, nil); err != nil {
		t.Fatal(err)
	}
	r.db.Advance(t, 64*time.Minute)
	expect("an hour that the source asked for", "0 starved, 0 stuck")
	r.db.Advance(t, 6*time.Minute)
	expect("and nobody takes it", "1 starved, 0 stuck")
	if run, err = r.store.ClaimRun(t.Context(), run.ID, "w", time.Minute); err != nil {
		t.Fatal(err)
	}
	beat(time.Minute)
	expect("taken after a long wait", "0 starved, 0 stuck")
}

// A registration takes no more than half the slots while runs of others wait;
// those of processes that show no life are nobody's.
func TestRegistrationKeepsToItsShare(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registration := func(name string) uuid.UUID {
		return pgtest.Scalar[uuid.UUID](t, r.db, `
			WITH r AS (INSERT INTO client_registration (name, provider, profile, endpoints_digest, redirect_uri) VALUES ($1, 'p', '{}', '', '') RETURNING id)
			INSERT INTO oauth_grant (registration_id, kind) SELECT id, 'authorization_code' FROM r RETURNING id`, name)
	}
	big, other := registration("big"), registration("other")
	queue := func(name string, grant uuid.UUID) store.Run {
		t.Helper()
		s := r.connect(t, name, name)
		r.db.MustExec(t, `UPDATE connection SET grant_id = $2 WHERE id = $1`, s.conn, grant)
		run, _, err := r.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: s.conn, Lane: store.Content, Kind: store.RunSnapshot}, nil)
		if err != nil {
			t.Fatal(err)
		}
		return run
	}
	crowded := func(run store.Run) bool {
		t.Helper()
		ok, err := r.store.Crowded(t.Context(), run, 4)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	var runs []store.Run
	for i := range 4 {
		runs = append(runs, queue(fmt.Sprintf("big-%d", i), big))
	}
	for _, run := range runs[:2] {
		if crowded(run) {
			t.Fatal("a registration may not begin, and nobody else waits")
		}
		if _, err := r.store.ClaimRun(t.Context(), run.ID, "w", time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if crowded(runs[2]) {
		t.Fatal("a registration is held back, and nobody else waits")
	}
	waits := queue("other", other)
	if !crowded(runs[2]) {
		t.Error("a registration with two of four slots takes a third while another waits")
	}
	if crowded(waits) {
		t.Error("the other one is held back")
	}
	for since, want := range map[string]bool{"50 seconds": true, "70 seconds": false} {
		r.db.MustExec(t, `UPDATE sync_run SET heartbeat_at = clock() - $1::interval WHERE worker <> ''`, since)
		if crowded(runs[2]) != want {
			t.Errorf("with holders that have been silent for %s a registration is held back: %t, want %t", since, !want, want)
		}
	}
	r.db.MustExec(t, `UPDATE sync_run SET heartbeat_at = clock() WHERE worker <> ''`)
	if _, err := r.store.ClaimRun(t.Context(), waits.ID, "w", time.Minute); err != nil {
		t.Fatal(err)
	}
	if crowded(runs[2]) {
		t.Error("a registration is held back, and the other one has its slot")
	}
}

// Times that pass in quiet hours move content to their end and leave permissions
// alone.
func TestClaimDueInQuietHours(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	now := time.Date(2026, 11, 22, 23, 0, 0, 0, time.UTC)
	r.db.SetClock(t, now)
	tt := store.DefaultTimetable()
	tt.Quiet = []store.QuietHours{{From: "22:00", To: "06:00"}}
	if err := r.store.SetTimetable(t.Context(), s.conn, tt); err != nil {
		t.Fatal(err)
	}
	r.db.MustExec(t, `UPDATE schedule SET next_run_at = clock()`)
	var made []store.Started
	kind := func(d store.Due) store.RunKind {
		if d.Lane == store.Permissions {
			return store.RunPermissions
		}
		return store.RunSnapshot
	}
	if n, err := r.store.ClaimDue(t.Context(), 10, kind, func(_ context.Context, _ pgx.Tx, runs []store.Started) error { made = runs; return nil }); err != nil || n != 2 {
		t.Fatal(n, err)
	}
	if len(made) != 1 || made[0].Lane != store.Permissions {
		t.Errorf("in quiet hours these began: %+v", made)
	}
	if tt, _ = r.store.Timetable(t.Context(), s.conn); !tt.ContentNext.Equal(now.Add(7 * time.Hour)) {
		t.Errorf("content is due at %s", tt.ContentNext)
	}
}

// The tick passes by a live run whose batch is being written: it does not wait
// for the batch, nor make a second run.
func TestClaimDueDoesNotWaitForABatch(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	r.db.MustExec(t, `UPDATE schedule SET next_run_at = clock() - interval '1 minute' WHERE lane = 'content'`)
	batch, err := r.db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = batch.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := batch.Exec(t.Context(), `UPDATE sync_run SET state = 'succeeded', heartbeat_at = clock() WHERE id = $1`, run.ID); err != nil {
		t.Fatal(err)
	}
	_, err = r.store.ClaimDue(t.Context(), 10, func(store.Due) store.RunKind { return store.RunSnapshot }, nil)
	if err != nil {
		t.Fatalf("the tick waited for a batch: %v", err)
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM sync_run WHERE lane = 'content'`); n != 1 {
		t.Errorf("%d content runs", n)
	}
}
