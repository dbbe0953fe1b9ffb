package connectortest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
)

// SeedEnv names the variable that holds the seed to run, or the first and the
// last: "301-600".
const SeedEnv = "TEST_SEED"

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

// story is one seed: a site, an engine, and what happens to both.
type story struct {
	*probe
	o      DifferentialOptions
	random *rand.Rand
	engine *engine
	tally  tally
	script []string

	names int
	// missed are documents of which the feed did not tell since the last whole
	// snapshot, with the number of the last time; all is that of the last time
	// that it may have been any.
	missed map[string]int
	all    int
	misses int
	// unknown says that an item was shared in a way that nobody can express.
	unknown bool
	cannot  map[Happening]bool
	// mended says that nothing happens any more.
	mended bool
}

func newStory(p *probe, o DifferentialOptions, seed uint64) *story {
	s := &story{
		probe: p, o: o, random: rand.New(rand.NewPCG(seed, 0)),
		missed: map[string]int{}, cannot: map[Happening]bool{},
	}
	s.engine = newEngine(s)
	return s
}

func (s *story) tell(format string, args ...any) {
	s.script = append(s.script, fmt.Sprintf(format, args...))
}

// play runs the story to its end and judges it.
func (s *story) play() {
	const first, rounds = 9, 3
	for range first {
		s.create()
	}
	for range 3 {
		s.happen()
	}
	for range 2 + s.random.IntN(rounds) {
		for range 2 + s.random.IntN(5) {
			s.happen()
		}
		s.disturb()
		s.may(s.engine.content(s.random.IntN(5)))
		s.happen()
		if s.random.IntN(2) == 0 {
			s.may(s.engine.permissions(s.random.IntN(5)))
		}
		if s.random.IntN(3) == 0 {
			s.may(s.engine.reconcile())
		}
		s.fix.Site.Mend()
		if s.random.IntN(rounds) == 0 {
			s.rest()
		}
	}
	s.rest()
	s.mended = true
	s.engine.settleReconcile()
	s.compareWhole()
}

// rest lets the engine catch up while nothing happens, and judges it.
func (s *story) rest() {
	s.mended = true
	s.tell("everything is mended")
	s.engine.settle()
	s.compareIncremental()
	s.mended = false
}

// may takes the end of a run of a disturbed source as it comes; only a
// bug is nobody's fault but the connector's.
func (s *story) may(err error) {
	if connectors.ClassOf(err) == connectors.Bug {
		s.fail("a run at a disturbed source ends as a bug: %v", err)
	}
}

// disturb sets up to three faults.
func (s *story) disturb() {
	for range s.random.IntN(4) {
		f := s.fault()
		err := s.fix.Site.Fail(f)
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		s.must(err, "fail")
		s.tally.faults++
		s.tell("fault: %s answers %s, name %q, from page %d, %d times", f.On, f.Kind, f.Name, f.Page, f.Times)
	}
}

func (s *story) fault() Fault {
	kinds := map[Place][]FaultKind{
		OnListing:   {Unauthorized, RateLimited, ServerError, Unavailable, ExpiredCursor},
		OnFeed:      {Unauthorized, RateLimited, ServerError, Unavailable, ExpiredCursor},
		OnBody:      {Forbidden, NotFound, ServerError, Truncated},
		OnContainer: {Forbidden, ServerError},
		OnACL:       {Forbidden, NotFound, ServerError},
		OnGroups:    {Forbidden, ServerError},
	}
	places := []Place{OnListing, OnFeed, OnFeed, OnBody, OnContainer, OnACL, OnGroups}
	f := Fault{On: pick(s.random, places)}
	f.Kind = pick(s.random, kinds[f.On])
	items := s.items()
	switch {
	case f.Kind == ExpiredCursor:
		return f
	case f.On == OnContainer:
		f.Name = pick(s.random, folders())
	case (f.On == OnBody || f.On == OnACL) && len(items) > 0:
		f.Name = pick(s.random, items).Name
	case f.On == OnListing || f.On == OnFeed:
		f.Page = s.random.IntN(3)
	}
	f.Times = s.random.IntN(4)
	return f
}

func folders() []string { return []string{"a", "a/deep", "b", "c"} }

func pick[T any](random *rand.Rand, from []T) T { return from[random.IntN(len(from))] }

// items returns the site's items in a fixed order.
func (s *story) items() []Item {
	items, err := s.fix.Site.Truth()
	s.must(err, "tell the truth")
	slices.SortFunc(items, func(a, b Item) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
	return items
}

// happen makes one thing happen that the site can arrange.
func (s *story) happen() {
	menu := []Happening{Created, Created, Edited, Edited, Edited, Deleted, Moved, Moved, Shared, Shared, Shared, Memberships}
	for _, step := range s.o.Steps {
		menu = append(menu, step.Name, step.Name)
	}
	what := pick(s.random, menu)
	items := s.items()
	const fewest = 4
	if len(items) < fewest || s.cannot[what] {
		what = Created
	}
	switch what {
	case Created:
		s.create()
	case Edited:
		it := pick(s.random, items)
		s.names++
		s.put(it.Name, "edit "+strconv.Itoa(s.names))
		s.note(Edited, it.Name, it.ID)
	case Deleted:
		it := pick(s.random, items)
		s.must(s.fix.Site.Delete(it.ID), "delete "+it.ID)
		s.note(Deleted, it.Name, it.ID)
	case Moved:
		s.move(pick(s.random, items))
	case Shared:
		s.share(pick(s.random, items))
	case Memberships:
		if s.did(Memberships, s.fix.Site.ChangeMembership()) {
			s.note(Memberships, "")
		}
	default:
		s.step(what)
	}
}

func (s *story) create() {
	s.names++
	it := s.put(fmt.Sprintf("%s/doc-%02d.md", pick(s.random, folders()), s.names), "first")
	s.note(Created, it.Name, it.ID)
}

func (s *story) move(it Item) {
	s.names++
	name := fmt.Sprintf("%s/moved-%02d.md", pick(s.random, folders()), s.names)
	id, err := s.fix.Site.Move(it.ID, name)
	if s.did(Moved, err) {
		s.note(Moved, it.Name+" to "+name, slices.Compact([]string{it.ID, id})...)
	}
}

func (s *story) share(it Item) {
	with := pick(s.random, Audiences())
	err := s.fix.Site.Share(it.ID, with)
	if errors.Is(err, errors.ErrUnsupported) {
		return
	}
	s.must(err, "share "+it.ID)
	s.unknown = s.unknown || with == ForUnknown
	s.note(Shared, it.Name+" with "+string(with), it.ID)
}

func (s *story) step(what Happening) {
	for _, step := range s.o.Steps {
		if step.Name != what {
			continue
		}
		touched, err := step.Do(s.fix.Site, s.random)
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		s.must(err, string(what))
		s.note(what, "", touched...)
		return
	}
}

// did reports whether a happening happened, and remembers what cannot.
func (s *story) did(what Happening, err error) bool {
	if errors.Is(err, errors.ErrUnsupported) {
		s.cannot[what] = true
		return false
	}
	s.must(err, string(what))
	return true
}

// note counts and tells what happened, and to which items; to none in
// particular may be to any.
func (s *story) note(what Happening, detail string, ids ...string) {
	s.tally.happenings++
	s.tell("%s %s %s", what, strings.Join(ids, " "), detail)
	if _, misses := s.o.FeedMisses[what]; !misses {
		return
	}
	s.misses++
	if len(ids) == 0 {
		s.all = s.misses
	}
	for _, id := range ids {
		s.missed[id] = s.misses
	}
}

// told forgets the misses up to the given one: a whole snapshot that began then
// has made up for them.
func (s *story) told(began int) {
	maps.DeleteFunc(s.missed, func(_ string, at int) bool { return at <= began })
	if s.all <= began {
		s.all = 0
	}
}
