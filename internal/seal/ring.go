package seal

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
	"github.com/tink-crypto/tink-go/v2/tink"
)

// Context is the place that a ciphertext is bound to. It is authenticated and not stored: Unseal needs the same one.
type Context struct {
	Purpose    string // kind of row, such as "grant"; required
	ID         string // id of the row, with whatever else tells two uses of it apart; required
	Generation int64  // raised whenever the value changes
	Field      string // column or part, such as "tokens"; required
}

// contextVersion starts the associated data, so that another encoding can never equal this one.
const contextVersion = "tributary seal 1"

// bytes returns the associated data: every part with its length before it, so that no two contexts share an encoding.
func (c Context) bytes() ([]byte, error) {
	if c.Purpose == "" || c.ID == "" || c.Field == "" {
		return nil, fmt.Errorf("sealing %q %q %q: %w: purpose, id and field are required", c.Purpose, c.ID, c.Field, ErrContext)
	}
	var out []byte
	for _, part := range []string{contextVersion, c.Purpose, c.ID, string(binary.BigEndian.AppendUint64(nil, uint64(c.Generation))), c.Field} { //nolint:gosec // G115: the same 64 bits, only as bytes
		out = binary.BigEndian.AppendUint64(out, uint64(len(part)))
		out = append(out, part...)
	}
	return out, nil
}

// A ciphertext is tink's: one byte 1, the id of the key in four bytes, the nonce, the encrypted text and the tag.
const (
	prefixByte  = 1
	prefixSize  = 5
	overhead    = prefixSize + 12 + 16
	maxSealable = 16 << 20
)

// KeyOf returns the id of the key that made a ciphertext, without decrypting it.
func KeyOf(ciphertext []byte) (KeyID, error) {
	if len(ciphertext) < overhead || ciphertext[0] != prefixByte {
		return 0, fmt.Errorf("reading %d bytes: %w", len(ciphertext), ErrMalformed)
	}
	return KeyID(binary.BigEndian.Uint32(ciphertext[1:prefixSize])), nil
}

// Key describes a key of a ring.
type Key struct {
	ID        KeyID
	Primary   bool
	CreatedAt time.Time
	DemotedAt time.Time // when it ceased to be the primary; zero for the primary
}

// snapshot is the content of the key file at one moment. It never changes.
type snapshot struct {
	ring   string // random name of the ring, fixed when it is created
	keys   []Key  // primary first, then the newest
	handle *keyset.Handle
	aead   tink.AEAD
	stamp  stamp
}

func (s *snapshot) has(id KeyID) bool {
	return slices.ContainsFunc(s.keys, func(k Key) bool { return k.ID == id })
}

// Ring seals and unseals with the keys of one file. Its methods may be called concurrently, and several processes may
// use the same file.
type Ring struct {
	path    string // absolute, symbolic links resolved
	now     func() time.Time
	current atomic.Pointer[snapshot]
	reading sync.Mutex // one reload at a time in this process
}

// Seal encrypts plaintext for one place with the primary key. It looks first whether the file changed, so that a
// rotation made by another process counts from here on; a file that is gone or unreadable for the moment does not
// stop it, because the keys in memory are those of that file.
func (r *Ring) Seal(ctx Context, plaintext []byte) ([]byte, error) {
	if len(plaintext) > maxSealable {
		return nil, fmt.Errorf("sealing %s: %d bytes, at most %d fit", ctx.Field, len(plaintext), maxSealable)
	}
	ad, err := ctx.bytes()
	if err != nil {
		return nil, err
	}
	snap := r.current.Load()
	if now, err := stampOf(r.path); err == nil && now != snap.stamp {
		if fresh, err := r.reload(); err == nil {
			snap = fresh
		}
	}
	out, err := snap.aead.Encrypt(plaintext, ad)
	if err != nil {
		return nil, fmt.Errorf("sealing %s: %w", ctx.Field, err)
	}
	return out, nil
}

// Unseal decrypts what Seal made for the same place. The error is an ErrMalformed, ErrUnknownKey or ErrRefused.
func (r *Ring) Unseal(ctx Context, ciphertext []byte) ([]byte, error) {
	ad, err := ctx.bytes()
	if err != nil {
		return nil, err
	}
	id, err := KeyOf(ciphertext)
	if err != nil {
		return nil, fmt.Errorf("unsealing %s: %w", ctx.Field, err)
	}
	snap := r.current.Load()
	if !snap.has(id) {
		if fresh, err := r.reload(); err == nil {
			snap = fresh
		}
	}
	if !snap.has(id) {
		return nil, fmt.Errorf("unsealing %s: %w", ctx.Field, &UnknownKeyError{ID: id})
	}
	out, err := snap.aead.Decrypt(ciphertext, ad)
	if err != nil {
		return nil, fmt.Errorf("unsealing %s with key %s: %w", ctx.Field, id, ErrRefused)
	}
	return out, nil
}

// PrimaryID returns the id of the key that Seal uses.
func (r *Ring) PrimaryID() KeyID { return r.current.Load().keys[0].ID }

// KeyIDs returns the ids of all keys, the primary first.
func (r *Ring) KeyIDs() []KeyID {
	keys := r.current.Load().keys
	ids := make([]KeyID, len(keys))
	for i, k := range keys {
		ids[i] = k.ID
	}
	return ids
}

// Keys describes all keys, the primary first.
func (r *Ring) Keys() []Key { return slices.Clone(r.current.Load().keys) }

// Path returns the file, with symbolic links resolved.
func (r *Ring) Path() string { return r.path }

// CheckPlace is the place of the value that proves, in the database, which ring it belongs to.
func CheckPlace() Context { return Context{Purpose: "master key", ID: "instance", Field: "check"} }

// Check returns a value for the database to keep. It reveals nothing, and VerifyCheck recognises it with the same
// ring alone. A rotation re-seals it like every other ciphertext.
func (r *Ring) Check() ([]byte, error) { return r.Seal(CheckPlace(), []byte(r.current.Load().ring)) }

// VerifyCheck returns an ErrWrongKey where check was not made with this ring: nothing of that database may then be
// sealed anew, because what it holds can still be read with the right key.
func (r *Ring) VerifyCheck(check []byte) error {
	got, err := r.Unseal(CheckPlace(), check)
	if err != nil {
		return fmt.Errorf("checking master key %s: %w: restore the right file, or register and consent again: %w", r.path, ErrWrongKey, err)
	}
	if string(got) != r.current.Load().ring {
		return fmt.Errorf("checking master key %s: %w", r.path, ErrWrongKey)
	}
	return nil
}

// newSnapshot builds what the handle can do.
func newSnapshot(ring string, keys []Key, handle *keyset.Handle) (*snapshot, error) {
	a, err := aead.New(handle)
	if err != nil {
		return nil, fmt.Errorf("%w: its keyset does not encrypt", ErrKeyFileDamaged)
	}
	return &snapshot{ring: ring, keys: keys, handle: handle, aead: a}, nil
}
