package connectortest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tributary/connectors"
)

func bodyOf(text string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}

// bodyClass turns one class of a body's errors into another.
func bodyClass(from, to connectors.Class) twist {
	return bodyTwist(func(ctx context.Context, open func(context.Context) (io.ReadCloser, error)) (io.ReadCloser, error) {
		rc, err := open(ctx)
		return rc, reclassed(err, from, to)
	})
}

func brokenBodies() []breakage {
	return []breakage{
		{name: "downloads while it lists", rule: "body-lazy", says: "listing alone opened", twist: func(*bench) twist {
			return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
				return changeTwist(func(c *connectors.Change) {
					if rc, err := c.Document.Open(ctx); err == nil {
						rc.Close()
					}
				}, snapshot).seq(l, ctx, from, next)
			}}
		}},
		{name: "has one buffer for all bodies", rule: "body-concurrent", says: "opened beside others", twist: oneBuffer},
		{name: "ends a cut body quietly", rule: "body-truncated", says: "without an error", twist: func(*bench) twist {
			return bodyTwist(func(ctx context.Context, open func(context.Context) (io.ReadCloser, error)) (io.ReadCloser, error) {
				rc, err := open(ctx)
				if err != nil {
					return nil, err
				}
				text, _ := io.ReadAll(rc)
				return io.NopCloser(strings.NewReader(string(text))), rc.Close()
			})
		}},
		{name: "takes the length for the revision", rule: "revision-moves", says: "is still", twist: func(*bench) twist {
			return changeTwist(func(c *connectors.Change) { c.Ref.Revision = strconv.FormatInt(c.Document.Size, 10) }, snapshot)
		}},
		{name: "another revision each time", rule: "revision-stable", says: "the revision went from", twist: func(b *bench) twist {
			n := 0
			return changeTwist(func(c *connectors.Change) {
				b.mu.Lock()
				defer b.mu.Unlock()
				n++
				c.Ref.Revision += "-" + strconv.Itoa(n)
			}, snapshot)
		}},
	}
}

// oneBuffer lets every body read the text that was opened last.
func oneBuffer(b *bench) twist {
	var last string
	return bodyTwist(func(ctx context.Context, open func(context.Context) (io.ReadCloser, error)) (io.ReadCloser, error) {
		rc, err := open(ctx)
		if err != nil {
			return nil, err
		}
		text, err := io.ReadAll(rc)
		b.mu.Lock()
		defer b.mu.Unlock()
		last = string(text)
		return &lateBody{text: func() string {
			b.mu.Lock()
			defer b.mu.Unlock()
			return last
		}}, errors.Join(err, rc.Close())
	})
}

// lateBody finds out what it reads when it is read.
type lateBody struct {
	text func() string
	r    io.Reader
}

func (l *lateBody) Read(p []byte) (int, error) {
	if l.r == nil {
		l.r = strings.NewReader(l.text())
	}
	return l.r.Read(p)
}

func (l *lateBody) Close() error { return nil }

func brokenErrors() []breakage {
	return []breakage{
		{name: "takes 403 for an outage", rule: "class-listing", says: "answers 403", twist: func(*bench) twist {
			return classTwist(connectors.ScopeDenied, connectors.Transient, snapshot)
		}},
		{name: "takes an outage for a lost grant", rule: "class-listing", says: "answers 500", twist: func(*bench) twist {
			return classTwist(connectors.Transient, connectors.GrantLost, snapshot)
		}},
		{name: "ends the run for one body", rule: "class-body", says: "answers 404", twist: func(*bench) twist {
			return bodyClass(connectors.ItemRefused, connectors.ScopeDenied)
		}},
		{name: "skips an item in an outage", rule: "class-body", says: "answers 500", twist: func(*bench) twist {
			return bodyClass(connectors.Transient, connectors.ItemRefused)
		}},
		{name: "takes 401 for an outage", rule: "class-feed", says: "answers 401", twist: func(*bench) twist {
			return classTwist(connectors.GrantLost, connectors.Transient, changes)
		}},
		{name: "forgets Retry-After", rule: "retry-after", says: "carries 0s", twist: func(*bench) twist {
			return errorTwist(func(err error) error {
				return &connectors.Error{Op: "listing", Class: connectors.ClassOf(err), Err: errors.New("too many requests")}
			}, snapshot)
		}},
		{name: "returns bare errors", rule: "error-typed", says: "without a *connectors.Error", twist: func(*bench) twist {
			return errorTwist(func(err error) error { return errors.New(err.Error()) }, snapshot)
		}},
		{name: "takes an expired cursor for an outage", rule: "cursor-expired", says: "class transient", twist: func(*bench) twist {
			return classTwist(connectors.CursorExpired, connectors.Transient, snapshot)
		}},
		{name: "starts over without a word", rule: "cursor-expired", says: "yields 12 changes", twist: func(*bench) twist {
			return twist{seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
				return func(yield func(connectors.Page, error) bool) {
					for page, err := range next(ctx, from) {
						if connectors.ClassOf(err) == connectors.CursorExpired {
							next(ctx, nil)(yield)
							return
						}
						if !yield(page, err) {
							return
						}
					}
				}
			}}
		}},
		{name: "does not tell what is blocked", rule: "container-blocked", says: "in no blocked container", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) { page.Blocked = nil }, snapshot)
		}},
		{name: "does not tell what containers lie in", rule: "container-blocked", says: "in no blocked container", twist: func(*bench) twist {
			return pageTwist(func(_ int, page *connectors.Page) { page.Containers = nil }, snapshot)
		}},
		{name: "stops at a closed container", rule: "container-blocked", says: "with one container closed", twist: stopsAtClosed},
		{name: "leaves out what it cannot read", rule: "item-alone", says: "counts as seen", twist: leavesOutUnreadable},
	}
}

func stopsAtClosed(*bench) twist {
	return twist{seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		return func(yield func(connectors.Page, error) bool) {
			for page, err := range next(ctx, from) {
				if len(page.Blocked) > 0 {
					yield(connectors.Page{}, &connectors.Error{Op: "listing", Class: connectors.ScopeDenied, Err: errors.New("a closed container")})
					return
				}
				if !yield(page, err) {
					return
				}
			}
		}
	}}
}

func leavesOutUnreadable(*bench) twist {
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		return pageTwist(func(_ int, page *connectors.Page) {
			page.Changes = slices.DeleteFunc(page.Changes, func(c connectors.Change) bool {
				rc, err := c.Document.Open(ctx)
				if err == nil {
					rc.Close()
				}
				return err != nil
			})
		}, snapshot).seq(l, ctx, from, next)
	}}
}

func brokenCancels() []breakage {
	deaf := func(*bench) twist {
		return twist{seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
			return next(context.WithoutCancel(ctx), from)
		}}
	}
	return []breakage{
		{name: "reads on", rule: "cancel-between", says: "pages came", twist: deaf},
		{name: "starts all the same", rule: "cancel-before", says: "cancelled before the start", twist: deaf},
		{name: "waits for the site", rule: "cancel-listing", says: "has not returned", twist: deaf},
		{name: "ends without the context's error", rule: "cancel-listing", says: "the wire broke", twist: func(*bench) twist {
			return errorTwist(func(err error) error {
				if errors.Is(err, context.Canceled) {
					return &connectors.Error{Op: "listing", Class: connectors.Transient, Err: errors.New("the wire broke")}
				}
				return err
			}, snapshot)
		}},
		{name: "waits for the site", rule: "cancel-body", says: "has not returned", twist: func(*bench) twist {
			return bodyTwist(func(ctx context.Context, open func(context.Context) (io.ReadCloser, error)) (io.ReadCloser, error) {
				return open(context.WithoutCancel(ctx))
			})
		}},
	}
}

func brokenLeaks() []breakage {
	return []breakage{
		{name: "a session keeps a goroutine", rule: "leak-whole", says: "goroutine", twist: func(b *bench) twist {
			return twist{open: func(ctx context.Context, env connectors.Env, next opener) (connectors.Session, error) {
				go func() { <-b.over }()
				return next(ctx, env)
			}}
		}},
		{name: "a producer waits for its consumer", rule: "leak-abandoned", says: "goroutine", twist: func(b *bench) twist {
			return twist{seq: func(_ lane, ctx context.Context, from connectors.Cursor, next reader) pages {
				return produced(b, next(ctx, from))
			}}
		}},
		{name: "an error leaves a goroutine", rule: "leak-failed", says: "goroutine", twist: func(b *bench) twist {
			return errorTwist(func(err error) error {
				go func() { <-b.over }()
				return err
			}, snapshot)
		}},
	}
}

// produced reads inner ahead in a goroutine that nobody stops before the test
// ends.
func produced(b *bench, inner pages) pages {
	type result struct {
		page connectors.Page
		err  error
	}
	return func(yield func(connectors.Page, error) bool) {
		results := make(chan result)
		go func() {
			defer close(results)
			for page, err := range inner {
				select {
				case results <- result{page, err}:
				case <-b.over:
					return
				}
			}
		}()
		for r := range results {
			if !yield(r.page, r.err) {
				return
			}
		}
	}
}

func brokenSecrets() []breakage {
	return []breakage{
		{name: "logs its settings", rule: "secret-log", says: "the log holds it", twist: func(*bench) twist {
			return twist{open: func(ctx context.Context, env connectors.Env, next opener) (connectors.Session, error) {
				env.Log.InfoContext(ctx, "opening", "settings", env.Settings)
				return next(ctx, env)
			}}
		}},
		{name: "quotes the request", rule: "secret-error", says: "an error holds it", twist: func(b *bench) twist {
			return errorTwist(func(err error) error {
				return &connectors.Error{Op: "listing", Class: connectors.ClassOf(err), Err: fmt.Errorf("GET /items?token=%s: %w", b.world.Settings()["token"], err)}
			}, snapshot)
		}},
		{name: "logs what it reads", rule: "content-log", says: "the log holds it", twist: func(*bench) twist {
			var log func(string)
			t := bodyTwist(func(ctx context.Context, open func(context.Context) (io.ReadCloser, error)) (io.ReadCloser, error) {
				rc, err := open(ctx)
				if err != nil {
					return nil, err
				}
				text, err := io.ReadAll(rc)
				log(string(text))
				return io.NopCloser(strings.NewReader(string(text))), errors.Join(err, rc.Close())
			})
			t.open = func(ctx context.Context, env connectors.Env, next opener) (connectors.Session, error) {
				log = func(text string) { env.Log.InfoContext(ctx, "read a body", "text", text) }
				return next(ctx, env)
			}
			return t
		}},
		{name: "quotes the answer", rule: "content-error", says: "an error holds it", twist: func(b *bench) twist {
			return errorTwist(func(err error) error {
				return &connectors.Error{Op: "listing", Class: connectors.ClassOf(err), Err: fmt.Errorf("unexpected answer %q", b.world.Truth()[0].Text)}
			}, snapshot)
		}},
	}
}
