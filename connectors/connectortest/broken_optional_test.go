package connectortest_test

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"

	"tributary/connectors"
	"tributary/connectors/reference"
)

func brokenDeletions() []breakage {
	return []breakage{
		{name: "never forgets", rule: "delete-absent", says: "is not at the site", twist: neverForgets},
		{name: "no tombstones", rule: "delete-tombstone", says: "no tombstone", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) {
				page.Changes = slices.DeleteFunc(page.Changes, func(c connectors.Change) bool { return c.Op == connectors.Delete })
			}, changes)
		}},
		{name: "gives up when an item vanishes", rule: "delete-midway", says: "has vanished", twist: givesUp},
		{name: "takes a vanished item for an outage", rule: "delete-unopened", says: "class transient", twist: func(*bench) twist {
			return bodyClass(connectors.ItemRefused, connectors.Transient)
		}},
		{name: "keeps the first path", rule: "move-seen", says: "its path is still", twist: func(b *bench) twist {
			paths := map[string]string{}
			return changeTwist(func(c *connectors.Change) {
				b.mu.Lock()
				defer b.mu.Unlock()
				if paths[c.Ref.ID] == "" {
					paths[c.Ref.ID] = c.Document.Path
				}
				c.Document.Path = paths[c.Ref.ID]
			}, snapshot)
		}},
	}
}

// neverForgets adds to the last page what an earlier snapshot had.
func neverForgets(b *bench) twist {
	known := map[string]connectors.Change{}
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		now := map[string]bool{}
		return pageTwist(func(_ int, page *connectors.Page) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, c := range page.Changes {
				known[c.Ref.ID], now[c.Ref.ID] = c, true
			}
			if !page.Complete {
				return
			}
			for i := range 20 {
				id := "item-" + strconv.Itoa(1000+i)
				if c, ok := known[id]; ok && !now[id] {
					c.Document.Open = bodyOf("kept")
					page.Changes = append(page.Changes, c)
				}
			}
		}, snapshot).seq(l, ctx, from, next)
	}}
}

// givesUp fails a listing when there are fewer items than at its start.
func givesUp(b *bench) twist {
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		if l != snapshot {
			return next(ctx, from)
		}
		return func(yield func(connectors.Page, error) bool) {
			total := len(b.world.Truth())
			for page, err := range next(ctx, from) {
				if len(b.world.Truth()) < total {
					yield(connectors.Page{}, &connectors.Error{Op: "listing", Class: connectors.Transient, Err: errors.New("an item has vanished")})
					return
				}
				if !yield(page, err) {
					return
				}
			}
		}
	}}
}

func brokenOptional() []breakage {
	return []breakage{
		{name: "loses an id", rule: "ids-truth", says: "the snapshot lists", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) { page.Changes = page.Changes[1:] }, ids)
		}},
		{name: "takes an error for the end", rule: "ids-failed", says: "complete true", twist: func(*bench) twist {
			return errorsAreTheEnd(ids)
		}},
		{name: "another revision", rule: "fetch-same", says: "fetched", twist: func(*bench) twist {
			return twist{fetch: func(c connectors.Change, err error) (connectors.Change, error) {
				c.Ref.Revision += "-fetched"
				return c, err
			}}
		}},
		{name: "takes a gone item for an outage", rule: "fetch-gone", says: "class transient", twist: func(*bench) twist {
			return twist{fetch: func(c connectors.Change, err error) (connectors.Change, error) {
				return c, reclassed(err, connectors.ItemRefused, connectors.Transient)
			}}
		}},
		{name: "does not hear the selection", rule: "choose-selects", says: "selects 12 of 12", twist: func(*bench) twist {
			return twist{open: func(ctx context.Context, env connectors.Env, next opener) (connectors.Session, error) {
				env.Selection = connectors.Selection{}
				return next(ctx, env)
			}}
		}},
		{name: "has nothing to say", rule: "verify-works", says: `summary ""`, twist: func(*bench) twist {
			return twist{verify: func(_ string, err error) (string, error) { return "", err }}
		}},
		{name: "is always well", rule: "verify-honest", says: "answers 401", twist: func(*bench) twist {
			return twist{verify: func(string, error) (string, error) { return "all is well", nil }}
		}},
		{name: "another realm each time", rule: "realm-stable", says: "in another", twist: func(b *bench) twist {
			n := 0
			return twist{realm: func(realm string) string {
				b.mu.Lock()
				defer b.mu.Unlock()
				n++
				return realm + strings.Repeat("x", n)
			}}
		}},
		{name: "takes the account's id for the person's", rule: "self-known", says: "none of the site's people", twist: func(*bench) twist {
			return twist{self: func(connectors.Principal) connectors.Principal { return reference.User("account-1") }}
		}},
		{name: "believes every name", rule: "name-resolves", says: "no-such-principal", twist: func(*bench) twist {
			return twist{person: func(name string, p connectors.Principal, _ error) (connectors.Principal, error) {
				if p.ID == "" {
					p = reference.User(name)
				}
				return p, nil
			}}
		}},
	}
}
