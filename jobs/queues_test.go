package jobs

import (
	"errors"
	"testing"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

func event(action string) audit.Event {
	return audit.Event{Actor: audit.Actor{Kind: audit.System, Name: "test"}, Action: action, Target: audit.Target{Kind: "queue", ID: "default"}, Outcome: audit.OK}
}

// TestPausedQueueWaits: nothing of a paused queue begins, and everything once it is resumed.
func TestPausedQueueWaits(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(3))
	e.start()
	queue := func() QueueState {
		list, err := e.runner.Queues(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range list {
			if q.Name == "default" {
				return q
			}
		}
		t.Fatal("there is no queue default")
		return QueueState{}
	}
	eventually(t, "the queue is worked on", func() bool { return queue().SeenAt != nil })
	eventually(t, "the first sync is done", func() bool { return e.finished(store.Content) && queue().Done > 0 })
	if err := e.runner.PauseQueue(t.Context(), "default", true, event("queue.pause")); err != nil {
		t.Fatal(err)
	}
	if q := queue(); q.PausedAt == nil || q.Does == "" {
		t.Errorf("a paused queue is %+v", q)
	}
	// River's own notice of the pause comes before what is inserted after it.
	run, _, err := e.runner.Request(t.Context(), e.conn, store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the permissions go on", func() bool {
		return pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM river.river_job WHERE queue = 'permissions' AND state = 'completed'`) > 0
	})
	if q := queue(); q.Waiting == 0 || q.WaitsSince == nil {
		t.Errorf("nothing waits in a paused queue: %+v", q)
	}
	if got, err := e.store.Run(t.Context(), run.ID); err != nil || !got.State.Live() {
		t.Errorf("the run is %s, %v", got.State, err)
	}
	if err := e.runner.PauseQueue(t.Context(), "default", false, event("queue.resume")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the sync goes on", func() bool {
		got, err := e.store.Run(t.Context(), run.ID)
		return err == nil && got.State == store.RunSucceeded
	})
	for _, name := range []string{"*", "nosuch", ""} {
		if err := e.runner.PauseQueue(t.Context(), name, true, event("queue.pause")); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("pausing %q: %v", name, err)
		}
	}
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM audit_event WHERE action IN ('queue.pause', 'queue.resume')`); n != 2 {
		t.Errorf("%d events, want 2: one for each act that was done", n)
	}
}

// TestJobsThatFailedBeginAgain: only those, once, and with a record.
func TestJobsThatFailedBeginAgain(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(1))
	id := pgtest.Scalar[int64](t, e.db, `
		INSERT INTO river.river_job (kind, queue, args, max_attempts, attempt, state, finalized_at, errors)
		VALUES ('tick', 'tick', '{}', 1, 1, 'discarded', now(), ARRAY['{"at": "2026-01-01T00:00:00Z", "attempt": 1, "error": "first", "trace": "goroutine 1"}', '{"at": "2026-01-02T00:00:00Z", "attempt": 2, "error": "second"}']::jsonb[]) RETURNING id`)
	done := pgtest.Scalar[int64](t, e.db, `INSERT INTO river.river_job (kind, queue, args, max_attempts, attempt, state, finalized_at) VALUES ('tick', 'tick', '{}', 1, 1, 'completed', now()) RETURNING id`)
	list, err := e.runner.Jobs(t.Context(), JobFilter{Limit: 10})
	if err != nil || len(list) != 1 || list[0].ID != id || !list[0].MayRetry() || len(list[0].Errors) != 2 || list[0].Errors[0].Text != "second" {
		t.Fatalf("the jobs that failed: %+v, %v", list, err)
	}
	if _, err := e.runner.Jobs(t.Context(), JobFilter{State: "eaten", Limit: 10}); err == nil {
		t.Error("another state was accepted")
	}
	if list, err := e.runner.Jobs(t.Context(), JobFilter{Before: id, Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("before the oldest: %+v, %v", list, err)
	}
	if err := e.runner.RetryJob(t.Context(), done, event("job.retry")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a job that is done: %v", err)
	}
	if err := e.runner.RetryJob(t.Context(), id+1000, event("job.retry")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a job that is not there: %v", err)
	}
	if err := e.runner.RetryJob(t.Context(), id, event("job.retry")); err != nil {
		t.Fatal(err)
	}
	if err := e.runner.RetryJob(t.Context(), id, event("job.retry")); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a job that waits already: %v", err)
	}
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*)::int FROM audit_event WHERE action = 'job.retry'`); n != 1 {
		t.Errorf("%d events, want 1", n)
	}
	e.start()
	eventually(t, "the job is done", func() bool {
		return pgtest.Scalar[string](t, e.db, `SELECT state::text FROM river.river_job WHERE id = $1`, id) == "completed"
	})
}
