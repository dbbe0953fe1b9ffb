package vault

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"tributary/internal/seal"
)

// batch is how many values are re-sealed in one transaction.
const batch = 100

// maxPasses bounds how often the rows are gone over for what other processes sealed meanwhile with the old key.
const maxPasses = 20

// Progress says how far a rotation is.
type Progress struct {
	Resealed int64 `json:"resealed"`
	Total    int64 `json:"total"` // as counted at the start
}

// Rotation is how a rotation ended.
type Rotation struct {
	// Key is the primary now; Resumed says that an earlier rotation was finished instead of adding a key.
	Key      seal.KeyID
	Resumed  bool
	Resealed int64
	// Unreadable are the values that do not open, by column, with the reason. They stay as they are.
	Unreadable []Unreadable
}

// Unreadable is a sealed value that does not open.
type Unreadable struct {
	Column string `json:"column"`
	Key    string `json:"row"`
	Reason string `json:"reason"`
}

// Rotate adds a key and re-seals everything with it, while readers and writers go on. Values that an older key sealed are
// a rotation that was cut short: then that is finished first, and no key is added. It may be cut off at any moment and run again, also twice
// at once.
func Rotate(ctx context.Context, ring *seal.Ring, st Store, tell func(Progress)) (Rotation, error) {
	if err := ring.Reload(); err != nil {
		return Rotation{}, err
	}
	out := Rotation{Key: ring.PrimaryID(), Resumed: true}
	old, err := pending(ctx, st, out.Key)
	if err != nil {
		return out, err
	}
	if old > 0 && len(ring.Keys()) > 1 {
		err := reseal(ctx, ring, st, &out, tell)
		if err != nil || out.Resealed > 0 {
			return out, err
		}
		// What is left opens with no key: that is no rotation to finish.
	}
	out.Resumed = false
	if out.Key, err = ring.Rotate(); err != nil {
		return out, err
	}
	return out, reseal(ctx, ring, st, &out, tell)
}

// reseal goes over the rows until none is left that opens and is not the primary's.
func reseal(ctx context.Context, ring *seal.Ring, st Store, out *Rotation, tell func(Progress)) error {
	total, err := pending(ctx, st, out.Key)
	if err != nil {
		return err
	}
	for range maxPasses {
		out.Unreadable = nil
		seen, err := pass(ctx, ring, st, out, total, tell)
		if err != nil {
			return err
		}
		if seen == len(out.Unreadable) {
			return nil
		}
	}
	return fmt.Errorf("re-sealing with key %s: other processes keep sealing with an older key; do they use the same master key file? Run it again", out.Key)
}

// pass re-seals every row once, and returns how many rows of other keys it met.
func pass(ctx context.Context, ring *seal.Ring, st Store, out *Rotation, total int64, tell func(Progress)) (int, error) {
	seen := 0
	for after := (Row{}); ; {
		rows, err := st.SealedRows(ctx, out.Key, after, batch)
		if err != nil || len(rows) == 0 {
			return seen, err
		}
		seen += len(rows)
		var changes []Change
		for _, r := range rows {
			ct, err := again(ring, r)
			if err != nil {
				out.Unreadable = append(out.Unreadable, Unreadable{r.Column, r.Key, err.Error()})
				continue
			}
			changes = append(changes, Change{Row: r, New: ct})
		}
		n, err := st.Reseal(ctx, changes)
		if err != nil {
			return seen, err
		}
		out.Resealed += int64(n)
		if tell != nil {
			tell(Progress{Resealed: out.Resealed, Total: max(total, out.Resealed)})
		}
		after = rows[len(rows)-1]
	}
}

// again seals the value of a row for the same place.
func again(ring *seal.Ring, r Row) ([]byte, error) {
	plain, err := ring.Unseal(r.Place, r.Ciphertext)
	if err != nil {
		return nil, err
	}
	ct, err := ring.Seal(r.Place, plain)
	if err != nil {
		return nil, err
	}
	// SECURITY: what cannot be opened never replaces what can.
	if back, err := ring.Unseal(r.Place, ct); err != nil || !bytes.Equal(back, plain) {
		return nil, errors.New("the new ciphertext does not open")
	}
	return ct, nil
}

func pending(ctx context.Context, st Store, primary seal.KeyID) (int64, error) {
	counts, err := st.SealedCounts(ctx)
	n := int64(0)
	for _, c := range counts {
		if c.Key != primary {
			n += c.Rows
		}
	}
	return n, err
}

// KeyStatus is a key of the ring, or one that rows name and the ring lacks.
type KeyStatus struct {
	seal.Key
	InFile bool
	Counts []Count
	Rows   int64
	// Spooled says that token pairs wait in the spool directory under this key.
	Spooled bool
}

// Status lists the keys, the primary first, with what each one sealed. spoolDir is where pairs wait for the database; ""
// or an absent one holds nothing.
func Status(ctx context.Context, ring *seal.Ring, st Store, spoolDir string) ([]KeyStatus, error) {
	if err := ring.Reload(); err != nil {
		return nil, err
	}
	counts, err := st.SealedCounts(ctx)
	if err != nil {
		return nil, err
	}
	spooled, err := spoolKeys(spoolDir)
	if err != nil {
		return nil, err
	}
	var list []KeyStatus
	for _, k := range ring.Keys() {
		list = append(list, KeyStatus{Key: k, InFile: true})
	}
	at := func(id seal.KeyID) *KeyStatus {
		i := slices.IndexFunc(list, func(k KeyStatus) bool { return k.ID == id })
		if i < 0 {
			list = append(list, KeyStatus{Key: seal.Key{ID: id}})
			i = len(list) - 1
		}
		return &list[i]
	}
	for _, c := range counts {
		k := at(c.Key)
		k.Counts, k.Rows = append(k.Counts, c), k.Rows+c.Rows
	}
	for _, id := range spooled {
		at(id).Spooled = true
	}
	return list, nil
}

// spoolKeys returns the keys of the files in the spool, whose ciphertext stands behind their first line. A file that names none is an
// error: nobody knows what it needs. Names that begin with a dot are files whose writer died before it gave them their
// name: a whole one is imported yet, one that is cut short before its key will not be. Directories hold what was set aside
// because it cannot be read.
func spoolKeys(dir string) ([]seal.KeyID, error) {
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the spool: %w", err)
	}
	var ids []seal.KeyID
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if errors.Is(err, os.ErrNotExist) && strings.HasPrefix(e.Name(), ".") {
			return nil, fmt.Errorf("reading the spool: %s is given its name at this moment; try again", e.Name())
		}
		if errors.Is(err, os.ErrNotExist) {
			continue // imported meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("reading the spool: %w", err)
		}
		_, ct, _ := bytes.Cut(raw, []byte("\n"))
		id, err := seal.KeyOf(ct)
		if err != nil && strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading spool file %s: %w; let a running process import it first", e.Name(), err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// Retire removes the keys that nothing in the database and in the spool names, and that ceased to be the primary long
// enough ago (seal.RetireAfter). It returns them, and why each other one stays. SECURITY: the spools of other machines are
// not seen from here, so a key stays, too, while a refresh of its time may have left a pair in one.
func Retire(ctx context.Context, ring *seal.Ring, st Store, spoolDir string) (gone []seal.KeyID, stay map[seal.KeyID]string, err error) {
	list, err := Status(ctx, ring, st, spoolDir)
	if err != nil {
		return nil, nil, err
	}
	stay = map[seal.KeyID]string{}
	for _, k := range list {
		switch {
		case !k.InFile || k.Primary:
		case k.Rows > 0:
			stay[k.ID] = fmt.Sprintf("%d values are sealed with it: run tributary master-key rotate", k.Rows)
		case k.Spooled:
			stay[k.ID] = "token pairs in the spool are sealed with it: let a running process import them"
		default:
			open, err := st.Unsettled(ctx, k.DemotedAt.Add(seal.RetireAfter))
			if err == nil && open == 0 {
				err = ring.Retire(k.ID)
			}
			switch {
			case err == nil && open > 0:
				stay[k.ID] = fmt.Sprintf("the answers to %d refreshes of its time may wait, sealed with it, in the spool of a machine that is off: start every worker once, and grant again what needs it", open)
			case errors.Is(err, seal.ErrKeyInUse):
				stay[k.ID] = err.Error()
			case err != nil:
				return gone, stay, err
			default:
				gone = append(gone, k.ID)
			}
		}
	}
	return gone, stay, nil
}
