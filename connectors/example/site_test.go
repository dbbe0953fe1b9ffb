package example

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

const (
	canary   = "kit-canary-5d0c9a71e2"
	pageSize = 3
)

// site is the API under the test's control.
type site struct {
	connectortest.Limited
	server *httptest.Server

	mu     sync.Mutex
	made   int
	epoch  int
	items  map[string]*node
	faults []*siteFault
	mended chan struct{}
	bodies int
}

type node struct {
	name, text string
	revision   int
	readers    []string
	unknown    bool
}

type siteFault struct {
	connectortest.Fault
	asked, struck int
}

func newSite() *site {
	s := &site{items: map[string]*node{}, mended: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/me", func(w http.ResponseWriter, _ *http.Request) {
		send(w, account{Name: "Alice", Organisation: "org-kit"})
	})
	mux.HandleFunc("GET /api/items", s.serveItems)
	mux.HandleFunc("GET /api/items/{id}", s.serveItem)
	mux.HandleFunc("GET /api/items/{id}/text", s.serveText)
	s.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+canary {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return s
}

type bearer struct{ http.RoundTripper }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+canary)
	return b.RoundTripper.RoundTrip(r)
}

func send(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err)
	}
}

// row is an item as the API tells it.
func (s *site) row(id string) map[string]any {
	n := s.items[id]
	readers := []reader{}
	for _, who := range n.readers {
		readers = append(readers, reader{Kind: "user", ID: who})
	}
	row := map[string]any{
		"id": id, "revision": strconv.Itoa(n.revision), "title": n.name, "path": n.name, "url": "https://kit.invalid/" + id,
		"updated_at": "2026-03-01T10:00:00Z", "size": len(n.text), "readers": readers, "later": "a field of the future",
	}
	if n.unknown || s.strike(connectortest.OnACL, n.name) != nil {
		delete(row, "readers")
	}
	return row
}

func (s *site) serveItems(w http.ResponseWriter, r *http.Request) {
	if s.struck(w, r, connectortest.OnListing, "") {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	epoch, after, _ := strings.Cut(r.URL.Query().Get("page"), "~")
	if after != "" && epoch != strconv.Itoa(s.epoch) {
		w.WriteHeader(http.StatusGone)
		return
	}
	rows, next := []any{}, ""
	for _, id := range slices.Sorted(maps.Keys(s.items)) {
		if id <= after {
			continue
		}
		if len(rows) == pageSize {
			break
		}
		rows = append(rows, s.row(id))
		next = id
	}
	if len(rows) < pageSize || next == slices.Max(slices.Collect(maps.Keys(s.items))) {
		next = ""
	} else {
		next = fmt.Sprintf("%d~%s", s.epoch, next)
	}
	send(w, map[string]any{"items": rows, "next": next})
}

func (s *site) serveItem(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items[r.PathValue("id")] == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	send(w, s.row(r.PathValue("id")))
}

func (s *site) serveText(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.bodies++
	n := s.items[r.PathValue("id")]
	var name, text string
	if n != nil {
		name, text = n.name, n.text
	}
	cut := slices.ContainsFunc(s.faults, func(f *siteFault) bool { return f.Kind == connectortest.Truncated && f.Name == name })
	s.mu.Unlock()
	switch {
	case n == nil:
		w.WriteHeader(http.StatusNotFound)
	case cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write([]byte(text[:len(text)/2]))
		panic(http.ErrAbortHandler)
	case !s.struck(w, r, connectortest.OnBody, name):
		_, _ = w.Write([]byte(text))
	}
}

// struck answers a request that a fault hits.
func (s *site) struck(w http.ResponseWriter, r *http.Request, on connectortest.Place, name string) bool {
	s.mu.Lock()
	f, mended := s.strike(on, name), s.mended
	s.mu.Unlock()
	if f == nil {
		return false
	}
	if f.Kind == connectortest.Slow {
		select {
		case <-mended:
		case <-r.Context().Done():
		}
		return false
	}
	code, err := strconv.Atoi(string(f.Kind))
	if err != nil {
		return false
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	w.WriteHeader(code)
	return true
}

// strike returns the fault that hits this time.
func (s *site) strike(on connectortest.Place, name string) *siteFault {
	for _, f := range s.faults {
		if f.On != on || f.Name != name {
			continue
		}
		if f.asked++; f.asked < f.Page || f.Times > 0 && f.struck >= f.Times {
			continue
		}
		f.struck++
		return f
	}
	return nil
}

// Put creates or edits an item that everybody may read.
func (s *site) Put(name, text string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, n := range s.items {
		if n.name == name {
			n.text = text
			n.revision++
			return id, nil
		}
	}
	s.made++
	id := fmt.Sprintf("itm-%04d", s.made)
	s.items[id] = &node{name: name, text: text, revision: 1, readers: people()}
	return id, nil
}

// Delete removes an item.
func (s *site) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, id)
	return nil
}

// Move gives an item another name; its id stays.
func (s *site) Move(id, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[id].name = name
	return id, nil
}

// Truth returns every item.
func (s *site) Truth() ([]connectortest.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []connectortest.Item
	for _, id := range slices.Sorted(maps.Keys(s.items)) {
		all = append(all, connectortest.Item{ID: id, Name: s.items[id].name, Text: s.items[id].text})
	}
	return all, nil
}

func people() []string { return []string{"alice", "bob", "carol"} }

// People are those of the realm.
func (s *site) People() []connectors.Principal {
	var all []connectors.Principal
	for _, who := range people() {
		all = append(all, connectors.Principal{Kind: connectors.User, ID: who})
	}
	return all
}

// CanRead is the site's own answer.
func (s *site) CanRead(who connectors.Principal, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.items[id] != nil && slices.Contains(s.items[id].readers, who.ID)
}

// Share replaces who may read an item.
func (s *site) Share(id string, with connectortest.Audience) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.items[id]
	switch with {
	case connectortest.ForOne:
		n.readers = []string{"bob"}
	case connectortest.ForAll:
		n.readers = people()
	case connectortest.ForAllButOne:
		n.readers = []string{"alice", "carol"}
	case connectortest.ForUnknown:
		n.unknown = true
	case connectortest.ForGroup, connectortest.ForBoth:
		return errors.ErrUnsupported
	}
	return nil
}

// Fail sets a fault.
func (s *site) Fail(f connectortest.Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case f.Kind == connectortest.ExpiredCursor:
		s.epoch++
	case f.On == connectortest.OnListing, f.On == connectortest.OnBody, f.On == connectortest.OnACL && f.Kind == connectortest.Forbidden:
		s.faults = append(s.faults, &siteFault{Fault: f})
	default:
		return errors.ErrUnsupported
	}
	return nil
}

// Mend takes every fault away.
func (s *site) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	close(s.mended)
	s.mended = make(chan struct{})
}

// BodyOpens counts the downloads.
func (s *site) BodyOpens() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies, nil
}
