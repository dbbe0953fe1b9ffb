package extract

import (
	"bytes"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestSniff(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		file, head string
		format     Format
		mediaType  string
	}{
		"empty":                    {"a.html", "", Unknown, "inode/x-empty"},
		"one byte":                 {"a.txt", "a", Unknown, "application/octet-stream"},
		"html by name":             {"a.HTM", "hello", HTML, "text/html"},
		"html by content":          {"index", " <!-- c -->\n<!DOCTYPE HTML>", HTML, "text/html"},
		"html without a doctype":   {"page.txt", "<html>\n", HTML, "text/html"},
		"xhtml":                    {"a.xml", `<?xml version="1.0"?><!DOCTYPE html><!-- <x> --><html xmlns="x">`, HTML, "text/html"},
		"xml":                      {"a.xml", `<?xml version="1.0"?><feed>`, Source, "text/xml"},
		"xml without a name":       {"a", `<?xml version="1.0"?><htmlx>`, Source, "text/xml"},
		"svg":                      {"a.xml", `<?xml version="1.0"?><!DOCTYPE svg><svg>`, Unknown, "image/svg+xml"},
		"markdown":                 {"README.md", "# a", Markdown, "text/markdown"},
		"a script that has html":   {"a.js", "<html>", Source, "application/javascript"},
		"a makefile":               {"src/Makefile", "all:\n", Source, "text/x-makefile"},
		"a shebang":                {"run", "#!/usr/bin/perl -w\n", Source, "text/x-perl"},
		"json":                     {"a.json", "[]", Source, "application/json"},
		"json by content":          {"a", "[ {\n \"a\": 1", Source, "application/json"},
		"csv":                      {"a.csv", "a,b\n", Source, "text/csv"},
		"text":                     {"NEWS", "a\x1b[1m b\f", PlainText, "text/plain"},
		"text in latin-1":          {"NEWS", "\xe9t\xe9", PlainText, "text/plain"},
		"text in utf-16":           {"NEWS", "\xfe\xff\x00a\x00b", PlainText, "text/plain"},
		"pdf under any name":       {"a.txt", "%PDF-1.4\n", PDF, "application/pdf"},
		"a nul":                    {"a.txt", "a\x00b", Unknown, "application/octet-stream"},
		"a nul where nobody looks": {"a.txt", strings.Repeat("a", SniffLen) + "\x00", PlainText, "text/plain"},
		"gzip":                     {"a.txt.gz", "\x1f\x8b\x08\x00", Unknown, "application/gzip"},
		"png":                      {"a", "\x89PNG\r\n\x1a\n\x00", Unknown, "image/png"},
		"postscript":               {"a.ps", "%!PS-Adobe", Unknown, "application/postscript"},
		"a text image":             {"a.pbm", "P1\n# c\n2 2", Unknown, "image/x-portable-anymap"},
		"a key":                    {"a.asc", "-----BEGIN PGP PUBLIC KEY BLOCK-----", Unknown, "application/pgp-keys"},
		"json with a delete":       {"a.json", "{\"a\":\"\x7f\"}", Source, "application/json"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			format, mediaType, ok := Sniff(c.file, []byte(c.head))
			if format != c.format || mediaType != c.mediaType || ok != (c.format != Unknown) {
				t.Errorf("Sniff(%q, %q) = %v, %s, %v; want %v, %s", c.file, c.head, format, mediaType, ok, c.format, c.mediaType)
			}
			if format.String() == "invalid" {
				t.Errorf("format %d has no name", format)
			}
		})
	}
}

// isDocument reports whether file(1) counts a media type as a document.
func isDocument(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/x-ndjson", "application/javascript", "application/pdf", "application/xml",
		"application/xhtml+xml", "application/x-subrip", "application/x-wine-extension-ini":
		return true
	default:
		return strings.HasPrefix(mediaType, "text/") ||
			strings.HasPrefix(mediaType, "application/x-") && strings.HasSuffix(mediaType, "script")
	}
}

// TestSniffAgreesWithFile compares with file(1) over real files: those below
// TEST_CORPUS, or some of the Go distribution.
func TestSniffAgreesWithFile(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("file")
	if err != nil {
		if os.Getenv("TEST_REQUIRE") != "" {
			t.Fatal("file(1) is not installed, and TEST_REQUIRE forbids to skip")
		}
		t.Skip("file(1) is not installed")
	}
	root := os.Getenv("TEST_CORPUS")
	if root == "" {
		root = filepath.Join(runtime.GOROOT(), "src", "cmd", "go") //nolint:staticcheck // the tree the tests run with
	}
	var names []string
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.Contains(path, "\n") {
			names = append(names, path)
		}
		return err
	})
	if err != nil || len(names) == 0 {
		t.Skipf("no files below %s: %v", root, err)
	}
	cmd := exec.CommandContext(t.Context(), tool, "--mime-type", "--brief", "--files-from", "-")
	cmd.Stdin = strings.NewReader(strings.Join(names, "\n") + "\n")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	types := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(types) != len(names) {
		t.Fatalf("file(1) answers %d lines for %d files", len(types), len(names))
	}
	differ := 0
	for i, name := range names {
		if _, mediaType, ok := Sniff(name, readHead(t, name)); ok != isDocument(types[i]) {
			differ++
			t.Logf("%s: file says %s, Sniff %s", name, types[i], mediaType)
		}
	}
	// file(1) takes a few texts for other things by their first letters.
	if differ > len(names)/2000 {
		t.Errorf("%d of %d files are judged differently", differ, len(names))
	}
}

func readHead(tb testing.TB, name string) []byte {
	tb.Helper()
	f, err := os.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			tb.Error(err)
		}
	}()
	var head bytes.Buffer
	if _, err := io.Copy(&head, io.LimitReader(f, SniffLen)); err != nil {
		tb.Fatal(err)
	}
	return head.Bytes()
}
