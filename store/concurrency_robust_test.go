package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// together runs fn n times at once and returns the errors.
func together(n int, fn func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// TestHundredTriggersMakeOneRunALane also while a batch holds the live run.
func TestHundredTriggersMakeOneRunALane(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	var made atomic.Int64
	request := func(i int) error {
		_, first, err := r.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: s.conn, Lane: store.Lanes()[i%2], Kind: store.RunSnapshot}, nil)
		if first {
			made.Add(1)
		}
		return err
	}
	if err := together(100, request); err != nil {
		t.Fatal(err)
	}
	if n := made.Load(); n != 2 {
		t.Fatalf("%d runs were made, want one a lane", n)
	}
	run := s.start(t, store.Content)
	_, err := r.store.WriteBatch(t.Context(), &store.Batch{Run: run, Realm: s.realm}, func(context.Context, pgx.Tx, store.BatchResult) error {
		before := time.Now()
		err := together(8, request)
		if d := time.Since(before); d > 2*time.Second {
			t.Errorf("a request waited %v for the batch", d)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLanesNeverDeadlock writes the same documents in both lanes, in random
// order, with new principals and sets, while a third connection of the realm
// does the same.
func TestLanesNeverDeadlock(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sources := []*source{r.connect(t, "a", "realm"), r.connect(t, "b", "realm")}
	const items = 40
	lane := func(i int) error {
		s, kind := sources[i/2], store.Lanes()[i%2]
		rnd := rand.New(rand.NewPCG(uint64(i), 1))
		run := s.start(t, kind)
		defer s.end(t, run)
		for round := range 25 {
			b := &store.Batch{Run: run}
			for _, n := range rnd.Perm(items)[:items/2] {
				id := fmt.Sprintf("doc-%d", n)
				acl := readable(fmt.Sprint("u", rnd.IntN(round+3)), fmt.Sprint("u", rnd.IntN(round+3)))
				switch {
				case kind == store.Content && rnd.IntN(2) == 0:
					b.Documents = append(b.Documents, document(id, acl, fmt.Sprint("text ", rnd.IntN(9)), "rest"))
				case kind == store.Content && rnd.IntN(4) == 0:
					b.Deleted = append(b.Deleted, id)
				default:
					b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: id, ACL: acl})
				}
			}
			if _, err := s.write(t.Context(), b); err != nil {
				return fmt.Errorf("%s lane of %d: %w", kind, i/2, err)
			}
		}
		return nil
	}
	members := func(s *source) error {
		run := store.Run{ConnectionID: s.conn}
		for _, lane := range s.runs(t) {
			if lane.Lane == store.Permissions && lane.State == store.RunRunning {
				run = lane
			}
		}
		if run.ID == uuid.Nil {
			return nil
		}
		rnd := rand.New(rand.NewPCG(7, 7))
		for range 10 {
			var ms []connectors.Membership
			for _, n := range rnd.Perm(30) {
				ms = append(ms, connectors.Membership{Member: user(fmt.Sprint("u", n)), Group: connectors.Principal{Kind: connectors.Group, ID: fmt.Sprint("g", n%4)}})
			}
			if _, err := s.store.ReplaceMemberships(t.Context(), run, s.realm, ms); err != nil && !errors.Is(err, store.ErrFenced) {
				return err
			}
		}
		return nil
	}
	err := together(6, func(i int) error {
		if i >= 4 {
			return members(sources[i-4])
		}
		return lane(i)
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	r.wantWhole(t)
}

func (s *source) runs(f failer) []store.Run {
	f.Helper()
	list, err := s.store.Runs(context.Background(), store.RunFilter{Connection: s.conn})
	if err != nil {
		f.Fatalf("listing runs: %v", err)
	}
	return list
}

// TestSetsAreInternedOnce by many writers at once, each in another order.
func TestSetsAreInternedOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var sources []*source
	for i := range 8 {
		sources = append(sources, r.connect(t, fmt.Sprintf("c%d", i), "realm"))
	}
	err := together(len(sources), func(i int) error {
		// A store of its own: no cache is shared.
		own, err := store.Open(t.Context(), store.Config{URL: r.db.URL, Purpose: store.Worker, MaxConns: 2})
		if err != nil {
			return err
		}
		defer own.Close()
		s := *sources[i]
		s.rig = &rig{db: r.db, store: own, local: r.local, remote: r.remote}
		run := s.start(t, store.Content)
		b := &store.Batch{Run: run}
		for _, n := range rand.New(rand.NewPCG(uint64(i), 2)).Perm(60) {
			b.Documents = append(b.Documents, document(fmt.Sprint(n), readable(fmt.Sprint("u", n), fmt.Sprint("u", 59-n), fmt.Sprint("v", n%7)), "text"))
		}
		_, err = s.write(t.Context(), b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// 60 ACLs, of which u(n), u(59-n) with another v are distinct.
	if sets, docs := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM acl_set WHERE id <> 0`), pgtest.Scalar[int64](t, r.db, `SELECT count(DISTINCT acl_set_id) FROM document`); sets != docs || sets > 60 {
		t.Errorf("%d sets for %d in use", sets, docs)
	}
	r.wantWhole(t)
}

// TestInterningSurvivesTheOthersRollback waits for a transaction that is
// making the same principal and the same set, and that rolls back.
func TestInterningSurvivesTheOthersRollback(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("first", readable("u", "v"), "text")}})
	r.db.MustExec(t, `CREATE TABLE old_set AS SELECT hash, need_mask FROM acl_set WHERE id <> 0`)
	r.db.MustExec(t, `DELETE FROM acl_set WHERE id <> 0`)
	r.db.MustExec(t, `DELETE FROM principal`)
	tx, err := r.db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	for _, sql := range []string{`INSERT INTO principal (realm_id, kind, external_id) SELECT id, 'user', 'v' FROM realm`, `INSERT INTO acl_set (hash, need_mask) SELECT hash, need_mask FROM old_set`} {
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	own, err := store.Open(t.Context(), store.Config{URL: r.db.URL, MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	done := make(chan error, 1)
	go func() {
		_, err := own.WriteBatch(t.Context(), &store.Batch{Run: run, Realm: s.realm, Documents: []store.DocumentWrite{document("second", readable("u", "v"), "text")}}, nil)
		done <- err
	}()
	waitFor(t, r.db, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database())`)
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM acl_entry e JOIN document d ON d.acl_set_id = e.set_id WHERE d.external_id = 'second'`); n != 2 {
		t.Errorf("the set has %d entries, want 2", n)
	}
	// A store that remembers the sets of another database, such as one that was
	// restored, may not give a document somebody else's ACL: it makes the set anew.
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("third", readable("u"), "text")}, ACLs: []store.ACLWrite{{ExternalID: "second", ACL: readable("u", "v")}}})
	for id, want := range map[string]int64{"second": 2, "third": 1} {
		if n := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM acl_entry e JOIN document d ON d.acl_set_id = e.set_id WHERE d.external_id = $1`, id); n != want {
			t.Errorf("the set of %s has %d entries, want %d", id, n, want)
		}
	}
}

// waitFor polls until a condition holds.
func waitFor(tb testing.TB, db *pgtest.DB, sql string) {
	tb.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); <-tick.C {
		if pgtest.Scalar[bool](tb, db, sql) {
			return
		}
	}
	tb.Fatalf("never came true: %s", sql)
}

// TestDeletingAConnectionLeavesNothing while its lanes write, runs are
// requested and a drainer stores vectors.
func TestDeletingAConnectionLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for round := range 6 {
		s := r.connect(t, fmt.Sprintf("c%d", round), "realm")
		first := s.start(t, store.Content)
		b := &store.Batch{Run: first}
		for n := range 50 {
			b.Documents = append(b.Documents, document(fmt.Sprint(n), readable("u"), fmt.Sprint("one ", n, round), fmt.Sprint("two ", n, round)))
		}
		s.mustWrite(t, b)
		started := make(chan struct{})
		err := together(5, func(i int) error {
			if i == 0 {
				<-started
				return r.store.DeleteConnection(t.Context(), s.conn)
			}
			for n := range 15 {
				if n == 1 && i == 1 {
					close(started)
				}
				if err := disturb(t, s, first, i, n); err != nil && !gone(err) {
					return fmt.Errorf("actor %d: %w", i, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM document WHERE connection_id = $1`, s.conn); n != 0 {
			t.Fatalf("%d documents of a deleted connection", n)
		}
		r.wantWhole(t)
	}
}

// TestClosingConnectionGetsNoRun, also where the closing has not committed yet.
func TestClosingConnectionGetsNoRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	tx, err := r.db.Owner.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := tx.Exec(t.Context(), `UPDATE connection SET state = 'closing' WHERE id = $1`, s.conn); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		_, _, err := r.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: s.conn, Lane: store.Content, Kind: store.RunSnapshot}, nil)
		got <- err
	}()
	waitFor(t, r.db, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database())`)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-got; !errors.Is(err, store.ErrNotFound) {
		t.Errorf("requesting a run of a closing connection: %v", err)
	}
}

// gone reports what a writer may get of a connection that is being deleted.
func gone(err error) bool {
	return errors.Is(err, store.ErrFenced) || errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrConflict)
}

// disturb does what workers do to a connection while it is deleted.
func disturb(t *testing.T, s *source, first store.Run, actor, n int) error {
	ctx := t.Context()
	switch actor {
	case 1:
		b := &store.Batch{Run: first}
		for k := range 10 {
			b.Documents = append(b.Documents, document(fmt.Sprint("new", n, k), readable("u"), fmt.Sprint("text ", n, k)))
		}
		_, err := s.write(ctx, b)
		return err
	case 2:
		todos, err := s.store.ClaimTodo(ctx, s.remote, uuid.New(), 20, 1000, time.Minute)
		if err != nil {
			return err
		}
		var list []store.Embedded
		for _, todo := range todos {
			list = append(list, store.Embedded{InputHash: todo.InputHash, Vector: vectorOf([32]byte(todo.InputHash))})
		}
		_, err = s.store.SettleTodo(ctx, s.remote, list)
		return err
	case 3:
		run, _, err := s.store.RequestRun(ctx, store.RunRequest{ConnectionID: s.conn, Lane: store.Content, Kind: store.RunSnapshot}, nil)
		if err != nil {
			return err
		}
		if run, err = s.store.ClaimRun(ctx, run.ID, "thief", time.Minute); err != nil {
			return err
		}
		_, err = s.write(ctx, &store.Batch{Run: run, Documents: []store.DocumentWrite{document(fmt.Sprint("late", n), readable("u"), "late")}})
		return err
	default:
		run, _, err := s.store.RequestRun(ctx, store.RunRequest{ConnectionID: s.conn, Lane: store.Permissions, Kind: store.RunPermissions}, nil)
		if err != nil {
			return err
		}
		if run, err = s.store.ClaimRun(ctx, run.ID, "permissions", 0); err != nil {
			return err
		}
		if _, err = s.write(ctx, &store.Batch{Run: run, ACLs: []store.ACLWrite{{ExternalID: fmt.Sprint(n), ACL: readable("v")}}}); err != nil {
			return err
		}
		return s.store.ReleaseRun(ctx, run, store.Release{State: store.RunSucceeded, Connection: store.StateActive}, nil)
	}
}

// TestProfileMadeDuringBatchesMissesNothing: every chunk ends with a vector or
// a place in the queue.
func TestProfileMadeDuringBatchesMissesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var sources []*source
	for i := range 3 {
		sources = append(sources, r.connect(t, fmt.Sprintf("c%d", i), "realm"))
	}
	var profile store.Profile
	var writers sync.WaitGroup
	errs := make(chan error, 8)
	stop := make(chan struct{})
	for i, s := range sources {
		run := s.start(t, store.Content)
		writers.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 3))
			for n := 0; n < 200; n++ {
				select {
				case <-stop:
					n = max(n, 190)
				default:
				}
				b := &store.Batch{Run: run}
				for _, k := range rnd.Perm(12)[:6] {
					b.Documents = append(b.Documents, document(fmt.Sprint(k), readable("u"), fmt.Sprint("text ", rnd.IntN(50)), fmt.Sprint("other ", rnd.IntN(50))))
				}
				if _, err := s.write(t.Context(), b); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	waitFor(t, r.db, `SELECT (SELECT count(*) FROM document) > 20`)
	profile, err := r.store.CreateProfile(t.Context(), store.Profile{Name: "later", Kind: store.ProfileOpenAI, Model: "x", Dimensions: rigDimensions})
	if err != nil {
		t.Fatal(err)
	}
	hash := func(_, text string) [32]byte { return document("x", connectors.ACL{}, text).Chunks[0].InputHash }
	for at := (&store.ChunkID{Number: store.NoChunk}); at != nil; {
		if _, at, err = r.store.FillTodo(t.Context(), profile.ID, *at, hash); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	writers.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	third := *r
	third.remote = profile.ID
	third.wantWhole(t)
	r.wantWhole(t)
}

// TestProfileWaitsForTheBatchInFlight, whose chunks it has to find.
func TestProfileWaitsForTheBatchInFlight(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	b := &store.Batch{Run: s.start(t, store.Content), Realm: s.realm, Documents: []store.DocumentWrite{document("d", readable("u"), "text")}}
	made := make(chan error, 1)
	_, err := r.store.WriteBatch(t.Context(), b, func(ctx context.Context, _ pgx.Tx, _ store.BatchResult) error {
		go func() {
			_, err := r.store.CreateProfile(ctx, store.Profile{Name: "later", Kind: store.ProfileOpenAI, Model: "x", Dimensions: rigDimensions})
			made <- err
		}()
		waitFor(t, r.db, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database() AND l.relation = 'chunk'::regclass)`) //nolint:contextcheck // polls until a deadline of its own
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	profiles, err := r.store.WaitingProfiles(t.Context())
	if err != nil || len(profiles) != 3 {
		t.Errorf("profiles to fill are %v (%v)", profiles, err)
	}
}
