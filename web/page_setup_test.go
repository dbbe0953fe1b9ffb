package web_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/jobs"
	"tributary/oauthflow"
	"tributary/oauthflow/oauthtest"
	"tributary/store"
)

// unfinished fails unless the connection waits for its first sync: nothing asked for, nothing due, and its page leads on
// to the page that leads says.
func (o *oauthRig) unfinished(t *testing.T, name, leads string) {
	t.Helper()
	k, err := o.store.Connection(t.Context(), name)
	if err != nil || !k.SettingUp() {
		t.Fatalf("the connection is %s (%s), %v", k.State, k.StateReason, err)
	}
	o.db.MustExec(t, `UPDATE schedule SET next_run_at = clock() - interval '1 minute'`)
	due, err := o.store.ClaimDue(t.Context(), 10, func(store.Due) store.RunKind { return store.RunSnapshot }, func(context.Context, pgx.Tx, []store.Started) error { return nil })
	runs := pgtest.Scalar[int](t, o.db, `SELECT count(*) FROM sync_run`)
	if err != nil || due != 0 || runs != 0 || len(o.syncer.orders) != 0 {
		t.Fatalf("%d schedules are due, %d runs, orders %v, %v", due, runs, o.syncer.orders, err)
	}
	p := o.ada.get("/connections/" + name)
	p.says(t, http.StatusOK, "Its set-up is not finished: nothing is synced yet.", "The first begins when the set-up is finished.")
	if strings.Contains(p.text(), "Resume") || strings.Contains(p.text(), "Sync now") {
		t.Fatal("the page offers a sync before the plan was seen")
	}
	p.has(t, `<a class="button" href="`+leads+`">Go on with the set-up</a>`, `<a href="`+leads+`">Go on</a>`)
	o.ada.follow(t, p, "Go on with the set-up").says(t, http.StatusOK, "Step")
}

// A folder: connect, plan, schedule, first sync, each left and come back to. Nothing is synced before the last step.
func TestSetupOfFolder(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	inside, _ := mkdirs(t)
	o.allow(inside)
	for i := range o.parts.Sources { // nothing to choose: a step less
		o.parts.Sources[i].Provides = nil
	}
	o.ada.get("/connect?source=folder").says(t, http.StatusOK, "Step 1 of 4", "Connect Plan Schedule First sync")
	p := o.ada.post("/connect", "source", "folder", "name", "docs", "set.path", inside, "set.permissions", "fixed", "set.readers", "anyone", "set.max_file_size", "1MB")
	if p.location() != "/connections/docs/plan?done=set-up" {
		t.Fatalf("connecting leads to %q\n%s", p.location(), p.text())
	}
	o.planner.plan = samplePlan()
	p = o.ada.get(p.location())
	p.says(t, http.StatusOK, "The source is connected. Nothing is synced before the last step.", "Step 2 of 4", "What the first sync would do",
		"Documents to add 1,234 at most: what has no text is told when it is opened", "Size to read about 4.2 MB (3.8 MB to 4.6 MB)", "estimated from 20 documents that were opened",
		"Tokens to embed about 90,000 (80,000 to 100,000)", "with small, by text-embedding-3-small",
		"Who will be able to read this", "30 documents are public: every reader finds them.", "1 document is for everybody in the organisation.",
		"4 documents have permissions that could not be read: nobody finds them.", "12 people of the source may read some of them.", "2 readers are linked to them",
		"Bea person 40", "Staff group of 9 1,000", "/a/<b>.md add", "could not be listed: vault (no access)", "tributary plan docs", "POST /v1/admin/connections/docs/plan")
	p.has(t, `<span aria-current="step">Plan</span>`, `<a href="/connections/docs/schedule">Schedule</a>`)
	if strings.Contains(p.body, "aria-label=\"Pages of this connection\"") {
		t.Error("a step shows the tabs of a connection that is set up")
	}
	o.unfinished(t, "docs", "/connections/docs/plan")

	p = o.ada.follow(t, p, "Go on to the schedule")
	p.says(t, http.StatusOK, "Step 3 of 4", "These are the defaults", "Save and go on")
	p.has(t, `value="15m"`, `value="5m"`, `<span aria-current="step">Schedule</span>`)
	o.unfinished(t, "docs", "/connections/docs/plan")
	p = o.ada.post("/connections/docs/schedule", "content", "1h", "permissions", "5m", "reconcile", "7d", "zone", "UTC", "quiet", "")
	if p.location() != "/connections/docs/start?done=step" {
		t.Fatalf("saving the schedule leads to %q\n%s", p.location(), p.text())
	}
	p = o.ada.get(p.location())
	p.says(t, http.StatusOK, "That is saved.", "Step 4 of 4", "Start the first sync", "every 1h", "every 5m", "tributary connections resume docs")
	o.unfinished(t, "docs", "/connections/docs/plan")

	for range 2 { // the button pressed twice starts one sync
		p = o.ada.post("/connections/docs/start")
	}
	if p.location() != "/connections/docs" || !slices.Equal(o.syncer.orders, []string{"docs content admin", "docs permissions admin"}) {
		t.Fatalf("starting leads to %q, orders %v", p.location(), o.syncer.orders)
	}
	p = o.ada.get("/connections/docs?done=first-sync")
	p.says(t, http.StatusOK, "The set-up is finished, and the first sync has been asked for", "snapshot waiting", "active", "Pause")
	if strings.Contains(p.text(), "set-up is not finished") || o.ada.get("/connections/docs/start").location() != "/connections/docs" {
		t.Error("the set-up goes on after its end")
	}
	for _, action := range []string{"connection.resume ok account:ada", "connection.sync ok account:ada"} {
		if !slices.ContainsFunc(o.events(), func(e string) bool { return strings.HasPrefix(e, action) }) {
			t.Errorf("the audit log has no %s", action)
		}
	}
	o.ada.get("/connections/docs/plan").says(t, http.StatusOK, "What a sync would do now", "Overview")
}

// samplePlan is a plan of a first sync.
func samplePlan() *jobs.Plan {
	return &jobs.Plan{
		Connection: "docs", Kind: store.RunSnapshot, Complete: true, Listed: 1300, Add: 1234, Seconds: 3,
		Blocked: []connectors.Container{{ID: "vault", Reason: "no access"}},
		Text: jobs.PlanText{
			ToRead: 1234, Opened: 20, Bytes: &jobs.Estimate{Low: 3_984_588, Likely: 4_404_019, High: 4_823_449}, Tokens: &jobs.Estimate{Low: 80_000, Likely: 90_000, High: 100_000},
			Embed: []jobs.PlanEmbed{{Profile: "small", Model: "text-embedding-3-small", Tokens: &jobs.Estimate{Low: 80_000, Likely: 90_000, High: 100_000}}},
		},
		Readers: store.Audience{
			Documents: 1234, Public: 30, Organisation: 31, Unknown: 4, People: 12, Readers: 2, Memberships: "stored",
			TopPeople: []store.AudienceEntry{{Name: "Bea", Documents: 40}}, TopGroups: []store.AudienceEntry{{Name: "Staff", Documents: 1000, Members: 9}},
		},
		Items: []jobs.PlanItem{{Op: jobs.PlanAdd, ExternalID: "x", Path: "/a/<b>.md"}}, More: true,
	}
}

// A source with consent: the page after it leads to the choice, then to the plan. A permission that is not granted shows
// as soon as the first sync is started.
func TestSetupByConsent(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.ada.get("/connect?source=fakedrive&registration="+o.reg.ID.String()).says(t, http.StatusOK, "Step 1 of 5", "Connect Choose Plan Schedule First sync")
	o.provider.Set(func(b *oauthtest.Behaviour) { b.Unticked = []string{"groups.read"} })
	p := o.land(t, o.ada, o.consent(t, o.ada, "files"))
	p.says(t, http.StatusOK, "Connected, but permissions are missing", "Step 1 of 5", "First sync begins when you start it, after you have seen what it would do", "Grant again")
	if p.header.Get("Refresh") != "" {
		t.Error("the page waits for a sync that nobody started")
	}
	o.unfinished(t, "files", "/connections/files/choose")
	o.ada.get("/").says(t, http.StatusOK, "The set-up of files is not finished", "Finish the set-up")
	p = o.ada.follow(t, p, "Go on without them")
	p.says(t, http.StatusOK, "Step 2 of 5", "What files syncs", "Top B", "Nothing is synced yet: the next page shows what would be")
	p = o.ada.press(t, p, "Save and go on", func(f map[string]string) {
		f["scope"], f["pick.1"] = "chosen", `{"i":"top-b","n":"Top B"}`
	})
	if p.location() != "/connections/files/plan?done=step" {
		t.Fatalf("choosing leads to %q\n%s", p.location(), p.text())
	}
	p = o.ada.get(p.location())
	p.says(t, http.StatusOK, "Step 3 of 5", "1 of what the source has", "Change what is synced")
	o.unfinished(t, "files", "/connections/files/plan")
	o.ada.follow(t, o.ada.follow(t, p, "Choose"), "Plan").says(t, http.StatusOK, "Step 3 of 5")
	p = o.ada.follow(t, o.ada.follow(t, p, "Go on to the schedule"), "First sync")
	p.says(t, http.StatusOK, "Step 5 of 5", "Fake Drive", "1 of what the source has", "every 15m")
	if p = o.ada.post("/connections/files/start"); p.location() != "/connections/files?done=first-sync" {
		t.Fatalf("starting leads to %q\n%s", p.location(), p.text())
	}
	o.ada.get(p.location()).says(t, http.StatusOK, "degraded", "Permissions are missing: groups.read", "snapshot waiting")
}

// Who may not connect sees that a set-up is open and cannot go on with it.
func TestSetupRoles(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.land(t, o.ada, o.consent(t, o.ada, "files"))
	o.account("aud", store.RoleAuditor)
	aud := o.signedIn("aud")
	p := aud.get("/connections/files")
	p.says(t, http.StatusOK, "Its set-up is not finished")
	if strings.Contains(p.body, "/connections/files/choose") || strings.Contains(p.body, "/connections/files/plan") {
		t.Error("an auditor is led on")
	}
	for _, page := range []page{aud.get("/connections/files/plan"), aud.get("/connections/files/start"), aud.post("/connections/files/start")} {
		page.says(t, http.StatusForbidden, "role admin")
	}
	if len(o.planner.asked) != 0 {
		t.Error("the source was read for an auditor")
	}
	aud.get("/connections/files/schedule").says(t, http.StatusOK, "Content")
	// What pauses it from elsewhere does not end the set-up, and what resumes it does.
	k, err := o.store.Connection(t.Context(), "files")
	if err == nil {
		err = o.store.SetPaused(t.Context(), k.ID, true)
	}
	if err != nil {
		t.Fatal(err)
	}
	o.unfinished(t, "files", "/connections/files/choose")
	if k = o.finished(t); k.State != store.StateActive {
		t.Errorf("resumed, it is %s", k.State)
	}
	if err := o.store.SetPaused(t.Context(), k.ID, true); err != nil {
		t.Fatal(err)
	}
	o.ada.get("/connections/files").says(t, http.StatusOK, "Paused by an admin.", "Resume")
}

// A plan is bounded, says what it lacks, and says what to do where there is none.
func TestPlanPage(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	o.connected(t)
	const path = "/connections/files/plan"
	o.planner.plan = samplePlan()
	o.planner.plan.Partial = "the limit of 10s was reached"
	p := o.ada.get(path)
	p.says(t, http.StatusOK, "This is not all of it: The limit of 10s was reached.", "A sync reads on to the end.", "at least 1,234")
	p = o.ada.follow(t, p, "Read for longer")
	if strings.Contains(p.text(), "Read for longer") {
		t.Error("a long look offers a longer one")
	}
	if got := o.planner.asked; len(got) != 2 || got[0].Time != 10*time.Second || got[1].Time != 40*time.Second || got[0].SampleTime != 8*time.Second {
		t.Errorf("asked for %+v", got)
	}
	for _, tc := range []struct {
		class connectors.Class
		says  string
		again bool
	}{
		{connectors.GrantLost, "grant again, and come back", true},
		{connectors.ScopeDenied, "with every permission ticked", true},
		{connectors.RateLimited, "look again in some minutes", false},
		{connectors.Transient, "Look again", false},
		{connectors.Invalid, "Correct what is named there", false},
	} {
		o.planner.err = &connectors.Error{Op: "listing", Class: tc.class, Err: errors.New(`<script>alert(1)</script>`)}
		p := o.ada.get(path)
		p.says(t, http.StatusUnprocessableEntity, "There is no plan", "What we sent a listing of what files syncs, to Fake Drive", "What came back", "What to do", tc.says, "Look again")
		harmless(t, tc.says, p)
		if again := strings.Contains(p.body, `/connections/files/grant-again`); again != tc.again {
			t.Errorf("%s: grant again %v", tc.class, again)
		}
	}
	o.planner.err = context.DeadlineExceeded
	o.ada.get(path).says(t, http.StatusUnprocessableEntity, "no answer in time", "tributary plan files")
	o.planner.err = errors.New("SQLSTATE 42")
	if p := o.ada.get(path); p.status != http.StatusInternalServerError || strings.Contains(p.text(), "SQLSTATE") {
		t.Errorf("an error of ours: %d\n%s", p.status, p.text())
	}
	o.ada.get("/connections/nowhere/plan").says(t, http.StatusNotFound, "There is no such connection")
	o.db.MustExec(t, `UPDATE connection SET state = 'closing'`)
	o.ada.get(path).says(t, http.StatusNotFound, "cannot be planned")
}

// What the command line asked for syncs at once, also where its consent failed first and was started again in the pages.
func TestSetupOfTheCommandLine(t *testing.T) {
	t.Parallel()
	o := newOAuthRig(t)
	plan := oauthflow.Plan{Name: "files", Source: "fakedrive", Needed: []string{"files.read"}, Settings: map[string]string{"corner": "north"}}
	flows := oauthflow.NewFlows(oauthflow.FlowsConfig{Store: o.store, Vault: o.ring, PublicURL: o.server.URL})
	link, _, err := flows.MakeTicket(t.Context(), oauthflow.StartParams{Registration: o.reg.ID, By: oauthflow.By{Actor: o.by.Actor}, Plan: plan})
	if err != nil {
		t.Fatal(err)
	}
	to := o.provider.Browser(o.ada.post(strings.TrimPrefix(link.Reveal(), o.server.URL)).link(t))
	to.RawQuery = url.Values{"state": {to.Query().Get("state")}, "iss": {o.provider.URL}, "error": {"access_denied"}}.Encode()
	p := o.land(t, o.ada, to)
	p.has(t, `<input type="hidden" name="first" value="now">`)
	p = o.ada.post("/connect", "source", "fakedrive", "registration", o.reg.ID.String(), "kind", "authorization_code", "name", "files", "set.corner", "north", "first", "now")
	o.land(t, o.ada, o.provider.Browser(p.link(t))).says(t, http.StatusOK, "Connected", "First sync is about to start")
	if k, err := o.store.Connection(t.Context(), "files"); err != nil || k.State != store.StateActive {
		t.Errorf("the connection is %s, %v", k.State, err)
	}
}
