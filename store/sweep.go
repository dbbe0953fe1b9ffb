package store

import (
	"context"
	"fmt"
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
	// RefusedGrace is how long a document whose content is refused stays
	// hidden before it is purged.
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
// Documents below a blocked container are left alone. Deletions above the cap
// are held, unless the run was started with ApproveDeletions; an empty listing
// of a connection that has documents is always held. The caller's run has to
// be complete.
func (s *Store) SweepListing(ctx context.Context, run Run, rules SweepRules) (Counts, error) {
	var counts Counts
	var purge []uuid.UUID
	err := s.inTxErr(ctx, "sweeping", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		list, total, err := absentees(ctx, tx, run, rules)
		if err != nil {
			return err
		}
		seen, err := seenAnything(ctx, tx, run)
		if err != nil {
			return err
		}
		var hide []uuid.UUID
		var inferred int64
		for _, a := range list {
			switch {
			case !a.Hidden:
				hide = append(hide, a.ID)
				inferred++
			case a.Settled:
				purge = append(purge, a.ID)
			}
		}
		limit := max(rules.CapCount, int64(float64(total)*rules.CapShare))
		if !run.ApproveDeletions && inferred > 0 && (inferred > limit || !seen) {
			counts.Held = inferred
			hide = nil
		}
		counts.Hidden = int64(len(hide))
		return hideAbsent(ctx, tx, run, hide)
	})
	if err != nil {
		return Counts{}, err
	}
	for len(purge) > 0 {
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

type absentee struct {
	ID      uuid.UUID
	Hidden  bool
	Settled bool
}

// absentees returns the documents that the listing did not contain, and how
// many documents the connection shows.
func absentees(ctx context.Context, tx pgx.Tx, run Run, rules SweepRules) ([]absentee, int64, error) {
	containers, prefixes := []string{}, []string{}
	for _, b := range run.Blocked {
		if b.Prefix != "" || b.ID == "" {
			prefixes = append(prefixes, likePrefix(b.Prefix))
		}
		containers = append(containers, b.ID)
	}
	rows, err := tx.Query(ctx, `
		SELECT d.id, d.hidden_reason IS NOT NULL,
			(d.hidden_reason = 'absent' AND d.hidden_at <= clock() - $5::interval) IS TRUE
		FROM document d
		WHERE d.connection_id = $1
		  AND NOT EXISTS (SELECT FROM seen s WHERE s.connection_id = $1 AND s.listing = $2 AND s.document_id = d.id)
		  AND NOT (d.container = ANY($3) OR d.external_id LIKE ANY($4))
		  AND d.hidden_reason IS DISTINCT FROM 'refused'
		UNION ALL
		SELECT d.id, true, d.hidden_at <= clock() - $6::interval FROM document d WHERE d.connection_id = $1 AND d.hidden_reason = 'refused'`,
		run.ConnectionID, run.Listing, containers, prefixes, rules.Settle, rules.RefusedGrace)
	if err != nil {
		return nil, 0, fmt.Errorf("reading absent documents: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[absentee])
	if err != nil {
		return nil, 0, fmt.Errorf("reading absent documents: %w", err)
	}
	var total int64
	err = tx.QueryRow(ctx, `SELECT count(*) FROM document WHERE connection_id = $1 AND hidden_reason IS NULL`, run.ConnectionID).Scan(&total)
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

func hideAbsent(ctx context.Context, tx pgx.Tx, run Run, ids []uuid.UUID) error {
	if len(ids) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE document SET hidden_reason = 'absent', hidden_at = clock() WHERE id = ANY($1)`, ids); err != nil {
		return fmt.Errorf("hiding absent documents: %w", err)
	}
	return noteDocuments(ctx, tx, "hide", run.ConnectionID, ids)
}

func (s *Store) purgeAbsent(ctx context.Context, run Run, ids []uuid.UUID) (int64, error) {
	var n int64
	err := s.inTxErr(ctx, "purging", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT id FROM document WHERE id = ANY($1) AND hidden_reason IN ('absent', 'refused') ORDER BY id FOR UPDATE`, ids)
		if err != nil {
			return err
		}
		still, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil {
			return err
		}
		n = int64(len(still))
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
