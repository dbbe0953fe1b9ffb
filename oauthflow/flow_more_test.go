package oauthflow_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/internal/pgtest"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

func testTicket(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	r.db.SetClock(t, time.Now())
	cli := oauthflow.By{}
	cli.Actor.Kind, cli.Actor.Name = "cli", "root@host"
	link := func() secret.Text {
		l, _, err := r.flows.MakeTicket(t.Context(), oauthflow.StartParams{Registration: r.reg.ID, By: cli, Plan: plan("a", "files.read")})
		if err != nil {
			t.Fatal(err)
		}
		ticket, ok := strings.CutPrefix(l.Reveal(), publicURL+"/connect/")
		if !ok || len(ticket) < 43 {
			t.Fatalf("link %q", l.Reveal())
		}
		return secret.New(ticket)
	}
	ticket := link()
	look, err := r.flows.LookTicket(t.Context(), ticket)
	if err != nil || look.RequestedBy != "root@host" || look.Plan.Name != "a" {
		t.Errorf("got %+v, %v", look, err)
	}
	_, err = r.flows.RedeemTicket(t.Context(), ticket, oauthflow.By{}, "")
	flowRefused(t, err, oauthflow.FlowOtherSession)
	started, err := r.flows.RedeemTicket(t.Context(), ticket, r.by, "/grants")
	if err != nil {
		t.Fatal(err)
	}
	if res, err := r.back(t, r.server.Browser(started.AuthorizationURL)); err != nil || res.Name != "a" || res.ReturnTo != "/grants" {
		t.Errorf("got %+v, %v", res, err)
	}
	_, err = r.flows.RedeemTicket(t.Context(), ticket, r.by, "")
	flowRefused(t, err, oauthflow.FlowTicket)
	_, err = r.flows.LookTicket(t.Context(), ticket)
	flowRefused(t, err, oauthflow.FlowTicket)
	r.db.MustExec(t, `DELETE FROM schedule; DELETE FROM connection`)
	old := link()
	r.db.Advance(t, oauthflow.TicketLife)
	_, err = r.flows.RedeemTicket(t.Context(), old, r.by, "")
	flowRefused(t, err, oauthflow.FlowTicket)
	if r.audited(t, "oauth.ticket") != 2 {
		t.Error("tickets are not audited")
	}
}

// TestCallbackGone: a browser that goes away does not lose the grant that the code gave.
func TestCallbackGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	to := r.start(t, plan("a"))
	ctx, cancel := context.WithCancel(t.Context())
	r.server.Set(func(b *oauthtest.Behaviour) {
		b.After = func(http.ResponseWriter, *http.Request) bool { cancel(); return false }
	})
	if _, err := r.flows.Callback(ctx, r.reg.ID.String(), to.RawQuery, r.by); err != nil {
		t.Fatal(err)
	}
	if r.state(t, "a") != "active" {
		t.Error("no connection")
	}
}

// TestOtherAccount: a renewal by another account of the provider changes nothing until the admin confirms it.
func TestOtherAccount(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	first := r.connect(t, plan("a"))
	r.server.Set(func(b *oauthtest.Behaviour) { b.Subject, b.Account = "user-2", "Bob" })
	renew := oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Grant: first.Grant}
	_, err := r.back(t, r.startWith(t, renew))
	if e := flowRefused(t, err, oauthflow.FlowOtherAccount); !strings.Contains(e.Sent, "Ada") || !strings.Contains(e.Came, "Bob") || e.Grant != first.Grant.String() {
		t.Errorf("got %+v", e)
	}
	if !r.server.Alive(r.pair(t, first.Grant).Refresh.Reveal()) {
		t.Error("the grant that stands was harmed")
	}
	if n := r.server.Count("revoke"); n == 0 {
		t.Error("the other account's tokens were kept")
	}
	renew.Plan.OtherAccount = true
	res, err := r.back(t, r.startWith(t, renew))
	if err != nil || res.Grant == first.Grant || res.Account != "Bob" {
		t.Fatalf("confirmed: %+v, %v", res, err)
	}
	if got := pgtest.Scalar[uuid.UUID](t, r.db, `SELECT grant_id FROM connection`); got != res.Grant {
		t.Error("the connection did not move")
	}
}

// TestPlanRefused: what cannot be made is said before the provider is asked, and where it changes meanwhile afterwards.
func TestPlanRefused(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	to := r.start(t, plan("a"))
	r.connect(t, plan("a"))
	_, err := r.back(t, to)
	flowRefused(t, err, oauthflow.FlowPlan)
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM oauth_grant`); n != 1 {
		t.Errorf("%d grants", n)
	}
	for _, p := range []oauthflow.Plan{plan("a"), plan("Not a name"), {Name: "b"}, {Connection: uuid.New()}} {
		_, err := r.flows.Start(t.Context(), oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Plan: p})
		flowRefused(t, err, oauthflow.FlowPlan)
	}
	_, err = r.flows.Start(t.Context(), oauthflow.StartParams{Registration: uuid.New(), By: r.by})
	flowRefused(t, err, oauthflow.FlowNoRegistration)
	if _, ok := errors.AsType[*oauthflow.FlowError](err); !ok {
		t.Error(err)
	}
}
