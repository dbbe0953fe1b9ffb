package connectortest

import (
	"io"
	"strings"
	"sync"

	"tributary/connectors"
)

func bodyRules() []Rule {
	return []Rule{
		{ID: "body-lazy", Says: "Listing opens no body: an unchanged revision costs no download.", run: bodyLazy},
		{ID: "body-concurrent", Says: "Bodies open concurrently, after the sequence has ended, and do not mix.", run: bodyConcurrent},
		{ID: "body-truncated", Says: "A body that was cut short is an error from Open or Read, never short data with io.EOF.", run: bodyTruncated},
		{ID: "revision-moves", Says: "Revision changes when the text does, also at the same length.", run: revisionMoves},
		{ID: "revision-stable", Says: "Revision stays while the text and everything about it stays.", run: revisionStable},
	}
}

func bodyLazy(p *probe) {
	p.corpus()
	before, err := p.fix.Site.BodyOpens()
	p.want(err, "count the bodies it served")
	p.snapshot(p.open())
	after, err := p.fix.Site.BodyOpens()
	p.want(err, "count the bodies it served")
	if after != before {
		p.fail("listing alone opened %d bodies", after-before)
	}
}

// bodyConcurrent opens every body first, then reads them all at once, a few
// bytes at a time.
func bodyConcurrent(p *probe) {
	p.corpus()
	w := p.snapshot(p.open())
	truth := p.truth()
	var wg sync.WaitGroup
	opened := sync.WaitGroup{}
	opened.Add(len(w.changes()))
	for _, c := range w.changes() {
		wg.Go(func() {
			defer p.recovered()
			rc, err := c.Document.Open(p.ctx)
			opened.Done()
			if p.seen(err) != nil {
				p.fail("%q: %v", c.Ref.ID, err)
				return
			}
			opened.Wait()
			text, err := readSlowly(rc)
			if p.seen(err) != nil {
				p.fail("%q: %v", c.Ref.ID, err)
			}
			if !p.sameText(text, truth[c.Ref.ID].Text) {
				p.fail("%q: opened beside others, the text is %.60q", c.Ref.ID, text)
			}
		})
	}
	wg.Wait()
}

func readSlowly(rc io.ReadCloser) (string, error) {
	var b strings.Builder
	_, err := io.CopyBuffer(&b, struct{ io.Reader }{rc}, make([]byte, 3))
	if closeErr := rc.Close(); err == nil {
		err = closeErr
	}
	return b.String(), err
}

func bodyTruncated(p *probe) {
	items := p.corpus()
	target := items[len(items)/2]
	p.want(p.fix.Site.Fail(Fault{On: OnBody, Kind: Truncated, Name: target.Name}), "cut a body short")
	for _, c := range p.snapshot(p.open()).changes() {
		text, err := p.body(p.ctx, c)
		if c.Ref.ID == target.ID && err == nil {
			p.fail("%q is cut short and reads as %.60q without an error", c.Ref.ID, text)
		}
		if c.Ref.ID != target.ID && err != nil {
			p.fail("%q is whole and fails: %v", c.Ref.ID, err)
		}
	}
}

func revisionsOf(w walk) map[string]string {
	m := map[string]string{}
	for _, c := range w.changes() {
		m[c.Ref.ID] = c.Ref.Revision
	}
	return m
}

func revisionMoves(p *probe) {
	items := p.corpus()
	before := revisionsOf(p.snapshot(p.open()))
	same, longer := items[0], items[1]
	for _, edit := range []struct {
		item    Item
		version string
	}{{same, "tsrif"}, {longer, "second and longer"}} {
		p.put(edit.item.Name, edit.version)
	}
	w := p.snapshot(p.open())
	after := revisionsOf(w)
	for _, it := range []Item{same, longer} {
		if before[it.ID] == after[it.ID] {
			p.fail("%q: the text changed and the revision is still %q", it.ID, after[it.ID])
		}
	}
	p.sameAsTruth("after an edit", p.modelOf(w))
}

func revisionStable(p *probe) {
	p.corpus()
	before := revisionsOf(p.snapshot(p.open()))
	w := p.snapshot(p.open())
	p.modelOf(w)
	for id, rev := range revisionsOf(p.snapshot(p.open())) {
		if before[id] != rev {
			p.fail("%q: nothing changed and the revision went from %q to %q", id, before[id], rev)
		}
	}
	if len(before) == 0 {
		p.fail("the snapshot is empty")
	}
	if len(w.changes()) != len(before) {
		p.fail("a second snapshot lists %d changes, the first %d", len(w.changes()), len(before))
	}
}

// find returns the change of the item with id, and leaves the rule if w has
// none.
func (p *probe) find(w walk, id string) connectors.Change {
	for _, c := range w.changes() {
		if c.Ref.ID == id {
			return c
		}
	}
	p.fatal("%q is at the site and not in the listing", id)
	return connectors.Change{}
}
