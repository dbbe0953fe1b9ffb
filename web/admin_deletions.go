package web

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/store"
	"tributary/web/pages"
)

// AdminHoldStore keeps deletions that wait for somebody.
type AdminHoldStore interface {
	Holds(ctx context.Context, f store.HoldFilter) ([]store.Hold, error)
	Hold(ctx context.Context, id uuid.UUID) (store.Hold, error)
	HeldDocuments(ctx context.Context, hold, after uuid.UUID, limit int) ([]store.HeldDocument, error)
	ApproveHold(ctx context.Context, id uuid.UUID, by string, events ...audit.Event) (store.Hold, error)
	RejectHold(ctx context.Context, id uuid.UUID, by string, events ...audit.Event) (store.Hold, error)
}

func (s *Server) adminDeletionRoutes() []route {
	const get = http.MethodGet
	return []route{
		operation(get, "/deletions", accessTokenAuditor, s.adminListHolds),
		operation(get, "/deletions/:id", accessTokenAuditor, s.adminGetHold),
		operation(get, "/deletions/:id/documents", accessTokenAuditor, s.adminHeldDocuments),
		operation(http.MethodPost, "/deletions/:id/approve", accessTokenAdmin, s.adminDecideHold(true)),
		operation(http.MethodPost, "/deletions/:id/reject", accessTokenAdmin, s.adminDecideHold(false)),
	}
}

type holdsQuery struct {
	// Limit is how many at most: 1 to 500; 100 where it is left out.
	Limit      int    `query:"limit"`
	Connection string `query:"connection"`
	State      string `query:"state"`
}

// adminListHolds lists deletions that wait, or waited, for somebody, the newest first.
func (s *Server) adminListHolds(c echo.Context, in holdsQuery) (Page[store.Hold], error) {
	limit, err := limitOf(in.Limit)
	if err != nil {
		return Page[store.Hold]{}, err
	}
	f := store.HoldFilter{State: store.HoldState(in.State), Limit: limit}
	if in.Connection != "" {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), in.Connection)
		if err != nil {
			return Page[store.Hold]{}, noConnection(err)
		}
		f.Connection = k.ID
	}
	list, err := s.cfg.Admin.Store.Holds(c.Request().Context(), f)
	return Page[store.Hold]{Items: append([]store.Hold{}, list...)}, err
}

// holdOf returns the hold that the path names.
func (s *Server) holdOf(c echo.Context) (store.Hold, error) {
	id, ok := idOf(c)
	if !ok {
		return store.Hold{}, noHold()
	}
	h, err := s.cfg.Admin.Store.Hold(c.Request().Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		err = noHold()
	}
	return h, err
}

func noHold() *Problem {
	return problem(http.StatusNotFound, codeNotFound, "there are no such held deletions; the page of their connection shows those that wait")
}

func (s *Server) adminGetHold(c echo.Context, _ nothing) (store.Hold, error) { return s.holdOf(c) }

// adminHeldDocuments lists what would be deleted.
func (s *Server) adminHeldDocuments(c echo.Context, in pageQuery) (Page[store.HeldDocument], error) {
	h, err := s.holdOf(c)
	if err != nil {
		return Page[store.HeldDocument]{}, err
	}
	limit, err := limitOf(in.Limit)
	if err != nil {
		return Page[store.HeldDocument]{}, err
	}
	list, next, err := s.heldDocuments(c, h, in.Cursor, limit)
	return Page[store.HeldDocument]{Items: append([]store.HeldDocument{}, list...), NextCursor: next}, err
}

// heldDocuments is a page of what a hold would delete; next is "" where it is the last.
func (s *Server) heldDocuments(c echo.Context, h store.Hold, cursor string, limit int) (list []store.HeldDocument, next string, err error) {
	after := uuid.Nil
	if cursor != "" {
		if after, err = uuid.Parse(cursor); err != nil {
			return nil, "", invalid("cursor", "cursor: must be next_cursor of the page before")
		}
	}
	list, err = s.cfg.Admin.Store.HeldDocuments(c.Request().Context(), h.ID, after, limit+1)
	if err != nil || len(list) <= limit {
		return list, "", err
	}
	return list[:limit], list[limit-1].ID.String(), nil
}

// adminDecideHold approves or rejects deletions. A decision that stands is answered as it is; the other one is a conflict.
func (s *Server) adminDecideHold(approve bool) func(c echo.Context, _ nothing) (store.Hold, error) {
	want, action, decide := store.HoldRejected, "deletions.reject", s.rejectHold
	if approve {
		want, action, decide = store.HoldApproved, "deletions.approve", s.approveHold
	}
	return func(c echo.Context, _ nothing) (store.Hold, error) {
		h, err := s.holdOf(c)
		if err != nil || h.State == want {
			return h, err
		}
		e := adminEvent(c, action, "deletions", h.ID.String(), map[string]string{"connection": h.Connection})
		out, err := decide(c.Request().Context(), h.ID, actor(c).Name, e)
		if !errors.Is(err, store.ErrConflict) {
			return out, err
		}
		if h, err = s.holdOf(c); err == nil && h.State != want {
			err = problem(http.StatusConflict, codeConflict, "they are "+string(h.State)+" already")
		}
		return h, err
	}
}

func (s *Server) approveHold(ctx context.Context, id uuid.UUID, by string, e audit.Event) (store.Hold, error) {
	return s.cfg.Admin.Store.ApproveHold(ctx, id, by, e)
}

func (s *Server) rejectHold(ctx context.Context, id uuid.UUID, by string, e audit.Event) (store.Hold, error) {
	return s.cfg.Admin.Store.RejectHold(ctx, id, by, e)
}

// shownHeld is how many documents the page of held deletions shows.
const shownHeld = 100

// holdPage shows what would be deleted.
func (s *Server) holdPage(c echo.Context) error {
	h, err := s.holdOf(c)
	if err != nil {
		return err
	}
	return s.showHold(c, http.StatusOK, h, "")
}

func (s *Server) showHold(c echo.Context, status int, h store.Hold, text string) error {
	v := pages.HoldView{Hold: h, MayAct: mayAct(c, store.RoleAdmin)}
	list, next, err := s.heldDocuments(c, h, c.QueryParam("after"), shownHeld)
	if err != nil {
		return err
	}
	if v.Documents = list; next != "" {
		v.Next = "/deletions/" + h.ID.String() + "?after=" + next
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(c.Request().Context()); err != nil {
		return err
	}
	return render(c, status, pages.Hold(s.showProblem(c, "Held deletions of "+h.Connection, text), v))
}

// decideHold is a button of that page; approving needs its box ticked.
func (s *Server) decideHold(approve bool) echo.HandlerFunc {
	fields, done := []string{}, "rejected"
	if approve {
		fields, done = []string{"confirm"}, "approved"
	}
	return func(c echo.Context) error {
		f, err := formValues(c, fields...)
		if err != nil {
			return err
		}
		h, err := s.holdOf(c)
		if err != nil {
			return err
		}
		if approve && f["confirm"] != "yes" {
			return s.showHold(c, http.StatusUnprocessableEntity, h, "nothing is deleted: tick the box to confirm")
		}
		_, err = s.adminDecideHold(approve)(c, nothing{})
		if p, ok := errors.AsType[*Problem](err); ok && p.Status == http.StatusConflict {
			return s.showHold(c, http.StatusUnprocessableEntity, h, p.Detail)
		}
		if err != nil {
			return err
		}
		return seeOther(c, "/deletions/"+h.ID.String(), done)
	}
}
