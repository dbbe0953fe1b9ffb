package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

func testForeignClientPage(t *testing.T) {
	o := newOAuthRig(t)
	before := o.provider.Count("token")
	p := o.ada.post("/registrations/"+o.reg.ID.String()+"/save", "client_id", "1-abc.apps.googleusercontent.com", "secret", "x", "digest", o.reg.Digest, "force", "yes")
	p.says(t, http.StatusUnprocessableEntity, "Nothing was saved: Client ID", "Google")
	if o.provider.Count("token") != before {
		t.Error("a secret was sent for another provider's client")
	}
}

func testConfirmHosts(t *testing.T) {
	o := newOAuthRig(t)
	o.account("bob", store.RoleAdmin)
	admin := o.signedIn("bob")
	admin.get("/registrations/new").says(t, http.StatusOK, "An owner has to add it")
	p := admin.post("/registrations", "provider", "issuer", "name", "own", "issuer", o.provider.URL, "allow_hosts", o.provider.Host())
	p.says(t, http.StatusForbidden, "Only an owner may do this")
	if o.provider.Count("metadata") != 0 {
		t.Error("an admin had an address called")
	}
	p = o.ada.post("/registrations", "provider", "issuer", "name", "own", "issuer", o.provider.URL, "private", "yes", "grant_code", "yes", "client_auth", "client_secret_basic")
	if p.status != http.StatusSeeOther {
		t.Fatalf("drafting: %d\n%s", p.status, p.text())
	}
	path := p.location()
	r := o.registration(t, "own")
	o.ada.get(path).says(t, http.StatusOK, "These are the right hosts: "+o.provider.Host(), "not complete")
	admin.get(path).says(t, http.StatusOK, "An owner has to complete this registration")
	credentials := []string{"client_id", o.provider.ClientID, "secret", o.provider.ClientSecret}
	before := o.provider.Count("token")
	admin.post(path+"/save", append(credentials, "digest", r.Digest)...).says(t, http.StatusForbidden, "An owner has to confirm the hosts")
	o.ada.post(path+"/save", credentials...).says(t, http.StatusUnprocessableEntity, "Hosts: confirm the hosts that secrets will go to")
	o.ada.post(path+"/save", append(credentials, "digest", o.reg.Digest+"x")...).says(t, http.StatusUnprocessableEntity, "Hosts: confirm")
	if o.provider.Count("token") != before {
		t.Error("the secret was sent before the hosts were confirmed")
	}
	o.ada.post(path+"/save", append(credentials, "digest", r.Digest)...).says(t, http.StatusOK, "The registration is saved", "confirmed")
	// No source uses this server, so a grant is asked for alone.
	o.ada.get(path).says(t, http.StatusOK, "Ask for a grant", "No source of this version uses")
	p = o.land(t, o.ada, o.provider.Browser(o.ada.post("/connect", "registration", r.ID.String(), "scopes", "openid files.read").link(t)))
	p.says(t, http.StatusOK, "Granted", "files.read granted")
	p.has(t, `class="button" href="/grants"`)
	// A private host that nobody opened looks the same whatever is there.
	one := o.ada.post("/registrations", "provider", "issuer", "name", "x", "issuer", "https://127.0.0.1:5432")
	two := o.ada.post("/registrations", "provider", "issuer", "name", "x", "issuer", "https://127.0.0.1:1")
	if one.status != http.StatusUnprocessableEntity || strings.ReplaceAll(one.text(), "5432", "1") != two.text() {
		t.Errorf("a port tells itself apart:\n%s\n%s", one.text(), two.text())
	}
}

func testBadDocument(t *testing.T) {
	o := newOAuthRig(t)
	for name, document := range map[string]string{
		"no JSON":          "{",
		"an unknown field": string(o.provider.Profile(t, "", func(m map[string]any) { m["surprise"] = 1 })),
		"a reserved field": string(o.provider.Profile(t, "", func(m map[string]any) {
			m["authorize"] = map[string]any{"params": map[string]any{"redirect_uri": "https://evil.example"}}
		})),
		"plain http":          strings.ReplaceAll(string(o.provider.Profile(t, "", nil)), o.provider.URL, "http://id.example.com"),
		"nothing":             " ",
		"a script as a title": string(o.provider.Profile(t, "", func(m map[string]any) { m["title"] = "<script>alert(1)</script>"; m["pkce"] = "plain" })),
	} {
		p := o.ada.post("/registrations", "provider", "document", "name", "bad", "document", document, "allow_hosts", o.provider.Host())
		if p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, `role="alert"`) {
			t.Errorf("%s: %d\n%s", name, p.status, p.text())
		}
		harmless(t, name, p)
	}
	if n := pgtest.Scalar[int](t, o.db, `SELECT count(*) FROM client_registration`); n != 1 {
		t.Errorf("%d registrations", n)
	}
}

func testChangePage(t *testing.T) {
	o := newOAuthRig(t)
	o.connected(t)
	path := "/registrations/" + o.reg.ID.String() + "/change"
	o.ada.get(path).says(t, http.StatusOK, "the stored credentials are forgotten", "needs consent again")
	// Another name is no other server.
	same := o.provider.Profile(t, "", nil)
	if p := o.ada.post(path, "provider", "document", "name", "renamed", "document", string(same), "allow_hosts", o.provider.Host()); p.status != http.StatusSeeOther {
		t.Fatalf("renaming: %d\n%s", p.status, p.text())
	}
	if r := o.registration(t, "renamed"); r.State != oauthflow.RegistrationActive || r.ClientID == "" {
		t.Errorf("renaming dropped credentials: %+v", r)
	}
	other := oauthtest.New(t, oauthtest.Generic())
	p := o.ada.post(path, "provider", "document", "name", "renamed", "document", string(other.Profile(t, "", nil)), "allow_hosts", other.Host())
	if p.status != http.StatusSeeOther {
		t.Fatalf("changing: %d\n%s", p.status, p.text())
	}
	o.ada.get(p.location()).says(t, http.StatusOK, "The registration is changed", "not complete", "enter the credentials again", other.Host())
	o.ada.get("/connections/files").says(t, http.StatusOK, "needs reauth", "The provider's address was changed by an owner")
	o.ada.get("/grants").says(t, http.StatusOK, "closed")
	if other.Count("token") != 0 {
		t.Error("something was sent to the other server")
	}
}

func testGuidedPages(t *testing.T) {
	o := newOAuthRig(t)
	shipped, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	o.ada.get("/registrations/new").says(t, http.StatusOK, "Google", "GitHub (OAuth app)", "GitHub (GitHub App)", "Gitea", "Sandbox Drive", "Another server")
	for name, p := range shipped {
		form := o.ada.get("/registrations/new?provider=" + name)
		form.says(t, http.StatusOK, "A registration at "+p.Title)
		fields := []string{"provider", name, "name", "my-" + name}
		if p.Hosting == oauthflow.HostingInstance {
			form.has(t, `name="base_url"`)
			fields = append(fields, "base_url", "https://git.example.com")
		}
		made := o.ada.post("/registrations", fields...)
		if made.status != http.StatusSeeOther {
			t.Fatalf("%s: %d\n%s", name, made.status, made.text())
		}
		page := o.ada.get(made.location())
		r := o.registration(t, "my-"+name)
		page.has(t, `value="`+r.RedirectURI+`"`, `<script type="module" src="/app.js"`)
		page.says(t, http.StatusOK, r.Profile.Setup.Steps...)
		for _, k := range p.Scopes.Known {
			page.says(t, http.StatusOK, k.Name, k.Reason)
		}
		page.says(t, http.StatusOK, r.Profile.Hosts()...)
		page.has(t, `href="`+strings.ReplaceAll(r.Profile.Setup.ConsoleURL, "&", "&amp;")+`"`)
	}
	google := o.ada.get("/registrations/" + o.registration(t, "my-google").ID.String())
	google.has(t, `name="service_account"`, `name="secret"`, `type="hidden" name="digest"`)
	app := o.ada.get("/registrations/" + o.registration(t, "my-github-app").ID.String())
	app.has(t, `name="private_key"`, `name="subject"`, `name="secret"`)
	p := o.ada.post("/registrations/"+o.registration(t, "my-github-app").ID.String()+"/save", "client_id", "Iv23liExample", "private_key", "-----BEGIN NOTHING-----", "digest", "")
	p.says(t, http.StatusUnprocessableEntity, "Private key: ")
	if strings.Contains(p.body, "BEGIN NOTHING") {
		t.Error("the page shows the key again")
	}
}

func testExpiringCredentials(t *testing.T) {
	o := newOAuthRig(t)
	path := "/registrations/" + o.reg.ID.String() + "/save"
	save := func(day string) page {
		return o.ada.post(path, "client_id", o.provider.ClientID, "digest", o.reg.Digest, "expires", day)
	}
	save("soon").says(t, http.StatusUnprocessableEntity, "write it as 2030-12-31")
	day := time.Now().AddDate(0, 0, 10).Format(time.DateOnly)
	save(day).says(t, http.StatusOK, "The registration is saved", "credentials expire soon")
	o.ada.get("/registrations").says(t, http.StatusOK, "its credentials expire on "+day)
	o.ada.get("/").says(t, http.StatusOK, "its credentials expire on "+day)
	save(time.Now().AddDate(1, 0, 0).Format(time.DateOnly))
	if p := o.ada.get("/"); strings.Contains(p.text(), "credentials expire") {
		t.Error("a warning a year ahead")
	}
}

func testDeleteRegistration(t *testing.T) {
	o := newOAuthRig(t)
	o.connected(t)
	path := "/registrations/" + o.reg.ID.String()
	if p := o.ada.get(path); strings.Contains(p.body, path+"/delete") {
		t.Error("the page offers to delete what is used")
	}
	o.ada.post(path+"/delete").says(t, http.StatusConflict, "disconnect its connections first")
	p := o.ada.post("/registrations", "provider", "google", "name", "unused")
	o.ada.get(p.location()).has(t, p.location()+"/delete")
	if d := o.ada.post(p.location() + "/delete"); d.status != http.StatusSeeOther {
		t.Errorf("deleting: %d\n%s", d.status, d.text())
	}
	o.ada.get(p.location()).says(t, http.StatusNotFound, "There is no such registration")
}
