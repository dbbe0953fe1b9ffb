package github

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

type siteIssue struct {
	id               int64
	number           int
	pull, merged     bool
	title, body      string
	state, author    string
	labels           []string
	created, updated time.Time
	comments         []*siteComment
	reviews          []*siteComment
	lines            []*siteComment
	// movedTo is the address of the issue that a transfer made of it.
	movedTo string
}

type siteComment struct {
	id               int64
	author, body     string
	state, path      string
	created, updated time.Time
}

// openIssue makes an issue or a pull request.
func (s *site) openIssue(repo *siteRepo, title, body string, pull bool) *siteIssue {
	repo.lastNumber++
	at := s.tick()
	i := &siteIssue{
		id: s.nextID(), number: repo.lastNumber, pull: pull, title: title, body: body, state: "open", author: "bob",
		labels: []string{"kit"}, created: at, updated: at,
	}
	repo.issues = append(repo.issues, i)
	return i
}

// comment says something; touch tells whether the issue's own time changes.
func (s *site) comment(i *siteIssue, list *[]*siteComment, body string, touch bool) *siteComment {
	at := s.tick()
	c := &siteComment{id: s.nextID(), author: "carol", body: body, created: at, updated: at, state: "COMMENTED", path: "doc.md"}
	*list = append(*list, c)
	if touch {
		i.updated = at
	}
	return c
}

func (s *site) issueRoute(r *http.Request, repo *siteRepo, rest string) answer {
	q := r.URL.Query()
	elems := strings.Split(rest, "/")
	if repo.noIssues && rest == "issues" {
		return no(http.StatusGone, "Issues has been disabled in this repository.")
	}
	switch rest {
	case "issues":
		return s.page(r, "", s.issueRows(repo, q.Get("since"), q.Get("direction"), q.Get("sort"), false))
	case "pulls":
		return s.page(r, "", s.issueRows(repo, "", q.Get("direction"), q.Get("sort"), true))
	case "issues/comments":
		return s.page(r, "", s.commentRows(repo, func(i *siteIssue) []*siteComment { return i.comments }, s.commentJSON, q.Get("since")))
	case "pulls/comments":
		return s.page(r, "", s.commentRows(repo, func(i *siteIssue) []*siteComment { return i.lines }, s.lineJSON, q.Get("since")))
	}
	n, _ := strconv.Atoi(elems[1])
	at := slices.IndexFunc(repo.issues, func(i *siteIssue) bool { return i.number == n })
	if at < 0 {
		if n > 0 && n <= repo.lastNumber {
			return no(http.StatusGone, "This issue was deleted")
		}
		return missing()
	}
	i := repo.issues[at]
	if i.movedTo != "" {
		a := no(http.StatusMovedPermanently, "Moved Permanently")
		a.header = map[string]string{"Location": i.movedTo + strings.TrimPrefix(rest, elems[0]+"/"+elems[1])}
		return a
	}
	what := strings.Join(append(elems[:1:1], elems[2:]...), "/")
	switch what {
	case "issues":
		return ok(s.issueJSON(repo, i))
	case "pulls":
		return ok(s.fullPullJSON(repo, i))
	case "issues/comments":
		s.bodies++
		return s.page(r, "", commentsOf(s, repo, i, i.comments, s.commentJSON))
	case "pulls/comments":
		return s.page(r, "", commentsOf(s, repo, i, i.lines, s.lineJSON))
	case "pulls/reviews":
		return s.page(r, "", commentsOf(s, repo, i, i.reviews, s.reviewJSON))
	}
	return missing()
}

func commentsOf(_ *site, repo *siteRepo, i *siteIssue, list []*siteComment, row func(*siteRepo, *siteIssue, *siteComment) map[string]any) []any {
	rows := []any{}
	for _, c := range list {
		rows = append(rows, row(repo, i, c))
	}
	return rows
}

// issueRows are issues and pull requests, or pull requests alone.
func (s *site) issueRows(repo *siteRepo, since, direction, sort string, pulls bool) []any {
	var list []*siteIssue
	for _, i := range repo.issues {
		if i.movedTo == "" && stamp(i.updated) >= since && (i.pull || !pulls) {
			list = append(list, i)
		}
	}
	key := func(i *siteIssue) time.Time {
		if sort == "updated" {
			return i.updated
		}
		return i.created
	}
	slices.SortStableFunc(list, func(a, b *siteIssue) int { return cmp.Or(key(a).Compare(key(b)), a.number-b.number) })
	if direction == "desc" {
		slices.Reverse(list)
	}
	rows := []any{}
	for _, i := range list {
		if pulls {
			rows = append(rows, s.pullJSON(repo, i))
		} else {
			rows = append(rows, s.issueJSON(repo, i))
		}
	}
	return rows
}

func (s *site) commentRows(
	repo *siteRepo, of func(*siteIssue) []*siteComment, row func(*siteRepo, *siteIssue, *siteComment) map[string]any, since string,
) []any {
	type one struct {
		i *siteIssue
		c *siteComment
	}
	var list []one
	for _, i := range repo.issues {
		for _, c := range of(i) {
			if i.movedTo == "" && stamp(c.updated) >= since {
				list = append(list, one{i, c})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b one) int { return cmp.Or(b.c.updated.Compare(a.c.updated), int(b.c.id-a.c.id)) })
	rows := []any{}
	for _, o := range list {
		rows = append(rows, row(repo, o.i, o.c))
	}
	return rows
}
