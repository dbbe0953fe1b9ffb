package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tributary/connectors/sandbox"
	"tributary/internal/pgtest"
	"tributary/store"
	"tributary/web"
)

func TestOverviewOfANewInstance(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	p := o.ada.get("/")
	p.says(t, http.StatusOK, "Nothing is connected yet", "A folder of the server", "A source of yours", "Register a client at a provider done", "Connect a source", "Wait for the first sync")
	if strings.Contains(p.body, "Try it") || strings.Contains(p.body, `class="facts"`) {
		t.Error("Sandbox Drive is offered where it is not served, or facts of nothing are shown")
	}
	o.parts.Sources = append(o.parts.Sources, sandbox.New(sandbox.Config{}).Spec())
	o.ada.get("/connect").says(t, http.StatusOK, "the sandbox, which is not served now")
	o.parts.Sandbox = func() string { return "http://localhost:8090" }
	p = o.ada.get("/")
	p.says(t, http.StatusOK, "Sandbox Drive", "Try it")
	p.has(t, `href="/registrations/new?provider=sandbox"`)
	o.ada.get("/registrations/new?provider=sandbox").has(t, `value="http://localhost:8090"`)
	o.ada.get("/connect").says(t, http.StatusOK, "which this program serves at http://localhost:8090")
	o.account("aud", store.RoleAuditor)
	if p := o.signedIn("aud").get("/"); strings.Contains(p.body, `href="/connect"`) || strings.Contains(p.body, `href="/registrations/new"`) {
		t.Error("an auditor is led to pages that are not for one")
	}
}

func TestOverviewOfARunningInstance(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	for i := range 9 {
		if _, err := o.store.CreateConnection(t.Context(), store.NewConnection{Name: fmt.Sprintf("a%d", i), Source: "folder"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := o.store.CreateProfile(t.Context(), store.Profile{Name: "builtin", Kind: store.ProfileHashing, Model: "hashing", Dimensions: 4}); err != nil {
		t.Fatal(err)
	}
	o.chunks(t, k, 3)
	o.db.MustExec(t, `INSERT INTO embed_todo (profile_id, document_id, chunk_id, input_hash, tokens, next_try_at) SELECT p.id, c.document_id, c.id, '', 1, clock() FROM chunk c, embedding_profile p WHERE c.id < 3`)
	o.db.MustExec(t, `UPDATE connection SET permissions_as_of = clock() - CASE WHEN name = 'files' THEN interval '3 hours' ELSE interval '1 minute' END, content_as_of = clock()`)
	o.db.MustExec(t, `UPDATE connection SET state = 'failed', state_reason = 'it <b>broke' WHERE name = 'a8'`)
	o.db.MustExec(t, `UPDATE sync_run SET state = 'succeeded', finished_at = clock()`)
	for _, r := range []struct{ lane, kind, state, ago string }{
		{"content", "snapshot", "failed", "1 hour"},
		{"content", "changes", "partial", "2 hours"},
		{"permissions", "permissions", "succeeded", "30 minutes"},
		{"content", "reconcile", "failed", "25 hours"},
		{"permissions", "permissions", "running", "0"},
	} {
		o.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, cause, state, queued_at, started_at, finished_at, error, counts, selection_version)
			VALUES ($1, $2, $3, 'tick', $4, clock() - $5::interval, clock() - $5::interval, CASE WHEN $4 = 'running' THEN NULL ELSE clock() END, CASE WHEN $4 = 'failed' THEN '<script>alert(1)</script>' ELSE '' END, '{"added": 7}', 1)`,
			k.ID, r.lane, r.kind, r.state, r.ago)
	}
	if err := o.store.RaiseNotice(t.Context(), nil, store.Notice{ConnectionID: &k.ID, Code: "run_failing", Detail: "the run <b>failed</b>"}); err != nil {
		t.Fatal(err)
	}
	n := pgtest.Scalar[int](t, o.db, `SELECT count(*)::int FROM sync_run WHERE queued_at > clock() - interval '24 hours'`)
	p := o.ada.get("/")
	p.says(t, http.StatusOK, "Connections 10", "8 work, 1 in part, paused or stale, 1 stand still", "Documents 1 in 3 chunks", "Embeddings 2 chunks wait for builtin", "Oldest permissions 3 h ago those of files",
		fmt.Sprintf("Runs within 24 hours %d 1 failed, 1 done in part", n), "<script>alert(1)</script>", "the run <b>failed</b>", "it <b>broke", "All 10 connections", "+7 ~0 -0 !0")
	if strings.Contains(p.body, "<script>alert") {
		t.Error("an error is no text")
	}
	text := p.text()
	running, recent := strings.Index(text, "Running"), strings.Index(text, "Recent runs")
	if running < 0 || recent < running || !strings.Contains(text[running:recent], "permissions of files running") || strings.Contains(text[recent:], "permissions of files done") {
		t.Errorf("the live run is not shown, or a run that changed nothing is:\n%s", text)
	}
	if first := strings.Index(text, "a8"); first < 0 || first > strings.Index(text, "a0 ") {
		t.Error("what stands still is not shown first")
	}
}

func TestGallery(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	find := func(q string) page { return o.ada.get("/connect?q=" + url.QueryEscape(q)) }
	p := o.ada.get("/connect")
	p.says(t, http.StatusOK, "Fake Drive", "Gives content a choice of what is synced", "your consent at the provider; the registration is there", "Connect through drive", "a directory of the server's machine")
	p.has(t, `href="/icons.svg#folder"`, `href="/icons.svg#documents"`, `name="q"`)
	if p := find("FAKE choice"); !strings.Contains(p.text(), "Fake Drive") || strings.Contains(p.text(), "a directory of the server's machine") {
		t.Errorf("looking for Fake Drive:\n%s", p.text())
	}
	if p := find("fake nosuch"); strings.Contains(p.text(), "Connect through drive") {
		t.Error("one word is enough")
	}
	p.has(t, `<a href="/connect" aria-current="page">`, `href="/connect?category=files"`, `href="/connect?category=knowledge-base"`)
	if strings.Contains(p.body, "category=code") || strings.Contains(p.body, "category=own") {
		t.Error("a category without a source to connect is offered")
	}
	p = o.ada.get("/connect?category=knowledge-base&q=documents")
	p.says(t, http.StatusOK, "All 1 Files Knowledge bases 1", "Holds knowledge bases", "Connect through drive")
	p.has(t, `<a href="/connect?category=knowledge-base&amp;q=documents" aria-current="page">`, `href="/connect?q=documents"`, `<input type="hidden" name="category" value="knowledge-base">`)
	if strings.Contains(p.text(), "a directory of the server's machine") {
		t.Error("a source of another category is shown")
	}
	o.ada.get("/connect?category=planets").says(t, http.StatusOK, "No source matches", "All 2 sources")
	p = find(`"><script>alert(1)</script>`)
	p.says(t, http.StatusOK, "No source matches", "All 2 sources")
	if strings.Contains(p.body, "<script>alert") {
		t.Error("what was looked for is no text")
	}
	if p := o.ada.get("/connect?q=" + strings.Repeat("a", 5000)); p.status != http.StatusOK || strings.Contains(p.body, strings.Repeat("a", 200)) {
		t.Errorf("a long query: %d", p.status)
	}
}

// TestFillRate: the rate is that between two looks, and none where that says nothing.
func TestFillRate(t *testing.T) {
	t.Parallel()
	look, at := web.FillRate(), time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i, s := range []struct {
		profile int16
		vectors int64
		after   time.Duration
		want    float64
	}{
		{1, 100, 0, 0},                 // the first look
		{2, 7, 0, 0},                   // another profile
		{1, 150, time.Second, 0},       // too soon to say
		{1, 200, 10 * time.Second, 10}, // since the first
		{1, 800, 70 * time.Second, 10}, // since the first, and the base of what comes
		{1, 860, 80 * time.Second, 6},
		{1, 5, 90 * time.Second, 0}, // fewer: they were made anew
		{1, 25, 100 * time.Second, 2},
		{1, 90, time.Hour, 0}, // too long ago
	} {
		if got := look(s.profile, s.vectors, at.Add(s.after)); got != s.want {
			t.Errorf("look %d: %v vectors a second, want %v", i, got, s.want)
		}
	}
}
