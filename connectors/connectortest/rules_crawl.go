package connectortest

import (
	"fmt"
	"slices"

	"tributary/connectors"
)

func crawlRules() []Rule {
	return []Rule{
		{ID: "crawl-truth", Says: "A full snapshot holds exactly what the site holds, texts included.", run: crawlTruth},
		{ID: "crawl-shape", Says: "A snapshot yields upserts that are whole: id, revision, a document that opens; skips and blocks with a reason.", run: crawlShape},
		{ID: "crawl-once", Says: "A snapshot of a quiet site lists each item once.", run: crawlOnce},
		{ID: "complete-end", Says: "Complete is said by the last page of a whole listing, and by no other.", run: completeEnd},
		{ID: "complete-failed", Says: "A listing that failed on any page ends with the error and never says Complete.", run: completeFailed},
		{ID: "error-ends", Says: "A sequence ends after its first error.", run: errorEnds},
		{ID: "stop-honoured", Says: "A sequence stops when its consumer does.", run: stopHonoured},
		{ID: "replay-same", Says: "Same cursor, same source: same changes, so a page can be applied twice.", run: replaySame},
	}
}

func crawlTruth(p *probe) {
	p.corpus()
	w := p.snapshot(p.open())
	p.pagesOf(w)
	p.sameAsTruth("snapshot", p.modelOf(w))
	for _, page := range w.pages {
		for _, s := range page.Skipped {
			if _, ok := p.truth()[s.Ref.ID]; ok {
				p.fail("%q is skipped (%s) and the site has it as a document", s.Ref.ID, s.Reason)
			}
		}
	}
}

func crawlShape(p *probe) {
	p.corpus()
	for i, page := range p.snapshot(p.open()).pages {
		for _, c := range page.Changes {
			if problem := shapeOf(c); problem != "" {
				p.fail("page %d, %q: %s", i+1, c.Ref.ID, problem)
			}
		}
		for _, s := range page.Skipped {
			if s.Ref.ID == "" || s.Reason == "" {
				p.fail("page %d: a skip without id or reason: %+v", i+1, s)
			}
		}
		for _, b := range page.Blocked {
			if b.ID == "" || b.Reason == "" {
				p.fail("page %d: a blocked container without id or reason: %+v", i+1, b)
			}
		}
	}
}

func shapeOf(c connectors.Change) string {
	switch {
	case c.Op != connectors.Upsert:
		return "a snapshot yields " + c.Op.String()
	case c.Ref.ID == "":
		return "no id"
	case c.Ref.Revision == "":
		return "no revision"
	case c.Document == nil:
		return "no document"
	case c.Document.Open == nil:
		return "a document that does not open"
	case c.Document.Title == "" && c.Document.Path == "":
		return "neither title nor path"
	default:
		return ""
	}
}

func crawlOnce(p *probe) {
	p.corpus()
	count := map[string]int{}
	for _, c := range p.snapshot(p.open()).changes() {
		count[c.Ref.ID]++
	}
	for id, n := range count {
		if n > 1 {
			p.fail("%q is listed %d times", id, n)
		}
	}
}

func completeEnd(p *probe) {
	p.corpus()
	w := p.snapshot(p.open())
	for i, page := range w.pages {
		isLast := i == len(w.pages)-1
		if page.Complete && !isLast {
			p.fail("page %d of %d says Complete", i+1, len(w.pages))
		}
		if !page.Complete && isLast {
			p.fail("the last page does not say Complete")
		}
	}
	if len(w.pages) == 0 {
		p.fail("a whole snapshot has no page")
	}
}

func completeFailed(p *probe) {
	p.corpus()
	n := p.pagesOf(p.snapshot(p.open()))
	for k := 1; k <= n; k++ {
		p.want(p.fix.Site.Fail(Fault{On: OnListing, Kind: ServerError, Page: k}), "fail a listing page")
		w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
		p.fix.Site.Mend()
		if w.err == nil {
			p.fail("page %d fails at the site and the sequence ends without an error", k)
		}
		if w.complete() {
			p.fail("page %d fails at the site and the sequence says Complete", k)
		}
	}
}

func errorEnds(p *probe) {
	p.corpus()
	p.want(p.fix.Site.Fail(Fault{On: OnListing, Kind: ServerError, Page: 2, Times: 1}), "fail a listing page")
	w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
	if w.err == nil {
		p.fatal("page 2 fails at the site and the sequence has no error")
	}
	if w.broken != "" {
		p.fail("%s", w.broken)
	}
}

func stopHonoured(p *probe) {
	p.corpus()
	n := p.pagesOf(p.snapshot(p.open()))
	for k := 1; k <= n; k++ {
		if problem := stopAt(p, k); problem != "" {
			p.fail("stopping at page %d: %s", k, problem)
		}
	}
}

// stopAt drives the sequence by hand: the runtime's own check of a range loop
// would panic where the rule has something to say.
func stopAt(p *probe, k int) string {
	problem := ""
	s, end := p.openEnv(p.env())
	defer end()
	n := 0
	s.Snapshot(p.ctx, nil)(func(_ connectors.Page, err error) bool {
		n++
		if n > k {
			problem = "it yields again after yield returned false"
		} else if p.seen(err) != nil {
			problem = fmt.Sprintf("error %v", err)
		}
		return n < k
	})
	return problem
}

func replaySame(p *probe) {
	p.corpus()
	w := p.snapshot(p.open())
	p.pagesOf(w)
	for i, page := range w.pages {
		var again connectors.Page
		r := p.read(p.open().Snapshot(p.ctx, w.at(i)), w.at(i), func(_ int, pg connectors.Page) error {
			again = pg
			return errStop
		})
		p.whole("reading a page again", r)
		if len(r.pages) == 0 || !slices.Equal(outlines(again), outlines(page)) {
			p.fail("page %d read again differs: %v, before %v", i+1, outlines(again), outlines(page))
		}
	}
}

// outlines returns what makes changes the same, without bodies.
func outlines(page connectors.Page) []string {
	var all []string
	for _, c := range page.Changes {
		all = append(all, fmt.Sprintf("%s %s@%s %v", c.Op, c.Ref.ID, c.Ref.Revision, aclKey(c.ACL)))
	}
	return all
}
