package extract

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// mustExtract returns the result of a document that has text.
func mustExtract(tb testing.TB, cfg Config, in Input) Result {
	tb.Helper()
	r, err := New(cfg).Extract(context.Background(), in)
	if err != nil {
		tb.Fatalf("extracting %s: %v", in.Name, err)
	}
	return r
}

// htmlText returns the canonical text of a page.
func htmlText(tb testing.TB, body string) string {
	tb.Helper()
	return mustExtract(tb, Config{}, Input{Name: "page.html", Body: []byte(body)}).Text
}

// TestGolden compares every page of testdata with the Markdown beside it.
// TEST_UPDATE=1 writes the files.
func TestGolden(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("testdata/*.html")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages in testdata: %v", err)
	}
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			body, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			got := mustExtract(t, Config{}, Input{Name: page, Body: body}).Text + "\n"
			golden := strings.TrimSuffix(page, ".html") + ".md"
			if os.Getenv("TEST_UPDATE") != "" {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("text of %s:\n%s\nwant:\n%s", page, got, want)
			}
		})
	}
}

func TestExtractFormats(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in                          Input
		format                      Format
		title, text, language, warn string
	}{
		"go source is fenced": {
			in: Input{Name: "cmd/main.go", Body: []byte("package main\n\nfunc main() {}\n")}, format: Source,
			title: "main.go", text: "```go\npackage main\n\nfunc main() {}\n```", language: "simple",
		},
		"the fence is longer than any inside": {
			in: Input{Name: "a.py", Body: []byte("s = '''\n````\n'''")}, format: Source,
			title: "a.py", text: "`````python\ns = '''\n````\n'''\n`````", language: "simple",
		},
		"a script without a name": {
			in: Input{Name: "run", Body: []byte("#!/usr/bin/env -S python3 -u\nprint(1)\n")}, format: Source,
			title: "run", text: "```python\n#!/usr/bin/env -S python3 -u\nprint(1)\n```", language: "simple",
		},
		"json": {
			in: Input{Name: "data", Body: []byte(`{"a": 1}`)}, format: Source,
			title: "data", text: "```json\n{\"a\": 1}\n```", language: "simple",
		},
		"markdown keeps its text and loses front matter and comments": {
			in: Input{Name: "x.md", Body: []byte("---\ntitle: \"Bees\"\ntags: [a]\n---\n<!-- no -->\n# H\n\nThe bees of the roof are in the hive.\n")}, format: Markdown,
			title: "Bees", text: "# H\n\nThe bees of the roof are in the hive.", language: "english",
		},
		"a markdown title is its first heading": {
			in: Input{Name: "x.md", Body: []byte("## Two\n\n```\n# code\n```\n\nOne\n===\n")}, format: Markdown,
			title: "One", text: "## Two\n\n```\n# code\n```\n\nOne\n===", language: "simple",
		},
		"plain text keeps its lines": {
			in: Input{Name: "notes/README", Body: []byte("Die Bienen sind auf dem Dach,  \r\nund der Honig ist nicht für uns.\r\n")}, format: PlainText,
			title: "README", text: "Die Bienen sind auf dem Dach,\nund der Honig ist nicht für uns.", language: "german",
		},
		"the source's media type decides about text": {
			in: Input{Name: "42", MediaType: "text/html; charset=utf-8", Body: []byte("<p>a<p>b")}, format: HTML,
			title: "42", text: "a\n\nb", language: "simple",
		},
		"xhtml served as xml is a page": {
			in: Input{Name: "page.xml", Body: []byte(`<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml"><head><title>T</title></head><body><div/><p>a</p></body></html>`)}, format: HTML,
			title: "T", text: "a", language: "simple",
		},
		"a page without text has its title": {
			in: Input{Name: "x.html", Body: []byte("<title>Moved &amp; gone</title><body></body>")}, format: HTML,
			title: "Moved & gone", text: "# Moved & gone", language: "simple",
		},
		"latin-1 by meta": {
			in: Input{Name: "x.html", Body: []byte("<meta charset=iso-8859-1><p>Bl\xfcte")}, format: HTML,
			title: "x.html", text: "Blüte", language: "simple",
		},
		"shift_jis by hint": {
			in: Input{Name: "x.txt", Charset: "Shift_JIS", Body: []byte("\x93\xfa\x96\x7b\x8c\xea")}, format: PlainText,
			title: "x.txt", text: "日本語", language: "simple",
		},
		"utf-16 by mark": {
			in: Input{Name: "x.txt", Body: []byte("\xff\xfeB\x00l\x00\xfc\x00")}, format: PlainText,
			title: "x.txt", text: "Blü", language: "simple",
		},
		"windows-1252 undeclared": {
			in: Input{Name: "x.txt", Body: []byte("The caf\xe9 \x93quoted\x94")}, format: PlainText,
			title: "x.txt", text: "The café “quoted”", language: "simple", warn: "encoding was not declared",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := mustExtract(t, Config{}, c.in)
			if r.Format != c.format || r.Title != c.title || r.Text != c.text || r.Language != c.language {
				t.Errorf("got %v %q %q %s, want %v %q %q %s", r.Format, r.Title, r.Text, r.Language, c.format, c.title, c.text, c.language)
			}
			if got := strings.Join(r.Warnings, " "); (c.warn == "") != (got == "") || !strings.Contains(got, c.warn) {
				t.Errorf("warnings %q, want %q", got, c.warn)
			}
		})
	}
}

func TestExtractErrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   Input
		want *Error
	}{
		"empty":         {Input{Name: "a.txt"}, ErrEmpty},
		"too large":     {Input{Name: "a.txt", Body: bytes.Repeat([]byte("a"), 1025)}, ErrTooLarge},
		"binary":        {Input{Name: "a.txt", Body: []byte("a\x00b\x01")}, ErrUnsupported},
		"image":         {Input{Name: "a.html", Body: []byte("\x89PNG\r\n\x1a\n\x00\x00")}, ErrUnsupported},
		"svg":           {Input{Name: "a.html", Body: []byte("<svg xmlns='x'><text>a</text></svg>")}, ErrUnsupported},
		"white space":   {Input{Name: "a.txt", Body: []byte(" \n\t\n")}, ErrNoText},
		"a page of css": {Input{Name: "a.html", Body: []byte("<style>p{}</style><script>1</script>")}, ErrNoText},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Config{MaxInput: 1024}).Extract(context.Background(), c.in)
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			for _, other := range []*Error{ErrEmpty, ErrTooLarge, ErrUnsupported, ErrNoText} {
				if other != c.want && errors.Is(err, other) {
					t.Errorf("%v also is %v", err, other)
				}
			}
		})
	}
}

func TestExtractStopsWhenCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := New(Config{}).Extract(ctx, Input{Name: "a.txt", Body: []byte("a")}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestLimitsWarn(t *testing.T) {
	t.Parallel()
	body := []byte(strings.Repeat("word and another ", 1000))
	r := mustExtract(t, Config{MaxLine: 300}, Input{Name: "a.txt", Body: body})
	if strings.Join(strings.Fields(r.Text), " ") != strings.Join(strings.Fields(string(body)), " ") {
		t.Error("breaking lines changed the words")
	}
	for line := range strings.SplitSeq(r.Text, "\n") {
		if len(line) > 300 {
			t.Errorf("a line of %d bytes is left", len(line))
		}
	}
	if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "Lines longer than 300 bytes") {
		t.Errorf("warnings %q", r.Warnings)
	}
	for _, in := range []Input{{Name: "a.txt", Body: bytes.Repeat([]byte("Blüte\n"), 400)}, {Name: "a.html", Body: bytes.Repeat([]byte("<p>Blüte</p>"), 400)}} {
		r = mustExtract(t, Config{MaxText: 1000}, in)
		if len(r.Text) > 1000 || len(r.Text) < 900 || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], "cut off after 1000") {
			t.Errorf("%s: %d bytes, warnings %q", in.Name, len(r.Text), r.Warnings)
		}
		if Clean(r.Text) != r.Text {
			t.Errorf("%s: the cut text is not clean", in.Name)
		}
	}
}

func TestBreaksStayWhereTheyWere(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 20_000 {
		b.WriteString(strings.Repeat("x", i%7+1))
		b.WriteByte(byte('a' + i*i%26))
		b.WriteByte(' ')
	}
	long := b.String()
	before, _ := capLines(long, 1000)
	after, _ := capLines("an edit at the very start "+long, 1000)
	lines := map[string]bool{}
	for line := range strings.SplitSeq(before, "\n") {
		lines[line] = true
	}
	moved := 0
	for line := range strings.SplitSeq(after, "\n") {
		if !lines[line] {
			moved++
		}
	}
	if moved > 12 {
		t.Errorf("%d of %d lines moved after an edit at the start", moved, len(lines))
	}
}

func TestLanguage(t *testing.T) {
	t.Parallel()
	for want, text := range map[string]string{
		"english":    "The roof of the house is where bees are kept, and it has to be strong enough for all of them.",
		"german":     "Das Dach des Hauses ist der Ort, an dem die Bienen gehalten werden, und es muss stark genug für alle sein.",
		"french":     "Le toit de la maison est le lieu où les abeilles sont gardées, et il doit être assez fort pour toutes.",
		"spanish":    "El tejado de la casa es el lugar donde se crían las abejas, y tiene que ser fuerte para todas ellas, pero no más.",
		"italian":    "Il tetto della casa è il luogo in cui sono tenute le api, e deve essere abbastanza forte per tutte, ma non di più.",
		"portuguese": "O telhado da casa é o lugar onde as abelhas são criadas, e tem de ser forte para todas elas, mas não mais do que isso.",
		"dutch":      "Het dak van het huis is de plaats waar de bijen worden gehouden, en het moet sterk genoeg zijn voor alle bijen die er zijn.",
		"swedish":    "Taket på huset är den plats där bina hålls, och det måste vara starkt nog för alla som är i det.",
		"russian":    "Крыша дома — это место, где держат пчёл, и она должна быть прочной для всех, кто на ней есть.",
		"simple":     "min_impl tail_mean a la mode 12 34 kg std::vector<int> x; y; z",
	} {
		if got := detectLanguage(text, "", proseShare); got != want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
	if got := detectLanguage("```go\nfor the in of and to is that\n```", "", proseShare); got != simple {
		t.Errorf("code is %s, want %s", got, simple)
	}
}
