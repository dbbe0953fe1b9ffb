package oauthflow_test

import (
	"context"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const publicURL = "http://127.0.0.1:8080"

// rig is an instance with one provider and one signed-in owner.
type rig struct {
	db     *pgtest.DB
	store  *store.Store
	ring   *seal.Ring
	client *oauthflow.TokenClient
	flows  *oauthflow.Flows
	regs   *oauthflow.Registrations
	grants *oauthflow.Grants
	server *oauthtest.Server
	reg    *oauthflow.Registration
	by     oauthflow.By
}

// newRig makes an instance whose registration is at a server with the behaviour. shipped and edit are of
// oauthtest.Server.Profile.
func newRig(t *testing.T, b oauthtest.Behaviour, shipped string, edit func(map[string]any)) *rig {
	t.Helper()
	db, st := emptyDatabase(t)
	ring, err := seal.Create(filepath.Join(t.TempDir(), "key"), seal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{db: db, store: st, ring: ring, client: oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true})}
	r.flows = oauthflow.NewFlows(oauthflow.FlowsConfig{
		Store: st, Vault: ring, Client: r.client, PublicURL: publicURL,
		Returns: func(path string) bool { return path == "/grants" || path == "/connections/a" },
	})
	r.regs = oauthflow.NewRegistrations(oauthflow.RegistrationsConfig{Store: st, Vault: ring, Client: r.client, PublicURL: publicURL, LoopbackHTTP: true})
	r.grants = oauthflow.NewGrants(oauthflow.GrantsConfig{Store: st, Vault: ring, Client: r.client})
	r.by = r.signIn(t, "owner")
	r.server = oauthtest.New(t, b)
	r.reg = r.register(t, "reg", r.server, shipped, edit)
	return r
}

// emptyDatabase returns a database that no other test uses at the time. One that a test has done with is emptied for the
// next: that takes a tenth of the time of making one.
func emptyDatabase(t *testing.T) (*pgtest.DB, *store.Store) {
	t.Helper()
	var u usedDatabase
	select {
	case u = <-done:
		u.empty(t)
	default:
		u.db = pgtest.New(lasting{t})
		u.clock = pgtest.Scalar[string](t, u.db, `SELECT pg_get_functiondef('tributary.clock()'::regprocedure)`)
		st, err := store.Open(context.Background(), store.Config{URL: u.db.URL})
		if err != nil {
			t.Fatal(err)
		}
		u.store = st
	}
	t.Cleanup(func() {
		if !t.Failed() {
			done <- u
		}
	})
	return u.db, u.store
}

// usedDatabase is a database of a test that is over, as that left it.
type usedDatabase struct {
	db    *pgtest.DB
	store *store.Store
	clock string // its own definition of clock()
}

// done are databases that wait for another test; there is room for more than tests run at a time.
var done = make(chan usedDatabase, 64)

func (u usedDatabase) empty(t *testing.T) {
	t.Helper()
	u.db.MustExec(t, `ALTER TABLE audit_event DISABLE TRIGGER USER; DELETE FROM audit_event; ALTER TABLE audit_event ENABLE TRIGGER USER`)
	for _, table := range []string{"outbound_limit", "schedule", "sync_run", "connection", "connect_ticket", "oauth_flow", "oauth_grant", "client_registration", "account"} {
		u.db.MustExec(t, `DELETE FROM `+table)
	}
	u.db.MustExec(t, u.clock+`; DROP TABLE IF EXISTS test_clock`)
}

// lasting is a test whose database is there for the tests after it; the end of the server is the database's.
type lasting struct{ testing.TB }

// Cleanup does nothing.
func (lasting) Cleanup(func()) {}

// signIn makes an owner with a session.
func (r *rig) signIn(t *testing.T, name string) oauthflow.By {
	t.Helper()
	account := pgtest.Scalar[uuid.UUID](t, r.db, `INSERT INTO account (name, role) VALUES ($1, 'owner') RETURNING id`, name)
	return oauthflow.By{
		Actor: audit.Actor{Kind: audit.Account, Name: name, Authenticated: true}, Account: account, Session: r.session(t, account), Owner: true,
	}
}

func (r *rig) session(t *testing.T, account uuid.UUID) uuid.UUID {
	t.Helper()
	id := uuid.New()
	r.db.MustExec(t, `INSERT INTO web_session (id, account_id, secret_hash, expires_at) VALUES ($1, $2, $3, clock() + interval '1 day')`, id, account, id[:])
	return id
}

func (r *rig) draft(s *oauthtest.Server, name string, document []byte) oauthflow.Draft {
	return oauthflow.Draft{Name: name, Document: document, AllowHosts: []string{s.Host()}}
}

func (r *rig) register(t *testing.T, name string, s *oauthtest.Server, shipped string, edit func(map[string]any)) *oauthflow.Registration {
	t.Helper()
	draft, err := r.regs.Draft(t.Context(), r.by, r.draft(s, name, s.Profile(t, shipped, edit)))
	if err != nil {
		t.Fatal(err)
	}
	saved, _, err := r.regs.Save(t.Context(), r.by, oauthflow.SaveParams{
		ID: draft.ID, Digest: draft.Digest, ClientID: s.ClientID, Credentials: oauthflow.Credentials{Secret: secret.New(s.ClientSecret)}, Force: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	return saved
}

func plan(name string, needed ...string) oauthflow.Plan {
	return oauthflow.Plan{Name: name, Source: "fake", Needed: needed}
}

// start begins a consent and returns where the provider sends the browser back to.
func (r *rig) start(t *testing.T, p oauthflow.Plan) *url.URL {
	t.Helper()
	return r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Plan: p})
}

func (r *rig) startWith(t *testing.T, p oauthflow.StartParams) *url.URL {
	t.Helper()
	started, err := r.flows.Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r.server.Browser(started.AuthorizationURL)
}

// back takes the browser to the callback.
func (r *rig) back(t *testing.T, to *url.URL) (*oauthflow.Result, error) {
	t.Helper()
	return r.flows.Callback(t.Context(), filepath.Base(to.Path), to.RawQuery, r.by)
}

// connect makes a connection by consent.
func (r *rig) connect(t *testing.T, p oauthflow.Plan) *oauthflow.Result {
	t.Helper()
	res, err := r.back(t, r.start(t, p))
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// pair opens the stored pair of a grant.
func (r *rig) pair(t *testing.T, grant uuid.UUID) oauthflow.Pair {
	t.Helper()
	epoch := pgtest.Scalar[int](t, r.db, `SELECT epoch FROM credential WHERE grant_id = $1`, grant)
	gen := pgtest.Scalar[int64](t, r.db, `SELECT gen FROM credential WHERE grant_id = $1`, grant)
	ct := pgtest.Scalar[[]byte](t, r.db, `SELECT secret_ct FROM credential WHERE grant_id = $1`, grant)
	p, err := oauthflow.OpenPair(r.ring, oauthflow.PairPlace(grant, epoch, gen, oauthflow.FieldTokens), ct)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// state returns the state of a connection.
func (r *rig) state(t *testing.T, name string) string {
	t.Helper()
	return pgtest.Scalar[string](t, r.db, `SELECT state FROM connection WHERE name = $1`, name)
}

// audited returns how many events of an action there are.
func (r *rig) audited(t *testing.T, action string) int {
	t.Helper()
	return pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM audit_event WHERE action = $1`, action)
}

// flowRefused wants a *FlowError of the code.
func flowRefused(t *testing.T, err error, code oauthflow.FlowCode) *oauthflow.FlowError {
	t.Helper()
	e, ok := errors.AsType[*oauthflow.FlowError](err)
	if !ok || e.Code != code {
		t.Fatalf("got %v, want a refusal with code %s", err, code)
	}
	if e.Title == "" || e.Remedy == "" || e.Status == 0 {
		t.Errorf("%s says not what to do: %+v", code, e)
	}
	return e
}

// with returns a copy of a callback's address with its query changed.
func with(to *url.URL, change func(url.Values)) *url.URL {
	q := to.Query()
	change(q)
	c := *to
	c.RawQuery = q.Encode()
	return &c
}
