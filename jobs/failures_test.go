package jobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// limit sets limits of the engine's connection.
func (e *engine) limit(changes map[string]string) {
	e.t.Helper()
	if _, err := e.store.SetRunLimits(e.t.Context(), e.conn.ID, changes); err != nil {
		e.t.Fatal(err)
	}
}

// notices returns the codes of the open notices, in order.
func (e *engine) notices() string {
	e.t.Helper()
	list, err := e.store.Notices(e.t.Context(), store.NoticeFilter{})
	if err != nil {
		e.t.Fatal(err)
	}
	var codes []string
	for _, n := range list {
		codes = append(codes, n.Code)
	}
	return strings.Join(codes, " ")
}

// lastTry makes the next slice of a new run its last try.
func (e *engine) lastTry(lane store.Lane) store.Run {
	e.t.Helper()
	conn, err := e.store.Connection(e.t.Context(), e.conn.Name)
	if err != nil {
		e.t.Fatal(err)
	}
	run, _, err := e.runner.Request(e.t.Context(), conn, lane, "test", false)
	if err != nil {
		e.t.Fatal(err)
	}
	e.db.MustExec(e.t, `UPDATE sync_run SET attempt = 7 WHERE id = $1`, run.ID)
	if run, err = e.runner.RunHere(e.t.Context(), run.ID, nil); err != nil {
		e.t.Fatal(err)
	}
	return run
}

// scripted is the reference connector with a snapshot of the test's own.
type scripted struct {
	reference.Connector
	pages func(from connectors.Cursor) iter.Seq2[connectors.Page, error]
}

func (c scripted) Spec() connectors.Spec {
	s := c.Connector.Spec()
	s.Provides = []connectors.Capability{connectors.CanRealm}
	return s
}

func (c scripted) Open(ctx context.Context, env connectors.Env) (connectors.Session, error) {
	s, err := c.Connector.Open(ctx, env)
	if err != nil {
		return nil, err
	}
	return scriptedSession{s.(*reference.Session), c}, nil
}

type scriptedSession struct {
	*reference.Session
	c scripted
}

func (s scriptedSession) Snapshot(_ context.Context, from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return s.c.pages(from)
}

func withPages(w *reference.World, pages func(from connectors.Cursor) iter.Seq2[connectors.Page, error]) func(*Config) {
	return func(c *Config) { c.Connectors[reference.Source] = scripted{w.Connector(), pages} }
}

func upsert(id string) connectors.Change {
	return connectors.Change{Op: connectors.Upsert, Ref: connectors.ItemRef{ID: id, Revision: "1"}, Document: &connectors.Document{Path: id, Open: opens("text of " + id)}}
}

// numbered yields pages made by page until it ends the listing, with ever new
// cursors.
func numbered(page func(n int) connectors.Page) func(from connectors.Cursor) iter.Seq2[connectors.Page, error] {
	return func(from connectors.Cursor) iter.Seq2[connectors.Page, error] {
		return func(yield func(connectors.Page, error) bool) {
			n := 0
			_, _ = fmt.Sscanf(string(from), `{"n":%d}`, &n)
			for {
				p := page(n)
				n++
				p.Next = connectors.Cursor(fmt.Sprintf(`{"n":%d}`, n))
				if !yield(p, nil) || p.Complete {
					return
				}
			}
		}
	}
}

// TestListingsThatLoopEnd: each ends as a failure, deletes nothing, and says
// why; the listing is not gone on with.
func TestListingsThatLoopEnd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		page  func(n int) connectors.Page
		slice time.Duration
		says  string
	}{
		"A, B, A with new cursors": {func(n int) connectors.Page {
			return connectors.Page{Changes: []connectors.Change{upsert("abc"[n%3 : n%3+1])}}
		}, 0, "came twice"},
		"the same over many slices": {func(n int) connectors.Page {
			return connectors.Page{Changes: []connectors.Change{upsert("abc"[n%3 : n%3+1])}}
		}, time.Nanosecond, "came twice"},
		"empty pages for ever":    {func(int) connectors.Page { return connectors.Page{} }, 0, "max_empty_pages"},
		"empty pages over slices": {func(int) connectors.Page { return connectors.Page{} }, time.Nanosecond, "max_empty_pages"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := small(3)
			e := newEngine(t, w)
			e.must(store.Content, store.RunSucceeded)
			e.db.MustExec(t, `UPDATE connection SET feed_cursor = NULL`)
			withPages(w, numbered(c.page))(&e.runner.cfg)
			if c.slice > 0 {
				e.runner.cfg.Slice = c.slice
			}
			e.limit(map[string]string{"max_empty_pages": "30"})
			run := e.must(store.Content, store.RunFailed)
			if run.Counts.Hidden+run.Counts.Purged+run.Counts.Held != 0 || run.Complete || !strings.Contains(run.Error, c.says) || run.Counts.Pages > 31 {
				t.Errorf("after %d pages: %s; %+v", run.Counts.Pages, run.Error, run.Counts)
			}
			if got := e.notices(); got != "listing_loops" {
				t.Errorf("open notices: %q", got)
			}
			e.runner.cfg.Connectors[reference.Source] = w.Connector()
			e.must(store.Content, store.RunSucceeded)
			if got := e.notices(); got != "" {
				t.Errorf("open notices after a good run: %q", got)
			}
		})
	}
}

// TestLimitsEndARun: what was read is kept, nothing is deleted, and the next
// run goes on behind it.
func TestLimitsEndARun(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]map[string]string{
		"pages":   {"max_pages": "2"},
		"items":   {"max_items": "20"},
		"bytes":   {"max_megabytes": "1"},
		"minutes": {"max_minutes": "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := small(0)
			text := "x"
			if name == "bytes" {
				text = strings.Repeat("long word\n\n", 8700)
			}
			for i := range 40 {
				w.Put(fmt.Sprintf("doc-%02d", i), fmt.Sprintf("# %d\n\n%s", i, text), reference.Readers(reference.User("alice")))
			}
			w.SetPageSize(10)
			e := newEngine(t, w)
			if name == "minutes" {
				w.At(connectortest.OnListing, 1, func() { e.db.MustExec(t, `UPDATE sync_run SET started_at = clock() - interval '2 minutes'`) })
				e.runner.cfg.Slice = time.Nanosecond
			}
			e.limit(limits)
			run := e.must(store.Content, store.RunFailed)
			if run.Complete || run.Counts.Pages != 2 || run.Counts.Added != 20 || !strings.Contains(run.Error, "max_") {
				t.Errorf("the run ended after %+v: %s", run.Counts, run.Error)
			}
			if got := e.notices(); got != "limit_reached" {
				t.Errorf("open notices: %q", got)
			}
			conn, err := e.store.Connection(t.Context(), e.conn.Name)
			if err != nil || conn.State != store.StateDegraded {
				t.Errorf("the connection is %s, want degraded: %v", conn.State, err)
			}
			run = e.sync(store.Content)
			if run.Counts.Added != 20 {
				t.Errorf("the next run added %d, want the other 20: %s", run.Counts.Added, run.Error)
			}
			e.limit(map[string]string{"max_pages": "default", "max_items": "default", "max_megabytes": "default", "max_minutes": "default"})
			e.must(store.Content, store.RunSucceeded)
			if got := e.notices(); got != "" {
				t.Errorf("open notices after a whole run: %q", got)
			}
			e.wantTruth()
		})
	}
}

func (e *engine) attempts() string {
	e.t.Helper()
	return pgtest.Scalar[string](e.t, e.db, `SELECT coalesce(string_agg(DISTINCT attempts::text, ' '), '') FROM quarantine`)
}

// TestDownloadsThatAreDownEndTheRun: the source is not quarantined as a whole,
// nothing is deleted, and nothing is lost.
func TestDownloadsThatAreDownEndTheRun(t *testing.T) {
	t.Parallel()
	w := small(200)
	w.SetPageSize(50)
	e := newEngine(t, w)
	w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.ServerError})
	run := e.lastTry(store.Content)
	if run.State != store.RunFailed || run.ErrorClass != "transient" || !strings.Contains(run.Error, "one after the other") || run.Counts.Hidden+run.Counts.Purged != 0 {
		t.Fatalf("the run ended %s (%s): %s", run.State, run.ErrorClass, run.Error)
	}
	if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM quarantine`); n > 20 || e.attempts() != "1" {
		t.Errorf("%d items are quarantined with %s attempts, want at most 20 with 1", n, e.attempts())
	}
	if got := e.notices(); got != "error_budget" {
		t.Errorf("open notices: %q", got)
	}
	w.Mend()
	e.must(store.Content, store.RunSucceeded)
	e.wantTruth()
	if got := e.notices(); got != "" {
		t.Errorf("open notices after a good run: %q", got)
	}
}

// TestBreakerTriesTheRunAgain: before its last try, failures one after the
// other count for no item.
func TestBreakerTriesTheRunAgain(t *testing.T) {
	t.Parallel()
	w := small(50)
	e := newEngine(t, w)
	for i := range 20 { // by name: bodies are read side by side, in no order
		w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.ServerError, Name: fmt.Sprintf("doc-%03d", i), Times: 1})
	}
	e.must(store.Content, store.RunSucceeded)
	if got := e.attempts(); got != "" {
		t.Errorf("items are quarantined after %s attempts", got)
	}
	e.wantTruth()
}

// TestShareOfFailuresEndsTheRun, also where they do not follow each other; those
// that rest count no more, so that every run gets further.
func TestShareOfFailuresEndsTheRun(t *testing.T) {
	t.Parallel()
	w := small(120)
	w.SetPageSize(30)
	e := newEngine(t, w)
	for i := 0; i < 120; i += 2 {
		w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.ServerError, Name: fmt.Sprintf("doc-%03d", i)})
	}
	run := e.must(store.Content, store.RunFailed)
	if !strings.Contains(run.Error, "items could not be downloaded") || e.notices() != "error_budget" || e.attempts() != "1" {
		t.Errorf("%s; notices %q, attempts %q", run.Error, e.notices(), e.attempts())
	}
	for range 12 {
		if run = e.sync(store.Content); run.State == store.RunPartial {
			break
		}
	}
	if run.State != store.RunPartial || len(e.documents()) != 60 {
		t.Errorf("in the end the run is %s with %d documents: %s", run.State, len(e.documents()), run.Error)
	}
}

// TestPassingFailureIsTriedAgainInTheRun: it costs the item nothing.
func TestPassingFailureIsTriedAgainInTheRun(t *testing.T) {
	t.Parallel()
	w := small(30)
	e := newEngine(t, w)
	w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.ServerError, Times: 5})
	w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.Truncated, Name: "doc-020", Times: 1})
	run := e.must(store.Content, store.RunSucceeded)
	if run.Counts.Quarantined != 0 || run.Counts.Listed != 30 || e.attempts() != "" {
		t.Errorf("%+v, attempts %q", run.Counts, e.attempts())
	}
	e.wantTruth()
}

// TestRetryAndExcludeOfPoison: what an admin asks for reaches an item that
// rests, also where only changes are listed.
func TestRetryAndExcludeOfPoison(t *testing.T) {
	t.Parallel()
	w := small(20)
	e := newEngine(t, w)
	poison := &connectors.Error{Op: "reading", Class: connectors.ItemSkipped, Err: errors.New("unreadable")}
	w.Fail(reference.FaultOn{On: connectortest.OnBody, Err: poison, Name: "doc-003"})
	for range 4 {
		e.must(store.Content, store.RunPartial)
		if e.attempts() == "3" {
			break
		}
	}
	opened := w.Counts().Bodies
	e.must(store.Content, store.RunSucceeded) // changes: nothing new
	if got := w.Counts().Bodies - opened; got != 0 || e.attempts() != "3" {
		t.Fatalf("a resting item was opened %d times, attempts %s", got, e.attempts())
	}
	ask := func() {
		if n, err := e.store.RetryQuarantined(t.Context(), e.conn.ID, []string{"doc-003"}); err != nil || n != 1 {
			t.Fatalf("retry of %d: %v", n, err)
		}
	}
	ask()
	e.must(store.Content, store.RunPartial)
	if e.attempts() != "4" {
		t.Errorf("after a retry that failed: %s attempts, want 4", e.attempts())
	}
	w.Mend()
	e.must(store.Content, store.RunSucceeded)
	if e.attempts() != "4" {
		t.Errorf("it was tried again without being asked for")
	}
	ask()
	e.must(store.Content, store.RunSucceeded)
	e.wantTruth()
	if e.attempts() != "" {
		t.Errorf("it is still quarantined")
	}
}

// TestWithinItsBoundsARunEndsWell: the last page may reach a limit, and failures
// here and there are no outage.
func TestWithinItsBoundsARunEndsWell(t *testing.T) {
	t.Parallel()
	w := small(200)
	w.SetPageSize(200)
	e := newEngine(t, w)
	e.limit(map[string]string{"max_pages": "1", "max_items": "200"})
	poison := &connectors.Error{Op: "reading", Class: connectors.Transient, Err: errors.New("no")}
	for i := 3; i < 200; i += 8 {
		w.Fail(reference.FaultOn{On: connectortest.OnBody, Err: poison, Name: fmt.Sprintf("doc-%03d", i)})
	}
	run := e.must(store.Content, store.RunPartial)
	if !run.Complete || run.Counts.Added != 175 || run.Counts.Quarantined != 25 || e.notices() != "" {
		t.Errorf("complete %v, %+v, notices %q", run.Complete, run.Counts, e.notices())
	}
}

// TestFailedFetchKeepsPermissions: an item that could not be fetched again says
// nothing of who may read it.
func TestFailedFetchKeepsPermissions(t *testing.T) {
	t.Parallel()
	w := small(5)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	w.Edit("doc-001", "# Edited")
	w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: connectortest.ServerError, Name: "doc-001"})
	w.Fail(reference.FaultOn{On: connectortest.OnACL, Kind: connectortest.ServerError, Name: "doc-001", Page: 2})
	run := e.must(store.Content, store.RunPartial)
	unknown := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM document WHERE acl_set_id = 0`)
	if run.Kind != store.RunChanges || run.Counts.Quarantined != 1 || unknown != 0 || e.attempts() != "1" {
		t.Errorf("%s: %+v, %d documents that nobody may read, attempts %s", run.Kind, run.Counts, unknown, e.attempts())
	}
	w.Mend()
	e.must(store.Content, store.RunSucceeded) // nothing new, and the item is tried again
	e.wantTruth()
}

// TestWhatWasBlockedIsLookedAtSoon: no change feed says that a container can be
// listed again.
func TestWhatWasBlockedIsLookedAtSoon(t *testing.T) {
	t.Parallel()
	w := small(3)
	w.PutItem(reference.Item{ID: "x", Path: "closed/x", Text: "# X", ACL: reference.Readers(reference.User("alice"))})
	e := newEngine(t, w)
	soon := func() bool {
		return pgtest.Scalar[bool](t, e.db, `SELECT reconcile_at <= clock() + interval '1 day' FROM schedule WHERE lane = 'content'`)
	}
	e.db.MustExec(t, `UPDATE schedule SET reconcile_at = clock() + interval '6 days' WHERE lane = 'content'`)
	e.must(store.Content, store.RunSucceeded)
	if soon() {
		t.Fatal("a whole listing hastened the reconcile")
	}
	e.db.MustExec(t, `UPDATE connection SET feed_cursor = NULL`)
	w.Fail(reference.FaultOn{On: connectortest.OnContainer, Kind: connectortest.Forbidden, Name: "closed"})
	e.must(store.Content, store.RunPartial)
	if !soon() {
		t.Error("the reconcile is days away")
	}
}

func opens(text string) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
}
