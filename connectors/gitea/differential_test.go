package gitea

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"tributary/connectors/connectortest"
)

// step makes a happening of what changes the world.
func worldStep(name connectortest.Happening, do func(s *site, r *fakeRepo, random *rand.Rand) bool) connectortest.Step {
	return connectortest.Step{Name: name, Do: func(kit connectortest.Site, random *rand.Rand) ([]string, error) {
		s, ok := kit.(*site)
		if !ok {
			return nil, fmt.Errorf("the site is a %T", kit)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if len(s.w.repos) == 0 || !do(s, s.w.repos[random.IntN(len(s.w.repos))], random) {
			return nil, errors.ErrUnsupported
		}
		return nil, nil
	}}
}

// anIssue returns an issue of the repository that has comments.
func anIssue(r *fakeRepo, random *rand.Rand) *fakeIssue {
	list := slices.DeleteFunc(r.numbers(), func(is *fakeIssue) bool { return len(is.comments) == 0 })
	if len(list) == 0 {
		return nil
	}
	return list[random.IntN(len(list))]
}

// TestDifferential lets random things happen to repositories, also such that only a Gitea knows.
func TestDifferential(t *testing.T) {
	words := func(random *rand.Rand) string { return fmt.Sprintf("Words %d.", random.IntN(1e6)) }
	steps := []connectortest.Step{
		worldStep("comment", func(s *site, r *fakeRepo, random *rand.Rand) bool {
			is := anIssue(r, random)
			if is != nil {
				s.w.remark(is, dave, words(random))
			}
			return is != nil
		}),
		worldStep("edit a comment, which its issue does not show", func(s *site, r *fakeRepo, random *rand.Rand) bool {
			is := anIssue(r, random)
			if is != nil {
				c := is.comments[random.IntN(len(is.comments))]
				c.body, c.updated = words(random), s.w.tick()
			}
			return is != nil
		}),
		worldStep("delete a comment, which its issue does not show", func(s *site, r *fakeRepo, random *rand.Rand) bool {
			is := anIssue(r, random)
			if is != nil {
				i := random.IntN(len(is.comments))
				is.comments = slices.Delete(is.comments, i, i+1)
				s.w.tick()
			}
			return is != nil
		}),
		worldStep("rename a repository", func(s *site, r *fakeRepo, random *rand.Rand) bool {
			r.owner.login = fmt.Sprintf("%s-%d", r.owner.login[:5], random.IntN(1e6))
			s.w.tick()
			return true
		}),
		worldStep("change the visibility of an owner", func(s *site, r *fakeRepo, random *rand.Rand) bool {
			r.owner.visibility = []string{visiblePublic, visibleLimited, visiblePrivate}[random.IntN(3)]
			s.w.tick()
			return true
		}),
		worldStep("rewrite the branch", func(s *site, r *fakeRepo, _ *rand.Rand) bool {
			if r.head == "" {
				return false
			}
			clear(r.trees)
			r.commit(s.w)
			return true
		}),
		worldStep("share by units", func(s *site, r *fakeRepo, random *rand.Rand) bool {
			units := r.owner.teams[2].units
			for _, u := range []string{"repo.code", "repo.issues", "repo.pulls", "repo.wiki"} {
				units[u] = []string{"none", "read", "write", "tomorrow"}[random.IntN(4)]
			}
			r.private, r.teams = true, []int64{r.owner.teams[0].id, r.owner.teams[2].id}
			s.w.tick()
			return true
		}),
	}
	const unseen = "what was made after the feed's position was taken, listed by the snapshot, and gone before the feed first looked leaves no trace"
	connectortest.Differential(t, harness(described(t).Handler), connectortest.DifferentialOptions{
		Steps: steps, FeedMisses: map[connectortest.Happening]string{connectortest.Deleted: unseen, connectortest.Moved: unseen},
	})
}
