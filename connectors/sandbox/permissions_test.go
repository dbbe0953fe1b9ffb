package sandbox

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"tributary/connectors"
)

// publicKey is what everybody is, and nobody who has left.
const publicKey = "public:public"

// circle is everything that a person is by memberships.
func circle(who string, ms []connectors.Membership) map[string]bool {
	is := map[string]bool{"user:" + who: true, publicKey: true}
	key := func(p connectors.Principal) string { return string(p.Kind) + ":" + p.ID }
	for grew := true; grew; {
		grew = false
		for _, m := range ms {
			if is[key(m.Member)] && !is[key(m.Group)] {
				is[key(m.Group)], grew = true, true
			}
		}
	}
	return is
}

func readsBy(is map[string]bool, acl connectors.ACL) bool {
	one := func(p connectors.Principal) bool { return is[string(p.Kind)+":"+p.ID] }
	if !acl.Known() || slices.ContainsFunc(acl.Deny, one) {
		return false
	}
	for _, c := range acl.AllOf {
		if !slices.ContainsFunc(c, one) {
			return false
		}
	}
	return true
}

// TestACLIsTheSitesOwnAnswer makes trees of folders with any mixture of
// inherited, private and restricted access, and compares every person's answer
// by ACL and memberships with the site's.
func TestACLIsTheSitesOwnAnswer(t *testing.T) {
	t.Parallel()
	granted, denied := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		s, session := started(t)
		grow(rt, s)
		var ms []connectors.Membership
		for m, err := range session.Groups(context.Background()) {
			if err != nil {
				rt.Fatal(err)
			}
			ms = append(ms, m)
		}
		for id, acl := range acls(t, session) {
			for _, p := range s.people {
				is := circle(p.ID, ms)
				if !p.Active {
					delete(is, publicKey)
				}
				ours, theirs := readsBy(is, acl), (p.Active && s.CanRead(user(p.ID), id))
				if ours != theirs {
					rt.Fatalf("%s of %s: by the ACL %t, at the site %t: %+v", p.ID, s.path(id), ours, theirs, acl)
				}
				if theirs {
					granted++
				} else {
					denied++
				}
			}
		}
	})
	if granted < 100 || denied < 100 {
		t.Errorf("%d grants and %d denials prove little", granted, denied)
	}
}

// grow puts a random tree on the site.
func grow(rt *rapid.T, s *site) {
	principals := []principal{
		{Kind: entryUser, ID: "alice"},
		{Kind: entryUser, ID: "dave"},
		{Kind: entryUser, ID: "guest"},
		{Kind: entryUser, ID: "unproven"},
		{Kind: entryUser, ID: "former"},
		{Kind: entryGroup, ID: "team"},
		{Kind: entryGroup, ID: "space"},
		{Kind: entryGroup, ID: "void"},
		{Kind: entryAnyone, ID: siteOrg},
		{Kind: entryPublic, ID: entryPublic},
		{Kind: entryLink, ID: entryLink},
		{Kind: entryDomain, ID: "partner.example"},
	}
	entries := func() []entry {
		return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) entry {
			roles := []string{roleOwner, roleWriter, roleReader, roleReader, roleReader, roleBlocked}
			return entry{rapid.SampledFrom(principals).Draw(t, "principal"), rapid.SampledFrom(roles).Draw(t, "role")}
		}), 0, 3).Draw(rt, "entries")
	}
	folders := []string{""}
	for range rapid.IntRange(3, 10).Draw(rt, "items") {
		n := node{
			kind: kindFolder, name: "n", parent: rapid.SampledFrom(folders).Draw(rt, "parent"),
			inherit: rapid.Bool().Draw(rt, "inherit"), restricted: rapid.IntRange(0, 2).Draw(rt, "restricted") == 0, entries: entries(),
		}
		folders = append(folders, s.put(n))
		n.kind, n.parent = kindFile, folders[len(folders)-1]
		n.inherit, n.restricted, n.entries = rapid.Bool().Draw(rt, "inherit"), rapid.IntRange(0, 2).Draw(rt, "restricted") == 0, entries()
		s.put(n)
	}
}

// TestUntoldPermissionsAreNobody: what is missing, unknown or out of sight
// makes the zero ACL.
func TestUntoldPermissionsAreNobody(t *testing.T) {
	t.Parallel()
	anyReader := entry{principal{Kind: entryAnyone, ID: siteOrg}, roleReader}
	for name, spoil := range map[string]func(s *site, id string){
		"an unknown kind": func(s *site, id string) {
			s.items[id].entries = []entry{anyReader, {principal{Kind: "robot", ID: "1"}, roleReader}}
		},
		"an unknown role": func(s *site, id string) {
			s.items[id].entries = []entry{anyReader, {principal{Kind: entryUser, ID: "bob"}, "pilot"}}
		},
		"a principal without id": func(s *site, id string) {
			s.items[id].entries = []entry{anyReader, {principal{Kind: entryGroup}, roleReader}}
		},
		"an unknown kind on the folder": func(s *site, id string) {
			s.items[s.items[id].parent].entries = []entry{{principal{Kind: "robot", ID: "1"}, roleBlocked}}
		},
		"a folder that cannot be seen":      func(s *site, id string) { s.hide[s.items[id].parent] = true },
		"a folder's folder that lies in it": func(s *site, id string) { p := s.items[id].parent; s.items[p].parent = p },
		"restricted to nobody":              func(s *site, id string) { s.items[id].restricted, s.items[id].entries = true, nil },
		"private with nobody named":         func(s *site, id string) { s.items[id].inherit, s.items[id].entries = false, nil },
		"shared by link alone": func(s *site, id string) {
			s.items[id].inherit, s.items[id].entries = false, []entry{{principal{Kind: entryLink}, roleReader}}
		},
		"restricted in more folders than fit": func(s *site, id string) { nest(s, id, connectors.MaxClauses) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, session := started(t)
			id := fileCalled(t, s, "a/one.md")
			if !acls(t, session)[id].Known() {
				t.Fatal("the file is readable by nobody to begin with")
			}
			spoil(s, id)
			acl, listed := acls(t, session)[id]
			if !listed || acl.Known() || len(acl.AllOf) > 0 {
				t.Errorf("listed %t, ACL %+v, want the zero ACL", listed, acl)
			}
		})
	}
}

// nest moves the file into as many restricted folders.
func nest(s *site, id string, depth int) {
	parent := s.items[id].parent
	for range depth {
		parent = s.put(node{kind: kindFolder, name: "r", parent: parent, restricted: true, entries: s.items[id].entries})
	}
	s.items[id].parent, s.items[id].restricted = parent, true
}

func fileCalled(t *testing.T, s *site, name string) string {
	t.Helper()
	items, _ := s.Truth()
	for _, it := range items {
		if it.Name == name {
			return it.ID
		}
	}
	t.Fatalf("no file %s", name)
	return ""
}

// TestLinkSharing: whoever has the link is nobody, unless the admin says that
// it is anyone of the organisation.
func TestLinkSharing(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]bool{"": false, linkNobody: false, linkAnyone: true} {
		s, session := started(t, func(e *connectors.Env) { e.Settings[settingLink] = setting })
		id := fileCalled(t, s, "b/three.md")
		s.items[id].inherit, s.items[id].entries = false, []entry{{principal{Kind: entryLink, ID: entryLink}, roleReader}}
		acl := acls(t, session)[id]
		if acl.Known() != want {
			t.Errorf("link_sharing=%q: ACL %+v", setting, acl)
		}
		if want && acl.AllOf[0][0] != anyone(siteOrg) {
			t.Errorf("link_sharing=%q: %+v, want anyone of %s", setting, acl, siteOrg)
		}
	}
}

// TestAFolderClosesWhatLiesInIt: a change of a folder reaches its files through
// the permission feed and through the change feed, also where the session read
// the folder before.
func TestAFolderClosesWhatLiesInIt(t *testing.T) {
	t.Parallel()
	s, session := started(t)
	id := fileCalled(t, s, "a/deep/two.md")
	s.items[id].entries = nil
	start, err := session.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !acls(t, session)[id].Known() {
		t.Fatal("the file inherits nothing")
	}
	top := s.items[s.items[s.items[id].parent].parent]
	top.entries = []entry{{principal{Kind: entryUser, ID: "dave"}, roleReader}}
	s.log = append(s.log, feedEntry{top.id, changeAC}, feedEntry{id, changeAC})
	want := [][]connectors.Principal{{user("dave")}}
	if got := acls(t, session)[id]; len(got.AllOf) != 1 || !slices.Equal(got.AllOf[0], want[0]) {
		t.Errorf("permissions: %+v, want %+v", got, want)
	}
	var last connectors.ACL
	for page, err := range session.Changes(t.Context(), start) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			if c.Ref.ID == id {
				last = c.ACL
			}
		}
	}
	if len(last.AllOf) != 1 || !slices.Equal(last.AllOf[0], want[0]) {
		t.Errorf("changes: %+v, want %+v", last, want)
	}
}

// TestFoldersAreAskedForOnce: each folder once in a listing, and with its
// validator in the next.
func TestFoldersAreAskedForOnce(t *testing.T) {
	t.Parallel()
	s, session := started(t)
	for _, n := range []string{"c", "d", "e", "f", "g", "h"} {
		if _, err := s.Put("z/"+n+".md", "text"); err != nil {
			t.Fatal(err)
		}
	}
	// Ids are in order of creation: the folder's file comes last, pages apart.
	if _, err := s.Put("b/late.md", "text"); err != nil {
		t.Fatal(err)
	}
	asked := func() int {
		n := 0
		for _, uri := range s.asked {
			if strings.HasPrefix(uri, "/api/v1/items/") {
				n++
			}
		}
		s.asked = nil
		return n
	}
	for id := range maps.Keys(s.items) {
		if _, err := session.newFolders("testing").get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	asked()
	f := session.newFolders("testing")
	for range 3 {
		if _, err := f.get(t.Context(), s.folder("b")); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked(); n != 1 || s.matched == 0 {
		t.Errorf("%d requests for one folder, %d answered by the validator alone", n, s.matched)
	}
}
