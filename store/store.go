package store

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	pgxvec "github.com/pgvector/pgvector-go/pgx"
)

// Purpose says what a pool is for; each purpose has limits of its own, so that
// one cannot starve another.
type Purpose string

// The purposes of pools.
const (
	Web    Purpose = "web"
	Worker Purpose = "worker"
	CLI    Purpose = "cli"
)

// Config describes a connection pool on a migrated database.
type Config struct {
	// URL is the connection string of the role app.
	URL string
	// Purpose chooses timeouts and pool size; "" is CLI.
	Purpose Purpose
	// MaxConns overrides the purpose's pool size.
	MaxConns int32
	Log      *slog.Logger
	// Program and Clean are those of the erasures that EraseOptions say nothing else of.
	Program string
	Clean   func(ctx context.Context, tables []string) (Cleaned, error)
	// ReadAudit says how reads of content are recorded.
	ReadAudit ReadAudit
}

// searchPath is where names of SQL are looked up.
const searchPath = "tributary, public"

type limits struct {
	conns     int32
	statement time.Duration
}

func (p Purpose) limits() limits {
	switch p {
	case Web:
		return limits{conns: 10, statement: 10 * time.Second}
	case Worker:
		return limits{conns: 12, statement: time.Minute}
	default:
		return limits{conns: 4, statement: time.Minute}
	}
}

// Store is the database of one instance. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	log  *slog.Logger
	acls *aclCache
	// trouble is why PostgreSQL refused a write; nil while it takes them.
	trouble atomic.Pointer[error]
	// feed wakes those who wait for the feed to have more.
	feed wakers
	// erasing is what EraseOptions default to.
	erasing EraseOptions
	// reads of content wait here to be recorded, as audit says.
	reads readLog
	audit ReadAudit
}

// Open connects as the role app. It returns a *SchemaError where the schema is
// older than this binary; a newer one is accepted, because neighbouring
// versions run together.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, &InputError{Field: "DATABASE_URL", Problem: "is not a PostgreSQL connection string"}
	}
	lim := cfg.Purpose.limits()
	pc.MaxConns = lim.conns
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	}
	params := pc.ConnConfig.RuntimeParams
	params["application_name"] = "tributary-" + string(cfg.Purpose)
	params["search_path"] = searchPath
	params["statement_timeout"] = strconv.FormatInt(lim.statement.Milliseconds(), 10)
	params["lock_timeout"] = "3000"
	params["idle_in_transaction_session_timeout"] = "15000"
	params["timezone"] = "UTC"
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		if err := pgxvec.RegisterTypes(ctx, conn); err != nil {
			return fmt.Errorf("registering vector types: %w", err)
		}
		// Times are UTC wherever they are shown, whatever the zone of the machine.
		conn.TypeMap().RegisterType(&pgtype.Type{Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC}})
		return nil
	}
	log := cfg.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Store{log: log, acls: newACLCache(), audit: cfg.ReadAudit, erasing: EraseOptions{Program: cfg.Program, Clean: cfg.Clean}}
	pc.AfterRelease = s.forgets
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("opening database: %w", err)
	}
	s.pool = pool
	if err := checkSchema(ctx, pool); err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// Close closes every connection of the pool.
func (s *Store) Close() { s.pool.Close() }

// Pool returns the pool, for River, which brings its own statements.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error { return s.pool.Ping(ctx) }

// Now returns the instance's clock, which tests may have replaced.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var t time.Time
	if err := s.pool.QueryRow(ctx, `SELECT clock()`).Scan(&t); err != nil {
		return t, fmt.Errorf("reading clock: %w", err)
	}
	return t, nil
}
