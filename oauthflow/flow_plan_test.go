package oauthflow_test

import (
	"slices"
	"testing"

	"tributary/internal/pgtest"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
)

// TestPlanThatNeedsNothing: a connection that is granted again asks for what it needs by then; only where nobody says what
// that is it is what it needed before.
func TestPlanThatNeedsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, oauthtest.Generic(), "", nil)
	made := r.connect(t, plan("a", "files.read", "groups.read"))
	needed := func() []string {
		return pgtest.Scalar[[]string](t, r.db, `SELECT needed_scopes FROM connection WHERE name = 'a'`)
	}
	for _, step := range []struct {
		plan, want []string
	}{
		{nil, []string{"files.read", "groups.read"}}, {[]string{"files.read"}, []string{"files.read"}}, {nil, []string{"files.read"}}, {[]string{}, []string{}}, {nil, []string{}},
	} {
		p := oauthflow.Plan{Connection: made.Connection, Name: "a", Source: "fake", Needed: step.plan}
		started, err := r.flows.Start(t.Context(), oauthflow.StartParams{Registration: r.reg.ID, By: r.by, Plan: p})
		if err != nil || !slices.Equal(started.Scopes, step.want) {
			t.Fatalf("%q asks for %q: %v", step.plan, started.Scopes, err)
		}
		if _, err := r.back(t, r.server.Browser(started.AuthorizationURL)); err != nil {
			t.Fatal(err)
		}
		if got := needed(); !slices.Equal(got, step.want) {
			t.Errorf("%q: it needs %q, want %q", step.plan, got, step.want)
		}
	}
}
