package store_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"tributary/store"
)

// TestJudgedQuestions: in one store with texts of eight languages, and some that
// mix them, a keyword search finds the text that answers a question among its
// first five. The questions use other forms and other orders of its words.
func TestJudgedQuestions(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("testdata/judged.txt")
	if err != nil {
		t.Fatal(err)
	}
	configs := map[string]string{"english": "english", "german": "german", "french": "french", "russian": "russian", "arabic": "arabic"}
	type question struct{ language, name, text string }
	var questions []question
	var papers []paper
	for i, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		parts := strings.Split(line, " | ")
		if strings.HasPrefix(line, "#") {
			continue
		}
		if len(parts) != 3 {
			t.Fatalf("testdata/judged.txt:%d: %d parts", i+1, len(parts))
		}
		lang := configs[parts[0]]
		if lang == "" {
			lang = "simple"
		}
		name := fmt.Sprint("line", i+1)
		papers = append(papers, paper{name: name, lang: lang, text: parts[1]})
		questions = append(questions, question{parts[0], name, parts[2]})
	}
	s := newShelf(t, papers...)
	asked, first, five := map[string]int{}, map[string]int{}, map[string]int{}
	var languages []string
	for _, q := range questions {
		found := strings.Fields(s.found(s.ask(t, store.SearchRequest{Query: q.text, Mode: store.Keyword, K: 5})))
		if asked[q.language]++; asked[q.language] == 1 {
			languages = append(languages, q.language)
		}
		switch slices.Index(found, q.name) {
		case 0:
			first[q.language]++
			five[q.language]++
		case -1:
			t.Logf("%s: %q does not find %s: %v", q.language, q.text, q.name, found)
		default:
			five[q.language]++
		}
	}
	for _, l := range languages {
		recall := float64(five[l]) / float64(asked[l])
		t.Logf("%-9s recall@5 %.2f, first %.2f of %d questions", l, recall, float64(first[l])/float64(asked[l]), asked[l])
		if recall < 0.9 {
			t.Errorf("%s: recall@5 %.2f is under 0.90", l, recall)
		}
	}
	if len(languages) != 9 || len(questions) != 85 {
		t.Errorf("%d questions in %v", len(questions), languages)
	}
}
