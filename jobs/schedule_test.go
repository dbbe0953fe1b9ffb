package jobs

import (
	"slices"
	"testing"
	"time"
	_ "time/tzdata"

	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// tickOnce enqueues what is due and returns the live runs, "lane kind", in
// order.
func (e *engine) tickOnce() []string {
	e.t.Helper()
	if err := e.runner.tick(e.t.Context()); err != nil {
		e.t.Fatal(err)
	}
	rows, err := e.db.Owner.Query(e.t.Context(), `SELECT lane || ' ' || kind FROM sync_run WHERE state IN ('queued', 'running') ORDER BY 1`)
	if err != nil {
		e.t.Fatal(err)
	}
	defer rows.Close()
	var live []string
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			e.t.Fatal(err)
		}
		live = append(live, s)
	}
	return live
}

// work ends every live run.
func (e *engine) work() {
	e.t.Helper()
	runs, err := e.store.Runs(e.t.Context(), store.RunFilter{Connection: e.conn.ID})
	if err != nil {
		e.t.Fatal(err)
	}
	for _, r := range runs {
		if r.State.Live() {
			if r, err = e.runner.RunHere(e.t.Context(), r.ID, nil); err != nil || r.State == store.RunFailed {
				e.t.Fatalf("%s: %s %s, %v", r.Kind, r.State, r.Error, err)
			}
		}
	}
}

func (e *engine) timetable(change func(*store.Timetable)) store.Timetable {
	e.t.Helper()
	tt, err := e.store.Timetable(e.t.Context(), e.conn.ID)
	if err != nil {
		e.t.Fatal(err)
	}
	if change == nil {
		return tt
	}
	change(&tt)
	if err := e.store.SetTimetable(e.t.Context(), e.conn.ID, tt); err != nil {
		e.t.Fatal(err)
	}
	return e.timetable(nil)
}

// start2026 is a Sunday, 12:00 in UTC.
func start2026() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func TestLanesHaveTheirOwnTimes(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(5))
	e.db.SetClock(t, start2026())
	e.timetable(func(tt *store.Timetable) { tt.ContentEvery, tt.PermissionsEvery = 3*time.Hour, 3*time.Hour })
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock()`)
	if live := e.tickOnce(); !slices.Equal(live, []string{"content snapshot", "permissions permissions"}) {
		t.Fatalf("at first: %v", live)
	}
	e.work()
	count := map[string]int{}
	const steps = 9 * 24 / 3
	for range steps { // nine days
		e.db.Advance(t, 3*time.Hour+time.Minute+time.Second)
		for _, run := range e.tickOnce() {
			count[run]++
		}
		e.db.MustExec(t, `UPDATE sync_run SET state = 'succeeded', finished_at = clock() WHERE state = 'queued'`)
	}
	// The step is longer than a lane's interval with its jitter.
	if n := count["permissions permissions"]; n != steps {
		t.Errorf("%d permission runs in %d steps", n, steps)
	}
	if n := count["content changes"]; n != steps-1 {
		t.Errorf("%d change runs in %d steps, of which one is a reconcile", n, steps)
	}
	if n := count["content reconcile"]; n != 1 {
		t.Errorf("%d reconciles in nine days", n)
	}
}

// A reconcile asks for what is unknown or changed, and for nothing else.
func TestReconcileOpensOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(40))
	e.must(store.Content, store.RunSucceeded)
	e.must(store.Permissions, store.RunSucceeded)
	e.world.Lose("doc-007") // the feed does not tell
	e.world.Edit("doc-008", "# Another text\n\nIt is new.\n")
	e.world.Put("doc-900", "# New\n\nIt was not there.\n", reference.Readers(reference.User("bob")))
	before := e.world.Counts()
	conn, _ := e.store.Connection(t.Context(), "world")
	feed := conn.FeedCursor
	run, made, err := e.runner.RequestKind(t.Context(), conn, store.RunReconcile, "manual")
	if err != nil || !made || run.Kind != store.RunReconcile {
		t.Fatalf("%+v, %v, %v", run, made, err)
	}
	run, err = e.runner.RunHere(t.Context(), run.ID, nil)
	if err != nil || run.State != store.RunSucceeded {
		t.Fatalf("%s: %s, %v", run.State, run.Error, err)
	}
	if n := e.world.Counts().Bodies - before.Bodies; n != 2 {
		t.Errorf("the reconcile opened %d bodies, want 2", n)
	}
	if c := run.Counts; c.Added != 1 || c.Updated != 1 || c.Unchanged != 38 || c.Hidden != 1 || c.ACLChanged != 0 {
		t.Errorf("the reconcile did %+v", c)
	}
	e.wantTruth()
	e.wantReaders()
	conn, _ = e.store.Connection(t.Context(), "world")
	if string(conn.FeedCursor) != string(feed) {
		t.Error("a reconcile moved the position of the feed")
	}
	// The feed tells the same again, which changes nothing.
	e.must(store.Content, store.RunSucceeded)
	e.wantTruth()
	e.wantReaders()
}

func TestReconcileItemThatIsRefused(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(12))
	e.must(store.Content, store.RunSucceeded)
	e.world.Edit("doc-003", "# Another text\n\nIt is new.\n")
	e.world.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.Forbidden, Name: "doc-003"})
	conn, _ := e.store.Connection(t.Context(), "world")
	run, _, err := e.runner.RequestKind(t.Context(), conn, store.RunReconcile, "manual")
	if err != nil {
		t.Fatal(err)
	}
	if run, err = e.runner.RunHere(t.Context(), run.ID, nil); err != nil || run.Counts.Unchanged != 11 {
		t.Fatalf("%s %+v, %v", run.State, run.Counts, err)
	}
	if docs := e.documents(); len(docs) != 11 || docs["doc-003"] != "" {
		t.Errorf("%d documents are shown, want all but the refused one", len(docs))
	}
}

// A complete listing postpones the reconcile; one that meets a live run is tried
// again soon.
func TestReconcileIsDueWhenNoListingProvedTheFeed(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(5))
	e.db.SetClock(t, start2026())
	e.must(store.Content, store.RunSucceeded)
	first := e.timetable(nil).ReconcileNext
	if first == nil || first.Sub(start2026()) < 7*24*time.Hour-2*time.Minute {
		t.Fatalf("after a snapshot the reconcile is due at %v", first)
	}
	e.db.Advance(t, 8*24*time.Hour)
	conn, _ := e.store.Connection(t.Context(), "world")
	if _, made, err := e.runner.Request(t.Context(), conn, store.Content, "manual", false); err != nil || !made {
		t.Fatal(made, err)
	}
	if live := e.tickOnce(); !slices.Contains(live, "content changes") {
		t.Fatalf("live: %v", live)
	}
	if at := e.timetable(nil).ReconcileNext; at == nil || at.Sub(start2026()) > 8*24*time.Hour+2*time.Minute {
		t.Fatalf("a reconcile that met a live run is due at %v", at)
	}
	e.work()
	e.db.Advance(t, 2*time.Minute)
	if live := e.tickOnce(); !slices.Contains(live, "content reconcile") {
		t.Fatalf("live: %v", live)
	}
	e.work()
	if at := e.timetable(nil).ReconcileNext; at == nil || at.Sub(start2026()) < 15*24*time.Hour-2*time.Minute {
		t.Fatalf("after a reconcile the next is due at %v", at)
	}
}

func TestQuietHoursHoldContentBack(t *testing.T) {
	t.Parallel()
	w := small(30)
	w.SetPageSize(5)
	e := newEngine(t, w)
	e.db.SetClock(t, start2026())
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock()`)
	// Berlin is an hour ahead: 13:00 there is 12:00 in UTC.
	tt := e.timetable(func(tt *store.Timetable) {
		tt.TimeZone, tt.Quiet = "Europe/Berlin", []store.QuietHours{{From: "12:30", To: "14:00"}}
	})
	end := start2026().Add(time.Hour)
	if tt.QuietUntil == nil || !tt.QuietUntil.Equal(end) {
		t.Fatalf("quiet until %v, want %s", tt.QuietUntil, end)
	}
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock()`)
	if live := e.tickOnce(); !slices.Equal(live, []string{"permissions permissions"}) {
		t.Fatalf("in quiet hours: %v", live)
	}
	if at := e.timetable(nil).ContentNext; !at.Equal(end) {
		t.Fatalf("content is due at %s, want the end of the quiet hours", at)
	}
	// Whoever asks gets a run.
	conn, _ := e.store.Connection(t.Context(), "world")
	run, made, err := e.runner.Request(t.Context(), conn, store.Content, "manual", false)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	if run, err = e.runner.RunHere(t.Context(), run.ID, nil); err != nil || run.State != store.RunSucceeded {
		t.Fatalf("a run that was asked for: %s, %v", run.State, err)
	}
}

// A scheduled run that quiet hours overtake hands over, waits for their end, and
// goes on where it was; asking for it makes it go on at once.
func TestQuietHoursOvertakeARun(t *testing.T) {
	t.Parallel()
	w := small(60)
	w.SetPageSize(5)
	e := newEngine(t, w)
	e.db.SetClock(t, start2026())
	e.timetable(func(tt *store.Timetable) { tt.Quiet = []store.QuietHours{{From: "13:00", To: "15:00"}} })
	e.db.MustExec(t, `UPDATE schedule SET next_run_at = clock()`)
	e.tickOnce()
	runs, _ := e.store.Runs(t.Context(), store.RunFilter{Lane: store.Content})
	// The quiet hours begin before the slice has read its first page.
	e.db.Advance(t, time.Hour-time.Millisecond)
	w.At(connectortest.OnListing, 1, func() { e.db.Advance(t, time.Millisecond) })
	if err := e.runner.slice(t.Context(), runs[0].ID); err != nil {
		t.Fatal(err)
	}
	run, err := e.store.Run(t.Context(), runs[0].ID)
	want := start2026().Add(3 * time.Hour)
	if err != nil || run.State != store.RunQueued || run.Counts.Pages != 1 || run.NextTryAt == nil || !run.NextTryAt.Equal(want) {
		t.Fatalf("%s after %d pages, next try %v, want %s; %v", run.State, run.Counts.Pages, run.NextTryAt, want, err)
	}
	// A slice that comes too early does nothing.
	if err := e.runner.slice(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	if again, _ := e.store.Run(t.Context(), run.ID); again.Slices != run.Slices || again.State != store.RunQueued {
		t.Fatalf("a slice began in quiet hours: %d slices, then %d", run.Slices, again.Slices)
	}
	conn, _ := e.store.Connection(t.Context(), "world")
	hastened, made, err := e.runner.Request(t.Context(), conn, store.Content, "manual", false)
	if err != nil || made || hastened.ID != run.ID || hastened.NextTryAt != nil {
		t.Fatalf("asking: %+v, made %v, %v", hastened.NextTryAt, made, err)
	}
	if run, err = e.runner.RunHere(t.Context(), run.ID, nil); err != nil || run.State != store.RunSucceeded || run.Counts.Added != 60 {
		t.Fatalf("%s %+v, %v", run.State, run.Counts, err)
	}
	e.wantTruth()
}

// After a downtime a lane runs once, however many times it missed.
func TestMissedTimesRunOnce(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(3))
	e.db.SetClock(t, start2026())
	e.must(store.Content, store.RunSucceeded)
	e.timetable(func(tt *store.Timetable) { tt.ContentCron = "*/20 * * * *" })
	e.db.Advance(t, 3*24*time.Hour)
	e.tickOnce()
	e.work()
	for range 3 {
		if live := e.tickOnce(); len(live) != 0 {
			t.Fatalf("another run at once: %v", live)
		}
	}
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM sync_run WHERE lane = 'content' AND cause = 'schedule'`); n != 1 {
		t.Errorf("%d runs for three days of missed times", n)
	}
	next := e.timetable(nil).ContentNext.Sub(start2026().Add(3 * 24 * time.Hour))
	if next <= 0 || next > 21*time.Minute {
		t.Errorf("the next is due in %s", next)
	}
}
