package consenttest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	sandboxconn "tributary/connectors/sandbox"
	"tributary/internal/audit"
	"tributary/internal/extract"
	"tributary/internal/httpx"
	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/internal/secret"
	"tributary/jobs"
	"tributary/oauthflow"
	"tributary/oauthflow/client"
	"tributary/oauthflow/refresh"
	"tributary/oauthflow/vault"
	"tributary/store"
)

// instance is what a process has of grants and syncs, composed as the commands compose it.
type instance struct {
	store         *store.Store
	ring          *seal.Ring
	tokens        *oauthflow.TokenClient
	gate          oauthflow.Gate
	keeper        *refresh.Keeper
	registrations *oauthflow.Registrations
	flows         *oauthflow.Flows
	grants        *oauthflow.Grants
	runner        *jobs.Runner
	access        oauthflow.Tokens
	by            oauthflow.By
}

// parts say what an instance builds on.
type parts struct {
	url string // of the database
	dir string // of the master key, and of what the keeper spools
	// clock replaces the time; nil is the real one.
	clock  *simulated
	limits store.GateOptions
	timing refresh.Timing
	public string
	log    *slog.Logger
	jobs   func(*jobs.Config)
}

// quick lets the API be asked as fast as it answers.
func quick() store.GateOptions {
	return store.GateOptions{API: store.Rate{PerSecond: 10_000, Burst: 10_000}, Token: store.Rate{PerSecond: 100, Burst: 100}}
}

// open composes an instance. close ends it.
func open(ctx context.Context, p parts) (*instance, error) {
	in := &instance{}
	var err error
	if in.store, err = store.Open(ctx, store.Config{URL: p.url, Purpose: store.Worker, Log: p.log}); err != nil {
		return nil, err
	}
	if in.ring, err = vault.Open(ctx, vault.Config{Path: filepath.Join(p.dir, "keys", "master.json"), DataDir: filepath.Join(p.dir, "data"), Store: in.store}); err != nil {
		return nil, err
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.public == "" {
		p.public = "http://127.0.0.1:8080"
	}
	in.tokens = oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true})
	in.gate = in.store.Gate(p.limits)
	cfg := refresh.Config{
		Store: in.store.Credentials(), Vault: in.ring, Gate: in.gate, SpoolDir: filepath.Join(p.dir, "spool"),
		Sender: &refresh.TokenSender{Tokens: in.tokens, Client: in.client}, Timing: p.timing, Log: p.log,
	}
	if p.clock != nil {
		cfg.Clock, cfg.Wait = p.clock.elapsed, p.clock.wait
	}
	if in.keeper, err = refresh.New(cfg); err != nil {
		return nil, err
	}
	in.access = in.keeper
	refresher := jobs.Refresher(in.keeper)
	if p.clock != nil {
		held := paced{in.keeper, p.clock}
		in.access, refresher = held, held
	}
	in.registrations = oauthflow.NewRegistrations(oauthflow.RegistrationsConfig{Store: in.store, Vault: in.ring, Client: in.tokens, PublicURL: p.public, LoopbackHTTP: true})
	in.flows = oauthflow.NewFlows(oauthflow.FlowsConfig{Store: in.store, Vault: in.ring, Client: in.tokens, PublicURL: p.public})
	in.grants = oauthflow.NewGrants(oauthflow.GrantsConfig{Store: in.store, Vault: in.ring, Client: in.tokens, Tokens: in.access})
	if _, err := in.store.EnsureProfile(ctx, jobs.BuiltinProfile()); err != nil {
		return nil, err
	}
	work := jobs.Config{
		Store: in.store, Extractor: extract.New(extract.Config{}), Log: p.log,
		Connectors: map[string]connectors.Connector{sandboxconn.Source: sandboxconn.New(sandboxconn.Config{PageSize: 50})},
		Authorise:  in.authorise, Refresher: refresher, Tend: in.grants.Tend, Tick: time.Second, RefreshEvery: time.Second,
	}
	if p.jobs != nil {
		p.jobs(&work)
	}
	in.runner, err = jobs.New(work)
	return in, err
}

// close ends what is under way.
func (in *instance) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	err := errors.Join(in.runner.Stop(ctx), in.keeper.Close(ctx))
	in.store.Close()
	return err
}

// client opens the credentials of a registration.
func (in *instance) client(ctx context.Context, id uuid.UUID) (oauthflow.Client, error) {
	r, err := in.store.RegistrationByID(ctx, id)
	if err != nil || r == nil {
		return oauthflow.Client{}, fmt.Errorf("registration %s: %w", id, err)
	}
	sealed, gen, err := in.store.RegistrationSecret(ctx, id)
	if err != nil {
		return oauthflow.Client{}, err
	}
	creds, err := oauthflow.OpenCredentials(in.ring, oauthflow.RegistrationPlace(id, gen), sealed)
	return oauthflow.Client{Registration: r, Credentials: creds}, err
}

// authorise acts for the grant of a connection.
func (in *instance) authorise(ctx context.Context, conn store.Connection, _ connectors.Spec) (jobs.Authorised, error) {
	if conn.GrantID == nil {
		return jobs.Authorised{}, &connectors.Error{Op: "authorising requests", Class: connectors.GrantLost, Err: errors.New("there is no grant")}
	}
	grant, err := in.store.GrantByID(ctx, *conn.GrantID)
	if err != nil {
		return jobs.Authorised{}, err
	}
	r, err := in.store.RegistrationByID(ctx, grant.RegistrationID)
	if err != nil {
		return jobs.Authorised{}, err
	}
	allow, err := httpx.ParseAllowList(r.AllowHosts)
	if err != nil {
		return jobs.Authorised{}, err
	}
	base, err := url.Parse(r.BaseURL)
	if err != nil {
		return jobs.Authorised{}, err
	}
	h, err := client.New(client.Config{
		Grant: grant.ID, Tokens: in.access, Gate: in.gate, GateKey: "api:" + r.ID.String(), Hosts: []string{base.Host},
		Options: httpx.Options{Allow: allow, PlainLoopback: true},
	})
	return jobs.Authorised{HTTP: h, Base: r.BaseURL}, err
}

// rig is an instance with its database, a drive that it is registered at, and an owner.
type rig struct {
	*instance
	t     *testing.T
	db    *pgtest.DB
	drive *drive
	reg   *oauthflow.Registration
	parts parts
	// clientID and secret are the client's at the drive.
	clientID, secret string
}

// newRig opens an instance on db and registers it at the drive.
func newRig(t *testing.T, db *pgtest.DB, d *drive, p parts) *rig {
	t.Helper()
	p.url = db.URL
	if p.dir == "" {
		p.dir = t.TempDir()
	}
	in, err := open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := in.close(); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	r := &rig{instance: in, t: t, db: db, drive: d, parts: p}
	r.by = in.owner(t)
	r.register()
	return r
}

// owner makes an account with a session.
func (in *instance) owner(t *testing.T) oauthflow.By {
	t.Helper()
	actor := audit.Actor{Kind: audit.Account, Name: "owner", Authenticated: true}
	a, err := in.store.CreateAccount(t.Context(), actor, store.NewAccount{Name: "owner", Role: store.RoleOwner, Password: store.Password{Hash: "no password has it"}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := in.store.StartSession(t.Context(), store.NewSession{AccountID: a.ID, ProvenHash: "no password has it", Secret: secret.New("the session of the owner")})
	if err != nil {
		t.Fatal(err)
	}
	return oauthflow.By{Actor: actor, Account: a.ID, Session: s.ID, Owner: true}
}

// register makes a registration, and its client at the drive.
func (r *rig) register() {
	r.t.Helper()
	draft, err := r.registrations.Draft(r.t.Context(), r.by, oauthflow.Draft{
		Name: "drive", Provider: "sandbox", BaseURL: r.drive.url, AllowHosts: []string{strings.TrimPrefix(r.drive.url, "http://")},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	id, value, err := r.drive.Register(draft.RedirectURI)
	if err != nil {
		r.t.Fatal(err)
	}
	r.clientID, r.secret = id, value
	var checks []oauthflow.Check
	r.reg, checks, err = r.registrations.Save(r.t.Context(), r.by, oauthflow.SaveParams{
		ID: draft.ID, Digest: draft.Digest, ClientID: id, Credentials: oauthflow.Credentials{Secret: secret.New(value)},
	})
	if err != nil {
		r.t.Fatalf("%v: %+v", err, checks)
	}
}

// needed are the scopes of the connector.
func needed() []string { return []string{"account.read", "files.read", "groups.read"} }

// plan is a new connection.
func plan(name string) oauthflow.Plan {
	return oauthflow.Plan{Name: name, Source: sandboxconn.Source, Settings: map[string]string{}, Needed: needed()}
}

// consent goes through a whole consent of ann, who unticks scopes.
func (r *rig) consent(p oauthflow.StartParams, untick ...string) *oauthflow.Result {
	r.t.Helper()
	p.Registration, p.By = r.reg.ID, r.by
	started, err := r.flows.Start(r.t.Context(), p)
	if err != nil {
		r.t.Fatal(err)
	}
	back, err := r.drive.browser().Consent(started.AuthorizationURL, ann, untick...)
	if err != nil {
		r.t.Fatal(err)
	}
	res, err := r.flows.Callback(r.t.Context(), r.reg.ID.String(), back.RawQuery, r.by)
	if err != nil {
		r.t.Fatal(err)
	}
	return res
}

// connect makes the connection "files".
func (r *rig) connect(untick ...string) *oauthflow.Result {
	r.t.Helper()
	return r.consent(oauthflow.StartParams{Plan: plan("files")}, untick...)
}

// again grants the connection of a result again.
func (r *rig) again(res *oauthflow.Result, untick ...string) *oauthflow.Result {
	r.t.Helper()
	return r.consent(oauthflow.StartParams{Grant: res.Grant, Plan: oauthflow.Plan{Connection: res.Connection, Needed: needed()}}, untick...)
}

func (r *rig) connection() store.Connection {
	r.t.Helper()
	c, err := r.store.Connection(r.t.Context(), "files")
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// health is the state of a grant.
func (r *rig) health(grant uuid.UUID) oauthflow.Health {
	r.t.Helper()
	g, err := r.store.GrantByID(r.t.Context(), grant)
	if err != nil || g == nil {
		r.t.Fatalf("reading grant: %v", err)
	}
	return g.Health
}

// wantState fails unless the connection and the grant are in the states.
func (r *rig) wantState(grant uuid.UUID, health oauthflow.GrantState, state store.ConnectionState) {
	r.t.Helper()
	h, c := r.health(grant), r.connection()
	if h.State != health || c.State != state {
		r.t.Errorf("the grant is %s (%s %s), the connection %s (%s); want %s and %s", h.State, h.FailClass, h.FailNote, c.State, c.StateReason, health, state)
	}
}

// sync runs one lane to its end.
func (r *rig) sync(lane store.Lane) store.Run {
	r.t.Helper()
	run, _, err := r.runner.Request(r.t.Context(), r.connection(), lane, "test", false)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	if run, err = r.runner.RunHere(ctx, run.ID, nil); err != nil {
		r.t.Fatal(err)
	}
	return run
}

// must syncs a lane and fails unless it succeeds.
func (r *rig) must(lane store.Lane) store.Run {
	r.t.Helper()
	run := r.sync(lane)
	if run.State != store.RunSucceeded {
		r.t.Fatalf("the run of lane %s ended %s (%s: %s)", lane, run.State, run.ErrorClass, run.Error)
	}
	return run
}

// wantWhole fails unless every file of the drive is shown, and none failed on the way.
func (r *rig) wantWhole(files int) {
	r.t.Helper()
	c := r.connection()
	totals, err := r.store.Totals(r.t.Context(), c.ID)
	if err != nil {
		r.t.Fatal(err)
	}
	if totals.Documents-totals.Hidden != int64(files) || totals.Hidden != 0 || totals.Quarantined != 0 || totals.Skipped != 0 {
		r.t.Errorf("of %d files: %+v", files, totals)
	}
	if n := pgtest.Scalar[int64](r.t, r.db, `SELECT count(*) FROM document d JOIN revision v ON v.document_id = d.id AND v.number = d.revision
		WHERE v.text NOT LIKE '%What it says is number ' || ltrim(substring(d.external_id FROM 5), '0') || '.%' AND d.external_id <> 'itm-00000'`); n != 0 {
		r.t.Errorf("%d documents have the text of another", n)
	}
}

// outcomes fails unless every refresh of the grant ended well.
func (r *rig) outcomes() {
	r.t.Helper()
	if n := pgtest.Scalar[int64](r.t, r.db, `SELECT count(*) FROM refresh_attempt WHERE outcome IS DISTINCT FROM 'rotated'`); n != 0 {
		r.t.Errorf("%d refreshes did not end well: %s", n, pgtest.Scalar[string](r.t, r.db, `SELECT string_agg(DISTINCT coalesce(outcome, 'none'), ', ') FROM refresh_attempt`))
	}
}

// eventually waits until ok holds.
func eventually(t *testing.T, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("still not: %s", what)
		case <-tick.C:
		}
	}
}
