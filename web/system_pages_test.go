package web_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

// failJobs stores jobs of a queue in a state, with an error.
func (o *oauthRig) failJobs(t *testing.T, n int, queue, state, text string) {
	t.Helper()
	o.db.MustExec(t, `
		INSERT INTO river.river_job (kind, queue, args, max_attempts, attempt, state, finalized_at, errors)
		SELECT 'tick', $2, '{}', 3, 1, $3::river.river_job_state, CASE WHEN $3 IN ('discarded', 'completed', 'cancelled') THEN now() END,
			ARRAY[jsonb_build_object('at', now(), 'attempt', 1, 'error', $4 || n, 'trace', 'goroutine 1')]
		FROM generate_series(1, $1::int) n`, n, queue, state, text)
}

func TestSystemPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.ada.get("/system").says(t, http.StatusOK, "No process syncs", "permissions", "syncs who may read what", "nobody works on it", "Settings, accounts, readers and grants", "/etc/tributary/key", "seals and opens")
	for _, w := range []store.WorkerProcess{{Name: "host:1:<b>a", Version: "v1.2.3", Kinds: []string{"tick"}, Slots: 4}, {Name: "host:2:gone", Version: "v1", Kinds: []string{"tick"}, Slots: 2}} {
		if err := o.store.ShowWorker(t.Context(), w); err != nil {
			t.Fatal(err)
		}
	}
	o.db.MustExec(t, `UPDATE worker SET seen_at = clock() - interval '5 minutes' WHERE name = 'host:2:gone'`)
	o.db.MustExec(t, `INSERT INTO river.river_queue (name, updated_at) VALUES ('default', now()), ('newer', now())`)
	o.failJobs(t, 3, "default", "available", "")
	o.failJobs(t, 2, "newer", "discarded", "x")
	o.failJobs(t, 1, "newer", "completed", "")
	o.db.MustExec(t, `INSERT INTO river.river_job (kind, queue, args, max_attempts, attempt, state, finalized_at) VALUES ('tick', 'tick', '{}', 1, 1, 'completed', now() - interval '2 hours')`)
	p := o.ada.get("/system")
	p.says(t, http.StatusOK, "host:1:<b>a works v1.2.3", "host:2:gone gone", "4 syncs at once", "pgvector", "connections of the server")
	p.has(t, `href="/system/jobs?queue=default&amp;state=available">3</a>`, `href="/system/jobs?queue=newer&amp;state=discarded">2</a>`, `href="/system/queues/newer/pause"`)
	row := regexp.MustCompile(`(?s)<td>tick<div.*?</tr>`).FindString(p.body)
	if strings.Contains(row, `Done within an hour" class="num">1`) || strings.Contains(row, "Pause") {
		t.Errorf("a job of two hours ago counts, or a queue can be paused that nobody works on:\n%s", row)
	}
	o.key = "the master key file is missing; put it back"
	o.ada.get("/system").says(t, http.StatusOK, "The master key file is missing; put it back.", "connections with a grant stand still")
}

func TestPausingQueues(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.db.MustExec(t, `INSERT INTO river.river_queue (name, updated_at) VALUES ('permissions', now())`)
	path := "/system/queues/permissions"
	o.account("bob", store.RoleAdmin)
	bob := o.signedIn("bob")
	if p := bob.get("/system"); strings.Contains(p.body, path) {
		t.Error("an admin is offered to pause a queue")
	}
	paused := func() bool {
		return pgtest.Scalar[bool](t, o.db, `SELECT paused_at IS NOT NULL FROM river.river_queue WHERE name = 'permissions'`)
	}
	o.ada.get(path+"/pause").says(t, http.StatusOK, "Pause the queue permissions?", "its documents are hidden")
	if paused() {
		t.Error("asking has paused it")
	}
	if p := o.ada.post(path + "/pause"); p.status != http.StatusSeeOther || !paused() {
		t.Fatalf("pausing: %d", p.status)
	}
	o.ada.get("/system").says(t, http.StatusOK, "Paused: permissions.", "Resume")
	if p := o.ada.post(path + "/resume"); p.status != http.StatusSeeOther || paused() {
		t.Fatalf("resuming: %d", p.status)
	}
	for _, name := range []string{"*", "nosuch", "%2A"} {
		if p := o.ada.post("/system/queues/" + name + "/pause"); p.status != http.StatusNotFound {
			t.Errorf("pausing %s: %d", name, p.status)
		}
		if p := o.ada.get("/system/queues/" + name + "/pause"); p.status != http.StatusNotFound {
			t.Errorf("asking for %s: %d", name, p.status)
		}
	}
	if paused() {
		t.Error("every queue was paused")
	}
	log := strings.Join(o.events(), "\n")
	for _, want := range []string{"queue.pause ok account:ada permissions", "queue.resume ok account:ada permissions"} {
		if strings.Count(log, want) != 1 {
			t.Errorf("the audit log does not hold %q once:\n%s", want, log)
		}
	}
}

func TestJobsPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.ada.get("/system/jobs").says(t, http.StatusOK, "No job failed")
	o.failJobs(t, 51, "default", "discarded", "<script>alert(1)</script>")
	o.failJobs(t, 1, "embed", "retryable", "later")
	o.failJobs(t, 1, "embed", "running", "once")
	p := o.ada.get("/system/jobs")
	p.says(t, http.StatusOK, "later1", "<script>alert(1)</script>51", "<script>alert(1)</script>3 ", "given up", "is tried again")
	if strings.Contains(p.body, "<script>alert") || strings.Contains(p.body, "goroutine") || strings.Contains(p.text(), "</script>2 ") {
		t.Error("an error is no text, a stack is shown, or the page holds more than 50")
	}
	older := regexp.MustCompile(`href="([^"]*before=[^"]*)"`).FindStringSubmatch(p.body)
	if older == nil {
		t.Fatal("no second page")
	}
	p = o.ada.get(strings.ReplaceAll(older[1], "&amp;", "&"))
	p.says(t, http.StatusOK, "</script>2 ", "</script>1 ")
	if strings.Contains(p.text(), "</script>3 ") || strings.Contains(p.body, "before=") {
		t.Error("the second page repeats the first, or there is a third")
	}
	o.ada.get("/system/jobs?state=running&queue=embed").says(t, http.StatusOK, "once1")
	if p := o.ada.get("/system/jobs?state=running&queue=default"); strings.Contains(p.text(), "once1") {
		t.Error("a job of another queue")
	}
	for _, bad := range []string{"?state=eaten", "?before=x", "?before=-1"} {
		if p := o.ada.get("/system/jobs" + bad); p.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, p.status)
		}
	}
	id := func(state string) string {
		return fmt.Sprint(pgtest.Scalar[int64](t, o.db, `SELECT max(id) FROM river.river_job WHERE state = $1::river.river_job_state`, state))
	}
	failed := id("discarded")
	if p := o.ada.post("/system/jobs/" + failed + "/retry"); p.status != http.StatusSeeOther {
		t.Errorf("retrying: %d", p.status)
	}
	if id("available") != failed {
		t.Error("the job does not wait")
	}
	if p := o.ada.post("/system/jobs/" + id("running") + "/retry"); p.status != http.StatusConflict {
		t.Errorf("retrying one that runs: %d", p.status)
	}
	for _, bad := range []string{"999999", "x"} {
		if p := o.ada.post("/system/jobs/" + bad + "/retry"); p.status != http.StatusNotFound {
			t.Errorf("retrying %s: %d", bad, p.status)
		}
	}
	if n := strings.Count(strings.Join(o.events(), "\n"), "job.retry ok account:ada "+failed); n != 1 {
		t.Errorf("%d events", n)
	}
	o.account("aud", store.RoleAuditor)
	if p := o.signedIn("aud").get("/system/jobs"); p.status != http.StatusOK || strings.Contains(p.body, "/retry") {
		t.Errorf("an auditor: %d", p.status)
	}
}

func TestProfilePages(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.ada.get("/profiles").says(t, http.StatusOK, "There is no profile, so search is by words only")
	for _, p := range []store.Profile{
		{Name: "builtin", Kind: store.ProfileHashing, Model: "hashing", Dimensions: 4},
		{Name: "other", Kind: store.ProfileOpenAI, Model: "<i>nomic</i>", Dimensions: 4, URL: "https://embed.example/v1"},
	} {
		if _, err := o.store.CreateProfile(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := o.store.SetFilled(t.Context(), pgtest.Scalar[int16](t, o.db, `SELECT max(id) FROM embedding_profile`)); err != nil {
			t.Fatal(err)
		}
	}
	k := o.connected(t)
	o.chunks(t, k, 3)
	o.db.MustExec(t, `INSERT INTO embed_todo (profile_id, document_id, chunk_id, input_hash, tokens, next_try_at, error)
		SELECT p.id, c.document_id, c.id, sha256('x'), 1, clock(), CASE WHEN c.id = 1 THEN 'too <b>long' ELSE '' END FROM chunk c, embedding_profile p WHERE p.name = 'other'`)
	o.db.MustExec(t, `UPDATE embedding_profile SET error = 'the endpoint answers 401: <script>alert(1)</script>' WHERE name = 'other'`)
	p := o.ada.get("/profiles")
	p.says(t, http.StatusOK, "builtin active", "compares words, not meanings", "other filled beside does not embed", "<i>nomic</i>", "the endpoint answers 401: <script>alert(1)</script>", "tributary profiles test other",
		"3 chunks", "1 by the model, tried again once a day too <b>long")
	p.has(t, `value="tributary profiles create local`, `<progress max="3" value="0"`, `href="/profiles/other/activate"`)
	if strings.Contains(p.body, "<script>alert") || strings.Contains(p.body, "/profiles/builtin/activate") {
		t.Error("an error is no text, or the active profile can be switched to")
	}
	path := "/profiles/other/activate"
	o.ada.get(path).says(t, http.StatusOK, "Switch to other?", "Answers now builtin", "3 chunks have no vector of it yet", "Nothing is embedded anew")
	active := func() string {
		return pgtest.Scalar[string](t, o.db, `SELECT name FROM embedding_profile WHERE state = 'active'`)
	}
	o.ada.post(path).says(t, http.StatusUnprocessableEntity, "Chunks still wait for their vectors")
	if active() != "builtin" {
		t.Fatal("it was switched without being forced")
	}
	if p := o.ada.post(path, "force", "yes"); p.status != http.StatusSeeOther || active() != "other" {
		t.Fatalf("switching: %d, active is %s", p.status, active())
	}
	if p := o.ada.post("/profiles/builtin/activate"); p.status != http.StatusSeeOther || active() != "builtin" {
		t.Fatalf("switching back: %d, active is %s", p.status, active())
	}
	log := strings.Join(o.events(), "\n")
	if strings.Count(log, "profile.activate ok account:ada other") != 1 || strings.Count(log, "profile.activate ok account:ada builtin") != 1 {
		t.Errorf("the audit log:\n%s", log)
	}
	o.ada.get("/profiles/builtin/activate").says(t, http.StatusOK, "It answers questions already")
	o.ada.get("/profiles/nosuch/activate").says(t, http.StatusNotFound)
	o.account("bob", store.RoleAdmin)
	if p := o.signedIn("bob").get("/profiles"); p.status != http.StatusOK || strings.Contains(p.body, "/activate") {
		t.Errorf("an admin: %d", p.status)
	}
}

// chunks stores a document with n chunks.
func (o *oauthRig) chunks(t *testing.T, k store.Connection, n int) {
	t.Helper()
	id := pgtest.Scalar[string](t, o.db, `
		INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind, media_type, lang, author, metadata,
			acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
		VALUES (gen_random_uuid(), $1, 'd', 'v1', '', 1, 'A page', '', '/d', '', 'file', 'text/plain', 'simple', '', '{}', coalesce((SELECT min(id) FROM acl_set), 0), 1, $2::int, $2::int + 1, clock(), clock()) RETURNING id::text`, k.ID, n)
	o.db.MustExec(t, `
		INSERT INTO chunk (document_id, id, identity, text, context, heading_path, tokens, lang)
		SELECT $1::uuid, n, sha256(n::text::bytea), 'text ' || n, '', '{}', 2, 'simple' FROM generate_series(1, $2::int) n`, id, n)
}
