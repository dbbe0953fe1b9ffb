package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"

	"tributary/store"
)

// Bars of search.
const (
	leastRecall  = 0.95
	mostRatio    = 1.5
	mostSlower   = 3 * time.Millisecond
	productName  = "tributary.search"
	floatingStep = 1e-6
)

// measured is one way in one class.
type measured struct {
	name   string
	times  []time.Duration
	recall []float64
	short  int
	plans  map[string]int
}

func (m *measured) median() time.Duration { return quantile(m.times, 0.5) }

func (m *measured) meanRecall() float64 {
	sum := 0.0
	for _, r := range m.recall {
		sum += r
	}
	return sum / float64(len(m.recall))
}

func quantile(times []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

// measure asks every class by every way, in random order, and returns how many
// bars were missed.
func (b *searchBench) measure(ctx context.Context, w io.Writer) (missed int, err error) { //nolint:nonamedreturns // says what the number is
	ways, err := b.strategies(ctx)
	if err != nil {
		return 0, err
	}
	defer func() {
		for _, s := range ways {
			_ = s.conn.Close(context.WithoutCancel(ctx))
		}
	}()
	in := b.server.pg.Installation()
	fmt.Fprintf(w, "PostgreSQL %s, pgvector %s, %s, %d processors; %d chunks, vector(%d) as halfvec, k = %d\n\n", in.Version, in.Vector, runtime.Version(), runtime.NumCPU(), b.scale, searchDimensions, resultsK)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "visible\tchunks\tway\tp50 ms\tp95 ms\tp99 ms\trecall@10\tfewer than 10\tplans")
	var verdicts []string
	for n, c := range b.classes {
		list, seen, err := b.measureClass(ctx, n, c, ways)
		if err != nil {
			return 0, err
		}
		for _, m := range list {
			fmt.Fprintf(t, "%s\t%d\t%s\t%.2f\t%.2f\t%.2f\t%.3f\t%d of %d\t%s\n", c.name, seen, m.name,
				ms(m.median()), ms(quantile(m.times, 0.95)), ms(quantile(m.times, 0.99)), m.meanRecall(), m.short, len(m.times), plansOf(m))
		}
		verdict, held := judge(c.name, list)
		if !held {
			missed++
		}
		verdicts = append(verdicts, verdict)
	}
	_ = t.Flush()
	fmt.Fprintln(w)
	for _, v := range verdicts {
		fmt.Fprintln(w, v)
	}
	return missed, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func plansOf(m *measured) string {
	if len(m.plans) == 0 {
		return ""
	}
	return fmt.Sprint(m.plans)
}

// judge compares the product, which stands last, with the fastest way whose
// recall is enough.
func judge(class string, list []*measured) (verdict string, held bool) { //nolint:nonamedreturns // two results
	ours := list[len(list)-1]
	best := list[0] // exact: its recall is 1
	for _, m := range list[:len(list)-1] {
		if m.meanRecall() >= leastRecall && m.median() < best.median() {
			best = m
		}
	}
	limit := max(time.Duration(float64(best.median())*mostRatio), best.median()+mostSlower)
	held = ours.meanRecall() >= leastRecall && ours.short == 0 && ours.median() <= limit
	word := "held"
	if !held {
		word = "MISSED"
	}
	return fmt.Sprintf("%-6s  %s: %.2f ms against %.2f ms by %s (at most %.2f), recall %.3f (at least %.2f), short answers %d", word, class,
		ms(ours.median()), ms(best.median()), best.name, ms(limit), ours.meanRecall(), leastRecall, ours.short), held
}

// questions is how many are measured in a class, behind some that warm up.
func (b *searchBench) questions() int {
	if b.scale > 500_000 {
		return 30
	}
	return 60
}

func (b *searchBench) measureClass(ctx context.Context, n int, c *class, ways []*strategy) ([]*measured, int64, error) {
	who, err := b.store.AsReader(ctx, c.reader)
	if err != nil {
		return nil, 0, fmt.Errorf("naming the reader: %w", err)
	}
	_, seen, err := b.store.VisibleCount(ctx, who, store.Filters{})
	if err != nil {
		return nil, 0, fmt.Errorf("counting what %s see: %w", c.name, err)
	}
	rnd := rand.New(rand.NewPCG(23, uint64(n))) //nolint:gosec // as in newClasses
	groups := []int64{allowGroup(n)}
	for g := range int64(otherGroups) {
		groups = append(groups, g+1)
	}
	list := make([]*measured, len(ways)+1)
	for i, s := range ways {
		list[i] = &measured{name: s.name}
	}
	list[len(ways)] = &measured{name: productName, plans: map[string]int{}}
	const warm = 5
	for i := range warm + b.questions() {
		q := gaussian(rnd, b.centres[rnd.IntN(topics)], noise)
		answers := make([][]hit, len(list))
		times := make([]time.Duration, len(list))
		plan := ""
		for _, at := range rnd.Perm(len(list)) {
			if at < len(ways) {
				answers[at], times[at], err = ways[at].ask(ctx, q, groups)
			} else {
				answers[at], times[at], plan, err = b.ask(ctx, who, q)
			}
			if err != nil {
				return nil, 0, err
			}
		}
		if i < warm {
			continue
		}
		list[len(ways)].plans[plan]++
		for at, m := range list {
			m.times = append(m.times, times[at])
			m.recall = append(m.recall, recall(answers[at], answers[0]))
			if int64(len(answers[at])) < min(resultsK, seen) {
				m.short++
			}
		}
	}
	return list, seen, nil
}

// ask asks the product as who.
func (b *searchBench) ask(ctx context.Context, who store.Identity, q []float32) ([]hit, time.Duration, string, error) {
	began := time.Now()
	resp, err := b.store.Search(ctx, who, store.SearchRequest{Mode: store.Vector, K: resultsK, Vector: q, Profile: 1, Include: []string{store.IncludeScores}})
	took := time.Since(began)
	if err != nil {
		return nil, 0, "", fmt.Errorf("searching: %w", err)
	}
	list := make([]hit, len(resp.Results))
	for i, r := range resp.Results {
		list[i] = hit{r.DocumentID, r.ChunkID.Number, *r.Scores.VectorDistance}
	}
	return list, took, resp.Plan.Vector, nil
}

// recall is the share of the truth that was found; a chunk that is as near as
// the farthest of the truth counts.
func recall(got, truth []hit) float64 {
	if len(truth) == 0 {
		return 1
	}
	far := truth[len(truth)-1].distance + floatingStep
	found := 0
	for _, h := range got {
		if h.distance <= far {
			found++
		}
	}
	return float64(min(found, len(truth))) / float64(len(truth))
}
