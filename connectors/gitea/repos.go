package gitea

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// listAttempts is how often a list of repositories that changes while it is read is begun.
const listAttempts = 3

var (
	errShifts = errors.New("the list of repositories changes while it is read")
	errNoRepo = errors.New("the answer holds a repository without id, name or owner")
)

// repositories returns the selected repositories that the account can see, by id. SECURITY: a list that shrank while it was read
// may lack one of another page, so it is begun again.
func (s *session) repositories(ctx context.Context, op string) ([]repository, error) {
	for range listAttempts {
		repos, whole, err := s.listRepositories(ctx, op)
		if err != nil || whole {
			return repos, err
		}
	}
	return nil, &connectors.Error{Op: op, Class: connectors.Transient, Err: errShifts}
}

func (s *session) listRepositories(ctx context.Context, op string) (selected []repository, whole bool, err error) {
	var last int64
	first, n := -1, 0
	for page := 1; ; page++ {
		repos, m, err := s.searchRepositories(ctx, op, page, s.cfg.PageSize)
		if err != nil {
			return nil, false, err
		}
		total := totalOf(m.Header)
		if page == 1 {
			first, s.now = total, 0
			if at, err := http.ParseTime(m.Header.Get("Date")); err == nil {
				s.now = at.Unix()
			}
		}
		for _, r := range repos {
			switch {
			case r.ID <= 0 || r.Name == "" || r.Owner.Login == "" || r.Owner.ID <= 0:
				return nil, false, &connectors.Error{Op: op, Class: connectors.Transient, Err: errNoRepo}
			case r.ID <= last:
				return nil, false, nil
			}
			last = r.ID
			if s.sel.repo(&r) {
				selected = append(selected, r)
			}
		}
		n += len(repos)
		if total != first {
			return nil, false, nil
		}
		if !moreAfter(m, page, len(repos), total) {
			return selected, first < 0 || n == first, nil
		}
	}
}

// searchRepositories reads one page of all repositories that the account can see.
func (s *session) searchRepositories(ctx context.Context, op string, page, limit int) ([]repository, httpx.Meta, error) {
	var answer struct {
		Data []repository `json:"data"`
	}
	c := httpx.Call{Op: op, Path: "repos/search", Scope: scopeRepository, Query: url.Values{"sort": {"id"}, "order": {"asc"}}}
	m, err := readInto(ctx, s, c, page, limit, &answer)
	return answer.Data, m, err
}

// repository returns the repository with the id, which may have another name than before. One that is gone, or not selected, is
// ItemRefused.
func (s *session) repository(ctx context.Context, op string, id int64, ref connectors.ItemRef) (*repository, error) {
	var r repository
	c := httpx.Call{Op: op, Path: "repositories/" + strconv.FormatInt(id, 10), Scope: scopeRepository, Ref: ref}
	if _, err := s.api.JSON(ctx, c, &r); err != nil {
		return nil, err
	}
	if r.ID != id || r.Name == "" || r.Owner.Login == "" || !s.sel.repo(&r) {
		return nil, notSelected(op, ref)
	}
	return &r, nil
}

func notSelected(op string, ref connectors.ItemRef) error {
	return &connectors.Error{Op: op, Class: connectors.ItemRefused, Ref: ref, Err: errors.New("it is no document of the selection")}
}

// head returns the commit that the default branch ends in, or "" where there is none.
func (s *session) head(ctx context.Context, op string, r *repository) (string, error) {
	if !s.want.files || !r.hasFiles() {
		return "", nil
	}
	var b branch
	_, err := s.api.JSON(ctx, repoCall(op, r, "branches", join(r.DefaultBranch)), &b)
	return b.Commit.ID, err
}

// signedIn proves that the token still stands for an account. SECURITY: some servers treat a token that has died as a stranger's,
// to whom lists are short and not refused.
func (s *session) signedIn(ctx context.Context, op string) (account, error) {
	var a account
	_, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: "user", Scope: scopeUser}, &a)
	if err == nil && a.ID <= 0 {
		err = &connectors.Error{Op: op, Class: connectors.Transient, Err: errors.New("the answer names no account")}
	}
	return a, err
}
