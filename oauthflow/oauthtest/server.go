package oauthtest

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Behaviour is how a server acts. A test changes it with Server.Set while no request is under way.
type Behaviour struct {
	// Dialect of the answers.
	Form          bool // form-encoded unless the client accepts JSON, errors with status 200: GitHub
	CommaScopes   bool // in answers
	NoScope       bool // answers name no scopes
	NoExpiry      bool // answers name no life
	OfflineOnly   bool // a refresh token only with access_type=offline, again only with prompt=consent: Google
	NoRefresh     bool // never a refresh token
	RefreshExpiry time.Duration
	RefreshLife   time.Duration  // refresh tokens die silently so long after their consent, by Server.Age: Google in Testing
	MaxGrants     int            // of one account; one more ends the oldest: Google
	IDToken       map[string]any // claims of an id_token, which is not signed
	Life          time.Duration  // of access tokens; 0 is an hour
	Auth          string         // client_secret_post, client_secret_basic, private_key_jwt, none
	Errors        map[string]string
	ScopeAlias    map[string]string // answered in place of what was asked

	// What a refresh does: "N" keeps the refresh token, "R" gives a new one and keeps the old, "S" gives a new one and
	// ends the old and its access tokens, "F" also ends the family when an old one comes again.
	Rotation string

	// The person who consents.
	Subject  string
	Account  string
	Unticked []string
	Extra    []string // granted without having been asked for
	Deny     string   // the error instead of a code

	// KeepsScopes gives an account that consented before the scopes of that consent, without a word: Gitea.
	KeepsScopes bool

	// The authorization answer.
	Iss       bool // sends iss
	WrongIss  string
	RequireS2 bool // refuses a request without PKCE S256
	Metadata  map[string]any

	// Before answers a request in place of the server where it returns true.
	Before func(endpoint string, w http.ResponseWriter, r *http.Request) bool
	// After answers in place of the server after a token request has taken effect.
	After func(w http.ResponseWriter, r *http.Request) bool
	// Key verifies assertions; nil accepts none.
	Key crypto.PublicKey
}

// Request is one request as the server saw it. Secrets are digests.
type Request struct {
	Endpoint  string // authorize, token, revoke, introspect, userinfo, installation, metadata
	Method    string
	GrantType string
	Token     string            // digest of the code, refresh token or token to revoke
	Form      map[string]string // without secrets
	Status    int
	Claims    map[string]any // of the assertion
	Host      string
}

type token struct {
	refresh, access string
	family          string
	scopes          []string
	subject         string
	account         string
	dead, used      bool
	born            time.Duration // by Server.Age
}

type code struct {
	redirect, challenge string
	scopes              []string
	refresh, used       bool
	subject, account    string
}

// Server is an authorization server on a loopback address.
type Server struct {
	URL          string
	ClientID     string
	ClientSecret string

	tb     testing.TB
	mu     sync.Mutex
	b      Behaviour
	log    []Request
	codes  map[string]*code
	tokens []*token
	given  map[string]bool     // subjects that got a refresh token
	before map[string][]string // scopes that a subject granted, for include_granted_scopes
	age    time.Duration
	jtis   map[string]bool
}

// New starts a server that ends with the test.
func New(tb testing.TB, b Behaviour) *Server {
	tb.Helper()
	s := &Server{
		ClientID: "client-" + rand.Text()[:8], ClientSecret: "s3cret+" + rand.Text(), tb: tb, b: b, codes: map[string]*code{}, given: map[string]bool{}, before: map[string][]string{}, jtis: map[string]bool{},
	}
	mux := http.NewServeMux()
	for pattern, h := range map[string]func(http.ResponseWriter, *http.Request, *Request){
		"/authorize": s.authorize, "/token": s.token, "/revoke": s.revoke, "/revoke/{client}": s.revoke, "/introspect": s.introspect, "/userinfo": s.userinfo,
		"/installations/{id}/access_tokens": s.installation, "/.well-known/oauth-authorization-server": s.metadata,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(pattern, h, w, r) })
	}
	srv := httptest.NewServer(mux)
	tb.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

// serve logs a request and has it answered.
func (s *Server) serve(pattern string, h func(http.ResponseWriter, *http.Request, *Request), w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	entry := &Request{Endpoint: endpointOf(pattern), Method: r.Method, Host: r.Host, Form: map[string]string{}}
	rec := &recorder{ResponseWriter: w, status: http.StatusOK}
	b := s.behaviour()
	s.mu.Lock()
	s.log = append(s.log, *entry)
	at := len(s.log) - 1
	s.mu.Unlock()
	defer func() {
		entry.Status = rec.status
		s.mu.Lock()
		s.log[at] = *entry
		s.mu.Unlock()
	}()
	if b.Before != nil && b.Before(entry.Endpoint, rec, r) {
		return
	}
	h(rec, r, entry)
}

func endpointOf(pattern string) string {
	switch name, _, _ := strings.Cut(strings.TrimPrefix(pattern, "/"), "/"); name {
	case "installations":
		return "installation"
	case ".well-known":
		return "metadata"
	default:
		return name
	}
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap serves http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Set changes the behaviour.
func (s *Server) Set(change func(*Behaviour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.b)
}

func (s *Server) behaviour() Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b
}

// Log returns the requests to an endpoint, the oldest first.
func (s *Server) Log(endpoint string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Request
	for _, r := range s.log {
		if r.Endpoint == endpoint {
			out = append(out, r)
		}
	}
	return out
}

// Count returns how many requests came to an endpoint.
func (s *Server) Count(endpoint string) int { return len(s.Log(endpoint)) }

// Host returns host:port.
func (s *Server) Host() string { return strings.TrimPrefix(s.URL, "http://") }

// Browser follows the link of an authorization request as a person's browser does, and returns where the server sends
// it back to.
func (s *Server) Browser(link string) *url.URL {
	s.tb.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(s.tb.Context(), http.MethodGet, link, http.NoBody)
	if err != nil {
		s.tb.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		s.tb.Fatal(err)
	}
	defer resp.Body.Close()
	to, err := resp.Location()
	if err != nil {
		s.tb.Fatalf("the server shows a page with status %d instead of sending the browser back", resp.StatusCode)
	}
	return to
}

// Granted has an account have consented before.
func (s *Server) Granted(subject string, scopes ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.before[subject] = scopes
}

// Forget removes the access of an account, as the person does on the provider's pages.
func (s *Server) Forget(subject string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.before, subject)
	s.endWhere(func(t *token) bool { return t.subject == subject })
}

// Alive reports whether an access or refresh token is accepted.
func (s *Server) Alive(value string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.tokens, func(t *token) bool { return !t.dead && (t.access == value || t.refresh == value) })
}

// Age lets time pass for refresh tokens.
func (s *Server) Age(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.age += d
}

// Digest is how the log names a secret.
func Digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:6])
}
