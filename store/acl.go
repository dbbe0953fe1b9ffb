package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
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
// immutable; one that an erasure removed, because nothing used it, is noticed by
// confirmSets.
const aclCacheSize = 50_000

type aclKey [sha256.Size]byte

// aclCache maps the content of an ACL in a realm to its interned set.
type aclCache struct {
	mu   sync.Mutex
	sets map[aclKey]int64
}

func newACLCache() *aclCache { return &aclCache{sets: map[aclKey]int64{}} }

// forget empties the cache.
func (c *aclCache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.sets)
}

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
// nobody anything, that is invalid, that names a principal by an id that cannot
// be stored, or that has too many clauses becomes the zero ACL.
func normalACL(acl connectors.ACL) connectors.ACL {
	if !acl.Known() || acl.Validate() != nil || !usablePrincipals(acl.Deny) {
		return connectors.ACL{}
	}
	for _, clause := range acl.AllOf {
		if !usablePrincipals(clause) {
			return connectors.ACL{}
		}
	}
	var n connectors.ACL
	for _, clause := range acl.AllOf {
		n.AllOf = append(n.AllOf, normalClause(clause))
	}
	slices.SortFunc(n.AllOf, func(a, b []connectors.Principal) int { return slices.CompareFunc(a, b, comparePrincipals) })
	n.AllOf = slices.CompactFunc(n.AllOf, func(a, b []connectors.Principal) bool {
		return slices.CompareFunc(a, b, comparePrincipals) == 0
	})
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

// aclSet is an interned ACL; the zero aclSet is the one that nobody matches.
type aclSet struct {
	id  int64
	key aclKey
}

// internACLs returns the set of each ACL, in order, making sets and principals
// that do not exist yet. It commits them in a transaction of its own: a set is
// its content and never changes, so that one which nothing uses does no harm,
// while a batch that held new sets until its end would keep every other batch
// that needs them waiting. A run that was interrupted makes none: what it was
// about to write may be erased by now.
func (s *Store) internACLs(ctx context.Context, run Run, realm int64, acls []connectors.ACL) ([]aclSet, error) {
	sets := make([]aclSet, len(acls))
	missing := map[aclKey]connectors.ACL{}
	for i, raw := range acls {
		acl := normalACL(raw)
		if !acl.Known() {
			continue // unknownACL
		}
		sets[i].key = keyOf(realm, acl)
		id, ok := s.acls.get(sets[i].key)
		if !ok {
			missing[sets[i].key] = acl
		}
		sets[i].id = id
	}
	if len(missing) == 0 {
		return sets, nil
	}
	var fresh map[aclKey]int64
	err := s.inTxErr(ctx, "interning ACLs", func(tx pgx.Tx) error {
		var mine bool
		err := tx.QueryRow(ctx, `SELECT true FROM sync_run WHERE id = $1 AND fence = $2 AND state = 'running' FOR KEY SHARE`, run.ID, run.Fence).Scan(&mine)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrFenced
		}
		if err != nil {
			return fmt.Errorf("checking fence: %w", err)
		}
		fresh, err = internMissing(ctx, tx, realm, missing)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.acls.add(fresh)
	for i := range sets {
		if id, ok := fresh[sets[i].key]; ok {
			sets[i].id = id
		}
	}
	return sets, nil
}

// internMissing finds or makes sets. Whoever interns writes principals before
// sets and each in one order, so that two of them never wait for each other in
// a circle.
func internMissing(ctx context.Context, tx pgx.Tx, realm int64, missing map[aclKey]connectors.ACL) (map[aclKey]int64, error) {
	found := make(map[aclKey]int64, len(missing))
	if err := findSets(ctx, tx, missing, found); err != nil {
		return nil, err
	}
	var keys []aclKey
	var principals []connectors.Principal
	for key, acl := range missing {
		if _, ok := found[key]; ok {
			continue
		}
		keys = append(keys, key)
		for _, clause := range append([][]connectors.Principal{acl.Deny}, acl.AllOf...) {
			principals = append(principals, clause...)
		}
	}
	if len(keys) == 0 {
		return found, nil
	}
	ids, err := principalIDs(ctx, tx, realm, principals)
	if err != nil {
		return nil, err
	}
	made, err := insertSets(ctx, tx, keys, missing)
	if err != nil {
		return nil, err
	}
	var sets, members []int64
	var clauses []int16
	for _, key := range keys {
		acl := missing[key]
		set, mine := made[key]
		for n, clause := range append([][]connectors.Principal{acl.Deny}, acl.AllOf...) {
			if mine {
				for j := range clause {
					sets, members, clauses = append(sets, set), append(members, ids[j]), append(clauses, int16(n))
				}
			}
			ids = ids[len(clause):]
		}
		if mine {
			found[key] = set
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO acl_entry (set_id, principal_id, clause) SELECT s, p, c FROM unnest($1::bigint[], $2::bigint[], $3::smallint[]) AS u(s, p, c)`, sets, members, clauses)
	if err != nil {
		return nil, fmt.Errorf("writing ACL entries: %w", err)
	}
	if err := findSets(ctx, tx, missing, found); err != nil {
		return nil, err
	}
	if len(found) != len(missing) {
		return nil, fmt.Errorf("reading ACL sets: %d of %d found", len(found), len(missing))
	}
	return found, nil
}

// findSets adds to found the sets of missing that are stored.
func findSets(ctx context.Context, tx pgx.Tx, missing map[aclKey]connectors.ACL, found map[aclKey]int64) error {
	var hashes [][]byte
	for key := range missing {
		if _, ok := found[key]; !ok {
			hashes = append(hashes, append([]byte(nil), key[:]...))
		}
	}
	if len(hashes) == 0 {
		return nil
	}
	rows, err := tx.Query(ctx, `SELECT hash, id FROM acl_set WHERE hash = ANY($1)`, hashes)
	if err != nil {
		return fmt.Errorf("reading ACL sets: %w", err)
	}
	var hash []byte
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&hash, &id}, func() error { found[aclKey(hash)] = id; return nil })
	if err != nil {
		return fmt.Errorf("reading ACL sets: %w", err)
	}
	return nil
}

// insertSets makes the sets that nobody else has made meanwhile and returns
// them.
func insertSets(ctx context.Context, tx pgx.Tx, keys []aclKey, acls map[aclKey]connectors.ACL) (map[aclKey]int64, error) {
	hashes, masks := make([][]byte, len(keys)), make([]int64, len(keys))
	for i, key := range keys {
		hashes[i] = append([]byte(nil), key[:]...)
		for n := range acls[key].AllOf {
			masks[i] |= int64(1) << (n + 1)
		}
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO acl_set (hash, need_mask) SELECT h, m FROM unnest($1::bytea[], $2::bigint[]) AS u(h, m) ORDER BY h
		ON CONFLICT (hash) DO NOTHING RETURNING hash, id`, hashes, masks)
	if err != nil {
		return nil, fmt.Errorf("writing ACL sets: %w", err)
	}
	made := map[aclKey]int64{}
	var hash []byte
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&hash, &id}, func() error { made[aclKey(hash)] = id; return nil })
	if err != nil {
		return nil, fmt.Errorf("writing ACL sets: %w", err)
	}
	return made, nil
}

// errSetsGone says that this process remembers sets that are not stored.
var errSetsGone = fmt.Errorf("confirming ACL sets: some are not stored any more: %w", ErrConflict)

// confirmSets checks, in the transaction that uses them, that sets are what
// this process remembers.
//
// Until tx ends no erasure removes them.
//
// SECURITY: a database that was restored or failed over may have given a
// remembered id to another ACL.
func (s *Store) confirmSets(ctx context.Context, tx pgx.Tx, sets []aclSet) error {
	keys := map[int64]aclKey{}
	for _, set := range sets {
		if set.id != unknownACL {
			keys[set.id] = set.key
		}
	}
	if len(keys) == 0 {
		return nil
	}
	ids, hashes := make([]int64, 0, len(keys)), make([][]byte, 0, len(keys))
	for id, key := range keys {
		ids, hashes = append(ids, id), append(hashes, append([]byte(nil), key[:]...))
	}
	var n int
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared($1)`, aclLock); err != nil {
		return fmt.Errorf("locking ACL sets: %w", err)
	}
	err := tx.QueryRow(ctx, `SELECT count(*) FROM unnest($1::bigint[], $2::bytea[]) AS u(i, h) JOIN acl_set s ON s.id = u.i AND s.hash = u.h`, ids, hashes).Scan(&n)
	if err != nil {
		return fmt.Errorf("confirming ACL sets: %w", err)
	}
	if n != len(ids) {
		s.acls.forget()
		return errSetsGone
	}
	return nil
}
