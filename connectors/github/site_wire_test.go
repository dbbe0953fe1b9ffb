package github

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

func (s *site) api(repo *siteRepo) string  { return s.server.URL + "/repos/" + repo.fullName() }
func (s *site) html(repo *siteRepo) string { return "https://github.com/" + repo.fullName() }

// links sets members to addresses below at, as every answer has them.
func links(row map[string]any, at, members string) map[string]any {
	for m := range strings.FieldsSeq(members) {
		row[m] = at + "/" + strings.TrimSuffix(m, "_url")
	}
	return row
}

func (s *site) simpleUser(login string) map[string]any {
	u, kind := s.users[login], typeUser
	if u == nil {
		org := s.orgs[login]
		if org == nil {
			return nil
		}
		u, kind = &siteUser{id: org.id, login: login}, typeOrganization
	}
	return links(map[string]any{
		"id": u.id, "login": login, "node_id": fmt.Sprint("U_", u.id), "gravatar_id": nil, "site_admin": false, "type": kind,
		"url": s.server.URL + "/users/" + login,
	}, s.server.URL+"/users/"+login, `avatar_url events_url followers_url following_url gists_url html_url organizations_url
		received_events_url repos_url starred_url subscriptions_url`)
}

func (s *site) userJSON(u *siteUser) map[string]any {
	row := s.simpleUser(u.login)
	for _, m := range []string{"bio", "blog", "company", "email", "hireable", "location", "name"} {
		row[m] = nil
	}
	for _, m := range []string{"followers", "following", "public_gists", "public_repos"} {
		row[m] = 0
	}
	row["created_at"], row["updated_at"], row["user_view_type"] = stamp(s.now), stamp(s.now), "public"
	return row
}

func (s *site) orgJSON(org *siteOrg) map[string]any {
	at := s.server.URL + "/orgs/" + org.login
	return links(map[string]any{
		"id": org.id, "login": org.login, "node_id": fmt.Sprint("O_", org.id), "description": nil, "has_organization_projects": false,
		"has_repository_projects": false, "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0, "type": typeOrganization,
		"created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "archived_at": nil, "url": at,
	}, at, "repos_url events_url hooks_url issues_url members_url public_members_url avatar_url html_url")
}

func (s *site) reposJSON(keep func(*siteRepo) bool) []any {
	rows := []any{}
	for _, repo := range s.repos {
		if keep == nil || keep(repo) {
			rows = append(rows, s.repoJSON(repo))
		}
	}
	return rows
}

func (s *site) repoJSON(repo *siteRepo) map[string]any {
	issues := 0
	row := map[string]any{
		"id": repo.id, "node_id": fmt.Sprint("R_", repo.id), "name": cmp.Or(repo.full, repo.name), "full_name": repo.fullName(), "owner": s.simpleUser(repo.owner),
		"private": repo.private, "visibility": repo.visibility, "html_url": s.html(repo), "description": repo.description, "fork": repo.fork,
		"archived": repo.archived, "disabled": false, "topics": repo.topics, "homepage": nil, "language": "Markdown", "license": nil, "mirror_url": nil,
		"default_branch": repo.branch, "has_issues": !repo.noIssues, "has_projects": true, "has_wiki": true, "has_pages": false, "has_downloads": true,
		"forks": 0, "forks_count": 0, "open_issues": issues, "open_issues_count": issues, "size": 1, "stargazers_count": 0, "watchers": 0,
		"watchers_count": 0, "pushed_at": "2026-03-01T10:00:00Z", "created_at": "2026-03-01T10:00:00Z", "updated_at": "2026-03-01T10:00:00Z",
		"permissions": map[string]any{"admin": false, "maintain": false, "push": !repo.hideReaders, "triage": true, "pull": true},
		"url":         s.api(repo),
	}
	return links(row, s.api(repo), `archive_url assignees_url blobs_url branches_url clone_url collaborators_url comments_url commits_url compare_url
		contents_url contributors_url deployments_url downloads_url events_url forks_url git_commits_url git_refs_url git_tags_url git_url hooks_url
		issue_comment_url issue_events_url issues_url keys_url labels_url languages_url merges_url milestones_url notifications_url pulls_url
		releases_url ssh_url stargazers_url statuses_url subscribers_url subscription_url svn_url tags_url teams_url trees_url`)
}

func (s *site) fullRepoJSON(repo *siteRepo) map[string]any {
	row := s.repoJSON(repo)
	row["has_discussions"], row["network_count"], row["subscribers_count"] = false, 0, 0
	return row
}

func (s *site) installationsJSON() []any {
	rows := []any{}
	for _, login := range []string{"harbour", "lantern"} {
		org := s.orgs[login]
		at := s.server.URL + "/app/installations/" + strconv.FormatInt(org.id, 10)
		row := links(map[string]any{
			"id": org.id, "app_id": 1, "app_slug": "tributary", "target_id": org.id, "target_type": typeOrganization, "single_file_name": nil,
			"repository_selection": "all", "events": []any{}, "account": s.simpleUser(login), "permissions": map[string]any{"contents": "read"},
			"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "suspended_by": nil, "suspended_at": nil,
		}, at, "access_tokens_url html_url repositories_url")
		if org.suspended {
			row["suspended_at"] = "2026-02-01T00:00:00Z"
		}
		if !org.uninstalled {
			rows = append(rows, row)
		}
	}
	return rows
}

func (s *site) collaboratorsJSON(repo *siteRepo) []any {
	rows := []any{}
	for _, login := range s.collaboratorsOf(repo) {
		row := s.simpleUser(login)
		row["role_name"] = "read"
		row["permissions"] = map[string]any{"admin": false, "maintain": false, "push": false, "triage": false, "pull": true}
		rows = append(rows, row)
	}
	for _, login := range loginsOf(repo.lapsed) {
		row := s.simpleUser(login)
		row["role_name"] = "none"
		row["permissions"] = map[string]any{"admin": false, "push": false, "pull": false}
		rows = append(rows, row)
	}
	return rows
}

func (s *site) commitJSON(repo *siteRepo, sha string) map[string]any {
	at := s.api(repo) + "/commits/" + sha
	return links(map[string]any{
		"sha": sha, "node_id": "C_" + sha, "url": at, "author": s.simpleUser("bob"), "committer": nil, "parents": []any{},
		"commit": map[string]any{
			"author": nil, "committer": nil, "comment_count": 0, "message": "A change.", "url": at,
			"tree": map[string]any{"sha": sha, "url": s.api(repo) + "/git/trees/" + sha},
		},
	}, at, "html_url comments_url")
}

func (s *site) issueJSON(repo *siteRepo, i *siteIssue) map[string]any {
	at := fmt.Sprintf("%s/issues/%d", s.api(repo), i.number)
	labels := []any{}
	for _, l := range i.labels {
		labels = append(labels, map[string]any{"id": 1, "node_id": "L_1", "url": s.api(repo) + "/labels/" + l, "name": l, "description": nil, "color": "f00", "default": false})
	}
	row := links(map[string]any{
		"id": i.id, "node_id": fmt.Sprint("I_", i.id), "number": i.number, "title": i.title, "body": i.body, "state": i.state, "locked": false,
		"user": s.simpleUser(i.author), "assignee": nil, "assignees": []any{}, "milestone": nil, "labels": labels, "comments": len(i.comments),
		"closed_at": nil, "created_at": stamp(i.created), "updated_at": stamp(i.updated), "url": at, "repository_url": s.api(repo),
		"html_url": fmt.Sprintf("%s/issues/%d", s.html(repo), i.number), "author_association": "NONE",
	}, at, "comments_url events_url labels_url")
	if i.body == "" {
		row["body"] = nil
	}
	if s.users[i.author] == nil {
		row["user"] = nil
	}
	if i.pull {
		pull := map[string]any{"url": strings.Replace(at, "/issues/", "/pulls/", 1), "html_url": s.html(repo), "diff_url": s.html(repo), "patch_url": s.html(repo), "merged_at": nil}
		if i.merged {
			pull["merged_at"] = stamp(i.updated)
		}
		row["pull_request"] = pull
	}
	return row
}

func (s *site) pullJSON(repo *siteRepo, i *siteIssue) map[string]any {
	at := fmt.Sprintf("%s/pulls/%d", s.api(repo), i.number)
	row := s.issueJSON(repo, i)
	for _, m := range []string{"comments", "repository_url", "events_url", "labels_url", "pull_request"} {
		delete(row, m)
	}
	for _, l := range row["labels"].([]any) {
		l.(map[string]any)["description"] = "A label."
	}
	row = links(row, at, "commits_url diff_url issue_url patch_url review_comment_url review_comments_url statuses_url comments_url")
	self := map[string]any{}
	for _, m := range []string{"comments", "commits", "statuses", "html", "issue", "review_comments", "review_comment", "self"} {
		self[m] = map[string]any{"href": at}
	}
	tip := map[string]any{"label": "kit:main", "ref": "main", "sha": name(at), "user": s.simpleUser("bob"), "repo": s.repoJSON(repo)}
	row["_links"], row["url"], row["merge_commit_sha"], row["merged_at"], row["auto_merge"], row["draft"] = self, at, nil, nil, nil, false
	row["base"], row["head"] = tip, tip
	if i.merged {
		row["merged_at"] = stamp(i.updated)
	}
	return row
}

func (s *site) fullPullJSON(repo *siteRepo, i *siteIssue) map[string]any {
	row := s.pullJSON(repo, i)
	for _, m := range []string{"additions", "changed_files", "commits", "deletions"} {
		row[m] = 1
	}
	row["comments"], row["review_comments"], row["merged"], row["merged_by"] = len(i.comments), len(i.lines), i.merged, nil
	row["mergeable"], row["mergeable_state"], row["maintainer_can_modify"] = nil, "unknown", false
	return row
}

func (s *site) commentJSON(repo *siteRepo, i *siteIssue, c *siteComment) map[string]any {
	at := fmt.Sprintf("%s/issues/comments/%d", s.api(repo), c.id)
	return map[string]any{
		"id": c.id, "node_id": fmt.Sprint("IC_", c.id), "url": at, "html_url": at, "issue_url": fmt.Sprintf("%s/issues/%d", s.api(repo), i.number),
		"user": s.simpleUser(c.author), "body": c.body, "created_at": stamp(c.created), "updated_at": stamp(c.updated), "author_association": "NONE",
	}
}

func (s *site) lineJSON(repo *siteRepo, i *siteIssue, c *siteComment) map[string]any {
	at := fmt.Sprintf("%s/pulls/comments/%d", s.api(repo), c.id)
	pull := fmt.Sprintf("%s/pulls/%d", s.api(repo), i.number)
	return map[string]any{
		"id": c.id, "node_id": fmt.Sprint("RC_", c.id), "url": at, "html_url": at, "pull_request_url": pull, "pull_request_review_id": nil,
		"diff_hunk": "@@ -1 +1 @@", "path": c.path, "commit_id": name(at), "original_commit_id": name(at), "user": s.simpleUser(c.author), "body": c.body,
		"created_at": stamp(c.created), "updated_at": stamp(c.updated), "author_association": "NONE",
		"_links": map[string]any{"self": map[string]any{"href": at}, "html": map[string]any{"href": at}, "pull_request": map[string]any{"href": pull}},
	}
}

func (s *site) reviewJSON(repo *siteRepo, i *siteIssue, c *siteComment) map[string]any {
	pull := fmt.Sprintf("%s/pulls/%d", s.api(repo), i.number)
	return map[string]any{
		"id": c.id, "node_id": fmt.Sprint("PR_", c.id), "user": s.simpleUser(c.author), "body": c.body, "state": c.state, "commit_id": nil,
		"html_url": pull, "pull_request_url": pull, "submitted_at": stamp(c.created), "author_association": "NONE",
		"_links": map[string]any{"html": map[string]any{"href": pull}, "pull_request": map[string]any{"href": pull}},
	}
}
