package pages

import "maps"

// ActionWords says what an action of the audit log is; "" for one that this version does not know.
func ActionWords(action string) string { return actionWords()[action] }

// actionWords are the words for every action that this version writes.
func actionWords() map[string]string {
	words := accountWords()
	for _, more := range []map[string]string{sourceWords(), readerWords()} {
		maps.Copy(words, more)
	}
	return words
}

// accountWords are those of accounts, their sessions and their tokens.
func accountWords() map[string]string {
	return map[string]string{
		"account.create":   "An account was made",
		"account.role":     "The role of an account was changed",
		"account.disable":  "An account was disabled",
		"account.enable":   "An account was enabled again",
		"account.password": "The password of an account was set",
		"account.delete":   "An account was deleted",
		"setup.token":      "A token for the first account was made",
		"setup.redeem":     "The first account was made",
		"setup.refused":    "A set-up was refused",
		"session.start":    "Signed in",
		"session.end":      "A session was ended",
		"session.refused":  "A sign-in was refused",

		"admin_token.create":  "A token of the admin API was made",
		"admin_token.revoke":  "A token of the admin API was revoked",
		"admin_token.refused": "A token of the admin API was refused",
	}
}

// sourceWords are those of connections, grants and the instance itself.
func sourceWords() map[string]string {
	return map[string]string{ //nolint:gosec // words about secrets are none
		"connection.create":     "A connection was made",
		"connection.sync":       "A sync was asked for",
		"connection.pause":      "A connection was paused",
		"connection.schedule":   "It was changed when a connection syncs",
		"connection.resume":     "A connection was resumed",
		"erasure.request":       "An erasure was asked for",
		"quarantine.retry":      "Quarantined documents are to be tried again",
		"quarantine.exclude":    "Documents were excluded for good",
		"quarantine.include":    "Excluded documents were let in again",
		"deletions.approve":     "Held deletions were approved",
		"deletions.reject":      "Held deletions were rejected",
		"erasure.finish":        "An erasure has ended",
		"erasure.vacuum":        "What an erasure left in the files of tables was cleaned",
		"connection.change":     "What a connection syncs was changed",
		"connection.expiry":     "The end of a connection was set",
		"connection.expire":     "A connection has reached its end",
		"connection.disconnect": "A connection was disconnected",
		"connection.delete":     "A connection was deleted with its documents",

		"queue.pause":  "A queue of jobs was paused",
		"queue.resume": "A queue of jobs was resumed",
		"job.retry":    "A job that had failed was begun again",

		"connection.limits": "The limits of a connection's runs were set",
		"run.cancel":        "A sync run was cancelled",

		"connection.permission_age": "It was set for how long a connection's permissions count",

		"registration.create": "A registration was made",
		"registration.save":   "The credentials of a registration were saved",
		"registration.change": "A registration was changed",
		"registration.delete": "A registration was deleted",

		"oauth.ticket":   "A link for a consent was made",
		"oauth.start":    "A consent was begun",
		"oauth.consent":  "Consent was given",
		"oauth.denied":   "Consent was denied",
		"oauth.refused":  "A provider's answer was not accepted",
		"oauth.mixup":    "A provider's answer to another request was refused",
		"oauth.fixation": "An answer in somebody else's session was refused",

		"grant.check":      "A grant was tried at its provider",
		"grant.refresh":    "The tokens of a grant were to be renewed",
		"grant.expiry":     "The end of a grant was set",
		"grant.expire":     "A grant has reached its end",
		"grant.revoke":     "A grant was revoked",
		"grant.close":      "A grant was closed, and its tokens were forgotten",
		"grant.close_late": "Tokens that came after their grant had ended were forgotten",
		"token.use":        "The tokens of a grant were used",
		"secret.open":      "Sealed secrets were opened",

		"database.history_changed": "The database goes on from another point of its history, as after a restore: grants whose refresh tokens are good once count as uncertain",

		"master_key.rotate":  "A new master key was made",
		"master_key.retire":  "An old master key was retired",
		"master_key.replace": "The master key was replaced, and what it had sealed was forgotten",

		"profile.create":   "An embedding profile was made",
		"profile.activate": "An embedding profile was made the active one",
	}
}

// outcomeWords says how a refresh ended, as the details of the audit log name it; "" for what it does not know.
func outcomeWords(outcome string) string {
	words := map[string]string{
		"rotated":       "new tokens",
		"spare":         "new tokens, kept aside",
		"promoted":      "tokens that were kept aside are used",
		"discarded":     "came too late",
		"not_sent":      "not sent",
		"refused":       "refused",
		"lost":          "answer lost",
		"orphaned":      "its process ended",
		"uncertain":     "not known whether the refresh token was used up",
		"spool_damaged": "new tokens that waited in the data directory cannot be read",
		"active":        "active",
		"needs_reauth":  "needs consent",
		"config_error":  "client refused",
		"closing":       "being revoked",
	}
	return words[outcome]
}

// readerWords are those of readers and their keys.
func readerWords() map[string]string {
	return map[string]string{
		"reader.create":  "A reader was made",
		"reader.link":    "A reader was linked to a principal",
		"reader.unlink":  "A reader was unlinked from a principal",
		"reader.disable": "A reader was disabled",
		"reader.enable":  "A reader was enabled again",
		"reader.delete":  "A reader was deleted, and its keys were revoked",

		"reader.identity_add":    "An identity was added to a reader",
		"reader.identity_remove": "An identity was taken from a reader",
		"reader.email_add":       "An e-mail address was added to a reader",
		"reader.email_remove":    "An e-mail address was taken from a reader",
		"reader.view_as":         "An owner asked in a reader's place",
		"document.explain":       "Why somebody may read a document was asked",
		"reader.import":          "Readers were imported",
		"connection.map_email":   "Mapping of readers by e-mail was switched",

		"api_key.create":        "An API key was made",
		"api_key.revoke":        "An API key was revoked",
		"api_key.rotate":        "An API key got another secret",
		"api_key.signer_add":    "A public key may sign assertions of an API key",
		"api_key.signer_remove": "A public key may no longer sign assertions of an API key",
	}
}
