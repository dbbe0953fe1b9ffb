package jobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/store"
)

// outcome is what an error class means: for the run, for the connection, for
// the next try, and for the admins.
type outcome struct {
	// retry keeps the run alive; attempts bounds tries without progress, 0 is
	// without bound.
	retry    bool
	attempts int
	run      store.RunState
	conn     store.ConnectionState
	// snapshot starts a new listing from the zero cursor.
	snapshot bool
	// item says what the class means where it is an item's.
	item resultKind
	// notice is the code that admins see, "" where none is needed.
	notice string
}

// outcomeOf is the one table from error class to outcome.
func outcomeOf(class connectors.Class) outcome {
	switch class {
	case connectors.RateLimited:
		return outcome{retry: true, conn: store.StateThrottled, item: resultFatal, notice: "throttled_long"}
	case connectors.GrantLost:
		return outcome{run: store.RunFailed, conn: store.StateNeedsReauth, item: resultFatal, notice: "connection_needs_consent"}
	case connectors.ClientRejected:
		return outcome{run: store.RunFailed, conn: store.StateConfigError, item: resultFatal, notice: "connection_config_error"}
	case connectors.ScopeDenied:
		return outcome{run: store.RunFailed, conn: store.StateDegraded, item: resultRefused, notice: "connection_degraded"}
	case connectors.CursorExpired:
		return outcome{run: store.RunSuperseded, snapshot: true, item: resultQuarantined}
	case connectors.Invalid:
		return outcome{run: store.RunFailed, conn: store.StateConfigError, item: resultQuarantined, notice: "connection_config_error"}
	case connectors.Unknown:
		return outcome{retry: true, attempts: 8, run: store.RunFailed, item: resultQuarantined, notice: "unknown_error"}
	case connectors.Transient, connectors.ItemSkipped:
		return outcome{retry: true, attempts: 8, run: store.RunFailed, item: resultQuarantined, notice: "run_failing"}
	case connectors.ItemRefused:
		return outcome{retry: true, attempts: 8, run: store.RunFailed, item: resultRefused, notice: "run_failing"}
	case connectors.Bug:
		return outcome{run: store.RunFailed, conn: store.StateFailed, item: resultFatal, notice: "connection_failed"}
	default:
		return outcome{run: store.RunFailed, conn: store.StateFailed, item: resultFatal, notice: "connection_failed"}
	}
}

// Bounds of a wait before another try.
const (
	firstWait = 2 * time.Second
	longest   = 15 * time.Minute
	// noRoomWait is how long whatever would ask a source, or pay, waits while
	// PostgreSQL takes no writes.
	noRoomWait = 10 * time.Second
	// maxRetryAfter caps what a source may ask for.
	maxRetryAfter = time.Hour
)

// waitFor returns how long to wait before the next try: what the source asks
// for, or exponential back-off with jitter.
func waitFor(err error, attempt int) time.Duration {
	if d := connectors.RetryAfterOf(err); d > 0 {
		return min(d, maxRetryAfter)
	}
	d := min(firstWait<<min(attempt, 16), longest)
	return time.Duration(float64(d) * (0.75 + rand.Float64()/2)) //nolint:gosec // jitter
}

// release turns the end of a slice into what the store records.
func (r *Runner) release(run store.Run, end sliceEnd) store.Release {
	switch {
	case end.err == nil && end.handOver:
		return store.Release{State: store.RunQueued, RetryIn: end.wait}
	case end.err == nil:
		return store.Release{State: end.state, Connection: store.StateActive, Err: end.note}
	case errors.Is(end.err, errStopping):
		return store.Release{State: store.RunQueued}
	}
	class := connectors.ClassOf(end.err)
	trouble := store.IsTrouble(end.err)
	if trouble {
		class = connectors.Transient
	}
	o := outcomeOf(class)
	rel := store.Release{State: o.run, Class: class, Err: end.err, Connection: o.conn, Reason: end.err.Error()}
	guard := guardOf(end.err)
	if guard != nil && rel.Connection == "" && guard.final {
		rel.Connection = store.StateDegraded
	}
	spent := o.attempts > 0 && run.Attempt+1 >= o.attempts && !end.progress && !trouble
	if !o.retry || spent || guard != nil && guard.final {
		return rel
	}
	rel.State = store.RunQueued
	// What PostgreSQL refuses for want of space says nothing of the source.
	rel.CountAttempt = !end.progress && class != connectors.RateLimited && !trouble
	rel.RetryIn = waitFor(end.err, run.Attempt)
	if trouble && store.RefusesWrites(end.err) {
		rel.RetryIn = max(rel.RetryIn, noRoomWait)
	}
	return rel
}

// notify raises the notice of the guard that ended a run, and clears those of
// earlier runs of the lane that are over, in the transaction that ends the run.
func (r *Runner) notify(ctx context.Context, tx pgx.Tx, run store.Run, rel store.Release) error {
	if rel.State.Live() {
		return nil
	}
	if g := guardOf(rel.Err); g != nil {
		return r.store.RaiseNotice(ctx, tx, store.Notice{ConnectionID: &run.ConnectionID, Subject: string(run.Lane), Code: g.notice, Detail: g.text})
	}
	if rel.State != store.RunSucceeded && rel.State != store.RunPartial {
		return nil
	}
	for _, code := range [...]string{store.NoticeLimitReached, store.NoticeErrorBudget, store.NoticeListingLoops} {
		if err := r.store.ClearNotice(ctx, tx, &run.ConnectionID, code, string(run.Lane)); err != nil {
			return err
		}
	}
	return nil
}

// errStopping ends a slice whose process stops; the run goes on elsewhere.
var errStopping = errors.New("stopping")

// isCancel reports an end that is no failure.
func isCancel(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
