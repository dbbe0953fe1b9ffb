package web

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/store"
)

// OAuth is what the pages of registrations, consents, grants, connections and the audit log need. Without it
// (Config.OAuth is nil) those addresses answer that they are not served here. All of it is safe for concurrent use.
type OAuth struct {
	Store         OAuthStore    // *store.Store
	Registrations Registrations // *oauthflow.Registrations
	Flows         Flows         // *oauthflow.Flows, whose Returns is Server.Returns
	Grants        Grants        // *oauthflow.Grants
	Refresher     Refresher     // *refresh.Keeper
	Syncer        Syncer        // *jobs.Runner, which need not be started
	Opener        Opener        // *jobs.Runner
	Chooser       Chooser       // *jobs.Runner; nil offers nothing to choose from
	// FolderRoots are the directories below which admins may connect folders of this machine, which the connector
	// holds them to; none offers no folders.
	FolderRoots []string
	// Sandbox says where this process serves Sandbox Drive; nil, or "", is nowhere.
	Sandbox func() string
	// Sources are the connectors of this version, as data.
	Sources []connectors.Spec
	// Providers are the profiles that come with the program, as oauthflow.Shipped returns them.
	Providers map[string]*oauthflow.Profile
	// KeyProblem says what is wrong with the master key and what helps; nil, or "", is nothing.
	KeyProblem func() string
}

// OAuthStore is what these pages read and write without going through package oauthflow.
type OAuthStore interface {
	audit.Recorder
	Now(ctx context.Context) (time.Time, error)
	Registrations(ctx context.Context) ([]oauthflow.Registration, error)
	// RegistrationNamed returns nil where there is none.
	RegistrationNamed(ctx context.Context, nameOrID string) (*oauthflow.Registration, error)
	// GrantByID returns nil where there is none.
	GrantByID(ctx context.Context, id uuid.UUID) (*oauthflow.Grant, error)
	Connections(ctx context.Context) ([]store.Connection, error)
	ConnectionOverviews(ctx context.Context) ([]store.ConnectionOverview, error)
	ConnectionHealths(ctx context.Context, f store.ConnectionFilter) (store.ConnectionPage, error)
	DocumentTotals(ctx context.Context, connections []uuid.UUID) (map[uuid.UUID]store.Totals, error)
	ConnectionCreator(ctx context.Context, connection uuid.UUID) (string, error)
	Attention(ctx context.Context, connection uuid.UUID) (store.Attention, error)
	NextRefresh(ctx context.Context, grant uuid.UUID) (*time.Time, error)
	GrantAttemptsBefore(ctx context.Context, grant, before uuid.UUID, limit int) ([]oauthflow.Attempt, error)
	Connection(ctx context.Context, nameOrID string) (store.Connection, error)
	Totals(ctx context.Context, connection uuid.UUID) (store.Totals, error)
	Schedules(ctx context.Context, connection uuid.UUID) ([]store.Schedule, error)
	Runs(ctx context.Context, f store.RunFilter) ([]store.Run, error)
	// CreateConnection returns store.ErrConflict for a name that is taken.
	CreateConnection(ctx context.Context, n store.NewConnection, events ...audit.Event) (store.Connection, error)
	SetPaused(ctx context.Context, connection uuid.UUID, paused bool, events ...audit.Event) error
	// DeleteConnection may be called again after a failure.
	DeleteConnection(ctx context.Context, connection uuid.UUID, events ...audit.Event) error
	AuditEvents(ctx context.Context, f store.AuditFilter) ([]audit.Event, error)
	Reader(ctx context.Context, nameOrID string) (store.Reader, error)
	CreateReader(ctx context.Context, name string, kind store.ReaderKind, events ...audit.Event) (store.Reader, error)
	LinkReader(ctx context.Context, reader uuid.UUID, p store.PrincipalIn, how store.LinkHow, events ...audit.Event) error
}

// Registrations makes, checks and saves client registrations.
type Registrations interface {
	Draft(ctx context.Context, by oauthflow.By, d oauthflow.Draft) (*oauthflow.Registration, error)
	Save(ctx context.Context, by oauthflow.By, p oauthflow.SaveParams) (*oauthflow.Registration, []oauthflow.Check, error)
	Change(ctx context.Context, by oauthflow.By, id uuid.UUID, d oauthflow.Draft) (*oauthflow.Registration, error)
	Check(ctx context.Context, id uuid.UUID) ([]oauthflow.Check, error)
	Delete(ctx context.Context, by oauthflow.By, id uuid.UUID) error
	Warnings(ctx context.Context) ([]oauthflow.Warning, error)
}

// Flows starts consents and finishes them. Its errors are *oauthflow.FlowError where a person can do something.
type Flows interface {
	Start(ctx context.Context, p oauthflow.StartParams) (oauthflow.Started, error)
	MakeTicket(ctx context.Context, p oauthflow.StartParams) (link secret.Text, expires time.Time, err error)
	Callback(ctx context.Context, registration, rawQuery string, by oauthflow.By) (*oauthflow.Result, error)
	LookTicket(ctx context.Context, ticket secret.Text) (*oauthflow.Ticket, error)
	RedeemTicket(ctx context.Context, ticket secret.Text, by oauthflow.By, returnTo string) (oauthflow.Started, error)
	CreateServerGrant(ctx context.Context, p oauthflow.ServerGrantParams) (*oauthflow.Result, error)
}

// Grants shows, checks and ends grants.
type Grants interface {
	List(ctx context.Context) ([]oauthflow.Grant, error)
	Get(ctx context.Context, id uuid.UUID) (*oauthflow.GrantView, error)
	Check(ctx context.Context, id uuid.UUID, address string, hosts []string) (*oauthflow.Outcome, error)
	Disconnect(ctx context.Context, by oauthflow.By, connection uuid.UUID) (*oauthflow.Disconnected, error)
	Revoke(ctx context.Context, by oauthflow.By, id uuid.UUID) (*oauthflow.Closed, error)
	SetExpiry(ctx context.Context, by oauthflow.By, id uuid.UUID, at *time.Time, then oauthflow.AtExpiry) error
	SetConnectionExpiry(ctx context.Context, by oauthflow.By, connection uuid.UUID, at *time.Time, then oauthflow.AtExpiry) error
}

// Refresher obtains a new token for a grant, whether or not one is due.
type Refresher interface {
	Refresh(ctx context.Context, grant uuid.UUID) (oauthflow.Access, error)
}

// Opener opens sources. Verify proves that one can be read as a connection would that is not stored yet.
type Opener interface {
	Verify(ctx context.Context, source string, settings map[string]string, selection connectors.Selection) (summary string, err error)
	// Self returns the source's user whose consent a connection acts by.
	Self(ctx context.Context, k store.Connection) (connectors.Principal, error)
}

// Syncer asks for runs, and records events in the transaction that does; a run that is live already is returned instead.
type Syncer interface {
	RequestLanes(ctx context.Context, c store.Connection, lanes []store.Lane, cause string, approveDeletions bool, events ...audit.Event) ([]store.Run, error)
	// RequestKind asks for a run of a kind, with made false for one that is live already. A kind that the source cannot run is a *store.InputError.
	RequestKind(ctx context.Context, c store.Connection, kind store.RunKind, cause string, events ...audit.Event) (run store.Run, made bool, err error)
}
