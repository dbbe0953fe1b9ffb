package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"tributary/internal/settings"
	"tributary/store"
)

// TestAnErasedGrantForgetsItsAccount: with the last connection of a grant its tokens go, and nothing but the audit log says
// whose it was, whichever command ended it.
func TestAnErasedGrantForgetsItsAccount(t *testing.T) {
	t.Parallel()
	s := newGrantSite(t)
	made := mustJSON[registrationView](s.site, exitOK, "registrations", "create", "try", "--provider", "sandbox", "--base-url", s.sandboxURL(), "--private")
	id, file := s.client(made.RedirectURI)
	s.must(exitOK, "registrations", "update", "try", "--client-id", id, "--secret-file", file)
	const account = "anna.lindqvist@larkwater.example"
	for _, end := range []string{"erase", "disconnect"} {
		if out := s.consent("--name", "drive"); !strings.Contains(out, account) {
			t.Fatalf("connect says:\n%s", out)
		}
		s.must(exitOK, "sync", "drive", "--wait")
		if where := s.tablesWith(account); len(where) == 0 {
			t.Fatal("the look through the tables finds nothing that is there")
		}
		receipt := filepath.Join(t.TempDir(), "receipt.json")
		if end == "erase" {
			r := mustJSON[store.Receipt](s.site, exitOK, "erase", "connection", "drive", "--receipt", receipt, "--yes")
			if r.Hits != 0 || r.Grant == nil || !r.Grant.Forgotten || !r.Grant.AccountForgotten || r.Grant.Shared || !strings.Contains(r.Grant.Note, "revoked") {
				t.Errorf("receipt %+v, grant %+v", r, r.Grant)
			}
		} else {
			if r := s.must(exitOK, "connections", "disconnect", "drive", "--yes"); !strings.Contains(r.stdout, "revoked the grant") {
				t.Errorf("disconnect says %s", r.stdout)
			}
			list := mustJSON[[]store.Erasure](s.site, exitOK, "erase", "list")
			s.must(exitOK, "erase", "show", list[0].ID.String(), "--receipt", receipt)
		}
		s.must(exitOK, "erase", "verify", receipt)
		text, err := os.ReadFile(receipt)
		if err != nil || !strings.Contains(string(text), `"program": "`) || strings.Contains(string(text), `"program": ""`) || strings.Contains(string(text), "may not vacuum") {
			t.Errorf("the receipt of %s does not say what wrote it, or was not cleaned after: %v\n%.900s", end, err, text)
		}
		if where := s.tablesWith(account); len(where) != 0 {
			t.Errorf("after %s the account stands in %v", end, where)
		}
	}
	if log := s.must(exitOK, "audit", "list", "--json", "--limit", "1000").stdout; !strings.Contains(log, "oauth.consent") {
		t.Error("the audit log lost the consents")
	}
}

// tablesWith lists the tables beside the audit log in which text stands.
func (s *site) tablesWith(text string) []string {
	s.t.Helper()
	a := &app{environ: s.env, stdout: io.Discard, stderr: io.Discard}
	cfg, err := settings.Load(settings.Source{Environ: s.env, UID: os.Geteuid()})
	if err != nil {
		s.t.Fatal(err)
	}
	var found []string
	err = a.withStore(s.t.Context(), cfg, func(ctx context.Context, st *store.Store) error {
		rows, err := st.Pool().Query(ctx, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
			WHERE schemaname IN ('tributary', 'river') AND tablename <> 'audit_event' AND has_table_privilege(format('%I.%I', schemaname, tablename), 'SELECT')`)
		if err != nil {
			return err
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, table := range tables {
			var there bool
			if err := st.Pool().QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+table+` x WHERE strpos(x::text, $1) > 0)`, text).Scan(&there); err != nil {
				return err
			}
			if there {
				found = append(found, table)
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}
