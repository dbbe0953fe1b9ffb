package refresh

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"tributary/internal/seal"
)

// tidySpool deals with files that processes left unfinished which died while they wrote them.
func (k *Keeper) tidySpool() error {
	parts, err := k.spool.parts()
	if err != nil {
		return err
	}
	var errs []error
	for _, attempt := range parts {
		saved, removed, err := k.spool.tidy(attempt, k.t.Quiet)
		switch {
		case err != nil:
			errs = append(errs, err)
		case saved:
			k.cfg.Log.Warn("a spooled token pair of a process that died is complete", "attempt", attempt)
		case removed:
			k.cfg.Log.Warn("a spooled token pair of a process that died is not complete, and removed", "attempt", attempt)
		}
	}
	return errors.Join(errs...)
}

// parts returns the attempts whose files are not in their place.
func (s *spool) parts() ([]uuid.UUID, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading spool: %w", err)
	}
	var list []uuid.UUID
	for _, e := range entries {
		name, ok := strings.CutPrefix(e.Name(), partPrefix)
		if id, err := uuid.Parse(name); ok && err == nil && e.Type().IsRegular() {
			list = append(list, id)
		}
	}
	return list, nil
}

// spoolFile is a file of the spool, in its place or not.
type spoolFile struct {
	path    string
	attempt uuid.UUID
}

// files returns every file of the spool. One that may be moved into its place meanwhile stands there twice, so that who
// reads the files in their order sees it.
func (s *spool) files() ([]spoolFile, error) {
	parts, err := s.parts()
	if err != nil {
		return nil, err
	}
	ids, err := s.list()
	if err != nil {
		return nil, err
	}
	files := make([]spoolFile, 0, 2*len(parts)+len(ids))
	for _, id := range parts {
		files = append(files, spoolFile{s.part(id), id})
	}
	for _, id := range append(parts, ids...) {
		files = append(files, spoolFile{s.path(id), id})
	}
	return files, nil
}

// tidy moves a part into its place that is whole, and removes one that is not, where nobody has written to it for longer
// than quiet and no living process has it locked. What another key sealed stays.
func (s *spool) tidy(attempt uuid.UUID, quiet time.Duration) (saved, removed bool, err error) { //nolint:nonamedreturns // the names say what the three are
	part := s.part(attempt)
	f, err := os.OpenFile(part, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) { // it is whole, or another process was faster
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("reading spool: %w", err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); errors.Is(err, syscall.EWOULDBLOCK) {
		return false, false, nil
	} else if err != nil {
		return false, false, fmt.Errorf("locking %s: %w", part, err)
	}
	info, err := f.Stat()
	if err != nil {
		return false, false, fmt.Errorf("reading spool: %w", err)
	}
	if there, err := os.Lstat(part); err != nil || !os.SameFile(info, there) || time.Since(info.ModTime()) <= quiet {
		return false, false, nil // it was moved meanwhile, or is not old enough
	}
	switch _, _, err = s.readFile(part, attempt); {
	case err == nil, errors.Is(err, seal.ErrUnknownKey) && errors.Is(err, errDamaged): // that one is set aside from there
		err = os.Rename(part, s.path(attempt))
		saved = err == nil
	case errors.Is(err, errDamaged):
		err = os.Remove(part)
		removed = err == nil
	default:
		return false, false, nil // the key that opens it may come back
	}
	if err != nil {
		return false, false, fmt.Errorf("tidying spool: %w", err)
	}
	return saved, removed, syncDir(s.dir)
}
