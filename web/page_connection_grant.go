package web

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// attemptsPerPage is how many refreshes a page shows.
const attemptsPerPage = 30

// connectionGrantPage shows what a connection may do at its provider, and how its tokens are doing.
func (s *Server) connectionGrantPage(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	return s.showConnectionGrant(c, http.StatusOK, k, "")
}

func (s *Server) showConnectionGrant(c echo.Context, status int, k store.Connection, text string) error {
	ctx := c.Request().Context()
	v := pages.ConnectionGrantView{Reasons: map[string]string{}}
	var err error
	if v.Head, err = s.connectionHead(c, k, "grant"); err != nil {
		return err
	}
	if k.GrantID != nil {
		if err := s.addGrant(c, k, &v); err != nil {
			return err
		}
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(ctx); err != nil {
		return err
	}
	return render(c, status, pages.ConnectionGrant(s.showProblem(c, "Grant of "+k.Name, text), v))
}

// addGrant adds the grant with what its source needs it for, when it is refreshed next, and a page of its refreshes.
func (s *Server) addGrant(c echo.Context, k store.Connection, v *pages.ConnectionGrantView) error {
	ctx := c.Request().Context()
	before, _, err := beforeOf(c)
	if err != nil {
		return err
	}
	if v.Grant, err = s.cfg.OAuth.Grants.Get(ctx, *k.GrantID); err != nil {
		return err
	}
	spec, _ := s.sourceNamed(k.Source)
	for _, sc := range spec.ScopesFor(v.Grant.Registration.Profile.Name, k.Settings) {
		v.Reasons[sc.Name] = sc.Reason
	}
	if v.Next, err = s.cfg.OAuth.Store.NextRefresh(ctx, *k.GrantID); err != nil {
		return err
	}
	if v.Attempts, err = s.cfg.OAuth.Store.GrantAttemptsBefore(ctx, *k.GrantID, before, attemptsPerPage+1); err != nil {
		return err
	}
	if len(v.Attempts) > attemptsPerPage {
		v.Attempts = v.Attempts[:attemptsPerPage]
		v.Older = "/connections/" + k.Name + "/grant?before=" + v.Attempts[attemptsPerPage-1].ID.String()
	}
	return nil
}

// revokeConnectionGrant ends the grant of a connection, for all connections that use it; the box of the page has to be ticked.
func (s *Server) revokeConnectionGrant(c echo.Context) error {
	k, err := s.connectionOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "confirm")
	if err != nil {
		return err
	}
	if k.GrantID == nil {
		return s.showConnectionGrant(c, http.StatusUnprocessableEntity, k, "it has no grant that could be revoked")
	}
	if f["confirm"] != "yes" {
		return s.showConnectionGrant(c, http.StatusUnprocessableEntity, k, "nothing is revoked: tick the box to confirm")
	}
	closed, err := s.cfg.OAuth.Grants.Revoke(c.Request().Context(), s.by(c), *k.GrantID)
	if text, ok := oauthProblem(err); ok && err != nil {
		return s.showConnectionGrant(c, http.StatusUnprocessableEntity, k, text)
	}
	if err != nil {
		return err
	}
	done := "revoked"
	if !closed.Done {
		done = "revoking"
	}
	return seeOther(c, "/connections/"+k.Name+"/grant", done)
}
