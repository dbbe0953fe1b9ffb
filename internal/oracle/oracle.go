package oracle

import "slices"

// World is everything that visibility depends on. Things refer to each other
// by index.
type World struct {
	Connections []Connection
	Principals  []Principal
	Memberships []Membership
	Documents   []Document
	Readers     []Reader
	Keys        []Key
}

// Connection is one configured source in a realm, -1 while that is unknown.
type Connection struct {
	Realm   int
	Closing bool
	// TooOld: its permissions are older than it allows, or were never read.
	TooOld bool
}

// Principal lives in a realm. Public is held by every reader.
type Principal struct {
	Realm  int
	Public bool
}

// Membership is evidence of one connection that Member belongs to Group.
type Membership struct{ Connection, Member, Group int }

// Document has an ACL: one of every AllOf clause, and none of Deny. Known is
// false for an ACL that could not be read.
type Document struct {
	Connection int
	Known      bool
	AllOf      [][]int
	Deny       []int
	Hidden     bool
}

// Reader is linked to principals.
type Reader struct {
	Links    []int
	Disabled bool
}

// Key is bound to a reader, or to nobody (-1) and then stands for Own, the
// principal that documents are shared with (-1 for none).
type Key struct {
	Reader      int
	Own         int
	All         bool
	Connections []int
	Dead        bool
}

// Asker names an identity: a reader and a key by index or -1, or bare
// principals.
type Asker struct {
	Reader, Key int
	Bare        bool
	Principals  []int
}

// Visible reports whether a may see document d.
func (w World) Visible(a Asker, d int) bool {
	doc := w.Documents[d]
	conn := w.Connections[doc.Connection]
	if doc.Hidden || !doc.Known || conn.Closing || conn.TooOld || conn.Realm < 0 {
		return false
	}
	seeds, public, ok := w.seeds(a, doc.Connection)
	if !ok {
		return false
	}
	holds := w.closure(doc.Connection, seeds, public)
	holdsAny := func(ps []int) bool {
		return slices.ContainsFunc(ps, func(p int) bool { return holds[p] })
	}
	if len(doc.AllOf) == 0 || len(doc.AllOf) > 40 || holdsAny(doc.Deny) {
		return false
	}
	for _, clause := range doc.AllOf {
		if !holdsAny(clause) {
			return false
		}
	}
	return true
}

// seeds returns what a holds before memberships, and false where a is nobody
// or its key does not reach connection c.
func (w World) seeds(a Asker, c int) (ps []int, public, ok bool) {
	switch {
	case a.Bare:
		return a.Principals, true, a.Reader < 0 && a.Key < 0
	case a.Key >= 0:
		k := w.Keys[a.Key]
		if k.Dead || k.Reader != a.Reader || (!k.All && !slices.Contains(k.Connections, c)) {
			return nil, false, false
		}
		if k.Reader < 0 {
			return []int{k.Own}, false, k.Own >= 0
		}
	case a.Reader < 0:
		return nil, false, false
	}
	r := w.Readers[a.Reader]
	return r.Links, true, !r.Disabled
}

// closure returns the principals of c's realm that follow from seeds over c's
// own memberships.
func (w World) closure(c int, seeds []int, public bool) map[int]bool {
	realm := w.Connections[c].Realm
	holds := map[int]bool{}
	for p, x := range w.Principals {
		if x.Realm == realm && (slices.Contains(seeds, p) || (public && x.Public)) {
			holds[p] = true
		}
	}
	for grew := true; grew; {
		grew = false
		for _, m := range w.Memberships {
			if m.Connection == c && holds[m.Member] && !holds[m.Group] && w.Principals[m.Group].Realm == realm {
				holds[m.Group], grew = true, true
			}
		}
	}
	return holds
}
