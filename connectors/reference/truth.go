package reference

import (
	"cmp"
	"slices"

	"tributary/connectors"
)

// Truth returns every item that is to be ingested, in the order of ids.
func (w *World) Truth() []Item {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []Item
	for _, e := range w.sorted() {
		if e.Skip == "" {
			it := e.Item
			it.ACL = cloneACL(it.ACL)
			all = append(all, it)
		}
	}
	return all
}

// People returns the accounts of the realm.
func (w *World) People() []connectors.Principal {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.people)
}

// SetEmails makes all the addresses that the world tells.
func (w *World) SetEmails(all ...connectors.Person) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.emails = append([]connectors.Person{}, all...)
}

// Emails returns what SetEmails was given; without it an address of everybody,
// verified but for the last of them.
func (w *World) Emails() []connectors.Person {
	people := w.People()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.emails != nil {
		return slices.Clone(w.emails)
	}
	all := make([]connectors.Person, len(people))
	for i, p := range people {
		all[i] = connectors.Person{Principal: p, Email: p.ID + "@world.example", Verified: i < len(people)-1}
	}
	return all
}

// Memberships returns every membership, that of each person in [Everyone]
// included, in a fixed order.
func (w *World) Memberships() []connectors.Membership {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.memberships()
}

func (w *World) memberships() []connectors.Membership {
	var all []connectors.Membership
	for _, p := range w.people {
		all = append(all, connectors.Membership{Member: p, Group: Everyone()})
	}
	for m := range w.members {
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b connectors.Membership) int {
		return cmp.Or(
			cmp.Compare(a.Group.Kind, b.Group.Kind), cmp.Compare(a.Group.ID, b.Group.ID),
			cmp.Compare(a.Member.Kind, b.Member.Kind), cmp.Compare(a.Member.ID, b.Member.ID),
		)
	})
	return all
}

// CanRead reports whether person may read the item: the world's own answer,
// found from the ACL down to its members.
func (w *World) CanRead(person connectors.Principal, id string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.items[id]
	if e == nil || len(e.ACL.AllOf) == 0 {
		return false
	}
	for _, p := range e.ACL.Deny {
		if w.includes(p, person, nil) {
			return false
		}
	}
	for _, clause := range e.ACL.AllOf {
		met := false
		for _, p := range clause {
			met = met || w.includes(p, person, nil)
		}
		if !met {
			return false
		}
	}
	return true
}

// includes reports whether person is p or belongs to it; path holds the groups
// on the way, against cycles.
func (w *World) includes(p, person connectors.Principal, path []connectors.Principal) bool {
	switch {
	case p.Kind == connectors.Public:
		return true
	case p == person:
		return true
	case p.Kind == connectors.Anyone:
		return slices.Contains(w.people, person)
	case slices.Contains(path, p):
		return false
	}
	path = append(slices.Clip(path), p)
	for m := range w.members {
		if m.Group == p && w.includes(m.Member, person, path) {
			return true
		}
	}
	return false
}
