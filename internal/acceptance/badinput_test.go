package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/folder"
	"tributary/internal/extract"
	"tributary/jobs"
	"tributary/store"
)

func TestMissingPathIsSaid(t *testing.T) {
	t.Parallel()
	s := newSite(t, jobs.BuiltinProfile())
	missing := filepath.Join(t.TempDir(), "nowhere")
	conn := s.connect(missing)
	run := s.must(conn, store.Content, store.RunFailed)
	if run.ErrorClass != connectors.Invalid.String() || !strings.Contains(run.Error, missing) {
		t.Errorf("a missing path ended with class %s: %s", run.ErrorClass, run.Error)
	}
	if c, err := s.store.Connection(t.Context(), conn.Name); err != nil || c.State != store.StateConfigError || !strings.Contains(c.StateReason, missing) {
		t.Errorf("the connection is %s: %s (%v)", c.State, c.StateReason, err)
	}
	if err := os.MkdirAll(missing, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(missing, "note.md"), "# Here\n\nIt came back.\n")
	if c := s.must(conn, store.Content, store.RunSucceeded).Counts; c.Added != 1 {
		t.Errorf("after the path was made: %+v", c)
	}
}

// Whatever stands in a tree, each bad file has its reason and the rest is
// synced.
func TestBadFilesHaveReasons(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	const good = 25
	for i := range good {
		write(t, filepath.Join(dir, "good", fmt.Sprintf("page-%02d.md", i)), fmt.Sprintf("# Page %d\n\nGood text.\n", i))
	}
	write(t, filepath.Join(dir, "bad", "nul.txt"), "text with \x00 bytes \x00 in it, as no text has")
	write(t, filepath.Join(dir, "bad", "nul.html"), "<html><body><h1>With NUL</h1><p>before \x00 after</p></body></html>")
	write(t, filepath.Join(dir, "bad", "broken.pdf"), "%PDF-1.7\n1 0 obj\n<< /Type /Catalog >>\nstream\nnever ends")
	write(t, filepath.Join(dir, "bad", "empty.txt"), "")
	write(t, filepath.Join(dir, "bad", "utf8.txt"), "begins well \xff\xfe\xfa and ends badly: caf\xe9\n")
	write(t, filepath.Join(dir, "latin1.html"), "<html><head><meta charset=\"iso-8859-1\"></head><body><h1>Stra\xdfe</h1><p>Caf\xe9 und \xfcber</p></body></html>")
	sparse(t, filepath.Join(dir, "bad", "huge.txt"), 5<<30)
	sparse(t, filepath.Join(dir, "bad", "huge.html"), 5<<30)
	loops(t, dir)

	s := newSite(t, jobs.BuiltinProfile())
	conn := s.connect(dir)
	run := s.must(conn, store.Content, store.RunPartial, store.RunSucceeded)
	stored := s.texts()
	reasons := s.reasons(conn)
	for path, want := range map[string]string{
		"bad/nul.txt": "not a document", "bad/broken.pdf": "PDF", "bad/empty.txt": "empty", "bad/huge.txt": "larger than", "bad/huge.html": "larger than",
	} {
		if got, ok := reasons[path]; !ok || !strings.Contains(got, want) {
			t.Errorf("%s is listed with %q, want a reason with %q", path, got, want)
		}
		if _, ok := stored[path]; ok {
			t.Errorf("%s is a document", path)
		}
	}
	if text, ok := stored["bad/nul.html"]; (!ok && reasons["bad/nul.html"] == "") || strings.ContainsRune(text, 0) {
		t.Errorf("bad/nul.html is neither a document without NUL nor listed with a reason: %q", text)
	}
	if text := stored["latin1.html"]; !strings.Contains(text, "Straße") || !strings.Contains(text, "Café und über") {
		t.Errorf("the Latin-1 page reads %q", text)
	}
	if text := stored["bad/utf8.txt"]; !strings.Contains(text, "begins well") || !strings.Contains(text, "ends badly: café") {
		t.Errorf("text that is not UTF-8 reads %q (%s)", text, reasons["bad/utf8.txt"])
	}
	n := 0
	for path := range stored {
		if strings.HasPrefix(path, "good/") {
			n++
		}
		if strings.Count(path, "good/") > 1 || strings.Contains(path, "again") {
			t.Errorf("a loop was followed: %s", path)
		}
	}
	if n != good {
		t.Errorf("%d good documents are stored, want %d; the run ended %s: %s", n, good, run.State, run.Error)
	}
	wantWhole(t, s.db.Owner)
}

// sparse makes a file that says to be large and takes no room.
func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	write(t, path, "A file that begins like text.\n")
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}

// texts are the stored documents by path.
func (s *site) texts() map[string]string {
	s.t.Helper()
	out := map[string]string{}
	rows, err := s.db.Owner.Query(s.t.Context(), `SELECT d.external_id, r.text FROM document d JOIN revision r ON r.document_id = d.id AND r.number = d.revision WHERE d.hidden_reason IS NULL`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			s.t.Fatal(err)
		}
		out[id] = text
	}
	return out
}

// A file that is listed and gone when it is opened is no failure of the rest.
func TestFileDeletedWhileListing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	const good = 20
	for i := range good {
		write(t, filepath.Join(dir, fmt.Sprintf("page-%02d.md", i)), fmt.Sprintf("# Page %d\n\nIt stays.\n", i))
	}
	victim := filepath.Join(dir, "page-07-victim.md")
	write(t, victim, "# Victim\n\nGone between the listing and the reading.\n")
	write(t, filepath.Join(dir, "zz-last.unknown"), "The name tells nothing, so the content is asked while the page is made.\n")
	s := newSite(t, jobs.BuiltinProfile())
	source := folder.New(folder.Config{Realm: "acceptance", Sniff: func(name string, head []byte) (string, bool, string) {
		if strings.HasSuffix(name, ".unknown") {
			_ = os.Remove(victim)
		}
		return sniff(name, head)
	}})
	runner, err := jobs.New(jobs.Config{
		Store: s.store, Extractor: extract.New(extract.Config{}), Connectors: map[string]connectors.Connector{folder.Source: source},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.runner = runner
	conn := s.connect(dir)
	run := s.must(conn, store.Content, store.RunSucceeded, store.RunPartial)
	if _, err := os.Stat(victim); err == nil {
		t.Fatal("the victim was not deleted during the listing")
	}
	if n := len(s.texts()); n != good+1 {
		t.Errorf("%d documents are stored, want %d; the run ended %s: %s, reasons %v", n, good+1, run.State, run.Error, s.reasons(conn))
	}
	s.must(conn, store.Content, store.RunSucceeded, store.RunPartial)
	if _, ok := s.texts()["page-07-victim.md"]; ok {
		t.Error("the deleted file is a document")
	}
	wantWhole(t, s.db.Owner)
}
