package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5/pgconn"
)

// Sentinel errors of this package; test for them with errors.Is.
var (
	// ErrNotFound: there is no such row, or the identity may not know of it.
	// The two are never told apart.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a name is taken, or a row was changed by somebody else.
	ErrConflict = errors.New("conflict")
	// ErrUnauthenticated: the secret is unknown, expired or revoked, or the
	// reader behind it is disabled. The cases are never told apart.
	ErrUnauthenticated = errors.New("unauthenticated")
	// ErrTimeout: the database gave the statement up after its time limit.
	ErrTimeout = errors.New("the query took longer than its time limit")
	// ErrUnrecorded: a read that must be recorded could not be, and is not
	// answered.
	ErrUnrecorded = errors.New("recording the read")
)

// InputError says which field of a request is wrong and what would be right.
type InputError struct {
	// Field is the name as the caller knows it, such as "filters.type".
	Field string
	// Problem is a phrase that names the remedy: "must be 1 to 100".
	Problem string
}

// Error returns "field: problem".
func (e *InputError) Error() string {
	if e.Field == "" {
		return e.Problem
	}
	return e.Field + ": " + e.Problem
}

// SQLSTATEs that are translated.
const (
	stateUniqueViolation  = "23505"
	stateInvalidParameter = "22023"
	stateQueryCanceled    = "57014"
	stateLockNotAvailable = "55P03"
	stateBadEncoding      = "22021"
	stateBadUnicode       = "22P05"
)

// inputMessage is the form "field: problem" in which the query path raises
// SQLSTATE 22023.
var inputMessage = regexp.MustCompile(`^([a-z_][a-z0-9_.]*): (.+)$`)

// translate maps database errors to this package's errors and puts op, a
// gerund phrase, in front. It returns nil for nil.
func translate(op string, err error) error {
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%s: %w", op, err)
	case !errors.As(err, &pg):
		return fmt.Errorf("%s: %w", op, err)
	}
	switch pg.Code {
	case stateUniqueViolation:
		return fmt.Errorf("%s: %w", op, ErrConflict)
	case stateInvalidParameter:
		if m := inputMessage.FindStringSubmatch(pg.Message); m != nil {
			return &InputError{Field: m[1], Problem: m[2]}
		}
	case stateQueryCanceled, stateLockNotAvailable:
		return fmt.Errorf("%s: %w", op, ErrTimeout)
	}
	return fmt.Errorf("%s: %w", op, err)
}
