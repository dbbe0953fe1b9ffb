package store_test

import (
	"slices"
	"testing"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

// quarantined writes a failure of each item in a run of its own.
func (s *source) quarantined(t *testing.T, ids ...string) {
	t.Helper()
	run := s.start(t, store.Content)
	b := &store.Batch{Run: run, Realm: s.realm}
	for _, id := range ids {
		b.Quarantine = append(b.Quarantine, store.QuarantineWrite{ExternalID: id, Path: "p/" + id, SourceRevision: "1", Class: connectors.ItemSkipped, Reason: "bad"})
	}
	s.mustWrite(t, b)
	s.end(t, run)
}

func TestRetryQuarantinedAsksOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s, other := r.connect(t, "docs", "realm"), r.connect(t, "other", "realm2")
	s.quarantined(t, "a", "b")
	other.quarantined(t, "a")
	n, err := r.store.RetryQuarantined(t.Context(), s.conn, []string{"a", "gone"}, audit.Event{Actor: audit.Actor{Kind: audit.CLI, Name: "x"}, Action: "quarantine.retry", Outcome: audit.OK})
	if err != nil || n != 1 {
		t.Fatalf("retried %d, want 1: %v", n, err)
	}
	if got := s.asked(t); !slices.Equal(got, []string{"a"}) {
		t.Errorf("asked for %q, want a", got)
	}
	if got := other.asked(t); len(got) > 0 {
		t.Errorf("another connection's item of that id is asked for: %q", got)
	}
	if n := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM audit_event WHERE action = 'quarantine.retry'`); n != 1 {
		t.Errorf("%d audit events, want 1", n)
	}
	s.quarantined(t, "a")
	if got := s.asked(t); len(got) > 0 {
		t.Errorf("what was tried again and failed is still asked for: %q", got)
	}
}

// asked returns the items that an admin wants tried again.
func (s *source) asked(t *testing.T) []string {
	t.Helper()
	run := s.start(t, store.Content)
	defer s.end(t, run)
	due, err := s.store.RetriesDue(t.Context(), run, 3, 10)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, r := range due {
		if r.Asked {
			ids = append(ids, r.ExternalID)
		}
	}
	return ids
}

func TestExcludeTakesOutWhatIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.connect(t, "docs", "realm")
	run := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: run, Realm: s.realm, Documents: []store.DocumentWrite{document("a", readable("u"), "text"), document("b", readable("u"), "text")}})
	s.end(t, run)
	s.quarantined(t, "a", "c")
	n, err := r.store.ExcludeItems(t.Context(), s.conn, []string{"a", "c"}, "broken", "ada")
	if err != nil || n != 2 {
		t.Fatalf("excluded %d, want 2: %v", n, err)
	}
	if n, err = r.store.ExcludeItems(t.Context(), s.conn, []string{"a"}, "again", "ada"); err != nil || n != 0 {
		t.Errorf("excluding again took %d: %v", n, err)
	}
	left := pgtest.Scalar[string](t, r.db, `SELECT string_agg(external_id, ' ') FROM document`)
	quarantine := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM quarantine`)
	purged := pgtest.Scalar[int64](t, r.db, `SELECT count(*) FROM outbox WHERE kind = 'purge'`)
	if left != "b" || quarantine != 0 || purged != 1 {
		t.Errorf("stored %q, %d in quarantine, %d purged; want b, 0, 1", left, quarantine, purged)
	}
	if out, err := r.store.Excluded(t.Context(), s.conn, []string{"a", "b", "c"}); err != nil || len(out) != 2 || !out["a"] || !out["c"] {
		t.Errorf("the engine keeps out %v, want a and c: %v", out, err)
	}
	r.db.MustExec(t, `UPDATE exclusion SET why = 'erased' WHERE external_id = 'c'`)
	if n, err = r.store.IncludeItems(t.Context(), s.conn, []string{"a", "c"}); err != nil || n != 1 {
		t.Errorf("included %d, want 1 (what was erased stays out): %v", n, err)
	}
}
