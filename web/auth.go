package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"tributary/internal/assertion"
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
	if errors.Is(err, store.ErrUnauthenticated) {
		return invalidToken()
	}
	if err != nil {
		return err
	}
	if wait := s.rates.take(key, time.Now()); wait > 0 {
		return rateLimited(wait)
	}
	if !slices.Contains(key.Rights, right) {
		return insufficientScope(right, "this key does not carry the right "+right)
	}
	// Who pushes reads nothing, for nobody.
	if named := r.Header.Values(readerHeader); !key.Mode.NamesReaders() || right == store.RightPush {
		// SECURITY: a request that names a reader whom its key may not name is
		// refused rather than answered for the key's.
		if len(named) > 0 {
			return insufficientScope("", "this key may not name a reader: leave the header "+readerHeader+" out")
		}
	} else if identity, err = s.named(r.Context(), key, named); err != nil {
		return err
	}
	ctx := context.WithValue(r.Context(), callerKey{}, caller{identity: identity, key: key})
	c.SetRequest(r.WithContext(ctx))
	return nil
}

// named returns the identity of the reader that the headers of a request name.
//
// SECURITY: a key that has to name a reader and names none, or names one wrongly,
// is refused, never answered with everything or with nothing.
func (s *Server) named(ctx context.Context, key store.Key, headers []string) (store.Identity, error) {
	if len(headers) != 1 || headers[0] == "" {
		return store.Identity{}, assertionRefused("this key names a reader with each request: send the header " + readerHeader + " once, with " + wantedBy(key.Mode))
	}
	name := headers[0]
	switch isAssertion := assertion.Looks(name); {
	case key.Mode == store.KeyTrusted && isAssertion, key.Mode == store.KeyAssertion && !isAssertion:
		return store.Identity{}, insufficientScope("", "this key may not name a reader like that: "+readerHeader+" takes "+wantedBy(key.Mode))
	case key.Mode == store.KeyTrusted:
		id, err := uuid.Parse(name)
		if err != nil || id.String() != strings.ToLower(name) {
			return store.Identity{}, readerUnknown()
		}
		who, err := s.cfg.Store.NameReader(ctx, key, id)
		if n := s.namings.count(key.ID, id, time.Now()); n > 0 {
			s.alarm(ctx, key, n)
		}
		return namedProblem(who, err)
	}
	claims, err := assertion.Verify(name, s.audience(), key.SignersOf())
	if err != nil {
		return store.Identity{}, assertionRefused("the assertion in " + readerHeader + " is refused: " + err.Error())
	}
	return namedProblem(s.cfg.Store.NameByAssertion(ctx, key, claims))
}

// alarm tells the admins that a trusted key names unusually many readers.
func (s *Server) alarm(ctx context.Context, key store.Key, readers int) {
	s.cfg.Log.WarnContext(ctx, "a trusted key names many readers", "key", key.Name, "readers_per_minute", readers)
	if err := s.cfg.Store.AlarmKey(ctx, key, readers); err != nil {
		s.cfg.Log.ErrorContext(ctx, "raising a notice of a key", "key", key.Name, "error", err)
	}
}

// audience is whom assertions are for.
func (s *Server) audience() string { return s.cfg.PublicURL.String() }

// wantedBy says what the header holds for a mode.
func wantedBy(m store.KeyMode) string {
	if m == store.KeyTrusted {
		return "the id of a reader"
	}
	return "a JWT that a registered key pair signed"
}

func namedProblem(who store.Identity, err error) (store.Identity, error) {
	switch {
	case errors.Is(err, store.ErrReaderUnknown):
		err = readerUnknown()
	case errors.Is(err, store.ErrAssertionUsed):
		err = assertionRefused("the assertion in " + readerHeader + " is refused: its jti was used before; sign another for each request")
	case errors.Is(err, store.ErrAssertionTime):
		err = assertionRefused("the assertion in " + readerHeader + " is refused: it is expired or not valid yet; look at the clock of who signs")
	case errors.Is(err, store.ErrUnauthenticated):
		err = invalidToken()
	}
	return who, err
}

// assertionRefused is the 401 of a key that did not prove for whom it asks.
func assertionRefused(detail string) *Problem {
	p := problem(http.StatusUnauthorized, codeAssertion, detail)
	p.authenticate = `Bearer realm="tributary", error="invalid_token"`
	return p
}

// readerUnknown is the 403 of a key that named nobody; it never says whether the reader is disabled.
func readerUnknown() *Problem {
	return problem(http.StatusForbidden, codeReader, "there is no such reader, or it is disabled")
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
