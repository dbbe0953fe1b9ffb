// Package audit holds the words of the audit log: who did what to what, and how it ended. It imports the standard
// library only; package store writes events, and everything that acts records them.
//
// Start reading at Event.
package audit

import (
	"context"
	"time"
)

// Event is one row of the audit log. Its texts come from this program or are cleaned before; none is a secret.
type Event struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"` // set by the database
	Actor   Actor     `json:"actor"`
	Action  string    `json:"action"` // lower case, dotted: "oauth.consent"
	Target  Target    `json:"target"`
	Outcome Outcome   `json:"outcome"`
	// Detail is what else a reader of the log needs, by name.
	Detail map[string]string `json:"detail"`
}

// Actor is who acted.
type Actor struct {
	Kind ActorKind `json:"kind"`
	// Name is the account's, "user@host" on the command line, or the part of the program.
	Name          string `json:"name"`
	Authenticated bool   `json:"authenticated"`
	IP            string `json:"ip,omitempty"`
}

// ActorKind is a kind of actor.
type ActorKind string

// The kinds of actors.
const (
	Account   ActorKind = "account"
	CLI       ActorKind = "cli" // holds the database and the master key: named by the system, not authenticated
	System    ActorKind = "system"
	Anonymous ActorKind = "anonymous"
	Key       ActorKind = "key"
	Token     ActorKind = "token" // an admin token; its name stands behind its account's: "ada/ci"
)

// Target is what was acted upon.
type Target struct {
	Kind string `json:"kind"` // "grant", "registration", "account", …
	ID   string `json:"id"`   // its id, or a name where it has none
}

// Outcome is how it ended.
type Outcome string

// The outcomes.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused" // by us
	Failed  Outcome = "failed"
)

// Recorder writes events. An error means that the event is not recorded, and then what it is about must not happen.
type Recorder interface {
	Record(ctx context.Context, e Event) error
}
