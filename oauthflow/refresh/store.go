package refresh

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/oauthflow"
)

// Store is what the refresh needs of the database. Every time is the database's clock().
type Store interface {
	// Load reads a grant with its registration and credential row, or returns nil where there is no such grant.
	Load(ctx context.Context, grant uuid.UUID) (*Row, error)
	// InRow locks the credential row of a grant and runs fn in a transaction that is committed synchronously. An
	// error of fn rolls back and is returned as it is; after any other error nobody knows whether it was committed.
	InRow(ctx context.Context, grant uuid.UUID, fn func(tx Tx) error) error
	// Heartbeat shows that a process lives and is connected. Those of its attempts in hand that were closed as orphaned
	// are open again.
	Heartbeat(ctx context.Context, holder string, hand []uuid.UUID) error
	// OwnOpen returns the grants and attempts without an outcome that a process began.
	OwnOpen(ctx context.Context, holder string) ([]Attempt, error)
	// Silent returns attempts without an outcome, of any consent, whose process has shown no heartbeat for longer than
	// quiet.
	Silent(ctx context.Context, quiet time.Duration, limit int) ([]Attempt, error)
	// Overdue returns grants whose attempt has outlived its lease, and those that need consent and have a spare.
	Overdue(ctx context.Context, limit int) ([]uuid.UUID, error)
	// Due returns grants that are worth refreshing ahead of time, the most urgent first.
	Due(ctx context.Context, quiet time.Duration, limit int) ([]uuid.UUID, error)
	// Prune deletes records of attempts that sent nothing, and of processes that are long gone.
	Prune(ctx context.Context) error
}

// Tx is one locked credential row.
type Tx interface {
	// Row is the row as it was locked, nil where the grant is gone. Save writes what fn changed in it.
	Row() *Row
	Save(ctx context.Context) error

	// Begin records an attempt before it is sent, and that its process lives.
	Begin(ctx context.Context, a Attempt) error
	// Attempt returns a recorded attempt, or nil.
	Attempt(ctx context.Context, id uuid.UUID) (*Attempt, error)
	// Open returns the attempts of the row's consent that have no outcome, with the age of their process's heartbeat.
	Open(ctx context.Context) ([]Attempt, error)
	// Close gives an attempt its outcome. One that has settled keeps it.
	Close(ctx context.Context, id uuid.UUID, outcome Outcome, status int, note string) error
	// Presented reports whether an attempt of the grant presented this.
	Presented(ctx context.Context, presentation []byte) (bool, error)

	// Spares returns the spares of the row's consent, the newest first.
	Spares(ctx context.Context) ([]Spare, error)
	Keep(ctx context.Context, s Spare) error
	Drop(ctx context.Context, attempt uuid.UUID) error

	// Reject records that the provider refuses the row's registration. It reports false, and records nothing, where the
	// registration's credentials have been replaced since the row was claimed with gen; until the transaction ends nobody
	// replaces them.
	Reject(ctx context.Context, gen int64, why string) (bool, error)
	// SetScopes records the scopes that an answer stated.
	SetScopes(ctx context.Context, scopes []string) error
	// Follow puts the grant's connections where its state says. Those that are paused or closing stay.
	Follow(ctx context.Context, f Follow) error
	Record(ctx context.Context, e audit.Event) error
}

// Row is a credential row with what it belongs to.
type Row struct {
	Grant        oauthflow.Grant // its Health is of the row
	Registration oauthflow.Registration

	Epoch       int
	Gen         int64
	Sealed      []byte
	Expires     *time.Time
	Obtained    time.Time
	IdleExpires *time.Time
	Refreshable bool
	PairAttempt *uuid.UUID

	Phase       oauthflow.Phase
	MaybeSent   bool
	FirstSent   *time.Time // t_first: the time of the first claim since the row was idle
	AttemptID   *uuid.UUID
	Holder      string
	LeaseUntil  *time.Time
	RejectedGen *int64

	Failures      int
	FirstFailedAt *time.Time
	NextTry       time.Time
	State         oauthflow.GrantState
	FailClass     oauthflow.FailClass
	FailNote      string

	// Now is the database's clock when the row was read, ServerAge how long the server has run.
	Now       time.Time
	ServerAge time.Duration
}

// Attempt is one presentation of a refresh token.
type Attempt struct {
	ID           uuid.UUID
	Grant        uuid.UUID
	Seq          int64 // the order of claims
	Epoch        int
	Gen          int64
	Presentation []byte
	Holder       string
	Replay       bool
	Outcome      Outcome
	At           time.Time
	// Silent is how long the holder has shown no heartbeat; nil where it never did.
	Silent *time.Duration
}

// Outcome is how an attempt ended.
type Outcome string

// The outcomes of attempts.
const (
	OutcomeOpen      Outcome = ""
	OutcomeRotated   Outcome = "rotated"   // its pair is in the row
	OutcomeSpare     Outcome = "spare"     // its pair is a spare
	OutcomeDiscarded Outcome = "discarded" // its pair belongs to an older consent, or to a grant that is closing
	OutcomeNotSent   Outcome = "not_sent"
	OutcomeRefused   Outcome = "refused"
	OutcomeLost      Outcome = "lost"     // no answer that can be read
	OutcomeOrphaned  Outcome = "orphaned" // its process works on it no more, or is silent; its pair is stored all the same
)

// Settled reports whether the pair of the attempt has been dealt with.
func (o Outcome) Settled() bool {
	return o == OutcomeRotated || o == OutcomeSpare || o == OutcomeDiscarded
}

// Spare is a pair that came late or in parallel.
type Spare struct {
	Attempt      uuid.UUID
	Epoch        int
	Base         int64 // the generation that it was obtained with
	Sealed       []byte
	Presentation []byte
	Expires      *time.Time
	At           time.Time // set by the store
}

// Follow is what becomes of the connections of a grant.
type Follow struct {
	// State is the grant's new state; active heals what an earlier Follow did, and makes the schedules due.
	State oauthflow.GrantState
	// Degraded shows Reason on connections that work, and changes no others.
	Degraded bool
	Reason   string
}
