package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/oauthflow"
	"tributary/store"
)

// adminInstanceRoutes are those of what the whole instance has.
func (s *Server) adminInstanceRoutes() []route {
	const get = http.MethodGet
	return []route{
		operation(get, "/workers", accessTokenAuditor, s.adminWorkers),
		operation(get, "/audit", accessTokenAuditor, s.adminAudit),
		operation(get, "/audit/reads", accessTokenAuditor, s.adminReads),
		operation(get, "/profiles", accessTokenAuditor, s.adminProfiles),
		operation(http.MethodPost, "/profiles/:name/activate", accessTokenOwner, s.adminActivateProfile),
		operation(get, "/providers", accessTokenAuditor, s.adminProviders),
		operation(get, "/sources", accessTokenAuditor, s.adminSources),
	}
}

type auditQuery struct {
	pageQuery

	Action string    `query:"action"`
	Actor  string    `query:"actor"`
	Target string    `query:"target"`
	Since  time.Time `query:"since"`
	Until  time.Time `query:"until"`
}

// adminAudit is the audit log, the newest events first.
func (s *Server) adminAudit(c echo.Context, in auditQuery) (Page[audit.Event], error) {
	return numbered(in.pageQuery, func(before int64, limit int) ([]audit.Event, error) {
		return s.cfg.OAuth.Store.AuditEvents(c.Request().Context(), store.AuditFilter{
			Action: in.Action, Actor: in.Actor, Target: in.Target, Since: in.Since, Until: in.Until, Before: before, Limit: limit,
		})
	}, func(e audit.Event) int64 { return e.ID })
}

type readsQuery struct {
	pageQuery

	Document string    `query:"document"`
	Reader   string    `query:"reader"`
	Since    time.Time `query:"since"`
	Until    time.Time `query:"until"`
}

// adminReads is who read what, the newest reads first.
func (s *Server) adminReads(c echo.Context, in readsQuery) (Page[store.Read], error) {
	f := store.ReadFilter{Reader: in.Reader, Since: in.Since, Until: in.Until}
	if in.Document != "" {
		var err error
		if f.Document, err = uuid.Parse(in.Document); err != nil {
			return Page[store.Read]{}, invalid("document", "document: must be the id of a document")
		}
	}
	page, err := numbered(in.pageQuery, func(before int64, limit int) ([]store.Read, error) {
		f.Before, f.Limit = before, limit
		return s.cfg.Admin.Store.Reads(c.Request().Context(), f)
	}, func(r store.Read) int64 { return r.ID })
	if errors.Is(err, store.ErrNotFound) {
		err = problem(http.StatusNotFound, codeNotFound, "there is no such reader; the list of readers has their names")
	}
	return page, err
}

// adminProfiles lists the embedding profiles by name.
func (s *Server) adminProfiles(c echo.Context, in pageQuery) (Page[ProfileAnswer], error) {
	list, err := s.cfg.Admin.Store.Profiles(c.Request().Context())
	if err != nil {
		return Page[ProfileAnswer]{}, err
	}
	out := []ProfileAnswer{}
	for _, p := range list {
		n, err := s.cfg.Admin.Store.ProfileProgress(c.Request().Context(), p)
		if err != nil {
			return Page[ProfileAnswer]{}, err
		}
		out = append(out, ProfileAnswer{p, n.Pending, n.Failed, n.Vectors})
	}
	return pageOf(out, in.Limit, in.Cursor, func(p ProfileAnswer) string { return p.Name })
}

// adminActivateProfile lets a profile answer questions from the next one on.
func (s *Server) adminActivateProfile(c echo.Context, in ActivateRequest) (nothing, error) {
	name := c.Param("name")
	err := s.cfg.Admin.Store.ActivateProfile(c.Request().Context(), name, in.Force, adminEvent(c, "profile.activate", "profile", name, map[string]string{"name": name}))
	if errors.Is(err, store.ErrNotFound) {
		err = problem(http.StatusNotFound, codeNotFound, "there is no such profile; the list of profiles has their names")
	}
	return nothing{}, err
}

// adminWorkers lists the processes that work on jobs.
func (s *Server) adminWorkers(c echo.Context, in pageQuery) (Page[store.WorkerProcess], error) {
	list, err := s.cfg.Admin.Store.Workers(c.Request().Context())
	if err != nil {
		return Page[store.WorkerProcess]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(w store.WorkerProcess) string { return w.Name })
}

func (s *Server) adminProviders(_ echo.Context, in pageQuery) (Page[ProviderAnswer], error) {
	out := []ProviderAnswer{}
	for _, p := range s.cfg.OAuth.Providers {
		out = append(out, ProviderAnswer{Name: p.Name, Title: p.Title, Grants: append([]oauthflow.GrantType{}, p.Grants...)})
	}
	return pageOf(out, in.Limit, in.Cursor, func(p ProviderAnswer) string { return p.Name })
}

func (s *Server) adminSources(_ echo.Context, in pageQuery) (Page[SourceAnswer], error) {
	out := []SourceAnswer{}
	for _, spec := range s.cfg.OAuth.Sources {
		answer := SourceAnswer{Source: spec.Source, Name: spec.Name, Description: spec.Description, Category: spec.Category, Provider: spec.Provider, Settings: []string{}}
		for _, set := range spec.Settings {
			answer.Settings = append(answer.Settings, set.Name)
		}
		out = append(out, answer)
	}
	return pageOf(out, in.Limit, in.Cursor, func(a SourceAnswer) string { return a.Source })
}
