package vault_test

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/pgtest"
	"tributary/internal/seal"
	"tributary/oauthflow"
	"tributary/oauthflow/vault"
)

// TestEverySealedColumnRotates: the schema has no sealed column that the rotation does not know.
func TestEverySealedColumnRotates(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill(r.open(), 1)
	rows, err := r.db.Owner.Query(t.Context(), `
		SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'tributary' AND (column_name LIKE '%\_ct' OR table_name = 'seal_check' AND column_name = 'value') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	want := must(pgx.CollectRows(rows, pgx.RowTo[string]))(t)
	var got []string
	for _, c := range must(r.st.SealedCounts(t.Context()))(t) {
		got = append(got, c.Column)
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("rotated are %v, sealed %v", got, want)
	}
}

func TestOA(t *testing.T) {
	t.Parallel()
	t.Run("OA-28 two rows' ciphertexts swapped: refused, and left alone by a rotation", swapped)
	t.Run("OA-28 rotation with reads and refreshes live: none fails", rotateUnderLoad)
}

func swapped(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ring := r.open()
	w := r.fill(ring, 3)
	r.db.MustExec(t, `
		UPDATE credential c SET secret_ct = o.secret_ct FROM credential o
		WHERE c.grant_id = ANY ($1) AND o.grant_id = ANY ($1) AND c.grant_id <> o.grant_id`, w.grants[:2])
	for _, g := range w.grants[:2] {
		ct := pgtest.Scalar[[]byte](t, r.db, `SELECT secret_ct FROM credential WHERE grant_id = $1`, g)
		if _, err := oauthflow.OpenPair(ring, oauthflow.PairPlace(g, 1, 0, oauthflow.FieldTokens), ct); !errors.Is(err, seal.ErrRefused) {
			t.Errorf("opened for another row: %v", err)
		}
	}
	old := ring.PrimaryID()
	out := must(vault.Rotate(t.Context(), ring, r.st, nil))(t)
	if len(out.Unreadable) != 2 || out.Resealed != 5 || out.Unreadable[0].Column != "credential.secret_ct" {
		t.Errorf("got %+v", out)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*) FROM credential WHERE encode(substr(secret_ct, 2, 4), 'hex') = $1`, old.String()); n != 2 {
		t.Errorf("%d rows keep their ciphertext, want the two that do not open", n)
	}
	// They do not keep a later rotation from adding a key, and their key stays.
	if again := must(vault.Rotate(t.Context(), ring, r.st, nil))(t); again.Resumed || again.Key == out.Key {
		t.Errorf("got %+v", again)
	}
	gone, stay, err := vault.Retire(t.Context(), r.later(), r.st, "")
	if err != nil || len(gone) != 1 || !strings.Contains(stay[old], "2 values") {
		t.Errorf("retired %v, stay %v: %v", gone, stay, err)
	}
}

// rotateUnderLoad reads and writes through rings of their own, as other processes do, during five rotations.
func rotateUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.fill(r.open(), 300)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var reads, writes, failed atomic.Int64
	var wg sync.WaitGroup
	for i := range 4 {
		ring := r.open()
		wg.Go(func() {
			for n := i; ctx.Err() == nil; n++ {
				g := w.grants[(n*7)%len(w.grants)]
				var gen int64
				var ct []byte
				err := r.db.Pool.QueryRow(context.WithoutCancel(ctx), `SELECT gen, secret_ct FROM credential WHERE grant_id = $1`, g).Scan(&gen, &ct)
				if err == nil {
					var p oauthflow.Pair
					p, err = oauthflow.OpenPair(ring, oauthflow.PairPlace(g, 1, gen, oauthflow.FieldTokens), ct)
					if err == nil && !p.Access.Equal(pair(g, gen).Access) {
						err = errors.New("another token")
					}
				}
				if reads.Add(1); err != nil {
					failed.Add(1)
					t.Error(err)
				}
				if i%2 == 0 {
					continue
				}
				// A refresh: the next generation, wherever the row still has this one.
				next, err := oauthflow.SealPair(ring, oauthflow.PairPlace(g, 1, gen+1, oauthflow.FieldTokens), pair(g, gen+1))
				if err == nil {
					_, err = r.db.Pool.Exec(context.WithoutCancel(ctx), `UPDATE credential SET gen = gen + 1, secret_ct = $3 WHERE grant_id = $1 AND gen = $2`, g, gen, next)
				}
				if writes.Add(1); err != nil {
					failed.Add(1)
					t.Error(err)
				}
			}
		})
	}
	ring := r.open()
	for range 5 {
		if out := must(vault.Rotate(t.Context(), ring, r.st, nil))(t); len(out.Unreadable) > 0 {
			t.Errorf("unreadable: %+v", out.Unreadable)
		}
	}
	stop()
	wg.Wait()
	// What was sealed while the key changed under the writer is the next run's.
	must(vault.Rotate(t.Context(), ring, r.st, nil))(t)
	for _, c := range must(r.st.SealedCounts(t.Context()))(t) {
		if c.Key != ring.PrimaryID() {
			t.Errorf("%+v is not the primary's", c)
		}
	}
	r.opens(ring, w)
	t.Logf("%d reads, %d refreshes, %d failed", reads.Load(), writes.Load(), failed.Load())
}

// TestRotationSurvivesKill: kill -9 in the middle, again and again, then to the end.
func TestRotationSurvivesKill(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.fill(r.open(), 550)
	kills := 0
	for round := range 20 {
		done, resumed := r.child(round % 4)
		if !done {
			kills++
			r.opens(r.open(), w)
			continue
		}
		if kills > 0 && !resumed {
			t.Error("the rotation that was cut short was not finished")
		}
		break
	}
	if kills < 2 {
		t.Fatalf("only %d kills met a rotation", kills)
	}
	ring := r.later()
	for _, c := range must(r.st.SealedCounts(t.Context()))(t) {
		if c.Key != ring.PrimaryID() {
			t.Errorf("%+v is not the primary's", c)
		}
	}
	if _, _, err := vault.Retire(t.Context(), ring, r.st, ""); err != nil {
		t.Fatal(err)
	}
	if n := len(ring.Keys()); n != 1 {
		t.Errorf("%d keys are left", n)
	}
	r.opens(ring, w)
}

// child rotates in another process and kills it behind the batch of that number.
func (r *rig) child(batches int) (done, resumed bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childVar+"=1", "TEST_VAULT_URL="+r.db.URL, "TEST_VAULT_KEY="+r.path)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	seen := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "error"):
			r.t.Error(line)
		case strings.HasPrefix(line, "done"):
			done, resumed = true, strings.HasSuffix(line, "true")
		case strings.HasPrefix(line, "progress"):
			if seen++; seen > batches {
				_ = cmd.Process.Kill()
			}
		}
	}
	_ = cmd.Wait() // it was killed, or says by its lines how it ended
	return done, resumed
}

// TestRetireNeedsAnHourAndNoUse, and looks into the spool.
func TestRetireNeedsAnHourAndNoUse(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ring := r.open()
	w := r.fill(ring, 1)
	old := ring.PrimaryID()
	spool := filepath.Join(t.TempDir(), "spool")
	if err := os.Mkdir(spool, 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(spool, w.attempt.String()+".pair")
	waiting := must(ring.Seal(seal.Context{Purpose: "spool", ID: "x", Field: "pair"}, []byte("pair")))(t)
	if err := os.WriteFile(filepath.Join(spool, ".part"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append([]byte("{\"tributary_spool\":1}\n"), waiting...), 0o600); err != nil {
		t.Fatal(err)
	}
	must(vault.Rotate(t.Context(), ring, r.st, nil))(t)
	stays := func(ring *seal.Ring, why string) {
		t.Helper()
		gone, stay, err := vault.Retire(t.Context(), ring, r.st, spool)
		if err != nil || len(gone) > 0 || !strings.Contains(stay[old], why) {
			t.Errorf("retired %v, stay %v: %v; want it to stay: %s", gone, stay, err, why)
		}
	}
	stays(r.later(), "spool")
	// Its writer died before it gave it its name: it is imported yet.
	part := filepath.Join(spool, "."+w.attempt.String())
	if err := os.Rename(file, part); err != nil {
		t.Fatal(err)
	}
	stays(r.later(), "spool")
	if err := os.Remove(part); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := vault.Retire(t.Context(), r.later(), r.st, spool); err == nil {
		t.Error("a spool file that names no key was passed over")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	stays(ring, "wait until")
	// What was set aside is nobody's to import.
	if err := os.Mkdir(filepath.Join(spool, "damaged"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(spool, "damaged", "x.pair"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The spools of other machines are not seen; what may be in one is known by the refreshes that nobody settled.
	r.db.MustExec(t, `INSERT INTO refresh_attempt (id, grant_id, epoch, gen, rt_hmac, holder, outcome) SELECT gen_random_uuid(), grant_id, epoch, gen, '\x00', 'h', 'lost' FROM credential WHERE grant_id = $1`, w.grants[0])
	stays(r.later(), "1 refreshes of its time may wait")
	r.db.MustExec(t, `UPDATE refresh_attempt SET outcome = 'refused'`)
	if n := must(r.st.Unsettled(t.Context(), time.Now().Add(time.Hour)))(t); n != 0 {
		t.Errorf("%d refreshes count whose answer is known", n)
	}
	r.db.MustExec(t, `UPDATE refresh_attempt SET outcome = 'lost', gen = gen - 1`)
	if n := must(r.st.Unsettled(t.Context(), time.Now().Add(time.Hour)))(t); n != 0 {
		t.Errorf("%d refreshes count that a later pair made up for", n)
	}
	r.db.MustExec(t, `UPDATE refresh_attempt SET outcome = '', gen = gen + 1, epoch = epoch - 1`)
	if n := must(r.st.Unsettled(t.Context(), time.Now().Add(time.Hour)))(t); n != 0 {
		t.Errorf("%d refreshes count that a new consent made up for", n)
	}
	gone, _, err := vault.Retire(t.Context(), r.later(), r.st, spool)
	if err != nil || !slices.Equal(gone, []seal.KeyID{old}) {
		t.Errorf("retired %v: %v", gone, err)
	}
	r.opens(r.open(), w)
}
