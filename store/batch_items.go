package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// itemRow names a document in the list of what a run did.
type itemRow struct {
	ID         uuid.UUID
	ExternalID string
	Path       string
}

// item notes that the batch did op to documents.
func (w *batchWriter) item(op, reason string, rows ...itemRow) {
	for _, r := range rows {
		w.items = append(w.items, []any{w.b.Run.ID, w.now, op, w.b.Run.ConnectionID, r.ID, r.ExternalID, r.Path, reason})
	}
}

// writeItems writes what was noted.
func (w *batchWriter) writeItems(ctx context.Context) error {
	if len(w.items) == 0 {
		return nil
	}
	columns := []string{"run_id", "at", "op", "connection_id", "document_id", "external_id", "path", "reason"}
	if _, err := w.tx.CopyFrom(ctx, pgx.Identifier{"run_item"}, columns, pgx.CopyFromRows(w.items)); err != nil {
		return fmt.Errorf("writing the run's items: %w", err)
	}
	return nil
}

// noteItems notes that a run, where it is still recorded, did op to documents,
// which are still stored.
func noteItems(ctx context.Context, tx pgx.Tx, run uuid.UUID, op, reason string, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO run_item (run_id, op, connection_id, document_id, external_id, path, reason)
		SELECT r.id, $2, d.connection_id, d.id, d.external_id, d.path, $3 FROM document d JOIN sync_run r ON r.id = $1
		WHERE d.id = ANY($4) ORDER BY d.path`, run, op, reason, ids)
	if err != nil {
		return fmt.Errorf("writing the run's items: %w", err)
	}
	return nil
}

// lockHolds keeps admins from deciding about held documents while the batch
// says which of them were found. Whoever changes documents of a hold locks it
// before them.
func (w *batchWriter) lockHolds(ctx context.Context) error {
	if !w.held {
		return nil
	}
	_, err := w.tx.Exec(ctx, `SELECT FROM deletion_hold WHERE connection_id = $1 AND state <> 'superseded' AND finished_at IS NULL ORDER BY id FOR SHARE`, w.b.Run.ConnectionID)
	if err != nil {
		return fmt.Errorf("locking holds: %w", err)
	}
	return nil
}

// findHeld takes what the source names out of the holds: it is not absent. What
// an approval purged since the page was read is ErrConflict: read again, it is
// new.
func (w *batchWriter) findHeld(ctx context.Context) error {
	if !w.held {
		return nil
	}
	listed := nonNilIDs(w.b.Seen)
	for i := range w.docs {
		listed = append(listed, w.docs[i].id)
	}
	names := append([]string{}, w.b.Refused...)
	for i := range w.b.Touched {
		names = append(names, w.b.Touched[i].ExternalID)
	}
	for _, s := range w.b.Skips {
		names = append(names, s.Ref.ID)
	}
	for _, name := range names {
		if k, ok := w.stored[name]; ok {
			listed = append(listed, k.ID)
		}
	}
	_, err := w.tx.Exec(ctx, `
		WITH found AS (
			DELETE FROM held_document x USING deletion_hold h
			WHERE h.id = x.hold_id AND h.connection_id = $1 AND x.document_id = ANY($2) RETURNING x.hold_id)
		UPDATE deletion_hold h SET kept = h.kept + f.n FROM (SELECT hold_id, count(*) AS n FROM found GROUP BY 1) f WHERE h.id = f.hold_id`,
		w.b.Run.ConnectionID, listed)
	if err != nil {
		return fmt.Errorf("finding held documents: %w", err)
	}
	var gone int64
	if err := w.tx.QueryRow(ctx, `SELECT count(*) FROM unnest($1::uuid[]) i WHERE NOT EXISTS (SELECT FROM document WHERE id = i)`, nonNilIDs(w.b.Seen)).Scan(&gone); err != nil {
		return fmt.Errorf("finding held documents: %w", err)
	}
	for i := range w.b.Touched {
		if _, ok := w.stored[w.b.Touched[i].ExternalID]; !ok {
			gone++
		}
	}
	if gone > 0 {
		return fmt.Errorf("%d listed documents were deleted since the page was read, by an approval: %w", gone, ErrConflict)
	}
	return nil
}

// placeContainers remembers what containers lie in.
func (w *batchWriter) placeContainers(ctx context.Context, list []connectors.Place) error {
	if len(list) == 0 {
		return nil
	}
	ids, parents := make([]string, len(list)), make([]string, len(list))
	for i, c := range list {
		ids[i], parents[i] = c.ID, c.Parent
	}
	_, err := w.tx.Exec(ctx, `
		INSERT INTO container AS c (connection_id, id, parent)
		SELECT DISTINCT ON (i) $1::uuid, i, p FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS u(i, p, n) ORDER BY i, n DESC
		ON CONFLICT (connection_id, id) DO UPDATE SET parent = excluded.parent WHERE c.parent <> excluded.parent`, w.b.Run.ConnectionID, ids, parents)
	if err != nil {
		return fmt.Errorf("placing containers: %w", err)
	}
	return nil
}
