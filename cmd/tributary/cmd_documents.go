package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/internal/settings"
	"tributary/store"
)

func documentsCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "documents", Short: "The documents that somebody may read, and what was left out",
		Example: "  tributary documents list --as unix:ada --connection docs\n  tributary documents skipped docs",
	}, documentsList(a), documentsShow(a), documentsText(a), documentsChunks(a), documentsSkipped(a), documentsQuarantined(a), documentsExcluded(a))
}

// asCommand makes a command that reads as somebody.
func asCommand(a *app, cmd *cobra.Command, names []string, fn func(ctx context.Context, st *store.Store, who store.Identity, args []string) error) *cobra.Command {
	var as string
	cmd.Args = exactArgs(names...)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStoreAs(cmd.Context(), s, as, func(ctx context.Context, st *store.Store, who store.Identity) error {
			return fn(ctx, st, who, args)
		})
	}
	cmd.Flags().StringVar(&as, "as", "", "for whom: a reader's name or id, or a principal such as unix:NAME (required)")
	return jsonFlag(a, cmd)
}

func (a *app) withStoreAs(ctx context.Context, s settings.Settings, as string, fn func(ctx context.Context, st *store.Store, who store.Identity) error) error {
	return a.withStore(ctx, s, func(ctx context.Context, st *store.Store) error {
		who, err := a.identity(ctx, st, s, as)
		if err != nil {
			return err
		}
		return fn(ctx, st, who)
	})
}

func documentsList(a *app) *cobra.Command {
	var f store.Filters
	var connection, path, types []string
	var limit int
	cmd := asCommand(a, &cobra.Command{
		Use: "list", Short: "List the documents that somebody may read", Example: "  tributary documents list --as unix:ada --limit 20",
	}, nil, func(ctx context.Context, st *store.Store, who store.Identity, _ []string) error {
		if limit < 1 {
			return usagef("--limit: must be at least 1")
		}
		f.Connection, f.Path, f.Type = connection, path, types
		list, err := listDocuments(ctx, st, who, f, limit)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		t := newTable("ID", "CONNECTION", "PATH", "TITLE", "CHUNKS")
		for _, d := range list {
			t.add(d.ID.String(), d.Connection, shorten(d.Path, 60), shorten(d.Title, 50), strconv.Itoa(d.Chunks))
		}
		if err := t.write(a.stdout, "There are no documents that this reader may see."); err != nil {
			return err
		}
		documents, chunks, err := st.VisibleCount(ctx, who, f)
		if err == nil && documents > int64(len(list)) {
			a.notef("%d of %d documents (%d chunks); --limit shows more\n", len(list), documents, chunks)
		}
		return err
	})
	flags := cmd.Flags()
	flags.StringSliceVar(&connection, "connection", nil, "only of these connections")
	flags.StringSliceVar(&path, "path", nil, "only of paths with this prefix, or that match this pattern")
	flags.StringSliceVar(&types, "type", nil, "only of this media type or kind")
	flags.StringVar(&f.UpdatedAfter, "updated-after", "", "only what changed at the source after this time (RFC 3339)")
	flags.IntVar(&limit, "limit", 50, "how many")
	return cmd
}

func listDocuments(ctx context.Context, st *store.Store, who store.Identity, f store.Filters, limit int) ([]store.DocumentSummary, error) {
	var all []store.DocumentSummary
	var last uuid.UUID
	for len(all) < limit {
		page, more, err := st.ListDocuments(ctx, who, f, last, limit-len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if !more {
			break
		}
		last = page[len(page)-1].ID
	}
	return all, nil
}

// documentArg reads a document's id, or takes the document of a chunk's id.
func documentArg(arg string) (uuid.UUID, error) {
	arg, _, _ = strings.Cut(arg, ":")
	id, err := uuid.Parse(arg)
	if err != nil {
		return id, usagef("%q is not a document's id: tributary documents list and tributary search show them", arg)
	}
	return id, nil
}

func documentsShow(a *app) *cobra.Command {
	return asCommand(a, &cobra.Command{
		Use: "show ID", Short: "Show one document", Example: "  tributary documents show 3f2c0d4e-… --as unix:ada",
	}, []string{"ID"}, func(ctx context.Context, st *store.Store, who store.Identity, args []string) error {
		id, err := documentArg(args[0])
		if err != nil {
			return err
		}
		d, err := st.Document(ctx, who, id)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(d)
		}
		t := newTable("FIELD", "VALUE")
		for _, row := range [][2]string{
			{"id", d.ID.String()},
			{"title", d.Title},
			{"path", d.Path},
			{"url", d.URL},
			{"connection", d.Connection},
			{"source", d.Source},
			{"kind", d.Kind},
			{"media type", d.MediaType},
			{"language", d.Language},
			{"author", d.Author},
			{"revision", strconv.Itoa(d.Revision)},
			{"chunks", strconv.Itoa(d.Chunks)},
			{"changed at the source", stamp(d.SourceUpdatedAt)},
			{"stored", stamp(&d.UpdatedAt)},
			{"permissions as of", stamp(d.PermissionsAsOf)},
		} {
			if row[1] != "" {
				t.add(row[0], row[1])
			}
		}
		return t.write(a.stdout, "")
	})
}

func stamp(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func documentsText(a *app) *cobra.Command {
	return asCommand(a, &cobra.Command{
		Use: "text ID", Short: "Print a document's canonical text", Example: "  tributary documents text 3f2c0d4e-… --as unix:ada > page.md",
	}, []string{"ID"}, func(ctx context.Context, st *store.Store, who store.Identity, args []string) error {
		id, err := documentArg(args[0])
		if err != nil {
			return err
		}
		text, err := st.DocumentText(ctx, who, id)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(text)
		}
		a.printf("%s", text.Text)
		return nil
	})
}

func documentsChunks(a *app) *cobra.Command {
	return asCommand(a, &cobra.Command{
		Use: "chunks ID", Short: "List a document's chunks", Example: "  tributary documents chunks 3f2c0d4e-… --as unix:ada --json",
	}, []string{"ID"}, func(ctx context.Context, st *store.Store, who store.Identity, args []string) error {
		id, err := documentArg(args[0])
		if err != nil {
			return err
		}
		chunks, err := st.DocumentChunks(ctx, who, id)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(chunks))
		}
		t := newTable("CHUNK", "BYTES", "TOKENS", "HEADINGS", "TEXT")
		for _, c := range chunks {
			t.add(strconv.Itoa(c.ChunkID.Number), strconv.Itoa(c.Start)+"-"+strconv.Itoa(c.End), strconv.Itoa(c.Tokens),
				shorten(strings.Join(c.HeadingPath, " › "), 40), shorten(strings.Join(strings.Fields(c.Text), " "), 60))
		}
		return t.write(a.stdout, "The document has no chunks.")
	})
}

func documentsSkipped(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "skipped CONNECTION", Short: "List what a connection lists and does not ingest, with the reason",
		Example: "  tributary documents skipped docs",
	}, []string{"CONNECTION"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		list, err := st.Skipped(ctx, c.ID)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		t := newTable("PATH", "REASON")
		for _, item := range list {
			t.add(item.Path, item.Reason)
		}
		return t.write(a.stdout, "Nothing was skipped.")
	})
}

func documentsQuarantined(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "quarantined CONNECTION", Short: "List what could not be ingested, with the reason",
		Long: `List what could not be ingested, with the reason. An item is tried in three runs
and then rests until it has a new revision. tributary quarantine retry lets it be
tried at once, and tributary quarantine exclude leaves it out for good.`,
		Example: "  tributary documents quarantined docs",
	}, []string{"CONNECTION"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		list, err := st.Quarantined(ctx, c.ID)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		t := newTable("ID", "PATH", "CLASS", "REASON", "TRIES", "SINCE", "LAST")
		for _, item := range list {
			tries := strconv.Itoa(item.Attempts)
			if item.RetryAt != nil {
				tries += ", again soon"
			}
			t.add(item.ExternalID, item.Path, item.Class, item.Reason, tries, stamp(&item.FirstAt), stamp(&item.LastAt))
		}
		return t.write(a.stdout, "Nothing is quarantined.")
	})
}

func documentsExcluded(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "excluded CONNECTION", Short: "List what admins keep out of a connection, with who did and why",
		Long: `List what admins keep out of a connection, with who did and why. tributary
quarantine include takes an item back. What was erased stays out as well and is
not listed: no more than a hash is kept of it.`,
		Example: "  tributary documents excluded docs\n  tributary quarantine include docs old/broken.pdf",
	}, []string{"CONNECTION"}, func(ctx context.Context, st *store.Store, args []string) error {
		c, err := st.Connection(ctx, args[0])
		if err != nil {
			return err
		}
		list, err := st.Exclusions(ctx, c.ID)
		if err != nil {
			return err
		}
		if a.json {
			return a.printJSON(nonNil(list))
		}
		t := newTable("ID", "PATH", "REASON", "BY", "SINCE")
		for _, item := range list {
			t.add(item.ExternalID, item.Path, item.Reason, item.By, stamp(&item.At))
		}
		return t.write(a.stdout, "Nothing is excluded.")
	})
}
