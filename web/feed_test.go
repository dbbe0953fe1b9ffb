package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
)

// feedSite is a server whose feed a key reads.
type feedSite struct {
	*rig
	key  string
	conn uuid.UUID
}

func newFeedSite(t *testing.T) *feedSite {
	t.Helper()
	f := &feedSite{rig: newRig(t, false, nil)}
	c, err := f.store.CreateConnection(t.Context(), store.NewConnection{Name: "wiki", Source: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.SetRealm(t.Context(), c.ID, "test", "acme"); err != nil {
		t.Fatal(err)
	}
	f.conn = c.ID
	f.key = f.makeKey(store.CreateKeyParams{Name: "mirror", Rights: []string{store.RightExport}, Connections: []uuid.UUID{c.ID}})
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.store.KeepFeed(ctx, time.Hour) }()
	t.Cleanup(func() { stop(); <-done })
	return f
}

func (f *feedSite) makeKey(p store.CreateKeyParams) string {
	f.t.Helper()
	_, secret, err := f.store.CreateKey(f.t.Context(), p)
	if err != nil {
		f.t.Fatal(err)
	}
	return secret
}

// get asks as key and returns the status, the header and the body.
func (f *feedSite) get(key, path, accept string, query url.Values) (int, http.Header, []byte) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, f.server.URL+path+"?"+query.Encode(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Accept", accept)
	resp, err := f.server.Client().Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, body
}

// page reads a page and wants it to be one.
func (f *feedSite) page(query url.Values) store.FeedPage {
	f.t.Helper()
	status, _, body := f.get(f.key, "/v1/feed", "application/json", query)
	var p store.FeedPage
	if err := json.Unmarshal(body, &p); status != http.StatusOK || err != nil {
		f.t.Fatalf("%v: got %d, %v\n%s", query, status, err, body)
	}
	return p
}

// toEnd reads the snapshot and returns the cursor after it.
func (f *feedSite) toEnd() string {
	f.t.Helper()
	for cursor := ""; ; {
		p := f.page(url.Values{"cursor": {cursor}})
		if cursor = p.Cursor; !p.More {
			return cursor
		}
	}
}

func TestFeedIsReadAsLines(t *testing.T) {
	t.Parallel()
	f := newFeedSite(t)
	status, header, body := f.get(f.key, "/v1/feed", "application/x-ndjson", nil)
	if status != http.StatusOK || header.Get("Content-Type") != "application/x-ndjson" || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("got %d with %v", status, header)
	}
	lines := strings.Split(strings.TrimSuffix(string(body), "\n"), "\n")
	var last struct {
		Event, Cursor string
		More          bool
		Connections   []store.FeedConnection
	}
	for i, line := range lines {
		last.Event = ""
		if err := json.Unmarshal([]byte(line), &last); err != nil || (last.Event == "cursor") != (i == len(lines)-1) {
			t.Errorf("line %d: %v\n%s", i, err, line)
		}
	}
	if last.Cursor == "" || !last.More || len(last.Connections) != 1 || !last.Connections[0].Stale || lines[0] != `{"event":"snapshot.begin","position":`+fmt.Sprint(positionOf(t, lines[0]))+`}` {
		t.Errorf("the end is %+v after\n%s", last, body)
	}
}

func positionOf(t *testing.T, line string) int64 {
	t.Helper()
	var e store.FeedEvent
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatal(err)
	}
	return e.Position
}

// TestFeedWaits: who waits is answered when something happens, or when the time
// is over, and holds no database connection meanwhile.
func TestFeedWaits(t *testing.T) {
	t.Parallel()
	f := newFeedSite(t)
	cursor := f.toEnd()
	before := time.Now()
	if p := f.page(url.Values{"cursor": {cursor}, "wait": {"1"}}); len(p.Events) > 0 || p.Cursor != cursor || time.Since(before) < time.Second {
		t.Errorf("without changes: %+v after %s", p, time.Since(before))
	}
	// More wait than there are turns at the database.
	const waiting = 16
	got := make(chan store.FeedPage, waiting)
	for range waiting {
		go func() {
			_, _, body := f.get(f.key, "/v1/feed", "application/json", url.Values{"cursor": {cursor}, "wait": {"30"}})
			var p store.FeedPage
			_ = json.Unmarshal(body, &p) // an empty page is noticed
			got <- p
		}()
	}
	f.eventually("all wait", func() bool { return f.web.Waiting() == waiting })
	f.db.MustExec(t, `INSERT INTO outbox (kind, connection_id) VALUES ('stale', $1)`, f.conn)
	before = time.Now()
	for range waiting {
		if p := <-got; len(p.Events) != 1 || p.Events[0].Event != "stale" || p.Cursor == cursor {
			t.Errorf("got %+v", p)
		}
	}
	if took := time.Since(before); took > 10*time.Second {
		t.Errorf("they were told after %s", took)
	}
}

func (f *feedSite) eventually(what string, ok func() bool) {
	f.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			f.t.Fatalf("it never came to pass that %s", what)
		}
	}
}

func TestFeedRefusals(t *testing.T) {
	t.Parallel()
	f := newFeedSite(t)
	reader, err := f.store.CreateReader(t.Context(), "ada", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	listed := []uuid.UUID{f.conn}
	bound := f.makeKey(store.CreateKeyParams{Name: "bound", ReaderID: &reader.ID, Rights: []string{store.RightExport}, Connections: listed})
	plain := f.makeKey(store.CreateKeyParams{Name: "plain", Rights: []string{store.RightSearch, store.RightDocuments}, Connections: listed})
	cursor := f.toEnd()
	f.db.MustExec(t, `UPDATE feed_head SET position = position + 10, dropped = position + 5`)
	principals := "/v1/readers/" + reader.ID.String() + "/principals"
	for _, x := range []struct {
		key, path string
		query     url.Values
		status    int
		says      string
	}{
		{"trib_x", "/v1/feed", nil, 401, `"code":"unauthenticated"`},
		{plain, "/v1/feed", nil, 403, `does not carry the right export`},
		{bound, "/v1/feed", nil, 403, `GET /v1/export`},
		{bound, principals, nil, 403, `"code":"insufficient_scope"`},
		{plain, principals, nil, 403, `"code":"insufficient_scope"`},
		{f.key, "/v1/feed", url.Values{"cursor": {cursor}}, 410, `"code":"cursor_expired"`},
		{f.key, "/v1/feed", url.Values{"cursor": {"nonsense"}}, 400, `"field":"cursor"`},
		{f.key, "/v1/feed", url.Values{"limit": {"0"}}, 400, `"field":"limit"`},
		{f.key, "/v1/feed", url.Values{"limit": {"5001"}}, 400, `"field":"limit"`},
		{f.key, "/v1/feed", url.Values{"wait": {"31"}}, 400, `"field":"wait"`},
		{f.key, "/v1/feed", url.Values{"wait": {"-1"}}, 400, `"field":"wait"`},
		{f.key, "/v1/feed", url.Values{"include": {"secrets"}}, 400, `"field":"include"`},
		{f.key, "/v1/feed", url.Values{"limit": {"5", "6"}}, 400, `"field":"limit"`},
		{f.key, "/v1/feed", url.Values{"cursors": {cursor}}, 400, `"field":"cursors"`},
		{f.key, principals, url.Values{"connections": {"wiki"}}, 400, `"field":"connections"`},
		{f.key, "/v1/readers/" + uuid.NewString() + "/principals", nil, 404, `"code":"not_found"`},
		{f.key, "/v1/readers/x/principals", nil, 404, `"code":"not_found"`},
		{f.key, principals, url.Values{"connection": {"other"}}, 404, `"code":"not_found"`},
		{f.key, principals, url.Values{"connection": {"wiki"}}, 200, `"principals":[]`},
	} {
		status, _, body := f.get(x.key, x.path, "application/json", x.query)
		if status != x.status || !strings.Contains(string(body), x.says) {
			t.Errorf("%s %v: got %d, want %d with %s\n%s", x.path, x.query, status, x.status, x.says, body)
		}
	}
	f.db.MustExec(t, `UPDATE reader SET disabled_at = clock()`)
	if status, _, _ := f.get(f.key, principals, "", nil); status != http.StatusNotFound {
		t.Errorf("a disabled reader: %d", status)
	}
	if n := pgtest.Scalar[int](t, f.db, `SELECT count(*)::int FROM api_key WHERE 'export' = ANY(rights) AND reader_id IS NULL`); n != 1 {
		t.Errorf("%d keys read whole", n)
	}
}
