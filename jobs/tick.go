package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tributary/store"
)

// dueBatch bounds the schedules that one transaction enqueues.
const dueBatch = 500

// tick enqueues everything that is due: schedules, runs that nobody works on,
// and embedding queues without a drainer.
func (r *Runner) tick(ctx context.Context) error {
	return errors.Join(r.enqueueDue(ctx), r.adoptOrphans(ctx), r.wakeDrainers(ctx))
}

func (r *Runner) enqueueDue(ctx context.Context) error {
	for {
		n, err := r.store.ClaimDue(ctx, dueBatch, func(ctx context.Context, tx pgx.Tx, d store.Due) error {
			run, made, err := r.store.RequestRunTx(ctx, tx, store.RunRequest{
				ConnectionID: d.ConnectionID, Lane: d.Lane, Kind: r.kindOf(d.Source, d.Lane, d.HasFeed), Cause: "schedule",
			})
			if err != nil || !made {
				return err
			}
			return r.enqueueSlice(ctx, tx, run)
		})
		if err != nil {
			return fmt.Errorf("enqueueing due syncs: %w", err)
		}
		if n < dueBatch {
			return nil
		}
	}
}

// adoptOrphans enqueues a slice for every live run that nobody works on. More
// slices than one for a run do no harm: the fence lets one of them write.
func (r *Runner) adoptOrphans(ctx context.Context) error {
	runs, err := r.store.Orphans(ctx, r.cfg.Takeover, r.owner.host)
	if err != nil {
		return err
	}
	for _, run := range runs {
		if r.owner.lives(run.Worker) {
			continue
		}
		r.cfg.Log.Info("taking over a run that nobody works on", "run", run.ID, "connection", run.Connection, "last_worker", run.Worker)
		if _, err := r.client.Insert(ctx, SliceArgs{RunID: run.ID}, nil); err != nil {
			return fmt.Errorf("enqueueing slice: %w", err)
		}
	}
	return nil
}

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
