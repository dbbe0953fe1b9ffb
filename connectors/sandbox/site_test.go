package sandbox

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"tributary/connectors/connectortest"
)

const (
	canary    = "kit-canary-4c81be02f7"
	siteOrg   = "org-kit"
	siteHost  = "kit.example"
	pageSize  = 3
	siteStamp = "2026-03-01T10:00:00Z"
)

// site is a document API under the test's control.
type site struct {
	server *httptest.Server

	mu      sync.Mutex
	next    int
	items   map[string]*node
	people  []person
	groups  []group
	log     []feedEntry
	epochs  map[string]int
	faults  []*siteFault
	mended  chan struct{}
	bodies  int
	asked   []string
	matched int
	// scopes are those of the token; hide are items that the account cannot see,
	// shut is a folder among them that answers 403.
	scopes []string
	hide   map[string]bool
	shut   string
	// spoil changes the answer of a listing of items.
	spoil func(answer map[string]any, token string)
}

type node struct {
	id, kind, name, parent, text string
	revision                     int
	inherit, restricted          bool
	entries                      []entry
	size                         int64
}

type feedEntry struct{ id, kind string }

// newSite starts a site with people and nested groups.
func newSite() *site {
	s := &site{
		items: map[string]*node{}, epochs: map[string]int{}, mended: make(chan struct{}), hide: map[string]bool{},
		scopes: []string{scopeAccount, scopeFiles, scopeGroups},
	}
	for _, id := range []string{"alice", "bob", "carol", "dave"} {
		s.people = append(s.people, person{ID: id, Name: strings.ToUpper(id), Email: id + "@" + siteHost, Verified: true, Active: true})
	}
	s.people = append(
		s.people,
		person{ID: "former", Name: "FORMER", Email: "former@" + siteHost, Verified: true},
		person{ID: "guest", Name: "GUEST", Email: "guest@Partner.example", Verified: true, Active: true},
		person{ID: "unproven", Name: "UNPROVEN", Email: "unproven@partner.example", Active: true},
	)
	s.groups = []group{
		{ID: "inner", Members: []principal{{Kind: entryUser, ID: "bob"}, {Kind: entryGroup, ID: "team"}}},
		{ID: "space", Members: []principal{{Kind: entryUser, ID: "alice"}, {Kind: entryUser, ID: "carol"}, {Kind: entryUser, ID: "former"}}},
		{ID: "team", Members: []principal{{Kind: entryUser, ID: "alice"}, {Kind: entryGroup, ID: "inner"}}},
		{ID: "void"},
	}
	s.server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

// client returns an authorised client, and how to let go of its connections.
func (s *site) client() (*http.Client, func()) {
	t := &http.Transport{}
	return &http.Client{Transport: bearer{t}}, t.CloseIdleConnections
}

type bearer struct{ http.RoundTripper }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+canary)
	return b.RoundTripper.RoundTrip(r)
}

// close ends the site.
func (s *site) close() {
	s.Mend()
	s.server.Close()
}

func (s *site) serve(w http.ResponseWriter, r *http.Request) {
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/v1/")
	if !ok || r.Header.Get("Authorization") != "Bearer "+canary {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RequestURI())
	s.mu.Unlock()
	need := scopeFiles
	switch rest {
	case "about":
		need = scopeAccount
	case "groups", "people":
		need = scopeGroups
	}
	if !slices.Contains(s.scopes, need) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="kit", error="insufficient_scope", scope="`+need+`"`)
		w.WriteHeader(http.StatusForbidden)
		return
	}
	id, content := strings.CutSuffix(strings.TrimPrefix(rest, "items/"), "/content")
	switch {
	case rest == "about":
		s.send(w, r, map[string]any{
			"organisation": map[string]string{"id": siteOrg, "name": "Kit", "domain": siteHost},
			"account":      map[string]string{"id": "alice", "name": "ALICE", "email": "alice@" + siteHost},
		})
	case rest == "items":
		s.serveItems(w, r)
	case strings.HasPrefix(rest, "items/") && content:
		s.serveContent(w, r, id)
	case strings.HasPrefix(rest, "items/"):
		s.serveItem(w, r, id)
	case rest == "changes/start":
		s.mu.Lock()
		defer s.mu.Unlock()
		s.send(w, r, map[string]string{"page_token": s.token("changes", len(s.log))})
	case rest == "changes":
		s.serveChanges(w, r)
	case rest == "groups":
		s.serveList(w, r, connectortest.OnGroups, "groups", anySlice(s.groups))
	case rest == "people":
		s.serveList(w, r, connectortest.OnPeople, "people", anySlice(s.people))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func anySlice[T any](list []T) []any {
	out := make([]any, len(list))
	for i, e := range list {
		out[i] = e
	}
	return out
}

// send answers with JSON and an ETag.
func (s *site) send(w http.ResponseWriter, r *http.Request, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(body)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	w.Header().Set("Etag", tag)
	if r.Header.Get("If-None-Match") == tag {
		s.matched++
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// token is a position that an expiry forgets.
func (s *site) token(list string, at any) string { return fmt.Sprintf("%d~%v", s.epochs[list], at) }

// position reads a token and answers one that has expired.
func (s *site) position(w http.ResponseWriter, r *http.Request, list string) (string, bool) {
	token := r.URL.Query().Get("page_token")
	if token == "" {
		return "", true
	}
	epoch, at, ok := strings.Cut(token, "~")
	switch {
	case !ok:
		w.WriteHeader(http.StatusBadRequest)
	case epoch != strconv.Itoa(s.epochs[list]):
		w.WriteHeader(http.StatusGone)
	default:
		return at, true
	}
	return "", false
}

func (s *site) ids() []string {
	var ids []string
	for id := range s.items {
		if !s.hide[id] {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (s *site) serveItems(w http.ResponseWriter, r *http.Request) {
	if s.struck(w, r, connectortest.OnListing, "") {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	after, ok := s.position(w, r, "items")
	if !ok {
		return
	}
	rows, next := []map[string]any{}, ""
	for _, id := range s.ids() {
		if id <= after {
			continue
		}
		if len(rows) == pageSize {
			next = s.token("items", rows[pageSize-1]["id"])
			break
		}
		if f := s.strike(connectortest.OnACL, s.path(id)); f != nil && f.Kind == connectortest.ServerError {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		rows = append(rows, s.row(id))
	}
	answer := map[string]any{"items": rows, "next_page_token": next, "complete": next == ""}
	if s.spoil != nil {
		s.spoil(answer, r.URL.Query().Get("page_token"))
	}
	s.send(w, r, answer)
}

// row is an item as the API tells it.
func (s *site) row(id string) map[string]any {
	n := s.items[id]
	row := map[string]any{
		"id": id, "kind": n.kind, "name": n.name, "parent_id": n.parent, "path": s.path(id), "media_type": "text/markdown",
		"size": max(n.size, int64(len(n.text))), "revision": strconv.Itoa(n.revision), "created_at": siteStamp, "updated_at": siteStamp,
		"author": named{ID: "alice", Name: "ALICE"}, "url": "https://kit.example/" + id, "description": "about " + n.name,
		"restricted": n.restricted, "inherit": n.inherit, "entries": append([]entry{}, n.entries...),
	}
	if f := s.strike(connectortest.OnACL, s.path(id)); f != nil {
		delete(row, "entries")
	}
	return row
}

// path returns the names from the root down.
func (s *site) path(id string) string {
	n := s.items[id]
	if n == nil || n.parent == "" || n.parent == id {
		return n.name
	}
	return s.path(n.parent) + "/" + n.name
}

func (s *site) serveItem(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id == s.shut {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	if s.items[id] == nil || s.hide[id] {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	s.send(w, r, s.row(id))
}

func (s *site) serveContent(w http.ResponseWriter, r *http.Request, id string) {
	s.mu.Lock()
	s.bodies++
	n := s.items[id]
	name, text := "", ""
	if n != nil {
		name, text = s.path(id), n.text
	}
	cut := n != nil && slices.ContainsFunc(s.faults, func(f *siteFault) bool { return f.Kind == connectortest.Truncated && f.Name == name })
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

func (s *site) serveChanges(w http.ResponseWriter, r *http.Request) {
	if s.struck(w, r, connectortest.OnFeed, "") {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.position(w, r, "changes")
	if !ok {
		return
	}
	at, err := strconv.Atoi(text)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	rows := []map[string]any{}
	for ; at < len(s.log) && len(rows) < pageSize; at++ {
		e := s.log[at]
		row := map[string]any{"seq": at, "item_id": e.id, "kind": e.kind}
		if s.items[e.id] != nil && !s.hide[e.id] {
			row["item"] = s.row(e.id)
		} else {
			row["kind"] = changeDelete
		}
		rows = append(rows, row)
	}
	s.send(w, r, map[string]any{"changes": rows, "next_page_token": s.token("changes", at), "more": at < len(s.log)})
}

// serveList answers a page of a list by its index; a fault strikes its second
// page, so that it fails part way.
func (s *site) serveList(w http.ResponseWriter, r *http.Request, on connectortest.Place, name string, list []any) {
	if r.URL.Query().Get("page_token") != "" && s.struck(w, r, on, "") {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	text, ok := s.position(w, r, name)
	if !ok {
		return
	}
	from, _ := strconv.Atoi(text)
	to, next := min(from+pageSize, len(list)), ""
	if to < len(list) {
		next = s.token(name, to)
	}
	s.send(w, r, map[string]any{name: list[from:to], "next_page_token": next})
}

// put creates an item, or changes the one with the id.
func (s *site) put(n node) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.id == "" {
		s.next++
		n.id = fmt.Sprintf("itm-%04d", s.next)
	}
	if n.revision == 0 {
		n.revision = 1
	}
	s.items[n.id] = &n
	s.log = append(s.log, feedEntry{n.id, changeUpsert})
	return n.id
}

// folder returns the id of the folder at the path, which it creates.
func (s *site) folder(p string) string {
	if p == "." {
		return ""
	}
	parent := s.folder(path.Dir(p))
	s.mu.Lock()
	for id, n := range s.items {
		if n.kind == kindFolder && n.parent == parent && n.name == path.Base(p) {
			s.mu.Unlock()
			return id
		}
	}
	s.mu.Unlock()
	return s.put(node{kind: kindFolder, name: path.Base(p), parent: parent, inherit: true, entries: folderEntries(parent)})
}

// folderEntries are those of the site's own folders: at the top a group.
func folderEntries(parent string) []entry {
	if parent != "" {
		return nil
	}
	return []entry{{principal{Kind: entryGroup, ID: "space"}, roleReader}}
}
