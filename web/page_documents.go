package web

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// AdminDocumentStore is what the pages of documents and of search read.
type AdminDocumentStore interface {
	FindDocuments(ctx context.Context, f store.DocumentFilter) ([]store.ListedDocument, error)
	DocumentOrigin(ctx context.Context, id uuid.UUID) (store.DocumentOrigin, error)
	DocumentPart(ctx context.Context, who store.Identity, id uuid.UUID, number, place, size int) (store.DocumentPart, error)
	Lineage(ctx context.Context, who store.Identity, id store.ChunkID) (store.Lineage, error)
	ReaderNames(ctx context.Context, limit int) ([]string, error)
}

// documentPageRoutes are the pages of documents and of search.
//
// SECURITY: an auditor sees names and who may read what, and no text. Text is
// given as to a reader: to an admin as to the reader that the account is, to an
// owner as to any, which is recorded before it is given.
func (s *Server) documentPageRoutes() []route {
	if s.cfg.Admin == nil || s.cfg.OAuth == nil {
		return nil
	}
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/documents", access: accessAuditor, handler: s.documentsPage, returnable: true},
		{method: get, path: "/documents/:id", access: accessAuditor, handler: s.documentPage, returnable: true},
		{method: post, path: "/documents/:id", access: accessOwner, handler: s.readDocumentAs},
		{method: get, path: "/documents/:id/access", access: accessAuditor, handler: s.documentAccessPage, returnable: true},
		{method: get, path: "/search", access: accessAdmin, handler: s.searchPage, returnable: true},
		{method: post, path: "/search", access: accessAdmin, handler: s.searchFromPage},
	}
}

// documentsPerPage is how many documents a page lists, offeredReaders how many
// readers a field offers while one writes.
const (
	documentsPerPage = 50
	offeredReaders   = 200
)

// documentsPage lists documents, those that changed last first.
func (s *Server) documentsPage(c echo.Context) error {
	ctx := c.Request().Context()
	v := pages.DocumentsView{Words: c.QueryParam("q"), Connection: c.QueryParam("connection"), State: c.QueryParam("state"), MaySearch: mayAct(c, store.RoleAdmin)}
	list, err := s.cfg.Store.Connections(ctx)
	if err != nil {
		return err
	}
	f := store.DocumentFilter{Words: v.Words, State: v.State, Limit: documentsPerPage + 1}
	for _, k := range list {
		v.Connections = append(v.Connections, k.Name)
		if k.Name == v.Connection {
			f.Connection = k.ID
		}
	}
	slices.Sort(v.Connections)
	if f.Before, err = documentPlace(c.QueryParam("before")); err != nil {
		return err
	}
	if v.Now, err = s.cfg.Store.Now(ctx); err != nil {
		return err
	}
	if v.Connection != "" && f.Connection == uuid.Nil {
		return s.showDocuments(c, http.StatusUnprocessableEntity, "there is no connection of that name", v)
	}
	v.Documents, err = s.cfg.Admin.Store.FindDocuments(ctx, f)
	if text, ok := formProblem(err); ok && err != nil {
		return s.showDocuments(c, http.StatusUnprocessableEntity, text, v)
	}
	if err != nil {
		return err
	}
	v.Later = f.Before != nil
	if len(v.Documents) > documentsPerPage {
		v.Documents = v.Documents[:documentsPerPage]
		v.Older = "/documents?" + documentsQuery(v, v.Documents[documentsPerPage-1].Place())
	}
	if v.Later {
		v.Newest = "/documents?" + documentsQuery(v, nil)
	}
	return s.showDocuments(c, http.StatusOK, "", v)
}

func (s *Server) showDocuments(c echo.Context, status int, text string, v pages.DocumentsView) error {
	return render(c, status, pages.Documents(s.showProblem(c, "Documents", text), v))
}

// documentsQuery is the query of the list, as v has it, behind a place.
func documentsQuery(v pages.DocumentsView, before *store.DocumentPlace) string {
	q := url.Values{}
	for name, value := range map[string]string{"q": v.Words, "connection": v.Connection, "state": v.State} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if before != nil {
		q.Set("before", strconv.FormatInt(before.UpdatedAt.UnixMicro(), 10)+"."+base64.RawURLEncoding.EncodeToString(before.ID[:]))
	}
	return q.Encode()
}

// documentPlace reads what documentsQuery wrote.
func documentPlace(text string) (*store.DocumentPlace, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // the beginning
	}
	at, id, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(at, 10, 64)
	raw, err2 := base64.RawURLEncoding.DecodeString(id)
	if err != nil || err2 != nil || len(raw) != len(uuid.UUID{}) || n < 0 || n > maxMicro {
		return nil, invalid("before", "before: must be that of a link of the list")
	}
	return &store.DocumentPlace{UpdatedAt: time.UnixMicro(n).UTC(), ID: uuid.UUID(raw)}, nil
}

// maxMicro is the end of the year 9999, in microseconds.
const maxMicro = 253_402_300_800_000_000

// ownReader is the reader that the account which looks is: the person of the
// account's name. SECURITY: that a name is the same proves nothing. Proved says
// that a consent of the account stands behind it; without, only an owner, who
// may read in anybody's place, reads so.
func (s *Server) ownReader(c echo.Context) (r store.Reader, proved, ok bool, err error) {
	who, _ := identityOf(c)
	if !who.MayAct(store.RoleAdmin) {
		return store.Reader{}, false, false, nil
	}
	r, err = s.cfg.OAuth.Store.Reader(c.Request().Context(), who.Account.Name)
	if errors.Is(err, store.ErrNotFound) {
		return store.Reader{}, false, false, nil
	}
	if err != nil {
		return store.Reader{}, false, false, err
	}
	proved = slices.ContainsFunc(r.Links, func(l store.ReaderLink) bool { return l.How == string(store.LinkConsent) })
	return r, proved, (proved || who.MayAct(store.RoleOwner)) && r.Kind == store.Person && r.DisabledAt == nil, nil
}

// asOwn is the identity of the reader that the account is, for a read by tool.
// An owner of whom only the name says that is recorded as one in its place,
// before the identity is given.
func (s *Server) asOwn(c echo.Context, tool string) (store.Identity, store.Reader, bool, error) {
	r, proved, ok, err := s.ownReader(c)
	if err != nil || !ok {
		return store.Identity{}, r, false, err
	}
	if !proved {
		who, r, err := s.inPlaceOf(c, r.ID.String(), tool)
		return who, r, err == nil, err
	}
	who, err := s.cfg.Admin.Store.AsReader(c.Request().Context(), r.ID)
	if errors.Is(err, store.ErrNotFound) {
		return store.Identity{}, r, false, nil
	}
	return who.By(actor(c).Name), r, err == nil, err
}

// serves reports whether a page is served.
func (s *Server) serves(path string) bool {
	return slices.ContainsFunc(s.table, func(r route) bool { return r.method == http.MethodGet && r.path == path })
}
