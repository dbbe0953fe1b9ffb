package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/pgvector/pgvector-go"
)

// hit is a chunk that a strategy found.
type hit struct {
	document uuid.UUID
	chunk    int
	distance float64
}

// addBaseline makes the table of the strategies that search is measured
// against: a chunk a row, with its vector and, as an array, the groups that may
// read it. It knows neither clauses nor denials: who may read was decided when
// it was written.
func (b *searchBench) addBaseline(ctx context.Context) error {
	began := time.Now()
	err := b.exec(ctx, `CREATE SCHEMA base`,
		`CREATE TABLE base.chunk (document_id uuid, chunk_id int, acl int[], v public.halfvec(384))`,
		`ALTER TABLE base.chunk ALTER COLUMN v SET STORAGE PLAIN`,
		fmt.Sprintf(`INSERT INTO base.chunk
			SELECT v.document_id, v.chunk_id, a.acl, v.v FROM tributary.vec_1 v JOIN tributary.document d ON d.id = v.document_id
			JOIN (SELECT s.id, coalesce(array_agg(e.principal_id::int ORDER BY 1) FILTER (WHERE e.clause = 1 AND e.principal_id >= 100
				AND EXISTS (SELECT FROM tributary.acl_entry x WHERE x.set_id = e.set_id AND x.principal_id = e.principal_id + 1 AND x.clause = 2)
				AND NOT EXISTS (SELECT FROM tributary.acl_entry x WHERE x.set_id = e.set_id AND x.principal_id = e.principal_id + 2 AND x.clause = 0)), '{}') AS acl
				FROM tributary.acl_set s JOIN tributary.acl_entry e ON e.set_id = s.id WHERE s.need_mask = %d GROUP BY s.id) a ON a.id = d.acl_set_id`, 6),
		`CREATE INDEX ON base.chunk USING gin (acl)`,
		`CREATE INDEX ON base.chunk USING hnsw (v public.halfvec_cosine_ops)`, `VACUUM ANALYZE base.chunk`,
		`GRANT USAGE ON SCHEMA base TO `+rolePrefix+`_app`, `GRANT SELECT ON base.chunk TO `+rolePrefix+`_app`)
	fmt.Fprintf(os.Stderr, "baseline built in %.0f s\n", time.Since(began).Seconds())
	return err
}

// strategy is a way to the nearest chunks that a reader may see.
type strategy struct {
	name string
	// settings of its connection, and its statement: $1 the vector, $2 groups.
	settings []string
	sql      string
	conn     *pgx.Conn
}

const (
	nearest = `SELECT document_id, chunk_id, v <=> $1 AS d FROM base.chunk WHERE acl && $2::int[] ORDER BY v <=> $1 LIMIT `
	exactly = `SELECT document_id, chunk_id, (v <=> $1) + 0.0 AS d FROM base.chunk WHERE acl && $2::int[] ORDER BY 3 LIMIT 10`
)

// strategies returns the ways that won in some class when they were compared
// with all others, each on a connection of its own.
func (b *searchBench) strategies(ctx context.Context) ([]*strategy, error) {
	list := []*strategy{
		{name: "exact by GIN", sql: exactly},
		{name: "HNSW, ef 100", settings: []string{`hnsw.iterative_scan = 'relaxed_order'`, `hnsw.ef_search = 100`}, sql: nearest + `10`},
		{
			name: "HNSW, ef 200, 50, re-sorted", settings: []string{`hnsw.iterative_scan = 'relaxed_order'`, `hnsw.ef_search = 200`},
			sql: `SELECT * FROM (` + nearest + `50) x ORDER BY d LIMIT 10`,
		},
	}
	for _, s := range list {
		// The pool's connection knows the vectors' types; it is taken out for good.
		c, err := b.store.Pool().Acquire(ctx)
		if err != nil {
			return nil, fmt.Errorf("connecting: %w", err)
		}
		s.conn = c.Hijack()
		for _, set := range append(s.settings, `plan_cache_mode = force_custom_plan`, `search_path = public`) {
			if _, err := s.conn.Exec(ctx, `SET `+set); err != nil {
				return nil, fmt.Errorf("setting %s: %w", set, err)
			}
		}
	}
	return list, nil
}

func (s *strategy) ask(ctx context.Context, q []float32, groups []int64) ([]hit, time.Duration, error) {
	began := time.Now()
	rows, err := s.conn.Query(ctx, s.sql, pgvector.NewHalfVector(q), groups)
	if err != nil {
		return nil, 0, fmt.Errorf("asking %s: %w", s.name, err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (hit, error) {
		var h hit
		err := row.Scan(&h.document, &h.chunk, &h.distance)
		return h, err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("asking %s: %w", s.name, err)
	}
	return list, time.Since(began), nil
}
