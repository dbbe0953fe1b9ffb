package web

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/labstack/echo/v4"

	"tributary/internal/audit"
	"tributary/internal/secret"
	"tributary/store"
)

const (
	apiKeyPrefix     = "trib_"
	adminTokenPrefix = "tribadm_"
)

// byToken lets a request pass whose admin token has the role of the address.
//
// SECURITY: cookies prove nothing here, so that no page of another site can make a browser act (WB-2).
func (s *Server) byToken(r route) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			text, ok := bearer(c.Request())
			if ok && strings.HasPrefix(text, apiKeyPrefix) {
				return insufficientScope("", "this is an API key, which asks questions; the admin API takes a token: tributary tokens create NAME, or the page Your account")
			}
			if wait := s.guesses.wait(c.RealIP(), time.Now()); wait > 0 {
				return tooManyGuesses(wait)
			}
			if !ok || !strings.HasPrefix(text, adminTokenPrefix) {
				return noToken()
			}
			token, account, err := s.cfg.Admin.Store.AuthenticateAdmin(c.Request().Context(), secret.New(text))
			if errors.Is(err, store.ErrUnauthenticated) {
				s.guesses.count(c.RealIP(), time.Now())
				s.refused(c, "admin_token.refused", audit.Target{Kind: "admin_token"})
				return noToken()
			}
			if err != nil {
				return err
			}
			who := Identity{Account: account, Token: &token}
			s.remember(c, who)
			if !who.MayAct(r.access.role()) {
				return insufficientScope("", "this needs the role "+string(r.access.role())+", and the token has "+string(who.Role())+": an owner can give its account another role, or make another token")
			}
			return next(c)
		}
	}
}

// noToken is the one 401 of the admin API; it never says which part was wrong.
func noToken() *Problem {
	p := problem(http.StatusUnauthorized, codeUnauthorized, "send a valid admin token as Authorization: Bearer tribadm_…; tributary tokens create NAME makes one")
	p.authenticate = `Bearer realm="tributary-admin"`
	return p
}

func tooManyGuesses(wait time.Duration) *Problem {
	p := problem(http.StatusTooManyRequests, codeThrottled, "too many tokens from this address were wrong; look whether yours has expired or was revoked, and try again later")
	p.retryAfter = int(wait/time.Second) + 1
	return p
}

// Limits of wrong tokens. SECURITY: no number of guesses finds 256 bits; this keeps the database and the audit log from
// those who try.
const (
	guessesFree   = 20
	guessesPer    = time.Minute
	guessesForget = 10_000
)

// guesses counts wrong tokens by address. The zero value is ready.
type guesses struct {
	mu    sync.Mutex
	since time.Time
	made  map[string]int
}

// wait returns how long an address has to wait, 0 for not at all.
func (g *guesses) wait(ip string, now time.Time) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.since) >= guessesPer || g.made[block(ip)] < guessesFree {
		return 0
	}
	return guessesPer - now.Sub(g.since)
}

// count counts a wrong token.
func (g *guesses) count(ip string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now.Sub(g.since) >= guessesPer || len(g.made) >= guessesForget {
		g.since, g.made = now, map[string]int{}
	}
	g.made[block(ip)]++
}

// block is what one stranger can choose addresses from: a /64 of IPv6, one address of IPv4.
func block(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil {
		return ip
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return a.String()
	}
	p, err := a.Prefix(64)
	if err != nil {
		return ip
	}
	return p.String()
}
