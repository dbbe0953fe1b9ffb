package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/store"
)

func eraseList(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "list", Short: "List the erasures, the newest first", Example: "  tributary erase list",
	}, nil, func(ctx context.Context, st *store.Store, _ []string) error {
		list, err := st.Erasures(ctx, store.ErasureFilter{})
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
		t := newTable("ID", "CONNECTION", "SCOPE", "STATE", "DOCUMENTS", "FOUND AFTERWARDS", "BY", "ASKED", "PROBLEM")
		for _, e := range list {
			found := "not looked yet"
			if e.Hits != nil {
				found = strconv.FormatInt(*e.Hits, 10)
			}
			t.add(e.ID.String(), e.Connection, string(e.Scope), string(e.State), strconv.FormatInt(e.Removed["document"], 10), found, e.RequestedBy, ago(&e.RequestedAt, now), shorten(e.Error, 60))
		}
		return t.write(a.stdout, "Nothing was erased.")
	})
}

func erasureArg(arg string) (uuid.UUID, error) {
	id, err := uuid.Parse(arg)
	if err != nil {
		return id, usagef("%q is not an erasure's id: tributary erase list shows them", arg)
	}
	return id, nil
}

func eraseShow(a *app) *cobra.Command {
	var receipt string
	cmd := storeCommand(a, &cobra.Command{
		Use: "show ID", Short: "Show an erasure, and write its receipt", Example: "  tributary erase show 3f2c0d4e-… --receipt receipt.json",
	}, []string{"ID"}, func(ctx context.Context, st *store.Store, args []string) error {
		id, err := erasureArg(args[0])
		if err != nil {
			return err
		}
		e, err := st.Erasure(ctx, id)
		if err != nil {
			return err
		}
		if receipt != "" {
			file, err := newReceiptFile(receipt)
			if err != nil {
				return err
			}
			defer file.discard()
			r, err := st.EraseReceipt(ctx, id)
			if err != nil {
				return err
			}
			if err := file.write(r); err != nil {
				return err
			}
		}
		if a.json {
			return a.printJSON(e)
		}
		t := newTable("FIELD", "VALUE")
		t.add("id", e.ID.String())
		t.add("connection", e.Connection)
		t.add("scope", string(e.Scope))
		t.add("state", string(e.State))
		t.add("asked by", e.RequestedBy)
		t.add("asked", e.RequestedAt.UTC().Format(time.DateTime))
		if e.FinishedAt != nil {
			t.add("finished", e.FinishedAt.UTC().Format(time.DateTime))
		}
		if e.Error != "" {
			t.add("problem", e.Error)
		}
		for _, table := range store.CleanTables(e) {
			if n := e.Removed[table]; n > 0 {
				t.add("rows removed from "+table, strconv.FormatInt(n, 10))
			}
		}
		return t.write(a.stdout, "")
	})
	cmd.Flags().StringVar(&receipt, "receipt", "", "write the receipt to this new file")
	return cmd
}

func eraseVerify(a *app) *cobra.Command {
	return storeCommand(a, &cobra.Command{
		Use: "verify FILE", Short: "Look through every table again for what a receipt is about",
		Long: `Check that a receipt is whole, and look through every row of every table again
for what it is about: after a backup was restored, for example. It exits with 1
when something is found.`,
		Example: "  tributary erase verify receipt.json",
	}, []string{"FILE"}, func(ctx context.Context, st *store.Store, args []string) error {
		raw, err := os.ReadFile(args[0])
		if err != nil {
			return usagef("FILE: %s", err)
		}
		var r store.Receipt
		if err := json.Unmarshal(raw, &r); err != nil {
			return usagef("FILE: %s is not a receipt: %s", args[0], err)
		}
		list, err := st.VerifyReceipt(ctx, r)
		if err != nil {
			return err
		}
		rows, hits := int64(0), int64(0)
		t := newTable("TABLE", "ROWS", "HITS", "KEPT", "WHY")
		for _, v := range list {
			rows, hits = rows+v.Rows, hits+v.Hits
			if v.Hits+v.Kept > 0 || v.Unread {
				t.add(v.Table, strconv.FormatInt(v.Rows, 10), strconv.FormatInt(v.Hits, 10), strconv.FormatInt(v.Kept, 10), v.Why)
			}
		}
		if a.json {
			err = a.printJSON(map[string]any{"erasure": r.Erasure, "rows": rows, "hits": hits, "tables": list})
		} else if err = t.write(a.stdout, "No table names what was erased."); err == nil {
			a.printf("Looked through %d rows of %d tables: %d hits.\n", rows, len(list), hits)
		}
		if err == nil && hits > 0 {
			return fmt.Errorf("%d rows name what receipt %s says is erased: erase it again", hits, r.Erasure)
		}
		return err
	})
}

func eraseVacuum(a *app) *cobra.Command {
	var rewrite bool
	cmd := storeCommand(a, &cobra.Command{
		Use: "vacuum ID", Short: "Clean the storage that an erasure left, and note it in the receipt",
		Long: `Vacuum the tables that an erasure removed rows from, gather their statistics anew
and rebuild the indexes that quote values, while everything goes on. With
--rewrite the tables are written anew, so that not even free space in the data
files holds old bytes; that locks one table after the other.

It connects as TRIBUTARY_MIGRATE_DATABASE_URL; for the managed local database
nothing has to be set, and erasures do this by themselves.`,
		Example: "  tributary erase vacuum 3f2c0d4e-…\n  tributary erase vacuum 3f2c0d4e-… --rewrite",
	}, []string{"ID"}, func(ctx context.Context, st *store.Store, args []string) error {
		id, err := erasureArg(args[0])
		if err != nil {
			return err
		}
		e, err := st.Erasure(ctx, id)
		if err != nil {
			return err
		}
		if a.cleanURL == "" {
			return usagef("vacuuming needs the owner of the tables: set TRIBUTARY_MIGRATE_DATABASE_URL")
		}
		done, err := store.Clean(ctx, a.cleanURL, store.CleanTables(e), rewrite)
		if err != nil {
			return err
		}
		if err := st.RecordCleaned(ctx, id, done, a.event("erasure.vacuum", audit.Target{Kind: "erasure", ID: id.String()}, map[string]string{"rewrite": strconv.FormatBool(rewrite)})); err != nil {
			return err
		}
		text := fmt.Sprintf("Cleaned %d tables.", len(done.Tables))
		if done.HeldBack {
			text += " An older transaction or replication slot keeps dead rows alive: run it again when that is gone."
		}
		return a.done(text, done)
	})
	cmd.Flags().BoolVar(&rewrite, "rewrite", false, "write the tables anew; each is locked meanwhile")
	addMigrateFlags(cmd)
	return cmd
}
