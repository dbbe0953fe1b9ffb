package main

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/oauthflow"
	"tributary/store"
)

func auditCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "audit", Short: "The log of who did what, and of who read what",
		Example: "  tributary audit list --since 24h\n  tributary audit who-read 3f2c0d4e-… --since 30d",
	}, auditList(a), auditWhoRead(a), auditReads(a))
}

// auditFlags are the flags of audit list.
type auditFlags struct {
	filter       store.AuditFilter
	since, until string
}

func auditList(a *app) *cobra.Command {
	var f auditFlags
	cmd := storeCommand(a, &cobra.Command{
		Use: "list", Short: "List events, the newest first",
		Long: `List events of the audit log, the newest first. Nothing changes or deletes them.

Events of the command line are marked "not signed in": whoever holds the database
and the master key may act, and the name is what the system says.`,
		Example: "  tributary audit list --since 24h\n  tributary audit list --action oauth.consent --target grant:ID\n  tributary audit list --before 1200 --limit 500 --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		var err error
		if f.filter.Since, f.filter.Until, err = logRange(ctx, st, f.since, f.until, f.filter.Limit); err != nil {
			return err
		}
		list, err := st.AuditEvents(ctx, f.filter)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		return a.printEvents(list)
	})
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Action, "action", "", "an action such as oauth.consent, or an area such as oauth")
	flags.StringVar(&f.filter.Actor, "actor", "", "who acted: an account, or user@host")
	flags.StringVar(&f.filter.Target, "target", "", "the id of what was acted upon, or kind:id, such as grant:ID")
	flags.StringVar(&f.since, "since", "", "from when on: a time span back such as 24h or 30d, or a time such as 2026-01-31T08:00:00Z")
	flags.StringVar(&f.until, "until", "", "up to when, in the same form")
	flags.Int64Var(&f.filter.Before, "before", 0, "only events with a smaller number, to go on after a list")
	flags.IntVar(&f.filter.Limit, "limit", 100, "how many, up to 1000")
	return cmd
}

// logRange reads from when to when a log is listed, and refuses a limit of nothing.
func logRange(ctx context.Context, st *store.Store, since, until string, limit int) (from, to time.Time, err error) {
	now, err := st.Now(ctx)
	if err != nil {
		return from, to, err
	}
	if from, err = parseMoment("--since", since, now); err != nil {
		return from, to, err
	}
	if to, err = parseMoment("--until", until, now); err != nil {
		return from, to, err
	}
	if limit < 1 {
		return from, to, usagef("--limit %d: write 1 to 1000", limit)
	}
	return from, to, nil
}

// parseMoment reads a time, or a span back from now. "" is the zero time.
func parseMoment(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := parseSpan(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateTime, time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, usagef("%s %q: write a time span such as 24h or 30d, or a time such as 2026-01-31T08:00:00Z", flag, s)
}

func (a *app) printEvents(list []audit.Event) error {
	t := newTable("NO", "TIME (UTC)", "ACTOR", "ACTION", "TARGET", "OUTCOME", "DETAIL")
	for _, e := range list {
		target := e.Target.Kind
		if e.Target.ID != "" {
			target += ":" + auditText(e.Target.ID)
		}
		t.add(itoa(e.ID), e.At.UTC().Format(time.DateTime), auditActor(e.Actor), e.Action, target, string(e.Outcome), auditDetail(e.Detail))
	}
	return t.write(a.stdout, "There are no such events.")
}

// auditActor names who acted, and how sure that is.
func auditActor(actor audit.Actor) string {
	name := auditText(actor.Name)
	if actor.IP != "" {
		name += " from " + auditText(actor.IP)
	}
	switch actor.Kind {
	case audit.CLI:
		return name + " (command line, not signed in)"
	case audit.Anonymous:
		return strings.TrimSpace(name + " (anonymous)")
	case audit.System, audit.Key, audit.Token:
		return string(actor.Kind) + " " + name
	case audit.Account:
	}
	if !actor.Authenticated {
		name += " (not signed in)"
	}
	return name
}

func auditDetail(detail map[string]string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(detail)) {
		parts = append(parts, auditText(k)+"="+auditText(detail[k]))
	}
	return shorten(strings.Join(parts, " "), 160)
}

// auditText cleans a text for the log and the terminal: no line ends, terminal sequences or text directions.
func auditText(s string) string { return oauthflow.CleanName(s) }
