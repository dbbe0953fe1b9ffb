package main

import (
	"cmp"
	"context"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"tributary/store"
)

// readsFlags are the flags of what lists reads.
type readsFlags struct {
	filter       store.ReadFilter
	since, until string
}

func (f *readsFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.filter.Reader, "reader", "", "only of this reader: its name, or the id of one who is gone")
	flags.StringVar(&f.since, "since", "", "from when on: a time span back such as 24h or 30d, or a time such as 2026-01-31T08:00:00Z")
	flags.StringVar(&f.until, "until", "", "up to when, in the same form")
	flags.Int64Var(&f.filter.Before, "before", 0, "only reads with a smaller number, to go on after a list")
	flags.IntVar(&f.filter.Limit, "limit", 100, "how many, up to 1000")
}

func auditWhoRead(a *app) *cobra.Command {
	var f readsFlags
	cmd := storeCommand(a, &cobra.Command{
		Use: "who-read DOCUMENT", Short: "List who was given a document, the newest first",
		Long: `List who was given a document or a part of it, the newest first: as the result of a
search, by its id, in a list, an export or the feed. Its id stays in the log when the
document is gone. A read is listed within about a second.`,
		Example: "  tributary audit who-read 3f2c0d4e-…\n  tributary audit who-read 3f2c0d4e-… --since 30d --json",
	}, []string{"DOCUMENT"}, func(ctx context.Context, st *store.Store, args []string) error {
		var err error
		if f.filter.Document, err = documentArg(args[0]); err != nil {
			return err
		}
		return a.printReads(ctx, st, f)
	})
	f.add(cmd)
	return cmd
}

func auditReads(a *app) *cobra.Command {
	var f readsFlags
	cmd := storeCommand(a, &cobra.Command{
		Use: "reads", Short: "List what was read, the newest first",
		Long: `List what was read, the newest first: by whom, how, and by which permissions it was
decided. Where reads could not be recorded, the next one says how many.`,
		Example: "  tributary audit reads --reader ada --since 24h\n  tributary audit reads --before 1200 --limit 500 --json",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error { return a.printReads(ctx, st, f) })
	f.add(cmd)
	return cmd
}

func (a *app) printReads(ctx context.Context, st *store.Store, f readsFlags) error {
	var err error
	if f.filter.Since, f.filter.Until, err = logRange(ctx, st, f.since, f.until, f.filter.Limit); err != nil {
		return err
	}
	list, err := st.Reads(ctx, f.filter)
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(nonNil(list))
	}
	t := newTable("NO", "TIME (UTC)", "READER", "BY", "TOOL", "DOCUMENTS", "PERMISSIONS OF", "LOST BEFORE")
	for _, r := range list {
		reader, by := r.Reader, auditText(r.Actor)
		if r.ReaderID != nil {
			reader = cmp.Or(reader, r.ReaderID.String())
		}
		if r.KeyID != nil {
			by = "key " + cmp.Or(r.Key, r.KeyID.String())
		}
		documents := strconv.Itoa(len(r.Documents))
		if len(r.Documents) == 1 {
			documents = r.Documents[0].String()
		}
		lost := ""
		if r.Lost > 0 {
			lost = itoa(r.Lost)
		}
		t.add(itoa(r.ID), r.At.UTC().Format(time.DateTime), printable(reader), printable(by), r.Tool, documents, permissionsOf(r), lost)
	}
	return t.write(a.stdout, "There are no such reads.")
}

// permissionsOf is the age of the oldest permissions that a read was decided by.
func permissionsOf(r store.Read) string {
	var oldest *time.Time
	for _, at := range r.PermissionsAsOf {
		if at != nil && (oldest == nil || at.Before(*oldest)) {
			oldest = at
		}
	}
	if oldest == nil {
		return ""
	}
	return oldest.UTC().Format(time.DateTime)
}
