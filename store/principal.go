package store

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// MaxID bounds a source's ids in bytes: the keys of a B-tree page hold no more
// (PostgreSQL, B-Tree Indexes: about a third of a page).
const MaxID = 2500

// maxPrincipalName bounds the display name of a principal, in code points.
const maxPrincipalName = 500

// UsableID reports whether an id of a source can be stored: UTF-8 without NUL,
// of 1 to MaxID bytes. Nothing is made of an id that cannot: two of them must
// not become one.
func UsableID(id string) bool {
	return id != "" && len(id) <= MaxID && storableText(id)
}

// storableText reports whether s can be a value of type text.
func storableText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

func usablePrincipals(ps []connectors.Principal) bool {
	for _, p := range ps {
		if !UsableID(p.ID) {
			return false
		}
	}
	return true
}

// displayName makes any string storable.
func displayName(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
	if utf8.RuneCountInString(s) > maxPrincipalName {
		s = string([]rune(s)[:maxPrincipalName])
	}
	return s
}

// principalIDs returns the row ids of ps in a realm, in order, making rows
// that do not exist yet. A name that changed is refreshed unless somebody else
// is doing so. Rows that stand are not locked: transactions that name the same
// principals do not wait for each other.
func principalIDs(ctx context.Context, tx pgx.Tx, realm int64, ps []connectors.Principal) ([]int64, error) {
	kinds, exts, names := make([]string, len(ps)), make([]string, len(ps)), make([]string, len(ps))
	for i, p := range ps {
		if !p.Kind.Valid() || !UsableID(p.ID) {
			return nil, &InputError{Field: "principal", Problem: fmt.Sprintf("%s %.80q must be of a known kind and have an id of 1 to %d bytes of UTF-8 without NUL", p.Kind, p.ID, MaxID)}
		}
		kinds[i], exts[i], names[i] = string(p.Kind), p.ID, displayName(p.Name)
	}
	ids, renamed, err := findPrincipals(ctx, tx, realm, kinds, exts, names)
	if err != nil {
		return nil, err
	}
	if renamed {
		_, err := tx.Exec(ctx, `
			WITH other AS (
				SELECT DISTINCT ON (q.id) q.id, u.n FROM unnest($2::text[], $3::text[], $4::text[]) AS u(k, e, n)
				JOIN principal q ON q.realm_id = $1 AND q.kind = u.k AND q.external_id = u.e WHERE u.n NOT IN ('', q.name) ORDER BY q.id, u.n DESC),
			free AS MATERIALIZED (SELECT id FROM principal WHERE id IN (SELECT id FROM other) FOR NO KEY UPDATE SKIP LOCKED)
			UPDATE principal p SET name = other.n FROM other JOIN free USING (id) WHERE p.id = other.id`, realm, kinds, exts, names)
		if err != nil {
			return nil, fmt.Errorf("renaming principals: %w", err)
		}
	}
	if ids != nil {
		return ids, nil
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO principal (realm_id, kind, external_id, name)
		SELECT $1, k, e, max(n) FROM unnest($2::text[], $3::text[], $4::text[]) AS u(k, e, n)
		WHERE NOT EXISTS (SELECT FROM principal p WHERE p.realm_id = $1 AND p.kind = u.k AND p.external_id = u.e)
		GROUP BY k, e ORDER BY k COLLATE "C", e COLLATE "C"
		ON CONFLICT (realm_id, kind, external_id) DO NOTHING`, realm, kinds, exts, names)
	if err != nil {
		return nil, fmt.Errorf("writing principals: %w", err)
	}
	if ids, _, err = findPrincipals(ctx, tx, realm, kinds, exts, names); err != nil {
		return nil, err
	}
	if ids == nil {
		return nil, fmt.Errorf("reading principals: some of %d are missing", len(ps))
	}
	return ids, nil
}

// findPrincipals returns the row ids, or nil where one is missing, and whether
// a name differs.
func findPrincipals(ctx context.Context, tx pgx.Tx, realm int64, kinds, exts, names []string) (ids []int64, renamed bool, err error) { //nolint:nonamedreturns // the boolean needs a name
	rows, err := tx.Query(ctx, `
		SELECT p.id, p.id IS NOT NULL AND u.n NOT IN ('', p.name) FROM unnest($2::text[], $3::text[], $4::text[]) WITH ORDINALITY AS u(k, e, n, i)
		LEFT JOIN principal p ON p.realm_id = $1 AND p.kind = u.k AND p.external_id = u.e ORDER BY u.i`, realm, kinds, exts, names)
	if err != nil {
		return nil, false, fmt.Errorf("reading principals: %w", err)
	}
	ids = make([]int64, 0, len(kinds))
	whole := true
	var id *int64
	var other bool
	_, err = pgx.ForEachRow(rows, []any{&id, &other}, func() error {
		renamed = renamed || other
		if id == nil {
			whole = false
			return nil
		}
		ids = append(ids, *id)
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("reading principals: %w", err)
	}
	if !whole {
		return nil, renamed, nil
	}
	return ids, renamed, nil
}
