package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
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

// Key is an API key without its secret.
type Key struct {
	ID             uuid.UUID   `json:"id"`
	Name           string      `json:"name"`
	Hint           string      `json:"hint"`
	ReaderID       *uuid.UUID  `json:"reader_id"`
	Reader         *string     `json:"reader"`
	Rights         []string    `json:"rights"`
	AllConnections bool        `json:"all_connections"`
	Connections    []uuid.UUID `json:"connections"`
	CreatedAt      time.Time   `json:"created_at"`
	ExpiresAt      *time.Time  `json:"expires_at"`
	LastUsedAt     *time.Time  `json:"last_used_at"`
	RevokedAt      *time.Time  `json:"revoked_at"`
}

// CreateKeyParams describes a key to make. With ReaderID it sees what that
// reader sees in the connections named; without, only what was shared with the
// key itself.
type CreateKeyParams struct {
	Name           string
	ReaderID       *uuid.UUID
	Connections    []uuid.UUID
	AllConnections bool
	Rights         []string
	ExpiresAt      *time.Time
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
	return nil
}

// CreateKey makes a key, records events with it, and returns its secret, which
// is not stored and cannot be shown again.
func (s *Store) CreateKey(ctx context.Context, p CreateKeyParams, events ...audit.Event) (Key, string, error) {
	if err := p.check(); err != nil {
		return Key{}, "", err
	}
	raw := make([]byte, keySecretBytes)
	if _, err := rand.Read(raw); err != nil {
		return Key{}, "", fmt.Errorf("making a secret: %w", err)
	}
	secret := keyPrefix + base64.RawURLEncoding.EncodeToString(raw)
	hash := sha256.Sum256([]byte(secret))
	var key Key
	err := s.inTxErr(ctx, "creating key", func(tx pgx.Tx) error {
		if err := checkKeyTargets(ctx, tx, p); err != nil {
			return err
		}
		id := uuid.New()
		var own *int64
		if p.ReaderID == nil {
			n, err := keyPrincipal(ctx, tx, id, p.Name)
			if err != nil {
				return err
			}
			own = &n
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO api_key (id, name, secret_hash, hint, reader_id, principal_id, rights, all_connections, connections, expires_at, mode)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, CASE WHEN $5::uuid IS NULL THEN 'own' ELSE 'bound' END)`,
			id, p.Name, hash[:], secret[len(secret)-4:], p.ReaderID, own, p.Rights, p.AllConnections, append([]uuid.UUID{}, p.Connections...), p.ExpiresAt)
		if pgCode(err) == stateUniqueViolation {
			return fmt.Errorf("a key named %q exists: %w", p.Name, ErrConflict)
		}
		if err != nil {
			return err
		}
		list, err := readKeys(ctx, tx, `k.id = $1`, id)
		if err != nil {
			return err
		}
		key = list[0]
		return recordAll(ctx, tx, id.String(), events)
	})
	if err != nil {
		return Key{}, "", err
	}
	return key, secret, nil
}

func checkKeyTargets(ctx context.Context, tx pgx.Tx, p CreateKeyParams) error {
	var readerOK, connectionsOK bool
	err := tx.QueryRow(ctx, `
		SELECT $1::uuid IS NULL OR EXISTS (SELECT FROM reader WHERE id = $1),
		       (SELECT count(*) FROM connection WHERE id = ANY ($2::uuid[])) = (SELECT count(DISTINCT c) FROM unnest($2::uuid[]) c)`,
		p.ReaderID, append([]uuid.UUID{}, p.Connections...)).Scan(&readerOK, &connectionsOK)
	switch {
	case err != nil:
		return err
	case !readerOK:
		return &InputError{Field: "reader", Problem: "is not a reader"}
	case !connectionsOK:
		return &InputError{Field: "connections", Problem: "names a connection that does not exist"}
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

func readKeys(ctx context.Context, tx pgx.Tx, where string, args ...any) ([]Key, error) {
	rows, err := tx.Query(ctx, `
		SELECT k.id, k.name, k.hint, k.reader_id, r.name, k.rights, k.all_connections, k.connections, k.created_at,
		       k.expires_at, k.last_used_at, k.revoked_at
		FROM api_key k LEFT JOIN reader r ON r.id = k.reader_id WHERE `+where+` ORDER BY k.name`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Key])
}

// ListKeys lists every key by name, revoked ones too.
func (s *Store) ListKeys(ctx context.Context) ([]Key, error) {
	var list []Key
	err := s.inTxErr(ctx, "listing keys", func(tx pgx.Tx) (err error) {
		list, err = readKeys(ctx, tx, `true`)
		return err
	})
	return list, err
}

// RevokeKey ends a key, named by id or name, at once and for good, and records
// events with it.
func (s *Store) RevokeKey(ctx context.Context, nameOrID string, events ...audit.Event) error {
	return s.changeOne(ctx, "revoking key", events, `
		UPDATE api_key SET revoked_at = coalesce(revoked_at, clock()) WHERE name = $1 OR id::text = $1`, nameOrID)
}

// Authenticate returns the key with that secret and the identity it stands
// for. Anything wrong with it is ErrUnauthenticated.
func (s *Store) Authenticate(ctx context.Context, secret string) (Key, Identity, error) {
	if !strings.HasPrefix(secret, keyPrefix) {
		return Key{}, Identity{}, ErrUnauthenticated
	}
	hash := sha256.Sum256([]byte(secret))
	var key Key
	err := s.inTxErr(ctx, "authenticating", func(tx pgx.Tx) error {
		var id uuid.UUID
		var stored []byte
		var used bool
		err := tx.QueryRow(ctx, `
			SELECT k.id, k.secret_hash, coalesce(k.last_used_at > clock() - interval '1 minute', false)
			FROM api_key k LEFT JOIN reader r ON r.id = k.reader_id
			WHERE k.secret_hash = $1 AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock())
			  AND r.disabled_at IS NULL`, hash[:]).Scan(&id, &stored, &used)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrUnauthenticated
		}
		if err != nil {
			return err
		}
		if subtle.ConstantTimeCompare(stored, hash[:]) != 1 {
			return ErrUnauthenticated
		}
		if !used {
			// A row that another request is updating is being marked already.
			_, err := tx.Exec(ctx, `
				UPDATE api_key SET last_used_at = clock()
				WHERE id = (SELECT id FROM api_key WHERE id = $1 FOR UPDATE SKIP LOCKED)`, id)
			if err != nil {
				return err
			}
		}
		list, err := readKeys(ctx, tx, `k.id = $1`, id)
		if err == nil {
			key = list[0]
		}
		return err
	})
	if errors.Is(err, ErrUnauthenticated) {
		return Key{}, Identity{}, ErrUnauthenticated
	}
	if err != nil {
		return Key{}, Identity{}, err
	}
	who := Identity{key: key.ID}
	if key.ReaderID != nil {
		who.reader = *key.ReaderID
	}
	return key, who, nil
}
