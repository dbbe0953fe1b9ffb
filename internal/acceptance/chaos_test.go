package acceptance

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// pageOfDrive is how many documents a page of the drive's listing holds at most.
const pageOfDrive = 200

// someSeed is another one each time: what happens when is chance anyway.
func someSeed(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 2))
}

// wait lets a random part of the longest pause go by.
func (c *chaos) wait(r *rand.Rand) {
	timer := time.NewTimer(time.Duration(r.Int64N(int64(c.size.pause))))
	defer timer.Stop()
	<-timer.C
}

// TestKilledAndFrozenWorkers: three processes work, some are killed and
// replaced, some are frozen for a while and go on as if nothing had been: the
// store is that of a run in peace, and a kill costs at most a page.
func TestKilledAndFrozenWorkers(t *testing.T) {
	t.Parallel()
	size := sizeOfChaos()
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	d := newHTTPDrive(t, size.documents, 4*time.Millisecond)
	want := inPeace(t, s, d)
	r := someSeed(t)
	d.downloads.Store(0)
	c := newChaos(t, s, d)
	for range 3 {
		c.work(s.url(c.db), quick()...)
	}
	c.began()
	blows := 0
	for kills := 0; kills < size.kills && c.live(); blows++ {
		c.wait(r)
		i := r.IntN(len(c.alive))
		if holder := c.holder(); holder >= 0 && r.IntN(3) > 0 {
			i = holder
		}
		w := c.alive[i]
		switch {
		case w.stopped:
			w.cont()
		case r.IntN(3) == 0 && c.moving() > 1:
			w.stop()
		default:
			w.kill()
			kills++
			c.alive = append(c.alive[:i], c.alive[i+1:]...)
			c.work(s.url(c.db), quick()...)
		}
	}
	for _, w := range c.alive {
		w.cont()
	}
	took := c.settled()
	c.verdict(want)
	again := d.downloads.Load() - int64(size.documents)
	conn := s.open(c.db)
	defer conn.Close(context.Background())
	// On a busy machine a worker that nobody struck may miss the short time that it has here to show a heartbeat.
	taken := scalar[int](t, conn, `SELECT count(*) FROM run_event WHERE code = 'taken_over'`)
	t.Logf("%d blows, %d takeovers, settled %s after the last blow, %d documents downloaded again", blows, taken, took.Round(time.Millisecond), again)
	if again > int64(max(blows, taken)*pageOfDrive) {
		t.Errorf("%d downloads were repeated after %d blows and %d takeovers, want at most a page of %d for each", again, blows, taken, pageOfDrive)
	}
}

// moving counts the workers that are not frozen.
func (c *chaos) moving() int {
	n := 0
	for _, w := range c.alive {
		if !w.stopped {
			n++
		}
	}
	return n
}

// holder returns which of the workers has the content run, -1 for none.
func (c *chaos) holder() int {
	return slices.IndexFunc(c.alive, func(w *worker) bool {
		ok, _ := c.ask(c.t.Context(), `SELECT EXISTS (SELECT FROM sync_run WHERE lane = 'content' AND worker LIKE '%' || $1 || '%')`, w.mark())
		return ok
	})
}

// live reports whether there is still something to disturb.
func (c *chaos) live() bool {
	ok, _ := c.ask(c.t.Context(), `SELECT EXISTS (SELECT FROM sync_run WHERE lane = 'content' AND state IN ('queued', 'running'))`)
	return ok
}

// TestPostgresRestarts: workers outlive a PostgreSQL that is restarted without a
// checkpoint, again and again, and go on by themselves.
func TestPostgresRestarts(t *testing.T) {
	t.Parallel()
	size := sizeOfChaos()
	s := newServer(t, serverDir(t), nil)
	d := newHTTPDrive(t, size.documents, 4*time.Millisecond)
	want := inPeace(t, s, d)
	r := someSeed(t)
	c := newChaos(t, s, d)
	workers := []*worker{c.work(c.wire.url(c.db), quick()...), c.work(c.wire.url(c.db), quick()...)}
	c.began()
	var longest time.Duration
	for range size.restarts {
		c.wait(r)
		s.restart()
		back := c.await(time.Minute, "the workers are back", `SELECT bool_and(seen_at > pg_postmaster_start_time()) FROM worker`)
		longest = max(longest, back)
		for _, w := range workers {
			c.crashed(w)
		}
	}
	took := c.settled()
	c.verdict(want)
	t.Logf("%d restarts, workers back after at most %s, settled %s after the last", size.restarts, longest.Round(time.Millisecond), took.Round(time.Millisecond))
	if longest > 30*time.Second {
		t.Errorf("the workers were back after %s, want at most 30 s", longest)
	}
}

// TestNetworkCut: one of two workers loses the database, first with a reset and
// then without a word; the other one goes on with its run, and what the first
// still sends is refused.
func TestNetworkCut(t *testing.T) {
	t.Parallel()
	size := sizeOfChaos()
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	d := newHTTPDrive(t, size.documents, 4*time.Millisecond)
	want := inPeace(t, s, d)
	c := newChaos(t, s, d)
	far := c.work(c.wire.url(c.db), quick()...)
	c.began()
	c.wire.cutOff()
	c.wait(someSeed(t))
	c.wire.mend()
	c.await(time.Minute, "the worker holds its run again", `SELECT EXISTS (SELECT FROM sync_run WHERE lane = 'content' AND (worker LIKE '%' || $1 || '%' OR state = 'succeeded'))`, far.mark())
	c.wire.hold()
	near := c.work(s.url(c.db), quick()...)
	took := c.await(2*time.Minute, "the other worker takes over", `SELECT EXISTS (SELECT FROM sync_run WHERE lane = 'content' AND (worker LIKE '%' || $1 || '%' OR state = 'succeeded'))`, near.mark())
	c.wire.mend()
	c.settled()
	c.crashed(far)
	c.crashed(near)
	c.verdict(want)
	t.Logf("the other worker took over after %s", took.Round(time.Millisecond))
}
