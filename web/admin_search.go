package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/store"
)

// AdminSearchStore is what a search in the place of a reader needs.
type AdminSearchStore interface {
	AsReader(ctx context.Context, id uuid.UUID) (store.Identity, error)
	Record(ctx context.Context, e audit.Event) error
}

// SearchAsRequest is a search in the place of a reader, named by id or name.
type SearchAsRequest struct {
	Reader string `json:"reader"`
	searchBody
}

// SearchAsAnswer is what the reader would be answered, and how it was found.
type SearchAsAnswer struct {
	store.SearchResponse

	Degraded bool             `json:"degraded"`
	Plan     store.SearchPlan `json:"plan"`
}

// adminSearchRoutes are those of asking in the place of a reader.
//
// SECURITY: the answer is content that the owner may have no right to at its
// source, and the plan tells of what others can see: every use is recorded
// before it is answered, and no API key reaches it.
func (s *Server) adminSearchRoutes() []route {
	return []route{operation(http.MethodPost, "/search", accessTokenOwner, s.adminSearch)}
}

func (s *Server) adminSearch(c echo.Context, in SearchAsRequest) (SearchAsAnswer, error) {
	if in.Reader == "" {
		return SearchAsAnswer{}, invalid("reader", "reader: must name a reader by id or name")
	}
	req, err := in.request()
	if err != nil {
		return SearchAsAnswer{}, err
	}
	who, _, err := s.inPlaceOf(c, in.Reader, "search")
	if err != nil {
		return SearchAsAnswer{}, err
	}
	answer, err := s.ask(c, who, req)
	if err != nil {
		return SearchAsAnswer{}, err
	}
	return SearchAsAnswer{answer.SearchResponse, answer.Degraded, answer.Plan}, nil
}

// inPlaceOf is the identity of the reader of that name or id, as the one who
// asks reads in its place by tool. It is recorded before it is given.
func (s *Server) inPlaceOf(c echo.Context, reader, tool string) (store.Identity, store.Reader, error) {
	ctx := c.Request().Context()
	var who store.Identity
	r, err := s.cfg.OAuth.Store.Reader(ctx, reader)
	if err == nil {
		who, err = s.cfg.Admin.Store.AsReader(ctx, r.ID)
	}
	if errors.Is(err, store.ErrNotFound) {
		err = invalid("reader", "reader: there is no such reader, or it is disabled")
	}
	if err != nil {
		return store.Identity{}, store.Reader{}, err
	}
	if err := s.cfg.Admin.Store.Record(ctx, adminEvent(c, "reader.view_as", "reader", r.ID.String(), map[string]string{"name": r.Name, "tool": tool})); err != nil {
		return store.Identity{}, store.Reader{}, err
	}
	return who.By(actor(c).Name), r, nil
}
