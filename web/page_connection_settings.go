package web

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/internal/timetable"
	"tributary/store"
	"tributary/web/pages"
)

// settingsPage shows how a connection is set.
func (s *Server) settingsPage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	return s.showSettings(c, http.StatusOK, k, "", nil)
}

// showSettings shows the page; entered is what stands in the fields of a form that was refused, nil where none was.
func (s *Server) showSettings(c echo.Context, status int, k store.Connection, text string, entered map[string]string) error {
	ctx := c.Request().Context()
	v := pages.ConnectionSettingsView{Entered: entered}
	var err error
	v.Spec, _ = s.sourceNamed(k.Source)
	if v.Head, err = s.connectionHead(c, k, "settings"); err != nil {
		return err
	}
	if v.Creator, err = s.cfg.OAuth.Store.ConnectionCreator(ctx, k.ID); err != nil {
		return err
	}
	if s.cfg.Admin != nil {
		limits, err := s.cfg.Admin.Store.RunLimits(ctx, k.ID)
		if err != nil {
			return err
		}
		v.Limits = &limits
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, status, pages.ConnectionSettings(s.showProblem(c, "Settings of "+k.Name, text), v))
}

// saveLimits changes the limits of a connection's runs that differ from those so far; an empty field is the default.
func (s *Server) saveLimits(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	table := store.RunLimitTable()
	names := make([]string, len(table))
	for i, d := range table {
		names[i] = d.Name
	}
	f, err := formValues(c, names...)
	if err != nil {
		return err
	}
	limits, err := s.cfg.Admin.Store.RunLimits(c.Request().Context(), k.ID)
	if err != nil {
		return err
	}
	changes := map[string]string{}
	for _, d := range table {
		f[d.Name] = cut(strings.TrimSpace(f[d.Name]))
		value := strings.NewReplacer(",", "", " ", "").Replace(f[d.Name])
		if value == "" {
			value = "default"
		}
		was := limits.Get(d.Name)
		if err := limits.Set(d.Name, value); err != nil {
			text, _ := formProblem(err)
			return s.showSettings(c, http.StatusUnprocessableEntity, k, d.Title+strings.TrimPrefix(text, d.Name), f)
		}
		if limits.Get(d.Name) != was {
			changes[d.Name] = value
		}
	}
	if len(changes) > 0 {
		if _, err := s.setLimits(c, k, changes); err != nil {
			return err
		}
	}
	return seeOther(c, "/connections/"+k.Name+"/settings", "limits")
}

// savePermissionAge says for how long the permissions of a connection count.
func (s *Server) savePermissionAge(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "max_permission_age")
	if err != nil {
		return err
	}
	f["max_permission_age"] = cut(strings.TrimSpace(f["max_permission_age"]))
	err = s.setPermissionAge(c, k, f["max_permission_age"])
	if text, ok := formProblem(err); ok {
		return s.showSettings(c, http.StatusUnprocessableEntity, k, "Permissions count for"+strings.TrimPrefix(text, "max_permission_age"), f)
	}
	if err != nil {
		return err
	}
	return seeOther(c, "/connections/"+k.Name+"/settings", "permission-age")
}

// setPermissionAge reads for how long permissions count, and stores it. "never", and nothing where others push, stands for
// permissions that never grow too old.
func (s *Server) setPermissionAge(c echo.Context, k store.Connection, text string) error {
	age := store.PermissionsForever
	if text != "never" && (text != "" || k.Source != store.PushSource) {
		every, _, err := timetable.ParseRhythm(text)
		if err != nil || every == 0 {
			return &store.InputError{Field: "max_permission_age", Problem: "write a time span such as 12h or 7d"}
		}
		age = every
	}
	e := connectionEvent(c, "connection.permission_age", k)
	e.Detail["max_permission_age"] = age.String()
	return s.cfg.Admin.Store.SetMaxPermissionAge(c.Request().Context(), k.ID, age, e)
}
