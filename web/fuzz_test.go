package web_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"tributary/web"
)

// FuzzSearchBody sends any body: it is answered, or refused as a problem, and
// never takes the server by surprise.
func FuzzSearchBody(f *testing.F) {
	for _, body := range []string{
		`{"query":"x"}`, `{"query":"x","k":5,"filters":{"type":["a"],"metadata":{"a":[1,{"b":null}]}},"include":["scores"]}`,
		``, `{`, `[]`, `null`, `{"query":1}`, `{"filters":{"connection":{}}}`, `{"query":"x"} `, "{\"query\":\"\xff\"}", `{"a":1,"A":2}`, `{"k":1e999}`,
	} {
		f.Add(body)
	}
	h := web.New(web.Config{PublicURL: &url.URL{Scheme: "http", Host: "127.0.0.1:8080"}, Store: &fakeStore{}, Accounts: nobody{}, Embedder: fakeEmbedder{}}).Handler()
	f.Fuzz(func(t *testing.T, body string) {
		r := request(http.MethodPost, "/v1/search", body)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusRequestEntityTooLarge {
			t.Fatalf("status %d for %q", w.Code, body)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("no JSON for %q: %s", body, w.Body)
		}
	})
}

// FuzzPath asks for any path with any host.
func FuzzPath(f *testing.F) {
	for _, path := range []string{"/", "/v1/documents/x", "/v1/chunks/a:1/lineage", "/%00", "/../etc/passwd", "//evil.example/", "/v1/documents/%2e%2e%2ftext"} {
		f.Add(path, "127.0.0.1:8080")
		f.Add(path, "localhost:8080")
	}
	h := web.New(web.Config{PublicURL: &url.URL{Scheme: "http", Host: "127.0.0.1:8080"}, Store: &fakeStore{}, Accounts: nobody{}}).Handler()
	f.Fuzz(func(t *testing.T, path, host string) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			t.Skip("no request line can hold it")
		}
		r := request(http.MethodGet, "/", "")
		r.URL, r.RequestURI, r.Host = u, path, host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= http.StatusInternalServerError {
			t.Fatalf("status %d for %q at %q", w.Code, path, host)
		}
		if to := w.Header().Get("Location"); to != "" && !strings.HasPrefix(to, "http://127.0.0.1:8080/") {
			t.Fatalf("%q is sent to %q", path, to)
		}
	})
}
