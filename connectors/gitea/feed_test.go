package gitea

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
)

// TestTombstones: of each kind of document, the feed says that it is gone; nothing else is said to be.
func TestTombstones(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.mustPut("a/doc-00.md", "a/doc-01.md", "a/doc-02.md", "a/doc-03.md", "a/deep/doc-04.md", "a/doc-05.md", "a/doc-07.md")
	s := r.session()
	at := r.start(s)
	for _, id := range slices.Backward(ids) {
		if err := r.Delete(id); err != nil {
			t.Fatal(err)
		}
		f := read(s.Changes(t.Context(), at))
		var gone []string
		for _, c := range f.changes {
			if c.Op == connectors.Delete {
				gone = append(gone, c.Ref.ID)
			}
		}
		if f.err != nil || !slices.Contains(gone, id) || slices.ContainsFunc(gone, func(g string) bool { r, _ := r.w.unitOf(g); return r != nil && s.still(t, g) }) {
			t.Errorf("%s was deleted, the feed says that %v are gone (%v)", id, gone, f.err)
		}
		at = f.next
	}
}

// still reports whether the server still has a document.
func (s *session) still(t *testing.T, id string) bool {
	t.Helper()
	_, err := s.Fetch(t.Context(), id)
	return err == nil
}

// TestNewRepository: one that is made after the feed's position was taken is listed as a whole, whatever it holds.
func TestNewRepository(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.mustPut("a/doc-00.md")
	s := r.session()
	at := r.start(s)
	ids := r.mustPut("b/doc-00.md", "b/doc-01.md", "b/doc-02.md", "b/doc-03.md")
	r.change(func(w *world) { w.now = w.now.Add(time.Hour) })
	f := read(s.Changes(t.Context(), at))
	for _, id := range append(ids, r.w.repos[1].repository().id()) {
		if _, ok := f.change(id); !ok {
			t.Errorf("%s is not in the feed", id)
		}
	}
	again := read(s.Changes(t.Context(), f.next)) // comments of just now are shown once more
	for _, c := range again.changes {
		if before, _ := f.change(c.Ref.ID); before.Ref != c.Ref {
			t.Errorf("nothing happened and the feed has %v", c.Ref)
		}
	}
	if f = read(s.Changes(t.Context(), again.next)); f.next != nil || f.err != nil {
		t.Errorf("nothing happened and the feed has %v (%v)", f.changes, f.err)
	}
}

// TestPathsChangeTheirKind: a file that becomes a directory or a link is gone, and comes back as a file.
func TestPathsChangeTheirKind(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(func(w *world) {
		repo := w.repo("a")
		repo.files["place"], repo.files["other"] = "A file.", "Another."
		repo.commit(w)
	})
	repo := r.w.repos[0]
	id, other := repo.repository().fileID("place"), repo.repository().fileID("other")
	s := r.session()
	at := r.start(s)
	for _, c := range []struct {
		what string
		do   func()
		id   string
		op   connectors.Op
	}{
		{"a directory", func() { delete(repo.files, "place"); repo.files["place/inner"] = "Inner." }, id, connectors.Delete},
		{"a file again", func() { delete(repo.files, "place/inner"); repo.files["place"] = "A file." }, id, connectors.Upsert},
		{"a link", func() { repo.link = "other" }, other, connectors.Delete},
		{"no link", func() { repo.link = "" }, other, connectors.Upsert},
	} {
		r.change(func(w *world) {
			c.do()
			repo.commit(w)
		})
		f := read(s.Changes(t.Context(), at))
		if got, ok := f.change(c.id); !ok || got.Op != c.op {
			t.Errorf("%s: the feed has %v (%v)", c.what, f.changes, f.err)
		}
		at = f.next
	}
}

// TestShortListsDeleteNothing: what a list lacks and the server still has is not gone.
func TestShortListsDeleteNothing(t *testing.T) {
	t.Parallel()
	for _, list := range []string{"/a/issues", "/a/wiki/pages"} {
		t.Run(list, func(t *testing.T) {
			t.Parallel()
			r := newPlainRig(t)
			r.mustPut("a/doc-01.md", "a/doc-03.md", "a/doc-08.md", "a/doc-02.md", "a/doc-07.md")
			s := r.session()
			at := r.start(s)
			r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
				lacks := strings.HasSuffix(req.URL.Path, list)
				if lacks {
					w.Header().Set("X-Total-Count", "0")
					_, _ = w.Write([]byte(`[]`))
				}
				return lacks
			}
			f := read(s.Changes(t.Context(), at))
			for _, c := range f.changes {
				if c.Op == connectors.Delete {
					t.Errorf("%s is at the server and the feed says that it is gone", c.Ref.ID)
				}
			}
			if f.err != nil {
				t.Error(f.err)
			}
		})
	}
}

// TestSameSecond: what happens twice within the server's second is seen both times.
func TestSameSecond(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.mustPut("a/doc-01.md")[0]
	s := r.session()
	at := r.start(s)
	var is *fakeIssue
	r.change(func(w *world) {
		is = w.repos[0].issues[1]
		w.remark(is, bob, "First.")
	})
	f := read(s.Changes(t.Context(), at))
	first, _ := f.change(id)
	r.change(func(w *world) {
		w.now = w.now.Add(-time.Second)
		w.remark(is, bob, "Second.")
	})
	f = read(s.Changes(t.Context(), f.next))
	second, ok := f.change(id)
	if !ok || second.Ref.Revision == first.Ref.Revision {
		t.Errorf("the second remark of the same second is not in the feed: %v (%v)", f.changes, f.err)
	}
	if text := r.text(f, id); !strings.Contains(text, "First.") || !strings.Contains(text, "Second.") {
		t.Errorf("the text is %s", text)
	}
	for what, edit := range map[string]func(text string){
		"a comment": func(text string) { is.comments[1].body, is.comments[1].updated = text, r.w.now },
		"the issue": func(text string) { is.body, is.updated = text, r.w.now },
	} {
		for _, text := range []string{"Once.", "Twice."} {
			r.change(func(*world) { edit(text) })
			f = read(s.Changes(t.Context(), f.next))
			if _, ok := f.change(id); !ok || !strings.Contains(r.text(f, id), text) {
				t.Errorf("%s was edited within a second and the feed has %v (%v)", what, f.changes, f.err)
			}
		}
	}
}

// TestListShrinks: of a list that loses entries while it is read, what moves up to a page before is found all the same.
func TestListShrinks(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.cfg.PageSize = serverCap
	var ids []string
	for i := range 8 {
		ids = append(ids, r.mustPut(fmt.Sprintf("a/%d/doc-01.md", i))...)
	}
	var f found
	for p, err := range r.session().Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		if f.changes = append(f.changes, p.Changes...); len(f.changes) == 1+serverCap {
			for _, id := range ids[5:] { // those on the first page, and the next
				if err := r.Delete(id); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, id := range ids[:5] {
		if _, ok := f.change(id); !ok {
			t.Errorf("%s is at the server and not in the listing", id)
		}
	}
}

// TestSamePage: a server that does not turn the page is no endless list.
func TestSamePage(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t)
	r.mustPut("a/doc-00.md")
	r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
		same := strings.HasSuffix(req.URL.Path, "/collaborators")
		if same {
			_, _ = w.Write([]byte(`[{"id":2,"login":"bob"}]`))
		}
		return same
	}
	if f := read(r.session().Snapshot(t.Context(), nil)); connectors.ClassOf(f.err) != connectors.Transient || len(r.requests()) > 50 {
		t.Errorf("the listing ends with %v", f.err)
	}
}

// TestRefusedUnit: a unit that is refused blocks what is in it, and nothing beside it.
func TestRefusedUnit(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t)
	ids := r.mustPut("a/doc-00.md", "a/doc-01.md", "a/doc-02.md")
	r.spoil = refusing("/repos/org-a/a/issues", http.StatusNotFound, "The target couldn't be found.")
	f := r.snapshot(r.session())
	repo := r.w.repos[0].repository()
	if len(f.blocked) == 0 || f.blocked[0].ID != repo.container(unitIssues) {
		t.Errorf("blocked are %v", f.blocked)
	}
	c, ok := f.change(ids[0])
	if _, issue := f.change(ids[1]); !ok || issue || c.Document.Container != repo.container(unitCode) {
		t.Errorf("the changes are %v", f.changes)
	}
}

// TestOldCommentDeleted: a comment that nothing has told of for long is gone from the text once it is deleted.
func TestOldCommentDeleted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.mustPut("a/doc-01.md", "a/doc-03.md")
	r.change(func(w *world) {
		w.now = w.now.Add(time.Hour)
		w.remark(w.repos[0].issues[2], bob, "Later.")
	})
	s := r.session()
	at := read(s.Changes(t.Context(), r.start(s))).next
	r.change(func(w *world) { w.repos[0].issues[1].comments = nil })
	f := read(s.Changes(t.Context(), at))
	if text := r.text(f, ids[0]); strings.Contains(text, "A remark") {
		t.Errorf("the text is %s", text)
	}
}

// TestDatedAhead: an issue and a comment with dates in the future hide nothing that happens before.
func TestDatedAhead(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.mustPut("a/doc-01.md", "a/doc-03.md")
	s := r.session()
	at := r.start(s)
	r.change(func(w *world) {
		is := w.repos[0].issues[1]
		w.remark(is, bob, "Ahead.")
		is.updated, is.comments[1].updated = is.updated.AddDate(1, 0, 0), is.updated.AddDate(1, 0, 0)
	})
	at = read(s.Changes(t.Context(), at)).next
	r.change(func(w *world) {
		c := w.repos[0].issues[2].comments[0]
		c.body, c.updated = "Edited.", w.tick()
	})
	f := read(s.Changes(t.Context(), at))
	if _, ok := f.change(ids[1]); !ok {
		t.Errorf("an edited comment is not in the feed: %v (%v)", f.changes, f.err)
	}
	r.change(func(w *world) { w.repos[0].issues[2].body, w.repos[0].issues[2].updated = "Edited too.", w.tick() })
	f = read(s.Changes(t.Context(), f.next))
	if _, ok := f.change(ids[1]); !ok {
		t.Errorf("an edited issue is not in the feed: %v (%v)", f.changes, f.err)
	}
	if f = read(s.Changes(t.Context(), f.next)); f.next != nil || f.err != nil {
		t.Errorf("nothing happened and the feed has %v (%v)", f.changes, f.err)
	}
}

// TestRemarksMakeRevisions: a comment that is edited or deleted makes another revision of its issue, which itself shows neither.
func TestRemarksMakeRevisions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.mustPut("a/doc-01.md")[0]
	r.change(func(w *world) { w.remark(w.repos[0].issues[1], bob, "Another remark.") })
	s := r.session()
	at := r.start(s)
	seen := map[string]string{}
	for what, do := range []func(w *world, is *fakeIssue){
		func(*world, *fakeIssue) {},
		func(w *world, is *fakeIssue) { is.comments[1].body, is.comments[1].updated = "Edited.", w.tick() },
		func(_ *world, is *fakeIssue) { is.comments = is.comments[:1] },
	} {
		r.change(func(w *world) { do(w, w.repos[0].issues[1]) })
		f := read(s.Changes(t.Context(), at))
		if f.next != nil {
			at = f.next
		}
		fed, ok := f.change(id)
		listed, _ := r.snapshot(s).change(id)
		if ok && fed.Ref != listed.Ref || !ok && what > 0 {
			t.Errorf("step %d: the feed has %v, the listing %v (%v)", what, fed.Ref, listed.Ref, f.err)
		}
		if before, again := seen[listed.Ref.Revision]; again {
			t.Errorf("step %d: the revision is that of step %s", what, before)
		}
		seen[listed.Ref.Revision] = number(int64(what))
	}
	one, two := issue{Comments: 1}, issue{Comments: 2}
	if one.revision("remarks") == two.revision("remarks") {
		t.Error("an issue with one comment more has the same revision, where its comments were listed before")
	}
}

// TestRenamedMeanwhile: a repository that is renamed is found by its id, and shown under its new name.
func TestRenamedMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	id := r.mustPut("a/doc-00.md")[0]
	s := r.session()
	at := r.start(s)
	before, _ := r.snapshot(s).change(id)
	r.change(func(w *world) { w.repos[0].owner.login = "org-renamed" })
	f := read(s.Changes(t.Context(), at))
	after, _ := f.change(id)
	if after.Document == nil || after.Document.Path != "org-renamed/a/doc-00.md" || after.Ref != before.Ref {
		t.Errorf("after the renaming: %+v, before %+v (%v)", after, before.Ref, f.err)
	}
}
