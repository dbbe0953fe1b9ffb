package jobs

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

// PurgeHeldArgs deletes what an approved hold holds. A hold that is finished
// makes it a no-op, and so does one that another job is at: each step takes what
// is left.
type PurgeHeldArgs struct {
	HoldID uuid.UUID `json:"hold_id"`
}

// Kind implements river.JobArgs.
func (PurgeHeldArgs) Kind() string { return "purge_held" }

// purgeHeldEvery is how often a hold gets a job that is not finished: one whose
// worker was killed counts as running for as long as River takes it for that.
const purgeHeldEvery = 30 * time.Second

// InsertOpts implements river.JobArgsWithInsertOpts. The tick, not River, knows
// what to try again.
func (PurgeHeldArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queueErase, MaxAttempts: 1, UniqueOpts: river.UniqueOpts{ByArgs: true, ByPeriod: purgeHeldEvery}}
}

type purgeHeldWorker struct {
	river.WorkerDefaults[PurgeHeldArgs]
	r *Runner
}

// Timeout implements river.Worker.
func (*purgeHeldWorker) Timeout(*river.Job[PurgeHeldArgs]) time.Duration { return eraseTimeout }

// Work implements river.Worker.
func (w *purgeHeldWorker) Work(ctx context.Context, job *river.Job[PurgeHeldArgs]) error {
	ctx, cancel := w.r.untilStop(ctx)
	defer cancel()
	_, err := w.r.store.PurgeApproved(ctx, job.Args.HoldID)
	return err
}

// purgeHeld enqueues the approved holds whose documents are not all deleted.
func (r *Runner) purgeHeld(ctx context.Context) error {
	ids, err := r.store.ApprovedHolds(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := r.client.Insert(ctx, PurgeHeldArgs{HoldID: id}, nil); err != nil {
			return fmt.Errorf("enqueueing held deletions: %w", err)
		}
	}
	return nil
}
