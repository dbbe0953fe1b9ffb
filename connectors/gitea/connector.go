package gitea

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Config is what the wiring decides for every connection to a Gitea.
type Config struct {
	// PageSize is the number of entries asked for at a time; 0 means 50, the most that a server gives unless it is set up
	// otherwise.
	PageSize int
	// TreePage is the number of files asked for at a time; 0 means 1,000.
	TreePage int
	// Retry says what is repeated; its zero value is ready.
	Retry httpx.Retry
}

const (
	defaultPageSize = 50
	defaultTreePage = 1000
)

// Connector reads Gitea.
type Connector struct{ cfg Config }

var _ connectors.Connector = (*Connector)(nil)

// New returns the connector.
func New(cfg Config) *Connector {
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	if cfg.TreePage <= 0 {
		cfg.TreePage = defaultTreePage
	}
	return &Connector{cfg: cfg}
}

// session reads one connection's selection.
type session struct {
	cfg  Config
	spec connectors.Spec
	api  *httpx.API
	log  *slog.Logger
	sel  *selection
	want options
	// realm is the server: its host and sub-path.
	realm string
	// now is the server's time when repositories were last listed, in Unix seconds; 0 where it does not tell.
	now int64

	mu     sync.Mutex
	counts map[string]int64
}

// options are the settings of a connection.
type options struct {
	files, issues, pulls, wiki, about bool
	// everybody says that public repositories are seen without signing in.
	everybody bool
}

var (
	_ connectors.Session        = (*session)(nil)
	_ connectors.ChangeFeed     = (*session)(nil)
	_ connectors.IDLister       = (*session)(nil)
	_ connectors.PermissionFeed = (*session)(nil)
	_ connectors.GroupLister    = (*session)(nil)
	_ connectors.Fetcher        = (*session)(nil)
	_ connectors.Chooser        = (*session)(nil)
	_ connectors.Verifier       = (*session)(nil)
	_ connectors.Realmer        = (*session)(nil)
	_ connectors.PrincipalNamer = (*session)(nil)
	_ connectors.SelfIdentifier = (*session)(nil)
	_ connectors.Counter        = (*session)(nil)
)

// Open checks the settings. It makes no request.
func (c *Connector) Open(_ context.Context, env connectors.Env) (connectors.Session, error) {
	const op = "opening gitea"
	base, err := baseURL(env.Base)
	if err != nil {
		return nil, invalid(op, "the registration's address", err)
	}
	want, err := readOptions(env.Settings)
	if err != nil {
		return nil, err
	}
	sel, err := newSelection(env.Selection)
	if err != nil {
		return nil, err
	}
	if env.HTTP == nil {
		return nil, &connectors.Error{Op: op, Class: connectors.Invalid, Err: errors.New("the connection has no grant: connect it first")}
	}
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &session{cfg: c.cfg, spec: c.Spec(), log: log, sel: sel, want: want, realm: base.Host + base.Path, counts: map[string]int64{}}
	s.api = &httpx.API{
		HTTP: env.HTTP, Base: base.JoinPath("api", "v1").String(), Header: http.Header{"Accept": {"application/json"}},
		Retry: c.cfg.Retry, Judge: s.judge, Log: log,
	}
	return s, nil
}

// Close has nothing to release: the client belongs to the engine.
func (s *session) Close(context.Context) error { return nil }

// baseURL reads the server's address, which may have a sub-path.
func baseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, errors.New("is no address such as https://git.example.com")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("has more than scheme, host, port and path: leave out users, queries and fragments")
	}
	u.Host, u.Path, u.RawPath = strings.ToLower(u.Host), strings.TrimSuffix(u.Path, "/"), ""
	return u, nil
}

func readOptions(settings map[string]string) (options, error) {
	var o options
	for name, field := range map[string]*bool{
		settingFiles: &o.files, settingIssues: &o.issues, settingPulls: &o.pulls, settingWiki: &o.wiki, settingAbout: &o.about,
	} {
		switch settings[name] {
		case "", "true":
			*field = true
		case "false":
		default:
			return o, invalid("opening gitea", name, errors.New("is neither true nor false"))
		}
	}
	public := settings[settingPublic]
	if public != "" && !slices.Contains([]string{publicAccounts, publicEverybody}, public) {
		return o, invalid("opening gitea", settingPublic, fmt.Errorf("is neither %s nor %s", publicAccounts, publicEverybody))
	}
	o.everybody = public == publicEverybody
	return o, nil
}

func invalid(op, field string, err error) error {
	return &connectors.Error{Op: op, Class: connectors.Invalid, Err: fmt.Errorf("setting %s: %w", field, err)}
}

// count adds one to what an admin should know of the run.
func (s *session) count(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[name]++
}

// Counts returns what was not told: repositories whose readers and teams whose members are hidden.
func (s *session) Counts() map[string]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.counts)
}
