package jobs

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/reference"
	"tributary/internal/httpx"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/client"
	"tributary/store"
)

// oneToken is a grant whose token never ends.
type oneToken struct{}

func (oneToken) Access(context.Context, uuid.UUID) (oauthflow.Access, error) {
	return oauthflow.Access{Token: secret.New("canary-token"), Type: "bearer"}, nil
}

func (oneToken) Rejected(context.Context, uuid.UUID, oauthflow.Access) (oauthflow.Access, error) {
	return oauthflow.Access{}, &connectors.Error{Op: "refreshing", Class: connectors.GrantLost, Err: errors.New("revoked")}
}

func (oneToken) Lives(context.Context, uuid.UUID, oauthflow.Access) (bool, error) { return false, nil }

// withProvider makes a connector one of a source with a grant, which calls home once per session.
type withProvider struct {
	connectors.Connector
	home string
}

func (c withProvider) Spec() connectors.Spec {
	s := c.Connector.Spec()
	s.Provider = "sandbox"
	return s
}

func (c withProvider) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.home, nil)
	if err != nil {
		return nil, err
	}
	resp, err := httpx.Do(env.HTTP, req)
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close()
	return c.Connector.Open(ctx, env)
}

// authorised makes the reference connector one that needs a grant at home.
func authorised(t *testing.T, world *reference.World, home *httptest.Server, grant uuid.UUID) func(*Config) {
	t.Helper()
	host := strings.TrimPrefix(home.URL, "http://")
	allow, err := httpx.ParseAllowList([]string{host})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *Config) {
		c.Connectors = map[string]connectors.Connector{reference.Source: withProvider{world.Connector(), home.URL}}
		c.Authorise = func(context.Context, store.Connection, connectors.Spec) (Authorised, error) {
			h, err := client.New(client.Config{
				Grant: grant, Tokens: oneToken{}, Hosts: []string{host}, Options: httpx.Options{Allow: allow, PlainLoopback: true},
			})
			return Authorised{HTTP: h, Base: home.URL}, err
		}
	}
}

// TestTokenUseIsRecordedOncePerSlice, with the run and the grant, and without the token.
func TestTokenUseIsRecordedOncePerSlice(t *testing.T) {
	t.Parallel()
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer canary-token" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(home.Close)
	world, grant := reference.New(), uuid.New()
	e := newEngine(t, world, authorised(t, world, home, grant))
	run := e.sync(store.Content)
	if run.State != store.RunSucceeded {
		t.Fatalf("the run ended %s: %s", run.State, run.Error)
	}
	list, err := e.store.AuditEvents(t.Context(), store.AuditFilter{Action: "token.use"})
	if err != nil || len(list) != 1 {
		t.Fatalf("events: %+v %v", list, err)
	}
	if got := list[0]; got.Target.ID != grant.String() || got.Detail["run"] != run.ID.String() || got.Detail["requests"] != "1" {
		t.Errorf("got %+v", got)
	}
}

// TestGrantThatIsLostNeedsReauth: the connector's error decides the connection's state.
func TestGrantThatIsLostNeedsReauth(t *testing.T) {
	t.Parallel()
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }))
	t.Cleanup(home.Close)
	world := reference.New()
	e := newEngine(t, world, authorised(t, world, home, uuid.New()))
	run := e.sync(store.Content)
	conn, err := e.store.Connection(t.Context(), e.conn.Name)
	if err != nil || run.State != store.RunFailed || conn.State != store.StateNeedsReauth {
		t.Errorf("the run ended %s, the connection is %s: %v", run.State, conn.State, err)
	}
}

// TestProcessWithoutGrantsRefuses a connection that needs one, and says so.
func TestProcessWithoutGrantsRefuses(t *testing.T) {
	t.Parallel()
	world := reference.New()
	e := newEngine(t, world, func(c *Config) {
		c.Connectors = map[string]connectors.Connector{reference.Source: withProvider{world.Connector(), "http://127.0.0.1:1"}}
	})
	if run := e.sync(store.Content); run.State != store.RunFailed || !strings.Contains(run.Error, "holds no grants") {
		t.Errorf("the run ended %s: %s", run.State, run.Error)
	}
}
