package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"tributary/connectors"
	"tributary/internal/chunk"
	"tributary/internal/extract"
	"tributary/store"
)

// Config is what a Runner needs. Zero durations and sizes become the defaults
// named at each field.
type Config struct {
	Store *store.Store
	// Connectors by Spec.Source.
	Connectors map[string]connectors.Connector
	Extractor  *extract.Extractor
	Chunking   chunk.Config
	// Authorise acts for the grant of a connection whose source has a provider.
	// Its errors carry a class; nil refuses such connections.
	Authorise func(ctx context.Context, c store.Connection, spec connectors.Spec) (Authorised, error)
	// Embedders makes the embedder of a profile; nil is the built-in choice.
	Embedders func(store.Profile) (Embedder, error)
	Log       *slog.Logger
	// Refresher keeps the tokens of grants fresh; nil leaves that to other
	// processes.
	Refresher Refresher
	// Tend ends grants and connections whose time is over, and revokes what is
	// left to revoke; nil leaves that to other processes.
	Tend func(ctx context.Context) error

	// Version is this program's, for the list of workers and the receipts of
	// erasures.
	Version string
	// Workers bounds the content slices that run at once in this process: 4.
	// Permissions have half as many beside, at least 2.
	Workers int
	// Parallel bounds the documents that one slice extracts, cuts and embeds at
	// once: the number of processors, at least 2.
	Parallel int
	// Downloads bounds the documents that one slice downloads at once, which wait
	// for the source and not for a processor: 8, and at least Parallel.
	Downloads int
	// BytesInFlight bounds the raw bytes of documents between download and
	// commit, per slice: 32 MB.
	BytesInFlight int64
	// Tick is how often due work is looked for: 10 s.
	Tick time.Duration
	// Repair is how often each process looks for due work by itself, whatever
	// became of the process that leads: 1 min.
	Repair time.Duration
	// RefreshEvery is how often tokens are looked at: 30 s.
	RefreshEvery time.Duration
	// Slice is how long a slice runs before it hands over: 4 min 30 s.
	Slice time.Duration
	// HandOver is how long a slice may go on while others wait: 10 s, and less
	// where so many wait that their turns would not come within half a minute.
	HandOver time.Duration
	// Heartbeat is how often the holder of a run, and the process, show that they
	// live, and how often this one looks for runs that nobody works on: 15 s.
	Heartbeat time.Duration
	// Takeover is how long without a heartbeat a run may be taken over: 60 s.
	Takeover time.Duration
	Sweep    store.SweepRules
	// NoticesEvery is how often WatchHealth looks: 1 min.
	NoticesEvery time.Duration
	// KeyProblem says what is wrong with this process's master key, "" for
	// nothing; nil where that is not known.
	KeyProblem func() string
	// Runs says how long the logs and lists of runs are kept: 30 days, and the
	// last 20 of each connection and lane.
	Runs store.RunRetention
	// Reads is how long the records of reads are kept: 365 days.
	Reads time.Duration
	// Clean cleans the storage of tables that rows were erased from; nil where
	// this process has no role that may.
	Clean func(ctx context.Context, tables []string) (store.Cleaned, error)
}

func (c Config) withDefaults() Config {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&c.Tick, 10*time.Second)
	set(&c.Repair, time.Minute)
	set(&c.NoticesEvery, time.Minute)
	set(&c.RefreshEvery, 30*time.Second)
	set(&c.Slice, 270*time.Second)
	set(&c.HandOver, 10*time.Second)
	set(&c.Heartbeat, 15*time.Second)
	set(&c.Takeover, 60*time.Second)
	if c.Workers <= 0 {
		c.Workers = 4
	}
	if c.Parallel <= 0 {
		c.Parallel = max(2, runtime.GOMAXPROCS(0))
	}
	if c.Downloads <= 0 {
		c.Downloads = 8
	}
	c.Downloads = max(c.Downloads, c.Parallel)
	if c.BytesInFlight <= 0 {
		c.BytesInFlight = 32 << 20
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Sweep == (store.SweepRules{}) {
		c.Sweep = store.DefaultSweepRules()
	}
	if c.Runs == (store.RunRetention{}) {
		c.Runs = store.DefaultRunRetention()
	}
	if c.Reads == 0 {
		c.Reads = 365 * 24 * time.Hour
	}
	return c
}

// Runner executes jobs in this process. Without Start it only enqueues, and
// works on single runs by RunHere.
type Runner struct {
	cfg    Config
	store  *store.Store
	client *river.Client[pgx.Tx]
	owner  owner

	stopOnce sync.Once
	stopping chan struct{}
	started  bool
	// shares is true while this process works on whatever waits.
	shares atomic.Bool
	cancel context.CancelFunc
	wakes  wakes
	// filling has the ids of profiles whose queue is being filled.
	filling sync.Map
	glances glances
	kinds   []string
	showing sync.WaitGroup
	answers *answers
	turns   turns
	// forgot is when old runs were forgotten, in seconds.
	forgot atomic.Int64
}

// New returns a Runner. It registers every job kind, so that any process can
// execute, or rescue, what another one enqueued.
func New(cfg Config) (*Runner, error) {
	cfg = cfg.withDefaults()
	if cfg.Store == nil || cfg.Extractor == nil {
		return nil, errors.New("creating runner: a store and an extractor are needed")
	}
	if cfg.Embedders == nil {
		cfg.Embedders = NewEmbedder
	}
	r := &Runner{cfg: cfg, store: cfg.Store, owner: newOwner(), stopping: make(chan struct{}), answers: newAnswers(), wakes: wakes{last: map[int16]time.Time{}, failures: map[int16]int{}}}
	workers, kinds, err := r.register()
	if err != nil {
		return nil, err
	}
	r.kinds = kinds
	client, err := river.NewClient(riverpgxv5.New(cfg.Store.Pool()), &river.Config{
		Schema:            store.RiverSchema,
		Logger:            cfg.Log,
		Workers:           workers,
		Queues:            queues(cfg),
		JobTimeout:        cfg.longestJob(),
		SoftStopTimeout:   20 * time.Second,
		ReindexerSchedule: river.NeverSchedule(), // the role app owns no index
		PeriodicJobs:      []*river.PeriodicJob{periodic(cfg.Tick, TickArgs{}), periodic(cfg.RefreshEvery, RefreshArgs{})},
	})
	if err != nil {
		return nil, fmt.Errorf("creating job client: %w", err)
	}
	r.client = client
	return r, nil
}

// queues are those that this process works on. Tokens are refreshed only where they can be decrypted.
func queues(cfg Config) map[string]river.QueueConfig {
	q := map[string]river.QueueConfig{
		river.QueueDefault: {MaxWorkers: cfg.Workers}, queuePermissions: {MaxWorkers: max(2, cfg.Workers/2)}, queueTick: {MaxWorkers: 1}, queueEmbed: {MaxWorkers: 4}, queueErase: {MaxWorkers: 1},
	}
	if cfg.Refresher != nil {
		q[queueRefresh] = river.QueueConfig{MaxWorkers: 1}
	}
	return q
}

// periodic enqueues a job at once and then every so often, in whatever process leads.
func periodic(every time.Duration, args river.JobArgs) *river.PeriodicJob {
	return river.NewPeriodicJob(river.PeriodicInterval(every), func() (river.JobArgs, *river.InsertOpts) {
		return args, nil
	}, &river.PeriodicJobOpts{RunOnStart: true})
}

// Start works on jobs until Stop, or until ctx ends.
func (r *Runner) Start(ctx context.Context) error {
	// River hard-stops when the context of Start ends; Stop comes first here.
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	r.shares.Store(true)
	if err := r.client.Start(ctx); err != nil {
		r.cancel()
		return fmt.Errorf("starting workers: %w", err)
	}
	r.started = true
	r.showing.Go(func() { r.show(ctx) })
	r.showing.Go(func() { r.adopt(ctx) })
	r.showing.Go(func() { r.repair(ctx) })
	// A tick at once: runs whose process died are taken over now, not after
	// River has elected a leader.
	if _, err := r.client.Insert(ctx, TickArgs{}, nil); err != nil {
		r.cfg.Log.Warn("enqueueing first tick", "error", err)
	}
	return nil
}

// Stop ends intake, lets slices commit what they have and hand over, and
// returns when nothing runs any more, or when ctx ends.
func (r *Runner) Stop(ctx context.Context) error {
	r.stopOnce.Do(func() { close(r.stopping) })
	if !r.started {
		return nil
	}
	err := r.client.Stop(ctx)
	r.cancel()
	r.showing.Wait()
	if err != nil {
		return fmt.Errorf("stopping workers: %w", err)
	}
	return nil
}

// Connector returns the connector of a source. A source that this binary does
// not know is class Invalid.
func (r *Runner) Connector(source string) (connectors.Connector, error) {
	c, ok := r.cfg.Connectors[source]
	if !ok {
		return nil, &connectors.Error{Op: "opening connection", Class: connectors.Invalid, Err: fmt.Errorf("this version has no connector %q", source)}
	}
	return c, nil
}

func (r *Runner) isStopping() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}
