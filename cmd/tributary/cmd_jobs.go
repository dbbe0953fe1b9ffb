package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/jobs"
	"tributary/store"
)

func jobsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "jobs", Short: "List the jobs of the queues, and try again those that failed", Example: "  tributary jobs list\n  tributary jobs retry 4711",
	}, jobsList(a), jobsRetry(a))
}

func queuesCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "queues", Short: "List, pause and resume the queues of jobs", Example: "  tributary queues list\n  tributary queues pause embed",
	}, queuesList(a), queuesPause(a, true), queuesPause(a, false))
}

// runnerCommand makes a command whose work needs the jobs and the arguments that names lists.
func runnerCommand(a *app, cmd *cobra.Command, names []string, fn func(ctx context.Context, st *store.Store, r *jobs.Runner, args []string) error) *cobra.Command {
	cmd.Args = exactArgs(names...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			return a.withEngine(ctx, st, s, func(e *engine) error { return fn(ctx, st, e.runner, args) })
		})
	}
	return jsonFlag(a, cmd)
}

func jobsList(a *app) *cobra.Command {
	var state, queue string
	var limit int
	cmd := runnerCommand(a, &cobra.Command{
		Use: "list", Short: "List the jobs that failed, or those of a state, the newest first",
		Long: `List jobs, the newest first: those that failed, unless a state is named. Jobs that
are done are kept for a day, those that were given up for a week.`,
		Example: "  tributary jobs list\n  tributary jobs list --state running --queue embed",
	}, nil, func(ctx context.Context, st *store.Store, r *jobs.Runner, _ []string) error {
		if limit < 1 || limit > 1000 {
			return usagef("--limit: must be 1 to 1000")
		}
		list, err := r.Jobs(ctx, jobs.JobFilter{State: state, Queue: queue, Limit: limit})
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		t := newTable("ID", "KIND", "QUEUE", "STATE", "TRY", "BEGINS", "ENDED", "ERROR")
		for _, j := range list {
			text := ""
			if len(j.Errors) > 0 {
				text = shorten(j.Errors[0].Text, 80)
			}
			t.add(strconv.FormatInt(j.ID, 10), j.Kind, j.Queue, j.State, strconv.Itoa(j.Attempt)+" of "+strconv.Itoa(j.Attempts), ago(&j.NextAt, now), ago(j.EndedAt, now), text)
		}
		if state == "" {
			return t.write(a.stdout, "No job failed.")
		}
		return t.write(a.stdout, "No job is like that.")
	})
	cmd.Flags().StringVar(&state, "state", "", "only jobs of this state: "+strings.Join(jobs.JobStates(), ", "))
	cmd.Flags().StringVar(&queue, "queue", "", "only jobs of this queue")
	cmd.Flags().IntVar(&limit, "limit", 50, "how many")
	return cmd
}

func jobsRetry(a *app) *cobra.Command {
	return runnerCommand(a, &cobra.Command{
		Use: "retry ID", Short: "Let a job that failed begin again at once", Example: "  tributary jobs retry 4711",
	}, []string{"ID"}, func(ctx context.Context, _ *store.Store, r *jobs.Runner, args []string) error {
		id, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return usagef("%q is no job's number: tributary jobs list shows them", args[0])
		}
		if err := r.RetryJob(ctx, id, a.event("job.retry", audit.Target{Kind: "job", ID: args[0]}, nil)); err != nil {
			return err
		}
		return a.done("Job "+args[0]+" begins again.", map[string]any{"id": id})
	})
}

func queuesList(a *app) *cobra.Command {
	return runnerCommand(a, &cobra.Command{
		Use: "list", Short: "List the queues of jobs, with how many are in which state", Example: "  tributary queues list",
	}, nil, func(ctx context.Context, st *store.Store, r *jobs.Runner, _ []string) error {
		list, err := r.Queues(ctx)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(list)
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		t := newTable("QUEUE", "DOES", "STATE", "WAITING", "LATER", "RUNNING", "RETRYING", "GIVEN UP", "WAITS SINCE")
		for _, q := range list {
			t.add(q.Name, q.Does, queueState(q, now), strconv.FormatInt(q.Waiting, 10), strconv.FormatInt(q.Later, 10), strconv.FormatInt(q.Running, 10),
				strconv.FormatInt(q.Retrying, 10), strconv.FormatInt(q.Discarded, 10), ago(q.WaitsSince, now))
		}
		return t.write(a.stdout, "")
	})
}

// queueState says whether somebody works on a queue.
func queueState(q jobs.QueueState, now time.Time) string {
	switch {
	case q.PausedAt != nil:
		return "paused " + ago(q.PausedAt, now)
	case q.SeenAt == nil:
		return "nobody works on it"
	default:
		return "worked on"
	}
}

func queuesPause(a *app, pause bool) *cobra.Command {
	cmd := &cobra.Command{Use: "resume QUEUE", Short: "Let processes begin jobs of a queue again", Example: "  tributary queues resume embed"}
	done, action := "Resumed queue ", "queue.resume"
	if pause {
		cmd = &cobra.Command{
			Use: "pause QUEUE", Short: "Keep every process from beginning jobs of a queue, until it is resumed",
			Long: `Keep every process, on any machine, from beginning jobs of a queue until somebody
resumes it. What runs goes on to its end; what waits stays.`,
			Example: "  tributary queues pause embed",
		}
		done, action = "Paused queue ", "queue.pause"
	}
	return runnerCommand(a, cmd, []string{"QUEUE"}, func(ctx context.Context, _ *store.Store, r *jobs.Runner, args []string) error {
		if err := r.PauseQueue(ctx, args[0], pause, a.event(action, audit.Target{Kind: "queue", ID: args[0]}, nil)); err != nil {
			return err
		}
		return a.done(done+args[0]+".", map[string]any{"queue": args[0], "paused": pause})
	})
}
