package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"tributary/connectors"
	"tributary/store"
)

// syncer advances one run with one session, for one slice.
type syncer struct {
	r       *Runner
	run     store.Run
	conn    store.Connection
	session connectors.Session
	spec    connectors.Spec
	realm   int64
	// begun is when the slice began, deadline when it ends at the latest, and
	// quietAt when its run has to keep quiet; zero is never.
	begun    time.Time
	deadline time.Time
	quietAt  time.Time
	locals   []localProfile
	remotes  []int16
	limits   store.RunLimits
	// processors bounds the documents that are worked on once they are there;
	// nil is without bound.
	processors *semaphore.Weighted
}

// pumped says how far a sequence was read and committed.
type pumped struct {
	// ended is true when the sequence came to its own end.
	ended    bool
	complete bool
	last     connectors.Cursor
	progress bool
	err      error
}

// pageTask is an accepted page on its way to the commit.
type pageTask struct {
	page  connectors.Page
	items []*item
	// excluded is how many items the page named that are not ingested.
	excluded int64
	guard    store.Guard
}

// item is one change on its way. started is closed when the bytes that it may
// hold are granted, done when it is processed.
type item struct {
	change connectors.Change
	known  store.KnownDocument
	open   bool
	// byID is true for an item that is listed by its id alone: whoever opens it
	// asks for the rest of the change first.
	byID    bool
	rests   bool
	weight  int64
	started chan struct{}
	done    chan struct{}
	result  result
}

// pump reads pages from seq and commits them in order. Reading, processing and
// committing overlap: the reader may be a page ahead, and documents hold at
// most Config.BytesInFlight bytes between download and commit. A page is read
// from the source only after the one before it was accepted.
func (s *syncer) pump(ctx context.Context, seq iter.Seq2[connectors.Page, error], from connectors.Cursor) pumped {
	return s.newPump(from).run(ctx, seq, from)
}

func (s *syncer) newPump(from connectors.Cursor) *pump {
	s.processors = semaphore.NewWeighted(int64(s.r.cfg.Parallel))
	return &pump{
		s: s, budget: semaphore.NewWeighted(s.r.cfg.BytesInFlight), guard: s.newGuard(from), losses: s.newLosses(),
		pages: make(chan *pageTask, 1), work: make(chan *item),
	}
}

func (p *pump) run(ctx context.Context, seq iter.Seq2[connectors.Page, error], from connectors.Cursor) pumped {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range p.s.r.cfg.Downloads {
		wg.Go(func() { p.process(ctx) })
	}
	var read pumped
	wg.Go(func() {
		defer close(p.work)
		defer close(p.pages)
		defer func() {
			if v := recover(); v != nil {
				read = pumped{err: bug("panic in the connector: %v", v)}
			}
		}()
		read = p.read(ctx, seq, from)
	})
	progress, complete, err := p.commit(ctx)
	if err != nil {
		cancel(err)
		// Unblocks the reader and the downloads, which see the cancelled
		// context at their next step.
		for range p.pages {
		}
	}
	wg.Wait()
	if errors.Is(err, errTurnOver) || errors.Is(read.err, errTurnOver) {
		return pumped{last: from, progress: true}
	}
	read.progress, read.complete = progress, complete
	if err != nil {
		read.ended, read.err = false, err
	}
	return read
}

// pump is the state shared by the reader, the processors and the committer.
type pump struct {
	s      *syncer
	budget *semaphore.Weighted
	// guard is the reader's, losses the committer's.
	guard  *guard
	losses *losses
	// aside is true for items outside a listing: the cursor stays. counted are
	// those that stand in the run's counts as quarantined.
	aside   bool
	counted map[string]int64
	// leaving is set when the slice hands over in the middle of a page: what has
	// begun is committed, and nothing more begins.
	leaving atomic.Bool
	pages   chan *pageTask
	work    chan *item
}

// read pulls pages until the sequence ends, fails, or the slice is over. It
// hands a page to the committer before it starts the page's items, so that the
// committer can make room for them.
func (p *pump) read(ctx context.Context, seq iter.Seq2[connectors.Page, error], from connectors.Cursor) pumped {
	out := pumped{last: from}
	for page, err := range seq {
		if err != nil {
			out.err = err
			return out
		}
		task, limit, err := p.take(ctx, page)
		if err != nil {
			out.err = err
			return out
		}
		select {
		case p.pages <- task:
		case <-ctx.Done():
			out.err = context.Cause(ctx)
			return out
		}
		if out.err = p.dispatch(ctx, task); out.err != nil {
			return out
		}
		out.last = page.Next
		if out.err = limit; limit != nil {
			return out
		}
		if !page.Complete && p.s.over(ctx) {
			return out
		}
	}
	if out.err = ctx.Err(); out.err == nil {
		out.ended = true
	}
	return out
}

// take checks a page and plans it. limit is an error that ends the run behind
// the page.
func (p *pump) take(ctx context.Context, page connectors.Page) (task *pageTask, limit, err error) {
	if !p.aside {
		if err := p.guard.loops(page); err != nil {
			return nil, nil, err
		}
		limit = p.guard.spend(page)
	}
	if task, err = p.s.plan(ctx, page); err != nil {
		return nil, nil, err
	}
	task.guard = p.guard.Guard
	return task, limit, nil
}

func (p *pump) dispatch(ctx context.Context, task *pageTask) error {
	for _, it := range task.items {
		if !it.open {
			continue
		}
		if err := p.budget.Acquire(ctx, it.weight); err != nil {
			return context.Cause(ctx)
		}
		if p.leaving.Load() {
			return errTurnOver
		}
		close(it.started)
		select {
		case p.work <- it:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (p *pump) process(ctx context.Context) {
	for it := range p.work {
		it.result = p.s.processItem(ctx, it)
		close(it.done)
	}
}

// commit writes the pages in order. It reports whether any page was finished,
// and whether the last one said that the listing is complete.
func (p *pump) commit(ctx context.Context) (progress, complete bool, err error) {
	for task := range p.pages {
		if err := p.commitPage(ctx, task); err != nil {
			return progress, complete, err
		}
		progress, complete = true, task.page.Complete
	}
	return progress, complete, nil
}

func (p *pump) commitPage(ctx context.Context, task *pageTask) error {
	b := p.newBuffer()
	for _, it := range task.items {
		if it.open {
			if p.leaving.Load() && !it.begun() {
				return p.leave(ctx, b)
			}
			if err := p.await(ctx, b, it); err != nil {
				return err
			}
		}
		if b.holds(it.change.Ref.ID) || b.full() {
			if err := b.flush(ctx, nil); err != nil {
				return err
			}
		}
		if err := b.add(it); err != nil {
			return err
		}
		if err := p.losses.take(it, task.guard.Items); err != nil && !p.aside {
			return p.give(ctx, b, err)
		}
		it.result = result{}
		if p.leaves(ctx, b) {
			p.leaving.Store(true)
		}
	}
	if p.aside {
		return b.flush(ctx, nil)
	}
	b.skip(task.page, task.excluded)
	if err := b.flush(ctx, &store.PageEnd{Next: task.page.Next, Blocked: task.page.Blocked, Containers: task.page.Containers, Complete: task.page.Complete, Guard: p.losses.count(task.guard)}); err != nil {
		return err
	}
	return p.losses.spent(task.page)
}

// give ends the run by its error budget. What failed is counted as tried, if
// the run does not try it again itself.
func (p *pump) give(ctx context.Context, b *buffer, err error) error {
	if g := guardOf(err); g != nil && g.final {
		return errors.Join(b.flush(ctx, nil), err)
	}
	return err
}

// roomPatience is how long an item may wait for room before the buffer, which
// may be what holds it, is committed.
const roomPatience = 20 * time.Millisecond

// await waits for an item.
func (p *pump) await(ctx context.Context, b *buffer, it *item) error {
	if b.weight > 0 {
		patience := time.NewTimer(roomPatience)
		defer patience.Stop()
		select {
		case <-it.started:
		case <-patience.C:
			if err := b.flush(ctx, nil); err != nil {
				return err
			}
		}
	}
	select {
	case <-it.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// weightOf is what a document may hold in memory while it is in flight.
func (s *syncer) weightOf(d *connectors.Document) int64 {
	const least, unknown = 16 << 10, 1 << 20
	size := int64(unknown)
	if d != nil && d.Size >= 0 {
		size = d.Size
	}
	return min(max(size, least), s.r.cfg.BytesInFlight)
}

func bug(format string, args ...any) error {
	return &connectors.Error{Op: "syncing", Class: connectors.Bug, Err: fmt.Errorf(format, args...)}
}

var errNoDocument = errors.New("an upsert without a document")
