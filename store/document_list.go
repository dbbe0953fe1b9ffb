package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// DocumentShown is the state of a document that is not hidden, and
// DocumentHidden that of one hidden for whatever reason. The reasons are states
// of their own.
const (
	DocumentShown  = "shown"
	DocumentHidden = "hidden"
)

// DocumentStates are the states by which documents can be listed.
func DocumentStates() []string {
	return []string{DocumentShown, DocumentHidden, "absent", "deleted", "refused", "quarantined"}
}

const (
	maxDocumentWords = 200
	maxDocumentPage  = 1000
)

// DocumentFilter chooses documents. Zero fields match everything.
type DocumentFilter struct {
	// Words are words of the title, the path or the id at the source, or how such
	// words begin; a document has all of them.
	Words string
	// Connection is the id of a connection, State one of [DocumentStates].
	Connection uuid.UUID
	State      string
	// Before goes on behind a document of the page before.
	Before *DocumentPlace
	// Limit is how many at most.
	Limit int
}

// DocumentPlace is where a document stands in the list.
type DocumentPlace struct {
	UpdatedAt time.Time
	ID        uuid.UUID
}

// ListedDocument is a document as an admin may see it: without its text.
type ListedDocument struct {
	ID         uuid.UUID `json:"document_id"`
	Connection string    `json:"connection"`
	Source     string    `json:"source"`
	ExternalID string    `json:"external_id"`
	Title      string    `json:"title"`
	URL        string    `json:"url"`
	Path       string    `json:"path"`
	Kind       string    `json:"kind"`
	MediaType  string    `json:"media_type"`
	Revision   int       `json:"revision"`
	Chunks     int       `json:"chunks"`
	// Hidden is why nobody is shown it, "" where it is not hidden.
	Hidden   string     `json:"hidden_reason"`
	HiddenAt *time.Time `json:"hidden_at"`
	// Unknown says that it is not known who may read it: nobody does.
	Unknown         bool       `json:"acl_unknown"`
	SourceUpdatedAt *time.Time `json:"source_updated_at"`
	UpdatedAt       time.Time  `json:"updated_at"`
}

// Place is where d stands in the list.
func (d ListedDocument) Place() *DocumentPlace { return &DocumentPlace{d.UpdatedAt, d.ID} }

func (f DocumentFilter) check() error {
	switch {
	case utf8.RuneCountInString(f.Words) > maxDocumentWords || !storableText(f.Words):
		return &InputError{Field: "words", Problem: "must be text of at most 200 characters"}
	case f.State != "" && !slices.Contains(DocumentStates(), f.State):
		return &InputError{Field: "state", Problem: "must be one of " + strings.Join(DocumentStates(), ", ")}
	case f.Limit < 1 || f.Limit > maxDocumentPage:
		return &InputError{Field: "limit", Problem: "must be 1 to 1000"}
	}
	return nil
}

const (
	listedColumns = `d.id, c.name, c.source, d.external_id, d.title, d.url, d.path, d.kind, d.media_type, d.revision, d.chunk_count,
		coalesce(d.hidden_reason, ''), d.hidden_at, NOT coalesce(a.need_mask > 0, false), d.source_updated_at, d.updated_at`
	listedFilter = `($1::uuid IS NULL OR d.connection_id = $1)
		AND ($2 = '' OR $2 = 'shown' AND d.hidden_reason IS NULL OR $2 = 'hidden' AND d.hidden_reason IS NOT NULL OR d.hidden_reason = $2)
		AND ($3::timestamptz IS NULL OR (d.updated_at, d.id) < ($3, $4::uuid))`
	listedWhere   = listedFilter + ` ORDER BY d.updated_at DESC, d.id DESC LIMIT $5`
	listDocuments = `SELECT ` + listedColumns + `
		FROM document d JOIN connection c ON c.id = d.connection_id LEFT JOIN acl_set a ON a.id = d.acl_set_id WHERE ` + listedWhere
	// A common word fills the list from the newest documents alone: those that have it are neither all read nor sorted.
	findDocuments = `WITH near AS MATERIALIZED (
			SELECT w.id FROM (SELECT d.id, d.updated_at, d.title, d.path, d.external_id FROM document d WHERE ` + listedFilter + ` ORDER BY d.updated_at DESC, d.id DESC LIMIT 200) w
			WHERE document_words(w.title, w.path, w.external_id) @@ document_query($6) ORDER BY w.updated_at DESC, w.id DESC LIMIT $5)
		SELECT ` + listedColumns + ` FROM (
			SELECT id FROM near WHERE (SELECT count(*) FROM near) >= $5
			UNION ALL
			SELECT id FROM (SELECT d.id FROM (
				SELECT x.id, x.updated_at, x.connection_id, x.hidden_reason FROM document x
				WHERE document_words(x.title, x.path, x.external_id) @@ document_query($6) OFFSET 0) d
			WHERE ` + listedWhere + `) far WHERE (SELECT count(*) FROM near) < $5) found
		JOIN document d ON d.id = found.id JOIN connection c ON c.id = d.connection_id LEFT JOIN acl_set a ON a.id = d.acl_set_id
		ORDER BY d.updated_at DESC, d.id DESC`
)

// FindDocuments lists documents, those that changed here last first, whoever may
// read them. It gives no text.
func (s *Store) FindDocuments(ctx context.Context, f DocumentFilter) ([]ListedDocument, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	var connection *uuid.UUID
	if f.Connection != uuid.Nil {
		connection = &f.Connection
	}
	var at *time.Time
	var id *uuid.UUID
	if f.Before != nil {
		at, id = &f.Before.UpdatedAt, &f.Before.ID
	}
	words := strings.TrimSpace(f.Words)
	var list []ListedDocument
	err := s.inTxErr(ctx, "listing documents", func(tx pgx.Tx) error {
		// The plan depends on what was asked for. With words only their index may
		// serve: to make them anew for each document is slow.
		if _, err := tx.Exec(ctx, `SET LOCAL plan_cache_mode = force_custom_plan`); err != nil {
			return err
		}
		var rows pgx.Rows
		var err error
		if words == "" {
			rows, err = tx.Query(ctx, listDocuments, connection, f.State, at, id, f.Limit)
		} else {
			if _, err := tx.Exec(ctx, `SET LOCAL enable_seqscan = off`); err != nil {
				return err
			}
			rows, err = tx.Query(ctx, findDocuments, connection, f.State, at, id, f.Limit, words)
		}
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ListedDocument])
		return err
	})
	return list, err
}

// DocumentOrigin is what is known of a document without its text: where it comes
// from and how it came to be as it is.
type DocumentOrigin struct {
	ListedDocument

	ConnectionID    uuid.UUID  `json:"connection_id"`
	GrantID         *uuid.UUID `json:"grant_id"`
	Container       string     `json:"container"`
	Language        string     `json:"language"`
	Author          string     `json:"author"`
	SourceCreatedAt *time.Time `json:"source_created_at"`
	CreatedAt       time.Time  `json:"created_at"`
	PermissionsAsOf *time.Time `json:"permissions_as_of"`
	// Stale says that permissions are older than twice their interval, TooOld that
	// they are older than the connection allows: nobody is shown its documents.
	Stale  bool `json:"stale"`
	TooOld bool `json:"too_old"`
	// Bytes is the length of the text of the current revision.
	Bytes          int64      `json:"bytes"`
	SourceRevision string     `json:"source_revision"`
	Extractor      string     `json:"extractor"`
	Chunker        string     `json:"chunker"`
	IngestedAt     time.Time  `json:"ingested_at"`
	RunID          uuid.UUID  `json:"run_id"`
	RunKind        *string    `json:"run_kind"`
	RunStartedAt   *time.Time `json:"run_started_at"`
}

// DocumentOrigin describes a document for admins. One that does not exist is
// ErrNotFound.
func (s *Store) DocumentOrigin(ctx context.Context, id uuid.UUID) (DocumentOrigin, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT `+listedColumns+`,
			c.id, c.grant_id, d.container, d.lang, d.author, d.source_created_at, d.created_at, c.permissions_as_of,
			coalesce(c.permissions_as_of < clock() - 2 * p.every, false), NOT coalesce(c.permissions_as_of > clock() - c.max_permission_age, false),
			coalesce(octet_length(v.text), 0), v.source_revision, v.extractor, v.chunker, v.created_at, v.run_id, r.kind, r.started_at
		FROM document d JOIN connection c ON c.id = d.connection_id LEFT JOIN acl_set a ON a.id = d.acl_set_id
		JOIN revision v ON v.document_id = d.id AND v.number = d.revision
		LEFT JOIN schedule p ON p.connection_id = c.id AND p.lane = 'permissions'
		LEFT JOIN sync_run r ON r.id = v.run_id
		WHERE d.id = $1`, id)
	if err != nil {
		return DocumentOrigin{}, translate("reading document", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[DocumentOrigin])
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return DocumentOrigin{}, translate("reading document", err)
	}
	return list[0], nil
}

// DocumentPart is a stretch of a document's chunks in reading order.
type DocumentPart struct {
	Revision int
	// Total is how many chunks the document has, First the place of the first of
	// Chunks, from 1.
	Total, First int
	Chunks       []Neighbour
}

// maxPart is how many chunks a part may have.
const maxPart = 100

// NoChunk is the number of no chunk: the first has 0.
const NoChunk = -1

// DocumentPart returns at most size chunks of a document: of its parts of that
// size the one in which the chunk of that number is, or, where number is NoChunk
// or that chunk is gone, the one in which that place is, from 1. What who may not see and what does not exist is
// ErrNotFound.
func (s *Store) DocumentPart(ctx context.Context, who Identity, id uuid.UUID, number, place, size int) (DocumentPart, error) {
	size = max(1, min(size, maxPart))
	var out DocumentPart
	err := s.asIdentity(ctx, "reading part", who, &reading{tool: "chunks", documents: []uuid.UUID{id}}, func(tx pgx.Tx) error {
		// SECURITY: the predicate comes first. What follows goes through it again for
		// every text.
		err := tx.QueryRow(ctx, `SELECT revision, chunk_count FROM tributary.document($1)`, id).Scan(&out.Revision, &out.Total)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil || out.Total == 0 {
			return err
		}
		var first int
		err = tx.QueryRow(ctx, `
			SELECT x.at, v.chunk_ids[x.at] FROM document d JOIN revision v ON v.document_id = d.id AND v.number = d.revision
			CROSS JOIN LATERAL (SELECT coalesce(array_position(v.chunk_ids, $2), greatest(1, least($3::int, cardinality(v.chunk_ids)))) AS n) p
			CROSS JOIN LATERAL (SELECT (p.n - 1) / $4::int * $4::int + 1 AS at) x
			WHERE d.id = $1`, id, number, place, size).Scan(&out.First, &first)
		if err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT 0, document_id_, chunk_id_, text, heading_path, start_, end_, start_cp, end_cp FROM tributary.chunk($1, $2)
			UNION ALL
			SELECT distance, document_id_, chunk_id_, text, heading_path, start_, end_, start_cp, end_cp FROM tributary.neighbours($1, $2, 0, $3)
			ORDER BY 1`, id, first, size-1)
		if err != nil {
			return err
		}
		out.Chunks, err = scanNeighbours(rows)
		return err
	})
	return out, err
}

func scanNeighbours(rows pgx.Rows) ([]Neighbour, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (Neighbour, error) {
		var x Neighbour
		var distance int
		err := row.Scan(&distance, &x.ChunkID.Document, &x.ChunkID.Number, &x.Text, &x.HeadingPath, &x.Start, &x.End, &x.StartCP, &x.EndCP)
		x.HeadingPath = nonNilStrings(x.HeadingPath)
		return x, err
	})
}

// ReaderNames returns the names of at most limit readers that are not disabled,
// in order.
func (s *Store) ReaderNames(ctx context.Context, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT name FROM reader WHERE disabled_at IS NULL ORDER BY name LIMIT $1`, limit)
	if err != nil {
		return nil, translate("listing readers", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return list, translate("listing readers", err)
}
