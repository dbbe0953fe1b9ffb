package web

import (
	"context"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/jobs"
	"tributary/store"
)

// AdminRunner does what needs the engine; *jobs.Runner.
type AdminRunner interface {
	PlanSync(ctx context.Context, conn store.Connection, o jobs.PlanOptions) (jobs.Plan, error)
	RequestErasure(ctx context.Context, req store.EraseRequest, by string, events ...audit.Event) (store.Erasure, error)
}

// planTime bounds how long a request lists a source; the plan of a larger one says that it is partial. With the time in
// which a sample is opened it stays below callTimeout, after which nobody hears the answer.
const planTime = 60 * time.Second

// adminPlan says what a sync, or a changed selection, would do. It ends when the client goes away.
func (s *Server) adminPlan(c echo.Context, in PlanRequest) (jobs.Plan, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return jobs.Plan{}, err
	}
	spec, ok := s.sourceNamed(k.Source)
	if !ok {
		return jobs.Plan{}, &store.InputError{Problem: "this version has no connector for its source"}
	}
	o := jobs.PlanOptions{Kind: in.Kind, Exact: in.Exact, Items: min(in.Items, maxAdminPage), Time: planTime, SampleTime: lookOpens}
	switch {
	case in.Kind != "" && in.Kind != store.RunSnapshot && in.Kind != store.RunChanges:
		return jobs.Plan{}, invalid("kind", "kind: must be snapshot or changes")
	case in.Items < 0:
		return jobs.Plan{}, invalid("items", "items: must be 0 or more")
	case in.Seconds < 0 || in.Seconds > int(planTime/time.Second):
		return jobs.Plan{}, invalid("seconds", "seconds: must be 1 to 60")
	case in.Seconds > 0:
		o.Time = time.Duration(in.Seconds) * time.Second
	}
	if len(in.Settings) > 0 {
		if o.Settings, err = changedSettings(spec, k, in.Settings); err != nil {
			return jobs.Plan{}, err
		}
	}
	if in.Include != nil || in.Exclude != nil || in.Containers != nil {
		selection := changedSelection(k.Selection, in.Include, in.Exclude, in.Containers)
		o.Selection = &selection
	}
	return s.cfg.Admin.Runner.PlanSync(c.Request().Context(), k, o)
}

// changedSettings are the settings of a connection with changes.
//
// SECURITY: what a source of this machine reads is not moved from afar.
func changedSettings(spec connectors.Spec, k store.Connection, changes map[string]string) (map[string]string, error) {
	if spec.Provider == "" {
		return nil, invalid("settings", "settings: those of a source of this machine stay; make another connection")
	}
	return settingsOf(spec, k.Settings, changes)
}

// changedSelection is a selection with the lists that are named in place of its own.
func changedSelection(sel connectors.Selection, include, exclude, containers *[]string) connectors.Selection {
	for to, list := range map[*[]string]*[]string{&sel.Include: include, &sel.Exclude: exclude, &sel.Containers: containers} {
		if list != nil {
			*to = *list
		}
	}
	return sel
}
