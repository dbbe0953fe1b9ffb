package connectortest

import (
	"errors"
	"slices"
	"time"

	"tributary/connectors"
)

func errorRules() []Rule {
	return []Rule{
		{ID: "class-listing", Says: "What a listing answers has its class: 401 grant_lost, 403 scope_denied, 429 rate_limited, 5xx transient.", run: classListing},
		{ID: "class-body", Says: "What a body answers has its class: 403, 404 and 410 item_skipped, 429 rate_limited, 5xx transient.", run: classBody},
		{ID: "class-feed", Says: "What a change feed answers has the same classes as a listing.", Proves: connectors.CanChanges, run: classFeed},
		{ID: "retry-after", Says: "Retry-After is carried in the error, and the connector does not wait it out itself.", run: retryAfter},
		{ID: "error-typed", Says: "An error of a sequence is a *connectors.Error that says what was being done.", run: errorTyped},
		{ID: "cursor-expired", Says: "A cursor that the source forgot is class cursor_expired, and a fresh snapshot works.", run: cursorExpired},
	}
}

const retryIn = 17 * time.Second

// classCase is one answer of a site and the classes it may have.
type classCase struct {
	kind FaultKind
	want []connectors.Class
}

func listingCases() []classCase {
	return []classCase{
		{Unauthorized, []connectors.Class{connectors.GrantLost}},
		{Forbidden, []connectors.Class{connectors.ScopeDenied}},
		{RateLimited, []connectors.Class{connectors.RateLimited}},
		{ServerError, []connectors.Class{connectors.Transient}},
		{Unavailable, []connectors.Class{connectors.Transient}},
	}
}

func bodyCases() []classCase {
	return []classCase{
		{Unauthorized, []connectors.Class{connectors.GrantLost, connectors.ItemRefused}},
		{Forbidden, []connectors.Class{connectors.ItemRefused}},
		{NotFound, []connectors.Class{connectors.ItemRefused}},
		{Gone, []connectors.Class{connectors.ItemRefused}},
		{RateLimited, []connectors.Class{connectors.RateLimited}},
		{ServerError, []connectors.Class{connectors.Transient}},
		{Unavailable, []connectors.Class{connectors.Transient}},
	}
}

// judgeClass compares the class of err.
func (p *probe) judgeClass(where string, c classCase, err error) {
	if err == nil {
		p.fail("%s answers %s and there is no error", where, c.kind)
		return
	}
	if got := connectors.ClassOf(err); !slices.Contains(c.want, got) {
		p.fail("%s answers %s: class %s, want %v (%v)", where, c.kind, got, c.want, err)
	}
}

func classListing(p *probe) {
	p.corpus()
	judged := 0
	for _, c := range listingCases() {
		for _, k := range []int{1, 3} {
			if !p.supported(p.fix.Site.Fail(Fault{On: OnListing, Kind: c.kind, Page: k}), "fail a listing") {
				continue
			}
			judged++
			w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
			p.fix.Site.Mend()
			p.judgeClass("the listing", c, w.err)
		}
	}
	p.judged(judged, "fail a listing page")
}

// judged leaves the rule as skipped when the site could do none of the cases.
func (p *probe) judged(n int, what string) {
	if n > 0 {
		return
	}
	if p.rule.Proves != "" {
		p.fatal("the Spec claims %q, and the site cannot %s", p.rule.Proves, what)
	}
	p.skip("the site cannot %s", what)
}

func classBody(p *probe) {
	items := p.corpus()
	s := p.open()
	judged := 0
	for i, c := range bodyCases() {
		it := items[i%len(items)]
		change := p.find(p.snapshot(s), it.ID)
		fault := Fault{On: OnBody, Kind: c.kind, Name: it.Name}
		if c.kind == RateLimited {
			fault.RetryAfter = retryIn
		}
		if !p.supported(p.fix.Site.Fail(fault), "fail a body") {
			continue
		}
		judged++
		_, err := p.body(p.ctx, change)
		p.fix.Site.Mend()
		p.judgeClass("the body", c, err)
		if got := connectors.RetryAfterOf(err); c.kind == RateLimited && got != retryIn {
			p.fail("the body answers 429 with Retry-After %s and the error carries %s", retryIn, got)
		}
	}
	p.judged(judged, "fail a body")
}

func classFeed(p *probe) {
	p.corpus()
	judged := 0
	for _, c := range listingCases() {
		feed, start := p.feedStart()
		p.put("a/feed.md", string(c.kind))
		if !p.supported(p.fix.Site.Fail(Fault{On: OnFeed, Kind: c.kind}), "fail a feed") {
			continue
		}
		judged++
		w := p.read(feed.Changes(p.ctx, start), start, nil)
		p.fix.Site.Mend()
		p.judgeClass("the feed", c, w.err)
	}
	p.judged(judged, "fail a feed page")
}

func retryAfter(p *probe) {
	p.corpus()
	judged := 0
	for _, kind := range []FaultKind{RateLimited, Unavailable} {
		fault := Fault{On: OnListing, Kind: kind, Page: 2, RetryAfter: retryIn}
		if !p.supported(p.fix.Site.Fail(fault), "announce Retry-After") {
			continue
		}
		judged++
		began := time.Now()
		w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
		p.fix.Site.Mend()
		if got := connectors.RetryAfterOf(w.err); got != retryIn {
			p.fail("the listing answers %s with Retry-After %s and the error carries %s", kind, retryIn, got)
		}
		if took := time.Since(began); took > 5*time.Second {
			p.fail("the listing answers %s and the connector waits %s itself", kind, took.Round(time.Second))
		}
	}
	p.judged(judged, "announce Retry-After")
}

func errorTyped(p *probe) {
	p.corpus()
	p.want(p.fix.Site.Fail(Fault{On: OnListing, Kind: ServerError, Page: 2}), "fail a listing page")
	w := p.read(p.open().Snapshot(p.ctx, nil), nil, nil)
	e, typed := errors.AsType[*connectors.Error](w.err)
	switch {
	case w.err == nil:
		p.fail("page 2 fails at the site and the sequence has no error")
	case !typed:
		p.fail("the error is a %T without a *connectors.Error", w.err)
	case e.Op == "":
		p.fail("the error does not say what was being done: %v", w.err)
	}
}

func cursorExpired(p *probe) {
	p.corpus()
	w := p.snapshot(p.open())
	p.pagesOf(w)
	from := w.pages[1].Next
	p.want(p.fix.Site.Fail(Fault{On: OnListing, Kind: ExpiredCursor}), "forget a cursor")
	r := p.read(p.open().Snapshot(p.ctx, from), from, nil)
	if got := connectors.ClassOf(r.err); got != connectors.CursorExpired {
		p.fail("an expired cursor: class %s, want %s (%v)", got, connectors.CursorExpired, r.err)
	}
	if r.complete() || len(r.changes()) > 0 {
		p.fail("an expired cursor yields %d changes, complete %t", len(r.changes()), r.complete())
	}
	p.sameAsTruth("a fresh snapshot after the expiry", p.modelOf(p.snapshot(p.open())))
}
