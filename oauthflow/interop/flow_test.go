package interop

import (
	"errors"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tributary/connectors"
	"tributary/internal/secret"
	"tributary/oauthflow"
	"tributary/oauthflow/refresh"
	"tributary/store"
)

// TestByIssuerAlone adds each server by its issuer, and nothing else that is written here.
func TestByIssuerAlone(t *testing.T) {
	t.Parallel()
	each(t, options{alwaysRefresh: true}, func(t *testing.T, s *server) {
		in := newInstance(t)
		r, c := in.add(t, s, "server")
		t.Run("connect, refresh", func(t *testing.T) { testConnectRefresh(t, in, s, r, c) })
		t.Run("reuse by somebody else, grant again", func(t *testing.T) { testReuseElsewhere(t, in, s, r, c) })
		t.Run("many processes", func(t *testing.T) { testProcesses(t, in, s, r) })
		t.Run("client credentials", func(t *testing.T) { testServerGrant(t, in, s) })
		t.Run("disconnect", func(t *testing.T) { testDisconnect(t, in, s, r, c) })
		t.Run("check", func(t *testing.T) { testCheck(t, in, r) })
		t.Run("denied", func(t *testing.T) { testDenied(t, in, s, r) })
		t.Run("unticked", func(t *testing.T) { testUnticked(t, in, r) })
		t.Run("wrong secret", func(t *testing.T) { testWrongSecret(t, in, s) })
		t.Run("injected code", func(t *testing.T) { testInjectedCode(t, in, s, r) })
	})
}

// openID are the scopes with which a server of OpenID Connect says who somebody is, and gives a refresh token.
func openID() []string { return []string{"openid", "offline_access"} }

// asked is a consent for a connection that reads files.
func asked(r *oauthflow.Registration, name string) oauthflow.StartParams {
	return oauthflow.StartParams{Registration: r.ID, Plan: plan(name, readFiles), Scopes: openID()}
}

// presented returns how often the server saw a refresh token, and the answer to the last.
func (s *server) presented(t *testing.T, token string) (n, status int) {
	t.Helper()
	for _, q := range s.tokenRequests(t, "refresh_token") {
		if q.RefreshToken == digest(token) {
			n, status = n+1, q.Status
		}
	}
	return n, status
}

// expire lets the access tokens of the instance run out, by its clock.
func (in *instance) expire(t *testing.T) {
	t.Helper()
	in.db.Advance(t, 2*time.Minute)
}

func testConnectRefresh(t *testing.T, in *instance, s *server, r *oauthflow.Registration, c client) {
	res := in.mustConnect(t, newBrowser(t, ann), asked(r, "refresh"))
	if res.Subject != ann || len(res.Missing) > 0 || res.Renewed || !slices.Contains(res.Granted, readFiles) || slices.Contains(res.Granted, writeFiles) {
		t.Errorf("result = %+v", res)
	}
	first, err := in.keeper.Access(t.Context(), res.Grant)
	if err != nil || !s.active(t, c, first.Token.Reveal()) {
		t.Fatalf("first token: %v", err)
	}
	held := in.pair(t, res.Grant)
	if !held.Refresh.IsSet() {
		t.Fatal("no refresh token: the connection would end with its first access token")
	}
	in.expire(t)
	second, err := in.keeper.Access(t.Context(), res.Grant)
	if err != nil || second.Token.Equal(first.Token) || second.Gen != first.Gen+1 || !s.active(t, c, second.Token.Reveal()) {
		t.Fatalf("second token: %+v, %v", second, err)
	}
	if n, status := s.presented(t, held.Refresh.Reveal()); n != 1 || status != 200 {
		t.Errorf("the refresh token was presented %d times, status %d", n, status)
	}
	if health, state, _ := in.state(t, res.Grant, res.Connection); health.State != oauthflow.GrantActive || state != store.StateActive {
		t.Errorf("grant %s, connection %s", health.State, state)
	}
}

func testReuseElsewhere(t *testing.T, in *instance, s *server, r *oauthflow.Registration, c client) {
	b := newBrowser(t, bob)
	res := in.mustConnect(t, b, asked(r, "reuse"))
	stolen := in.pair(t, res.Grant).Refresh.Reveal()
	in.expire(t)
	mine, err := in.keeper.Access(t.Context(), res.Grant)
	if err != nil {
		t.Fatal(err)
	}
	if got := s.refresh(t, c, stolen); got.Error != "invalid_grant" || s.active(t, c, mine.Token.Reveal()) {
		t.Fatalf("the stolen token: %d %s; the family lives: %v", got.status, got.Error, s.active(t, c, mine.Token.Reveal()))
	}
	_, err = in.keeper.Rejected(t.Context(), res.Grant, mine)
	if connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("after the reuse: %v", err)
	}
	health, state, reason := in.state(t, res.Grant, res.Connection)
	if health.State != oauthflow.GrantNeedsReauth || health.FailClass != oauthflow.FailRevoked || state != store.StateNeedsReauth || reason == "" {
		t.Errorf("grant %s (%s), connection %s: %q", health.State, health.FailClass, state, reason)
	}
	before := len(s.tokenRequests(t, "refresh_token"))
	if _, err := in.keeper.Access(t.Context(), res.Grant); connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("asking again: %v", err)
	}
	if after := len(s.tokenRequests(t, "refresh_token")); after != before {
		t.Errorf("a lost grant is asked for again: %d requests", after-before)
	}
	p := asked(r, "")
	p.Grant, p.Plan = res.Grant, oauthflow.Plan{Connection: res.Connection, Needed: []string{readFiles}}
	again := in.mustConnect(t, b, p)
	if again.Grant != res.Grant || !again.Renewed || again.Connection != res.Connection {
		t.Errorf("granted again: %+v", again)
	}
	token, err := in.keeper.Access(t.Context(), res.Grant)
	if err != nil || !s.active(t, c, token.Token.Reveal()) {
		t.Errorf("after granting again: %v", err)
	}
	if health, state, _ := in.state(t, res.Grant, res.Connection); health.State != oauthflow.GrantActive || state != store.StateActive {
		t.Errorf("after granting again: grant %s, connection %s", health.State, state)
	}
}

// testProcesses has several keepers, as several processes have them, ask at expiry: each token is presented once.
func testProcesses(t *testing.T, in *instance, s *server, r *oauthflow.Registration) {
	res := in.mustConnect(t, newBrowser(t, ann), asked(r, "processes"))
	keepers := make([]*refresh.Keeper, 4)
	for i := range keepers {
		keepers[i] = in.newKeeper(t, refresh.Timing{})
	}
	for round := range 10 {
		held := in.pair(t, res.Grant).Refresh.Reveal()
		in.expire(t)
		var all sync.WaitGroup
		errs := make(chan error, 8*len(keepers))
		for _, k := range keepers {
			for range 8 {
				all.Go(func() {
					_, err := k.Access(t.Context(), res.Grant)
					errs <- err
				})
			}
		}
		all.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		}
		if n, status := s.presented(t, held); n != 1 || status != 200 {
			t.Fatalf("round %d: the refresh token was presented %d times, status %d", round, n, status)
		}
	}
}

func testServerGrant(t *testing.T, in *instance, s *server) {
	r := in.draft(t, s, "client", oauthflow.GrantClientCredentials)
	c := s.register(t, client{})
	r, checks, err := in.save(t, r, c)
	if err != nil {
		t.Fatalf("%v: %+v", err, checks)
	}
	res, err := in.flows.CreateServerGrant(t.Context(), oauthflow.ServerGrantParams{
		Registration: r.ID, By: in.by, Kind: oauthflow.GrantClientCredentials, Plan: plan("client", readFiles),
	})
	if err != nil {
		t.Fatal(err)
	}
	first, err := in.keeper.Access(t.Context(), res.Grant)
	if err != nil || !s.active(t, c, first.Token.Reveal()) {
		t.Fatalf("first token: %v", err)
	}
	in.expire(t)
	before := len(s.tokenRequests(t, "client_credentials"))
	second, err := in.keeper.Access(t.Context(), res.Grant)
	if err != nil || second.Token.Equal(first.Token) || !s.active(t, c, second.Token.Reveal()) {
		t.Errorf("second token: %v", err)
	}
	if n := len(s.tokenRequests(t, "client_credentials")) - before; n != 1 {
		t.Errorf("%d requests for the second token", n)
	}
}

// testDisconnect ends a grant: the tokens are dead at the server, and gone here.
func testDisconnect(t *testing.T, in *instance, s *server, r *oauthflow.Registration, c client) {
	kept := in.mustConnect(t, newBrowser(t, bob), asked(r, "kept"))
	res := in.mustConnect(t, newBrowser(t, cleo), asked(r, "disconnect"))
	held := in.pair(t, res.Grant)
	out, err := in.grants.Disconnect(t.Context(), in.by, res.Connection)
	if err != nil || !out.Done || !out.Revoked || out.Detached {
		t.Fatalf("disconnected: %+v, %v", out, err)
	}
	if s.active(t, c, held.Access.Reveal()) {
		t.Error("the access token lives on")
	}
	if got := s.refresh(t, c, held.Refresh.Reveal()); got.Error != "invalid_grant" {
		t.Errorf("the refresh token: %d %s", got.status, got.Error)
	}
	if row, err := in.store.Credentials().Load(t.Context(), res.Grant); err != nil || row != nil && len(row.Sealed) > 0 {
		t.Errorf("tokens are stored still: %v", err)
	}
	if _, err := in.keeper.Access(t.Context(), res.Grant); connectors.ClassOf(err) != connectors.GrantLost {
		t.Errorf("asking for a token: %v", err)
	}
	if other := in.pair(t, kept.Grant); !s.active(t, c, other.Access.Reveal()) {
		t.Error("somebody else's grant is gone too")
	}
}

// testCheck asks who it is with a token that has run out by the instance's clock.
func testCheck(t *testing.T, in *instance, r *oauthflow.Registration) {
	p := asked(r, "check")
	p.Scopes = append(p.Scopes, "profile")
	res := in.mustConnect(t, newBrowser(t, ann), p)
	in.expire(t)
	out, err := in.grants.Check(t.Context(), res.Grant, "", nil)
	if err != nil || !out.OK || out.Account == "" {
		t.Errorf("check: %+v, %v", out, err)
	}
	if _, err := in.grants.Check(t.Context(), res.Grant, "https://elsewhere.example/", nil); connectors.ClassOf(err) != connectors.Invalid {
		t.Errorf("a token for another host: %v", err)
	}
}

func wantFlowError(t *testing.T, err error, code oauthflow.FlowCode) {
	t.Helper()
	fe, ok := errors.AsType[*oauthflow.FlowError](err)
	if !ok || fe.Code != code || fe.Title == "" || fe.Remedy == "" {
		t.Fatalf("got %v (%+v), want %s", err, fe, code)
	}
}

func testDenied(t *testing.T, in *instance, s *server, r *oauthflow.Registration) {
	b := newBrowser(t, ann)
	b.deny = true
	before := len(s.tokenRequests(t, "authorization_code"))
	_, err := in.connect(t, b, asked(r, "denied"))
	wantFlowError(t, err, oauthflow.FlowDenied)
	if n := len(s.tokenRequests(t, "authorization_code")) - before; n != 0 {
		t.Errorf("%d token requests", n)
	}
}

func testUnticked(t *testing.T, in *instance, r *oauthflow.Registration) {
	b := newBrowser(t, bob)
	b.untick = []string{writeFiles}
	res := in.mustConnect(t, b, oauthflow.StartParams{Registration: r.ID, Plan: plan("unticked", readFiles, writeFiles), Scopes: openID()})
	if !slices.Equal(res.Missing, []string{writeFiles}) {
		t.Errorf("missing = %v", res.Missing)
	}
	if _, state, reason := in.state(t, res.Grant, res.Connection); state != store.StateDegraded || reason == "" {
		t.Errorf("connection %s: %q", state, reason)
	}
}

// testWrongSecret is told when the registration is saved, or by a consent at the latest.
func testWrongSecret(t *testing.T, in *instance, s *server) {
	r := in.draft(t, s, "wrong")
	c := s.register(t, client{Redirect: r.RedirectURI})
	c.Secret += "x"
	r, _, err := in.save(t, r, c)
	if refused, ok := errors.AsType[*oauthflow.RefusedError](err); ok && len(refused.Checks) > 0 {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	_, err = in.connect(t, newBrowser(t, ann), asked(r, "wrong"))
	wantFlowError(t, err, oauthflow.FlowClientRefused)
}

// testInjectedCode brings a code of another consent into one's own: the server refuses it by its challenge, and it is
// sent once.
func testInjectedCode(t *testing.T, in *instance, s *server, r *oauthflow.Registration) {
	_, mine := in.consent(t, newBrowser(t, ann), asked(r, "mine"))
	_, theirs := in.consent(t, newBrowser(t, bob), asked(r, "theirs"))
	q, err := url.ParseQuery(mine)
	if err != nil {
		t.Fatal(err)
	}
	other, err := url.ParseQuery(theirs)
	if err != nil {
		t.Fatal(err)
	}
	q.Set("code", other.Get("code"))
	before := len(s.tokenRequests(t, "authorization_code"))
	_, err = in.flows.Callback(t.Context(), r.ID.String(), q.Encode(), in.by)
	wantFlowError(t, err, oauthflow.FlowCodeRefused)
	if n := len(s.tokenRequests(t, "authorization_code")) - before; n != 1 {
		t.Errorf("%d token requests", n)
	}
}

// TestBetweenServers lets one server's answer arrive as the other's: nothing goes to either token endpoint.
func TestBetweenServers(t *testing.T) {
	in := newInstance(t)
	a, b := startNode(t, options{alwaysRefresh: true}), startZitadel(t, options{})
	ra, _ := in.add(t, a, "first")
	rb, _ := in.add(t, b, "second")
	requests := func() int {
		return len(a.tokenRequests(t, "authorization_code")) + len(b.tokenRequests(t, "authorization_code"))
	}
	before := requests() // the checks of the registrations
	for name, tc := range map[string]struct {
		to   uuid.UUID
		edit func(url.Values)
		by   oauthflow.By
		code oauthflow.FlowCode
	}{
		"at the other's address":     {rb.ID, func(url.Values) {}, in.by, oauthflow.FlowMixUp},
		"without its issuer":         {ra.ID, func(q url.Values) { q.Del("iss") }, in.by, oauthflow.FlowIssuer},
		"with the other's issuer":    {ra.ID, func(q url.Values) { q.Set("iss", b.issuer) }, in.by, oauthflow.FlowIssuer},
		"with a slash more":          {ra.ID, func(q url.Values) { q.Set("iss", a.issuer+"/") }, in.by, oauthflow.FlowIssuer},
		"with two issuers":           {ra.ID, func(q url.Values) { q.Add("iss", a.issuer) }, in.by, oauthflow.FlowMalformed},
		"with two codes":             {ra.ID, func(q url.Values) { q.Add("code", "x") }, in.by, oauthflow.FlowMalformed},
		"with a token":               {ra.ID, func(q url.Values) { q.Set("access_token", "x") }, in.by, oauthflow.FlowTokenInURL},
		"with another state":         {ra.ID, func(q url.Values) { q.Set("state", "x") }, in.by, oauthflow.FlowUnknownState},
		"in somebody else's browser": {ra.ID, func(url.Values) {}, in.signIn(t, "mallory"), oauthflow.FlowOtherSession},
		"without a session":          {ra.ID, func(url.Values) {}, oauthflow.By{}, oauthflow.FlowOtherSession},
	} {
		t.Run(name, func(t *testing.T) {
			_, query := in.consent(t, newBrowser(t, ann), asked(ra, "never"))
			q, err := url.ParseQuery(query)
			if err != nil {
				t.Fatal(err)
			}
			tc.edit(q)
			_, err = in.flows.Callback(t.Context(), tc.to.String(), q.Encode(), tc.by)
			wantFlowError(t, err, tc.code)
			if n := requests() - before; n != 0 {
				t.Errorf("%d token requests", n)
			}
		})
	}
	t.Run("an honest answer, by as many browsers at once", func(t *testing.T) {
		_, query := in.consent(t, newBrowser(t, ann), asked(ra, "once"))
		var all sync.WaitGroup
		results := make(chan error, 50)
		for range cap(results) {
			all.Go(func() {
				_, err := in.flows.Callback(t.Context(), ra.ID.String(), query, in.by)
				results <- err
			})
		}
		all.Wait()
		close(results)
		good := 0
		for err := range results {
			if err == nil {
				good++
				continue
			}
			wantFlowError(t, err, oauthflow.FlowUnknownState)
		}
		if n := requests() - before; good != 1 || n != 1 {
			t.Errorf("%d connections, %d token requests", good, n)
		}
	})
}

// TestSecretsAreNotShown follows the tokens of real servers through what the program says of them.
func TestSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	each(t, options{alwaysRefresh: true}, func(t *testing.T, s *server) {
		in := newInstance(t)
		r, c := in.add(t, s, "server")
		res := in.mustConnect(t, newBrowser(t, ann), asked(r, "shown"))
		held := in.pair(t, res.Grant)
		for _, token := range []secret.Text{held.Access, held.Refresh, secret.New(c.Secret)} {
			if !token.IsSet() {
				t.Fatal("a secret is missing")
			}
			if where := in.find(t, token.Reveal()); where != "" {
				t.Errorf("a secret is in %s", where)
			}
		}
		if where := in.find(t, res.Account); where == "" {
			t.Error("the search finds nothing at all")
		}
	})
}
