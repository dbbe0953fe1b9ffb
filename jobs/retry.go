package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"tributary/connectors"
	"tributary/store"
)

// Bounds of the items that a run tries again by fetching them.
const (
	// A run tries again freeRetries items, and one more for every retryShare
	// that it was given.
	freeRetries = 100
	retryShare  = 10
	retryPage   = 50
	// retryPause is how long what failed in this run rests before it is tried
	// again.
	retryPause = time.Second
)

// concludeAfterRetries concludes a listing once the items that failed in it
// had another chance.
func (s *syncer) concludeAfterRetries(ctx context.Context, p pumped) sliceEnd {
	if p.err == nil && p.ended {
		if err := s.retryItems(ctx); err != nil {
			return sliceEnd{err: err, progress: p.progress}
		}
	}
	return s.conclude(ctx, p)
}

// retryItems tries quarantined items again, one by one, where the source can
// give single items. Those that fail again stay as they are: an item's attempts
// count once in a run.
func (s *syncer) retryItems(ctx context.Context) error {
	fetcher, ok := s.session.(connectors.Fetcher)
	if !ok || !s.spec.Has(connectors.CanFetch) {
		return nil
	}
	run, err := s.r.store.Run(ctx, s.run.ID)
	if err != nil {
		return err
	}
	due, err := s.r.store.RetriesDue(ctx, run, maxItemAttempts, freeRetries+int(min(run.Counts.Listed, 1<<30))/retryShare)
	if err != nil || len(due) == 0 {
		return err
	}
	p := s.newPump(nil)
	p.aside, p.counted = true, map[string]int64{}
	for _, r := range due {
		if r.Here {
			p.counted[r.ExternalID] = 1
		}
	}
	if len(p.counted) > 0 && !pause(ctx, time.Duration(float64(retryPause)*(0.75+rand.Float64()/2))) { //nolint:gosec // jitter
		return context.Cause(ctx)
	}
	return p.run(ctx, s.fetchAll(ctx, fetcher, due), nil).err
}

// fetchAll yields pages of the items as the source has them.
func (s *syncer) fetchAll(ctx context.Context, from connectors.Fetcher, due []store.Retry) iter.Seq2[connectors.Page, error] {
	return func(yield func(connectors.Page, error) bool) {
		for part := range slices.Chunk(due, retryPage) {
			if s.over(ctx) {
				return
			}
			var page connectors.Page
			for _, r := range part {
				c, err := fetchOne(ctx, from, r)
				if err != nil {
					yield(connectors.Page{}, err)
					return
				}
				page.Changes = append(page.Changes, c)
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// fetchOne reads one item again. A failure that is the item's becomes that of
// its body; any other is returned.
func fetchOne(ctx context.Context, from connectors.Fetcher, r store.Retry) (connectors.Change, error) {
	c, err := from.Fetch(ctx, r.ExternalID)
	if err != nil {
		if openFailure(ctx, err).kind == resultFatal {
			return c, err
		}
		return connectors.Change{
			Op: connectors.Upsert, Ref: connectors.ItemRef{ID: r.ExternalID, Revision: r.SourceRevision},
			Document: &connectors.Document{Path: r.Path, Open: func(context.Context) (io.ReadCloser, error) { return nil, err }},
		}, nil
	}
	if c.Ref.ID != r.ExternalID || c.Op != connectors.Upsert || c.Document == nil {
		return c, &connectors.Error{Op: "fetching an item", Class: connectors.Bug, Err: fmt.Errorf("asked for %.100q: %w", r.ExternalID, errOtherItem)}
	}
	return c, nil
}

var errOtherItem = errors.New("the source gave something else")

// pause waits for d and reports whether ctx is still alive then.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
