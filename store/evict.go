package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// evictHolder ends the database session that holds the row of a run in a
// transaction, if it has waited for its client for as long as a takeover takes
// and the run shows no heartbeat. A process that was frozen in the middle of a
// COPY holds the row for ever: PostgreSQL minds no time limit, and no cancel
// request, while it reads what is copied. It reports whether a session was ended.
func (s *Store) evictHolder(ctx context.Context, id uuid.UUID, takeover time.Duration) (bool, error) {
	var gone bool
	err := s.inTxErr(ctx, "evicting a holder that is frozen", func(tx pgx.Tx) error {
		// xmax of the version that everybody sees is the transaction that has
		// updated the row and not ended.
		rows, err := tx.Query(ctx, `
			SELECT pg_terminate_backend(a.pid, 5000)
			FROM sync_run r
			JOIN pg_locks l ON l.locktype = 'transactionid' AND l.granted AND l.transactionid = r.xmax
			JOIN pg_stat_activity a ON a.pid = l.pid
			WHERE r.id = $1 AND r.heartbeat_at < clock() - $2::interval
			  AND a.usename = current_user AND a.wait_event_type = 'Client' AND a.state_change < clock_timestamp() - $2::interval`, id, takeover)
		if err != nil {
			return err
		}
		ended, err := pgx.CollectRows(rows, pgx.RowTo[bool])
		if err != nil {
			return fmt.Errorf("ending its session: %w", err)
		}
		for _, e := range ended {
			gone = gone || e
		}
		return nil
	})
	return gone, err
}
