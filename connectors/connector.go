package connectors

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"net/http"
	"time"
)

// Connector is the code for one kind of source. Implementations are stateless
// values, safe for concurrent use by several connections.
type Connector interface {
	// Spec describes the connector. It is pure: equal at every call, without
	// I/O.
	Spec() Spec

	// Open checks env and starts a session. It may talk to the source, but it
	// lists nothing. An unusable setting or selection is an error of class
	// Invalid that names the field and the remedy; a source that cannot be
	// reached is Transient.
	Open(ctx context.Context, env Env) (Session, error)
}

// Session reads one connection's selection. One goroutine drives a session at
// a time; the bodies of changes are opened from several.
type Session interface {
	// Snapshot yields everything in the selection, from the start for the zero
	// Cursor, else continuing after the page whose Next was from. Same cursor,
	// same source: same changes. The sequence ends after its first error.
	Snapshot(ctx context.Context, from Cursor) iter.Seq2[Page, error]

	// Close releases what the session holds. It is called exactly once, after
	// every sequence has ended and every opened body is closed.
	Close(ctx context.Context) error
}

// Env is what the engine hands to a session.
type Env struct {
	// Settings holds the values of Spec.Settings by name; absent means the
	// setting's default.
	Settings map[string]string
	// Selection says what of the source is synced.
	Selection Selection
	// HTTP carries the connection's authorisation. It is nil for sources
	// without a grant.
	HTTP *http.Client
	// Base is the address of the instance for a source that people host
	// themselves, as the client registration has it, without a slash at its
	// end; "" for others.
	Base string
	// Grant says what HTTP acts for; its zero value is no grant.
	Grant Grant
	// Answers keeps what the source answered between the connection's sessions;
	// nil keeps nothing.
	Answers Answers
	// Log receives progress and warnings; never content, never secrets.
	Log *slog.Logger
	// Clock returns the current time. Connectors compare source times with
	// source times and use Clock for reporting only.
	Clock func() time.Time
}

// Grant says what a connection's requests act for, without its tokens.
type Grant struct {
	// Provider is the profile's name: "github-app".
	Provider string
	// Kind is how it was given: "authorization_code" by a person's consent,
	// "client_credentials", "jwt_bearer" or "installation" by an admin.
	Kind string
	// Subject is the provider's id of the account, Account its name for people;
	// both may be "".
	Subject string
	Account string
	// Scopes are those that the provider granted, nil where it does not say.
	Scopes []string
}

// Answers keeps answers of a source that are asked for again and again, so that
// a session can ask whether they still hold (RFC 9110 §13.1.2). What is kept may
// be gone at any time. It is safe for concurrent use.
type Answers interface {
	// Kept returns what was kept under key, or nil. It is not to be changed.
	Kept(key string) *Answer
	// Keep keeps an answer, in place of the one before.
	Keep(key string, a Answer)
}

// Answer is an answer that is kept.
type Answer struct {
	// ETag is the validator that came with it, Next the address of the page
	// behind it, "" for none.
	ETag, Next string
	// Body is the answer as it came.
	Body []byte
}

// Selection says what of a source is synced: patterns over item paths, and
// containers chosen by id. A container stands for everything below it, also for
// what is created there later. The zero Selection is everything.
type Selection struct {
	Include    []string `json:"include,omitempty"`
	Exclude    []string `json:"exclude,omitempty"`
	Containers []string `json:"containers,omitempty"`
}

// Cursor says where a run continues. It is opaque JSON of the connector's own;
// nil is the start. A cursor outlives upgrades, so its form is versioned by
// the connector and pinned by a golden test.
type Cursor json.RawMessage

// IsZero reports whether c is the start.
func (c Cursor) IsZero() bool { return len(c) == 0 }

// Equal reports whether c and o are the same position, byte for byte.
func (c Cursor) Equal(o Cursor) bool { return string(c) == string(o) }

// MarshalJSON returns c itself, or null for the start.
func (c Cursor) MarshalJSON() ([]byte, error) {
	if len(c) == 0 {
		return []byte("null"), nil
	}
	return c, nil
}

// UnmarshalJSON keeps data as the cursor; null is the start.
func (c *Cursor) UnmarshalJSON(data []byte) error {
	if string(data) == "null" {
		*c = nil
		return nil
	}
	*c = append((*c)[:0], data...)
	return nil
}
