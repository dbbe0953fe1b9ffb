package refresh

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"tributary/oauthflow"
)

// Config is what a Keeper needs.
type Config struct {
	Store Store
	// Vault opens and seals the tokens. Where it is nil, VaultErr says why, and every grant fails with it.
	Vault    oauthflow.Vault
	VaultErr error
	Sender   Sender
	// Gate bounds and breaks the calls to token endpoints; nil is none.
	Gate oauthflow.Gate
	// SpoolDir keeps pairs that the database could not take: a directory of this machine, not of the database's.
	SpoolDir string
	Timing   Timing
	// OnUncertainReauth asks for consent where a single-use token would be presented again after a lost answer.
	OnUncertainReauth bool
	// Clock is monotonic; nil is the process's.
	Clock func() time.Duration
	// Wait returns after d, or with ctx and its error; nil is in real time.
	Wait func(ctx context.Context, d time.Duration) error
	Log  *slog.Logger
	// Fail is called at every Point, for tests that end or stop the process there.
	Fail func(Point)
}

// Timing are the durations of the algorithm. Zero values become the defaults named at each field.
type Timing struct {
	// Send is how long one request may take (D): 30 s.
	Send time.Duration
	// Lease is how long a claim lasts (L), at least one and a half times Send: 60 s.
	Lease time.Duration
	// Quiet is how long nothing must have happened before a single-use token is presented again (Q): 120 s.
	Quiet time.Duration
	// Heartbeat is how often a process shows that it lives: 15 s. One is taken for dead after Silent: 60 s.
	Heartbeat, Silent time.Duration
	// Margin is kept at the end of a provider's grace period: 5 s.
	Margin time.Duration
	// Retry and RetryMost bound the wait after a failure that nobody knows: 30 s and 6 h. After one that only says
	// that the server does not answer, RetryDown is the longest: 5 min.
	Retry, RetryMost, RetryDown time.Duration
	// Poll is the shortest wait between two looks at a row that another process works on: 40 ms.
	Poll time.Duration
	// Store bounds one transaction: 10 s. Spool is the longest wait between two tries to store a spooled pair: 10 s.
	Store, Spool time.Duration
}

func (t Timing) withDefaults() Timing {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&t.Send, 30*time.Second)
	set(&t.Lease, 60*time.Second)
	set(&t.Quiet, 120*time.Second)
	set(&t.Heartbeat, 15*time.Second)
	set(&t.Silent, 60*time.Second)
	set(&t.Margin, 5*time.Second)
	set(&t.Retry, 30*time.Second)
	set(&t.RetryMost, 6*time.Hour)
	set(&t.RetryDown, 5*time.Minute)
	set(&t.Poll, 40*time.Millisecond)
	set(&t.Store, 10*time.Second)
	set(&t.Spool, 10*time.Second)
	return t
}

// Point is a place where a test can end the process.
type Point string

// The points, in the order of a refresh.
const (
	BeforeClaim       Point = "before_t1"
	InClaim           Point = "in_t1" // written, not committed
	AfterClaim        Point = "after_t1"
	BeforeWrite       Point = "before_write" // connected
	AfterWrite        Point = "after_write"
	AfterHeaders      Point = "after_headers"
	AfterBody         Point = "after_body"
	BeforeSettle      Point = "before_t2"
	InSettle          Point = "in_t2"
	AfterSettle       Point = "after_t2"
	BeforeOutcome     Point = "before_outcome" // of an answer without a pair
	AfterOutcome      Point = "after_outcome"
	BeforeSpool       Point = "before_spool"
	InSpool           Point = "in_spool" // written, not in its place
	AfterSpool        Point = "after_spool"
	BeforeSpoolRemove Point = "before_spool_remove"
	InSweep           Point = "in_sweep"
	InOrphan          Point = "in_orphan"
	InPromote         Point = "in_promote"
)

// Points lists every point.
func Points() []Point {
	return []Point{
		BeforeClaim, InClaim, AfterClaim, BeforeWrite, AfterWrite, AfterHeaders, AfterBody, BeforeSettle, InSettle, AfterSettle,
		BeforeOutcome, AfterOutcome, BeforeSpool, InSpool, AfterSpool, BeforeSpoolRemove, InSweep, InOrphan, InPromote,
	}
}

// Keeper gives out access tokens and refreshes them. It is an oauthflow.Tokens, safe for concurrent use. Run has to run
// in every process that uses one for longer than a command; Close ends it.
type Keeper struct {
	cfg    Config
	t      Timing
	holder string
	spool  *spool
	link   link
	stats  counters

	base   context.Context //nolint:containedctx // ends what outlives its caller: sending and settling
	cancel context.CancelFunc

	mu     sync.Mutex
	calls  map[uuid.UUID]*call
	hand   map[uuid.UUID]bool // attempts that this process works on
	parked map[uuid.UUID]obtained
	denied map[string]time.Duration
	closed bool
	wg     sync.WaitGroup
}

// New returns a Keeper that has touched nothing yet.
func New(cfg Config) (*Keeper, error) {
	if cfg.Store == nil || cfg.Sender == nil || cfg.SpoolDir == "" {
		return nil, errors.New("creating token keeper: a store, a sender and a spool directory are needed")
	}
	if cfg.Vault == nil && cfg.VaultErr == nil {
		cfg.VaultErr = errors.New("no master key was given")
	}
	t := cfg.Timing.withDefaults()
	if t.Lease < t.Send*3/2 {
		return nil, fmt.Errorf("creating token keeper: a lease of %s is too short for requests of %s", t.Lease, t.Send)
	}
	if cfg.Clock == nil {
		start := time.Now()
		cfg.Clock = func() time.Duration { return time.Since(start) }
	}
	if cfg.Wait == nil {
		cfg.Wait = wait
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Fail == nil {
		cfg.Fail = func(Point) {}
	}
	k := &Keeper{
		cfg: cfg, t: t, holder: newHolder(), spool: &spool{dir: cfg.SpoolDir, vault: cfg.Vault, fail: cfg.Fail},
		calls: map[uuid.UUID]*call{}, hand: map[uuid.UUID]bool{}, parked: map[uuid.UUID]obtained{}, denied: map[string]time.Duration{},
	}
	k.base, k.cancel = context.WithCancel(context.Background())
	return k, nil
}

// newHolder names this process, and no other one of any time.
func newHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails (crypto/rand)
	return fmt.Sprintf("%s/%d/%s", host, os.Getpid(), hex.EncodeToString(b[:]))
}

// Holder is the name under which this process claims.
func (k *Keeper) Holder() string { return k.holder }

// Close takes on no more refreshes, waits for those under way until ctx ends, and stops. Pairs that the database did
// not take stay in the spool.
func (k *Keeper) Close(ctx context.Context) error {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.awaitCalls()
		k.cancel()
		k.wg.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		k.cancel()
		return fmt.Errorf("waiting for refreshes under way: %w", ctx.Err())
	}
}

func (k *Keeper) awaitCalls() {
	k.mu.Lock()
	waits := make([]chan struct{}, 0, len(k.calls))
	for _, c := range k.calls {
		waits = append(waits, c.done)
	}
	k.mu.Unlock()
	for _, w := range waits {
		<-w
	}
}

// Stats counts what this process has done.
type Stats struct {
	Sent, Rotated, Spares, Discarded, Refused, Lost, Replays, NotSent, Spooled, Imported, Swept, Orphaned, Promoted int64
}

type counters struct {
	sent, rotated, spares, discarded, refused, lost, replays, notSent, spooled, imported, swept, orphaned, promoted atomic.Int64
}

// Stats returns the counts so far. Lost are the uncertain records that a lost answer made.
func (k *Keeper) Stats() Stats {
	c := &k.stats
	return Stats{
		Sent: c.sent.Load(), Rotated: c.rotated.Load(), Spares: c.spares.Load(), Discarded: c.discarded.Load(), Refused: c.refused.Load(),
		Lost: c.lost.Load(), Replays: c.replays.Load(), NotSent: c.notSent.Load(), Spooled: c.spooled.Load(), Imported: c.imported.Load(),
		Swept: c.swept.Load(), Orphaned: c.orphaned.Load(), Promoted: c.promoted.Load(),
	}
}

// link knows since when this process has been connected to the database without a gap.
type link struct {
	mu          sync.Mutex
	up          bool
	since, last time.Duration
}

// touch records that the database answered. A gap longer than most is a process that was paused.
func (l *link) touch(now, most time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up || now-l.last > most {
		l.since = now
	}
	l.up, l.last = true, now
}

func (l *link) down() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.up = false
}

// age returns how long the connection has held.
func (l *link) age(now time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.up {
		return 0
	}
	return now - l.since
}

// inRow is Store.InRow within the time that a transaction may take, and keeps link.
func (k *Keeper) inRow(ctx context.Context, grant uuid.UUID, fn func(ctx context.Context, tx Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, k.t.Store)
	defer cancel()
	var ruled error
	err := k.cfg.Store.InRow(ctx, grant, func(tx Tx) error {
		k.link.touch(k.cfg.Clock(), k.t.Silent)
		ruled = fn(ctx, tx)
		return ruled
	})
	if err != nil && !errors.Is(err, errNotMine) {
		k.link.down()
	}
	return err
}
