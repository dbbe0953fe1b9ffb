package connectortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"tributary/connectors"
)

// probe judges one rule on one fixture. Its methods end the rule's goroutine
// when there is nothing left to judge.
type probe struct {
	ctx  context.Context //nolint:containedctx // a probe lives as long as its one rule
	h    Harness
	rule Rule
	tb   *fixtureTB
	fix  Fixture
	spec connectors.Spec
	log  *logBuffer

	mu      sync.Mutex
	errs    []error
	verdict Verdict
}

// grace is how long a rule may take to end once its context has.
const grace = 2 * time.Second

// judge runs one rule in a goroutine of its own, so that a connector that
// hangs or panics costs a violation and not the suite.
func judge(ctx context.Context, h Harness, r Rule, logf func(string, ...any)) Verdict {
	ctx, cancel := context.WithTimeout(ctx, h.timeout())
	defer cancel()
	p := &probe{ctx: ctx, h: h, rule: r, log: &logBuffer{}}
	p.tb = &fixtureTB{probe: p, logf: logf}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.tb.clean()
		defer p.recovered()
		if !r.bare {
			p.prepare()
		}
		r.run(p)
	}()
	select {
	case <-done:
	case <-time.After(h.timeout() + grace):
		p.fail("the connector does not return, %s after the deadline of its context", grace)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return Verdict{Violations: slices.Clone(p.verdict.Violations), Skipped: p.verdict.Skipped}
}

// prepare sets the fixture up and leaves the rule if the Spec does not claim
// what it proves.
func (p *probe) prepare() {
	p.fix = p.h.Setup(p.tb)
	p.spec = p.fix.Connector.Spec()
	p.tb.Cleanup(p.fix.Site.Mend)
	if c := p.rule.Proves; c != "" && !p.spec.Has(c) {
		p.skip("the Spec does not claim %q", c)
	}
}

// fail records a violation and goes on.
func (p *probe) fail(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const enough = 20
	if len(p.verdict.Violations) < enough {
		p.verdict.Violations = append(p.verdict.Violations, Violation{Rule: p.rule.ID, Detail: fmt.Sprintf(format, args...)})
	}
}

// fatal records a violation and leaves the rule.
func (p *probe) fatal(format string, args ...any) {
	p.fail(format, args...)
	runtime.Goexit()
}

// skip leaves the rule with the reason that it was not judged.
func (p *probe) skip(format string, args ...any) {
	p.mu.Lock()
	p.verdict.Skipped = fmt.Sprintf(format, args...)
	p.mu.Unlock()
	runtime.Goexit()
}

// need leaves the rule unless err is nil. What a site does not support skips
// the rule, but a capability that the Spec claims may not go unproven.
func (p *probe) need(err error, what string) {
	if errors.Is(err, errors.ErrUnsupported) && p.rule.Proves != "" {
		p.fatal("the Spec claims %q, and the site cannot %s", p.rule.Proves, what)
	}
	p.want(err, what)
}

// want leaves the rule unless err is nil; what a site does not support skips
// the rule.
func (p *probe) want(err error, what string) {
	if errors.Is(err, errors.ErrUnsupported) {
		p.skip("the site cannot %s", what)
	}
	p.must(err, what)
}

// must leaves the rule when the site itself fails.
func (p *probe) must(err error, what string) {
	if err != nil {
		p.fatal("the harness: asking the site to %s: %v", what, err)
	}
}

// supported reports whether the site did what was asked.
func (p *probe) supported(err error, what string) bool {
	if errors.Is(err, errors.ErrUnsupported) {
		return false
	}
	p.must(err, what)
	return true
}

func (p *probe) recovered() {
	if r := recover(); r != nil {
		p.fail("panic: %v", r)
	}
}

// seen keeps err for the rules about secrets, and returns it.
func (p *probe) seen(err error) error {
	if err != nil {
		p.mu.Lock()
		p.errs = append(p.errs, err)
		p.mu.Unlock()
	}
	return err
}

func (p *probe) env() connectors.Env {
	env := p.fix.Env
	env.Log = slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	env.Clock = time.Now
	return env
}

// open starts a session and closes it when the rule ends.
func (p *probe) open() connectors.Session {
	s, end := p.openEnv(p.env())
	p.tb.Cleanup(end)
	return s
}

// openEnv starts a session and returns how to close it, which happens once.
func (p *probe) openEnv(env connectors.Env) (connectors.Session, func()) {
	s, err := p.fix.Connector.Open(p.ctx, env)
	if p.seen(err) != nil {
		p.fatal("opening a session: %v", err)
	}
	if s == nil {
		p.fatal("Open returned neither a session nor an error")
	}
	return s, sync.OnceFunc(func() {
		if err := s.Close(context.WithoutCancel(p.ctx)); p.seen(err) != nil {
			p.fail("closing the session: %v", err)
		}
	})
}

// logBuffer keeps what the connector logs.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write appends one record.
func (b *logBuffer) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(line)
}

// String returns everything logged so far.
func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// fixtureTB is the TB that Setup gets.
type fixtureTB struct {
	probe    *probe
	logf     func(string, ...any)
	cleanups []func()
}

var _ TB = (*fixtureTB)(nil)

// Context returns the rule's context.
func (b *fixtureTB) Context() context.Context { return b.probe.ctx }

// Helper does nothing.
func (b *fixtureTB) Helper() {}

// Cleanup runs fn after the rule.
func (b *fixtureTB) Cleanup(fn func()) { b.cleanups = append(b.cleanups, fn) }

// Logf writes to the test's log.
func (b *fixtureTB) Logf(format string, args ...any) { b.logf(format, args...) }

// Fatalf ends the rule as a failure of the harness.
func (b *fixtureTB) Fatalf(format string, args ...any) {
	b.probe.fatal("the harness: "+format, args...)
}

// TempDir returns a directory that is removed after the rule.
func (b *fixtureTB) TempDir() string {
	dir, err := os.MkdirTemp("", "connectortest-")
	if err != nil {
		b.Fatalf("making a directory: %v", err)
	}
	b.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			b.probe.fail("the harness: removing a directory: %v", err)
		}
	})
	return dir
}

func (b *fixtureTB) clean() {
	for len(b.cleanups) > 0 {
		last := b.cleanups[len(b.cleanups)-1]
		b.cleanups = b.cleanups[:len(b.cleanups)-1]
		last()
	}
}
