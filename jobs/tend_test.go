package jobs

import (
	"errors"
	"testing"

	"tributary/connectors/reference"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestTendFinishesADisconnect that its request did not, and leaves alone one that has just begun.
func TestTendFinishesADisconnect(t *testing.T) {
	t.Parallel()
	e := newEngine(t, reference.Random(3, 40))
	e.must(store.Content, store.RunSucceeded)
	closing := func(age string) {
		t.Helper()
		if _, err := e.db.Owner.Exec(t.Context(), `UPDATE connection SET state = 'closing', state_since = clock() - $1::interval`, age); err != nil {
			t.Fatal(err)
		}
		e.runner.tend(t.Context())
	}
	before := pgtest.Scalar[int](t, e.db, `SELECT count(*) FROM document`)
	closing("10 seconds")
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*) FROM document`); n != before || n == 0 {
		t.Fatalf("%d of %d documents are left of a connection that is being deleted elsewhere", n, before)
	}
	closing("2 minutes")
	if n := pgtest.Scalar[int](t, e.db, `SELECT count(*) FROM document`); n != 0 {
		t.Errorf("%d documents are left", n)
	}
	if _, err := e.store.Connection(t.Context(), e.conn.Name); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the connection: %v", err)
	}
}
