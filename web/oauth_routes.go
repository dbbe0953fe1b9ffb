package web

import (
	_ "embed"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// callbackPath is where providers send people back to.
const callbackPath = "/oauth/callback/"

// oauthRoutes are the pages of registrations, consents, grants, connections and the audit log.
func (s *Server) oauthRoutes() []route {
	if s.cfg.OAuth == nil {
		return nil
	}
	list := []route{
		{method: http.MethodGet, path: callbackPath + ":registration", access: accessVisitor, handler: s.callback, calls: true},
		{method: http.MethodGet, path: "/oauth/result", access: accessVisitor, handler: s.resultPage},
		{method: http.MethodGet, path: "/audit", access: accessAuditor, handler: s.auditPage, returnable: true},
	}
	list = slices.Concat(list, s.registrationRoutes(), s.connectRoutes(), s.connectionRoutes(), s.grantRoutes())
	for i := range list {
		list[i].handler = s.explained(list[i].handler)
	}
	return list
}

// keyProblem says what is wrong with the master key, "" for nothing.
func (s *Server) keyProblem() string {
	if s.cfg.OAuth.KeyProblem == nil {
		return ""
	}
	return s.cfg.OAuth.KeyProblem()
}

// explained names the master key as the cause of what fails without another, where something is wrong with it.
func (s *Server) explained(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := next(c)
		if err == nil || problemOf(err).Status != http.StatusInternalServerError {
			return err
		}
		if text := s.keyProblem(); text != "" {
			s.cfg.Log.ErrorContext(c.Request().Context(), "acting without the master key", "request_id", requestID(c), "error", err)
			return problem(http.StatusServiceUnavailable, codeMasterKey, text)
		}
		return err
	}
}

func (s *Server) registrationRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/registrations", access: accessAuditor, handler: s.registrationsPage, returnable: true},
		{method: post, path: "/registrations", access: accessAdmin, handler: s.draftRegistration, calls: true},
		{method: get, path: "/registrations/new", access: accessAdmin, handler: s.newRegistrationPage, returnable: true},
		{method: get, path: "/registrations/:id", access: accessAuditor, handler: s.registrationPage, returnable: true},
		{method: post, path: "/registrations/:id/save", access: accessAdmin, handler: s.saveRegistration, calls: true, files: true},
		{method: post, path: "/registrations/:id/check", access: accessAdmin, handler: s.checkRegistration, calls: true},
		{method: get, path: "/registrations/:id/change", access: accessOwner, handler: s.changeRegistrationPage, returnable: true},
		{method: post, path: "/registrations/:id/change", access: accessOwner, handler: s.changeRegistration, calls: true},
		{method: post, path: "/registrations/:id/delete", access: accessAdmin, handler: s.deleteRegistration},
	}
}

func (s *Server) connectRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/connect", access: accessAdmin, handler: s.connectPage, returnable: true},
		{method: post, path: "/connect", access: accessAdmin, handler: s.connect, calls: true},
		{method: get, path: "/connect/:ticket", access: accessAdmin, handler: s.ticketPage, returnable: true},
		{method: post, path: "/connect/:ticket", access: accessAdmin, handler: s.redeemTicket},
	}
}

func (s *Server) connectionRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	list := []route{
		{method: get, path: "/connections", access: accessAuditor, handler: s.connectionsPage, returnable: true},
		{method: get, path: "/connections/:name", access: accessAuditor, handler: s.connectionPage, returnable: true},
		{method: get, path: "/connections/:name/choose", access: accessAdmin, handler: s.choosePage, calls: true, returnable: true},
		{method: post, path: "/connections/:name/choose", access: accessAdmin, handler: s.choose, calls: true},
		{method: get, path: "/connections/:name/runs", access: accessAuditor, handler: s.connectionRunsPage, returnable: true},
		{method: get, path: "/connections/:name/grant", access: accessAuditor, handler: s.connectionGrantPage, returnable: true},
		{method: post, path: "/connections/:name/revoke", access: accessAdmin, handler: s.revokeConnectionGrant, calls: true},
		{method: get, path: "/connections/:name/settings", access: accessAuditor, handler: s.settingsPage, returnable: true},
		{method: post, path: "/connections/:name/sync", access: accessAdmin, handler: s.connectionAct(s.syncConnection, "sync")},
		{method: post, path: "/connections/:name/pause", access: accessAdmin, handler: s.connectionAct(s.pauseConnection(true), "paused")},
		{method: post, path: "/connections/:name/resume", access: accessAdmin, handler: s.connectionAct(s.pauseConnection(false), "resumed")},
		{method: post, path: "/connections/:name/expiry", access: accessAdmin, handler: s.expireConnection},
		{method: post, path: "/connections/:name/link", access: accessAdmin, handler: s.connectionAct(s.linkReader, "linked"), calls: true},
		{method: post, path: "/connections/:name/grant-again", access: accessAdmin, handler: s.grantConnectionAgain},
		{method: get, path: "/connections/:name/disconnect", access: accessAdmin, handler: s.disconnectPage},
		{method: post, path: "/connections/:name/disconnect", access: accessAdmin, handler: s.disconnect, calls: true},
	}
	if s.cfg.Admin != nil {
		list = append(
			list,
			route{method: get, path: "/connections/:name/deletions", access: accessAuditor, handler: s.connectionHoldsPage, returnable: true},
			route{method: get, path: erasuresPath, access: accessAuditor, handler: s.erasuresPage, returnable: true},
			route{method: get, path: erasuresPath + "/:id", access: accessAuditor, handler: s.erasurePage, returnable: true},
		)
	}
	return list
}

func (s *Server) grantRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/grants", access: accessAuditor, handler: s.grantsPage, returnable: true},
		{method: get, path: "/grants/:id", access: accessAuditor, handler: s.grantPage, returnable: true},
		{method: post, path: "/grants/:id/check", access: accessAdmin, handler: s.checkGrant, calls: true},
		{method: post, path: "/grants/:id/refresh", access: accessAdmin, handler: s.refreshGrant, calls: true},
		{method: post, path: "/grants/:id/revoke", access: accessAdmin, handler: s.revokeGrant, calls: true},
		{method: post, path: "/grants/:id/expiry", access: accessAdmin, handler: s.expireGrant},
		{method: post, path: "/grants/:id/grant-again", access: accessAdmin, handler: s.grantAgain},
	}
}

// callTimeout is how long a page that calls a provider may take: two calls of 30 s, and what is around them.
const callTimeout = 75 * time.Second

// patient gives a page the time that calls to a provider take. Its line is of its own: a provider that is slow keeps
// nobody from the pages that only use the database.
func (s *Server) patient(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		err := http.NewResponseController(c.Response()).SetWriteDeadline(time.Now().Add(callTimeout))
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return err
		}
		return next(c)
	}
}

// by is who acts, for package oauthflow.
func (s *Server) by(c echo.Context) oauthflow.By {
	who, _ := identityOf(c)
	return oauthflow.By{Actor: actor(c), Account: who.Account.ID, Session: who.SessionID, Owner: who.MayAct(store.RoleOwner)}
}

// mayAct reports whether the page offers acts.
func mayAct(c echo.Context, role store.AccountRole) bool {
	who, _ := identityOf(c)
	return who.MayAct(role)
}

// oauthProblem returns the text of an error that somebody can do something about, on the page where it happened.
func oauthProblem(err error) (text string, ok bool) {
	if refused, ok := errors.AsType[*oauthflow.RefusedError](err); ok {
		return fieldText(refused.Field, refused.Problem), true
	}
	if plan, ok := errors.AsType[*oauthflow.PlanError](err); ok {
		return fieldText(plan.Field, plan.Problem), true
	}
	if profile, ok := errors.AsType[*oauthflow.ProfileError](err); ok {
		return profile.Error(), true
	}
	if flow, ok := errors.AsType[*oauthflow.FlowError](err); ok {
		return flow.Error() + ". " + flow.Remedy, true
	}
	if call, ok := errors.AsType[*connectors.Error](err); ok && !isOurs(err) {
		return oauthflow.CleanText(call.Error()), true
	}
	switch {
	case errors.Is(err, oauthflow.ErrOwner), errors.Is(err, oauthflow.ErrRegistrationUsed), errors.Is(err, oauthflow.ErrRegistrationChanged):
		return err.Error(), true
	case errors.Is(err, store.ErrConflict):
		return "Name: it is taken, choose another", true
	}
	return formProblem(err)
}

// isOurs reports whether the database stands behind an error. SECURITY: its texts are for the log.
func isOurs(err error) bool {
	var sqlErr interface{ SQLState() string }
	return errors.As(err, &sqlErr) || connectors.ClassOf(err) == connectors.Bug || errors.Is(err, store.ErrTimeout)
}

// fieldText names a field as its label does.
func fieldText(field, problem string) string {
	labels := map[string]string{
		"name": "Name", "client_id": "Client ID", "client_secret": "Client secret", "private_key": "Private key", "key_id": "Key ID",
		"service_account": "Service account", "base_url": "Address", "issuer": "Issuer", "allow_hosts": "Private hosts", "hosts": "Hosts", "provider": "Provider", "document": "Provider document",
	}
	if label, ok := labels[field]; ok {
		field = label
	}
	if field == "" {
		return problem
	}
	return field + ": " + problem
}

// sourceNamed returns the connector of a source, as data.
func (s *Server) sourceNamed(source string) (connectors.Spec, bool) {
	for _, spec := range s.cfg.OAuth.Sources {
		if spec.Source == source {
			return spec, true
		}
	}
	return connectors.Spec{}, false
}

// offeredScopes are what may be asked for at a provider: what it always needs, then what the sources can need there.
func offeredScopes(p *oauthflow.Profile, specs ...connectors.Spec) []oauthflow.Scope {
	out := alwaysScopes(p)
	for _, spec := range specs {
		for _, sc := range spec.Scopes {
			if len(sc.Providers) > 0 && !slices.Contains(sc.Providers, p.Name) {
				continue
			}
			reason := sc.Reason
			if len(sc.When) > 0 {
				reason += " Asked for only where a setting needs it: " + conditionsOf(sc) + "."
			}
			out = addScope(out, oauthflow.Scope{Name: sc.Name, Reason: reason})
		}
	}
	return out
}

// askedScopes are those names, and what the provider always needs, each with what it is for.
func askedScopes(p *oauthflow.Profile, spec connectors.Spec, names []string) []oauthflow.Scope {
	out := alwaysScopes(p)
	for _, name := range names {
		sc := oauthflow.Scope{Name: name}
		for _, k := range p.Scopes.Known {
			if k.Name == name {
				sc = k
			}
		}
		for _, k := range spec.Scopes {
			if k.Name == name {
				sc.Reason = k.Reason
			}
		}
		out = addScope(out, sc)
	}
	return out
}

func alwaysScopes(p *oauthflow.Profile) []oauthflow.Scope {
	return slices.DeleteFunc(slices.Clone(p.Scopes.Known), func(k oauthflow.Scope) bool { return !k.Always })
}

func addScope(list []oauthflow.Scope, sc oauthflow.Scope) []oauthflow.Scope {
	if slices.ContainsFunc(list, func(o oauthflow.Scope) bool { return o.Name == sc.Name }) {
		return list
	}
	return append(list, sc)
}

// conditionsOf writes when a scope is needed.
func conditionsOf(sc connectors.Scope) string {
	var out []string
	for _, c := range sc.When {
		out = append(out, c.Setting+" = "+c.Value)
	}
	return strings.Join(out, " or ")
}

// idOf reads an id of the path.
func idOf(c echo.Context) (uuid.UUID, bool) {
	id, err := uuid.Parse(c.Param("id"))
	return id, err == nil && len(c.Param("id")) == 36
}

// showProblem returns the frame of a page that says what is wrong.
func (s *Server) showProblem(c echo.Context, title, text string) pages.Frame {
	f := s.frame(c, title)
	f.Problem = sentence(text)
	return f
}
