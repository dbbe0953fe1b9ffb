package oauthflow_test

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// ended returns how many tokens are still stored.
func (r *rig) stored(t *testing.T) int {
	t.Helper()
	return pgtest.Scalar[int](t, r.db, `SELECT (SELECT count(*) FROM credential WHERE secret_ct IS NOT NULL)::int + (SELECT count(*) FROM credential_spare)::int`)
}

func TestOADisconnect(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		before  func(http.ResponseWriter) // nil is the server's own answer
		revoked bool
		retried bool
	}{
		"OA-24 200": {revoked: true},
		"OA-24 400": {before: func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = w.Write([]byte(`{"error":"unsupported_token_type"}`))
		}},
		"OA-24 503": {before: func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) }, retried: true},
		"OA-24 timeout": {before: func(w http.ResponseWriter) {
			if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
				_ = conn.Close()
			}
		}, retried: true},
	}
	for name, c := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, oauthtest.Generic(), "", nil)
			r.db.SetClock(t, time.Now())
			res := r.connect(t, plan("a"))
			p := r.pair(t, res.Grant)
			r.db.MustExec(t, `INSERT INTO credential_spare (attempt_id, grant_id, epoch, base_gen, secret_ct, rt_hmac) VALUES ($1, $2, 1, 0, 'x', 'x')`, uuid.New(), res.Grant)
			if c.before != nil {
				r.server.Set(func(b *oauthtest.Behaviour) {
					b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
						if endpoint == "revoke" {
							c.before(w)
						}
						return endpoint == "revoke"
					}
				})
			} else {
				r.db.MustExec(t, `DELETE FROM credential_spare`)
			}
			out, err := r.grants.Disconnect(t.Context(), r.by, res.Connection)
			if err != nil || out.Revoked != c.revoked || out.Done == c.retried || out.Note == "" {
				t.Fatalf("got %+v, %v", out, err)
			}
			if r.state(t, "a") != "closing" {
				t.Errorf("connection is %s", r.state(t, "a"))
			}
			for tries := 0; c.retried && r.stored(t) > 0; tries++ {
				if tries > 10 {
					t.Fatal("the tokens are never forgotten")
				}
				r.db.Advance(t, time.Hour)
				if err := r.grants.Tend(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if r.stored(t) != 0 {
				t.Error("tokens are still stored")
			}
			if c.retried && len(r.server.Log("revoke")) < 8 {
				t.Errorf("%d tries", len(r.server.Log("revoke")))
			}
			note := pgtest.Scalar[string](t, r.db, `SELECT close_note FROM oauth_grant WHERE closed_at IS NOT NULL`)
			if strings.Contains(note, "did not confirm") == c.revoked {
				t.Errorf("note %q", note)
			}
			if c.revoked {
				log := r.server.Log("revoke")
				if n := len(log); r.server.Alive(p.Access.Reveal()) || n < 2 || log[n-2].Token != oauthtest.Digest(p.Refresh.Reveal()) || log[n-1].Token != oauthtest.Digest(p.Access.Reveal()) {
					t.Errorf("the refresh token was not revoked first: %+v", log)
				}
			}
			if again, err := r.grants.CloseGrant(t.Context(), res.Grant); err != nil || !again.Done {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
	t.Run("OA-24 a reach of the whole account", testSharedAccount)
	t.Run("OA-24 another grant of the same account in use", testSameAccount)
	t.Run("OA-24 a consent during the revocation", testConsentMeanwhile)
	t.Run("OA-24 a consent before the revocation", testConsentBeforeRevoking)
	t.Run("OA-24 GitHub ends a grant by an access token", testGitHubRevocation)
}

// testSharedAccount: where a revocation ends all that an account granted, none is sent while another grant of it lives.
func testSharedAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Google(), "google", func(m map[string]any) { m["grant_per"] = "consent" })
	a, b := r.connect(t, plan("a")), r.connect(t, plan("b"))
	if a.Grant == b.Grant {
		t.Fatal("one grant")
	}
	out, err := r.grants.Disconnect(t.Context(), r.by, a.Connection)
	if err != nil || out.Revoked || !out.Done || r.server.Count("revoke") != 0 || !strings.Contains(out.Note, "another grant of the same account") {
		t.Errorf("got %+v, %v, %d revocations", out, err, r.server.Count("revoke"))
	}
	if !r.server.Alive(r.pair(t, b.Grant).Access.Reveal()) {
		t.Error("the other grant was harmed")
	}
	if out, err = r.grants.Disconnect(t.Context(), r.by, b.Connection); err != nil || !out.Revoked {
		t.Errorf("the last: %+v, %v", out, err)
	}
}

// TestWrongMasterKey: tokens that cannot be opened are kept until the right key is back.
func TestWrongMasterKey(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.db.SetClock(t, time.Now())
	res := r.connect(t, plan("a"))
	other, err := seal.Create(filepath.Join(t.TempDir(), "key"), seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	locked := oauthflow.NewGrants(oauthflow.GrantsConfig{Store: r.store, Vault: other, Client: r.client})
	before := r.server.Count("revoke")
	if out, err := locked.Disconnect(t.Context(), r.by, res.Connection); err != nil || out.Done || !strings.Contains(out.Note, "master key") {
		t.Fatalf("got %+v, %v", out, err)
	}
	for range 20 {
		r.db.Advance(t, time.Hour)
		if err := locked.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if r.stored(t) != 1 || r.server.Count("revoke") != before {
		t.Errorf("%d tokens stored, %d revocations", r.stored(t), r.server.Count("revoke")-before)
	}
	r.db.Advance(t, time.Hour)
	if err := r.grants.Tend(t.Context()); err != nil || r.stored(t) != 0 || r.server.Count("revoke") == before {
		t.Errorf("with the right key: %v, %d tokens stored", err, r.stored(t))
	}
}

// TestRevokeGrant: the grant ends and its connections wait for a consent, which makes another grant.
func TestRevokeGrant(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	res := r.connect(t, plan("a", "files.read"))
	out, err := r.grants.Revoke(t.Context(), r.by, res.Grant)
	if err != nil || !out.Revoked || r.state(t, "a") != "needs_reauth" || r.stored(t) != 0 {
		t.Fatalf("got %+v, %v, connection %s", out, err, r.state(t, "a"))
	}
	again := r.connect(t, oauthflow.Plan{Connection: res.Connection})
	if again.Grant == res.Grant || r.state(t, "a") != "active" {
		t.Errorf("got %+v, connection %s", again, r.state(t, "a"))
	}
	v, err := r.grants.Get(t.Context(), again.Grant)
	if err != nil || len(v.Connections) != 1 || v.Connections[0].Name != "a" || len(v.Missing) != 0 {
		t.Errorf("got %+v, %v", v, err)
	}
	if list, err := r.grants.List(t.Context()); err != nil || len(list) != 2 || list[0].ID != again.Grant {
		t.Errorf("got %d grants, %v", len(list), err)
	}
}

// TestExpiry: at its time a grant is revoked and its connections stop; a connection takes its grant along.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*rig, *oauthflow.Result, time.Time) error{
		"grant": func(r *rig, res *oauthflow.Result, at time.Time) error {
			return r.grants.SetExpiry(context.Background(), r.by, res.Grant, &at, oauthflow.HideDocuments)
		},
		"connection": func(r *rig, res *oauthflow.Result, at time.Time) error {
			return r.grants.SetConnectionExpiry(context.Background(), r.by, res.Connection, &at, oauthflow.HideDocuments)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, oauthtest.Generic(), "", nil)
			now := time.Now()
			r.db.SetClock(t, now)
			res := r.connect(t, plan("a"))
			p := r.pair(t, res.Grant)
			if err := set(r, res, now.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			r.db.Advance(t, 59*time.Minute)
			if err := r.grants.Tend(t.Context()); err != nil || r.state(t, "a") != "active" || r.stored(t) != 1 || !r.server.Alive(p.Refresh.Reveal()) {
				t.Fatalf("before its time: %v, connection %s", err, r.state(t, "a"))
			}
			r.db.Advance(t, time.Minute)
			for range 2 {
				if err := r.grants.Tend(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if r.state(t, "a") != "paused" || r.stored(t) != 0 || r.server.Alive(p.Refresh.Reveal()) {
				t.Errorf("connection %s, %d tokens stored, alive %t", r.state(t, "a"), r.stored(t), r.server.Alive(p.Refresh.Reveal()))
			}
			if hide := pgtest.Scalar[string](t, r.db, `SELECT at_expiry FROM connection WHERE expires_at <= clock()`); hide != "hide" {
				t.Errorf("documents: %s", hide)
			}
			if r.audited(t, "connection.expire") != 1 {
				t.Errorf("%d events", r.audited(t, "connection.expire"))
			}
			again := r.connect(t, oauthflow.Plan{Connection: res.Connection})
			if err := r.grants.Tend(t.Context()); err != nil || again.Grant == res.Grant || r.state(t, "a") != "active" {
				t.Errorf("granted again: %+v, %v, connection %s", again, err, r.state(t, "a"))
			}
		})
	}
}

// tokens is a source of one token.
type fixedTokens struct{ access oauthflow.Access }

func (f fixedTokens) Access(context.Context, uuid.UUID) (oauthflow.Access, error) {
	return f.access, nil
}

func (f fixedTokens) Rejected(context.Context, uuid.UUID, oauthflow.Access) (oauthflow.Access, error) {
	return f.access, nil
}

func (f fixedTokens) Lives(context.Context, uuid.UUID, oauthflow.Access) (bool, error) {
	return true, nil
}

// TestCheck calls the account endpoint, or an address on a host that is allowed, and no other.
func TestCheck(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	res := r.connect(t, plan("a"))
	other := oauthtest.New(t, oauthtest.Generic())
	grants := oauthflow.NewGrants(oauthflow.GrantsConfig{Store: r.store, Vault: r.ring, Client: r.client, Tokens: fixedTokens{oauthflow.Access{Token: r.pair(t, res.Grant).Access}}})
	if out, err := grants.Check(t.Context(), res.Grant, "", nil); err != nil || !out.OK || out.Account != "Ada" {
		t.Errorf("got %+v, %v", out, err)
	}
	if _, err := grants.Check(t.Context(), res.Grant, other.URL+"/userinfo", nil); connectors.ClassOf(err) != connectors.Invalid || !strings.Contains(err.Error(), "not on one of the provider's hosts") || other.Count("userinfo") != 0 {
		t.Errorf("a foreign host: %v, %d requests", err, other.Count("userinfo"))
	}
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(_ string, w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			return true
		}
	})
	if out, err := grants.Check(t.Context(), res.Grant, r.server.URL+"/userinfo?x=1", nil); err != nil || out.OK || out.Status != http.StatusForbidden || out.Remedy == "" {
		t.Errorf("got %+v, %v", out, err)
	}
}
