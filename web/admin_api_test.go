package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/store"
)

func TestAdminConnections(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	bob := o.account("bob", store.RoleAdmin)
	p := o.program(t, "ci", store.RoleAdmin, bob.ID)
	got := p.call(http.MethodGet, "/connections/files", "").is(http.StatusOK)
	if got["name"] != "files" || got["id"] != k.ID.String() || got["state"] != "active" || got["max_permission_age"] != "24h0m0s" {
		t.Errorf("got %v", got)
	}
	p.call(http.MethodGet, "/connections/"+k.ID.String(), "").is(http.StatusOK)
	p.call(http.MethodGet, "/connections/nothing", "").refuses(http.StatusNotFound, "not_found", "")
	p.call(http.MethodGet, "/connections?nothing=1", "").refuses(http.StatusBadRequest, "invalid_request", "nothing")
	p.call(http.MethodGet, "/connections?limit=501", "").refuses(http.StatusBadRequest, "invalid_request", "limit")
	p.call(http.MethodPost, "/connections/files/sync", `{"lane": "content", "more": 1}`).refuses(http.StatusBadRequest, "invalid_request", "more")
	p.call(http.MethodPost, "/connections/files/sync", `{"lane": "other"}`).refuses(http.StatusBadRequest, "invalid_request", "lane")
	p.call(http.MethodPost, "/connections/files/sync?lane=content", "").refuses(http.StatusBadRequest, "invalid_request", "")
	if a := p.call(http.MethodPost, "/connections/files/sync", `{}`, "Content-Type", "text/plain"); a.status != http.StatusUnsupportedMediaType {
		t.Errorf("text: %d", a.status)
	}

	run := p.call(http.MethodPost, "/connections/files/sync", `{"lane": "permissions"}`).is(http.StatusOK)["runs"].([]any)[0].(map[string]any)
	id, _ := run["id"].(string)
	again := p.call(http.MethodPost, "/connections/files/sync", `{"lane": "permissions"}`).is(http.StatusOK)["runs"].([]any)[0].(map[string]any)
	if again["id"] != id || run["state"] != "queued" || run["lane"] != "permissions" {
		t.Errorf("asked twice: %v, then %v", run, again)
	}
	for range 2 { // the second time changes nothing
		if got := p.call(http.MethodPost, "/runs/"+id+"/cancel", "").is(http.StatusOK); got["state"] != "cancelled" {
			t.Errorf("cancelled: %v", got)
		}
	}
	p.call(http.MethodGet, "/runs/"+id+"/progress", "").is(http.StatusOK)
	if codes := p.call(http.MethodGet, "/runs/"+id+"/events", "").names("code"); !slices.Equal(codes, []string{"ended"}) {
		t.Errorf("the log: %v", codes)
	}
	p.call(http.MethodGet, "/runs/"+id+"/items?op=added", "").is(http.StatusOK)
	p.call(http.MethodGet, "/runs/"+id+"/items?op=eaten", "").refuses(http.StatusBadRequest, "invalid_request", "op")
	p.call(http.MethodGet, "/runs/"+uuid.NewString(), "").refuses(http.StatusNotFound, "not_found", "")

	for range 2 {
		if got := p.call(http.MethodPost, "/connections/files/pause", "").is(http.StatusOK); got["state"] != "paused" {
			t.Errorf("paused: %v", got)
		}
	}
	p.call(http.MethodPost, "/connections/files/sync", "{}").refuses(http.StatusBadRequest, "invalid_request", "")
	for range 2 {
		if got := p.call(http.MethodPost, "/connections/files/resume", "{}").is(http.StatusOK); got["state"] != "active" {
			t.Errorf("resumed: %v", got)
		}
	}
	p.call(http.MethodPut, "/connections/files/expiry", `{"at": "2001-01-01T00:00:00Z", "then": "hide"}`).refuses(http.StatusBadRequest, "invalid_request", "at")
	p.call(http.MethodPut, "/connections/files/expiry", `{"at": "2101-01-01T00:00:00Z"}`).refuses(http.StatusBadRequest, "invalid_request", "then")
	if got := p.call(http.MethodPut, "/connections/files/expiry", `{"at": "2101-01-01T02:00:00+02:00", "then": "hide"}`).is(http.StatusOK); got["expires_at"] != "2101-01-01T00:00:00Z" {
		t.Errorf("expires at %v", got["expires_at"])
	}
	if got := p.call(http.MethodDelete, "/connections/files", "").is(http.StatusOK); got["done"] != true || got["revoked"] != true {
		t.Errorf("deleted: %v", got)
	}
	p.call(http.MethodGet, "/connections/files", "").refuses(http.StatusNotFound, "not_found", "")
	want := []string{
		"connection.sync ok token:bob/ci", "connection.sync ok token:bob/ci", "run.cancel ok token:bob/ci", "connection.pause ok token:bob/ci", "connection.resume ok token:bob/ci",
		"connection.expiry ok token:bob/ci", "connection.disconnect ok token:bob/ci", "connection.delete ok token:bob/ci",
	}
	var acted []string
	for _, e := range o.events() {
		if strings.Contains(e, "token:bob/ci") && !strings.HasPrefix(e, "grant.") {
			acted = append(acted, e[:strings.LastIndex(e, " ")])
		}
	}
	if !slices.Equal(acted, want) {
		t.Errorf("recorded\n%s, want\n%s", strings.Join(acted, "\n"), strings.Join(want, "\n"))
	}
}

// TestAdminChanges: a change that was made from what is no more is refused, and what is left out stays.
func TestAdminChanges(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	p := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	first := p.call(http.MethodGet, "/connections/files", "")
	first.is(http.StatusOK)
	etag := first.header.Get("ETag")
	changed := p.call(http.MethodPatch, "/connections/files", `{"include": ["**/*.md"], "settings": {"depth": "3"}}`, "If-Match", etag)
	got := changed.is(http.StatusOK)
	settings, _ := got["settings"].(map[string]any)
	selection, _ := got["selection"].(map[string]any)
	if settings["corner"] != "north" || settings["depth"] != "3" || len(selection["include"].([]any)) != 1 || changed.header.Get("ETag") == etag {
		t.Errorf("changed to %v, %s", got, changed.header.Get("ETag"))
	}
	p.call(http.MethodPatch, "/connections/files", `{"include": []}`, "If-Match", etag).refuses(http.StatusPreconditionFailed, "precondition_failed", "")
	if got := p.call(http.MethodPatch, "/connections/files", `{"settings": {"depth": ""}}`).is(http.StatusOK); len(got["settings"].(map[string]any)) != 2 || len(got["selection"].(map[string]any)["include"].([]any)) != 1 {
		t.Errorf("changed to %v", got)
	}
	p.call(http.MethodPatch, "/connections/files", `{"settings": {"mode": "c"}}`).refuses(http.StatusBadRequest, "invalid_request", "settings.mode")
	p.call(http.MethodPatch, "/connections/files", `{"settings": {"corner": ""}}`).refuses(http.StatusBadRequest, "invalid_request", "settings.corner")
	p.call(http.MethodPatch, "/connections/files", `{"settings": {"other": "c"}}`).refuses(http.StatusBadRequest, "invalid_request", "settings.other")
	p.call(http.MethodPatch, "/connections/files", `{"state": "active"}`).refuses(http.StatusBadRequest, "invalid_request", "state")

	consent, _ := p.call(http.MethodPost, "/connections", `{"name": "more", "source": "fakedrive", "settings": {"corner": "south"}}`).is(http.StatusOK)["consent"].(map[string]any)
	link, _ := consent["link"].(string)
	if path, ok := strings.CutPrefix(link, o.server.URL); !ok {
		t.Errorf("the link is %q", link)
	} else {
		o.ada.get(path).says(t, http.StatusOK, "more", "ci")
	}
	p.call(http.MethodPost, "/connections", `{"name": "more", "source": "fakedrive"}`).refuses(http.StatusBadRequest, "invalid_request", "settings.corner")
	p.call(http.MethodPost, "/connections", `{"name": "more", "source": "none"}`).refuses(http.StatusBadRequest, "invalid_request", "source")
	p.call(http.MethodPost, "/connections", `{"name": "more", "source": "fakedrive", "registration": "x", "settings": {"corner": "a"}}`).refuses(http.StatusBadRequest, "invalid_request", "registration")
	pushed := p.call(http.MethodPost, "/connections", `{"name": "wiki", "source": "push", "realm": "acme"}`).is(http.StatusCreated)
	if k, _ := pushed["connection"].(map[string]any); k["name"] != "wiki" || k["max_permission_age"] != "876000h0m0s" {
		t.Errorf("made %v", pushed)
	}
	p.call(http.MethodPost, "/connections", `{"name": "docs", "source": "folder", "realm": "x", "settings": {"path": "/srv"}}`).refuses(http.StatusBadRequest, "invalid_request", "realm")
	p.call(http.MethodPost, "/connections", `{"name": "docs", "source": "folder", "settings": {"path": "/srv"}}`).refuses(http.StatusForbidden, "forbidden", "")
	o.parts.FolderRoots = []string{"/srv"}
	made := p.call(http.MethodPost, "/connections", `{"name": "docs", "source": "folder", "settings": {"path": "/srv"}}`).is(http.StatusCreated)
	if k, _ := made["connection"].(map[string]any); k["name"] != "docs" {
		t.Errorf("made %v", made)
	}
	p.call(http.MethodPost, "/connections", `{"name": "docs", "source": "folder", "settings": {"path": "/srv"}}`).refuses(http.StatusConflict, "conflict", "")
	p.call(http.MethodPatch, "/connections/docs", `{"settings": {"path": "/etc"}}`).refuses(http.StatusBadRequest, "invalid_request", "settings")
}

// TestAdminPages: every list gives each item once, whatever its pages are.
func TestAdminPages(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	o.db.MustExec(t, `INSERT INTO connection (name, source, max_permission_age) SELECT 'c-' || n, 'folder', '1 day' FROM generate_series(10, 32) n`)
	o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, cause, state, queued_at, finished_at, selection_version)
		SELECT $1, 'content', 'snapshot', 'tick', 'succeeded', clock() - n / 3 * interval '1 hour', clock(), 1 FROM generate_series(1, 23) n`, k.ID)
	p := o.program(t, "report", store.RoleAuditor, uuid.Nil)
	for path, field := range map[string]string{"/connections": "name", "/runs": "id", "/audit": "action", "/sources": "source", "/grants": "id"} {
		whole := p.call(http.MethodGet, path+"?limit=500", "")
		want := whole.names(field)
		if next := whole.json()["next_cursor"]; next != "" {
			t.Fatalf("%s: %v follows the whole", path, next)
		}
		for _, size := range []string{"1", "2", "7"} {
			var got []string
			cursor := ""
			for range 100 {
				a := p.call(http.MethodGet, path+"?limit="+size+"&cursor="+cursor, "")
				got = append(got, a.names(field)...)
				if cursor, _ = a.json()["next_cursor"].(string); cursor == "" {
					break
				}
			}
			if path == "/audit" {
				got = got[max(0, len(got)-len(want)):]
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s by %s:\n%v, want\n%v", path, size, got, want)
			}
		}
	}
	p.call(http.MethodGet, "/runs?cursor=x", "").refuses(http.StatusBadRequest, "invalid_request", "cursor")
	p.call(http.MethodGet, "/audit?cursor=x", "").refuses(http.StatusBadRequest, "invalid_request", "cursor")
	p.call(http.MethodGet, "/audit?since=yesterday", "").refuses(http.StatusBadRequest, "invalid_request", "since")
	if got := p.call(http.MethodGet, "/runs?state=failed", "").names("id"); len(got) != 0 {
		t.Errorf("failed runs: %v", got)
	}
}
