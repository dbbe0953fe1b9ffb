package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/oauthflow"
)

// heldGrant is a grant that a consent finds.
type heldGrant struct {
	id               uuid.UUID
	subject, account string
	epoch            int
	gen              int64
	secret           []byte
	scopes           []string
}

// SaveConsent implements oauthflow.FlowStore. Consents of one registration come one after the other, so that two of one
// account never make two grants.
func (s *Store) SaveConsent(ctx context.Context, c oauthflow.Consent) (oauthflow.ConsentResult, error) {
	var out oauthflow.ConsentResult
	err := s.inTxErr(ctx, "storing grant", func(tx pgx.Tx) error {
		out = oauthflow.ConsentResult{}
		var digest string
		err := tx.QueryRow(ctx, `SELECT endpoints_digest FROM client_registration WHERE id = $1 AND state <> 'draft' FOR NO KEY UPDATE`, c.Registration).Scan(&digest)
		if errors.Is(err, pgx.ErrNoRows) || err == nil && digest != c.Digest {
			return oauthflow.ErrRegistrationChanged
		}
		if err != nil {
			return err
		}
		if err := outlives(ctx, tx, c); err != nil {
			return err
		}
		held, moved, err := findGrant(ctx, tx, c)
		if err != nil {
			return err
		}
		if err := writeGrant(ctx, tx, c, held, &out); err != nil {
			return err
		}
		// The connections that the consent makes due are written after their schedules are locked.
		_, err = tx.Exec(ctx, `
			SELECT FROM schedule s JOIN connection c ON c.id = s.connection_id
			WHERE c.id = $1 OR c.grant_id IN ($2, $3) ORDER BY s.connection_id, s.lane FOR UPDATE OF s`, c.Plan.Connection, out.Grant, moved)
		if err != nil {
			return fmt.Errorf("locking schedules: %w", err)
		}
		if err := s.writePlan(ctx, tx, c, moved, &out); err != nil {
			return err
		}
		if err := settleConnections(ctx, tx, c, &out); err != nil {
			return err
		}
		return s.recordConsent(ctx, tx, c, out)
	})
	return out, err
}

// outlives refuses a consent that a revocation may have ended: one that began before the revocation was over. BeginRevoking
// locks the registration too, so that a consent is stored before it, and then nothing is revoked, or is refused here.
func outlives(ctx context.Context, tx pgx.Tx, c oauthflow.Consent) error {
	if c.Began.IsZero() {
		return nil
	}
	var ended bool
	err := tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM oauth_grant WHERE registration_id = $1 AND subject = $2 AND revoking_until > $3)
			OR EXISTS (SELECT FROM account_revoking WHERE registration_id = $1 AND subject IN ($2, 'sha256:' || encode(sha256(convert_to($2, 'UTF8')), 'hex')) AND until > $3)`,
		c.Registration, c.Subject, c.Began).Scan(&ended)
	if err == nil && ended {
		err = oauthflow.ErrAccountClosing
	}
	return err
}

// findGrant returns the grant to renew, nil for none, and where the admin confirmed another account the grant whose
// connections move. It locks the credential first, as a refresh does.
func findGrant(ctx context.Context, tx pgx.Tx, c oauthflow.Consent) (held *heldGrant, moved *uuid.UUID, err error) {
	if c.Renew != nil {
		held, err = scanHeld(tx.QueryRow(ctx, heldColumns+` WHERE g.id = $1 AND g.registration_id = $2 AND g.closed_at IS NULL AND c.state <> 'closing' FOR UPDATE OF c`, *c.Renew, c.Registration))
		if err != nil {
			return nil, nil, err
		}
		switch {
		case held == nil && c.RenewEpoch != nil && c.Plan.Connection == uuid.Nil && c.Plan.Source == "":
			return nil, nil, oauthflow.ErrGrantEnded
		case held == nil: // it ended meanwhile: the plan's connection gets another
		case c.RenewEpoch != nil && held.epoch != *c.RenewEpoch && !covers(c, held):
			return nil, nil, &oauthflow.GrantReplacedError{Grant: held.id, Epoch: held.epoch, Gen: held.gen, Pair: held.secret}
		case held.subject == "" || held.subject == c.Subject:
			return held, nil, nil
		case !c.OtherAccount:
			return nil, nil, &oauthflow.OtherAccountError{Account: held.account}
		default:
			moved = &held.id
		}
	}
	if !c.PerAccount || c.Subject == "" {
		return nil, moved, nil
	}
	held, err = scanHeld(tx.QueryRow(ctx, heldColumns+`
		WHERE g.registration_id = $1 AND g.subject = $2 AND g.kind = $3 AND coalesce(g.params->>'resource', '') = $4 AND g.closed_at IS NULL AND c.state <> 'closing'
		ORDER BY g.created_at, g.id LIMIT 1 FOR UPDATE OF c`, c.Registration, c.Subject, c.Kind, c.Params.Resource))
	return held, moved, err
}

// covers reports whether a consent takes nothing from the grant: the same account gives all scopes that it has.
func covers(c oauthflow.Consent, held *heldGrant) bool {
	return c.Subject != "" && c.Subject == held.subject && len(c.Missing(held.scopes)) == 0
}

const heldColumns = `SELECT g.id, g.subject, g.account, c.epoch, c.gen, c.secret_ct, g.scopes FROM oauth_grant g JOIN credential c ON c.grant_id = g.id`

func scanHeld(row pgx.Row) (*heldGrant, error) {
	var h heldGrant
	err := row.Scan(&h.id, &h.subject, &h.account, &h.epoch, &h.gen, &h.secret, &h.scopes)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // nil is none
	}
	return &h, err
}

// writeGrant writes the grant and its first pair. SECURITY: the epoch moves with every consent, so that a pair of an
// older one, whoever still holds it, is never written over this one.
func writeGrant(ctx context.Context, tx pgx.Tx, c oauthflow.Consent, held *heldGrant, out *oauthflow.ConsentResult) error {
	params, err := json.Marshal(c.Params)
	if err != nil {
		return fmt.Errorf("encoding grant: %w", err)
	}
	var by *uuid.UUID
	if c.By.Account != uuid.Nil {
		by = &c.By.Account
	}
	out.Epoch = 1
	if held == nil {
		err = tx.QueryRow(ctx, `
			INSERT INTO oauth_grant (registration_id, kind, subject, account, asked_scopes, scopes, scopes_stated, params, consented_by)
			VALUES ($1, $2, $3, $4, coalesce($5, '{}'::text[]), coalesce($6, '{}'::text[]), $7, $8, $9) RETURNING id`,
			c.Registration, c.Kind, c.Subject, c.Account, c.Asked, c.Scopes, c.ScopesStated, params, by).Scan(&out.Grant)
	} else {
		out.Grant, out.Epoch, out.Renewed = held.id, held.epoch+1, true
		out.Before = held.scopes
		out.Replaced, out.ReplacedEpoch, out.ReplacedGen = held.secret, held.epoch, held.gen
		_, err = tx.Exec(ctx, `
			UPDATE oauth_grant SET subject = $2, account = $3, asked_scopes = coalesce($4, '{}'::text[]), scopes = coalesce($5, '{}'::text[]), scopes_stated = $6,
				params = $7, consented_by = $8, consented_at = clock()
			WHERE id = $1`, held.id, c.Subject, c.Account, c.Asked, c.Scopes, c.ScopesStated, params, by)
	}
	if err != nil {
		return err
	}
	var now time.Time
	if err := tx.QueryRow(ctx, `SELECT clock()`).Scan(&now); err != nil {
		return err
	}
	sealed, err := c.Seal(out.Grant, out.Epoch, now)
	if err != nil {
		return err
	}
	after := func(d time.Duration) *time.Time {
		if d <= 0 {
			return nil
		}
		at := now.Add(d)
		return &at
	}
	_, err = tx.Exec(ctx, `
		INSERT INTO credential (grant_id, epoch, gen, secret_ct, at_expires, obtained_at, idle_expires, absolute_expires, refreshable)
		VALUES ($1, $2, 0, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (grant_id) DO UPDATE SET epoch = excluded.epoch, gen = 0, secret_ct = excluded.secret_ct, at_expires = excluded.at_expires,
			obtained_at = excluded.obtained_at, idle_expires = excluded.idle_expires, absolute_expires = excluded.absolute_expires,
			refreshable = excluded.refreshable, pair_attempt = NULL,
			phase = 'idle', maybe_sent = false, t_first = NULL, attempt_id = NULL, holder = NULL, lease_until = NULL, rejected_gen = NULL,
			failures = 0, first_failed_at = NULL, next_try = clock(), state = 'active', state_since = clock(), fail_class = '', fail_note = '', updated_at = clock()`,
		out.Grant, out.Epoch, sealed, after(c.Expires), now, after(c.Idle), after(c.Absolute), c.Refreshable)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM credential_spare WHERE grant_id = $1 AND epoch > 0`, out.Grant)
	return err
}

// writePlan makes the connection of the plan, or gives it the grant, and moves those of a grant that is left.
func (s *Store) writePlan(ctx context.Context, tx pgx.Tx, c oauthflow.Consent, moved *uuid.UUID, out *oauthflow.ConsentResult) error {
	p := c.Plan
	switch {
	case p.Connection != uuid.Nil:
		err := tx.QueryRow(ctx, `
			UPDATE connection SET grant_id = $2, needed_scopes = coalesce($3, needed_scopes), updated_at = clock(),
				expires_at = CASE WHEN expires_at > clock() THEN expires_at END,
				state = CASE WHEN state = 'paused' AND expires_at <= clock() THEN 'needs_reauth' ELSE state END
			WHERE id = $1 AND state <> 'closing' RETURNING id, name`, p.Connection, out.Grant, p.Needed).Scan(&out.Connection, &out.Name)
		if errors.Is(err, pgx.ErrNoRows) {
			return errPlanGone()
		}
		return err
	case moved != nil:
		_, err := tx.Exec(ctx, `UPDATE connection SET grant_id = $2, updated_at = clock() WHERE grant_id = $1 AND state <> 'closing'`, *moved, out.Grant)
		return err
	case p.Source == "":
		return nil
	}
	id, err := createConnection(ctx, tx, NewConnection{
		Name: p.Name, Source: p.Source, Settings: p.Settings, Selection: connectors.Selection{Include: p.Include, Exclude: p.Exclude},
		ContentEvery: p.Every, Grant: out.Grant, NeededScopes: p.Needed, SetUp: p.SetUp,
	})
	if errors.Is(err, ErrConflict) {
		return errPlanTaken(p.Name)
	}
	if in, ok := errors.AsType[*InputError](err); ok {
		return &oauthflow.PlanError{Field: in.Field, Problem: in.Problem}
	}
	out.Connection, out.Name = id, p.Name
	return err
}

// settleConnections gives the connections of the grant the state that its scopes allow. One that is paused stays so.
func settleConnections(ctx context.Context, tx pgx.Tx, c oauthflow.Consent, out *oauthflow.ConsentResult) error {
	type conn struct {
		ID     uuid.UUID
		Name   string
		Needed []string
		State  ConnectionState
	}
	rows, err := tx.Query(ctx, `SELECT id, name, needed_scopes, state FROM connection WHERE grant_id = $1 AND state <> 'closing' ORDER BY id FOR UPDATE`, out.Grant)
	if err != nil {
		return err
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[conn])
	if err != nil {
		return err
	}
	remedy := remedyOf(c.RemoveFirst)
	for _, k := range list {
		missing := c.Missing(k.Needed)
		if len(missing) > 0 {
			if out.Degraded == nil {
				out.Degraded = map[string][]string{}
			}
			out.Degraded[k.Name] = missing
		}
		switch {
		case k.State == StatePaused:
			continue
		case len(missing) > 0:
			err = setConnectionState(ctx, tx, k.ID, StateDegraded, lackingScopes+strings.Join(missing, ", ")+remedy)
		case k.State == StateNeedsReauth || k.State == StateConfigError || k.State == StateDegraded:
			err = setConnectionState(ctx, tx, k.ID, StateActive, "")
		}
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE schedule SET next_run_at = least(next_run_at, clock()) WHERE connection_id = $1`, k.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) recordConsent(ctx context.Context, tx pgx.Tx, c oauthflow.Consent, out oauthflow.ConsentResult) error {
	detail := map[string]string{
		"registration": c.Registration.String(), "kind": string(c.Kind), "account": c.Account, "subject": c.Subject, "scopes": strings.Join(c.Scopes, " "),
		"renewed": strconv.FormatBool(out.Renewed), "epoch": strconv.Itoa(out.Epoch), "connection": out.Name,
	}
	maps.Copy(detail, c.Detail)
	return s.RecordTx(ctx, tx, audit.Event{
		Actor: c.By.Actor, Action: "oauth.consent", Target: audit.Target{Kind: "grant", ID: out.Grant.String()}, Outcome: audit.OK, Detail: detail,
	})
}
