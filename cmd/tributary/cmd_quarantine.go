package main

import (
	"context"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/store"
)

func quarantineCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "quarantine", Short: "Try again, leave out or take back what could not be ingested",
		Example: "  tributary documents quarantined docs\n  tributary quarantine retry docs --all\n  tributary quarantine exclude docs old/broken.pdf --reason \"not needed\"",
	}, quarantineRetry(a), quarantineExclude(a), quarantineInclude(a))
}

// itemsCommand makes a command about items of a connection, by their ids.
func itemsCommand(a *app, cmd *cobra.Command, fn func(ctx context.Context, st *store.Store, c store.Connection, ids []string) error) *cobra.Command {
	cmd.Args = nil
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usagef("%s needs CONNECTION; see %s --help", cmd.CommandPath(), cmd.CommandPath())
		}
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			c, err := st.Connection(ctx, args[0])
			if err != nil {
				return err
			}
			return fn(ctx, st, c, args[1:])
		})
	}
	return jsonFlag(a, cmd)
}

// chosen are the quarantined items that flags and arguments name.
type chosen struct {
	all   bool
	class string
}

func (o *chosen) flags(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&o.all, "all", false, "everything that is quarantined")
	cmd.Flags().StringVar(&o.class, "class", "", "with --all: only what failed with this class")
}

func (o *chosen) ids(ctx context.Context, st *store.Store, c store.Connection, ids []string) ([]string, error) {
	switch {
	case o.all == (len(ids) > 0):
		return nil, usagef("name the items by their ids, or give --all; tributary documents quarantined %s lists them", c.Name)
	case o.class != "" && !o.all:
		return nil, usagef("--class goes with --all")
	case !o.all:
		return ids, nil
	}
	list, err := st.Quarantined(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	for _, q := range list {
		if o.class == "" || q.Class == o.class {
			ids = append(ids, q.ExternalID)
		}
	}
	return ids, nil
}

// itemEvent is the event of an act upon items. It says how many: their ids are
// the source's words, which an erasure could not take out of the audit log.
func (a *app) itemEvent(action string, c store.Connection, ids []string) audit.Event {
	return a.event(action, connectionTarget(c), map[string]string{"connection": c.Name, "items": strconv.Itoa(len(ids))})
}

func (a *app) printChanged(n, of int, text string) error {
	if a.json {
		return a.printJSON(map[string]int{"items": n})
	}
	a.printf("%d of %d items: %s\n", n, of, text)
	return nil
}

func quarantineRetry(a *app) *cobra.Command {
	var o chosen
	cmd := itemsCommand(a, &cobra.Command{
		Use: "retry CONNECTION [ID…]", Short: "Let quarantined items be tried again, also those that rest after three tries",
		Example: "  tributary quarantine retry docs notes/a.pdf\n  tributary quarantine retry docs --all --class transient",
	}, func(ctx context.Context, st *store.Store, c store.Connection, ids []string) error {
		ids, err := o.ids(ctx, st, c, ids)
		if err != nil {
			return err
		}
		n, err := st.RetryQuarantined(ctx, c.ID, ids, a.itemEvent("quarantine.retry", c, ids))
		if err != nil {
			return err
		}
		text := "the next content run tries them: tributary sync " + c.Name
		if !a.fetches(c.Source) && !c.FeedCursor.IsZero() {
			text = "they are tried when everything is listed the next time, because this source cannot give single items"
		}
		return a.printChanged(n, len(ids), text)
	})
	o.flags(cmd)
	return cmd
}

// fetches reports whether a source can give single items.
func (a *app) fetches(source string) bool {
	return slices.ContainsFunc(a.connectors(), func(c connectors.Connector) bool {
		spec := c.Spec()
		return spec.Source == source && spec.Has(connectors.CanFetch)
	})
}

func quarantineExclude(a *app) *cobra.Command {
	var o chosen
	var reason string
	cmd := itemsCommand(a, &cobra.Command{
		Use: "exclude CONNECTION [ID…]", Short: "Keep items out for good, and remove what is stored of them",
		Example: "  tributary quarantine exclude docs old/broken.pdf --reason \"not needed\"\n  tributary quarantine exclude docs --all --class item_skipped",
	}, func(ctx context.Context, st *store.Store, c store.Connection, ids []string) error {
		ids, err := o.ids(ctx, st, c, ids)
		if err != nil {
			return err
		}
		n, err := st.ExcludeItems(ctx, c.ID, ids, reason, a.cliActor().Name, a.itemEvent("quarantine.exclude", c, ids))
		if err != nil {
			return err
		}
		return a.printChanged(n, len(ids), "they are not ingested; tributary documents excluded "+c.Name+" lists them, and tributary quarantine include takes them back")
	})
	o.flags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "", "why, for other admins")
	return cmd
}

func quarantineInclude(a *app) *cobra.Command {
	return itemsCommand(a, &cobra.Command{
		Use: "include CONNECTION ID…", Short: "Take back the exclusion of items; the next run lists everything and finds them",
		Example: "  tributary documents excluded docs\n  tributary quarantine include docs old/broken.pdf",
	}, func(ctx context.Context, st *store.Store, c store.Connection, ids []string) error {
		if len(ids) == 0 {
			return usagef("name the items by their ids")
		}
		n, err := st.IncludeItems(ctx, c.ID, ids, a.itemEvent("quarantine.include", c, ids))
		if err != nil {
			return err
		}
		text := "the next content run lists everything: tributary sync " + c.Name
		if c.Source == store.PushSource {
			text = "they are taken when they are pushed again"
		}
		return a.printChanged(n, len(ids), text)
	})
}
