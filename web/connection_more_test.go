package web_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestConnectionGrantPage: what is needed against what was granted, the next refresh as the refresher sees it, and revoking that asks.
func TestConnectionGrantPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	path := "/connections/files/grant"
	o.ada.get(path).says(t, http.StatusOK, "files.read yes granted Reads the documents.", "groups.read yes granted Reads who may see them.", "Refreshes None yet.", "Next refresh in ")
	due := func() bool {
		t.Helper()
		ids, err := o.store.Credentials().Due(t.Context(), time.Minute, 9)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(ids, *k.GrantID)
	}
	for _, tc := range []struct {
		set, says string
		due       bool
	}{
		{`obtained_at = clock() - interval '1 hour', at_expires = clock() + interval '10 hours', idle_expires = NULL`, "Next refresh in ", false},
		{`obtained_at = clock() - interval '10 hours', at_expires = clock() + interval '1 minute'`, "Next refresh due", true},
		{`next_try = clock() + interval '90 minutes'`, "Next refresh in 1h", false},
		{`next_try = clock(), at_expires = NULL, obtained_at = clock() - interval '10 hours', idle_expires = clock() + interval '9 hours'`, "Next refresh due", true},
		{`idle_expires = clock() + interval '90 hours'`, "Next refresh in ", false},
		{`idle_expires = NULL`, "Next refresh none", false},
		{`at_expires = clock(), refreshable = false`, "Next refresh none", false},
		{`refreshable = true, state = 'needs_reauth'`, "Next refresh none", false},
	} {
		o.db.MustExec(t, `UPDATE credential SET `+tc.set)
		o.ada.get(path).says(t, http.StatusOK, tc.says)
		if got := due(); got != tc.due {
			t.Errorf("after %s it is due: %v", tc.set, got)
		}
	}
	o.db.MustExec(t, `UPDATE credential SET state = 'active'`)
	o.db.MustExec(t, `INSERT INTO refresh_attempt (id, grant_id, epoch, gen, rt_hmac, holder, outcome, http_status, error, t0)
		SELECT gen_random_uuid(), $1, 1, n, '', 'w', 'refused', 400, 'answer ' || n || $2, clock() - make_interval(mins => n / 2) FROM generate_series(1, 45) n`, *k.GrantID, hostileMarkup)
	p := o.ada.get(path)
	p.says(t, http.StatusOK, "refused 400 answer 1<", "answer 29<")
	harmless(t, hostileMarkup, p)
	older := o.ada.follow(t, p, "Older refreshes")
	if older.says(t, http.StatusOK, "answer 45<"); strings.Contains(older.body, "Older refreshes") || strings.Contains(older.text(), "answer 1<") {
		t.Error("the second page")
	}
	o.db.MustExec(t, `UPDATE oauth_grant SET scopes = '{files.read}'`)
	o.ada.get(path).says(t, http.StatusOK, "Not granted: groups.read", "groups.read yes not granted")
	o.ada.post("/connections/files/revoke").says(t, http.StatusUnprocessableEntity, "Nothing is revoked: tick the box")
	before := o.provider.Count("revoke")
	if p := o.ada.post("/connections/files/revoke", "confirm", "yes"); p.status != http.StatusSeeOther || p.location() != path+"?done=revoked" || o.provider.Count("revoke") == before {
		t.Fatalf("revoking: %d to %q\n%s", p.status, p.location(), p.text())
	}
	p = o.ada.get(path)
	p.says(t, http.StatusOK, "State needs reauth", "closed", "Grant again")
	if strings.Contains(p.body, "/connections/files/revoke") {
		t.Error("a grant that is closed can be revoked")
	}
	if !slices.ContainsFunc(o.events(), func(e string) bool { return strings.HasPrefix(e, "grant.revoke ok account:ada "+k.GrantID.String()) }) {
		t.Errorf("not recorded: %v", o.events())
	}
	o.db.MustExec(t, `INSERT INTO connection (name, source, max_permission_age) VALUES ('bare', 'fakedrive', '1 day')`)
	o.ada.get("/connections/bare/grant").says(t, http.StatusOK, "It has no grant", "Grant again")
	o.ada.post("/connections/bare/revoke", "confirm", "yes").says(t, http.StatusUnprocessableEntity, "It has no grant")
}

// TestConnectionSettingsPage: settings by their labels, by default or not, who made it, and when it ends.
func TestConnectionSettingsPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	path := "/connections/files/settings"
	o.db.MustExec(t, `UPDATE connection SET settings = settings || jsonb_build_object('corner', $1::text, 'shared', 'false', 'olden', 'x')`, hostileMarkup)
	p := o.ada.get(path)
	p.says(t, http.StatusOK, "by ada", "Corner <script>", "Depth – by default How deep", "Shared no Shared ones too", "Mode a by default Mode", "olden x This version does not know it", "All are as they come", "it has read this many pages. Empty is 1,000,000; commands call it max_pages", "Fake Drive")
	harmless(t, hostileMarkup, p)
	o.ada.post("/connections/files/expiry", "at", "2001-01-01", "then", "keep").says(t, http.StatusUnprocessableEntity, "choose a day after today", "Settings of the source")
	if p := o.ada.post("/connections/files/expiry", "at", "2100-01-02", "then", "hide"); p.status != http.StatusSeeOther || p.location() != path+"?done=expiry" {
		t.Errorf("setting an end: %d to %q", p.status, p.location())
	}
	o.ada.get(path+"?done=expiry").has(t, `value="2100-01-02"`)
	o.account("aud", store.RoleAuditor)
	p = o.signedIn("aud").get(path)
	p.says(t, http.StatusOK, "2100-01-02 00:00 UTC; documents are then hidden", "Pages 1,000,000", "Permissions count for 1d")
	if strings.Contains(p.body, "<form method=\"post\" action=\"/connections/") {
		t.Error("an auditor is offered a change")
	}
}

// TestConnectionLimitsForm: limits by their titles, the default where nothing stands, and what is refused stays to be corrected.
func TestConnectionLimitsForm(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	path := "/connections/files/settings"
	form := func(pages, percent string) page {
		return o.ada.post("/connections/files/limits", "max_pages", pages, "failed_percent", percent, "max_items", "", "max_megabytes", "", "max_minutes", "", "max_empty_pages", "", "failed_items", "", "failed_in_a_row", "")
	}
	p := form("many", "35")
	p.says(t, http.StatusUnprocessableEntity, "Pages: must be a number of 1 to", "Settings of the source")
	p.has(t, `value="many"`, `value="35"`, "<details open>")
	o.recorded(t, 0, "connection.limits")
	if p := form("5,000,000", "35"); p.status != http.StatusSeeOther || p.location() != path+"?done=limits" {
		t.Fatalf("saving limits: %d to %q\n%s", p.status, p.location(), p.text())
	}
	p = o.ada.get(path + "?done=limits")
	p.says(t, http.StatusOK, "The limits are saved", "2 of them are changed here")
	p.has(t, `value="5,000,000"`, `value="35"`)
	// What stays as it was is not recorded, and an empty field is the default.
	form("5,000,000", "35")
	form(" ", "35")
	o.recorded(t, 2, "connection.limits ok account:ada")
	o.ada.get(path).says(t, http.StatusOK, "1 of them is changed here")
	o.ada.post("/connections/files/limits", "max_fun", "1").says(t, http.StatusBadRequest, "does not know")
}

// TestPermissionAgeForm: for how long permissions count is at least twice the time between two reads, and never is for what
// others push.
func TestPermissionAgeForm(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	path := "/connections/files/settings"
	for text, want := range map[string]string{
		"soon": "write a time span", "9m": "must be at least 10m: twice the time", "never": "must be at most 366d", "": "write a time span", "@daily": "write a time span",
	} {
		p := o.ada.post("/connections/files/permission-age", "max_permission_age", text)
		p.says(t, http.StatusUnprocessableEntity, "Permissions count for: "+want)
		p.has(t, `value="`+text+`"`)
	}
	if p := o.ada.post("/connections/files/permission-age", "max_permission_age", " 7d "); p.status != http.StatusSeeOther || p.location() != path+"?done=permission-age" {
		t.Fatalf("saving: %d to %q\n%s", p.status, p.location(), p.text())
	}
	o.ada.get(path).has(t, `name="max_permission_age" type="text" value="7d"`)
	o.db.MustExec(t, `INSERT INTO connection (name, source, max_permission_age) VALUES ('wiki', 'push', '1 day')`)
	o.ada.post("/connections/wiki/permission-age", "max_permission_age", "")
	p := o.ada.get("/connections/wiki/settings")
	p.says(t, http.StatusOK, "Empty is never")
	p.has(t, `name="max_permission_age" type="text" value=""`)
	o.account("aud", store.RoleAuditor)
	o.signedIn("aud").get("/connections/wiki/settings").says(t, http.StatusOK, "Permissions count for as long as nothing else is pushed")
	o.recorded(t, 2, "connection.permission_age ok account:ada")
	api := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	if got := api.call(http.MethodPut, "/connections/files/permission-age", `{"max_permission_age": "48h"}`).is(http.StatusOK); got["max_permission_age"] != "48h0m0s" {
		t.Errorf("answered %v", got["max_permission_age"])
	}
	api.call(http.MethodPut, "/connections/files/permission-age", `{"max_permission_age": "1m"}`).refuses(http.StatusBadRequest, "invalid_request", "max_permission_age")
	api.call(http.MethodPut, "/connections/files/permission-age", `{}`).refuses(http.StatusBadRequest, "invalid_request", "max_permission_age")
}

// TestDisconnectReceipt: what was disconnected leads to the receipt of its erasure, which holds no text of the source.
func TestDisconnectReceipt(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	o.db.MustExec(t, `INSERT INTO skip (connection_id, external_id, path, reason, listing) VALUES ($1, 'canary-id', '/canary', 'no document', 1)`, k.ID)
	p := o.ada.post("/connections/files/disconnect", "confirm", "files")
	p.says(t, http.StatusOK, "files is disconnected", "The receipt of the erasure proves it")
	receipt := o.ada.follow(t, p, "The receipt of the erasure")
	receipt.says(t, http.StatusOK, "Erasure of files done", "by ada", "Found afterwards nothing", "skip 1", "SHA-256", "tributary erase show ")
	if strings.Contains(receipt.body, "canary") || strings.Contains(receipt.body, "data-live") {
		t.Error("the receipt holds a text of the source, or is read again")
	}
	id := pgtest.Scalar[string](t, o.db, `SELECT id::text FROM erasure`)
	o.account("aud", store.RoleAuditor)
	o.signedIn("aud").get("/erasures/"+id).says(t, http.StatusOK, "Erasure of files")
	o.db.MustExec(t, `UPDATE erasure SET state = 'failed', error = $1, receipt = NULL, connection = $1`, hostileMarkup)
	failed := o.ada.get("/erasures/" + id)
	failed.says(t, http.StatusOK, "failed", "There is no receipt yet")
	harmless(t, hostileMarkup, failed)
	for _, bad := range []string{"x", "0b9e1e0e-7c0f-4f7e-9d0a-3f6b8a0f2c11"} {
		if p := o.ada.get("/erasures/" + bad); p.status != http.StatusNotFound {
			t.Errorf("%s: %d", bad, p.status)
		}
	}
}

// TestErasuresPage: every erasure with its counts, who asked and its receipt, the newest first, in pages.
func TestErasuresPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	o.account("aud", store.RoleAuditor)
	aud := o.signedIn("aud")
	aud.get("/erasures").says(t, http.StatusOK, "Nothing was erased", "tributary erase list", "GET /v1/admin/erasures")
	o.ada.get("/connections").has(t, `<a href="/erasures">`)
	o.ada.get("/connections/files/settings").has(t, `<a href="/erasures">`)
	o.db.MustExec(t, `INSERT INTO erasure (connection_id, connection, source, scope, state, requested_by, requested_at, removed, receipt)
		SELECT $1, CASE n WHEN 1 THEN $2 ELSE 'gone-' || n END, 'fakedrive', 'connection', 'done', 'ada', clock() - n * interval '1 day', '{"document": 1234}', '{"hits": 0}' FROM generate_series(1, 60) n`, k.ID, hostileMarkup)
	o.db.MustExec(t, `INSERT INTO erasure (connection_id, connection, source, scope, state, error) VALUES ($1, 'files', 'fakedrive', 'document', 'failed', 'it stands still')`, k.ID)
	p := aud.get("/erasures")
	p.says(t, http.StatusOK, "documents of files fakedrive failed it stands still 0 not looked yet", "gone-2 fakedrive done 1,234 nothing", "by ada Receipt of the erasure of gone-2", "Next page")
	p.has(t, `aria-current="page">Erasures</span>`)
	harmless(t, hostileMarkup, p)
	if strings.Index(p.text(), "documents of files") > strings.Index(p.text(), "gone-2") {
		t.Error("the newest is not first")
	}
	p = aud.follow(t, p, "Next page")
	p.says(t, http.StatusOK, "gone-60", "First page")
	if strings.Contains(p.text(), "gone-2 ") {
		t.Error("what stood on the first page stands on the second")
	}
	aud.get("/erasures?before=x").says(t, http.StatusBadRequest, "Before: must be the id")
	aud.follow(t, aud.get("/erasures"), "How far it is").says(t, http.StatusOK, "There is no receipt yet", "Connections / Erasures / documents of files")
	ci := o.program(t, "ci", store.RoleAuditor, uuid.Nil)
	got := ci.call(http.MethodGet, "/erasures?limit=1", "").is(http.StatusOK)["items"].([]any)[0].(map[string]any)
	if hits, there := got["hits"]; !there || hits != 0.0 || got["receipt"] != nil {
		t.Errorf("the API lists %v", got)
	}
}

// TestConnectionPagesCostTheSame: no page of a connection takes more statements for having more to show.
func TestConnectionPagesCostTheSame(t *testing.T) {
	t.Parallel()
	w := &countingWire{}
	o := newOAuthRigThrough(t, nil, func(databaseURL string) string { return w.through(t, databaseURL) })
	k := o.connected(t)
	paths := []string{"/connections", "/connections/files", "/connections/files/runs", "/connections/files/quarantine", "/connections/files/deletions", "/connections/files/grant", "/connections/files/settings"}
	cost := func() (out []string) {
		for _, path := range paths {
			o.ada.get(path) // what is prepared once
			before := w.n.Load()
			o.ada.get(path).says(t, http.StatusOK)
			out = append(out, fmt.Sprint(path, " ", w.n.Load()-before))
		}
		return out
	}
	more := func(n int) {
		o.db.MustExec(t, `INSERT INTO connection (name, source, max_permission_age) SELECT 'k' || (SELECT count(*) FROM connection) || n, 'folder', '1 day' FROM generate_series(1, $1::int) n`, n)
		o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, selection_version) SELECT c.id, 'content', 'changes', 'succeeded', 1 FROM connection c, generate_series(1, $1::int)`, n)
		o.db.MustExec(t, `INSERT INTO deletion_hold (connection_id, run_id, listing, reason, state, documents, total) SELECT $1, gen_random_uuid(), 1, 'many', 'rejected', 1, 1 FROM generate_series(1, $2::int)`, k.ID, n)
	}
	more(2)
	few := cost()
	more(30)
	if many := cost(); !slices.Equal(few, many) {
		t.Errorf("statements: %v, with more %v", few, many)
	}
	t.Log(few)
}
