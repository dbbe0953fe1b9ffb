package store

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/internal/secret"
)

// SetupTokenLife is how long the token of the first account is valid.
const SetupTokenLife = 30 * time.Minute

// SetupOpen reports whether the instance has no account yet.
func (s *Store) SetupOpen(ctx context.Context) (bool, error) {
	var open bool
	err := s.pool.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM account)`).Scan(&open)
	return open, translate("looking for accounts", err)
}

// SetSetupToken makes token the one token of set-up for SetupTokenLife. Where an
// account exists it is ErrAccountExists.
func (s *Store) SetSetupToken(ctx context.Context, by audit.Actor, token secret.Text) error {
	err := s.inTxErr(ctx, "making a set-up token", func(tx pgx.Tx) error {
		if err := lockEmptyAccounts(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO setup_token (token_hash, expires_at) VALUES ($1, clock() + $2::interval)
			ON CONFLICT (one) DO UPDATE SET token_hash = excluded.token_hash, expires_at = excluded.expires_at`, hashOf(token), SetupTokenLife)
		if err != nil {
			return err
		}
		return recordEvent(ctx, tx, audit.Event{Actor: by, Action: "setup.token", Outcome: audit.OK})
	})
	if errors.Is(err, ErrAccountExists) {
		return ErrAccountExists
	}
	return err
}

// SetupTokenValid reports whether token would be taken, so that a password is
// not hashed for one that would not.
func (s *Store) SetupTokenValid(ctx context.Context, token secret.Text) (bool, error) {
	var ok bool
	err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM setup_token WHERE token_hash = $1 AND expires_at > clock())`, hashOf(token)).Scan(&ok)
	return ok, translate("checking the set-up token", err)
}

// RedeemSetup makes the first account, an owner. Of any number of attempts at
// the same time one succeeds. A token that is wrong, old or used is
// ErrUnauthenticated; where an account exists it is ErrAccountExists.
func (s *Store) RedeemSetup(ctx context.Context, token secret.Text, name, passwordHash, ip string) (Account, error) {
	var a Account
	err := s.inTxErr(ctx, "setting up", func(tx pgx.Tx) error {
		if err := lockEmptyAccounts(ctx, tx); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `DELETE FROM setup_token WHERE token_hash = $1 AND expires_at > clock()`, hashOf(token))
		if err != nil {
			return err
		}
		if tag.RowsAffected() != 1 {
			return ErrUnauthenticated
		}
		by := audit.Actor{Kind: audit.Anonymous, Name: "set-up token", Authenticated: true, IP: ip}
		if a, err = createAccount(ctx, tx, by, NewAccount{Name: name, Role: RoleOwner, Password: Password{Hash: passwordHash}}); err != nil {
			return err
		}
		return recordAccount(ctx, tx, by, "setup.redeem", a.Name, nil)
	})
	switch {
	case errors.Is(err, ErrAccountExists):
		return a, ErrAccountExists
	case errors.Is(err, ErrUnauthenticated):
		return a, ErrUnauthenticated
	}
	return a, err
}

// lockEmptyAccounts keeps others from making accounts until tx ends, and is
// ErrAccountExists where there is one.
func lockEmptyAccounts(ctx context.Context, tx pgx.Tx) error {
	if err := patient(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE`); err != nil {
		return err
	}
	var exists bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM account)`).Scan(&exists); err != nil {
		return err
	}
	if exists {
		return ErrAccountExists
	}
	return nil
}
