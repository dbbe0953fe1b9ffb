package connectortest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strconv"

	"tributary/connectors"
	"tributary/connectors/reference"
)

// openToAll shares what has unknown permissions with everyone.
func openToAll(c *connectors.Change) {
	if !c.ACL.Known() && c.Op != connectors.Delete {
		c.ACL = reference.Readers(reference.Everyone())
	}
}

func brokenPermissions() []breakage {
	return []breakage{
		{name: "shares with everyone", rule: "acl-wider", says: "may not read it at the site", twist: func(b *bench) twist {
			b.world.Fail(reference.FaultOn{Kind: reference.WiderACL})
			return twist{}
		}},
		{name: "takes two conditions for either", rule: "acl-wider", says: "may not read it at the site", twist: func(*bench) twist {
			return changeTwist(func(c *connectors.Change) {
				c.ACL.AllOf = [][]connectors.Principal{slices.Concat(c.ACL.AllOf...)}
			}, snapshot)
		}},
		{name: "forgets denials", rule: "acl-wider", says: "bob may not read it at the site", twist: func(*bench) twist {
			return changeTwist(func(c *connectors.Change) { c.ACL.Deny = nil }, snapshot)
		}},
		{name: "shares with the public", rule: "acl-wider", says: "connectortest-stranger may not", twist: func(*bench) twist {
			return changeTwist(func(c *connectors.Change) {
				for i := range c.ACL.AllOf {
					c.ACL.AllOf[i] = append(c.ACL.AllOf[i], connectors.Principal{Kind: connectors.Public, ID: "*"})
				}
			}, snapshot)
		}},
		{name: "keeps the first ACLs", rule: "acl-wider", says: "may not read it at the site", twist: keepsACLs(snapshot)},
		{name: "shares with nobody", rule: "acl-narrower", says: "may read it at the site and may not", twist: func(*bench) twist {
			return changeTwist(func(c *connectors.Change) { c.ACL = connectors.ACL{} }, snapshot)
		}},
		{name: "names nobody in a denial", rule: "acl-valid", says: "a principal needs an id", twist: func(*bench) twist {
			return changeTwist(func(c *connectors.Change) { c.ACL.Deny = append(c.ACL.Deny, reference.User("")) }, snapshot)
		}},
		{name: "takes unknown for everyone", rule: "acl-unknown", says: "cannot be known", twist: func(*bench) twist {
			return changeTwist(openToAll, snapshot)
		}},
		{name: "takes unknown for everyone in the feed", rule: "acl-unknown", says: "permissions:", twist: func(*bench) twist {
			return changeTwist(openToAll, permissions)
		}},
		{name: "takes a refusal for everyone", rule: "acl-refused", says: "answer 403", twist: func(*bench) twist {
			return changeTwist(openToAll, snapshot)
		}},
		{name: "grants without an answer", rule: "acl-failed", says: "answer 500", twist: grantsWithoutAnswer},
		{name: "leaves an item out of the feed", rule: "acl-feed-same", says: "not in the permission feed", twist: func(*bench) twist {
			return pageTwist(func(n int, page *connectors.Page) {
				if n == 2 {
					page.Changes = page.Changes[1:]
				}
			}, permissions)
		}},
		{name: "keeps the first ACLs", rule: "acl-feed-change", says: "do not change", twist: keepsACLs(permissions)},
		{name: "leaves refused items out of the feed", rule: "acl-feed-refused", says: "its old ACL would stay", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) {
				page.Changes = slices.DeleteFunc(page.Changes, func(c connectors.Change) bool { return !c.ACL.Known() })
			}, permissions)
		}},
		{name: "starts the feed over", rule: "acl-feed-resume", says: "starts over", twist: func(*bench) twist {
			return startsOver(permissions)
		}},
	}
}

// keepsACLs answers with the ACL that each item had when it was first listed.
func keepsACLs(l lane) func(*bench) twist {
	return func(b *bench) twist {
		first := map[string]connectors.ACL{}
		return changeTwist(func(c *connectors.Change) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if _, ok := first[c.Ref.ID]; !ok {
				first[c.Ref.ID] = c.ACL
			}
			c.ACL = first[c.Ref.ID]
		}, l)
	}
}

// grantsWithoutAnswer lists what failed as shared with everyone.
func grantsWithoutAnswer(b *bench) twist {
	return twist{seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		return func(yield func(connectors.Page, error) bool) {
			for page, err := range next(ctx, from) {
				if err != nil {
					page, err = connectors.Page{Next: connectors.Cursor(`{"v":1,"ends":1}`), Complete: true}, nil
					for _, it := range b.world.Truth() {
						c := connectors.Change{Ref: connectors.ItemRef{ID: it.ID, Revision: "1"}}
						openToAll(&c)
						page.Changes = append(page.Changes, c)
					}
				}
				if !yield(page, err) {
					return
				}
			}
		}
	}}
}

func brokenGroups() []breakage {
	return []breakage{
		{name: "knows no nested groups", rule: "groups-equal", says: "missing", twist: func(*bench) twist {
			return twist{groups: func(ctx context.Context, next func(context.Context) members) members {
				return func(yield func(connectors.Membership, error) bool) {
					for m, err := range next(ctx) {
						if m.Member.Kind != connectors.Group && !yield(m, err) {
							return
						}
					}
				}
			}}
		}},
		{name: "keeps the first memberships", rule: "groups-change", says: "not at the site", twist: keepsGroups},
		{name: "believes what people claim", rule: "people-equal", says: "not so at the site", twist: func(*bench) twist {
			return peopleTwist(func(p connectors.Person, err error) (connectors.Person, bool, error) {
				p.Verified = true
				return p, true, err
			})
		}},
		{name: "takes an error for the end of people", rule: "people-failed", says: "without an error", twist: func(*bench) twist {
			return peopleTwist(func(p connectors.Person, err error) (connectors.Person, bool, error) { return p, err == nil, nil })
		}},
		{name: "takes an error for the end", rule: "groups-failed", says: "without an error", twist: func(*bench) twist {
			return twist{groups: func(ctx context.Context, next func(context.Context) members) members {
				return func(yield func(connectors.Membership, error) bool) {
					for m, err := range next(ctx) {
						if err != nil || !yield(m, nil) {
							return
						}
					}
				}
			}}
		}},
	}
}

// peopleTwist changes each entry of the listing of people, or leaves it out.
func peopleTwist(change func(connectors.Person, error) (connectors.Person, bool, error)) twist {
	return twist{people: func(ctx context.Context, next func(context.Context) persons) persons {
		return func(yield func(connectors.Person, error) bool) {
			for p, err := range next(ctx) {
				p, keep, err := change(p, err)
				if keep && !yield(p, err) {
					return
				}
			}
		}
	}}
}

// keepsGroups answers with the memberships of the first time it was asked.
func keepsGroups(b *bench) twist {
	var first []connectors.Membership
	return twist{groups: func(ctx context.Context, _ func(context.Context) members) members {
		return func(yield func(connectors.Membership, error) bool) {
			if first == nil {
				first = b.world.Memberships()
			}
			for _, m := range first {
				if !yield(m, ctx.Err()) {
					return
				}
			}
		}
	}}
}

func brokenFeeds() []breakage {
	return []breakage{
		{name: "tells no edits", rule: "feed-truth", says: "has the text", twist: keepsFirst},
		{name: "starts when the snapshot ends", rule: "feed-overlap", says: "snapshot and what happened meanwhile", twist: startsLate},
		{name: "tells no ACL changes", rule: "feed-acl", says: "by the changes", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) {
				page.Changes = slices.DeleteFunc(page.Changes, func(c connectors.Change) bool { return c.Op == connectors.SetACL })
			}, changes)
		}},
		{name: "always has news", rule: "feed-quiet", says: "has news", twist: alwaysNews},
		{name: "leaves a page out once continued", rule: "feed-resume", says: "killed after page", twist: func(b *bench) twist {
			starts := map[string]bool{}
			return twist{
				start: func(c connectors.Cursor, err error) (connectors.Cursor, error) {
					b.mu.Lock()
					defer b.mu.Unlock()
					starts[string(c)] = true
					return c, err
				},
				seq: leavesOut(func(l lane, from connectors.Cursor) bool {
					b.mu.Lock()
					defer b.mu.Unlock()
					return l == changes && !starts[string(from)]
				}),
			}
		}},
		{name: "starts nowhere", rule: "feed-cursor", says: "zero cursor", twist: func(*bench) twist {
			return twist{
				start: func(_ connectors.Cursor, err error) (connectors.Cursor, error) { return nil, err },
				seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
					if l == changes && from.IsZero() {
						from = connectors.Cursor(`{"v":1}`)
					}
					return next(ctx, from)
				},
			}
		}},
		{name: "is complete", rule: "feed-complete", says: "says Complete", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) { page.Complete = true }, changes)
		}},
		{name: "takes an expired position for an outage", rule: "feed-expired", says: "class transient", twist: func(*bench) twist {
			return classTwist(connectors.CursorExpired, connectors.Transient, changes)
		}},
	}
}

// keepsFirst leaves out of the feed what was listed before.
func keepsFirst(b *bench) twist {
	listed := map[string]bool{}
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		return pageTwist(func(_ int, page *connectors.Page) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if l == snapshot {
				for _, c := range page.Changes {
					listed[c.Ref.ID] = true
				}
				return
			}
			page.Changes = slices.DeleteFunc(page.Changes, func(c connectors.Change) bool {
				return c.Op == connectors.Upsert && listed[c.Ref.ID]
			})
		}, snapshot, changes).seq(l, ctx, from, next)
	}}
}

// startsLate reads the feed from where the last snapshot ended.
func startsLate(b *bench) twist {
	var late connectors.Cursor
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		b.mu.Lock()
		if l == changes && late != nil {
			from = late
		}
		b.mu.Unlock()
		return pageTwist(func(_ int, page *connectors.Page) {
			if page.Complete {
				b.mu.Lock()
				defer b.mu.Unlock()
				late = feedEnd(ctx, b)
			}
		}, snapshot).seq(l, ctx, from, next)
	}}
}

// feedEnd returns the feed's position of this moment.
func feedEnd(ctx context.Context, b *bench) connectors.Cursor {
	s, err := b.world.Connector().Open(ctx, connectors.Env{Settings: b.world.Settings(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil
	}
	f, ok := s.(connectors.ChangeFeed)
	if !ok {
		return nil
	}
	at, err := f.Start(ctx)
	if err != nil {
		return nil
	}
	return at
}

// alwaysNews ends every reading of the feed with an item nobody put.
func alwaysNews(b *bench) twist {
	n := 0
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		if l != changes {
			return next(ctx, from)
		}
		return func(yield func(connectors.Page, error) bool) {
			for page, err := range next(ctx, from) {
				if !yield(page, err) {
					return
				}
			}
			n++
			ref := connectors.ItemRef{ID: "news", Revision: strconv.Itoa(n)}
			yield(connectors.Page{
				Changes: []connectors.Change{{Op: connectors.Upsert, Ref: ref, Document: &connectors.Document{Title: "News", Open: bodyOf("news")}}},
				Next:    numbered(feedEnd(ctx, b), n),
			}, nil)
		}
	}}
}

// numbered returns the position c with a number that makes it another cursor.
func numbered(c connectors.Cursor, n int) connectors.Cursor {
	at := map[string]any{}
	if err := json.Unmarshal(c, &at); err != nil {
		return c
	}
	at["ends"] = n
	out, err := json.Marshal(at)
	if err != nil {
		return c
	}
	return out
}
