package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/store"
)

// swept is a source on a clock that the test moves, with n documents.
func swept(t *testing.T, n int) (*source, []string) {
	t.Helper()
	r := newRig(t)
	r.db.SetClock(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	s := r.connect(t, "c", "realm")
	var ids []string
	for i := range n {
		ids = append(ids, fmt.Sprintf("doc-%03d", i))
	}
	if got := s.list(t, store.DefaultSweepRules(), false, nil, ids...); got.Hidden+got.Purged+got.Held != 0 {
		t.Fatalf("the first listing infers %+v", got)
	}
	return s, ids
}

func (s *source) want(t *testing.T, what string, got store.Counts, hidden, purged, held, shown int) {
	t.Helper()
	if got.Hidden != int64(hidden) || got.Purged != int64(purged) || got.Held != int64(held) {
		t.Errorf("%s: hidden %d, purged %d, held %d; want %d, %d, %d", what, got.Hidden, got.Purged, got.Held, hidden, purged, held)
	}
	if n := pgtest.Scalar[int](t, s.db, `SELECT count(*) FROM document WHERE hidden_reason IS NULL AND connection_id = $1`, s.conn); n != shown {
		t.Errorf("%s: %d documents are shown, want %d", what, n, shown)
	}
	s.wantWhole(t)
	s.wantFeed(t)
}

// TestAbsentTwiceAnHourApartIsPurged and one that reappears is restored.
func TestAbsentTwiceAnHourApartIsPurged(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 30)
	rules := store.DefaultSweepRules()
	s.want(t, "first", s.list(t, rules, false, nil, ids[3:]...), 3, 0, 0, 27)
	s.db.Advance(t, 59*time.Minute)
	s.want(t, "too early", s.list(t, rules, false, nil, ids[3:]...), 0, 0, 0, 27)
	s.want(t, "one is back", s.list(t, rules, false, nil, ids[2:]...), 0, 0, 0, 28)
	s.db.Advance(t, time.Minute)
	s.want(t, "an hour later", s.list(t, rules, false, nil, ids[2:]...), 0, 2, 0, 28)
	s.want(t, "a purged item is new", s.list(t, rules, false, nil, ids...), 0, 0, 0, 30)
}

// TestBlastCapHoldsInferredDeletions as SECURITY says of 1,000 documents that
// become 500: the cap is a share, and approval deletes.
func TestBlastCapHoldsInferredDeletions(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 200)
	rules := store.DefaultSweepRules()
	s.want(t, "half lost", s.list(t, rules, false, nil, ids[100:]...), 0, 0, 100, 200)
	s.want(t, "half lost, one added", s.list(t, rules, false, nil, append([]string{"added"}, ids[100:]...)...), 0, 0, 100, 201)
	s.want(t, "approved", s.list(t, rules, true, nil, ids[100:]...), 0, 101, 0, 100)
}

// TestBlastCapCountsPurges: steady churn below the cap passes, cohorts that
// together would purge more than the cap do not.
func TestBlastCapCountsPurges(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 100)
	rules := store.DefaultSweepRules()
	s.want(t, "at the cap", s.list(t, rules, false, nil, ids[10:]...), 10, 0, 0, 90)
	s.db.Advance(t, time.Hour)
	s.want(t, "one more, and the first settle", s.list(t, rules, false, nil, ids[11:]...), 1, 10, 0, 89)
	s.want(t, "up to the cap again", s.list(t, rules, false, nil, ids[20:]...), 9, 0, 0, 80)
	s.want(t, "and again", s.list(t, rules, false, nil, ids[25:]...), 5, 0, 0, 75)
	s.db.Advance(t, time.Hour)
	s.want(t, "fifteen settle at once", s.list(t, rules, false, nil, ids[25:]...), 0, 0, 15, 75)
	s.want(t, "approved", s.list(t, rules, true, nil, ids[25:]...), 0, 15, 0, 75)
}

// TestEmptyListingIsAlwaysHeld below the cap too, and also where everything is
// hidden already.
func TestEmptyListingIsAlwaysHeld(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 3)
	rules := store.DefaultSweepRules()
	s.want(t, "empty", s.list(t, rules, false, nil), 0, 0, 3, 3)
	s.want(t, "two are gone", s.list(t, rules, false, nil, ids[2]), 2, 0, 0, 1)
	s.db.Advance(t, 2*time.Hour)
	s.want(t, "empty with settled documents", s.list(t, rules, false, nil), 0, 0, 3, 1)
	s.want(t, "empty and approved", s.list(t, rules, true, nil), 0, 3, 0, 0)
}

// TestOneListingNeverPurges what it hid itself, however long its sweep takes.
func TestOneListingNeverPurges(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 30)
	rules := store.DefaultSweepRules()
	run := s.start(t, store.Content)
	known, err := s.store.KnownDocuments(t.Context(), s.conn, ids[3:])
	if err != nil {
		t.Fatal(err)
	}
	b := &store.Batch{Run: run, Page: &store.PageEnd{Next: connectors.Cursor(`1`), Complete: true}}
	for _, k := range known {
		b.Seen = append(b.Seen, k.ID)
	}
	s.mustWrite(t, b)
	// The process dies after it hid and before it forgot the listing.
	s.db.MustExec(t, `UPDATE document SET hidden_reason = 'absent', hidden_at = clock() WHERE external_id = ANY($1)`, ids[:3])
	s.db.MustExec(t, `INSERT INTO outbox (kind, connection_id, document_id) SELECT 'hide', connection_id, id FROM document WHERE external_id = ANY($1)`, ids[:3])
	s.db.Advance(t, 2*time.Hour)
	if run, err = s.store.ClaimRun(t.Context(), run.ID, "other", time.Minute); err != nil {
		t.Fatal(err)
	}
	got, err := s.store.SweepListing(t.Context(), run, rules)
	if err != nil {
		t.Fatal(err)
	}
	s.end(t, run)
	s.want(t, "the same listing again", got, 0, 0, 0, 27)
	s.want(t, "the next listing", s.list(t, rules, false, nil, ids[3:]...), 0, 3, 0, 27)
}

// TestBlockedContainersKeepTheirSubtree by id and by prefix, whose wildcards
// are letters.
func TestBlockedContainersKeepTheirSubtree(t *testing.T) {
	t.Parallel()
	rules := store.DefaultSweepRules()
	for _, c := range []struct {
		name    string
		blocked connectors.Container
		kept    []string
		hidden  []string
	}{
		{"prefix", connectors.Container{ID: "x", Prefix: "dir/"}, []string{"dir/a", "dir/b/c"}, []string{"dir2/a", "Dir/a", "other"}},
		{"percent is no wildcard", connectors.Container{ID: "x", Prefix: "100%/"}, []string{"100%/a"}, []string{"100x/a", "1000/a"}},
		{"underscore is no wildcard", connectors.Container{ID: "x", Prefix: "a_b/"}, []string{"a_b/c"}, []string{"axb/c"}},
		{"backslash is no escape", connectors.Container{ID: "x", Prefix: `a\b\`}, []string{`a\b\c`}, []string{"abc", `a\bc`}},
		{"root", connectors.Container{}, []string{"dir/a", "x"}, nil},
		{"id", connectors.Container{ID: "folder"}, []string{"in:folder"}, []string{"folder", "in:folder2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s, _ := swept(t, 0)
			s.list(t, rules, false, nil, append(append([]string{"stays"}, c.kept...), c.hidden...)...)
			s.db.MustExec(t, `UPDATE document SET container = substr(external_id, 4) WHERE external_id LIKE 'in:%'`)
			blocked := []connectors.Container{c.blocked}
			s.want(t, "blocked", s.list(t, rules, false, blocked, "stays"), len(c.hidden), 0, 0, 1+len(c.kept))
			for _, id := range c.kept {
				if !pgtest.Scalar[bool](t, s.db, `SELECT hidden_reason IS NULL FROM document WHERE external_id = $1`, id) {
					t.Errorf("%s was hidden", id)
				}
			}
			s.db.Advance(t, 2*time.Hour)
			if c.blocked.Prefix == "" {
				s.db.Advance(t, rules.RefusedGrace)
			}
			s.db.MustExec(t, `UPDATE document SET hidden_reason = 'refused', hidden_at = clock() - interval '8 days' WHERE external_id = ANY($1)`, c.kept)
			if got := s.list(t, rules, true, blocked, "stays"); got.Purged != int64(len(c.hidden)) {
				t.Errorf("%d documents were purged, want the %d outside", got.Purged, len(c.hidden))
			}
		})
	}
}

// TestWhatMayLieInABlockedContainerWaitsForTheGrace: moved there it is as absent
// as if it were deleted, and it is not gone. A listing of everything knows.
func TestWhatMayLieInABlockedContainerWaitsForTheGrace(t *testing.T) {
	t.Parallel()
	rules := store.DefaultSweepRules()
	closed := []connectors.Container{{ID: "closed"}}
	s, ids := swept(t, 30)
	s.want(t, "moved into it", s.list(t, rules, false, closed, ids[2:]...), 2, 0, 0, 28)
	s.db.Advance(t, 6*24*time.Hour)
	s.want(t, "days later", s.list(t, rules, false, closed, ids[2:]...), 0, 0, 0, 28)
	s.want(t, "found again", s.list(t, rules, false, nil, ids[1:]...), 0, 1, 0, 29)
	s.want(t, "another", s.list(t, rules, false, closed, ids[3:]...), 2, 0, 0, 27)
	s.db.Advance(t, rules.RefusedGrace)
	s.want(t, "after the grace", s.list(t, rules, false, closed, ids[3:]...), 0, 2, 0, 27)
	s.want(t, "ids that are paths", s.list(t, rules, false, []connectors.Container{{ID: "a", Prefix: "a/"}}, ids[4:]...), 1, 0, 0, 26)
	s.db.Advance(t, rules.Settle)
	s.want(t, "cannot be moved", s.list(t, rules, false, []connectors.Container{{ID: "a", Prefix: "a/"}}, ids[4:]...), 0, 1, 0, 26)
}

// TestRefusedContentHidesAtOnceAndPurgesAfterGrace, and is shown again as soon
// as it can be read.
func TestRefusedContentHidesAtOnceAndPurgesAfterGrace(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 3)
	rules := store.DefaultSweepRules()
	refuse := func(id string) {
		run := s.start(t, store.Content)
		known, err := s.store.KnownDocuments(t.Context(), s.conn, []string{id})
		if err != nil {
			t.Fatal(err)
		}
		s.mustWrite(t, &store.Batch{Run: run, Refused: []string{id}, Seen: []uuid.UUID{known[id].ID}})
		s.end(t, run)
	}
	refuse(ids[0])
	s.want(t, "refused", s.list(t, rules, false, nil, ids...), 0, 0, 0, 2)
	s.db.Advance(t, 6*24*time.Hour)
	refuse(ids[0]) // the grace counts from the first refusal
	s.want(t, "within the grace", s.list(t, rules, false, nil, ids...), 0, 0, 0, 2)
	s.db.Advance(t, 25*time.Hour)
	refuse(ids[1])
	s.want(t, "after the grace", s.list(t, rules, false, nil, ids...), 0, 1, 0, 1)
	run := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: run, Touched: []store.DocumentWrite{document(ids[1], connectors.ACL{})}})
	s.end(t, run)
	s.want(t, "readable again", s.list(t, rules, false, nil, ids[1:]...), 0, 0, 0, 2)
}

// TestSweepBesideThePermissionsLane: neither waits for the other in a circle.
func TestSweepBesideThePermissionsLane(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 300)
	perm := s.start(t, store.Permissions)
	err := together(2, func(i int) error {
		for n := range 12 {
			if i == 0 {
				s.list(t, store.SweepRules{CapCount: 1000}, false, nil, ids[(n%2)*150:(n%2)*150+150]...)
				continue
			}
			b := &store.Batch{Run: perm}
			for k := range ids {
				b.ACLs = append(b.ACLs, store.ACLWrite{ExternalID: ids[len(ids)-1-k], ACL: readable(fmt.Sprint("u", n))})
			}
			if _, err := s.write(t.Context(), b); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n := pgtest.Scalar[int64](t, s.db, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	s.wantWhole(t)
}
