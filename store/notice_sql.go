package store

// What EvaluateNotices looks for. Each yields code, connection, subject, detail
// and severity, ” for that of the kind.
const (
	checkConnectionStates = `
		SELECT CASE c.state WHEN 'needs_reauth' THEN 'connection_needs_consent' ELSE 'connection_' || c.state END, c.id, '', c.state_reason || ' (since ' || to_char(c.state_since, 'YYYY-MM-DD HH24:MI') || ' UTC)', ''
		FROM connection c WHERE c.state IN ('needs_reauth', 'config_error', 'failed', 'degraded')`
	checkClosing = `
		SELECT 'connection_closing', c.id, '', (SELECT count(*) FROM document d WHERE d.connection_id = c.id) || ' documents are left', ''
		FROM connection c WHERE c.state = 'closing' AND c.state_since < clock() - interval '1 hour'`
	checkExpiring = `
		SELECT 'connection_expiring', c.id, '', 'it ends on ' || to_char(c.expires_at, 'YYYY-MM-DD HH24:MI') || ' UTC; its documents are then ' || CASE c.at_expiry WHEN 'hide' THEN 'hidden' ELSE 'kept' END, ''
		FROM connection c WHERE c.expires_at < clock() + interval '7 days' AND c.expires_at > clock() AND c.state <> 'closing'`
	checkThrottled = `
		SELECT 'throttled_long', c.id, '', 'for ' || ceil(extract(epoch FROM clock() - c.state_since) / 3600) || ' hours' || coalesce(', until ' || to_char(c.throttled_until, 'HH24:MI') || ' UTC', ''), ''
		FROM connection c WHERE c.state = 'throttled' AND c.state_since < clock() - interval '1 hour'`
	checkQuarantine = `
		SELECT 'quarantine_not_empty', q.connection_id, '', count(*) || CASE count(*) WHEN 1 THEN ' item is' ELSE ' items are' END || ' quarantined; ' || count(*) FILTER (WHERE q.attempts >= 3 AND q.retry_at IS NULL) || ' had 3 tries and will have none until you retry', ''
		FROM quarantine q GROUP BY q.connection_id`
	checkHolds = `
		SELECT 'deletions_held', h.connection_id, '', h.documents || ' of ' || h.total || ' documents are missing in the listing of ' || to_char(h.created_at, 'YYYY-MM-DD HH24:MI') || ' UTC', ''
		FROM deletion_hold h WHERE h.state = 'open'`

	// The newest run of each lane: failed for good, or met by an unknown error.
	checkLastRuns = `
		SELECT CASE WHEN r.error_class = 'unknown' THEN 'unknown_error' ELSE 'run_failing' END, c.id, l.lane,
			CASE r.state WHEN 'failed' THEN 'the last run failed: ' ELSE 'the run is tried again: ' END || left(r.error, 500), CASE WHEN r.state = 'failed' AND r.error_class = 'unknown' THEN 'error' ELSE '' END
		FROM connection c CROSS JOIN (VALUES ('content'), ('permissions')) AS l(lane)
		CROSS JOIN LATERAL (SELECT * FROM sync_run r WHERE r.connection_id = c.id AND r.lane = l.lane AND (r.state IN ('succeeded', 'partial', 'failed') OR (r.state IN ('queued', 'running') AND r.error_class = 'unknown'))
			ORDER BY r.queued_at DESC LIMIT 1) r
		WHERE c.state NOT IN ('closing', 'needs_reauth', 'config_error') AND (r.state = 'failed' OR r.state IN ('queued', 'running'))`
	checkBlocked = `
		SELECT 'containers_blocked', c.id, '', jsonb_array_length(r.blocked) || ' containers could not be listed in run ' || r.id, ''
		FROM connection c CROSS JOIN LATERAL (SELECT * FROM sync_run r WHERE r.connection_id = c.id AND r.lane = 'content' AND r.kind IN ('snapshot', 'reconcile') AND r.state IN ('succeeded', 'partial')
			ORDER BY r.queued_at DESC LIMIT 1) r
		WHERE jsonb_array_length(r.blocked) > 0 AND c.state <> 'closing'`
	checkStuck = `
		SELECT 'run_stuck', r.connection_id, r.lane, CASE WHEN r.heartbeat_at < clock() - interval '2 minutes'
			THEN 'worker ' || r.worker || ' has shown no life since ' || to_char(r.heartbeat_at, 'HH24:MI:SS') || ' UTC'
			ELSE 'worker ' || r.worker || ' lives and has committed no page since ' || to_char(coalesce(r.progress_at, r.started_at), 'HH24:MI:SS') || ' UTC' END, ''
		FROM sync_run r WHERE r.state = 'running' AND r.kind <> 'push' AND r.worker <> '' AND (r.heartbeat_at < clock() - interval '2 minutes'
			OR (coalesce(r.progress_at, r.started_at) < clock() - interval '30 minutes' AND coalesce(r.waiting_since, r.started_at) < clock() - interval '30 minutes'))`
	checkStarved = `
		SELECT 'run_starved', r.connection_id, r.lane, 'it has waited for ' || ceil(extract(epoch FROM clock() - greatest(r.waiting_since, r.next_try_at, r.queued_at)) / 60) || ' minutes, and ' || (SELECT count(*) FROM worker w WHERE w.seen_at > clock() - interval '1 minute') || ' worker processes are alive', ''
		FROM sync_run r WHERE r.state = 'queued' AND r.worker = '' AND greatest(r.waiting_since, r.next_try_at, r.queued_at) < clock() - interval '5 minutes'`
	checkWorkers = `
		SELECT 'no_worker', NULL::uuid, '', n || ' runs wait', ''
		FROM (SELECT count(*) AS n FROM sync_run r WHERE r.state = 'queued' AND r.worker = '' AND greatest(r.waiting_since, r.next_try_at, r.queued_at) < clock() - interval '2 minutes') w
		WHERE n > 0 AND NOT EXISTS (SELECT FROM worker w WHERE w.seen_at > clock() - interval '2 minutes')`
	checkDiscarded = `
		SELECT 'jobs_discarded', NULL::uuid, j.kind, count(*) || ' in the last hour, the last one at ' || to_char(max(j.finalized_at), 'HH24:MI:SS') || ' UTC', ''
		FROM river.river_job j WHERE j.state = 'discarded' AND j.finalized_at > now() - interval '1 hour' GROUP BY j.kind`
	checkUnknownKinds = `
		SELECT 'unknown_job_kind', NULL::uuid, j.kind, count(*) || ' jobs wait that no worker alive knows', ''
		FROM river.river_job j WHERE j.state IN ('available', 'scheduled', 'retryable', 'running', 'pending')
		  AND NOT EXISTS (SELECT FROM worker w WHERE j.kind = ANY(w.kinds) AND w.seen_at > clock() - interval '1 minute')
		  AND EXISTS (SELECT FROM worker w WHERE w.seen_at > clock() - interval '1 minute')
		GROUP BY j.kind`

	checkStale = `
		SELECT 'permissions_stale', c.id, '', 'they are of ' || to_char(c.permissions_as_of, 'YYYY-MM-DD HH24:MI') || ' UTC and are read every ' || ceil(extract(epoch FROM s.every) / 60) || ' minutes', ''
		FROM connection c JOIN schedule s ON s.connection_id = c.id AND s.lane = 'permissions'
		WHERE c.state NOT IN ('paused', 'closing') AND s.cron = '' AND c.permissions_as_of < clock() - 2 * s.every AND c.permissions_as_of > clock() - c.max_permission_age`
	checkExpired = `
		SELECT 'permissions_expired', c.id, '', 'they are of ' || to_char(c.permissions_as_of, 'YYYY-MM-DD HH24:MI') || ' UTC; ' || (SELECT count(*) FROM document d WHERE d.connection_id = c.id AND d.hidden_reason IS NULL) || ' documents are shown to nobody', ''
		FROM connection c WHERE c.state <> 'closing' AND c.permissions_as_of <= clock() - c.max_permission_age`
	checkUnknownACL = `
		SELECT 'permissions_unknown', d.connection_id, '', count(*) || ' documents are shown to nobody, because their permissions are unknown', ''
		FROM document d JOIN connection c ON c.id = d.connection_id WHERE d.acl_set_id = 0 AND d.hidden_reason IS NULL AND c.state <> 'closing' GROUP BY d.connection_id`
	checkGroups = `
		SELECT 'groups_unresolved', c.id, '', string_agg((e.value)::bigint || ' ' || split_part(e.key, '_', 1), ' and ' ORDER BY e.key) || ' are named in permissions and their members are unknown', ''
		FROM connection c CROSS JOIN LATERAL (SELECT r.counts FROM sync_run r WHERE r.connection_id = c.id AND r.lane = 'permissions' AND r.state IN ('succeeded', 'partial') ORDER BY r.queued_at DESC LIMIT 1) r
		CROSS JOIN LATERAL jsonb_each_text(coalesce(r.counts -> 'extra', '{}')) e
		WHERE e.key LIKE '%\_unresolved' AND e.value::bigint > 0 AND c.state <> 'closing' GROUP BY c.id`

	checkUncertain = `
		SELECT 'grant_uncertain', NULL::uuid, left(k.grant_id::text, 8), 'of ' || coalesce(nullif(g.account, ''), g.kind) || ' at ' || r.name || ', since ' || to_char(coalesce(k.t_first, k.updated_at), 'YYYY-MM-DD HH24:MI') || ' UTC', ''
		FROM credential k JOIN oauth_grant g ON g.id = k.grant_id JOIN client_registration r ON r.id = g.registration_id
		WHERE k.phase = 'uncertain' AND k.state = 'active' AND g.closed_at IS NULL`
	checkRefresh = `
		SELECT 'refresh_failing', NULL::uuid, left(k.grant_id::text, 8), k.failures || ' times, of ' || coalesce(nullif(g.account, ''), g.kind) || ' at ' || r.name || ': ' || k.fail_note, ''
		FROM credential k JOIN oauth_grant g ON g.id = k.grant_id JOIN client_registration r ON r.id = g.registration_id
		WHERE k.failures >= 3 AND k.state = 'active' AND g.closed_at IS NULL`
	checkGrantEnds = `
		SELECT 'grant_expiring', NULL::uuid, left(g.id::text, 8), 'of ' || coalesce(nullif(g.account, ''), g.kind) || ' at ' || r.name || ', on ' || to_char(least(g.expires_at, k.absolute_expires), 'YYYY-MM-DD HH24:MI') || ' UTC', ''
		FROM oauth_grant g JOIN client_registration r ON r.id = g.registration_id LEFT JOIN credential k ON k.grant_id = g.id AND k.state = 'active'
		WHERE g.closed_at IS NULL AND least(g.expires_at, k.absolute_expires) < clock() + interval '7 days' AND least(g.expires_at, k.absolute_expires) > clock()`
	checkBreakers = `
		SELECT 'breaker_open', NULL::uuid, coalesce(r.name, split_part(l.key, ':', 2)), string_agg(split_part(l.key, ':', 1) || ' calls: ' || l.reason, '; ' ORDER BY l.key) || ' (' || sum(l.failures) || ' failures)', ''
		FROM outbound_limit l LEFT JOIN client_registration r ON r.id::text = split_part(l.key, ':', 2)
		WHERE l.state <> 'closed' GROUP BY coalesce(r.name, split_part(l.key, ':', 2))`
	checkRejected = `
		SELECT 'registration_rejected', NULL::uuid, r.name, coalesce(nullif(r.state_reason, ''), 'the provider refused it'), '' FROM client_registration r WHERE r.state = 'rejected'`
	checkEndingClients = `
		SELECT 'registration_secret_expiring', NULL::uuid, r.name, CASE WHEN r.credential_expires_at < clock() THEN 'it ended on ' ELSE 'it ends on ' END || to_char(r.credential_expires_at, 'YYYY-MM-DD'),
			CASE WHEN r.credential_expires_at < clock() THEN 'error' ELSE '' END
		FROM client_registration r WHERE r.credential_expires_at < clock() + interval '30 days'`

	checkKeys = `
		SELECT 'key_expiring', NULL::uuid, k.name, 'the API key ends on ' || to_char(k.expires_at, 'YYYY-MM-DD HH24:MI') || ' UTC', ''
		FROM api_key k WHERE k.revoked_at IS NULL AND k.expires_at > clock() AND k.expires_at < clock() + interval '7 days'`
	// An alarm stays for a day, or until the key ends.
	checkNamings = `
		SELECT 'key_names_many', NULL::uuid, k.name, 'the key named ' || k.alarm_readers || ' readers within a minute on ' || to_char(k.alarmed_at, 'YYYY-MM-DD HH24:MI') || ' UTC', ''
		FROM api_key k WHERE k.alarmed_at > clock() - interval '1 day' AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock())`
	checkAdmins = `
		SELECT 'token_expiring', NULL::uuid, k.name, 'the token of the admin API ends on ' || to_char(k.expires_at, 'YYYY-MM-DD HH24:MI') || ' UTC', ''
		FROM admin_token k WHERE k.revoked_at IS NULL AND k.expires_at > clock() AND k.expires_at < clock() + interval '7 days'`
	checkProfiles = `
		SELECT 'embedding_failing', NULL::uuid, p.name, p.error || ' (' || (SELECT count(*) FROM embed_todo t WHERE t.profile_id = p.id) || ' chunks wait)', ''
		FROM embedding_profile p WHERE p.error <> '' AND p.state <> 'retired'`
	checkFeed = `
		SELECT 'feed_stuck', NULL::uuid, '', count(*) || ' changes have had no place in the feed since ' || to_char(min(at), 'HH24:MI:SS') || ' UTC', ''
		FROM outbox WHERE position IS NULL HAVING min(at) < clock() - interval '2 minutes'`
	checkReads = `
		SELECT 'read_audit_losses', NULL::uuid, '', sum(e.lost) || ' reads, the last before ' || to_char(max(e.at), 'YYYY-MM-DD HH24:MI') || ' UTC', ''
		FROM read_event e WHERE e.lost > 0 AND e.at > clock() - interval '7 days' HAVING sum(e.lost) > 0`
	checkErasures = `
		SELECT 'erasure_failed', NULL::uuid, left(e.id::text, 8), 'the ' || e.scope || ' of ' || e.connection || ': ' || e.error, '' FROM erasure e WHERE e.state = 'failed'`
)
