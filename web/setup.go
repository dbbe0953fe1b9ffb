package web

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/internal/password"
	"tributary/internal/secret"
	"tributary/store"
	"tributary/web/pages"
)

// noSetup is the answer of set-up once it is over.
func noSetup() *Problem {
	return problem(http.StatusNotFound, codeNotFound, "this instance is set up already, so there is nothing to do here")
}

// setupPage shows the form of the first account.
func (s *Server) setupPage(c echo.Context) error {
	open, err := s.cfg.Accounts.SetupOpen(c.Request().Context())
	if err != nil {
		return err
	}
	if !open {
		return noSetup()
	}
	return render(c, http.StatusOK, pages.Setup(s.frame(c, "Set up"), pages.SetupView{}))
}

// setup makes the first account of whoever has the token, and signs in.
func (s *Server) setup(c echo.Context) error {
	ctx := c.Request().Context()
	open, err := s.cfg.Accounts.SetupOpen(ctx)
	if err != nil {
		return err
	}
	if !open {
		return noSetup()
	}
	f, err := formValues(c, "token", "name", "password", "again")
	if err != nil {
		return err
	}
	token := secret.New(strings.TrimSpace(f["token"]))
	proof, err := s.redeem(c, token, f)
	switch {
	case errors.Is(err, store.ErrAccountExists):
		return noSetup()
	case errors.Is(err, store.ErrUnauthenticated):
		s.refused(c, "setup.refused", audit.Target{})
		return s.setupAgain(c, http.StatusForbidden, f, "the token is not right, was used, or is older than 30 minutes; \"tributary users setup-token\" makes a new one")
	}
	if text, ok := formProblem(err); ok {
		return s.setupAgain(c, http.StatusUnprocessableEntity, f, text)
	}
	if err != nil {
		return err
	}
	if s.cfg.SetUp != nil {
		s.cfg.SetUp()
	}
	if err := s.start(c, proof); err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, "/")
}

func (s *Server) redeem(c echo.Context, token secret.Text, f map[string]string) (Proof, error) {
	ctx := c.Request().Context()
	ok, err := s.cfg.Accounts.SetupTokenValid(ctx, token)
	if err != nil {
		return Proof{}, err
	}
	if !ok {
		return Proof{}, store.ErrUnauthenticated
	}
	name, err := store.AccountName(f["name"])
	if err != nil {
		return Proof{}, err
	}
	hash, err := s.newPassword(c, name, f)
	if err != nil {
		return Proof{}, err
	}
	a, err := s.cfg.Accounts.RedeemSetup(ctx, token, name, hash, c.RealIP())
	return Proof{Account: a, Hash: hash}, err
}

func (s *Server) setupAgain(c echo.Context, status int, f map[string]string, text string) error {
	frame := s.frame(c, "Set up")
	frame.Problem = sentence(text)
	return render(c, status, pages.Setup(frame, pages.SetupView{Name: cut(f["name"])}))
}

// newPassword checks the two fields of a password to set and returns its hash.
func (s *Server) newPassword(c echo.Context, account string, f map[string]string) (string, error) {
	p := secret.New(f["password"])
	if !p.Equal(secret.New(f["again"])) {
		return "", &store.InputError{Field: "again", Problem: "is not the same as the password"}
	}
	if err := password.Check(account, p); err != nil {
		return "", err
	}
	return s.cfg.Passwords.Hash(c.Request().Context(), p)
}

// formProblem returns the text of an error that is about what was filled in.
func formProblem(err error) (string, bool) {
	if input, ok := errors.AsType[*store.InputError](err); ok {
		return input.Error(), true
	}
	if policy, ok := errors.AsType[*password.PolicyError](err); ok {
		return policy.Error(), true
	}
	if errors.Is(err, store.ErrLastOwner) {
		return store.ErrLastOwner.Error(), true
	}
	return "", false
}
