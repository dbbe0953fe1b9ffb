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

// TestSpecSaysEveryProblem: what the connector can name has words for people.
func TestSpecSaysEveryProblem(t *testing.T) {
	t.Parallel()
	spec := New(Config{}).Spec()
	if err := spec.Validate(); err != nil {
		t.Error(err)
	}
	for _, known := range refusals() {
		if e := spec.Problem("asking", known[1]); e.Class == connectors.Bug {
			t.Error(e)
		}
	}
}

func TestOpenRefusesWrongSettings(t *testing.T) {
	t.Parallel()
	good := connectors.Env{HTTP: http.DefaultClient, Base: "https://git.example.com/sub"}
	for want, env := range map[string]connectors.Env{
		"address":              {HTTP: good.HTTP},
		"leave out":            {HTTP: good.HTTP, Base: "https://user@git.example.com"},
		"http":                 {HTTP: good.HTTP, Base: "git.example.com"},
		settingFiles:           {HTTP: good.HTTP, Base: good.Base, Settings: map[string]string{settingFiles: "yes"}},
		settingPublic:          {HTTP: good.HTTP, Base: good.Base, Settings: map[string]string{settingPublic: "friends"}},
		"selection.include":    {HTTP: good.HTTP, Base: good.Base, Selection: connectors.Selection{Include: []string{"a/../b"}}},
		"selection.containers": {HTTP: good.HTTP, Base: good.Base, Selection: connectors.Selection{Containers: []string{"acme/site"}}},
		"no grant":             {Base: good.Base},
	} {
		if _, err := New(Config{}).Open(t.Context(), env); connectors.ClassOf(err) != connectors.Invalid || !strings.Contains(err.Error(), want) {
			t.Errorf("want class invalid and %q, got %v", want, err)
		}
	}
	if _, err := New(Config{}).Open(t.Context(), good); err != nil {
		t.Error(err)
	}
}

// TestScopesFollowSettings: consent asks for what is read, and for nothing else.
func TestScopesFollowSettings(t *testing.T) {
	t.Parallel()
	spec := New(Config{}).Spec()
	names := func(settings map[string]string) string {
		var out []string
		for _, sc := range spec.ScopesFor("gitea", settings) {
			out = append(out, sc.Name)
		}
		return strings.Join(out, " ")
	}
	if got := names(nil); got != "read:user read:repository read:issue read:organization" {
		t.Errorf("by default: %s", got)
	}
	if got := names(map[string]string{settingIssues: "false", settingPulls: "false"}); strings.Contains(got, scopeIssue) {
		t.Errorf("without issues and pull requests: %s", got)
	}
	r := newRig(t)
	r.mustPut("a/doc-00.md", "a/doc-01.md", "a/doc-02.md", "a/doc-03.md")
	r.scopes = []string{scopeUser, scopeRepository, scopeOrganization}
	s := r.session(settingIssues, "false", settingPulls, "false")
	from := r.start(s)
	if f := r.snapshot(s); len(f.changes) != 3 || len(f.blocked) > 0 {
		t.Errorf("%d changes, blocked %v", len(f.changes), f.blocked)
	}
	if f := read(s.Changes(t.Context(), from)); f.err != nil {
		t.Error(f.err)
	}
}

// TestEverySettingIsHonoured: what is switched off is neither listed, nor in the feed, nor fetched.
func TestEverySettingIsHonoured(t *testing.T) {
	t.Parallel()
	names := []string{"a/doc-00.md", "a/doc-01.md", "a/doc-02.md", "a/doc-03.md"} // a file, an issue, a wiki page, a pull request
	for i, setting := range []string{settingFiles, settingIssues, settingWiki, settingPulls, settingAbout} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ids := append(r.mustPut(names...), "")
			ids[4] = r.w.repos[0].repository().id()
			s := r.session(setting, "false")
			from := r.start(s)
			listed := r.snapshot(s)
			for _, name := range names {
				if _, err := r.Put(name, "Another text."); err != nil {
					t.Fatal(err)
				}
			}
			r.change(func(w *world) { w.repos[0].about += " And more." })
			fed := read(s.Changes(t.Context(), from))
			for j, id := range ids {
				_, inList := listed.change(id)
				_, inFeed := fed.change(id)
				_, err := s.Fetch(t.Context(), id)
				if off := i == j; inList == off || inFeed == off || (err != nil) != off {
					t.Errorf("%s off, %s: listed %t, in the feed %t, fetched %v", setting, id, inList, inFeed, err)
				}
			}
		})
	}
}

func (r *fakeRepo) repository() *repository { return &repository{ID: r.id} }

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

// TestIndexLags: a search index that lacks issues does not delete them.
func TestIndexLags(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t)
	r.mustPut("a/doc-01.md", "a/doc-03.md", "a/doc-08.md")
	s := r.session()
	at := r.start(s)
	r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
		lacks := strings.HasSuffix(req.URL.Path, "/a/issues")
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

// TestThread: an issue's text is everything that was said to it.
func TestThread(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ids := r.mustPut("a/doc-01.md", "a/doc-03.md")
	f := r.snapshot(r.session())
	for _, want := range []string{"# doc-01.md\n", "#1, open, kit-label", "The text of a/doc-01.md.", "## Comment by CAROL, 2026-03-01", "A remark on doc-01.md."} {
		if text := r.text(f, ids[0]); !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	for _, want := range []string{"## Review (request changes) by CAROL", "A review of doc-03.md.", "`a.go`, CAROL:", "A line of it."} {
		if text := r.text(f, ids[1]); !strings.Contains(text, want) {
			t.Errorf("%q is missing in:\n%s", want, text)
		}
	}
	c, _ := f.change(ids[1])
	if c.Document.Kind != kindPull || c.Document.Metadata["number"] != "2" || !strings.HasPrefix(c.Document.Path, "org-a/a/pulls/2/") {
		t.Errorf("the pull request is %+v", c.Document)
	}
}

// TestReviewsRefused: who may read pull requests and no code gets the rest of the text.
func TestReviewsRefused(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t)
	id := r.mustPut("a/doc-03.md")[0]
	r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
		return strings.HasSuffix(req.URL.Path, "/reviews") && refusing("", http.StatusForbidden, "user should have specific read permission")(w, req)
	}
	if text := r.text(r.snapshot(r.session()), id); !strings.Contains(text, "A remark on doc-03.md.") || strings.Contains(text, "Review") {
		t.Errorf("the text is %s", text)
	}
}

// TestTreesHoldMoreThanFiles: links and modules are skipped with a reason, odd paths are asked for as they are.
func TestTreesHoldMoreThanFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.change(func(w *world) {
		repo := w.repo("a")
		for _, path := range []string{"a b#c?.md", "100%.txt", "déjà/vu.md", "to.link"} {
			repo.files[path] = "The text of " + path
		}
		repo.commit(w)
	})
	f := r.snapshot(r.session(settingAbout, "false"))
	for _, c := range f.changes {
		_, _, path, _ := splitID(c.Ref.ID)
		if text := r.text(f, c.Ref.ID); text != "The text of "+path {
			t.Errorf("%s: %q", path, text)
		}
	}
	if len(f.changes) != 3 || len(f.skipped) != 1 || f.skipped[0].Reason != unread(treeEntry{Type: entryBlob, Path: "to.link", Mode: modeLink}) {
		t.Errorf("%d changes, skipped %v", len(f.changes), f.skipped)
	}
	for _, e := range []treeEntry{{Type: "commit", Path: "module"}, {Type: entryBlob, Path: "../up"}, {Type: entryBlob, Path: "a//b"}, {Type: entryBlob, Path: "big", Size: connectors.MaxBody + 1}} {
		if unread(e) == "" {
			t.Errorf("%+v is read", e)
		}
	}
}

// TestSelection: owners, repositories and patterns.
func TestSelection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sel  func(r *rig) connectors.Selection
		want []string
	}{
		"an owner": {func(r *rig) connectors.Selection {
			return connectors.Selection{Containers: []string{fmt.Sprintf("owner:%d", r.w.repos[0].owner.id)}}
		}, []string{"doc-00.md", "doc-01.md"}},
		"a repository": {func(r *rig) connectors.Selection {
			return connectors.Selection{Containers: []string{r.w.repos[1].repository().id()}}
		}, []string{"doc-02.md", "doc-04.md"}},
		"issues of all":  {func(*rig) connectors.Selection { return connectors.Selection{Include: []string{"*/*/issues"}} }, []string{"doc-01.md"}},
		"no wikis":       {func(*rig) connectors.Selection { return connectors.Selection{Exclude: []string{"wiki"}} }, []string{"doc-00.md", "doc-01.md", "doc-04.md"}},
		"by their names": {func(*rig) connectors.Selection { return connectors.Selection{Include: []string{"**/doc-04.md"}} }, []string{"doc-04.md"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.mustPut("a/doc-00.md", "a/doc-01.md", "b/doc-02.md", "b/doc-04.md")
			r.env.Selection = c.sel(r)
			s := r.session(settingAbout, "false")
			var got []string
			for _, change := range r.snapshot(s).changes {
				got = append(got, base(change.Document.Title))
				if _, err := s.Fetch(t.Context(), change.Ref.ID); err != nil {
					t.Error(err)
				}
			}
			if slices.Sort(got); !slices.Equal(got, c.want) {
				t.Errorf("selected are %v, want %v", got, c.want)
			}
		})
	}
}

// TestHostileAnswers: no answer makes the connector panic, leave the server, or say that a list is complete.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ path, answer string }{
		"null":                    {"/repos/search", `null`},
		"null in a list":          {"/repos/search", `{"data":[null]}`},
		"a repository without id": {"/repos/search", `{"data":[{"name":"a","owner":{"id":1,"login":"x"}}]}`},
		"the same again":          {"/repos/search", `{"data":[{"id":5,"name":"a","owner":{"id":1,"login":"x"}},{"id":5,"name":"a","owner":{"id":1,"login":"x"}}]}`},
		"no account":              {"/user", `{}`},
		"no JSON":                 {"/repos/org-a/a/issues", `<html>`},
		"a list that ends early":  {"/repos/search", `{"data":[{"id":5,"name":"a"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newPlainRig(t)
			r.mustPut("a/doc-00.md", "a/doc-01.md")
			r.spoil = func(w http.ResponseWriter, req *http.Request) bool {
				if req.URL.Path == apiPrefix+c.path {
					w.Header().Set("X-Total-Count", "3")
					_, _ = w.Write([]byte(c.answer))
				}
				return req.URL.Path == apiPrefix+c.path
			}
			f := read(r.session().Snapshot(t.Context(), nil))
			if connectors.ClassOf(f.err) != connectors.Transient || f.whole {
				t.Errorf("class %s, complete %t (%v)", connectors.ClassOf(f.err), f.whole, f.err)
			}
		})
	}
	if got := wikiElem("../../user"); strings.Contains(got, "/") {
		t.Errorf("a wiki page is asked for as %s", got)
	}
}

// TestRenamedWhileRead: the server redirects from a repository's former name, and what was listed under it is read.
func TestRenamedWhileRead(t *testing.T) {
	t.Parallel()
	r := newPlainRig(t)
	ids := r.mustPut("a/doc-00.md", "a/doc-01.md", "a/doc-02.md", "a/doc-03.md")
	f := r.snapshot(r.session())
	r.change(func(w *world) {
		w.repos[0].owner.former, w.repos[0].owner.login = w.repos[0].owner.login, "org-renamed"
	})
	for _, id := range ids {
		if text := r.text(f, id); !strings.Contains(text, "The text of a/") {
			t.Errorf("%s: %q", id, text)
		}
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
