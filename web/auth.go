package web

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/labstack/echo/v4"

	"tributary/store"
)

// readerHeader names a reader; only keys that may do so are believed.
const readerHeader = "Tributary-Reader"

const maxAuthorization = 256

// caller is who asks, proven by an API key.
type caller struct {
	identity store.Identity
	key      store.Key
}

type callerKey struct{}

// callerOf returns the caller that authenticated put there.
func callerOf(c echo.Context) caller {
	who, _ := c.Request().Context().Value(callerKey{}).(caller)
	return who
}

// authenticated lets a request pass whose API key carries right.
func (s *Server) authenticated(right string) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return s.limit(s.slots)(func(c echo.Context) error {
			if err := s.authenticate(c, right); err != nil {
				return err
			}
			return next(c)
		})
	}
}

// authenticate puts the caller into the request, whose API key must carry right.
func (s *Server) authenticate(c echo.Context, right string) error {
	r := c.Request()
	secret, ok := bearer(r)
	if !ok {
		return unauthenticated()
	}
	key, identity, err := s.cfg.Store.Authenticate(r.Context(), secret)
	if err != nil {
		return err
	}
	if !slices.Contains(key.Rights, right) {
		return insufficientScope(right, "this key does not carry the right "+right)
	}
	// SECURITY: a key is bound to the reader it was made for; a request
	// that names another is refused rather than answered for the key's.
	if len(r.Header.Values(readerHeader)) > 0 {
		return insufficientScope("", "this key may not name a reader: leave the header "+readerHeader+" out")
	}
	ctx := context.WithValue(r.Context(), callerKey{}, caller{identity: identity, key: key})
	c.SetRequest(r.WithContext(ctx))
	return nil
}

// bearer returns the token of the one Authorization header (RFC 6750 §2.1).
func bearer(r *http.Request) (string, bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 || len(values[0]) > maxAuthorization {
		return "", false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	return token, ok && strings.EqualFold(scheme, "Bearer") && token != "" && !strings.ContainsAny(token, " \t,")
}
