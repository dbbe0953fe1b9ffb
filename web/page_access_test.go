package web_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tributary/store"
)

// access is an instance where somebody is linked, with a key, and where others are not.
type access struct {
	*people
	reader store.Reader
	key    store.Key
}

func newAccess(t *testing.T, p *people) *access {
	t.Helper()
	a := &access{people: p}
	var err error
	if a.reader, err = p.store.MakeReader(t.Context(), store.NewReader{Name: "lovelace", Kind: store.Person, Emails: []string{"ada@example.com"}, Identities: []store.ReaderIdentity{{Issuer: "https://i", Subject: "1"}}}); err != nil {
		t.Fatal(err)
	}
	if a.key, _, err = p.store.CreateKey(t.Context(), store.CreateKeyParams{Name: "bot", ReaderID: &a.reader.ID, AllConnections: true, Rights: []string{store.RightSearch}}); err != nil {
		t.Fatal(err)
	}
	p.ada.post("/readers/"+a.reader.ID.String()+"/link", "connection", "wiki", "kind", "user", "principal", "u-1").seeOther(t, "/readers/"+a.reader.ID.String()+"?done=reader-linked")
	return a
}

// pages are those of who reads what.
func (a *access) pages(t *testing.T) []string {
	t.Helper()
	return []string{
		"/readers", "/readers/unmatched", "/readers/unmatched?connection=wiki", "/groups", "/keys",
		"/readers/" + a.reader.ID.String(), "/principals/" + a.principal(t, "g-all"), "/principals/" + a.principal(t, "u-1"), "/keys/" + a.key.ID.String(),
	}
}

// TestAccessIsForOwners: an owner is offered acts that nobody else is offered.
func TestAccessIsForOwners(t *testing.T) {
	t.Parallel()
	a := newAccess(t, newPeople(t))
	a.account("amy", store.RoleAdmin)
	a.account("aud", store.RoleAuditor)
	acts := func(p page) int {
		p.says(t, http.StatusOK)
		return strings.Count(p.body, `<form method="post"`) - strings.Count(p.body, `<form method="post" action="/signout"`) +
			strings.Count(p.body, `class="button`) + strings.Count(p.body, "/keys/new")
	}
	offered := map[string]int{}
	for _, path := range a.pages(t) {
		offered[path] = acts(a.ada.get(path))
	}
	for _, who := range []string{"amy", "aud"} {
		b := a.signedIn(who)
		for _, path := range a.pages(t) {
			if n := acts(b.get(path)); n != 0 {
				t.Errorf("%s offers %s %d acts", path, who, n)
			}
		}
	}
	for _, path := range a.pages(t) {
		if without := strings.HasPrefix(path, "/groups") || strings.HasPrefix(path, "/principals/"); (offered[path] == 0) != without {
			t.Errorf("%s offers an owner %d acts", path, offered[path])
		}
	}
}

// TestWhoLinked: a link names who made it, where the same id is somebody else in another realm too.
func TestWhoLinked(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	r, err := p.store.CreateReader(t.Context(), "lovelace", store.Person)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.store.CreateConnection(t.Context(), store.NewConnection{Name: "other", Source: store.PushSource, Realm: "elsewhere"}); err != nil {
		t.Fatal(err)
	}
	p.account("bea", store.RoleOwner)
	at := "/readers/" + r.ID.String()
	p.ada.post(at+"/link", "connection", "wiki", "kind", "user", "principal", "u-1").seeOther(t, at+"?done=reader-linked")
	p.signedIn("bea").post(at+"/link", "connection", "other", "kind", "user", "principal", "u-1").seeOther(t, at+"?done=reader-linked")
	rows := strings.Split(p.ada.get(at).body, "<tr>")
	for realm, who := range map[string]string{"acme": "ada", "elsewhere": "bea"} {
		found := false
		for _, row := range rows {
			found = found || strings.Contains(row, ">"+realm+"<") && strings.Contains(page{body: row}.text(), "by "+who)
		}
		if !found {
			t.Errorf("the link in %s is not by %s:\n%s", realm, who, p.ada.get(at).text())
		}
	}
}

// TestAccessCostsTheSame: how many statements a page of readers, people, groups or keys takes does not depend on how many there are.
func TestAccessCostsTheSame(t *testing.T) {
	t.Parallel()
	w := &countingWire{}
	a := newAccess(t, peopleOf(t, newOAuthRigThrough(t, nil, func(databaseURL string) string { return w.through(t, databaseURL) })))
	cost := func() map[string]int64 {
		out := map[string]int64{}
		for _, path := range a.pages(t) {
			a.ada.get(path)
			// What is done once a minute, or because a connection was idle, is no part of the page.
			for range 3 {
				before := w.n.Load()
				a.ada.get(path).says(t, http.StatusOK)
				if n := w.n.Load() - before; out[path] == 0 || n < out[path] {
					out[path] = n
				}
			}
		}
		return out
	}
	few := cost()
	a.exec(t, `INSERT INTO principal (realm_id, kind, external_id, name) SELECT $1, k, k || n, 'n' || n FROM generate_series(1, 30) n, (VALUES ('user'), ('group')) x (k)`, *a.wiki.RealmID)
	a.exec(t, `INSERT INTO principal_email SELECT $1, id, name || '@example.com', true FROM principal WHERE external_id LIKE 'user%'`, a.wiki.ID)
	a.exec(t, `INSERT INTO membership SELECT $1, u.id, g.id FROM principal u, principal g WHERE u.external_id LIKE 'user%' AND g.external_id IN ('group1', 'g-all')`, a.wiki.ID)
	a.exec(t, `INSERT INTO membership SELECT $1, u.id, g.id FROM principal u, principal g WHERE u.external_id = 'u-1' AND g.external_id LIKE 'group%'`, a.wiki.ID)
	a.exec(t, `INSERT INTO reader (name) SELECT 'n' || n FROM generate_series(1, 30) n`)
	a.exec(t, `INSERT INTO reader_email (reader_id, email, how) SELECT id, name || '@example.com', 'manual' FROM reader WHERE name LIKE 'n%'`)
	a.exec(t, `INSERT INTO reader_principal (reader_id, principal_id, how) SELECT $1, id, 'manual' FROM principal WHERE external_id IN ('user1', 'user2', 'user3')`, a.reader.ID)
	a.exec(t, `INSERT INTO read_event (reader_id, key_id, tool, documents) SELECT $1, $2, 'search', '{}' FROM generate_series(1, 30)`, a.reader.ID, a.key.ID)
	a.exec(t, `INSERT INTO api_key (name, secret_hash, hint, rights, connections, mode, reader_id) SELECT 'k' || n, n::text::bytea, 'abcd', '{search}', ARRAY[$1::uuid], 'bound', $2 FROM generate_series(1, 30) n`, a.wiki.ID, a.reader.ID)
	many := cost()
	for _, path := range a.pages(t) {
		if few[path] != many[path] || few[path] == 0 {
			t.Errorf("%s takes %d statements with few lines, and %d with many", path, few[path], many[path])
		}
	}
	t.Log("statements:", fmt.Sprint(many))
	a.ada.get("/readers").says(t, http.StatusOK, "n30", "lovelace person enabled ada@example.com 4 accounts")
}
