package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/timetable"
	"tributary/store"
)

// scheduleFlags are the flags of connections schedule.
type scheduleFlags struct {
	changes, permissions, reconcile, zone string
	quiet                                 []string
	noQuiet                               bool
}

func connectionsSchedule(a *app) *cobra.Command {
	var f scheduleFlags
	cmd := &cobra.Command{
		Use: "schedule NAME", Short: "Show or change when a connection syncs",
		Long: `Show or change when a connection syncs. A time is an interval, such as 15m or 7d,
a cron expression of five fields, such as "0 3 * * *" or @daily, or default. Cron
expressions and quiet hours go by the time zone of the connection.

In quiet hours no content run begins, and one that is under way hands over and
goes on afterwards. A run that somebody asks for begins at any time. Permissions
are read in quiet hours too: who may read what has to stay true.

Times that were missed while nothing ran are made up for by one run.`,
		Example: `  tributary connections schedule docs
  tributary connections schedule docs --changes 5m --permissions default
  tributary connections schedule docs --reconcile "0 3 * * sun" --time-zone Europe/Berlin
  tributary connections schedule docs --quiet "mon-fri 08:00-18:00" --quiet "sat 00:00-24:00"`,
	}
	cmd = storeCommand(a, cmd, []string{"NAME"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		t, err := st.Timetable(ctx, c.ID)
		if err != nil {
			return err
		}
		if changed, err := f.apply(&t); err != nil {
			return err
		} else if changed {
			if err := st.SetTimetable(ctx, c.ID, t, a.event("connection.schedule", connectionTarget(c), scheduleDetail(c, t))); err != nil {
				return err
			}
			if t, err = st.Timetable(ctx, c.ID); err != nil {
				return err
			}
		}
		return a.printTimetable(ctx, st, c, t)
	})
	flags := cmd.Flags()
	flags.StringVar(&f.changes, "changes", "", "when changes are read, or everything where the source does not tell changes: 15m by default")
	flags.StringVar(&f.permissions, "permissions", "", "when permissions are read: 5m by default")
	flags.StringVar(&f.reconcile, "reconcile", "", "when a complete listing proves the changes: 7d by default")
	flags.StringVar(&f.zone, "time-zone", "", "the time zone, such as Europe/Berlin: UTC by default")
	flags.StringArrayVar(&f.quiet, "quiet", nil, "days and a span in which no content run begins, in place of those there are; may be repeated")
	flags.BoolVar(&f.noQuiet, "no-quiet", false, "no quiet hours")
	return cmd
}

// apply changes what the flags name, and reports whether they name anything.
func (f scheduleFlags) apply(t *store.Timetable) (bool, error) {
	changed := f.noQuiet || f.zone != "" || len(f.quiet) > 0
	for _, r := range []struct {
		flag, text string
		every      *time.Duration
		cron       *string
	}{
		{"--changes", f.changes, &t.ContentEvery, &t.ContentCron},
		{"--permissions", f.permissions, &t.PermissionsEvery, &t.PermissionsCron},
		{"--reconcile", f.reconcile, &t.ReconcileEvery, &t.ReconcileCron},
	} {
		if r.text == "" {
			continue
		}
		changed = true
		var err error
		if *r.every, *r.cron, err = timetable.ParseRhythm(r.text); err != nil {
			return false, usagef("%s: %s", r.flag, err)
		}
	}
	switch {
	case f.noQuiet && len(f.quiet) > 0:
		return false, usagef("--quiet and --no-quiet exclude each other")
	case f.noQuiet, len(f.quiet) > 0:
		t.Quiet = nil
	}
	for _, text := range f.quiet {
		q, err := timetable.ParseQuiet(text)
		if err != nil {
			return false, usagef("--quiet: %s", err)
		}
		t.Quiet = append(t.Quiet, q)
	}
	if f.zone != "" {
		t.TimeZone = f.zone
	}
	return changed, nil
}

func quietTexts(t store.Timetable) []string {
	out := []string{}
	for _, q := range t.Quiet {
		out = append(out, q.String())
	}
	return out
}

func scheduleDetail(c store.Connection, t store.Timetable) map[string]string {
	return map[string]string{
		"name": c.Name, "changes": timetable.RhythmText(t.ContentEvery, t.ContentCron), "permissions": timetable.RhythmText(t.PermissionsEvery, t.PermissionsCron),
		"reconcile": timetable.RhythmText(t.ReconcileEvery, t.ReconcileCron), "time_zone": t.TimeZone, "quiet": strings.Join(quietTexts(t), "; "),
	}
}

// timetableView is a timetable as JSON shows it.
type timetableView struct {
	Connection  string     `json:"connection"`
	TimeZone    string     `json:"time_zone"`
	Changes     laneView   `json:"changes"`
	Permissions laneView   `json:"permissions"`
	Reconcile   laneView   `json:"reconcile"`
	Quiet       []string   `json:"quiet"`
	QuietUntil  *time.Time `json:"quiet_until,omitempty"`
}

type laneView struct {
	When string `json:"when"`
	// Next is absent for a reconcile that will not come.
	Next *time.Time `json:"next_run_at,omitempty"`
}

func (a *app) printTimetable(ctx context.Context, st *store.Store, c store.Connection, t store.Timetable) error {
	v := timetableView{
		Connection: c.Name, TimeZone: t.TimeZone, Quiet: quietTexts(t), QuietUntil: t.QuietUntil,
		Changes:     laneView{timetable.RhythmText(t.ContentEvery, t.ContentCron), &t.ContentNext},
		Permissions: laneView{timetable.RhythmText(t.PermissionsEvery, t.PermissionsCron), &t.PermissionsNext},
		Reconcile:   laneView{timetable.RhythmText(t.ReconcileEvery, t.ReconcileCron), t.ReconcileNext},
	}
	if a.json {
		return a.printJSON(v)
	}
	now, err := st.Now(ctx)
	if err != nil {
		return err
	}
	zone, err := timetable.Zone(t.TimeZone)
	if err != nil {
		zone = time.UTC
	}
	next := func(l laneView) string {
		switch {
		case c.State == store.StatePaused:
			return "paused"
		case l.Next == nil:
			return "not needed: every run reads everything"
		}
		return l.Next.In(zone).Format("Mon 2006-01-02 15:04:05") + " (" + ago(l.Next, now) + ")"
	}
	table := newTable("LANE", "WHEN", "NEXT")
	table.add("changes", v.Changes.When, next(v.Changes))
	table.add("permissions", v.Permissions.When, next(v.Permissions))
	table.add("reconcile", v.Reconcile.When, next(v.Reconcile))
	if err := table.write(a.stdout, ""); err != nil {
		return err
	}
	a.printf("Time zone: %s\n", t.TimeZone)
	if len(v.Quiet) > 0 {
		a.printf("Quiet hours: %s\n", strings.Join(v.Quiet, "; "))
	}
	if t.QuietUntil != nil {
		a.printf("It is quiet until %s.\n", t.QuietUntil.In(zone).Format("Mon 15:04"))
	}
	return nil
}
