package interop

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.DiscardHandler)) // zitadel/oidc logs every refusal there
	os.Exit(pgtest.Main(m))
}

// instance is what a running program has of OAuth, on a database of its own, with an owner who is signed in.
type instance struct {
	db            *pgtest.DB
	store         *store.Store
	vault         *seal.Ring
	tokens        *oauthflow.TokenClient
	registrations *oauthflow.Registrations
	flows         *oauthflow.Flows
	keeper        *refresh.Keeper
	grants        *oauthflow.Grants
	by            oauthflow.By
}

const publicURL = "http://127.0.0.1:8080"

func newInstance(t *testing.T) *instance {
	t.Helper()
	in := &instance{db: pgtest.New(t), tokens: newTokenClient()}
	in.db.SetClock(t, time.Now())
	var err error
	if in.store, err = store.Open(t.Context(), store.Config{URL: in.db.URL}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(in.store.Close)
	if in.vault, err = seal.Create(filepath.Join(t.TempDir(), "keys", "master.json"), seal.Options{}); err != nil {
		t.Fatal(err)
	}
	in.registrations = oauthflow.NewRegistrations(oauthflow.RegistrationsConfig{
		Store: in.store, Vault: in.vault, Client: in.tokens, PublicURL: publicURL, LoopbackHTTP: true,
	})
	in.flows = oauthflow.NewFlows(oauthflow.FlowsConfig{Store: in.store, Vault: in.vault, Client: in.tokens, PublicURL: publicURL})
	in.keeper = in.newKeeper(t, refresh.Timing{})
	in.grants = oauthflow.NewGrants(oauthflow.GrantsConfig{Store: in.store, Vault: in.vault, Client: in.tokens, Tokens: in.keeper})
	in.by = in.signIn(t, "owner")
	return in
}

// signIn makes an owner with a session.
func (in *instance) signIn(t *testing.T, name string) oauthflow.By {
	t.Helper()
	actor := audit.Actor{Kind: audit.Account, Name: name, Authenticated: true}
	a, err := in.store.CreateAccount(t.Context(), actor, store.NewAccount{Name: name, Role: store.RoleOwner, Password: store.Password{Hash: "hash of " + name}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := in.store.StartSession(t.Context(), store.NewSession{AccountID: a.ID, ProvenHash: "hash of " + name, Secret: secret.New("session of " + name)})
	if err != nil {
		t.Fatal(err)
	}
	return oauthflow.By{Actor: actor, Account: a.ID, Session: s.ID, Owner: true}
}

// newKeeper is what one more process has.
func (in *instance) newKeeper(t *testing.T, timing refresh.Timing) *refresh.Keeper {
	t.Helper()
	k, err := refresh.New(refresh.Config{
		Store: in.store.Credentials(), Vault: in.vault, SpoolDir: filepath.Join(t.TempDir(), "spool"),
		Sender: &refresh.TokenSender{Tokens: in.tokens, Client: in.client}, Timing: timing,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := k.Close(ctx); err != nil {
			t.Errorf("closing: %v", err)
		}
	})
	return k
}

// client opens the credentials of a registration.
func (in *instance) client(ctx context.Context, id uuid.UUID) (oauthflow.Client, error) {
	r, err := in.store.RegistrationByID(ctx, id)
	if err != nil {
		return oauthflow.Client{}, err
	}
	ct, gen, err := in.store.RegistrationSecret(ctx, id)
	if err != nil {
		return oauthflow.Client{}, err
	}
	creds, err := oauthflow.OpenCredentials(in.vault, oauthflow.RegistrationPlace(id, gen), ct)
	return oauthflow.Client{Registration: r, Credentials: creds}, err
}

// draft begins a registration by the server's issuer alone.
func (in *instance) draft(t *testing.T, s *server, name string, grants ...oauthflow.GrantType) *oauthflow.Registration {
	t.Helper()
	r, err := in.registrations.Draft(t.Context(), in.by, oauthflow.Draft{Name: name, Issuer: s.issuer, Grants: grants, AllowHosts: hostOf(t, s)})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// save completes a registration with a client.
func (in *instance) save(t *testing.T, r *oauthflow.Registration, c client) (*oauthflow.Registration, []oauthflow.Check, error) {
	t.Helper()
	return in.registrations.Save(t.Context(), in.by, oauthflow.SaveParams{
		ID: r.ID, Digest: r.Digest, ClientID: c.ID, Credentials: oauthflow.Credentials{Secret: secret.New(c.Secret)},
	})
}

// add registers a client at the server and here, by the server's issuer alone.
func (in *instance) add(t *testing.T, s *server, name string) (*oauthflow.Registration, client) {
	t.Helper()
	r := in.draft(t, s, name)
	c := s.register(t, client{Redirect: r.RedirectURI})
	r, checks, err := in.save(t, r, c)
	if err != nil {
		t.Fatalf("%v: %+v", err, checks)
	}
	return r, c
}

// plan is a connection to make that needs the scopes.
func plan(name string, needed ...string) oauthflow.Plan {
	return oauthflow.Plan{Name: name, Source: "filesystem", Settings: map[string]string{"root": "/"}, Needed: needed}
}

// consent sends the browser through a consent and returns the query that it comes back with.
func (in *instance) consent(t *testing.T, b *browser, p oauthflow.StartParams) (r *oauthflow.Registration, query string) {
	t.Helper()
	p.By = in.by
	r, err := in.store.RegistrationByID(t.Context(), p.Registration)
	if err != nil {
		t.Fatal(err)
	}
	started, err := in.flows.Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r, b.visit(started.AuthorizationURL, r.RedirectURI).RawQuery
}

// connect is a whole consent.
func (in *instance) connect(t *testing.T, b *browser, p oauthflow.StartParams) (*oauthflow.Result, error) {
	t.Helper()
	r, query := in.consent(t, b, p)
	return in.flows.Callback(t.Context(), r.ID.String(), query, in.by)
}

func (in *instance) mustConnect(t *testing.T, b *browser, p oauthflow.StartParams) *oauthflow.Result {
	t.Helper()
	res, err := in.connect(t, b, p)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// pair opens the tokens that the instance holds.
func (in *instance) pair(t *testing.T, grant uuid.UUID) oauthflow.Pair {
	t.Helper()
	row, err := in.store.Credentials().Load(t.Context(), grant)
	if err != nil || row == nil {
		t.Fatalf("reading grant: %v", err)
	}
	p, err := oauthflow.OpenPair(in.vault, oauthflow.PairPlace(grant, row.Epoch, row.Gen, oauthflow.FieldTokens), row.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// state returns the state of a grant, and of a connection of it with its reason.
func (in *instance) state(t *testing.T, grant, connection uuid.UUID) (oauthflow.Health, store.ConnectionState, string) {
	t.Helper()
	g, err := in.store.GrantByID(t.Context(), grant)
	if err != nil || g == nil {
		t.Fatalf("reading grant: %v", err)
	}
	c, err := in.store.Connection(t.Context(), connection.String())
	if err != nil {
		t.Fatal(err)
	}
	return g.Health, c.State, c.StateReason
}

// find returns the first table of the database that holds a text.
func (in *instance) find(t *testing.T, text string) string {
	t.Helper()
	tables := pgtest.Scalar[[]string](t, in.db, `SELECT array_agg(relname::text) FROM pg_class WHERE relkind = 'r' AND relnamespace = 'tributary'::regnamespace`)
	for _, table := range tables {
		if pgtest.Scalar[bool](t, in.db, `SELECT EXISTS (SELECT FROM tributary."`+table+`" x WHERE strpos(x::text, $1) > 0 OR strpos(x::text, encode(convert_to($1, 'UTF8'), 'hex')) > 0)`, text) {
			return table
		}
	}
	return ""
}
