package gitea

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

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
			for id, text := range map[string]string{r.names["a/doc-00.md"]: "doc-00.md", r.names["b/doc-02.md"]: "doc-02.md"} {
				if _, err := s.Fetch(t.Context(), id); (err == nil) != slices.Contains(c.want, text) {
					t.Errorf("fetching %s: %v", text, err)
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
