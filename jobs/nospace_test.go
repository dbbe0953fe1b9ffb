package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"tributary/internal/embed"
	"tributary/internal/embed/embedtest"
	"tributary/internal/pgtest"
	"tributary/store"
)

// tries makes a worker take the slice of a run so often, whenever that may be; it
// reports how many of the tries did anything but wait.
func (e *engine) tries(run store.Run, n int) int {
	e.t.Helper()
	began := 0
	for range n {
		e.db.MustExec(e.t, `UPDATE sync_run SET next_try_at = NULL WHERE id = $1`, run.ID)
		args, err := json.Marshal(SliceArgs{RunID: run.ID})
		if err != nil {
			e.t.Fatal(err)
		}
		job := &river.Job[SliceArgs]{JobRow: &rivertype.JobRow{EncodedArgs: args}, Args: SliceArgs{RunID: run.ID}}
		err = (&sliceWorker{r: e.runner}).Work(e.t.Context(), job)
		if _, waits := errors.AsType[*rivertype.JobSnoozeError](err); !waits {
			began++
		}
	}
	return began
}

// readOnly makes the database refuse writes, or take them again.
func (e *engine) readOnly(on bool) {
	e.t.Helper()
	e.db.ReadOnly(e.t, on)
	e.store.Pool().Reset()
}

// TestNoSourceIsAskedWithoutRoom: a source is asked for what cannot be stored
// once at most, whoever tries again and however often; with room the run goes on.
func TestNoSourceIsAskedWithoutRoom(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]struct {
		refuse func(e *engine, on bool)
		// asks is true where the first try finds out after it has asked.
		asks bool
	}{
		"a disk without room":  {func(e *engine, on bool) { e.db.Full(t, on, "chunk", "notice") }, true},
		"a read-only database": {(*engine).readOnly, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := newEngine(t, small(5))
			conn, err := e.store.Connection(t.Context(), e.conn.Name)
			if err != nil {
				t.Fatal(err)
			}
			run, _, err := e.runner.Request(t.Context(), conn, store.Content, "test", false)
			if err != nil {
				t.Fatal(err)
			}
			mode.refuse(e, true)
			e.tries(run, 1)
			first := e.world.Counts()
			if asked := first.Requests > 0; asked != mode.asks {
				t.Errorf("before anybody knew the source was asked: %t", asked)
			}
			e.tries(run, 8)
			if now := e.world.Counts(); now != first {
				t.Errorf("the source was asked again: %+v after %+v", now, first)
			}
			mode.refuse(e, false)
			eventually(t, "with room again the run goes on", func() bool { return e.tries(run, 1) == 1 && e.finished(store.Content) })
			e.wantTruth()
		})
	}
}

// afterwards is an embedder that does something once an answer has come.
type afterwards struct {
	Embedder
	then func()
}

func (a afterwards) EmbedBatch(ctx context.Context, inputs []string) (embed.Result, error) {
	defer a.then()
	return a.Embedder.EmbedBatch(ctx, inputs)
}

// TestNoEmbeddingIsPaidForWithoutRoom: nothing is embedded while PostgreSQL takes
// no writes, and what was under way when it ceased to is kept until it does.
func TestNoEmbeddingIsPaidForWithoutRoom(t *testing.T) {
	t.Parallel()
	srv := embedtest.New(embedtest.Options{})
	t.Cleanup(srv.Close)
	var e *engine
	var filling atomic.Bool
	e = newEngine(t, small(600), func(c *Config) {
		c.Embedders = func(p store.Profile) (Embedder, error) {
			inner, err := NewEmbedder(p)
			return afterwards{inner, func() {
				if filling.CompareAndSwap(true, false) {
					e.db.Full(t, true, "vec_2", "notice")
				}
			}}, err
		}
	})
	p, err := e.store.CreateProfile(t.Context(), store.Profile{Name: "remote", Kind: store.ProfileOpenAI, Model: "m", Dimensions: 8, URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	e.must(store.Content, store.RunSucceeded)
	e.readOnly(true)
	for range 3 {
		if err := e.runner.DrainHere(t.Context()); err == nil {
			t.Error("a drainer found nothing wrong with a read-only database")
		}
	}
	if n := srv.Requests(); n != 0 {
		t.Fatalf("%d requests were paid for with a read-only database", n)
	}
	e.readOnly(false)
	if err := e.store.Writable(t.Context()); err != nil {
		t.Fatal(err)
	}

	filling.Store(true)
	var wg sync.WaitGroup
	wg.Go(func() { err = e.runner.DrainHere(t.Context()) })
	eventually(t, "the drainer has found no room", func() bool { return e.store.Writable(t.Context()) != nil })
	paid := len(srv.Delivered())
	// Another one of this process.
	if again := e.runner.DrainHere(t.Context()); again != nil {
		t.Error(again)
	}
	if n := len(srv.Delivered()); n != paid || paid == 0 || paid > drainInputs {
		t.Errorf("%d inputs were paid for, and then %d, want one claim of at most %d", paid, n, drainInputs)
	}
	e.db.Full(t, false, "vec_2", "notice")
	wg.Wait()
	if err != nil {
		t.Fatal(err)
	}
	// A drainer that found no room rests before it looks again.
	e.db.MustExec(t, `UPDATE embedding_profile SET drainer_until = NULL`)
	if err := e.runner.DrainHere(t.Context()); err != nil {
		t.Fatal(err)
	}
	if twice := srv.DeliveredTwice(); len(twice) != 0 {
		t.Errorf("%d inputs were paid for twice", len(twice))
	}
	if n, chunks := pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM vec_2`), pgtest.Scalar[int64](t, e.db, `SELECT count(*) FROM chunk`); n != chunks || chunks == 0 {
		t.Errorf("%d vectors of %d chunks in profile %d", n, chunks, p.ID)
	}
}
