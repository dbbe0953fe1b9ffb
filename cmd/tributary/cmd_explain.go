package main

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/store"
)

// whoPage is how many readers explain --who asks for at a time.
const whoPage = 200

func explainCommand(a *app) *cobra.Command {
	var key string
	var who bool
	cmd := &cobra.Command{
		Use: "explain READER DOCUMENT", Short: "Say whether somebody may read a document, and why",
		Long: `Say whether a reader may read a document, by which path, as of when, and where
not, why not and what would change it. It shows names and no text, and is recorded.

A document is named by its id, or by its connection, a colon and the source's own
id. --key narrows what the reader sees to what the key allows; a key of its own
needs no READER. --who lists all who could read the document.`,
		Example: `  tributary explain ada 0198c2f4-6d1e-7c43-9c3b-6f2f4f0f3b1a
  tributary explain ada my-drive:1AbC --key chatbot
  tributary explain --who my-drive:1AbC`,
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if who || key != "" && len(args) == 1 {
			return exactArgs("DOCUMENT")(cmd, args)
		}
		return exactArgs("READER", "DOCUMENT")(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		req := store.ExplainRequest{Document: args[len(args)-1], Key: key}
		if len(args) == 2 {
			req.Reader = args[0]
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			if who {
				return a.explainWho(ctx, st, req.Document)
			}
			detail := map[string]string{"reader": req.Reader, "key": req.Key}
			x, err := st.Explain(ctx, req, a.event("document.explain", audit.Target{Kind: "document"}, detail))
			if err != nil {
				return err
			}
			if a.json {
				return a.printJSON(x)
			}
			return a.printExplanation(x)
		})
	}
	cmd.Flags().StringVar(&key, "key", "", "an API key with which the reader asks, by name or id")
	cmd.Flags().BoolVar(&who, "who", false, "list who could read the document")
	cmd.MarkFlagsMutuallyExclusive("key", "who")
	return jsonFlag(a, cmd)
}

func (a *app) printExplanation(x store.Explanation) error {
	name := "the key"
	if x.Reader != nil {
		name = x.Reader.Name
	}
	verb := "may read"
	if !x.Visible {
		verb = "may not read"
	}
	a.printf("%s %s %q.\n\n", printable(name), verb, printable(cmp.Or(x.Document.Title, x.Document.Path, x.Document.ExternalID)))
	t := newTable("WHAT", "ANSWER")
	for _, r := range x.Reasons {
		t.add("why not", r.Detail)
		t.add("  remedy", r.Remedy)
	}
	for _, c := range x.Clauses {
		label := fmt.Sprintf("clause %d of %d", c.Number, len(x.Clauses))
		if c.Met {
			t.add(label, "met: "+explainedPath(*c.Path))
		} else {
			t.add(label, "not met; it names "+explainedNames(c))
		}
	}
	for _, p := range x.Denials {
		t.add("denied", explainedPath(p))
	}
	for _, l := range x.Links {
		t.add("the reader is", explainedPrincipal(l.ExplainedPrincipal)+", "+l.How)
	}
	c := x.Connection
	t.add("connection", c.Name+" ("+c.Source+"), "+c.State)
	t.add("permissions as of", permissionAge(x))
	t.add("memberships from", explainedRun(c.MembershipRun))
	t.add("access list from", explainedRun(x.Document.ACLRun))
	return t.write(a.stdout, "")
}

func permissionAge(x store.Explanation) string {
	c := x.Connection
	text := ago(c.PermissionsAsOf, x.At)
	switch {
	case c.TooOld:
		text += ", too old: at most " + span(time.Duration(c.MaxAge)*time.Second)
	case c.Stale:
		text += ", stale: they are read every " + span(time.Duration(c.Interval)*time.Second)
	}
	return text
}

func explainedRun(r *store.ExplainedRun) string {
	if r == nil {
		return "a run that is no longer known"
	}
	return r.Kind + " run " + r.ID.String()
}

func explainedPrincipal(p store.ExplainedPrincipal) string {
	text := string(p.Kind) + " " + p.ID
	if p.Name != "" && p.Name != p.ID {
		text += " (" + p.Name + ")"
	}
	return text
}

// explainedPath is a path in words: from whom the access list names to who the reader is.
func explainedPath(p store.ExplainedPath) string {
	var steps []string
	for _, s := range p.Steps {
		steps = append(steps, explainedPrincipal(s))
	}
	return strings.Join(steps, " ← ") + ", " + p.How
}

func explainedNames(c store.ExplainedClause) string {
	var names []string
	for _, p := range c.Names {
		names = append(names, explainedPrincipal(p))
	}
	if more := c.Count - len(c.Names); more > 0 {
		names = append(names, "and "+strconv.Itoa(more)+" more")
	}
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

// explainWho prints who could read a document.
func (a *app) explainWho(ctx context.Context, st *store.Store, document string) error {
	var all store.WhoCanRead
	after := uuid.Nil
	events := []audit.Event{a.event("document.explain", audit.Target{Kind: "document"}, map[string]string{"reader": "all"})}
	for {
		page, err := st.WhoCanRead(ctx, document, after, whoPage, events...)
		if err != nil {
			return err
		}
		page.Readers = append(all.Readers, page.Readers...)
		all, events = page, nil
		if page.Next == nil {
			break
		}
		after = *page.Next
	}
	if a.json {
		return a.printJSON(all)
	}
	t := newTable("WHO", "NAME", "PEOPLE")
	for _, c := range all.Clauses {
		label := fmt.Sprintf("clause %d of %d", c.Number, len(all.Clauses))
		for _, p := range c.Names {
			people := ""
			if p.People != nil {
				people = strconv.Itoa(*p.People)
			}
			t.add(label, explainedPrincipal(p), people)
		}
		if more := c.Count - len(c.Names); more > 0 {
			t.add(label, "and "+strconv.Itoa(more)+" more", "")
		}
	}
	for _, p := range all.Denied {
		t.add("denied", explainedPrincipal(p), "")
	}
	for _, r := range all.Readers {
		t.add("reader", r.Name, "")
	}
	return t.write(a.stdout, "Nobody could read it: its access list is not known.")
}
