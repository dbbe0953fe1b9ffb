package gitea

import (
	"context"
	"encoding/json"
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// refusals are words by which a server says why it answers 403, and the problem that each means.
func refusals() [][2]string {
	return [][2]string{
		{"required scope", problemScope},
		{"limited to public", problemPublicOnly},
		{"Only signed in user", problemSignIn},
		{"prohibited from signing in", problemBlocked},
		{"not activated", problemBlocked},
		{"must change your password", problemPassword},
	}
}

// judge returns the error of an answer that is no success, where its words or its status mean a known problem.
func (s *session) judge(r httpx.Refusal) *connectors.Error {
	code := ""
	switch r.Status {
	case http.StatusUnauthorized:
		code = problemToken
	case http.StatusForbidden:
		var answer struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(r.Body, &answer) // what is no JSON says nothing
		for _, known := range refusals() {
			if strings.Contains(answer.Message, known[0]) {
				code = known[1]
				break
			}
		}
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if r.Header.Get("Retry-After") == "" {
			code = problemUnavailable
		}
	}
	if code == "" {
		return nil
	}
	return s.spec.Problem(r.Call.Op, code)
}

// statusOf returns the HTTP status behind err, or 0.
func statusOf(err error) int {
	if e, ok := errors.AsType[*httpx.StatusError](err); ok {
		return e.Code
	}
	return 0
}

// refused reports whether err is a no to the one thing that was asked for.
func refused(err error) bool { return connectors.ClassOf(err) == connectors.ItemRefused }

// gone reports whether err says that the one thing that was asked for is not there.
func gone(err error) bool {
	code := statusOf(err)
	return refused(err) && (code == http.StatusNotFound || code == http.StatusGone)
}

// about is the reference of calls that concern one thing, whose refusal then concerns it alone.
func about(id string) connectors.ItemRef { return connectors.ItemRef{ID: id} }

// repoCall is a call below a repository; a refusal concerns the repository alone.
func repoCall(op string, r *repository, elems ...string) httpx.Call {
	return httpx.Call{Op: op, Path: r.path(elems...), Scope: scopeRepository, Ref: about(r.id())}
}

// join escapes each element of a path.
func join(elems ...string) string {
	escaped := make([]string, len(elems))
	for i, e := range elems {
		escaped[i] = url.PathEscape(e)
	}
	return strings.Join(escaped, "/")
}

// listPage is one page of a list.
type listPage[T any] struct {
	entries []T
	// total is how many the list has, -1 where the server does not say.
	total int
	more  bool
}

// readPage reads one page of a list, counted from 1. SECURITY: a short page is no end, because servers cut limits silently: the
// end is said by Link or by the total, or it is an empty page.
func readPage[T any](ctx context.Context, s *session, c httpx.Call, page, limit int) (listPage[T], error) {
	var out listPage[T]
	m, err := readInto(ctx, s, c, page, limit, &out.entries)
	if err != nil {
		return out, err
	}
	out.total = totalOf(m.Header)
	out.more = moreAfter(m, page, len(out.entries), out.total)
	return out, nil
}

// readInto reads one page of a list into v.
func readInto(ctx context.Context, s *session, c httpx.Call, page, limit int, v any) (httpx.Meta, error) {
	q := url.Values{"page": {strconv.Itoa(page)}, "limit": {strconv.Itoa(limit)}}
	maps.Copy(q, c.Query)
	c.Query = q
	return s.api.JSON(ctx, c, v)
}

func moreAfter(m httpx.Meta, page, n, total int) bool {
	switch {
	case m.Next != "":
		return true
	case m.Header.Get("Link") != "":
		return false
	case page == 1 && total >= 0:
		return n > 0 && n < total
	default:
		return n > 0
	}
}

func totalOf(h http.Header) int {
	n, err := strconv.Atoi(h.Get("X-Total-Count"))
	if err != nil || n < 0 {
		return -1
	}
	return n
}

var errSamePage = errors.New("the server gives the same page again")

// entries yields the entries of all pages of a list.
func entries[T any](ctx context.Context, s *session, c httpx.Call) iter.Seq2[T, error] {
	have, before := 0, []T(nil)
	return httpx.Paged(ctx, c.Op, func(ctx context.Context, at string) ([]T, string, error) {
		page := 1
		if at != "" {
			page, _ = strconv.Atoi(at) // it is our own
		}
		p, err := readPage[T](ctx, s, c, page, s.cfg.PageSize)
		if have += len(p.entries); err != nil || !p.more || p.total >= 0 && have >= p.total {
			return p.entries, "", err
		}
		if page > 1 && reflect.DeepEqual(p.entries, before) {
			return nil, "", &connectors.Error{Op: c.Op, Class: connectors.Transient, Ref: c.Ref, Err: errSamePage}
		}
		before = p.entries
		return p.entries, strconv.Itoa(page + 1), nil
	})
}

// all reads every page of a list.
func all[T any](ctx context.Context, s *session, c httpx.Call) ([]T, error) {
	var out []T
	for e, err := range entries[T](ctx, s, c) {
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}
