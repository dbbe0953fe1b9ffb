package web

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"tributary/internal/secret"
	"tributary/store"
	"tributary/web/pages"
)

// accountRoutes are the pages of one's own account.
func (s *Server) accountRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/account", access: accessAuditor, handler: s.accountPage, returnable: true},
		{method: http.MethodGet, path: "/account/password", access: accessAuditor, handler: s.passwordPage, returnable: true, oneTime: true},
		{method: http.MethodPost, path: "/account/password", access: accessAuditor, handler: s.changePassword, oneTime: true, hashes: true},
		{method: http.MethodPost, path: "/account/sessions/end-others", access: accessAuditor, handler: s.endOtherSessions},
	}
}

// accountPage shows the account with its sessions and tokens.
func (s *Server) accountPage(c echo.Context) error { return s.showAccount(c, http.StatusOK, "") }

func (s *Server) showAccount(c echo.Context, status int, text string) error {
	who, _ := identityOf(c)
	sessions, err := s.cfg.Accounts.Sessions(c.Request().Context(), who.Account.ID)
	if err != nil {
		return err
	}
	tokens, err := s.tokensOf(c, who.Account, "/account/tokens", true)
	if err != nil {
		return err
	}
	return render(c, status, pages.Account(s.showProblem(c, "Your account", text), pages.AccountView{Account: who.Account, Sessions: sessions, Current: who.SessionID, Tokens: tokens}))
}

// passwordPage shows the form that changes one's own password.
func (s *Server) passwordPage(c echo.Context) error {
	return s.passwordForm(c, http.StatusOK, "")
}

func (s *Server) passwordForm(c echo.Context, status int, text string) error {
	who, _ := identityOf(c)
	f := s.frame(c, "Change the password")
	f.Problem = sentence(text)
	return render(c, status, pages.Password(f, pages.PasswordView{Must: who.Account.PasswordExpiresAt != nil, Name: who.Account.Name}))
}

// changePassword sets another password, ends every session of the account and
// starts a new one here. The password so far has to be known: a session alone
// does not give the account away.
func (s *Server) changePassword(c echo.Context) error {
	who, _ := identityOf(c)
	f, err := formValues(c, "name", "current", "password", "again")
	if err != nil {
		return err
	}
	_, err = s.prove(c, who.Account.Name, secret.New(f["current"]))
	if errors.Is(err, store.ErrUnauthenticated) {
		return s.passwordForm(c, http.StatusUnprocessableEntity, "the password so far is not right")
	}
	if p, ok := errors.AsType[*Problem](err); ok && p.Status == http.StatusTooManyRequests {
		p.headers(c.Response().Header())
		return s.passwordForm(c, p.Status, p.Detail)
	}
	if err != nil {
		return err
	}
	if f["current"] == f["password"] {
		return s.passwordForm(c, http.StatusUnprocessableEntity, "the new password is the same as the one so far; choose another")
	}
	hash, err := s.newPassword(c, who.Account.Name, f)
	if text, ok := formProblem(err); ok {
		return s.passwordForm(c, http.StatusUnprocessableEntity, text)
	}
	if err != nil {
		return err
	}
	if err := s.cfg.Accounts.SetPassword(c.Request().Context(), actor(c), who.Account.ID, store.Password{Hash: hash}); err != nil {
		return err
	}
	if err := s.start(c, Proof{Account: who.Account, Hash: hash}); err != nil {
		return err
	}
	return seeOther(c, "/account", "password")
}

// endOtherSessions signs the account out everywhere else.
func (s *Server) endOtherSessions(c echo.Context) error {
	who, _ := identityOf(c)
	if _, err := formValues(c); err != nil {
		return err
	}
	if _, err := s.cfg.Accounts.EndSessions(c.Request().Context(), actor(c), who.Account.ID, who.SessionID); err != nil {
		return err
	}
	return seeOther(c, "/account", "sessions")
}
