package web

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"tributary/store"
	"tributary/web/pages"
)

// landing is the start page: for a visitor what this is and how to get in, for
// somebody signed in how the connections are doing.
func (s *Server) landing(c echo.Context) error {
	who, err := s.currentSession(c)
	if errors.Is(err, store.ErrUnauthenticated) {
		open, err := s.cfg.Accounts.SetupOpen(c.Request().Context())
		if err != nil {
			return err
		}
		return render(c, http.StatusOK, pages.Welcome(s.frame(c, ""), pages.WelcomeView{PublicURL: s.cfg.PublicURL.String(), Setup: open}))
	}
	if err != nil {
		return err
	}
	if who.Account.PasswordExpiresAt != nil {
		return c.Redirect(http.StatusSeeOther, "/account/password")
	}
	s.remember(c, who)
	ctx := c.Request().Context()
	connections, err := s.cfg.Store.Connections(ctx)
	if err != nil {
		return err
	}
	now, err := s.cfg.Store.Now(ctx)
	if err != nil {
		return err
	}
	v := pages.OverviewView{Connections: connections, Now: now, PublicURL: s.cfg.PublicURL.String(), MayConnect: s.cfg.OAuth != nil && who.MayAct(store.RoleAdmin)}
	if s.serves("/search") {
		v.SearchPath = "/search"
	}
	if err := s.completeOverview(ctx, &v); err != nil {
		return err
	}
	f := s.frame(c, "Overview")
	f.Topic = topicAll
	return render(c, http.StatusOK, pages.Overview(f, v))
}
