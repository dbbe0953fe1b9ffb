package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// file is the path of a JSON document; "" is a document that is kept nowhere.
type file string

// load reads the document into v and reports whether there is one.
func (f file) load(v any) (bool, error) {
	if f == "" {
		return false, nil
	}
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the sandbox's state: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return false, fmt.Errorf("reading the sandbox's state %s: %w; remove the file to start over", f, err)
	}
	return true, nil
}

// save replaces the document: after a crash at any moment the old one or the new one is there, whole.
func (f file) save(b []byte) error {
	if f == "" {
		return nil
	}
	dir := filepath.Dir(string(f))
	// Others pass through the directories above, which are not the sandbox's own.
	err := os.MkdirAll(filepath.Dir(dir), 0o711) //nolint:gosec // see above
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		err = replace(dir, string(f), b)
	}
	if err != nil {
		return fmt.Errorf("saving the sandbox's state: %w", err)
	}
	return nil
}

func replace(dir, path string, b []byte) error {
	tmp, err := os.CreateTemp(dir, ".state-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
