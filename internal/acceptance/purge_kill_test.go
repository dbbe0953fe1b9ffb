package acceptance

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"tributary/store"
)

// A kill -9 of the worker that purges what an admin approved: another goes on
// within the time in which a worker is replaced, exactly those documents are
// gone, each once, and the decision stands.
func TestKillDuringAnApprovedPurge(t *testing.T) {
	t.Parallel()
	const documents, kept = 2500, 500
	dir := openDir(t)
	makeTree(t, dir, documents)
	s := newServer(t, serverDir(t), map[string]string{"fsync": "off"})
	db := s.connected(dir)
	in, err := openInstance(t.Context(), s.url(db))
	if err != nil {
		t.Fatal(err)
	}
	defer in.store.Close()
	conn, err := in.store.Connection(t.Context(), "tree")
	if err != nil {
		t.Fatal(err)
	}
	if run, err := in.sync(t.Context(), conn, store.Content); err != nil || run.State != store.RunSucceeded {
		t.Fatalf("the first run ended %s: %s, %v", run.State, run.Error, err)
	}
	left := 0
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if left < kept {
			left++
			return nil
		}
		return os.Remove(path)
	})
	if err != nil {
		t.Fatal(err)
	}
	run, err := in.sync(t.Context(), conn, store.Content)
	if err != nil || run.Counts.Held != documents-kept {
		t.Fatalf("the listing ended %s with %+v: %v", run.State, run.Counts, err)
	}
	holds, err := in.store.Holds(t.Context(), store.HoldFilter{State: store.HoldOpen})
	if err != nil || len(holds) != 1 {
		t.Fatalf("%d holds: %v", len(holds), err)
	}
	if err := in.store.SetPaused(t.Context(), conn.ID, true); err != nil { // nothing but the decision goes on
		t.Fatal(err)
	}
	if _, err := in.store.ApproveHold(t.Context(), holds[0].ID, "ann"); err != nil {
		t.Fatal(err)
	}
	c := &chaos{t: t, size: sizeOfChaos(), s: s, drive: &httpDrive{addr: "localhost:1"}, db: db}
	t.Cleanup(func() {
		for _, w := range c.alive {
			w.kill()
		}
	})
	w := c.work(s.url(db), quick()...)
	c.await(c.size.patience, "a step of the purge is done", `SELECT purged > 0 FROM deletion_hold`)
	w.kill()
	c.alive = nil
	q := s.open(db)
	at := scalar[int](t, q, `SELECT purged FROM deletion_hold WHERE finished_at IS NULL`)
	if at == 0 || at == documents-kept {
		t.Fatalf("the worker was killed after %d of %d: not during the purge", at, documents-kept)
	}
	c.work(s.url(db), quick()...)
	took := c.await(2*time.Minute, "the purge is finished", `SELECT finished_at IS NOT NULL FROM deletion_hold`)
	t.Logf("killed after %d of %d, finished %s later", at, documents-kept, took.Round(time.Millisecond))
	for what, sql := range map[string]struct {
		sql  string
		want int
	}{
		"documents":                      {`SELECT count(*) FROM document WHERE hidden_reason IS NULL`, kept},
		"hidden documents":               {`SELECT count(*) FROM document WHERE hidden_reason IS NOT NULL`, 0},
		"purged by the hold":             {`SELECT purged FROM deletion_hold WHERE state = 'approved' AND decided_by = 'ann'`, documents - kept},
		"told to the feed":               {`SELECT count(*) FROM outbox WHERE kind = 'purge'`, documents - kept},
		"told to the feed, each once":    {`SELECT count(DISTINCT document_id) FROM outbox WHERE kind = 'purge'`, documents - kept},
		"in the run's list":              {`SELECT count(*) FROM run_item WHERE op = 'purged'`, documents - kept},
		"in the run's list, each once":   {`SELECT count(DISTINCT document_id) FROM run_item WHERE op = 'purged'`, documents - kept},
		"held documents that are left":   {`SELECT count(*) FROM held_document`, 0},
		"chunks without a document":      {`SELECT count(*) FROM chunk c WHERE NOT EXISTS (SELECT FROM document d WHERE d.id = c.document_id)`, 0},
		"documents that have a file now": {`SELECT count(DISTINCT external_id) FROM document`, left},
	} {
		if n := scalar[int](t, q, sql.sql); n != sql.want {
			t.Errorf("%s: %d, want %d", what, n, sql.want)
		}
	}
	wantWhole(t, q)
}
