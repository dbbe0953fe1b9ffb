package store

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const stateCheckViolation = "23514"

// inTxErr runs fn in a transaction and translates its error.
func (s *Store) inTxErr(ctx context.Context, op string, fn func(tx pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, fn)
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
