package store_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"tributary/internal/oracle"
	"tributary/internal/pgtest"
	"tributary/store"
)

// fixture is a database of its own with a profile.
type fixture struct {
	db      *pgtest.DB
	store   *store.Store
	profile int16
	checks  int
	seen    int
}

func newFixture(tb testing.TB) *fixture {
	tb.Helper()
	db := pgtest.New(tb)
	s, err := store.Open(context.Background(), store.Config{URL: db.URL})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	return &fixture{db: db, store: s, profile: newProfile(tb, db)}
}

// worldsPerRun is how many worlds the normal run compares.
const worldsPerRun = 24

// TestVisibilityEqualsOracle compares every way to read content with the
// oracle, over the same worlds in every run. TEST_ORACLE_ROUNDS=n compares n
// hundred random ones besides, and shrinks what differs.
func TestVisibilityEqualsOracle(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for seed := range worldsPerRun {
		if diff := f.compare(genWorld().Example(seed)); diff != "" {
			t.Fatalf("world %d: %s", seed, diff)
		}
	}
	rounds, _ := strconv.Atoi(os.Getenv("TEST_ORACLE_ROUNDS"))
	for range rounds {
		rapid.Check(t, func(rt *rapid.T) {
			w := genWorld().Draw(rt, "world")
			if diff := f.compare(w); diff != "" {
				rt.Fatal(diff)
			}
		})
	}
	t.Logf("%d checks, %d of them on visible documents", f.checks, f.seen)
	if f.checks < 20_000 || f.seen < f.checks/10 {
		t.Errorf("%d checks, %d on visible documents: too few to mean anything", f.checks, f.seen)
	}
}

// compare stores w and returns the first difference from the oracle, or "".
func (f *fixture) compare(w oracle.World) string {
	ctx := context.Background()
	rows, err := storeWorld(ctx, f.db.Pool, f.profile, w)
	if err != nil {
		return "storing world: " + err.Error()
	}
	for _, a := range askers(w) {
		want := map[uuid.UUID]bool{}
		var ids []uuid.UUID
		for d, id := range rows.documents {
			want[id] = w.Visible(a, d)
			if want[id] {
				ids = append(ids, id)
			}
		}
		f.checks += len(rows.documents) * (len(routes) + len(searches))
		f.seen += len(ids) * (len(routes) + len(searches))
		who := rows.identity(a)
		if diff := f.compareRoutes(ctx, who, rows, want); diff != "" {
			return fmt.Sprintf("%+v: %s", a, diff)
		}
		for _, req := range searches {
			if diff := f.compareSearch(ctx, who, req, want, len(ids)); diff != "" {
				return fmt.Sprintf("%+v: search %s %v: %s", a, req.Mode, req.Plan, diff)
			}
		}
	}
	return ""
}

// routes are the ways to one document, each true where it gives anything.
var routes = []struct{ name, sql string }{
	{"document", `EXISTS (SELECT FROM tributary.document(u))`},
	{"document_text", `EXISTS (SELECT FROM tributary.document_text(u))`},
	{"document_chunks", `EXISTS (SELECT FROM tributary.document_chunks(u))`},
	{"chunk", `EXISTS (SELECT FROM tributary.chunk(u, 1))`},
	{"section", `EXISTS (SELECT FROM tributary.section(u, 1, 1000))`},
	{"lineage", `EXISTS (SELECT FROM tributary.lineage(u, 1))`},
	{"neighbours", `EXISTS (SELECT FROM tributary.neighbours(u, 1, 1, 1))`},
	{"embeddings", `EXISTS (SELECT FROM tributary.embeddings($2, ARRAY[u], ARRAY[1]))`},
	{"visible_list", `u IN (SELECT document_id FROM tributary.visible_list('{}', NULL, 1000))`},
	{"visible_export", `u IN (SELECT document_id FROM tributary.visible_export('{}', NULL, 1000, 1 << 30))`},
}

func (f *fixture) compareRoutes(ctx context.Context, who store.Identity, rows worldRows, want map[uuid.UUID]bool) string {
	names, cols := make([]string, len(routes)), make([]string, len(routes))
	for i, r := range routes {
		names[i], cols[i] = r.name, r.sql
	}
	var diff []string
	var documents, chunks int64
	err := as(ctx, f.db.Pool, who, func(tx pgx.Tx) error {
		found, err := tx.Query(ctx, `SELECT u, ARRAY[`+strings.Join(cols, ", ")+`] FROM unnest($1::uuid[]) u`, rows.documents, f.profile)
		if err != nil {
			return err
		}
		var id uuid.UUID
		var got []bool
		_, err = pgx.ForEachRow(found, []any{&id, &got}, func() error {
			for i := range got {
				if got[i] != want[id] {
					diff = append(diff, fmt.Sprintf("%s of document %d: %t, oracle says %t", names[i], slices.Index(rows.documents, id), got[i], want[id]))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT documents, chunks FROM tributary.visible_count()`).Scan(&documents, &chunks)
	})
	if err != nil {
		return err.Error()
	}
	n := int64(0)
	for _, ok := range want {
		if ok {
			n++
		}
	}
	if documents != n || chunks != 2*n {
		diff = append(diff, fmt.Sprintf("visible_count: %d documents and %d chunks, oracle says %d documents", documents, chunks, n))
	}
	return strings.Join(diff, "\n")
}

// as runs fn in a transaction of the service's login with an identity set.
func as(ctx context.Context, pool *pgxpool.Pool, who store.Identity, fn func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		reader, key, principals := store.SettingsOf(who)
		_, err := tx.Exec(ctx, `SELECT set_config('tributary.reader', $1, true), set_config('tributary.key', $2, true), set_config('tributary.principals', $3, true)`, reader, key, principals)
		if err != nil {
			return err
		}
		return fn(tx)
	})
}

// searches are the plans of search.
var searches = []store.SearchRequest{
	{Query: "common", Mode: store.Hybrid},
	{Query: "common", Mode: store.Hybrid, Plan: map[string]int{"exact_cap": 0}},
	{Query: "common", Mode: store.Keyword},
	{Query: "common", Mode: store.Keyword, Plan: map[string]int{"exact_cap": 0}},
	{Mode: store.Vector},
	{Mode: store.Vector, Plan: map[string]int{"exact_cap": 0}},
	{Mode: store.Vector, Plan: map[string]int{"exact_cap": 0, "thin_after": 1}},
	// Few enough results for the walk over HNSW to be believed.
	{Mode: store.Vector, K: 1, Plan: map[string]int{"exact_cap": 0, "overfetch": 1}},
}

func (f *fixture) compareSearch(ctx context.Context, who store.Identity, req store.SearchRequest, want map[uuid.UUID]bool, n int) string {
	req.Profile, req.Vector = f.profile, []float32{1, 2, 3, 4, 5, 6, 7, 8}
	if req.K == 0 {
		req.K = store.MaxK
	}
	resp, err := f.store.Search(ctx, who, req)
	if err != nil {
		return err.Error()
	}
	got := map[store.ChunkID]bool{}
	for _, r := range resp.Results {
		if !want[r.DocumentID] {
			return "leaked " + r.Text
		}
		if got[r.ChunkID] {
			return "twice " + r.Text
		}
		got[r.ChunkID] = true
	}
	chunks := 2 * n
	if req.Mode == store.Vector {
		chunks = n
	}
	if more := chunks > req.K; more != (resp.NextCursor != nil) {
		return fmt.Sprintf("next_cursor %v with %d of %d chunks", resp.NextCursor, len(got), chunks)
	}
	if len(got) != min(chunks, req.K) {
		return fmt.Sprintf("%d results, oracle says %d (%s)", len(got), chunks, resp.Plan.Vector)
	}
	if resp.Pending != int64(n) {
		return fmt.Sprintf("pending %d, oracle says %d", resp.Pending, n)
	}
	if n > 0 && len(resp.PermissionsAsOf) == 0 {
		return "no permissions_as_of"
	}
	if n == 0 && len(resp.PermissionsAsOf) > 0 {
		return "permissions_as_of of what is not visible"
	}
	return ""
}
