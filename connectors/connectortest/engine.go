package connectortest

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"tributary/connectors"
)

// engine does in memory what the real one does in a database: it commits pages
// in order with their cursor, continues from there in a fresh session, and
// infers deletions only from a listing that said Complete.
type engine struct {
	s    *story
	docs model
	// owed are documents whose body was not given out: they are tried again by
	// the next listing.
	owed map[string]bool
	// partial says that a container could not be listed since the last snapshot
	// that listed them all.
	partial bool
	members []connectors.Membership

	// feed is where the next changes continue, listing an unfinished snapshot,
	// perms an unfinished permission run.
	feed    connectors.Cursor
	listing *listing
	perms   connectors.Cursor
}

type listing struct {
	start, at connectors.Cursor
	seen      map[string]bool
	blocked   bool
	complete  bool
	// began is how often the feed had missed something when the listing began.
	began int
}

func newEngine(s *story) *engine {
	return &engine{s: s, docs: model{}, owed: map[string]bool{}}
}

var errKilled = errors.New("killed")

// session opens a session for one run; a source that is disturbed may refuse.
func (e *engine) session(lane string, run func(connectors.Session) error) error {
	e.s.tally.runs++
	s, err := e.s.fix.Connector.Open(e.s.ctx, e.s.env())
	if err == nil {
		err = errors.Join(run(s), s.Close(context.WithoutCancel(e.s.ctx)))
	}
	switch {
	case errors.Is(err, errKilled):
		e.s.tally.killed++
		e.s.tell("run: %s: killed", lane)
	case err != nil:
		e.s.tally.ended++
		e.s.tell("run: %s: %s: %v", lane, connectors.ClassOf(err), err)
	default:
		e.s.tell("run: %s", lane)
	}
	return err
}

// pages reads a sequence and commits each page; kill ends the run after so many
// pages, 0 never.
func (e *engine) pages(lane string, seq iter.Seq2[connectors.Page, error], from connectors.Cursor, kill int, commit func(connectors.Page)) error {
	var end error
	w := e.s.read(seq, from, func(n int, page connectors.Page) error {
		if end = e.apply(page); end != nil {
			return errStop
		}
		commit(page)
		if n == kill {
			end = errKilled
			return errStop
		}
		if !e.s.mended && e.s.random.IntN(12) == 0 {
			e.s.tell("during %s, after page %d:", lane, n)
			e.s.happen()
		}
		return nil
	})
	if w.broken != "" {
		e.s.fatal("%s: %s", lane, w.broken)
	}
	return errors.Join(end, w.err)
}

// content advances the content: changes where the feed has a position, else a
// snapshot.
func (e *engine) content(kill int) error {
	if e.listing == nil && !e.feed.IsZero() {
		return e.changes(kill)
	}
	return e.snapshot(kill)
}

func (e *engine) changes(kill int) error {
	err := e.session("changes", func(s connectors.Session) error {
		f, ok := s.(connectors.ChangeFeed)
		if !ok {
			return fmt.Errorf("the session does not implement %q", connectors.CanChanges)
		}
		return e.pages("changes", f.Changes(e.s.ctx, e.feed), e.feed, kill, func(p connectors.Page) {
			e.feed = p.Next
			e.partial = e.partial || len(p.Blocked) > 0
			for _, sk := range p.Skipped {
				e.owed[sk.Ref.ID] = true
			}
		})
	})
	if connectors.ClassOf(err) == connectors.CursorExpired {
		e.feed = nil
	}
	return err
}

func (e *engine) snapshot(kill int) error {
	if e.listing == nil {
		e.listing = &listing{seen: map[string]bool{}, began: e.s.misses}
	}
	l := e.listing
	err := e.session("snapshot", func(s connectors.Session) error {
		if f, ok := s.(connectors.ChangeFeed); ok && l.at.IsZero() && l.start.IsZero() {
			start, err := f.Start(e.s.ctx)
			if err != nil {
				return err
			}
			l.start = start
		}
		return e.pages("snapshot", s.Snapshot(e.s.ctx, l.at), l.at, kill, func(p connectors.Page) { l.commit(p, e.owed) })
	})
	switch {
	case l.complete:
		// Only a whole listing says Complete, whatever its sequence does then.
		e.sweep(l)
		e.feed, e.listing, e.partial = l.start, nil, l.blocked
		if !l.blocked {
			e.s.told(l.began)
		}
	case connectors.ClassOf(err) == connectors.CursorExpired, err == nil:
		e.listing = nil
	}
	return err
}

func (l *listing) commit(p connectors.Page, owed map[string]bool) {
	l.at = p.Next
	for _, c := range p.Changes {
		l.seen[c.Ref.ID] = true
	}
	for _, sk := range p.Skipped {
		l.seen[sk.Ref.ID] = true
		owed[sk.Ref.ID] = true
	}
	l.blocked = l.blocked || len(p.Blocked) > 0
	l.complete = l.complete || p.Complete
}

// sweep drops what a whole listing no longer has.
func (e *engine) sweep(l *listing) {
	if l.blocked {
		return
	}
	for id := range e.docs {
		if !l.seen[id] {
			delete(e.docs, id)
		}
	}
	for id := range e.owed {
		if !l.seen[id] {
			delete(e.owed, id)
		}
	}
}

// permissions replaces the memberships and then every ACL.
func (e *engine) permissions(kill int) error {
	err := e.session("permissions", func(s connectors.Session) error {
		if g, ok := s.(connectors.GroupLister); ok && e.perms.IsZero() {
			var all []connectors.Membership
			for m, err := range g.Groups(e.s.ctx) {
				if err != nil {
					return err
				}
				all = append(all, m)
			}
			e.members = all
		}
		f, ok := s.(connectors.PermissionFeed)
		if !ok {
			return nil
		}
		return e.pages("permissions", f.Permissions(e.s.ctx, e.perms), e.perms, kill, func(p connectors.Page) { e.perms = p.Next })
	})
	if err == nil || connectors.ClassOf(err) == connectors.CursorExpired {
		e.perms = nil
	}
	return err
}

// reconcile proves the feed: by a listing of ids where that finds nothing new,
// else by a snapshot.
func (e *engine) reconcile() error {
	if e.listing != nil || e.feed.IsZero() || !e.s.spec.Has(connectors.CanListIDs) || len(e.owed) > 0 || e.partial {
		return e.snapshot(0)
	}
	l := &listing{seen: map[string]bool{}}
	news := false
	err := e.session("ids", func(s connectors.Session) error {
		f, ok := s.(connectors.IDLister)
		if !ok {
			return fmt.Errorf("the session does not implement %q", connectors.CanListIDs)
		}
		w := e.s.read(f.ListIDs(e.s.ctx, nil), nil, func(_ int, p connectors.Page) error {
			l.commit(p, e.owed)
			for _, c := range p.Changes {
				d, had := e.docs[c.Ref.ID]
				news = news || !had || d.revision != c.Ref.Revision
			}
			return nil
		})
		if w.broken != "" {
			e.s.fatal("ids: %s", w.broken)
		}
		return w.err
	})
	if l.complete {
		e.sweep(l)
	}
	if err == nil && (news || !l.complete || l.blocked) {
		return e.snapshot(0)
	}
	return err
}

// settled is how many runs an undisturbed source may take to end well.
const settled = 6

// settle runs both lanes until they end without an error.
func (e *engine) settle() {
	e.untilWell("content", func() error {
		err := e.content(0)
		if err == nil && (e.listing != nil || e.s.spec.Has(connectors.CanChanges) && e.feed.IsZero()) {
			return errors.New("the listing ended without saying Complete")
		}
		return err
	})
	if e.s.spec.Has(connectors.CanChanges) {
		e.untilWell("changes", func() error { return e.content(0) })
	}
	e.perms = nil
	e.untilWell("permissions", func() error { return e.permissions(0) })
}

// settleReconcile proves what is stored until a listing ends without an error.
func (e *engine) settleReconcile() {
	e.untilWell("reconcile", e.reconcile)
	if e.s.spec.Has(connectors.CanChanges) {
		e.untilWell("content", func() error { return e.content(0) })
	}
	e.perms = nil
	e.untilWell("permissions", func() error { return e.permissions(0) })
}

func (e *engine) untilWell(lane string, run func() error) {
	var err error
	for range settled {
		if err = run(); err == nil {
			return
		}
	}
	e.s.fatal("%s: %d runs at a site without faults end with: %v", lane, settled, err)
}

// apply applies one page, or returns the error that ends the run before the page
// counts.
func (e *engine) apply(page connectors.Page) error {
	for _, c := range page.Changes {
		switch c.Op {
		case connectors.Delete:
			delete(e.docs, c.Ref.ID)
			delete(e.owed, c.Ref.ID)
		case connectors.SetACL:
			if d, ok := e.docs[c.Ref.ID]; ok {
				d.acl = c.ACL
				e.docs[c.Ref.ID] = d
			}
		case connectors.Upsert:
			if err := e.upsert(c); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *engine) upsert(c connectors.Change) error {
	if c.Document == nil || c.Document.Open == nil {
		e.s.fatal("%q: an upsert without a document that opens", c.Ref.ID)
	}
	old, had := e.docs[c.Ref.ID]
	d := stored{revision: c.Ref.Revision, text: old.text, acl: c.ACL, container: c.Document.Container, path: c.Document.Path}
	if !had || old.revision != c.Ref.Revision {
		text, err := e.s.body(e.s.ctx, c)
		refused := connectors.ClassOf(err) == connectors.ItemRefused
		if refused {
			delete(e.docs, c.Ref.ID)
		}
		if refused || connectors.ClassOf(err) == connectors.ItemSkipped {
			e.owed[c.Ref.ID] = true
			return nil
		}
		if err != nil {
			return err
		}
		d.text = text
	}
	delete(e.owed, c.Ref.ID)
	e.docs[c.Ref.ID] = d
	return nil
}
