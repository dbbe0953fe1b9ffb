package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// Batch is what the engine commits in one transaction: documents with their
// chunks, permissions, lineage and outbox rows, and, with the last batch of a
// page, the cursor. Every external id stands in a batch at most once.
type Batch struct {
	Run   Run
	Realm int64
	// Documents have new text, or are new.
	Documents []DocumentWrite
	// Touched are stored with this text already; their fields may differ.
	Touched []DocumentWrite
	// Seen are the documents that were listed and need no write.
	Seen []uuid.UUID
	// ACLs replace the ACL of stored documents.
	ACLs []ACLWrite
	// Refused are listed documents whose content the source refuses to give.
	Refused []string
	// Deleted are the source's own tombstones.
	Deleted    []string
	Skips      []connectors.Skip
	Quarantine []QuarantineWrite
	// Rejected are items that were pushed and cannot be stored, with why.
	Rejected []RejectedItem
	// Resting are quarantined items that were listed and not tried again.
	Resting []string
	// Based names the stored documents that the batch was made from, by external
	// id; the zero Basis is none. Where another one stands, WriteBatch writes
	// nothing and returns ErrConflict. It is for writers who are not alone.
	Based map[string]Basis
	// Profiles brings the vectors that were computed in process; chunks become
	// due for the drainer in every other profile.
	Profiles []ProfileVectors
	// Page is set on the last batch of a page.
	Page *PageEnd
	// Counts is added to the run's counts; what the transaction finds out
	// (added, updated, chunks, …) is filled in by WriteBatch.
	Counts Counts
}

// Basis is one state of a stored document's text and fields.
type Basis struct {
	ID        uuid.UUID
	Revision  int
	UpdatedAt time.Time
}

// PageEnd moves the run past a page.
type PageEnd struct {
	Next       connectors.Cursor
	Blocked    []connectors.Container
	Containers []connectors.Place
	Complete   bool
	Guard      Guard
}

// DocumentWrite is one document as the engine made it.
type DocumentWrite struct {
	ExternalID      string
	SourceRevision  string
	ContentHash     [32]byte
	Title           string
	URL             string
	Path            string
	Container       string
	Kind            string
	MediaType       string
	Language        string
	Author          string
	Metadata        map[string]string
	SourceCreatedAt time.Time
	SourceUpdatedAt time.Time
	ACL             connectors.ACL
	// KeepACL leaves a stored document the ACL that it has.
	KeepACL   bool
	Text      string
	Extractor string
	Chunker   string
	Chunks    []ChunkWrite
}

// ChunkWrite is one chunk of a document's text, in reading order. Identity is
// unique within its document.
type ChunkWrite struct {
	Identity    [32]byte
	InputHash   [32]byte
	Text        string
	Context     string
	HeadingPath []string
	Tokens      int
	Start, End  int
	StartCP     int
	EndCP       int
}

// RejectedItem is an item that was pushed and is not stored. ExternalID is "" where it has none that can be.
type RejectedItem struct {
	ExternalID string
	Reason     string
}

// ACLWrite replaces the ACL of one stored document.
type ACLWrite struct {
	ExternalID string
	ACL        connectors.ACL
}

// QuarantineWrite records a failure of one item.
type QuarantineWrite struct {
	ExternalID     string
	Path           string
	SourceRevision string
	Class          connectors.Class
	Reason         string
}

// ProfileVectors names an embedding profile. Vectors returns the vector of a
// chunk of Batch.Documents; it may be called from the committing goroutine
// only.
type ProfileVectors struct {
	ID      int16
	Vectors func(document, chunk int) []float32
}

// BatchResult is what a committed batch did.
type BatchResult struct {
	// Counts are the run's counts after the batch.
	Counts Counts
	// Due is true when chunks wait for a drainer.
	Due bool
}

// WriteBatch commits b, or nothing. It returns ErrFenced, having written
// nothing, when the run is no longer the holder's, and an *InputError that
// names the item for a batch that cannot be stored. then runs in the same
// transaction, after everything else.
func (s *Store) WriteBatch(ctx context.Context, b *Batch, then func(ctx context.Context, tx pgx.Tx, r BatchResult) error) (BatchResult, error) {
	if err := b.check(); err != nil {
		return BatchResult{}, err
	}
	res, err := s.writeBatch(ctx, b, then)
	if errors.Is(err, errSetsGone) {
		res, err = s.writeBatch(ctx, b, then)
	}
	return res, err
}

func (s *Store) writeBatch(ctx context.Context, b *Batch, then func(ctx context.Context, tx pgx.Tx, r BatchResult) error) (BatchResult, error) {
	// Before their ACLs are stored, which name people.
	out, err := s.Excluded(ctx, b.Run.ConnectionID, b.items())
	if err != nil {
		return BatchResult{}, err
	}
	if len(out) > 0 {
		b, _, _ = b.without(out)
	}
	acls := make([]connectors.ACL, 0, len(b.Documents)+len(b.ACLs))
	for i := range b.Documents {
		acls = append(acls, b.Documents[i].ACL)
	}
	for i := range b.ACLs {
		acls = append(acls, b.ACLs[i].ACL)
	}
	sets, err := s.internACLs(ctx, b.Run, b.Realm, acls)
	if err != nil {
		return BatchResult{}, fmt.Errorf("writing batch: %w", err)
	}
	var res BatchResult
	err = s.inTxErr(ctx, "writing batch", func(tx pgx.Tx) error {
		w := &batchWriter{s: s, tx: tx, b: b, counts: b.Counts, sets: sets}
		if err := w.write(ctx); err != nil {
			return err
		}
		w.counts.addTo(&w.total)
		res = BatchResult{Counts: w.total, Due: w.due}
		if err := w.finish(ctx); err != nil {
			return err
		}
		if then == nil {
			return nil
		}
		return then(ctx, tx, res)
	})
	if err != nil {
		return BatchResult{}, err
	}
	return res, nil
}

// batchWriter is the state of one WriteBatch transaction.
type batchWriter struct {
	s  *Store
	tx pgx.Tx
	b  *Batch

	now    time.Time
	bump   bool
	counts Counts
	total  Counts
	due    bool
	// excluding is true where the connection has exclusions.
	excluding bool
	// sets are those of Batch.Documents, then those of Batch.ACLs.
	sets []aclSet
	// stored holds the locked documents by external id.
	stored map[string]knownDoc
	docs   []docRow
	outbox [][]any
	// items is what the run's list of items gets; held is true where documents of
	// the connection wait for an admin, or did when the run began.
	items [][]any
	held  bool
}

// docRow is a document of the batch joined with what is stored of it.
type docRow struct {
	w     *DocumentWrite
	id    uuid.UUID
	known *knownDoc
	set   int64
	// number is the revision that is written; nextChunk the first free id.
	number    int
	nextChunk int
	chunkIDs  []int32
	added     []int32 // indexes into w.Chunks
	addedIDs  []int32
	removed   []int32
}

type knownDoc struct {
	ID           uuid.UUID
	ExternalID   string
	Revision     int
	NextChunkID  int
	ACLSetID     int64
	ACLVersion   int64
	HiddenReason *string
	UpdatedAt    time.Time
}

func (w *batchWriter) write(ctx context.Context) error {
	if err := w.open(ctx); err != nil {
		return err
	}
	steps := []func(context.Context) error{
		w.dropExcluded, w.lockHolds, w.lockDocuments, w.checkBasis, w.loadDocuments, w.diffChunks, w.writeDocuments, w.writeRevisions, w.writeChunks, w.writeVectors, w.deleteChunks,
		w.touch, w.writeACLs, w.refuse, w.deleteDocuments, w.findHeld, w.writeSeen, w.writeSkips, w.writeQuarantine, w.writeOutbox, w.writeItems,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// open checks the fence and the sets, and finds out whether a run that is older
// may still write permissions. A run that is not to be seen yet reads nothing
// before it is, so that what it reads is younger than this batch.
func (w *batchWriter) open(ctx context.Context) error {
	if err := holdFence(ctx, w.tx, w.b.Run.ID, w.b.Run.Fence); err != nil {
		return err
	}
	// A batch within a page need not wait for the disk: the cursor moves with the
	// page's last batch, whose commit flushes every one before it, and what a
	// crash of the server takes with it is done again. What was pushed nobody
	// sends again. A kept plan of the statements for many ACLs may have been made
	// when there were few documents.
	err := w.tx.QueryRow(ctx, `
		SELECT clock(), counts, EXISTS (SELECT FROM sync_run WHERE connection_id = $2 AND state IN ('queued', 'running') AND acl_version < $3),
			EXISTS (SELECT FROM exclusion WHERE connection_id = $2),
			lane = 'content' AND EXISTS (SELECT FROM deletion_hold h WHERE h.connection_id = $2 AND h.state <> 'superseded' AND (h.finished_at IS NULL OR h.finished_at >= r.started_at)),
			CASE WHEN $4 THEN set_config('synchronous_commit', 'off', true) END IS NULL,
			CASE WHEN $5 THEN set_config('plan_cache_mode', 'force_custom_plan', true) END IS NULL
		FROM sync_run r WHERE id = $1`, w.b.Run.ID, w.b.Run.ConnectionID, w.b.Run.ACLVersion, w.b.Page == nil && w.b.Run.Kind != RunPush, len(w.b.ACLs) > 0).Scan(
		&w.now, &w.total, &w.bump, &w.excluding, &w.held, nil, nil)
	if err != nil {
		return fmt.Errorf("reading run: %w", err)
	}
	return w.s.confirmSets(ctx, w.tx, w.sets)
}

// finish moves the run: its counts and, at the end of a page, its cursor.
func (w *batchWriter) finish(ctx context.Context) error {
	if w.b.Page == nil {
		_, err := w.tx.Exec(ctx, `UPDATE sync_run SET counts = $2, progress_at = clock(), heartbeat_at = clock() WHERE id = $1`, w.b.Run.ID, jsonOf(w.total))
		return err
	}
	p := w.b.Page
	blocked := p.Blocked
	if blocked == nil {
		blocked = []connectors.Container{}
	}
	_, err := w.tx.Exec(ctx, `
		UPDATE sync_run SET counts = $2, cursor = $3, complete = complete OR $4, blocked = blocked || $5::jsonb, progress_at = clock(), heartbeat_at = clock(), guard = $6 WHERE id = $1`,
		w.b.Run.ID, jsonOf(w.total), jsonOf(p.Next), p.Complete, jsonOf(blocked), jsonOf(p.Guard))
	if err != nil {
		return err
	}
	return w.placeContainers(ctx, p.Containers)
}

// addTo adds c to t, field by field.
func (c *Counts) addTo(t *Counts) {
	t.Pages += c.Pages
	t.Listed += c.Listed
	t.Added += c.Added
	t.Updated += c.Updated
	t.Unchanged += c.Unchanged
	t.Hidden += c.Hidden
	t.Purged += c.Purged
	t.Restored += c.Restored
	t.Held += c.Held
	t.ACLChanged += c.ACLChanged
	t.ACLUnknown += c.ACLUnknown
	t.Memberships += c.Memberships
	t.Skipped += c.Skipped
	t.Quarantined += c.Quarantined
	t.Refused += c.Refused
	t.Blocked += c.Blocked
	t.Bytes += c.Bytes
	t.ChunksWritten += c.ChunksWritten
	t.ChunksDeleted += c.ChunksDeleted
	t.VectorsReused += c.VectorsReused
	t.VectorsMade += c.VectorsMade
	for name, n := range c.Extra {
		if t.Extra == nil {
			t.Extra = map[string]int64{}
		}
		t.Extra[name] += n
	}
}
