package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/store"
)

// checkReaders makes readers of the people of a drive by consent, by address and by import.
func checkReaders(t *testing.T, s *grantSite) {
	t.Helper()
	seen := func(reader string) int {
		return len(mustJSON[[]json.RawMessage](s.site, exitOK, "documents", "list", "--as", reader, "--connection", "drive", "--limit", "500"))
	}
	linked := func(when, reader string, want ...string) {
		t.Helper()
		got := []string{}
		for _, l := range mustJSON[store.Reader](s.site, exitOK, "readers", "show", reader).Links {
			got = append(got, l.ExternalID+" "+l.How)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %s is %q, want %q", when, reader, got, want)
		}
	}
	s.must(exitOK, "readers", "create", "anna")
	s.must(exitUsage, "readers", "link", "anna")
	s.must(exitUsage, "readers", "link", "anna", "--consent", "drive", "--connection", "drive")
	s.must(exitOK, "readers", "link", "anna", "--consent", "drive")
	linked("whose consent it is", "anna", "anna consent")
	if all := seen("sandbox:anna.lindqvist@larkwater.example"); seen("anna") != all || all == 0 {
		t.Errorf("anna sees %d documents, want %d", seen("anna"), all)
	}

	s.must(exitUsage, "readers", "create", "ruben", "--identity", "https://login.example")
	s.must(exitUsage, "readers", "create", "ruben", "--email", "rub\u0435n.brandt@larkwater.example")
	made := mustJSON[store.Reader](s.site, exitOK, "readers", "create", "ruben", "--identity", "https://login.example,r-1", "--email", "ruben.brandt@Larkwater.example")
	if !slices.Equal(made.Identities, []store.ReaderIdentity{{Issuer: "https://login.example", Subject: "r-1"}}) || len(made.Links) != 0 {
		t.Errorf("made %+v", made)
	}
	s.must(exitOK, "readers", "identity", "add", "ruben", "https://login.example", "r-2")
	s.must(exitOK, "readers", "identity", "remove", "ruben", "https://login.example", "r-1")
	s.must(exitNotFound, "readers", "identity", "remove", "ruben", "https://login.example", "r-1")
	s.must(exitUsage, "connections", "map-email", "drive", "maybe")
	s.must(exitOK, "connections", "map-email", "drive", "on")
	linked("by address", "ruben", "ruben email")
	if seen("ruben") == 0 {
		t.Error("ruben sees nothing")
	}
	checkImport(t, s)
	s.must(exitOK, "readers", "email", "remove", "ruben", "ruben.brandt@larkwater.example")
	linked("without the address", "ruben")
	s.must(exitOK, "readers", "email", "add", "ruben", "ruben.brandt@larkwater.example")
	linked("with it again", "ruben", "ruben email")
	s.must(exitOK, "connections", "map-email", "drive", "off")
	linked("switched off", "ruben")
	s.must(exitUsage, "readers", "delete", "ruben")
	s.must(exitOK, "readers", "delete", "ruben", "--yes")
	s.must(exitNotFound, "readers", "show", "ruben")
}

// checkImport imports readers from a file, and looks who is left.
func checkImport(t *testing.T, s *grantSite) {
	t.Helper()
	dir := s.write("people", map[string]string{
		"bad.csv":    "reader,email,connection,principal_id\nmatteo,matteo.ricci@larkwater.example,,\ningrid,ingr\u0456d@larkwater.example,,\ntomasz,,,tomasz\n",
		"column.csv": "reader,mail\nmatteo,m@example.com\n",
		"good.csv":   "\ufeffreader,kind,email,connection,principal_id\nmatteo,,matteo.ricci@larkwater.example,,\ntomasz,person,,drive,tomasz\nbot,application,,,\n",
	})
	file := func(name string) string { return filepath.Join(dir, name) }
	bad := s.must(exitUsage, "readers", "import", file("bad.csv"))
	for _, want := range []string{file("bad.csv") + ":3: email: ", file("bad.csv") + ":4: connection: ", "nothing was imported"} {
		if !strings.Contains(bad.stderr, want) {
			t.Errorf("a bad file: no %q in\n%s", want, bad.stderr)
		}
	}
	s.must(exitUsage, "readers", "import", file("column.csv"))
	dry := mustJSON[store.ImportReport](s.site, exitOK, "readers", "import", file("good.csv"), "--dry-run")
	if dry.Readers != 3 || dry.Emails != 1 || dry.Links != 1 || dry.Made != 1 {
		t.Errorf("dry run: %+v", dry)
	}
	s.must(exitNotFound, "readers", "show", "matteo")
	if got := mustJSON[store.ImportReport](s.site, exitOK, "readers", "import", file("good.csv")); got != dry {
		t.Errorf("import: %+v, the dry run said %+v", got, dry)
	}
	left := map[string]string{}
	for _, u := range mustJSON[[]store.Unmatched](s.site, exitOK, "readers", "unmatched", "--connection", "drive") {
		left[u.ID] = u.Reason
	}
	if left["ingrid"] != "no reader has the address" || left["anna"]+left["ruben"]+left["matteo"]+left["tomasz"] != "" {
		t.Errorf("unmatched: %v", left)
	}
}
