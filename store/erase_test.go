package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// rewrite writes documents "secret" and "open" again and again, as a run that
// claims itself anew whenever it was interrupted, and counts the batches that
// were committed once erased is true.
func rewrite(ctx context.Context, s *source, run store.Run, erased *atomic.Bool, after *atomic.Int64) error {
	for n := 0; after.Load() < 5; n++ {
		late := erased.Load()
		docs := []store.DocumentWrite{
			document("first", readable("u"), fmt.Sprint("first ", n)), document("secret", readable("u", "secretperson"), fmt.Sprint("secret ", n)), document("open", readable("u"), fmt.Sprint("open ", n)),
		}
		_, err := s.write(ctx, &store.Batch{
			Run: run, Documents: docs, Skips: []connectors.Skip{{Ref: connectors.ItemRef{ID: "secret skip"}, Path: "secret", Reason: "secret"}},
			Quarantine: []store.QuarantineWrite{{ExternalID: "secret failure", Path: "secret", Reason: "secret"}},
		})
		switch {
		case errors.Is(err, store.ErrFenced):
			run, err = s.store.ClaimRun(ctx, run.ID, "again", time.Nanosecond)
		case err == nil && late:
			after.Add(1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestErasedItemsAreNeverWrittenAgain by batches that were on their way, or
// whose listing was older: not as a document, nor as what was left out.
func TestErasedItemsAreNeverWrittenAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for round := range 5 {
		s := r.connect(t, fmt.Sprintf("c%d", round), "realm")
		run := s.start(t, store.Content)
		var erased atomic.Bool
		var after atomic.Int64
		written := make(chan struct{})
		err := together(3, func(i int) error {
			switch i {
			case 0:
				s.mustWrite(t, &store.Batch{
					Run: run, Documents: []store.DocumentWrite{document("secret", readable("secretperson"), "secret")},
					Skips: []connectors.Skip{{Ref: connectors.ItemRef{ID: "secret skip"}}}, Quarantine: []store.QuarantineWrite{{ExternalID: "secret failure"}},
				})
				close(written)
				return rewrite(t.Context(), s, run, &erased, &after)
			case 1:
				<-written
				for !erased.Load() {
					if err := disturb(t, s, run, 2, 0); err != nil {
						return err
					}
				}
				return nil
			default:
				<-written
				e, err := r.store.RequestErasure(t.Context(), store.EraseRequest{Connection: s.conn, Scope: store.EraseDocument, Documents: []string{"secret", "secret skip", "secret failure"}}, "ada")
				if err != nil {
					return err
				}
				erased.Store(true)
				if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM document WHERE connection_id = $1 AND external_id = 'secret' AND hidden_reason IS NULL`, s.conn); n != 0 {
					return errors.New("it is visible after the request")
				}
				e, err = r.store.Erase(t.Context(), e.ID, store.EraseOptions{})
				if err == nil && e.State != store.EraseDone {
					err = fmt.Errorf("the erasure ended %s: %s: %s", e.State, e.Error, e.Receipt)
				}
				return err
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		hits, err := pgtest.FindSecrets(t.Context(), r.db.SuperURL, map[string]string{"its word": "secret failure", "another": "secret skip", "its reader": "secretperson"})
		if err != nil || len(hits) > 0 {
			t.Fatalf("%v %v", hits, err)
		}
		if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM document WHERE external_id = 'secret'`); n != 0 {
			t.Fatal("the document is back")
		}
		if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM document WHERE external_id IN ('first', 'open') AND connection_id = $1 AND revision > 1`, s.conn); n != 2 {
			t.Fatalf("%d of the 2 other documents were written", n)
		}
		r.wantWhole(t)
		s.wantVectors(t)
	}
}

// TestPushedDocumentIsErasedOnItsWay: what is pushed is not interrupted, and a
// batch that waits for the erasure sees it.
func TestPushedDocumentIsErasedOnItsWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	if _, err := r.db.Owner.Exec(t.Context(), `UPDATE connection SET source = $1`, store.PushSource); err != nil {
		t.Fatal(err)
	}
	run, err := r.store.OpenPushRun(t.Context(), s.conn)
	if err != nil {
		t.Fatal(err)
	}
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("secret", readable("u"), "one")}})
	written := make(chan error, 1)
	_, err = r.store.RequestErasure(t.Context(), store.EraseRequest{
		Connection: s.conn, Scope: store.EraseDocument, Documents: []string{"secret"},
		Then: func(ctx context.Context, _ pgx.Tx, _ store.Erasure, _ []store.Run) error {
			go func() {
				res, err := s.write(ctx, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("secret", readable("u"), "two"), document("open", readable("u"), "three")}})
				if err == nil && res.Counts.Skipped != 1 {
					err = fmt.Errorf("skipped %d, want 1", res.Counts.Skipped)
				}
				written <- err
			}()
			waitFor(t, r.db, `SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database())`) //nolint:contextcheck // the test's own
			return nil
		},
	}, "ada")
	if err != nil {
		t.Fatal(err)
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if got := list(t, r.db, `SELECT external_id || ' ' || coalesce(hidden_reason, 'shown') FROM document ORDER BY 1`); !slices.Equal(got, []string{"open shown", "secret erased"}) {
		t.Errorf("stored: %v", got)
	}
	s.wantVectors(t)
}

// TestErasureIsFenced: two workers never do one together, and what a worker
// that died has begun another one ends.
func TestErasureIsFenced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	b := &store.Batch{Run: run}
	for n := range 3 {
		b.Documents = append(b.Documents, document(fmt.Sprint("doc ", n), readable("u"), fmt.Sprint("text ", n)))
	}
	s.mustWrite(t, b)
	asked, err := r.store.RequestErasure(t.Context(), store.EraseRequest{Connection: s.conn, Scope: store.EraseConnection}, "ada")
	if err != nil {
		t.Fatal(err)
	}
	again, err := r.store.RequestErasure(t.Context(), store.EraseRequest{Connection: s.conn, Scope: store.EraseConnection}, "bob")
	if err != nil || again.ID != asked.ID {
		t.Fatalf("asked twice: %v, %v", again.ID, err)
	}
	stolen := false
	_, err = r.store.Erase(t.Context(), asked.ID, store.EraseOptions{Worker: "slow", Watch: func(store.Erasure) {
		if stolen {
			return
		}
		stolen = true
		if _, err := r.store.Erase(t.Context(), asked.ID, store.EraseOptions{Worker: "twin"}); !errors.Is(err, store.ErrConflict) {
			t.Errorf("a second worker got it while the first lives: %v", err)
		}
		e, err := r.store.Erase(t.Context(), asked.ID, store.EraseOptions{Worker: "thief", Takeover: time.Nanosecond})
		if err != nil || e.State != store.EraseDone || e.Removed["document"] != 3 {
			t.Errorf("taken over: %+v, %v", e, err)
		}
	}})
	if !errors.Is(err, store.ErrFenced) {
		t.Errorf("the worker that lost it ended with %v", err)
	}
	receipt, err := r.store.EraseReceipt(t.Context(), asked.ID)
	if err != nil || receipt.Check() != nil || receipt.Removed["document"] != 3 || receipt.Items != 3 || receipt.Hits != 0 {
		t.Errorf("receipt %+v, %v", receipt, err)
	}
	receipt.List = receipt.List[1:]
	if receipt.Check() == nil {
		t.Error("a receipt whose list is not whole passes")
	}
}

// TestVerificationFindsEveryForm of an erased document's ids, in tables that a
// later release may add, and does not take other documents for it.
func TestVerificationFindsEveryForm(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	run := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("the id", readable("u"), "text"), document("other", readable("u"), "says the id")}})
	id := pgtest.Scalar[string](t, r.db, `SELECT id::text FROM document WHERE external_id = 'the id'`)
	asked, err := r.store.RequestErasure(t.Context(), store.EraseRequest{Connection: s.conn, Scope: store.EraseDocument, Documents: []string{id}}, "ada")
	if err != nil {
		t.Fatal(err)
	}
	done, err := r.store.Erase(t.Context(), asked.ID, store.EraseOptions{})
	if err != nil || done.State != store.EraseDone {
		t.Fatalf("%+v, %v", done, err)
	}
	receipt, err := r.store.EraseReceipt(t.Context(), asked.ID)
	if err != nil {
		t.Fatal(err)
	}
	owner := pgtest.RolePrefix() + "_app"
	for name, c := range map[string]struct{ column, value string }{
		"uuid":     {"u uuid", `'` + id + `'::uuid`},
		"uuids":    {"u uuid[]", `ARRAY['` + id + `'::uuid]`},
		"raw":      {"u bytea", `uuid_send('` + id + `')`},
		"text":     {"u text", `'about ` + id + ` and more'`},
		"json":     {"u jsonb", `'{"a": [{"b": "` + id + `"}]}'`},
		"vector":   {"u tsvector", `'''` + id + `'''::tsvector`},
		"texts":    {"u text[]", `ARRAY['x', '` + id + `']`},
		"owned":    {"document_id uuid, u text", `NULL, 'about ` + id + `'`},
		"named":    {"connection_id uuid, u text", `'` + s.conn.String() + `', 'the id'`},
		"in json":  {"connection_id uuid, u json", `'` + s.conn.String() + `', '{"a": ["x", "the id"]}'`},
		"in texts": {"connection_id uuid, u text[]", `'` + s.conn.String() + `', ARRAY['the id']`},
	} {
		for _, sql := range []string{`CREATE TABLE later (` + c.column + `)`, `INSERT INTO later VALUES (` + c.value + `)`, `GRANT SELECT ON later TO ` + owner} {
			if _, err := r.db.Owner.Exec(t.Context(), sql); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		list, err := r.store.VerifyReceipt(t.Context(), receipt)
		if err != nil {
			t.Fatal(err)
		}
		hits := int64(0)
		for _, v := range list {
			if hits += v.Hits; v.Table == "tributary.later" && v.Hits != 1 {
				t.Errorf("%s: the look through the table finds %+v", name, v)
			}
		}
		if hits != 1 {
			t.Errorf("%s: %d hits", name, hits)
		}
		if _, err := r.db.Owner.Exec(t.Context(), `DROP TABLE later`); err != nil {
			t.Fatal(err)
		}
	}
}
