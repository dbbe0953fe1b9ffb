package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// KnownDocument is what the engine has to know of a stored document to decide
// whether its body must be opened.
type KnownDocument struct {
	ID             uuid.UUID
	ExternalID     string
	SourceRevision string
	ContentHash    []byte
	Extractor      string
	Chunker        string
	ACLSetID       int64
	HiddenReason   *string
	// QuarantineAttempts counts the failures of QuarantineRevision.
	QuarantineAttempts int
	QuarantineRevision string
	// Where the document stood and how it was called when it was last listed.
	Title, URL, Path, Container string
	// RetryAsked is true while an admin wants the quarantined item tried again.
	RetryAsked bool
}

// KnownDocuments returns what is stored of the given items, by external id. An
// item that only stands in quarantine has the zero ID.
func (s *Store) KnownDocuments(ctx context.Context, connection uuid.UUID, external []string) (map[string]KnownDocument, error) {
	out := make(map[string]KnownDocument, len(external))
	if len(external) == 0 {
		return out, nil
	}
	rows, err := s.pool.Query(ctx, `
		SELECT coalesce(d.id, '00000000-0000-0000-0000-000000000000'), coalesce(d.external_id, q.external_id), coalesce(d.source_revision, ''), d.content_hash,
			coalesce(r.extractor, ''), coalesce(r.chunker, ''), coalesce(d.acl_set_id, 0), d.hidden_reason,
			coalesce(q.attempts, 0), coalesce(q.source_revision, ''),
			coalesce(d.title, ''), coalesce(d.url, ''), coalesce(d.path, ''), coalesce(d.container, ''), q.retry_at IS NOT NULL
		FROM (SELECT * FROM document WHERE connection_id = $1 AND external_id = ANY($2)) d
		LEFT JOIN revision r ON r.document_id = d.id AND r.number = d.revision
		FULL JOIN (SELECT * FROM quarantine WHERE connection_id = $1 AND external_id = ANY($2)) q ON q.external_id = d.external_id`, connection, external)
	if err != nil {
		return nil, fmt.Errorf("reading known documents: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[KnownDocument])
	if err != nil {
		return nil, fmt.Errorf("reading known documents: %w", err)
	}
	for _, k := range list {
		out[k.ExternalID] = k
	}
	return out, nil
}
