package oauthflow

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
)

// Consent is what SaveConsent stores in one transaction: a grant with its first pair, and what the plan says.
//
// The grant that is stored is Renew where that one lives; else, where the provider knows one grant per account, the
// live one of the same registration, kind, subject and resource; else a new one. A grant that stood gets the next epoch, at
// generation 0, and loses its spares.
type Consent struct {
	Registration uuid.UUID
	Digest       string // a registration with another one is refused: ErrRegistrationChanged
	Kind         GrantType
	PerAccount   bool
	Renew        *uuid.UUID
	// RenewEpoch is the epoch of Renew when the consent began. A grant that was renewed since is a *GrantReplacedError,
	// unless the same account gives all that it has; one that ended since is ErrGrantEnded, unless Plan has a connection
	// for another.
	RenewEpoch *int
	// OtherAccount allows Renew and its connections to change to another subject; else that is an *OtherAccountError.
	OtherAccount bool
	Subject      string
	Account      string
	Asked        []string
	Scopes       []string
	ScopesStated bool
	Params       GrantParams
	Refreshable  bool // there is a refresh token, or the client asks for itself
	By           By
	Plan         Plan
	// Began is when its state was taken, before the code was sent: a revocation of all that the account granted, which was
	// under way at that time or later, may have ended the pair, and refuses the consent with ErrAccountClosing. The zero
	// value is a consent that none can end.
	Began time.Time
	// Expires is the life of the access token from now, 0 is unknown; Idle and Absolute are those of the refresh token.
	Expires, Idle, Absolute time.Duration
	// Seal seals the pair for the grant and the epoch that were found. now is the database's time.
	Seal func(grant uuid.UUID, epoch int, now time.Time) ([]byte, error)
	// RemoveFirst is Profile.RemoveFirst.
	RemoveFirst string
	// Missing returns the scopes that a connection needs and was not given.
	Missing func(needed []string) []string
	// Detail is for the audit log.
	Detail map[string]string
}

// ConsentResult is what SaveConsent stored.
type ConsentResult struct {
	Grant      uuid.UUID
	Epoch      int
	Renewed    bool
	Connection uuid.UUID // the plan's
	Name       string    // of the connection
	Before     []string  // scopes of the grant that was renewed
	// Degraded are connections of the grant that lack scopes, by name.
	Degraded map[string][]string
	// Replaced is the pair that the grant had, still sealed, for its own epoch and generation.
	Replaced      []byte
	ReplacedEpoch int
	ReplacedGen   int64
}

// ErrRegistrationChanged means that a registration is not the one that was read, or that a consent was given for.
var ErrRegistrationChanged = errors.New("the registration was changed meanwhile, and nothing was saved: look at it again, and repeat what is still to change")

// ErrGrantEnded means that the grant to renew ended after the consent began.
var ErrGrantEnded = errors.New("the grant ended meanwhile")

// GrantReplacedError means that the grant to renew was renewed after the consent began, with more than this consent
// gives. Pair is what it has, sealed for its epoch and generation.
type GrantReplacedError struct {
	Grant uuid.UUID
	Epoch int
	Gen   int64
	Pair  []byte
}

// Error says what happened.
func (e *GrantReplacedError) Error() string { return "the grant was renewed meanwhile" }

// ErrAccountClosing means that what the account granted was being revoked while it consented.
var ErrAccountClosing = errors.New("an earlier grant of the account was being revoked")

// OtherAccountError means that a grant belongs to another account than the one that consented.
type OtherAccountError struct{ Account string }

// Error names the account that the grant belongs to.
func (e *OtherAccountError) Error() string { return "the grant belongs to " + e.Account }

// consentOf makes the consent of a token that a person gave.
func consentOf(v Vault, r *Registration, row *FlowRow, t *Token, info Userinfo, answered time.Time) Consent {
	c := tokenConsent(v, r, GrantCode, t, answered)
	c.Renew, c.RenewEpoch, c.OtherAccount = row.Grant, row.GrantEpoch, row.Plan.OtherAccount
	c.Subject, c.Account = info.Subject, info.Name
	c.PerAccount = r.Profile.GrantPer == PerAccount && info.Subject != ""
	c.Asked, c.Plan = row.Scopes, row.Plan
	c.Params.Resource = row.Plan.Resource
	return c
}

// tokenConsent is what every consent takes from the token.
func tokenConsent(v Vault, r *Registration, kind GrantType, t *Token, answered time.Time) Consent {
	since := time.Since(answered)
	left := func(d time.Duration) time.Duration {
		if d <= 0 {
			return 0
		}
		return max(d-since, time.Second)
	}
	c := Consent{
		Registration: r.ID, Digest: r.Digest, Kind: kind, Scopes: t.Scopes, ScopesStated: t.ScopesStated,
		Params: GrantParams{Hosts: t.Hosts}, Refreshable: t.Refresh.IsSet() || kind != GrantCode,
		Expires: left(t.ExpiresIn), Idle: time.Duration(r.Profile.Refresh.IdleExpiry), Absolute: time.Duration(r.Profile.Refresh.AbsoluteExpiry),
		RemoveFirst: r.Profile.RemoveFirst(),
		Missing:     func(needed []string) []string { return r.Profile.Missing(needed, t.Scopes) },
	}
	if t.RefreshExpiresIn > 0 {
		c.Idle = left(t.RefreshExpiresIn)
	}
	if !t.Refresh.IsSet() {
		c.Idle, c.Absolute = 0, 0
	}
	c.Seal = func(grant uuid.UUID, epoch int, now time.Time) ([]byte, error) {
		p := Pair{Access: t.Access, Refresh: t.Refresh, Type: t.Type}
		if c.Expires > 0 {
			at := now.Add(c.Expires)
			p.Expires = &at
		}
		return SealPair(v, PairPlace(grant, epoch, 0, FieldTokens), p)
	}
	return c
}

// consentRefused is why a consent was not stored.
func consentRefused(err error, info Userinfo) error {
	if other, ok := errors.AsType[*OtherAccountError](err); ok {
		e := flowError(FlowOtherAccount)
		e.Sent = "a request to renew the grant of " + other.Account
		e.Came = "a consent of " + info.Name
		return e
	}
	if _, ok := errors.AsType[*PlanError](err); ok {
		return planRefused(err)
	}
	if errors.Is(err, ErrRegistrationChanged) {
		return flowError(FlowChanged)
	}
	if errors.Is(err, ErrAccountClosing) {
		return flowError(FlowClosing)
	}
	if _, ok := errors.AsType[*GrantReplacedError](err); ok || errors.Is(err, ErrGrantEnded) {
		e := flowError(FlowReplaced)
		e.Came = err.Error()
		return e
	}
	return notSaved(err)
}

// secretStore is where the credentials of registrations are.
type secretStore interface {
	RegistrationSecret(ctx context.Context, id uuid.UUID) (ciphertext []byte, gen int64, err error)
}

// openClient opens the credentials of a registration.
func openClient(ctx context.Context, s secretStore, v Vault, r *Registration) (Client, error) {
	ct, gen, err := s.RegistrationSecret(ctx, r.ID)
	if err != nil {
		return Client{}, err
	}
	if gen != r.CredentialGen { // SECURITY: a secret goes with the endpoints that it was saved for (OA-30)
		return Client{}, flowError(FlowChanged)
	}
	creds, err := OpenCredentials(v, RegistrationPlace(r.ID, gen), ct)
	if err != nil {
		return Client{}, flowError(FlowVault)
	}
	return Client{Registration: r, Credentials: creds}, nil
}

// discard gets rid of tokens that are not stored: revoked, unless the revocation would end another grant of the same
// account. subject is "" where the account is not known. It is a best effort; nothing depends on it.
func (f *Flows) discard(ctx context.Context, client Client, t *Token, subject string) {
	if client.Registration.Profile.Revocation.Reach == ReachGrant {
		if subject == "" {
			return // SECURITY: somebody else's working grant could be ended by it
		}
		id, shared, err := f.store.BeginDiscarding(ctx, client.Registration.ID, subject, revokingLife)
		if err != nil || shared {
			return
		}
		defer func() { _ = f.store.EndDiscarding(context.WithoutCancel(ctx), id) }() // its life ends it too
	}
	_ = f.client.RevokePair(ctx, client, Pair{Access: t.Access, Refresh: t.Refresh})
}

// refusedPair reports whether the tokens are those that the grant has which refused them: a provider may give the same
// again, and then they are not discarded.
func (f *Flows) refusedPair(err error, t *Token) bool {
	held, ok := errors.AsType[*GrantReplacedError](err)
	if !ok || len(held.Pair) == 0 {
		return false
	}
	pair, err := OpenPair(f.vault, PairPlace(held.Grant, held.Epoch, held.Gen, FieldTokens), held.Pair)
	return err != nil || samePair(pair, t)
}

// samePair reports whether a provider gave what it had given before.
func samePair(old Pair, t *Token) bool {
	return old.Refresh.IsSet() && old.Refresh.Reveal() == t.Refresh.Reveal() || old.Access.Reveal() == t.Access.Reveal()
}

// replaced revokes the pair that a renewal replaced, where the provider would leave it alive and nothing else ends
// with it. What the provider gave again is not replaced.
func (f *Flows) replaced(ctx context.Context, client Client, saved ConsentResult, t *Token) {
	if len(saved.Replaced) == 0 || client.Registration.Profile.Revocation.Reach != ReachToken {
		return
	}
	old, err := OpenPair(f.vault, PairPlace(saved.Grant, saved.ReplacedEpoch, saved.ReplacedGen, FieldTokens), saved.Replaced)
	if err != nil || samePair(old, t) {
		return
	}
	_ = f.client.RevokePair(ctx, client, old) // what is left of it ends by itself
}

// worthRetry reports whether a call that failed may succeed later.
func worthRetry(err error) bool {
	class := connectors.ClassOf(err)
	if te, ok := errors.AsType[*TokenError](err); ok {
		class = te.Class
	}
	return class == connectors.Transient || class == connectors.RateLimited
}
