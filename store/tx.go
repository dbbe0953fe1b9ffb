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
	var in *InputError
	if errors.As(err, &in) {
		return err
	}
	return translate(op, err)
}

func pgCode(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}
