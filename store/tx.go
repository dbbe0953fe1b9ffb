package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const stateCheckViolation = "23514"

// inTxErr runs fn in a transaction and translates its error.
func (s *Store) inTxErr(ctx context.Context, op string, fn func(tx pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, fn)
	s.noteTrouble(err)
	if _, ok := errors.AsType[*InputError](err); ok {
		return err
	}
	return translate(op, err)
}

func pgCode(err error) string {
	if pe, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pe.Code
	}
	return ""
}

// patient lets a transaction that an admin asked for wait for a batch in
// flight, which holds the row of its run until it commits.
func patient(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', '30s', true), set_config('statement_timeout', '40s', true)`); err != nil {
		return fmt.Errorf("setting time limits: %w", err)
	}
	return nil
}
