package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"tributary/internal/pgtest"
	"tributary/store"
	"tributary/web"
)

func TestMain(m *testing.M) {
	code := pgtest.Main(m)
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestServeFinishesRequestsInFlight(t *testing.T) {
	t.Parallel()
	l := listen(t)
	entered, leave := make(chan struct{}), make(chan struct{})
	fake := &fakeStore{search: func(context.Context, store.SearchRequest) (store.SearchResponse, error) {
		close(entered)
		<-leave
		return store.SearchResponse{}, nil
	}}
	srv := web.New(web.Config{PublicURL: &url.URL{Scheme: "http", Host: l.Addr().String()}, Store: fake})
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ctx, l, "", "") }()

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	status := make(chan int, 1)
	go func() {
		req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, "http://"+l.Addr().String()+"/v1/search", strings.NewReader(`{"query":"x"}`))
		if err != nil {
			status <- -1
			return
		}
		req.Header.Set("Authorization", "Bearer "+goodKey)
		req.Header.Set("Content-Type", "application/json")
		resp, err := client.Do(req)
		if err != nil {
			status <- -1
			return
		}
		_ = resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-entered
	stop()
	close(leave)
	if got := <-status; got != http.StatusOK {
		t.Errorf("the request in flight got %d", got)
	}
	select {
	case err := <-served:
		if err != nil {
			t.Errorf("serving ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("serving does not end")
	}
}

func TestMetrics(t *testing.T) {
	t.Parallel()
	m := web.NewMetrics()
	m.SetGauges(func(context.Context) ([]web.Sample, error) {
		return []web.Sample{{Name: "tributary_documents", Help: "Documents.", Labels: [][2]string{{"connection", `a"b`}}, Value: 3}}, nil
	})
	s := newSite(t, func(c *web.Config) { c.Metrics = m })
	s.do(request("POST", "/v1/search", `{"query":"x"}`))
	s.do(request("GET", "/v1/documents/nothing", ""))
	s.do(request("GET", "/no/such/path", ""))

	ready := errors.New("not yet")
	h := m.Handler("127.0.0.1:9090", func(context.Context) error { return ready })
	get := func(host, path string) (int, string) {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		b, err := io.ReadAll(w.Result().Body)
		if err != nil {
			t.Fatal(err)
		}
		return w.Code, string(b)
	}
	status, text := get("127.0.0.1:9090", "/metrics")
	if status != http.StatusOK {
		t.Fatalf("got %d", status)
	}
	for _, want := range []string{
		`tributary_http_requests_total{route="/v1/search",status="2xx"} 1`,
		`tributary_http_requests_total{route="/v1/documents/:id",status="4xx"} 1`,
		`tributary_http_request_seconds_count{route="/v1/search"} 1`,
		`tributary_documents{connection="a\"b"} 3`,
		"tributary_database_up 1",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(text, "no/such/path") {
		t.Error("a path that somebody asked for became a label")
	}
	if status, _ := get("evil.example", "/metrics"); status != http.StatusMisdirectedRequest {
		t.Errorf("another host got %d", status)
	}
	if status, _ := get("127.0.0.1:9090", "/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("readiness is %d", status)
	}
}

func TestMetricsAreNotOnThePublicListener(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/vars"} {
		if resp := newSite(t, func(c *web.Config) { c.Log = slog.New(slog.DiscardHandler) }).do(request("GET", path, "")); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %d", path, resp.StatusCode)
		}
	}
}
