package jobs

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/store"
)

// Bounds of a batch: whichever comes first.
const (
	batchDocuments = 200
	batchBytes     = 8 << 20
	batchChunks    = 5000
	batchChanges   = 2000
)

// buffer gathers the items of a page into batches.
type buffer struct {
	p       *pump
	b       *store.Batch
	ids     map[string]bool
	vectors [][][][]float32 // profile, document, chunk
	bytes   int
	chunks  int
	weight  int64
	// done is what was committed of the page.
	done part
}

func (p *pump) newBuffer() *buffer {
	b := &buffer{p: p}
	b.reset()
	return b
}

func (b *buffer) reset() {
	s := b.p.s
	b.b = &store.Batch{Run: s.run, Realm: s.realm}
	b.ids = map[string]bool{}
	b.vectors = make([][][][]float32, len(s.locals))
	b.bytes, b.chunks, b.weight = 0, 0, 0
}

func (b *buffer) holds(id string) bool { return b.ids[id] }

func (b *buffer) full() bool {
	return len(b.b.Documents) >= batchDocuments || b.bytes >= batchBytes || b.chunks >= batchChunks ||
		len(b.ids) >= batchChanges || b.weight >= b.p.s.r.cfg.BytesInFlight/4
}

// add takes one item into the batch. Its error ends the run's slice.
func (b *buffer) add(it *item) error {
	c := it.change
	b.ids[c.Ref.ID] = true
	b.weight += it.weight
	switch c.Op {
	case connectors.Delete:
		b.b.Deleted = append(b.b.Deleted, c.Ref.ID)
		return nil
	case connectors.SetACL:
		b.seen(it)
		b.b.ACLs = append(b.b.ACLs, store.ACLWrite{ExternalID: c.Ref.ID, ACL: c.ACL})
		return nil
	case connectors.Upsert:
	default:
		return bug("a change with unknown operation %d", c.Op)
	}
	if b.p.aside {
		// What failed in this run is counted already.
		b.b.Counts.Quarantined -= b.p.counted[c.Ref.ID]
	} else {
		b.b.Counts.Listed++
	}
	if it.known.ID != uuid.Nil && it.saysACL(b.p.aside) {
		b.b.ACLs = append(b.b.ACLs, store.ACLWrite{ExternalID: c.Ref.ID, ACL: c.ACL})
	}
	switch {
	case it.rests:
		b.seen(it)
		b.b.Resting = append(b.b.Resting, c.Ref.ID)
		b.b.Counts.Quarantined++
		return nil
	case !it.open:
		b.seen(it)
		if doc, moved := b.p.s.moved(it); moved {
			b.b.Touched = append(b.b.Touched, doc)
			return nil
		}
		b.b.Counts.Unchanged++
		return nil
	}
	return b.addResult(it)
}

// saysACL reports whether the item's ACL is known: a listing by ids alone says
// nothing of permissions, nor does what could not be fetched.
func (it *item) saysACL(fetched bool) bool {
	if it.byID {
		return it.change.Document != nil
	}
	return !fetched || it.result.kind == resultDocument || it.result.kind == resultTouched
}

func (b *buffer) seen(it *item) {
	if it.known.ID != uuid.Nil {
		b.b.Seen = append(b.b.Seen, it.known.ID)
	}
}

func (b *buffer) addResult(it *item) error {
	r, ref := &it.result, it.change.Ref
	b.b.Counts.Bytes += r.bytes
	switch r.kind {
	case resultFatal:
		return r.err
	case resultDocument:
		if it.known.ID != uuid.Nil { // its ACL comes with the document
			b.b.ACLs = b.b.ACLs[:len(b.b.ACLs)-1]
		}
		b.b.Documents = append(b.b.Documents, r.doc)
		for i := range b.vectors {
			b.vectors[i] = append(b.vectors[i], r.vectors[i])
		}
		b.bytes += len(r.doc.Text)
		b.chunks += len(r.doc.Chunks)
	case resultTouched:
		b.seen(it)
		b.b.Touched = append(b.b.Touched, r.doc)
	case resultSkipped:
		b.seen(it)
		b.addSkip(connectors.Skip{Ref: ref, Path: pathOf(it.change), Reason: r.err.Error()})
	case resultRefused:
		b.seen(it)
		b.b.Counts.Refused++
		if it.known.ID != uuid.Nil {
			b.b.Refused = append(b.b.Refused, ref.ID)
		} else {
			b.addSkip(connectors.Skip{Ref: ref, Path: pathOf(it.change), Reason: "the source refuses its content: " + r.err.Error()})
		}
	case resultQuarantined:
		b.seen(it)
		b.b.Quarantine = append(b.b.Quarantine, store.QuarantineWrite{
			ExternalID: ref.ID, Path: pathOf(it.change), SourceRevision: ref.Revision,
			Class: connectors.ClassOf(r.err), Reason: extract.CleanField(r.err.Error(), 500),
		})
	}
	return nil
}

func (b *buffer) addSkip(s connectors.Skip) {
	s.Path, s.Reason = extract.CleanField(s.Path, maxField), extract.CleanField(s.Reason, 500)
	b.b.Skips = append(b.b.Skips, s)
	b.b.Counts.Skipped++
}

// skip takes the page's own skipped items, its blocked containers and the
// number of its excluded items, of which nothing else is kept.
func (b *buffer) skip(page connectors.Page, excluded int64) {
	b.b.Counts.Pages++
	b.b.Counts.Blocked += int64(len(page.Blocked))
	if b.p.s.run.Lane != store.Content {
		return
	}
	b.b.Counts.Listed += excluded
	b.b.Counts.Skipped += excluded
	for _, s := range page.Skipped {
		b.b.Counts.Listed++
		b.addSkip(s)
	}
}

// flush commits the batch, with the end of the page where page is not nil.
func (b *buffer) flush(ctx context.Context, page *store.PageEnd) error {
	s := b.p.s
	b.b.Page = page
	for i, local := range s.locals {
		vectors := b.vectors[i]
		b.b.Profiles = append(b.b.Profiles, store.ProfileVectors{ID: local.id, Vectors: func(doc, chunk int) []float32 { return vectors[doc][chunk] }})
	}
	_, err := s.r.store.WriteBatch(ctx, b.b, func(ctx context.Context, tx pgx.Tx, res store.BatchResult) error {
		if !res.Due {
			return nil
		}
		return s.r.wakeTx(ctx, tx, s.remotes)
	})
	if err != nil {
		return fmt.Errorf("committing page: %w", err)
	}
	b.p.budget.Release(b.weight)
	b.done.note(b.b)
	b.reset()
	return nil
}
