package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// adminPageRoutes are the pages of what the engine reports, and of tokens.
func (s *Server) adminPageRoutes() []route {
	if s.cfg.Admin == nil || s.cfg.OAuth == nil {
		return nil
	}
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/notices", access: accessAuditor, handler: s.noticesPage, returnable: true},
		{method: get, path: "/runs/:id", access: accessAuditor, handler: s.runPage, returnable: true},
		{method: post, path: "/runs/:id/cancel", access: accessAdmin, handler: s.cancelRun},
		{method: get, path: "/deletions/:id", access: accessAuditor, handler: s.holdPage, returnable: true},
		{method: post, path: "/deletions/:id/approve", access: accessAdmin, handler: s.decideHold(true)},
		{method: post, path: "/deletions/:id/reject", access: accessAdmin, handler: s.decideHold(false)},
		{method: get, path: "/connections/:name/schedule", access: accessAuditor, handler: s.schedulePage, returnable: true},
		{method: post, path: "/connections/:name/schedule", access: accessAdmin, handler: s.saveSchedule},
		{method: post, path: "/connections/:name/limits", access: accessAdmin, handler: s.saveLimits},
		{method: post, path: "/connections/:name/permission-age", access: accessAdmin, handler: s.savePermissionAge},
		{method: get, path: "/connections/:name/plan", access: accessAdmin, handler: s.planPage, calls: true, returnable: true},
		{method: get, path: "/connections/:name/start", access: accessAdmin, handler: s.startPage, returnable: true},
		{method: post, path: "/connections/:name/start", access: accessAdmin, handler: s.startFirst},
		{method: get, path: "/connections/:name/quarantine", access: accessAuditor, handler: s.quarantinePage, returnable: true},
		{method: post, path: "/connections/:name/quarantine", access: accessAdmin, handler: s.actOnQuarantine},
		{method: post, path: "/account/tokens", access: accessAuditor, handler: s.createToken},
		{method: post, path: "/account/tokens/:id/revoke", access: accessAuditor, handler: s.revokeOwnToken},
		{method: post, path: "/users/:id/tokens/:token/revoke", access: accessOwner, handler: s.revokeUserToken},
	}
}

// noticesPerPage is how many notices a page shows.
const noticesPerPage = 100

// noticesPage lists what somebody should know and do.
func (s *Server) noticesPage(c echo.Context) error {
	ctx := c.Request().Context()
	v := pages.NoticesView{All: c.QueryParam("all") == "yes"}
	before, err := numberOf(c.QueryParam("before"))
	if err != nil {
		return err
	}
	if v.Notices, err = s.cfg.Admin.Store.Notices(ctx, store.NoticeFilter{All: v.All, Before: before, Limit: noticesPerPage + 1}); err != nil {
		return err
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	if len(v.Notices) > noticesPerPage {
		v.Notices = v.Notices[:noticesPerPage]
		v.Older = "/notices?before=" + strconv.FormatInt(v.Notices[noticesPerPage-1].ID, 10)
		if v.All {
			v.Older += "&all=yes"
		}
	}
	return render(c, http.StatusOK, pages.Notices(s.frame(c, "Notices"), v))
}

// openNotices is how many notices are open, and whether one is of severity error. A page is shown without it rather than
// not at all.
func (s *Server) openNotices(ctx context.Context) (n int64, bad bool) {
	if s.cfg.Admin == nil || s.cfg.OAuth == nil {
		return 0, false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	list, err := s.cfg.Admin.Store.NoticeCounts(ctx)
	if err != nil {
		s.cfg.Log.WarnContext(ctx, "counting notices", "error", err)
	}
	for _, k := range list {
		n += k.Open
		bad = bad || k.Severity == store.SeverityError
	}
	return n, bad
}

// shownEvents and shownItems bound what the page of a run shows.
const (
	shownEvents = 200
	shownItems  = 100
)

// runPage shows one run, with the items of ?op=.
func (s *Server) runPage(c echo.Context) error {
	return s.showRun(c, http.StatusOK, "")
}

func (s *Server) showRun(c echo.Context, status int, text string) error {
	ctx := c.Request().Context()
	run, err := s.adminRunOf(c)
	if err != nil {
		return err
	}
	v := pages.RunView{Run: run, Op: c.QueryParam("op"), MayAct: mayAct(c, store.RoleAdmin)}
	if v.Op == "" {
		v.Op = opOf(run.Counts)
	}
	after, err := numberOf(c.QueryParam("after"))
	if err != nil {
		return err
	}
	if v.Items, err = s.cfg.Admin.Store.RunItems(ctx, run.ID, v.Op, after, shownItems+1); err != nil {
		return err
	}
	if len(v.Items) > shownItems {
		v.Items = v.Items[:shownItems]
		v.Next = "/runs/" + run.ID.String() + "?op=" + v.Op + "&after=" + strconv.FormatInt(v.Items[shownItems-1].ID, 10)
	}
	if v.Progress, err = s.cfg.Admin.Store.Progress(ctx, run); err != nil {
		return err
	}
	if v.Events, err = s.cfg.Admin.Store.NewestRunEvents(ctx, run.ID, shownEvents+1); err != nil {
		return err
	}
	if len(v.Events) > shownEvents {
		v.Earlier, v.Events = true, v.Events[1:]
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	f := s.showProblem(c, "Run of "+run.Connection, text)
	if run.State.Live() {
		f.Topic = topicRun + run.ID.String()
	}
	return render(c, status, pages.Run(f, v))
}

// opOf chooses what of a run is shown first: what somebody may have to look at.
func opOf(n store.Counts) string {
	switch {
	case n.Quarantined > 0:
		return store.ItemQuarantined
	case n.Hidden > 0:
		return store.ItemHidden
	case n.Purged > 0:
		return store.ItemPurged
	case n.Updated > 0 && n.Added == 0:
		return store.ItemUpdated
	default:
		return store.ItemAdded
	}
}

func (s *Server) cancelRun(c echo.Context) error {
	if _, err := formValues(c); err != nil {
		return err
	}
	run, err := s.adminCancelRun(c, nothing{})
	if err != nil {
		return err
	}
	return seeOther(c, "/runs/"+run.ID.String(), "cancelled")
}
