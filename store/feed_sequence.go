package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// sequenceBatch bounds the rows that one transaction gives positions to, and
	// those that one drops.
	sequenceBatch = 10_000
	// sequenceEvery is how often the feed is looked at where nothing wakes it.
	sequenceEvery = time.Second
	// FeedLagAlarm is how long a change may wait for its position before somebody
	// has to look.
	FeedLagAlarm = 2 * time.Minute
)

// The channels of PostgreSQL that say that the outbox has a row, and that the
// feed has a position.
const (
	channelOutbox = "tributary_outbox"
	channelFeed   = "tributary_feed"
)

// SequenceFeed gives every committed row of the outbox that has none a position,
// and returns how many it gave. A row that is committed later gets a later one,
// whatever order the transactions began in. Where another process is at it, it
// does nothing.
func (s *Store) SequenceFeed(ctx context.Context) (int64, error) {
	var total int64
	for {
		var n int64
		err := s.inTxErr(ctx, "sequencing the feed", func(tx pgx.Tx) error {
			var head int64
			err := tx.QueryRow(ctx, `SELECT position FROM feed_head FOR UPDATE SKIP LOCKED`).Scan(&head)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			// Rows that an erasure takes away meanwhile get none: they are locked first.
			err = tx.QueryRow(ctx, `
				WITH waiting AS MATERIALIZED (SELECT id FROM outbox WHERE position IS NULL ORDER BY id LIMIT $2 FOR UPDATE),
				numbered AS (SELECT id, $1 + row_number() OVER (ORDER BY id) AS place FROM waiting),
				given AS (UPDATE outbox o SET position = n.place FROM numbered n WHERE o.id = n.id RETURNING 1),
				moved AS (UPDATE feed_head SET position = $1 + (SELECT count(*) FROM given), sequenced_at = clock() WHERE EXISTS (SELECT FROM given))
				SELECT count(*) FROM given`, head, sequenceBatch).Scan(&n)
			if err != nil || n == 0 {
				return err
			}
			_, err = tx.Exec(ctx, `SELECT pg_notify($1, '')`, channelFeed)
			return err
		})
		total += n
		if err != nil || n < sequenceBatch {
			return total, err
		}
	}
}

// TellStale writes to the outbox which connections' permissions have become too
// old, or young enough again. It returns how many.
func (s *Store) TellStale(ctx context.Context) (int64, error) {
	var n int64
	err := s.inTxErr(ctx, "telling the age of permissions", func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			WITH turned AS (
				SELECT id FROM connection WHERE state <> 'closing' AND told_stale = coalesce(permissions_as_of > clock() - max_permission_age, false)
				ORDER BY id FOR NO KEY UPDATE SKIP LOCKED),
			told AS (INSERT INTO outbox (kind, connection_id) SELECT 'stale', id FROM turned RETURNING 1),
			noted AS (UPDATE connection SET told_stale = NOT told_stale WHERE id IN (SELECT id FROM turned))
			SELECT count(*) FROM told`).Scan(&n)
		return err
	})
	return n, err
}

// DropFeed drops the changes at the feed's beginning that are older than keep.
// Cursors before them have expired. It returns how many it dropped.
func (s *Store) DropFeed(ctx context.Context, keep time.Duration) (int64, error) {
	var total int64
	for {
		var n int64
		err := s.inTxErr(ctx, "dropping old changes", func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, `
				WITH head AS MATERIALIZED (SELECT dropped FROM feed_head FOR UPDATE SKIP LOCKED),
				eldest AS (SELECT o.position, o.at FROM outbox o WHERE o.position > (SELECT dropped FROM head) ORDER BY o.position LIMIT $2),
				last AS (SELECT coalesce((SELECT min(position) - 1 FROM eldest WHERE at >= clock() - $1::interval), (SELECT max(position) FROM eldest)) AS position),
				gone AS (DELETE FROM outbox o USING last WHERE o.position > (SELECT dropped FROM head) AND o.position <= last.position RETURNING 1),
				moved AS (UPDATE feed_head SET dropped = greatest(dropped, (SELECT position FROM last)) WHERE EXISTS (SELECT FROM gone))
				SELECT count(*) FROM gone`, keep, sequenceBatch).Scan(&n)
		})
		total += n
		if err != nil || n < sequenceBatch {
			return total, err
		}
	}
}

// FeedHealth says how far the feed is.
type FeedHealth struct {
	// Position is the last that was given, Waiting how many rows have none.
	Position int64 `json:"position"`
	Waiting  int64 `json:"waiting"`
	// Lag is how long the eldest of them waits, Age how old the eldest change is
	// that can still be read.
	Lag time.Duration `json:"lag"`
	Age time.Duration `json:"age"`
}

// FeedHealth returns how far the feed is.
func (s *Store) FeedHealth(ctx context.Context) (FeedHealth, error) {
	var h FeedHealth
	var lag, age float64
	err := s.pool.QueryRow(ctx, `
		SELECT h.position, (SELECT count(*) FROM outbox WHERE position IS NULL),
			coalesce((SELECT extract(epoch FROM clock() - min(at)) FROM outbox WHERE position IS NULL), 0)::float8,
			coalesce((SELECT extract(epoch FROM clock() - o.at) FROM outbox o WHERE o.position IS NOT NULL ORDER BY o.position LIMIT 1), 0)::float8
		FROM feed_head h`).Scan(&h.Position, &h.Waiting, &lag, &age)
	h.Lag, h.Age = seconds(lag), seconds(age)
	return h, translate("reading the feed's head", err)
}

func seconds(n float64) time.Duration { return time.Duration(max(n, 0) * float64(time.Second)) }

// KeepFeed gives positions, tells which permissions are too old, and drops what
// is older than keep, until ctx ends. Every process may run it: one of them at a
// time does the work, and each wakes those who wait in it.
func (s *Store) KeepFeed(ctx context.Context, keep time.Duration) error {
	woken := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.hearFeed(ctx, woken)
	}()
	defer func() { <-done }()
	tick := time.NewTicker(sequenceEvery)
	defer tick.Stop()
	var slow time.Time
	for {
		if err := s.keepFeedOnce(ctx, keep, &slow); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "keeping the feed", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-woken:
		case <-tick.C:
		}
	}
}

// slowFeedEvery is how often the rarer work of the feed is looked at.
const slowFeedEvery = 10 * time.Second

func (s *Store) keepFeedOnce(ctx context.Context, keep time.Duration, slow *time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if time.Since(*slow) >= slowFeedEvery {
		*slow = time.Now()
		if _, err := s.TellStale(ctx); err != nil {
			return err
		}
		if _, err := s.DropFeed(ctx, keep); err != nil {
			return err
		}
	}
	_, err := s.SequenceFeed(ctx)
	return err
}

// hearFeed listens to the two channels on a connection of its own until ctx ends.
// Behind a pooler that does not pass notifications on, it hears nothing.
func (s *Store) hearFeed(ctx context.Context, woken chan<- struct{}) {
	for ctx.Err() == nil {
		err := s.hearFeedOnce(ctx, woken)
		if err != nil && ctx.Err() == nil {
			s.log.DebugContext(ctx, "listening to the outbox", "error", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(slowFeedEvery):
		}
	}
}

func (s *Store) hearFeedOnce(ctx context.Context, woken chan<- struct{}) error {
	conn, err := pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `LISTEN `+channelOutbox+`; LISTEN `+channelFeed); err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	for {
		n, err := conn.WaitForNotification(ctx)
		if err != nil {
			return fmt.Errorf("waiting: %w", err)
		}
		if n.Channel == channelFeed {
			s.feed.wake()
			continue
		}
		select {
		case woken <- struct{}{}:
		default:
		}
	}
}
