package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// workerAlive is how long after its last sign a process counts as alive;
// workerForgotten is how long after it its row is kept.
const (
	workerAlive     = time.Minute
	workerForgotten = 10 * time.Minute
)

// WorkerProcess is a process that works on jobs.
type WorkerProcess struct {
	// Name is "host:pid:random", as it stands in the runs that it holds.
	Name    string `json:"name"`
	Version string `json:"version"`
	// Kinds are the job kinds that it knows, Slots is how many content slices it
	// works on at once.
	Kinds     []string  `json:"kinds"`
	Slots     int       `json:"slots"`
	StartedAt time.Time `json:"started_at"`
	SeenAt    time.Time `json:"seen_at"`
	Alive     bool      `json:"alive"`
	// Runs is how many runs it holds.
	Runs int `json:"runs"`
}

// ShowWorker records that a process works on jobs, and forgets those that have
// long shown nothing.
func (s *Store) ShowWorker(ctx context.Context, w WorkerProcess) error {
	return s.inTxErr(ctx, "showing that this process works", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO worker (name, version, kinds, slots) VALUES ($1, $2, $3, $4)
			ON CONFLICT (name) DO UPDATE SET seen_at = clock(), version = excluded.version, kinds = excluded.kinds, slots = excluded.slots`,
			w.Name, w.Version, w.Kinds, w.Slots)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM worker WHERE name IN (SELECT name FROM worker WHERE seen_at < clock() - $1::interval FOR UPDATE SKIP LOCKED)`, workerForgotten)
		return err
	})
}

// RemoveWorker records that a process works no more.
func (s *Store) RemoveWorker(ctx context.Context, name string) error {
	if _, err := s.pool.Exec(ctx, `DELETE FROM worker WHERE name = $1`, name); err != nil {
		return fmt.Errorf("taking a worker off the list: %w", err)
	}
	return nil
}

// Workers lists the processes that work on jobs, and those that ended without
// saying so a short while ago.
func (s *Store) Workers(ctx context.Context) ([]WorkerProcess, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT w.name, w.version, w.kinds, w.slots, w.started_at, w.seen_at, w.seen_at > clock() - $1::interval,
			(SELECT count(*) FROM sync_run r WHERE r.worker = w.name AND r.state = 'running')
		FROM worker w ORDER BY w.started_at, w.name`, workerAlive)
	if err != nil {
		return nil, fmt.Errorf("listing workers: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[WorkerProcess])
	if err != nil {
		return nil, fmt.Errorf("listing workers: %w", err)
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
