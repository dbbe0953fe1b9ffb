package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
)

// credentialTx implements refresh.Tx.
type credentialTx struct {
	s      *Store
	tx     pgx.Tx
	grant  uuid.UUID
	row    *refresh.Row
	locked lockedRow
}

// lockedRow is what a row was when it was locked.
type lockedRow struct {
	epoch int
	gen   int64
}

func locked(r *refresh.Row) lockedRow {
	if r == nil {
		return lockedRow{}
	}
	return lockedRow{r.Epoch, r.Gen}
}

// Row implements refresh.Tx.
func (t *credentialTx) Row() *refresh.Row { return t.row }

// Save implements refresh.Tx. It writes by consent and generation, although the row is locked.
func (t *credentialTx) Save(ctx context.Context) error {
	r := t.row
	var holder *string
	if r.Holder != "" {
		holder = &r.Holder
	}
	tag, err := t.tx.Exec(ctx, `
		UPDATE credential SET gen = $4, secret_ct = nullif($5::bytea, ''), at_expires = $6, obtained_at = $7, idle_expires = $8, refreshable = $9,
			pair_attempt = $10, phase = $11, maybe_sent = $12, t_first = $13, attempt_id = $14, holder = $15, lease_until = $16, rejected_gen = $17,
			failures = $18, first_failed_at = $19, next_try = $20, state = $21, fail_class = $22, fail_note = $23,
			state_since = CASE WHEN state = $21 THEN state_since ELSE clock() END, updated_at = clock()
		WHERE grant_id = $1 AND epoch = $2 AND gen = $3`,
		t.grant, t.locked.epoch, t.locked.gen, r.Gen, r.Sealed, r.Expires, r.Obtained, r.IdleExpires, r.Refreshable,
		r.PairAttempt, r.Phase, r.MaybeSent, r.FirstSent, r.AttemptID, holder, r.LeaseUntil, r.RejectedGen,
		r.Failures, r.FirstFailedAt, r.NextTry, r.State, r.FailClass, r.FailNote)
	if err != nil {
		return fmt.Errorf("writing credential: %w", err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("writing credential: %w", ErrConflict)
	}
	t.locked = locked(r)
	return nil
}

// Begin implements refresh.Tx.
func (t *credentialTx) Begin(ctx context.Context, a refresh.Attempt) error {
	if err := heartbeat(ctx, t.tx, a.Holder); err != nil {
		return err
	}
	_, err := t.tx.Exec(ctx, `INSERT INTO refresh_attempt (id, grant_id, epoch, gen, rt_hmac, holder, replay, t0) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		a.ID, a.Grant, a.Epoch, a.Gen, a.Presentation, a.Holder, a.Replay, a.At)
	if err != nil {
		return fmt.Errorf("writing attempt: %w", err)
	}
	return nil
}

const attemptColumns = `
	SELECT a.id, a.grant_id, a.seq, a.epoch, a.gen, a.rt_hmac, a.holder, a.replay, a.outcome, a.t0, extract(epoch FROM clock() - p.heartbeat_at)::float8
	FROM refresh_attempt a LEFT JOIN refresh_process p ON p.holder = a.holder`

func scanAttempt(row pgx.CollectableRow) (refresh.Attempt, error) {
	var a refresh.Attempt
	var silent *float64
	err := row.Scan(&a.ID, &a.Grant, &a.Seq, &a.Epoch, &a.Gen, &a.Presentation, &a.Holder, &a.Replay, &a.Outcome, &a.At, &silent)
	if silent != nil {
		d := time.Duration(*silent * float64(time.Second))
		a.Silent = &d
	}
	return a, err
}

// Attempt implements refresh.Tx.
func (t *credentialTx) Attempt(ctx context.Context, id uuid.UUID) (*refresh.Attempt, error) {
	rows, err := t.tx.Query(ctx, attemptColumns+` WHERE a.id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("reading attempt: %w", err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAttempt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nil is none
	}
	if err != nil {
		return nil, fmt.Errorf("reading attempt: %w", err)
	}
	return &a, nil
}

// Open implements refresh.Tx.
func (t *credentialTx) Open(ctx context.Context) ([]refresh.Attempt, error) {
	rows, err := t.tx.Query(ctx, attemptColumns+` WHERE a.grant_id = $1 AND a.epoch = $2 AND a.outcome = ''`, t.grant, t.row.Epoch)
	if err != nil {
		return nil, fmt.Errorf("reading open attempts: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanAttempt)
	if err != nil {
		return nil, fmt.Errorf("reading open attempts: %w", err)
	}
	return list, nil
}

// Close implements refresh.Tx.
func (t *credentialTx) Close(ctx context.Context, id uuid.UUID, outcome refresh.Outcome, status int, note string) error {
	var code *int
	if status != 0 {
		code = &status
	}
	_, err := t.tx.Exec(ctx, `
		UPDATE refresh_attempt SET outcome = $2, http_status = $3, error = $4, t1 = clock()
		WHERE id = $1 AND outcome NOT IN ('rotated', 'spare', 'discarded')`, id, outcome, code, note)
	if err != nil {
		return fmt.Errorf("writing attempt's outcome: %w", err)
	}
	return nil
}

// Presented implements refresh.Tx.
func (t *credentialTx) Presented(ctx context.Context, presentation []byte) (bool, error) {
	var found bool
	err := t.tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM refresh_attempt WHERE grant_id = $1 AND rt_hmac = $2 AND outcome <> 'not_sent')`, t.grant, presentation).Scan(&found)
	if err != nil {
		return false, fmt.Errorf("reading presentations: %w", err)
	}
	return found, nil
}

// Spares implements refresh.Tx.
func (t *credentialTx) Spares(ctx context.Context) ([]refresh.Spare, error) {
	rows, err := t.tx.Query(ctx, `
		SELECT s.attempt_id, s.epoch, s.base_gen, s.secret_ct, s.rt_hmac, s.at_expires, s.at
		FROM credential_spare s LEFT JOIN refresh_attempt a ON a.id = s.attempt_id
		WHERE s.grant_id = $1 AND s.epoch = $2 ORDER BY s.base_gen DESC, a.seq DESC NULLS LAST`, t.grant, t.row.Epoch)
	if err != nil {
		return nil, fmt.Errorf("reading spares: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[refresh.Spare])
	if err != nil {
		return nil, fmt.Errorf("reading spares: %w", err)
	}
	return list, nil
}

// Keep implements refresh.Tx.
func (t *credentialTx) Keep(ctx context.Context, s refresh.Spare) error {
	_, err := t.tx.Exec(ctx, `
		INSERT INTO credential_spare (attempt_id, grant_id, epoch, base_gen, secret_ct, rt_hmac, at_expires) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (attempt_id) DO NOTHING`, s.Attempt, t.grant, s.Epoch, s.Base, s.Sealed, s.Presentation, s.Expires)
	if err != nil {
		return fmt.Errorf("writing spare: %w", err)
	}
	return nil
}

// Drop implements refresh.Tx.
func (t *credentialTx) Drop(ctx context.Context, attempt uuid.UUID) error {
	if _, err := t.tx.Exec(ctx, `DELETE FROM credential_spare WHERE attempt_id = $1`, attempt); err != nil {
		return fmt.Errorf("deleting spare: %w", err)
	}
	return nil
}

// Reject implements refresh.Tx. Who saves a registration, or a consent to it, locks it before credentials, so it is not
// waited for: whether the one that is saved is refused too, the next refresh finds out.
func (t *credentialTx) Reject(ctx context.Context, gen int64, why string) (bool, error) {
	tag, err := t.tx.Exec(ctx, `
		UPDATE client_registration SET state = CASE state WHEN 'active' THEN 'rejected' ELSE state END, state_reason = CASE state WHEN 'draft' THEN state_reason ELSE $3 END, updated_at = clock()
		WHERE id = (SELECT id FROM client_registration WHERE id = $1 AND credential_gen = $2 FOR NO KEY UPDATE SKIP LOCKED)`, t.row.Registration.ID, gen, why)
	if err != nil {
		return false, fmt.Errorf("rejecting registration: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// SetScopes implements refresh.Tx.
func (t *credentialTx) SetScopes(ctx context.Context, scopes []string) error {
	tag, err := t.tx.Exec(ctx, `UPDATE oauth_grant SET scopes = $2, scopes_stated = true WHERE id = $1 AND (scopes, scopes_stated) IS DISTINCT FROM ($2, true)`, t.grant, scopes)
	if err != nil {
		return fmt.Errorf("writing scopes: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil
	}
	// Follow may move schedules after connections are written here.
	_, err = t.tx.Exec(ctx, `
		SELECT FROM schedule s JOIN connection c ON c.id = s.connection_id WHERE c.grant_id = $1 ORDER BY s.connection_id, s.lane FOR UPDATE OF s`, t.grant)
	if err != nil {
		return fmt.Errorf("locking schedules: %w", err)
	}
	return degradeLacking(ctx, t.tx, t.grant)
}

// lacking is the FROM and WHERE of the scopes n that connections c need and were not granted, as
// oauthflow.Profile.Missing tells.
const lacking = `
	connection c JOIN oauth_grant g ON g.id = c.grant_id JOIN client_registration r ON r.id = g.registration_id
		CROSS JOIN LATERAL unnest(c.needed_scopes) WITH ORDINALITY AS n (scope, at)
	WHERE n.scope <> ALL (g.scopes) AND NOT EXISTS (
		SELECT FROM jsonb_array_elements_text(CASE WHEN jsonb_typeof(r.profile #> ARRAY['scopes', 'satisfied', n.scope]) = 'array'
			THEN r.profile #> ARRAY['scopes', 'satisfied', n.scope] ELSE '[]' END) s (scope) WHERE s.scope = ANY (g.scopes))`

// degradeLacking shows on the working connections of a grant which of the scopes that they need were not granted.
func degradeLacking(ctx context.Context, tx pgx.Tx, grant uuid.UUID) error {
	remedy, err := grantRemedy(ctx, tx, grant)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		WITH lacking AS (SELECT c.id, string_agg(n.scope, ', ' ORDER BY n.at) AS scopes FROM `+lacking+` AND c.grant_id = $1 AND c.state = 'active' GROUP BY c.id)
		UPDATE connection SET state = 'degraded', state_reason = $2::text || lacking.scopes || $3::text, state_since = clock(), updated_at = clock()
		FROM lacking WHERE connection.id = lacking.id`, grant, lackingScopes, remedy)
	if err != nil {
		return fmt.Errorf("writing missing scopes: %w", err)
	}
	return nil
}

// working gives a connection the state of one that works: active, or degraded while it lacks scopes.
func working(ctx context.Context, tx pgx.Tx, id uuid.UUID) error {
	var scopes *string
	var grant *uuid.UUID
	err := tx.QueryRow(ctx, `
		SELECT (SELECT string_agg(n.scope, ', ' ORDER BY n.at) FROM `+lacking+` AND c.id = $1),
			(SELECT grant_id FROM connection k WHERE k.id = $1)`, id).Scan(&scopes, &grant)
	if err != nil {
		return fmt.Errorf("reading missing scopes: %w", err)
	}
	if scopes == nil || grant == nil {
		return setConnectionState(ctx, tx, id, StateActive, "")
	}
	remedy, err := grantRemedy(ctx, tx, *grant)
	if err != nil {
		return err
	}
	return setConnectionState(ctx, tx, id, StateDegraded, lackingScopes+*scopes+remedy)
}

// lackingScopes begins the reason of a connection whose grant lacks scopes; a remedy ends it.
const lackingScopes = "permissions are missing: "

// remedyOf says how a grant gets the scopes that it lacks; removeFirst is Profile.RemoveFirst.
func remedyOf(removeFirst string) string {
	if removeFirst == "" {
		return "; grant again"
	}
	return "; remove the access of the application at " + removeFirst + " first, then grant again"
}

// grantRemedy is remedyOf the provider of a grant.
func grantRemedy(ctx context.Context, tx pgx.Tx, grant uuid.UUID) (string, error) {
	var first string
	err := tx.QueryRow(ctx, `
		SELECT CASE WHEN r.profile ->> 'grant_per' = $2 AND r.profile #>> '{revocation,style}' = $3 THEN coalesce(r.profile #>> '{revocation,manage_url}', '') ELSE '' END
		FROM oauth_grant g JOIN client_registration r ON r.id = g.registration_id WHERE g.id = $1`, grant, oauthflow.PerAccount, oauthflow.RevokeNone).Scan(&first)
	if err != nil {
		return "", fmt.Errorf("reading the provider of a grant: %w", err)
	}
	return remedyOf(first), nil
}

// Follow implements refresh.Tx.
func (t *credentialTx) Follow(ctx context.Context, f refresh.Follow) error {
	return follow(ctx, t.tx, t.grant, f)
}

// Record implements refresh.Tx.
func (t *credentialTx) Record(ctx context.Context, e audit.Event) error {
	return t.s.RecordTx(ctx, t.tx, e)
}

// broken is what of the connections of grant $1 the grant has broken: $2 and $3 mark a refusal and trouble.
const broken = `grant_id = $1 AND (state = 'needs_reauth' OR state = 'config_error' AND state_reason LIKE '%' || $2 || '%'
	OR state = 'degraded' AND state_reason LIKE $3 || '%')`

// heal lets the connections that a grant had broken work again, and makes them due. It locks their schedules first, and
// nothing where none is broken.
func heal(ctx context.Context, tx pgx.Tx, grant uuid.UUID) error {
	ids, err := idsOf(tx.Query(ctx, `
		SELECT connection_id FROM schedule WHERE connection_id IN (SELECT id FROM connection WHERE `+broken+`) ORDER BY connection_id, lane FOR UPDATE`,
		grant, refresh.MarkRejected, refresh.MarkTrouble))
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `
		WITH healed AS (
			UPDATE connection SET state = 'active', state_reason = '', state_since = clock(), updated_at = clock()
			WHERE (id = ANY($4) OR NOT EXISTS (SELECT FROM schedule s WHERE s.connection_id = connection.id)) AND `+broken+` RETURNING id)
		UPDATE schedule SET next_run_at = clock() FROM healed WHERE connection_id = healed.id`, grant, refresh.MarkRejected, refresh.MarkTrouble, ids)
	return err
}

// follow puts the connections of a grant where its state says. Those that an admin paused, and those that end, stay.
func follow(ctx context.Context, tx pgx.Tx, grant uuid.UUID, f refresh.Follow) error {
	var err error
	switch {
	case f.Degraded:
		_, err = tx.Exec(ctx, `
			UPDATE connection SET state = 'degraded', state_reason = $2, updated_at = clock(), state_since = CASE WHEN state = 'degraded' THEN state_since ELSE clock() END
			WHERE grant_id = $1 AND (state = 'active' OR state = 'degraded' AND state_reason LIKE $3 || '%') AND state_reason <> $2`, grant, f.Reason, refresh.MarkTrouble)
	case f.State == oauthflow.GrantActive:
		err = heal(ctx, tx, grant)
	default:
		_, err = tx.Exec(ctx, `
			UPDATE connection SET state = $2, state_reason = $3, updated_at = clock(), state_since = CASE WHEN state = $2 THEN state_since ELSE clock() END
			WHERE grant_id = $1 AND state NOT IN ('paused', 'closing') AND (state, state_reason) IS DISTINCT FROM ($2, $3)`, grant, f.State, f.Reason)
	}
	if err == nil && !f.Degraded && f.State == oauthflow.GrantActive {
		err = degradeLacking(ctx, tx, grant)
	}
	if err != nil {
		return fmt.Errorf("writing connections of grant: %w", err)
	}
	return nil
}
