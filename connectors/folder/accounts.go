package folder

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"tributary/connectors"
)

// Account is a user of the system.
type Account struct {
	Name string
	UID  uint32
	// GID is the primary group.
	GID uint32
}

// AccountGroup is a group of the system with its members by name.
type AccountGroup struct {
	Name    string
	GID     uint32
	Members []string
}

// Accounts are the users and groups of a system.
type Accounts interface {
	// Users and Groups return all that the system enumerates.
	Users(ctx context.Context) ([]Account, error)
	Groups(ctx context.Context) ([]AccountGroup, error)
	// User and Group find one by name, even if it is not enumerated. ok is false
	// for a name that does not exist.
	User(ctx context.Context, name string) (a Account, ok bool, err error)
	Group(ctx context.Context, name string) (g AccountGroup, ok bool, err error)
}

// Groups yields the members of every group, by supplementary and by primary
// group, and every account as a member of Anyone.
func (s *session) Groups(ctx context.Context) iter.Seq2[connectors.Membership, error] {
	return func(yield func(connectors.Membership, error) bool) {
		users, err := s.cfg.Accounts.Users(ctx)
		if err != nil {
			yield(connectors.Membership{}, &connectors.Error{Op: "listing accounts", Class: connectors.Transient, Err: err})
			return
		}
		groups, err := s.cfg.Accounts.Groups(ctx)
		if err != nil {
			yield(connectors.Membership{}, &connectors.Error{Op: "listing groups", Class: connectors.Transient, Err: err})
			return
		}
		for _, m := range memberships(users, groups) {
			if !yield(m, nil) {
				return
			}
		}
	}
}

// memberships returns each membership once, in a fixed order, with the names
// that the lists have. uid 0 is an account of every system, even of one without
// a list of accounts.
func memberships(users []Account, groups []AccountGroup) []connectors.Membership {
	var out []connectors.Membership
	seen := map[connectors.Membership]bool{}
	userNames, groupNames := namesOf(users, groups)
	add := func(uid uint32, group connectors.Principal) {
		m := connectors.Membership{Member: userPrincipal(uid), Group: group}
		m.Member.Name = userNames[uid]
		if !seen[m] {
			seen[m] = true
			out = append(out, m)
		}
	}
	groupOf := func(gid uint32) connectors.Principal {
		g := groupPrincipal(gid)
		g.Name = groupNames[gid]
		return g
	}
	add(rootUser, anyone())
	byName := map[string][]uint32{}
	for _, u := range users {
		byName[u.Name] = append(byName[u.Name], u.UID)
		add(u.UID, anyone())
		add(u.UID, groupOf(u.GID))
	}
	for _, g := range groups {
		for _, name := range g.Members {
			for _, uid := range byName[name] {
				add(uid, groupOf(g.GID))
			}
		}
	}
	return out
}

// namesOf returns what accounts and groups are called, by their numbers. Of
// several names of a number the first counts, as it does for the system.
func namesOf(users []Account, groups []AccountGroup) (ofUsers, ofGroups map[uint32]string) { //nolint:nonamedreturns // the names say which is which
	ofUsers, ofGroups = make(map[uint32]string, len(users)), make(map[uint32]string, len(groups))
	for _, u := range users {
		if _, ok := ofUsers[u.UID]; !ok {
			ofUsers[u.UID] = u.Name
		}
	}
	for _, g := range groups {
		if _, ok := ofGroups[g.GID]; !ok {
			ofGroups[g.GID] = g.Name
		}
	}
	return ofUsers, ofGroups
}

// NamePrincipal resolves unix:NAME, unix:@GROUP, uid:N, group:NAME, gid:N and
// anyone.
func (s *session) NamePrincipal(ctx context.Context, name string) (connectors.Principal, error) {
	const op = "resolving principal"
	fail := func(class connectors.Class, err error) (connectors.Principal, error) {
		return connectors.Principal{}, &connectors.Error{Op: op, Class: class, Err: err}
	}
	prefix, rest, _ := strings.Cut(name, ":")
	if g, ok := strings.CutPrefix(rest, "@"); ok && prefix == "unix" {
		prefix, rest = "group", g
	}
	switch {
	case name == "anyone":
		return anyone(), nil
	case rest == "":
	case prefix == "unix":
		u, ok, err := s.cfg.Accounts.User(ctx, rest)
		if err != nil {
			return fail(connectors.Transient, err)
		}
		if !ok {
			return fail(connectors.Invalid, fmt.Errorf("%q: this machine has no account %s", name, rest))
		}
		p := userPrincipal(u.UID)
		p.Name = u.Name
		return p, nil
	case prefix == "group":
		g, ok, err := s.cfg.Accounts.Group(ctx, rest)
		if err != nil {
			return fail(connectors.Transient, err)
		}
		if !ok {
			return fail(connectors.Invalid, fmt.Errorf("%q: this machine has no group %s", name, rest))
		}
		p := groupPrincipal(g.GID)
		p.Name = g.Name
		return p, nil
	case prefix == "uid", prefix == "gid":
		n, err := strconv.ParseUint(rest, 10, 32)
		if err != nil {
			return fail(connectors.Invalid, fmt.Errorf("%q: %s: takes a number from 0 to 4294967295", name, prefix))
		}
		if prefix == "uid" {
			return userPrincipal(uint32(n)), nil
		}
		return groupPrincipal(uint32(n)), nil
	}
	return fail(connectors.Invalid, fmt.Errorf("%q: write unix:NAME, unix:@GROUP, uid:N, group:NAME, gid:N or anyone", name))
}
