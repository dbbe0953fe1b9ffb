package connectors_test

import (
	"slices"
	"testing"

	"tributary/connectors"
)

func user(id string) connectors.Principal {
	return connectors.Principal{Kind: connectors.User, ID: id}
}

func clauses(n int) connectors.ACL {
	return connectors.ACL{AllOf: slices.Repeat([][]connectors.Principal{{user("alice")}}, n)}
}

func TestACLKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		acl  connectors.ACL
		want bool
	}{
		"the zero ACL is nobody":             {connectors.ACL{}, false},
		"no clause is nobody":                {connectors.ACL{AllOf: [][]connectors.Principal{}}, false},
		"denials alone are nobody":           {connectors.ACL{Deny: []connectors.Principal{user("bob")}}, false},
		"an empty clause is nobody":          {connectors.ACL{AllOf: [][]connectors.Principal{{}}}, false},
		"an empty clause beside another":     {connectors.ACL{AllOf: [][]connectors.Principal{{user("alice")}, nil}}, false},
		"one clause is known":                {clauses(1), true},
		"as many clauses as the store holds": {clauses(connectors.MaxClauses), true},
		"one clause too many is nobody":      {clauses(connectors.MaxClauses + 1), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := c.acl.Known(); got != c.want {
				t.Errorf("known %t, want %t", got, c.want)
			}
		})
	}
}

func TestACLValidate(t *testing.T) {
	t.Parallel()
	kinds := []connectors.PrincipalKind{
		connectors.User, connectors.Group, connectors.Domain, connectors.Anyone, connectors.Public, connectors.Key,
	}
	for _, k := range kinds {
		p := connectors.Principal{Kind: k, ID: "x"}
		acl := connectors.ACL{AllOf: [][]connectors.Principal{{p}}, Deny: []connectors.Principal{p}}
		if err := acl.Validate(); err != nil {
			t.Errorf("%s: %v", k, err)
		}
	}
	for name, bad := range map[string]connectors.Principal{
		"no id":             {Kind: connectors.User},
		"no kind":           {ID: "alice"},
		"an unknown kind":   {Kind: "robot", ID: "alice"},
		"a kind's spelling": {Kind: "User", ID: "alice"},
	} {
		for where, acl := range map[string]connectors.ACL{
			"all_of[1]": {AllOf: [][]connectors.Principal{{user("bob")}, {user("carol"), bad}}},
			"deny":      {AllOf: [][]connectors.Principal{{user("bob")}}, Deny: []connectors.Principal{bad}},
		} {
			err := acl.Validate()
			if connectors.ClassOf(err) != connectors.Invalid {
				t.Errorf("%s in %s: class %s (%v)", name, where, connectors.ClassOf(err), err)
			}
		}
	}
	if err := (connectors.ACL{}).Validate(); err != nil {
		t.Errorf("unknown permissions are valid: %v", err)
	}
}
