package web_test

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

// hostileMarkup breaks out of an attribute too.
const hostileMarkup = `<script>alert(1)</script>"><img src=x onerror=alert(1)>`

// follow opens the address of the link with that text.
func (b *browser) follow(t *testing.T, p page, text string) page {
	t.Helper()
	m := regexp.MustCompile(`<a [^>]*href="([^"]*)"[^>]*>` + regexp.QuoteMeta(text)).FindStringSubmatch(p.body)
	if m == nil {
		t.Fatalf("no link %q:\n%s", text, p.body)
	}
	return b.get(html.UnescapeString(m[1]))
}

// TestConnectionList: those that need somebody come first; text, state and pages narrow the same list.
func TestConnectionList(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.ada.get("/connections").says(t, http.StatusOK, "Nothing is connected yet", "A folder", "Look at the sources")
	o.account("aud", store.RoleAuditor)
	aud := o.signedIn("aud")
	if p := aud.get("/connections"); strings.Contains(p.body, `href="/connect"`) {
		t.Error("an auditor is offered to connect")
	}
	k := o.connected(t)
	o.db.MustExec(t, `INSERT INTO connection (name, source, max_permission_age) SELECT 'k' || lpad(n::text, 3, '0'), 'folder', '1 day' FROM generate_series(1, 119) n`)
	o.db.MustExec(t, `UPDATE connection SET state = 'failed', state_reason = $1 WHERE name = 'k077'`, hostileMarkup)
	o.db.MustExec(t, `UPDATE connection SET state = 'paused' WHERE name = 'k005'`)
	o.db.MustExec(t, `INSERT INTO deletion_hold (connection_id, run_id, listing, reason, documents, total) VALUES ($1, gen_random_uuid(), 1, 'many', 1234, 9999)`, k.ID)
	o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, counts, selection_version) VALUES ($1, 'content', 'snapshot', 'partial', '{"added": 12345, "updated": 2, "hidden": 3, "quarantined": 4}', 1)`, k.ID)
	run := pgtest.Scalar[string](t, o.db, `SELECT id::text FROM sync_run`)
	p := o.ada.get("/connections")
	p.says(t, http.StatusOK, "120 connections", "2 need somebody", "1,234 deletions held", "done in part", "+12,345 ~2 -3 !4", "Ada")
	p.has(t, `href="/runs/`+run+`?op=added"`, `href="/runs/`+run+`?op=quarantined"`, `href="/connections/files/deletions"`)
	harmless(t, hostileMarkup, p)
	names := func(p page) (list []string) {
		for _, m := range regexp.MustCompile(`<td><a href="/connections/([^"]*)">`).FindAllStringSubmatch(p.body, -1) {
			list = append(list, m[1])
		}
		return list
	}
	all := names(p)
	if len(all) != 50 || all[0] != "files" || all[1] != "k077" || all[2] != "k001" {
		t.Fatalf("the first page: %v", all)
	}
	for range 2 {
		p = o.ada.follow(t, p, "Further connections")
		all = append(all, names(p)...)
	}
	if got := slices.Compact(slices.Sorted(slices.Values(all))); len(all) != 120 || len(got) != 120 || strings.Contains(p.body, "Further connections") {
		t.Errorf("%d, %d of them different", len(all), len(got))
	}
	for query, want := range map[string][]string{
		"?show=needs": {"files", "k077"}, "?q=K00": {"k001", "k002", "k003", "k004", "k005", "k006", "k007", "k008", "k009"}, "?q=k00&show=paused": {"k005"}, "?q=fakeDRIVE": {"files"},
		"?q=aDa": {"files"}, "?q=%00%ff%25": nil, "?q=nothing": nil,
	} {
		p := o.ada.get("/connections" + query)
		if got := names(p); !slices.Equal(got, want) && p.status == http.StatusOK && query != "?q=%00%ff%25" {
			t.Errorf("%s: %v", query, got)
		}
		if p.status != http.StatusOK || len(want) == 0 && !strings.Contains(p.text(), "No connection is like that") {
			t.Errorf("%s: %d\n%s", query, p.status, p.text())
		}
	}
	harmless(t, hostileMarkup, o.ada.get("/connections?q="+url.QueryEscape(hostileMarkup)))
	for _, bad := range []string{"?show=happy", "?after=x", "?after=1:%00"} {
		if p := o.ada.get("/connections" + bad); p.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, p.status)
		}
	}
	more := o.ada.get("/connections?q=k0&show=active")
	if next := o.ada.follow(t, more, "Further connections"); len(names(next)) == 0 || strings.Contains(next.body, ">files<") {
		t.Errorf("the second page of a search: %v", names(next))
	}
}

// TestConnectionTabs: every page of a connection has the same head and tabs, marks its own, and offers an auditor no act.
func TestConnectionTabs(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	o.account("aud", store.RoleAuditor)
	aud := o.signedIn("aud")
	current := regexp.MustCompile(`href="([^"]*)"\s+aria-current="page"`)
	for tab, says := range map[string]string{
		"": "Runs of content", "/runs": "No run in this lane", "/quarantine": "Nothing is in quarantine", "/deletions": "No deletion is held", "/schedule": "Next content sync",
		"/choose": "Only what is chosen below", "/grant": "Next refresh", "/settings": "Settings of the source",
	} {
		path := "/connections/files" + tab
		p := o.ada.get(path)
		p.says(t, http.StatusOK, says, "State active", "Sync now", "Pause", "Overview", "Held deletions", "Selection", "The same without this page")
		marked := current.FindAllStringSubmatch(p.body, -1)
		if !slices.ContainsFunc(marked, func(m []string) bool { return m[1] == path }) || strings.Contains(p.body, "/documents?connection=") && !strings.Contains(p.body, `href="/documents"`) {
			t.Errorf("%s marks %v", path, marked)
		}
		p = aud.get(path)
		if tab == "/choose" {
			if p.status != http.StatusForbidden {
				t.Errorf("an auditor chooses: %d", p.status)
			}
			continue
		}
		if p.status != http.StatusOK || strings.Contains(p.body, `action="/connections/files`) || strings.Contains(p.body, "/connections/files/choose") || strings.Contains(p.body, "/disconnect") {
			t.Errorf("%s offers an auditor acts: %d", path, p.status)
		}
	}
	for _, path := range []string{"/runs", "/grant", "/settings", "/deletions"} {
		if p := o.ada.get("/connections/nowhere" + path); p.status != http.StatusNotFound {
			t.Errorf("%s of no connection: %d", path, p.status)
		}
	}
	o.db.MustExec(t, `INSERT INTO connection (name, source, max_permission_age) VALUES ('pushed', 'push', '1 day')`)
	p := o.ada.get("/connections/pushed")
	p.says(t, http.StatusOK, "/v1/push/pushed/documents/ID")
	if strings.Contains(p.body, "/schedule") || strings.Contains(p.body, "/pushed/sync") || strings.Contains(p.body, "/pushed/grant") {
		t.Error("what others push is offered a schedule, a sync or a grant")
	}
}

// TestConnectionOverviewPage: how far a run is, what nobody knows of it, and how the last ones went.
func TestConnectionOverviewPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	path := "/connections/files"
	o.ada.get(path).says(t, http.StatusOK, "Content as of never", "in 0 chunks", "Grant active Ada at Fake", "Waits for somebody nothing", "What is synced everything")
	o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, counts, queued_at, selection_version)
		SELECT $1, 'content', CASE WHEN n < 40 THEN 'changes' ELSE 'snapshot' END, (ARRAY['succeeded', 'partial', 'failed', 'succeeded'])[1 + n % 4], jsonb_build_object('added', n * n), clock() - make_interval(mins => n), 1
		FROM generate_series(1, 40) n`, k.ID)
	p := o.ada.get(path)
	p.says(t, http.StatusOK, "The last 30 runs: 14 done, 8 done in part, 8 failed")
	if n := strings.Count(p.body, "<rect "); n != 30 || strings.Count(p.body, "<title>") != 31 || strings.Count(p.body, `<rect class="bad"`) != 8 || strings.Count(p.body, `<rect class="ok"`) != 14 {
		t.Errorf("%d bars:\n%s", n, p.body)
	}
	p.has(t, "changes, failed: +4 ~0 -0 !0</title>")
	if strings.Contains(p.body, "Look again") || strings.Contains(p.body, "style=") {
		t.Error("a connection at rest asks to be read again, or has a style")
	}
	o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, worker, started_at, counts, expected, samples, selection_version)
		VALUES ($1, 'content', 'reconcile', 'running', 'w', clock() - interval '1 minute', '{"listed": 2500, "added": 2000}', 10000,
			jsonb_build_array(jsonb_build_object('at', extract(epoch FROM clock()) - 10, 'listed', 1500, 'documents', 1000, 'bytes', 0)), 1)`, k.ID)
	p = o.ada.get(path)
	p.says(t, http.StatusOK, "Under way", "reconcile running", "2,500 items listed of about 10,000", "documents a second", "left")
	p.has(t, `max="10000"`, `value="2500"`, `<div id="facts" data-live>`, `<div id="runs" data-live>`, `<span id="state" data-live>`)
	o.db.MustExec(t, `UPDATE sync_run SET expected = NULL WHERE state = 'running'`)
	p = o.ada.get(path)
	p.says(t, http.StatusOK, "how many there are is unknown", "how long it takes is not known")
	if strings.Contains(p.body, "<progress") {
		t.Error("a bar without an end")
	}
	o.db.MustExec(t, `UPDATE connection SET permissions_as_of = clock() - interval '25 hours', expires_at = '2100-01-02T00:00:00Z', at_expiry = 'hide'`)
	o.ada.get(path).says(t, http.StatusOK, "stale", "older than allowed: its documents are hidden", "2100-01-02 00:00 UTC; documents are then hidden")
	o.db.MustExec(t, `UPDATE sync_run SET state = 'failed', error = $1 WHERE state = 'running'`, hostileMarkup)
	o.db.MustExec(t, `UPDATE connection SET state = 'config_error', state_reason = $1, selection = jsonb_build_object('include', jsonb_build_array($1::text))`, hostileMarkup)
	for _, page := range []string{"", "/runs", "/settings", "/quarantine", "/disconnect"} {
		harmless(t, hostileMarkup, o.ada.get(path+page))
	}
}

// TestConnectionRunsPage: the runs of a lane, page by page, each count with the items behind it.
func TestConnectionRunsPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, counts, queued_at, selection_version)
		SELECT $1, 'content', 'changes', 'succeeded', jsonb_build_object('purged', n), clock() - make_interval(mins => n), 1 FROM generate_series(1, 120) n`, k.ID)
	o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, selection_version) VALUES ($1, 'permissions', 'permissions', 'succeeded', 1)`, k.ID)
	seen := map[string]bool{}
	link := regexp.MustCompile(`<a href="/runs/([0-9a-f-]{36})">`)
	p := o.ada.get("/connections/files/runs")
	for i := range 3 {
		for _, m := range link.FindAllStringSubmatch(p.body, -1) {
			seen[m[1]] = true
		}
		if i < 2 {
			p = o.ada.follow(t, p, "Older runs")
		}
	}
	if len(seen) != 120 || strings.Contains(p.body, "Older runs") {
		t.Errorf("%d runs", len(seen))
	}
	p.has(t, "?op=purged", `?lane=content">The newest`)
	p = o.ada.get("/connections/files/runs?lane=permissions")
	if got := link.FindAllString(p.body, -1); len(got) != 1 {
		t.Errorf("runs of permissions: %v", got)
	}
	for _, bad := range []string{"?lane=fast", "?before=x", "?before=00000000-0000-0000-0000-000000000000"} {
		if p := o.ada.get("/connections/files/runs" + bad); p.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, p.status)
		}
	}
}

// TestQuarantinePages: long lists are read page by page, hostileMarkup names stay text, and all of it is tried again at once.
func TestQuarantinePages(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	path := "/connections/files/quarantine"
	o.ada.post(path, "do", "retry-all").says(t, http.StatusUnprocessableEntity, "There is nothing to do")
	o.db.MustExec(t, `INSERT INTO quarantine (connection_id, external_id, path, source_revision, class, reason, attempts, run_id)
		SELECT $1, 'q' || lpad(n::text, 3, '0') || $2, '/q' || n || $2, 'v1', 'item_skipped', $2, 3, gen_random_uuid() FROM generate_series(1, 230) n`, k.ID, hostileMarkup+" &?#")
	o.db.MustExec(t, `INSERT INTO exclusion (connection_id, id_hash, external_id, path, why, reason, by)
		SELECT $1, sha256(('x' || n)::bytea), 'x' || n, '/x' || lpad(n::text, 3, '0') || $2, 'excluded', $2, $2 FROM generate_series(1, 70) n`, k.ID, hostileMarkup)
	p := o.ada.get(path)
	p.says(t, http.StatusOK, "230 items could not be ingested", "/q1<script>", "/q50<script>", "/x050<script>")
	harmless(t, hostileMarkup, p)
	second := o.ada.follow(t, p, "Further items")
	second.says(t, http.StatusOK, "/q51<script>", "/q100<script>", "From the beginning")
	last := second
	for range 3 {
		last = o.ada.follow(t, last, "Further items")
	}
	if last.says(t, http.StatusOK, "/q230<script>"); strings.Contains(last.body, "Further items") || strings.Contains(last.text(), "/q200<") {
		t.Error("the last page")
	}
	rest := o.ada.follow(t, p, "Further exclusions")
	if rest.says(t, http.StatusOK, "/x051<script>", "/x070<script>"); strings.Contains(rest.body, "Further exclusions") {
		t.Error("the second page of exclusions")
	}
	if p := o.ada.get(path + "?after=%00"); p.status != http.StatusBadRequest {
		t.Errorf("an id that nothing has: %d", p.status)
	}
	if p := o.ada.post(path, "do", "retry-all"); p.status != http.StatusSeeOther {
		t.Errorf("trying all again: %d", p.status)
	}
	if got := pgtest.Scalar[string](t, o.db, `SELECT detail->>'items' || ' ' || (SELECT count(*) FROM quarantine WHERE retry_at IS NOT NULL) FROM audit_event WHERE action = 'quarantine.retry'`); got != "230 230" {
		t.Errorf("recorded, and tried again: %s", got)
	}
	o.ada.get("/connections/files").says(t, http.StatusOK, "230 items not ingested", "230 in quarantine")
	o.db.MustExec(t, `UPDATE connection SET state = 'closing'`)
	for _, do := range []string{"retry-all", "retry"} {
		o.ada.post(path, "do", do, "id", "q").says(t, http.StatusUnprocessableEntity, "It is being deleted")
	}
}

// TestConnectionHoldsPage: held deletions stay on the list when somebody has decided.
func TestConnectionHoldsPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	o.db.MustExec(t, `INSERT INTO deletion_hold (connection_id, run_id, listing, reason, state, documents, total, purged, kept, decided_at, decided_by, created_at)
		SELECT $1, gen_random_uuid(), 1, 'empty', 'approved', n, 9000, n, 0, clock(), $2, clock() - make_interval(mins => n) FROM generate_series(2, 71) n`, k.ID, hostileMarkup)
	o.db.MustExec(t, `INSERT INTO deletion_hold (connection_id, run_id, listing, reason, documents, total) VALUES ($1, gen_random_uuid(), 1, 'narrowed', 1500, 9000)`, k.ID)
	p := o.ada.get("/connections/files/deletions")
	p.says(t, http.StatusOK, "1,500 documents of 9,000", "less is selected", "waits for you", "2 documents of 9,000", "the listing was empty", "approved")
	harmless(t, hostileMarkup, p)
	older := o.ada.follow(t, p, "Older ones")
	if older.says(t, http.StatusOK, "71 documents of 9,000"); strings.Contains(older.text(), "1,500 documents") || strings.Contains(older.body, "Older ones") {
		t.Error("the second page")
	}
	first := o.ada.follow(t, p, "1,500 documents")
	first.says(t, http.StatusOK, "1,500 held deletions waits for you", "Are they really gone?")
	if p := o.ada.get("/connections/files/deletions?before=x"); p.status != http.StatusBadRequest {
		t.Errorf("before nothing: %d", p.status)
	}
	o.ada.get("/connections/files").says(t, http.StatusOK, "1,500 deletions held", "Deletions wait for you")
}
