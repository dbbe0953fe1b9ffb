package acceptance

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tributary/jobs"
	"tributary/store"
)

// What find and file(1) count as HTML, Markdown, text, source or PDF is a
// document; everything else is listed with its reason.
func TestDocumentsAreWhatFileSays(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("file")
	require(t, err == nil, "file(1) is missing: run scripts/setup.sh --for test")
	tree := mixedTree(t)
	kinds := mediaTypes(t, tree)
	s := newSite(t, jobs.BuiltinProfile())
	dropHNSW(s)
	conn := s.connect(tree)
	s.must(conn, store.Content, store.RunSucceeded, store.RunPartial)

	documents := map[string]bool{}
	for _, id := range column[string](t, s.db.Owner, `SELECT external_id FROM document WHERE hidden_reason IS NULL`) {
		documents[id] = true
	}
	reasons := s.reasons(conn)
	disagreements := 0
	for path, kind := range kinds {
		reason, listed := reasons[path]
		switch {
		case documents[path] && listed:
			t.Errorf("%s is a document and listed with a reason: %s", path, reason)
		case !documents[path] && !listed:
			t.Errorf("%s (%s) is neither a document nor listed with a reason", path, kind)
		case documents[path] != isText(kind) && !hasNoText(reason):
			disagreements++
			if disagreements <= 20 {
				t.Errorf("%s: file(1) says %s, document is %t %s", path, kind, documents[path], reason)
			}
		}
	}
	for path := range documents {
		if _, ok := kinds[path]; !ok {
			t.Errorf("document %s is no file of the tree", path)
		}
	}
	t.Logf("%d files, %d documents, %d listed with a reason, %d disagreements with file(1)", len(kinds), len(documents), len(reasons), disagreements)
}

// isText reports whether a media type of file(1) is one of the kinds:
// HTML (also as XML), Markdown, text, source and PDF.
func isText(kind string) bool {
	return strings.HasPrefix(kind, "text/") || slices.Contains([]string{
		"application/json", "application/x-ndjson", "application/javascript", "application/pdf",
		"application/x-wine-extension-ini", "message/rfc822", "message/news", "application/x-setupscript", "application/x-mswinurl",
	}, kind)
}

// hasNoText reports whether a file of the right kind was read and had nothing
// to store, or was damaged.
func hasNoText(reason string) bool {
	return strings.Contains(reason, "no text") || strings.Contains(reason, "encrypted") || strings.Contains(reason, "damaged") ||
		strings.Contains(reason, "larger than")
}

// reasons are the skipped and quarantined items by path.
func (s *site) reasons(conn store.Connection) map[string]string {
	s.t.Helper()
	out := map[string]string{}
	skipped, err := s.store.Skipped(s.t.Context(), conn.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, item := range skipped {
		out[item.ExternalID] = item.Reason
	}
	quarantined, err := s.store.Quarantined(s.t.Context(), conn.ID)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, item := range quarantined {
		out[item.ExternalID] = item.Reason
	}
	return out
}

// mixedTree links real files of many kinds into one tree: the Go distribution's
// documents and a few of its packages, and, where the corpus is there, whole
// packages of documentation with their images, archives and examples.
func mixedTree(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	sources := map[string]string{"go-doc": "doc", "go-net": "src/net", "go-debug": "src/debug", "go-image": "src/image", "go-compress": "src/compress", "go-misc": "misc"}
	for name, sub := range sources {
		copyTree(t, filepath.Join(goRoot(t), sub), filepath.Join(dir, name))
	}
	for _, name := range []string{"sqlite3-doc", "debian-policy", "postgresql-doc-15"} {
		copyTree(t, filepath.Join(corpusDir(t), "packages", name), filepath.Join(dir, name))
	}
	return dir
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	if _, err := os.Stat(from); err != nil {
		return // not every distribution has every directory
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		// Links and special files are none of a document.
		if out, err := exec.CommandContext(t.Context(), "cp", "-R", from, to).CombinedOutput(); err != nil {
			t.Fatalf("copying %s: %v: %s", from, err, out)
		}
	}
}

// mediaTypes asks find for the regular files of a tree and file(1) for their
// media types.
func mediaTypes(t *testing.T, tree string) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `find . -type f -print0 | xargs -0 file --mime-type --raw --print0 --print0`)
	cmd.Dir = tree
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("asking file(1): %v", err)
	}
	kinds := map[string]string{}
	fields := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	for i := 0; i+1 < len(fields); i += 2 {
		kinds[strings.TrimPrefix(fields[i], "./")] = fields[i+1]
	}
	return kinds
}
