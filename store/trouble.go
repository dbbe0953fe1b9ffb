package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"tributary/connectors"
)

// IsTrouble reports an error that says that PostgreSQL cannot write for the
// time being: no space, no memory, no connections, read-only, shutting down or
// unreachable. It says nothing of what was to be written, nor of a source.
func IsTrouble(err error) bool {
	if _, ok := errors.AsType[*connectors.Error](err); ok || err == nil {
		return false
	}
	switch code := pgCode(err); {
	case code == "":
		_, network := errors.AsType[net.Error](err)
		return network || pgconn.SafeToRetry(err) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
	case code[:2] == "08", code[:2] == "53": // connection, resources
		return true
	default: // read-only, I/O error, shutdown
		return slices.Contains([]string{"25006", "58030", "57P01", "57P02", "57P03"}, code)
	}
}

// RefusesWrites reports an error by which PostgreSQL says that it is there and
// takes no writes.
func RefusesWrites(err error) bool {
	code := pgCode(err)
	return code == "25006" || code == "58030" || len(code) == 5 && code[:2] == "53"
}

// noteTrouble remembers that PostgreSQL refused a write, until Writable finds
// that it takes them again.
func (s *Store) noteTrouble(err error) {
	if err != nil && RefusesWrites(err) {
		s.trouble.Store(&err)
	}
}

// probeBytes is more than a page of a table that has space left may hold.
const probeBytes = 64 << 10

// Writable returns nil while PostgreSQL takes writes. After a write was refused
// for want of space, or because the server is read-only, it tries one that needs
// space, which it takes back: nothing else ends that trouble.
func (s *Store) Writable(ctx context.Context) error {
	if s.trouble.Load() == nil {
		return nil
	}
	return s.ProbeWrite(ctx)
}

// ProbeWrite writes and removes a row that needs space.
func (s *Store) ProbeWrite(ctx context.Context) error {
	fill := make([]byte, probeBytes)
	if _, err := rand.Read(fill); err != nil {
		return fmt.Errorf("making a row: %w", err)
	}
	err := s.inTxErr(ctx, "writing to the database", func(tx pgx.Tx) error {
		var id int64
		err := tx.QueryRow(ctx, `
			INSERT INTO notice (subject, code, severity, detail, remedy, cleared_at) VALUES ('probe', $1, 'info', $2, '', clock()) RETURNING id`,
			NoticeStorage, base64.StdEncoding.EncodeToString(fill)).Scan(&id)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM notice WHERE id = $1`, id)
		return err
	})
	if err == nil {
		s.trouble.Store(nil)
	}
	return err
}
