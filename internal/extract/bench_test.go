package extract

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// corpus returns pages to measure: every eighth of TEST_CORPUS, or own samples.
func corpus(tb testing.TB) [][]byte {
	tb.Helper()
	root := os.Getenv("TEST_CORPUS")
	every := 8
	if root == "" {
		root, every = "testdata", 1
	}
	var docs [][]byte
	n := 0
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.HasSuffix(path, ".html") {
			return err
		}
		if n++; n%every != 0 {
			return nil
		}
		body, err := os.ReadFile(path)
		docs = append(docs, body)
		return err
	})
	if err != nil || len(docs) == 0 {
		tb.Fatalf("reading pages below %s: %d found, %v", root, len(docs), err)
	}
	return docs
}

// BenchmarkHTML measures the conversion alone and everything Extract does.
func BenchmarkHTML(b *testing.B) {
	docs := corpus(b)
	size := 0
	for _, d := range docs {
		size += len(d)
	}
	b.Run("convert", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		c := new(converter)
		for b.Loop() {
			for _, d := range docs {
				c.convert(d, nil, defaultText)
			}
		}
	})
	b.Run("extract", func(b *testing.B) {
		b.SetBytes(int64(size))
		b.ReportAllocs()
		e := New(Config{})
		text := 0
		for b.Loop() {
			text = 0
			for _, d := range docs {
				r, err := e.Extract(context.Background(), Input{Name: "page.html", Body: d})
				if err == nil {
					text += len(r.Text)
				}
			}
		}
		b.ReportMetric(float64(text)/1e6, "MB-text")
	})
}
