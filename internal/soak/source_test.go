package soak

import (
	"context"
	"math/rand/v2"

	"tributary/connectors"
	"tributary/jobs"
	"tributary/store"
)

// trouble is a kind of what goes wrong at a source.
type trouble string

const (
	limited    trouble = "429 with Retry-After"
	limitedMum trouble = "429 without Retry-After"
	broken     trouble = "5xx"
	reset      trouble = "connection reset"
	truncated  trouble = "truncated body"
	expired    trouble = "expired cursor"
	looping    trouble = "looping pages"
	empty      trouble = "empty listing"
	half       trouble = "half a listing"
	forbidden  trouble = "403 on a folder"
	refused    trouble = "403 or 404 on content"
	token      trouble = "token ends mid-page"
	deleted    trouble = "deleted while listing"
	moved      trouble = "moved while listing"
)

func troubles() []trouble {
	return []trouble{
		limited, limitedMum, broken, reset, truncated, expired, looping, empty, half, forbidden, refused, token, deleted, moved,
	}
}

// dealt are the troubles as often as they are drawn: what meets its request the
// more seldom is drawn the more often.
func dealt() []trouble {
	all := append(troubles(), broken, broken, looping)
	for range 2 {
		all = append(all, limited, limitedMum, deleted, moved)
	}
	for range 3 {
		all = append(all, reset, truncated, token, expired, refused)
	}
	for range 4 {
		all = append(all, forbidden)
	}
	return all
}

// lies reports whether a listing under the trouble says that it is complete and
// is not.
func (k trouble) lies() bool { return k == empty || k == half }

// source is what a seed is played on.
type source interface {
	connector() connectors.Connector
	// authorise returns what a session acts with; nothing for a world in memory.
	authorise(ctx context.Context, c store.Connection, spec connectors.Spec) (jobs.Authorised, error)
	settings() map[string]string
	selection() connectors.Selection

	// churn makes one change.
	churn(r *rand.Rand)
	// remove deletes, and move moves, one item of the selection.
	remove(r *rand.Rand)
	move(r *rand.Rand)
	// disturb makes k happen in the next run.
	disturb(r *rand.Rand, k trouble)
	// atPage calls fn before the nth page from now of a listing or the feed.
	atPage(n int, fn func())
	// mend ends every trouble.
	mend()
	// hits counts what went wrong so far.
	hits() map[trouble]int

	// truth is the text of every document of the selection by id.
	truth() map[string]string
	// closed returns the containers of the documents that cannot be listed just
	// now, by document.
	closed() map[string]string
	people() []connectors.Principal
	canRead(p connectors.Principal, id string) bool
	close()
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }
