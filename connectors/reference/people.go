package reference

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

var (
	_ connectors.GroupLister    = (*Session)(nil)
	_ connectors.PeopleLister   = (*Session)(nil)
	_ connectors.Fetcher        = (*Session)(nil)
	_ connectors.Chooser        = (*Session)(nil)
	_ connectors.Verifier       = (*Session)(nil)
	_ connectors.Realmer        = (*Session)(nil)
	_ connectors.PrincipalNamer = (*Session)(nil)
)

// Groups yields every membership. A fault strikes in the middle of them.
func (s *Session) Groups(ctx context.Context) iter.Seq2[connectors.Membership, error] {
	const op = "listing groups of a world"
	return func(yield func(connectors.Membership, error) bool) {
		struck, err := s.world.request(ctx, connectortest.OnGroups, "")
		if err != nil {
			yield(connectors.Membership{}, &connectors.Error{Op: op, Class: connectors.Transient, Err: err})
			return
		}
		all := s.world.Memberships()
		broken := failure(op, struck, false, connectors.ItemRef{})
		for i, m := range all {
			if broken != nil && i == len(all)/2 {
				break
			}
			if !yield(m, nil) {
				return
			}
		}
		if broken != nil {
			yield(connectors.Membership{}, broken)
		}
	}
}

// People yields an address of everybody: verified, but for the last of them. A
// fault strikes in the middle of them.
func (s *Session) People(ctx context.Context) iter.Seq2[connectors.Person, error] {
	const op = "listing people of a world"
	return func(yield func(connectors.Person, error) bool) {
		struck, err := s.world.request(ctx, connectortest.OnPeople, "")
		if err != nil {
			yield(connectors.Person{}, &connectors.Error{Op: op, Class: connectors.Transient, Err: err})
			return
		}
		broken := failure(op, struck, false, connectors.ItemRef{})
		all := s.world.Emails()
		for i, p := range all {
			if broken != nil && i == len(all)/2 {
				break
			}
			if !yield(p, nil) {
				return
			}
		}
		if broken != nil {
			yield(connectors.Person{}, broken)
		}
	}
}

// Choices yields the containers directly below parent.
func (s *Session) Choices(ctx context.Context, parent string) iter.Seq2[connectors.Choice, error] {
	return func(yield func(connectors.Choice, error) bool) {
		struck, err := s.world.request(ctx, connectortest.OnListing, "")
		if err == nil {
			err = failure("listing containers of a world", struck, false, connectors.ItemRef{})
		}
		if err != nil {
			yield(connectors.Choice{}, err)
			return
		}
		for _, c := range s.world.choices(parent) {
			if !yield(c, nil) {
				return
			}
		}
	}
}

func (w *World) choices(parent string) []connectors.Choice {
	w.mu.Lock()
	defer w.mu.Unlock()
	below := map[string]bool{}
	for _, e := range w.items {
		rest := container(e.Path)
		if parent != "" {
			var ok bool
			if rest, ok = strings.CutPrefix(rest, parent+"/"); !ok {
				continue
			}
		}
		if first, deeper, _ := strings.Cut(rest, "/"); first != "" {
			below[first] = below[first] || deeper != ""
		}
	}
	var all []connectors.Choice
	for _, name := range slices.Sorted(maps.Keys(below)) {
		id := name
		if parent != "" {
			id = parent + "/" + name
		}
		all = append(all, connectors.Choice{ID: id, Name: name, HasChildren: below[name]})
	}
	return all
}

// Verify counts the items.
func (s *Session) Verify(ctx context.Context) (string, error) {
	const op = "verifying a world"
	struck, err := s.world.request(ctx, connectortest.OnListing, "")
	if err != nil {
		return "", &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
	}
	if err := failure(op, struck, false, connectors.ItemRef{}); err != nil {
		return "", err
	}
	return fmt.Sprintf("a world of %d documents", len(s.world.Truth())), nil
}

// Realm returns the world's name.
func (s *Session) Realm(context.Context) (string, error) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return s.world.name, nil
}

// NamePrincipal resolves "ref:alice", a person, and "ref:@team", a group.
func (s *Session) NamePrincipal(_ context.Context, name string) (connectors.Principal, error) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	id, prefixed := strings.CutPrefix(name, "ref:")
	group, isGroup := strings.CutPrefix(id, "@")
	if prefixed && !isGroup && slices.Contains(s.world.people, User(id)) {
		return User(id), nil
	}
	if prefixed && isGroup {
		for m := range s.world.members {
			if m.Group == Group(group) {
				return m.Group, nil
			}
		}
	}
	return connectors.Principal{}, &connectors.Error{
		Op: "naming a principal", Class: connectors.Invalid,
		Err: fmt.Errorf("%q is nobody in this world: write ref:NAME for a person, ref:@NAME for a group", name),
	}
}

// Self returns the first of the world's people: whose grant it would be.
func (s *Session) Self(context.Context) (connectors.Principal, error) {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	if len(s.world.people) == 0 {
		return connectors.Principal{}, &connectors.Error{Op: "asking whose grant it is", Class: connectors.Invalid, Err: errors.New("nobody is there")}
	}
	return s.world.people[0], nil
}
