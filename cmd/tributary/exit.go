package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"tributary/connectors"
	"tributary/internal/settings"
	"tributary/oauthflow"
	"tributary/store"
)

// The exit codes; exitHelp documents them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitPartial     = 4
	exitDatabase    = 5
	exitSchema      = 6
	exitConflict    = 7
	exitInterrupted = 130
)

const exitHelp = `Exit codes:
  0    done
  1    it did not work; the message says why
  2    wrong usage: a flag, an argument or a setting
  3    there is no such thing
  4    a sync ended partially: some documents could not be ingested
  5    the database cannot be reached, or the managed one cannot start
  6    the database's schema is older than this program: run tributary migrate up
  7    conflict: the name is taken, or somebody else is at it
  130  interrupted
`

// usageError is a mistake in the command line.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return &usageError{msg: fmt.Sprintf(format, args...)} }

// partialError says that a sync ended with documents left out. The counts were
// printed already, so there is nothing to report.
type partialError struct{}

func (*partialError) Error() string { return "the sync ended partially" }

// silentError carries an exit code for a failure that was printed already.
type silentError struct{ code int }

func (e *silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// databaseError says that there is no database to work with.
type databaseError struct{ err error }

func (e *databaseError) Error() string { return e.err.Error() }
func (e *databaseError) Unwrap() error { return e.err }

// report writes err in one line and returns the exit code.
func report(ctx context.Context, stderr io.Writer, err error) int {
	code := exitCode(ctx, err)
	var silent *silentError
	var partial *partialError
	if err == nil || errors.As(err, &silent) || errors.As(err, &partial) {
		return code
	}
	if code == exitInterrupted {
		_, _ = fmt.Fprintln(stderr, "tributary: interrupted; what was committed stays, the next run continues")
		return code
	}
	_, _ = fmt.Fprintln(stderr, "tributary: "+oneLine(describe(err)))
	return code
}

// describe returns the message of err, without connection details that pgx
// puts into its own.
func describe(err error) string {
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		// SECURITY: the message of pgx names user and host, never the password.
		return "connecting to the database: " + connectProblem(connect) +
			"; is it running, and is TRIBUTARY_DATABASE_URL right? tributary doctor checks both"
	}
	if flow, ok := errors.AsType[*oauthflow.FlowError](err); ok && flow.Remedy != "" {
		return err.Error() + ". " + flow.Remedy
	}
	return err.Error()
}

func connectProblem(err *pgconn.ConnectError) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Message
	}
	inner := errors.Unwrap(err)
	if inner == nil {
		return err.Error()
	}
	// pgx tries an address with and without TLS, and says the same of both.
	var problems []string
	for line := range strings.Lines(inner.Error()) {
		if line = strings.TrimSpace(line); !slices.Contains(problems, line) {
			problems = append(problems, line)
		}
	}
	return strings.Join(problems, "; ")
}

func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}

// exitCode is the one mapping of errors to exit codes.
func exitCode(ctx context.Context, err error) int {
	var (
		silent   *silentError
		usage    *usageError
		setting  *settings.Error
		input    *store.InputError
		schema   *store.SchemaError
		database *databaseError
		connect  *pgconn.ConnectError
		partial  *partialError
		refused  *oauthflow.RefusedError
		plan     *oauthflow.PlanError
		profile  *oauthflow.ProfileError
	)
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &silent):
		return silent.code
	case errors.As(err, &partial):
		return exitPartial
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &setting), errors.As(err, &input):
		return exitUsage
	case errors.As(err, &refused), errors.As(err, &plan), errors.As(err, &profile):
		return exitUsage
	case errors.As(err, &schema):
		return exitSchema
	case errors.Is(err, store.ErrNotFound):
		return exitNotFound
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrLastOwner), errors.Is(err, store.ErrAccountExists),
		errors.Is(err, oauthflow.ErrRegistrationUsed), errors.Is(err, oauthflow.ErrRegistrationChanged):
		return exitConflict
	case errors.As(err, &database), errors.As(err, &connect):
		return exitDatabase
	case connectors.ClassOf(err) == connectors.Invalid:
		return exitUsage
	default:
		return exitFailure
	}
}
