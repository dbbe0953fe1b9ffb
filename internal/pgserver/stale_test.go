package pgserver

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestStaleSocketDirsAreRemoved(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	long := time.Now().Add(-2 * staleAfter)
	for name, want := range map[string]bool{"tributary-pg-1": false, "tributary-pg-2": true, "tributary-pg-3": true, "tributary-pg-notes": true, "other-4": true} {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if name == "tributary-pg-2" { // in use
			if err := os.WriteFile(filepath.Join(dir, ".s.PGSQL.5432"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if name != "tributary-pg-3" { // just made
			if err := os.Chtimes(dir, long, long); err != nil {
				t.Fatal(err)
			}
		}
		defer func() {
			if _, err := os.Stat(dir); (err == nil) != want {
				t.Errorf("%s stands: %v, want %v", name, err == nil, want)
			}
		}()
	}
	removeStaleSocketDirs(parent)
}
