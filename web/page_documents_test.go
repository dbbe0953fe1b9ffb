package web_test

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
)

// hostile is what a source may put into every field that is its own.
const hostile = `<script>alert("1")</script>`

// library is an instance with documents: ada, who is an owner, reads as the reader ada, bob is another reader.
type library struct {
	*oauthRig
	*content
}

func newLibrary(t *testing.T) *library {
	t.Helper()
	o := newOAuthRig(t)
	return &library{o, newContentOn(t, o.rig)}
}

// as is a browser of a new account.
func (l *library) as(name string, role store.AccountRole) *browser {
	l.oauthRig.account(name, role)
	return l.oauthRig.signedIn(name)
}

// lastRead is what is recorded of the newest read.
func (l *library) lastRead(t *testing.T) string {
	t.Helper()
	list, err := l.oauthRig.store.Reads(t.Context(), store.ReadFilter{Limit: 1})
	if err != nil || len(list) == 0 {
		return "nothing"
	}
	return fmt.Sprintf("%s: %s in the place of %s, %d documents", list[0].Tool, list[0].Actor, list[0].Reader, len(list[0].Documents))
}

// without fails where the page holds one of the texts.
func (p page) without(t *testing.T, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(p.body, text) {
			t.Fatalf("the page holds %q:\n%s", text, p.body)
		}
	}
}

func TestDocumentsPage(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	l.oauthRig.ada.get("/documents").says(t, http.StatusOK, "No document is stored yet", "tributary documents list")
	plan := l.add(l.content.ada, "Retention Plan", "canary")
	evil := l.add(l.bob, hostile, "canary")
	gone := l.add(l.bob, "old news", "canary")
	l.exec(`UPDATE document SET hidden_reason = 'absent', hidden_at = clock() WHERE id = $1`, gone)
	l.exec(`UPDATE document SET acl_set_id = 0, path = 'a/b/handbook.md' WHERE id = $1`, evil)
	auditor := l.as("eve", store.RoleAuditor)
	p := auditor.get("/documents")
	p.says(t, http.StatusOK, "Retention Plan", hostile, "old news", "hidden", "not listed by the source", "for nobody", "shown", "docs")
	p.without(t, "<script>a", "canary", "No document")
	if at, before := strings.Index(p.body, gone.String()), strings.Index(p.body, plan.String()); at < 0 || before < at {
		t.Error("what changed last does not stand first")
	}
	for query, want := range map[string]string{
		"q=reten": "Retention Plan", "q=plan+RETENTION": "Retention Plan", "q=handbook": "script", "q=b%2Fhandbook.md": "script", "q=" + plan.String(): "Retention Plan",
		"state=hidden": "old news", "state=absent": "old news", "state=deleted": "", "q=zebra": "", "connection=docs&state=shown&q=plan": "Retention Plan", "q=%27%29%3B+%26+%7C+%21": "",
	} {
		p := auditor.get("/documents?" + query)
		for title, id := range map[string]uuid.UUID{"Retention Plan": plan, "script": evil, "old news": gone} {
			if strings.Contains(p.body, id.String()) != (want == title) && !strings.Contains(query, id.String()) {
				t.Errorf("%s shows %s: %v", query, title, want != title)
			}
		}
		if want == "" {
			p.says(t, http.StatusOK, "No document matches")
		}
	}
	auditor.get("/documents?connection=none").says(t, http.StatusUnprocessableEntity, "There is no connection of that name")
	auditor.get("/documents?state=eaten").says(t, http.StatusUnprocessableEntity, "must be one of")
	auditor.get("/documents?q="+strings.Repeat("a", 201)).says(t, http.StatusUnprocessableEntity, "200 characters")
	auditor.get("/documents?q=%00").says(t, http.StatusUnprocessableEntity, "text")
	auditor.get("/documents?before=x").says(t, http.StatusBadRequest, "link of the list")
}

// TestDocumentsPages: every document stands on exactly one page, also where many changed at one moment.
func TestDocumentsPages(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	for i := range 120 {
		l.add(l.content.ada, fmt.Sprintf("page %d", i), "canary")
	}
	l.exec(`UPDATE document SET updated_at = date_trunc('second', updated_at)`)
	seen := map[string]int{}
	path, n := "/documents?q=page&connection=docs", 0
	for ; path != "" && n < 5; n++ {
		p := l.oauthRig.ada.get(path)
		for _, m := range regexp.MustCompile(`href="/documents/([0-9a-f-]{36})"`).FindAllStringSubmatch(p.body, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := regexp.MustCompile(`href="(/documents\?[^"]*)" rel="next"`).FindStringSubmatch(p.body); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	if len(seen) != 120 || n != 3 {
		t.Errorf("%d documents on %d pages", len(seen), n)
	}
	for id, times := range seen {
		if times != 1 {
			t.Errorf("%s stands on the pages %d times", id, times)
		}
	}
}

func TestDocumentPage(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	var paragraphs []string
	for i := range 45 {
		paragraphs = append(paragraphs, fmt.Sprintf("paragraph %02d %s", i+1, hostile))
	}
	id := l.add(l.content.ada, hostile, paragraphs...)
	l.exec(`UPDATE document SET url = 'javascript:alert(1)' WHERE id = $1`, id)
	path := "/documents/" + id.String()
	p := l.oauthRig.ada.get(path)
	p.says(t, http.StatusOK, "You read as ada", "45 chunks, of which 1 to 20 stand here", "paragraph 01 "+hostile, "paragraph 20", "Where it comes from", "none: this source needs no consent")
	p.without(t, "paragraph 21", "<script>a", "javascript:", "Before")
	p.has(t, `id="chunk-20"`, `href="`+path+`?from=21#text"`, `href="`+path+`?from=41#text"`)
	if got := l.lastRead(t); got != "chunks: ada in the place of ada, 1 documents" {
		t.Errorf("recorded: %s", got)
	}
	p = l.oauthRig.ada.get(path + "?from=41")
	p.says(t, http.StatusOK, "41 to 45", "paragraph 45")
	p.without(t, "paragraph 40", ">Next<")
	p = l.oauthRig.ada.get(path + "?chunk=33")
	p.says(t, http.StatusOK, "21 to 40", "paragraph 33", "Where chunk 33 comes from", "None yet")
	p.has(t, `class="chunk asked" id="chunk-33"`)
	l.oauthRig.ada.get(path+"?chunk=99").says(t, http.StatusOK, "1 to 20")
	l.oauthRig.ada.get(path+"?from=9999").says(t, http.StatusOK, "41 to 45")
	for _, bad := range []string{"?chunk=x", "?from=-1", "?chunk=99999999999"} {
		l.oauthRig.ada.get(path+bad).says(t, http.StatusBadRequest, "must be a number")
	}
	for _, none := range []string{uuid.NewString(), "x", hostile} {
		if p := l.oauthRig.ada.get("/documents/" + strings.ReplaceAll(none, "/", "%2F")); p.status != http.StatusNotFound || none != hostile && !strings.Contains(p.text(), "There is no such document here") {
			t.Errorf("%s: %d", none, p.status)
		}
	}
	if p := l.oauthRig.ada.get(path); strings.Contains(p.body, "chunk asked") {
		t.Error("a chunk is marked that nobody asked for")
	}
	// The numbers of chunks begin with 0.
	l.exec(`UPDATE chunk SET id = id - 1000 WHERE document_id = $1`, id)
	l.exec(`UPDATE chunk SET id = id + 999 WHERE document_id = $1`, id)
	l.exec(`UPDATE revision SET chunk_ids = (SELECT array_agg(x - 1 ORDER BY x) FROM unnest(chunk_ids) x) WHERE document_id = $1`, id)
	l.oauthRig.ada.get(path+"?from=21").says(t, http.StatusOK, "21 to 40")
	p = l.oauthRig.ada.get(path + "?chunk=0")
	p.says(t, http.StatusOK, "1 to 20", "Where chunk 0 comes from")
	p.has(t, `class="chunk asked" id="chunk-0"`)
	if p := l.oauthRig.ada.get(path); strings.Contains(p.body, "chunk asked") || strings.Contains(p.body, `id="lineage"`) {
		t.Error("a chunk is marked that nobody asked for")
	}
	l.exec(`UPDATE document SET url = 'https://docs.example/a?b' WHERE id = $1`, id)
	l.oauthRig.ada.get(path).has(t, `href="https://docs.example/a?b" rel="noreferrer noopener"`)
	empty := l.add(l.content.ada, "empty")
	l.oauthRig.ada.get("/documents/"+empty.String()).says(t, http.StatusOK, "This document has no text", "0 chunks")
}

// TestDocumentIsReadAsSomebody: text is given as to a reader, to an admin whose consent proves who that is, to an owner
// in anybody's place, and to an auditor not at all; it is recorded who read.
func TestDocumentIsReadAsSomebody(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	secret := l.add(l.bob, "secret", "canary one")
	path := "/documents/" + secret.String()
	p := l.oauthRig.ada.get(path)
	p.says(t, http.StatusOK, "ada may not read this document", "See why")
	p.without(t, "canary")
	p = l.oauthRig.ada.post(path, "reader", "bob")
	p.says(t, http.StatusOK, "You read in the place of bob", "canary one")
	if got := l.lastRead(t); got != "chunks: ada in the place of bob, 1 documents" {
		t.Errorf("recorded: %s", got)
	}
	events := strings.Join(l.oauthRig.events(), "\n")
	// Of ada, too, only the name says who that is: both were looks in somebody's place.
	if strings.Count(events, "reader.view_as ok account:ada") != 2 {
		t.Errorf("recorded:\n%s", events)
	}
	l.exec(`UPDATE reader_principal SET how = 'consent' WHERE reader_id = (SELECT id FROM reader WHERE name = 'ada')`)
	l.oauthRig.ada.get(path).says(t, http.StatusOK, "ada may not read this document")
	if n := strings.Count(strings.Join(l.oauthRig.events(), "\n"), "reader.view_as ok account:ada"); n != 2 {
		t.Errorf("what one reads as oneself, by consent, is recorded as a look in another's place: %d", n)
	}
	for _, nobody := range []string{"carl", ""} {
		p = l.oauthRig.ada.post(path, "reader", nobody)
		p.says(t, http.StatusUnprocessableEntity, "there is no such reader", "No text is shown")
		p.has(t, `value="`+nobody+`"`)
		p.without(t, "canary")
	}
	auditor, admin := l.as("eve", store.RoleAuditor), l.as("bob", store.RoleAdmin)
	p = auditor.get(path)
	p.says(t, http.StatusOK, "An auditor sees no text", "secret", "Revision 1")
	p.without(t, "canary", "In the place of")
	for who, b := range map[string]*browser{"an auditor": auditor, "an admin": admin} {
		if p := b.post(path, "reader", "bob"); p.status != http.StatusForbidden {
			t.Errorf("%s reads in another's place: %d", who, p.status)
		}
	}
	p = admin.get(path)
	p.says(t, http.StatusOK, "Your account is no reader")
	p.without(t, "canary")
	l.exec(`UPDATE reader_principal SET how = 'consent' WHERE reader_id = (SELECT id FROM reader WHERE name = 'bob')`)
	admin.get(path).says(t, http.StatusOK, "You read as bob", "canary one")
	l.exec(`UPDATE reader SET disabled_at = clock() WHERE name = 'bob'`)
	admin.get(path).without(t, "canary")
	if p := l.oauthRig.ada.post(path, "reader", "bob"); p.status != http.StatusUnprocessableEntity || strings.Contains(p.body, "canary") {
		t.Errorf("a reader that is disabled: %d", p.status)
	}
	l.exec(`UPDATE reader SET disabled_at = NULL, kind = 'application' WHERE name = 'bob'`)
	admin.get(path).without(t, "canary")
	l.exec(`UPDATE reader SET kind = 'person' WHERE name = 'bob'`)
	l.exec(`UPDATE document SET hidden_reason = 'deleted', hidden_at = clock() WHERE id = $1`, secret)
	p = admin.get(path)
	p.says(t, http.StatusOK, "bob may not read this document", "deleted at the source")
	p.without(t, "canary")
}

func TestDocumentAccessPage(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	id := l.add(l.content.ada, hostile, "canary")
	path := "/documents/" + id.String() + "/access"
	auditor := l.as("eve", store.RoleAuditor)
	p := auditor.get(path)
	p.says(t, http.StatusOK, "Whom its source names", "ada user", "Readers who are shown it", "tributary explain --who "+id.String(), hostile)
	p.without(t, "canary", "<script>a")
	p.has(t, `href="`+path+`?reader=ada"`)
	if strings.Contains(p.body, "?reader=bob") {
		t.Error("bob is shown it")
	}
	auditor.get(path+"?reader=ada").says(t, http.StatusOK, "reads it", "met over ada, linked by an owner", "tributary explain ada "+id.String())
	p = auditor.get(path + "?reader=bob")
	p.says(t, http.StatusOK, "does not read it", "clause 1 of 1 is not met", "share it at the source", "It names ada")
	p.without(t, "Readers who are shown it")
	auditor.get(path+"?reader=ada&key=bob").says(t, http.StatusOK, "does not speak for this reader")
	auditor.get(path+"?reader=nobody").says(t, http.StatusUnprocessableEntity, "there is no such reader")
	auditor.get(path+"?after=x").says(t, http.StatusBadRequest, "link of this page")
	if n := strings.Count(strings.Join(l.oauthRig.events(), "\n"), "document.explain ok account:eve "+"document:"+id.String()) +
		strings.Count(strings.Join(l.oauthRig.events(), "\n"), "document.explain ok account:eve "+id.String()); n != 4 {
		t.Errorf("4 looks are recorded %d times: %v", n, l.oauthRig.events())
	}
	// Names of others are shown, and nothing of them runs.
	l.exec(`UPDATE principal SET name = $1 WHERE external_id = 'ada'`, hostile)
	auditor.get(path).without(t, "<script>a")
	auditor.get(path+"?reader=bob").without(t, "<script>a")
	l.exec(`UPDATE document SET acl_set_id = 0 WHERE id = $1`, id)
	auditor.get(path).says(t, http.StatusOK, "Who may read it is not known", "No reader is shown this document")
	l.exec(`UPDATE connection SET permissions_as_of = clock() - interval '3 days' WHERE name = 'docs'`)
	auditor.get(path).says(t, http.StatusOK, "permissions too old", "Nobody is shown it at the moment")
}

func TestDocumentAccessIsPaged(t *testing.T) {
	t.Parallel()
	l := newLibrary(t)
	id := l.add(l.content.ada, "page", "canary")
	l.exec(`INSERT INTO principal (realm_id, kind, external_id) SELECT (SELECT id FROM realm WHERE source = 'test'), 'user', 'p' || n FROM generate_series(1, 70) n`)
	l.exec(`INSERT INTO reader (name, kind) SELECT 'p' || n, 'person' FROM generate_series(1, 70) n`)
	l.exec(`INSERT INTO reader_principal (reader_id, principal_id, how) SELECT r.id, p.id, 'import' FROM reader r JOIN principal p ON p.external_id = r.name WHERE r.name LIKE 'p%'`)
	l.exec(`INSERT INTO acl_entry SELECT $1::bigint, id, 1 FROM principal WHERE external_id LIKE 'p%'`, l.content.ada)
	path, seen := "/documents/"+id.String()+"/access", map[string]int{}
	for n := 0; path != "" && n < 4; n++ {
		p := l.oauthRig.ada.get(path)
		p.says(t, http.StatusOK, "and 51 more")
		for _, m := range regexp.MustCompile(`\?reader=(p\d+|ada)"`).FindAllStringSubmatch(p.body, -1) {
			seen[m[1]]++
		}
		path = ""
		if m := regexp.MustCompile(`href="([^"]*\?after=[^"#]*)`).FindStringSubmatch(p.body); m != nil {
			path = html.UnescapeString(m[1])
		}
	}
	if len(seen) != 71 || pgtest.Scalar[int](t, l.oauthRig.db, `SELECT count(*)::int FROM audit_event WHERE action = 'document.explain'`) != 2 {
		t.Errorf("%d readers on its pages", len(seen))
	}
}
