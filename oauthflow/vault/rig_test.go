package vault_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/vault"
	"tributary/store"
)

const childVar = "TEST_VAULT_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childVar) != "" {
		os.Exit(rotateAsChild())
	}
	os.Exit(pgtest.Main(m))
}

// rotateAsChild rotates in a process of its own, which its parent kills, and prints a line for every batch.
func rotateAsChild() int {
	ctx := context.Background()
	st, err := store.Open(ctx, store.Config{URL: os.Getenv("TEST_VAULT_URL")})
	if err != nil {
		fmt.Fprintln(os.Stdout, "error:", err)
		return 1
	}
	defer st.Close()
	ring, err := vault.Open(ctx, vault.Config{Path: os.Getenv("TEST_VAULT_KEY"), Store: st})
	if err != nil {
		fmt.Fprintln(os.Stdout, "error:", err)
		return 1
	}
	r, err := vault.Rotate(ctx, ring, st, func(p vault.Progress) { fmt.Fprintln(os.Stdout, "progress", p.Resealed, p.Total) })
	if err != nil || len(r.Unreadable) > 0 {
		fmt.Fprintln(os.Stdout, "error:", err, r.Unreadable)
		return 1
	}
	fmt.Fprintln(os.Stdout, "done", r.Key, r.Resumed)
	return 0
}

// rig is an instance with a database and a key file.
type rig struct {
	t    *testing.T
	db   *pgtest.DB
	st   *store.Store
	path string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, db: pgtest.New(t), path: filepath.Join(t.TempDir(), "keys", "master.key")}
	var err error
	if r.st, err = store.Open(t.Context(), store.Config{URL: r.db.URL, MaxConns: 10}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.st.Close)
	return r
}

func (r *rig) config() vault.Config { return vault.Config{Path: r.path, Store: r.st} }

func (r *rig) open() *seal.Ring {
	r.t.Helper()
	ring, err := vault.Open(r.t.Context(), r.config())
	if err != nil {
		r.t.Fatal(err)
	}
	return ring
}

// later opens the ring at a time when demoted keys may be retired.
func (r *rig) later() *seal.Ring {
	r.t.Helper()
	c := r.config()
	c.Now = func() time.Time { return time.Now().Add(2 * seal.RetireAfter) }
	ring, err := vault.Open(r.t.Context(), c)
	if err != nil {
		r.t.Fatal(err)
	}
	return ring
}

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// world is one sealed value of every kind, and grants besides.
type world struct {
	registration uuid.UUID
	grants       []uuid.UUID
	attempt      uuid.UUID
	state        []byte
}

const access = "access-token-of-"

func pair(grant uuid.UUID, gen int64) oauthflow.Pair {
	return oauthflow.Pair{Access: secret.New(fmt.Sprint(access, grant, "/", gen)), Refresh: secret.New("r"), Type: "bearer"}
}

func (r *rig) fill(ring *seal.Ring, grants int) world {
	r.t.Helper()
	t := r.t
	w := world{registration: uuid.New(), attempt: uuid.New(), state: []byte("state hash of thirty-two bytes!!")}
	creds := must(oauthflow.SealCredentials(ring, oauthflow.RegistrationPlace(w.registration, 3), oauthflow.Credentials{Secret: secret.New("client")}))(t)
	r.db.MustExec(t, `
		INSERT INTO client_registration (id, name, provider, profile, endpoints_digest, redirect_uri, credential_gen, credential_ct, credential_kinds, state)
		VALUES ($1, 'reg', 'sandbox', '{}', 'd', 'http://x/', 3, $2, '{secret}', 'active')`, w.registration, creds)
	for i := range grants {
		id := uuid.New()
		w.grants = append(w.grants, id)
		ct := must(oauthflow.SealPair(ring, oauthflow.PairPlace(id, 1, 0, oauthflow.FieldTokens), pair(id, 0)))(t)
		r.db.MustExec(t, `INSERT INTO oauth_grant (id, registration_id, kind) VALUES ($1, $2, 'authorization_code')`, id, w.registration)
		r.db.MustExec(t, `INSERT INTO credential (grant_id, epoch, gen, secret_ct) VALUES ($1, 1, 0, $2)`, id, ct)
		if i > 0 {
			continue
		}
		spare := must(oauthflow.SealPair(ring, oauthflow.PairPlace(id, 1, 5, oauthflow.FieldSpare), pair(id, 6)))(t)
		r.db.MustExec(t, `INSERT INTO credential_spare (attempt_id, grant_id, epoch, base_gen, secret_ct, rt_hmac) VALUES ($1, $2, 1, 5, $3, '\x00')`, w.attempt, id, spare)
	}
	account, session := uuid.New(), uuid.New()
	r.db.MustExec(t, `INSERT INTO account (id, name, role) VALUES ($1, 'ada', 'owner')`, account)
	r.db.MustExec(t, `INSERT INTO web_session (id, account_id, secret_hash, expires_at) VALUES ($1, $2, '\x01', clock() + interval '1 hour')`, session, account)
	verifier := must(ring.Seal(oauthflow.VerifierPlace(w.state), []byte("verifier")))(t)
	r.db.MustExec(t, `
		INSERT INTO oauth_flow (state_hash, registration_id, endpoints_digest, issuer, redirect_uri, account_id, session_id, verifier_ct, expires_at)
		VALUES ($1, $2, 'd', '', 'http://x/', $3, $4, $5, clock() + interval '10 minutes')`, w.state, w.registration, account, session, verifier)
	return w
}

// connect makes a connection of the grant in a state.
func (r *rig) connect(grant uuid.UUID, name, state string, needed []string) uuid.UUID {
	r.t.Helper()
	id := uuid.New()
	r.db.MustExec(r.t, `INSERT INTO connection (id, name, source, state, grant_id, needed_scopes) VALUES ($1, $2, 'sandbox', $3, $4, $5)`, id, name, state, grant, needed)
	return id
}

func (r *rig) state(connection uuid.UUID) string {
	r.t.Helper()
	return pgtest.Scalar[string](r.t, r.db, `SELECT state FROM connection WHERE id = $1`, connection)
}

// fingerprint is every sealed byte of the database.
func (r *rig) fingerprint() string {
	r.t.Helper()
	return pgtest.Scalar[string](r.t, r.db, `
		SELECT md5(coalesce(string_agg(ct, '' ORDER BY ct), '')) FROM (
			SELECT credential_ct::text AS ct FROM client_registration UNION ALL SELECT secret_ct::text FROM credential
			UNION ALL SELECT secret_ct::text FROM credential_spare UNION ALL SELECT verifier_ct::text FROM oauth_flow
			UNION ALL SELECT value::text FROM seal_check) s`)
}

// opens proves that every value of w opens for its own place.
func (r *rig) opens(ring *seal.Ring, w world) {
	r.t.Helper()
	t := r.t
	ct := pgtest.Scalar[[]byte](t, r.db, `SELECT credential_ct FROM client_registration`)
	if c := must(oauthflow.OpenCredentials(ring, oauthflow.RegistrationPlace(w.registration, 3), ct))(t); c.Secret.Reveal() != "client" {
		t.Error("the client's secret is another")
	}
	for _, g := range w.grants {
		gen := pgtest.Scalar[int64](t, r.db, `SELECT gen FROM credential WHERE grant_id = $1`, g)
		ct := pgtest.Scalar[[]byte](t, r.db, `SELECT secret_ct FROM credential WHERE grant_id = $1`, g)
		if p := must(oauthflow.OpenPair(ring, oauthflow.PairPlace(g, 1, gen, oauthflow.FieldTokens), ct))(t); !p.Access.Equal(pair(g, gen).Access) {
			t.Error("the tokens are others")
		}
	}
	ct = pgtest.Scalar[[]byte](t, r.db, `SELECT secret_ct FROM credential_spare`)
	must(oauthflow.OpenPair(ring, oauthflow.PairPlace(w.grants[0], 1, 5, oauthflow.FieldSpare), ct))(t)
	ct = pgtest.Scalar[[]byte](t, r.db, `SELECT verifier_ct FROM oauth_flow`)
	must(ring.Unseal(oauthflow.VerifierPlace(w.state), ct))(t)
}
