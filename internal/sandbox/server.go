package sandbox

import (
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"tributary/internal/sandbox/company"
)

// Config says what a Server is.
type Config struct {
	// Org fills the drive the first time; later the state file counts.
	Org company.Organisation
	// StatePath is the directory of the state files, made when missing; "" keeps everything in memory.
	StatePath string
	// BaseURL is where people and programs reach the server, such as http://localhost:8090; its host is the only one
	// that is answered.
	BaseURL string
	// Clock is the time, time.Now where nil.
	Clock func() time.Time
	Log   *slog.Logger
}

// Server is one Sandbox Drive. Its methods are safe for concurrent use.
type Server struct {
	base    *url.URL
	auth    *authority
	world   *World
	faults  *Faults
	limiter *limiter
	pages   *template.Template
	log     *slog.Logger
	clock   func() time.Time
	handler http.Handler
}

// New returns a Server with the state that StatePath holds, or with Org where there is none.
func New(cfg Config) (*Server, error) {
	base, err := parseBase(cfg.BaseURL)
	if err != nil {
		return nil, err
	}
	s := &Server{base: base, faults: &Faults{}, log: cfg.Log, clock: cfg.Clock}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	s.faults.Clear()
	s.limiter = newLimiter(s.faults)
	if s.pages, err = parsePages(); err != nil {
		return nil, err
	}
	var authFile, driveFile file
	if cfg.StatePath != "" {
		authFile, driveFile = file(filepath.Join(cfg.StatePath, "authorization.json")), file(filepath.Join(cfg.StatePath, "drive.json"))
	}
	if s.auth, err = openAuthority(authFile, s.now); err != nil {
		return nil, err
	}
	if s.world, err = openWorld(driveFile, cfg.Org, s.now); err != nil {
		return nil, err
	}
	s.handler = s.guard(s.routes())
	return s, nil
}

// parseBase checks the address; plain http is for this machine itself.
func parseBase(address string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(address, "/"))
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, fmt.Errorf("reading the sandbox's address %q: write scheme, host and port only, such as http://localhost:8090", address)
	}
	if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("reading the sandbox's address %q: it is for this machine only; use localhost", address)
	}
	u.Host = strings.ToLower(u.Host)
	return u, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || (err == nil && ip.Unmap().IsLoopback())
}

// now is the clock with the jump that the switches ask for.
func (s *Server) now() time.Time { return s.clock().Add(s.faults.jump()) }

// Handler answers everything.
func (s *Server) Handler() http.Handler { return s.handler }

// World is what the drive holds.
func (s *Server) World() *World { return s.world }

// Faults are the switches.
func (s *Server) Faults() *Faults { return s.faults }

// URL returns the server's own address of a path.
func (s *Server) URL(path string) string { return s.base.String() + path }

// Register makes a client; its secret is told this once.
func (s *Server) Register(redirectURIs ...string) (clientID, secret string, err error) {
	c := client{Name: "Client made by code", RedirectURIs: redirectURIs}
	if err := c.check(); err != nil {
		return "", "", err
	}
	return s.auth.register(c)
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.home)
	mux.HandleFunc("GET /style.css", s.style)
	mux.HandleFunc("GET /signin", s.signInPage)
	mux.HandleFunc("POST /signin", s.signIn)
	mux.HandleFunc("POST /signout", s.signOut)
	mux.HandleFunc("GET /account", s.accountPage)
	mux.HandleFunc("POST /account/remove", s.accountRemove)
	mux.HandleFunc("GET /clients", s.clientsPage)
	mux.HandleFunc("POST /clients", s.clientsAdd)
	mux.HandleFunc("POST /clients/{id}/remove", s.clientsRemove)
	mux.HandleFunc("GET /switches", s.switchesPage)
	mux.HandleFunc("POST /switches", s.switchesSet)

	mux.HandleFunc("GET /.well-known/oauth-authorization-server", s.metadata)
	mux.HandleFunc("GET /oauth/authorize", s.authorizePage)
	mux.HandleFunc("POST /oauth/authorize", s.authorizeDecide)
	mux.HandleFunc("POST /oauth/token", s.token)
	mux.HandleFunc("POST /oauth/revoke", s.revoke)
	mux.HandleFunc("POST /oauth/introspect", s.introspect)
	mux.HandleFunc("GET /oauth/userinfo", s.userinfo)
	mux.HandleFunc("POST /oauth/userinfo", s.userinfo)

	s.apiRoutes(mux)
	s.driveRoutes(mux)
	return mux
}

// contentPolicy lets a page load the style sheet and send forms home. formTo is one more origin that a form's answer
// may lead to, because browsers hold redirects of forms to form-action too.
func contentPolicy(formTo string) string {
	forms := "'self'"
	if formTo != "" {
		forms += " " + formTo
	}
	return "default-src 'none'; style-src 'self'; form-action " + forms + "; base-uri 'none'; frame-ancestors 'none'"
}

// guard refuses other hosts and requests that another site's page sends, and sets the headers of every answer.
func (s *Server) guard(next http.Handler) http.Handler {
	crossOrigin := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy(""))
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		if !strings.EqualFold(withPort(r.Host, s.base.Scheme), withPort(s.base.Host, s.base.Scheme)) {
			http.Error(w, "This server answers for "+s.base.String()+" only.", http.StatusMisdirectedRequest)
			return
		}
		if err := crossOrigin.Check(r); err != nil {
			http.Error(w, "A page of another site may not send this request.", http.StatusForbidden)
			return
		}
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			s.log.ErrorContext(r.Context(), "sandbox handler panicked", "path", r.URL.Path, "panic", fmt.Sprint(v))
			http.Error(w, "The sandbox has a bug here; its log says more.", http.StatusInternalServerError)
		}()
		next.ServeHTTP(w, r)
	})
}

// withPort spells the scheme's own port out.
func withPort(host, scheme string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	port := "80"
	if scheme == "https" {
		port = "443"
	}
	return net.JoinHostPort(strings.Trim(host, "[]"), port)
}
