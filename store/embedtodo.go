package store

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
)

// Todo is a chunk that waits for its vector.
type Todo struct {
	DocumentID uuid.UUID
	ChunkID    int32
	InputHash  []byte
	Context    string
	Text       string
	Tokens     int32
	Attempts   int32
}

// FillTodo looks at the 2,000 chunks behind after, in the order of their ids, and
// queues those that have neither a vector nor a place in the queue of profile. It
// returns how many it queued and the last it looked at; none is the end.
// inputHash is the hash of what is embedded for a chunk's context and text. It
// waits for batches that are changing the same documents, so that no chunk is
// queued that is about to go.
func (s *Store) FillTodo(ctx context.Context, profile int16, after ChunkID, inputHash func(context, text string) [32]byte) (queued int, last *ChunkID, err error) {
	err = s.inTxErr(ctx, "queueing chunks to embed", func(tx pgx.Tx) error {
		queued, last = 0, nil
		rows, err := tx.Query(ctx, `
			SELECT c.document_id, c.id, h.has, CASE WHEN h.has THEN '' ELSE c.context END, CASE WHEN h.has THEN '' ELSE c.text END, c.tokens
			FROM (SELECT * FROM chunk WHERE (document_id, id) > ($2, $3) ORDER BY document_id, id LIMIT 2000) c
			CROSS JOIN LATERAL (SELECT
				EXISTS (SELECT FROM `+vectorTable(profile)+` v WHERE v.document_id = c.document_id AND v.chunk_id = c.id)
				OR EXISTS (SELECT FROM embed_todo t WHERE t.profile_id = $1 AND t.document_id = c.document_id AND t.chunk_id = c.id) AS has OFFSET 0) h
			ORDER BY 1, 2`, profile, after.Document, after.Number)
		if err != nil {
			return err
		}
		var id ChunkID
		var has bool
		var context, text string
		var tokens int32
		var docs []uuid.UUID
		var chunks, sizes []int32
		var hashes [][]byte
		_, err = pgx.ForEachRow(rows, []any{&id.Document, &id.Number, &has, &context, &text, &tokens}, func() error {
			last = &ChunkID{id.Document, id.Number}
			if !has {
				h := inputHash(context, text)
				docs, chunks, hashes, sizes = append(docs, id.Document), append(chunks, int32(id.Number)), append(hashes, h[:]), append(sizes, tokens) //nolint:gosec // from an int4
			}
			return nil
		})
		if err != nil || len(docs) == 0 {
			return err
		}
		if err := patient(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT FROM document WHERE id = ANY($1) ORDER BY id FOR KEY SHARE`, docs); err != nil {
			return err
		}
		queued = len(docs)
		_, err = tx.Exec(ctx, `
			INSERT INTO embed_todo (profile_id, document_id, chunk_id, input_hash, tokens, next_try_at)
			SELECT $1, u.d, u.c, u.h, u.t, clock() FROM unnest($2::uuid[], $3::int[], $4::bytea[], $5::int[]) AS u(d, c, h, t)
			JOIN chunk k ON k.document_id = u.d AND k.id = u.c
			ON CONFLICT DO NOTHING`, profile, docs, chunks, hashes, sizes)
		return err
	})
	return queued, last, err
}

// ClaimTodo takes due chunks of a profile for lease: as many as stay within
// limit chunks, or 500, and maxTokens tokens, at least one. Chunks whose input is
// stored already, or stands twice in the claim, are settled without being
// returned twice: the first carries the input, the others are settled with it.
func (s *Store) ClaimTodo(ctx context.Context, profile int16, claim uuid.UUID, limit int, maxTokens int64, lease time.Duration) ([]Todo, error) {
	var list []Todo
	err := s.inTxErr(ctx, "claiming chunks to embed", func(tx pgx.Tx) error {
		if err := settleKnownInputs(ctx, tx, profile); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			WITH due AS (
				SELECT document_id, chunk_id, sum(tokens) OVER w - tokens AS before, row_number() OVER w AS n
				FROM (SELECT * FROM embed_todo WHERE profile_id = $1 AND next_try_at <= clock()
				      ORDER BY next_try_at, document_id, chunk_id LIMIT 500 FOR UPDATE SKIP LOCKED) t
				WINDOW w AS (ORDER BY next_try_at, document_id, chunk_id))
			UPDATE embed_todo t SET claim = $2, next_try_at = clock() + $5::interval
			FROM due CROSS JOIN LATERAL (SELECT context, text FROM chunk WHERE document_id = due.document_id AND id = due.chunk_id LIMIT 1) c
			WHERE t.profile_id = $1 AND t.document_id = due.document_id AND t.chunk_id = due.chunk_id AND due.before < $4 AND due.n <= $3
			RETURNING t.document_id, t.chunk_id, t.input_hash, c.context, c.text, t.tokens, t.attempts`, profile, claim, limit, maxTokens, lease)
		if err != nil {
			return err
		}
		list, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Todo])
		return err
	})
	return list, err
}

// tellVectors writes to the outbox of which chunks the statement that ends in it
// has put vectors of the active profile, $1.
const tellVectors = `INSERT INTO outbox (kind, connection_id, document_id, added)
	SELECT 'embed', d.connection_id, d.id, array_agg(put.chunk_id ORDER BY put.chunk_id) FROM put JOIN document d ON d.id = put.document_id
	WHERE EXISTS (SELECT FROM embedding_profile p WHERE p.id = $1 AND p.state = 'active') GROUP BY d.id`

// settleKnownInputs gives waiting chunks the vector of an equal input that was
// embedded since they were queued.
func settleKnownInputs(ctx context.Context, tx pgx.Tx, profile int16) error {
	table := vectorTable(profile)
	_, err := tx.Exec(ctx, `
		WITH hit AS (
			SELECT t.document_id, t.chunk_id, t.input_hash, x.v
			FROM (SELECT * FROM embed_todo WHERE profile_id = $1 AND next_try_at <= clock() ORDER BY next_try_at LIMIT 500 FOR UPDATE SKIP LOCKED) t
			CROSS JOIN LATERAL (SELECT v FROM `+table+` WHERE input_hash = t.input_hash LIMIT 1) x),
		gone AS (DELETE FROM embed_todo t USING hit WHERE t.profile_id = $1 AND t.document_id = hit.document_id AND t.chunk_id = hit.chunk_id),
		put AS (INSERT INTO `+table+` (document_id, chunk_id, input_hash, v) SELECT document_id, chunk_id, input_hash, v FROM hit ON CONFLICT DO NOTHING RETURNING document_id, chunk_id)
		`+tellVectors, profile)
	return err
}

// Embedded is the vector of an input.
type Embedded struct {
	InputHash []byte
	Vector    []float32
}

// SettleTodo stores vectors for every waiting chunk with the same input,
// whoever claimed it: what was paid for is never thrown away. Chunks that were
// deleted meanwhile get none.
func (s *Store) SettleTodo(ctx context.Context, profile int16, vectors []Embedded) (int64, error) {
	hashes, values := make([][]byte, len(vectors)), make([]pgvector.HalfVector, len(vectors))
	for i, v := range vectors {
		hashes[i], values[i] = v.InputHash, pgvector.NewHalfVector(v.Vector)
	}
	var n int64
	err := s.inTxErr(ctx, "storing vectors", func(tx pgx.Tx) error {
		// In the order in which whoever deletes chunks waits for these rows.
		_, err := tx.Exec(ctx, `SELECT FROM embed_todo WHERE profile_id = $1 AND input_hash = ANY($2) ORDER BY document_id, chunk_id FOR UPDATE`, profile, hashes)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			WITH got AS (SELECT h, v FROM unnest($2::bytea[], $3::halfvec[]) AS u(h, v)),
			gone AS (
				DELETE FROM embed_todo t USING got WHERE t.profile_id = $1 AND t.input_hash = got.h
				RETURNING t.document_id, t.chunk_id, t.input_hash, got.v),
			put AS (
				INSERT INTO `+vectorTable(profile)+` (document_id, chunk_id, input_hash, v)
				SELECT g.document_id, g.chunk_id, g.input_hash, g.v FROM gone g JOIN chunk c ON c.document_id = g.document_id AND c.id = g.chunk_id
				ON CONFLICT DO NOTHING RETURNING document_id, chunk_id),
			told AS (`+tellVectors+`)
			SELECT count(*) FROM put`, profile, hashes, values).Scan(&n)
		return err
	})
	return n, err
}

// TodoFailure says what became of claimed chunks that got no vector.
type TodoFailure struct {
	DocumentID uuid.UUID
	ChunkID    int32
	Reason     string
	Wait       time.Duration
	// Counts is false for failures that say nothing about the chunk, such as a
	// rate limit.
	Counts bool
}

// FailTodo returns claimed chunks to the queue.
func (s *Store) FailTodo(ctx context.Context, profile int16, claim uuid.UUID, failures []TodoFailure) error {
	return s.inTxErr(ctx, "returning chunks to the queue", func(tx pgx.Tx) error {
		batch := &pgx.Batch{}
		ordered := slices.SortedFunc(slices.Values(failures), func(a, b TodoFailure) int {
			return cmp.Or(bytes.Compare(a.DocumentID[:], b.DocumentID[:]), cmp.Compare(a.ChunkID, b.ChunkID))
		})
		for _, f := range ordered {
			batch.Queue(`
				UPDATE embed_todo SET claim = NULL, next_try_at = clock() + $5::interval, attempts = attempts + $6, error = $7
				WHERE profile_id = $1 AND document_id = $2 AND chunk_id = $3 AND claim = $4`,
				profile, f.DocumentID, f.ChunkID, claim, f.Wait, boolToInt(f.Counts), f.Reason)
		}
		return tx.SendBatch(ctx, batch).Close()
	})
}

// NextTodo returns how long until a chunk of the profile is due, and whether
// any waits at all.
func (s *Store) NextTodo(ctx context.Context, profile int16) (time.Duration, bool, error) {
	var wait *time.Duration
	err := s.pool.QueryRow(ctx, `SELECT min(next_try_at) - clock() FROM embed_todo WHERE profile_id = $1`, profile).Scan(&wait)
	if err != nil {
		return 0, false, fmt.Errorf("looking for chunks to embed: %w", err)
	}
	if wait == nil {
		return 0, false, nil
	}
	return max(*wait, 0), true, nil
}

// SetProfileError records why a profile makes no progress; "" clears it.
func (s *Store) SetProfileError(ctx context.Context, profile int16, reason string) error {
	_, err := s.pool.Exec(ctx, `UPDATE embedding_profile SET error = $2 WHERE id = $1 AND error <> $2`, profile, reason)
	if err != nil {
		return fmt.Errorf("recording profile error: %w", err)
	}
	return nil
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// LeaseDrainer makes holder the one drainer of a profile for d, or extends its
// lease. It reports false while somebody else holds it.
func (s *Store) LeaseDrainer(ctx context.Context, profile int16, holder string, d time.Duration) (bool, error) {
	tag, err := s.pool.Exec(ctx, `
		UPDATE embedding_profile SET drainer = $2, drainer_until = clock() + $3::interval
		WHERE id = $1 AND (drainer = $2 OR drainer_until IS NULL OR drainer_until < clock())`, profile, holder, d)
	if err != nil {
		return false, fmt.Errorf("leasing the drainer: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// ReleaseDrainer ends a lease early.
func (s *Store) ReleaseDrainer(ctx context.Context, profile int16, holder string) error {
	_, err := s.pool.Exec(ctx, `UPDATE embedding_profile SET drainer_until = NULL WHERE id = $1 AND drainer = $2`, profile, holder)
	if err != nil {
		return fmt.Errorf("releasing the drainer: %w", err)
	}
	return nil
}

// WaitingProfiles returns the profiles that need a drainer: chunks are due, or
// stored chunks were never queued, and nobody holds the lease.
func (s *Store) WaitingProfiles(ctx context.Context) ([]int16, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id FROM embedding_profile p
		WHERE (drainer_until IS NULL OR drainer_until < clock()) AND state <> 'retired'
		  AND (NOT filled OR EXISTS (SELECT FROM embed_todo t WHERE t.profile_id = p.id AND t.next_try_at <= clock()))`)
	if err != nil {
		return nil, fmt.Errorf("looking for profiles to drain: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int16])
	if err != nil {
		return nil, fmt.Errorf("looking for profiles to drain: %w", err)
	}
	return ids, nil
}

// SetFilled records that every chunk stored before the profile was made has
// been queued.
func (s *Store) SetFilled(ctx context.Context, profile int16) error {
	if _, err := s.pool.Exec(ctx, `UPDATE embedding_profile SET filled = true WHERE id = $1`, profile); err != nil {
		return fmt.Errorf("marking profile filled: %w", err)
	}
	return nil
}

// Filled reports whether SetFilled was called for a profile.
func (s *Store) Filled(ctx context.Context, profile int16) (bool, error) {
	var ok bool
	if err := s.pool.QueryRow(ctx, `SELECT filled FROM embedding_profile WHERE id = $1`, profile).Scan(&ok); err != nil {
		return false, fmt.Errorf("reading profile: %w", err)
	}
	return ok, nil
}
