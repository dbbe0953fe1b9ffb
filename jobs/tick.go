package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"tributary/store"
)

// dueBatch bounds the schedules that one transaction enqueues.
const dueBatch = 1000

// tick enqueues everything that is due: schedules, runs that nobody works on,
// and embedding queues without a drainer. It repairs what the job queue lost.
func (r *Runner) tick(ctx context.Context) error {
	return errors.Join(
		r.adoptOrphans(ctx), r.enqueueDue(ctx), r.promoteSlices(ctx), r.wakeDrainers(ctx), r.adoptErasures(ctx), r.purgeHeld(ctx), r.closePushRuns(ctx),
	)
}

func (r *Runner) enqueueDue(ctx context.Context) error {
	for {
		n, err := r.store.ClaimDue(ctx, dueBatch, r.dueKind, func(ctx context.Context, tx pgx.Tx, runs []store.Started) error {
			slices := make([]river.InsertManyParams, len(runs))
			for i, run := range runs {
				slices[i] = sliceOf(run.ID, run.Lane, false)
			}
			if _, err := r.client.InsertManyFastTx(ctx, tx, slices); err != nil {
				return fmt.Errorf("enqueueing slices: %w", err)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("enqueueing due syncs: %w", err)
		}
		if n < dueBatch {
			return nil
		}
	}
}

// adoptOrphans enqueues a slice for every live run that nobody works on and
// that no job waits for. More slices than one for a run do no harm: the fence
// lets one of them write.
func (r *Runner) adoptOrphans(ctx context.Context) error {
	runs, err := r.store.Orphans(ctx, r.cfg.Takeover, r.owner.host)
	if err != nil {
		return err
	}
	var slices []river.InsertManyParams
	for _, run := range runs {
		// A process that is there and silent is frozen, or cannot reach the database.
		if !run.Silent && !r.owner.died(run.Worker) {
			continue
		}
		r.cfg.Log.Info("taking over a run that nobody works on", "run", run.ID, "connection", run.Connection, "last_worker", run.Worker)
		slice := sliceOf(run.ID, run.Lane, false)
		slice.InsertOpts.Priority = priorityWaited
		slices = append(slices, slice)
	}
	if len(slices) == 0 {
		return nil
	}
	if _, err := r.client.InsertManyFast(ctx, slices); err != nil {
		return fmt.Errorf("enqueueing slices: %w", err)
	}
	return nil
}

// overdue is how long a slice waits before nothing goes before it any more.
const overdue = 30 * time.Second

// promoteSlices puts slices that have waited long before those that just came,
// so that a stream of small runs does not keep a long one from its turn.
func (r *Runner) promoteSlices(ctx context.Context) error { return r.store.PromoteSlices(ctx, overdue) }

func (r *Runner) wakeDrainers(ctx context.Context) error {
	ids, err := r.store.WaitingProfiles(ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if _, err := r.client.Insert(ctx, EmbedArgs{ProfileID: id}, nil); err != nil {
			return fmt.Errorf("enqueueing drainer: %w", err)
		}
	}
	return nil
}
