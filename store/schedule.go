package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Due is a lane whose time has come.
type Due struct {
	ConnectionID uuid.UUID
	Lane         Lane
	Source       string
	// FirstSync is true until a content run has been complete.
	FirstSync bool
	HasFeed   bool
	// Reconcile is true when the change feed is to be proven.
	Reconcile bool
}

// Started is a run that was made because its time had come.
type Started struct {
	ID           uuid.UUID
	ConnectionID uuid.UUID
	Lane         Lane
	Kind         RunKind
}

// CauseSchedule is the cause of a run that nobody asked for.
const CauseSchedule = "schedule"

// claimed is a due schedule with what its next time is reckoned from.
type claimed struct {
	Due
	DueNow         bool
	Every          time.Duration
	Cron           string
	ReconcileEvery time.Duration
	ReconcileCron  string
	Zone           string
	Quiet          []byte
	Now            time.Time
}

// ClaimDue takes up to limit due schedules, moves them to their next times, and
// makes a run of the kind that kindOf chooses for each lane that has no live one;
// "" makes none. Content whose quiet hours hold is put off to their end. then
// gets the runs in the same transaction. Times that were missed are not made up
// for: one run serves for all of them.
func (s *Store) ClaimDue(ctx context.Context, limit int, kindOf func(Due) RunKind, then func(ctx context.Context, tx pgx.Tx, runs []Started) error) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "claiming due schedules", func(tx pgx.Tx) error {
		// A connection that somebody is changing is for the next look.
		rows, err := tx.Query(ctx, `
			SELECT s.connection_id, s.lane, c.source, c.content_as_of IS NULL, c.feed_cursor IS NOT NULL,
				s.lane = 'content' AND c.feed_cursor IS NOT NULL AND s.reconcile_at <= clock(), s.next_run_at <= clock(),
				s.every, s.cron, coalesce(s.reconcile_every, interval '7 days'), s.reconcile_cron, c.time_zone, c.quiet_hours, clock()
			FROM schedule s JOIN connection c ON c.id = s.connection_id
			WHERE c.state NOT IN ('paused', 'closing', 'needs_reauth')
			  AND (s.next_run_at <= (SELECT clock()) OR (s.reconcile_at <= (SELECT clock()) AND s.lane = 'content' AND c.feed_cursor IS NOT NULL))
			ORDER BY s.next_run_at LIMIT $1 FOR UPDATE OF s SKIP LOCKED FOR SHARE OF c SKIP LOCKED`, limit)
		if err != nil {
			return err
		}
		list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (claimed, error) {
			var d claimed
			err := row.Scan(&d.ConnectionID, &d.Lane, &d.Source, &d.FirstSync, &d.HasFeed, &d.Reconcile, &d.DueNow,
				&d.Every, &d.Cron, &d.ReconcileEvery, &d.ReconcileCron, &d.Zone, &d.Quiet, &d.Now)
			return d, err
		})
		if err != nil || len(list) == 0 {
			return err
		}
		n = len(list)
		return s.startDue(ctx, tx, list, kindOf, then)
	})
	return n, err
}

// startDue makes the runs of what was claimed, and moves the schedules.
func (s *Store) startDue(ctx context.Context, tx pgx.Tx, list []claimed, kindOf func(Due) RunKind, then func(ctx context.Context, tx pgx.Tx, runs []Started) error) error {
	next, loud := newTimes(len(list)), make([]claimed, 0, len(list))
	for _, d := range list {
		if next.add(d) {
			loud = append(loud, d)
		}
	}
	runs, err := startRuns(ctx, tx, loud, kindOf)
	if err != nil {
		return err
	}
	next.started(runs)
	_, err = tx.Exec(ctx, `
		UPDATE schedule s SET next_run_at = u.next, reconcile_at = coalesce(u.reconcile, s.reconcile_at)
		FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[]) u(connection_id, lane, next, reconcile)
		WHERE s.connection_id = u.connection_id AND s.lane = u.lane`, next.connections, next.lanes, next.runs, next.reconciles)
	if err != nil {
		return fmt.Errorf("moving schedules: %w", err)
	}
	if then == nil || len(runs) == 0 {
		return nil
	}
	return then(ctx, tx, runs)
}

// startRuns makes a run for each lane that has no live one. A live run is found
// without waiting for the batch that it may be writing.
func startRuns(ctx context.Context, tx pgx.Tx, list []claimed, kindOf func(Due) RunKind) ([]Started, error) {
	var connections []uuid.UUID
	var lanes, kinds []string
	for _, d := range list {
		if kind := kindOf(d.Due); kind != "" {
			connections, lanes, kinds = append(connections, d.ConnectionID), append(lanes, string(d.Lane)), append(kinds, string(kind))
		}
	}
	if len(connections) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO sync_run (connection_id, lane, kind, cause, selection_version, waiting_since)
		SELECT c.id, u.lane, u.kind, $4, c.selection_version, clock()
		FROM unnest($1::uuid[], $2::text[], $3::text[]) u(connection_id, lane, kind) JOIN connection c ON c.id = u.connection_id
		WHERE NOT EXISTS (SELECT FROM sync_run r WHERE r.connection_id = c.id AND r.lane = u.lane AND r.state IN ('queued', 'running'))
		ON CONFLICT (connection_id, lane) WHERE state IN ('queued', 'running') DO NOTHING
		RETURNING id, connection_id, lane, kind`, connections, lanes, kinds, CauseSchedule)
	if err != nil {
		return nil, fmt.Errorf("making runs: %w", err)
	}
	runs, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Started])
	if err != nil {
		return nil, fmt.Errorf("making runs: %w", err)
	}
	var content []uuid.UUID
	for _, r := range runs {
		if r.Lane == Content {
			content = append(content, r.ID)
		}
	}
	return runs, continueListing(ctx, tx, content)
}

// times are the next times of schedules, column by column.
type times struct {
	connections []uuid.UUID
	lanes       []string
	runs        []time.Time
	// reconciles holds nil where nothing changes.
	reconciles []*time.Time
	// proves holds the place of each lane whose reconcile was due, and when it
	// is due again if it could not begin.
	proves map[uuid.UUID]int
	again  []time.Time
}

func newTimes(n int) *times {
	return &times{
		connections: make([]uuid.UUID, 0, n), lanes: make([]string, 0, n), runs: make([]time.Time, 0, n), reconciles: make([]*time.Time, 0, n),
		proves: map[uuid.UUID]int{},
	}
}

// reconcileAgain is how long a reconcile waits for a content run that is live.
const reconcileAgain = time.Minute

// add reckons the next times of a schedule, and reports whether its run may
// begin now.
func (t *times) add(d claimed) bool {
	next, reconcile := d.Now.Add(d.Every), d.Now.Add(d.ReconcileEvery)
	begins := true
	// A timetable that this binary cannot read goes by its interval.
	if p, err := d.plans(); err == nil {
		lane := p.content
		if d.Lane == Permissions {
			lane = p.permissions
		}
		next, reconcile = lane.Next(d.Now), p.reconcile.Next(d.Now)
		if end, quiet := p.quiet.Until(d.Now); quiet && d.Lane == Content {
			next, begins = end, false
		}
	}
	t.connections, t.lanes, t.runs = append(t.connections, d.ConnectionID), append(t.lanes, string(d.Lane)), append(t.runs, next)
	var at *time.Time
	switch {
	case d.Reconcile && !begins:
		at = &next
	case d.Reconcile:
		at = &reconcile
		t.proves[d.ConnectionID] = len(t.reconciles)
	}
	t.reconciles, t.again = append(t.reconciles, at), append(t.again, d.Now.Add(reconcileAgain))
	return begins
}

// started puts off the reconciles that found another run of their lane.
func (t *times) started(runs []Started) {
	for _, r := range runs {
		if r.Lane == Content {
			delete(t.proves, r.ConnectionID)
		}
	}
	for _, i := range t.proves {
		t.reconciles[i] = &t.again[i]
	}
}

// plans reads the timetable of what was claimed.
func (d claimed) plans() (plans, error) {
	t := DefaultTimetable()
	t.TimeZone, t.ReconcileEvery, t.ReconcileCron = d.Zone, d.ReconcileEvery, d.ReconcileCron
	if d.Lane == Permissions {
		t.PermissionsEvery, t.PermissionsCron = d.Every, d.Cron
	} else {
		t.ContentEvery, t.ContentCron = d.Every, d.Cron
	}
	if err := json.Unmarshal(d.Quiet, &t.Quiet); err != nil {
		return plans{}, fmt.Errorf("reading quiet hours: %w", err)
	}
	return t.plans(d.ConnectionID)
}

// PostponeTx moves a lane's next time on as if it had come, because a run of it
// was just asked for.
func (s *Store) PostponeTx(ctx context.Context, tx pgx.Tx, connection uuid.UUID, lane Lane) error {
	t, now, err := readTimetable(ctx, tx, connection)
	if err != nil {
		return err
	}
	next := now.Add(DefaultContentEvery)
	if p, err := t.plans(connection); err == nil {
		plan := p.content
		if lane == Permissions {
			plan = p.permissions
		}
		next = plan.Next(now)
	}
	if _, err := tx.Exec(ctx, `UPDATE schedule SET next_run_at = $3 WHERE connection_id = $1 AND lane = $2`, connection, lane, next); err != nil {
		return fmt.Errorf("postponing schedule: %w", err)
	}
	return nil
}

// PostponeReconcileTx moves the next reconcile of a connection a whole interval
// on where run was a listing that came to the source's own end. The caller holds
// the schedule before the run, as ReleaseRun does.
func (s *Store) PostponeReconcileTx(ctx context.Context, tx pgx.Tx, run Run) error {
	t, now, err := readTimetable(ctx, tx, run.ConnectionID)
	if err != nil {
		return err
	}
	next := now.Add(DefaultReconcileEvery)
	if p, err := t.plans(run.ConnectionID); err == nil {
		next = p.reconcile.Next(now)
	}
	_, err = tx.Exec(ctx, `
		UPDATE schedule s SET reconcile_at = CASE r.blocked WHEN '[]' THEN $3 ELSE least($3, clock() + interval '1 day') END
		FROM sync_run r WHERE s.connection_id = $1 AND s.lane = 'content' AND r.id = $2 AND r.complete AND r.kind IN ('snapshot', 'reconcile')`, run.ConnectionID, run.ID, next)
	if err != nil {
		return fmt.Errorf("postponing reconcile: %w", err)
	}
	return nil
}

// QuietUntil returns the end of the quiet hours of a connection that hold, or
// the beginning of the next ones; both are zero where there are none.
func (s *Store) QuietUntil(ctx context.Context, connection uuid.UUID) (now, until, begins time.Time, err error) { //nolint:nonamedreturns // the names say which is which
	t, now, err := readTimetable(ctx, s.pool, connection)
	if err != nil {
		return now, until, begins, err
	}
	p, err := t.plans(connection)
	if err != nil {
		return now, until, begins, nil //nolint:nilerr // a timetable that cannot be read has no quiet hours
	}
	if end, quiet := p.quiet.Until(now); quiet {
		return now, end, now, nil
	}
	return now, until, p.quiet.Begins(now), nil
}
