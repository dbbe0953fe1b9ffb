package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/assertion"
	"tributary/store"
)

// Store is what the API and the overview need of the store. Every method that
// returns content takes the identity it is returned for.
type Store interface {
	SearchStore
	// Authenticate returns the key of a secret and whom it speaks for, or
	// store.ErrUnauthenticated.
	Authenticate(ctx context.Context, secret string) (store.Key, store.Identity, error)
	// NameReader and NameByAssertion return whom a key whose mode names readers asks for.
	NameReader(ctx context.Context, key store.Key, id uuid.UUID) (store.Identity, error)
	NameByAssertion(ctx context.Context, key store.Key, a assertion.Claims) (store.Identity, error)
	// AlarmKey raises that a trusted key named more readers within a minute than is usual.
	AlarmKey(ctx context.Context, key store.Key, readers int) error
	Document(ctx context.Context, who store.Identity, id uuid.UUID) (store.Document, error)
	DocumentText(ctx context.Context, who store.Identity, id uuid.UUID) (store.DocumentText, error)
	DocumentChunks(ctx context.Context, who store.Identity, id uuid.UUID) ([]store.DocumentChunk, error)
	Lineage(ctx context.Context, who store.Identity, id store.ChunkID) (store.Lineage, error)
	Chunk(ctx context.Context, who store.Identity, id store.ChunkID) (store.CitedChunk, error)
	ChunkNeighbours(ctx context.Context, who store.Identity, id store.ChunkID, before, after int) (store.Neighbours, error)
	VisibleCount(ctx context.Context, who store.Identity, f store.Filters) (documents, chunks int64, err error)
	ListDocuments(ctx context.Context, who store.Identity, f store.Filters, last uuid.UUID, limit int) (list []store.DocumentSummary, more bool, err error)
	ExportDocuments(ctx context.Context, who store.Identity, f store.Filters, last uuid.UUID, limit int) (list []store.ExportedDocument, more bool, err error)
	// Connections lists every connection, Now is the clock of its times.
	Connections(ctx context.Context) ([]store.Connection, error)
	Now(ctx context.Context) (time.Time, error)
}

// degradedHeader says what an incomplete answer had to do without.
const degradedHeader = "Tributary-Degraded"

// searchBody is the body of POST /v1/search.
type searchBody struct {
	store.SearchRequest
	K *int `json:"k"`
}

// request is the search that the body asks for.
func (b searchBody) request() (store.SearchRequest, error) {
	if b.K != nil {
		// Absent is the default; 0 is a mistake.
		if *b.K < 1 || *b.K > store.MaxK {
			return b.SearchRequest, invalid("k", fmt.Sprintf("k: must be 1 to %d", store.MaxK))
		}
		b.SearchRequest.K = *b.K
	}
	return b.SearchRequest, nil
}

// search answers POST /v1/search.
func (s *Server) search(c echo.Context) error {
	var body searchBody
	if err := decodeJSON(c.Request(), &body); err != nil {
		return err
	}
	req, err := body.request()
	if err != nil {
		return err
	}
	answer, err := s.ask(c, callerOf(c).identity, req)
	if err != nil {
		return err
	}
	if answer.Degraded {
		c.Response().Header().Set(degradedHeader, "embedding")
	}
	return answerJSON(c, answer.SearchResponse)
}

// ask searches as who; a question that could not be embedded is a problem.
func (s *Server) ask(c echo.Context, who store.Identity, req store.SearchRequest) (Answer, error) {
	answer, err := s.searcher.Search(c.Request().Context(), who, req)
	if embedding, ok := errors.AsType[*EmbeddingError](err); ok {
		p := problem(http.StatusServiceUnavailable, codeEmbedding, "the query could not be embedded; ask with mode hybrid or keyword, or try again")
		p.retryAfter = 5
		s.cfg.Log.WarnContext(c.Request().Context(), "embedding a query", "request_id", requestID(c), "error", embedding.Err)
		return Answer{}, p
	}
	return answer, err
}

// document answers GET /v1/documents/{id}.
func (s *Server) document(c echo.Context) error {
	id, err := documentID(c)
	if err != nil {
		return err
	}
	doc, err := s.cfg.Store.Document(c.Request().Context(), callerOf(c).identity, id)
	if err != nil {
		return err
	}
	return answerJSON(c, doc)
}

// documentText answers GET /v1/documents/{id}/text.
func (s *Server) documentText(c echo.Context) error {
	id, err := documentID(c)
	if err != nil {
		return err
	}
	text, err := s.cfg.Store.DocumentText(c.Request().Context(), callerOf(c).identity, id)
	if err != nil {
		return err
	}
	return answerJSON(c, text)
}

// documentChunks answers GET /v1/documents/{id}/chunks.
func (s *Server) documentChunks(c echo.Context) error {
	id, err := documentID(c)
	if err != nil {
		return err
	}
	chunks, err := s.cfg.Store.DocumentChunks(c.Request().Context(), callerOf(c).identity, id)
	if err != nil {
		return err
	}
	return answerJSON(c, map[string]any{"chunks": chunks})
}

// lineage answers GET /v1/chunks/{id}/lineage.
func (s *Server) lineage(c echo.Context) error {
	id, err := store.ParseChunkID(c.Param("id"))
	if err != nil {
		return err
	}
	l, err := s.cfg.Store.Lineage(c.Request().Context(), callerOf(c).identity, id)
	if err != nil {
		return err
	}
	return answerJSON(c, l)
}

// documentID reads the id of the path. One that cannot exist is answered as
// one that does not.
func documentID(c echo.Context) (uuid.UUID, error) {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil || len(c.Param("id")) != 36 {
		return uuid.UUID{}, store.ErrNotFound
	}
	return id, nil
}

// answerJSON writes v; what a key may see is no business of any cache.
func answerJSON(c echo.Context, v any) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	return c.JSON(http.StatusOK, v)
}
