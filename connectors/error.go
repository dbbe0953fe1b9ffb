package connectors

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Class says what an error means for the run. The list is closed and only
// appended to; its values are stored.
type Class int

// The classes of errors. The engine acts on the class; nobody parses messages.
const (
	// Unknown is the zero class: treated like Transient.
	Unknown Class = iota
	// Transient: 5xx, reset, timeout; tried again with back-off.
	Transient
	// RateLimited: 429 or quota; tried again after RetryAfter.
	RateLimited
	// GrantLost: the grant was revoked or has died; an admin consents again.
	GrantLost
	// ClientRejected: the client registration is no longer accepted.
	ClientRejected
	// ScopeDenied: the consented scope is too small for the selection.
	ScopeDenied
	// CursorExpired: the source no longer knows the cursor; a snapshot starts.
	CursorExpired
	// ItemSkipped: one item is unreadable; it is quarantined, the run goes on.
	ItemSkipped
	// Invalid: the settings or the selection are wrong.
	Invalid
	// Bug: the contract was broken.
	Bug
	// ItemRefused: the source lists one item and does not give out its content
	// (401, 403, 404, 410): what is stored of it hides at once.
	ItemRefused
)

var classNames = [...]string{
	"unknown", "transient", "rate_limited", "grant_lost", "client_rejected",
	"scope_denied", "cursor_expired", "item_skipped", "invalid", "bug", "item_refused",
}

// String returns the class's name as it is stored and shown.
func (c Class) String() string {
	if c < 0 || int(c) >= len(classNames) {
		return classNames[Unknown]
	}
	return classNames[c]
}

// Error is the one error type of connectors. Messages are gerund phrases
// without secrets or response bodies.
type Error struct {
	// Op says what was being done: "listing drive changes".
	Op    string
	Class Class
	// RetryAfter is how long to wait, for RateLimited and Transient; zero
	// leaves it to the engine.
	RetryAfter time.Duration
	// Code names one of Spec.Problems where the failure is a known one.
	Code string
	// Ref names the item, for ItemSkipped and ItemRefused.
	Ref ItemRef
	Err error
}

// Error returns "op: cause".
func (e *Error) Error() string {
	switch {
	case e.Err == nil:
		return fmt.Sprintf("%s: %s", e.Op, e.Class)
	case e.Op == "":
		return e.Err.Error()
	default:
		return e.Op + ": " + e.Err.Error()
	}
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class that err carries, Transient for deadlines, and
// Unknown otherwise. It returns Unknown for nil and for context.Canceled,
// which is never a failure.
func ClassOf(err error) Class {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return Transient
	}
	return Unknown
}

// RetryAfterOf returns the wait that err asks for, or zero.
func RetryAfterOf(err error) time.Duration {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.RetryAfter
	}
	return 0
}
