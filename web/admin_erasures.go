package web

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
)

// AdminDeletionStore keeps erasures, and deletions that wait for somebody.
type AdminDeletionStore interface {
	Erasure(ctx context.Context, id uuid.UUID) (store.Erasure, error)
	ErasureOf(ctx context.Context, connection uuid.UUID) (store.Erasure, error)
	Erasures(ctx context.Context, f store.ErasureFilter) ([]store.Erasure, error)
	EraseReceipt(ctx context.Context, id uuid.UUID) (store.Receipt, error)
}

func (s *Server) adminErasureRoutes() []route {
	const get = http.MethodGet
	return []route{
		operation(get, "/erasures", accessTokenAuditor, s.adminListErasures),
		operation(http.MethodPost, "/erasures", accessTokenAdmin, s.adminErase),
		operation(get, "/erasures/:id", accessTokenAuditor, s.adminGetErasure),
		operation(get, "/erasures/:id/receipt", accessTokenAuditor, s.adminReceipt),
	}
}

// adminListErasures lists erasures by the time when they were asked for, the oldest first, without their receipts.
func (s *Server) adminListErasures(c echo.Context, in pageQuery) (Page[store.Erasure], error) {
	list, err := s.cfg.Admin.Store.Erasures(c.Request().Context(), store.ErasureFilter{})
	if err != nil {
		return Page[store.Erasure]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(e store.Erasure) string {
		return e.RequestedAt.UTC().Format(time.RFC3339Nano) + " " + e.ID.String()
	})
}

func (s *Server) adminErasureOf(c echo.Context) (store.Erasure, error) {
	id, ok := idOf(c)
	if !ok {
		return store.Erasure{}, noErasure()
	}
	e, err := s.cfg.Admin.Store.Erasure(c.Request().Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		err = noErasure()
	}
	return e, err
}

func noErasure() *Problem {
	return problem(http.StatusNotFound, codeNotFound, "there is no such erasure; the list of erasures has their ids")
}

func (s *Server) adminGetErasure(c echo.Context, _ nothing) (store.Erasure, error) {
	e, err := s.adminErasureOf(c)
	e.Receipt = nil
	return e, err
}

// adminReceipt proves an erasure that has ended.
func (s *Server) adminReceipt(c echo.Context, _ nothing) (store.Receipt, error) {
	e, err := s.adminErasureOf(c)
	if err != nil {
		return store.Receipt{}, err
	}
	r, err := s.cfg.Admin.Store.EraseReceipt(c.Request().Context(), e.ID)
	if errors.Is(err, store.ErrConflict) {
		err = problem(http.StatusConflict, codeConflict, "the erasure is "+string(e.State)+", and has no receipt yet: ask again later")
	}
	return r, err
}

// adminErase asks for an erasure. What it is about is hidden when it answers.
func (s *Server) adminErase(c echo.Context, in EraseRequest) (store.Erasure, error) {
	k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), in.Connection)
	if errors.Is(err, store.ErrNotFound) {
		err = invalid("connection", "connection: there is no such connection")
	}
	if err != nil {
		return store.Erasure{}, err
	}
	if in.Confirm != k.Name {
		return store.Erasure{}, invalid("confirm", "confirm: nothing is erased: send the connection's name here, because this cannot be undone")
	}
	req := store.EraseRequest{Connection: k.ID, Scope: in.Scope, Documents: in.Documents, Containers: in.Containers, Paths: in.Paths, AllowReturn: in.AllowReturn}
	if n := len(in.Documents) + len(in.Containers) + len(in.Paths); (n == 0) != (in.Scope == store.EraseConnection) || n > maxItems {
		return store.Erasure{}, invalid("scope", "scope: name documents for document, containers or paths for selection, none for connection, and at most "+strconv.Itoa(maxItems))
	}
	for _, text := range append(append(append([]string{}, in.Documents...), in.Containers...), in.Paths...) {
		if !store.UsableID(text) || strings.TrimSpace(text) == "" {
			return store.Erasure{}, invalid("documents", "documents: holds an id or a pattern that nothing can have")
		}
	}
	detail := map[string]string{"connection": k.Name, "scope": string(in.Scope)}
	e, err := s.cfg.Admin.Runner.RequestErasure(c.Request().Context(), req, actor(c).Name, adminEvent(c, "erasure.request", "erasure", "", detail))
	if err == nil {
		created(c)
	}
	e.Receipt = nil
	return e, err
}
