package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// erasureOf is the address of the page of the erasure of a connection; "" where there is none, or no such pages.
func (s *Server) erasureOf(c echo.Context, k store.Connection) (string, error) {
	if s.cfg.Admin == nil {
		return "", nil
	}
	e, err := s.cfg.Admin.Store.ErasureOf(c.Request().Context(), k.ID)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return erasuresPath + "/" + e.ID.String(), nil
}

// erasuresPath is the page that lists erasures.
const erasuresPath = "/erasures"

// erasuresPage lists the erasures with their receipts, the newest first.
func (s *Server) erasuresPage(c echo.Context) error {
	ctx := c.Request().Context()
	var v pages.ErasuresView
	f := store.ErasureFilter{Limit: perPage + 1}
	var err error
	if f.Before, v.First, err = beforeOf(c); err != nil {
		return err
	}
	if v.Erasures, err = s.cfg.Admin.Store.Erasures(ctx, f); err != nil {
		return err
	}
	if len(v.Erasures) > perPage {
		v.Erasures = v.Erasures[:perPage]
		v.Next = erasuresPath + "?before=" + v.Erasures[perPage-1].ID.String()
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.Erasures(s.underConnections(c, "Erasures"), v))
}

// underConnections is the frame of a page that stands under Connections in the navigation, whatever its address.
func (s *Server) underConnections(c echo.Context, title string) pages.Frame {
	f := s.frame(c, title)
	f.Path = "/connections/"
	return f
}

// erasurePage shows an erasure, and its receipt once it has ended.
func (s *Server) erasurePage(c echo.Context) error {
	e, err := s.adminErasureOf(c)
	if err != nil {
		return err
	}
	v := pages.ErasureView{Erasure: e}
	if len(e.Receipt) > 0 {
		v.Receipt = &store.Receipt{}
		if err := json.Unmarshal(e.Receipt, v.Receipt); err != nil {
			return fmt.Errorf("reading receipt: %w", err)
		}
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(c.Request().Context()); err != nil {
		return err
	}
	f := s.underConnections(c, "Erasure of "+e.Connection)
	if e.State.Open() {
		f.Topic = pages.TopicClock
	}
	return render(c, http.StatusOK, pages.Erasure(f, v))
}

// holdsPerPage is how many held deletions a page shows.
const holdsPerPage = 50

// connectionHoldsPage lists the held deletions of a connection, those that are decided too.
func (s *Server) connectionHoldsPage(c echo.Context) error {
	ctx := c.Request().Context()
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	var v pages.HoldsView
	f := store.HoldFilter{Connection: k.ID, Limit: holdsPerPage + 1}
	if f.Before, v.First, err = beforeOf(c); err != nil {
		return err
	}
	if v.Holds, err = s.cfg.Admin.Store.Holds(ctx, f); err != nil {
		return err
	}
	if len(v.Holds) > holdsPerPage {
		v.Holds = v.Holds[:holdsPerPage]
		v.Next = "/connections/" + k.Name + "/deletions?before=" + v.Holds[holdsPerPage-1].ID.String()
	}
	if v.Head, err = s.connectionHead(c, k, "deletions"); err != nil {
		return err
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.Holds(s.frame(c, "Held deletions of "+k.Name), v))
}
