package github

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"tributary/connectors/connectortest"
)

// TestDifferential plays random sites with repositories as documents, and what
// happens on GitHub alone.
func TestDifferential(t *testing.T) {
	h := connectortest.Harness{Rendered: true, Setup: func(tb connectortest.TB) connectortest.Fixture {
		fix := fixture(tb, plainHandler, userGrant())
		siteOf(fix).about = true
		fix.Env.Answers = &answers{}
		return fix
	}}
	connectortest.Differential(t, h, connectortest.DifferentialOptions{
		Steps: steps(),
		FeedMisses: map[connectortest.Happening]string{
			connectortest.Deleted: "A deleted issue is in no list of GitHub's.",
			connectortest.Moved:   "A transferred issue is in no list of GitHub's.",
			"uncomment":           "A deleted comment is in no list of GitHub's.",
		},
	})
}

func siteOf(fix connectortest.Fixture) *site {
	s, _ := fix.Site.(*site)
	return s
}

// steps are the happenings of GitHub alone.
func steps() []connectortest.Step {
	return []connectortest.Step{
		repoStep("force-push", func(s *site, repo *siteRepo, random *rand.Rand) ([]string, error) {
			path := fmt.Sprintf("forced-%d.md", random.IntN(3))
			s.commit(repo, true, func(files map[string]siteFile) { files[path] = siteFile{"100644", fmt.Sprint("Forced ", s.serial)} })
			return []string{s.fileID(repo, path)}, nil
		}),
		fileStep("remove-file", func(s *site, files map[string]siteFile, path string) []string {
			delete(files, path)
			return []string{path}
		}),
		fileStep("rename-file", func(s *site, files map[string]siteFile, path string) []string {
			to := fmt.Sprintf("renamed-%d.md", s.serial)
			files[to] = files[path]
			delete(files, path)
			return []string{path, to}
		}),
		repoStep("rename-branch", func(s *site, repo *siteRepo, _ *rand.Rand) ([]string, error) {
			repo.branch = fmt.Sprint("trunk/", s.nextID())
			return []string{s.repoID(repo)}, nil
		}),
		repoStep("rename-repository", func(s *site, repo *siteRepo, _ *rand.Rand) ([]string, error) {
			repo.former = append(repo.former, repo.fullName())
			repo.full = fmt.Sprint(repo.name, "-", s.nextID())
			return []string{s.repoID(repo)}, nil
		}),
		repoStep("open", func(s *site, repo *siteRepo, random *rand.Rand) ([]string, error) {
			s.still = random.IntN(2) == 0
			i := s.openIssue(repo, "A question", fmt.Sprint("What about ", s.serial, "?"), random.IntN(2) == 0)
			s.still = false
			return []string{s.issueID(repo, i)}, nil
		}),
		issueStep("comment", func(s *site, i *siteIssue, random *rand.Rand) error {
			lists := []*[]*siteComment{&i.comments, &i.lines, &i.reviews}
			n := 1
			if i.pull {
				n = len(lists)
			}
			at := random.IntN(n)
			s.comment(i, lists[at], fmt.Sprint("I say ", s.serial), at == 2 || random.IntN(2) == 0)
			return nil
		}),
		issueStep("edit-comment", func(s *site, i *siteIssue, _ *rand.Rand) error {
			if len(i.comments) == 0 {
				return errors.ErrUnsupported
			}
			c := i.comments[0]
			c.body, c.updated = fmt.Sprint("I mean ", s.serial), s.tick()
			return nil
		}),
		issueStep("uncomment", func(s *site, i *siteIssue, _ *rand.Rand) error {
			if len(i.comments) == 0 {
				return errors.ErrUnsupported
			}
			i.comments = i.comments[1:]
			s.tick()
			return nil
		}),
	}
}

// repoStep makes something happen to one repository.
func repoStep(name connectortest.Happening, do func(s *site, repo *siteRepo, random *rand.Rand) ([]string, error)) connectortest.Step {
	return connectortest.Step{Name: name, Do: func(of connectortest.Site, random *rand.Rand) ([]string, error) {
		s, ok := of.(*site)
		if !ok || len(s.repos) == 0 {
			return nil, errors.ErrUnsupported
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return do(s, s.repos[random.IntN(len(s.repos))], random)
	}}
}

// fileStep makes something happen to one file.
func fileStep(name connectortest.Happening, do func(s *site, files map[string]siteFile, path string) []string) connectortest.Step {
	return repoStep(name, func(s *site, repo *siteRepo, random *rand.Rand) ([]string, error) {
		paths := slices.Sorted(maps.Keys(repo.files()))
		if len(paths) == 0 {
			return nil, errors.ErrUnsupported
		}
		var touched []string
		s.commit(repo, random.IntN(4) == 0, func(files map[string]siteFile) {
			for _, p := range do(s, files, paths[random.IntN(len(paths))]) {
				touched = append(touched, s.fileID(repo, p))
			}
		})
		return touched, nil
	})
}

// issueStep makes something happen to one issue.
func issueStep(name connectortest.Happening, do func(s *site, i *siteIssue, random *rand.Rand) error) connectortest.Step {
	return repoStep(name, func(s *site, repo *siteRepo, random *rand.Rand) ([]string, error) {
		if len(repo.issues) == 0 {
			return nil, errors.ErrUnsupported
		}
		i := repo.issues[random.IntN(len(repo.issues))]
		if i.movedTo != "" {
			return nil, errors.ErrUnsupported
		}
		return []string{s.issueID(repo, i)}, do(s, i, random)
	})
}
