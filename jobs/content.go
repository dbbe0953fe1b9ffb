package jobs

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/store"
)

// maxItemAttempts is how often a document is tried before it rests until it
// changes.
const maxItemAttempts = 3

// content advances a run of lane content.
func (s *syncer) content(ctx context.Context) sliceEnd {
	if err := s.loadLocalProfiles(ctx); err != nil {
		return sliceEnd{err: err}
	}
	if s.run.Complete {
		// The listing ended in a slice that died before it could conclude.
		return s.concludeAfterRetries(ctx, pumped{ended: true, complete: true, last: s.run.Cursor})
	}
	if s.run.Kind == store.RunChanges {
		return s.changes(ctx)
	}
	if err := s.takeFeedStart(ctx); err != nil {
		return sliceEnd{err: err}
	}
	if err := s.expect(ctx); err != nil {
		return sliceEnd{err: err}
	}
	return s.concludeAfterRetries(ctx, s.pump(ctx, s.listing(ctx), s.run.Cursor))
}

// takeFeedStart asks for the change feed's position before the snapshot, so
// that what changes meanwhile is not missed. A reconcile leaves the position as
// it is: it proves what the feed said, and does not replace it.
func (s *syncer) takeFeedStart(ctx context.Context) error {
	feed, ok := s.session.(connectors.ChangeFeed)
	if !ok || s.run.Kind == store.RunReconcile || !s.spec.Has(connectors.CanChanges) || !s.run.Cursor.IsZero() || !s.run.FeedStart.IsZero() {
		return nil
	}
	start, err := feed.Start(ctx)
	if err != nil {
		return err
	}
	s.run.FeedStart = start
	return s.r.store.SetFeedStart(ctx, s.run, start)
}

func (s *syncer) changes(ctx context.Context) sliceEnd {
	feed, ok := s.session.(connectors.ChangeFeed)
	if !ok {
		return sliceEnd{err: bug("source %s has no change feed", s.conn.Source)}
	}
	from := s.run.Cursor
	if from.IsZero() {
		from = s.conn.FeedCursor
	}
	p := s.pump(ctx, feed.Changes(ctx, from), from)
	if connectors.ClassOf(p.err) == connectors.CursorExpired {
		if err := s.r.store.ExpireCursor(ctx, s.run); err != nil {
			return sliceEnd{err: err, progress: p.progress}
		}
	}
	if p.err != nil || !p.ended {
		return sliceEnd{err: p.err, handOver: p.err == nil, progress: p.progress}
	}
	if err := s.retryItems(ctx); err != nil {
		return sliceEnd{err: err, progress: p.progress}
	}
	if err := s.r.store.FinishContent(ctx, s.run, p.last); err != nil {
		return sliceEnd{err: err, progress: true}
	}
	return s.verdict(ctx, store.Counts{}, nil)
}

// conclude ends a listing: what it no longer contained is swept, but only if
// it was complete.
func (s *syncer) conclude(ctx context.Context, p pumped) sliceEnd {
	if p.err != nil || (!p.ended && !p.complete) {
		return sliceEnd{err: p.err, handOver: p.err == nil, progress: p.progress}
	}
	if !p.complete {
		return s.verdict(ctx, store.Counts{}, errors.New("the listing ended before the source's own end: nothing was inferred to be deleted"))
	}
	// Blocked containers of earlier slices stand in the row.
	run, err := s.r.store.Run(ctx, s.run.ID)
	if err != nil {
		return sliceEnd{err: err, progress: true}
	}
	swept, err := s.r.store.SweepListing(ctx, run, s.r.cfg.Sweep)
	if err != nil {
		return sliceEnd{err: err, progress: true}
	}
	if err := s.r.store.FinishContent(ctx, s.run, s.run.FeedStart); err != nil {
		return sliceEnd{err: err, progress: true}
	}
	return s.verdict(ctx, swept, nil)
}

// verdict adds what the sweep did to the run's counts and tells success from
// partial success.
func (s *syncer) verdict(ctx context.Context, swept store.Counts, note error) sliceEnd {
	counts, err := s.r.store.AddCounts(ctx, s.run, swept)
	if err != nil {
		return sliceEnd{err: err, progress: true}
	}
	notes := []error{note}
	if counts.Quarantined > 0 {
		notes = append(notes, fmt.Errorf("%d items are quarantined: see `tributary documents quarantined %s`", counts.Quarantined, s.conn.Name))
	}
	if counts.Refused > 0 {
		notes = append(notes, fmt.Errorf("the source refuses the content of %d items: give the account access to them, or exclude them", counts.Refused))
	}
	if counts.Blocked > 0 {
		notes = append(notes, fmt.Errorf("%d containers could not be listed: nothing below them was inferred to be deleted", counts.Blocked))
	}
	if counts.Held > 0 {
		notes = append(notes, fmt.Errorf("%d deletions wait for your decision: see `tributary deletions list %s`", counts.Held, s.conn.Name))
	}
	end := sliceEnd{state: store.RunSucceeded, progress: true, note: errors.Join(notes...)}
	if end.note != nil {
		end.state = store.RunPartial
	}
	return end
}

// plan joins a page's changes with what is stored and decides which bodies
// must be opened.
func (s *syncer) plan(ctx context.Context, page connectors.Page) (*pageTask, error) {
	page, excluded, err := s.withoutExcluded(ctx, storable(page))
	if err != nil {
		return nil, err
	}
	var ids []string
	for i := range page.Changes {
		if page.Changes[i].Op != connectors.Delete && s.run.Lane == store.Content {
			ids = append(ids, page.Changes[i].Ref.ID)
		}
	}
	known, err := s.r.store.KnownDocuments(ctx, s.conn.ID, ids)
	if err != nil {
		return nil, err
	}
	task := &pageTask{page: page, excluded: excluded, items: make([]*item, len(page.Changes))}
	for i, c := range page.Changes {
		if c.Ref.ID == "" {
			return nil, bug("a change without an item id")
		}
		it := &item{change: c, known: known[c.Ref.ID], byID: c.Document == nil && s.listsIDs()}
		it.rests = it.restsInQuarantine()
		if c.Op == connectors.Upsert && it.mustOpen() {
			if c.Document == nil && !it.byID {
				return nil, &connectors.Error{Op: "reading page", Class: connectors.Bug, Ref: c.Ref, Err: errNoDocument}
			}
			it.open, it.weight = true, s.weightOf(c.Document)
			it.started, it.done = make(chan struct{}), make(chan struct{})
		}
		task.items[i] = it
	}
	return task, nil
}

// storable returns page with what a source may name and the store cannot hold
// taken out or cleaned: an item with such an id is skipped with its reason, and
// does not stop the others.
func storable(page connectors.Page) connectors.Page {
	changes, skipped, blocked := make([]connectors.Change, 0, len(page.Changes)), make([]connectors.Skip, 0, len(page.Skipped)), make([]connectors.Container, 0, len(page.Blocked))
	for _, c := range page.Changes {
		if c.Ref.ID != "" && !store.UsableID(c.Ref.ID) {
			skipped = append(skipped, connectors.Skip{
				Ref: connectors.ItemRef{ID: usable(c.Ref.ID)}, Path: pathOf(c), Reason: "its id is longer than the store can hold, or is not text",
			})
			continue
		}
		c.Ref.Revision = extract.CleanField(c.Ref.Revision, maxField)
		changes = append(changes, c)
	}
	for _, s := range page.Skipped {
		s.Ref.ID = usable(s.Ref.ID)
		skipped = append(skipped, s)
	}
	for _, b := range page.Blocked {
		blocked = append(blocked, connectors.Container{ID: extract.CleanField(b.ID, maxField), Prefix: extract.CleanField(b.Prefix, maxField), Reason: extract.CleanField(b.Reason, maxTitle)})
	}
	page.Containers = slices.DeleteFunc(slices.Clone(page.Containers), func(c connectors.Place) bool {
		return !store.UsableID(c.ID) || c.Parent != "" && !store.UsableID(c.Parent)
	})
	page.Changes, page.Skipped, page.Blocked = changes, skipped, blocked
	return page
}

// usable returns an id that the store can hold: the same, or one that no item
// that can be stored has.
func usable(id string) string {
	if store.UsableID(id) {
		return id
	}
	return fmt.Sprintf("%s (%x)", extract.CleanField(id, maxTitle), sha256.Sum256([]byte(id)))
}

func pathOf(c connectors.Change) string {
	if c.Document == nil {
		return ""
	}
	return c.Document.Path
}

// mustOpen reports whether the body has to be read: the revision is not
// stored, or was refused when it was last asked for, and has not failed too
// often.
func (it *item) mustOpen() bool {
	k := it.known
	if it.rests {
		return false
	}
	stored := k.ID != uuid.Nil && k.SourceRevision == it.change.Ref.Revision
	refused := k.HiddenReason != nil && *k.HiddenReason == "refused"
	return !stored || refused
}

func (it *item) restsInQuarantine() bool {
	k := it.known
	return k.QuarantineAttempts >= maxItemAttempts && k.QuarantineRevision == it.change.Ref.Revision && !k.RetryAsked
}
