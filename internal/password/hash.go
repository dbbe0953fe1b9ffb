package password

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"tributary/internal/secret"
)

// The parameters of new hashes. OWASP asks for 19 MiB and two passes at least
// (Password Storage Cheat Sheet, argon2id); RFC 9106 §4 prefers memory.
const (
	memoryKiB = 46 << 10
	passes    = 2
	lanes     = 1
	saltBytes = 16
	keyBytes  = 32
)

// The bounds within which a stored hash is computed, so that a row that was
// tampered with costs no more than this.
const (
	maxMemoryKiB = 256 << 10
	maxPasses    = 10
	maxLanes     = 4
	maxKeyBytes  = 64
)

// parallel hashes run at a time in a process; each needs memoryKiB.
const parallel = 2

// ErrHash is returned for a stored hash that is none.
var ErrHash = errors.New("the stored password hash is not an argon2id hash")

// Hasher hashes and compares passwords, two at a time. It is safe for
// concurrent use.
type Hasher struct{ slots chan struct{} }

// NewHasher returns a Hasher.
func NewHasher() *Hasher { return &Hasher{slots: make(chan struct{}, parallel)} }

// Hash returns the PHC string of p with a fresh salt. It waits for its turn and
// returns the context's error where that does not come.
func (h *Hasher) Hash(ctx context.Context, p secret.Text) (string, error) {
	salt := make([]byte, saltBytes)
	if _, err := rand.Read(salt); err != nil {
		return "", fmt.Errorf("making a salt: %w", err)
	}
	w := work{memory: memoryKiB, passes: passes, lanes: lanes, salt: salt, key: make([]byte, keyBytes)}
	key, err := h.derive(ctx, w, p)
	if err != nil {
		return "", err
	}
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, memoryKiB, passes, lanes, b64.EncodeToString(salt), b64.EncodeToString(key)), nil
}

// Verify reports whether p is the password of the hash. With the hash "" it
// takes as long and is false: so that nobody learns from the time whether an
// account exists.
func (h *Hasher) Verify(ctx context.Context, hash string, p secret.Text) (bool, error) {
	w := work{memory: memoryKiB, passes: passes, lanes: lanes, salt: make([]byte, saltBytes), key: make([]byte, keyBytes)}
	if hash != "" {
		var err error
		if w, err = parse(hash); err != nil {
			return false, err
		}
	}
	key, err := h.derive(ctx, w, p)
	if err != nil {
		return false, err
	}
	same := subtle.ConstantTimeCompare(key, w.key) == 1
	return same && hash != "", nil
}

// work is what a hash is computed from and compared with.
type work struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

func (h *Hasher) derive(ctx context.Context, w work, p secret.Text) ([]byte, error) {
	select {
	case h.slots <- struct{}{}:
		defer func() { <-h.slots }()
	case <-ctx.Done():
		return nil, fmt.Errorf("waiting to hash a password: %w", ctx.Err())
	}
	return argon2.IDKey([]byte(normal(p)), w.salt, w.passes, w.memory, w.lanes, uint32(len(w.key))), nil //nolint:gosec // keys have at most 64 bytes
}

// normal returns the form in which passwords are counted and hashed, so that
// two keyboards that compose letters differently type the same one (NIST SP
// 800-63B §5.1.1.2).
func normal(p secret.Text) string { return norm.NFC.String(p.Reveal()) }

// parse reads a PHC string.
func parse(hash string) (work, error) {
	var w work
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return w, ErrHash
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &w.memory, &w.passes, &w.lanes); err != nil || n != 3 {
		return w, ErrHash
	}
	var err1, err2 error
	w.salt, err1 = base64.RawStdEncoding.Strict().DecodeString(parts[4])
	w.key, err2 = base64.RawStdEncoding.Strict().DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(w.salt) < saltBytes/2 || len(w.key) < keyBytes/2 || len(w.salt) > maxKeyBytes || len(w.key) > maxKeyBytes {
		return w, ErrHash
	}
	if w.memory < 8 || w.memory > maxMemoryKiB || w.passes < 1 || w.passes > maxPasses || w.lanes < 1 || w.lanes > maxLanes {
		return w, ErrHash
	}
	return w, nil
}
