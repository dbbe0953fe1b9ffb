package googledrive

import (
	"encoding/json"
	"strings"
	"testing"

	"tributary/connectors"
)

// FuzzPermissions: whatever a source says of permissions, each reader has a permission of its own behind it, everybody is
// one only where a permission says so, and what is not understood is nobody.
func FuzzPermissions(f *testing.F) {
	for _, seed := range []string{
		`[{"id":"1","type":"user","role":"reader"}]`, `[{"id":"1","type":"anyone","role":"reader","allowFileDiscovery":true}]`, `[{"id":"1","type":"anyone","role":"reader"}]`,
		`[{"id":"1","type":"domain","role":"writer","domain":"Kit.Example","allowFileDiscovery":true}]`, `[{"id":"1","type":"user","role":"viewer"}]`, `[{"type":"user","role":"reader"}]`,
		`[{"id":"1","type":"group","role":"organizer","deleted":true}]`, `[{"id":"1","type":"user","role":"reader","expirationTime":"soon"}]`, `[{"id":"1","type":"robot","role":"reader"}]`,
		`[{"id":"1","type":"user","role":"reader","inheritedPermissionsDisabled":true,"permissionDetails":[{"inherited":true,"inheritedFrom":"d","role":"reader"}]}]`, `[]`, `[{}]`, `null`,
	} {
		f.Add([]byte(seed), false, "")
		f.Add([]byte(seed), true, "d")
	}
	f.Fuzz(func(t *testing.T, raw []byte, limited bool, drive string) {
		var list []permission
		if json.Unmarshal(raw, &list) != nil {
			t.Skip("the page is refused as a whole")
		}
		s := &session{link: linkNobody, groups: groupsDirectory}
		acl := s.aclOf(granted{known: true, list: list, at: moment("2026-03-01T10:00:00Z")}, scope{limited: limited, drive: drive}, nil)
		if err := acl.Validate(); err != nil {
			t.Fatalf("%s: %v", raw, err)
		}
		if len(acl.AllOf) > 1 || len(acl.Deny) > 0 {
			t.Fatalf("%s is %+v", raw, acl)
		}
		for _, clause := range acl.AllOf {
			for _, p := range clause {
				if !backed(list, p) {
					t.Fatalf("%s lets %+v read", raw, p)
				}
			}
		}
		for _, p := range list {
			known := map[string]bool{typeUser: true, typeGroup: true, typeDomain: true, typeAnyone: true}[p.Type]
			if (!known || p.ID == "" || p.Type == typeDomain && p.Domain == "") && acl.Known() {
				t.Fatalf("%s holds what is not understood, and lets %+v read", raw, acl.AllOf)
			}
		}
		if got := s.aclOf(granted{list: list}, scope{}, nil); got.Known() {
			t.Fatalf("permissions that could not be read let %+v read", got)
		}
	})
}

// backed reports whether a permission of the list names p.
func backed(list []permission, p connectors.Principal) bool {
	for _, x := range list {
		if x.Deleted || x.View != "" {
			continue
		}
		switch p.Kind {
		case connectors.User, connectors.Group:
			if string(p.Kind) == x.Type && p.ID == x.ID {
				return true
			}
		case connectors.Domain:
			if x.Type == typeDomain && x.Discoverable && p.ID == strings.ToLower(x.Domain) {
				return true
			}
		case connectors.Public:
			if x.Type == typeAnyone && x.Discoverable {
				return true
			}
		case connectors.Anyone, connectors.Key:
		}
	}
	return false
}
