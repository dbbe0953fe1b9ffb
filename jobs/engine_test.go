package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/connectors/reference"
	"tributary/internal/extract"
	"tributary/internal/pgtest"
	"tributary/store"
)

// engine is a runner on a database of its own with one connection to a world.
type engine struct {
	t      *testing.T
	db     *pgtest.DB
	store  *store.Store
	runner *Runner
	conn   store.Connection
	world  *reference.World
}

func newEngine(t *testing.T, world *reference.World, change ...func(*Config)) *engine {
	t.Helper()
	db := pgtest.New(t)
	s, err := store.Open(t.Context(), store.Config{URL: db.URL, Purpose: store.Worker, MaxConns: 6})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if _, err := s.EnsureProfile(t.Context(), BuiltinProfile()); err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Store: s, Extractor: extract.New(extract.Config{}),
		Connectors: map[string]connectors.Connector{reference.Source: world.Connector()},
		Sweep:      store.SweepRules{Settle: time.Hour, RefusedGrace: 7 * 24 * time.Hour, CapCount: 10, CapShare: 0.10},
	}
	if os.Getenv("TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	for _, c := range change {
		c(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := s.CreateConnection(t.Context(), store.NewConnection{Name: "world", Source: reference.Source, Settings: world.Settings()})
	if err != nil {
		t.Fatal(err)
	}
	return &engine{t: t, db: db, store: s, runner: r, conn: conn, world: world}
}

// sync runs one lane to its end and returns the run.
func (e *engine) sync(lane store.Lane) store.Run {
	e.t.Helper()
	conn, err := e.store.Connection(e.t.Context(), e.conn.Name)
	if err != nil {
		e.t.Fatal(err)
	}
	run, _, err := e.runner.Request(e.t.Context(), conn, lane, "test", false)
	if err != nil {
		e.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(e.t.Context(), 5*time.Minute)
	defer cancel()
	run, err = e.runner.RunHere(ctx, run.ID, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return run
}

// must syncs a lane and fails unless the run ends in state.
func (e *engine) must(lane store.Lane, state store.RunState) store.Run {
	e.t.Helper()
	run := e.sync(lane)
	if run.State != state {
		e.t.Fatalf("run ended %s (%s: %s), want %s", run.State, run.ErrorClass, run.Error, state)
	}
	return run
}

// documents returns the stored text of every document that is not hidden.
func (e *engine) documents() map[string]string {
	e.t.Helper()
	rows, err := e.db.Owner.Query(e.t.Context(), `
		SELECT d.external_id, r.text FROM document d JOIN revision r ON r.document_id = d.id AND r.number = d.revision
		WHERE d.connection_id = $1 AND d.hidden_reason IS NULL`, e.conn.ID)
	if err != nil {
		e.t.Fatal(err)
	}
	out := map[string]string{}
	for rows.Next() {
		var id, text string
		if err := rows.Scan(&id, &text); err != nil {
			e.t.Fatal(err)
		}
		out[id] = text
	}
	return out
}

// wantTruth compares documents and ACLs with the world.
func (e *engine) wantTruth() {
	e.t.Helper()
	got := e.documents()
	want := 0
	for _, it := range e.world.Truth() {
		if it.Skip != "" {
			continue
		}
		want++
		text, ok := got[it.ID]
		if clean := strings.TrimSpace(extract.Clean(it.Text)); !ok || text != clean {
			e.t.Errorf("document %s: stored %.40q (%v), want %.40q", it.ID, text, ok, clean)
		}
	}
	if len(got) != want {
		e.t.Errorf("%d documents are shown, want %d", len(got), want)
	}
	e.wantWhole()
}

// wantWhole checks that nothing is orphaned, doubled or half written.
func (e *engine) wantWhole() {
	e.t.Helper()
	for what, sql := range map[string]string{
		"chunks without document":    `SELECT count(*) FROM chunk c WHERE NOT EXISTS (SELECT FROM document d WHERE d.id = c.document_id)`,
		"revisions without document": `SELECT count(*) FROM revision c WHERE NOT EXISTS (SELECT FROM document d WHERE d.id = c.document_id)`,
		"vectors without chunk":      `SELECT count(*) FROM vec_1 v WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.document_id = v.document_id AND c.id = v.chunk_id)`,
		"chunks without vector":      `SELECT count(*) FROM chunk c WHERE NOT EXISTS (SELECT FROM vec_1 v WHERE c.document_id = v.document_id AND c.id = v.chunk_id)`,
		"layouts that name no chunk": `SELECT count(*) FROM revision r CROSS JOIN unnest(r.chunk_ids) i WHERE NOT EXISTS (SELECT FROM chunk c WHERE c.document_id = r.document_id AND c.id = i)`,
		"chunks outside the layout":  `SELECT count(*) FROM chunk c JOIN document d ON d.id = c.document_id JOIN revision r ON r.document_id = d.id AND r.number = d.revision WHERE NOT c.id = ANY(r.chunk_ids)`,
		"wrong chunk counts":         `SELECT count(*) FROM document d WHERE chunk_count <> (SELECT count(*) FROM chunk c WHERE c.document_id = d.id)`,
		"offsets that cut otherwise": `SELECT count(*) FROM revision r CROSS JOIN unnest(r.chunk_ids, r.starts, r.ends, r.starts_cp, r.ends_cp) AS u(i, s, e, sc, ec) JOIN chunk c ON c.document_id = r.document_id AND c.id = u.i
			WHERE c.text <> convert_from(substring(convert_to(r.text, 'UTF8') FROM s + 1 FOR e - s), 'UTF8') OR c.text <> substring(r.text FROM sc + 1 FOR ec - sc)`,
	} {
		if n := pgtest.Scalar[int64](e.t, e.db, sql); n != 0 {
			e.t.Errorf("%s: %d", what, n)
		}
	}
}

// small returns a world of n documents that alice may read.
func small(n int) *reference.World {
	w := reference.New()
	w.AddPeople("alice", "bob")
	for i := range n {
		w.Put(fmt.Sprintf("doc-%03d", i), fmt.Sprintf("# Document %d\n\nIts text speaks of topic %d.\n", i, i%7), reference.Readers(reference.User("alice")))
	}
	return w
}
