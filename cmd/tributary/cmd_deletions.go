package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/store"
)

func deletionsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "deletions", Short: "Deletions that wait for your decision",
		Long: `A listing that lacks unusually many documents, or all of them, deletes nothing by
itself, and neither does a selection that became smaller without a confirmation.
What is absent waits here, visible, until you approve or reject it.`,
		Example: "  tributary deletions list\n  tributary deletions show 5b0c2f9e-…\n  tributary deletions approve 5b0c2f9e-…",
	}, deletionsList(a), deletionsShow(a), deletionsApprove(a), deletionsReject(a))
}

func deletionsList(a *app) *cobra.Command {
	var all bool
	cmd := jsonFlag(a, &cobra.Command{
		Use: "list [CONNECTION]", Short: "List the deletions that wait, newest first",
		Example: "  tributary deletions list\n  tributary deletions list docs --all --json", Args: cobra.MaximumNArgs(1),
	})
	cmd.Flags().BoolVar(&all, "all", false, "also those that were approved, rejected or superseded")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			f := store.HoldFilter{}
			if !all {
				f.State = store.HoldOpen
			}
			if len(args) > 0 {
				c, err := st.Connection(ctx, args[0])
				if err != nil {
					return err
				}
				f.Connection = c.ID
			}
			return a.printHolds(ctx, st, f)
		})
	}
	return cmd
}

func (a *app) printHolds(ctx context.Context, st *store.Store, f store.HoldFilter) error {
	list, err := st.Holds(ctx, f)
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
	t := newTable("ID", "CONNECTION", "STATE", "DOCUMENTS", "WHY", "SINCE")
	for _, h := range list {
		t.add(h.ID.String(), h.Connection, string(h.State), fmt.Sprintf("%d of %d", h.Documents-h.Kept, h.Total), whyHeld(h.Reason), ago(&h.CreatedAt, now))
	}
	return t.write(a.stdout, "No deletions wait for a decision.")
}

func whyHeld(r store.HoldReason) string {
	switch r {
	case store.HoldMany:
		return "unusually many"
	case store.HoldEmpty:
		return "the listing was empty"
	case store.HoldNarrowed:
		return "less is selected, unconfirmed"
	}
	return string(r)
}

// onHold runs fn for the hold that the first argument names.
func onHold(a *app, cmd *cobra.Command, fn func(ctx context.Context, st *store.Store, id uuid.UUID) error) *cobra.Command {
	return storeCommand(a, cmd, []string{"HOLD"}, func(ctx context.Context, st *store.Store, args []string) error {
		id, err := uuid.Parse(args[0])
		if err != nil {
			return usagef("%q is no id of held deletions: tributary deletions list shows them", args[0])
		}
		return fn(ctx, st, id)
	})
}

func deletionsShow(a *app) *cobra.Command {
	var after string
	var limit int
	cmd := onHold(a, &cobra.Command{
		Use: "show HOLD", Short: "Show what would be deleted",
		Example: "  tributary deletions show 5b0c2f9e-…\n  tributary deletions show 5b0c2f9e-… --limit 1000 --json",
	}, func(ctx context.Context, st *store.Store, id uuid.UUID) error {
		from := uuid.Nil
		if after != "" {
			var err error
			if from, err = uuid.Parse(after); err != nil {
				return usagef("--after %q: write the id of the last document of the page before", after)
			}
		}
		h, err := st.Hold(ctx, id)
		if err != nil {
			return err
		}
		list, err := st.HeldDocuments(ctx, id, from, limit)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(map[string]any{"hold": h, "documents": nonNil(list)})
		}
		a.printf("%s: %d of %d documents (%s), %s; %d were found again, %d are deleted.\n", h.Connection, h.Documents, h.Total, whyHeld(h.Reason), h.State, h.Kept, h.Purged)
		t := newTable("DOCUMENT", "PATH", "TITLE")
		for _, d := range list {
			t.add(d.ID.String(), shorten(printable(d.Path), 80), shorten(printable(d.Title), 60))
		}
		if err := t.write(a.stdout, "Nothing of it is left."); err != nil {
			return err
		}
		if len(list) == limit {
			a.notef("There may be more: --after %s continues.\n", list[len(list)-1].ID)
		}
		return nil
	})
	cmd.Flags().StringVar(&after, "after", "", "continue behind the document with this id")
	cmd.Flags().IntVar(&limit, "limit", 100, "how many, at most 1000")
	return cmd
}

func deletionsApprove(a *app) *cobra.Command {
	return onHold(a, &cobra.Command{
		Use: "approve HOLD", Short: "Delete what is still absent",
		Long: `Hide the documents at once and delete exactly those that no listing and no change
feed has named since. What was found again stays. Deletions that were rejected can
be approved later.`,
		Example: "  tributary deletions approve 5b0c2f9e-…",
	}, func(ctx context.Context, st *store.Store, id uuid.UUID) error {
		if _, err := st.ApproveHold(ctx, id, a.by().Actor.Name, a.event("deletions.approve", audit.Target{Kind: "deletions", ID: id.String()}, nil)); err != nil {
			return err
		}
		if _, err := st.PurgeApproved(ctx, id); err != nil {
			return fmt.Errorf("deleting what was approved, which a worker goes on with: %w", err)
		}
		h, err := st.Hold(ctx, id)
		if err != nil {
			return err
		}
		return a.done(fmt.Sprintf("%d documents are deleted; %d were found again and stay.", h.Purged, h.Kept), h)
	})
}

func deletionsReject(a *app) *cobra.Command {
	return onHold(a, &cobra.Command{
		Use: "reject HOLD", Short: "Keep the documents",
		Long: `Keep the documents visible. They are not asked about again until the source names
them and then lacks them anew. Their permissions stay those that were last read.`,
		Example: "  tributary deletions reject 5b0c2f9e-…",
	}, func(ctx context.Context, st *store.Store, id uuid.UUID) error {
		h, err := st.RejectHold(ctx, id, a.by().Actor.Name, a.event("deletions.reject", audit.Target{Kind: "deletions", ID: id.String()}, nil))
		if err != nil {
			return err
		}
		return a.done(fmt.Sprintf("%d documents of %s stay.", h.Documents-h.Kept, h.Connection), h)
	})
}
