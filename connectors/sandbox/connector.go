package sandbox

import (
	"context"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Config is what the wiring decides for every connection to a sandbox.
type Config struct {
	// PageSize is the number of entries asked for at a time; 0 means 200, the
	// most that the sandbox gives.
	PageSize int
	// Retry says what is repeated; its zero value is ready.
	Retry httpx.Retry
}

const defaultPageSize = 200

// Connector reads Sandbox Drive.
type Connector struct{ cfg Config }

var _ connectors.Connector = (*Connector)(nil)

// New returns the connector.
func New(cfg Config) *Connector {
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	return &Connector{cfg: cfg}
}

// session reads one connection's selection.
type session struct {
	cfg  Config
	api  *httpx.API
	sel  *selection
	link string
	// kept are folders of earlier listings, to be asked for conditionally.
	kept map[string]keptFolder
	// org is the organisation's id once it was needed; it never changes.
	org string
}

var (
	_ connectors.Session        = (*session)(nil)
	_ connectors.ChangeFeed     = (*session)(nil)
	_ connectors.IDLister       = (*session)(nil)
	_ connectors.PermissionFeed = (*session)(nil)
	_ connectors.GroupLister    = (*session)(nil)
	_ connectors.PeopleLister   = (*session)(nil)
	_ connectors.Fetcher        = (*session)(nil)
	_ connectors.Chooser        = (*session)(nil)
	_ connectors.Verifier       = (*session)(nil)
	_ connectors.Realmer        = (*session)(nil)
	_ connectors.PrincipalNamer = (*session)(nil)
	_ connectors.SelfIdentifier = (*session)(nil)
)

// Open checks the settings. It makes no request.
func (c *Connector) Open(_ context.Context, env connectors.Env) (connectors.Session, error) {
	const op = "opening sandbox"
	base, err := httpx.BaseURL(env.Base, "http://localhost:8090")
	if err != nil {
		return nil, connectors.InvalidField(op, "the registration's address", err)
	}
	v := c.Spec().Values(op, env)
	link := v.Text(settingLink)
	if v.Err() != nil {
		return nil, v.Err()
	}
	sel, err := newSelection(env.Selection)
	if err != nil {
		return nil, err
	}
	client, err := env.Client(op)
	if err != nil {
		return nil, err
	}
	api := &httpx.API{HTTP: client, Base: base.JoinPath("api/v1").String(), Retry: c.cfg.Retry, Judge: judge, Log: env.Log}
	return &session{cfg: c.cfg, api: api, sel: sel, link: link, kept: map[string]keptFolder{}}, nil
}

// Close has nothing to release: the client belongs to the engine.
func (s *session) Close(context.Context) error { return nil }
