package store_test

import (
	"fmt"
	"testing"

	"tributary/store"
)

// TestStrangersLanguagesChangeNothing: texts that the reader cannot see, in the
// reader's languages and in others, leave every answer as it was to the byte:
// words, phrases, prefixes, exclusions and text without spaces.
func TestStrangersLanguagesChangeNothing(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	vector := func(i int) []float32 {
		v := make([]float32, dimensions)
		v[i%dimensions], v[(i+1)%dimensions] = 1, float32(i%7)/8
		return v
	}
	var mine, theirs []paper
	for i, text := range []string{
		"The universities kept backups of their databases; an organ played.", "universit backup universitario organis", "# Backups\nThe universal backup of universities",
		"机器学习需要数据库备份", "データベースのバックアップ", "เครื่องสำรองข้อมูล", "Universit de nation and nationality", "universidad universida univers organo",
	} {
		for n, lang := range []string{"english", "simple"} {
			mine = append(mine, paper{name: fmt.Sprint("mine", i, lang), lang: lang, text: text, vector: vector(i + n)})
		}
	}
	s.add(t, mine...)
	queries := []string{
		"universities", "backups of databases in universities", `"backups of their databases"`, "universit*", "organisatio*", "universities -organ",
		"机器学习", `"数据库"`, "备", "バックアップ", "สำรองข้อมูล", "nationality universidades", "# the and of",
	}
	plans := []map[string]int{nil, {"exact_cap": 0}}
	ask := func() string {
		out := ""
		for _, q := range queries {
			for _, mode := range []store.SearchMode{store.Keyword, store.Hybrid} {
				for _, plan := range plans {
					if mode == store.Hybrid && plan != nil {
						continue // HNSW is the mode that may differ
					}
					resp := s.ask(t, store.SearchRequest{Query: q, Mode: mode, K: 50, Vector: vector(3), Profile: s.profile, Plan: plan, Include: []string{store.IncludeScores}})
					out += fmt.Sprintf("\n%s %s: %t %d", mode, q, resp.Complete, resp.Pending)
					for _, r := range resp.Results {
						out += fmt.Sprintf("\n  %s %b %b %b", s.name[r.DocumentID], r.Score, *orZero(r.Scores.Keyword), *orZero(r.Scores.VectorDistance))
					}
				}
			}
		}
		return out
	}
	before := ask()
	for i, lang := range []string{"german", "french", "spanish", "italian", "turkish", "indonesian", "finnish", "arabic", "english", "simple"} {
		for n := range 20 {
			p := mine[(i+n)%len(mine)]
			theirs = append(theirs, paper{name: fmt.Sprint("theirs", i, n), lang: lang, text: p.text, hidden: true, vector: vector(n)})
		}
	}
	s.add(t, theirs...)
	if _, err := s.db.Owner.Exec(t.Context(), `ANALYZE`); err != nil {
		t.Fatal(err)
	}
	if after := ask(); after != before {
		t.Errorf("texts of another reader changed\n%s\nto\n%s", before, after)
	}
}
