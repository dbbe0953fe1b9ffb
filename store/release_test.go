package store_test

import (
	"errors"
	"testing"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/store"
)

// TestReleaseAfterANewConsent: what a run says of a grant is over once the grant
// was given anew while it ran.
func TestReleaseAfterANewConsent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	registration := uuid.New()
	r.db.MustExec(t, `INSERT INTO client_registration (id, name, provider, profile, endpoints_digest, redirect_uri, state) VALUES ($1, 'r', 'test', '{}', 'd', '', 'active')`, registration)
	for name, c := range map[string]struct {
		consent string // when, relative to now
		ends    store.ConnectionState
		want    store.ConnectionState
	}{
		"given before":                 {"- interval '1 hour'", store.StateNeedsReauth, store.StateNeedsReauth},
		"given while it ran":           {"", store.StateNeedsReauth, store.StateActive},
		"scopes given while it ran":    {"", store.StateDegraded, store.StateActive},
		"a wrong setting all the same": {"", store.StateConfigError, store.StateConfigError},
	} {
		s := r.connect(t, "c-"+string(c.ends)+c.consent[:min(len(c.consent), 1)], "realm-"+name)
		grant := uuid.New()
		r.db.MustExec(t, `INSERT INTO oauth_grant (id, registration_id, kind) VALUES ($1, $2, 'authorization_code')`, grant, registration)
		r.db.MustExec(t, `UPDATE connection SET grant_id = $2 WHERE id = $1`, s.conn, grant)
		run := s.start(t, store.Content)
		r.db.MustExec(t, `UPDATE sync_run SET started_at = clock() - interval '1 minute' WHERE id = $1`, run.ID)
		r.db.MustExec(t, `UPDATE oauth_grant SET consented_at = clock() `+c.consent+` WHERE id = $1`, grant)
		end := store.Release{State: store.RunFailed, Class: connectors.GrantLost, Err: errors.New("the grant holds no tokens"), Connection: c.ends, Reason: "why"}
		if err := r.store.ReleaseRun(t.Context(), run, end, nil); err != nil {
			t.Fatal(err)
		}
		k, err := r.store.Connection(t.Context(), s.conn.String())
		if err != nil || k.State != c.want {
			t.Errorf("%s: the connection is %s, want %s: %v", name, k.State, c.want, err)
		}
	}
}
