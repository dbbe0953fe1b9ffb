package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/assertion"
	"tributary/internal/audit"
)

// KeySigner is a public key whose holder may sign assertions of an API key.
type KeySigner struct {
	KeyID     string    `json:"kid"`
	Algorithm string    `json:"algorithm"`
	CreatedAt time.Time `json:"created_at"`
	// Fingerprint is the SHA-256 of the public key (PKIX, DER) in hexadecimal.
	Fingerprint string `json:"fingerprint"`

	public []byte
}

// SignersOf returns who may sign assertions of the key.
func (k Key) SignersOf() []assertion.Signer {
	list := make([]assertion.Signer, len(k.Signers))
	for i, s := range k.Signers {
		list[i] = assertion.Signer{KeyID: s.KeyID, Algorithm: s.Algorithm, PublicKey: s.public}
	}
	return list
}

// withSigners fills in the signers of keys, and what follows from the rest.
func withSigners(ctx context.Context, q querier, keys []Key) error {
	byID := map[uuid.UUID]int{}
	ids := []uuid.UUID{}
	for i, k := range keys {
		keys[i].Signers = []KeySigner{}
		keys[i].Whole = readsWhole(keys[i].Mode, keys[i].Rights)
		if k.Mode == KeyAssertion {
			byID[k.ID] = i
			ids = append(ids, k.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, err := q.Query(ctx, `SELECT key_id, kid, algorithm, public_key, created_at FROM key_signer WHERE key_id = ANY ($1) ORDER BY created_at, kid`, ids)
	if err != nil {
		return err
	}
	var id uuid.UUID
	var s KeySigner
	_, err = pgx.ForEachRow(rows, []any{&id, &s.KeyID, &s.Algorithm, &s.public, &s.CreatedAt}, func() error {
		sum := sha256.Sum256(s.public)
		s.Fingerprint = hex.EncodeToString(sum[:])
		k := &keys[byID[id]]
		k.Signers = append(k.Signers, s)
		s.public = nil
		return nil
	})
	return err
}

// maxSigners bounds the signers of a key.
const maxSigners = 20

func addSigner(ctx context.Context, tx pgx.Tx, key uuid.UUID, s assertion.Signer) error {
	var have int
	if err := tx.QueryRow(ctx, `SELECT count(*)::int FROM key_signer WHERE key_id = $1`, key).Scan(&have); err != nil {
		return err
	}
	if have >= maxSigners {
		return &InputError{Field: "public_key", Problem: fmt.Sprintf("is one too many: a key has at most %d signers; remove one", maxSigners)}
	}
	_, err := tx.Exec(ctx, `INSERT INTO key_signer (key_id, kid, algorithm, public_key) VALUES ($1, $2, $3, $4)`, key, s.KeyID, s.Algorithm, s.PublicKey)
	if pgCode(err) == stateUniqueViolation {
		return fmt.Errorf("a signer with kid %q is registered for this key: %w", s.KeyID, ErrConflict)
	}
	return err
}

// AddSigner lets the holder of a public key sign assertions of an API key of mode
// assertion, named by id or name, and records events with it.
func (s *Store) AddSigner(ctx context.Context, nameOrID string, signer assertion.Signer, events ...audit.Event) (Key, error) {
	return s.changeSigners(ctx, "adding signer", nameOrID, events, func(tx pgx.Tx, k Key) error {
		if k.Mode != KeyAssertion {
			return &InputError{Field: "key", Problem: "is of mode " + string(k.Mode) + ": only keys of mode assertion have signers; make one with --mode assertion"}
		}
		return addSigner(ctx, tx, k.ID, signer)
	})
}

// RemoveSigner ends what a signer may sign, at once, and records events with it.
func (s *Store) RemoveSigner(ctx context.Context, nameOrID, kid string, events ...audit.Event) (Key, error) {
	return s.changeSigners(ctx, "removing signer", nameOrID, events, func(tx pgx.Tx, k Key) error {
		tag, err := tx.Exec(ctx, `DELETE FROM key_signer WHERE key_id = $1 AND kid = $2`, k.ID, kid)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		return err
	})
}

func (s *Store) changeSigners(ctx context.Context, op, nameOrID string, events []audit.Event, change func(pgx.Tx, Key) error) (Key, error) {
	var key Key
	err := s.inTxErr(ctx, op, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT FROM api_key k WHERE `+keyNamed+` FOR UPDATE`, nameOrID); err != nil {
			return err
		}
		k, err := readKey(ctx, tx, keyNamed, nameOrID)
		if err != nil {
			return err
		}
		if err := change(tx, k); err != nil {
			return err
		}
		if key, err = readKey(ctx, tx, `k.id = $1`, k.ID); err != nil {
			return err
		}
		return recordAll(ctx, tx, key.ID.String(), events)
	})
	if err != nil {
		return Key{}, err
	}
	return key, nil
}
