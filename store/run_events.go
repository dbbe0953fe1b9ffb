package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Levels of a run's events.
const (
	LevelInfo    = "info"
	LevelWarning = "warning"
	LevelError   = "error"
)

// Codes of a run's events. EventEnded is kept however full the log is.
const (
	EventSliceStarted  = "slice_started"
	EventHandedOver    = "handed_over"
	EventTakenOver     = "taken_over"
	EventRetry         = "retry"
	EventThrottled     = "throttled"
	EventCursorExpired = "cursor_expired"
	EventPageGuard     = "page_guard"
	EventSwept         = "swept"
	EventHeld          = "held"
	EventCancel        = "cancel_requested"
	EventEnded         = "ended"
	eventFull          = "log_full"
)

// maxRunEvents bounds the log of one run.
const maxRunEvents = 2000

// maxEventText bounds the message of an event, in code points.
const maxEventText = 500

// RunEvent is something that happened in a run, for people.
type RunEvent struct {
	ID      int64     `json:"id"`
	At      time.Time `json:"at"`
	Level   string    `json:"level"`
	Code    string    `json:"code"`
	Message string    `json:"message"`
}

// NoteRun writes an event into the log of a run. The message is made printable
// and cut; a full log says so once and takes no more than the run's end. A run
// that is gone has no log, which is no error.
func (s *Store) NoteRun(ctx context.Context, run uuid.UUID, level, code, message string) error {
	return noteRun(ctx, s.pool, run, level, code, message)
}

// NoteRunTx is NoteRun in the transaction that records the fact.
func (s *Store) NoteRunTx(ctx context.Context, tx pgx.Tx, run uuid.UUID, level, code, message string) error {
	return noteRun(ctx, tx, run, level, code, message)
}

func noteRun(ctx context.Context, q querier, run uuid.UUID, level, code, message string) error {
	text := []rune(cleanText(message))
	if len(text) > maxEventText {
		text = append(text[:maxEventText-1], '…')
	}
	var id int64
	err := q.QueryRow(ctx, `
		INSERT INTO run_event (run_id, level, code, message)
		SELECT r.id, CASE WHEN full_now THEN 'warning' ELSE $2 END, CASE WHEN full_now THEN $6 ELSE $3 END,
			CASE WHEN full_now THEN 'further events of this run are left out' ELSE $4 END
		FROM sync_run r
		CROSS JOIN LATERAL (SELECT count(*) AS n FROM run_event WHERE run_id = r.id) e
		CROSS JOIN LATERAL (SELECT e.n = $5 AND $3 <> $7 AS full_now) f
		WHERE r.id = $1 AND (e.n <= $5 OR $3 = $7) RETURNING id`,
		run, level, code, string(text), maxRunEvents-1, eventFull, EventEnded).Scan(&id)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("writing run log: %w", err)
	}
	return nil
}

// RunEvents returns at most limit events of a run after the event with id
// after, oldest first.
func (s *Store) RunEvents(ctx context.Context, run uuid.UUID, after int64, limit int) ([]RunEvent, error) {
	rows, err := s.pool.Query(ctx, `SELECT id, at, level, code, message FROM run_event WHERE run_id = $1 AND id > $2 ORDER BY id LIMIT $3`, run, after, limit)
	if err != nil {
		return nil, translate("reading run log", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RunEvent])
	return list, translate("reading run log", err)
}
