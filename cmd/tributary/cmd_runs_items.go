package main

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/store"
)

func runsItems(a *app) *cobra.Command {
	var op string
	var limit int
	cmd := storeCommand(a, &cobra.Command{
		Use: "items RUN", Short: "List the documents behind the counts of a run",
		Long: `List what a run did with which documents: ` + opNames() + `.
Skipped items are those that no later run has listed; what was added and is deleted
since is not listed. The lists are kept as long as the log.`,
		Example: "  tributary runs items 3f2c0d4e-… --op purged\n  tributary runs items 3f2c0d4e-… --limit 1000 --json",
	}, []string{"RUN"}, func(ctx context.Context, st *store.Store, args []string) error {
		if limit < 1 || limit > 100_000 {
			return usagef("--limit: must be 1 to 100000")
		}
		ops := store.RunItemOps()
		if op != "" {
			if !slices.Contains(ops, op) {
				return usagef("--op: must be one of %s", opNames())
			}
			ops = []string{op}
		}
		r, err := readRunArg(ctx, st, args[0])
		if err != nil {
			return err
		}
		list, more, err := runItems(ctx, st, r.ID, ops, limit)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(map[string]any{"items": list, "more": more})
		}
		t := newTable("", "PATH", "ID", "WHY")
		for _, it := range list {
			t.add(it.Op, shorten(it.Path, 100), shorten(it.ExternalID, 60), shorten(it.Reason, 100))
		}
		if err := t.write(a.stdout, "The run changed no document, or its list is too old to be kept."); err != nil {
			return err
		}
		if more {
			a.notef("There are more: --limit says how many are listed.\n")
		}
		return nil
	})
	cmd.Flags().StringVar(&op, "op", "", "only what was "+opNames())
	cmd.Flags().IntVar(&limit, "limit", 200, "how many at most")
	return cmd
}

// runItems reads at most limit items, and reports whether there are more.
func runItems(ctx context.Context, st *store.Store, run uuid.UUID, ops []string, limit int) ([]store.RunItem, bool, error) {
	list := []store.RunItem{}
	for _, op := range ops {
		page, err := st.RunItems(ctx, run, op, 0, limit-len(list)+1)
		if err != nil {
			return nil, false, err
		}
		list = append(list, page...)
		if len(list) > limit {
			return list[:limit], true, nil
		}
	}
	return list, false, nil
}

func runsLog(a *app) *cobra.Command {
	var follow bool
	cmd := storeCommand(a, &cobra.Command{
		Use: "log RUN", Short: "Show what happened in a run",
		Long: `Show what happened in a run: its slices, waits, retries, limits, deletions and its
end. The log is kept for 30 days, and that of the last 20 runs of each connection
and lane for longer.`,
		Example: "  tributary runs log 3f2c0d4e-… --follow",
	}, []string{"RUN"}, func(ctx context.Context, st *store.Store, args []string) error {
		r, err := readRunArg(ctx, st, args[0])
		if err != nil {
			return err
		}
		if a.json && !follow {
			list, err := st.RunEvents(ctx, r.ID, 0, 10_000)
			if err != nil {
				return err
			}
			return a.printJSON(nonNil(list))
		}
		return a.followLog(ctx, st, r.ID, follow)
	})
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until the run has ended")
	return cmd
}

// followLog prints events as they come, until the run has ended.
func (a *app) followLog(ctx context.Context, st *store.Store, id uuid.UUID, follow bool) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for after := int64(0); ; {
		// The run is read first: what it wrote before its end is read then.
		r, err := st.Run(ctx, id)
		if err != nil {
			return err
		}
		list, err := st.RunEvents(ctx, id, after, 10_000)
		if err != nil {
			return err
		}
		for _, e := range list {
			after = e.ID
			a.printf("%s  %-7s  %-16s  %s\n", e.At.Local().Format(time.DateTime), e.Level, e.Code, printable(e.Message))
		}
		if !follow || !r.State.Live() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}
