package web

import (
	"errors"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// chunksPerPage is how many chunks of a document a page shows.
const chunksPerPage = 20

// documentPage shows a document, with its text where the reader that the account
// is may read it.
func (s *Server) documentPage(c echo.Context) error {
	v, err := s.documentView(c, c.QueryParam("chunk"), c.QueryParam("from"))
	if err != nil {
		return err
	}
	who, reader, ok, err := s.asOwn(c, "document")
	if err != nil {
		return err
	}
	v.Own = reader.Name
	switch {
	case !v.MayRead:
		v.NoText = pages.NoTextAuditor
	case !ok:
		v.Own, v.NoText = "", pages.NoTextReader
	default:
		err = s.readPart(c, who, &v)
	}
	if err != nil {
		return err
	}
	return s.showDocument(c, http.StatusOK, "", v)
}

// readDocumentAs shows a document in the place of a reader, and records that it does.
func (s *Server) readDocumentAs(c echo.Context) error {
	f, err := formValues(c, "reader", "chunk", "from")
	if err != nil {
		return err
	}
	v, err := s.documentView(c, f["chunk"], f["from"])
	if err != nil {
		return err
	}
	who, reader, err := s.inPlaceOf(c, f["reader"], "document")
	if p, ok := errors.AsType[*Problem](err); ok {
		v.As, v.NoText = f["reader"], pages.NoTextNobody
		return s.showDocument(c, http.StatusUnprocessableEntity, p.Detail, v)
	}
	if err != nil {
		return err
	}
	v.As = reader.Name
	if err := s.readPart(c, who, &v); err != nil {
		return err
	}
	return s.showDocument(c, http.StatusOK, "", v)
}

// documentView reads all of a document that is not its text.
func (s *Server) documentView(c echo.Context, chunk, from string) (pages.DocumentView, error) {
	ctx := c.Request().Context()
	v := pages.DocumentView{MayRead: mayAct(c, store.RoleAdmin), MayViewAs: mayAct(c, store.RoleOwner)}
	var err error
	if v.Chunk, err = placeOf("chunk", chunk, store.NoChunk); err != nil {
		return v, err
	}
	if v.From, err = placeOf("from", from, 0); err != nil {
		return v, err
	}
	if v.Document, err = s.documentOrigin(c); err != nil {
		return v, err
	}
	if v.Document.GrantID != nil {
		g, err := s.cfg.OAuth.Grants.Get(ctx, *v.Document.GrantID)
		if err != nil {
			return v, err
		}
		v.Grant = &g.Grant
	}
	if v.MayViewAs {
		if v.Readers, err = s.cfg.Admin.Store.ReaderNames(ctx, offeredReaders); err != nil {
			return v, err
		}
	}
	v.Now, err = s.cfg.Store.Now(ctx)
	return v, err
}

// documentOrigin is the document that the path names.
func (s *Server) documentOrigin(c echo.Context) (store.DocumentOrigin, error) {
	id, err := documentID(c)
	if err != nil {
		return store.DocumentOrigin{}, noDocument(err)
	}
	d, err := s.cfg.Admin.Store.DocumentOrigin(c.Request().Context(), id)
	return d, noDocument(err)
}

// noDocument says to people that a document is not there.
func noDocument(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return problem(http.StatusNotFound, codeNotFound, "there is no such document here, or not any more; the page Documents lists what is stored")
	}
	return err
}

// placeOf reads a number of a chunk, or the place of one.
func placeOf(field, text string, none int) (int, error) {
	if text == "" {
		return none, nil
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, invalid(field, field+": must be a number")
	}
	return int(n), nil
}

// readPart adds the part of the text that was asked for, as who reads it, and
// where the chunk that was asked for comes from.
func (s *Server) readPart(c echo.Context, who store.Identity, v *pages.DocumentView) error {
	ctx := c.Request().Context()
	part, err := s.cfg.Admin.Store.DocumentPart(ctx, who, v.Document.ID, v.Chunk, v.From, chunksPerPage)
	if errors.Is(err, store.ErrNotFound) {
		v.NoText = pages.NoTextNotVisible
		return nil
	}
	if err != nil {
		return err
	}
	v.Part, v.PerPage = part, chunksPerPage
	if v.Chunk == store.NoChunk {
		return nil
	}
	l, err := s.cfg.Admin.Store.Lineage(ctx, who, store.ChunkID{Document: v.Document.ID, Number: v.Chunk})
	if errors.Is(err, store.ErrNotFound) {
		return nil // the chunk is gone with a later revision
	}
	v.Lineage = &l
	return err
}

func (s *Server) showDocument(c echo.Context, status int, text string, v pages.DocumentView) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	return render(c, status, pages.Document(s.showProblem(c, pages.DocumentName(v.Document.ListedDocument), text), v))
}

// shownWho is how many readers the page of a document's access lists.
const shownWho = 50

// documentAccessPage shows who can read a document and why, and of one reader or
// key whether and what would change it.
func (s *Server) documentAccessPage(c echo.Context) error {
	ctx := c.Request().Context()
	v := pages.AccessView{Reader: c.QueryParam("reader"), Key: c.QueryParam("key"), ReaderPages: s.serves("/readers/:id")}
	var err error
	after := uuid.Nil
	if text := c.QueryParam("after"); text != "" {
		if after, err = uuid.Parse(text); err != nil {
			return invalid("after", "after: must be that of a link of this page")
		}
	}
	if v.Document, err = s.documentOrigin(c); err != nil {
		return err
	}
	id := v.Document.ID
	if v.Readers, err = s.cfg.Admin.Store.ReaderNames(ctx, offeredReaders); err != nil {
		return err
	}
	if v.Now, err = s.cfg.Store.Now(ctx); err != nil {
		return err
	}
	if v.Reader == "" && v.Key == "" {
		v.Who, err = s.cfg.Admin.Store.WhoCanRead(ctx, id.String(), after, shownWho, explainEvent(c, "all", ""))
		if err != nil {
			return err
		}
		v.Later = after != uuid.Nil
		return s.showAccess(c, http.StatusOK, "", v)
	}
	x, err := s.cfg.Admin.Store.Explain(ctx, store.ExplainRequest{Reader: v.Reader, Key: v.Key, Document: id.String()}, explainEvent(c, v.Reader, v.Key))
	if text, ok := formProblem(err); ok && err != nil {
		return s.showAccess(c, http.StatusUnprocessableEntity, text, v)
	}
	if err != nil {
		return err
	}
	v.Explanation = &x
	return s.showAccess(c, http.StatusOK, "", v)
}

func (s *Server) showAccess(c echo.Context, status int, text string, v pages.AccessView) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	return render(c, status, pages.Access(s.showProblem(c, "Who reads "+pages.DocumentName(v.Document.ListedDocument), text), v))
}
