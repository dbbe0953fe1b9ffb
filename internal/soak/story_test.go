package soak

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/extract"
	"tributary/jobs"
	"tributary/store"
)

const (
	// cleanRuns is how many runs without trouble may pass until the store is the
	// source's truth.
	cleanRuns = 3
	// patience is how long a run may take that is not held up by anything.
	patience = time.Minute
)

// story is one seed.
type story struct {
	tally
	*bench
	ctx    context.Context //nolint:containedctx // a story is one call
	seed   uint64
	random *rand.Rand
	source source
	runner *jobs.Runner
	conn   store.Connection

	happened []string
	problems []error
	// graced are the documents whose content was refused, that are gone since,
	// and that stay hidden until their grace is over.
	graced int
	// present are the documents that the source has had since the run began.
	present map[string]bool
	// quiet is false when the source changed since the run's listing began.
	quiet bool
	end   string
}

// play plays a seed: odd ones on a world in memory, even ones on Sandbox Drive.
func play(ctx context.Context, b *bench, seed uint64) *story {
	s := &story{bench: b, ctx: ctx, seed: seed, random: rand.New(rand.NewPCG(seed, 7))}
	s.hits, s.ends = map[hit]int{}, map[store.RunState]int{}
	if err := s.open(); err != nil { //nolint:contextcheck // a story's context is its own
		s.problems = append(s.problems, err)
		return s
	}
	defer s.source.close()
	for range 4 + s.random.IntN(3) {
		s.round() //nolint:contextcheck // a story's context is its own
		if len(s.problems) > 0 {
			return s
		}
	}
	s.tell("nothing goes wrong any more")
	for k, n := range s.source.hits() {
		s.hits[hit{k, seed % 2}] += n
	}
	s.settle() //nolint:contextcheck // a story's context is its own
	return s
}

func (s *story) open() error {
	if s.seed%2 == 1 {
		s.source = newWorld(s.seed, s.random)
	} else {
		d, err := newDrive(s.random)
		if err != nil {
			return err
		}
		s.source = d
	}
	c := s.source.connector()
	var err error
	s.runner, err = jobs.New(jobs.Config{
		Store: s.store, Extractor: extract.New(extract.Config{}), Connectors: map[string]connectors.Connector{c.Spec().Source: c},
		Authorise: s.source.authorise, Parallel: 1, Downloads: 1,
	})
	if err == nil {
		s.conn, err = s.connect("soak")
	}
	return err
}

func (s *story) connect(name string) (store.Connection, error) {
	return s.store.CreateConnection(s.ctx, store.NewConnection{
		Name: fmt.Sprintf("%s-%d-%d", name, s.seed, s.runs), Source: s.source.connector().Spec().Source,
		Settings: s.source.settings(), Selection: s.source.selection(),
	})
}

func (s *story) tell(format string, args ...any) {
	s.happened = append(s.happened, fmt.Sprintf(format, args...))
}

func (s *story) fail(format string, args ...any) {
	s.problems = append(s.problems, fmt.Errorf(format, args...))
}

// round changes the source, disturbs it, and lets one run of each lane go
// through that.
func (s *story) round() {
	r := s.random
	for range 1 + r.IntN(6) {
		s.source.churn(r)
	}
	s.advance(time.Duration(r.IntN(120)) * time.Minute)
	kind := pick(r, []store.RunKind{store.RunChanges, store.RunChanges, store.RunSnapshot})
	on := s.disturbances()
	s.run(s.conn, store.Content, kind, on)
	if r.IntN(2) == 0 {
		s.run(s.conn, store.Permissions, store.RunPermissions, on)
	}
	s.source.mend()
}

// disturbances makes one to five troubles happen in the next runs. A lie comes
// after a run that saw everything, and not beside a closed folder: what it loses
// has to be more than a source may lose at a time without being asked for.
func (s *story) disturbances() []trouble {
	if s.random.IntN(4) == 0 {
		s.run(s.conn, store.Content, store.RunSnapshot, nil)
		if lie := pick(s.random, []trouble{empty, empty, half}); s.whole() {
			s.disturb(lie)
			return []trouble{lie}
		}
	}
	var on []trouble
	for range 2 + s.random.IntN(4) {
		k := pick(s.random, dealt())
		if !slices.Contains(on, k) && !k.lies() {
			on = append(on, k)
			s.disturb(k)
		}
	}
	return on
}

// whole reports whether everything that the source has is stored and shown, and
// is much.
func (s *story) whole() bool {
	stored, truth := s.stored(s.conn), s.source.truth()
	for id := range truth {
		if d, ok := stored[id]; !ok || d.Hidden != "" {
			return false
		}
	}
	return len(truth) > documents*5/6
}

func (s *story) disturb(k trouble) {
	s.source.disturb(s.random, k)
	during := func(do func(*rand.Rand)) {
		page, r := 1+s.random.IntN(3), rand.New(rand.NewPCG(s.random.Uint64(), 1))
		s.source.atPage(page, func() {
			do(r)
			s.quiet = false
			s.hits[hit{k, s.seed % 2}]++
			s.missing()
		})
	}
	switch k {
	case deleted:
		during(s.source.remove)
	case moved:
		during(s.source.move)
	default:
	}
}

// missing takes what the source does not have just now out of present.
func (s *story) missing() {
	now := s.source.truth()
	for id := range s.present {
		if _, ok := now[id]; !ok {
			delete(s.present, id)
		}
	}
}

func (s *story) advance(d time.Duration) {
	s.db.MustExec(s.t, `UPDATE test_clock SET at = at + make_interval(secs => $1)`, d.Seconds())
}

// run runs a lane to its end and judges the run.
func (s *story) run(conn store.Connection, lane store.Lane, kind store.RunKind, on []trouble) store.Run {
	conn, err := s.store.Connection(s.ctx, conn.Name)
	if err != nil {
		s.fail("reading the connection: %w", err)
		return store.Run{}
	}
	if lane == store.Content && conn.FeedCursor.IsZero() {
		kind = store.RunSnapshot
	}
	s.present, s.quiet = map[string]bool{}, true
	for id := range s.source.truth() {
		s.present[id] = true
	}
	before := s.stored(conn)
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	run, _, err := s.store.RequestRun(ctx, store.RunRequest{ConnectionID: conn.ID, Lane: lane, Kind: kind, Cause: "soak"}, nil)
	s.quiet = s.quiet && run.Cursor.IsZero() // or it continues a listing of before
	if err == nil {
		run, err = s.runner.RunHere(ctx, run.ID, nil)
	}
	s.missing()
	s.tell("%s under %v: %s %s | %.160s", kind, on, run.State, run.ErrorClass, run.Error)
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		s.fail("a run of %s under %v did not end within %s: %+v", kind, on, patience, run)
		return run
	case err != nil:
		s.fail("running %s under %v: %w", kind, on, err)
		return run
	}
	s.runs++
	s.ends[run.State]++
	s.purged += run.Counts.Purged
	s.judge(conn, run, on, before)
	return run
}

// settle runs without trouble until the store is the source's truth.
func (s *story) settle() {
	var why error
	for n := range cleanRuns {
		s.advance(61 * time.Minute)
		s.press(n)
		run := s.run(s.conn, store.Content, store.RunSnapshot, nil)
		perms := s.run(s.conn, store.Permissions, store.RunPermissions, nil)
		if len(s.problems) > 0 {
			return
		}
		if why = s.compare(); why == nil && run.State == store.RunSucceeded && perms.State == store.RunSucceeded {
			s.tell("the truth after %d clean runs", n+1)
			s.converge()
			return
		}
	}
	s.fail("no convergence within %d clean runs: %w", cleanRuns, why)
}

// converge counts the seed, once nothing is left of what was refused and is gone.
func (s *story) converge() {
	if s.graced > 0 {
		s.advance(8 * 24 * time.Hour)
		s.run(s.conn, store.Content, store.RunSnapshot, nil)
		s.run(s.conn, store.Permissions, store.RunPermissions, nil)
		if err := s.compare(); err != nil || s.graced > 0 {
			s.fail("%d documents that were refused are there after their grace: %w", s.graced, err)
			return
		}
	}
	s.converged = 1
}

// press does what an admin does once a source is well again: tries again what
// rests, and approves the deletions that are still held after a run that saw
// everything.
func (s *story) press(round int) {
	rows, err := s.db.Owner.Query(s.ctx, `SELECT external_id FROM quarantine WHERE connection_id = $1`, s.conn.ID)
	if err != nil {
		s.fail("reading what rests: %w", err)
		return
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err == nil && len(ids) > 0 {
		_, err = s.store.RetryQuarantined(s.ctx, s.conn.ID, ids)
	}
	if err != nil {
		s.fail("trying again what rests: %w", err)
		return
	}
	if round == 0 {
		return
	}
	holds, err := s.store.Holds(s.ctx, store.HoldFilter{Connection: s.conn.ID, State: store.HoldOpen})
	if err != nil {
		s.fail("reading what is held: %w", err)
		return
	}
	for _, h := range holds {
		_, err := s.store.ApproveHold(s.ctx, h.ID, "soak")
		if err == nil {
			_, err = s.store.PurgeApproved(s.ctx, h.ID)
		}
		if err != nil {
			s.fail("approving what is held: %w", err)
		}
		s.approved++
		s.tell("a plan of %d deletions is approved", h.Documents)
	}
}
