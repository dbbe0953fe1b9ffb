package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Read is one recorded read of content.
type Read struct {
	ID int64     `json:"id"`
	At time.Time `json:"at"`
	// Reader and Key are the names of today, "" where there is none or it is gone.
	ReaderID *uuid.UUID `json:"reader_id"`
	Reader   string     `json:"reader"`
	KeyID    *uuid.UUID `json:"key_id"`
	Key      string     `json:"key"`
	// Actor is who read in the reader's place: user@host by the command line,
	// "sql:" and the login by SQL, an admin.
	Actor string `json:"actor"`
	// Tool is how it was read: search, document, text, chunks, chunk, neighbours,
	// section, lineage, embeddings, list, export or
	// feed; lost of a row that tells only how many were.
	Tool      string      `json:"tool"`
	Documents []uuid.UUID `json:"documents"`
	// PermissionsAsOf are the permissions, by connection, that the read was decided by.
	PermissionsAsOf map[string]*time.Time `json:"permissions_as_of"`
	// Query is the question, where questions are kept.
	Query *string `json:"query"`
	// Lost is how many reads before this one could not be recorded.
	Lost int64 `json:"lost"`
}

// ReadFilter chooses reads. What is zero does not narrow.
type ReadFilter struct {
	// Document is a document's id.
	Document uuid.UUID
	// Reader is a reader's name or id; an id may be that of a reader who is gone.
	Reader string
	Since  time.Time
	Until  time.Time // exclusive
	Before int64     // reads with a smaller id only: the last one's of the page before
	Limit  int       // 1 to 1000; 0 is 100
}

// Reads returns recorded reads, the newest first.
func (s *Store) Reads(ctx context.Context, f ReadFilter) ([]Read, error) {
	if f.Limit == 0 {
		f.Limit = auditLimit
	}
	if f.Limit < 1 || f.Limit > maxAuditLimit {
		return nil, &InputError{Field: "limit", Problem: fmt.Sprintf("must be 1 to %d", maxAuditLimit)}
	}
	reader, err := s.readerOnce(ctx, f.Reader)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT e.id, e.at, e.reader_id, coalesce(r.name, ''), e.key_id, coalesce(k.name, ''), e.actor, e.tool, e.documents, e.permissions_as_of, e.query, e.lost
		FROM read_event e LEFT JOIN reader r ON r.id = e.reader_id LEFT JOIN api_key k ON k.id = e.key_id
		WHERE ($1::uuid IS NULL OR e.documents @> ARRAY[$1]) AND ($2::uuid IS NULL OR e.reader_id = $2)
		  AND ($3::timestamptz IS NULL OR e.at >= $3) AND ($4::timestamptz IS NULL OR e.at < $4)
		  AND ($5::bigint = 0 OR e.id < $5)
		ORDER BY e.id DESC LIMIT $6`,
		nullID(f.Document), reader, nullTime(f.Since), nullTime(f.Until), f.Before, f.Limit)
	if err != nil {
		return nil, translate("reading the read audit", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Read])
	return list, translate("reading the read audit", err)
}

// readerOnce returns the id of a reader that is, or was. "" is nil.
func (s *Store) readerOnce(ctx context.Context, nameOrID string) (*uuid.UUID, error) {
	if nameOrID == "" {
		return nil, nil //nolint:nilnil // nil is "any"
	}
	if id, err := uuid.Parse(nameOrID); err == nil {
		return &id, nil
	}
	r, err := s.Reader(ctx, nameOrID)
	return &r.ID, err
}

// forgetReadsBatch bounds the rows that one statement deletes.
const forgetReadsBatch = 5000

// ForgetReads deletes records of reads that are older than keep, which is at
// least a day. It deals with some at a time and returns with how many, 0 at last.
func (s *Store) ForgetReads(ctx context.Context, keep time.Duration) (int64, error) {
	var n int64
	err := s.pool.QueryRow(ctx, `SELECT forget_reads($1::interval, $2)`, keep, forgetReadsBatch).Scan(&n)
	return n, translate("forgetting old reads", err)
}

// CountSQLReads counts the reads of which an SQL login took the record away by
// rolling back; a record says how many. One is counted at the second call that
// follows its transaction's end.
func (s *Store) CountSQLReads(ctx context.Context) (int64, error) {
	var n int64
	err := s.pool.QueryRow(ctx, `SELECT count_sql_reads()`).Scan(&n)
	return n, translate("counting reads by SQL logins", err)
}

// ReadAuditSize is what the record of reads takes.
type ReadAuditSize struct {
	// Bytes are those of the table with its indexes, Database those of all.
	Bytes, Database int64
	// Oldest is when the first of them was; nil where there is none.
	Oldest *time.Time
}

// ReadAuditSize measures the record of reads.
func (s *Store) ReadAuditSize(ctx context.Context) (ReadAuditSize, error) {
	var z ReadAuditSize
	err := s.pool.QueryRow(ctx, `
		SELECT pg_total_relation_size(c.oid), pg_database_size(current_database()), (SELECT min(e.at) FROM read_event e)
		FROM pg_class c WHERE c.oid = 'tributary.read_event'::regclass`).Scan(&z.Bytes, &z.Database, &z.Oldest)
	return z, translate("measuring the read audit", err)
}
