package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/assertion"
	"tributary/internal/audit"
)

// keyPrefix begins every secret, so that scanners recognise a leaked one.
const keyPrefix = "trib_"

const keySecretBytes = 32

// Rights that a key may carry.
const (
	RightSearch    = "search"
	RightDocuments = "documents"
	RightExport    = "export"
	RightPush      = "push"
)

// KeyRights lists every right.
func KeyRights() []string { return []string{RightSearch, RightDocuments, RightExport, RightPush} }

// KeyMode says how a key names the reader for whom it asks.
type KeyMode string

// The modes of keys.
const (
	// KeyBound asks for one reader, always.
	KeyBound KeyMode = "bound"
	// KeyAssertion asks for the reader that a signed assertion with each request names.
	KeyAssertion KeyMode = "assertion"
	// KeyTrusted asks for whom it says.
	KeyTrusted KeyMode = "trusted"
	// KeyOwn asks for nobody: it sees what was shared with the key.
	KeyOwn KeyMode = "own"
)

// KeyModes lists every mode.
func KeyModes() []KeyMode { return []KeyMode{KeyBound, KeyAssertion, KeyTrusted, KeyOwn} }

// NamesReaders reports whether each request of such a key says for whom it asks.
func (m KeyMode) NamesReaders() bool { return m == KeyAssertion || m == KeyTrusted }

// MaxTrustedLife is how long a trusted key lives at most.
const MaxTrustedLife = 90 * 24 * time.Hour

// maxPerMinute bounds the limit of a key.
const maxPerMinute = 1_000_000

// Key is an API key without its secret.
type Key struct {
	ID             uuid.UUID   `json:"id"`
	Name           string      `json:"name"`
	Mode           KeyMode     `json:"mode"`
	Hint           string      `json:"hint"`
	ReaderID       *uuid.UUID  `json:"reader_id"`
	Reader         *string     `json:"reader"`
	Rights         []string    `json:"rights"`
	AllConnections bool        `json:"all_connections"`
	Connections    []uuid.UUID `json:"connections"`
	// PerMinute is how many requests it may make a minute; nil is what the instance gives every key.
	PerMinute  *int       `json:"per_minute"`
	CreatedBy  string     `json:"created_by"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
	// PreviousUntil is when the secret before the last rotation ends; nil where it has.
	PreviousUntil *time.Time `json:"previous_until"`
	// Signers may sign assertions of the key.
	Signers []KeySigner `json:"signers" db:"-"`
	// Whole says that it reads its connections whole, with their permissions, by the
	// feed: it asks for nobody and carries the right export.
	Whole bool `json:"reads_whole" db:"-"`
}

// CreateKeyParams describes a key to make: whose eyes it has, in which
// connections. The zero Mode is KeyBound with ReaderID and KeyOwn without.
type CreateKeyParams struct {
	Name           string
	Mode           KeyMode
	ReaderID       *uuid.UUID
	Signers        []assertion.Signer
	Connections    []uuid.UUID
	AllConnections bool
	Rights         []string
	ExpiresAt      *time.Time
	PerMinute      *int
	// CreatedBy is who makes it, for the list.
	CreatedBy string
}

// EffectiveMode returns the mode, which the reader decides where none is said.
func (p CreateKeyParams) EffectiveMode() KeyMode {
	switch {
	case p.Mode != "":
		return p.Mode
	case p.ReaderID != nil:
		return KeyBound
	default:
		return KeyOwn
	}
}

func (p CreateKeyParams) check() error {
	if p.Name == "" || len(p.Name) > maxReaderName {
		return &InputError{Field: "name", Problem: fmt.Sprintf("must have 1 to %d bytes", maxReaderName)}
	}
	if len(p.Rights) == 0 {
		return &InputError{Field: "rights", Problem: "must name at least one of " + strings.Join(KeyRights(), ", ")}
	}
	for _, r := range p.Rights {
		if !slices.Contains(KeyRights(), r) {
			return &InputError{Field: "rights", Problem: fmt.Sprintf("has no right %q; use %s", r, strings.Join(KeyRights(), ", "))}
		}
	}
	if p.AllConnections == (len(p.Connections) > 0) {
		return &InputError{Field: "connections", Problem: "must name connections, or all of them, and not both"}
	}
	if p.PerMinute != nil && (*p.PerMinute < 1 || *p.PerMinute > maxPerMinute) {
		return &InputError{Field: "per_minute", Problem: fmt.Sprintf("must be 1 to %d", maxPerMinute)}
	}
	if err := p.checkWhole(); err != nil {
		return err
	}
	return p.checkMode()
}

// checkMode refuses what does not fit the mode.
//
// SECURITY: who holds a trusted key reads as anybody; it is kept to named
// connections and to an end.
func (p CreateKeyParams) checkMode() error {
	mode := p.EffectiveMode()
	switch {
	case !slices.Contains(KeyModes(), mode):
		return &InputError{Field: "mode", Problem: fmt.Sprintf("is not %q; use bound, assertion, trusted or own", mode)}
	case mode == KeyBound && p.ReaderID == nil:
		return &InputError{Field: "reader", Problem: "must name the reader that the key is bound to"}
	case mode != KeyBound && p.ReaderID != nil:
		return &InputError{Field: "reader", Problem: "must be left out: only a bound key has a reader of its own"}
	case mode == KeyAssertion && len(p.Signers) == 0:
		return &InputError{Field: "public_key", Problem: "must be given: who holds its private key signs the assertions"}
	case mode != KeyAssertion && len(p.Signers) > 0:
		return &InputError{Field: "public_key", Problem: "must be left out: only a key of mode assertion has signers"}
	case mode == KeyTrusted && p.AllConnections:
		return &InputError{Field: "connections", Problem: "must be named one by one for a trusted key, which reads them as anybody"}
	case mode == KeyTrusted && p.ExpiresAt == nil:
		return &InputError{Field: "expires", Problem: "must be given for a trusted key, and be within 90 days"}
	}
	return nil
}

// CreateKey makes a key, records events with it, and returns its secret, which
// is not stored and cannot be shown again.
func (s *Store) CreateKey(ctx context.Context, p CreateKeyParams, events ...audit.Event) (Key, string, error) {
	if err := p.check(); err != nil {
		return Key{}, "", err
	}
	secret, hash, err := newKeySecret()
	if err != nil {
		return Key{}, "", err
	}
	var key Key
	err = s.inTxErr(ctx, "creating key", func(tx pgx.Tx) error {
		if err := checkKeyTargets(ctx, tx, p); err != nil {
			return err
		}
		id := uuid.New()
		var own *int64
		if p.EffectiveMode() == KeyOwn {
			n, err := keyPrincipal(ctx, tx, id, p.Name)
			if err != nil {
				return err
			}
			own = &n
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO api_key (id, name, secret_hash, hint, reader_id, principal_id, rights, all_connections, connections, expires_at, mode, per_minute, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`,
			id, p.Name, hash, hintOf(secret), p.ReaderID, own, p.Rights, p.AllConnections, append([]uuid.UUID{}, p.Connections...), p.ExpiresAt,
			p.EffectiveMode(), p.PerMinute, p.CreatedBy)
		if pgCode(err) == stateUniqueViolation {
			return fmt.Errorf("a key named %q exists: %w", p.Name, ErrConflict)
		}
		if err != nil {
			return err
		}
		for _, signer := range p.Signers {
			if err := addSigner(ctx, tx, id, signer); err != nil {
				return err
			}
		}
		if key, err = readKey(ctx, tx, `k.id = $1`, id); err != nil {
			return err
		}
		return recordAll(ctx, tx, id.String(), events)
	})
	if err != nil {
		return Key{}, "", err
	}
	return key, secret, nil
}

func checkKeyTargets(ctx context.Context, tx pgx.Tx, p CreateKeyParams) error {
	var readerOK, connectionsOK, lifeOK bool
	err := tx.QueryRow(ctx, `
		SELECT $1::uuid IS NULL OR EXISTS (SELECT FROM reader WHERE id = $1),
		       (SELECT count(*) FROM connection WHERE id = ANY ($2::uuid[])) = (SELECT count(DISTINCT c) FROM unnest($2::uuid[]) c),
		       $3::timestamptz IS NULL OR $3 <= clock() + $4::interval`,
		p.ReaderID, append([]uuid.UUID{}, p.Connections...), p.ExpiresAt, MaxTrustedLife).Scan(&readerOK, &connectionsOK, &lifeOK)
	switch {
	case err != nil:
		return err
	case !readerOK:
		return &InputError{Field: "reader", Problem: "is not a reader"}
	case !connectionsOK:
		return &InputError{Field: "connections", Problem: "names a connection that does not exist"}
	case p.EffectiveMode() == KeyTrusted && !lifeOK:
		return &InputError{Field: "expires", Problem: "must be within 90 days for a trusted key"}
	}
	return nil
}

// keyPrincipal makes the principal that documents are shared with to reach a
// key without reader. It lives in the instance's own realm.
func keyPrincipal(ctx context.Context, tx pgx.Tx, id uuid.UUID, name string) (int64, error) {
	realm, err := realmID(ctx, tx, "tributary", "")
	if err != nil {
		return 0, err
	}
	ids, err := principalIDs(ctx, tx, realm, []connectors.Principal{{Kind: connectors.Key, ID: id.String(), Name: name}})
	if err != nil {
		return 0, err
	}
	return ids[0], nil
}

const keyColumns = `k.id, k.name, k.mode, k.hint, k.reader_id, r.name AS reader, k.rights, k.all_connections, k.connections, k.per_minute, k.created_by,
	k.created_at, k.expires_at, k.last_used_at, k.revoked_at, CASE WHEN k.previous_until > clock() THEN k.previous_until END AS previous_until`

func readKeys(ctx context.Context, q querier, where string, args ...any) ([]Key, error) {
	rows, err := q.Query(ctx, `SELECT `+keyColumns+` FROM api_key k LEFT JOIN reader r ON r.id = k.reader_id WHERE `+where+` ORDER BY k.name`, args...)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Key])
	if err != nil {
		return nil, err
	}
	return list, withSigners(ctx, q, list)
}

// readKey returns the one key that where names, or ErrNotFound.
func readKey(ctx context.Context, q querier, where string, args ...any) (Key, error) {
	list, err := readKeys(ctx, q, where, args...)
	if err == nil && len(list) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Key{}, err
	}
	return list[0], nil
}

// ListKeys lists every key by name, revoked ones too.
func (s *Store) ListKeys(ctx context.Context) ([]Key, error) {
	list, err := readKeys(ctx, s.pool, `true`)
	return list, translate("listing keys", err)
}

const keyNamed = `(k.name = $1 OR k.id::text = $1)`

// Key returns the key with that id or name, or ErrNotFound.
func (s *Store) Key(ctx context.Context, nameOrID string) (Key, error) {
	key, err := readKey(ctx, s.pool, keyNamed, nameOrID)
	return key, translate("reading key", err)
}

// RevokeKey ends a key, named by id or name, at once and for good, and records
// events with it.
func (s *Store) RevokeKey(ctx context.Context, nameOrID string, events ...audit.Event) error {
	return s.changeOne(ctx, "revoking key", events, `
		UPDATE api_key k SET revoked_at = coalesce(revoked_at, clock()) WHERE `+keyNamed, nameOrID)
}

// RotateKey gives a key that is not revoked another secret, which it returns, and
// records events with it. The secret before counts for grace longer.
func (s *Store) RotateKey(ctx context.Context, nameOrID string, grace time.Duration, events ...audit.Event) (Key, string, error) {
	if grace < 0 || grace > MaxKeyGrace {
		return Key{}, "", &InputError{Field: "grace", Problem: "must be within 7 days"}
	}
	secret, hash, err := newKeySecret()
	if err != nil {
		return Key{}, "", err
	}
	var key Key
	err = s.inTxErr(ctx, "rotating key", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE api_key k SET secret_hash = $2, hint = $3,
				previous_hash = CASE WHEN $4 > interval '0' THEN secret_hash END,
				previous_until = CASE WHEN $4 > interval '0' THEN clock() + $4 END
			WHERE revoked_at IS NULL AND `+keyNamed, nameOrID, hash, hintOf(secret), grace)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		if key, err = readKey(ctx, tx, keyNamed, nameOrID); err != nil {
			return err
		}
		return recordAll(ctx, tx, key.ID.String(), events)
	})
	if err != nil {
		return Key{}, "", err
	}
	return key, secret, nil
}

// MaxKeyGrace is how long a secret counts beside its successor at most.
const MaxKeyGrace = 7 * 24 * time.Hour

// newKeySecret makes a secret and what is stored of it.
func newKeySecret() (secret string, hash []byte, err error) { //nolint:nonamedreturns // two of three need a name
	raw := make([]byte, keySecretBytes)
	if _, err := rand.Read(raw); err != nil {
		return "", nil, fmt.Errorf("making a secret: %w", err)
	}
	secret = keyPrefix + base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(secret))
	return secret, sum[:], nil
}

// hintOf is what of a secret is stored to recognise it by.
func hintOf(secret string) string { return secret[len(secret)-4:] }
