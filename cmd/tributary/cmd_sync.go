package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/internal/settings"
	"tributary/store"
)

// closeTimeout bounds how long a stopping command waits for its jobs.
const closeTimeout = 30 * time.Second

// syncFlags are the flags of sync.
type syncFlags struct {
	wait, watch, content, permissions, approve bool
	kind                                       string
}

func syncCommand(a *app) *cobra.Command {
	var f syncFlags
	cmd := jsonFlag(a, &cobra.Command{
		Use: "sync NAME", Short: "Sync a connection now",
		Long: `Ask for a sync of a connection: its content and its permissions.

Without --wait a running tributary up, serve or worker does it. With --wait this
command returns when the sync has ended, and does the work itself if nothing
else does. It exits with 4 when some documents could not be ingested.

Counts are printed as + added, ~ updated, - removed, ! quarantined.`,
		Example: "  tributary sync docs --wait\n  tributary sync docs --permissions --wait --json\n  tributary sync docs --approve-deletions\n  tributary sync docs --kind reconcile --wait",
		Args:    exactArgs("NAME"),
	})
	flags := cmd.Flags()
	flags.BoolVar(&f.wait, "wait", false, "wait until it has ended")
	flags.BoolVar(&f.watch, "watch", false, "wait, and show how it goes as tributary runs watch does")
	flags.BoolVar(&f.content, "content", false, "only the content")
	flags.BoolVar(&f.permissions, "permissions", false, "only the permissions")
	flags.BoolVar(&f.approve, "approve-deletions", false, "let deletions pass that were held because there are so many")
	flags.StringVar(&f.kind, "kind", "", "what the content run does: changes, snapshot (read everything) or reconcile (prove the changes by a complete listing)")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.kind != "" && (f.permissions || f.approve) {
			return usagef("--kind is about content alone: leave --permissions and --approve-deletions out")
		}
		if f.approve && f.permissions && !f.content {
			return usagef("--approve-deletions is about content: leave --permissions out")
		}
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			return a.sync(ctx, st, s, args[0], f)
		})
	}
	return cmd
}

// lanes returns the lanes that the flags name; permissions go first, because
// nothing is visible without them.
func (f syncFlags) lanes() []store.Lane {
	lanes := []store.Lane{store.Permissions, store.Content}
	if f.content == f.permissions {
		return lanes
	}
	if f.content {
		return lanes[1:]
	}
	return lanes[:1]
}

// requestFlags asks for what the flags name, and records the event with it.
func (e *engine) requestFlags(ctx context.Context, c store.Connection, f syncFlags, event audit.Event) ([]store.Run, error) {
	if f.kind == "" {
		return e.runner.RequestLanes(ctx, c, f.lanes(), "manual", f.approve, event)
	}
	run, made, err := e.runner.RequestKind(ctx, c, store.RunKind(f.kind), "manual", event)
	if err != nil {
		return nil, err
	}
	if !made && run.Kind != store.RunKind(f.kind) {
		return nil, usagef("a %s run of %s is under way: ask again when it has ended", run.Kind, c.Name)
	}
	return []store.Run{run}, nil
}

func (a *app) sync(ctx context.Context, st *store.Store, s settings.Settings, name string, f syncFlags) error {
	c, err := st.Connection(ctx, name)
	if err != nil {
		return err
	}
	if c.State == store.StatePaused {
		return usagef("connection %s is paused: tributary connections resume %s", c.Name, c.Name)
	}
	if err := ensureProfile(ctx, st); err != nil {
		return err
	}
	grants, err := openConsent(ctx, s, st, a.logger(false))
	if err != nil {
		return err
	}
	e, err := a.newEngine(ctx, s, st, grants, a.logger(false), 0)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if err := errors.Join(e.close(ctx), grants.close(ctx)); err != nil {
			a.notef("tributary: closing: %s\n", oneLine(err.Error()))
		}
	}()
	detail := map[string]string{"name": c.Name}
	if f.approve {
		detail["approve_deletions"] = "true"
	}
	if f.kind != "" {
		detail["kind"] = f.kind
	}
	runs, err := e.requestFlags(ctx, c, f, a.event("connection.sync", connectionTarget(c), detail))
	if err != nil {
		return err
	}
	if !f.wait && !f.watch {
		if a.json {
			return a.printJSON(runs)
		}
		if a.alone {
			a.printf("Asked for a sync of %s. Nothing runs that would do it: start tributary up, or say --wait.\n", c.Name)
			return nil
		}
		a.printf("Asked for a sync of %s. A running tributary up, serve or worker does it; tributary runs watch %s shows how it goes.\n", c.Name, c.Name)
		return nil
	}
	if f.watch && !a.json {
		return a.syncHere(ctx, st, e, c, runs, a.watchHere(ctx, st, runs))
	}
	return a.syncHere(ctx, st, e, c, runs, nil)
}

// syncHere sees the runs to their end and reports them; show is told how they
// go, nil being a line.
func (a *app) syncHere(ctx context.Context, st *store.Store, e *engine, c store.Connection, runs []store.Run, show func(store.Run)) error {
	line := newProgress(a.stderr)
	defer line.done()
	if show == nil {
		show = func(r store.Run) { line.update(progressOf(c.Name, r, line.began)) }
	}
	for i, run := range runs {
		ended, err := e.runner.RunOrAwait(ctx, run.ID, show)
		if err != nil {
			return err
		}
		runs[i] = ended
	}
	line.update(c.Name + ": making vectors")
	if err := e.runner.DrainHere(ctx); err != nil {
		line.done()
		a.notef("tributary: making vectors: %s; they are made when the endpoint answers again\n", oneLine(err.Error()))
	}
	line.done()
	return a.reportSync(ctx, st, c, runs)
}

// progressOf is the progress line of a run.
func progressOf(name string, r store.Run, began time.Time) string {
	c := r.Counts
	text := fmt.Sprintf("%s: %s, %d listed, %s", name, r.Lane, c.Listed, counts(c))
	if c.ChunksWritten > 0 {
		text += fmt.Sprintf(", %d chunks", c.ChunksWritten)
	}
	if r.Error != "" && r.NextTryAt != nil {
		text += ", trying again: " + shorten(oneLine(r.Error), 80)
	}
	return text + ", " + span(time.Since(began))
}

// syncReport is what sync --json prints.
type syncReport struct {
	Connection  string                  `json:"connection"`
	Runs        []store.Run             `json:"runs"`
	Totals      store.Totals            `json:"totals"`
	Skipped     map[string]int          `json:"skipped"`
	Quarantined []store.QuarantinedItem `json:"quarantined"`
}

// reportSync prints what the runs did and what was left out.
func (a *app) reportSync(ctx context.Context, st *store.Store, c store.Connection, runs []store.Run) error {
	report := syncReport{Connection: c.Name, Runs: runs, Skipped: map[string]int{}}
	var err error
	if report.Totals, err = st.Totals(ctx, c.ID); err != nil {
		return err
	}
	skipped, err := st.Skipped(ctx, c.ID)
	if err != nil {
		return err
	}
	for _, item := range skipped {
		report.Skipped[item.Reason]++
	}
	if report.Quarantined, err = st.Quarantined(ctx, c.ID); err != nil {
		return err
	}
	report.Quarantined = nonNil(report.Quarantined)
	if a.json {
		if err := a.printJSON(report); err != nil {
			return err
		}
	} else {
		now, err := st.Now(ctx)
		if err != nil {
			return err
		}
		a.printSync(report, now)
	}
	return syncOutcome(runs)
}

func (a *app) printSync(report syncReport, now time.Time) {
	for _, r := range report.Runs {
		a.printf("%s %s: %s in %s, %d listed, %s\n", r.Connection, r.Lane, r.State, took(r, now), r.Counts.Listed, counts(r.Counts))
		if r.Error != "" {
			a.printf("  %s\n", printable(r.Error))
		}
		for _, b := range r.Blocked {
			a.printf("  could not be listed: %s (%s)\n", printable(b.ID), printable(b.Reason))
		}
	}
	t := report.Totals
	a.printf("%s holds %d documents in %d chunks.\n", report.Connection, t.Documents, t.Chunks)
	if t.Skipped > 0 {
		a.printf("Skipped %d, listed by tributary documents skipped %s:\n", t.Skipped, report.Connection)
		for _, reason := range byCount(report.Skipped) {
			a.printf("  %6d  %s\n", report.Skipped[reason], printable(reason))
		}
	}
	if len(report.Quarantined) > 0 {
		a.printf("Quarantined %d, listed by tributary documents quarantined %s:\n", len(report.Quarantined), report.Connection)
		for _, q := range report.Quarantined[:min(len(report.Quarantined), 10)] {
			a.printf("  ! %s: %s\n", printable(q.Path), printable(q.Reason))
		}
	}
}

// maxReasons bounds how many reasons a person is shown.
const maxReasons = 12

// byCount returns the most frequent reasons first.
func byCount(m map[string]int) []string {
	var reasons []string
	for reason := range m {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b string) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return strings.Compare(a, b)
	})
	return reasons[:min(len(reasons), maxReasons)]
}

// syncOutcome turns the worst end of the runs into the command's.
func syncOutcome(runs []store.Run) error {
	var failed, partial bool
	for _, r := range runs {
		switch r.State {
		case store.RunPartial:
			partial = true
		case store.RunFailed, store.RunCancelled, store.RunSuperseded:
			failed = true
		case store.RunQueued, store.RunRunning, store.RunSucceeded:
		}
	}
	switch {
	case failed:
		return &silentError{code: exitFailure}
	case partial:
		return &partialError{}
	default:
		return nil
	}
}
