package consenttest

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"tributary/connectors"
	sandboxconn "tributary/connectors/sandbox"
	"tributary/internal/audit"
	"tributary/internal/password"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/store"
	"tributary/web"
)

// scene is a rig with its web pages, and an admin's browser. Whatever a page answered and the log said is kept.
type scene struct {
	*rig
	server  *httptest.Server
	metrics *web.Metrics
	browser *http.Client
	log     *lockedBuffer
	// kept has what was told to people, linked the pages that hold a link to the provider, which has the state.
	kept, linked lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

const adaPassword = "wild horses drink tea"

func newScene(t *testing.T, files int) *scene {
	t.Helper()
	s := &scene{log: &lockedBuffer{}, metrics: web.NewMetrics(), server: httptest.NewUnstartedServer(nil)}
	public := "http://" + s.server.Listener.Addr().String()
	log := slog.New(slog.NewTextHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	limits := quick()
	limits.Failures = 1000 // the breaker would keep the failures from happening
	s.rig = newRig(t, pgtest.New(t), startDrive(t, files), parts{public: public, log: log, limits: limits})
	providers, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	address, err := url.Parse(public)
	if err != nil {
		t.Fatal(err)
	}
	hasher := password.NewHasher()
	s.server.Config.Handler = web.New(web.Config{
		PublicURL: address, Store: s.store, Accounts: s.store, Passwords: hasher, Log: log, Metrics: s.metrics,
		OAuth: &web.OAuth{
			Store: s.store, Registrations: s.registrations, Flows: s.flows, Grants: s.grants, Refresher: s.keeper, Syncer: s.runner, Opener: s.runner, Chooser: s.runner,
			Sources: []connectors.Spec{sandboxconn.New(sandboxconn.Config{}).Spec()}, Providers: providers,
		},
	}).Handler()
	s.server.Start()
	t.Cleanup(s.server.Close)
	hash, err := hasher.Hash(t.Context(), secret.New(adaPassword))
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.store.CreateAccount(t.Context(), audit.Actor{Kind: audit.System, Name: "test"}, store.NewAccount{Name: "ada", Role: store.RoleOwner, Password: store.Password{Hash: hash}})
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.browser = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if a := s.post("/signin", "name", "ada", "password", adaPassword); a.status != http.StatusSeeOther {
		t.Fatalf("signing in: %d\n%s", a.status, a.body)
	}
	return s
}

// answer is what a page answered.
type answer struct {
	status   int
	location string
	body     string
}

func (s *scene) get(path string) answer { return s.send(http.MethodGet, path, nil) }

func (s *scene) post(path string, fields ...string) answer {
	form := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return s.send(http.MethodPost, path, form)
}

var continueLink = regexp.MustCompile(`<a class="button" href="([^"]*)"[^>]*>Continue to `)

func (s *scene) send(method, path string, form url.Values) answer {
	s.t.Helper()
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.server.URL+path, strings.NewReader(form.Encode()))
	if err != nil {
		s.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html")
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Origin", "null")
	}
	resp, err := s.browser.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	keep := &s.kept
	if continueLink.Match(body) {
		keep = &s.linked
	}
	fmt.Fprintf(keep, "\n---- %s %s: %d %v\n%s\n", method, strings.SplitN(path, "?", 2)[0], resp.StatusCode, resp.Header, html.UnescapeString(string(body)))
	return answer{resp.StatusCode, resp.Header.Get("Location"), string(body)}
}

// through follows the page that leads to the provider, consents, and comes back. It returns the page of the outcome.
func (s *scene) through(begun answer) answer {
	s.t.Helper()
	m := continueLink.FindStringSubmatch(begun.body)
	if m == nil {
		s.t.Fatalf("no link to the provider: %d\n%s", begun.status, begun.body)
	}
	back, err := s.drive.browser().Consent(html.UnescapeString(m[1]), ann)
	if err != nil {
		s.t.Fatal(err)
	}
	a := s.get(back.RequestURI())
	if a.status != http.StatusSeeOther || a.location != "/oauth/result" {
		s.t.Fatalf("the callback: %d to %q\n%s", a.status, a.location, a.body)
	}
	return s.get(a.location)
}

// begin starts the consent of a new connection.
func (s *scene) begin(name string) answer {
	s.t.Helper()
	return s.post("/connect", "source", sandboxconn.Source, "registration", s.reg.ID.String(), "kind", "authorization_code", "name", name)
}

// tell keeps what an error says.
func (s *scene) tell(err error) {
	if err != nil {
		fmt.Fprintf(&s.kept, "\n---- error\n%v\n%+v\n%#v\n", err, err, err)
	}
}

// crawl opens every page there is, the list of audit events and the metrics. It returns how many pages answered.
func (s *scene) crawl() int {
	s.t.Helper()
	paths := []string{
		"/", "/account", "/users", "/registrations", "/registrations/new", "/registrations/new?provider=sandbox", "/registrations/" + s.reg.ID.String(),
		"/registrations/" + s.reg.ID.String() + "/change", "/connect", "/connect?source=sandbox&registration=" + s.reg.ID.String(), "/connections", "/grants", "/audit",
	}
	conns, err := s.store.Connections(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, c := range conns {
		paths = append(paths, "/connections/"+c.Name, "/connections/"+c.Name+"/disconnect")
	}
	grants, err := s.grants.List(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	for _, g := range grants {
		paths = append(paths, "/grants/"+g.ID.String())
		view, err := s.grants.Get(s.t.Context(), g.ID)
		s.tell(err)
		fmt.Fprintf(&s.kept, "%+v\n", view)
	}
	pages := 0
	for _, p := range paths {
		if a := s.get(p); a.status == http.StatusOK {
			pages++
		} else if a.status != http.StatusSeeOther {
			s.t.Errorf("page %s answers %d", p, a.status)
		}
	}
	events, err := s.store.AuditEvents(s.t.Context(), store.AuditFilter{Limit: 1000})
	s.tell(err)
	fmt.Fprintf(&s.kept, "%+v\n", events)
	w := httptest.NewRecorder()
	s.metrics.Handler("127.0.0.1:9090", func(context.Context) error { return nil }).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://127.0.0.1:9090/metrics", http.NoBody))
	if w.Code != http.StatusOK {
		s.t.Errorf("the metrics answer %d", w.Code)
	}
	_, _ = s.kept.Write(w.Body.Bytes())
	return pages
}

// find looks for every secret that passed the drive: in the database, the files of the instance, its log, its pages and
// its errors.
func (s *scene) find() []string {
	s.t.Helper()
	dir := s.t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			s.t.Fatal(err)
		}
		return path
	}
	secrets := s.drive.known()
	log, told, linked := write("log", s.log.String()), write("told", s.kept.String()), write("linked", s.linked.String())
	hits, err := pgtest.FindSecrets(s.t.Context(), s.db.SuperURL, secrets, log, told, s.parts.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	// The link to the provider is where the state belongs, and nothing else.
	for name := range secrets {
		if strings.HasPrefix(name, "state ") {
			delete(secrets, name)
		}
	}
	more, err := pgtest.FindSecrets(s.t.Context(), s.db.SuperURL, secrets, linked)
	if err != nil {
		s.t.Fatal(err)
	}
	hits = append(hits, more...)
	slices.Sort(hits)
	return slices.Compact(hits)
}
