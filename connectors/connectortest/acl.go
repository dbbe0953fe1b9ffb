package connectortest

import (
	"slices"
	"strings"

	"tributary/connectors"
)

// circle is what one person is: their own principal and, over memberships,
// every group they belong to.
type circle struct {
	insider bool
	is      map[connectors.Principal]bool
}

func plain(p connectors.Principal) connectors.Principal {
	p.Name = ""
	return p
}

// circleOf closes person over ms. Everybody is the public, and a person of the
// realm is "anyone" in it.
func circleOf(person connectors.Principal, people []connectors.Principal, ms []connectors.Membership) circle {
	c := circle{is: map[connectors.Principal]bool{plain(person): true}}
	for _, p := range people {
		c.insider = c.insider || plain(p) == plain(person)
	}
	for grown := true; grown; {
		grown = false
		for _, m := range ms {
			if c.matches(m.Member) && !c.is[plain(m.Group)] {
				c.is[plain(m.Group)] = true
				grown = true
			}
		}
	}
	return c
}

func (c circle) matches(p connectors.Principal) bool {
	switch p.Kind {
	case connectors.Public:
		return true
	case connectors.Anyone:
		return c.insider || c.is[plain(p)]
	case connectors.User, connectors.Group, connectors.Domain, connectors.Key:
		return c.is[plain(p)]
	default:
		return false
	}
}

// reads reports whether acl lets the circle's person read: unknown is nobody,
// denials win, and every clause needs a match.
func (c circle) reads(acl connectors.ACL) bool {
	if !acl.Known() || slices.ContainsFunc(acl.Deny, c.matches) {
		return false
	}
	for _, clause := range acl.AllOf {
		if !slices.ContainsFunc(clause, c.matches) {
			return false
		}
	}
	return true
}

// aclKey is equal for equal ACLs, whatever their order.
func aclKey(a connectors.ACL) string {
	list := func(ps []connectors.Principal) string {
		var ids []string
		for _, p := range ps {
			ids = append(ids, string(p.Kind)+":"+p.ID)
		}
		slices.Sort(ids)
		return strings.Join(slices.Compact(ids), " ")
	}
	var clauses []string
	for _, c := range a.AllOf {
		clauses = append(clauses, list(c))
	}
	slices.Sort(clauses)
	return "[" + strings.Join(slices.Compact(clauses), "][") + "] deny[" + list(a.Deny) + "]"
}
