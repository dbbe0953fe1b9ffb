package reference

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

// canary is the credential that must not be seen again.
const canary = "kit-canary-7f3c51d9e2"

// Harness returns the kit's harness for worlds of small pages.
func Harness() connectortest.Harness {
	return connectortest.Harness{Setup: func(connectortest.TB) connectortest.Fixture {
		w := New()
		w.SetPageSize(3)
		w.SetToken(canary)
		return connectortest.Fixture{
			Connector: w.Connector(), Site: NewSite(w),
			Env: connectors.Env{Settings: w.Settings()}, Secret: canary,
		}
	}}
}

// Site is a world under the kit's control.
type Site struct {
	world *World

	mu   sync.Mutex
	ids  map[string]string
	next int
}

var _ connectortest.Site = (*Site)(nil)

// NewSite gives w people and nested groups and puts it under the kit's control.
func NewSite(w *World) *Site {
	w.AddPeople("alice", "bob", "carol", "dave")
	w.Join(User("alice"), Group("team"))
	w.Join(Group("inner"), Group("team"))
	w.Join(User("bob"), Group("inner"))
	w.Join(Group("team"), Group("inner"))
	w.Join(User("alice"), Group("space"))
	w.Join(User("carol"), Group("space"))
	return &Site{world: w, ids: map[string]string{}}
}

// Put creates or edits the item called name. Ids are the world's own and stay
// when an item moves.
func (s *Site) Put(name, text string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id, ok := s.ids[name]; ok && s.world.Edit(id, text) {
		return id, nil
	}
	s.next++
	id := "item-" + strconv.Itoa(1000+s.next)
	s.ids[name] = id
	s.world.PutItem(Item{ID: id, Path: name, Text: text, ACL: Readers(Everyone())})
	return id, nil
}

// Delete removes an item.
func (s *Site) Delete(id string) error {
	if !s.world.Delete(id) {
		return fmt.Errorf("deleting %q: no such item", id)
	}
	return nil
}

// Move gives an item another path.
func (s *Site) Move(id, name string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.world.Move(id, name) {
		return "", fmt.Errorf("moving %q: no such item", id)
	}
	maps.DeleteFunc(s.ids, func(_, v string) bool { return v == id })
	s.ids[name] = id
	return id, nil
}

// Truth returns what a whole listing finds.
func (s *Site) Truth() ([]connectortest.Item, error) {
	var all []connectortest.Item
	for _, it := range s.world.Truth() {
		all = append(all, connectortest.Item{ID: it.ID, Name: it.Path, Text: it.Text})
	}
	return all, nil
}

// People returns the world's people.
func (s *Site) People() []connectors.Principal { return s.world.People() }

// CanRead is the world's own answer.
func (s *Site) CanRead(person connectors.Principal, id string) bool {
	return s.world.CanRead(person, id)
}

// Share replaces the item's ACL.
func (s *Site) Share(id string, with connectortest.Audience) error {
	acls := map[connectortest.Audience]connectors.ACL{
		connectortest.ForOne:       Readers(User("dave")),
		connectortest.ForGroup:     Readers(Group("inner")),
		connectortest.ForAll:       Readers(Everyone()),
		connectortest.ForBoth:      {AllOf: [][]connectors.Principal{{Group("space")}, {Group("team"), User("dave")}}},
		connectortest.ForAllButOne: {AllOf: [][]connectors.Principal{{Everyone()}}, Deny: []connectors.Principal{User("bob")}},
		connectortest.ForUnknown:   {},
	}
	acl, ok := acls[with]
	if !ok {
		return fmt.Errorf("sharing %q with %q: no such audience", id, with)
	}
	if !s.world.SetACL(id, acl) {
		return fmt.Errorf("sharing %q: no such item", id)
	}
	return nil
}

// Memberships returns the world's memberships.
func (s *Site) Memberships() ([]connectors.Membership, error) { return s.world.Memberships(), nil }

// Emails returns the addresses of the world's people.
func (s *Site) Emails() ([]connectors.Person, error) { return s.world.Emails(), nil }

// ChangeMembership takes alice out of the space and puts dave in.
func (s *Site) ChangeMembership() error {
	s.world.Leave(User("alice"), Group("space"))
	s.world.Join(User("dave"), Group("space"))
	return nil
}

// Fail sets one of the kit's faults.
func (s *Site) Fail(f connectortest.Fault) error {
	s.world.Fail(FaultOn{On: f.On, Kind: f.Kind, Name: f.Name, Page: f.Page, Times: f.Times, RetryAfter: f.RetryAfter})
	return nil
}

// Mend takes every fault away.
func (s *Site) Mend() { s.world.Mend() }

// BodyOpens returns how many bodies were opened.
func (s *Site) BodyOpens() (int, error) { return s.world.Counts().Bodies, nil }

// Names returns a person's and a group's name.
func (s *Site) Names() (map[string]connectors.Principal, error) {
	if !slices.Contains(s.world.People(), User("alice")) {
		return nil, errors.New("naming alice: the world has lost her")
	}
	return map[string]connectors.Principal{"ref:alice": User("alice"), "ref:@team": Group("team")}, nil
}
