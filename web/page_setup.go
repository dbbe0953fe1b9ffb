package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/jobs"
	"tributary/store"
	"tributary/web/pages"
)

// firstNow is the value of the field first of a form whose connection syncs at once: one that the command line or the
// API asked for.
const firstNow = "now"

// setsUp reports whether connections that are made in the pages wait for their first sync until somebody starts it: where
// the pages of the steps to it are served.
func (s *Server) setsUp() bool { return s.cfg.Admin != nil }

// nextStep is the page on which the set-up of a connection goes on.
func (s *Server) nextStep(k store.Connection) string {
	spec, _ := s.sourceNamed(k.Source)
	return pages.NextStep(k, spec.Has(connectors.CanChoose) && s.cfg.OAuth.Chooser != nil)
}

// Bounds of a plan that a page shows. A look reads for a moment, a long one for as long as a request may.
const (
	lookTime   = 10 * time.Second
	longTime   = 40 * time.Second
	lookOpens  = 8 * time.Second
	lookSample = 20
	lookItems  = 10
)

// planPage shows what a sync would do, and who could read what is new. It keeps nothing of what it reads.
func (s *Server) planPage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	spec, ok := s.sourceNamed(k.Source)
	if !ok || k.Source == store.PushSource || k.State == store.StateClosing {
		return problem(http.StatusNotFound, codeNotFound, "a sync of this connection cannot be planned: nothing is read from its source")
	}
	v := pages.PlanView{Spec: spec, Long: c.QueryParam("read") == "long"}
	if v.Head, err = s.connectionHead(c, k, pages.StepPlan); err != nil {
		return err
	}
	o := jobs.PlanOptions{Items: lookItems, Sample: lookSample, SampleTime: lookOpens, Time: lookTime}
	if v.Long {
		o.Time = longTime
	}
	ctx, cancel := context.WithTimeout(c.Request().Context(), o.Time+o.SampleTime+10*time.Second)
	defer cancel()
	plan, err := s.cfg.Admin.Runner.PlanSync(ctx, k, o)
	if c.Request().Context().Err() != nil {
		return c.Request().Context().Err()
	}
	if err == nil {
		v.Plan = &plan
		return render(c, http.StatusOK, pages.Planned(s.frame(c, "Plan of "+k.Name), v))
	}
	if v.Failure = planFailure(spec, k, err); v.Failure == nil {
		return err
	}
	return render(c, http.StatusUnprocessableEntity, pages.Planned(s.frame(c, "Plan of "+k.Name), v))
}

// planFailure says why there is no plan, nil where that is for nobody who looks.
func planFailure(spec connectors.Spec, k store.Connection, err error) *pages.PlanFailure {
	f := &pages.PlanFailure{Sent: "a listing of what " + k.Name + " syncs, to " + spec.Name, Grant: k.GrantID != nil}
	if errors.Is(err, context.DeadlineExceeded) {
		f.Came, f.Remedy = "no answer in time", "Look again, or plan it without a limit of time: tributary plan "+k.Name
		return f
	}
	read := oauthProblem
	if spec.Provider == "" {
		read = localProblem
	}
	text, ok := read(err)
	if !ok {
		return nil
	}
	f.Came = sentence(text)
	switch connectors.ClassOf(err) {
	case connectors.GrantLost, connectors.ClientRejected:
		f.Again, f.Remedy = f.Grant, "The provider does not accept the tokens any more: grant again, and come back to this page."
	case connectors.ScopeDenied:
		f.Again, f.Remedy = f.Grant, "The account may not read that, or a permission was not granted: grant again with every permission ticked, or choose something else."
	case connectors.RateLimited:
		f.Remedy = "The source asks to wait: look again in some minutes. A sync waits by itself."
	case connectors.Invalid:
		f.Remedy = "Correct what is named there: at the source, or what this connection syncs. A folder is made anew with another path."
	default:
		f.Remedy = "Look again. If it stays so, see whether the source can be reached from the server."
	}
	return f
}

// startPage is the last step of a set-up: what was chosen, and the button that starts the first sync.
func (s *Server) startPage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	if !k.SettingUp() {
		return seeOther(c, "/connections/"+k.Name, "")
	}
	return s.showStart(c, http.StatusOK, k, "")
}

func (s *Server) showStart(c echo.Context, status int, k store.Connection, text string) error {
	var v pages.StartView
	var err error
	v.Spec, _ = s.sourceNamed(k.Source)
	if v.Head, err = s.connectionHead(c, k, pages.StepStart); err != nil {
		return err
	}
	if v.Timetable, err = s.cfg.Admin.Store.Timetable(c.Request().Context(), k.ID); err != nil {
		return err
	}
	return render(c, status, pages.Start(s.showProblem(c, "First sync of "+k.Name, text), v))
}

// startFirst finishes a set-up: the connection is resumed, and a run of each lane asked for. Where the second fails, the
// schedules are due at once.
func (s *Server) startFirst(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	if _, err := formValues(c); err != nil {
		return err
	}
	if !k.SettingUp() {
		return seeOther(c, "/connections/"+k.Name, "")
	}
	if err := s.pauseConnection(false)(c, k); err != nil {
		return err
	}
	if k, err = s.connectionOf(c); err == nil {
		_, err = s.requestLanes(c, k, store.Lanes())
	}
	if text, ok := oauthProblem(err); ok && err != nil {
		return s.showConnection(c, http.StatusUnprocessableEntity, k, text)
	}
	if err != nil {
		return err
	}
	return seeOther(c, "/connections/"+k.Name, "first-sync")
}
