package oauthflow_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tributary/internal/httpx"
	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// testGiteaFirstScopes: a consent to which the server silently gives the scopes of an earlier one names what is missing;
// after the access was removed there, it has everything.
func testGiteaFirstScopes(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Gitea(), "gitea", nil)
	first := r.connect(t, plan("a"))
	if !slices.Equal(first.Granted, []string{"read:user"}) || len(first.Missing) > 0 || !r.stated(t) || r.state(t, "a") != "active" {
		t.Fatalf("the first consent: %+v, stated %t, %s", first, r.stated(t), r.state(t, "a"))
	}
	second := r.connect(t, plan("b", "read:repository", "read:issue"))
	if want := []string{"read:repository", "read:issue"}; !slices.Equal(second.Missing, want) || !slices.Equal(second.Degraded["b"], want) || !r.stated(t) {
		t.Errorf("the second consent: %+v, stated %t", second, r.stated(t))
	}
	manage := r.reg.Profile.Revocation.ManageURL
	reason := pgtest.Scalar[string](t, r.db, `SELECT state_reason FROM connection WHERE name = 'b'`)
	if r.state(t, "b") != "degraded" || manage == "" || !strings.Contains(reason, "read:repository, read:issue; remove the access of the application at "+manage+" first") {
		t.Errorf("b is %s: %q", r.state(t, "b"), reason)
	}
	r.server.Forget("7")
	third, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: second.Grant}))
	if err != nil || len(third.Missing) > 0 || r.state(t, "b") != "active" {
		t.Errorf("after the access was removed: %+v, %v, b is %s", third, err, r.state(t, "b"))
	}
	requests := r.server.Log("introspect")
	if len(requests) != 3 || requests[2].Status != http.StatusOK || requests[2].Token != oauthtest.Digest(r.pair(t, second.Grant).Access.Reveal()) {
		t.Errorf("one question for each consent, about its access token: %+v", requests)
	}
}

// stated reports whether the provider said what it granted.
func (r *rig) stated(t *testing.T) bool {
	t.Helper()
	return pgtest.Scalar[bool](t, r.db, `SELECT bool_and(scopes_stated) FROM oauth_grant`)
}

// TestIntrospectionFails: whatever the introspection does, the consent stands, what was asked for counts as granted, and
// nothing that is kept holds a token.
func TestIntrospectionFails(t *testing.T) {
	t.Parallel()
	const good = `{"active":true,"scope":"other"}`
	say := func(status int, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	var followed atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		followed.Add(1)
		say(http.StatusOK, good)(w, q)
	}))
	t.Cleanup(elsewhere.Close)
	r := newRig(t, oauthtest.Gitea(), "gitea", nil)
	patient := oauthflow.NewTokenClient(oauthflow.TokenClientConfig{LoopbackHTTP: true, Limits: httpx.Limits{Body: 4 * oauthflow.MaxAnswer}})
	n := 0
	for name, serve := range map[string]func(http.ResponseWriter, *http.Request){
		"not active": say(http.StatusOK, `{"active":false,"scope":"other"}`), "active is a text": say(http.StatusOK, `{"active":"true","scope":"other"}`),
		"active is missing": say(http.StatusOK, `{"scope":"other"}`), "no scope": say(http.StatusOK, `{"active":true}`), "an empty scope": say(http.StatusOK, `{"active":true,"scope":" "}`),
		"a list of scopes": say(http.StatusOK, `{"active":true,"scope":["other"]}`), "nothing": say(http.StatusOK, ""), "a page": say(http.StatusOK, "<html>"), "null": say(http.StatusOK, "null"),
		"a name twice": say(http.StatusOK, `{"active":true,"scope":"other","scope":"all"}`), "two objects": say(http.StatusOK, good+good),
		"too long":        say(http.StatusOK, `{"active":true,"scope":"other","x":"`+strings.Repeat("x", oauthflow.MaxAnswer)+`"}`),
		"too long behind": say(http.StatusOK, good+strings.Repeat(" ", oauthflow.MaxAnswer)),
		"too deep":        say(http.StatusOK, `{"active":true,"scope":"other","x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`}`),
		"no scopes":       say(http.StatusOK, `{"active":true,"scope":"\u0007 `+strings.Repeat("y", 300)+`"}`),
		"another 2xx":     say(http.StatusAccepted, good), "400": say(http.StatusBadRequest, good), "401": say(http.StatusUnauthorized, good), "404": say(http.StatusNotFound, good),
		"429": say(http.StatusTooManyRequests, good), "500": say(http.StatusInternalServerError, good), "503": say(http.StatusServiceUnavailable, good),
		"a redirect": func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, elsewhere.URL, http.StatusTemporaryRedirect)
		},
		"the token comes back": func(w http.ResponseWriter, q *http.Request) {
			say(http.StatusBadRequest, `{"error":"`+q.PostFormValue("token")+`","error_description":"`+q.PostFormValue("token")+`"}`)(w, q)
		},
		"the connection breaks": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		n++
		before := r.server.Count("introspect")
		r.server.Set(func(b *oauthtest.Behaviour) {
			b.Subject, b.Before = fmt.Sprint("user-", n), func(endpoint string, w http.ResponseWriter, q *http.Request) bool {
				if endpoint == "introspect" {
					serve(w, q)
				}
				return endpoint == "introspect"
			}
		})
		connection := fmt.Sprint("c-", n)
		res := r.connect(t, plan(connection, "read:repository"))
		if !slices.Contains(res.Granted, "read:repository") || slices.Contains(res.Granted, "other") || len(res.Missing) > 0 || r.state(t, connection) != "active" {
			t.Errorf("%s: %+v, %s", name, res, r.state(t, connection))
		}
		if pgtest.Scalar[bool](t, r.db, `SELECT scopes_stated FROM oauth_grant WHERE id = $1`, res.Grant) {
			t.Errorf("%s: counts as stated", name)
		}
		if asked := r.server.Count("introspect") - before; asked != 1 {
			t.Errorf("%s: asked %d times", name, asked)
		}
		access := r.pair(t, res.Grant).Access
		if kept := pgtest.Scalar[string](t, r.db, `SELECT (SELECT string_agg(x::text, ' ') FROM audit_event x) || (SELECT string_agg(g::text, ' ') FROM oauth_grant g)`); strings.Contains(kept, access.Reveal()) {
			t.Errorf("%s: the token is kept", name)
		}
		_, err := patient.Introspect(t.Context(), r.oauthClient(), access)
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), access.Reveal()) || strings.Contains(fmt.Sprintf("%+v", err), r.server.ClientSecret) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
	if followed.Load() > 0 {
		t.Errorf("%d redirects were followed with a secret", followed.Load())
	}
}

// TestIntrospectionHangs: an endpoint that does not answer, or not on a host of the profile, is given up on.
func TestIntrospectionHangs(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Gitea(), "gitea", nil)
	access := r.pair(t, r.connect(t, plan("a")).Grant).Access
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, _ http.ResponseWriter, q *http.Request) bool {
			_ = q.ParseForm()
			<-q.Context().Done()
			return true
		}
	})
	hasty := oauthflow.NewTokenClient(oauthflow.TokenClientConfig{
		LoopbackHTTP: true, Limits: httpx.Limits{Header: 200 * time.Millisecond, Idle: 200 * time.Millisecond, Total: 300 * time.Millisecond},
	})
	for name, ask := range map[string]func() error{
		"the limits of the client": func() error {
			_, err := hasty.Introspect(t.Context(), r.oauthClient(), access)
			return err
		},
		"the caller's": func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_, err := r.client.Introspect(ctx, r.oauthClient(), access)
			return err
		},
	} {
		began := time.Now()
		if err := ask(); err == nil || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %s", name, err, time.Since(began))
		}
	}
}

// TestIntrospectionAsked: an answer with scopes is believed, and a provider without the endpoint is not asked.
func TestIntrospectionAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.server.Set(func(b *oauthtest.Behaviour) { b.Unticked = []string{"groups.read"} })
	if res := r.connect(t, plan("a", "files.read", "groups.read")); !slices.Equal(res.Missing, []string{"groups.read"}) || r.server.Count("introspect") != 0 {
		t.Errorf("%+v, asked %d times", res, r.server.Count("introspect"))
	}
	r.server.Set(func(b *oauthtest.Behaviour) { b.NoScope, b.Subject = true, "user-2" })
	if res := r.connect(t, plan("b", "files.read", "groups.read")); !slices.Equal(res.Missing, []string{"groups.read"}) || r.server.Count("introspect") != 1 {
		t.Errorf("%+v, asked %d times", res, r.server.Count("introspect"))
	}
	silent := oauthtest.Generic()
	silent.NoScope = true
	other := newRig(t, silent, "", func(m map[string]any) {
		m["endpoints"].(map[string]any)["introspect"] = ""
	})
	if res := other.connect(t, plan("a", "files.read")); len(res.Missing) > 0 || other.stated(t) || other.server.Count("introspect") != 0 {
		t.Errorf("without the endpoint: %+v", res)
	}
	public := r.oauthClient()
	profile, registration := *public.Registration.Profile, *public.Registration
	profile.ClientAuth, registration.Profile, public.Registration = oauthflow.AuthNone, &profile, &registration
	if _, err := r.client.Introspect(t.Context(), public, secret.New("token")); err == nil || r.server.Count("introspect") != 1 {
		t.Errorf("a public client: %v, asked %d times", err, r.server.Count("introspect"))
	}
}

// TestRemoveFirst: only where an account has one grant that nobody else can end is its removal the first step.
func TestRemoveFirst(t *testing.T) {
	t.Parallel()
	all, err := oauthflow.Shipped()
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range all {
		if got := p.RemoveFirst(); (got != "") != (name == "gitea") {
			t.Errorf("%s: %q", name, got)
		}
	}
	each := *all["gitea"]
	if each.GrantPer = oauthflow.PerConsent; each.RemoveFirst() != "" {
		t.Error("a grant of each consent needs no removal")
	}
}
