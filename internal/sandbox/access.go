package sandbox

import (
	"slices"
	"strings"

	"tributary/internal/sandbox/company"
)

// reader is somebody whose access is asked for.
type reader struct {
	// all is the organisation itself: a client that speaks for nobody.
	all    bool
	person company.Person
	groups map[string]bool
	// domain is the organisation's.
	domain string
}

// reader returns the person with every group that the person is in, however deep.
func (d *drive) reader(personID string) reader {
	r := reader{groups: map[string]bool{}, domain: d.Organisation.Domain}
	i := slices.IndexFunc(d.People, func(p company.Person) bool { return p.ID == personID })
	if i < 0 || !d.People[i].Active {
		return r
	}
	r.person = d.People[i]
	for grew := true; grew; {
		grew = false
		for _, g := range d.Groups {
			if !r.groups[g.ID] && slices.ContainsFunc(g.Members, r.isMember) {
				r.groups[g.ID], grew = true, true
			}
		}
	}
	return r
}

func (r reader) isMember(m company.Ref) bool {
	return (m.Kind == kindUser && m.ID == r.person.ID) || (m.Kind == kindGroup && r.groups[m.ID])
}

// matches reports whether an entry speaks of the reader. A link is held by nobody in particular.
func (r reader) matches(e company.Entry) bool {
	switch e.Kind {
	case kindUser:
		return r.person.ID != "" && e.ID == r.person.ID
	case kindGroup:
		return r.groups[e.ID]
	case kindDomain:
		_, domain, ok := strings.Cut(r.person.Email, "@")
		return ok && r.person.Verified && strings.EqualFold(domain, e.ID)
	case kindAnyone:
		// The address says whose person somebody is, proven or not: a guest has one of another domain.
		_, domain, ok := strings.Cut(r.person.Email, "@")
		return ok && strings.EqualFold(domain, r.domain)
	case kindPublic:
		return r.person.ID != ""
	default:
		return false
	}
}

// entitled reports whether an entry gives the reader one of the roles.
func (r reader) entitled(entries []company.Entry, roles ...string) bool {
	return slices.ContainsFunc(entries, func(e company.Entry) bool { return slices.Contains(roles, e.Role) && r.matches(e) })
}

// canRead reports whether the reader may read the item: readers are those of its own entries and, where it inherits,
// those of its parent; where it is restricted they must be both; who is blocked anywhere on the path is out.
func (d *drive) canRead(r reader, it *record) bool {
	if it.Deleted || (!r.all && r.person.ID == "") {
		return false
	}
	return r.all || (!d.blocked(r, it) && d.has(r, it, roleOwner, roleWriter, roleReader))
}

// canWrite reports whether the reader may change the item.
func (d *drive) canWrite(r reader, it *record) bool {
	return d.canRead(r, it) && d.has(r, it, roleOwner, roleWriter)
}

func (d *drive) blocked(r reader, it *record) bool {
	for p := it; p != nil; p = d.Items[p.ParentID] {
		if r.entitled(p.Entries, roleBlocked) {
			return true
		}
	}
	return false
}

// has follows the path upwards. An item at the root has no parent whose readers could count or be asked for.
func (d *drive) has(r reader, it *record, roles ...string) bool {
	own, parent := r.entitled(it.Entries, roles...), d.Items[it.ParentID]
	switch {
	case parent == nil:
		return own
	case it.Restricted:
		return own && d.has(r, parent, roleOwner, roleWriter, roleReader)
	default:
		return own || (it.Inherit && d.has(r, parent, roles...))
	}
}

// CanRead reports whether a person may read an item that is not deleted.
func (w *World) CanRead(personID, itemID string) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	it, ok := w.d.Items[itemID]
	return ok && w.d.canRead(w.d.reader(personID), it)
}

// CanWrite reports whether a person may change an item.
func (w *World) CanWrite(personID, itemID string) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	it, ok := w.d.Items[itemID]
	return ok && w.d.canWrite(w.d.reader(personID), it)
}

// path returns the names from the root to the item, from the first that the reader may read.
func (d *drive) path(r reader, it *record) string {
	names := []string{it.Name}
	for p := d.Items[it.ParentID]; p != nil && d.canRead(r, p); p = d.Items[p.ParentID] {
		names = append(names, p.Name)
	}
	slices.Reverse(names)
	for i, n := range names {
		names[i] = strings.ReplaceAll(n, "/", "_")
	}
	return strings.Join(names, "/")
}
