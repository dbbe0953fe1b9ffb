package jobs

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/chunk"
	"tributary/internal/embed"
	"tributary/store"
)

// Bounds of a drainer.
const (
	drainInputs = 128
	drainTokens = 60_000
	// claimLease is how long claimed chunks are not offered to another
	// drainer; it is longer than any request may take.
	claimLease   = 10 * time.Minute
	drainerLease = 5 * time.Minute
	// keepEvery is how often vectors that could not be stored are tried again,
	// keepTimeout bounds one try.
	keepEvery   = time.Second
	keepTimeout = 30 * time.Second
	// refusedWait is how long a chunk that the model refuses rests.
	refusedWait = 24 * time.Hour
	// brokenWait is how long a profile rests whose settings or key are wrong.
	brokenWait = 5 * time.Minute
	// wakeEvery bounds how often batches enqueue a drainer; the tick finds
	// what they leave.
	wakeEvery = time.Second
)

// wakes remembers when a drainer was last enqueued, and how often in a row it
// failed.
type wakes struct {
	mu       sync.Mutex
	last     map[int16]time.Time
	failures map[int16]int
}

func (w *wakes) due(profile int16) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.last[profile]) < wakeEvery {
		return false
	}
	w.last[profile] = time.Now()
	return true
}

// failed counts a failure and returns how many there were before it; succeeded
// forgets them.
func (w *wakes) failed(profile int16) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failures[profile]++
	return w.failures[profile] - 1
}

func (w *wakes) succeeded(profile int16) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.failures, profile)
}

// wakeTx enqueues drainers in the transaction that queued chunks.
func (r *Runner) wakeTx(ctx context.Context, tx pgx.Tx, profiles []int16) error {
	for _, id := range profiles {
		if !r.wakes.due(id) {
			continue
		}
		if _, err := r.client.InsertTx(ctx, tx, EmbedArgs{ProfileID: id}, nil); err != nil {
			return fmt.Errorf("enqueueing drainer: %w", err)
		}
	}
	return nil
}

// drain embeds what waits for a profile until nothing is due, the process
// stops, or the endpoint needs a pause. One drainer works on a profile at a
// time; a pause keeps the lease, so that nobody else knocks meanwhile.
func (r *Runner) drain(ctx context.Context, id int16) error {
	profile, err := r.store.ProfileByID(ctx, id)
	if err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	}
	holder := r.owner.name
	mine, err := r.store.LeaseDrainer(ctx, id, holder, drainerLease)
	if err != nil || !mine {
		return err
	}
	pause, err := r.drainLeased(ctx, profile)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if pause > 0 {
		_, leaseErr := r.store.LeaseDrainer(ctx, id, holder, pause)
		return errors.Join(err, leaseErr)
	}
	return errors.Join(err, r.store.ReleaseDrainer(ctx, id, holder))
}

func (r *Runner) drainLeased(ctx context.Context, profile store.Profile) (pause time.Duration, err error) {
	embedder, err := r.cfg.Embedders(profile)
	if err != nil {
		return brokenWait, r.store.SetProfileError(ctx, profile.ID, err.Error())
	}
	if mine, err := r.fill(ctx, profile.ID); err != nil || !mine {
		return 0, err
	}
	for !r.isStopping() && ctx.Err() == nil {
		if mine, err := r.store.LeaseDrainer(ctx, profile.ID, r.owner.name, drainerLease); err != nil || !mine {
			return 0, err
		}
		more, pause, err := r.drainOnce(ctx, profile, embedder)
		if err != nil || pause > 0 || !more {
			return pause, err
		}
	}
	return 0, nil
}

// fill queues the chunks that were stored before the profile was made: it walks
// along them until a walk found none that was missing. One drainer of a process
// walks; the others embed what is queued. It ends early where another process
// holds the drainer's lease.
func (r *Runner) fill(ctx context.Context, profile int16) (mine bool, err error) {
	if _, walks := r.filling.LoadOrStore(profile, true); walks {
		return true, nil
	}
	defer r.filling.Delete(profile)
	if filled, err := r.store.Filled(ctx, profile); err != nil || filled {
		return true, err
	}
	before, missing := store.ChunkID{Number: store.NoChunk}, 0
	at := before
	for !r.isStopping() {
		if mine, err := r.store.LeaseDrainer(ctx, profile, r.owner.name, drainerLease); err != nil || !mine {
			return false, err
		}
		queued, last, err := r.store.FillTodo(ctx, profile, at, chunk.InputHash)
		missing += queued
		switch {
		case err != nil:
			return false, err
		case last != nil:
			at = *last
		case missing == 0:
			return true, r.store.SetFilled(ctx, profile)
		default:
			at, missing = before, 0
		}
	}
	return true, nil
}

// drainOnce embeds one claim. Whatever vectors arrive are stored, also when
// the call fails as a whole; equal inputs are sent once.
func (r *Runner) drainOnce(ctx context.Context, profile store.Profile, embedder Embedder) (more bool, pause time.Duration, err error) {
	if err := r.store.Writable(ctx); err != nil {
		r.cfg.Log.Warn("nothing is embedded while PostgreSQL takes no writes", "error", err)
		return false, noRoomWait, nil
	}
	claim := uuid.New()
	todos, err := r.store.ClaimTodo(ctx, profile.ID, claim, drainInputs, drainTokens, claimLease)
	if err != nil || len(todos) == 0 {
		return false, 0, err
	}
	inputs, groups := distinct(todos)
	res, callErr := embedder.EmbedBatch(ctx, inputs)
	var got []store.Embedded
	var failures []store.TodoFailure
	pause, reason := r.pauseFor(profile.ID, callErr)
	for i, group := range groups {
		if v := res.Vectors[i]; v != nil {
			got = append(got, store.Embedded{InputHash: group[0].InputHash, Vector: v})
			continue
		}
		failures = append(failures, failuresOf(group, res.Errs[i], reason, pause)...)
	}
	if err := r.keep(ctx, profile.ID, got); err != nil {
		return false, pause, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTimeout)
	defer cancel()
	if err := r.store.FailTodo(ctx, profile.ID, claim, failures); err != nil {
		return false, pause, err
	}
	return true, pause, r.store.SetProfileError(ctx, profile.ID, reason)
}

// keep stores vectors. What was paid for is stored even when the process is being
// stopped; while PostgreSQL has no room for it, or is away, it is kept and tried
// again for as long as nobody else may claim its chunks.
func (r *Runner) keep(ctx context.Context, profile int16, got []store.Embedded) error {
	ctx = context.WithoutCancel(ctx)
	again := time.NewTicker(keepEvery)
	defer again.Stop()
	for began := time.Now(); ; {
		try, cancel := context.WithTimeout(ctx, keepTimeout)
		_, err := r.store.SettleTodo(try, profile, got)
		cancel()
		if !store.IsTrouble(err) || time.Since(began) > claimLease-2*keepTimeout {
			return err
		}
		r.cfg.Log.Warn("vectors wait for PostgreSQL", "profile", profile, "vectors", len(got), "error", err)
		select {
		case <-r.stopping:
			return err
		case <-again.C:
		}
	}
}

// distinct groups chunks by what is embedded for them, in order.
func distinct(todos []store.Todo) ([]string, [][]store.Todo) {
	var inputs []string
	var groups [][]store.Todo
	at := map[string]int{}
	for _, t := range todos {
		i, ok := at[string(t.InputHash)]
		if !ok {
			i = len(groups)
			at[string(t.InputHash)] = i
			inputs = append(inputs, chunk.Input(t.Context, t.Text))
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], t)
	}
	return inputs, groups
}

func failuresOf(group []store.Todo, err error, reason string, pause time.Duration) []store.TodoFailure {
	f := store.TodoFailure{Reason: reason, Wait: pause}
	if err != nil {
		f.Reason, f.Counts, f.Wait = err.Error(), true, refusedWait
		if e, ok := errors.AsType[*embed.Error](err); ok && len(e.Permanent) == 0 {
			f.Wait = min(firstWait<<min(group[0].Attempts, 16), longest)
		}
	}
	out := make([]store.TodoFailure, len(group))
	for i, t := range group {
		out[i] = f
		out[i].DocumentID, out[i].ChunkID = t.DocumentID, t.ChunkID
	}
	return out
}

// pauseFor returns how long a profile rests after err, and what admins read.
func (r *Runner) pauseFor(profile int16, err error) (time.Duration, string) {
	if err == nil {
		r.wakes.succeeded(profile)
		return 0, ""
	}
	n := r.wakes.failed(profile)
	if e, ok := errors.AsType[*embed.Error](err); ok {
		switch {
		case e.RetryAfter > 0:
			return min(e.RetryAfter, maxRetryAfter), err.Error()
		case e.Class == embed.Auth || e.Class == embed.Invalid:
			return brokenWait, err.Error()
		}
	}
	return waitFor(err, n), err.Error()
}
