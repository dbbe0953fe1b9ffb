package store

import (
	"context"
	"fmt"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
)

// addedChunk is a chunk that has no row yet.
type addedChunk struct {
	doc, chunk int // indexes into the batch
	id         int32
}

func (w *batchWriter) addedChunks() []addedChunk {
	var out []addedChunk
	for i := range w.docs {
		d := &w.docs[i]
		for j, c := range d.added {
			out = append(out, addedChunk{doc: i, chunk: int(c), id: d.addedIDs[j]})
		}
	}
	return out
}

func (w *batchWriter) writeChunks(ctx context.Context) error {
	added := w.addedChunks()
	if len(added) == 0 {
		return nil
	}
	columns := []string{"document_id", "id", "identity", "text", "context", "heading_path", "tokens", "lang"}
	_, err := w.tx.CopyFrom(ctx, pgx.Identifier{"chunk"}, columns, pgx.CopyFromSlice(len(added), func(i int) ([]any, error) {
		d := &w.docs[added[i].doc]
		c := &d.w.Chunks[added[i].chunk]
		path := c.HeadingPath
		if path == nil {
			path = []string{}
		}
		return []any{d.id, added[i].id, c.Identity[:], c.Text, c.Context, path, c.Tokens, d.w.Language}, nil
	}))
	if err != nil {
		return fmt.Errorf("writing chunks: %w", err)
	}
	return nil
}

// vectorTable returns the quoted name of a profile's table.
func vectorTable(profile int16) string {
	return pgx.Identifier{"vec_" + strconv.Itoa(int(profile))}.Sanitize()
}

func (w *batchWriter) writeVectors(ctx context.Context) error {
	added := w.addedChunks()
	if len(added) == 0 {
		return nil
	}
	// Read after the chunks are written: CreateProfile locks the table chunk, so
	// a profile either stands here or finds these chunks.
	ids, err := profileIDs(ctx, w.tx)
	if err != nil {
		return err
	}
	local := map[int16]func(document, chunk int) []float32{}
	for _, p := range w.b.Profiles {
		local[p.ID] = p.Vectors
	}
	for _, id := range ids {
		if vectors := local[id]; vectors != nil {
			err = w.copyVectors(ctx, id, vectors, added)
		} else {
			err = w.reuseVectors(ctx, id, added)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *batchWriter) copyVectors(ctx context.Context, profile int16, vectors func(document, chunk int) []float32, added []addedChunk) error {
	table := pgx.Identifier{"vec_" + strconv.Itoa(int(profile))}
	_, err := w.tx.CopyFrom(ctx, table, []string{"document_id", "chunk_id", "input_hash", "v"}, pgx.CopyFromSlice(len(added), func(i int) ([]any, error) {
		a := added[i]
		d := &w.docs[a.doc]
		return []any{d.id, a.id, d.w.Chunks[a.chunk].InputHash[:], pgvector.NewHalfVector(vectors(a.doc, a.chunk))}, nil
	}))
	if err != nil {
		return fmt.Errorf("writing vectors: %w", err)
	}
	w.counts.VectorsMade += int64(len(added))
	return nil
}

// reuseVectors copies the vectors of inputs that are stored and makes the rest
// due.
func (w *batchWriter) reuseVectors(ctx context.Context, profile int16, added []addedChunk) error {
	docs, chunks, hashes := make([]uuid.UUID, len(added)), make([]int32, len(added)), make([][]byte, len(added))
	tokens := make([]int32, len(added))
	for i, a := range added {
		c := &w.docs[a.doc].w.Chunks[a.chunk]
		docs[i], chunks[i], hashes[i] = w.docs[a.doc].id, a.id, c.InputHash[:]
		tokens[i] = int32(c.Tokens) //nolint:gosec // bounded by the chunker
	}
	table := vectorTable(profile)
	tag, err := w.tx.Exec(ctx, `
		INSERT INTO `+table+` (document_id, chunk_id, input_hash, v)
		SELECT u.d, u.c, u.h, x.v FROM unnest($1::uuid[], $2::int[], $3::bytea[]) AS u(d, c, h)
		CROSS JOIN LATERAL (SELECT v FROM `+table+` WHERE input_hash = u.h LIMIT 1) x`, docs, chunks, hashes)
	if err != nil {
		return fmt.Errorf("reusing vectors: %w", err)
	}
	w.counts.VectorsReused += tag.RowsAffected()
	tag, err = w.tx.Exec(ctx, `
		INSERT INTO embed_todo (profile_id, document_id, chunk_id, input_hash, tokens, next_try_at)
		SELECT $1, u.d, u.c, u.h, u.t, $6 FROM unnest($2::uuid[], $3::int[], $4::bytea[], $5::int[]) AS u(d, c, h, t)
		WHERE NOT EXISTS (SELECT FROM `+table+` x WHERE x.document_id = u.d AND x.chunk_id = u.c)`, profile, docs, chunks, hashes, tokens, w.now)
	if err != nil {
		return fmt.Errorf("queueing chunks to embed: %w", err)
	}
	w.due = w.due || tag.RowsAffected() > 0
	return nil
}

// deleteChunks removes the chunks that the new revisions no longer contain,
// with their place in the queue and their vectors, in the order of
// purgeDocuments.
func (w *batchWriter) deleteChunks(ctx context.Context) error {
	var docs []uuid.UUID
	var chunks []int32
	for i := range w.docs {
		for _, id := range w.docs[i].removed {
			docs = append(docs, w.docs[i].id)
			chunks = append(chunks, id)
		}
	}
	if len(docs) == 0 {
		return nil
	}
	for _, q := range [...]string{
		`SELECT FROM embed_todo t JOIN unnest($1::uuid[], $2::int[]) AS u(d, c) ON t.document_id = u.d AND t.chunk_id = u.c ORDER BY t.document_id, t.chunk_id, t.profile_id FOR UPDATE OF t`,
		`DELETE FROM embed_todo t USING unnest($1::uuid[], $2::int[]) AS u(d, c) WHERE t.document_id = u.d AND t.chunk_id = u.c`,
	} {
		if _, err := w.tx.Exec(ctx, q, docs, chunks); err != nil {
			return fmt.Errorf("deleting queued chunks: %w", err)
		}
	}
	profiles, err := profileIDs(ctx, w.tx)
	if err != nil {
		return err
	}
	for _, p := range profiles {
		_, err := w.tx.Exec(ctx, `DELETE FROM `+vectorTable(p)+` t USING unnest($1::uuid[], $2::int[]) AS u(d, c) WHERE t.document_id = u.d AND t.chunk_id = u.c`, docs, chunks)
		if err != nil {
			return fmt.Errorf("deleting vectors: %w", err)
		}
	}
	_, err = w.tx.Exec(ctx, `DELETE FROM chunk t USING unnest($1::uuid[], $2::int[]) AS u(d, c) WHERE t.document_id = u.d AND t.id = u.c`, docs, chunks)
	if err != nil {
		return fmt.Errorf("deleting chunks: %w", err)
	}
	return nil
}

func profileIDs(ctx context.Context, q querier) ([]int16, error) {
	rows, err := q.Query(ctx, `SELECT id FROM embedding_profile ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("reading profiles: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int16])
	if err != nil {
		return nil, fmt.Errorf("reading profiles: %w", err)
	}
	return ids, nil
}
