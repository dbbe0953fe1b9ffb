package web

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/store"
)

// AdminRunStore tells of runs, and ends them.
type AdminRunStore interface {
	Run(ctx context.Context, id uuid.UUID) (store.Run, error)
	CancelRun(ctx context.Context, id uuid.UUID, events ...audit.Event) error
	RunEvents(ctx context.Context, run uuid.UUID, after int64, limit int) ([]store.RunEvent, error)
	NewestRunEvents(ctx context.Context, run uuid.UUID, limit int) ([]store.RunEvent, error)
	RunItems(ctx context.Context, run uuid.UUID, op string, after int64, limit int) ([]store.RunItem, error)
	Progress(ctx context.Context, run store.Run) (store.Progress, error)
}

func (s *Server) adminRunRoutes() []route {
	const get = http.MethodGet
	return []route{
		operation(get, "/runs", accessTokenAuditor, s.adminListRuns),
		operation(get, "/runs/:id", accessTokenAuditor, s.adminGetRun),
		operation(get, "/runs/:id/progress", accessTokenAuditor, s.adminProgress),
		operation(get, "/runs/:id/events", accessTokenAuditor, s.adminRunEvents),
		operation(get, "/runs/:id/items", accessTokenAuditor, s.adminRunItems),
		operation(http.MethodPost, "/runs/:id/cancel", accessTokenAdmin, s.adminCancelRun),
	}
}

type runsQuery struct {
	pageQuery

	Connection string `query:"connection"`
	Lane       string `query:"lane"`
	State      string `query:"state"`
}

// adminListRuns lists runs, the newest first.
func (s *Server) adminListRuns(c echo.Context, in runsQuery) (Page[store.Run], error) {
	limit, err := limitOf(in.Limit)
	if err != nil {
		return Page[store.Run]{}, err
	}
	f := store.RunFilter{Lane: store.Lane(in.Lane), State: store.RunState(in.State), Limit: limit + 1}
	if in.Lane != "" && !slices.Contains(store.Lanes(), f.Lane) {
		return Page[store.Run]{}, invalid("lane", "lane: must be content or permissions")
	}
	if in.Cursor != "" {
		if f.Before, err = uuid.Parse(in.Cursor); err != nil {
			return Page[store.Run]{}, invalid("cursor", "cursor: must be next_cursor of the page before")
		}
	}
	if in.Connection != "" {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), in.Connection)
		if err != nil {
			return Page[store.Run]{}, noConnection(err)
		}
		f.Connection = k.ID
	}
	list, err := s.cfg.OAuth.Store.Runs(c.Request().Context(), f)
	if err != nil || len(list) <= limit {
		return Page[store.Run]{Items: append([]store.Run{}, list...)}, err
	}
	return Page[store.Run]{Items: list[:limit], NextCursor: list[limit-1].ID.String()}, nil
}

// adminRunOf returns the run that the path names.
func (s *Server) adminRunOf(c echo.Context) (store.Run, error) {
	id, ok := idOf(c)
	if !ok {
		return store.Run{}, noRun()
	}
	run, err := s.cfg.Admin.Store.Run(c.Request().Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		err = noRun()
	}
	return run, err
}

func noRun() *Problem {
	return problem(http.StatusNotFound, codeNotFound, "there is no such run; the list of runs has their ids")
}

func (s *Server) adminGetRun(c echo.Context, _ nothing) (store.Run, error) { return s.adminRunOf(c) }

// adminProgress says how far a run is.
func (s *Server) adminProgress(c echo.Context, _ nothing) (store.Progress, error) {
	run, err := s.adminRunOf(c)
	if err != nil {
		return store.Progress{}, err
	}
	return s.cfg.Admin.Store.Progress(c.Request().Context(), run)
}

// adminRunEvents is the log of a run, the oldest first.
func (s *Server) adminRunEvents(c echo.Context, in pageQuery) (Page[store.RunEvent], error) {
	run, err := s.adminRunOf(c)
	if err != nil {
		return Page[store.RunEvent]{}, err
	}
	return numbered(in, func(after int64, limit int) ([]store.RunEvent, error) {
		return s.cfg.Admin.Store.RunEvents(c.Request().Context(), run.ID, after, limit)
	}, func(e store.RunEvent) int64 { return e.ID })
}

type itemsQuery struct {
	pageQuery

	Op string `query:"op"`
}

// adminRunItems lists what stands behind the counts of a run.
func (s *Server) adminRunItems(c echo.Context, in itemsQuery) (Page[store.RunItem], error) {
	run, err := s.adminRunOf(c)
	if err != nil {
		return Page[store.RunItem]{}, err
	}
	return numbered(in.pageQuery, func(after int64, limit int) ([]store.RunItem, error) {
		return s.cfg.Admin.Store.RunItems(c.Request().Context(), run.ID, in.Op, after, limit)
	}, func(i store.RunItem) int64 { return i.ID })
}

// adminCancelRun ends a run. One that has ended, or that was to be ended before, is answered as it is.
func (s *Server) adminCancelRun(c echo.Context, _ nothing) (store.Run, error) {
	run, err := s.adminRunOf(c)
	if err != nil || !run.State.Live() || run.CancelRequested {
		return run, err
	}
	err = s.cfg.Admin.Store.CancelRun(c.Request().Context(), run.ID, adminEvent(c, "run.cancel", "run", run.ID.String(), map[string]string{"connection": run.Connection, "kind": string(run.Kind)}))
	if err != nil && !errors.Is(err, store.ErrConflict) {
		return run, err
	}
	return s.adminRunOf(c)
}
