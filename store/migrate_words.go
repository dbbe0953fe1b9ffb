package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// wordsVersion is the version of what to_tsv makes of a text. Where it differs
// from the one that is recorded, chunks hold text search vectors of before.
const wordsVersion = "2"

// wordsBatch is how many chunks one transaction of rebuildWords looks at.
const wordsBatch = 2000

// rebuildWords brings the text search vectors of stored chunks up to date, in
// short transactions, while the service may run: a chunk that it has not come
// to is found as before. Text that is ASCII has the same vector in every version.
func (m *migrator) rebuildWords(ctx context.Context) error {
	var same bool
	err := m.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM setting WHERE key = 'chunk.words' AND value = $1)`, wordsVersion).Scan(&same)
	if err != nil {
		return fmt.Errorf("reading the version of text search vectors: %w", err)
	}
	for last, number := (uuid.UUID{}), -1; !same; {
		err := m.retryLocked(ctx, "rebuilding text search vectors", func(ctx context.Context) error {
			err := m.pool.QueryRow(ctx, `
				WITH b AS MATERIALIZED (
					SELECT document_id, id FROM chunk WHERE (document_id, id) > ($1, $2) ORDER BY document_id, id LIMIT $3
				), u AS (
					UPDATE chunk c SET lang = c.lang FROM b
					WHERE c.document_id = b.document_id AND c.id = b.id
					  AND octet_length(c.text) > length(c.text) AND c.tsv IS DISTINCT FROM to_tsv(c.lang, c.text)
				)
				SELECT document_id, id FROM b ORDER BY document_id DESC, id DESC LIMIT 1`, last, number, wordsBatch).Scan(&last, &number)
			same = errors.Is(err, pgx.ErrNoRows)
			if same {
				return nil
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	_, err = m.pool.Exec(ctx, `
		INSERT INTO setting (key, value) VALUES ('chunk.words', $1)
		ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE setting.value <> excluded.value`, wordsVersion)
	if err != nil {
		return fmt.Errorf("recording the version of text search vectors: %w", err)
	}
	return nil
}
