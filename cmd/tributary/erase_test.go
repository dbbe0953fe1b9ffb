package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/store"
)

// TestEraseFromTheCommandLine: nothing without --yes, a receipt that can be
// checked, and no return with the next sync.
func TestEraseFromTheCommandLine(t *testing.T) {
	t.Parallel()
	s := newSettledSite(t)
	s.write("docs", map[string]string{
		"handbook.md":           "# Handbook\n\nThe zebra rule is for everybody.\n",
		"people/canarypath1.md": "# Canarytitle\n\nThe canaryword of a former colleague.\n",
		"people/canarypath2.md": "# Canarytitle two\n\nAnother canaryword.\n",
	})
	s.start("up").await("is running at")
	s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path=docs", "--every", "1h")
	s.must(exitOK, "sync", "docs", "--wait")
	all := []string{"handbook.md", "people/canarypath1.md", "people/canarypath2.md"}
	if got := s.paths("unix:root"); !slices.Equal(got, all) {
		t.Fatalf("root may read %v", got)
	}

	if r := s.must(exitUsage, "erase", "selection", "docs", "--path", "people/**"); !strings.Contains(r.stderr, "2 documents") {
		t.Errorf("it does not say what it would erase: %s", r.stderr)
	}
	s.must(exitNotFound, "erase", "selection", "docs", "--path", "nothing/**", "--yes")
	s.must(exitNotFound, "erase", "document", "docs", "no-such-id", "--yes")
	if got := s.paths("unix:root"); !slices.Equal(got, all) {
		t.Errorf("without --yes something was erased: %v", got)
	}
	file := filepath.Join(t.TempDir(), "receipt.json")
	r := mustJSON[store.Receipt](s, exitOK, "erase", "selection", "docs", "--path", "people/**", "--receipt", file, "--yes")
	if r.Removed["document"] != 2 || r.Hits != 0 || !r.Storage.Done || len(r.Verified) < 40 || r.Program == "" {
		t.Errorf("receipt %+v", r)
	}
	s.must(exitUsage, "erase", "selection", "docs", "--path", "handbook.md", "--receipt", file, "--yes")
	s.must(exitOK, "sync", "docs", "--wait")
	if got := s.paths("unix:root"); !slices.Equal(got, []string{"handbook.md"}) {
		t.Errorf("root may read %v", got)
	}

	s.must(exitOK, "erase", "verify", file)
	s.must(exitOK, "erase", "vacuum", r.Erasure.String(), "--rewrite")
	after := filepath.Join(t.TempDir(), "receipt.json")
	s.must(exitOK, "erase", "show", r.Erasure.String(), "--receipt", after)
	text, err := os.ReadFile(after)
	if err != nil || !strings.Contains(string(text), `"rewritten": true`) {
		t.Errorf("the receipt does not tell of the vacuum: %v", err)
	}
	s.must(exitOK, "erase", "verify", after)
	if err := os.WriteFile(after, []byte(strings.Replace(string(text), `"hits": 0`, `"hits": 1`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	s.must(exitUsage, "erase", "verify", after)

	for _, said := range []string{string(text), s.must(exitOK, "audit", "list", "--json").stdout, s.must(exitOK, "erase", "list", "--json").stdout} {
		if strings.Contains(strings.ToLower(said), "canary") || strings.Contains(said, "people") {
			t.Errorf("it names what was erased: %.600s", said)
		}
	}
	// What an admin excludes is listed until it is taken back; what was erased is not.
	s.must(exitOK, "quarantine", "exclude", "docs", "handbook.md", "--reason", "old")
	if list := mustJSON[[]store.ExcludedItem](s, exitOK, "documents", "excluded", "docs"); len(list) != 1 || list[0].ExternalID != "handbook.md" || list[0].Path != "handbook.md" || list[0].Reason != "old" || list[0].By == "" {
		t.Errorf("excluded are %+v", list)
	}
	s.must(exitOK, "quarantine", "include", "docs", "handbook.md")
	if text := s.must(exitOK, "documents", "excluded", "docs").stdout; text != "Nothing is excluded.\n" {
		t.Errorf("excluded are %s", text)
	}
	s.must(exitOK, "erase", "connection", "docs", "--yes")
	if list := mustJSON[[]store.Connection](s, exitOK, "connections", "list"); len(list) != 0 {
		t.Errorf("the connection is still there: %+v", list)
	}
}
