package extract

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// pdfFile builds a PDF: one page for each slice of lines, an outline entry for
// each title that leads to the page of the same index, and entries for the
// trailer.
func pdfFile(pages [][]string, titles []string, trailer string) []byte {
	var objects []string
	add := func(body string) int { objects = append(objects, body); return len(objects) }
	catalog := add("")
	tree := add("")
	font := add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>")
	var kids []string
	for _, lines := range pages {
		var c strings.Builder
		c.WriteString("BT /F1 12 Tf 72 720 Td 14 TL\n")
		for _, line := range lines {
			fmt.Fprintf(&c, "(%s) Tj T*\n", strings.NewReplacer("(", `\(`, ")", `\)`, `\`, `\\`).Replace(line))
		}
		c.WriteString("ET")
		stream := add(fmt.Sprintf("<< /Length %d >>\nstream\n%s\nendstream", c.Len(), c.String()))
		kids = append(kids, fmt.Sprintf("%d 0 R", add(fmt.Sprintf(
			"<< /Type /Page /Parent %d 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources << /Font << /F1 %d 0 R >> >> >>", tree, stream, font))))
	}
	outline := ""
	if len(titles) > 0 {
		root := add("")
		first := len(objects) + 1
		for i, title := range titles {
			next := ""
			if i+1 < len(titles) {
				next = fmt.Sprintf("/Next %d 0 R", first+i+1)
			}
			add(fmt.Sprintf("<< /Title (%s) /Parent %d 0 R /Dest [%s /Fit] %s >>", title, root, kids[min(i, len(kids)-1)], next))
		}
		objects[root-1] = fmt.Sprintf("<< /Type /Outlines /First %d 0 R /Last %d 0 R >>", first, first+len(titles)-1)
		outline = fmt.Sprintf("/Outlines %d 0 R", root)
	}
	if before, info, ok := strings.Cut(trailer, "/Info "); ok { // has to be an object of its own
		trailer = fmt.Sprintf("%s/Info %d 0 R", before, add(info))
	}
	objects[catalog-1] = fmt.Sprintf("<< /Type /Catalog /Pages %d 0 R %s >>", tree, outline)
	objects[tree-1] = fmt.Sprintf("<< /Type /Pages /Kids [%s] /Count %d >>", strings.Join(kids, " "), len(kids))
	return writePDF(objects, trailer)
}

// writePDF numbers the objects and adds the cross-reference table.
func writePDF(objects []string, trailer string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.5\n")
	offsets := make([]int, len(objects))
	for i, body := range objects {
		offsets[i] = b.Len()
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", i+1, body)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(objects)+1)
	for _, offset := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", offset)
	}
	fmt.Fprintf(&b, "trailer << /Size %d /Root 1 0 R %s >>\nstartxref\n%d\n%%%%EOF\n", len(objects)+1, trailer, xref)
	return b.Bytes()
}

// pdfExtractor is shared by the tests below: the engine takes seconds to
// compile.
func pdfExtractor(tb testing.TB, cfg Config) *Extractor {
	tb.Helper()
	e := New(cfg)
	tb.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			tb.Errorf("closing: %v", err)
		}
	})
	return e
}

func TestPDF(t *testing.T) {
	t.Parallel()
	cache := t.TempDir()
	e := pdfExtractor(t, Config{CacheDir: cache, PDFInstances: 2})

	t.Run("pages, headings and title", func(t *testing.T) {
		t.Parallel()
		body := pdfFile([][]string{
			{"Bees on a roof", "They need water and shade in the summer.", "# 12"},
			{"2.1 Tools of the keeper", "A smoker, a hive tool and a veil are all.", "2"},
		}, []string{"Bees on a roof", "Tools of the keeper"}, "/Info << /Title (The bee book) >>")
		r, err := e.Extract(context.Background(), Input{Name: "b.pdf", Body: body})
		if err != nil {
			t.Fatal(err)
		}
		want := "# Bees on a roof\n\nThey need water and shade in the summer.\n\\# 12\n\n# 2.1 Tools of the keeper\n\nA smoker, a hive tool and a veil are all."
		if r.Text != want || r.Title != "The bee book" || r.Format != PDF || r.Language != "english" {
			t.Errorf("got %q %q %v %s, want %q", r.Title, r.Text, r.Format, r.Language, want)
		}
		if len(r.Pages) != 2 || r.Pages[0] != (Page{1, 0}) || r.Pages[1].Number != 2 || !strings.HasPrefix(r.Text[r.Pages[1].Start:], "# 2.1 Tools") {
			t.Errorf("pages %v", r.Pages)
		}
	})
	t.Run("running lines and numbered headings", func(t *testing.T) {
		t.Parallel()
		var pages [][]string
		for i := range 6 {
			pages = append(pages, []string{
				"The bee book, volume 1", fmt.Sprintf("%d.1. Chapter about %c", i, 'a'+i), fmt.Sprintf("What %d bees do ......... in %c", i, 'a'+i),
				"and more of it here", "and there", fmt.Sprintf("Page %d", i),
			})
		}
		r, err := e.Extract(context.Background(), Input{Name: "b.pdf", Body: pdfFile(pages, nil, "")})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(r.Text, "volume") || strings.Contains(r.Text, "Page") || !strings.Contains(r.Text, "## 3.1. Chapter about d\n\nWhat 3 bees do … in d\n") {
			t.Errorf("text %q", r.Text)
		}
	})
	t.Run("pages without text are counted", func(t *testing.T) {
		t.Parallel()
		body := pdfFile([][]string{{"There is enough text on this page."}, {}, {"x"}}, nil, "")
		r, err := e.Extract(context.Background(), Input{Name: "b.pdf", Body: body})
		if err != nil || r.ImageOnlyPages != 2 || len(r.Pages) != 3 || !strings.Contains(strings.Join(r.Warnings, ""), "2 of 3 pages are images") {
			t.Errorf("%d image only, pages %v, warnings %q, %v", r.ImageOnlyPages, r.Pages, r.Warnings, err)
		}
	})
	for name, c := range map[string]struct {
		body []byte
		want *Error
	}{
		"images only": {pdfFile([][]string{{}, {}}, nil, ""), ErrImageOnly},
		"broken":      {[]byte("%PDF-1.7\n1 0 obj\n<<"), ErrBroken},
		"encrypted": {pdfFile([][]string{{"secret"}}, nil,
			"/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O <"+strings.Repeat("a1", 32)+"> /U <"+strings.Repeat("b2", 32)+"> >> /ID [<00> <00>]"), ErrEncrypted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r, err := e.Extract(context.Background(), Input{Name: "b.pdf", Body: c.body}); !errors.Is(err, c.want) {
				t.Errorf("text %q, error %v, want %v", r.Text, err, c.want)
			}
		})
	}
	t.Run("an outline that leads to itself", func(t *testing.T) {
		t.Parallel()
		body := pdfFile([][]string{{"There is enough text on this page."}}, []string{"a", "b"}, "")
		body = bytes.Replace(body, []byte("/Next 8 0 R"), []byte("/Next 7 0 R"), 1)
		if _, err := e.Extract(context.Background(), Input{Name: "b.pdf", Body: body}); err != nil {
			t.Error(err)
		}
	})
	t.Run("truncated anywhere", func(t *testing.T) {
		t.Parallel()
		body := pdfFile([][]string{{"There is enough text on this page."}}, []string{"a"}, "")
		for n := 8; n < len(body); n += len(body) / 12 {
			if _, err := e.Extract(context.Background(), Input{Name: "b.pdf", Body: body[:n]}); err != nil && !errors.Is(err, ErrBroken) && !errors.Is(err, ErrImageOnly) {
				t.Errorf("cut at %d: %v", n, err)
			}
		}
	})
	t.Run("several at a time give the same", func(t *testing.T) {
		t.Parallel()
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				text := fmt.Sprintf("This is the text of document %d.", i)
				r, err := e.Extract(context.Background(), Input{Name: "b.pdf", Body: pdfFile([][]string{{text}}, nil, "")})
				if err != nil || r.Text != text {
					t.Errorf("text %q, %v", r.Text, err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("deadline, page cap and closing", func(t *testing.T) {
		t.Parallel()
		testPDFLimits(t, cache)
	})
}

// testPDFLimits uses engines of its own, compiled already.
func testPDFLimits(t *testing.T, cache string) {
	t.Helper()
	pages := make([][]string, 400)
	for i := range pages {
		pages[i] = []string{fmt.Sprintf("This is the text of page number %d.", i), strings.Repeat("and more ", 8)}
	}
	body := pdfFile(pages, nil, "")

	slow := pdfExtractor(t, Config{CacheDir: cache, PDFTimeout: time.Millisecond})
	if _, err := slow.Extract(context.Background(), Input{Name: "b.pdf", Body: body}); !errors.Is(err, ErrTimeout) {
		t.Errorf("error %v, want %v", err, ErrTimeout)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := slow.Extract(ctx, Input{Name: "b.pdf", Body: body}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}

	short := New(Config{CacheDir: cache, PDFPages: 3})
	r, err := short.Extract(context.Background(), Input{Name: "b.pdf", Body: body})
	if err != nil || len(r.Pages) != 3 || !strings.Contains(strings.Join(r.Warnings, ""), "first 3 of 400 pages") {
		t.Errorf("%d pages, warnings %q, %v", len(r.Pages), r.Warnings, err)
	}
	if err := short.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if err := short.Close(context.Background()); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := short.Extract(context.Background(), Input{Name: "b.pdf", Body: body}); !errors.Is(err, errEngineClosed) {
		t.Errorf("error %v, want %v", err, errEngineClosed)
	}
	if _, err := short.Extract(context.Background(), Input{Name: "b.txt", Body: []byte("text")}); err != nil {
		t.Errorf("text after closing: %v", err)
	}
}
