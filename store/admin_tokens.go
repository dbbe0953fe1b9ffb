package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/internal/secret"
)

// adminTokenPrefix begins every secret of the admin API. API keys begin otherwise, so that one is never taken for the other.
const adminTokenPrefix = "tribadm_"

// How long an admin token lives: where nothing is said, and at most.
const (
	AdminTokenLife    = 90 * 24 * time.Hour
	MaxAdminTokenLife = 366 * 24 * time.Hour
)

// AdminToken is a token of the admin API without its secret.
type AdminToken struct {
	ID   uuid.UUID   `json:"id"`
	Name string      `json:"name"`
	Role AccountRole `json:"role"`
	// AccountID and Account are whose token it is; nil for one that the command line made for nobody's account.
	AccountID  *uuid.UUID `json:"account_id"`
	Account    *string    `json:"account"`
	Hint       string     `json:"hint"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at"`
	LastUsedAt *time.Time `json:"last_used_at"`
	RevokedAt  *time.Time `json:"revoked_at"`
}

// NewAdminToken describes a token to make.
type NewAdminToken struct {
	Name string
	Role AccountRole
	// Account is whose token it is: it never may more than that. uuid.Nil is nobody's.
	Account uuid.UUID
	// Life is how long it lives; 0 is AdminTokenLife.
	Life time.Duration
}

const adminTokenColumns = `t.id, t.name, t.role, t.account_id, a.name AS account, t.hint, t.created_at, t.expires_at, t.last_used_at, t.revoked_at` //nolint:gosec // columns, and no credentials

func (n NewAdminToken) check() error {
	if _, err := ParseAccountRole(string(n.Role)); err != nil {
		return err
	}
	if n.Life < 0 || n.Life > MaxAdminTokenLife {
		return &InputError{Field: "expires", Problem: "must be within 366 days"}
	}
	return nil
}

// CreateAdminToken makes a token, records events with it, and returns its secret, which is not stored and cannot be shown
// again.
func (s *Store) CreateAdminToken(ctx context.Context, n NewAdminToken, events ...audit.Event) (AdminToken, secret.Text, error) {
	if err := n.check(); err != nil {
		return AdminToken{}, secret.Text{}, err
	}
	raw := make([]byte, keySecretBytes)
	if _, err := rand.Read(raw); err != nil {
		return AdminToken{}, secret.Text{}, fmt.Errorf("making a secret: %w", err)
	}
	text := adminTokenPrefix + base64.RawURLEncoding.EncodeToString(raw)
	hash := sha256.Sum256([]byte(text))
	var token AdminToken
	err := s.inTxErr(ctx, "creating admin token", func(tx pgx.Tx) error {
		var account *uuid.UUID
		if n.Account != uuid.Nil {
			account = &n.Account
			if err := mayHold(ctx, tx, n); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `
			INSERT INTO admin_token (name, role, account_id, secret_hash, hint, expires_at) VALUES ($1, $2, $3, $4, $5, clock() + $6::interval)`,
			n.Name, n.Role, account, hash[:], text[len(text)-4:], orDefault(n.Life, AdminTokenLife))
		switch pgCode(err) {
		case stateUniqueViolation:
			return fmt.Errorf("an admin token named %q exists: %w", n.Name, ErrConflict)
		case stateCheckViolation:
			return &InputError{Field: "name", Problem: "must be 1 to 63 of a-z, 0-9, dot, dash and underscore, and begin with a letter or digit"}
		}
		if err != nil {
			return err
		}
		list, err := readAdminTokens(ctx, tx, `t.secret_hash = $1`, hash[:])
		if err != nil {
			return err
		}
		token = list[0]
		return recordAll(ctx, tx, token.ID.String(), events)
	})
	if err != nil {
		return AdminToken{}, secret.Text{}, err
	}
	return token, secret.New(text), nil
}

// mayHold refuses a role above that of the account.
func mayHold(ctx context.Context, tx pgx.Tx, n NewAdminToken) error {
	var role AccountRole
	err := tx.QueryRow(ctx, `SELECT role FROM account WHERE id = $1 AND disabled_at IS NULL FOR SHARE`, n.Account).Scan(&role)
	if errors.Is(err, pgx.ErrNoRows) {
		return &InputError{Field: "account", Problem: "is not an account that may sign in"}
	}
	if err == nil && slices.Index(AccountRoles(), n.Role) > slices.Index(AccountRoles(), role) {
		return &InputError{Field: "role", Problem: "must not be above that of the account, which is " + string(role)}
	}
	return err
}

func readAdminTokens(ctx context.Context, q querier, where string, args ...any) ([]AdminToken, error) {
	rows, err := q.Query(ctx, `SELECT `+adminTokenColumns+` FROM admin_token t LEFT JOIN account a ON a.id = t.account_id WHERE `+where+` ORDER BY t.name`, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByName[AdminToken])
}

// AdminTokens lists the tokens by name, revoked ones too: those of an account, or all for uuid.Nil.
func (s *Store) AdminTokens(ctx context.Context, account uuid.UUID) ([]AdminToken, error) {
	var list []AdminToken
	var err error
	if account == uuid.Nil {
		list, err = readAdminTokens(ctx, s.pool, `true`)
	} else {
		list, err = readAdminTokens(ctx, s.pool, `t.account_id = $1`, account)
	}
	return list, translate("listing admin tokens", err)
}

// AdminToken returns the token with that id or name, or ErrNotFound.
func (s *Store) AdminToken(ctx context.Context, nameOrID string) (AdminToken, error) {
	list, err := readAdminTokens(ctx, s.pool, `t.name = $1 OR t.id::text = $1`, nameOrID)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("admin token %q: %w", nameOrID, ErrNotFound)
	}
	if err != nil {
		return AdminToken{}, translate("reading admin token", err)
	}
	return list[0], nil
}

// RevokeAdminToken ends a token at once and for good, and records events with it. One that is revoked stays as it is, and
// nothing is recorded.
func (s *Store) RevokeAdminToken(ctx context.Context, id uuid.UUID, events ...audit.Event) error {
	return s.inTxErr(ctx, "revoking admin token", func(tx pgx.Tx) error {
		var revoked bool
		err := tx.QueryRow(ctx, `SELECT revoked_at IS NOT NULL FROM admin_token WHERE id = $1 FOR UPDATE`, id).Scan(&revoked)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("admin token %s: %w", id, ErrNotFound)
		}
		if err != nil || revoked {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE admin_token SET revoked_at = clock() WHERE id = $1`, id); err != nil {
			return err
		}
		return recordAll(ctx, tx, id.String(), events)
	})
}

// AuthenticateAdmin returns the live token with that secret, and whose account it is, zero for nobody's. The role of both is
// the lesser of the two. Anything wrong is ErrUnauthenticated. It notes at most once a minute that the token is used.
func (s *Store) AuthenticateAdmin(ctx context.Context, text secret.Text) (AdminToken, Account, error) {
	if !strings.HasPrefix(text.Reveal(), adminTokenPrefix) {
		return AdminToken{}, Account{}, ErrUnauthenticated
	}
	hash := sha256.Sum256([]byte(text.Reveal()))
	list, err := readAdminTokens(ctx, s.pool, `
		t.secret_hash = $1 AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > clock()) AND (t.account_id IS NULL OR a.disabled_at IS NULL)`, hash[:])
	if err != nil {
		return AdminToken{}, Account{}, translate("authenticating", err)
	}
	if len(list) == 0 {
		return AdminToken{}, Account{}, ErrUnauthenticated
	}
	token, account := list[0], Account{}
	// A row that another request is updating is being marked already.
	_, err = s.pool.Exec(ctx, `
		UPDATE admin_token SET last_used_at = clock()
		WHERE id = (SELECT id FROM admin_token WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < clock() - interval '1 minute') FOR UPDATE SKIP LOCKED)`, token.ID)
	if err == nil && token.AccountID != nil {
		account, err = s.Account(ctx, token.AccountID.String())
	}
	if errors.Is(err, ErrNotFound) || account.DisabledAt != nil {
		return AdminToken{}, Account{}, ErrUnauthenticated
	}
	if err != nil {
		return AdminToken{}, Account{}, translate("authenticating", err)
	}
	if token.AccountID != nil && slices.Index(AccountRoles(), account.Role) < slices.Index(AccountRoles(), token.Role) {
		token.Role = account.Role
	}
	account.Role = token.Role
	return token, account, nil
}
