package jobs

import (
	"context"
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
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/embed/embedtest"
	"tributary/internal/pgtest"
	"tributary/store"
)

// stored is what the store shows of a document.
type stored struct {
	ID       uuid.UUID
	Revision int
	Hidden   bool
}

func (e *engine) stored() map[string]stored {
	e.t.Helper()
	rows, err := e.db.Owner.Query(e.t.Context(), `SELECT external_id, id, revision, hidden_reason IS NOT NULL FROM document WHERE connection_id = $1`, e.conn.ID)
	if err != nil {
		e.t.Fatal(err)
	}
	out := map[string]stored{}
	var id string
	var s stored
	if _, err := pgx.ForEachRow(rows, []any{&id, &s.ID, &s.Revision, &s.Hidden}, func() error { out[id] = s; return nil }); err != nil {
		e.t.Fatal(err)
	}
	return out
}

// did says what happened between two states, by operation.
func did(before, after map[string]stored) map[PlanOp][]string {
	out := map[PlanOp][]string{}
	for id, a := range after {
		b, was := before[id]
		switch {
		case !was || a.ID != b.ID:
			out[PlanAdd] = append(out[PlanAdd], id)
		case a.Revision != b.Revision:
			out[PlanUpdate] = append(out[PlanUpdate], id)
		case a.Hidden && !b.Hidden:
			out[PlanHide] = append(out[PlanHide], id)
		case !a.Hidden && b.Hidden:
			out[PlanRestore] = append(out[PlanRestore], id)
		}
	}
	for id, b := range before {
		if a, is := after[id]; !is || a.ID != b.ID {
			out[PlanDelete] = append(out[PlanDelete], id)
		}
	}
	return out
}

// fingerprint hashes every row of every table, with who wrote it last; the
// trail of events is left out.
func (e *engine) fingerprint() string {
	e.t.Helper()
	rows, err := e.db.Owner.Query(e.t.Context(), `
		SELECT format('SELECT %L || coalesce(md5(string_agg(x.xmin::text || x::text, ''|'' ORDER BY x::text)), '''') FROM %I.%I x', c.relname || ' ', n.nspname, c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind = 'r' AND n.nspname IN ('tributary', 'river') AND c.relname NOT LIKE 'audit%'`)
	if err != nil {
		e.t.Fatal(err)
	}
	queries, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		e.t.Fatal(err)
	}
	all := pgtest.Scalar[string](e.t, e.db, `SELECT string_agg(x, E'\n' ORDER BY x) FROM (`+strings.Join(queries, ` UNION ALL `)+`) AS q(x)`)
	if strings.Count(all, "\n") < 30 {
		e.t.Fatalf("only these tables were found:\n%s", all)
	}
	return all
}

// shake changes the world and the time by chance.
func (e *engine) shake(r *rand.Rand, seed uint64) {
	e.world.Mend()
	e.world.Churn(seed, r.IntN(12))
	items := e.world.Truth()
	if len(items) < 10 {
		for i := range 20 {
			e.world.Put(fmt.Sprintf("more-%d-%d", seed, i), fmt.Sprintf("# More %d\n\nOf world %d.\n", i, seed), reference.Readers(reference.Everyone()))
		}
		items = e.world.Truth()
	}
	pick := func() reference.Item { return items[r.IntN(len(items))] }
	for range r.IntN(4) {
		switch it := pick(); r.IntN(8) {
		case 0:
			e.world.Lose(it.ID)
		case 1:
			for _, it := range items[:r.IntN(len(items))] {
				e.world.Lose(it.ID)
			}
		case 2:
			it.Skip = "a picture"
			e.world.PutItem(it)
		case 3:
			e.world.Put(it.ID+"-copy", it.Text, it.ACL)
		case 4:
			e.world.Put(it.ID, it.Text+"\n\n## More\n\nA few words more.\n", it.ACL)
		case 5: // it has the same text and cannot be read for once
			it.Path += "x"
			e.world.Move(it.ID, it.Path)
			e.world.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.Forbidden, Name: it.Path})
		case 6:
			e.world.Fail(reference.FaultOn{On: connectortest.OnBody, Name: it.Path, Err: &connectors.Error{Op: "reading", Class: connectors.ItemSkipped}})
		case 7:
			in, _, _ := strings.Cut(it.Path, "/")
			e.world.Fail(reference.FaultOn{On: connectortest.OnContainer, Kind: connectortest.Forbidden, Name: in})
		}
		if items = e.world.Truth(); len(items) == 0 {
			break
		}
	}
	steps := []time.Duration{time.Minute, 30 * time.Minute, 2 * time.Hour, 8 * 24 * time.Hour}
	e.db.Advance(e.t, steps[r.IntN(len(steps))])
}

// dueTokens are the tokens that wait to be embedded.
func (e *engine) dueTokens() int64 {
	return pgtest.Scalar[int64](e.t, e.db, `SELECT coalesce(sum(tokens), 0) FROM embed_todo`)
}

// TestPlanIsWhatTheSyncDoes plans random changes of random worlds, with every
// body opened, and compares with what the sync then does. TEST_PLANS says how many.
func TestPlanIsWhatTheSyncDoes(t *testing.T) {
	t.Parallel()
	plans := 60
	if n, err := strconv.Atoi(os.Getenv("TEST_PLANS")); err == nil {
		plans = n
	}
	total := map[PlanOp]int{}
	held, tokens := 0, int64(0)
	for world := uint64(0); plans > 0; world++ {
		n := min(plans, 30)
		plans -= n
		ops, h, tk := comparePlans(t, world, n)
		for op, k := range ops {
			total[op] += k
		}
		held, tokens = held+h, tokens+tk
	}
	t.Logf("%v, %d held, %d tokens to embed", total, held, tokens)
	for _, op := range []PlanOp{PlanAdd, PlanUpdate, PlanHide, PlanDelete, PlanRestore} {
		if total[op] == 0 {
			t.Errorf("no plan had anything to %s", op)
		}
	}
	if held == 0 || tokens == 0 {
		t.Errorf("%d plans held deletions, %d tokens were due", held, tokens)
	}
}

func comparePlans(t *testing.T, seed uint64, n int) (map[PlanOp]int, int, int64) {
	t.Helper()
	srv := embedtest.New(embedtest.Options{})
	defer srv.Close()
	e := newEngine(t, reference.Random(seed, 25))
	if _, err := e.store.CreateProfile(t.Context(), store.Profile{Name: "remote", Kind: store.ProfileOpenAI, Model: "m", Dimensions: 8, URL: srv.URL}); err != nil {
		t.Fatal(err)
	}
	e.db.SetClock(t, time.Now())
	r := rand.New(rand.NewPCG(seed, 7))
	total, held, tokens := map[PlanOp]int{}, 0, int64(0)
	for i := range n {
		if i > 0 {
			e.shake(r, seed<<16|uint64(i))
		}
		conn, err := e.store.Connection(t.Context(), "world")
		if err != nil {
			t.Fatal(err)
		}
		o := PlanOptions{Exact: true, Items: 1000}
		if r.IntN(2) == 0 {
			o.Kind = store.RunSnapshot
		}
		before, trace := e.stored(), e.fingerprint()
		plan, err := e.runner.PlanSync(t.Context(), conn, o)
		if err != nil {
			t.Fatalf("world %d, plan %d: %v", seed, i, err)
		}
		if after := e.fingerprint(); after != trace {
			t.Fatalf("world %d, plan %d wrote: before\n%s\nafter\n%s", seed, i, trace, after)
		}
		due := e.dueTokens()
		run := e.runKind(plan.Kind)
		want := did(before, e.stored())
		got := map[PlanOp][]string{}
		for _, it := range plan.Items {
			got[it.Op] = append(got[it.Op], it.ExternalID)
		}
		for _, op := range []PlanOp{PlanAdd, PlanUpdate, PlanHide, PlanDelete, PlanRestore} {
			slices.Sort(got[op])
			slices.Sort(want[op])
			total[op] += len(want[op])
			if !slices.Equal(got[op], want[op]) {
				t.Fatalf("world %d, plan %d (%s, %s): %s\nplanned %v\nwas     %v\nrun %+v\nall planned %+v\nall was %+v", seed, i, plan.Kind, run.State, op, got[op], want[op], run.Counts, plan, want)
			}
		}
		grown := e.dueTokens() - due
		planned := plan.Text.Embed[slices.IndexFunc(plan.Text.Embed, func(p PlanEmbed) bool { return p.Profile == "remote" })].Tokens
		if !plan.Exact || planned.Likely != grown || planned.Low != planned.High || plan.Held != run.Counts.Held {
			t.Fatalf("world %d, plan %d (%s): %d tokens and %d held, planned %+v and %d, exact %v", seed, i, plan.Kind, grown, run.Counts.Held, *planned, plan.Held, plan.Exact)
		}
		tokens += grown
		if plan.Held > 0 {
			held++
		}
		if err := e.runner.DrainHere(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return total, held, tokens
}

// runKind runs one content run of a kind to its end.
func (e *engine) runKind(kind store.RunKind) store.Run {
	e.t.Helper()
	run, _, err := e.store.RequestRun(e.t.Context(), store.RunRequest{ConnectionID: e.conn.ID, Lane: store.Content, Kind: kind, Cause: "test"}, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), time.Minute)
	defer cancel()
	if run, err = e.runner.RunHere(ctx, run.ID, nil); err != nil || (run.State != store.RunSucceeded && run.State != store.RunPartial) {
		e.t.Fatalf("the run ended %s: %s, %v", run.State, run.Error, err)
	}
	return run
}

// TestSampledPlanStatesItsRange: the tokens of all bodies lie in the range that
// a sample of them gives, nearly always; what was not opened is said.
func TestSampledPlanStatesItsRange(t *testing.T) {
	t.Parallel()
	e := newEngine(t, reference.Random(7, 400))
	exact, err := e.runner.PlanSync(t.Context(), e.conn, PlanOptions{Exact: true})
	if err != nil || !exact.Exact || exact.Add != 400 || exact.Text.Opened != 400 {
		t.Fatalf("%+v, %v", exact.Text, err)
	}
	want, inside := exact.Text.Tokens.Likely, 0
	const tries = 20
	for range tries {
		plan, err := e.runner.PlanSync(t.Context(), e.conn, PlanOptions{Sample: 40})
		if err != nil || plan.Exact || plan.Text.Opened != 40 || plan.Text.ToRead != 400 || plan.Add != 400 {
			t.Fatalf("%+v, %v", plan.Text, err)
		}
		got := plan.Text.Tokens
		if got.Low <= want && want <= got.High {
			inside++
		}
		if got.Low >= got.High || float64(got.High-got.Low) > 0.5*float64(want) {
			t.Errorf("a range of %+v for %d", *got, want)
		}
	}
	if inside < tries*3/4 {
		t.Errorf("%d of %d ranges hold the number", inside, tries)
	}
	none, err := e.runner.PlanSync(t.Context(), e.conn, PlanOptions{Sample: -1})
	if err != nil || none.Text.Tokens != nil || none.Text.ToRead != 400 || none.Text.Opened != 0 {
		t.Errorf("without a sample: %+v, %v", none.Text, err)
	}
}

// TestPlanTellsWhoCouldRead: for the new documents of a first sync, and later,
// each person could read as many as the world says.
func TestPlanTellsWhoCouldRead(t *testing.T) {
	t.Parallel()
	for seed := range uint64(12) {
		e := newEngine(t, reference.Random(seed+100, 30))
		for stage := range 2 {
			if stage == 1 {
				e.must(store.Permissions, store.RunSucceeded)
				e.must(store.Content, store.RunSucceeded)
				e.world.Churn(seed, 25)
				e.must(store.Permissions, store.RunSucceeded) // stored memberships are those of now
			}
			conn, err := e.store.Connection(t.Context(), "world")
			if err != nil {
				t.Fatal(err)
			}
			plan, err := e.runner.PlanSync(t.Context(), conn, PlanOptions{Kind: store.RunSnapshot, Items: 1000})
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]int64{}
			for _, it := range plan.Items {
				for _, person := range e.world.People() {
					if it.Op == PlanAdd && e.world.CanRead(person, it.ExternalID) {
						want[person.ID]++
					}
				}
			}
			got := map[string]int64{}
			for _, p := range plan.Readers.TopPeople {
				got[p.ID] = p.Documents
			}
			if !maps.Equal(got, want) || plan.Readers.People != len(want) || plan.Readers.Documents != plan.Add {
				t.Fatalf("world %d, stage %d (%s): %v, want %v", seed, stage, plan.Readers.Memberships, got, want)
			}
			if by := map[int]string{0: store.MembershipsSource, 1: store.MembershipsStored}[stage]; plan.Add > 0 && plan.Readers.Memberships != by && len(want) > 0 {
				t.Errorf("memberships came from %s", plan.Readers.Memberships)
			}
		}
	}
}

// TestPlanOfAnotherSelection lists what it would hide, and leaves the connection as it is.
func TestPlanOfAnotherSelection(t *testing.T) {
	t.Parallel()
	w := reference.New()
	for i := range 8 {
		w.Put(fmt.Sprintf("d%d/doc", i%4), "# One\n\nText.\n", reference.Readers(reference.Everyone()))
	}
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	conn, err := e.store.Connection(t.Context(), "world")
	if err != nil {
		t.Fatal(err)
	}
	before := e.fingerprint()
	plan, err := e.runner.PlanSync(t.Context(), conn, PlanOptions{Selection: &connectors.Selection{Containers: []string{"d1", "d2", "d2"}}})
	if err != nil || !plan.Changed || plan.Kind != store.RunSnapshot || plan.Listed != 2 || plan.Unchanged != 2 || plan.Held != 2 || plan.HeldFor != store.HoldNarrowed || plan.Items[0].Op != PlanHold {
		t.Errorf("%+v, %v", plan, err)
	}
	if e.fingerprint() != before {
		t.Error("the plan wrote")
	}
	wider, err := e.runner.PlanSync(t.Context(), conn, PlanOptions{Kind: store.RunSnapshot, Selection: &connectors.Selection{Containers: []string{"d0", "d1", "d2", "d3", "d4"}}})
	if err != nil || wider.HeldFor != "" || wider.Unchanged != 4 {
		t.Errorf("a selection that leaves nothing out: %+v, %v", wider, err)
	}
	if _, err := e.runner.PlanSync(t.Context(), conn, PlanOptions{Kind: store.RunChanges, Selection: &connectors.Selection{}}); err == nil {
		t.Error("a change feed was planned for another selection")
	}
	if _, _, err := e.runner.Change(t.Context(), conn, conn.Settings, connectors.Selection{Containers: []string{"d1", "d2"}}); err != nil {
		t.Fatal(err)
	}
	if run := e.runKind(store.RunSnapshot); run.Counts.Held != 2 || run.Counts.Hidden != 0 {
		t.Errorf("the change did %+v", run.Counts)
	}
}

// TestPlanIsBounded says why it is not the whole.
func TestPlanIsBounded(t *testing.T) {
	t.Parallel()
	w := small(60)
	w.SetPageSize(10)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	for i := range 60 {
		w.Lose(fmt.Sprintf("doc-%03d", i))
		w.Put(fmt.Sprintf("new-%03d", i), "# New\n\nText.\n", reference.Readers(reference.Everyone()))
	}
	for what, o := range map[string]PlanOptions{
		"the limit of 20 items was reached": {Kind: store.RunSnapshot, Limit: 20},
		"the limit of 1ns was reached":      {Kind: store.RunSnapshot, Time: time.Nanosecond},
	} {
		plan, err := e.runner.PlanSync(t.Context(), e.conn, o)
		if err != nil || plan.Complete || plan.Exact || plan.Partial != what || plan.Hide+plan.Delete+plan.Held != 0 {
			t.Errorf("%s: %+v, %v", what, plan, err)
		}
	}
	w.Fail(reference.FaultOn{Kind: connectortest.Unavailable, Page: 3})
	plan, err := e.runner.PlanSync(t.Context(), e.conn, PlanOptions{Kind: store.RunSnapshot})
	if err != nil || plan.Listed != 20 || !strings.HasPrefix(plan.Partial, "the source failed: ") || plan.Hide+plan.Held != 0 {
		t.Errorf("a source that fails: %+v, %v", plan, err)
	}
}

// TestPlanCountsWhatIsNew: the cap of inferred deletions is a share of the documents with the new ones.
func TestPlanCountsWhatIsNew(t *testing.T) {
	t.Parallel()
	w := small(100)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	for i := range 20 {
		w.Put(fmt.Sprintf("new-%02d", i), "# New\n\nText.\n", reference.Readers(reference.Everyone()))
	}
	for i := range 12 {
		w.Lose(fmt.Sprintf("doc-%03d", i))
	}
	plan, err := e.runner.PlanSync(t.Context(), e.conn, PlanOptions{Kind: store.RunSnapshot})
	run := e.runKind(store.RunSnapshot)
	if err != nil || plan.Hide != 12 || plan.Held != 0 || run.Counts.Hidden != 12 {
		t.Errorf("planned to hide %d and to hold %d, hid %d: %v", plan.Hide, plan.Held, run.Counts.Hidden, err)
	}
}
