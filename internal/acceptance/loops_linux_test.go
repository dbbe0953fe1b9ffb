package acceptance

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// loops puts directory loops into a tree: by symbolic links, and by a bind
// mount where that is permitted.
func loops(t *testing.T, dir string) {
	t.Helper()
	if err := os.Symlink(dir, filepath.Join(dir, "good", "again-link")); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(dir, "good", "again-mount")
	if err := os.Mkdir(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(dir, at, "", syscall.MS_BIND, ""); err != nil {
		t.Logf("a bind mount is not permitted here (%v): the loop is by symbolic link alone", err)
		return
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(at, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmounting %s: %v", at, err)
		}
	})
}
