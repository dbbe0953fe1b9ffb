package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// ExpireDue implements oauthflow.GrantStore. A grant whose time is over takes its connections along, with its own choice
// of what becomes of the documents; a connection takes its grant along where no other uses it. What is hidden is hidden
// from its time on, whether or not this has run.
func (s *Store) ExpireDue(ctx context.Context) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "expiring grants", func(tx pgx.Tx) error {
		n = 0
		grants, err := idsOf(tx.Query(ctx, `
			SELECT g.id FROM oauth_grant g JOIN credential c ON c.grant_id = g.id
			WHERE g.expires_at <= clock() AND g.closed_at IS NULL AND c.state <> 'closing' ORDER BY g.id FOR UPDATE OF c SKIP LOCKED`))
		if err != nil {
			return err
		}
		for _, id := range grants {
			if err := s.expireGrant(ctx, tx, id); err != nil {
				return err
			}
		}
		conns, err := idsOf(tx.Query(ctx, `
			SELECT id FROM connection WHERE expires_at <= clock() AND state <> 'closing' AND NOT (state = 'paused' AND state_reason = $1)
			ORDER BY id`, timeIsOver))
		if err != nil {
			return err
		}
		for _, id := range conns {
			if err := s.expireConnection(ctx, tx, id); err != nil {
				return err
			}
		}
		n = len(grants) + len(conns)
		return nil
	})
	return n, err
}

func idsOf(rows pgx.Rows, err error) ([]uuid.UUID, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
}

func (s *Store) expireGrant(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	for _, q := range [...]string{
		closeGrant,
		`UPDATE connection k SET expires_at = least(k.expires_at, g.expires_at), at_expiry = CASE WHEN g.at_expiry = 'hide' THEN 'hide' ELSE k.at_expiry END
		 FROM oauth_grant g WHERE g.id = $1 AND k.grant_id = g.id AND k.state <> 'closing'`,
	} {
		if _, err := tx.Exec(ctx, q, id); err != nil {
			return err
		}
	}
	return s.RecordTx(ctx, tx, expiry("grant.expire", "grant", id))
}

// expireConnection locks the credential before the connection, as a refresh does.
func (s *Store) expireConnection(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	if _, err := tx.Exec(ctx, `SELECT FROM credential c JOIN connection k ON k.grant_id = c.grant_id WHERE k.id = $1 FOR UPDATE OF c`, id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE sync_run SET cancel_requested = true WHERE connection_id = $1 AND state IN ('queued', 'running')`, id); err != nil {
		return err
	}
	if err := setConnectionState(ctx, tx, id, StatePaused, timeIsOver); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `
		UPDATE credential c SET state = 'closing', state_since = clock(), failures = 0, next_try = clock(), updated_at = clock()
		FROM connection k WHERE k.id = $1 AND c.grant_id = k.grant_id AND c.state <> 'closing'
			AND NOT EXISTS (SELECT FROM connection o WHERE o.grant_id = k.grant_id AND o.id <> k.id AND o.state <> 'closing' AND (o.expires_at > clock()) IS NOT FALSE)`, id)
	if err != nil {
		return err
	}
	return s.RecordTx(ctx, tx, expiry("connection.expire", "connection", id))
}

func expiry(action, kind string, id uuid.UUID) audit.Event {
	return audit.Event{
		Actor: audit.Actor{Kind: audit.System, Name: "expiry"}, Action: action, Target: audit.Target{Kind: kind, ID: id.String()}, Outcome: audit.OK,
	}
}
