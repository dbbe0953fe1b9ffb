package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Notice is something that an admin should know and do. One is open for each
// connection, code and subject; it is cleared when its cause is gone.
type Notice struct {
	ID           int64      `json:"id"`
	ConnectionID *uuid.UUID `json:"connection_id,omitempty"`
	// Connection is its name, "" for what concerns none.
	Connection string `json:"connection,omitempty"`
	// Subject is what it is about beside the connection: a lane, a profile, a
	// registration.
	Subject string `json:"subject,omitempty"`
	// Code is one of NoticeKinds.
	Code     string   `json:"code"`
	Severity Severity `json:"severity"`
	// Detail says what is the matter, with numbers; Remedy what to do.
	Detail    string     `json:"detail"`
	Remedy    string     `json:"remedy"`
	Since     time.Time  `json:"since"`
	LastAt    time.Time  `json:"last_at"`
	ClearedAt *time.Time `json:"cleared_at,omitempty"`
}

// Severity says how much a notice matters.
type Severity string

// The severities: something stands still or is lost; something is worse than
// it should be; good to know.
const (
	SeverityError   Severity = "error"
	SeverityWarning Severity = "warning"
	SeverityInfo    Severity = "info"
)

// querierTx is a pool or a transaction that may write.
type querierTx interface {
	querier
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// RaiseNotice opens a notice, or renews the open one of the same connection,
// code and subject. q is a transaction, or nil for none. The code has to be one
// of NoticeKinds; Severity and Remedy are the kind's where they are "".
func (s *Store) RaiseNotice(ctx context.Context, q querierTx, n Notice) error {
	if q == nil {
		q = s.pool
	}
	kind, ok := noticeKind(n.Code)
	if !ok {
		return &InputError{Field: "code", Problem: fmt.Sprintf("%q is no kind of notice: add it to NoticeKinds", n.Code)}
	}
	if n.Severity == "" {
		n.Severity = kind.Severity
	}
	if n.Remedy == "" {
		n.Remedy = kind.Remedy
	}
	_, err := q.Exec(ctx, `
		INSERT INTO notice AS n (connection_id, subject, code, severity, detail, remedy)
		SELECT $1::uuid, $2::text, $3, $4, $5, replace(replace($6::text, '{connection}', coalesce((SELECT name FROM connection WHERE id = $1), '')), '{subject}', $2)
		ON CONFLICT (coalesce(connection_id, '00000000-0000-0000-0000-000000000000'), code, subject) WHERE cleared_at IS NULL
		DO UPDATE SET severity = excluded.severity, detail = excluded.detail, remedy = excluded.remedy, last_at = clock()`,
		n.ConnectionID, n.Subject, n.Code, n.Severity, cleanText(n.Detail), n.Remedy)
	return translate("raising notice", err)
}

// ClearNotice closes an open notice whose cause is gone. connection is nil for
// what concerns none; there need be no such notice.
func (s *Store) ClearNotice(ctx context.Context, q querierTx, connection *uuid.UUID, code, subject string) error {
	if q == nil {
		q = s.pool
	}
	_, err := q.Exec(ctx, `
		UPDATE notice SET cleared_at = clock()
		WHERE connection_id IS NOT DISTINCT FROM $1 AND code = $2 AND subject = $3 AND cleared_at IS NULL`, connection, code, subject)
	return translate("clearing notice", err)
}

// NoticeFilter selects notices; zero fields select every open one.
type NoticeFilter struct {
	Connection uuid.UUID
	Code       string
	// All includes those that were cleared.
	All bool
	// Before continues a list: only notices with a smaller id.
	Before int64
	Limit  int
}

// Notices lists notices, the newest first.
func (s *Store) Notices(ctx context.Context, f NoticeFilter) ([]Notice, error) {
	if f.Limit <= 0 {
		f.Limit = 200
	}
	rows, err := s.pool.Query(ctx, `
		SELECT n.id, n.connection_id, coalesce(c.name, ''), n.subject, n.code, n.severity, n.detail, n.remedy, n.since, n.last_at, n.cleared_at
		FROM notice n LEFT JOIN connection c ON c.id = n.connection_id
		WHERE ($1 = '00000000-0000-0000-0000-000000000000'::uuid OR n.connection_id = $1) AND ($2 = '' OR n.code = $2)
		  AND ($3 OR n.cleared_at IS NULL) AND ($4::bigint = 0 OR n.id < $4)
		ORDER BY n.id DESC LIMIT $5`, f.Connection, f.Code, f.All, f.Before, f.Limit)
	if err != nil {
		return nil, translate("listing notices", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Notice])
	return list, translate("listing notices", err)
}

// NoticeCount is how many notices of a code are open.
type NoticeCount struct {
	Code     string
	Severity Severity
	Open     int64
}

// NoticeCounts counts the open notices by code and severity.
func (s *Store) NoticeCounts(ctx context.Context) ([]NoticeCount, error) {
	rows, err := s.pool.Query(ctx, `SELECT code, severity, count(*) FROM notice WHERE cleared_at IS NULL GROUP BY code, severity ORDER BY code, severity`)
	if err != nil {
		return nil, translate("counting notices", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[NoticeCount])
	return list, translate("counting notices", err)
}

// noticeKind returns the kind of a code.
func noticeKind(code string) (NoticeKind, bool) {
	for _, k := range NoticeKinds() {
		if k.Code == code {
			return k, true
		}
	}
	return NoticeKind{}, false
}
