package jobs

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/riverqueue/river"
)

const (
	queueTick  = "tick"
	queueEmbed = "embed"
	// queuePermissions has workers of its own, so that no amount of content
	// delays who may read what.
	queuePermissions = "permissions"
)

// maxAttempts is low on purpose: the run row, not River, knows what to try
// again and when.
const maxAttempts = 3

// TickArgs looks for due work. It may run any number of times.
type TickArgs struct{}

// Kind implements river.JobArgs.
func (TickArgs) Kind() string { return "tick" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (TickArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queueTick, MaxAttempts: 1}
}

// SliceArgs works on a run for a while. A run that somebody else holds, or
// that has ended, makes it a no-op.
type SliceArgs struct {
	RunID uuid.UUID `json:"run_id"`
}

// Kind implements river.JobArgs.
func (SliceArgs) Kind() string { return "sync_slice" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (SliceArgs) InsertOpts() river.InsertOpts { return river.InsertOpts{MaxAttempts: maxAttempts} }

// EmbedArgs drains the queue of an embedding profile. A profile whose drainer
// is at work makes it a no-op.
type EmbedArgs struct {
	ProfileID int16 `json:"profile_id"`
}

// Kind implements river.JobArgs.
func (EmbedArgs) Kind() string { return "embed" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (EmbedArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queueEmbed, MaxAttempts: 1}
}

type tickWorker struct {
	river.WorkerDefaults[TickArgs]
	r *Runner
}

// Timeout implements river.Worker.
func (*tickWorker) Timeout(*river.Job[TickArgs]) time.Duration { return time.Minute }

// Work implements river.Worker.
func (w *tickWorker) Work(ctx context.Context, _ *river.Job[TickArgs]) error { return w.r.tick(ctx) }

type sliceWorker struct {
	river.WorkerDefaults[SliceArgs]
	r *Runner
}

// Work implements river.Worker.
func (w *sliceWorker) Work(ctx context.Context, job *river.Job[SliceArgs]) error {
	wait, err := w.r.holdBack(ctx, job.Args.RunID)
	if err != nil {
		return err
	}
	if wait > 0 {
		return river.JobSnooze(wait)
	}
	return w.r.slice(ctx, job.Args.RunID)
}

type embedWorker struct {
	river.WorkerDefaults[EmbedArgs]
	r *Runner
}

// Work implements river.Worker.
func (w *embedWorker) Work(ctx context.Context, job *river.Job[EmbedArgs]) error {
	return w.r.drain(ctx, job.Args.ProfileID)
}
