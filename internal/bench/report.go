package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// spread is the least, middle and greatest of some figures.
type spread struct{ least, middle, most float64 }

func spreadOf(v []float64) spread {
	v = slices.Sorted(slices.Values(v))
	middle := v[len(v)/2]
	if len(v)%2 == 0 {
		middle = (v[len(v)/2-1] + middle) / 2
	}
	return spread{v[0], middle, v[len(v)-1]}
}

// pairs returns f of the samples of two rows, round by round.
func (r *rounds) pairs(a, b string, f func(a, b sample) float64) []float64 {
	var out []float64
	for i := range min(len(r.samples[a]), len(r.samples[b])) {
		out = append(out, f(r.samples[a][i], r.samples[b][i]))
	}
	return out
}

// report prints the table and the bars, and returns how many were missed. A
// bar is held by the median over the rounds.
func (r *rounds) report(w io.Writer) int {
	in := r.server.pg.Installation()
	fmt.Fprintf(w, "PostgreSQL %s, pgvector %s, %s, %d processors\n", in.Version, in.Vector, runtime.Version(), runtime.NumCPU())
	if first := r.samples[rowSync]; len(first) > 0 {
		fmt.Fprintf(w, "%d files, %.1f MB, %d chunks; %d rounds\n", first[0].Documents, float64(first[0].Bytes)/1e6, first[0].Chunks, len(first))
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "what\tchunks/s median\tmin\tmax\tdocs/s\tseconds\tCPU s client\tCPU s server\tpeak MB\t")
	for _, name := range rowNames() {
		if list := r.samples[name]; len(list) > 0 {
			writeRow(t, name, list)
		}
	}
	_ = t.Flush()
	fmt.Fprintln(w)
	return r.bars(w)
}

func writeRow(w io.Writer, name string, list []sample) {
	of := func(f func(sample) float64) spread {
		v := make([]float64, len(list))
		for i, s := range list {
			v[i] = f(s)
		}
		return spreadOf(v)
	}
	rate := of(sample.chunkRate)
	seconds := func(d func(sample) time.Duration) float64 {
		return of(func(s sample) float64 { return d(s).Seconds() }).middle
	}
	fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.0f\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f\t\n", name, rate.middle, rate.least, rate.most,
		of(func(s sample) float64 { return float64(s.Documents) / s.Wall.Seconds() }).middle,
		seconds(func(s sample) time.Duration { return s.Wall }),
		seconds(func(s sample) time.Duration { return s.Client }),
		seconds(func(s sample) time.Duration { return s.Server }),
		of(func(s sample) float64 { return float64(s.PeakRSS) / (1 << 20) }).most)
}

func (r *rounds) bars(w io.Writer) int {
	missed := 0
	bar := func(what string, values []float64, ok func(float64) bool, want string) {
		if len(values) == 0 {
			return
		}
		s, verdict := spreadOf(values), "held"
		if !ok(s.middle) {
			verdict = "MISSED"
			missed++
		}
		fmt.Fprintf(w, "%-6s  %s: %.3f (%.3f to %.3f), %s\n", verdict, what, s.middle, s.least, s.most, want)
	}
	rate := func(a, b sample) float64 { return a.chunkRate() / b.chunkRate() }
	cpu := func(a, b sample) float64 { return a.cpu().Seconds() / b.cpu().Seconds() }
	bar("chunks/s against COPY, btree + GIN + HNSW", r.pairs(rowSyncHNSW, rowCopyHNSW, rate), func(v float64) bool { return v >= 0.7 }, "at least 0.7")
	bar("chunks/s against COPY, btree + GIN", r.pairs(rowSync, rowCopy, rate), func(v float64) bool { return v >= 0.6 }, "at least 0.6")
	bar("CPU of an unchanged sync against the first, all indexes", r.pairs(rowAgainHNSW, rowSyncHNSW, cpu), func(v float64) bool { return v <= 0.03 }, "at most 0.03")
	var peak []float64
	for _, s := range r.samples[rowLarge] {
		peak = append(peak, float64(s.PeakRSS)/(1<<20))
	}
	bar("peak MB of the process on 8,000 files", peak, func(v float64) bool { return v < 250 }, "below 250")
	for _, row := range [][3]string{
		{"CPU of the pipeline against COPY, btree + GIN + HNSW", rowSyncHNSW, rowCopyHNSW},
		{"CPU of the pipeline against COPY, btree + GIN", rowSync, rowCopy},
		{"CPU of an unchanged sync against the first, btree + GIN", rowAgain, rowSync},
	} {
		if v := r.pairs(row[1], row[2], cpu); len(v) > 0 {
			s := spreadOf(v)
			fmt.Fprintf(w, "        %s: %.3f (%.3f to %.3f)\n", row[0], s.middle, s.least, s.most)
		}
	}
	return missed
}
