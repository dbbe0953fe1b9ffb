package web_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/browsertest"
	"tributary/internal/pgtest"
	"tributary/jobs"
	"tributary/store"
)

// besieged is an instance where a source put the corpus of payloads into every field that is its own.
type besieged struct {
	*library
	b     *browsertest.Browser
	files store.Connection
	// fields are those that were filled, ids what was made, by the first part of its address.
	fields []string
	ids    map[string][]string
	// shown are the payloads that a page has shown as what they are, by field.
	shown map[string]map[string]bool
	// opened are the patterns of the routes that were opened.
	opened map[string]bool
	pages  int
}

// longest is about half of what a text may be that an index of the database holds: marks come to it.
const longest = 1000

// parts are the texts of a field, which hold the whole corpus together.
func (h *besieged) parts(field string) []string {
	h.fields = append(h.fields, field)
	return browsertest.PayloadsIn(markOf(field), longest)
}

// all is the corpus in one text.
func (h *besieged) all(field string) string { return strings.Join(h.parts(field), "") }

func markOf(field string) string { return "@" + field + "; " }

// hostileShelf gives containers such names.
type hostileShelf struct {
	*shelf
	names, details []string
}

// Choices are the names.
func (s hostileShelf) Choices(context.Context, store.Connection, string, int, int) ([]connectors.Choice, bool, error) {
	var list []connectors.Choice
	for i, name := range s.names {
		list = append(list, connectors.Choice{ID: fmt.Sprint("c", i), Name: name, Detail: s.details[i], HasChildren: true})
	}
	return list, false, nil
}

// TestHostileTextsInChromium opens every page with the corpus in every field that a source controls: nothing runs, no
// payload becomes an element, an attribute or a link, and the policy has nothing to forbid (IN-15).
func TestHostileTextsInChromium(t *testing.T) {
	t.Parallel()
	b := browsertest.Start(t)
	proveEyes(t, b)
	l := newLibrary(t)
	h := &besieged{library: l, b: b, ids: map[string][]string{}, shown: map[string]map[string]bool{}, opened: map[string]bool{}}
	h.files = l.connected(t)
	h.fillDocuments(t)
	h.fillPeople(t)
	h.fillRuns(t)
	h.fillGrants(t)
	h.fillSystem(t)
	b.Open(l.oauthRig.server.URL + "/signin")
	b.Fill("Name", `"><script>__xss=1</script>`)
	b.Fill("Password", "wrong wrong wrong")
	b.Press("Sign in")
	h.judge(t, "the sign-in that fails")
	b.Fill("Name", "ada")
	b.Fill("Password", goodPassword)
	b.Press("Sign in")
	b.Complaints() // of the status of what was refused
	h.openAll(t)
	h.openMore(t)
	h.report(t)
}

// proveEyes shows the test what it must see: a page that does not escape, with the policy and without.
func proveEyes(t *testing.T, b *browsertest.Browser) {
	t.Helper()
	policy := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if policy != "" {
			w.Header().Set("Content-Security-Policy", policy)
		}
		_, _ = fmt.Fprint(w, `<!DOCTYPE html><title>x</title><p><svg onload=__xss=1></svg>`)
	}))
	defer s.Close()
	b.Open(s.URL)
	if got := b.Hold().Strays; !slices.Contains(got, "a script that ran") || !slices.Contains(got, "the attribute onload of svg") {
		t.Fatalf("a script runs, and the test sees %v", got)
	}
	policy = "default-src 'none'"
	b.Complaints()
	b.Open(s.URL)
	if got := b.Hold().Strays; slices.Contains(got, "a script that ran") || !slices.ContainsFunc(b.Complaints(), func(c string) bool { return strings.Contains(c, "Content Security Policy") }) {
		t.Fatalf("the policy forbids a script, and the test sees %v", got)
	}
	// Those that are markup nowhere stand for languages that no page is written in.
	defer func() {
		b.Open(s.URL)
		b.Complaints() // of what was parsed
	}()
	if list, all := b.Unescaped(browsertest.Payloads()), browsertest.Payloads(); len(all) < 200 || len(list) > len(all)/8 {
		t.Fatalf("%d of %d payloads would not be seen: %q", len(list), len(all), list)
	}
}

func (h *besieged) fillDocuments(t *testing.T) {
	t.Helper()
	addresses := browsertest.PayloadAddresses()
	texts, titles, paths, containers := h.parts("text"), h.parts("title"), h.parts("path"), h.parts("container")
	kinds, types, authors, externals := h.parts("kind"), h.parts("media_type"), h.parts("author"), h.parts("external_id")
	revisions, headings, metas := h.parts("source_revision"), h.parts("heading"), h.parts("metadata")
	h.fields = append(h.fields, "url")
	for i := range max(len(texts), len(addresses)) {
		g, u := i%len(texts), addresses[i%len(addresses)]
		id := h.add(h.content.ada, fmt.Sprint("document ", i), "alpha "+texts[g])
		h.ids["documents"] = append(h.ids["documents"], id.String())
		h.exec(`UPDATE document SET title = $2, path = $3, container = $4, kind = $5, media_type = $6, author = $7, external_id = $8, source_revision = $9, metadata = jsonb_build_object($10::text, $10::text), url = $11 WHERE id = $1`,
			id, titles[g], paths[g], containers[g], kinds[g], types[g], authors[g], fmt.Sprint(i)+externals[g], revisions[g], metas[g], u)
		h.exec(`UPDATE revision SET source_revision = $2 WHERE document_id = $1`, id, revisions[g])
		h.exec(`UPDATE chunk SET heading_path = ARRAY[$2::text, 'x'], context = $2 WHERE document_id = $1`, id, headings[g])
	}
	hold := pgtest.Scalar[uuid.UUID](t, h.oauthRig.db, `INSERT INTO deletion_hold (connection_id, run_id, listing, reason, documents, total) VALUES ($1, gen_random_uuid(), 1, 'many', 5, 9) RETURNING id`, h.connection)
	h.exec(`INSERT INTO held_document SELECT $1, id FROM document`, hold)
	h.ids["deletions"] = []string{hold.String()}
	h.exec(`UPDATE connection SET state = 'failed', state_reason = $1 WHERE name = 'docs'`, h.all("state_reason"))
}

func (h *besieged) fillPeople(t *testing.T) {
	t.Helper()
	names, externals, groups, groupIDs := h.parts("person"), h.parts("person_id"), h.parts("group"), h.parts("group_id")
	emails, issuers, subjects := h.parts("email"), h.parts("issuer"), h.parts("subject")
	h.exec(`UPDATE realm SET external_id = $1 WHERE source = 'test'`, h.parts("realm")[0])
	for i := range names {
		user := pgtest.Scalar[int64](t, h.oauthRig.db, `INSERT INTO principal (realm_id, kind, external_id, name) SELECT id, 'user', $1, $2 FROM realm WHERE source = 'test' RETURNING id`, externals[i], names[i])
		group := pgtest.Scalar[int64](t, h.oauthRig.db, `INSERT INTO principal (realm_id, kind, external_id, name) SELECT id, 'group', $1, $2 FROM realm WHERE source = 'test' RETURNING id`, groupIDs[i], groups[i])
		h.exec(`INSERT INTO membership VALUES ($1, $2, $3)`, h.connection, user, group)
		h.exec(`INSERT INTO principal_email VALUES ($1, $2, $3, true)`, h.connection, user, emails[i])
		h.exec(`INSERT INTO acl_entry VALUES ($1, $2, 1), ($1, $3, 1)`, h.content.ada, user, group)
		if i == 0 { // addresses are shown of who is matched with nobody
			h.exec(`UPDATE principal_email SET principal_id = (SELECT id FROM principal WHERE external_id = 'bob') WHERE principal_id = $1`, user)
			h.exec(`DELETE FROM reader_principal WHERE reader_id = (SELECT id FROM reader WHERE name = 'bob')`)
			h.exec(`INSERT INTO reader_principal SELECT id, $1, 'manual' FROM reader WHERE name = 'ada'`, user)
		}
		h.exec(`INSERT INTO reader_identity (issuer, subject, reader_id, how) SELECT $1, $2, id, 'import' FROM reader WHERE name = 'ada'`, issuers[i], subjects[i])
		h.ids["principals"] = append(h.ids["principals"], fmt.Sprint(user), fmt.Sprint(group))
	}
	h.ids["readers"] = []string{pgtest.Scalar[string](t, h.oauthRig.db, `SELECT id::text FROM reader WHERE name = 'ada'`)}
	h.ids["keys"] = []string{pgtest.Scalar[string](t, h.oauthRig.db, `SELECT id::text FROM api_key WHERE name = 'ada'`)}
	h.exec(`INSERT INTO reader_principal SELECT id, (SELECT id FROM principal WHERE external_id = 'ada'), 'consent' FROM reader WHERE name = 'ada' ON CONFLICT DO NOTHING`)
}

func (h *besieged) fillRuns(t *testing.T) {
	t.Helper()
	run := pgtest.Scalar[uuid.UUID](t, h.oauthRig.db, `INSERT INTO sync_run (connection_id, lane, kind, state, error, error_class, blocked, selection_version) VALUES ($1, 'content', 'snapshot', 'failed', $2, 'item', jsonb_build_array(jsonb_build_object('id', $3::text, 'reason', $4::text)), 1) RETURNING id`,
		h.files.ID, h.all("run_error"), h.all("blocked"), h.all("blocked_reason"))
	h.ids["runs"] = []string{run.String()}
	h.exec(`INSERT INTO run_event (run_id, level, code, message) VALUES ($1, 'error', 'x', $2)`, run, h.all("run_event"))
	for _, op := range []string{"hidden", "purged", "restored", "refused", "quarantined"} {
		h.exec(`INSERT INTO run_item (run_id, op, connection_id, external_id, path, reason) VALUES ($1, $2, $3, $4, $5, $6)`, run, op, h.files.ID, h.all("item_id"), h.all("item_path"), h.all("item_reason"))
	}
	ids, paths, reasons := h.parts("quarantine_id"), h.parts("quarantine_path"), h.parts("quarantine_reason")
	outs, outPaths, outReasons := h.parts("excluded_id"), h.parts("excluded_path"), h.parts("excluded_reason")
	skips, skipPaths, skipReasons := h.parts("skipped_id"), h.parts("skipped_path"), h.parts("skipped_reason")
	for i := range ids {
		h.exec(`INSERT INTO quarantine (connection_id, external_id, path, source_revision, class, reason, run_id) VALUES ($1, $2, $3, '1', 'item_skipped', $4, $5)`, h.files.ID, ids[i], paths[i], reasons[i], run)
		h.exec(`INSERT INTO exclusion (connection_id, id_hash, external_id, path, why, reason, by) VALUES ($1, sha256(convert_to($2, 'UTF8')), $2, $3, 'excluded', $4, 'ada')`, h.files.ID, outs[i], outPaths[i], outReasons[i])
		h.exec(`INSERT INTO skip (connection_id, external_id, path, reason, listing) VALUES ($1, $2, $3, $4, 1)`, h.files.ID, skips[i], skipPaths[i], skipReasons[i])
	}
	h.exec(`INSERT INTO notice (connection_id, subject, code, severity, detail, remedy) VALUES ($1, $2, 'run_failing', 'error', $3, $4), (NULL, '', 'run_failing', 'error', $3, $4)`,
		h.files.ID, "content", h.all("notice"), h.all("remedy"))
	erasure := pgtest.Scalar[uuid.UUID](t, h.oauthRig.db, `INSERT INTO erasure (connection_id, connection, source, scope, state, error) VALUES ($1, 'files', 'fakedrive', 'document', 'failed', $2) RETURNING id`, h.files.ID, h.all("erasure_error"))
	h.ids["erasures"] = []string{erasure.String()}
}

func (h *besieged) fillGrants(t *testing.T) {
	t.Helper()
	grant := *h.files.GrantID
	h.ids["grants"], h.ids["registrations"] = []string{grant.String()}, []string{h.reg.ID.String()}
	h.exec(`UPDATE oauth_grant SET account = $2, subject = $3, scopes = ARRAY['files.read', $4], close_note = $5 WHERE id = $1`, grant, h.all("account"), h.parts("account_id")[0], h.all("scope"), h.all("close_note"))
	h.exec(`UPDATE credential SET state = 'needs_reauth', fail_class = 'refused', fail_note = $2 WHERE grant_id = $1`, grant, h.all("grant_error"))
	h.exec(`INSERT INTO refresh_attempt (id, grant_id, epoch, gen, rt_hmac, holder, outcome, http_status, error) VALUES (gen_random_uuid(), $1, 1, 1, '', 'w', 'refused', 400, $2)`, grant, h.all("refresh_error"))
	h.exec(`UPDATE client_registration SET state = 'rejected', state_reason = $2 WHERE id = $1`, h.reg.ID, h.all("registration_error"))
	h.exec(`UPDATE connection SET state = 'failed', state_reason = $1, settings = settings || jsonb_build_object('corner', $2::text) WHERE name = 'files'`, h.all("connection_error"), h.all("setting"))
	h.oauthRig.parts.Chooser = hostileShelf{h.shelf, h.parts("container_name"), h.parts("container_detail")}
}

func (h *besieged) fillSystem(t *testing.T) {
	t.Helper()
	actors, targets, details := h.parts("actor"), h.parts("target"), h.parts("detail")
	for i := range actors {
		h.exec(`INSERT INTO audit_event (actor_kind, actor, authenticated, action, target_kind, target, outcome, detail) VALUES ('anonymous', $1, false, 'session.refused', 'account', $2, 'refused', jsonb_build_object('reason', $3::text))`,
			actors[i], targets[i], details[i])
	}
	h.exec(`UPDATE web_session SET user_agent = $1`, h.all("user_agent"))
	h.failJobs(t, 1, "default", "discarded", h.all("job_error"))
	h.exec(`INSERT INTO river.river_queue (name, updated_at) VALUES ('default', now())`)
	for _, name := range []string{jobs.BuiltinProfile().Name, "evil"} {
		p := jobs.BuiltinProfile()
		p.Name = name
		if _, err := h.oauthRig.store.EnsureProfile(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	h.exec(`UPDATE embedding_profile SET error = $1, state = 'building' WHERE name = 'evil'`, h.all("profile_error"))
	h.ids["users"] = []string{pgtest.Scalar[string](t, h.oauthRig.db, `SELECT id::text FROM account WHERE name = 'ada'`)}
}

// openAll opens the page of every route that a session may open.
func (h *besieged) openAll(t *testing.T) {
	t.Helper()
	for _, r := range h.oauthRig.web.Table() {
		if r.Method != http.MethodGet || !slices.Contains([]string{"auditor", "admin", "owner"}, r.Access) || r.Path == "/live" {
			continue
		}
		kind := strings.Split(r.Path, "/")[1]
		switch {
		case strings.HasPrefix(r.Path, "/connections/:name"):
			h.open(t, strings.Replace(r.Path, ":name", "files", 1), http.StatusOK)
			// The source of docs is none that this version knows: what asks it is not found.
			if !strings.HasSuffix(r.Path, "/choose") {
				h.open(t, strings.Replace(r.Path, ":name", "docs", 1), 0)
			}
		case strings.Contains(r.Path, ":ticket"):
			h.open(t, strings.Replace(r.Path, ":ticket", "none", 1), http.StatusNotFound)
		case strings.Contains(r.Path, ":name"):
			name := map[string]string{"profiles": "evil", "system": "default"}[kind]
			h.open(t, strings.Replace(r.Path, ":name", name, 1), http.StatusOK)
		case strings.Contains(r.Path, ":id"):
			if len(h.ids[kind]) == 0 {
				t.Errorf("nothing is known for %s: fill it", r.Path)
			}
			for _, id := range h.ids[kind] {
				h.open(t, strings.Replace(r.Path, ":id", id, 1), http.StatusOK)
			}
		default:
			h.open(t, r.Path, http.StatusOK)
		}
	}
}

// openMore opens what one route shows of several things, and what answers to what was asked.
func (h *besieged) openMore(t *testing.T) {
	t.Helper()
	run := "/runs/" + h.ids["runs"][0]
	for _, op := range store.RunItemOps() {
		h.open(t, run+"?op="+op, http.StatusOK)
	}
	evil := `"><script>__xss=1</script>'><img src=x onerror=__xss=1>`
	q := url.QueryEscape(evil)
	for path, status := range map[string]int{
		"/documents?q=" + q: http.StatusOK, "/connections?q=" + q: http.StatusOK, "/connect?q=" + q: http.StatusOK, "/connect?category=" + q: http.StatusOK, "/audit?actor=" + q: 0, "/notices?all=yes": http.StatusOK,
		"/groups?q=" + q: 0, "/readers?q=" + q: 0, "/readers/unmatched?connection=docs": http.StatusOK, "/groups?connection=docs": http.StatusOK, "/" + url.PathEscape(evil): http.StatusNotFound, "/connections/" + url.PathEscape(evil): http.StatusNotFound,
		"/documents/" + h.ids["documents"][0] + "/access?reader=ada": http.StatusOK, "/documents/" + h.ids["documents"][0] + "?chunk=1": http.StatusOK,
		"/oauth/callback/" + h.reg.ID.String() + "?state=x&error=" + q + "&error_description=" + q: 0,
	} {
		h.open(t, path, status)
	}
	h.b.Open(h.oauthRig.server.URL + "/search")
	h.b.Fill("Question", "alpha "+evil)
	h.b.Fill("Results", "50")
	h.b.Press("Ask")
	h.judge(t, "an answer")
}

func (h *besieged) open(t *testing.T, path string, status int) {
	t.Helper()
	h.b.Open(h.oauthRig.server.URL + path)
	if got := h.judge(t, path); status != 0 && got.Status != status {
		t.Errorf("%s answers %d", path, got.Status)
	}
}

var markPattern = regexp.MustCompile(`@([a-z_]+); `)

// judge holds the page against what no page may hold, and notes which payloads it shows.
func (h *besieged) judge(t *testing.T, path string) browsertest.Shown {
	t.Helper()
	h.pages++
	got := h.b.Hold()
	for _, stray := range got.Strays {
		t.Errorf("%s: %s", path, stray)
	}
	for _, c := range h.b.Complaints() {
		// The browser says of every answer above 399 that it is one.
		if !strings.Contains(c, "the server responded with a status of 4") {
			t.Errorf("%s: the browser says: %s", path, c)
		}
	}
	from := 0
	for _, m := range markPattern.FindAllStringSubmatchIndex(got.Texts, -1) {
		field := got.Texts[m[2]:m[3]]
		if h.shown[field] == nil {
			h.shown[field] = map[string]bool{}
		}
		h.shown[field][got.Texts[from:m[0]]] = true
		from = m[1]
	}
	return got
}

// report fails for a field of which no page shows every payload, to the letter.
func (h *besieged) report(t *testing.T) {
	t.Helper()
	// Of these pages show nothing, or a part: one text of several, the name of the browser, what stands between two marks of code.
	never := []string{"metadata", "url", "container", "close_note", "account_id", "realm", "user_agent", "remedy"}
	slices.Sort(h.fields)
	fields := slices.Compact(h.fields)
	all := browsertest.Payloads()
	for _, f := range fields {
		missing := 0
		for _, p := range all {
			if !h.shown[f][p] && !slices.ContainsFunc(slices.Collect(maps.Keys(h.shown[f])), func(text string) bool { return strings.HasSuffix(text, p) }) {
				missing++
			}
		}
		if missing > 0 && !slices.Contains(never, f) {
			t.Errorf("no page shows %d of the payloads in %s", missing, f)
		}
	}
	t.Logf("%d payloads in %d fields, %d pages", len(all), len(fields), h.pages)
}
