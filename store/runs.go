package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
)

// RunKind is what a run does.
type RunKind string

// The kinds of runs: all but RunPermissions belong to lane content. RunPush is
// no worker's: everybody who pushes writes under the one that is open.
const (
	RunSnapshot    RunKind = "snapshot"
	RunChanges     RunKind = "changes"
	RunReconcile   RunKind = "reconcile"
	RunPermissions RunKind = "permissions"
	RunPush        RunKind = "push"
)

// RunState is the state of a run.
type RunState string

// The states of a run; the first two are live.
const (
	RunQueued     RunState = "queued"
	RunRunning    RunState = "running"
	RunSucceeded  RunState = "succeeded"
	RunPartial    RunState = "partial"
	RunFailed     RunState = "failed"
	RunCancelled  RunState = "cancelled"
	RunSuperseded RunState = "superseded"
)

// Live reports whether a run in this state still has work to do.
func (s RunState) Live() bool { return s == RunQueued || s == RunRunning }

// Counts is what a run did, added up over its batches.
type Counts struct {
	Pages         int64 `json:"pages,omitempty"`
	Listed        int64 `json:"listed,omitempty"`
	Added         int64 `json:"added,omitempty"`
	Updated       int64 `json:"updated,omitempty"`
	Unchanged     int64 `json:"unchanged,omitempty"`
	Hidden        int64 `json:"hidden,omitempty"`
	Purged        int64 `json:"purged,omitempty"`
	Restored      int64 `json:"restored,omitempty"`
	Held          int64 `json:"held,omitempty"`
	ACLChanged    int64 `json:"acl_changed,omitempty"`
	ACLUnknown    int64 `json:"acl_unknown,omitempty"`
	Memberships   int64 `json:"memberships,omitempty"`
	Skipped       int64 `json:"skipped,omitempty"`
	Quarantined   int64 `json:"quarantined,omitempty"`
	Refused       int64 `json:"refused,omitempty"`
	Blocked       int64 `json:"blocked,omitempty"`
	Bytes         int64 `json:"bytes,omitempty"`
	ChunksWritten int64 `json:"chunks_written,omitempty"`
	ChunksDeleted int64 `json:"chunks_deleted,omitempty"`
	VectorsReused int64 `json:"vectors_reused,omitempty"`
	VectorsMade   int64 `json:"vectors_made,omitempty"`
	// Extra is what the source's connector counted beside.
	Extra map[string]int64 `json:"extra,omitempty"`
}

// Run is one attempt to advance a connection in a lane.
type Run struct {
	ID               uuid.UUID              `json:"id"`
	ConnectionID     uuid.UUID              `json:"connection_id"`
	Connection       string                 `json:"connection"`
	Lane             Lane                   `json:"lane"`
	Kind             RunKind                `json:"kind"`
	State            RunState               `json:"state"`
	Cause            string                 `json:"cause"`
	Fence            int64                  `json:"-"`
	Worker           string                 `json:"worker,omitempty"`
	HeartbeatAt      *time.Time             `json:"heartbeat_at,omitempty"`
	Attempt          int                    `json:"attempt"`
	Slices           int                    `json:"slices"`
	NextTryAt        *time.Time             `json:"next_try_at,omitempty"`
	CancelRequested  bool                   `json:"cancel_requested,omitempty"`
	ApproveDeletions bool                   `json:"approve_deletions,omitempty"`
	SelectionVersion int                    `json:"-"`
	ACLVersion       int64                  `json:"-"`
	Listing          int64                  `json:"-"`
	Cursor           connectors.Cursor      `json:"-"`
	FeedStart        connectors.Cursor      `json:"-"`
	Blocked          []connectors.Container `json:"blocked,omitempty"`
	Complete         bool                   `json:"complete"`
	Counts           Counts                 `json:"counts"`
	// Expected is how many items the run lists in all, where that is known.
	Expected   *int64     `json:"expected,omitempty"`
	ErrorClass string     `json:"error_class,omitempty"`
	Error      string     `json:"error,omitempty"`
	QueuedAt   time.Time  `json:"queued_at"`
	StartedAt  *time.Time `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	Guard      Guard      `json:"-"`
}

const runColumns = `r.id, r.connection_id, c.name, r.lane, r.kind, r.state, r.cause, r.fence, r.worker, r.heartbeat_at, r.attempt, r.slices,
	r.next_try_at, r.cancel_requested, r.approve_deletions, r.selection_version, r.acl_version, r.listing, r.cursor, r.feed_start, r.blocked, r.complete, r.counts, r.expected,
	r.error_class, r.error, r.queued_at, r.started_at, r.finished_at, r.guard`

// ErrFenced says that the run was taken over, cancelled or ended: whoever gets
// it stops writing at once.
var ErrFenced = errors.New("the run is no longer this worker's")

// RunRequest asks for a run.
type RunRequest struct {
	ConnectionID     uuid.UUID
	Lane             Lane
	Kind             RunKind
	Cause            string
	ApproveDeletions bool
	// Events are recorded in the transaction, whether or not a run was made.
	Events []audit.Event
}

// Requested is a run that was asked for. Made is false where it was live before.
type Requested struct {
	Run

	Made bool
}

// RequestRun is RequestRuns of one run.
func (s *Store) RequestRun(ctx context.Context, req RunRequest, then func(ctx context.Context, tx pgx.Tx, run Run) error) (run Run, made bool, err error) {
	list, err := s.RequestRuns(ctx, []RunRequest{req}, then)
	if err != nil {
		return Run{}, false, err
	}
	return list[0].Run, list[0].Made, nil
}

// RequestRuns makes a queued run for each request, or finds the live one of its
// lane: all of them and their events, or nothing. then runs in the same
// transaction for each run that was made; jobs enqueues its slice there.
func (s *Store) RequestRuns(ctx context.Context, reqs []RunRequest, then func(ctx context.Context, tx pgx.Tx, run Run) error) ([]Requested, error) {
	var list []Requested
	err := s.inTxErr(ctx, "requesting run", func(tx pgx.Tx) error {
		list = make([]Requested, 0, len(reqs))
		// The tick locks schedules before it makes their runs: so does this, or
		// the two would wait for each other.
		connections, lanes := make([]uuid.UUID, len(reqs)), make([]string, len(reqs))
		for i, req := range reqs {
			connections[i], lanes[i] = req.ConnectionID, string(req.Lane)
		}
		_, err := tx.Exec(ctx, `
			SELECT FROM schedule WHERE (connection_id, lane) IN (SELECT * FROM unnest($1::uuid[], $2::text[])) ORDER BY connection_id, lane FOR UPDATE`, connections, lanes)
		if err != nil {
			return fmt.Errorf("locking schedules: %w", err)
		}
		for _, req := range reqs {
			if err := recordAll(ctx, tx, req.ConnectionID.String(), req.Events); err != nil {
				return err
			}
			run, made, err := s.RequestRunTx(ctx, tx, req)
			if err == nil && made && then != nil {
				err = then(ctx, tx, run)
			}
			if err != nil {
				return err
			}
			list = append(list, Requested{run, made})
		}
		return nil
	})
	return list, err
}

// RequestRunTx is RequestRun inside the caller's transaction. A content run
// continues the listing of the lane's last run where that one stopped short. A
// live run is found without waiting for the batch that it may be writing.
func (s *Store) RequestRunTx(ctx context.Context, tx pgx.Tx, req RunRequest) (Run, bool, error) {
	id, err := liveRun(ctx, tx, req)
	if err == nil {
		run, err := readRun(ctx, tx, id)
		return run, false, err
	}
	if !errors.Is(err, pgx.ErrNoRows) {
		return Run{}, false, err
	}
	// The lock keeps DeleteConnection from missing a run that is being made.
	err = tx.QueryRow(ctx, `
		WITH c AS (SELECT id, selection_version FROM connection WHERE id = $1 AND state <> 'closing' FOR SHARE)
		INSERT INTO sync_run (connection_id, lane, kind, cause, approve_deletions, selection_version, waiting_since)
		SELECT c.id, $2, $3, $4, $5, c.selection_version, clock() FROM c
		ON CONFLICT (connection_id, lane) WHERE state IN ('queued', 'running') DO NOTHING
		RETURNING id`, req.ConnectionID, req.Lane, req.Kind, req.Cause, req.ApproveDeletions).Scan(&id)
	made := err == nil
	if errors.Is(err, pgx.ErrNoRows) {
		id, err = liveRun(ctx, tx, req)
		if errors.Is(err, pgx.ErrNoRows) {
			return Run{}, false, fmt.Errorf("connection %s: %w", req.ConnectionID, ErrNotFound)
		}
	}
	if err != nil {
		return Run{}, false, err
	}
	if made && req.Lane == Content {
		if err := continueListing(ctx, tx, []uuid.UUID{id}); err != nil {
			return Run{}, false, err
		}
	}
	run, err := readRun(ctx, tx, id)
	return run, made, err
}

// liveRun returns the live run of the lane, or pgx.ErrNoRows. The admin's
// approval is handed to it, which waits for a batch in flight.
func liveRun(ctx context.Context, tx pgx.Tx, req RunRequest) (uuid.UUID, error) {
	var id uuid.UUID
	if !req.ApproveDeletions {
		err := tx.QueryRow(ctx, `SELECT id FROM sync_run WHERE connection_id = $1 AND lane = $2 AND state IN ('queued', 'running')`, req.ConnectionID, req.Lane).Scan(&id)
		return id, err
	}
	if err := patient(ctx, tx); err != nil {
		return id, err
	}
	err := tx.QueryRow(ctx, `
		UPDATE sync_run SET approve_deletions = true
		WHERE connection_id = $1 AND lane = $2 AND state IN ('queued', 'running') RETURNING id`, req.ConnectionID, req.Lane).Scan(&id)
	return id, err
}

// continueListing hands the positions of unfinished listings to new content
// runs of the same kind and selection.
func continueListing(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		UPDATE sync_run n SET cursor = p.cursor, listing = p.listing, feed_start = p.feed_start, blocked = p.blocked
		FROM sync_run p
		WHERE n.id = ANY($1) AND p.id = (SELECT r.id FROM sync_run r WHERE r.connection_id = n.connection_id AND r.lane = 'content' AND r.id <> n.id
			ORDER BY r.queued_at DESC, r.acl_version DESC LIMIT 1)
		  AND n.kind = p.kind AND n.kind <> 'changes' AND p.selection_version = n.selection_version
		  AND p.state IN ('failed', 'cancelled') AND NOT p.complete AND p.cursor IS NOT NULL
		  AND p.error_class NOT IN ('cursor_expired', 'bug', 'invalid')`, ids)
	if err != nil {
		return fmt.Errorf("continuing listings: %w", err)
	}
	return nil
}

func readRun(ctx context.Context, q querier, id uuid.UUID) (Run, error) {
	rows, err := q.Query(ctx, `SELECT `+runColumns+` FROM sync_run r JOIN connection c ON c.id = r.connection_id WHERE r.id = $1`, id)
	if err != nil {
		return Run{}, fmt.Errorf("reading run: %w", err)
	}
	run, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Run])
	if errors.Is(err, pgx.ErrNoRows) {
		return run, fmt.Errorf("run %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return run, fmt.Errorf("reading run: %w", err)
	}
	return run, nil
}

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Run returns one run, or ErrNotFound.
func (s *Store) Run(ctx context.Context, id uuid.UUID) (Run, error) { return readRun(ctx, s.pool, id) }

// RunFilter selects runs; zero fields select all.
type RunFilter struct {
	Connection uuid.UUID
	Lane       Lane
	State      RunState
	// Live leaves out runs that have ended.
	Live bool
	// Before names a run: those that are older than it.
	Before uuid.UUID
	Limit  int
}

// Runs lists runs, newest first.
func (s *Store) Runs(ctx context.Context, f RunFilter) ([]Run, error) {
	if f.Limit <= 0 {
		f.Limit = 50
	}
	rows, err := s.pool.Query(ctx, `SELECT `+runColumns+` FROM sync_run r JOIN connection c ON c.id = r.connection_id
		WHERE ($1 = '00000000-0000-0000-0000-000000000000'::uuid OR r.connection_id = $1) AND ($2 = '' OR r.lane = $2) AND ($4 = '' OR r.state = $4)
		  AND (NOT $6 OR r.state IN ('queued', 'running'))
		  AND ($5 = '00000000-0000-0000-0000-000000000000'::uuid OR (r.queued_at, r.id) < (SELECT b.queued_at, b.id FROM sync_run b WHERE b.id = $5))
		ORDER BY r.queued_at DESC, r.id DESC LIMIT $3`, f.Connection, f.Lane, f.Limit, f.State, f.Before, f.Live)
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Run])
	if err != nil {
		return nil, fmt.Errorf("listing runs: %w", err)
	}
	return list, nil
}

// ClaimRun makes worker the only writer of a live run by raising its fence, and
// draws the version of the permissions that it is about to read. A run whose holder
// has shown a heartbeat within the last takeover, or changes just now, is refused
// with ErrConflict; one that ended is ErrFenced.
func (s *Store) ClaimRun(ctx context.Context, id uuid.UUID, worker string, takeover time.Duration) (Run, error) {
	run, err := s.claimRun(ctx, id, worker, takeover)
	if !errors.Is(err, ErrTimeout) {
		return run, err
	}
	if gone, evictErr := s.evictHolder(ctx, id, takeover); !gone {
		return run, errors.Join(err, evictErr)
	}
	return s.claimRun(ctx, id, worker, takeover)
}

func (s *Store) claimRun(ctx context.Context, id uuid.UUID, worker string, takeover time.Duration) (Run, error) {
	var run Run
	err := s.inTxErr(ctx, "claiming run", func(tx pgx.Tx) error {
		before, err := holderOf(ctx, tx, id)
		if err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE sync_run r SET samples = `+addSample+`, fence = fence + 1, state = 'running', worker = $2, heartbeat_at = clock(), slices = slices + 1,
				acl_version = nextval('acl_version'), started_at = coalesce(started_at, clock()), next_try_at = NULL
			WHERE id = $1 AND state IN ('queued', 'running') AND kind <> 'push' AND worker = $4 AND (worker = '' OR heartbeat_at < clock() - $3::interval)`, id, worker, takeover, before)
		if err != nil {
			return err
		}
		run, err = readRun(ctx, tx, id)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 1 {
			return noteClaim(ctx, tx, run, before)
		}
		if run.State.Live() {
			return fmt.Errorf("run %s is worker %s's: %w", id, run.Worker, ErrConflict)
		}
		return ErrFenced
	})
	return run, err
}

// Heartbeat shows that the holder of a fence lives. It returns ErrFenced when
// the run is somebody else's, has ended or is to be cancelled.
func (s *Store) Heartbeat(ctx context.Context, id uuid.UUID, fence int64) error {
	return s.inTxErr(ctx, "showing heartbeat", func(tx pgx.Tx) error {
		var cancel bool
		err := tx.QueryRow(ctx, `
			UPDATE sync_run r SET heartbeat_at = clock(), samples = `+addSample+` WHERE id = $1 AND fence = $2 AND state = 'running' RETURNING cancel_requested`, id, fence).Scan(&cancel)
		if errors.Is(err, pgx.ErrNoRows) || (err == nil && cancel) {
			return ErrFenced
		}
		return err
	})
}

// holdFence is the first statement of every write of a run.
func holdFence(ctx context.Context, tx pgx.Tx, id uuid.UUID, fence int64) error {
	tag, err := tx.Exec(ctx, `UPDATE sync_run SET heartbeat_at = clock() WHERE id = $1 AND fence = $2 AND state = 'running'`, id, fence)
	if err != nil {
		return fmt.Errorf("checking fence: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrFenced
	}
	return nil
}
