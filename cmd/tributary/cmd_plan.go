package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/jobs"
	"tributary/store"
)

// planFlags are the flags of plan.
type planFlags struct {
	snapshot, changes, exact bool
	choose                   chooseFlags
	include, exclude, set    []string
	sample, items            int
	limit                    int64
	time                     time.Duration
}

func planCommand(a *app) *cobra.Command {
	var f planFlags
	cmd := jsonFlag(a, &cobra.Command{
		Use: "plan NAME", Short: "Show what a sync would do, without doing it",
		Long: `Read the source of a connection as a sync would, compare it with what is stored,
and say what a sync would add, update, hide and delete, how much text it would
have to embed, and who could read the new documents. Nothing is stored; the
connection stays as it is.

With --add-container, --remove-container, --include, --exclude or --set the plan is of
that selection and those settings. What the text costs is estimated from a sample of
the documents that a sync would open; --exact opens them all.`,
		Example: "  tributary plan docs\n  tributary plan my-drive --add-container 0ABCdef --exact\n  tributary plan docs --exclude 'drafts/**' --json",
		Args:    exactArgs("NAME"),
	})
	flags := cmd.Flags()
	flags.BoolVar(&f.snapshot, "snapshot", false, "plan a listing of everything")
	flags.BoolVar(&f.changes, "changes", false, "plan what the change feed says")
	flags.StringArrayVar(&f.choose.add, "add-container", nil, "with this container too, by its id; may be repeated")
	flags.StringArrayVar(&f.choose.remove, "remove-container", nil, "without this container; may be repeated")
	flags.StringArrayVar(&f.include, "include", nil, "with only paths that match this pattern, in place of those there are; may be repeated; '' is every path")
	flags.StringArrayVar(&f.exclude, "exclude", nil, "without paths that match this pattern, in place of those there are; may be repeated; '' is none")
	flags.StringArrayVar(&f.set, "set", nil, "with a setting as name=value, without value for its default; may be repeated")
	flags.IntVar(&f.sample, "sample", 50, "how many documents to open for the estimate; 0 is none")
	flags.BoolVar(&f.exact, "exact", false, "open every document that a sync would open")
	flags.Int64Var(&f.limit, "limit-items", 200_000, "how many items to list at most")
	flags.DurationVar(&f.time, "limit-time", 10*time.Minute, "how long to read the source at most")
	flags.IntVar(&f.items, "items", 20, "how many of the changes to list")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := f.check(); err != nil {
			return err
		}
		return a.onEngine(cmd, args[0], func(ctx context.Context, e *engine, conn store.Connection) error { return a.plan(ctx, e, conn, f) })
	}
	return cmd
}

func (f *planFlags) check() error {
	switch {
	case f.snapshot && f.changes:
		return usagef("choose one of --snapshot and --changes")
	case f.sample < 0 || f.sample > 10_000:
		return usagef("--sample: must be 0 to 10000; --exact opens every document")
	case f.limit < 1:
		return usagef("--limit-items: must be at least 1")
	case f.time < time.Second:
		return usagef("--limit-time: must be at least 1s")
	case f.items < 1 || f.items > 100_000:
		return usagef("--items: must be 1 to 100000")
	}
	return nil
}

// options turns the flags into what is planned.
func (f *planFlags) options(e *engine, conn store.Connection) (jobs.PlanOptions, error) {
	o := jobs.PlanOptions{Sample: f.sample, Exact: f.exact, Limit: f.limit, Time: f.time, Items: f.items}
	if f.sample == 0 {
		o.Sample = -1
	}
	if f.snapshot {
		o.Kind = store.RunSnapshot
	}
	if f.changes {
		o.Kind = store.RunChanges
	}
	if f.choose.changes() || len(f.include)+len(f.exclude) > 0 {
		sel := conn.Selection
		if f.choose.changes() {
			var err error
			if sel, err = f.choose.selection(conn); err != nil {
				return o, err
			}
		}
		sel.Include, sel.Exclude = replaced(sel.Include, f.include), replaced(sel.Exclude, f.exclude)
		o.Selection = &sel
	}
	if len(f.set) == 0 {
		return o, nil
	}
	c, err := e.runner.Connector(conn.Source)
	if err != nil {
		return o, err
	}
	o.Settings, err = changedSettings(c.Spec(), conn.Settings, f.set)
	return o, err
}

// changedSettings returns values with what is given as name=value.
func changedSettings(spec connectors.Spec, values map[string]string, set []string) (map[string]string, error) {
	given, err := parseSettings(spec, set)
	if err != nil {
		return nil, err
	}
	values = maps.Clone(values)
	maps.Copy(values, given)
	maps.DeleteFunc(values, func(_, v string) bool { return v == "" })
	return values, checkSettings(spec, values)
}

func (a *app) plan(ctx context.Context, e *engine, conn store.Connection, f planFlags) error {
	o, err := f.options(e, conn)
	if err != nil {
		return err
	}
	line := newProgress(a.stderr)
	o.Watch = func(listed int64) {
		line.update(fmt.Sprintf("%s: planning, %d listed, %s", conn.Name, listed, span(time.Since(line.began))))
	}
	plan, err := e.runner.PlanSync(ctx, conn, o)
	line.done()
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(plan)
	}
	return a.printPlan(plan)
}

func (a *app) printPlan(p jobs.Plan) error {
	what := "the listing of everything"
	if p.Kind == store.RunChanges {
		what = "the change feed"
	}
	whose := ""
	if p.Changed {
		whose = " with the selection and settings given"
	}
	a.printf("A sync of %s%s: %s has %d items (read in %s).\n", p.Connection, whose, what, p.Listed, p.Took().Round(100*time.Millisecond))
	if p.Partial != "" {
		a.printf("This is not all of it: %s.\n", printable(p.Partial))
	}
	t := newTable("IT WOULD", "DOCUMENTS", "")
	for _, row := range planRows(p) {
		if row.n != 0 || row.always {
			t.add(row.name, strconv.FormatInt(row.n, 10), row.note)
		}
	}
	if err := t.write(a.stdout, ""); err != nil {
		return err
	}
	for _, b := range p.Blocked {
		a.printf("  could not be listed: %s (%s); nothing below it would be deleted\n", printable(b.ID), printable(b.Reason))
	}
	a.printf("\n%s", planCost(p.Text))
	a.printf("\n%s", planReaders(p.Readers))
	if len(p.Items) == 0 {
		return nil
	}
	a.printf("\n")
	t = newTable("", "PATH", "WHY")
	for _, it := range p.Items {
		t.add(string(it.Op), shorten(it.Path, 100), shorten(it.Reason, 80))
	}
	if err := t.write(a.stdout, ""); err != nil {
		return err
	}
	if p.More {
		a.printf("There are more: --items says how many are listed.\n")
	}
	return nil
}

type planRow struct {
	name   string
	n      int64
	note   string
	always bool
}

// planRows returns what a sync would do, in words.
func planRows(p jobs.Plan) []planRow {
	most := ""
	if !p.Exact && p.Add+p.Update > 0 {
		most = "at most: what has no new text is told when it is opened (--exact)"
	}
	return []planRow{
		{"add", p.Add, most, true},
		{"update", p.Update, most, true},
		{"leave unchanged", p.Unchanged, "", true},
		{"show again", p.Restore, "", false},
		{"hide", p.Hide, "", true},
		{"delete", p.Delete, "", true},
		{"hold for approval", p.Held, heldFor(p.HeldFor), false},
		{"skip", p.Skipped, "", false},
		{"leave out as excluded", p.Excluded, "", false},
		{"quarantine", p.Quarantined, "", false},
	}
}

// heldFor says why deletions would wait.
func heldFor(r store.HoldReason) string {
	switch r {
	case store.HoldNarrowed:
		return "less is selected: whoever changes it confirms them"
	case store.HoldEmpty:
		return "the listing is empty"
	default:
		return "deletions that are unusually many"
	}
}

// planCost says what the text of a plan costs.
func planCost(t jobs.PlanText) string {
	var b strings.Builder
	if t.ToRead == 0 {
		return "No document has to be read, nothing to embed.\n"
	}
	fmt.Fprintf(&b, "%d documents have to be read; %d were opened for this plan", t.ToRead, t.Opened)
	var parts []string
	for _, p := range []struct {
		n    int64
		what string
	}{{t.Same, "have the text that is stored"}, {t.Empty, "have no text that can be ingested"}, {t.Failed, "could not be read"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d of them %s", p.n, p.what))
		}
	}
	b.WriteString(strings.Join(append([]string{""}, parts...), ", ") + ".\n")
	if t.Tokens == nil {
		b.WriteString("What they cost is unknown: none was opened.\n")
		return b.String()
	}
	fmt.Fprintf(&b, "New text: %s tokens in %s chunks.\n", estimate(*t.Tokens), estimate(*t.Chunks))
	for _, p := range t.Embed {
		where := "computed here, free of charge"
		if !p.Local {
			where = p.Model
		}
		fmt.Fprintf(&b, "  profile %s (%s): %s tokens to embed\n", p.Profile, where, estimate(*p.Tokens))
	}
	return b.String()
}

func estimate(e jobs.Estimate) string {
	if e.Low == e.High {
		return strconv.FormatInt(e.Likely, 10)
	}
	return fmt.Sprintf("about %d (%d to %d)", e.Likely, e.Low, e.High)
}

// planReaders says who could read what is new.
func planReaders(r store.Audience) string {
	if r.Documents == 0 {
		return "There are no new documents that anybody could read.\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Of %d new documents %d are public, %d are for everybody in the organisation.\n", r.Documents, r.Public, r.Organisation)
	if r.Unknown > 0 {
		fmt.Fprintf(&b, "Of %d the permissions are unknown: nobody could read them.\n", r.Unknown)
	}
	if r.Unmatched > 0 {
		fmt.Fprintf(&b, "%d are for nobody that is known.\n", r.Unmatched)
	}
	if r.Memberships == store.MembershipsNone && r.Unknown < r.Documents {
		b.WriteString("Memberships are not known (or too many): people are counted only where documents name them.\n")
	}
	fmt.Fprintf(&b, "%d people could read some of them, %d readers are linked to such people.\n", r.People, r.Readers)
	for _, list := range []struct {
		name    string
		entries []store.AudienceEntry
	}{{"readers", r.TopReaders}, {"people", r.TopPeople}, {"groups", r.TopGroups}} {
		var names []string
		for _, e := range list.entries[:min(len(list.entries), 5)] {
			names = append(names, printable(e.String()))
		}
		if len(names) > 0 {
			fmt.Fprintf(&b, "  most documents, %s: %s\n", list.name, strings.Join(names, ", "))
		}
	}
	return b.String()
}

// opNames returns the names of what a run can do with an item.
func opNames() string { return strings.Join(slices.Clone(store.RunItemOps()), ", ") }
