package github

import (
	"testing"

	"tributary/connectors"
)

// TestBranchRenamedMeanwhile: a default branch that was renamed after the list
// was read is no empty repository.
func TestBranchRenamedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.put("a/doc.md", "text")
	s := r.open()
	c, err := s.selected(t.Context(), "listing")
	if err != nil {
		t.Fatal(err)
	}
	r.with(func(s *site) { s.repo("a").branch = "trunk" })
	commit, _, err := s.head(t.Context(), "listing", &c.repos[0], "")
	if err != nil || commit == "" || commit != r.site.repo("a").head {
		t.Errorf("commit %q, error %v", commit, err)
	}
}

// TestCommitGoneMeanwhile: a listing that is continued after its commit was
// forgotten goes on with the branch as it is.
func TestCommitGoneMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.conn = New(Config{API: r.site.server.URL, PageSize: 2})
	for _, name := range []string{"a/one.md", "a/two.md", "a/three.md", "a/four.md", "a/five.md"} {
		r.put(name, "text")
	}
	var at connectors.Cursor
	n := 0
	for page, err := range r.open().Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		r.apply(page)
		at = page.Next
		if n++; n == 2 {
			break
		}
	}
	r.with(func(s *site) { s.forget() })
	complete := false
	for page, err := range r.open().Snapshot(t.Context(), at) {
		if err != nil {
			t.Fatal(err)
		}
		complete = r.apply(page)
	}
	if !complete || len(r.docs) != 7 {
		t.Errorf("%d documents, complete %t, want five files, an issue and the repository", len(r.docs), complete)
	}
}

// TestStartPinsTheListing: a file that comes and goes between the feed's start
// and its first run is nowhere.
func TestStartPinsTheListing(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.put("a/doc.md", "text")
	s := r.open()
	var err error
	if r.cursor, err = s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	passing := r.put("a/passing.md", "text")
	for page, err := range s.Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		r.apply(page)
	}
	if err := r.site.Delete(passing); err != nil {
		t.Fatal(err)
	}
	r.changes()
	if _, there := r.docs[passing]; there {
		t.Error("it was listed, and nothing tells that it is gone")
	}
}

// TestListThatFills: a repository behind a page that was full is noticed,
// though that page stays as it is.
func TestListThatFills(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.conn = New(Config{API: r.site.server.URL, PerPage: 2})
	r.put("a/doc.md", "text")
	r.put("b/doc.md", "text")
	r.snapshot()
	r.changes()
	r.changes()
	id := r.put("c/doc.md", "text")
	r.changes()
	if _, there := r.docs[id]; !there {
		t.Error("the third repository of pages of two is not noticed")
	}
}
