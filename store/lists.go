package store

import (
	"context"
	"encoding/json"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// DocumentSummary is a line of ListDocuments.
type DocumentSummary struct {
	ID              uuid.UUID  `json:"document_id"`
	Connection      string     `json:"connection"`
	Title           string     `json:"title"`
	URL             string     `json:"url"`
	Path            string     `json:"path"`
	Kind            string     `json:"kind"`
	MediaType       string     `json:"media_type"`
	Revision        int        `json:"revision"`
	Chunks          int        `json:"chunks"`
	SourceUpdatedAt *time.Time `json:"source_updated_at"`
	UpdatedAt       time.Time  `json:"updated_at"`
}

// ExportedDocument is all there is of one document. Chunks is a JSON array of
// its chunks in reading order, each as a [DocumentChunk] without its revision,
// which is the document's.
type ExportedDocument struct {
	Document
	Chunks json.RawMessage `json:"chunks"`
}

// MaxListed is the most that one call of ListDocuments gives.
const MaxListed = 1000

// VisibleCount counts the documents and chunks that who may see.
func (s *Store) VisibleCount(ctx context.Context, who Identity, f Filters) (documents, chunks int64, err error) {
	err = s.asIdentity(ctx, "counting documents", who, nil, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, `SELECT documents, chunks FROM tributary.visible_count($1)`, f).Scan(&documents, &chunks)
	})
	return documents, chunks, err
}

// ListDocuments lists documents that who may see, in id order, after the id
// last (the zero id starts), at most limit, and reports whether more follow.
func (s *Store) ListDocuments(ctx context.Context, who Identity, f Filters, last uuid.UUID, limit int) (list []DocumentSummary, more bool, err error) {
	limit = max(1, min(limit, MaxListed))
	r := reading{tool: "list"}
	err = s.asIdentity(ctx, "listing documents", who, &r, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			SELECT document_id, connection, title, url, path, kind, media_type, revision, chunk_count, source_updated_at, updated_at
			FROM tributary.visible_list($1, $2, $3)`, f, last, limit+1)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[DocumentSummary])
		for i := range min(limit, len(list)) {
			r.documents = append(r.documents, list[i].ID)
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	more = len(list) > limit
	return list[:min(limit, len(list))], more, nil
}

// exportBytes is how much text a page of an export holds before it ends.
const exportBytes = 8 << 20

// ExportDocuments returns documents that who may see, whole, in id order, after
// the id last (the zero id starts): at most limit, fewer where their text is
// large, from one snapshot. more reports whether others follow.
func (s *Store) ExportDocuments(ctx context.Context, who Identity, f Filters, last uuid.UUID, limit int) (list []ExportedDocument, more bool, err error) {
	r := reading{tool: "export"}
	err = s.asIdentity(ctx, "exporting documents", who, &r, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT * FROM tributary.visible_export($1, $2, $3, $4)`, f, last, limit, exportBytes)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ExportedDocument, error) {
			x, err := pgx.RowToStructByPos[exportRow](row)
			more = x.More
			r.documents = append(r.documents, x.ID)
			return ExportedDocument{x.Document, x.Chunks}, err
		})
		return err
	})
	if err != nil {
		return nil, false, err
	}
	return list, more, nil
}

type exportRow struct {
	Document
	Chunks json.RawMessage
	More   bool
}
