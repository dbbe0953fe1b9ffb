package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/internal/timetable"
)

// Schedule is when a lane runs.
type Schedule struct {
	Lane      Lane
	Every     time.Duration
	NextRunAt time.Time
	// Cron, where it is not "", takes the place of Every.
	Cron string
}

// DefaultReconcileEvery is how often a change feed is proven by a complete
// listing.
const DefaultReconcileEvery = 7 * 24 * time.Hour

// DefaultTimeZone is where cron expressions and quiet hours of a new connection
// are read.
const DefaultTimeZone = "UTC"

// QuietHours is a span of the day in which no content run begins.
type QuietHours = timetable.QuietHours

// Timetable is when the lanes of a connection run. A cron expression takes the
// place of the interval beside it; where both are empty the default holds.
type Timetable struct {
	ContentEvery     time.Duration
	ContentCron      string
	PermissionsEvery time.Duration
	PermissionsCron  string
	// A reconcile is a complete listing that proves the change feed; a source
	// without a feed has none, because each of its runs is one.
	ReconcileEvery time.Duration
	ReconcileCron  string
	TimeZone       string
	// Quiet holds content runs back, and never permissions.
	Quiet []QuietHours

	// The next times are read; writing them changes nothing. ReconcileNext is
	// nil where no reconcile will be due.
	ContentNext     time.Time
	PermissionsNext time.Time
	ReconcileNext   *time.Time
	// QuietUntil is the end of the quiet hours that hold, or nil.
	QuietUntil *time.Time
}

// DefaultTimetable is the timetable of a new connection.
func DefaultTimetable() Timetable {
	return Timetable{
		ContentEvery: DefaultContentEvery, PermissionsEvery: DefaultPermissionsEvery, ReconcileEvery: DefaultReconcileEvery, TimeZone: DefaultTimeZone,
	}
}

// plans is a timetable that was checked.
type plans struct {
	content, permissions, reconcile timetable.Plan
	quiet                           timetable.Quiet
}

// plans checks the timetable of a connection. Its errors name the field.
func (t Timetable) plans(connection uuid.UUID) (plans, error) {
	var p plans
	zone, err := timetable.Zone(t.TimeZone)
	if err != nil {
		return p, &InputError{Field: "time_zone", Problem: err.Error()}
	}
	if p.quiet, err = timetable.NewQuiet(t.Quiet, zone); err != nil {
		return p, &InputError{Field: "quiet", Problem: err.Error()}
	}
	for _, lane := range []struct {
		field string
		every time.Duration
		cron  string
		quiet timetable.Quiet
		into  *timetable.Plan
	}{
		{"changes", t.ContentEvery, t.ContentCron, p.quiet, &p.content},
		{"permissions", t.PermissionsEvery, t.PermissionsCron, timetable.Quiet{}, &p.permissions},
		{"reconcile", t.ReconcileEvery, t.ReconcileCron, p.quiet, &p.reconcile},
	} {
		*lane.into, err = timetable.New(timetable.Input{Every: lane.every, Cron: lane.cron, Quiet: lane.quiet, Zone: zone, Key: connection.String() + lane.field})
		if err != nil {
			return p, &InputError{Field: lane.field, Problem: err.Error()}
		}
	}
	return p, nil
}

// withDefaults fills what is empty.
func (t Timetable) withDefaults() Timetable {
	def := DefaultTimetable()
	t.ContentEvery = everyOf(t.ContentCron, t.ContentEvery, def.ContentEvery)
	t.PermissionsEvery = everyOf(t.PermissionsCron, t.PermissionsEvery, def.PermissionsEvery)
	t.ReconcileEvery = everyOf(t.ReconcileCron, t.ReconcileEvery, def.ReconcileEvery)
	if t.TimeZone == "" {
		t.TimeZone = def.TimeZone
	}
	return t
}

// everyOf returns the interval that holds beside a cron expression: none.
func everyOf(cron string, every, def time.Duration) time.Duration {
	if cron != "" {
		return 0
	}
	return orDefault(every, def)
}

const timetableColumns = `k.every, k.cron, p.every, p.cron, coalesce(k.reconcile_every, interval '7 days'), k.reconcile_cron, c.time_zone, c.quiet_hours,
	k.next_run_at, p.next_run_at, CASE WHEN c.feed_cursor IS NOT NULL THEN coalesce(k.reconcile_at, k.next_run_at) END, clock()`

// Timetable returns when the lanes of a connection run.
func (s *Store) Timetable(ctx context.Context, connection uuid.UUID) (Timetable, error) {
	t, _, err := readTimetable(ctx, s.pool, connection)
	return t, err
}

func readTimetable(ctx context.Context, q querier, connection uuid.UUID) (Timetable, time.Time, error) {
	var t Timetable
	var quiet []byte
	var now time.Time
	err := q.QueryRow(ctx, `SELECT `+timetableColumns+`
		FROM connection c JOIN schedule k ON k.connection_id = c.id AND k.lane = 'content' JOIN schedule p ON p.connection_id = c.id AND p.lane = 'permissions'
		WHERE c.id = $1`, connection).Scan(&t.ContentEvery, &t.ContentCron, &t.PermissionsEvery, &t.PermissionsCron, &t.ReconcileEvery, &t.ReconcileCron,
		&t.TimeZone, &quiet, &t.ContentNext, &t.PermissionsNext, &t.ReconcileNext, &now)
	if errors.Is(err, pgx.ErrNoRows) {
		return t, now, fmt.Errorf("connection %s: %w", connection, ErrNotFound)
	}
	if err == nil {
		err = json.Unmarshal(quiet, &t.Quiet)
	}
	if err != nil {
		return t, now, fmt.Errorf("reading timetable: %w", err)
	}
	if p, err := t.plans(connection); err == nil {
		if end, is := p.quiet.Until(now); is {
			t.QuietUntil = &end
		}
	}
	t.ContentEvery = everyOf(t.ContentCron, t.ContentEvery, 0)
	t.PermissionsEvery = everyOf(t.PermissionsCron, t.PermissionsEvery, 0)
	t.ReconcileEvery = everyOf(t.ReconcileCron, t.ReconcileEvery, 0)
	return t, now, nil
}

// SetTimetable replaces when the lanes of a connection run, and records events
// with it. What is empty becomes the default. The next time of a lane whose
// rhythm, zone or quiet hours changed is reckoned anew from this moment.
func (s *Store) SetTimetable(ctx context.Context, connection uuid.UUID, t Timetable, events ...audit.Event) error {
	t = t.withDefaults()
	p, err := t.plans(connection)
	if err != nil {
		return err
	}
	return s.inTxErr(ctx, "setting timetable", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM schedule WHERE connection_id = $1 ORDER BY lane FOR UPDATE`, connection); err != nil {
			return err
		}
		was, now, err := readTimetable(ctx, tx, connection)
		if err != nil {
			return err
		}
		if err := recordAll(ctx, tx, connection.String(), events); err != nil {
			return err
		}
		quiet := t.Quiet
		if quiet == nil {
			quiet = []QuietHours{}
		}
		if _, err := tx.Exec(ctx, `UPDATE connection SET time_zone = $2, quiet_hours = $3, updated_at = clock() WHERE id = $1`, connection, t.TimeZone, jsonOf(quiet)); err != nil {
			return err
		}
		moved := was.TimeZone != t.TimeZone || string(jsonOf(was.Quiet)) != string(jsonOf(t.Quiet))
		next := func(same bool, at time.Time, plan timetable.Plan) time.Time {
			if same && !moved {
				return at
			}
			return plan.Next(now)
		}
		_, err = tx.Exec(ctx, `
			UPDATE schedule SET every = $2, cron = $3, next_run_at = $4, reconcile_every = $5, reconcile_cron = $6,
				reconcile_at = CASE WHEN $8 AND reconcile_at IS NOT NULL THEN reconcile_at ELSE $7 END
			WHERE connection_id = $1 AND lane = 'content'`,
			connection, p.content.Interval(), t.ContentCron, next(was.ContentEvery == t.ContentEvery && was.ContentCron == t.ContentCron, was.ContentNext, p.content),
			p.reconcile.Interval(), t.ReconcileCron, p.reconcile.Next(now), !moved && was.ReconcileEvery == t.ReconcileEvery && was.ReconcileCron == t.ReconcileCron)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE schedule SET every = $2, cron = $3, next_run_at = $4 WHERE connection_id = $1 AND lane = 'permissions'`,
			connection, p.permissions.Interval(), t.PermissionsCron,
			next(was.PermissionsEvery == t.PermissionsEvery && was.PermissionsCron == t.PermissionsCron, was.PermissionsNext, p.permissions))
		return err
	})
}

// Schedules returns the schedules of a connection.
func (s *Store) Schedules(ctx context.Context, id uuid.UUID) ([]Schedule, error) {
	rows, err := s.pool.Query(ctx, `SELECT lane, every, next_run_at, cron FROM schedule WHERE connection_id = $1 ORDER BY lane`, id)
	if err != nil {
		return nil, fmt.Errorf("reading schedules: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Schedule])
	if err != nil {
		return nil, fmt.Errorf("reading schedules: %w", err)
	}
	return list, nil
}
