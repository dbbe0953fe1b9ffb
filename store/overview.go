package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
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

// ConnectionHealth is a connection at a glance.
type ConnectionHealth struct {
	Connection
	// Needs is true where somebody has to do something: it stands still, deletions
	// wait for a decision, or a notice about it is open that is more than good to know.
	Needs       bool
	Quarantined int64
	// Held is how many documents wait for the approval of their deletion.
	Held int64
	// Run is the newest run of its content, nil before the first.
	RunID     *uuid.UUID
	RunState  RunState
	RunAt     *time.Time
	RunCounts Counts
	// Account and GrantState are those of its grant, "" without one. A grant that
	// has ended is "closed".
	Account    string
	GrantState string
}

// ConnectionFilter selects connections; zero fields select all.
type ConnectionFilter struct {
	// Text is a part of the name, the source or the account of the grant.
	Text  string
	State ConnectionState
	// Needs leaves out those that need nobody.
	Needs bool
	// After is Next of the page before.
	After string
	Limit int
}

// ConnectionPage is a page of connections: those first that need somebody, then
// by name. All and Needing count every connection, whatever the filter.
type ConnectionPage struct {
	Items        []ConnectionHealth
	Next         string
	All, Needing int64
}

// connectionNeeds says whether connection c needs somebody.
const connectionNeeds = `(c.state IN ('needs_reauth', 'config_error', 'failed', 'degraded')
	OR EXISTS (SELECT FROM deletion_hold h WHERE h.connection_id = c.id AND h.state = 'open')
	OR EXISTS (SELECT FROM notice n WHERE coalesce(n.connection_id, '00000000-0000-0000-0000-000000000000') = c.id AND n.cleared_at IS NULL AND n.severity <> 'info'))`

// ConnectionHealths returns a page of connections at a glance, in two
// statements however many there are.
func (s *Store) ConnectionHealths(ctx context.Context, f ConnectionFilter) (ConnectionPage, error) {
	var p ConnectionPage
	calm, name, _ := strings.Cut(f.After, ":")
	if f.After != "" && (calm != "0" && calm != "1" || name == "" || !UsableID(name)) {
		return p, &InputError{Field: "after", Problem: "must be what the page before says"}
	}
	if f.Limit <= 0 {
		f.Limit = 50
	}
	err := s.pool.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE `+connectionNeeds+`) FROM connection c`).Scan(&p.All, &p.Needing)
	if err != nil {
		return p, translate("counting connections", err)
	}
	rows, err := s.pool.Query(ctx, `
		WITH m AS (
			SELECT c.id, c.name, `+connectionNeeds+` AS needs, coalesce(g.account, '') AS account,
				CASE WHEN g.closed_at IS NOT NULL THEN 'closed' ELSE coalesce(t.state, '') END AS grant_state
			FROM connection c LEFT JOIN oauth_grant g ON g.id = c.grant_id LEFT JOIN credential t ON t.grant_id = g.id
			WHERE ($1 = '' OR strpos(lower(c.name), lower($1)) > 0 OR strpos(lower(c.source), lower($1)) > 0 OR strpos(lower(g.account), lower($1)) > 0)
			  AND ($2 = '' OR c.state = $2)),
		p AS (
			SELECT * FROM m WHERE (needs OR NOT $3) AND ($4 = '' OR (NOT needs, name) > ($5, $4)) ORDER BY NOT needs, name LIMIT $6)
		SELECT `+connectionColumns+`, p.needs, (SELECT count(*) FROM quarantine q WHERE q.connection_id = c.id),
			(SELECT coalesce(sum(h.documents), 0)::bigint FROM deletion_hold h WHERE h.connection_id = c.id AND h.state = 'open'),
			r.id, coalesce(r.state, ''), r.queued_at, coalesce(r.counts, '{}'), p.account, p.grant_state
		FROM p JOIN connection c ON c.id = p.id
		LEFT JOIN LATERAL (SELECT id, state, queued_at, counts FROM sync_run WHERE connection_id = c.id AND lane = 'content' ORDER BY queued_at DESC LIMIT 1) r ON true
		ORDER BY NOT p.needs, p.name`, f.Text, f.State, f.Needs, name, calm == "1", f.Limit+1)
	if err != nil {
		return p, translate("listing connections", err)
	}
	if p.Items, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ConnectionHealth]); err != nil {
		return p, translate("listing connections", err)
	}
	if len(p.Items) > f.Limit {
		p.Items = p.Items[:f.Limit]
		last := p.Items[f.Limit-1]
		p.Next = "1:" + last.Name
		if last.Needs {
			p.Next = "0:" + last.Name
		}
	}
	return p, nil
}

// DocumentTotals counts the documents that connections store, hidden ones apart.
func (s *Store) DocumentTotals(ctx context.Context, connections []uuid.UUID) (map[uuid.UUID]Totals, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT connection_id, count(*) FILTER (WHERE hidden_reason IS NULL), count(*) FILTER (WHERE hidden_reason IS NOT NULL)
		FROM document WHERE connection_id = ANY($1) GROUP BY connection_id`, connections)
	if err != nil {
		return nil, translate("counting documents", err)
	}
	out := map[uuid.UUID]Totals{}
	var id uuid.UUID
	var t Totals
	_, err = pgx.ForEachRow(rows, []any{&id, &t.Documents, &t.Hidden}, func() error { out[id] = t; return nil })
	return out, translate("counting documents", err)
}

// Attention is what of a connection may wait for somebody: items in quarantine,
// and documents whose deletion nobody has decided on.
type Attention struct{ Quarantined, Held int64 }

// Attention counts what of a connection may wait for somebody.
func (s *Store) Attention(ctx context.Context, connection uuid.UUID) (Attention, error) {
	var a Attention
	err := s.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM quarantine WHERE connection_id = $1),
			(SELECT coalesce(sum(documents), 0)::bigint FROM deletion_hold WHERE connection_id = $1 AND state = 'open')`, connection).Scan(&a.Quarantined, &a.Held)
	return a, translate("counting what waits", err)
}
