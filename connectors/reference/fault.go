package reference

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
)

// The faults that only a broken or dying connector has, beside those of the
// kit. All of them strike pages.
const (
	// Killed ends the sequence after the page, as if the process had died: the
	// error is [ErrKilled].
	Killed connectortest.FaultKind = "killed"
	// RepeatedCursor gives the page the cursor that it was read at.
	RepeatedCursor connectortest.FaultKind = "repeated-cursor"
	// WiderACL shares every item of the page with everyone.
	WiderACL connectortest.FaultKind = "wider-acl"
	// FalseComplete says Complete on the page and ends the sequence.
	FalseComplete connectortest.FaultKind = "false-complete"
	// EmptyListing gives a page without anything that says Complete, as a source
	// does that answers 200 with an empty list.
	EmptyListing connectortest.FaultKind = "empty-listing"
	// HalfListing leaves out every other item of the page.
	HalfListing connectortest.FaultKind = "half-listing"
)

// ErrKilled is the error of a sequence that was killed at a page boundary.
var ErrKilled = fmt.Errorf("killed at a page boundary: %w", io.ErrClosedPipe)

// FaultOn says what goes wrong where. It is the kit's fault, and one kind more:
// an error of the test's own.
type FaultOn struct {
	// On is where it strikes; empty means connectortest.OnListing.
	On   connectortest.Place
	Kind connectortest.FaultKind
	// Err is returned as it is, instead of what Kind says.
	Err error
	// Name is the path of the item or the container that is hit.
	Name string
	// Page is the first page request that fails, counted from 1 since the
	// fault was set; zero is the first.
	Page int
	// Times is how often it strikes; zero is until Mend.
	Times      int
	RetryAfter time.Duration
}

// fault is a fault that was set.
type fault struct {
	FaultOn
	asked  int
	struck int
}

type hook struct {
	on   connectortest.Place
	page int
	fn   func()
}

// Fail sets a fault, beside those already set. ExpiredCursor strikes at once.
func (w *World) Fail(f FaultOn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f.On == "" {
		f.On = connectortest.OnListing
	}
	if f.Kind != connectortest.ExpiredCursor {
		w.faults = append(w.faults, &fault{FaultOn: f})
		return
	}
	if f.On == connectortest.OnFeed {
		w.feedEpoch++
		return
	}
	w.listEpoch++
}

// Mend takes away every fault and lets go of every request that is held.
func (w *World) Mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults = nil
	close(w.mended)
	w.mended = make(chan struct{})
	select {
	case <-w.held:
	default:
	}
}

// At calls fn once, before the page-th page request to on from now is answered:
// the way to change the world while it is listed.
func (w *World) At(on connectortest.Place, page int, fn func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks = append(w.hooks, hook{on: on, page: page, fn: fn})
}

// AwaitHeld waits until a request is held by connectortest.Slow.
func (w *World) AwaitHeld(ctx context.Context) error {
	w.mu.Lock()
	held := w.held
	w.mu.Unlock()
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for a held request: %w", ctx.Err())
	}
}

// request counts a request for name and returns the fault that strikes it, nil
// for none. Its error is the context's.
func (w *World) request(ctx context.Context, on connectortest.Place, name string) (*fault, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, fn := range w.due(on) {
		fn()
	}
	w.mu.Lock()
	w.counts.count(on)
	struck, mended, held := w.strike(on, name), w.mended, w.held
	w.mu.Unlock()
	if struck == nil || struck.Kind != connectortest.Slow {
		return struck, nil
	}
	select {
	case held <- struct{}{}:
	default:
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-mended:
		return struck, nil
	}
}

// due returns the hooks whose page has come.
func (w *World) due(on connectortest.Place) []func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	var now []func()
	w.hooks = slices.DeleteFunc(w.hooks, func(h hook) bool { return h.fn == nil })
	for i := range w.hooks {
		h := &w.hooks[i]
		if h.on != on {
			continue
		}
		if h.page--; h.page <= 0 {
			now = append(now, h.fn)
			h.fn = nil
		}
	}
	return now
}

// strike returns the first fault that hits a request. The caller holds mu.
func (w *World) strike(on connectortest.Place, name string) *fault {
	var hit *fault
	for _, f := range w.faults {
		if f.On != on || f.Name != "" && !matches(on, f.Name, name) {
			continue
		}
		f.asked++
		if hit != nil || f.asked < f.Page || f.Times > 0 && f.struck >= f.Times {
			continue
		}
		f.struck++
		w.hits[f.Kind]++
		hit = f
	}
	return hit
}

// Hits returns how often each kind of fault struck so far, and how often a
// cursor was refused as expired.
func (w *World) Hits() map[connectortest.FaultKind]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.hits)
}

func matches(on connectortest.Place, fault, name string) bool {
	if on == connectortest.OnContainer {
		return within(name, fault)
	}
	return fault == name
}

func (c *Counts) count(on connectortest.Place) {
	c.Requests++
	switch on {
	case connectortest.OnListing:
		c.Listings++
	case connectortest.OnFeed:
		c.Feeds++
	case connectortest.OnBody:
		c.Bodies++
	case connectortest.OnContainer, connectortest.OnACL, connectortest.OnGroups, connectortest.OnPeople:
	}
}

// failure turns what struck a request into the error of its class; nil where
// the fault is no answer of a source.
func failure(op string, f *fault, item bool, ref connectors.ItemRef) error {
	if f == nil {
		return nil
	}
	if f.Err != nil {
		return f.Err
	}
	e := &connectors.Error{Op: op, RetryAfter: f.RetryAfter, Err: fmt.Errorf("the world answers %s", f.Kind)}
	switch f.Kind {
	case connectortest.RateLimited:
		e.Class = connectors.RateLimited
	case connectortest.ServerError, connectortest.Unavailable:
		e.Class = connectors.Transient
	case connectortest.Unauthorized:
		e.Class = connectors.GrantLost
	case connectortest.Forbidden, connectortest.NotFound, connectortest.Gone:
		e.Class = connectors.ScopeDenied
		if item {
			e.Class, e.Ref = connectors.ItemRefused, ref
		}
	default:
		return nil
	}
	return e
}
