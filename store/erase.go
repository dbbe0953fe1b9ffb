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
)

// EraseScope says how much is erased.
type EraseScope string

// The scopes of erasures.
const (
	EraseDocument   EraseScope = "document"
	EraseSelection  EraseScope = "selection"
	EraseConnection EraseScope = "connection"
)

// EraseState is the state of an erasure.
type EraseState string

// The states of an erasure; the first three are open.
const (
	EraseQueued    EraseState = "queued"
	EraseErasing   EraseState = "erasing"
	EraseVerifying EraseState = "verifying"
	EraseDone      EraseState = "done"
	EraseFailed    EraseState = "failed"
)

// Open reports whether an erasure in this state still has work to do.
func (s EraseState) Open() bool {
	return s == EraseQueued || s == EraseErasing || s == EraseVerifying
}

// EraseRequest says what to erase of a connection.
type EraseRequest struct {
	Connection uuid.UUID
	Scope      EraseScope
	// Documents are ids of documents or of items at the source, for scope
	// document.
	Documents []string
	// Containers are ids of containers at the source, and Paths patterns as of a
	// selection, for scope selection: what lies in one of them or matches one.
	Containers []string
	Paths      []string
	// AllowReturn lets the next listing bring back what was erased. Without it
	// the items are excluded.
	AllowReturn bool
	// Then runs in the transaction of the request; jobs enqueues the work there.
	// runs are the live ones, which have lost their worker.
	Then func(ctx context.Context, tx pgx.Tx, e Erasure, runs []Run) error
}

// EraseTarget is what an erasure is about, without text of the source.
type EraseTarget struct {
	Documents   int64 `json:"documents,omitempty"`
	Items       int64 `json:"items,omitempty"` // listed and never stored
	Containers  int   `json:"containers,omitempty"`
	Patterns    int   `json:"patterns,omitempty"`
	AllowReturn bool  `json:"allow_return,omitempty"`
	// Realm is where its people and groups are.
	Realm *int64 `json:"realm,omitempty"`
	// Grant is what the connection used. Shared is true where others use it.
	Grant  *uuid.UUID `json:"grant,omitempty"`
	Shared bool       `json:"shared,omitempty"`
}

// Erasure is an erasure that was asked for, and how far it is.
type Erasure struct {
	ID           uuid.UUID        `json:"id"`
	ConnectionID uuid.UUID        `json:"connection_id"`
	Connection   string           `json:"connection"`
	Source       string           `json:"source"`
	Scope        EraseScope       `json:"scope"`
	Target       EraseTarget      `json:"target"`
	State        EraseState       `json:"state"`
	Fence        int64            `json:"-"`
	Worker       string           `json:"-"`
	RequestedBy  string           `json:"requested_by"`
	RequestedAt  time.Time        `json:"requested_at"`
	StartedAt    *time.Time       `json:"started_at"`
	HeartbeatAt  *time.Time       `json:"-"`
	FinishedAt   *time.Time       `json:"finished_at"`
	Removed      map[string]int64 `json:"removed"`
	Error        string           `json:"error,omitempty"`
	Receipt      json.RawMessage  `json:"receipt,omitempty"`
	// Hits is how much of it a look through every table found afterwards; null before.
	Hits *int64 `json:"hits"`
}

const erasureColumns = `id, connection_id, connection, source, scope, target, state, fence, worker, requested_by, requested_at,
	started_at, heartbeat_at, finished_at, removed, error, receipt, (receipt->>'hits')::bigint`

// RequestErasure makes an erasure. What it is about is hidden, and cannot be
// written again, when it returns; the rest is done by Erase. For a connection
// whose erasure is under way that one is returned. Nothing that matches is
// ErrNotFound.
func (s *Store) RequestErasure(ctx context.Context, req EraseRequest, by string, events ...audit.Event) (Erasure, error) {
	var out Erasure
	err := s.inTxErr(ctx, "requesting erasure", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		var err error
		switch req.Scope {
		case EraseConnection:
			out, err = s.requestConnection(ctx, tx, req, by, events)
		case EraseDocument, EraseSelection:
			out, err = s.requestItems(ctx, tx, req, by, events)
		default:
			err = &InputError{Field: "scope", Problem: "must be document, selection or connection"}
		}
		return err
	})
	return out, err
}

// insertErasure stores an erasure, tells the events of it, and calls req.Then.
func insertErasure(ctx context.Context, tx pgx.Tx, req EraseRequest, e Erasure, runs []Run, events []audit.Event) (Erasure, error) {
	rows, err := tx.Query(ctx, `
		INSERT INTO erasure (id, connection_id, connection, source, scope, target, requested_by) VALUES ($1, $2, $3, $4, $5, $6, $7)
		RETURNING `+erasureColumns, e.ID, e.ConnectionID, e.Connection, e.Source, e.Scope, jsonOf(e.Target), e.RequestedBy)
	if err != nil {
		return e, fmt.Errorf("writing erasure: %w", err)
	}
	if e, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Erasure]); err != nil {
		return e, fmt.Errorf("writing erasure: %w", err)
	}
	if err := recordAll(ctx, tx, e.ID.String(), events); err != nil || req.Then == nil {
		return e, err
	}
	return e, req.Then(ctx, tx, e, runs)
}

// interrupt takes the live runs of a connection away from their workers, whose
// writes are refused from then on, and lets them go on elsewhere. It waits for
// the batches in flight. What is pushed comes in runs of its own, which see the
// exclusions.
func interrupt(ctx context.Context, tx pgx.Tx, connection uuid.UUID) ([]Run, error) {
	// Those that wait are locked as well: none begins a batch before this commits.
	// Whoever holds documents may still write down what a run did with them.
	if _, err := tx.Exec(ctx, `SELECT FROM sync_run WHERE connection_id = $1 AND state IN ('queued', 'running') ORDER BY id FOR NO KEY UPDATE`, connection); err != nil {
		return nil, fmt.Errorf("locking runs: %w", err)
	}
	rows, err := tx.Query(ctx, `
		UPDATE sync_run SET fence = fence + 1, worker = '', state = 'queued', heartbeat_at = clock()
		WHERE connection_id = $1 AND state = 'running' AND kind <> 'push' RETURNING id`, connection)
	if err != nil {
		return nil, fmt.Errorf("interrupting runs: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return nil, fmt.Errorf("interrupting runs: %w", err)
	}
	runs := make([]Run, len(ids))
	for i, id := range ids {
		if runs[i], err = readRun(ctx, tx, id); err != nil {
			return nil, err
		}
	}
	return runs, nil
}

// requestConnection closes a connection: it is invisible, its runs are over, it
// gets no other, and its grant is left.
func (s *Store) requestConnection(ctx context.Context, tx pgx.Tx, req EraseRequest, by string, events []audit.Event) (Erasure, error) {
	open, err := erasureWhere(ctx, tx, `connection_id = $1 AND scope = 'connection' AND state IN ('queued', 'erasing', 'verifying')`, req.Connection)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return open, err
	}
	e := Erasure{ID: uuid.New(), ConnectionID: req.Connection, Scope: req.Scope, RequestedBy: by}
	err = tx.QueryRow(ctx, `SELECT name, source, realm_id, grant_id FROM connection WHERE id = $1`, req.Connection).Scan(&e.Connection, &e.Source, &e.Target.Realm, &e.Target.Grant)
	if errors.Is(err, pgx.ErrNoRows) {
		return e, fmt.Errorf("connection %s: %w", req.Connection, ErrNotFound)
	}
	if err != nil {
		return e, fmt.Errorf("reading connection: %w", err)
	}
	left, err := closeConnection(ctx, tx, req.Connection, e.Target.Grant, "being erased")
	if err != nil {
		return e, err
	}
	e.Target.Shared = len(left.Others) > 0
	if err := tx.QueryRow(ctx, `SELECT count(*) FROM document WHERE connection_id = $1`, req.Connection).Scan(&e.Target.Documents); err != nil {
		return e, fmt.Errorf("counting documents: %w", err)
	}
	return insertErasure(ctx, tx, req, e, nil, events)
}

// Erasure returns one erasure, or ErrNotFound.
func (s *Store) Erasure(ctx context.Context, id uuid.UUID) (Erasure, error) {
	e, err := erasureWhere(ctx, s.pool, `id = $1`, id)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("erasure %s: %w", id, ErrNotFound)
	}
	return e, err
}

// ErasureOf returns the newest erasure of a whole connection, or ErrNotFound.
func (s *Store) ErasureOf(ctx context.Context, connection uuid.UUID) (Erasure, error) {
	return erasureWhere(ctx, s.pool, `connection_id = $1 AND scope = 'connection' ORDER BY requested_at DESC LIMIT 1`, connection)
}

func erasureWhere(ctx context.Context, q querier, where string, id uuid.UUID) (Erasure, error) {
	rows, err := q.Query(ctx, `SELECT `+erasureColumns+` FROM erasure WHERE `+where, id)
	if err != nil {
		return Erasure{}, fmt.Errorf("reading erasure: %w", err)
	}
	e, err := pgx.CollectOneRow(rows, pgx.RowToStructByPos[Erasure])
	if errors.Is(err, pgx.ErrNoRows) {
		return e, ErrNotFound
	}
	if err != nil {
		return e, fmt.Errorf("reading erasure: %w", err)
	}
	return e, nil
}

// ErasureFilter narrows a list of erasures: those asked for before the one that Before names. A Limit of 0 is 1000.
type ErasureFilter struct {
	Before uuid.UUID
	Limit  int
}

// Erasures lists erasures, the newest first, without their receipts.
func (s *Store) Erasures(ctx context.Context, f ErasureFilter) ([]Erasure, error) {
	if f.Limit <= 0 {
		f.Limit = 1000
	}
	rows, err := s.pool.Query(ctx, `
		SELECT id, connection_id, connection, source, scope, target, state, fence, worker, requested_by, requested_at,
			started_at, heartbeat_at, finished_at, removed, error, NULL::jsonb, (receipt->>'hits')::bigint
		FROM (SELECT * FROM erasure
			WHERE $1 = '00000000-0000-0000-0000-000000000000'::uuid OR (requested_at, id) < (SELECT b.requested_at, b.id FROM erasure b WHERE b.id = $1)
			ORDER BY requested_at DESC, id DESC LIMIT $2) e
		ORDER BY requested_at DESC, id DESC`, f.Before, f.Limit)
	return collectErasures(rows, err)
}

// OpenErasures lists the erasures that are not finished, the oldest first.
func (s *Store) OpenErasures(ctx context.Context) ([]Erasure, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+erasureColumns+` FROM erasure WHERE state IN ('queued', 'erasing', 'verifying') ORDER BY requested_at LIMIT 1000`)
	return collectErasures(rows, err)
}

func collectErasures(rows pgx.Rows, err error) ([]Erasure, error) {
	if err != nil {
		return nil, fmt.Errorf("listing erasures: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Erasure])
	if err != nil {
		return nil, fmt.Errorf("listing erasures: %w", err)
	}
	return list, nil
}

// claimErasure makes worker the only one that works on an open erasure. One
// whose holder has shown a heartbeat within takeover is ErrConflict, one that
// is finished is ErrFenced.
func (s *Store) claimErasure(ctx context.Context, id uuid.UUID, worker string, takeover time.Duration) (Erasure, error) {
	var e Erasure
	err := s.inTxErr(ctx, "claiming erasure", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE erasure SET fence = fence + 1, worker = $2, heartbeat_at = clock(), started_at = coalesce(started_at, clock()),
				state = CASE WHEN state = 'queued' THEN 'erasing' ELSE state END
			WHERE id = $1 AND state IN ('queued', 'erasing', 'verifying') AND (worker = '' OR heartbeat_at < clock() - $3::interval)`, id, worker, takeover)
		if err != nil {
			return err
		}
		if e, err = erasureWhere(ctx, tx, `id = $1`, id); err != nil || tag.RowsAffected() == 1 {
			return err
		}
		if e.State.Open() {
			return fmt.Errorf("erasure %s is worker %s's: %w", id, e.Worker, ErrConflict)
		}
		return ErrFenced
	})
	return e, err
}

// holdErasure is the first statement of every write of an erasure.
func holdErasure(ctx context.Context, tx pgx.Tx, e Erasure) error {
	tag, err := tx.Exec(ctx, `UPDATE erasure SET heartbeat_at = clock() WHERE id = $1 AND fence = $2 AND state IN ('erasing', 'verifying')`, e.ID, e.Fence)
	if err != nil {
		return fmt.Errorf("checking fence: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return ErrFenced
	}
	return nil
}
