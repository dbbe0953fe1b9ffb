package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/oauthflow"
)

var _ oauthflow.GrantStore = (*Store)(nil)

// timeIsOver is the reason of connections that expired.
const timeIsOver = "its time is over: grant again to go on"

// LeaveGrant implements oauthflow.GrantStore. The credential is locked before the connection, as by a refresh and a
// consent, so that of two connections that leave at once the second is the last.
func (s *Store) LeaveGrant(ctx context.Context, connection uuid.UUID, e audit.Event) (oauthflow.Left, error) {
	var left oauthflow.Left
	err := s.inTxErr(ctx, "disconnecting", func(tx pgx.Tx) error {
		left = oauthflow.Left{}
		if err := patient(ctx, tx); err != nil {
			return err
		}
		var grant *uuid.UUID
		err := tx.QueryRow(ctx, `SELECT name, grant_id FROM connection WHERE id = $1`, connection).Scan(&left.Name, &grant)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("connection %s: %w", connection, ErrNotFound)
		}
		if err != nil {
			return err
		}
		name := left.Name
		if left, err = closeConnection(ctx, tx, connection, grant, "being disconnected"); err != nil {
			return err
		}
		left.Name = name
		if grant != nil {
			e.Detail = map[string]string{"grant": grant.String(), "detached": strconv.FormatBool(left.Grant == nil)}
		}
		return s.RecordTx(ctx, tx, e)
	})
	return left, err
}

// closeConnection makes a connection closing, cancels its runs and takes its grant away. The credential is locked first.
func closeConnection(ctx context.Context, tx pgx.Tx, connection uuid.UUID, grant *uuid.UUID, reason string) (oauthflow.Left, error) {
	var left oauthflow.Left
	if grant != nil {
		if _, err := tx.Exec(ctx, `SELECT FROM credential WHERE grant_id = $1 FOR UPDATE`, *grant); err != nil {
			return left, err
		}
	}
	// Schedules, runs and then the connection: the order of doc.go. Under the lock of its
	// schedule no run is made in between; one of what is pushed, which has none, is found the second time.
	if _, err := tx.Exec(ctx, `SELECT FROM schedule WHERE connection_id = $1 ORDER BY lane FOR UPDATE`, connection); err != nil {
		return left, err
	}
	if _, err := tx.Exec(ctx, cancelRuns, connection); err != nil {
		return left, err
	}
	_, err := tx.Exec(ctx, `UPDATE connection SET state = 'closing', state_reason = $2, state_since = clock(), grant_id = NULL WHERE id = $1`, connection, reason)
	if err != nil {
		return left, err
	}
	if _, err := tx.Exec(ctx, cancelRuns, connection); err != nil || grant == nil {
		return left, err
	}
	return left, leave(ctx, tx, *grant, &left)
}

// leave lists who else uses a grant, and makes it closing where nobody does.
func leave(ctx context.Context, tx pgx.Tx, grant uuid.UUID, left *oauthflow.Left) error {
	rows, err := tx.Query(ctx, `SELECT name FROM connection WHERE grant_id = $1 AND state <> 'closing' ORDER BY name`, grant)
	if err != nil {
		return err
	}
	if left.Others, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(left.Others) > 0 {
		return err
	}
	left.Grant = &grant
	rows, err = tx.Query(ctx, `
		SELECT k.name FROM oauth_grant own JOIN oauth_grant g ON g.registration_id = own.registration_id AND g.subject = own.subject AND g.id <> own.id
			JOIN credential c ON c.grant_id = g.id JOIN connection k ON k.grant_id = g.id
		WHERE own.id = $1 AND own.subject <> '' AND g.closed_at IS NULL AND c.state <> 'closing' AND k.state <> 'closing' ORDER BY k.name`, grant)
	if err != nil {
		return err
	}
	if left.Same, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, closeGrant, grant)
	return err
}

// closeGrant ends refreshes for good: no claim touches a row that is closing, and a pair that comes late is revoked
// by who obtained it.
const closeGrant = `
	UPDATE credential SET state = 'closing', state_since = clock(), fail_class = '', fail_note = '', failures = 0, next_try = clock(), updated_at = clock()
	WHERE grant_id = $1 AND state <> 'closing'`

// BeginClosing implements oauthflow.GrantStore.
func (s *Store) BeginClosing(ctx context.Context, grant uuid.UUID, why string, e audit.Event) error {
	return s.inTxErr(ctx, "closing grant", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, closeGrant, grant)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		_, err = tx.Exec(ctx, `
			UPDATE connection SET state = 'needs_reauth', state_reason = $2, state_since = clock(), updated_at = clock()
			WHERE grant_id = $1 AND state NOT IN ('closing', 'paused')`, grant, why)
		if err != nil {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
}

// BeginRevoking implements oauthflow.GrantStore. The registration is locked as by SaveConsent.
func (s *Store) BeginRevoking(ctx context.Context, grant uuid.UUID, life time.Duration) (bool, error) {
	var shared bool
	err := s.inTxErr(ctx, "beginning to revoke", func(tx pgx.Tx) error {
		var registration uuid.UUID
		var subject string
		err := tx.QueryRow(ctx, `
			SELECT g.registration_id, g.subject FROM oauth_grant g JOIN client_registration r ON r.id = g.registration_id WHERE g.id = $1 FOR NO KEY UPDATE OF r`, grant).
			Scan(&registration, &subject)
		if err != nil {
			return err
		}
		if shared, err = sharesAccount(ctx, tx, registration, subject); err != nil || shared {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE oauth_grant SET revoking_until = clock() + $2::interval WHERE id = $1`, grant, life)
		return err
	})
	return shared, err
}

// LoadClosing implements oauthflow.GrantStore.
func (s *Store) LoadClosing(ctx context.Context, grant uuid.UUID) (*oauthflow.Closing, error) {
	g, err := s.GrantByID(ctx, grant)
	if err != nil || g == nil || g.ClosedAt != nil || g.Health.State != oauthflow.GrantClosing {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT epoch, gen, 'tokens', secret_ct FROM credential WHERE grant_id = $1 AND secret_ct IS NOT NULL
		UNION ALL (SELECT epoch, base_gen, 'spare', secret_ct FROM credential_spare WHERE grant_id = $1 AND epoch > 0 ORDER BY at DESC)`, grant)
	if err != nil {
		return nil, translate("reading grant", err)
	}
	c := &oauthflow.Closing{Grant: *g, Failures: g.Health.Failures, Since: g.Health.StateSince}
	c.Pairs, err = pgx.CollectRows(rows, pgx.RowToStructByPos[oauthflow.SealedPair])
	return c, translate("reading grant", err)
}

// ClosingFailed implements oauthflow.GrantStore.
func (s *Store) ClosingFailed(ctx context.Context, grant uuid.UUID, note string, wait time.Duration) error {
	_, err := s.pool.Exec(ctx, `
		WITH over AS (UPDATE oauth_grant SET revoking_until = least(revoking_until, clock()) WHERE id = $1)
		UPDATE credential SET failures = failures + 1, fail_note = $2, next_try = clock() + $3::interval, updated_at = clock()
		WHERE grant_id = $1 AND state = 'closing'`, grant, note, wait)
	return translate("closing grant", err)
}

// overGrant is true of a grant $1 that is over, and that no connection but $2 names.
const overGrant = `g.id = $1 AND g.closed_at IS NOT NULL AND NOT EXISTS (SELECT FROM connection k WHERE k.grant_id = g.id AND k.id <> $2)`

// forgetGrantAccount takes out of a grant, and of its notices, whose account it
// was. It does so where the grant is over, and no connection but except names it.
// A hash of the subject stays for an hour, for consents that began before.
func forgetGrantAccount(ctx context.Context, tx pgx.Tx, grant, except uuid.UUID) error {
	_, err := tx.Exec(ctx, `
		INSERT INTO account_revoking (registration_id, subject, until)
		SELECT g.registration_id, 'sha256:' || encode(sha256(convert_to(g.subject, 'UTF8')), 'hex'), g.revoking_until FROM oauth_grant g
		WHERE g.subject <> '' AND g.revoking_until IS NOT NULL AND `+overGrant, grant, except)
	if err != nil {
		return fmt.Errorf("forgetting the account of a grant: %w", err)
	}
	tag, err := tx.Exec(ctx, `
		UPDATE oauth_grant g SET account = '', subject = '', params = g.params - 'act_for' - 'installation_id'
		WHERE `+overGrant, grant, except)
	if err == nil && tag.RowsAffected() > 0 {
		_, err = tx.Exec(ctx, `
			DELETE FROM notice WHERE connection_id IS NULL AND subject = left($1::uuid::text, 8) AND code IN ('grant_uncertain', 'refresh_failing', 'grant_expiring')`, grant)
	}
	if err != nil {
		return fmt.Errorf("forgetting the account of a grant: %w", err)
	}
	return nil
}

// FinishClosing implements oauthflow.GrantStore. Where no connection is left
// that names the grant, whose account it was is forgotten with its tokens.
func (s *Store) FinishClosing(ctx context.Context, grant uuid.UUID, note string, e audit.Event) error {
	return s.inTxErr(ctx, "closing grant", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE oauth_grant g SET closed_at = clock(), close_note = $2, revoking_until = least(g.revoking_until, clock())
			FROM credential c WHERE g.id = $1 AND c.grant_id = g.id AND c.state = 'closing' AND g.closed_at IS NULL`, grant, note)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		for _, q := range [...]string{
			`UPDATE credential SET secret_ct = NULL, at_expires = NULL, updated_at = clock() WHERE grant_id = $1`,
			`DELETE FROM credential_spare WHERE grant_id = $1 AND epoch > 0`, // late pairs stay until they are revoked
		} {
			if _, err := tx.Exec(ctx, q, grant); err != nil {
				return err
			}
		}
		if err := forgetGrantAccount(ctx, tx, grant, uuid.Nil); err != nil {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
}

// DueClosing implements oauthflow.GrantStore.
func (s *Store) DueClosing(ctx context.Context, limit int) ([]uuid.UUID, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT c.grant_id FROM credential c JOIN oauth_grant g ON g.id = c.grant_id
		WHERE c.state = 'closing' AND g.closed_at IS NULL AND c.next_try <= clock() ORDER BY c.next_try, c.grant_id LIMIT $1`, limit)
	if err != nil {
		return nil, translate("listing grants to close", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return list, translate("listing grants to close", err)
}

// SetGrantExpiry implements oauthflow.GrantStore.
func (s *Store) SetGrantExpiry(ctx context.Context, grant uuid.UUID, at *time.Time, then oauthflow.AtExpiry, e audit.Event) error {
	return s.inTxErr(ctx, "setting expiry", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE oauth_grant SET expires_at = $2, at_expiry = $3 WHERE id = $1 AND closed_at IS NULL`, grant, at, then)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
}

// SetConnectionExpiry implements oauthflow.GrantStore.
func (s *Store) SetConnectionExpiry(ctx context.Context, connection uuid.UUID, at *time.Time, then oauthflow.AtExpiry, e audit.Event) error {
	return s.inTxErr(ctx, "setting expiry", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE connection SET expires_at = $2, at_expiry = $3, updated_at = clock() WHERE id = $1 AND state <> 'closing'`, connection, at, then)
		if err == nil && tag.RowsAffected() == 0 {
			err = ErrNotFound
		}
		if err != nil {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
}
