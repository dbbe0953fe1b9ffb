package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// Credentials returns what package refresh needs of the database.
func (s *Store) Credentials() *Credentials { return &Credentials{s: s} }

// Credentials implements refresh.Store. Locks are taken in the order of doc.go: credential, schedule, connection.
type Credentials struct {
	s        *Store
	profiles profileCache
}

// profileCache keeps the parsed profiles of registrations, by their text: every use of a token reads one.
type profileCache struct {
	mu     sync.Mutex
	parsed map[string]*oauthflow.Profile
}

// maxProfiles bounds the cache; there are about as many profiles as registrations.
const maxProfiles = 256

func (c *profileCache) load(raw []byte) (*oauthflow.Profile, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.parsed[string(raw)]; p != nil {
		return p, nil
	}
	p, err := oauthflow.LoadProfile(raw)
	if err != nil {
		return nil, err
	}
	if c.parsed == nil || len(c.parsed) >= maxProfiles {
		c.parsed = map[string]*oauthflow.Profile{}
	}
	c.parsed[string(raw)] = p
	return p, nil
}

// grantRow is read by scanCredential: a credential c with its grant g and its registration r, and the database's clock.
const grantRow = `
	SELECT g.id, g.registration_id, g.kind, g.subject, g.account, g.asked_scopes, g.scopes, g.scopes_stated, g.params, g.consented_by, g.consented_at,
		g.expires_at, g.at_expiry, g.closed_at, g.close_note,
		r.id, r.name, r.provider, r.profile, r.endpoints_digest, r.base_url, r.redirect_uri, r.client_id, r.subject, r.credential_kinds, r.credential_gen,
		r.credential_expires_at, r.allow_hosts, r.state, r.state_reason,
		c.epoch, c.gen, coalesce(c.secret_ct, ''), c.at_expires, c.obtained_at, c.idle_expires, c.refreshable, c.pair_attempt,
		c.phase, c.maybe_sent, c.t_first, c.attempt_id, coalesce(c.holder, ''), c.lease_until, c.rejected_gen,
		c.failures, c.first_failed_at, c.next_try, c.state, c.fail_class, c.fail_note, c.state_since, c.absolute_expires,
		clock(), extract(epoch FROM clock_timestamp() - pg_postmaster_start_time())::float8
	FROM credential c JOIN oauth_grant g ON g.id = c.grant_id JOIN client_registration r ON r.id = g.registration_id
	WHERE c.grant_id = $1`

// scanCredential reads one grantRow; nil is none.
func (c *Credentials) scanCredential(row pgx.Row) (*refresh.Row, error) {
	var r refresh.Row
	var params, profile []byte
	var age float64
	g, reg, h := &r.Grant, &r.Registration, &r.Grant.Health
	err := row.Scan(&g.ID, &g.RegistrationID, &g.Kind, &g.Subject, &g.Account, &g.Asked, &g.Scopes, &g.ScopesStated, &params, &g.ConsentedBy, &g.ConsentedAt,
		&g.ExpiresAt, &g.AtExpiry, &g.ClosedAt, &g.CloseNote,
		&reg.ID, &reg.Name, &reg.Provider, &profile, &reg.Digest, &reg.BaseURL, &reg.RedirectURI, &reg.ClientID, &reg.Subject, &reg.CredentialKinds, &reg.CredentialGen,
		&reg.CredentialExpiresAt, &reg.AllowHosts, &reg.State, &reg.StateReason,
		&r.Epoch, &r.Gen, &r.Sealed, &r.Expires, &r.Obtained, &r.IdleExpires, &r.Refreshable, &r.PairAttempt,
		&r.Phase, &r.MaybeSent, &r.FirstSent, &r.AttemptID, &r.Holder, &r.LeaseUntil, &r.RejectedGen,
		&r.Failures, &r.FirstFailedAt, &r.NextTry, &r.State, &r.FailClass, &r.FailNote, &h.StateSince, &h.AbsoluteExpires,
		&r.Now, &age)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nil is none
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(params, &g.Params); err != nil {
		return nil, fmt.Errorf("reading parameters of grant %s: %w", g.ID, err)
	}
	if reg.Profile, err = c.profiles.load(profile); err != nil {
		return nil, fmt.Errorf("reading profile of registration %s: %w", reg.ID, err)
	}
	r.ServerAge = time.Duration(age * float64(time.Second))
	h.Epoch, h.Gen, h.State, h.FailClass, h.FailNote, h.Phase = r.Epoch, r.Gen, r.State, r.FailClass, r.FailNote, r.Phase
	h.AccessExpires, h.IdleExpires, h.NextTry, h.Failures, h.Refreshable = r.Expires, r.IdleExpires, r.NextTry, r.Failures, r.Refreshable
	return &r, nil
}

// Load implements refresh.Store.
func (c *Credentials) Load(ctx context.Context, grant uuid.UUID) (*refresh.Row, error) {
	r, err := c.scanCredential(c.s.pool.QueryRow(ctx, grantRow, grant))
	return r, translate("reading grant", err)
}

// InRow implements refresh.Store.
func (c *Credentials) InRow(ctx context.Context, grant uuid.UUID, fn func(tx refresh.Tx) error) error {
	err := c.inRow(ctx, grant, fn)
	if !errors.Is(err, errElsewhere) {
		return err
	}
	if err := c.settleIn(ctx); err != nil {
		return err
	}
	return c.inRow(ctx, grant, fn)
}

func (c *Credentials) inRow(ctx context.Context, grant uuid.UUID, fn func(tx refresh.Tx) error) error {
	var own error
	err := pgx.BeginFunc(ctx, c.s.pool, func(tx pgx.Tx) error {
		if err := claimable(ctx, tx); err != nil {
			return err
		}
		r, err := c.scanCredential(tx.QueryRow(ctx, grantRow+` FOR UPDATE OF c`, grant))
		if err != nil {
			return err
		}
		own = fn(&credentialTx{s: c.s, tx: tx, grant: grant, row: r, locked: locked(r)})
		return own
	})
	if own != nil {
		return own
	}
	return translate("writing grant", err)
}

// Heartbeat implements refresh.Store.
func (c *Credentials) Heartbeat(ctx context.Context, holder string, hand []uuid.UUID) error {
	beat := func() error {
		return pgx.BeginFunc(ctx, c.s.pool, func(tx pgx.Tx) error {
			if err := claimable(ctx, tx); err != nil {
				return err
			}
			if err := heartbeat(ctx, tx, holder); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `UPDATE refresh_attempt SET outcome = '', error = '', t1 = NULL WHERE id = ANY ($1) AND holder = $2 AND outcome = 'orphaned'`, hand, holder)
			return translate("opening attempts again", err)
		})
	}
	err := beat()
	if errors.Is(err, errElsewhere) {
		if err = c.settleIn(ctx); err == nil {
			err = beat()
		}
	}
	return err
}

func heartbeat(ctx context.Context, db execer, holder string) error {
	_, err := db.Exec(ctx, `INSERT INTO refresh_process (holder) VALUES ($1) ON CONFLICT (holder) DO UPDATE SET heartbeat_at = clock()`, holder)
	return translate("writing heartbeat", err)
}

// OwnOpen implements refresh.Store.
func (c *Credentials) OwnOpen(ctx context.Context, holder string) ([]refresh.Attempt, error) {
	rows, err := c.s.pool.Query(ctx, attemptColumns+` WHERE a.holder = $1 AND a.outcome = ''`, holder)
	if err != nil {
		return nil, translate("reading attempts", err)
	}
	list, err := pgx.CollectRows(rows, scanAttempt)
	return list, translate("reading attempts", err)
}

// Silent implements refresh.Store.
func (c *Credentials) Silent(ctx context.Context, quiet time.Duration, limit int) ([]refresh.Attempt, error) {
	rows, err := c.s.pool.Query(ctx, attemptColumns+` WHERE a.outcome = '' AND (p.holder IS NULL OR p.heartbeat_at < clock() - $1::interval) ORDER BY a.seq LIMIT $2`, quiet, limit)
	if err != nil {
		return nil, translate("reading attempts of silent processes", err)
	}
	list, err := pgx.CollectRows(rows, scanAttempt)
	return list, translate("reading attempts of silent processes", err)
}

// Overdue implements refresh.Store.
func (c *Credentials) Overdue(ctx context.Context, limit int) ([]uuid.UUID, error) {
	rows, err := c.s.pool.Query(ctx, `
		SELECT grant_id FROM credential WHERE phase = 'in_flight' AND lease_until <= clock()
		UNION
		SELECT c.grant_id FROM credential c WHERE c.state = 'needs_reauth' AND EXISTS (SELECT FROM credential_spare s WHERE s.grant_id = c.grant_id AND s.epoch = c.epoch)
		LIMIT $1`, limit)
	if err != nil {
		return nil, translate("reading overdue refreshes", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return list, translate("reading overdue refreshes", err)
}

// accessDue is when the access token of credential c is renewed while something syncs with it, idleDue when its refresh token
// is used, so that it does not die unused.
const (
	accessDue = `c.obtained_at + (c.at_expires - c.obtained_at) * (0.8 * (0.9 + 0.2 * (abs(hashtext(c.grant_id::text)::bigint) % 1000) / 1000.0))`
	idleDue   = `c.obtained_at + (c.idle_expires - c.obtained_at) / 2`
)

// NextRefresh is when the tokens of a grant are renewed without anybody asking, nil for never.
func (s *Store) NextRefresh(ctx context.Context, grant uuid.UUID) (*time.Time, error) {
	var at *time.Time
	err := s.pool.QueryRow(ctx, `
		SELECT least(CASE WHEN u.syncs THEN greatest(`+accessDue+`, CASE WHEN c.at_expires IS NOT NULL THEN c.next_try END) END,
			CASE WHEN u.used THEN greatest(`+idleDue+`, CASE WHEN c.idle_expires IS NOT NULL THEN c.next_try END) END)
		FROM credential c JOIN oauth_grant g ON g.id = c.grant_id
		CROSS JOIN LATERAL (SELECT coalesce(bool_or(n.state NOT IN ('paused', 'closing')), false) AS syncs, coalesce(bool_or(n.state <> 'closing'), false) AS used
			FROM connection n WHERE n.grant_id = c.grant_id) u
		WHERE c.grant_id = $1 AND c.state = 'active' AND c.refreshable AND g.closed_at IS NULL`, grant).Scan(&at)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // never
	}
	return at, translate("reading when a grant is refreshed", err)
}

// Due implements refresh.Store. The jitter of a grant is that of its id, so that a herd that was connected at once
// spreads. Connections that are paused keep their grant alive, but not its access token. Grants of an endpoint that is held
// back wait, so that they keep no others from their turn.
func (c *Credentials) Due(ctx context.Context, quiet time.Duration, limit int) ([]uuid.UUID, error) {
	rows, err := c.s.pool.Query(ctx, `
		SELECT c.grant_id FROM credential c JOIN oauth_grant g ON g.id = c.grant_id
		CROSS JOIN LATERAL (SELECT coalesce(bool_or(n.state NOT IN ('paused', 'closing')), false) AS syncs, coalesce(bool_or(n.state <> 'closing'), false) AS used
			FROM connection n WHERE n.grant_id = c.grant_id) u
		LEFT JOIN outbound_limit l ON l.key = 'token:' || g.registration_id::text AND l.blocked_until > clock()
		WHERE l.key IS NULL AND c.state = 'active' AND c.refreshable AND c.next_try <= clock() AND g.closed_at IS NULL AND (g.expires_at IS NULL OR g.expires_at > clock())
			AND (c.phase = 'idle' OR c.phase = 'uncertain' AND (c.lease_until IS NULL OR c.lease_until + $1::interval <= clock() OR c.at_expires > clock()))
			AND (u.syncs AND c.at_expires IS NOT NULL
					AND clock() >= `+accessDue+`
				OR u.used AND c.idle_expires IS NOT NULL AND clock() >= `+idleDue+`
				OR u.syncs AND c.phase = 'uncertain')
		ORDER BY least(c.at_expires, c.idle_expires) NULLS LAST LIMIT $2`, quiet, limit)
	if err != nil {
		return nil, translate("reading due grants", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	return list, translate("reading due grants", err)
}

// Records of refreshes are kept for so long: what was sent, what was not, and processes.
const (
	keepAttempts  = 400 * 24 * time.Hour
	keepUnsent    = 24 * time.Hour
	keepProcesses = 24 * time.Hour
)

// Prune implements refresh.Store.
func (c *Credentials) Prune(ctx context.Context) error {
	return c.s.inTxErr(ctx, "pruning records of refreshes", func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `DELETE FROM refresh_attempt WHERE t0 < clock() - $1::interval OR outcome = 'not_sent' AND t0 < clock() - $2::interval`, keepAttempts, keepUnsent)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `DELETE FROM refresh_process WHERE heartbeat_at < clock() - $1::interval`, keepProcesses)
		return err
	})
}

// ReviveGrantsTx makes the grants of a registration active again that it was refused for: its credentials were saved.
func (s *Store) ReviveGrantsTx(ctx context.Context, tx pgx.Tx, registration uuid.UUID) error {
	rows, err := tx.Query(ctx, `
		UPDATE credential c SET state = 'active', state_since = clock(), fail_class = '', fail_note = '', failures = 0, first_failed_at = NULL, next_try = clock(), updated_at = clock()
		FROM oauth_grant g WHERE g.id = c.grant_id AND g.registration_id = $1 AND c.state = 'config_error' RETURNING c.grant_id`, registration)
	if err != nil {
		return fmt.Errorf("reviving grants: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
	if err != nil {
		return fmt.Errorf("reviving grants: %w", err)
	}
	for _, grant := range list {
		if err := follow(ctx, tx, grant, refresh.Follow{State: oauthflow.GrantActive}); err != nil {
			return fmt.Errorf("reviving grants: %w", err)
		}
	}
	return nil
}
