package connectortest_test

import (
	"context"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
)

type (
	pages   = iter.Seq2[connectors.Page, error]
	members = iter.Seq2[connectors.Membership, error]
	persons = iter.Seq2[connectors.Person, error]
)

// lane is the sequence of a session that a breakage twists.
type lane string

const (
	snapshot    lane = "snapshot"
	changes     lane = "changes"
	ids         lane = "ids"
	permissions lane = "permissions"
)

// breakage is one deliberately broken connector: the reference connector with
// one thing wrong.
type breakage struct {
	name string
	// rule is the rule that must catch it.
	rule string
	// says is part of what the rule must say, so that it caught this and not
	// something else.
	says string
	// twist makes the connector wrong. It is called once for each fixture.
	twist func(b *bench) twist
	// http is the client that the engine hands out; nil is none.
	http *http.Client
}

// bench is what a breakage may use: one fixture and the end of the test.
type bench struct {
	world *reference.World
	// over is closed when the test ends, for goroutines that are left behind.
	over chan struct{}
	mu   sync.Mutex
}

// twist holds what is wrong; nil fields are right.
type twist struct {
	self    func(connectors.Principal) connectors.Principal
	spec    func(s connectors.Spec) connectors.Spec
	open    func(ctx context.Context, env connectors.Env, next opener) (connectors.Session, error)
	seq     func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages
	groups  func(ctx context.Context, next func(context.Context) members) members
	people  func(ctx context.Context, next func(context.Context) persons) persons
	start   func(c connectors.Cursor, err error) (connectors.Cursor, error)
	fetch   func(c connectors.Change, err error) (connectors.Change, error)
	verify  func(summary string, err error) (string, error)
	realm   func(realm string) string
	person  func(name string, p connectors.Principal, err error) (connectors.Principal, error)
	choices func(next iter.Seq2[connectors.Choice, error]) iter.Seq2[connectors.Choice, error]
}

type (
	opener func(ctx context.Context, env connectors.Env) (connectors.Session, error)
	reader func(ctx context.Context, from connectors.Cursor) pages
)

// harness returns the reference's harness with the connector twisted.
func (b breakage) harness(t *testing.T) connectortest.Harness {
	t.Helper()
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	return connectortest.Harness{Setup: func(connectortest.TB) connectortest.Fixture {
		const secret = "kit-canary-7f3c51d9e2"
		w := reference.New()
		w.SetPageSize(3)
		w.SetToken(secret)
		return connectortest.Fixture{
			Connector: twistedConnector{inner: w.Connector(), twist: b.twist(&bench{world: w, over: over})},
			Site:      reference.NewSite(w),
			Env:       connectors.Env{Settings: w.Settings(), HTTP: b.http}, Secret: secret,
		}
	}}
}

type twistedConnector struct {
	inner reference.Connector
	twist twist
}

func (c twistedConnector) Spec() connectors.Spec {
	if c.twist.spec == nil {
		return c.inner.Spec()
	}
	return c.twist.spec(c.inner.Spec())
}

func (c twistedConnector) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	next := func(ctx context.Context, env connectors.Env) (connectors.Session, error) {
		s, err := c.inner.Open(ctx, env)
		if err != nil {
			return nil, err
		}
		inner, ok := s.(*reference.Session)
		if !ok {
			return s, nil
		}
		return &twistedSession{Session: inner, twist: c.twist}, nil
	}
	if c.twist.open == nil {
		return next(ctx, env)
	}
	return c.twist.open(ctx, env, next)
}

type twistedSession struct {
	*reference.Session
	twist twist
}

func (s *twistedSession) seq(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
	if s.twist.seq == nil {
		return next(ctx, from)
	}
	return s.twist.seq(l, ctx, from, next)
}

func (s *twistedSession) Snapshot(ctx context.Context, from connectors.Cursor) pages {
	return s.seq(snapshot, ctx, from, s.Session.Snapshot)
}

func (s *twistedSession) Changes(ctx context.Context, from connectors.Cursor) pages {
	return s.seq(changes, ctx, from, s.Session.Changes)
}

func (s *twistedSession) ListIDs(ctx context.Context, from connectors.Cursor) pages {
	return s.seq(ids, ctx, from, s.Session.ListIDs)
}

func (s *twistedSession) Permissions(ctx context.Context, from connectors.Cursor) pages {
	return s.seq(permissions, ctx, from, s.Session.Permissions)
}

func (s *twistedSession) Groups(ctx context.Context) members {
	if s.twist.groups == nil {
		return s.Session.Groups(ctx)
	}
	return s.twist.groups(ctx, s.Session.Groups)
}

func (s *twistedSession) People(ctx context.Context) persons {
	if s.twist.people == nil {
		return s.Session.People(ctx)
	}
	return s.twist.people(ctx, s.Session.People)
}

func (s *twistedSession) Start(ctx context.Context) (connectors.Cursor, error) {
	c, err := s.Session.Start(ctx)
	if s.twist.start == nil {
		return c, err
	}
	return s.twist.start(c, err)
}

func (s *twistedSession) Fetch(ctx context.Context, id string) (connectors.Change, error) {
	c, err := s.Session.Fetch(ctx, id)
	if s.twist.fetch == nil {
		return c, err
	}
	return s.twist.fetch(c, err)
}

func (s *twistedSession) Verify(ctx context.Context) (string, error) {
	summary, err := s.Session.Verify(ctx)
	if s.twist.verify == nil {
		return summary, err
	}
	return s.twist.verify(summary, err)
}

func (s *twistedSession) Realm(ctx context.Context) (string, error) {
	realm, err := s.Session.Realm(ctx)
	if s.twist.realm == nil {
		return realm, err
	}
	return s.twist.realm(realm), err
}

func (s *twistedSession) NamePrincipal(ctx context.Context, name string) (connectors.Principal, error) {
	p, err := s.Session.NamePrincipal(ctx, name)
	if s.twist.person == nil {
		return p, err
	}
	return s.twist.person(name, p, err)
}

func (s *twistedSession) Self(ctx context.Context) (connectors.Principal, error) {
	p, err := s.Session.Self(ctx)
	if s.twist.self == nil {
		return p, err
	}
	return s.twist.self(p), err
}

func (s *twistedSession) Choices(ctx context.Context, parent string) iter.Seq2[connectors.Choice, error] {
	if s.twist.choices == nil {
		return s.Session.Choices(ctx, parent)
	}
	return s.twist.choices(s.Session.Choices(ctx, parent))
}

// pageTwist changes the pages of some lanes; n counts from 1.
func pageTwist(fn func(n int, page *connectors.Page), lanes ...lane) twist {
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		inner := next(ctx, from)
		if !slices.Contains(lanes, l) {
			return inner
		}
		return func(yield func(connectors.Page, error) bool) {
			n := 0
			for page, err := range inner {
				n++
				if err == nil {
					fn(n, &page)
				}
				if !yield(page, err) {
					return
				}
			}
		}
	}}
}

// changeTwist changes every change of some lanes.
func changeTwist(fn func(c *connectors.Change), lanes ...lane) twist {
	return pageTwist(func(_ int, page *connectors.Page) {
		for i := range page.Changes {
			fn(&page.Changes[i])
		}
	}, lanes...)
}

// bodyTwist changes how bodies open.
func bodyTwist(fn func(ctx context.Context, open func(context.Context) (io.ReadCloser, error)) (io.ReadCloser, error)) twist {
	return changeTwist(func(c *connectors.Change) {
		if c.Document == nil {
			return
		}
		open := c.Document.Open
		c.Document.Open = func(ctx context.Context) (io.ReadCloser, error) { return fn(ctx, open) }
	}, snapshot, changes)
}

// errorTwist changes the errors of some lanes.
func errorTwist(fn func(err error) error, lanes ...lane) twist {
	return twist{seq: func(l lane, ctx context.Context, from connectors.Cursor, next reader) pages {
		return func(yield func(connectors.Page, error) bool) {
			for page, err := range next(ctx, from) {
				if err != nil && slices.Contains(lanes, l) {
					err = fn(err)
				}
				if !yield(page, err) {
					return
				}
			}
		}
	}}
}

// classTwist turns one class into another.
func classTwist(from, to connectors.Class, lanes ...lane) twist {
	return errorTwist(func(err error) error { return reclassed(err, from, to) }, lanes...)
}

func reclassed(err error, from, to connectors.Class) error {
	if connectors.ClassOf(err) != from {
		return err
	}
	return &connectors.Error{Op: "listing", Class: to, RetryAfter: connectors.RetryAfterOf(err), Err: err}
}

func breakages() []breakage {
	var all []breakage
	for _, group := range [][]breakage{
		brokenSpecs(), brokenParts(), brokenCrawls(), brokenCursors(), brokenResumes(), brokenBodies(), brokenErrors(),
		brokenPermissions(), brokenGroups(), brokenFeeds(), brokenDeletions(), brokenOptional(),
		brokenCancels(), brokenLeaks(), brokenSecrets(), brokenElsewhere(),
	} {
		all = append(all, group...)
	}
	return all
}

// TestBrokenConnectorsAreCaught is not parallel: the kit looks for goroutines
// left behind.
func TestBrokenConnectorsAreCaught(t *testing.T) {
	proven := map[string]bool{}
	for _, b := range breakages() {
		proven[b.rule] = true
		t.Run(b.rule+"/"+b.name, func(t *testing.T) {
			v, err := connectortest.CheckRule(t.Context(), b.harness(t), b.rule)
			if err != nil {
				t.Fatal(err)
			}
			if len(v.Violations) == 0 {
				t.Fatalf("not caught (skipped: %q)", v.Skipped)
			}
			for _, one := range v.Violations {
				if one.Rule != b.rule {
					t.Errorf("reported as %q", one.Rule)
				}
				if strings.Contains(one.Detail, b.says) {
					return
				}
			}
			t.Errorf("caught without a word of %q: %v", b.says, v.Violations)
		})
	}
	for _, r := range connectortest.Rules() {
		if !proven[r.ID] {
			t.Errorf("rule %q has no broken connector that it catches", r.ID)
		}
	}
}

// TestUntwistedHarnessKeepsEveryRule is the other half of the proof: what the
// rules catch is the breakage and not the wrapper.
func TestUntwistedHarnessKeepsEveryRule(t *testing.T) {
	whole := breakage{twist: func(*bench) twist { return twist{} }}
	connectortest.Run(t, whole.harness(t))
}
