package connectortest

import (
	"go.uber.org/goleak"

	"tributary/connectors"
)

func leakRules() []Rule {
	return []Rule{
		{ID: "leak-whole", Says: "A session that was used and closed leaves no goroutine behind.", bare: true, run: leakWhole},
		{ID: "leak-abandoned", Says: "A session that was left after one page and closed leaves no goroutine behind.", bare: true, run: leakAbandoned},
		{ID: "leak-failed", Says: "A session whose listing failed and was closed leaves no goroutine behind.", bare: true, run: leakFailed},
	}
}

// clean runs use on a fixture of its own, tears everything down, and looks for
// goroutines that were not there before.
func (p *probe) clean(use func()) {
	before := goleak.IgnoreCurrent()
	func() {
		defer p.tb.clean()
		p.prepare()
		use()
	}()
	if err := goleak.Find(before); err != nil {
		p.fail("%v", err)
	}
}

func leakWhole(p *probe) {
	p.clean(func() {
		p.corpus()
		s := p.open()
		p.sameAsTruth("snapshot", p.modelOf(p.snapshot(s)))
		p.everything(s)
	})
}

// everything uses what else s implements.
func (p *probe) everything(s connectors.Session) {
	if f, ok := s.(connectors.ChangeFeed); ok {
		start, err := f.Start(p.ctx)
		if p.seen(err) == nil {
			p.put("b/everything.md", "first")
			p.read(f.Changes(p.ctx, start), start, nil)
		}
	}
	if f, ok := s.(connectors.PermissionFeed); ok {
		p.read(f.Permissions(p.ctx, nil), nil, nil)
	}
	if f, ok := s.(connectors.IDLister); ok {
		p.read(f.ListIDs(p.ctx, nil), nil, nil)
	}
	if f, ok := s.(connectors.GroupLister); ok {
		for _, err := range f.Groups(p.ctx) {
			_ = p.seen(err)
		}
	}
	if f, ok := s.(connectors.Fetcher); ok {
		_, err := f.Fetch(p.ctx, "connectortest-no-such-item")
		_ = p.seen(err)
	}
	if f, ok := s.(connectors.Verifier); ok {
		_, err := f.Verify(p.ctx)
		_ = p.seen(err)
	}
	if f, ok := s.(connectors.PrincipalNamer); ok {
		_, err := f.NamePrincipal(p.ctx, "no-such-principal-of-the-kit")
		_ = p.seen(err)
	}
}

func leakAbandoned(p *probe) {
	p.clean(func() {
		p.corpus()
		s := p.open()
		w := p.read(s.Snapshot(p.ctx, nil), nil, func(int, connectors.Page) error { return errStop })
		p.whole("one page", w)
		for _, c := range w.changes() {
			rc, err := c.Document.Open(p.ctx)
			if p.seen(err) != nil {
				p.fatal("%q: %v", c.Ref.ID, err)
			}
			if err := rc.Close(); p.seen(err) != nil {
				p.fail("%q: closing an unread body: %v", c.Ref.ID, err)
			}
		}
	})
}

func leakFailed(p *probe) {
	p.clean(func() {
		p.corpus()
		p.want(p.fix.Site.Fail(Fault{On: OnListing, Kind: ServerError, Page: 2}), "fail a listing page")
		if w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil); w.err == nil {
			p.fail("page 2 fails at the site and the sequence has no error")
		}
	})
}
