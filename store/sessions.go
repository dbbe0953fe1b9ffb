package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/internal/secret"
)

// How long a session lives: without a request, and at all.
const (
	SessionIdle = 30 * time.Minute
	SessionLife = 12 * time.Hour
)

// Session is a browser that is signed in.
type Session struct {
	ID         uuid.UUID `json:"id"`
	AccountID  uuid.UUID `json:"account_id"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	IP         string    `json:"ip"`
	UserAgent  string    `json:"user_agent"`
}

// NewSession describes a session to start.
type NewSession struct {
	AccountID uuid.UUID
	// ProvenHash is the password hash that the sign-in was proven against; where
	// it is not the account's any more the session does not start.
	ProvenHash string
	Secret     secret.Text
	// Replaces is the secret of the browser's session so far, which ends.
	Replaces      secret.Text
	IP, UserAgent string
}

const sessionColumns = `w.id, w.account_id, w.created_at, w.last_seen_at, w.expires_at, w.ip, w.user_agent`

const maxUserAgent = 200

// liveSession is the condition of a session that neither ended nor expired.
const liveSession = `w.expires_at > clock() AND w.last_seen_at > clock() - interval '30 minutes'`

func hashOf(s secret.Text) []byte {
	h := sha256.Sum256([]byte(s.Reveal()))
	return h[:]
}

// StartSession starts a session of an account that has just proven who it is.
// It returns ErrUnauthenticated where the account was disabled, or its password
// changed or ran out, in the meantime.
func (s *Store) StartSession(ctx context.Context, n NewSession) (Session, error) {
	var out Session
	err := s.inTxErr(ctx, "starting session", func(tx pgx.Tx) error {
		var name string
		err := tx.QueryRow(ctx, `
			UPDATE account SET last_sign_in_at = clock()
			WHERE id = $1 AND disabled_at IS NULL AND password_hash = $2 AND (password_expires_at IS NULL OR password_expires_at > clock())
			RETURNING name`, n.AccountID, n.ProvenHash).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrUnauthenticated
		}
		if err != nil {
			return err
		}
		if err := tidySessions(ctx, tx, n.Replaces); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `
			INSERT INTO web_session AS w (account_id, secret_hash, expires_at, ip, user_agent)
			VALUES ($1, $2, clock() + $3::interval, $4, $5) RETURNING `+sessionColumns,
			n.AccountID, hashOf(n.Secret), SessionLife, n.IP, cutText(n.UserAgent, maxUserAgent))
		if err != nil {
			return err
		}
		if out, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[Session]); err != nil {
			return err
		}
		return recordEvent(ctx, tx, audit.Event{
			Actor:  audit.Actor{Kind: audit.Account, Name: name, Authenticated: true, IP: n.IP},
			Action: "session.start", Target: audit.Target{Kind: "session", ID: out.ID.String()}, Outcome: audit.OK,
		})
	})
	if errors.Is(err, ErrUnauthenticated) {
		return out, ErrUnauthenticated
	}
	return out, err
}

// tidySessions deletes the session that a new one replaces, and what expired.
func tidySessions(ctx context.Context, tx pgx.Tx, replaced secret.Text) error {
	if replaced.IsSet() {
		if _, err := tx.Exec(ctx, `DELETE FROM web_session WHERE secret_hash = $1`, hashOf(replaced)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, `
		DELETE FROM web_session WHERE id IN (
			SELECT w.id FROM web_session w WHERE NOT (`+liveSession+`) ORDER BY w.id LIMIT 1000 FOR UPDATE SKIP LOCKED)`)
	return err
}

// SessionOf returns the live session of a secret and its account, or
// ErrUnauthenticated. It notes at most once a minute that the session is used.
func (s *Store) SessionOf(ctx context.Context, sessionSecret secret.Text) (Session, Account, error) {
	return s.sessionOf(ctx, sessionSecret, true)
}

// PeekSession is SessionOf for what a page does by itself: nobody was there, so the session grows idle meanwhile.
func (s *Store) PeekSession(ctx context.Context, sessionSecret secret.Text) (Session, Account, error) {
	return s.sessionOf(ctx, sessionSecret, false)
}

func (s *Store) sessionOf(ctx context.Context, sessionSecret secret.Text, note bool) (Session, Account, error) {
	type row struct {
		Session
		Seen bool
	}
	hash := hashOf(sessionSecret)
	rows, err := s.pool.Query(ctx, `
		SELECT `+sessionColumns+`, w.last_seen_at > clock() - interval '1 minute' AS seen
		FROM web_session w WHERE w.secret_hash = $1 AND `+liveSession, hash)
	if err != nil {
		return Session{}, Account{}, translate("reading session", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByName[row])
	if errors.Is(err, pgx.ErrNoRows) {
		return Session{}, Account{}, ErrUnauthenticated
	}
	if err != nil {
		return Session{}, Account{}, translate("reading session", err)
	}
	// SECURITY: the account is read after the session, so that one which is
	// disabled has no live session here, whatever becomes of the row.
	a, err := s.Account(ctx, r.AccountID.String())
	if errors.Is(err, ErrNotFound) || (err == nil && a.DisabledAt != nil) {
		return Session{}, Account{}, ErrUnauthenticated
	}
	if err != nil {
		return Session{}, Account{}, err
	}
	if note && !r.Seen {
		// A row that another request is updating is being marked already.
		_, err = s.pool.Exec(ctx, `
			UPDATE web_session SET last_seen_at = clock()
			WHERE id = (SELECT id FROM web_session WHERE id = $1 FOR UPDATE SKIP LOCKED)`, r.ID)
	}
	return r.Session, a, translate("noting session", err)
}

// Sessions lists the live sessions of an account, the latest first.
func (s *Store) Sessions(ctx context.Context, account uuid.UUID) ([]Session, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT `+sessionColumns+` FROM web_session w WHERE w.account_id = $1 AND `+liveSession+` ORDER BY w.last_seen_at DESC, w.id`, account)
	if err != nil {
		return nil, translate("listing sessions", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Session])
	return list, translate("listing sessions", err)
}

// EndSession ends one session; one that ended already is no error.
func (s *Store) EndSession(ctx context.Context, by audit.Actor, id uuid.UUID) error {
	return s.inTxErr(ctx, "ending session", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM web_session WHERE id = $1`, id)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		return recordEvent(ctx, tx, audit.Event{
			Actor: by, Action: "session.end", Target: audit.Target{Kind: "session", ID: id.String()}, Outcome: audit.OK,
		})
	})
}

// EndSessions ends every session of an account but the one to keep, which may
// be the zero id, and returns how many there were.
func (s *Store) EndSessions(ctx context.Context, by audit.Actor, account, keep uuid.UUID) (int, error) {
	n := 0
	err := s.inTxErr(ctx, "ending sessions", func(tx pgx.Tx) error {
		var name string
		err := tx.QueryRow(ctx, `SELECT name FROM account WHERE id = $1 FOR SHARE`, account).Scan(&name)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		if err != nil {
			return err
		}
		if n, err = endSessions(ctx, tx, account, keep); err != nil || n == 0 {
			return err
		}
		return recordEvent(ctx, tx, audit.Event{
			Actor: by, Action: "session.end", Target: audit.Target{Kind: "account", ID: name}, Outcome: audit.OK,
			Detail: map[string]string{"sessions": strconv.Itoa(n)},
		})
	})
	return n, err
}

func endSessions(ctx context.Context, tx pgx.Tx, account, keep uuid.UUID) (int, error) {
	tag, err := tx.Exec(ctx, `
		DELETE FROM web_session WHERE id IN (
			SELECT id FROM web_session WHERE account_id = $1 AND id <> $2 ORDER BY id FOR UPDATE)`, account, keep)
	return int(tag.RowsAffected()), err
}

// cutText returns the first n bytes of s, whole characters only and nothing that
// is not printable.
func cutText(s string, n int) string {
	var b []rune
	size := 0
	for _, r := range s {
		if r < ' ' || r > '~' {
			continue
		}
		if size++; size > n {
			break
		}
		b = append(b, r)
	}
	return string(b)
}
