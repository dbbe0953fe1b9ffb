package store

// NoticeKind is what every notice of a code has in common.
type NoticeKind struct {
	Code     string
	Severity Severity
	// Means says what the cause is.
	Means string
	// Remedy names the command; {connection} and {subject} stand for those of
	// the notice.
	Remedy string
}

// The codes of notices that are raised where their cause happens; the others
// are found by EvaluateNotices.
const (
	NoticeLimitReached  = "limit_reached"
	NoticeErrorBudget   = "error_budget"
	NoticeListingLoops  = "listing_loops"
	NoticeStorage       = "storage"
	NoticeClockSkew     = "clock_skew"
	NoticeMasterKey     = "master_key"
	NoticeErasureFailed = "erasure_failed"
	NoticeDeletionsHeld = "deletions_held"
	NoticeKeyNamesMany  = "key_names_many"
)

// NoticeKinds returns every kind of notice, by what it concerns.
func NoticeKinds() []NoticeKind {
	var all []NoticeKind
	for _, part := range [...][]NoticeKind{connectionKinds(), runKinds(), permissionKinds(), grantKinds(), serviceKinds()} {
		all = append(all, part...)
	}
	return all
}

func connectionKinds() []NoticeKind {
	return []NoticeKind{
		{"connection_needs_consent", SeverityError, "The grant of a connection is lost: nothing is synced until somebody consents again.", "Consent again: `tributary grants list` shows the grant, `tributary connect` gives the link."},
		{"connection_config_error", SeverityError, "The settings of a connection or its client registration are not accepted.", "Correct what the detail names: `tributary connections show {connection}`, then `tributary sync {connection}`."},
		{"connection_failed", SeverityError, "A connector broke its contract, and the run was ended.", "Look at the newest run, `tributary runs list --connection {connection}`, and report it with its message."},
		{"connection_degraded", SeverityWarning, "A connection works in part: what is missing is named.", "Follow the detail: `tributary connections show {connection}`."},
		{"connection_closing", SeverityWarning, "A connection is being deleted for more than an hour.", "Look at the log of the workers; `tributary connections delete {connection} --yes` goes on with it."},
		{"connection_expiring", SeverityWarning, "A connection ends within seven days, as was asked for.", "Extend it or let it end: `tributary connections show {connection}`."},
		{"throttled_long", SeverityWarning, "A source has asked for less traffic for more than an hour.", "Sync less often or less at once, or ask the source for a larger quota: `tributary connections show {connection}`."},
		{"quarantine_not_empty", SeverityWarning, "Documents could not be ingested.", "See why: `tributary documents quarantined {connection}`; then `tributary quarantine retry {connection} --all`, or `tributary quarantine exclude` for what is not needed."},
		{NoticeDeletionsHeld, SeverityError, "Deletions that a listing inferred wait for an admin: they are unusually many, or less is selected and nobody confirmed it.", "Look whether the source is whole: `tributary deletions list {connection}`, then `tributary deletions approve` or `reject`."},
	}
}

func runKinds() []NoticeKind {
	return []NoticeKind{
		{"run_failing", SeverityError, "The newest run of a lane failed.", "See the message: `tributary runs list --connection {connection}`; try again with `tributary sync {connection}`."},
		{"unknown_error", SeverityWarning, "A run met an error that the connector does not know. It is tried again as if it were passing.", "See the message: `tributary runs list --connection {connection}`; report it if it stays."},
		{NoticeErrorBudget, SeverityError, "So many documents failed in one run that the run was ended, before the whole source is quarantined.", "Look whether the source hands out documents: `tributary documents quarantined {connection}`; then `tributary sync {connection}`; `tributary connections limits {connection}` says how many may fail."},
		{NoticeLimitReached, SeverityError, "A run reached one of its limits. Nothing was inferred to be deleted; the next run goes on where it stopped.", "If the source is that large, raise the limit that the detail names: `tributary connections limits {connection}`."},
		{NoticeListingLoops, SeverityError, "A listing repeats itself or does not advance. Nothing was inferred to be deleted.", "Report it with the run's message: `tributary runs list --connection {connection}`."},
		{"containers_blocked", SeverityWarning, "Parts of a source could not be listed. Nothing below them was inferred to be deleted.", "Give the account access to what `tributary runs list --connection {connection}` and `tributary runs show` name, or exclude it."},
		{"run_stuck", SeverityError, "A run is held by a worker that shows no life.", "Another worker takes it over within two minutes; if not, look at the workers' log."},
		{"run_starved", SeverityWarning, "A run waits for a free worker.", "Start more workers, `tributary worker`, or give them more slots."},
		{"no_worker", SeverityError, "Work is due and no worker is alive.", "Start one: `tributary worker`, or `tributary up`."},
		{"jobs_discarded", SeverityWarning, "Jobs were given up after their last try.", "Look at the workers' log; schedules and runs are repaired by themselves."},
		{"unknown_job_kind", SeverityError, "Jobs wait that no running worker knows.", "Update every worker to the newest version that enqueues jobs."},
	}
}

func permissionKinds() []NoticeKind {
	return []NoticeKind{
		{"permissions_stale", SeverityWarning, "The permissions of a connection are older than twice their interval.", "See why: `tributary runs list --connection {connection} --lane permissions`."},
		{"permissions_expired", SeverityError, "The permissions of a connection are older than allowed: its documents are hidden.", "Mend the permission runs: `tributary runs list --connection {connection} --lane permissions`; then `tributary sync {connection}`."},
		{"permissions_unknown", SeverityInfo, "Documents whose permissions could not be read are shown to nobody.", "See the permissions of the account that consented: `tributary connections show {connection}`."},
		{"groups_unresolved", SeverityInfo, "The source does not tell who belongs to some groups or domains: sharing with them reaches nobody.", "Give the grant the right to read groups, or accept it: `tributary connections show {connection}`."},
	}
}

func grantKinds() []NoticeKind {
	return []NoticeKind{
		{"grant_uncertain", SeverityWarning, "It is not known whether a refresh reached the provider.", "It settles by itself, or asks for consent: `tributary grants list`."},
		{"refresh_failing", SeverityWarning, "The tokens of a grant could not be refreshed several times.", "See the message: `tributary grants list`."},
		{"grant_expiring", SeverityWarning, "A grant or its refresh token ends within seven days.", "Consent again before: `tributary grants list`."},
		{"breaker_open", SeverityWarning, "Calls to a provider or source are held back because too many failed.", "Look whether the provider of registration {subject} works; it is tried again by itself."},
		{"registration_rejected", SeverityError, "The provider does not accept a client registration.", "Enter its credentials again: `tributary registrations show {subject}`."},
		{"registration_secret_expiring", SeverityWarning, "The secret of a client registration ends within 30 days, or has ended.", "Make a new one at the provider and enter it: `tributary registrations show {subject}`."},
	}
}

func serviceKinds() []NoticeKind {
	return []NoticeKind{
		{"key_expiring", SeverityInfo, "An API key ends within seven days.", "Make a new one for its application: `tributary keys list`."},
		{NoticeKeyNamesMany, SeverityError, "A trusted key asked for unusually many readers within a minute: it may be in the wrong hands.", "Ask who runs its application; `tributary keys revoke {subject}` ends it at once, `tributary keys rotate {subject}` gives it another secret."},
		{"token_expiring", SeverityInfo, "A token of the admin API ends within seven days.", "Make a new one for its program: `tributary tokens list`."},
		{"embedding_failing", SeverityWarning, "An embedding profile cannot embed: new text is found by words only.", "See the message: `tributary profiles list`."},
		{NoticeErasureFailed, SeverityError, "An erasure could not be finished.", "See why: `tributary erase list`, and the workers' log."},
		{"feed_stuck", SeverityError, "Changes get no place in the outbox feed: its consumers learn nothing.", "Look whether a process of the service runs and at its log for `keeping the feed`: `tributary doctor`."},
		{NoticeStorage, SeverityError, "PostgreSQL takes no writes: its disk is full, or it is read-only.", "Free space, or end the read-only mode; everything goes on by itself."},
		{"read_audit_losses", SeverityWarning, "Reads of documents within the last seven days could not be recorded.", "See when: `tributary audit reads`; the log of the web servers says why, and of SQL logins that rolled back the log of the workers. `TRIBUTARY_READ_AUDIT=strict` refuses reads that cannot be recorded."},
		{NoticeClockSkew, SeverityWarning, "The clocks of a process and of PostgreSQL differ.", "Synchronise the clock of {subject} with NTP."},
		{NoticeMasterKey, SeverityError, "A process cannot open what is encrypted: its master key is missing or wrong.", "Give {subject} the right key: `tributary doctor` and `tributary master-key status` say more."},
	}
}
