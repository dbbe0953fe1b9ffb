package oauthflow_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"tributary/internal/audit"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// testSameAccount: another grant of the same account in use keeps the provider from being asked, also where a
// revocation would end one token only.
func testSameAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	a, b := r.connect(t, plan("a")), r.connect(t, plan("b"))
	before := r.server.Count("revoke")
	out, err := r.grants.Disconnect(t.Context(), r.by, a.Connection)
	if err != nil || !out.Detached || !out.Done || out.Revoked || !slices.Equal(out.Others, []string{"b"}) || !strings.Contains(out.Note, "another grant of the same account is in use, by b") {
		t.Errorf("got %+v, %v", out, err)
	}
	if n := r.server.Count("revoke") - before; n != 0 {
		t.Errorf("%d revocations", n)
	}
	if g, err := r.store.GrantByID(t.Context(), a.Grant); err != nil || g.ClosedAt == nil || r.stored(t) != 1 {
		t.Errorf("got %+v, %v; %d pairs stored, want that of b", g, err, r.stored(t))
	}
	if !r.server.Alive(r.pair(t, b.Grant).Refresh.Reveal()) || r.state(t, "b") != "active" {
		t.Error("the other connection was harmed")
	}
	r.server.Set(func(b *oauthtest.Behaviour) { b.Subject = "user-2" })
	c := r.connect(t, plan("c"))
	if out, err = r.grants.Disconnect(t.Context(), r.by, c.Connection); err != nil || out.Detached || !out.Revoked {
		t.Errorf("another account: %+v, %v", out, err)
	}
	if out, err = r.grants.Disconnect(t.Context(), r.by, b.Connection); err != nil || out.Detached || !out.Revoked {
		t.Errorf("the last: %+v, %v", out, err)
	}
}

// testConsentMeanwhile: no consent is stored whose tokens a revocation of the whole account may have ended, and none
// that is stored is ended by one.
func testConsentMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Google(), "google", nil)
	first := r.connect(t, plan("a"))
	late := r.start(t, plan("late"))
	var inside error
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, _ http.ResponseWriter, _ *http.Request) bool {
			if endpoint == "revoke" && inside == nil { // the consent ends before the provider acts on the revocation
				_, inside = r.back(t, late)
			}
			return false
		}
	})
	if out, err := r.grants.Disconnect(t.Context(), r.by, first.Connection); err != nil || !out.Revoked {
		t.Fatalf("got %+v, %v", out, err)
	}
	e := flowRefused(t, inside, oauthflow.FlowClosing)
	if !strings.Contains(e.Remedy, "Start the connection again") {
		t.Errorf("got %+v", e)
	}
	r.server.Set(func(b *oauthtest.Behaviour) { b.Before = nil })
	again := r.connect(t, plan("again"))
	if !r.server.Alive(r.pair(t, again.Grant).Access.Reveal()) {
		t.Error("the tokens of the next consent are dead")
	}

	// The whole revocation passes between the answers of the provider and the storing of what they gave.
	between := r.start(t, plan("between"))
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.Before = func(endpoint string, w http.ResponseWriter, _ *http.Request) bool {
			if endpoint != "userinfo" {
				return false
			}
			r.server.Set(func(b *oauthtest.Behaviour) { b.Before = nil })
			if out, err := r.grants.Disconnect(t.Context(), r.by, again.Connection); err != nil || !out.Revoked {
				t.Errorf("got %+v, %v", out, err)
			}
			_, _ = w.Write([]byte(`{"sub":"108","email":"ada@example.com"}`))
			return true
		}
	})
	_, err := r.back(t, between)
	flowRefused(t, err, oauthflow.FlowClosing)
	if last := r.connect(t, plan("last")); !r.server.Alive(r.pair(t, last.Grant).Access.Reveal()) {
		t.Error("the tokens of the next consent are dead")
	}
}

// testConsentBeforeRevoking: a consent that was stored while the grant was closing keeps the provider from being asked.
func testConsentBeforeRevoking(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Google(), "google", nil)
	first := r.connect(t, plan("a"))
	if _, err := r.store.LeaveGrant(t.Context(), first.Connection, leaving()); err != nil {
		t.Fatal(err)
	}
	next := r.connect(t, plan("b"))
	if next.Grant == first.Grant {
		t.Fatal("a grant that is closing was renewed")
	}
	out, err := r.grants.CloseGrant(t.Context(), first.Grant)
	if err != nil || out.Revoked || !out.Done || r.server.Count("revoke") != 0 || !r.server.Alive(r.pair(t, next.Grant).Access.Reveal()) {
		t.Errorf("got %+v, %v, %d revocations", out, err, r.server.Count("revoke"))
	}
}

// leaving is the event of a connection that leaves.
func leaving() audit.Event {
	return audit.Event{Actor: audit.Actor{Kind: audit.System, Name: "test"}, Action: "connection.disconnect", Outcome: audit.OK}
}

// testResources: one resource in each request, a grant for each, and no token for one at another's endpoint.
func testResources(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", func(m map[string]any) { m["grant_per"] = "account" })
	claims := func(aud any) map[string]any {
		return map[string]any{"iss": r.server.URL, "aud": aud, "sub": "user-1", "email": "ada@example.com"}
	}
	r.server.Set(func(b *oauthtest.Behaviour) { b.IDToken = claims(r.server.ClientID) })
	at := func(name, resource string) oauthflow.Plan {
		p := plan(name, "files.read")
		p.Resource = resource
		return p
	}
	a, b := r.connect(t, at("a", "https://a.example.com")), r.connect(t, at("b", "https://b.example.com"))
	if a.Grant == b.Grant || a.Subject != "user-1" || a.Account != "ada@example.com" || r.server.Count("userinfo") != 0 {
		t.Errorf("got %+v and %+v, %d requests for the account", a, b, r.server.Count("userinfo"))
	}
	if _, err := r.client.Refresh(t.Context(), r.oauthClient(), r.pair(t, a.Grant).Refresh, nil, oauthflow.GrantParams{Resource: "https://a.example.com"}, nil); err != nil {
		t.Fatal(err)
	}
	renewed, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: a.Grant}))
	if err != nil || renewed.Grant != a.Grant {
		t.Fatalf("got %+v, %v", renewed, err)
	}
	var seen []string
	for _, q := range slices.Concat(r.server.Log("authorize"), r.server.Log("token")[2:]) {
		seen = append(seen, q.Form["resource"])
	}
	want := []string{"https://a.example.com", "https://b.example.com", "https://a.example.com", "https://a.example.com", "https://b.example.com", "https://a.example.com", "https://a.example.com"}
	if !slices.Equal(seen, want) {
		t.Errorf("resources %v, want %v", seen, want)
	}
	other, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: a.Grant, Plan: at("c", "https://c.example.com")}))
	if err != nil || other.Grant == a.Grant {
		t.Errorf("a renewal for another resource: %+v, %v", other, err)
	}
	for name, id := range map[string]map[string]any{
		"another client": claims("someone-else"), "two clients": claims([]string{r.server.ClientID, "someone-else"}), "no client": claims(nil),
		"another issuer": {"iss": "https://evil.example", "aud": r.server.ClientID, "sub": "user-1"}, "nobody": {"iss": r.server.URL, "aud": r.server.ClientID},
	} {
		r.server.Set(func(b *oauthtest.Behaviour) { b.IDToken = id })
		if _, err := r.back(t, r.startWith(t, oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Plan: at("x", "https://x.example.com")})); err == nil {
			t.Errorf("an id_token for %s: accepted", name)
		}
	}
}
