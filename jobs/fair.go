package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/google/uuid"

	"tributary/store"
)

// How slots are shared between runs.
const (
	// rotation is how long everything that waits should take to have had a turn.
	rotation = 30 * time.Second
	// leastTurn is the shortest turn: below it opening sessions would be all
	// that is done.
	leastTurn = time.Second
	// glanceEvery is how often a process looks at what waits.
	glanceEvery = time.Second
	// crowdedWait is how long a slice waits whose registration has its share.
	crowdedWait = 3 * time.Second
)

// turnOf is how long a slice may go on while others wait; 0 is without limit.
func turnOf(longest time.Duration, waiting, slots int) time.Duration {
	if waiting == 0 {
		return 0
	}
	fair := rotation * time.Duration(max(slots, 1)) / time.Duration(waiting)
	return min(max(fair, leastTurn), longest)
}

// glances are what this process last saw waiting, by lane.
type glances struct {
	mu   sync.Mutex
	seen map[store.Lane]glance
}

type glance struct {
	at    time.Time
	queue store.Queue
}

// queue returns what waits in a lane, as of a moment ago. Where that cannot be
// read, on a busy database, it is what it was.
func (r *Runner) queue(ctx context.Context, lane store.Lane) store.Queue {
	r.glances.mu.Lock()
	defer r.glances.mu.Unlock()
	g := r.glances.seen[lane]
	if time.Since(g.at) < glanceEvery {
		return g.queue
	}
	ctx, cancel := context.WithTimeout(ctx, glanceEvery)
	defer cancel()
	q, err := r.store.Queue(ctx, lane)
	if err != nil {
		q = g.queue
	}
	if r.glances.seen == nil {
		r.glances.seen = map[store.Lane]glance{}
	}
	r.glances.seen[lane] = glance{at: time.Now(), queue: q}
	return q
}

// over reports whether the slice hands over after the page that it has read:
// its time is over, the process stops, quiet hours begin, or its turn is over
// and others wait.
func (s *syncer) over(ctx context.Context) bool {
	now := time.Now()
	if now.After(s.deadline) || s.r.isStopping() || !s.quietAt.IsZero() && !now.Before(s.quietAt) {
		return true
	}
	if !s.r.shares.Load() {
		return false // this process works on one run, and frees no slot by stopping
	}
	q := s.r.queue(ctx, s.run.Lane)
	turn := turnOf(s.r.cfg.HandOver, q.Waiting, max(q.Slots, s.r.cfg.Workers))
	return turn > 0 && now.Sub(s.begun) >= turn
}

// setTurn notes when the slice began, and when it ends at the latest.
func (s *syncer) setTurn(ctx context.Context) error {
	s.begun = time.Now()
	s.deadline = s.begun.Add(s.r.cfg.Slice)
	if !keepsQuiet(s.run) {
		return nil
	}
	now, _, begins, err := s.r.store.QuietUntil(ctx, s.run.ConnectionID)
	if err != nil || begins.IsZero() {
		return err
	}
	s.quietAt = s.begun.Add(begins.Sub(now))
	return nil
}

// pause is how long a run that hands over waits for its next slice: until the
// quiet hours that hold are over.
func (s *syncer) pause(ctx context.Context) time.Duration {
	if s.quietAt.IsZero() || time.Now().Before(s.quietAt) {
		return 0
	}
	now, until, _, err := s.r.store.QuietUntil(ctx, s.run.ConnectionID)
	if err != nil || until.IsZero() {
		return 0 // the next slice looks again before it begins
	}
	return until.Sub(now)
}

// holdBack says for how long the slice of a run has to wait before it may begin:
// what the source would answer could not be stored, the run's next try has not
// come, or its client registration has its share of the slots. The job waits, and
// no worker with it.
func (r *Runner) holdBack(ctx context.Context, id uuid.UUID) (time.Duration, error) {
	if err := r.store.Writable(ctx); err != nil {
		r.cfg.Log.Warn("nothing is asked of a source while PostgreSQL takes no writes", "error", err)
		return noRoomWait, nil
	}
	run, err := r.store.Run(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if run.NextTryAt != nil && time.Now().Before(*run.NextTryAt) {
		now, err := r.store.Now(ctx)
		if err != nil {
			return 0, err
		}
		if wait := run.NextTryAt.Sub(now); wait > 0 {
			return wait, nil
		}
	}
	crowded, err := r.store.Crowded(ctx, run, max(r.queue(ctx, run.Lane).Slots, r.cfg.Workers))
	if err != nil || !crowded {
		return 0, err
	}
	return crowdedWait, nil
}
