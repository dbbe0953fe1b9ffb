package visibility

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/oracle"
	"tributary/store"
)

// newWorld is an instance with the world of a seed; shuffle, where there is one,
// chooses the order in which its documents are stored.
func newWorld(t *testing.T, seed uint64, documents int, shuffle *rand.Rand) *rig {
	t.Helper()
	r := newRig(t)
	r.rng, r.shuffle = rand.New(rand.NewPCG(seed, 1)), shuffle
	r.fill(documents)
	return r
}

// reads are requests that together give out everything there is.
var reads = []struct{ method, path, body string }{
	{http.MethodPost, "/v1/search", `{"query": "common words", "mode": "keyword", "k": 100, "include": ["scores"]}`},
	{http.MethodPost, "/v1/search", `{"query": "part1 canary3z -canary4z \"common words\"", "mode": "keyword", "k": 5, "include": ["scores", "parent", "lineage"], "neighbours": 2}`},
	{http.MethodPost, "/v1/search", `{"query": "common words", "mode": "vector", "k": 100, "include": ["scores", "embedding"]}`},
	{http.MethodPost, "/v1/search", `{"query": "common words", "k": 100, "include": ["scores"]}`},
	{http.MethodGet, "/v1/documents?limit=1000", ""},
	{http.MethodGet, "/v1/count", ""},
	{http.MethodGet, "/v1/export?limit=500", ""},
}

// everything is what an asker is answered, byte by byte.
func (r *rig) everything(who oracle.Asker) [][]byte {
	r.tb.Helper()
	a := r.newAsking(who, newTally())
	out := [][]byte{}
	for _, x := range reads {
		raw, err := a.ask(x.method, x.path, x.body)
		r.must(err)
		out = append(out, raw)
	}
	return out
}

// seesMost is the key bound to a reader through which most is visible.
func (r *rig) seesMost() oracle.Asker {
	r.tb.Helper()
	best, most := oracle.Asker{}, 0
	for k, x := range r.w.Keys {
		who := oracle.Asker{Key: k, Reader: x.Reader}
		if n := len(r.newAsking(who, newTally()).sees); r.keys[k].mode == store.KeyBound && x.All && n > most {
			best, most = who, n
		}
	}
	if most < 5 {
		r.tb.Fatalf("nobody sees more than %d documents: the world says nothing", most)
	}
	return best
}

// TestWhatOthersHaveIsNotNoticed: documents that a reader may not see, readers,
// keys and links of others leave every answer of the reader as it is, to the byte.
func TestWhatOthersHaveIsNotNoticed(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		r := newWorld(t, seed, 80, nil)
		who := r.seesMost()
		unseen := func(d int) {
			r.drawACL(d)
			for r.w.Visible(who, d) {
				r.drawACL(d)
			}
		}
		var added []int
		for _, change := range []struct {
			name string
			do   func()
		}{
			{"documents that are hidden from the reader", func() {
				r.content(0, func(b *store.Batch) {
					for i := range 12 {
						d := r.newDocument(0, fmt.Sprintf("unseen%d", i))
						unseen(d)
						w := r.writeOf(d)
						w.Language = []string{"english", "german", "simple", "russian"}[i%4]
						b.Documents, added = append(b.Documents, w), append(added, d)
					}
				})
			}},
			{"their ACLs", func() {
				for _, d := range added {
					unseen(d)
				}
				run := r.claim(0, store.Content)
				b := &store.Batch{Run: run}
				for _, d := range added {
					b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: r.docs[d].external, ACL: r.docs[d].acl})
				}
				r.must(r.write(0, b))
				r.end(run, store.RunSucceeded)
			}},
			{"their deletion", func() {
				r.content(0, func(b *store.Batch) { b.Deleted = []string{r.docs[added[0]].external, r.docs[added[1]].external} })
			}},
			{"another reader, who is linked, asks, and is disabled", func() {
				x, err := r.store.CreateReader(t.Context(), "other", store.Person)
				r.must(err)
				r.readers, r.w.Readers = append(r.readers, x.ID), append(r.w.Readers, oracle.Reader{})
				other := len(r.readers) - 1
				for range 4 {
					r.link(other)
				}
				r.makeKey(store.CreateKeyParams{ReaderID: &x.ID, AllConnections: true, Rights: r.keys[0].rights}, other)
				r.everything(oracle.Asker{Key: len(r.keys) - 1, Reader: other})
				r.must(r.store.DisableReader(t.Context(), x.ID))
			}},
		} {
			before := r.everything(who)
			change.do()
			for i, after := range r.everything(who) {
				if !bytes.Equal(before[i], after) {
					t.Errorf("seed %d: %s %s %s is answered differently because of others: %s\nbefore: %s\nafter:  %s",
						seed, reads[i].method, reads[i].path, reads[i].body, change.name, before[i], after)
				}
			}
		}
	}
}

// TestDenyingAddsNothing: another denial gives nobody another document.
func TestDenyingAddsNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		r := newWorld(t, seed, 80, nil)
		var askers []oracle.Asker
		before := []map[uuid.UUID]bool{}
		for range 4 {
			who := r.someone()
			askers, before = append(askers, who), append(before, r.given(who))
		}
		taken := 0
		for range 3 {
			c := r.anyConn()
			list := r.some(c, 15, nil)
			r.permissions(c, false, func(run store.Run) {
				b := &store.Batch{Run: run}
				for _, d := range list {
					x := &r.w.Documents[d]
					x.Deny = append(x.Deny, r.someOf(r.of(c), 2)...)
					r.docs[d].acl = r.aclOf(d)
					b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: r.docs[d].external, ACL: r.docs[d].acl})
				}
				r.must(r.write(c, b))
			})
			for i, who := range askers {
				after := r.given(who)
				for id := range after {
					if !before[i][id] {
						t.Errorf("seed %d: a denial gave document %s to %+v", seed, id, who)
					}
				}
				taken += len(before[i]) - len(after)
				before[i] = after
			}
		}
		if taken == 0 {
			t.Errorf("seed %d: the denials took nothing from anybody: they say nothing", seed)
		}
	}
}

// given is the documents that any request of reads gave, all of which have to
// be the same.
func (r *rig) given(who oracle.Asker) map[uuid.UUID]bool {
	r.tb.Helper()
	out := map[uuid.UUID]bool{}
	for i, raw := range r.everything(who) {
		read := readPage
		switch {
		case raw == nil || i == 5:
			continue
		case i == 6:
			read = readExport
		}
		p, err := read(raw)
		r.must(err)
		for _, x := range slices.Concat(p.Results, p.Documents) {
			out[x.ID] = true
		}
	}
	return out
}

// TestOrderOfStoringChangesNothing: the same documents stored in another order,
// in other batches, answer every question with the same texts and scores.
func TestOrderOfStoringChangesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		one, other := newWorld(t, seed, 60, nil), newWorld(t, seed, 60, rand.New(rand.NewPCG(seed, 2)))
		for k, x := range one.w.Keys {
			who := oracle.Asker{Key: k, Reader: max(x.Reader, 0)}
			if one.keys[k].mode == store.KeyOwn {
				who.Reader = -1
			}
			for i, body := range []string{
				`{"query": "common words", "mode": "keyword", "k": 100}`, `{"query": "part1 canary2z", "mode": "keyword", "k": 100}`,
				`{"query": "common words", "mode": "vector", "k": 100}`,
			} {
				a, b := one.scored(who, body), other.scored(who, body)
				if !slices.Equal(a, b) {
					t.Errorf("seed %d, question %d, %+v: stored in one order\n%v\nin another\n%v", seed, i, who, a, b)
				}
			}
		}
	}
}

// scored is the texts that a question is answered with and their scores, sorted.
func (r *rig) scored(who oracle.Asker, body string) []string {
	r.tb.Helper()
	raw, err := r.newAsking(who, newTally()).ask(http.MethodPost, "/v1/search", body)
	r.must(err)
	var answer struct {
		Results []struct {
			Text, Path string
			Score      float64
		}
	}
	if raw != nil {
		r.must(json.Unmarshal(raw, &answer))
	}
	var out []string
	for _, x := range answer.Results {
		out = append(out, fmt.Sprintf("%s %.12f", x.Text, x.Score))
	}
	slices.Sort(out)
	return out
}
