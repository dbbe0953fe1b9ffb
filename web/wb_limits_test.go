package web_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
	"tributary/web"
)

// mayAsk is somebody who may ask that address.
func (f *fuzzRig) mayAsk(info web.RouteInfo) string {
	switch {
	case strings.Contains(info.Path, "/v1/push/"):
		return "key pushes"
	case info.Path == "/v1/feed" || strings.HasPrefix(info.Path, "/v1/readers/"):
		return "key feeds"
	case info.Access == "key":
		return "key ada"
	case strings.HasPrefix(info.Access, "token"):
		return "token owner"
	case info.Access == "public" || info.Path == "/signout":
		return "nobody"
	default:
		return "session owner"
	}
}

// handle has the server answer without a network, so that a body that is refused early is no torn connection.
func (f *fuzzRig) handle(info web.RouteInfo, mediaType, body string) *httptest.ResponseRecorder {
	who := f.mayAsk(info)
	path := strings.Replace(fill(info.Path), "/v1/push/0b9e1e0e-7c0f-4f7e-9d0a-3f6b8a0f2c11/", "/v1/push/wiki/", 1)
	r := httptest.NewRequest(info.Method, path, strings.NewReader(body))
	r.Host = f.server.Listener.Addr().String()
	r.Header.Set("Content-Type", mediaType)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if secret := f.secrets[who]; secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	if b := f.sessions[who]; b != nil {
		r.Header.Set("Accept", "text/html")
		for _, c := range b.cookies() {
			r.AddCookie(c)
		}
	}
	w := httptest.NewRecorder()
	f.web.Handler().ServeHTTP(w, r)
	return w
}

// TestWB9BodiesAreBounded: no address reads more of a body than its limit, or nests deeper.
func TestWB9BodiesAreBounded(t *testing.T) {
	t.Parallel()
	f := newFuzzRig(t)
	deep := strings.Repeat(`{"metadata":`, 20) + `1` + strings.Repeat("}", 20)
	large := map[string]string{
		"application/json":                  `{"query":"` + strings.Repeat("a", 1<<20) + `"}`,
		"application/x-www-form-urlencoded": "name=" + strings.Repeat("a", 64<<10),
	}
	bounded, unread := 0, 0
	for _, info := range f.table {
		if info.Method == http.MethodGet || strings.HasPrefix(info.Path, "/v1/push/") {
			continue // the bodies of pushes are larger, and bounded in tests of their own
		}
		name := info.Method + " " + info.Path
		mediaType := "application/x-www-form-urlencoded"
		if strings.HasPrefix(info.Path, "/v1/") {
			mediaType = "application/json"
			if w := f.handle(info, mediaType, deep); w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "nested more than 16 levels") {
				t.Errorf("%s with 20 levels: %d %s", name, w.Code, w.Body)
			}
			if w := f.handle(info, "text/plain", `{}`); w.Code != http.StatusUnsupportedMediaType {
				t.Errorf("%s with plain text: %d %s", name, w.Code, w.Body)
			}
		}
		w := f.handle(info, mediaType, large[mediaType])
		switch empty := f.handle(info, mediaType, ""); {
		case w.Code == http.StatusRequestEntityTooLarge:
			bounded++
		case mediaType != "application/json" && w.Code == empty.Code:
			unread++ // a button: it has no fields
		default:
			t.Errorf("%s with a large body: %d, without one %d\n%.300s", name, w.Code, empty.Code, w.Body)
		}
	}
	t.Logf("%d addresses refuse a large body, %d read none", bounded, unread)
	if bounded < 60 {
		t.Errorf("only %d addresses refuse a large body", bounded)
	}
}

// TestWB9WhatBreaksIsNotShown: where the database fails underneath, every address answers with a number to look for in
// the log, and with nothing else of it.
func TestWB9WhatBreaksIsNotShown(t *testing.T) {
	t.Parallel()
	f := newFuzzRig(t)
	// What says who asks stays; all the rest is another's.
	f.db.MustExec(t, `DO $$ DECLARE r record; BEGIN
		FOR r IN SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'tributary'::regnamespace AND c.relkind = 'r'
			AND c.relname NOT IN ('api_key', 'api_key_signer', 'admin_token', 'account', 'web_session', 'setting', 'reader', 'setup_token') LOOP
			EXECUTE format('ALTER TABLE tributary.%I RENAME TO %I', r.relname, 'gone_' || r.relname);
		END LOOP; END $$`)
	broken := 0
	for _, info := range f.table {
		body, mediaType := "", "application/x-www-form-urlencoded"
		if strings.HasPrefix(info.Path, "/v1/") && info.Method != http.MethodGet {
			body, mediaType = `{}`, "application/json"
		}
		if info.Path == "/v1/search" {
			body = `{"query":"alpha","mode":"keyword"}`
		}
		w := f.handle(info, mediaType, body)
		id := w.Header().Get("X-Request-Id")
		if shown := regexp.MustCompile(`gone_|does not exist|undefined`).FindString(w.Body.String()) + ours().FindString(w.Body.String()); shown != "" {
			t.Errorf("%s %s shows %q: %d %.400s", info.Method, info.Path, shown, w.Code, w.Body)
		}
		if w.Code < http.StatusInternalServerError {
			continue
		}
		broken++
		if !strings.Contains(w.Body.String(), "omething went wrong here") || !strings.Contains(w.Body.String(), id) || !strings.Contains(f.log.String(), "request_id="+id+" code=internal") {
			t.Errorf("%s %s: %d without its number: %.400s", info.Method, info.Path, w.Code, w.Body)
		}
	}
	t.Logf("%d of %d addresses failed", broken, len(f.table))
	if broken < len(f.table)/2 {
		t.Errorf("only %d of %d addresses failed: too few to mean anything", broken, len(f.table))
	}
}

// TestWB9AnExhaustedPoolSaysComeBack over HTTP: when every connection to the database is taken, the next request is told
// when to come again, and the probe goes on.
func TestWB9AnExhaustedPoolSaysComeBack(t *testing.T) {
	t.Parallel()
	const size = 3
	c := newContentOn(t, newRig(t, false, func(c *web.Config) { c.MaxConcurrent, c.AcquireTimeout = size, 50*time.Millisecond }))
	c.add(c.ada, "page", "alpha")
	held, err := pgx.Connect(t.Context(), c.db.SuperURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = held.Close(context.WithoutCancel(t.Context())) }()
	tx, err := held.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE tributary.document`); err != nil {
		t.Fatal(err)
	}
	const question = `{"query":"alpha","mode":"keyword"}`
	var wg sync.WaitGroup
	waited := make([]reply, size)
	for i := range size {
		wg.Go(func() { waited[i] = c.ask("ada", http.MethodPost, "/v1/search", question) })
	}
	deadline, stands := time.Now().Add(10*time.Second), false
	for !stands && time.Now().Before(deadline) {
		stands = pgtest.Scalar[bool](t, c.db, `SELECT count(*) = $1 FROM pg_locks WHERE NOT granted AND relation = 'tributary.document'::regclass`, size)
	}
	if !stands {
		t.Fatal("the requests do not wait for the database")
	}
	for _, path := range []string{"/v1/documents", "/v1/count"} {
		began := time.Now()
		a := c.ask("ada", http.MethodGet, path, "")
		var p web.Problem
		if err := json.Unmarshal(a.body, &p); err != nil || a.status != http.StatusServiceUnavailable || p.Code != "overloaded" || a.header.Get("Retry-After") == "" || p.RequestID == "" {
			t.Errorf("%s: %d, Retry-After %q after %s: %s", path, a.status, a.header.Get("Retry-After"), time.Since(began), a.body)
		}
	}
	if a := c.ask("ada", http.MethodGet, "/healthz", ""); a.status != http.StatusOK {
		t.Errorf("the probe waits: %d", a.status)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	for _, a := range waited {
		if a.status != http.StatusOK {
			t.Errorf("a request that waited for the database: %d %s", a.status, a.body)
		}
	}
	if a := c.ask("ada", http.MethodPost, "/v1/search", question); a.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", a.status, a.body)
	}
}
