package gitea

import (
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest/recorded"
	"tributary/internal/httpx"
)

// once decodes an answer of one kind and returns its texts.
func once[T any](texts func(*T) []string) func(testing.TB, recorded.Response) ([]string, error) {
	return func(t testing.TB, r recorded.Response) ([]string, error) {
		opened, err := New(testConfig()).Open(t.Context(), connectors.Env{HTTP: r.Client(), Base: "https://kit.example"})
		if err != nil {
			t.Fatal(err)
		}
		s, ok := opened.(*session)
		if !ok {
			t.Fatalf("the session is a %T", opened)
		}
		var v T
		if _, err := s.api.JSON(t.Context(), httpx.Call{Op: "replaying", Path: r.Path, Ref: about("recorded")}, &v); err != nil {
			return nil, err
		}
		return texts(&v), nil
	}
}

func each[T any](texts func(*T) []string) func(*[]T) []string {
	return func(list *[]T) []string {
		var all []string
		for i := range *list {
			all = append(all, texts(&(*list)[i])...)
		}
		return all
	}
}

func issueTexts(is *issue) []string { return []string{is.Title, (&thread{issue: is}).text()} }

func commentTexts(c *comment) []string {
	return []string{(&thread{issue: &issue{}, comments: []comment{*c}}).text()}
}

func repoTexts(r *repository) []string { return []string{r.FullName, r.Name, r.text()} }

func commitTexts(c *wikiCommit) []string { return []string{c.SHA} }

func TestRecorded(t *testing.T) {
	const (
		person = "a commit's author is no text of a file"
		fork   = "the branches of a pull request are in other repositories, which have documents of their own"
	)
	recorded.Replay(t, "gitea", []recorded.Operation{
		{Method: "GET", Path: "/api/v1/user/repos", Decode: once(each(repoTexts)), Elsewhere: map[string]string{}},
		{Method: "GET", Path: "/api/v1/user/orgs", Decode: once(each(func(a *account) []string { return []string{a.name()} }))},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/branches/{branch}", Decode: once(func(b *branch) []string { return []string{b.Commit.ID} }), Elsewhere: map[string]string{
			"/name": "a branch is no document", "/commit/author/name": person, "/commit/committer/name": person,
		}},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/commits", Decode: once(each(commitTexts)), Elsewhere: map[string]string{
			"/*/commit/author/name": person, "/*/commit/committer/name": person,
		}},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/issues", Decode: once(each(issueTexts))},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/issues/comments/{id}", Decode: once(commentTexts)},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/pulls", Decode: once(each(issueTexts)), Elsewhere: map[string]string{
			"/*/base/repo/name": fork, "/*/head/repo/name": fork,
		}},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/pulls/{index}", Decode: once(issueTexts), Elsewhere: map[string]string{
			"/base/repo/name": fork, "/head/repo/name": fork,
		}},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/releases", Decode: once(each(func(r *repository) []string { return []string{r.Name} })), Elsewhere: map[string]string{
			"/*/body": "releases are not read: their notes are no unit of the rights that this connector maps",
		}},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/git/commits/{sha}", NotOurs: "files are read by trees"},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/hooks", NotOurs: "nothing is read of hooks"},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/milestones", NotOurs: "milestones come with their issues"},
		{Method: "GET", Path: "/api/v1/repos/{owner}/{repo}/tags", NotOurs: "only the default branch is read"},
	})
}
