package connectortest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// SeedEnv names the variable that holds the seed to run, or the first and the
// last: "301-600".
const SeedEnv = "TEST_SEED"

// SeedsEnv names the variable that says how many sites are made where the options
// leave it open.
const SeedsEnv = "TEST_DIFFERENTIAL_SEEDS"

const defaultSeeds = 300

// DifferentialOptions are the options of [Differential].
type DifferentialOptions struct {
	// Seeds is how many sites are made; the default is 300.
	Seeds int
	// Steps are what may happen at this kind of site besides what [Site] offers.
	Steps []Step
	// FeedMisses names happenings of which the change feed does not tell, each
	// with the reason: the documents that they touched are compared only after a
	// reconcile.
	FeedMisses map[Happening]string
}

// Happening is something that happens at a site.
type Happening string

// The happenings of every site. Those of [DifferentialOptions.Steps] have
// their own names.
const (
	Created     Happening = "create"
	Edited      Happening = "edit"
	Deleted     Happening = "delete"
	Moved       Happening = "move"
	Shared      Happening = "share"
	Memberships Happening = "memberships"
)

// Step is a happening of one kind of site.
type Step struct {
	Name Happening
	// Do makes it happen and returns the ids of the items that it touched; nil
	// means perhaps all. [errors.ErrUnsupported] says that it cannot happen in
	// the site's present state.
	Do func(site Site, random *rand.Rand) (touched []string, err error)
}

// Differential syncs random sites incrementally, with faults on and runs that
// are killed and continued, and compares what is stored with a fresh sync, with
// the site's truth, and person by person with what the site lets them read. A
// failure prints the seed and everything that happened; TEST_SEED runs that seed
// alone, or a range.
func Differential(t *testing.T, h Harness, o DifferentialOptions) {
	t.Helper()
	began := time.Now()
	var total tally
	seeds, err := o.seeds()
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, seed := range seeds {
		v, n := o.run(t.Context(), h, seed, discard)
		total.add(n)
		played++
		for _, one := range v.Violations {
			t.Errorf("%s\nthe seed: %s=%d", one, SeedEnv, seed)
		}
		if v.Skipped != "" {
			t.Skip(v.Skipped)
		}
		if t.Failed() {
			break
		}
	}
	t.Logf("differential: %d seeds in %s: %s", played, time.Since(began).Round(time.Millisecond), total)
}

// CheckDifferential returns what [Differential] finds wrong with the first seed
// that fails.
func CheckDifferential(ctx context.Context, h Harness, o DifferentialOptions) []Violation {
	seeds, err := o.seeds()
	if err != nil {
		return []Violation{{Rule: "differential", Detail: err.Error()}}
	}
	for _, seed := range seeds {
		if v, _ := o.run(ctx, h, seed, discard); len(v.Violations) > 0 {
			return v.Violations
		}
	}
	return nil
}

// seeds are 1 to Seeds, or what SeedEnv names: "299", or "301-600".
func (o DifferentialOptions) seeds() ([]uint64, error) {
	first, last := uint64(1), uint64(defaultSeeds)
	if o.Seeds > 0 {
		last = uint64(o.Seeds)
	} else if n, err := strconv.ParseUint(os.Getenv(SeedsEnv), 10, 32); err == nil {
		last = n
	}
	if text := os.Getenv(SeedEnv); text != "" {
		from, to, isRange := strings.Cut(text, "-")
		if !isRange {
			to = from
		}
		var err, err2 error
		first, err = strconv.ParseUint(from, 10, 32)
		last, err2 = strconv.ParseUint(to, 10, 32)
		if err := errors.Join(err, err2); err != nil {
			return nil, fmt.Errorf("reading %s: %w", SeedEnv, err)
		}
	}
	var all []uint64
	for seed := first; seed <= last; seed++ {
		all = append(all, seed)
	}
	return all, nil
}

// run plays one seed.
func (o DifferentialOptions) run(ctx context.Context, h Harness, seed uint64, logf func(string, ...any)) (Verdict, tally) {
	var story *story
	rule := Rule{ID: "differential", Says: "Incremental runs end with what a fresh sync finds and the site has.", run: func(p *probe) { //nolint:contextcheck // a rule's context is its probe's
		story = newStory(p, o, seed)
		story.play()
	}}
	v := judge(ctx, h, rule, logf)
	if story == nil {
		return v, tally{}
	}
	if len(v.Violations) > 0 {
		v.Violations[0].Detail += "\nwhat happened:\n\t" + strings.Join(story.script, "\n\t")
	}
	return v, story.tally
}

// tally counts what the seeds did.
type tally struct{ happenings, runs, ended, killed, faults, incremental, documents int }

func (t *tally) add(o tally) {
	t.happenings += o.happenings
	t.runs += o.runs
	t.ended += o.ended
	t.killed += o.killed
	t.faults += o.faults
	t.incremental += o.incremental
	t.documents += o.documents
}

// String returns the counts for people.
func (t tally) String() string {
	return fmt.Sprintf("%d happenings, %d runs of which %d ended with an error and %d were killed, %d faults, %d sites compared before a reconcile, %d documents at the end",
		t.happenings, t.runs, t.ended, t.killed, t.faults, t.incremental, t.documents)
}
