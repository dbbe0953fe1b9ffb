package web

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/internal/secret"
	"tributary/store"
)

// Identity is who uses a page, proven by a live session, or the admin API, proven by a token.
type Identity struct {
	// Account has the role that counts: a token's own where that is the lesser one.
	Account   store.Account
	SessionID uuid.UUID
	// Token is set for the admin API.
	Token *store.AdminToken
}

// Role is the role of the account.
func (i Identity) Role() store.AccountRole { return i.Account.Role }

// MayAct reports whether the account has role or one above it.
func (i Identity) MayAct(role store.AccountRole) bool {
	roles := store.AccountRoles()
	have, want := slices.Index(roles, i.Account.Role), slices.Index(roles, role)
	return want >= 0 && have >= want
}

type identityKey struct{}

// identityOf returns the identity that signedIn put there; on pages that need
// no session it is absent.
func identityOf(c echo.Context) (Identity, bool) {
	who, ok := c.Request().Context().Value(identityKey{}).(Identity)
	return who, ok
}

// actor is who the audit log says acted.
func actor(c echo.Context) audit.Actor {
	if who, ok := identityOf(c); ok && who.Token != nil {
		return audit.Actor{Kind: audit.Token, Name: strings.TrimPrefix(who.Account.Name+"/"+who.Token.Name, "/"), Authenticated: true, IP: c.RealIP()}
	} else if ok {
		return audit.Actor{Kind: audit.Account, Name: who.Account.Name, Authenticated: true, IP: c.RealIP()}
	}
	return audit.Actor{Kind: audit.Anonymous, Name: "visitor", IP: c.RealIP()}
}

// The names of the session cookie. A browser takes one with the prefix __Host-
// only over https, from this host, for all of it (RFC 6265bis §4.1.3.2).
const (
	secureCookie = "__Host-tributary"
	plainCookie  = "tributary"
)

const sessionBytes = 32

// byItselfHeader stands in requests that a page's script sends by itself.
const byItselfHeader = "Tributary-By-Itself"

func (s *Server) secure() bool { return s.cfg.PublicURL.Scheme == "https" }

func (s *Server) cookieName() string {
	if s.secure() {
		return secureCookie
	}
	return plainCookie
}

// setSession gives the browser the secret of its session; an empty one takes it
// away. The browser forgets it when it is closed, the server by its own rules.
func (s *Server) setSession(c echo.Context, value secret.Text) {
	cookie := &http.Cookie{ //nolint:gosec // on plain http, which is loopback only, a browser would not take Secure
		Name: s.cookieName(), Value: value.Reveal(), Path: "/", HttpOnly: true, Secure: s.secure(), SameSite: http.SameSiteLaxMode,
	}
	if !value.IsSet() {
		cookie.MaxAge = -1
	}
	c.SetCookie(cookie)
}

// sessionSecret returns what the browser sent; two cookies of the name are none.
func (s *Server) sessionSecret(r *http.Request) secret.Text {
	found := r.CookiesNamed(s.cookieName())
	if len(found) != 1 || len(found[0].Value) != base64.RawURLEncoding.EncodedLen(sessionBytes) {
		return secret.Text{}
	}
	return secret.New(found[0].Value)
}

func newSecret() (secret.Text, error) {
	raw := make([]byte, sessionBytes)
	if _, err := rand.Read(raw); err != nil {
		return secret.Text{}, fmt.Errorf("making a secret: %w", err)
	}
	return secret.New(base64.RawURLEncoding.EncodeToString(raw)), nil
}

// currentSession returns the identity of the request's session, or
// store.ErrUnauthenticated.
func (s *Server) currentSession(c echo.Context) (Identity, error) {
	value := s.sessionSecret(c.Request())
	if !value.IsSet() {
		return Identity{}, store.ErrUnauthenticated
	}
	look := s.cfg.Accounts.SessionOf
	// SECURITY: a page that is left open does not keep its session alive. Whoever sends the header can only shorten it.
	if c.Request().Header.Get(byItselfHeader) != "" || c.Request().URL.Path == livePath {
		look = s.cfg.Accounts.PeekSession
	}
	session, account, err := look(c.Request().Context(), value)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Account: account, SessionID: session.ID}, nil
}

// signedIn lets a request pass that has a live session of an account with the
// route's role.
func (s *Server) signedIn(r route) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			who, err := s.currentSession(c)
			if errors.Is(err, store.ErrUnauthenticated) {
				return s.askToSignIn(c, r)
			}
			if err != nil {
				return err
			}
			s.remember(c, who)
			if who.Account.PasswordExpiresAt != nil && !r.oneTime {
				if isSafe(c.Request().Method) {
					return c.Redirect(http.StatusSeeOther, "/account/password")
				}
				return problem(http.StatusForbidden, codeForbidden, "your password is for one use: change it before you go on, on the page /account/password")
			}
			if !who.MayAct(r.access.role()) {
				return problem(http.StatusForbidden, codeForbidden, fmt.Sprintf("this needs the role %s, and yours is %s: ask an owner, who can change that on the page Users", r.access.role(), who.Account.Role))
			}
			return next(c)
		}
	}
}

// remember puts the identity where handlers find it.
func (s *Server) remember(c echo.Context, who Identity) {
	c.SetRequest(c.Request().WithContext(context.WithValue(c.Request().Context(), identityKey{}, who)))
}

// askToSignIn sends a reader to the sign-in page and back, and tells a form that
// its session is over.
func (s *Server) askToSignIn(c echo.Context, r route) error {
	if s.sessionSecret(c.Request()).IsSet() {
		s.setSession(c, secret.Text{})
	}
	if !isSafe(c.Request().Method) {
		p := problem(http.StatusUnauthorized, codeUnauthorized, "you are not signed in, or your session is over; nothing was changed")
		p.authenticate = formChallenge
		return p
	}
	to := "/signin"
	if next := s.returnPath(c.Request().URL.Path); next != "" && next != "/" && r.returnable {
		to += "?next=" + next
	}
	return c.Redirect(http.StatusSeeOther, to)
}

// formChallenge is the challenge of a 401 whose remedy is the sign-in page
// (RFC 9110 §15.5.2 wants one; no browser acts on this).
const formChallenge = `Form realm="tributary"`

func isSafe(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// page stands in front of every page: nothing is cached, and what changes
// something is a form of this server's own pages.
func (s *Server) page(at route) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			r := c.Request()
			c.Response().Header().Set("Cache-Control", "no-store")
			if isSafe(r.Method) {
				return next(c)
			}
			if err := s.sameOrigin(r); err != nil {
				return err
			}
			mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
			if err != nil || (mediaType != echo.MIMEApplicationForm && (mediaType != echo.MIMEMultipartForm || !at.files)) {
				return problem(http.StatusUnsupportedMediaType, codeMediaType, "pages take forms only: Content-Type: "+echo.MIMEApplicationForm)
			}
			return next(c)
		}
	}
}

// sameOrigin refuses a request that is not proven to come from a page of this
// server. Browsers send Sec-Fetch-Site to https and to loopback, which is where
// pages are served (Fetch Metadata §2.3); the Origin counts where it is absent.
func (s *Server) sameOrigin(r *http.Request) error {
	site, origin := r.Header.Values("Sec-Fetch-Site"), r.Header.Values("Origin")
	switch {
	case len(site) == 1 && site[0] == "same-origin":
		return nil
	case len(site) == 0 && len(origin) == 1 && origin[0] == s.cfg.PublicURL.Scheme+"://"+s.cfg.PublicURL.Host:
		return nil
	}
	return problem(http.StatusForbidden, codeForbidden,
		"this was not sent from a page of "+s.cfg.PublicURL.String()+", so nothing was changed; open the page there and try again, without extensions or proxies that drop the header Sec-Fetch-Site")
}
