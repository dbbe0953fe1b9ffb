package refresh

import (
	"errors"
	"fmt"
	"time"

	"tributary/connectors"
	"tributary/oauthflow"
)

// ErrMasterKey means that the tokens cannot be decrypted: the master key is missing or another one. Nothing is written.
var ErrMasterKey = errors.New("the stored tokens cannot be decrypted: start with the master key file that belongs to this database")

// errNotMine ends a transaction that found nothing to do for this process.
var errNotMine = errors.New("another process acts")

// MarkTrouble starts the text of a connection whose refresh has met the same unknown refusal for a day.
const MarkTrouble = "tokens are not refreshed, needs attention: "

// MarkRejected is part of every text that a grant in state config_error shows.
const MarkRejected = "the provider refuses the client registration"

// op starts the messages of errors towards the engine.
const op = "obtaining access token"

func lost(text string) error {
	return &connectors.Error{Op: op, Class: connectors.GrantLost, Err: errors.New(text)}
}

func rejected(text string) error {
	return &connectors.Error{Op: op, Class: connectors.ClientRejected, Err: errors.New(text)}
}

// later is an error that a retry after wait may end.
func later(class connectors.Class, wait time.Duration, format string, args ...any) error {
	return &connectors.Error{Op: op, Class: class, RetryAfter: max(wait, 0), Err: fmt.Errorf(format, args...)}
}

// stateText is what the state of a grant means, for people.
func stateText(state oauthflow.GrantState, class oauthflow.FailClass, note string) string {
	text := ""
	switch state {
	case oauthflow.GrantClosing:
		return "the grant is being disconnected"
	case oauthflow.GrantConfigError:
		text = MarkRejected + "; save it again with valid credentials"
	case oauthflow.GrantNeedsReauth:
		text = reauthText(class)
	case oauthflow.GrantActive:
		return ""
	}
	if note != "" {
		text += " (" + note + ")"
	}
	return text
}

func reauthText(class oauthflow.FailClass) string {
	switch class {
	case oauthflow.FailLostResponse:
		return "an answer of the provider was lost, and the token that it answered can be used once only; grant access again"
	case oauthflow.FailExpired:
		return "the access has expired; grant access again"
	case oauthflow.FailRevoked:
		return "the provider says that the access was revoked or has ended; grant access again"
	case oauthflow.FailNone, oauthflow.FailClient, oauthflow.FailUnavailable, oauthflow.FailUnknown, oauthflow.FailKey:
		return "grant access again"
	default:
		return "grant access again"
	}
}
