package soak

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

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/extract"
	"tributary/jobs"
	"tributary/store"
)

// TestDeletions: whatever a source's listings say and leave out, and whatever an
// admin decides, no document is hidden or purged that the rules keep, and after
// three clean listings the store is the source's truth. The seeds are the same
// each time; TEST_DELETION_ROUNDS adds rounds of others, which shrink.
func TestDeletions(t *testing.T) {
	t.Parallel()
	const seeds = 40
	b := newBench(t)
	var n ledger
	for seed := range seeds {
		script := scripts().Example(seed)
		if err := n.play(t.Context(), b, script); err != nil {
			t.Fatalf("seed %d: %v: %v", seed, script, err)
		}
	}
	rounds, _ := strconv.Atoi(os.Getenv("TEST_DELETION_ROUNDS"))
	for range rounds {
		rapid.Check(t, func(rt *rapid.T) {
			if err := n.play(t.Context(), b, scripts().Draw(rt, "script")); err != nil {
				rt.Fatal(err)
			}
		})
	}
	t.Logf("%d scripts, %d steps, %v; %d documents hidden, %d purged, %d held, %d plans approved and %d rejected",
		n.scripts, n.steps, n.deeds, n.hidden, n.purged, n.held, n.approved, n.rejected)
	all := deeds()
	slices.Sort(all)
	if n.steps < 300 || n.hidden < 50 || n.purged < 100 || n.approved < 5 || n.rejected < 5 || len(n.deeds) != len(slices.Compact(all)) {
		t.Error("too little happened to mean anything")
	}
}

// step is something that happens, and to which.
type step struct {
	Do string
	To int
}

func deeds() []string {
	return []string{
		"add", "lose", "lose", "lose many", "delete", "move", "move", "pass time", "pass time", "list", "list", "changes",
		"list nothing", "list half", "end early", "fail at the end", "close a folder", "close a folder", "approve", "reject", "reject",
	}
}

func scripts() *rapid.Generator[[]step] {
	one := rapid.Custom(func(t *rapid.T) step {
		return step{Do: rapid.SampledFrom(deeds()).Draw(t, "do"), To: rapid.IntRange(0, 10_000).Draw(t, "to")}
	})
	return rapid.SliceOfN(one, 6, 18)
}

// ledger counts what happened.
type ledger struct {
	scripts, steps, hidden, purged, held, approved, rejected int
	deeds                                                    map[string]int
}

func folders() []string { return []string{"a", "a/deep", "b", "c"} }

const (
	mostLost = 10 // as DefaultSweepRules says of connections of this size
	atFirst  = 40
)

// past is what is known of the documents besides what is stored.
type past struct {
	*story
	w *reference.World
	n *ledger
	// hiddenAt is since when a document is absent.
	hiddenAt map[string]time.Time
	now      time.Time
	next     int
	// there are documents that an admin kept and nothing has named since. Doubted
	// is true until a clean listing has named those that exist.
	there   map[string]bool
	doubted bool
}

func (n *ledger) play(ctx context.Context, b *bench, script []step) error {
	n.scripts++
	if n.deeds == nil {
		n.deeds = map[string]int{}
	}
	w := reference.New()
	w.AddPeople("alice")
	w.SetPageSize(7)
	s := &story{bench: b, ctx: ctx, random: rand.New(rand.NewPCG(1, 1)), source: &world{w: w}}
	var err error
	s.runner, err = jobs.New(jobs.Config{
		Store: b.store, Extractor: extract.New(extract.Config{}), Connectors: map[string]connectors.Connector{reference.Source: w.Connector()},
	})
	if err != nil {
		return err
	}
	if s.conn, err = b.store.CreateConnection(ctx, store.NewConnection{Name: fmt.Sprint("deletions-", n.scripts), Source: reference.Source, Settings: w.Settings()}); err != nil {
		return err
	}
	p := &past{story: s, w: w, n: n, hiddenAt: map[string]time.Time{}, there: map[string]bool{}, now: time.Unix(0, 0)}
	for range atFirst {
		p.add()
	}
	p.look("list", store.RunSnapshot, "") //nolint:contextcheck // a story's context is its own
	for i, st := range script {
		n.steps++
		n.deeds[st.Do]++
		if p.do(st); len(p.problems) > 0 { //nolint:contextcheck // a story's context is its own
			return fmt.Errorf("step %d, %v: %w", i, st, errors.Join(p.problems...))
		}
	}
	p.settle() //nolint:contextcheck // a story's context is its own
	return errors.Join(p.problems...)
}

func (p *past) add() {
	p.next++
	id := fmt.Sprintf("doc-%04d", p.next)
	p.w.PutItem(reference.Item{ID: id, Path: folders()[p.next%4] + "/" + id, Text: "# " + id, ACL: reference.Readers(reference.User("alice"))})
}

func (p *past) do(st step) {
	items := p.w.Truth()
	it := items[st.To%len(items)]
	switch st.Do {
	case "add":
		p.add()
	case "lose":
		p.w.Lose(it.ID)
	case "lose many":
		for _, it := range items[:min(len(items)/2, mostLost+st.To%8)] {
			p.w.Lose(it.ID)
		}
	case "delete":
		p.w.Delete(it.ID)
	case "move":
		p.w.Move(it.ID, folders()[st.To/7%4]+"/"+it.ID)
	case "pass time":
		p.pass([]time.Duration{10 * time.Minute, 61 * time.Minute, 24 * time.Hour, 8 * 24 * time.Hour}[st.To%4])
	case "list":
		p.look(st.Do, store.RunSnapshot, "")
	case "changes":
		p.look(st.Do, store.RunChanges, "")
	case "close a folder":
		p.close(folders()[st.To%4], items[st.To%len(items):])
	case "approve", "reject":
		p.decide(st.Do == "approve")
	default:
		p.lie(st.Do)
	}
	for len(p.w.Truth()) < atFirst*3/4 {
		p.add()
	}
}

// close lists a source of which a folder cannot be listed, twice, after some of
// its items were moved into that.
func (p *past) close(folder string, items []reference.Item) {
	for _, it := range items[:min(len(items), 2)] {
		p.w.Move(it.ID, folder+"/"+it.ID)
	}
	for range 2 {
		p.w.Fail(reference.FaultOn{On: connectortest.OnContainer, Kind: connectortest.Forbidden, Name: folder})
		p.look("close a folder", store.RunSnapshot, folder)
		p.pass(61 * time.Minute)
	}
}

func (p *past) pass(d time.Duration) {
	p.advance(d)
	p.now = p.now.Add(d)
}

// lie lists what is not so, of a source that was seen as it is: what it loses
// has to be more than may be missing at a time without a question.
func (p *past) lie(how string) {
	for range 2 {
		p.look("list", store.RunSnapshot, "")
	}
	if stored := p.stored(p.conn); p.doubted || len(stored) < atFirst*3/4 {
		return
	}
	fault := map[string]reference.FaultOn{
		"list nothing": {Kind: reference.EmptyListing}, "list half": {Kind: reference.HalfListing}, "end early": {Kind: reference.FalseComplete, Page: 2},
		"fail at the end": {Kind: connectortest.Forbidden, Page: (len(p.w.Truth()) + 6) / 7},
	}[how]
	p.w.Fail(fault)
	p.look(how, store.RunSnapshot, "")
}

// look runs the content once and holds what it did to the rules.
func (p *past) look(how string, kind store.RunKind, closed string) {
	p.pass(time.Second) // no two runs end at the same time
	before, truth := p.stored(p.conn), p.places()
	run := p.sync(kind)
	p.w.Mend()
	after := p.stored(p.conn)
	p.tell("%s: %s %+v", how, run.State, run.Counts)
	hidden, purged := 0, 0
	for id, was := range before {
		now, kept := after[id]
		place, there := truth[id]
		inside := closed != "" && there && within(place, closed)
		since, absent := p.hiddenAt[id]
		switch {
		case !kept:
			purged++
			p.purgedBy(how, id, there, inside, p.now.Sub(since), absent, closed)
		case was.Hidden == "" && now.Hidden != "":
			hidden++
			p.hiddenAt[id] = p.now
			if p.there[id] || there && !inside || !there && within(was.Container, closed) {
				p.fail("%s hides %s (%s, at the source in %q, closed %q, rejected %t)", how, id, was.Container, place, closed, p.there[id])
			}
		case now.Hidden == "":
			delete(p.hiddenAt, id)
		}
		if there && !inside {
			delete(p.there, id)
		}
		if closed != "" && within(was.Container, closed) && (!kept || now.Hidden != was.Hidden) {
			p.fail("%s: %s lies in %s, below the closed %s, and is hidden %q, was %q (kept %t)", how, id, was.Container, closed, now.Hidden, was.Hidden, kept)
		}
	}
	p.n.hidden, p.n.purged, p.n.held = p.n.hidden+hidden, p.n.purged+purged, p.n.held+int(run.Counts.Held)
	if c := run.Counts; int(c.Hidden) != hidden || int(c.Purged) != purged || hidden > mostLost || kind != store.RunChanges && purged > mostLost {
		p.fail("%s: %d are hidden and %d purged, the counts are %+v", how, hidden, purged, c)
	}
	lied := how == "list nothing" || how == "list half" || how == "end early"
	if c := run.Counts; lied && (c.Held == 0 || c.Hidden+c.Purged != 0) || how == "fail at the end" && run.State != store.RunFailed {
		p.fail("%s: it ended %s with %+v", how, run.State, c)
	}
	if how == "list" && run.State != store.RunFailed {
		p.doubted = false
		for id := range truth {
			if after[id].Hidden != "" || after[id].ID == "" {
				p.fail("a clean listing leaves %s hidden %q", id, after[id].Hidden)
			}
		}
	}
}

// purgedBy says why a document must not have been purged.
func (p *past) purgedBy(how, id string, there, inside bool, hidden time.Duration, absent bool, closed string) {
	settle := time.Hour
	if closed != "" {
		settle = 7 * 24 * time.Hour
	}
	switch {
	case how == "changes" && !there: // the feed says so
	case there && !inside:
		p.fail("%s purges %s, which the source has", how, id)
	case !absent || hidden < settle:
		p.fail("%s purges %s, hidden for %s (%t)", how, id, hidden, absent)
	}
	delete(p.hiddenAt, id)
}

func within(c, folder string) bool {
	return folder != "" && (c == folder || strings.HasPrefix(c, folder+"/"))
}

// places are the folders of what the source has.
func (p *past) places() map[string]string {
	out := map[string]string{}
	for _, it := range p.w.Truth() {
		out[it.ID] = it.Path[:strings.LastIndex(it.Path, "/")]
	}
	return out
}

// decide approves or rejects the plan that waits: exactly what it holds goes, or
// is shown.
func (p *past) decide(approve bool) {
	holds, err := p.store.Holds(p.ctx, store.HoldFilter{Connection: p.conn.ID, State: store.HoldOpen})
	if err != nil || len(holds) == 0 {
		return
	}
	held, err := p.store.HeldDocuments(p.ctx, holds[0].ID, uuid.Nil, 1000)
	if err != nil {
		p.fail("reading what is held: %w", err)
	}
	want := p.stored(p.conn)
	for _, h := range held {
		d := want[h.ExternalID]
		d.Hidden = ""
		want[h.ExternalID] = d
		delete(p.hiddenAt, h.ExternalID)
		if p.there[h.ExternalID] = !approve; approve {
			delete(want, h.ExternalID)
		}
	}
	if approve {
		p.n.approved++
		p.n.purged += len(held)
		if _, err = p.store.ApproveHold(p.ctx, holds[0].ID, "ann"); err == nil {
			_, err = p.store.PurgeApproved(p.ctx, holds[0].ID)
		}
	} else {
		p.n.rejected++
		p.doubted = true
		_, err = p.store.RejectHold(p.ctx, holds[0].ID, "ann")
	}
	if got := p.stored(p.conn); err != nil || !maps.Equal(got, want) {
		p.fail("deciding about %d of %d documents leaves %d, want %d (%w)", len(held), len(want), len(got), len(want), err)
	}
}

// settle lists three times, and the store is the source's truth. What an admin
// said is there stays until he says otherwise.
func (p *past) settle() {
	for range cleanRuns {
		p.pass(61 * time.Minute)
		p.look("list", store.RunSnapshot, "")
		p.decide(true)
	}
	holds, err := p.store.Holds(p.ctx, store.HoldFilter{Connection: p.conn.ID, State: store.HoldRejected})
	for _, h := range holds {
		if _, err = p.store.ApproveHold(p.ctx, h.ID, "ann"); err == nil {
			_, err = p.store.PurgeApproved(p.ctx, h.ID)
		}
	}
	got, want := slices.Sorted(maps.Keys(p.stored(p.conn))), slices.Sorted(maps.Keys(p.places()))
	if err != nil || !slices.Equal(got, want) || len(p.hiddenAt) > 0 {
		p.fail("after %d clean listings %d documents are stored, and the source has %d; hidden %v (%w)", cleanRuns, len(got), len(want), p.hiddenAt, err)
	}
}
