package store

import (
	"context"
	"sync"
	"time"
)

// wakers wakes everybody who waits, at once.
type wakers struct {
	mu sync.Mutex
	ch chan struct{}
}

// next returns what is closed by the next wake.
func (w *wakers) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch == nil {
		w.ch = make(chan struct{})
	}
	return w.ch
}

func (w *wakers) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ch != nil {
		close(w.ch)
		w.ch = nil
	}
}

// FeedWake returns what is closed when the feed may have more. It is to be got
// before the feed is read, so that nothing is missed between.
func (s *Store) FeedWake() <-chan struct{} { return s.feed.next() }

// WaitFeed returns when woken is closed, after d, or when ctx ends.
func WaitFeed(ctx context.Context, woken <-chan struct{}, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-woken:
	case <-timer.C:
	}
}
