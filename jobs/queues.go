package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"tributary/internal/audit"
	"tributary/store"
)

// QueueState is a queue of jobs.
type QueueState struct {
	Name string `json:"name"`
	// Does says what its jobs do.
	Does string `json:"does"`
	// PausedAt is when it was paused; null while it is worked on.
	PausedAt *time.Time `json:"paused_at"`
	// SeenAt is when a process last said that it works on the queue; null where none has for a day.
	SeenAt *time.Time `json:"seen_at"`
	// Waiting jobs could begin at once.
	Waiting int64 `json:"waiting"`
	// Later ones begin at a time of their own.
	Later   int64 `json:"later"`
	Running int64 `json:"running"`
	// Retrying ones failed and are tried again.
	Retrying int64 `json:"retrying"`
	// Done and Cancelled are those of the last hour.
	Done      int64 `json:"done"`
	Cancelled int64 `json:"cancelled"`
	// Discarded were given up; they are kept for a week.
	Discarded int64 `json:"discarded"`
	// WaitsSince is since when the one has waited that waits the longest.
	WaitsSince *time.Time `json:"waits_since"`
}

// Queues lists the queues of this version, and those of others that somebody works on or that hold jobs, by name.
func (r *Runner) Queues(ctx context.Context) ([]QueueState, error) {
	res, err := r.client.QueueList(ctx, river.NewQueueListParams().First(100))
	if err != nil {
		return nil, fmt.Errorf("listing queues: %w", err)
	}
	counts, err := r.store.JobCounts(ctx)
	if err != nil {
		return nil, err
	}
	byName := map[string]*QueueState{}
	at := func(name string) *QueueState {
		if byName[name] == nil {
			byName[name] = &QueueState{Name: name, Does: queueDoes(name)}
		}
		return byName[name]
	}
	for _, name := range queueNames() {
		at(name)
	}
	for _, q := range res.Queues {
		s := at(q.Name)
		s.PausedAt, s.SeenAt = q.PausedAt, &q.UpdatedAt
	}
	for _, c := range counts {
		at(c.Queue).take(c)
	}
	list := make([]QueueState, 0, len(byName))
	for _, q := range byName {
		list = append(list, *q)
	}
	slices.SortFunc(list, func(a, b QueueState) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list, nil
}

// take adds a count.
func (q *QueueState) take(c store.JobCount) {
	switch rivertype.JobState(c.State) {
	case rivertype.JobStateAvailable:
		q.Waiting, q.WaitsSince = c.Jobs, c.Oldest
	case rivertype.JobStateScheduled, rivertype.JobStatePending:
		q.Later += c.Jobs
	case rivertype.JobStateRunning:
		q.Running = c.Jobs
	case rivertype.JobStateRetryable:
		q.Retrying = c.Jobs
	case rivertype.JobStateDiscarded:
		q.Discarded = c.Jobs
	case rivertype.JobStateCompleted:
		q.Done = c.Jobs
	case rivertype.JobStateCancelled:
		q.Cancelled = c.Jobs
	}
}

// queueNames are the queues of this version.
func queueNames() []string {
	return []string{river.QueueDefault, queueEmbed, queueErase, queuePermissions, queueRefresh, queueTick}
}

// queueDoes says what the jobs of a queue do; "" for one of another version.
func queueDoes(name string) string {
	switch name {
	case river.QueueDefault:
		return "syncs the content of sources"
	case queuePermissions:
		return "syncs who may read what"
	case queueTick:
		return "looks for what is due"
	case queueEmbed:
		return "embeds chunks"
	case queueErase:
		return "erases what was deleted"
	case queueRefresh:
		return "refreshes the tokens of grants"
	default:
		return ""
	}
}

// PauseQueue keeps every process from beginning jobs of a queue, and resumes it with paused false; jobs that run go on.
// Events are recorded with it. A queue that nobody works on is store.ErrNotFound.
func (r *Runner) PauseQueue(ctx context.Context, name string, paused bool, events ...audit.Event) error {
	return r.inTx(ctx, "pausing or resuming a queue", events, func(tx pgx.Tx) error {
		// "*" would be every queue.
		if _, err := r.client.QueueGetTx(ctx, tx, name); err != nil {
			return err
		}
		if paused {
			return r.client.QueuePauseTx(ctx, tx, name, nil)
		}
		return r.client.QueueResumeTx(ctx, tx, name, nil)
	})
}

// JobStates are the states of jobs, those first that somebody may want to look at.
func JobStates() []string {
	var out []string
	for _, s := range []rivertype.JobState{
		rivertype.JobStateDiscarded, rivertype.JobStateRetryable, rivertype.JobStateRunning, rivertype.JobStateAvailable, rivertype.JobStateScheduled,
		rivertype.JobStateCancelled, rivertype.JobStateCompleted,
	} {
		out = append(out, string(s))
	}
	return out
}

// JobFilter selects jobs; zero fields select all that have failed.
type JobFilter struct {
	State, Queue string
	// Before continues a list: only jobs with a smaller number.
	Before int64
	Limit  int
}

// JobError is one failure of a job.
type JobError struct {
	At      time.Time `json:"at"`
	Attempt int       `json:"attempt"`
	Text    string    `json:"text"`
}

// JobInfo is a job.
type JobInfo struct {
	ID    int64  `json:"id"`
	Kind  string `json:"kind"`
	Queue string `json:"queue"`
	State string `json:"state"`
	// Attempt counts the tries so far, Attempts is how many there are at most.
	Attempt   int       `json:"attempt"`
	Attempts  int       `json:"attempts"`
	CreatedAt time.Time `json:"created_at"`
	// NextAt is when it begins, where it waits.
	NextAt  time.Time  `json:"next_at"`
	EndedAt *time.Time `json:"ended_at"`
	// Run is the sync run that it works on, where it does.
	Run uuid.UUID `json:"run_id,omitzero"`
	// Errors are its failures, the newest first.
	Errors []JobError `json:"errors"`
}

// MayRetry reports whether the job failed and does not run.
func (j JobInfo) MayRetry() bool { return mayRetry(rivertype.JobState(j.State)) }

func mayRetry(s rivertype.JobState) bool {
	return s == rivertype.JobStateRetryable || s == rivertype.JobStateDiscarded
}

// Jobs lists jobs, the newest first.
func (r *Runner) Jobs(ctx context.Context, f JobFilter) ([]JobInfo, error) {
	states := []rivertype.JobState{rivertype.JobStateDiscarded, rivertype.JobStateRetryable}
	if f.State != "" {
		if !slices.Contains(JobStates(), f.State) {
			return nil, &store.InputError{Field: "state", Problem: "is no state of a job"}
		}
		states = []rivertype.JobState{rivertype.JobState(f.State)}
	}
	p := river.NewJobListParams().States(states...).OrderBy(river.JobListOrderByID, river.SortOrderDesc).First(max(f.Limit, 1))
	if f.Queue != "" {
		p = p.Queues(f.Queue)
	}
	if f.Before > 0 {
		p = p.Where("id < @before", river.NamedArgs{"before": f.Before})
	}
	res, err := r.client.JobList(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("listing jobs: %w", err)
	}
	list := make([]JobInfo, 0, len(res.Jobs))
	for _, j := range res.Jobs {
		list = append(list, jobInfo(j))
	}
	return list, nil
}

func jobInfo(j *rivertype.JobRow) JobInfo {
	out := JobInfo{
		ID: j.ID, Kind: j.Kind, Queue: j.Queue, State: string(j.State), Attempt: j.Attempt, Attempts: j.MaxAttempts,
		CreatedAt: j.CreatedAt, NextAt: j.ScheduledAt, EndedAt: j.FinalizedAt, Errors: []JobError{},
	}
	var args SliceArgs
	if j.Kind == args.Kind() && json.Unmarshal(j.EncodedArgs, &args) == nil {
		out.Run = args.RunID
	}
	for _, e := range slices.Backward(j.Errors) {
		out.Errors = append(out.Errors, JobError{At: e.At, Attempt: e.Attempt, Text: e.Error})
	}
	return out
}

// RetryJob lets a job that failed begin again at once. Events are recorded with it. A job that is not there is
// store.ErrNotFound, one that has not failed store.ErrConflict.
func (r *Runner) RetryJob(ctx context.Context, id int64, events ...audit.Event) error {
	return r.inTx(ctx, "retrying a job", events, func(tx pgx.Tx) error {
		j, err := r.client.JobGetTx(ctx, tx, id)
		if err != nil {
			return err
		}
		if !mayRetry(j.State) {
			return fmt.Errorf("the job is %s: %w", j.State, store.ErrConflict)
		}
		_, err = r.client.JobRetryTx(ctx, tx, id)
		return err
	})
}

// inTx runs fn and records events in one transaction.
func (r *Runner) inTx(ctx context.Context, op string, events []audit.Event, fn func(tx pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, r.store.Pool(), func(tx pgx.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		for _, e := range events {
			if err := r.store.RecordTx(ctx, tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	switch {
	case err == nil:
		return nil
	case errors.Is(err, rivertype.ErrNotFound):
		return fmt.Errorf("%s: %w", op, store.ErrNotFound)
	default:
		return fmt.Errorf("%s: %w", op, err)
	}
}
