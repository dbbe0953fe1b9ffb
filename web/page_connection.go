package web

import (
	"net/http"
	"slices"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/store"
	"tributary/web/pages"
)

// connectionHead is what stands above a page of a connection; tab is the page's own.
func (s *Server) connectionHead(c echo.Context, k store.Connection, tab string) (pages.ConnectionHead, error) {
	spec, _ := s.sourceNamed(k.Source)
	h := pages.ConnectionHead{
		Connection: k, Tab: tab, MayAct: mayAct(c, store.RoleAdmin), Engine: s.cfg.Admin != nil, SettingUp: k.SettingUp() && s.setsUp(), Documents: s.serves("/documents"),
		Choose: spec.Has(connectors.CanChoose) && s.cfg.OAuth.Chooser != nil, WantsGrant: k.GrantID == nil && spec.Provider != "" && k.State != store.StateClosing,
	}
	var err error
	h.Waits, err = s.cfg.OAuth.Store.Attention(c.Request().Context(), k.ID)
	return h, err
}

// connectionPage shows one connection at a glance.
func (s *Server) connectionPage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	return s.showConnection(c, http.StatusOK, k, "")
}

// sparkRuns is how many runs the sparkline of a connection draws.
const sparkRuns = 30

func (s *Server) showConnection(c echo.Context, status int, k store.Connection, text string) error {
	ctx := c.Request().Context()
	o := s.cfg.OAuth
	var v pages.ConnectionView
	var err error
	if v.Head, err = s.connectionHead(c, k, ""); err != nil {
		return err
	}
	if v.Totals, err = o.Store.Totals(ctx, k.ID); err != nil {
		return err
	}
	if v.Schedules, err = o.Store.Schedules(ctx, k.ID); err != nil {
		return err
	}
	if err := s.addRuns(c, &v); err != nil {
		return err
	}
	if v.Now, err = o.Store.Now(ctx); err != nil {
		return err
	}
	if err := s.completeConnection(ctx, &v); err != nil {
		return err
	}
	if k.GrantID != nil {
		if v.Grant, err = o.Grants.Get(ctx, *k.GrantID); err != nil {
			return err
		}
		if v.Reader, err = s.readerOffer(ctx, c, k, v.Grant); err != nil {
			return err
		}
		spec, _ := s.sourceNamed(k.Source)
		v.KnowsSelf = spec.Has(connectors.CanSelf)
	}
	f := s.showProblem(c, k.Name, text)
	f.Topic = topicConnection + k.ID.String()
	return render(c, status, pages.Connection(f, v))
}

// addRuns adds the newest runs of content, and those of both lanes that are under way: the newest of its lane each.
func (s *Server) addRuns(c echo.Context, v *pages.ConnectionView) error {
	ctx, id := c.Request().Context(), v.Head.Connection.ID
	var err error
	if v.Runs, err = s.cfg.OAuth.Store.Runs(ctx, store.RunFilter{Connection: id, Lane: store.Content, Limit: sparkRuns}); err != nil {
		return err
	}
	newest, err := s.cfg.OAuth.Store.Runs(ctx, store.RunFilter{Connection: id, Lane: store.Permissions, Limit: 1})
	if err != nil {
		return err
	}
	for _, r := range slices.Concat(v.Runs[:min(len(v.Runs), 1)], newest) {
		if !r.State.Live() {
			continue
		}
		live := pages.LiveRun{Run: r, Progress: store.Progress{Listed: r.Counts.Listed, Expected: r.Expected, Done: r.Counts}}
		if v.Head.Engine {
			if live.Progress, err = s.cfg.Admin.Store.Progress(ctx, r); err != nil {
				return err
			}
		}
		v.Live = append(v.Live, live)
	}
	// A connection to which others push has a run that is always open: nothing moves by itself.
	v.Head.Live = len(v.Live) > 0 && v.Head.Connection.Source != store.PushSource
	return nil
}

// runsPerPage is how many runs of a connection a page shows.
const runsPerPage = 50

// connectionRunsPage lists the runs of a connection in the lane of ?lane=, the newest first.
func (s *Server) connectionRunsPage(c echo.Context) error {
	ctx := c.Request().Context()
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	v := pages.ConnectionRunsView{Lane: store.Content, First: true}
	if lane := c.QueryParam("lane"); lane != "" {
		v.Lane = store.Lane(lane)
	}
	if !slices.Contains(store.Lanes(), v.Lane) {
		return invalid("lane", "lane: must be content or permissions")
	}
	f := store.RunFilter{Connection: k.ID, Lane: v.Lane, Limit: runsPerPage + 1}
	if f.Before, v.First, err = beforeOf(c); err != nil {
		return err
	}
	if v.Runs, err = s.cfg.OAuth.Store.Runs(ctx, f); err != nil {
		return err
	}
	if len(v.Runs) > runsPerPage {
		v.Runs = v.Runs[:runsPerPage]
		v.Next = "/connections/" + k.Name + "/runs?lane=" + string(v.Lane) + "&before=" + v.Runs[runsPerPage-1].ID.String()
	}
	if v.Head, err = s.connectionHead(c, k, "runs"); err != nil {
		return err
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.ConnectionRuns(s.frame(c, "Runs of "+k.Name), v))
}

// beforeOf reads ?before=, which names the last of the page before; first is set where there is none.
func beforeOf(c echo.Context) (before uuid.UUID, first bool, err error) {
	text := c.QueryParam("before")
	if text == "" {
		return uuid.Nil, true, nil
	}
	if before, err = uuid.Parse(text); err != nil || before == uuid.Nil {
		return uuid.Nil, false, invalid("before", "before: must be the id of the last one of the page before")
	}
	return before, false, nil
}
