package github

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// grantInstallation is the kind of a grant that acts for a whole installation
// of a GitHub App.
const grantInstallation = "installation"

// maxRepoPages bounds the list of repositories.
const maxRepoPages = 5000

var errEndless = errors.New("the list of repositories does not end")

// app reports whether the grant is one of a GitHub App.
func (s *session) app() bool {
	return s.grant.Provider == providerApp || s.grant.Provider == providerServerApp
}

// catalogue is what the grant can see.
type catalogue struct {
	repos []repository
	// installations are those of a GitHub App that the account can see.
	installations []installation
	pages         []listPage
	// at is the server's time before the first page was made.
	at time.Time
	// partial says that organisations with single sign-on are missing.
	partial bool
}

// selected returns the repositories of the selection, in the order of ids.
func (s *session) selected(ctx context.Context, op string) (*catalogue, error) {
	c, err := s.catalogue(ctx, op)
	if err != nil {
		return nil, err
	}
	c.repos = slices.DeleteFunc(c.repos, func(r repository) bool { return !s.sel.repository(&r, s.opt) })
	return c, nil
}

// catalogue reads every repository that the grant can see, in the order of
// ids: an installation's own, those of the installations that the account
// shares with the app, or the account's.
func (s *session) catalogue(ctx context.Context, op string) (*catalogue, error) {
	c := &catalogue{}
	var err error
	switch {
	case s.grant.Kind == grantInstallation:
		err = s.wrapped(ctx, op, c, "installation/repositories")
	case s.app():
		err = s.installed(ctx, op, c)
	default:
		q := s.paged("affiliation", "owner,collaborator,organization_member", "sort", "created", "direction", "asc")
		err = s.eachPage(ctx, op, c, "user/repos", q, func(data []byte) (int, error) {
			var rs []repository
			err := json.Unmarshal(data, &rs)
			c.repos = append(c.repos, rs...)
			return len(rs), err
		})
	}
	if err != nil {
		return nil, err
	}
	for i := range c.repos {
		r := &c.repos[i]
		owner, name, _ := strings.Cut(r.FullName, "/")
		if r.ID == 0 || owner == "" || name == "" {
			return nil, malformed(op)
		}
	}
	slices.SortStableFunc(c.repos, func(a, b repository) int { return cmp.Compare(a.ID, b.ID) })
	c.repos = slices.CompactFunc(c.repos, func(a, b repository) bool { return a.ID == b.ID })
	return c, nil
}

// installed reads the repositories of every installation.
func (s *session) installed(ctx context.Context, op string, c *catalogue) error {
	err := s.eachPage(ctx, op, c, "user/installations", s.paged(), func(data []byte) (int, error) {
		var page installationsPage
		err := json.Unmarshal(data, &page)
		c.installations = append(c.installations, page.Installations...)
		return len(page.Installations), err
	})
	for _, in := range c.installations {
		if err != nil {
			return err
		}
		if in.SuspendedAt != nil {
			// SECURITY: what is suspended is not gone, so that nothing of it is
			// inferred to be deleted.
			c.partial = true
			continue
		}
		err = s.wrapped(ctx, op, c, "user/installations/"+strconv.FormatInt(in.ID, 10)+"/repositories")
	}
	return err
}

// wrapped reads a list of repositories that stands in an object.
func (s *session) wrapped(ctx context.Context, op string, c *catalogue, path string) error {
	return s.eachPage(ctx, op, c, path, s.paged(), func(data []byte) (int, error) {
		var page repositoriesPage
		err := json.Unmarshal(data, &page)
		c.repos = append(c.repos, page.Repositories...)
		return len(page.Repositories), err
	})
}

// eachPage reads the pages of a list. The page after a full one is asked for
// even where no link leads there, so that its ETag tells when it fills.
func (s *session) eachPage(
	ctx context.Context, op string, c *catalogue, path string, q url.Values, each func(data []byte) (int, error),
) error {
	for page := 1; page <= maxRepoPages; page++ {
		q.Set("page", strconv.Itoa(page))
		var raw json.RawMessage
		m, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: path, Query: q}, &raw)
		if err != nil {
			return err
		}
		n, err := each(raw)
		if err != nil {
			return malformed(op)
		}
		c.note(m, listPage{Path: path, Query: q.Encode(), Tag: m.Kept.ETag})
		if m.Next == "" && n < s.cfg.PerPage {
			return nil
		}
	}
	return &connectors.Error{Op: op, Class: connectors.Transient, Err: errEndless}
}

// note keeps what an answer says beside its content.
// https://docs.github.com/rest/authentication/authenticating-to-the-rest-api#authorizing-for-single-sign-on
func (c *catalogue) note(m httpx.Meta, p listPage) {
	if c.at.IsZero() {
		c.at = serverTime(m.Header)
	}
	c.pages = append(c.pages, p)
	c.partial = c.partial || strings.HasPrefix(strings.TrimSpace(m.Header.Get("X-Github-Sso")), "partial-results")
}

// unchanged reports whether every page of the lists is as it was.
func (s *session) unchanged(ctx context.Context, op string, pages []listPage) (bool, error) {
	for _, p := range pages {
		q, _ := url.ParseQuery(p.Query) // what cannot be read is another question, whose answer differs
		if p.Tag == "" {
			return false, nil
		}
		m, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: p.Path, Query: q, Kept: httpx.Validators{ETag: p.Tag}}, nil)
		if err != nil || !m.NotModified {
			return false, err
		}
	}
	return len(pages) > 0, nil
}

// serverTime is the source's own clock.
func serverTime(h http.Header) time.Time {
	at, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

// head returns the commit at the tip of the default branch, "" for a
// repository without one. The ETag may be the one that is kept.
func (s *session) head(ctx context.Context, op string, r *repository, tag string) (commit string, m httpx.Meta, err error) {
	if r.DefaultBranch == "" {
		return "", m, nil
	}
	var b branch
	call := httpx.Call{Op: op, Path: repoPath(r, "branches", url.PathEscape(r.DefaultBranch)), Kept: httpx.Validators{ETag: tag}}
	m, err = s.api.JSON(ctx, call, &b)
	switch {
	case statusOf(err) == http.StatusNotFound && codeOf(err) == "":
		// A missing repository and a missing branch look the same, and the
		// default may have become another one since r was read.
		now, err := s.again(ctx, op, r)
		if err != nil || now.DefaultBranch == r.DefaultBranch {
			return "", httpx.Meta{}, err
		}
		r.DefaultBranch = now.DefaultBranch
		return s.head(ctx, op, r, "")
	case err != nil || m.NotModified:
		return "", m, err
	case b.Commit == nil || b.Commit.SHA == "":
		return "", m, malformed(op)
	}
	return b.Commit.SHA, m, nil
}

// again reads one repository.
func (s *session) again(ctx context.Context, op string, r *repository) (repository, error) {
	var now repository
	_, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: repoPath(r)}, &now)
	return now, err
}
