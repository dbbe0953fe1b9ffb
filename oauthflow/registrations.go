package oauthflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/httpx"
)

// RegistrationStore keeps registrations. A missing one is nil.
type RegistrationStore interface {
	CreateRegistration(ctx context.Context, r Registration, e audit.Event) error
	RegistrationByID(ctx context.Context, id uuid.UUID) (*Registration, error)
	RegistrationNamed(ctx context.Context, nameOrID string) (*Registration, error)
	Registrations(ctx context.Context) ([]Registration, error)
	RegistrationSecret(ctx context.Context, id uuid.UUID) (ciphertext []byte, gen int64, err error)
	// SaveRegistration writes u where the generation is still u.Expect, and else returns ErrRegistrationChanged. Where
	// u.Drop is set the grants end with it as their reason; else those that the client's refusal had stopped go on.
	SaveRegistration(ctx context.Context, u RegistrationUpdate, e audit.Event) error
	// DeleteRegistration deletes one without live grants, and else returns ErrRegistrationUsed.
	DeleteRegistration(ctx context.Context, id uuid.UUID, e audit.Event) error
}

// ErrRegistrationUsed means that live grants stand in the way.
var ErrRegistrationUsed = errors.New("the registration has grants; disconnect its connections first")

// ErrOwner means that only an owner may do it.
var ErrOwner = errors.New("only an owner may do this: it decides where secrets go")

// RegistrationUpdate is what SaveRegistration writes.
type RegistrationUpdate struct {
	Registration Registration // without its credentials; CredentialGen is the new one
	Expect       int64        // the generation that was read; every update moves it
	KeepState    bool         // a refusal of the credentials that came meanwhile stands
	SecretCT     []byte       // sealed for CredentialGen; nil is none
	Drop         string       // why the grants end; "" lets them live
}

// Registrations makes, checks and saves client registrations. It is safe for concurrent use.
type Registrations struct {
	store     RegistrationStore
	vault     Vault
	client    *TokenClient
	publicURL string
	loopback  bool
	now       func() time.Time
}

// RegistrationsConfig is what Registrations need.
type RegistrationsConfig struct {
	Store        RegistrationStore
	Vault        Vault
	Client       *TokenClient
	PublicURL    string
	LoopbackHTTP bool // http to this machine, where a registration opens it
	Now          func() time.Time
}

// NewRegistrations returns Registrations.
func NewRegistrations(cfg RegistrationsConfig) *Registrations {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Registrations{store: cfg.Store, vault: cfg.Vault, client: cfg.Client, publicURL: cfg.PublicURL, loopback: cfg.LoopbackHTTP, now: cfg.Now}
}

// Draft says which provider a registration is for: a shipped one by its name (with the address of the instance where
// people host it themselves), any other by its issuer, or by a document with its endpoints.
type Draft struct {
	Name     string
	Provider string
	BaseURL  string
	Issuer   string
	// ClientAuth is for an issuer; "" is client_secret_basic (RFC 8414 §2: what a server offers that lists none).
	ClientAuth ClientAuth
	Grants     []GrantType // for an issuer; none is authorization_code
	Document   []byte
	// AllowHosts are private hosts to open, as httpx.ParseAllowList reads them.
	AllowHosts []string
}

// ownerNeeded reports whether the draft goes where the program does not go by itself.
func (d Draft) ownerNeeded() bool {
	return d.BaseURL != "" || d.Issuer != "" || len(d.Document) > 0 || len(d.AllowHosts) > 0
}

// rules are what the addresses of a registration may be.
func (s *Registrations) rules(allowHosts []string) Rules {
	return Rules{LoopbackHTTP: s.loopback && len(allowHosts) > 0, PrivateAddresses: len(allowHosts) > 0}
}

// Draft makes a registration with its redirect URI, which people enter at the provider before they have a client. Its
// Profile.Hosts are what an owner confirms with Save.
func (s *Registrations) Draft(ctx context.Context, by By, d Draft) (*Registration, error) {
	if d.ownerNeeded() && !by.Owner {
		return nil, ErrOwner
	}
	p, err := s.profile(ctx, d)
	if err != nil {
		return nil, err
	}
	id := uuid.New()
	r := Registration{
		ID: id, Name: d.Name, Provider: p.Name, Profile: p, Digest: p.Digest(), BaseURL: strings.TrimRight(d.BaseURL, "/"),
		RedirectURI: callbackURL(s.publicURL, id), AllowHosts: d.AllowHosts, State: RegistrationDraft, CreatedBy: by.Actor.Name,
	}
	err = s.store.CreateRegistration(ctx, r, s.event(by, "registration.create", &r, nil))
	if err != nil {
		return nil, err
	}
	return &r, nil
}

func (s *Registrations) event(by By, action string, r *Registration, detail map[string]string) audit.Event {
	if detail == nil {
		detail = map[string]string{}
	}
	detail["name"], detail["provider"], detail["hosts"] = r.Name, r.Provider, strings.Join(r.Profile.Hosts(), " ")
	return audit.Event{Actor: by.Actor, Action: action, Target: audit.Target{Kind: "registration", ID: r.ID.String()}, Outcome: audit.OK, Detail: detail}
}

// SaveParams complete or change a registration. Credentials that are not set stay as they are.
type SaveParams struct {
	ID          uuid.UUID
	Digest      string // of the endpoints that the admin was shown; needed unless the provider is a shipped one with fixed endpoints
	ClientID    string
	Subject     string
	Credentials Credentials
	ExpiresAt   *time.Time
	// Force saves what the live checks do not confirm, but never what is malformed.
	Force bool
}

// RefusedError means that a registration was not saved: a field is wrong, or a check at the provider failed.
type RefusedError struct {
	Field   string
	Problem string
	Checks  []Check
}

// Error returns "field: problem".
func (e *RefusedError) Error() string { return e.Field + ": " + e.Problem }

// Save validates, checks at the provider, and stores. The error is a *RefusedError, ErrRegistrationChanged or one of the
// store. Another client id ends the grants: they belong to the client that they were given to.
func (s *Registrations) Save(ctx context.Context, by By, p SaveParams) (*Registration, []Check, error) {
	r, err := s.store.RegistrationByID(ctx, p.ID)
	if err != nil || r == nil {
		return nil, nil, missingRegistration(err)
	}
	client, err := s.open(ctx, r)
	if err != nil && (!p.Credentials.anySet() || errors.Is(err, ErrRegistrationChanged)) {
		return nil, nil, err
	}
	u := RegistrationUpdate{Registration: *r, Expect: r.CredentialGen}
	next := &u.Registration
	old := r.ClientID
	next.ClientID, next.Subject, next.CredentialExpiresAt = strings.TrimSpace(p.ClientID), strings.TrimSpace(p.Subject), p.ExpiresAt
	creds := client.Credentials.merge(p.Credentials)
	if err := s.validate(ctx, next, &creds, p.Digest); err != nil {
		return nil, nil, err
	}
	checks := s.check(ctx, Client{Registration: next, Credentials: creds})
	if c := firstBlocking(checks); c != nil && !p.Force {
		return nil, checks, &RefusedError{Field: c.Name, Problem: c.Came + ". " + c.Remedy, Checks: checks}
	}
	next.CredentialKinds, next.CredentialGen = creds.kinds(), r.CredentialGen+1
	next.State, next.StateReason = RegistrationActive, ""
	if u.SecretCT, err = SealCredentials(s.vault, RegistrationPlace(r.ID, next.CredentialGen), creds); err != nil {
		return nil, checks, err
	}
	if old != "" && old != next.ClientID {
		u.Drop = "the registration has another client now"
	}
	detail := map[string]string{"client_id": next.ClientID, "secret_changed": strconv.FormatBool(p.Credentials.anySet())}
	if err := s.store.SaveRegistration(ctx, u, s.event(by, "registration.save", next, detail)); err != nil {
		return nil, checks, err
	}
	return next, checks, nil
}

func missingRegistration(err error) error {
	if err != nil {
		return err
	}
	return flowError(FlowNoRegistration)
}

// Change points a registration elsewhere, or opens other hosts for it; only an owner may. Another server gets nothing
// that was made for the first: the credentials are forgotten and the grants end (OA-30). Whatever it changes, it is of
// a new generation: who read the one before, to save or to change it, gets ErrRegistrationChanged.
func (s *Registrations) Change(ctx context.Context, by By, id uuid.UUID, d Draft) (*Registration, error) {
	if !by.Owner {
		return nil, ErrOwner
	}
	r, err := s.store.RegistrationByID(ctx, id)
	if err != nil || r == nil {
		return nil, missingRegistration(err)
	}
	p, err := s.profile(ctx, d)
	if err != nil {
		return nil, err
	}
	u := RegistrationUpdate{Registration: *r, Expect: r.CredentialGen}
	next := &u.Registration
	next.CredentialGen++
	next.Provider, next.Profile, next.Digest, next.BaseURL, next.AllowHosts = p.Name, p, p.Digest(), strings.TrimRight(d.BaseURL, "/"), d.AllowHosts
	if d.Name != "" {
		next.Name = d.Name
	}
	detail := map[string]string{"hosts_before": strings.Join(r.Profile.Hosts(), " ")}
	if next.Digest != r.Digest || next.BaseURL != r.BaseURL || !slices.Equal(p.Hosts(), r.Profile.Hosts()) {
		next.CredentialKinds, next.CredentialExpiresAt, next.ClientID, next.Subject = nil, nil, "", ""
		next.State, next.StateReason = RegistrationDraft, "the provider's address was changed: enter the credentials again"
		u.Drop = "the provider's address was changed by an owner"
		detail["dropped"] = "credentials and grants"
	} else if u.SecretCT, err = s.resealed(ctx, r, next.CredentialGen); err != nil {
		return nil, err
	} else {
		u.KeepState = true
	}
	if err := s.store.SaveRegistration(ctx, u, s.event(by, "registration.change", next, detail)); err != nil {
		return nil, err
	}
	return next, nil
}

// resealed returns the credentials of a registration, sealed for the generation gen; nil is none.
func (s *Registrations) resealed(ctx context.Context, r *Registration, gen int64) ([]byte, error) {
	client, err := s.open(ctx, r)
	if err != nil || !client.Credentials.anySet() {
		return nil, err
	}
	return SealCredentials(s.vault, RegistrationPlace(r.ID, gen), client.Credentials)
}

// open opens the credentials of a registration as it was read.
func (s *Registrations) open(ctx context.Context, r *Registration) (Client, error) {
	client, err := openClient(ctx, s.store, s.vault, r)
	if fe, ok := errors.AsType[*FlowError](err); ok && fe.Code == FlowChanged {
		return Client{}, ErrRegistrationChanged
	}
	return client, err
}

// Delete deletes a registration that has no live grant.
func (s *Registrations) Delete(ctx context.Context, by By, id uuid.UUID) error {
	r, err := s.store.RegistrationByID(ctx, id)
	if err != nil || r == nil {
		return missingRegistration(err)
	}
	return s.store.DeleteRegistration(ctx, id, s.event(by, "registration.delete", r, nil))
}

// Warning is something that an admin should do soon.
type Warning struct {
	Registration Registration
	Text         string
}

// warnAhead is how long before their end credentials are warned of.
const warnAhead = 30 * 24 * time.Hour

// Warnings returns registrations whose credentials expire within 30 days, have expired, or are refused.
func (s *Registrations) Warnings(ctx context.Context) ([]Warning, error) {
	list, err := s.store.Registrations(ctx)
	if err != nil {
		return nil, err
	}
	var out []Warning
	for _, r := range list {
		at := r.CredentialExpiresAt
		switch {
		case r.State == RegistrationRejected:
			out = append(out, Warning{r, "the provider refuses its credentials: enter them again"})
		case at == nil || at.Sub(s.now()) > warnAhead:
		case at.Before(s.now()):
			out = append(out, Warning{r, "its credentials expired on " + at.Format(time.DateOnly) + ": make new ones at the provider and enter them"})
		default:
			out = append(out, Warning{r, "its credentials expire on " + at.Format(time.DateOnly) + ": make new ones at the provider and enter them before"})
		}
	}
	return out, nil
}

// LoadProfile reads a profile that was validated when it was stored.
func LoadProfile(raw []byte) (*Profile, error) {
	return parseProfile(raw, Rules{LoopbackHTTP: true, PrivateAddresses: true})
}

// StoreProfile writes a profile for LoadProfile.
func StoreProfile(p *Profile) ([]byte, error) {
	raw, err := json.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encoding provider: %w", err)
	}
	return raw, nil
}

// validate refuses what cannot work whatever the provider says.
func (s *Registrations) validate(ctx context.Context, r *Registration, c *Credentials, digest string) error {
	p := r.Profile
	if _, err := httpx.ParseAllowList(r.AllowHosts); err != nil {
		return &RefusedError{Field: "allow_hosts", Problem: err.Error()}
	}
	shipped, err := Shipped()
	if err != nil {
		return err
	}
	known, fixed := shipped[p.Name]
	fixed = fixed && known.Hosting == HostingFixed && known.Digest() == r.Digest
	if digest != r.Digest && (digest != "" || !fixed) {
		return &RefusedError{Field: "hosts", Problem: "confirm the hosts that secrets will go to: " + strings.Join(p.Hosts(), ", ")}
	}
	if err := checkClientID(r); err != nil {
		return err
	}
	list, err := s.store.Registrations(ctx)
	if err != nil {
		return err
	}
	var used []ClientUse
	for _, other := range list {
		if other.ID != r.ID && other.ClientID != "" {
			used = append(used, ClientUse{ClientID: other.ClientID, Profile: other.Profile})
		}
	}
	if err := CheckClient(p, r.ClientID, used, shipped); err != nil {
		return &RefusedError{Field: "client_id", Problem: err.Error()}
	}
	return c.validate(r)
}

func checkClientID(r *Registration) error {
	p := r.Profile
	serviceOnly := slices.Equal(p.Grants, []GrantType{GrantJWTBearer})
	if r.ClientID == "" && !serviceOnly && !oneOf(GrantJWTBearer, p.Grants...) {
		return &RefusedError{Field: "client_id", Problem: "is missing; copy it from the provider"}
	}
	if r.ClientID != cleanASCII(r.ClientID, maxText) || strings.ContainsAny(r.ClientID, " \t") { // RFC 6749 appendix A.1, without blanks
		return &RefusedError{Field: "client_id", Problem: "holds characters that no client ID has; copy it again"}
	}
	for _, pattern := range p.ClientIDs {
		head, tail, _ := strings.Cut(pattern, "*")
		if strings.HasPrefix(r.ClientID, head) && strings.HasSuffix(r.ClientID, tail) {
			return nil
		}
	}
	if len(p.ClientIDs) > 0 && r.ClientID != "" {
		return &RefusedError{Field: "client_id", Problem: "does not look like one of " + p.Title + " (" + strings.Join(p.ClientIDs, ", ") + "); copy it from " + p.Title}
	}
	return nil
}
