package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tributary/internal/audit"
	"tributary/internal/seal"
	"tributary/internal/settings"
	"tributary/oauthflow/vault"
	"tributary/store"
)

// spoolDir is where token pairs wait for a database that does not answer.
func spoolDir(s settings.Settings) string { return filepath.Join(s.DataDir, "spool") }

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func masterKeyCommand(a *app) *cobra.Command {
	return group(&cobra.Command{
		Use: "master-key", Short: "The key that seals tokens and client credentials",
		Example: "  tributary master-key status\n  tributary master-key rotate",
	}, masterKeyStatus(a), masterKeyRotate(a), masterKeyCreate(a), masterKeyReplace(a))
}

// keyRow is a key as JSON shows it.
type keyRow struct {
	ID        string        `json:"id"`
	Primary   bool          `json:"primary"`
	InFile    bool          `json:"in_file"`
	CreatedAt *time.Time    `json:"created_at,omitempty"`
	DemotedAt *time.Time    `json:"demoted_at,omitempty"`
	Rows      int64         `json:"rows"`
	Counts    []vault.Count `json:"columns"`
	Spooled   bool          `json:"spooled"`
}

func masterKeyStatus(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "status", Short: "List the keys and how much each has sealed", Args: exactArgs(),
		Example: "  tributary master-key status --json",
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.onRing(cmd, func(ctx context.Context, s settings.Settings, st *store.Store, ring *seal.Ring) error {
			list, err := vault.Status(ctx, ring, st, spoolDir(s))
			if err != nil {
				return err
			}
			return a.printKeys(ctx, st, ring, list)
		})
	}
	return cmd
}

// onRing runs fn with the store and the ring of an instance whose key is right.
func (a *app) onRing(cmd *cobra.Command, fn func(context.Context, settings.Settings, *store.Store, *seal.Ring) error) error {
	return a.onStore(cmd, func(ctx context.Context, st *store.Store, s settings.Settings) error {
		ring, err := vault.Open(ctx, vaultConfig(s, st))
		if err != nil {
			return err
		}
		return fn(ctx, s, st, ring)
	})
}

func (a *app) printKeys(ctx context.Context, st *store.Store, ring *seal.Ring, list []vault.KeyStatus) error {
	rows := []keyRow{}
	now, err := st.Now(ctx)
	if err != nil {
		return err
	}
	t := newTable("KEY", "STATE", "MADE", "SEALED VALUES")
	for _, k := range list {
		row := keyRow{ID: k.ID.String(), Primary: k.Primary, InFile: k.InFile, Rows: k.Rows, Counts: nonNil(k.Counts), Spooled: k.Spooled}
		state, made := "missing in the file: what it sealed does not open", ""
		switch {
		case k.Primary:
			state = "seals and opens"
		case k.InFile && k.Rows == 0 && !k.Spooled:
			state = "unused since " + span(now.Sub(k.DemotedAt)) + ": tributary master-key rotate --retire"
		case k.InFile:
			state = "opens"
		}
		if k.InFile {
			row.CreatedAt, made = &k.CreatedAt, k.CreatedAt.UTC().Format(time.DateTime)
		}
		if !k.DemotedAt.IsZero() {
			row.DemotedAt = &k.DemotedAt
		}
		rows = append(rows, row)
		t.add(row.ID, state, made, itoa(k.Rows))
	}
	if a.json {
		return a.printJSON(map[string]any{"file": ring.Path(), "keys": rows})
	}
	if err := t.write(a.stdout, ""); err != nil {
		return err
	}
	a.printf("\nThey are in %s. Keep a copy of it apart from the backups of the database.\n", ring.Path())
	return nil
}

func masterKeyRotate(a *app) *cobra.Command {
	var retire, retireOnly bool
	cmd := jsonFlag(a, &cobra.Command{
		Use: "rotate", Short: "Add a key and seal everything anew with it, while everything runs", Args: exactArgs(),
		Long: `Add a key to the master key file, and seal every token and client credential
anew with it. Servers and workers go on, and see the new key by themselves, if
they read the same file. It may be interrupted at any moment: run again it
finishes, and adds no further key.

Keys that nothing names stay in the file until --retire, at least for an hour.
Backups of the database that are older need the keys of their time: keep a copy
of the file with them, apart from them.`,
		Example: "  tributary master-key rotate\n  tributary master-key rotate --retire-only",
	})
	cmd.Flags().BoolVar(&retire, "retire", false, "afterwards remove the keys that nothing names")
	cmd.Flags().BoolVar(&retireOnly, "retire-only", false, "only remove the keys that nothing names; add none")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return a.onRing(cmd, func(ctx context.Context, s settings.Settings, st *store.Store, ring *seal.Ring) error {
			out := rotated{Retired: []string{}, Stay: map[string]string{}, Unreadable: []vault.Unreadable{}}
			if !retireOnly {
				if err := a.rotate(ctx, st, ring, &out); err != nil {
					return err
				}
			}
			if retire || retireOnly {
				if err := a.retireKeys(ctx, s, st, ring, &out); err != nil {
					return err
				}
			}
			return a.printRotated(ring, out)
		})
	}
	return cmd
}

// rotated is what a rotation did, as JSON shows it.
type rotated struct {
	Key        string             `json:"key,omitempty"`
	Resumed    bool               `json:"resumed"`
	Resealed   int64              `json:"resealed"`
	Unreadable []vault.Unreadable `json:"unreadable"`
	Retired    []string           `json:"retired"`
	Stay       map[string]string  `json:"stay"`
}

func (a *app) rotate(ctx context.Context, st *store.Store, ring *seal.Ring, out *rotated) error {
	// The key file is no part of the database: what is about to be done is recorded before, and how it ended after.
	if err := a.record(ctx, st, "master_key.rotate", audit.Target{Kind: "key", ID: ring.PrimaryID().String()}, map[string]string{"phase": "begin"}); err != nil {
		return err
	}
	line := newProgress(a.stderr)
	defer line.done()
	r, err := vault.Rotate(ctx, ring, st, func(p vault.Progress) {
		line.update(fmt.Sprintf("sealing anew: %d of %d", p.Resealed, p.Total))
	})
	line.done()
	detail := map[string]string{"phase": "end", "resealed": itoa(r.Resealed), "unreadable": strconv.Itoa(len(r.Unreadable)), "resumed": strconv.FormatBool(r.Resumed)}
	if err != nil {
		detail["error"] = oneLine(err.Error())
	}
	// The key may be in the file already when something failed.
	if recorded := a.record(ctx, st, "master_key.rotate", audit.Target{Kind: "key", ID: ring.PrimaryID().String()}, detail); err == nil {
		err = recorded
	}
	if err != nil {
		return err
	}
	out.Key, out.Resumed, out.Resealed, out.Unreadable = r.Key.String(), r.Resumed, r.Resealed, append(out.Unreadable, r.Unreadable...)
	return nil
}

func (a *app) retireKeys(ctx context.Context, s settings.Settings, st *store.Store, ring *seal.Ring, out *rotated) error {
	if err := a.record(ctx, st, "master_key.retire", audit.Target{Kind: "key"}, map[string]string{"phase": "begin"}); err != nil {
		return err
	}
	gone, stay, err := vault.Retire(ctx, ring, st, spoolDir(s))
	for _, id := range gone {
		out.Retired = append(out.Retired, id.String())
		if recorded := a.record(ctx, st, "master_key.retire", audit.Target{Kind: "key", ID: id.String()}, map[string]string{"phase": "end"}); err == nil {
			err = recorded
		}
	}
	for id, why := range stay {
		out.Stay[id.String()] = why
	}
	return err
}

func (a *app) printRotated(ring *seal.Ring, out rotated) error {
	if a.json {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else {
		switch {
		case out.Resumed:
			a.printf("Finished the rotation to key %s: %d values were sealed anew.\n", out.Key, out.Resealed)
		case out.Key != "":
			a.printf("Key %s seals from now on: %d values were sealed anew.\nCopy %s to where its copy is kept.\n", out.Key, out.Resealed, ring.Path())
		}
		for _, id := range out.Retired {
			a.printf("Removed key %s.\n", id)
		}
		for id, why := range out.Stay {
			a.printf("Key %s stays: %s.\n", id, printable(why))
		}
		for _, u := range out.Unreadable {
			a.notef("tributary: %s of %s does not open and was left as it is: %s\n", u.Column, printable(u.Key), printable(u.Reason))
		}
	}
	if len(out.Unreadable) > 0 {
		return &silentError{code: exitFailure}
	}
	return nil
}

func masterKeyCreate(a *app) *cobra.Command {
	cmd := jsonFlag(a, &cobra.Command{
		Use: "create", Short: "Make the master key file before the first start", Args: exactArgs(),
		Long: `Make the file of TRIBUTARY_MASTER_KEY_FILE, where it is not to be made by the
first start of a new instance: to hand it out as a secret, or to several
machines. It needs no database, and never replaces a file.`,
		Example: "  tributary master-key create --master-key-file ./secrets/master.key",
	})
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := a.settings(cmd)
		if err != nil {
			return err
		}
		ring, err := seal.Create(s.MasterKeyFile, seal.Options{DataDir: s.DataDir})
		if errors.Is(err, seal.ErrKeyFileExists) {
			return fmt.Errorf("%w: %w", err, store.ErrConflict)
		}
		if err != nil {
			return err
		}
		return a.done("Made "+ring.Path()+". Keep a copy of it apart from the backups of the database.", map[string]any{"file": ring.Path(), "key": ring.PrimaryID().String()})
	}
	return cmd
}

func masterKeyReplace(a *app) *cobra.Command {
	var forget bool
	cmd := jsonFlag(a, &cobra.Command{
		Use: "replace", Short: "Begin anew after the master key was lost for good", Args: exactArgs(),
		Long: `Make a new master key after the old one was lost for good, and forget every
token and client credential, which nobody can open any more. Documents,
connections and their progress stay: enter the credentials of each registration
again, then grant again. It refuses while the key is right.`,
		Example: "  tributary master-key replace --forget-sealed",
	})
	cmd.Flags().BoolVar(&forget, "forget-sealed", false, "really forget what is sealed")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if !forget {
			return usagef("every token and client credential will be forgotten: say --forget-sealed")
		}
		return a.onStore(cmd, func(ctx context.Context, st *store.Store, s settings.Settings) error {
			n, kept, err := vault.Replace(ctx, vaultConfig(s, st), a.event("master_key.replace", audit.Target{Kind: "key"}, nil), setAside)
			if err != nil {
				return err
			}
			var b strings.Builder
			fmt.Fprintf(&b, "Made %s; %d sealed values were forgotten.", s.MasterKeyFile, n)
			if kept != "" {
				fmt.Fprintf(&b, " The file that was there is %s now.", kept)
			}
			b.WriteString("\nRestart what runs, enter the credentials of each registration again, then grant again.")
			return a.done(b.String(), map[string]any{"file": s.MasterKeyFile, "forgotten": n, "kept": kept})
		})
	}
	return cmd
}

// setAside gives a file a name that is free.
func setAside(path string) (string, error) {
	kept := path + ".replaced-" + time.Now().UTC().Format("20060102T150405Z")
	if err := os.Link(path, kept); err != nil { // refuses a name that is taken
		return "", err
	}
	return kept, os.Remove(path)
}
