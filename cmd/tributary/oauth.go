package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"tributary/connectors"
	"tributary/internal/httpx"
	"tributary/internal/seal"
	"tributary/internal/settings"
	"tributary/jobs"
	"tributary/oauthflow"
	"tributary/oauthflow/client"
	"tributary/oauthflow/refresh"
	"tributary/oauthflow/vault"
	"tributary/store"
)

// spoolName is the directory, in the data directory, of token pairs that the
// database could not take.
const spoolName = "spool"

// consent is what a process has to do with registrations, grants and tokens.
type consent struct {
	store         *store.Store
	gate          oauthflow.Gate
	keeper        *refresh.Keeper
	opened        *vault.Counter
	keyed         bool // the master key is there
	noRing        error
	log           *slog.Logger
	registrations *oauthflow.Registrations
	flows         *oauthflow.Flows
	grants        *oauthflow.Grants
}

// consentConfig says what newConsent builds on.
type consentConfig struct {
	settings settings.Settings
	// store serves the tokens, pages what people do; nil pages is store.
	store, pages *store.Store
	// ring opens what is sealed; where it is nil, noRing says why.
	ring   *seal.Ring
	noRing error
	public string
	// returns reports whether a path is a page that a consent may return to.
	returns func(path string) bool
	log     *slog.Logger
}

// newConsent returns the parts, none of which has done anything yet. close ends
// them.
func newConsent(c consentConfig) (*consent, error) {
	var opened oauthflow.Vault = closedVault{c.noRing}
	if c.ring != nil {
		opened = c.ring
	}
	sealed := vault.NewCounter(opened)
	// Plain http reaches only loopback addresses that an owner opened for a
	// registration: the sandbox.
	tokens := oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true})
	gate := c.store.Gate(store.GateOptions{})
	pages := c.pages
	if pages == nil {
		pages = c.store
	}
	keeper, err := refresh.New(refresh.Config{
		Store: c.store.Credentials(), Vault: sealed, VaultErr: c.noRing, Gate: gate, SpoolDir: filepath.Join(c.settings.DataDir, spoolName),
		Sender: &refresh.TokenSender{Tokens: tokens, Client: func(ctx context.Context, id uuid.UUID) (oauthflow.Client, error) {
			return openClient(ctx, c.store, sealed, id)
		}},
		OnUncertainReauth: c.settings.ReauthUncertain, Log: c.log,
	})
	if err != nil {
		return nil, err
	}
	return &consent{
		store: c.store, gate: gate, keeper: keeper, opened: sealed, keyed: c.ring != nil, noRing: c.noRing, log: c.log,
		registrations: oauthflow.NewRegistrations(oauthflow.RegistrationsConfig{Store: pages, Vault: sealed, Client: tokens, PublicURL: c.public, LoopbackHTTP: true}),
		flows:         oauthflow.NewFlows(oauthflow.FlowsConfig{Store: pages, Vault: sealed, Client: tokens, Gate: gate, PublicURL: c.public, Returns: c.returns}),
		grants:        oauthflow.NewGrants(oauthflow.GrantsConfig{Store: pages, Vault: sealed, Client: tokens, Tokens: keeper}),
	}, nil
}

// keyProblem says what is wrong with the master key, "" for nothing.
func (c *consent) keyProblem() string {
	if c.noRing == nil {
		return ""
	}
	return c.noRing.Error()
}

// openConsent returns the parts for a command that ends soon.
func openConsent(ctx context.Context, s settings.Settings, st *store.Store, log *slog.Logger) (*consent, error) {
	ring, why, err := openVault(ctx, s, st, log)
	if err != nil {
		return nil, err
	}
	return newConsent(consentConfig{settings: s, store: st, ring: ring, noRing: why, public: s.PublicURL.String(), log: log})
}

// closedVault stands for a master key that cannot be used.
type closedVault struct{ why error }

func (v closedVault) Seal(seal.Context, []byte) ([]byte, error)   { return nil, v.why }
func (v closedVault) Unseal(seal.Context, []byte) ([]byte, error) { return nil, v.why }

// openClient returns a registration with its credentials.
func openClient(ctx context.Context, st *store.Store, v oauthflow.Vault, id uuid.UUID) (oauthflow.Client, error) {
	r, err := st.RegistrationByID(ctx, id)
	if err != nil {
		return oauthflow.Client{}, err
	}
	if r == nil {
		return oauthflow.Client{}, fmt.Errorf("client registration %s: %w", id, store.ErrNotFound)
	}
	sealed, gen, err := st.RegistrationSecret(ctx, id)
	if err != nil {
		return oauthflow.Client{}, err
	}
	if gen != r.CredentialGen { // SECURITY: a secret goes with the endpoints that it was saved for
		return oauthflow.Client{}, oauthflow.ErrRegistrationChanged
	}
	credentials, err := oauthflow.OpenCredentials(v, oauthflow.RegistrationPlace(id, gen), sealed)
	if err != nil {
		return oauthflow.Client{}, fmt.Errorf("opening the credentials of registration %s: %w", r.Name, err)
	}
	return oauthflow.Client{Registration: r, Credentials: credentials}, nil
}

var errNoGrant = errors.New("no account has consented to this connection: connect it in the web pages, or by tributary connect")

// authorise acts for the grant of a connection (jobs.Config.Authorise).
func (c *consent) authorise(ctx context.Context, conn store.Connection, spec connectors.Spec) (jobs.Authorised, error) {
	fail := func(class connectors.Class, err error) (jobs.Authorised, error) {
		return jobs.Authorised{}, &connectors.Error{Op: "authorising requests", Class: class, Err: err}
	}
	if conn.GrantID == nil {
		return fail(connectors.GrantLost, errNoGrant)
	}
	grant, err := c.store.GrantByID(ctx, *conn.GrantID)
	if err != nil {
		return fail(connectors.Transient, err)
	}
	if grant == nil {
		return fail(connectors.GrantLost, errNoGrant)
	}
	r, err := c.store.RegistrationByID(ctx, grant.RegistrationID)
	if err != nil {
		return fail(connectors.Transient, err)
	}
	allow, err := httpx.ParseAllowList(r.AllowHosts)
	if err != nil {
		return fail(connectors.Invalid, err)
	}
	h, err := client.New(client.Config{
		Grant: grant.ID, Tokens: c.keeper, Gate: c.gate, GateKey: "api:" + r.ID.String(), Hosts: tokenHosts(spec, r, grant),
		Options: httpx.Options{Allow: allow, PlainLoopback: true},
		Retry:   httpx.Retry{Headers: httpx.HeadersOf(spec.Pace)}, Reasons: spec.Pace.Reasons,
	})
	return jobs.Authorised{HTTP: h, Base: r.BaseURL, Grant: actingFor(grant, r)}, err
}

// actingFor is what a connector is told of a grant.
func actingFor(g *oauthflow.Grant, r *oauthflow.Registration) connectors.Grant {
	a := connectors.Grant{Provider: r.Profile.Name, Kind: string(g.Kind), Subject: g.Subject, Account: g.Account}
	if g.ScopesStated {
		a.Scopes = g.Scopes
	}
	return a
}

// tokenHosts returns the hosts that may see the token of a grant. SECURITY: where
// people host the source themselves, the token is nothing for the hosts of the
// vendor's own service.
func tokenHosts(spec connectors.Spec, r *oauthflow.Registration, g *oauthflow.Grant) []string {
	hosted := func(h string) bool { return strings.Contains(h, "{base}") }
	own := r.BaseURL != "" && slices.ContainsFunc(spec.Hosts, hosted)
	var hosts []string
	for _, h := range spec.Hosts {
		if own && !hosted(h) {
			continue
		}
		if hosted(h) {
			u, err := url.Parse(r.BaseURL)
			if err != nil || u.Host == "" {
				continue
			}
			h = u.Host
		}
		hosts = append(hosts, h)
	}
	for _, h := range g.Params.Hosts {
		hosts = append(hosts, h)
	}
	return hosts
}

// run keeps the grants of this instance until ctx ends. A process without the
// master key keeps none: it would pass for one that holds tokens.
func (c *consent) run(ctx context.Context) error {
	if !c.keyed {
		return nil
	}
	group, inner := errgroup.WithContext(ctx)
	group.Go(func() error {
		c.opened.Run(inner, c.store, c.log)
		return nil
	})
	group.Go(func() error { return c.keeper.Run(inner) })
	return group.Wait()
}

// refresher returns what refreshes ahead of time; nil without the master key.
func (c *consent) refresher() jobs.Refresher {
	if !c.keyed {
		return nil
	}
	return c.keeper
}

// close ends what is under way.
func (c *consent) close(ctx context.Context) error { return c.keeper.Close(ctx) }
