package web_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/jobs"
	"tributary/store"
	"tributary/web"
)

// pushRig is an instance with two connections that are pushed to, of realms of
// their own, and one that is pulled.
type pushRig struct {
	*rig
	runner *jobs.Runner
	conns  map[string]store.Connection
	// key may push to wiki, all to every connection.
	key, all string
}

func newPushRig(t *testing.T, change func(*web.Config)) *pushRig {
	t.Helper()
	p := &pushRig{conns: map[string]store.Connection{}}
	p.rig = newRig(t, false, func(c *web.Config) {
		st, ok := c.Store.(*store.Store)
		if !ok {
			t.Fatal("the rig has another store")
		}
		if _, err := st.EnsureProfile(t.Context(), jobs.BuiltinProfile()); err != nil {
			t.Fatal(err)
		}
		var err error
		if p.runner, err = jobs.New(jobs.Config{Store: st, Extractor: extract.New(extract.Config{})}); err != nil {
			t.Fatal(err)
		}
		c.Push = &web.Push{Store: st, Pusher: p.runner}
		if change != nil {
			change(c)
		}
	})
	for _, n := range []store.NewConnection{
		{Name: "wiki", Source: store.PushSource, Realm: "acme", MaxPermissionAge: time.Hour}, {Name: "other", Source: store.PushSource, Realm: "else"}, {Name: "pulled", Source: "folder"},
	} {
		conn, err := p.store.CreateConnection(t.Context(), n)
		if err != nil {
			t.Fatal(err)
		}
		p.conns[n.Name] = conn
	}
	p.key = p.makeKey("wiki", store.CreateKeyParams{Rights: []string{store.RightPush}, Connections: []uuid.UUID{p.conns["wiki"].ID, p.conns["pulled"].ID}})
	p.all = p.makeKey("all", store.CreateKeyParams{Rights: []string{store.RightPush}, AllConnections: true})
	return p
}

func (p *pushRig) makeKey(name string, k store.CreateKeyParams) string {
	p.t.Helper()
	k.Name = name
	_, secret, err := p.store.CreateKey(p.t.Context(), k)
	if err != nil {
		p.t.Fatal(err)
	}
	return secret
}

// answered is an answer of the API.
type answered struct {
	status int
	header http.Header
	body   string
	ID     string
	Status string
	Code   string
	Field  string
	Detail string
	Items  []struct {
		ID, Status string
		Problem    struct{ Code, Field, Detail string }
	}
	Counts map[string]int
}

func (p *pushRig) send(key, method, path, body string) answered {
	p.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, p.server.URL+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body == "" {
		req.Body = http.NoBody
		req.ContentLength = 0
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", "application/json")
	b := p.browser()
	req.Header.Set("Accept", "application/json")
	page := b.send(req)
	a := answered{status: page.status, header: page.header, body: page.body}
	if page.body != "" {
		// The status of the body's item, or that of a problem.
		var raw map[string]any
		if err := json.Unmarshal([]byte(page.body), &raw); err != nil {
			p.t.Fatalf("%s %s: %v in %q", method, path, err, page.body)
		}
		if _, number := raw["status"].(float64); number {
			delete(raw, "status")
		}
		again, _ := json.Marshal(raw)
		if err := json.Unmarshal(again, &a); err != nil {
			p.t.Fatalf("%s %s: %v in %q", method, path, err, page.body)
		}
	}
	return a
}

// want sends a request and checks the status and what the answer says.
func (p *pushRig) want(status int, says, key, method, path, body string) answered {
	p.t.Helper()
	a := p.send(key, method, path, body)
	got := strings.TrimSpace(a.Status + a.Code + " " + a.Field)
	if a.status != status || got != says {
		p.t.Errorf("%s %s %.200s: %d %q, want %d %q\n%s", method, path, body, a.status, got, status, says, a.body)
	}
	return a
}

const forAlice = `"acl": {"all_of": [[{"kind": "user", "id": "alice"}]]}`

func TestPushDocumentsOverHTTP(t *testing.T) {
	t.Parallel()
	p := newPushRig(t, nil)
	const at = "/v1/push/wiki/documents/"
	one := `{"title": "A page", "content": "# A page\n\nWith text.", "content_type": "text/markdown", "url": "https://wiki.example/a", "revision": "1", "metadata": {"space": "eng"}, ` + forAlice + `}`
	p.want(201, "created", p.key, "PUT", at+"a", one)
	p.want(200, "unchanged", p.key, "PUT", at+"a", one)
	p.want(200, "updated", p.key, "PUT", at+"a", strings.NewReplacer(`"1"`, `"2"`, "With", "Now with").Replace(one))
	if a := p.want(201, "created", p.all, "PUT", at+"docs%2Fb%20c.md", one); a.ID != "docs/b c.md" {
		t.Errorf("the id is %q", a.ID)
	}
	if _, err := p.store.ExcludeItems(t.Context(), p.conns["wiki"].ID, []string{"kept out"}, "", "test"); err != nil {
		t.Fatal(err)
	}
	p.want(410, "excluded /id", p.key, "PUT", at+"kept%20out", one)
	p.want(204, "", p.key, "DELETE", at+"kept%20out", "")
	p.want(204, "", p.key, "DELETE", at+"a", "")
	p.want(204, "", p.key, "DELETE", at+"a", "")
	p.want(200, "updated", p.key, "PUT", "/v1/push/wiki/groups/eng", `{"members": [{"kind": "user", "id": "alice"}]}`)
	p.want(200, "unchanged", p.key, "PUT", "/v1/push/wiki/groups/eng", `{"members": [{"kind": "user", "id": "alice"}]}`)
	p.want(204, "", p.key, "DELETE", "/v1/push/wiki/groups/eng", "")

	// What is wrong is told by its place.
	for body, says := range map[string]string{
		`{"content": "x y"}`:                                               "invalid_item /acl",
		`{"content": "x y", "acl": []}`:                                    "invalid_item /acl",
		`{"content": "x y", "acl": {"all": []}}`:                           "unknown_field /acl/all",
		`{"content": 7, ` + forAlice + `}`:                                 "invalid_item /content",
		`{"content": "x", "url": "javascript:x", ` + forAlice + `}`:        "invalid_item /url",
		`{"content": "x y", "acl": {"all_of": [[{"kind": "user"}]]}}`:      "invalid_item /acl/all_of/0/0/id",
		`{"content": "x y", "acl": {"all_of": [[]]}}`:                      "invalid_item /acl/all_of/0",
		`{"content": "x y", "metadata": {"a": {}}, ` + forAlice + `}`:      "invalid_item /metadata/a",
		`{"content": "x y", "title": "a", "title": "b", ` + forAlice + `}`: "invalid_item /title",
		`{"content": "x y", "tilte": "a", ` + forAlice + `}`:               "unknown_field /tilte",
		`{"content": "", ` + forAlice + `}`:                                "invalid_item /content",
		`{"content_base64": "?", ` + forAlice + `}`:                        "invalid_item /content_base64",
		`{"content": "x", "content_base64": "eHg=", ` + forAlice + `}`:     "invalid_item /content_base64",
		`{"content_base64": "iVBORw0KGgo=", ` + forAlice + `}`:             "unreadable_content /content",
		`{"content": "x y"`:                                                "invalid_item",
		`[]`:                                                               "invalid_item",
	} {
		p.want(422, says, p.key, "PUT", at+"bad", body)
	}
	p.want(415, "unsupported_content_type /content_type", p.key, "PUT", at+"bad", `{"content": "x y", "content_type": "image/png", `+forAlice+`}`)
	p.want(422, "invalid_item /id", p.key, "PUT", at+strings.Repeat("x", 2501), one)
	p.want(422, "invalid_item /id", p.key, "PUT", at+"a%00b", one)
	p.want(422, "invalid_item /members", p.key, "PUT", "/v1/push/wiki/groups/eng", `{}`)
	p.want(422, "invalid_item /members/0/kind", p.key, "PUT", "/v1/push/wiki/groups/eng", `{"members": [{"kind": "robot", "id": "x"}]}`)
}

func TestPushKeysReachTheirConnectionsOnly(t *testing.T) {
	t.Parallel()
	p := newPushRig(t, nil)
	search := p.makeKey("search", store.CreateKeyParams{Rights: []string{store.RightSearch}, AllConnections: true})
	body := `{"content": "Some text.", ` + forAlice + `}`
	for _, x := range []struct {
		status int
		says   string
		key    string
		conn   string
	}{
		{401, "unauthenticated", "trib_nothing", "wiki"},
		{401, "unauthenticated", "", "wiki"},
		{403, "insufficient_scope", search, "wiki"},
		{403, "insufficient_scope", p.key, "other"},
		{403, "insufficient_scope", p.key, "nosuch"},
		{404, "not_found", p.all, "nosuch"},
		{409, "not_push", p.key, "pulled"},
		{409, "not_push", p.all, "pulled"},
		{201, "created", p.all, "other"},
	} {
		a := p.want(x.status, x.says, x.key, "PUT", "/v1/push/"+x.conn+"/documents/a", body)
		if x.status == 403 && !strings.Contains(a.header.Get("WWW-Authenticate"), `scope="push"`) {
			t.Errorf("a 403 says %q", a.header.Get("WWW-Authenticate"))
		}
		if x.status >= 400 {
			p.want(x.status, x.says, x.key, "DELETE", "/v1/push/"+x.conn+"/documents/a", "")
			p.want(x.status, x.says, x.key, "PUT", "/v1/push/"+x.conn+"/groups/a", `{"members": []}`)
			p.want(x.status, x.says, x.key, "DELETE", "/v1/push/"+x.conn+"/groups/a", "")
			p.want(x.status, x.says, x.key, "POST", "/v1/push/"+x.conn+"/batch", `{"items": []}`)
		}
	}
	wiki := p.conns["wiki"].ID
	if err := p.store.SetPaused(t.Context(), wiki, true); err != nil {
		t.Fatal(err)
	}
	p.want(409, "paused", p.key, "PUT", "/v1/push/wiki/documents/a", body)
	p.want(409, "paused", p.key, "POST", "/v1/push/wiki/batch", `{"items": []}`)
	p.db.MustExec(t, `UPDATE connection SET state = 'closing' WHERE name = 'wiki'`)
	p.want(410, "gone", p.key, "PUT", "/v1/push/wiki/groups/a", `{"members": []}`)
}

func TestPushBatchAnswersForEachItem(t *testing.T) {
	t.Parallel()
	p := newPushRig(t, nil)
	a := p.want(200, "", p.key, "POST", "/v1/push/wiki/batch", `{"items": [
		{"id": "a", "content": "First text.", `+forAlice+`},
		{"id": "b", "content": "Second text.", "acl": {"all_of": [[{"kind": "user", "id": "alice"}], [{"kind": "group"}]]}},
		{"op": "delete", "id": "a"}, {"op": "purge", "id": "a"}, null,
		{"id": "c", "content": "Third text.", `+forAlice+`}]}`)
	var got []string
	for _, i := range a.Items {
		got = append(got, strings.TrimSpace(i.ID+" "+i.Status+" "+i.Problem.Code+" "+i.Problem.Field))
	}
	want := []string{"a created", "b failed invalid_item /items/1/acl/all_of/1/0/id", "a deleted", "a failed invalid_item /items/3/op", "failed invalid_item /items/4", "c created"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if a.Counts["created"] != 2 || a.Counts["failed"] != 3 || a.Counts["deleted"] != 1 {
		t.Errorf("counts %v", a.Counts)
	}
	p.want(422, "unknown_field /documents", p.key, "POST", "/v1/push/wiki/batch", `{"documents": []}`)
	p.want(422, "invalid_item /items", p.key, "POST", "/v1/push/wiki/batch", `{}`)
	p.want(413, "too_large /items", p.key, "POST", "/v1/push/wiki/batch", `{"items": [`+strings.Repeat(`{},`, 1000)+`{}]}`)
	p.want(413, "too_large", p.key, "POST", "/v1/push/wiki/batch", `{"items": [{"id": "x", "content": "`+strings.Repeat("y", jobs.MaxPushBatch)+`"}]}`)
}

// TestPushedEmptyBatchKeepsPermissionsYoung: a connection with a limit hides
// when its pusher is silent for longer, and shows again at its word.
func TestPushedEmptyBatchKeepsPermissionsYoung(t *testing.T) {
	t.Parallel()
	p := newPushRig(t, nil)
	p.db.SetClock(t, time.Now())
	reader := p.reader("alice", "user", "alice")
	p.want(201, "created", p.key, "PUT", "/v1/push/wiki/documents/a", `{"content": "A walrus.", `+forAlice+`}`)
	for _, step := range []struct {
		wait  time.Duration
		empty bool
		want  int
	}{{0, false, 1}, {59 * time.Minute, false, 1}, {2 * time.Minute, false, 0}, {0, true, 1}, {59 * time.Minute, false, 1}} {
		p.db.Advance(t, step.wait)
		if step.empty {
			p.want(200, "", p.key, "POST", "/v1/push/wiki/batch", `{"items": []}`)
		}
		if got := p.sees(reader, "walrus"); len(got) != step.want {
			t.Errorf("after %s more: %v", step.wait, got)
		}
	}
}

// reader makes a reader who is a principal of wiki that nothing has named yet.
func (p *pushRig) reader(name string, kind connectors.PrincipalKind, id string) store.Identity {
	p.t.Helper()
	r, err := p.store.CreateReader(p.t.Context(), name, store.Person)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.store.LinkReader(p.t.Context(), r.ID, store.PrincipalIn{Connection: p.conns["wiki"].ID, Principal: connectors.Principal{Kind: kind, ID: id}}, store.LinkManual); err != nil {
		p.t.Fatal(err)
	}
	who, err := p.store.AsReader(p.t.Context(), r.ID)
	if err != nil {
		p.t.Fatal(err)
	}
	return who
}

// sees returns the ids of what a search finds, sorted.
func (p *pushRig) sees(who store.Identity, query string) []string {
	p.t.Helper()
	res, err := p.store.Search(p.t.Context(), who, store.SearchRequest{Query: query, Mode: store.Keyword, K: 100})
	if err != nil {
		p.t.Fatal(err)
	}
	var ids []string
	for _, r := range res.Results {
		ids = append(ids, r.Path)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// TestPushesDoNotStarveSearch: with every place of those who push taken, a push
// is told to come back and a search is answered.
func TestPushesDoNotStarveSearch(t *testing.T) {
	t.Parallel()
	held, let := make(chan struct{}), make(chan struct{})
	p := newPushRig(t, func(c *web.Config) {
		c.MaxConcurrent, c.AcquireTimeout = 2, 100*time.Millisecond
		c.Push.Pusher = heldPusher{held, let}
	})
	search := p.makeKey("search", store.CreateKeyParams{Rights: []string{store.RightSearch}, AllConnections: true})
	body := `{"content": "Some text.", ` + forAlice + `}`
	done := make(chan int)
	for n := range 4 {
		go func() { done <- p.send(p.key, "PUT", fmt.Sprintf("/v1/push/wiki/documents/%d", n), body).status }()
		<-held
	}
	if a := p.want(503, "overloaded", p.key, "PUT", "/v1/push/wiki/documents/x", body); a.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := p.send(search, "POST", "/v1/search", `{"query": "text", "mode": "keyword"}`); a.status != 200 {
		t.Errorf("a search beside them: %d %s", a.status, a.body)
	}
	close(let)
	for range 4 {
		if status := <-done; status != 200 {
			t.Errorf("a push that waited: %d", status)
		}
	}
}

type heldPusher struct{ held, let chan struct{} }

func (h heldPusher) Push(_ context.Context, _ store.Connection, items []jobs.PushItem) ([]jobs.PushResult, error) {
	h.held <- struct{}{}
	<-h.let
	return []jobs.PushResult{{ID: items[0].ID, Status: jobs.PushUpdated}}, nil
}

func (heldPusher) PushGroup(context.Context, store.Connection, connectors.Principal, []connectors.Principal) (int64, error) {
	return 0, nil
}
