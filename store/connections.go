package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/oauthflow"
)

// Lane is one of the two kinds of progress of a connection.
type Lane string

// The lanes.
const (
	Content     Lane = "content"
	Permissions Lane = "permissions"
)

// Lanes returns both lanes.
func Lanes() []Lane { return []Lane{Content, Permissions} }

// ConnectionState is the state of a connection; "stale" is not one, it is a
// property of its permissions.
type ConnectionState string

// The states of a connection.
const (
	StateActive      ConnectionState = "active"
	StateDegraded    ConnectionState = "degraded"
	StateThrottled   ConnectionState = "throttled"
	StateNeedsReauth ConnectionState = "needs_reauth"
	StateConfigError ConnectionState = "config_error"
	StatePaused      ConnectionState = "paused"
	StateFailed      ConnectionState = "failed"
	StateClosing     ConnectionState = "closing"
)

// ConnectionStates returns every state, in the order in which people read them.
func ConnectionStates() []ConnectionState {
	return []ConnectionState{
		StateActive, StateDegraded, StateThrottled, StateNeedsReauth, StateConfigError, StateFailed, StatePaused, StateClosing,
	}
}

// Connection is one configured instance of a connector.
type Connection struct {
	ID               uuid.UUID            `json:"id"`
	Name             string               `json:"name"`
	Source           string               `json:"source"`
	RealmID          *int64               `json:"-"`
	Settings         map[string]string    `json:"settings"`
	Selection        connectors.Selection `json:"selection"`
	SelectionVersion int                  `json:"-"`
	State            ConnectionState      `json:"state"`
	StateReason      string               `json:"state_reason,omitempty"`
	StateSince       time.Time            `json:"state_since"`
	ThrottledUntil   *time.Time           `json:"throttled_until,omitempty"`
	FeedCursor       connectors.Cursor    `json:"-"`
	PermissionsAsOf  *time.Time           `json:"permissions_as_of"`
	ContentAsOf      *time.Time           `json:"content_as_of"`
	MaxPermissionAge time.Duration        `json:"-"`
	CreatedAt        time.Time            `json:"created_at"`
	UpdatedAt        time.Time            `json:"-"`
	// GrantID is the grant whose tokens it uses; nil for a source without one.
	GrantID      *uuid.UUID         `json:"grant_id,omitempty"`
	NeededScopes []string           `json:"needed_scopes,omitempty"`
	ExpiresAt    *time.Time         `json:"expires_at,omitempty"`
	AtExpiry     oauthflow.AtExpiry `json:"at_expiry,omitempty"`
	// MapEmail says that verified addresses map readers to its people.
	MapEmail bool `json:"map_email"`
}

// NewConnection describes a connection to make. Intervals of zero become the
// defaults: content every 15 minutes, permissions every 5.
type NewConnection struct {
	Name             string
	Source           string
	Realm            string
	Settings         map[string]string
	Selection        connectors.Selection
	ContentEvery     time.Duration
	PermissionsEvery time.Duration
	MaxPermissionAge time.Duration
	// Grant and NeededScopes are for a source with consent; uuid.Nil is none.
	Grant        uuid.UUID
	NeededScopes []string
	// SetUp makes it paused until somebody resumes it, which is the last step of its set-up.
	SetUp bool
}

// settingUp is why a connection is paused whose set-up nobody has finished.
const settingUp = "its set-up is not finished: nothing is synced yet"

// SettingUp reports whether the connection waits for its first sync to be started.
func (c Connection) SettingUp() bool { return c.State == StatePaused && c.StateReason == settingUp }

// Default intervals of a new connection.
const (
	DefaultContentEvery     = 15 * time.Minute
	DefaultPermissionsEvery = 5 * time.Minute
	DefaultPermissionAge    = 24 * time.Hour
)

const connectionColumns = `c.id, c.name, c.source, c.realm_id, c.settings, c.selection, c.selection_version, c.state, c.state_reason,
	c.state_since, c.throttled_until, c.feed_cursor, c.permissions_as_of, c.content_as_of, c.max_permission_age, c.created_at, c.updated_at,
	c.grant_id, c.needed_scopes, c.expires_at, c.at_expiry, c.map_email`

// CreateConnection makes a connection whose lanes are due at once, or of source
// push without any, and records events with it. A name that is taken is ErrConflict, an unusable one an
// *InputError.
func (s *Store) CreateConnection(ctx context.Context, n NewConnection, events ...audit.Event) (Connection, error) {
	var id uuid.UUID
	err := s.inTxErr(ctx, "creating connection", func(tx pgx.Tx) error {
		var err error
		if id, err = createConnection(ctx, tx, n); err != nil {
			return err
		}
		return recordAll(ctx, tx, id.String(), events)
	})
	if err != nil {
		return Connection{}, err
	}
	return s.Connection(ctx, id.String())
}

func createConnection(ctx context.Context, tx pgx.Tx, n NewConnection) (uuid.UUID, error) {
	var id uuid.UUID
	settings, err := json.Marshal(nonNil(n.Settings))
	if err != nil {
		return id, fmt.Errorf("encoding settings: %w", err)
	}
	selection, err := json.Marshal(n.Selection)
	if err != nil {
		return id, fmt.Errorf("encoding selection: %w", err)
	}
	var realm *int64
	if n.Realm != "" {
		r, err := realmID(ctx, tx, n.Source, n.Realm)
		if err != nil {
			return id, err
		}
		realm = &r
	}
	var grant *uuid.UUID
	if n.Grant != uuid.Nil {
		grant = &n.Grant
	}
	state, reason := StateActive, ""
	if n.SetUp {
		state, reason = StatePaused, settingUp
	}
	err = tx.QueryRow(ctx, `
		INSERT INTO connection (name, source, realm_id, settings, selection, max_permission_age, grant_id, needed_scopes, state, state_reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7, coalesce($8, '{}'::text[]), $9, $10) RETURNING id`,
		n.Name, n.Source, realm, settings, selection, orDefault(n.MaxPermissionAge, DefaultPermissionAge), grant, n.NeededScopes, state, reason).Scan(&id)
	if err == nil && n.Source != PushSource {
		_, err = tx.Exec(ctx, `INSERT INTO schedule (connection_id, lane, every) VALUES ($1, 'content', $2), ($1, 'permissions', $3)`,
			id, orDefault(n.ContentEvery, DefaultContentEvery), orDefault(n.PermissionsEvery, DefaultPermissionsEvery))
	}
	switch pgCode(err) {
	case stateUniqueViolation:
		return id, fmt.Errorf("a connection named %q exists: %w", n.Name, ErrConflict)
	case stateCheckViolation:
		return id, &InputError{Field: "name", Problem: "must be 1 to 63 of a-z, 0-9, dot, dash and underscore, and begin with a letter or digit; intervals must be at least 10 seconds"}
	}
	return id, err
}

// realmID returns the row of a realm, making it if needed.
func realmID(ctx context.Context, tx pgx.Tx, source, external string) (int64, error) {
	var id int64
	err := tx.QueryRow(ctx, `
		INSERT INTO realm AS r (source, external_id) VALUES ($1, $2)
		ON CONFLICT (source, external_id) DO UPDATE SET source = r.source RETURNING id`, source, external).Scan(&id)
	if err != nil {
		return 0, fmt.Errorf("writing realm: %w", err)
	}
	return id, nil
}

// Connections lists every connection by name.
func (s *Store) Connections(ctx context.Context) ([]Connection, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+connectionColumns+` FROM connection c ORDER BY c.name`)
	if err != nil {
		return nil, fmt.Errorf("listing connections: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Connection])
	if err != nil {
		return nil, fmt.Errorf("listing connections: %w", err)
	}
	return list, nil
}

// Connection finds a connection by its name or id, or returns ErrNotFound.
func (s *Store) Connection(ctx context.Context, nameOrID string) (Connection, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+connectionColumns+` FROM connection c WHERE c.name = $1 OR c.id::text = $1`, nameOrID)
	if err != nil {
		return Connection{}, fmt.Errorf("reading connection: %w", err)
	}
	c, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Connection])
	if errors.Is(err, pgx.ErrNoRows) {
		return c, fmt.Errorf("connection %q: %w", nameOrID, ErrNotFound)
	}
	if err != nil {
		return c, fmt.Errorf("reading connection: %w", err)
	}
	return c, nil
}

func setConnectionState(ctx context.Context, tx pgx.Tx, id uuid.UUID, state ConnectionState, reason string) error {
	_, err := tx.Exec(ctx, `
		UPDATE connection SET state = $2, state_reason = $3, updated_at = clock(),
			state_since = CASE WHEN state = $2 THEN state_since ELSE clock() END
		WHERE id = $1 AND state <> 'closing' AND (state, state_reason) IS DISTINCT FROM ($2, $3)`, id, state, reason)
	return err
}

// SetPaused stops or resumes the schedules of a connection, and records events
// with it. Pausing one whose set-up is not finished leaves it so, and resuming it
// finishes that.
func (s *Store) SetPaused(ctx context.Context, id uuid.UUID, paused bool, events ...audit.Event) error {
	return s.inTxErr(ctx, "pausing connection", func(tx pgx.Tx) error {
		if err := recordAll(ctx, tx, id.String(), events); err != nil {
			return err
		}
		if paused {
			if err := patient(ctx, tx); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `UPDATE sync_run SET cancel_requested = true WHERE connection_id = $1 AND state IN ('queued', 'running')`, id)
			if err != nil {
				return err
			}
			return pause(ctx, tx, id)
		}
		if _, err := tx.Exec(ctx, `SELECT FROM schedule WHERE connection_id = $1 ORDER BY lane FOR UPDATE`, id); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE schedule SET next_run_at = clock() WHERE connection_id = $1`, id); err != nil {
			return err
		}
		return working(ctx, tx, id)
	})
}

// pause pauses a connection that does not wait for its set-up.
func pause(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	var waits bool
	err := tx.QueryRow(ctx, `SELECT state = 'paused' AND state_reason = $2 FROM connection WHERE id = $1 FOR UPDATE`, id, settingUp).Scan(&waits)
	if errors.Is(err, pgx.ErrNoRows) || err == nil && waits {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading state: %w", err)
	}
	return setConnectionState(ctx, tx, id, StatePaused, "paused by an admin")
}

// SetRealm records the realm that the source reported. A realm that changed is
// refused: ids of one organisation mean nothing in another.
func (s *Store) SetRealm(ctx context.Context, id uuid.UUID, source, realm string) (int64, error) {
	var got int64
	err := s.inTxErr(ctx, "setting realm", func(tx pgx.Tx) error {
		r, err := realmID(ctx, tx, source, realm)
		if err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `UPDATE connection SET realm_id = coalesce(realm_id, $2) WHERE id = $1 RETURNING realm_id`, id, r).Scan(&got)
		if err != nil {
			return err
		}
		if got != r {
			return &InputError{Field: "realm", Problem: "the source reports another organisation or machine than the connection was made for: make a new connection"}
		}
		return nil
	})
	return got, err
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

func orDefault(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return d
}
