package acceptance

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/store"
)

const (
	smallDisk = 800 << 20
	leftFree  = 30 << 20
)

// No space left: the run says so and leaves nothing half written; when there is
// space again the next one completes.
func TestNoSpaceLeft(t *testing.T) {
	t.Parallel()
	privileged(t, os.Geteuid() == 0, "this test needs root: it mounts a small file system")
	dir := openDir(t)
	makeBulk(t, dir)
	for name, reserved := range map[string]bool{
		"for data":                true,
		"for the write-ahead log": false,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fillAndRecover(t, dir, reserved)
		})
	}
}

const bulkDocuments = 300

// makeBulk makes documents that need more room than a small disk has left.
func makeBulk(t *testing.T, dir string) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 3))
	for i := range bulkDocuments {
		var b strings.Builder
		for range 6000 {
			fmt.Fprintf(&b, "%x ", r.Uint32())
		}
		write(t, filepath.Join(dir, fmt.Sprintf("page-%03d.txt", i)), b.String())
	}
}

// fillAndRecover syncs dir onto a disk that fills up. With reserved, files for
// the write-ahead log stand ready, so that it is the data that finds no room;
// without, PostgreSQL ends every connection when it cannot write its log.
func fillAndRecover(t *testing.T, dir string, reserved bool) {
	disk := openDir(t)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", smallDisk)); err != nil {
		privileged(t, false, "mounting a small file system is not permitted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	wal := "32MB"
	if reserved {
		wal = "160MB"
	}
	s := newServer(t, disk, map[string]string{"min_wal_size": wal, "max_wal_size": wal, "shared_buffers": "16MB"})
	db := s.connected(dir)
	s.exec(db, `DROP INDEX tributary.vec_1_hnsw`) // the disk is to be full soon
	if reserved {
		s.exec(db, `CREATE TABLE public.filler AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 100000)`)
		s.exec(db, `DROP TABLE public.filler`)
		s.exec(db, `CHECKPOINT`)
	}
	ballast := filepath.Join(disk, "ballast")
	fillDisk(t, disk, ballast, leftFree)

	said := syncUntilFull(t, s, db)
	if !reserved {
		// PostgreSQL ends the connection in the middle of a COPY: why, it tells
		// its log.
		said += s.severe()
	}
	if !strings.Contains(said, "No space left on device") {
		t.Fatalf("without space the run said %q", said)
	}
	t.Logf("without space: %s", said)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	awaitReady(t, s, db)
	conn := s.open(db)
	if n := scalar[int](t, conn, `SELECT count(*) FROM document d WHERE NOT EXISTS (SELECT FROM revision r WHERE r.document_id = d.id AND r.text IS NOT NULL)
		OR chunk_count <> (SELECT count(*) FROM chunk c WHERE c.document_id = d.id) OR chunk_count <> (SELECT count(*) FROM vec_1 v WHERE v.document_id = d.id)`); n != 0 {
		t.Errorf("%d documents are half written", n)
	}
	stored := scalar[int](t, conn, `SELECT count(*) FROM document`)
	s.exec(db, `UPDATE tributary.sync_run SET next_try_at = NULL WHERE state = 'queued'`)
	s.exec(db, `UPDATE tributary.sync_run SET heartbeat_at = now() - interval '1 hour' WHERE state = 'running'`)
	startHelper(t, s.url(db)).wait(t)
	if n := scalar[int](t, conn, `SELECT count(*) FROM document`); n != bulkDocuments || stored >= bulkDocuments {
		t.Errorf("%d documents are stored, %d of them before there was space again, want %d", n, stored, bulkDocuments)
	}
	wantWhole(t, conn)
}

// fillDisk leaves so many bytes of room on a file system.
func fillDisk(t *testing.T, disk, ballast string, left int64) {
	t.Helper()
	free := roomOn(t, disk)
	if free < left {
		t.Fatalf("only %d bytes are free to begin with", free)
	}
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 1<<20)
	for n := free - left; n > 0; n -= int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
}

// roomOn is how many bytes are free on a disk.
func roomOn(t *testing.T, disk string) int64 {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(disk, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// syncUntilFull syncs until the run says why it cannot go on.
func syncUntilFull(t *testing.T, s *ownServer, db string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	in, err := openInstance(ctx, s.url(db))
	if err != nil {
		t.Fatal(err)
	}
	defer in.store.Close()
	conn, err := in.store.Connection(ctx, "tree")
	if err != nil {
		t.Fatal(err)
	}
	run, _, err := in.runner.Request(ctx, conn, store.Content, "acceptance", false)
	if err != nil {
		t.Fatal(err)
	}
	// What the run's row says ends the wait: with an error it is tried again
	// later.
	said := ""
	run, err = in.runner.RunHere(ctx, run.ID, func(r store.Run) {
		if r.Error != "" {
			said = r.Error
			cancel()
		}
	})
	switch {
	case said != "":
		return said
	case err != nil:
		return err.Error()
	default:
		return run.Error
	}
}

// awaitReady waits until the server takes connections again after a recovery.
// One that found no room for its recovery has ended, and is started again.
func awaitReady(t *testing.T, s *ownServer, db string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		st, err := store.Open(ctx, store.Config{URL: s.url(db), MaxConns: 1})
		if err == nil {
			st.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the server does not come back: %v", err)
		case <-s.pg.Done():
			t.Logf("PostgreSQL had ended: %v", s.pg.Err())
			s.start()
		case <-tick.C:
		}
	}
}
