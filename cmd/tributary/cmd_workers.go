package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"tributary/store"
)

func workersCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "workers", Short: "The processes that sync", Example: "  tributary workers list",
	}, workersList(a))
}

func workersList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the processes that sync, and what waits for them",
		Long: `List the processes that sync: tributary up, serve and worker. One that has shown
nothing for a minute is gone; what it held goes on in another one. A run waits
while every slot is taken.`,
		Example: "  tributary workers list\n  tributary workers list --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		list, err := st.Workers(ctx)
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
		t := newTable("NAME", "VERSION", "STATE", "SLOTS", "RUNS", "STARTED", "SEEN")
		for _, w := range list {
			state := "alive"
			if !w.Alive {
				state = "gone"
			}
			t.add(w.Name, w.Version, state, strconv.Itoa(w.Slots), strconv.Itoa(w.Runs), ago(&w.StartedAt, now), ago(&w.SeenAt, now))
		}
		if err := t.write(a.stdout, "Nothing syncs: start tributary up, serve or worker."); err != nil {
			return err
		}
		for _, lane := range store.Lanes() {
			q, err := st.Queue(ctx, lane)
			if err != nil {
				return err
			}
			if q.Waiting > 0 {
				a.printf("%d %s runs wait.\n", q.Waiting, lane)
			}
		}
		return nil
	})
}
