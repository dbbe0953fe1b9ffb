package web_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"tributary/internal/pgtest"
)

// TestWBRefusalsAtTheEnd: what the bound kept out of the audit log is counted there, by action, when the server ends, and
// once only.
func TestWBRefusalsAtTheEnd(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	stranger := o.browser()
	throttled := 0
	for range 150 { // of which sixty in a minute are recorded
		if p := stranger.get("/oauth/callback/" + o.reg.ID.String() + "?state=x&code=y"); p.status == http.StatusTooManyRequests {
			throttled++
		}
	}
	const recorded = `SELECT coalesce(sum((detail->>'not_recorded')::int), 0)::int FROM audit_event WHERE action = 'oauth.refused'`
	if before := pgtest.Scalar[int](t, o.db, recorded); throttled <= before {
		t.Fatalf("%d of 150 were throttled, and %d of them are counted already", throttled, before)
	}
	for range 2 {
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := o.web.Serve(ctx, listen(t), "", ""); err != nil {
			t.Fatal(err)
		}
	}
	if total := pgtest.Scalar[int](t, o.db, recorded); total != throttled {
		t.Errorf("%d were not recorded, and %d are counted", throttled, total)
	}
	last := pgtest.Scalar[string](t, o.db, `SELECT concat_ws(' ', actor_kind, actor, authenticated, action, outcome, detail->>'not_recorded') FROM audit_event ORDER BY id DESC LIMIT 1`)
	if !strings.HasPrefix(last, "system web t oauth.refused refused ") {
		t.Errorf("the last event is %q", last)
	}
}
