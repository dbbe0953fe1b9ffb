package store

import (
	"context"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"

	"tributary/internal/audit"
)

// originOf names a history of commits: the cluster and its timeline, which a failover and a recovery change, and the
// database and its table, which a restored dump changes.
const originOf = `
	(SELECT concat_ws('/', s.system_identifier, left(pg_walfile_name(pg_current_wal_insert_lsn()), 8), d.oid, 'credential'::regclass::oid)
	FROM pg_control_system() s, pg_database d WHERE d.datname = current_database())`

// errElsewhere ends a transaction on credentials whose origin is another.
var errElsewhere = errors.New("the credentials are of another history")

// claimable begins a transaction on credentials: what is not on the disk of the primary was not claimed, whatever the
// database's default is, and what another history committed may be missing in this one.
func claimable(ctx context.Context, tx pgx.Tx) error {
	var mode string
	var same bool
	err := tx.QueryRow(ctx, `
		SELECT set_config('synchronous_commit', CASE WHEN m IN ('off', 'local') THEN 'on' ELSE m END, true), o.value = `+originOf+`
		FROM credential_origin o, current_setting('synchronous_commit') m`).Scan(&mode, &same)
	if err != nil {
		return err
	}
	if !same {
		return errElsewhere
	}
	return nil
}

// settleIn makes this database's history the origin of the credentials. After another one every token that can be
// presented once only may have been presented where nobody sees it any more: such rows start uncertain (SECURITY: a
// failover may lose the last commits, and a restored backup holds tokens that are used up).
func (c *Credentials) settleIn(ctx context.Context) error {
	return c.s.inTxErr(ctx, "comparing the history of the credentials", func(tx pgx.Tx) error {
		var was, is string
		if err := tx.QueryRow(ctx, `SELECT value, `+originOf+` FROM credential_origin FOR UPDATE`).Scan(&was, &is); err != nil || was == is {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE credential_origin SET value = $1`, is); err != nil || was == "" {
			return err
		}
		tag, err := tx.Exec(ctx, `
			UPDATE credential c SET maybe_sent = true, updated_at = clock(),
				phase = CASE phase WHEN 'in_flight' THEN phase ELSE 'uncertain' END,
				t_first = CASE phase WHEN 'idle' THEN obtained_at ELSE coalesce(t_first, obtained_at) END,
				lease_until = CASE phase WHEN 'in_flight' THEN lease_until ELSE clock() END
			FROM oauth_grant g JOIN client_registration r ON r.id = g.registration_id
			WHERE g.id = c.grant_id AND g.kind = 'authorization_code' AND c.refreshable AND c.state IN ('active', 'config_error')
				AND r.profile #>> '{refresh,rotation}' IS DISTINCT FROM 'N'`)
		if err != nil {
			return err
		}
		return c.s.RecordTx(ctx, tx, audit.Event{
			Actor: audit.Actor{Kind: audit.System, Name: "refresh", Authenticated: true}, Action: "database.history_changed",
			Target: audit.Target{Kind: "database", ID: is}, Outcome: audit.OK,
			Detail: map[string]string{"was": was, "uncertain_grants": strconv.FormatInt(tag.RowsAffected(), 10)},
		})
	})
}
