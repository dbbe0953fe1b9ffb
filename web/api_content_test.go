package web_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
	"tributary/store"
)

// content is a rig with a connection whose documents ada and bob see in part.
type content struct {
	*rig
	connection uuid.UUID
	// sets are ACLs: of what ada sees, and of what bob sees.
	ada, bob int64
	keys     map[string]string // by reader, with every right
}

func newContent(t *testing.T) *content {
	t.Helper()
	return newContentOn(t, newRig(t, false, nil))
}

func newContentOn(t *testing.T, r *rig) *content {
	t.Helper()
	c := &content{rig: r, connection: uuid.New(), keys: map[string]string{}}
	c.exec(`INSERT INTO realm (source, external_id) VALUES ('test', 'r')`)
	c.exec(`INSERT INTO connection (id, name, source, realm_id, permissions_as_of) VALUES ($1, 'docs', 'test', (SELECT id FROM realm), clock())`, c.connection)
	often := 1_000_000
	sets := map[string]*int64{"ada": &c.ada, "bob": &c.bob}
	for _, name := range []string{"ada", "bob"} {
		reader, err := c.store.CreateReader(t.Context(), name, store.Person)
		if err != nil {
			t.Fatal(err)
		}
		c.exec(`INSERT INTO principal (realm_id, kind, external_id) VALUES ((SELECT id FROM realm WHERE source = 'test'), 'user', $1)`, name)
		c.exec(`INSERT INTO reader_principal (reader_id, principal_id, how) VALUES ($1, (SELECT id FROM principal WHERE external_id = $2), 'manual')`, reader.ID, name)
		*sets[name] = pgtest.Scalar[int64](t, c.db, `INSERT INTO acl_set (hash, need_mask) VALUES ($1, 2) RETURNING id`, []byte(name))
		c.exec(`INSERT INTO acl_entry VALUES ($1, (SELECT id FROM principal WHERE external_id = $2), 1)`, *sets[name], name)
		_, secret, err := c.store.CreateKey(t.Context(), store.CreateKeyParams{
			Name: name, ReaderID: &reader.ID, AllConnections: true, PerMinute: &often, Rights: []string{store.RightSearch, store.RightDocuments, store.RightExport},
		})
		if err != nil {
			t.Fatal(err)
		}
		c.keys[name] = secret
	}
	return c
}

func (c *content) exec(sql string, args ...any) {
	c.t.Helper()
	if _, err := c.db.Pool.Exec(context.Background(), sql, args...); err != nil {
		c.t.Fatal(err)
	}
}

// add stores a document of that ACL, one chunk a paragraph.
func (c *content) add(set int64, title string, paragraphs ...string) uuid.UUID {
	c.t.Helper()
	id := uuid.New()
	hash := sha256.Sum256(id[:])
	var ids, starts, ends []int
	b := &pgx.Batch{}
	text := ""
	for i, p := range paragraphs {
		starts = append(starts, len(text))
		text += p
		ids, ends = append(ids, i+1), append(ends, len(text))
		text += "\n\n"
		b.Queue(`INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang) VALUES ($1, $2, '', $3, $4, $5, 5, 'english')`, id, i+1, p, title, []string{title})
	}
	b.Queue(`INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind,
			media_type, lang, author, metadata, acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
		VALUES ($1, $2, $1::uuid::text, '1', $3, 1, $4, 'https://docs.example/' || $4, $4 || '.md', '', 'file', 'text/markdown', 'english', '', '{"team": "x"}', $5, 1, $6, 100, clock(), clock())`,
		id, c.connection, hash[:], title, set, len(paragraphs))
	b.Queue(`INSERT INTO revision VALUES ($1, 1, '1', $2, $3, 'x', 'x', clock(), $4, $5, $6, $7, $6, $7)`, id, hash[:], uuid.New(), text, ids, starts, ends)
	if err := c.db.Pool.SendBatch(context.Background(), b).Close(); err != nil {
		c.t.Fatal(err)
	}
	return id
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (c *content) ask(who, method, path, body string) reply {
	c.t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, c.server.URL+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.keys[who])
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := c.server.Client().Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, raw}
}

// get asks for JSON as ada, of status 200.
func (c *content) get(path string, into any) {
	c.t.Helper()
	a := c.ask("ada", http.MethodGet, path, "")
	if a.status != http.StatusOK {
		c.t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		c.t.Fatalf("%s: %v in %s", path, err, a.body)
	}
}

func TestDocumentsAreListedCountedAndExported(t *testing.T) {
	t.Parallel()
	c := newContent(t)
	visible := map[string]bool{}
	for i := range 7 {
		visible[c.add(c.ada, fmt.Sprintf("page%d", i), "alpha one", "alpha two").String()] = true
		c.add(c.bob, fmt.Sprintf("secret%d", i), "canary")
	}
	var count struct{ Documents, Chunks int }
	c.get("/v1/count", &count)
	if count.Documents != 7 || count.Chunks != 14 {
		t.Errorf("counted %+v", count)
	}
	c.get("/v1/count?path=page3&type=text/markdown&type=none&metadata="+url.QueryEscape(`{"team":"x"}`), &count)
	if count.Documents != 1 {
		t.Errorf("counted %+v with filters", count)
	}
	listed := map[string]bool{}
	for next := ""; ; {
		var page struct {
			Documents []store.DocumentSummary `json:"documents"`
			Next      *string                 `json:"next_cursor"`
		}
		c.get("/v1/documents?limit=3&cursor="+next, &page)
		for _, d := range page.Documents {
			listed[d.ID.String()] = true
		}
		if page.Next == nil {
			break
		}
		next = *page.Next
	}
	if fmt.Sprint(listed) != fmt.Sprint(visible) {
		t.Errorf("listed %v, want %v", listed, visible)
	}
	if got := c.exported(3); fmt.Sprint(got) != fmt.Sprint(visible) {
		t.Errorf("exported %v, want %v", got, visible)
	}
}

// exported reads an export line by line, as if cut off behind the second line
// of every page.
func (c *content) exported(limit int) map[string]bool {
	c.t.Helper()
	got := map[string]bool{}
	for cursor := ""; ; {
		a := c.ask("ada", http.MethodGet, fmt.Sprintf("/v1/export?limit=%d&cursor=%s", limit, cursor), "")
		lines := bytes.Split(bytes.TrimSpace(a.body), []byte("\n"))
		if a.status != http.StatusOK || a.header.Get("Content-Type") != "application/x-ndjson" {
			c.t.Fatalf("%d %v %s", a.status, a.header, a.body)
		}
		for i, raw := range lines {
			var line struct {
				Document *struct {
					ID     string                `json:"document_id"`
					Title  string                `json:"title"`
					Chunks []store.DocumentChunk `json:"chunks"`
				} `json:"document"`
				Cursor string `json:"cursor"`
				End    *struct {
					Documents int     `json:"documents"`
					Next      *string `json:"next_cursor"`
				} `json:"end"`
			}
			if err := json.Unmarshal(raw, &line); err != nil {
				c.t.Fatal(err)
			}
			if line.Document != nil {
				if got[line.Document.ID] || len(line.Document.Chunks) != 2 || line.Document.Chunks[1].Text != "alpha two" {
					c.t.Errorf("exported %s", raw)
				}
				got[line.Document.ID] = true
				cursor = line.Cursor
				if i == 1 {
					break
				}
				continue
			}
			if line.End == nil || line.End.Documents != len(lines)-1 || line.End.Next != nil {
				c.t.Errorf("the last line is %s", raw)
			}
			return got
		}
	}
}

func TestChunksAreCited(t *testing.T) {
	t.Parallel()
	c := newContent(t)
	id := c.add(c.ada, "page", "one", "two", "three").String()
	var chunk store.CitedChunk
	c.get("/v1/chunks/"+id+":2", &chunk)
	if chunk.Text != "two" || chunk.Title != "page" || chunk.URL != "https://docs.example/page" || chunk.Start != 5 || chunk.End != 8 || chunk.Place != 2 || chunk.PermissionsAsOf == nil {
		t.Errorf("%+v", chunk)
	}
	var beside store.Neighbours
	c.get("/v1/chunks/"+id+":2/neighbours?before=0&after=9", &beside)
	if len(beside.Before) != 0 || len(beside.After) != 1 || beside.After[0].Text != "three" {
		t.Errorf("%+v", beside)
	}
	c.get("/v1/chunks/"+id+":2/neighbours", &beside)
	if len(beside.Before) != 1 || len(beside.After) != 1 {
		t.Errorf("%+v", beside)
	}
	c.get("/v1/chunks/"+id+":1/neighbours?after=0", &beside)
	if len(beside.Before) != 0 || len(beside.After) != 0 {
		t.Errorf("%+v", beside)
	}
}

func TestListsRefuseWhatTheyDoNotKnow(t *testing.T) {
	t.Parallel()
	c := newContent(t)
	for path, field := range map[string]string{
		"/v1/documents?limit=0":                                       "limit",
		"/v1/documents?limit=1001":                                    "limit",
		"/v1/documents?limit=x":                                       "limit",
		"/v1/documents?limit=1&limit=2":                               "limit",
		"/v1/documents?cursor=AAAA":                                   "cursor",
		"/v1/documents?cursor=%21":                                    "cursor",
		"/v1/documents?reader=bob":                                    "reader",
		"/v1/documents?updated_after=yesterday":                       "updated_after",
		"/v1/documents?metadata=[1]":                                  "metadata",
		"/v1/documents?path=":                                         "path",
		"/v1/documents?path=%00":                                      "",
		"/v1/documents?path=%ff":                                      "",
		"/v1/documents?metadata=%7B%22a%22:%22%5Cu0000%22%7D":         "",
		"/v1/count?limit=3":                                           "limit",
		"/v1/export?limit=501":                                        "limit",
		"/v1/export?connection=" + strings.Repeat("x", 1001):          "connection",
		"/v1/chunks/" + uuid.NewString() + ":1/neighbours?before=101": "before",
		"/v1/chunks/" + uuid.NewString() + ":1/neighbours?before=-1":  "before",
	} {
		var p struct{ Code, Field, Detail string }
		a := c.ask("ada", http.MethodGet, path, "")
		if err := json.Unmarshal(a.body, &p); err != nil || a.status != http.StatusBadRequest || p.Code != "invalid_request" || (field != "" && p.Field != field) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
	}
}
