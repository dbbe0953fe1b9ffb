package reference

import (
	"context"
	"iter"
	"path"
	"slices"
	"strconv"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

var (
	_ connectors.Session        = (*Session)(nil)
	_ connectors.IDLister       = (*Session)(nil)
	_ connectors.PermissionFeed = (*Session)(nil)
)

// shape is what a listing makes of an item.
type shape int

const (
	whole shape = iota
	idOnly
	aclOnly
)

// Snapshot yields every selected item in the order of ids.
func (s *Session) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, "listing a world", from, whole)
}

// ListIDs yields every selected item's id and revision.
func (s *Session) ListIDs(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, "listing ids of a world", from, idOnly)
}

// Permissions yields every selected item's ACL.
func (s *Session) Permissions(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, "listing permissions of a world", from, aclOnly)
}

func (s *Session) list(ctx context.Context, op string, from connectors.Cursor, as shape) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		at := from
		for {
			page, killed, err := s.listPage(ctx, op, at, as)
			if err != nil {
				yield(connectors.Page{}, err)
				return
			}
			if !yield(page, nil) {
				return
			}
			if killed {
				yield(connectors.Page{}, &connectors.Error{Op: op, Class: connectors.Transient, Err: ErrKilled})
				return
			}
			if page.Complete {
				return
			}
			at = page.Next
		}
	}
}

// listPage reads the page at from, and reports whether the sequence is killed
// behind it.
func (s *Session) listPage(ctx context.Context, op string, from connectors.Cursor, as shape) (connectors.Page, bool, error) {
	var page connectors.Page
	struck, err := s.world.request(ctx, connectortest.OnListing, "")
	if err != nil {
		return page, false, &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
	}
	if err := failure(op, struck, false, connectors.ItemRef{}); err != nil {
		return page, false, err
	}
	at, entries, more, err := s.after(op, from)
	if err != nil {
		return page, false, err
	}
	for _, e := range entries {
		at.After = e.ID
		if err := s.add(ctx, op, &page, e, as); err != nil {
			return connectors.Page{}, false, err
		}
	}
	if len(entries) == 0 {
		at.Ends++
	}
	page.Complete = !more
	page.Next = at.encode()
	if struck != nil {
		disfigure(&page, struck.Kind, from)
	}
	return page, struck != nil && struck.Kind == Killed, nil
}

// disfigure makes a page what only a broken connector yields.
func disfigure(page *connectors.Page, kind connectortest.FaultKind, from connectors.Cursor) {
	switch kind {
	case RepeatedCursor:
		page.Next = from
		page.Complete = false
	case FalseComplete:
		page.Complete = true
	case EmptyListing:
		page.Changes, page.Skipped, page.Blocked, page.Complete = nil, nil, nil, true
	case HalfListing:
		kept := page.Changes[:0]
		for i, c := range page.Changes {
			if i%2 == 0 {
				kept = append(kept, c)
			}
		}
		page.Changes = kept
	case WiderACL:
		for i := range page.Changes {
			page.Changes[i].ACL = Readers(Everyone())
		}
	default:
		// The kit's faults are answers, and were given before.
	}
}

// after returns where from points to, copies of the next entries behind it,
// and whether there are more.
func (s *Session) after(op string, from connectors.Cursor) (cursor, []entry, bool, error) {
	w := s.world
	w.mu.Lock()
	defer w.mu.Unlock()
	at := cursor{Epoch: w.listEpoch}
	if !from.IsZero() {
		var err error
		if at, err = decode(op, from); err != nil {
			return at, nil, false, err
		}
		if at.Epoch != w.listEpoch {
			w.hits[connectortest.ExpiredCursor]++
			return at, nil, false, expired(op)
		}
	}
	var page []entry
	for _, e := range w.sorted() {
		if e.ID <= at.After || !s.selected(e.Path) {
			continue
		}
		if len(page) == w.pageSize {
			return at, page, true, nil
		}
		page = append(page, *e)
	}
	return at, page, false, nil
}

// selected reports whether the selection holds the item at p.
func (s *Session) selected(p string) bool {
	sel := s.env.Selection
	match := func(pattern string) bool {
		ok, err := path.Match(pattern, p)
		return ok && err == nil
	}
	if len(sel.Containers) > 0 && !slices.ContainsFunc(sel.Containers, func(c string) bool { return within(container(p), c) }) {
		return false
	}
	if len(sel.Include) > 0 && !slices.ContainsFunc(sel.Include, match) {
		return false
	}
	return !slices.ContainsFunc(sel.Exclude, match)
}

// add puts one entry on the page: as a change, a skip, or a blocked container.
func (s *Session) add(ctx context.Context, op string, page *connectors.Page, e entry, as shape) error {
	ref := connectors.ItemRef{ID: e.ID, Revision: strconv.Itoa(e.revision)}
	in := container(e.Path)
	closed := s.world.closed(in)
	if closed != nil {
		in = *closed
		if !slices.ContainsFunc(page.Blocked, func(c connectors.Container) bool { return c.ID == in }) {
			page.Blocked = append(page.Blocked, connectors.Container{ID: in, Reason: "the world does not list it"})
		}
	}
	for c := in; c != ""; c = container(c) {
		if p := (connectors.Place{ID: c, Parent: container(c)}); !slices.Contains(page.Containers, p) {
			page.Containers = append(page.Containers, p)
		}
	}
	if closed != nil {
		return nil
	}
	if e.Skip != "" {
		page.Skipped = append(page.Skipped, connectors.Skip{Ref: ref, Path: e.Path, Reason: e.Skip})
		return nil
	}
	switch as {
	case idOnly:
		page.Changes = append(page.Changes, connectors.Change{Op: connectors.Upsert, Ref: ref})
		return nil
	case whole, aclOnly:
	}
	acl, err := s.acl(ctx, op, e)
	if err != nil {
		return err
	}
	if as == aclOnly {
		page.Changes = append(page.Changes, connectors.Change{Op: connectors.SetACL, Ref: ref, ACL: acl})
		return nil
	}
	page.Changes = append(page.Changes, connectors.Change{Op: connectors.Upsert, Ref: ref, Document: s.document(e, ref), ACL: acl})
	return nil
}

// closed returns the container that a fault lies on, of c and those above it;
// nil is none.
func (w *World) closed(c string) *string {
	w.mu.Lock()
	defer w.mu.Unlock()
	f := w.strike(connectortest.OnContainer, c)
	switch {
	case f == nil:
		return nil
	case f.Name != "":
		return &f.Name
	default:
		return &c
	}
}

// acl asks for the permissions of an item. What is refused is the zero ACL;
// what fails ends the listing.
func (s *Session) acl(ctx context.Context, op string, e entry) (connectors.ACL, error) {
	struck, err := s.world.request(ctx, connectortest.OnACL, e.Path)
	if err != nil {
		return connectors.ACL{}, &connectors.Error{Op: op, Class: connectors.Transient, Err: err}
	}
	err = failure(op, struck, true, connectors.ItemRef{ID: e.ID})
	switch {
	case err == nil:
		return cloneACL(e.ACL), nil
	case connectors.ClassOf(err) == connectors.ItemRefused:
		return connectors.ACL{}, nil
	default:
		return connectors.ACL{}, err
	}
}
