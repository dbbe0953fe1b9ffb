package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ConnectionOverview is a connection as a list shows it.
type ConnectionOverview struct {
	Connection
	Totals
	// LastRun is the state of the newest run of its content; "" before the first.
	LastRun RunState
}

// ConnectionOverviews lists every connection by name with its totals, in one statement however many there are.
func (s *Store) ConnectionOverviews(ctx context.Context) ([]ConnectionOverview, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT `+connectionColumns+`, coalesce(d.shown, 0), coalesce(d.hidden, 0), coalesce(d.chunks, 0), coalesce(q.n, 0), coalesce(k.n, 0), coalesce(x.n, 0), coalesce(r.state, '')
		FROM connection c
		LEFT JOIN (
			SELECT connection_id, count(*) FILTER (WHERE hidden_reason IS NULL) AS shown, count(*) FILTER (WHERE hidden_reason IS NOT NULL) AS hidden,
				sum(chunk_count) FILTER (WHERE hidden_reason IS NULL) AS chunks
			FROM document GROUP BY connection_id) d ON d.connection_id = c.id
		LEFT JOIN (SELECT connection_id, count(*) AS n FROM quarantine GROUP BY connection_id) q ON q.connection_id = c.id
		LEFT JOIN (SELECT connection_id, count(*) AS n FROM skip GROUP BY connection_id) k ON k.connection_id = c.id
		LEFT JOIN (SELECT connection_id, count(*) AS n FROM exclusion WHERE why = 'excluded' GROUP BY connection_id) x ON x.connection_id = c.id
		LEFT JOIN LATERAL (SELECT state FROM sync_run WHERE connection_id = c.id AND lane = 'content' ORDER BY queued_at DESC LIMIT 1) r ON true
		ORDER BY c.name`)
	if err != nil {
		return nil, fmt.Errorf("listing connections with their totals: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ConnectionOverview])
	if err != nil {
		return nil, fmt.Errorf("listing connections with their totals: %w", err)
	}
	return list, nil
}
