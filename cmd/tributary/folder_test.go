package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary/store"
	"tributary/web"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("TEST_REQUIRE") != "" {
			t.Fatal("giving files to other accounts needs root, and TEST_REQUIRE forbids to skip")
		}
		t.Skip("needs root, to give files to other accounts")
	}
}

// paths returns the paths of the documents that somebody may read.
func (s *site) paths(as string) []string {
	s.t.Helper()
	var list []string
	for _, d := range mustJSON[[]store.DocumentSummary](s, exitOK, "documents", "list", "--as", as, "--limit", "1000") {
		list = append(list, d.Path)
	}
	slices.Sort(list)
	return list
}

// TestFolderFromTheCommandLine is the life of a folder without any server: the
// managed database runs for as long as each command does.
func TestFolderFromTheCommandLine(t *testing.T) {
	t.Parallel()
	needRoot(t)
	s := newSite(t)
	docs := s.write("docs", map[string]string{
		"backup.md":       "# Backups\n\nA backup is made every night by the zebra job.\n\n## Restoring\n\nRestore with the restore command. Grüße, 日本語.\n",
		"open/guide.html": "<html><body><main><h1>Guide</h1><p>The giraffe guide for newcomers.</p></main></body></html>",
		"secret/plan.txt": "The okapi plan is for one account only.\n",
		"broken.pdf":      "%PDF-1.7\nthis is no PDF\n",
		"picture.png":     "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR",
		"empty.txt":       "",
	})
	const nobody = 65534
	if err := os.Chown(filepath.Join(docs, "secret", "plan.txt"), nobody, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(docs, "secret", "plan.txt"), 0o600); err != nil {
		t.Fatal(err)
	}

	r := s.must(exitOK, "connect", "folder", "--name", "docs", "--set", "path=docs", "--every", "1h")
	if !strings.Contains(r.stdout, "tributary sync docs") {
		t.Errorf("connect does not say what comes next: %s", r.stdout)
	}
	s.must(exitConflict, "connect", "folder", "--name", "docs", "--set", "path="+docs)

	report := mustJSON[syncReport](s, exitPartial, "sync", "docs", "--wait")
	if report.Totals.Documents != 3 || len(report.Quarantined) != 1 || report.Quarantined[0].Path != "broken.pdf" || report.Totals.Skipped != 2 {
		t.Errorf("the sync reports %+v", report)
	}
	again := s.must(exitPartial, "sync", "docs", "--wait", "--content")
	for _, want := range []string{"+0 ~0 -0", "broken.pdf", "Skipped 2"} {
		if !strings.Contains(again.stdout, want) {
			t.Errorf("the second sync does not say %q: %s", want, again.stdout)
		}
	}

	if got := s.paths("unix:nobody"); !slices.Equal(got, []string{"backup.md", "open/guide.html", "secret/plan.txt"}) {
		t.Errorf("nobody may read %v", got)
	}
	if got := s.paths("unix:daemon"); !slices.Equal(got, []string{"backup.md", "open/guide.html"}) {
		t.Errorf("daemon may read %v", got)
	}
	checkSearch(t, s)
	checkPermissionChange(t, s, docs)
	checkOtherNouns(t, s)
}

// checkSearch asks as two accounts and cuts the citations out of the text.
func checkSearch(t *testing.T, s *site) {
	t.Helper()
	hit := mustJSON[store.SearchResponse](s, exitOK, "search", "okapi plan", "--as", "unix:nobody", "-k", "1", "--include", "lineage")
	if len(hit.Results) != 1 || hit.Results[0].Title != "plan.txt" || hit.Results[0].Lineage == nil || !hit.Complete {
		t.Errorf("nobody finds %+v", hit)
	}
	miss := s.must(exitOK, "search", "okapi plan", "--as", "unix:daemon", "--json")
	if strings.Contains(miss.stdout, "okapi") {
		t.Errorf("daemon finds what it may not read: %s", miss.stdout)
	}
	human := s.must(exitOK, "search", "zebra", "--as", "unix:daemon")
	if !strings.Contains(human.stdout, "Backups") || !strings.Contains(human.stdout, "[docs, chunk ") {
		t.Errorf("the answer for people is %s", human.stdout)
	}
	for _, mode := range []string{"keyword", "vector", "hybrid"} {
		answer := mustJSON[store.SearchResponse](s, exitOK, "search", "restore command", "--as", "unix:nobody", "--mode", mode, "-k", "5")
		if len(answer.Results) == 0 {
			t.Errorf("mode %s finds nothing", mode)
		}
		for _, r := range answer.Results {
			text := mustJSON[store.DocumentText](s, exitOK, "documents", "text", r.DocumentID.String(), "--as", "unix:nobody").Text
			if text[r.Start:r.End] != r.Text {
				t.Errorf("%s: bytes %d-%d are %q, not %q", r.ChunkID, r.Start, r.End, text[r.Start:r.End], r.Text)
			}
			if string([]rune(text)[r.StartCP:r.EndCP]) != r.Text || !utf8.ValidString(text) {
				t.Errorf("%s: code points %d-%d do not cut the chunk", r.ChunkID, r.StartCP, r.EndCP)
			}
		}
	}
	planned := mustJSON[web.SearchAsAnswer](s, exitOK, "search", "restore command", "--as", "unix:nobody", "--weights", "keyword=0,heading=0", "--plan")
	if planned.Plan.Vector != "exact" || planned.Plan.Chunks == 0 || len(planned.Results) == 0 {
		t.Errorf("the plan is %+v", planned.Plan)
	}
	if human := s.must(exitOK, "search", "restore command", "--as", "unix:nobody", "--weights", "vector=0", "--plan"); !strings.Contains(human.stdout, "Plan: vectors none; ") {
		t.Errorf("the plan for people: %s", human.stdout)
	}
	for _, w := range []string{"keyword=11", "keyword=-1", "keyword=NaN", "keyword=x", "words=1", "keyword=0,vector=0,heading=0", "keyword"} {
		s.must(exitUsage, "search", "x", "--as", "unix:nobody", "--weights", w)
	}
	s.must(exitNotFound, "search", "x", "--as", "unheard-of")
	s.must(exitUsage, "search", "x", "--as", "unix:no-such-account")
	s.must(exitUsage, "search", "x", "--as", "github:ada")
	s.must(exitUsage, "search", "x")
	s.must(exitUsage, "search", "x", "--as", "unix:nobody", "-k", "101")
	s.must(exitUsage, "search", "x", "--as", "unix:nobody", "--mode", "magic")
	s.must(exitUsage, "search", strings.Repeat("x", 2001), "--as", "unix:nobody")
	s.must(exitNotFound, "documents", "show", hit.Results[0].DocumentID.String(), "--as", "unix:daemon")
}

// checkPermissionChange opens a file and sees it with the next permissions run.
func checkPermissionChange(t *testing.T, s *site, docs string) {
	t.Helper()
	if err := os.Chmod(filepath.Join(docs, "secret", "plan.txt"), 0o644); err != nil {
		t.Fatal(err)
	}
	report := mustJSON[syncReport](s, exitOK, "sync", "docs", "--wait", "--permissions")
	if len(report.Runs) != 1 || report.Runs[0].Counts.ACLChanged != 1 || report.Runs[0].Counts.ChunksWritten != 0 {
		t.Errorf("the permissions run reports %+v", report.Runs)
	}
	if got := s.paths("unix:daemon"); !slices.Contains(got, "secret/plan.txt") {
		t.Errorf("after chmod daemon may read %v", got)
	}
}

// checkOtherNouns walks through what else stands on the store.
func checkOtherNouns(t *testing.T, s *site) {
	t.Helper()
	s.must(exitOK, "readers", "create", "ada", "--link", "unix:nobody")
	s.must(exitConflict, "readers", "create", "ada")
	s.must(exitUsage, "readers", "create", "eve", "--link", "unix:no-such-account")
	s.must(exitNotFound, "readers", "show", "eve")
	if got := s.paths("ada"); len(got) != 3 {
		t.Errorf("ada may read %v", got)
	}
	s.must(exitOK, "readers", "unlink", "ada", "unix:nobody")
	if got := s.paths("ada"); len(got) != 0 {
		t.Errorf("unlinked ada may read %v", got)
	}
	s.must(exitOK, "readers", "link", "ada", "unix:nobody")
	s.must(exitOK, "readers", "disable", "ada")
	s.must(exitNotFound, "search", "x", "--as", "ada")
	s.must(exitOK, "readers", "enable", "ada")

	key := s.must(exitOK, "keys", "create", "first", "--reader", "ada", "--connections", "docs", "--expires", "90d")
	secret, _, _ := strings.Cut(key.stdout, "\n")
	if !strings.HasPrefix(secret, "trib_") || !strings.Contains(key.stdout, "curl -s http://"+s.setting("TRIBUTARY_ADDR")+"/v1/search") {
		t.Errorf("keys create prints %s", key.stdout)
	}
	if list := s.must(exitOK, "keys", "list", "--json"); strings.Contains(list.stdout, secret) {
		t.Error("keys list shows the secret")
	}
	if made := s.must(exitOK, "keys", "create", "copies", "--rights", "export", "--connections", "docs"); !strings.Contains(made.stderr, "reads everything in the connections listed") {
		t.Errorf("no word of what the key reads: %s", made.stderr)
	}
	if list := s.must(exitOK, "keys", "list"); strings.Count(list.stdout, "READS ALL of its connections") != 1 {
		t.Errorf("the list does not flag the key that reads all:\n%s", list.stdout)
	}
	s.must(exitUsage, "keys", "create", "second", "--reader", "ada")
	s.must(exitNotFound, "keys", "create", "second", "--reader", "eve", "--connections", "all")
	s.must(exitUsage, "keys", "create", "second", "--reader", "ada", "--connections", "all", "--rights", "everything")
	s.must(exitOK, "keys", "revoke", "first")
	s.must(exitNotFound, "keys", "revoke", "second")

	var profiles []map[string]any
	if err := json.Unmarshal([]byte(s.must(exitOK, "profiles", "list", "--json").stdout), &profiles); err != nil || len(profiles) != 1 || profiles[0]["state"] != "active" {
		t.Errorf("the profiles are %v, %v", profiles, err)
	}
	if r := s.must(exitOK, "profiles", "test", "builtin"); !strings.Contains(r.stdout, "lexical") {
		t.Errorf("the built-in profile does not say what it is: %s", r.stdout)
	}
	s.must(exitFailure, "profiles", "create", "far", "--url", "http://127.0.0.1:1/v1", "--model", "m", "--dimensions", "8")

	s.must(exitOK, "connections", "pause", "docs")
	s.must(exitUsage, "sync", "docs")
	s.must(exitOK, "connections", "resume", "docs")
	runs := mustJSON[[]store.Run](s, exitOK, "runs", "list", "--connection", "docs", "--lane", "content")
	if len(runs) != 2 {
		t.Errorf("%d content runs, want 2", len(runs))
	}
	s.must(exitOK, "runs", "show", runs[0].ID.String())
	s.must(exitUsage, "connections", "delete", "docs")
	s.must(exitOK, "connections", "delete", "docs", "--yes")
	s.must(exitNotFound, "connections", "show", "docs")
}
