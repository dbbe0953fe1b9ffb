package jobs

import (
	"fmt"
	"maps"
	"testing"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestFeedComposesWithTheListing: what happens between and during runs is seen once, whatever page it falls on.
func TestFeedComposesWithTheListing(t *testing.T) {
	t.Parallel()
	readers := reference.Readers(reference.User("alice"))
	for name, c := range map[string]struct {
		// during happens at a page of the first listing, then between it and the run of changes.
		during, then func(w *reference.World)
	}{
		"deleted and made again with its id": {then: func(w *reference.World) {
			w.Delete("doc-003")
			w.Put("doc-003", "# Another\n\nIt has nothing of the first.", readers)
		}},
		"made again twice": {then: func(w *reference.World) {
			for i := range 2 {
				w.Delete("doc-003")
				w.Put("doc-003", fmt.Sprintf("# Another\n\nThe text of life %d.", i), readers)
			}
		}},
		"made and deleted before anybody looked": {then: func(w *reference.World) {
			w.Put("short", "It lives between two runs.", readers)
			w.Delete("short")
		}},
		"edited and then deleted": {then: func(w *reference.World) {
			w.Edit("doc-003", "The last text.")
			w.Delete("doc-003")
		}},
		"moved, edited and moved back": {then: func(w *reference.World) {
			w.Move("doc-003", "elsewhere")
			w.Edit("doc-003", "Edited elsewhere.")
			w.Move("doc-003", "")
		}},
		"deleted while listed, before and behind the place": {during: func(w *reference.World) {
			w.Delete("doc-000")
			w.Delete("doc-011")
		}},
		"made while listed, before and behind the place": {during: func(w *reference.World) {
			w.Put("a-first", "Before the place.", readers)
			w.Put("z-last", "Behind the place.", readers)
		}},
		"edited while listed, before and behind the place": {during: func(w *reference.World) {
			w.Edit("doc-000", "Edited behind its back.")
			w.Edit("doc-011", "Edited in its way.")
		}},
		"made again while listed": {during: func(w *reference.World) {
			w.Delete("doc-000")
			w.Put("doc-000", "Another life.", readers)
		}},
	} {
		for _, size := range []int{1, 5, 100} {
			t.Run(fmt.Sprintf("%s, pages of %d", name, size), func(t *testing.T) {
				t.Parallel()
				w := small(12)
				w.SetPageSize(size)
				if c.during != nil {
					w.At(connectortest.OnListing, min(2, 12/size), func() { c.during(w) })
				}
				e := newEngine(t, w)
				if run := e.sync(store.Content); run.State != store.RunSucceeded && (run.State != store.RunPartial || run.Counts.Refused == 0) {
					t.Fatalf("the first run ended %s with %+v: %s", run.State, run.Counts, run.Error)
				}
				if c.then != nil {
					c.then(w)
				}
				if run := e.must(store.Content, store.RunSucceeded); run.Kind != store.RunChanges {
					t.Fatalf("the second run is of kind %s", run.Kind)
				}
				e.wantTruth()
			})
		}
	}
}

// TestMoveKeepsTheDocument: it is the same document all the time, nothing of its text is written, and nothing is hidden.
func TestMoveKeepsTheDocument(t *testing.T) {
	t.Parallel()
	w := small(12)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	before := e.ids()
	for i := range 12 {
		w.Move(fmt.Sprintf("doc-%03d", i), fmt.Sprintf("folder-%d", i%3))
	}
	if c := e.must(store.Content, store.RunSucceeded).Counts; c.ChunksWritten+c.ChunksDeleted+c.VectorsMade+c.Hidden+c.Purged+c.Restored != 0 {
		t.Errorf("moving: %+v", c)
	}
	if !maps.Equal(before, e.ids()) {
		t.Error("a moved document is another one")
	}
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*) FROM document WHERE path LIKE 'folder-%'`); n != 12 {
		t.Errorf("%d documents stand in their new place", n)
	}
	e.wantTruth()
}

// ids returns the documents' own ids by those of the source.
func (e *engine) ids() map[string]string {
	e.t.Helper()
	out := map[string]string{}
	for id := range e.documents() {
		out[id] = pgtest.Scalar[string](e.t, e.db, `SELECT id::text FROM document WHERE connection_id = $1 AND external_id = $2`, e.conn.ID, id)
	}
	return out
}

// TestFeedThatExpiresHalfWay: a listing follows, and neither it nor the feed deletes what it does not name.
func TestFeedThatExpiresHalfWay(t *testing.T) {
	t.Parallel()
	w := small(20)
	w.SetPageSize(5)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	for i := range 20 {
		w.Edit(fmt.Sprintf("doc-%03d", i), fmt.Sprintf("Edited text %d.", i))
	}
	w.Lose("doc-019")
	w.At(connectortest.OnFeed, 2, func() { w.Fail(reference.FaultOn{On: connectortest.OnFeed, Kind: connectortest.ExpiredCursor}) })
	run := e.sync(store.Content)
	if run.State != store.RunSuperseded || run.Kind != store.RunChanges || run.Counts.Updated == 0 || run.Counts.Hidden+run.Counts.Purged != 0 {
		t.Fatalf("the run of changes: %s %s %+v", run.Kind, run.State, run.Counts)
	}
	w.Mend()
	if run = e.sync(store.Content); run.Kind != store.RunSnapshot || run.State != store.RunSucceeded || run.Counts.Purged != 0 || run.Counts.Hidden != 1 {
		t.Fatalf("the listing: %s %s %+v", run.Kind, run.State, run.Counts)
	}
	e.wantTruth()
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*) FROM document`); n != 20 {
		t.Errorf("%d documents are stored, want all 20", n)
	}
}

// TestSameIDsInTwoConnections: neither sees, hides or deletes what is the other's.
func TestSameIDsInTwoConnections(t *testing.T) {
	t.Parallel()
	w, other := small(10), small(10)
	e := newEngine(t, w, func(c *Config) {
		c.Connectors["other"] = renamed{other.Connector(), "other"}
	})
	conn, err := e.store.CreateConnection(t.Context(), store.NewConnection{Name: "other", Source: "other", Settings: other.Settings()})
	if err != nil {
		t.Fatal(err)
	}
	twin := &engine{t: t, db: e.db, store: e.store, runner: e.runner, conn: conn, world: other}
	e.must(store.Content, store.RunSucceeded)
	twin.must(store.Content, store.RunSucceeded)
	w.Delete("doc-001")
	other.Edit("doc-001", "The other's text.")
	w.Edit("doc-002", "The one's text.")
	other.Delete("doc-002")
	other.Lose("doc-003")
	for range 2 {
		e.must(store.Content, store.RunSucceeded)
		twin.must(store.Content, store.RunSucceeded)
	}
	e.db.MustExec(t, `UPDATE connection SET feed_cursor = NULL`)
	twin.must(store.Content, store.RunSucceeded)
	e.must(store.Content, store.RunSucceeded)
	e.wantTruth()
	twin.wantTruth()
}

// renamed is a connector under another name.
type renamed struct {
	connectors.Connector

	source string
}

func (r renamed) Spec() connectors.Spec {
	s := r.Connector.Spec()
	s.Source = r.source
	return s
}
