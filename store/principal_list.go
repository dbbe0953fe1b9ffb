package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// CountedTo is how far members and documents of a group are counted: so many stand for so many or more.
const CountedTo = 200

// GroupFilter chooses groups. What is zero does not narrow.
type GroupFilter struct {
	// Connection narrows to the realm of one, and members to those that it knows.
	Connection uuid.UUID
	// Find is a part of the name or the id.
	Find string
	// After is the PrincipalID of the last one that was seen.
	After int64
	Limit int
}

// ListedPrincipal is a principal of a list.
type ListedPrincipal struct {
	ID         int64                    `json:"id"`
	Source     string                   `json:"source"`
	Realm      string                   `json:"realm"`
	Kind       connectors.PrincipalKind `json:"kind"`
	ExternalID string                   `json:"external_id"`
	Name       string                   `json:"name"`
	// Members are counted to 200: so many stand for so many or more.
	Members int64 `json:"members"`
	// Connections names those that know the membership for which the principal is listed; in a list of groups none.
	Connections []string `json:"connections"`
	// ReaderID is a reader that is linked to it; null is none.
	ReaderID *uuid.UUID `json:"reader_id"`
	Reader   *string    `json:"reader"`
}

// Groups lists the groups of realms that a connection has, those that were first seen last first. Members that several
// connections know are counted once: the index gives one after the other, without the rows between.
func (s *Store) Groups(ctx context.Context, f GroupFilter) ([]ListedPrincipal, error) {
	rows, err := s.pool.Query(ctx, `
		WITH page AS MATERIALIZED (
			SELECT p.id, p.realm_id, p.kind, p.external_id, p.name FROM principal p
			WHERE p.kind = 'group' AND ($3 = 0::bigint OR p.id < $3)
			  AND p.realm_id IN (SELECT c.realm_id FROM connection c WHERE $1 = '00000000-0000-0000-0000-000000000000'::uuid OR c.id = $1)
			  AND ($2 = '' OR strpos(lower(p.name), lower($2)) > 0 OR strpos(lower(p.external_id), lower($2)) > 0)
			ORDER BY p.id DESC LIMIT $4)
		SELECT p.id, o.source, o.external_id, p.kind, p.external_id, p.name,
		       (WITH RECURSIVE m (id) AS (
		          SELECT min(x.member_id) FROM membership x
		          WHERE x.group_id = p.id AND ($1 = '00000000-0000-0000-0000-000000000000'::uuid OR x.connection_id = $1)
		          UNION ALL
		          SELECT (SELECT min(x.member_id) FROM membership x
		                  WHERE x.group_id = p.id AND x.member_id > m.id AND ($1 = '00000000-0000-0000-0000-000000000000'::uuid OR x.connection_id = $1))
		          FROM m WHERE m.id IS NOT NULL)
		        SELECT count(*) FROM (SELECT FROM m WHERE m.id IS NOT NULL LIMIT $5) y),
		       '{}'::text[], NULL::uuid, NULL::text
		FROM page p JOIN realm o ON o.id = p.realm_id ORDER BY p.id DESC`, f.Connection, f.Find, f.After, f.Limit, CountedTo)
	if err != nil {
		return nil, translate("listing groups", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ListedPrincipal])
	return list, translate("listing groups", err)
}

// PrincipalView is a principal with what hangs on it.
type PrincipalView struct {
	ID         int64                    `json:"id"`
	Source     string                   `json:"source"`
	Realm      string                   `json:"realm"`
	Kind       connectors.PrincipalKind `json:"kind"`
	ExternalID string                   `json:"external_id"`
	Name       string                   `json:"name"`
	// Connections are those of its realm.
	Connections []string `json:"connections"`
	// Documents are those that name it in their ACL as somebody who may read, and that are not hidden, counted to 200.
	Documents int64 `json:"documents"`
}

// Principal returns the principal with that id, or ErrNotFound.
func (s *Store) Principal(ctx context.Context, id int64) (PrincipalView, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT p.id, o.source, o.external_id, p.kind, p.external_id, p.name,
		       ARRAY(SELECT c.name FROM connection c WHERE c.realm_id = p.realm_id ORDER BY c.name),
		       (SELECT count(*) FROM (SELECT FROM document d WHERE d.hidden_reason IS NULL
		        AND d.acl_set_id IN (SELECT e.set_id FROM acl_entry e WHERE e.principal_id = p.id AND e.clause > 0) LIMIT $2) x)
		FROM principal p JOIN realm o ON o.id = p.realm_id WHERE p.id = $1`, id, CountedTo)
	if err != nil {
		return PrincipalView{}, translate("reading principal", err)
	}
	p, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[PrincipalView])
	if errors.Is(err, pgx.ErrNoRows) {
		err = fmt.Errorf("principal %d: %w", id, ErrNotFound)
	}
	return p, translate("reading principal", err)
}

// listedMembership lists one side of the memberships of a principal.
const listedMembership = `
	SELECT p.id, o.source, o.external_id, p.kind, p.external_id, p.name,
	       CASE p.kind WHEN 'user' THEN 0 ELSE (SELECT count(*) FROM (SELECT FROM membership n WHERE n.group_id = p.id LIMIT $4) x) END,
	       s.names, r.id, r.name
	FROM listing s JOIN principal p ON p.id = s.id JOIN realm o ON o.id = p.realm_id
	LEFT JOIN LATERAL (SELECT r.id, r.name FROM reader_principal l JOIN reader r ON r.id = l.reader_id WHERE l.principal_id = p.id ORDER BY r.name LIMIT 1) r ON true
	ORDER BY p.id`

// Members lists who is in a group directly, behind after, by id, at most limit.
func (s *Store) Members(ctx context.Context, group, after int64, limit int) ([]ListedPrincipal, error) {
	rows, err := s.pool.Query(ctx, `
		WITH listing AS MATERIALIZED (
			SELECT m.member_id AS id, array_agg(c.name ORDER BY c.name) AS names FROM membership m JOIN connection c ON c.id = m.connection_id
			WHERE m.group_id = $1 AND m.member_id > $2 GROUP BY m.member_id ORDER BY m.member_id LIMIT $3)`+listedMembership, group, after, limit, CountedTo)
	return listed("listing members", rows, err)
}

// GroupsOf lists the groups that a principal is in directly, behind after, by id, at most limit.
func (s *Store) GroupsOf(ctx context.Context, member, after int64, limit int) ([]ListedPrincipal, error) {
	rows, err := s.pool.Query(ctx, `
		WITH listing AS MATERIALIZED (
			SELECT m.group_id AS id, array_agg(c.name ORDER BY c.name) AS names FROM membership m JOIN connection c ON c.id = m.connection_id
			WHERE m.member_id = $1 AND m.group_id > $2 GROUP BY m.group_id ORDER BY m.group_id LIMIT $3)`+listedMembership, member, after, limit, CountedTo)
	return listed("listing groups of a principal", rows, err)
}

func listed(op string, rows pgx.Rows, err error) ([]ListedPrincipal, error) {
	if err != nil {
		return nil, translate(op, err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ListedPrincipal])
	return list, translate(op, err)
}

// ReadersOf lists the readers that are linked to a principal, at most limit.
func (s *Store) ReadersOf(ctx context.Context, principal int64, limit int) ([]ListedReader, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT r.id, r.name, r.kind, r.disabled_at FROM reader_principal l JOIN reader r ON r.id = l.reader_id
		WHERE l.principal_id = $1 ORDER BY r.name LIMIT $2`, principal, limit)
	if err != nil {
		return nil, translate("listing readers of a principal", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ListedReader, error) {
		var r ListedReader
		err := row.Scan(&r.ID, &r.Name, &r.Kind, &r.DisabledAt)
		return r, err
	})
	return list, translate("listing readers of a principal", err)
}
