package store

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// QuarantinedItem is an item that could not be ingested.
type QuarantinedItem struct {
	ExternalID     string    `json:"id"`
	Path           string    `json:"path"`
	SourceRevision string    `json:"source_revision"`
	Class          string    `json:"class"`
	Reason         string    `json:"reason"`
	Attempts       int       `json:"attempts"`
	FirstAt        time.Time `json:"first_at"`
	LastAt         time.Time `json:"last_at"`
	// RetryAt is set while it waits to be tried again because an admin asked.
	RetryAt *time.Time `json:"retry_at,omitempty"`
}

// Quarantined lists a connection's quarantine by path.
func (s *Store) Quarantined(ctx context.Context, connection uuid.UUID) ([]QuarantinedItem, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT external_id, path, source_revision, class, reason, attempts, first_at, last_at, retry_at
		FROM quarantine WHERE connection_id = $1 ORDER BY path, external_id`, connection)
	if err != nil {
		return nil, fmt.Errorf("listing quarantine: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[QuarantinedItem])
	if err != nil {
		return nil, fmt.Errorf("listing quarantine: %w", err)
	}
	return list, nil
}

// QuarantinePage lists a connection's quarantine in id order, after the id after
// ("" starts), at most limit.
func (s *Store) QuarantinePage(ctx context.Context, connection uuid.UUID, after string, limit int) ([]QuarantinedItem, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT external_id, path, source_revision, class, reason, attempts, first_at, last_at, retry_at
		FROM quarantine WHERE connection_id = $1 AND external_id > $2 ORDER BY external_id LIMIT $3`, connection, after, limit)
	if err != nil {
		return nil, translate("listing quarantine", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[QuarantinedItem])
	return list, translate("listing quarantine", err)
}

// RetryAllQuarantined is RetryQuarantined of everything that is quarantined. The
// event says how many that were; nothing is recorded of none.
func (s *Store) RetryAllQuarantined(ctx context.Context, connection uuid.UUID, event audit.Event) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "retrying quarantined items", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE quarantine SET retry_at = clock() WHERE connection_id = $1`, connection)
		if err != nil {
			return err
		}
		if n = int(tag.RowsAffected()); n == 0 {
			return nil
		}
		event.Detail = maps.Clone(event.Detail)
		event.Detail["items"] = strconv.Itoa(n)
		return recordAll(ctx, tx, connection.String(), []audit.Event{event})
	})
	return n, err
}

// RetryQuarantined lets quarantined items be tried once more, whatever their
// attempts, by the next content run that can reach them. It returns how many of
// ids are quarantined.
func (s *Store) RetryQuarantined(ctx context.Context, connection uuid.UUID, ids []string, events ...audit.Event) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "retrying quarantined items", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE quarantine SET retry_at = clock() WHERE connection_id = $1 AND external_id = ANY($2)`, connection, ids)
		if err != nil {
			return err
		}
		n = int(tag.RowsAffected())
		return recordAll(ctx, tx, connection.String(), events)
	})
	return n, err
}

// Retry is a quarantined item that is to be tried again within a run.
type Retry struct {
	ExternalID     string
	Path           string
	SourceRevision string
	Class          string
	// Asked is true where an admin asked for it.
	Asked bool
	// Here is true where it failed in this run.
	Here bool
}

// RetriesDue returns up to limit quarantined items that run may try again by
// fetching them: those that an admin asks for, those that failed in this run of
// something that may pass, and, where the run lists only changes, those with
// fewer than tries attempts.
func (s *Store) RetriesDue(ctx context.Context, run Run, tries, limit int) ([]Retry, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT external_id, path, source_revision, class, retry_at IS NOT NULL, here FROM quarantine q, LATERAL (SELECT q.run_id = $2 AND q.last_at >= $6 AS here) h
		WHERE connection_id = $1 AND (retry_at IS NOT NULL OR (here AND class IN ('transient', 'unknown')) OR (NOT here AND $3 AND attempts < $4))
		ORDER BY retry_at NULLS LAST, last_at, external_id LIMIT $5`, run.ConnectionID, run.ID, run.Kind == RunChanges, tries, limit, run.StartedAt)
	if err != nil {
		return nil, translate("reading quarantined items to retry", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Retry])
	return list, translate("reading quarantined items to retry", err)
}

// ExcludeItems keeps items out for good: they leave the quarantine, no run
// ingests them, and what is stored of them hides and is purged. It returns how
// many were not excluded before.
func (s *Store) ExcludeItems(ctx context.Context, connection uuid.UUID, ids []string, reason, by string, events ...audit.Event) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "excluding items", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		// Batches in flight come before; later ones see the exclusion.
		if _, err := tx.Exec(ctx, `SELECT FROM sync_run WHERE connection_id = $1 AND state IN ('queued', 'running') ORDER BY id FOR UPDATE`, connection); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `
			INSERT INTO exclusion (connection_id, id_hash, external_id, path, why, reason, by)
			SELECT $1::uuid, sha256(uuid_send($1) || convert_to(i, 'UTF8')), i, coalesce(q.path, d.path, ''), 'excluded', $3, $4
			FROM unnest($2::text[]) AS i
			LEFT JOIN quarantine q ON q.connection_id = $1 AND q.external_id = i
			LEFT JOIN document d ON d.connection_id = $1 AND d.external_id = i
			ON CONFLICT (connection_id, id_hash) DO NOTHING`, connection, ids, cleanText(reason), by)
		if err != nil {
			return err
		}
		n = int(tag.RowsAffected())
		if _, err := tx.Exec(ctx, `DELETE FROM quarantine WHERE connection_id = $1 AND external_id = ANY($2)`, connection, ids); err != nil {
			return err
		}
		if err := purgeExcluded(ctx, tx, connection, ids); err != nil {
			return err
		}
		return recordAll(ctx, tx, connection.String(), events)
	})
	return n, err
}

// purgeExcluded removes what is stored of items.
func purgeExcluded(ctx context.Context, tx pgx.Tx, connection uuid.UUID, ids []string) error {
	rows, err := tx.Query(ctx, `SELECT id FROM document WHERE connection_id = $1 AND external_id = ANY($2) ORDER BY id FOR UPDATE`, connection, ids)
	if err != nil {
		return err
	}
	stored, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil || len(stored) == 0 {
		return err
	}
	if err := noteDocuments(ctx, tx, "purge", connection, stored); err != nil {
		return err
	}
	return purgeDocuments(ctx, tx, stored)
}

// ExcludedItem is an item that an admin keeps out.
type ExcludedItem struct {
	ExternalID string    `json:"id"`
	Path       string    `json:"path"`
	Reason     string    `json:"reason"`
	By         string    `json:"by"`
	At         time.Time `json:"at"`
}

// Exclusions lists what admins keep out of a connection, by path. What was
// erased stays out too, and is known by no more than a hash.
func (s *Store) Exclusions(ctx context.Context, connection uuid.UUID) ([]ExcludedItem, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT external_id, path, reason, by, at FROM exclusion
		WHERE connection_id = $1 AND why = 'excluded' AND external_id IS NOT NULL ORDER BY path, external_id`, connection)
	if err != nil {
		return nil, translate("listing exclusions", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ExcludedItem])
	return list, translate("listing exclusions", err)
}

// ExclusionsPage lists what admins keep out of a connection, by path, after an
// item (the zero item starts), at most limit.
func (s *Store) ExclusionsPage(ctx context.Context, connection uuid.UUID, after ExcludedItem, limit int) ([]ExcludedItem, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT external_id, path, reason, by, at FROM exclusion
		WHERE connection_id = $1 AND why = 'excluded' AND external_id IS NOT NULL AND ($3 = '' OR (path, external_id) > ($2, $3))
		ORDER BY path, external_id LIMIT $4`, connection, after.Path, after.ExternalID, limit)
	if err != nil {
		return nil, translate("listing exclusions", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ExcludedItem])
	return list, translate("listing exclusions", err)
}

// IncludeItems takes back an exclusion, and the change feed's position, so that
// the next run lists everything and finds the items again. What was erased
// stays out. It returns how many were excluded.
func (s *Store) IncludeItems(ctx context.Context, connection uuid.UUID, ids []string, events ...audit.Event) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "including items", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			DELETE FROM exclusion WHERE connection_id = $1 AND why = 'excluded'
			  AND id_hash IN (SELECT sha256(uuid_send($1) || convert_to(i, 'UTF8')) FROM unnest($2::text[]) AS i)`, connection, ids)
		if err != nil {
			return err
		}
		if n = int(tag.RowsAffected()); n > 0 {
			if _, err := tx.Exec(ctx, `UPDATE connection SET feed_cursor = NULL WHERE id = $1`, connection); err != nil {
				return err
			}
		}
		return recordAll(ctx, tx, connection.String(), events)
	})
	return n, err
}
