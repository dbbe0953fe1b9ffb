package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

// open returns the connection's open hold.
func (s *source) open(t *testing.T) store.Hold {
	t.Helper()
	list, err := s.store.Holds(t.Context(), store.HoldFilter{Connection: s.conn, State: store.HoldOpen})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d holds are open: %v", len(list), err)
	}
	return list[0]
}

// notices counts the open notices of held deletions.
func (s *source) notices(t *testing.T, want int) {
	t.Helper()
	list, err := s.store.Notices(t.Context(), store.NoticeFilter{Connection: s.conn, Code: store.NoticeDeletionsHeld})
	if err != nil || len(list) != want {
		t.Errorf("%d notices of held deletions, want %d: %+v, %v", len(list), want, list, err)
	}
}

// items counts what the runs' lists say was done.
func (s *source) items(t *testing.T, op string, want int) {
	t.Helper()
	if n := pgtest.Scalar[int](t, s.db, `SELECT count(*) FROM run_item WHERE op = $1 AND connection_id = $2`, op, s.conn); n != want {
		t.Errorf("%d items are %s, want %d", n, op, want)
	}
}

// TestApprovalDeletesExactlyWhatIsStillAbsent: as SECURITY says of 1,000
// documents of which 500 are listed; what is found meanwhile is kept.
func TestApprovalDeletesExactlyWhatIsStillAbsent(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 1000)
	rules := store.DefaultSweepRules()
	s.want(t, "half", s.list(t, rules, false, nil, ids[500:]...), 0, 0, 500, 1000)
	h := s.open(t)
	if h.Reason != store.HoldMany || h.Documents != 500 || h.Total != 1000 || h.Connection != "c" {
		t.Fatalf("the hold is %+v", h)
	}
	s.notices(t, 1)
	held, err := s.store.HeldDocuments(t.Context(), h.ID, uuid.Nil, 300)
	if err != nil || len(held) != 300 || held[0].Path == "" || held[0].Hidden {
		t.Fatalf("%d held documents: %v", len(held), err)
	}
	if rest, err := s.store.HeldDocuments(t.Context(), h.ID, held[299].ID, 300); err != nil || len(rest) != 200 {
		t.Fatalf("%d further held documents: %v", len(rest), err)
	}
	// A feed names one, and a listing that is under way another.
	for i, kind := range []store.RunKind{store.RunChanges, store.RunSnapshot} {
		run := s.start(t, store.Content, func(r *store.RunRequest) { r.Kind = kind })
		known, err := s.store.KnownDocuments(t.Context(), s.conn, ids[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		s.mustWrite(t, &store.Batch{Run: run, Seen: []uuid.UUID{known[ids[i]].ID}})
		s.end(t, run)
	}
	event := audit.Event{Actor: audit.Actor{Kind: audit.CLI, Name: "ann"}, Action: "deletions.approve", Outcome: audit.OK}
	if h, err = s.store.ApproveHold(t.Context(), h.ID, "ann", event); err != nil || h.State != store.HoldApproved || h.DecidedBy != "ann" || h.Kept != 2 {
		t.Fatalf("approved: %+v, %v", h, err)
	}
	if n := pgtest.Scalar[int](t, s.db, `SELECT count(*) FROM document WHERE hidden_reason IS NULL`); n != 502 {
		t.Errorf("%d documents are shown at once, want 502", n)
	}
	if n := pgtest.Scalar[int](t, s.db, `SELECT count(*) FROM audit_event WHERE target = $1`, h.ID.String()); n != 1 {
		t.Errorf("%d events", n)
	}
	if n, err := s.store.PurgeApproved(t.Context(), h.ID); err != nil || n != 498 {
		t.Fatalf("purged %d: %v", n, err)
	}
	s.want(t, "purged", store.Counts{}, 0, 0, 0, 502)
	if h, _ = s.store.Hold(t.Context(), h.ID); h.Purged != 498 || h.FinishedAt == nil {
		t.Errorf("the hold is %+v", h)
	}
	s.notices(t, 0)
	s.items(t, "purged", 498)
	if _, err := s.store.ApproveHold(t.Context(), h.ID, "ann"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("approved again: %v", err)
	}
	s.want(t, "the next listing asks nothing", s.list(t, rules, false, nil, append(ids[:2:2], ids[500:]...)...), 0, 0, 0, 502)
}

// TestRejectionIsRemembered until a document is named again, and can be taken back.
func TestRejectionIsRemembered(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 100)
	rules := store.DefaultSweepRules()
	s.want(t, "five", s.list(t, rules, false, nil, ids[5:]...), 5, 0, 0, 95)
	s.db.Advance(t, time.Hour)
	s.want(t, "thirty", s.list(t, rules, false, nil, ids[30:]...), 0, 0, 30, 95)
	h, err := s.store.RejectHold(t.Context(), s.open(t).ID, "ann")
	if err != nil || h.State != store.HoldRejected {
		t.Fatalf("rejected: %+v, %v", h, err)
	}
	s.want(t, "what was hidden shows again", store.Counts{}, 0, 0, 0, 100)
	s.items(t, "restored", 5)
	s.notices(t, 0)
	for range 2 {
		s.want(t, "the same set", s.list(t, rules, false, nil, ids[30:]...), 0, 0, 0, 100)
		s.want(t, "two more", s.list(t, rules, false, nil, ids[32:]...), 2, 0, 0, 98)
	}
	s.want(t, "a subset", s.list(t, rules, false, nil, append(ids[10:20:20], ids[30:]...)...), 0, 0, 0, 100)
	s.want(t, "what was named is absent again", s.list(t, rules, false, nil, ids[30:]...), 10, 0, 0, 90)
	if h, err = s.store.ApproveHold(t.Context(), h.ID, "bob"); err != nil || h.Kept != 10 {
		t.Fatalf("approved after all: %+v, %v", h, err)
	}
	if n, err := s.store.PurgeApproved(t.Context(), h.ID); err != nil || n != 20 {
		t.Fatalf("purged %d: %v", n, err)
	}
}

// TestRejectionShowsOnlyWhatWasAbsent: what is hidden for another reason stays hidden.
func TestRejectionShowsOnlyWhatWasAbsent(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 100)
	rules := store.DefaultSweepRules()
	s.list(t, rules, false, nil, ids[5:]...)
	s.db.Advance(t, time.Hour)
	s.list(t, rules, false, nil, ids[30:]...)
	for i, reason := range []string{"refused", "erased"} {
		s.db.MustExec(t, `UPDATE document SET hidden_reason = $1, hidden_at = clock() WHERE connection_id = $2 AND external_id = $3`, reason, s.conn, ids[i])
	}
	if _, err := s.store.RejectHold(t.Context(), s.open(t).ID, "ann"); err != nil {
		t.Fatal(err)
	}
	s.want(t, "the others show again", store.Counts{}, 0, 0, 0, 98)
	s.items(t, "restored", 3)
}

// TestNewerListingReplacesTheHold with what is absent now; the same set stays
// the same hold, and none is left where nothing is held.
func TestNewerListingReplacesTheHold(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 100)
	rules := store.DefaultSweepRules()
	s.list(t, rules, false, nil, ids[30:]...)
	first := s.open(t)
	s.list(t, rules, false, nil, ids[30:]...)
	if again := s.open(t); again.ID != first.ID || again.RunID == first.RunID {
		t.Errorf("the same set is another hold: %+v", again)
	}
	s.list(t, rules, false, nil, ids[20:]...)
	if again := s.open(t); again.ID != first.ID || again.Documents != 30 || again.Kept != 10 {
		t.Errorf("what was found leaves it: %+v", again)
	}
	s.list(t, rules, false, nil, ids[25:]...)
	second := s.open(t)
	if second.ID == first.ID || second.Documents != 25 {
		t.Errorf("the hold is %+v", second)
	}
	if _, err := s.store.ApproveHold(t.Context(), first.ID, "ann"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a superseded hold was approved: %v", err)
	}
	s.list(t, rules, false, nil, ids...)
	if list, err := s.store.Holds(t.Context(), store.HoldFilter{State: store.HoldOpen}); err != nil || len(list) != 0 {
		t.Errorf("holds are open: %+v, %v", list, err)
	}
	s.notices(t, 0)
	if _, err := s.store.Hold(t.Context(), uuid.New()); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("an unknown hold: %v", err)
	}
}

// TestUnconfirmedNarrowingIsHeld however little it takes out; what was
// confirmed is hidden, and purged later without a question, but no more than that.
func TestUnconfirmedNarrowingIsHeld(t *testing.T) {
	t.Parallel()
	rules := store.DefaultSweepRules()
	narrow := func(s *source, n int, confirmed *int64) {
		change := store.ConnectionChange{Selection: connectors.Selection{Exclude: []string{fmt.Sprint(n)}}, Narrowed: true, Confirmed: confirmed}
		if _, changed, err := s.store.ChangeConnection(t.Context(), s.conn, change, nil); err != nil || !changed {
			t.Fatalf("changing: %t, %v", changed, err)
		}
	}
	s, ids := swept(t, 100)
	narrow(s, 1, nil)
	s.want(t, "one, unconfirmed", s.list(t, rules, false, nil, ids[1:]...), 0, 0, 1, 100)
	if h := s.open(t); h.Reason != store.HoldNarrowed {
		t.Errorf("the hold is %+v", h)
	}
	if _, err := s.store.RejectHold(t.Context(), s.open(t).ID, "ann"); err != nil {
		t.Fatal(err)
	}
	s.want(t, "decided", s.list(t, rules, false, nil, ids[3:]...), 2, 0, 0, 98)

	shown := int64(40)
	s, ids = swept(t, 100)
	narrow(s, 1, nil)
	narrow(s, 2, &shown)
	s.want(t, "more than confirmed and the cap", s.list(t, rules, false, nil, ids[51:]...), 0, 0, 51, 100)
	s.want(t, "confirmed", s.list(t, rules, false, nil, ids[40:]...), 40, 0, 0, 60)
	s.db.Advance(t, time.Hour)
	s.want(t, "confirmed once is enough", s.list(t, rules, false, nil, ids[40:]...), 0, 40, 0, 60)
	s.want(t, "and for once", s.list(t, rules, false, nil, ids[60:]...), 0, 0, 20, 60)

	s, ids = swept(t, 20)
	narrow(s, 1, &shown)
	narrow(s, 2, nil)
	s.want(t, "narrowed further, unconfirmed", s.list(t, rules, false, nil, ids[2:]...), 0, 0, 2, 20)
}

// TestBatchAfterAnApprovalReadsAgain: what was purged since its page was read
// is new, and a batch that takes it for stored writes nothing.
func TestBatchAfterAnApprovalReadsAgain(t *testing.T) {
	t.Parallel()
	s, ids := swept(t, 100)
	s.list(t, store.DefaultSweepRules(), false, nil, ids[30:]...)
	run := s.start(t, store.Content)
	known, err := s.store.KnownDocuments(t.Context(), s.conn, ids[:1])
	if err != nil {
		t.Fatal(err)
	}
	h, err := s.store.ApproveHold(t.Context(), s.open(t).ID, "ann")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.PurgeApproved(t.Context(), h.ID); err != nil {
		t.Fatal(err)
	}
	for what, b := range map[string]*store.Batch{
		"seen": {Run: run, Seen: []uuid.UUID{known[ids[0]].ID}}, "touched": {Run: run, Touched: []store.DocumentWrite{document(ids[0], connectors.ACL{})}},
	} {
		if _, err := s.write(t.Context(), b); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestBlockedContainersKeepWhatIsNestedInThem at any depth.
func TestBlockedContainersKeepWhatIsNestedInThem(t *testing.T) {
	t.Parallel()
	s, _ := swept(t, 0)
	rules := store.DefaultSweepRules()
	s.list(t, rules, false, nil, "stays", "in:folder", "in:child", "in:grandchild", "in:beside")
	s.db.MustExec(t, `UPDATE document SET container = substr(external_id, 4) WHERE external_id LIKE 'in:%'`)
	run := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: run, Page: &store.PageEnd{Next: connectors.Cursor(`1`), Containers: []connectors.Place{
		{ID: "grandchild", Parent: "child"}, {ID: "child", Parent: "folder"}, {ID: "folder", Parent: "loop"}, {ID: "loop", Parent: "folder"}, {ID: "beside", Parent: "root"},
	}}})
	s.end(t, run)
	s.want(t, "blocked", s.list(t, rules, false, []connectors.Container{{ID: "folder"}}, "stays"), 1, 0, 0, 4)
	run = s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: run, Page: &store.PageEnd{Next: connectors.Cursor(`2`), Containers: []connectors.Place{{ID: "child", Parent: "root"}}}})
	s.end(t, run)
	s.want(t, "moved out", s.list(t, rules, false, []connectors.Container{{ID: "folder"}}, "stays"), 2, 0, 0, 2)
}
