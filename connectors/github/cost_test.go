package github

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"

	"tributary/connectors"
)

// TestUnchangedRunIsAnsweredByETags: at most five requests for each repository
// and three besides, none of which counts against the rate limit.
func TestUnchangedRunIsAnsweredByETags(t *testing.T) {
	t.Parallel()
	for name, grant := range map[string]connectors.Grant{
		"an account": userGrant(), "an account of an app": appGrant(), "an installation": installationGrant(),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, grant)
			const repos = 10
			for i := range repos {
				name := fmt.Sprintf("r%d", i)
				if i == 0 {
					name = "a"
				}
				r.put(name+"/doc.md", "text of "+name)
				r.with(func(s *site) { s.openIssue(s.repo(name), "A change", "Please.", true) })
			}
			r.snapshot()
			r.changes()
			var news []connectors.Change
			asked := r.requests(func() { news = r.changes() })
			if len(news) > 0 {
				t.Errorf("nothing happened, and there are %d changes", len(news))
			}
			t.Logf("an unchanged run of %d repositories by %s: %d requests", repos, name, len(asked))
			if most := 5*repos + 3; len(asked) > most || len(asked) < repos {
				t.Errorf("%d requests, want at most %d", len(asked), most)
			}
			for _, a := range asked {
				if a.status != http.StatusNotModified || !a.conditional {
					t.Errorf("%s is answered %d", a.uri, a.status)
				}
			}
		})
	}
}

// TestPermissionsCostTheirGroups: reading all permissions asks for the list of
// repositories and the collaborators of those that are not public, however
// much is in them.
func TestPermissionsCostTheirGroups(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	const repos, public, crowded = 10, 3, 2
	for i := range repos {
		name := fmt.Sprintf("r%d", i)
		for j := range 20 {
			r.put(fmt.Sprintf("%s/some/where/doc-%d.md", name, j), "text")
		}
		r.with(func(s *site) {
			repo := s.repo(name)
			switch {
			case i < public:
				repo.private, repo.visibility = false, visibilityPublic
			case i == public:
				repo.visibility = visibilityInternal
			case i < public+1+crowded:
				for n := range 150 {
					login := fmt.Sprintf("crowd-%d", n)
					s.users[login] = &siteUser{id: int64(5000 + n), login: login}
					repo.direct[login] = true
				}
			}
		})
	}
	var ms []connectors.Membership
	asked := r.requests(func() { ms = r.groups() })
	lists := 1
	collaborators := repos - public + crowded // a second page each
	t.Logf("permissions of %d repositories, %d of them public: %d requests, %d memberships", repos, public, len(asked), len(ms))
	if most := lists + collaborators + 2; len(asked) > most || len(asked) < lists+collaborators {
		t.Errorf("%d requests, want from %d to %d", len(asked), lists+collaborators, most)
	}
	r.env.Answers = &answers{}
	r.groups()
	var again []connectors.Membership
	asked = r.requests(func() { again = r.groups() })
	whole := 0
	for _, a := range asked {
		if a.status != http.StatusNotModified {
			whole++
		}
	}
	t.Logf("unchanged permissions once more: %d requests, %d of them count against the rate limit", len(asked), whole)
	if whole > lists || !slices.Equal(again, ms) {
		t.Errorf("%d whole answers, %d memberships, want %d and %d", whole, len(again), lists, len(ms))
	}
	if _, ok := connectors.Session(r.open()).(connectors.PermissionFeed); ok {
		t.Error("a permission feed repeats every document's ACL, which never varies")
	}
}

// answers keeps everything.
type answers struct{ byKey sync.Map }

func (m *answers) Kept(key string) *connectors.Answer {
	if a, ok := m.byKey.Load(key); ok {
		return a.(*connectors.Answer)
	}
	return nil
}

func (m *answers) Keep(key string, a connectors.Answer) { m.byKey.Store(key, &a) }

// TestEditCostsWhatItTouches: one edit in one of many repositories asks for
// that repository's difference alone.
func TestEditCostsWhatItTouches(t *testing.T) {
	t.Parallel()
	r := newRig(t, userGrant())
	for i := range 10 {
		for j := range 10 {
			r.put(fmt.Sprintf("r%d/some/where/doc-%d.md", i, j), fmt.Sprint("text ", i, j))
		}
	}
	r.snapshot()
	r.changes()
	quiet := len(r.requests(func() { r.changes() }))
	r.put("r3/some/where/doc-3.md", "another text")
	var news []connectors.Change
	asked := r.requests(func() { news = r.changes() })
	if len(news) != 1 {
		t.Errorf("%d changes, want one", len(news))
	}
	t.Logf("a run with one edited file: %d requests, an unchanged one %d", len(asked), quiet)
	const most = 4 // the comparison and three folders
	if len(asked) > quiet+most {
		t.Errorf("%d requests, want at most %d more than %d", len(asked), most, quiet)
	}
}

// TestLargeRepository: 20,000 files cost a request each and few besides.
func TestLargeRepository(t *testing.T) {
	t.Parallel()
	const files, besides = 20_000, 50
	r := newRig(t, userGrant())
	r.site.refuse = nil
	r.put("a/first.md", "first")
	r.with(func(s *site) {
		s.commit(s.repo("a"), false, func(fs map[string]siteFile) {
			for i := range files - 1 {
				fs[fmt.Sprintf("d%03d/f%05d.md", i%200, i)] = siteFile{"100644", fmt.Sprint("text ", i)}
			}
		})
	})
	opened := 0
	asked := r.requests(func() {
		if !r.snapshot() {
			t.Error("the listing is not complete")
		}
		for id, c := range r.docs {
			if c.Document.Kind != kindFile {
				continue
			}
			if _, err := r.text(id); err != nil {
				t.Fatal(err)
			}
			opened++
		}
	})
	t.Logf("a repository of %d files: %d requests", opened, len(asked))
	if opened != files || len(asked) > files+besides {
		t.Errorf("%d files with %d requests, want %d with at most %d", opened, len(asked), files, files+besides)
	}
}
