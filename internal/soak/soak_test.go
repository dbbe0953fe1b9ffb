package soak

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/jobs"
	"tributary/store"
)

const (
	// usualSeeds is how many seeds `make test` plays; TEST_SOAK_SEEDS is another
	// number.
	usualSeeds = 40
	// perDatabase bounds the seeds that share a database.
	perDatabase = 20
	// documents is how many a source begins with: more than half a listing of
	// them may be lost before the cap on inferred deletions counts.
	documents = 36
	// leastHits is how often each trouble strikes in 1,000 seeds.
	leastHits = 200
)

// seeds are those that TEST_SEED names, "7" or "7-9", or else 1 to
// TEST_SOAK_SEEDS.
func seeds(t *testing.T) []uint64 {
	t.Helper()
	first, last := "1", strconv.Itoa(usualSeeds)
	if n := os.Getenv("TEST_SOAK_SEEDS"); n != "" {
		last = n
	}
	if text := os.Getenv("TEST_SEED"); text != "" {
		var both bool
		if first, last, both = strings.Cut(text, "-"); !both {
			last = first
		}
	}
	from, err := strconv.ParseUint(first, 10, 32)
	to, err2 := strconv.ParseUint(last, 10, 32)
	if err != nil || err2 != nil || from > to {
		t.Fatalf("reading TEST_SEED or TEST_SOAK_SEEDS: %q to %q are not numbers", first, last)
	}
	var all []uint64
	for s := from; s <= to; s++ {
		all = append(all, s)
	}
	return all
}

// TestSoak: whatever goes wrong at a source, and however often, no run deletes
// what the source has, none calls itself succeeded with losses, each ends, and
// at most three clean runs after the last trouble the store is the source's
// truth in documents, text and readers.
func TestSoak(t *testing.T) { //nolint:tparallel // the seeds are parallel, and are counted when they have ended
	t.Parallel()
	all := seeds(t)
	began := time.Now()
	var total tally
	var mu sync.Mutex
	var next atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for lane := range min(2*runtime.GOMAXPROCS(0), len(all)) {
			t.Run(strconv.Itoa(lane), func(t *testing.T) {
				t.Parallel()
				n := playLane(t, all, &next)
				mu.Lock()
				defer mu.Unlock()
				total.add(n)
			})
		}
	})
	t.Log(total.table())
	t.Logf("%d runs (%s), %d documents purged as they should be, %d plans of deletions held and %d approved; %.2f s a seed",
		total.runs, total.states(), total.purged, total.held, total.approved, time.Since(began).Seconds()/float64(len(all)))
	for _, k := range troubles() {
		if n := total.hits[hit{k, 0}] + total.hits[hit{k, 1}]; len(all) >= 1000 && n < leastHits {
			t.Errorf("%q struck %d times, want at least %d", k, n, leastHits)
		}
	}
	if total.converged != len(all) {
		t.Errorf("%d of %d seeds did not converge", len(all)-total.converged, len(all))
	}
	t.Logf("converged %d of %d", total.converged, len(all))
}

// TestSeedReplays: a seed makes the same things happen each time, and they end
// in the same store.
func TestSeedReplays(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{3, 4} {
		one, two := play(t.Context(), newBench(t), seed), play(t.Context(), newBench(t), seed)
		for _, err := range slices.Concat(one.problems, two.problems) {
			t.Error(err)
		}
		if !slices.Equal(one.script(), two.script()) {
			t.Errorf("seed %d happened in two ways:\n%s\nand\n%s", seed, strings.Join(one.happened, "\n"), strings.Join(two.happened, "\n"))
		}
		if one.end != two.end {
			t.Errorf("seed %d ended in two ways", seed)
		}
	}
}

// script is what happened without the words of errors, in which there are
// signatures.
func (s *story) script() []string {
	var lines []string
	for _, line := range s.happened {
		line, _, _ = strings.Cut(line, " | ")
		lines = append(lines, line)
	}
	return lines
}

// playLane takes seeds from all until there is none, or one fails.
func playLane(t *testing.T, all []uint64, next *atomic.Int64) tally {
	t.Helper()
	var total tally
	var b *bench
	for played := 0; ; played++ {
		i := int(next.Add(1)) - 1
		if i >= len(all) {
			return total
		}
		if played%perDatabase == 0 {
			b = newBench(t)
		}
		s := play(t.Context(), b, all[i])
		total.add(s.tally)
		if len(s.problems) == 0 {
			continue
		}
		for _, err := range s.problems {
			t.Errorf("seed %d: %v", s.seed, err)
		}
		t.Errorf("`TEST_SEED=%d go test -run 'TestSoak$' -v ./internal/soak` plays the seed again:\n\t%s", s.seed, strings.Join(s.happened, "\n\t"))
		return total
	}
}

// bench is a database with a clock of the test's.
type bench struct {
	t     *testing.T
	db    *pgtest.DB
	store *store.Store
}

func newBench(t *testing.T) *bench {
	t.Helper()
	db := pgtest.New(t)
	db.SetClock(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	s, err := store.Open(context.Background(), store.Config{URL: db.URL, Purpose: store.Worker, MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, err := s.EnsureProfile(t.Context(), jobs.BuiltinProfile()); err != nil {
		t.Fatal(err)
	}
	return &bench{t, db, s}
}

// tally counts what happened.
type tally struct {
	converged, runs, held, approved int
	purged                          int64
	ends                            map[store.RunState]int
	hits                            map[hit]int
}

// hit is a trouble at a kind of source, by the seed's remainder: even
// seeds play on Sandbox Drive, odd ones on a world in memory.
type hit struct {
	trouble trouble
	kind    uint64
}

func (n *tally) add(o tally) {
	if n.hits == nil {
		n.hits, n.ends = map[hit]int{}, map[store.RunState]int{}
	}
	n.converged += o.converged
	n.runs += o.runs
	n.approved += o.approved
	n.held += o.held
	n.purged += o.purged
	for k, v := range o.hits {
		n.hits[k] += v
	}
	for k, v := range o.ends {
		n.ends[k] += v
	}
}

func (n *tally) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "how often each trouble struck:\n%8s %8s\n", "drive", "world")
	for _, k := range troubles() {
		fmt.Fprintf(&b, "%8d %8d  %s\n", n.hits[hit{k, 0}], n.hits[hit{k, 1}], k)
	}
	return b.String()
}

func (n *tally) states() string {
	var parts []string
	for _, s := range []store.RunState{store.RunSucceeded, store.RunPartial, store.RunFailed, store.RunSuperseded, store.RunCancelled} {
		parts = append(parts, fmt.Sprintf("%d %s", n.ends[s], s))
	}
	return strings.Join(parts, ", ")
}
