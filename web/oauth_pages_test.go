package web_test

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tributary/connectors"
	"tributary/internal/audit"
	"tributary/internal/pgtest"
	"tributary/store"
)

// TestOAPages shows the rules of the pages around consent.
func TestOAPages(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(t *testing.T){
		"WB-7 every route has its roles":           testOAuthRoles,
		"WB-2 no form of another site":             testOAuthForgery,
		"WB-2 reading has no side effect":          testOAuthReading,
		"OA-3 a client of another provider":        testForeignClientPage,
		"OA-17 an owner confirms the hosts":        testConfirmHosts,
		"OA-24 disconnecting":                      testDisconnectPages,
		"OA-30 pointing a registration elsewhere":  testChangePage,
		"OA-32 a document with reserved fields":    testBadDocument,
		"a guided page for every shipped provider": testGuidedPages,
		"credentials that expire":                  testExpiringCredentials,
		"a folder of the server":                   testConnectFolder,
		"a key from a file":                        testKeyFiles,
		"WB-2 files of another site":               testForeignFiles,
		"WB-9 no secret and no SQL on a page":      testNoTextOfOurs,
		"a registration that is used stays":        testDeleteRegistration,
		"grants":                                   testGrantPages,
		"connections":                              testConnectionPages,
		"choosing what is synced":                  testChoosing,
		"choosing what cannot be":                  testChoosingRefused,
		"choosing less":                            testChoosingHides,
		"scopes by setting":                        testScopesBySetting,
		"several providers":                        testSeveralProviders,
		"the first steps":                          testChecklist,
		"a wrong master key":                       testKeyNotice,
		"this is me":                               testLinkReader,
		"the audit log":                            testAuditPages,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t)
		})
	}
}

// oauthAccess is who may use every address of these pages.
func oauthAccess() map[string]string {
	return map[string]string{
		"GET /live": "auditor", "GET /oauth/callback/:registration": "visitor", "GET /oauth/result": "visitor", "GET /audit": "auditor",

		"GET /registrations": "auditor", "POST /registrations": "admin", "GET /registrations/new": "admin", "GET /registrations/:id": "auditor",
		"POST /registrations/:id/save": "admin", "POST /registrations/:id/check": "admin", "POST /registrations/:id/delete": "admin",
		"GET /registrations/:id/change": "owner", "POST /registrations/:id/change": "owner",

		"GET /connect": "admin", "POST /connect": "admin", "GET /connect/:ticket": "admin", "POST /connect/:ticket": "admin",

		"GET /connections/:name/runs": "auditor", "GET /connections/:name/grant": "auditor", "POST /connections/:name/revoke": "admin", "GET /connections/:name/settings": "auditor",
		"GET /connections/:name/deletions": "auditor", "GET /erasures": "auditor", "GET /erasures/:id": "auditor",

		"GET /connections": "auditor", "GET /connections/:name": "auditor", "POST /connections/:name/sync": "admin", "GET /connections/:name/choose": "admin", "POST /connections/:name/choose": "admin", "POST /connections/:name/pause": "admin",
		"POST /connections/:name/resume": "admin", "POST /connections/:name/expiry": "admin", "POST /connections/:name/link": "admin",
		"POST /connections/:name/grant-again": "admin", "GET /connections/:name/disconnect": "admin", "POST /connections/:name/disconnect": "admin",

		"GET /grants": "auditor", "GET /grants/:id": "auditor", "POST /grants/:id/check": "admin", "POST /grants/:id/refresh": "admin",
		"POST /grants/:id/revoke": "admin", "POST /grants/:id/expiry": "admin", "POST /grants/:id/grant-again": "admin",
	}
}

func testOAuthRoles(t *testing.T) {
	o := newOAuthRig(t)
	want, got := routeAccess(), map[string]string{}
	sessions := sessionPages()
	maps.Copy(want, adminAccess())
	maps.Copy(want, sessions)
	for _, info := range o.web.Table() {
		got[info.Method+" "+info.Path] = info.Access
	}
	if !maps.Equal(want, got) {
		t.Errorf("served:\n%v\nthe table says:\n%v", got, want)
	}
	rank := map[string]int{"visitor": 0, "auditor": 1, "admin": 2, "owner": 3}
	users := map[string]*browser{"visitor": o.browser()}
	for _, role := range store.AccountRoles() {
		o.account("the-"+string(role), role)
		users[string(role)] = o.signedIn("the-" + string(role))
	}
	for name, access := range sessions {
		if rank[access] == 0 {
			continue
		}
		method, path, _ := strings.Cut(name, " ")
		for who, b := range users {
			var p page
			if method == http.MethodGet {
				p = b.get(fill(path))
			} else {
				p = b.post(fill(path))
			}
			toSignIn := p.status == http.StatusUnauthorized || (p.status == http.StatusSeeOther && strings.HasPrefix(p.location(), "/signin"))
			switch {
			case who == "visitor":
				if !toSignIn {
					t.Errorf("%s as a visitor: %d to %q", name, p.status, p.location())
				}
			case rank[who] < rank[access]:
				if p.status != http.StatusForbidden {
					t.Errorf("%s as %s: %d, want 403", name, who, p.status)
				}
			case toSignIn || p.status == http.StatusForbidden || p.status >= http.StatusInternalServerError:
				t.Errorf("%s as %s: %d to %q\n%s", name, who, p.status, p.location(), p.text())
			}
		}
	}
}

// paths fills the parameters of an address with what there is.
func (o *oauthRig) path(pattern string, k store.Connection) string {
	grant := strings.HasPrefix(pattern, "/grants")
	id := o.reg.ID.String()
	if grant {
		id = k.GrantID.String()
	}
	return strings.NewReplacer(":id", id, ":name", k.Name, ":registration", o.reg.ID.String(), ":ticket", "none").Replace(pattern)
}

func testOAuthForgery(t *testing.T) {
	o := newOAuthRig(t)
	k := o.connected(t)
	before := o.state()
	for name := range sessionPages() {
		method, path, _ := strings.Cut(name, " ")
		if method != http.MethodPost {
			continue
		}
		for what, change := range map[string]func(*http.Request){
			"another site":         func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") },
			"another origin":       func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
			"no proof":             func(*http.Request) {},
			"a neighbouring site":  func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") },
			"a form that is JSON":  func(r *http.Request) { r.Header.Set("Content-Type", "application/json") },
			"a method in a header": func(r *http.Request) { r.Header.Set("X-HTTP-Method-Override", "POST") },
		} {
			req := o.ada.request(method, o.path(path, k), "confirm=files")
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			change(req)
			if p := o.ada.send(req); p.status != http.StatusForbidden {
				t.Errorf("%s from %s: %d", name, what, p.status)
			}
		}
	}
	if after := o.state(); after != before {
		t.Error("something was changed")
	}
}

func testOAuthReading(t *testing.T) {
	o := newOAuthRig(t)
	k := o.connected(t)
	before, calls := o.state(), len(o.provider.Log("token"))+len(o.provider.Log("userinfo"))
	for name := range oauthAccess() {
		method, path, _ := strings.Cut(name, " ")
		if method == http.MethodGet && !strings.HasPrefix(path, "/oauth/callback") {
			if p := o.ada.get(o.path(path, k)); p.status >= http.StatusInternalServerError {
				t.Errorf("%s: %d", name, p.status)
			}
		}
	}
	if o.state() != before || len(o.provider.Log("token"))+len(o.provider.Log("userinfo")) != calls {
		t.Error("reading changed something")
	}
}

func testGrantPages(t *testing.T) {
	o := newOAuthRig(t)
	k := o.connected(t)
	path, revoked := "/grants/"+k.GrantID.String(), o.provider.Count("revoke")
	o.ada.get(path).says(t, http.StatusOK, "Ada at Fake", "The access token is good until", "is renewed before that", "files.read granted", "Refreshes None yet.", "Revoke the grant")
	o.ada.post(path + "/refresh")
	o.ada.get(path).says(t, http.StatusOK, "new tokens")
	o.ada.post(path+"/expiry", "at", "2001-01-01", "then", "keep").says(t, http.StatusUnprocessableEntity, "choose a day after today")
	o.ada.post(path+"/expiry", "at", "x", "then", "keep").says(t, http.StatusUnprocessableEntity, "write it as")
	o.ada.post(path+"/expiry", "at", "2100-01-02", "then", "burn").says(t, http.StatusUnprocessableEntity, "kept or hidden")
	if p := o.ada.post(path+"/expiry", "at", "2100-01-02", "then", "hide"); p.status != http.StatusSeeOther {
		t.Errorf("setting an end: %d\n%s", p.status, p.text())
	}
	o.ada.get(path).says(t, http.StatusOK, "2100-01-02 00:00 UTC; documents are then hidden")
	for _, tc := range []struct{ set, says string }{
		{`state = 'needs_reauth', fail_class = 'revoked', fail_note = 'invalid_grant'`, "needs consent It needs consent since"},
		{`state = 'needs_reauth', fail_class = 'lost_response'`, "because the answer to a refresh was lost"},
		{`state = 'config_error', fail_class = 'client_rejected', fail_note = 'invalid_client'`, "client refused The provider refuses the client registration"},
		{`state = 'active', phase = 'uncertain', fail_note = ''`, "uncertain The answer to a refresh was lost"},
		{`state = 'active', phase = 'idle', failures = 3, fail_note = 'status 503'`, "Refreshing has failed 3 times"},
		{`failures = 0, at_expires = NULL, idle_expires = NULL, refreshable = false`, "It lasts until it is revoked."},
	} {
		o.db.MustExec(t, `UPDATE credential SET `+tc.set)
		o.ada.get(path).says(t, http.StatusOK, tc.says)
		o.ada.get("/grants").says(t, http.StatusOK, tc.says)
	}
	o.account("aud", store.RoleAuditor)
	if p := o.signedIn("aud").get(path); p.status != http.StatusOK || strings.Contains(p.body, "<form method=\"post\" action=\"/grants") {
		t.Error("an auditor is offered acts")
	}
	if p := o.ada.post(path + "/revoke"); p.status != http.StatusSeeOther || p.location() != path+"?done=revoked" {
		t.Errorf("revoking: %d to %q\n%s", p.status, p.location(), p.text())
	}
	o.ada.get(path).says(t, http.StatusOK, "closed", "The provider revoked the grant.")
	o.ada.get("/connections/files").says(t, http.StatusOK, "needs reauth", "Grant again")
	if o.provider.Count("revoke") == revoked {
		t.Error("nothing was revoked at the provider")
	}
	// One click repairs it, with another grant.
	o.land(t, o.ada, o.provider.Browser(o.ada.post("/connections/files/grant-again").link(t))).says(t, http.StatusOK, "Connected")
	o.ada.get("/connections/files").says(t, http.StatusOK, "State active")
	o.ada.get("/grants/nonsense").says(t, http.StatusNotFound, "There is no such grant")
}

func testConnectionPages(t *testing.T) {
	o := newOAuthRig(t)
	o.connected(t)
	o.ada.post("/connections/files/sync")
	if !slices.Equal(o.syncer.orders, []string{"files content admin", "files permissions admin"}) {
		t.Errorf("runs asked for: %v", o.syncer.orders)
	}
	o.ada.get("/connections/files").says(t, http.StatusOK, "snapshot waiting", "permissions waiting")
	state := func() store.ConnectionState {
		k, err := o.store.Connection(t.Context(), "files")
		if err != nil {
			t.Fatal(err)
		}
		return k.State
	}
	if p := o.ada.post("/connections/files/pause"); p.status != http.StatusSeeOther || state() != store.StatePaused {
		t.Errorf("pausing: %d, %s", p.status, state())
	}
	o.ada.post("/connections/files/sync").says(t, http.StatusUnprocessableEntity, "It cannot sync while its state is paused")
	o.ada.post("/connections/files/resume")
	if state() != store.StateActive {
		t.Errorf("resumed: %s", state())
	}
	o.db.MustExec(t, `UPDATE connection SET state = 'needs_reauth'`)
	o.ada.post("/connections/files/resume")
	if state() != store.StateNeedsReauth {
		t.Errorf("resuming made it %s", state())
	}
	o.ada.post("/connections/files/expiry", "at", "2100-01-02", "then", "hide")
	o.ada.get("/connections/files").says(t, http.StatusOK, "2100-01-02 00:00 UTC; documents are then hidden")
	o.ada.get("/connections/nowhere").says(t, http.StatusNotFound, "There is no such connection")
	for _, action := range []string{"connection.sync", "connection.pause", "connection.resume", "connection.expiry"} {
		if !slices.ContainsFunc(o.events(), func(e string) bool { return strings.HasPrefix(e, action+" ok account:ada ") }) {
			t.Errorf("%s is not in the audit log", action)
		}
	}
}

func testDisconnectPages(t *testing.T) {
	o := newOAuthRig(t)
	k := o.connected(t)
	o.ada.get("/connections/files/disconnect").says(t, http.StatusOK, "Disconnect files?", "The grant of Ada is revoked at Fake", "Write its name to confirm")
	o.ada.post("/connections/files/disconnect", "confirm", "other").says(t, http.StatusUnprocessableEntity, "Nothing is disconnected")
	before := o.provider.Count("revoke")
	// Another connection that uses the grant keeps it alive.
	o.db.MustExec(t, `INSERT INTO connection (name, source, grant_id, max_permission_age) VALUES ('second', 'fakedrive', $1, '1 day')`, *k.GrantID)
	o.ada.get("/connections/files/disconnect").says(t, http.StatusOK, "is kept, because second uses it")
	o.ada.post("/connections/files/disconnect", "confirm", "files").says(t, http.StatusOK, "files is disconnected", "The grant lives on: it is used by second.", "Its documents are deleted")
	if o.provider.Count("revoke") != before {
		t.Error("the grant of another connection was revoked")
	}
	o.ada.get("/connections/files").says(t, http.StatusNotFound)
	o.ada.post("/connections/second/disconnect", "confirm", "second").says(t, http.StatusOK, "second is disconnected", "The provider revoked the grant.")
	if o.provider.Count("revoke") == before || pgtest.Scalar[int](t, o.db, `SELECT count(*) FROM credential WHERE secret_ct IS NOT NULL`) != 0 {
		t.Error("tokens are left")
	}
}

func testChecklist(t *testing.T) {
	o := newOAuthRig(t)
	o.ada.get("/").has(t, `<a href="/connect">Connect a source</a>`)
	k := o.connected(t)
	o.ada.get("/").has(t, `<a href="/connections">Wait for the first sync</a>`)
	o.db.MustExec(t, `UPDATE connection SET content_as_of = clock() WHERE id = $1`, k.ID)
	// The steps stay until somebody was given a document.
	o.ada.get("/").says(t, http.StatusOK, "Wait for the first sync done", "Link a reader", "tributary readers link")
	o.db.MustExec(t, `WITH r AS (INSERT INTO reader (name, kind) VALUES ('ada', 'person') RETURNING id),
		m AS (INSERT INTO realm (source, external_id) VALUES ('fakedrive', 'checklist') RETURNING id),
		p AS (INSERT INTO principal (realm_id, kind, external_id) SELECT id, 'user', 'u' FROM m RETURNING id)
		INSERT INTO reader_principal (reader_id, principal_id, how) SELECT r.id, p.id, 'manual' FROM r, p`)
	o.ada.get("/").says(t, http.StatusOK, "Link a reader done", "tributary keys create")
	o.db.MustExec(t, `INSERT INTO read_event (tool, documents) VALUES ('search', '{}')`)
	o.ada.get("/").has(t, "checklist") // it found nothing
	o.db.MustExec(t, `INSERT INTO read_event (tool, documents) VALUES ('search', ARRAY[gen_random_uuid()])`)
	if p := o.ada.get("/"); strings.Contains(p.body, "checklist") {
		t.Error("the steps are shown after the first search")
	}
	o.db.MustExec(t, `UPDATE credential SET state = 'needs_reauth'`)
	o.ada.get("/").says(t, http.StatusOK, "The grant of Ada needs consent again")
}

func testKeyNotice(t *testing.T) {
	o := newOAuthRig(t)
	o.key = "the master key file is missing; put it back"
	o.ada.get("/").says(t, http.StatusOK, "The master key file is missing; put it back.", "stays searchable")
	sealed := pgtest.Scalar[string](t, o.db, `SELECT encode(credential_ct, 'hex') FROM client_registration`)
	path := "/registrations/" + o.reg.ID.String()
	for name, p := range map[string]page{
		"connecting":            o.begin(o.ada, "files"),
		"saving credentials":    o.ada.post(path+"/save", "client_id", o.provider.ClientID, "secret", o.provider.ClientSecret, "digest", o.reg.Digest),
		"saving without secret": o.ada.post(path+"/save", "client_id", o.provider.ClientID, "digest", o.reg.Digest),
		"checking":              o.ada.post(path + "/check"),
	} {
		if (p.status != http.StatusServiceUnavailable && p.status != http.StatusUnprocessableEntity) || !strings.Contains(strings.ToLower(p.text()), "master key file") {
			t.Errorf("%s: %d\n%s", name, p.status, p.text())
		}
	}
	if pgtest.Scalar[string](t, o.db, `SELECT encode(credential_ct, 'hex') FROM client_registration`) != sealed {
		t.Error("what is sealed was written over")
	}
}

func testLinkReader(t *testing.T) {
	o := newOAuthRig(t)
	k := o.connected(t)
	offered := func(b *browser) bool {
		return strings.Contains(b.get("/connections/files").body, "/connections/files/link")
	}
	if offered(o.ada) {
		t.Error("a link is offered before the realm is known")
	}
	o.ada.post("/connections/files/link").says(t, http.StatusUnprocessableEntity, "Only who gave the consent can be linked")
	if _, err := o.store.SetRealm(t.Context(), k.ID, k.Source, "org"); err != nil {
		t.Fatal(err)
	}
	o.account("bob", store.RoleOwner)
	bob := o.signedIn("bob")
	if !offered(o.ada) || offered(bob) {
		t.Errorf("offered to who consented: %v, to another: %v", offered(o.ada), offered(bob))
	}
	bob.post("/connections/files/link").says(t, http.StatusUnprocessableEntity, "Only who gave the consent can be linked")
	// The source names the person otherwise than the provider its account.
	o.folders.self = connectors.Principal{Kind: connectors.User, ID: "person-7", Name: "Ada at the source"}
	o.folders.meanwhile = func() { o.db.MustExec(t, `UPDATE credential SET epoch = epoch + 1`) }
	o.ada.post("/connections/files/link").says(t, http.StatusUnprocessableEntity, "Only who gave the consent can be linked")
	// A source that does not tell links nobody.
	sources := o.parts.Sources
	mute := fakeSpec()
	mute.Provides = nil
	o.parts.Sources = []connectors.Spec{mute}
	if o.ada.get("/connections/files").says(t, http.StatusOK, "does not tell which of its users that account is"); offered(o.ada) {
		t.Error("a link is offered that nobody can make")
	}
	o.ada.post("/connections/files/link").says(t, http.StatusUnprocessableEntity, "This source does not tell which of its users consented")
	o.parts.Sources = sources
	o.folders.meanwhile = nil
	if p := o.ada.post("/connections/files/link"); p.status != http.StatusSeeOther {
		t.Fatalf("linking: %d\n%s", p.status, p.text())
	}
	r, err := o.store.Reader(t.Context(), "ada")
	if err != nil || len(r.Links) != 1 || r.Links[0].Kind != connectors.User || r.Links[0].ExternalID != "person-7" || r.Links[0].How != string(store.LinkConsent) {
		t.Errorf("reader %+v, %v", r, err)
	}
	if offered(o.ada) {
		t.Error("a link that stands is offered")
	}
	if !slices.ContainsFunc(o.events(), func(e string) bool { return strings.HasPrefix(e, "reader.link ok account:ada "+r.ID.String()) }) {
		t.Error("the link is not in the audit log")
	}
}

func testAuditPages(t *testing.T) {
	o := newOAuthRig(t)
	for i := range 130 {
		err := o.store.Record(t.Context(), audit.Event{
			Actor: audit.Actor{Kind: audit.CLI, Name: "root@host"}, Action: "test.act", Target: audit.Target{Kind: "thing", ID: "t" + strconv.Itoa(i)}, Outcome: audit.Failed, Detail: map[string]string{"n": strconv.Itoa(i)},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	p := o.ada.get("/audit?action=test&actor=root%40host")
	p.says(t, http.StatusOK, "t129", "command line, not authenticated", "failed", "n 129", "Older events")
	if strings.Contains(p.text(), "t29 ") || strings.Contains(p.text(), "session.start") {
		t.Error("the page holds more than it should")
	}
	_, rest, _ := strings.Cut(p.body, `<a href="/audit?`)
	query, _, _ := strings.Cut(rest, `"`)
	older := o.ada.get("/audit?" + strings.ReplaceAll(query, "&amp;", "&"))
	older.says(t, http.StatusOK, "t29", "t0 ")
	if strings.Contains(older.text(), "t30 ") || strings.Contains(older.body, "Older events") {
		t.Error("the second page does not continue the first")
	}
	damaged := audit.Event{
		Actor: audit.Actor{Kind: audit.System, Name: "refresh"}, Action: "grant.refresh", Outcome: audit.Failed, Detail: map[string]string{"outcome": "spool_damaged", "attempt": "x"},
	}
	if err := o.store.Record(t.Context(), damaged); err != nil {
		t.Fatal(err)
	}
	o.ada.get("/audit").says(t, http.StatusOK, "The tokens of a grant were to be renewed failed grant.refresh", "outcome new tokens that waited in the data directory cannot be read", "test.act failed test.act")
	o.ada.get("/audit?action=session").says(t, http.StatusOK, "Signed in session.start")
	o.ada.get("/audit?target=thing:t7").says(t, http.StatusOK, "t7")
	o.ada.get("/audit?action=nothing").says(t, http.StatusOK, "No event matches")
	o.ada.get("/audit?until=2001-01-01").says(t, http.StatusOK, "No event matches")
	o.ada.get("/audit?since=x").says(t, http.StatusBadRequest, "write it as 2030-12-31")
	o.ada.get("/audit?before=x").says(t, http.StatusBadRequest)
	o.ada.get("/audit?actor=%00%ff").says(t, http.StatusOK)
}
