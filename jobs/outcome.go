package jobs

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"tributary/connectors"
	"tributary/store"
)

// outcome is what an error class means: for the run, for the connection, and
// for the next try.
type outcome struct {
	// retry keeps the run alive; attempts bounds tries without progress, 0 is
	// without bound.
	retry    bool
	attempts int
	run      store.RunState
	conn     store.ConnectionState
	// snapshot starts a new listing from the zero cursor.
	snapshot bool
}

// outcomeOf is the one table from error class to outcome.
func outcomeOf(class connectors.Class) outcome {
	switch class {
	case connectors.RateLimited:
		return outcome{retry: true, conn: store.StateThrottled}
	case connectors.GrantLost:
		return outcome{run: store.RunFailed, conn: store.StateNeedsReauth}
	case connectors.ClientRejected:
		return outcome{run: store.RunFailed, conn: store.StateConfigError}
	case connectors.ScopeDenied:
		return outcome{run: store.RunFailed, conn: store.StateDegraded}
	case connectors.CursorExpired:
		return outcome{run: store.RunSuperseded, snapshot: true}
	case connectors.Invalid:
		return outcome{run: store.RunFailed, conn: store.StateConfigError}
	case connectors.Bug:
		return outcome{run: store.RunFailed, conn: store.StateFailed}
	case connectors.Unknown, connectors.Transient, connectors.ItemSkipped, connectors.ItemRefused:
		return outcome{retry: true, attempts: 8, run: store.RunFailed}
	default:
		return outcome{run: store.RunFailed, conn: store.StateFailed}
	}
}

// Bounds of a wait before another try.
const (
	firstWait = 2 * time.Second
	longest   = 15 * time.Minute
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
	o := outcomeOf(class)
	rel := store.Release{State: o.run, Class: class, Err: end.err, Connection: o.conn, Reason: end.err.Error()}
	if !o.retry || (o.attempts > 0 && run.Attempt+1 >= o.attempts && !end.progress) {
		return rel
	}
	rel.State = store.RunQueued
	rel.CountAttempt = !end.progress && class != connectors.RateLimited
	rel.RetryIn = waitFor(end.err, run.Attempt)
	return rel
}

// errStopping ends a slice whose process stops; the run goes on elsewhere.
var errStopping = errors.New("stopping")

// isCancel reports an end that is no failure.
func isCancel(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded))
}
