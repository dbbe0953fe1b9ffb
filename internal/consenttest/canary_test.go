package consenttest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tributary/internal/sandbox"
	"tributary/oauthflow"
	"tributary/oauthflow/vault"
	"tributary/store"
)

// echo answers requests for a path with what they carried, as a server does that is debugged in production.
func echo(path string, status int, media string) func(http.ResponseWriter, *http.Request, []byte) bool {
	return func(w http.ResponseWriter, r *http.Request, body []byte) bool {
		if !strings.HasPrefix(r.URL.Path, path) {
			return false
		}
		form, err := url.ParseQuery(string(body))
		if err != nil {
			form = url.Values{}
		}
		_, basic, _ := r.BasicAuth()
		said := fmt.Sprintf("%s %s %s %s %s %s %s", body, r.Header.Get("Authorization"), basic, form.Get("code"), form.Get("refresh_token"), form.Get("token"), form.Get("code_verifier"))
		w.Header().Set("Content-Type", media)
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token", error_description="`+r.Header.Get("Authorization")+`"`)
		w.WriteHeader(status)
		switch media {
		case "application/json":
			fmt.Fprintf(w, `{"error":"server_error","error_description":%q,"error_uri":"https://localhost/?%s","message":%q}`, said, url.Values{"d": {said}}.Encode(), said)
		default:
			fmt.Fprintf(w, "<!doctype html><title>Trace</title><pre>%s</pre>", said)
		}
		return true
	}
}

const (
	asJSON = "application/json"
	asHTML = "text/html; charset=utf-8"
)

// TestOA shows rows that hold for the whole program.
func TestOA(t *testing.T) {
	t.Parallel()
	t.Run("OA-15 no token, code, client secret, state or verifier is found anywhere", testCanary)
}

func testCanary(t *testing.T) {
	t.Parallel()
	s := newScene(t, 20)
	s.registerByPages()
	for i, front := range []func(http.ResponseWriter, *http.Request, []byte) bool{
		echo(tokenPath, 500, asHTML), echo(tokenPath, 400, asJSON), echo(tokenPath, 401, asJSON), echo(tokenPath, 403, asHTML),
		echo(tokenPath, 200, asHTML), echo(tokenPath, 200, asJSON), echo(tokenPath, 302, asHTML),
		echo("/oauth/userinfo", 500, asHTML), echo("/oauth/userinfo", 401, asJSON), echo("/oauth/userinfo", 200, asJSON),
	} {
		s.drive.setFront(front)
		if a := s.through(s.begin(fmt.Sprintf("broken-%d", i))); strings.Contains(a.body, "<h1>Connected</h1>") {
			t.Errorf("consent %d ended well", i)
		}
	}
	s.drive.setFront(nil)
	s.drive.Faults().Next(sandbox.TokenTruncated, 1)
	s.through(s.begin("truncated"))
	if a := s.through(s.begin("files")); a.status != http.StatusOK {
		t.Fatalf("connecting: %d\n%s", a.status, a.body)
	}
	s.must(store.Content)
	s.must(store.Permissions)
	grant := *s.connection().GrantID
	s.useBadly(grant.String())
	if _, err := vault.Rotate(t.Context(), s.ring, s.store, nil); err != nil {
		t.Fatal(err)
	}
	s.must(store.Content)
	pages := s.crawl()
	s.refuseTwice()
	s.again(grant.String())
	s.wantState(grant, oauthflow.GrantActive, store.StateActive)
	s.loseRefresh(grant.String())
	pages += s.crawl()
	s.drive.setFront(echo("/oauth/revoke", 503, asJSON))
	s.post("/connections/files/disconnect", "confirm", "files")
	s.tell(s.grants.Tend(t.Context()))
	pages += s.crawl()
	s.drive.setFront(nil)

	kinds := map[string]int{}
	for name := range s.drive.known() {
		kinds[strings.TrimRight(name, " 0123456789")]++
	}
	for _, want := range []string{"access token", "refresh token", "client secret", "code", "state", "verifier"} {
		if kinds[want] == 0 {
			t.Errorf("no %s passed", want)
		}
	}
	if hits := s.find(); len(hits) > 0 {
		t.Errorf("%d secrets are found:\n%s", len(hits), strings.Join(hits, "\n"))
	}
	t.Logf("%v passed; %d bytes of log, %d pages and %d bytes of what was told looked through", kinds, len(s.log.String()), pages, len(s.kept.String()))
	s.wantFound()
}

// registerByPages makes a registration in the pages, at first with a wrong secret, while the provider echoes.
func (s *scene) registerByPages() {
	s.t.Helper()
	a := s.post("/registrations", "provider", "sandbox", "name", "bypages", "base_url", s.drive.url, "private", "yes")
	r, err := s.store.RegistrationNamed(s.t.Context(), "bypages")
	if err != nil || r == nil {
		s.t.Fatalf("registering: %d\n%s", a.status, a.body)
	}
	id, value, err := s.drive.Register(r.RedirectURI)
	if err != nil {
		s.t.Fatal(err)
	}
	path := "/registrations/" + r.ID.String()
	s.drive.setFront(echo(tokenPath, 401, asJSON))
	s.post(path+"/save", "client_id", id, "secret", "wrong-"+value, "digest", r.Digest)
	s.drive.setFront(echo(tokenPath, 500, asHTML))
	s.post(path+"/save", "client_id", id, "secret", value, "digest", r.Digest)
	s.drive.setFront(nil)
	if a := s.post(path+"/save", "client_id", id, "secret", value, "digest", r.Digest); a.status != http.StatusOK {
		s.t.Fatalf("saving: %d\n%s", a.status, a.body)
	}
	if s.reg, err = s.store.RegistrationNamed(s.t.Context(), "bypages"); err != nil {
		s.t.Fatal(err)
	}
	s.clientID, s.secret = id, value
	s.get(path)
}

// useBadly refreshes and checks a grant while the provider fails and echoes.
func (s *scene) useBadly(grant string) {
	s.t.Helper()
	for _, front := range []func(http.ResponseWriter, *http.Request, []byte) bool{
		echo(tokenPath, 500, asHTML), echo(tokenPath, 503, asJSON), echo(tokenPath, 400, asJSON), echo(tokenPath, 429, asHTML),
	} {
		s.drive.setFront(front)
		s.post("/grants/" + grant + "/refresh")
		s.get("/grants/" + grant)
		_, err := s.keeper.Refresh(s.t.Context(), *s.connection().GrantID)
		s.tell(err)
		s.drive.setFront(nil)
		s.db.MustExec(s.t, `UPDATE outbound_limit SET state = 'closed', failures = 0, blocked_until = NULL, probe_until = NULL`)
		s.again(grant) // ends the doubt whether the token was used up
	}
	for _, front := range []func(http.ResponseWriter, *http.Request, []byte) bool{echo("/oauth/userinfo", 500, asHTML), echo("/oauth/userinfo", 403, asJSON)} {
		s.drive.setFront(front)
		s.post("/grants/" + grant + "/check")
	}
	s.drive.setFront(echo("/api/", 500, asHTML))
	run, _, err := s.runner.Request(s.t.Context(), s.connection(), store.Content, "test", false)
	s.tell(err)
	s.tell(s.slice(run))
	s.drive.setFront(nil)
	s.post("/grants/" + grant + "/refresh")
	s.post("/grants/" + grant + "/check")
	if _, err = s.runner.RunHere(s.t.Context(), run.ID, nil); err != nil {
		s.t.Fatal(err)
	}
}

// again renews a grant in the pages.
func (s *scene) again(grant string) {
	s.t.Helper()
	if a := s.through(s.post("/grants/" + grant + "/grant-again")); a.status != http.StatusOK {
		s.t.Fatalf("granting again: %d\n%s", a.status, a.body)
	}
}

// slice works on a run until it waits for its next try.
func (s *scene) slice(run store.Run) error {
	s.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := s.runner.RunHere(s.t.Context(), run.ID, func(r store.Run) {
			if r.Error != "" {
				s.drive.setFront(nil)
			}
		})
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(time.Minute):
		return errors.New("the run does not end")
	}
}

// refuseTwice lets the API refuse a token and the one after it, with an echo. The
// provider stands by the grant, so that the run failed and the grant lives.
func (s *scene) refuseTwice() {
	s.t.Helper()
	s.drive.setFront(echo("/api/", 401, asJSON))
	run := s.sync(store.Content)
	s.drive.setFront(nil)
	if run.State != store.RunFailed || s.connection().State != store.StateDegraded {
		s.t.Errorf("after two refused tokens the run ended %s, the connection is %s", run.State, s.connection().State)
	}
	fmt.Fprintf(&s.kept, "%+v\n", run)
}

// loseRefresh lets an answer with new tokens be lost.
func (s *scene) loseRefresh(grant string) {
	s.t.Helper()
	s.drive.Faults().Next(sandbox.TokenTruncated, 1)
	s.post("/grants/" + grant + "/refresh")
	_, err := s.keeper.Refresh(s.t.Context(), *s.connection().GrantID)
	s.tell(err)
}

// wantFound puts a secret into each place that was looked through, and fails unless it is found there.
func (s *scene) wantFound() {
	s.t.Helper()
	var token string
	for name, value := range s.drive.known() {
		if strings.HasPrefix(name, "refresh token") {
			token = value
		}
	}
	log := slog.New(slog.NewTextHandler(s.log, nil))
	for place, leak := range map[string]func(){
		"log:":             func() { log.Info("refreshing", "request", "grant_type=refresh_token&refresh_token="+token) },
		"told:":            func() { s.tell(errors.New("the server said " + url.QueryEscape(token))) },
		"linked:":          func() { fmt.Fprint(&s.linked, token) },
		"river.river_job ": func() { s.db.MustExec(s.t, leakIntoJob, token) },
		"audit_event ":     func() { s.db.MustExec(s.t, leakIntoAudit, token) },
	} {
		leak()
		found := false
		for _, hit := range s.find() {
			found = found || strings.Contains(hit, place) && strings.Contains(hit, "refresh token")
		}
		if !found {
			s.t.Errorf("a token in %s is not found", place)
		}
	}
}

const (
	leakIntoJob   = `INSERT INTO river.river_job (args, kind, max_attempts, state) VALUES (jsonb_build_object('token', $1::text), 'k', 1, 'available')`
	leakIntoAudit = `INSERT INTO audit_event (actor_kind, actor, authenticated, action, outcome, detail) VALUES ('cli', 'x', false, 'a.b', 'ok', jsonb_build_object('k', $1::text))`
)
