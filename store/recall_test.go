package store_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sort"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"

	"tributary/internal/oracle"
	"tributary/store"
)

// cloud is a corpus of one-chunk documents with vectors. Document i is visible
// to reader 0 if mine(i).
type cloud struct {
	rows    worldRows
	ids     []uuid.UUID
	vectors [][]float32
	mine    []bool
}

// newCloud stores n documents whose vectors lie around centres; those of the
// reader lie around centres of their own where apart is set.
func newCloud(ctx context.Context, tb testing.TB, f *fixture, n, share int, apart bool) cloud {
	tb.Helper()
	w := oracle.World{
		Connections: []oracle.Connection{{Realm: 0}},
		Principals:  []oracle.Principal{{Realm: 0}, {Realm: 0}},
		Readers:     []oracle.Reader{{Links: []int{0}}, {Links: []int{1}}},
	}
	rows, err := storeWorld(ctx, f.db.Pool, f.profile, w)
	if err != nil {
		tb.Fatal(err)
	}
	c := cloud{rows: rows}
	rnd := rand.New(rand.NewPCG(1, uint64(n+share)))
	b := &pgx.Batch{}
	for set := range 2 {
		b.Queue(`INSERT INTO acl_set (id, hash, need_mask) VALUES ($1, $2, 2)`, set+1, []byte{byte(set)})
		b.Queue(`INSERT INTO acl_entry VALUES ($1, $2, 1)`, set+1, c.rows.principals[set])
	}
	var documents, vectors [][]any
	for i := range n {
		mine := i%share == 0
		centre := rnd.IntN(20)
		if apart && mine {
			centre += 1000
		}
		at := rand.New(rand.NewPCG(7, uint64(centre)))
		// Steps of 1/64 are exact in a halfvec.
		v := make([]float32, dimensions)
		for d := range v {
			v[d] = float32(math.Round(64*(at.NormFloat64()+0.15*rnd.NormFloat64())) / 64)
		}
		id := uuid.New()
		c.ids, c.vectors, c.mine = append(c.ids, id), append(c.vectors, v), append(c.mine, mine)
		set := 2
		if mine {
			set = 1
		}
		documents = append(documents, []any{id, c.rows.connections[0], fmt.Sprint("d", i), set})
		vectors = append(vectors, []any{id, 1, []byte{1}, pgvector.NewHalfVector(v)})
	}
	pool := f.store.Pool()
	if err := pool.SendBatch(ctx, b).Close(); err != nil {
		tb.Fatal(err)
	}
	must := func(err error) {
		tb.Helper()
		if err != nil {
			tb.Fatal(err)
		}
	}
	ids, sets := make([]uuid.UUID, n), make([]int, n)
	for i, d := range documents {
		ids[i], sets[i] = c.ids[i], d[3].(int)
	}
	_, err = pool.Exec(ctx, `
		INSERT INTO document (id, connection_id, external_id, source_revision, content_hash, revision, title, url, path, container, kind,
			media_type, lang, author, metadata, acl_set_id, acl_version, chunk_count, next_chunk_id, created_at, updated_at)
		SELECT i, $1, i::text, '', '', 1, '', '', '', '', '', '', 'english', '', '{}', s, 1, 1, 2, now(), now() FROM unnest($2::uuid[], $3::int[]) u (i, s)`,
		c.rows.connections[0], ids, sets)
	must(err)
	_, err = pool.Exec(ctx, `INSERT INTO chunk SELECT i, 1, '', 'word', '', '{}', 1, 'english' FROM unnest($1::uuid[]) i`, ids)
	must(err)
	_, err = pool.Exec(ctx, `INSERT INTO revision SELECT i, 1, '', '', i, '', '', now(), 'word', '{1}', '{0}', '{4}', '{0}', '{4}' FROM unnest($1::uuid[]) i`, ids)
	must(err)
	_, err = pool.CopyFrom(ctx, pgx.Identifier{"tributary", fmt.Sprintf("vec_%d", f.profile)}, []string{"document_id", "chunk_id", "input_hash", "v"}, pgx.CopyFromRows(vectors))
	must(err)
	_, err = f.db.Owner.Exec(ctx, `ANALYZE`)
	must(err)
	return c
}

// nearest returns the distances of the k nearest documents of the reader.
func (c cloud) nearest(q []float32, k int) []float64 {
	var ds []float64
	for i, v := range c.vectors {
		if !c.mine[i] {
			continue
		}
		var dot, a, b float64
		for d := range v {
			x, y := float64(v[d]), float64(q[d])
			dot, a, b = dot+x*y, a+x*x, b+y*y
		}
		ds = append(ds, 1-dot/math.Sqrt(a*b))
	}
	sort.Float64s(ds)
	return ds[:min(k, len(ds))]
}

// TestSearchIsNeverShortAndRecalls: over clustered vectors, whatever the share
// that the reader sees and wherever it lies, results are min(k, visible), the
// exact plan equals brute force and the iterative one finds at least 95 % of it.
func TestSearchIsNeverShortAndRecalls(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	for _, tc := range []struct {
		name  string
		share int
		apart bool
		plan  string
	}{
		{"sees half", 2, false, "iterative"},
		{"sees a tenth", 10, false, "iterative"},
		{"sees a tenth, elsewhere in the space", 10, true, "iterative, then exact"},
		{"sees one in 200", 200, false, "iterative, then exact"},
		{"sees one in 1000, elsewhere", 1000, true, "iterative, then exact"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCloud(ctx, t, f, 4000, tc.share, tc.apart)
			// One chunk over the cap, so that the share is what it is.
			iterative := map[string]int{"exact_cap": (4000+tc.share-1)/tc.share - 1, "thin_after": 500}
			who := c.rows.identity(oracle.Asker{Reader: 0, Key: -1})
			rnd := rand.New(rand.NewPCG(3, 3))
			plans := map[string]int{}
			var found, wanted float64
			for range 12 {
				q := c.vectors[rnd.IntN(len(c.vectors))]
				want := c.nearest(q, 10)
				for _, over := range []map[string]int{nil, iterative} {
					resp, err := f.store.Search(ctx, who, store.SearchRequest{
						Mode: store.Vector, Vector: q, Profile: f.profile, Plan: over, Include: []string{store.IncludeScores},
					})
					if err != nil {
						t.Fatal(err)
					}
					if len(resp.Results) != len(want) {
						t.Fatalf("%s: %d results, want %d", resp.Plan.Vector, len(resp.Results), len(want))
					}
					hits := 0
					for i, r := range resp.Results {
						if *r.Scores.VectorDistance <= want[len(want)-1]+1e-6 {
							hits++
						}
						if over == nil && math.Abs(*r.Scores.VectorDistance-want[i]) > 1e-6 {
							t.Fatalf("exact result %d at distance %v, brute force says %v", i, *r.Scores.VectorDistance, want[i])
						}
					}
					if over != nil {
						plans[resp.Plan.Vector]++
						found, wanted = found+float64(hits), wanted+float64(len(want))
					}
				}
			}
			if found < 0.95*wanted {
				t.Errorf("recall %.3f, plans %v", found/wanted, plans)
			}
			if plans[tc.plan] == 0 {
				t.Errorf("plans %v, none was %q", plans, tc.plan)
			}
			t.Logf("recall %.3f, plans %v", found/wanted, plans)
		})
	}
}

// TestStrangersChangeNothing: documents that a reader cannot see leave the
// reader's answer as it was, to the byte.
func TestStrangersChangeNothing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx := context.Background()
	w := twoReaders()
	rows := mustStore(t, f, w)
	ask := func() string {
		resp, err := f.store.Search(ctx, rows.identity(oracle.Asker{Reader: 0, Key: -1}), store.SearchRequest{
			Query: "common heading0 tail", Vector: []float32{1, 2, 3, 4, 5, 6, 7, 8}, Profile: f.profile, Include: []string{store.IncludeScores},
		})
		if err != nil {
			t.Fatal(err)
		}
		out := fmt.Sprint(resp.Complete, resp.Pending, len(resp.PermissionsAsOf))
		for _, r := range resp.Results {
			out += fmt.Sprintf("\n%s %s %v %v %v", r.ChunkID, r.Text, r.Score, *orZero(r.Scores.Keyword), *orZero(r.Scores.VectorDistance))
		}
		return out
	}
	before := ask()
	b := &pgx.Batch{}
	more := rows
	for i := range 200 {
		more.documents = append(more.documents, uuid.New())
		queueText(b, more, len(w.Documents)+i, 0, 2, nil)
	}
	if err := f.db.Pool.SendBatch(ctx, b).Close(); err != nil {
		t.Fatal(err)
	}
	if after := ask(); after != before {
		t.Errorf("200 documents of another reader changed\n%s\nto\n%s", before, after)
	}
}

func orZero(f *float64) *float64 {
	if f == nil {
		return new(float64)
	}
	return f
}
