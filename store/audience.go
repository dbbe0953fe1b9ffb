package store

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// Bounds of what an audience is worked out from, and of its lists.
const (
	maxAudienceACLs    = 20_000
	maxAudienceMembers = 500_000
	audienceTop        = 20
)

// Where the memberships of an audience come from.
const (
	MembershipsStored = "stored"
	MembershipsSource = "source"
	MembershipsNone   = "none"
)

// Audience says who could read how many of some documents that need not be
// stored. Its rules are those of the query path.
type Audience struct {
	Documents int64 `json:"documents"`
	// Public are readable by everybody, Organisation by every account of the
	// realm, those counted in Public included.
	Public       int64 `json:"public"`
	Organisation int64 `json:"organisation"`
	// Unknown have permissions that could not be read, or too many different ones
	// to count: nobody. Unmatched name nobody that is known.
	Unknown   int64 `json:"unknown"`
	Unmatched int64 `json:"unmatched"`
	// Memberships says where they come from: stored, source or none.
	Memberships string `json:"memberships"`
	// Readers and People are how many could read at least one of the documents;
	// the lists are those of them who could read most.
	Readers    int             `json:"readers"`
	People     int             `json:"people"`
	TopReaders []AudienceEntry `json:"top_readers"`
	TopPeople  []AudienceEntry `json:"top_people"`
	TopGroups  []AudienceEntry `json:"top_groups"`
}

// AudienceEntry is a reader, a person or a group. Documents are those that a
// reader or person could read, and those that name a group. Members counts the
// people of a group.
type AudienceEntry struct {
	Name      string                   `json:"name"`
	Kind      connectors.PrincipalKind `json:"kind,omitempty"`
	ID        string                   `json:"id,omitempty"`
	Documents int64                    `json:"documents"`
	Members   int                      `json:"members,omitempty"`
}

// who is a principal without its name.
type who struct {
	kind connectors.PrincipalKind
	id   string
}

// grantOf is a place of a principal in an ACL: clause 0 denies.
type grantOf struct{ acl, clause int }

// AudienceOf gathers the permissions of documents; see [Store.Audience].
type AudienceOf struct {
	documents, unknown int64
	numbers            map[aclKey]int
	counts             []int64
	need               []int64
	principals         map[who]int
	list               []connectors.Principal
	grants             map[int][]grantOf
	groups             map[int][]int
}

// NewAudienceOf returns an AudienceOf without documents.
func NewAudienceOf() *AudienceOf {
	return &AudienceOf{numbers: map[aclKey]int{}, principals: map[who]int{}, grants: map[int][]grantOf{}, groups: map[int][]int{}}
}

// Add counts a document.
func (a *AudienceOf) Add(raw connectors.ACL) {
	a.documents++
	acl := normalACL(raw)
	key := keyOf(0, acl)
	n, ok := a.numbers[key]
	switch {
	case ok:
		a.counts[n]++
		return
	case !acl.Known() || len(a.counts) == maxAudienceACLs:
		a.unknown++
		return
	}
	n = len(a.counts)
	a.numbers[key] = n
	a.counts = append(a.counts, 1)
	mask := int64(0)
	for i, clause := range append([][]connectors.Principal{acl.Deny}, acl.AllOf...) {
		if i > 0 {
			mask |= int64(1) << i
		}
		for _, p := range clause {
			id := a.number(p)
			a.grants[id] = append(a.grants[id], grantOf{acl: n, clause: i})
		}
	}
	a.need = append(a.need, mask)
}

func (a *AudienceOf) number(p connectors.Principal) int {
	k := who{p.Kind, p.ID}
	id, ok := a.principals[k]
	if !ok {
		id = len(a.list)
		a.principals[k] = id
		a.list = append(a.list, p)
	}
	if a.list[id].Name == "" {
		a.list[id].Name = p.Name
	}
	return id
}

func (a *AudienceOf) join(m connectors.Membership) {
	member := a.number(m.Member)
	a.groups[member] = append(a.groups[member], a.number(m.Group))
}

// held returns the principals that ACLs name among the closure of seeds, sorted.
func (a *AudienceOf) held(seeds []int) []int {
	var held []int
	seen := map[int]bool{}
	for todo := slices.Clone(seeds); len(todo) > 0; {
		p := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[p] {
			continue
		}
		seen[p] = true
		if len(a.grants[p]) > 0 {
			held = append(held, p)
		}
		todo = append(todo, a.groups[p]...)
	}
	slices.Sort(held)
	return held
}

// readable returns the ACLs that the holder of some principals matches.
func (a *AudienceOf) readable(held []int) []int {
	masks := map[int]int64{}
	for _, p := range held {
		for _, g := range a.grants[p] {
			if g.clause == 0 {
				masks[g.acl] = -1
			} else {
				masks[g.acl] |= int64(1) << g.clause
			}
		}
	}
	var out []int
	for acl, mask := range masks {
		if mask == a.need[acl] {
			out = append(out, acl)
		}
	}
	return out
}

// seedsOf returns the principals of a kind, and those that everybody holds.
func (a *AudienceOf) seedsOf(kind connectors.PrincipalKind) []int {
	var seeds []int
	for id, p := range a.list {
		if p.Kind == kind || p.Kind == connectors.Public {
			seeds = append(seeds, id)
		}
	}
	return seeds
}

// Audience works out who could read the documents of a in a realm of source.
// members are the source's own memberships; nil takes those that are stored for
// the connection.
func (s *Store) Audience(ctx context.Context, conn Connection, realm string, a *AudienceOf, members []connectors.Membership) (Audience, error) {
	out := Audience{Documents: a.documents, Unknown: a.unknown, Memberships: MembershipsSource, TopReaders: []AudienceEntry{}, TopPeople: []AudienceEntry{}, TopGroups: []AudienceEntry{}}
	if len(a.counts) == 0 {
		out.Memberships = MembershipsNone
		return out, nil
	}
	if members == nil {
		out.Memberships = MembershipsStored
		var err error
		if members, err = s.memberships(ctx, conn); err != nil {
			return out, err
		}
		if len(members) == 0 || len(members) > maxAudienceMembers {
			members, out.Memberships = nil, MembershipsNone
		}
	}
	for _, m := range members {
		a.join(m)
	}
	readers, err := s.linkedReaders(ctx, conn, realm, a)
	if err != nil {
		return out, err
	}
	a.report(&out, readers)
	return out, nil
}

// memberships returns the stored memberships of a connection, as many as can be used and one more.
func (s *Store) memberships(ctx context.Context, conn Connection) ([]connectors.Membership, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT m.kind, m.external_id, m.name, g.kind, g.external_id, g.name
		FROM membership x JOIN principal m ON m.id = x.member_id JOIN principal g ON g.id = x.group_id
		WHERE x.connection_id = $1 LIMIT $2`, conn.ID, maxAudienceMembers+1)
	if err != nil {
		return nil, translate("reading memberships", err)
	}
	list := []connectors.Membership{}
	var m connectors.Membership
	_, err = pgx.ForEachRow(rows, []any{&m.Member.Kind, &m.Member.ID, &m.Member.Name, &m.Group.Kind, &m.Group.ID, &m.Group.Name}, func() error {
		list = append(list, m)
		return nil
	})
	return list, translate("reading memberships", err)
}

// linkedReaders returns the seeds of every reader that is linked in a realm.
func (s *Store) linkedReaders(ctx context.Context, conn Connection, realm string, a *AudienceOf) (map[string][]int, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT r.name, p.kind, p.external_id, p.name FROM reader r JOIN reader_principal l ON l.reader_id = r.id
		JOIN principal p ON p.id = l.principal_id JOIN realm m ON m.id = p.realm_id
		WHERE r.disabled_at IS NULL AND m.source = $1 AND m.external_id = $2`, conn.Source, realm)
	if err != nil {
		return nil, translate("reading readers", err)
	}
	out := map[string][]int{}
	var reader string
	var p connectors.Principal
	_, err = pgx.ForEachRow(rows, []any{&reader, &p.Kind, &p.ID, &p.Name}, func() error {
		out[reader] = append(out[reader], a.number(p))
		return nil
	})
	return out, translate("reading readers", err)
}

// report counts for everybody.
func (a *AudienceOf) report(out *Audience, readers map[string][]int) {
	everybody := a.seedsOf(connectors.Public)
	matched := make([]bool, len(a.counts))
	members := map[int]int{}
	known := map[string][]int{} // people who hold the same can read the same
	sum := func(seeds []int, person bool) int64 {
		held := a.held(append(slices.Clone(everybody), seeds...))
		key := make([]byte, 0, 4*len(held))
		for _, p := range held {
			key = binary.AppendUvarint(key, uint64(p)) //nolint:gosec // an index
			if person {
				members[p]++
			}
		}
		acls, ok := known[string(key)]
		if !ok {
			acls = a.readable(held)
			known[string(key)] = acls
		}
		n := int64(0)
		for _, acl := range acls {
			n += a.counts[acl]
			matched[acl] = true
		}
		return n
	}
	out.Public, out.Organisation = sum(nil, false), sum(a.seedsOf(connectors.Anyone), false)
	for id, p := range a.list {
		if p.Kind != connectors.User {
			continue
		}
		if n := sum([]int{id}, true); n > 0 {
			out.TopPeople = append(out.TopPeople, AudienceEntry{Name: cmp.Or(p.Name, p.ID), Kind: p.Kind, ID: p.ID, Documents: n})
		}
	}
	for name, seeds := range readers {
		if n := sum(seeds, false); n > 0 {
			out.TopReaders = append(out.TopReaders, AudienceEntry{Name: name, Documents: n})
		}
	}
	for acl, ok := range matched {
		if !ok {
			out.Unmatched += a.counts[acl]
		}
	}
	out.TopGroups = a.namedGroups(members)
	out.People, out.Readers = len(out.TopPeople), len(out.TopReaders)
	out.TopPeople, out.TopReaders, out.TopGroups = top(out.TopPeople), top(out.TopReaders), top(out.TopGroups)
}

// namedGroups returns what stands for several people in ACLs, with how many documents name it.
func (a *AudienceOf) namedGroups(members map[int]int) []AudienceEntry {
	out := []AudienceEntry{}
	for id, grants := range a.grants {
		p := a.list[id]
		if p.Kind == connectors.User || p.Kind == connectors.Key {
			continue
		}
		e := AudienceEntry{Name: cmp.Or(p.Name, p.ID), Kind: p.Kind, ID: p.ID, Members: members[id]}
		in := map[int]bool{}
		for _, g := range grants {
			if g.clause > 0 && !in[g.acl] {
				in[g.acl] = true
				e.Documents += a.counts[g.acl]
			}
		}
		if e.Documents > 0 {
			out = append(out, e)
		}
	}
	return out
}

// top returns those with the most documents.
func top(list []AudienceEntry) []AudienceEntry {
	slices.SortFunc(list, func(a, b AudienceEntry) int {
		return cmp.Or(cmp.Compare(b.Documents, a.Documents), cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID))
	})
	return list[:min(len(list), audienceTop)]
}

// String returns the entry in words.
func (e AudienceEntry) String() string {
	if e.Members > 0 {
		return fmt.Sprintf("%s (%d people): %d", e.Name, e.Members, e.Documents)
	}
	return fmt.Sprintf("%s: %d", e.Name, e.Documents)
}
