package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// HoldReason says why deletions wait for an admin.
type HoldReason string

// The reasons: more than the cap allows, a listing without any item, and a
// selection that became smaller without an admin's confirmation.
const (
	HoldMany     HoldReason = "many"
	HoldEmpty    HoldReason = "empty"
	HoldNarrowed HoldReason = "narrowed"
)

// HoldState is the state of a hold.
type HoldState string

// The states of a hold. A rejected one may still be approved; one that is
// superseded was replaced by a later listing's, or by none.
const (
	HoldOpen       HoldState = "open"
	HoldApproved   HoldState = "approved"
	HoldRejected   HoldState = "rejected"
	HoldSuperseded HoldState = "superseded"
)

// Hold is deletions that a listing inferred and that wait for an admin.
type Hold struct {
	ID           uuid.UUID  `json:"id"`
	ConnectionID uuid.UUID  `json:"connection_id"`
	Connection   string     `json:"connection"`
	RunID        uuid.UUID  `json:"run_id"`
	Reason       HoldReason `json:"reason"`
	State        HoldState  `json:"state"`
	// Documents were absent, of Total that the connection had.
	Documents int64 `json:"documents"`
	Total     int64 `json:"total"`
	// Purged were deleted by the approval, Kept found again before they were.
	Purged     int64      `json:"purged"`
	Kept       int64      `json:"kept"`
	CreatedAt  time.Time  `json:"created_at"`
	DecidedAt  *time.Time `json:"decided_at,omitempty"`
	DecidedBy  string     `json:"decided_by,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
}

const holdColumns = `h.id, h.connection_id, c.name, h.run_id, h.reason, h.state, h.documents, h.total, h.purged, h.kept, h.created_at, h.decided_at, h.decided_by, h.finished_at`

// HoldFilter selects holds; zero fields select all.
type HoldFilter struct {
	Connection uuid.UUID
	State      HoldState
	// Before names a hold: those that are older than it.
	Before uuid.UUID
	Limit  int
}

// Holds lists holds, newest first: 100 where the filter names no limit.
func (s *Store) Holds(ctx context.Context, f HoldFilter) ([]Hold, error) {
	if f.Limit <= 0 {
		f.Limit = 100
	}
	rows, err := s.pool.Query(ctx, `SELECT `+holdColumns+` FROM deletion_hold h JOIN connection c ON c.id = h.connection_id
		WHERE ($1 = '00000000-0000-0000-0000-000000000000'::uuid OR h.connection_id = $1) AND ($2 = '' OR h.state = $2)
		  AND ($4 = '00000000-0000-0000-0000-000000000000'::uuid OR (h.created_at, h.id) < (SELECT b.created_at, b.id FROM deletion_hold b WHERE b.id = $4))
		ORDER BY h.created_at DESC, h.id DESC LIMIT $3`, f.Connection, f.State, f.Limit, f.Before)
	if err != nil {
		return nil, translate("listing held deletions", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Hold])
	return list, translate("listing held deletions", err)
}

// Hold returns one hold, or ErrNotFound.
func (s *Store) Hold(ctx context.Context, id uuid.UUID) (Hold, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+holdColumns+` FROM deletion_hold h JOIN connection c ON c.id = h.connection_id WHERE h.id = $1`, id)
	if err != nil {
		return Hold{}, translate("reading held deletions", err)
	}
	h, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Hold])
	if errors.Is(err, pgx.ErrNoRows) {
		return h, fmt.Errorf("hold %s: %w", id, ErrNotFound)
	}
	return h, translate("reading held deletions", err)
}

// HeldDocument is a document that is to be deleted once its hold is approved.
type HeldDocument struct {
	ID         uuid.UUID `json:"document_id"`
	ExternalID string    `json:"external_id"`
	Title      string    `json:"title"`
	Path       string    `json:"path"`
	URL        string    `json:"url"`
	// Hidden is true for a document that nobody can see already.
	Hidden bool `json:"hidden"`
}

// HeldDocuments lists what a hold would still delete, in id order, after the id
// after (the zero id starts), at most limit. Of a hold that is approved or
// superseded it is what is not deleted yet.
func (s *Store) HeldDocuments(ctx context.Context, hold, after uuid.UUID, limit int) ([]HeldDocument, error) {
	if limit < 1 || limit > 1000 {
		return nil, &InputError{Field: "limit", Problem: "must be 1 to 1000"}
	}
	rows, err := s.pool.Query(ctx, `
		SELECT d.id, d.external_id, d.title, d.path, d.url, d.hidden_reason IS NOT NULL
		FROM held_document h JOIN document d ON d.id = h.document_id
		WHERE h.hold_id = $1 AND h.document_id > $2 ORDER BY h.document_id LIMIT $3`, hold, after, limit)
	if err != nil {
		return nil, translate("listing held documents", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[HeldDocument])
	return list, translate("listing held documents", err)
}

// ApproveHold hides every document of an open or rejected hold that no listing
// and no feed has named since, at once. PurgeApproved then deletes exactly those.
// A hold that is approved or superseded is ErrConflict.
func (s *Store) ApproveHold(ctx context.Context, id uuid.UUID, by string, events ...audit.Event) (Hold, error) {
	err := s.inTxErr(ctx, "approving deletions", func(tx pgx.Tx) error {
		h, err := lockHold(ctx, tx, id)
		if err != nil {
			return err
		}
		if h.State != HoldOpen && h.State != HoldRejected {
			return decided(h)
		}
		if err := recordAll(ctx, tx, id.String(), events); err != nil {
			return err
		}
		return s.approveHold(ctx, tx, h, by)
	})
	if err != nil {
		return Hold{}, err
	}
	return s.Hold(ctx, id)
}

// RejectHold keeps the documents of an open hold visible, and shows those that
// were hidden. They are not inferred to be deleted again until something names
// them. A hold that is not open is ErrConflict.
func (s *Store) RejectHold(ctx context.Context, id uuid.UUID, by string, events ...audit.Event) (Hold, error) {
	err := s.inTxErr(ctx, "rejecting deletions", func(tx pgx.Tx) error {
		h, err := lockHold(ctx, tx, id)
		if err != nil {
			return err
		}
		if h.State != HoldOpen {
			return decided(h)
		}
		if err := recordAll(ctx, tx, id.String(), events); err != nil {
			return err
		}
		return s.rejectHold(ctx, tx, h, by)
	})
	if err != nil {
		return Hold{}, err
	}
	return s.Hold(ctx, id)
}

// PurgeApproved deletes the documents of an approved hold, in steps of at most
// sweepBatch, and returns how many. Any process may call it, any number of
// times: one that dies leaves the rest to the next.
func (s *Store) PurgeApproved(ctx context.Context, id uuid.UUID) (int64, error) {
	for all := int64(0); ; {
		n, err := s.purgeStep(ctx, id)
		if err != nil || n == 0 {
			return all, err
		}
		all += n
	}
}

// purgeStep deletes the next documents of an approved hold and returns how many:
// 0 is that nothing is left.
func (s *Store) purgeStep(ctx context.Context, id uuid.UUID) (int64, error) {
	var n int64
	err := s.inTxErr(ctx, "purging held documents", func(tx pgx.Tx) error {
		h, err := lockHold(ctx, tx, id)
		if err != nil || h.State != HoldApproved || h.FinishedAt != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			SELECT d.id FROM held_document h JOIN document d ON d.id = h.document_id
			WHERE h.hold_id = $1 AND d.hidden_reason IS NOT NULL ORDER BY d.id LIMIT $2 FOR UPDATE OF d`, id, sweepBatch)
		if err != nil {
			return err
		}
		ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		if n = int64(len(ids)); n == 0 {
			_, err = tx.Exec(ctx, `
				WITH rest AS (DELETE FROM held_document WHERE hold_id = $1)
				UPDATE deletion_hold SET finished_at = clock() WHERE id = $1`, id)
			return err
		}
		if err := noteItems(ctx, tx, h.RunID, "purged", "its deletion was approved", ids); err != nil {
			return err
		}
		if err := noteDocuments(ctx, tx, "purge", h.ConnectionID, ids); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE deletion_hold SET purged = purged + $2 WHERE id = $1`, id, n); err != nil {
			return err
		}
		return purgeDocuments(ctx, tx, ids)
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// ApprovedHolds returns the holds whose documents are still being purged.
func (s *Store) ApprovedHolds(ctx context.Context) ([]uuid.UUID, error) {
	rows, err := s.pool.Query(ctx, `SELECT id FROM deletion_hold WHERE state = 'approved' AND finished_at IS NULL ORDER BY decided_at`)
	if err != nil {
		return nil, translate("looking for approved deletions", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return ids, translate("looking for approved deletions", err)
}

// lockHold locks a hold. Whoever changes its documents does so first.
func lockHold(ctx context.Context, tx pgx.Tx, id uuid.UUID) (Hold, error) {
	if err := patient(ctx, tx); err != nil {
		return Hold{}, err
	}
	rows, err := tx.Query(ctx, `SELECT `+holdColumns+` FROM deletion_hold h JOIN connection c ON c.id = h.connection_id WHERE h.id = $1 FOR UPDATE OF h`, id)
	if err != nil {
		return Hold{}, fmt.Errorf("locking hold: %w", err)
	}
	h, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Hold])
	if errors.Is(err, pgx.ErrNoRows) {
		return h, fmt.Errorf("hold %s: %w", id, ErrNotFound)
	}
	return h, err
}

func decided(h Hold) error {
	return fmt.Errorf("hold %s is %s: tributary deletions list shows what can be decided: %w", h.ID, h.State, ErrConflict)
}
