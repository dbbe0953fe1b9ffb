package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// KeyFilter chooses keys. What is zero does not narrow.
type KeyFilter struct {
	// Find is a part of the name, or the end of the secret as a list shows it.
	Find string
	// Revoked narrows to those that were, or were not.
	Revoked *bool
	// Reader narrows to keys that are bound to it.
	Reader uuid.UUID
	// After is the name of the last one that was seen.
	After string
	Limit int
}

// FindKeys lists keys by name.
func (s *Store) FindKeys(ctx context.Context, f KeyFilter) ([]Key, error) {
	list, err := readKeys(ctx, s.pool, `k.id IN (
		SELECT x.id FROM api_key x WHERE x.name > $1 AND ($2 = '' OR strpos(lower(x.name), lower($2)) > 0 OR x.hint = $2)
		  AND ($3::boolean IS NULL OR $3 = (x.revoked_at IS NOT NULL))
		  AND ($4 = '00000000-0000-0000-0000-000000000000'::uuid OR x.reader_id = $4)
		ORDER BY x.name LIMIT $5)`, f.After, f.Find, f.Revoked, f.Reader, f.Limit)
	return list, translate("finding keys", err)
}

// ConnectionNames returns the names of connections by id. One that is gone is missing.
func (s *Store) ConnectionNames(ctx context.Context, ids []uuid.UUID) (map[uuid.UUID]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, name FROM connection WHERE id = ANY ($1)`, ids)
	if err != nil {
		return nil, translate("naming connections", err)
	}
	out := make(map[uuid.UUID]string, len(ids))
	var id uuid.UUID
	var name string
	_, err = pgx.ForEachRow(rows, []any{&id, &name}, func() error {
		out[id] = name
		return nil
	})
	return out, translate("naming connections", err)
}

// AllConnectionNames lists the names of connections that are not being closed, at most limit.
func (s *Store) AllConnectionNames(ctx context.Context, limit int) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT name FROM connection WHERE state <> 'closing' ORDER BY name LIMIT $1`, limit)
	if err != nil {
		return nil, translate("naming connections", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return list, translate("naming connections", err)
}
