package jobs

import (
	"context"
	"math"
	"math/rand/v2"

	"golang.org/x/sync/errgroup"

	"tributary/connectors"
	"tributary/store"
)

// Estimate is a number with its range, twice the standard error to each side.
// Where all three are equal it is exact.
type Estimate struct {
	Low    int64 `json:"low"`
	Likely int64 `json:"likely"`
	High   int64 `json:"high"`
}

// PlanText says what the text of a plan's additions and updates would cost. Of
// ToRead bodies, Opened were opened; the other counts are of those.
type PlanText struct {
	ToRead int64 `json:"to_read"`
	Opened int64 `json:"opened"`
	// Same have the text that is stored, Empty none that can be ingested, Failed
	// could not be read.
	Same   int64 `json:"same"`
	Empty  int64 `json:"empty"`
	Failed int64 `json:"failed"`
	// Bytes are those of the bodies. Chunks and Tokens are those of text that is
	// not stored. All are nil where nothing was opened.
	Bytes  *Estimate   `json:"bytes"`
	Chunks *Estimate   `json:"chunks"`
	Tokens *Estimate   `json:"tokens"`
	Embed  []PlanEmbed `json:"embed"`
}

// PlanEmbed is what one embedding profile would have to embed.
type PlanEmbed struct {
	Profile string `json:"profile"`
	Model   string `json:"model"`
	// Local profiles are computed here and cost nothing.
	Local  bool      `json:"local"`
	Tokens *Estimate `json:"tokens"`
}

// measure is what one opened body came to; size is what the source said of it
// before.
type measure struct {
	size, bytes, chunks, tokens float64
	due                         map[int16]float64
}

// textPlan gathers the bodies that a plan opens: all of them, or a sample that
// is drawn evenly from the whole walk.
type textPlan struct {
	profiles []store.Profile
	ids      []int16
	// items is the sample, out of total bodies of size bytes; sized is false
	// where the source did not tell every size.
	items    []*item
	total    int64
	size     float64
	unsized  bool
	measures []measure
	text     PlanText
}

func (t *textPlan) load(ctx context.Context, p *planner) error {
	list, err := p.r.store.Profiles(ctx)
	if err != nil {
		return err
	}
	for _, profile := range list {
		if profile.State != store.ProfileRetired {
			t.profiles, t.ids = append(t.profiles, profile), append(t.ids, profile.ID)
		}
	}
	return nil
}

// offer takes bodies that a sync would open.
func (t *textPlan) offer(ctx context.Context, p *planner, items []*item) error {
	for _, it := range items {
		t.total++
		t.size += float64(it.change.Document.Size)
		t.unsized = t.unsized || it.change.Document.Size < 0
		switch {
		case p.o.Exact || len(t.items) < p.o.Sample:
			t.items = append(t.items, it)
		case p.o.Sample > 0:
			if i := rand.Int64N(t.total); i < int64(len(t.items)) { //nolint:gosec // a sample
				t.items[i] = it
			}
		}
	}
	if !p.o.Exact {
		return nil
	}
	defer func() { t.items = nil }()
	return t.open(ctx, p, t.items, true)
}

// openSample opens what was drawn. A sample that turned out to be everything
// makes the plan exact.
func (t *textPlan) openSample(ctx context.Context, p *planner) error {
	if p.o.Exact {
		p.plan.Exact = p.plan.Complete
		return nil
	}
	whole := int64(len(t.items)) == t.total
	ctx, cancel := context.WithTimeout(ctx, p.o.SampleTime)
	defer cancel()
	err := t.open(ctx, p, t.items, whole)
	p.plan.Exact = whole && err == nil && p.plan.Complete
	if err != nil && ctx.Err() == nil && outcomeOf(connectors.ClassOf(err)).retry || ctx.Err() != nil {
		return nil // what was opened before is told
	}
	return err
}

// open reads bodies side by side, as many at once as a slice does, and settles
// what the plan says of their items where that is asked for.
func (t *textPlan) open(ctx context.Context, p *planner, items []*item, settle bool) error {
	step := p.r.cfg.Parallel
	for len(items) > 0 {
		n := min(step, len(items))
		results := make([]result, n)
		g := errgroup.Group{}
		for i, it := range items[:n] {
			g.Go(func() error { results[i] = p.s.processItem(ctx, it); return nil })
		}
		_ = g.Wait()
		for i, it := range items[:n] {
			if results[i].kind == resultFatal {
				return results[i].err
			}
			if err := t.measure(ctx, p, it, &results[i]); err != nil {
				return err
			}
			if settle {
				p.settle(it, &results[i])
			}
		}
		items = items[n:]
	}
	return nil
}

func (t *textPlan) measure(ctx context.Context, p *planner, it *item, res *result) error {
	m := measure{size: float64(it.change.Document.Size), bytes: float64(res.bytes), due: map[int16]float64{}}
	t.text.Opened++
	switch res.kind {
	case resultTouched:
		t.text.Same++
	case resultSkipped:
		t.text.Empty++
	case resultRefused, resultQuarantined, resultFatal:
		t.text.Failed++
	case resultDocument:
		c, err := p.r.store.PlanChunks(ctx, it.known.ID, res.doc.Chunks, t.ids)
		if err != nil {
			return err
		}
		m.chunks, m.tokens = float64(c.Added), float64(c.Tokens)
		for id, tokens := range c.Due {
			m.due[id] = float64(tokens)
		}
	}
	t.measures = append(t.measures, m)
	return nil
}

// sum extrapolates from what was opened to all of it.
func (t *textPlan) sum(plan *Plan) {
	t.text.ToRead, t.text.Embed = t.total, []PlanEmbed{}
	of := func(value func(measure) float64) *Estimate { return t.estimate(value) }
	t.text.Bytes = of(func(m measure) float64 { return m.bytes })
	t.text.Chunks = of(func(m measure) float64 { return m.chunks })
	t.text.Tokens = of(func(m measure) float64 { return m.tokens })
	for _, profile := range t.profiles {
		t.text.Embed = append(t.text.Embed, PlanEmbed{
			Profile: profile.Name, Model: profile.Model, Local: profile.Local(), Tokens: of(func(m measure) float64 { return m.due[profile.ID] }),
		})
	}
	plan.Text = t.text
}

// estimate extrapolates in proportion to the sizes that the source told, or to
// the number of bodies where it did not tell them all. The range is that of a
// ratio estimator with finite population correction (Cochran, Sampling
// Techniques, §6.4), and never below what was seen.
func (t *textPlan) estimate(value func(measure) float64) *Estimate {
	n, all := float64(len(t.measures)), float64(t.total)
	if t.total == 0 {
		return &Estimate{}
	}
	if n == 0 {
		return nil
	}
	weight := func(m measure) float64 { return m.size }
	total := t.size
	var sized float64
	for _, m := range t.measures {
		sized += m.size
	}
	if t.unsized || sized <= 0 {
		weight, total, sized = func(measure) float64 { return 1 }, all, n
	}
	var sum float64
	for _, m := range t.measures {
		sum += value(m)
	}
	if n == all {
		return &Estimate{Low: int64(sum), Likely: int64(sum), High: int64(sum)}
	}
	ratio := sum / sized
	var spread float64
	for _, m := range t.measures {
		d := value(m) - ratio*weight(m)
		spread += d * d
	}
	se := all * math.Sqrt((1-n/all)*spread/max(1, n-1)/n)
	if n == 1 {
		se = ratio * total / 2 // one body says little of the others
	}
	likely := max(sum, ratio*total)
	return &Estimate{Low: int64(max(sum, likely-2*se)), Likely: int64(math.Round(likely)), High: int64(math.Ceil(likely + 2*se))}
}
