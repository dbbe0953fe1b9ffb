package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Orphan is a live run that may have nobody to work on it.
type Orphan struct {
	Run
	// Silent is true when its holder, or nobody, has shown a sign of life for
	// long enough; else its holder is a process of this host, which may be gone.
	Silent bool
}

// Orphans returns live runs that may have nobody to work on them: their holder
// has shown no heartbeat for takeover, they have waited that long past their
// next try and no job is to begin them soon, or their holder is a process of host.
// A job whose time has come and which nobody makes available is none: the process
// that leads does that, and it may be the one that is gone.
func (s *Store) Orphans(ctx context.Context, takeover time.Duration, host string) ([]Orphan, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+runColumns+`, coalesce(r.worker = '' OR r.heartbeat_at < clock() - $1::interval, true)
		FROM sync_run r JOIN connection c ON c.id = r.connection_id
		WHERE r.kind <> 'push' AND ((r.state = 'running' AND r.worker <> '' AND (r.heartbeat_at < clock() - $1::interval OR split_part(r.worker, ':', 1) = $2))
		   OR (r.state IN ('queued', 'running') AND r.worker = '' AND coalesce(r.next_try_at, r.heartbeat_at, r.queued_at) < clock() - $1::interval))
		  AND NOT EXISTS (SELECT FROM river.river_job j WHERE j.kind = 'sync_slice' AND j.args ->> 'run_id' = r.id::text
			AND (j.state = 'available' OR j.state IN ('scheduled', 'retryable', 'pending') AND j.scheduled_at BETWEEN now() - interval '20 seconds' AND now() + interval '1 minute'))
		ORDER BY r.queued_at LIMIT 1000`, takeover, host)
	if err != nil {
		return nil, fmt.Errorf("looking for orphaned runs: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Orphan])
	if err != nil {
		return nil, fmt.Errorf("looking for orphaned runs: %w", err)
	}
	return list, nil
}

// waitsSince is when a run that nobody holds could have been worked on.
const waitsSince = `greatest(r.waiting_since, r.next_try_at, r.queued_at)`

// silent is true of a run whose holder has shown no life for as long as it takes
// for another process to take it over.
const silent = `r.worker <> '' AND r.heartbeat_at < clock() - interval '1 minute'`

// Queue is how many runs of a lane nobody works on, and what works on them.
type Queue struct {
	// Waiting counts the runs that have waited for longer than a moment, and those
	// whose holder is silent.
	Waiting int
	// Slots is how many slices of the lane content the living processes work on
	// at once.
	Slots int
}

// Queue returns what waits in a lane.
func (s *Store) Queue(ctx context.Context, lane Lane) (Queue, error) {
	var q Queue
	err := s.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM sync_run r WHERE r.lane = $1 AND r.kind <> 'push' AND (r.state = 'queued' AND r.worker = '' AND `+waitsSince+` < clock() - interval '1 second' OR r.state = 'running' AND `+silent+`)),
			(SELECT coalesce(sum(slots), 0) FROM worker WHERE seen_at > clock() - $2::interval)`, lane, workerAlive).Scan(&q.Waiting, &q.Slots)
	if err != nil {
		return q, fmt.Errorf("looking at what waits: %w", err)
	}
	return q, nil
}

// Crowded reports whether the client registration of a run's connection has
// more than its share of the slots while runs of others wait: more than half,
// rounded up. A run whose holder is silent takes no slot. Sources without
// consent have no registration and no share.
func (s *Store) Crowded(ctx context.Context, run Run, slots int) (bool, error) {
	var crowded bool
	err := s.pool.QueryRow(ctx, `
		WITH own AS (SELECT g.registration_id AS id FROM connection c JOIN oauth_grant g ON g.id = c.grant_id WHERE c.id = $1),
		live AS (SELECT r.*, g.registration_id AS registration, `+silent+` AS silent FROM sync_run r JOIN connection c ON c.id = r.connection_id
			LEFT JOIN oauth_grant g ON g.id = c.grant_id WHERE r.state IN ('queued', 'running') AND r.lane = $2)
		SELECT coalesce((SELECT count(*) FROM live JOIN own ON live.registration = own.id WHERE live.state = 'running' AND live.worker <> '' AND NOT live.silent AND live.id <> $3) >= ($4 + 1) / 2
			AND EXISTS (SELECT FROM live r, own WHERE r.registration IS DISTINCT FROM own.id AND r.state = 'queued' AND r.worker = '' AND `+waitsSince+` < clock()), false)`,
		run.ConnectionID, run.Lane, run.ID, slots).Scan(&crowded)
	if err != nil {
		return false, fmt.Errorf("looking at what a registration takes: %w", err)
	}
	return crowded, nil
}

// DeferRun puts a queued run that nobody holds off until a time. It reports
// whether there was one.
func (s *Store) DeferRun(ctx context.Context, id uuid.UUID, until time.Time, then func(ctx context.Context, tx pgx.Tx) error) (bool, error) {
	done := false
	err := s.inTxErr(ctx, "putting a run off", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE sync_run SET next_try_at = $2, waiting_since = $2 WHERE id = $1 AND state = 'queued' AND worker = ''`, id, until)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		done = true
		return then(ctx, tx)
	})
	return done, err
}

// HastenRun makes a run that waits for the end of quiet hours, or for another
// try, due at once, because somebody asked for it. A wait that the source asked
// for stays. It reports whether the run was waiting.
func (s *Store) HastenRun(ctx context.Context, id uuid.UUID, cause string, then func(ctx context.Context, tx pgx.Tx) error) (bool, error) {
	done := false
	err := s.inTxErr(ctx, "hastening run", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE sync_run SET cause = $2, next_try_at = NULL, waiting_since = clock()
			WHERE id = $1 AND state = 'queued' AND worker = '' AND next_try_at > clock() AND error_class <> 'rate_limited'`, id, cause)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		done = true
		return then(ctx, tx)
	})
	return done, err
}

// PromoteSlices puts the slices that have waited for longer than overdue before
// all others.
func (s *Store) PromoteSlices(ctx context.Context, overdue time.Duration) error {
	_, err := s.pool.Exec(ctx, `
		UPDATE river.river_job SET priority = 1 WHERE id IN (
			SELECT id FROM river.river_job WHERE state = 'available' AND kind = 'sync_slice' AND priority > 1 AND scheduled_at < now() - $1::interval
			ORDER BY id LIMIT 5000 FOR UPDATE SKIP LOCKED)`, overdue)
	if err != nil {
		return fmt.Errorf("promoting slices: %w", err)
	}
	return nil
}
