package vault_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/oauthflow/vault"
)

// TestFirstStartMakesOneKey: of many processes that start at once on a new instance.
func TestFirstStartMakesOneKey(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	rings := make([]*seal.Ring, 6)
	var wg sync.WaitGroup
	for i := range rings {
		wg.Go(func() {
			var err error
			if rings[i], err = vault.Open(t.Context(), r.config()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, ring := range rings {
		if ring == nil || ring.PrimaryID() != rings[0].PrimaryID() {
			t.Fatal("the processes have different keys")
		}
	}
	if info, err := os.Stat(r.path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v %v", info, err)
	}
	// Another machine, with a directory of its own, gets no key of its own.
	c := r.config()
	c.Path = filepath.Join(t.TempDir(), "master.key")
	_, err := vault.Open(t.Context(), c)
	if !errors.Is(err, seal.ErrNoKeyFile) {
		t.Errorf("got %v, want ErrNoKeyFile", err)
	}
	if _, err := os.Stat(c.Path); !errors.Is(err, os.ErrNotExist) {
		t.Error("a second key was made")
	}
}

// damage is a way to lose the key.
var damages = map[string]struct {
	do   func(t *testing.T, path string)
	want error
}{
	"missing": {func(t *testing.T, path string) { t.Helper(); rename(t, path, path+".away") }, seal.ErrNoKeyFile},
	"of another instance": {func(t *testing.T, path string) {
		t.Helper()
		rename(t, path, path+".away")
		if _, err := seal.Create(path, seal.Options{}); err != nil {
			t.Fatal(err)
		}
	}, seal.ErrWrongKey},
	"cut off": {func(t *testing.T, path string) {
		t.Helper()
		raw, err := os.ReadFile(path)
		if err == nil {
			rename(t, path, path+".away")
			err = os.WriteFile(path, raw[:len(raw)/2], 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}, seal.ErrKeyFileDamaged},
	"open to others": {func(t *testing.T, path string) {
		t.Helper()
		raw, err := os.ReadFile(path)
		if err == nil {
			rename(t, path, path+".away")
			err = os.WriteFile(path, raw, 0o644)
		}
		if err == nil {
			err = os.Chmod(path, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}, seal.ErrKeyFileMode},
}

func rename(t *testing.T, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func TestRV(t *testing.T) {
	t.Parallel()
	for name, d := range damages {
		t.Run("RV-13 key file "+name+": nothing is written over, and the right key brings everything back", func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			w := r.fill(r.open(), 2)
			active, paused := r.connect(w.grants[0], "a", "active", []string{}), r.connect(w.grants[1], "b", "paused", []string{})
			degraded := r.connect(w.grants[1], "c", "degraded", []string{"files.read"})
			r.db.MustExec(t, `UPDATE client_registration SET profile = '{"scopes": {"satisfied": {"mail": ["mail.all"]}}}'`)
			r.db.MustExec(t, `UPDATE oauth_grant SET scopes = '{mail.all}' WHERE id = $1`, w.grants[0])
			r.db.MustExec(t, `UPDATE connection SET needed_scopes = '{mail}' WHERE id = $1`, active) // granted under another name
			before := r.fingerprint()
			d.do(t, r.path)
			left, _ := os.ReadFile(r.path)
			_, err := vault.Open(t.Context(), r.config())
			if !errors.Is(err, d.want) {
				t.Fatalf("got %v, want %v", err, d.want)
			}
			if _, ok := errors.AsType[*vault.KeyError](err); !ok || !strings.Contains(err.Error(), r.path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			n := must(r.st.KeyLost(t.Context(), "restore the key file, or grant again"))(t)
			if n != 2 || r.state(active) != "needs_reauth" || r.state(degraded) != "needs_reauth" || r.state(paused) != "paused" {
				t.Errorf("%d connections; %s %s %s", n, r.state(active), r.state(degraded), r.state(paused))
			}
			if now, _ := os.ReadFile(r.path); string(now) != string(left) {
				t.Error("the key file was written over")
			}
			if r.fingerprint() != before {
				t.Error("what is sealed was written over")
			}
			rename(t, r.path+".away", r.path)
			ring := r.open()
			if n := must(r.st.KeyFound(t.Context()))(t); n != 2 || r.state(active) != "active" || r.state(degraded) != "degraded" || r.state(paused) != "paused" {
				t.Errorf("%d connections; %s %s %s", n, r.state(active), r.state(degraded), r.state(paused))
			}
			r.opens(ring, w)
		})
	}
	t.Run("RV-13 a process without the key says nothing while another has it", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		w := r.fill(r.open(), 1)
		c := r.connect(w.grants[0], "a", "active", []string{})
		r.db.MustExec(t, `INSERT INTO refresh_process (holder) VALUES ('other:1:x')`)
		if n := must(r.st.KeyLost(t.Context(), "x"))(t); n != 0 || r.state(c) != "active" {
			t.Errorf("%d connections, %s", n, r.state(c))
		}
	})
	t.Run("RV-13 sealed rows without a proof need the key that opens them", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		w := r.fill(r.open(), 1)
		r.db.MustExec(t, `DELETE FROM seal_check`)
		away := r.path + ".away"
		rename(t, r.path, away)
		if _, err := vault.Open(t.Context(), r.config()); !errors.Is(err, seal.ErrNoKeyFile) {
			t.Errorf("without a file: %v", err)
		}
		if _, err := seal.Create(r.path, seal.Options{}); err != nil {
			t.Fatal(err)
		}
		if _, err := vault.Open(t.Context(), r.config()); !errors.Is(err, seal.ErrWrongKey) {
			t.Errorf("with another file: %v", err)
		}
		if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM seal_check`); n != 0 {
			t.Error("a wrong key was proven right")
		}
		rename(t, away, r.path)
		r.opens(r.open(), w)
	})
}

// TestReplaceForgetsWhatNobodyCanOpen, and refuses while the key is right.
func TestReplaceForgetsWhatNobodyCanOpen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.fill(r.open(), 2)
	c := r.connect(w.grants[0], "a", "active", []string{})
	aside := func(path string) (string, error) { return path + ".old", os.Rename(path, path+".old") }
	before := r.fingerprint()
	replacing := audit.Event{Actor: audit.Actor{Kind: audit.CLI, Name: "x"}, Action: "master_key.replace", Target: audit.Target{Kind: "key"}, Outcome: audit.OK}
	if _, _, err := vault.Replace(t.Context(), r.config(), replacing, aside); err == nil || r.fingerprint() != before {
		t.Fatalf("replaced a key that is right: %v", err)
	}
	rename(t, r.path, r.path+".away")
	if _, err := seal.Create(r.path, seal.Options{}); err != nil {
		t.Fatal(err)
	}
	unrecorded := replacing
	unrecorded.Action = "no action"
	if _, _, err := vault.Replace(t.Context(), r.config(), unrecorded, aside); err == nil || r.fingerprint() != before {
		t.Fatalf("forgot what is sealed without an event: %v", err)
	}
	n, kept, err := vault.Replace(t.Context(), r.config(), replacing, aside)
	if err != nil || n != 5 || kept != r.path+".old" {
		t.Fatalf("forgot %d, kept %q: %v", n, kept, err)
	}
	if got := pgtest.Scalar[string](t, r.db, `SELECT string_agg(detail->>'forgotten', ',') FROM audit_event WHERE action = 'master_key.replace'`); got != "5" {
		t.Errorf("recorded as forgotten: %s", got)
	}
	if r.state(c) != "needs_reauth" || pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM credential WHERE secret_ct IS NULL AND state = 'needs_reauth' AND fail_class = 'master_key'`) != 2 {
		t.Error("the grants do not say that they need a new consent")
	}
	r.open()
	if n := must(r.st.KeyFound(context.Background()))(t); n != 0 || r.state(c) != "needs_reauth" {
		t.Error("a grant without tokens came back")
	}
}
