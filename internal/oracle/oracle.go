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
	Addresses   []Address
}

// Connection is one configured source in a realm, -1 while that is unknown.
type Connection struct {
	Realm   int
	Closing bool
	// TooOld: its permissions are older than it allows, or were never read.
	TooOld bool
	// Over: its time is over, and its documents are to be hidden then.
	Over bool
	// MapEmail: verified addresses make readers its users.
	MapEmail bool
	// Pushed: its documents are pushed; no source lists who is anyone of its realm.
	Pushed bool
}

// Principal lives in a realm. Public is held by every reader.
type Principal struct {
	Realm  int
	Public bool
	// User: it is a person, who can have addresses. Anyone is every user of the
	// realm.
	User, Anyone bool
}

// Address is evidence of one connection that a user has an e-mail address.
type Address struct {
	Connection, User int
	Email            string
	Verified         bool
}

// Membership is evidence of one connection that Member belongs to Group.
type Membership struct{ Connection, Member, Group int }

// Document has an ACL: one of every AllOf clause, and none of Deny. Known is
// false for an ACL that could not be read. Gone: it was deleted.
type Document struct {
	Connection int
	Known      bool
	AllOf      [][]int
	Deny       []int
	Hidden     bool
	Gone       bool
}

// Reader is linked to principals, by name or by its addresses.
type Reader struct {
	Links    []int
	Emails   []string
	Disabled bool
}

// Key is bound to a reader, or to nobody (-1) and then stands for Own, the
// principal that documents are shared with (-1 for none). One that Names
// readers asks for whom it says.
type Key struct {
	Reader      int
	Names       bool
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
func (w World) Visible(a Asker, d int) bool { return len(w.For(a).Against(d)) == 0 }

// View is what one asker holds, connection by connection.
type View struct {
	w  World
	a  Asker
	in map[int]held
}

// held is what an asker holds in one connection, whether it is somebody, and
// whether its key reaches the connection.
type held struct {
	holds          map[int]bool
	known, reached bool
}

// For returns the view of a.
func (w World) For(a Asker) View { return View{w, a, map[int]held{}} }

// at is what the asker holds in connection c.
func (v View) at(c int) held {
	h, ok := v.in[c]
	if !ok {
		var seeds []int
		var public bool
		seeds, public, h.known, h.reached = v.w.seeds(v.a, c)
		h.holds = v.w.closure(c, seeds, public)
		v.in[c] = h
	}
	return h
}

// Against lists what keeps the asker from document d, nothing where it is
// visible. What is listed once is one edge away.
func (v View) Against(d int) []string {
	doc := v.w.Documents[d]
	conn := v.w.Connections[doc.Connection]
	var out []string
	say := func(yes bool, what string) {
		if yes {
			out = append(out, what)
		}
	}
	say(doc.Gone, "gone")
	say(doc.Hidden, "hidden")
	say(conn.Closing, "closing")
	say(conn.Over, "over")
	say(conn.TooOld, "too old")
	say(conn.Realm < 0, "no realm")
	at := v.at(doc.Connection)
	say(!at.known, "nobody")
	say(!at.reached, "out of the key's reach")
	if !doc.Known || len(doc.AllOf) == 0 || len(doc.AllOf) > 40 {
		return append(out, "unknown")
	}
	if !at.known {
		return out
	}
	holdsAny := func(ps []int) bool {
		return slices.ContainsFunc(ps, func(p int) bool { return at.holds[p] })
	}
	say(holdsAny(doc.Deny), "denied")
	for _, clause := range doc.AllOf {
		say(!holdsAny(clause), "clause")
	}
	return out
}

// seeds returns what a holds before memberships, whether a is somebody, and
// whether its key reaches connection c.
func (w World) seeds(a Asker, c int) (ps []int, public, known, reached bool) {
	switch {
	case a.Bare:
		return a.Principals, true, a.Reader < 0 && a.Key < 0, true
	case a.Key >= 0:
		k := w.Keys[a.Key]
		reached = k.All || slices.Contains(k.Connections, c)
		if k.Dead || k.Names && a.Reader < 0 || !k.Names && k.Reader != a.Reader {
			return nil, false, false, reached
		}
		if a.Reader < 0 {
			return []int{k.Own}, false, k.Own >= 0, reached
		}
	case a.Reader < 0:
		return nil, false, false, true
	default:
		reached = true
	}
	r := w.Readers[a.Reader]
	return append(w.byEmail(a.Reader), r.Links...), true, !r.Disabled, reached
}

// byEmail returns the users whose verified addresses make the reader them. An
// address of two users of a realm or of two readers, and a user with addresses
// of two readers, do so for nobody; so does one of no connection that maps.
func (w World) byEmail(reader int) []int {
	var out []int
	for u, x := range w.Principals {
		emails, mapped := w.verified(u)
		owners := map[int]bool{}
		for r := range w.Readers {
			if slices.ContainsFunc(w.Readers[r].Emails, func(e string) bool { return slices.Contains(emails, e) }) {
				owners[r] = true
			}
		}
		if !owners[reader] || len(owners) > 1 {
			continue
		}
		for _, e := range w.Readers[reader].Emails {
			alone := slices.Contains(mapped, e)
			for other, y := range w.Principals {
				theirs, _ := w.verified(other)
				alone = alone && (other == u || y.Realm != x.Realm || !slices.Contains(theirs, e))
			}
			if alone {
				out = append(out, u)
				break
			}
		}
	}
	return out
}

// verified returns the verified addresses of user u, and those of them that a
// connection which maps says.
func (w World) verified(u int) (all, mapped []string) {
	for _, x := range w.Addresses {
		if x.User != u || !x.Verified || !w.Principals[u].User || w.Connections[x.Connection].Realm != w.Principals[u].Realm {
			continue
		}
		all = append(all, x.Email)
		if w.Connections[x.Connection].MapEmail {
			mapped = append(mapped, x.Email)
		}
	}
	return all, mapped
}

// closure returns the principals of c's realm that follow from seeds over c's
// own memberships. Where documents are pushed, a user is anyone.
func (w World) closure(c int, seeds []int, public bool) map[int]bool {
	realm := w.Connections[c].Realm
	holds := map[int]bool{}
	anyone := w.Connections[c].Pushed && slices.ContainsFunc(seeds, func(p int) bool {
		return p >= 0 && w.Principals[p].Realm == realm && w.Principals[p].User
	})
	for p, x := range w.Principals {
		if x.Realm == realm && (slices.Contains(seeds, p) || (public && x.Public) || (anyone && x.Anyone)) {
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
