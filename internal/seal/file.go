package seal

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/tink-crypto/tink-go/v2/insecurecleartextkeyset"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// locate returns path with symbolic links resolved, and refuses one inside dataDir.
func locate(path, dataDir string) (string, error) {
	abs, err := resolve(path)
	if err != nil || dataDir == "" {
		return abs, err
	}
	data, err := resolve(dataDir)
	if err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(data, abs); err == nil && filepath.IsLocal(rel) {
		return "", fmt.Errorf("master key file %s: %w: it lies in the data directory %s; keep it elsewhere, so that a copy of the data is useless without it", path, ErrKeyFilePlace, dataDir)
	}
	return abs, nil
}

// resolve returns the absolute path with the links of its longest existing part resolved.
func resolve(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("resolving %s: %w", path, err)
	}
	rest := ""
	for dir := abs; ; dir = filepath.Dir(dir) {
		found, err := filepath.EvalSymlinks(dir)
		switch {
		case err == nil:
			return filepath.Join(found, rest), nil
		case !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir):
			return "", fmt.Errorf("resolving %s: %w", path, err)
		}
		rest = filepath.Join(filepath.Base(dir), rest)
	}
}

// stamp tells one version of the file from another: every version is a new inode.
type stamp struct {
	inode uint64
	size  int64
	mtime time.Time
}

func stampOf(path string) (stamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return stamp{}, fmt.Errorf("looking at the master key file: %w", err)
	}
	return stampFrom(info), nil
}

func stampFrom(info fs.FileInfo) stamp {
	s := stamp{size: info.Size(), mtime: info.ModTime()}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		s.inode = sys.Ino
	}
	return s
}

// content is the key file: JSON, so that a person can see which keys it holds.
type content struct {
	Format string       `json:"format"`
	Note   string       `json:"note"`
	Ring   string       `json:"ring"`
	Keys   []contentKey `json:"keys"`
	Keyset []byte       `json:"keyset"` // tink's serialised keyset, unencrypted
	Sum    string       `json:"sum"`    // SHA-256 over ring, keys and keyset
}

type contentKey struct {
	ID        string     `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	DemotedAt *time.Time `json:"demoted_at,omitempty"`
}

const (
	fileFormat = "tributary master keys 1"
	fileNote   = "Whoever has this file and the database can read every stored token. Keep a copy apart from the backups."
	maxFile    = 1 << 20
	keyType    = "type.googleapis.com/google.crypto.tink.AesGcmKey"
)

// sum covers everything that the program acts on; it finds damage and careless edits, not attacks.
func (c *content) sum() string {
	raw, _ := json.Marshal(struct {
		Ring   string
		Keys   []contentKey
		Keyset []byte
	}{c.Ring, c.Keys, c.Keyset})
	digest := sha256.Sum256(raw)
	return hex.EncodeToString(digest[:])
}

// readFile reads and checks the key file. The checks look at the file that was opened, not at its name again.
func readFile(path string) (*snapshot, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe under that name is refused below, not waited for
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("opening %s: %w: restore it from its copy; only a new instance may have it generated", path, ErrNoKeyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the master key file: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the master key file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("opening %s: %w: it is no regular file", path, ErrKeyFilePlace)
	}
	if mode := info.Mode().Perm(); mode&0o177 != 0 {
		return nil, fmt.Errorf("opening %s: %w: its mode is %04o; run: chmod 600 %s", path, ErrKeyFileMode, mode, path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("reading the master key file: %w", err)
	}
	snap, err := parse(raw)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w; restore it from its copy", path, err)
	}
	snap.stamp = stampFrom(info)
	return snap, nil
}

// parse reads the bytes of a key file. Its errors are ErrKeyFileDamaged.
func parse(raw []byte) (*snapshot, error) {
	var c content
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	// SECURITY: what the decoder says can quote the file, so it is not passed on.
	if dec.Decode(&c) != nil || len(raw) > maxFile {
		return nil, fmt.Errorf("%w: it is not the JSON of a key file", ErrKeyFileDamaged)
	}
	if c.Format != fileFormat {
		return nil, fmt.Errorf("%w: its format is not %q", ErrKeyFileDamaged, fileFormat)
	}
	if c.Sum != c.sum() || c.Ring == "" {
		return nil, fmt.Errorf("%w: its checksum does not match", ErrKeyFileDamaged)
	}
	handle, err := insecurecleartextkeyset.Read(keyset.NewBinaryReader(bytes.NewReader(c.Keyset)))
	if err != nil {
		return nil, fmt.Errorf("%w: its keyset cannot be read", ErrKeyFileDamaged)
	}
	keys, err := c.describe(handle)
	if err != nil {
		return nil, err
	}
	return newSnapshot(c.Ring, keys, handle)
}

// describe joins the keyset with what the file says about each key.
func (c *content) describe(handle *keyset.Handle) ([]Key, error) {
	info := handle.KeysetInfo()
	told := map[KeyID]contentKey{}
	for _, k := range c.Keys {
		id, err := ParseKeyID(k.ID)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrKeyFileDamaged, err)
		}
		told[id] = k
	}
	var keys []Key
	for _, k := range info.GetKeyInfo() {
		if k.GetTypeUrl() != keyType || k.GetStatus().String() != "ENABLED" || k.GetOutputPrefixType().String() != "TINK" {
			return nil, fmt.Errorf("%w: key %s is of another kind", ErrKeyFileDamaged, KeyID(k.GetKeyId()))
		}
		about, ok := told[KeyID(k.GetKeyId())]
		if !ok {
			return nil, fmt.Errorf("%w: key %s is not described", ErrKeyFileDamaged, KeyID(k.GetKeyId()))
		}
		key := Key{ID: KeyID(k.GetKeyId()), Primary: k.GetKeyId() == info.GetPrimaryKeyId(), CreatedAt: about.CreatedAt}
		if about.DemotedAt != nil {
			key.DemotedAt = *about.DemotedAt
		}
		keys = append(keys, key)
	}
	if len(keys) != len(c.Keys) {
		return nil, fmt.Errorf("%w: it describes keys that it does not hold", ErrKeyFileDamaged)
	}
	slices.SortStableFunc(keys, func(a, b Key) int {
		if a.Primary != b.Primary {
			if a.Primary {
				return -1
			}
			return 1
		}
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return keys, nil
}

// encode returns the file that holds the ring.
func encode(ring string, keys []Key, handle *keyset.Handle) ([]byte, error) {
	var set bytes.Buffer
	if err := insecurecleartextkeyset.Write(handle, keyset.NewBinaryWriter(&set)); err != nil {
		return nil, fmt.Errorf("writing the keyset: %w", err)
	}
	c := content{Format: fileFormat, Note: fileNote, Ring: ring, Keyset: set.Bytes()}
	for _, k := range keys {
		ck := contentKey{ID: k.ID.String(), CreatedAt: k.CreatedAt}
		if !k.DemotedAt.IsZero() {
			ck.DemotedAt = &k.DemotedAt
		}
		c.Keys = append(c.Keys, ck)
	}
	c.Sum = c.sum()
	raw, err := json.MarshalIndent(&c, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the key file: %w", err)
	}
	return append(raw, '\n'), nil
}
