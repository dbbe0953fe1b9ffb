package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/oauthflow"
)

const grantColumns = `SELECT g.id, g.registration_id, g.kind, g.subject, g.account, g.asked_scopes, g.scopes, g.scopes_stated, g.params, g.consented_by, g.consented_at,
	g.expires_at, g.at_expiry, g.closed_at, g.close_note,
	c.epoch, c.gen, c.state, c.state_since, c.fail_class, c.fail_note, c.phase, c.at_expires, c.idle_expires, c.absolute_expires, c.next_try, c.failures, c.refreshable
	FROM oauth_grant g JOIN credential c ON c.grant_id = g.id`

func scanGrant(row pgx.Row) (*oauthflow.Grant, error) {
	var g oauthflow.Grant
	var params []byte
	h := &g.Health
	err := row.Scan(&g.ID, &g.RegistrationID, &g.Kind, &g.Subject, &g.Account, &g.Asked, &g.Scopes, &g.ScopesStated, &params, &g.ConsentedBy, &g.ConsentedAt,
		&g.ExpiresAt, &g.AtExpiry, &g.ClosedAt, &g.CloseNote,
		&h.Epoch, &h.Gen, &h.State, &h.StateSince, &h.FailClass, &h.FailNote, &h.Phase, &h.AccessExpires, &h.IdleExpires, &h.AbsoluteExpires, &h.NextTry, &h.Failures, &h.Refreshable)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // the interface says that nil is none
	}
	if err != nil {
		return nil, translate("reading grant", err)
	}
	if err := json.Unmarshal(params, &g.Params); err != nil {
		return nil, fmt.Errorf("reading grant %s: %w", g.ID, err)
	}
	return &g, nil
}

// GrantByID implements oauthflow.GrantStore and oauthflow.FlowStore.
func (s *Store) GrantByID(ctx context.Context, id uuid.UUID) (*oauthflow.Grant, error) {
	return scanGrant(s.pool.QueryRow(ctx, grantColumns+` WHERE g.id = $1`, id))
}

// Grants implements oauthflow.GrantStore: all, the live ones first.
func (s *Store) Grants(ctx context.Context) ([]oauthflow.Grant, error) {
	rows, err := s.pool.Query(ctx, grantColumns+` ORDER BY g.closed_at IS NOT NULL, g.created_at DESC, g.id`)
	if err != nil {
		return nil, translate("listing grants", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (oauthflow.Grant, error) {
		g, err := scanGrant(row)
		if err != nil {
			return oauthflow.Grant{}, err
		}
		return *g, nil
	})
	return list, translate("listing grants", err)
}

// GrantConnections implements oauthflow.GrantStore and oauthflow.FlowStore.
func (s *Store) GrantConnections(ctx context.Context, grant uuid.UUID) ([]oauthflow.GrantConnection, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id, name, source, state, state_reason, needed_scopes FROM connection WHERE grant_id = $1 ORDER BY name`, grant)
	if err != nil {
		return nil, translate("listing connections of a grant", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[oauthflow.GrantConnection])
	return list, translate("listing connections of a grant", err)
}

// SharesAccount reports whether a live grant of the registration belongs to the account of the provider.
func (s *Store) SharesAccount(ctx context.Context, registration uuid.UUID, subject string) (bool, error) {
	return sharesAccount(ctx, s.pool, registration, subject)
}

// rowQuerier is a pool or a transaction.
type rowQuerier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func sharesAccount(ctx context.Context, q rowQuerier, registration uuid.UUID, subject string) (bool, error) {
	var shared bool
	err := q.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM oauth_grant g JOIN credential c ON c.grant_id = g.id
			WHERE g.registration_id = $1 AND g.subject = $2 AND g.closed_at IS NULL AND c.state <> 'closing')`, registration, subject).Scan(&shared)
	return shared, translate("reading grants", err)
}

// BeginDiscarding implements oauthflow.FlowStore. The registration is locked as by SaveConsent, so that a consent of the
// account is stored before it, and then it is shared, or is refused.
func (s *Store) BeginDiscarding(ctx context.Context, registration uuid.UUID, subject string, life time.Duration) (uuid.UUID, bool, error) {
	var id uuid.UUID
	var shared bool
	err := s.inTxErr(ctx, "beginning to revoke", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT FROM client_registration WHERE id = $1 FOR NO KEY UPDATE`, registration)
		if err != nil {
			return err
		}
		if shared, err = sharesAccount(ctx, tx, registration, subject); err != nil || shared {
			return err
		}
		return tx.QueryRow(ctx, `
			INSERT INTO account_revoking (registration_id, subject, until) VALUES ($1, $2, clock() + $3::interval) RETURNING id`,
			registration, subject, life).Scan(&id)
	})
	return id, shared, err
}

// EndDiscarding implements oauthflow.FlowStore.
func (s *Store) EndDiscarding(ctx context.Context, id uuid.UUID) error {
	_, err := s.pool.Exec(ctx, `UPDATE account_revoking SET until = least(until, clock()) WHERE id = $1`, id)
	return translate("ending a revocation", err)
}

// GrantAttemptsBefore returns presentations of a grant's refresh token that are older than the one that before names; uuid.Nil
// is none, and then the newest come first.
func (s *Store) GrantAttemptsBefore(ctx context.Context, grant, before uuid.UUID, limit int) ([]oauthflow.Attempt, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id, epoch, gen, replay, outcome, coalesce(http_status, 0), error, t0, t1 FROM refresh_attempt
		WHERE grant_id = $1 AND ($2 = '00000000-0000-0000-0000-000000000000'::uuid OR (t0, id) < (SELECT b.t0, b.id FROM refresh_attempt b WHERE b.id = $2))
		ORDER BY t0 DESC, id DESC LIMIT $3`, grant, before, limit)
	if err != nil {
		return nil, translate("listing refreshes", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[oauthflow.Attempt])
	return list, translate("listing refreshes", err)
}

// GrantAttempts implements oauthflow.GrantStore: it returns the newest presentations of a grant's refresh token.
func (s *Store) GrantAttempts(ctx context.Context, grant uuid.UUID, limit int) ([]oauthflow.Attempt, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT id, epoch, gen, replay, outcome, coalesce(http_status, 0), error, t0, t1 FROM refresh_attempt WHERE grant_id = $1 ORDER BY t0 DESC, id LIMIT $2`, grant, limit)
	if err != nil {
		return nil, translate("listing refreshes", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[oauthflow.Attempt])
	return list, translate("listing refreshes", err)
}
