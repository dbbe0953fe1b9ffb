package web_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestKeysThatReadAllAreFlagged: in what makes them, in the list, and in the audit log.
func TestKeysThatReadAllAreFlagged(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	p := o.program(t, "own", store.RoleOwner, uuid.Nil)
	for name, tc := range map[string]struct {
		rights string
		whole  bool
	}{"copies": {`["export", "search"]`, true}, "asks": {`["search"]`, false}} {
		made := p.call(http.MethodPost, "/keys", `{"name": "`+name+`", "connections": ["files"], "rights": `+tc.rights+`}`).is(http.StatusCreated)
		if made["reads_whole"] != tc.whole {
			t.Errorf("%s: made as %v", name, made["reads_whole"])
		}
		if got := p.call(http.MethodGet, "/keys/"+name, "").is(http.StatusOK)["reads_whole"]; got != tc.whole {
			t.Errorf("%s: shown as %v", name, got)
		}
		detail := pgtest.Scalar[string](t, o.db, `SELECT detail::text FROM audit_event WHERE action = 'api_key.create' AND detail ->> 'name' = $1`, name)
		if strings.Contains(detail, `"reads_whole": "true"`) != tc.whole {
			t.Errorf("%s: recorded as %s", name, detail)
		}
	}
	p.call(http.MethodPost, "/keys", `{"name": "all", "all_connections": true, "rights": ["export"]}`).refuses(http.StatusBadRequest, "invalid_request", "connections")
}
