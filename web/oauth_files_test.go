package web_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"mime/multipart"
	"net/http"
	"os"
	"strings"
	"testing"

	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// chosen is a file that a person chose for the field of that name.
type chosen struct{ field, name, content string }

// upload makes the request that a browser sends for a form with files, as fields in turn and files.
func (b *browser) upload(path string, fields []string, files ...chosen) *http.Request {
	b.r.t.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for i := 0; i+1 < len(fields); i += 2 {
		if err := w.WriteField(fields[i], fields[i+1]); err != nil {
			b.r.t.Fatal(err)
		}
	}
	for _, f := range files {
		part, err := w.CreateFormFile(f.field, f.name)
		if err == nil {
			_, err = part.Write([]byte(f.content))
		}
		if err != nil {
			b.r.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		b.r.t.Fatal(err)
	}
	req := b.request(http.MethodPost, path, body.String())
	req.Header.Set("Content-Type", w.FormDataContentType())
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return req
}

func newPEM(t *testing.T) (*rsa.PrivateKey, string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// keyed makes a registration at a client that proves itself by a key, without the key.
func (o *oauthRig) keyed(t *testing.T, key *rsa.PrivateKey) *oauthflow.Registration {
	t.Helper()
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Auth, b.Key = "private_key_jwt", &key.PublicKey })
	document := o.provider.Profile(t, "", func(m map[string]any) {
		m["client_auth"], m["jwt"] = "private_key_jwt", map[string]any{"alg": "RS256", "life": "5m"}
		m["grants"] = []string{"authorization_code", "jwt_bearer"}
	})
	p := o.ada.post("/registrations", "provider", "document", "name", "keyed", "document", string(document), "allow_hosts", o.provider.Host())
	if p.status != http.StatusSeeOther {
		t.Fatalf("drafting: %d\n%s", p.status, p.text())
	}
	return o.registration(t, "keyed")
}

func testKeyFiles(t *testing.T) {
	o := newOAuthRig(t)
	key, text := newPEM(t)
	r := o.keyed(t, key)
	path := "/registrations/" + r.ID.String()
	o.ada.get(path).has(t, `enctype="multipart/form-data"`, `name="private_key_file" type="file"`, `name="service_account_file" type="file"`)
	fields := []string{"client_id", o.provider.ClientID, "digest", r.Digest, "private_key", "", "key_id", "k1", "service_account", "", "expires", ""}
	pasted := append([]string{}, fields...)
	pasted[5] = text
	large := "CANARY-" + strings.Repeat("A", 64<<10)
	none := chosen{"service_account_file", "", ""}
	for name, tc := range map[string]struct {
		fields []string
		files  []chosen
		status int
		says   string
	}{
		"too large":         {fields, []chosen{{"private_key_file", "key.pem", large}, none}, http.StatusUnprocessableEntity, "Nothing was saved: Private key: is in a file that is larger than 64 KB"},
		"no text":           {fields, []chosen{{"private_key_file", "key.der", "CANARY-\xff\xfe\x00"}}, http.StatusUnprocessableEntity, "Private key: is in a file that is not text"},
		"no key":            {fields, []chosen{{"private_key_file", "key.pem", "CANARY-no key"}}, http.StatusUnprocessableEntity, "Private key: "},
		"empty":             {fields, []chosen{{"private_key_file", "key.pem", ""}}, http.StatusUnprocessableEntity, "Private key: is in a file that is empty"},
		"twice":             {pasted, []chosen{{"private_key_file", "key.pem", text}}, http.StatusUnprocessableEntity, "Private key: is there twice"},
		"another field's":   {fields, []chosen{{"service_account_file", "sa.json", large}}, http.StatusUnprocessableEntity, "Service account: is in a file that is larger"},
		"no service JSON":   {fields, []chosen{{"service_account_file", "sa.json", "CANARY-{"}}, http.StatusUnprocessableEntity, "Service account: "},
		"nobody's field":    {fields, []chosen{{"secret_file", "s", "CANARY"}}, http.StatusBadRequest, "a field that this page does not know"},
		"one field twice":   {fields, []chosen{{"private_key_file", "a", text}, {"private_key_file", "b", text}}, http.StatusBadRequest, "more than once"},
		"a mebibyte":        {fields, []chosen{{"private_key_file", "key.pem", strings.Repeat(large, 17)}}, http.StatusRequestEntityTooLarge, "a key file has 64 KB at most"},
		"a large text":      {append([]string{"secret", strings.Repeat("x", 65<<10)}, fields...), nil, http.StatusRequestEntityTooLarge, "The form is too large"},
		"nothing was there": {fields, []chosen{{"private_key_file", "", ""}, none}, http.StatusUnprocessableEntity, "Private key: is missing"},
	} {
		p := o.ada.send(o.ada.upload(path+"/save", tc.fields, tc.files...))
		if p.status != tc.status || !strings.Contains(p.text(), tc.says) {
			t.Errorf("%s: %d, want %d and %q:\n%.600s", name, p.status, tc.status, tc.says, p.text())
		}
		if strings.Contains(p.body, "CANARY") || strings.Contains(p.body, text[40:100]) {
			t.Errorf("%s: the page shows the file again", name)
		}
		if p.status == http.StatusUnprocessableEntity && !strings.Contains(p.body, `value="`+o.provider.ClientID+`"`) {
			t.Errorf("%s: what was entered besides is gone", name)
		}
	}
	if o.registration(t, "keyed").State != oauthflow.RegistrationDraft {
		t.Fatal("something was saved")
	}
	p := o.ada.send(o.ada.upload(path+"/save", fields, chosen{"private_key_file", "key.pem", "\ufeff" + text}, none))
	p.says(t, http.StatusOK, "The registration is saved", "confirmed", "One is stored")
	if r = o.registration(t, "keyed"); !r.Has(oauthflow.CredentialPrivateKey) || r.State != oauthflow.RegistrationActive {
		t.Errorf("the registration: %+v", r)
	}
	secrets := map[string]string{"private key": text[40:100]}
	if hits, err := pgtest.FindSecrets(t.Context(), o.db.URL, secrets); err != nil || len(hits) > 0 || strings.Contains(p.body, text[40:100]) || strings.Contains(o.log.String(), text[40:100]) {
		t.Errorf("the key is readable: %v, %v", hits, err)
	}
	if left, err := os.ReadDir(os.TempDir()); err == nil {
		for _, e := range left {
			if strings.HasPrefix(e.Name(), "multipart-") {
				t.Errorf("a file of a form lies in %s", e.Name())
			}
		}
	}
}

func testForeignFiles(t *testing.T) {
	o := newOAuthRig(t)
	before := o.state()
	save := "/registrations/" + o.reg.ID.String() + "/save"
	fields := []string{"client_id", "other", "digest", o.reg.Digest, "secret", "x", "force", "yes"}
	for what, change := range map[string]func(http.Header){
		"another site":             func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") },
		"a neighbour":              func(h http.Header) { h.Set("Sec-Fetch-Site", "same-site") },
		"another origin":           func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "https://evil.example") },
		"no proof":                 func(h http.Header) { h.Del("Sec-Fetch-Site") },
		"a method in a header":     func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site"); h.Set("X-HTTP-Method-Override", "PUT") },
		"an address that is typed": func(h http.Header) { h.Set("Sec-Fetch-Site", "none") },
	} {
		req := o.ada.upload(save, fields)
		change(req.Header)
		if p := o.ada.send(req); p.status != http.StatusForbidden {
			t.Errorf("%s: %d\n%s", what, p.status, p.text())
		}
	}
	// Other pages take no files, also from our own pages.
	for _, info := range o.web.Table() {
		if strings.HasPrefix(info.Access, "token") {
			continue // sessions count nothing there
		}
		if info.Method != http.MethodPost || info.Access == "key" || info.Path == "/registrations/:id/save" || info.Path == "/readers/import" || info.Path == "/signout" {
			continue
		}
		if p := o.ada.send(o.ada.upload(fill(info.Path), nil)); p.status != http.StatusUnsupportedMediaType {
			t.Errorf("%s takes files: %d", info.Path, p.status)
		}
	}
	broken := o.ada.upload(save, fields)
	broken.Header.Set("Content-Type", "multipart/form-data")
	o.ada.send(broken).says(t, http.StatusBadRequest, "The form could not be read")
	if o.state() != before {
		t.Error("something changed")
	}
	o.account("aud", "auditor")
	if p := o.signedIn("aud").send(o.browser().upload(save, fields)); p.status != http.StatusForbidden {
		t.Errorf("an auditor uploads: %d", p.status)
	}
}
