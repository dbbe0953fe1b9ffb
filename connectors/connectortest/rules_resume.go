package connectortest

import (
	"fmt"

	"tributary/connectors"
)

func resumeRules() []Rule {
	return []Rule{
		{ID: "resume-pages", Says: "A snapshot killed after any page continues in a fresh session to the same final set.", run: resumePages},
		{ID: "resume-complete", Says: "A snapshot that was continued says Complete at its end.", run: resumeComplete},
		{ID: "resume-end", Says: "Continuing behind the last page ends in good order and brings nothing that is not at the site.", run: resumeEnd},
		{ID: "resume-faults", Says: "Whatever page fails once, continuing from the last committed cursor reaches the same final set.", run: resumeFaults},
	}
}

// twoParts reads and applies k pages, throws the session away, and does the
// rest from the last cursor in another session.
func (p *probe) twoParts(k int) (walk, walk, model) {
	m := model{}
	s, end := p.openEnv(p.env())
	first := p.read(s.Snapshot(p.ctx, nil), nil, func(n int, page connectors.Page) error {
		p.apply(m, page)
		if n == k {
			return errStop
		}
		return nil
	})
	end()
	p.whole("the first part", first)
	second := p.read(p.open().Snapshot(p.ctx, first.last()), first.last(), func(_ int, page connectors.Page) error {
		p.apply(m, page)
		return nil
	})
	p.whole("the second part", second)
	return first, second, m
}

func resumePages(p *probe) {
	p.corpus()
	n := p.pagesOf(p.snapshot(p.open()))
	for k := 1; k <= n; k++ {
		first, second, m := p.twoParts(k)
		p.sameAsTruth(fmt.Sprintf("killed after page %d", k), m)
		if all := len(first.changes()); k < n && all > 0 && overlap(first, second) == all {
			p.fail("killed after page %d: the second part starts over", k)
		}
	}
}

// overlap counts the changes of first that second repeats.
func overlap(first, second walk) int {
	again := map[connectors.ItemRef]bool{}
	for _, c := range second.changes() {
		again[c.Ref] = true
	}
	n := 0
	for _, c := range first.changes() {
		if again[c.Ref] {
			n++
		}
	}
	return n
}

func resumeComplete(p *probe) {
	p.corpus()
	n := p.pagesOf(p.snapshot(p.open()))
	for k := 1; k < n; k++ {
		if _, second, _ := p.twoParts(k); !second.complete() {
			p.fail("killed after page %d: the rest does not say Complete", k)
		}
	}
}

func resumeEnd(p *probe) {
	p.corpus()
	w := p.snapshot(p.open())
	r := p.read(p.open().Snapshot(p.ctx, w.last()), w.last(), nil)
	p.whole("continuing behind the end", r)
	truth := p.truth()
	for _, c := range r.changes() {
		if _, ok := truth[c.Ref.ID]; !ok {
			p.fail("%q is not at the site", c.Ref.ID)
		}
	}
}

func resumeFaults(p *probe) {
	p.corpus()
	n := p.pagesOf(p.snapshot(p.open()))
	judged := 0
	for _, kind := range []FaultKind{ServerError, RateLimited} {
		for k := 1; k <= n; k++ {
			fault := Fault{On: OnListing, Kind: kind, Page: k, Times: 1}
			if !p.supported(p.fix.Site.Fail(fault), "fail a listing page") {
				break
			}
			judged++
			m, done := model{}, false
			var from connectors.Cursor
			for range 3 {
				w := p.read(p.open().Snapshot(p.ctx, from), from, func(_ int, page connectors.Page) error {
					p.apply(m, page)
					return nil
				})
				from = w.last()
				if w.broken != "" {
					p.fail("%s on page %d: %s", kind, k, w.broken)
					break
				}
				if w.err == nil {
					done = w.complete()
					break
				}
			}
			p.fix.Site.Mend()
			if !done {
				p.fail("%s once on page %d: no attempt after it completes", kind, k)
			}
			p.sameAsTruth(string(kind)+" once", m)
		}
	}
	p.judged(judged, "fail a listing page")
}
