package interop

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// lossy is a token endpoint that passes everything on, and loses the answers while it is armed.
type lossy struct {
	*httptest.Server
	armed atomic.Bool
	lost  atomic.Int64
}

func newLossy(t *testing.T, endpoint string) *lossy {
	t.Helper()
	l := &lossy{}
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		req, err := http.NewRequestWithContext(r.Context(), r.Method, endpoint, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		req.Header = r.Header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || l.armed.Load() {
			l.lost.Add(1)
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(body)
	}))
	t.Cleanup(l.Close)
	return l
}

// addThrough registers a client whose token endpoint is reached through l.
func (in *instance) addThrough(t *testing.T, s *server, l *lossy) *oauthflow.Registration {
	t.Helper()
	m := s.metadata(t)
	doc, err := json.Marshal(map[string]any{
		"name": "through", "title": "Through", "hosting": "fixed", "grants": []string{"authorization_code"}, "issuer": s.issuer, "require_iss": s.iss,
		"endpoints":   map[string]any{"authorize": m.Authorize, "token": l.URL, "revoke": m.Revoke, "userinfo": m.Userinfo},
		"client_auth": "client_secret_basic", "pkce": "S256", "request": map[string]any{"body": "form"},
		"authorize": map[string]any{"params": map[string]string{"prompt": "consent"}},
		"scopes":    map[string]any{"separator": " ", "answer_separator": " "}, "refresh": map[string]any{"rotation": "F"},
		"revocation": map[string]any{"style": "rfc7009", "reach": "grant"}, "grant_per": "consent",
	})
	if err != nil {
		t.Fatal(err)
	}
	hosts := append(hostOf(t, s), l.Listener.Addr().String())
	r, err := in.registrations.Draft(t.Context(), in.by, oauthflow.Draft{Name: "through", Document: doc, AllowHosts: hosts})
	if err != nil {
		t.Fatal(err)
	}
	r, checks, err := in.save(t, r, s.register(t, client{Redirect: r.RedirectURI}))
	if err != nil {
		t.Fatalf("%v: %+v", err, checks)
	}
	return r
}

// TestLostAnswer loses the answer to a refresh. The token is presented once more, after a quiet time: a server that
// rotates takes that for theft, and consent is asked for with the reason; one that does not gives a token.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		start func(*testing.T) *server
		lives bool
	}{
		"oidc-provider, rotating":      {func(t *testing.T) *server { t.Helper(); return startNode(t, options{}) }, false},
		"oidc-provider, rotating late": {func(t *testing.T) *server { t.Helper(); return startNode(t, options{rotateLate: true}) }, true},
		"zitadel":                      {func(t *testing.T) *server { t.Helper(); return startZitadel(t, options{}) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, in := tc.start(t), newInstance(t)
			l := newLossy(t, s.metadata(t).Token)
			r := in.addThrough(t, s, l)
			res := in.mustConnect(t, newBrowser(t, ann), asked(r, "lost"))
			held := in.pair(t, res.Grant).Refresh.Reveal()
			k := in.newKeeper(t, refresh.Timing{Send: time.Second, Lease: 2 * time.Second, Quiet: 100 * time.Millisecond})
			in.expire(t)
			l.armed.Store(true)
			if _, err := k.Access(t.Context(), res.Grant); connectors.ClassOf(err) != connectors.Transient {
				t.Fatalf("a lost answer: %v", err)
			}
			l.armed.Store(false)
			if n, status := s.presented(t, held); n != 1 || status != 200 || l.lost.Load() != 1 {
				t.Fatalf("presented %d times, status %d, %d answers lost", n, status, l.lost.Load())
			}
			if health, state, _ := in.state(t, res.Grant, res.Connection); health.Phase != oauthflow.PhaseUncertain || health.State != oauthflow.GrantActive || state != store.StateActive {
				t.Errorf("grant %s, %s, connection %s", health.State, health.Phase, state)
			}
			err := in.settled(t, k, res.Grant)
			health, state, _ := in.state(t, res.Grant, res.Connection)
			n, _ := s.presented(t, held)
			switch {
			case n != 2:
				t.Errorf("presented %d times", n)
			case tc.lives && (err != nil || health.State != oauthflow.GrantActive || state != store.StateActive):
				t.Errorf("grant %s, connection %s: %v", health.State, state, err)
			case !tc.lives && (health.State != oauthflow.GrantNeedsReauth || health.FailClass != oauthflow.FailLostResponse || state != store.StateNeedsReauth):
				t.Errorf("grant %s (%s), connection %s: %v", health.State, health.FailClass, state, err)
			}
		})
	}
}

// settled asks for a token, a minute apart by the instance's clock, until there is one or the grant is lost.
func (in *instance) settled(t *testing.T, k *refresh.Keeper, grant uuid.UUID) error {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(20 * time.Second)
	for {
		_, err := k.Access(t.Context(), grant)
		if err == nil || connectors.ClassOf(err) == connectors.GrantLost {
			return err
		}
		in.db.Advance(t, time.Minute)
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no outcome: %v", err)
		}
	}
}
