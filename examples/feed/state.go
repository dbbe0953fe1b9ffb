package main

import "slices"

// page is an answer of GET /v1/feed.
type page struct {
	Events      []event      `json:"events"`
	Cursor      string       `json:"cursor"`
	More        bool         `json:"more"`
	Connections []connection `json:"connections"`
}

type connection struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Stale bool   `json:"stale"`
}

// event has the fields of all kinds of events that this program uses.
type event struct {
	Event        string        `json:"event"`
	ConnectionID string        `json:"connection_id,omitempty"`
	DocumentID   string        `json:"document_id,omitempty"`
	ChunkID      string        `json:"chunk_id,omitempty"`
	Title        string        `json:"title,omitempty"`
	URL          string        `json:"url,omitempty"`
	Chunks       []place       `json:"chunks,omitempty"`
	Text         string        `json:"text,omitempty"`
	Context      string        `json:"context,omitempty"`
	Hash         string        `json:"hash,omitempty"`
	Embedding    []float32     `json:"embedding,omitempty"`
	ACL          int64         `json:"acl"`
	AllOf        [][]principal `json:"all_of,omitempty"`
	Deny         []principal   `json:"deny,omitempty"`
	Added        [][2]int64    `json:"added,omitempty"`
	Removed      [][2]int64    `json:"removed,omitempty"`
}

// place is where a chunk lies in its document's text.
type place struct {
	ChunkID string `json:"chunk_id"`
	Start   int    `json:"start"`
	End     int    `json:"end"`
}

type principal struct {
	ID int64 `json:"id"`
}

// document is a copy of a document. Chunks has what came of it; Places says which
// of them stand, in order, and where.
type document struct {
	Connection string           `json:"connection"`
	Title      string           `json:"title"`
	URL        string           `json:"url"`
	ACL        int64            `json:"acl"`
	Places     []place          `json:"places"`
	Chunks     map[string]chunk `json:"chunks"`
	// Snapshot is the number of the snapshot that told of it last.
	Snapshot int `json:"snapshot"`
}

type chunk struct {
	Text      string    `json:"text"`
	Context   string    `json:"context"`
	Hash      string    `json:"hash"`
	Embedding []float32 `json:"embedding,omitempty"`
}

// acl lets in who holds one principal of every list of AllOf and none of Deny.
type acl struct {
	AllOf [][]int64 `json:"all_of"`
	Deny  []int64   `json:"deny"`
}

// state is the copy.
type state struct {
	Cursor      string                `json:"cursor"`
	Connections map[string]connection `json:"connections"`
	Documents   map[string]*document  `json:"documents"`
	ACLs        map[int64]acl         `json:"acls"`
	// Members are pairs of member and group, by connection.
	Members map[string]map[[2]int64]int `json:"-"`
	// Pairs is Members as JSON can hold it: member, group, snapshot.
	Pairs map[string][][3]int64 `json:"pairs"`
	// Snapshot counts snapshots: what the newest does not tell of is dropped when
	// it ends.
	Snapshot int `json:"snapshot"`
}

func newState() *state {
	return &state{
		Connections: map[string]connection{}, Documents: map[string]*document{}, ACLs: map[int64]acl{},
		Members: map[string]map[[2]int64]int{}, Pairs: map[string][][3]int64{},
	}
}

// apply brings the copy to where p ends. To apply a page twice does no harm.
func (s *state) apply(p page) {
	for i := range p.Events {
		s.applyEvent(&p.Events[i])
	}
	// The newest word on connections is the page's own.
	s.Connections = map[string]connection{}
	for _, c := range p.Connections {
		s.Connections[c.ID] = c
	}
	for id, d := range s.Documents {
		if _, ok := s.Connections[d.Connection]; !ok {
			delete(s.Documents, id)
		}
	}
	for id := range s.Members {
		if _, ok := s.Connections[id]; !ok {
			delete(s.Members, id)
		}
	}
	s.Cursor = p.Cursor
}

func (s *state) applyEvent(e *event) {
	d := s.Documents[e.DocumentID]
	switch e.Event {
	case "snapshot.begin":
		s.Snapshot++
	case "snapshot.end":
		s.dropOld()
	case "acl.upsert":
		s.ACLs[e.ACL] = acl{AllOf: idLists(e.AllOf), Deny: ids(e.Deny)}
	case "membership":
		s.applyMembers(e)
	case "document.upsert":
		if d == nil {
			d = &document{Connection: e.ConnectionID, Chunks: map[string]chunk{}}
			s.Documents[e.DocumentID] = d
		}
		d.Title, d.URL, d.ACL, d.Places, d.Snapshot = e.Title, e.URL, e.ACL, e.Chunks, s.Snapshot
	case "document.delete":
		delete(s.Documents, e.DocumentID)
	case "document.acl":
		if d != nil { // otherwise all of it follows
			d.ACL = e.ACL
		}
	case "chunk.upsert":
		if d != nil {
			d.Chunks[e.ChunkID] = chunk{Text: e.Text, Context: e.Context, Hash: e.Hash, Embedding: e.Embedding}
		}
	case "chunk.delete":
		if d != nil {
			delete(d.Chunks, e.ChunkID)
		}
	}
	// Events of kinds that this program does not know change nothing it keeps.
}

func (s *state) applyMembers(e *event) {
	m := s.Members[e.ConnectionID]
	if m == nil {
		m = map[[2]int64]int{}
		s.Members[e.ConnectionID] = m
	}
	for _, p := range e.Added {
		m[p] = s.Snapshot
	}
	for _, p := range e.Removed {
		delete(m, p)
	}
}

// dropOld drops what the snapshot that ends has not told of.
func (s *state) dropOld() {
	for id, d := range s.Documents {
		if d.Snapshot != s.Snapshot {
			delete(s.Documents, id)
			continue
		}
		standing := map[string]bool{}
		for _, p := range d.Places {
			standing[p.ChunkID] = true
		}
		for c := range d.Chunks {
			if !standing[c] {
				delete(d.Chunks, c)
			}
		}
	}
	for _, m := range s.Members {
		for p, n := range m {
			if n != s.Snapshot {
				delete(m, p)
			}
		}
	}
}

// visible returns the documents that a reader may see, given what it holds in
// each connection: GET /v1/readers/{id}/principals says so, and closure works it
// out from the copy.
func (s *state) visible(held map[string]map[int64]bool) []string {
	var out []string
	for id, d := range s.Documents {
		c, ok := s.Connections[d.Connection]
		if ok && !c.Stale && s.ACLs[d.ACL].lets(held[d.Connection]) {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	return out
}

// lets reports whether the holder of some principals may read. An ACL without
// lists, which is one that nobody knows, lets nobody.
func (a acl) lets(held map[int64]bool) bool {
	holds := func(id int64) bool { return held[id] }
	if len(a.AllOf) == 0 || slices.ContainsFunc(a.Deny, holds) {
		return false
	}
	for _, list := range a.AllOf {
		if !slices.ContainsFunc(list, holds) {
			return false
		}
	}
	return true
}

func ids(ps []principal) []int64 {
	out := make([]int64, len(ps))
	for i, p := range ps {
		out[i] = p.ID
	}
	return out
}

func idLists(lists [][]principal) [][]int64 {
	out := make([][]int64, len(lists))
	for i, l := range lists {
		out[i] = ids(l)
	}
	return out
}
