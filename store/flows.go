package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/oauthflow"
)

var _ oauthflow.FlowStore = (*Store)(nil)

// CreateFlow implements oauthflow.FlowStore.
func (s *Store) CreateFlow(ctx context.Context, f oauthflow.FlowRow, life time.Duration, e audit.Event) (time.Time, error) {
	plan, err := json.Marshal(f.Plan)
	if err != nil {
		return time.Time{}, fmt.Errorf("encoding plan: %w", err)
	}
	var expires time.Time
	err = s.inTxErr(ctx, "storing consent", func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO oauth_flow (state_hash, registration_id, endpoints_digest, issuer, redirect_uri, account_id, session_id, grant_id, grant_epoch,
				plan, scopes, verifier_ct, return_to, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, coalesce($11, '{}'::text[]), $12, $13, clock() + $14::interval) RETURNING expires_at`,
			f.StateHash, f.RegistrationID, f.Digest, f.Issuer, f.RedirectURI, f.Account, f.Session, f.Grant, f.GrantEpoch,
			plan, f.Scopes, f.VerifierCT, f.ReturnTo, life).Scan(&expires)
		if err != nil {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
	return expires, err
}

// TakeFlow implements oauthflow.FlowStore.
func (s *Store) TakeFlow(ctx context.Context, stateHash []byte) (*oauthflow.FlowRow, error) {
	f := oauthflow.FlowRow{StateHash: stateHash}
	var plan []byte
	err := s.pool.QueryRow(ctx, `
		DELETE FROM oauth_flow WHERE state_hash = $1
		RETURNING registration_id, endpoints_digest, issuer, redirect_uri, account_id, session_id, grant_id, grant_epoch, plan, scopes, verifier_ct,
			return_to, expires_at, clock(), expires_at <= clock()`, stateHash).
		Scan(&f.RegistrationID, &f.Digest, &f.Issuer, &f.RedirectURI, &f.Account, &f.Session, &f.Grant, &f.GrantEpoch, &plan, &f.Scopes, &f.VerifierCT,
			&f.ReturnTo, &f.ExpiresAt, &f.TakenAt, &f.Expired)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // the interface says that nil is none
	}
	if err == nil {
		err = json.Unmarshal(plan, &f.Plan)
	}
	if err != nil {
		return nil, translate("taking consent", err)
	}
	return &f, nil
}

// CreateTicket implements oauthflow.TicketStore.
func (s *Store) CreateTicket(ctx context.Context, hash []byte, t oauthflow.Ticket, life time.Duration, e audit.Event) (time.Time, error) {
	plan, err := json.Marshal(t.Plan)
	if err != nil {
		return time.Time{}, fmt.Errorf("encoding plan: %w", err)
	}
	var expires time.Time
	err = s.inTxErr(ctx, "storing ticket", func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			INSERT INTO connect_ticket (ticket_hash, registration_id, grant_id, requested_by, plan, expires_at)
			VALUES ($1, $2, $3, $4, $5, clock() + $6::interval) RETURNING expires_at`,
			hash, t.Registration, t.Grant, t.RequestedBy, plan, life).Scan(&expires)
		if err != nil {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
	return expires, err
}

// Ticket implements oauthflow.TicketStore.
func (s *Store) Ticket(ctx context.Context, hash []byte) (*oauthflow.Ticket, error) {
	return scanTicket(s.pool.QueryRow(ctx, `
		SELECT registration_id, grant_id, requested_by, plan, expires_at FROM connect_ticket WHERE ticket_hash = $1 AND expires_at > clock()`, hash))
}

// TakeTicket implements oauthflow.TicketStore.
func (s *Store) TakeTicket(ctx context.Context, hash []byte) (*oauthflow.Ticket, error) {
	return scanTicket(s.pool.QueryRow(ctx, `
		DELETE FROM connect_ticket WHERE ticket_hash = $1 AND expires_at > clock() RETURNING registration_id, grant_id, requested_by, plan, expires_at`, hash))
}

func scanTicket(row pgx.Row) (*oauthflow.Ticket, error) {
	var t oauthflow.Ticket
	var plan []byte
	err := row.Scan(&t.Registration, &t.Grant, &t.RequestedBy, &plan, &t.ExpiresAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // the interface says that nil is none
	}
	if err == nil {
		err = json.Unmarshal(plan, &t.Plan)
	}
	if err != nil {
		return nil, translate("reading ticket", err)
	}
	return &t, nil
}

// PurgeFlows deletes consents and tickets that are over, and returns how many.
func (s *Store) PurgeFlows(ctx context.Context) (int64, error) {
	var n int64
	err := s.inTxErr(ctx, "purging consents", func(tx pgx.Tx) error {
		for _, q := range [...]string{
			`DELETE FROM oauth_flow WHERE expires_at <= clock() - interval '1 hour'`, `DELETE FROM connect_ticket WHERE expires_at <= clock()`,
			`DELETE FROM account_revoking WHERE until <= clock() - interval '1 hour'`, `DELETE FROM assertion_used WHERE until <= clock()`,
		} {
			tag, err := tx.Exec(ctx, q)
			if err != nil {
				return err
			}
			n += tag.RowsAffected()
		}
		return nil
	})
	return n, err
}

// CheckPlan implements oauthflow.FlowStore.
func (s *Store) CheckPlan(ctx context.Context, p oauthflow.Plan) ([]string, error) {
	switch {
	case p.Connection != uuid.Nil:
		var needed []string
		err := s.pool.QueryRow(ctx, `SELECT needed_scopes FROM connection WHERE id = $1 AND state <> 'closing'`, p.Connection).Scan(&needed)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, errPlanGone()
		}
		return needed, translate("reading connection", err)
	case p.Name == "" && p.Source == "":
		return nil, nil
	case p.Source == "":
		return nil, &oauthflow.PlanError{Field: "source", Problem: "is missing"}
	case !isConnectionName(p.Name):
		return nil, errPlanName()
	}
	var taken bool
	if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM connection WHERE name = $1)`, p.Name).Scan(&taken); err != nil {
		return nil, translate("reading connection", err)
	}
	if taken {
		return nil, errPlanTaken(p.Name)
	}
	return nil, nil
}

func isConnectionName(name string) bool {
	ok, err := regexp.MatchString(`^[a-z0-9][a-z0-9._-]{0,62}$`, name)
	return ok && err == nil
}

func errPlanGone() error {
	return &oauthflow.PlanError{Field: "connection", Problem: "it is being deleted, or gone"}
}

func errPlanName() error {
	return &oauthflow.PlanError{Field: "name", Problem: "must be 1 to 63 of a-z, 0-9, dot, dash and underscore, and begin with a letter or digit"}
}

func errPlanTaken(name string) error {
	return &oauthflow.PlanError{Field: "name", Problem: fmt.Sprintf("a connection named %q exists", name)}
}
