package refresh_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"tributary/connectors"
	"tributary/internal/seal"
)

// unfinished makes a file of the spool one that was not moved into its place, last written ago.
func unfinished(t *testing.T, file string, ago time.Duration) string {
	t.Helper()
	part := filepath.Join(filepath.Dir(file), "."+strings.TrimSuffix(filepath.Base(file), ".pair"))
	at := time.Now().Add(-ago)
	if err := os.Rename(file, part); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(part, at, at); err != nil {
		t.Fatal(err)
	}
	return part
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// TestSpoolParts: a file that a process left which died while it wrote is completed where it is whole, and removed
// where it is not; never one that a living process may be writing.
func TestSpoolParts(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	half := func(raw []byte) []byte { return raw[:len(raw)/2] }
	t.Run("a whole one gives its pair", func(t *testing.T) {
		t.Parallel()
		r := r.here(t)
		g := r.consent(-time.Minute)
		part := unfinished(t, r.leave(r.ring, g, whole), time.Hour)
		k := r.running(r.config(calm()))
		until(t, 30*time.Second, "the pair to be stored", func() bool { return k.Stats().Imported == 1 })
		if a := mustAccess(t, k, g); a.Token.Reveal() != atOf(g, 1) || k.Stats().Sent != 0 || exists(part) {
			t.Errorf("generation %d, %+v, there %t", a.Gen, k.Stats(), exists(part))
		}
	})
	t.Run("one that is not whole is removed", func(t *testing.T) {
		t.Parallel()
		r := r.here(t)
		part := unfinished(t, r.leave(r.ring, r.consent(time.Hour), half), time.Hour)
		r.running(r.config(calm()))
		until(t, 30*time.Second, "its end", func() bool { return !exists(part) })
		if left := spooled(t, r.spool); len(left) != 0 || exists(filepath.Join(r.spool, "damaged")) {
			t.Errorf("the spool holds %v", left)
		}
	})
	t.Run("one that was written a moment ago stays", func(t *testing.T) {
		t.Parallel()
		r := r.here(t)
		part := unfinished(t, r.leave(r.ring, r.consent(time.Hour), half), time.Minute)
		r.beats(r.running(r.config(slow())), 3)
		if !exists(part) {
			t.Error("it was removed")
		}
	})
	t.Run("its grant presents no older token meanwhile, and others do", func(t *testing.T) {
		t.Parallel()
		r := r.here(t)
		g, other := r.consent(-time.Minute), r.consent(-time.Minute)
		part := unfinished(t, r.leave(r.ring, g, whole), time.Second)
		k := r.keeper(r.config(slow()))
		_, err := k.Access(t.Context(), g)
		wantClass(t, err, connectors.Transient)
		if mustAccess(t, k, other); k.Stats().Sent != 1 || !exists(part) {
			t.Errorf("%+v, there %t", k.Stats(), exists(part))
		}
		old := time.Now().Add(-time.Hour)
		if err := os.Chtimes(part, old, old); err != nil {
			t.Fatal(err)
		}
		if a := mustAccess(t, k, g); a.Token.Reveal() != atOf(g, 1) || k.Stats().Sent != 1 {
			t.Errorf("generation %d, %+v", a.Gen, k.Stats())
		}
	})
	t.Run("one of another key stays, and is set aside after a day", func(t *testing.T) {
		t.Parallel()
		r := r.here(t)
		another, err := seal.Create(filepath.Join(t.TempDir(), "another.key"), seal.Options{})
		if err != nil {
			t.Fatal(err)
		}
		part := unfinished(t, r.leave(another, r.consent(time.Hour), whole), time.Hour)
		r.beats(r.running(r.config(calm())), 3)
		if !exists(part) {
			t.Fatal("it is gone")
		}
		old := time.Now().Add(-25 * time.Hour)
		if err := os.Chtimes(part, old, old); err != nil {
			t.Fatal(err)
		}
		aside := filepath.Join(r.spool, "damaged", strings.TrimPrefix(filepath.Base(part), ".")+".pair")
		until(t, 30*time.Second, "it to be set aside", func() bool { return exists(aside) && !exists(part) })
	})
	t.Run("one that a living process has locked stays until it is dead", func(t *testing.T) {
		t.Parallel()
		r := r.here(t)
		part := unfinished(t, r.leave(r.ring, r.consent(time.Hour), half), time.Hour)
		f, err := os.Open(part)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		r.beats(r.running(r.config(calm())), 3)
		if !exists(part) {
			t.Error("it was removed")
		}
		if err := f.Close(); err != nil { // as the end of a process does
			t.Fatal(err)
		}
		until(t, 30*time.Second, "its end", func() bool { return !exists(part) })
	})
}

// TestSpoolPartIsLocked: a process has the file locked that it writes.
func TestSpoolPartIsLocked(t *testing.T) {
	t.Parallel()
	r := newRig(t, "F")
	g := r.consent(-time.Minute)
	o := r.order(calm())
	o.Grant, o.Conns, o.Point, o.Stop = g, 3, "in_spool", true
	p := start(t, o)
	until(t, 30*time.Second, "the process to stop", p.stopped)
	parts, err := filepath.Glob(filepath.Join(r.spool, ".*-*"))
	if err != nil || len(parts) != 1 {
		t.Fatalf("parts %v, %v", parts, err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(parts[0], old, old); err != nil {
		t.Fatal(err)
	}
	k := r.running(r.config(quick()))
	r.beats(k, 3)
	if !exists(parts[0]) {
		t.Fatal("it was taken from a living process")
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if a := accessUntil(t, k, g, 30*time.Second); a.Token.Reveal() != atOf(g, 1) || r.server.count() != 1 {
		t.Errorf("generation %d after %d requests", a.Gen, r.server.count())
	}
	r.mustBeSound(g)
}
