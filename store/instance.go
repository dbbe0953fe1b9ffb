package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Instance is what the database of an instance says of itself.
type Instance struct {
	// Postgres and Vector are the versions of PostgreSQL and of pgvector.
	Postgres string
	Vector   string
	// Schema is the version of the tables, Wanted the one that this program brings.
	Schema int64
	Wanted int64
	// StartedAt is when PostgreSQL began to answer.
	StartedAt time.Time
	// Connections and MaxConnections are those of the whole server.
	Connections, MaxConnections int
}

// Instance returns what the database says of itself.
func (s *Store) Instance(ctx context.Context) (Instance, error) {
	var i Instance
	var err error
	if i.Wanted, err = wantVersion(); err != nil {
		return i, err
	}
	err = s.pool.QueryRow(ctx, `
		SELECT current_setting('server_version'), coalesce((SELECT extversion FROM pg_extension WHERE extname = 'vector'), ''),
			(SELECT value::bigint FROM setting WHERE key = 'schema.version'), pg_postmaster_start_time(),
			(SELECT coalesce(sum(numbackends), 0)::int FROM pg_stat_database), current_setting('max_connections')::int`).
		Scan(&i.Postgres, &i.Vector, &i.Schema, &i.StartedAt, &i.Connections, &i.MaxConnections)
	if err != nil {
		return i, translate("asking the database for its versions", err)
	}
	return i, nil
}

// TableSize is how much room a table takes.
type TableSize struct {
	Schema, Name string
	// Rows is an estimate: what PostgreSQL's statistics say.
	Rows int64
	// Bytes are those of the table with its indexes and what is stored beside it; Indexes are among them.
	Bytes, Indexes int64
}

// TableSizes lists the tables of an instance, the largest first, without counting a row. A table that somebody rewrites
// just now makes it wait, and end as ErrTimeout.
func (s *Store) TableSizes(ctx context.Context) ([]TableSize, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT n.nspname::text, c.relname::text, `+estimatedRows+`, pg_total_relation_size(c.oid), pg_indexes_size(c.oid)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname IN ('tributary', $1) AND c.relkind IN ('r', 'm') ORDER BY 4 DESC, 1, 2`, RiverSchema)
	if err != nil {
		return nil, translate("reading the sizes of tables", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TableSize])
	return list, translate("reading the sizes of tables", err)
}

// DatabaseSize is how many bytes the database takes on its server's disk.
func (s *Store) DatabaseSize(ctx context.Context) (int64, error) {
	var n int64
	if err := s.pool.QueryRow(ctx, `SELECT pg_database_size(current_database())`).Scan(&n); err != nil {
		return 0, translate("reading the size of the database", err)
	}
	return n, nil
}

// estimatedRows is how many rows table c of pg_class has, by its statistics, of which a crash of the server leaves none,
// or else by its last VACUUM or ANALYZE.
const estimatedRows = `coalesce(nullif(pg_stat_get_live_tuples(c.oid), 0), greatest(c.reltuples, 0)::bigint)`

// exactUpTo is how many rows are counted for a page. Of more, an estimate is shown.
const exactUpTo = 3_000

// ExactUpTo is how many rows are counted for a page. Of more, an estimate is shown.
func ExactUpTo() int64 { return exactUpTo }

// Facts are what the whole of an instance amounts to. Numbers above ExactUpTo are estimates, or say no more than that
// there are more.
type Facts struct {
	// Documents and Chunks are those that are stored, hidden ones too.
	Documents int64
	Chunks    int64
	// Waiting chunks have no vector of the active profile yet. Profile is its name, "" where none is active.
	Waiting int64
	Profile string
	// Runs are those of the last 24 hours, Failed those of them that failed, Partial those that were done in part.
	Runs, Failed, Partial int64
	// Linked says that a reader has an identity at a source, Asked that somebody was given a document.
	Linked, Asked bool
}

// Facts returns what the instance amounts to, at a cost that does not grow with it.
func (s *Store) Facts(ctx context.Context) (Facts, error) {
	var f Facts
	err := s.pool.QueryRow(ctx, `
		WITH size AS (
			SELECT c.relname AS name, `+estimatedRows+` AS rows FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = 'tributary' AND c.relname IN ('document', 'chunk')),
		few AS MATERIALIZED (SELECT count(*) AS n, coalesce(sum(chunk_count), 0) AS chunks FROM (SELECT chunk_count FROM document LIMIT $1 + 1) d),
		active AS (SELECT id, name FROM embedding_profile WHERE state = 'active'),
		day AS (SELECT count(*) AS n, count(*) FILTER (WHERE state = 'failed') AS failed, count(*) FILTER (WHERE state = 'partial') AS partial
			FROM (SELECT state FROM sync_run WHERE queued_at > clock() - interval '24 hours' ORDER BY queued_at DESC LIMIT $1 + 1) r)
		SELECT CASE WHEN few.n <= $1 THEN few.n ELSE greatest(few.n, (SELECT rows FROM size WHERE name = 'document')) END,
			CASE WHEN few.n <= $1 THEN few.chunks ELSE greatest(few.chunks, (SELECT rows FROM size WHERE name = 'chunk')) END::bigint,
			(SELECT count(*) FROM (SELECT FROM embed_todo WHERE profile_id = (SELECT id FROM active) LIMIT $1 + 1) x),
			coalesce((SELECT name FROM active), ''), day.n, day.failed, day.partial,
			EXISTS (SELECT FROM reader_principal), EXISTS (SELECT FROM read_event WHERE cardinality(documents) > 0)
		FROM few, day`, exactUpTo).
		Scan(&f.Documents, &f.Chunks, &f.Waiting, &f.Profile, &f.Runs, &f.Failed, &f.Partial, &f.Linked, &f.Asked)
	if err != nil {
		return f, translate("reading what the instance amounts to", err)
	}
	return f, nil
}

// ProfileFill is how far a profile is filled, as a page shows it: counted up to ExactUpTo and estimated above.
type ProfileFill struct {
	Profile

	// Filled says that every chunk that was stored before the profile was made has been queued.
	Filled bool
	// Vectors are stored, Waiting chunks have none yet; Refused are those of them that the model refused, and Reason
	// why one of those was.
	Vectors, Waiting, Refused int64
	Reason                    string
	// Draining says that a process embeds for it just now.
	Draining bool
}

// ProfileFills lists the profiles by id with how far each is filled, at a cost that does not grow with the store. It
// takes one statement a profile, of which there are few.
func (s *Store) ProfileFills(ctx context.Context) ([]ProfileFill, error) {
	list, err := s.Profiles(ctx)
	if err != nil {
		return nil, err
	}
	fills := make([]ProfileFill, len(list))
	for i, p := range list {
		if fills[i], err = s.profileFill(ctx, p); err != nil {
			return nil, err
		}
	}
	return fills, nil
}

// ProfileFill is how far the profile of that name is filled, or ErrNotFound.
func (s *Store) ProfileFill(ctx context.Context, name string) (ProfileFill, error) {
	p, err := s.Profile(ctx, name)
	if err != nil {
		return ProfileFill{}, err
	}
	return s.profileFill(ctx, p)
}

func (s *Store) profileFill(ctx context.Context, p Profile) (ProfileFill, error) {
	f := ProfileFill{Profile: p}
	var chunks int64
	table := strings.Trim(vectorTable(p.ID), `"`)
	err := s.pool.QueryRow(ctx, `
		WITH size AS (
			SELECT c.relname AS name, `+estimatedRows+` AS rows FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = 'tributary' AND c.relname IN ('chunk', $3)),
		few AS MATERIALIZED (SELECT count(*) AS n FROM (SELECT FROM `+vectorTable(p.ID)+` LIMIT $2 + 1) v),
		todo AS MATERIALIZED (SELECT count(*) AS n, count(*) FILTER (WHERE error <> '') AS refused, max(error) AS reason
			FROM (SELECT error FROM embed_todo WHERE profile_id = $1 LIMIT $2 + 1) t)
		SELECT p.filled, coalesce(p.drainer_until > clock(), false), CASE WHEN few.n > $2 THEN greatest(few.n, (SELECT rows FROM size WHERE name = $3)) ELSE few.n END,
			todo.n, todo.refused, coalesce(todo.reason, ''),
			CASE WHEN todo.n > $2 OR NOT p.filled THEN (SELECT rows FROM size WHERE name = 'chunk') ELSE 0 END
		FROM embedding_profile p, few, todo WHERE p.id = $1`, p.ID, exactUpTo, table).
		Scan(&f.Filled, &f.Draining, &f.Vectors, &f.Waiting, &f.Refused, &f.Reason, &chunks)
	if errors.Is(err, pgx.ErrNoRows) {
		return f, fmt.Errorf("embedding profile %q: %w", p.Name, ErrNotFound)
	}
	if err != nil {
		return f, translate("counting vectors", err)
	}
	// What was never queued waits too.
	f.Waiting = max(f.Waiting, chunks-f.Vectors)
	return f, nil
}

// LiveAndRecent lists the runs that are live, the oldest first, and of the newest that have ended those that somebody
// may want to look at, the newest first: the runs of content, and those that failed or were done in part. Both have
// limit runs at most.
func (s *Store) LiveAndRecent(ctx context.Context, limit int) (live, recent []Run, err error) {
	rows, err := s.pool.Query(ctx, `SELECT `+runColumns+` FROM sync_run r JOIN connection c ON c.id = r.connection_id
		WHERE r.state IN ('queued', 'running') ORDER BY r.state DESC, r.queued_at LIMIT $1`, limit)
	if err == nil {
		live, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Run])
	}
	if err != nil {
		return nil, nil, translate("listing live runs", err)
	}
	rows, err = s.pool.Query(ctx, `SELECT `+runColumns+` FROM (SELECT * FROM sync_run ORDER BY queued_at DESC, id DESC LIMIT 300) r JOIN connection c ON c.id = r.connection_id
		WHERE r.state IN ('failed', 'partial') OR r.lane = 'content' AND r.state NOT IN ('queued', 'running')
		ORDER BY r.queued_at DESC, r.id DESC LIMIT $1`, limit)
	if err == nil {
		recent, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Run])
	}
	if err != nil {
		return nil, nil, translate("listing recent runs", err)
	}
	return live, recent, nil
}

// JobCount is how many jobs of a queue are in a state.
type JobCount struct {
	Queue, State string
	Jobs         int64
	// Oldest is when the one began to wait, or was tried, that did so first.
	Oldest *time.Time
}

// JobCounts counts the jobs by queue and state: those that are not over, those that were given up, and of those that
// were done only the ones of the last hour.
func (s *Store) JobCounts(ctx context.Context) ([]JobCount, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT queue, state::text, count(*), min(scheduled_at) FROM river.river_job
		WHERE state IN ('available', 'pending', 'retryable', 'running', 'scheduled', 'discarded') GROUP BY queue, state
		UNION ALL
		SELECT queue, state::text, count(*), min(finalized_at) FROM river.river_job
		WHERE state IN ('completed', 'cancelled') AND finalized_at > now() - interval '1 hour' GROUP BY queue, state
		ORDER BY 1, 2`)
	if err != nil {
		return nil, translate("counting jobs", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[JobCount])
	return list, translate("counting jobs", err)
}
