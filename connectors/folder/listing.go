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
		p := &pager{ctx: ctx, s: s, at: at, yield: yield, withText: withText}
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
	ctx      context.Context //nolint:containedctx // a pager lives as long as one call of list
	s        *session
	walk     *walk
	at       cursor
	yield    func(connectors.Page, error) bool
	withText bool

	page connectors.Page
	// n entries are on the page and passed were left out; last is the latest of
	// both.
	n, passed int
	last      string
}

func (p *pager) file(f *file) error {
	if err := p.begin(f.path); err != nil {
		return err
	}
	mediaType, skip := p.s.classify(f, p.withText)
	if skip != "" {
		p.addSkip(f.path, f.node, skip)
		return nil
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
	return nil
}

func (p *pager) skip(path string, n inode, reason string) error {
	if err := p.begin(path); err != nil {
		return err
	}
	p.addSkip(path, n, reason)
	return nil
}

func (p *pager) addSkip(path string, n inode, reason string) {
	if !p.withText {
		return
	}
	id := itemID(path)
	ref := connectors.ItemRef{ID: id}
	if n != (inode{}) {
		ref.Revision = revision(n)
	}
	p.page.Skipped = append(p.page.Skipped, connectors.Skip{Ref: ref, Path: id, Reason: reason})
}

func (p *pager) block(path, reason string) error {
	if err := p.begin(path); err != nil {
		return err
	}
	p.addBlocked(path, reason)
	return nil
}

// lost names the entry both ways: neither it nor what may lie below it counts
// as gone.
func (p *pager) lost(path, reason string) error {
	if err := p.begin(path); err != nil {
		return err
	}
	p.addSkip(path, inode{}, reason)
	p.addBlocked(path, reason)
	return nil
}

func (p *pager) addBlocked(path, reason string) {
	id := itemID(path)
	p.page.Blocked = append(p.page.Blocked, connectors.Container{ID: id, Prefix: id + "/", Reason: reason})
}

func (p *pager) pass(path string) error {
	if p.passed >= maxPassed {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.passed++
	p.last = path
	return nil
}

// begin makes room for the entry at the path.
func (p *pager) begin(path string) error {
	if p.n >= p.s.cfg.PageSize {
		if err := p.flush(); err != nil {
			return err
		}
	}
	p.n++
	p.last = path
	return nil
}

// flush yields the page; the walk goes on after its last entry.
func (p *pager) flush() error {
	p.at.After = itemID(p.last)
	p.page.Next = p.at.encode()
	page := p.page
	p.page, p.n, p.passed = connectors.Page{}, 0, 0
	if !p.yield(page, nil) {
		return errStopped
	}
	return p.ctx.Err()
}

// end yields the last page. A walk that had already ended yields its end again.
func (p *pager) end() {
	p.at.After = ""
	p.at.Done++
	p.page.Next = p.at.encode()
	p.page.Complete = true
	p.yield(p.page, nil)
}
