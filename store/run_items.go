package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// What a run did with an item.
const (
	ItemAdded       = "added"
	ItemUpdated     = "updated"
	ItemHidden      = "hidden"
	ItemPurged      = "purged"
	ItemRestored    = "restored"
	ItemRefused     = "refused"
	ItemQuarantined = "quarantined"
	ItemSkipped     = "skipped"
)

// RunItemOps returns what a run can have done with an item, in the order in
// which people read it.
func RunItemOps() []string {
	return []string{ItemAdded, ItemUpdated, ItemRestored, ItemHidden, ItemPurged, ItemRefused, ItemQuarantined, ItemSkipped}
}

// RunItem is one item behind a run's counts.
type RunItem struct {
	// ID orders the items of one run and operation.
	ID         int64      `json:"id"`
	At         time.Time  `json:"at"`
	Op         string     `json:"op"`
	DocumentID *uuid.UUID `json:"document_id,omitempty"`
	ExternalID string     `json:"external_id"`
	Path       string     `json:"path"`
	Reason     string     `json:"reason,omitempty"`
}

const (
	// A run's revisions have no order of their own: their place in the list is their id.
	revisionItems = `
		SELECT n, created_at, $2::text, document_id, external_id, path, ''
		FROM (SELECT row_number() OVER (ORDER BY v.created_at, v.document_id, v.number) AS n, v.created_at, v.document_id, d.external_id, d.path
		      FROM revision v JOIN document d ON d.id = v.document_id WHERE v.run_id = $1 AND (v.number = 1) = ($2 = 'added')) x
		WHERE n > $3 ORDER BY n LIMIT $4`
	recordedItems = `
		SELECT id, at, op, document_id, external_id, path, reason FROM run_item
		WHERE run_id = $1 AND op = $2 AND id > $3 ORDER BY id LIMIT $4`
	// An item that is skipped is remembered with the last listing that contained it.
	skippedItems = `
		SELECT n, at, $2::text, NULL::uuid, external_id, path, reason
		FROM (SELECT row_number() OVER (ORDER BY k.path, k.external_id) AS n, coalesce(r.started_at, r.queued_at) AS at, k.external_id, k.path, k.reason
		      FROM sync_run r JOIN skip k ON k.connection_id = r.connection_id AND k.listing = r.listing WHERE r.id = $1) x
		WHERE n > $3 ORDER BY n LIMIT $4`
)

// RunItems returns at most limit items with which a run did op, after the item
// with id after. What was added or updated and is purged since is not among
// them, nor is what a later run skipped again.
func (s *Store) RunItems(ctx context.Context, run uuid.UUID, op string, after int64, limit int) ([]RunItem, error) {
	if !slices.Contains(RunItemOps(), op) {
		return nil, &InputError{Field: "op", Problem: "must be " + strings.Join(RunItemOps(), ", ")}
	}
	var rows pgx.Rows
	var err error
	switch op {
	case ItemAdded, ItemUpdated:
		rows, err = s.pool.Query(ctx, revisionItems, run, op, after, limit)
	case ItemSkipped:
		rows, err = s.pool.Query(ctx, skippedItems, run, op, after, limit)
	default:
		rows, err = s.pool.Query(ctx, recordedItems, run, op, after, limit)
	}
	if err != nil {
		return nil, translate("listing a run's items", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RunItem])
	return list, translate("listing a run's items", err)
}

// queueItems writes down what the run could not ingest: what fails, and what
// failed too often to be tried again.
func (w *batchWriter) queueItems(batch *pgx.Batch) {
	ids := slices.Clone(w.b.Resting)
	for _, q := range w.b.Quarantine {
		ids = append(ids, q.ExternalID)
	}
	if len(ids) == 0 {
		return
	}
	batch.Queue(`
		INSERT INTO run_item (run_id, op, connection_id, document_id, external_id, path, reason)
		SELECT $2, 'quarantined', q.connection_id, d.id, q.external_id, q.path, q.reason
		FROM quarantine q LEFT JOIN document d ON d.connection_id = q.connection_id AND d.external_id = q.external_id
		WHERE q.connection_id = $1 AND q.external_id = ANY($3)`, w.b.Run.ConnectionID, w.b.Run.ID, ids)
}

// maxRejected bounds the rejected items that are listed of one run, but for a batch.
const maxRejected = 1000

// queueRejected writes down what was pushed and is not stored.
func (w *batchWriter) queueRejected(batch *pgx.Batch) {
	if len(w.b.Rejected) == 0 {
		return
	}
	ids, reasons := make([]string, len(w.b.Rejected)), make([]string, len(w.b.Rejected))
	for i, r := range w.b.Rejected {
		ids[i], reasons[i] = r.ExternalID, cleanText(r.Reason)
	}
	batch.Queue(`
		INSERT INTO run_item (run_id, op, connection_id, external_id, path, reason)
		SELECT $1, 'refused', $2, u.id, u.id, u.reason FROM unnest($3::text[], $4::text[]) u(id, reason)
		WHERE (SELECT count(*) FROM run_item WHERE run_id = $1 AND op = 'refused') < $5`, w.b.Run.ID, w.b.Run.ConnectionID, ids, reasons, maxRejected)
}

// RunTroubles counts what went wrong in a run: the warnings and errors of its
// log by code, and what it left in quarantine by class.
func (s *Store) RunTroubles(ctx context.Context, run uuid.UUID) (map[string]int64, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT code, count(*) FROM run_event WHERE run_id = $1 AND level <> 'info' AND code <> $2 GROUP BY code
		UNION ALL SELECT 'quarantined ' || class, count(*) FROM quarantine WHERE run_id = $1 GROUP BY class`, run, EventEnded)
	if err != nil {
		return nil, translate("counting a run's troubles", err)
	}
	out := map[string]int64{}
	var what string
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&what, &n}, func() error { out[what] = n; return nil })
	return out, translate("counting a run's troubles", err)
}
