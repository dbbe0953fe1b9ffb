package github

import (
	"testing"

	"tributary/connectors"
)

// TestContract does everything that the connector does, and uses everything
// that is admitted beside the description.
func TestContract(t *testing.T) {
	t.Parallel()
	c := checker(t)
	c.Exhaustive()
	for _, grant := range []connectors.Grant{userGrant(), appGrant(), installationGrant()} {
		r := newRigAt(t, newSite(c.Handler), grant)
		r.conn = New(Config{API: r.site.server.URL, PageSize: sitePageSize, PerPage: sitePerPage})
		tour(t, r)
	}
}

// tour fills a site, reads it in every way, changes it and reads what is new.
func tour(t *testing.T, r *rig) {
	t.Helper()
	for _, name := range []string{"a/doc.md", "a/deep/er/doc.md", "b/doc.md", "c/doc.md", "d/doc.md"} {
		r.put(name, "text of "+name)
	}
	r.with(func(s *site) {
		s.repo("d").noIssues = true
		s.repo("b").visibility = visibilityInternal
		for range 7 {
			i := s.openIssue(s.repo("a"), "A change", "Please.", true)
			s.comment(i, &i.comments, "No.", true)
			s.comment(i, &i.lines, "This line.", true)
			s.comment(i, &i.reviews, "Well.", true).state = "APPROVED"
			s.openIssue(s.repo("d"), "Another change", "Please.", true)
		}
	})
	r.snapshot()
	for id := range r.docs {
		if _, err := r.text(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if _, err := r.open().Fetch(t.Context(), id); err != nil {
			t.Errorf("fetching %s: %v", id, err)
		}
	}
	r.changes()
	r.with(func(s *site) {
		for i := range 3 {
			s.comment(s.repo("a").issues[i+1], &s.repo("a").issues[i+1].comments, "Later.", false)
			s.comment(s.repo("a").issues[i+1], &s.repo("a").issues[i+1].lines, "There.", false)
			s.openIssue(s.repo("d"), "One more", "Please.", true)
		}
	})
	r.put("a/doc.md", "edited")
	r.changes()
	r.changes()
	people(t, r)
	redirected(t, r)
	wall{status: 451, message: "Repository access blocked", below: "/repos/harbour/a/"}.put(r)
	_, _ = r.open().openBlob(t.Context(), "repos/harbour/a/git/blobs/blocked", connectors.ItemRef{ID: "blocked"})
	r.snapshot()
	r.groups()
}

// people reads memberships, names and choices.
func people(t *testing.T, r *rig) {
	t.Helper()
	s := r.open()
	for _, err := range s.Groups(t.Context()) {
		if err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"github:bob", "github:@harbour"} {
		if _, err := s.NamePrincipal(t.Context(), name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for choice, err := range s.Choices(t.Context(), "") {
		if err != nil || choice.ID == "" {
			t.Errorf("choice %+v, error %v", choice, err)
		}
	}
	if _, err := s.Verify(t.Context()); err != nil {
		t.Error(err)
	}
}

// redirected asks for a repository by the name that it had.
func redirected(t *testing.T, r *rig) {
	t.Helper()
	former := &repository{FullName: "lantern/c", DefaultBranch: "main"}
	r.with(func(s *site) {
		s.repo("c").former = []string{"lantern/c"}
		s.repo("c").full = "candle"
	})
	commit, _, err := r.open().head(t.Context(), "following a redirect", former, "")
	if err != nil || commit != r.site.repo("c").head {
		t.Errorf("by its former name: commit %q, error %v", commit, err)
	}
}
