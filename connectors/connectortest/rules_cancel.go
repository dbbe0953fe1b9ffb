package connectortest

import (
	"context"
	"errors"
	"time"

	"tributary/connectors"
)

func cancelRules() []Rule {
	return []Rule{
		{ID: "cancel-between", Says: "A context that is cancelled between pages ends the sequence with its error, before another page.", run: cancelBetween},
		{ID: "cancel-before", Says: "A context that is cancelled already lets nothing through.", run: cancelBefore},
		{ID: "cancel-listing", Says: "A cancelled context ends a listing that waits for the site within a second, with the context's error.", run: cancelListing},
		{ID: "cancel-body", Says: "A cancelled context ends a body that waits for the site within a second, with the context's error.", run: cancelBody},
	}
}

const promptly = time.Second

func cancelBetween(p *probe) {
	p.corpus()
	p.pagesOf(p.snapshot(p.open()))
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	w := p.read(p.open().Snapshot(ctx, nil), nil, func(int, connectors.Page) error {
		cancel()
		return nil
	})
	if !errors.Is(w.err, context.Canceled) {
		p.fail("cancelled after page 1: error %v", w.err)
	}
	if len(w.pages) != 1 {
		p.fail("cancelled after page 1: %d pages came", len(w.pages))
	}
}

func cancelBefore(p *probe) {
	p.corpus()
	ctx, cancel := context.WithCancel(p.ctx)
	s := p.open()
	cancel()
	w := p.read(s.Snapshot(ctx, nil), nil, nil)
	if !errors.Is(w.err, context.Canceled) || len(w.pages) > 0 {
		p.fail("cancelled before the start: %d pages, error %v", len(w.pages), w.err)
	}
}

// held calls fn with a context that is cancelled while fn waits, and judges how
// fast and with what fn returns.
func (p *probe) held(what string, fn func(ctx context.Context) error) {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		defer p.recovered()
		done <- fn(ctx)
	}()
	const into = 100 * time.Millisecond
	timer := time.AfterFunc(into, cancel)
	defer timer.Stop()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			p.fail("%s, cancelled: error %v", what, err)
		}
	case <-time.After(into + promptly):
		p.fail("%s, cancelled: it has not returned after %s", what, promptly)
		p.fix.Site.Mend()
		if err := <-done; err != nil {
			p.tb.Logf("%s: %v", what, err)
		}
	}
}

func cancelListing(p *probe) {
	p.corpus()
	for _, page := range []int{1, 2} {
		s := p.open()
		p.want(p.fix.Site.Fail(Fault{On: OnListing, Kind: Slow, Page: page}), "hold a listing page")
		p.held("a listing page is slow", func(ctx context.Context) error {
			w := p.read(s.Snapshot(ctx, nil), nil, nil)
			if w.complete() {
				p.fail("a cancelled listing says Complete")
			}
			return w.err
		})
		p.fix.Site.Mend()
	}
}

func cancelBody(p *probe) {
	items := p.corpus()
	s := p.open()
	c := p.find(p.snapshot(s), items[1].ID)
	p.want(p.fix.Site.Fail(Fault{On: OnBody, Kind: Slow, Name: items[1].Name}), "hold a body")
	p.held("a body is slow", func(ctx context.Context) error {
		_, err := p.body(ctx, c)
		return err
	})
}
