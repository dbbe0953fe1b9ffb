package web_test

import (
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/store"
)

// adminAccess is the least role of a token for every address of the admin API. One that is not listed fails the test of
// roles, and so does one that is listed and not served.
func adminAccess() map[string]string {
	out := map[string]string{}
	for role, list := range map[string]string{
		"auditor": `GET connections, GET connections/:name, GET connections/:name/skipped,
			GET runs, GET runs/:id, GET runs/:id/progress, GET runs/:id/events, GET runs/:id/items,
			GET grants, GET grants/:id, GET registrations, GET registrations/:id, GET readers, GET readers/:id, GET people/unmatched, GET groups, GET principals/:id, GET principals/:id/members, GET principals/:id/groups, GET keys, GET keys/:id, GET explain, GET documents/:id/readers,
			GET audit, GET audit/reads, GET workers, GET jobs, GET queues, GET notices, GET connections/:name/schedule, GET connections/:name/limits, GET connections/:name/quarantine, GET connections/:name/exclusions,
			GET deletions, GET deletions/:id, GET deletions/:id/documents, GET erasures, GET erasures/:id, GET erasures/:id/receipt, GET profiles, GET providers, GET sources`,
		"admin": `POST connections, PATCH connections/:name, DELETE connections/:name, POST connections/:name/pause, POST connections/:name/resume,
			POST connections/:name/sync, PUT connections/:name/expiry, POST connections/:name/grant-again, GET connections/:name/choices,
			PUT connections/:name/schedule, POST connections/:name/quarantine/retry, POST connections/:name/quarantine/exclude, POST connections/:name/quarantine/include,
			POST runs/:id/cancel, POST jobs/:id/retry, POST connections/:name/plan, PATCH connections/:name/limits, PUT connections/:name/permission-age, POST erasures, POST deletions/:id/approve, POST deletions/:id/reject,
			POST grants/:id/check, POST grants/:id/refresh, POST grants/:id/revoke, PUT grants/:id/expiry, POST grants/:id/grant-again,
			POST registrations/:id/check, DELETE registrations/:id`,
		"owner": `GET tokens, POST tokens, DELETE tokens/:id,
			GET users, POST users, GET users/:id, PUT users/:id/role, POST users/:id/disable, POST users/:id/enable, POST users/:id/end-sessions,
			POST users/:id/reset-password, DELETE users/:id,
			POST readers, POST readers/:id/links, DELETE readers/:id/links, POST readers/:id/disable, POST readers/:id/enable,
			DELETE readers/:id, POST readers/:id/identities, DELETE readers/:id/identities, POST readers/:id/emails, DELETE readers/:id/emails,
			POST imports/readers, PUT connections/:name/map-email, POST keys, DELETE keys/:id, POST keys/:id/rotate, POST keys/:id/signers, DELETE keys/:id/signers, POST search,
			POST profiles/:name/activate, POST queues/:name/pause, POST queues/:name/resume`,
	} {
		for line := range strings.SplitSeq(list, ",") {
			method, path, _ := strings.Cut(strings.TrimSpace(line), " ")
			out[method+" /v1/admin/"+path] = "token of an " + role
		}
	}
	return out
}

// enginePages are the pages beside the admin API.
func enginePages() map[string]string {
	return map[string]string{
		"GET /notices": "auditor", "GET /runs/:id": "auditor", "POST /runs/:id/cancel": "admin",
		"GET /deletions/:id": "auditor", "POST /deletions/:id/approve": "admin", "POST /deletions/:id/reject": "admin",
		"GET /connections/:name/plan": "admin", "GET /connections/:name/start": "admin", "POST /connections/:name/start": "admin",
		"GET /connections/:name/schedule": "auditor", "POST /connections/:name/schedule": "admin",
		"POST /connections/:name/limits": "admin", "POST /connections/:name/permission-age": "admin",
		"GET /connections/:name/quarantine": "auditor", "POST /connections/:name/quarantine": "admin",
		"GET /readers": "auditor", "POST /readers": "owner", "GET /readers/new": "owner", "GET /readers/import": "owner", "POST /readers/import": "owner",
		"GET /readers/unmatched": "auditor", "POST /readers/unmatched/:principal": "owner", "GET /readers/:id": "auditor",
		"POST /readers/:id/link": "owner", "POST /readers/:id/unlink": "owner", "POST /readers/:id/identities": "owner", "POST /readers/:id/emails": "owner",
		"POST /readers/:id/disable": "owner", "POST /readers/:id/enable": "owner", "GET /readers/:id/delete": "owner", "POST /readers/:id/delete": "owner",
		"GET /groups": "auditor", "GET /principals/:id": "auditor", "POST /connections/:name/map-email": "owner",
		"GET /keys": "auditor", "POST /keys": "owner", "GET /keys/new": "owner", "GET /keys/:id": "auditor", "POST /keys/:id/rotate": "owner",
		"POST /keys/:id/signers": "owner", "GET /keys/:id/revoke": "owner", "POST /keys/:id/revoke": "owner",
		"POST /account/tokens": "auditor", "POST /account/tokens/:id/revoke": "auditor", "POST /users/:id/tokens/:token/revoke": "owner",
		"GET /documents": "auditor", "GET /documents/:id": "auditor", "POST /documents/:id": "owner", "GET /documents/:id/access": "auditor",
		"GET /search": "admin", "POST /search": "admin",
	}
}

// sessionPages are the pages that newOAuthRig serves beside those of newRig.
func sessionPages() map[string]string {
	out := oauthAccess()
	maps.Copy(out, enginePages())
	maps.Copy(out, systemPages())
	return out
}

// TestAdminRoles holds every address of the admin API against every role, and against who has no token.
func TestAdminRoles(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	rank := map[string]int{"token of an auditor": 1, "token of an admin": 2, "token of an owner": 3}
	programs := map[string]*program{}
	for i, role := range store.AccountRoles() {
		p := o.program(t, "the-"+string(role), role, uuid.Nil)
		programs["token of an "+string(role)] = p
		// Of an account that may less than the token, the account counts.
		a := o.account("a-"+string(role), store.RoleOwner)
		less := o.program(t, "less-"+string(role), store.RoleOwner, a.ID)
		if err := o.store.SetAccountRole(t.Context(), o.by.Actor, a.ID, role); err != nil {
			t.Fatal(err)
		}
		programs["less "+string(role)] = less
		rank["less "+string(role)] = i + 1
	}
	key, secret, err := o.store.CreateKey(t.Context(), store.CreateKeyParams{Name: "k", AllConnections: true, Rights: []string{store.RightSearch}})
	if err != nil || key.Name != "k" {
		t.Fatal(err)
	}
	n := 0
	for name, access := range adminAccess() {
		method, path, _ := strings.Cut(name, " ")
		path = strings.TrimPrefix(fill(path), "/v1/admin")
		body := ""
		if method != http.MethodGet {
			body = "{}"
		}
		for who, p := range programs {
			a := p.call(method, path, body)
			n++
			if rank[who] < rank[access] {
				a.refuses(http.StatusForbidden, "insufficient_scope", "")
			} else if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status >= http.StatusInternalServerError {
				t.Errorf("%s with %s: %d\n%s", name, who, a.status, a.body)
			}
		}
		anonymous := &program{t: t, o: o, ip: "192.0.2.8"}
		anonymous.call(method, path, body).refuses(http.StatusUnauthorized, "unauthenticated", "")
		withKey := &program{t: t, o: o, token: secret, ip: "192.0.2.8"}
		withKey.call(method, path, body).refuses(http.StatusForbidden, "insufficient_scope", "")
		// An owner's session counts nothing here.
		req := o.ada.request(method, "/v1/admin"+path, body)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		req.Header.Set("Content-Type", "application/json")
		if p := o.ada.send(req); p.status != http.StatusUnauthorized {
			t.Errorf("%s in a session: %d", name, p.status)
		}
	}
	t.Logf("%d answers to %d addresses", n, len(adminAccess()))
}

func TestAdminTokensThatFail(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	bob := o.account("bob", store.RoleAdmin)
	good := o.program(t, "good", store.RoleAuditor, bob.ID)
	good.call(http.MethodGet, "/connections", "").is(http.StatusOK)
	if _, err := o.store.DisableAccount(t.Context(), o.by.Actor, bob.ID); err != nil {
		t.Fatal(err)
	}
	good.call(http.MethodGet, "/connections", "").refuses(http.StatusUnauthorized, "unauthenticated", "")
	if err := o.store.EnableAccount(t.Context(), o.by.Actor, bob.ID); err != nil {
		t.Fatal(err)
	}
	good.call(http.MethodGet, "/connections", "").refuses(http.StatusUnauthorized, "unauthenticated", "")
	good = o.program(t, "better", store.RoleAuditor, bob.ID)
	if got := o.program(t, "own", store.RoleOwner, uuid.Nil).call(http.MethodPost, "/users/bob/reset-password", `{}`).is(http.StatusOK)["ended"]; !reflect.DeepEqual(got, map[string]any{"sessions": 0.0, "tokens": 1.0}) {
		t.Errorf("the reset says that it ended %v", got)
	}
	good.call(http.MethodGet, "/connections", "").refuses(http.StatusUnauthorized, "unauthenticated", "")
	good = o.program(t, "best", store.RoleAuditor, bob.ID)
	good.call(http.MethodGet, "/connections", "").is(http.StatusOK)

	guesser := &program{t: t, o: o, token: "tribadm_" + strings.Repeat("A", 43), ip: "198.51.100.9"}
	refused := 0
	for range 30 {
		if a := guesser.call(http.MethodGet, "/connections", ""); a.status == http.StatusUnauthorized {
			refused++
		} else {
			a.refuses(http.StatusTooManyRequests, "too_many_attempts", "")
			if a.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	}
	if refused != 20 {
		t.Errorf("%d guesses were looked at", refused)
	}
	good.call(http.MethodGet, "/connections", "").is(http.StatusOK) // from elsewhere
	logged := strings.Count(strings.Join(o.events(), "\n"), "admin_token.refused refused anonymous")
	if logged != 23 { // with the three of tokens that had ended
		t.Errorf("%d refusals are recorded", logged)
	}
	if strings.Contains(o.log.String(), guesser.token) || strings.Contains(o.log.String(), good.token) {
		t.Error("the log holds a token")
	}
}
