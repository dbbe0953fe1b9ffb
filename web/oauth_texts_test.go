package web_test

import (
	"net/http"
	"strings"
	"testing"
)

// testNoTextOfOurs: what was entered as a secret is never shown again, and no page repeats an error of the database.
func testNoTextOfOurs(t *testing.T) {
	o := newOAuthRig(t)
	save := "/registrations/" + o.reg.ID.String() + "/save"
	const canary = "s3cret-c4nary-of-a-form"
	p := o.ada.post(save, "client_id", o.provider.ClientID, "secret", canary, "digest", o.reg.Digest)
	p.says(t, http.StatusUnprocessableEntity, "Nothing was saved")
	q := o.ada.post(save, "client_id", o.provider.ClientID, "secret", canary, "private_key", canary, "service_account", canary, "digest", o.reg.Digest, "expires", "soon")
	q.says(t, http.StatusUnprocessableEntity, "write it as 2030-12-31")
	if strings.Contains(p.body+q.body, canary) {
		t.Error("a page shows a secret again")
	}
	o.connected(t)
	o.db.MustExec(t, `ALTER TABLE audit_event RENAME TO audit_event_gone`)
	defer o.db.MustExec(t, `ALTER TABLE audit_event_gone RENAME TO audit_event`)
	for path, fields := range map[string][]string{
		save: {"client_id", o.provider.ClientID, "secret", o.provider.ClientSecret, "digest", o.reg.Digest}, "/connections/files/pause": nil, "/connections/files/expiry": {"at", "2100-01-02", "then", "hide"},
		"/connect":                {"source", "fakedrive", "registration", o.reg.ID.String(), "kind", "authorization_code", "name", "x", "set.corner", "n"},
		"/connections/files/sync": nil, "/registrations": {"provider", "google", "name", "g"}, "/grants/" + o.reg.ID.String() + "/check": nil,
	} {
		p := o.ada.post(path, fields...)
		for _, mark := range []string{"audit_event", "SQLSTATE", "relation", "pgx", "42P01"} {
			if strings.Contains(p.body, mark) {
				t.Errorf("%s (%d) shows %q:\n%.300s", path, p.status, mark, p.text())
			}
		}
		if p.status < http.StatusInternalServerError && p.status != http.StatusNotFound {
			t.Errorf("%s succeeds without being recorded: %d\n%.200s", path, p.status, p.text())
		}
	}
}
