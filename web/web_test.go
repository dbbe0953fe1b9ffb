package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/assertion"
	"tributary/internal/secret"
	"tributary/store"
	"tributary/web"
)

const (
	goodKey   = "trib_good"
	noDocsKey = "trib_searchonly"
	noneKey   = "trib_none"
)

// fakeStore answers what a test tells it to.
type fakeStore struct {
	search   func(ctx context.Context, req store.SearchRequest) (store.SearchResponse, error)
	document func(id uuid.UUID) (store.Document, error)

	mu   sync.Mutex
	seen []store.SearchRequest
}

var _ web.Store = (*fakeStore)(nil)

// nobody is an instance with accounts, none of which is signed in.
type nobody struct{ webAccounts }

type webAccounts = web.Accounts

func (nobody) SetupOpen(context.Context) (bool, error) { return false, nil }

func (nobody) PeekSession(context.Context, secret.Text) (store.Session, store.Account, error) {
	return store.Session{}, store.Account{}, store.ErrUnauthenticated
}

func (nobody) SessionOf(context.Context, secret.Text) (store.Session, store.Account, error) {
	return store.Session{}, store.Account{}, store.ErrUnauthenticated
}

func (f *fakeStore) Connections(context.Context) ([]store.Connection, error) { return nil, nil }

func (f *fakeStore) Now(context.Context) (time.Time, error) { return time.Now(), nil }

func (f *fakeStore) Authenticate(_ context.Context, secret string) (store.Key, store.Identity, error) {
	switch secret {
	case goodKey:
		return store.Key{Rights: []string{store.RightSearch, store.RightDocuments}}, store.Identity{}, nil
	case noDocsKey:
		return store.Key{Rights: []string{store.RightSearch}}, store.Identity{}, nil
	case noneKey:
		return store.Key{Rights: []string{store.RightExport}}, store.Identity{}, nil
	default:
		return store.Key{}, store.Identity{}, store.ErrUnauthenticated
	}
}

func (f *fakeStore) NameReader(context.Context, store.Key, uuid.UUID) (store.Identity, error) {
	return store.Identity{}, store.ErrReaderUnknown
}

func (f *fakeStore) AlarmKey(context.Context, store.Key, int) error { return nil }

func (f *fakeStore) NameByAssertion(context.Context, store.Key, assertion.Claims) (store.Identity, error) {
	return store.Identity{}, store.ErrReaderUnknown
}

func (f *fakeStore) Search(ctx context.Context, _ store.Identity, req store.SearchRequest) (store.SearchResponse, error) {
	f.mu.Lock()
	f.seen = append(f.seen, req)
	f.mu.Unlock()
	if f.search != nil {
		return f.search(ctx, req)
	}
	return store.SearchResponse{Results: []store.SearchResult{}, Complete: true, PermissionsAsOf: map[string]time.Time{}}, nil
}

func (f *fakeStore) requests() []store.SearchRequest {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen
}

func (f *fakeStore) Document(_ context.Context, _ store.Identity, id uuid.UUID) (store.Document, error) {
	if f.document != nil {
		return f.document(id)
	}
	return store.Document{ID: id, Title: "A page"}, nil
}

func (f *fakeStore) DocumentText(_ context.Context, _ store.Identity, id uuid.UUID) (store.DocumentText, error) {
	return store.DocumentText{ID: id, Text: "# A page\n"}, nil
}

func (f *fakeStore) DocumentChunks(context.Context, store.Identity, uuid.UUID) ([]store.DocumentChunk, error) {
	return []store.DocumentChunk{}, nil
}

func (f *fakeStore) Lineage(_ context.Context, _ store.Identity, id store.ChunkID) (store.Lineage, error) {
	return store.Lineage{ChunkID: id, DocumentID: id.Document}, nil
}

func (f *fakeStore) Chunk(_ context.Context, _ store.Identity, id store.ChunkID) (store.CitedChunk, error) {
	return store.CitedChunk{DocumentID: id.Document, DocumentChunk: store.DocumentChunk{ChunkID: id}}, nil
}

func (f *fakeStore) ChunkNeighbours(context.Context, store.Identity, store.ChunkID, int, int) (store.Neighbours, error) {
	return store.Neighbours{}, nil
}

func (f *fakeStore) VisibleCount(context.Context, store.Identity, store.Filters) (documents, chunks int64, err error) {
	return 1, 2, nil
}

func (f *fakeStore) ListDocuments(context.Context, store.Identity, store.Filters, uuid.UUID, int) (list []store.DocumentSummary, more bool, err error) {
	return []store.DocumentSummary{}, false, nil
}

func (f *fakeStore) ExportDocuments(context.Context, store.Identity, store.Filters, uuid.UUID, int) (list []store.ExportedDocument, more bool, err error) {
	return nil, false, nil
}

type fakeEmbedder struct{ err error }

func (f fakeEmbedder) EmbedQuery(context.Context, string) ([]float32, int16, error) {
	if f.err != nil {
		return nil, 0, f.err
	}
	return []float32{1, 0}, 7, nil
}

// site is a server under test and what it logged.
type site struct {
	store   *fakeStore
	handler http.Handler
	log     *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSite(t *testing.T, change func(*web.Config)) *site {
	t.Helper()
	public, err := url.Parse("http://127.0.0.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	s := &site{store: &fakeStore{}, log: &lockedBuffer{}}
	cfg := web.Config{PublicURL: public, Store: s.store, Accounts: nobody{}, Embedder: fakeEmbedder{}, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	if change != nil {
		change(&cfg)
	}
	s.handler = judgingProblems(t, web.New(cfg).Handler())
	return s
}

// request returns a request as a client of the public address would send it.
func request(method, path, body string) *http.Request {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Authorization", "Bearer "+goodKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return r
}

func (s *site) do(r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

// problemOf reads an error answer and checks its form.
func problemOf(t *testing.T, resp *http.Response) web.Problem {
	t.Helper()
	defer func() { _ = resp.Body.Close() }()
	if got := resp.Header.Get("Content-Type"); got != web.ProblemType {
		t.Fatalf("status %d has type %q", resp.StatusCode, got)
	}
	var p web.Problem
	if err := json.NewDecoder(resp.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	if p.Status != resp.StatusCode || p.Code == "" || p.Title == "" || p.Detail == "" || p.RequestID == "" || p.RequestID != resp.Header.Get("X-Request-Id") {
		t.Errorf("incomplete problem %+v for status %d", p, resp.StatusCode)
	}
	return p
}

func TestSearchRefusals(t *testing.T) {
	t.Parallel()
	deep := `{"filters":{"metadata":` + strings.Repeat(`{"a":`, 20) + `1` + strings.Repeat("}", 20) + `}}`
	for _, tc := range []struct {
		name, body, field string
		status            int
	}{
		{"empty query", `{"query":"  "}`, "query", 400},
		{"no query", `{}`, "query", 400},
		{"query too long", `{"query":"` + strings.Repeat("é", 2001) + `"}`, "query", 400},
		{"query with NUL", `{"query":"a\u0000b"}`, "query", 400},
		{"unknown mode", `{"query":"x","mode":"magic"}`, "mode", 400},
		{"k of zero", `{"query":"x","k":0}`, "k", 400},
		{"k too large", `{"query":"x","k":101}`, "k", 400},
		{"k of another type", `{"query":"x","k":"10"}`, "k", 400},
		{"unknown field", `{"query":"x","reader":"ada"}`, "reader", 400},
		{"identity in the body", `{"query":"x","Vector":[1]}`, "Vector", 400},
		{"a name twice", `{"query":"x","k":1,"K":2}`, "K", 400},
		{"trailing data", `{"query":"x"}{"query":"y"}`, "", 400},
		{"an array", `[{"query":"x"}]`, "", 400},
		{"no JSON", `query=x`, "", 400},
		{"truncated", `{"query":"x"`, "", 400},
		{"too deep", deep, "", 400},
		{"too large", `{"query":"` + strings.Repeat("a", 1<<20) + `"}`, "", 413},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			p := problemOf(t, s.do(request("POST", "/v1/search", tc.body)))
			if p.Status != tc.status || (tc.field != "" && p.Field != tc.field) {
				t.Errorf("got %d with field %q (%s), want %d with %q", p.Status, p.Field, p.Detail, tc.status, tc.field)
			}
			if len(s.store.requests()) != 0 {
				t.Error("the store was asked")
			}
		})
	}
}

func TestSearchTypeIsEnforced(t *testing.T) {
	t.Parallel()
	for _, mediaType := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		r := request("POST", "/v1/search", `{"query":"x"}`)
		r.Header.Set("Content-Type", mediaType)
		if p := problemOf(t, newSite(t, nil).do(r)); p.Status != 415 {
			t.Errorf("type %q: got %d", mediaType, p.Status)
		}
	}
}

func TestSearchAnswer(t *testing.T) {
	t.Parallel()
	s := newSite(t, nil)
	resp := s.do(request("POST", "/v1/search", `{"query":" backups ","k":3,"filters":{"connection":"docs"}}`))
	defer func() { _ = resp.Body.Close() }()
	var body map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	for _, name := range []string{"results", "complete", "pending", "permissions_as_of", "next_cursor"} {
		if _, ok := body[name]; !ok {
			t.Errorf("the answer has no %s", name)
		}
	}
	if len(body) != 5 {
		t.Errorf("the answer has other fields: %v", body)
	}
	if resp.Header.Get("Cache-Control") != "no-store" {
		t.Error("an answer may be cached")
	}
	req := s.store.requests()[0]
	if req.Query != "backups" || req.Mode != store.Hybrid || req.K != 3 || len(req.Vector) != 2 || req.Profile != 7 || req.Filters.Connection[0] != "docs" {
		t.Errorf("the store was asked %+v", req)
	}
}

func TestSearchWithoutEmbeddings(t *testing.T) {
	t.Parallel()
	down := func(c *web.Config) { c.Embedder = fakeEmbedder{err: errors.New("connection refused by 10.0.0.9")} }
	s := newSite(t, down)
	resp := s.do(request("POST", "/v1/search", `{"query":"x"}`))
	defer func() { _ = resp.Body.Close() }()
	var body store.SearchResponse
	if err := json.NewDecoder(resp.Body).Decode(&body); err != nil || resp.StatusCode != 200 {
		t.Fatalf("hybrid: status %d, %v", resp.StatusCode, err)
	}
	if body.Complete || resp.Header.Get("Tributary-Degraded") != "embedding" || s.store.requests()[0].Mode != store.Keyword {
		t.Errorf("hybrid without vectors: complete %v, header %q, mode %s", body.Complete, resp.Header.Get("Tributary-Degraded"), s.store.requests()[0].Mode)
	}
	p := problemOf(t, newSite(t, down).do(request("POST", "/v1/search", `{"query":"x","mode":"vector"}`)))
	if p.Status != 503 || p.Code != "embedding_unavailable" || strings.Contains(p.Detail, "10.0.0.9") {
		t.Errorf("vector without vectors: %+v", p)
	}
	s = newSite(t, down)
	if resp := s.do(request("POST", "/v1/search", `{"query":"x","mode":"keyword"}`)); resp.StatusCode != 200 || s.store.requests()[0].Vector != nil {
		t.Errorf("keyword needs no vectors: status %d", resp.StatusCode)
	}
}

type slowEmbedder struct{}

func (slowEmbedder) EmbedQuery(ctx context.Context, _ string) ([]float32, int16, error) {
	<-ctx.Done()
	return nil, 0, ctx.Err()
}

func TestSlowEmbeddingFallsBack(t *testing.T) {
	t.Parallel()
	fake := &fakeStore{}
	searcher := web.Searcher{Store: fake, Embedder: slowEmbedder{}, EmbedTimeout: time.Millisecond}
	answer, err := searcher.Search(t.Context(), store.Identity{}, store.SearchRequest{Query: "x"})
	if err != nil || !answer.Degraded || answer.Complete || fake.requests()[0].Mode != store.Keyword {
		t.Errorf("got %+v, %v", answer, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := searcher.Search(ctx, store.Identity{}, store.SearchRequest{Query: "x"}); !errors.Is(err, context.Canceled) {
		t.Errorf("a caller that went away: %v", err)
	}
}

func TestDocumentRoutes(t *testing.T) {
	t.Parallel()
	id := uuid.NewString()
	for _, tc := range []struct {
		name, path, key string
		status          int
	}{
		{"document", "/v1/documents/" + id, goodKey, 200},
		{"text", "/v1/documents/" + id + "/text", goodKey, 200},
		{"chunks", "/v1/documents/" + id + "/chunks", goodKey, 200},
		{"lineage", "/v1/chunks/" + id + ":3/lineage", goodKey, 200},
		{"a key for searching only", "/v1/documents/" + id, noDocsKey, 403},
		{"no id", "/v1/documents/xyz", goodKey, 404},
		{"id in braces", "/v1/documents/%7B" + id + "%7D", goodKey, 404},
		{"no chunk id", "/v1/chunks/xyz/lineage", goodKey, 404},
		{"unknown route", "/v1/nothing", goodKey, 404},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := request("GET", tc.path, "")
			r.Header.Set("Authorization", "Bearer "+tc.key)
			resp := newSite(t, nil).do(r)
			if resp.StatusCode != tc.status {
				body, _ := io.ReadAll(resp.Body)
				t.Fatalf("got %d: %s", resp.StatusCode, body)
			}
			if tc.status >= 400 {
				problemOf(t, resp)
			}
		})
	}
}

func TestHiddenAndAbsentAreAlike(t *testing.T) {
	t.Parallel()
	answer := func(err error) string {
		s := newSite(t, nil)
		s.store.document = func(uuid.UUID) (store.Document, error) { return store.Document{}, err }
		resp := s.do(request("GET", "/v1/documents/00000000-0000-4000-8000-000000000000", ""))
		p := problemOf(t, resp)
		p.RequestID = ""
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	hidden := answer(errors.Join(errors.New("document 42 is hidden"), store.ErrNotFound))
	if absent := answer(store.ErrNotFound); hidden != absent {
		t.Errorf("hidden %s, absent %s", hidden, absent)
	}
}

func TestInternalErrorsAreGeneric(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		do   func() (store.SearchResponse, error)
	}{
		{"an error", func() (store.SearchResponse, error) {
			return store.SearchResponse{}, errors.New(`ERROR: relation "secret_table" does not exist`)
		}},
		{"a panic", func() (store.SearchResponse, error) { panic("secret_table") }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			s.store.search = func(context.Context, store.SearchRequest) (store.SearchResponse, error) { return tc.do() }
			resp := s.do(request("POST", "/v1/search", `{"query":"x"}`))
			p := problemOf(t, resp)
			if p.Status != 500 || p.Code != "internal" || strings.Contains(p.Detail, "secret_table") {
				t.Errorf("got %+v", p)
			}
			if !strings.Contains(s.log.String(), p.RequestID) || !strings.Contains(s.log.String(), "secret_table") {
				t.Error("the log does not explain the request's id")
			}
		})
	}
}

func TestStoreErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, code string
		err        error
		status     int
		retry      bool
	}{
		{"bad filter", "invalid_request", &store.InputError{Field: "filters.path", Problem: "is no pattern"}, 400, false},
		{"time limit", "query_timeout", store.ErrTimeout, 503, true},
		{"conflict", "conflict", store.ErrConflict, 409, false},
		{"the database stops", "database_unavailable", fmt.Errorf("searching: %w", sqlStateError("57P01")), 503, true},
		{"the database is read-only", "database_unavailable", fmt.Errorf("searching: %w", sqlStateError("25006")), 503, true},
		{"the disk is full", "database_unavailable", fmt.Errorf("searching: %w", sqlStateError("53100")), 503, true},
		{"the database is full", "database_unavailable", fmt.Errorf("searching: %w", sqlStateError("53300")), 503, true},
		{"the database is gone", "database_unavailable", &net.OpError{Op: "dial", Err: errors.New("refused by 10.0.0.9")}, 503, true},
		{"a mistake in SQL", "internal", fmt.Errorf("searching: %w", sqlStateError("42601")), 500, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, nil)
			s.store.search = func(context.Context, store.SearchRequest) (store.SearchResponse, error) {
				return store.SearchResponse{}, tc.err
			}
			resp := s.do(request("POST", "/v1/search", `{"query":"x"}`))
			if got := resp.Header.Get("Retry-After") != ""; got != tc.retry {
				t.Errorf("Retry-After: %v", got)
			}
			if p := problemOf(t, resp); p.Status != tc.status || p.Code != tc.code {
				t.Errorf("got %d %s", p.Status, p.Code)
			}
		})
	}
}

type sqlStateError string

func (s sqlStateError) Error() string    { return "ERROR: state " + string(s) }
func (s sqlStateError) SQLState() string { return string(s) }

func TestBusyPoolSaysComeBack(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	s := newSite(t, func(c *web.Config) { c.MaxConcurrent, c.AcquireTimeout = 1, time.Millisecond })
	s.store.search = func(context.Context, store.SearchRequest) (store.SearchResponse, error) {
		close(entered)
		<-leave
		return store.SearchResponse{}, nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.do(request("POST", "/v1/search", `{"query":"x"}`))
	}()
	<-entered
	resp := s.do(request("POST", "/v1/search", `{"query":"x"}`))
	if resp.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if p := problemOf(t, resp); p.Status != 503 || p.Code != "overloaded" {
		t.Errorf("got %d %s", p.Status, p.Code)
	}
	if resp := s.do(request("GET", "/healthz", "")); resp.StatusCode != 200 {
		t.Errorf("the probe waits for the pool: %d", resp.StatusCode)
	}
	close(leave)
	<-done
}

// TestIcon: what every browser asks for by itself is there, and kept for a day.
func TestIcon(t *testing.T) {
	t.Parallel()
	h := web.New(web.Config{PublicURL: mustURL("http://127.0.0.1:8080"), Store: &fakeStore{}, Accounts: nobody{}}).Handler()
	for path, want := range map[string]struct{ mediaType, begins string }{
		"/favicon.ico": {"image/x-icon", "\x00\x00\x01\x00"},
		"/icon.svg":    {"image/svg+xml", "<svg "},
		"/icons.svg":   {"image/svg+xml", "<svg "},
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request(http.MethodGet, path, ""))
		head := w.Header()
		if w.Code != http.StatusOK || head.Get("Content-Type") != want.mediaType || !strings.HasPrefix(w.Body.String(), want.begins) || head.Get("Cache-Control") != "public, max-age=86400" {
			t.Errorf("%s: %d %v %.10q", path, w.Code, head, w.Body.String())
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, request(http.MethodGet, "/signin", ""))
	for _, link := range []string{`<link rel="icon" href="/favicon.ico" sizes="32x32">`, `<link rel="icon" href="/icon.svg" type="image/svg+xml">`} {
		if !strings.Contains(w.Body.String(), link) {
			t.Errorf("the page does not name its icon: %s", w.Body)
		}
	}
}
