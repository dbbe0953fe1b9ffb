package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/internal/audit"
)

// execer is a pool or a transaction.
type execer interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// Record appends an event to the audit log, in a transaction of its own.
func (s *Store) Record(ctx context.Context, e audit.Event) error {
	return recordEvent(ctx, s.pool, e)
}

// RecordTx appends an event in tx, together with what it is about.
func (s *Store) RecordTx(ctx context.Context, tx pgx.Tx, e audit.Event) error {
	return recordEvent(ctx, tx, e)
}

func recordEvent(ctx context.Context, db execer, e audit.Event) error {
	detail, err := json.Marshal(nonNil(e.Detail))
	if err != nil {
		return fmt.Errorf("encoding audit event: %w", err)
	}
	_, err = db.Exec(ctx, `
		INSERT INTO audit_event (actor_kind, actor, authenticated, ip, action, target_kind, target, outcome, detail)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		e.Actor.Kind, e.Actor.Name, e.Actor.Authenticated, e.Actor.IP, e.Action, e.Target.Kind, e.Target.ID, e.Outcome, detail)
	return translate("writing audit event", err)
}
