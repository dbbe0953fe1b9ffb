package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/store"
)

// unmatchedPage is how many people are read at a time.
const unmatchedPage = 500

func readersUnmatched(a *app) *cobra.Command {
	var connection string
	var ambiguous bool
	cmd := &cobra.Command{
		Use: "unmatched", Short: "List the people of sources whom no reader is, with the reason",
		Long: `List the people of the sources whom no reader is, and those whom addresses would
make several: an address that several accounts of a realm or several readers have
maps to nobody. What is shared with such people only, no reader finds.`,
		Example: "  tributary readers unmatched --connection my-drive\n  tributary readers unmatched --ambiguous",
	}
	cmd = storeCommand(a, cmd, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		f := store.UnmatchedFilter{Ambiguous: ambiguous, Limit: unmatchedPage}
		if connection != "" {
			c, err := st.Connection(ctx, connection)
			if err != nil {
				return err
			}
			f.Connection = c.ID
		}
		all := []store.Unmatched{}
		for {
			list, err := st.UnmatchedPeople(ctx, f)
			if err != nil {
				return err
			}
			all = append(all, list...)
			if len(list) < f.Limit {
				break
			}
			f.After = list[len(list)-1].PrincipalID
		}
		if a.json {
			return a.printJSON(all)
		}
		t := newTable("SOURCE", "ID", "NAME", "ADDRESSES", "READERS", "REASON")
		for _, u := range all {
			t.add(u.Source, u.ID, u.Name, strings.Join(slices.Concat(u.Verified, u.Claimed), ", "), strings.Join(u.Readers, ", "), u.Reason)
		}
		return t.write(a.stdout, "Every person of the sources is a reader.")
	})
	cmd.Flags().StringVar(&connection, "connection", "", "only people of the realm of this connection")
	cmd.Flags().BoolVar(&ambiguous, "ambiguous", false, "only people whom addresses would make several")
	return cmd
}

func readersImport(a *app) *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "import FILE.csv", Short: "Make readers with identities, addresses and links from a file, all or nothing",
		Long: `Make readers from a file of comma-separated values, or from standard input where
FILE is -. Its first line names the columns, in any order:

  reader          the reader's name; the only one that is required
  kind            person, which is the default, or application
  issuer,subject  who the reader is to an identity provider
  email           an address of the reader
  connection      in whose realm the next two are
  principal_kind  user, which is the default, group, domain or anyone
  principal_id    the source's own id of that person or group

A reader may have several lines. Nothing is made unless every line can be; what
stands already stays, so that the same file can be imported again.`,
		Example: "  tributary readers import people.csv --dry-run\n  tributary readers import people.csv",
	}
	cmd = storeCommand(a, cmd, []string{"FILE.csv"}, func(ctx context.Context, st *store.Store, args []string) error {
		rows, lines, err := a.readImport(args[0])
		if err != nil {
			return err
		}
		detail := map[string]string{"rows": strconv.Itoa(len(rows)), "file": args[0]}
		report, err := st.ImportReaders(ctx, rows, dryRun, a.event("reader.import", audit.Target{Kind: "reader"}, detail))
		if bad, ok := errors.AsType[*store.ImportError](err); ok {
			for _, p := range bad.Problems {
				a.notef("%s:%d: %s: %s\n", args[0], lines[p.Row-1], p.Field, p.Problem)
			}
			return usagef("nothing was imported from %s, for %d problems", args[0], len(bad.Problems))
		}
		if err != nil {
			return err
		}
		verb := "Made"
		if dryRun {
			verb = "Would make"
		}
		return a.done(fmt.Sprintf("%s %d readers, %d identities, %d addresses and %d links; %d more links by e-mail.",
			verb, report.Readers, report.Identities, report.Emails, report.Links, report.Made), report)
	})
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be made")
	return cmd
}

// readImport reads the rows of a file, and the line of each.
func (a *app) readImport(file string) (rows []store.ImportRow, lines []int, err error) {
	var in io.Reader = os.Stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, nil, fmt.Errorf("opening import: %w", err)
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	if rows, lines, err = store.ReadImport(in); err != nil {
		return nil, nil, usagef("%s: %v", file, err)
	}
	return rows, lines, nil
}

// linkConsent links a reader to the account that consented to a connection.
func (a *app) linkConsent(cmd *cobra.Command, name, connection string) error {
	s, err := a.settings(cmd)
	if err != nil {
		return err
	}
	return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
		r, err := st.Reader(ctx, name)
		if err != nil {
			return err
		}
		conn, err := st.Connection(ctx, connection)
		if err != nil {
			return err
		}
		var self connectors.Principal
		err = a.withEngine(ctx, st, s, func(e *engine) error {
			self, err = e.runner.Self(ctx, conn)
			return err
		})
		if err != nil {
			return err
		}
		event := a.readerEvent("reader.link", r, map[string]string{"principal": conn.Source + ":" + self.ID, "connection": conn.Name, "how": string(store.LinkConsent)})
		if err := st.LinkReader(ctx, r.ID, store.PrincipalIn{Connection: conn.ID, Principal: self}, store.LinkConsent, event); err != nil {
			return err
		}
		a.notef("%s is %s at %s.\n", r.Name, cmp.Or(self.Name, self.ID), conn.Name)
		if r, err = st.Reader(ctx, r.ID.String()); err != nil {
			return err
		}
		return a.printReader(r)
	})
}
