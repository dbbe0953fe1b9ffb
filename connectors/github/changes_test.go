package github

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tributary/connectors"
)

// ids returns what changes say, in order: "upsert ID".
func ids(changes []connectors.Change) []string {
	var all []string
	for _, c := range changes {
		all = append(all, c.Op.String()+" "+c.Ref.ID)
	}
	return all
}

// same fails the test unless the changes are these.
func same(t *testing.T, what string, changes []connectors.Change, want ...string) {
	t.Helper()
	got := ids(changes)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(slices.Compact(got), want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// quiet drains the feed, so that what happens next is alone in it.
func (r *rig) quiet() {
	r.t.Helper()
	r.with(func(s *site) { s.now = s.now.Add(10 * overlap) })
	r.changes()
	r.changes()
}

func TestFileChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(s *site, repo *siteRepo)
		want   []string
		// compared says that a comparison was enough.
		compared bool
	}{
		"a renamed file": {func(s *site, repo *siteRepo) {
			s.commit(repo, false, func(fs map[string]siteFile) { fs["new.md"] = fs["one.md"]; delete(fs, "one.md") })
		}, []string{"delete one.md", "upsert new.md"}, true},
		"files that swap their names": {func(s *site, repo *siteRepo) {
			s.commit(repo, false, func(fs map[string]siteFile) { fs["one.md"], fs["two.md"] = fs["two.md"], fs["one.md"] })
		}, []string{"upsert one.md", "upsert two.md"}, true},
		"several commits": {func(s *site, repo *siteRepo) {
			s.commit(repo, false, func(fs map[string]siteFile) { fs["passing.md"] = siteFile{"100644", "x"} })
			s.commit(repo, false, func(fs map[string]siteFile) { delete(fs, "passing.md"); fs["one.md"] = siteFile{"100644", "x"} })
		}, []string{"upsert one.md"}, true},
		"a push by force": {func(s *site, repo *siteRepo) {
			// The commit that is left behind made this file.
			s.commit(repo, true, func(fs map[string]siteFile) { delete(fs, "deep/three.md"); fs["one.md"] = siteFile{"100644", "x"} })
		}, []string{"delete deep/three.md", "upsert one.md"}, false},
		"another default branch": {func(s *site, repo *siteRepo) {
			repo.branch = "next/main"
			s.commit(repo, false, func(fs map[string]siteFile) { fs["one.md"] = siteFile{"100644", "x"} })
		}, []string{"upsert one.md"}, true},
		"a branch that is gone": {
			func(_ *site, repo *siteRepo) { repo.head = "" },
			[]string{"delete one.md", "delete two.md", "delete deep/three.md"},
			false,
		},
		"a file that became a link": {func(s *site, repo *siteRepo) {
			s.commit(repo, false, func(fs map[string]siteFile) { fs["one.md"] = siteFile{modeSymlink, "two.md"} })
		}, []string{"delete one.md"}, true},
		"a file that became too large": {func(s *site, repo *siteRepo) {
			s.commit(repo, false, func(fs map[string]siteFile) { fs["one.md"] = siteFile{"100644", "size:99999999"} })
		}, []string{"delete one.md"}, true},
		"another mode alone": {func(s *site, repo *siteRepo) {
			s.commit(repo, true, func(fs map[string]siteFile) { fs["one.md"] = siteFile{"100755", fs["one.md"].text} })
		}, []string{"upsert one.md"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, userGrant())
			for _, f := range []string{"one.md", "two.md", "deep/three.md"} {
				r.put("a/"+f, "text of "+f)
			}
			r.snapshot()
			r.quiet()
			before := r.site.compared
			var prefix string
			r.with(func(s *site) {
				c.change(s, s.repo("a"))
				prefix = s.fileID(s.repo("a"), "")
			})
			want := slices.Clone(c.want)
			for i := range want {
				op, p, _ := strings.Cut(want[i], " ")
				want[i] = op + " " + prefix + p
			}
			same(t, name, r.changes(), want...)
			if used := r.site.compared > before; used && !c.compared && !strings.Contains(name, "force") && !strings.Contains(name, "mode") {
				t.Errorf("a comparison was used: %t", used)
			}
			r.same()
		})
	}
}

// same compares what was synced with a fresh snapshot.
func (r *rig) same() {
	r.t.Helper()
	revisions := func() map[string]string {
		m := map[string]string{}
		for id, c := range r.docs {
			m[id] = c.Ref.Revision + " " + c.Document.Path + " " + c.Document.URL
		}
		return m
	}
	have := revisions()
	r.snapshot()
	want := revisions()
	for id := range want {
		if have[id] != want[id] {
			r.t.Errorf("%s: by the changes %q, by a snapshot %q", id, have[id], want[id])
		}
		delete(have, id)
	}
	if len(have) > 0 {
		r.t.Errorf("by the changes there are also %v", have)
	}
}

// TestManyFiles: more files than a comparison lists, and more than a tree
// lists, are read all the same.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]int{"a whole tree": 100_000, "a tree that is cut short": 40} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, userGrant())
			r.with(func(s *site) { s.treeLimit = limit })
			r.put("a/first.md", "first")
			r.snapshot()
			r.quiet()
			r.with(func(s *site) {
				s.commit(s.repo("a"), false, func(fs map[string]siteFile) {
					for i := range 450 {
						fs[fmt.Sprintf("d%d/e%d/f%03d.md", i%3, i%20, i)] = siteFile{"100644", fmt.Sprint(i)}
					}
				})
			})
			if n := len(r.changes()); n != 450 {
				t.Errorf("%d changes, want 450", n)
			}
			r.same()
			r.put("a/d0/e0/f000.md", "edited")
			same(t, "one edit among many", r.changes(), "upsert "+r.site.fileID(r.site.repo("a"), "d0/e0/f000.md"))
		})
	}
}

func TestRepositories(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	file, other := r.put("a/doc.md", "text"), r.put("a/other.md", "text")
	r.snapshot()
	r.quiet()
	created := r.put("c/doc.md", "text")
	repo, _, _ := strings.Cut(created, ":file")
	same(t, "a new repository", r.changes(), "upsert "+repo, "upsert "+created, "upsert "+repo+":issue:1")
	r.quiet()
	r.with(func(s *site) { s.repo("a").description = "Other words." })
	mine, _, _ := strings.Cut(file, ":file")
	same(t, "another description", r.changes(), "upsert "+mine)
	r.with(func(s *site) { s.repo("a").former, s.repo("a").full = []string{"harbour/a"}, "pier" })
	if err := r.site.Delete(other); err != nil {
		t.Fatal(err)
	}
	r.changes()
	if _, there := r.docs[other]; there {
		t.Error("a file was removed when the repository was renamed, and nothing tells that it is gone")
	}
	if p := r.docs[file].Document.Path; p != "harbour/pier/doc.md" {
		t.Errorf("after the repository was renamed the path is %q", p)
	}
	r.with(func(s *site) { s.repo("a").private, s.repo("a").visibility = false, visibilityPublic })
	same(t, "a repository that became public", r.changes())
	r.same()
	r.quiet()
	if err := r.site.Delete(repo); err != nil {
		t.Fatal(err)
	}
	if _, err := r.tryChanges(); connectors.ClassOf(err) != connectors.CursorExpired {
		t.Errorf("a repository is gone: class %s, want a new snapshot (%v)", connectors.ClassOf(err), err)
	}
}

// TestTalk: what is said on an issue brings it, whether its own time changes or
// not.
func TestTalk(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.put("a/doc.md", "text")
	r.with(func(s *site) { s.openIssue(s.repo("a"), "A change", "Please.", true) })
	r.snapshot()
	var one, two string
	var issue, pull *siteIssue
	r.with(func(s *site) {
		issue, pull = s.repo("a").issues[0], s.repo("a").issues[1]
		one, two = s.issueID(s.repo("a"), issue), s.issueID(s.repo("a"), pull)
	})
	for name, c := range map[string]struct {
		say  func(s *site)
		id   string
		text string
	}{
		"a comment that touches":         {func(s *site) { s.comment(issue, &issue.comments, "First words.", true) }, one, "First words."},
		"a comment that does not":        {func(s *site) { s.comment(issue, &issue.comments, "Second words.", false) }, one, "Second words."},
		"an edit that does not touch":    {func(s *site) { issue.comments[0].body, issue.comments[0].updated = "Third words.", s.tick() }, one, "Third words."},
		"a comment on a line":            {func(s *site) { s.comment(pull, &pull.lines, "Fourth words.", false) }, two, "Fourth words."},
		"a review":                       {func(s *site) { s.comment(pull, &pull.reviews, "Fifth words.", true).state = "CHANGES_REQUESTED" }, two, "requested changes"},
		"a pull request that was merged": {func(s *site) { pull.merged, pull.state, pull.updated = true, "closed", s.tick() }, two, "merged"},
	} {
		r.quiet()
		before := r.docs[c.id].Ref.Revision
		r.with(c.say)
		same(t, name, r.changes(), "upsert "+c.id)
		if r.docs[c.id].Ref.Revision == before {
			t.Errorf("%s: the revision is still %q", name, before)
		}
		if text, err := r.text(c.id); err != nil || !strings.Contains(text, c.text) {
			t.Errorf("%s: text %q, error %v", name, text, err)
		}
	}
}

// TestManyIssues: a long absence is caught up in pages, also where many were
// updated in one second.
func TestManyIssues(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.conn = New(Config{API: r.site.server.URL, PageSize: sitePageSize, PerPage: sitePerPage})
	r.put("a/doc.md", "text")
	r.snapshot()
	r.quiet()
	r.with(func(s *site) {
		for i := range 40 {
			s.still = i > 10 && i < 30
			s.openIssue(s.repo("a"), fmt.Sprint("Issue ", i), "Many.", i%2 == 0)
		}
		s.still = false
	})
	seen := map[string]bool{}
	for _, c := range r.changes() {
		seen[c.Ref.ID] = true
	}
	if len(seen) != 40 {
		t.Errorf("%d issues, want 40", len(seen))
	}
	r.same()
	listed := map[string]int{}
	for page, err := range r.open().Snapshot(t.Context(), nil) {
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range page.Changes {
			if listed[c.Ref.ID]++; listed[c.Ref.ID] > 1 {
				t.Errorf("%s is listed twice", c.Ref.ID)
			}
		}
	}
}

// TestPullsAlone: with issues switched off, pull requests have a list of their
// own.
func TestPullsAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.conn = New(Config{API: r.site.server.URL, PageSize: sitePageSize, PerPage: sitePerPage})
	r.put("a/doc.md", "text")
	r.with(func(s *site) {
		s.repo("a").noIssues = true
		for range 7 {
			s.openIssue(s.repo("a"), "A change", "Please.", true)
		}
	})
	r.snapshot()
	if len(r.docs) != 9 {
		t.Errorf("%d documents, want the repository, a file and seven pull requests", len(r.docs))
	}
	r.quiet()
	var want []string
	r.with(func(s *site) {
		for n := range 5 {
			i := s.openIssue(s.repo("a"), "Another", "Please.", true)
			want = append(want, "upsert "+s.issueID(s.repo("a"), i))
			if n == 0 {
				old := s.repo("a").issues[2]
				s.comment(old, &old.lines, "A word.", false)
				want = append(want, "upsert "+s.issueID(s.repo("a"), old))
			}
		}
	})
	same(t, "new pull requests and a comment", r.changes(), want...)
}
