package github

import (
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"tributary/connectors"
)

// TestWhatIsNoDocument: every entry of a tree is a document, or skipped for a
// reason that people understand.
func TestWhatIsNoDocument(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	files := map[string]siteFile{
		"readme.md": {"100644", "text"}, "run.sh": {"100755", "#!/bin/sh\n"}, "empty.txt": {"100644", ""},
		"utf16.txt": {"100644", "\xff\xfeh\x00i\x00"}, "paper.pdf": {"100644", "%PDF-1.7\n\x00"},
		"module": {"160000", "commit"}, "link": {modeSymlink, "readme.md"}, "photo.PNG": {"100644", "\x89PNG"},
		"large.txt": {"100644", "size:10485761"}, "noise": {"100644", "a\x00b"}, "kept.csv": {"100644", lfsMark + "oid sha256:00\nsize 9\n"},
	}
	r.put("a/readme.md", "text")
	r.with(func(s *site) {
		s.commit(s.repo("a"), false, func(fs map[string]siteFile) {
			maps.Copy(fs, files)
		})
	})
	r.snapshot()
	id := func(p string) string { return r.site.fileID(r.site.repo("a"), p) }
	for p, says := range map[string]string{"module": "submodule", "link": "symbolic link", "photo.PNG": "no text", "large.txt": "larger"} {
		if reason := r.skipped[id(p)]; !strings.Contains(reason, says) {
			t.Errorf("%s is skipped for %q, want %q", p, reason, says)
		}
		if _, err := r.open().Fetch(t.Context(), id(p)); connectors.ClassOf(err) != connectors.ItemRefused {
			t.Errorf("fetching %s: %v", p, err)
		}
	}
	for p, says := range map[string]string{"noise": "no text", "kept.csv": "Git LFS"} {
		if _, err := r.text(id(p)); connectors.ClassOf(err) != connectors.ItemSkipped || !strings.Contains(err.Error(), says) {
			t.Errorf("%s opens with %v, want %q", p, err, says)
		}
	}
	for _, p := range []string{"readme.md", "run.sh", "empty.txt", "utf16.txt", "paper.pdf"} {
		if text, err := r.text(id(p)); err != nil || text != files[p].text {
			t.Errorf("%s: text %q, error %v", p, text, err)
		}
	}
	if n := len(r.skipped); n != 4 {
		t.Errorf("%d entries are skipped, want 4: %v", n, r.skipped)
	}
}

// TestIssueText: everything that was said stands in it, in the order of time;
// who is gone is a ghost, and what is empty is left out.
func TestIssueText(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.put("a/doc.md", "text")
	var id string
	r.with(func(s *site) {
		i := s.openIssue(s.repo("a"), "Paint the pier", "", true)
		i.author = "nobody"
		s.comment(i, &i.comments, "Which colour?", true)
		s.comment(i, &i.lines, "A brush is missing.\r\n", true)
		s.comment(i, &i.reviews, "", true).state = "APPROVED"
		s.comment(i, &i.reviews, "", true)
		s.comment(i, &i.comments, "Green.", true).author = "nobody"
		id = s.issueID(s.repo("a"), i)
	})
	r.snapshot()
	text, err := r.text(id)
	want := "# Paint the pier\n\nopen; labels: kit, opened by ghost on 2026-03-01\n" +
		"\n## carol said on 2026-03-01, on doc.md\n\nWhich colour?\n" +
		"\n## carol said on 2026-03-01, on doc.md\n\nA brush is missing.\n" +
		"\n## carol approved on 2026-03-01, on doc.md\n" +
		"\n## ghost said on 2026-03-01, on doc.md\n\nGreen.\n"
	want = strings.NewReplacer("said on 2026-03-01, on doc.md\n\nWhich", "said on 2026-03-01\n\nWhich",
		"approved on 2026-03-01, on doc.md", "approved on 2026-03-01", "said on 2026-03-01, on doc.md\n\nGreen", "said on 2026-03-01\n\nGreen").Replace(want)
	if err != nil || text != want {
		t.Errorf("text %q, error %v, want %q", text, err, want)
	}
	d := r.docs[id].Document
	if d.Author != "ghost" || d.Kind != kindPull || d.Metadata["labels"] != "kit" || !strings.HasSuffix(d.Path, "harbour/a/pull/2") {
		t.Errorf("document %+v", d)
	}
}

// TestDeletedIssue: what is gone when it is opened is refused.
func TestDeletedIssue(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	r.put("a/doc.md", "text")
	r.put("b/doc.md", "text")
	var deleted, moved string
	r.with(func(s *site) {
		deleted, moved = s.issueID(s.repo("a"), s.repo("a").issues[0]), s.issueID(s.repo("b"), s.repo("b").issues[0])
	})
	r.snapshot()
	if err := r.site.Delete(deleted); err != nil {
		t.Fatal(err)
	}
	if _, err := r.site.Move(moved, "a/elsewhere.md"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.text(deleted); connectors.ClassOf(err) != connectors.ItemRefused {
		t.Errorf("opening a deleted issue: %v", err)
	}
	for _, id := range []string{deleted, moved} {
		if _, err := r.open().Fetch(t.Context(), id); connectors.ClassOf(err) != connectors.ItemRefused {
			t.Errorf("fetching %s: %v", id, err)
		}
	}
}

// TestNulls: answers of nulls, wrong types and unknown values never panic, and
// grant nobody anything.
func TestNulls(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"a null":                `null`,
		"nulls":                 `[null]`,
		"an object":             `{}`,
		"a word":                `"repositories"`,
		"a repository of nulls": `[{"id":5,"full_name":"a/b","owner":null,"private":null,"visibility":null,"topics":null,"permissions":null,"has_issues":null}]`,
		"an unknown visibility": `[{"id":5,"full_name":"a/b","owner":null,"private":true,"visibility":"secret"}]`,
		"public, and private":   `[{"id":5,"full_name":"a/b","private":true,"visibility":"public"}]`,
		"a name that escapes":   `[{"id":5,"full_name":"../../user","private":false,"visibility":"public"}]`,
		"cut short":             `[{"id":5,`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigAt(t, newSite(plainHandler), userGrant())
			r.with(func(s *site) {
				s.refuse = func(w http.ResponseWriter, req *http.Request) bool {
					answer := body
					if strings.HasPrefix(req.URL.Path, "/repos/") {
						answer = "[null, {}]"
					}
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, answer)
					return true
				}
			})
			s := r.open()
			for page, err := range s.Snapshot(t.Context(), nil) {
				for _, c := range page.Changes {
					if readersBy(c.ACL, nil, r.site.principal(siteMe)) {
						t.Errorf("%s has the ACL %+v", c.Ref.ID, c.ACL)
					}
				}
				if err != nil && connectors.ClassOf(err) == connectors.Bug {
					t.Error(err)
				}
			}
			for m, err := range s.Groups(t.Context()) {
				if err == nil && !strings.Contains(name, "escapes") { // that one is public
					t.Errorf("membership %+v", m)
				}
			}
			_, _ = s.Start(t.Context())
			_, _ = s.Fetch(t.Context(), "repo:5:issue:1")
			_, _ = s.Verify(t.Context())
		})
	}
}
