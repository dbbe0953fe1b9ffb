package jobs

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/store"
)

// add puts one item into the batch.
func (it *pushed) add(s *syncer, b *store.Batch, vectors [][][][]float32) {
	switch {
	case it.out.Status == PushFailed:
		addExtra(&b.Counts, "rejected")
		it.reject(b)
		return
	case it.item.Delete:
		b.Deleted = append(b.Deleted, it.item.ID)
		it.out.Status = PushUnchanged
		if it.known.ID != uuid.Nil {
			it.out.Status = PushDeleted
		}
		return
	}
	b.Counts.Listed++
	switch r := &it.result; {
	case !it.open:
		it.addStanding(s, b)
	case r.kind == resultDocument:
		b.Documents = append(b.Documents, it.written(r.doc))
		for i := range vectors {
			vectors[i] = append(vectors[i], r.vectors[i])
		}
		it.out.Status = PushUpdated
		if it.known.ID == uuid.Nil {
			it.out.Status = PushCreated
		}
	case r.kind == resultTouched:
		it.touch(b, it.written(r.doc))
		it.out.Status = PushUpdated
	default:
		it.addUnreadable(b)
		return
	}
	b.Based[it.item.ID] = it.known.Basis
	b.Counts.Bytes += it.result.bytes
	it.warn()
}

// addStanding takes an item whose revision is stored: its fields and its ACL
// may differ.
func (it *pushed) addStanding(s *syncer, b *store.Batch) {
	it.out.Status = PushUnchanged
	doc := it.written(s.fields(it.item.change()))
	if it.known.Hidden || doc.Title != it.known.Title || doc.URL != it.known.URL || !maps.Equal(doc.Metadata, it.known.Metadata) {
		it.touch(b, doc)
		return
	}
	b.Counts.Unchanged++
	b.Seen = append(b.Seen, it.known.ID)
	it.addACL(b)
}

// reject lists the item among what the run did.
//
// SECURITY: an item that an admin erased or excluded is not named again.
func (it *pushed) reject(b *store.Batch) {
	problem, ok := errors.AsType[*PushError](it.out.Err)
	if !ok || problem.Code == PushExcluded {
		return
	}
	r := store.RejectedItem{Reason: extract.CleanField(problem.Error(), 500)}
	if store.UsableID(it.item.ID) {
		r.ExternalID = it.item.ID
	}
	b.Rejected = append(b.Rejected, r)
}

func (it *pushed) touch(b *store.Batch, doc store.DocumentWrite) {
	b.Touched = append(b.Touched, doc)
	it.addACL(b)
}

func (it *pushed) addACL(b *store.Batch) {
	if it.item.ACL != nil {
		b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: it.item.ID, ACL: *it.item.ACL})
	}
}

// written is doc as it is stored: dated by when its text was pushed, with the
// title that stands where none was pushed and the text is the same.
func (it *pushed) written(doc store.DocumentWrite) store.DocumentWrite {
	doc.SourceUpdatedAt = time.Now()
	if doc.Text == "" {
		if it.known.SourceUpdatedAt != nil {
			doc.SourceUpdatedAt = *it.known.SourceUpdatedAt
		}
		if it.item.Title == "" {
			doc.Title = it.known.Title
		}
	}
	doc.KeepACL = it.item.ACL == nil
	return doc
}

// addUnreadable records content that gave no text. What is stored of the item
// stays as it was.
func (it *pushed) addUnreadable(b *store.Batch) {
	err := it.result.err
	it.fail(&PushError{Code: PushUnreadable, Pointer: "/content", Detail: extract.CleanField(fmt.Sprintf("there is no text in it: %v; what was stored before stays", err), 500)})
	b.Quarantine = append(b.Quarantine, store.QuarantineWrite{
		ExternalID: it.item.ID, Path: it.item.ID, SourceRevision: it.item.revision(), Class: connectors.ItemSkipped, Reason: extract.CleanField(err.Error(), 500),
	})
}

// warn says what the item's author may not have meant.
func (it *pushed) warn() {
	if it.item.ACL != nil && !it.item.ACL.Known() {
		it.out.Warnings = append(it.out.Warnings, "acl: nobody may read this document")
	}
	if !it.open && !bytes.Equal(it.known.ContentHash, it.item.hash()) {
		it.out.Warnings = append(it.out.Warnings, "content: it differs from what this revision was stored with and was not read: a changed text needs another revision")
	}
}

func addExtra(c *store.Counts, name string) {
	if c.Extra == nil {
		c.Extra = map[string]int64{}
	}
	c.Extra[name]++
}
