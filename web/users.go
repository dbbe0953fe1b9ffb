package web

import (
	"errors"
	"net/http"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/password"
	"tributary/internal/secret"
	"tributary/store"
	"tributary/web/pages"
)

// userRoutes are the pages on which an owner looks after accounts.
func (s *Server) userRoutes() []route {
	get, post := http.MethodGet, http.MethodPost
	return []route{
		{method: get, path: "/users", access: accessOwner, handler: s.usersPage, returnable: true},
		{method: post, path: "/users", access: accessOwner, handler: s.createUser, hashes: true},
		{method: get, path: "/users/:id", access: accessOwner, handler: s.userPage, returnable: true},
		{method: post, path: "/users/:id/role", access: accessOwner, handler: s.userAct(s.setUserRole, "role", "role")},
		{method: post, path: "/users/:id/disable", access: accessOwner, handler: s.userAct(s.disableUser, "disabled")},
		{method: post, path: "/users/:id/enable", access: accessOwner, handler: s.userAct(s.enableUser, "enabled")},
		{method: post, path: "/users/:id/end-sessions", access: accessOwner, handler: s.userAct(s.endUserSessions, "all-sessions")},
		{method: post, path: "/users/:id/reset-password", access: accessOwner, handler: s.resetPassword, hashes: true},
		{method: post, path: "/users/:id/delete", access: accessOwner, handler: s.deleteUser},
	}
}

// usersPage lists the accounts.
func (s *Server) usersPage(c echo.Context) error {
	return s.usersList(c, http.StatusOK, "", pages.UsersView{Role: store.RoleAdmin})
}

func (s *Server) usersList(c echo.Context, status int, text string, v pages.UsersView) error {
	list, err := s.cfg.Accounts.Accounts(c.Request().Context())
	if err != nil {
		return err
	}
	v.Accounts = list
	f := s.frame(c, "Users")
	f.Problem = sentence(text)
	return render(c, status, pages.Users(f, v))
}

// createUser makes an account with a one-time password, generated or given.
func (s *Server) createUser(c echo.Context) error {
	f, err := formValues(c, "name", "role", "password")
	if err != nil {
		return err
	}
	account, plain, err := s.makeUser(c, f)
	if errors.Is(err, store.ErrConflict) {
		err = &store.InputError{Field: "name", Problem: "is taken"}
	}
	if text, ok := formProblem(err); ok {
		return s.usersList(c, http.StatusUnprocessableEntity, text, pages.UsersView{Name: cut(f["name"]), Role: store.AccountRole(f["role"])})
	}
	if err != nil {
		return err
	}
	if f["password"] != "" {
		return seeOther(c, "/users/"+account.ID.String(), "")
	}
	return s.oneTime(c, account, plain, nil)
}

func (s *Server) makeUser(c echo.Context, f map[string]string) (store.Account, secret.Text, error) {
	role, err := store.ParseAccountRole(f["role"])
	if err != nil {
		return store.Account{}, secret.Text{}, err
	}
	name, err := store.AccountName(f["name"])
	if err != nil {
		return store.Account{}, secret.Text{}, err
	}
	plain := secret.New(f["password"])
	if plain.IsSet() {
		err = password.Check(name, plain)
	} else {
		plain = password.Generate()
	}
	if err != nil {
		return store.Account{}, plain, err
	}
	hash, err := s.cfg.Passwords.Hash(c.Request().Context(), plain)
	if err != nil {
		return store.Account{}, plain, err
	}
	account, err := s.cfg.Accounts.CreateAccount(c.Request().Context(), actor(c), store.NewAccount{
		Name: name, Role: role, Password: store.Password{Hash: hash, ChangeWith: store.OneTimePassword},
	})
	return account, plain, err
}

// oneTime shows a generated password, this once, and what it ended.
func (s *Server) oneTime(c echo.Context, a store.Account, plain secret.Text, ended *store.Ended) error {
	return render(c, http.StatusOK, pages.OneTime(s.frame(c, "One-time password"), pages.OneTimeView{Account: a, Password: plain.Reveal(), URL: s.cfg.PublicURL.String(), Ended: ended}))
}

// userOf reads the account that the path names.
func (s *Server) userOf(c echo.Context) (store.Account, error) {
	id, err := uuid.Parse(c.Param("id"))
	if err != nil || len(c.Param("id")) != 36 {
		return store.Account{}, noUser()
	}
	a, err := s.cfg.Accounts.Account(c.Request().Context(), id.String())
	if errors.Is(err, store.ErrNotFound) {
		return a, noUser()
	}
	return a, err
}

func noUser() *Problem {
	return problem(http.StatusNotFound, codeNotFound, "there is no such account; the page Users lists them")
}

// userPage shows one account.
func (s *Server) userPage(c echo.Context) error {
	a, err := s.userOf(c)
	if err != nil {
		return err
	}
	return s.showUser(c, http.StatusOK, a, "")
}

func (s *Server) showUser(c echo.Context, status int, a store.Account, text string) error {
	who, _ := identityOf(c)
	f := s.frame(c, a.Name)
	f.Problem = sentence(text)
	tokens, err := s.tokensOf(c, a, "/users/"+a.ID.String()+"/tokens", false)
	if err != nil {
		return err
	}
	return render(c, status, pages.User(f, pages.UserView{Account: a, Self: who.Account.ID == a.ID, Tokens: tokens}))
}

// userAct makes a handler of an act on one account, whose form has the named
// fields.
func (s *Server) userAct(act func(c echo.Context, a store.Account, f map[string]string) error, done string, fields ...string) echo.HandlerFunc {
	return func(c echo.Context) error {
		a, err := s.userOf(c)
		if err != nil {
			return err
		}
		f, err := formValues(c, fields...)
		if err != nil {
			return err
		}
		err = act(c, a, f)
		if text, ok := formProblem(err); ok {
			return s.showUser(c, http.StatusUnprocessableEntity, a, text)
		}
		if err != nil {
			return err
		}
		return seeOther(c, "/users/"+a.ID.String(), done)
	}
}

func (s *Server) setUserRole(c echo.Context, a store.Account, f map[string]string) error {
	role, err := store.ParseAccountRole(f["role"])
	if err != nil {
		return err
	}
	return s.cfg.Accounts.SetAccountRole(c.Request().Context(), actor(c), a.ID, role)
}

func (s *Server) disableUser(c echo.Context, a store.Account, _ map[string]string) error {
	_, err := s.cfg.Accounts.DisableAccount(c.Request().Context(), actor(c), a.ID)
	return err
}

func (s *Server) enableUser(c echo.Context, a store.Account, _ map[string]string) error {
	return s.cfg.Accounts.EnableAccount(c.Request().Context(), actor(c), a.ID)
}

func (s *Server) endUserSessions(c echo.Context, a store.Account, _ map[string]string) error {
	_, err := s.cfg.Accounts.EndSessions(c.Request().Context(), actor(c), a.ID, uuid.Nil)
	return err
}

// resetPassword gives the account a one-time password and shows it.
func (s *Server) resetPassword(c echo.Context) error {
	a, err := s.userOf(c)
	if err != nil {
		return err
	}
	if _, err := formValues(c); err != nil {
		return err
	}
	plain, ended, err := s.makePassword(c, a)
	if err != nil {
		return err
	}
	return s.oneTime(c, a, plain, &ended)
}

// makePassword gives the account a one-time password.
func (s *Server) makePassword(c echo.Context, a store.Account) (secret.Text, store.Ended, error) {
	plain := password.Generate()
	hash, err := s.cfg.Passwords.Hash(c.Request().Context(), plain)
	if err != nil {
		return plain, store.Ended{}, err
	}
	ended, err := s.cfg.Accounts.ResetPassword(c.Request().Context(), actor(c), a.ID, store.Password{Hash: hash, ChangeWith: store.OneTimePassword})
	return plain, ended, err
}

// deleteUser removes an account whose name was written to confirm it.
func (s *Server) deleteUser(c echo.Context) error {
	a, err := s.userOf(c)
	if err != nil {
		return err
	}
	f, err := formValues(c, "confirm")
	if err != nil {
		return err
	}
	who, _ := identityOf(c)
	if who.Account.ID == a.ID {
		return s.showUser(c, http.StatusUnprocessableEntity, a, "nobody deletes their own account; another owner can")
	}
	if f["confirm"] != a.Name {
		return s.showUser(c, http.StatusUnprocessableEntity, a, "nothing is deleted: write the account's name to confirm")
	}
	_, err = s.cfg.Accounts.DeleteAccount(c.Request().Context(), actor(c), a.ID)
	if text, ok := formProblem(err); ok {
		return s.showUser(c, http.StatusUnprocessableEntity, a, text)
	}
	if err != nil {
		return err
	}
	return seeOther(c, "/users", "deleted")
}
