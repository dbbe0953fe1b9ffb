package store

import (
	"context"
	"errors"
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
	Excluded    int64 `json:"excluded"`
}

// Totals returns the totals of a connection.
func (s *Store) Totals(ctx context.Context, connection uuid.UUID) (Totals, error) {
	var t Totals
	err := s.pool.QueryRow(ctx, `
		SELECT count(*) FILTER (WHERE hidden_reason IS NULL), count(*) FILTER (WHERE hidden_reason IS NOT NULL), coalesce(sum(chunk_count) FILTER (WHERE hidden_reason IS NULL), 0),
			(SELECT count(*) FROM quarantine WHERE connection_id = $1), (SELECT count(*) FROM skip WHERE connection_id = $1),
			(SELECT count(*) FROM exclusion WHERE connection_id = $1 AND why = 'excluded')
		FROM document WHERE connection_id = $1`, connection).Scan(&t.Documents, &t.Hidden, &t.Chunks, &t.Quarantined, &t.Skipped, &t.Excluded)
	if err != nil {
		return t, fmt.Errorf("counting documents: %w", err)
	}
	return t, nil
}

// DeleteConnection erases a connection with everything that came through it:
// RequestErasure and Erase in one, with a receipt. It may be called again after
// a failure; meanwhile nothing of the connection is visible. Where another
// process is at it, it waits.
func (s *Store) DeleteConnection(ctx context.Context, id uuid.UUID, events ...audit.Event) error {
	by := "system"
	for i := range events {
		by = events[i].Actor.Name
		if events[i].Target.ID == "" {
			events[i].Target.ID = id.String()
		}
	}
	e, err := s.RequestErasure(ctx, EraseRequest{Connection: id, Scope: EraseConnection}, by, events...)
	if errors.Is(err, ErrNotFound) {
		return nil // somebody else has finished it
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for err == nil && e.State.Open() {
		e, err = s.Erase(ctx, e.ID, EraseOptions{})
		if err == nil || !errors.Is(err, ErrConflict) && !errors.Is(err, ErrFenced) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for an erasure: %w", ctx.Err())
		case <-tick.C:
			e, err = s.Erasure(ctx, e.ID)
		}
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
