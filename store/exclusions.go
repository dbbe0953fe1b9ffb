package store

import (
	"context"
	"crypto/sha256"
	"fmt"

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
	rest, documents, acls := w.b.without(out)
	var sets []aclSet
	for _, i := range documents {
		sets = append(sets, w.sets[i])
	}
	for _, i := range acls {
		sets = append(sets, w.sets[len(w.b.Documents)+i])
	}
	w.counts.Skipped += rest.Counts.Skipped - w.b.Counts.Skipped
	w.b, w.sets = rest, sets
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
	for i := range b.Rejected {
		ids = append(ids, b.Rejected[i].ExternalID)
	}
	ids = append(ids, b.Refused...)
	ids = append(ids, b.Resting...)
	return append(ids, b.Deleted...)
}

// without returns a batch that does not name the items in out, and which of the
// documents and ACLs of b are in it. What it leaves out counts as skipped.
func (b *Batch) without(out map[string]bool) (rest *Batch, documents, acls []int) {
	r := *b
	rest = &r
	r.Documents, r.ACLs = nil, nil
	for i := range b.Documents {
		if !out[b.Documents[i].ExternalID] {
			r.Documents, documents = append(r.Documents, b.Documents[i]), append(documents, i)
		}
	}
	for i := range b.ACLs {
		if !out[b.ACLs[i].ExternalID] {
			r.ACLs, acls = append(r.ACLs, b.ACLs[i]), append(acls, i)
		}
	}
	r.Touched = keepItems(b.Touched, out, func(d DocumentWrite) string { return d.ExternalID })
	r.Skips = keepItems(b.Skips, out, func(s connectors.Skip) string { return s.Ref.ID })
	r.Quarantine = keepItems(b.Quarantine, out, func(q QuarantineWrite) string { return q.ExternalID })
	r.Rejected = keepItems(b.Rejected, out, func(x RejectedItem) string { return x.ExternalID })
	same := func(id string) string { return id }
	r.Refused, r.Resting, r.Deleted = keepItems(b.Refused, out, same), keepItems(b.Resting, out, same), keepItems(b.Deleted, out, same)
	r.Profiles = make([]ProfileVectors, len(b.Profiles))
	for i, p := range b.Profiles {
		r.Profiles[i] = p
		if p.Vectors != nil {
			r.Profiles[i].Vectors = func(document, chunk int) []float32 { return p.Vectors(documents[document], chunk) }
		}
	}
	r.Counts.Skipped += int64(len(b.Documents) - len(r.Documents) + len(b.Touched) - len(r.Touched) + len(b.Quarantine) - len(r.Quarantine))
	return rest, documents, acls
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
