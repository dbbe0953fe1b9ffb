package web

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"tributary/store"
)

// adminPrincipalRoutes are those of the people and groups that sources tell. They only read: who is in a group is said at the
// source.
func (s *Server) adminPrincipalRoutes() []route {
	const get = http.MethodGet
	return []route{
		operation(get, "/groups", accessTokenAuditor, s.adminListGroups),
		operation(get, "/principals/:id", accessTokenAuditor, s.adminGetPrincipal),
		operation(get, "/principals/:id/members", accessTokenAuditor, s.adminListMembers),
		operation(get, "/principals/:id/groups", accessTokenAuditor, s.adminListGroupsOf),
	}
}

type groupsQuery struct {
	pageQuery

	// Connection narrows to the realm of one, and members to those that it knows.
	Connection string `query:"connection"`
	// Find is a part of the name or the id.
	Find string `query:"find"`
}

// adminListGroups lists the groups of sources, those that were first seen last first.
func (s *Server) adminListGroups(c echo.Context, in groupsQuery) (Page[store.ListedPrincipal], error) {
	f := store.GroupFilter{Find: cut(in.Find)}
	if in.Connection != "" {
		k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), in.Connection)
		if err != nil {
			return Page[store.ListedPrincipal]{}, noConnection(err)
		}
		f.Connection = k.ID
	}
	return numbered(in.pageQuery, func(after int64, limit int) ([]store.ListedPrincipal, error) {
		f.After, f.Limit = after, limit
		return s.cfg.Admin.Store.Groups(c.Request().Context(), f)
	}, principalNumber)
}

func principalNumber(p store.ListedPrincipal) int64 { return p.ID }

// adminGetPrincipal answers with a person or a group, and with who it is here.
func (s *Server) adminGetPrincipal(c echo.Context, _ nothing) (PrincipalAnswer, error) {
	p, err := s.principalOf(c, c.Param("id"))
	if err != nil {
		return PrincipalAnswer{}, err
	}
	out := PrincipalAnswer{PrincipalView: p, Readers: []LinkedReader{}}
	readers, err := s.cfg.Admin.Store.ReadersOf(c.Request().Context(), p.ID, shownOfPrincipal)
	for _, r := range readers {
		out.Readers = append(out.Readers, LinkedReader{r.ID, r.Name, r.Kind, r.DisabledAt})
	}
	return out, err
}

// adminListMembers lists who is in a group directly.
func (s *Server) adminListMembers(c echo.Context, in pageQuery) (Page[store.ListedPrincipal], error) {
	p, err := s.principalOf(c, c.Param("id"))
	if err != nil {
		return Page[store.ListedPrincipal]{}, err
	}
	return numbered(in, func(after int64, limit int) ([]store.ListedPrincipal, error) {
		return s.cfg.Admin.Store.Members(c.Request().Context(), p.ID, after, limit)
	}, principalNumber)
}

// adminListGroupsOf lists the groups that somebody is in directly.
func (s *Server) adminListGroupsOf(c echo.Context, in pageQuery) (Page[store.ListedPrincipal], error) {
	p, err := s.principalOf(c, c.Param("id"))
	if err != nil {
		return Page[store.ListedPrincipal]{}, err
	}
	return numbered(in, func(after int64, limit int) ([]store.ListedPrincipal, error) {
		return s.cfg.Admin.Store.GroupsOf(c.Request().Context(), p.ID, after, limit)
	}, principalNumber)
}
