package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// ExclusionHash is how exclusions and erasures name an item: SHA-256 of the
// connection's id and the item's, so that the same id in another connection has
// another hash. In SQL it is
// sha256(uuid_send(connection_id) || convert_to(external_id, 'UTF8')).
func ExclusionHash(connection uuid.UUID, externalID string) [sha256.Size]byte {
	return sha256.Sum256(append(connection[:], externalID...))
}

// Excluded returns those of the items that are not ingested, because an admin
// excluded them or they were erased.
func (s *Store) Excluded(ctx context.Context, connection uuid.UUID, external []string) (map[string]bool, error) {
	return excludedItems(ctx, s.pool, connection, external)
}

func excludedItems(ctx context.Context, q querier, connection uuid.UUID, external []string) (map[string]bool, error) {
	if len(external) == 0 {
		return nil, nil //nolint:nilnil // no items, none excluded
	}
	hashes := make([][]byte, len(external))
	byHash := make(map[[sha256.Size]byte]string, len(external))
	for i, id := range external {
		h := ExclusionHash(connection, id)
		hashes[i], byHash[h] = h[:], id
	}
	rows, err := q.Query(ctx, `SELECT id_hash FROM exclusion WHERE connection_id = $1 AND id_hash = ANY($2)`, connection, hashes)
	if err != nil {
		return nil, fmt.Errorf("reading exclusions: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, fmt.Errorf("reading exclusions: %w", err)
	}
	out := make(map[string]bool, len(found))
	for _, h := range found {
		out[byHash[[sha256.Size]byte(h)]] = true
	}
	return out, nil
}

// dropExcluded leaves out of the batch what is excluded by now. The engine does
// so before it opens a body; this one holds for what was excluded, or erased,
// while the batch was on its way: who excludes waits for batches in flight, and
// a later one sees the exclusion.
func (w *batchWriter) dropExcluded(ctx context.Context) error {
	if !w.excluding {
		return nil
	}
	out, err := excludedItems(ctx, w.tx, w.b.Run.ConnectionID, w.b.items())
	if err != nil || len(out) == 0 {
		return err
	}
	w.without(out)
	return nil
}

// items returns every item that the batch names by the source's id.
func (b *Batch) items() []string {
	ids := make([]string, 0, len(b.Documents)+len(b.Touched)+len(b.ACLs))
	for i := range b.Documents {
		ids = append(ids, b.Documents[i].ExternalID)
	}
	for i := range b.Touched {
		ids = append(ids, b.Touched[i].ExternalID)
	}
	for i := range b.ACLs {
		ids = append(ids, b.ACLs[i].ExternalID)
	}
	for i := range b.Skips {
		ids = append(ids, b.Skips[i].Ref.ID)
	}
	for i := range b.Quarantine {
		ids = append(ids, b.Quarantine[i].ExternalID)
	}
	ids = append(ids, b.Refused...)
	ids = append(ids, b.Resting...)
	return append(ids, b.Deleted...)
}

// without replaces the batch by one that does not name the items in out. The
// caller's batch stays as it is.
func (w *batchWriter) without(out map[string]bool) {
	b := *w.b
	var documents []DocumentWrite
	var acls []ACLWrite
	var sets, aclSets []aclSet
	var kept []int
	for i := range w.b.Documents {
		if !out[w.b.Documents[i].ExternalID] {
			documents, sets, kept = append(documents, w.b.Documents[i]), append(sets, w.sets[i]), append(kept, i)
		}
	}
	for i := range w.b.ACLs {
		if !out[w.b.ACLs[i].ExternalID] {
			acls, aclSets = append(acls, w.b.ACLs[i]), append(aclSets, w.sets[len(w.b.Documents)+i])
		}
	}
	b.Documents, b.ACLs = documents, acls
	b.Touched = keepItems(w.b.Touched, out, func(d DocumentWrite) string { return d.ExternalID })
	b.Skips = keepItems(w.b.Skips, out, func(s connectors.Skip) string { return s.Ref.ID })
	b.Quarantine = keepItems(w.b.Quarantine, out, func(q QuarantineWrite) string { return q.ExternalID })
	same := func(id string) string { return id }
	b.Refused, b.Resting, b.Deleted = keepItems(w.b.Refused, out, same), keepItems(w.b.Resting, out, same), keepItems(w.b.Deleted, out, same)
	b.Profiles = make([]ProfileVectors, len(w.b.Profiles))
	for i, p := range w.b.Profiles {
		b.Profiles[i] = p
		if p.Vectors != nil {
			b.Profiles[i].Vectors = func(document, chunk int) []float32 { return p.Vectors(kept[document], chunk) }
		}
	}
	w.counts.Skipped += int64(len(w.b.Documents) - len(b.Documents) + len(w.b.Touched) - len(b.Touched) + len(w.b.Quarantine) - len(b.Quarantine))
	w.b, w.sets = &b, slices.Concat(sets, aclSets)
}

func keepItems[T any](list []T, out map[string]bool, id func(T) string) []T {
	var kept []T
	for _, x := range list {
		if !out[id(x)] {
			kept = append(kept, x)
		}
	}
	return kept
}
