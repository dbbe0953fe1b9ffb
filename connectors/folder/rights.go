package folder

import (
	"cmp"
	"math"
	"slices"
	"strconv"

	"tributary/connectors"
)

// The bits of a permission triple, as in a mode and in an ACL entry.
const (
	readBit   = 4
	searchBit = 1
)

// rootUser is uid 0, whom no mode keeps from reading or searching
// (path_resolution(7)).
const rootUser = 0

// anyoneID is the id of the principal that stands for every account.
const anyoneID = "*"

func userPrincipal(uid uint32) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: strconv.FormatUint(uint64(uid), 10)}
}

func groupPrincipal(gid uint32) connectors.Principal {
	return connectors.Principal{Kind: connectors.Group, ID: strconv.FormatUint(uint64(gid), 10)}
}

func anyone() connectors.Principal {
	return connectors.Principal{Kind: connectors.Anyone, ID: anyoneID}
}

// acl is the access control list of one inode: the mode's three classes, and
// the named entries and the mask of an extended ACL (acl(5)).
type acl struct {
	uid, gid            uint32
	owner, group, other uint8
	// mask limits group and the named entries; all bits without extended ACL.
	mask          uint8
	users, groups []named
	// extended says that the inode has more than its mode.
	extended bool
}

type named struct {
	id   uint32
	perm uint8
}

// fromMode is the list of an inode without an extended ACL.
func fromMode(n inode) acl {
	return acl{
		uid: n.uid, gid: n.gid, mask: 7,
		owner: uint8(n.mode >> 6 & 7), group: uint8(n.mode >> 3 & 7), other: uint8(n.mode & 7),
	}
}

// idSpace says which ids name nobody: with a user namespace that maps only some
// ids, the others all read as the overflow id (user_namespaces(7)).
type idSpace struct {
	partial      bool
	overflowUser uint32
	overflowGrp  uint32
}

func (s idSpace) isUser(id uint32) bool {
	return id != math.MaxUint32 && (!s.partial || id != s.overflowUser)
}

func (s idSpace) isGroup(id uint32) bool {
	return id != math.MaxUint32 && (!s.partial || id != s.overflowGrp)
}

// rule says who passes a chain of inodes. Rules are immutable and shared.
type rule struct {
	// clauses are canonical and each needs a match; none is everyone.
	clauses [][]connectors.Principal
	// deny are users whom the first class that speaks of them keeps out.
	deny []connectors.Principal
	// inverted says that the owner or a group has fewer rights than a later
	// class somewhere in the chain.
	inverted bool
	// unknown says that permissions could not be read: nobody passes.
	unknown bool
}

// require returns r and the bit on one more inode.
//
// The kernel asks the classes in the order owner, named users, groups, other;
// the first that speaks of a user decides (acl(5), "ACCESS CHECK ALGORITHM").
// The first two name single users, so they are told exactly: in the clause, or
// in deny. A group without the bit keeps its members from the class of others,
// and who its members are is known only as far as the system enumerates them,
// so then the class of others gets nothing: never more than the kernel grants.
func (r rule) require(a acl, bit uint8, ids idSpace) rule {
	if r.unknown {
		return r
	}
	var clause, deny []connectors.Principal
	decide := func(uid uint32, granted bool) {
		switch {
		case uid == rootUser || !ids.isUser(uid):
		case granted:
			clause = append(clause, userPrincipal(uid))
		default:
			deny = append(deny, userPrincipal(uid))
		}
	}
	clause = append(clause, userPrincipal(rootUser))
	decide(a.uid, a.owner&bit != 0)
	for _, u := range a.users {
		if u.id != a.uid {
			decide(u.id, u.perm&a.mask&bit != 0)
		}
	}
	someGroup, everyGroup := false, true
	grant := func(gid uint32, granted bool) {
		switch {
		case !granted:
			everyGroup = false
		case ids.isGroup(gid):
			someGroup = true
			clause = append(clause, groupPrincipal(gid))
		}
	}
	grant(a.gid, a.group&a.mask&bit != 0)
	for _, g := range a.groups {
		grant(g.id, g.perm&a.mask&bit != 0)
	}
	others := a.other&bit != 0
	if others && everyGroup {
		clause = []connectors.Principal{anyone()}
	}
	// A denial matters only where a later class would let the user in.
	if !someGroup && (!others || !everyGroup) {
		deny = nil
	}
	out := rule{clauses: r.clauses, deny: r.deny, inverted: r.inverted || others && !everyGroup || len(deny) > 0}
	out.clauses = addClause(r.clauses, canonicalClause(clause))
	if len(deny) > 0 {
		out.deny = canonicalSet(slices.Concat(r.deny, deny))
	}
	return out
}

// acl returns the rule for a document; the zero ACL where nobody is known to
// pass.
func (r rule) acl() connectors.ACL {
	switch {
	case r.unknown || len(r.clauses) > connectors.MaxClauses:
		return connectors.ACL{}
	case len(r.clauses) == 0:
		return connectors.ACL{AllOf: [][]connectors.Principal{{anyone()}}, Deny: r.deny}
	default:
		return connectors.ACL{AllOf: r.clauses, Deny: r.deny}
	}
}

func comparePrincipals(a, b connectors.Principal) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
}

func canonicalSet(ps []connectors.Principal) []connectors.Principal {
	slices.SortFunc(ps, comparePrincipals)
	return slices.CompactFunc(ps, func(a, b connectors.Principal) bool { return comparePrincipals(a, b) == 0 })
}

// canonicalClause sorts a clause; one that holds anyone is anyone alone.
func canonicalClause(ps []connectors.Principal) []connectors.Principal {
	if slices.ContainsFunc(ps, func(p connectors.Principal) bool { return p.Kind == connectors.Anyone }) {
		return []connectors.Principal{anyone()}
	}
	return canonicalSet(ps)
}

// addClause returns clauses with c, in canonical order and without those that
// another implies: anyone always does nothing, and a superset of a clause is
// met whenever the clause is. The arguments are not changed.
func addClause(clauses [][]connectors.Principal, c []connectors.Principal) [][]connectors.Principal {
	if len(c) == 1 && c[0].Kind == connectors.Anyone {
		return clauses
	}
	for _, have := range clauses {
		if includes(c, have) {
			return clauses
		}
	}
	out := make([][]connectors.Principal, 0, len(clauses)+1)
	for _, have := range clauses {
		if !includes(have, c) {
			out = append(out, have)
		}
	}
	out = append(out, c)
	slices.SortFunc(out, func(a, b []connectors.Principal) int { return slices.CompareFunc(a, b, comparePrincipals) })
	return out
}

// includes reports whether every principal of small is in big.
func includes(big, small []connectors.Principal) bool {
	for _, p := range small {
		if _, ok := slices.BinarySearchFunc(big, p, comparePrincipals); !ok {
			return false
		}
	}
	return len(small) <= len(big)
}
