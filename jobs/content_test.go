package jobs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

func TestSnapshotThenChanges(t *testing.T) {
	t.Parallel()
	w := reference.Random(7, 120)
	w.SetPageSize(9)
	e := newEngine(t, w)
	run := e.must(store.Content, store.RunSucceeded)
	if run.Kind != store.RunSnapshot || run.Counts.Added == 0 {
		t.Fatalf("first run: %s, %+v", run.Kind, run.Counts)
	}
	e.wantTruth()
	for seed := range uint64(5) {
		w.Churn(seed, 30)
		run = e.must(store.Content, store.RunSucceeded)
		if run.Kind != store.RunChanges {
			t.Fatalf("later run: %s", run.Kind)
		}
		e.wantTruth()
	}
}

func TestUnchangedCostsNothing(t *testing.T) {
	t.Parallel()
	w := small(40)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	e.db.MustExec(t, `UPDATE connection SET feed_cursor = NULL`)
	opened := w.Counts().Bodies
	run := e.must(store.Content, store.RunSucceeded)
	c := run.Counts
	if c.ChunksWritten != 0 || c.VectorsMade != 0 || c.Unchanged != 40 || w.Counts().Bodies != opened {
		t.Fatalf("second snapshot: %+v, %d bodies opened", c, w.Counts().Bodies-opened)
	}
}

func TestEditKeepsOtherChunks(t *testing.T) {
	t.Parallel()
	w := reference.New()
	text := ""
	for i := range 200 {
		text += fmt.Sprintf("## Section %d\n\nThe paragraph of section %d is about matter %d.\n\n", i, i, i*17)
	}
	w.Put("long", text, reference.Readers(reference.Everyone()))
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	w.Edit("long", text[:5000]+" edited "+text[5000:])
	run := e.must(store.Content, store.RunSucceeded)
	if c := run.Counts; c.ChunksWritten > 3 || c.ChunksWritten == 0 || c.ChunksWritten != c.ChunksDeleted {
		t.Fatalf("one edit: %+v", c)
	}
	e.wantTruth()
}

// Absent from one complete listing hides, absent from another an hour later
// purges, and reappearing restores.
func TestLostDocumentsHideThenPurge(t *testing.T) {
	t.Parallel()
	w := small(50)
	e := newEngine(t, w)
	e.db.SetClock(t, time.Now())
	e.must(store.Content, store.RunSucceeded)
	snapshot := func() store.Run {
		e.db.MustExec(t, `UPDATE connection SET feed_cursor = NULL`)
		return e.sync(store.Content)
	}
	w.Lose("doc-003")
	w.Lose("doc-004")
	if c := snapshot().Counts; c.Hidden != 2 || c.Purged != 0 {
		t.Fatalf("first listing without them: %+v", c)
	}
	w.Put("doc-004", "# Document 4\n\nIts text speaks of topic 4.\n", reference.Readers(reference.User("alice")))
	e.db.Advance(t, 59*time.Minute)
	if c := snapshot().Counts; c.Purged != 0 || c.Hidden != 0 {
		t.Fatalf("listing after 59 minutes: %+v", c)
	}
	e.db.Advance(t, 2*time.Minute)
	if c := snapshot().Counts; c.Purged != 1 {
		t.Fatalf("listing after 61 minutes: %+v", c)
	}
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM document`); n != 49 {
		t.Fatalf("%d documents are left, want 49", n)
	}
	e.wantTruth()
}

func TestManyDeletionsAreHeld(t *testing.T) {
	t.Parallel()
	w := small(200)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	for i := range 100 {
		w.Lose(fmt.Sprintf("doc-%03d", i))
	}
	e.db.MustExec(t, `UPDATE connection SET feed_cursor = NULL`)
	run := e.must(store.Content, store.RunPartial)
	if run.Counts.Hidden != 0 || run.Counts.Held != 100 {
		t.Fatalf("sweep: %+v", run.Counts)
	}
	if got := len(e.documents()); got != 200 {
		t.Fatalf("%d documents are shown, want all 200", got)
	}
	conn, _ := e.store.Connection(t.Context(), "world")
	conn.FeedCursor = nil
	run, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", true)
	if err != nil {
		t.Fatal(err)
	}
	if run, err = e.runner.RunHere(t.Context(), run.ID, nil); err != nil || run.Counts.Purged != 100 {
		t.Fatalf("approved sweep: %+v, %v", run.Counts, err)
	}
}

func TestBrokenListingsDeleteNothing(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]reference.FaultOn{
		"an error on the last page": {Kind: connectortest.ServerError, Page: 4},
		"a repeated cursor":         {Kind: reference.RepeatedCursor, Page: 3, Times: 1},
		"a 403 on a page":           {Kind: connectortest.Forbidden, Page: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := small(35)
			w.SetPageSize(10)
			e := newEngine(t, w)
			e.must(store.Content, store.RunSucceeded)
			w.Lose("doc-030")
			e.db.MustExec(t, `UPDATE connection SET feed_cursor = NULL`)
			w.Fail(fault)
			conn, _ := e.store.Connection(t.Context(), "world")
			run, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", false)
			if err != nil {
				t.Fatal(err)
			}
			if err := e.runner.slice(t.Context(), run.ID); err != nil {
				t.Fatal(err)
			}
			run, _ = e.store.Run(t.Context(), run.ID)
			if run.State == store.RunSucceeded || run.Error == "" {
				t.Fatalf("the run ended %s with error %q", run.State, run.Error)
			}
			if got := len(e.documents()); got != 35 {
				t.Fatalf("%d documents are shown, want 35", got)
			}
		})
	}
}

func TestPoisonIsQuarantinedAfterThreeTries(t *testing.T) {
	t.Parallel()
	w := small(20)
	e := newEngine(t, w)
	w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.Truncated, Name: "doc-007"})
	for try := 1; try <= 4; try++ {
		e.db.MustExec(t, `UPDATE connection SET feed_cursor = NULL`)
		run := e.must(store.Content, store.RunPartial)
		if run.Counts.Quarantined != 1 {
			t.Fatalf("try %d: %+v", try, run.Counts)
		}
		list, err := e.store.Quarantined(t.Context(), e.conn.ID)
		if err != nil || len(list) != 1 || list[0].Attempts != min(try, 3) || list[0].Reason == "" {
			t.Fatalf("try %d: quarantine %+v, %v", try, list, err)
		}
	}
	if got := len(e.documents()); got != 19 {
		t.Fatalf("%d documents are stored, want 19", got)
	}
	w.Mend()
	w.Edit("doc-007", "# Mended\n\nNow it can be read.\n")
	e.must(store.Content, store.RunSucceeded)
	e.wantTruth()
}

func TestRateLimitKeepsThePlace(t *testing.T) {
	t.Parallel()
	w := small(30)
	w.SetPageSize(10)
	e := newEngine(t, w)
	w.Fail(reference.FaultOn{Kind: connectortest.RateLimited, Page: 3, Times: 1, RetryAfter: time.Second})
	conn, _ := e.store.Connection(t.Context(), "world")
	run, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.runner.slice(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	run, _ = e.store.Run(t.Context(), run.ID)
	conn, _ = e.store.Connection(t.Context(), "world")
	if run.State != store.RunQueued || run.Attempt != 0 || run.Cursor.IsZero() || run.NextTryAt == nil || conn.State != store.StateThrottled {
		t.Fatalf("after 429: %+v, connection %s", run, conn.State)
	}
	run, err = e.runner.RunHere(t.Context(), run.ID, nil)
	if err != nil || run.State != store.RunSucceeded || run.Counts.Added != 30 {
		t.Fatalf("after the wait: %s %+v, %v", run.State, run.Counts, err)
	}
	e.wantTruth()
}

func TestExpiredFeedStartsASnapshot(t *testing.T) {
	t.Parallel()
	w := small(12)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	w.Fail(reference.FaultOn{On: connectortest.OnFeed, Kind: connectortest.ExpiredCursor})
	w.Edit("doc-001", "# Edited\n\nWhile the feed was lost.\n")
	if run := e.must(store.Content, store.RunSuperseded); run.ErrorClass != connectors.CursorExpired.String() {
		t.Fatalf("class %s", run.ErrorClass)
	}
	if run := e.must(store.Content, store.RunSucceeded); run.Kind != store.RunSnapshot || run.Counts.Hidden != 0 {
		t.Fatalf("after expiry: %s %+v", run.Kind, run.Counts)
	}
	e.wantTruth()
}

func TestManySlicesEqualOne(t *testing.T) {
	t.Parallel()
	w := reference.Random(3, 90)
	w.SetPageSize(7)
	e := newEngine(t, w, func(c *Config) { c.Slice = time.Nanosecond })
	run := e.must(store.Content, store.RunSucceeded)
	if run.Slices < 5 {
		t.Fatalf("%d slices", run.Slices)
	}
	e.wantTruth()
}

func TestFencedTwinWritesNothing(t *testing.T) {
	t.Parallel()
	w := small(10)
	e := newEngine(t, w)
	conn, _ := e.store.Connection(t.Context(), "world")
	run, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	old, err := e.store.ClaimRun(t.Context(), run.ID, "elsewhere:1:old", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.store.ClaimRun(t.Context(), run.ID, "elsewhere:2:new", time.Minute); err == nil {
		t.Fatal("a run with a fresh heartbeat was taken over")
	}
	if _, err := e.store.ClaimRun(t.Context(), run.ID, "elsewhere:2:new", -time.Second); err != nil {
		t.Fatal(err)
	}
	_, err = e.store.WriteBatch(t.Context(), &store.Batch{Run: old, Deleted: []string{"doc-001"}}, nil)
	if err == nil || pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM outbox`) != 0 {
		t.Fatalf("the old holder wrote: %v", err)
	}
}

// What the store cannot hold of one item does not stop the others.
func TestUnstorableNamesSkipOneItem(t *testing.T) {
	t.Parallel()
	w := small(5)
	for _, id := range []string{"nul\x00inside", "bad\xffutf8", strings.Repeat("long/", 600)} {
		w.Put(id, "# Odd\n\nA document with an odd name.\n", reference.Readers(reference.User("alice")))
	}
	e := newEngine(t, w)
	run := e.must(store.Content, store.RunSucceeded)
	if run.Counts.Added != 5 || run.Counts.Skipped != 3 {
		t.Fatalf("%+v", run.Counts)
	}
	list, err := e.store.Skipped(t.Context(), e.conn.ID)
	if err != nil || len(list) != 3 || list[0].Reason == "" {
		t.Fatalf("skipped: %+v, %v", list, err)
	}
	e.must(store.Permissions, store.RunSucceeded)
}
