package store

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// plannedListing numbers the listing of a plan, which no run has.
const plannedListing int64 = -1

// errPlanned ends the transaction of a plan, so that nothing of it stays.
var errPlanned = errors.New("only planned")

// PlannedListing is a complete listing that was read and not stored.
type PlannedListing struct {
	Connection Connection
	// Seen are the stored documents that it contained; Any is true where it
	// contained anything at all.
	Seen []uuid.UUID
	Any  bool
	// Narrowed says that something was taken out of the selection and that no
	// admin has confirmed what that hides.
	Narrowed bool
	// More is how many documents more the connection would show.
	More    int64
	Blocked []connectors.Container
	Started time.Time
	Rules   SweepRules
}

// PlannedSweep is what the sweep of a listing would do.
type PlannedSweep struct {
	Hide  []PlannedItem
	Purge []PlannedItem
	// Held would wait for an admin instead, because of Reason.
	Held   []PlannedItem
	Reason HoldReason
}

// PlannedItem is a stored document.
type PlannedItem struct {
	DocumentID uuid.UUID
	ExternalID string
	Path       string
}

// PlanSweep returns what the sweep of a listing would do, by the rules of
// SweepListing itself: it works in a transaction that is given up.
func (s *Store) PlanSweep(ctx context.Context, l PlannedListing) (PlannedSweep, error) {
	var out PlannedSweep
	err := s.inTxErr(ctx, "planning deletions", func(tx pgx.Tx) error {
		seen := l.Seen
		if l.Any {
			seen = append(seen, uuid.Nil)
		}
		_, err := tx.CopyFrom(ctx, pgx.Identifier{"seen"}, []string{"connection_id", "listing", "document_id"}, pgx.CopyFromSlice(len(seen), func(i int) ([]any, error) {
			return []any{l.Connection.ID, plannedListing, seen[i]}, nil
		}))
		if err != nil {
			return err
		}
		run := Run{ConnectionID: l.Connection.ID, Lane: Content, Kind: RunSnapshot, Listing: plannedListing, Blocked: l.Blocked, StartedAt: &l.Started, SelectionVersion: l.Connection.SelectionVersion}
		rules, err := l.rules(ctx, tx)
		if err != nil {
			return err
		}
		less, err := selectsLess(ctx, tx, run)
		if err != nil {
			return err
		}
		if l.Narrowed {
			less = selectionLess{asks: true}
		}
		plan, err := planSweep(ctx, tx, run, rules, less)
		if err != nil {
			return err
		}
		out.Reason = plan.reason
		if out.Held, err = plannedItems(ctx, tx, plan.held); err != nil {
			return err
		}
		if out.Hide, err = plannedItems(ctx, tx, plan.hide); err != nil {
			return err
		}
		if out.Purge, err = plannedItems(ctx, tx, plan.purge); err != nil {
			return err
		}
		return errPlanned
	})
	if !errors.Is(err, errPlanned) {
		return out, err
	}
	return out, nil
}

// rules returns the rules of a sweep at which the documents of the listing are stored.
func (l PlannedListing) rules(ctx context.Context, tx pgx.Tx) (SweepRules, error) {
	var total int64
	err := tx.QueryRow(ctx, `SELECT count(*) FROM document WHERE connection_id = $1 AND (hidden_reason IS NULL OR hidden_reason = 'absent')`, l.Connection.ID).Scan(&total)
	rules := l.Rules
	rules.CapCount = max(rules.CapCount, int64(float64(total+l.More)*rules.CapShare))
	rules.CapShare = 0
	return rules, err
}

func plannedItems(ctx context.Context, tx pgx.Tx, ids []uuid.UUID) ([]PlannedItem, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	rows, err := tx.Query(ctx, `SELECT id, external_id, path FROM document WHERE id = ANY($1) ORDER BY path, external_id`, ids)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[PlannedItem])
}

// PlannedChunks says what a document's chunks would cost.
type PlannedChunks struct {
	// Added are chunks that have no row yet, and Tokens theirs.
	Added, Tokens int64
	// Due are, by profile, the tokens for which no vector is stored.
	Due map[int16]int64
}

// PlanChunks returns what storing chunks as those of a document would cost in
// the given profiles; document is uuid.Nil where it is not stored. It counts as
// a batch does.
func (s *Store) PlanChunks(ctx context.Context, document uuid.UUID, chunks []ChunkWrite, profiles []int16) (PlannedChunks, error) {
	out := PlannedChunks{Due: map[int16]int64{}}
	stored := map[[32]byte]bool{}
	if document != uuid.Nil {
		rows, err := s.pool.Query(ctx, `SELECT identity FROM chunk WHERE document_id = $1`, document)
		if err != nil {
			return out, translate("reading chunks", err)
		}
		var identity []byte
		if _, err := pgx.ForEachRow(rows, []any{&identity}, func() error { stored[[32]byte(identity)] = true; return nil }); err != nil {
			return out, translate("reading chunks", err)
		}
	}
	var hashes [][]byte
	var tokens []int32
	for i := range chunks {
		if stored[chunks[i].Identity] {
			continue
		}
		out.Added++
		out.Tokens += int64(chunks[i].Tokens)
		hashes, tokens = append(hashes, chunks[i].InputHash[:]), append(tokens, int32(chunks[i].Tokens)) //nolint:gosec // bounded by the chunker
	}
	for _, p := range profiles {
		table := vectorTable(p)
		var due int64
		err := s.pool.QueryRow(ctx, `
			SELECT coalesce(sum(u.t), 0) FROM unnest($1::bytea[], $2::int[]) AS u(h, t) WHERE NOT EXISTS (SELECT FROM `+table+` WHERE input_hash = u.h)`, hashes, tokens).Scan(&due)
		if err != nil {
			return out, translate("looking for vectors", err)
		}
		out.Due[p] += due
	}
	return out, nil
}
