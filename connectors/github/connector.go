package github

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Config is what the wiring decides for every connection to GitHub.
type Config struct {
	// API is the address of GitHub.com's API; "" means the real one.
	API string
	// PageSize is the number of changes on a page; 0 means 200.
	PageSize int
	// PerPage is the number of entries asked for at a time; 0 means 100, the
	// most that GitHub gives.
	PerPage int
	// Retry says what is repeated; its zero value is ready.
	Retry httpx.Retry
}

const (
	defaultAPI      = "https://api.github.com"
	defaultPageSize = 200
	defaultPerPage  = 100
	cloudRealm      = "github.com"
)

// Connector reads GitHub.
type Connector struct{ cfg Config }

var _ connectors.Connector = (*Connector)(nil)

// New returns the connector.
func New(cfg Config) *Connector {
	if cfg.API == "" {
		cfg.API = defaultAPI
	}
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	if cfg.PerPage <= 0 || cfg.PerPage > defaultPerPage {
		cfg.PerPage = defaultPerPage
	}
	return &Connector{cfg: cfg}
}

// session reads one connection's selection.
type session struct {
	cfg   Config
	api   *httpx.API
	sel   *selection
	opt   options
	grant connectors.Grant
	// realm is GitHub.com or the server's host; server says which.
	realm  string
	server bool
	log    *slog.Logger

	// heads are the commits from which the feed that was started last goes on,
	// until a snapshot takes them.
	heads map[int64]string

	mu sync.Mutex
	// unread are repositories whose readers are not known, by id.
	unread map[int64]bool
}

var (
	_ connectors.Session        = (*session)(nil)
	_ connectors.ChangeFeed     = (*session)(nil)
	_ connectors.IDLister       = (*session)(nil)
	_ connectors.GroupLister    = (*session)(nil)
	_ connectors.Fetcher        = (*session)(nil)
	_ connectors.Chooser        = (*session)(nil)
	_ connectors.Verifier       = (*session)(nil)
	_ connectors.Realmer        = (*session)(nil)
	_ connectors.PrincipalNamer = (*session)(nil)
	_ connectors.SelfIdentifier = (*session)(nil)
	_ connectors.Counter        = (*session)(nil)
)

// options are the settings of a connection.
type options struct {
	about, files, issues, pulls, archived, forks bool
	// maxFile is in bytes.
	maxFile int64
}

const opOpen = "opening github"

// Open checks the settings. It makes no request.
func (c *Connector) Open(_ context.Context, env connectors.Env) (connectors.Session, error) {
	base, realm, err := c.address(env.Base)
	if err != nil {
		return nil, connectors.InvalidField(opOpen, "the registration's address", err)
	}
	opt, err := readOptions(env)
	if err != nil {
		return nil, err
	}
	sel, err := newSelection(env.Selection)
	if err != nil {
		return nil, err
	}
	client, err := env.Client(opOpen)
	if err != nil {
		return nil, err
	}
	log := env.Logger()
	retry := c.cfg.Retry
	retry.Headers = httpx.HeadersOf(pace())
	return &session{
		cfg: c.cfg, sel: sel, opt: opt, grant: env.Grant, realm: realm, server: realm != cloudRealm, log: log, unread: map[int64]bool{},
		api: &httpx.API{HTTP: client, Base: base, Retry: retry, Judge: judge, Answers: env.Answers, Log: log, Header: http.Header{
			"Accept": {"application/vnd.github+json"}, "X-Github-Api-Version": {"2022-11-28"}, "User-Agent": {"tributary"},
		}},
	}, nil
}

// Close has nothing to release: the client belongs to the engine.
func (s *session) Close(context.Context) error { return nil }

// address returns where the API is, and the realm: GitHub.com has hosts of its
// own, a server has its API below its own address.
func (c *Connector) address(base string) (api, realm string, err error) {
	switch strings.TrimSuffix(base, "/") {
	case "", "https://github.com", "https://www.github.com", defaultAPI:
		return c.cfg.API, cloudRealm, nil
	}
	u, err := httpx.BaseURL(base, "https://github.example.com")
	if err != nil {
		return "", "", err
	}
	return u.JoinPath("api/v3").String(), u.Host, nil
}

func readOptions(env connectors.Env) (options, error) {
	v := spec().Values(opOpen, env)
	return options{
		about: v.Bool(settingAbout), files: v.Bool(settingFiles), issues: v.Bool(settingIssues), pulls: v.Bool(settingPulls),
		archived: v.Bool(settingArchived), forks: v.Bool(settingForks), maxFile: v.Int(settingMaxFile, 1, 65536, "kilobytes") << 10,
	}, v.Err()
}
