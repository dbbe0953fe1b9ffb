package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
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

// recordAll appends events in tx, together with the change that they are about. One that names no target's id is about
// id, which the change made.
func recordAll(ctx context.Context, tx pgx.Tx, id string, events []audit.Event) error {
	for _, e := range events {
		if e.Target.ID == "" {
			e.Target.ID = id
		}
		if err := recordEvent(ctx, tx, e); err != nil {
			return err
		}
	}
	return nil
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

// AuditFilter chooses events. What is zero does not narrow.
type AuditFilter struct {
	Action string // an action, or what one begins with before a dot: "oauth" for "oauth.consent"
	Actor  string // the actor's name
	Target string // id of the target, or kind:id
	Since  time.Time
	Until  time.Time // exclusive
	Before int64     // events with a smaller id only: the last one's of the page before
	Limit  int       // 1 to 1000; 0 is 100
}

const (
	auditLimit    = 100
	maxAuditLimit = 1000
)

// AuditEvents returns events, the newest first.
func (s *Store) AuditEvents(ctx context.Context, f AuditFilter) ([]audit.Event, error) {
	if f.Limit == 0 {
		f.Limit = auditLimit
	}
	if f.Limit < 1 || f.Limit > maxAuditLimit {
		return nil, &InputError{Field: "limit", Problem: fmt.Sprintf("must be 1 to %d", maxAuditLimit)}
	}
	kind, id, ok := strings.Cut(f.Target, ":")
	if !ok {
		kind, id = "", f.Target
	}
	rows, err := s.pool.Query(ctx, `
		SELECT id, at, actor_kind, actor, authenticated, ip, action, target_kind, target, outcome, detail FROM audit_event
		WHERE ($1 = '' OR action = $1 OR starts_with(action, $1 || '.'))
		  AND ($2 = '' OR actor = $2)
		  AND ($3 = '' OR target_kind = $3) AND ($4 = '' OR target = $4)
		  AND ($5::timestamptz IS NULL OR at >= $5) AND ($6::timestamptz IS NULL OR at < $6)
		  AND ($7::bigint = 0 OR id < $7)
		ORDER BY id DESC LIMIT $8`,
		strings.TrimSuffix(f.Action, "."), f.Actor, kind, id, nullTime(f.Since), nullTime(f.Until), f.Before, f.Limit)
	if err != nil {
		return nil, translate("reading the audit log", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (audit.Event, error) {
		var e audit.Event
		err := row.Scan(&e.ID, &e.At, &e.Actor.Kind, &e.Actor.Name, &e.Actor.Authenticated, &e.Actor.IP, &e.Action,
			&e.Target.Kind, &e.Target.ID, &e.Outcome, &e.Detail)
		return e, err
	})
	return list, translate("reading the audit log", err)
}

// ConnectionCreator returns who made a connection, by its own form or by the consent that made it; "" where the audit log does
// not say.
func (s *Store) ConnectionCreator(ctx context.Context, connection uuid.UUID) (string, error) {
	var name string
	err := s.pool.QueryRow(ctx, `
		SELECT a.actor FROM connection c JOIN audit_event a ON a.at BETWEEN c.created_at - interval '1 minute' AND c.created_at + interval '1 minute'
		WHERE c.id = $1 AND a.outcome = 'ok' AND (a.action = 'connection.create' AND a.target_kind = 'connection' AND a.target = c.id::text
			OR a.action = 'oauth.consent' AND a.detail->>'connection' = c.name)
		ORDER BY a.id LIMIT 1`, connection).Scan(&name)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	return name, translate("reading who made a connection", err)
}

func nullTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
