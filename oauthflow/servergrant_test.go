package oauthflow_test

import (
	"net/http"
	"strings"
	"testing"

	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// TestServerGrantsByPurpose: what one client asks for itself, for other scopes or another resource, are grants of their
// own; the same again is the same grant.
func TestServerGrantsByPurpose(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	made := func(name, resource string, scopes ...string) *oauthflow.Result {
		t.Helper()
		res, err := r.flows.CreateServerGrant(t.Context(), oauthflow.ServerGrantParams{
			Registration: r.reg.ID, By: r.by, Kind: oauthflow.GrantClientCredentials, Scopes: scopes, Params: oauthflow.GrantParams{Resource: resource}, Plan: plan(name),
		})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	first := made("a", "", "files.read", "groups.read")
	if again := made("b", "", "groups.read", "files.read"); again.Grant != first.Grant || again.Epoch != 2 {
		t.Errorf("the same scopes in another order: %+v after %+v", again, first)
	}
	fewer, resource := made("c", "", "files.read"), made("d", "https://a.example.com", "files.read", "groups.read")
	if fewer.Grant == first.Grant || resource.Grant == first.Grant || fewer.Grant == resource.Grant {
		t.Errorf("grants %s, %s and %s", first.Grant, fewer.Grant, resource.Grant)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM oauth_grant WHERE closed_at IS NULL`); n != 3 {
		t.Errorf("%d grants, want 3", n)
	}
}

// TestCheckAtRevocation: a server that looks at the code before the client is asked at its revocation endpoint.
func TestCheckAtRevocation(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", func(m map[string]any) { m["grants"] = []string{"authorization_code"} })
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			if endpoint != "token" {
				return false
			}
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"invalid_grant"}`))
			return true
		}
	})
	save := oauthflow.SaveParams{ID: r.reg.ID, Digest: r.reg.Digest, ClientID: r.server.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New("wrong")}}
	_, checks, err := r.regs.Save(t.Context(), r.by, save)
	fieldRefused(t, err, "client credentials")
	if len(checks) != 1 || checks[0].OK || checks[0].Unclear || !strings.Contains(checks[0].Sent, "to revoke") || !strings.Contains(checks[0].Came, "invalid_client") {
		t.Errorf("checks %+v", checks)
	}
	save.Credentials.Secret = secret.New(r.server.ClientSecret)
	if _, checks, err = r.regs.Save(t.Context(), r.by, save); err != nil || len(checks) != 1 || !checks[0].OK {
		t.Errorf("the right secret: %v, %+v", err, checks)
	}
}
