package web

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/secret"
	"tributary/store"
	"tributary/web/pages"
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

// tokensOf is what a page shows of the tokens of an account; nil where no admin API is served. Their holder may make more.
func (s *Server) tokensOf(c echo.Context, account store.Account, path string, own bool) (*pages.TokensView, error) {
	if s.cfg.Admin == nil || s.cfg.OAuth == nil {
		return nil, nil //nolint:nilnil // there are none
	}
	v := &pages.TokensView{Path: path}
	var err error
	if v.Tokens, err = s.cfg.Admin.Store.AdminTokens(c.Request().Context(), account.ID); err != nil {
		return nil, err
	}
	if v.Now, err = s.cfg.OAuth.Store.Now(c.Request().Context()); err != nil {
		return nil, err
	}
	if own {
		roles := store.AccountRoles()
		v.Roles = roles[:slices.Index(roles, account.Role)+1]
	}
	return v, nil
}

// createToken makes a token of one's own account, and shows its secret once.
func (s *Server) createToken(c echo.Context) error {
	who, _ := identityOf(c)
	f, err := formValues(c, "name", "role", "days")
	if err != nil {
		return err
	}
	days, err := strconv.Atoi(strings.TrimSpace(f["days"]))
	if err != nil || days < 1 || days > int(store.MaxAdminTokenLife/(24*time.Hour)) {
		return s.showAccount(c, http.StatusUnprocessableEntity, "Days until it ends: must be 1 to 366")
	}
	n := store.NewAdminToken{Name: strings.TrimSpace(f["name"]), Role: store.AccountRole(f["role"]), Account: who.Account.ID, Life: time.Duration(days) * 24 * time.Hour}
	token, text, err := s.makeToken(c, n)
	if said, ok := oauthProblem(err); ok && err != nil {
		return s.showAccount(c, http.StatusUnprocessableEntity, said)
	}
	if err != nil {
		return err
	}
	return render(c, http.StatusOK, pages.NewToken(s.frame(c, "Token "+token.Name), pages.NewTokenView{Token: token, Secret: text.Reveal(), URL: s.cfg.PublicURL.String()}))
}

// revokeOwnToken ends a token of one's own account.
func (s *Server) revokeOwnToken(c echo.Context) error {
	who, _ := identityOf(c)
	return s.revokeTokenOf(c, who.Account.ID, c.Param("id"), "/account")
}

// revokeUserToken ends a token of an account, as an owner.
func (s *Server) revokeUserToken(c echo.Context) error {
	a, err := s.userOf(c)
	if err != nil {
		return err
	}
	return s.revokeTokenOf(c, a.ID, c.Param("token"), "/users/"+a.ID.String())
}

// revokeTokenOf ends a token. SECURITY: one of another account is not found.
func (s *Server) revokeTokenOf(c echo.Context, account uuid.UUID, id, back string) error {
	if _, err := formValues(c); err != nil {
		return err
	}
	t, err := s.cfg.Admin.Store.AdminToken(c.Request().Context(), id)
	if err == nil && (t.AccountID == nil || *t.AccountID != account) {
		err = store.ErrNotFound
	}
	if err == nil {
		err = s.endToken(c, t)
	}
	if err != nil {
		return err
	}
	return seeOther(c, back, "token-revoked")
}
