package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"tributary/internal/oracle"
	"tributary/store"
)

// BenchmarkReadAudit compares searches that are recorded with searches by a
// database and a program that record none, one of each in turn. It fails where
// the medians differ by more than five percent: `make bench-audit`.
func BenchmarkReadAudit(b *testing.B) {
	const documents = 3000
	w := oracle.World{Connections: []oracle.Connection{{}}, Principals: []oracle.Principal{{}}, Readers: []oracle.Reader{{Links: []int{0}}}}
	for range documents {
		w.Documents = append(w.Documents, oracle.Document{Known: true, AllOf: [][]int{{0}}})
	}
	type side struct {
		*fixture
		who  store.Identity
		took []time.Duration
	}
	var sides [2]*side // with the record, and without
	for i := range sides {
		f := newFixture(b)
		rows := mustStore(b, f, w)
		if _, err := f.db.Owner.Exec(b.Context(), `ANALYZE`); err != nil {
			b.Fatal(err)
		}
		sides[i] = &side{fixture: f, who: rows.identity(oracle.Asker{Reader: 0, Key: -1})}
	}
	sides[1].db.MustExec(b, `CREATE OR REPLACE FUNCTION tributary.note_read(tool text, documents uuid[], question boolean DEFAULT false) RETURNS void LANGUAGE plpgsql STABLE AS 'BEGIN END'`)
	ctx, stop := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- sides[0].store.KeepReads(ctx) }()
	one := func(i, n int) {
		s, req := sides[i], store.SearchRequest{Query: "common", Mode: store.Hybrid, K: 10, Vector: make([]float32, dimensions), Profile: sides[i].profile}
		req.Vector[n%dimensions], req.Vector[(n+1)%dimensions] = 1, 0.3
		began := time.Now()
		var resp store.SearchResponse
		var err error
		if i == 0 {
			resp, err = s.store.Search(b.Context(), s.who, req)
		} else {
			resp, err = store.SearchUnrecorded(b.Context(), s.store, s.who, req)
		}
		s.took = append(s.took, time.Since(began))
		if err != nil || len(resp.Results) != req.K {
			b.Fatalf("%d results, %v", len(resp.Results), err)
		}
	}
	for n := range 20 { // plans are made, pages read
		one(n%2, n)
	}
	sides[0].took, sides[1].took = nil, nil
	for n := 0; b.Loop(); n++ {
		one(n%2, n)
		one(1-n%2, n)
	}
	stop()
	if err := <-done; err != nil || sides[0].store.LostReads() != 0 {
		b.Errorf("%v, and %d reads were lost", err, sides[0].store.LostReads())
	}
	median := func(s *side) float64 {
		slices.Sort(s.took)
		return float64(s.took[len(s.took)/2].Microseconds()) / 1000
	}
	with, without := median(sides[0]), median(sides[1])
	b.ReportMetric(with, "ms-recorded")
	b.ReportMetric(without, "ms-unrecorded")
	b.ReportMetric(with/without, "ratio")
	if b.N >= 500 && with > 1.05*without {
		b.Errorf("a recorded search takes %.3f ms, one without %.3f ms", with, without)
	}
}
