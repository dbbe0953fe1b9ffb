package web_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/store"
)

// TestAdminReadersIdentitiesAndAddresses: who a reader is, over the admin API.
func TestAdminReadersIdentitiesAndAddresses(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	p := o.program(t, "ci", store.RoleOwner, uuid.Nil)
	made := p.call(http.MethodPost, "/readers", `{"name": "ada", "identities": [{"issuer": "https://i", "subject": "1"}], "emails": ["ada@Example.com"]}`).is(http.StatusCreated)
	if emails, _ := made["emails"].([]any); len(emails) != 1 || emails[0] != "ada@example.com" {
		t.Errorf("made %v", made)
	}
	p.call(http.MethodPost, "/readers", `{"name": "bob", "identities": [{"issuer": "https://i", "subject": "1"}]}`).refuses(http.StatusConflict, "conflict", "")
	p.call(http.MethodPost, "/readers", `{"name": "bob", "emails": ["b\u043eb@example.com"]}`).refuses(http.StatusBadRequest, "invalid_request", "email")
	p.call(http.MethodPost, "/readers", `{"name": "bob"}`).is(http.StatusCreated)
	p.call(http.MethodPost, "/readers/bob/identities", `{"issuer": "https://i", "subject": "1"}`).refuses(http.StatusConflict, "conflict", "")
	p.call(http.MethodPost, "/readers/bob/identities", `{"issuer": "https://i"}`).refuses(http.StatusBadRequest, "invalid_request", "subject")
	if got := p.call(http.MethodPost, "/readers/bob/identities", `{"issuer": "https://i", "subject": "2"}`).is(http.StatusOK); len(got["identities"].([]any)) != 1 {
		t.Errorf("%v", got)
	}
	for range 2 {
		if got := p.call(http.MethodDelete, "/readers/bob/identities", `{"issuer": "https://i", "subject": "2"}`).is(http.StatusOK); len(got["identities"].([]any)) != 0 {
			t.Errorf("%v", got)
		}
	}
	if got := p.call(http.MethodPost, "/readers/bob/emails", `{"email": "bob@example.com"}`).is(http.StatusOK); len(got["emails"].([]any)) != 1 {
		t.Errorf("%v", got)
	}
	for range 2 {
		if got := p.call(http.MethodDelete, "/readers/bob/emails", `{"email": "bob@EXAMPLE.com"}`).is(http.StatusOK); len(got["emails"].([]any)) != 0 {
			t.Errorf("%v", got)
		}
	}
	if a := p.call(http.MethodDelete, "/readers/bob", ""); a.status != http.StatusOK {
		t.Errorf("deleting: %d %s", a.status, a.body)
	}
	p.call(http.MethodGet, "/readers/bob", "").refuses(http.StatusNotFound, "not_found", "")
	for _, e := range []string{"reader.identity_add ok token:ci", "reader.identity_remove ok token:ci", "reader.email_add ok token:ci", "reader.email_remove ok token:ci", "reader.delete ok token:ci"} {
		if n := strings.Count(strings.Join(o.events(), "\n"), e); n != 1 {
			t.Errorf("%s is recorded %d times", e, n)
		}
	}
}

// TestAdminMapsByEmail: the switch, who is left, and an import.
func TestAdminMapsByEmail(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	p := o.program(t, "ci", store.RoleOwner, uuid.Nil)
	p.call(http.MethodPost, "/imports/readers", `{"rows": [{"reader": "ada", "connection": "files", "principal_id": "7"}]}`).refuses(http.StatusBadRequest, "invalid_request", "rows[0].connection")
	realm, err := o.store.SetRealm(t.Context(), k.ID, k.Source, "org")
	if err != nil {
		t.Fatal(err)
	}
	run := store.Run{ID: uuid.New(), ConnectionID: k.ID, Fence: 1}
	o.db.MustExec(t, `DELETE FROM sync_run`)
	o.db.MustExec(t, `INSERT INTO sync_run (id, connection_id, lane, kind, state, fence, selection_version) VALUES ($1, $2, 'permissions', 'permissions', 'running', 1, 1)`, run.ID, k.ID)
	var people []connectors.Person
	for _, id := range []string{"1", "2", "3"} {
		people = append(people, connectors.Person{Principal: connectors.Principal{Kind: connectors.User, ID: id}, Email: "p" + id + "@example.com", Verified: true})
	}
	if _, err := o.store.ReplaceEmails(t.Context(), run, realm, people); err != nil {
		t.Fatal(err)
	}
	const rows = `"rows": [{"reader": "one", "email": "p1@example.com"}, {"reader": "three", "email": "p3@example.com"}]`
	if got := p.call(http.MethodPost, "/imports/readers", `{`+rows+`, "dry_run": true}`).is(http.StatusOK); got["readers"] != 2.0 || got["emails"] != 2.0 {
		t.Errorf("dry run: %v", got)
	}
	if got := p.call(http.MethodGet, "/readers", "").names("name"); len(got) != 0 {
		t.Errorf("a dry run made %v", got)
	}
	p.call(http.MethodPost, "/imports/readers", `{`+rows+`}`).is(http.StatusOK)
	p.call(http.MethodPut, "/connections/files/map-email", `{}`).refuses(http.StatusBadRequest, "invalid_request", "enabled")
	if got := p.call(http.MethodPut, "/connections/files/map-email", `{"enabled": true}`).is(http.StatusOK); got["made"] != 2.0 || got["enabled"] != true {
		t.Errorf("switched on: %v", got)
	}
	if got := p.call(http.MethodGet, "/connections/files", "").is(http.StatusOK); got["map_email"] != true {
		t.Errorf("%v", got)
	}
	if got := p.call(http.MethodGet, "/people/unmatched?connection=files", "").names("id"); !slices.Equal(got, []string{"2"}) {
		t.Errorf("unmatched: %v", got)
	}
	if got := p.call(http.MethodPut, "/connections/files/map-email", `{"enabled": false}`).is(http.StatusOK); got["ended"] != 2.0 {
		t.Errorf("switched off: %v", got)
	}
	first := p.call(http.MethodGet, "/people/unmatched?limit=2", "")
	next, _ := first.is(http.StatusOK)["next_cursor"].(string)
	if got := append(first.names("id"), p.call(http.MethodGet, "/people/unmatched?limit=2&cursor="+next, "").names("id")...); !slices.Equal(got, []string{"1", "2", "3"}) {
		t.Errorf("two pages: %v", got)
	}
	p.call(http.MethodGet, "/people/unmatched?cursor=x", "").refuses(http.StatusBadRequest, "invalid_request", "cursor")
}
