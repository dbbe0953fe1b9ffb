package connectortest_test

import (
	"context"
	"net/http"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

// misleading is a site that names another host.
type misleading struct {
	connectortest.Site
	bench *bench
}

// Fail keeps where a fault leads to.
func (s misleading) Fail(f connectortest.Fault) error {
	if f.To == "" {
		return s.Site.Fail(f)
	}
	s.bench.mu.Lock()
	defer s.bench.mu.Unlock()
	s.bench.to = f.To
	return nil
}

// Mend takes it away.
func (s misleading) Mend() {
	s.Site.Mend()
	s.bench.mu.Lock()
	defer s.bench.mu.Unlock()
	s.bench.to = ""
}

func misled(b *bench, s connectortest.Site) connectortest.Site { return misleading{Site: s, bench: b} }

// asks makes a connector that requests what the site names, as req says.
func asks(req func(ctx context.Context, env connectors.Env, to string) (*http.Client, *http.Request, error)) func(*bench) twist {
	return func(b *bench) twist {
		var env connectors.Env
		return twist{
			open: func(ctx context.Context, e connectors.Env, next opener) (connectors.Session, error) {
				env = e
				return next(ctx, e)
			},
			seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
				b.mu.Lock()
				to := b.to
				b.mu.Unlock()
				if to != "" {
					if c, r, err := req(ctx, env, to); err == nil {
						if resp, err := c.Do(r); err == nil {
							_ = resp.Body.Close()
						}
						c.CloseIdleConnections()
					}
				}
				return next(ctx, from)
			},
		}
	}
}

func brokenElsewhere() []breakage {
	return []breakage{
		{name: "follows an address of another host", rule: "elsewhere", says: "asks another host", http: &http.Client{}, site: misled, twist: asks(
			func(ctx context.Context, env connectors.Env, to string) (*http.Client, *http.Request, error) {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, to+"/page/2", nil)
				return env.HTTP, r, err
			})},
		{name: "takes the credential along", rule: "elsewhere", says: "sent to another host holds it", http: &http.Client{}, site: misled, twist: asks(
			func(ctx context.Context, env connectors.Env, to string) (*http.Client, *http.Request, error) {
				r, err := http.NewRequestWithContext(ctx, http.MethodGet, to+"/page/2?token="+env.Settings["token"], nil)
				return &http.Client{Transport: &http.Transport{}}, r, err
			})},
	}
}
