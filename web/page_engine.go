package web

import (
	"context"
	"errors"
	"net/http"
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
	v := pages.ScheduleView{Connection: k}
	if v.Timetable, err = s.cfg.Admin.Store.Timetable(c.Request().Context(), k.ID); err != nil {
		return err
	}
	v.ScheduleFields()
	return s.showSchedule(c, http.StatusOK, "", v)
}

func (s *Server) showSchedule(c echo.Context, status int, text string, v pages.ScheduleView) error {
	var err error
	if v.Now, err = s.cfg.OAuth.Store.Now(c.Request().Context()); err != nil {
		return err
	}
	v.MayAct = mayAct(c, store.RoleAdmin)
	return render(c, status, pages.Schedule(s.showProblem(c, "Schedule of "+v.Connection.Name, text), v))
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
		Connection: k, Content: cut(f["content"]), Permissions: cut(f["permissions"]), Reconcile: cut(f["reconcile"]), Zone: cut(f["zone"]), Quiet: cutLong(f["quiet"]),
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

// shownQuarantine bounds what the page of a quarantine shows.
const shownQuarantine = 200

// quarantinePage lists what of a connection could not be ingested.
func (s *Server) quarantinePage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	return s.showQuarantine(c, http.StatusOK, k, "")
}

func (s *Server) showQuarantine(c echo.Context, status int, k store.Connection, text string) error {
	list, err := s.cfg.Admin.Store.Quarantined(c.Request().Context(), k.ID)
	if err != nil {
		return err
	}
	v := pages.QuarantineView{Connection: k, Items: list[:min(len(list), shownQuarantine)], Total: len(list), MayAct: mayAct(c, store.RoleAdmin) && k.State != store.StateClosing}
	excluded, err := s.cfg.Admin.Store.Exclusions(c.Request().Context(), k.ID)
	if err != nil {
		return err
	}
	v.Excluded, v.AllExcluded = excluded[:min(len(excluded), shownQuarantine)], len(excluded)
	if v.Now, err = s.cfg.OAuth.Store.Now(c.Request().Context()); err != nil {
		return err
	}
	return render(c, status, pages.Quarantine(s.showProblem(c, "Quarantine of "+k.Name, text), v))
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
		list, err := s.cfg.Admin.Store.Quarantined(c.Request().Context(), k.ID)
		if err != nil {
			return err
		}
		in.IDs = nil
		for _, i := range list {
			in.IDs = append(in.IDs, i.ExternalID)
		}
	default:
		return invalid("do", "there is no such button")
	}
	if len(in.IDs) == 0 || k.State == store.StateClosing {
		return s.showQuarantine(c, http.StatusUnprocessableEntity, k, "there is nothing to do")
	}
	if !store.UsableID(in.IDs[0]) || len(in.Reason) > maxReason {
		return s.showQuarantine(c, http.StatusUnprocessableEntity, k, "the reason is too long, or there is no such item")
	}
	if _, err := act(c, k, in); err != nil {
		return err
	}
	return seeOther(c, "/connections/"+k.Name+"/quarantine", done)
}

// completeConnection adds what the engine says of a connection.
func (s *Server) completeConnection(ctx context.Context, v *pages.ConnectionView) error {
	if v.Engine = s.cfg.Admin != nil; !v.Engine {
		return nil
	}
	var err error
	if v.Notices, err = s.cfg.Admin.Store.Notices(ctx, store.NoticeFilter{Connection: v.Connection.ID}); err != nil {
		return err
	}
	v.Holds, err = s.cfg.Admin.Store.Holds(ctx, store.HoldFilter{Connection: v.Connection.ID, State: store.HoldOpen})
	return err
}
