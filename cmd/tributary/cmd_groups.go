package main

import (
	"cmp"
	"context"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/store"
)

// principalsPage is how many principals are read at a time.
const principalsPage = 500

func groupsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "groups", Short: "List the groups that sources tell", Example: "  tributary groups list --connection my-drive",
	}, groupsList(a))
}

func principalsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "principals", Short: "Look at people and groups of sources", Example: "  tributary principals show 42\n  tributary principals members 42",
	}, principalsShow(a), principalsLists(a, "members", "List who is in a group directly", (*store.Store).Members), principalsLists(a, "groups", "List the groups that a person or a group is in directly", (*store.Store).GroupsOf))
}

// everyPrincipal reads a list to its end, a page at a time.
func everyPrincipal(read func(after int64, limit int) ([]store.ListedPrincipal, error)) ([]store.ListedPrincipal, error) {
	all := []store.ListedPrincipal{}
	for after := int64(0); ; {
		list, err := read(after, principalsPage)
		all = append(all, list...)
		if err != nil || len(list) < principalsPage {
			return all, err
		}
		after = list[len(list)-1].ID
	}
}

func groupsList(a *app) *cobra.Command {
	var connection, find string
	cmd := storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the groups of the sources, those that were first seen last first",
		Long: `List the groups that the sources tell, and with them the readers of repositories,
channels and spaces. The id in the first column is what "principals" takes.`,
		Example: "  tributary groups list\n  tributary groups list --connection my-drive --find eng",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		f := store.GroupFilter{Find: find}
		if connection != "" {
			c, err := st.Connection(ctx, connection)
			if err != nil {
				return err
			}
			f.Connection = c.ID
		}
		list, err := everyPrincipal(func(after int64, limit int) ([]store.ListedPrincipal, error) {
			f.After, f.Limit = after, limit
			return st.Groups(ctx, f)
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(list)
		}
		t := newTable("ID", "NAME", "ID AT THE SOURCE", "SOURCE", "REALM", "MEMBERS")
		for _, g := range list {
			t.add(strconv.FormatInt(g.ID, 10), g.Name, g.ExternalID, g.Source, g.Realm, countedTo(g.Members))
		}
		return t.write(a.stdout, "No source has told a group.")
	})
	cmd.Flags().StringVar(&connection, "connection", "", "only groups of the realm of this connection, with the members that it knows")
	cmd.Flags().StringVar(&find, "find", "", "only groups with this in their name or id")
	return cmd
}

// countedTo writes a count that ends at a bound.
func countedTo(n int64) string {
	if n >= store.CountedTo {
		return strconv.Itoa(store.CountedTo) + " or more"
	}
	return strconv.FormatInt(n, 10)
}

// principalArg returns the principal of that number.
func principalArg(ctx context.Context, st *store.Store, arg string) (store.PrincipalView, error) {
	id, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		return store.PrincipalView{}, usagef("%q is no principal's id: tributary groups list shows those of groups", arg)
	}
	return st.Principal(ctx, id)
}

func principalsShow(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "show ID", Short: "Show a person or a group of a source, and who it is here", Example: "  tributary principals show 42",
	}, []string{"ID"}, func(ctx context.Context, st *store.Store, args []string) error {
		p, err := principalArg(ctx, st, args[0])
		if err != nil {
			return err
		}
		readers, err := st.ReadersOf(ctx, p.ID, principalsPage)
		if err != nil {
			return err
		}
		names := []string{}
		for _, r := range readers {
			names = append(names, r.Name)
		}
		if a.json {
			return a.printJSON(struct {
				store.PrincipalView

				Readers []string `json:"readers"`
			}{p, names})
		}
		t := newTable("FIELD", "VALUE")
		t.add("id", args[0])
		t.add("kind", string(p.Kind))
		t.add("name", p.Name)
		t.add("id at the source", p.ExternalID)
		t.add("source", strings.TrimSpace(p.Source+" "+p.Realm))
		t.add("connections", strings.Join(p.Connections, ", "))
		t.add("named in the permissions of", countedTo(p.Documents)+" documents")
		t.add("readers", cmp.Or(strings.Join(names, ", "), "none is linked to it"))
		return t.write(a.stdout, "")
	})
}

// principalsLists lists one side of the memberships of a principal.
func principalsLists(a *app, name, short string, read func(st *store.Store, ctx context.Context, id, after int64, limit int) ([]store.ListedPrincipal, error)) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: name + " ID", Short: short, Example: "  tributary principals " + name + " 42",
	}, []string{"ID"}, func(ctx context.Context, st *store.Store, args []string) error {
		p, err := principalArg(ctx, st, args[0])
		if err != nil {
			return err
		}
		list, err := everyPrincipal(func(after int64, limit int) ([]store.ListedPrincipal, error) {
			return read(st, ctx, p.ID, after, limit)
		})
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(list)
		}
		t := newTable("ID", "KIND", "NAME", "ID AT THE SOURCE", "MEMBERS", "TOLD BY", "READER")
		for _, m := range list {
			members, reader := "", ""
			if m.Kind != connectors.User {
				members = countedTo(m.Members)
			}
			if m.Reader != nil {
				reader = *m.Reader
			}
			t.add(strconv.FormatInt(m.ID, 10), string(m.Kind), m.Name, m.ExternalID, members, strings.Join(m.Connections, ", "), reader)
		}
		return t.write(a.stdout, "The sources tell none.")
	})
}
