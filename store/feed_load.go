package store

import (
	"context"
	"encoding/hex"
	"math/bits"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// feedDocument is a document that may leave.
type feedDocument struct {
	ID              uuid.UUID
	ConnectionID    uuid.UUID
	ExternalID      string
	Revision        int
	Title           string
	URL             string
	Path            string
	Kind            string
	MediaType       string
	Lang            string
	SourceUpdatedAt *time.Time
	ACL             int64
	ChunkIDs        []int32
	Starts, Ends    []int32
	StartsCP        []int32
	EndsCP          []int32
}

type feedChunk struct {
	DocumentID  uuid.UUID
	ID          int32
	Hash        []byte
	Text        string
	Context     string
	HeadingPath []string
	Tokens      int
	Lang        string
}

// load reads documents that may leave, all chunks of whole, the chunks named by
// parts, their vectors where they are asked for, and the ACL sets.
func (f *feedReader) load(ctx context.Context, ids, whole []uuid.UUID, parts []ChunkID) error {
	f.docs, f.chunks, f.vectors = map[uuid.UUID]*feedDocument{}, map[uuid.UUID][]feedChunk{}, map[ChunkID][]float32{}
	if len(ids) == 0 {
		return nil
	}
	rows, err := f.tx.Query(ctx, `
		SELECT document_id, connection_id, external_id, revision, title, url, path, kind, media_type, lang, source_updated_at, acl, chunk_ids, starts, ends, starts_cp, ends_cp
		FROM tributary.feed_documents($1)`, ids)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToAddrOfStructByPos[feedDocument])
	if err != nil {
		return err
	}
	sets := map[int64]bool{}
	for _, d := range list {
		f.docs[d.ID] = d
		sets[d.ACL] = true
	}
	if err := f.loadChunks(ctx, whole, parts); err != nil {
		return err
	}
	return f.loadSets(ctx, sets)
}

func (f *feedReader) loadChunks(ctx context.Context, whole []uuid.UUID, parts []ChunkID) error {
	docs, numbers := make([]uuid.UUID, len(parts)), make([]int32, len(parts))
	for i, c := range parts {
		docs[i], numbers[i] = c.Document, int32(c.Number) //nolint:gosec // read from an int4
	}
	rows, err := f.tx.Query(ctx, `
		SELECT document_id, chunk_id, hash, text, context, heading_path, tokens, lang FROM tributary.feed_chunks($1, $2, $3) ORDER BY document_id, chunk_id`,
		nonNilIDs(whole), docs, numbers)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[feedChunk])
	if err != nil {
		return err
	}
	docs, numbers = make([]uuid.UUID, len(list)), make([]int32, len(list))
	for i, c := range list {
		f.chunks[c.DocumentID] = append(f.chunks[c.DocumentID], c)
		docs[i], numbers[i] = c.DocumentID, c.ID
	}
	if f.profile == 0 || len(list) == 0 {
		return nil
	}
	if rows, err = f.tx.Query(ctx, `SELECT document_id, chunk_id, embedding FROM tributary.feed_vectors($1, $2, $3)`, f.profile, docs, numbers); err != nil {
		return err
	}
	var id ChunkID
	var v []float32
	_, err = pgx.ForEachRow(rows, []any{&id.Document, &id.Number, &v}, func() error {
		f.vectors[id] = v
		v = nil
		return nil
	})
	return err
}

// loadSets reads ACL sets, each as its event. A clause that names nobody is
// there, and empty.
func (f *feedReader) loadSets(ctx context.Context, want map[int64]bool) error {
	f.sets = map[int64]FeedEvent{}
	ids := make([]int64, 0, len(want))
	for id := range want {
		ids = append(ids, id)
	}
	rows, err := f.tx.Query(ctx, `SELECT acl, need_mask, clause, principal_id, kind, external_id FROM tributary.feed_sets($1)`, ids)
	if err != nil {
		return err
	}
	var set, mask int64
	var clause *int16
	var id *int64
	var kind, external *string
	_, err = pgx.ForEachRow(rows, []any{&set, &mask, &clause, &id, &kind, &external}, func() error {
		e, ok := f.sets[set]
		if !ok {
			own := set
			e = FeedEvent{Event: FeedACLUpsert, ACL: &own}
			for range bits.OnesCount64(uint64(mask)) { //nolint:gosec // its bits are counted
				e.AllOf = append(e.AllOf, []FeedPrincipal{})
			}
		}
		if id != nil {
			p := FeedPrincipal{ID: *id, Kind: *kind, ExternalID: *external}
			switch n := int(*clause); {
			case n == 0:
				e.Deny = append(e.Deny, p)
			case n <= len(e.AllOf):
				e.AllOf[n-1] = append(e.AllOf[n-1], p)
			}
		}
		f.sets[set] = e
		return nil
	})
	return err
}

// set tells an ACL set before the first event of a page that names it.
func (f *feedReader) set(position, id int64) {
	if e, ok := f.sets[id]; ok && f.once(FeedACLUpsert, uuid.Nil, id) {
		e.Position = position
		f.add(e)
	}
}

// document tells a document with its layout, once in a page.
func (f *feedReader) document(position int64, d *feedDocument) {
	if !f.once(FeedDocumentUpsert, d.ID, 0) {
		return
	}
	f.set(position, d.ACL)
	e := FeedEvent{
		Event: FeedDocumentUpsert, Position: position, ConnectionID: &d.ConnectionID, DocumentID: &d.ID, ExternalID: d.ExternalID, Revision: d.Revision,
		Title: &d.Title, URL: &d.URL, Path: d.Path, Kind: d.Kind, MediaType: d.MediaType, Lang: d.Lang, SourceUpdatedAt: d.SourceUpdatedAt, ACL: &d.ACL,
	}
	for i, n := range d.ChunkIDs {
		e.Chunks = append(e.Chunks, FeedLayout{ChunkID{d.ID, int(n)}, d.Starts[i], d.Ends[i], d.StartsCP[i], d.EndsCP[i]})
	}
	f.add(e)
}

// chunk tells a chunk, once in a page.
func (f *feedReader) chunk(position int64, d *feedDocument, c feedChunk) {
	if !f.once(FeedChunkUpsert, d.ID, int64(c.ID)) {
		return
	}
	id := ChunkID{d.ID, int(c.ID)}
	e := FeedEvent{
		Event: FeedChunkUpsert, Position: position, ConnectionID: &d.ConnectionID, DocumentID: &d.ID, ChunkID: &id, Title: &d.Title, URL: &d.URL, ACL: &d.ACL,
		Text: &c.Text, Context: &c.Context, HeadingPath: c.HeadingPath, Hash: hex.EncodeToString(c.Hash), Tokens: c.Tokens, Lang: c.Lang, Embedding: f.vectors[id],
	}
	for i, n := range d.ChunkIDs {
		if n == c.ID {
			e.Start, e.End, e.StartCP, e.EndCP = &d.Starts[i], &d.Ends[i], &d.StartsCP[i], &d.EndsCP[i]
		}
	}
	f.add(e)
}

// whole tells a document and all of its chunks.
func (f *feedReader) whole(position int64, id uuid.UUID) {
	d := f.docs[id]
	if d == nil {
		return
	}
	f.document(position, d)
	for _, c := range f.chunks[id] {
		f.chunk(position, d, c)
	}
}
