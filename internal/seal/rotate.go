package seal

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// RetireAfter is how long a key stays in the file after it ceased to be the primary: a value that another process
// sealed just before may still be on its way to the database.
const RetireAfter = time.Hour

// Options say where a key file may be, and what time it is.
type Options struct {
	DataDir string           // the key file may not lie in it; "" skips the check
	Now     func() time.Time // nil means time.Now
}

// Create makes a key file with one key and opens it. It never replaces a file: that is an ErrKeyFileExists. The
// directory is made, for the owner alone, where it is absent.
func Create(path string, o Options) (*Ring, error) {
	path, err := locate(path, o.DataDir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the master key file: %w", err)
	}
	r := newRing(path, o)
	unlock, err := lockDir(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	keys, handle, err := addKey(keyset.NewManager(), nil, r.now())
	if err != nil {
		return nil, err
	}
	raw, err := encode(rand.Text(), keys, handle)
	if err != nil {
		return nil, err
	}
	if err := place(path, raw, os.Link); errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("creating %s: %w", path, ErrKeyFileExists)
	} else if err != nil {
		return nil, err
	}
	return r.open()
}

// Open reads a key file. The error is an ErrNoKeyFile, ErrKeyFileMode, ErrKeyFilePlace or ErrKeyFileDamaged, or says
// what the operating system said.
func Open(path string, o Options) (*Ring, error) {
	path, err := locate(path, o.DataDir)
	if err != nil {
		return nil, err
	}
	return newRing(path, o).open()
}

// OpenOrCreate opens the key file, and creates it where there is none. It is for a new instance, which holds nothing
// sealed: elsewhere a missing file is a loss that a new key would only hide.
func OpenOrCreate(path string, o Options) (*Ring, error) {
	r, err := Open(path, o)
	if !errors.Is(err, ErrNoKeyFile) {
		return r, err
	}
	r, err = Create(path, o)
	if errors.Is(err, ErrKeyFileExists) { // another process was faster
		return Open(path, o)
	}
	return r, err
}

func newRing(path string, o Options) *Ring {
	r := &Ring{path: path, now: o.Now}
	if r.now == nil {
		r.now = time.Now
	}
	return r
}

func (r *Ring) open() (*Ring, error) {
	snap, err := readFile(r.path)
	if err != nil {
		return nil, err
	}
	r.current.Store(snap)
	return r, nil
}

// Reload reads the file again, as a rotation by another process asks for. Where the file is not this ring's any more
// the keys in memory stay, and the error is an ErrWrongKey.
func (r *Ring) Reload() error {
	_, err := r.reload()
	return err
}

func (r *Ring) reload() (*snapshot, error) {
	r.reading.Lock()
	defer r.reading.Unlock()
	old := r.current.Load()
	if now, err := stampOf(r.path); err == nil && now == old.stamp {
		return old, nil
	}
	fresh, err := readFile(r.path)
	if err != nil {
		return nil, err
	}
	if fresh.ring != old.ring {
		return nil, fmt.Errorf("reading %s again: %w: the file was replaced by that of another instance", r.path, ErrWrongKey)
	}
	r.current.Store(fresh)
	return fresh, nil
}

// Rotate adds a key to the file and makes it the primary. Older keys stay, and decrypt, until they are retired. A
// rotation by another process at the same time is kept: the file then holds both new keys.
func (r *Ring) Rotate() (KeyID, error) {
	err := r.change(func(s *snapshot) ([]Key, *keyset.Handle, error) {
		return addKey(keyset.NewManagerFromHandle(s.handle), s.keys, r.now())
	})
	if err != nil {
		return 0, fmt.Errorf("rotating the master key: %w", err)
	}
	return r.PrimaryID(), nil
}

// Retire removes a key for good. The caller has made sure that no row, spool file or backup that matters names it
// (KeyOf). The primary, and a key that was it less than RetireAfter ago, are an ErrKeyInUse.
func (r *Ring) Retire(id KeyID) error {
	err := r.change(func(s *snapshot) ([]Key, *keyset.Handle, error) {
		i := slices.IndexFunc(s.keys, func(k Key) bool { return k.ID == id })
		switch {
		case i < 0:
			return nil, nil, &UnknownKeyError{ID: id}
		case s.keys[i].Primary:
			return nil, nil, fmt.Errorf("%w: it is the primary; rotate first", ErrKeyInUse)
		case r.now().Sub(s.keys[i].DemotedAt) < RetireAfter:
			return nil, nil, fmt.Errorf("%w: it was the primary until %s; wait until %s have passed", ErrKeyInUse, s.keys[i].DemotedAt.UTC().Format(time.RFC3339), RetireAfter)
		}
		m := keyset.NewManagerFromHandle(s.handle)
		if err := m.Delete(uint32(id)); err != nil {
			return nil, nil, fmt.Errorf("removing it: %w", err)
		}
		h, err := m.Handle()
		return slices.Delete(slices.Clone(s.keys), i, i+1), h, err
	})
	if err != nil {
		return fmt.Errorf("retiring key %s: %w", id, err)
	}
	return nil
}

// change replaces the file by what edit makes of its present content, under a lock that all processes take.
func (r *Ring) change(edit func(*snapshot) ([]Key, *keyset.Handle, error)) error {
	unlock, err := lockDir(r.path)
	if err != nil {
		return err
	}
	defer unlock()
	snap, err := r.reload()
	if err != nil {
		return err
	}
	keys, handle, err := edit(snap)
	if err != nil {
		return err
	}
	raw, err := encode(snap.ring, keys, handle)
	if err != nil {
		return err
	}
	// SECURITY: what cannot be read back never replaces what can.
	if _, err := parse(raw); err != nil {
		return err
	}
	if err := place(r.path, raw, os.Rename); err != nil {
		return err
	}
	_, err = r.reload()
	return err
}

// addKey adds a primary key to the manager's and describes all of them.
func addKey(m *keyset.Manager, old []Key, now time.Time) ([]Key, *keyset.Handle, error) {
	now = now.UTC().Round(0)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err == nil {
		err = m.SetPrimary(id)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	h, err := m.Handle()
	if err != nil {
		return nil, nil, fmt.Errorf("making a key: %w", err)
	}
	keys := []Key{{ID: KeyID(id), Primary: true, CreatedAt: now}}
	for _, k := range old {
		if k.Primary {
			k.Primary, k.DemotedAt = false, now
		}
		keys = append(keys, k)
	}
	return keys, h, nil
}

// place writes raw beside path, makes it durable, and gives it the name by put: os.Rename replaces, os.Link refuses to.
// At no moment is there a partial file under path.
func place(path string, raw []byte, put func(from, to string) error) error {
	dir := filepath.Dir(path)
	removeLeftovers(path)
	tmp, err := os.CreateTemp(dir, leftovers(path)) // mode 0600
	if err != nil {
		return fmt.Errorf("writing beside the master key file: %w; its directory must be writable, and not only the file mounted", err)
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already after a rename
	_, err = tmp.Write(raw)
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = put(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("writing the master key file: %w", err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("opening the directory of the master key file: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("making the master key file durable: %w", err)
	}
	return nil
}

// leftovers is the pattern of the names under which place writes.
func leftovers(path string) string { return "." + filepath.Base(path) + ".new-*" }

// removeLeftovers removes what processes that were killed while they wrote left. The caller holds the lock, so nobody writes.
func removeLeftovers(path string) {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return // the write that follows says why
	}
	for _, e := range entries {
		if ok, _ := filepath.Match(leftovers(filepath.Base(path)), e.Name()); ok {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}

// lockDir takes the lock of the directory that holds path; it waits for other processes, which hold it for milliseconds.
func lockDir(path string) (func(), error) {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("opening the directory of the master key file: %w", err)
	}
	for {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = d.Close()
		return nil, fmt.Errorf("locking the directory of the master key file: %w", err)
	}
	return func() { _ = d.Close() }, nil
}
