package store

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/assertion"
)

// Errors of naming a reader.
var (
	// ErrReaderUnknown: a key that may name readers named one that does not exist or is disabled.
	ErrReaderUnknown = errors.New("unknown reader")
	// ErrAssertionUsed: the assertion was presented before.
	ErrAssertionUsed = errors.New("the assertion was used before")
	// ErrAssertionTime: the assertion is not valid at this time.
	ErrAssertionTime = errors.New("the assertion is not valid at this time")
)

// Authenticate returns the key with that secret and the identity it stands
// for. Anything wrong with it is ErrUnauthenticated. The identity of a key whose
// mode names readers is nobody; NameReader and NameByAssertion return whom it
// names.
func (s *Store) Authenticate(ctx context.Context, secret string) (Key, Identity, error) {
	if !strings.HasPrefix(secret, keyPrefix) {
		return Key{}, Identity{}, ErrUnauthenticated
	}
	hash := sha256.Sum256([]byte(secret))
	var stored, previous []byte
	var id uuid.UUID
	var used bool
	err := s.pool.QueryRow(ctx, `
		SELECT k.id, k.secret_hash, CASE WHEN k.previous_until > clock() THEN k.previous_hash END, coalesce(k.last_used_at > clock() - interval '1 minute', false)
		FROM api_key k LEFT JOIN reader r ON r.id = k.reader_id
		WHERE (k.secret_hash = $1 OR k.previous_hash = $1) AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock())
		  AND r.disabled_at IS NULL`, hash[:]).Scan(&id, &stored, &previous, &used)
	if errors.Is(err, pgx.ErrNoRows) {
		return Key{}, Identity{}, ErrUnauthenticated
	}
	if err != nil {
		return Key{}, Identity{}, translate("authenticating", err)
	}
	if subtle.ConstantTimeCompare(stored, hash[:])|subtle.ConstantTimeCompare(previous, hash[:]) != 1 {
		return Key{}, Identity{}, ErrUnauthenticated
	}
	if !used {
		// A row that another request is updating is being marked already.
		_, err := s.pool.Exec(ctx, `
			UPDATE api_key SET last_used_at = clock()
			WHERE id = (SELECT id FROM api_key WHERE id = $1 FOR UPDATE SKIP LOCKED)`, id)
		if err != nil {
			s.noteTrouble(err)
			return Key{}, Identity{}, translate("authenticating", err)
		}
	}
	key, err := readKey(ctx, s.pool, `k.id = $1`, id)
	if err != nil {
		return Key{}, Identity{}, translate("authenticating", err)
	}
	who := Identity{key: key.ID}
	if key.ReaderID != nil {
		who.reader = *key.ReaderID
	}
	return key, who, nil
}

// NameReader returns the identity of the reader with that id, asked for by a
// trusted key. One that does not exist or is disabled is ErrReaderUnknown.
func (s *Store) NameReader(ctx context.Context, key Key, id uuid.UUID) (Identity, error) {
	if key.Mode != KeyTrusted {
		return Identity{}, ErrUnauthenticated
	}
	var ok bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM reader WHERE id = $1 AND disabled_at IS NULL)`, id).Scan(&ok)
	if err != nil {
		return Identity{}, translate("reading reader", err)
	}
	if !ok {
		return Identity{}, ErrReaderUnknown
	}
	return Identity{reader: id, key: key.ID}, nil
}

// assertionSkew is how far ahead the clock of who signs may be.
const assertionSkew = 30 * time.Second

// NameByAssertion returns the identity of the reader that a verified assertion of
// the key names: by issuer and subject, or by its id where no issuer is said. An
// assertion counts once, on whichever process it arrives.
//
// SECURITY: time is the database's, here and where used assertions are forgotten,
// so that no clock of a process makes one count again.
func (s *Store) NameByAssertion(ctx context.Context, key Key, a assertion.Claims) (Identity, error) {
	if key.Mode != KeyAssertion {
		return Identity{}, ErrUnauthenticated
	}
	jti := sha256.Sum256([]byte(a.ID))
	notBefore := a.IssuedAt
	if a.NotBefore.After(notBefore) {
		notBefore = a.NotBefore
	}
	var inTime, fresh bool
	var reader *uuid.UUID
	// A subject that is not written as an id is finds no reader by it.
	id, err := uuid.Parse(a.Subject)
	if err != nil || id.String() != a.Subject {
		id = uuid.Nil
	}
	err = s.pool.QueryRow(ctx, `
		WITH valid AS MATERIALIZED (SELECT $3::timestamptz > t AND $4::timestamptz <= t + $5::interval AS yes FROM clock() t),
		used AS (
			INSERT INTO assertion_used (key_id, jti_hash, until) SELECT $1, $2, $3 FROM valid WHERE yes
			ON CONFLICT (key_id, jti_hash) DO NOTHING RETURNING true)
		SELECT v.yes, EXISTS (SELECT FROM used),
		       (SELECT r.id FROM reader r WHERE r.disabled_at IS NULL AND r.id =
		          CASE WHEN $6 = '' THEN $8 ELSE (SELECT i.reader_id FROM reader_identity i WHERE i.issuer = $6 AND i.subject = $7) END)
		FROM valid v`,
		key.ID, jti[:], a.Expires, notBefore, assertionSkew, a.Issuer, a.Subject, id).Scan(&inTime, &fresh, &reader)
	switch {
	case err != nil:
		s.noteTrouble(err)
		return Identity{}, translate("reading assertion", err)
	case !inTime:
		return Identity{}, ErrAssertionTime
	case !fresh:
		return Identity{}, ErrAssertionUsed
	case reader == nil:
		return Identity{}, ErrReaderUnknown
	}
	return Identity{reader: *reader, key: key.ID}, nil
}

// AlarmKey raises a notice that a trusted key named readers, more than is usual,
// within a minute.
func (s *Store) AlarmKey(ctx context.Context, key Key, readers int) error {
	return s.inTxErr(ctx, "raising alarm", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE api_key SET alarmed_at = clock(), alarm_readers = $2 WHERE id = $1`, key.ID, readers); err != nil {
			return err
		}
		return s.RaiseNotice(ctx, tx, Notice{Code: NoticeKeyNamesMany, Subject: key.Name, Detail: fmt.Sprintf("the key named %d readers within a minute", readers)})
	})
}
