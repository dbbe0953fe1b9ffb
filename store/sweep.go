package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// SweepRules bounds what a complete listing may infer.
type SweepRules struct {
	// Settle is how long a document stays hidden before another complete
	// listing may purge it.
	Settle time.Duration
	// RefusedGrace is how long a document stays hidden before it is purged whose
	// content is refused, or which may lie in a container that is not listed.
	RefusedGrace time.Duration
	// CapCount and CapShare bound inferred deletions: more than the larger of
	// CapCount documents and CapShare of the connection's documents are held.
	CapCount int64
	CapShare float64
}

// DefaultSweepRules are the rules of every connection.
func DefaultSweepRules() SweepRules {
	return SweepRules{Settle: time.Hour, RefusedGrace: 7 * 24 * time.Hour, CapCount: 10, CapShare: 0.10}
}

// sweepBatch bounds the documents that one transaction purges.
const sweepBatch = 500

// SweepListing hides what a complete listing no longer contains and purges
// what a complete listing at least Settle later still does not contain.
// Documents below a blocked container are left alone; what is absent elsewhere
// may have been moved there, and is purged once it was hidden for RefusedGrace.
// Where the documents to
// hide, or those to purge, are more than the cap allows, the listing is empty, or
// less is selected and no admin confirmed it, all of them make a hold; started
// with ApproveDeletions, the run approves and purges it. What an admin confirmed
// or approved is purged without another question. The caller's run has to be
// complete.
func (s *Store) SweepListing(ctx context.Context, run Run, rules SweepRules) (Counts, error) {
	var counts Counts
	var plan sweepPlan
	var approved *uuid.UUID
	err := s.inTxErr(ctx, "sweeping", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		less, err := selectsLess(ctx, tx, run)
		if err != nil {
			return err
		}
		if plan, err = planSweep(ctx, tx, run, rules, less); err != nil {
			return err
		}
		if approved, err = s.settleHold(ctx, tx, run, plan); err != nil {
			return err
		}
		if plan.reason == "" && len(run.Blocked) == 0 {
			if err := settleSelection(ctx, tx, run); err != nil {
				return err
			}
		}
		if err := noteSweep(ctx, tx, run, plan, approved != nil); err != nil {
			return err
		}
		return hideAbsent(ctx, tx, run, plan)
	})
	if err != nil {
		return Counts{}, err
	}
	counts.Hidden = int64(len(plan.hide))
	if approved == nil {
		counts.Held = int64(len(plan.held))
	} else if counts.Purged, err = s.PurgeApproved(ctx, *approved); err != nil {
		return counts, err
	}
	for purge := plan.purge; len(purge) > 0; {
		n := min(len(purge), sweepBatch)
		done, err := s.purgeAbsent(ctx, run, purge[:n])
		if err != nil {
			return counts, err
		}
		counts.Purged += done
		purge = purge[n:]
	}
	return counts, s.forgetListing(ctx, run)
}

// sweepPlan is what a sweep does.
type sweepPlan struct {
	hide, purge []uuid.UUID
	// hidden is why documents are hidden: absent, or deleted where an admin
	// confirmed it.
	hidden string
	// held waits for an admin because of reason, "" being none. total is how many
	// documents the connection has.
	held   []uuid.UUID
	reason HoldReason
	total  int64
}

func planSweep(ctx context.Context, tx pgx.Tx, run Run, rules SweepRules, less selectionLess) (sweepPlan, error) {
	plan := sweepPlan{hidden: hiddenAbsent}
	list, total, err := absentees(ctx, tx, run, rules)
	if err != nil {
		return plan, err
	}
	plan.total = total
	var inferred []uuid.UUID
	for _, a := range list {
		switch {
		case a.Reason == "":
			plan.hide = append(plan.hide, a.ID)
		case a.Settled && a.Reason == hiddenAbsent:
			inferred = append(inferred, a.ID)
		case a.Settled:
			plan.purge = append(plan.purge, a.ID)
		}
	}
	seen, err := seenAnything(ctx, tx, run)
	if err != nil {
		return plan, err
	}
	limit := max(rules.CapCount, int64(float64(total)*rules.CapShare))
	n, most := int64(len(plan.hide)+len(inferred)), int64(max(len(plan.hide), len(inferred)))
	switch {
	case n == 0:
	case !seen && n > less.confirmed:
		plan.reason = HoldEmpty
	case less.asks:
		plan.reason = HoldNarrowed
	case most > limit+less.confirmed:
		plan.reason = HoldMany
	case most > limit || !seen:
		plan.hidden = hiddenDeleted
	}
	if plan.reason != "" {
		plan.held, plan.hide = slices.Concat(plan.hide, inferred), nil
		return plan, nil
	}
	plan.purge = append(plan.purge, inferred...)
	return plan, nil
}

// selectionLess says what an admin took out of the selection since a complete
// listing was swept.
type selectionLess struct {
	// asks is true where no admin confirmed what that hides, confirmed how many
	// documents one did.
	asks      bool
	confirmed int64
}

func selectsLess(ctx context.Context, tx pgx.Tx, run Run) (selectionLess, error) {
	var l selectionLess
	err := tx.QueryRow(ctx, `
		SELECT narrowed AND confirmed IS NULL, CASE WHEN narrowed THEN coalesce(confirmed, 0) ELSE 0 END FROM connection WHERE id = $1`, run.ConnectionID).Scan(&l.asks, &l.confirmed)
	if err != nil {
		return l, fmt.Errorf("reading selection: %w", err)
	}
	return l, nil
}

// settleSelection ends what was asked, or confirmed, about a smaller selection:
// a listing of all of it was swept.
func settleSelection(ctx context.Context, tx pgx.Tx, run Run) error {
	_, err := tx.Exec(ctx, `UPDATE connection SET narrowed = false, confirmed = NULL WHERE id = $1 AND narrowed AND selection_version = $2`, run.ConnectionID, run.SelectionVersion)
	if err != nil {
		return fmt.Errorf("settling selection: %w", err)
	}
	return nil
}

// Why a document is hidden: a listing did not contain it, an admin confirmed or
// approved that it goes, or the source lists it without giving its content.
const (
	hiddenAbsent  = "absent"
	hiddenDeleted = "deleted"
)

type absentee struct {
	ID uuid.UUID
	// Reason is why the document is hidden, or "".
	Reason string
	// Settled is true when it was hidden long enough, and not by this listing.
	Settled bool
}

// absentees returns the documents that the listing did not contain and those
// whose content is refused, and how many documents the connection shows or has
// hidden without approval. Documents below blocked containers are left out, and
// those whose deletion an admin rejected, unless the run lets deletions pass.
func absentees(ctx context.Context, tx pgx.Tx, run Run, rules SweepRules) ([]absentee, int64, error) {
	containers, prefixes, absent := []string{}, []string{}, rules.Settle
	for _, b := range run.Blocked {
		if b.Prefix == "" { // ids are no paths: what was moved there has the same id
			absent = rules.RefusedGrace
		}
		if b.Prefix != "" || b.ID == "" {
			prefixes = append(prefixes, likePrefix(b.Prefix))
		}
		containers = append(containers, b.ID)
	}
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE blocked (id) AS (
			SELECT unnest($3::text[]) UNION SELECT c.id FROM blocked b JOIN container c ON c.connection_id = $1 AND c.parent = b.id)
		SELECT d.id, coalesce(d.hidden_reason, ''),
			(d.hidden_at <= clock() - CASE d.hidden_reason WHEN 'refused' THEN $6::interval WHEN 'absent' THEN $9::interval ELSE $5::interval END AND d.hidden_at < $7) IS TRUE
		FROM document d
		WHERE d.connection_id = $1
		  AND (d.hidden_reason = 'refused' OR NOT EXISTS (SELECT FROM seen s WHERE s.connection_id = $1 AND s.listing = $2 AND s.document_id = d.id))
		  AND NOT (d.container = ANY(ARRAY(SELECT id FROM blocked)) OR d.external_id LIKE ANY($4))
		  AND ($8 OR NOT EXISTS (SELECT FROM held_document x JOIN deletion_hold h ON h.id = x.hold_id WHERE x.document_id = d.id AND h.state = 'rejected'))`,
		run.ConnectionID, run.Listing, containers, prefixes, rules.Settle, rules.RefusedGrace, run.StartedAt, run.ApproveDeletions, absent)
	if err != nil {
		return nil, 0, fmt.Errorf("reading absent documents: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[absentee])
	if err != nil {
		return nil, 0, fmt.Errorf("reading absent documents: %w", err)
	}
	var total int64
	err = tx.QueryRow(ctx, `SELECT count(*) FROM document WHERE connection_id = $1 AND (hidden_reason IS NULL OR hidden_reason = 'absent')`, run.ConnectionID).Scan(&total)
	if err != nil {
		return nil, 0, fmt.Errorf("counting documents: %w", err)
	}
	return list, total, nil
}

// seenAnything reports whether the listing contained any item at all.
func seenAnything(ctx context.Context, tx pgx.Tx, run Run) (bool, error) {
	var found bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM seen WHERE connection_id = $1 AND listing = $2)
		    OR EXISTS (SELECT FROM skip WHERE connection_id = $1 AND listing = $2)`, run.ConnectionID, run.Listing).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("reading the listing: %w", err)
	}
	return found, nil
}

func hideAbsent(ctx context.Context, tx pgx.Tx, run Run, plan sweepPlan) error {
	if len(plan.hide) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `
		WITH locked AS MATERIALIZED (SELECT id FROM document WHERE id = ANY($1) ORDER BY id FOR UPDATE)
		UPDATE document SET hidden_reason = $2, hidden_at = clock() WHERE id IN (SELECT id FROM locked)`, plan.hide, plan.hidden)
	if err != nil {
		return fmt.Errorf("hiding absent documents: %w", err)
	}
	if err := noteItems(ctx, tx, run.ID, "hidden", "a complete listing does not contain it", plan.hide); err != nil {
		return err
	}
	return noteDocuments(ctx, tx, "hide", run.ConnectionID, plan.hide)
}

func (s *Store) purgeAbsent(ctx context.Context, run Run, ids []uuid.UUID) (int64, error) {
	var n int64
	err := s.inTxErr(ctx, "purging", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id FROM document WHERE id = ANY($1) AND hidden_reason IN ('absent', 'deleted', 'refused') ORDER BY id FOR UPDATE`, ids)
		if err != nil {
			return err
		}
		still, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		n = int64(len(still))
		if err := noteItems(ctx, tx, run.ID, "purged", "complete listings have not contained it, or its content is refused", still); err != nil {
			return err
		}
		if err := noteDocuments(ctx, tx, "purge", run.ConnectionID, still); err != nil {
			return err
		}
		return purgeDocuments(ctx, tx, still)
	})
	return n, err
}

// forgetListing drops the listing's evidence, and the skipped and quarantined
// items that it no longer contained.
func (s *Store) forgetListing(ctx context.Context, run Run) error {
	return s.inTxErr(ctx, "closing listing", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM seen WHERE connection_id = $1 AND listing <= $2`, run.ConnectionID, run.Listing); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM skip WHERE connection_id = $1 AND listing < $2`, run.ConnectionID, run.Listing)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			DELETE FROM quarantine q WHERE connection_id = $1
			  AND NOT EXISTS (SELECT FROM sync_run r WHERE r.id = q.run_id AND r.listing >= $2)`, run.ConnectionID, run.Listing)
		return err
	})
}

func noteDocuments(ctx context.Context, tx pgx.Tx, kind string, connection uuid.UUID, ids []uuid.UUID) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox (kind, connection_id, document_id) SELECT $1, $2, unnest($3::uuid[])`, kind, connection, ids)
	if err != nil {
		return fmt.Errorf("writing outbox: %w", err)
	}
	return nil
}

// likePrefix returns a LIKE pattern for everything that begins with prefix.
func likePrefix(prefix string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(prefix) + "%"
}
