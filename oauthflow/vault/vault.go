package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tributary/internal/audit"
	"tributary/internal/seal"
)

// Store keeps what is sealed.
type Store interface {
	// SealState returns the value that proves the ring, nil where there is none yet, and whether anything is sealed.
	SealState(ctx context.Context) (check []byte, sealed bool, err error)
	// FirstSeal stores the value that prove returns, unless there is one. Of any number of processes one calls prove, while
	// the others wait; where anything is sealed already although no value stands, prove is told so.
	FirstSeal(ctx context.Context, prove func(sealed bool) ([]byte, error)) error
	// SealedRows returns up to limit sealed values that another key than primary made, in a fixed order behind after.
	SealedRows(ctx context.Context, primary seal.KeyID, after Row, limit int) ([]Row, error)
	// Reseal replaces ciphertexts, each only where it is still the one that its row names, durably and all or none. It
	// returns how many were.
	Reseal(ctx context.Context, changes []Change) (int, error)
	// SealedCounts counts sealed values by column and key.
	SealedCounts(ctx context.Context) ([]Count, error)
	// ForgetSealed deletes everything that is sealed, makes check the proof, and records e with it: clients must be entered
	// and grants be given again. It returns how many values were deleted, which e tells too.
	ForgetSealed(ctx context.Context, check []byte, note string, e audit.Event) (int64, error)
	// Unsettled counts the refreshes that began before and whose answer is neither stored nor made up for: a pair may wait
	// for the database in the spool of any machine.
	Unsettled(ctx context.Context, before time.Time) (int64, error)
}

// Row is a sealed value of the database.
type Row struct {
	Column     string // table and column, for people
	Key        string // of the row, in its table
	Place      seal.Context
	Ciphertext []byte
}

// Change is a new ciphertext for a row.
type Change struct {
	Row Row
	New []byte
}

// Count is how many values of a column a key made.
type Count struct {
	Column string     `json:"column"`
	Key    seal.KeyID `json:"-"`
	Rows   int64      `json:"rows"`
}

// KeyError means that the master key cannot be used, while the database can.
type KeyError struct {
	Path string
	Err  error
}

// Error returns what is wrong, what goes on, and the remedy.
func (e *KeyError) Error() string {
	msg := "opening the master key " + e.Path + ": " + e.Err.Error()
	if errors.Is(e.Err, seal.ErrNoKeyFile) || errors.Is(e.Err, seal.ErrWrongKey) {
		msg += "; if it is lost for good, run tributary master-key replace --forget-sealed, then enter the clients and grant again"
	}
	return msg
}

// Unwrap returns the cause, one of package seal's.
func (e *KeyError) Unwrap() error { return e.Err }

// Config says where the master key lies.
type Config struct {
	Path    string
	DataDir string // the key may not lie in it
	Store   Store
	Now     func() time.Time // nil is time.Now
}

func (c Config) options() seal.Options { return seal.Options{DataDir: c.DataDir, Now: c.Now} }

// Open returns the ring of this instance. A new instance, whose database holds nothing sealed, gets a key where the file
// is absent. Everywhere else the error is a *KeyError where the file is missing, wrong, damaged or misplaced; other errors
// are the store's.
func Open(ctx context.Context, c Config) (*seal.Ring, error) {
	check, sealed, err := c.Store.SealState(ctx)
	if err != nil {
		return nil, err
	}
	if check != nil {
		return c.verify(check)
	}
	var ring *seal.Ring
	err = c.Store.FirstSeal(ctx, func(nowSealed bool) ([]byte, error) {
		sealed = sealed || nowSealed
		if ring, err = c.first(ctx, sealed); err != nil {
			return nil, &KeyError{Path: c.Path, Err: err}
		}
		return ring.Check()
	})
	switch {
	case err != nil:
		return nil, err
	case ring != nil:
		return ring, nil
	}
	// Another process was faster.
	if check, _, err = c.Store.SealState(ctx); err != nil {
		return nil, err
	}
	return c.verify(check)
}

// verify opens the key file of an instance that has one.
func (c Config) verify(check []byte) (*seal.Ring, error) {
	ring, err := seal.Open(c.Path, c.options())
	if err == nil {
		err = ring.VerifyCheck(check)
	}
	if err != nil {
		return nil, &KeyError{Path: c.Path, Err: err}
	}
	return ring, nil
}

// first opens the key file of a database without a proof. SECURITY: a key is made only where nothing is sealed; what is
// sealed must open with the file that is there.
func (c Config) first(ctx context.Context, sealed bool) (*seal.Ring, error) {
	if !sealed {
		return seal.OpenOrCreate(c.Path, c.options())
	}
	ring, err := seal.Open(c.Path, c.options())
	if err != nil {
		return nil, err
	}
	rows, err := c.Store.SealedRows(ctx, 0, Row{}, 10)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		if _, err := ring.Unseal(r.Place, r.Ciphertext); err != nil {
			return nil, fmt.Errorf("%s: %w: %w", r.Column, seal.ErrWrongKey, err)
		}
	}
	return ring, nil
}

// Replace makes a new key file after the old one was lost for good, and forgets what the old one had sealed. It refuses
// while the file that is there opens what is sealed. A file that is in the way keeps its content under the name that is
// returned as kept. The event e is recorded with what is forgotten.
func Replace(ctx context.Context, c Config, e audit.Event, aside func(path string) (kept string, err error)) (forgot int64, kept string, err error) {
	if _, err = Open(ctx, c); err == nil {
		return 0, "", errors.New("replacing the master key: the one that is there is right; rotate it instead: tributary master-key rotate")
	}
	// A file that is misplaced, or that this account may not read, is not lost.
	missing := errors.Is(err, seal.ErrNoKeyFile)
	if !missing && !errors.Is(err, seal.ErrWrongKey) && !errors.Is(err, seal.ErrKeyFileDamaged) {
		return 0, "", err
	}
	if !missing {
		if kept, err = aside(c.Path); err != nil {
			return 0, "", fmt.Errorf("moving the master key file aside: %w", err)
		}
	}
	ring, err := seal.Create(c.Path, c.options())
	if err != nil {
		return 0, kept, err
	}
	check, err := ring.Check()
	if err != nil {
		return 0, kept, err
	}
	e.Detail = map[string]string{"key": ring.PrimaryID().String()}
	if kept != "" {
		e.Detail["kept"] = kept
	}
	forgot, err = c.Store.ForgetSealed(ctx, check, "the master key was lost and replaced; grant again", e)
	return forgot, kept, err
}
