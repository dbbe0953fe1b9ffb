package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/oauthflow"
)

var _ oauthflow.RegistrationStore = (*Store)(nil)

const registrationColumns = `SELECT id, name, provider, profile, endpoints_digest, base_url, redirect_uri, client_id, subject, credential_kinds, credential_gen,
	credential_expires_at, allow_hosts, state, state_reason, created_by, created_at, updated_at FROM client_registration`

func scanRegistration(row pgx.Row) (*oauthflow.Registration, error) {
	var r oauthflow.Registration
	var profile []byte
	err := row.Scan(&r.ID, &r.Name, &r.Provider, &profile, &r.Digest, &r.BaseURL, &r.RedirectURI, &r.ClientID, &r.Subject, &r.CredentialKinds, &r.CredentialGen,
		&r.CredentialExpiresAt, &r.AllowHosts, &r.State, &r.StateReason, &r.CreatedBy, &r.CreatedAt, &r.UpdatedAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // the interface says that nil is none
	}
	if err != nil {
		return nil, translate("reading registration", err)
	}
	if r.Profile, err = oauthflow.LoadProfile(profile); err != nil {
		return nil, fmt.Errorf("reading registration %s: %w", r.Name, err)
	}
	return &r, nil
}

// RegistrationByID implements oauthflow.RegistrationStore and oauthflow.FlowStore.
func (s *Store) RegistrationByID(ctx context.Context, id uuid.UUID) (*oauthflow.Registration, error) {
	return scanRegistration(s.pool.QueryRow(ctx, registrationColumns+` WHERE id = $1`, id))
}

// RegistrationNamed implements oauthflow.RegistrationStore.
func (s *Store) RegistrationNamed(ctx context.Context, nameOrID string) (*oauthflow.Registration, error) {
	return scanRegistration(s.pool.QueryRow(ctx, registrationColumns+` WHERE name = $1 OR id::text = $1`, nameOrID))
}

// Registrations implements oauthflow.RegistrationStore: all, by name.
func (s *Store) Registrations(ctx context.Context) ([]oauthflow.Registration, error) {
	rows, err := s.pool.Query(ctx, registrationColumns+` ORDER BY name`)
	if err != nil {
		return nil, translate("listing registrations", err)
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (oauthflow.Registration, error) {
		r, err := scanRegistration(row)
		if err != nil {
			return oauthflow.Registration{}, err
		}
		return *r, nil
	})
	return list, translate("listing registrations", err)
}

// RegistrationSecret implements oauthflow.RegistrationStore and oauthflow.FlowStore.
func (s *Store) RegistrationSecret(ctx context.Context, id uuid.UUID) (ciphertext []byte, gen int64, err error) {
	err = s.pool.QueryRow(ctx, `SELECT credential_ct, credential_gen FROM client_registration WHERE id = $1`, id).Scan(&ciphertext, &gen)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, 0, fmt.Errorf("registration %s: %w", id, ErrNotFound)
	}
	return ciphertext, gen, translate("reading registration", err)
}

// CreateRegistration implements oauthflow.RegistrationStore. A name that is taken is ErrConflict, an unusable one an
// *InputError.
func (s *Store) CreateRegistration(ctx context.Context, r oauthflow.Registration, e audit.Event) error {
	profile, err := oauthflow.StoreProfile(r.Profile)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			INSERT INTO client_registration (id, name, provider, profile, endpoints_digest, base_url, redirect_uri, allow_hosts, state, created_by)
			VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, '{}'::text[]), $9, $10)`,
			r.ID, r.Name, r.Provider, profile, r.Digest, r.BaseURL, r.RedirectURI, r.AllowHosts, r.State, r.CreatedBy)
		if err != nil {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
	return registrationError("making registration", r.Name, err)
}

func registrationError(op, name string, err error) error {
	switch pgCode(err) {
	case stateUniqueViolation:
		return fmt.Errorf("a registration named %q exists: %w", name, ErrConflict)
	case stateCheckViolation:
		return &InputError{Field: "name", Problem: "must be 1 to 63 of a-z, 0-9, dot, dash and underscore, and begin with a letter or digit"}
	}
	return translate(op, err)
}

// SaveRegistration implements oauthflow.RegistrationStore.
func (s *Store) SaveRegistration(ctx context.Context, u oauthflow.RegistrationUpdate, e audit.Event) error {
	r := u.Registration
	profile, err := oauthflow.StoreProfile(r.Profile)
	if err != nil {
		return err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `
			UPDATE client_registration SET name = $2, provider = $3, profile = $4, endpoints_digest = $5, base_url = $6, client_id = $7, subject = $8,
				credential_kinds = coalesce($9, '{}'::text[]), credential_gen = $10, credential_ct = $11, credential_expires_at = $12,
				allow_hosts = coalesce($13, '{}'::text[]), updated_at = clock(),
				state = CASE WHEN $17 AND state = 'rejected' THEN state ELSE $14 END, state_reason = CASE WHEN $17 AND state = 'rejected' THEN state_reason ELSE $15 END
			WHERE id = $1 AND credential_gen = $16`,
			r.ID, r.Name, r.Provider, profile, r.Digest, r.BaseURL, r.ClientID, r.Subject, r.CredentialKinds, r.CredentialGen, u.SecretCT, r.CredentialExpiresAt,
			r.AllowHosts, r.State, r.StateReason, u.Expect, u.KeepState)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return oauthflow.ErrRegistrationChanged
		}
		if u.Drop != "" {
			err = dropGrants(ctx, tx, r.ID, u.Drop)
		} else {
			err = s.ReviveGrantsTx(ctx, tx, r.ID)
		}
		if err != nil {
			return err
		}
		if err := resetLimits(ctx, tx, "token:"+r.ID.String(), "api:"+r.ID.String()); err != nil {
			return err
		}
		return s.RecordTx(ctx, tx, e)
	})
	return registrationError("saving registration", r.Name, err)
}

// dropGrants ends the grants of a registration: their tokens are forgotten, and a pair that is still on its way finds
// another epoch. The connections wait for a new consent. Credentials are locked first, as by a refresh.
func dropGrants(ctx context.Context, tx pgx.Tx, registration uuid.UUID, why string) error {
	for _, q := range [...]string{
		`UPDATE credential c SET secret_ct = NULL, epoch = epoch + 1, gen = 0, phase = 'idle', maybe_sent = false, attempt_id = NULL, holder = NULL, lease_until = NULL,
			state = 'needs_reauth', state_since = clock(), fail_class = 'revoked', fail_note = $2, updated_at = clock()
		 FROM oauth_grant g WHERE g.id = c.grant_id AND g.registration_id = $1 AND c.secret_ct IS NOT NULL`,
		`UPDATE oauth_grant SET closed_at = clock(), close_note = $2 WHERE registration_id = $1 AND closed_at IS NULL`,
		`DELETE FROM credential_spare s USING oauth_grant g WHERE g.id = s.grant_id AND g.registration_id = $1 AND $2::text <> ''`,
		`DELETE FROM oauth_flow WHERE registration_id = $1 AND $2::text <> ''`,
		`UPDATE connection k SET state = 'needs_reauth', state_reason = $2, state_since = clock(), updated_at = clock()
		 FROM oauth_grant g WHERE g.id = k.grant_id AND g.registration_id = $1 AND k.state NOT IN ('closing', 'paused')`,
	} {
		if _, err := tx.Exec(ctx, q, registration, why); err != nil {
			return err
		}
	}
	return nil
}

// DeleteRegistration implements oauthflow.RegistrationStore.
func (s *Store) DeleteRegistration(ctx context.Context, id uuid.UUID, e audit.Event) error {
	return s.inTxErr(ctx, "deleting registration", func(tx pgx.Tx) error {
		var used bool
		err := tx.QueryRow(ctx, `
			SELECT EXISTS (SELECT FROM oauth_grant g WHERE g.registration_id = r.id AND g.closed_at IS NULL)
			FROM client_registration r WHERE r.id = $1 FOR UPDATE`, id).Scan(&used)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if used {
			return oauthflow.ErrRegistrationUsed
		}
		for _, q := range [...]string{
			`UPDATE connection k SET grant_id = NULL FROM oauth_grant g WHERE g.id = k.grant_id AND g.registration_id = $1`,
			`DELETE FROM oauth_grant WHERE registration_id = $1`,
			`DELETE FROM client_registration WHERE id = $1`,
		} {
			if _, err := tx.Exec(ctx, q, id); err != nil {
				return err
			}
		}
		return s.RecordTx(ctx, tx, e)
	})
}
