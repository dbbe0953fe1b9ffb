package seal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"tributary/internal/seal"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(rotatorEnv); path != "" {
		rotateForever(path)
	}
	goleak.VerifyTestMain(m)
}

var grant = seal.Context{Purpose: "grant", ID: "7d1f", Generation: 3, Field: "tokens"}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newRing(t *testing.T) (*seal.Ring, *clock) {
	t.Helper()
	c := &clock{t: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	r, err := seal.Create(filepath.Join(t.TempDir(), "keys", "master.key"), seal.Options{Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return r, c
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestOA28 has a case for each way to take a ciphertext elsewhere.
func TestOA28(t *testing.T) {
	t.Parallel()
	r, _ := newRing(t)
	ct := must(r.Seal(grant, []byte("access and refresh")))(t)
	if got := must(r.Unseal(grant, ct))(t); string(got) != "access and refresh" {
		t.Fatalf("got %q", got)
	}
	if id := must(seal.KeyOf(ct))(t); id != r.PrimaryID() {
		t.Errorf("the ciphertext names key %s, the primary is %s", id, r.PrimaryID())
	}
	if again := must(r.Seal(grant, []byte("access and refresh")))(t); bytes.Equal(ct, again) {
		t.Error("the same text twice has the same ciphertext: the nonce is not random")
	}
	moved := map[string]seal.Context{
		"other purpose":                   {Purpose: "client", ID: "7d1f", Generation: 3, Field: "tokens"},
		"other row":                       {Purpose: "grant", ID: "7d1e", Generation: 3, Field: "tokens"},
		"older generation":                {Purpose: "grant", ID: "7d1f", Generation: 2, Field: "tokens"},
		"other field":                     {Purpose: "grant", ID: "7d1f", Generation: 3, Field: "token"},
		"letter moved from id to field":   {Purpose: "grant", ID: "7d1", Generation: 3, Field: "ftokens"},
		"letter moved from purpose to id": {Purpose: "gran", ID: "t7d1f", Generation: 3, Field: "tokens"},
	}
	for name, where := range moved {
		if got, err := r.Unseal(where, ct); !errors.Is(err, seal.ErrRefused) || got != nil {
			t.Errorf("%s: got %q, %v, want ErrRefused", name, got, err)
		}
	}
	other := grant
	other.ID = "9c00"
	ct2 := must(r.Seal(other, []byte("of the other row")))(t)
	if _, err := r.Unseal(grant, ct2); !errors.Is(err, seal.ErrRefused) {
		t.Errorf("swapped ciphertext: got %v, want ErrRefused", err)
	}
	if _, err := r.Unseal(other, ct); !errors.Is(err, seal.ErrRefused) {
		t.Errorf("swapped back: got %v, want ErrRefused", err)
	}
	for i := range ct {
		bad := bytes.Clone(ct)
		bad[i] ^= 0x10
		if _, err := r.Unseal(grant, bad); err == nil {
			t.Fatalf("byte %d changed: accepted", i)
		}
	}
	for _, short := range [][]byte{nil, {}, ct[:4], ct[:len(ct)-20]} {
		if _, err := r.Unseal(grant, short); err == nil {
			t.Errorf("cut to %d bytes: accepted", len(short))
		}
	}
	for _, c := range []seal.Context{{ID: "x", Field: "f"}, {Purpose: "p", Field: "f"}, {Purpose: "p", ID: "x"}} {
		if _, err := r.Seal(c, nil); !errors.Is(err, seal.ErrContext) {
			t.Errorf("%+v: got %v, want ErrContext", c, err)
		}
	}
}

// TestContextIsInjective: two different contexts never share an encoding.
func TestContextIsInjective(t *testing.T) {
	t.Parallel()
	r, _ := newRing(t)
	part := rapid.StringOfN(rapid.RuneFrom([]rune("ab\x00")), 1, 3, -1)
	gen := rapid.Custom(func(t *rapid.T) seal.Context {
		return seal.Context{Purpose: part.Draw(t, "purpose"), ID: part.Draw(t, "id"), Generation: rapid.Int64Range(-1, 1).Draw(t, "generation"), Field: part.Draw(t, "field")}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := gen.Draw(t, "a"), gen.Draw(t, "b")
		ct, err := r.Seal(a, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Unseal(b, ct); (err == nil) != (a == b) {
			t.Fatalf("sealed for %+v, unsealed for %+v: %v", a, b, err)
		}
	})
}

func TestOA34(t *testing.T) {
	t.Parallel()
	t.Run("mode and owner's eyes only", func(t *testing.T) {
		t.Parallel()
		r, _ := newRing(t)
		info := must(os.Stat(r.Path()))(t)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("the key file has mode %04o", info.Mode().Perm())
		}
		for _, mode := range []os.FileMode{0o640, 0o604, 0o644, 0o660, 0o610, 0o700} {
			if err := os.Chmod(r.Path(), mode); err != nil {
				t.Fatal(err)
			}
			if _, err := seal.Open(r.Path(), seal.Options{}); !errors.Is(err, seal.ErrKeyFileMode) {
				t.Errorf("mode %04o: got %v, want ErrKeyFileMode", mode, err)
			}
		}
		if err := os.Chmod(r.Path(), 0o400); err != nil {
			t.Fatal(err)
		}
		must(seal.Open(r.Path(), seal.Options{}))(t)
	})
	t.Run("never in the data directory", func(t *testing.T) {
		t.Parallel()
		base := t.TempDir()
		data := filepath.Join(base, "data")
		if err := os.MkdirAll(filepath.Join(data, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(filepath.Join(data, "sub"), filepath.Join(base, "link")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(data, filepath.Join(base, "alias")); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ key, data string }{
			{filepath.Join(data, "master.key"), data},
			{filepath.Join(data, "sub", "new", "master.key"), data},
			{filepath.Join(base, "link", "master.key"), data},
			{filepath.Join(data, "..", "data", "master.key"), data},
			{filepath.Join(data, "master.key"), filepath.Join(base, "alias")},
		} {
			for _, f := range []func(string, seal.Options) (*seal.Ring, error){seal.Create, seal.Open, seal.OpenOrCreate} {
				if _, err := f(c.key, seal.Options{DataDir: c.data}); !errors.Is(err, seal.ErrKeyFilePlace) {
					t.Errorf("key %s, data %s: got %v, want ErrKeyFilePlace", c.key, c.data, err)
				}
			}
		}
		must(seal.Create(filepath.Join(base, "data-not", "master.key"), seal.Options{DataDir: data}))(t)
	})
	t.Run("generated only when told to, and never twice", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "master.key")
		if _, err := seal.Open(path, seal.Options{}); !errors.Is(err, seal.ErrNoKeyFile) {
			t.Errorf("got %v, want ErrNoKeyFile", err)
		}
		var wg sync.WaitGroup
		rings := make([]*seal.Ring, 8)
		for i := range rings {
			wg.Go(func() { rings[i], _ = seal.OpenOrCreate(path, seal.Options{}) })
		}
		wg.Wait()
		for i, r := range rings {
			if r == nil || r.PrimaryID() != rings[0].PrimaryID() {
				t.Fatalf("ring %d differs from ring 0", i)
			}
		}
		before := must(os.ReadFile(path))(t)
		if _, err := seal.Create(path, seal.Options{}); !errors.Is(err, seal.ErrKeyFileExists) {
			t.Errorf("got %v, want ErrKeyFileExists", err)
		}
		if after := must(os.ReadFile(path))(t); !bytes.Equal(before, after) {
			t.Error("Create changed the file that was there")
		}
	})
	t.Run("only a whole regular file", func(t *testing.T) {
		t.Parallel()
		r, _ := newRing(t)
		raw := must(os.ReadFile(r.Path()))(t)
		dir := t.TempDir()
		damaged := map[string][]byte{
			"empty": {}, "half": raw[:len(raw)/2], "text": []byte("hello"), "null": []byte("null"),
			"other format": bytes.Replace(raw, []byte("keys 1"), []byte("keys 9"), 1),
			"edited id":    bytes.Replace(raw, []byte(r.PrimaryID().String()), []byte("00000001"), 1),
			"unknown part": bytes.Replace(raw, []byte(`"ring"`), []byte(`"extra": 1, "ring"`), 1),
			"edited ring":  bytes.Replace(raw, []byte(`"ring": "`), []byte(`"ring": "A`), 1),
			"edited time":  bytes.Replace(raw, []byte("2026-01-02"), []byte("2025-01-02"), 1),
			"changed key":  bytes.Replace(raw, []byte(`"keyset": "C`), []byte(`"keyset": "D`), 1),
		}
		for name, content := range damaged {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := seal.OpenOrCreate(path, seal.Options{})
			if !errors.Is(err, seal.ErrKeyFileDamaged) {
				t.Errorf("%s: got %v, want ErrKeyFileDamaged", name, err)
			}
			if after := must(os.ReadFile(path))(t); !bytes.Equal(content, after) {
				t.Errorf("%s: the file was overwritten", name)
			}
		}
		if _, err := seal.Open(dir, seal.Options{}); !errors.Is(err, seal.ErrKeyFilePlace) {
			t.Errorf("directory: got %v, want ErrKeyFilePlace", err)
		}
	})
}

// TestRV13: another key than the one that sealed is named as such, and changes nothing.
func TestRV13(t *testing.T) {
	t.Parallel()
	right, _ := newRing(t)
	wrong, _ := newRing(t)
	check := must(right.Check())(t)
	ct := must(right.Seal(grant, []byte("token")))(t)
	if err := right.VerifyCheck(check); err != nil {
		t.Errorf("right key: %v", err)
	}
	before := must(os.ReadFile(wrong.Path()))(t)
	if err := wrong.VerifyCheck(check); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("got %v, want ErrWrongKey", err)
	}
	_, err := wrong.Unseal(grant, ct)
	var unknown *seal.UnknownKeyError
	if !errors.Is(err, seal.ErrUnknownKey) || !errors.As(err, &unknown) || unknown.ID != right.PrimaryID() {
		t.Errorf("got %v, want ErrUnknownKey for %s", err, right.PrimaryID())
	}
	if after := must(os.ReadFile(wrong.Path()))(t); !bytes.Equal(before, after) {
		t.Error("the wrong key file was changed")
	}

	// The file of a running process is replaced by another instance's: nothing is written over it, and reads go on.
	if err := os.WriteFile(right.Path()+".x", before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(right.Path()+".x", right.Path()); err != nil {
		t.Fatal(err)
	}
	if _, err := right.Rotate(); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("rotating a foreign file: got %v, want ErrWrongKey", err)
	}
	if err := right.Reload(); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("reloading a foreign file: got %v, want ErrWrongKey", err)
	}
	if after := must(os.ReadFile(right.Path()))(t); !bytes.Equal(before, after) {
		t.Error("the foreign key file was changed")
	}
	if got := must(right.Unseal(grant, ct))(t); string(got) != "token" {
		t.Errorf("got %q", got)
	}
	if id := must(seal.KeyOf(must(right.Seal(grant, nil))(t)))(t); id != right.PrimaryID() {
		t.Errorf("sealed with key %s of the foreign file", id)
	}
}

func TestRotateKeepsOldKeysUntilRetired(t *testing.T) {
	t.Parallel()
	r, c := newRing(t)
	other := must(seal.Open(r.Path(), seal.Options{Now: c.now}))(t) // another process
	first := r.PrimaryID()
	old := must(r.Seal(grant, []byte("old")))(t)
	check := must(r.Check())(t)
	c.add(time.Minute)
	second := must(r.Rotate())(t)
	if ids := r.KeyIDs(); len(ids) != 2 || ids[0] != second || ids[1] != first || second == first {
		t.Fatalf("keys %v after a rotation from %s to %s", ids, first, second)
	}
	if ks := r.Keys(); !ks[0].Primary || ks[1].Primary || !ks[1].DemotedAt.Equal(c.now()) || ks[1].CreatedAt.Equal(ks[0].CreatedAt) {
		t.Errorf("keys described as %+v", ks)
	}
	fresh := must(r.Seal(grant, []byte("fresh")))(t)
	if got := must(other.Unseal(grant, fresh))(t); string(got) != "fresh" {
		t.Errorf("the other process read %q", got)
	}
	third := must(other.Rotate())(t)
	if id := must(seal.KeyOf(must(r.Seal(grant, nil))(t)))(t); id != third {
		t.Errorf("this process seals with %s after the other rotated to %s", id, third)
	}
	for _, id := range []seal.KeyID{third, second} {
		if err := r.Retire(id); !errors.Is(err, seal.ErrKeyInUse) {
			t.Errorf("retiring %s at once: got %v, want ErrKeyInUse", id, err)
		}
	}
	c.add(seal.RetireAfter)
	if err := r.Retire(first); err != nil {
		t.Fatal(err)
	}
	if err := r.Retire(first); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("retiring twice: got %v, want ErrUnknownKey", err)
	}
	if err := r.Retire(third); !errors.Is(err, seal.ErrKeyInUse) {
		t.Errorf("retiring the primary: got %v, want ErrKeyInUse", err)
	}
	if _, err := r.Unseal(grant, old); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("of a retired key: got %v, want ErrUnknownKey", err)
	}
	if err := r.VerifyCheck(check); !errors.Is(err, seal.ErrWrongKey) {
		t.Errorf("a check that was not sealed anew: got %v, want ErrWrongKey", err)
	}
	if got := must(r.Unseal(grant, fresh))(t); string(got) != "fresh" {
		t.Errorf("got %q", got)
	}
}

// TestRotateUnderLoad: sealing and unsealing in several processes' rings never fails while keys are added.
func TestRotateUnderLoad(t *testing.T) {
	t.Parallel()
	r, c := newRing(t)
	const readers, rotations = 4, 25
	done := make(chan struct{})
	var wg sync.WaitGroup
	counts := make([]int, readers)
	var mu sync.Mutex
	shared := [][]byte{must(r.Seal(grant, []byte("0")))(t)}
	for i := range readers {
		ring := must(seal.Open(r.Path(), seal.Options{Now: c.now}))(t)
		wg.Go(func() {
			for ; ; counts[i]++ {
				select {
				case <-done:
					return
				default:
				}
				ct, err := ring.Seal(grant, []byte("text"))
				if err != nil {
					t.Errorf("sealing: %v", err)
					return
				}
				mu.Lock()
				if len(shared) < 512 {
					shared = append(shared, ct)
				} else {
					shared[1+counts[i]%511] = ct
				}
				probe := shared[counts[i]%len(shared)]
				mu.Unlock()
				for _, one := range [][]byte{ct, probe} {
					if _, err := ring.Unseal(grant, one); err != nil {
						t.Errorf("unsealing: %v", err)
						return
					}
				}
			}
		})
	}
	for range rotations {
		must(r.Rotate())(t)
	}
	close(done)
	wg.Wait()
	total := 0
	for i, n := range counts {
		if n == 0 {
			t.Errorf("reader %d never ran", i)
		}
		total += n
	}
	if n := len(r.KeyIDs()); n != rotations+1 {
		t.Errorf("%d keys after %d rotations", n, rotations)
	}
	t.Logf("%d seals, %d reads, 0 failures over %d rotations", total, 2*total, rotations)
}

// TestRotateInParallel: rotations by several rings of one file are all kept.
func TestRotateInParallel(t *testing.T) {
	t.Parallel()
	r, c := newRing(t)
	var wg sync.WaitGroup
	for range 6 {
		ring := must(seal.Open(r.Path(), seal.Options{Now: c.now}))(t)
		wg.Go(func() {
			if _, err := ring.Rotate(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := r.Reload(); err != nil {
		t.Fatal(err)
	}
	if n := len(r.KeyIDs()); n != 7 {
		t.Errorf("%d keys after 6 rotations in parallel, want 7", n)
	}
}

// TestFileGone: a file that vanishes under a running process stops neither reads nor writes, and is not made anew.
func TestFileGone(t *testing.T) {
	t.Parallel()
	r, _ := newRing(t)
	if err := os.Rename(r.Path(), r.Path()+".saved"); err != nil {
		t.Fatal(err)
	}
	ct := must(r.Seal(grant, []byte("x")))(t)
	must(r.Unseal(grant, ct))(t)
	if _, err := r.Rotate(); !errors.Is(err, seal.ErrNoKeyFile) {
		t.Errorf("got %v, want ErrNoKeyFile", err)
	}
	if _, err := os.Stat(r.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Error("Rotate made a key file")
	}
	must(seal.Open(r.Path()+".saved", seal.Options{}))(t)
}

// TestMessagesHoldNoKey: errors quote neither the key file nor a plaintext, and a Ring formats without them.
func TestMessagesHoldNoKey(t *testing.T) {
	t.Parallel()
	r, _ := newRing(t)
	raw := must(os.ReadFile(r.Path()))(t)
	var c struct{ Keyset string }
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	bad := r.Path() + ".bad"
	if err := os.WriteFile(bad, bytes.Replace(raw, []byte(`"keyset"`), []byte(`"keysets"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := seal.Open(bad, seal.Options{})
	ct := must(r.Seal(grant, []byte("plain-canary")))(t)
	ct[len(ct)-1] ^= 1
	_, err2 := r.Unseal(grant, ct)
	shown := fmt.Sprintf("%v %v %+v", err, err2, r.Keys())
	if strings.Contains(shown, c.Keyset[8:24]) || strings.Contains(shown, "plain-canary") {
		t.Errorf("shown: %s", shown)
	}
}

func FuzzUnseal(f *testing.F) {
	r, err := seal.Create(filepath.Join(f.TempDir(), "master.key"), seal.Options{})
	if err != nil {
		f.Fatal(err)
	}
	good := must(r.Seal(grant, []byte("a plaintext")))(f)
	f.Add(good)
	f.Add(good[:5])
	f.Add([]byte{})
	f.Add([]byte{1, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, ct []byte) {
		if len(ct) >= 5 && len(ct)%2 == 0 { // a valid prefix leads further in
			copy(ct, good[:5])
		}
		got, err := r.Unseal(grant, ct)
		if err == nil && !bytes.Equal(ct, good) {
			t.Fatalf("accepted %x as %q", ct, got)
		}
		if err != nil && (got != nil || !errors.Is(err, seal.ErrMalformed) && !errors.Is(err, seal.ErrUnknownKey) && !errors.Is(err, seal.ErrRefused)) {
			t.Fatalf("got %q with untyped error %v", got, err)
		}
	})
}
