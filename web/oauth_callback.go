package web

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

const resultPath = "/oauth/result"

// callback takes a provider's answer, which stands in the query, and leads to a page without it. It is the one GET that
// changes something (OA-2, OA-5 say under which conditions).
func (s *Server) callback(c echo.Context) error {
	who, err := s.currentSession(c)
	switch {
	case errors.Is(err, store.ErrUnauthenticated), err == nil && who.Account.PasswordExpiresAt != nil:
		return s.strangersCallback(c)
	case err != nil:
		return err
	}
	s.remember(c, who)
	if !who.MayAct(store.RoleAdmin) {
		return problem(http.StatusForbidden, codeForbidden, "this needs the role admin, and yours is "+string(who.Role())+": ask an owner, who can change that on the page Users")
	}
	res, err := s.cfg.OAuth.Flows.Callback(c.Request().Context(), c.Param("registration"), c.Request().URL.RawQuery, s.by(c))
	if err == nil {
		err = s.keepOutcome(c, succeeded(res))
	} else if flow, ok := errors.AsType[*oauthflow.FlowError](err); ok {
		err = s.keepOutcome(c, failed(flow))
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, resultPath)
}

// strangersCallback takes an answer without a session. Its state is used up and its code is thrown away (OA-2). What
// strangers can make the audit log hold is bounded.
func (s *Server) strangersCallback(c echo.Context) error {
	const action = "oauth.refused"
	left, ok := s.refusals.admit(action, time.Now())
	if !ok {
		p := problem(http.StatusTooManyRequests, codeThrottled, "too many answers without a session; sign in, and start the connection again in a minute")
		p.retryAfter = 60
		return p
	}
	if left > 0 {
		s.recordRefusal(context.WithoutCancel(c.Request().Context()), uncounted(actor(c), action, left))
	}
	_, err := s.cfg.OAuth.Flows.Callback(c.Request().Context(), c.Param("registration"), c.Request().URL.RawQuery, oauthflow.By{Actor: actor(c)})
	if _, ok := errors.AsType[*oauthflow.FlowError](err); !ok && err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, resultPath)
}

func succeeded(res *oauthflow.Result) outcome {
	return outcome{OK: true, Grant: res.Grant.String(), Connection: res.Name, Renewed: res.Renewed, Broader: res.Broader, ReturnTo: res.ReturnTo}
}

func failed(e *oauthflow.FlowError) outcome {
	o := outcome{Code: e.Code, Title: e.Title, Sent: e.Sent, Came: e.Came, Remedy: e.Remedy, Status: e.Status, Registration: e.RegistrationID, Grant: e.Grant, ReturnTo: e.ReturnTo}
	o.Plan = e.Plan
	return o
}

// resultPage shows how the last consent of this session ended.
func (s *Server) resultPage(c echo.Context) error {
	who, err := s.currentSession(c)
	switch {
	case errors.Is(err, store.ErrUnauthenticated), err == nil && who.Account.PasswordExpiresAt != nil:
		return s.signedOutResult(c)
	case err != nil:
		return err
	}
	s.remember(c, who)
	o, ok := s.readOutcome(c)
	switch {
	case !ok:
		return c.Redirect(http.StatusSeeOther, oauthflow.DefaultReturn)
	case o.OK:
		return s.connectedPage(c, o)
	default:
		return s.notConnectedPage(c, o)
	}
}

// signedOutResult is where an answer ends that came without a session.
func (s *Server) signedOutResult(c echo.Context) error {
	return render(c, http.StatusForbidden, pages.NotConnected(s.frame(c, "Not connected"), pages.NotConnectedView{
		Title:  "You are not signed in here",
		Came:   "an answer of the provider, in a browser without a session; it was thrown away",
		Remedy: "Sign in, and start the connection again in the same browser. If somebody sent you the link that led here, do not use it: the connection would have been theirs, with your data.",
		Button: pages.Next{Label: "Sign in", Path: "/signin?next=/connect"},
	}))
}

// connectedPage shows what a consent gave.
func (s *Server) connectedPage(c echo.Context, o outcome) error {
	ctx := c.Request().Context()
	v := pages.ConnectedView{Renewed: o.Renewed, Broader: o.Broader, Back: o.ReturnTo}
	if id, err := uuid.Parse(o.Grant); err == nil {
		g, err := s.cfg.OAuth.Grants.Get(ctx, id)
		if err != nil {
			return err
		}
		v.Grant = g
	}
	if o.Connection == "" && v.Grant != nil && len(v.Grant.Connections) == 1 {
		o.Connection = v.Grant.Connections[0].Name
	}
	if o.Connection != "" {
		k, err := s.cfg.OAuth.Store.Connection(ctx, o.Connection)
		switch {
		case err == nil:
			v.Connection = &k
			spec, _ := s.sourceNamed(k.Source)
			v.Choose = spec.Has(connectors.CanChoose) && s.cfg.OAuth.Chooser != nil
		case !errors.Is(err, store.ErrNotFound):
			return err
		}
	}
	if v.Connection != nil && v.Connection.SettingUp() && s.setsUp() {
		v.GoOn = s.nextStep(*v.Connection)
	} else if v.Connection != nil {
		runs, err := s.cfg.OAuth.Store.Runs(ctx, store.RunFilter{Connection: v.Connection.ID, Lane: store.Content, Limit: 1})
		if err != nil {
			return err
		}
		if len(runs) > 0 {
			v.Run = &runs[0]
		}
		if len(runs) == 0 || runs[0].State.Live() {
			// The page looks again by itself until the first sync has ended.
			c.Response().Header().Set("Refresh", "5")
		}
	}
	return render(c, http.StatusOK, pages.Connected(s.frame(c, "Connected"), v))
}

// flowPage shows what stopped a consent before it began.
func (s *Server) flowPage(c echo.Context, err error) error {
	flow, ok := errors.AsType[*oauthflow.FlowError](err)
	if !ok {
		return err
	}
	return s.notConnectedPage(c, failed(flow))
}

// notConnectedPage shows how a consent failed, with the one button that goes on from there.
func (s *Server) notConnectedPage(c echo.Context, o outcome) error {
	v := pages.NotConnectedView{Title: o.Title, Sent: o.Sent, Came: o.Came, Remedy: o.Remedy, Button: s.nextAct(c, o)}
	if _, err := uuid.Parse(o.Registration); err == nil {
		switch o.Code { //nolint:exhaustive // the others have nothing to do with the registration
		case oauthflow.FlowRedirectURI, oauthflow.FlowCodeRefused:
			if r, err := s.cfg.OAuth.Store.RegistrationNamed(c.Request().Context(), o.Registration); err == nil && r != nil {
				v.RedirectURI = r.RedirectURI
			}
		}
		if v.Button.Path != "/registrations/"+o.Registration {
			v.Registration = o.Registration
		}
	}
	status := o.Status
	if status < http.StatusOK || status > 599 {
		status = http.StatusBadRequest
	}
	return render(c, status, pages.NotConnected(s.frame(c, o.Title), v))
}

// nextAct is the one obvious thing to do after a failure.
func (s *Server) nextAct(c echo.Context, o outcome) pages.Next {
	_, known := uuid.Parse(o.Registration)
	switch o.Code { //nolint:exhaustive // the others start again
	case oauthflow.FlowClientRefused, oauthflow.FlowIncomplete, oauthflow.FlowNoCredential, oauthflow.FlowIssuer, oauthflow.FlowHost,
		oauthflow.FlowScopeRefused, oauthflow.FlowTokenInURL:
		if known == nil {
			return pages.Next{Label: "Open the registration", Path: "/registrations/" + o.Registration}
		}
	case oauthflow.FlowNoRegistration:
		return pages.Next{Label: "All registrations", Path: "/registrations"}
	case oauthflow.FlowMixUp:
		return pages.Next{Label: "Open the audit log", Path: "/audit?action=oauth"}
	case oauthflow.FlowOtherAccount:
		if next, ok := s.again(c, o, true); ok {
			return next
		}
	}
	if next, ok := s.again(c, o, false); ok {
		return next
	}
	return pages.Next{Label: "Start again", Path: "/connect"}
}

// again is the form that starts the same consent once more. other confirms the change to another account.
func (s *Server) again(c echo.Context, o outcome, other bool) (pages.Next, bool) {
	next := pages.Next{Label: "Start again", Post: true}
	if other {
		next.Label, next.Fields = "Change to the other account", [][2]string{{"other", "yes"}}
	}
	if p := o.Plan; p != nil && p.Connection != uuid.Nil {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), p.Connection.String())
		if err == nil && k.GrantID != nil {
			next.Path = "/connections/" + k.Name + "/grant-again"
			return next, true
		}
	}
	if _, err := uuid.Parse(o.Grant); err == nil {
		next.Path = "/grants/" + o.Grant + "/grant-again"
		return next, true
	}
	if p := o.Plan; p != nil && p.Source != "" && p.Connection == uuid.Nil {
		if _, err := uuid.Parse(o.Registration); err == nil {
			next.Path, next.Fields = "/connect", planFields(o.Registration, p)
			return next, true
		}
	}
	if p := o.Plan; p != nil && p.Source == "" && o.Registration != "" {
		return pages.Next{Label: "Open the registration", Path: "/registrations/" + o.Registration}, true
	}
	return pages.Next{}, false
}
