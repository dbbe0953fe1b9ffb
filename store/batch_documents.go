package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// lockDocuments locks every stored document that the batch may change, in the
// order of their ids and in one statement. Whoever changes documents does so,
// and then no two of them wait for each other in a circle. ACLs that stand
// already leave their documents alone.
func (w *batchWriter) lockDocuments(ctx context.Context) error {
	b := w.b
	written := make([]string, 0, len(b.Documents)+len(b.Touched)+len(b.Refused)+len(b.Skips)+len(b.Deleted))
	for i := range b.Documents {
		written = append(written, b.Documents[i].ExternalID)
	}
	for i := range b.Touched {
		written = append(written, b.Touched[i].ExternalID)
	}
	for i := range b.Skips {
		written = append(written, b.Skips[i].Ref.ID)
	}
	written = append(append(written, b.Refused...), b.Deleted...)
	items, sets := w.aclTargets()
	rows, err := w.tx.Query(ctx, `
		SELECT id, external_id, revision, next_chunk_id, acl_set_id, acl_version, hidden_reason, updated_at FROM document d
		WHERE d.id IN (
			SELECT id FROM document WHERE connection_id = $1 AND external_id = ANY($2)
			UNION
			SELECT o.id FROM unnest($3::text[], $4::bigint[]) AS u(e, s) JOIN document o ON o.connection_id = $1 AND o.external_id = u.e
			WHERE o.acl_version <= $5 AND (o.acl_set_id <> u.s OR ($6 AND o.acl_version < $5))
			UNION
			SELECT id FROM document WHERE id = ANY($7) AND connection_id = $1 AND hidden_reason IN ('absent', 'deleted'))
		ORDER BY d.id FOR UPDATE OF d`, b.Run.ConnectionID, written, items, sets, b.Run.ACLVersion, w.bump, nonNilIDs(b.Seen))
	if err != nil {
		return fmt.Errorf("locking documents: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[knownDoc])
	if err != nil {
		return fmt.Errorf("locking documents: %w", err)
	}
	w.stored = make(map[string]knownDoc, len(list))
	for _, k := range list {
		w.stored[k.ExternalID] = k
	}
	return nil
}

// checkBasis compares the documents that are locked with those that the batch
// was made from.
func (w *batchWriter) checkBasis(context.Context) error {
	written := make(map[string]bool, len(w.b.Based))
	for i := range w.b.Documents {
		written[w.b.Documents[i].ExternalID] = true
	}
	for i := range w.b.Touched {
		written[w.b.Touched[i].ExternalID] = true
	}
	for id, basis := range w.b.Based {
		k, ok := w.stored[id]
		if ok && (k.ID != basis.ID || k.Revision != basis.Revision || !k.UpdatedAt.Equal(basis.UpdatedAt)) || !ok && basis.ID != uuid.Nil && written[id] {
			return fmt.Errorf("item %.200q was changed meanwhile: %w", id, ErrConflict)
		}
	}
	return nil
}

func nonNilIDs(ids []uuid.UUID) []uuid.UUID {
	if ids == nil {
		return []uuid.UUID{}
	}
	return ids
}

// loadDocuments joins the batch's documents with what is stored.
func (w *batchWriter) loadDocuments(context.Context) error {
	w.docs = make([]docRow, len(w.b.Documents))
	for i := range w.docs {
		d := &w.docs[i]
		d.w, d.set, d.number = &w.b.Documents[i], w.sets[i].id, 1
		if k, ok := w.stored[d.w.ExternalID]; ok {
			d.known, d.id, d.number, d.nextChunk = &k, k.ID, k.Revision+1, k.NextChunkID
			if d.w.KeepACL {
				d.set = k.ACLSetID
			}
		} else {
			d.id = uuid.New()
		}
	}
	return nil
}

// diffChunks gives each chunk its id: a chunk that is stored keeps its row and
// its vectors.
func (w *batchWriter) diffChunks(ctx context.Context) error {
	var ids []uuid.UUID
	for i := range w.docs {
		if w.docs[i].known != nil {
			ids = append(ids, w.docs[i].id)
		}
	}
	stored := map[uuid.UUID]map[[32]byte]int32{}
	if len(ids) > 0 {
		rows, err := w.tx.Query(ctx, `SELECT document_id, id, identity FROM chunk WHERE document_id = ANY($1)`, ids)
		if err != nil {
			return fmt.Errorf("reading chunks: %w", err)
		}
		var doc uuid.UUID
		var id int32
		var identity []byte
		_, err = pgx.ForEachRow(rows, []any{&doc, &id, &identity}, func() error {
			if stored[doc] == nil {
				stored[doc] = map[[32]byte]int32{}
			}
			stored[doc][[32]byte(identity)] = id
			return nil
		})
		if err != nil {
			return fmt.Errorf("reading chunks: %w", err)
		}
	}
	for i := range w.docs {
		w.docs[i].diff(stored[w.docs[i].id])
	}
	return nil
}

func (d *docRow) diff(stored map[[32]byte]int32) {
	d.chunkIDs = make([]int32, len(d.w.Chunks))
	for i := range d.w.Chunks {
		if id, ok := stored[d.w.Chunks[i].Identity]; ok {
			d.chunkIDs[i] = id
			delete(stored, d.w.Chunks[i].Identity)
			continue
		}
		id := int32(d.nextChunk) //nolint:gosec // bounded by MaxText
		d.nextChunk++
		d.chunkIDs[i] = id
		d.added = append(d.added, int32(i))
		d.addedIDs = append(d.addedIDs, id)
	}
	for _, id := range stored {
		d.removed = append(d.removed, id)
	}
	slices.Sort(d.removed)
}

func (w *batchWriter) writeDocuments(ctx context.Context) error {
	var fresh []*docRow
	updates := &pgx.Batch{}
	for i := range w.docs {
		d := &w.docs[i]
		w.counts.ChunksWritten += int64(len(d.added))
		w.counts.ChunksDeleted += int64(len(d.removed))
		if d.set == unknownACL {
			w.counts.ACLUnknown++
		}
		w.outbox = append(w.outbox, []any{"revision", w.b.Run.ConnectionID, d.id, d.number, d.addedIDs, d.removed, w.now})
		if d.known == nil {
			fresh = append(fresh, d)
			w.counts.Added++
			continue
		}
		w.counts.Updated++
		if d.known.HiddenReason != nil {
			w.counts.Restored++
			w.note("show", []itemRow{{ID: d.id}})
			w.item("restored", listedAgain, itemRow{d.id, d.w.ExternalID, d.w.Path})
		}
		w.queueUpdate(updates, d)
	}
	if len(fresh) > 0 {
		_, err := w.tx.CopyFrom(ctx, pgx.Identifier{"document"}, documentColumns(), pgx.CopyFromSlice(len(fresh), func(i int) ([]any, error) {
			return w.documentRow(fresh[i]), nil
		}))
		if err != nil {
			return fmt.Errorf("writing documents: %w", err)
		}
	}
	if updates.Len() == 0 {
		return nil
	}
	if err := w.tx.SendBatch(ctx, updates).Close(); err != nil {
		return fmt.Errorf("updating documents: %w", err)
	}
	return nil
}

func documentColumns() []string {
	return []string{
		"id", "connection_id", "external_id", "source_revision", "content_hash", "revision", "title", "url", "path", "container", "kind",
		"media_type", "lang", "author", "metadata", "source_created_at", "source_updated_at", "acl_set_id", "acl_version", "chunk_count",
		"next_chunk_id", "created_at", "updated_at",
	}
}

func (w *batchWriter) documentRow(d *docRow) []any {
	x := d.w
	return []any{
		d.id, w.b.Run.ConnectionID, x.ExternalID, x.SourceRevision, x.ContentHash[:], d.number, x.Title, x.URL, x.Path, x.Container, x.Kind,
		x.MediaType, x.Language, x.Author, nonNil(x.Metadata), timeOrNil(x.SourceCreatedAt), timeOrNil(x.SourceUpdatedAt), d.set, w.b.Run.ACLVersion, len(x.Chunks),
		d.nextChunk, w.now, w.now,
	}
}

// queueUpdate replaces a stored document's fields; its ACL only where no later
// run has written one.
func (w *batchWriter) queueUpdate(batch *pgx.Batch, d *docRow) {
	x := d.w
	if d.known.ACLVersion <= w.b.Run.ACLVersion && d.known.ACLSetID != d.set {
		w.counts.ACLChanged++
		w.outbox = append(w.outbox, []any{"acl", w.b.Run.ConnectionID, d.id, nil, nil, nil, w.now})
	}
	batch.Queue(`
		UPDATE document SET source_revision = $2, content_hash = $3, revision = $4, title = $5, url = $6, path = $7, container = $8, kind = $9,
			media_type = $10, lang = $11, author = $12, metadata = $13, source_created_at = $14, source_updated_at = $15,
			acl_set_id = CASE WHEN acl_version <= $17 THEN $16 ELSE acl_set_id END, acl_version = greatest(acl_version, $17),
			hidden_reason = NULL, hidden_at = NULL, chunk_count = $18, next_chunk_id = $19, updated_at = $20
		WHERE id = $1`,
		d.id, x.SourceRevision, x.ContentHash[:], d.number, x.Title, x.URL, x.Path, x.Container, x.Kind, x.MediaType, x.Language, x.Author,
		nonNil(x.Metadata), timeOrNil(x.SourceCreatedAt), timeOrNil(x.SourceUpdatedAt), d.set, w.b.Run.ACLVersion, len(x.Chunks), d.nextChunk, w.now)
}

// touch refreshes the fields of documents whose text is stored already.
func (w *batchWriter) touch(ctx context.Context) error {
	if len(w.b.Touched) == 0 {
		return nil
	}
	batch := &pgx.Batch{}
	for i := range w.b.Touched {
		x := &w.b.Touched[i]
		w.counts.Unchanged++
		if k, ok := w.stored[x.ExternalID]; ok {
			w.note("fields", []itemRow{{ID: k.ID}})
		}
		batch.Queue(`
			UPDATE document SET source_revision = $3, title = $4, url = $5, path = $6, container = $7, kind = $8, author = $9, metadata = $10,
				source_created_at = $11, source_updated_at = $12, updated_at = $13
			WHERE connection_id = $1 AND external_id = $2`,
			w.b.Run.ConnectionID, x.ExternalID, x.SourceRevision, x.Title, x.URL, x.Path, x.Container, x.Kind, x.Author, nonNil(x.Metadata),
			timeOrNil(x.SourceCreatedAt), timeOrNil(x.SourceUpdatedAt), w.now)
	}
	if err := w.tx.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("refreshing documents: %w", err)
	}
	return nil
}

func (w *batchWriter) writeRevisions(ctx context.Context) error {
	if len(w.docs) == 0 {
		return nil
	}
	var old []uuid.UUID
	for i := range w.docs {
		if w.docs[i].known != nil {
			old = append(old, w.docs[i].id)
		}
	}
	if len(old) > 0 {
		_, err := w.tx.Exec(ctx, `
			UPDATE revision SET text = NULL, chunk_ids = NULL, starts = NULL, ends = NULL, starts_cp = NULL, ends_cp = NULL
			WHERE document_id = ANY($1) AND text IS NOT NULL`, old)
		if err != nil {
			return fmt.Errorf("superseding revisions: %w", err)
		}
	}
	columns := []string{
		"document_id", "number", "source_revision", "content_hash", "run_id", "extractor", "chunker", "created_at", "text",
		"chunk_ids", "starts", "ends", "starts_cp", "ends_cp",
	}
	_, err := w.tx.CopyFrom(ctx, pgx.Identifier{"revision"}, columns, pgx.CopyFromSlice(len(w.docs), func(i int) ([]any, error) {
		d := &w.docs[i]
		n := len(d.w.Chunks)
		flat := make([]int32, 4*n)
		starts, ends, startsCP, endsCP := flat[:n], flat[n:2*n], flat[2*n:3*n], flat[3*n:]
		for j := range d.w.Chunks {
			c := &d.w.Chunks[j]
			starts[j], ends[j], startsCP[j], endsCP[j] = int32(c.Start), int32(c.End), int32(c.StartCP), int32(c.EndCP) //nolint:gosec // bounded by MaxText
		}
		return []any{
			d.id, d.number, d.w.SourceRevision, d.w.ContentHash[:], w.b.Run.ID, d.w.Extractor, d.w.Chunker, w.now, d.w.Text,
			d.chunkIDs, starts, ends, startsCP, endsCP,
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("writing revisions: %w", err)
	}
	return nil
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
