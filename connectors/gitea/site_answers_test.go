package gitea

import (
	"encoding/base64"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/connectors/connectortest"
)

func zoned(t time.Time) string { return t.Format(time.RFC3339) }

func (s *site) userJSON(id int64) map[string]any {
	u := s.w.user(id)
	return map[string]any{
		"id": u.id, "login": u.login, "full_name": strings.ToUpper(u.login), "email": u.login + "@noreply.kit.example", "visibility": "public",
		"restricted": u.restricted, "is_admin": false, "active": false, "prohibit_login": false, "created": zoned(s.w.now),
	}
}

func (s *site) usersJSON(ids []int64) []any {
	var out []any
	for _, id := range ids {
		out = append(out, s.userJSON(id))
	}
	return out
}

func (s *site) repoJSON(r *fakeRepo) map[string]any {
	return map[string]any{
		"id": r.id, "name": r.name, "full_name": r.owner.login + "/" + r.name, "description": r.about, "private": r.private,
		"internal": !r.private && r.owner.visibility == visiblePrivate, "empty": r.head == "", "default_branch": "main", "topics": []string{"kit"},
		"owner":    map[string]any{"id": r.owner.id, "login": r.owner.login, "full_name": "", "visibility": r.owner.visibility},
		"html_url": "https://kit.example/" + r.owner.login + "/" + r.name, "has_code": true, "has_issues": true, "has_pull_requests": true, "has_wiki": true,
		"internal_tracker": map[string]any{"enable_time_tracker": true}, "permissions": map[string]any{"admin": true, "push": true, "pull": true},
		"created_at": zoned(r.updated), "updated_at": zoned(r.updated), "website": "", "archived": false,
	}
}

func (s *site) serveUsers(r *http.Request) answer {
	var ids []int64
	for _, u := range s.w.users {
		ids = append(ids, u.id)
	}
	return s.page(r, s.usersJSON(ids), true).data()
}

func (s *site) serveUser(r *http.Request) answer {
	for _, u := range s.w.users {
		if strings.EqualFold(u.login, r.PathValue("username")) {
			return ok(s.userJSON(u.id))
		}
	}
	return missing
}

func (s *site) serveRepos(r *http.Request) answer {
	var list []any
	for _, one := range s.w.repos {
		list = append(list, s.repoJSON(one))
	}
	return s.page(r, list, true).data()
}

func (s *site) serveRepoByID(r *http.Request) answer {
	for _, one := range s.w.repos {
		if strconv.FormatInt(one.id, 10) == r.PathValue("id") {
			s.bodies++
			return ok(s.repoJSON(one))
		}
	}
	return missing
}

func (s *site) teamJSON(t *fakeTeam) map[string]any {
	return map[string]any{
		"id": t.id, "name": t.name, "description": "", "permission": t.permission, "units": slices.Sorted(maps.Keys(t.units)), "units_map": t.units,
		"includes_all_repositories": t.permission == rightOwner, "can_create_org_repo": false,
	}
}

func (s *site) owner(login string) *fakeOwner {
	for _, o := range s.w.owners {
		if o.login == login && !o.person {
			return o
		}
	}
	return nil
}

func (s *site) serveOrgTeams(r *http.Request) answer {
	o := s.owner(r.PathValue("org"))
	if o == nil {
		return missing
	}
	var list []any
	for _, t := range o.teams {
		list = append(list, s.teamJSON(t))
	}
	return s.page(r, list, true)
}

func (s *site) serveOrgMembers(r *http.Request) answer {
	o := s.owner(r.PathValue("org"))
	if o == nil {
		return missing
	}
	var ids []int64
	for _, t := range o.teams {
		ids = append(ids, t.members...)
	}
	slices.Sort(ids)
	return s.page(r, s.usersJSON(slices.Compact(ids)), true)
}

func (s *site) serveTeamMembers(r *http.Request) answer {
	for _, o := range s.w.owners {
		for _, t := range o.teams {
			if strconv.FormatInt(t.id, 10) == r.PathValue("id") {
				return s.page(r, s.usersJSON(t.members), true)
			}
		}
	}
	return missing
}

func (s *site) serveCollaborators(r *http.Request, repo *fakeRepo) answer {
	return s.page(r, s.usersJSON(repo.collaborators), false)
}

func (s *site) servePermission(r *http.Request, repo *fakeRepo) answer {
	for _, u := range s.w.users {
		if u.login == r.PathValue("collaborator") {
			right := map[bool]string{false: "none", true: rightRead}[s.w.may(u.id, repo, unitCode)]
			return ok(map[string]any{"user": s.userJSON(u.id), "permission": right, "role_name": right})
		}
	}
	return missing
}

func (s *site) serveRepoTeams(_ *http.Request, repo *fakeRepo) answer {
	if repo.owner.person {
		return no(http.StatusMethodNotAllowed, "repo is not owned by an organization")
	}
	list := []any{}
	for _, t := range repo.owner.teams {
		if slices.Contains(repo.teams, t.id) {
			list = append(list, s.teamJSON(t))
		}
	}
	return ok(list)
}

func (s *site) serveBranch(_ *http.Request, repo *fakeRepo) answer {
	if repo.head == "" {
		return missing
	}
	return ok(map[string]any{"name": "main", "commit": map[string]any{"id": repo.head, "message": "kit", "timestamp": zoned(repo.updated)}, "protected": false})
}

func (s *site) serveTree(r *http.Request, repo *fakeRepo) answer {
	entries, known := repo.trees[r.PathValue("sha")]
	if !known {
		return no(http.StatusBadRequest, "sha not found: "+r.PathValue("sha"))
	}
	if r.URL.Query().Get("recursive") == "true" {
		entries = repo.flat(r.PathValue("sha"), "")
	}
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	per, _ := strconv.Atoi(r.URL.Query().Get("per_page"))
	page, per = max(page, 1), min(max(per, 1), s.w.cap)
	from := min((page-1)*per, len(entries))
	to := min(from+per, len(entries))
	return ok(map[string]any{
		"sha": r.PathValue("sha"), "tree": append([]treeEntry{}, entries[from:to]...), "truncated": to < len(entries), "page": page, "total_count": len(entries),
	})
}

func (s *site) issueJSON(repo *fakeRepo, is *fakeIssue) map[string]any {
	page := "https://kit.example/" + repo.owner.login + "/" + repo.name
	out := map[string]any{
		"id": repo.id*1000 + is.number, "number": is.number, "title": is.title, "body": is.body, "state": "open", "comments": len(is.comments),
		"user": s.userJSON(bob), "labels": []any{map[string]any{"id": 1, "name": "kit-label", "color": "00aabb", "description": ""}}, "milestone": nil, "assignees": nil,
		"created_at": zoned(is.updated), "updated_at": zoned(is.updated), "closed_at": nil, "due_date": nil, "original_author": "",
		"html_url": page + "/issues/" + strconv.FormatInt(is.number, 10), "pull_request": nil,
		"repository": map[string]any{"id": repo.id, "name": repo.name, "owner": repo.owner.login, "full_name": repo.owner.login + "/" + repo.name},
	}
	if is.pull {
		out["pull_request"] = map[string]any{"merged": false, "merged_at": nil, "draft": false, "html_url": page + "/pulls/" + strconv.FormatInt(is.number, 10)}
	}
	return out
}

func since(r *http.Request) time.Time {
	t, err := time.Parse(time.RFC3339, r.URL.Query().Get("since"))
	if err != nil {
		return time.Time{}
	}
	return t
}

func (s *site) issuesJSON(r *http.Request, repo *fakeRepo) []any {
	var list []any
	kind := r.URL.Query().Get("type")
	for _, is := range repo.numbers() {
		if (kind == "issues" && is.pull) || (kind == "pulls" && !is.pull) || is.updated.Before(since(r)) {
			continue
		}
		list = append(list, s.issueJSON(repo, is))
	}
	return list
}

func (s *site) serveIssues(r *http.Request, repo *fakeRepo) answer {
	return s.page(r, s.issuesJSON(r, repo), true)
}

func (s *site) serveIssueSearch(r *http.Request) answer {
	var list []any
	for _, repo := range s.w.repos {
		list = append(list, s.issuesJSON(r, repo)...)
	}
	return s.page(r, list, true)
}

func (s *site) commentJSON(repo *fakeRepo, is *fakeIssue, c *fakeComment) map[string]any {
	page := "https://kit.example/" + repo.owner.login + "/" + repo.name
	out := map[string]any{
		"id": c.id, "user": s.userJSON(c.author), "body": c.body, "created_at": zoned(c.created), "updated_at": zoned(c.updated), "issue_url": "", "pull_request_url": "",
		"html_url": page + "#issuecomment-" + strconv.FormatInt(c.id, 10), "original_author": "",
	}
	if is.pull {
		out["pull_request_url"] = page + "/pulls/" + strconv.FormatInt(is.number, 10)
	} else {
		out["issue_url"] = page + "/issues/" + strconv.FormatInt(is.number, 10)
	}
	return out
}

func (s *site) serveComments(r *http.Request, repo *fakeRepo) answer {
	type one struct {
		id   int64
		json any
	}
	var found []one
	for _, is := range repo.issues {
		for _, c := range is.comments {
			if !c.updated.Before(since(r)) {
				found = append(found, one{c.id, s.commentJSON(repo, is, c)})
			}
		}
	}
	slices.SortFunc(found, func(a, b one) int { return int(a.id - b.id) })
	var list []any
	for _, f := range found {
		list = append(list, f.json)
	}
	return s.page(r, list, false)
}

func (s *site) fakeIssue(r *http.Request, repo *fakeRepo) *fakeIssue {
	n, _ := strconv.ParseInt(r.PathValue("index"), 10, 64)
	return repo.issues[n]
}

func (s *site) serveIssue(r *http.Request, repo *fakeRepo) answer {
	s.bodies++
	is := s.fakeIssue(r, repo)
	if is == nil {
		return answer{status: http.StatusNotFound, body: map[string]any{"errors": nil, "message": "issue does not exist", "url": "https://kit.example/api/swagger"}}
	}
	return ok(s.issueJSON(repo, is))
}

func (s *site) serveIssueComments(r *http.Request, repo *fakeRepo) answer {
	is := s.fakeIssue(r, repo)
	if is == nil {
		return missing
	}
	list := []any{}
	for _, c := range is.comments {
		list = append(list, s.commentJSON(repo, is, c))
	}
	return ok(list)
}

func (s *site) serveReviews(r *http.Request, repo *fakeRepo) answer {
	is := s.fakeIssue(r, repo)
	if is == nil || !is.pull {
		return missing
	}
	var list []any
	for _, one := range is.reviews {
		list = append(list, map[string]any{
			"id": one.id, "user": s.userJSON(carol), "body": one.body, "state": "REQUEST_CHANGES", "comments_count": len(one.lines), "submitted_at": zoned(is.updated),
		})
	}
	return s.page(r, list, false)
}

func (s *site) serveLines(r *http.Request, repo *fakeRepo) answer {
	list := []any{}
	if is := s.fakeIssue(r, repo); is != nil {
		for _, one := range is.reviews {
			for _, text := range one.lines {
				if strconv.FormatInt(one.id, 10) == r.PathValue("id") {
					list = append(list, map[string]any{"id": 1, "body": text, "path": "a.go", "user": s.userJSON(carol)})
				}
			}
		}
	}
	return ok(list)
}

func (s *site) wikiJSON(repo *fakeRepo, sub string) map[string]any {
	p := repo.wiki[sub]
	return map[string]any{
		"title": p.title, "sub_url": sub, "html_url": "https://kit.example/" + repo.owner.login + "/" + repo.name + "/wiki/" + sub,
		"last_commit": map[string]any{"sha": p.commit, "message": "kit", "author": map[string]any{"name": "bob", "email": "bob@kit.example", "date": zoned(s.w.now)}},
	}
}

func (s *site) serveWikiPages(r *http.Request, repo *fakeRepo) answer {
	if repo.wiki == nil {
		return missing
	}
	var list []any
	for _, sub := range slices.Sorted(maps.Keys(repo.wiki)) {
		list = append(list, s.wikiJSON(repo, sub))
	}
	return s.page(r, list, true)
}

func (s *site) serveWikiPage(r *http.Request, repo *fakeRepo) answer {
	s.bodies++
	raw := r.URL.EscapedPath()
	sub := raw[strings.LastIndexByte(raw, '/')+1:]
	if repo.wiki[sub] == nil {
		return missing
	}
	out := s.wikiJSON(repo, sub)
	out["content_base64"] = base64.StdEncoding.EncodeToString([]byte(repo.wiki[sub].text))
	out["commit_count"] = 1
	return ok(out)
}

// serveMedia sends a file as the branch has it.
func (s *site) serveMedia(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.bodies++
	var text, name string
	found := false
	for _, repo := range s.w.repos {
		if repo.owner.login == r.PathValue("owner") && repo.name == r.PathValue("repo") && r.URL.Query().Get("ref") == "main" {
			text, found = repo.files[r.PathValue("path")], repo.files[r.PathValue("path")] != ""
			name = s.nameOf(repo.name, r.PathValue("path"))
		}
	}
	cut := slices.ContainsFunc(s.faults, func(f *siteFault) bool { return f.Kind == connectortest.Truncated && f.Name == name })
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/octet-stream")
	switch {
	case !found:
		s.send(w, missing)
	case cut:
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = io.WriteString(w, text[:len(text)/2])
		panic(http.ErrAbortHandler)
	case !s.struck(w, r, connectortest.OnBody, name):
		_, _ = io.WriteString(w, text)
	}
}

func (s *site) nameOf(repo, path string) string { return repo + "/" + path }

// wikiSub is the address of a page with a title, as the server writes it.
func wikiSub(title string) string { return strings.ReplaceAll(url.QueryEscape(title), "+", "-") }
