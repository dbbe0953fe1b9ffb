package jobs

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"tributary/connectors"
	"tributary/internal/oracle"
	"tributary/store"
)

// pushWorld is what was pushed, as the oracle sees it.
type pushWorld struct {
	oracle.World
	names []connectors.Principal
}

func (w *pushWorld) at(kind connectors.PrincipalKind, id string) int {
	p := connectors.Principal{Kind: kind, ID: id}
	if i := slices.Index(w.names, p); i >= 0 {
		return i
	}
	w.names = append(w.names, p)
	w.Principals = append(w.Principals, oracle.Principal{})
	return len(w.names) - 1
}

func (w *pushWorld) some(rng *rand.Rand, least, most int) []int {
	var out []int
	for range least + rng.IntN(most-least+1) {
		out = append(out, rng.IntN(len(w.names)))
	}
	return out
}

func (w *pushWorld) entries(of []int) []map[string]string {
	out := []map[string]string{}
	for _, i := range of {
		out = append(out, map[string]string{"kind": string(w.names[i].Kind), "id": w.names[i].ID})
	}
	return out
}

// TestReadersSeeWhatThePushedACLsSay compares the query path with a
// brute-force oracle over random documents, nested groups and readers, who were
// linked before anything was pushed.
func TestReadersSeeWhatThePushedACLsSay(t *testing.T) {
	t.Parallel()
	pairs, seen := 0, 0
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 5))
		e := newPush(t)
		w := &pushWorld{}
		w.Connections = []oracle.Connection{{}}
		for i := range 5 {
			w.at(connectors.User, fmt.Sprintf("u%d", i))
			w.at(connectors.Group, fmt.Sprintf("g%d", i))
		}
		w.at(connectors.Domain, "example.com")
		everybody := w.at(connectors.Anyone, "anyone")
		for i, p := range w.names {
			if p.Kind == connectors.User {
				w.Memberships = append(w.Memberships, oracle.Membership{Member: i, Group: everybody})
			}
		}
		var readers []store.Identity
		for n := range 8 {
			r, err := e.store.CreateReader(t.Context(), fmt.Sprintf("r%d", n), store.Person)
			if err != nil {
				t.Fatal(err)
			}
			links := w.some(rng, 0, 2)
			for _, l := range links {
				if err := e.store.LinkReader(t.Context(), r.ID, store.PrincipalIn{Connection: e.conn.ID, Principal: w.names[l]}, store.LinkManual); err != nil {
					t.Fatal(err)
				}
			}
			w.Readers = append(w.Readers, oracle.Reader{Links: links})
			who, err := e.store.AsReader(t.Context(), r.ID)
			if err != nil {
				t.Fatal(err)
			}
			readers = append(readers, who)
		}
		for round := range 2 {
			e.pushRound(rng, w, round)
			for n, who := range readers {
				got := e.sees(who)
				for d := range w.Documents {
					pairs++
					want := w.Visible(oracle.Asker{Reader: n, Key: -1}, d)
					if want {
						seen++
					}
					if got[fmt.Sprintf("d%d", d)] != want {
						t.Errorf("seed %d round %d: reader %v sees document %v: %v, want %v", seed, round, w.Readers[n], w.Documents[d], !want, want)
					}
				}
			}
		}
	}
	t.Logf("%d pairs of reader and document, %d of them visible", pairs, seen)
	if seen < pairs/20 || seen > pairs*19/20 {
		t.Errorf("%d of %d pairs are visible: the worlds say little", seen, pairs)
	}
}

// pushRound pushes groups and documents, in its second round again with other
// permissions and the same text.
func (e *engine) pushRound(rng *rand.Rand, w *pushWorld, round int) {
	e.t.Helper()
	w.Memberships = slices.DeleteFunc(w.Memberships, func(m oracle.Membership) bool { return w.names[m.Group].Kind == connectors.Group })
	for g, p := range w.names {
		if p.Kind != connectors.Group {
			continue
		}
		members := w.some(rng, 0, 2)
		raw, _ := json.Marshal(map[string]any{"members": w.entries(members)})
		list, err := DecodePushGroup(raw)
		if err != nil {
			e.t.Fatal(err)
		}
		if _, err := e.runner.PushGroup(e.t.Context(), e.conn, p, list); err != nil {
			e.t.Fatal(err)
		}
		for _, m := range members {
			w.Memberships = append(w.Memberships, oracle.Membership{Member: m, Group: g})
		}
	}
	w.Documents = nil
	var batch []any
	for d := range 40 {
		doc := oracle.Document{Known: true, Deny: w.some(rng, 0, 1)}
		clauses := [][]map[string]string{}
		for range rng.IntN(3) {
			clause := w.some(rng, 1, 3)
			doc.AllOf, clauses = append(doc.AllOf, clause), append(clauses, w.entries(clause))
		}
		w.Documents = append(w.Documents, doc)
		batch = append(batch, map[string]any{
			"id": fmt.Sprintf("d%d", d), "content": fmt.Sprintf("Walrus number %d.", d), "revision": "1",
			"acl": map[string]any{"all_of": clauses, "deny": w.entries(doc.Deny)},
		})
	}
	raw, _ := json.Marshal(map[string]any{"items": batch})
	list, err := DecodePushBatch(raw)
	if err != nil {
		e.t.Fatal(err)
	}
	results, err := e.runner.Push(e.t.Context(), e.conn, list)
	if err != nil {
		e.t.Fatal(err)
	}
	for _, r := range results {
		if want := []PushStatus{PushCreated, PushUnchanged}[round]; r.Status != want {
			e.t.Fatalf("%s is %s: %v", r.ID, r.Status, r.Err)
		}
	}
}

func (e *engine) sees(who store.Identity) map[string]bool {
	e.t.Helper()
	res, err := e.store.Search(e.t.Context(), who, store.SearchRequest{Query: "walrus", Mode: store.Keyword, K: 100})
	if err != nil {
		e.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, r := range res.Results {
		out[r.Path] = true
	}
	return out
}

// FuzzDecodePush: whatever is sent, what is not refused can be stored.
func FuzzDecodePush(f *testing.F) {
	for _, seed := range []string{
		`{"id": "a", "content": "x y", "acl": {"all_of": [[{"kind": "user", "id": "a"}]], "deny": []}, "metadata": {"a": 1.5}}`,
		`{"op": "delete", "id": "a"}`, `{"id": "\ud800", "content": "\u0000"}`, `{"id": 1}`, `[]`, `{"id": "a", "id": "b"}`, `{"members": [{"kind": "anyone"}]}`,
		`{"id": "a", "content_base64": "eHg=", "metadata": {"a\u0000": "b", "a": "c"}}`, `{"items": [{}, null, {"id": "x"}]}`, "{\"id\": \"\xff\"}",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if members, err := DecodePushGroup(raw); err == nil {
			for _, m := range members {
				if !m.Kind.Valid() || !store.UsableID(m.ID) {
					t.Fatalf("member %+v", m)
				}
			}
		}
		batch, _ := DecodePushBatch(raw)
		for _, item := range append(batch, DecodePushItem(raw), DecodePushDocument("a", raw)) {
			if item.Err != nil {
				if item.Err.Error() == "" {
					t.Fatal("an error without words")
				}
				continue
			}
			if !store.UsableID(item.ID) || len(item.Content) == 0 != item.Delete || item.ACL != nil && item.ACL.Validate() != nil || len(item.Metadata) > maxMetadata {
				t.Fatalf("item %+v", item)
			}
			doc := (&syncer{}).fields(item.change())
			for _, text := range []string{doc.Title, doc.URL, doc.SourceRevision, doc.Path} {
				if !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
					t.Fatalf("field %q", text)
				}
			}
		}
	})
}
