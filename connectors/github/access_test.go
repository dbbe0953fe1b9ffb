package github

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"

	"tributary/connectors"
)

// readersBy returns who reads a document by its ACL and the memberships.
func readersBy(acl connectors.ACL, ms []connectors.Membership, who connectors.Principal) bool {
	if !acl.Known() {
		return false
	}
	is := []connectors.Principal{{Kind: connectors.Public, ID: "public"}, {Kind: who.Kind, ID: who.ID}}
	for grown := true; grown; {
		grown = false
		for _, m := range ms {
			member, group := connectors.Principal{Kind: m.Member.Kind, ID: m.Member.ID}, connectors.Principal{Kind: m.Group.Kind, ID: m.Group.ID}
			if slices.Contains(is, member) && !slices.Contains(is, group) {
				is, grown = append(is, group), true
			}
		}
	}
	for _, clause := range acl.AllOf {
		if !slices.ContainsFunc(clause, func(p connectors.Principal) bool {
			return slices.Contains(is, connectors.Principal{Kind: p.Kind, ID: p.ID})
		}) {
			return false
		}
	}
	return true
}

// TestReaderTruth: for random rights, teams that inherit, base permission,
// owners and visibility included, everybody reads here what GitHub lets them
// read.
func TestReaderTruth(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	flip := func() bool { return random.IntN(2) == 0 }
	granted, denied := 0, 0
	for range 60 {
		r := newRigAt(t, newSite(plainHandler), userGrant())
		for _, name := range []string{"a/doc.md", "b/doc.md", "c/doc.md"} {
			r.put(name, "text")
		}
		r.with(func(s *site) {
			for _, org := range s.orgs {
				org.base = flip()
				for login := range s.users {
					org.members[login] = flip()
					org.owners[login] = org.members[login] && random.IntN(4) == 0
				}
			}
			for _, team := range s.teams {
				for login := range s.users {
					team.members[login] = random.IntN(3) == 0
				}
			}
			for _, repo := range s.repos {
				repo.direct, repo.private = map[string]bool{}, random.IntN(5) > 0
				repo.visibility = map[bool]string{true: visibilityPrivate, false: visibilityPublic}[repo.private]
				if repo.private && random.IntN(3) == 0 {
					repo.visibility = visibilityInternal
				}
				for login := range s.users {
					repo.direct[login] = random.IntN(5) == 0
				}
				repo.lapsed = set("frank")
				for id, team := range s.teams {
					repo.teams[id] = team.org == repo.owner && flip()
				}
			}
		})
		r.snapshot()
		ms := r.groups()
		stranger := connectors.Principal{Kind: connectors.User, ID: "999"}
		for id, c := range r.docs {
			for _, who := range append(r.site.People(), stranger) {
				ours, theirs := readersBy(c.ACL, ms, who), r.site.CanRead(who, id)
				if ours != theirs {
					t.Errorf("%s: %s reads it here: %t, at GitHub: %t", id, who.ID, ours, theirs)
				}
				if theirs {
					granted++
				} else {
					denied++
				}
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("%d readings are let, %d are not", granted, denied)
	if granted == 0 || denied == 0 {
		t.Error("the harness: everything or nothing is read")
	}
}

// TestVisibilityChanges: whatever a repository becomes, the next listing of
// groups says who reads, and no document changes.
func TestVisibilityChanges(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	id := r.put("a/doc.md", "text")
	r.with(func(s *site) {
		s.repo("a").direct, s.repo("a").teams = map[string]bool{}, map[string]bool{}
		s.orgs[s.repo("a").owner].base = false
	})
	r.snapshot()
	r.quiet()
	yes, no := true, false
	stranger := connectors.Principal{Kind: connectors.User, ID: "999"}
	for _, c := range []struct {
		visibility string
		private    bool
		// alice is an owner, bob a member.
		alice, bob, anybody bool
		unknown             int64
	}{
		{visibilityPrivate, yes, yes, no, no, 0},
		{visibilityPublic, no, yes, yes, yes, 0},
		{visibilityInternal, yes, yes, yes, no, 0},
		{visibilityPublic, no, yes, yes, yes, 0},
		{visibilityPublic, yes, no, no, no, 1},
		{visibilityPrivate, yes, yes, no, no, 0},
		{visibilityPrivate, no, no, no, no, 1},
		{"galactic", yes, no, no, no, 1},
	} {
		r.with(func(s *site) { s.repo("a").private, s.repo("a").visibility = c.private, c.visibility })
		if news := r.changes(); len(news) > 0 {
			t.Errorf("%s: %d documents change", c.visibility, len(news))
		}
		opened := r.open()
		var ms []connectors.Membership
		for m, err := range opened.Groups(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			ms = append(ms, m)
		}
		acl := r.docs[id].ACL
		for who, want := range map[connectors.Principal]bool{r.site.principal("alice"): c.alice, r.site.principal("bob"): c.bob, stranger: c.anybody} {
			if got := readersBy(acl, ms, who); got != want {
				t.Errorf("%s, private %t: %s reads it: %t, want %t", c.visibility, c.private, who.ID, got, want)
			}
		}
		if n := opened.Counts()["repositories_without_readers"]; n != c.unknown {
			t.Errorf("%s, private %t: %d repositories without readers, want %d", c.visibility, c.private, n, c.unknown)
		}
	}
}

// TestSelf: who consented is a user of the realm; an installation is nobody.
func TestSelf(t *testing.T) {
	t.Parallel()
	r := newRig(t, appGrant())
	me, err := r.open().Self(t.Context())
	if err != nil || me.Kind != connectors.User || me.ID != r.site.principal(siteMe).ID {
		t.Errorf("%+v, error %v", me, err)
	}
	r.env.Grant = installationGrant()
	if me, err := r.open().Self(t.Context()); connectors.ClassOf(err) != connectors.Invalid {
		t.Errorf("an installation is %+v, error %v", me, err)
	}
}

// TestServer: on a server of one's own nothing is public, and ids are of its
// realm.
func TestServer(t *testing.T) {
	t.Parallel()
	s := newSite(func(next http.Handler) http.Handler { return http.StripPrefix("/api/v3", described(t)(next)) })
	r := newRigAt(t, s, connectors.Grant{Provider: providerServerApp, Kind: "authorization_code"})
	r.env.Base = s.server.URL + "/"
	id := r.put("a/doc.md", "text")
	r.with(func(s *site) { s.repo("a").private, s.repo("a").visibility = false, visibilityPublic })
	r.snapshot()
	ms, opened := r.groups(), r.open()
	for login, want := range map[string]bool{"alice": true, "bob": true, "carol": true, "frank": false} {
		if got := readersBy(r.docs[id].ACL, ms, s.principal(login)); got != want {
			t.Errorf("%s reads it: %t, want %t", login, got, want)
		}
	}
	realm, err := opened.Realm(t.Context())
	if err != nil || "http://"+realm != s.server.URL {
		t.Errorf("realm %q, error %v", realm, err)
	}
	if text, err := r.text(id); err != nil || text != "text" {
		t.Errorf("text %q, error %v", text, err)
	}
	if at := opened.webAddress("a/b"); at != s.server.URL+"/a/b" {
		t.Errorf("people open it at %s", at)
	}
}
