package web

import (
	"errors"
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"tributary/oauthflow"
	"tributary/store"
)

func (s *Server) adminGrantRoutes() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		operation(get, "/grants", accessTokenAuditor, s.adminListGrants),
		operation(get, "/grants/:id", accessTokenAuditor, s.adminGetGrant),
		calling(operation(post, "/grants/:id/check", accessTokenAdmin, s.adminCheckGrant)),
		calling(operation(post, "/grants/:id/refresh", accessTokenAdmin, s.adminRefreshGrant)),
		calling(operation(post, "/grants/:id/revoke", accessTokenAdmin, s.adminRevokeGrant)),
		operation(http.MethodPut, "/grants/:id/expiry", accessTokenAdmin, s.adminExpireGrant),
		operation(post, "/grants/:id/grant-again", accessTokenAdmin, s.adminGrantAgain),
	}
}

func (s *Server) adminRegistrationRoutes() []route {
	return []route{
		operation(http.MethodGet, "/registrations", accessTokenAuditor, s.adminListRegistrations),
		operation(http.MethodGet, "/registrations/:id", accessTokenAuditor, s.adminGetRegistration),
		calling(operation(http.MethodPost, "/registrations/:id/check", accessTokenAdmin, s.adminCheckRegistration)),
		operation(http.MethodDelete, "/registrations/:id", accessTokenAdmin, s.adminDeleteRegistration),
	}
}

// adminListGrants lists the grants by id.
func (s *Server) adminListGrants(c echo.Context, in pageQuery) (Page[GrantAnswer], error) {
	ctx := c.Request().Context()
	list, err := s.cfg.OAuth.Grants.List(ctx)
	if err != nil {
		return Page[GrantAnswer]{}, err
	}
	registrations, err := s.cfg.OAuth.Store.Registrations(ctx)
	if err != nil {
		return Page[GrantAnswer]{}, err
	}
	connections, err := s.cfg.OAuth.Store.Connections(ctx)
	if err != nil {
		return Page[GrantAnswer]{}, err
	}
	out := []GrantAnswer{}
	for _, g := range list {
		name := ""
		if i := slices.IndexFunc(registrations, func(r oauthflow.Registration) bool { return r.ID == g.RegistrationID }); i >= 0 {
			name = registrations[i].Name
		}
		answer := grantAnswer(g, name)
		for _, k := range connections {
			if k.GrantID != nil && *k.GrantID == g.ID {
				answer.Connections = append(answer.Connections, k.Name)
			}
		}
		out = append(out, answer)
	}
	return pageOf(out, in.Limit, in.Cursor, func(g GrantAnswer) string { return g.ID.String() })
}

func grantAnswer(g oauthflow.Grant, registration string) GrantAnswer {
	state := g.Health.State
	if g.ClosedAt != nil {
		state = "closed"
	}
	return GrantAnswer{
		ID: g.ID, Registration: registration, Kind: g.Kind, Account: g.Account, Subject: g.Subject, State: state, StateSince: g.Health.StateSince,
		Problem: g.Health.FailNote, Scopes: append([]string{}, g.Scopes...), Connections: []string{}, ConsentedAt: g.ConsentedAt,
		AccessExpires: g.Health.AccessExpires, IdleExpires: g.Health.IdleExpires, AbsoluteExpires: g.Health.AbsoluteExpires,
		ExpiresAt: g.ExpiresAt, AtExpiry: g.AtExpiry, ClosedAt: g.ClosedAt, CloseNote: g.CloseNote,
	}
}

func (s *Server) adminGetGrant(c echo.Context, _ nothing) (GrantAnswer, error) {
	g, err := s.grantOf(c)
	if err != nil {
		return GrantAnswer{}, err
	}
	out := grantAnswer(g.Grant, g.Registration.Name)
	out.Missing = g.Missing
	for _, k := range g.Connections {
		out.Connections = append(out.Connections, k.Name)
	}
	return out, nil
}

// adminCheckGrant asks the provider with a valid token whose account it is.
func (s *Server) adminCheckGrant(c echo.Context, _ nothing) (CheckAnswer, error) {
	g, err := s.grantOf(c)
	if err == nil {
		err = s.recordGrant(c, "grant.check", g.ID)
	}
	if err != nil {
		return CheckAnswer{}, err
	}
	seen, err := s.cfg.OAuth.Grants.Check(c.Request().Context(), g.ID, "", nil)
	if err != nil {
		return CheckAnswer{}, err
	}
	return CheckAnswer{Address: seen.Address, Status: seen.Status, OK: seen.OK, Account: seen.Account, Remedy: seen.Remedy}, nil
}

// adminRefreshGrant obtains new tokens, whether or not they are due.
func (s *Server) adminRefreshGrant(c echo.Context, _ nothing) (GrantAnswer, error) {
	g, err := s.grantOf(c)
	if err == nil {
		err = s.recordGrant(c, "grant.refresh", g.ID)
	}
	if err == nil {
		_, err = s.cfg.OAuth.Refresher.Refresh(c.Request().Context(), g.ID)
	}
	if err != nil {
		return GrantAnswer{}, err
	}
	return s.adminGetGrant(c, nothing{})
}

// adminRevokeGrant ends a grant. One that has ended is answered as it is.
func (s *Server) adminRevokeGrant(c echo.Context, _ nothing) (ClosedAnswer, error) {
	g, err := s.grantOf(c)
	if err != nil {
		return ClosedAnswer{}, err
	}
	if g.ClosedAt != nil {
		return ClosedAnswer{Done: true, Note: g.CloseNote}, nil
	}
	closed, err := s.cfg.OAuth.Grants.Revoke(c.Request().Context(), s.by(c), g.ID)
	if err != nil {
		return ClosedAnswer{}, err
	}
	return closedAnswer(closed), nil
}

func (s *Server) adminExpireGrant(c echo.Context, in ExpiryRequest) (GrantAnswer, error) {
	g, err := s.grantOf(c)
	if err == nil {
		err = s.checkExpiry(c, in)
	}
	if err == nil {
		err = s.cfg.OAuth.Grants.SetExpiry(c.Request().Context(), s.by(c), g.ID, in.At, in.Then)
	}
	if err != nil {
		return GrantAnswer{}, err
	}
	return s.adminGetGrant(c, nothing{})
}

// adminGrantAgain answers with the link of a consent that renews a grant, for all its connections.
func (s *Server) adminGrantAgain(c echo.Context, _ nothing) (*ConsentAnswer, error) {
	g, err := s.grantOf(c)
	if err != nil {
		return nil, err
	}
	p := oauthflow.StartParams{Registration: g.RegistrationID, By: s.by(c), Grant: g.ID, Scopes: slices.Clone(g.Asked)}
	for _, k := range g.Connections {
		p.Scopes = append(p.Scopes, k.Needed...)
	}
	return s.adminConsent(c, p)
}

// adminListRegistrations lists the registrations by name.
func (s *Server) adminListRegistrations(c echo.Context, in pageQuery) (Page[RegistrationAnswer], error) {
	list, err := s.cfg.OAuth.Store.Registrations(c.Request().Context())
	if err != nil {
		return Page[RegistrationAnswer]{}, err
	}
	warnings, err := s.cfg.OAuth.Registrations.Warnings(c.Request().Context())
	if err != nil {
		return Page[RegistrationAnswer]{}, err
	}
	out := []RegistrationAnswer{}
	for _, r := range list {
		out = append(out, registrationAnswer(&r, warnings))
	}
	return pageOf(out, in.Limit, in.Cursor, func(r RegistrationAnswer) string { return r.Name })
}

func registrationAnswer(r *oauthflow.Registration, warnings []oauthflow.Warning) RegistrationAnswer {
	out := RegistrationAnswer{
		ID: r.ID, Name: r.Name, Provider: r.Provider, State: r.State, StateReason: r.StateReason, BaseURL: r.BaseURL, RedirectURI: r.RedirectURI,
		Hosts: append([]string{}, r.Profile.Hosts()...), AllowHosts: r.AllowHosts, ClientID: r.ClientID, Subject: r.Subject,
		Credentials: append([]oauthflow.CredentialKind{}, r.CredentialKinds...), ExpiresAt: r.CredentialExpiresAt, Grants: append([]oauthflow.GrantType{}, r.Profile.Grants...),
	}
	for _, w := range warnings {
		if w.Registration.ID == r.ID {
			out.Warnings = append(out.Warnings, w.Text)
		}
	}
	return out
}

// adminRegistrationOf returns the registration that the path names by id or name.
func (s *Server) adminRegistrationOf(c echo.Context) (*oauthflow.Registration, error) {
	r, err := s.cfg.OAuth.Store.RegistrationNamed(c.Request().Context(), c.Param("id"))
	if err == nil && r == nil || errors.Is(err, store.ErrNotFound) {
		err = problem(http.StatusNotFound, codeNotFound, "there is no such registration; the list of registrations has their names")
	}
	return r, err
}

func (s *Server) adminGetRegistration(c echo.Context, _ nothing) (RegistrationAnswer, error) {
	r, err := s.adminRegistrationOf(c)
	if err != nil {
		return RegistrationAnswer{}, err
	}
	warnings, err := s.cfg.OAuth.Registrations.Warnings(c.Request().Context())
	return registrationAnswer(r, warnings), err
}

// adminCheckRegistration looks at the provider whether the client is accepted.
func (s *Server) adminCheckRegistration(c echo.Context, _ nothing) (ChecksAnswer, error) {
	r, err := s.adminRegistrationOf(c)
	if err != nil {
		return ChecksAnswer{}, err
	}
	checks, err := s.cfg.OAuth.Registrations.Check(c.Request().Context(), r.ID)
	return ChecksAnswer{Checks: append([]oauthflow.Check{}, checks...)}, err
}

func (s *Server) adminDeleteRegistration(c echo.Context, _ nothing) (nothing, error) {
	r, err := s.adminRegistrationOf(c)
	if err != nil {
		return nothing{}, err
	}
	return nothing{}, s.cfg.OAuth.Registrations.Delete(c.Request().Context(), s.by(c), r.ID)
}
