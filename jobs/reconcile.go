package jobs

import (
	"context"
	"iter"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/store"
)

// listing returns what a snapshot or a reconcile reads. A reconcile of a source
// that lists ids, and gives one item by its id, asks only for items that are
// unknown or have changed; any other reads the snapshot.
func (s *syncer) listing(ctx context.Context) iter.Seq2[connectors.Page, error] {
	if ids, ok := s.session.(connectors.IDLister); ok && s.listsIDs() {
		return ids.ListIDs(ctx, s.run.Cursor)
	}
	return s.session.Snapshot(ctx, s.run.Cursor)
}

// listsIDs reports whether the run's listing gives items without documents.
func (s *syncer) listsIDs() bool {
	_, fetches := s.session.(connectors.Fetcher)
	return s.run.Kind == store.RunReconcile && fetches && s.spec.Has(connectors.CanListIDs) && s.spec.Has(connectors.CanFetch)
}

// fetch reads an item that was listed by its id alone.
func (s *syncer) fetch(ctx context.Context, id string) (connectors.Change, error) {
	fetcher, ok := s.session.(connectors.Fetcher)
	if !ok {
		return connectors.Change{}, bug("source %s gives no item by its id", s.conn.Source)
	}
	c, err := fetcher.Fetch(ctx, id)
	if err != nil {
		return connectors.Change{}, err
	}
	if c.Op != connectors.Upsert || c.Ref.ID != id || c.Document == nil {
		return connectors.Change{}, &connectors.Error{Op: "fetching an item", Class: connectors.Bug, Ref: c.Ref, Err: errNoDocument}
	}
	c.Ref.Revision = extract.CleanField(c.Ref.Revision, maxField)
	return c, nil
}
