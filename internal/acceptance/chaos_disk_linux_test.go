package acceptance

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestDiskFullUnderWorkers: while PostgreSQL has no room workers say so and stay
// alive; when there is room again they go on, and nobody has to tell them.
func TestDiskFullUnderWorkers(t *testing.T) {
	t.Parallel()
	privileged(t, os.Geteuid() == 0, "this test needs root: it mounts a small file system")
	disk := openDir(t)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", smallDisk)); err != nil {
		privileged(t, false, "mounting a small file system is not permitted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(disk, syscall.MNT_DETACH) })
	size := sizeOfChaos()
	d := newHTTPDrive(t, size.documents, 4*time.Millisecond)
	want := inPeace(t, newServer(t, serverDir(t), map[string]string{"fsync": "off"}), d)

	// Files for the write-ahead log stand ready: it is the data that finds no room. Without autovacuum the file stays
	// that a server without room could not write again, and without which it takes no connection.
	s := newServer(t, disk, map[string]string{"min_wal_size": "160MB", "max_wal_size": "160MB", "shared_buffers": "16MB", "autovacuum": "off"})
	c := newChaos(t, s, d)
	s.exec(c.db, `CREATE TABLE public.filler AS SELECT repeat('x', 1000) AS x FROM generate_series(1, 100000)`)
	s.exec(c.db, `DROP TABLE public.filler`)
	s.exec(c.db, `CHECKPOINT`)
	ballast := filepath.Join(disk, "ballast")
	fillDisk(t, disk, ballast, 4<<20)
	workers := []*worker{c.work(s.url(c.db), quick()...), c.work(s.url(c.db), quick()...)}
	// The run says so where its row still finds room for that; where another write met the full disk first, its slices are held back.
	_, said, last := c.comes(size.patience/4, `SELECT EXISTS (SELECT FROM sync_run WHERE error LIKE '%No space left on device%')`)
	if left := roomOn(t, disk); !said && left > 64<<10 {
		t.Fatalf("%d bytes are left, and no run says that there is no room (%v)", left, last)
	}
	t.Logf("the run says that there is no room: %v", said)
	for _, w := range workers {
		c.crashed(w)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	took := c.settled()
	for _, w := range workers {
		c.crashed(w)
	}
	c.verdict(want)
	t.Logf("settled %s after there was room again", took.Round(time.Millisecond))
}
