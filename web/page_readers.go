package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// AdminDirectoryStore finds readers, principals and keys, a page at a time.
type AdminDirectoryStore interface {
	FindReaders(ctx context.Context, f store.ReaderFilter) ([]store.ListedReader, error)
	ReadersCalled(ctx context.Context, names []string) ([]string, error)
	ReaderGroups(ctx context.Context, reader uuid.UUID, limit int) ([]store.HeldGroup, error)
	Groups(ctx context.Context, f store.GroupFilter) ([]store.ListedPrincipal, error)
	Principal(ctx context.Context, id int64) (store.PrincipalView, error)
	Members(ctx context.Context, group, after int64, limit int) ([]store.ListedPrincipal, error)
	GroupsOf(ctx context.Context, member, after int64, limit int) ([]store.ListedPrincipal, error)
	ReadersOf(ctx context.Context, principal int64, limit int) ([]store.ListedReader, error)
	FindKeys(ctx context.Context, f store.KeyFilter) ([]store.Key, error)
	ConnectionNames(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error)
	AllConnectionNames(ctx context.Context, limit int) ([]string, error)
}

// readerPageRoutes are the pages of readers, principals and keys.
//
// SECURITY: who links a reader, or makes a key, decides who reads what: that is for owners, as in the admin API.
func (s *Server) readerPageRoutes() []route {
	if s.cfg.Admin == nil || s.cfg.OAuth == nil {
		return nil
	}
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: readersPath, access: accessAuditor, handler: s.readersPage, returnable: true},
		{method: post, path: readersPath, access: accessOwner, handler: s.createReader},
		{method: get, path: "/readers/new", access: accessOwner, handler: s.newReaderPage, returnable: true},
		{method: get, path: "/readers/import", access: accessOwner, handler: s.importPage, returnable: true},
		{method: post, path: "/readers/import", access: accessOwner, handler: s.importReaders, files: true},
		{method: get, path: unmatchedPath, access: accessAuditor, handler: s.unmatchedPage, returnable: true},
		{method: post, path: "/readers/unmatched/:principal", access: accessOwner, handler: s.linkUnmatched},
		{method: get, path: "/readers/:id", access: accessAuditor, handler: s.readerPage, returnable: true},
		{method: post, path: "/readers/:id/link", access: accessOwner, handler: s.readerAct(s.linkToReader, "connection", "kind", "principal")},
		{method: post, path: "/readers/:id/unlink", access: accessOwner, handler: s.readerAct(s.unlinkFromReader, "principal")},
		{method: post, path: "/readers/:id/identities", access: accessOwner, handler: s.readerAct(s.changeIdentity, "do", "issuer", "subject")},
		{method: post, path: "/readers/:id/emails", access: accessOwner, handler: s.readerAct(s.changeEmail, "do", "email")},
		{method: post, path: "/readers/:id/disable", access: accessOwner, handler: s.readerAct(s.switchReader("reader.disable"))},
		{method: post, path: "/readers/:id/enable", access: accessOwner, handler: s.readerAct(s.switchReader("reader.enable"))},
		{method: get, path: "/readers/:id/delete", access: accessOwner, handler: s.deleteReaderPage},
		{method: post, path: "/readers/:id/delete", access: accessOwner, handler: s.deleteReader},
		{method: get, path: groupsPath, access: accessAuditor, handler: s.groupsPage, returnable: true},
		{method: get, path: "/principals/:id", access: accessAuditor, handler: s.principalPage, returnable: true},
		{method: post, path: "/connections/:name/map-email", access: accessOwner, handler: s.switchMapEmail},
	}
}

// The pages of readers that are linked from several places.
const (
	readersPath   = "/readers"
	unmatchedPath = "/readers/unmatched"
	groupsPath    = "/groups"
)

// perPage is how many lines a page of readers, groups or keys has.
const perPage = 50

// longestFind bounds what is looked for.
const longestFind = 200

// found reads the search field of a list, and the cursor.
func found(c echo.Context) (find, after string, err error) { //nolint:nonamedreturns // two of three need a name
	find, after = strings.TrimSpace(c.QueryParam("find")), c.QueryParam("after")
	if len(find) > longestFind || len(after) > longestFind || !printable(find+after) {
		return "", "", invalid("find", "find: must be at most 200 bytes of text")
	}
	return find, after, nil
}

// printable reports whether PostgreSQL can hold the text.
func printable(text string) bool {
	return strings.ToValidUTF8(text, "") == text && !strings.ContainsRune(text, 0)
}

// nextPage is the address of the page behind after, with what narrows the list: names and values.
func nextPage(path, after string, narrow ...string) string {
	q := url.Values{}
	if after != "" {
		q.Set("after", after)
	}
	for pair := range slices.Chunk(narrow, 2) {
		if name, value := pair[0], pair[len(pair)-1]; value != "" {
			q.Set(name, value)
		}
	}
	return path + "?" + q.Encode()
}

// stateOf reads the state that a list is narrowed to: yes, no, or nil for both.
func stateOf(c echo.Context, yes, no string) (*bool, error) {
	var is bool
	switch c.QueryParam("state") {
	case "":
		return nil, nil //nolint:nilnil // nil is both
	case yes:
		is = true
	case no:
	default:
		return nil, invalid("state", "state: must be "+yes+" or "+no)
	}
	return &is, nil
}

// actProblem returns what somebody can do about err on the page where it happened.
func actProblem(err error) (string, bool) {
	if err == nil {
		return "", false
	}
	if p := problemOf(err); p.Status == http.StatusBadRequest || p.Status == http.StatusConflict || p.Status == http.StatusUnprocessableEntity {
		return asLabelled(p), true
	}
	return oauthProblem(err)
}

// asLabelled names the field of a problem as its label does.
func asLabelled(p *Problem) string {
	labels := map[string]string{"public_key": "Public key", "kid": "Key id", "per_minute": "Requests a minute", "expires": "Days until it ends", "principal": "Id at the source"}
	rest, ok := strings.CutPrefix(p.Detail, p.Field+": ")
	if label := labels[p.Field]; ok && label != "" {
		return label + ": " + rest
	}
	return p.Detail
}

// readersPage lists the readers.
func (s *Server) readersPage(c echo.Context) error {
	ctx := c.Request().Context()
	find, after, err := found(c)
	if err != nil {
		return err
	}
	disabled, err := stateOf(c, "disabled", "enabled")
	if err != nil {
		return err
	}
	v := pages.ReadersView{Find: find, State: c.QueryParam("state"), First: after == "", MayAct: mayAct(c, store.RoleOwner)}
	if v.Readers, err = s.cfg.Admin.Store.FindReaders(ctx, store.ReaderFilter{Find: find, Disabled: disabled, After: after, Limit: perPage + 1}); err != nil {
		return err
	}
	if len(v.Readers) > perPage {
		v.Readers = v.Readers[:perPage]
		v.Next = nextPage(readersPath, v.Readers[perPage-1].Name, "find", find, "state", v.State)
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.Readers(s.frame(c, "Readers"), v))
}

// newReaderPage asks what a reader is called.
func (s *Server) newReaderPage(c echo.Context) error {
	return render(c, http.StatusOK, pages.NewReader(s.frame(c, "New reader"), pages.NewReaderView{Kind: store.Person}))
}

// createReader makes a reader.
func (s *Server) createReader(c echo.Context) error {
	f, err := formValues(c, "name", "kind", "emails", "issuer", "subject")
	if err != nil {
		return err
	}
	in := CreateReaderRequest{Name: strings.TrimSpace(f["name"]), Kind: store.ReaderKind(f["kind"]), Emails: lines(f["emails"])}
	if f["issuer"] != "" || f["subject"] != "" {
		in.Identities = []store.ReaderIdentity{{Issuer: strings.TrimSpace(f["issuer"]), Subject: strings.TrimSpace(f["subject"])}}
	}
	r, err := s.adminCreateReader(c, in)
	if errors.Is(err, store.ErrConflict) {
		err = &store.InputError{Field: "name", Problem: "is another reader's, or the identity is"}
	}
	if text, ok := actProblem(err); ok {
		v := pages.NewReaderView{Name: cut(f["name"]), Kind: in.Kind, Emails: cutLong(f["emails"]), Issuer: cutLong(f["issuer"]), Subject: cutLong(f["subject"])}
		return render(c, http.StatusUnprocessableEntity, pages.NewReader(s.showProblem(c, "New reader", text), v))
	}
	if err != nil {
		return err
	}
	return seeOther(c, "/readers/"+r.ID.String(), "reader-made")
}
