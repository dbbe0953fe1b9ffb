package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"tributary/internal/audit"
	"tributary/store"
)

const queueErase = "erase"

// EraseArgs works on an erasure until its receipt is written. One that somebody
// else is at, or that is finished, makes it a no-op.
type EraseArgs struct {
	ErasureID uuid.UUID `json:"erasure_id"`
}

// Kind implements river.JobArgs.
func (EraseArgs) Kind() string { return "erase" }

// InsertOpts implements river.JobArgsWithInsertOpts. The tick, not River, knows
// what to try again.
func (EraseArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queueErase, MaxAttempts: 1}
}

type eraseWorker struct {
	river.WorkerDefaults[EraseArgs]
	r *Runner
}

// eraseTimeout bounds one job; what is left goes on with the next.
const eraseTimeout = time.Hour

// Timeout implements river.Worker.
func (*eraseWorker) Timeout(*river.Job[EraseArgs]) time.Duration { return eraseTimeout }

// Work implements river.Worker.
func (w *eraseWorker) Work(ctx context.Context, job *river.Job[EraseArgs]) error {
	ctx, cancel := w.r.untilStop(ctx)
	defer cancel()
	_, err := w.r.erase(ctx, job.Args.ErasureID, nil)
	return err
}

// untilStop returns a context that ends when the process is asked to stop: an
// erasure is handed over between two of its steps.
func (r *Runner) untilStop(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-r.stopping:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

// RequestErasure asks for an erasure and for a worker that does it. The runs
// that lost their worker go on at once.
func (r *Runner) RequestErasure(ctx context.Context, req store.EraseRequest, by string, events ...audit.Event) (store.Erasure, error) {
	req.Then = func(ctx context.Context, tx pgx.Tx, e store.Erasure, runs []store.Run) error {
		for _, run := range runs {
			if err := r.enqueueSliceAt(ctx, tx, run, time.Time{}); err != nil {
				return err
			}
		}
		if _, err := r.client.InsertTx(ctx, tx, EraseArgs{ErasureID: e.ID}, nil); err != nil {
			return fmt.Errorf("enqueueing erasure: %w", err)
		}
		return nil
	}
	return r.store.RequestErasure(ctx, req, by, events...)
}

// erase works on an erasure. What another process is at is no error.
func (r *Runner) erase(ctx context.Context, id uuid.UUID, watch func(store.Erasure)) (store.Erasure, error) {
	before, err := r.store.Erasure(ctx, id)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return before, nil
		}
		return before, err
	}
	takeover := r.cfg.Takeover
	if r.owner.died(before.Worker) {
		takeover = time.Nanosecond
	}
	if before.Target.Grant != nil && !before.Target.Shared && r.cfg.Tend != nil {
		// The receipt shall say what became of the tokens; a failure is tried again.
		if err := r.cfg.Tend(ctx); err != nil {
			r.cfg.Log.Warn("revoking the grant of an erased connection", "connection", before.Connection, "error", err)
		}
	}
	e, err := r.store.Erase(ctx, id, store.EraseOptions{
		Worker: r.owner.name, Takeover: takeover, Heartbeat: r.cfg.Heartbeat, Clean: r.cfg.Clean, Program: r.cfg.Version, Watch: watch,
	})
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrFenced) {
		return r.store.Erasure(ctx, id)
	}
	return e, err
}

// EraseHere works on an erasure in the calling goroutine until it is finished,
// for commands that find no worker running, or waits for whoever is at it.
func (r *Runner) EraseHere(ctx context.Context, id uuid.UUID, watch func(store.Erasure)) (store.Erasure, error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		e, err := r.erase(ctx, id, watch)
		if err != nil || !e.State.Open() {
			return e, err
		}
		select {
		case <-ctx.Done():
			return e, ctx.Err()
		case <-tick.C:
		}
	}
}

// adoptErasures enqueues the erasures that nobody works on.
func (r *Runner) adoptErasures(ctx context.Context) error {
	list, err := r.store.OpenErasures(ctx)
	if err != nil {
		return err
	}
	now, err := r.store.Now(ctx)
	if err != nil {
		return err
	}
	for _, e := range list {
		idle := e.Worker == "" || e.HeartbeatAt == nil || now.Sub(*e.HeartbeatAt) > r.cfg.Takeover || r.owner.died(e.Worker)
		if !idle {
			continue
		}
		if _, err := r.client.Insert(ctx, EraseArgs{ErasureID: e.ID}, nil); err != nil {
			return fmt.Errorf("enqueueing erasure: %w", err)
		}
	}
	return nil
}
