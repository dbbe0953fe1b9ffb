package acceptance

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/internal/embed/embedtest"
	"tributary/internal/pgtest"
	"tributary/jobs"
	"tributary/store"
)

// paid is a site whose only profile is an endpoint that counts what it is sent.
func paid(t *testing.T) (*site, *embedtest.Server) {
	t.Helper()
	server := embedtest.New(embedtest.Options{Dimensions: 16})
	t.Cleanup(server.Close)
	return newSite(t, store.Profile{Name: "remote", Kind: store.ProfileOpenAI, Model: "test", Dimensions: 16, URL: server.URL}), server
}

func (s *site) drain() {
	s.t.Helper()
	if err := s.runner.DrainHere(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

// longText returns n sections of prose that differ.
func longText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "## Section %d of the handbook\n\nThe paragraph of section %d is about matter %d. ", i, i, i*17)
		fmt.Fprintf(&b, "Whoever reads it learns that item %d weighs %d grams, and that nobody may move it before hour %d.\n\n", i, i*31+5, i%24)
	}
	return b.String()
}

// goSpec is a real page of more than 200 chunks that every Go has.
func goSpec(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(goRoot(t), "doc", "go_spec.html"))
	require(t, err == nil, "no doc/go_spec.html in the Go distribution: %v", err)
	return string(text)
}

func TestOneEditedParagraphIsEmbeddedAlone(t *testing.T) {
	t.Parallel()
	spec := goSpec(t)
	for name, c := range map[string]struct{ file, text, edited string }{
		"markdown of 200 chunks":                 {"long.md", longText(200), strings.Replace(longText(200), "item 120 weighs", "the hundred-and-twentieth item weighs", 1)},
		"the Go specification":                   {"spec.html", spec, strings.Replace(spec, "Slices of a recursively", "Every slice of a recursively", 1)},
		"the Go specification's first paragraph": {"spec.html", spec, strings.Replace(spec, "This is the reference manual for", "What follows is the one reference manual of", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.text == c.edited {
				c.edited = editMiddleParagraph(t, c.text)
			}
			dir := t.TempDir()
			write(t, filepath.Join(dir, c.file), c.text)
			s, server := paid(t)
			conn := s.connect(dir)
			first := s.must(conn, store.Content, store.RunSucceeded)
			s.drain()
			if first.Counts.ChunksWritten < 200 {
				t.Fatalf("the document has %d chunks, want 200 or more", first.Counts.ChunksWritten)
			}
			before := total(server.Computed())
			write(t, filepath.Join(dir, c.file), c.edited)
			second := s.must(conn, store.Content, store.RunSucceeded)
			s.drain()
			sent := total(server.Computed()) - before
			if sent < 1 || sent > 3 {
				t.Errorf("one edited paragraph in a document of %d chunks sent %d texts to embed, want 1 to 3", first.Counts.ChunksWritten, sent)
			}
			t.Logf("%d chunks: %d written, %d texts embedded", first.Counts.ChunksWritten, second.Counts.ChunksWritten, sent)
			wantWhole(t, s.db.Owner)
		})
	}
}

// editMiddleParagraph adds a word to a paragraph in the middle of a page.
func editMiddleParagraph(t *testing.T, html string) string {
	t.Helper()
	i := strings.Index(html[len(html)/2:], "<p>\n")
	if i < 0 {
		t.Fatal("the page has no paragraph in its second half")
	}
	i += len(html)/2 + len("<p>\n")
	return html[:i] + "Indeed: " + html[i:]
}

func total(counts map[string]int) int {
	n := 0
	for v := range maps.Values(counts) {
		n += v
	}
	return n
}

func TestInsertionAtTheStartMovesNoChunk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "long.md")
	text := longText(2600)
	write(t, path, text)
	s := newSite(t, jobs.BuiltinProfile())
	conn := s.connect(dir)
	first := s.must(conn, store.Content, store.RunSucceeded)
	if first.Counts.ChunksWritten < 2500 {
		t.Fatalf("the document has %d chunks, want 2,500 or more", first.Counts.ChunksWritten)
	}
	insertion := "Forty characters that come before it all"
	write(t, path, insertion+"\n\n"+text)
	c := s.must(conn, store.Content, store.RunSucceeded).Counts
	if c.Updated != 1 || c.ChunksWritten < 1 || c.ChunksWritten > 3 {
		t.Errorf("%d characters before %d chunks: %+v, want 1 to 3 chunks written", len(insertion), first.Counts.ChunksWritten, c)
	}
	wantWhole(t, s.db.Owner)
}

func TestSameSizeEditWithRestoredTimeIsFound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "note.txt")
	write(t, path, "The meeting is on Monday at nine.\n")
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, jobs.BuiltinProfile())
	conn := s.connect(dir)
	s.must(conn, store.Content, store.RunSucceeded)
	write(t, path, "The meeting is on Friday at nine.\n")
	if err := os.Chtimes(path, time.Time{}, info.ModTime()); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(path)
	if err != nil || after.Size() != info.Size() || !after.ModTime().Equal(info.ModTime()) {
		t.Fatalf("size and mtime are not those of before: %v, %v, %v", info, after, err)
	}
	if c := s.must(conn, store.Content, store.RunSucceeded).Counts; c.Updated != 1 {
		t.Errorf("the edit was not found: %+v", c)
	}
	if text := scalar[string](t, s.db.Owner, `SELECT text FROM revision WHERE text IS NOT NULL`); !strings.Contains(text, "Friday") {
		t.Errorf("stored text is %q", text)
	}
}

func TestRenameSendsNothingToEmbed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "before.md"), longText(40))
	write(t, filepath.Join(dir, "other.md"), "# Other\n\nIt stays where it is.\n")
	s, server := paid(t)
	conn := s.connect(dir)
	s.must(conn, store.Content, store.RunSucceeded)
	s.drain()
	before := total(server.Computed())
	if before == 0 {
		t.Fatal("nothing was embedded")
	}
	if err := os.Rename(filepath.Join(dir, "before.md"), filepath.Join(dir, "after.md")); err != nil {
		t.Fatal(err)
	}
	c := s.must(conn, store.Content, store.RunSucceeded).Counts
	s.drain()
	if sent := total(server.Computed()) - before; sent != 0 {
		t.Errorf("a rename sent %d texts to embed", sent)
	}
	if c.Added != 1 || c.VectorsReused != c.ChunksWritten || c.ChunksWritten == 0 {
		t.Errorf("a rename counted %+v", c)
	}
	wantWhole(t, s.db.Owner)
}

// A row that was written again has another place or transaction.
func TestChmodWritesNoChunkAndNoVector(t *testing.T) {
	t.Parallel()
	dir := openDir(t)
	for i := range 20 {
		write(t, filepath.Join(dir, fmt.Sprintf("page-%02d.md", i)), fmt.Sprintf("# Page %d\n\nWhat stands on page %d.\n", i, i))
	}
	s := newSite(t, jobs.BuiltinProfile())
	conn := s.connect(dir)
	s.must(conn, store.Content, store.RunSucceeded)
	s.must(conn, store.Permissions, store.RunSucceeded)
	rows := func(table string) string {
		return scalar[string](t, s.db.Owner, `SELECT string_agg(ctid::text || xmin::text, ',' ORDER BY ctid) FROM `+table)
	}
	chunks, vectors := rows("chunk"), rows("vec_1")
	me := s.me(conn)
	everybody := pgtest.Scalar[int64](t, s.db, `SELECT count(DISTINCT acl_set_id) FROM document`)
	for i := range 10 {
		if err := os.Chmod(filepath.Join(dir, fmt.Sprintf("page-%02d.md", i)), 0o200); err != nil {
			t.Fatal(err)
		}
	}
	c := s.must(conn, store.Permissions, store.RunSucceeded).Counts
	if rows("chunk") != chunks || rows("vec_1") != vectors {
		t.Error("a chmod wrote chunk or vector rows")
	}
	if c.ACLChanged != 10 || everybody != 1 {
		t.Errorf("%d documents changed permissions, want 10 (before, there were %d ACLs, want 1)", c.ACLChanged, everybody)
	}
	n, _, err := s.store.VisibleCount(t.Context(), me, store.Filters{})
	if err != nil {
		t.Fatal(err)
	}
	want := int64(10)
	if syscall.Geteuid() == 0 {
		want = 20 // uid 0 reads everything
	}
	if n != want {
		t.Errorf("after chmod 0200 on 10 of 20 files their owner sees %d, want %d", n, want)
	}
	nobody := s.as(conn, "uid:65534")
	if n, _, err := s.store.VisibleCount(t.Context(), nobody, store.Filters{}); err != nil || n != 10 {
		t.Errorf("another account sees %d (%v), want 10", n, err)
	}
}

// Line endings and a byte order mark are not text.
func TestCanonicalTextIsWhatCounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "note.md")
	write(t, path, longText(5))
	s := newSite(t, jobs.BuiltinProfile())
	conn := s.connect(dir)
	s.must(conn, store.Content, store.RunSucceeded)
	body, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write(t, path, "\xef\xbb\xbf"+string(bytes.ReplaceAll(body, []byte("\n"), []byte("\r\n"))))
	if c := s.must(conn, store.Content, store.RunSucceeded).Counts; c.ChunksWritten != 0 || c.VectorsMade != 0 {
		t.Errorf("other line endings counted %+v", c)
	}
}
