package store_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestOlderRunNeverOverwritesANewerACL interleaves the lanes at random and
// compares with the rule, that a document's ACL is the one that the latest
// evidence gave, and that the query path shows it to nobody else after any of
// the steps. TEST_INTERLEAVINGS=n takes n steps instead of 600.
func TestOlderRunNeverOverwritesANewerACL(t *testing.T) {
	t.Parallel()
	steps := 600
	if n, err := strconv.Atoi(os.Getenv("TEST_INTERLEAVINGS")); err == nil {
		steps = n
	}
	r := newRig(t)
	s := r.connect(t, "c", "realm")
	r.db.MustExec(t, `UPDATE connection SET permissions_as_of = clock()`)
	rnd := rand.New(rand.NewPCG(1, 4))
	run := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("d", readable("first"), "text")}})
	version, acl := run.ACLVersion, "first"
	live := map[store.Lane]store.Run{store.Content: run}
	changes := 0
	for n := range steps {
		lane := store.Lanes()[rnd.IntN(2)]
		run, ok := live[lane]
		if !ok {
			live[lane] = s.start(t, lane)
			continue
		}
		if rnd.IntN(4) == 0 {
			s.end(t, run)
			delete(live, lane)
			continue
		}
		name := fmt.Sprint("u", n%3)
		b := &store.Batch{Run: run}
		if lane == store.Content && rnd.IntN(3) == 0 {
			b.Documents = []store.DocumentWrite{document("d", readable(name), fmt.Sprint("text ", n))}
		} else {
			b.ACLs = []store.ACLWrite{{ExternalID: "d", ACL: readable(name)}}
		}
		s.mustWrite(t, b)
		if run.ACLVersion >= version {
			acl = name
			if other, both := live[map[store.Lane]store.Lane{store.Content: store.Permissions, store.Permissions: store.Content}[lane]]; both && other.ACLVersion < run.ACLVersion || len(b.Documents) > 0 {
				version = run.ACLVersion
			} else if stored := pgtest.Scalar[int64](t, r.db, `SELECT acl_version FROM document`); stored >= version {
				version = stored
			}
		}
		if got := pgtest.Scalar[string](t, r.db, `SELECT p.external_id FROM document d JOIN acl_entry e ON e.set_id = d.acl_set_id JOIN principal p ON p.id = e.principal_id`); got != acl {
			t.Fatalf("step %d: the ACL names %s, want %s", n, got, acl)
		}
		s.wantSeenBy(t, acl)
		changes++
	}
	t.Logf("%d changes in %d steps, each read by four", changes, steps)
}

// wantSeenBy fails unless the one document is seen by that user and by no other.
func (s *source) wantSeenBy(t *testing.T, name string) {
	t.Helper()
	for _, u := range []string{"first", "u0", "u1", "u2"} {
		who, err := s.store.AsPrincipals(t.Context(), store.PrincipalIn{Connection: s.conn, Principal: user(u)})
		if err != nil {
			t.Fatal(err)
		}
		n, _, err := s.store.VisibleCount(t.Context(), who, store.Filters{})
		if err != nil || (n == 1) != (u == name) {
			t.Fatalf("%s sees %d documents, and %s may (%v)", u, n, name, err)
		}
	}
}
