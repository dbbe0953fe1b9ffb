package store

import (
	"context"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/oauthflow"
)

// Late pairs are spares with a negative epoch (oauthflow.LateEpoch), which no consent has; at_expires is when one is due.

// TakeLate implements oauthflow.LateStore.
func (s *Store) TakeLate(ctx context.Context, limit int) ([]oauthflow.SealedLate, error) {
	rows, err := s.pool.Query(ctx, `
		UPDATE credential_spare s SET at_expires = clock() + greatest(least(clock() - s.at, '6 hours'::interval), '1 minute'::interval)
		FROM oauth_grant g WHERE g.id = s.grant_id AND s.attempt_id IN (
			SELECT attempt_id FROM credential_spare WHERE epoch < 0 AND coalesce(at_expires, at) <= clock() ORDER BY at LIMIT $1 FOR UPDATE SKIP LOCKED)
		RETURNING s.attempt_id, s.grant_id, g.registration_id, s.epoch, s.base_gen, s.secret_ct, clock() - s.at`, limit)
	if err != nil {
		return nil, translate("taking late tokens", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[oauthflow.SealedLate])
	return list, translate("taking late tokens", err)
}

// ForgetLate implements oauthflow.LateStore.
func (s *Store) ForgetLate(ctx context.Context, attempt uuid.UUID, e audit.Event) error {
	return s.inTxErr(ctx, "forgetting late tokens", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM credential_spare WHERE attempt_id = $1 AND epoch < 0`, attempt)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
}

// EndRevoking implements oauthflow.LateStore.
func (s *Store) EndRevoking(ctx context.Context, grant uuid.UUID) error {
	_, err := s.pool.Exec(ctx, `UPDATE oauth_grant SET revoking_until = clock() WHERE id = $1 AND revoking_until > clock()`, grant)
	return translate("ending a revocation", err)
}
