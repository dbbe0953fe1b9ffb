package connectortest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
)

// memory answers with what it was first told of each id.
func memory[T any](b *bench) func(id string, v T) T {
	first := map[string]T{}
	return func(id string, v T) T {
		b.mu.Lock()
		defer b.mu.Unlock()
		if _, ok := first[id]; !ok {
			first[id] = v
		}
		return first[id]
	}
}

// insteadOfError ends a sequence with a page where it fails.
func insteadOfError(page func(ctx context.Context, from connectors.Cursor) connectors.Page, lanes ...lane) twist {
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		return func(yield func(connectors.Page, error) bool) {
			for p, err := range next(ctx, from) {
				for _, hit := range lanes {
					if err != nil && l == hit && connectors.ClassOf(err) != connectors.CursorExpired {
						p, err = page(ctx, from), nil
					}
				}
				if !yield(p, err) {
					return
				}
			}
		}
	}}
}

// brokenSyncs are wrong in ways that only a history shows; the rule is the
// differential test.
func brokenSyncs() []breakage {
	return []breakage{
		{name: "loses updates under a fault", says: "by the changes", twist: func(b *bench) twist {
			return insteadOfError(func(ctx context.Context, _ connectors.Cursor) connectors.Page {
				return connectors.Page{Next: position(ctx, b)}
			}, changes)
		}},
		{name: "misses changes of permissions", says: "reads it", twist: func(b *bench) twist {
			known := memory[connectors.ACL](b)
			return changeTwist(func(c *connectors.Change) { c.ACL = known(c.Ref.ID, c.ACL) }, changes, permissions)
		}},
		{name: "says Complete early", says: "is at the site and is missing", twist: func(*bench) twist {
			return insteadOfError(func(context.Context, connectors.Cursor) connectors.Page {
				return connectors.Page{Next: connectors.Cursor(`{"v":1,"ends":1}`), Complete: true}
			}, snapshot, ids)
		}},
		{name: "leaks after a move", says: "reads it: true, at the site: false", twist: func(b *bench) twist {
			path := memory[string](b)
			moved := map[string]bool{}
			return changeTwist(func(c *connectors.Change) {
				if c.Document != nil && path(c.Ref.ID, c.Document.Path) != c.Document.Path {
					moved[c.Ref.ID] = true
				}
				if moved[c.Ref.ID] && c.Op != connectors.Delete {
					c.ACL = reference.Readers(reference.Everyone())
				}
			}, snapshot, changes, permissions)
		}},
		{name: "keeps a revision after an edit", says: "has the text", twist: func(b *bench) twist {
			known := memory[string](b)
			return changeTwist(func(c *connectors.Change) { c.Ref.Revision = known(c.Ref.ID, c.Ref.Revision) }, snapshot, changes)
		}},
		{name: "keeps a body after an edit", says: "has the text", twist: keepsBodies},
		{name: "keeps a path after a move", says: "it is at", twist: func(b *bench) twist {
			known := memory[string](b)
			return changeTwist(func(c *connectors.Change) {
				if c.Document != nil {
					c.Document.Path = known(c.Ref.ID, c.Document.Path)
				}
			}, changes)
		}},
		{name: "forgets tombstones", says: "is not at the site", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) {
				kept := page.Changes[:0]
				for _, c := range page.Changes {
					if c.Op != connectors.Delete {
						kept = append(kept, c)
					}
				}
				page.Changes = kept
			}, changes)
		}},
		{name: "promises pages that were not read", says: "by the changes", twist: func(b *bench) twist {
			return pageTwist(func(n int, page *connectors.Page) {
				// Spaces make the cursors of one run differ.
				page.Next = append(position(context.Background(), b), bytes.Repeat([]byte(" "), n)...)
			}, changes)
		}},
		{name: "forgets what was blocked", says: "is at the site and is missing", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) { page.Blocked = nil }, snapshot)
		}},
		{name: "keeps the first memberships", says: "reads it", twist: func(b *bench) twist {
			var first []connectors.Membership
			return twist{groups: func(ctx context.Context, next func(context.Context) members) members {
				return func(yield func(connectors.Membership, error) bool) {
					b.mu.Lock()
					known := first
					b.mu.Unlock()
					for m, err := range next(ctx) {
						if err != nil {
							yield(m, err)
							return
						}
						if known == nil {
							first = append(first, m)
						}
					}
					for _, m := range first {
						if !yield(m, nil) {
							return
						}
					}
				}
			}}
		}},
		{name: "gives out what is unknown", says: "reads it: true, at the site: false", twist: func(*bench) twist {
			return changeTwist(openToAll, snapshot, changes, permissions)
		}},
	}
}

// position is the feed's position of this moment.
func position(ctx context.Context, b *bench) connectors.Cursor {
	s, err := b.world.Connector().Open(ctx, connectors.Env{Settings: b.world.Settings(), Log: slog.New(slog.DiscardHandler), Clock: time.Now})
	if err != nil {
		return nil
	}
	f, ok := s.(connectors.ChangeFeed)
	if !ok {
		return nil
	}
	for {
		// The faults that are set may strike; they do not for ever.
		if c, err := f.Start(ctx); err == nil {
			return c
		}
		b.world.Mend()
	}
}

func keepsBodies(b *bench) twist {
	known := memory[string](b)
	return changeTwist(func(c *connectors.Change) {
		if c.Document == nil || c.Document.Open == nil {
			return
		}
		open, id := c.Document.Open, c.Ref.ID
		c.Document.Open = func(ctx context.Context) (io.ReadCloser, error) {
			rc, err := open(ctx)
			if err != nil {
				return nil, err
			}
			data, err := io.ReadAll(rc)
			if err = errors.Join(err, rc.Close()); err != nil {
				return nil, err
			}
			return io.NopCloser(strings.NewReader(known(id, string(bytes.Clone(data))))), nil
		}
	}, snapshot, changes)
}

// TestBrokenSyncsAreCaught: the differential test finds every one of them, and
// says with which seed.
func TestBrokenSyncsAreCaught(t *testing.T) {
	for _, b := range brokenSyncs() {
		t.Run(b.name, func(t *testing.T) {
			found := connectortest.CheckDifferential(t.Context(), b.harness(t), connectortest.DifferentialOptions{})
			for _, one := range found {
				if one.Rule != "differential" {
					t.Errorf("reported as %q", one.Rule)
				}
				if strings.Contains(one.Detail, b.says) {
					return
				}
			}
			t.Errorf("no word of %q: %v", b.says, found)
		})
	}
}

// TestStepsHappen: what else may happen at a site does, and what the feed is
// said to miss is compared after the reconcile only.
func TestStepsHappen(t *testing.T) {
	lost := 0
	o := connectortest.DifferentialOptions{Seeds: 30, Steps: []connectortest.Step{{
		Name: "lose", Do: func(site connectortest.Site, random *rand.Rand) ([]string, error) {
			s, ok := site.(lossySite)
			items, err := site.Truth()
			if err != nil || !ok {
				return nil, errors.ErrUnsupported
			}
			lost++
			id := items[random.IntN(len(items))].ID
			s.world.Lose(id)
			return []string{id}, nil
		},
	}}}
	var world *reference.World
	h := breakage{twist: func(b *bench) twist {
		world = b.world
		return twist{}
	}}.harness(t)
	setup := h.Setup
	h.Setup = func(tb connectortest.TB) connectortest.Fixture {
		f := setup(tb)
		f.Site = lossySite{Site: reference.NewSite(world), world: world}
		return f
	}
	if found := connectortest.CheckDifferential(t.Context(), h, o); len(found) == 0 || lost == 0 {
		t.Errorf("%d items were lost without a word in the feed: %v", lost, found)
	}
	o.FeedMisses = map[connectortest.Happening]string{"lose": "the world does not tell"}
	if found := connectortest.CheckDifferential(t.Context(), h, o); len(found) > 0 {
		t.Error(found)
	}
}

type lossySite struct {
	*reference.Site
	world *reference.World
}
