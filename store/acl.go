package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// unknownACL is the set that lets nobody read.
const unknownACL int64 = 0

// aclCacheSize bounds the process's memory of interned sets. Sets are
// immutable and never deleted, so an entry cannot go stale.
const aclCacheSize = 50_000

type aclKey [sha256.Size]byte

// aclCache maps the content of an ACL in a realm to its interned set.
type aclCache struct {
	mu   sync.Mutex
	sets map[aclKey]int64
}

func newACLCache() *aclCache { return &aclCache{sets: map[aclKey]int64{}} }

func (c *aclCache) get(k aclKey) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	id, ok := c.sets[k]
	return id, ok
}

// add remembers committed sets.
func (c *aclCache) add(sets map[aclKey]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.sets)+len(sets) > aclCacheSize {
		clear(c.sets)
	}
	maps.Copy(c.sets, sets)
}

// normalACL returns acl in the one form that equal ACLs share: principals
// sorted and unique in a clause, clauses sorted and unique. An ACL that grants
// nobody anything, that is invalid or that has too many clauses becomes the
// zero ACL.
func normalACL(acl connectors.ACL) connectors.ACL {
	if acl.Validate() != nil {
		return connectors.ACL{}
	}
	var n connectors.ACL
	for _, clause := range acl.AllOf {
		n.AllOf = append(n.AllOf, normalClause(clause))
	}
	slices.SortFunc(n.AllOf, func(a, b []connectors.Principal) int { return slices.CompareFunc(a, b, comparePrincipals) })
	n.AllOf = slices.CompactFunc(n.AllOf, func(a, b []connectors.Principal) bool {
		return slices.CompareFunc(a, b, comparePrincipals) == 0
	})
	if !n.Known() {
		return connectors.ACL{}
	}
	n.Deny = normalClause(acl.Deny)
	return n
}

func normalClause(ps []connectors.Principal) []connectors.Principal {
	out := slices.Clone(ps)
	slices.SortFunc(out, comparePrincipals)
	return slices.CompactFunc(out, func(a, b connectors.Principal) bool { return comparePrincipals(a, b) == 0 })
}

func comparePrincipals(a, b connectors.Principal) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.ID, b.ID))
}

// keyOf hashes a normal ACL together with its realm, length-prefixed so that
// no two ACLs share an encoding.
func keyOf(realm int64, acl connectors.ACL) aclKey {
	buf := binary.AppendVarint(nil, realm)
	clause := func(ps []connectors.Principal) {
		buf = binary.AppendUvarint(buf, uint64(len(ps)))
		for _, p := range ps {
			for _, s := range [...]string{string(p.Kind), p.ID} {
				buf = binary.AppendUvarint(buf, uint64(len(s)))
				buf = append(buf, s...)
			}
		}
	}
	buf = binary.AppendUvarint(buf, uint64(len(acl.AllOf)))
	for _, c := range acl.AllOf {
		clause(c)
	}
	clause(acl.Deny)
	return sha256.Sum256(buf)
}

// internACLs returns the set of each ACL, in order, making sets and principals
// that do not exist yet. The second result holds what to add to the cache once
// tx has committed.
func (s *Store) internACLs(ctx context.Context, tx pgx.Tx, realm int64, acls []connectors.ACL) ([]int64, map[aclKey]int64, error) {
	ids := make([]int64, len(acls))
	fresh := map[aclKey]int64{}
	for i, raw := range acls {
		acl := normalACL(raw)
		if !acl.Known() {
			continue // unknownACL
		}
		key := keyOf(realm, acl)
		id, ok := s.acls.get(key)
		if !ok {
			id, ok = fresh[key]
		}
		if !ok {
			var err error
			if id, err = internACL(ctx, tx, realm, key, acl); err != nil {
				return nil, nil, err
			}
			fresh[key] = id
		}
		ids[i] = id
	}
	return ids, fresh, nil
}

func internACL(ctx context.Context, tx pgx.Tx, realm int64, key aclKey, acl connectors.ACL) (int64, error) {
	var mask int64
	var principals []connectors.Principal
	var clauses []int16
	add := func(clause int16, ps []connectors.Principal) {
		for _, p := range ps {
			principals = append(principals, p)
			clauses = append(clauses, clause)
		}
	}
	for i, c := range acl.AllOf {
		mask |= int64(1) << (i + 1)
		add(int16(i+1), c)
	}
	add(0, acl.Deny)
	var id int64
	err := tx.QueryRow(ctx, `INSERT INTO acl_set (hash, need_mask) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING RETURNING id`, key[:], mask).Scan(&id)
	if err == pgx.ErrNoRows { //nolint:errorlint // pgx documents the bare value for QueryRow.Scan
		err = tx.QueryRow(ctx, `SELECT id FROM acl_set WHERE hash = $1`, key[:]).Scan(&id)
		if err != nil {
			return 0, fmt.Errorf("reading ACL set: %w", err)
		}
		return id, nil
	}
	if err != nil {
		return 0, fmt.Errorf("writing ACL set: %w", err)
	}
	pids, err := principalIDs(ctx, tx, realm, principals)
	if err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO acl_entry (set_id, principal_id, clause) SELECT DISTINCT $1::bigint, p, c FROM unnest($2::bigint[], $3::smallint[]) AS u(p, c)`, id, pids, clauses)
	if err != nil {
		return 0, fmt.Errorf("writing ACL entries: %w", err)
	}
	return id, nil
}

// principalIDs returns the row ids of ps in a realm, in order, making rows
// that do not exist yet and refreshing display names.
func principalIDs(ctx context.Context, tx pgx.Tx, realm int64, ps []connectors.Principal) ([]int64, error) {
	kinds, exts, names := make([]string, len(ps)), make([]string, len(ps)), make([]string, len(ps))
	for i, p := range ps {
		kinds[i], exts[i], names[i] = string(p.Kind), p.ID, p.Name
	}
	_, err := tx.Exec(ctx, `
		INSERT INTO principal AS p (realm_id, kind, external_id, name)
		SELECT $1, k, e, max(n) FROM unnest($2::text[], $3::text[], $4::text[]) AS u(k, e, n) GROUP BY k, e ORDER BY k, e
		ON CONFLICT (realm_id, kind, external_id) DO UPDATE SET name = excluded.name WHERE excluded.name NOT IN ('', p.name)`,
		realm, kinds, exts, names)
	if err != nil {
		return nil, fmt.Errorf("writing principals: %w", err)
	}
	rows, err := tx.Query(ctx, `
		SELECT p.id FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS u(k, e, n)
		JOIN principal p ON p.realm_id = $1 AND p.kind = u.k AND p.external_id = u.e ORDER BY u.n`, realm, kinds, exts)
	if err != nil {
		return nil, fmt.Errorf("reading principals: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("reading principals: %w", err)
	}
	if len(ids) != len(ps) {
		return nil, fmt.Errorf("reading principals: %d of %d found", len(ids), len(ps))
	}
	return ids, nil
}
