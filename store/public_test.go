package store_test

import (
	"slices"
	"testing"

	"tributary/connectors"
	"tributary/store"
)

// TestAGroupThatIsPublic: while the public is a member of a group, every reader
// sees what the group may read, also one without any principal in that realm;
// without the membership nobody else does. No document is written for either.
func TestAGroupThatIsPublic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, twin, other := r.connect(t, "code", "github.com"), r.connect(t, "twin", "github.com"), r.connect(t, "other", "github.example.com")
	group := connectors.Principal{Kind: connectors.Group, ID: "repo:1"}
	acl := connectors.ACL{AllOf: [][]connectors.Principal{{group}}}
	everybody := connectors.Membership{Member: connectors.Principal{Kind: connectors.Public, ID: "public"}, Group: group}
	member := connectors.Membership{Member: user("u"), Group: group}
	content := func(s *source) {
		run := s.start(t, store.Content)
		s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("d", acl, "text")}})
		s.end(t, run)
	}
	for _, s := range []*source{s, twin, other} {
		content(s)
	}
	permissions := func(s *source, ms ...connectors.Membership) {
		t.Helper()
		run := s.start(t, store.Permissions)
		if _, err := r.store.ReplaceMemberships(t.Context(), run, s.realm, ms); err != nil {
			t.Fatal(err)
		}
		if err := r.store.FinishPermissions(t.Context(), run); err != nil {
			t.Fatal(err)
		}
		s.end(t, run)
	}
	// The same group of another connection, and of another realm, stays closed
	// throughout.
	permissions(twin, connectors.Membership{Member: user("nobody"), Group: group})
	permissions(other, connectors.Membership{Member: user("nobody"), Group: group})

	identities := map[string]store.Identity{}
	for name, links := range map[string][]store.PrincipalIn{
		"nothing":   nil,
		"a member":  {{Connection: s.conn, Principal: user("u")}},
		"elsewhere": {{Connection: other.conn, Principal: user("nobody2")}},
	} {
		reader, err := r.store.CreateReader(t.Context(), name, store.Person)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range links {
			if err := r.store.LinkReader(t.Context(), reader.ID, p, store.LinkManual); err != nil {
				t.Fatal(err)
			}
		}
		if identities[name], err = r.store.AsReader(t.Context(), reader.ID); err != nil {
			t.Fatal(err)
		}
	}
	written := list(t, r.db, `SELECT xmin::text FROM document ORDER BY id`)
	for _, c := range []struct {
		when    string
		ms      []connectors.Membership
		readers []string
	}{
		{"private", []connectors.Membership{member}, []string{"a member"}},
		{"public", []connectors.Membership{everybody}, []string{"a member", "elsewhere", "nothing"}},
		{"private again", []connectors.Membership{member}, []string{"a member"}},
		{"public, and listed", []connectors.Membership{everybody, member}, []string{"a member", "elsewhere", "nothing"}},
		{"without members", nil, nil},
	} {
		permissions(s, c.ms...)
		for name, who := range identities {
			want := int64(0)
			if slices.Contains(c.readers, name) {
				want = 1
			}
			n, _, err := r.store.VisibleCount(t.Context(), who, store.Filters{})
			if err != nil || n != want {
				t.Errorf("%s: a reader who is linked to %s sees %d documents, %v; want %d", c.when, name, n, err, want)
			}
		}
	}
	if again := list(t, r.db, `SELECT xmin::text FROM document ORDER BY id`); !slices.Equal(written, again) {
		t.Error("documents were written for a change of memberships")
	}
}
