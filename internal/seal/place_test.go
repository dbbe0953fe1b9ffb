package seal

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestStoppedBetweenWriteAndRename: the moment before the rename, the old file is untouched and the new one whole.
func TestStoppedBetweenWriteAndRename(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "master.key")
	r, err := Create(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	stopped := errors.New("stopped here")
	err = place(path, []byte("the new content"), func(from, to string) error {
		written, err := os.ReadFile(from)
		if err != nil || string(written) != "the new content" || to != r.Path() {
			t.Errorf("before the rename to %s the new file holds %q, %v", to, written, err)
		}
		info, err := os.Stat(from)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the new file's mode: %v, %v", info, err)
		}
		if present, err := os.ReadFile(path); err != nil || !bytes.Equal(present, before) {
			t.Errorf("the old file changed before the rename: %v", err)
		}
		return stopped
	})
	if !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
	if _, err := Open(path, Options{}); err != nil {
		t.Errorf("the old file does not open: %v", err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}

// FuzzParse: no content of a key file makes the reader panic, and what it accepts can seal.
func FuzzParse(f *testing.F) {
	path := filepath.Join(f.TempDir(), "master.key")
	if _, err := Create(path, Options{}); err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(`{"format":"tributary master keys 1"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		snap, err := parse(raw)
		if err != nil {
			if !errors.Is(err, ErrKeyFileDamaged) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if _, err := snap.aead.Encrypt([]byte("x"), nil); err != nil {
			t.Fatal(err)
		}
	})
}
