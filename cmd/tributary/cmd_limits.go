package main

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"tributary/internal/timetable"
	"tributary/store"
)

func connectionsLimits(a *app) *cobra.Command {
	var set map[string]string
	cmd := storeCommand(a, &cobra.Command{
		Use: "limits NAME", Short: "Show or set what one run of a connection may cost, and how much of it may fail",
		Long: `Show or set what one run of a connection may cost, and how much of it may fail.
A run that reaches a limit ends as failed. It has inferred no deletion, and the
next run goes on where it stopped. "default" takes a limit back.`,
		Example: "  tributary connections limits docs\n  tributary connections limits docs --set max_pages=5000000,failed_percent=50",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		limits, err := st.RunLimits(ctx, c.ID)
		if err == nil && len(set) > 0 {
			limits, err = st.SetRunLimits(ctx, c.ID, set, a.event("connection.limits", connectionTarget(c), set))
		}
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(limits.WithDefaults())
		}
		t := newTable("LIMIT", "VALUE", "DEFAULT", "A RUN ENDS WHEN")
		for _, l := range store.RunLimitTable() {
			t.add(l.Name, strconv.FormatInt(limits.Get(l.Name), 10), strconv.FormatInt(l.Default, 10), l.Means)
		}
		return t.write(a.stdout, "")
	})
	cmd.Flags().StringToStringVar(&set, "set", nil, "limits to set, as name=number or name=default")
	return cmd
}

func connectionsPermissionAge(a *app) *cobra.Command {
	var span string
	cmd := storeCommand(a, &cobra.Command{
		Use: "permission-age NAME", Short: "Show or set for how long the permissions of a connection count",
		Long: `Show or set for how long the permissions of a connection count after they were
read. Past that its documents hide, until permissions are read again: who may read
what is not known any more. It is at least twice the time between two reads.

What is pushed hides when nothing was pushed for that long; "never" is for it alone.`,
		Example: "  tributary connections permission-age docs\n  tributary connections permission-age docs --set 48h\n  tributary connections permission-age wiki --set never",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		if span != "" {
			age := store.PermissionsForever
			if span != "never" {
				if age, err = parseSpan(span); err != nil {
					return usagef("--set %q: write a time span such as 24h or 7d, or never", span)
				}
			}
			event := a.event("connection.permission_age", connectionTarget(c), map[string]string{"name": c.Name, "max_permission_age": age.String()})
			if err := st.SetMaxPermissionAge(ctx, c.ID, age, event); err != nil {
				return err
			}
			c.MaxPermissionAge = age
		}
		return a.done("Permissions of "+c.Name+" count for "+permissionsCount(c)+".", map[string]any{"name": c.Name, "max_permission_age": c.MaxPermissionAge.String()})
	})
	cmd.Flags().StringVar(&span, "set", "", "for how long they count, such as 48h or 7d, or never")
	return cmd
}

// permissionsCount writes for how long permissions of a connection count.
func permissionsCount(c store.Connection) string {
	if c.PermissionsLast() {
		return "as long as nothing else is pushed"
	}
	return timetable.RhythmText(c.MaxPermissionAge, "")
}
