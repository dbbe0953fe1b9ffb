package refresh

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/seal"
	"tributary/oauthflow"
)

// spool keeps pairs that the database could not take: one file for each, named by its attempt, whose tokens are sealed.
// The directory has mode 0700, its files 0600. Several processes may share one: who imports a pair twice finds it
// settled.
type spool struct {
	dir   string
	vault oauthflow.Vault
	fail  func(Point)
}

const (
	spoolSuffix = ".pair"
	partPrefix  = "."
	// spoolAside is the directory, in the spool's, of files that hold no pair that can be read.
	spoolAside = "damaged"
	// strangeAfter is how long a file waits for the key that sealed it.
	strangeAfter = 24 * time.Hour
)

// errDamaged is a file of the spool that will never give its pair.
var errDamaged = errors.New("it is damaged")

// spoolHead is the first line of a file. It is not secret; the tokens that follow are sealed for exactly this line.
type spoolHead struct {
	Version      int           `json:"tributary_spool"`
	Attempt      uuid.UUID     `json:"attempt"`
	Grant        uuid.UUID     `json:"grant"`
	Registration uuid.UUID     `json:"registration"`
	Digest       string        `json:"endpoints"`
	Subject      string        `json:"subject"`
	Epoch        int           `json:"epoch"`
	Gen          int64         `json:"gen"`
	At           time.Time     `json:"at"`
	Idle         time.Duration `json:"idle"`
	Scopes       []string      `json:"scopes"`
}

// spoolPlace is the place that the tokens of a file are sealed for.
func spoolPlace(head []byte) seal.Context {
	sum := sha256.Sum256(head)
	return seal.Context{Purpose: "spool", ID: hex.EncodeToString(sum[:]), Field: oauthflow.FieldTokens}
}

func (s *spool) path(attempt uuid.UUID) string {
	return filepath.Join(s.dir, attempt.String()+spoolSuffix)
}

// write puts a pair on the disk, and returns when it is there to stay.
func (s *spool) write(o obtained) error {
	s.fail(BeforeSpool)
	head, err := json.Marshal(spoolHead{
		Version: 1, Attempt: o.Attempt, Grant: o.Grant, Registration: o.Registration, Digest: o.Digest, Subject: o.Subject, Epoch: o.Epoch, Gen: o.Gen, At: o.At, Idle: o.Idle, Scopes: o.Scopes,
	})
	if err != nil {
		return fmt.Errorf("encoding spooled pair: %w", err)
	}
	ct, err := oauthflow.SealPair(s.vault, spoolPlace(head), o.Pair)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return fmt.Errorf("making spool: %w", err)
	}
	if err := s.put(o.Attempt, slices.Concat(head, []byte("\n"), ct)); err != nil {
		return fmt.Errorf("writing spool: %w", err)
	}
	if err := syncDir(s.dir); err != nil {
		return err
	}
	s.fail(AfterSpool)
	return nil
}

// put writes a file beside its place, and moves it there when it is on the disk. It holds the file locked meanwhile, so
// that nobody takes it for one that a dead process left (tidy).
func (s *spool) put(attempt uuid.UUID, raw []byte) error {
	part := s.part(attempt)
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
	if err == nil {
		_, err = f.Write(raw)
	}
	if err := errors.Join(err, f.Sync()); err != nil {
		_ = os.Remove(part)
		return err
	}
	s.fail(InSpool)
	return os.Rename(part, s.path(attempt))
}

// part is where the file of an attempt is written before it is whole.
func (s *spool) part(attempt uuid.UUID) string {
	return filepath.Join(s.dir, partPrefix+attempt.String())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("writing spool: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("writing spool: %w", err)
	}
	return nil
}

// remove takes a pair off the disk.
func (s *spool) remove(attempt uuid.UUID) error {
	if _, err := os.Stat(s.path(attempt)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	s.fail(BeforeSpoolRemove)
	if err := os.Remove(s.path(attempt)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("emptying spool: %w", err)
	}
	return syncDir(s.dir)
}

// list returns the attempts whose pairs are in the spool.
func (s *spool) list() ([]uuid.UUID, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading spool: %w", err)
	}
	var list []uuid.UUID
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), spoolSuffix)
		if id, err := uuid.Parse(name); ok && err == nil {
			list = append(list, id)
		}
	}
	return list, nil
}

// read opens a pair. grant is told even where the rest cannot be opened.
func (s *spool) read(attempt uuid.UUID) (o obtained, grant uuid.UUID, err error) { //nolint:nonamedreturns // the names say what the three are
	return s.readFile(s.path(attempt), attempt)
}

func (s *spool) readFile(path string, attempt uuid.UUID) (o obtained, grant uuid.UUID, err error) { //nolint:nonamedreturns // as of read
	raw, err := os.ReadFile(path)
	if err != nil {
		return o, grant, fmt.Errorf("reading spool: %w", err)
	}
	head, ct, _ := bytes.Cut(raw, []byte("\n"))
	var h spoolHead
	if json.Unmarshal(head, &h) != nil || h.Version != 1 || h.Attempt != attempt {
		return o, grant, fmt.Errorf("reading spool: %s is no spooled pair: %w", path, errDamaged)
	}
	if s.vault == nil {
		return o, h.Grant, ErrMasterKey
	}
	pair, err := oauthflow.OpenPair(s.vault, spoolPlace(head), ct)
	if errors.Is(err, seal.ErrRefused) || errors.Is(err, seal.ErrMalformed) || errors.Is(err, seal.ErrUnknownKey) && olderThan(path, strangeAfter) {
		err = errors.Join(err, errDamaged)
	}
	if err != nil {
		return o, h.Grant, fmt.Errorf("reading spool: %s: %w", path, err)
	}
	return obtained{
		Attempt: h.Attempt, Grant: h.Grant, Registration: h.Registration, Digest: h.Digest, Subject: h.Subject, Epoch: h.Epoch, Gen: h.Gen, Pair: pair, At: h.At, Idle: h.Idle, Scopes: h.Scopes,
	}, h.Grant, nil
}

func olderThan(path string, age time.Duration) bool {
	info, err := os.Stat(path)
	return err == nil && time.Since(info.ModTime()) > age
}

// setAside moves a file that cannot be read out of the way, and keeps it.
func (s *spool) setAside(attempt uuid.UUID) (string, error) {
	aside := filepath.Join(s.dir, spoolAside)
	if err := os.MkdirAll(aside, 0o700); err != nil {
		return "", fmt.Errorf("setting a spooled pair aside: %w", err)
	}
	to := filepath.Join(aside, attempt.String()+spoolSuffix)
	if err := os.Rename(s.path(attempt), to); err != nil {
		return "", fmt.Errorf("setting a spooled pair aside: %w", err)
	}
	return to, errors.Join(syncDir(aside), syncDir(s.dir))
}

// setAside takes a damaged file out of its grant's way: what became of its token the row tells, as if the process had
// died with it.
func (k *Keeper) setAside(ctx context.Context, attempt, grant uuid.UUID, cause error) error {
	to, err := k.spool.setAside(attempt)
	if errors.Is(err, fs.ErrNotExist) { // another process was faster
		return nil
	}
	if err != nil {
		return err
	}
	k.cfg.Log.Error("a spooled token pair cannot be read; it is set aside, and its grant goes on without it", "grant", grant, "attempt", attempt, "file", to, "error", cause)
	if grant == uuid.Nil {
		return nil
	}
	return k.inRow(ctx, grant, func(ctx context.Context, tx Tx) error {
		return k.record(ctx, tx, grant, audit.Failed, map[string]string{"outcome": "spool_damaged", "attempt": attempt.String()})
	})
}

// park keeps a pair that T2 could not store: on the disk, and in memory until it is stored.
func (k *Keeper) park(o obtained, cause error) {
	k.stats.spooled.Add(1)
	k.take(o.Attempt)
	k.mu.Lock()
	k.parked[o.Attempt] = o
	k.mu.Unlock()
	k.cfg.Log.Warn("a new token waits for the database", "grant", o.Grant, "attempt", o.Attempt, "error", cause)
	if err := k.spool.write(o); err != nil {
		k.cfg.Log.Error("a new token is in memory only: keep this process running until the database is back", "grant", o.Grant, "error", err)
	}
	k.wg.Go(func() { k.retry(o) })
}

// retry repeats T2 with a back-off until the pair is stored or the process stops.
func (k *Keeper) retry(o obtained) {
	for d := k.t.Poll; ; d = min(2*d, k.t.Spool) {
		if wait(k.base, d) != nil {
			return
		}
		if k.unpark(k.base, o) == nil {
			return
		}
	}
}

// unpark is T2 for a parked pair. A pair that somebody stored meanwhile is found settled.
func (k *Keeper) unpark(ctx context.Context, o obtained) error {
	f, err := k.t2(ctx, o)
	if err != nil {
		return err
	}
	k.stored(o, f)
	k.mu.Lock()
	delete(k.parked, o.Attempt)
	k.mu.Unlock()
	k.leave(o.Attempt)
	return k.spool.remove(o.Attempt)
}

// importSpool stores every pair that is in the spool. What cannot be stored stays.
func (k *Keeper) importSpool(ctx context.Context) error {
	errs := []error{k.tidySpool()}
	ids, err := k.spool.list()
	if err != nil {
		return err
	}
	for _, id := range ids {
		o, grant, err := k.spool.read(id)
		switch {
		case errors.Is(err, fs.ErrNotExist): // another process was faster
			continue
		case errors.Is(err, errDamaged):
			if err := k.setAside(ctx, id, grant, err); err != nil {
				errs = append(errs, fmt.Errorf("grant %s: %w", grant, err))
			}
			continue
		case err != nil:
			errs = append(errs, fmt.Errorf("grant %s: %w", grant, err))
			continue
		}
		if err := k.unpark(ctx, o); err != nil {
			errs = append(errs, fmt.Errorf("grant %s: storing a spooled pair: %w", grant, err))
			continue
		}
		k.stats.imported.Add(1)
		k.cfg.Log.Info("a token that waited for the database is stored", "grant", o.Grant, "attempt", o.Attempt)
	}
	return errors.Join(errs...)
}

// spooled reports whether a pair of the grant waits in memory or in the spool, after an attempt to store it. A grant
// whose newest pair is there must not present an older one. What a process left unfinished counts until it is completed
// or removed.
func (k *Keeper) spooled(ctx context.Context, grant uuid.UUID) bool {
	files, err := k.spool.files()
	if err == nil && len(files) > 0 {
		if err := k.importSpool(ctx); err != nil {
			k.cfg.Log.Warn("importing spool", "error", err)
		}
		files, err = k.spool.files()
	}
	if err != nil {
		k.cfg.Log.Warn("reading spool", "error", err)
		return true
	}
	for _, f := range files {
		if _, g, err := k.spool.readFile(f.path, f.attempt); g == grant && !errors.Is(err, fs.ErrNotExist) {
			return true
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, o := range k.parked {
		if o.Grant == grant {
			return true
		}
	}
	return false
}
