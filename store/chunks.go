package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// CitedChunk is a chunk with what a citation of it needs.
type CitedChunk struct {
	DocumentChunk
	DocumentID      uuid.UUID  `json:"document_id"`
	Connection      string     `json:"connection"`
	Source          string     `json:"source"`
	Title           string     `json:"title"`
	URL             string     `json:"url"`
	Path            string     `json:"path"`
	MediaType       string     `json:"media_type"`
	SourceUpdatedAt *time.Time `json:"source_updated_at"`
	PermissionsAsOf *time.Time `json:"permissions_as_of"`
}

// Section is the text around a chunk under the same heading. Whole is false
// where it was too long and only what is nearest to the chunk is given.
type Section struct {
	HeadingPath []string  `json:"heading_path"`
	Chunks      []ChunkID `json:"chunk_ids"`
	Text        string    `json:"text"`
	Start       int       `json:"start"`
	End         int       `json:"end"`
	StartCP     int       `json:"start_cp"`
	EndCP       int       `json:"end_cp"`
	Whole       bool      `json:"whole"`
}

// maxSection is how many code points a section may have.
const maxSection = 8000

// Chunk returns one chunk of a current revision; errors as for Document.
func (s *Store) Chunk(ctx context.Context, who Identity, id ChunkID) (CitedChunk, error) {
	return oneOf(ctx, s, who, "reading chunk", &reading{tool: "chunk", documents: []uuid.UUID{id.Document}}, scanCited, `SELECT * FROM tributary.chunk($1, $2)`, id.Document, id.Number)
}

func scanCited(row pgx.CollectableRow) (CitedChunk, error) {
	var c CitedChunk
	err := row.Scan(&c.DocumentID, &c.ChunkID.Number, &c.Place, &c.Revision, &c.Text, &c.Context, &c.HeadingPath, &c.Tokens, &c.Language,
		&c.Start, &c.End, &c.StartCP, &c.EndCP,
		&c.Connection, &c.Source, &c.Title, &c.URL, &c.Path, &c.MediaType, &c.SourceUpdatedAt, &c.PermissionsAsOf)
	c.ChunkID.Document, c.HeadingPath = c.DocumentID, nonNilStrings(c.HeadingPath)
	return c, err
}

// ChunkNeighbours returns the chunks around a chunk, up to before and after it;
// errors as for Document.
func (s *Store) ChunkNeighbours(ctx context.Context, who Identity, id ChunkID, before, after int) (Neighbours, error) {
	var out Neighbours
	err := s.asIdentity(ctx, "reading neighbours", who, &reading{tool: "neighbours", documents: []uuid.UUID{id.Document}}, func(tx pgx.Tx) error {
		var ok bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM tributary.chunk($1, $2))`, id.Document, id.Number).Scan(&ok); err != nil {
			return err
		}
		if !ok {
			return ErrNotFound
		}
		n, err := neighbours(ctx, tx, id, before, after)
		if err == nil {
			out = *n
		}
		return err
	})
	return out, err
}

func neighbours(ctx context.Context, tx pgx.Tx, id ChunkID, before, after int) (*Neighbours, error) {
	rows, err := tx.Query(ctx, `
		SELECT distance, document_id_, chunk_id_, text, heading_path, start_, end_, start_cp, end_cp
		FROM tributary.neighbours($1, $2, $3, $4)`, id.Document, id.Number, before, after)
	if err != nil {
		return nil, err
	}
	out := &Neighbours{Before: []Neighbour{}, After: []Neighbour{}}
	var distance int
	var x Neighbour
	_, err = pgx.ForEachRow(rows, []any{
		&distance, &x.ChunkID.Document, &x.ChunkID.Number, &x.Text, &x.HeadingPath, &x.Start, &x.End, &x.StartCP, &x.EndCP,
	}, func() error {
		next := x
		next.HeadingPath = nonNilStrings(slices.Clone(x.HeadingPath))
		if distance < 0 {
			out.Before = append(out.Before, next)
		} else {
			out.After = append(out.After, next)
		}
		return nil
	})
	return out, err
}

func section(ctx context.Context, tx pgx.Tx, id ChunkID) (*Section, error) {
	rows, err := tx.Query(ctx, `
		SELECT chunk_ids, heading_path, text, start_, end_, start_cp, end_cp, whole FROM tributary.section($1, $2, $3)`, id.Document, id.Number, maxSection)
	if err != nil {
		return nil, err
	}
	return pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (*Section, error) {
		var s Section
		var numbers []int
		err := row.Scan(&numbers, &s.HeadingPath, &s.Text, &s.Start, &s.End, &s.StartCP, &s.EndCP, &s.Whole)
		s.HeadingPath, s.Chunks = nonNilStrings(s.HeadingPath), make([]ChunkID, len(numbers))
		for i, n := range numbers {
			s.Chunks[i] = ChunkID{id.Document, n}
		}
		return &s, err
	})
}
