package sandbox

import (
	"errors"
	"path"
	"slices"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

var _ connectortest.Site = (*site)(nil)

// Put creates or edits a file, and the folders above it.
func (s *site) Put(name, text string) (string, error) {
	parent := s.folder(path.Dir(name))
	s.mu.Lock()
	for id, n := range s.items {
		if n.kind == kindFile && n.parent == parent && n.name == path.Base(name) {
			defer s.mu.Unlock()
			n.text = text
			n.revision++
			s.log = append(s.log, feedEntry{id, changeUpsert})
			return id, nil
		}
	}
	s.mu.Unlock()
	everyone := []entry{{principal{Kind: entryAnyone, ID: siteOrg}, roleReader}}
	return s.put(node{kind: kindFile, name: path.Base(name), parent: parent, text: text, inherit: true, entries: everyone}), nil
}

// Delete removes an item.
func (s *site) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, id)
	s.log = append(s.log, feedEntry{id, changeDelete})
	return nil
}

// Move gives a file another name and folder; its id stays.
func (s *site) Move(id, name string) (string, error) {
	parent := s.folder(path.Dir(name))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items[id].parent, s.items[id].name = parent, path.Base(name)
	s.log = append(s.log, feedEntry{id, changeUpsert})
	return id, nil
}

// Truth returns every file.
func (s *site) Truth() ([]connectortest.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []connectortest.Item
	for _, id := range s.ids() {
		if n := s.items[id]; n.kind == kindFile {
			all = append(all, connectortest.Item{ID: id, Name: s.path(id), Text: n.text})
		}
	}
	return all, nil
}

// People returns the people of the organisation who still are there.
func (s *site) People() []connectors.Principal {
	var all []connectors.Principal
	for _, p := range s.people {
		if p.Active && p.domain() == siteHost {
			all = append(all, connectors.Principal{Kind: connectors.User, ID: p.ID})
		}
	}
	return all
}

// CanRead is the rule of the document API, read literally.
func (s *site) CanRead(who connectors.Principal, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := id; at != ""; at = s.items[at].parent {
		if s.items[at] == nil || s.listed(who.ID, s.items[at], true) {
			return false
		}
	}
	return s.granted(who.ID, id)
}

func (s *site) granted(who, id string) bool {
	n := s.items[id]
	own := s.listed(who, n, false)
	switch {
	case n.parent == "":
		return own
	case n.restricted:
		return own && s.granted(who, n.parent)
	case n.inherit:
		return own || s.granted(who, n.parent)
	default:
		return own
	}
}

// listed reports whether one of the item's own entries speaks of the person.
func (s *site) listed(who string, n *node, blocked bool) bool {
	i := slices.IndexFunc(s.people, func(p person) bool { return p.ID == who && p.Active })
	return slices.ContainsFunc(n.entries, func(e entry) bool {
		switch {
		case (e.Role == roleBlocked) != blocked:
			return false
		case e.Principal.Kind == entryPublic:
			return true
		case i < 0:
			return false
		case e.Principal.Kind == entryUser:
			return e.Principal.ID == who
		case e.Principal.Kind == entryGroup:
			return s.member(who, e.Principal.ID, map[string]bool{})
		case e.Principal.Kind == entryAnyone:
			return s.people[i].domain() == siteHost
		case e.Principal.Kind == entryDomain:
			return s.people[i].Verified && s.people[i].domain() == e.Principal.ID
		default:
			return false
		}
	})
}

func (s *site) member(who, group string, seen map[string]bool) bool {
	if seen[group] {
		return false
	}
	seen[group] = true
	for _, g := range s.groups {
		for _, m := range g.Members {
			if g.ID == group && (m.Kind == entryUser && m.ID == who || m.Kind == entryGroup && s.member(who, m.ID, seen)) {
				return true
			}
		}
	}
	return false
}

// Share replaces a file's access; every folder is readable by the space.
func (s *site) Share(id string, with connectortest.Audience) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	reader := func(kind, id string) entry { return entry{principal{Kind: kind, ID: id}, roleReader} }
	n := s.items[id]
	n.inherit, n.restricted = false, false
	switch with {
	case connectortest.ForOne:
		n.entries = []entry{{principal{Kind: entryUser, ID: "dave"}, roleOwner}, reader(entryLink, entryLink)}
	case connectortest.ForGroup:
		n.entries = []entry{{principal{Kind: entryGroup, ID: "inner"}, roleWriter}}
	case connectortest.ForAll:
		n.inherit, n.entries = true, []entry{reader(entryAnyone, siteOrg)}
	case connectortest.ForBoth:
		n.restricted, n.entries = true, []entry{reader(entryGroup, "team"), reader(entryUser, "dave")}
	case connectortest.ForAllButOne:
		n.entries = []entry{reader(entryAnyone, siteOrg), {principal{Kind: entryUser, ID: "bob"}, roleBlocked}}
	case connectortest.ForUnknown:
		n.entries = []entry{reader(entryAnyone, siteOrg), reader("robot", "r2")}
	default:
		return errors.ErrUnsupported
	}
	s.log = append(s.log, feedEntry{id, changeAC})
	return nil
}

// Memberships are those of the people who still are there.
func (s *site) Memberships() ([]connectors.Membership, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ms []connectors.Membership
	for _, who := range []string{"alice", "bob", "carol", "dave"} {
		ms = append(ms,
			connectors.Membership{Member: user(who), Group: connectors.Principal{Kind: connectors.Anyone, ID: siteOrg}},
			connectors.Membership{Member: user(who), Group: connectors.Principal{Kind: connectors.Domain, ID: siteHost}})
	}
	ms = append(ms, connectors.Membership{Member: user("guest"), Group: connectors.Principal{Kind: connectors.Domain, ID: "partner.example"}})
	for _, g := range s.groups {
		for _, m := range g.Members {
			if m.ID == "former" {
				continue
			}
			ms = append(ms, connectors.Membership{
				Member: connectors.Principal{Kind: connectors.PrincipalKind(m.Kind), ID: m.ID},
				Group:  connectors.Principal{Kind: connectors.Group, ID: g.ID},
			})
		}
	}
	return ms, nil
}

// Emails are those of the people who still are there.
func (s *site) Emails() ([]connectors.Person, error) {
	var all []connectors.Person
	for _, p := range s.people {
		if p.ID != "former" && p.Email != "" {
			all = append(all, connectors.Person{Principal: user(p.ID), Email: p.Email, Verified: p.Verified})
		}
	}
	return all, nil
}

func user(id string) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: id}
}

// ChangeMembership takes alice out of the space and puts dave in.
func (s *site) ChangeMembership() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.groups[1].Members = []principal{{Kind: entryUser, ID: "dave"}, {Kind: entryUser, ID: "carol"}}
	return nil
}

// Fail sets a fault. Folders are no requests of their own, and permissions come
// with their item: a refusal is an item without entries.
func (s *site) Fail(f connectortest.Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	aclKinds := []connectortest.FaultKind{connectortest.Forbidden, connectortest.NotFound, connectortest.ServerError}
	switch {
	case f.Kind == connectortest.ExpiredCursor && f.On == connectortest.OnFeed:
		s.epochs["changes"]++
	case f.Kind == connectortest.ExpiredCursor:
		s.epochs["items"]++
	case f.On == connectortest.OnContainer, f.On == connectortest.OnACL && !slices.Contains(aclKinds, f.Kind):
		return errors.ErrUnsupported
	default:
		s.faults = append(s.faults, &siteFault{Fault: f})
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

// Names are a person, a group and everybody.
func (s *site) Names() (map[string]connectors.Principal, error) {
	return map[string]connectors.Principal{
		"sandbox:alice":                 user("alice"),
		"Carol@" + siteHost:             user("carol"),
		"sandbox:dave@" + siteHost:      user("dave"),
		"sandbox:@team":                 {Kind: connectors.Group, ID: "team"},
		"anyone":                        {Kind: connectors.Anyone, ID: siteOrg},
		"sandbox:guest@partner.EXAMPLE": user("guest"),
	}, nil
}
