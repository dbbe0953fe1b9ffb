package store

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// AccountRole is what an account may do in the pages.
type AccountRole string

// The roles of accounts, from least to most: an auditor sees, an admin changes
// connections, an owner also changes accounts and what may be reached.
const (
	RoleAuditor AccountRole = "auditor"
	RoleAdmin   AccountRole = "admin"
	RoleOwner   AccountRole = "owner"
)

// AccountRoles lists every role, from least to most.
func AccountRoles() []AccountRole { return []AccountRole{RoleAuditor, RoleAdmin, RoleOwner} }

// Account is somebody who signs in to the pages.
type Account struct {
	ID                uuid.UUID   `json:"id"`
	Name              string      `json:"name"`
	Role              AccountRole `json:"role"`
	PasswordChangedAt *time.Time  `json:"password_changed_at"`
	// PasswordExpiresAt is set while the password is one that somebody else
	// chose: it has to be changed before that.
	PasswordExpiresAt *time.Time `json:"password_expires_at"`
	DisabledAt        *time.Time `json:"disabled_at"`
	LastSignInAt      *time.Time `json:"last_sign_in_at"`
	CreatedAt         time.Time  `json:"created_at"`
	Sessions          int        `json:"sessions"`
}

// NewAccount describes an account to make.
type NewAccount struct {
	Name string
	Role AccountRole
	Password
}

// Password is a password to store: its hash, and how long it is good for until
// it is changed where somebody else than the account's holder knows it.
type Password struct {
	Hash       string
	ChangeWith time.Duration
}

// OneTimePassword is how long a password that somebody else knows opens the
// page that changes it.
const OneTimePassword = 72 * time.Hour

// Errors of accounts.
var (
	// ErrLastOwner: there must be an owner who can sign in.
	ErrLastOwner = errors.New("the last enabled owner stays: make another owner first")
	// ErrAccountExists: the instance has an account, so set-up is over.
	ErrAccountExists = errors.New("an account exists; set-up is over")
)

// accountName keeps names to what looks like nothing else, in every font.
var accountName = regexp.MustCompile(`^[a-z0-9][a-z0-9._@+-]{0,99}$`)

// AccountName returns name as accounts are named: in lower case, without space
// around it. A name that cannot be one is an *InputError.
func AccountName(name string) (string, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if !accountName.MatchString(name) {
		return "", &InputError{Field: "name", Problem: "must begin with a letter or a digit and have 1 to 100 of a-z, 0-9 and . _ @ + -"}
	}
	if _, err := uuid.Parse(name); err == nil {
		return "", &InputError{Field: "name", Problem: "must not look like an id"}
	}
	return name, nil
}

// ParseAccountRole returns the role of that name, or an *InputError.
func ParseAccountRole(s string) (AccountRole, error) {
	for _, r := range AccountRoles() {
		if s == string(r) {
			return r, nil
		}
	}
	return "", &InputError{Field: "role", Problem: "must be owner, admin or auditor"}
}

const accountColumns = `a.id, a.name, a.role, a.password_changed_at, a.password_expires_at, a.disabled_at, a.last_sign_in_at, a.created_at,
	(SELECT count(*) FROM web_session w WHERE w.account_id = a.id AND w.expires_at > clock() AND w.last_seen_at > clock() - interval '30 minutes') AS sessions`

// Accounts lists every account by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+accountColumns+` FROM account a ORDER BY a.name`)
	if err != nil {
		return nil, translate("listing accounts", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Account])
	return list, translate("listing accounts", err)
}

// Account returns the account with that id or name, or ErrNotFound.
func (s *Store) Account(ctx context.Context, nameOrID string) (Account, error) {
	var id *uuid.UUID
	if parsed, err := uuid.Parse(nameOrID); err == nil {
		id = &parsed
	}
	rows, err := s.pool.Query(ctx, `SELECT `+accountColumns+` FROM account a WHERE a.id = $1 OR a.name = lower($2)`, id, nameOrID)
	if err != nil {
		return Account{}, translate("reading account", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Account])
	if errors.Is(err, pgx.ErrNoRows) {
		return a, fmt.Errorf("account %q: %w", nameOrID, ErrNotFound)
	}
	return a, translate("reading account", err)
}

// CreateAccount makes an account, and ends set-up by token. A name that is
// taken is ErrConflict.
func (s *Store) CreateAccount(ctx context.Context, by audit.Actor, n NewAccount) (Account, error) {
	var a Account
	err := s.inTxErr(ctx, "creating account", func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `LOCK TABLE account IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM setup_token`); err != nil {
			return err
		}
		var err error
		a, err = createAccount(ctx, tx, by, n)
		return err
	})
	return a, err
}

func createAccount(ctx context.Context, tx pgx.Tx, by audit.Actor, n NewAccount) (Account, error) {
	var a Account
	name, err := AccountName(n.Name)
	if err != nil {
		return a, err
	}
	if _, err := ParseAccountRole(string(n.Role)); err != nil {
		return a, err
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO account AS a (name, role, password_hash, password_changed_at, password_expires_at)
		VALUES ($1, $2, $3, clock(), clock() + nullif($4::interval, interval '0')) RETURNING `+accountColumns,
		name, n.Role, n.Hash, n.ChangeWith)
	if err != nil {
		return a, err
	}
	a, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Account])
	if pgCode(err) == stateUniqueViolation {
		return a, fmt.Errorf("an account named %q exists: %w", name, ErrConflict)
	}
	if err != nil {
		return a, err
	}
	return a, recordAccount(ctx, tx, by, "account.create", a.Name, map[string]string{"role": string(a.Role)})
}

func recordAccount(ctx context.Context, tx pgx.Tx, by audit.Actor, action, name string, detail map[string]string) error {
	return recordEvent(ctx, tx, audit.Event{
		Actor: by, Action: action, Target: audit.Target{Kind: "account", ID: name}, Outcome: audit.OK, Detail: detail,
	})
}

// changeAccount locks the account and what owners there are, runs fn, and
// refuses with ErrLastOwner where no enabled owner would be left.
func (s *Store) changeAccount(ctx context.Context, op string, id uuid.UUID, fn func(tx pgx.Tx, a Account) error) error {
	return s.inTxErr(ctx, op, func(tx pgx.Tx) error {
		// In the order of ids: two that change two accounts wait for each other's end.
		rows, err := tx.Query(ctx, `
			SELECT id FROM account WHERE id = $1 OR (role = 'owner' AND disabled_at IS NULL) ORDER BY id FOR UPDATE`, id)
		if err != nil {
			return err
		}
		if _, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID]); err != nil {
			return err
		}
		rows, err = tx.Query(ctx, `SELECT `+accountColumns+` FROM account a WHERE a.id = $1`, id)
		if err != nil {
			return err
		}
		a, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Account])
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if err := fn(tx, a); err != nil {
			return err
		}
		var left bool
		err = tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM account WHERE role = 'owner' AND disabled_at IS NULL)`).Scan(&left)
		if err == nil && !left {
			return ErrLastOwner
		}
		return err
	})
}

// SetAccountRole changes what the account may do, from its next request on.
func (s *Store) SetAccountRole(ctx context.Context, by audit.Actor, id uuid.UUID, role AccountRole) error {
	if _, err := ParseAccountRole(string(role)); err != nil {
		return err
	}
	return s.changeAccount(ctx, "changing role", id, func(tx pgx.Tx, a Account) error {
		if a.Role == role {
			return nil
		}
		if _, err := tx.Exec(ctx, `UPDATE account SET role = $2 WHERE id = $1`, id, role); err != nil {
			return err
		}
		return recordAccount(ctx, tx, by, "account.role", a.Name, map[string]string{"from": string(a.Role), "to": string(role)})
	})
}

// Ended counts what an act on an account ended of it.
type Ended struct {
	Sessions int `json:"sessions"`
	// Tokens are those of the admin API.
	Tokens int `json:"tokens"`
}

// String says it to people, such as "2 sessions ended, 1 admin token revoked".
func (e Ended) String() string {
	return fmt.Sprintf("%s ended, %s revoked", countOf(e.Sessions, "session"), countOf(e.Tokens, "admin token"))
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (e Ended) detail() map[string]string {
	return map[string]string{"sessions": strconv.Itoa(e.Sessions), "tokens": strconv.Itoa(e.Tokens)}
}

// endAll ends the sessions and the admin tokens of an account.
func endAll(ctx context.Context, tx pgx.Tx, account uuid.UUID) (Ended, error) {
	var e Ended
	var err error
	if e.Sessions, err = endSessions(ctx, tx, account, uuid.Nil); err != nil {
		return e, err
	}
	tag, err := tx.Exec(ctx, `
		UPDATE admin_token SET revoked_at = clock() WHERE account_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock())`, account)
	e.Tokens = int(tag.RowsAffected())
	return e, err
}

// DisableAccount keeps the account from signing in, and ends its sessions and
// admin tokens.
func (s *Store) DisableAccount(ctx context.Context, by audit.Actor, id uuid.UUID) (Ended, error) {
	var ended Ended
	err := s.changeAccount(ctx, "disabling account", id, func(tx pgx.Tx, a Account) error {
		if a.DisabledAt != nil {
			return nil
		}
		if _, err := tx.Exec(ctx, `UPDATE account SET disabled_at = clock() WHERE id = $1`, id); err != nil {
			return err
		}
		var err error
		if ended, err = endAll(ctx, tx, id); err != nil {
			return err
		}
		return recordAccount(ctx, tx, by, "account.disable", a.Name, ended.detail())
	})
	return ended, err
}

// EnableAccount undoes DisableAccount; sessions and tokens do not come back.
func (s *Store) EnableAccount(ctx context.Context, by audit.Actor, id uuid.UUID) error {
	return s.changeAccount(ctx, "enabling account", id, func(tx pgx.Tx, a Account) error {
		if a.DisabledAt == nil {
			return nil
		}
		if _, err := tx.Exec(ctx, `UPDATE account SET disabled_at = NULL WHERE id = $1`, id); err != nil {
			return err
		}
		return recordAccount(ctx, tx, by, "account.enable", a.Name, nil)
	})
}

// SetPassword gives the account the password that its holder chose, and ends its
// sessions. Its admin tokens stay.
func (s *Store) SetPassword(ctx context.Context, by audit.Actor, id uuid.UUID, p Password) error {
	return s.changeAccount(ctx, "setting password", id, func(tx pgx.Tx, a Account) error {
		if err := setPassword(ctx, tx, id, p); err != nil {
			return err
		}
		if _, err := endSessions(ctx, tx, id, uuid.Nil); err != nil {
			return err
		}
		return recordAccount(ctx, tx, by, "account.password", a.Name, nil)
	})
}

// ResetPassword gives the account a password that somebody else chose, and ends
// its sessions and admin tokens: whoever had it keeps no way in.
func (s *Store) ResetPassword(ctx context.Context, by audit.Actor, id uuid.UUID, p Password) (Ended, error) {
	var ended Ended
	err := s.changeAccount(ctx, "resetting password", id, func(tx pgx.Tx, a Account) error {
		err := setPassword(ctx, tx, id, p)
		if err == nil {
			ended, err = endAll(ctx, tx, id)
		}
		if err != nil {
			return err
		}
		return recordAccount(ctx, tx, by, "account.password", a.Name, ended.detail())
	})
	return ended, err
}

func setPassword(ctx context.Context, tx pgx.Tx, id uuid.UUID, p Password) error {
	_, err := tx.Exec(ctx, `
		UPDATE account SET password_hash = $2, password_changed_at = clock(), password_expires_at = clock() + nullif($3::interval, interval '0')
		WHERE id = $1`, id, p.Hash, p.ChangeWith)
	return err
}

// DeleteAccount removes the account with its sessions, admin tokens and
// unfinished flows. What it connected stays; the audit log keeps its name.
func (s *Store) DeleteAccount(ctx context.Context, by audit.Actor, id uuid.UUID) (Ended, error) {
	var ended Ended
	err := s.changeAccount(ctx, "deleting account", id, func(tx pgx.Tx, a Account) error {
		var err error
		if ended, err = endAll(ctx, tx, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `DELETE FROM account WHERE id = $1`, id); err != nil {
			return err
		}
		return recordAccount(ctx, tx, by, "account.delete", a.Name, ended.detail())
	})
	return ended, err
}

// PasswordHash returns the hash of the account of that name with the account,
// for a password to be compared with. Where there is no such account, or it has
// no password, the hash is "".
func (s *Store) PasswordHash(ctx context.Context, name string) (Account, string, error) {
	type row struct {
		Account
		Hash string
	}
	rows, err := s.pool.Query(ctx, `SELECT `+accountColumns+`, coalesce(a.password_hash, '') AS hash FROM account a WHERE a.name = $1`, name)
	if err != nil {
		return Account{}, "", translate("reading account", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, "", nil
	}
	return r.Account, r.Hash, translate("reading account", err)
}
