package oauthflow

import (
	"context"
	"time"

	"github.com/google/uuid"

	"tributary/internal/secret"
)

// Grant is a set of tokens from one consent of one provider account, or of a server-to-server client, without the
// tokens. It may serve several connections.
type Grant struct {
	ID             uuid.UUID
	RegistrationID uuid.UUID
	Kind           GrantType
	Subject        string // the provider's immutable id of the account; "" where unknown
	Account        string // the account as people know it
	Asked          []string
	Scopes         []string // granted
	ScopesStated   bool
	Params         GrantParams
	ConsentedBy    *uuid.UUID
	ConsentedAt    time.Time
	ExpiresAt      *time.Time
	AtExpiry       AtExpiry
	ClosedAt       *time.Time
	CloseNote      string
	Health         Health
}

// GrantParams is what else obtains or uses the tokens of a grant.
type GrantParams struct {
	InstallationID string            `json:"installation_id,omitempty"`
	ActFor         string            `json:"act_for,omitempty"` // the person a service account acts for (RFC 7523 sub)
	Resource       string            `json:"resource,omitempty"`
	Hosts          map[string]string `json:"hosts,omitempty"` // that the token answer named
}

// AtExpiry is what becomes of documents when a grant or connection expires.
type AtExpiry string

// The choices at expiry.
const (
	KeepDocuments AtExpiry = "keep"
	HideDocuments AtExpiry = "hide"
)

// Health is the state of a grant's tokens.
type Health struct {
	Epoch           int   // counts consents
	Gen             int64 // counts token pairs
	State           GrantState
	StateSince      time.Time
	FailClass       FailClass
	FailNote        string // cleaned, for people
	Phase           Phase
	AccessExpires   *time.Time // nil is unknown
	IdleExpires     *time.Time // when the refresh token dies unused
	AbsoluteExpires *time.Time
	NextTry         time.Time
	Failures        int
	Refreshable     bool
}

// GrantState says what a grant is good for.
type GrantState string

// The states of a grant.
const (
	GrantActive      GrantState = "active"
	GrantNeedsReauth GrantState = "needs_reauth"
	GrantConfigError GrantState = "config_error" // the client registration is refused
	GrantClosing     GrantState = "closing"
)

// Phase says whether a refresh is under way.
type Phase string

// The phases of a credential.
const (
	PhaseIdle      Phase = "idle"
	PhaseInFlight  Phase = "in_flight"
	PhaseUncertain Phase = "uncertain" // a refresh token may have been used up
)

// FailClass says why a grant does not refresh.
type FailClass string

// The reasons.
const (
	FailNone         FailClass = ""
	FailRevoked      FailClass = "revoked"       // the provider says that the grant is over
	FailLostResponse FailClass = "lost_response" // the answer to a refresh was lost, and the token was used up by it
	FailExpired      FailClass = "expired"       // idle or absolute expiry
	FailClient       FailClass = "client_rejected"
	FailUnavailable  FailClass = "unavailable" // the token endpoint does not answer
	FailUnknown      FailClass = "unknown"     // an answer that nobody knows
	FailKey          FailClass = "master_key"  // the tokens cannot be decrypted
)

// Pair is what a credential row keeps secret: both tokens and their times, sealed together under purpose "credential",
// the grant's id with its epoch ("{id}/{epoch}"), the generation and field "tokens".
type Pair struct {
	Access  secret.Text
	Refresh secret.Text
	Type    string
	Expires *time.Time // of Access, by the database's clock; nil is unknown
}

// Access is an access token, with the pair that it came from.
type Access struct {
	Token   secret.Text
	Type    string // lower case: "bearer", or one that the profile lists
	Epoch   int
	Gen     int64
	Expires *time.Time
}

// Tokens gives out access tokens of grants. It is safe for concurrent use, by any number of processes on one database.
type Tokens interface {
	// Access returns a token that is valid for a while, and obtains a new one where it is due. The error is a
	// *connectors.Error: GrantLost, ClientRejected, RateLimited with its wait, or Transient.
	Access(ctx context.Context, grant uuid.UUID) (Access, error)
	// Rejected returns another token than used, which a resource server answered with 401.
	Rejected(ctx context.Context, grant uuid.UUID, used Access) (Access, error)
	// Lives reports whether the provider stands by the grant, of which a resource server answered used with 401 although
	// Rejected had returned it.
	Lives(ctx context.Context, grant uuid.UUID, used Access) (bool, error)
}

// Gate bounds and breaks the calls to one endpoint across all processes: a token bucket, what the server asked for
// (Retry-After), and a breaker that lets one probe through. Keys are "token:{registration}" and "api:{registration}".
type Gate interface {
	// Enter returns 0 where a call may go out now, and else how long to wait and why. Who enters must Leave.
	Enter(ctx context.Context, key string) (wait time.Duration, why string, err error)
	// Leave reports how the call ended.
	Leave(ctx context.Context, key string, end CallEnd) error
}

// CallEnd is how a call ended, for a Gate.
type CallEnd struct {
	// Failed counts for the breaker: 5xx, 429, a timeout, no connection.
	Failed bool
	// Break opens it at once: the client was refused.
	Break      bool
	RetryAfter time.Duration
	Reason     string // for people, cleaned
}
