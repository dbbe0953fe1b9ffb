package seal

import (
	"errors"
	"fmt"
	"strconv"
)

// Errors that callers tell apart with errors.Is. None of their messages holds a key or a plaintext.
var (
	// ErrNoKeyFile means that there is no key file at the path; Create makes one.
	ErrNoKeyFile = errors.New("no master key file")
	// ErrKeyFileExists means that Create found a file, which it never replaces.
	ErrKeyFileExists = errors.New("a master key file exists already")
	// ErrKeyFileMode means that others than the owner may read or change the key file.
	ErrKeyFileMode = errors.New("master key file is open to others")
	// ErrKeyFilePlace means that the key file lies in the data directory, or beside nothing that could hold it.
	ErrKeyFilePlace = errors.New("master key file is misplaced")
	// ErrKeyFileDamaged means that the file's content is not a whole master key file.
	ErrKeyFileDamaged = errors.New("master key file is damaged")
	// ErrWrongKey means that the key file is sound but belongs to another instance or to another time.
	ErrWrongKey = errors.New("this is not the master key that sealed the data")
	// ErrUnknownKey means that the ring does not hold the key that a ciphertext names.
	ErrUnknownKey = errors.New("sealed with a key that the master key file does not hold")
	// ErrRefused means that a ciphertext was changed, or moved from the row, generation or field it was made for.
	ErrRefused = errors.New("ciphertext refused: changed, or made for another place")
	// ErrMalformed means that the bytes are no ciphertext of this package.
	ErrMalformed = errors.New("not a sealed value")
	// ErrContext means that a Context lacks a part; it is a mistake of the caller.
	ErrContext = errors.New("incomplete context")
	// ErrKeyInUse means that a key cannot be retired: it is the primary, or ceased to be that too recently.
	ErrKeyInUse = errors.New("key is in use")
)

// KeyID names a key of a ring. It is no secret.
type KeyID uint32

// String returns the id as eight hexadecimal digits.
func (id KeyID) String() string { return fmt.Sprintf("%08x", uint32(id)) }

// ParseKeyID reads what String wrote.
func ParseKeyID(s string) (KeyID, error) {
	n, err := strconv.ParseUint(s, 16, 32)
	if err != nil || len(s) != 8 {
		return 0, fmt.Errorf("reading key id %.20q: want eight hexadecimal digits", s)
	}
	return KeyID(n), nil
}

// UnknownKeyError names the key that a ring lacks. It is an ErrUnknownKey.
type UnknownKeyError struct{ ID KeyID }

// Error returns the id and the remedy.
func (e *UnknownKeyError) Error() string {
	return fmt.Sprintf("key %s: %v; restore the master key file that holds it", e.ID, ErrUnknownKey)
}

// Is reports whether target is ErrUnknownKey.
func (e *UnknownKeyError) Is(target error) bool { return target == ErrUnknownKey }
