package oauthflow

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/oauth2"

	"tributary/internal/audit"
	"tributary/internal/secret"
)

// FlowLife is how long a consent may take (OA-5).
const FlowLife = 10 * time.Minute

// By is who acts: an account in a session, or the command line.
type By struct {
	Actor   audit.Actor
	Account uuid.UUID // the zero value on the command line
	Session uuid.UUID
	Owner   bool
}

// Plan is what a consent is for: a connection to make, or one that exists.
type Plan struct {
	// Connection is the one that gets the grant; the zero value makes one from the fields below.
	Connection uuid.UUID         `json:"connection,omitzero"`
	Name       string            `json:"name,omitempty"`
	Source     string            `json:"source,omitempty"`
	Settings   map[string]string `json:"settings,omitempty"`
	Include    []string          `json:"include,omitempty"`
	Exclude    []string          `json:"exclude,omitempty"`
	// Every is how often the content is synced; 0 is the default.
	Every time.Duration `json:"every,omitempty"`
	// Needed are the scopes without which the connection is degraded; nil is what it needed before, an empty list none.
	Needed []string `json:"needed,omitzero"`
	// OtherAccount says that the admin confirmed the change to another account of the provider.
	OtherAccount bool   `json:"other_account,omitempty"`
	Resource     string `json:"resource,omitempty"`
	// SetUp makes the connection paused: somebody looks at what a sync would do, and starts the first one.
	SetUp bool `json:"set_up,omitempty"`
}

// StartParams start a consent.
type StartParams struct {
	Registration uuid.UUID
	By           By
	Plan         Plan
	// Grant is renewed; the zero value asks for a new one.
	Grant uuid.UUID
	// Scopes are asked for besides Plan.Needed and those that the provider always needs.
	Scopes []string
	// ReturnTo is a page of ours; what is none becomes the default.
	ReturnTo string
}

// Started is a consent that is under way.
type Started struct {
	AuthorizationURL string
	Host             string // where the link goes, to show
	Scopes           []string
	ExpiresAt        time.Time
}

// FlowRow is a consent as it is stored. StateHash is its key.
type FlowRow struct {
	StateHash      []byte
	RegistrationID uuid.UUID
	Digest         string
	Issuer         string
	RedirectURI    string
	Account        uuid.UUID
	Session        uuid.UUID
	Grant          *uuid.UUID
	GrantEpoch     *int
	Plan           Plan
	Scopes         []string
	VerifierCT     []byte
	ReturnTo       string
	ExpiresAt      time.Time
	TakenAt        time.Time // by the database's clock
	Expired        bool      // when it was taken
}

// FlowStore keeps consents that are under way, and what comes of them.
type FlowStore interface {
	// CreateFlow stores a consent, to expire after life, together with the event, and returns when it expires.
	CreateFlow(ctx context.Context, f FlowRow, life time.Duration, e audit.Event) (time.Time, error)
	// TakeFlow deletes the consent of a state and returns it; of any number of callers at most one gets it. nil is none.
	TakeFlow(ctx context.Context, stateHash []byte) (*FlowRow, error)
	// RegistrationByID returns a registration; nil is none.
	RegistrationByID(ctx context.Context, id uuid.UUID) (*Registration, error)
	// RegistrationSecret returns the sealed credentials and the generation they are sealed for.
	RegistrationSecret(ctx context.Context, id uuid.UUID) (ciphertext []byte, gen int64, err error)
	// GrantByID returns a grant; nil is none.
	GrantByID(ctx context.Context, id uuid.UUID) (*Grant, error)
	// GrantConnections returns the connections that use a grant.
	GrantConnections(ctx context.Context, grant uuid.UUID) ([]GrantConnection, error)
	// CheckPlan says what stops a plan: a *PlanError, as SaveConsent would. It returns the scopes that the plan's connection
	// needs, where it exists.
	CheckPlan(ctx context.Context, p Plan) (needed []string, err error)
	// SaveConsent stores a grant with its first pair and what the plan says, in one transaction.
	SaveConsent(ctx context.Context, c Consent) (ConsentResult, error)
	// BeginDiscarding reports whether a live grant of the registration belongs to the account of the provider. Where none
	// does, no consent of the account that began before EndDiscarding, or else before life is over, is stored any more.
	BeginDiscarding(ctx context.Context, registration uuid.UUID, subject string, life time.Duration) (id uuid.UUID, shared bool, err error)
	// EndDiscarding ends what BeginDiscarding began.
	EndDiscarding(ctx context.Context, id uuid.UUID) error
	Record(ctx context.Context, e audit.Event) error

	TicketStore
}

// PlanError says why a connection cannot be made as planned.
type PlanError struct{ Field, Problem string }

// Error returns "field: problem".
func (e *PlanError) Error() string { return e.Field + ": " + e.Problem }

// Flows starts consents and finishes them. It is safe for concurrent use.
type Flows struct {
	store     FlowStore
	vault     Vault
	client    *TokenClient
	gate      Gate
	publicURL string
	returns   func(path string) bool
}

// FlowsConfig is what Flows need.
type FlowsConfig struct {
	Store     FlowStore
	Vault     Vault
	Client    *TokenClient
	Gate      Gate   // of the token endpoints; nil bounds nothing
	PublicURL string // without a slash at its end
	// Returns reports whether a path is a page that a consent may return to; nil knows none but the default.
	Returns func(path string) bool
}

// NewFlows returns Flows.
func NewFlows(cfg FlowsConfig) *Flows {
	return &Flows{store: cfg.Store, vault: cfg.Vault, client: cfg.Client, gate: cfg.Gate, publicURL: strings.TrimRight(cfg.PublicURL, "/"), returns: cfg.Returns}
}

// Start begins a consent and returns the link to the provider. The error is a *FlowError, or one of the store.
func (f *Flows) Start(ctx context.Context, p StartParams) (Started, error) {
	r, grant, err := f.prepare(ctx, &p)
	if err != nil {
		return Started{}, err
	}
	if grant != nil { // a renewal keeps what the other connections of the grant need
		conns, err := f.store.GrantConnections(ctx, grant.ID)
		if err != nil {
			return Started{}, err
		}
		for _, c := range conns {
			p.Scopes = slices.Concat(p.Scopes, c.Needed)
		}
	}
	scopes := askedScopes(r.Profile, p)
	state := randomSecret()
	row := FlowRow{
		StateHash: hashOf(state), RegistrationID: r.ID, Digest: r.Digest, Issuer: r.Profile.Issuer, RedirectURI: r.RedirectURI,
		Account: p.By.Account, Session: p.By.Session, Plan: p.Plan, Scopes: scopes, ReturnTo: f.safeReturn(p.ReturnTo),
	}
	if grant != nil {
		row.Grant, row.GrantEpoch = &grant.ID, &grant.Health.Epoch
	}
	verifier := oauth2.GenerateVerifier() // RFC 7636 §4.1: 32 random octets
	if row.VerifierCT, err = f.vault.Seal(VerifierPlace(row.StateHash), []byte(verifier)); err != nil {
		return Started{}, fmt.Errorf("sealing consent: %w", err)
	}
	expires, err := f.store.CreateFlow(ctx, row, FlowLife, audit.Event{
		Actor: p.By.Actor, Action: "oauth.start", Target: audit.Target{Kind: "registration", ID: r.ID.String()}, Outcome: audit.OK,
		Detail: map[string]string{"scopes": strings.Join(scopes, " "), "source": p.Plan.Source, "connection": p.Plan.Name},
	})
	if err != nil {
		return Started{}, fmt.Errorf("storing consent: %w", err)
	}
	address := authorizationURL(r, state, verifier, scopes, p.Plan.Resource)
	return Started{AuthorizationURL: address, Host: hostOf(address), Scopes: scopes, ExpiresAt: expires}, nil
}

// prepare refuses what could not end well, and completes the plan with what its connection needs.
func (f *Flows) prepare(ctx context.Context, p *StartParams) (*Registration, *Grant, error) {
	r, err := f.store.RegistrationByID(ctx, p.Registration)
	switch {
	case err != nil:
		return nil, nil, err
	case r == nil:
		return nil, nil, flowError(FlowNoRegistration)
	case r.State == RegistrationDraft || r.ClientID == "" || r.Digest != r.Profile.Digest():
		return nil, nil, flowError(FlowIncomplete)
	case r.RedirectURI != callbackURL(f.publicURL, r.ID):
		return nil, nil, flowError(FlowMoved)
	case !oneOf(GrantCode, r.Profile.Grants...):
		return nil, nil, flowError(FlowNoConsent)
	}
	needed, err := f.store.CheckPlan(ctx, p.Plan)
	if err != nil {
		return nil, nil, planRefused(err)
	}
	if p.Plan.Needed == nil {
		p.Plan.Needed = needed
	}
	if p.Grant == uuid.Nil {
		return r, nil, nil
	}
	g, err := f.store.GrantByID(ctx, p.Grant)
	switch {
	case err != nil:
		return nil, nil, err
	case g == nil || g.RegistrationID != r.ID || g.ClosedAt != nil || g.Health.State == GrantClosing:
		return r, nil, nil // it is over: this consent makes another
	case p.Plan.Resource == "":
		p.Plan.Resource = g.Params.Resource
	case p.Plan.Resource != g.Params.Resource: // its tokens are for one resource only (RFC 8707 §2)
		return r, nil, nil
	}
	return r, g, nil
}

func planRefused(err error) error {
	plan, ok := errors.AsType[*PlanError](err)
	if !ok {
		return err
	}
	e := flowError(FlowPlan)
	e.Came = plan.Error()
	return e
}

// askedScopes are what the plan needs, what else was chosen, and what the provider always needs.
func askedScopes(p *Profile, s StartParams) []string {
	var out []string
	add := func(name string) {
		if isScope(name) && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, k := range p.Scopes.Known {
		if k.Always {
			add(k.Name)
		}
	}
	for _, list := range [][]string{s.Plan.Needed, s.Scopes} {
		for _, name := range list {
			add(name)
		}
	}
	return out
}

// authorizationURL is the link to the provider (RFC 6749 §4.1.1, RFC 7636 §4.3).
func authorizationURL(r *Registration, state secret.Text, verifier string, scopes []string, resource string) string {
	p := r.Profile
	cfg := oauth2.Config{ClientID: r.ClientID, RedirectURL: r.RedirectURI, Endpoint: oauth2.Endpoint{AuthURL: p.Endpoints.Authorize, AuthStyle: oauth2.AuthStyleInParams}}
	var opts []oauth2.AuthCodeOption
	for name, value := range p.Authorize.Params {
		opts = append(opts, oauth2.SetAuthURLParam(name, value))
	}
	if len(scopes) > 0 {
		opts = append(opts, oauth2.SetAuthURLParam("scope", joinScopes(p, scopes)))
	}
	if resource != "" {
		opts = append(opts, oauth2.SetAuthURLParam("resource", resource))
	}
	if p.PKCE == PKCES256 {
		opts = append(opts, oauth2.S256ChallengeOption(verifier))
	}
	return cfg.AuthCodeURL(state.Reveal(), opts...)
}

// DefaultReturn is where a consent returns to that names no page.
const DefaultReturn = "/connections"

// safeReturn returns the path of a page of ours (OA-8): it starts with one slash, holds no other way to name a host, and
// is one of the pages that Returns knows.
func (f *Flows) safeReturn(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" || !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//") {
		return DefaultReturn
	}
	if strings.ContainsAny(to, "\\%") || cleanASCII(to, 0) != to || strings.Contains(to, " ") || strings.Contains(to, "//") || f.returns == nil || !f.returns(u.Path) {
		return DefaultReturn
	}
	return to
}

// randomSecret has 256 bits, in characters that need no escaping.
func randomSecret() secret.Text {
	var b [32]byte
	_, _ = rand.Read(b[:]) // crypto/rand.Read never fails: it ends the program
	return secret.New(base64.RawURLEncoding.EncodeToString(b[:]))
}

func hashOf(s secret.Text) []byte {
	sum := sha256.Sum256([]byte(s.Reveal()))
	return sum[:]
}

// callbackURL is where a provider sends people back to (OA-1).
func callbackURL(publicURL string, registration uuid.UUID) string {
	return strings.TrimRight(publicURL, "/") + "/oauth/callback/" + registration.String()
}
