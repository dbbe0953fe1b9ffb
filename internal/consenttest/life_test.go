package consenttest

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/pgtest"
	"tributary/internal/sandbox"
	"tributary/oauthflow"
	"tributary/store"
)

// newLife is a rig in simulated time, of which only the test moves the clock.
func newLife(t *testing.T, files int) (*rig, *simulated) {
	t.Helper()
	clock, db := newSimulated(t)
	d := startDrive(t, files, func(c *sandbox.Config) { c.Clock = clock.now })
	return newRig(t, db, d, parts{clock: clock, limits: quick()}), clock
}

// ids are the rows of the documents that are there.
func (r *rig) ids() string {
	r.t.Helper()
	return pgtest.Scalar[string](r.t, r.db, `SELECT coalesce(string_agg(id::text, ' ' ORDER BY external_id), '') FROM document`)
}

// due returns how many lanes are due, and takes them.
func (r *rig) due() int {
	r.t.Helper()
	n, err := r.store.ClaimDue(r.t.Context(), 10, func(store.Due) store.RunKind { return "" }, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// visible returns how many documents ann finds.
func (r *rig) visible() int {
	r.t.Helper()
	who, err := r.store.AsPrincipals(r.t.Context(), store.PrincipalIn{Connection: r.connection().ID, Principal: connectors.Principal{Kind: connectors.User, ID: ann}})
	if err != nil {
		r.t.Fatal(err)
	}
	list, _, err := r.store.ListDocuments(r.t.Context(), who, store.Filters{}, uuid.Nil, 100)
	if err != nil {
		r.t.Fatal(err)
	}
	return len(list)
}

// active asks the drive whether a token works (RFC 7662).
func (r *rig) active(token string) bool {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, r.drive.url+"/oauth/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(r.clientID, r.secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct {
		Active bool `json:"active"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK {
		r.t.Fatalf("introspecting: %s, %v", resp.Status, err)
	}
	return answer.Active
}

// pair opens the tokens that are stored.
func (r *rig) pair(grant uuid.UUID) oauthflow.Pair {
	r.t.Helper()
	row, err := r.store.Credentials().Load(r.t.Context(), grant)
	if err != nil || row == nil {
		r.t.Fatalf("reading grant: %v", err)
	}
	p, err := oauthflow.OpenPair(r.ring, oauthflow.PairPlace(grant, row.Epoch, row.Gen, oauthflow.FieldTokens), row.Sealed)
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// TestScopeUnticked: a consent without a scope makes a connection that says which one is missing for as long as it is,
// and another consent keeps its cursor and its documents.
func TestScopeUnticked(t *testing.T) {
	t.Parallel()
	const files = 30
	r, clock := newLife(t, files)
	res := r.connect("groups.read")
	if len(res.Missing) != 1 || res.Missing[0] != "groups.read" {
		t.Errorf("missing: %v", res.Missing)
	}
	named := func(when string) {
		t.Helper()
		if c := r.connection(); c.State != store.StateDegraded || !strings.Contains(c.StateReason, "groups.read") {
			t.Errorf("%s the connection is %s: %q", when, c.State, c.StateReason)
		}
	}
	named("after the consent")
	r.must(store.Content)
	named("after a sync")
	if run := r.sync(store.Permissions); run.State == store.RunSucceeded && run.Counts.Memberships > 0 {
		t.Errorf("groups were read without the scope: %+v", run)
	}
	named("after reading permissions")
	for _, paused := range []bool{true, false} {
		if err := r.store.SetPaused(t.Context(), res.Connection, paused); err != nil {
			t.Fatal(err)
		}
	}
	named("after a pause")
	r.wantWhole(files)
	rows, cursor := r.ids(), string(r.connection().FeedCursor)
	before, _ := r.drive.downloads()
	clock.advance(time.Hour)
	again := r.again(res)
	if again.Connection != res.Connection || !again.Renewed || again.Grant != res.Grant || len(again.Missing) != 0 {
		t.Errorf("granted again: %+v", again)
	}
	r.wantState(res.Grant, oauthflow.GrantActive, store.StateActive)
	if c := r.connection(); string(c.FeedCursor) != cursor || cursor == "" {
		t.Errorf("the cursor is %q, was %q", c.FeedCursor, cursor)
	}
	if run := r.must(store.Content); run.Kind != store.RunChanges {
		t.Errorf("after the consent the run is a %s", run.Kind)
	}
	r.must(store.Permissions)
	r.wantState(res.Grant, oauthflow.GrantActive, store.StateActive)
	if after, _ := r.drive.downloads(); after != before || r.ids() != rows {
		t.Errorf("%d files were downloaded again; the documents are the same: %v", after-before, r.ids() == rows)
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM membership m JOIN principal p ON p.id = m.group_id WHERE p.external_id = 'grp-all'`); n != 2 {
		t.Errorf("%d memberships, want 2", n)
	}
}

// TestDeadGrant: what a person removed at the provider stops the syncs, says why and since when, and one consent
// repairs it.
func TestDeadGrant(t *testing.T) {
	t.Parallel()
	const files = 30
	r, clock := newLife(t, files)
	res := r.connect()
	r.must(store.Content)
	r.must(store.Permissions)
	rows := r.ids()
	before, _ := r.drive.downloads()
	b := r.drive.browser()
	if err := b.SignIn(ann); err != nil {
		t.Fatal(err)
	}
	page, err := b.Get("/account")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Post("/account/remove", url.Values{"form_token": {page.Field("form_token")}, "grant": {page.Field("grant")}}); err != nil {
		t.Fatal(err)
	}
	clock.advance(30 * time.Minute)
	died := clock.now()
	if run := r.sync(store.Content); run.State != store.RunFailed || run.ErrorClass != connectors.GrantLost.String() {
		t.Fatalf("the run ended %s (%s: %s)", run.State, run.ErrorClass, run.Error)
	}
	r.wantState(res.Grant, oauthflow.GrantNeedsReauth, store.StateNeedsReauth)
	c, h := r.connection(), r.health(res.Grant)
	if c.StateReason == "" || c.StateSince.Before(died) || h.FailClass != oauthflow.FailRevoked || h.StateSince.Before(died) {
		t.Errorf("since %s: %q; the grant since %s: %s %q; it died at %s", c.StateSince, c.StateReason, h.StateSince, h.FailClass, h.FailNote, died)
	}
	asked := r.drive.Seen()
	clock.advance(48 * time.Hour)
	if n := r.due(); n != 0 {
		t.Errorf("%d lanes are due", n)
	}
	if ids, err := r.keeper.Due(t.Context(), 10); err != nil || len(ids) != 0 {
		t.Errorf("refreshes are due: %v, %v", ids, err)
	}
	if run := r.sync(store.Content); run.State != store.RunFailed {
		t.Errorf("a run that was asked for ended %s", run.State)
	}
	if seen := r.drive.Seen(); seen != asked {
		t.Errorf("a dead grant is asked for again: %+v, was %+v", seen, asked)
	}
	if got := r.connection(); got.StateSince != c.StateSince {
		t.Errorf("dead since %s, was %s", got.StateSince, c.StateSince)
	}
	r.again(res)
	r.wantState(res.Grant, oauthflow.GrantActive, store.StateActive)
	if n := r.due(); n != 2 {
		t.Errorf("%d lanes are due after the consent, want 2", n)
	}
	if err := r.drive.World().Edit("itm-00003", "# Note 3\n\nWhat it says is number 3. It was edited.\n"); err != nil {
		t.Fatal(err)
	}
	r.must(store.Content)
	r.must(store.Permissions)
	if after, _ := r.drive.downloads(); after != before+1 || r.ids() != rows {
		t.Errorf("%d downloads after the repair, want the one that changed; the documents are the same: %v", after-before, r.ids() == rows)
	}
	r.wantWhole(files)
}

// TestExpiry: at the end of a grant or of a connection syncs stop, the tokens are revoked at the provider, and the
// documents are kept or hidden, as chosen.
func TestExpiry(t *testing.T) {
	t.Parallel()
	for _, of := range []string{"grant", "connection"} {
		for _, then := range []oauthflow.AtExpiry{oauthflow.KeepDocuments, oauthflow.HideDocuments} {
			t.Run(of+" "+string(then), func(t *testing.T) {
				t.Parallel()
				testExpiry(t, of, then)
			})
		}
	}
}

func testExpiry(t *testing.T, of string, then oauthflow.AtExpiry) {
	t.Helper()
	const files = 10
	r, clock := newLife(t, files)
	res := r.connect()
	r.must(store.Content)
	r.must(store.Permissions)
	end := clock.now().Add(2 * time.Hour)
	var err error
	if of == "grant" {
		err = r.grants.SetExpiry(t.Context(), r.by, res.Grant, &end, then)
	} else {
		err = r.grants.SetConnectionExpiry(t.Context(), r.by, res.Connection, &end, then)
	}
	if err != nil {
		t.Fatal(err)
	}
	clock.advance(110 * time.Minute)
	r.must(store.Content)
	r.must(store.Permissions)
	if n := r.visible(); n != files {
		t.Fatalf("before the end %d documents are found", n)
	}
	held := r.pair(res.Grant)
	if !r.active(held.Access.Reveal()) || !r.active(held.Refresh.Reveal()) {
		t.Fatal("the tokens do not work before the end")
	}
	clock.advance(11 * time.Minute)
	want := map[oauthflow.AtExpiry]int{oauthflow.KeepDocuments: files, oauthflow.HideDocuments: 0}[then]
	if n := r.visible(); n != want && of == "connection" {
		t.Errorf("at the end, before anybody tends to it, %d documents are found, want %d", n, want)
	}
	if err := r.grants.Tend(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.visible(); n != want {
		t.Errorf("after the end %d documents are found, want %d", n, want)
	}
	if r.active(held.Access.Reveal()) || r.active(held.Refresh.Reveal()) {
		t.Error("the tokens work after the end")
	}
	if _, err := r.keeper.Access(t.Context(), res.Grant); connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("asking for a token after the end: %v", err)
	}
	clock.advance(24 * time.Hour)
	if n := r.due(); n != 0 {
		t.Errorf("%d lanes are due", n)
	}
	seen, asked := r.drive.Seen(), r.drive.requests()
	if run := r.sync(store.Content); run.State == store.RunSucceeded {
		t.Error("a run that was asked for succeeded")
	}
	if r.drive.Seen() != seen || r.drive.requests() != asked {
		t.Error("the provider is asked after the end")
	}
	if n := pgtest.Scalar[int](t, r.db, `SELECT count(*)::int FROM document`); n != files {
		t.Errorf("%d documents are stored, want %d", n, files)
	}
}
