package web_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
)

// scripted is a text of a source that wants to be a script.
const scripted = `<script>alert(1)</script>"'`

// people are an instance with the connection "wiki", whose realm has users, groups and addresses.
type people struct {
	*oauthRig
	wiki store.Connection
}

func newPeople(t *testing.T) *people {
	t.Helper()
	return peopleOf(t, newOAuthRig(t))
}

func peopleOf(t *testing.T, o *oauthRig) *people {
	t.Helper()
	p := &people{oauthRig: o}
	var err error
	if p.wiki, err = p.store.CreateConnection(t.Context(), store.NewConnection{Name: "wiki", Source: store.PushSource, Realm: "acme"}); err != nil {
		t.Fatal(err)
	}
	p.exec(t, `INSERT INTO principal (realm_id, kind, external_id, name) SELECT $1, k, i, n FROM (VALUES
		('user', 'u-1', 'Ada'), ('user', 'u-2', $2), ('user', 'u-3', ''), ('group', 'g-dev', 'Developers'), ('group', 'g-all', $2), ('group', 'g-far', 'Far away')) x (k, i, n)`, *p.wiki.RealmID, scripted)
	p.exec(t, `INSERT INTO membership SELECT $1, m.id, g.id FROM (VALUES ('u-1', 'g-dev'), ('g-dev', 'g-all'), ('u-2', 'g-all')) x (m, g)
		JOIN principal m ON m.external_id = x.m JOIN principal g ON g.external_id = x.g`, p.wiki.ID)
	p.exec(t, `INSERT INTO principal_email SELECT $1, id, 'ada@example.com', true FROM principal WHERE external_id = 'u-1'`, p.wiki.ID)
	return p
}

func (p *people) exec(t *testing.T, sql string, args ...any) {
	t.Helper()
	p.db.MustExec(t, sql, args...)
}

func (p *people) principal(t *testing.T, external string) string {
	t.Helper()
	return fmt.Sprint(pgtest.Scalar[int64](t, p.db, `SELECT id FROM principal WHERE external_id = $1`, external))
}

// seeOther fails unless the answer leads to the path.
func (p page) seeOther(t *testing.T, path string) {
	t.Helper()
	if p.status != http.StatusSeeOther || p.location() != path {
		t.Fatalf("got %d to %q, want %q\n%s", p.status, p.location(), path, p.text())
	}
}

// recorded fails unless the audit log holds so many events that begin so.
func (r *rig) recorded(t *testing.T, n int, begins ...string) {
	t.Helper()
	for _, b := range begins {
		got := 0
		for _, e := range r.events() {
			if strings.HasPrefix(e, b) {
				got++
			}
		}
		if got != n {
			t.Errorf("%q is recorded %d times, not %d", b, got, n)
		}
	}
}

// TestReaderPages makes a reader, says who it is, and takes all of it back.
func TestReaderPages(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	p.ada.get("/readers").says(t, http.StatusOK, "There are no readers yet")
	p.ada.post("/readers", "name", "", "kind", "person").says(t, http.StatusUnprocessableEntity, "must have 1 to 200 bytes")
	p.ada.post("/readers", "name", "grace", "kind", "person", "emails", "gräce@example.com").says(t, http.StatusUnprocessableEntity, "must be an address of plain ASCII")
	name := "grace " + scripted
	made := p.ada.post("/readers", "name", name, "kind", "person", "emails", "Grace@Example.com", "issuer", "https://login.example.com", "subject", "s-1")
	r, err := p.store.Reader(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	at := "/readers/" + r.ID.String()
	made.seeOther(t, at+"?done=reader-made")
	p.ada.post("/readers", "name", name, "kind", "person").says(t, http.StatusUnprocessableEntity, "is another reader's")
	page := p.ada.get(at)
	page.says(t, http.StatusOK, name, "enabled", "It is linked to nobody", "Grace@example.com", "s-1 at https://login.example.com", "No key asks for this reader alone", "Nothing was read for it yet", "A reader was made")
	if strings.Contains(page.body, scripted) {
		t.Error("a name is written without being escaped")
	}

	p.ada.post(at+"/link", "connection", "nowhere", "kind", "user", "principal", "u-1").says(t, http.StatusUnprocessableEntity, "there is no such connection")
	p.ada.post(at+"/link", "connection", "wiki", "kind", "cat", "principal", "u-1").says(t, http.StatusUnprocessableEntity, "must have a kind and an id")
	p.ada.post(at+"/link", "connection", "wiki", "kind", "user", "principal", "u-1").seeOther(t, at+"?done=reader-linked")
	p.ada.get(at).says(t, http.StatusOK, "linked by hand", "by ada", "Developers g-dev wiki member", "wiki by way of another group")
	p.ada.get(at).has(t, `<a class="wrap" href="/principals/`+p.principal(t, "u-1")+`">Ada</a>`)
	p.ada.post(at+"/emails", "do", "add", "email", "second@example.com").seeOther(t, at+"?done=email-added")
	p.ada.post(at+"/identities", "do", "add", "issuer", "https://i", "subject", "2").seeOther(t, at+"?done=identity-added")
	p.ada.get(at).says(t, http.StatusOK, "second@example.com", "2 at https://i")
	p.ada.post(at+"/emails", "do", "remove", "email", "second@example.com").seeOther(t, at+"?done=email-removed")
	p.ada.post(at+"/identities", "do", "remove", "issuer", "https://i", "subject", "2").seeOther(t, at+"?done=identity-removed")
	p.ada.post(at+"/disable").seeOther(t, at+"?done=reader-disabled")
	p.ada.get(at+"?done=reader-disabled").says(t, http.StatusOK, "The reader is disabled", "It finds nothing, and its keys are refused")
	p.ada.get("/readers").says(t, http.StatusOK, name+" person disabled", "1 account")
	p.ada.post(at+"/enable").seeOther(t, at+"?done=reader-enabled")
	p.ada.post(at+"/unlink", "principal", "0").says(t, http.StatusUnprocessableEntity, "There is no such link any more")
	p.ada.post(at+"/unlink", "principal", p.principal(t, "u-1")).seeOther(t, at+"?done=reader-unlinked")
	if r, err = p.store.Reader(t.Context(), name); err != nil || len(r.Links) != 0 || r.DisabledAt != nil || len(r.Emails) != 1 || len(r.Identities) != 1 {
		t.Errorf("left: %+v, %v", r, err)
	}
	about := "account:ada " + r.ID.String()
	p.recorded(t, 1, "reader.create ok "+about, "reader.link ok "+about, "reader.unlink ok "+about, "reader.disable ok "+about, "reader.enable ok "+about,
		"reader.email_add ok "+about, "reader.email_remove ok "+about, "reader.identity_add ok "+about, "reader.identity_remove ok "+about)
	p.deletes(t, r)
}

// deletes deletes the reader, which has a key.
func (p *people) deletes(t *testing.T, r store.Reader) {
	t.Helper()
	at := "/readers/" + r.ID.String()
	if _, _, err := p.store.CreateKey(t.Context(), store.CreateKeyParams{Name: "bot", ReaderID: &r.ID, AllConnections: true, Rights: []string{store.RightSearch}}); err != nil {
		t.Fatal(err)
	}
	p.ada.get(at).says(t, http.StatusOK, "bot used never valid")
	p.ada.get(at+"/delete").says(t, http.StatusOK, "These keys are revoked, at once and for good: bot", "1 address", "1 identity")
	p.ada.post(at+"/delete", "confirm", "somebody").says(t, http.StatusUnprocessableEntity, "Nothing is deleted")
	p.ada.post(at+"/delete", "confirm", r.Name).seeOther(t, "/readers?done=reader-deleted")
	p.ada.get(at).says(t, http.StatusNotFound, "no such reader")
	k, err := p.store.Key(t.Context(), "bot")
	if err == nil && k.RevokedAt == nil {
		t.Error("the key of a reader who is gone lives")
	}
	p.recorded(t, 1, "reader.delete ok account:ada "+r.ID.String())
}

// TestReaderList finds, narrows and pages.
func TestReaderList(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	p.exec(t, `INSERT INTO reader (name) SELECT 'r' || lpad(n::text, 3, '0') FROM generate_series(1, 51) n`)
	p.exec(t, `INSERT INTO reader_email (reader_id, email, how) SELECT id, 'Special@example.com', 'manual' FROM reader WHERE name = 'r007'`)
	p.exec(t, `UPDATE reader SET disabled_at = now() WHERE name = 'r009'`)
	p.exec(t, `INSERT INTO read_event (reader_id, tool, documents) SELECT id, 'search', '{}' FROM reader WHERE name = 'r007'`)
	first := p.ada.get("/readers")
	first.says(t, http.StatusOK, "r001", "r050")
	next := linkTo(t, first, "Next page")
	if strings.Contains(first.text(), "r051") || !strings.Contains(p.ada.get(next).text(), "r051") {
		t.Errorf("two pages: %s", next)
	}
	for query, want := range map[string]string{"find=SPECIAL%40": "r007", "find=r007": "r007", "state=disabled": "r009"} {
		got := p.ada.get("/readers?" + query)
		if n := strings.Count(got.body, `href="/readers/`) - strings.Count(first.body, `href="/readers/`) + 50; n != 1 || !strings.Contains(got.text(), want) {
			t.Errorf("%s finds %d\n%s", query, n, got.text())
		}
	}
	p.ada.get("/readers?find=r007").says(t, http.StatusOK, "Special@example.com", "just now")
	p.ada.get("/readers?find="+url.QueryEscape(scripted)).says(t, http.StatusOK, "No reader matches")
	if got := p.ada.get("/readers?find=" + url.QueryEscape(scripted)); strings.Contains(got.body, scripted) {
		t.Error("what is looked for is written without being escaped")
	}
	for _, bad := range []string{"state=odd", "find=%00", "find=" + strings.Repeat("a", 201)} {
		if got := p.ada.get("/readers?" + bad); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d", bad, got.status)
		}
	}
}

// linkTo is the address of the link with that text.
func linkTo(t *testing.T, p page, text string) string {
	t.Helper()
	before, _, ok := strings.Cut(p.body, ">"+text+"</a>")
	i := strings.LastIndex(before, `href="`)
	if !ok || i < 0 {
		t.Fatalf("no link %q:\n%s", text, p.text())
	}
	address, _, _ := strings.Cut(before[i+len(`href="`):], `"`)
	return strings.ReplaceAll(address, "&amp;", "&")
}

// TestUnmatchedPage links people to readers with one click.
func TestUnmatchedPage(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	if _, err := p.store.MakeReader(t.Context(), store.NewReader{Name: "lovelace", Kind: store.Person, Emails: []string{"ada@example.com"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.CreateReader(t.Context(), "u-3", store.Person); err != nil {
		t.Fatal(err)
	}
	p.exec(t, `INSERT INTO principal_email SELECT $1, id, 'hopper@example.com', false FROM principal WHERE external_id = 'u-2'`, p.wiki.ID)
	if _, err := p.store.CreateReader(t.Context(), "hopper", store.Person); err != nil {
		t.Fatal(err)
	}
	page := p.ada.get("/readers/unmatched")
	page.says(t, http.StatusOK, "Ada u-1 ada@example.com push acme mapping by e-mail is off lovelace has the address", "u-3 has the same name", "hopper@example.com (not verified)", "hopper is called like one of its addresses", scripted)
	if strings.Contains(page.body, scripted) {
		t.Error("a name is written without being escaped")
	}
	other, err := p.store.CreateConnection(t.Context(), store.NewConnection{Name: "other", Source: store.PushSource, Realm: "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	one := "/readers/unmatched/" + p.principal(t, "u-1")
	p.ada.post(one, "do", "link", "reader", "nobody", "connection", "").says(t, http.StatusUnprocessableEntity, "there is none called nobody")
	p.ada.post(one, "do", "make", "reader", "thief", "connection", other.Name).says(t, http.StatusUnprocessableEntity, "not of that connection")
	p.ada.post(one, "do", "make", "reader", "lovelace", "connection", "wiki").says(t, http.StatusUnprocessableEntity, "there is one called lovelace")
	if n := pgtest.Scalar[int](t, p.db, `SELECT count(*)::int FROM reader_principal`); n != 0 {
		t.Errorf("%d are linked by what was refused", n)
	}
	p.ada.post(one, "do", "link", "reader", "lovelace", "connection", "wiki").seeOther(t, "/readers/unmatched?connection=wiki&done=reader-linked")
	p.ada.post("/readers/unmatched/"+p.principal(t, "u-2"), "do", "make", "reader", "mallory", "connection", "").seeOther(t, "/readers/unmatched?done=reader-linked")
	for name, id := range map[string]string{"lovelace": "u-1", "mallory": "u-2"} {
		r, err := p.store.Reader(t.Context(), name)
		if err != nil || len(r.Links) != 1 || r.Links[0].ExternalID != id || r.Links[0].How != "manual" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		p.recorded(t, 1, "reader.link ok account:ada "+r.ID.String())
	}
	if _, err := p.store.Reader(t.Context(), "thief"); err == nil {
		t.Error("a reader was made for a refused link")
	}
	got := p.ada.get("/readers/unmatched")
	if strings.Contains(got.text(), "u-1") || !strings.Contains(got.text(), "u-3") {
		t.Errorf("left:\n%s", got.text())
	}
	p.ada.get("/readers/unmatched?connection=other").says(t, http.StatusOK, "Nobody here is without a reader", "Off: addresses of readers link nobody to other")
	p.ada.post("/connections/wiki/map-email", "enabled", "on").seeOther(t, "/readers/unmatched?connection=wiki&done=map-email-on")
	p.ada.get("/readers/unmatched?connection=wiki").says(t, http.StatusOK, "On: a reader with an address that wiki says is verified")
	p.ada.post("/connections/wiki/map-email", "enabled", "off").seeOther(t, "/readers/unmatched?connection=wiki&done=map-email-off")
	p.recorded(t, 2, "connection.map_email ok account:ada")
}

// TestGroupPages finds groups, shows their members, and pages.
func TestGroupPages(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	r, err := p.store.CreateReader(t.Context(), "lovelace", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	p.exec(t, `INSERT INTO reader_principal (reader_id, principal_id, how) VALUES ($1, $2::bigint, 'manual')`, r.ID, p.principal(t, "u-1"))
	list := p.ada.get("/groups")
	list.says(t, http.StatusOK, "Developers g-dev push acme 1", scripted+" g-all push acme 2", "Far away g-far push acme 0")
	if strings.Contains(list.body, scripted) {
		t.Error("a name is written without being escaped")
	}
	p.ada.get("/groups?find=devel&connection=wiki").says(t, http.StatusOK, "Developers")
	p.ada.get("/groups?find=zebra").says(t, http.StatusOK, "No group matches")
	p.ada.get("/groups?connection=zebra").says(t, http.StatusNotFound, "no such connection")
	p.ada.get("/principals/"+p.principal(t, "g-dev")).says(t, http.StatusOK, "Developers group", "Connections wiki", "0 documents", "Ada u-1 user wiki lovelace", "In these groups")
	p.ada.get("/principals/"+p.principal(t, "g-all")).says(t, http.StatusOK, "g-dev group 1 member wiki", "u-2 user wiki no reader")
	p.ada.get("/principals/"+p.principal(t, "u-1")).says(t, http.StatusOK, "Readers lovelace", "In these groups", "Developers")
	for _, id := range []string{"0", "x", "99999999999999999999", uuid.NewString()} {
		p.ada.get("/principals/"+id).says(t, http.StatusNotFound, "no such person or group")
	}
	p.exec(t, `INSERT INTO principal (realm_id, kind, external_id) SELECT $1, 'group', 'more-' || n FROM generate_series(1, 60) n`, *p.wiki.RealmID)
	p.exec(t, `INSERT INTO principal (realm_id, kind, external_id) SELECT $1, 'user', 'member-' || n FROM generate_series(1, 60) n`, *p.wiki.RealmID)
	p.exec(t, `INSERT INTO membership SELECT $1, m.id, g.id FROM principal m, principal g WHERE m.external_id LIKE 'member-%' AND g.external_id = 'g-far'`, p.wiki.ID)
	first := p.ada.get("/groups")
	first.says(t, http.StatusOK, "more-60", "more-11")
	second := p.ada.get(linkTo(t, first, "Next page"))
	second.says(t, http.StatusOK, "more-10", "Far away", "First page")
	if strings.Contains(second.text(), "more-11") {
		t.Error("a group is on both pages")
	}
	members := p.ada.get("/principals/" + p.principal(t, "g-far"))
	rest := p.ada.get(linkTo(t, members, "More members"))
	seen := append(strings.Fields(members.text()), strings.Fields(rest.text())...)
	for n := range 60 {
		if !slices.Contains(seen, fmt.Sprintf("member-%d", n+1)) {
			t.Errorf("member-%d is on no page", n+1)
		}
	}
}

// TestImportPage looks first, then makes.
func TestImportPage(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	text := "reader,email,connection,principal_id\ngrace,grace@example.com,wiki,u-2\nalan,,,\n"
	p.ada.get("/readers/import").says(t, http.StatusOK, "Columns: reader, kind, issuer")
	p.ada.post("/readers/import", "do", "look", "csv", text).says(t, http.StatusOK, "Nothing was made yet. The file would make 2 readers, 0 identities, 1 address and 1 link")
	if _, err := p.store.Reader(t.Context(), "grace"); err == nil {
		t.Fatal("looking made a reader")
	}
	p.ada.post("/readers/import", "do", "import", "csv", "").says(t, http.StatusUnprocessableEntity, "has to name the columns")
	p.ada.post("/readers/import", "do", "import", "csv", "reader,"+scripted+"\n").says(t, http.StatusUnprocessableEntity, "line")
	p.ada.post("/readers/import", "do", "import", "csv", "reader\n").says(t, http.StatusUnprocessableEntity, "no line below the first")
	p.ada.post("/readers/import", "do", "import", "csv", "reader,connection,principal_id\nok,,\nbad,nowhere,1\n").says(t, http.StatusUnprocessableEntity, "each of these lines has to be mended", "3 connection")
	got := p.ada.send(p.ada.upload("/readers/import", []string{"do", "import", "csv", ""}, chosen{"csv_file", "people.csv", "\ufeff" + text}))
	got.says(t, http.StatusOK, "Made: 2 readers")
	r, err := p.store.Reader(t.Context(), "grace")
	if err != nil || len(r.Links) != 1 || r.Links[0].How != "import" {
		t.Errorf("made %+v, %v", r, err)
	}
	large := chosen{"csv_file", "people.csv", "reader\n" + strings.Repeat("x", 5<<20)}
	p.ada.send(p.ada.upload("/readers/import", []string{"do", "import"}, large)).says(t, http.StatusRequestEntityTooLarge, "larger than 4 MB")
	if got := p.ada.send(p.ada.upload("/readers/import", []string{"do", "import", "evil", "1"})); got.status != http.StatusBadRequest {
		t.Errorf("a field more: %d", got.status)
	}
	p.recorded(t, 1, "reader.import ok account:ada")
}
