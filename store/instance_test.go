package store_test

import (
	"errors"
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestFactsAreThose: the numbers of the overview are those of the tables.
func TestFactsAreThose(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if f, err := r.store.Facts(t.Context()); err != nil || f.Documents != 0 || f.Chunks != 0 || f.Runs != 0 || f.Linked || f.Asked {
		t.Fatalf("nothing is %+v, %v", f, err)
	}
	s := r.connect(t, "full", "org")
	s.list(t, store.DefaultSweepRules(), false, nil, "a", "b", "c")
	f, err := r.store.Facts(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	chunks := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM chunk`)
	if f.Documents != 3 || f.Chunks != chunks || f.Runs == 0 || f.Failed != 0 {
		t.Errorf("%+v, want 3 documents in %d chunks", f, chunks)
	}
	r.db.MustExec(t, `UPDATE sync_run SET state = 'failed', queued_at = clock() - interval '23 hours'`)
	if g, err := r.store.Facts(t.Context()); err != nil || g.Failed != f.Runs || g.Runs != f.Runs {
		t.Errorf("runs that failed: %+v, %v", g, err)
	}
	r.db.MustExec(t, `UPDATE sync_run SET queued_at = clock() - interval '25 hours'`)
	if g, err := r.store.Facts(t.Context()); err != nil || g.Runs != 0 || g.Failed != 0 {
		t.Errorf("runs of yesterday: %+v, %v", g, err)
	}
}

// TestFactsOfManyAreEstimates: above the bound nothing is counted, and what is said is near.
func TestFactsOfManyAreEstimates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "full", "org")
	s.list(t, store.DefaultSweepRules(), false, nil, "a")
	r.db.MustExec(t, `
		INSERT INTO document SELECT (jsonb_populate_record(d, jsonb_build_object('id', gen_random_uuid(), 'external_id', 'n' || n))).* FROM document d, generate_series(1, 12000) n`)
	r.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, selection_version, queued_at) SELECT $1, 'content', 'changes', 'succeeded', 1, clock() - interval '1 hour' FROM generate_series(1, 11000)`, s.conn)
	r.db.MustExec(t, `ANALYZE document`)
	f, err := r.store.Facts(t.Context())
	if err != nil || f.Documents < 11000 || f.Documents > 13000 || f.Runs != store.ExactUpTo()+1 {
		t.Errorf("%+v, %v", f, err)
	}
}

func TestInstanceAndSizes(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	i, err := r.store.Instance(t.Context())
	if err != nil || i.Postgres == "" || i.Vector == "" || i.Schema != i.Wanted || i.Connections < 1 || i.MaxConnections < i.Connections || i.StartedAt.IsZero() {
		t.Errorf("%+v, %v", i, err)
	}
	list, err := r.store.TableSizes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname IN ('tributary', 'river') AND c.relkind IN ('r', 'm')`)
	sum := int64(0)
	for i, x := range list {
		sum += x.Bytes
		if x.Indexes > x.Bytes || i > 0 && x.Bytes > list[i-1].Bytes {
			t.Errorf("%+v", x)
		}
	}
	if size, err := r.store.DatabaseSize(t.Context()); err != nil || len(list) != n || size < sum || sum == 0 {
		t.Errorf("%d of %d tables take %d bytes of %d, %v", len(list), n, sum, size, err)
	}
}

// TestProfileFill: what waits is what has no vector, whether or not it was queued yet.
func TestProfileFill(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.store.ProfileFill(t.Context(), "nosuch"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("no profile: %v", err)
	}
	id := r.remote
	s := r.connect(t, "full", "org")
	s.list(t, store.DefaultSweepRules(), false, nil, "a", "b", "c")
	r.db.MustExec(t, `DELETE FROM embed_todo`)
	r.db.MustExec(t, `ANALYZE chunk`)
	chunks := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM chunk`)
	if f, err := r.store.ProfileFill(t.Context(), "remote"); err != nil || f.Filled || f.Waiting != chunks || f.Vectors != 0 {
		t.Errorf("before they are queued: %+v, %v; there are %d", f, err, chunks)
	}
	r.db.MustExec(t, `INSERT INTO embed_todo (profile_id, document_id, chunk_id, input_hash, tokens, next_try_at, error) SELECT $1, document_id, id, '', 1, clock(), 'too long' FROM chunk LIMIT 2`, id)
	if err := r.store.SetFilled(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if f, err := r.store.ProfileFill(t.Context(), "remote"); err != nil || !f.Filled || f.Waiting != 2 || f.Refused != 2 || f.Reason != "too long" || f.Draining {
		t.Errorf("queued: %+v, %v", f, err)
	}
	if ok, err := r.store.LeaseDrainer(t.Context(), id, "me", 60e9); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if list, err := r.store.ProfileFills(t.Context()); err != nil || len(list) != 2 || list[0].Draining || !list[1].Draining {
		t.Errorf("drained: %+v, %v", list, err)
	}
}

// TestLiveAndRecent: runs of permissions that went well are not what somebody looks for.
func TestLiveAndRecent(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "full", "org")
	for _, x := range []struct{ lane, kind, state string }{
		{"content", "changes", "succeeded"}, {"permissions", "permissions", "succeeded"}, {"permissions", "permissions", "failed"}, {"content", "changes", "running"}, {"permissions", "permissions", "queued"},
	} {
		r.db.MustExec(t, `INSERT INTO sync_run (connection_id, lane, kind, state, selection_version, queued_at) VALUES ($1, $2, $3, $4, 1, clock() + ((SELECT count(*) FROM sync_run) || ' s')::interval)`, s.conn, x.lane, x.kind, x.state)
	}
	live, recent, err := r.store.LiveAndRecent(t.Context(), 8)
	if err != nil || len(live) != 2 || live[0].State != store.RunRunning || len(recent) != 2 || recent[0].State != store.RunFailed || recent[1].Lane != store.Content {
		t.Errorf("live %+v, recent %+v, %v", live, recent, err)
	}
	if live, recent, err = r.store.LiveAndRecent(t.Context(), 1); err != nil || len(live) != 1 || len(recent) != 1 {
		t.Errorf("%d live and %d recent of one, %v", len(live), len(recent), err)
	}
}
