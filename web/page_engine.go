package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/internal/timetable"
	"tributary/store"
	"tributary/web/pages"
)

// schedulePage shows when a connection runs.
func (s *Server) schedulePage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	v := pages.ScheduleView{Head: pages.ConnectionHead{Connection: k}}
	if v.Timetable, err = s.cfg.Admin.Store.Timetable(c.Request().Context(), k.ID); err != nil {
		return err
	}
	v.ScheduleFields()
	return s.showSchedule(c, http.StatusOK, "", v)
}

func (s *Server) showSchedule(c echo.Context, status int, text string, v pages.ScheduleView) error {
	k := v.Head.Connection
	var err error
	if v.Head, err = s.connectionHead(c, k, "schedule"); err != nil {
		return err
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(c.Request().Context()); err != nil {
		return err
	}
	v.MayAct = v.Head.MayAct && k.State != store.StateClosing
	return render(c, status, pages.Schedule(s.showProblem(c, "Schedule of "+k.Name, text), v))
}

// saveSchedule replaces when a connection runs.
func (s *Server) saveSchedule(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "content", "permissions", "reconcile", "zone", "quiet")
	if err != nil {
		return err
	}
	v := pages.ScheduleView{
		Head: pages.ConnectionHead{Connection: k}, Content: cut(f["content"]), Permissions: cut(f["permissions"]), Reconcile: cut(f["reconcile"]), Zone: cut(f["zone"]), Quiet: cutLong(f["quiet"]),
	}
	if v.Timetable, err = s.cfg.Admin.Store.Timetable(c.Request().Context(), k.ID); err != nil {
		return err
	}
	in := Schedule{Content: rhythmOf(v.Content), Permissions: rhythmOf(v.Permissions), Reconcile: rhythmOf(v.Reconcile), TimeZone: strings.TrimSpace(v.Zone)}
	for _, line := range lines(v.Quiet) {
		q, err := timetable.ParseQuiet(line)
		if err != nil {
			return s.showSchedule(c, http.StatusUnprocessableEntity, "Quiet hours: "+err.Error(), v)
		}
		in.Quiet = append(in.Quiet, q)
	}
	err = s.setSchedule(c, k, in)
	if p, ok := errors.AsType[*Problem](err); ok {
		return s.showSchedule(c, http.StatusUnprocessableEntity, p.Detail, v)
	}
	if text, ok := formProblem(err); ok && err != nil {
		return s.showSchedule(c, http.StatusUnprocessableEntity, text, v)
	}
	if err != nil {
		return err
	}
	if k.SettingUp() {
		return seeOther(c, "/connections/"+k.Name+"/start", "step")
	}
	return seeOther(c, "/connections/"+k.Name+"/schedule", "scheduled")
}

// rhythmOf reads an interval or a cron expression; nothing is the default.
func rhythmOf(text string) LaneSchedule {
	text = strings.TrimSpace(text)
	every, cron, err := timetable.ParseRhythm(text)
	switch {
	case text == "" || err != nil:
		return LaneSchedule{Every: text} // what reads it says what is wrong
	case every > 0:
		return LaneSchedule{Every: every.String()}
	}
	return LaneSchedule{Cron: cron}
}

// Bounds of what the page of a quarantine shows.
const (
	quarantinePerPage = 50
	excludedPerPage   = 50
)

// quarantinePage lists what of a connection could not be ingested.
func (s *Server) quarantinePage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	return s.showQuarantine(c, http.StatusOK, k, "")
}

func (s *Server) showQuarantine(c echo.Context, status int, k store.Connection, text string) error {
	ctx := c.Request().Context()
	var v pages.QuarantineView
	var err error
	if v.Head, err = s.connectionHead(c, k, "quarantine"); err != nil {
		return err
	}
	v.MayAct = v.Head.MayAct && k.State != store.StateClosing
	if err := s.addQuarantine(c, k, &v); err != nil {
		return err
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, status, pages.Quarantine(s.showProblem(c, "Quarantine of "+k.Name, text), v))
}

// addQuarantine adds a page of the items behind ?after=, and one of the exclusions behind ?out= and ?path=.
func (s *Server) addQuarantine(c echo.Context, k store.Connection, v *pages.QuarantineView) error {
	ctx := c.Request().Context()
	after, out := c.QueryParam("after"), store.ExcludedItem{ExternalID: c.QueryParam("out"), Path: c.QueryParam("path")}
	for _, id := range []string{after, out.ExternalID, out.Path} {
		if id != "" && !store.UsableID(id) {
			return invalid("after", "after: must be the last one of the page before")
		}
	}
	v.First = after == "" && out.ExternalID == ""
	var err error
	if v.Items, err = s.cfg.Admin.Store.QuarantinePage(ctx, k.ID, after, quarantinePerPage+1); err != nil {
		return err
	}
	if v.Excluded, err = s.cfg.Admin.Store.ExclusionsPage(ctx, k.ID, out, excludedPerPage+1); err != nil {
		return err
	}
	path := "/connections/" + k.Name + "/quarantine?"
	if len(v.Items) > quarantinePerPage {
		v.Items = v.Items[:quarantinePerPage]
		v.Next = path + url.Values{"after": {v.Items[quarantinePerPage-1].ExternalID}}.Encode()
	}
	if len(v.Excluded) > excludedPerPage {
		v.Excluded = v.Excluded[:excludedPerPage]
		last := v.Excluded[excludedPerPage-1]
		v.NextExcluded = path + url.Values{"out": {last.ExternalID}, "path": {last.Path}}.Encode() + "#excluded"
	}
	return nil
}

// actOnQuarantine tries items again, excludes one, or takes an exclusion back.
func (s *Server) actOnQuarantine(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "do", "id", "reason")
	if err != nil {
		return err
	}
	in := ItemsRequest{IDs: []string{f["id"]}, Reason: f["reason"]}
	act, done := s.retryItems, "retry"
	switch f["do"] {
	case "retry":
	case "exclude":
		act, done = s.excludeItems, "excluded"
	case "include":
		act, done = s.includeItems, "included"
	case "retry-all":
		return s.retryAll(c, k)
	default:
		return invalid("do", "there is no such button")
	}
	if k.State == store.StateClosing {
		return s.showQuarantine(c, http.StatusUnprocessableEntity, k, "it is being deleted")
	}
	if !store.UsableID(in.IDs[0]) || len(in.Reason) > maxReason {
		return s.showQuarantine(c, http.StatusUnprocessableEntity, k, "the reason is too long, or there is no such item")
	}
	if _, err := act(c, k, in); err != nil {
		return err
	}
	return seeOther(c, "/connections/"+k.Name+"/quarantine", done)
}

// retryAll lets everything in quarantine be tried again.
func (s *Server) retryAll(c echo.Context, k store.Connection) error {
	if k.State == store.StateClosing {
		return s.showQuarantine(c, http.StatusUnprocessableEntity, k, "it is being deleted")
	}
	n, err := s.cfg.Admin.Store.RetryAllQuarantined(c.Request().Context(), k.ID, connectionEvent(c, "quarantine.retry", k))
	if err != nil {
		return err
	}
	if n == 0 {
		return s.showQuarantine(c, http.StatusUnprocessableEntity, k, "there is nothing to do")
	}
	return seeOther(c, "/connections/"+k.Name+"/quarantine", "retry")
}

// completeConnection adds what the engine says of a connection.
func (s *Server) completeConnection(ctx context.Context, v *pages.ConnectionView) error {
	if !v.Head.Engine {
		return nil
	}
	id := v.Head.Connection.ID
	var err error
	if v.Notices, err = s.cfg.Admin.Store.Notices(ctx, store.NoticeFilter{Connection: id, Limit: shownNotices}); err != nil {
		return err
	}
	v.Holds, err = s.cfg.Admin.Store.Holds(ctx, store.HoldFilter{Connection: id, State: store.HoldOpen})
	return err
}

// shownNotices is how many notices the page of a connection shows.
const shownNotices = 20
