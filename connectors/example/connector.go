package example

import (
	"context"
	"errors"
	"log/slog"

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
	if env.HTTP == nil {
		return nil, &connectors.Error{Op: op, Class: connectors.Invalid, Err: errors.New("the connection has no grant: connect it first")}
	}
	if env.Base == "" {
		return nil, &connectors.Error{Op: op, Class: connectors.Invalid, Err: errors.New("the registration names no address of the instance")}
	}
	paths, err := env.Selection.Paths()
	if err != nil {
		return nil, err
	}
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &session{cfg: c.cfg, api: newAPI(env.HTTP, env.Base, c.cfg.Retry, log), paths: paths}, nil
}

// Close has nothing to release: the client belongs to the engine.
func (s *session) Close(context.Context) error { return nil }
