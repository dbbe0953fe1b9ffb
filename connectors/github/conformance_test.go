package github

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/connectortest/contract"
	"tributary/internal/httpx"
)

var _ connectortest.Site = (*site)(nil)

// Put creates or edits a file, an issue's text, or a repository's description.
// A new repository has an issue.
func (s *site) Put(name, text string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	short, rest, below := strings.Cut(name, "/")
	repo := s.repo(short)
	if repo.lastNumber == 0 {
		i := s.openIssue(repo, "Welcome to "+short, "What to do first in "+short+".", false)
		s.comment(i, &i.comments, "Read this.", true)
	}
	if !below {
		repo.description = text
		return s.repoID(repo), nil
	}
	if number, ok := strings.CutPrefix(rest, "issues/"); ok {
		for _, i := range repo.issues {
			if strconv.Itoa(i.number) == number && i.movedTo == "" {
				i.body, i.updated = text, s.tick()
				return s.issueID(repo, i), nil
			}
		}
	}
	s.commit(repo, false, func(files map[string]siteFile) { files[rest] = siteFile{"100644", text} })
	return s.fileID(repo, rest), nil
}

func (s *site) repoID(repo *siteRepo) string { return fmt.Sprintf("repo:%d", repo.id) }

func (s *site) fileID(repo *siteRepo, p string) string {
	return fmt.Sprintf("repo:%d:file:%s", repo.id, p)
}

func (s *site) issueID(repo *siteRepo, i *siteIssue) string {
	return fmt.Sprintf("repo:%d:issue:%d", repo.id, i.number)
}

// item is what an id stands for: a repository, one of its files or issues.
type item struct {
	repo  *siteRepo
	path  string
	issue *siteIssue
}

func (s *site) item(id string) item {
	parts := strings.SplitN(id, ":", 4)
	var it item
	for _, repo := range s.repos {
		if len(parts) > 1 && strconv.FormatInt(repo.id, 10) == parts[1] {
			it.repo = repo
		}
	}
	if len(parts) < 4 || it.repo == nil {
		return it
	}
	if parts[2] == "file" {
		it.path = parts[3]
	}
	for _, i := range it.repo.issues {
		if parts[2] == "issue" && strconv.Itoa(i.number) == parts[3] {
			it.issue = i
		}
	}
	return it
}

// Delete removes a file, an issue, or a whole repository.
func (s *site) Delete(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.item(id)
	switch {
	case it.path != "":
		s.commit(it.repo, false, func(files map[string]siteFile) { delete(files, it.path) })
	case it.issue != nil:
		it.repo.issues = slices.DeleteFunc(it.repo.issues, func(i *siteIssue) bool { return i == it.issue })
		s.tick()
	default:
		s.repos = slices.DeleteFunc(s.repos, func(r *siteRepo) bool { return r == it.repo })
	}
	return nil
}

// Move gives a file another path, perhaps in another repository, and transfers
// an issue. A repository stays where it is.
func (s *site) Move(id, name string) (string, error) {
	s.mu.Lock()
	short, _, _ := strings.Cut(name, "/")
	it, to := s.item(id), s.repo(short)
	s.mu.Unlock()
	switch {
	case it.path != "":
		text := it.repo.files()[it.path].text
		newID, err := s.Put(name, text)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.commit(it.repo, false, func(files map[string]siteFile) { delete(files, it.path) })
		return newID, err
	case it.issue != nil && to != it.repo:
		s.mu.Lock()
		defer s.mu.Unlock()
		i := s.openIssue(to, it.issue.title, it.issue.body, false)
		i.comments = it.issue.comments
		it.issue.movedTo = fmt.Sprintf("%s/issues/%d", s.api(to), i.number)
		return s.issueID(to, i), nil
	}

	return id, nil
}

// Truth returns repositories, files and issues.
func (s *site) Truth() ([]connectortest.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []connectortest.Item
	for _, repo := range s.repos {
		if s.about {
			all = append(all, connectortest.Item{ID: s.repoID(repo), Name: repo.name, Text: repo.description})
		}
		for _, p := range slices.Sorted(maps.Keys(repo.files())) {
			all = append(all, connectortest.Item{ID: s.fileID(repo, p), Name: repo.name + "/" + p, Text: repo.files()[p].text})
		}
		for _, i := range repo.issues {
			if i.movedTo == "" {
				all = append(all, connectortest.Item{ID: s.issueID(repo, i), Name: repo.name + "/issues/" + strconv.Itoa(i.number), Text: i.body})
			}
		}
	}
	return all, nil
}

// People returns everybody with an account.
func (s *site) People() []connectors.Principal {
	var all []connectors.Principal
	for _, login := range slices.Sorted(maps.Keys(s.users)) {
		all = append(all, s.principal(login))
	}
	return all
}

// CanRead is GitHub's rule, except that who reads a repository whose
// collaborators the account may not list is known to nobody.
func (s *site) CanRead(who connectors.Principal, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	it := s.item(id)
	return it.repo != nil && (!it.repo.private || !it.repo.hideReaders) && s.reads(s.loginOf(who), it.repo)
}

// Share changes the readers of the item's repository.
func (s *site) Share(id string, with connectortest.Audience) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	repo := s.item(id).repo
	was := *repo
	repo.private, repo.visibility, repo.hideReaders = true, visibilityPrivate, false
	repo.direct, repo.teams = set("dave"), map[string]bool{}
	switch with {
	case connectortest.ForOne:
	case connectortest.ForGroup:
		team := "outer"
		if repo.owner == "lantern" {
			team = "lamp"
		}
		repo.direct, repo.teams = map[string]bool{}, set(team)
	case connectortest.ForAll:
		repo.private, repo.visibility = false, visibilityPublic
	case connectortest.ForUnknown:
		repo.hideReaders = true
	case connectortest.ForBoth, connectortest.ForAllButOne:
		*repo = was
		return errors.ErrUnsupported
	}
	return nil
}

// Memberships are everybody in the group of a public repository, and the
// readers of the others whose collaborators can be listed.
func (s *site) Memberships() ([]connectors.Membership, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var ms []connectors.Membership
	for _, repo := range s.repos {
		group := connectors.Principal{Kind: connectors.Group, ID: s.repoID(repo)}
		if !repo.private {
			ms = append(ms, connectors.Membership{Member: connectors.Principal{Kind: connectors.Public, ID: "public"}, Group: group})
			continue
		}
		for login := range s.users {
			if !repo.hideReaders && s.reads(login, repo) {
				ms = append(ms, connectors.Membership{Member: s.principal(login), Group: group})
			}
		}
	}
	return ms, nil
}

// Emails is what the source does not tell.
func (s *site) Emails() ([]connectors.Person, error) { return nil, errors.ErrUnsupported }

// ChangeMembership changes who owns the organisations and who is in a team.
func (s *site) ChangeMembership() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	swap := func(m map[string]bool, a, b string) {
		if m[a] {
			a, b = b, a
		}
		m[a] = true
		delete(m, b)
	}
	swap(s.orgs["harbour"].owners, "frank", "carol")
	swap(s.orgs["lantern"].owners, "frank", "erin")
	swap(s.teams["inner"].members, "dave", "carol")
	return nil
}

// Fail sets a fault. GitHub's listings do not expire, and no item has
// permissions of its own.
func (s *site) Fail(f connectortest.Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case f.Kind == connectortest.ExpiredCursor && f.On == connectortest.OnFeed:
		s.forget()
	case f.Kind == connectortest.ExpiredCursor, f.On == connectortest.OnACL, f.On == connectortest.OnContainer && strings.Contains(f.Name, "/"):
		return errors.ErrUnsupported
	default:
		s.faults = append(s.faults, &siteFault{Fault: f})
	}
	return nil
}

// Mend takes every fault away.
func (s *site) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
	close(s.mended)
	s.mended = make(chan struct{})
}

// BodyOpens counts the downloads of files and of what was said on issues.
func (s *site) BodyOpens() (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bodies, nil
}

// Names are a person and an organisation's members.
func (s *site) Names() (map[string]connectors.Principal, error) {
	return map[string]connectors.Principal{
		"github:alice":    s.principal("alice"),
		"github:@lantern": {Kind: connectors.Group, ID: "org:12"},
	}, nil
}

// described holds a site to GitHub's description of its API.
func described(t *testing.T) func(http.Handler) http.Handler {
	t.Helper()
	return checker(t).Handler
}

func checker(t *testing.T) *contract.Checker {
	t.Helper()
	c := contract.Load(t, contract.File{Name: "github.openapi.json"})
	c.Undescribed("GET", "/repositories/{repository_id}/{rest...}", "Links to the next page, and redirects of renamed repositories, lead here.")
	c.Differs("GET /repos/{owner}/{repo}/git/blobs/{file_sha}", "media type application/vnd.github.raw+json", "The text of the description names the raw media type, its list of types does not.")
	for _, below := range []string{"branches/{branch}", "collaborators", "git/blobs/{file_sha}"} {
		c.Differs("GET /repos/{owner}/{repo}/"+below, "status 451", "GitHub answers so for a repository that is blocked for legal reasons.")
	}
	return c
}

func fixture(tb connectortest.TB, wrap func(http.Handler) http.Handler, grant connectors.Grant) connectortest.Fixture {
	s := newSite(wrap)
	client, release := s.client()
	tb.Cleanup(func() {
		release()
		s.close()
	})
	return connectortest.Fixture{
		Connector: New(Config{API: s.server.URL, PageSize: sitePageSize, PerPage: sitePerPage, Retry: httpx.Retry{Attempts: 1}}),
		Site:      s, Secret: canary, Env: connectors.Env{HTTP: client, Grant: grant, Settings: map[string]string{}},
	}
}

func userGrant() connectors.Grant {
	return connectors.Grant{Provider: providerOAuth, Kind: "authorization_code", Subject: "101"}
}

// TestConformance is not parallel: the kit looks for goroutines left behind.
func TestConformance(t *testing.T) {
	wrap := described(t)
	connectortest.Run(t, connectortest.Harness{Rendered: true, Setup: func(tb connectortest.TB) connectortest.Fixture {
		fix := fixture(tb, wrap, userGrant())
		fix.Env.Settings[settingAbout] = "false"
		return fix
	}})
}
