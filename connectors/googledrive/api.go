package googledrive

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// judge tells what a refusal means. SECURITY: nothing of the body is in the
// error.
type judge struct{ spec connectors.Spec }

// drive judges an answer of the Drive API by its reason: one status has many
// meanings.
func (j judge) drive(r httpx.Refusal) *connectors.Error {
	why := reasons(r.Body)
	has := func(names ...string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(why, n) })
	}
	item := func(c connectors.Class, err error) *connectors.Error {
		return &connectors.Error{Op: r.Call.Op, Class: c, Ref: r.Call.Ref, Err: err}
	}
	switch {
	case r.Status == http.StatusUnauthorized:
		return j.spec.Problem(r.Call.Op, problemEnded)
	case has("accessNotConfigured", "SERVICE_DISABLED"):
		return j.spec.Problem(r.Call.Op, problemAPI)
	case has("insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"):
		e := j.spec.Problem(r.Call.Op, problemScope)
		e.Err = fmt.Errorf("%w It is %s", e.Err, r.Call.Scope)
		return e
	case has("domainPolicy"):
		return j.spec.Problem(r.Call.Op, problemBlocked)
	case has("dailyLimitExceeded", "quotaExceeded"):
		return j.spec.Problem(r.Call.Op, problemDaily)
	case has("rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"):
		e := j.spec.Problem(r.Call.Op, problemRate)
		e.RetryAfter = httpx.RetryHeaders{}.RetryAfter(r.Header, time.Now())
		return e
	case expired(r):
		return &connectors.Error{Op: r.Call.Op, Class: connectors.CursorExpired, Err: &httpx.StatusError{Code: r.Status}}
	case has("exportSizeLimitExceeded"):
		return item(connectors.ItemSkipped, errExportSize)
	case has("fileNotExportable", "fileNotDownloadable", "downloadQuotaExceeded"):
		return item(connectors.ItemSkipped, errNoContent)
	case has("cannotDownloadAbusiveFile"):
		return item(connectors.ItemRefused, errAbusive)
	default:
		return nil
	}
}

// expired reports whether a page token that a cursor can hold was rejected. A
// 404 on a shared drive speaks of the drive.
func expired(r httpx.Refusal) bool {
	if r.Call.Query.Get("pageToken") == "" || (r.Call.Path != "files" && r.Call.Path != "changes") {
		return false
	}
	return r.Status == http.StatusBadRequest || r.Status == http.StatusGone || (r.Status == http.StatusNotFound && r.Call.Ref.ID == "")
}

// directory judges an answer of the Directory API. What is refused of one group
// is said by its status.
func (j judge) directory(r httpx.Refusal) *connectors.Error {
	if e := j.drive(r); e != nil {
		return e
	}
	if r.Status == http.StatusForbidden && r.Call.Ref.ID == "" {
		return j.spec.Problem(r.Call.Op, problemAdmin)
	}
	return nil
}

// reasons returns the words for why a request was refused.
func reasons(body []byte) []string {
	var r refusal
	if json.Unmarshal(body, &r) != nil {
		return nil
	}
	var all []string
	for _, e := range r.Error.Errors {
		all = append(all, e.Reason)
	}
	for _, d := range r.Error.Details {
		all = append(all, d.Reason)
	}
	return all
}

var (
	errExportSize = errors.New("it is larger than the 10 MB that Google exports")
	errNoContent  = errors.New("no content of it is given out")
	errAbusive    = errors.New("it is marked as malware or spam")
	errNoID       = errors.New("the answer holds an entry without id")
	errNoEnd      = errors.New("the list ends without saying where to go on")
	errIncomplete = errors.New("the search left out results")
)

func broken(op string, err error) error {
	return &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
}

// refused reports whether err is the source's no to one item.
func refused(err error) bool { return connectors.ClassOf(err) == connectors.ItemRefused }

// forbidden reports whether err is a 403 about the one thing that was asked for:
// it is there, and is not given out.
func forbidden(err error) bool {
	e, ok := errors.AsType[*httpx.StatusError](err)
	return ok && e.Code == http.StatusForbidden && refused(err)
}

// corpus is a set of files with a list and a log of its own: a shared drive, or
// for "" what is the account's and shared with it.
type corpus string

const userCorpus corpus = ""

// call returns a request about the corpus: a refusal concerns it alone, if it
// is a shared drive.
func (c corpus) call(op, path string, query url.Values) httpx.Call {
	query.Set("supportsAllDrives", "true")
	return httpx.Call{Op: op, Path: path, Query: query, Scope: scopeDrive, Ref: connectors.ItemRef{ID: string(c)}}
}

// files asks for one page of the files of a corpus that q describes.
func (s *session) files(ctx context.Context, op string, c corpus, q, fields, token string) (filesPage, time.Time, error) {
	query := url.Values{
		"q": {q}, "fields": {"nextPageToken,incompleteSearch,files(" + fields + ")"}, "pageSize": {strconv.Itoa(s.pageSize)},
		"corpora": {"user"}, "includeItemsFromAllDrives": {"true"}, "spaces": {"drive"},
	}
	if c != userCorpus {
		query.Set("corpora", "drive")
		query.Set("driveId", string(c))
	}
	setToken(query, token)
	var page filesPage
	meta, err := s.api.JSON(ctx, c.call(op, "files", query), &page)
	if err != nil {
		return page, time.Time{}, err
	}
	switch {
	case page.Incomplete:
		err = broken(op, errIncomplete)
	case page.Next != "" && page.Next == token:
		err = broken(op, errNoEnd)
	case slices.ContainsFunc(page.Files, func(f file) bool { return f.ID == "" }):
		err = broken(op, errNoID)
	}
	return page, answered(meta), err
}

// answered returns the source's time of an answer, zero where it tells none.
func answered(m httpx.Meta) time.Time {
	at, err := http.ParseTime(m.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at
}

func setToken(query url.Values, token string) {
	if token != "" {
		query.Set("pageToken", token)
	}
}

// file asks for one file; one that is not given out is ItemRefused.
func (s *session) file(ctx context.Context, op, id, fields string) (file, time.Time, error) {
	var f file
	query := url.Values{"fields": {fields}, "supportsAllDrives": {"true"}}
	meta, err := s.api.JSON(ctx, itemCall(op, id, "", query), &f)
	if err == nil && f.ID == "" {
		err = broken(op, errNoID)
	}
	return f, answered(meta), err
}

// itemCall returns a request about one file.
func itemCall(op, id, rest string, query url.Values) httpx.Call {
	return httpx.Call{
		Op: op, Path: "files/" + url.PathEscape(id) + rest, Query: query, Scope: scopeDrive, Ref: connectors.ItemRef{ID: id},
	}
}

// drives yields the shared drives that the account is a member of.
func (s *session) drives(ctx context.Context, op string) iter.Seq2[drive, error] {
	return httpx.Paged(ctx, op, func(ctx context.Context, at string) ([]drive, string, error) { return s.drivesPage(ctx, op, at) })
}

func (s *session) drivesPage(ctx context.Context, op, at string) ([]drive, string, error) {
	var page drivesPage
	query := url.Values{"pageSize": {strconv.Itoa(min(s.pageSize, 100))}, "fields": {"nextPageToken,drives(id,name)"}}
	setToken(query, at)
	_, err := s.api.JSON(ctx, httpx.Call{Op: op, Path: "drives", Query: query, Scope: scopeDrive}, &page)
	if err == nil && slices.ContainsFunc(page.Drives, func(d drive) bool { return d.ID == "" }) {
		err = broken(op, errNoID)
	}
	return page.Drives, page.Next, err
}

// permissions returns those of one file, or of a shared drive, with the time of
// the answer. What the account may not see is ItemRefused.
func (s *session) permissions(ctx context.Context, op, id string) (granted, error) {
	g := granted{known: true}
	list := httpx.Paged(ctx, op, func(ctx context.Context, token string) ([]permission, string, error) {
		page, at, err := s.permissionsPage(ctx, op, id, token)
		g.at = at
		return page.Permissions, page.Next, err
	})
	for p, err := range list {
		if err != nil {
			return granted{}, err
		}
		g.list = append(g.list, p)
	}
	return g, nil
}

func (s *session) permissionsPage(ctx context.Context, op, id, token string) (permissionsPage, time.Time, error) {
	var page permissionsPage
	query := url.Values{
		"pageSize": {strconv.Itoa(min(s.pageSize, 100))}, "supportsAllDrives": {"true"},
		"fields": {"nextPageToken,permissions(" + permissionFields + ")"},
	}
	setToken(query, token)
	meta, err := s.api.JSON(ctx, itemCall(op, id, "/permissions", query), &page)
	return page, answered(meta), err
}
