package example

import (
	"context"

	"tributary/connectors"
	"tributary/internal/httpx"
)

// Config is what the wiring decides for every connection.
type Config struct {
	// PageSize is the number of entries asked for at a time; 0 means 100.
	PageSize int
	// Retry says how requests are repeated; its zero value is ready.
	Retry httpx.Retry
}

const defaultPageSize = 100

// Connector reads Example.
type Connector struct{ cfg Config }

var _ connectors.Connector = (*Connector)(nil)

// New returns the connector.
func New(cfg Config) *Connector {
	if cfg.PageSize <= 0 {
		cfg.PageSize = defaultPageSize
	}
	return &Connector{cfg: cfg}
}

// Spec describes the connector.
func (c *Connector) Spec() connectors.Spec { return spec() }

// session reads one connection's selection.
type session struct {
	cfg   Config
	api   *httpx.API
	paths connectors.Paths
}

var (
	_ connectors.Session        = (*session)(nil)
	_ connectors.PermissionFeed = (*session)(nil)
	_ connectors.Fetcher        = (*session)(nil)
	_ connectors.Verifier       = (*session)(nil)
	_ connectors.Realmer        = (*session)(nil)
)

// Open checks what the session needs. It makes no request.
func (c *Connector) Open(_ context.Context, env connectors.Env) (connectors.Session, error) {
	const op = "opening example"
	client, err := env.Client(op)
	if err != nil {
		return nil, err
	}
	base, err := httpx.BaseURL(env.Base, "https://example.com")
	if err != nil {
		return nil, connectors.InvalidField(op, "the registration's address", err)
	}
	paths, err := env.Selection.Paths()
	if err != nil {
		return nil, err
	}
	return &session{cfg: c.cfg, api: newAPI(client, base.JoinPath("api").String(), c.cfg.Retry, env.Log), paths: paths}, nil
}

// Close has nothing to release: the client belongs to the engine.
func (s *session) Close(context.Context) error { return nil }
