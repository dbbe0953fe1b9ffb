package gitea

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
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
	base, err := httpx.BaseURL(env.Base, "https://git.example.com")
	if err != nil {
		return nil, connectors.InvalidField(op, "the registration's address", err)
	}
	want, err := readOptions(op, c.Spec(), env)
	if err != nil {
		return nil, err
	}
	sel, err := newSelection(env.Selection)
	if err != nil {
		return nil, err
	}
	client, err := env.Client(op)
	if err != nil {
		return nil, err
	}
	log := env.Logger()
	s := &session{cfg: c.cfg, spec: c.Spec(), log: log, sel: sel, want: want, realm: base.Host + base.Path, counts: map[string]int64{}}
	s.api = &httpx.API{
		HTTP: client, Base: base.JoinPath("api", "v1").String(), Header: http.Header{"Accept": {"application/json"}},
		Retry: c.cfg.Retry, Judge: s.judge, Log: log,
	}
	return s, nil
}

// Close has nothing to release: the client belongs to the engine.
func (s *session) Close(context.Context) error { return nil }

func readOptions(op string, spec connectors.Spec, env connectors.Env) (options, error) {
	v := spec.Values(op, env)
	return options{
		files: v.Bool(settingFiles), issues: v.Bool(settingIssues), pulls: v.Bool(settingPulls), wiki: v.Bool(settingWiki),
		about: v.Bool(settingAbout), everybody: v.Text(settingPublic) == publicEverybody,
	}, v.Err()
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
