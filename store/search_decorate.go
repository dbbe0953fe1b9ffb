package store

import (
	"context"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// decorate adds what the request includes, in the search's own transaction.
func decorate(ctx context.Context, tx pgx.Tx, req SearchRequest, results []SearchResult) error {
	if len(results) == 0 {
		return nil
	}
	if slices.Contains(req.Include, IncludeLineage) {
		for i := range results {
			rows, err := tx.Query(ctx, `SELECT * FROM tributary.lineage($1, $2)`, results[i].DocumentID, results[i].ChunkID.Number)
			if err != nil {
				return err
			}
			l, err := pgx.CollectExactlyOneRow(rows, scanLineage)
			if err != nil {
				return err
			}
			results[i].Lineage = &l
		}
	}
	if req.Neighbours > 0 {
		for i := range results {
			n, err := neighbours(ctx, tx, results[i].ChunkID, req.Neighbours, req.Neighbours)
			if err != nil {
				return err
			}
			results[i].Neighbours = n
		}
	}
	if slices.Contains(req.Include, IncludeParent) {
		for i := range results {
			p, err := section(ctx, tx, results[i].ChunkID)
			if err != nil {
				return err
			}
			results[i].Parent = p
		}
	}
	if slices.Contains(req.Include, IncludeEmbedding) && req.Profile != 0 {
		return addEmbeddings(ctx, tx, req.Profile, results)
	}
	return nil
}

func addEmbeddings(ctx context.Context, tx pgx.Tx, profile int16, results []SearchResult) error {
	documents, chunks := make([]uuid.UUID, len(results)), make([]int, len(results))
	at := make(map[ChunkID]int, len(results))
	for i, r := range results {
		documents[i], chunks[i], at[r.ChunkID] = r.DocumentID, r.ChunkID.Number, i
	}
	rows, err := tx.Query(ctx, `SELECT document_id, chunk_id, embedding FROM tributary.embeddings($1, $2, $3)`, profile, documents, chunks)
	if err != nil {
		return err
	}
	var id ChunkID
	var v []float32
	_, err = pgx.ForEachRow(rows, []any{&id.Document, &id.Number, &v}, func() error {
		results[at[id]].Embedding = slices.Clone(v)
		return nil
	})
	return err
}
