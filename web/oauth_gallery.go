package web

import (
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web/pages"
)

// sourcesPage offers the sources with their registrations; for a connection, those of its own source. ?q= looks for
// words of what they are called and what they provide, ?category= for what they hold.
func (s *Server) sourcesPage(c echo.Context, connection, source string) error {
	registrations, err := s.cfg.OAuth.Store.Registrations(c.Request().Context())
	if err != nil {
		return err
	}
	v := pages.SourcesView{
		Connection: connection, Roots: s.cfg.OAuth.FolderRoots, Query: cut(strings.TrimSpace(c.QueryParam("q"))), Sandbox: s.sandboxAt(),
		Category: connectors.Category(cut(c.QueryParam("category"))),
	}
	offered := slices.DeleteFunc(slices.Clone(s.cfg.OAuth.Sources), func(spec connectors.Spec) bool {
		return connection != "" && spec.Source != source || spec.Source == store.PushSource
	})
	v.Categories = connectors.CategoriesOf(offered)
	for _, spec := range offered {
		v.Add(s.choiceOf(spec, registrations))
	}
	return render(c, http.StatusOK, pages.Sources(s.underConnections(c, "Connect a source"), v))
}

// choiceOf is a source with what it can be connected through.
func (s *Server) choiceOf(spec connectors.Spec, registrations []oauthflow.Registration) pages.SourceChoice {
	choice := pages.SourceChoice{Spec: spec, Icon: sourceIcon(spec), Sandbox: spec.Source == sandboxSource}
	for _, name := range slices.Concat([]string{spec.Provider}, spec.OtherProviders) {
		if p, ok := s.cfg.OAuth.Providers[name]; ok {
			choice.Providers = append(choice.Providers, p)
		}
	}
	for _, r := range registrations {
		if spec.Accepts(r.Profile.Name) && r.State != oauthflow.RegistrationDraft {
			choice.Registrations = append(choice.Registrations, r)
		}
	}
	return choice
}

// sourceIcon is the picture of a source, or of documents where the sprite has none of that name.
func sourceIcon(spec connectors.Spec) string {
	if spec.Icon != "" && strings.Contains(iconsSVG, `<symbol id="`+spec.Icon+`"`) {
		return spec.Icon
	}
	return "documents"
}
