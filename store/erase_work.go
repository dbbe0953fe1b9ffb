package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// EraseOptions says how an erasure is worked on. Zero fields become defaults.
type EraseOptions struct {
	// Worker is the name under which it is held; a fresh one by default.
	Worker string
	// Takeover is how long without a heartbeat an erasure may be taken over: a
	// minute.
	Takeover time.Duration
	// Heartbeat is how often the holder shows that it lives: 15 s.
	Heartbeat time.Duration
	// Clean rewrites the storage of the tables that rows were removed from; the
	// Store's by default. Without one that is left to whoever may, and the
	// receipt says so.
	Clean func(ctx context.Context, tables []string) (Cleaned, error)
	// Program is the version that the receipt names; the Store's by default.
	Program string
	// Watch is called after each step.
	Watch func(Erasure)
}

func (o EraseOptions) withDefaults(d EraseOptions) EraseOptions {
	if o.Program == "" {
		o.Program = d.Program
	}
	if o.Clean == nil {
		o.Clean = d.Clean
	}
	if o.Worker == "" {
		o.Worker = "store:" + uuid.NewString()
	}
	if o.Takeover <= 0 {
		o.Takeover = time.Minute
	}
	if o.Heartbeat <= 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.Watch == nil {
		o.Watch = func(Erasure) {}
	}
	return o
}

// Erase works on an erasure until its receipt is written. It may be called
// again after any failure, also in another process, and goes on where it
// stopped. It returns ErrConflict where another process is at it and ErrFenced
// where it was taken over.
func (s *Store) Erase(ctx context.Context, id uuid.UUID, opts EraseOptions) (Erasure, error) {
	opts = opts.withDefaults(s.erasing)
	e, err := s.claimErasure(ctx, id, opts.Worker, opts.Takeover)
	if errors.Is(err, ErrFenced) {
		return e, nil
	}
	if err != nil {
		return e, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	beating := make(chan struct{})
	go func() {
		defer close(beating)
		s.beatErasure(ctx, e, opts.Heartbeat, cancel)
	}()
	err = s.eraseClaimed(ctx, e, opts)
	if cause := context.Cause(ctx); err != nil && errors.Is(cause, ErrFenced) {
		err = ErrFenced
	}
	cancel(nil)
	<-beating
	if err != nil {
		s.dropErasure(ctx, e, err)
		return e, err
	}
	return s.Erasure(context.WithoutCancel(ctx), id)
}

func (s *Store) beatErasure(ctx context.Context, e Erasure, every time.Duration, stop context.CancelCauseFunc) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			err := s.inTxErr(ctx, "showing heartbeat", func(tx pgx.Tx) error { return holdErasure(ctx, tx, e) })
			if errors.Is(err, ErrFenced) {
				stop(ErrFenced)
				return
			}
		}
	}
}

// dropErasure lets another process go on at once, and says why this one could
// not.
func (s *Store) dropErasure(ctx context.Context, e Erasure, cause error) {
	if errors.Is(cause, ErrFenced) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	text := ""
	if !errors.Is(cause, context.Canceled) {
		text = cleanText(cause.Error())
	}
	if _, err := s.pool.Exec(ctx, `UPDATE erasure SET worker = '', error = $3 WHERE id = $1 AND fence = $2`, e.ID, e.Fence, text); err != nil {
		s.log.Warn("handing over an erasure", "erasure", e.ID, "error", err)
	}
}

// eraseClaimed removes, cleans and verifies. Every part may be repeated.
func (s *Store) eraseClaimed(ctx context.Context, e Erasure, opts EraseOptions) error {
	if e.State == EraseErasing {
		if err := s.removeErased(ctx, e, opts.Watch); err != nil {
			return err
		}
		err := s.inTxErr(ctx, "verifying", func(tx pgx.Tx) error {
			if err := holdErasure(ctx, tx, e); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `UPDATE erasure SET state = 'verifying' WHERE id = $1`, e.ID)
			return err
		})
		if err != nil {
			return err
		}
	}
	return s.proveErased(ctx, e, opts)
}

// removeErased removes everything that e is about.
func (s *Store) removeErased(ctx context.Context, e Erasure, watch func(Erasure)) error {
	tables, err := s.eraseTables(ctx)
	if err != nil {
		return err
	}
	x := &eraser{s: s, e: e, tables: tables}
	next := x.nextItems
	if e.Scope == EraseConnection {
		next = x.nextDocuments
	}
	for {
		ids, err := next(ctx)
		if err != nil {
			return err
		}
		if len(ids) == 0 {
			break
		}
		if err := x.purge(ctx, ids); err != nil {
			return err
		}
		watch(x.e)
	}
	if err := x.rest(ctx); err != nil {
		return err
	}
	watch(x.e)
	return nil
}

// eraser is the state of removeErased.
type eraser struct {
	s      *Store
	e      Erasure
	tables []eraseTable
	// after is the last item of the page before.
	after []byte
}

// step runs fn in a transaction that holds the erasure, and adds what it
// removed to the counts.
func (x *eraser) step(ctx context.Context, op string, fn func(tx pgx.Tx, removed map[string]int64) error) error {
	return x.s.inTxErr(ctx, op, func(tx pgx.Tx) error {
		if err := holdErasure(ctx, tx, x.e); err != nil {
			return err
		}
		if err := patient(ctx, tx); err != nil {
			return err
		}
		var sum map[string]int64
		if err := tx.QueryRow(ctx, `SELECT removed FROM erasure WHERE id = $1`, x.e.ID).Scan(&sum); err != nil {
			return fmt.Errorf("reading erasure: %w", err)
		}
		removed := map[string]int64{}
		if err := fn(tx, removed); err != nil {
			return err
		}
		maps.DeleteFunc(removed, func(_ string, n int64) bool { return n == 0 })
		for table, n := range removed {
			sum[table] += n
		}
		if _, err := tx.Exec(ctx, `UPDATE erasure SET removed = $2 WHERE id = $1`, x.e.ID, jsonOf(sum)); err != nil {
			return fmt.Errorf("counting what was removed: %w", err)
		}
		x.e.Removed = sum
		return nil
	})
}

// nextItems returns the next documents of the request. Purging them again does
// no harm.
func (x *eraser) nextItems(ctx context.Context) ([]uuid.UUID, error) {
	rows, err := x.s.pool.Query(ctx, `
		SELECT document_id, id_hash FROM erasure_item WHERE erasure_id = $1 AND id_hash > coalesce($2, ''::bytea) AND document_id IS NOT NULL ORDER BY id_hash LIMIT $3`, x.e.ID, x.after, sweepBatch)
	if err != nil {
		return nil, fmt.Errorf("reading what is erased: %w", err)
	}
	var ids []uuid.UUID
	var id uuid.UUID
	_, err = pgx.ForEachRow(rows, []any{&id, &x.after}, func() error { ids = append(ids, id); return nil })
	if err != nil {
		return nil, fmt.Errorf("reading what is erased: %w", err)
	}
	return ids, nil
}

// nextDocuments returns documents that a connection still has.
func (x *eraser) nextDocuments(ctx context.Context) ([]uuid.UUID, error) {
	rows, err := x.s.pool.Query(ctx, `SELECT id FROM document WHERE connection_id = $1 ORDER BY external_id LIMIT $2`, x.e.ConnectionID, sweepBatch)
	if err != nil {
		return nil, fmt.Errorf("reading what is erased: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("reading what is erased: %w", err)
	}
	return ids, nil
}

// purge removes documents with everything that is keyed by them, and tells the
// feed that they are gone.
func (x *eraser) purge(ctx context.Context, ids []uuid.UUID) error {
	return x.step(ctx, "purging", func(tx pgx.Tx, removed map[string]int64) error {
		rows, err := tx.Query(ctx, `SELECT id FROM document WHERE id = ANY($1) ORDER BY id FOR UPDATE`, ids)
		if err != nil {
			return fmt.Errorf("locking documents: %w", err)
		}
		still, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return fmt.Errorf("locking documents: %w", err)
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO erasure_item (erasure_id, id_hash, document_id)
			SELECT $1, sha256(uuid_send(connection_id) || convert_to(external_id, 'UTF8')), id FROM document WHERE id = ANY($2) ON CONFLICT DO NOTHING`, x.e.ID, still)
		if err != nil {
			return fmt.Errorf("writing what is erased: %w", err)
		}
		if err := noteDocuments(ctx, tx, "purge", x.e.ConnectionID, still); err != nil {
			return err
		}
		if err := purgeCounted(ctx, tx, still, removed); err != nil {
			return err
		}
		return x.forgetDocuments(ctx, tx, ids, removed)
	})
}
