package web

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
)

// Pages of the lists, and how many chunks beside one can be asked for.
const (
	defaultListed, maxListed     = 100, store.MaxListed
	defaultExported, maxExported = 100, 500
	defaultBeside, maxBeside     = 1, 100
)

// documentList is the answer of GET /v1/documents.
type documentList struct {
	Documents []store.DocumentSummary `json:"documents"`
	// NextCursor asks for the next page; null where this is the last.
	NextCursor *string `json:"next_cursor"`
}

// documentCount is the answer of GET /v1/count.
type documentCount struct {
	Documents int64 `json:"documents"`
	Chunks    int64 `json:"chunks"`
}

// exportLine is a line of GET /v1/export: a document and where to go on behind
// it, or the end of the page.
type exportLine struct {
	Document *store.ExportedDocument `json:"document,omitempty"`
	Cursor   string                  `json:"cursor,omitempty"`
	End      *exportEnd              `json:"end,omitempty"`
}

// exportEnd is the last line of a page: an answer without it was cut off.
type exportEnd struct {
	Documents  int     `json:"documents"`
	NextCursor *string `json:"next_cursor"`
}

// listDocuments answers GET /v1/documents.
func (s *Server) listDocuments(c echo.Context) error {
	in, err := readList(c.Request(), defaultListed, maxListed)
	if err != nil {
		return err
	}
	list, more, err := s.cfg.Store.ListDocuments(c.Request().Context(), callerOf(c).identity, in.filters, in.last, in.limit)
	if err != nil {
		return queryProblem(err)
	}
	answer := documentList{Documents: list}
	if more {
		next := listCursor(list[len(list)-1].ID)
		answer.NextCursor = &next
	}
	return answerJSON(c, answer)
}

// count answers GET /v1/count.
func (s *Server) count(c echo.Context) error {
	query := c.Request().URL.Query()
	filters, err := takeFilters(query)
	if err == nil {
		err = nothingLeft(query)
	}
	if err != nil {
		return err
	}
	documents, chunks, err := s.cfg.Store.VisibleCount(c.Request().Context(), callerOf(c).identity, filters)
	if err != nil {
		return queryProblem(err)
	}
	return answerJSON(c, documentCount{documents, chunks})
}

// export answers GET /v1/export: one page, from one snapshot, as a JSON object a line.
func (s *Server) export(c echo.Context) error {
	in, err := readList(c.Request(), defaultExported, maxExported)
	if err != nil {
		return err
	}
	list, more, err := s.cfg.Store.ExportDocuments(c.Request().Context(), callerOf(c).identity, in.filters, in.last, in.limit)
	if err != nil {
		return queryProblem(err)
	}
	h := c.Response().Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "application/x-ndjson")
	c.Response().WriteHeader(http.StatusOK)
	out := json.NewEncoder(c.Response())
	end := exportEnd{Documents: len(list)}
	for i := range list {
		line := exportLine{Document: &list[i], Cursor: listCursor(list[i].ID)}
		if more && i == len(list)-1 {
			end.NextCursor = &line.Cursor
		}
		if err := out.Encode(line); err != nil {
			return nil //nolint:nilerr // the client is gone: there is nobody left to tell
		}
	}
	_ = out.Encode(exportLine{End: &end}) // as above
	return nil
}

// chunk answers GET /v1/chunks/{id}.
func (s *Server) chunk(c echo.Context) error {
	id, err := store.ParseChunkID(c.Param("id"))
	if err != nil {
		return err
	}
	chunk, err := s.cfg.Store.Chunk(c.Request().Context(), callerOf(c).identity, id)
	if err != nil {
		return err
	}
	return answerJSON(c, chunk)
}

// chunkNeighbours answers GET /v1/chunks/{id}/neighbours.
func (s *Server) chunkNeighbours(c echo.Context) error {
	query := c.Request().URL.Query()
	before, err := takeNumber(query, "before", defaultBeside, 0, maxBeside)
	if err != nil {
		return err
	}
	after, err := takeNumber(query, "after", defaultBeside, 0, maxBeside)
	if err == nil {
		err = nothingLeft(query)
	}
	if err != nil {
		return err
	}
	id, err := store.ParseChunkID(c.Param("id"))
	if err != nil {
		return err
	}
	n, err := s.cfg.Store.ChunkNeighbours(c.Request().Context(), callerOf(c).identity, id, before, after)
	if err != nil {
		return err
	}
	return answerJSON(c, n)
}

// listRequest is what a list is asked for.
type listRequest struct {
	filters store.Filters
	last    uuid.UUID
	limit   int
}

func readList(r *http.Request, standard, most int) (listRequest, error) {
	query := r.URL.Query()
	var in listRequest
	var err error
	if in.filters, err = takeFilters(query); err != nil {
		return in, err
	}
	if in.limit, err = takeNumber(query, "limit", standard, 1, most); err != nil {
		return in, err
	}
	cursor, err := takeOne(query, "cursor")
	if err != nil {
		return in, err
	}
	if cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if err == nil {
			in.last, err = uuid.FromBytes(raw)
		}
		if err != nil {
			return in, invalid("cursor", "cursor: is not a next_cursor of an earlier answer")
		}
	}
	return in, nothingLeft(query)
}

// listCursor goes on behind a document.
func listCursor(id uuid.UUID) string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// takeFilters moves the filters of a search out of the query: connection,
// source, type and path as often as there are values, updated_after, and
// metadata as a JSON object.
func takeFilters(query url.Values) (store.Filters, error) {
	for name, values := range query {
		if !utf8.ValidString(strings.Join(values, "")) {
			return store.Filters{}, invalid(cut(name), cut(name)+": must be UTF-8")
		}
	}
	f := store.Filters{Connection: query["connection"], Source: query["source"], Type: query["type"], Path: query["path"]}
	for _, name := range []string{"connection", "source", "type", "path"} {
		delete(query, name)
	}
	var err error
	if f.UpdatedAfter, err = takeOne(query, "updated_after"); err != nil {
		return f, err
	}
	metadata, err := takeOne(query, "metadata")
	if err != nil || metadata == "" {
		return f, err
	}
	if checkShape([]byte(metadata)) != nil || json.Unmarshal([]byte(metadata), &f.Metadata) != nil {
		return f, invalid("metadata", "metadata: must be a JSON object of names and values")
	}
	return f, nil
}

// takeOne moves a value that stands once at most out of the query.
func takeOne(query url.Values, name string) (string, error) {
	values := query[name]
	delete(query, name)
	if len(values) > 1 {
		return "", invalid(name, name+": stands in the query more than once")
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

func takeNumber(query url.Values, name string, standard, low, high int) (int, error) {
	text, err := takeOne(query, name)
	if err != nil || text == "" {
		return standard, err
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, invalid(name, name+": must be "+strconv.Itoa(low)+" to "+strconv.Itoa(high))
	}
	return n, nil
}

// nothingLeft refuses what no take function took.
func nothingLeft(query url.Values) error {
	for name := range query {
		return invalid(cut(name), "there is no such field in the query")
	}
	return nil
}

// queryProblem names a filter as the query does, without the object that it
// stands in elsewhere.
func queryProblem(err error) error {
	if in, ok := errors.AsType[*store.InputError](err); ok {
		return &store.InputError{Field: strings.TrimPrefix(in.Field, "filters."), Problem: in.Problem}
	}
	return err
}
