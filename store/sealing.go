package store

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/internal/seal"
	"tributary/oauthflow"
	"tributary/oauthflow/vault"
)

// sealedColumns is every sealed value of the database, with what its place is made of (placeOf). A column that is sealed
// must stand here, in resealRow and in forgetSealed: a test holds them against the schema's columns named _ct.
const sealedColumns = `
	SELECT 'client_registration.credential_ct' AS col, id::text AS key, id, 0 AS epoch, credential_gen AS gen, credential_ct AS ct
	FROM client_registration WHERE credential_ct IS NOT NULL
	UNION ALL SELECT 'credential.secret_ct', grant_id::text, grant_id, epoch, gen, secret_ct FROM credential WHERE secret_ct IS NOT NULL
	UNION ALL SELECT 'credential_spare.secret_ct', attempt_id::text, grant_id, epoch, base_gen, secret_ct FROM credential_spare
	UNION ALL SELECT 'oauth_flow.verifier_ct', encode(state_hash, 'hex'), registration_id, 0, 0, verifier_ct FROM oauth_flow
	UNION ALL SELECT 'seal_check.value', 'instance', NULL, 0, 0, value FROM seal_check`

// The names of the sealed columns.
const (
	sealedRegistration = "client_registration.credential_ct"
	sealedCredential   = "credential.secret_ct" //nolint:gosec // the name of a column
	sealedSpare        = "credential_spare.secret_ct"
	sealedVerifier     = "oauth_flow.verifier_ct"
	sealedCheck        = "seal_check.value"
)

// placeOf returns the place that a value was sealed for.
func placeOf(column, key string, id *uuid.UUID, epoch int, gen int64) (seal.Context, error) {
	if id == nil {
		id = &uuid.Nil
	}
	switch column {
	case sealedRegistration:
		return oauthflow.RegistrationPlace(*id, gen), nil
	case sealedCredential:
		return oauthflow.PairPlace(*id, epoch, gen, oauthflow.FieldTokens), nil
	case sealedSpare:
		return oauthflow.PairPlace(*id, epoch, gen, oauthflow.FieldSpare), nil
	case sealedVerifier:
		hash, err := hex.DecodeString(key)
		return oauthflow.VerifierPlace(hash), err
	case sealedCheck:
		return seal.CheckPlace(), nil
	default:
		return seal.Context{}, fmt.Errorf("no place is known for %s", column)
	}
}

// SealState implements vault.Store.
func (s *Store) SealState(ctx context.Context) (check []byte, sealed bool, err error) {
	err = s.pool.QueryRow(ctx, `SELECT (SELECT value FROM seal_check), EXISTS (`+sealedColumns+`)`).Scan(&check, &sealed)
	return check, sealed, translate("reading what is sealed", err)
}

// FirstSeal implements vault.Store. It does not wrap the error of prove.
func (s *Store) FirstSeal(ctx context.Context, prove func(sealed bool) ([]byte, error)) error {
	var own error
	err := s.inTxErr(ctx, "storing the proof of the master key", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE seal_check IN EXCLUSIVE MODE`); err != nil {
			return err
		}
		var there, sealed bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM seal_check), EXISTS (`+sealedColumns+`)`).Scan(&there, &sealed)
		if err != nil || there {
			return err
		}
		var check []byte
		if check, own = prove(sealed); own != nil {
			return own
		}
		_, err = tx.Exec(ctx, `INSERT INTO seal_check (value) VALUES ($1)`, check)
		return err
	})
	if own != nil {
		return own
	}
	return err
}

// SealedRows implements vault.Store. Bytes 2 to 5 of a ciphertext are the id of its key.
func (s *Store) SealedRows(ctx context.Context, primary seal.KeyID, after vault.Row, limit int) ([]vault.Row, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT col, key, id, epoch, gen, ct FROM (`+sealedColumns+`) s
		WHERE encode(substr(ct, 2, 4), 'hex') <> $1 AND (col, key) > ($2, $3) ORDER BY col, key LIMIT $4`,
		primary.String(), after.Column, after.Key, limit)
	if err != nil {
		return nil, translate("reading sealed values", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (vault.Row, error) {
		var r vault.Row
		var id *uuid.UUID
		var epoch int
		var gen int64
		if err := row.Scan(&r.Column, &r.Key, &id, &epoch, &gen, &r.Ciphertext); err != nil {
			return r, err
		}
		var err error
		r.Place, err = placeOf(r.Column, r.Key, id, epoch, gen)
		return r, err
	})
	return list, translate("reading sealed values", err)
}

const (
	stateDeadlock = "40P01"
	resealTries   = 5
)

// Reseal implements vault.Store. It waits for the disk: a key may be retired when it has returned.
func (s *Store) Reseal(ctx context.Context, changes []vault.Change) (int, error) {
	if len(changes) == 0 {
		return 0, nil
	}
	for try := 1; ; try++ {
		n := 0
		err := s.inTxErr(ctx, "re-sealing", func(tx pgx.Tx) error {
			b := &pgx.Batch{}
			for _, c := range changes {
				if err := resealRow(b, c); err != nil {
					return err
				}
			}
			n = 0
			results := tx.SendBatch(ctx, b)
			for range changes {
				tag, err := results.Exec()
				if err != nil {
					_ = results.Close() // it repeats the error
					return err
				}
				n += int(tag.RowsAffected())
			}
			return results.Close()
		})
		// Others change several of these rows in another order, and hold them for a moment.
		if again := pgCode(err) == stateDeadlock || errors.Is(err, ErrTimeout); err == nil || !again || try == resealTries || ctx.Err() != nil {
			return n, err
		}
	}
}

// resealRow adds the statement that replaces one ciphertext where it is still the old one.
func resealRow(b *pgx.Batch, c vault.Change) error {
	switch c.Row.Column {
	case sealedRegistration:
		b.Queue(`UPDATE client_registration SET credential_ct = $3 WHERE id = $1::text::uuid AND credential_ct = $2`, c.Row.Key, c.Row.Ciphertext, c.New)
	case sealedCredential:
		b.Queue(`UPDATE credential SET secret_ct = $3 WHERE grant_id = $1::text::uuid AND secret_ct = $2`, c.Row.Key, c.Row.Ciphertext, c.New)
	case sealedSpare:
		b.Queue(`UPDATE credential_spare SET secret_ct = $3 WHERE attempt_id = $1::text::uuid AND secret_ct = $2`, c.Row.Key, c.Row.Ciphertext, c.New)
	case sealedVerifier:
		b.Queue(`UPDATE oauth_flow SET verifier_ct = $3 WHERE state_hash = decode($1, 'hex') AND verifier_ct = $2`, c.Row.Key, c.Row.Ciphertext, c.New)
	case sealedCheck:
		b.Queue(`UPDATE seal_check SET value = $3 WHERE $1::text <> '' AND value = $2`, c.Row.Key, c.Row.Ciphertext, c.New)
	default:
		return fmt.Errorf("no statement re-seals %s", c.Row.Column)
	}
	return nil
}

// SealedCounts implements vault.Store. What is no ciphertext counts for key 0.
func (s *Store) SealedCounts(ctx context.Context) ([]vault.Count, error) {
	rows, err := s.pool.Query(ctx, `SELECT col, encode(substr(ct, 2, 4), 'hex'), count(*) FROM (`+sealedColumns+`) s GROUP BY 1, 2 ORDER BY 1, 2`)
	if err != nil {
		return nil, translate("counting sealed values", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (vault.Count, error) {
		var c vault.Count
		var key string
		err := row.Scan(&c.Column, &key, &c.Rows)
		if id, bad := seal.ParseKeyID(key); bad == nil {
			c.Key = id
		}
		return c, err
	})
	return list, translate("counting sealed values", err)
}

// Unsettled implements vault.Store. A pair that was stored moves the generation, a new consent the epoch.
func (s *Store) Unsettled(ctx context.Context, before time.Time) (int64, error) {
	var n int64
	err := s.pool.QueryRow(ctx, `
		SELECT count(*) FROM refresh_attempt a JOIN credential c ON c.grant_id = a.grant_id AND c.epoch = a.epoch AND c.gen = a.gen
			JOIN oauth_grant g ON g.id = a.grant_id
		WHERE a.t0 < $1 AND a.outcome IN ('', 'lost', 'orphaned') AND g.closed_at IS NULL`, before).Scan(&n)
	return n, translate("counting open refreshes", err)
}

// ForgetSealed implements vault.Store. Documents and cursors stay; grants need a new consent, and registrations their
// credentials.
func (s *Store) ForgetSealed(ctx context.Context, check []byte, note string, e audit.Event) (int64, error) {
	var n int64
	err := s.inTxErr(ctx, "forgetting what is sealed", func(tx pgx.Tx) error {
		if err := patient(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `LOCK TABLE seal_check IN EXCLUSIVE MODE`); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `SELECT count(*) FROM (`+sealedColumns+`) s WHERE col <> 'seal_check.value'`).Scan(&n); err != nil {
			return err
		}
		if err := loseKey(ctx, tx, note); err != nil {
			return err
		}
		if err := forgetSealed(ctx, tx, check, note); err != nil {
			return err
		}
		e.Detail = maps.Clone(nonNil(e.Detail))
		e.Detail["forgotten"] = strconv.FormatInt(n, 10)
		return s.RecordTx(ctx, tx, e)
	})
	return n, err
}

func forgetSealed(ctx context.Context, tx pgx.Tx, check []byte, note string) error {
	b := &pgx.Batch{}
	b.Queue(`
		UPDATE credential SET secret_ct = NULL, phase = 'idle', maybe_sent = false, attempt_id = NULL, lease_until = NULL, updated_at = clock(),
			state = CASE state WHEN 'closing' THEN state ELSE 'needs_reauth' END, state_since = clock(), fail_class = 'master_key', fail_note = $1
		WHERE secret_ct IS NOT NULL`, note)
	b.Queue(`DELETE FROM credential_spare`)
	b.Queue(`DELETE FROM oauth_flow`)
	b.Queue(`
		UPDATE client_registration SET credential_ct = NULL, credential_kinds = '{}', credential_gen = credential_gen + 1, state = 'draft',
			state_reason = 'the master key was lost and replaced; enter the credentials again', updated_at = clock()
		WHERE credential_ct IS NOT NULL`)
	b.Queue(`INSERT INTO seal_check (value) VALUES ($1) ON CONFLICT (one) DO UPDATE SET value = excluded.value`, check)
	return tx.SendBatch(ctx, b).Close()
}

// KeyLost says on every connection with a sealed grant that it needs a new consent, with note, because this process has no
// key that opens its tokens. What is sealed stays, and where another process refreshes grants nothing is said: that one
// has the key. It returns the number of connections.
func (s *Store) KeyLost(ctx context.Context, note string) (int64, error) {
	var n int64
	err := s.inTxErr(ctx, "marking connections", func(tx pgx.Tx) error {
		var others bool
		err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM refresh_process WHERE heartbeat_at > clock() - interval '1 minute')`).Scan(&others)
		if err != nil || others {
			return err
		}
		if err := loseKey(ctx, tx, note); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			SELECT count(*) FROM connection c JOIN credential k ON k.grant_id = c.grant_id
			WHERE k.fail_class = 'master_key' AND c.state = 'needs_reauth'`).Scan(&n)
	})
	return n, err
}

// loseKey marks grants and connections; the state of a grant stays as it is, so that the key brings it back.
func loseKey(ctx context.Context, tx pgx.Tx, note string) error {
	b := &pgx.Batch{}
	b.Queue(`
		UPDATE credential SET fail_class = 'master_key', fail_note = $1, updated_at = clock()
		WHERE secret_ct IS NOT NULL AND state = 'active'`, note)
	b.Queue(`
		UPDATE connection c SET state = 'needs_reauth', state_reason = $1, state_since = clock(), updated_at = clock()
		FROM credential k
		WHERE k.grant_id = c.grant_id AND k.secret_ct IS NOT NULL AND k.state = 'active' AND c.state IN ('active', 'degraded', 'throttled')`, note)
	return tx.SendBatch(ctx, b).Close()
}

// KeyFound undoes KeyLost, because the right key is there again: connections are active, or degraded where scopes are
// missing, and due. It returns the number of connections.
func (s *Store) KeyFound(ctx context.Context) (int64, error) {
	var n int64
	err := s.inTxErr(ctx, "marking connections", func(tx pgx.Tx) error {
		grants, err := idsOf(tx.Query(ctx, `
			UPDATE credential SET fail_class = '', fail_note = '', updated_at = clock()
			WHERE fail_class = 'master_key' AND secret_ct IS NOT NULL AND state = 'active' RETURNING grant_id`))
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `
			SELECT FROM schedule s JOIN connection c ON c.id = s.connection_id
			WHERE c.grant_id = ANY ($1) ORDER BY s.connection_id, s.lane FOR UPDATE OF s`, grants)
		if err != nil {
			return fmt.Errorf("locking schedules: %w", err)
		}
		err = tx.QueryRow(ctx, `
			WITH back AS (
				UPDATE connection SET state = 'active', state_reason = '', state_since = clock(), updated_at = clock()
				WHERE grant_id = ANY ($1) AND state = 'needs_reauth' RETURNING id),
			due AS (UPDATE schedule SET next_run_at = clock() WHERE connection_id IN (SELECT id FROM back) RETURNING 1)
			SELECT (SELECT count(*) FROM back)`, grants).Scan(&n)
		for _, grant := range grants {
			if err == nil {
				err = degradeLacking(ctx, tx, grant)
			}
		}
		return err
	})
	return n, err
}
