package web

import (
	"cmp"
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// shownOfPrincipal bounds the shorter lists on the page of a principal.
const shownOfPrincipal = 50

// chosenConnection is the connection that ?connection= names, nil for none.
func (s *Server) chosenConnection(c echo.Context) (*store.Connection, error) {
	name := c.QueryParam("connection")
	if name == "" {
		return nil, nil //nolint:nilnil // nil is every connection
	}
	k, err := s.cfg.OAuth.Store.Connection(c.Request().Context(), name)
	if err != nil {
		return nil, noConnection(err)
	}
	return &k, nil
}

// suggested bounds the names of connections that a form suggests.
const suggested = 100

// groupsPage lists the groups of sources.
func (s *Server) groupsPage(c echo.Context) error {
	ctx := c.Request().Context()
	k, err := s.chosenConnection(c)
	if err != nil {
		return err
	}
	find, after, err := found(c)
	if err != nil {
		return err
	}
	f := store.GroupFilter{Find: find, Limit: perPage + 1}
	if f.After, err = numberOf(after); err != nil {
		return err
	}
	v := pages.GroupsView{Find: find, First: after == ""}
	if k != nil {
		f.Connection, v.Connection = k.ID, k.Name
	}
	if v.Groups, err = s.cfg.Admin.Store.Groups(ctx, f); err != nil {
		return err
	}
	if len(v.Groups) > perPage {
		v.Groups = v.Groups[:perPage]
		v.Next = nextPage(groupsPath, strconv.FormatInt(v.Groups[perPage-1].ID, 10), "find", find, "connection", v.Connection)
	}
	if v.Names, err = s.cfg.Admin.Store.AllConnectionNames(ctx, suggested); err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.Groups(s.underReaders(c, "Groups"), v))
}

// underReaders is the frame of a page that stands under Readers in the navigation, whatever its address.
func (s *Server) underReaders(c echo.Context, title string) pages.Frame {
	f := s.frame(c, title)
	f.Path = readersPath + "/"
	return f
}

// principalPage shows a person or a group of a source.
func (s *Server) principalPage(c echo.Context) error {
	ctx, st := c.Request().Context(), s.cfg.Admin.Store
	p, err := s.principalOf(c, c.Param("id"))
	if err != nil {
		return err
	}
	after, err := numberOf(c.QueryParam("after"))
	if err != nil {
		return err
	}
	v := pages.PrincipalView{Principal: p}
	if v.Members, err = st.Members(ctx, p.ID, after, perPage+1); err != nil {
		return err
	}
	if len(v.Members) > perPage {
		v.Members = v.Members[:perPage]
		v.Next = nextPage("/principals/"+strconv.FormatInt(p.ID, 10), strconv.FormatInt(v.Members[perPage-1].ID, 10))
	}
	if v.In, err = st.GroupsOf(ctx, p.ID, 0, shownOfPrincipal); err != nil {
		return err
	}
	if v.Readers, err = st.ReadersOf(ctx, p.ID, shownOfPrincipal); err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.Principal(s.underReaders(c, "Principal"), v))
}

// principalOf returns the principal of that number.
func (s *Server) principalOf(c echo.Context, number string) (store.PrincipalView, error) {
	id, err := strconv.ParseInt(number, 10, 64)
	var p store.PrincipalView
	if err == nil {
		p, err = s.cfg.Admin.Store.Principal(c.Request().Context(), id)
	}
	if err == nil || !errors.Is(err, store.ErrNotFound) && !errors.Is(err, strconv.ErrSyntax) && !errors.Is(err, strconv.ErrRange) {
		return p, err
	}
	return p, problem(http.StatusNotFound, codeNotFound, "there is no such person or group; the page Groups lists the groups")
}

// unmatchedPage lists the people of sources whom no reader is.
func (s *Server) unmatchedPage(c echo.Context) error {
	return s.showUnmatched(c, http.StatusOK, "")
}

func (s *Server) showUnmatched(c echo.Context, status int, text string) error {
	ctx, st := c.Request().Context(), s.cfg.Admin.Store
	k, err := s.chosenConnection(c)
	if err != nil {
		return err
	}
	f := store.UnmatchedFilter{Ambiguous: c.QueryParam("ambiguous") == "yes", Limit: perPage + 1}
	f.Unlinked = !f.Ambiguous
	if f.After, err = numberOf(c.QueryParam("after")); err != nil {
		return err
	}
	v := pages.UnmatchedView{Ambiguous: f.Ambiguous, First: f.After == 0, After: c.QueryParam("after"), MayAct: mayAct(c, store.RoleOwner), Connection: k}
	name := ""
	if k != nil {
		f.Connection, name = k.ID, k.Name
	}
	if v.People, err = st.UnmatchedPeople(ctx, f); err != nil {
		return err
	}
	if len(v.People) > perPage {
		v.People = v.People[:perPage]
		v.Next = nextPage(unmatchedPath, strconv.FormatInt(v.People[perPage-1].PrincipalID, 10), "connection", name, "ambiguous", c.QueryParam("ambiguous"))
	}
	if v.Called, err = s.calledAlike(c, v.People); err != nil {
		return err
	}
	if v.Names, err = st.AllConnectionNames(ctx, suggested); err != nil {
		return err
	}
	return render(c, status, pages.Unmatched(s.showProblem(c, "Unmatched people", text), v))
}

// calledAlike finds the readers that are called as the people are at their source.
func (s *Server) calledAlike(c echo.Context, people []store.Unmatched) (map[string]bool, error) {
	var names []string
	for _, p := range people {
		names = append(names, pages.AlikeNames(p)...)
	}
	list, err := s.cfg.Admin.Store.ReadersCalled(c.Request().Context(), names)
	out := make(map[string]bool, len(list))
	for _, name := range list {
		out[name] = true
	}
	return out, err
}

// linkUnmatched links a person of a source to a reader, which it makes where it is asked to.
func (s *Server) linkUnmatched(c echo.Context) error {
	f, err := formValues(c, "do", "reader", "connection", "after", "ambiguous")
	if err != nil {
		return err
	}
	p, err := s.principalOf(c, c.Param("principal"))
	if err != nil {
		return err
	}
	c.QueryParams().Set("connection", f["connection"])
	c.QueryParams().Set("ambiguous", f["ambiguous"])
	c.QueryParams().Set("after", f["after"])
	// SECURITY: only a connection of the person's own realm: elsewhere the same id is somebody else.
	if len(p.Connections) == 0 || f["connection"] != "" && !slices.Contains(p.Connections, f["connection"]) {
		return s.showUnmatched(c, http.StatusUnprocessableEntity, "this person is not of that connection, or the connection is gone")
	}
	link := LinkRequest{Connection: cmp.Or(f["connection"], p.Connections[0]), Kind: p.Kind, ID: p.ExternalID}
	err = s.linkByName(c, f["reader"], f["do"] == "make", link)
	if text, ok := actProblem(err); ok {
		return s.showUnmatched(c, http.StatusUnprocessableEntity, text)
	}
	if err != nil {
		return err
	}
	back := nextPage(unmatchedPath, f["after"], "connection", f["connection"], "ambiguous", f["ambiguous"], "done", "reader-linked")
	return c.Redirect(http.StatusSeeOther, back)
}

// linkByName links the reader of that name; create makes it, and one that stands is then not it.
func (s *Server) linkByName(c echo.Context, name string, create bool, link LinkRequest) error {
	ctx := c.Request().Context()
	if name == "" {
		return &store.InputError{Field: "reader", Problem: "must name one"}
	}
	k, err := s.cfg.OAuth.Store.Connection(ctx, link.Connection)
	if err != nil {
		return noConnection(err)
	}
	var r store.Reader
	if create {
		r, err = s.adminCreateReader(c, CreateReaderRequest{Name: name})
	} else {
		r, err = s.cfg.OAuth.Store.Reader(ctx, name)
	}
	switch {
	case create && errors.Is(err, store.ErrConflict):
		return &store.InputError{Field: "reader", Problem: "there is one called " + cut(name) + ": link that one, or choose another name"}
	case errors.Is(err, store.ErrNotFound):
		return &store.InputError{Field: "reader", Problem: "there is none called " + cut(name) + ": make one, or choose another"}
	}
	if err != nil {
		return err
	}
	return s.linkByHand(c, r, k, link)
}

// switchMapEmail says whether verified addresses map readers to people of a connection.
func (s *Server) switchMapEmail(c echo.Context) error {
	f, err := formValues(c, "enabled")
	if err != nil {
		return err
	}
	on := f["enabled"] == "on"
	if !on && f["enabled"] != "off" {
		return invalid("enabled", "enabled: must be on or off")
	}
	answer, err := s.adminMapEmail(c, MapEmailRequest{Enabled: &on})
	if err != nil {
		return err
	}
	done := "map-email-off"
	if answer.Enabled {
		done = "map-email-on"
	}
	return c.Redirect(http.StatusSeeOther, nextPage(unmatchedPath, "", "connection", c.Param("name"), "done", done))
}
