package store

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// ReaderFilter chooses readers. What is zero does not narrow.
type ReaderFilter struct {
	// Find is a part of the name, or of an address.
	Find string
	// Disabled narrows to those that are, or are not.
	Disabled *bool
	// After is the name of the last one that was seen.
	After string
	Limit int
}

// ListedReader is a line of a list of readers.
type ListedReader struct {
	ID         uuid.UUID
	Name       string
	Kind       ReaderKind
	DisabledAt *time.Time
	// Links, Identities and Keys count; Keys without those that were revoked.
	Links, Identities, Keys int64
	Emails                  []string
	// LastRead is when documents were last read for it; nil is never, or longer ago than reads are kept.
	LastRead *time.Time
}

// FindReaders lists readers by name.
func (s *Store) FindReaders(ctx context.Context, f ReaderFilter) ([]ListedReader, error) {
	rows, err := s.pool.Query(ctx, `
		WITH page AS MATERIALIZED (
			SELECT r.id, r.name, r.kind, r.disabled_at FROM reader r
			WHERE r.name > $3 AND ($2::boolean IS NULL OR $2 = (r.disabled_at IS NOT NULL))
			  AND ($1 = '' OR strpos(lower(r.name), lower($1)) > 0 OR r.id IN (SELECT e.reader_id FROM reader_email e WHERE strpos(lower(e.email), lower($1)) > 0))
			ORDER BY r.name LIMIT $4),
		keys AS MATERIALIZED (
			SELECT k.reader_id, count(*) AS n FROM api_key k WHERE k.reader_id IN (SELECT r.id FROM page r) AND k.revoked_at IS NULL GROUP BY k.reader_id)
		SELECT r.id, r.name, r.kind, r.disabled_at,
		       (SELECT count(*) FROM reader_principal l WHERE l.reader_id = r.id),
		       (SELECT count(*) FROM reader_identity i WHERE i.reader_id = r.id),
		       coalesce(k.n, 0),
		       ARRAY(SELECT e.email FROM reader_email e WHERE e.reader_id = r.id ORDER BY e.email),
		       (SELECT e.at FROM read_event e WHERE e.reader_id = r.id ORDER BY e.id DESC LIMIT 1)
		FROM page r LEFT JOIN keys k ON k.reader_id = r.id ORDER BY r.name`, f.Find, f.Disabled, f.After, f.Limit)
	if err != nil {
		return nil, translate("finding readers", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedReader, error) {
		var r ListedReader
		err := row.Scan(&r.ID, &r.Name, &r.Kind, &r.DisabledAt, &r.Links, &r.Identities, &r.Keys, &r.Emails, &r.LastRead)
		return r, err
	})
	return list, translate("finding readers", err)
}

// ReadersCalled returns which of the names are those of readers, sorted.
func (s *Store) ReadersCalled(ctx context.Context, names []string) ([]string, error) {
	rows, err := s.pool.Query(ctx, `SELECT name FROM reader WHERE name = ANY ($1) ORDER BY name`, names)
	if err != nil {
		return nil, translate("looking readers up", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return list, translate("looking readers up", err)
}

// HeldGroup is a group that a reader is in, by the memberships of one connection.
type HeldGroup struct {
	Connection  string
	PrincipalID int64
	Kind        connectors.PrincipalKind
	ExternalID  string
	Name        string
	// Direct says that what the reader is linked to is a member itself, and not by way of another group.
	Direct bool
}

// ReaderGroups lists groups that a reader is in, by connection, at most limit of them. Which ones, where there are more, is
// not said.
func (s *Store) ReaderGroups(ctx context.Context, reader uuid.UUID, limit int) ([]HeldGroup, error) {
	rows, err := s.pool.Query(ctx, `
		WITH RECURSIVE own AS MATERIALIZED (
			SELECT c.id AS connection_id, c.realm_id, l.principal_id
			FROM reader_principal l JOIN principal p ON p.id = l.principal_id JOIN connection c ON c.realm_id = p.realm_id WHERE l.reader_id = $1
		), held (connection_id, realm_id, id) AS (
			SELECT connection_id, realm_id, principal_id FROM own
			UNION
			SELECT h.connection_id, h.realm_id, g.id FROM held h
			JOIN membership m ON m.connection_id = h.connection_id AND m.member_id = h.id
			JOIN principal g ON g.id = m.group_id AND g.realm_id = h.realm_id
		), listing AS (
			SELECT h.connection_id, h.id FROM held h
			WHERE NOT EXISTS (SELECT FROM own o WHERE o.connection_id = h.connection_id AND o.principal_id = h.id) LIMIT $2)
		SELECT c.name, p.id, p.kind, p.external_id, p.name,
		       EXISTS (SELECT FROM own o JOIN membership m ON m.connection_id = o.connection_id AND m.member_id = o.principal_id
		               WHERE o.connection_id = s.connection_id AND m.group_id = s.id)
		FROM listing s JOIN principal p ON p.id = s.id JOIN connection c ON c.id = s.connection_id
		ORDER BY c.name, p.name, p.external_id`, reader, limit)
	if err != nil {
		return nil, translate("listing a reader's groups", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[HeldGroup])
	return list, translate("listing a reader's groups", err)
}
