package web

import (
	"context"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/store"
)

// AdminExplainStore says who may read what, and why.
type AdminExplainStore interface {
	Explain(ctx context.Context, req store.ExplainRequest, events ...audit.Event) (store.Explanation, error)
	WhoCanRead(ctx context.Context, document string, after uuid.UUID, limit int, events ...audit.Event) (store.WhoCanRead, error)
}

// ExplainQuery asks why a reader, with a key or without, may or may not read a document.
type ExplainQuery struct {
	Reader   string `query:"reader"`
	Key      string `query:"key"`
	Document string `query:"document"`
}

// adminExplainRoutes show names and access lists, and no text.
func (s *Server) adminExplainRoutes() []route {
	return []route{
		operation(http.MethodGet, "/explain", accessTokenAuditor, s.adminExplain),
		operation(http.MethodGet, "/documents/:id/readers", accessTokenAuditor, s.adminWhoCanRead),
	}
}

func explainEvent(c echo.Context, reader, key string) audit.Event {
	return adminEvent(c, "document.explain", "document", "", map[string]string{"reader": cut(reader), "key": cut(key)})
}

func (s *Server) adminExplain(c echo.Context, in ExplainQuery) (store.Explanation, error) {
	req := store.ExplainRequest{Reader: in.Reader, Key: in.Key, Document: in.Document}
	return s.cfg.Admin.Store.Explain(c.Request().Context(), req, explainEvent(c, in.Reader, in.Key))
}

// adminWhoCanRead lists the readers of a document.
func (s *Server) adminWhoCanRead(c echo.Context, in pageQuery) (store.WhoCanRead, error) {
	after := uuid.Nil
	if in.Cursor != "" {
		var err error
		if after, err = uuid.Parse(in.Cursor); err != nil {
			return store.WhoCanRead{}, invalid("cursor", "cursor: must be next_cursor of the page before")
		}
	}
	limit, err := limitOf(in.Limit)
	if err != nil {
		return store.WhoCanRead{}, err
	}
	return s.cfg.Admin.Store.WhoCanRead(c.Request().Context(), c.Param("id"), after, limit, explainEvent(c, "all", ""))
}
