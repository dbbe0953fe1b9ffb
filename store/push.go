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

// PushSource is the source of connections that documents are pushed to.
const PushSource = "push"

// Why a connection takes no document; test for them with errors.Is.
var (
	// ErrNotPush: its documents are pulled from a source.
	ErrNotPush = errors.New("documents of this connection are pulled from its source")
	ErrPaused  = errors.New("the connection is paused")
	ErrClosing = errors.New("the connection is being deleted")
)

// confirmEvery is how finely the age of pushed permissions is kept.
const confirmEvery = 10 * time.Second

// OpenPushRun returns the run under which documents are pushed to a connection,
// and makes one where none is open. It is shared by every process; it ends when
// nobody has written under it for a while, and then writing is ErrFenced.
func (s *Store) OpenPushRun(ctx context.Context, connection uuid.UUID) (Run, error) {
	var run Run
	err := s.inTxErr(ctx, "opening push run", func(tx pgx.Tx) error {
		var state ConnectionState
		var source string
		var open *uuid.UUID
		err := tx.QueryRow(ctx, `
			SELECT c.state, c.source, r.id FROM connection c
			LEFT JOIN sync_run r ON r.connection_id = c.id AND r.kind = 'push' AND r.state = 'running' AND NOT r.cancel_requested
			WHERE c.id = $1`, connection).Scan(&state, &source, &open)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return fmt.Errorf("connection %s: %w", connection, ErrNotFound)
		case err != nil:
			return err
		case source != PushSource:
			return ErrNotPush
		case state == StateClosing:
			return ErrClosing
		case state == StatePaused:
			return ErrPaused
		case open == nil:
			if open, err = makePushRun(ctx, tx, connection); err != nil {
				return err
			}
		}
		run, err = readRun(ctx, tx, *open)
		return err
	})
	return run, err
}

// makePushRun makes the open run, or finds the one that somebody else has made
// meanwhile. A run that an admin ended makes room first.
func makePushRun(ctx context.Context, tx pgx.Tx, connection uuid.UUID) (*uuid.UUID, error) {
	var id uuid.UUID
	err := tx.QueryRow(ctx, `UPDATE sync_run SET state = 'cancelled', worker = '', finished_at = clock()
		WHERE connection_id = $1 AND kind = 'push' AND state = 'running' AND cancel_requested RETURNING id`, connection).Scan(&id)
	if err == nil {
		err = noteEnd(ctx, tx, id)
	}
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	err = tx.QueryRow(ctx, `
		WITH c AS (SELECT id, selection_version FROM connection WHERE id = $1 AND state NOT IN ('closing', 'paused') FOR SHARE)
		INSERT INTO sync_run (connection_id, lane, kind, cause, selection_version, state, worker, fence, slices, heartbeat_at, started_at)
		SELECT c.id, 'content', 'push', 'push', c.selection_version, 'running', 'push', 1, 1, clock(), clock() FROM c
		ON CONFLICT (connection_id, lane) WHERE state IN ('queued', 'running') DO NOTHING RETURNING id`, connection).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		err = tx.QueryRow(ctx, `SELECT id FROM sync_run WHERE connection_id = $1 AND kind = 'push' AND state = 'running'`, connection).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, ErrFenced // paused, closing or gone since the first look
		}
		return &id, err
	}
	if err == nil {
		err = noteRun(ctx, tx, id, LevelInfo, EventSliceStarted, "documents are pushed; the run ends when nobody has pushed for a while")
	}
	return &id, err
}

// ClosePushRuns ends the push runs under which nobody has written for idle, and
// those that an admin wants ended. It returns how many.
func (s *Store) ClosePushRuns(ctx context.Context, idle time.Duration) (int64, error) {
	n := int64(0)
	err := s.inTxErr(ctx, "closing push runs", func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `
			WITH over AS MATERIALIZED (
				SELECT id, coalesce((counts->>'quarantined')::bigint, 0) + coalesce((counts->'extra'->>'rejected')::bigint, 0) AS lost
				FROM sync_run WHERE kind = 'push' AND state = 'running' AND (cancel_requested OR heartbeat_at < clock() - $1::interval)
				ORDER BY id FOR UPDATE SKIP LOCKED)
			UPDATE sync_run r SET worker = '', finished_at = clock(),
				state = CASE WHEN r.cancel_requested THEN 'cancelled' WHEN over.lost > 0 THEN 'partial' ELSE 'succeeded' END,
				error_class = CASE WHEN over.lost > 0 THEN 'item_skipped' ELSE '' END,
				error = CASE WHEN over.lost > 0 THEN over.lost || ' items that were pushed could not be stored: each answer said why' ELSE '' END
			FROM over WHERE r.id = over.id RETURNING r.id`, idle)
		if err != nil {
			return err
		}
		ended, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		n = int64(len(ended))
		for _, id := range ended {
			if err := noteEnd(ctx, tx, id); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// ConfirmPushed says that what was pushed to a connection, permissions too, is
// right at this moment.
func (s *Store) ConfirmPushed(ctx context.Context, connection uuid.UUID) error {
	return translate("confirming what was pushed", confirmPushed(ctx, s.pool, connection))
}

// ConfirmPushedTx is ConfirmPushed inside the caller's transaction.
func (s *Store) ConfirmPushedTx(ctx context.Context, tx pgx.Tx, connection uuid.UUID) error {
	return confirmPushed(ctx, tx, connection)
}

func confirmPushed(ctx context.Context, db execer, connection uuid.UUID) error {
	_, err := db.Exec(ctx, `
		UPDATE connection SET permissions_as_of = clock(), content_as_of = clock()
		WHERE id = $1 AND source = 'push' AND coalesce(permissions_as_of < clock() - $2::interval, true)`, connection, confirmEvery)
	return err
}

// PushedDocument is what is stored of a document that was pushed.
type PushedDocument struct {
	Basis
	ExternalID      string
	SourceRevision  string
	ContentHash     []byte
	Title           string
	URL             string
	Metadata        map[string]string
	SourceUpdatedAt *time.Time
	Hidden          bool
}

// PushedDocuments returns what is stored of the given items, by external id.
func (s *Store) PushedDocuments(ctx context.Context, connection uuid.UUID, external []string) (map[string]PushedDocument, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id, revision, updated_at, external_id, source_revision, content_hash, title, url, metadata, source_updated_at, hidden_reason IS NOT NULL
		FROM document WHERE connection_id = $1 AND external_id = ANY($2)`, connection, external)
	if err != nil {
		return nil, translate("reading pushed documents", err)
	}
	out := make(map[string]PushedDocument, len(external))
	var d PushedDocument
	_, err = pgx.ForEachRow(rows, []any{
		&d.ID, &d.Revision, &d.UpdatedAt, &d.ExternalID, &d.SourceRevision, &d.ContentHash, &d.Title, &d.URL, &d.Metadata, &d.SourceUpdatedAt, &d.Hidden,
	}, func() error {
		out[d.ExternalID] = d
		d = PushedDocument{}
		return nil
	})
	return out, translate("reading pushed documents", err)
}

// ReplaceGroup makes members the whole of a group, as evidence of the run's
// connection; none empties it. It returns how many rows that changed.
func (s *Store) ReplaceGroup(ctx context.Context, run Run, realm int64, group connectors.Principal, members []connectors.Principal) (int64, error) {
	var ids []int64
	// Principals come first, in a transaction of their own: see internACLs.
	err := s.inTxErr(ctx, "writing members", func(tx pgx.Tx) error {
		var err error
		ids, err = principalIDs(ctx, tx, realm, append([]connectors.Principal{group}, members...))
		return err
	})
	if err != nil {
		return 0, err
	}
	var changed int64
	err = s.inTxErr(ctx, "replacing group", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		changed = 0
		for _, q := range [...]string{
			`DELETE FROM membership WHERE connection_id = $1 AND group_id = $2 AND NOT member_id = ANY($3)`,
			`INSERT INTO membership (connection_id, group_id, member_id) SELECT DISTINCT $1::uuid, $2::bigint, unnest($3::bigint[]) ON CONFLICT DO NOTHING`,
		} {
			tag, err := tx.Exec(ctx, q, run.ConnectionID, ids[0], ids[1:])
			if err != nil {
				return err
			}
			changed += tag.RowsAffected()
		}
		if _, err := addCounts(ctx, tx, run.ID, Counts{Memberships: changed}); err != nil {
			return err
		}
		return confirmPushed(ctx, tx, run.ConnectionID)
	})
	return changed, err
}
