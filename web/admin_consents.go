package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/store"
)

// adminRegistrationFor returns the registration that was named, or the only one that the source can use.
func (s *Server) adminRegistrationFor(c echo.Context, spec connectors.Spec, name string) (*oauthflow.Registration, error) {
	list, err := s.cfg.OAuth.Store.Registrations(c.Request().Context())
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(r oauthflow.Registration) bool {
		return r.State == oauthflow.RegistrationDraft || !spec.Accepts(r.Profile.Name) || name != "" && r.Name != name && r.ID.String() != name
	})
	switch len(list) {
	case 0:
		return nil, invalid("registration", "registration: there is no such registration that is complete and that "+spec.Name+" can use; GET "+adminPrefix+"/registrations lists them")
	case 1:
		return &list[0], nil
	}
	return nil, invalid("registration", "registration: there are several, name one")
}

func (s *Server) adminConsent(c echo.Context, p oauthflow.StartParams) (*ConsentAnswer, error) {
	link, expires, err := s.cfg.OAuth.Flows.MakeTicket(c.Request().Context(), p)
	if err != nil {
		return nil, err
	}
	return &ConsentAnswer{Link: link.Reveal(), ExpiresAt: expires.UTC()}, nil
}

// adminGrantConnectionAgain answers with the link of another consent for a connection.
func (s *Server) adminGrantConnectionAgain(c echo.Context, _ nothing) (*ConsentAnswer, error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return nil, err
	}
	spec, ok := s.sourceNamed(k.Source)
	if !ok || spec.Provider == "" {
		return nil, problem(http.StatusConflict, codeConflict, "nobody consents to a source of this machine")
	}
	p := oauthflow.StartParams{By: s.by(c), Plan: oauthflow.Plan{Connection: k.ID, Name: k.Name, Source: k.Source}}
	if k.GrantID == nil {
		r, err := s.adminRegistrationFor(c, spec, "")
		if err != nil {
			return nil, err
		}
		p.Registration, p.Plan.Needed = r.ID, neededScopes(spec, r.Profile, k.Settings)
		return s.adminConsent(c, p)
	}
	g, err := s.cfg.OAuth.Grants.Get(c.Request().Context(), *k.GrantID)
	if err != nil {
		return nil, err
	}
	if g.Kind != oauthflow.GrantCode {
		return nil, problem(http.StatusConflict, codeConflict, fmt.Sprintf("its grant is of kind %s, to which nobody consents: connect it anew", g.Kind))
	}
	p.Registration, p.Grant, p.Scopes, p.Plan.Needed = g.RegistrationID, g.ID, slices.Clone(g.Asked), neededScopes(spec, g.Registration.Profile, k.Settings)
	return s.adminConsent(c, p)
}

type choicesQuery struct {
	Parent string `query:"parent"`
	Skip   int    `query:"skip"`
	Limit  int    `query:"limit"`
}

// adminChoices lists what can be chosen at the source of a connection.
func (s *Server) adminChoices(c echo.Context, in choicesQuery) (ChoicesAnswer, error) {
	k, _, err := s.choosable(c)
	if err != nil {
		return ChoicesAnswer{}, err
	}
	limit, err := limitOf(in.Limit)
	if err != nil {
		return ChoicesAnswer{}, err
	}
	if in.Skip < 0 {
		return ChoicesAnswer{}, invalid("skip", "skip: must be 0 or more")
	}
	list, more, err := s.cfg.OAuth.Chooser.Choices(c.Request().Context(), k, in.Parent, in.Skip, limit)
	return ChoicesAnswer{Items: list, More: more}, err
}

// adminSkipped lists what a connection lists and does not ingest.
func (s *Server) adminSkipped(c echo.Context, in pageQuery) (Page[store.SkippedItem], error) {
	k, err := s.connectionOf(c)
	if err != nil {
		return Page[store.SkippedItem]{}, err
	}
	list, err := s.cfg.Admin.Store.Skipped(c.Request().Context(), k.ID)
	if err != nil {
		return Page[store.SkippedItem]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(i store.SkippedItem) string { return strings.ToValidUTF8(i.ExternalID, "") })
}
