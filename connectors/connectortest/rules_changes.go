package connectortest

import (
	"fmt"

	"tributary/connectors"
)

func changeRules() []Rule {
	feed := connectors.CanChanges
	return []Rule{
		{ID: "feed-truth", Says: "A snapshot and the changes since its start are what the site holds: created, edited, deleted, moved, shared.", Proves: feed, run: feedTruth},
		{ID: "feed-overlap", Says: "What happened during a snapshot is in the changes since the position taken before it.", Proves: feed, run: feedOverlap},
		{ID: "feed-acl", Says: "After the changes no document's ACL is wider than the site's.", Proves: feed, run: feedACL},
		{ID: "feed-quiet", Says: "A feed that was read to its end brings nothing new of a quiet site, and ends.", Proves: feed, run: feedQuiet},
		{ID: "feed-resume", Says: "A feed killed after any page continues in a fresh session to the same final set.", Proves: feed, run: feedResume},
		{ID: "feed-cursor", Says: "The feed's cursor is JSON, moves with every page, and is never empty.", Proves: feed, run: feedCursor},
		{ID: "feed-complete", Says: "A page of changes never says Complete: a feed is no listing.", Proves: feed, run: feedComplete},
		{ID: "feed-expired", Says: "A position that the source forgot is class cursor_expired, and a new start works.", Proves: feed, run: feedExpired},
	}
}

// feedStart opens a session and takes the feed's position.
func (p *probe) feedStart() (connectors.ChangeFeed, connectors.Cursor) {
	f := p.feed()
	start, err := f.Start(p.ctx)
	if p.seen(err) != nil {
		p.fatal("taking the feed's position: %v", err)
	}
	return f, start
}

func (p *probe) feed() connectors.ChangeFeed {
	f, ok := p.open().(connectors.ChangeFeed)
	if !ok {
		p.fatal("the Spec claims %q and the session does not implement it", connectors.CanChanges)
	}
	return f
}

// mutate does everything that can happen to items, and needs eight of them.
func (p *probe) mutate(items []Item) {
	p.put("b/new.md", "first")
	p.put(items[0].Name, "second")
	p.put(items[5].Name, "tsrif")
	p.must(p.fix.Site.Delete(items[3].ID), "delete an item")
	_, err := p.fix.Site.Move(items[4].ID, "c/moved.md")
	p.supported(err, "move an item")
	p.supported(p.fix.Site.Share(items[6].ID, ForAll), "share an item")
	p.supported(p.fix.Site.Share(items[7].ID, ForOne), "share an item")
	gone := p.put("b/short-lived.md", "first")
	p.must(p.fix.Site.Delete(gone.ID), "delete an item")
}

// follow applies the changes since from and returns the walk.
func (p *probe) follow(m model, from connectors.Cursor) walk {
	w := p.read(p.feed().Changes(p.ctx, from), from, func(_ int, page connectors.Page) error {
		p.apply(m, page)
		return nil
	})
	p.whole("changes", w)
	return w
}

func feedTruth(p *probe) {
	items := p.corpus()
	_, start := p.feedStart()
	m := p.modelOf(p.snapshot(p.open()))
	p.mutate(items)
	w := p.follow(m, start)
	p.sameAsTruth("snapshot and changes", m)
	p.must(p.fix.Site.Delete(items[8].ID), "delete an item")
	p.put(items[9].Name, "third")
	p.follow(m, w.last())
	p.sameAsTruth("changes of changes", m)
}

func feedOverlap(p *probe) {
	items := p.corpus()
	_, start := p.feedStart()
	m := model{}
	w := p.read(p.open().Snapshot(p.ctx, nil), nil, func(n int, page connectors.Page) error {
		p.apply(m, page)
		if n == 2 {
			p.mutate(items)
		}
		return nil
	})
	p.whole("snapshot", w)
	p.follow(m, start)
	p.sameAsTruth("snapshot and what happened meanwhile", m)
}

func feedACL(p *probe) {
	items := p.corpus()
	unknown := p.shareAll(items)
	_, start := p.feedStart()
	m := p.modelOf(p.snapshot(p.open()))
	for i, it := range items {
		with := []Audience{ForOne, ForAll}[i%2]
		p.want(p.fix.Site.Share(it.ID, with), "share an item")
		delete(unknown, it.ID)
	}
	p.follow(m, start)
	for person, circle := range p.circles(p.open()) {
		for id, d := range m {
			ours, theirs := circle.reads(d.acl), p.fix.Site.CanRead(person, id)
			if ours != theirs {
				p.fail("%q: by the changes %s reads it: %t, at the site: %t (%s)", id, person.ID, ours, theirs, aclKey(d.acl))
			}
		}
	}
}

// feedQuiet lets a feed repeat itself, as one with an overlap of time does, but
// not bring anything that was not there.
func feedQuiet(p *probe) {
	items := p.corpus()
	_, start := p.feedStart()
	m := p.modelOf(p.snapshot(p.open()))
	p.mutate(items)
	end := p.follow(m, start).last()
	w := p.read(p.feed().Changes(p.ctx, end), end, nil)
	p.whole("changes of a quiet site", w)
	for _, c := range w.changes() {
		d, had := m[c.Ref.ID]
		news := had
		switch c.Op {
		case connectors.Upsert:
			news = !had || d.revision != c.Ref.Revision || aclKey(d.acl) != aclKey(c.ACL)
		case connectors.SetACL:
			news = had && aclKey(d.acl) != aclKey(c.ACL)
		case connectors.Delete:
		}
		if news {
			p.fail("nothing happened and the feed has news: %s %q", c.Op, c.Ref.ID)
		}
	}
}

// busyFeed edits every item after taking a position, so that the changes span
// pages. It returns the position and the changes.
func (p *probe) busyFeed() (connectors.Cursor, walk) {
	items := p.corpus()
	_, start := p.feedStart()
	for _, it := range items {
		p.put(it.Name, "second")
	}
	p.must(p.fix.Site.Delete(items[2].ID), "delete an item")
	changes := p.follow(model{}, start)
	if len(changes.pages) < 2 {
		p.fatal("the harness: %d edits make %d pages of changes, and the rule needs 2", len(items), len(changes.pages))
	}
	return start, changes
}

func feedResume(p *probe) {
	start, changes := p.busyFeed()
	for k := 1; k <= len(changes.pages); k++ {
		m := model{}
		s, end := p.openEnv(p.env())
		f, ok := s.(connectors.ChangeFeed)
		if !ok {
			p.fatal("the session does not implement %q", connectors.CanChanges)
		}
		first := p.read(f.Changes(p.ctx, start), start, func(n int, page connectors.Page) error {
			p.apply(m, page)
			if n == k {
				return errStop
			}
			return nil
		})
		end()
		p.whole("the first part of the changes", first)
		second := p.follow(m, first.last())
		p.sameAsTruth(fmt.Sprintf("killed after page %d of the changes", k), m)
		if n := len(first.changes()); n > 0 && overlap(first, second) == n {
			p.fail("killed after page %d: the feed starts over", k)
		}
	}
}

func feedCursor(p *probe) {
	start, _ := p.busyFeed()
	if start.IsZero() {
		p.fail("Start returns the zero cursor")
	}
	back, err := restored(start)
	if err != nil {
		p.fatal("the position %q is not JSON: %v", start, err)
	}
	w := p.read(p.feed().Changes(p.ctx, back), back, nil)
	p.whole("changes since a stored position", w)
	for i, page := range w.pages {
		if page.Next.IsZero() {
			p.fail("page %d: no Next", i+1)
		}
		if _, err := restored(page.Next); err != nil {
			p.fail("page %d: the cursor %q is not JSON: %v", i+1, page.Next, err)
		}
	}
	if len(w.changes()) == 0 {
		p.fail("changes since a stored position are empty")
	}
}

func feedComplete(p *probe) {
	_, changes := p.busyFeed()
	for i, page := range changes.pages {
		if page.Complete {
			p.fail("page %d of the changes says Complete", i+1)
		}
	}
}

func feedExpired(p *probe) {
	items := p.corpus()
	_, start := p.feedStart()
	p.need(p.fix.Site.Fail(Fault{On: OnFeed, Kind: ExpiredCursor}), "forget a feed position")
	w := p.read(p.feed().Changes(p.ctx, start), start, nil)
	if got := connectors.ClassOf(w.err); got != connectors.CursorExpired {
		p.fail("an expired position: class %s, want %s (%v)", got, connectors.CursorExpired, w.err)
	}
	if len(w.changes()) > 0 {
		p.fail("an expired position yields %d changes", len(w.changes()))
	}
	_, again := p.feedStart()
	m := p.modelOf(p.snapshot(p.open()))
	p.mutate(items)
	p.follow(m, again)
	p.sameAsTruth("a new start after the expiry", m)
}
