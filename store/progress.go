package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// addSample appends the counts of row r of sync_run to its samples, of which
// the last few stay. Heartbeats take them.
const addSample = `CASE WHEN jsonb_array_length(r.samples) >= 6 THEN r.samples - 0 ELSE r.samples END || jsonb_build_array(jsonb_build_object(
	'at', extract(epoch FROM clock()), 'listed', coalesce((r.counts->>'listed')::bigint, 0), 'documents', coalesce((r.counts->>'added')::bigint, 0)
	+ coalesce((r.counts->>'updated')::bigint, 0) + coalesce((r.counts->>'unchanged')::bigint, 0), 'bytes', coalesce((r.counts->>'bytes')::bigint, 0)))`

// What the number of items that a run will list rests on.
const (
	// BasisListing is the last complete listing of the same selection.
	BasisListing = "last listing"
	// BasisUnknown says that nobody knows how many there are.
	BasisUnknown = "unknown"
)

// rateWindow is how far back the rate of a run is taken from, and rateLeast the
// least that it is taken over.
const (
	rateWindow = 75 * time.Second
	rateLeast  = 2 * time.Second
)

// Progress says how far a run is and how fast it goes.
type Progress struct {
	// Listed items are those that the run has committed.
	Listed int64
	// Expected is how many there will be, nil where nobody knows; Basis says
	// what it rests on.
	Expected *int64
	Basis    string
	Done     Counts
	// The rates are those of the last minute, 0 while nobody works on the run.
	DocumentsPerSecond float64
	BytesPerSecond     float64
	Elapsed            time.Duration
	// Left is nil unless the total and the rate are known.
	Left *time.Duration
}

// MarshalJSON writes durations in seconds.
func (p Progress) MarshalJSON() ([]byte, error) {
	var left *float64
	if p.Left != nil {
		s := math.Round(p.Left.Seconds())
		left = &s
	}
	round := func(f float64) float64 { return math.Round(f*100) / 100 }
	return json.Marshal(struct {
		Listed    int64    `json:"listed"`
		Expected  *int64   `json:"expected"`
		Basis     string   `json:"basis"`
		Done      Counts   `json:"done"`
		Documents float64  `json:"documents_per_second"`
		Bytes     float64  `json:"bytes_per_second"`
		Elapsed   float64  `json:"elapsed_seconds"`
		Left      *float64 `json:"left_seconds"`
	}{p.Listed, p.Expected, p.Basis, p.Done, round(p.DocumentsPerSecond), round(p.BytesPerSecond), round(p.Elapsed.Seconds()), left})
}

type sample struct {
	At        float64 `json:"at"`
	Listed    int64   `json:"listed"`
	Documents int64   `json:"documents"`
	Bytes     int64   `json:"bytes"`
}

// Progress returns how far a run is.
func (s *Store) Progress(ctx context.Context, run Run) (Progress, error) {
	var now time.Time
	var samples []sample
	err := s.pool.QueryRow(ctx, `SELECT clock(), samples FROM sync_run WHERE id = $1`, run.ID).Scan(&now, &samples)
	if errors.Is(err, pgx.ErrNoRows) {
		return Progress{}, fmt.Errorf("run %s: %w", run.ID, ErrNotFound)
	}
	if err != nil {
		return Progress{}, translate("reading progress", err)
	}
	return progressAt(run, now, samples), nil
}

func progressAt(run Run, now time.Time, samples []sample) Progress {
	p := Progress{Listed: run.Counts.Listed, Expected: run.Expected, Basis: BasisUnknown, Done: run.Counts}
	if p.Expected != nil {
		p.Basis = BasisListing
	}
	switch {
	case run.FinishedAt != nil && run.StartedAt != nil:
		p.Elapsed = run.FinishedAt.Sub(*run.StartedAt)
	case run.StartedAt != nil:
		p.Elapsed = now.Sub(*run.StartedAt)
	}
	if run.State != RunRunning || run.Worker == "" {
		return p
	}
	seconds := float64(now.UnixMicro()) / 1e6
	for _, x := range samples {
		over := seconds - x.At
		if over > rateWindow.Seconds() {
			continue
		}
		if over < rateLeast.Seconds() {
			break
		}
		c := run.Counts
		p.DocumentsPerSecond = float64(c.Added+c.Updated+c.Unchanged-x.Documents) / over
		p.BytesPerSecond = float64(c.Bytes-x.Bytes) / over
		if p.Expected != nil && p.Listed < *p.Expected && c.Listed > x.Listed {
			left := time.Duration(float64(*p.Expected-p.Listed) / (float64(c.Listed-x.Listed) / over) * float64(time.Second))
			p.Left = &left
		}
		break
	}
	return p
}

// ExpectListing writes down how many items a listing will contain: as many as
// its connection had at the end of the last complete listing of the same
// selection, without those that the listing has passed already. It returns nil
// where there was none.
func (s *Store) ExpectListing(ctx context.Context, run Run) (*int64, error) {
	var n *int64
	err := s.inTxErr(ctx, "counting what is expected", func(tx pgx.Tx) error {
		if err := holdFence(ctx, tx, run.ID, run.Fence); err != nil {
			return err
		}
		err := tx.QueryRow(ctx, `
			UPDATE sync_run r SET expected = greatest(0,
				(SELECT count(*) FROM document WHERE connection_id = r.connection_id AND coalesce(hidden_reason, 'refused') = 'refused')
				+ (SELECT count(*) FROM skip k WHERE k.connection_id = r.connection_id
				   AND NOT EXISTS (SELECT FROM document d WHERE d.connection_id = k.connection_id AND d.external_id = k.external_id))
				+ (SELECT count(*) FROM quarantine q WHERE q.connection_id = r.connection_id
				   AND NOT EXISTS (SELECT FROM document d WHERE d.connection_id = q.connection_id AND d.external_id = q.external_id))
				- (SELECT count(DISTINCT document_id) FROM seen WHERE connection_id = r.connection_id AND listing = r.listing))
			WHERE r.id = $1 AND EXISTS (
				SELECT FROM sync_run o WHERE o.connection_id = r.connection_id AND o.id <> r.id AND o.kind IN ('snapshot', 'reconcile')
				AND o.complete AND o.state IN ('succeeded', 'partial') AND o.selection_version = r.selection_version)
			RETURNING expected`, run.ID).Scan(&n)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	return n, err
}

// CancelRun ends a live run, or asks the worker that holds it to end it, and
// records events with that. A run that has ended is ErrConflict.
func (s *Store) CancelRun(ctx context.Context, id uuid.UUID, events ...audit.Event) error {
	return s.inTxErr(ctx, "cancelling run", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		var held bool
		err := tx.QueryRow(ctx, `
			UPDATE sync_run SET cancel_requested = true, fence = CASE WHEN worker = '' THEN fence + 1 ELSE fence END,
				state = CASE WHEN worker = '' THEN 'cancelled' ELSE state END, finished_at = CASE WHEN worker = '' THEN clock() END
			WHERE id = $1 AND state IN ('queued', 'running') RETURNING worker <> ''`, id).Scan(&held)
		if errors.Is(err, pgx.ErrNoRows) {
			if _, err := readRun(ctx, tx, id); err != nil {
				return err
			}
			return fmt.Errorf("run %s has ended: %w", id, ErrConflict)
		}
		if err != nil {
			return err
		}
		if err := recordAll(ctx, tx, id.String(), events); err != nil {
			return err
		}
		if !held {
			return noteRun(ctx, tx, id, LevelWarning, EventEnded, "cancelled before anybody worked on it")
		}
		return noteRun(ctx, tx, id, LevelWarning, EventCancel, "an admin asked to cancel it: what is committed stays")
	})
}
