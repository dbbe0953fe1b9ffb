package oauthflow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
)

// GrantConnection is a connection that uses a grant.
type GrantConnection struct {
	ID     uuid.UUID
	Name   string
	Source string
	State  string
	Reason string
	Needed []string
}

// Attempt is one presentation of a refresh token.
type Attempt struct {
	ID      uuid.UUID
	Epoch   int
	Gen     int64
	Replay  bool
	Outcome string
	Status  int
	Error   string
	Started time.Time
	Ended   *time.Time
}

// Left is what a connection leaves behind that is disconnected.
type Left struct {
	Name string
	// Grant is to be closed with CloseGrant; nil where the connection had none, or others use it.
	Grant *uuid.UUID
	// Others are connections that use the same grant.
	Others []string
	// Same are connections of other live grants of the same account, where Grant is set.
	Same []string
}

// Closing is a grant that ends: the pairs that are still to be revoked, sealed.
type Closing struct {
	Grant    Grant
	Failures int
	Since    time.Time
	Pairs    []SealedPair
}

// SealedPair is a pair with what it is sealed for.
type SealedPair struct {
	Epoch  int
	Gen    int64
	Field  string
	Sealed []byte
}

// GrantStore keeps grants. A missing one is nil.
type GrantStore interface {
	LateStore
	RegistrationByID(ctx context.Context, id uuid.UUID) (*Registration, error)
	RegistrationSecret(ctx context.Context, id uuid.UUID) (ciphertext []byte, gen int64, err error)
	GrantByID(ctx context.Context, id uuid.UUID) (*Grant, error)
	Grants(ctx context.Context) ([]Grant, error)
	GrantConnections(ctx context.Context, grant uuid.UUID) ([]GrantConnection, error)
	GrantAttempts(ctx context.Context, grant uuid.UUID, limit int) ([]Attempt, error)
	// BeginRevoking reports whether another live grant of the registration belongs to the account of a grant that is
	// closing. Where none does, it keeps consents of the account from being stored that a revocation within life would end.
	BeginRevoking(ctx context.Context, grant uuid.UUID, life time.Duration) (shared bool, err error)

	// LeaveGrant makes a connection closing, cancels its runs and takes its grant away. Where no other connection uses the
	// grant, that becomes closing too.
	LeaveGrant(ctx context.Context, connection uuid.UUID, e audit.Event) (Left, error)
	// BeginClosing makes a grant closing: it is never refreshed again. Its connections wait for a new consent.
	BeginClosing(ctx context.Context, grant uuid.UUID, why string, e audit.Event) error
	// LoadClosing returns a grant that is closing; nil where it is not, or is closed already.
	LoadClosing(ctx context.Context, grant uuid.UUID) (*Closing, error)
	// ClosingFailed counts a failure; the grant is due again after wait.
	ClosingFailed(ctx context.Context, grant uuid.UUID, note string, wait time.Duration) error
	// FinishClosing forgets every token of the grant and closes it.
	FinishClosing(ctx context.Context, grant uuid.UUID, note string, e audit.Event) error
	// DueClosing returns grants that are closing and due.
	DueClosing(ctx context.Context, limit int) ([]uuid.UUID, error)
	// ExpireDue stops connections and makes grants closing whose time is over, and returns how many of both.
	ExpireDue(ctx context.Context) (int, error)
	// SetGrantExpiry and SetConnectionExpiry say when one ends, nil is never, and what becomes of the documents.
	SetGrantExpiry(ctx context.Context, grant uuid.UUID, at *time.Time, then AtExpiry, e audit.Event) error
	SetConnectionExpiry(ctx context.Context, connection uuid.UUID, at *time.Time, then AtExpiry, e audit.Event) error
	// PurgeFlows deletes consents and tickets that are over.
	PurgeFlows(ctx context.Context) (int64, error)
}

// Grants shows, ends and checks grants. It is safe for concurrent use.
type Grants struct {
	store  GrantStore
	vault  Vault
	client *TokenClient
	tokens Tokens
}

// GrantsConfig is what Grants need.
type GrantsConfig struct {
	Store  GrantStore
	Vault  Vault
	Client *TokenClient
	Tokens Tokens // for Check
}

// NewGrants returns Grants.
func NewGrants(cfg GrantsConfig) *Grants {
	return &Grants{store: cfg.Store, vault: cfg.Vault, client: cfg.Client, tokens: cfg.Tokens}
}

// GrantView is a grant with what people ask about it.
type GrantView struct {
	Grant
	Registration *Registration
	Connections  []GrantConnection
	Missing      map[string][]string // by the name of the connection
	Attempts     []Attempt
}

// List returns all grants, the live ones first.
func (g *Grants) List(ctx context.Context) ([]Grant, error) { return g.store.Grants(ctx) }

// errNoGrant means that there is no such grant.
var errNoGrant = errors.New("there is no such grant")

// Get returns a grant with its connections, what they lack, and its newest refreshes.
func (g *Grants) Get(ctx context.Context, id uuid.UUID) (*GrantView, error) {
	grant, err := g.store.GrantByID(ctx, id)
	if err != nil {
		return nil, err
	}
	if grant == nil {
		return nil, errNoGrant
	}
	v := &GrantView{Grant: *grant, Missing: map[string][]string{}}
	if v.Registration, err = g.store.RegistrationByID(ctx, grant.RegistrationID); err != nil {
		return nil, err
	}
	if v.Connections, err = g.store.GrantConnections(ctx, id); err != nil {
		return nil, err
	}
	if v.Attempts, err = g.store.GrantAttempts(ctx, id, 20); err != nil {
		return nil, err
	}
	for _, c := range v.Connections {
		if missing := v.Registration.Profile.Missing(c.Needed, grant.Scopes); len(missing) > 0 {
			v.Missing[c.Name] = missing
		}
	}
	return v, nil
}

// SetExpiry says when a grant ends, and what becomes of its documents then. nil is never.
func (g *Grants) SetExpiry(ctx context.Context, by By, id uuid.UUID, at *time.Time, then AtExpiry) error {
	return g.store.SetGrantExpiry(ctx, id, at, then, grantEvent(by.Actor, "grant.expiry", id, map[string]string{"at": stamp(at), "then": string(then)}))
}

// SetConnectionExpiry says the same of a connection.
func (g *Grants) SetConnectionExpiry(ctx context.Context, by By, connection uuid.UUID, at *time.Time, then AtExpiry) error {
	return g.store.SetConnectionExpiry(ctx, connection, at, then, audit.Event{
		Actor: by.Actor, Action: "connection.expiry", Target: audit.Target{Kind: "connection", ID: connection.String()}, Outcome: audit.OK,
		Detail: map[string]string{"at": stamp(at), "then": string(then)},
	})
}

func stamp(at *time.Time) string {
	if at == nil {
		return "never"
	}
	return at.UTC().Format(time.RFC3339)
}

func grantEvent(actor audit.Actor, action string, grant uuid.UUID, detail map[string]string) audit.Event {
	return audit.Event{Actor: actor, Action: action, Target: audit.Target{Kind: "grant", ID: grant.String()}, Outcome: audit.OK, Detail: detail}
}

// Outcome is what Check saw at the provider. It holds no token.
type Outcome struct {
	Address string
	Status  int
	OK      bool
	Account string        // where the account was asked for
	Expires time.Duration // of the token, 0 is unknown
	Remedy  string
}

// Check obtains a valid token, refreshing where that is due, and calls the provider's account endpoint with it, or an
// address on one of the provider's hosts or of hosts, which are those of the grant's connectors.
func (g *Grants) Check(ctx context.Context, id uuid.UUID, address string, hosts []string) (*Outcome, error) {
	grant, err := g.store.GrantByID(ctx, id)
	if err != nil {
		return nil, err
	}
	if grant == nil {
		return nil, errNoGrant
	}
	r, err := g.store.RegistrationByID(ctx, grant.RegistrationID)
	if err != nil || r == nil {
		return nil, missingRegistration(err)
	}
	if address == "" {
		address = r.Profile.Endpoints.Userinfo
	}
	if address == "" {
		return nil, &connectors.Error{Op: "checking a grant", Class: connectors.Invalid, Err: errors.New("the provider has no account endpoint; give an address")}
	}
	access, err := g.tokens.Access(ctx, id)
	if err != nil {
		return nil, err
	}
	status, body, err := g.client.Get(ctx, r, address, access.Token, hosts...)
	if err != nil {
		return nil, err
	}
	out := &Outcome{Address: address, Status: status, OK: status >= 200 && status <= 299}
	if access.Expires != nil {
		out.Expires = max(time.Until(*access.Expires), 0).Round(time.Second)
	}
	if out.OK && address == r.Profile.Endpoints.Userinfo {
		if info, err := readUserinfo(body); err == nil {
			out.Account = info.Name
		}
	}
	if !out.OK {
		out.Remedy = remedyOf(status)
	}
	return out, nil
}

func remedyOf(status int) string {
	switch classOfStatus(status) {
	case connectors.GrantLost:
		return "The provider refuses the token: grant again."
	case connectors.ScopeDenied:
		return "The account may not read this, or a permission is missing: compare the granted permissions, and grant again."
	case connectors.RateLimited:
		return "The provider asks to wait."
	case connectors.Transient:
		return "The provider is not available: try again later."
	default:
		return "Check the address."
	}
}

// Disconnected says what became of a connection's grant.
type Disconnected struct {
	Detached bool     // others use the grant, or another of the same account: the access lives on at the provider
	Others   []string // by name
	Closed
}

// Disconnect ends a connection and, where no other uses it, its grant; at the provider only where no connection uses
// another grant of the same account (OA-24). The connection is closing when it
// returns; what it stored is deleted by the caller. Where the provider cannot be reached now, Tend goes on.
func (g *Grants) Disconnect(ctx context.Context, by By, connection uuid.UUID) (*Disconnected, error) {
	left, err := g.store.LeaveGrant(ctx, connection, audit.Event{
		Actor: by.Actor, Action: "connection.disconnect", Target: audit.Target{Kind: "connection", ID: connection.String()}, Outcome: audit.OK,
	})
	if err != nil {
		return nil, err
	}
	out := &Disconnected{Others: left.Others, Detached: len(left.Others) > 0}
	switch {
	case out.Detached:
		out.Note = "The grant lives on: it is used by " + strings.Join(left.Others, ", ") + "."
	case left.Grant == nil:
		out.Done, out.Note = true, "The connection had no grant."
	case len(left.Same) > 0:
		out.Detached, out.Others = true, left.Same
		out.Done, out.Note = true, "The tokens were forgotten here. They were not revoked, because another grant of the same account is in use, by "+strings.Join(left.Same, ", ")+"."
		if err := g.forget(ctx, *left.Grant, out.Note, audit.OK); err != nil {
			return out, fmt.Errorf("forgetting the grant, which is tried again: %w", err)
		}
	default:
		closed, err := g.CloseGrant(ctx, *left.Grant)
		if err != nil {
			return out, fmt.Errorf("revoking the grant, which is tried again: %w", err)
		}
		out.Closed = *closed
	}
	return out, nil
}

// Revoke ends a grant that connections may still use; they wait for a new consent.
func (g *Grants) Revoke(ctx context.Context, by By, id uuid.UUID) (*Closed, error) {
	if err := g.store.BeginClosing(ctx, id, "the grant was revoked here: grant again", grantEvent(by.Actor, "grant.revoke", id, nil)); err != nil {
		return nil, err
	}
	return g.CloseGrant(ctx, id)
}
