package web_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/store"
	"tributary/web"
)

// readRoutes are the addresses that hand out documents: how each is asked, and
// as which tool it is recorded.
func readRoutes(doc uuid.UUID) map[string]struct{ path, body, tool string } {
	type read = struct{ path, body, tool string }
	d, c := "/v1/documents/"+doc.String(), "/v1/chunks/"+doc.String()+":1"
	return map[string]read{
		"POST /v1/search":               {"/v1/search", `{"query":"canary","mode":"keyword","neighbours":1,"include":["lineage","parent"]}`, "search"},
		"GET /v1/documents":             {"/v1/documents", "", "list"},
		"GET /v1/export":                {"/v1/export", "", "export"},
		"GET /v1/documents/:id":         {d, "", "document"},
		"GET /v1/documents/:id/text":    {d + "/text", "", "text"},
		"GET /v1/documents/:id/chunks":  {d + "/chunks", "", "chunks"},
		"GET /v1/chunks/:id":            {c, "", "chunk"},
		"GET /v1/chunks/:id/neighbours": {c + "/neighbours", "", "neighbours"},
		"GET /v1/chunks/:id/lineage":    {c + "/lineage", "", "lineage"},
		"POST /v1/admin/search":         {"", `{"reader":"ada","query":"canary","mode":"keyword"}`, "search"},
		"GET /v1/feed":                  {"", "", "feed"},
		"GET /documents/:id":            {"", "", "chunks"},
		"POST /documents/:id":           {"", "", "chunks"},
		"POST /search":                  {"", "", "search"},
	}
}

// noReadRoutes are the addresses whose use is no read of documents, by the reason.
func noReadRoutes() map[string][]string {
	out := map[string][]string{}
	for why, list := range map[string]string{
		"numbers and principals, of no document":       `GET /v1/count, GET /v1/readers/:id/principals`,
		"writes documents, and answers how many":       `PUT /v1/push/:connection/documents/:id, DELETE /v1/push/:connection/documents/:id, PUT /v1/push/:connection/groups/:id, DELETE /v1/push/:connection/groups/:id, POST /v1/push/:connection/batch`,
		"the same for everybody":                       `GET /style.css, GET /icon.svg, GET /icons.svg, GET /favicon.ico, GET /app.js, GET /healthz, GET /readyz, GET /openapi.json`,
		"accounts, sessions and tokens":                `GET /signin, POST /signin, POST /signout, GET /setup, POST /setup, GET /account, GET /account/password, POST /account/password, POST /account/sessions/end-others, POST /account/tokens, POST /account/tokens/:id/revoke, GET /users, POST /users, GET /users/:id, POST /users/:id/role, POST /users/:id/disable, POST /users/:id/enable, POST /users/:id/end-sessions, POST /users/:id/reset-password, POST /users/:id/delete, POST /users/:id/tokens/:token/revoke, GET tokens, POST tokens, DELETE tokens/:id, GET users, POST users, GET users/:id, PUT users/:id/role, POST users/:id/disable, POST users/:id/enable, POST users/:id/end-sessions, POST users/:id/reset-password, DELETE users/:id`,
		"consents, registrations and grants":           `GET /oauth/callback/:registration, GET /oauth/result, GET /registrations, POST /registrations, GET /registrations/new, GET /registrations/:id, POST /registrations/:id/save, POST /registrations/:id/check, GET /registrations/:id/change, POST /registrations/:id/change, POST /registrations/:id/delete, GET /connect, POST /connect, GET /connect/:ticket, POST /connect/:ticket, GET /grants, GET /grants/:id, POST /grants/:id/check, POST /grants/:id/refresh, POST /grants/:id/revoke, POST /grants/:id/expiry, POST /grants/:id/grant-again, GET grants, GET grants/:id, POST grants/:id/check, POST grants/:id/refresh, POST grants/:id/revoke, PUT grants/:id/expiry, POST grants/:id/grant-again, GET registrations, GET registrations/:id, POST registrations/:id/check, DELETE registrations/:id, GET providers`,
		"states and numbers of the instance":           `GET /, GET /live, GET /audit, GET /notices, GET audit, GET audit/reads, GET workers, GET jobs, POST jobs/:id/retry, GET queues, POST queues/:name/pause, POST queues/:name/resume, GET notices, GET profiles, POST profiles/:name/activate, GET sources, GET /system, GET /system/jobs, POST /system/jobs/:id/retry, GET /system/queues/:name/pause, POST /system/queues/:name/pause, POST /system/queues/:name/resume, GET /profiles, GET /profiles/:name/activate, POST /profiles/:name/activate`,
		"readers, keys and people":                     `GET /readers, POST /readers, GET /readers/new, GET /readers/import, POST /readers/import, GET /readers/unmatched, POST /readers/unmatched/:principal, GET /readers/:id, POST /readers/:id/link, POST /readers/:id/unlink, POST /readers/:id/identities, POST /readers/:id/emails, POST /readers/:id/disable, POST /readers/:id/enable, GET /readers/:id/delete, POST /readers/:id/delete, GET /groups, GET /principals/:id, POST /connections/:name/map-email, GET /keys, POST /keys, GET /keys/new, GET /keys/:id, POST /keys/:id/rotate, POST /keys/:id/signers, GET /keys/:id/revoke, POST /keys/:id/revoke, GET readers, POST readers, GET readers/:id, DELETE readers/:id, POST readers/:id/links, DELETE readers/:id/links, POST readers/:id/disable, POST readers/:id/enable, POST readers/:id/identities, DELETE readers/:id/identities, POST readers/:id/emails, DELETE readers/:id/emails, POST imports/readers, GET people/unmatched, PUT connections/:name/map-email, GET keys, POST keys, GET keys/:id, DELETE keys/:id, POST keys/:id/rotate, POST keys/:id/signers, DELETE keys/:id/signers, GET groups, GET principals/:id, GET principals/:id/members, GET principals/:id/groups`,
		"an admin sees names of items, never a text":   `GET /documents, GET /search, GET /connections, GET /connections/:name, GET /connections/:name/runs, GET /connections/:name/grant, GET /connections/:name/settings, GET /connections/:name/deletions, GET /erasures, GET /erasures/:id, GET /connections/:name/choose, POST /connections/:name/choose, GET /connections/:name/plan, GET /connections/:name/start, GET /connections/:name/schedule, POST /connections/:name/schedule, GET /connections/:name/quarantine, POST /connections/:name/quarantine, GET /runs/:id, GET /deletions/:id, GET connections, GET connections/:name, GET connections/:name/skipped, GET connections/:name/choices, GET connections/:name/schedule, GET connections/:name/limits, GET connections/:name/quarantine, GET connections/:name/exclusions, GET runs, GET runs/:id, GET runs/:id/progress, GET runs/:id/events, GET runs/:id/items, GET deletions, GET deletions/:id, GET deletions/:id/documents, GET erasures, GET erasures/:id, GET erasures/:id/receipt, POST connections/:name/plan`,
		"changes something":                            `POST /connections/:name/sync, POST /connections/:name/start, POST /connections/:name/pause, POST /connections/:name/resume, POST /connections/:name/expiry, POST /connections/:name/limits, POST /connections/:name/permission-age, POST /connections/:name/revoke, POST /connections/:name/link, POST /connections/:name/grant-again, GET /connections/:name/disconnect, POST /connections/:name/disconnect, POST /runs/:id/cancel, POST /deletions/:id/approve, POST /deletions/:id/reject, POST connections, PATCH connections/:name, DELETE connections/:name, POST connections/:name/pause, POST connections/:name/resume, POST connections/:name/sync, PUT connections/:name/expiry, POST connections/:name/grant-again, PUT connections/:name/schedule, POST connections/:name/quarantine/retry, POST connections/:name/quarantine/exclude, POST connections/:name/quarantine/include, POST runs/:id/cancel, PATCH connections/:name/limits, PUT connections/:name/permission-age, POST erasures, POST deletions/:id/approve, POST deletions/:id/reject`,
		"who may read it, which the audit log records": `GET explain, GET documents/:id/readers, GET /documents/:id/access`,
	} {
		for name := range strings.SplitSeq(list, ",") {
			method, path, _ := strings.Cut(strings.TrimSpace(name), " ")
			if !strings.HasPrefix(path, "/") {
				path = "/v1/admin/" + path
			}
			out[why] = append(out[why], method+" "+path)
		}
	}
	return out
}

// readsSite is a server with a document that says "canary".
type readsSite struct {
	*oauthRig
	*content

	doc  uuid.UUID
	boss *program
	feed string
}

func newReadsSite(t *testing.T) *readsSite {
	t.Helper()
	o := newOAuthRig(t)
	s := &readsSite{oauthRig: o, content: newContentOn(t, o.rig)}
	s.doc = s.add(s.content.ada, "page", "canary one", "canary two")
	s.exec(`UPDATE chunk SET identity = '\x01'`)
	s.boss = o.program(t, "boss", store.RoleOwner, uuid.Nil)
	_, secret, err := s.content.store.CreateKey(t.Context(), store.CreateKeyParams{Name: "mirror", Rights: []string{store.RightExport}, Connections: []uuid.UUID{s.connection}})
	if err != nil {
		t.Fatal(err)
	}
	s.feed = secret
	return s
}

// readsOf returns what is recorded of the document.
func (s *readsSite) readsOf() []store.Read {
	s.content.t.Helper()
	list, err := s.content.store.Reads(s.content.t.Context(), store.ReadFilter{Document: s.doc})
	if err != nil {
		s.content.t.Fatal(err)
	}
	return list
}

// TestEveryRouteRecordsItsReads: an address either records which documents it
// hands to whom, or says why it hands out none, and then its answer holds no
// text of one. A new address is missing here.
func TestEveryRouteRecordsItsReads(t *testing.T) {
	t.Parallel()
	s := newReadsSite(t)
	said := map[string]bool{}
	for why, list := range noReadRoutes() {
		for _, name := range list {
			if said[name] {
				t.Errorf("%s is listed twice, also as %q", name, why)
			}
			said[name] = true
		}
	}
	table := s.oauthRig.web.Table()
	for _, info := range table {
		name := info.Method + " " + info.Path
		if r, ok := readRoutes(s.doc)[name]; ok {
			s.testReadRoute(t, name, r.path, r.body, r.tool)
		} else if !said[name] {
			t.Errorf("%s: say here how its reads are recorded, or why it reads no document", name)
		}
	}
	for name := range said {
		if !slices.ContainsFunc(table, func(info web.RouteInfo) bool { return info.Method+" "+info.Path == name }) {
			t.Errorf("%s is listed and not served", name)
		}
	}
	before := len(s.readsOf())
	for _, list := range noReadRoutes() {
		for _, name := range list {
			method, path, _ := strings.Cut(name, " ")
			if method != http.MethodGet {
				continue
			}
			path = fill(strings.NewReplacer("documents/:id", "documents/"+s.doc.String(), "connections/:name", "connections/docs", "readers/:id", "readers/ada").Replace(path))
			if path == "/v1/admin/explain" {
				path += "?reader=ada&document=" + s.doc.String()
			}
			var body string
			switch {
			case strings.HasPrefix(path, "/v1/admin/"):
				body = s.boss.call(method, strings.TrimPrefix(path, "/v1/admin"), "").body
			case strings.HasPrefix(path, "/v1/"):
				body = string(s.ask("ada", method, path, "").body)
			default:
				body = s.oauthRig.ada.get(path).body
			}
			if strings.Contains(body, "canary") {
				t.Errorf("%s hands out text and says that it does not", name)
			}
		}
	}
	if n := len(s.readsOf()); n != before {
		t.Errorf("%d reads were recorded where there are none", n-before)
	}
}

// testReadRoute asks an address and looks for its record.
func (s *readsSite) testReadRoute(t *testing.T, name, path, body, tool string) {
	t.Helper()
	method, _, _ := strings.Cut(name, " ")
	actor, key := "", "ada"
	switch name {
	case "POST /v1/admin/search":
		s.boss.call(method, "/search", body).is(http.StatusOK)
		actor, key = "boss", ""
	case "GET /documents/:id":
		s.oauthRig.ada.get("/documents/"+s.doc.String()).says(t, http.StatusOK, "canary one")
		actor, key = "ada", ""
	case "POST /documents/:id":
		s.oauthRig.ada.post("/documents/"+s.doc.String(), "reader", "ada").says(t, http.StatusOK, "canary one")
		actor, key = "ada", ""
	case "POST /search":
		s.oauthRig.ada.post("/search", "q", "canary", "mode", "keyword").says(t, http.StatusOK, "canary one")
		actor, key = "ada", ""
	case "GET /v1/feed":
		s.readFeed(t)
		key = "mirror"
	default:
		if a := s.ask("ada", method, path, body); a.status != http.StatusOK || !strings.Contains(string(a.body), s.doc.String()) {
			t.Errorf("%s: %d %s", name, a.status, a.body)
			return
		}
	}
	list := s.readsOf()
	if len(list) == 0 {
		t.Errorf("%s left no record", name)
		return
	}
	reader := "ada"
	if key == "mirror" {
		reader = ""
	}
	if r := list[0]; r.Tool != tool || r.Key != key || r.Reader != reader || r.Actor != actor || r.PermissionsAsOf["docs"] == nil || time.Since(r.At) > time.Hour {
		t.Errorf("%s is recorded as %+v", name, r)
	}
}

// readFeed reads a snapshot until it tells of the document.
func (s *readsSite) readFeed(t *testing.T) {
	t.Helper()
	s.keys["mirror"] = s.feed
	for query, more := (url.Values{}), true; more; {
		a := s.ask("mirror", http.MethodGet, "/v1/feed?"+query.Encode(), "")
		var p store.FeedPage
		if err := json.Unmarshal(a.body, &p); a.status != http.StatusOK || err != nil {
			t.Fatalf("the feed: %d %s, %v", a.status, a.body, err)
		}
		more = p.More && !strings.Contains(string(a.body), "canary")
		query.Set("cursor", p.Cursor)
	}
}

// TestStrictReadsAreRefused: where each read has to be recorded, what cannot be
// is answered with 503 and nothing of the document, and else the read goes on.
func TestStrictReadsAreRefused(t *testing.T) {
	t.Parallel()
	c := newContentOn(t, newRig(t, false, func(cfg *web.Config) {
		plain, ok := cfg.Store.(*store.Store)
		if !ok {
			t.Fatal("the store is another")
		}
		strict, err := store.Open(t.Context(), store.Config{URL: plain.Pool().Config().ConnString(), Purpose: store.Web, ReadAudit: store.ReadAudit{Strict: true}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(strict.Close)
		cfg.Store, cfg.Feed = strict, strict
	}))
	doc := c.add(c.ada, "page", "canary one", "canary two")
	ask := func() map[string]reply {
		out := map[string]reply{}
		for name, r := range readRoutes(doc) {
			if r.path != "" {
				method, _, _ := strings.Cut(name, " ")
				out[name] = c.ask("ada", method, r.path, r.body)
			}
		}
		return out
	}
	c.db.MustExec(t, `ALTER TABLE read_event ADD CONSTRAINT full_disk CHECK (false) NOT VALID`)
	for name, a := range ask() {
		if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" || !strings.Contains(string(a.body), `"database_unavailable"`) || !strings.Contains(string(a.body), "recorded") ||
			strings.Contains(string(a.body), "canary") || strings.Contains(string(a.body), "full_disk") {
			t.Errorf("%s that cannot be recorded: %d %v %s", name, a.status, a.header, a.body)
		}
	}
	c.db.MustExec(t, `ALTER TABLE read_event DROP CONSTRAINT full_disk`)
	for name, a := range ask() {
		if a.status != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.status, a.body)
		}
	}
}
