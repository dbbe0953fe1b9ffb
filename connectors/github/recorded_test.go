package github

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest/recorded"
	"tributary/internal/httpx"
)

// player is a session that is answered with a record.
func player(t testing.TB, r recorded.Response) *session {
	t.Helper()
	opened, err := New(Config{Retry: httpx.Retry{Attempts: 1}}).Open(t.Context(), connectors.Env{HTTP: r.Client(), Grant: userGrant()})
	if err != nil {
		t.Fatal(err)
	}
	s, ok := opened.(*session)
	if !ok {
		t.Fatalf("the session is a %T", opened)
	}
	return s
}

// theRepo is the repository of the record's address.
func theRepo(r recorded.Response) *repository {
	issues := true
	return &repository{ID: 1, FullName: r.Params["owner"] + "/" + r.Params["repo"], DefaultBranch: "main", HasIssues: &issues}
}

// once decodes an answer of one kind and returns its texts.
func once[T any](texts func(*T) []string) func(testing.TB, recorded.Response) ([]string, error) {
	return func(t testing.TB, r recorded.Response) ([]string, error) {
		var v T
		call := httpx.Call{Op: "replaying", Path: r.Path, Ref: connectors.ItemRef{ID: "recorded"}}
		if _, err := player(t, r).api.JSON(t.Context(), call, &v); err != nil {
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

func repoTexts(r *repository) []string {
	ref, d := repoDocument(r)
	return []string{ref.ID, d.Title, repoText(r), aclText(aclOf(r))}
}

func aclText(a connectors.ACL) string {
	return a.AllOf[0][0].ID
}

func accountTexts(a *account) []string { return []string{userPrincipal(*a).ID, a.name(), a.Name} }

func pathTexts(e *treeEntry) []string { return []string{e.Path} }

// stepTexts reads one stage of the record's repository.
func stepTexts(stage string) func(testing.TB, recorded.Response) ([]string, error) {
	return func(t testing.TB, r recorded.Response) ([]string, error) {
		repo := theRepo(r)
		if strings.HasSuffix(r.Path, "/pulls") {
			off := false
			repo.HasIssues = &off
		}
		w := &walker{s: player(t, r), op: "replaying", r: repo}
		st, err := w.step(t.Context(), place{Stage: stage, Commit: r.Params["tree_sha"]})
		var texts []string
		for _, c := range st.changes {
			texts = append(texts, c.Ref.ID, c.Ref.Revision, c.Document.Title, c.Document.Path, c.Document.Author, c.Document.Metadata["labels"])
			if body := bodyOf(t, r, c); body != "" {
				texts = append(texts, body)
			}
		}
		for _, s := range st.skipped {
			texts = append(texts, s.Path, s.Reason)
		}
		return texts, err
	}
}

// bodyOf writes an issue without what was said on it, which is in no record of
// the list.
func bodyOf(t testing.TB, r recorded.Response, c connectors.Change) string {
	t.Helper()
	if c.Document.Kind != kindIssue && c.Document.Kind != kindPull {
		return ""
	}
	var list []issue
	if _, err := player(t, r).api.JSON(t.Context(), httpx.Call{Op: "replaying", Path: r.Path}, &list); err != nil {
		t.Fatal(err)
	}
	for i := range list {
		if strings.HasSuffix(c.Ref.ID, ":"+strconv.Itoa(list[i].Number)) {
			return issueText(&list[i], nil)
		}
	}
	return ""
}

func commentsTexts(t testing.TB, r recorded.Response) ([]string, error) {
	number, _ := strconv.Atoi(r.Params["issue_number"])
	i := &issue{Number: number, Title: "Recorded", Comments: unstated}
	rc, err := player(t, r).openIssue(t.Context(), theRepo(r), i, connectors.ItemRef{ID: "recorded"})
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(rc)
	return []string{string(text)}, err
}

// contentTexts reads raw text, a file's entry or a folder's.
func contentTexts(t testing.TB, r recorded.Response) ([]string, error) {
	switch {
	case len(r.Body) > 0 && r.Body[0] == '[':
		return once(each(pathTexts))(t, r)
	case len(r.Body) > 0 && r.Body[0] == '{':
		return once(pathTexts)(t, r)
	}
	rc, err := player(t, r).openBlob(t.Context(), r.Path, connectors.ItemRef{ID: "recorded"})
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(rc)
	return []string{string(text)}, err
}

func groupTexts(t testing.TB, r recorded.Response) ([]string, error) {
	var texts []string
	for m, err := range player(t, r).members(t.Context(), "replaying", &account{ID: 1, Login: r.Params["org"]}) {
		if err != nil {
			return nil, err
		}
		texts = append(texts, m.Member.ID, m.Member.Name)
	}
	return texts, nil
}

func catalogueTexts(t testing.TB, r recorded.Response) ([]string, error) {
	c, err := player(t, r).catalogue(t.Context(), "replaying")
	if err != nil {
		return nil, err
	}
	var texts []string
	for i := range c.repos {
		texts = append(texts, repoTexts(&c.repos[i])...)
	}
	for _, choice := range choicesBelow(c, "") {
		texts = append(texts, choice.ID, choice.Name, choice.Detail)
	}
	return texts, nil
}

type codeFound struct {
	Items []struct {
		treeEntry
		Repository repository `json:"repository"`
	} `json:"items"`
}

func foundTexts(f *codeFound) []string {
	var texts []string
	for i := range f.Items {
		texts = append(append(texts, pathTexts(&f.Items[i].treeEntry)...), repoTexts(&f.Items[i].Repository)...)
	}
	return texts
}

func noTexts[T any](*T) []string { return nil }

func TestRecorded(t *testing.T) {
	const tokens = "Tokens are had by the OAuth engine; the connector sees none."
	const writes = "The connector writes nothing."
	const teams = "Teams are in the list of collaborators already."
	op := func(method, path string, decode func(testing.TB, recorded.Response) ([]string, error)) recorded.Operation {
		return recorded.Operation{Method: method, Path: path, Decode: decode}
	}
	not := func(method, path, why string) recorded.Operation {
		return recorded.Operation{Method: method, Path: path, NotOurs: why}
	}
	with := func(o recorded.Operation, elsewhere map[string]string) recorded.Operation {
		o.Elsewhere = elsewhere
		return o
	}
	plan := map[string]string{"/plan/name": "What an account pays for is nobody's document."}
	people := op("GET", "/users/{username}", once(accountTexts))
	people.Classes = map[string]connectors.Class{"pygithub-Exceptions.testJSONParseError-1": connectors.Transient}
	issues := op("GET", "/repos/{owner}/{repo}/issues", stepTexts(stageIssues))
	// The record was cut to ids: without numbers and times a listing is not one.
	issues.Classes = map[string]connectors.Class{"pygithub-PaginatedList.testCustomPerPageWithGetPage-1": connectors.Transient}
	recorded.Replay(t, "github", []recorded.Operation{
		with(op("GET", "/user", once(accountTexts)), plan),
		with(people, plan),
		op("GET", "/user/repos", catalogueTexts),
		op("GET", "/user/installations", once(func(p *installationsPage) []string {
			var texts []string
			for _, in := range p.Installations {
				texts = append(texts, in.Account.name())
			}
			return texts
		})),
		op("GET", "/repos/{owner}/{repo}", once(repoTexts)),
		op("GET", "/repositories/{id}", once(repoTexts)),
		with(issues, map[string]string{
			"/*/labels/*/description": "It describes the label, and not the issue that has it.",
		}),
		with(op("GET", "/repos/{owner}/{repo}/pulls", stepTexts(stageIssues)), map[string]string{
			"/*/base/repo/license/name": "It belongs to the repository's own document.",
			"/*/head/repo/license/name": "It belongs to the document of the repository that the change comes from.",
		}),
		op("GET", "/repos/{owner}/{repo}/issues/{issue_number}/comments", commentsTexts),
		op("GET", "/repos/{owner}/{repo}/git/trees/{tree_sha}", stepTexts(stageFiles)),
		op("GET", "/repos/{owner}/{repo}/contents/{path...}", contentTexts),
		op("GET", "/repositories/{id}/contents/{path...}", contentTexts),
		op("GET", "/repos/{owner}/{repo}/readme", once(pathTexts)),
		with(op("GET", "/repos/{owner}/{repo}/commits", once(noTexts[[]struct{ SHA string }])), map[string]string{
			"/*/commit/*/name": "Commits are no documents; files are.",
		}),
		with(op("GET", "/repos/{owner}/{repo}/commits/{ref}", once(noTexts[struct{ SHA string }])), map[string]string{
			"/commit/*/name": "Commits are no documents; files are.",
		}),
		op("GET", "/repos/{owner}/{repo}/pulls/{pull_number}/files", once(func(fs *[]changedFile) []string {
			gone, there := pathsOf(*fs)
			return append(gone, there...)
		})),
		op("GET", "/repos/{owner}/{repo}/collaborators/{username}/permission", once(noTexts[collaborator])),
		op("GET", "/orgs/{org}/members", groupTexts),
		op("GET", "/orgs/{org}/outside_collaborators", once(each(accountTexts))),
		op("GET", "/orgs/{org}/teams", once(each(accountTexts))),
		op("GET", "/search/code", once(foundTexts)),
		op("GET", "/rate_limit", once(noTexts[struct{ Rate any }])),
		op("POST", "/app/installations/{installation_id}/access_tokens", once(noTexts[struct{}])),
		not("GET", "/orgs/{org}/installation", tokens),
		not("POST", "/login/oauth/access_token", tokens),
		not("POST", "/repos/{owner}/{repo}/labels", writes),
		not("POST", "/user/keys", writes),
		not("PATCH", "/repos/{owner}/{repo}", writes),
		not("PATCH", "/repositories/{id}", writes),
		not("POST", "/repos/{owner}/{repo}/git/refs", writes),
		not("PATCH", "/repos/{owner}/{repo}/git/refs/{ref...}", writes),
		not("DELETE", "/repos/{owner}/{repo}/git/refs/{ref...}", writes),
		not("GET", "/repos/{owner}/{repo}/git/refs/{ref...}", "The tip of the default branch comes with the branch."),
		not("GET", "/repos/{owner}/{repo}/git/ref/{ref...}", "The tip of the default branch comes with the branch."),
		not("GET", "/repos/{owner}/{repo}/git/commits/{commit_sha}", "A commit's tree is asked for by the commit's own name."),
		not("PUT", "/organizations/{org_id}/team/{team_id}/memberships/{username}", writes),
		not("DELETE", "/organizations/{org_id}/team/{team_id}/memberships/{username}", writes),
		not("GET", "/organizations/{org_id}/team/{team_id}/members", teams),
		not("GET", "/organizations/{org_id}/team/{team_id}/members/{username}", teams),
	})
}
