package acceptance

import (
	"os"
	"testing"
	"time"
)

// longestTakeover is how long a run may be nobody's.
const longestTakeover = 120 * time.Second

// TestTakeoverFromFrozenAndDead: another worker goes on with the run of a
// process that was frozen, and of one that was killed, within two minutes; with
// TEST_CHAOS=full at the times that ship. The frozen one, let go, finds that the
// run is no longer its own, and writes nothing.
func TestTakeoverFromFrozenAndDead(t *testing.T) {
	t.Parallel()
	size := sizeOfChaos()
	times := quick()
	if os.Getenv("TEST_CHAOS") == "full" {
		times = nil
	}
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	d := newHTTPDrive(t, min(size.documents, 2000), 10*time.Millisecond)
	c := newChaos(t, s, d)
	held := `SELECT EXISTS (SELECT FROM sync_run WHERE lane = 'content' AND state = 'running' AND worker LIKE '%' || $1 || '%')`

	frozen := c.work(s.url(c.db), times...)
	c.began()
	c.await(time.Minute, "the first worker holds the run", held, frozen.mark())
	c.freezeInTransaction(frozen)
	dead := c.work(s.url(c.db), times...)
	fromFrozen := c.await(longestTakeover, "the second worker takes over from the frozen one", held, dead.mark())
	dead.kill()
	heir := c.work(s.url(c.db), times...)
	fromDead := c.await(longestTakeover, "the third worker takes over from the dead one", held, heir.mark())
	c.settled()

	conn := s.open(c.db)
	before := fingerprint(t, conn)
	fence := scalar[int64](t, conn, `SELECT max(fence) FROM sync_run WHERE lane = 'content'`)
	frozen.cont()
	c.await(time.Minute, "the frozen worker works again", `SELECT EXISTS (SELECT FROM worker WHERE name LIKE '%' || $1 || '%' AND seen_at > $2)`, frozen.mark(), scalar[time.Time](t, conn, `SELECT clock()`))
	// What it had in flight it tries to commit at once; two seconds are many
	// attempts.
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if after := fingerprint(t, conn); after != before {
			t.Fatal("the frozen worker has written to a run that was no longer its own")
		}
	}
	if now := scalar[int64](t, conn, `SELECT max(fence) FROM sync_run WHERE lane = 'content'`); now != fence || fence < 3 {
		t.Errorf("the run's fence went from %d to %d, want the same of at least 3", fence, now)
	}
	wantWhole(t, conn)
	t.Logf("taken over after %s from a frozen worker, %s from a dead one", fromFrozen.Round(time.Millisecond), fromDead.Round(time.Millisecond))
}

// freezeInTransaction freezes a worker while it writes a batch, which is when it
// holds what another one needs.
func (c *chaos) freezeInTransaction(w *worker) {
	c.t.Helper()
	const writing = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND usename = '` + ownPrefix + `_app'
		AND xact_start IS NOT NULL AND query ILIKE 'copy%')`
	for {
		c.await(time.Minute, "the worker writes", writing)
		w.stop()
		if ok, err := c.ask(c.t.Context(), writing); ok && err == nil {
			return
		}
		w.cont()
	}
}

// fingerprint changes with every write to a document's rows, to the cursor and
// to the counts of a run.
func fingerprint(t *testing.T, q querier) string {
	t.Helper()
	return scalar[string](t, q, `
		SELECT md5(concat(
			(SELECT string_agg(concat_ws('|', d.id, d.xmin, d.ctid), ',' ORDER BY d.id) FROM document d),
			(SELECT string_agg(concat_ws('|', k.document_id, k.id, k.xmin), ',' ORDER BY k.document_id, k.id) FROM chunk k),
			(SELECT string_agg(concat_ws('|', r.document_id, r.number, r.xmin), ',' ORDER BY r.document_id, r.number) FROM revision r),
			(SELECT concat_ws('|', count(*), max(id)) FROM outbox),
			(SELECT string_agg(concat_ws('|', s.id, s.xmin, s.fence, s.cursor, s.counts), ',' ORDER BY s.id) FROM sync_run s WHERE lane = 'content')))`)
}
