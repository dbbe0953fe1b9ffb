package store

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
)

// ConnectionChange is what a connection syncs from now on.
type ConnectionChange struct {
	Settings  map[string]string
	Selection connectors.Selection
	// NeededScopes are the OAuth scopes without which the connection is degraded.
	NeededScopes []string
	// Narrowed says that something may be taken out. Confirmed is how many documents an admin was shown, and let go, as what that
	// hides at most: the next complete listing hides so many more than the cap allows. Nil is that nobody was asked: whatever that
	// listing does not contain is held.
	Narrowed  bool
	Confirmed *int64
	// From is the version of the selection that the change was made from: where it is another by now, the change is
	// ErrConflict. 0 asks for none.
	From int
}

// ChangeConnection makes change what a connection syncs, and its state what the grant then allows. The live content run ends
// where it is, because it lists what was selected before, and the feed's position is forgotten: the next content run is a
// snapshot of the whole selection. That run is made at once where the connection works; then is called with it in the same
// transaction, to enqueue its slice. Events are recorded with the change. Nothing happens, and changed is false, where change is
// what the connection has.
func (s *Store) ChangeConnection(
	ctx context.Context, id uuid.UUID, change ConnectionChange, then func(ctx context.Context, tx pgx.Tx, run Run) error, events ...audit.Event,
) (c Connection, changed bool, err error) {
	err = s.inTxErr(ctx, "changing connection", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		// In the order of doc.go: schedule, run, connection.
		if _, err := tx.Exec(ctx, `SELECT FROM schedule WHERE connection_id = $1 AND lane = 'content' FOR UPDATE`, id); err != nil {
			return fmt.Errorf("locking schedule: %w", err)
		}
		if _, err := tx.Exec(ctx, `SELECT FROM sync_run WHERE connection_id = $1 AND lane = 'content' AND state IN ('queued', 'running') FOR UPDATE`, id); err != nil {
			return fmt.Errorf("locking run: %w", err)
		}
		if c, err = lockConnection(ctx, tx, id); err != nil {
			return err
		}
		if change.From != 0 && change.From != c.SelectionVersion {
			return fmt.Errorf("what %s syncs was changed meanwhile: %w", c.Name, ErrConflict)
		}
		if changed = !change.same(c); !changed {
			return nil
		}
		if err := recordAll(ctx, tx, id.String(), events); err != nil {
			return err
		}
		return s.changeConnection(ctx, tx, c, change, then)
	})
	if err != nil || !changed {
		return c, false, err
	}
	c, err = s.Connection(ctx, id.String())
	return c, true, err
}

func (n ConnectionChange) same(c Connection) bool {
	return maps.Equal(n.Settings, c.Settings) && slices.Equal(n.Selection.Include, c.Selection.Include) &&
		slices.Equal(n.Selection.Exclude, c.Selection.Exclude) && slices.Equal(n.Selection.Containers, c.Selection.Containers) &&
		slices.Equal(n.NeededScopes, c.NeededScopes)
}

// lockConnection returns a connection that does not end, or ErrNotFound.
func lockConnection(ctx context.Context, tx pgx.Tx, id uuid.UUID) (Connection, error) {
	rows, err := tx.Query(ctx, `SELECT `+connectionColumns+` FROM connection c WHERE c.id = $1 AND c.state <> 'closing' FOR UPDATE`, id)
	if err != nil {
		return Connection{}, fmt.Errorf("locking connection: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Connection])
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("connection %s: %w", id, ErrNotFound)
	}
	if err != nil {
		return Connection{}, err
	}
	return list[0], nil
}

func (s *Store) changeConnection(ctx context.Context, tx pgx.Tx, c Connection, change ConnectionChange, then func(ctx context.Context, tx pgx.Tx, run Run) error) error {
	_, err := tx.Exec(ctx, `
		UPDATE connection SET settings = $2, selection = $3, needed_scopes = coalesce($4, '{}'::text[]), selection_version = selection_version + 1,
			feed_cursor = NULL, updated_at = clock(), narrowed = narrowed OR $5, confirmed = CASE WHEN $5 THEN $6 ELSE confirmed END
		WHERE id = $1`, c.ID, jsonOf(nonNil(change.Settings)), jsonOf(change.Selection), change.NeededScopes, change.Narrowed, change.Confirmed)
	if err != nil {
		return fmt.Errorf("writing connection: %w", err)
	}
	// Who works on it is fenced by the state.
	_, err = tx.Exec(ctx, `
		UPDATE sync_run SET state = 'superseded', worker = '', finished_at = clock(), error = 'what is synced was changed'
		WHERE connection_id = $1 AND lane = 'content' AND state IN ('queued', 'running')`, c.ID)
	if err != nil {
		return fmt.Errorf("ending run: %w", err)
	}
	switch c.State {
	case StatePaused, StateNeedsReauth, StateClosing:
		return nil // it goes on when that is over
	case StateActive, StateDegraded, StateConfigError, StateFailed:
		err = working(ctx, tx, c.ID)
	case StateThrottled:
	}
	if err != nil {
		return err
	}
	run, made, err := s.RequestRunTx(ctx, tx, RunRequest{ConnectionID: c.ID, Lane: Content, Kind: RunSnapshot, Cause: "selection changed"})
	if err != nil || !made {
		return err
	}
	if err := s.PostponeTx(ctx, tx, c.ID, Content); err != nil || then == nil {
		return err
	}
	return then(ctx, tx, run)
}
