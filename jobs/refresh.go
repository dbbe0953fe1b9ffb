package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
	"golang.org/x/sync/errgroup"

	"tributary/connectors"
)

const queueRefresh = "refresh"

// Refresher refreshes the tokens of grants before a sync has to wait for it; a *refresh.Keeper is one.
type Refresher interface {
	// Sweep ends attempts whose process is gone.
	Sweep(ctx context.Context) error
	// Due returns grants that are worth refreshing, the most urgent first.
	Due(ctx context.Context, limit int) ([]uuid.UUID, error)
	// Ahead refreshes one of them.
	Ahead(ctx context.Context, grant uuid.UUID) error
}

// RefreshArgs refreshes grants ahead of time. It may run any number of times, and names no grant: who is due is read
// when it runs.
type RefreshArgs struct{}

// Kind implements river.JobArgs.
func (RefreshArgs) Kind() string { return "refresh_ahead" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (RefreshArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queueRefresh, MaxAttempts: 1}
}

type refreshWorker struct {
	river.WorkerDefaults[RefreshArgs]
	r *Runner
}

// Timeout implements river.Worker.
func (*refreshWorker) Timeout(*river.Job[RefreshArgs]) time.Duration { return 5 * time.Minute }

// Work implements river.Worker.
func (w *refreshWorker) Work(ctx context.Context, _ *river.Job[RefreshArgs]) error {
	return w.r.refreshAhead(ctx)
}

const (
	// refreshBatch bounds the grants that one look takes.
	refreshBatch = 500
	// refreshParallel bounds the requests to token endpoints that a job has open at once.
	refreshParallel = 8
	// refreshLooks bounds one job: what is due after that many batches is for the next.
	refreshLooks = 20
)

// refreshAhead ends what has expired, sweeps, and refreshes what is due. A grant that fails is its own affair: its row says why and when it is
// tried again.
func (r *Runner) refreshAhead(ctx context.Context) error {
	r.tend(ctx)
	if r.cfg.Refresher == nil {
		return nil
	}
	if err := r.cfg.Refresher.Sweep(ctx); err != nil {
		return fmt.Errorf("sweeping refreshes: %w", err)
	}
	for range refreshLooks {
		due, err := r.cfg.Refresher.Due(ctx, refreshBatch)
		if err != nil {
			return fmt.Errorf("reading due grants: %w", err)
		}
		done, wait := r.refreshBatch(ctx, due)
		if ctx.Err() != nil || r.isStopping() || len(due) < refreshBatch || done == 0 || wait {
			return nil //nolint:nilerr // what is left is for the next job
		}
	}
	return nil
}

// refreshBatch refreshes grants, and counts those that were. wait reports that an endpoint asked for time.
func (r *Runner) refreshBatch(ctx context.Context, due []uuid.UUID) (done int, wait bool) { //nolint:nonamedreturns // the names say what the two are
	var group errgroup.Group
	group.SetLimit(refreshParallel)
	results := make([]error, len(due))
	for i, grant := range due {
		if ctx.Err() != nil || r.isStopping() {
			results[i] = errStopping
			continue
		}
		group.Go(func() error {
			results[i] = r.cfg.Refresher.Ahead(ctx, grant)
			return nil
		})
	}
	_ = group.Wait()
	for i, err := range results {
		switch {
		case err == nil:
			done++
		case errors.Is(err, errStopping), ctx.Err() != nil:
		default:
			wait = wait || connectors.RetryAfterOf(err) > 0
			r.cfg.Log.Debug("refreshing a grant ahead of time", "grant", due[i], "error", err)
		}
	}
	return done, wait
}
