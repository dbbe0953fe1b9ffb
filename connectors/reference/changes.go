package reference

import (
	"context"
	"iter"
	"strconv"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

var _ connectors.ChangeFeed = (*Session)(nil)

// Start returns the feed's position of this moment.
func (s *Session) Start(ctx context.Context) (connectors.Cursor, error) {
	const op = "taking a world's feed position"
	struck, err := s.world.request(ctx, connectortest.OnFeed, "")
	if err != nil {
		return nil, &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
	}
	if err := failure(op, struck, false, connectors.ItemRef{}); err != nil {
		return nil, err
	}
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return cursor{Epoch: s.world.feedEpoch, Seen: len(s.world.log)}.encode(), nil
}

// Changes yields what happened since from, each event with the item's state of
// the moment it is read. A quiet feed yields no page.
func (s *Session) Changes(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	const op = "listing a world's changes"
	return func(yield func(connectors.Page, error) bool) {
		at := from
		for {
			page, killed, err := s.feedPage(ctx, op, at)
			if err != nil {
				yield(connectors.Page{}, err)
				return
			}
			if page.Next.IsZero() || !yield(page, nil) {
				return
			}
			if killed {
				yield(connectors.Page{}, &connectors.Error{Op: op, Class: connectors.Transient, Err: ErrKilled})
				return
			}
			at = page.Next
		}
	}
}

// feedPage reads the page at from, and reports whether the sequence is killed
// behind it. No Next means that there is no page.
func (s *Session) feedPage(ctx context.Context, op string, from connectors.Cursor) (connectors.Page, bool, error) {
	var page connectors.Page
	struck, err := s.world.request(ctx, connectortest.OnFeed, "")
	if err != nil {
		return page, false, &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
	}
	if err := failure(op, struck, false, connectors.ItemRef{}); err != nil {
		return page, false, err
	}
	at, events, entries, err := s.since(op, from)
	if err != nil || len(events) == 0 {
		return page, false, err
	}
	for i, ev := range events {
		if err := s.addEvent(ctx, op, &page, ev, entries[i]); err != nil {
			return connectors.Page{}, false, err
		}
	}
	at.Seen += len(events)
	page.Next = at.encode()
	if struck != nil {
		disfigure(&page, struck.Kind, from)
	}
	return page, struck != nil && struck.Kind == Killed, nil
}

// since returns where from points to and the next events behind it with the
// items' states; nil is an item that is gone.
func (s *Session) since(op string, from connectors.Cursor) (cursor, []event, []*entry, error) {
	at, err := decode(op, from)
	if err != nil {
		return at, nil, nil, err
	}
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	if at.Epoch != w.feedEpoch || at.Seen > len(w.log) {
		w.hits[connectortest.ExpiredCursor]++
		return at, nil, nil, expired(op)
	}
	events := w.log[at.Seen:min(len(w.log), at.Seen+w.pageSize)]
	var entries []*entry
	for _, ev := range events {
		var state *entry
		if e := w.items[ev.id]; e != nil {
			held := *e
			state = &held
		}
		entries = append(entries, state)
	}
	return at, events, entries, nil
}

func (s *Session) addEvent(ctx context.Context, op string, page *connectors.Page, ev event, e *entry) error {
	if e == nil || !s.selected(e.Path) {
		page.Changes = append(page.Changes, connectors.Change{Op: connectors.Delete, Ref: connectors.ItemRef{ID: ev.id}})
		return nil
	}
	if ev.kind != aclEvent {
		return s.add(ctx, op, page, *e, whole)
	}
	if e.Skip != "" {
		return nil
	}
	acl, err := s.acl(ctx, op, *e)
	if err != nil {
		return err
	}
	ref := connectors.ItemRef{ID: e.ID, Revision: strconv.Itoa(e.revision)}
	page.Changes = append(page.Changes, connectors.Change{Op: connectors.SetACL, Ref: ref, ACL: acl})
	return nil
}
