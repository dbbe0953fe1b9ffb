package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
)

// erasedText stands where a message named what was erased.
const erasedText = "[erased]"

// manyItems is how many items make it cheaper to take every message of the
// connection's runs away than to look which of them name one.
const manyItems = 200

// eraseItem is an item to erase. It has no document where it was listed and
// never stored.
type eraseItem struct {
	Document   *uuid.UUID
	ExternalID string
	Path       string
	Title      string
	Container  string
}

// requestItems hides documents and takes away, in the same transaction, every
// row that names them by the source's words. What is left names them by our own
// ids.
func (s *Store) requestItems(ctx context.Context, tx pgx.Tx, req EraseRequest, by string, events []audit.Event) (Erasure, error) {
	e := Erasure{ID: uuid.New(), ConnectionID: req.Connection, Scope: req.Scope, RequestedBy: by}
	// In the order of doc.go: schedule, run, connection. A run that is made in
	// between is found the second time.
	if _, err := tx.Exec(ctx, `SELECT FROM schedule WHERE connection_id = $1 ORDER BY lane FOR UPDATE`, req.Connection); err != nil {
		return e, fmt.Errorf("locking schedules: %w", err)
	}
	runs, err := interrupt(ctx, tx, req.Connection)
	if err != nil {
		return e, err
	}
	conn, err := lockConnection(ctx, tx, req.Connection)
	if err != nil {
		return e, err
	}
	more, err := interrupt(ctx, tx, req.Connection)
	if err != nil {
		return e, err
	}
	runs = append(runs, more...)
	e.Connection, e.Source, e.Target.Realm = conn.Name, conn.Source, conn.RealmID
	items, err := eraseTargets(ctx, tx, conn, req)
	if err != nil {
		return e, err
	}
	e.Target.AllowReturn, e.Target.Containers, e.Target.Patterns = req.AllowReturn, len(req.Containers), len(req.Paths)
	e.Target.count(items)
	if e, err = insertErasure(ctx, tx, req, e, runs, events); err != nil {
		return e, err
	}
	return e, s.hideItems(ctx, tx, e, items)
}

func (s *Store) hideItems(ctx context.Context, tx pgx.Tx, e Erasure, items []eraseItem) error {
	var documents []uuid.UUID
	ids := make([]*uuid.UUID, len(items))
	names := make([]string, len(items))
	for i, it := range items {
		ids[i], names[i] = it.Document, it.ExternalID
		if it.Document != nil {
			documents = append(documents, *it.Document)
		}
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO erasure_item (erasure_id, id_hash, document_id)
		SELECT $1, sha256(uuid_send($2) || convert_to(u.x, 'UTF8')), u.d FROM unnest($3::text[], $4::uuid[]) AS u(x, d) ON CONFLICT DO NOTHING`,
		e.ID, e.ConnectionID, names, ids)
	if err != nil {
		return fmt.Errorf("writing what is erased: %w", err)
	}
	if !e.Target.AllowReturn {
		_, err := tx.Exec(ctx, `
			INSERT INTO exclusion (connection_id, id_hash, why, by) SELECT $2, i.id_hash, 'erased', $3 FROM erasure_item i WHERE i.erasure_id = $1
			ON CONFLICT (connection_id, id_hash) DO UPDATE SET external_id = NULL, path = '', why = 'erased', reason = '', by = excluded.by, at = clock()`,
			e.ID, e.ConnectionID, e.RequestedBy)
		if err != nil {
			return fmt.Errorf("excluding what is erased: %w", err)
		}
	}
	if err := hideErased(ctx, tx, e.ConnectionID, documents); err != nil {
		return err
	}
	removed := map[string]int64{}
	if err := forgetNamed(ctx, tx, e.ConnectionID, names, removed); err != nil {
		return err
	}
	if err := forgetMessages(ctx, tx, e.ConnectionID, items); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE erasure SET removed = $2 WHERE id = $1`, e.ID, jsonOf(removed))
	return err
}

func hideErased(ctx context.Context, tx pgx.Tx, connection uuid.UUID, ids []uuid.UUID) error {
	rows, err := tx.Query(ctx, `
		WITH locked AS MATERIALIZED (SELECT id, hidden_reason IS NULL AS shown FROM document WHERE id = ANY($1) ORDER BY id FOR UPDATE),
		hidden AS (UPDATE document d SET hidden_reason = 'erased', hidden_at = clock() FROM locked WHERE d.id = locked.id)
		SELECT id FROM locked WHERE shown`, nonNilIDs(ids))
	if err != nil {
		return fmt.Errorf("hiding documents: %w", err)
	}
	shown, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("hiding documents: %w", err)
	}
	return noteDocuments(ctx, tx, "hide", connection, shown)
}

// PreviewErasure counts what a request of scope document or selection is about.
func (s *Store) PreviewErasure(ctx context.Context, req EraseRequest) (EraseTarget, error) {
	var target EraseTarget
	err := s.inTxErr(ctx, "previewing erasure", func(tx pgx.Tx) error {
		conn, err := s.Connection(ctx, req.Connection.String())
		if err != nil {
			return err
		}
		items, err := eraseTargets(ctx, tx, conn, req)
		target.count(items)
		return err
	})
	return target, err
}

func (t *EraseTarget) count(items []eraseItem) {
	for _, it := range items {
		if it.Document != nil {
			t.Documents++
		} else {
			t.Items++
		}
	}
}

// eraseTargets finds what a request is about.
func eraseTargets(ctx context.Context, tx pgx.Tx, conn Connection, req EraseRequest) ([]eraseItem, error) {
	if req.Scope == EraseDocument {
		return namedTargets(ctx, tx, conn, req.Documents)
	}
	if len(req.Containers)+len(req.Paths) == 0 {
		return nil, &InputError{Field: "selection", Problem: "must name containers or path patterns"}
	}
	paths, err := connectors.Selection{Include: req.Paths}.Paths()
	if err != nil {
		return nil, &InputError{Field: "path", Problem: err.Error()}
	}
	all, err := readTargets(ctx, tx, `
		SELECT id, external_id, path, title, container FROM document WHERE connection_id = $1
		UNION ALL
		SELECT NULL, external_id, path, '', '' FROM (SELECT external_id, path FROM skip WHERE connection_id = $1 UNION SELECT external_id, path FROM quarantine WHERE connection_id = $1) u
		WHERE NOT EXISTS (SELECT FROM document d WHERE d.connection_id = $1 AND d.external_id = u.external_id)`, conn.ID)
	if err != nil {
		return nil, err
	}
	items := slices.DeleteFunc(all, func(it eraseItem) bool {
		return !slices.Contains(req.Containers, it.Container) && (len(req.Paths) == 0 || !paths.Has(it.Path))
	})
	if len(items) == 0 {
		return nil, fmt.Errorf("items of connection %s in that selection: %w", conn.Name, ErrNotFound)
	}
	return items, nil
}

// namedTargets finds items by the ids that an admin wrote. Every one has to be
// known.
func namedTargets(ctx context.Context, tx pgx.Tx, conn Connection, names []string) ([]eraseItem, error) {
	if len(names) == 0 {
		return nil, &InputError{Field: "document", Problem: "must name at least one document"}
	}
	var ids []uuid.UUID
	for _, name := range names {
		if id, err := uuid.Parse(name); err == nil {
			ids = append(ids, id)
		}
	}
	items, err := readTargets(ctx, tx, `
		SELECT id, external_id, path, title, container FROM document WHERE connection_id = $1 AND (external_id = ANY($2) OR id = ANY($3))
		UNION ALL
		SELECT NULL, external_id, path, '', '' FROM (
			SELECT external_id, path FROM skip WHERE connection_id = $1 AND external_id = ANY($2)
			UNION SELECT external_id, path FROM quarantine WHERE connection_id = $1 AND external_id = ANY($2)) u
		WHERE NOT EXISTS (SELECT FROM document d WHERE d.connection_id = $1 AND d.external_id = u.external_id)`, conn.ID, names, nonNilIDs(ids))
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, it := range items {
		known[it.ExternalID] = true
		if it.Document != nil {
			known[it.Document.String()] = true
		}
	}
	for _, name := range names {
		id, err := uuid.Parse(name)
		if !known[name] && (err != nil || !known[id.String()]) {
			return nil, fmt.Errorf("document %q of connection %s: %w", name, conn.Name, ErrNotFound)
		}
	}
	return items, nil
}

func readTargets(ctx context.Context, tx pgx.Tx, sql string, args ...any) ([]eraseItem, error) {
	rows, err := tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("reading what is to be erased: %w", err)
	}
	items, err := pgx.CollectRows(rows, pgx.RowToStructByPos[eraseItem])
	if err != nil {
		return nil, fmt.Errorf("reading what is to be erased: %w", err)
	}
	return items, nil
}

// forgetMessages takes away what runs, notices and jobs said where that names
// an item. Workers that may say more have lost their runs.
func forgetMessages(ctx context.Context, tx pgx.Tx, connection uuid.UUID, items []eraseItem) error {
	words := []string{""} // matches everything
	if len(items) <= manyItems {
		if words = eraseWords(items); len(words) == 0 {
			return errors.New("erasing messages: the items have no ids")
		}
	}
	for _, q := range [...]string{
		`UPDATE sync_run r SET error = $3 WHERE connection_id = $1 AND error <> '' AND EXISTS (SELECT FROM unnest($2::text[]) w WHERE position(w IN r.error) > 0)`,
		`UPDATE sync_run r SET blocked = '[]' WHERE $3 <> '' AND connection_id = $1 AND state NOT IN ('queued', 'running') AND EXISTS (SELECT FROM unnest($2::text[]) w WHERE position(w IN r.blocked::text) > 0)`,
		`UPDATE run_event v SET message = $3 FROM sync_run r WHERE r.connection_id = $1 AND v.run_id = r.id AND EXISTS (SELECT FROM unnest($2::text[]) w WHERE position(w IN v.message) > 0)`,
		`UPDATE connection c SET state_reason = $3 WHERE id = $1 AND state_reason <> '' AND EXISTS (SELECT FROM unnest($2::text[]) w WHERE position(w IN c.state_reason) > 0)`,
		`DELETE FROM notice n WHERE $3 <> '' AND connection_id = $1 AND EXISTS (SELECT FROM unnest($2::text[]) w WHERE position(w IN n.detail) > 0 OR position(w IN n.subject) > 0 OR position(w IN n.remedy) > 0)`,
		`UPDATE river.river_job SET errors = NULL WHERE $3 <> '' AND $2::text[] IS NOT NULL AND errors IS NOT NULL AND args ->> 'run_id' IN (SELECT id::text FROM sync_run WHERE connection_id = $1)`,
	} {
		if _, err := tx.Exec(ctx, q, connection, words, erasedText); err != nil {
			return fmt.Errorf("erasing messages: %w", err)
		}
	}
	return nil
}

// eraseWords returns the words by which a message may name one of the items.
func eraseWords(items []eraseItem) []string {
	var words []string
	for _, it := range items {
		for _, w := range [...]string{it.ExternalID, it.Path, it.Title} {
			if w != "" {
				words = append(words, w)
			}
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}
