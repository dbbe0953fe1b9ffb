package web

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
)

const (
	requestIDHeader = "X-Request-Id"
	// contentPolicy allows this server's own files and nothing else.
	contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
	hstsYear = "max-age=31536000"
)

func requestID(c echo.Context) string { return c.Response().Header().Get(requestIDHeader) }

// observe gives every request an id and the security headers, turns a panic
// into a 500, counts and logs. It stands in front of the router, so that it
// sees the requests that match no route too.
func (s *Server) observe(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		began := time.Now()
		h := c.Response().Header()
		h.Set(requestIDHeader, rand.Text())
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		if s.cfg.PublicURL.Scheme == "https" {
			h.Set("Strict-Transport-Security", hstsYear)
		}
		if err := s.recovered(c, next); err != nil {
			s.handleError(err, c)
		}
		s.record(c, time.Since(began))
		return nil
	}
}

// recovered calls next and returns a panic as an error. The stack goes to the
// log only.
func (s *Server) recovered(c echo.Context, next echo.HandlerFunc) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.cfg.Log.ErrorContext(c.Request().Context(), "handler panicked", "request_id", requestID(c), "panic", fmt.Sprint(v), "stack", string(debug.Stack()))
			err = fmt.Errorf("handling the request: panic: %v", v)
		}
	}()
	return next(c)
}

// record counts and logs one answered request. The path's parameters, the query
// and the body are never logged.
func (s *Server) record(c echo.Context, took time.Duration) {
	route := c.Path()
	if route == "" {
		route = "unmatched"
	}
	status := c.Response().Status
	s.cfg.Metrics.observeRequest(route, status, took)
	if isProbe(c.Request().URL.Path) {
		return
	}
	s.cfg.Log.InfoContext(c.Request().Context(), "request", "request_id", requestID(c), "method", c.Request().Method, "route", route,
		"status", status, "took", took.Round(time.Microsecond), "bytes", c.Response().Size, "ip", c.RealIP())
}

func isProbe(path string) bool { return path == "/healthz" || path == "/readyz" }

// guard refuses what no handler should see: other hosts, other peers, TRACE.
func (s *Server) guard(next echo.HandlerFunc) echo.HandlerFunc {
	crossOrigin := http.NewCrossOriginProtection()
	return func(c echo.Context) error {
		r := c.Request()
		if r.Method == http.MethodTrace || r.Method == http.MethodConnect {
			c.Response().Header().Set("Allow", "GET, HEAD, POST")
			return problem(http.StatusMethodNotAllowed, codeMethod, r.Method+" is off")
		}
		if strings.HasPrefix(r.URL.Path, callbackPath) && r.Method != http.MethodGet {
			// Providers answer in the address (response_mode=query), so a form is none of theirs.
			c.Response().Header().Set("Allow", "GET")
			return problem(http.StatusMethodNotAllowed, codeMethod, "a provider's answer is taken by GET only; register the client with response_mode=query")
		}
		if s.cfg.ListenerIsPublic && r.TLS == nil && !s.peerMayConnect(r.RemoteAddr) {
			return problem(http.StatusForbidden, codeForbidden, "plain http is for the configured proxies only; use "+s.cfg.PublicURL.String())
		}
		if err := s.checkHost(c); err != nil || c.Response().Committed {
			return err
		}
		if err := crossOrigin.Check(r); err != nil {
			return problem(http.StatusForbidden, codeForbidden, "a page of another site may not send this request")
		}
		// SECURITY: what a browser sends by itself proves nothing about who wants it.
		if !isSafe(r.Method) && len(r.CookiesNamed(s.cookieName())) > 0 {
			if err := s.sameOrigin(r); err != nil {
				return err
			}
		}
		return next(c)
	}
}

func (s *Server) peerMayConnect(remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	ip := ap.Addr().Unmap().WithZone("")
	if ip.IsLoopback() {
		return true
	}
	for _, p := range s.cfg.TrustedProxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// checkHost answers only for the public address, so that a name which an
// attacker points here reaches nothing (DNS rebinding). Probes may name an IP
// address or localhost, as container platforms do. A person who opens the
// loopback address under its other name is sent to the configured one.
func (s *Server) checkHost(c echo.Context) error {
	r := c.Request()
	want, got := canonicalHost(s.cfg.PublicURL.Host, s.cfg.PublicURL.Scheme), canonicalHost(r.Host, s.cfg.PublicURL.Scheme)
	if got == want {
		return nil
	}
	gotName, gotPort := splitHost(got)
	wantName, wantPort := splitHost(want)
	if isProbe(r.URL.Path) && isIPOrLocalhost(gotName) {
		return nil
	}
	page := r.Method == http.MethodGet && !strings.HasPrefix(r.URL.Path, "/v1/")
	if page && isLoopbackName(gotName) && isLoopbackName(wantName) && gotPort == wantPort {
		return c.Redirect(http.StatusTemporaryRedirect, s.cfg.PublicURL.Scheme+"://"+s.cfg.PublicURL.Host+r.URL.RequestURI())
	}
	return problem(http.StatusMisdirectedRequest, codeMisdirected, "this server answers for "+s.cfg.PublicURL.String()+" only; TRIBUTARY_PUBLIC_URL sets that")
}

// canonicalHost returns host in lower case with the port spelled out.
func canonicalHost(host, scheme string) string {
	host = strings.ToLower(host)
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "80"
	if scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}

func splitHost(hostport string) (name, port string) {
	name, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return hostport, ""
	}
	return name, port
}

func isIPOrLocalhost(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil || name == "localhost"
}

func isLoopbackName(name string) bool {
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || (err == nil && ip.Unmap().IsLoopback())
}

// limit lets as many requests pass at a time as there are slots, which bounds
// those that use the database; others wait a moment and are then told to come
// back.
func (s *Server) limit(slots chan struct{}) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			wait, cancel := context.WithTimeout(c.Request().Context(), s.cfg.AcquireTimeout)
			defer cancel()
			select {
			case slots <- struct{}{}:
				defer func() { <-slots }()
				return next(c)
			case <-wait.Done():
				if err := c.Request().Context().Err(); err != nil {
					return err
				}
				return overloaded()
			}
		}
	}
}
