package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/store"
)

// TestAdminExplains: an auditor's program learns who may read a document and
// why not, and it is recorded.
func TestAdminExplains(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	id := uuid.NewString()
	o.db.MustExec(t, `INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind,
			media_type, lang, author, metadata, acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
		SELECT '`+id+`', c.id, '7', '1', '', 1, 'Plans', '', '', '', 'file', 'text/plain', 'english', '', '{}', 0, 1, 0, 1, now(), now() FROM connection c WHERE c.name = 'files'`)
	if _, err := o.store.CreateReader(t.Context(), "bob", store.Person); err != nil {
		t.Fatal(err)
	}
	p := o.program(t, "ci", store.RoleAuditor, uuid.Nil)
	for _, document := range []string{id, "files:7"} {
		got := p.call(http.MethodGet, "/explain?reader=bob&document="+document, "").is(http.StatusOK)
		reasons, _ := got["reasons"].([]any)
		last, _ := reasons[len(reasons)-1].(map[string]any)
		if got["visible"] != false || last["code"] != "acl_unknown" || got["document"].(map[string]any)["title"] != "Plans" {
			t.Errorf("%s: %v", document, got)
		}
	}
	got := p.call(http.MethodGet, "/documents/"+id+"/readers?limit=1", "").is(http.StatusOK)
	if readers, ok := got["readers"].([]any); !ok || len(readers) != 0 || got["next_cursor"] != nil {
		t.Errorf("who could read it: %v", got)
	}
	p.call(http.MethodGet, "/explain?reader=nobody&document="+id, "").refuses(http.StatusBadRequest, "invalid_request", "reader")
	p.call(http.MethodGet, "/explain?document="+id, "").refuses(http.StatusBadRequest, "invalid_request", "reader")
	p.call(http.MethodGet, "/explain?reader=bob&document=none", "").refuses(http.StatusBadRequest, "invalid_request", "document")
	p.call(http.MethodGet, "/documents/"+id+"/readers?cursor=x", "").refuses(http.StatusBadRequest, "invalid_request", "cursor")
	if n := strings.Count(strings.Join(o.events(), "\n"), "document.explain ok token:ci"); n != 3 {
		t.Errorf("3 explanations are recorded %d times", n)
	}
}
