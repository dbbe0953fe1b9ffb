package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/store"
)

// Request asks for a run of one lane. It returns the live run of the lane, and
// false, where there is one; one that waits for the end of quiet hours or for
// another try then begins at once.
func (r *Runner) Request(ctx context.Context, c store.Connection, lane store.Lane, cause string, approveDeletions bool) (store.Run, bool, error) {
	list, err := r.requestLanes(ctx, c, []store.Lane{lane}, cause, approveDeletions, nil)
	if err != nil {
		return store.Run{}, false, err
	}
	return list[0].Run, list[0].Made, nil
}

// RequestLanes is Request of several lanes: all of them are asked for, and the
// events recorded, or nothing is. approveDeletions is for the content lane.
func (r *Runner) RequestLanes(ctx context.Context, c store.Connection, lanes []store.Lane, cause string, approveDeletions bool, events ...audit.Event) ([]store.Run, error) {
	list, err := r.requestLanes(ctx, c, lanes, cause, approveDeletions, events)
	runs := make([]store.Run, len(list))
	for i := range list {
		runs[i] = list[i].Run
	}
	return runs, err
}

func (r *Runner) requestLanes(ctx context.Context, c store.Connection, lanes []store.Lane, cause string, approveDeletions bool, events []audit.Event) ([]store.Requested, error) {
	if err := pullable(c); err != nil {
		return nil, err
	}
	reqs := make([]store.RunRequest, len(lanes))
	for i, lane := range lanes {
		reqs[i] = store.RunRequest{
			ConnectionID: c.ID, Lane: lane, Kind: r.kindOf(c.Source, lane, !c.FeedCursor.IsZero()), Cause: cause, ApproveDeletions: approveDeletions && lane == store.Content,
		}
	}
	reqs[0].Events = events
	return r.request(ctx, reqs)
}

// RequestKind asks for a run of a kind: a snapshot lists everything anew, a
// reconcile proves the change feed. It returns the live run of the kind's lane,
// and false, where there is one. Events are recorded with the request. A kind
// that the connection's source cannot run is a *store.InputError.
func (r *Runner) RequestKind(ctx context.Context, c store.Connection, kind store.RunKind, cause string, events ...audit.Event) (store.Run, bool, error) {
	if err := pullable(c); err != nil {
		return store.Run{}, false, err
	}
	req := store.RunRequest{ConnectionID: c.ID, Lane: store.Content, Kind: kind, Cause: cause, Events: events}
	feed := false
	if known, err := r.Connector(c.Source); err == nil {
		feed = known.Spec().Has(connectors.CanChanges)
	}
	switch {
	case kind == store.RunPermissions:
		req.Lane = store.Permissions
	case kind == store.RunSnapshot:
	case kind == store.RunReconcile && !feed:
		req.Kind = store.RunSnapshot // each run of such a source is a complete listing
	case kind == store.RunReconcile:
	case kind == store.RunChanges && feed && !c.FeedCursor.IsZero():
	case kind == store.RunChanges:
		return store.Run{}, false, &store.InputError{Field: "kind", Problem: "connection " + c.Name + " has no position in a change feed: ask for a snapshot"}
	default:
		return store.Run{}, false, &store.InputError{Field: "kind", Problem: "must be changes, snapshot, reconcile or permissions"}
	}
	list, err := r.request(ctx, []store.RunRequest{req})
	if err != nil {
		return store.Run{}, false, err
	}
	return list[0].Run, list[0].Made, nil
}

func (r *Runner) request(ctx context.Context, reqs []store.RunRequest) ([]store.Requested, error) {
	list, err := r.store.RequestRuns(ctx, reqs, func(ctx context.Context, tx pgx.Tx, run store.Run) error {
		if err := r.store.PostponeTx(ctx, tx, run.ConnectionID, run.Lane); err != nil {
			return err
		}
		return r.enqueueSlice(ctx, tx, run)
	})
	if err != nil {
		return nil, err
	}
	for i, req := range reqs {
		run := list[i]
		if run.Made || !asked(req.Cause) || run.State != store.RunQueued || run.NextTryAt == nil {
			continue
		}
		hastened, err := r.store.HastenRun(ctx, run.ID, req.Cause, func(ctx context.Context, tx pgx.Tx) error { return r.enqueueSlice(ctx, tx, run.Run) })
		if err == nil && hastened {
			list[i].Run, err = r.store.Run(ctx, run.ID)
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// kindOf chooses what a run of a lane does.
func (r *Runner) kindOf(source string, lane store.Lane, hasFeed bool) store.RunKind {
	if lane == store.Permissions {
		return store.RunPermissions
	}
	if c, err := r.Connector(source); err == nil && hasFeed && c.Spec().Has(connectors.CanChanges) {
		return store.RunChanges
	}
	return store.RunSnapshot
}

// dueKind chooses what a lane whose time has come does.
func (r *Runner) dueKind(d store.Due) store.RunKind {
	kind := r.kindOf(d.Source, d.Lane, d.HasFeed)
	if kind == store.RunChanges && d.Reconcile {
		return store.RunReconcile
	}
	return kind
}

// causeExpired is the cause of a snapshot that takes the place of a feed whose
// position the source no longer knows.
const causeExpired = "cursor expired"

// asked reports whether a person or a program asked for a run of this cause: it
// begins in quiet hours too.
func asked(cause string) bool { return cause != store.CauseSchedule && cause != causeExpired }

// keepsQuiet reports whether a run heeds quiet hours. Permissions never do: who
// may read what has to stay true at night.
func keepsQuiet(run store.Run) bool { return run.Lane == store.Content && !asked(run.Cause) }

// putOff puts a queued run off to the end of the quiet hours that hold, and
// reports whether it did.
func (r *Runner) putOff(ctx context.Context, run store.Run) (bool, error) {
	if !keepsQuiet(run) || run.State != store.RunQueued {
		return false, nil
	}
	now, until, _, err := r.store.QuietUntil(ctx, run.ConnectionID)
	if err != nil || until.IsZero() {
		return false, err
	}
	return r.store.DeferRun(ctx, run.ID, until, func(ctx context.Context, tx pgx.Tx) error {
		return r.enqueueSliceAt(ctx, tx, run, time.Now().Add(until.Sub(now)))
	})
}

func (r *Runner) enqueueSlice(ctx context.Context, tx pgx.Tx, run store.Run) error {
	return r.enqueueSliceAt(ctx, tx, run, time.Time{})
}

func (r *Runner) enqueueSliceAt(ctx context.Context, tx pgx.Tx, run store.Run, at time.Time) error {
	opts := sliceOpts(run.Lane, run.Slices > 0)
	opts.ScheduledAt = at
	if _, err := r.client.InsertTx(ctx, tx, SliceArgs{RunID: run.ID}, opts); err != nil {
		return fmt.Errorf("enqueueing slice: %w", err)
	}
	return nil
}

// Priorities of slices: a run that begins goes before one that goes on, so that
// a small connection does not wait for the turns of large ones. A slice that has
// waited goes before both, by its age, and so does one of a run that lost its
// holder.
const (
	priorityWaited = 1
	priorityBegins = 2
	priorityGoesOn = 3
)

// sliceOpts is where a slice of a run waits.
func sliceOpts(lane store.Lane, goesOn bool) *river.InsertOpts {
	opts := &river.InsertOpts{Queue: river.QueueDefault, Priority: priorityBegins}
	if lane == store.Permissions {
		opts.Queue = queuePermissions
	}
	if goesOn {
		opts.Priority = priorityGoesOn
	}
	return opts
}

// sliceOf is a slice of a run among many that are enqueued at once.
func sliceOf(id uuid.UUID, lane store.Lane, goesOn bool) river.InsertManyParams {
	return river.InsertManyParams{Args: SliceArgs{RunID: id}, InsertOpts: sliceOpts(lane, goesOn)}
}
