package jobs

import (
	"testing"

	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// stood is where a document stands in the store.
type stood struct{ path, container, title string }

func (e *engine) stands(id string) stood {
	e.t.Helper()
	var s stood
	err := e.db.Owner.QueryRow(e.t.Context(), `SELECT path, container, title FROM document WHERE connection_id = $1 AND external_id = $2`, e.conn.ID, id).
		Scan(&s.path, &s.container, &s.title)
	if err != nil {
		e.t.Fatal(err)
	}
	return s
}

// TestMovedDocumentKeepsTheTitleOfItsText: the revision is another, the text is
// not, and a title that the text gave is not the file's name now.
func TestMovedDocumentKeepsTheTitleOfItsText(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(3))
	e.must(store.Content, store.RunSucceeded)
	e.world.Move("doc-001", "attic/old.md")
	run := e.must(store.Content, store.RunSucceeded)
	if got, want := e.stands("doc-001"), (stood{"attic/old.md", "attic", "Document 1"}); got != want {
		t.Errorf("it stands at %+v, want %+v", got, want)
	}
	if run.Counts.ChunksWritten != 0 {
		t.Errorf("%d chunks were written", run.Counts.ChunksWritten)
	}
}

// TestMoveWithoutAnotherRevision: what stands elsewhere is found there, without
// its text being read.
func TestMoveWithoutAnotherRevision(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(3))
	e.world.Move("doc-002", "attic/doc-002.md")
	e.must(store.Content, store.RunSucceeded)
	e.db.MustExec(t, `UPDATE document SET path = 'before/x.md', container = 'before' WHERE external_id = 'doc-002'`)
	bodies := e.world.Counts().Bodies
	run, _, err := e.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: e.conn.ID, Lane: store.Content, Kind: store.RunSnapshot, Cause: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if run, err = e.runner.RunHere(t.Context(), run.ID, nil); err != nil || run.State != store.RunSucceeded {
		t.Fatalf("the run ended %s: %v", run.State, err)
	}
	if got, want := e.stands("doc-002"), (stood{"attic/doc-002.md", "attic", "Document 2"}); got != want {
		t.Errorf("it stands at %+v, want %+v", got, want)
	}
	if n := e.world.Counts().Bodies; n != bodies {
		t.Errorf("%d bodies were read", n-bodies)
	}
}

// TestExpiredPermissionListingStartsOver as a run of permissions.
func TestExpiredPermissionListingStartsOver(t *testing.T) {
	t.Parallel()
	world := small(8)
	world.SetPageSize(2)
	e := newEngine(t, world)
	e.must(store.Content, store.RunSucceeded)
	world.At(connectortest.OnListing, 2, func() { world.Fail(reference.FaultOn{Kind: connectortest.ExpiredCursor}) })
	e.must(store.Permissions, store.RunSuperseded)
	kind := pgtest.Scalar[string](t, e.db, `SELECT kind FROM sync_run WHERE lane = 'permissions' AND state = 'queued'`)
	if kind != string(store.RunPermissions) {
		t.Errorf("the run that follows is of kind %s", kind)
	}
	e.must(store.Permissions, store.RunSucceeded)
}
