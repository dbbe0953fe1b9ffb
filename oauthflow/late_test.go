package oauthflow_test

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/oauthflow/refresh"
)

// late refreshes a grant; meanwhile happens between the provider's answer and the storing of what it gave. It returns
// the pair that came late.
func (r *rig) late(t *testing.T, grant uuid.UUID, meanwhile func()) oauthflow.Pair {
	t.Helper()
	r.db.MustExec(t, `UPDATE credential SET at_expires = clock() - interval '1 minute' WHERE grant_id = $1`, grant)
	var once sync.Once
	var got oauthflow.Pair
	keeper, err := refresh.New(refresh.Config{
		Store: r.store.Credentials(), Vault: r.ring, SpoolDir: t.TempDir(),
		Sender: &heardSender{refresh.TokenSender{Tokens: r.client, Client: func(context.Context, uuid.UUID) (oauthflow.Client, error) { return r.oauthClient(), nil }}, &got},
		Fail: func(p refresh.Point) {
			if p == refresh.BeforeSettle {
				once.Do(meanwhile)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = keeper.Access(t.Context(), grant)
	if err := keeper.Close(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	if !got.Access.IsSet() || !r.server.Alive(got.Access.Reveal()) {
		t.Fatal("no pair came")
	}
	return got
}

// heardSender keeps what the provider gave.
type heardSender struct {
	refresh.TokenSender
	got *oauthflow.Pair
}

func (s *heardSender) Send(ctx context.Context, q refresh.Request, trace *oauthflow.Trace) (*oauthflow.Token, error) {
	token, err := s.TokenSender.Send(ctx, q, trace)
	if err == nil {
		*s.got = oauthflow.Pair{Access: token.Access, Refresh: token.Refresh}
	}
	return token, err
}

// revocationsFail makes the server answer revocations with a status, while it is not 0.
func (r *rig) revocationsFail(status int) {
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			if endpoint != "revoke" || status == 0 {
				return false
			}
			w.WriteHeader(status)
			return true
		}
	})
}

// TestOALate: a pair that comes after its grant has ended is revoked, however long that takes (OA-24).
func TestOALate(t *testing.T) {
	t.Parallel()
	t.Run("OA-24 the revocation endpoint is down for two days", testLateOutage)
	t.Run("OA-24 the grant is still closing", testLateClosing)
	t.Run("OA-24 a pair of another account", testLateAnotherAccount)
	t.Run("OA-24 the same account has granted again", testLateSameAccount)
	t.Run("OA-24 another grant of the account would end", testLateShared)
	t.Run("OA-24 the key is missing", testLateLocked)
	t.Run("OA-24 never confirmed", testLateGivenUp)
	t.Run("OA-30 the registration is at another server since", testLateElsewhere)
}

func testLateOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.db.SetClock(t, time.Now())
	res := r.connect(t, plan("a"))
	pair := r.late(t, res.Grant, func() { r.end(t, res.Grant) })
	r.revocationsFail(http.StatusServiceUnavailable)
	before := r.server.Count("revoke")
	for range 48 {
		if err := r.grants.Tend(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.db.Advance(t, time.Hour)
	}
	if n := r.server.Count("revoke") - before; n < 20 || n > 60 {
		t.Errorf("%d requests in two days", n)
	}
	if r.stored(t) != 1 || !r.server.Alive(pair.Refresh.Reveal()) || r.audited(t, "grant.close_late") != 0 {
		t.Fatalf("%d pairs kept, %d events", r.stored(t), r.audited(t, "grant.close_late"))
	}
	r.revocationsFail(0)
	r.db.Advance(t, 6*time.Hour)
	if err := r.grants.Tend(t.Context()); err != nil || r.server.Alive(pair.Refresh.Reveal()) || r.server.Alive(pair.Access.Reveal()) || r.stored(t) != 0 {
		t.Errorf("%v, alive %t, %d pairs kept", err, r.server.Alive(pair.Refresh.Reveal()), r.stored(t))
	}
	if err := r.grants.Tend(t.Context()); err != nil || r.audited(t, "grant.close_late") != 1 {
		t.Errorf("%v, %d events", err, r.audited(t, "grant.close_late"))
	}
}

// testLateClosing: what ends the grant forgets its own tokens, and not the pair that came meanwhile.
func testLateClosing(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.db.SetClock(t, time.Now())
	res := r.connect(t, plan("a"))
	pair := r.late(t, res.Grant, func() {
		r.revocationsFail(http.StatusServiceUnavailable)
		if out, err := r.grants.Disconnect(t.Context(), r.by, res.Connection); err != nil || out.Done {
			t.Errorf("got %+v, %v", out, err)
		}
	})
	if n := r.stored(t); n != 2 {
		t.Fatalf("%d pairs stored", n)
	}
	r.revocationsFail(0)
	r.db.Advance(t, time.Hour)
	if _, err := r.grants.CloseGrant(t.Context(), res.Grant); err != nil || r.stored(t) != 1 {
		t.Fatalf("%v, %d pairs stored", err, r.stored(t))
	}
	if err := r.grants.Tend(t.Context()); err != nil || r.stored(t) != 0 || r.server.Alive(pair.Refresh.Reveal()) {
		t.Errorf("%v, %d pairs stored, alive %t", err, r.stored(t), r.server.Alive(pair.Refresh.Reveal()))
	}
}

// end closes a grant, without a word to the provider.
func (r *rig) end(t *testing.T, grant uuid.UUID) {
	t.Helper()
	event := audit.Event{Actor: r.by.Actor, Action: "grant.close", Outcome: audit.OK}
	if err := errors.Join(r.store.BeginClosing(t.Context(), grant, "", event), r.store.FinishClosing(t.Context(), grant, "", event)); err != nil {
		t.Error(err)
	}
}

// replaced makes a grant that of an account by a consent that is stored in the database alone.
func (r *rig) replaced(t *testing.T, grant uuid.UUID, subject string) {
	r.db.MustExec(t, `UPDATE oauth_grant SET subject = $2 WHERE id = $1`, grant, subject)
	sealed, err := oauthflow.SealPair(r.ring, oauthflow.PairPlace(grant, 2, 0, oauthflow.FieldTokens), oauthflow.Pair{Access: r.pair(t, grant).Access, Type: "bearer"})
	if err != nil {
		t.Error(err)
	}
	r.db.MustExec(t, `UPDATE credential SET epoch = 2, gen = 0, secret_ct = $2, phase = 'idle', attempt_id = NULL, at_expires = clock() + interval '1 hour' WHERE grant_id = $1`, grant, sealed)
}

func testLateAnotherAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	res := r.connect(t, plan("a"))
	pair := r.late(t, res.Grant, func() { r.replaced(t, res.Grant, "somebody else") })
	if err := r.grants.Tend(t.Context()); err != nil || r.server.Alive(pair.Refresh.Reveal()) || r.stored(t) != 1 {
		t.Errorf("%v, alive %t, %d pairs stored", err, r.server.Alive(pair.Refresh.Reveal()), r.stored(t))
	}
	if r.state(t, "a") != "active" {
		t.Errorf("the connection is %s", r.state(t, "a"))
	}
}

// testLateSameAccount: to revoke a pair that a new consent replaced could end the new one.
func testLateSameAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	res := r.connect(t, plan("a"))
	before := r.server.Count("revoke")
	r.late(t, res.Grant, func() { r.replaced(t, res.Grant, "user-1") })
	if err := r.grants.Tend(t.Context()); err != nil || r.server.Count("revoke") != before || r.stored(t) != 1 {
		t.Errorf("%v, %d revocations, %d pairs stored", err, r.server.Count("revoke")-before, r.stored(t))
	}
}

func testLateShared(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Google(), "google", func(m map[string]any) { m["grant_per"] = "consent" })
	a, b := r.connect(t, plan("a")), r.connect(t, plan("b"))
	disconnect := func(connection uuid.UUID) func() {
		return func() {
			if out, err := r.grants.Disconnect(t.Context(), r.by, connection); err != nil || !out.Done {
				t.Errorf("got %+v, %v", out, err)
			}
		}
	}
	r.late(t, a.Grant, disconnect(a.Connection))
	if err := r.grants.Tend(t.Context()); err != nil || r.server.Count("revoke") != 0 || r.stored(t) != 1 || !r.server.Alive(r.pair(t, b.Grant).Access.Reveal()) {
		t.Errorf("%v, %d revocations, %d pairs stored", err, r.server.Count("revoke"), r.stored(t))
	}
	// The last grant of the account: its consents wait for the revocation, and no longer.
	r.revocationsFail(http.StatusServiceUnavailable)
	r.db.MustExec(t, `UPDATE oauth_grant SET closed_at = clock() WHERE id = $1`, b.Grant)
	pair := r.pair(t, b.Grant)
	sealed, err := oauthflow.SealLate(r.ring, b.Grant, 1, 0, oauthflow.LatePair{Pair: pair, Digest: r.reg.Digest, Subject: oauthtest.Google().Subject})
	if err != nil {
		t.Fatal(err)
	}
	r.db.MustExec(t, `UPDATE credential SET secret_ct = NULL WHERE grant_id = $1`, b.Grant)
	r.db.MustExec(t, `INSERT INTO credential_spare (attempt_id, grant_id, epoch, base_gen, secret_ct, rt_hmac) VALUES (gen_random_uuid(), $1, -1, 0, $2, 'x')`, b.Grant, sealed)
	if err := r.grants.Tend(t.Context()); err != nil || r.stored(t) != 1 {
		t.Errorf("%v, %d pairs stored", err, r.stored(t))
	}
	if blocked := pgtest.Scalar[bool](t, r.db, `SELECT coalesce(bool_or(revoking_until > clock()), false) FROM oauth_grant`); blocked {
		t.Error("consents of the account are kept waiting after a failed revocation")
	}
	r.revocationsFail(0)
	r.db.MustExec(t, `UPDATE credential_spare SET at_expires = clock()`)
	if err := r.grants.Tend(t.Context()); err != nil || r.stored(t) != 0 || r.server.Alive(pair.Access.Reveal()) {
		t.Errorf("%v, %d pairs stored, alive %t", err, r.stored(t), r.server.Alive(pair.Access.Reveal()))
	}
}

func testLateLocked(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.db.SetClock(t, time.Now())
	res := r.connect(t, plan("a"))
	pair := r.late(t, res.Grant, func() { r.end(t, res.Grant) })
	key, err := seal.Create(filepath.Join(t.TempDir(), "key"), seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []oauthflow.Vault{key, noVault{}} {
		locked := oauthflow.NewGrants(oauthflow.GrantsConfig{Store: r.store, Vault: v, Client: r.client})
		for range 3 {
			r.db.Advance(t, 20*24*time.Hour)
			if err := locked.Tend(t.Context()); err != nil || r.stored(t) != 1 {
				t.Fatalf("%v, %d pairs stored", err, r.stored(t))
			}
		}
	}
	r.db.Advance(t, time.Hour*7)
	if err := r.grants.Tend(t.Context()); err != nil || r.stored(t) != 0 || r.server.Alive(pair.Refresh.Reveal()) {
		t.Errorf("%v, %d pairs stored, alive %t", err, r.stored(t), r.server.Alive(pair.Refresh.Reveal()))
	}
}

// noVault is that of a process without a key.
type noVault struct{}

var errNoKey = errors.New("there is no key")

func (noVault) Seal(seal.Context, []byte) ([]byte, error)   { return nil, errNoKey }
func (noVault) Unseal(seal.Context, []byte) ([]byte, error) { return nil, errNoKey }

func testLateGivenUp(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.db.SetClock(t, time.Now())
	res := r.connect(t, plan("a"))
	r.late(t, res.Grant, func() { r.end(t, res.Grant) })
	r.revocationsFail(http.StatusForbidden)
	for _, c := range []struct{ days, kept int }{{29, 1}, {2, 0}} {
		r.db.Advance(t, time.Duration(c.days)*24*time.Hour)
		if err := r.grants.Tend(t.Context()); err != nil || r.stored(t) != c.kept {
			t.Errorf("%v, %d pairs stored, want %d", err, r.stored(t), c.kept)
		}
	}
	if got := pgtest.Scalar[string](t, r.db, `SELECT outcome FROM audit_event WHERE action = 'grant.close_late'`); got != "failed" {
		t.Errorf("recorded as %s", got)
	}
}

func testLateElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	res := r.connect(t, plan("a"))
	r.late(t, res.Grant, func() { r.end(t, res.Grant) })
	before := r.server.Count("revoke")
	r.db.MustExec(t, `UPDATE client_registration SET endpoints_digest = 'another'`) // as a change that committed between its reading and its storing
	if err := r.grants.Tend(t.Context()); err != nil || r.stored(t) != 0 || r.server.Count("revoke") != before {
		t.Errorf("%v, %d pairs stored, %d revocations", err, r.stored(t), r.server.Count("revoke")-before)
	}
	if got := pgtest.Scalar[string](t, r.db, `SELECT outcome FROM audit_event WHERE action = 'grant.close_late'`); got != "failed" {
		t.Errorf("recorded as %s", got)
	}
}
