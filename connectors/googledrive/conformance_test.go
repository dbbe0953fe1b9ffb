package googledrive

import (
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/internal/httpx"
)

var (
	_ connectortest.Site = (*site)(nil)

	// once leaves repeating to the kit.
	once = httpx.Retry{Attempts: 1}
)

// Put creates or edits a file. What lies in a folder called deep is a Google
// document, all else a file of bytes.
func (s *site) Put(name, text string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	up := s.home(path.Dir(name))
	for _, n := range s.nodes {
		if n.mime != typeFolder && n.parent == up.id && n.name == path.Base(name) && !s.inTrash(n) {
			n.text, n.modified = text, s.tick()
			s.noted(n)
			return n.id, nil
		}
	}
	mime := "text/markdown"
	if up.name == "deep" {
		mime = typeDoc
	}
	return s.add(node{name: path.Base(name), parent: up.id, drive: up.drive, owner: up.owner, mime: mime, text: text}).id, nil
}

// Delete removes a file for good.
func (s *site) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.noted(s.nodes[id])
	delete(s.nodes, id)
	return nil
}

// Move gives a file another name and folder, also in another drive; its id
// stays.
func (s *site) Move(id, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, up := s.nodes[id], s.home(path.Dir(name))
	s.noted(n)
	n.name, n.parent, n.drive, n.owner = path.Base(name), up.id, up.drive, up.owner
	s.noted(n)
	return id, nil
}

// Truth returns every file that is not in the trash.
func (s *site) Truth() ([]connectortest.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []connectortest.Item
	for _, id := range s.ids() {
		if n := s.nodes[id]; n.mime != typeFolder && n.mime != typeShortcut && !s.inTrash(n) {
			all = append(all, connectortest.Item{ID: id, Name: s.name(n), Text: n.text})
		}
	}
	return all, nil
}

// People returns those who can sign in, as the directory knows them, but for
// the account itself.
func (s *site) People() []connectors.Principal {
	all := []connectors.Principal{byPermission(account)}
	for _, id := range []string{"bob", "carol", "dave"} {
		all = append(all, byDirectory(id))
	}
	return all
}

func byPermission(id string) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: permissionID(share{kind: typeUser, who: id})}
}

// CanRead is the site's own rule.
func (s *site) CanRead(who connectors.Principal, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[id] != nil && s.reads(strings.TrimPrefix(strings.TrimPrefix(who.ID, "directory:1"), "06"), s.nodes[id])
}

// Share replaces the grants that stand on a file itself.
func (s *site) Share(id string, with connectortest.Audience) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	reader := func(kind, who string) share { return share{kind: kind, who: who, role: roleReader} }
	var own []share
	switch with {
	case connectortest.ForOne:
		own = []share{reader(typeUser, "dave"), {kind: typeAnyone, role: roleReader, link: true}}
	case connectortest.ForGroup:
		own = []share{reader(typeGroup, "team")}
	case connectortest.ForAll:
		own = []share{reader(typeDomain, domain)}
	case connectortest.ForUnknown:
		own = []share{reader(typeUser, "dave")}
	default:
		return errors.ErrUnsupported
	}
	n := s.nodes[id]
	n.shares, n.limited, n.hidden = own, with == connectortest.ForOne, with == connectortest.ForUnknown
	if n.owner != account && n.drive == "" {
		n.shares = append(n.shares, share{kind: typeUser, who: account, role: roleWriter})
	}
	s.noted(n)
	return nil
}

// Emails are those of the organisation's people: suspended accounts have none.
func (s *site) Emails() ([]connectors.Person, error) {
	var all []connectors.Person
	for id, p := range s.people {
		for _, address := range append([]string{p.email}, p.alias...) {
			if p.active && !p.outside {
				all = append(all, connectors.Person{Principal: connectors.Principal{Kind: connectors.User, ID: "directory:1" + id}, Email: address, Verified: true})
			}
		}
	}
	return all, nil
}

// Memberships are those of shared drives, and of the groups and domains that
// something is shared with; people are joined to their permissions.
func (s *site) Memberships() ([]connectors.Membership, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ms []connectors.Membership
	seen := map[share]bool{}
	look := func(sh share) {
		if !sh.deleted {
			seen[share{kind: sh.kind, who: sh.who}] = true
		}
	}
	for id, d := range s.drives {
		if !s.joined(id) {
			continue
		}
		for _, sh := range d.members {
			look(sh)
			if !sh.deleted && sh.expires == "" {
				kind := map[string]connectors.PrincipalKind{typeUser: connectors.User, typeGroup: connectors.Group}[sh.kind]
				ms = append(ms, connectors.Membership{
					Member: connectors.Principal{Kind: kind, ID: permissionID(sh)}, Group: connectors.Principal{Kind: connectors.Group, ID: "drive:" + id},
				})
			}
		}
	}
	for _, id := range s.ids() {
		if n := s.nodes[id]; !n.hidden && !s.inTrash(n) {
			for _, sh := range s.effective(n) {
				look(sh)
			}
		}
	}
	for sh := range seen {
		switch sh.kind {
		case typeUser:
			if s.people[sh.who].active && (!s.people[sh.who].outside || s.inGroup(seen, sh.who)) {
				ms = append(ms, connectors.Membership{Member: byPermission(sh.who), Group: byDirectory(sh.who)}, connectors.Membership{Member: byDirectory(sh.who), Group: byPermission(sh.who)})
			}
		case typeGroup:
			ms = append(ms, s.groupMembers(sh)...)
		case typeDomain:
			for id, p := range s.people {
				if p.active && strings.HasSuffix(p.email, "@"+sh.who) {
					ms = append(ms, connectors.Membership{Member: byDirectory(id), Group: connectors.Principal{Kind: connectors.Domain, ID: sh.who}})
				}
			}
		}
	}
	return ms, nil
}

func byDirectory(id string) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: "directory:1" + id}
}

func (s *site) inGroup(seen map[share]bool, who string) bool {
	for sh := range seen {
		if sh.kind == typeGroup && slices.Contains(s.flat(sh.who), who) {
			return true
		}
	}
	return false
}

func (s *site) groupMembers(sh share) []connectors.Membership {
	var ms []connectors.Membership
	group := connectors.Principal{Kind: connectors.Group, ID: permissionID(sh)}
	if s.groups[sh.who].customer {
		all := connectors.Principal{Kind: connectors.Group, ID: "customer:" + customer}
		ms = append(ms, connectors.Membership{Member: all, Group: group})
		group = all
	}
	for _, id := range s.flat(sh.who) {
		if s.people[id].active {
			ms = append(ms, connectors.Membership{Member: byDirectory(id), Group: group})
		}
	}
	return ms
}

// ChangeMembership moves dave into the space and carol out, or back.
func (s *site) ChangeMembership() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.groups["space"].users, "carol") {
		s.groups["space"].users = []string{"alice", "dave"}
	} else {
		s.groups["space"].users = []string{"alice", "carol"}
	}
	return nil
}

// Fail sets a fault. The only containers with a listing of their own are shared
// drives.
func (s *site) Fail(f connectortest.Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	aclKinds := []connectortest.FaultKind{connectortest.Forbidden, connectortest.NotFound, connectortest.ServerError}
	switch {
	case f.Kind == connectortest.ExpiredCursor && f.On == connectortest.OnFeed:
		s.epochs["changes"]++
	case f.Kind == connectortest.ExpiredCursor:
		s.epochs["files"]++
	case f.On == connectortest.OnContainer && f.Name != "a", f.On == connectortest.OnACL && !slices.Contains(aclKinds, f.Kind):
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

// BodyOpens counts the downloads and exports.
func (s *site) BodyOpens() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies, nil
}

// Names are people of the directory and a group that is a member of a drive.
func (s *site) Names() (map[string]connectors.Principal, error) {
	return map[string]connectors.Principal{
		"google:alice@" + domain: byDirectory("alice"),
		"SPACE@" + domain:        {Kind: connectors.Group, ID: permissionID(share{kind: typeGroup, who: "space"})},
		"google:dave@" + domain:  byDirectory("dave"),
	}, nil
}

// setup returns how to join a connector to a site of its own.
func setup(t *testing.T) func(connectortest.TB) connectortest.Fixture {
	t.Helper()
	check := official(t)
	return func(tb connectortest.TB) connectortest.Fixture {
		s := newSite(check.Handler)
		client, release := s.client()
		tb.Cleanup(func() {
			release()
			s.close()
		})
		return connectortest.Fixture{
			Connector: New(s.config()), Site: s, Secret: canary,
			Env: connectors.Env{HTTP: client, Settings: map[string]string{settingGroups: groupsDirectory}},
		}
	}
}

// TestConformance is not parallel: the kit looks for goroutines left behind.
func TestConformance(t *testing.T) {
	connectortest.Run(t, connectortest.Harness{Setup: setup(t), Items: 16})
}
