package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/internal/settings"
	"tributary/jobs"
	"tributary/store"
)

const (
	// choosePage is how many containers are listed at a time, chooseTree how many with --all.
	choosePage, chooseTree = 200, 2000
)

// onEngine runs fn for a connection with what can open its source.
func (a *app) onEngine(cmd *cobra.Command, name string, fn func(ctx context.Context, e *engine, conn store.Connection) error) error {
	s, err := a.settings(cmd)
	if err != nil {
		return err
	}
	return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
		conn, err := st.Connection(ctx, name)
		if err != nil {
			return err
		}
		return a.withEngine(ctx, st, s, func(e *engine) error { return fn(ctx, e, conn) })
	})
}

// withEngine runs fn with what can open sources, and closes it.
func (a *app) withEngine(ctx context.Context, st *store.Store, s settings.Settings, fn func(e *engine) error) (err error) {
	grants, err := openConsent(ctx, s, st, a.logger(false))
	if err != nil {
		return err
	}
	e, err := a.newEngine(ctx, s, st, grants, a.logger(false), 0)
	if err != nil {
		return errors.Join(err, grants.close(ctx))
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if closing := errors.Join(e.close(ctx), grants.close(ctx)); closing != nil {
			a.notef("tributary: closing: %s\n", oneLine(closing.Error()))
		}
	}()
	return fn(e)
}

func connectionsBrowse(a *app) *cobra.Command {
	var from int
	cmd := jsonFlag(a, &cobra.Command{
		Use: "browse NAME [CONTAINER]", Short: "List what can be chosen at the source of a connection",
		Long: `List the containers at the source of a connection, such as repositories, drives
and folders: those at the top, or those directly below CONTAINER, named by its id.
The source is asked with the connection's grant. At most 200 are listed; --from
continues behind them.`,
		Example: "  tributary connections browse my-drive\n  tributary connections browse my-drive 0ABCdef --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return exactArgs("NAME", "CONTAINER")(cmd, args)
			}
			return exactArgs("NAME")(cmd, args)
		},
	})
	cmd.Flags().IntVar(&from, "from", 0, "how many to leave out at the beginning")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if from < 0 {
			return usagef("--from must not be negative")
		}
		parent := ""
		if len(args) > 1 {
			parent = args[1]
		}
		return a.onEngine(cmd, args[0], func(ctx context.Context, e *engine, conn store.Connection) error {
			list, more, err := e.runner.Choices(ctx, conn, parent, from, choosePage)
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(choices{list, more})
			}
			t := newTable("", "NAME", "ID", "BELOW", "DETAIL")
			for _, c := range list {
				t.add(mark(conn, c.ID), printable(c.Name), printable(c.ID), below(c), shorten(printable(c.Detail), 60))
			}
			if err := t.write(a.stdout, "There is nothing to choose here."); err != nil {
				return err
			}
			if more {
				a.notef("There are more: --from %d continues.\n", from+len(list))
			}
			return nil
		})
	}
	return cmd
}

// choices is what a source offers, as JSON shows it.
type choices struct {
	List []connectors.Choice `json:"choices"`
	More bool                `json:"more"`
}

// mark says whether a container is chosen by itself.
func mark(conn store.Connection, id string) string {
	if slices.Contains(conn.Selection.Containers, id) {
		return "[x]"
	}
	return "[ ]"
}

func below(c connectors.Choice) string {
	if c.HasChildren {
		return "more"
	}
	return ""
}

// chooseFlags say what is chosen.
type chooseFlags struct {
	add, remove, set []string
	everything, all  bool
	yes              bool
}

func (f *chooseFlags) changes() bool {
	return len(f.add)+len(f.remove)+len(f.set) > 0 || f.everything
}

// selection returns what is chosen after the flags.
func (f *chooseFlags) selection(conn store.Connection) (connectors.Selection, error) {
	sel := conn.Selection
	switch {
	case f.everything && len(f.add)+len(f.remove)+len(f.set) > 0, len(f.set) > 0 && len(f.add)+len(f.remove) > 0:
		return sel, usagef("choose one of --everything, --set, or --add and --remove")
	case f.everything:
		sel.Containers = nil
		return sel, nil
	case len(f.set) > 0:
		sel.Containers = f.set
		return sel, nil
	}
	chosen := slices.Concat(sel.Containers, f.add)
	for _, id := range f.remove {
		if !slices.Contains(sel.Containers, id) {
			return sel, usagef("--remove %s: it is not chosen by itself: tributary connections choose %s shows what is", id, conn.Name)
		}
	}
	sel.Containers = slices.DeleteFunc(chosen, func(id string) bool { return slices.Contains(f.remove, id) })
	if len(sel.Containers) == 0 {
		return sel, usagef("nothing would be chosen: --everything syncs everything, tributary connections pause %s stops the syncs", conn.Name)
	}
	return sel, nil
}

func connectionsChoose(a *app) *cobra.Command {
	var f chooseFlags
	cmd := jsonFlag(a, &cobra.Command{
		Use: "choose NAME", Short: "Choose what of a source is synced", Args: exactArgs("NAME"),
		Long: `Choose the containers of a source, such as repositories, drives and folders, that
a connection syncs. A container stands for everything below it, also for what is
created there later. Without a flag the containers at the top are listed with what
is chosen; --all lists those below them too.

What is taken out is told first: --yes lets it go. It is hidden with the next run,
and deleted with a later one. What is put in is there after the next run, which begins at once.`,
		Example: "  tributary connections choose my-drive --all\n  tributary connections choose my-drive --add 0ABCdef --remove 0XYZuvw\n  tributary connections choose my-drive --everything",
	})
	flags := cmd.Flags()
	flags.StringArrayVar(&f.add, "add", nil, "choose this container too, by its id; may be repeated")
	flags.StringArrayVar(&f.remove, "remove", nil, "no longer choose this container; may be repeated")
	flags.StringArrayVar(&f.set, "set", nil, "choose this container in place of what is chosen; may be repeated")
	flags.BoolVar(&f.everything, "everything", false, "sync everything, also what is created later")
	flags.BoolVar(&f.yes, "yes", false, "hide what is taken out, without being told first how much that is")
	flags.BoolVar(&f.all, "all", false, "list the containers at every depth")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return a.onEngine(cmd, args[0], func(ctx context.Context, e *engine, conn store.Connection) error {
			if !f.changes() {
				return a.listChosen(ctx, e, conn, f.all)
			}
			sel, err := f.selection(conn)
			if err != nil {
				return err
			}
			return a.changeConnection(ctx, e, conn, conn.Settings, sel, f.yes)
		})
	}
	return cmd
}

// listChosen prints the containers of a source as a tree, with what is chosen.
func (a *app) listChosen(ctx context.Context, e *engine, conn store.Connection, all bool) error {
	var list []jobs.Container
	var more bool
	var err error
	if all {
		list, more, err = e.runner.Tree(ctx, conn, "", chooseTree)
	} else {
		var top []connectors.Choice
		top, more, err = e.runner.Choices(ctx, conn, "", 0, choosePage)
		list = []jobs.Container{}
		for _, c := range top {
			list = append(list, jobs.Container{Choice: c})
		}
	}
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"chosen": nonNil(conn.Selection.Containers), "everything": len(conn.Selection.Containers) == 0, "containers": list, "more": more})
	}
	t := newTable("", "NAME", "ID", "BELOW")
	for _, c := range list {
		t.add(mark(conn, c.ID), strings.Repeat("  ", c.Depth)+printable(c.Name), printable(c.ID), below(c.Choice))
	}
	if err := t.write(a.stdout, "There is nothing to choose at this source."); err != nil {
		return err
	}
	if more {
		a.notef("There are more: tributary connections browse %s lists them a part at a time.\n", conn.Name)
	}
	a.printf("\n%s\n", chosenSentence(conn.Selection))
	return nil
}

// chosenSentence says what is synced, and what becomes of new containers.
func chosenSentence(sel connectors.Selection) string {
	var s string
	switch n := len(sel.Containers); n {
	case 0:
		s = "Everything is synced, also what is created later."
	case 1:
		s = "1 container is chosen: " + printable(sel.Containers[0]) + ". What is created in it later is synced too; new containers beside it are not."
	default:
		s = fmt.Sprintf("%d containers are chosen. What is created in them later is synced too; new containers beside them are not.", n)
	}
	if len(sel.Include)+len(sel.Exclude) > 0 {
		s += " Of that, the patterns of the connection choose: tributary connections show."
	}
	return s
}

// changeConnection makes a connection sync something else, and says what follows.
func (a *app) changeConnection(ctx context.Context, e *engine, conn store.Connection, values map[string]string, sel connectors.Selection, yes bool) error {
	n, err := e.runner.Narrowing(ctx, conn, values, sel)
	if err != nil {
		return err
	}
	if n == nil {
		n = &jobs.Narrowing{}
	}
	if n.Hides > 0 && !yes {
		return usagef("%s", hidesSentence(n))
	}
	detail := map[string]string{"name": conn.Name, "selection": chosenSentence(sel), "hides": strconv.FormatInt(n.Hides, 10)}
	after, changed, err := e.runner.ChangeConfirmed(ctx, conn, values, sel, n.Hides, a.event("connection.change", connectionTarget(conn), detail))
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(map[string]any{"connection": after.Name, "changed": changed, "selection": after.Selection, "settings": after.Settings, "state": after.State, "state_reason": after.StateReason})
	}
	if !changed {
		a.printf("Nothing is changed. %s\n", chosenSentence(after.Selection))
		return nil
	}
	a.printf("%s\n", chosenSentence(after.Selection))
	if after.State == store.StateDegraded {
		a.printf("The grant does not suffice: %s.\nGrant again: tributary connect %s --again %s\n", after.StateReason, after.Source, after.Name)
	}
	switch {
	case after.State == store.StatePaused || after.State == store.StateNeedsReauth:
		a.printf("It counts when the connection works again.\n")
	case a.alone:
		a.printf("Nothing runs that would sync: start tributary up, or say tributary sync %s --wait.\n", conn.Name)
	default:
		a.printf("The next run has begun; tributary runs list --connection %s shows how it goes.\n", conn.Name)
	}
	return nil
}

// hidesSentence says what a change takes out.
func hidesSentence(n *jobs.Narrowing) string {
	switch {
	case !n.Exact:
		return fmt.Sprintf("this may hide up to %d documents: the source could not be listed in time to say how many; say --yes to let them go", n.Hides)
	case len(n.Examples) == 0:
		return fmt.Sprintf("this hides %d of %d documents: say --yes to let them go", n.Hides, n.Total)
	default:
		return fmt.Sprintf("this hides %d of %d documents, such as %s: say --yes to let them go", n.Hides, n.Total, printable(strings.Join(n.Examples[:min(len(n.Examples), 3)], ", ")))
	}
}

func connectionsUpdate(a *app) *cobra.Command {
	var set, include, exclude []string
	var yes bool
	cmd := jsonFlag(a, &cobra.Command{
		Use: "update NAME", Short: "Change the settings and patterns of a connection", Args: exactArgs("NAME"),
		Long: `Change settings of a connection, as tributary connect NAME --help lists them, and
its patterns over paths. What is not named stays. Where a setting needs a permission
that the grant lacks, the connection says so until it is granted.

What is no longer synced is told first: --yes lets it go. It is hidden with the next
run.`,
		Example: "  tributary connections update docs --set max_file_size=1000000\n  tributary connections update docs --exclude 'drafts/**'",
	})
	flags := cmd.Flags()
	flags.StringArrayVar(&set, "set", nil, "a setting as name=value, without value for its default; may be repeated")
	flags.StringArrayVar(&include, "include", nil, "sync only paths that match this pattern, in place of those there are; may be repeated; '' is every path")
	flags.StringArrayVar(&exclude, "exclude", nil, "leave out paths that match this pattern, in place of those there are; may be repeated; '' is none")
	flags.BoolVar(&yes, "yes", false, "hide what is taken out, without being told first how much that is")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(set)+len(include)+len(exclude) == 0 {
			return usagef("nothing to change: give --set, --include or --exclude")
		}
		return a.onEngine(cmd, args[0], func(ctx context.Context, e *engine, conn store.Connection) error {
			c, err := e.runner.Connector(conn.Source)
			if err != nil {
				return err
			}
			values, err := changedSettings(c.Spec(), conn.Settings, set)
			if err != nil {
				return err
			}
			sel := conn.Selection
			sel.Include, sel.Exclude = replaced(sel.Include, include), replaced(sel.Exclude, exclude)
			return a.changeConnection(ctx, e, conn, values, sel, yes)
		})
	}
	return cmd
}

// replaced returns given in place of old; an empty text alone stands for none.
func replaced(old, given []string) []string {
	if len(given) == 0 {
		return old
	}
	return slices.DeleteFunc(slices.Clone(given), func(s string) bool { return s == "" })
}
