//go:build !linux

package acceptance

import (
	"os"
	"path/filepath"
	"testing"
)

// loops puts a directory loop into a tree.
func loops(t *testing.T, dir string) {
	t.Helper()
	if err := os.Symlink(dir, filepath.Join(dir, "good", "again-link")); err != nil {
		t.Fatal(err)
	}
}
