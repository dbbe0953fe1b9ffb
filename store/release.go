package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// Release says how a slice ended.
type Release struct {
	// State is the run's new state; RunQueued hands it to a later slice.
	State RunState
	// Class and Err explain a state that is not a success.
	Class connectors.Class
	Err   error
	// RetryIn is how long the next slice waits.
	RetryIn time.Duration
	// CountAttempt is true when the slice failed and made no progress.
	CountAttempt bool
	// Connection, when not "", becomes the connection's state.
	Connection ConnectionState
	Reason     string
}

// ReleaseRun ends a slice. then runs in the same transaction; jobs enqueues
// the next slice there. It returns ErrFenced when the run is no longer the
// holder's.
func (s *Store) ReleaseRun(ctx context.Context, run Run, r Release, then func(ctx context.Context, tx pgx.Tx) error) error {
	return s.inTxErr(ctx, "releasing run", func(tx pgx.Tx) error {
		// then moves the schedule: it is locked before the run, in the order of doc.go.
		if _, err := tx.Exec(ctx, `SELECT FROM schedule WHERE connection_id = $1 AND lane = $2 FOR UPDATE`, run.ConnectionID, run.Lane); err != nil {
			return fmt.Errorf("locking schedule: %w", err)
		}
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		class, text := "", ""
		if r.Err != nil {
			class, text = r.Class.String(), cleanText(r.Err.Error())
		}
		_, err := tx.Exec(ctx, `
			UPDATE sync_run SET state = $2, worker = '', error_class = $3, error = $4,
				next_try_at = CASE WHEN $2 = 'queued' THEN clock() + $5::interval END,
				waiting_since = CASE WHEN $2 = 'queued' THEN clock() + $5::interval ELSE waiting_since END,
				attempt = CASE WHEN $6 THEN attempt + 1 ELSE 0 END,
				finished_at = CASE WHEN $2 IN ('queued', 'running') THEN NULL ELSE clock() END
			WHERE id = $1`, run.ID, r.State, class, text, r.RetryIn, r.CountAttempt)
		if err != nil {
			return err
		}
		if err := runState(ctx, tx, run, r); err != nil {
			return err
		}
		if err := noteRelease(ctx, tx, run, r); err != nil {
			return err
		}
		if then == nil {
			return nil
		}
		return then(ctx, tx)
	})
}

// runState makes the end of a slice the connection's state. What an admin
// paused stays so, one lane's success does not hide the other's failure, and
// none hides that scopes are missing. What a run says of a grant that was given
// anew since it started is over: the next run tells.
func runState(ctx context.Context, tx pgx.Tx, run Run, r Release) error {
	if r.Connection == "" {
		return nil
	}
	var skip bool
	err := tx.QueryRow(ctx, `
		SELECT c.state = 'paused' OR ($2 = 'active' AND coalesce((
			SELECT o.state = 'failed' FROM sync_run o WHERE o.connection_id = c.id AND o.lane <> $3 ORDER BY o.queued_at DESC LIMIT 1), false))
			OR ($2 IN ('needs_reauth', 'degraded') AND EXISTS (
				SELECT FROM oauth_grant g JOIN sync_run r ON r.id = $4 WHERE g.id = c.grant_id AND g.consented_at > r.started_at))
		FROM connection c WHERE c.id = $1`, run.ConnectionID, r.Connection, run.Lane, run.ID).Scan(&skip)
	if err != nil || skip {
		return err
	}
	if r.Connection == StateActive {
		return working(ctx, tx, run.ConnectionID)
	}
	if r.Connection == StateThrottled {
		if _, err := tx.Exec(ctx, `UPDATE connection SET throttled_until = clock() + $2::interval WHERE id = $1`, run.ConnectionID, r.RetryIn); err != nil {
			return err
		}
	}
	return setConnectionState(ctx, tx, run.ConnectionID, r.Connection, cleanText(r.Reason))
}

// AddCounts adds to the counts of a run and returns the sum.
func (s *Store) AddCounts(ctx context.Context, run Run, c Counts) (Counts, error) {
	var sum Counts
	err := s.inTxErr(ctx, "counting", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		var err error
		sum, err = addCounts(ctx, tx, run.ID, c)
		return err
	})
	return sum, err
}

// addCounts is AddCounts in a transaction that holds the fence.
func addCounts(ctx context.Context, tx pgx.Tx, run uuid.UUID, c Counts) (Counts, error) {
	var sum Counts
	if err := tx.QueryRow(ctx, `SELECT counts FROM sync_run WHERE id = $1`, run).Scan(&sum); err != nil {
		return sum, err
	}
	c.addTo(&sum)
	_, err := tx.Exec(ctx, `UPDATE sync_run SET counts = $2 WHERE id = $1`, run, jsonOf(sum))
	return sum, err
}

// maxErrorText bounds what is stored of an error.
const maxErrorText = 2000

// cleanText keeps an error printable on one line.
func cleanText(s string) string {
	text := []rune(s)
	if len(text) > maxErrorText {
		text = text[:maxErrorText]
	}
	out := text[:0]
	for _, r := range text {
		if r == '\n' || r == '\r' || r == '\t' {
			r = ' '
		}
		if r >= ' ' && r != 0x7f && r != 0xfffd {
			out = append(out, r)
		}
	}
	return string(out)
}

// jsonOf encodes what cannot fail to encode.
func jsonOf(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		return []byte("null")
	}
	return b
}
