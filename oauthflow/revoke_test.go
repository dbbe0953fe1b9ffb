package oauthflow_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// spare stores a pair beside that of a grant.
func (r *rig) spare(t *testing.T, grant uuid.UUID, p oauthflow.Pair) {
	t.Helper()
	sealed, err := oauthflow.SealPair(r.ring, oauthflow.PairPlace(grant, 1, 0, oauthflow.FieldSpare), p)
	if err != nil {
		t.Fatal(err)
	}
	r.db.MustExec(t, `INSERT INTO credential_spare (attempt_id, grant_id, epoch, base_gen, secret_ct, rt_hmac) VALUES (gen_random_uuid(), $1, 1, 0, $2, 'x')`, grant, sealed)
}

// testGitHubRevocation: GitHub takes no refresh token, and knows no access token that has ended. Neither keeps a token
// that it knows from being revoked, and what nobody confirmed is not called revoked.
func testGitHubRevocation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		gone    bool // the access token has ended
		status  int  // GitHub's answer to it
		spare   bool // another pair's has not
		revoked bool
	}{
		"a valid access token":                            {revoked: true},
		"404 to the access token of a living grant":       {gone: true, status: http.StatusNotFound},
		"422 to the access token of a living grant":       {gone: true, status: http.StatusUnprocessableEntity},
		"404 to one token, another ends the grant":        {gone: true, status: http.StatusNotFound, spare: true, revoked: true},
		"422 to one token, another ends the grant":        {gone: true, status: http.StatusUnprocessableEntity, spare: true, revoked: true},
		"the spare of a grant that has ended is no doubt": {spare: true, revoked: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, oauthtest.GitHubApp(), "github-app", nil)
			res := r.connect(t, plan("a"))
			p := r.pair(t, res.Grant)
			if c.spare {
				r.spare(t, res.Grant, p)
			}
			if c.gone {
				sealed, err := oauthflow.SealPair(r.ring, oauthflow.PairPlace(res.Grant, 1, 0, oauthflow.FieldTokens), oauthflow.Pair{Access: secret.New("ended"), Refresh: p.Refresh, Type: "bearer"})
				if err != nil {
					t.Fatal(err)
				}
				r.db.MustExec(t, `UPDATE credential SET secret_ct = $1`, sealed)
				first := true
				r.server.Set(func(b *oauthtest.Behaviour) {
					b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
						if endpoint != "revoke" || !first {
							return false
						}
						first = false
						w.WriteHeader(c.status)
						return true
					}
				})
			}
			out, err := r.grants.Disconnect(t.Context(), r.by, res.Connection)
			if err != nil || !out.Done || out.Revoked != c.revoked || out.ManageURL == "" || r.stored(t) != 0 {
				t.Fatalf("got %+v, %v, %d tokens stored", out, err, r.stored(t))
			}
			if strings.Contains(out.Note, "remove the access at the provider") == c.revoked {
				t.Errorf("note %q", out.Note)
			}
			if r.server.Alive(p.Refresh.Reveal()) == c.revoked {
				t.Errorf("alive at GitHub: %t", r.server.Alive(p.Refresh.Reveal()))
			}
			for _, q := range r.server.Log("revoke") {
				if q.Token == oauthtest.Digest(p.Refresh.Reveal()) {
					t.Error("the refresh token was sent")
				}
			}
		})
	}
}
