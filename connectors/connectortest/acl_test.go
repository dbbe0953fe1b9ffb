package connectortest

import (
	"testing"

	"tributary/connectors"
)

// TestCircles: everybody is the public, and only people of the realm are anyone
// in it, also where those are members of a group.
func TestCircles(t *testing.T) {
	t.Parallel()
	ann := connectors.Principal{Kind: connectors.User, ID: "ann"}
	group := func(id string) connectors.Principal { return connectors.Principal{Kind: connectors.Group, ID: id} }
	ms := []connectors.Membership{
		{Member: connectors.Principal{Kind: connectors.Public, ID: "public"}, Group: group("open")},
		{Member: connectors.Principal{Kind: connectors.Anyone, ID: "realm"}, Group: group("staff")},
		{Member: group("open"), Group: group("wide")},
		{Member: ann, Group: group("few")},
	}
	for id, want := range map[string]struct{ ann, stranger bool }{
		"open": {true, true}, "wide": {true, true}, "staff": {true, false}, "few": {true, false}, "empty": {false, false},
	} {
		acl := connectors.ACL{AllOf: [][]connectors.Principal{{group(id)}}}
		people := []connectors.Principal{ann}
		if got := circleOf(ann, people, ms).reads(acl); got != want.ann {
			t.Errorf("%s: ann reads it: %t", id, got)
		}
		if got := circleOf(stranger(), people, ms).reads(acl); got != want.stranger {
			t.Errorf("%s: a stranger reads it: %t", id, got)
		}
	}
}
