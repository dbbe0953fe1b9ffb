package connectortest

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"tributary/connectors"
)

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
