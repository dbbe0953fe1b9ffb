package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Unmatched is a person of a source whom no reader is, or whom addresses would
// make several.
type Unmatched struct {
	PrincipalID int64  `json:"-"`
	Source      string `json:"source"`
	Realm       string `json:"realm"`
	ID          string `json:"id"`
	Name        string `json:"name,omitempty"`
	// Verified and Claimed are the addresses that the source tells.
	Verified []string `json:"verified_emails"`
	Claimed  []string `json:"claimed_emails"`
	Reason   string   `json:"reason"`
	// Readers are those who have one of the addresses.
	Readers []string `json:"readers"`
}

// UnmatchedFilter chooses people.
type UnmatchedFilter struct {
	// Connection narrows to the realm of one; uuid.Nil is every realm.
	Connection uuid.UUID
	// Ambiguous narrows to people whom addresses would make several.
	Ambiguous bool
	// Unlinked leaves those out whom addresses would make several and whom a reader is all the same. However many
	// people there are, it looks at those of the page only. It does not go with Ambiguous.
	Unlinked bool
	// After is the PrincipalID of the last one that was seen.
	After int64
	Limit int
}

// UnmatchedPeople lists people of sources whom no reader is, with the reason.
func (s *Store) UnmatchedPeople(ctx context.Context, f UnmatchedFilter) ([]Unmatched, error) {
	var page []int64
	if f.Unlinked {
		var err error
		if page, err = s.unlinked(ctx, f); err != nil || len(page) == 0 {
			return []Unmatched{}, translate("listing unmatched people", err)
		}
	}
	rows, err := s.pool.Query(ctx, `
		WITH matches AS MATERIALIZED (
			SELECT m.principal_id, string_agg(DISTINCT m.problem, '; ') FILTER (WHERE m.problem <> '') AS problem,
			       bool_or(m.problem NOT IN ('', 'mapping by e-mail is off')) AS ambiguous, array_agg(DISTINCT r.name) AS readers
			FROM email_matches($5::bigint[]) m JOIN reader r ON r.id = m.reader_id GROUP BY m.principal_id)
		SELECT p.id, o.source, o.external_id, p.external_id, p.name, e.verified, e.claimed,
		       coalesce(m.problem, CASE WHEN cardinality(e.verified) > 0 THEN 'no reader has the address'
		                                WHEN cardinality(e.claimed) > 0 THEN 'the source does not say that the address is verified'
		                                ELSE 'the source tells no usable address' END),
		       coalesce(m.readers, '{}')
		FROM principal p JOIN realm o ON o.id = p.realm_id LEFT JOIN matches m ON m.principal_id = p.id
		CROSS JOIN LATERAL (
			SELECT coalesce(array_agg(DISTINCT x.email) FILTER (WHERE x.verified), '{}') AS verified,
			       coalesce(array_agg(DISTINCT x.email) FILTER (WHERE NOT x.verified), '{}') AS claimed
			FROM principal_email x WHERE x.principal_id = p.id) e
		WHERE p.kind = 'user' AND p.id > $3 AND ($5::bigint[] IS NULL OR p.id = ANY ($5)) AND (m.ambiguous OR NOT $2)
		  AND p.realm_id IN (SELECT c.realm_id FROM connection c WHERE $1 = '00000000-0000-0000-0000-000000000000'::uuid OR c.id = $1)
		  AND (m.ambiguous OR NOT EXISTS (SELECT FROM reader_principal l WHERE l.principal_id = p.id)
		    -- A source may know one person by two ids, each a member of the other.
		    AND NOT EXISTS (SELECT FROM membership x JOIN reader_principal l ON l.principal_id = x.member_id WHERE x.group_id = p.id))
		ORDER BY p.id LIMIT $4`, f.Connection, f.Ambiguous, f.After, f.Limit, page)
	if err != nil {
		return nil, translate("listing unmatched people", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Unmatched])
	return list, translate("listing unmatched people", err)
}

// unlinked are the people of a page whom no reader is.
func (s *Store) unlinked(ctx context.Context, f UnmatchedFilter) ([]int64, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT p.id FROM principal p
		WHERE p.kind = 'user' AND p.id > $2
		  AND p.realm_id IN (SELECT c.realm_id FROM connection c WHERE $1 = '00000000-0000-0000-0000-000000000000'::uuid OR c.id = $1)
		  AND NOT EXISTS (SELECT FROM reader_principal l WHERE l.principal_id = p.id)
		  -- As a value and not as a set, so that it is asked of those of the page only.
		  AND (SELECT l.reader_id FROM membership x JOIN reader_principal l ON l.principal_id = x.member_id WHERE x.group_id = p.id LIMIT 1) IS NULL
		ORDER BY p.id LIMIT $3`, f.Connection, f.After, f.Limit)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[int64])
}
