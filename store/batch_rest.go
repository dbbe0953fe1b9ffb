package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// aclTargets returns the items of Batch.ACLs and their sets.
func (w *batchWriter) aclTargets() ([]string, []int64) {
	items, sets := make([]string, len(w.b.ACLs)), make([]int64, len(w.b.ACLs))
	for i, a := range w.b.ACLs {
		items[i], sets[i] = a.ExternalID, w.sets[len(w.b.Documents)+i].id
	}
	return items, sets
}

// writeACLs replaces ACLs that differ, among the documents that are locked.
// Where an older run is still alive, an equal ACL is confirmed at this run's
// version too, so that the older run cannot undo it.
func (w *batchWriter) writeACLs(ctx context.Context) error {
	if len(w.b.ACLs) == 0 {
		return nil
	}
	items, sets := w.aclTargets()
	var ids []uuid.UUID
	var due []int64
	for i, set := range sets {
		if set == unknownACL {
			w.counts.ACLUnknown++
		}
		if k, ok := w.stored[items[i]]; ok {
			ids, due = append(ids, k.ID), append(due, set)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := w.tx.Query(ctx, `
		UPDATE document d SET acl_set_id = old.s, acl_version = $3
		FROM (SELECT o.id, o.acl_set_id, u.s FROM unnest($1::uuid[], $2::bigint[]) AS u(i, s) JOIN document o ON o.id = u.i) old
		WHERE d.id = old.id AND d.acl_version <= $3 AND (d.acl_set_id <> old.s OR ($4 AND d.acl_version < $3))
		RETURNING d.id, old.acl_set_id <> old.s`, ids, due, w.b.Run.ACLVersion, w.bump)
	if err != nil {
		return fmt.Errorf("writing ACLs: %w", err)
	}
	var id uuid.UUID
	var changed bool
	_, err = pgx.ForEachRow(rows, []any{&id, &changed}, func() error {
		if changed {
			w.counts.ACLChanged++
			w.outbox = append(w.outbox, []any{"acl", w.b.Run.ConnectionID, id, nil, nil, nil, w.now})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("writing ACLs: %w", err)
	}
	return nil
}

// refuse hides documents whose content the source does not give out any more,
// and those that it lists as something that is not ingested.
func (w *batchWriter) refuse(ctx context.Context) error {
	ids := slices.Clone(w.b.Refused)
	for _, s := range w.b.Skips {
		ids = append(ids, s.Ref.ID)
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := w.tx.Query(ctx, `
		UPDATE document SET hidden_reason = 'refused', hidden_at = $3
		WHERE connection_id = $1 AND external_id = ANY($2) AND hidden_reason IS DISTINCT FROM 'refused' RETURNING id, external_id, path`,
		w.b.Run.ConnectionID, ids, w.now)
	if err != nil {
		return fmt.Errorf("hiding refused documents: %w", err)
	}
	hidden, err := pgx.CollectRows(rows, pgx.RowToStructByPos[itemRow])
	if err != nil {
		return fmt.Errorf("hiding refused documents: %w", err)
	}
	w.counts.Hidden += int64(len(hidden))
	w.note("hide", hidden)
	w.item("refused", "the source does not give its content, or it is not ingested any more", hidden...)
	return nil
}

func (w *batchWriter) note(kind string, rows []itemRow) {
	for _, r := range rows {
		w.outbox = append(w.outbox, []any{kind, w.b.Run.ConnectionID, r.ID, nil, nil, nil, w.now})
	}
}

func (w *batchWriter) deleteDocuments(ctx context.Context) error {
	if len(w.b.Deleted) == 0 {
		return nil
	}
	rows, err := w.tx.Query(ctx, `SELECT id, external_id, path FROM document WHERE connection_id = $1 AND external_id = ANY($2) ORDER BY id FOR UPDATE`, w.b.Run.ConnectionID, w.b.Deleted)
	if err != nil {
		return fmt.Errorf("reading deleted documents: %w", err)
	}
	gone, err := pgx.CollectRows(rows, pgx.RowToStructByPos[itemRow])
	if err != nil {
		return fmt.Errorf("reading deleted documents: %w", err)
	}
	w.counts.Purged += int64(len(gone))
	w.note("purge", gone)
	w.item("purged", "the source says that it was deleted", gone...)
	ids := make([]uuid.UUID, len(gone))
	for i := range gone {
		ids[i] = gone[i].ID
	}
	return purgeDocuments(ctx, w.tx, ids)
}

// purgeDocuments removes documents, which the caller has locked, and everything
// that is keyed by them. It is the only place that does. The queue goes first:
// a drainer that is storing a vector holds its row, and its vector is seen by
// the statement that removes vectors.
func purgeDocuments(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	return purgeCounted(ctx, tx, ids, map[string]int64{})
}

// purgeCounted is purgeDocuments; it adds to removed how many rows of each
// table it removed.
func purgeCounted(ctx context.Context, tx pgx.Tx, ids []uuid.UUID, removed map[string]int64) error {
	if len(ids) == 0 {
		return nil
	}
	// Waiting for rows of the queue is done in the order of their keys.
	if _, err := tx.Exec(ctx, `SELECT FROM embed_todo WHERE document_id = ANY($1) ORDER BY document_id, chunk_id, profile_id FOR UPDATE`, ids); err != nil {
		return fmt.Errorf("purging queued chunks: %w", err)
	}
	if err := removeRows(ctx, tx, removed, "embed_todo", `DELETE FROM embed_todo WHERE document_id = ANY($1)`, ids); err != nil {
		return err
	}
	profiles, err := profileIDs(ctx, tx)
	if err != nil {
		return err
	}
	for _, p := range profiles {
		if err := removeRows(ctx, tx, removed, fmt.Sprintf("vec_%d", p), `DELETE FROM `+vectorTable(p)+` WHERE document_id = ANY($1)`, ids); err != nil {
			return err
		}
	}
	if err := removeRows(ctx, tx, removed, "held_document", `DELETE FROM held_document WHERE document_id = ANY($1)`, ids); err != nil {
		return err
	}
	if err := removeRows(ctx, tx, removed, "chunk", `DELETE FROM chunk WHERE document_id = ANY($1)`, ids); err != nil {
		return err
	}
	if err := removeRows(ctx, tx, removed, "revision", `DELETE FROM revision WHERE document_id = ANY($1)`, ids); err != nil {
		return err
	}
	err = removeRows(ctx, tx, removed, "quarantine",
		`DELETE FROM quarantine q USING document d WHERE d.id = ANY($1) AND q.connection_id = d.connection_id AND q.external_id = d.external_id`, ids)
	if err != nil {
		return err
	}
	return removeRows(ctx, tx, removed, "document", `DELETE FROM document WHERE id = ANY($1)`, ids)
}

// removeRows deletes rows of a table and adds their number to removed.
func removeRows(ctx context.Context, tx pgx.Tx, removed map[string]int64, table, sql string, args ...any) error {
	tag, err := tx.Exec(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("removing rows of %s: %w", table, err)
	}
	removed[table] += tag.RowsAffected()
	return nil
}

// writeSeen records what the listing contained, for the sweep.
func (w *batchWriter) writeSeen(ctx context.Context) error {
	if w.b.Run.Lane != Content {
		return nil
	}
	if w.b.Run.Kind == RunChanges || w.b.Run.Kind == RunPush {
		return w.restore(ctx)
	}
	ids := slices.Clone(w.b.Seen)
	for i := range w.docs {
		ids = append(ids, w.docs[i].id)
	}
	if len(ids) > 0 {
		_, err := w.tx.CopyFrom(ctx, pgx.Identifier{"seen"}, []string{"connection_id", "listing", "document_id"}, pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
			return []any{w.b.Run.ConnectionID, w.b.Run.Listing, ids[i]}, nil
		}))
		if err != nil {
			return fmt.Errorf("writing seen documents: %w", err)
		}
	}
	return w.restore(ctx)
}

// listedAgain is why a document is shown again.
const listedAgain = "the source lists it and gives its content"

// restore shows again what was absent and is listed, and what was refused and
// could be read.
func (w *batchWriter) restore(ctx context.Context) error {
	if len(w.b.Seen)+len(w.b.Touched) == 0 {
		return nil
	}
	touched := make([]string, len(w.b.Touched))
	for i := range w.b.Touched {
		touched[i] = w.b.Touched[i].ExternalID
	}
	rows, err := w.tx.Query(ctx, `
		UPDATE document SET hidden_reason = NULL, hidden_at = NULL
		WHERE (connection_id = $2 AND id = ANY($1) AND hidden_reason IN ('absent', 'deleted'))
		   OR (connection_id = $2 AND external_id = ANY($3) AND hidden_reason IS NOT NULL)
		RETURNING id, external_id, path`, nonNilIDs(w.b.Seen), w.b.Run.ConnectionID, touched)
	if err != nil {
		return fmt.Errorf("restoring documents: %w", err)
	}
	back, err := pgx.CollectRows(rows, pgx.RowToStructByPos[itemRow])
	if err != nil {
		return fmt.Errorf("restoring documents: %w", err)
	}
	w.counts.Restored += int64(len(back))
	w.note("show", back)
	w.item("restored", listedAgain, back...)
	return nil
}

func (w *batchWriter) writeSkips(ctx context.Context) error {
	if len(w.b.Skips) == 0 {
		return nil
	}
	ids, paths, reasons := make([]string, len(w.b.Skips)), make([]string, len(w.b.Skips)), make([]string, len(w.b.Skips))
	for i, s := range w.b.Skips {
		ids[i], paths[i], reasons[i] = s.Ref.ID, s.Path, s.Reason
	}
	_, err := w.tx.Exec(ctx, `
		INSERT INTO skip (connection_id, external_id, path, reason, listing)
		SELECT DISTINCT ON (e) $1::uuid, e, p, r, $5::bigint FROM unnest($2::text[], $3::text[], $4::text[]) AS u(e, p, r)
		ON CONFLICT (connection_id, external_id) DO UPDATE SET path = excluded.path, reason = excluded.reason, listing = excluded.listing`,
		w.b.Run.ConnectionID, ids, paths, reasons, w.b.Run.Listing)
	if err != nil {
		return fmt.Errorf("writing skipped items: %w", err)
	}
	return nil
}

// writeQuarantine counts failures of an item, one in each run, and forgets those
// of items that are stored, skipped, refused or deleted. An item that is quarantined counts as seen.
func (w *batchWriter) writeQuarantine(ctx context.Context) error {
	batch := &pgx.Batch{}
	for _, q := range w.b.Quarantine {
		batch.Queue(`
			INSERT INTO quarantine AS q (connection_id, external_id, path, source_revision, class, reason, run_id) VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (connection_id, external_id) DO UPDATE SET path = excluded.path, class = excluded.class, reason = excluded.reason,
				run_id = excluded.run_id, last_at = clock(), source_revision = excluded.source_revision,
				retry_at = NULL, attempts = CASE WHEN q.source_revision <> excluded.source_revision THEN 1 WHEN q.run_id = excluded.run_id THEN q.attempts ELSE q.attempts + 1 END`,
			w.b.Run.ConnectionID, q.ExternalID, q.Path, q.SourceRevision, q.Class.String(), q.Reason, w.b.Run.ID)
	}
	w.counts.Quarantined += int64(len(w.b.Quarantine))
	if len(w.b.Resting) > 0 {
		batch.Queue(`UPDATE quarantine SET run_id = $3 WHERE connection_id = $1 AND external_id = ANY($2)`, w.b.Run.ConnectionID, w.b.Resting, w.b.Run.ID)
	}
	w.queueItems(batch)
	w.queueRejected(batch)
	stored := slices.Clone(w.b.Deleted)
	for i := range w.docs {
		stored = append(stored, w.docs[i].w.ExternalID)
	}
	for i := range w.b.Touched {
		stored = append(stored, w.b.Touched[i].ExternalID)
	}
	over := slices.Concat(stored, w.b.Refused)
	for _, s := range w.b.Skips {
		over = append(over, s.Ref.ID)
	}
	if len(over) > 0 {
		batch.Queue(`DELETE FROM quarantine WHERE connection_id = $1 AND external_id = ANY($2)`, w.b.Run.ConnectionID, over)
	}
	if len(stored) > 0 {
		batch.Queue(`DELETE FROM skip WHERE connection_id = $1 AND external_id = ANY($2)`, w.b.Run.ConnectionID, stored)
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := w.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("writing quarantine: %w", err)
	}
	return nil
}

func (w *batchWriter) writeOutbox(ctx context.Context) error { return copyOutbox(ctx, w.tx, w.outbox) }

func copyOutbox(ctx context.Context, tx pgx.Tx, rows [][]any) error {
	if len(rows) == 0 {
		return nil
	}
	columns := []string{"kind", "connection_id", "document_id", "revision", "added", "removed", "at"}
	if _, err := tx.CopyFrom(ctx, pgx.Identifier{"outbox"}, columns, pgx.CopyFromRows(rows)); err != nil {
		return fmt.Errorf("writing outbox: %w", err)
	}
	return nil
}
