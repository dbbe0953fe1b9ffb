package web

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// auditPerPage is how many events a page shows.
const auditPerPage = 100

// auditPage shows the audit log, the newest events first.
func (s *Server) auditPage(c echo.Context) error {
	q := c.QueryParams()
	v := pages.AuditView{Action: field(q, "action"), Actor: field(q, "actor"), Target: field(q, "target"), Since: field(q, "since"), Until: field(q, "until")}
	f := store.AuditFilter{Action: v.Action, Actor: v.Actor, Target: v.Target, Limit: auditPerPage}
	for text, to := range map[string]*time.Time{v.Since: &f.Since, v.Until: &f.Until} {
		day, err := parseDay(text)
		if err != nil {
			return invalid("since", "the day "+err.Error())
		}
		if day != nil {
			*to = *day
		}
	}
	if !f.Until.IsZero() {
		f.Until = f.Until.AddDate(0, 0, 1) // up to the end of the day
	}
	if before := q.Get("before"); before != "" {
		id, err := strconv.ParseInt(before, 10, 64)
		if err != nil || id < 1 {
			return invalid("before", "before: must be the number of an event")
		}
		f.Before = id
	}
	var err error
	if v.Events, err = s.cfg.OAuth.Store.AuditEvents(c.Request().Context(), f); err != nil {
		return err
	}
	if n := len(v.Events); n == auditPerPage {
		older := url.Values{"before": {strconv.FormatInt(v.Events[n-1].ID, 10)}}
		for name, value := range map[string]string{"action": v.Action, "actor": v.Actor, "target": v.Target, "since": v.Since, "until": v.Until} {
			if value != "" {
				older.Set(name, value)
			}
		}
		v.Older = "/audit?" + older.Encode()
	}
	return render(c, http.StatusOK, pages.Audit(s.frame(c, "Audit log"), v))
}

// field is a field of a filter, without what no event holds.
func field(q url.Values, name string) string {
	return cut(strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(q.Get(name), ""), "\x00", "")))
}
