package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "canary-7d20b1a4"

// fakeTokens gives out canary tokens by generation, one refresh per generation.
type fakeTokens struct {
	mu        sync.Mutex
	gen       int64
	refreshes int
	err       error // of Rejected
	lives     bool
	unsure    error // of Lives
	asked     int   // for Lives
}

func (f *fakeTokens) Lives(context.Context, uuid.UUID, oauthflow.Access) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.lives, f.unsure
}

func (f *fakeTokens) access() oauthflow.Access {
	return oauthflow.Access{Token: secret.New(fmt.Sprintf("%s-%d", canary, f.gen)), Type: "bearer", Gen: f.gen}
}

func (f *fakeTokens) Access(context.Context, uuid.UUID) (oauthflow.Access, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.access(), nil
}

func (f *fakeTokens) Rejected(_ context.Context, _ uuid.UUID, used oauthflow.Access) (oauthflow.Access, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return oauthflow.Access{}, f.err
	}
	if used.Gen == f.gen {
		f.gen++
		f.refreshes++
	}
	return f.access(), nil
}

// fakeGate answers with waits, then lets through.
type fakeGate struct {
	mu    sync.Mutex
	waits []time.Duration
	ends  []oauthflow.CallEnd
	in    int
}

func (g *fakeGate) Enter(context.Context, string) (time.Duration, string, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waits) > 0 {
		w := g.waits[0]
		g.waits = g.waits[1:]
		if w > 0 {
			return w, "the limit is used up", nil
		}
	}
	g.in++
	return 0, "", nil
}

func (g *fakeGate) Leave(_ context.Context, _ string, end oauthflow.CallEnd) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ends = append(g.ends, end)
	return nil
}

// site is a server that keeps the headers of every request.
type site struct {
	*httptest.Server
	mu   sync.Mutex
	seen []http.Header
	body []string
}

func newSite(t *testing.T, h func(w http.ResponseWriter, r *http.Request)) *site {
	t.Helper()
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, r.Header.Clone())
		s.body = append(s.body, string(b))
		s.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *site) auth() (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.seen {
		list = append(list, h.Get("Authorization"))
	}
	return list
}

func (s *site) host() string { return strings.TrimPrefix(s.URL, "http://") }

func answer(status int) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }
}

// newClient trusts api with the token; every site may be called.
func newClient(t *testing.T, tokens oauthflow.Tokens, gate oauthflow.Gate, api *site, others ...*site) *http.Client {
	t.Helper()
	open := []string{api.host()}
	for _, o := range others {
		open = append(open, o.host())
	}
	allow, err := httpx.ParseAllowList(open)
	if err != nil {
		t.Fatal(err)
	}
	cfg := client.Config{
		Grant: uuid.New(), Tokens: tokens, Hosts: []string{api.host()},
		Options: httpx.Options{Allow: allow, PlainLoopback: true},
	}
	if gate != nil {
		cfg.Gate, cfg.GateKey = gate, "api:x"
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

func get(t *testing.T, c *http.Client, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return resp, err
}

func mustGet(t *testing.T, c *http.Client, url string, status int) *http.Response {
	t.Helper()
	resp, err := get(t, c, url)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("GET %s: %s, want %d", url, resp.Status, status)
	}
	return resp
}

func equal(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s: %q, want %q", what, got, want)
	}
}

const bearer0, bearer1 = "Bearer " + canary + "-0", "Bearer " + canary + "-1"

func TestOA(t *testing.T) {
	t.Parallel()
	t.Run("OA-21 the token goes to allow-listed hosts only", func(t *testing.T) {
		t.Parallel()
		api, other := newSite(t, answer(200)), newSite(t, answer(200))
		c := newClient(t, &fakeTokens{}, nil, api, other)
		mustGet(t, c, api.URL+"/a", 200)
		mustGet(t, c, other.URL+"/b", 200)
		equal(t, "at the api", api.auth(), []string{bearer0})
		equal(t, "elsewhere", other.auth(), []string{""})
	})
	t.Run("OA-21 dropped on a redirect to another host, set at each hop of the same", func(t *testing.T) {
		t.Parallel()
		cdn := newSite(t, answer(200))
		api := newSite(t, nil)
		api.Config.Handler = recording(api, func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/1":
				http.Redirect(w, r, "/2", http.StatusFound)
			case "/2":
				http.Redirect(w, r, cdn.URL+"/file", http.StatusTemporaryRedirect)
			}
		})
		c := newClient(t, &fakeTokens{}, nil, api, cdn)
		mustGet(t, c, api.URL+"/1", 200)
		equal(t, "at the api", api.auth(), []string{bearer0, bearer0})
		equal(t, "at the other host", cdn.auth(), []string{""})
	})
	t.Run("OA-21 another host cannot redirect back with the token", func(t *testing.T) {
		t.Parallel()
		api := newSite(t, answer(200))
		other := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, api.URL+"/delete-everything", http.StatusFound)
		})
		tokens := &fakeTokens{}
		mustGet(t, newClient(t, tokens, nil, api, other), other.URL, 200)
		equal(t, "at the api", api.auth(), []string{""})
	})
	t.Run("OA-20 a token for A never appears at B, whatever the form of the address", func(t *testing.T) {
		t.Parallel()
		api, other := newSite(t, answer(200)), newSite(t, answer(200))
		c := newClient(t, &fakeTokens{}, nil, api, other)
		_, port, _ := strings.Cut(other.host(), ":")
		_, apiPort, _ := strings.Cut(api.host(), ":")
		for _, url := range []string{
			other.URL, "http://localhost:" + port, "http://" + api.host() + "@" + other.host(), "http://127.0.0.1.:" + port,
			"http://[::ffff:127.0.0.1]:" + port, "http://localhost:" + apiPort, "http://127.0.0.1:" + port + "#" + api.host(),
		} {
			_, _ = get(t, c, url) // many are refused by the client underneath
		}
		for _, a := range other.auth() {
			if a != "" {
				t.Error("the token went to another host")
			}
		}
	})
	t.Run("OA-15 the connector never sees the token", func(t *testing.T) {
		t.Parallel()
		connectorNeverSeesToken(t)
	})
	t.Run("OA-15 an error tells nothing of the token", func(t *testing.T) {
		t.Parallel()
		api := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err == nil {
				_ = conn.Close()
			}
		})
		_, err := get(t, newClient(t, &fakeTokens{}, &fakeGate{}, api), api.URL+"/x")
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v", err, err), canary) {
			t.Errorf("got %v", err)
		}
	})
}

// recording is the handler of a site whose own address its answers need.
func recording(s *site, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.seen = append(s.seen, r.Header.Clone())
		s.mu.Unlock()
		h(w, r)
	})
}

// connectorNeverSeesToken looks everywhere a connector could: its request, the answer's chain of requests, a trace.
func connectorNeverSeesToken(t *testing.T) {
	t.Helper()
	api := newSite(t, nil)
	api.Config.Handler = recording(api, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/1" {
			http.Redirect(w, r, "/2", http.StatusFound)
		}
	})
	c := newClient(t, &fakeTokens{}, &fakeGate{}, api)
	var traced strings.Builder
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		WroteHeaderField: func(key string, value []string) { fmt.Fprintln(&traced, key, value) },
	})
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL+"/1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	equal(t, "at the api", api.auth(), []string{bearer0, bearer0})
	seen := fmt.Sprintf("%+v %+v %s", req.Header, resp.Header, traced.String())
	for r := resp; r != nil; r = r.Request.Response {
		seen += fmt.Sprintf(" %+v", r.Request.Header)
	}
	if strings.Contains(seen, canary) {
		t.Errorf("the connector sees the token: %s", seen)
	}
	if s := fmt.Sprintf("%+v %#v", c, c); strings.Contains(s, canary) {
		t.Errorf("the client prints the token: %s", s)
	}
}

// endingGate makes a caller wait, while which the token that it holds ends.
type endingGate struct {
	fakeGate
	tokens *fakeTokens
}

func (g *endingGate) Enter(ctx context.Context, key string) (time.Duration, string, error) {
	wait, why, err := g.fakeGate.Enter(ctx, key)
	if wait > 0 {
		g.tokens.mu.Lock()
		defer g.tokens.mu.Unlock()
		g.tokens.gen++
	}
	return wait, why, err
}

// TestTokenThatEndsAtTheGate: a token is not sent that ended while its request waited, neither at first nor when the
// request is repeated. Two refused tokens would end the grant.
func TestTokenThatEndsAtTheGate(t *testing.T) {
	t.Parallel()
	tokens := &fakeTokens{}
	api := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+canary+"-3" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	gate := &endingGate{fakeGate{waits: []time.Duration{time.Millisecond, 0, time.Millisecond}}, tokens}
	mustGet(t, newClient(t, tokens, gate, api), api.URL, 200)
	equal(t, "at the api", api.auth(), []string{bearer1, "Bearer " + canary + "-3"})
}

func TestUnauthorizedIsRepeatedOnce(t *testing.T) {
	t.Parallel()
	stale := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == bearer0 {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}
	t.Run("with another token", func(t *testing.T) {
		t.Parallel()
		api, tokens := newSite(t, stale), &fakeTokens{}
		mustGet(t, newClient(t, tokens, nil, api), api.URL, 200)
		equal(t, "at the api", api.auth(), []string{bearer0, bearer1})
	})
	t.Run("with its body", func(t *testing.T) {
		t.Parallel()
		api, tokens := newSite(t, stale), &fakeTokens{}
		req, err := http.NewRequestWithContext(t.Context(), "SEARCH", api.URL, strings.NewReader("the whole body"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := newClient(t, tokens, nil, api).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		equal(t, "bodies", api.body, []string{"the whole body", "the whole body"})
	})
	t.Run("but never what may change something", func(t *testing.T) {
		t.Parallel()
		api, tokens := newSite(t, stale), &fakeTokens{}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.URL, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = newClient(t, tokens, nil, api).Do(req)
		if connectors.ClassOf(err) != connectors.Transient || tokens.refreshes != 1 {
			t.Errorf("got %v after %d refreshes", err, tokens.refreshes)
		}
		equal(t, "at the api", api.auth(), []string{bearer0})
	})
	t.Run("nor a body that cannot be had again", func(t *testing.T) {
		t.Parallel()
		api, tokens := newSite(t, stale), &fakeTokens{}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, io.MultiReader(strings.NewReader("x")))
		if err != nil {
			t.Fatal(err)
		}
		_, err = newClient(t, tokens, nil, api).Do(req)
		if connectors.ClassOf(err) != connectors.Transient {
			t.Errorf("got %v", err)
		}
		equal(t, "at the api", api.auth(), []string{bearer0})
	})
	t.Run("and twice, where the provider stands by the grant, is that resource's own refusal", testOneResource)
	t.Run("and twice, where nobody can tell whether the grant lives, is tried again", func(t *testing.T) {
		t.Parallel()
		unsure := &connectors.Error{Op: "asking", Class: connectors.Transient, Err: errors.New("no answer")}
		api, tokens := newSite(t, answer(http.StatusUnauthorized)), &fakeTokens{unsure: unsure}
		if _, err := get(t, newClient(t, tokens, nil, api), api.URL); !errors.Is(err, unsure) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("and twice, where the provider refuses too, means that the grant is lost", func(t *testing.T) {
		t.Parallel()
		api, tokens := newSite(t, answer(http.StatusUnauthorized)), &fakeTokens{}
		_, err := get(t, newClient(t, tokens, nil, api), api.URL)
		if connectors.ClassOf(err) != connectors.GrantLost {
			t.Errorf("got %v", err)
		}
		if len(api.auth()) != 2 || tokens.refreshes != 1 {
			t.Errorf("%d requests, %d refreshes", len(api.auth()), tokens.refreshes)
		}
	})
	t.Run("and a token that cannot be had is the error", func(t *testing.T) {
		t.Parallel()
		lost := &connectors.Error{Op: "refreshing", Class: connectors.ClientRejected, Err: errors.New("invalid_client")}
		api, tokens := newSite(t, answer(http.StatusUnauthorized)), &fakeTokens{err: lost}
		if _, err := get(t, newClient(t, tokens, nil, api), api.URL); !errors.Is(err, lost) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("behind a redirect that crossed hosts it is an answer like any other", func(t *testing.T) {
		t.Parallel()
		api := newSite(t, answer(http.StatusUnauthorized))
		other := newSite(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, api.URL, http.StatusFound) })
		tokens := &fakeTokens{}
		mustGet(t, newClient(t, tokens, nil, api, other), other.URL, 401)
		if tokens.refreshes != 0 {
			t.Error("somebody else's redirect spent a refresh")
		}
	})
	t.Run("and in parallel costs one refresh", func(t *testing.T) {
		t.Parallel()
		var arrived sync.WaitGroup
		arrived.Add(8)
		api := newSite(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == bearer0 {
				arrived.Done()
				arrived.Wait()
				w.WriteHeader(http.StatusUnauthorized)
			}
		})
		tokens := &fakeTokens{}
		c := newClient(t, tokens, nil, api)
		var good atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if resp, err := get(t, c, api.URL); err == nil && resp.StatusCode == 200 {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 8 || tokens.refreshes != 1 {
			t.Errorf("%d of 8 succeeded with %d refreshes", good.Load(), tokens.refreshes)
		}
		if _, n, ok := client.Usage(c); !ok || n != 16 {
			t.Errorf("usage %d", n)
		}
	})
}

func TestGateIsAskedAndTold(t *testing.T) {
	t.Parallel()
	t.Run("short waits are waited", func(t *testing.T) {
		t.Parallel()
		api, g := newSite(t, answer(200)), &fakeGate{waits: []time.Duration{5 * time.Millisecond, 5 * time.Millisecond}}
		mustGet(t, newClient(t, &fakeTokens{}, g, api), api.URL, 200)
		if g.in != 1 || len(g.ends) != 1 || g.ends[0] != (oauthflow.CallEnd{}) {
			t.Errorf("entered %d, ends %+v", g.in, g.ends)
		}
	})
	t.Run("long waits are the job's", func(t *testing.T) {
		t.Parallel()
		api, g := newSite(t, answer(200)), &fakeGate{waits: []time.Duration{3 * time.Second}}
		_, err := get(t, newClient(t, &fakeTokens{}, g, api), api.URL)
		if connectors.ClassOf(err) != connectors.RateLimited || connectors.RetryAfterOf(err) != 3*time.Second {
			t.Errorf("got %v", err)
		}
		if len(api.auth()) != 0 || len(g.ends) != 0 {
			t.Errorf("%d requests, %d ends", len(api.auth()), len(g.ends))
		}
	})
	t.Run("a caller who goes does not wait", func(t *testing.T) {
		t.Parallel()
		api, g := newSite(t, answer(200)), &fakeGate{waits: []time.Duration{2 * time.Second}}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, api.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = newClient(t, &fakeTokens{}, g, api).Do(req); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
	for status, want := range map[int]oauthflow.CallEnd{
		200: {}, 404: {}, 403: {}, 503: {Failed: true}, 500: {Failed: true}, 429: {Failed: true, RetryAfter: 7 * time.Second},
	} {
		t.Run(fmt.Sprint("HTTP ", status), func(t *testing.T) {
			t.Parallel()
			api, g := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
				if status == 429 {
					w.Header().Set("Retry-After", "7")
				}
				w.WriteHeader(status)
			}), &fakeGate{}
			mustGet(t, newClient(t, &fakeTokens{}, g, api), api.URL, status)
			if len(g.ends) != 1 || g.ends[0].Failed != want.Failed || g.ends[0].RetryAfter != want.RetryAfter {
				t.Errorf("told %+v, want %+v", g.ends, want)
			}
		})
	}
	t.Run("a request that must not leave is no failure of the server", func(t *testing.T) {
		t.Parallel()
		api, g := newSite(t, answer(200)), &fakeGate{}
		c := newClient(t, &fakeTokens{}, g, api)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header["X"] = []string{"a\nb"}
		if _, err = c.Transport.RoundTrip(req); err == nil {
			t.Fatal("sent")
		}
		if len(g.ends) != 1 || g.ends[0].Failed {
			t.Errorf("told %+v", g.ends)
		}
	})
	t.Run("calls to other hosts are not counted", func(t *testing.T) {
		t.Parallel()
		api, other, g := newSite(t, answer(200)), newSite(t, answer(200)), &fakeGate{}
		c := newClient(t, &fakeTokens{}, g, api, other)
		mustGet(t, c, other.URL, 200)
		if g.in != 0 {
			t.Error("entered")
		}
		if _, n, _ := client.Usage(c); n != 0 {
			t.Errorf("usage %d", n)
		}
	})
}

func TestNewRefusesWhatIsIncomplete(t *testing.T) {
	t.Parallel()
	whole := client.Config{Grant: uuid.New(), Tokens: &fakeTokens{}, Hosts: []string{"api.example.org"}}
	if _, err := client.New(whole); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*client.Config){
		"no grant": func(c *client.Config) { c.Grant = uuid.Nil }, "no tokens": func(c *client.Config) { c.Tokens = nil },
		"no hosts": func(c *client.Config) { c.Hosts = nil }, "a URL": func(c *client.Config) { c.Hosts = []string{"https://x.org/"} },
		"a pattern": func(c *client.Config) { c.Hosts = []string{"*.x.org"} }, "an empty host": func(c *client.Config) { c.Hosts = []string{""} },
		"a gate without key": func(c *client.Config) { c.Gate = &fakeGate{} },
	} {
		c := whole
		change(&c)
		if _, err := client.New(c); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
