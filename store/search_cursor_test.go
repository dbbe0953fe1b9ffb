package store_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"tributary/store"
)

// TestPagesGiveNothingTwiceAndMissNothing: while documents come, go and change hands between the pages of a search, each
// result is given once, and what was there all the time is given.
func TestPagesGiveNothingTwiceAndMissNothing(t *testing.T) {
	t.Parallel()
	for _, mode := range []store.SearchMode{store.Keyword, store.Hybrid, store.Vector} {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(7, uint64(len(mode))))
			s := newShelf(t)
			made := 0
			more := func(n int) {
				var list []paper
				for range n {
					v := make([]float32, 8)
					for i := range v {
						v[i] = rng.Float32() - 0.3
					}
					// Some rank above everything before them, some below.
					text := strings.Repeat("alpha ", 1+rng.IntN(6)) + strings.Repeat("filler ", rng.IntN(9))
					list = append(list, paper{name: fmt.Sprintf("p%03d", made), lang: "english", text: text, vector: v})
					made++
				}
				s.add(t, list...)
			}
			more(120)
			stays := map[string]bool{}
			for i := range made {
				stays[fmt.Sprintf("p%03d", i)] = true
			}
			req := store.SearchRequest{Query: "alpha", Mode: mode, K: 7, Vector: []float32{1, 1, 1, 1, 1, 1, 1, 1}, Profile: s.profile}
			given := map[string]bool{}
			pages := 0
			for goesOn := true; goesOn; pages++ {
				resp := s.ask(t, req)
				for _, r := range resp.Results {
					name := s.name[r.DocumentID]
					if given[name] {
						t.Fatalf("page %d gives %s again", pages, name)
					}
					given[name] = true
				}
				if goesOn = resp.NextCursor != nil; goesOn && len(resp.Results) != req.K {
					t.Errorf("page %d of %d has %d results", pages, req.K, len(resp.Results))
				}
				if goesOn {
					req.Cursor = *resp.NextCursor
				}
				if pages < 12 {
					more(4)
					gone := fmt.Sprintf("p%03d", rng.IntN(120))
					delete(stays, gone)
					s.db.MustExec(t, `DELETE FROM document WHERE external_id = $1`, gone)
					other := fmt.Sprintf("p%03d", rng.IntN(120))
					delete(stays, other)
					s.db.MustExec(t, `UPDATE document SET acl_set_id = 2 WHERE external_id = $1`, other)
				}
			}
			for name := range stays {
				if !given[name] {
					t.Errorf("%s was there all the time and on no page", name)
				}
			}
			t.Logf("%d pages, %d results, %d of them there all the time", pages, len(given), len(stays))
		})
	}
}

// TestCursorsThatAreNone name the field; one with nothing behind it gives an empty page.
func TestCursorsThatAreNone(t *testing.T) {
	t.Parallel()
	s := newShelf(t, paper{name: "a", lang: "english", text: "alpha"})
	for _, cursor := range []string{"!", "MTA", "AAAA", "AAAAAAAAAA", strings.Repeat("A", 10_000), "AAAAAAAAAAA=", "\x00"} {
		_, err := s.store.Search(t.Context(), store.Identity{}, store.SearchRequest{Query: "alpha", Mode: store.Keyword, Cursor: cursor})
		if input, ok := errors.AsType[*store.InputError](err); !ok || input.Field != "cursor" {
			t.Errorf("%q: %v", cursor, err)
		}
	}
	// What a cursor names need not exist any more.
	if got := s.found(s.ask(t, store.SearchRequest{Query: "alpha", Mode: store.Keyword, Cursor: "AAAAAAAAAAA"})); got != "a" {
		t.Errorf("behind a chunk that is gone: %q", got)
	}
}
