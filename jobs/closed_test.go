package jobs

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// tree is a world with documents in a folder, in one within that, and beside.
func tree() *reference.World {
	w := reference.New()
	w.AddPeople("alice")
	w.SetPageSize(3)
	for i := range 12 {
		dir := []string{"a", "a/deep", "b"}[i%3]
		w.PutItem(reference.Item{ID: fmt.Sprintf("doc-%03d", i), Path: fmt.Sprintf("%s/doc-%03d", dir, i), Text: "# A document", ACL: reference.Readers(reference.User("alice"))})
	}
	return w
}

// everything lists all of the source.
func (e *engine) everything() store.Run {
	e.t.Helper()
	e.db.MustExec(e.t, `UPDATE connection SET feed_cursor = NULL`)
	return e.sync(store.Content)
}

// TestClosedFolderKeepsItsTree at any depth, whatever time passes; deletions
// elsewhere go on, and the run says what it could not see.
func TestClosedFolderKeepsItsTree(t *testing.T) {
	t.Parallel()
	w := tree()
	e := newEngine(t, w)
	e.db.SetClock(t, time.Now())
	e.must(store.Content, store.RunSucceeded)
	w.Lose("doc-002")
	w.Fail(reference.FaultOn{On: connectortest.OnContainer, Kind: connectortest.Forbidden, Name: "a"})
	for i, want := range []struct{ hidden, purged int64 }{{1, 0}, {0, 0}, {0, 1}, {0, 0}} {
		run := e.everything()
		if c := run.Counts; run.State != store.RunPartial || c.Blocked == 0 || c.Hidden != want.hidden || c.Purged != want.purged || c.Held != 0 || !strings.Contains(run.Error, "could not be listed") {
			t.Errorf("listing %d ended %s with %+v: %s", i, run.State, c, run.Error)
		}
		e.db.Advance(t, 4*24*time.Hour)
	}
	if n := len(e.documents()); n != 11 {
		t.Errorf("%d documents are shown, want 11", n)
	}
	w.Mend()
	e.must(store.Content, store.RunSucceeded)
	e.wantTruth()
}

// TestMovedIntoAClosedFolder is absent, and not gone: it is hidden, and back as
// soon as the folder is listed.
func TestMovedIntoAClosedFolder(t *testing.T) {
	t.Parallel()
	w := tree()
	e := newEngine(t, w)
	e.db.SetClock(t, time.Now())
	e.must(store.Content, store.RunSucceeded)
	before := e.ids()["doc-002"]
	w.Fail(reference.FaultOn{On: connectortest.OnContainer, Kind: connectortest.Forbidden, Name: "a"})
	w.Move("doc-002", "a/doc-002")
	for range 3 {
		if run := e.everything(); run.Counts.Purged != 0 {
			t.Errorf("%+v", run.Counts)
		}
		e.db.Advance(t, 2*time.Hour)
	}
	if n := len(e.documents()); n != 11 {
		t.Errorf("%d documents are shown, want 11", n)
	}
	w.Mend()
	if run := e.everything(); run.State != store.RunSucceeded || run.Counts.Restored != 1 {
		t.Errorf("the folder opens: %s, %+v", run.State, run.Counts)
	}
	if e.ids()["doc-002"] != before {
		t.Error("it is another document")
	}
	e.wantTruth()
}

// TestListedWithoutItsPlace: an item of which a listing gives an ACL alone is
// there. It is not hidden, what is stored of it stays, and what is not is not stored.
func TestListedWithoutItsPlace(t *testing.T) {
	t.Parallel()
	unclear := false
	e := newEngine(t, small(0), withPages(small(0), numbered(func(int) connectors.Page {
		page := connectors.Page{Changes: []connectors.Change{upsert("a"), upsert("b")}, Complete: true}
		if unclear {
			for i, id := range []string{"a", "never stored"} {
				page.Changes[i] = connectors.Change{Op: connectors.SetACL, Ref: connectors.ItemRef{ID: id}}
			}
		}
		return page
	})))
	e.must(store.Content, store.RunSucceeded)
	unclear = true
	if c := e.must(store.Content, store.RunSucceeded).Counts; c.Hidden != 1 || !maps.Equal(e.documents(), map[string]string{"a": "text of a"}) {
		t.Errorf("%+v: %v", c, e.documents())
	}
}

// TestRefusedContentIsNoSuccess: one item that is not given out is hidden and
// counted, does not stop deletions elsewhere, and the run ends partial until it can be read.
func TestRefusedContentIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, kind := range []connectortest.FaultKind{connectortest.Forbidden, connectortest.NotFound} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w := tree()
			e := newEngine(t, w)
			e.db.SetClock(t, time.Now())
			e.must(store.Content, store.RunSucceeded)
			w.Edit("doc-001", "# Edited")
			w.PutItem(reference.Item{ID: "new", Path: "b/new", Text: "# New", ACL: reference.Readers(reference.User("alice"))})
			w.Lose("doc-002")
			for _, name := range []string{"a/deep/doc-001", "b/new"} {
				w.Fail(reference.FaultOn{On: connectortest.OnBody, Kind: kind, Name: name})
			}
			for i := range 3 {
				run := e.everything()
				if run.State != store.RunPartial || run.Counts.Refused != 2 || !strings.Contains(run.Error, "refuses the content of 2 items") {
					t.Errorf("listing %d ended %s with %+v: %s", i, run.State, run.Counts, run.Error)
				}
				e.db.Advance(t, time.Hour)
			}
			if hidden := pgtest.Scalar[string](t, e.db, `SELECT string_agg(external_id || ' ' || hidden_reason, ', ') FROM document WHERE hidden_reason IS NOT NULL`); hidden != "doc-001 refused" {
				t.Errorf("hidden: %s", hidden)
			}
			if n := pgtest.Scalar[int](t, e.db, `SELECT count(*) FROM document`); n != 11 {
				t.Errorf("%d documents are stored, want 11", n)
			}
			w.Mend()
			if run := e.everything(); run.State != store.RunSucceeded {
				t.Errorf("it can be read: %s: %s", run.State, run.Error)
			}
			e.wantTruth()
		})
	}
}
