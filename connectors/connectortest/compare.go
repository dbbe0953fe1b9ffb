package connectortest

import (
	"maps"
	"slices"

	"tributary/connectors"
)

// compareIncremental judges what the feed and the permission runs alone have
// brought, before any reconcile.
func (s *story) compareIncremental() {
	if !s.spec.Has(connectors.CanChanges) || s.all > 0 || s.engine.partial {
		return
	}
	s.tally.incremental++
	excused := func(id string) bool { return s.missed[id] > 0 || s.engine.owed[id] }
	s.sameTexts("by the changes", excused)
	if s.spec.Has(connectors.CanPermissions) {
		s.sameReaders("by the changes", s.engine.docs, s.engine.members, excused, nil)
	}
}

// compareWhole judges everything after a reconcile.
func (s *story) compareWhole() {
	none := func(string) bool { return false }
	s.sameTexts("at the end", none)
	fresh := newEngine(s)
	fresh.untilWell("a fresh sync", func() error {
		fresh.listing = nil
		return fresh.snapshot(0)
	})
	fresh.untilWell("a fresh sync's permissions", func() error { return fresh.permissions(0) })
	s.tally.documents += len(fresh.docs)
	for _, id := range slices.Sorted(maps.Keys(fresh.docs)) {
		want, got := fresh.docs[id], s.engine.docs[id]
		if got.text != want.text {
			mine, theirs := apart(got.text, want.text)
			s.fail("%q: the text is %q, by a fresh sync %q", id, mine, theirs)
		}
		if aclKey(got.acl) != aclKey(want.acl) {
			s.fail("%q: the ACL is %s, by a fresh sync %s", id, aclKey(got.acl), aclKey(want.acl))
		}
		if got.path != want.path || got.container != want.container {
			s.fail("%q: it is at %q in %q, by a fresh sync at %q in %q", id, got.path, got.container, want.path, want.container)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.engine.docs)) {
		if _, ok := fresh.docs[id]; !ok {
			s.fail("%q is stored, and a fresh sync does not find it", id)
		}
	}
	if a, b := membershipKeys(s.engine.members), membershipKeys(fresh.members); !maps.Equal(a, b) {
		s.fail("the memberships are %v, by a fresh sync %v", slices.Sorted(maps.Keys(a)), slices.Sorted(maps.Keys(b)))
	}
	s.sameReaders("at the end", s.engine.docs, s.engine.members, none, fresh.docs)
}

// apart cuts two texts to where they differ.
func apart(a, b string) (string, string) {
	const before, most = 30, 120
	at := 0
	for at < min(len(a), len(b)) && a[at] == b[at] {
		at++
	}
	from := max(0, at-before)
	return a[from:min(len(a), from+most)], b[from:min(len(b), from+most)]
}

// sameTexts compares ids and texts with what the site has.
func (s *story) sameTexts(when string, excused func(id string) bool) {
	truth := s.truth()
	for _, id := range slices.Sorted(maps.Keys(truth)) {
		switch d, ok := s.engine.docs[id]; {
		case excused(id):
		case !ok:
			s.fail("%s: %q (%s) is at the site and is missing", when, id, truth[id].Name)
		case !s.sameText(d.text, truth[id].Text):
			s.fail("%s: %q has the text %.80q, the site %.80q", when, id, d.text, truth[id].Text)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(s.engine.docs)) {
		if _, ok := truth[id]; !ok && !excused(id) {
			s.fail("%s: %q is not at the site", when, id)
		}
	}
}

// sameReaders compares, for every person and document, what the ACL and the
// memberships say with what the site says. What a fresh sync cannot know either
// is nobody's, where the site was asked to share so.
func (s *story) sameReaders(when string, docs model, members []connectors.Membership, excused func(id string) bool, fresh model) {
	people := s.fix.Site.People()
	if len(people) == 0 {
		return
	}
	truth := s.truth()
	for _, person := range append(slices.Clone(people), stranger()) {
		circle := circleOf(person, people, members)
		for _, id := range slices.Sorted(maps.Keys(docs)) {
			if _, there := truth[id]; !there || excused(id) {
				continue
			}
			ours, theirs := circle.reads(docs[id].acl), s.fix.Site.CanRead(person, id)
			unknown := s.unknown && (fresh == nil && !docs[id].acl.Known() || fresh != nil && !fresh[id].acl.Known())
			if ours != theirs && (ours || !unknown) {
				s.fail("%s: %q: %s reads it: %t, at the site: %t (%s)", when, id, person.ID, ours, theirs, aclKey(docs[id].acl))
			}
		}
	}
}
