package visibility

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/oracle"
	"tributary/store"
)

// usualChecks is how many checks the normal run makes at least.
const usualChecks = 1_000_000

// history is how many events a world goes through, and askers how many
// identities ask after each of them.
const (
	history = 20
	askers  = 3
)

// TestEveryRouteEqualsOracle plays random histories, and after each event asks
// every route that gives out content, as many readers, for everything.
func TestEveryRouteEqualsOracle(t *testing.T) { //nolint:tparallel // histories are played side by side as it is
	t.Parallel()
	total := newTally()
	if seed, err := strconv.ParseUint(os.Getenv("TEST_ORACLE_SEED"), 10, 64); err == nil {
		play(t, seed, total)
		return
	}
	most := int64(usualChecks)
	if n, err := strconv.ParseInt(os.Getenv("TEST_ORACLE_CHECKS"), 10, 64); err == nil {
		most = n
	}
	began := time.Now()
	var seed atomic.Uint64
	var players sync.WaitGroup
	for range 2 {
		players.Go(func() {
			for total.made() < most && !t.Failed() {
				play(t, seed.Add(1), total)
			}
		})
	}
	players.Wait()
	t.Logf("%d checks in %d histories, %.0f a second: %.0f %% on visible documents, %.0f %% on those one edge away\n%s\n%s",
		total.checks, seed.Load(), float64(total.checks)/time.Since(began).Seconds(),
		100*float64(total.seen)/float64(total.checks), 100*float64(total.near)/float64(total.checks),
		strings.Join(sorted(total.routes), "\n"), strings.Join(sorted(total.features), "\n"))
	if total.seen*5 < total.checks || total.near*5 < total.checks {
		t.Errorf("%d of %d checks on visible documents and %d on those one edge away: too few to mean anything", total.seen, total.checks, total.near)
	}
	if missing := total.missing(); total.checks >= usualChecks && len(missing) > 0 {
		t.Errorf("no history had documents that are %s", strings.Join(missing, ", "))
	}
}

// play plays the history of a seed in a database of its own.
func play(t *testing.T, seed uint64, all *tally) {
	t.Helper()
	over := t.Failed
	ok := t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
		r, total := newRig(t), newTally()
		defer all.add(total)
		r.rng = rand.New(rand.NewPCG(seed, 0))
		r.fill([]int{300, 90, 12, 300, 300, 300, 300, 300}[seed%8]) // small ones first: they find what is easily found
		follows, sql := newConsumer(r), newLogin(r)
		done := []string{}
		for range history {
			if over() {
				return // one difference is enough
			}
			e := pick(r, events())
			done = append(done, e.name)
			e.do(r)
			err := follows.follow()
			for _, reader := range r.rng.Perm(len(r.readers))[:2] {
				err = errors.Join(err, follows.compare(reader, total))
			}
			if err != nil {
				t.Fatalf("TEST_ORACLE_SEED=%d: after %s: %v", seed, strings.Join(done, ", "), err)
			}
			if err := sql.ask(r.rng.IntN(len(r.readers)+1)-1, total); err != nil {
				t.Fatalf("TEST_ORACLE_SEED=%d: after %s: in SQL: %v", seed, strings.Join(done, ", "), err)
			}
			for _, who := range r.everyone(askers) {
				if err := r.newAsking(who, total).all(); err != nil {
					t.Fatalf("TEST_ORACLE_SEED=%d: after %s: %+v (%s): %v", seed, strings.Join(done, ", "), who, r.keys[who.Key].mode, err)
				}
			}
		}
		if where := canaries.Find(r.log.Bytes()); where != nil {
			t.Errorf("TEST_ORACLE_SEED=%d: %snobody sees the log; %s stands in it", seed, oracleSays, where)
		}
	})
	if !ok {
		t.Logf("play it again with TEST_ORACLE_SEED=%d", seed)
	}
}

// everyone returns so many askers, no two the same.
func (r *rig) everyone(n int) []oracle.Asker {
	var out []oracle.Asker
	for len(out) < n {
		who := r.someone()
		if !slices.ContainsFunc(out, func(x oracle.Asker) bool { return x.Key == who.Key && x.Reader == who.Reader }) {
			out = append(out, who)
		}
	}
	return out
}

// someone is a key, with a reader where its mode names one, and now and then
// where it does not.
func (r *rig) someone() oracle.Asker {
	k := r.rng.IntN(len(r.keys))
	for (r.keys[k].mode == store.KeyOwn || r.w.Keys[k].Dead) && r.one(80) {
		k = r.rng.IntN(len(r.keys))
	}
	who := oracle.Asker{Key: k, Reader: r.w.Keys[k].Reader}
	if r.w.Keys[k].Names || r.one(10) {
		who.Reader = r.anyReader()
	}
	return who
}
