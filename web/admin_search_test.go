package web_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/store"
)

// TestAdminSearchesAsAReader: the answer is the reader's and says how it was
// found; who asked for whom is recorded; no API key and no lesser role may.
func TestAdminSearchesAsAReader(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	c := newContentOn(t, o.rig)
	c.add(c.ada, "page", "alpha")
	c.add(c.bob, "secret", "alpha canary")
	p := o.program(t, "boss", store.RoleOwner, uuid.Nil)
	got := p.call("POST", "/search", `{"reader":"ada","query":"alpha","mode":"keyword","k":3}`).is(200)
	plan, _ := got["plan"].(map[string]any)
	results, _ := got["results"].([]any)
	if len(results) != 1 || plan["chunks"] != 1.0 || plan["more"] != false || plan["rank_ms"].(float64) <= 0 {
		t.Errorf("answered %v", got)
	}
	ada, err := c.store.Reader(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	recorded := slices.ContainsFunc(o.events(), func(e string) bool {
		return strings.HasPrefix(e, "reader.view_as ") && strings.HasSuffix(e, " "+ada.ID.String())
	})
	if !recorded {
		t.Errorf("not recorded: %v", o.events())
	}
	p.call("POST", "/search", `{"reader":"nobody","query":"alpha"}`).refuses(400, "invalid_request", "reader")
	p.call("POST", "/search", `{"query":"alpha"}`).refuses(400, "invalid_request", "reader")
	p.call("POST", "/search", `{"reader":"ada","query":"alpha","k":0}`).refuses(400, "invalid_request", "k")
	if a := c.ask("ada", "POST", "/v1/search", `{"query":"alpha","mode":"keyword","include":["scores"]}`); a.status != 200 || strings.Contains(string(a.body), "plan") || strings.Contains(string(a.body), "_ms") {
		t.Errorf("an API key is answered %d %s", a.status, a.body)
	}
	if a := c.ask("ada", "POST", "/v1/admin/search", `{"reader":"ada","query":"alpha"}`); a.status != 401 && a.status != 403 {
		t.Errorf("an API key is answered %d", a.status)
	}
}
