package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/timetable"
	"tributary/oauthflow"
	"tributary/store"
)

func connectionsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "connections", Short: "List and look after the connections",
		Example: "  tributary connections list\n  tributary connections pause docs",
	}, connectionsList(a), connectionsShow(a), connectionsBrowse(a), connectionsChoose(a), connectionsUpdate(a), connectionsSchedule(a), connectionsLimits(a), connectionsPermissionAge(a), connectionsDisconnect(a), connectionsDelete(a), connectionsMapEmail(a), connectionsPause(a, true), connectionsPause(a, false))
}

// storeCommand makes a command whose work needs the store and the arguments
// that names lists.
func storeCommand(a *app, cmd *cobra.Command, names []string, fn func(ctx context.Context, st *store.Store, args []string) error) *cobra.Command {
	cmd.Args = exactArgs(names...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error { return fn(ctx, st, args) })
	}
	return jsonFlag(a, cmd)
}

func connectionsList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the connections", Example: "  tributary connections list --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		list, err := st.Connections(ctx)
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
		t := newTable("NAME", "SOURCE", "STATE", "CONTENT", "PERMISSIONS")
		for _, c := range list {
			t.add(c.Name, c.Source, connectionState(c), ago(c.ContentAsOf, now), ago(c.PermissionsAsOf, now))
		}
		return t.write(a.stdout, "There are no connections. Make one: tributary connect folder --name docs --set path=DIR")
	})
}

func connectionState(c store.Connection) string {
	if c.StateReason == "" {
		return string(c.State)
	}
	return string(c.State) + ": " + shorten(c.StateReason, 60)
}

func nonNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func connectionsShow(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "show NAME", Short: "Show one connection", Example: "  tributary connections show docs",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		schedules, err := st.Schedules(ctx, c.ID)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(connectionView(c, schedules))
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		t := newTable("FIELD", "VALUE")
		t.add("name", c.Name)
		t.add("id", c.ID.String())
		t.add("source", c.Source)
		t.add("state", connectionState(c))
		for _, k := range slices.Sorted(maps.Keys(c.Settings)) {
			t.add("setting "+k, c.Settings[k])
		}
		if len(c.Selection.Include) > 0 {
			t.add("include", strings.Join(c.Selection.Include, ", "))
		}
		if len(c.Selection.Exclude) > 0 {
			t.add("exclude", strings.Join(c.Selection.Exclude, ", "))
		}
		if n := len(c.Selection.Containers); n > 0 {
			t.add("chosen", shorten(strings.Join(c.Selection.Containers, ", "), 120))
		}
		for _, s := range schedules {
			t.add("schedule "+string(s.Lane), timetable.RhythmText(s.Every, s.Cron)+", next "+ago(&s.NextRunAt, now))
		}
		if c.MapEmail {
			t.add("readers by e-mail", "on")
		}
		t.add("content as of", ago(c.ContentAsOf, now))
		t.add("permissions as of", ago(c.PermissionsAsOf, now))
		t.add("permissions count for", permissionsCount(c))
		return t.write(a.stdout, "")
	})
}

// connectionView is a connection with its schedules, as JSON shows it.
func connectionView(c store.Connection, schedules []store.Schedule) any {
	type schedule struct {
		Lane      store.Lane `json:"lane"`
		Every     string     `json:"every"`
		NextRunAt time.Time  `json:"next_run_at"`
	}
	view := struct {
		store.Connection
		Schedules []schedule `json:"schedules"`
	}{Connection: c, Schedules: []schedule{}}
	for _, s := range schedules {
		view.Schedules = append(view.Schedules, schedule{s.Lane, s.Every.String(), s.NextRunAt})
	}
	return view
}

func connectionsDelete(a *app) *cobra.Command {
	var yes bool
	cmd := storeCommand(a, &cobra.Command{
		Use: "delete NAME", Short: "Delete a connection and everything that came through it",
		Long:    "Delete a connection, its documents, chunks, vectors and runs. Nothing at the source is touched.",
		Example: "  tributary connections delete docs --yes",
	}, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		if c.GrantID != nil {
			return usagef("connection %s has a grant, which outlives it: tributary connections disconnect %s ends both", c.Name, c.Name)
		}
		if !yes {
			return usagef("deleting connection %s removes its documents from the store: say --yes", c.Name)
		}
		if err := st.DeleteConnection(ctx, c.ID, a.event("connection.delete", connectionTarget(c), map[string]string{"name": c.Name})); err != nil {
			return err
		}
		return a.done("Deleted connection "+c.Name+".", map[string]any{"deleted": c.ID, "name": c.Name})
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really delete")
	return cmd
}

func connectionsDisconnect(a *app) *cobra.Command {
	var yes bool
	cmd := jsonFlag(a, &cobra.Command{
		Use: "disconnect NAME", Short: "End a connection and its grant, and delete what came through it", Args: exactArgs("NAME"),
		Long: `End a connection: where no other connection uses its grant, that is revoked at
the provider and its tokens are forgotten; then the documents are deleted. Where
the provider cannot be reached, a running worker tries again.`,
		Example: "  tributary connections disconnect my-drive --yes",
	})
	cmd.Flags().BoolVar(&yes, "yes", false, "really disconnect")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onGrants(cmd, func(ctx context.Context, st *store.Store, c *consent) error {
			conn, err := st.Connection(ctx, args[0])
			if err != nil {
				return err
			}
			if !yes {
				return usagef("disconnecting %s ends its grant and removes its documents from the store: say --yes", conn.Name)
			}
			return a.disconnect(ctx, st, c, conn)
		})
	}
	return cmd
}

func (a *app) disconnect(ctx context.Context, st *store.Store, c *consent, conn store.Connection) error {
	out := &oauthflow.Disconnected{Closed: oauthflow.Closed{Done: true, Note: "Its grant was ended before."}}
	if conn.State != store.StateClosing {
		var err error
		out, err = c.grants.Disconnect(ctx, a.by(), conn.ID)
		if out == nil && err != nil {
			return err
		}
		if err != nil {
			a.notef("tributary: %s\n", oneLine(err.Error()))
		}
	}
	if err := st.DeleteConnection(ctx, conn.ID, a.event("connection.delete", connectionTarget(conn), map[string]string{"name": conn.Name})); err != nil {
		return err
	}
	return a.done("Disconnected "+conn.Name+". "+closeSentence(&out.Closed),
		map[string]any{"disconnected": conn.ID, "name": conn.Name, "others": nonNil(out.Others), "done": out.Done, "revoked": out.Revoked, "note": out.Note, "manage_url": out.ManageURL})
}

func connectionsPause(a *app, pause bool) *cobra.Command {
	cmd := &cobra.Command{Use: "resume NAME", Short: "Resume the schedules of a paused connection", Example: "  tributary connections resume docs"}
	done, action := "Resumed connection ", "connection.resume"
	if pause {
		cmd = &cobra.Command{Use: "pause NAME", Short: "Stop the schedules and the live runs of a connection", Example: "  tributary connections pause docs"}
		done, action = "Paused connection ", "connection.pause"
	}
	return storeCommand(a, cmd, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		if err := st.SetPaused(ctx, c.ID, pause, a.event(action, connectionTarget(c), map[string]string{"name": c.Name})); err != nil {
			return err
		}
		return a.done(done+c.Name+".", map[string]any{"id": c.ID, "name": c.Name, "paused": pause})
	})
}

// done tells that something was done: as a sentence, or as v with --json.
func (a *app) done(sentence string, v any) error {
	if a.json {
		return a.printJSON(v)
	}
	a.printf("%s\n", sentence)
	return nil
}
