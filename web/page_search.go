package web

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// searchPage is where somebody signed in asks.
func (s *Server) searchPage(c echo.Context) error {
	v, err := s.searchView(c)
	if err != nil {
		return err
	}
	v.Mode, v.K = string(store.Hybrid), strconv.Itoa(store.DefaultK)
	if as := c.QueryParam("as"); as != "" && v.MayViewAs {
		r, err := s.cfg.OAuth.Store.Reader(c.Request().Context(), as)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		v.As = r.Name
	}
	return s.showSearch(c, http.StatusOK, "", v)
}

// searchView is the form of a search.
func (s *Server) searchView(c echo.Context) (pages.SearchView, error) {
	ctx := c.Request().Context()
	v := pages.SearchView{MayViewAs: mayAct(c, store.RoleOwner), Modes: modes()}
	reader, _, ok, err := s.ownReader(c)
	if err != nil {
		return v, err
	}
	if ok {
		v.Own = reader.Name
	}
	if v.MayViewAs {
		if v.Readers, err = s.cfg.Admin.Store.ReaderNames(ctx, offeredReaders); err != nil {
			return v, err
		}
	}
	list, err := s.cfg.Store.Connections(ctx)
	if err != nil {
		return v, err
	}
	for _, k := range list {
		v.Connections, v.Sources = append(v.Connections, k.Name), append(v.Sources, k.Source)
	}
	slices.Sort(v.Connections)
	slices.Sort(v.Sources)
	v.Sources = slices.Compact(v.Sources)
	v.Now, err = s.cfg.Store.Now(ctx)
	return v, err
}

func (s *Server) showSearch(c echo.Context, status int, text string, v pages.SearchView) error {
	c.Response().Header().Set("Cache-Control", "no-store")
	return render(c, status, pages.Search(s.showProblem(c, "Search", text), v))
}

// searchFromPage asks. The question comes in the body, so that it stands in no
// address.
func (s *Server) searchFromPage(c echo.Context) error {
	f, err := formValues(c, "q", "as", "mode", "k", "connection", "source", "type", "path", "after", "cursor")
	if err != nil {
		return err
	}
	if f["as"] != "" && !mayAct(c, store.RoleOwner) {
		return problem(http.StatusForbidden, codeForbidden, "only an owner may ask in the place of a reader")
	}
	v, err := s.searchView(c)
	if err != nil {
		return err
	}
	v.Query, v.As, v.Mode, v.K = f["q"], strings.TrimSpace(f["as"]), f["mode"], f["k"]
	v.Connection, v.Source, v.Type, v.Path, v.After = f["connection"], f["source"], f["type"], f["path"], f["after"]
	req, err := searchRequestOf(v, f["cursor"])
	if err == nil {
		err = s.searchInto(c, req, &v)
	}
	if p, ok := errors.AsType[*Problem](err); ok {
		status := p.Status
		if status == http.StatusBadRequest {
			status = http.StatusUnprocessableEntity
		}
		return s.showSearch(c, status, p.Detail, v)
	}
	if text, ok := formProblem(err); ok && err != nil {
		return s.showSearch(c, http.StatusUnprocessableEntity, text, v)
	}
	if err != nil {
		return err
	}
	return s.showSearch(c, http.StatusOK, "", v)
}

// searchRequestOf is the search that the form asks for.
func searchRequestOf(v pages.SearchView, cursor string) (store.SearchRequest, error) {
	req := store.SearchRequest{Query: v.Query, Mode: store.SearchMode(v.Mode), Include: []string{store.IncludeScores}, Cursor: cursor}
	if v.K != "" {
		k, err := strconv.Atoi(v.K)
		if err != nil || k < 1 || k > store.MaxK {
			return req, invalid("k", "Results: must be 1 to "+strconv.Itoa(store.MaxK))
		}
		req.K = k
	}
	for into, value := range map[*store.Strings]string{
		&req.Filters.Connection: v.Connection, &req.Filters.Source: v.Source, &req.Filters.Type: strings.TrimSpace(v.Type), &req.Filters.Path: strings.TrimSpace(v.Path),
	} {
		if value != "" {
			*into = store.Strings{value}
		}
	}
	if v.After != "" {
		day, err := time.Parse(time.DateOnly, v.After)
		if err != nil {
			return req, invalid("after", "Changed after: must be a day such as 2026-01-02")
		}
		req.Filters.UpdatedAfter = day.Format(time.RFC3339)
	}
	return req, nil
}

// searchInto asks as the one whom the form names, and adds the answer.
func (s *Server) searchInto(c echo.Context, req store.SearchRequest, v *pages.SearchView) error {
	if err := checkRequest(&req); err != nil {
		return err
	}
	var who store.Identity
	var reader store.Reader
	var err error
	if v.As != "" {
		who, reader, err = s.inPlaceOf(c, v.As, "search")
		v.As = orElse(reader.Name, v.As)
	} else {
		var ok bool
		who, reader, ok, err = s.asOwn(c, "search")
		if err == nil && !ok {
			err = invalid("as", "your account is no reader, so that you may read nothing yourself")
		}
	}
	if err != nil {
		return err
	}
	answer, err := s.ask(c, who, req)
	if err != nil {
		return err
	}
	v.Asked, v.For, v.Answer, v.Degraded = true, reader.Name, answer.SearchResponse, answer.Degraded
	asked := wordsAsked(req.Query)
	seen := map[uuid.UUID]bool{}
	for _, r := range answer.Results {
		v.Hits = append(v.Hits, pages.SearchHit{SearchResult: r, Parts: excerpt(marked(r.Text, asked)), Again: seen[r.DocumentID]})
		seen[r.DocumentID] = true
	}
	v.Copies = searchCopies(s.cfg.PublicURL.String(), req)
	return nil
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}
