package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/store"
)

func runsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "runs", Short: "List sync runs and what they did",
		Example: "  tributary runs list --connection docs\n  tributary runs watch docs\n  tributary runs items 0b0e… --op purged",
	}, runsList(a), runsShow(a), runsWatch(a), runsItems(a), runsLog(a), runsCancel(a))
}

func runsList(a *app) *cobra.Command {
	var connection, lane string
	var limit int
	cmd := storeCommand(a, &cobra.Command{
		Use: "list", Short: "List sync runs, newest first", Example: "  tributary runs list --connection docs --limit 5",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		filter := store.RunFilter{Lane: store.Lane(lane), Limit: limit}
		if limit < 1 || limit > 1000 {
			return usagef("--limit: must be 1 to 1000")
		}
		if lane != "" && filter.Lane != store.Content && filter.Lane != store.Permissions {
			return usagef("--lane: must be content or permissions")
		}
		if connection != "" {
			c, err := st.Connection(ctx, connection)
			if err != nil {
				return err
			}
			filter.Connection = c.ID
		}
		runs, err := st.Runs(ctx, filter)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(runs))
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		t := newTable("ID", "CONNECTION", "KIND", "STATE", "STARTED", "TOOK", "COUNTS")
		for _, r := range runs {
			t.add(r.ID.String(), r.Connection, string(r.Kind), string(r.State), ago(r.StartedAt, now), took(r, now), counts(r.Counts))
		}
		return t.write(a.stdout, "There are no runs.")
	})
	cmd.Flags().StringVar(&connection, "connection", "", "only of this connection")
	cmd.Flags().StringVar(&lane, "lane", "", "only of this lane: content or permissions")
	cmd.Flags().IntVar(&limit, "limit", 20, "how many")
	return cmd
}

func took(r store.Run, now time.Time) string {
	switch {
	case r.StartedAt == nil:
		return ""
	case r.FinishedAt != nil:
		return r.FinishedAt.Sub(*r.StartedAt).Round(100 * time.Millisecond).String()
	default:
		return now.Sub(*r.StartedAt).Round(time.Second).String()
	}
}

// counts is the short form: + added, ~ updated, - removed, ! quarantined.
func counts(c store.Counts) string {
	s := fmt.Sprintf("+%d ~%d -%d !%d", c.Added+c.Restored, c.Updated, c.Hidden+c.Purged, c.Quarantined)
	if c.ACLChanged > 0 {
		s += fmt.Sprintf(" acl %d", c.ACLChanged)
	}
	return s
}

func runsShow(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "show ID", Short: "Show one sync run", Example: "  tributary runs show 3f2c0d4e-…",
	}, []string{"ID"}, func(ctx context.Context, st *store.Store, args []string) error {
		r, err := readRunArg(ctx, st, args[0])
		if err != nil {
			return err
		}
		w := shownRun{watched: watched{Run: r}}
		if w.Progress, err = st.Progress(ctx, r); err != nil {
			return err
		}
		if w.Troubles, err = st.RunTroubles(ctx, r.ID); err != nil {
			return err
		}
		if a.json {
			return a.printJSON(w)
		}
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		return runTable(w, now).write(a.stdout, "")
	})
}

// shownRun is what runs show --json prints.
type shownRun struct {
	watched

	// Troubles counts warnings and errors of the log, and quarantined items by class.
	Troubles map[string]int64 `json:"troubles"`
}

func runTable(w shownRun, now time.Time) *table {
	r, p := w.Run, w.Progress
	t := newTable("FIELD", "VALUE")
	t.add("id", r.ID.String())
	t.add("connection", r.Connection)
	t.add("lane", string(r.Lane))
	t.add("kind", string(r.Kind))
	t.add("state", stateOf(r))
	t.add("cause", r.Cause)
	t.add("started", ago(r.StartedAt, now))
	t.add("took", took(r, now))
	t.add("slices", strconv.Itoa(r.Slices))
	t.add("did", counts(r.Counts))
	if r.State.Live() {
		t.add("listed so far", listedOf(p))
		t.add("rate", cmp.Or(rateOf(p), "none"))
		t.add("left", cmp.Or(leftOf(w.watched), "unknown"))
	} else if s := p.Elapsed.Seconds(); s > 0 && r.Counts.Listed > 0 {
		t.add("rate", fmt.Sprintf("%.1f items/s, %.1f MB/s", float64(r.Counts.Listed)/s, float64(r.Counts.Bytes)/s/1e6))
	}
	if r.Error != "" {
		t.add("error", strings.TrimPrefix(r.ErrorClass+": ", ": ")+r.Error)
	}
	for _, c := range countRows(r.Counts) {
		t.add(c.name, strconv.FormatInt(c.n, 10))
	}
	for _, what := range slices.Sorted(maps.Keys(w.Troubles)) {
		t.add(strings.ReplaceAll(what, "_", " "), strconv.FormatInt(w.Troubles[what], 10))
	}
	for _, b := range r.Blocked {
		t.add("could not be listed", b.ID+": "+b.Reason)
	}
	return t
}

type countRow struct {
	name string
	n    int64
}

// countRows returns what is not zero, in words.
func countRows(c store.Counts) []countRow {
	all := []countRow{
		{"listed", c.Listed},
		{"added", c.Added},
		{"updated", c.Updated},
		{"unchanged", c.Unchanged},
		{"restored", c.Restored},
		{"hidden", c.Hidden},
		{"purged", c.Purged},
		{"deletions held for approval", c.Held},
		{"permissions changed", c.ACLChanged},
		{"permissions unknown (nobody sees them)", c.ACLUnknown},
		{"memberships", c.Memberships},
		{"skipped", c.Skipped},
		{"quarantined", c.Quarantined},
		{"refused by the source", c.Refused},
		{"containers that could not be listed", c.Blocked},
		{"bytes read", c.Bytes},
		{"chunks written", c.ChunksWritten},
		{"chunks deleted", c.ChunksDeleted},
		{"vectors made", c.VectorsMade},
		{"vectors reused", c.VectorsReused},
	}
	for _, name := range slices.Sorted(maps.Keys(c.Extra)) {
		all = append(all, countRow{strings.ReplaceAll(name, "_", " "), c.Extra[name]})
	}
	var out []countRow
	for _, row := range all {
		if row.n != 0 {
			out = append(out, row)
		}
	}
	return out
}
