package web

import (
	"github.com/labstack/echo/v4"

	"tributary/internal/secret"
	"tributary/store"
)

// makeToken makes a token of the admin API.
//
// SECURITY: nobody makes one that may more than they themselves may.
func (s *Server) makeToken(c echo.Context, n store.NewAdminToken) (store.AdminToken, secret.Text, error) {
	if who, _ := identityOf(c); !who.MayAct(n.Role) {
		return store.AdminToken{}, secret.Text{}, &store.InputError{Field: "role", Problem: "must be owner, admin or auditor, and not above your own"}
	}
	return s.cfg.Admin.Store.CreateAdminToken(c.Request().Context(), n, tokenEvent(c, "admin_token.create", "", n))
}

// endToken revokes a token.
func (s *Server) endToken(c echo.Context, t store.AdminToken) error {
	n := store.NewAdminToken{Name: t.Name, Role: t.Role}
	if t.AccountID != nil {
		n.Account = *t.AccountID
	}
	return s.cfg.Admin.Store.RevokeAdminToken(c.Request().Context(), t.ID, tokenEvent(c, "admin_token.revoke", t.ID.String(), n))
}
