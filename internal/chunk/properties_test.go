package chunk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"tributary/internal/chunk"
)

// failer is what rapid.T and testing.T have in common.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check holds the promises of Split against one answer.
func check(t failer, text string, cfg chunk.Config, cs []chunk.Chunk) {
	t.Helper()
	limit := cfg.MaxTokens
	if limit == 0 {
		limit = chunk.DefaultMaxTokens
	}
	end, endCP := 0, 0
	for i, c := range cs {
		if c.Start < end || c.End <= c.Start || c.End > len(text) {
			t.Fatalf("chunk %d covers [%d,%d) after %d of %d", i, c.Start, c.End, end, len(text))
		}
		if c.Text != text[c.Start:c.End] {
			t.Fatalf("chunk %d is not text[%d:%d]", i, c.Start, c.End)
		}
		if gap := text[end:c.Start]; strings.TrimFunc(gap, unicode.IsSpace) != "" {
			t.Fatalf("no chunk covers %q before chunk %d", gap, i)
		}
		if first, _, _ := strings.Cut(c.Text, "\n"); strings.TrimSpace(first) == "" {
			t.Fatalf("chunk %d starts with a blank line: %q", i, c.Text)
		}
		if strings.TrimRightFunc(c.Text, unicode.IsSpace) != c.Text {
			t.Fatalf("chunk %d ends with a blank: %q", i, c.Text)
		}
		if cp := endCP + utf8.RuneCountInString(text[end:c.Start]); c.StartCP != cp || c.EndCP != cp+utf8.RuneCountInString(c.Text) {
			t.Fatalf("chunk %d has code points [%d,%d), want [%d,%d)", i, c.StartCP, c.EndCP, cp, cp+utf8.RuneCountInString(c.Text))
		}
		if utf8.ValidString(text) && !utf8.ValidString(c.Text+c.Context) {
			t.Fatalf("chunk %d cuts a character", i)
		}
		if n := chunk.EstimateTokens(chunk.Input(c.Context, c.Text)); c.Tokens != n || n > limit {
			t.Fatalf("chunk %d says %d tokens and has %d; the limit is %d: %q", i, c.Tokens, n, limit, c.Text)
		}
		end, endCP = c.End, c.EndCP
	}
	if rest := text[end:]; strings.TrimFunc(rest, unicode.IsSpace) != "" {
		t.Fatalf("no chunk covers %q at the end", rest)
	}
}

// pieces are what hostile Markdown is made of.
var pieces = []string{
	"# Heading\n", "## Two ##\n", "Setext\n======\n", "Setext\n---\n", "#\n", "\n", "\n\n", " \t\n", "word ", "A sentence ends. ", "Übung macht den Meister! ", "e.g. ",
	"- item\n", "  - nested\n", "1. first\n", "| a | b |\n|---|---|\n", "| 1 | 2 |\n", "```go\n", "```\n", "~~~\n", "````\n", "func f() {\n\treturn\n}\n", "***\n", "---\n",
	"> quote\n", "    indented\n", "日本語の文章。", "😀😀", "a\u0301", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "0123456789", "1 2 3 ", "-=-=", "|", "\r\n", "\u00a0", "\u2028", "\\", "[link](http://example.org) ", "\x00", "\xff\xe2\x82",
}

func document(t *rapid.T) string {
	var b strings.Builder
	for range rapid.IntRange(0, 60).Draw(t, "pieces") {
		p := rapid.SampledFrom(pieces).Draw(t, "piece")
		n := 1
		if rapid.IntRange(0, 9).Draw(t, "repeat") == 0 {
			n = rapid.IntRange(1, 400).Draw(t, "times")
		}
		b.WriteString(strings.Repeat(p, n))
	}
	return b.String()
}

func TestSplitKeepsItsPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := document(t)
		cfg := chunk.Config{TargetTokens: rapid.IntRange(0, 600).Draw(t, "target"), MaxTokens: rapid.SampledFrom([]int{0, 64, 65, 100, 480, 2000}).Draw(t, "max")}
		var pages []chunk.Page
		for i := 0; i < len(text); i += rapid.IntRange(1, 3000).Draw(t, "page") {
			pages = append(pages, chunk.Page{Number: len(pages) + 1, Start: i})
		}
		cs := chunk.Split(text, pages, cfg)
		check(t, text, cfg, cs)
		if again := chunk.Split(strings.Clone(text), pages, cfg); !reflect.DeepEqual(cs, again) {
			t.Fatalf("a second call answers differently")
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add(strings.Join(pieces, ""), 0)
	f.Add(strings.Repeat(strings.Join(pieces, "\n"), 9), 64)
	f.Add(strings.Repeat("x", 9000), 100)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		cfg := chunk.Config{MaxTokens: 64 + max(limit%1000, -limit%1000)}
		check(t, text, cfg, chunk.Split(text, []chunk.Page{{1, 0}, {2, len(text) / 2}}, cfg))
	})
}

func TestEstimateOfAWholeIsAtMostThatOfItsParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := document(t)
		if text == "" {
			return
		}
		i := rapid.IntRange(0, len(text)).Draw(t, "at")
		for i > 0 && i < len(text) && (!utf8.RuneStart(text[i]) || text[i] <= ' ' && text[i-1] != '\n') {
			i--
		}
		whole, parts := chunk.EstimateTokens(text), chunk.EstimateTokens(text[:i])+chunk.EstimateTokens(text[i:])
		if whole > parts {
			t.Fatalf("%d > %d at %d of %q", whole, parts, i, text)
		}
	})
}

// corpus calls do with each file under TEST_TEXTS, by default the project's own
// pages and code, without what others wrote and what is generated.
func corpus(t testing.TB, do func(name, text string)) {
	t.Helper()
	root := os.Getenv("TEST_TEXTS")
	if root == "" {
		root = filepath.Join("..", "..")
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "bin" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(path, "_templ.go") {
			return err
		}
		data, err := os.ReadFile(path)
		if err == nil && utf8.Valid(data) {
			do(path, string(data))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSplitKeepsItsPromisesOnRealFiles(t *testing.T) {
	t.Parallel()
	files, chunks, bytes := 0, 0, 0
	corpus(t, func(name, text string) {
		cs := chunk.Split(text, nil, chunk.Config{})
		check(t, text, chunk.Config{}, cs)
		files, chunks = files+1, chunks+len(cs)
		for _, c := range cs {
			bytes += len(c.Text)
		}
	})
	t.Logf("%d files, %d chunks of %d bytes on average", files, chunks, bytes/max(chunks, 1))
}

func BenchmarkSplit(b *testing.B) {
	var all []string
	size := 0
	if os.Getenv("TEST_TEXTS") != "" {
		corpus(b, func(_, text string) {
			if size < 16<<20 {
				all, size = append(all, text), size+len(text)
			}
		})
	} else {
		all = []string{prose(1, 4000)}
		size = len(all[0])
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		for _, text := range all {
			chunk.Split(text, nil, chunk.Config{})
		}
	}
}

func BenchmarkEstimateTokens(b *testing.B) {
	text := prose(1, 1000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		chunk.EstimateTokens(text)
	}
}
