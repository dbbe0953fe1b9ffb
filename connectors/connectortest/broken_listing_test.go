package connectortest_test

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"tributary/connectors"
	"tributary/connectors/reference"
)

func brokenSpecs() []breakage {
	calls := 0
	return []breakage{
		{name: "no cursor version", rule: "spec-valid", says: "cursor version", twist: func(*bench) twist {
			return twist{spec: func(s connectors.Spec) connectors.Spec { s.CursorVersion = 0; return s }}
		}},
		{name: "counts its calls", rule: "spec-pure", says: "another Spec", twist: func(*bench) twist {
			return twist{spec: func(s connectors.Spec) connectors.Spec {
				calls++
				s.Limits = append(s.Limits, strconv.Itoa(calls))
				return s
			}}
		}},
		{name: "hides a capability", rule: "spec-claims", says: "does not claim it", twist: func(*bench) twist {
			return twist{spec: func(s connectors.Spec) connectors.Spec { s.Provides = s.Provides[1:]; return s }}
		}},
		{name: "claims a capability", rule: "spec-claims", says: "does not implement it", twist: func(*bench) twist {
			return twist{open: func(ctx context.Context, env connectors.Env, next opener) (connectors.Session, error) {
				s, err := next(ctx, env)
				return struct{ connectors.Session }{s}, err
			}}
		}},
		{name: "fills in what is missing", rule: "settings-invalid", says: "succeeds without", twist: func(*bench) twist {
			return twist{open: func(ctx context.Context, env connectors.Env, next opener) (connectors.Session, error) {
				env.Settings = map[string]string{"world": reference.Name, "token": env.Settings["token"]}
				return next(ctx, env)
			}}
		}},
		{name: "keeps its place for all sessions", rule: "sessions-apart", says: "is missing", twist: placeForAll},
	}
}

// placeForAll continues a snapshot where any session stopped last.
func placeForAll(b *bench) twist {
	var place connectors.Cursor
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		if l != snapshot {
			return next(ctx, from)
		}
		b.mu.Lock()
		if from.IsZero() {
			from = place
		}
		b.mu.Unlock()
		return func(yield func(connectors.Page, error) bool) {
			for page, err := range next(ctx, from) {
				b.mu.Lock()
				place = page.Next
				b.mu.Unlock()
				if !yield(page, err) {
					return
				}
			}
		}
	}}
}

func brokenCrawls() []breakage {
	return []breakage{
		{name: "loses an item", rule: "crawl-truth", says: "is missing", twist: func(*bench) twist {
			return pageTwist(func(n int, page *connectors.Page) {
				if n == 2 {
					page.Changes = page.Changes[1:]
				}
			}, snapshot)
		}},
		{name: "skips a document", rule: "crawl-truth", says: "is skipped", twist: func(*bench) twist {
			return pageTwist(func(n int, page *connectors.Page) {
				if n == 2 {
					page.Skipped = append(page.Skipped, connectors.Skip{Ref: page.Changes[0].Ref, Reason: "no reason"})
				}
			}, snapshot)
		}},
		{name: "no revision", rule: "crawl-shape", says: "no revision", twist: func(*bench) twist {
			return changeTwist(func(c *connectors.Change) { c.Ref.Revision = "" }, snapshot)
		}},
		{name: "lists an item twice", rule: "crawl-once", says: "2 times", twist: func(*bench) twist {
			var first connectors.Change
			return pageTwist(func(n int, page *connectors.Page) {
				switch n {
				case 1:
					first = page.Changes[0]
				case 2:
					page.Changes = append(slices.Clone(page.Changes), first)
				}
			}, snapshot)
		}},
		{name: "complete too early", rule: "complete-end", says: "page 1 of", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) { page.Complete = true }, snapshot)
		}},
		{name: "never complete", rule: "complete-end", says: "does not say", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) { page.Complete = false }, snapshot)
		}},
		{name: "takes an error for the end", rule: "complete-failed", says: "says Complete", twist: func(*bench) twist {
			return errorsAreTheEnd(snapshot)
		}},
		{name: "goes on after an error", rule: "error-ends", says: "goes on after its error", twist: goesOn},
		{name: "does not hear the stop", rule: "stop-honoured", says: "yields again", twist: func(*bench) twist {
			return twist{seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
				return func(yield func(connectors.Page, error) bool) {
					for page, err := range next(ctx, from) {
						yield(page, err)
					}
				}
			}}
		}},
		{name: "forgets on the second reading", rule: "replay-same", says: "read again differs", twist: forgetsOnReplay},
	}
}

// errorsAreTheEnd swallows an error and says Complete instead.
func errorsAreTheEnd(lanes ...lane) twist {
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		if !slices.Contains(lanes, l) {
			return next(ctx, from)
		}
		return func(yield func(connectors.Page, error) bool) {
			for page, err := range next(ctx, from) {
				if err != nil {
					yield(connectors.Page{Next: connectors.Cursor(`{"v":1,"ends":1}`), Complete: true}, nil)
					return
				}
				if !yield(page, nil) {
					return
				}
			}
		}
	}}
}

func goesOn(*bench) twist {
	return twist{seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		return func(yield func(connectors.Page, error) bool) {
			at := from
			for {
				ended := true
				for page, err := range next(ctx, at) {
					if !yield(page, err) {
						return
					}
					if err != nil {
						ended = false
						break
					}
					at = page.Next
				}
				if ended {
					return
				}
			}
		}
	}}
}

func forgetsOnReplay(b *bench) twist {
	read := map[string]bool{}
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		at := from
		return pageTwist(func(_ int, page *connectors.Page) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if read[string(at)] && len(page.Changes) > 0 {
				page.Changes = page.Changes[1:]
			}
			read[string(at)] = true
			at = page.Next
		}, snapshot).seq(l, ctx, from, next)
	}}
}

func brokenCursors() []breakage {
	return []breakage{
		{name: "repeats a cursor", rule: "cursor-moves", says: "one of before", twist: func(b *bench) twist {
			b.world.Fail(reference.FaultOn{Kind: reference.RepeatedCursor, Page: 2, Times: 1})
			return twist{}
		}},
		{name: "never moves", rule: "cursor-moves", says: "one of before", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) { page.Next = connectors.Cursor(`{"v":1}`) }, permissions)
		}},
		{name: "is not JSON", rule: "cursor-json", says: "is not JSON", twist: func(*bench) twist {
			return pageTwist(func(n int, page *connectors.Page) { page.Next = connectors.Cursor("after=" + strconv.Itoa(n)) }, snapshot)
		}},
		{name: "knows only its own bytes", rule: "cursor-json", says: "unknown bytes", twist: ownBytes},
		{name: "reuses the buffer", rule: "cursor-own", says: "has become", twist: func(*bench) twist {
			var buf []byte
			return pageTwist(func(_ int, page *connectors.Page) {
				buf = append(buf[:0], page.Next...)
				page.Next = buf
			}, snapshot)
		}},
	}
}

func ownBytes(b *bench) twist {
	given := map[string]bool{"": true}
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		b.mu.Lock()
		known := given[string(from)]
		b.mu.Unlock()
		if !known {
			return func(yield func(connectors.Page, error) bool) {
				yield(connectors.Page{}, &connectors.Error{Op: "listing", Class: connectors.CursorExpired, Err: errors.New("unknown bytes")})
			}
		}
		return pageTwist(func(_ int, page *connectors.Page) {
			b.mu.Lock()
			defer b.mu.Unlock()
			given[string(page.Next)] = true
		}, snapshot).seq(l, ctx, from, next)
	}}
}

func brokenResumes() []breakage {
	return []breakage{
		{name: "starts over", rule: "resume-pages", says: "starts over", twist: func(*bench) twist {
			return startsOver(snapshot)
		}},
		{name: "leaves a page out", rule: "resume-pages", says: "is missing", twist: func(*bench) twist {
			return twist{seq: leavesOut(func(l lane, from connectors.Cursor) bool { return l == snapshot && !from.IsZero() })}
		}},
		{name: "incomplete once continued", rule: "resume-complete", says: "does not say Complete", twist: func(*bench) twist {
			return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
				return pageTwist(func(_ int, page *connectors.Page) { page.Complete = page.Complete && from.IsZero() }, snapshot).seq(l, ctx, from, next)
			}}
		}},
		{name: "fails behind the end", rule: "resume-end", says: "behind the end", twist: failsBehindTheEnd},
		{name: "leaves a page out after an error", rule: "resume-faults", says: "is missing", twist: leavesOutAfterError},
	}
}

func startsOver(lanes ...lane) twist {
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		if !slices.Contains(lanes, l) {
			return next(ctx, from)
		}
		// A cursor that tells how often it was used keeps it from repeating.
		return pageTwist(func(n int, page *connectors.Page) {
			page.Next = connectors.Cursor(`{"v":1,"from":` + strconv.Itoa(len(from)) + `,"page":` + strconv.Itoa(n) + `}`)
		}, l).seq(l, ctx, nil, next)
	}}
}

// leavesOut drops the changes of the first page where when says so.
func leavesOut(when func(l lane, from connectors.Cursor) bool) func(lane, context.Context, connectors.Cursor, reader) pages {
	return func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		drop := when(l, from)
		return pageTwist(func(n int, page *connectors.Page) {
			if drop && n == 1 {
				page.Changes = nil
			}
		}, l).seq(l, ctx, from, next)
	}
}

func failsBehindTheEnd(b *bench) twist {
	ends := map[string]bool{}
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		b.mu.Lock()
		ended := ends[string(from)]
		b.mu.Unlock()
		if ended {
			return func(yield func(connectors.Page, error) bool) {
				yield(connectors.Page{}, &connectors.Error{Op: "listing", Class: connectors.Bug, Err: errors.New("nothing left")})
			}
		}
		return pageTwist(func(_ int, page *connectors.Page) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if page.Complete {
				ends[string(page.Next)] = true
			}
		}, snapshot).seq(l, ctx, from, next)
	}}
}

func leavesOutAfterError(b *bench) twist {
	failed := false
	watch := errorTwist(func(err error) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		failed = true
		return err
	}, snapshot)
	drop := leavesOut(func(l lane, from connectors.Cursor) bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return l == snapshot && failed && !from.IsZero()
	})
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		return drop(l, ctx, from, func(ctx context.Context, from connectors.Cursor) pages {
			return watch.seq(l, ctx, from, next)
		})
	}}
}
