package web

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/internal/secret"
	"tributary/store"
	"tributary/web/pages"
)

// signInRoutes are the pages for somebody who is not signed in, and the way out.
func (s *Server) signInRoutes() []route {
	return []route{
		{method: http.MethodGet, path: "/", access: accessVisitor, handler: s.landing, returnable: true},
		{method: http.MethodGet, path: "/signin", access: accessVisitor, handler: s.signInPage},
		{method: http.MethodPost, path: "/signin", access: accessVisitor, handler: s.signIn, hashes: true},
		{method: http.MethodPost, path: "/signout", access: accessVisitor, handler: s.signOut},
		{method: http.MethodGet, path: "/setup", access: accessVisitor, handler: s.setupPage},
		{method: http.MethodPost, path: "/setup", access: accessVisitor, handler: s.setup, hashes: true},
	}
}

// Proof is an account whose holder is there, and what showed it.
type Proof struct {
	Account store.Account
	// Hash is the password hash that it was shown against.
	Hash string
}

// Authenticator proves who signs in. What is wrong is never told apart:
// everything but a proof or a failure of ours is store.ErrUnauthenticated, after
// the same time.
type Authenticator interface {
	Authenticate(ctx context.Context, name string, p secret.Text) (Proof, error)
}

// localAccounts is the Authenticator of accounts with a password here.
type localAccounts struct {
	accounts  Accounts
	passwords Passwords
}

// Authenticate compares p with the password of the account.
func (l localAccounts) Authenticate(ctx context.Context, name string, p secret.Text) (Proof, error) {
	a, hash, err := l.accounts.PasswordHash(ctx, name)
	if err != nil {
		return Proof{}, err
	}
	ok, err := l.passwords.Verify(ctx, hash, p)
	if err != nil {
		return Proof{}, err
	}
	if !ok || a.DisabledAt != nil {
		return Proof{Account: a}, store.ErrUnauthenticated
	}
	return Proof{Account: a, Hash: hash}, nil
}

// signInPage shows the form.
func (s *Server) signInPage(c echo.Context) error {
	next := s.returnPath(c.QueryParam("next"))
	_, err := s.currentSession(c)
	switch {
	case err == nil:
		return c.Redirect(http.StatusSeeOther, orStart(next))
	case !errors.Is(err, store.ErrUnauthenticated):
		return err
	}
	open, err := s.cfg.Accounts.SetupOpen(c.Request().Context())
	if err != nil {
		return err
	}
	if open {
		return c.Redirect(http.StatusSeeOther, "/setup")
	}
	return render(c, http.StatusOK, pages.SignIn(s.frame(c, "Sign in"), pages.SignInView{Next: next}))
}

func orStart(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// refusedSignIn is the one answer to a wrong name or password.
const refusedSignIn = "The name or the password is not right, or the account is disabled."

// signIn answers the form.
func (s *Server) signIn(c echo.Context) error {
	f, err := formValues(c, "name", "password", "next")
	if err != nil {
		return err
	}
	name := strings.ToLower(strings.TrimSpace(f["name"]))
	next := s.returnPath(f["next"])
	proof, err := s.prove(c, name, secret.New(f["password"]))
	if err == nil {
		err = s.start(c, proof)
	}
	if p, ok := errors.AsType[*Problem](err); ok && p.Status == http.StatusTooManyRequests {
		return s.signInAgain(c, p.Status, p, pages.SignInView{Name: cut(name), Next: next})
	}
	if errors.Is(err, store.ErrUnauthenticated) {
		p := problem(http.StatusUnauthorized, codeUnauthorized, refusedSignIn)
		p.authenticate = formChallenge
		return s.signInAgain(c, p.Status, p, pages.SignInView{Name: cut(name), Next: next})
	}
	if err != nil {
		return err
	}
	return c.Redirect(http.StatusSeeOther, orStart(next))
}

func (s *Server) signInAgain(c echo.Context, status int, p *Problem, v pages.SignInView) error {
	p.headers(c.Response().Header())
	f := s.frame(c, "Sign in")
	f.Problem = sentence(p.Detail)
	return render(c, status, pages.SignIn(f, v))
}

// cut bounds what a form shows again.
func cut(s string) string {
	r := []rune(s)
	return string(r[:min(len(r), 100)])
}

// prove counts the attempt and lets the Authenticator decide. A wrong password
// is store.ErrUnauthenticated, too many attempts are a *Problem.
func (s *Server) prove(c echo.Context, name string, p secret.Text) (Proof, error) {
	ctx := c.Request().Context()
	attempt, err := s.cfg.Accounts.BeginSignIn(ctx, name, c.RealIP())
	if err != nil {
		return Proof{}, err
	}
	if attempt.RetryAfter > 0 {
		return Proof{}, tooManyAttempts(attempt.RetryAfter)
	}
	if err := pause(ctx, attempt.Slow); err != nil {
		return Proof{}, err
	}
	proof, err := s.authenticator.Authenticate(ctx, name, p)
	if errors.Is(err, store.ErrUnauthenticated) {
		// SECURITY: a name that is no account's may be a password in the wrong
		// field; it is not recorded.
		target := audit.Target{Kind: "account", ID: proof.Account.Name}
		s.refused(c, "session.refused", target)
		return Proof{}, store.ErrUnauthenticated
	}
	if err != nil {
		return Proof{}, err
	}
	return proof, s.cfg.Accounts.SignInSucceeded(ctx, name, c.RealIP())
}

func tooManyAttempts(wait time.Duration) *Problem {
	seconds := int(math.Ceil(wait.Seconds()))
	span := fmt.Sprintf("%d seconds", seconds)
	if seconds > 90 {
		span = fmt.Sprintf("%d minutes", (seconds+59)/60)
	}
	p := problem(http.StatusTooManyRequests, codeThrottled, "too many attempts from this address; wait "+span+" and try again")
	p.retryAfter = seconds
	return p
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// start begins a session with a secret of its own, in place of the one that the
// browser had.
func (s *Server) start(c echo.Context, proof Proof) error {
	value, err := newSecret()
	if err != nil {
		return err
	}
	r := c.Request()
	_, err = s.cfg.Accounts.StartSession(r.Context(), store.NewSession{
		AccountID: proof.Account.ID, ProvenHash: proof.Hash, Secret: value, Replaces: s.sessionSecret(r),
		IP: c.RealIP(), UserAgent: r.UserAgent(),
	})
	if err != nil {
		return err
	}
	s.setSession(c, value)
	return nil
}

// signOut ends the session on the server and in the browser.
func (s *Server) signOut(c echo.Context) error {
	who, err := s.currentSession(c)
	switch {
	case err == nil:
		s.remember(c, who)
		if err := s.cfg.Accounts.EndSession(c.Request().Context(), actor(c), who.SessionID); err != nil {
			return err
		}
	case !errors.Is(err, store.ErrUnauthenticated):
		return err
	}
	s.setSession(c, secret.Text{})
	return seeOther(c, "/", "signed-out")
}
