package web_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"tributary/store"
)

var keySecret = regexp.MustCompile(`trib_[A-Za-z0-9_-]{43}`)

func publicPEM(t *testing.T) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// counts asks for the number of documents with a key.
func (r *rig) counts(t *testing.T, secret string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.server.URL+"/v1/count", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+secret)
	resp, err := r.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// TestKeyPages makes a key, which works, shows its secret once, gives it another, and ends it.
func TestKeyPages(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	r, err := p.store.CreateReader(t.Context(), "lovelace "+scripted, store.Person)
	if err != nil {
		t.Fatal(err)
	}
	p.ada.get("/keys").says(t, http.StatusOK, "There are no API keys yet")
	form := p.ada.get("/keys/new?reader=" + r.ID.String())
	form.says(t, http.StatusOK, "bound asks for one reader", "trusted asks for whom it says", "search asks questions", "wiki")
	form.has(t, `name="reader" type="text" value="lovelace &lt;script&gt;`, `name="in.wiki"`)
	good := []string{"name", "bot " + scripted, "mode", "bound", "reader", r.ID.String(), "reach", "named", "in.wiki", "yes", "right.search", "yes", "right.documents", "yes", "days", "30", "public_key", "left over"}
	for what, change := range map[string][]string{
		"must name the reader":       {"reader", ""},
		"there is no such reader":    {"reader", "nobody"},
		"is not \"cat\"":             {"mode", "cat"},
		"must have 1 to 200 bytes":   {"name", ""},
		"ends: must be 1 to 366":     {"days", "367"},
		"must be given for a trust":  {"mode", "trusted", "days", ""},
		"within 90 days":             {"mode", "trusted", "days", "91"},
		"must be named one by one":   {"mode", "trusted", "reach", "all"},
		"Public key: it must be one": {"mode", "assertion"},
	} {
		p.ada.post("/keys", with(good, change...)...).says(t, http.StatusUnprocessableEntity, what)
	}
	p.ada.post("/keys", "name", "x", "mode", "own", "reach", "all", "days", "").says(t, http.StatusUnprocessableEntity, "Rights: tick at least one")
	p.ada.post("/keys", "name", "x", "mode", "own", "reach", "named", "right.search", "yes").says(t, http.StatusUnprocessableEntity, "must name connections")
	if got := p.ada.post("/keys", with(good, "in.other", "yes")...); got.status != http.StatusBadRequest {
		t.Errorf("a connection that is not offered: %d", got.status)
	}
	shown := p.ada.post("/keys", good...)
	shown.says(t, http.StatusOK, "Copy it now", "not shown again", "Authorization: Bearer $KEY", "/v1/search")
	secret := keySecret.FindString(shown.body)
	if secret == "" || strings.Count(shown.body, secret) != 1 || shown.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the secret:\n%s", shown.text())
	}
	if got := p.counts(t, secret); got != http.StatusOK {
		t.Fatalf("the new key is answered %d", got)
	}
	k, err := p.store.Key(t.Context(), "bot "+scripted)
	if err != nil || k.ExpiresAt == nil || k.AllConnections || len(k.Connections) != 1 || k.CreatedBy != "ada" {
		t.Fatalf("made %+v, %v", k, err)
	}
	at := "/keys/" + k.ID.String()
	p.ada.post("/keys", good...).says(t, http.StatusUnprocessableEntity, "is another key's")
	list, one := p.ada.get("/keys"), p.ada.get(at)
	list.says(t, http.StatusOK, "bot "+scripted, "valid", "bound", "search, documents", "wiki", "just now")
	one.says(t, http.StatusOK, "Asks for "+r.Name, "Reads whole connections no", "by ada", "wiki")
	for _, page := range []page{list, one, p.ada.get(at + "/revoke"), shown} {
		if strings.Contains(page.body, scripted) || (page.body != shown.body && strings.Contains(page.body, secret)) {
			t.Errorf("a name is not escaped, or the secret is shown again:\n%s", page.body)
		}
	}
	p.ada.post(at+"/rotate", "hours", "169").says(t, http.StatusUnprocessableEntity, "must be 0 to 168")
	p.ada.post(at+"/rotate", "hours", "-1").says(t, http.StatusUnprocessableEntity, "must be 0 to 168")
	again := p.ada.post(at+"/rotate", "hours", "1")
	again.says(t, http.StatusOK, "The secret before goes on counting for an hour")
	second := keySecret.FindString(again.body)
	if second == secret || p.counts(t, second) != http.StatusOK || p.counts(t, secret) != http.StatusOK {
		t.Error("rotating with a grace")
	}
	p.ada.post(at+"/rotate", "hours", "").says(t, http.StatusOK, "The secret before counts no more")
	if p.counts(t, second) != http.StatusUnauthorized {
		t.Error("the secret before counts")
	}
	p.ada.get(at+"/revoke").says(t, http.StatusOK, "Its program is refused with the next request")
	p.ada.post(at+"/revoke").seeOther(t, at+"?done=key-revoked")
	p.ada.get(at+"?done=key-revoked").says(t, http.StatusOK, "The key is revoked", "Revoked 2")
	p.ada.post(at+"/rotate", "hours", "").says(t, http.StatusUnprocessableEntity, "A revoked key gets no other secret")
	if strings.Contains(p.log.String(), secret) {
		t.Error("the log holds a secret")
	}
	p.recorded(t, 1, "api_key.create ok account:ada "+k.ID.String(), "api_key.revoke ok account:ada "+k.ID.String())
	p.recorded(t, 2, "api_key.rotate ok account:ada "+k.ID.String())
}

// with replaces fields of a form, or adds them.
func with(form []string, fields ...string) []string {
	out := append([]string{}, form...)
	for i := 0; i+1 < len(fields); i += 2 {
		at := -1
		for j := 0; j+1 < len(out); j += 2 {
			if out[j] == fields[i] {
				at = j
			}
		}
		if at < 0 {
			out = append(out, fields[i], fields[i+1])
			continue
		}
		out[at+1] = fields[i+1]
	}
	return out
}

// TestKeyModes: what each mode is told apart by.
func TestKeyModes(t *testing.T) {
	t.Parallel()
	p := newPeople(t)
	for name, form := range map[string][]string{
		"mirror":  {"mode", "own", "right.export", "yes"},
		"pusher":  {"mode", "own", "right.push", "yes"},
		"backend": {"mode", "trusted", "right.search", "yes", "days", "30", "per_minute", "600"},
		"portal":  {"mode", "assertion", "right.search", "yes", "public_key", publicPEM(t), "kid", "first"},
	} {
		shown := p.ada.post("/keys", append([]string{"name", name, "reach", "named", "in.wiki", "yes"}, form...)...)
		want := map[string]string{"mirror": "reads everything in the connections listed", "pusher": "/v1/push/wiki/batch", "backend": "reads as any reader", "portal": "Tributary-Reader: $ASSERTION"}
		shown.says(t, http.StatusOK, want[name])
	}
	p.ada.get("/keys").says(t, http.StatusOK, "mirror", "reads whole", "whom 1 signer names", "trusted whom it says", "nobody: it sees what is shared with it")
	p.ada.get("/keys?find=back&state=usable").says(t, http.StatusOK, "backend")
	p.ada.get("/keys?state=revoked").says(t, http.StatusOK, "No key matches")
	k, err := p.store.Key(t.Context(), "portal")
	if err != nil {
		t.Fatal(err)
	}
	at := "/keys/" + k.ID.String()
	p.ada.get(at).says(t, http.StatusOK, "first EdDSA "+k.Signers[0].Fingerprint)
	p.ada.post(at+"/signers", "do", "add", "public_key", "no key", "kid", "", "algorithm", "").says(t, http.StatusUnprocessableEntity, "Public key: it must be one PEM block")
	p.ada.post(at+"/signers", "do", "add", "public_key", publicPEM(t), "kid", "first", "algorithm", "").says(t, http.StatusUnprocessableEntity, "is that of another signer")
	p.ada.post(at+"/signers", "do", "add", "public_key", publicPEM(t), "kid", scripted, "algorithm", "").seeOther(t, at+"?done=signer-added")
	page := p.ada.get(at)
	page.says(t, http.StatusOK, scripted)
	if strings.Contains(page.body, scripted) {
		t.Error("a kid is written without being escaped")
	}
	p.ada.post(at+"/signers", "do", "remove", "kid", "first").seeOther(t, at+"?done=signer-removed")
	if k, err = p.store.Key(t.Context(), "portal"); err != nil || len(k.Signers) != 1 || k.Signers[0].KeyID != scripted {
		t.Errorf("signers: %+v, %v", k.Signers, err)
	}
	p.recorded(t, 1, "api_key.signer_add ok account:ada", "api_key.signer_remove ok account:ada")
	p.ada.get("/keys/nowhere").says(t, http.StatusNotFound, "There is no such key")

	p.exec(t, `INSERT INTO api_key (name, secret_hash, hint, rights, all_connections, mode) SELECT 'z' || lpad(n::text, 3, '0'), n::text::bytea, 'abcd', '{search}', true, 'own' FROM generate_series(1, 60) n`)
	first := p.ada.get("/keys")
	rest := p.ada.get(linkTo(t, first, "Next page"))
	if strings.Contains(first.text(), "z047") || !strings.Contains(rest.text(), "z047") || !strings.Contains(rest.text(), "z060") || strings.Contains(rest.text(), "z046") {
		t.Errorf("two pages:\n%s\n%s", first.text(), rest.text())
	}
}
