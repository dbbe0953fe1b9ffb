package visibility

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"tributary/internal/oracle"
	"tributary/store"
)

// asking is one asker of the API with what it should see.
type asking struct {
	r    *rig
	who  oracle.Asker
	key  key
	sees map[uuid.UUID]bool
	// against says of each document what keeps it from the asker.
	against [][]string
	total   *tally
	// refused is the last answer that was no content.
	refused string
}

// newAsking prepares what the oracle says for an asker.
func (r *rig) newAsking(who oracle.Asker, total *tally) *asking {
	a := &asking{r: r, who: who, key: r.keys[who.Key], sees: map[uuid.UUID]bool{}, against: make([][]string, len(r.docs)), total: total}
	view := r.w.For(who)
	for d := range r.docs {
		a.against[d] = view.Against(d)
		if len(a.against[d]) == 0 {
			a.sees[r.docs[d].id] = true
		}
		total.feature(r.w, d, a.key.mode, a.against[d])
	}
	return a
}

// note counts a check of document d.
func (a *asking) note(route string, d int) {
	a.total.checks++
	a.total.routes[route]++
	switch len(a.against[d]) {
	case 0:
		a.total.seen++
	case 1:
		a.total.near++
	}
}

// difference is where an answer is not the oracle's. Every one is told with the
// words of [oracleSays], and nothing else is.
type difference struct{ text string }

func (d difference) Error() string { return oracleSays + d.text }

// oracleSays begins what the oracle has against an answer.
const oracleSays = "oracle says: "

func differs(format string, args ...any) error { return difference{fmt.Sprintf(format, args...)} }

// answer is the body of one request, nil where it was refused.
type answer []byte

// ask sends a request. Whatever comes back, it has no canary of a document
// that is not visible.
func (a *asking) ask(method, path, body string) (answer, error) {
	req, err := http.NewRequestWithContext(a.r.tb.Context(), method, a.r.server.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.key.secret)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	if a.who.Reader >= 0 {
		switch a.key.mode {
		case store.KeyTrusted:
			req.Header.Set("Tributary-Reader", a.r.readers[a.who.Reader].String())
		case store.KeyAssertion:
			req.Header.Set("Tributary-Reader", a.r.assert(a.r.readers[a.who.Reader]))
		case store.KeyBound, store.KeyOwn:
			if a.who.Reader != a.r.w.Keys[a.who.Key].Reader {
				req.Header.Set("Tributary-Reader", a.r.readers[a.who.Reader].String())
			}
		}
	}
	resp, err := a.r.server.Client().Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if err := a.canaries(raw); err != nil {
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return raw, nil
	case http.StatusNotFound, http.StatusUnauthorized, http.StatusForbidden:
		a.refused = string(raw)
		return nil, nil //nolint:nilnil // nothing is what it gave
	default:
		return nil, fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, raw)
	}
}

var canaries = regexp.MustCompile(`canary(\d+)z`)

func (a *asking) canaries(raw []byte) error {
	for _, m := range canaries.FindAllSubmatch(raw, -1) {
		d, err := strconv.Atoi(string(m[1]))
		if err != nil {
			return err
		}
		if !a.sees[a.r.docs[d].id] {
			return differs("document %d is not visible, and its bytes were given: %v", d, a.against[d])
		}
	}
	return nil
}

// may reports whether the key has the right of a route; without it, it is to see nothing.
func (a *asking) may(right string) bool { return slices.Contains(a.key.rights, right) }

// set compares everything that a route gave, each document once or each of its
// chunks, with everything that is visible; nil is a refusal.
func (a *asking) set(route, right string, chunks bool, got map[uuid.UUID]int) error {
	for d, x := range a.r.docs {
		want := a.may(right) && len(a.against[d]) == 0
		if (got[x.id] > 0) != want {
			return differs("document %d visible %t %v; %s gave it: %t %s", d, want, a.against[d], route, got[x.id] > 0, a.refused)
		}
		times := 1
		if chunks {
			times = x.chunks
		}
		if want && got[x.id] != times {
			return differs("document %d %d times; %s gave it %d times", d, times, route, got[x.id])
		}
		if got != nil {
			delete(got, x.id)
			a.note(route, d)
		}
	}
	for id := range got {
		return differs("document %s is none of those stored; %s gave it", id, route)
	}
	if got == nil {
		a.total.whole(route)
	}
	return nil
}

// all asks every route that gives out content.
func (a *asking) all() error {
	for _, mode := range []string{"keyword", "vector", "hybrid"} {
		if err := a.search(mode); err != nil {
			return err
		}
	}
	for _, ask := range []func() error{a.around, a.list, a.export, a.counted, a.byID} {
		if err := ask(); err != nil {
			return err
		}
	}
	return nil
}

// page is a part of an answer: which documents it gives, and where the next begins.
type page struct {
	Results, Documents []struct {
		ID uuid.UUID `json:"document_id"`
	}
	Next *string `json:"next_cursor"`
}

// pages follows cursors to their end and counts documents; nil is a refusal.
func (a *asking) pages(read func(answer) (page, error), ask func(cursor string) (answer, error)) (map[uuid.UUID]int, error) {
	var got map[uuid.UUID]int
	for cursor := ""; ; {
		raw, err := ask(cursor)
		if err != nil || raw == nil {
			return got, err
		}
		p, err := read(raw)
		if err != nil {
			return nil, err
		}
		if got == nil {
			got = map[uuid.UUID]int{}
		}
		for _, x := range slices.Concat(p.Results, p.Documents) {
			got[x.ID]++
		}
		if p.Next == nil {
			return got, nil
		}
		cursor = *p.Next
	}
}

func readPage(raw answer) (page, error) {
	var p page
	err := json.Unmarshal(raw, &p)
	return p, err
}

func (a *asking) search(mode string) error {
	got, err := a.pages(readPage, func(cursor string) (answer, error) {
		return a.ask(http.MethodPost, "/v1/search", fmt.Sprintf(`{"query": "common words", "mode": %q, "k": 100, "cursor": %q}`, mode, cursor))
	})
	if err != nil {
		return err
	}
	return a.set("POST /v1/search "+mode, store.RightSearch, true, got)
}

// around asks for what stands around results too: its bytes are what is checked.
func (a *asking) around() error {
	_, err := a.ask(http.MethodPost, "/v1/search", `{"query": "common words", "k": 5, "include": ["parent", "scores", "lineage", "embedding"], "neighbours": 2}`)
	return err
}

func (a *asking) list() error {
	got, err := a.pages(readPage, func(cursor string) (answer, error) {
		return a.ask(http.MethodGet, "/v1/documents?limit=100&cursor="+cursor, "")
	})
	if err != nil {
		return err
	}
	return a.set("GET /v1/documents", store.RightDocuments, false, got)
}

func (a *asking) export() error {
	got, err := a.pages(readExport, func(cursor string) (answer, error) {
		return a.ask(http.MethodGet, "/v1/export?limit=100&cursor="+cursor, "")
	})
	if err != nil {
		return err
	}
	return a.set("GET /v1/export", store.RightExport, false, got)
}

func readExport(raw answer) (page, error) {
	var p page
	for line := range bytes.Lines(raw) {
		var x struct {
			Document *struct {
				ID uuid.UUID `json:"document_id"`
			} `json:"document"`
			End *struct {
				Next *string `json:"next_cursor"`
			} `json:"end"`
		}
		if err := json.Unmarshal(line, &x); err != nil {
			return p, err
		}
		if x.Document != nil {
			p.Documents = append(p.Documents, *x.Document)
		}
		if x.End != nil {
			p.Next = x.End.Next
		}
	}
	return p, nil
}

func (a *asking) counted() error {
	for _, query := range []string{"", "?connection=" + url.QueryEscape(a.r.conns[0].name)} {
		raw, err := a.ask(http.MethodGet, "/v1/count"+query, "")
		if err != nil {
			return err
		}
		var got, want struct{ Documents, Chunks int }
		if raw != nil {
			if err := json.Unmarshal(raw, &got); err != nil {
				return err
			}
		}
		for d, x := range a.r.docs {
			if a.may(store.RightDocuments) && a.sees[x.id] && (query == "" || a.r.w.Documents[d].Connection == 0) {
				want.Documents++
				want.Chunks += x.chunks
			}
		}
		if got != want {
			return differs("%+v; GET /v1/count%s counted %+v", want, query, got)
		}
		a.total.whole("GET /v1/count")
	}
	return nil
}

// byID asks for some documents, whether they are visible or not: every route for
// one that is one edge away, and some for one that is visible.
func (a *asking) byID() error {
	routes := []struct{ name, path string }{
		{"GET /v1/documents/:id", "/v1/documents/%s"},
		{"GET /v1/documents/:id/text", "/v1/documents/%s/text"},
		{"GET /v1/documents/:id/chunks", "/v1/documents/%s/chunks"},
		{"GET /v1/chunks/:id", "/v1/chunks/%s:0"},
		{"GET /v1/chunks/:id/neighbours", "/v1/chunks/%s:0/neighbours?before=9&after=9"},
		{"GET /v1/chunks/:id/lineage", "/v1/chunks/%s:0/lineage"},
	}
	near, seen := a.sample()
	for i, at := range append(a.r.rng.Perm(len(routes))[:2], 0, 1, 2, 3, 4, 5) {
		d, route := near, routes[at]
		if i < 2 {
			d = seen
		}
		if d < 0 {
			continue
		}
		raw, err := a.ask(http.MethodGet, fmt.Sprintf(route.path, a.r.docs[d].id), "")
		if err != nil {
			return err
		}
		if want := a.may(store.RightDocuments) && len(a.against[d]) == 0; (raw != nil) != want {
			return differs("document %d visible %t %v; %s gave it: %t %s", d, want, a.against[d], route.name, raw != nil, a.refused)
		}
		a.note(route.name, d)
	}
	return nil
}

// sample draws a document that is one edge away, each kind of edge as often, and
// one that is visible; -1 is none.
func (a *asking) sample() (near, seen int) {
	kinds := map[string][]int{}
	for d, why := range a.against {
		if len(why) < 2 {
			kind := strings.Join(why, "")
			kinds[kind] = append(kinds[kind], d)
		}
	}
	near, seen = -1, -1
	if list := kinds[""]; len(list) > 0 {
		seen = pick(a.r, list)
	}
	delete(kinds, "")
	if len(kinds) > 0 {
		near = pick(a.r, kinds[pick(a.r, slices.Sorted(maps.Keys(kinds)))])
	}
	return near, seen
}
