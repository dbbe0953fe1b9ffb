package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// LiveRun is a run that waits, works or has just begun, as one that watches needs it.
type LiveRun struct {
	ID, ConnectionID uuid.UUID
	// Mark is another one whenever the run has moved: its state, its heartbeat, its counts.
	Mark string
}

// liveTimeout bounds LiveRuns, which is asked again and again.
const liveTimeout = 3 * time.Second

// LiveRuns returns every run that waits or works, at most two a connection, and those that were asked for in the last five
// seconds: one that is through before somebody looks has moved too.
func (s *Store) LiveRuns(ctx context.Context) ([]LiveRun, error) {
	ctx, cancel := context.WithTimeout(ctx, liveTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, `
		SELECT id, connection_id, md5(concat_ws('|', state, worker, slices, heartbeat_at, cancel_requested, counts))
		FROM sync_run WHERE state IN ('queued', 'running')
		UNION
		SELECT id, connection_id, md5(concat_ws('|', state, worker, slices, heartbeat_at, cancel_requested, counts))
		FROM sync_run WHERE queued_at > clock() - interval '5 seconds' ORDER BY id`)
	if err != nil {
		return nil, translate("listing live runs", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[LiveRun])
	return list, translate("listing live runs", err)
}
