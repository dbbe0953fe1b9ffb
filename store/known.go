package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
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
			coalesce(q.attempts, 0), coalesce(q.source_revision, '')
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

// KnownACLs returns the interned set of each ACL that is stored already, and
// -1 for one that is not, without writing anything. The engine leaves out the
// documents whose set is the stored one.
func (s *Store) KnownACLs(ctx context.Context, realm int64, acls []connectors.ACL) ([]int64, error) {
	out := make([]int64, len(acls))
	var missing [][]byte
	where := map[aclKey][]int{}
	for i, raw := range acls {
		acl := normalACL(raw)
		if !acl.Known() {
			out[i] = unknownACL
			continue
		}
		key := keyOf(realm, acl)
		if id, ok := s.acls.get(key); ok {
			out[i] = id
			continue
		}
		out[i] = -1
		if where[key] == nil {
			missing = append(missing, append([]byte(nil), key[:]...))
		}
		where[key] = append(where[key], i)
	}
	if len(missing) == 0 {
		return out, nil
	}
	rows, err := s.pool.Query(ctx, `SELECT hash, id FROM acl_set WHERE hash = ANY($1)`, missing)
	if err != nil {
		return nil, fmt.Errorf("reading ACL sets: %w", err)
	}
	var hash []byte
	var id int64
	found := map[aclKey]int64{}
	_, err = pgx.ForEachRow(rows, []any{&hash, &id}, func() error {
		found[aclKey(hash)] = id
		for _, i := range where[aclKey(hash)] {
			out[i] = id
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading ACL sets: %w", err)
	}
	s.acls.add(found)
	return out, nil
}
