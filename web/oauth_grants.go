package web

import (
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// grantOf reads the grant that the path names.
func (s *Server) grantOf(c echo.Context) (*oauthflow.GrantView, error) {
	id, ok := idOf(c)
	if !ok {
		return nil, noGrant()
	}
	g, err := s.cfg.OAuth.Store.GrantByID(c.Request().Context(), id)
	if err != nil {
		return nil, err
	}
	if g == nil {
		return nil, noGrant()
	}
	return s.cfg.OAuth.Grants.Get(c.Request().Context(), id)
}

func noGrant() *Problem {
	return problem(http.StatusNotFound, codeNotFound, "there is no such grant; the page Grants lists them")
}

// grantsPage lists the grants.
func (s *Server) grantsPage(c echo.Context) error {
	ctx := c.Request().Context()
	o := s.cfg.OAuth
	list, err := o.Grants.List(ctx)
	if err != nil {
		return err
	}
	registrations, err := o.Store.Registrations(ctx)
	if err != nil {
		return err
	}
	connections, err := o.Store.Connections(ctx)
	if err != nil {
		return err
	}
	names := map[uuid.UUID]string{}
	for _, r := range registrations {
		names[r.ID] = r.Name
	}
	v := pages.GrantsView{MayAct: mayAct(c, store.RoleAdmin), First: c.QueryParam("after") == ""}
	if at := slices.IndexFunc(list, func(g oauthflow.Grant) bool { return g.ID.String() == c.QueryParam("after") }); at >= 0 {
		list = list[at+1:]
	}
	if len(list) > perPage {
		list = list[:perPage]
		v.Next = nextPage("/grants", list[perPage-1].ID.String())
	}
	if v.Now, err = o.Store.Now(ctx); err != nil {
		return err
	}
	for _, g := range list {
		row := pages.GrantRow{Grant: g, Registration: names[g.RegistrationID]}
		for _, k := range connections {
			if k.GrantID != nil && *k.GrantID == g.ID {
				row.Connections = append(row.Connections, k.Name)
			}
		}
		v.Rows = append(v.Rows, row)
	}
	return render(c, http.StatusOK, pages.Grants(s.frame(c, "Grants"), v))
}

// grantPage shows one grant.
func (s *Server) grantPage(c echo.Context) error {
	g, err := s.grantOf(c)
	if err != nil {
		return err
	}
	return s.showGrant(c, http.StatusOK, g, "", nil)
}

func (s *Server) showGrant(c echo.Context, status int, g *oauthflow.GrantView, text string, seen *oauthflow.Outcome) error {
	now, err := s.cfg.OAuth.Store.Now(c.Request().Context())
	if err != nil {
		return err
	}
	v := pages.GrantPageView{Grant: g, Outcome: seen, Now: now, MayAct: mayAct(c, store.RoleAdmin)}
	return render(c, status, pages.Grant(s.showProblem(c, "Grant", text), v))
}

// grantFailed shows what is wrong on the page of the grant, as it is now.
func (s *Server) grantFailed(c echo.Context, g *oauthflow.GrantView, err error) error {
	text, ok := oauthProblem(err)
	if !ok {
		return err
	}
	if fresh, err := s.cfg.OAuth.Grants.Get(c.Request().Context(), g.ID); err == nil {
		g = fresh
	}
	return s.showGrant(c, http.StatusUnprocessableEntity, g, text, nil)
}

func (s *Server) recordGrant(c echo.Context, action string, id uuid.UUID) error {
	return s.cfg.OAuth.Store.Record(c.Request().Context(), audit.Event{
		Actor: actor(c), Action: action, Target: audit.Target{Kind: "grant", ID: id.String()}, Outcome: audit.OK,
	})
}

// actOnGrant reads the grant and a form without fields, and records the act before it happens.
func (s *Server) actOnGrant(c echo.Context, action string) (*oauthflow.GrantView, error) {
	g, err := s.grantOf(c)
	if err != nil {
		return nil, err
	}
	if _, err := formValues(c); err != nil {
		return nil, err
	}
	return g, s.recordGrant(c, action, g.ID)
}

// checkGrant asks the provider with a valid token whose account it is.
func (s *Server) checkGrant(c echo.Context) error {
	g, err := s.actOnGrant(c, "grant.check")
	if err != nil {
		return err
	}
	seen, err := s.cfg.OAuth.Grants.Check(c.Request().Context(), g.ID, "", nil)
	if err != nil {
		return s.grantFailed(c, g, err)
	}
	if fresh, err := s.cfg.OAuth.Grants.Get(c.Request().Context(), g.ID); err == nil {
		g = fresh
	}
	return s.showGrant(c, http.StatusOK, g, "", seen)
}

// refreshGrant obtains new tokens, whether or not they are due.
func (s *Server) refreshGrant(c echo.Context) error {
	g, err := s.actOnGrant(c, "grant.refresh")
	if err != nil {
		return err
	}
	if _, err := s.cfg.OAuth.Refresher.Refresh(c.Request().Context(), g.ID); err != nil {
		return s.grantFailed(c, g, err)
	}
	return seeOther(c, "/grants/"+g.ID.String(), "refreshed")
}

// revokeGrant ends a grant; the connections that use it wait for consent.
func (s *Server) revokeGrant(c echo.Context) error {
	g, err := s.grantOf(c)
	if err != nil {
		return err
	}
	if _, err := formValues(c); err != nil {
		return err
	}
	closed, err := s.cfg.OAuth.Grants.Revoke(c.Request().Context(), s.by(c), g.ID)
	if err != nil {
		return s.grantFailed(c, g, err)
	}
	if !closed.Done {
		return seeOther(c, "/grants/"+g.ID.String(), "revoking")
	}
	return seeOther(c, "/grants/"+g.ID.String(), "revoked")
}

// expireGrant sets when a grant ends.
func (s *Server) expireGrant(c echo.Context) error {
	g, err := s.grantOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "at", "then")
	if err != nil {
		return err
	}
	at, then, err := s.readExpiry(c, f)
	if err == nil {
		err = s.cfg.OAuth.Grants.SetExpiry(c.Request().Context(), s.by(c), g.ID, at, then)
	}
	if input, ok := errors.AsType[*store.InputError](err); ok {
		return s.showGrant(c, http.StatusUnprocessableEntity, g, input.Error(), nil)
	}
	if err != nil {
		return err
	}
	return seeOther(c, "/grants/"+g.ID.String(), "expiry")
}
