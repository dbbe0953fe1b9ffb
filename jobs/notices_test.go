package jobs

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/store"
)

func TestNoticesOfAProcess(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(1))
	problem := "it is missing"
	e.runner.cfg.KeyProblem = func() string { return problem }
	e.db.SetClock(t, time.Now().Add(time.Hour))
	look := func(want string) {
		t.Helper()
		if err := e.runner.LookForNotices(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := e.notices(); got != want {
			t.Errorf("open notices: %q, want %q", got, want)
		}
	}
	look("master_key clock_skew")
	e.db.SetClock(t, time.Now())
	problem = ""
	look("")
}

// TestUnknownErrorIsTriedAgainWithANotice: it never asks for a new consent.
func TestUnknownErrorIsTriedAgainWithANotice(t *testing.T) {
	t.Parallel()
	w := small(3)
	e := newEngine(t, w)
	w.Fail(reference.FaultOn{Err: errors.New("something that nobody knows")})
	run := e.lastTry(store.Content)
	conn, err := e.store.Connection(t.Context(), e.conn.Name)
	if err != nil || run.State != store.RunFailed || run.ErrorClass != "unknown" || conn.State != store.StateActive {
		t.Errorf("the run is %s (%s), the connection %s: %v", run.State, run.ErrorClass, conn.State, err)
	}
	if err := e.runner.LookForNotices(t.Context()); err != nil || e.notices() != "unknown_error" {
		t.Errorf("open notices: %q (%v)", e.notices(), err)
	}
	w.Mend()
	e.must(store.Content, store.RunSucceeded)
	if err := e.runner.LookForNotices(t.Context()); err != nil || e.notices() != "" {
		t.Errorf("open notices after a good run: %q (%v)", e.notices(), err)
	}
}

// TestFullDiskCountsForNothing: the run is tried again without end, whatever the
// state is called, and goes on when there is space.
func TestFullDiskCountsForNothing(t *testing.T) {
	t.Parallel()
	r := &Runner{}
	for _, code := range []string{"53100", "53200", "53300", "25006", "58030", "57P01", "57P03", "08006"} {
		got := r.release(store.Run{Attempt: 7}, sliceEnd{err: &pgconn.PgError{Code: code}})
		if got.State != store.RunQueued || got.CountAttempt || got.RetryIn <= 0 || got.Connection != "" || got.Class != connectors.Transient {
			t.Errorf("%s: %+v", code, got)
		}
	}
	got := r.release(store.Run{Attempt: 7}, sliceEnd{err: &pgconn.PgError{Code: "22021"}})
	if got.State != store.RunFailed {
		t.Errorf("another error of the database: %+v", got)
	}
	source := &connectors.Error{Class: connectors.GrantLost, Err: &pgconn.PgError{Code: "53100"}}
	if got := r.release(store.Run{}, sliceEnd{err: source}); got.State != store.RunFailed || got.Connection != store.StateNeedsReauth {
		t.Errorf("a source's error: %+v", got)
	}
}

// TestReadOnlyDatabaseIsToldAndOver: what refuses a write makes the store not
// ready, until a write succeeds; nothing is lost.
func TestReadOnlyDatabaseIsToldAndOver(t *testing.T) {
	t.Parallel()
	w := small(5)
	e := newEngine(t, w)
	if err := e.store.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.db.Full(t, true, "chunk", "notice")
	conn, err := e.store.Connection(t.Context(), e.conn.Name)
	if err != nil {
		t.Fatal(err)
	}
	run, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.runner.slice(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if run, err = e.store.Run(t.Context(), run.ID); err != nil || run.State != store.RunQueued || run.Attempt != 0 || run.ErrorClass != "transient" {
		t.Errorf("the run is %s after %d attempts (%s): %v", run.State, run.Attempt, run.ErrorClass, err)
	}
	if err := e.store.Writable(t.Context()); err == nil || !strings.Contains(err.Error(), "53100") {
		t.Errorf("a full disk is ready: %v", err)
	}
	e.db.Full(t, false, "chunk", "notice")
	if err := e.store.Writable(t.Context()); err != nil {
		t.Errorf("with space again: %v", err)
	}
	e.must(store.Content, store.RunSucceeded)
	e.wantTruth()
}

// TestNeverSucceededWithLosses: whatever goes wrong, a run is succeeded only if
// every item that it listed is stored, skipped, or hidden because it is refused.
func TestNeverSucceededWithLosses(t *testing.T) {
	t.Parallel()
	kinds := []connectortest.FaultKind{connectortest.ServerError, connectortest.Truncated, connectortest.Forbidden, connectortest.NotFound, connectortest.Gone}
	succeeded := 0
	for seed := range uint64(12) {
		w := reference.Random(seed, 40)
		w.SetPageSize(7)
		e := newEngine(t, w)
		items := w.Truth()
		for i := range 1 + int(seed)%6 {
			w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: kinds[(int(seed)+i)%len(kinds)], Name: items[(i*11+int(seed))%len(items)].Path, Times: i % 3})
		}
		if seed%4 == 3 {
			w.Fail(reference.FaultOn{On: connectortest.OnContainer, Kind: connectortest.Forbidden, Name: "space-1"})
		}
		for range 3 {
			run := e.sync(store.Content)
			if run.State != store.RunSucceeded {
				continue
			}
			succeeded++
			// A run of changes lists nothing below what was blocked: the notice stays.
			blocked := ""
			if run.Kind == store.RunChanges && seed%4 == 3 {
				blocked = "space-1/"
				if err := e.runner.LookForNotices(t.Context()); err != nil || !strings.Contains(e.notices(), "containers_blocked") {
					t.Errorf("seed %d: no notice of what could not be listed (%v)", seed, err)
				}
			}
			e.wantNoLoss(seed, blocked)
		}
	}
	if succeeded < 5 {
		t.Errorf("only %d runs succeeded", succeeded)
	}
}

func (e *engine) wantNoLoss(seed uint64, blocked string) {
	e.t.Helper()
	stored := e.documents()
	for _, it := range e.world.Truth() {
		var known int
		err := e.db.Owner.QueryRow(e.t.Context(), `
			SELECT (SELECT count(*) FROM skip WHERE connection_id = $1 AND external_id = $2) + (SELECT count(*) FROM document WHERE connection_id = $1 AND external_id = $2 AND hidden_reason = 'refused')`,
			e.conn.ID, it.ID).Scan(&known)
		below := blocked != "" && strings.HasPrefix(it.Path, blocked)
		if _, ok := stored[it.ID]; err != nil || !ok && known == 0 && !below {
			e.t.Errorf("seed %d: a run succeeded and %s is neither stored, skipped nor refused: %v", seed, it.ID, err)
		}
	}
}
