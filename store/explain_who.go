package store

import (
	"context"
	"encoding/json"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// maxWhoPage is how many readers a page of WhoCanRead may have.
const maxWhoPage = 1000

// WhoCanRead says who could read a document: whom its ACL names, and which
// readers the query path shows it to.
type WhoCanRead struct {
	Document   uuid.UUID `json:"document_id"`
	Title      string    `json:"title"`
	Connection string    `json:"connection"`
	// Clauses have each to be met, and nobody of Denied reads it. A group's
	// People are counted as far as explainPeople.
	Clauses []ExplainedClause    `json:"clauses"`
	Denied  []ExplainedPrincipal `json:"denied"`
	Readers []ExplainedReader    `json:"readers"`
	// Next is the After of the next page, nil on the last.
	Next *uuid.UUID `json:"next_cursor"`
}

// WhoCanRead says who could read the document that ref names, as in
// [ExplainRequest], with at most limit of the readers behind after, by id, and
// records events before it does.
func (s *Store) WhoCanRead(ctx context.Context, ref string, after uuid.UUID, limit int, events ...audit.Event) (WhoCanRead, error) {
	if limit < 1 || limit > maxWhoPage {
		return WhoCanRead{}, &InputError{Field: "limit", Problem: "must be 1 to 1000"}
	}
	out := WhoCanRead{Readers: []ExplainedReader{}}
	err := s.asIdentity(ctx, "explaining", Identity{}, nil, func(tx pgx.Tx) error {
		var err error
		if out.Document, err = documentOf(ctx, tx, ref); err != nil {
			return err
		}
		if err := out.names(ctx, tx); err != nil {
			return err
		}
		for {
			some, err := candidates(ctx, tx, out.Document, after, limit)
			if err != nil {
				return err
			}
			if err := out.ask(ctx, tx, some, limit); err != nil || out.Next != nil || len(some) < limit {
				return err
			}
			after = some[len(some)-1].ID
		}
	})
	if err != nil {
		return WhoCanRead{}, err
	}
	if err := s.recordExplained(ctx, out.Document, events); err != nil {
		return WhoCanRead{}, err
	}
	return out, nil
}

// names fills whom the ACL names, and how many people the groups hold.
func (w *WhoCanRead) names(ctx context.Context, tx pgx.Tx) error {
	var set, mask int64
	var connection uuid.UUID
	var denied []byte
	err := tx.QueryRow(ctx, `
		SELECT d.title, c.name, c.id, d.acl_set_id, coalesce(s.need_mask, 0), (
			SELECT coalesce(jsonb_agg(jsonb_build_object('kind', p.kind, 'id', p.external_id, 'name', p.name) ORDER BY p.kind, p.external_id), '[]')
			FROM (SELECT e.principal_id FROM acl_entry e WHERE e.set_id = d.acl_set_id AND e.clause = 0 ORDER BY 1 LIMIT 20) e
			JOIN principal p ON p.id = e.principal_id)
		FROM document d JOIN connection c ON c.id = d.connection_id LEFT JOIN acl_set s ON s.id = d.acl_set_id WHERE d.id = $1`, w.Document).
		Scan(&w.Title, &w.Connection, &connection, &set, &mask, &denied)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(denied, &w.Denied); err != nil {
		return err
	}
	if w.Clauses, err = namesOf(ctx, tx, set, mask); err != nil {
		return err
	}
	for i := range w.Clauses {
		for j := range w.Clauses[i].Names {
			p := &w.Clauses[i].Names[j]
			if p.Kind == "user" {
				continue
			}
			p.People = new(int)
			err := tx.QueryRow(ctx, `
				WITH RECURSIVE below (id) AS (
					SELECT $2::bigint UNION SELECT m.member_id FROM below b JOIN membership m ON m.group_id = b.id AND m.connection_id = $1)
				SELECT count(*) FROM (SELECT FROM below b JOIN principal p ON p.id = b.id AND p.kind = 'user' LIMIT $3) x`, connection, p.id, explainPeople).Scan(p.People)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// candidates are readers of whom the query path has to be asked: every visible
// document names in clause 1 somebody whom the reader holds. A principal that
// everybody holds makes every reader one.
func candidates(ctx context.Context, tx pgx.Tx, document, after uuid.UUID, limit int) ([]ExplainedReader, error) {
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE below (id) AS (
			SELECT e.principal_id FROM document d JOIN acl_entry e ON e.set_id = d.acl_set_id AND e.clause = 1 WHERE d.id = $1
			UNION
			SELECT m.member_id FROM below b JOIN membership m ON m.group_id = b.id
			WHERE m.connection_id = (SELECT connection_id FROM document WHERE id = $1)
		), wide AS (
			SELECT FROM below b JOIN principal p ON p.id = b.id AND p.kind IN ('public', 'anyone') LIMIT 1
		)
		SELECT r.id, r.name, false FROM reader r
		WHERE r.id > $2 AND r.disabled_at IS NULL
			AND (EXISTS (SELECT FROM wide) OR r.id IN (SELECT l.reader_id FROM below b JOIN reader_principal l ON l.principal_id = b.id))
		ORDER BY r.id LIMIT $3`, document, after, limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ExplainedReader])
}

// ask adds those of some whom the query path shows the document, up to limit.
func (w *WhoCanRead) ask(ctx context.Context, tx pgx.Tx, some []ExplainedReader, limit int) error {
	b := &pgx.Batch{}
	for _, r := range some {
		b.Queue(`SELECT set_config('tributary.reader', $1, true)`, r.ID.String())
		b.Queue(`SELECT EXISTS (SELECT FROM tributary.document($1))`, w.Document)
	}
	results := tx.SendBatch(ctx, b)
	defer func() { _ = results.Close() }()
	for _, r := range some {
		if _, err := results.Exec(); err != nil {
			return err
		}
		var visible bool
		if err := results.QueryRow().Scan(&visible); err != nil {
			return err
		}
		if !visible {
			continue
		}
		if len(w.Readers) == limit {
			w.Next = &w.Readers[limit-1].ID
			return nil
		}
		w.Readers = append(w.Readers, r)
	}
	return results.Close()
}
