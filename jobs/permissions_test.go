package jobs

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/connectors/connectortest"
	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// readable returns the external ids that a person may read, through the query
// path.
func (e *engine) readable(person connectors.Principal) map[string]bool {
	e.t.Helper()
	who, err := e.store.AsPrincipals(e.t.Context(), store.PrincipalIn{Connection: e.conn.ID, Principal: person})
	if err != nil {
		e.t.Fatal(err)
	}
	out := map[string]bool{}
	for last := uuid.Nil; ; {
		list, _, err := e.store.ListDocuments(e.t.Context(), who, store.Filters{}, last, 50)
		if err != nil {
			e.t.Fatal(err)
		}
		if len(list) == 0 {
			return out
		}
		for _, d := range list {
			id := pgtest.Scalar[string](e.t, e.db, `SELECT external_id FROM document WHERE id = $1`, d.ID)
			out[id], last = true, d.ID
		}
	}
}

// wantReaders compares, for every person, what the store lets them read with
// what the world does.
func (e *engine) wantReaders() {
	e.t.Helper()
	for _, p := range e.world.People() {
		got := e.readable(p)
		for _, it := range e.world.Truth() {
			if want := it.Skip == "" && e.world.CanRead(p, it.ID); got[it.ID] != want {
				e.t.Errorf("%s reads %s: %v, want %v", p.ID, it.ID, got[it.ID], want)
			}
		}
	}
}

func TestReadersAreTheSourcesReaders(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := reference.Random(seed, 60)
			w.SetPageSize(11)
			e := newEngine(t, w)
			e.must(store.Permissions, store.RunSucceeded)
			e.must(store.Content, store.RunSucceeded)
			e.wantReaders()
			for k := range uint64(3) {
				w.Churn(seed*10+k, 25)
				e.must(store.Content, store.RunSucceeded)
				e.must(store.Permissions, store.RunSucceeded)
				e.wantReaders()
			}
		})
	}
}

func TestShareChangeWritesNoChunk(t *testing.T) {
	t.Parallel()
	w := small(30)
	e := newEngine(t, w)
	e.must(store.Permissions, store.RunSucceeded)
	e.must(store.Content, store.RunSucceeded)
	for i := range 30 {
		w.SetACL(fmt.Sprintf("doc-%03d", i), reference.Readers(reference.User("bob")))
	}
	before := pgtest.Scalar[string](t, e.db, `SELECT (SELECT max(xmin::text::bigint) FROM chunk) || '/' || (SELECT max(xmin::text::bigint) FROM vec_1)`)
	run := e.must(store.Permissions, store.RunSucceeded)
	after := pgtest.Scalar[string](t, e.db, `SELECT (SELECT max(xmin::text::bigint) FROM chunk) || '/' || (SELECT max(xmin::text::bigint) FROM vec_1)`)
	if run.Counts.ACLChanged != 30 || run.Counts.ChunksWritten != 0 || before != after {
		t.Fatalf("a new share: %+v, rows %s then %s", run.Counts, before, after)
	}
	e.wantReaders()
	if again := e.must(store.Permissions, store.RunSucceeded); again.Counts.ACLChanged != 0 {
		t.Fatalf("the same share again: %+v", again.Counts)
	}
}

// A permission listing that fails part way neither widens access nor renews
// its age.
func TestPartialPermissionsAreNotComplete(t *testing.T) {
	t.Parallel()
	w := small(30)
	w.SetPageSize(10)
	e := newEngine(t, w)
	e.must(store.Content, store.RunSucceeded)
	w.Fail(reference.FaultOn{On: connectortest.OnGroups, Kind: connectortest.ServerError})
	conn, _ := e.store.Connection(t.Context(), "world")
	run, _, err := e.runner.Request(t.Context(), conn, store.Permissions, "test", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.runner.slice(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	conn, _ = e.store.Connection(t.Context(), "world")
	if conn.PermissionsAsOf != nil {
		t.Fatalf("permissions are dated %v after a failed listing", conn.PermissionsAsOf)
	}
	if got := e.readable(reference.User("alice")); len(got) != 0 {
		t.Fatalf("alice reads %d documents before any permissions were read whole", len(got))
	}
	w.Mend()
	if run, err = e.runner.RunHere(t.Context(), run.ID, nil); err != nil || run.State != store.RunSucceeded {
		t.Fatalf("after mending: %s, %v", run.State, err)
	}
	e.wantReaders()
}

// Evidence of an older run never replaces that of a newer one, in either lane
// and whichever commits last.
func TestOlderPermissionsNeverWin(t *testing.T) {
	t.Parallel()
	w := small(1)
	e := newEngine(t, w)
	e.must(store.Permissions, store.RunSucceeded)
	e.must(store.Content, store.RunSucceeded)
	conn, _ := e.store.Connection(t.Context(), "world")
	claim := func(lane store.Lane) store.Run {
		run, _, err := e.runner.Request(t.Context(), conn, lane, "test", false)
		if err != nil {
			t.Fatal(err)
		}
		if run, err = e.store.ClaimRun(t.Context(), run.ID, "elsewhere:1:x", time.Minute); err != nil {
			t.Fatal(err)
		}
		return run
	}
	write := func(run store.Run, acl connectors.ACL) {
		_, err := e.store.WriteBatch(t.Context(), &store.Batch{Run: run, Realm: *conn.RealmID, ACLs: []store.ACLWrite{{ExternalID: "doc-000", ACL: acl}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	older, newer := claim(store.Content), claim(store.Permissions)
	// The newer run confirms what stands; the older one has read something else.
	write(newer, reference.Readers(reference.User("alice")))
	write(older, reference.Readers(reference.Everyone()))
	if got := e.readable(reference.User("bob")); len(got) != 0 {
		t.Fatal("an older run widened access")
	}
	write(newer, reference.Readers(reference.User("bob")))
	write(older, reference.Readers(reference.User("alice")))
	if got := e.readable(reference.User("bob")); len(got) != 1 {
		t.Fatal("an older run took a newer grant back")
	}
}
