package store

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// bySync stands for whoever let a run pass what it would hold.
const bySync = "sync --approve-deletions"

// settleHold makes the plan's held documents a hold, approved where the run was
// started with ApproveDeletions, and closes the open one that is no longer
// true. A hold of the same documents stays the same hold. It returns the hold
// that the caller has to purge, or nil.
func (s *Store) settleHold(ctx context.Context, tx pgx.Tx, run Run, plan sweepPlan) (*uuid.UUID, error) {
	var old uuid.UUID
	err := tx.QueryRow(ctx, `SELECT coalesce((SELECT id FROM deletion_hold WHERE connection_id = $1 AND state = 'open' FOR UPDATE), $2)`, run.ConnectionID, uuid.Nil).Scan(&old)
	if err != nil {
		return nil, fmt.Errorf("reading hold: %w", err)
	}
	if plan.reason == "" {
		return nil, s.dropHold(ctx, tx, run, old)
	}
	id, err := keepHold(ctx, tx, run, plan, old)
	if err != nil {
		return nil, err
	}
	h, err := lockHold(ctx, tx, id)
	if err != nil {
		return nil, err
	}
	if !run.ApproveDeletions {
		return nil, s.noticeHeld(ctx, tx, h)
	}
	return &id, s.approveHold(ctx, tx, h, bySync)
}

// keepHold returns the open hold of exactly the held documents: old where it is
// that, else a new one in its place.
func keepHold(ctx context.Context, tx pgx.Tx, run Run, plan sweepPlan, old uuid.UUID) (uuid.UUID, error) {
	var same bool
	err := tx.QueryRow(ctx, `
		SELECT $1 <> '00000000-0000-0000-0000-000000000000'::uuid
		   AND (SELECT count(*) FROM held_document WHERE hold_id = $1) = cardinality($2::uuid[])
		   AND (SELECT count(*) FROM held_document WHERE hold_id = $1 AND document_id = ANY($2)) = cardinality($2::uuid[])`, old, plan.held).Scan(&same)
	if err != nil {
		return old, fmt.Errorf("comparing hold: %w", err)
	}
	if same {
		_, err := tx.Exec(ctx, `UPDATE deletion_hold SET run_id = $2, listing = $3, reason = $4, total = $5 WHERE id = $1`, old, run.ID, run.Listing, plan.reason, plan.total)
		if err != nil {
			return old, fmt.Errorf("renewing hold: %w", err)
		}
		return old, nil
	}
	if err := supersedeHold(ctx, tx, old); err != nil {
		return old, err
	}
	var id uuid.UUID
	err = tx.QueryRow(ctx, `
		WITH h AS (
			INSERT INTO deletion_hold (connection_id, run_id, listing, reason, documents, total) VALUES ($1, $2, $3, $4, cardinality($5::uuid[]), $6) RETURNING id),
		d AS (INSERT INTO held_document (hold_id, document_id) SELECT h.id, i FROM h, unnest($5::uuid[]) i)
		SELECT id FROM h`, run.ConnectionID, run.ID, run.Listing, plan.reason, plan.held, plan.total).Scan(&id)
	if err != nil {
		return old, fmt.Errorf("writing hold: %w", err)
	}
	return id, nil
}

// dropHold closes the open hold: a complete listing holds nothing.
func (s *Store) dropHold(ctx context.Context, tx pgx.Tx, run Run, old uuid.UUID) error {
	if old == uuid.Nil {
		return nil
	}
	if err := supersedeHold(ctx, tx, old); err != nil {
		return err
	}
	return s.ClearNotice(ctx, tx, &run.ConnectionID, NoticeDeletionsHeld, "")
}

func supersedeHold(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	_, err := tx.Exec(ctx, `
		WITH gone AS (DELETE FROM held_document WHERE hold_id = $1)
		UPDATE deletion_hold SET state = 'superseded', finished_at = clock() WHERE id = $1`, id)
	if err != nil {
		return fmt.Errorf("superseding hold: %w", err)
	}
	return nil
}

// approveHold hides what a locked hold still holds.
func (s *Store) approveHold(ctx context.Context, tx pgx.Tx, h Hold, by string) error {
	if err := answerNarrowed(ctx, tx, h); err != nil {
		return err
	}
	shown, hidden, err := lockHeld(ctx, tx, h.ID)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE document SET hidden_reason = 'deleted', hidden_at = coalesce(hidden_at, clock()) WHERE id = ANY($1) OR id = ANY($2)`, shown, hidden)
	if err != nil {
		return fmt.Errorf("hiding held documents: %w", err)
	}
	if err := noteDocuments(ctx, tx, "hide", h.ConnectionID, shown); err != nil {
		return err
	}
	return s.decideHold(ctx, tx, h, HoldApproved, by)
}

// rejectHold shows what a locked hold still holds.
func (s *Store) rejectHold(ctx context.Context, tx pgx.Tx, h Hold, by string) error {
	if err := answerNarrowed(ctx, tx, h); err != nil {
		return err
	}
	_, hidden, err := lockHeld(ctx, tx, h.ID)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE document SET hidden_reason = NULL, hidden_at = NULL WHERE id = ANY($1)`, hidden); err != nil {
		return fmt.Errorf("showing held documents: %w", err)
	}
	if err := noteDocuments(ctx, tx, "show", h.ConnectionID, hidden); err != nil {
		return err
	}
	if err := noteItems(ctx, tx, h.RunID, "restored", "its deletion was rejected", hidden); err != nil {
		return err
	}
	return s.decideHold(ctx, tx, h, HoldRejected, by)
}

// lockHeld locks the documents of a hold in the order of their ids, and returns
// those that are visible and those that were absent before. What is hidden for
// another reason, such as an erasure under way, is not the hold's to show.
func lockHeld(ctx context.Context, tx pgx.Tx, hold uuid.UUID) (shown, hidden []uuid.UUID, err error) {
	rows, err := tx.Query(ctx, `
		SELECT d.id, d.hidden_reason IS NOT NULL FROM held_document h JOIN document d ON d.id = h.document_id
		WHERE h.hold_id = $1 AND coalesce(d.hidden_reason, $2) = $2 ORDER BY d.id FOR UPDATE OF d`, hold, hiddenAbsent)
	if err != nil {
		return nil, nil, fmt.Errorf("locking held documents: %w", err)
	}
	shown, hidden = []uuid.UUID{}, []uuid.UUID{}
	var id uuid.UUID
	var is bool
	_, err = pgx.ForEachRow(rows, []any{&id, &is}, func() error {
		if is {
			hidden = append(hidden, id)
		} else {
			shown = append(shown, id)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("locking held documents: %w", err)
	}
	return shown, hidden, nil
}

// answerNarrowed takes a decision for an answer to the narrowed selection, where
// that was the reason. Runs, holds, connections and documents are locked in this
// order.
func answerNarrowed(ctx context.Context, tx pgx.Tx, h Hold) error {
	if h.Reason != HoldNarrowed {
		return nil
	}
	_, err := tx.Exec(ctx, `UPDATE connection SET narrowed = false, confirmed = NULL WHERE id = $1`, h.ConnectionID)
	if err != nil {
		return fmt.Errorf("answering the narrowed selection: %w", err)
	}
	return nil
}

// decideHold writes the decision.
func (s *Store) decideHold(ctx context.Context, tx pgx.Tx, h Hold, state HoldState, by string) error {
	_, err := tx.Exec(ctx, `UPDATE deletion_hold SET state = $2, decided_by = $3, decided_at = clock() WHERE id = $1`, h.ID, state, by)
	if err != nil {
		return fmt.Errorf("deciding hold: %w", err)
	}
	return s.ClearNotice(ctx, tx, &h.ConnectionID, NoticeDeletionsHeld, "")
}

// noticeHeld tells admins of an open hold.
func (s *Store) noticeHeld(ctx context.Context, tx pgx.Tx, h Hold) error {
	why := map[HoldReason]string{
		HoldMany:     "a complete listing did not contain them, and they are unusually many",
		HoldEmpty:    "a complete listing contained nothing at all",
		HoldNarrowed: "less is selected, and nobody confirmed what that takes out",
	}
	return s.RaiseNotice(ctx, tx, Notice{
		ConnectionID: &h.ConnectionID, Code: NoticeDeletionsHeld,
		Detail: fmt.Sprintf("%d of %d documents wait to be deleted: %s.", h.Documents, h.Total, why[h.Reason]),
	})
}
