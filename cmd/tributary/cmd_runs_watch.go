package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/store"
)

// watchEvery is how often a watching command looks.
const watchEvery = 500 * time.Millisecond

// watched is a run with how far it is, as watch --json prints it.
type watched struct {
	store.Run
	Progress store.Progress `json:"progress"`
}

func runsWatch(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "watch [RUN|CONNECTION]", Short: "Watch runs until they end",
		Long: `Watch a run, the runs of a connection, or every run that is under way, until they
have ended. On a terminal the table is drawn anew; elsewhere each change is a line,
with --json an object.

The rate is that of the last minute. How much is left is said only where it is known
how much there is. Ctrl-C ends the watching and leaves the runs alone. The exit code
is that of the runs: 4 when one ended partially, 1 when one failed.`,
		Example: "  tributary runs watch docs\n  tributary runs watch 3f2c0d4e-… --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return exactArgs("RUN|CONNECTION")(cmd, args)
		},
	})
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			ids, err := runsToWatch(ctx, st, args)
			if err != nil {
				return err
			}
			if len(ids) == 0 {
				a.notef("No run is under way.\n")
				return nil
			}
			return a.watchRuns(ctx, st, ids)
		})
	}
	return cmd
}

// runsToWatch returns the run that args name, the live runs of the connection
// that they name, or all live runs.
func runsToWatch(ctx context.Context, st *store.Store, args []string) ([]uuid.UUID, error) {
	filter := store.RunFilter{Limit: 1000, Live: true}
	if len(args) > 0 {
		if id, err := uuid.Parse(args[0]); err == nil {
			if _, err := st.Run(ctx, id); err == nil || !errors.Is(err, store.ErrNotFound) {
				return []uuid.UUID{id}, err
			}
		}
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return nil, err
		}
		filter.Connection = c.ID
	}
	runs, err := st.Runs(ctx, filter)
	if err != nil {
		return nil, err
	}
	var ids []uuid.UUID
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	return ids, nil
}

// watchRuns shows runs until all of them have ended.
func (a *app) watchRuns(ctx context.Context, st *store.Store, ids []uuid.UUID) error {
	view := newProgress(a.stderr)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	said := map[uuid.UUID]string{}
	for {
		list, err := a.look(ctx, st, ids)
		if err == nil {
			if err := a.showWatched(view, list, said); err != nil {
				return err
			}
			if ended(list) {
				var runs []store.Run
				for _, w := range list {
					runs = append(runs, w.Run)
				}
				return syncOutcome(runs)
			}
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			a.notef("The runs go on. To end one: tributary runs cancel %s\n", ids[0])
			return &silentError{code: exitInterrupted}
		case <-tick.C:
		}
	}
}

// look reads runs and how far they are.
func (a *app) look(ctx context.Context, st *store.Store, ids []uuid.UUID) ([]watched, error) {
	list := make([]watched, len(ids))
	for i, id := range ids {
		var err error
		if list[i].Run, err = st.Run(ctx, id); err != nil {
			return nil, err
		}
		if list[i].Progress, err = st.Progress(ctx, list[i].Run); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// watchHere returns what shows runs that this process works on.
func (a *app) watchHere(ctx context.Context, st *store.Store, runs []store.Run) func(store.Run) {
	view, said := newProgress(a.stderr), map[uuid.UUID]string{}
	var ids []uuid.UUID
	for _, r := range runs {
		ids = append(ids, r.ID)
	}
	return func(store.Run) {
		if list, err := a.look(ctx, st, ids); err == nil {
			_ = a.showWatched(view, list, said)
		}
	}
}

func ended(list []watched) bool {
	for _, w := range list {
		if w.State.Live() {
			return false
		}
	}
	return true
}

// showWatched shows what has changed.
func (a *app) showWatched(view *progress, list []watched, said map[uuid.UUID]string) error {
	if view.tty && !a.json {
		t := newTable("CONNECTION", "KIND", "STATE", "LISTED", "DONE", "RATE", "TOOK", "LEFT")
		for _, w := range list {
			p := w.Progress
			t.add(w.Connection, string(w.Kind), stateOf(w.Run), listedOf(p), counts(w.Counts), rateOf(p), p.Elapsed.Round(time.Second).String(), leftOf(w))
		}
		var b bytes.Buffer
		if err := t.write(&b, ""); err != nil {
			return err
		}
		view.block(b.String())
		return nil
	}
	for _, w := range list {
		line := watchLine(w)
		if line == said[w.ID] {
			continue
		}
		said[w.ID] = line
		if !a.json {
			a.printf("%s\n", printable(line+", "+w.Progress.Elapsed.Round(time.Second).String()))
			continue
		}
		if err := json.NewEncoder(a.stdout).Encode(w); err != nil {
			return err
		}
	}
	return nil
}

// watchLine says how far a run is, without what changes by itself.
func watchLine(w watched) string {
	parts := []string{w.Connection + " " + string(w.Kind) + ": " + stateOf(w.Run), listedOf(w.Progress) + " listed", counts(w.Counts)}
	for _, s := range []string{rateOf(w.Progress), leftOf(w)} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	if w.Error != "" {
		parts = append(parts, shorten(oneLine(w.Error), 120))
	}
	return strings.Join(parts, ", ")
}

// stateOf is a run's state, with when a run that waits goes on.
func stateOf(r store.Run) string {
	switch {
	case r.State.Live() && r.CancelRequested:
		return "to be cancelled"
	case r.State == store.RunQueued && r.NextTryAt != nil && r.Error != "":
		return "waits until " + r.NextTryAt.Local().Format(time.TimeOnly)
	default:
		return string(r.State)
	}
}

func listedOf(p store.Progress) string {
	if p.Expected == nil {
		return strconv.FormatInt(p.Listed, 10)
	}
	return fmt.Sprintf("%d of about %d", p.Listed, *p.Expected)
}

func rateOf(p store.Progress) string {
	if p.DocumentsPerSecond == 0 && p.BytesPerSecond == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f/s %.1f MB/s", p.DocumentsPerSecond, p.BytesPerSecond/1e6)
}

// leftOf is how long a run still takes, where that is known.
func leftOf(w watched) string {
	switch {
	case w.Progress.Left != nil:
		return "about " + span(*w.Progress.Left) + " left"
	case w.State == store.RunRunning && w.Lane == store.Content:
		return "time left unknown"
	default:
		return ""
	}
}

func runsCancel(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "cancel RUN", Short: "End a run where it is",
		Long: `End a run where it is: at once where nobody works on it, else within seconds. What
it has committed stays, and the next run of the lane continues its listing.`,
		Example: "  tributary runs cancel 3f2c0d4e-…",
	}, []string{"RUN"}, func(ctx context.Context, st *store.Store, args []string) error {
		r, err := readRunArg(ctx, st, args[0])
		if err != nil {
			return err
		}
		event := a.event("run.cancel", runTarget(r), map[string]string{"connection": r.Connection, "kind": string(r.Kind)})
		if err := st.CancelRun(ctx, r.ID, event); err != nil {
			return err
		}
		if r, err = st.Run(ctx, r.ID); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(r)
		}
		a.printf("The run of %s is %s.\n", r.Connection, stateOf(r))
		return nil
	})
}

// readRunArg returns the run that a command line names.
func readRunArg(ctx context.Context, st *store.Store, arg string) (store.Run, error) {
	id, err := uuid.Parse(arg)
	if err != nil {
		return store.Run{}, usagef("%q is not a run's id: tributary runs list shows them", arg)
	}
	return st.Run(ctx, id)
}
