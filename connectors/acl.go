package connectors

import (
	"errors"
	"fmt"
)

// MaxClauses is the largest number of AllOf clauses that the store can hold. A
// document with more of them is readable by nobody.
const MaxClauses = 40

// PrincipalKind is the kind of a principal.
type PrincipalKind string

// The kinds of principals. Anyone is every account of the realm; Public is
// everybody; Key is an API key that something was shared with.
const (
	User   PrincipalKind = "user"
	Group  PrincipalKind = "group"
	Domain PrincipalKind = "domain"
	Anyone PrincipalKind = "anyone"
	Public PrincipalKind = "public"
	Key    PrincipalKind = "key"
)

// Valid reports whether k is one of the kinds above.
func (k PrincipalKind) Valid() bool {
	switch k {
	case User, Group, Domain, Anyone, Public, Key:
		return true
	default:
		return false
	}
}

// Principal is a user, group, domain or "anyone" in the connection's realm. ID
// is the source's immutable id, compared byte for byte; e-mail addresses and
// names are never ids.
type Principal struct {
	Kind PrincipalKind `json:"kind"`
	ID   string        `json:"id"`
	// Name is for people and takes no part in identity.
	Name string `json:"name,omitempty"`
}

// ACL says who may read a document: a reader matches when one principal of
// every AllOf clause, and none of Deny, is theirs. The zero ACL means unknown
// and lets nobody read; so does an empty clause.
type ACL struct {
	AllOf [][]Principal `json:"all_of,omitempty"`
	Deny  []Principal   `json:"deny,omitempty"`
}

// Known reports whether a grants anybody anything: at least one clause, none
// of them empty, and no more than MaxClauses.
func (a ACL) Known() bool {
	if len(a.AllOf) == 0 || len(a.AllOf) > MaxClauses {
		return false
	}
	for _, c := range a.AllOf {
		if len(c) == 0 {
			return false
		}
	}
	return true
}

// Validate returns an error of class Invalid for a principal without id or of
// an unknown kind. A caller that cannot mend the ACL stores the zero ACL.
func (a ACL) Validate() error {
	check := func(where string, ps []Principal) error {
		for _, p := range ps {
			if !p.Kind.Valid() {
				return &Error{Op: "validating ACL", Class: Invalid, Err: fmt.Errorf("%s: unknown principal kind %q", where, p.Kind)}
			}
			if p.ID == "" {
				return &Error{Op: "validating ACL", Class: Invalid, Err: fmt.Errorf("%s: %w", where, errNoPrincipalID)}
			}
		}
		return nil
	}
	for i, c := range a.AllOf {
		if err := check(fmt.Sprintf("all_of[%d]", i), c); err != nil {
			return err
		}
	}
	return check("deny", a.Deny)
}

var errNoPrincipalID = errors.New("a principal needs an id")

// Membership says that Member belongs to Group. Member may be a group itself;
// cycles are harmless. It may be Public, which every reader is, or Anyone: so a
// group can be open to everybody without a change of any document's ACL.
type Membership struct {
	Member Principal `json:"member"`
	Group  Principal `json:"group"`
}
