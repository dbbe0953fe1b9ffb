package web

import (
	"context"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/store"
)

// AdminScheduleStore keeps when connections run, and who works.
type AdminScheduleStore interface {
	Timetable(ctx context.Context, connection uuid.UUID) (store.Timetable, error)
	SetTimetable(ctx context.Context, connection uuid.UUID, t store.Timetable, events ...audit.Event) error
	Workers(ctx context.Context) ([]store.WorkerProcess, error)
	RunLimits(ctx context.Context, connection uuid.UUID) (store.RunLimits, error)
	SetMaxPermissionAge(ctx context.Context, connection uuid.UUID, age time.Duration, events ...audit.Event) error
	SetRunLimits(ctx context.Context, connection uuid.UUID, changes map[string]string, events ...audit.Event) (store.RunLimits, error)
}

// adminGetSchedule says when a connection runs.
func (s *Server) adminGetSchedule(c echo.Context, _ nothing) (Schedule, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return Schedule{}, err
	}
	t, err := s.cfg.Admin.Store.Timetable(c.Request().Context(), k.ID)
	if err != nil {
		return Schedule{}, err
	}
	out := Schedule{
		Content: laneSchedule(t.ContentEvery, t.ContentCron, &t.ContentNext), Permissions: laneSchedule(t.PermissionsEvery, t.PermissionsCron, &t.PermissionsNext),
		Reconcile: laneSchedule(t.ReconcileEvery, t.ReconcileCron, t.ReconcileNext), TimeZone: t.TimeZone, Quiet: append([]store.QuietHours{}, t.Quiet...), QuietUntil: t.QuietUntil,
	}
	return out, nil
}

func laneSchedule(every time.Duration, cron string, next *time.Time) LaneSchedule {
	out := LaneSchedule{Cron: cron, NextAt: next}
	if every > 0 {
		out.Every = every.String()
	}
	return out
}

// adminSetSchedule replaces when a connection runs.
func (s *Server) adminSetSchedule(c echo.Context, in Schedule) (Schedule, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return Schedule{}, err
	}
	if err := s.setSchedule(c, k, in); err != nil {
		return Schedule{}, err
	}
	return s.adminGetSchedule(c, nothing{})
}

// setSchedule stores when a connection runs.
func (s *Server) setSchedule(c echo.Context, k store.Connection, in Schedule) error {
	t := store.Timetable{ContentCron: in.Content.Cron, PermissionsCron: in.Permissions.Cron, ReconcileCron: in.Reconcile.Cron, TimeZone: in.TimeZone, Quiet: in.Quiet}
	for field, lane := range map[string]struct {
		in   LaneSchedule
		into *time.Duration
	}{"content": {in.Content, &t.ContentEvery}, "permissions": {in.Permissions, &t.PermissionsEvery}, "reconcile": {in.Reconcile, &t.ReconcileEvery}} {
		if lane.in.Every == "" {
			continue
		}
		if lane.in.Cron != "" {
			return invalid(field, field+": name an interval or a cron expression, and not both")
		}
		d, err := time.ParseDuration(lane.in.Every)
		if err != nil || d <= 0 {
			return invalid(field+".every", field+".every: must be a time span such as 15m or 168h")
		}
		*lane.into = d
	}
	return s.cfg.Admin.Store.SetTimetable(c.Request().Context(), k.ID, t, connectionEvent(c, "connection.schedule", k))
}

// LimitsRequest changes limits by their names; null takes one back to its default.
type LimitsRequest map[string]*int64

// adminGetLimits says what a run of a connection may cost, and how much of it may fail.
func (s *Server) adminGetLimits(c echo.Context, _ nothing) (store.RunLimits, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return store.RunLimits{}, err
	}
	l, err := s.cfg.Admin.Store.RunLimits(c.Request().Context(), k.ID)
	return l.WithDefaults(), err
}

// adminSetLimits changes the limits that are named.
func (s *Server) adminSetLimits(c echo.Context, in LimitsRequest) (store.RunLimits, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return store.RunLimits{}, err
	}
	changes := map[string]string{}
	for name, n := range in {
		changes[name] = "default"
		if n != nil {
			changes[name] = strconv.FormatInt(*n, 10)
		}
	}
	if len(changes) == 0 {
		return store.RunLimits{}, invalid("", "name at least one limit; GET shows them")
	}
	return s.setLimits(c, k, changes)
}

// setLimits changes limits by their names, and returns all of them.
func (s *Server) setLimits(c echo.Context, k store.Connection, changes map[string]string) (store.RunLimits, error) {
	e := connectionEvent(c, "connection.limits", k)
	for name, value := range changes {
		e.Detail[cut(name)] = value
	}
	l, err := s.cfg.Admin.Store.SetRunLimits(c.Request().Context(), k.ID, changes, e)
	return l.WithDefaults(), err
}

// adminSetPermissionAge says for how long the permissions of a connection count.
func (s *Server) adminSetPermissionAge(c echo.Context, in PermissionAgeRequest) (ConnectionAnswer, error) {
	k, err := s.connectionOf(c)
	if err == nil && in.MaxPermissionAge == "" {
		err = invalid("max_permission_age", "max_permission_age: must be a time span such as 48h, or never")
	}
	if err == nil {
		err = s.setPermissionAge(c, k, in.MaxPermissionAge)
	}
	if err != nil {
		return ConnectionAnswer{}, err
	}
	return s.adminGetConnection(c, nothing{})
}

// adminSyncKind asks for a run of one kind.
func (s *Server) adminSyncKind(c echo.Context, k store.Connection, in SyncRequest) (RunsAnswer, error) {
	if in.Lane != "" {
		return RunsAnswer{}, invalid("kind", "kind: name a lane or a kind, and not both")
	}
	if err := canSync(k); err != nil {
		return RunsAnswer{}, err
	}
	event := connectionEvent(c, "connection.sync", k)
	event.Detail["kind"] = string(in.Kind)
	run, _, err := s.cfg.OAuth.Syncer.RequestKind(c.Request().Context(), k, in.Kind, "admin", event)
	if err != nil {
		return RunsAnswer{}, err
	}
	return RunsAnswer{Runs: []store.Run{run}}, nil
}
