package web

import (
	"net/http"
	"slices"

	"github.com/labstack/echo/v4"

	"tributary/oauthflow"
)

// grantConnectionAgain starts a consent for a connection, in place of the grant that it has.
func (s *Server) grantConnectionAgain(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "other")
	if err != nil {
		return err
	}
	if k.GrantID == nil {
		return c.Redirect(http.StatusSeeOther, "/connect?connection="+k.Name)
	}
	g, err := s.cfg.OAuth.Grants.Get(c.Request().Context(), *k.GrantID)
	if err != nil {
		return err
	}
	if g.Kind != oauthflow.GrantCode {
		// Nobody consents: the form obtains another.
		return c.Redirect(http.StatusSeeOther, "/connect?source="+k.Source+"&registration="+g.RegistrationID.String()+"&connection="+k.Name)
	}
	plan := oauthflow.Plan{Connection: k.ID, Name: k.Name, Source: k.Source, Needed: k.NeededScopes, OtherAccount: f["other"] == "yes"}
	if spec, ok := s.sourceNamed(k.Source); ok {
		plan.Needed = neededScopes(spec, g.Registration.Profile, k.Settings)
	}
	return s.consentAgain(c, g, plan, "/connections/"+k.Name)
}

// grantAgain starts a consent that renews a grant, for all its connections.
func (s *Server) grantAgain(c echo.Context) error {
	g, err := s.grantOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "other")
	if err != nil {
		return err
	}
	return s.consentAgain(c, g, oauthflow.Plan{OtherAccount: f["other"] == "yes"}, "/grants/"+g.ID.String())
}

// consentAgain asks for what the grant and its connections had asked for.
func (s *Server) consentAgain(c echo.Context, g *oauthflow.GrantView, plan oauthflow.Plan, returnTo string) error {
	p := oauthflow.StartParams{Registration: g.RegistrationID, By: s.by(c), Plan: plan, Grant: g.ID, Scopes: slices.Clone(g.Asked), ReturnTo: returnTo}
	for _, k := range g.Connections {
		p.Scopes = append(p.Scopes, k.Needed...)
	}
	started, err := s.cfg.OAuth.Flows.Start(c.Request().Context(), p)
	if err != nil {
		return s.flowPage(c, err)
	}
	return s.showContinue(c, started, g.RegistrationID, orUnknown(g.Account), plan)
}

func orUnknown(account string) string {
	if account == "" {
		return "the same account"
	}
	return account
}
