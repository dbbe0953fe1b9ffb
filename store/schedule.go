package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Due is a lane whose time has come, or a live run that nobody works on.
type Due struct {
	ConnectionID uuid.UUID
	Lane         Lane
	Source       string
	// FirstSync is true until a content run has been complete.
	FirstSync bool
	HasFeed   bool
}

// ClaimDue takes up to limit due schedules, moves them to their next time with
// a little jitter, and calls each for every one in the same transaction.
func (s *Store) ClaimDue(ctx context.Context, limit int, each func(ctx context.Context, tx pgx.Tx, d Due) error) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "claiming due schedules", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			WITH due AS (
				SELECT s.connection_id, s.lane FROM schedule s JOIN connection c ON c.id = s.connection_id
				WHERE s.next_run_at <= clock() AND c.state NOT IN ('paused', 'closing', 'needs_reauth')
				ORDER BY s.next_run_at LIMIT $1 FOR UPDATE OF s SKIP LOCKED)
			UPDATE schedule s SET next_run_at = clock() + s.every * (0.95 + 0.1 * random())
			FROM due JOIN connection c ON c.id = due.connection_id
			WHERE s.connection_id = due.connection_id AND s.lane = due.lane
			RETURNING s.connection_id, s.lane, c.source, c.content_as_of IS NULL, c.feed_cursor IS NOT NULL`, limit)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Due])
		if err != nil {
			return err
		}
		n = len(list)
		for _, d := range list {
			if err := each(ctx, tx, d); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// PostponeTx moves a lane's next time a whole interval on, because a run of it
// was just asked for.
func (s *Store) PostponeTx(ctx context.Context, tx pgx.Tx, connection uuid.UUID, lane Lane) error {
	_, err := tx.Exec(ctx, `UPDATE schedule SET next_run_at = clock() + every WHERE connection_id = $1 AND lane = $2`, connection, lane)
	if err != nil {
		return fmt.Errorf("postponing schedule: %w", err)
	}
	return nil
}

// Orphans returns live runs that may have nobody to work on them: their holder
// has shown no heartbeat for takeover, they have waited that long past their
// next try, or their holder is a process of host.
func (s *Store) Orphans(ctx context.Context, takeover time.Duration, host string) ([]Run, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+runColumns+` FROM sync_run r JOIN connection c ON c.id = r.connection_id
		WHERE (r.state = 'running' AND r.worker <> '' AND (r.heartbeat_at < clock() - $1::interval OR split_part(r.worker, ':', 1) = $2))
		   OR (r.state IN ('queued', 'running') AND r.worker = '' AND coalesce(r.next_try_at, r.heartbeat_at, r.queued_at) < clock() - $1::interval)
		ORDER BY r.queued_at LIMIT 1000`, takeover, host)
	if err != nil {
		return nil, fmt.Errorf("looking for orphaned runs: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Run])
	if err != nil {
		return nil, fmt.Errorf("looking for orphaned runs: %w", err)
	}
	return list, nil
}

// WorkersAlive reports whether any process works on jobs: a worker's pool holds
// a connection as long as it lives.
func (s *Store) WorkersAlive(ctx context.Context) (bool, error) {
	var ok bool
	err := s.pool.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid())`,
		"tributary-"+string(Worker)).Scan(&ok)
	if err != nil {
		return false, fmt.Errorf("looking for workers: %w", err)
	}
	return ok, nil
}
