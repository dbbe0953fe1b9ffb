package web

import (
	"context"

	"github.com/google/uuid"

	"tributary/internal/audit"
	"tributary/internal/secret"
	"tributary/store"
)

// Accounts is what the pages need of the store to know who uses them. Every
// change is recorded in the audit log together with what it changes.
type Accounts interface {
	audit.Recorder
	// SetupOpen reports whether there is no account yet.
	SetupOpen(ctx context.Context) (bool, error)
	SetupTokenValid(ctx context.Context, token secret.Text) (bool, error)
	RedeemSetup(ctx context.Context, token secret.Text, name, passwordHash, ip string) (store.Account, error)

	Accounts(ctx context.Context) ([]store.Account, error)
	Account(ctx context.Context, nameOrID string) (store.Account, error)
	CreateAccount(ctx context.Context, by audit.Actor, n store.NewAccount) (store.Account, error)
	SetAccountRole(ctx context.Context, by audit.Actor, id uuid.UUID, role store.AccountRole) error
	DisableAccount(ctx context.Context, by audit.Actor, id uuid.UUID) (store.Ended, error)
	EnableAccount(ctx context.Context, by audit.Actor, id uuid.UUID) error
	SetPassword(ctx context.Context, by audit.Actor, id uuid.UUID, p store.Password) error
	// ResetPassword is for a password that somebody else chose.
	ResetPassword(ctx context.Context, by audit.Actor, id uuid.UUID, p store.Password) (store.Ended, error)
	DeleteAccount(ctx context.Context, by audit.Actor, id uuid.UUID) (store.Ended, error)

	// PasswordHash returns "" for an account that does not exist.
	PasswordHash(ctx context.Context, name string) (store.Account, string, error)
	BeginSignIn(ctx context.Context, name, ip string) (store.SignInAttempt, error)
	SignInSucceeded(ctx context.Context, name, ip string) error

	StartSession(ctx context.Context, n store.NewSession) (store.Session, error)
	SessionOf(ctx context.Context, sessionSecret secret.Text) (store.Session, store.Account, error)
	PeekSession(ctx context.Context, sessionSecret secret.Text) (store.Session, store.Account, error)
	Sessions(ctx context.Context, account uuid.UUID) ([]store.Session, error)
	EndSession(ctx context.Context, by audit.Actor, id uuid.UUID) error
	EndSessions(ctx context.Context, by audit.Actor, account, keep uuid.UUID) (int, error)
}

// Passwords hashes and compares passwords; internal/password does.
type Passwords interface {
	Hash(ctx context.Context, p secret.Text) (string, error)
	// Verify takes as long for the hash "" as for any other, and is false then.
	Verify(ctx context.Context, hash string, p secret.Text) (bool, error)
}
