package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path"
	"slices"
	"syscall"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/jobs"
	"tributary/store"
)

// world is a world in memory.
type world struct {
	w      *reference.World
	chosen connectors.Selection
	// shut are the containers that a fault lies on.
	shut []string
}

func newWorld(seed uint64, r *rand.Rand) *world {
	w := &world{w: reference.Random(seed, documents)}
	w.w.SetPageSize(4 + r.IntN(6))
	if r.IntN(2) == 0 {
		w.chosen.Containers = []string{"space-0", "space-1", "space-2", "space-3"}
	}
	return w
}

func (w *world) connector() connectors.Connector { return w.w.Connector() }

func (w *world) authorise(context.Context, store.Connection, connectors.Spec) (jobs.Authorised, error) {
	return jobs.Authorised{}, nil
}
func (w *world) settings() map[string]string     { return w.w.Settings() }
func (w *world) selection() connectors.Selection { return w.chosen }
func (w *world) close()                          {}

func (w *world) churn(r *rand.Rand) { w.w.Churn(r.Uint64(), 1) }

func (w *world) remove(r *rand.Rand) { w.w.Delete(w.any(r)) }

func (w *world) move(r *rand.Rand) {
	w.w.Move(w.any(r), fmt.Sprintf("space-%d/moved-%d.md", r.IntN(5), r.IntN(1000)))
}

// any returns the id of an item.
func (w *world) any(r *rand.Rand) string { return pick(r, w.w.Truth()).ID }

func (w *world) atPage(n int, fn func()) {
	done := false
	once := func() {
		if !done {
			done = true
			fn()
		}
	}
	// Whichever the run reads.
	w.w.At(connectortest.OnListing, n, once)
	w.w.At(connectortest.OnFeed, n, once)
}

func (w *world) mend() {
	w.w.Mend()
	w.shut = nil
}

func (w *world) closed() map[string]string {
	out := map[string]string{}
	for _, it := range w.w.Truth() {
		if c := path.Dir(it.Path); slices.Contains(w.shut, c) {
			out[it.ID] = c
		}
	}
	return out
}

func (w *world) disturb(r *rand.Rand, k trouble) {
	pages := []connectortest.Place{connectortest.OnListing, connectortest.OnFeed}
	places := append(slices.Clone(pages), connectortest.OnBody, connectortest.OnACL, connectortest.OnGroups)
	often := func(f reference.FaultOn) {
		f.Page, f.Times = 1+r.IntN(4), 1+r.IntN(2)
		w.w.Fail(f)
	}
	switch k {
	case limited:
		often(reference.FaultOn{On: pick(r, places), Kind: connectortest.RateLimited, RetryAfter: 7 * time.Second})
	case limitedMum:
		often(reference.FaultOn{On: pick(r, places), Kind: limitedMumKind, Err: failed(connectors.RateLimited, "429")})
	case broken:
		often(reference.FaultOn{On: pick(r, places), Kind: pick(r, []connectortest.FaultKind{connectortest.ServerError, connectortest.Unavailable})})
	case reset:
		often(reference.FaultOn{On: pick(r, places), Kind: resetKind, Err: failed(connectors.Transient, syscall.ECONNRESET.Error())})
	case truncated:
		often(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.Truncated})
	case expired:
		fault := reference.FaultOn{On: pick(r, pages), Kind: connectortest.ExpiredCursor}
		w.w.At(fault.On, 1+r.IntN(3), func() { w.w.Fail(fault) })
	case looping:
		w.w.Fail(reference.FaultOn{On: pick(r, pages), Kind: reference.RepeatedCursor, Page: 1 + r.IntN(3)})
	case empty:
		w.w.Fail(reference.FaultOn{Kind: reference.EmptyListing})
	case half:
		if r.IntN(2) == 0 {
			w.w.Fail(reference.FaultOn{Kind: reference.HalfListing})
			return
		}
		w.w.Fail(reference.FaultOn{Kind: reference.FalseComplete, Page: 1 + r.IntN(2)})
	case forbidden:
		w.shut = append(w.shut, fmt.Sprintf("space-%d", r.IntN(5)))
		w.w.Fail(reference.FaultOn{On: connectortest.OnContainer, Kind: closedKind, Name: w.shut[0]})
	case refused:
		often(reference.FaultOn{On: connectortest.OnBody, Kind: pick(r, []connectortest.FaultKind{connectortest.Forbidden, connectortest.NotFound})})
	case token:
		w.w.Fail(reference.FaultOn{On: pick(r, places), Kind: connectortest.Unauthorized, Page: 1 + r.IntN(3), Times: 1})
	case deleted, moved:
	}
}

// Kinds of faults beside those of the kit.
const (
	limitedMumKind connectortest.FaultKind = "429 without a word"
	resetKind      connectortest.FaultKind = "reset"
	closedKind     connectortest.FaultKind = "closed"
)

func failed(c connectors.Class, what string) error {
	return &connectors.Error{Op: "asking a world", Class: c, Err: fmt.Errorf("the world answers %s", what)}
}

func (w *world) hits() map[trouble]int {
	out := map[trouble]int{}
	for kind, n := range w.w.Hits() {
		out[troubleOf(kind)] += n
	}
	return out
}

func troubleOf(kind connectortest.FaultKind) trouble {
	switch kind {
	case connectortest.RateLimited:
		return limited
	case limitedMumKind:
		return limitedMum
	case connectortest.ServerError, connectortest.Unavailable:
		return broken
	case resetKind:
		return reset
	case connectortest.Truncated:
		return truncated
	case connectortest.ExpiredCursor:
		return expired
	case reference.RepeatedCursor:
		return looping
	case reference.EmptyListing:
		return empty
	case reference.HalfListing, reference.FalseComplete:
		return half
	case connectortest.Unauthorized:
		return token
	case closedKind:
		return forbidden
	default:
		return refused
	}
}

func (w *world) truth() map[string]string {
	out := map[string]string{}
	for _, it := range w.w.Truth() {
		if len(w.chosen.Containers) == 0 || slices.Contains(w.chosen.Containers, path.Dir(it.Path)) {
			out[it.ID] = it.Text
		}
	}
	return out
}

func (w *world) people() []connectors.Principal { return w.w.People() }

func (w *world) canRead(p connectors.Principal, id string) bool { return w.w.CanRead(p, id) }
