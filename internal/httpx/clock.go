package httpx

import (
	"context"
	"time"
)

// Clock tells the time and calls back. Every limit and wait of this package runs on it.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once, in a goroutine of its own, after d; stop prevents that and reports whether it did.
	AfterFunc(d time.Duration, f func()) (stop func() bool)
}

// systemClock is the machine's monotonic clock.
type systemClock struct{}

// Now returns the time.
func (systemClock) Now() time.Time { return time.Now() }

// AfterFunc starts a timer.
func (systemClock) AfterFunc(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop }

// wait returns after d, or earlier with the context's error.
func wait(ctx context.Context, clock Clock, d time.Duration) error {
	done := make(chan struct{})
	stop := clock.AfterFunc(d, func() { close(done) })
	defer stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
