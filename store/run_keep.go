package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// RunRetention says how long what is told of runs is kept.
type RunRetention struct {
	// Age is how long after its end a run is kept at least.
	Age time.Duration
	// Last is how many runs of each connection and lane stay however old they
	// are.
	Last int
}

// DefaultRunRetention is 30 days and the last 20 runs.
func DefaultRunRetention() RunRetention { return RunRetention{Age: 30 * 24 * time.Hour, Last: 20} }

// forgetBatch bounds the runs that one transaction forgets.
const forgetBatch = 500

// ForgetRuns deletes the log and the items of runs that are older than keep
// allows, and the runs themselves where no revision names them: lineage stays
// whole. The last complete listing of a connection is kept, for what the next
// one is expected to contain. It deals with some at a time and returns with
// how many, 0 at last.
func (s *Store) ForgetRuns(ctx context.Context, keep RunRetention) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "forgetting old runs", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT r.id FROM (
				SELECT o.id, o.finished_at, o.whole, row_number() OVER (PARTITION BY o.connection_id, o.lane ORDER BY o.queued_at DESC) AS nth,
					row_number() OVER (PARTITION BY o.connection_id, o.whole ORDER BY o.queued_at DESC) AS nth_whole
				FROM (SELECT *, complete AND kind IN ('snapshot', 'reconcile') AND state IN ('succeeded', 'partial') AS whole FROM sync_run) o) r
			WHERE r.finished_at < clock() - $1::interval AND r.nth > $2 AND NOT (r.whole AND r.nth_whole = 1)
			  AND (EXISTS (SELECT FROM run_event e WHERE e.run_id = r.id) OR EXISTS (SELECT FROM run_item i WHERE i.run_id = r.id)
			       OR NOT EXISTS (SELECT FROM revision v WHERE v.run_id = r.id))
			ORDER BY r.id LIMIT $3`, keep.Age, keep.Last, forgetBatch)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		n = len(ids)
		for _, q := range [...]string{
			`DELETE FROM run_event WHERE run_id = ANY($1)`,
			`DELETE FROM run_item WHERE run_id = ANY($1)`,
			`DELETE FROM sync_run r WHERE id = ANY($1) AND NOT EXISTS (SELECT FROM revision v WHERE v.run_id = r.id)`,
		} {
			if _, err := tx.Exec(ctx, q, ids); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}
