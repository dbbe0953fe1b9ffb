package store_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/store"
)

// cause is how a notice's cause comes and goes: SQL in which $1 is the
// connection.
type cause struct{ comes, goes string }

// causes has one for every code that is evaluated. What comes with it, such as
// a registration, stands in common.
func causes() map[string]cause {
	const (
		run  = `INSERT INTO sync_run (connection_id, lane, kind, state, error_class, error, selection_version, started_at, worker, heartbeat_at, blocked, counts) VALUES ($1, 'content', 'snapshot', `
		runs = `DELETE FROM sync_run WHERE connection_id = $1`
	)
	state := func(s string) cause {
		return cause{`UPDATE connection SET state = '` + s + `', state_reason = 'because' WHERE id = $1`, `UPDATE connection SET state = 'active' WHERE id = $1`}
	}
	return map[string]cause{
		"connection_needs_consent": state("needs_reauth"),
		"connection_config_error":  state("config_error"),
		"connection_failed":        state("failed"),
		"connection_degraded":      state("degraded"),
		"connection_closing": {
			`UPDATE connection SET state = 'closing', state_since = clock() - interval '2 hours' WHERE id = $1`,
			`UPDATE connection SET state = 'active' WHERE id = $1`,
		},
		"connection_expiring": {`UPDATE connection SET expires_at = clock() + interval '6 days' WHERE id = $1`, `UPDATE connection SET expires_at = clock() + interval '8 days' WHERE id = $1`},
		"throttled_long": {
			`UPDATE connection SET state = 'throttled', state_since = clock() - interval '61 minutes' WHERE id = $1`,
			`UPDATE connection SET state_since = clock() - interval '59 minutes' WHERE id = $1`,
		},
		"quarantine_not_empty": {
			`INSERT INTO quarantine (connection_id, external_id, path, source_revision, class, reason, run_id) VALUES ($1, 'a', '', '', 'bug', '', gen_random_uuid())`,
			`DELETE FROM quarantine WHERE connection_id = $1`,
		},
		"deletions_held": {
			`INSERT INTO deletion_hold (connection_id, run_id, listing, reason, documents, total) VALUES ($1, gen_random_uuid(), 1, 'many', 5, 9)`,
			`UPDATE deletion_hold SET state = 'rejected' WHERE connection_id = $1`,
		},
		"run_failing":   {run + `'failed', 'transient', 'no', 1, clock(), '', NULL, '[]', '{}')`, runs},
		"unknown_error": {run + `'queued', 'unknown', 'no', 1, clock(), '', NULL, '[]', '{}')`, runs},
		"containers_blocked": {
			run + `'partial', '', '', 1, clock(), '', NULL, '[{"id": "x", "reason": "y"}]', '{}')`, runs,
		},
		"run_stuck": {run + `'running', '', '', 1, clock(), 'w', clock() - interval '121 seconds', '[]', '{}')`, `UPDATE sync_run SET heartbeat_at = clock() WHERE connection_id = $1`},
		"run_starved": {
			`WITH w AS (INSERT INTO worker (name, version, kinds, slots) VALUES ('w', '1', '{}', 1))
			INSERT INTO sync_run (connection_id, lane, kind, state, selection_version, queued_at) VALUES ($1, 'content', 'snapshot', 'queued', 1, clock() - interval '6 minutes')`,
			`WITH w AS (DELETE FROM worker) DELETE FROM sync_run WHERE connection_id = $1`,
		},
		"no_worker": {
			`INSERT INTO sync_run (connection_id, lane, kind, state, selection_version, queued_at) VALUES ($1, 'content', 'snapshot', 'queued', 1, clock() - interval '3 minutes')`,
			`WITH c AS (SELECT $1::uuid) INSERT INTO worker (name, version, kinds, slots) VALUES ('w', '1', '{}', 1)`,
		},
		"jobs_discarded": {
			`WITH c AS (SELECT $1::uuid) INSERT INTO river.river_job (kind, args, max_attempts, state, finalized_at) VALUES ('sync_slice', '{}', 1, 'discarded', now())`,
			`WITH c AS (SELECT $1::uuid) DELETE FROM river.river_job`,
		},
		"unknown_job_kind": {
			`WITH c AS (SELECT $1::uuid), w AS (INSERT INTO worker (name, version, kinds, slots) VALUES ('w', '1', '{tick}', 1)) INSERT INTO river.river_job (kind, args, max_attempts) VALUES ('newer', '{}', 1)`,
			`WITH c AS (SELECT $1::uuid) UPDATE worker SET kinds = '{newer}'`,
		},
		"permissions_stale": {
			`UPDATE connection SET permissions_as_of = clock() - interval '11 minutes' WHERE id = $1`,
			`UPDATE connection SET permissions_as_of = clock() - interval '9 minutes' WHERE id = $1`,
		},
		"permissions_expired": {`UPDATE connection SET permissions_as_of = clock() - interval '24 hours' WHERE id = $1`, `UPDATE connection SET permissions_as_of = clock() WHERE id = $1`},
		"permissions_unknown": {`UPDATE document SET acl_set_id = 0 WHERE connection_id = $1`, `UPDATE document SET hidden_reason = 'absent' WHERE connection_id = $1`},
		"groups_unresolved": {
			`INSERT INTO sync_run (connection_id, lane, kind, state, selection_version, counts) VALUES ($1, 'permissions', 'permissions', 'succeeded', 1, '{"extra": {"groups_unresolved": 4, "other": 1}}')`,
			`UPDATE sync_run SET counts = '{"extra": {"groups_unresolved": 0}}' WHERE connection_id = $1`,
		},
		"grant_uncertain": {`WITH c AS (SELECT $1::uuid) UPDATE credential SET phase = 'uncertain'`, `WITH c AS (SELECT $1::uuid) UPDATE credential SET phase = 'idle'`},
		"refresh_failing": {`WITH c AS (SELECT $1::uuid) UPDATE credential SET failures = 3, fail_note = 'odd'`, `WITH c AS (SELECT $1::uuid) UPDATE credential SET failures = 2`},
		"grant_expiring": {
			`WITH c AS (SELECT $1::uuid) UPDATE credential SET absolute_expires = clock() + interval '6 days'`,
			`WITH c AS (SELECT $1::uuid) UPDATE credential SET absolute_expires = clock() + interval '8 days'`,
		},
		"breaker_open": {
			`WITH c AS (SELECT $1::uuid) INSERT INTO outbound_limit (key, state, reason) SELECT 'api:' || id, 'open', '503' FROM client_registration`,
			`WITH c AS (SELECT $1::uuid) UPDATE outbound_limit SET state = 'closed'`,
		},
		"registration_rejected": {
			`WITH c AS (SELECT $1::uuid) UPDATE client_registration SET state = 'rejected'`,
			`WITH c AS (SELECT $1::uuid) UPDATE client_registration SET state = 'active'`,
		},
		"registration_secret_expiring": {
			`WITH c AS (SELECT $1::uuid) UPDATE client_registration SET credential_expires_at = clock() + interval '29 days'`,
			`WITH c AS (SELECT $1::uuid) UPDATE client_registration SET credential_expires_at = clock() + interval '31 days'`,
		},
		"key_expiring": {
			`WITH c AS (SELECT $1::uuid) INSERT INTO api_key (name, secret_hash, hint, mode, rights, expires_at) VALUES ('k', '\x01', '', 'own', '{search}', clock() + interval '6 days')`,
			`WITH c AS (SELECT $1::uuid) UPDATE api_key SET revoked_at = clock()`,
		},
		"key_names_many": {
			`WITH c AS (SELECT $1::uuid) INSERT INTO api_key (name, secret_hash, hint, mode, rights, alarmed_at, alarm_readers) VALUES ('n', '\x02', '', 'own', '{search}', clock(), 200)`,
			`WITH c AS (SELECT $1::uuid) UPDATE api_key SET revoked_at = clock() WHERE name = 'n'`,
		},
		"read_audit_losses": {
			`WITH c AS (SELECT $1::uuid) INSERT INTO read_event (tool, documents, lost) VALUES ('text', '{}', 2)`,
			`WITH c AS (SELECT $1::uuid) UPDATE read_event SET at = clock() - interval '8 days'`,
		},
		"token_expiring": {
			`WITH c AS (SELECT $1::uuid) INSERT INTO admin_token (name, role, secret_hash, hint, expires_at) VALUES ('k', 'admin', '\x01', '', clock() + interval '6 days')`,
			`WITH c AS (SELECT $1::uuid) UPDATE admin_token SET expires_at = clock() + interval '8 days'`,
		},
		"embedding_failing": {`WITH c AS (SELECT $1::uuid) UPDATE embedding_profile SET error = 'no' WHERE name = 'remote'`, `WITH c AS (SELECT $1::uuid) UPDATE embedding_profile SET error = ''`},
		"feed_stuck": {
			`INSERT INTO outbox (kind, connection_id, at) VALUES ('stale', $1, clock() - interval '121 seconds')`,
			`UPDATE outbox SET position = 1 WHERE connection_id = $1 AND kind = 'stale'`,
		},
		"erasure_failed": {
			`INSERT INTO erasure (connection_id, connection, source, scope, state, error) VALUES ($1, 'docs', 'test', 'document', 'failed', 'no')`,
			`UPDATE erasure SET state = 'done' WHERE connection_id = $1`,
		},
	}
}

// TestNoticesComeAndGoWithTheirCause: each cause raises its notice and no other,
// once, and the notice is cleared when the cause is gone.
func TestNoticesComeAndGoWithTheirCause(t *testing.T) {
	t.Parallel()
	all := causes()
	for _, code := range store.Evaluated() {
		if _, ok := all[code]; !ok {
			t.Errorf("nothing shows that %s comes and goes", code)
		}
	}
	r := newRig(t)
	s := r.connect(t, "docs", "realm")
	run := s.start(t, store.Content)
	s.mustWrite(t, &store.Batch{Run: run, Documents: []store.DocumentWrite{document("d", readable("u"), "text")}})
	s.end(t, run)
	r.db.MustExec(t, `DELETE FROM sync_run`)
	registration, grant := uuid.New(), uuid.New()
	r.db.MustExec(t, `INSERT INTO client_registration (id, name, provider, profile, endpoints_digest, redirect_uri, state) VALUES ($1, 'r', 'test', '{}', 'd', '', 'active')`, registration)
	r.db.MustExec(t, `INSERT INTO oauth_grant (id, registration_id, kind, account) VALUES ($1, $2, 'authorization_code', 'ada')`, grant, registration)
	r.db.MustExec(t, `INSERT INTO credential (grant_id) VALUES ($1)`, grant)
	for code, c := range all {
		r.db.MustExec(t, c.comes, s.conn)
		raised, _, err := r.store.EvaluateNotices(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", code, err)
		}
		list, err := r.store.Notices(t.Context(), store.NoticeFilter{})
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Code != code || raised != 1 || list[0].Detail == "" || strings.Contains(list[0].Remedy, "{") {
			t.Errorf("%s: %d raised: %+v", code, raised, list)
		}
		if raised, _, err = r.store.EvaluateNotices(t.Context()); err != nil || raised != 0 {
			t.Errorf("%s: raised %d times again: %v", code, raised, err)
		}
		r.db.MustExec(t, c.goes, s.conn)
		if _, _, err = r.store.EvaluateNotices(t.Context()); err != nil {
			t.Fatal(err)
		}
		if left := openNotices(t, r.store); len(left) > 0 {
			t.Errorf("%s: the cause is gone and open are %q", code, left)
		}
		r.db.MustExec(t, `UPDATE connection SET state = 'active', permissions_as_of = NULL, expires_at = NULL`)
		for _, table := range []string{"sync_run", "worker", "river.river_job", "api_key", "admin_token", "erasure"} {
			r.db.MustExec(t, `DELETE FROM `+table)
		}
	}
}

func TestEvaluationLeavesEventsAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, code := range store.Eventful() {
		if err := r.store.RaiseNotice(t.Context(), nil, store.Notice{Code: code, Detail: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, cleared, err := r.store.EvaluateNotices(t.Context()); err != nil || cleared != 0 {
		t.Errorf("cleared %d: %v", cleared, err)
	}
	if got := openNotices(t, r.store); len(got) != len(store.Eventful()) {
		t.Errorf("open are %q", got)
	}
}

func TestAProcessClearsItsOwnNoticesOnly(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, host := range []string{"a", "b"} {
		if err := r.store.Observe(t.Context(), host, map[string]string{store.NoticeClockSkew: "40 s"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.store.Observe(t.Context(), "a", nil); err != nil {
		t.Fatal(err)
	}
	if got := openNotices(t, r.store); !slices.Equal(got, []string{"clock_skew b"}) {
		t.Errorf("open are %q", got)
	}
}
