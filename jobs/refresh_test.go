package jobs

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/reference"
)

// fakeRefresher has a number of due grants.
type fakeRefresher struct {
	mu        sync.Mutex
	due       []uuid.UUID
	err       error
	swept     int
	refreshed map[uuid.UUID]int
}

func (f *fakeRefresher) Sweep(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.swept++
	return nil
}

func (f *fakeRefresher) Due(_ context.Context, limit int) ([]uuid.UUID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.due[:min(limit, len(f.due))], nil
}

func (f *fakeRefresher) Ahead(_ context.Context, grant uuid.UUID) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.refreshed[grant]++
	if f.err != nil {
		return f.err
	}
	for i, g := range f.due {
		if g == grant {
			f.due = append(f.due[:i:i], f.due[i+1:]...)
			break
		}
	}
	return nil
}

func grants(n int) []uuid.UUID {
	list := make([]uuid.UUID, n)
	for i := range list {
		list[i] = uuid.New()
	}
	return list
}

// TestRefreshAheadTakesAllThatIsDue: a job goes on until nothing is due, and asks for each grant once.
func TestRefreshAheadTakesAllThatIsDue(t *testing.T) {
	t.Parallel()
	f := &fakeRefresher{due: grants(3*refreshBatch + 7), refreshed: map[uuid.UUID]int{}}
	all := len(f.due)
	e := newEngine(t, reference.New(), func(c *Config) { c.Refresher = f })
	if err := e.runner.refreshAhead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.refreshed) != all || len(f.due) != 0 || f.swept != 1 {
		t.Errorf("%d of %d refreshed, %d left, %d sweeps", len(f.refreshed), all, len(f.due), f.swept)
	}
	for g, n := range f.refreshed {
		if n != 1 {
			t.Fatalf("grant %s: %d times", g, n)
		}
	}
}

// TestRefreshAheadEndsWhereItIsAskedToWait: an endpoint that is down is not asked for every grant again and again.
func TestRefreshAheadEndsWhereItIsAskedToWait(t *testing.T) {
	t.Parallel()
	f := &fakeRefresher{due: grants(2 * refreshBatch), refreshed: map[uuid.UUID]int{}, err: &connectors.Error{Op: "refreshing", Class: connectors.Transient, RetryAfter: time.Minute, Err: errors.New("down")}}
	e := newEngine(t, reference.New(), func(c *Config) { c.Refresher = f })
	if err := e.runner.refreshAhead(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(f.refreshed) != refreshBatch {
		t.Errorf("%d grants were tried, want one batch of %d", len(f.refreshed), refreshBatch)
	}
}

// TestRefreshAheadRuns: the job is enqueued and executed by a runner that has a refresher.
func TestRefreshAheadRuns(t *testing.T) {
	t.Parallel()
	f := &fakeRefresher{due: grants(1), refreshed: map[uuid.UUID]int{}}
	e := newEngine(t, reference.New(), func(c *Config) { c.Refresher = f })
	if err := e.runner.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for done := false; !done; <-tick.C {
		f.mu.Lock()
		done = len(f.refreshed) == 1
		f.mu.Unlock()
		if time.Now().After(deadline) {
			t.Fatal("no job refreshed the grant within 20 s")
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := e.runner.Stop(ctx); err != nil {
		t.Fatal(err)
	}
}
