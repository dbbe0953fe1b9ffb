package jobs

import (
	"fmt"
	"os"
	"testing"

	"tributary/internal/pgtest"
	"tributary/store"
)

// TestSilentHolderOnThisHost: a process that is there, and has shown no sign of
// life for longer than a takeover takes, has lost its run; one that shows them
// keeps it.
func TestSilentHolderOnThisHost(t *testing.T) {
	t.Parallel()
	e := newEngine(t, small(1))
	host := newOwner().host
	_, _, err := e.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: e.conn.ID, Lane: store.Content, Kind: store.RunSnapshot, Cause: "test"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for age, want := range map[string]int64{"1 second": 0, "2 minutes": 1} {
		e.db.MustExec(t, `DELETE FROM river.river_job`)
		e.db.MustExec(t, `UPDATE sync_run SET state = 'running', worker = $1, heartbeat_at = clock() - $2::interval`, fmt.Sprintf("%s:%d:other", host, os.Getppid()), age)
		if err := e.runner.adoptOrphans(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM river.river_job`); n != want {
			t.Errorf("with a heartbeat %s ago %d slices are enqueued, want %d", age, n, want)
		}
	}
}
