package folder

import (
	"context"
	"errors"
	"iter"

	"tributary/connectors"
)

// maxPassed is the number of entries outside the selection after which a page
// is yielded all the same, so that a long walk can be resumed.
const maxPassed = 20_000

// Snapshot yields every selected file, in the byte order of path elements.
func (s *session) Snapshot(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, from, true)
}

// Permissions yields the ACL of every selected file that may be a document. No
// file is opened.
func (s *session) Permissions(ctx context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.list(ctx, from, false)
}

func (s *session) list(ctx context.Context, from connectors.Cursor, withText bool) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		at, err := decodeCursor(from, s.walkName)
		if err != nil {
			yield(connectors.Page{}, err)
			return
		}
		p := &pager{s: s, at: at, yield: yield, withText: withText}
		p.walk = s.newWalk(p)
		before := s.inverted.Load()
		if at.Done == 0 {
			err = p.walk.run(ctx, decodeID(at.After))
		}
		switch {
		case errors.Is(err, errStopped):
			return
		case err != nil:
			yield(connectors.Page{}, err)
			return
		}
		if n := s.inverted.Load() - before; n > 0 {
			s.log.WarnContext(ctx, "folder has files under modes that give the owner or a group fewer rights than a later class", CountInverted, n)
		}
		p.end()
	}
}

// errStopped says that the reader of pages wants no more.
var errStopped = errors.New("stopped by the reader of pages")

// pager collects what a walk finds into pages.
type pager struct {
	s        *session
	walk     *walk
	at       cursor
	yield    func(connectors.Page, error) bool
	withText bool

	page   connectors.Page
	n      int
	passed int
}

func (p *pager) file(f *file) error {
	mediaType, skip := p.s.classify(f, p.withText)
	if skip != "" {
		return p.skip(f.path, f.node, skip)
	}
	j := p.walk.judge(f)
	if j.inverted {
		p.s.inverted.Add(1)
	}
	change := connectors.Change{Op: connectors.SetACL, Ref: connectors.ItemRef{ID: itemID(f.path)}, ACL: j.acl}
	if p.withText {
		change.Op = connectors.Upsert
		change.Ref.Revision = revision(f.node)
		change.Document = p.s.document(f.path, change.Ref, f.node, mediaType)
	}
	p.page.Changes = append(p.page.Changes, change)
	return p.done(f.path)
}

func (p *pager) skip(path string, n inode, reason string) error {
	if !p.withText {
		return p.pass(path)
	}
	id := itemID(path)
	ref := connectors.ItemRef{ID: id}
	if n != (inode{}) {
		ref.Revision = revision(n)
	}
	p.page.Skipped = append(p.page.Skipped, connectors.Skip{Ref: ref, Path: id, Reason: reason})
	return p.done(path)
}

func (p *pager) block(path, reason string) error {
	id := itemID(path)
	p.page.Blocked = append(p.page.Blocked, connectors.Container{ID: id, Prefix: id + "/", Reason: reason})
	return p.done(path)
}

func (p *pager) pass(path string) error {
	if p.passed++; p.passed < maxPassed {
		return nil
	}
	return p.flush(path)
}

// done ends the page if it is full; path is the last entry on it.
func (p *pager) done(path string) error {
	if p.n++; p.n < p.s.cfg.PageSize {
		return nil
	}
	return p.flush(path)
}

func (p *pager) flush(path string) error {
	p.at.After = itemID(path)
	p.page.Next = p.at.encode()
	page := p.page
	p.page, p.n, p.passed = connectors.Page{}, 0, 0
	if !p.yield(page, nil) {
		return errStopped
	}
	return nil
}

// end yields the last page. A walk that had already ended yields its end again.
func (p *pager) end() {
	p.at.After = ""
	p.at.Done++
	p.page.Next = p.at.encode()
	p.page.Complete = true
	p.yield(p.page, nil)
}
