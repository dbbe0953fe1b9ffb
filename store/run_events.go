package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
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
	return runEvents(rows, err)
}

// NewestRunEvents returns the newest events of a run, at most limit, the oldest
// of them first.
func (s *Store) NewestRunEvents(ctx context.Context, run uuid.UUID, limit int) ([]RunEvent, error) {
	rows, err := s.pool.Query(ctx, `SELECT * FROM (
		SELECT id, at, level, code, message FROM run_event WHERE run_id = $1 ORDER BY id DESC LIMIT $2) x ORDER BY id`, run, limit)
	return runEvents(rows, err)
}

func runEvents(rows pgx.Rows, err error) ([]RunEvent, error) {
	if err != nil {
		return nil, translate("reading run log", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[RunEvent])
	return list, translate("reading run log", err)
}

// holderOf returns whose a run is, "" where it is nobody's.
func holderOf(ctx context.Context, tx pgx.Tx, run uuid.UUID) (string, error) {
	var worker string
	err := tx.QueryRow(ctx, `SELECT worker FROM sync_run WHERE id = $1`, run).Scan(&worker)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("run %s: %w", run, ErrNotFound)
	}
	return worker, err
}

// noteClaim writes down who works on a run now, and from whom it was taken.
func noteClaim(ctx context.Context, tx pgx.Tx, run Run, before string) error {
	if before != "" {
		return noteRun(ctx, tx, run.ID, LevelWarning, EventTakenOver, fmt.Sprintf("%s showed no heartbeat: %s goes on with slice %d", before, run.Worker, run.Slices))
	}
	return noteRun(ctx, tx, run.ID, LevelInfo, EventSliceStarted, fmt.Sprintf("slice %d of a %s run at %s", run.Slices, run.Kind, run.Worker))
}

// noteRelease writes down how a slice ended.
func noteRelease(ctx context.Context, tx pgx.Tx, run Run, r Release) error {
	after, err := readRun(ctx, tx, run.ID)
	if err != nil {
		return err
	}
	did := after.Counts.did()
	wait := r.RetryIn.Round(time.Second)
	level, code, text := LevelInfo, EventEnded, fmt.Sprintf("%s: %s", r.State, did)
	switch {
	case r.State == RunQueued && r.Err == nil:
		code, text = EventHandedOver, fmt.Sprintf("slice %d ended with %s: another goes on", run.Slices, did)
	case r.State == RunQueued && r.Class == connectors.RateLimited:
		level, code, text = LevelWarning, EventThrottled, fmt.Sprintf("the source asks to wait %s: %s", wait, after.Error)
	case r.State == RunQueued:
		level, code, text = LevelWarning, EventRetry, fmt.Sprintf("%s, trying again in %s: %s", r.Class, wait, after.Error)
	case r.State == RunFailed:
		level = LevelError
	case r.State != RunSucceeded:
		level = LevelWarning
	}
	if r.State == RunSuperseded && r.Class == connectors.CursorExpired {
		err = noteRun(ctx, tx, run.ID, LevelWarning, EventCursorExpired, "the source no longer knows the position of its change feed: a listing of everything follows, and nothing is deleted for it")
	}
	if err == nil && code == EventEnded && after.Error != "" {
		text += ": " + after.Error
	}
	return errors.Join(err, noteRun(ctx, tx, run.ID, level, code, text))
}

// noteEnd writes down how a run ended that no worker released.
func noteEnd(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	run, err := readRun(ctx, tx, id)
	if err != nil {
		return err
	}
	level, text := LevelInfo, fmt.Sprintf("%s: %s", run.State, run.Counts.did())
	if run.State != RunSucceeded {
		level = LevelWarning
	}
	if run.Error != "" {
		text += ": " + run.Error
	}
	return noteRun(ctx, tx, id, level, EventEnded, text)
}

// did says in short what a run did.
func (c Counts) did() string {
	return fmt.Sprintf("%d listed, +%d ~%d -%d !%d", c.Listed, c.Added+c.Restored, c.Updated, c.Hidden+c.Purged, c.Quarantined)
}

// noteSweep writes down what a sweep is about to hide and to purge, or why that waits.
func noteSweep(ctx context.Context, tx pgx.Tx, run Run, plan sweepPlan, approved bool) error {
	switch {
	case plan.reason != "" && approved:
		return noteRun(ctx, tx, run.ID, LevelInfo, EventSwept, fmt.Sprintf("%d deletions of %d documents are approved (%s): they are purged now", len(plan.held), plan.total, plan.reason))
	case plan.reason != "":
		return noteRun(ctx, tx, run.ID, LevelWarning, EventHeld, fmt.Sprintf("%d deletions of %d documents are held (%s): an admin approves or rejects them", len(plan.held), plan.total, plan.reason))
	case len(plan.hide)+len(plan.purge) > 0:
		return noteRun(ctx, tx, run.ID, LevelInfo, EventSwept, fmt.Sprintf("the listing lacks %d documents that are hidden now; %d that are gone for long enough are purged", len(plan.hide), len(plan.purge)))
	default:
		return nil
	}
}
