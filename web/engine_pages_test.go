package web_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/store"
)

func TestTokenPages(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	bob := o.account("bob", store.RoleAdmin)
	b := o.signedIn("bob")
	b.get("/account").says(t, http.StatusOK, "Tokens of the admin API", "Make a token")
	b.post("/account/tokens", "name", "up", "role", "owner", "days", "30").says(t, http.StatusUnprocessableEntity, "not above your own")
	b.post("/account/tokens", "name", "Up High", "role", "admin", "days", "30").says(t, http.StatusUnprocessableEntity, "must be 1 to 63 of a-z")
	b.post("/account/tokens", "name", "up", "role", "admin", "days", "367").says(t, http.StatusUnprocessableEntity, "must be 1 to 366")
	shown := b.post("/account/tokens", "name", "up", "role", "auditor", "days", "30")
	shown.says(t, http.StatusOK, "Copy it now")
	secret := regexp.MustCompile(`tribadm_[A-Za-z0-9_-]{43}`).FindString(shown.body)
	p := &program{t: t, o: o, token: secret, ip: "192.0.2.9"}
	p.call(http.MethodGet, "/connections", "").is(http.StatusOK)
	p.call(http.MethodPost, "/connections", "{}").refuses(http.StatusForbidden, "insufficient_scope", "")
	list := b.get("/account")
	list.says(t, http.StatusOK, "up …", "auditor", "valid", "just now")
	if strings.Contains(list.body, secret) || strings.Contains(o.log.String(), secret) {
		t.Error("the secret is shown again")
	}
	token, err := o.store.AdminToken(t.Context(), "up")
	if err != nil || *token.AccountID != bob.ID {
		t.Fatal(token, err)
	}
	// Somebody else's is not there.
	if got := o.ada.post("/account/tokens/" + token.ID.String() + "/revoke"); got.status != http.StatusNotFound {
		t.Errorf("ada revokes bob's as her own: %d", got.status)
	}
	p.call(http.MethodGet, "/connections", "").is(http.StatusOK)
	o.ada.get("/users/"+bob.ID.String()).says(t, http.StatusOK, "Tokens of the admin API", "up …")
	if got := o.ada.post("/users/" + bob.ID.String() + "/tokens/" + token.ID.String() + "/revoke"); got.status != http.StatusSeeOther {
		t.Errorf("revoking: %d", got.status)
	}
	p.call(http.MethodGet, "/connections", "").refuses(http.StatusUnauthorized, "unauthenticated", "")
}

func TestEnginePages(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	o.ada.get("/notices").says(t, http.StatusOK, "Nothing needs you")
	if err := o.store.RaiseNotice(t.Context(), nil, store.Notice{ConnectionID: &k.ID, Code: "run_failing", Detail: "the run <b>failed</b>"}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/notices", "/connections/files"} {
		p := o.ada.get(path)
		p.says(t, http.StatusOK, "the run <b>failed</b>", "tributary sync files", "1 open")
		p.has(t, `<code class="wrap">tributary sync files</code>`)
	}
	if err := o.store.ClearNotice(t.Context(), nil, &k.ID, "run_failing", ""); err != nil {
		t.Fatal(err)
	}
	o.ada.get("/notices").says(t, http.StatusOK, "Nothing needs you")
	o.ada.get("/notices?all=yes").says(t, http.StatusOK, "the run", "cleared")

	path := "/connections/files/schedule"
	o.ada.get(path).has(t, `value="15m"`, `value="5m"`, `value="7d"`, `value="UTC"`)
	form := []string{"content", "0 3 * * 1-5", "permissions", "10m", "reconcile", "2d", "zone", "Europe/Berlin", "quiet", "mon-fri 08:00-18:00\n"}
	if p := o.ada.post(path, form...); p.status != http.StatusSeeOther {
		t.Errorf("saving: %d\n%s", p.status, p.text())
	}
	o.ada.get(path).has(t, `value="0 3 * * 1-5"`, `value="10m"`, `value="2d"`, `value="Europe/Berlin"`, "08:00-18:00")
	for i, bad := range map[int]string{1: "soon", 3: "0", 7: "Moon/Crater", 9: "sometimes"} {
		wrong := append([]string{}, form...)
		wrong[i] = bad
		o.ada.post(path, wrong...).says(t, http.StatusUnprocessableEntity, bad)
	}
	o.ada.get("/connections/files").says(t, http.StatusOK, ", by 0 3 * * 1-5", ", every 10m")

	o.db.MustExec(t, `INSERT INTO quarantine (connection_id, external_id, path, source_revision, class, reason, attempts, run_id)
		SELECT $1, 'q' || n, '/q' || n, 'v1', 'item_skipped', 'it is broken', 3, gen_random_uuid() FROM generate_series(1, 3) n`, k.ID)
	path = "/connections/files/quarantine"
	o.ada.get(path).says(t, http.StatusOK, "/q1", "it is broken", "3 times")
	o.ada.get("/connections/files").says(t, http.StatusOK, "3 in quarantine")
	o.ada.post(path, "do", "exclude", "id", "q1", "reason", "hopeless")
	o.ada.post(path, "do", "retry", "id", "q2")
	if n := pgtest.Scalar[int](t, o.db, `SELECT count(*)::int FROM quarantine WHERE retry_at IS NOT NULL`); n != 1 {
		t.Errorf("%d are tried again", n)
	}
	o.ada.post(path, "do", "retry-all")
	o.ada.get(path).says(t, http.StatusOK, "waits to be tried again")
	if n := pgtest.Scalar[int](t, o.db, `SELECT count(*) FILTER (WHERE retry_at IS NOT NULL)::int * 10 + (SELECT count(*) FROM exclusion WHERE external_id = 'q1' AND by = 'ada')::int FROM quarantine`); n != 21 {
		t.Errorf("got %d", n)
	}
	o.ada.get(path).says(t, http.StatusOK, "Excluded", "/q1", "hopeless", "ada", "Include again")
	o.ada.get("/connections/files").says(t, http.StatusOK, "2 in quarantine, 1 excluded")
	o.ada.post(path, "do", "include", "id", "q1")
	if n := pgtest.Scalar[int](t, o.db, `SELECT count(*)::int FROM exclusion`); n != 0 || strings.Contains(o.ada.get(path).body, "hopeless") {
		t.Errorf("%d are excluded after the one was taken back", n)
	}
	if p := o.ada.post(path, "do", "eat", "id", "q2"); p.status != http.StatusBadRequest {
		t.Errorf("another button: %d", p.status)
	}
}

func TestRunPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	k := o.connected(t)
	run, _, err := o.store.RequestRun(t.Context(), store.RunRequest{ConnectionID: k.ID, Lane: store.Permissions, Kind: store.RunPermissions, Cause: "admin"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	path := "/runs/" + run.ID.String()
	o.db.MustExec(t, `INSERT INTO run_item (run_id, op, connection_id, external_id, path, reason)
		SELECT $1, 'hidden', $2, 'h' || n, '/h<i>' || n, 'it is gone' FROM generate_series(1, 101) n`, run.ID, k.ID)
	p := o.ada.get(path + "?op=hidden")
	p.says(t, http.StatusOK, "Permissions run of files", "waiting", "/h<i>100", "it is gone", "how long it takes is not known", "Cancel")
	more := regexp.MustCompile(`href="([^"]*after=[^"]*)"`).FindStringSubmatch(p.body)
	if more == nil || strings.Contains(p.text(), "/h<i>101") {
		t.Fatalf("no second page:\n%s", p.text())
	}
	o.ada.get(strings.ReplaceAll(more[1], "&amp;", "&")).says(t, http.StatusOK, "/h<i>101")
	if p := o.ada.get(path + "?op=eaten"); p.status != http.StatusBadRequest {
		t.Errorf("another op: %d", p.status)
	}
	for range 2 {
		if p := o.ada.post(path + "/cancel"); p.status != http.StatusSeeOther {
			t.Errorf("cancelling: %d", p.status)
		}
	}
	o.ada.get(path).says(t, http.StatusOK, "cancelled before anybody worked on it")
	if p := o.ada.get("/runs/" + uuid.NewString()); p.status != http.StatusNotFound {
		t.Errorf("another run: %d", p.status)
	}
	o.ada.get("/connections/files/runs?lane=permissions").has(t, `<a href="`+path+`">`)
}
