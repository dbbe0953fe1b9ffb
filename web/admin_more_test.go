package web_test

import (
	"context"
	"encoding/hex"
	"errors"
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

func TestAdminSchedules(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	p := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	got := p.call(http.MethodGet, "/connections/files/schedule", "").is(http.StatusOK)
	if content, _ := got["content"].(map[string]any); content["every"] != "15m0s" || got["time_zone"] != "UTC" || content["next_at"] == nil {
		t.Errorf("the default: %v", got)
	}
	got = p.call(http.MethodPut, "/connections/files/schedule", `{"content": {"cron": "0 3 * * *"}, "permissions": {"every": "10m"}, "time_zone": "Europe/Berlin", "quiet": [{"days": ["mon"], "from": "22:00", "to": "06:00"}]}`).is(http.StatusOK)
	content, _ := got["content"].(map[string]any)
	permissions, _ := got["permissions"].(map[string]any)
	if content["cron"] != "0 3 * * *" || content["every"] != nil || permissions["every"] != "10m0s" || len(got["quiet"].([]any)) != 1 || got["time_zone"] != "Europe/Berlin" {
		t.Errorf("set to %v", got)
	}
	p.call(http.MethodPut, "/connections/files/schedule", `{"content": {"cron": "0 3 * * *", "every": "1h"}}`).refuses(http.StatusBadRequest, "invalid_request", "content")
	p.call(http.MethodPut, "/connections/files/schedule", `{"content": {"every": "soon"}}`).refuses(http.StatusBadRequest, "invalid_request", "content.every")
	p.call(http.MethodPut, "/connections/files/schedule", `{"time_zone": "Moon/Crater"}`).refuses(http.StatusBadRequest, "invalid_request", "time_zone")
	if again := p.call(http.MethodGet, "/connections/files/schedule", "").is(http.StatusOK); again["time_zone"] != "Europe/Berlin" {
		t.Errorf("a refused schedule changed something: %v", again)
	}
	run := p.call(http.MethodPost, "/connections/files/sync", `{"kind": "reconcile"}`).is(http.StatusOK)["runs"].([]any)[0].(map[string]any)
	if run["kind"] != "reconcile" {
		t.Errorf("asked for %v", run)
	}
	p.call(http.MethodPost, "/connections/files/sync", `{"kind": "reconcile", "lane": "content"}`).refuses(http.StatusBadRequest, "invalid_request", "kind")
	for _, e := range []string{"connection.schedule ok token:ci", "connection.sync ok token:ci"} {
		if n := strings.Count(strings.Join(o.events(), "\n"), e); n != 1 {
			t.Errorf("%s is recorded %d times", e, n)
		}
	}
}

// A sync is asked for in every lane and recorded, or nothing is.
func TestASyncIsAskedForAndRecordedAsOne(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	o.db.MustExec(t, `DELETE FROM sync_run`)
	o.db.MustExec(t, `ALTER TABLE sync_run ADD CONSTRAINT none CHECK (kind <> 'permissions')`)
	p := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	ask := func() {
		p.call(http.MethodPost, "/connections/files/sync", `{}`)
		o.ada.post("/connections/files/sync")
	}
	left := func() [2]int {
		return [2]int{pgtest.Scalar[int](t, o.db, `SELECT count(*)::int FROM audit_event WHERE action = 'connection.sync'`), pgtest.Scalar[int](t, o.db, `SELECT count(*)::int FROM sync_run`)}
	}
	if ask(); left() != [2]int{} {
		t.Errorf("a sync that could not be asked for left %v events and runs", left())
	}
	o.db.MustExec(t, `ALTER TABLE sync_run DROP CONSTRAINT none`)
	if ask(); left() != [2]int{2, 2} {
		t.Errorf("two that were asked for left %v events and runs", left())
	}
}

func TestAdminProblems(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	o.db.MustExec(t, `INSERT INTO quarantine (connection_id, external_id, path, source_revision, class, reason, attempts, run_id)
		SELECT $1, 'q' || n, '/q' || n, 'v1', 'item_skipped', 'it is broken', 3, gen_random_uuid() FROM generate_series(1, 4) n`, k.ID)
	if err := o.store.RaiseNotice(t.Context(), nil, store.Notice{ConnectionID: &k.ID, Code: "quarantine_not_empty", Detail: "4 documents"}); err != nil {
		t.Fatal(err)
	}
	p := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	if codes := p.call(http.MethodGet, "/notices?connection=files", "").names("code"); !slices.Equal(codes, []string{"quarantine_not_empty"}) {
		t.Errorf("notices: %v", codes)
	}
	if codes := p.call(http.MethodGet, "/notices?code=run_stuck", "").names("code"); len(codes) != 0 {
		t.Errorf("notices: %v", codes)
	}
	if err := o.store.ClearNotice(t.Context(), nil, &k.ID, "quarantine_not_empty", ""); err != nil {
		t.Fatal(err)
	}
	for query, n := range map[string]int{"": 0, "?all=false": 0, "?all=true": 1} {
		if got := p.call(http.MethodGet, "/notices"+query, "").names("code"); len(got) != n {
			t.Errorf("notices%s: %v", query, got)
		}
	}
	quarantine := func(want ...string) {
		t.Helper()
		if got := p.call(http.MethodGet, "/connections/files/quarantine", "").names("id"); !slices.Equal(got, want) {
			t.Errorf("the quarantine has %v, want %v", got, want)
		}
	}
	quarantine("q1", "q2", "q3", "q4")
	change := func(act, body string, n float64) {
		t.Helper()
		if got := p.call(http.MethodPost, "/connections/files/quarantine/"+act, body).is(http.StatusOK); got["changed"] != n {
			t.Errorf("%s %s: %v", act, body, got)
		}
	}
	change("retry", `{"ids": ["q1", "gone"]}`, 1)
	change("exclude", `{"ids": ["q2", "q3"], "reason": "hopeless"}`, 2)
	change("exclude", `{"ids": ["q2", "q3"], "reason": "hopeless"}`, 0)
	quarantine("q1", "q4")
	o.db.MustExec(t, `INSERT INTO exclusion (connection_id, id_hash, why) VALUES ($1, sha256('erased'), 'erased')`, k.ID)
	excluded := p.call(http.MethodGet, "/connections/files/exclusions?limit=1", "").is(http.StatusOK)
	rest := p.call(http.MethodGet, "/connections/files/exclusions?cursor="+fmt.Sprint(excluded["next_cursor"]), "")
	if got, _ := excluded["items"].([]any); len(got) != 1 || !slices.Equal(rest.names("id"), []string{"q3"}) {
		t.Errorf("excluded are %v and %v", excluded, rest.body)
	} else if q2, _ := got[0].(map[string]any); q2["id"] != "q2" || q2["path"] != "/q2" || q2["reason"] != "hopeless" || q2["by"] != "ci" {
		t.Errorf("excluded is %v", q2)
	}
	change("include", `{"ids": ["q3"]}`, 1)
	if out, err := o.store.Excluded(t.Context(), k.ID, []string{"q2", "q3"}); err != nil || len(out) != 1 || !out["q2"] {
		t.Errorf("excluded are %v, %v", out, err)
	}
	p.call(http.MethodPost, "/connections/files/quarantine/retry", `{}`).refuses(http.StatusBadRequest, "invalid_request", "ids")
	p.call(http.MethodPost, "/connections/files/quarantine/retry", `{"ids": [""]}`).refuses(http.StatusBadRequest, "invalid_request", "ids")
	by := pgtest.Scalar[string](t, o.db, `SELECT string_agg(by || ' ' || reason, ';') FROM exclusion WHERE why = 'excluded'`)
	if by != "ci hopeless" {
		t.Errorf("excluded by %q", by)
	}
}

func TestAdminLimits(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	p := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	before := p.call(http.MethodGet, "/connections/files/limits", "").is(http.StatusOK)
	if got := p.call(http.MethodPatch, "/connections/files/limits", `{"max_pages": 7}`).is(http.StatusOK); got["max_pages"] != 7.0 || got["max_items"] != before["max_items"] {
		t.Errorf("set to %v", got)
	}
	if got := p.call(http.MethodPatch, "/connections/files/limits", `{"max_pages": null}`).is(http.StatusOK); got["max_pages"] != before["max_pages"] {
		t.Errorf("taken back to %v", got)
	}
	for _, bad := range []string{`{}`, `{"max_pages": -1}`, `{"max_fun": 3}`, `{"max_pages": "many"}`} {
		if a := p.call(http.MethodPatch, "/connections/files/limits", bad); a.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, a.status)
		}
	}
}

// TestAdminDeletions: a decision that stands is answered again, the other one is a conflict.
func TestAdminDeletions(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	hold := func() string {
		return pgtest.Scalar[string](t, o.db, `
			WITH d AS (INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind, media_type, lang, author,
					metadata, acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
				SELECT gen_random_uuid(), $1, 'd' || n || gen_random_uuid(), 'v1', '', 1, 'Plan ' || n, '', '/plans/' || n, '', '', '', '', '',
					'{}', 0, 0, 0, 0, clock(), clock() FROM generate_series(1, 3) n RETURNING id),
			h AS (INSERT INTO deletion_hold (connection_id, run_id, listing, reason, documents, total) VALUES ($1, gen_random_uuid(), 1, 'many', 3, 9) RETURNING id),
			x AS (INSERT INTO held_document (hold_id, document_id) SELECT h.id, d.id FROM h, d)
			SELECT id::text FROM h`, k.ID)
	}
	p := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	first := hold()
	if ids := p.call(http.MethodGet, "/deletions?connection=files&state=open", "").names("id"); !slices.Equal(ids, []string{first}) {
		t.Fatalf("listed %v", ids)
	}
	page := p.call(http.MethodGet, "/deletions/"+first+"/documents?limit=2", "")
	rest := p.call(http.MethodGet, "/deletions/"+first+"/documents?limit=2&cursor="+page.json()["next_cursor"].(string), "")
	if len(page.names("title")) != 2 || len(rest.names("title")) != 1 || rest.json()["next_cursor"] != "" {
		t.Errorf("the documents: %s, then %s", page.body, rest.body)
	}
	o.ada.get("/connections/files").says(t, http.StatusOK, "Deletions wait for you", "3 documents of 9")
	o.ada.get("/deletions/"+first).says(t, http.StatusOK, "Plan 1", "/plans/3", "Are they really gone?")
	o.ada.post("/deletions/"+first+"/approve").says(t, http.StatusUnprocessableEntity, "tick the box")
	for range 2 {
		if got := p.call(http.MethodPost, "/deletions/"+first+"/reject", "").is(http.StatusOK); got["state"] != "rejected" {
			t.Errorf("rejected: %v", got)
		}
	}
	for range 2 {
		if got := p.call(http.MethodPost, "/deletions/"+first+"/approve", "").is(http.StatusOK); got["state"] != "approved" || got["decided_by"] != "ci" {
			t.Errorf("approved: %v", got)
		}
	}
	p.call(http.MethodPost, "/deletions/"+first+"/reject", "").refuses(http.StatusConflict, "conflict", "")
	o.ada.post("/deletions/"+first+"/reject").says(t, http.StatusUnprocessableEntity, "approved already")
	second := hold()
	if got := o.ada.post("/deletions/"+second+"/approve", "confirm", "yes"); got.status != http.StatusSeeOther {
		t.Errorf("approving: %d\n%s", got.status, got.text())
	}
	o.ada.get("/deletions/"+second).says(t, http.StatusOK, "approved", "by ada")
	log := strings.Join(o.events(), "\n")
	if strings.Count(log, "deletions.approve ok") != 2 || strings.Count(log, "deletions.reject ok") != 1 {
		t.Errorf("recorded:\n%s", log)
	}
}

// TestAdminPlanEndsWithItsClient: a plan is read for as long as somebody waits for it.
func TestAdminPlanEndsWithItsClient(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	p := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	if got := p.call(http.MethodPost, "/connections/files/plan", "").is(http.StatusOK); got["add"] != 3.0 || got["took_seconds"] != 1.25 {
		t.Errorf("planned %v", got)
	}
	p.call(http.MethodPost, "/connections/files/plan", `{"kind": "snapshot", "include": ["a/**"], "settings": {"depth": "2"}, "seconds": 5, "items": 10000}`).is(http.StatusOK)
	last := o.planner.asked[len(o.planner.asked)-1]
	if last.Time != 5*time.Second || last.SampleTime != 8*time.Second || last.Items != 500 || last.Settings["depth"] != "2" || last.Settings["corner"] != "north" || !slices.Equal(last.Selection.Include, []string{"a/**"}) {
		t.Errorf("asked for %+v", last)
	}
	p.call(http.MethodPost, "/connections/files/plan", `{"kind": "push"}`).refuses(http.StatusBadRequest, "invalid_request", "kind")
	p.call(http.MethodPost, "/connections/files/plan", `{"seconds": 61}`).refuses(http.StatusBadRequest, "invalid_request", "seconds")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	o.planner.began, o.planner.ended = cancel, make(chan error, 1)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.server.URL+"/v1/admin/connections/files/plan", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	if resp, err := o.server.Client().Do(req); err == nil {
		_ = resp.Body.Close()
		t.Errorf("an answer came: %d", resp.StatusCode)
	}
	select {
	case err := <-o.planner.ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the plan ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the plan goes on")
	}
}

func TestAdminErasures(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	p := o.program(t, "ci", store.RoleAdmin, uuid.Nil)
	p.call(http.MethodPost, "/erasures", `{"connection": "files", "scope": "connection"}`).refuses(http.StatusBadRequest, "invalid_request", "confirm")
	p.call(http.MethodPost, "/erasures", `{"connection": "files", "confirm": "files", "scope": "document"}`).refuses(http.StatusBadRequest, "invalid_request", "scope")
	p.call(http.MethodPost, "/erasures", `{"connection": "files", "confirm": "files", "scope": "connection", "documents": ["x"]}`).refuses(http.StatusBadRequest, "invalid_request", "scope")
	p.call(http.MethodPost, "/erasures", `{"connection": "none", "confirm": "none", "scope": "connection"}`).refuses(http.StatusBadRequest, "invalid_request", "connection")
	e := p.call(http.MethodPost, "/erasures", `{"connection": "files", "confirm": "files", "scope": "connection"}`).is(http.StatusCreated)
	id, _ := e["id"].(string)
	if again := p.call(http.MethodPost, "/erasures", `{"connection": "files", "confirm": "files", "scope": "connection"}`).json(); again["id"] != id {
		t.Errorf("asked twice: %v, then %v", e, again)
	}
	if got := p.call(http.MethodGet, "/erasures/"+id, "").is(http.StatusOK); got["state"] != "queued" || got["requested_by"] != "ci" {
		t.Errorf("got %v", got)
	}
	if ids := p.call(http.MethodGet, "/erasures", "").names("id"); !slices.Equal(ids, []string{id}) {
		t.Errorf("listed %v", ids)
	}
	p.call(http.MethodGet, "/erasures/"+id+"/receipt", "").refuses(http.StatusConflict, "conflict", "")
	p.call(http.MethodGet, "/erasures/"+uuid.NewString(), "").refuses(http.StatusNotFound, "not_found", "")
}

// TestAdminTellsNoSecrets looks for everything that is secret in every answer of the admin API.
func TestAdminTellsNoSecrets(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	ada, err := o.store.Account(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	p := o.program(t, "ci", store.RoleOwner, ada.ID)
	_, key, err := o.store.CreateKey(t.Context(), store.CreateKeyParams{Name: "k", AllConnections: true, Rights: []string{store.RightSearch}})
	if err != nil {
		t.Fatal(err)
	}
	hash, err := goodHash()
	if err != nil {
		t.Fatal(err)
	}
	canaries := []string{o.provider.ClientSecret, p.token[8:], key[5:], hash, goodPassword, o.ada.secretOf()}
	for _, sql := range []string{
		`SELECT encode(secret_hash, 'hex') FROM admin_token`, `SELECT encode(secret_hash, 'hex') FROM api_key`,
		`SELECT encode(secret_hash, 'hex') FROM web_session`,
	} {
		canaries = append(canaries, pgtest.Scalar[string](t, o.db, sql+` LIMIT 1`))
	}
	for _, sealed := range pgtest.Scalar[[][]byte](t, o.db, `SELECT array_agg(secret_ct) FROM credential`) {
		canaries = append(canaries, hex.EncodeToString(sealed[:32]))
	}
	access, err := o.parts.Refresher.Refresh(t.Context(), *k.GrantID)
	if err != nil {
		t.Fatal(err)
	}
	canaries = append(canaries, access.Token.Reveal())
	n := 0
	for _, info := range o.web.Table() {
		path, ok := strings.CutPrefix(info.Path, "/v1/admin")
		if !ok || info.Method != http.MethodGet {
			continue
		}
		id := map[string]string{"/grants": k.GrantID.String(), "/registrations": o.reg.ID.String(), "/users": "ada"}[path[:1+strings.IndexByte(path[1:]+"/", '/')]]
		a := p.call(http.MethodGet, strings.NewReplacer(":name", "files", ":id", id).Replace(path), "")
		for i, canary := range canaries {
			if len(canary) < 8 {
				t.Fatalf("canary %d is %q", i, canary)
			}
			if strings.Contains(a.body, canary) {
				t.Errorf("%s tells canary %d", path, i)
			}
		}
		n++
	}
	if n < 25 || len(canaries) < 10 {
		t.Errorf("%d answers were searched for %d canaries", n, len(canaries))
	}
	t.Logf("%d answers, %d canaries", n, len(canaries))
}
