package store

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// ChunkID names a chunk: a document and the chunk's number in it. Its text is
// "DOCUMENT:NUMBER".
type ChunkID struct {
	Document uuid.UUID
	Number   int
}

// String returns the id as it is written.
func (c ChunkID) String() string { return c.Document.String() + ":" + strconv.Itoa(c.Number) }

// MarshalText returns String.
func (c ChunkID) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText reads what String wrote.
func (c *ChunkID) UnmarshalText(b []byte) error {
	id, err := ParseChunkID(string(b))
	if err == nil {
		*c = id
	}
	return err
}

// ParseChunkID reads a chunk's id. What is none is ErrNotFound, as an unknown
// one would be.
func ParseChunkID(s string) (ChunkID, error) {
	doc, number, ok := strings.Cut(s, ":")
	id, err := uuid.Parse(doc)
	n, err2 := strconv.ParseInt(number, 10, 32)
	if !ok || err != nil || err2 != nil || len(doc) != 36 {
		return ChunkID{}, fmt.Errorf("chunk %q: %w", s, ErrNotFound)
	}
	return ChunkID{id, int(n)}, nil
}

// Document describes a document that may be seen.
type Document struct {
	ID              uuid.UUID         `json:"document_id"`
	ConnectionID    uuid.UUID         `json:"connection_id"`
	Connection      string            `json:"connection"`
	Source          string            `json:"source"`
	ExternalID      string            `json:"external_id"`
	Revision        int               `json:"revision"`
	SourceRevision  string            `json:"source_revision"`
	Title           string            `json:"title"`
	URL             string            `json:"url"`
	Path            string            `json:"path"`
	Container       string            `json:"container"`
	Kind            string            `json:"kind"`
	MediaType       string            `json:"media_type"`
	Language        string            `json:"language"`
	Author          string            `json:"author"`
	Metadata        map[string]string `json:"metadata"`
	SourceCreatedAt *time.Time        `json:"source_created_at"`
	SourceUpdatedAt *time.Time        `json:"source_updated_at"`
	Chunks          int               `json:"chunks"`
	UpdatedAt       time.Time         `json:"updated_at"`
	PermissionsAsOf *time.Time        `json:"permissions_as_of"`
}

// DocumentText is the canonical text of the current revision and its layout:
// chunk i lies at Starts[i] to Ends[i] in bytes, StartsCP[i] to EndsCP[i] in
// code points.
type DocumentText struct {
	ID       uuid.UUID `json:"document_id"`
	Revision int       `json:"revision"`
	Text     string    `json:"text"`
	Chunks   []int     `json:"chunks"`
	Starts   []int     `json:"starts"`
	Ends     []int     `json:"ends"`
	StartsCP []int     `json:"starts_cp"`
	EndsCP   []int     `json:"ends_cp"`
}

// DocumentChunk is a chunk of the current revision.
type DocumentChunk struct {
	ChunkID     ChunkID  `json:"chunk_id"`
	Place       int      `json:"place"`
	Revision    int      `json:"revision"`
	Text        string   `json:"text"`
	Context     string   `json:"context"`
	HeadingPath []string `json:"heading_path"`
	Tokens      int      `json:"tokens"`
	Language    string   `json:"language"`
	Start       int      `json:"start"`
	End         int      `json:"end"`
	StartCP     int      `json:"start_cp"`
	EndCP       int      `json:"end_cp"`
}

// Lineage says where a chunk comes from.
type Lineage struct {
	ChunkID        ChunkID          `json:"chunk_id"`
	DocumentID     uuid.UUID        `json:"document_id"`
	Identity       string           `json:"identity"`
	ExternalID     string           `json:"external_id"`
	Revision       int              `json:"revision"`
	SourceRevision string           `json:"source_revision"`
	ContentHash    string           `json:"content_hash"`
	Extractor      string           `json:"extractor"`
	Chunker        string           `json:"chunker"`
	IngestedAt     time.Time        `json:"ingested_at"`
	RunID          uuid.UUID        `json:"run_id"`
	RunKind        *string          `json:"run_kind"`
	RunStartedAt   *time.Time       `json:"run_started_at"`
	ConnectionID   uuid.UUID        `json:"connection_id"`
	Connection     string           `json:"connection"`
	Source         string           `json:"source"`
	Profiles       []LineageProfile `json:"profiles"`
}

// LineageProfile is an embedding profile that has a vector of the chunk.
type LineageProfile struct {
	Profile    string `json:"profile"`
	Model      string `json:"model"`
	Version    int    `json:"version"`
	Dimensions int    `json:"dimensions"`
	InputHash  string `json:"input_hash"`
}

// Document returns one document. One that who may not see and one that does
// not exist are both ErrNotFound.
func (s *Store) Document(ctx context.Context, who Identity, id uuid.UUID) (Document, error) {
	return oneOf(ctx, s, who, "reading document", &reading{tool: "document", documents: []uuid.UUID{id}}, pgx.RowToStructByPos[Document], `SELECT * FROM tributary.document($1)`, id)
}

// DocumentText returns a document's canonical text; errors as for Document.
func (s *Store) DocumentText(ctx context.Context, who Identity, id uuid.UUID) (DocumentText, error) {
	return oneOf(ctx, s, who, "reading document text", &reading{tool: "text", documents: []uuid.UUID{id}}, pgx.RowToStructByPos[DocumentText], `SELECT * FROM tributary.document_text($1)`, id)
}

// DocumentChunks returns a document's chunks in reading order; errors as for
// Document.
func (s *Store) DocumentChunks(ctx context.Context, who Identity, id uuid.UUID) ([]DocumentChunk, error) {
	list := []DocumentChunk{}
	err := s.asIdentity(ctx, "reading chunks", who, &reading{tool: "chunks", documents: []uuid.UUID{id}}, func(tx pgx.Tx) error {
		var ok bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tributary.document($1))`, id).Scan(&ok); err != nil {
			return err
		}
		if !ok {
			return ErrNotFound
		}
		rows, err := tx.Query(ctx, `
			SELECT document_id, chunk_id, place, revision, text, context, heading_path, tokens, lang, start_, end_, start_cp, end_cp
			FROM tributary.document_chunks($1)`, id)
		if err != nil {
			return err
		}
		var c DocumentChunk
		_, err = pgx.ForEachRow(rows, []any{
			&c.ChunkID.Document, &c.ChunkID.Number, &c.Place, &c.Revision, &c.Text, &c.Context, &c.HeadingPath, &c.Tokens, &c.Language,
			&c.Start, &c.End, &c.StartCP, &c.EndCP,
		}, func() error {
			next := c
			next.HeadingPath = nonNilStrings(slices.Clone(c.HeadingPath))
			list = append(list, next)
			return nil
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Lineage returns where a chunk comes from; errors as for Document.
func (s *Store) Lineage(ctx context.Context, who Identity, id ChunkID) (Lineage, error) {
	return oneOf(ctx, s, who, "reading lineage", &reading{tool: "lineage", documents: []uuid.UUID{id.Document}}, scanLineage, `SELECT * FROM tributary.lineage($1, $2)`, id.Document, id.Number)
}

// oneOf returns the one row of a query of the query path, or ErrNotFound.
func oneOf[T any](ctx context.Context, s *Store, who Identity, op string, r *reading, scan pgx.RowToFunc[T], sql string, args ...any) (T, error) {
	var out T
	err := s.asIdentity(ctx, op, who, r, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return ErrNotFound
		}
		out = list[0]
		return nil
	})
	return out, err
}

func scanLineage(row pgx.CollectableRow) (Lineage, error) {
	var l Lineage
	var identity, hash []byte
	var profiles json.RawMessage
	err := row.Scan(&l.DocumentID, &l.ChunkID.Number, &identity, &l.ExternalID, &l.Revision, &l.SourceRevision, &hash,
		&l.Extractor, &l.Chunker, &l.IngestedAt, &l.RunID, &l.RunKind, &l.RunStartedAt, &l.ConnectionID, &l.Connection, &l.Source, &profiles)
	if err != nil {
		return l, err
	}
	l.ChunkID.Document = l.DocumentID
	l.Identity, l.ContentHash = hex.EncodeToString(identity), hex.EncodeToString(hash)
	if err := json.Unmarshal(profiles, &l.Profiles); err != nil {
		return l, fmt.Errorf("reading profiles: %w", err)
	}
	for i, p := range l.Profiles {
		l.Profiles[i].InputHash = strings.ToLower(p.InputHash)
	}
	return l, nil
}
