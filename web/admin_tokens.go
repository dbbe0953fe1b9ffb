package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/store"
)

func (s *Server) adminTokenRoutes() []route {
	return []route{
		operation(http.MethodGet, "/tokens", accessTokenOwner, s.adminListTokens),
		operation(http.MethodPost, "/tokens", accessTokenOwner, s.adminCreateToken),
		operation(http.MethodDelete, "/tokens/:id", accessTokenOwner, s.adminRevokeToken),
	}
}

func (s *Server) adminUserRoutes() []route {
	const post = http.MethodPost
	list := []route{
		operation(http.MethodGet, "/users", accessTokenOwner, s.adminListUsers),
		operation(post, "/users", accessTokenOwner, s.adminCreateUser),
		operation(http.MethodGet, "/users/:id", accessTokenOwner, s.adminGetUser),
		operation(http.MethodPut, "/users/:id/role", accessTokenOwner, s.adminSetRole),
		operation(post, "/users/:id/disable", accessTokenOwner, s.adminUserAct(s.disableUser)),
		operation(post, "/users/:id/enable", accessTokenOwner, s.adminUserAct(s.enableUser)),
		operation(post, "/users/:id/end-sessions", accessTokenOwner, s.adminUserAct(s.endUserSessions)),
		operation(post, "/users/:id/reset-password", accessTokenOwner, s.adminResetPassword),
		operation(http.MethodDelete, "/users/:id", accessTokenOwner, s.adminDeleteUser),
	}
	for i, r := range list {
		list[i].hashes = r.path == adminPrefix+"/users" && r.method == post || r.path == adminPrefix+"/users/:id/reset-password"
	}
	return list
}

func (s *Server) adminListTokens(c echo.Context, in pageQuery) (Page[store.AdminToken], error) {
	list, err := s.cfg.Admin.Store.AdminTokens(c.Request().Context(), uuid.Nil)
	if err != nil {
		return Page[store.AdminToken]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(t store.AdminToken) string { return t.Name })
}

// adminCreateToken makes a token of an account, and shows its secret once.
func (s *Server) adminCreateToken(c echo.Context, in CreateTokenRequest) (NewTokenAnswer, error) {
	who, _ := identityOf(c)
	life, err := lifeOf(in.ExpiresIn)
	if err != nil {
		return NewTokenAnswer{}, err
	}
	n := store.NewAdminToken{Name: in.Name, Role: in.Role, Account: who.Account.ID, Life: life}
	if in.Account != "" {
		a, err := s.cfg.Accounts.Account(c.Request().Context(), in.Account)
		if errors.Is(err, store.ErrNotFound) {
			return NewTokenAnswer{}, invalid("account", "account: there is no such account")
		}
		if err != nil {
			return NewTokenAnswer{}, err
		}
		n.Account = a.ID
	}
	token, text, err := s.makeToken(c, n)
	if err == nil {
		created(c)
	}
	return NewTokenAnswer{token, text.Reveal()}, err
}

func lifeOf(seconds int64) (time.Duration, error) {
	if seconds < 0 || seconds > int64(store.MaxAdminTokenLife/time.Second) {
		return 0, invalid("expires_in", "expires_in: must be seconds, at most those of 366 days")
	}
	return time.Duration(seconds) * time.Second, nil
}

// adminRevokeToken ends a token. One that has ended is answered as it is.
func (s *Server) adminRevokeToken(c echo.Context, _ nothing) (store.AdminToken, error) {
	ctx := c.Request().Context()
	token, err := s.cfg.Admin.Store.AdminToken(ctx, c.Param("id"))
	if err == nil {
		err = s.endToken(c, token)
	}
	if err != nil {
		return token, err
	}
	return s.cfg.Admin.Store.AdminToken(ctx, token.ID.String())
}

func (s *Server) adminListUsers(c echo.Context, in pageQuery) (Page[store.Account], error) {
	list, err := s.cfg.Accounts.Accounts(c.Request().Context())
	if err != nil {
		return Page[store.Account]{}, err
	}
	return pageOf(list, in.Limit, in.Cursor, func(a store.Account) string { return a.Name })
}

// adminUserOf returns the account that the path names by id or name.
func (s *Server) adminUserOf(c echo.Context) (store.Account, error) {
	a, err := s.cfg.Accounts.Account(c.Request().Context(), c.Param("id"))
	if errors.Is(err, store.ErrNotFound) {
		err = problem(http.StatusNotFound, codeNotFound, "there is no such account; the list of users has their names")
	}
	return a, err
}

func (s *Server) adminGetUser(c echo.Context, _ nothing) (store.Account, error) {
	return s.adminUserOf(c)
}

// adminCreateUser makes an account with a one-time password, which is shown once.
func (s *Server) adminCreateUser(c echo.Context, in CreateUserRequest) (PasswordAnswer, error) {
	a, plain, err := s.makeUser(c, map[string]string{"name": in.Name, "role": string(in.Role)})
	if err != nil {
		return PasswordAnswer{}, err
	}
	created(c)
	return PasswordAnswer{a, plain.Reveal(), nil}, nil
}

func (s *Server) adminSetRole(c echo.Context, in RoleRequest) (store.Account, error) {
	return s.adminUserAct(func(c echo.Context, a store.Account, _ map[string]string) error {
		return s.setUserRole(c, a, map[string]string{"role": string(in.Role)})
	})(c, nothing{})
}

// adminUserAct makes an operation of an act of the page of an account.
func (s *Server) adminUserAct(act func(c echo.Context, a store.Account, f map[string]string) error) func(c echo.Context, _ nothing) (store.Account, error) {
	return func(c echo.Context, _ nothing) (store.Account, error) {
		a, err := s.adminUserOf(c)
		if err == nil {
			err = act(c, a, nil)
		}
		if err != nil {
			return a, err
		}
		return s.cfg.Accounts.Account(c.Request().Context(), a.ID.String())
	}
}

func (s *Server) adminResetPassword(c echo.Context, _ nothing) (PasswordAnswer, error) {
	a, err := s.adminUserOf(c)
	if err != nil {
		return PasswordAnswer{}, err
	}
	plain, ended, err := s.makePassword(c, a)
	if err != nil {
		return PasswordAnswer{}, err
	}
	a, err = s.cfg.Accounts.Account(c.Request().Context(), a.ID.String())
	return PasswordAnswer{a, plain.Reveal(), &ended}, err
}

func (s *Server) adminDeleteUser(c echo.Context, _ nothing) (nothing, error) {
	a, err := s.adminUserOf(c)
	if who, _ := identityOf(c); err == nil && who.Account.ID == a.ID {
		err = problem(http.StatusConflict, codeConflict, "nobody deletes their own account; another owner can")
	}
	if err != nil {
		return nothing{}, err
	}
	_, err = s.cfg.Accounts.DeleteAccount(c.Request().Context(), actor(c), a.ID)
	return nothing{}, err
}

// tokenEvent is about a token of the admin API.
func tokenEvent(c echo.Context, action, id string, n store.NewAdminToken) audit.Event {
	detail := map[string]string{"name": n.Name, "role": string(n.Role)}
	if n.Account != uuid.Nil {
		detail["account"] = n.Account.String()
	}
	return adminEvent(c, action, "admin_token", id, detail)
}
