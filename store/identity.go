package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
)

// Identity is for whom a question is asked. It is made by [Store.Authenticate],
// [Store.AsReader] and [Store.AsPrincipals] only, never from request data; the
// zero Identity is nobody and sees nothing.
type Identity struct {
	reader     uuid.UUID
	key        uuid.UUID
	principals []int64
	bare       bool
	// called is how somebody who is no stored reader was named.
	called string
	// by is who asks in the reader's place.
	by string
}

// By returns the identity with who asks in its place: an admin, who is recorded
// as the one that read.
func (i Identity) By(actor string) Identity {
	i.by = actor
	return i
}

// ReaderID returns the reader, or the zero id where the identity has none.
func (i Identity) ReaderID() uuid.UUID { return i.reader }

// KeyID returns the API key, or the zero id where none was used.
func (i Identity) KeyID() uuid.UUID { return i.key }

// settings returns the values of tributary.reader, tributary.key and
// tributary.principals; "" names nobody.
func (i Identity) settings() (reader, key, principals string) {
	if i.reader != uuid.Nil {
		reader = i.reader.String()
	}
	if i.key != uuid.Nil {
		key = i.key.String()
	}
	if i.bare {
		ids := make([]string, len(i.principals))
		for n, id := range i.principals {
			ids[n] = strconv.FormatInt(id, 10)
		}
		principals = "{" + strings.Join(ids, ",") + "}"
	}
	return reader, key, principals
}

// AsReader returns the identity of a reader, for callers that have the
// database's own rights, such as the command line. A disabled reader is
// ErrNotFound.
func (s *Store) AsReader(ctx context.Context, id uuid.UUID) (Identity, error) {
	var ok bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM reader WHERE id = $1 AND disabled_at IS NULL)`, id).Scan(&ok)
	if err != nil {
		return Identity{}, translate("reading reader", err)
	}
	if !ok {
		return Identity{}, fmt.Errorf("reader %s: %w", id, ErrNotFound)
	}
	return Identity{reader: id}, nil
}

// PrincipalIn is a principal in the realm of a connection.
type PrincipalIn struct {
	Connection uuid.UUID
	Principal  connectors.Principal
}

// AsPrincipals returns the identity of somebody who holds exactly these
// principals and is no stored reader, for callers that have the database's own
// rights. Principals that no document or membership names hold nothing.
func (s *Store) AsPrincipals(ctx context.Context, ps ...PrincipalIn) (Identity, error) {
	id := Identity{bare: true}
	for i, p := range ps {
		if i > 0 {
			id.called += ", "
		}
		id.called += string(p.Principal.Kind) + ":" + p.Principal.ID
		var n int64
		err := s.pool.QueryRow(ctx, `
			SELECT p.id FROM connection c JOIN principal p ON p.realm_id = c.realm_id
			WHERE c.id = $1 AND p.kind = $2 AND p.external_id = $3`, p.Connection, p.Principal.Kind, p.Principal.ID).Scan(&n)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return Identity{}, translate("reading principal", err)
		default:
			id.principals = append(id.principals, n)
		}
	}
	return id, nil
}

// searchTimeout bounds one transaction of the query path.
const searchTimeout = 3 * time.Second

// beginAs begins a transaction in which the query path knows who asks, and which
// is over after searchTimeout. It is one message, in which nothing stands but ids.
func beginAs(who Identity) string {
	reader, key, principals := who.settings()
	return fmt.Sprintf(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL tributary.reader = '%s'; SET LOCAL tributary.key = '%s'; `+
		`SET LOCAL tributary.principals = '%s'; SET LOCAL statement_timeout = %d`, reader, key, principals, searchTimeout.Milliseconds())
}

// asIdentity runs fn in a read-only transaction with one snapshot, in which
// the query path knows who asks, and records what r says was read. r is nil where
// nothing of a document is handed out: counts, principals, explanations for admins.
//
// SECURITY: the identity is set for this transaction only, so that a pooled
// connection never carries it to the next borrower.
func (s *Store) asIdentity(ctx context.Context, op string, who Identity, r *reading, fn func(tx pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{BeginQuery: beginAs(who)}, func(tx pgx.Tx) error {
		tx.Conn().PgConn().CustomData()[askedKey] = true
		if err := fn(tx); err != nil || r == nil {
			return err
		}
		r.who = who
		return r.snapshot(ctx, tx)
	})
	if err == nil && r != nil {
		return s.recordRead(ctx, *r)
	}
	if code := pgCode(err); code == stateBadEncoding || code == stateBadUnicode {
		return &InputError{Problem: "must be UTF-8 text without NUL characters"}
	}
	return translate(op, err)
}

// askedKey marks a connection on which the query path was used.
const askedKey = "tributary.asked"

// cleanWithin bounds the look at a connection that comes back.
const cleanWithin = 2 * time.Second

// forgets reports whether a connection that comes back to the pool names nobody;
// one that does is closed instead of lent again.
//
// SECURITY: an identity ends with its transaction. This is the second lock: what
// another statement, or a mistake in the first, leaves behind is never inherited.
func (s *Store) forgets(conn *pgx.Conn) bool {
	asked, _ := conn.PgConn().CustomData()[askedKey].(bool)
	if !asked {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanWithin)
	defer cancel()
	var left string
	err := conn.QueryRow(ctx, `
		SELECT concat(current_setting('tributary.reader', true), current_setting('tributary.key', true), current_setting('tributary.principals', true))`).Scan(&left)
	if err != nil {
		return false
	}
	if left != "" {
		s.log.Error("a connection came back that still names somebody; it is closed", "error", "an identity was set beyond its transaction")
		return false
	}
	delete(conn.PgConn().CustomData(), askedKey)
	return true
}
