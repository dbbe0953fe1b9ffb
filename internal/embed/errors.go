package embed

import (
	"errors"
	"fmt"
	"time"
)

// Class says what a caller does about an Error. The list is closed; new classes are appended.
type Class int

const (
	// Unknown is the zero class: treat it like Transient.
	Unknown Class = iota
	// Transient may succeed when tried again: 5xx, timeouts, broken connections, answers that lack some inputs.
	Transient
	// RateLimited succeeds after RetryAfter.
	RateLimited
	// Auth needs another API key or more credit.
	Auth
	// Invalid needs another setting, or another input where Permanent names it: unknown model, wrong dimensions.
	Invalid
	// TooLarge is an input over the model's limit, named by Permanent.
	TooLarge
)

// String returns the name of the class in lower case.
func (c Class) String() string {
	switch c {
	case Unknown:
		return "unknown"
	case Transient:
		return "transient"
	case RateLimited:
		return "rate_limited"
	case Auth:
		return "auth"
	case Invalid:
		return "invalid"
	case TooLarge:
		return "too_large"
	}
	return fmt.Sprintf("class(%d)", int(c))
}

// Error is every error of this package except the context's own.
type Error struct {
	Class      Class
	RetryAfter time.Duration // 0 where the endpoint does not say; at most an hour
	Status     int           // HTTP status; 0 where there was none
	Msg        string        // for people; holds neither key nor input
	Permanent  []int         // inputs that fail the same way each time
	Err        error

	config    bool // the settings are wrong, whatever the inputs
	wrongSize bool // the vector has other dimensions than the profile
}

// Error returns the message.
func (e *Error) Error() string {
	s := "embedding: " + e.Msg
	if e.Status != 0 {
		s += fmt.Sprintf(" (HTTP %d)", e.Status)
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of err, Unknown where it has none.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	return Unknown
}
