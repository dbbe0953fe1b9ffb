package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// SkippedItem is an item that is listed and deliberately not ingested.
type SkippedItem struct {
	ExternalID string `json:"id"`
	Path       string `json:"path"`
	Reason     string `json:"reason"`
}

// Skipped lists what a connection's listings contained and did not ingest, by
// path.
func (s *Store) Skipped(ctx context.Context, connection uuid.UUID) ([]SkippedItem, error) {
	rows, err := s.pool.Query(ctx, `SELECT external_id, path, reason FROM skip WHERE connection_id = $1 ORDER BY path, external_id`, connection)
	if err != nil {
		return nil, fmt.Errorf("listing skipped items: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[SkippedItem])
	if err != nil {
		return nil, fmt.Errorf("listing skipped items: %w", err)
	}
	return list, nil
}

// Totals counts what a connection stores, for admins.
type Totals struct {
	// Documents and Chunks leave out what is hidden.
	Documents   int64 `json:"documents"`
	Hidden      int64 `json:"hidden"`
	Chunks      int64 `json:"chunks"`
	Quarantined int64 `json:"quarantined"`
	Skipped     int64 `json:"skipped"`
}

// Totals returns the totals of a connection.
func (s *Store) Totals(ctx context.Context, connection uuid.UUID) (Totals, error) {
	var t Totals
	err := s.pool.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE hidden_reason IS NULL), count(*) FILTER (WHERE hidden_reason IS NOT NULL), coalesce(sum(chunk_count) FILTER (WHERE hidden_reason IS NULL), 0),
			(SELECT count(*) FROM quarantine WHERE connection_id = $1), (SELECT count(*) FROM skip WHERE connection_id = $1)
		FROM document WHERE connection_id = $1`, connection).Scan(&t.Documents, &t.Hidden, &t.Chunks, &t.Quarantined, &t.Skipped)
	if err != nil {
		return t, fmt.Errorf("counting documents: %w", err)
	}
	return t, nil
}

// DeleteConnection purges everything a connection stored, in steps of
// sweepBatch documents, and then the connection itself. It may be called again
// after a failure; meanwhile nothing of the connection is visible. No batch can
// commit once the first step has: it waits for those in flight, raises the
// fence of live runs, and a closing connection gets no other run.
func (s *Store) DeleteConnection(ctx context.Context, id uuid.UUID, events ...audit.Event) error {
	err := s.inTxErr(ctx, "closing connection", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		if err := recordAll(ctx, tx, id.String(), events); err != nil {
			return err
		}
		// Runs before the connection: the order in which a slice that ends takes
		// them. A run made in between is found the second time.
		for _, q := range [...]string{cancelRuns, `UPDATE connection SET state = 'closing', state_reason = 'being deleted', state_since = clock() WHERE id = $1`, cancelRuns} {
			if _, err := tx.Exec(ctx, q, id); err != nil {
				return err
			}
		}
		return nil
	})
	for n := sweepBatch; err == nil && n > 0; {
		n, err = s.deleteStep(ctx, id)
	}
	return err
}

// ClosingConnections returns connections that began to be deleted longer than
// age ago.
func (s *Store) ClosingConnections(ctx context.Context, age time.Duration) ([]uuid.UUID, error) {
	rows, err := s.pool.Query(ctx, `SELECT id FROM connection WHERE state = 'closing' AND state_since < clock() - $1::interval ORDER BY state_since`, age)
	if err != nil {
		return nil, translate("listing closing connections", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return ids, translate("listing closing connections", err)
}

const cancelRuns = `
	UPDATE sync_run SET state = 'cancelled', fence = fence + 1, worker = '', finished_at = clock()
	WHERE connection_id = $1 AND state IN ('queued', 'running')`

// deleteStep purges some documents of a closing connection and returns how
// many; where none is left, it deletes the connection.
func (s *Store) deleteStep(ctx context.Context, id uuid.UUID) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "deleting connection", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id FROM document WHERE connection_id = $1 ORDER BY id LIMIT $2 FOR UPDATE`, id, sweepBatch)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		n = len(ids)
		if n > 0 {
			if err := noteDocuments(ctx, tx, "purge", id, ids); err != nil {
				return err
			}
			return purgeDocuments(ctx, tx, ids)
		}
		if _, err := tx.Exec(ctx, `DELETE FROM seen WHERE connection_id = $1`, id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM connection WHERE id = $1`, id)
		return err
	})
	return n, err
}
