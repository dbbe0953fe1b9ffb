package store_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/oracle"
	"tributary/store"
)

// TestEmptyAnswersNameTheReadersSide: and are byte for byte the same in worlds
// that differ in hidden documents only.
func TestEmptyAnswersNameTheReadersSide(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	base := oracle.World{
		Connections: []oracle.Connection{{}},
		Principals:  []oracle.Principal{{}, {}, {}},
		Documents:   []oracle.Document{{AllOf: [][]int{{0}}, Known: true}},
		Readers:     []oracle.Reader{{Links: []int{0}}, {Links: []int{1}}, {}},
	}
	more := base
	for range 5 {
		more.Documents = append(more.Documents, oracle.Document{AllOf: [][]int{{2}}, Known: true}, oracle.Document{AllOf: [][]int{{0}}, Known: true, Hidden: true})
	}
	vector := []float32{1, 2, 3, 4, 5, 6, 7, 8}
	cases := []struct {
		name   string
		reader int
		req    store.SearchRequest
		want   store.Hint
	}{
		{"results", 0, store.SearchRequest{Query: "common", Mode: store.Keyword}, ""},
		{"no such word", 0, store.SearchRequest{Query: "zebra", Mode: store.Keyword}, store.HintNoMatch},
		{"what others may read is no match", 0, store.SearchRequest{Query: "canary1", Mode: store.Keyword}, store.HintNoMatch},
		{"vectors are missing", 0, store.SearchRequest{Query: "zebra", Mode: store.Vector, Vector: vector, Profile: f.profile}, store.HintPending},
		{"linked, but nothing is shared", 1, store.SearchRequest{Query: "common", Mode: store.Keyword}, store.HintNothing},
		{"not linked", 2, store.SearchRequest{Query: "common", Mode: store.Keyword}, store.HintUnlinked},
	}
	answers := map[string]string{}
	for i, w := range []oracle.World{base, more} {
		rows, err := storeWorld(t.Context(), f.db.Pool, f.profile, w)
		if err != nil {
			t.Fatal(err)
		}
		f.db.MustExec(t, fmt.Sprintf(`DELETE FROM vec_%d`, f.profile))
		f.db.MustExec(t, `UPDATE connection SET permissions_as_of = date_trunc('day', now())`)
		for _, c := range cases {
			got, err := f.store.Search(t.Context(), store.IdentityOf(rows.readers[c.reader], uuid.Nil, false, nil), c.req)
			if err != nil {
				t.Fatal(err)
			}
			if got.Hint != c.want || (c.want == "") == (len(got.Results) == 0) {
				t.Errorf("%s: hint %q with %d results, want %q", c.name, got.Hint, len(got.Results), c.want)
			}
			if c.want == "" {
				continue
			}
			raw, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				answers[c.name] = string(raw)
			} else if answers[c.name] != string(raw) {
				t.Errorf("%s: hidden documents change the answer from\n%s to\n%s", c.name, answers[c.name], raw)
			}
		}
	}
}
