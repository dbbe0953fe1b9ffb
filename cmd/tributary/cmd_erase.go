package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/internal/settings"
	"tributary/store"
)

func eraseCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "erase", Short: "Erase documents or connections for good, with a receipt",
		Long: `Erase documents, a selection or a whole connection: nobody finds them from the
moment the command has asked for it, and then text, chunks, vectors, permissions,
messages and the feed's rows about them are removed. Every table is looked
through afterwards, and the receipt says what was found, and what it does not
cover: backups, replicas and log files above all. Nothing at the source is
touched. What was erased is not ingested again.`,
		Example: "  tributary erase document docs 5b0c… --receipt receipt.json --yes\n  tributary erase connection old-drive --receipt receipt.json --yes",
	}, eraseDocument(a), eraseSelection(a), eraseConnection(a), eraseList(a), eraseShow(a), eraseVerify(a), eraseVacuum(a))
}

// eraseFlags are the flags of the three commands that erase.
type eraseFlags struct {
	receipt                  string
	yes, noWait, allowReturn bool
}

// eraseItemsCommand makes a command that erases what request names.
func (a *app) eraseItemsCommand(cmd *cobra.Command, f *eraseFlags, request func(args []string) (store.EraseRequest, error)) *cobra.Command {
	flags := cmd.Flags()
	flags.StringVar(&f.receipt, "receipt", "", "write the receipt to this new file")
	flags.BoolVar(&f.yes, "yes", false, "really erase")
	flags.BoolVar(&f.noWait, "no-wait", false, "only ask for it, and leave the work to a running tributary up, serve or worker")
	addMigrateFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.noWait && f.receipt != "" {
			return usagef("--receipt: there is none until the erasure is done: leave --no-wait out, or use tributary erase show ID --receipt FILE")
		}
		req, err := request(args)
		if err != nil {
			return err
		}
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		return a.withStore(cmd.Context(), s, func(ctx context.Context, st *store.Store) error {
			return a.erase(ctx, st, s, args[0], req, f)
		})
	}
	return jsonFlag(a, cmd)
}

func eraseDocument(a *app) *cobra.Command {
	f := &eraseFlags{}
	cmd := a.eraseItemsCommand(&cobra.Command{
		Use: "document CONNECTION DOCUMENT...", Short: "Erase documents",
		Long:    "Erase documents, named by their ids here or at the source.",
		Example: "  tributary erase document docs 5b0c2f9e-… --yes\n  tributary erase document my-drive 1AbC… --receipt receipt.json --yes",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return exactArgs("CONNECTION", "DOCUMENT")(cmd, args)
			}
			return nil
		},
	}, f, func(args []string) (store.EraseRequest, error) {
		return store.EraseRequest{Scope: store.EraseDocument, Documents: args[1:], AllowReturn: f.allowReturn}, nil
	})
	cmd.Flags().BoolVar(&f.allowReturn, "allow-return", false, "let the next sync bring them back")
	return cmd
}

func eraseSelection(a *app) *cobra.Command {
	f := &eraseFlags{}
	var containers, paths []string
	cmd := a.eraseItemsCommand(&cobra.Command{
		Use: "selection CONNECTION", Short: "Erase what lies in containers or matches patterns", Args: exactArgs("CONNECTION"),
		Long: `Erase the documents of a connection that lie in one of the containers, or whose
path matches one of the patterns. What the source adds there later is ingested
unless it is left out of the selection: tributary connections choose.`,
		Example: "  tributary erase selection docs --path 'people/**' --yes\n  tributary erase selection my-drive --container 0AbC… --receipt receipt.json --yes",
	}, f, func([]string) (store.EraseRequest, error) {
		if len(containers)+len(paths) == 0 {
			return store.EraseRequest{}, usagef("say what to erase: --container ID or --path PATTERN")
		}
		return store.EraseRequest{Scope: store.EraseSelection, Containers: containers, Paths: paths, AllowReturn: f.allowReturn}, nil
	})
	cmd.Flags().StringArrayVar(&containers, "container", nil, "everything in this container (may be repeated)")
	cmd.Flags().StringArrayVar(&paths, "path", nil, "everything whose path matches this pattern, as in a selection (may be repeated)")
	cmd.Flags().BoolVar(&f.allowReturn, "allow-return", false, "let the next sync bring them back")
	return cmd
}

func eraseConnection(a *app) *cobra.Command {
	return a.eraseItemsCommand(&cobra.Command{
		Use: "connection NAME", Short: "Erase a connection with everything that came through it", Args: exactArgs("NAME"),
		Long: `Erase a connection: its documents, people, runs, schedules, settings and tokens.
Where no other connection uses its grant, that is revoked at the provider.`,
		Example: "  tributary erase connection old-drive --receipt receipt.json --yes",
	}, &eraseFlags{}, func([]string) (store.EraseRequest, error) {
		return store.EraseRequest{Scope: store.EraseConnection}, nil
	})
}

func (a *app) erase(ctx context.Context, st *store.Store, s settings.Settings, name string, req store.EraseRequest, f *eraseFlags) error {
	c, err := st.Connection(ctx, name)
	if err != nil {
		return err
	}
	req.Connection = c.ID
	if !f.yes {
		return a.refuseToErase(ctx, st, c, req)
	}
	file, err := newReceiptFile(f.receipt)
	if err != nil {
		return err
	}
	defer file.discard()
	return a.withRunner(ctx, st, s, func(e *engine) error {
		// SECURITY: the audit log is never erased, so no id of the source and no pattern goes there.
		event := a.event("erasure.request", audit.Target{Kind: "erasure"}, map[string]string{"connection": c.Name, "scope": string(req.Scope)})
		asked, err := e.runner.RequestErasure(ctx, req, a.by().Actor.Name, event)
		if err != nil {
			return err
		}
		if f.noWait {
			return a.done("Nobody finds it any more; erasure "+asked.ID.String()+" removes it: tributary erase show "+asked.ID.String(), asked)
		}
		line := newProgress(a.stderr)
		done, err := e.runner.EraseHere(ctx, asked.ID, func(e store.Erasure) {
			line.update(fmt.Sprintf("%s: %d of %d documents erased", c.Name, e.Removed["document"], e.Target.Documents))
		})
		line.done()
		if err != nil {
			return err
		}
		return a.reportErasure(ctx, st, done, file)
	})
}

// refuseToErase says what would be erased.
func (a *app) refuseToErase(ctx context.Context, st *store.Store, c store.Connection, req store.EraseRequest) error {
	if req.Scope == store.EraseConnection {
		t, err := st.Totals(ctx, c.ID)
		if err != nil {
			return err
		}
		return usagef("this erases connection %s with %d documents for good: say --yes", c.Name, t.Documents+t.Hidden)
	}
	t, err := st.PreviewErasure(ctx, req)
	if err != nil {
		return err
	}
	return usagef("this erases %d documents of connection %s for good: say --yes", t.Documents, c.Name)
}

// withRunner opens what works on jobs, for a command.
func (a *app) withRunner(ctx context.Context, st *store.Store, s settings.Settings, fn func(e *engine) error) error {
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
	return fn(e)
}

// receiptFile is where a receipt goes; it is made before anything is erased.
type receiptFile struct {
	path string
	f    *os.File
}

func newReceiptFile(path string) (*receiptFile, error) {
	if path == "" {
		return &receiptFile{}, nil
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, usagef("--receipt: %s exists: name a new file", path)
	}
	if err != nil {
		return nil, usagef("--receipt: %s", err)
	}
	return &receiptFile{path: path, f: f}, nil
}

// write puts the receipt there.
func (r *receiptFile) write(receipt store.Receipt) error {
	if r.f == nil {
		return nil
	}
	enc := json.NewEncoder(r.f)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := errors.Join(enc.Encode(receipt), r.f.Sync(), r.f.Close())
	if err != nil {
		return fmt.Errorf("writing receipt: %w", err)
	}
	r.f = nil
	return nil
}

// discard removes a file that got no receipt.
func (r *receiptFile) discard() {
	if r.f != nil {
		_ = r.f.Close()
		_ = os.Remove(r.path)
	}
}

// reportErasure prints how an erasure ended and writes its receipt.
func (a *app) reportErasure(ctx context.Context, st *store.Store, e store.Erasure, file *receiptFile) error {
	r, err := st.EraseReceipt(ctx, e.ID)
	if err != nil {
		return err
	}
	if err := file.write(r); err != nil {
		return err
	}
	r.List = nil
	if a.json {
		err = a.printJSON(r)
	} else {
		a.printReceipt(r)
		if file.path != "" {
			a.printf("Receipt: %s\n", file.path)
		}
	}
	if err == nil && r.Hits > 0 {
		return fmt.Errorf("erasure %s: %s", e.ID, e.Error)
	}
	return err
}

func (a *app) printReceipt(r store.Receipt) {
	rows, kept := int64(0), int64(0)
	for _, t := range r.Verified {
		rows, kept = rows+t.Rows, kept+t.Kept
	}
	chunks, vectors := r.Removed["chunk"], int64(0)
	for table, n := range r.Removed {
		if strings.HasPrefix(table, "vec_") {
			vectors += n
		}
	}
	a.printf("Erased %d documents, %d chunks and %d vectors of %s.\n", r.Removed["document"], chunks, vectors, r.ConnectionName)
	a.printf("Looked through %d rows of %d tables: %d still name what was erased; %d stay and hold ids only.\n", rows, len(r.Verified), r.Hits, kept)
	if r.Grant != nil {
		a.printf("Its grant: %s\n", r.Grant.Note)
	}
	a.printf("Not covered:\n")
	for _, n := range r.NotCovered {
		a.printf("  - %s\n", n)
	}
}
