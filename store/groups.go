package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// ReplaceMemberships makes ms the whole evidence of the run's connection, in
// one transaction. Rows that stand already are not touched.
func (s *Store) ReplaceMemberships(ctx context.Context, run Run, realm int64, ms []connectors.Membership) (changed int64, err error) {
	principals := make([]connectors.Principal, 2*len(ms))
	for i, m := range ms {
		principals[i], principals[len(ms)+i] = m.Member, m.Group
	}
	var ids []int64
	// Principals come first, in a transaction of their own: see internACLs.
	err = s.inTxErr(ctx, "writing members", func(tx pgx.Tx) error {
		ids, err = principalIDs(ctx, tx, realm, principals)
		return err
	})
	if err != nil {
		return 0, err
	}
	memberIDs, groupIDs := ids[:len(ms)], ids[len(ms):]
	err = s.inTxErr(ctx, "writing memberships", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			DELETE FROM membership m WHERE connection_id = $1
			  AND NOT EXISTS (SELECT FROM unnest($2::bigint[], $3::bigint[]) AS u(a, b) WHERE u.a = m.member_id AND u.b = m.group_id)`,
			run.ConnectionID, memberIDs, groupIDs)
		if err != nil {
			return err
		}
		changed = tag.RowsAffected()
		tag, err = tx.Exec(ctx, `
			INSERT INTO membership (connection_id, member_id, group_id) SELECT DISTINCT $1::uuid, a, b FROM unnest($2::bigint[], $3::bigint[]) AS u(a, b)
			ON CONFLICT DO NOTHING`, run.ConnectionID, memberIDs, groupIDs)
		if err != nil {
			return err
		}
		changed += tag.RowsAffected()
		return nil
	})
	return changed, err
}

// FinishPermissions says that every permission of the connection was read by
// run: what it stores is as old as the run's start.
func (s *Store) FinishPermissions(ctx context.Context, run Run) error {
	return s.inTxErr(ctx, "finishing permissions", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			UPDATE connection SET permissions_as_of = greatest(permissions_as_of, $2) WHERE id = $1`, run.ConnectionID, run.StartedAt)
		if err != nil {
			return fmt.Errorf("dating permissions: %w", err)
		}
		return nil
	})
}

// FinishContent says that a listing or change feed was read to its end, and
// promotes the feed position that the run started from.
func (s *Store) FinishContent(ctx context.Context, run Run, feed connectors.Cursor) error {
	return s.inTxErr(ctx, "finishing content", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			UPDATE connection SET content_as_of = $2, feed_cursor = coalesce($3, feed_cursor) WHERE id = $1`, run.ConnectionID, run.StartedAt, nullCursor(feed))
		if err != nil {
			return fmt.Errorf("dating content: %w", err)
		}
		return nil
	})
}

// SetFeedStart records where the change feed stood before the snapshot.
func (s *Store) SetFeedStart(ctx context.Context, run Run, start connectors.Cursor) error {
	return s.inTxErr(ctx, "recording feed position", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE sync_run SET feed_start = $2 WHERE id = $1`, run.ID, nullCursor(start))
		return err
	})
}

// ExpireCursor forgets a position that the source no longer knows, so that the
// next content run is a snapshot from the start.
func (s *Store) ExpireCursor(ctx context.Context, run Run) error {
	return s.inTxErr(ctx, "expiring cursor", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE connection SET feed_cursor = NULL WHERE id = $1`, run.ConnectionID)
		return err
	})
}

func nullCursor(c connectors.Cursor) []byte {
	if c.IsZero() {
		return nil
	}
	return c
}
